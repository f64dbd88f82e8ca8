
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_H_INCLUDED_
#define _NGX_MC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts.h>
#include <ngx_mc_ts_align.h>
#include <ngx_mc_ts_demux.h>
#include <ngx_mc_ts_mux.h>
#include <ngx_mc_registry.h>
#include <ngx_mc_event.h>
#include <ngx_mc_pulse.h>
#include <ngx_mc_access.h>


#define NGX_MC_VERSION          "0.1.0"


typedef struct ngx_mc_flow_s      ngx_mc_flow_t;
typedef struct ngx_mc_pipeline_s  ngx_mc_pipeline_t;
typedef struct ngx_mc_endpoint_s  ngx_mc_endpoint_t;
typedef struct ngx_mc_lane_s      ngx_mc_lane_t;
typedef struct ngx_mc_mux_s       ngx_mc_mux_t;


/*
 * A protocol.  All handlers run in the nginx thread, in the owner of the
 * flow, and never fail: what goes wrong is reported with the functions
 * below, and the endpoint retries.
 */

typedef struct {
    ngx_uint_t            protocol;          /* NGX_MC_SRT, ... */

    /* what of a definition can be seen wrong only with the configuration of
       other modules at hand; logs the mistake with def->file and ->line.  May
       be NULL */
    char               *(*check)(ngx_conf_t *cf, ngx_mc_endpoint_def_t *def);

    /* once a worker; NGX_ERROR: endpoints of this type stay connecting */
    ngx_int_t           (*init_process)(ngx_cycle_t *cycle);
    void                (*exit_process)(ngx_cycle_t *cycle);

    /* allocates ep->data from ep->pool, once an endpoint */
    ngx_int_t           (*init)(ngx_mc_endpoint_t *ep);

    /* one attempt to open.  A caller's or an output's host name is already
       resolved: ep->sockaddr */
    void                (*open)(ngx_mc_endpoint_t *ep);

    /* frees what open() took, in any state, an orderly close for peers */
    void                (*close)(ngx_mc_endpoint_t *ep);

    /* outputs of the packet lane: n packets; who keeps one makes a copy of
       *pkt and holds that; raises ep->stat counters */
    void                (*send)(ngx_mc_endpoint_t *ep,
                                ngx_mc_packet_t *pkts, ngx_uint_t n);

    /* outputs of the frame lane, then "send" is NULL: one frame, borrowed */
    void                (*frame)(ngx_mc_endpoint_t *ep,
                                 ngx_mc_frame_t *frame);

    /* once a second */
    void                (*second)(ngx_mc_endpoint_t *ep);

    /* changes the definition while the endpoint runs: ep->def is "def" when
       it returns, which may be the same as before.  "changed" has bits
       NGX_MC_CHANGED_*, and never _REOPEN */
    void                (*update)(ngx_mc_endpoint_t *ep,
                                  ngx_mc_endpoint_def_t *def,
                                  ngx_uint_t changed);

    /* 1: sends any bytes; 0: wants whole TS packets, up to seven at once */
    ngx_uint_t            opaque;
} ngx_mc_endpoint_type_t;


/* merges repeats of one event code to at most one a second */

typedef struct {
    ngx_msec_t            last;
    ngx_uint_t            merged;
    u_char                message[NGX_MC_EVENT_MESSAGE_LEN];
    u_char                peer[NGX_MC_ADDR_LEN];
} ngx_mc_event_merge_t;


/* mc_batch of the flow is another: beside the bits of a definition */
#define NGX_MC_CHANGED_BATCH  0x100


struct ngx_mc_endpoint_s {
    ngx_mc_flow_t          *flow;
    ngx_mc_pipeline_t      *pipeline;
    ngx_mc_endpoint_def_t  *def;

    /* event ident must be after 3 pointers as in ngx_connection_t */
    ngx_int_t               ident;

    ngx_mc_endpoint_type_t *type;
    ngx_mc_endpoint_stat_t *stat;
    void                   *data;            /* the type's */

    /* looked at for each batch: in the first cache line */
    unsigned                connected:1;
    unsigned                opened:1;        /* type->open() was called */
    unsigned                banned:1;
    unsigned                stopping:1;
    unsigned                started:1;       /* it runs, or tries to */
    unsigned                held:1;          /* its port is another's */

    /* outputs of the frame lane, of ngx_mc_remux.c */
    unsigned                joining:1;       /* waits for a key frame */
    unsigned                unplayable:1;    /* last_error says so */
    ngx_mc_lane_t          *lane;            /* where its frames come from */
    int64_t                 join_at;         /* us, since when; 0: not yet */

