
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_srt.h>


/* packets of one pass over a source, and how many passes without a pause */
#define NGX_MC_SRT_BATCH   64
#define NGX_MC_SRT_PASSES  16


static ngx_int_t ngx_mc_srt_init(ngx_mc_endpoint_t *ep);
static void ngx_mc_srt_exit_process(ngx_cycle_t *cycle);
static void ngx_mc_srt_open(ngx_mc_endpoint_t *ep);
static void ngx_mc_srt_close_endpoint(ngx_mc_endpoint_t *ep);
static void ngx_mc_srt_send(ngx_mc_endpoint_t *ep, ngx_mc_packet_t *pkts,
    ngx_uint_t n);
static void ngx_mc_srt_second(ngx_mc_endpoint_t *ep);
static void ngx_mc_srt_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);

static void ngx_mc_srt_connect(ngx_mc_endpoint_t *ep);
static ngx_int_t ngx_mc_srt_bind(ngx_mc_srt_conn_t *conn, ngx_err_t *err);
static ngx_int_t ngx_mc_srt_local_addr(ngx_mc_endpoint_t *ep,
    ngx_sockaddr_t *addr, socklen_t *addrlen, ngx_uint_t port);
static void ngx_mc_srt_connect_handler(ngx_mc_srt_socket_t *s, int events);
static void ngx_mc_srt_connect_failed(ngx_mc_srt_conn_t *conn);
static void ngx_mc_srt_connected(ngx_mc_srt_conn_t *conn);
static ngx_mc_srt_conn_t *ngx_mc_srt_conn_create(ngx_mc_endpoint_t *ep,
    SRTSOCKET sock);
static void ngx_mc_srt_conn_free(ngx_mc_srt_conn_t *conn);
static void ngx_mc_srt_source_handler(ngx_mc_srt_socket_t *s, int events);
static void ngx_mc_srt_pulse_handler(void *data);
static void ngx_mc_srt_drain(ngx_mc_srt_conn_t *conn);
static void ngx_mc_srt_cut(ngx_mc_srt_conn_t *conn, ngx_uint_t changed);
static void ngx_mc_srt_output_handler(ngx_mc_srt_socket_t *s, int events);
static ngx_int_t ngx_mc_srt_conn_send(ngx_mc_srt_conn_t *conn,
    ngx_mc_packet_t *pkts, ngx_uint_t n);
static ngx_int_t ngx_mc_srt_verify(ngx_mc_srt_conn_t *conn);
static void ngx_mc_srt_broken(ngx_mc_srt_conn_t *conn, const char *why);
static void ngx_mc_srt_stat_connected(ngx_mc_srt_stat_t *st,
    ngx_mc_srt_conn_t *conn);
static void ngx_mc_srt_stat_key(ngx_mc_srt_stat_t *st,
    ngx_mc_srt_conn_t *conn);
static void ngx_mc_srt_stat_closed(ngx_mc_srt_stat_t *st);
static void ngx_mc_srt_stat(ngx_mc_srt_conn_t *conn, ngx_mc_srt_stat_t *st,
    ngx_mc_srt_stat_t *total);


ngx_mc_endpoint_type_t  ngx_mc_srt_type = {
    NGX_MC_SRT,
    NULL,
    NULL,
    ngx_mc_srt_exit_process,
    ngx_mc_srt_init,
    ngx_mc_srt_open,
    ngx_mc_srt_close_endpoint,
    ngx_mc_srt_send,
    NULL,
    ngx_mc_srt_second,
    ngx_mc_srt_update,
    1
};


/* libsrt does not tell a peer that closed from one that went silent */
static const char       ngx_mc_srt_lost[] = "the connection was closed or lost";

static ngx_queue_t      ngx_mc_srt_locals;

/* packets are handed on before the next are received */
static u_char           ngx_mc_srt_buffer[NGX_MC_SRT_BATCH]
                                         [NGX_MC_SRT_MESSAGE];
static ngx_mc_packet_t  ngx_mc_srt_packets[NGX_MC_SRT_BATCH];


static ngx_int_t
ngx_mc_srt_init(ngx_mc_endpoint_t *ep)
{
    ngx_mc_srt_endpoint_t  *se;

    if (ngx_mc_srt_locals.next == NULL) {
        ngx_queue_init(&ngx_mc_srt_locals);
    }

    se = ngx_pcalloc(ep->pool, sizeof(ngx_mc_srt_endpoint_t));
    if (se == NULL) {
        return NGX_ERROR;
    }

    se->ep = ep;
    ngx_queue_init(&se->receivers);
    ep->data = se;

    ngx_mc_srt_stat_closed(&ep->stat->u.srt);

    return NGX_OK;
}


