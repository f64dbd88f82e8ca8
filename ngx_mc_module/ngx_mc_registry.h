
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_REGISTRY_H_INCLUDED_
#define _NGX_MC_REGISTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_ts.h>
#include <ngx_mc_rtp.h>
#include <ngx_mc_codec.h>


/*
 * What processes share.  The master allocates (only in the zone's init() and
 * in init_module, where nobody else does), the owner of a flow writes, and
 * anybody reads.  No lock: each block has one writer; a counter is a word
 * that its writer raises in place; what has to be seen as a whole stands
 * behind a sequence number, odd while it is being written.  That is an
 * endpoint's state, its errors, addresses and times, the list of its peers,
 * its tracks, and of RTMP all that is no counter: whoever writes these does so
 * between ngx_mc_endpoint_stat_begin() and _end(), which do not nest, and
 * briefly, for readers wait.
 *
 * The zone is mapped once, before the first worker is forked: pointers into
 * it hold in every process of one master.
 */


/* raised with every change of the structures below */
#define NGX_MC_REGISTRY_LAYOUT   6

/* "[IPv6]:port" and a zero */
#define NGX_MC_ADDR_LEN          56
#define NGX_MC_ERROR_LEN         88
#define NGX_MC_ENCODER_LEN       64
#define NGX_MC_STREAMID_LEN      128
#define NGX_MC_RELOAD_ERROR_LEN  256


#define NGX_MC_NONE              0xffffffff

/* of one endpoint, that are shown */
#define NGX_MC_TRACKS            6

/* pairs of sockets through which workers hand over what is open */
#define NGX_MC_HANDOVER_QUEUES   64


/* what an operator has asked for at run time, against the configuration */
#define NGX_MC_CONTROL_NONE      0
#define NGX_MC_CONTROL_START     1
#define NGX_MC_CONTROL_STOP      2

/* the source that an operator has chosen */
#define NGX_MC_CHOICE_AUTO       0
#define NGX_MC_CHOICE_PRIMARY    1
#define NGX_MC_CHOICE_BACKUP     2


/* last_error of an output that is open and has nothing to send, for the source
   has no track that it could carry, begins with it */
#define NGX_MC_UNPLAYABLE        "nothing playable"
#define NGX_MC_INCOMPLETE        "left out"


#define NGX_MC_STATE_STOPPED     0
#define NGX_MC_STATE_WAITING     1
#define NGX_MC_STATE_CONNECTING  2
#define NGX_MC_STATE_CONNECTED   3


typedef enum {
    NGX_MC_REJECTED_ADDRESS = 0,
    NGX_MC_REJECTED_PASSPHRASE,
    NGX_MC_REJECTED_STREAMID,
    NGX_MC_REJECTED_BUSY,
    NGX_MC_REJECTED_LIMIT,
    NGX_MC_REJECTED_BANDWIDTH,
    NGX_MC_REJECTED_KEY,
    NGX_MC_REJECTED_MALFORMED,
    NGX_MC_REJECTED_N
} ngx_mc_rejected_e;


typedef struct {
    uint64_t                packets;
    uint64_t                lost_packets;
    uint64_t                retransmitted_packets;
    uint64_t                dropped_packets;
    uint64_t                belated_packets;

    /* as of the last second */
    double                  rtt_ms;
    double                  loss_ratio;
    double                  retransmit_ratio;
    int32_t                 send_latency_ms;   /* -1: not known, and below */
    int32_t                 recv_latency_ms;
    int32_t                 key_length;        /* bytes, 0: not encrypted */
    int32_t                 buffer_ms;
    uint32_t                peer_version;      /* 0xMMmmpp */
} ngx_mc_srt_stat_t;


typedef struct {
    ngx_mc_rtp_counters_t   counters;
    double                  jitter_ms;
} ngx_mc_rtp_stat_t;


/* what an encoder says of its stream, onMetaData; 0 and "": it does not */

