
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp.h>
#include <ngx_mc_owner.h>
#include <ngx_rtmp_live_module.h>
#include <ngx_rtmp_codec_module.h>


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


#define NGX_MC_RTMP_TICK          100        /* ms */
#define NGX_MC_RTMP_LEASE         2000       /* ms without a sign of life */
#define NGX_MC_RTMP_RETRY         20         /* ms, of a link just lost */
#define NGX_MC_RTMP_RETRY_FAST    2000       /* ms, for so long */
#define NGX_MC_RTMP_AGAIN         1000       /* ms, of what was ended for us */
#define NGX_MC_RTMP_KEEP          5000       /* ms without players */

#define NGX_MC_RTMP_BUCKETS       256


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

    unsigned                   started:1;
    unsigned                   told:1;         /* the owner knows of it */
} ngx_mc_rtmp_player_t;


static ngx_mc_rtmp_virtual_t *ngx_mc_rtmp_virtual_find(ngx_str_t *app,
    ngx_str_t *stream, void **app_conf);
static ngx_mc_rtmp_virtual_t *ngx_mc_rtmp_virtual_create(
    ngx_rtmp_core_srv_conf_t *cscf, void **app_conf, ngx_str_t *app,
    ngx_str_t *stream);
static void ngx_mc_rtmp_virtual_free(ngx_mc_rtmp_virtual_t *v,
    const char *why);
static void ngx_mc_rtmp_virtual_tick(ngx_mc_rtmp_virtual_t *v,
    ngx_uint_t update);
static void ngx_mc_rtmp_virtual_open(ngx_mc_rtmp_virtual_t *v);
static void ngx_mc_rtmp_virtual_link(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_rtmp_name_t *name);
static void ngx_mc_rtmp_virtual_retry(ngx_event_t *ev);
static ngx_int_t ngx_mc_rtmp_virtual_lease(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_endpoint_stat_t *st);
static void ngx_mc_rtmp_virtual_release(ngx_mc_rtmp_virtual_t *v);
static void ngx_mc_rtmp_virtual_frame(void *data, ngx_mc_frame_t *frame);
static void ngx_mc_rtmp_virtual_opened(void *data);
static void ngx_mc_rtmp_virtual_closed(void *data, ngx_uint_t code,
    u_char *why);
static ngx_uint_t ngx_mc_rtmp_virtual_known(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_frame_t *frame);
static void ngx_mc_rtmp_virtual_headers(ngx_mc_rtmp_virtual_t *v,
    ngx_rtmp_session_t *s);
static void ngx_mc_rtmp_virtual_players(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_frame_t *frame);
static void ngx_mc_rtmp_virtual_hevc(ngx_mc_rtmp_virtual_t *v,
    ngx_rtmp_live_ctx_t *ctx, ngx_rtmp_live_ctx_t *pctx);

static ngx_rtmp_session_t *ngx_mc_rtmp_session_create(
    ngx_mc_rtmp_virtual_t *v, ngx_uint_t side);
static void ngx_mc_rtmp_session_end(ngx_rtmp_session_t *s);
static void ngx_mc_rtmp_session_drop(ngx_rtmp_session_t *s);
static ngx_int_t ngx_mc_rtmp_session_feed(ngx_rtmp_session_t *s,
    ngx_mc_frame_t *frame, uint32_t timestamp);
static void ngx_mc_rtmp_session_cleanup(void *data);
static void ngx_mc_rtmp_session_read(ngx_event_t *rev);
static void ngx_mc_rtmp_session_write(ngx_event_t *wev);
static ssize_t ngx_mc_rtmp_session_recv(ngx_connection_t *c, u_char *buf,
    size_t size);
static ssize_t ngx_mc_rtmp_session_recv_chain(ngx_connection_t *c,
    ngx_chain_t *cl, off_t limit);
static ssize_t ngx_mc_rtmp_session_send(ngx_connection_t *c, u_char *buf,
    size_t size);
static ngx_chain_t *ngx_mc_rtmp_session_send_chain(ngx_connection_t *c,
    ngx_chain_t *in, off_t limit);

static ngx_int_t ngx_mc_rtmp_play_refuse(ngx_rtmp_session_t *s,
    ngx_mc_rtmp_name_t *name, ngx_uint_t reason, char *why);
static void ngx_mc_rtmp_player_tell(ngx_mc_rtmp_player_t *pl);
static void ngx_mc_rtmp_player_stat(ngx_mc_rtmp_player_t *pl);
static void ngx_mc_rtmp_player_remove(ngx_mc_rtmp_player_t *pl,
    const char *why);
static void ngx_mc_rtmp_player_cut(ngx_mc_rtmp_player_t *pl,
    const char *why);
static void ngx_mc_rtmp_player_gone(void *data);

static void ngx_mc_rtmp_play_tick(ngx_event_t *ev);
static void ngx_mc_rtmp_play_second(ngx_event_t *ev);
static ngx_uint_t ngx_mc_rtmp_play_is_on(ngx_mc_rtmp_name_t *name);
static ngx_rtmp_core_app_conf_t *ngx_mc_rtmp_play_app(ngx_str_t *app,
    ngx_rtmp_core_srv_conf_t **cscf);


static ngx_mc_rtmp_link_handlers_t  ngx_mc_rtmp_play_handlers = {
    ngx_mc_rtmp_virtual_frame,
    ngx_mc_rtmp_virtual_closed,
    ngx_mc_rtmp_virtual_opened
};


static ngx_queue_t           ngx_mc_rtmp_virtuals;
static ngx_queue_t           ngx_mc_rtmp_buckets[NGX_MC_RTMP_BUCKETS];
static ngx_rtmp_conf_ctx_t  *ngx_mc_rtmp_play_ctx;  /* of rtmp{}; NULL: none */
static void                **ngx_mc_rtmp_play_main_conf;
static int                   ngx_mc_rtmp_play_fd = -1;
static ngx_event_t           ngx_mc_rtmp_play_timer;
static ngx_event_t           ngx_mc_rtmp_play_stat_timer;
static ngx_uint_t            ngx_mc_rtmp_nplayers;
static uint64_t              ngx_mc_rtmp_player_id;
static uint32_t              ngx_mc_rtmp_play_generation;
static ngx_msec_t            ngx_mc_rtmp_play_scanned;

/* worker_shutdown_timeout, or the process ends */
static ngx_uint_t            ngx_mc_rtmp_play_ending;