static void
ngx_mc_srt_exit_process(ngx_cycle_t *cycle)
{
    ngx_mc_srt_ports_finish();
    ngx_mc_srt_finish();
}


static void
ngx_mc_srt_open(ngx_mc_endpoint_t *ep)
{
    if (ngx_mc_srt_start() != NGX_OK) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "libsrt could not be started");
        return;
    }

    if (ep->def->mode == NGX_MC_MODE_LISTENER) {
        ngx_mc_srt_listen(ep);
        return;
    }

    ngx_mc_srt_connect(ep);
}


static void
ngx_mc_srt_close_endpoint(ngx_mc_endpoint_t *ep)
{
    ngx_queue_t            *q;
    ngx_mc_srt_conn_t      *conn;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;

    if (se->conn) {
        ngx_mc_srt_conn_free(se->conn);
        se->conn = NULL;
    }

    while (!ngx_queue_empty(&se->receivers)) {
        q = ngx_queue_head(&se->receivers);
        conn = ngx_queue_data(q, ngx_mc_srt_conn_t, queue);

        ngx_mc_endpoint_peer_down(ep, conn->peer, "closed");
        ngx_mc_srt_conn_free(conn);
    }

    se->gate.busy = 0;

    ngx_mc_srt_unlisten(ep);
    ngx_mc_srt_stat_closed(&ep->stat->u.srt);
}


static void
ngx_mc_srt_connect(ngx_mc_endpoint_t *ep)
{
    u_char                 *p, text[NGX_MC_ERROR_LEN];
    ngx_err_t               err;
    ngx_int_t               fc, rcvbuf;
    SRTSOCKET               sock;
    ngx_mc_srt_conn_t      *conn;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;

    sock = srt_create_socket();
    if (sock == SRT_INVALID_SOCK) {
        goto failed;
    }

    ngx_mc_srt_buffers(ep, &fc, &rcvbuf);

    if (ngx_mc_srt_options(ep, sock, fc, rcvbuf) != NGX_OK) {
        (void) srt_close(sock);
        goto failed;
    }

    conn = ngx_mc_srt_conn_create(ep, sock);
    if (conn == NULL) {
        (void) srt_close(sock);
        goto failed;
    }

    se->conn = conn;

    if (ngx_mc_srt_bind(conn, &err) != NGX_OK) {

        if (err == NGX_EADDRINUSE) {
            ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_ADDRESS_IN_USE,
                                   "the local port is in use");
            return;
        }

        if (err) {
            p = ngx_strerror(err, text, sizeof(text) - 1);
            *p = '\0';

            ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                                   "bind() failed: %s", text);
            return;
        }

        goto failed;
    }

    conn->socket.handler = ngx_mc_srt_connect_handler;

    (void) ngx_mc_srt_poll(&conn->socket, SRT_EPOLL_OUT|SRT_EPOLL_ERR);

    ngx_mc_srt_enter(ep->flow->batch);

    if (srt_connect(sock, ep->sockaddr, ep->socklen) == SRT_ERROR) {
        ngx_mc_srt_leave();
        goto failed;
    }

    ngx_mc_srt_leave();

    return;

failed:

    ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED, "%s",
                           srt_getlasterror_str());
}


/*
 * A local port is two threads: callers that want the same of it share one.
 * Rendezvous, and a port that was asked for, have their own.
 */