typedef struct {
    double                  width;
    double                  height;
    double                  frame_rate;
    double                  video_rate;        /* kbit/s */
    double                  audio_rate;
    double                  sample_rate;
    double                  channels;
    u_char                  encoder[NGX_MC_ENCODER_LEN];
} ngx_mc_rtmp_metadata_t;


typedef struct {
    uint64_t                frames;            /* video and audio */
    uint64_t                dropped_frames;

    /* as of the last second; -1: not known */
    int32_t                 chunk_size;        /* the peer's of a source, ours
                                                  of an output */
    int32_t                 queue;             /* messages that wait */
    int32_t                 video_codec_id;    /* as in FLV, 7: H.264; by
                                                  Enhanced RTMP the FourCC */
    int32_t                 audio_codec_id;
    uint32_t                has_metadata;
    ngx_mc_rtmp_metadata_t  metadata;
} ngx_mc_rtmp_stat_t;


/* as of the last second */

typedef struct {
    ngx_mc_track_info_t     info;
    uint32_t                pid;               /* NGX_MC_NONE: not of a TS */
    uint64_t                bitrate;           /* bit/s */
    double                  frame_rate;        /* 0: not known */
} ngx_mc_track_stat_t;


typedef struct ngx_mc_peer_stat_s      ngx_mc_peer_stat_t;
typedef struct ngx_mc_endpoint_stat_s  ngx_mc_endpoint_stat_t;
typedef struct ngx_mc_flow_stat_s      ngx_mc_flow_stat_t;


/* a receiver of a listening output; taken from a pool of them, see below */

struct ngx_mc_peer_stat_s {
    ngx_atomic_t            owner;             /* pid, 0: free */
    ngx_mc_peer_stat_t     *next;              /* of the same endpoint */

    uint64_t                id;
    uint64_t                bytes;
    uint64_t                packets;
    uint64_t                dropped_packets;
    uint64_t                bitrate;
    int64_t                 connected_at;      /* ms since the epoch */
    ngx_mc_srt_stat_t       srt;
    u_char                  address[NGX_MC_ADDR_LEN];
    u_char                  streamid[NGX_MC_STREAMID_LEN];
};


struct ngx_mc_endpoint_stat_s {
    /* counters, raised in place */
    uint64_t                bytes;
    uint64_t                packets;
    uint64_t                dropped_packets;
    uint64_t                exceeded_packets;
    uint64_t                connections;
    uint64_t                disconnections;
    uint64_t                rejected[NGX_MC_REJECTED_N];
    ngx_mc_ts_counters_t    ts;                /* sources only */

    union {
        ngx_mc_srt_stat_t   srt;
        ngx_mc_rtp_stat_t   rtp;
        ngx_mc_rtmp_stat_t  rtmp;
    } u;

    uint64_t                bitrate;           /* bit/s, last second */

    /* what follows, and u.rtmp but for its counters, is whole only when seen
       with the same even number before and after */
    ngx_atomic_t            sequence;

    uint32_t                state;             /* NGX_MC_STATE_* */
    uint32_t                protocol;          /* that "u" is of; 0: none */
    uint32_t                npeers;
    uint32_t                ntracks;
    ngx_mc_track_stat_t     tracks[NGX_MC_TRACKS];
    ngx_mc_peer_stat_t     *peers;
    int64_t                 connected_at;      /* ms since epoch, 0: null */
    int64_t                 retry_at;          /* ms since epoch, 0: null */
    u_char                  peer[NGX_MC_ADDR_LEN];         /* "": null */
    u_char                  last_error[NGX_MC_ERROR_LEN];  /* "": null */

    /* RTMP outputs that listen: the process in which HLS, record and the like
       of nginx-rtmp run, 0: none, and its last sign of life */
    ngx_atomic_t            home;
    ngx_atomic_t            home_at;           /* ngx_current_msec */

    /* whoever controls it at run time */
    volatile uint16_t       control;           /* NGX_MC_CONTROL_* */