/* what live takes for a stream in which "side" is a player: that it has
   another member keeps live from deleting it */
static ngx_rtmp_live_stream_t  ngx_mc_rtmp_side_stream;
static ngx_rtmp_live_ctx_t     ngx_mc_rtmp_side_member;


ngx_int_t
ngx_mc_rtmp_play_conf(ngx_conf_t *cf)
{
    return NGX_OK;
}


ngx_int_t
ngx_mc_rtmp_play_process(ngx_cycle_t *cycle)
{
    void               **main_conf;
    ngx_uint_t           i;
    ngx_conf_t           cf;
    ngx_event_t         *ev;
    ngx_rtmp_module_t   *module;

    ngx_mc_rtmp_play_ctx = (ngx_rtmp_conf_ctx_t *)
                               ngx_get_conf(cycle->conf_ctx, ngx_rtmp_module);

    ngx_queue_init(&ngx_mc_rtmp_virtuals);

    for (i = 0; i < NGX_MC_RTMP_BUCKETS; i++) {
        ngx_queue_init(&ngx_mc_rtmp_buckets[i]);
    }

    if (ngx_mc_rtmp_play_ctx == NULL) {
        return NGX_OK;
    }

    ngx_mc_rtmp_play_fd = open("/dev/null", O_RDWR|O_CLOEXEC);

    if (ngx_mc_rtmp_play_fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                      "open() \"/dev/null\" failed");
        ngx_mc_rtmp_play_ctx = NULL;
        return NGX_ERROR;
    }

    /* without the limit module: max_connections is about clients */

    main_conf = ngx_palloc(cycle->pool, sizeof(void *) * ngx_rtmp_max_module);
    if (main_conf == NULL) {
        ngx_mc_rtmp_play_ctx = NULL;
        return NGX_ERROR;
    }

    ngx_memcpy(main_conf, ngx_mc_rtmp_play_ctx->main_conf,
               sizeof(void *) * ngx_rtmp_max_module);

    for (i = 0; cycle->modules[i]; i++) {

        if (cycle->modules[i]->type != NGX_RTMP_MODULE
            || ngx_strcmp(cycle->modules[i]->name, "ngx_rtmp_limit_module")
               != 0)
        {
            continue;
        }

        module = cycle->modules[i]->ctx;

        ngx_memzero(&cf, sizeof(ngx_conf_t));
        cf.cycle = cycle;
        cf.pool = cycle->pool;
        cf.log = cycle->log;

        main_conf[cycle->modules[i]->ctx_index] =
                                               module->create_main_conf(&cf);

        if (main_conf[cycle->modules[i]->ctx_index] == NULL) {
            ngx_mc_rtmp_play_ctx = NULL;
            return NGX_ERROR;
        }
    }

    ngx_mc_rtmp_play_main_conf = main_conf;

    ngx_mc_rtmp_side_stream.ctx = &ngx_mc_rtmp_side_member;

    ev = &ngx_mc_rtmp_play_stat_timer;
    ev->handler = ngx_mc_rtmp_play_second;
    ev->log = cycle->log;

    ev = &ngx_mc_rtmp_play_timer;
    ev->handler = ngx_mc_rtmp_play_tick;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_MC_RTMP_TICK);

    return NGX_OK;
}


void
ngx_mc_rtmp_play_exit(ngx_cycle_t *cycle)
{
    ngx_queue_t            *q;
    ngx_mc_rtmp_virtual_t  *v;

    if (ngx_mc_rtmp_play_ctx == NULL) {
        return;
    }

    ngx_mc_rtmp_play_ending = 1;

    while (!ngx_queue_empty(&ngx_mc_rtmp_virtuals)) {
        q = ngx_queue_head(&ngx_mc_rtmp_virtuals);
        v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, queue);

        ngx_mc_rtmp_virtual_free(v, "the worker process ends");
    }

    /* sessions end in posted events, and no event loop is to come */

    ngx_event_process_posted(cycle, &ngx_posted_events);

    if (ngx_mc_rtmp_play_timer.timer_set) {
        ngx_del_timer(&ngx_mc_rtmp_play_timer);
    }

    if (ngx_mc_rtmp_play_stat_timer.timer_set) {
        ngx_del_timer(&ngx_mc_rtmp_play_stat_timer);
    }

    (void) close(ngx_mc_rtmp_play_fd);
    ngx_mc_rtmp_play_ctx = NULL;
}


/* virtuals */

static ngx_uint_t
ngx_mc_rtmp_virtual_bucket(ngx_str_t *stream)
{
    return (ngx_uint_t) ngx_mc_hash(stream->data, stream->len)
           % NGX_MC_RTMP_BUCKETS;
}


static ngx_mc_rtmp_virtual_t *
ngx_mc_rtmp_virtual_find(ngx_str_t *app, ngx_str_t *stream, void **app_conf)
{
    ngx_queue_t            *q, *bucket;
    ngx_mc_rtmp_virtual_t  *v;

    bucket = &ngx_mc_rtmp_buckets[ngx_mc_rtmp_virtual_bucket(stream)];

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, bucket);

        if (v->app_conf == app_conf
            && v->stream.len == stream->len
            && ngx_memcmp(v->stream.data, stream->data, stream->len) == 0)
        {
            return v;
        }
    }

    return NULL;
}