static ngx_int_t
ngx_mc_srt_bind(ngx_mc_srt_conn_t *conn, ngx_err_t *err)
{
    int                  rc;
    socklen_t            addrlen;
    ngx_uint_t           port;
    ngx_queue_t         *q;
    ngx_sockaddr_t       addr;
    ngx_mc_params_t     *params;
    ngx_mc_endpoint_t   *ep;
    ngx_mc_srt_local_t  *local;

    ep = conn->ep;
    params = &ep->def->params;
    *err = 0;
    port = 0;

    if (params->port != NGX_CONF_UNSET) {
        port = params->port;

    } else if (ep->def->mode == NGX_MC_MODE_RENDEZVOUS) {
        port = ep->def->port;
    }

    if (ngx_mc_srt_local_addr(ep, &addr, &addrlen, port) != NGX_OK) {
        *err = EAFNOSUPPORT;
        return NGX_ERROR;
    }

    if (ep->def->mode == NGX_MC_MODE_RENDEZVOUS) {
        rc = 1;

        if (srt_setsockflag(conn->socket.sock, SRTO_RENDEZVOUS, &rc,
                            sizeof(int))
            == SRT_ERROR)
        {
            return NGX_ERROR;
        }
    }

    if (port) {
        if (ngx_mc_srt_bind_fd(&conn->fd, &addr.sockaddr, addrlen) != NGX_OK) {
            *err = ngx_errno;
            return NGX_ERROR;
        }

        ngx_mc_srt_enter(ep->flow->batch);
        rc = srt_bind_acquire(conn->socket.sock, conn->fd.fd);
        ngx_mc_srt_leave();

        if (rc == SRT_ERROR) {
            (void) close(conn->fd.fd);
            conn->fd.fd = -1;
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    for (q = ngx_queue_head(&ngx_mc_srt_locals);
         q != ngx_queue_sentinel(&ngx_mc_srt_locals);
         q = ngx_queue_next(q))
    {
        local = ngx_queue_data(q, ngx_mc_srt_local_t, queue);

        if (local->family != addr.sockaddr.sa_family
            || local->ttl != params->ipttl
            || local->tos != params->iptos
            || local->mss != params->mss
            || local->batch != ep->flow->batch
            || ngx_cmp_sockaddr(&local->addr.sockaddr, local->addrlen,
                                &addr.sockaddr, addrlen, 0)
               != NGX_OK)
        {
            continue;
        }

        ngx_mc_srt_enter(local->batch);
        rc = srt_bind(conn->socket.sock, &local->addr.sockaddr,
                      local->addrlen);
        ngx_mc_srt_leave();

        if (rc != SRT_ERROR) {
            local->refs++;
            conn->local = local;
            return NGX_OK;
        }

        break;
    }

    ngx_mc_srt_enter(ep->flow->batch);
    rc = srt_bind(conn->socket.sock, &addr.sockaddr, addrlen);
    ngx_mc_srt_leave();

    if (rc == SRT_ERROR) {
        return NGX_ERROR;
    }

    local = ngx_calloc(sizeof(ngx_mc_srt_local_t), ngx_cycle->log);
    if (local == NULL) {
        /* a port of its own then */
        return NGX_OK;
    }

    local->addrlen = sizeof(ngx_sockaddr_t);

    if (srt_getsockname(conn->socket.sock, &local->addr.sockaddr,
                        &local->addrlen)
        == SRT_ERROR)
    {
        ngx_free(local);
        return NGX_OK;
    }

    local->addrlen = addrlen;
    local->family = addr.sockaddr.sa_family;
    local->ttl = params->ipttl;
    local->tos = params->iptos;
    local->mss = params->mss;
    local->batch = ep->flow->batch;
    local->refs = 1;

    ngx_queue_insert_head(&ngx_mc_srt_locals, &local->queue);
    conn->local = local;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_srt_local_addr(ngx_mc_endpoint_t *ep, ngx_sockaddr_t *addr,
    socklen_t *addrlen, ngx_uint_t port)
{
    ngx_str_t  *adapter;

    adapter = &ep->def->params.adapter;

    ngx_memzero(addr, sizeof(ngx_sockaddr_t));

    addr->sockaddr.sa_family = ep->sockaddr->sa_family;

    if (ep->sockaddr->sa_family == AF_INET6) {
        *addrlen = sizeof(struct sockaddr_in6);

        if (adapter->len
            && ngx_inet6_addr(adapter->data, adapter->len,
                              addr->sockaddr_in6.sin6_addr.s6_addr)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else {
        *addrlen = sizeof(struct sockaddr_in);

        if (adapter->len) {
            addr->sockaddr_in.sin_addr.s_addr = ngx_inet_addr(adapter->data,
                                                              adapter->len);
            if (addr->sockaddr_in.sin_addr.s_addr == INADDR_NONE) {
                return NGX_ERROR;
            }
        }
    }

    ngx_inet_set_port(&addr->sockaddr, (in_port_t) port);

    return NGX_OK;
}


static void
ngx_mc_srt_connect_handler(ngx_mc_srt_socket_t *s, int events)
{
    SRT_SOCKSTATUS      status;
    ngx_mc_srt_conn_t  *conn;

    conn = s->data;

    status = srt_getsockstate(s->sock);

    if (status == SRTS_CONNECTED) {
        ngx_mc_srt_connected(conn);
        return;
    }

    if (status == SRTS_CONNECTING && !(events & SRT_EPOLL_ERR)) {
        return;
    }

    ngx_mc_srt_connect_failed(conn);
}


static void
ngx_mc_srt_connect_failed(ngx_mc_srt_conn_t *conn)
{
    int                 reason;
    ngx_mc_endpoint_t  *ep;

    ep = conn->ep;
    reason = srt_getrejectreason(conn->socket.sock);

    switch (reason) {

    case SRT_REJ_TIMEOUT:
    case SRT_REJ_UNKNOWN:
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "connection timed out");
        return;

    case SRT_REJ_BADSECRET:
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "rejected: wrong passphrase (10)");
        return;

    case SRT_REJ_UNSECURE:
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "rejected: only one side has a passphrase "
                               "(11)");
        return;

    case SRT_REJX_FORBIDDEN:
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "rejected by the peer: forbidden (1403)");
        return;

    case SRT_REJX_NOTFOUND:
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "rejected by the peer: streamid not found "
                               "(1404)");
        return;

    case SRT_REJX_CONFLICT:
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "rejected by the peer: in use (1409)");
        return;

    default:
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "rejected by the peer: %s (%d)",
                               srt_rejectreason_str(reason), reason);
        return;
    }
}