    /* the master's: what this is a record of */
    uint8_t                 direction;
    uint8_t                 pipeline;
    uint32_t                generation;        /* the last that names it */
    ngx_mc_endpoint_stat_t *next;              /* of the same flow */
    u_char                  name[NGX_MC_NAME_LEN + 1];
};


struct ngx_mc_flow_stat_s {
    ngx_mc_flow_stat_t     *next;              /* the master's, and below */
    ngx_mc_endpoint_stat_t *endpoints;
    uint32_t                generation;
    u_char                  name[NGX_MC_NAME_LEN + 1];

    /* whoever controls it at run time */
    ngx_atomic_t            control;           /* NGX_MC_CONTROL_* */
    ngx_atomic_t            choice;            /* NGX_MC_CHOICE_* */

    /* anybody's who finds that a process of another master has the lock: when,
       ngx_current_msec; the owner's to clear */
    ngx_atomic_t            held;

    /* the owner's */
    ngx_atomic_t            controlled;        /* registry's control that it
                                                  has seen */
    ngx_atomic_t            pid;               /* 0: nobody's */
    uint32_t                worker;            /* its number */
    uint32_t                running;           /* generation it runs */
    uint32_t                exiting;           /* its owner is leaving */
    int64_t                 started_at;        /* ms since epoch, 0: null */

    /* sockets on their way to the next owner, see ngx_mc_handover.h */
    uint32_t                moved;             /* messages */
    uint32_t                moved_queue;       /* where they are */
    int64_t                 moved_at;          /* us */
};


/* ms since a lock was found to be another master's */
#define NGX_MC_HELD              2000

#define ngx_mc_flow_stat_is_held(st)                                          \
    ((st)->held                                                               \
     && (ngx_atomic_uint_t) ngx_current_msec - (st)->held < NGX_MC_HELD)


/* a flow of one generation: immutable once published */

typedef struct {
    ngx_mc_flow_stat_t     *stat;
    ngx_str_t               text;              /* its definition */
    uint64_t                hash;              /* of its name, 63 bits */
    uint32_t                group;             /* index of its group's
                                                  first flow */
    uint32_t                group_next;        /* index, NGX_MC_NONE: last */
    uint32_t                hint;              /* worker meant to claim it */
    ngx_mc_endpoint_stat_t **endpoints;        /* sources, then outputs, in
                                                  the definition's order */
    uint32_t                nendpoints;
} ngx_mc_flow_entry_t;


typedef struct ngx_mc_generation_s  ngx_mc_generation_t;

struct ngx_mc_generation_s {
    uint32_t                number;            /* 1, 2, ... */
    uint32_t                nflows;
    ngx_mc_flow_entry_t    *flows;             /* sorted by name */
    u_char                 *region;            /* zero-terminated, or NULL */

    /* the master's */
    ngx_mc_generation_t    *older;
    ngx_msec_t              replaced;          /* when it was, by a newer */
};


typedef struct {
    ngx_atomic_t            sequence;          /* as the endpoint's */
    int64_t                 time;              /* ms since epoch */
    uint32_t                ok;
    u_char                  error[NGX_MC_RELOAD_ERROR_LEN];
} ngx_mc_reload_stat_t;


/* for the worker of one number, or several; see ngx_mc_handover.h */

typedef struct {
    int                     fds[2];            /* inherited by all: one is
                                                  for sending */
    ngx_atomic_t            sent;              /* us: something may wait since
                                                  then */
} ngx_mc_handover_queue_t;


