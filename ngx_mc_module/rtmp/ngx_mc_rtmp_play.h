
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_PLAY_H_INCLUDED_
#define _NGX_MC_RTMP_PLAY_H_INCLUDED_


#include <ngx_mc_rtmp.h>


/*
 * Players of flows.  A "virtual" is what stands in this process for an output
 * that listens: an application, a name, and a link to the flow's owner.  Up to
 * two sessions without a client publish into nginx-rtmp what the link brings:
 *
 * - "live" publishes into the live module and nowhere else: to nginx-rtmp it
 *   is a session that another of its workers has pushed (auto_pushed), for
 *   which HLS, DASH, record, exec, notify, push, log and access do nothing.
 *   Each process with players has one.
 *
 * - "side" is the reverse: it has those modules, and has live led to believe
 *   that it takes part in a stream already, as a player.  It is only in the
 *   home of the output, one process at a time, which holds a lease in shared
 *   memory.  So it moves from worker to worker without the players noticing.
 *
 * Neither needs hooks to end: the pool of the connection tells.
 */

typedef struct {
    ngx_queue_t                queue;
    ngx_queue_t                bucket;
    ngx_pool_t                *pool;

    ngx_str_t                  app;
    ngx_str_t                  stream;
    ngx_rtmp_core_srv_conf_t  *cscf;
    void                     **app_conf;

    ngx_rtmp_session_t        *live;
    ngx_rtmp_session_t        *side;
    ngx_msec_t                 live_retry;
    ngx_msec_t                 side_retry;

    ngx_mc_endpoint_stat_t    *stat;           /* whose lease we hold */

    ngx_mc_rtmp_link_t        *link;
    ngx_event_t                retry;
    ngx_msec_t                 lost;           /* when the link was */

    ngx_mc_frame_headers_t     headers;
    ngx_mc_rtmp_clock_t        clock;
    uint32_t                   timestamp;      /* ms, the newest */
    int64_t                    created;        /* us */
    uint64_t                   frames;         /* that went to players */

    ngx_queue_t                players;
    ngx_uint_t                 nplayers;
    ngx_uint_t                 nwaiting;       /* for a frame to begin with */
    ngx_msec_t                 idle;           /* since when there are none */

    unsigned                   opened:1;       /* the link was taken */
    unsigned                   home:1;
    unsigned                   keyed:1;        /* a key frame came by */
    unsigned                   video:1;        /* the flow has it */
    unsigned                   taken:1;        /* the name is another's */
} ngx_mc_rtmp_virtual_t;


typedef struct {
    ngx_queue_t                queue;
    ngx_rtmp_session_t        *session;
    ngx_mc_rtmp_virtual_t     *virtual;
    uint64_t                   id;
    ngx_str_t                  address;

    uint64_t                   bytes;
    uint32_t                   out_bytes;      /* of the session, as seen */
    uint64_t                   first;          /* frame that it began with */

    uint64_t                   told_bytes;     /* the owner, or one before */
    uint64_t                   told_messages;
    uint64_t                   told_dropped;

    unsigned                   started:1;
    unsigned                   told:1;         /* the owner knows of it */
} ngx_mc_rtmp_player_t;


/* ngx_mc_rtmp_virtual.c.  An application is known by its app_conf */

extern ngx_queue_t  ngx_mc_rtmp_virtuals;

void ngx_mc_rtmp_virtual_process(void);

/* NULL: there is none */
ngx_mc_rtmp_virtual_t *ngx_mc_rtmp_virtual_find(ngx_str_t *stream,
    void **app_conf);
ngx_mc_rtmp_virtual_t *ngx_mc_rtmp_virtual_create(
    ngx_rtmp_core_srv_conf_t *cscf, void **app_conf, ngx_str_t *app,
    ngx_str_t *stream);

/* players are cut, "why" is what they are told */
void ngx_mc_rtmp_virtual_free(ngx_mc_rtmp_virtual_t *v, const char *why);

/* puts in order what this process has of an output, by the newest table; it
   may be freed.  "update": the table is another one */
void ngx_mc_rtmp_virtual_tick(ngx_mc_rtmp_virtual_t *v, ngx_uint_t update);

/* publishes "live", unless it is there or has just been refused */
void ngx_mc_rtmp_virtual_open(ngx_mc_rtmp_virtual_t *v);

/* gives up the lease, if it has it */
void ngx_mc_rtmp_virtual_release(ngx_mc_rtmp_virtual_t *v);

/* v->link, or it is tried again later */
void ngx_mc_rtmp_virtual_link(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_rtmp_name_t *name);


/* ngx_mc_rtmp_session.c */

/* "ctx": of rtmp{} */
ngx_int_t ngx_mc_rtmp_session_process(ngx_cycle_t *cycle,
    ngx_rtmp_conf_ctx_t *ctx);
void ngx_mc_rtmp_session_exit(void);

/* a session that publishes, "live" or "side"; NULL: it could not */
ngx_rtmp_session_t *ngx_mc_rtmp_session_create(ngx_mc_rtmp_virtual_t *v,
    ngx_uint_t side);

/* it is gone later, which v->live or v->side tells */
void ngx_mc_rtmp_session_end(ngx_rtmp_session_t *s);

/* likewise, by a virtual that does not wait for it to be gone */
void ngx_mc_rtmp_session_drop(ngx_rtmp_session_t *s);

/* NGX_ERROR: nginx-rtmp does not want the session any more */
ngx_int_t ngx_mc_rtmp_session_feed(ngx_rtmp_session_t *s,
    ngx_mc_frame_t *frame, uint32_t timestamp);


/* ngx_mc_rtmp_play.c */

/* from the hooks of ngx_mc_rtmp_module.c; NGX_DECLINED: not ours, go on */
ngx_int_t ngx_mc_rtmp_play_hook(ngx_rtmp_session_t *s, ngx_rtmp_play_t *v,
    ngx_rtmp_play_pt next);
void ngx_mc_rtmp_play_gone(ngx_rtmp_session_t *s);

/* once a worker of a configuration with rtmp{}, and before it ends */
ngx_int_t ngx_mc_rtmp_play_process(ngx_cycle_t *cycle);
void ngx_mc_rtmp_play_exit(ngx_cycle_t *cycle);

/* of the server that has the application, -1: none has */
int32_t ngx_mc_rtmp_play_chunk_size(ngx_str_t *app);

/* worker_shutdown_timeout, or the process ends */
extern ngx_uint_t  ngx_mc_rtmp_play_ending;

/* tells the owner of a player, by a link that is opened */
void ngx_mc_rtmp_player_tell(ngx_mc_rtmp_player_t *pl);

/* ends the session, with "why" for the player */
void ngx_mc_rtmp_player_cut(ngx_mc_rtmp_player_t *pl, const char *why);

/* neither the flow nor the output is stopped */
ngx_uint_t ngx_mc_rtmp_play_is_on(ngx_mc_rtmp_name_t *name);


#endif /* _NGX_MC_RTMP_PLAY_H_INCLUDED_ */