/* a caller, or a rendezvous */

static void
ngx_mc_srt_connected(ngx_mc_srt_conn_t *conn)
{
    ngx_mc_endpoint_t  *ep;

    ep = conn->ep;

    conn->connected = 1;
    conn->start = srt_connection_time(conn->socket.sock);

    if (ep->def->direction == NGX_MC_INPUT) {
        conn->socket.handler = ngx_mc_srt_source_handler;
        (void) ngx_mc_srt_poll(&conn->socket, SRT_EPOLL_IN|SRT_EPOLL_ERR);

    } else {
        conn->socket.handler = ngx_mc_srt_output_handler;
        (void) ngx_mc_srt_poll(&conn->socket, SRT_EPOLL_ERR);
    }

    ngx_mc_srt_stat_connected(&ep->stat->u.srt, conn);
    ngx_mc_flow_connected(ep);
    ngx_mc_endpoint_up(ep, ep->sockaddr, ep->socklen);
}


void
ngx_mc_srt_accepted(ngx_mc_endpoint_t *ep, SRTSOCKET sock,
    struct sockaddr *sa, socklen_t socklen, u_char *streamid)
{
    size_t                  len;
    ngx_mc_srt_conn_t      *conn;
    ngx_mc_peer_stat_t     *peer;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;

    if (ngx_mc_access(ep->def->params.allow, sa) != NGX_OK) {

        /* it was when it passed the callback */

        (void) srt_close(sock);
        ngx_mc_endpoint_rejected(ep, NGX_MC_REJECTED_ADDRESS, 1, sa, socklen,
                                 "the address is no longer allowed");
        return;
    }

    if (ep->def->direction == NGX_MC_INPUT && se->conn) {

        /* both passed the callback before either was here */

        if (ngx_mc_now() - se->conn->last <= 1000000) {
            (void) srt_close(sock);
            ngx_mc_endpoint_rejected(ep, NGX_MC_REJECTED_BUSY, 1, sa, socklen,
                                     "the source is in use");
            return;
        }

        ngx_mc_srt_broken(se->conn, "silent, replaced by another caller");
    }

    conn = ngx_mc_srt_conn_create(ep, sock);

    if (conn == NULL) {
        (void) srt_close(sock);
        return;
    }

    conn->connected = 1;
    conn->start = srt_connection_time(sock);
    conn->port = se->port;
    ngx_mc_srt_port_ref(conn->port);

    if (ep->def->direction == NGX_MC_INPUT) {
        se->conn = conn;
        se->gate.busy = ngx_mc_srt_ms();

        conn->socket.handler = ngx_mc_srt_source_handler;
        (void) ngx_mc_srt_poll(&conn->socket, SRT_EPOLL_IN|SRT_EPOLL_ERR);

        ngx_mc_srt_stat_connected(&ep->stat->u.srt, conn);
        ngx_mc_flow_connected(ep);
        ngx_mc_endpoint_up(ep, sa, socklen);

        ngx_mc_srt_verify(conn);

        return;
    }

    if (ep->def->params.max_peers > 0
        && se->gate.npeers >= (ngx_uint_t) ep->def->params.max_peers)
    {
        goto limit;
    }

    peer = ngx_mc_peer_stat_add(ep->stat);

    if (peer == NULL) {
        goto limit;
    }

