
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_play.h>
#include <ngx_rtmp_live_module.h>


/* Sessions without a client, by which virtuals publish into nginx-rtmp. */


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


static void  **ngx_mc_rtmp_session_main_conf;
static int     ngx_mc_rtmp_session_fd = -1;

/* what live takes for a stream in which "side" is a player: that it has
   another member keeps live from deleting it */
static ngx_rtmp_live_stream_t  ngx_mc_rtmp_session_stream;
static ngx_rtmp_live_ctx_t     ngx_mc_rtmp_session_member;


ngx_int_t
ngx_mc_rtmp_session_process(ngx_cycle_t *cycle, ngx_rtmp_conf_ctx_t *ctx)
{
    void               **main_conf;
    ngx_uint_t           i;
    ngx_conf_t           cf;
    ngx_rtmp_module_t   *module;

    ngx_mc_rtmp_session_fd = open("/dev/null", O_RDWR|O_CLOEXEC);

    if (ngx_mc_rtmp_session_fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                      "open() \"/dev/null\" failed");
        return NGX_ERROR;
    }

    /* without the limit module: max_connections is about clients */

    main_conf = ngx_palloc(cycle->pool, sizeof(void *) * ngx_rtmp_max_module);
    if (main_conf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(main_conf, ctx->main_conf,
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
                return NGX_ERROR;
        }
    }

    ngx_mc_rtmp_session_main_conf = main_conf;

    ngx_mc_rtmp_session_stream.ctx = &ngx_mc_rtmp_session_member;

    return NGX_OK;
}


void
ngx_mc_rtmp_session_exit(void)
{
    (void) close(ngx_mc_rtmp_session_fd);
}


ngx_rtmp_session_t *
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

    fd = fcntl(ngx_mc_rtmp_session_fd, F_DUPFD_CLOEXEC, 0);

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
    addr->ctx->main_conf = ngx_mc_rtmp_session_main_conf;
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
        lctx->stream = &ngx_mc_rtmp_session_stream;
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


void
ngx_mc_rtmp_session_end(ngx_rtmp_session_t *s)
{
    /* no line of the access log: no client was there */
    s->relay = 1;

    /* a recording that rtmp_control has begun is to be closed */
    s->auto_pushed = 0;

    ngx_rtmp_finalize_session(s);
}


/* likewise, by a virtual that does not wait for it to be gone */

void
ngx_mc_rtmp_session_drop(ngx_rtmp_session_t *s)
{
    ngx_mc_rtmp_ctx_t  *ctx;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);
    ctx->data = NULL;

    ngx_mc_rtmp_session_end(s);
}


ngx_int_t
ngx_mc_rtmp_session_feed(ngx_rtmp_session_t *s, ngx_mc_frame_t *frame,
    uint32_t timestamp)
{
    ngx_buf_t           buf[2];
    ngx_chain_t         cl[2];
    ngx_rtmp_header_t   h;

    /* how nginx-rtmp wants it: it drops the name if there is no other */
    static u_char       set[] = NGX_MC_RTMP_SET_DATA_FRAME;

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
