
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_client.h>


/*
 * The session of a client is one of nginx-rtmp: its handshake, its parser of
 * chunks, its queue.  It has configurations of its own, not those of a
 * server{}: so it is there without any rtmp{}, has limits that suit a client,
 * no other module ever hears of it, and what the server sends cannot be taken
 * for commands of a client: "connect" would give the server our applications.
 *
 * All that a session needs until it is closed, which nginx-rtmp may do after
 * the endpoint is gone, is in the pool of its connection.
 */


/* a server that takes nothing for so long is gone, ms */
#define NGX_MC_RTMP_SEND_TIMEOUT  10000

/* from a server that takes what we publish */
#define NGX_MC_RTMP_PUSH_MESSAGE  65536

/* many servers refuse what is larger */
#define NGX_MC_RTMP_USUAL_MAX     (1024 * 1024)

#define NGX_MC_RTMP_STREAMS       64


static void ngx_mc_rtmp_client_hook(ngx_mc_rtmp_conn_t *conn);
static void ngx_mc_rtmp_client_hook_handler(ngx_event_t *ev);
static void ngx_mc_rtmp_client_read(ngx_event_t *rev);
static void ngx_mc_rtmp_client_write(ngx_event_t *wev);
static ngx_int_t ngx_mc_rtmp_client_on_handshake(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static u_char *ngx_mc_rtmp_client_nonsense(ngx_rtmp_session_t *s, u_char *buf,
    size_t len);
static ngx_int_t ngx_mc_rtmp_client_on_disconnect(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_protocol(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_user(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);


static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_handshake_pt =
    ngx_mc_rtmp_client_on_handshake;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_disconnect_pt =
    ngx_mc_rtmp_client_on_disconnect;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_protocol_pt =
    ngx_mc_rtmp_client_on_protocol;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_user_pt =
    ngx_mc_rtmp_client_on_user;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_command_pt =
    ngx_mc_rtmp_command_handler;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_media_pt =
    ngx_mc_rtmp_pull_handler;

/* which messages are heard, of all clients */

static struct {
    ngx_uint_t            event;
    ngx_rtmp_handler_pt  *handler;
} ngx_mc_rtmp_client_events[] = {
    { NGX_RTMP_MSG_CHUNK_SIZE, &ngx_mc_rtmp_client_protocol_pt },
    { NGX_RTMP_MSG_ACK_SIZE, &ngx_mc_rtmp_client_protocol_pt },
    { NGX_RTMP_MSG_USER, &ngx_mc_rtmp_client_user_pt },
    { NGX_RTMP_MSG_AMF_CMD, &ngx_mc_rtmp_client_command_pt },
    { NGX_RTMP_MSG_AMF3_CMD, &ngx_mc_rtmp_client_command_pt },
    { NGX_RTMP_MSG_AUDIO, &ngx_mc_rtmp_client_media_pt },
    { NGX_RTMP_MSG_VIDEO, &ngx_mc_rtmp_client_media_pt },
    { NGX_RTMP_MSG_AMF_META, &ngx_mc_rtmp_client_media_pt },
    { NGX_RTMP_MSG_AMF3_META, &ngx_mc_rtmp_client_media_pt },
    { NGX_RTMP_MSG_AGGREGATE, &ngx_mc_rtmp_client_media_pt },
    { NGX_RTMP_HANDSHAKE_DONE, &ngx_mc_rtmp_client_handshake_pt },
    { NGX_RTMP_DISCONNECT, &ngx_mc_rtmp_client_disconnect_pt },
    { 0, NULL }
};

static ngx_rtmp_core_main_conf_t  ngx_mc_rtmp_client_main_conf;


/*
 * nginx-rtmp numbers its modules when it meets an rtmp{} block.  Without one
 * nobody would, and sessions need the numbers.
 */

char *
ngx_mc_rtmp_client_init_conf(ngx_cycle_t *cycle)
{
    ngx_uint_t    i;
    ngx_array_t  *a;

    ngx_rtmp_max_module = ngx_count_modules(cycle, NGX_RTMP_MODULE);

    for (i = 0; ngx_mc_rtmp_client_events[i].handler; i++) {
        a = &ngx_mc_rtmp_client_main_conf.events[
                                         ngx_mc_rtmp_client_events[i].event];

        a->elts = ngx_mc_rtmp_client_events[i].handler;
        a->nelts = 1;
    }

    return NGX_CONF_OK;
}


ngx_mc_rtmp_conn_t *
ngx_mc_rtmp_client_conn(ngx_mc_rtmp_client_t *cl)
{
    ngx_pool_t                *pool;
    ngx_mc_endpoint_t         *ep;
    ngx_mc_rtmp_conn_t        *conn;
    ngx_rtmp_core_srv_conf_t  *cscf;

    ep = cl->endpoint;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    conn = ngx_pcalloc(pool, sizeof(ngx_mc_rtmp_conn_t));
    if (conn == NULL) {
        goto failed;
    }

    conn->ctx.role = NGX_MC_RTMP_CLIENT;
    conn->ctx.data = cl;

    conn->log = *ep->log;
    conn->log.handler = NULL;
    conn->log.action = NULL;
    conn->log.data = pool;

    conn->hook.handler = ngx_mc_rtmp_client_hook_handler;
    conn->hook.data = conn;
    conn->hook.log = &conn->log;

    conn->flow.data = ngx_pstrdup(pool, &ep->flow->name);
    conn->flow.len = ep->flow->name.len;
    conn->name.data = ngx_pstrdup(pool, &ep->def->name);
    conn->name.len = ep->def->name.len;
    conn->addr_conf.addr_text.data = ngx_pstrdup(pool, &ep->def->url);
    conn->addr_conf.addr_text.len = ep->def->url.len;

    conn->conf_ctx.main_conf = ngx_pcalloc(pool, sizeof(void *)
                                                 * ngx_rtmp_max_module);
    conn->conf_ctx.srv_conf = ngx_pcalloc(pool, sizeof(void *)
                                                * ngx_rtmp_max_module);

    if (conn->flow.data == NULL || conn->name.data == NULL
        || conn->addr_conf.addr_text.data == NULL
        || conn->conf_ctx.main_conf == NULL || conn->conf_ctx.srv_conf == NULL)
    {
        goto failed;
    }

    conn->conf_ctx.main_conf[ngx_rtmp_core_module.ctx_index] =
                                                &ngx_mc_rtmp_client_main_conf;
    conn->conf_ctx.srv_conf[ngx_rtmp_core_module.ctx_index] = &conn->srv_conf;
    conn->addr_conf.ctx = &conn->conf_ctx;

    cscf = &conn->srv_conf;

    /* a server is not asked whether it is there: some do not answer */

    cscf->timeout = NGX_MC_RTMP_SEND_TIMEOUT;
    cscf->ping = 0;
    cscf->max_streams = NGX_MC_RTMP_STREAMS;
    cscf->chunk_size = NGX_MC_RTMP_CHUNK;
    cscf->pool = pool;
    cscf->play_time_fix = 1;
    cscf->publish_time_fix = 1;
    cscf->out_queue = NGX_MC_RTMP_QUEUE;
    cscf->buflen = NGX_MC_RTMP_BUFLEN;
    cscf->ctx = &conn->conf_ctx;
    cscf->max_message = (ep->def->direction == NGX_MC_INPUT)
                        ? NGX_MC_FRAME_MAX : NGX_MC_RTMP_PUSH_MESSAGE;

    return conn;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


void
ngx_mc_rtmp_client_begin(ngx_mc_rtmp_client_t *cl)
{
    ngx_connection_t    *c;
    ngx_mc_endpoint_t   *ep;
    ngx_mc_rtmp_conn_t  *conn;
    ngx_rtmp_session_t  *s;

    ep = cl->endpoint;
    conn = cl->conn;
    c = conn->connection;

    ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_HANDSHAKE);

#if (NGX_STAT_STUB)
    /* the session lowers it, as if it had been accepted */
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    s = ngx_rtmp_init_session(c, &conn->addr_conf);

    if (s == NULL) {
        /* the connection is closed */
        cl->conn = NULL;
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED, "no memory");
        return;
    }

    conn->log.handler = ngx_mc_rtmp_client_log;
    conn->log.data = conn;
    conn->session = s;

    s->relay = 1;
    ngx_rtmp_set_ctx(s, conn, ngx_mc_rtmp_hooks_module);

    if (ngx_mc_rtmp_queue_spare(conn, NGX_MC_RTMP_SPARE) != NGX_OK) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED, "no memory");
        return;
    }

    conn->busy = 1;
    ngx_rtmp_client_handshake(s, 0);
    conn->busy = 0;

    ngx_mc_rtmp_client_hook(conn);
}