static ngx_mc_rtmp_virtual_t *
ngx_mc_rtmp_virtual_create(ngx_rtmp_core_srv_conf_t *cscf, void **app_conf,
    ngx_str_t *app, ngx_str_t *stream)
{
    ngx_uint_t              i;
    ngx_pool_t             *pool;
    ngx_mc_rtmp_virtual_t  *v;

    pool = ngx_create_pool(2048, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    v = ngx_pcalloc(pool, sizeof(ngx_mc_rtmp_virtual_t));
    if (v == NULL) {
        goto failed;
    }

    v->pool = pool;
    v->cscf = cscf;
    v->app_conf = app_conf;

    v->app.len = app->len;
    v->app.data = ngx_pstrdup(pool, app);
    v->stream.len = stream->len;
    v->stream.data = ngx_pstrdup(pool, stream);

    if (v->app.data == NULL || v->stream.data == NULL) {
        goto failed;
    }

    v->retry.handler = ngx_mc_rtmp_virtual_retry;
    v->retry.data = v;
    v->retry.log = ngx_cycle->log;
    v->retry.cancelable = 1;

    v->created = ngx_mc_now();
    v->idle = ngx_current_msec;
    v->live_retry = ngx_current_msec;
    v->side_retry = ngx_current_msec;
    v->lost = ngx_current_msec - NGX_MC_RTMP_RETRY_FAST;

    ngx_mc_rtmp_clock_reset(&v->clock);

    ngx_queue_init(&v->players);
    ngx_queue_insert_tail(&ngx_mc_rtmp_virtuals, &v->queue);

    i = ngx_mc_rtmp_virtual_bucket(stream);
    ngx_queue_insert_tail(&ngx_mc_rtmp_buckets[i], &v->bucket);

    return v;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static void
ngx_mc_rtmp_virtual_free(ngx_mc_rtmp_virtual_t *v, const char *why)
{
    ngx_queue_t           *q;
    ngx_mc_rtmp_player_t  *pl;

    while (!ngx_queue_empty(&v->players)) {
        q = ngx_queue_head(&v->players);
        pl = ngx_queue_data(q, ngx_mc_rtmp_player_t, queue);

        ngx_mc_rtmp_player_cut(pl, why);
    }

    if (v->side) {
        ngx_mc_rtmp_session_drop(v->side);
    }

    if (v->live) {
        ngx_mc_rtmp_session_drop(v->live);
    }

    ngx_mc_rtmp_virtual_release(v);

    if (v->link) {
        ngx_mc_rtmp_link_close(v->link);
    }

    if (v->retry.timer_set) {
        ngx_del_timer(&v->retry);
    }

    ngx_mc_frame_headers_free(&v->headers);

    ngx_queue_remove(&v->queue);
    ngx_queue_remove(&v->bucket);

    ngx_destroy_pool(v->pool);
}


/* puts in order what this process has of an output, by the newest table */

static void
ngx_mc_rtmp_virtual_tick(ngx_mc_rtmp_virtual_t *v, ngx_uint_t update)
{
    ngx_uint_t             home, old;
    ngx_queue_t           *q, *next;
    ngx_mc_generation_t   *gen;
    ngx_mc_rtmp_name_t    *name;
    ngx_mc_rtmp_player_t  *pl;

    name = ngx_mc_rtmp_table_find(&v->app, &v->stream, NGX_MC_OUTPUT);

    if (name == NULL || !ngx_mc_rtmp_play_is_on(name)) {
        ngx_mc_rtmp_virtual_free(v, name ? "the output was stopped"
                                         : "the output was removed");
        return;
    }

    gen = ngx_mc_registry_current();
    old = ngx_exiting || (gen && ngx_mc_owner_is_old(gen));

    home = v->home && !old && name->hint == ngx_worker;

    if (update) {

        for (q = ngx_queue_head(&v->players);
             q != ngx_queue_sentinel(&v->players);
             q = next)
        {
            next = ngx_queue_next(q);
            pl = ngx_queue_data(q, ngx_mc_rtmp_player_t, queue);

            if (ngx_mc_access(name->def.params.allow,
                              pl->session->connection->sockaddr)
                != NGX_OK)
            {
                ngx_mc_rtmp_player_cut(pl, "the address is no longer allowed");
            }
        }
    }

    if (v->nplayers == 0 && !home
        && (old || v->home
            || ngx_current_msec - v->idle >= NGX_MC_RTMP_KEEP))
    {
        ngx_mc_rtmp_virtual_free(v, "");
        return;
    }

    if (v->home && !home) {
        v->home = 0;
    }

    if (v->side
        && (!home || ngx_mc_rtmp_virtual_lease(v, name->stat) != NGX_OK))
    {
        /* the lease goes with it */
        ngx_mc_rtmp_session_end(v->side);
    }

    ngx_mc_rtmp_virtual_open(v);

    if (home && v->side == NULL && v->live
        && (ngx_msec_int_t) (ngx_current_msec - v->side_retry) >= 0
        && ngx_mc_rtmp_virtual_lease(v, name->stat) == NGX_OK)
    {
        v->side_retry = ngx_current_msec + NGX_MC_RTMP_AGAIN;
        v->side = ngx_mc_rtmp_session_create(v, 1);

        if (v->side) {
            ngx_mc_rtmp_virtual_headers(v, v->side);

        } else {
            ngx_mc_rtmp_virtual_release(v);
        }
    }

    if (v->link == NULL) {
        ngx_mc_rtmp_virtual_link(v, name);
    }
}


static void
ngx_mc_rtmp_virtual_open(ngx_mc_rtmp_virtual_t *v)
{
    ngx_queue_t           *q;
    ngx_rtmp_live_ctx_t   *ctx;
    ngx_mc_rtmp_player_t  *pl;

    if (v->live
        || (ngx_msec_int_t) (ngx_current_msec - v->live_retry) < 0)
    {
        return;
    }

    v->live_retry = ngx_current_msec + NGX_MC_RTMP_AGAIN;

    v->live = ngx_mc_rtmp_session_create(v, 0);

    if (v->live == NULL) {
        return;
    }

    ctx = ngx_rtmp_get_module_ctx(v->live, ngx_rtmp_live_module);

    if (ctx == NULL || ctx->stream == NULL || !ctx->publishing) {

        if (!v->taken) {
            v->taken = 1;
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "RTMP output \"%V/%V\" cannot be published: the "
                          "name is in use, or \"live\" is off",
                          &v->app, &v->stream);
        }

        ngx_mc_rtmp_session_drop(v->live);
        v->live = NULL;
        return;
    }

    v->taken = 0;

    /* whoever is there already begins anew */

    v->nwaiting = v->nplayers;

    for (q = ngx_queue_head(&v->players);
         q != ngx_queue_sentinel(&v->players);
         q = ngx_queue_next(q))
    {
        pl = ngx_queue_data(q, ngx_mc_rtmp_player_t, queue);
        pl->started = 0;
    }

    ngx_mc_rtmp_virtual_headers(v, v->live);
}


static void
ngx_mc_rtmp_virtual_link(ngx_mc_rtmp_virtual_t *v, ngx_mc_rtmp_name_t *name)
{
    v->link = ngx_mc_rtmp_link_open(name, NULL, &ngx_mc_rtmp_play_handlers, v);

    if (v->link == NULL) {

        /* an owner that has just left has a successor in no time */

        if (ngx_current_msec - v->lost < NGX_MC_RTMP_RETRY_FAST
            && !v->retry.timer_set)
        {
            ngx_add_timer(&v->retry, NGX_MC_RTMP_RETRY);
        }
    }
}


static void
ngx_mc_rtmp_virtual_retry(ngx_event_t *ev)
{
    ngx_mc_rtmp_name_t     *name;
    ngx_mc_rtmp_virtual_t  *v;

    v = ev->data;

    if (v->link) {
        return;
    }

    name = ngx_mc_rtmp_table_find(&v->app, &v->stream, NGX_MC_OUTPUT);

    if (name) {
        ngx_mc_rtmp_virtual_link(v, name);
    }
}


/* the right to run "side": NGX_OK, NGX_DECLINED if it is another process's */

static ngx_int_t
ngx_mc_rtmp_virtual_lease(ngx_mc_rtmp_virtual_t *v, ngx_mc_endpoint_stat_t *st)
{
    ngx_atomic_uint_t  pid, at, now;

    if (v->stat && v->stat != st) {
        ngx_mc_rtmp_virtual_release(v);
    }

    pid = st->home;
    at = st->home_at;
    now = (ngx_atomic_uint_t) ngx_current_msec;

    if (pid != (ngx_atomic_uint_t) ngx_pid) {

        if (v->stat) {

            /* it was ours, and was taken from us for being silent */

            v->stat = NULL;
            return NGX_DECLINED;
        }

        if (pid && now - at < NGX_MC_RTMP_LEASE) {
            return NGX_DECLINED;
        }

        if (!ngx_atomic_cmp_set(&st->home, pid, (ngx_atomic_uint_t) ngx_pid)) {
            return NGX_DECLINED;
        }
    }

    st->home_at = now;
    v->stat = st;

    return NGX_OK;
}


static void
ngx_mc_rtmp_virtual_release(ngx_mc_rtmp_virtual_t *v)
{
    if (v->stat) {
        (void) ngx_atomic_cmp_set(&v->stat->home, (ngx_atomic_uint_t) ngx_pid,
                                  0);
        v->stat = NULL;
    }
}


/* only now does the owner listen to what is told of players */

static void
ngx_mc_rtmp_virtual_opened(void *data)
{
    ngx_queue_t            *q;
    ngx_mc_rtmp_player_t   *pl;
    ngx_mc_rtmp_virtual_t  *v;

    v = data;

    v->opened = 1;

    for (q = ngx_queue_head(&v->players);
         q != ngx_queue_sentinel(&v->players);
         q = ngx_queue_next(q))
    {
        pl = ngx_queue_data(q, ngx_mc_rtmp_player_t, queue);
        ngx_mc_rtmp_player_tell(pl);
    }
}


static void
ngx_mc_rtmp_virtual_closed(void *data, ngx_uint_t code, u_char *why)
{
    ngx_queue_t            *q;
    ngx_mc_rtmp_player_t   *pl;
    ngx_mc_rtmp_virtual_t  *v;

    v = data;

    v->link = NULL;
    v->opened = 0;
    v->lost = ngx_current_msec;

    for (q = ngx_queue_head(&v->players);
         q != ngx_queue_sentinel(&v->players);
         q = ngx_queue_next(q))
    {
        pl = ngx_queue_data(q, ngx_mc_rtmp_player_t, queue);
        pl->told = 0;
    }

    if (!v->retry.timer_set) {
        ngx_add_timer(&v->retry, 1);
    }
}


static void
ngx_mc_rtmp_virtual_frame(void *data, ngx_mc_frame_t *frame)
{
    ngx_rtmp_live_ctx_t    *ctx;
    ngx_mc_rtmp_virtual_t  *v;

    v = data;

    if (frame->len == 0 || frame->end) {
        return;
    }

    if (frame->type == NGX_MC_FRAME_META || frame->config) {

        if (frame->discontinuity) {
            v->clock.jump = 1;
        }

        if (frame->type == NGX_MC_FRAME_VIDEO) {
            v->video = 1;
        }

        if (ngx_mc_rtmp_virtual_known(v, frame)) {
            return;
        }

        if (frame->type == NGX_MC_FRAME_VIDEO) {

            /* pictures of other parameters begin with a key frame */
            v->keyed = 0;
        }

        if (ngx_mc_frame_headers_set(&v->headers, frame) != NGX_OK) {
            return;
        }

    } else {

        if (frame->origin < v->created) {

            /* kept for those who had a link to the owner's predecessor: the
               recordings of another process have it already */

            return;
        }

        if (frame->type == NGX_MC_FRAME_VIDEO) {
            v->video = 1;

            if (frame->key) {
                v->keyed = 1;

            } else if (!v->keyed) {
                return;
            }
        }

        if (ngx_mc_rtmp_clock_late(&v->clock, frame)) {
            return;
        }

        v->timestamp = ngx_mc_rtmp_clock(&v->clock, frame, ngx_mc_now());
        v->frames++;
    }

    if (v->live) {
        ngx_mc_rtmp_virtual_players(v, frame);

        if (ngx_mc_rtmp_session_feed(v->live, frame, v->timestamp)
            != NGX_OK)
        {
            ngx_mc_rtmp_session_end(v->live);
        }

        /* drop_idle_publisher is about clients: players are to wait */

        ctx = ngx_rtmp_get_module_ctx(v->live, ngx_rtmp_live_module);

        if (ctx && ctx->idle_evt.timer_set) {
            ngx_del_timer(&ctx->idle_evt);
        }
    }

    if (v->side
        && ngx_mc_rtmp_session_feed(v->side, frame, v->timestamp) != NGX_OK)
    {
        ngx_mc_rtmp_session_end(v->side);
    }
}


/* a configuration that is the same as before: owners give it to each link */

static ngx_uint_t
ngx_mc_rtmp_virtual_known(ngx_mc_rtmp_virtual_t *v, ngx_mc_frame_t *frame)
{
    ngx_mc_frame_t  *header;

    switch (frame->type) {

    case NGX_MC_FRAME_META:
        header = &v->headers.meta;
        break;

    case NGX_MC_FRAME_VIDEO:
        header = &v->headers.video;
        break;

    default:
        header = &v->headers.audio;
    }

    return header->tag && header->len == frame->len
           && ngx_memcmp(header->tag, frame->tag, frame->len) == 0;
}


static void
ngx_mc_rtmp_virtual_headers(ngx_mc_rtmp_virtual_t *v, ngx_rtmp_session_t *s)
{
    if (v->headers.meta.tag) {
        (void) ngx_mc_rtmp_session_feed(s, &v->headers.meta, v->timestamp);
    }

    if (v->headers.video.tag) {
        (void) ngx_mc_rtmp_session_feed(s, &v->headers.video, v->timestamp);
    }

    if (v->headers.audio.tag) {
        (void) ngx_mc_rtmp_session_feed(s, &v->headers.audio, v->timestamp);
    }
}


/*
 * Before a frame goes to live: who joined waits for one to begin with,
 * whatever wait_key says.  What codec and live do not know of HEVC is done
 * here: that it has a configuration, and what a key frame is.
 */

static void
ngx_mc_rtmp_virtual_players(ngx_mc_rtmp_virtual_t *v, ngx_mc_frame_t *frame)
{
    ngx_uint_t              begin, hevc;
    ngx_mc_rtmp_ctx_t      *rctx;
    ngx_rtmp_live_ctx_t    *ctx, *pctx;
    ngx_rtmp_codec_ctx_t   *codec;
    ngx_mc_rtmp_player_t   *pl;

    ctx = ngx_rtmp_get_module_ctx(v->live, ngx_rtmp_live_module);

    if (ctx == NULL || ctx->stream == NULL) {
        return;
    }

    if (frame->type == NGX_MC_FRAME_META) {
        return;
    }

    hevc = (frame->type == NGX_MC_FRAME_VIDEO
            && frame->codec == NGX_MC_CODEC_HEVC);

    if (hevc && frame->config) {

        /* or live would send that of the stream before */

        codec = ngx_rtmp_get_module_ctx(v->live, ngx_rtmp_codec_module);

        if (codec && codec->avc_header) {
            ngx_rtmp_free_shared_chain(v->cscf, codec->avc_header);
            codec->avc_header = NULL;
        }
    }

    hevc = hevc && frame->key;

    if (v->nwaiting == 0 && !hevc) {
        return;
    }

    begin = !frame->config
            && ((frame->type == NGX_MC_FRAME_VIDEO) ? frame->key : !v->video);

    for (pctx = ctx->stream->ctx; pctx; pctx = pctx->next) {

        if (pctx == ctx) {
            continue;
        }

        rctx = ngx_rtmp_get_module_ctx(pctx->session,
                                       ngx_mc_rtmp_hooks_module);

        pl = (rctx && rctx->role == NGX_MC_RTMP_PLAYER) ? rctx->data : NULL;

        if (pl && !pl->started) {

            if (!begin) {
                pctx->paused = 1;
                continue;
            }

            pctx->paused = 0;
            pctx->ndropped = 0;

            pl->started = 1;
            pl->first = v->frames - 1;
            v->nwaiting--;
        }

        if (hevc && !pctx->paused && !pctx->cs[0].active) {
            ngx_mc_rtmp_virtual_hevc(v, ctx, pctx);
        }
    }
}


static void
ngx_mc_rtmp_virtual_hevc(ngx_mc_rtmp_virtual_t *v, ngx_rtmp_live_ctx_t *ctx,
    ngx_rtmp_live_ctx_t *pctx)
{
    ngx_buf_t           buf;
    ngx_chain_t         in, *out;
    ngx_rtmp_header_t   h;

    if (v->headers.video.tag == NULL
        || v->headers.video.codec != NGX_MC_CODEC_HEVC)
    {
        return;
    }

    ngx_memzero(&buf, sizeof(ngx_buf_t));
    buf.pos = v->headers.video.tag;
    buf.last = buf.pos + v->headers.video.len;
    buf.memory = 1;
    in.buf = &buf;
    in.next = NULL;

    out = ngx_rtmp_append_shared_bufs(v->cscf, NULL, &in);
    if (out == NULL) {
        return;
    }

    /* live sends the frame that follows by its distance to the one before */

    ngx_memzero(&h, sizeof(ngx_rtmp_header_t));
    h.type = NGX_RTMP_MSG_VIDEO;
    h.msid = NGX_RTMP_MSID;
    h.csid = ctx->cs[0].csid;
    h.timestamp = ctx->cs[0].active ? ctx->cs[0].timestamp : v->timestamp;

    ngx_rtmp_prepare_message(v->live, &h, NULL, out);

    if (ngx_rtmp_send_message(pctx->session, out, 0) == NGX_OK) {
        pctx->cs[0].timestamp = h.timestamp;
        pctx->cs[0].active = 1;
        pctx->cs[0].dropped = 0;
        pctx->session->current_time = h.timestamp;
    }

    ngx_rtmp_free_shared_chain(v->cscf, out);
}


/* sessions without a client */

static ngx_rtmp_session_t *
ngx_mc_rtmp_session_create(ngx_mc_rtmp_virtual_t *v, ngx_uint_t side)
{
    int                     fd;
    ngx_int_t               rc;
    ngx_log_t              *log;
    ngx_pool_t             *pool;
    ngx_connection_t       *c;
    ngx_mc_rtmp_ctx_t      *ctx;
    ngx_pool_cleanup_t     *cln;
    ngx_rtmp_session_t     *s;
    ngx_rtmp_publish_t      pub;
    ngx_rtmp_live_ctx_t    *lctx;
    ngx_rtmp_addr_conf_t   *addr;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    log = ngx_palloc(pool, sizeof(ngx_log_t));
    addr = ngx_pcalloc(pool, sizeof(ngx_rtmp_addr_conf_t)
                             + sizeof(ngx_rtmp_conf_ctx_t));
    ctx = ngx_palloc(pool, sizeof(ngx_mc_rtmp_ctx_t));
    cln = ngx_pool_cleanup_add(pool, 0);

    if (log == NULL || addr == NULL || ctx == NULL || cln == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    fd = fcntl(ngx_mc_rtmp_play_fd, F_DUPFD_CLOEXEC, 0);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_errno,
                      "fcntl(F_DUPFD_CLOEXEC) failed");
        ngx_destroy_pool(pool);
        return NULL;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);

    if (c == NULL) {
        (void) close(fd);
        ngx_destroy_pool(pool);
        return NULL;
    }

    *log = *ngx_cycle->log;
    pool->log = log;

    c->pool = pool;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = ngx_mc_rtmp_session_read;
    c->write->handler = ngx_mc_rtmp_session_write;
    c->recv = ngx_mc_rtmp_session_recv;
    c->recv_chain = ngx_mc_rtmp_session_recv_chain;
    c->send = ngx_mc_rtmp_session_send;
    c->send_chain = ngx_mc_rtmp_session_send_chain;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    ngx_str_set(&c->addr_text, "mc_flow");

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    addr->ctx = (ngx_rtmp_conf_ctx_t *) (addr + 1);
    addr->ctx->main_conf = ngx_mc_rtmp_play_main_conf;
    addr->ctx->srv_conf = v->cscf->ctx->srv_conf;
    addr->ctx->app_conf = v->app_conf;
    ngx_str_set(&addr->addr_text, "mc_flow");

    s = ngx_rtmp_init_session(c, addr);

    if (s == NULL) {
        /* it has closed the connection, or will */
        return NULL;
    }

    s->app_conf = v->app_conf;
    s->connected = 1;

    /* strings go with the virtual, but sessions do not at once */

    s->app.len = v->app.len;
    s->app.data = ngx_pstrdup(pool, &v->app);

    ngx_str_set(&s->args, "");
    ngx_str_set(&s->flashver, "");
    ngx_str_set(&s->swf_url, "");
    ngx_str_set(&s->tc_url, "");
    ngx_str_set(&s->page_url, "");

    ctx->role = NGX_MC_RTMP_VIRTUAL;
    ctx->data = v;
    ngx_rtmp_set_ctx(s, ctx, ngx_mc_rtmp_hooks_module);

    cln->handler = ngx_mc_rtmp_session_cleanup;
    cln->data = s;

    if (s->app.data == NULL) {
        goto failed;
    }

    if (side) {
        lctx = ngx_pcalloc(pool, sizeof(ngx_rtmp_live_ctx_t));
        if (lctx == NULL) {
            goto failed;
        }

        lctx->session = s;
        lctx->stream = &ngx_mc_rtmp_side_stream;
        lctx->silent = 1;

        ngx_rtmp_set_ctx(s, lctx, ngx_rtmp_live_module);

    } else {
        s->auto_pushed = 1;
    }

    ngx_memzero(&pub, sizeof(ngx_rtmp_publish_t));
    ngx_memcpy(pub.name, v->stream.data,
               ngx_min(v->stream.len, NGX_RTMP_MAX_NAME - 1));
    ngx_memcpy(pub.type, "live", 4);
    pub.silent = 1;

    /* during this: rtmp_auto_push is to do without it */

    s->relay = 1;
    rc = ngx_rtmp_publish(s, &pub);
    s->relay = 0;

    if (rc == NGX_ERROR || c->destroyed) {
        goto failed;
    }

    return s;

failed:

    ngx_mc_rtmp_session_drop(s);

    return NULL;
}


