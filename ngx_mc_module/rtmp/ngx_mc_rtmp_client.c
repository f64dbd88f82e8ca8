
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_client.h>
#include <ngx_event_connect.h>
#include <netinet/tcp.h>


/*
 * A client of a remote server, that publishes (outputs) or plays (sources):
 * its connection, up to the RTMP session on it, and the operations of its
 * endpoint.
 */


/* the kernel's limit of what waits to be acknowledged, ms: longer than our own
   limit, which can tell what happened */
#define NGX_MC_RTMP_USER_TIMEOUT  20000

/* a server that plays nothing for so long is gone, ms */
#define NGX_MC_RTMP_SILENCE       10000


static void ngx_mc_rtmp_client_cleanup(void *data);
static ngx_int_t ngx_mc_rtmp_client_get(ngx_peer_connection_t *pc, void *data);
static void ngx_mc_rtmp_client_ignore(ngx_event_t *ev);
static void ngx_mc_rtmp_client_connected(ngx_event_t *ev);
static void ngx_mc_rtmp_client_secure(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_client_secured(ngx_connection_t *c);
static void ngx_mc_rtmp_client_timer(ngx_event_t *ev);


ngx_int_t
ngx_mc_rtmp_client_init(ngx_mc_endpoint_t *ep)
{
    ngx_pool_cleanup_t    *cln;
    ngx_mc_rtmp_client_t  *cl;

    cl = ngx_pcalloc(ep->pool, sizeof(ngx_mc_rtmp_client_t));
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->endpoint = ep;

    cl->timer.handler = ngx_mc_rtmp_client_timer;
    cl->timer.data = cl;
    cl->timer.log = ep->log;
    cl->timer.cancelable = 1;

    cln = ngx_pool_cleanup_add(ep->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_mc_rtmp_client_cleanup;
    cln->data = cl;

    ep->data = cl;

    return NGX_OK;
}


static void
ngx_mc_rtmp_client_cleanup(void *data)
{
    ngx_mc_rtmp_client_t  *cl = data;

    if (cl->buf) {
        ngx_free(cl->buf);
    }
}


void
ngx_mc_rtmp_client_open(ngx_mc_endpoint_t *ep)
{
    int                     on;
    u_char                  err[NGX_MC_ERROR_LEN];
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_mc_rtmp_conn_t     *conn;
    ngx_peer_connection_t   pc;
    ngx_mc_rtmp_client_t   *cl;

    cl = ep->data;

    ngx_mc_rtmp_stat_clear(&ep->stat->u.rtmp);

    if (ep->def->tls && cl->ssl == NULL) {

        cl->ssl = ngx_mc_rtmp_tls_create(ep, err, sizeof(err));

        if (cl->ssl == NULL) {
            ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_TLS_FAILED, "%s", err);
            return;
        }
    }

    conn = ngx_mc_rtmp_client_conn(cl);
    if (conn == NULL) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED, "no memory");
        return;
    }

    ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

    pc.sockaddr = ep->sockaddr;
    pc.socklen = ep->socklen;
    pc.name = &conn->addr_conf.addr_text;
    pc.get = ngx_mc_rtmp_client_get;
    pc.log = &conn->log;
    pc.log_error = NGX_ERROR_INFO;

    rc = ngx_event_connect_peer(&pc);

    if (rc != NGX_OK && rc != NGX_AGAIN) {

        if (pc.connection) {
            ngx_close_connection(pc.connection);
        }

        ngx_destroy_pool(conn->log.data);

        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "no connection");
        return;
    }

    c = pc.connection;

    c->pool = conn->log.data;
    c->addr_text = conn->addr_conf.addr_text;
    c->data = conn;

    conn->log.data = conn;
    conn->log.handler = ngx_mc_rtmp_client_log;
    conn->connection = c;
    cl->conn = conn;

    on = 1;
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int));
    c->tcp_nodelay = NGX_TCP_NODELAY_SET;

    /* a peer that is gone while there is nothing to send, or little */

    (void) setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(int));

    on = 5;
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, &on, sizeof(int));
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, &on, sizeof(int));

    on = NGX_MC_RTMP_USER_TIMEOUT;
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &on, sizeof(int));

    cl->msid = 0;
    cl->video = 0;
    cl->wait_key = 1;
    cl->stale = 0;
    cl->begun = 0;
    cl->told = 0;

    ngx_mc_rtmp_clock_reset(&cl->clock);
    ngx_memzero(cl->last, sizeof(cl->last));

    ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_TCP);

    if (rc == NGX_AGAIN) {
        c->read->handler = ngx_mc_rtmp_client_ignore;
        c->write->handler = ngx_mc_rtmp_client_connected;
        return;
    }

    ngx_mc_rtmp_client_connected(c->write);
}


static ngx_int_t
ngx_mc_rtmp_client_get(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


/* whoever is told at worker_shutdown_timeout: the owner closes endpoints */

static void
ngx_mc_rtmp_client_ignore(ngx_event_t *ev)
{
}


static void
ngx_mc_rtmp_client_connected(ngx_event_t *ev)
{
    int                    err;
    socklen_t              len;
    ngx_connection_t      *c;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    c = ev->data;
    conn = c->data;
    cl = conn->ctx.data;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_mc_endpoint_failed(cl->endpoint, NGX_MC_EVENT_CONNECT_FAILED,
                               "no connection: %s", strerror(err));
        return;
    }

    c->write->handler = ngx_mc_rtmp_client_ignore;

    if (cl->ssl) {
        ngx_mc_rtmp_client_secure(cl);
        return;
    }

    ngx_mc_rtmp_client_begin(cl);
}