/* at once, unless from a function of nginx-rtmp that looks at it again */

void
ngx_mc_rtmp_client_end(ngx_mc_rtmp_conn_t *conn)
{
    ngx_event_t         *ev;
    ngx_rtmp_session_t  *s;

    s = conn->session;

    ngx_rtmp_finalize_session(s);

    ev = &s->close;

    if (!conn->busy && ev->posted) {
        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }
}


u_char *
ngx_mc_rtmp_client_log(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_mc_rtmp_conn_t  *conn;

    conn = log->data;

    return ngx_snprintf(buf, len, ", flow \"%V\", \"%V\", server: %V",
                        &conn->flow, &conn->name, &conn->addr_conf.addr_text);
}


/*
 * The handlers of the connection are nginx-rtmp's, but ours before them: they
 * do not know of worker_shutdown_timeout, and write a chunk at a time.
 */

static void
ngx_mc_rtmp_client_hook(ngx_mc_rtmp_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->connection;

    if (c->destroyed) {
        return;
    }

    /* while TLS waits to read what it needs to write, or the reverse, the
       handler is its own, and comes back */

    if (c->read->handler != ngx_mc_rtmp_client_read
        && (c->ssl == NULL || c->ssl->saved_read_handler == NULL))
    {
        conn->read_handler = c->read->handler;
        c->read->handler = ngx_mc_rtmp_client_read;
    }

    if (c->write->handler != ngx_mc_rtmp_client_write
        && (c->ssl == NULL || c->ssl->saved_write_handler == NULL))
    {
        conn->write_handler = c->write->handler;
        c->write->handler = ngx_mc_rtmp_client_write;
    }
}