static void
ngx_mc_rtmp_session_end(ngx_rtmp_session_t *s)
{
    /* no line of the access log: no client was there */
    s->relay = 1;

    /* a recording that rtmp_control has begun is to be closed */
    s->auto_pushed = 0;

    ngx_rtmp_finalize_session(s);
}


/* likewise, by a virtual that does not wait for it to be gone */

static void
ngx_mc_rtmp_session_drop(ngx_rtmp_session_t *s)
{
    ngx_mc_rtmp_ctx_t  *ctx;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);
    ctx->data = NULL;

    ngx_mc_rtmp_session_end(s);
}


static ngx_int_t
ngx_mc_rtmp_session_feed(ngx_rtmp_session_t *s, ngx_mc_frame_t *frame,
    uint32_t timestamp)
{
    ngx_buf_t           buf[2];
    ngx_chain_t         cl[2];
    ngx_rtmp_header_t   h;

    /* how nginx-rtmp wants it: it drops the name if there is no other */
    static u_char       set[] = "\2\0\15@setDataFrame";

    if (s->connection->destroyed) {
        return NGX_OK;
    }

    ngx_memzero(buf, sizeof(buf));

    buf[0].start = set;
    buf[0].pos = set;
    buf[0].last = set + sizeof(set) - 1;
    buf[0].end = buf[0].last;
    buf[0].memory = 1;
    cl[0].buf = &buf[0];
    cl[0].next = &cl[1];

    buf[1].start = frame->tag;
    buf[1].pos = frame->tag;
    buf[1].last = frame->tag + frame->len;
    buf[1].end = buf[1].last;
    buf[1].memory = 1;
    cl[1].buf = &buf[1];
    cl[1].next = NULL;

    ngx_memzero(&h, sizeof(ngx_rtmp_header_t));
    h.type = frame->type;
    h.msid = NGX_RTMP_MSID;
    h.timestamp = timestamp;
    h.mlen = frame->len;

    if (frame->type == NGX_MC_FRAME_META) {
        h.csid = NGX_RTMP_CSID_AMF;
        h.mlen += sizeof(set) - 1;
        return ngx_rtmp_receive_message(s, &h, &cl[0]);
    }

    h.csid = (frame->type == NGX_MC_FRAME_VIDEO) ? NGX_RTMP_CSID_VIDEO
                                                 : NGX_RTMP_CSID_AUDIO;

    return ngx_rtmp_receive_message(s, &h, &cl[1]);
}