    len = ngx_sock_ntop(sa, socklen, peer->address, NGX_MC_ADDR_LEN - 1, 1);
    peer->address[len] = '\0';
    ngx_cpystrn(peer->streamid, streamid, NGX_MC_STREAMID_LEN);
    peer->connected_at = ngx_mc_epoch_ms();

    conn->peer = peer;
    ngx_queue_insert_tail(&se->receivers, &conn->queue);
    (void) ngx_atomic_fetch_add(&se->gate.npeers, 1);

    conn->socket.handler = ngx_mc_srt_output_handler;
    (void) ngx_mc_srt_poll(&conn->socket, SRT_EPOLL_ERR);

    ngx_mc_srt_stat_connected(&peer->srt, conn);
    ngx_mc_endpoint_peer_up(ep, peer);

    ngx_mc_srt_verify(conn);

    return;

limit:

    ngx_mc_srt_conn_free(conn);
    ngx_mc_endpoint_rejected(ep, NGX_MC_REJECTED_LIMIT, 1, sa, socklen,
                             "too many receivers");
}


static ngx_mc_srt_conn_t *
ngx_mc_srt_conn_create(ngx_mc_endpoint_t *ep, SRTSOCKET sock)
{
    ngx_mc_srt_conn_t  *conn;

    conn = ngx_calloc(sizeof(ngx_mc_srt_conn_t), ngx_cycle->log);
    if (conn == NULL) {
        return NULL;
    }

    conn->ep = ep;
    conn->fd.fd = -1;
    conn->last = ngx_mc_now();
    conn->socket.sock = sock;
    conn->socket.data = conn;
    conn->pulse.handler = ngx_mc_srt_pulse_handler;
    conn->pulse.data = conn;

    return conn;
}


static void
ngx_mc_srt_conn_free(ngx_mc_srt_conn_t *conn)
{
    ngx_mc_srt_endpoint_t  *se;

    se = conn->ep->data;

    ngx_mc_pulse_stop(&conn->pulse);
    ngx_mc_srt_close(&conn->socket);
    ngx_mc_srt_free_fd(&conn->fd);

    if (conn->port) {
        ngx_mc_srt_port_unref(conn->port);
    }

    if (conn->local && --conn->local->refs == 0) {
        ngx_queue_remove(&conn->local->queue);
        ngx_free(conn->local);
    }

    if (conn->peer) {
        ngx_queue_remove(&conn->queue);
        (void) ngx_atomic_fetch_add(&se->gate.npeers, -1);
        ngx_mc_peer_stat_remove(conn->ep->stat, conn->peer);
    }

    ngx_free(conn);
}


/* the first packet after a silence: from now on the pulse drains it */

static void
ngx_mc_srt_source_handler(ngx_mc_srt_socket_t *s, int events)
{
    ngx_mc_srt_conn_t  *conn;

    conn = s->data;

    if (ngx_mc_pulse_start(&conn->pulse,
                           ngx_mc_pulse_period(conn->ep->flow->batch))
        == NGX_OK)
    {
        (void) ngx_mc_srt_poll(s, 0);
    }

    ngx_mc_srt_drain(conn);
}


static void
ngx_mc_srt_pulse_handler(void *data)
{
    ngx_mc_srt_drain(data);
}


static void
ngx_mc_srt_drain(ngx_mc_srt_conn_t *conn)
{
    int                     len, err;
    int64_t                 now;
    SRTSOCKET               sock;
    ngx_uint_t              n, passes;
    SRT_MSGCTRL             mc;
    ngx_mc_packet_t        *pkt;
    ngx_mc_endpoint_t      *ep;
    ngx_mc_srt_endpoint_t  *se;

    ep = conn->ep;
    se = ep->data;
    sock = conn->socket.sock;
    passes = 0;
    err = 0;

    do {
        for (n = 0; n < NGX_MC_SRT_BATCH; n++) {

            mc = srt_msgctrl_default;

            len = srt_recvmsg2(sock, (char *) ngx_mc_srt_buffer[n],
                               NGX_MC_SRT_MESSAGE, &mc);

            if (len <= 0) {
                err = (len == 0) ? SRT_ECONNLOST : srt_getlasterror(NULL);
                break;
            }

            pkt = &ngx_mc_srt_packets[n];

            pkt->data = ngx_mc_srt_buffer[n];
            pkt->len = len;
            pkt->rtp = NULL;
            pkt->rtp_len = 0;
            pkt->chunk = NULL;
            pkt->media = NGX_MC_NO_TIME;
            pkt->discontinuity = 0;
            pkt->origin = mc.srctime + ngx_mc_srt_clock;
        }

        if (n) {
            now = ngx_mc_now();
            conn->last = now;
            ep->stat->u.srt.packets += n;
            se->gate.busy = (ngx_atomic_uint_t) (now / 1000) | 1;

            if (ngx_mc_flow_input(ep, ngx_mc_srt_packets, n)
                == NGX_DECLINED)
            {
                se->gate.banned = (ngx_atomic_uint_t) (now / 1000 + 10000) | 1;
                ngx_mc_srt_broken(conn, "exceeded max_bandwidth");
                return;
            }
        }

        /* others have their turn even if one floods */

    } while (err == 0 && ++passes < NGX_MC_SRT_PASSES);

    if (err && err != SRT_EASYNCRCV) {
        ngx_mc_srt_broken(conn, ngx_mc_srt_lost);
        return;
    }

    if (conn->pulse.pulse
        && ngx_mc_now() - conn->last > NGX_MC_PULSE_IDLE
        && srt_getsockstate(sock) == SRTS_CONNECTED)
    {
        ngx_mc_pulse_stop(&conn->pulse);
        (void) ngx_mc_srt_poll(&conn->socket, SRT_EPOLL_IN|SRT_EPOLL_ERR);
    }
}


