
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_play.h>
#include <ngx_mc_owner.h>
#include <ngx_rtmp_live_module.h>
#include <ngx_rtmp_codec_module.h>


/*
 * Virtuals: their link to the owner of the flow, the lease of the one that is
 * at home, and what becomes of each frame.
 */


#define NGX_MC_RTMP_LEASE          2000    /* ms without a sign of life */
#define NGX_MC_RTMP_VIRTUAL_RETRY  20      /* ms, of a link just lost */
#define NGX_MC_RTMP_VIRTUAL_RETRY_FAST  2000    /* ms, for so long */
#define NGX_MC_RTMP_AGAIN          1000    /* ms, of what was ended for us */
#define NGX_MC_RTMP_KEEP           5000    /* ms without players */

#define NGX_MC_RTMP_BUCKETS        256


static ngx_uint_t ngx_mc_rtmp_virtual_bucket(ngx_str_t *stream);
static void ngx_mc_rtmp_virtual_retry(ngx_event_t *ev);
static ngx_int_t ngx_mc_rtmp_virtual_lease(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_endpoint_stat_t *st);
static void ngx_mc_rtmp_virtual_opened(void *data);
static void ngx_mc_rtmp_virtual_closed(void *data, ngx_uint_t code,
    u_char *why);
static void ngx_mc_rtmp_virtual_frame(void *data, ngx_mc_frame_t *frame);
static ngx_uint_t ngx_mc_rtmp_virtual_known(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_frame_t *frame);
static void ngx_mc_rtmp_virtual_headers(ngx_mc_rtmp_virtual_t *v,
    ngx_rtmp_session_t *s);
static void ngx_mc_rtmp_virtual_players(ngx_mc_rtmp_virtual_t *v,
    ngx_mc_frame_t *frame);
static void ngx_mc_rtmp_virtual_hevc(ngx_mc_rtmp_virtual_t *v,
    ngx_rtmp_live_ctx_t *ctx, ngx_rtmp_live_ctx_t *pctx);


static ngx_mc_rtmp_link_handlers_t  ngx_mc_rtmp_virtual_handlers = {
    ngx_mc_rtmp_virtual_frame,
    ngx_mc_rtmp_virtual_closed,
    ngx_mc_rtmp_virtual_opened
};


static ngx_queue_t  ngx_mc_rtmp_virtual_buckets[NGX_MC_RTMP_BUCKETS];

ngx_queue_t         ngx_mc_rtmp_virtuals;


void
ngx_mc_rtmp_virtual_process(void)
{
    ngx_uint_t  i;

    ngx_queue_init(&ngx_mc_rtmp_virtuals);

    for (i = 0; i < NGX_MC_RTMP_BUCKETS; i++) {
        ngx_queue_init(&ngx_mc_rtmp_virtual_buckets[i]);
    }
}


static ngx_uint_t
ngx_mc_rtmp_virtual_bucket(ngx_str_t *stream)
{
    return (ngx_uint_t) ngx_mc_hash(stream->data, stream->len)
           % NGX_MC_RTMP_BUCKETS;
}


ngx_mc_rtmp_virtual_t *
ngx_mc_rtmp_virtual_find(ngx_str_t *stream, void **app_conf)
{
    ngx_queue_t            *q, *bucket;
    ngx_mc_rtmp_virtual_t  *v;

    bucket = &ngx_mc_rtmp_virtual_buckets[ngx_mc_rtmp_virtual_bucket(stream)];

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


ngx_mc_rtmp_virtual_t *
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
    v->lost = ngx_current_msec - NGX_MC_RTMP_VIRTUAL_RETRY_FAST;

    ngx_mc_rtmp_clock_reset(&v->clock);

    ngx_queue_init(&v->players);
    ngx_queue_insert_tail(&ngx_mc_rtmp_virtuals, &v->queue);

    i = ngx_mc_rtmp_virtual_bucket(stream);
    ngx_queue_insert_tail(&ngx_mc_rtmp_virtual_buckets[i], &v->bucket);

    return v;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


void
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

void
ngx_mc_rtmp_virtual_tick(ngx_mc_rtmp_virtual_t *v, ngx_uint_t update)
{
    ngx_uint_t             home, old;
    ngx_queue_t           *q, *next;
    ngx_mc_generation_t   *gen;
    ngx_mc_rtmp_name_t    *name;
    ngx_mc_rtmp_player_t  *pl;

    if (ngx_mc_rtmp_table_ready() != NGX_OK) {
        return;
    }

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


void
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


void
ngx_mc_rtmp_virtual_link(ngx_mc_rtmp_virtual_t *v, ngx_mc_rtmp_name_t *name)
{
    v->link = ngx_mc_rtmp_link_open(name, NULL, &ngx_mc_rtmp_virtual_handlers,
                                    v);

    if (v->link == NULL) {

        /* an owner that has just left has a successor in no time */

        if (ngx_current_msec - v->lost < NGX_MC_RTMP_VIRTUAL_RETRY_FAST
            && !v->retry.timer_set)
        {
            ngx_add_timer(&v->retry, NGX_MC_RTMP_VIRTUAL_RETRY);
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


void
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
    ngx_uint_t              opened;
    ngx_queue_t            *q;
    ngx_mc_rtmp_player_t   *pl;
    ngx_mc_rtmp_virtual_t  *v;

    v = data;

    opened = v->opened;

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

    /* an owner that does not want it, or not yet, is not asked all the time */

    if (!v->retry.timer_set) {
        ngx_add_timer(&v->retry, opened ? 1 : NGX_MC_RTMP_VIRTUAL_RETRY);
    }
}


static void
ngx_mc_rtmp_virtual_frame(void *data, ngx_mc_frame_t *frame)
{
    uint32_t                timestamp;
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

        /* the time of its own track: what follows there may be before the
           newest of the other, and times must not go back */

        timestamp = (frame->type == NGX_MC_FRAME_META)
                    ? v->timestamp
                    : (uint32_t) v->clock.last[frame->type
                                               == NGX_MC_FRAME_VIDEO];

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

        timestamp = ngx_mc_rtmp_clock(&v->clock, frame, ngx_mc_now());
        v->timestamp = timestamp;
        v->frames++;
    }

    if (v->live) {
        ngx_mc_rtmp_virtual_players(v, frame);

        if (ngx_mc_rtmp_session_feed(v->live, frame, timestamp)
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
        && ngx_mc_rtmp_session_feed(v->side, frame, timestamp) != NGX_OK)
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