static void
ngx_mc_rtmp_session_cleanup(void *data)
{
    ngx_rtmp_session_t     *s;
    ngx_mc_rtmp_ctx_t      *ctx;
    ngx_mc_rtmp_virtual_t  *v;

    s = data;
    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);
    v = ctx->data;

    if (v == NULL) {
        return;
    }

    if (v->live == s) {
        v->live = NULL;
    }

    if (v->side == s) {
        v->side = NULL;
        ngx_mc_rtmp_virtual_release(v);
    }
}


/* worker_shutdown_timeout is the only one who calls it */

static void
ngx_mc_rtmp_session_read(ngx_event_t *rev)
{
    ngx_connection_t       *c;
    ngx_rtmp_session_t     *s;
    ngx_mc_rtmp_ctx_t      *ctx;

    c = rev->data;

    if (!c->close) {
        return;
    }

    ngx_mc_rtmp_play_ending = 1;

    s = c->data;
    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx->data) {
        ngx_mc_rtmp_virtual_free(ctx->data, "the worker process ends");
    }
}


static void
ngx_mc_rtmp_session_write(ngx_event_t *wev)
{
}


static ssize_t
ngx_mc_rtmp_session_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    return NGX_AGAIN;
}


static ssize_t
ngx_mc_rtmp_session_recv_chain(ngx_connection_t *c, ngx_chain_t *cl,
    off_t limit)
{
    return NGX_AGAIN;
}