static void
ngx_mc_srt_output_handler(ngx_mc_srt_socket_t *s, int events)
{
    ngx_mc_srt_broken(s->data, ngx_mc_srt_lost);
}


/*
 * A socket that broke before it was put into the poll set makes no event:
 * to be asked after it was, and once a second.  NGX_DECLINED: it did, and
 * conn may be gone.
 */

static ngx_int_t
ngx_mc_srt_verify(ngx_mc_srt_conn_t *conn)
{
    if (srt_getsockstate(conn->socket.sock) == SRTS_CONNECTED) {
        return NGX_OK;
    }

    if (conn->ep->def->direction == NGX_MC_INPUT) {
        /* what came before the end is still to be read */
        ngx_mc_srt_source_handler(&conn->socket, SRT_EPOLL_ERR);

    } else {
        ngx_mc_srt_broken(conn, ngx_mc_srt_lost);
    }

    return NGX_DECLINED;
}


/* the connection is over, whoever ended it */

static void
ngx_mc_srt_broken(ngx_mc_srt_conn_t *conn, const char *why)
{
    ngx_uint_t              listening;
    ngx_mc_endpoint_t      *ep;
    ngx_mc_srt_endpoint_t  *se;

    ep = conn->ep;
    se = ep->data;

    if (conn->peer) {
        ngx_mc_srt_stat(conn, &conn->peer->srt, &ep->stat->u.srt);
        ngx_mc_endpoint_peer_down(ep, conn->peer, why);
        ngx_mc_srt_conn_free(conn);
        return;
    }

    ngx_mc_srt_stat(conn, &ep->stat->u.srt, NULL);
    ngx_mc_srt_stat_closed(&ep->stat->u.srt);

    listening = (ep->def->mode == NGX_MC_MODE_LISTENER);

    se->conn = NULL;
    se->gate.busy = 0;
    ngx_mc_srt_conn_free(conn);

    ngx_mc_endpoint_down(ep, listening, "%s", why);
}


static void
ngx_mc_srt_send(ngx_mc_endpoint_t *ep, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    ngx_queue_t            *q, *next;
    ngx_mc_srt_conn_t      *conn;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;

    if (se->conn) {
        if (ngx_mc_srt_conn_send(se->conn, pkts, n) != NGX_OK) {
            ngx_mc_srt_broken(se->conn, ngx_mc_srt_lost);
        }

        return;
    }

    for (q = ngx_queue_head(&se->receivers);
         q != ngx_queue_sentinel(&se->receivers);
         q = next)
    {
        next = ngx_queue_next(q);
        conn = ngx_queue_data(q, ngx_mc_srt_conn_t, queue);

        if (ngx_mc_srt_conn_send(conn, pkts, n) != NGX_OK) {
            ngx_mc_srt_broken(conn, ngx_mc_srt_lost);
        }
    }
}