typedef struct {
    uint32_t                layout;

    ngx_mc_generation_t    *current;           /* replaced as a whole */
    ngx_atomic_t            generation;        /* current->number */
    ngx_mc_reload_stat_t    last_reload;

    ngx_atomic_t            quit;              /* a generation whose workers
                                                  leave without successors */
    ngx_atomic_t            control;           /* raised with each change of
                                                  a control or choice */

    /* the master's */
    ngx_mc_generation_t    *previous;          /* and those before, as long as
                                                  somebody may read them */
    ngx_mc_generation_t    *pending;           /* made, not yet published */
    ngx_mc_flow_stat_t     *flows;             /* sorted by name */

    int                     notify_fd;         /* eventfd, inherited; -1 */
    int                     lock_fd;           /* of the lock file, likewise */
    int                     state_fd;          /* of the state file: of those
                                                  workers that were forked since
                                                  it was opened */

    ngx_mc_handover_queue_t handover[NGX_MC_HANDOVER_QUEUES];
    uint32_t                nhandover;

    /* any worker takes from the pool by setting owner from 0 to its pid */
    ngx_mc_peer_stat_t     *peers;
    uint32_t                npeers;
    ngx_atomic_t            peer_hint;
    ngx_atomic_t            peer_id;

    /* by which workers find each other; any may set it when it is 0 */
    ngx_atomic_t            link_id;

    struct ngx_mc_event_ring_s  *events;
} ngx_mc_registry_t;


/* what the zone is made from; zone->data of each cycle */

typedef struct {
    ngx_mc_registry_t      *registry;
    ngx_array_t            *flows;             /* ngx_mc_flow_def_t *, sorted
                                                  by name */
    ngx_str_t               region;
    ngx_uint_t              workers;
    ngx_flag_t              guard;             /* mc_guard */
    uint32_t                number;            /* of its generation */
    ngx_uint_t              told;              /* last_reload has its result */
} ngx_mc_registry_conf_t;


extern ngx_mc_registry_t  *ngx_mc_registry;


/*
 * For the master.  init() decides whether the new generation fits, and makes
 * it, unseen; publish() makes it the current one, and cannot fail.
 */
ngx_int_t ngx_mc_registry_init(ngx_shm_zone_t *zone, void *data);
void ngx_mc_registry_publish(ngx_mc_registry_conf_t *rcf, ngx_log_t *log);

/* how a reload went: error is NULL if well */
void ngx_mc_registry_reloaded(ngx_mc_registry_conf_t *rcf,
    ngx_mc_registry_t *reg, char *error);

/* the zone of the cycle that this process runs, or begins to */
void ngx_mc_registry_attach(ngx_shm_zone_t *zone);

/* bytes of mc_zone_size that the flows take, reloads included */
size_t ngx_mc_registry_needed(ngx_array_t *flows);

/* for any process; a generation that was replaced stays readable for 10 s,
   if the zone has room: hold it no longer than one pass of the event loop */
ngx_mc_generation_t *ngx_mc_registry_current(void);
ngx_mc_flow_entry_t *ngx_mc_registry_find(ngx_mc_generation_t *gen,
    u_char *name, size_t len);

/*
 * A snapshot of the record that is whole, peers excepted.  Peers are walked
 * with ngx_mc_registry_peers(): fills up to n copies, returns their number.
 */
void ngx_mc_endpoint_stat_read(ngx_mc_endpoint_stat_t *st,
    ngx_mc_endpoint_stat_t *copy);
ngx_uint_t ngx_mc_registry_peers(ngx_mc_endpoint_stat_t *st,
    ngx_mc_peer_stat_t *copies, ngx_uint_t n);

/* for the owner */
void ngx_mc_endpoint_stat_begin(ngx_mc_endpoint_stat_t *st);
void ngx_mc_endpoint_stat_end(ngx_mc_endpoint_stat_t *st);
ngx_mc_peer_stat_t *ngx_mc_peer_stat_add(ngx_mc_endpoint_stat_t *st);
void ngx_mc_peer_stat_remove(ngx_mc_endpoint_stat_t *st,
    ngx_mc_peer_stat_t *peer);
void ngx_mc_endpoint_stat_reset(ngx_mc_endpoint_stat_t *st);

int64_t ngx_mc_epoch_ms(void);


#endif /* _NGX_MC_REGISTRY_H_INCLUDED_ */