static ssize_t
ngx_mc_rtmp_session_send(ngx_connection_t *c, u_char *buf, size_t size)
{
    return size;
}


static ngx_chain_t *
ngx_mc_rtmp_session_send_chain(ngx_connection_t *c, ngx_chain_t *in,
    off_t limit)
{
    return NULL;
}


/* players */

ngx_int_t
ngx_mc_rtmp_play_hook(ngx_rtmp_session_t *s, ngx_rtmp_play_t *v,
    ngx_rtmp_play_pt next)
{
    size_t                     size;
    ngx_str_t                  stream;
    ngx_uint_t                 n;
    ngx_mc_rtmp_ctx_t         *ctx;
    ngx_mc_rtmp_name_t        *name;
    ngx_pool_cleanup_t        *cln;
    ngx_mc_rtmp_player_t      *pl;
    ngx_mc_rtmp_virtual_t     *virtual;
    ngx_rtmp_core_srv_conf_t  *cscf;

    if (ngx_mc_rtmp_play_ctx == NULL || s->app_conf == NULL) {
        return NGX_DECLINED;
    }

    stream.data = v->name;
    stream.len = ngx_strlen(v->name);

    name = ngx_mc_rtmp_table_find(&s->app, &stream, NGX_MC_OUTPUT);

    if (name == NULL) {
        return NGX_DECLINED;
    }

    if (s->relay || s->auto_pushed) {

        /* "push" of the application, which "side" has begun */
        return NGX_DECLINED;
    }

    if (ngx_mc_access(name->def.params.allow, s->connection->sockaddr)
        != NGX_OK)
    {
        return ngx_mc_rtmp_play_refuse(s, name, NGX_MC_REJECTED_ADDRESS,
                                       "the address is not allowed");
    }

    if (!ngx_mc_rtmp_play_is_on(name)) {
        (void) ngx_rtmp_send_status(s, "NetStream.Play.StreamNotFound",
                                    "error", "The stream is off");
        return NGX_ERROR;
    }

    virtual = ngx_mc_rtmp_virtual_find(&s->app, &stream, s->app_conf);

    if (name->def.params.max_peers > 0) {

        /* the owner has yet to hear of those who have just come to here */

        n = virtual ? virtual->nplayers : 0;
        n = ngx_max(n, name->stat->npeers);

        if (n >= (ngx_uint_t) name->def.params.max_peers) {
            return ngx_mc_rtmp_play_refuse(s, name, NGX_MC_REJECTED_LIMIT,
                                           "max_peers is reached");
        }
    }

    if (ngx_mc_rtmp_play_ending) {
        (void) ngx_rtmp_send_status(s, "NetStream.Play.Failed", "error",
                                    "The server is going down");
        return NGX_ERROR;
    }

    if (virtual == NULL) {
        cscf = ngx_rtmp_get_module_srv_conf(s, ngx_rtmp_core_module);

        virtual = ngx_mc_rtmp_virtual_create(cscf, s->app_conf, &s->app,
                                             &stream);
        if (virtual == NULL) {
            return NGX_ERROR;
        }
    }

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(s->connection->pool, sizeof(ngx_mc_rtmp_ctx_t));
        cln = ngx_pool_cleanup_add(s->connection->pool, 0);

        if (ctx == NULL || cln == NULL) {
            return NGX_ERROR;
        }

        ngx_rtmp_set_ctx(s, ctx, ngx_mc_rtmp_hooks_module);

        cln->handler = ngx_mc_rtmp_player_gone;
        cln->data = s;

    } else if (ctx->data) {

        /* it plays or publishes already: live keeps it where it is */
        return NGX_DECLINED;
    }

    size = s->connection->addr_text.len;

    pl = ngx_pcalloc(s->connection->pool, sizeof(ngx_mc_rtmp_player_t) + size);
    if (pl == NULL) {
        return NGX_ERROR;
    }

    pl->session = s;
    pl->virtual = virtual;
    pl->id = ++ngx_mc_rtmp_player_id;
    pl->out_bytes = s->out_bytes;
    pl->address.len = size;
    pl->address.data = (u_char *) (pl + 1);
    ngx_memcpy(pl->address.data, s->connection->addr_text.data, size);

    ctx->role = NGX_MC_RTMP_PLAYER;
    ctx->data = pl;

    ngx_queue_insert_tail(&virtual->players, &pl->queue);
    virtual->nplayers++;
    virtual->nwaiting++;

    if (ngx_mc_rtmp_nplayers++ == 0) {

        /* holds a worker that is to exit, too */
        ngx_add_timer(&ngx_mc_rtmp_play_stat_timer, 1000);
    }

    /* the name has a publisher before live sees a player */

    ngx_mc_rtmp_virtual_open(virtual);

    if (virtual->link == NULL) {
        ngx_mc_rtmp_virtual_link(virtual, name);

    } else if (virtual->opened) {
        ngx_mc_rtmp_player_tell(pl);
    }

    return next(s, v);
}