    ngx_pool_t             *pool;            /* its own */
    ngx_pool_t             *def_pool;        /* of def, goes with it */
    ngx_log_t              *log;             /* the flow's */

    struct sockaddr        *sockaddr;        /* of the remote, or local for
                                                those who listen or receive */
    socklen_t               socklen;
    ngx_sockaddr_t          addr;

    ngx_event_t             retry;
    ngx_uint_t              attempts;        /* failed in a row */
    ngx_msec_t              up_since;        /* ngx_current_msec */
    ngx_msec_t              banned_until;    /* exceed=disconnect */
    void                   *resolving;

    /* the token bucket of max_bandwidth, in bytes */
    int64_t                 bucket;
    int64_t                 bucket_time;     /* us */

    int64_t                 second;          /* us, when it was last called */
    ngx_msec_t              error_logged;
    uint64_t                bytes_seen;      /* by the last second */
    uint64_t                dropped_seen;

    ngx_mc_event_merge_t   *merge[NGX_MC_EVENT_N];
};


struct ngx_mc_pipeline_s {
    ngx_mc_flow_t          *flow;
    ngx_uint_t              index;           /* NGX_MC_PRIMARY, _BACKUP */
    ngx_mc_endpoint_t      *source;          /* or NULL */
    ngx_mc_endpoint_t     **outputs;         /* that it feeds now */
    ngx_uint_t              noutputs;
    ngx_mc_endpoint_t     **frame_outputs;   /* those of the frame lane, the
                                                others are in outputs */
    ngx_uint_t              nframe_outputs;
    ngx_uint_t              nholding;        /* outputs that keep packets */
    ngx_uint_t              switched;        /* it feeds other outputs than
                                                before its last packet */

    ngx_mc_ts_t            *ts;              /* made with the first packet */
    ngx_mc_ts_align_t      *align;           /* made when it is needed */

    ngx_mc_lane_t          *lanes;           /* frames, of ngx_mc_remux.c */
    ngx_mc_mux_t           *mux;             /* and a TS made from them */
    unsigned                gap:1;           /* frames were dropped: what
                                                follows needs a key frame */
};


struct ngx_mc_flow_s {
    ngx_queue_t             queue;           /* of this process's flows */
    ngx_pool_t             *pool;
    ngx_log_t               log;
    ngx_str_t               name;
    ngx_mc_flow_stat_t     *stat;
    uint64_t                hash;
    ngx_mc_event_log_t     *event_log;       /* of this process's cycle */

    /* its definition; endpoints have their own lines of it */
    ngx_str_t               text;            /* of ngx_alloc() */
    ngx_msec_t              batch;
    unsigned                stopped:1;       /* mc_state off */

    unsigned                running:1;       /* as things stand */
    unsigned                adopted:1;       /* it ran in another process */
    ngx_uint_t              choice;          /* NGX_MC_CHOICE_*, in force */

    ngx_mc_endpoint_t     **endpoints;       /* sources, then outputs */
    ngx_uint_t              nendpoints;
    ngx_mc_endpoint_t     **routes;          /* room for what pipelines feed */
    ngx_mc_pipeline_t       pipelines[NGX_MC_PIPELINES];
    ngx_uint_t              slice;           /* which tenth of the second */
    unsigned                moving:1;        /* it stops here to be run by
                                                another process */
};


/* of the configuration that this process runs, a NULL at the end */
extern ngx_mc_endpoint_type_t **ngx_mc_types;

/*
 * Adds a protocol; from the create_conf() of a core module, which runs before
 * any flow is parsed.  The type must live as long as that module.
 */
ngx_mc_endpoint_type_t *ngx_mc_type_find(ngx_mc_endpoint_type_t **types,
    ngx_uint_t protocol);
ngx_int_t ngx_mc_type_add(ngx_cycle_t *cycle, ngx_mc_endpoint_type_t *type);

extern ngx_mc_endpoint_type_t  ngx_mc_srt_type;
extern ngx_mc_endpoint_type_t  ngx_mc_rtp_type;
extern ngx_mc_endpoint_type_t  ngx_mc_udp_type;


/* ngx_mc_endpoint.c: what types report, and what flows ask for */

/*
 * Made from its line of a definition, not yet started; its definition is
 * allocated from "pool", which is the endpoint's from then on.  NULL: no
 * memory, and the pool is still the caller's.
 */