static void
ngx_mc_rtmp_client_secure(ngx_mc_rtmp_client_t *cl)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = cl->conn->connection;

    ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_TLS);

    rc = ngx_mc_rtmp_tls_start(cl->endpoint, cl->ssl, c,
                               ngx_mc_rtmp_client_secured);
    if (rc == NGX_AGAIN) {
        return;
    }

    if (c->ssl == NULL) {
        ngx_mc_endpoint_failed(cl->endpoint, NGX_MC_EVENT_TLS_FAILED,
                               "TLS cannot be set up");
        return;
    }

    ngx_mc_rtmp_client_secured(c);
}


static void
ngx_mc_rtmp_client_secured(ngx_connection_t *c)
{
    u_char                 err[NGX_MC_ERROR_LEN];
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    conn = c->data;
    cl = conn->ctx.data;

    c->read->handler = ngx_mc_rtmp_client_ignore;
    c->write->handler = ngx_mc_rtmp_client_ignore;

    if (ngx_mc_rtmp_tls_check(cl->endpoint, c, err, sizeof(err)) != NGX_OK) {
        ngx_mc_endpoint_failed(cl->endpoint, NGX_MC_EVENT_TLS_FAILED, "%s",
                               err);
        return;
    }

    ngx_mc_rtmp_client_begin(cl);
}


void
ngx_mc_rtmp_client_phase(ngx_mc_rtmp_client_t *cl, ngx_uint_t phase)
{
    cl->phase = phase;

    /* a timer that is to be moved by little would not be moved */

    if (cl->timer.timer_set) {
        ngx_del_timer(&cl->timer);
    }

    if (phase != NGX_MC_RTMP_UP && phase != NGX_MC_RTMP_IDLE) {
        ngx_add_timer(&cl->timer, NGX_MC_RTMP_TIMEOUT);
    }
}


static void
ngx_mc_rtmp_client_timer(ngx_event_t *ev)
{
    ngx_uint_t             event;
    ngx_mc_rtmp_client_t  *cl;

    static const char  *what[] = {
        "nothing",
        "no connection",
        "no answer to the TLS handshake",
        "no answer to the RTMP handshake",
        "no answer to \"connect\"",
        "no answer to \"createStream\"",
        "no answer to \"publish\"",
    };

    cl = ev->data;

    event = (cl->phase == NGX_MC_RTMP_TLS) ? NGX_MC_EVENT_TLS_FAILED
                                           : NGX_MC_EVENT_CONNECT_FAILED;

    ngx_mc_endpoint_failed(cl->endpoint, event, "%s within %d s",
                           (cl->phase == NGX_MC_RTMP_STARTING
                            && cl->endpoint->def->direction == NGX_MC_INPUT)
                           ? "nothing was played" : what[cl->phase],
                           NGX_MC_RTMP_TIMEOUT / 1000);
}


void
ngx_mc_rtmp_client_close(ngx_mc_endpoint_t *ep)
{
    ngx_pool_t            *pool;
    ngx_connection_t      *c;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    cl = ep->data;

    if (cl == NULL) {
        return;
    }

    conn = cl->conn;

    if (conn && conn->session && !conn->connection->destroyed
        && cl->phase >= NGX_MC_RTMP_STARTING)
    {
        ngx_mc_rtmp_command_end(cl);
    }

    ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_IDLE);

    /* but not what functions that are still at work look at */

    if (cl->buf && (conn == NULL || !conn->busy)) {
        ngx_free(cl->buf);
        cl->buf = NULL;
        cl->size = 0;
    }

    cl->conn = NULL;

    if (conn == NULL) {
        return;
    }

    conn->ctx.data = NULL;

    if (conn->session) {
        ngx_mc_rtmp_client_end(conn);
        return;
    }

    c = conn->connection;
    pool = c->pool;

    ngx_mc_rtmp_tls_shutdown(c);
    ngx_close_connection(c);
    ngx_destroy_pool(pool);
}


void
ngx_mc_rtmp_client_second(ngx_mc_endpoint_t *ep)
{
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_stat_t    *st;
    ngx_mc_rtmp_client_t  *cl;

    cl = ep->data;
    conn = cl->conn;
    st = &ep->stat->u.rtmp;

    if (conn == NULL || conn->session == NULL || cl->phase != NGX_MC_RTMP_UP) {
        st->queue = -1;
        st->chunk_size = -1;
        return;
    }

    if (ep->def->direction == NGX_MC_OUTPUT) {
        st->queue = (int32_t) ngx_mc_rtmp_queue_length(conn);
        st->chunk_size = NGX_MC_RTMP_CHUNK;
        return;
    }

    st->chunk_size = (int32_t) conn->session->in_chunk_size;

    if (!conn->connection->destroyed
        && ngx_mc_now() - cl->heard > (int64_t) NGX_MC_RTMP_SILENCE * 1000)
    {
        ngx_mc_endpoint_down(ep, 0, "nothing was played for %d s",
                             NGX_MC_RTMP_SILENCE / 1000);
    }
}


/* whatever else a definition has needs another connection */

void
ngx_mc_rtmp_client_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    ep->def = def;
}