static void
ngx_mc_rtmp_client_hook_handler(ngx_event_t *ev)
{
    ngx_mc_rtmp_client_hook(ev->data);
}


ngx_mc_rtmp_conn_t *
ngx_mc_rtmp_client_of(ngx_rtmp_session_t *s)
{
    return ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);
}


static void
ngx_mc_rtmp_client_read(ngx_event_t *rev)
{
    ngx_connection_t    *c;
    ngx_mc_rtmp_conn_t  *conn;

    c = rev->data;
    conn = ngx_mc_rtmp_client_of(c->data);

    if (c->destroyed) {
        return;
    }

    if (c->close) {
        *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                      "the worker is leaving") = '\0';
        ngx_rtmp_finalize_session(c->data);
        return;
    }

    if (ngx_mc_rtmp_queue_spare(conn, NGX_MC_RTMP_SPARE) != NGX_OK) {
        ngx_rtmp_finalize_session(c->data);
        return;
    }

    conn->busy = 1;
    conn->read_handler(rev);
    conn->busy = 0;
}


static void
ngx_mc_rtmp_client_write(ngx_event_t *wev)
{
    ngx_connection_t      *c;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    c = wev->data;
    conn = ngx_mc_rtmp_client_of(c->data);

    if (c->destroyed) {
        return;
    }

    cl = conn->ctx.data;

    if (wev->timedout) {
        conn->timedout = 1;

    } else if (cl && cl->phase > NGX_MC_RTMP_HANDSHAKE) {

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        ngx_mc_rtmp_queue_flush(conn);
        return;
    }

    conn->busy = 1;
    conn->write_handler(wev);
    conn->busy = 0;
}


/* nginx-rtmp reads on with handlers of its own when this returns */

static ngx_int_t
ngx_mc_rtmp_client_on_handshake(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    conn = ngx_mc_rtmp_client_of(s);
    cl = conn->ctx.data;

    if (cl == NULL) {
        return NGX_ERROR;
    }

    ngx_post_event(&conn->hook, &ngx_posted_events);

    ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_CONNECTING);

    if (ngx_rtmp_send_chunk_size(s, NGX_MC_RTMP_CHUNK) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_mc_rtmp_command_connect(cl);

    return s->connection->destroyed ? NGX_ERROR : NGX_OK;
}


static u_char *
ngx_mc_rtmp_client_nonsense(ngx_rtmp_session_t *s, u_char *buf, size_t len)
{
    ngx_int_t                  i;
    ngx_rtmp_core_srv_conf_t  *cscf;

    cscf = ngx_rtmp_get_module_srv_conf(s, ngx_rtmp_core_module);

    for (i = 0; s->in_streams && i < cscf->max_streams; i++) {

        if (s->in_streams[i].hdr.mlen > cscf->max_message) {
            *ngx_snprintf(buf, len - 1, "the server sent a message of %uD "
                          "bytes, which is too large",
                          s->in_streams[i].hdr.mlen) = '\0';
            return buf;
        }
    }

    return (u_char *) "the server sent something else than RTMP";
}