ngx_mc_endpoint_t *ngx_mc_endpoint_create(ngx_mc_flow_t *flow,
    ngx_mc_endpoint_def_t *def, ngx_pool_t *pool,
    ngx_mc_endpoint_stat_t *stat);
void ngx_mc_endpoint_free(ngx_mc_endpoint_t *ep);

/* puts in order what an owner that died has left in its record */
void ngx_mc_endpoint_claim(ngx_mc_endpoint_t *ep);

void ngx_mc_endpoint_start(ngx_mc_endpoint_t *ep);
void ngx_mc_endpoint_stop(ngx_mc_endpoint_t *ep);

/* another definition, that does not need it to be opened anew; the old one
   is freed */
void ngx_mc_endpoint_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_pool_t *pool, ngx_uint_t changed);

/* the port that it waits for may be free now */
void ngx_mc_endpoint_retry(ngx_mc_endpoint_t *ep);

void ngx_mc_endpoint_second(ngx_mc_endpoint_t *ep);

/* raised with each endpoint of this process that is stopped: a port may be
   free now */
extern ngx_uint_t  ngx_mc_endpoint_stops;

/*
 * A type tells its state.  peer_up() and peer_down(): one of the receivers of
 * a listening output, whose record is taken from the pool and given back by
 * the type.  waiting(): open, nobody there.  up(): connected,
 * "peer" may be NULL.  resume(): as up(), of a connection that another
 * process had since connected_at, ms.  down(): a connection ended; the type
 * has closed it and, if it listens, goes on listening: then state is waiting,
 * else the endpoint closes and retries.  failed(): the attempt to open came to
 * nothing; the endpoint calls type->close() and retries.
 */
void ngx_mc_endpoint_waiting(ngx_mc_endpoint_t *ep);
void ngx_mc_endpoint_up(ngx_mc_endpoint_t *ep, struct sockaddr *peer,
    socklen_t socklen);
void ngx_mc_endpoint_resume(ngx_mc_endpoint_t *ep, struct sockaddr *peer,
    socklen_t socklen, int64_t connected_at);
void ngx_mc_endpoint_down(ngx_mc_endpoint_t *ep, ngx_uint_t listening,
    const char *fmt, ...);
void ngx_mc_endpoint_peer_up(ngx_mc_endpoint_t *ep, ngx_mc_peer_stat_t *peer);
void ngx_mc_endpoint_peer_down(ngx_mc_endpoint_t *ep,
    ngx_mc_peer_stat_t *peer, const char *why);
void ngx_mc_endpoint_failed(ngx_mc_endpoint_t *ep, ngx_uint_t event,
    const char *fmt, ...);

/* a peer that was refused: counts n, and an event; peer may be NULL */
void ngx_mc_endpoint_rejected(ngx_mc_endpoint_t *ep, ngx_uint_t reason,
    ngx_uint_t n, struct sockaddr *peer, socklen_t socklen,
    const char *fmt, ...);

/* sets or clears ("") last_error, without a change of state */
void ngx_mc_endpoint_error(ngx_mc_endpoint_t *ep, const char *fmt, ...);

/* an event of the endpoint, merged and logged */
void ngx_mc_endpoint_event(ngx_mc_endpoint_t *ep, ngx_uint_t code,
    u_char *peer, const char *fmt, ...);


/*
 * ngx_mc_flow.c: a source hands over what arrived.  Packets may be borrowed.
 * Returns NGX_DECLINED if the source is to be disconnected (exceed=
 * disconnect): the endpoint has been told already.
 */
ngx_int_t ngx_mc_flow_input(ngx_mc_endpoint_t *source, ngx_mc_packet_t *pkts,
    ngx_uint_t n);

/* the same of one frame, borrowed */
ngx_int_t ngx_mc_flow_frame(ngx_mc_endpoint_t *source,
    ngx_mc_frame_t *frame);

/* a source begins anew, with another stream maybe; outputs may call it too */
void ngx_mc_flow_connected(ngx_mc_endpoint_t *source);

/* what an output of the frame lane has to give its peer before frames; NULL:
   nothing is known yet.  Frames that come later bring it by themselves */
ngx_mc_frame_headers_t *ngx_mc_flow_headers(ngx_mc_endpoint_t *output);


/* CLOCK_MONOTONIC, us */
static ngx_inline int64_t
ngx_mc_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


#endif /* _NGX_MC_H_INCLUDED_ */