static ngx_int_t
ngx_mc_rtmp_play_refuse(ngx_rtmp_session_t *s, ngx_mc_rtmp_name_t *name,
    ngx_uint_t reason, char *why)
{
    ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                  "flow \"%V\", output \"%V\": player refused: %s",
                  &name->flow, &name->def.name, why);

    ngx_mc_rtmp_link_rejected(name, reason, &s->connection->addr_text,
                              "player refused: %s", why);

    (void) ngx_rtmp_send_status(s, "NetStream.Play.Failed", "error", why);

    return NGX_ERROR;
}


void
ngx_mc_rtmp_play_gone(ngx_rtmp_session_t *s)
{
    ngx_mc_rtmp_ctx_t  *ctx;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx && ctx->role == NGX_MC_RTMP_PLAYER && ctx->data) {
        ngx_mc_rtmp_player_remove(ctx->data, "closed");
    }
}


static void
ngx_mc_rtmp_player_gone(void *data)
{
    ngx_mc_rtmp_play_gone(data);
}


static void
ngx_mc_rtmp_player_tell(ngx_mc_rtmp_player_t *pl)
{
    ngx_mc_rtmp_link_peer_up(pl->virtual->link, pl->id, &pl->address);
    pl->told = 1;
}


static void
ngx_mc_rtmp_player_stat(ngx_mc_rtmp_player_t *pl)
{
    uint64_t                messages, dropped;
    ngx_rtmp_live_ctx_t    *ctx;
    ngx_mc_rtmp_virtual_t  *v;

    v = pl->virtual;

    pl->bytes += (uint32_t) (pl->session->out_bytes - pl->out_bytes);
    pl->out_bytes = pl->session->out_bytes;

    ctx = ngx_rtmp_get_module_ctx(pl->session, ngx_rtmp_live_module);

    dropped = ctx ? ctx->ndropped : 0;
    messages = pl->started ? v->frames - pl->first : 0;
    messages -= ngx_min(messages, dropped);

    if (v->link && pl->told) {
        ngx_mc_rtmp_link_peer_stat(v->link, pl->id, pl->bytes, messages,
                                   dropped);
    }
}