static ngx_int_t
ngx_mc_rtmp_client_on_disconnect(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char                *why, buf[NGX_MC_ERROR_LEN];
    ngx_uint_t             nonsense;
    ngx_connection_t      *c;
    ngx_mc_endpoint_t     *ep;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    c = s->connection;
    conn = ngx_mc_rtmp_client_of(s);

    if (conn == NULL) {
        /* it came to nothing within ngx_rtmp_init_session() */
        return NGX_OK;
    }

    cl = conn->ctx.data;

    if (conn->hook.posted) {
        ngx_delete_posted_event(&conn->hook);
    }

    ngx_mc_rtmp_tls_shutdown(c);

    if (cl == NULL) {
        return NGX_OK;
    }

    conn->ctx.data = NULL;
    cl->conn = NULL;
    ep = cl->endpoint;

    nonsense = 0;
    why = conn->reason;

    if (why[0] == '\0') {

        if (conn->timedout) {
            why = (u_char *) "the server takes no data";

        } else if (!c->read->eof && !c->read->error && !c->write->error
                   && !c->error)
        {
            /* nginx-rtmp ended it for what it read */

            nonsense = 1;
            why = ngx_mc_rtmp_client_nonsense(s, buf, sizeof(buf));

        } else if (conn->largest > NGX_MC_RTMP_USUAL_MAX) {
            *ngx_snprintf(buf, sizeof(buf) - 1, "the server closed the "
                          "connection after a message of %uD bytes, "
                          "maybe too large", conn->largest) = '\0';
            why = buf;

        } else {
            why = (u_char *) "the server closed the connection";
        }
    }

    if (ep->connected) {
        ngx_mc_endpoint_down(ep, 0, "%s", why);

    } else {
        /* a server that does not know the application closes at "connect" */

        ngx_mc_endpoint_failed(ep, (cl->phase > NGX_MC_RTMP_CONNECTING
                                    || (cl->phase == NGX_MC_RTMP_CONNECTING
                                        && !nonsense))
                                   ? NGX_MC_EVENT_RTMP_REFUSED
                                   : NGX_MC_EVENT_CONNECT_FAILED,
                               "%s%s", why,
                               (cl->phase == NGX_MC_RTMP_HANDSHAKE)
                               ? " at the RTMP handshake" :
                               (cl->phase == NGX_MC_RTMP_CONNECTING)
                               ? " at \"connect\"" :
                               (cl->phase == NGX_MC_RTMP_CREATING)
                               ? " at \"createStream\"" :
                               (ep->def->direction == NGX_MC_INPUT)
                               ? " at \"play\"" : " at \"publish\"");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_client_on_protocol(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char    *p;
    uint32_t   n;

    p = in->buf->pos;

    if (in->buf->last - p < 4) {
        return NGX_OK;
    }

    n = (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];

    /* nginx-rtmp reads for ever with 0, and calls our peer's mistakes its
       own */

    if (h->type == NGX_RTMP_MSG_CHUNK_SIZE
        && (n == 0 || n > NGX_RTMP_MAX_CHUNK_SIZE))
    {
        return NGX_ERROR;
    }

    return ngx_rtmp_protocol_message_handler(s, h, in);
}


static ngx_int_t
ngx_mc_rtmp_client_on_user(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char                *p;
    uint32_t               n;
    ngx_uint_t             event;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    conn = ngx_mc_rtmp_client_of(s);
    cl = conn->ctx.data;

    p = in->buf->pos;

    if (cl == NULL || in->buf->last - p < 6) {
        return cl ? NGX_OK : NGX_ERROR;
    }

    event = p[0] << 8 | p[1];
    n = (uint32_t) p[2] << 24 | p[3] << 16 | p[4] << 8 | p[5];

    switch (event) {

    case NGX_RTMP_USER_PING_REQUEST:
        (void) ngx_rtmp_send_ping_response(s, n);
        break;

    case NGX_RTMP_USER_STREAM_EOF:

        if (cl->endpoint->def->direction == NGX_MC_INPUT && n == cl->msid
            && cl->begun)
        {
            *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                          "the stream has ended") = '\0';
            return NGX_ERROR;
        }

        break;
    }

    return NGX_OK;
}