static ngx_int_t
ngx_mc_srt_conn_send(ngx_mc_srt_conn_t *conn, ngx_mc_packet_t *pkts,
    ngx_uint_t n)
{
    int                      rc;
    char                    *p;
    size_t                   len, size;
    int64_t                  origin;
    uint64_t                 sent, bytes, dropped;
    SRTSOCKET                sock;
    ngx_int_t                max;
    ngx_uint_t               i;
    SRT_MSGCTRL              mc;
    ngx_mc_endpoint_stat_t  *st;

    sock = conn->socket.sock;
    st = conn->ep->stat;

    max = ngx_mc_srt_payloadsize(&conn->ep->def->params);

    sent = 0;
    bytes = 0;
    dropped = 0;

    for (i = 0; i < n; i++) {

        /* the time it left its sender, so that batches add no jitter; older
           than the connection it would be refused */

        origin = pkts[i].origin - ngx_mc_srt_clock;
        origin = ngx_max(origin, conn->start);

        p = (char *) pkts[i].data;
        len = pkts[i].len;

        do {
            size = len;

            if (size > (size_t) max) {
                size = (max >= NGX_MC_TS_SIZE) ? max - max % NGX_MC_TS_SIZE
                                               : max;
            }

            mc = srt_msgctrl_default;
            mc.srctime = origin;

            rc = srt_sendmsg2(sock, p, (int) size, &mc);

            if (rc == SRT_ERROR) {
                rc = srt_getlasterror(NULL);

                if (rc == SRT_EASYNCSND || rc == SRT_ECONGEST) {

                    /* nor is there room for the rest, and each refusal is
                       an exception inside libsrt */

                    dropped += n - i;
                    rc = 0;
                }

                goto done;
            }

            sent++;
            bytes += size;

            p += size;
            len -= size;

        } while (len);
    }

    rc = 0;

done:

    st->packets += sent;
    st->bytes += bytes;
    st->dropped_packets += dropped;
    st->u.srt.packets += sent;

    if (conn->peer) {
        conn->peer->packets += sent;
        conn->peer->srt.packets += sent;
        conn->peer->bytes += bytes;
        conn->peer->dropped_packets += dropped;
    }

    return rc ? NGX_ERROR : NGX_OK;
}


static void
ngx_mc_srt_second(ngx_mc_endpoint_t *ep)
{
    ngx_queue_t            *q, *next;
    ngx_mc_srt_conn_t      *conn;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;

    if (se->conn && se->conn->connected) {

        if (ngx_mc_srt_verify(se->conn) != NGX_OK) {
            return;
        }

        ngx_mc_srt_stat(se->conn, &ep->stat->u.srt, NULL);
    }

    for (q = ngx_queue_head(&se->receivers);
         q != ngx_queue_sentinel(&se->receivers);
         q = next)
    {
        next = ngx_queue_next(q);
        conn = ngx_queue_data(q, ngx_mc_srt_conn_t, queue);

        if (ngx_mc_srt_verify(conn) != NGX_OK) {
            continue;
        }

        ngx_mc_srt_stat(conn, &conn->peer->srt, &ep->stat->u.srt);

        conn->peer->bitrate = (conn->peer->bytes - conn->bytes_seen) * 8;
        conn->bytes_seen = conn->peer->bytes;
    }
}


/*
 * Connections of a listener keep what they have agreed on with their peers.
 * Callers get here with what does not concern libsrt at all.
 */

static void
ngx_mc_srt_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    ngx_queue_t            *q, *next;
    ngx_mc_srt_conn_t      *conn;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;

    if (!ep->banned) {
        se->gate.banned = 0;
    }

    if (se->port) {
        ngx_mc_srt_port_update(ep, def, changed);

    } else {
        ep->def = def;
    }

    if (se->conn && se->conn->connected) {
        ngx_mc_srt_cut(se->conn, changed);
    }

    for (q = ngx_queue_head(&se->receivers);
         q != ngx_queue_sentinel(&se->receivers);
         q = next)
    {
        next = ngx_queue_next(q);
        conn = ngx_queue_data(q, ngx_mc_srt_conn_t, queue);

        ngx_mc_srt_cut(conn, changed);
    }
}


/* ends the connection if its peer would not be let in now */

static void
ngx_mc_srt_cut(ngx_mc_srt_conn_t *conn, ngx_uint_t changed)
{
    int                 len;
    ngx_sockaddr_t      sa;
    ngx_mc_params_t    *params;
    ngx_mc_endpoint_t  *ep;

    ep = conn->ep;
    params = &ep->def->params;

    if (ep->def->mode == NGX_MC_MODE_LISTENER) {

        if ((changed & NGX_MC_CHANGED_KEY)
            && params->rekey == NGX_MC_REKEY_DISCONNECT)
        {
            ngx_mc_srt_broken(conn, "the passphrase was changed");
            return;
        }

        len = sizeof(ngx_sockaddr_t);

        if (srt_getpeername(conn->socket.sock, &sa.sockaddr, &len)
            != SRT_ERROR
            && ngx_mc_access(params->allow, &sa.sockaddr) != NGX_OK)
        {
            ngx_mc_srt_broken(conn, "the address is no longer allowed");
            return;
        }
    }

    if ((changed & NGX_MC_CHANGED_BATCH) && conn->pulse.pulse) {

        ngx_mc_pulse_stop(&conn->pulse);

        if (ngx_mc_pulse_start(&conn->pulse,
                               ngx_mc_pulse_period(ep->flow->batch))
            != NGX_OK)
        {
            (void) ngx_mc_srt_poll(&conn->socket,
                                   SRT_EPOLL_IN|SRT_EPOLL_ERR);
        }
    }
}