static void
ngx_mc_rtmp_player_remove(ngx_mc_rtmp_player_t *pl, const char *why)
{
    ngx_mc_rtmp_ctx_t      *ctx;
    ngx_mc_rtmp_virtual_t  *v;

    v = pl->virtual;

    ngx_mc_rtmp_player_stat(pl);

    if (v->link && pl->told) {
        ngx_mc_rtmp_link_peer_down(v->link, pl->id, why);
    }

    ngx_queue_remove(&pl->queue);
    v->nplayers--;
    v->idle = ngx_current_msec;

    if (!pl->started) {
        v->nwaiting--;
    }

    if (--ngx_mc_rtmp_nplayers == 0
        && ngx_mc_rtmp_play_stat_timer.timer_set)
    {
        ngx_del_timer(&ngx_mc_rtmp_play_stat_timer);
    }

    ctx = ngx_rtmp_get_module_ctx(pl->session, ngx_mc_rtmp_hooks_module);
    ctx->data = NULL;
}


static void
ngx_mc_rtmp_player_cut(ngx_mc_rtmp_player_t *pl, const char *why)
{
    ngx_rtmp_session_t  *s;

    s = pl->session;

    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "player of \"%V/%V\" is disconnected: %s",
                  &pl->virtual->app, &pl->virtual->stream, why);

    ngx_mc_rtmp_player_remove(pl, why);

    (void) ngx_rtmp_send_status(s, "NetStream.Play.UnpublishNotify", "status",
                                (char *) why);
    ngx_rtmp_finalize_session(s);
}


/* 100 ms */

static void
ngx_mc_rtmp_play_tick(ngx_event_t *ev)
{
    void                     **app_conf;
    ngx_uint_t                 i, n, update, scan;
    ngx_queue_t               *q, *next;
    ngx_mc_rtmp_name_t        *names, *name;
    ngx_mc_generation_t       *gen;
    ngx_mc_rtmp_virtual_t     *v;
    ngx_rtmp_core_srv_conf_t  *cscf;
    ngx_rtmp_core_app_conf_t  *cacf;

    if (ngx_mc_rtmp_play_ending) {
        return;
    }

    gen = ngx_mc_registry_current();

    if (gen == NULL) {
        goto done;
    }

    update = (gen->number != ngx_mc_rtmp_play_generation);
    ngx_mc_rtmp_play_generation = gen->number;

    scan = update || ngx_current_msec - ngx_mc_rtmp_play_scanned >= 1000;

    if (scan && !ngx_exiting && !ngx_mc_owner_is_old(gen)) {

        ngx_mc_rtmp_play_scanned = ngx_current_msec;

        names = ngx_mc_rtmp_table(&n);

        for (i = 0; i < n; i++) {
            name = &names[i];

            if (name->def.direction != NGX_MC_OUTPUT
                || name->hint != ngx_worker
                || !ngx_mc_rtmp_play_is_on(name))
            {
                continue;
            }

            cacf = ngx_mc_rtmp_play_app(&name->app, &cscf);

            if (cacf == NULL) {
                continue;
            }

            app_conf = cacf->app_conf;

            v = ngx_mc_rtmp_virtual_find(&name->app, &name->stream, app_conf);

            if (v == NULL) {
                v = ngx_mc_rtmp_virtual_create(cscf, app_conf, &name->app,
                                               &name->stream);
                if (v == NULL) {
                    break;
                }
            }

            v->home = 1;
        }
    }

    for (q = ngx_queue_head(&ngx_mc_rtmp_virtuals);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_virtuals);
         q = next)
    {
        next = ngx_queue_next(q);
        v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, queue);

        ngx_mc_rtmp_virtual_tick(v, update);
    }

done:

    ngx_add_timer(ev, NGX_MC_RTMP_TICK);
}


static void
ngx_mc_rtmp_play_second(ngx_event_t *ev)
{
    ngx_queue_t            *q, *p;
    ngx_mc_rtmp_player_t   *pl;
    ngx_mc_rtmp_virtual_t  *v;

    for (q = ngx_queue_head(&ngx_mc_rtmp_virtuals);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_virtuals);
         q = ngx_queue_next(q))
    {
        v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, queue);

        for (p = ngx_queue_head(&v->players);
             p != ngx_queue_sentinel(&v->players);
             p = ngx_queue_next(p))
        {
            pl = ngx_queue_data(p, ngx_mc_rtmp_player_t, queue);
            ngx_mc_rtmp_player_stat(pl);
        }
    }

    ngx_add_timer(ev, 1000);
}


static ngx_uint_t
ngx_mc_rtmp_play_is_on(ngx_mc_rtmp_name_t *name)
{
    ngx_uint_t  control;

    control = name->flow_stat->control;

    if (control == NGX_MC_CONTROL_STOP
        || (control == NGX_MC_CONTROL_NONE && name->stopped))
    {
        return 0;
    }

    control = name->stat->control;

    return !(control == NGX_MC_CONTROL_STOP
             || (control == NGX_MC_CONTROL_NONE && name->def.off));
}


/* the first application of that name */

static ngx_rtmp_core_app_conf_t *
ngx_mc_rtmp_play_app(ngx_str_t *app, ngx_rtmp_core_srv_conf_t **cscf)
{
    ngx_uint_t                   i, n;
    ngx_rtmp_core_srv_conf_t   **cscfp;
    ngx_rtmp_core_app_conf_t   **cacfp;
    ngx_rtmp_core_main_conf_t   *cmcf;

    cmcf = ngx_mc_rtmp_play_ctx->main_conf[ngx_rtmp_core_module.ctx_index];
    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        cacfp = cscfp[i]->applications.elts;

        for (n = 0; n < cscfp[i]->applications.nelts; n++) {

            if (cacfp[n]->name.len == app->len
                && ngx_memcmp(cacfp[n]->name.data, app->data, app->len) == 0)
            {
                *cscf = cscfp[i];
                return cacfp[n];
            }
        }
    }

    return NULL;
}