static void
ngx_mc_srt_stat_connected(ngx_mc_srt_stat_t *st, ngx_mc_srt_conn_t *conn)
{
    int        n, len;
    SRTSOCKET  sock;

    sock = conn->socket.sock;

    len = sizeof(int);

    if (srt_getsockflag(sock, SRTO_RCVLATENCY, &n, &len) != SRT_ERROR) {
        st->recv_latency_ms = n;
    }

    len = sizeof(int);

    if (srt_getsockflag(sock, SRTO_PEERLATENCY, &n, &len) != SRT_ERROR) {
        st->send_latency_ms = n;
    }

    len = sizeof(int);

    if (srt_getsockflag(sock, SRTO_PEERVERSION, &n, &len) != SRT_ERROR) {
        st->peer_version = n;
    }

    ngx_mc_srt_stat_key(st, conn);
}


static void
ngx_mc_srt_stat_closed(ngx_mc_srt_stat_t *st)
{
    st->rtt_ms = 0;
    st->loss_ratio = 0;
    st->retransmit_ratio = 0;
    st->send_latency_ms = -1;
    st->recv_latency_ms = -1;
    st->key_length = 0;
    st->buffer_ms = 0;
    st->peer_version = 0;
}


/* adds what the last second brought; "total" is of all receivers */

static void
ngx_mc_srt_stat(ngx_mc_srt_conn_t *conn, ngx_mc_srt_stat_t *st,
    ngx_mc_srt_stat_t *total)
{
    uint64_t           packets, lost, retransmitted, dropped, belated, all;
    SRT_TRACEBSTATS    perf;

    if (srt_bstats(conn->socket.sock, &perf, 1) == SRT_ERROR) {
        return;
    }

    if (conn->ep->def->direction == NGX_MC_INPUT) {
        packets = perf.pktRecvUnique;
        lost = perf.pktRcvLoss;
        retransmitted = perf.pktRcvRetrans;
        dropped = perf.pktRcvDrop;
        belated = perf.pktRcvBelated;
        st->buffer_ms = perf.msRcvBuf;

    } else {
        packets = perf.pktSentUnique;
        lost = perf.pktSndLoss;
        retransmitted = perf.pktRetrans;
        dropped = perf.pktSndDrop;
        belated = 0;
        st->buffer_ms = perf.msSndBuf;
    }

    st->rtt_ms = perf.msRTT;

    all = packets + retransmitted;

    st->loss_ratio = (packets + lost)
                     ? (double) lost / (packets + lost) : 0;
    st->retransmit_ratio = all ? (double) retransmitted / all : 0;

    for ( ;; ) {
        st->lost_packets += lost;
        st->retransmitted_packets += retransmitted;
        st->dropped_packets += dropped;
        st->belated_packets += belated;

        if (total == NULL) {
            break;
        }

        st = total;
        total = NULL;
    }

    /* the key exchange may end after the connection is there */

    ngx_mc_srt_stat_key(conn->peer ? &conn->peer->srt
                                   : &conn->ep->stat->u.srt, conn);
}


static void
ngx_mc_srt_stat_key(ngx_mc_srt_stat_t *st, ngx_mc_srt_conn_t *conn)
{
    int  n, len, state;

    n = 0;
    len = sizeof(int);

    if (srt_getsockflag(conn->socket.sock,
                        (conn->ep->def->direction == NGX_MC_INPUT)
                        ? SRTO_RCVKMSTATE : SRTO_SNDKMSTATE, &state, &len)
        == SRT_ERROR
        || state != SRT_KM_S_SECURED)
    {
        st->key_length = 0;
        return;
    }

    len = sizeof(int);

    if (srt_getsockflag(conn->socket.sock, SRTO_PBKEYLEN, &n, &len)
        != SRT_ERROR)
    {
        st->key_length = n;
    }
}
