
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_srt.h>


/*
 * A UDP port with an SRT listener on it, and the endpoints, of any flows,
 * that take callers by their streamid.
 *
 * libsrt asks whether it may go on with a handshake in its receiver thread,
 * before any key is exchanged.  The answer comes from the list of endpoints,
 * under the port's mutex, which that thread holds while it sets the options
 * of the new socket, and the nginx thread never while it calls libsrt.  What
 * was answered goes to the nginx thread through a ring; what does not fit
 * under a flood is still counted.
 *
 * A caller with a wrong passphrase is dropped by libsrt without a word to
 * the listener: a handshake that was let pass and whose socket is gone
 * without having been accepted was one of those.
 */


#define NGX_MC_SRT_RING      256
#define NGX_MC_SRT_BACKLOG   128

/* a source that was silent for so long gives way to another caller, ms */
#define NGX_MC_SRT_SILENT    1000

/* a port that could not get another listener, or whose UDP socket a thread
   still holds, tries again after so many ms */
#define NGX_MC_SRT_AGAIN     1000
#define NGX_MC_SRT_BOUND     20

/* ports that were closed are given to libsrt, one or few in so many ms, which
   has forgotten them after so many more */
#define NGX_MC_SRT_BURIAL    1000
#define NGX_MC_SRT_BURIALS   4
#define NGX_MC_SRT_FORGOTTEN 10000

/* how often handshakes under way are looked at, and for how long, ms */
#define NGX_MC_SRT_CHECK     20
#define NGX_MC_SRT_HANDSHAKE 5000


#define NGX_MC_SRT_PASSED    NGX_MC_REJECTED_N

/* what is told of a streamid that nobody has */
#define NGX_MC_SRT_SHOWN     64


typedef struct {
    ngx_mc_srt_endpoint_t   *se;             /* NULL: has left meanwhile */
    ngx_uint_t               verdict;        /* NGX_MC_REJECTED_*, PASSED */
    SRTSOCKET                sock;
    ngx_msec_t               time;
    socklen_t                socklen;
    ngx_sockaddr_t           sockaddr;
    u_char                   streamid[NGX_MC_SRT_SHOWN];
} ngx_mc_srt_verdict_t;


/* of a listener: accepted sockets have them from it */

typedef struct {
    ngx_int_t                fc;
    ngx_int_t                rcvbuf;
    ngx_int_t                sndbuf;
    int                      keylen;

    /* of its UDP socket */
    ngx_int_t                mss;
    ngx_int_t                ttl;
    ngx_int_t                tos;
} ngx_mc_srt_port_options_t;


struct ngx_mc_srt_port_s {
    ngx_queue_t              queue;          /* of this process's ports */
    ngx_sockaddr_t           addr;
    socklen_t                addrlen;
    ngx_msec_t               batch;
    ngx_event_t              open;           /* posted */
    ngx_event_t              again;          /* a timer for the same */
    ngx_msec_t               ended;          /* when libsrt was told to */

    ngx_mc_srt_port_options_t  options;      /* those in force */

    ngx_mc_srt_socket_t      socket;
    ngx_mc_srt_fd_t          fd;
    ngx_uint_t               nconns;
    unsigned                 rebind:1;       /* it has lost its listener */

    /* behind the mutex */
    pthread_mutex_t          mutex;
    ngx_queue_t              endpoints;
    ngx_uint_t               n;              /* in the ring */
    ngx_mc_srt_verdict_t     ring[NGX_MC_SRT_RING];
    ngx_uint_t               missed[NGX_MC_REJECTED_N];

    /* passed the callback, not accepted yet */
    ngx_uint_t               npending;
    ngx_mc_srt_verdict_t     pending[NGX_MC_SRT_RING];
};


static ngx_mc_srt_port_t *ngx_mc_srt_port_get(ngx_mc_endpoint_t *ep);
static void ngx_mc_srt_port_forget(ngx_mc_srt_port_t *port,
    ngx_mc_srt_endpoint_t *se, ngx_uint_t all);
static void ngx_mc_srt_port_open_handler(ngx_event_t *ev);
static ngx_mc_endpoint_t *ngx_mc_srt_port_options(ngx_mc_srt_port_t *port,
    ngx_mc_srt_port_options_t *options);
static void ngx_mc_srt_port_open(ngx_mc_srt_port_t *port);
static ngx_int_t ngx_mc_srt_port_listen(ngx_mc_srt_port_t *port,
    ngx_mc_endpoint_t *first, ngx_mc_srt_port_options_t *options,
    ngx_uint_t bound);
static void ngx_mc_srt_port_waiting(ngx_mc_srt_port_t *port);
static void ngx_mc_srt_port_tell(ngx_mc_srt_port_t *port, const char *error);
static void ngx_mc_srt_port_wait(ngx_mc_srt_port_t *port, ngx_msec_t delay);
static ngx_uint_t ngx_mc_srt_port_lingers(ngx_mc_srt_port_t *port);
static void ngx_mc_srt_port_shut(ngx_mc_srt_port_t *port);
static void ngx_mc_srt_port_bury(ngx_event_t *ev);
static void ngx_mc_srt_port_close(ngx_mc_srt_port_t *port);
static void ngx_mc_srt_port_failed(ngx_mc_srt_port_t *port, ngx_uint_t event,
    ngx_err_t err, const char *what);
static int ngx_mc_srt_port_callback(void *opaque, SRTSOCKET sock,
    int hsversion, const struct sockaddr *sa, const char *streamid);
static ngx_mc_srt_endpoint_t *ngx_mc_srt_port_match(ngx_mc_srt_port_t *port,
    const char *streamid, ngx_uint_t *verdict, int *code);
static void ngx_mc_srt_port_handler(ngx_mc_srt_socket_t *s, int events);
static void ngx_mc_srt_port_verdicts(ngx_mc_srt_port_t *port);
static void ngx_mc_srt_port_reject(ngx_mc_srt_endpoint_t *se, ngx_uint_t n,
    ngx_mc_srt_verdict_t *v);
static void ngx_mc_srt_port_check(ngx_event_t *ev);
static socklen_t ngx_mc_srt_socklen(const struct sockaddr *sa);


static const char  *ngx_mc_srt_reasons[] = {
    "address is not allowed",
    "the passphrases differ, or only one side has one",
    "unknown streamid",
    "the source is in use",
    "too many receivers",
    "disconnected for exceeding max_bandwidth",
    "malformed streamid"
};


static ngx_queue_t           ngx_mc_srt_ports;
static ngx_event_t           ngx_mc_srt_check;

/* ports that are closed, see ngx_mc_srt_port_close() */
static ngx_queue_t           ngx_mc_srt_buried;
static ngx_event_t           ngx_mc_srt_burial;
static ngx_uint_t            ngx_mc_srt_nburied;   /* since it ran last */

/* libsrt's last error, which closing a socket may overwrite */
static char                  ngx_mc_srt_port_error[NGX_MC_ERROR_LEN];

/* the ident of an event that belongs to no connection */
static ngx_connection_t      ngx_mc_srt_dummy = { .fd = (ngx_socket_t) -1 };

/* the nginx thread's copy of a ring */
static ngx_mc_srt_verdict_t  ngx_mc_srt_copy[NGX_MC_SRT_RING];


/* registers the endpoint; the port is opened when all have registered that
   this pass of the event loop brings */

void
ngx_mc_srt_listen(ngx_mc_endpoint_t *ep)
{
    ngx_mc_srt_port_t      *port;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;

    port = ngx_mc_srt_port_get(ep);

    if (port == NULL) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "no memory for a listener");
        return;
    }

    se->port = port;

    (void) pthread_mutex_lock(&port->mutex);
    ngx_queue_insert_tail(&port->endpoints, &se->queue);
    (void) pthread_mutex_unlock(&port->mutex);

    if (port->socket.sock != SRT_INVALID_SOCK) {
        ngx_mc_endpoint_waiting(ep);
    }

    if (!port->open.posted) {
        ngx_post_event(&port->open, &ngx_posted_events);
    }
}


/* libsrt's thread looks at a definition only under the mutex, so the old one
   is the caller's again */

void
ngx_mc_srt_port_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    ngx_mc_srt_port_t      *port;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;
    port = se->port;

    (void) pthread_mutex_lock(&port->mutex);
    ep->def = def;
    (void) pthread_mutex_unlock(&port->mutex);

    if ((changed & NGX_MC_CHANGED_KEY)
        && def->params.rekey == NGX_MC_REKEY_DISCONNECT)
    {
        ngx_mc_srt_port_forget(port, se, 0);
    }

    if (!port->open.posted) {
        ngx_post_event(&port->open, &ngx_posted_events);
    }
}


void
ngx_mc_srt_unlisten(ngx_mc_endpoint_t *ep)
{
    ngx_uint_t              empty;
    ngx_mc_srt_port_t      *port;
    ngx_mc_srt_endpoint_t  *se;

    se = ep->data;
    port = se->port;

    if (port == NULL) {
        return;
    }

    se->port = NULL;

    (void) pthread_mutex_lock(&port->mutex);

    ngx_queue_remove(&se->queue);
    empty = ngx_queue_empty(&port->endpoints);
    (void) pthread_mutex_unlock(&port->mutex);

    ngx_mc_srt_port_forget(port, se, 1);

    if (empty) {
        ngx_mc_srt_port_close(port);
    }
}


/* those that an endpoint, or any (NULL), has let in and that are not there yet
   will not be accepted; "all": nor are refusals put down to it */

static void
ngx_mc_srt_port_forget(ngx_mc_srt_port_t *port, ngx_mc_srt_endpoint_t *se,
    ngx_uint_t all)
{
    ngx_uint_t  i;

    (void) pthread_mutex_lock(&port->mutex);

    for (i = 0; i < port->n; i++) {
        if ((se == NULL || port->ring[i].se == se)
            && (all || port->ring[i].verdict == NGX_MC_SRT_PASSED))
        {
            port->ring[i].se = NULL;
        }
    }

    (void) pthread_mutex_unlock(&port->mutex);

    for (i = 0; i < port->npending; i++) {
        if (se == NULL || port->pending[i].se == se) {
            port->pending[i].se = NULL;
        }
    }
}


static ngx_mc_srt_port_t *
ngx_mc_srt_port_get(ngx_mc_endpoint_t *ep)
{
    ngx_queue_t        *q;
    ngx_mc_srt_port_t  *port;

    if (ngx_mc_srt_ports.next == NULL) {
        ngx_queue_init(&ngx_mc_srt_ports);

        ngx_mc_srt_check.handler = ngx_mc_srt_port_check;
        ngx_mc_srt_check.data = &ngx_mc_srt_dummy;
        ngx_mc_srt_check.log = ngx_cycle->log;
        ngx_mc_srt_check.cancelable = 1;

        ngx_queue_init(&ngx_mc_srt_buried);

        ngx_mc_srt_burial.handler = ngx_mc_srt_port_bury;
        ngx_mc_srt_burial.data = &ngx_mc_srt_dummy;
        ngx_mc_srt_burial.log = ngx_cycle->log;
        ngx_mc_srt_burial.cancelable = 1;
    }

    for (q = ngx_queue_head(&ngx_mc_srt_ports);
         q != ngx_queue_sentinel(&ngx_mc_srt_ports);
         q = ngx_queue_next(q))
    {
        port = ngx_queue_data(q, ngx_mc_srt_port_t, queue);

        if (ngx_cmp_sockaddr(&port->addr.sockaddr, port->addrlen,
                             ep->sockaddr, ep->socklen, 1)
            == NGX_OK)
        {
            return port;
        }
    }

    port = ngx_calloc(sizeof(ngx_mc_srt_port_t), ngx_cycle->log);
    if (port == NULL) {
        return NULL;
    }

    ngx_memcpy(&port->addr, ep->sockaddr, ep->socklen);
    port->addrlen = ep->socklen;
    port->fd.fd = -1;
    port->socket.sock = SRT_INVALID_SOCK;
    port->socket.handler = ngx_mc_srt_port_handler;
    port->socket.data = port;
    port->open.handler = ngx_mc_srt_port_open_handler;
    port->open.data = port;
    port->open.log = ngx_cycle->log;
    port->again = port->open;
    port->again.cancelable = 1;

    (void) pthread_mutex_init(&port->mutex, NULL);
    ngx_queue_init(&port->endpoints);

    ngx_queue_insert_tail(&ngx_mc_srt_ports, &port->queue);

    return port;
}


/*
 * Endpoints have come or have changed.  A port that is open and has
 * connections goes on with another listener on the same UDP socket.
 */

static void
ngx_mc_srt_port_open_handler(ngx_event_t *ev)
{
    ngx_mc_endpoint_t          *first;
    ngx_mc_srt_port_t          *port;
    ngx_mc_srt_port_options_t   options, *now;

    port = ev->data;

    if (port->socket.sock == SRT_INVALID_SOCK && !port->rebind) {
        ngx_mc_srt_port_open(port);
        return;
    }

    first = ngx_mc_srt_port_options(port, &options);
    now = &port->options;

    if (port->rebind) {

        if (port->nconns == 0) {
            goto anew;
        }

        if (ngx_mc_srt_port_listen(port, first, &options, 1) != NGX_OK) {
            ngx_mc_srt_port_wait(port, NGX_MC_SRT_AGAIN);
            return;
        }

        port->rebind = 0;
        ngx_mc_srt_port_tell(port, "");
        ngx_mc_srt_port_waiting(port);
        return;
    }

    if (ngx_memcmp(&options, now, sizeof(ngx_mc_srt_port_options_t)) == 0) {
        return;
    }

    if (options.mss != now->mss
        || options.ttl != now->ttl
        || options.tos != now->tos)
    {
        /*
         * Endpoints of one port agree in what its UDP socket is to be, so
         * all were opened anew, and none has a connection.
         */

        goto anew;
    }

    /*
     * libsrt finds its threads for the port by the address: not before it has
     * forgotten those that it had when the port was open here before.
     */

    if (ngx_mc_srt_port_lingers(port)) {
        ngx_mc_srt_port_wait(port, NGX_MC_SRT_AGAIN);
        return;
    }

    ngx_mc_srt_close(&port->socket);
    ngx_mc_srt_port_forget(port, NULL, 0);

    if (ngx_mc_srt_port_listen(port, first, &options, 1) != NGX_OK) {

        if (port->nconns == 0) {
            goto anew;
        }

        /* connections that there are go on; nobody new comes in */

        ngx_mc_srt_port_tell(port, ngx_mc_srt_port_error);

        port->rebind = 1;
        ngx_mc_srt_port_wait(port, NGX_MC_SRT_AGAIN);
    }

    return;

anew:

    port->rebind = 0;

    ngx_mc_srt_port_shut(port);
    ngx_mc_srt_port_wait(port, NGX_MC_SRT_BOUND);
}


/* what keeps all of its endpoints from being connected to; "": nothing */

static void
ngx_mc_srt_port_tell(ngx_mc_srt_port_t *port, const char *error)
{
    ngx_queue_t            *q;
    ngx_mc_srt_endpoint_t  *se;

    for (q = ngx_queue_head(&port->endpoints);
         q != ngx_queue_sentinel(&port->endpoints);
         q = ngx_queue_next(q))
    {
        se = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);

        ngx_mc_endpoint_error(se->ep, "%s%s", error[0] ? "no listener: " : "",
                              error);
    }
}


static void
ngx_mc_srt_port_wait(ngx_mc_srt_port_t *port, ngx_msec_t delay)
{
    if (!port->again.timer_set) {
        ngx_add_timer(&port->again, delay);
    }
}


/* whether libsrt may still have the threads of a UDP socket that was here */

static ngx_uint_t
ngx_mc_srt_port_lingers(ngx_mc_srt_port_t *port)
{
    ngx_queue_t        *q;
    ngx_mc_srt_port_t  *closed;

    if (port->ended
        && ngx_current_msec - port->ended < NGX_MC_SRT_FORGOTTEN)
    {
        return 1;
    }

    for (q = ngx_queue_head(&ngx_mc_srt_buried);
         q != ngx_queue_sentinel(&ngx_mc_srt_buried);
         q = ngx_queue_next(q))
    {
        closed = ngx_queue_data(q, ngx_mc_srt_port_t, queue);

        if (ngx_cmp_sockaddr(&closed->addr.sockaddr, closed->addrlen,
                             &port->addr.sockaddr, port->addrlen, 1)
            == NGX_OK)
        {
            return 1;
        }
    }

    return 0;
}


/* as large and as long as any of the endpoints asks for */

static ngx_mc_endpoint_t *
ngx_mc_srt_port_options(ngx_mc_srt_port_t *port,
    ngx_mc_srt_port_options_t *options)
{
    ngx_int_t               fc, rcvbuf;
    ngx_queue_t            *q;
    ngx_mc_params_t        *params;
    ngx_mc_endpoint_t      *first;
    ngx_mc_srt_endpoint_t  *se;

    ngx_memzero(options, sizeof(ngx_mc_srt_port_options_t));

    q = ngx_queue_head(&port->endpoints);
    se = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);
    first = se->ep;

    params = &first->def->params;
    port->batch = first->flow->batch;

    options->sndbuf = params->sndbuf;
    options->mss = params->mss;
    options->ttl = params->ipttl;
    options->tos = params->iptos;

    for ( /* void */ ;
         q != ngx_queue_sentinel(&port->endpoints);
         q = ngx_queue_next(q))
    {
        se = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);

        ngx_mc_srt_buffers(se->ep, &fc, &rcvbuf);

        port->batch = ngx_min(port->batch, se->ep->flow->batch);

        options->fc = ngx_max(options->fc, fc);
        options->rcvbuf = ngx_max(options->rcvbuf, rcvbuf);

        options->keylen = ngx_max(options->keylen,
                                  (int) se->ep->def->params.pbkeylen);
    }

    return first;
}


static void
ngx_mc_srt_port_open(ngx_mc_srt_port_t *port)
{
    ngx_err_t                   err;
    ngx_mc_endpoint_t          *first;
    ngx_mc_srt_port_options_t   options;

    first = ngx_mc_srt_port_options(port, &options);

    if (ngx_mc_srt_bind_fd(&port->fd, &port->addr.sockaddr, port->addrlen)
        != NGX_OK)
    {
        err = ngx_errno;
        ngx_mc_srt_port_failed(port, (err == NGX_EADDRINUSE)
                                     ? NGX_MC_EVENT_ADDRESS_IN_USE
                                     : NGX_MC_EVENT_CONNECT_FAILED,
                               err, "bind() failed");
        return;
    }

    if (ngx_mc_srt_port_listen(port, first, &options, 0) != NGX_OK) {
        ngx_mc_srt_port_failed(port, NGX_MC_EVENT_CONNECT_FAILED, 0,
                               ngx_mc_srt_port_error);
        return;
    }

    ngx_mc_srt_idle_fd(&port->fd, 1);

    ngx_mc_srt_port_waiting(port);
}


static void
ngx_mc_srt_port_waiting(ngx_mc_srt_port_t *port)
{
    ngx_queue_t            *q;
    ngx_mc_srt_endpoint_t  *se;

    for (q = ngx_queue_head(&port->endpoints);
         q != ngx_queue_sentinel(&port->endpoints);
         q = ngx_queue_next(q))
    {
        se = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);

        if (!se->ep->connected) {
            ngx_mc_endpoint_waiting(se->ep);
        }
    }
}


/*
 * A listener on the UDP socket of the port: "bound" says that libsrt's threads
 * are on it, by connections or by a listener just closed, which it then joins.
 * When it fails ngx_mc_srt_port_error tells why; a UDP socket that is not
 * bound yet is closed.
 */

static ngx_int_t
ngx_mc_srt_port_listen(ngx_mc_srt_port_t *port, ngx_mc_endpoint_t *first,
    ngx_mc_srt_port_options_t *options, ngx_uint_t bound)
{
    int        rc;
    SRTSOCKET  sock;

    sock = srt_create_socket();

    if (sock == SRT_INVALID_SOCK) {
        goto failed;
    }

    /* the caller makes the key, and is told how long before it has said whom
       it wants: as long as anyone here asks for */

    if (ngx_mc_srt_options(first, sock, options->fc, options->rcvbuf)
        != NGX_OK
        || srt_setsockflag(sock, SRTO_PBKEYLEN, &options->keylen, sizeof(int))
           == SRT_ERROR)
    {
        goto failed;
    }

    ngx_mc_srt_enter(port->batch);

    rc = bound ? srt_bind(sock, &port->addr.sockaddr, port->addrlen)
               : srt_bind_acquire(sock, port->fd.fd);

    if (rc == SRT_ERROR) {
        ngx_mc_srt_leave();
        goto failed;
    }

    (void) srt_listen_callback(sock, ngx_mc_srt_port_callback, port);

    if (srt_listen(sock, NGX_MC_SRT_BACKLOG) == SRT_ERROR) {
        ngx_mc_srt_leave();

        ngx_cpystrn((u_char *) ngx_mc_srt_port_error,
                    (u_char *) srt_getlasterror_str(), NGX_MC_ERROR_LEN);

        (void) srt_close(sock);

        if (!bound) {
            ngx_mc_srt_free_fd(&port->fd);
            port->fd.fd = -1;
        }

        return NGX_ERROR;
    }

    ngx_mc_srt_leave();

    port->socket.sock = sock;
    port->options = *options;

    (void) ngx_mc_srt_poll(&port->socket, SRT_EPOLL_IN|SRT_EPOLL_ERR);

    return NGX_OK;

failed:

    ngx_cpystrn((u_char *) ngx_mc_srt_port_error,
                (u_char *) srt_getlasterror_str(), NGX_MC_ERROR_LEN);

    if (sock != SRT_INVALID_SOCK) {
        (void) srt_close(sock);
    }

    if (!bound) {
        (void) close(port->fd.fd);
        port->fd.fd = -1;
    }

    return NGX_ERROR;
}


/* all endpoints leave, and so the port is gone; each comes back in time */

static void
ngx_mc_srt_port_failed(ngx_mc_srt_port_t *port, ngx_uint_t event,
    ngx_err_t err, const char *what)
{
    u_char                  text[NGX_MC_ERROR_LEN], *p;
    ngx_uint_t              last;
    ngx_queue_t            *q;
    ngx_mc_srt_endpoint_t  *se;

    if (err) {
        p = ngx_slprintf(text, text + sizeof(text) - 1, "%s: ", what);
        p = ngx_strerror(err, p, text + sizeof(text) - 1 - p);

    } else {
        p = ngx_slprintf(text, text + sizeof(text) - 1, "%s", what);
    }

    *p = '\0';

    do {
        q = ngx_queue_head(&port->endpoints);
        last = (ngx_queue_next(q) == ngx_queue_sentinel(&port->endpoints));

        se = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);

        ngx_mc_endpoint_failed(se->ep, event, "%s", text);

    } while (!last);
}


static void
ngx_mc_srt_port_shut(ngx_mc_srt_port_t *port)
{
    /* after this no callback runs: libsrt takes the listener out under the
       lock that it holds around the callback */

    ngx_mc_srt_close(&port->socket);
    ngx_mc_srt_port_forget(port, NULL, 0);

    ngx_mc_srt_free_fd(&port->fd);
    port->fd.fd = -1;

    port->ended = ngx_current_msec | 1;
}


/*
 * When libsrt gets rid of a port it joins its thread, which takes up to two
 * ticks of the kernel's clock, with a lock held that each of its calls needs:
 * a hundred ports closed together would stop all flows of this worker for
 * most of a second.  The UDP port is free at once; listener and threads wait
 * in a queue, and libsrt is given one of them a second, or few.
 */

static void
ngx_mc_srt_port_close(ngx_mc_srt_port_t *port)
{
    SRTSOCKET  sock;

    if (port->open.posted) {
        ngx_delete_posted_event(&port->open);
    }

    if (port->again.timer_set) {
        ngx_del_timer(&port->again);
    }

    ngx_queue_remove(&port->queue);

    if (port->socket.sock == SRT_INVALID_SOCK) {

        if (port->rebind) {
            ngx_mc_srt_port_shut(port);
        }

        if (port->ended == 0) {
            /* it was never open */
            (void) pthread_mutex_destroy(&port->mutex);
            ngx_free(port);
            return;
        }

        goto bury;
    }

    (void) ngx_mc_srt_poll(&port->socket, 0);

    /* who is through the handshake is told at once; who comes later finds no
       endpoint, and no socket after that */

    for ( ;; ) {
        ngx_mc_srt_enter(0);
        sock = srt_accept(port->socket.sock, NULL, NULL);
        ngx_mc_srt_leave();

        if (sock == SRT_INVALID_SOCK) {
            break;
        }

        (void) srt_close(sock);
    }

    ngx_mc_srt_free_fd(&port->fd);
    ngx_mc_srt_idle_fd(&port->fd, 1);

bury:

    ngx_queue_insert_tail(&ngx_mc_srt_buried, &port->queue);
    ngx_mc_srt_nburied++;

    if (!ngx_mc_srt_burial.timer_set) {
        ngx_add_timer(&ngx_mc_srt_burial, NGX_MC_SRT_BURIAL);
    }
}


static void
ngx_mc_srt_port_bury(ngx_event_t *ev)
{
    ngx_uint_t          quota;
    ngx_queue_t        *q, *next;
    ngx_mc_srt_port_t  *port;

    /* as many as have come, or reload after reload there would be more */

    quota = ngx_max(ngx_mc_srt_nburied, 1);
    quota = ngx_min(quota, NGX_MC_SRT_BURIALS);

    ngx_mc_srt_nburied = 0;

    for (q = ngx_queue_head(&ngx_mc_srt_buried);
         q != ngx_queue_sentinel(&ngx_mc_srt_buried);
         q = next)
    {
        next = ngx_queue_next(q);
        port = ngx_queue_data(q, ngx_mc_srt_port_t, queue);

        if (port->socket.sock != SRT_INVALID_SOCK) {

            if (quota) {
                ngx_mc_srt_port_shut(port);
                quota--;
            }

        } else if (ngx_current_msec - port->ended >= NGX_MC_SRT_FORGOTTEN) {
            ngx_queue_remove(&port->queue);
            (void) pthread_mutex_destroy(&port->mutex);
            ngx_free(port);
        }
    }

    if (!ngx_queue_empty(&ngx_mc_srt_buried)) {
        ngx_add_timer(ev, NGX_MC_SRT_BURIAL);
    }
}


void
ngx_mc_srt_ports_finish(void)
{
    ngx_queue_t        *q;
    ngx_mc_srt_port_t  *port;

    if (ngx_mc_srt_ports.next == NULL) {
        return;
    }

    if (ngx_mc_srt_burial.timer_set) {
        ngx_del_timer(&ngx_mc_srt_burial);
    }

    for (q = ngx_queue_head(&ngx_mc_srt_buried);
         q != ngx_queue_sentinel(&ngx_mc_srt_buried);
         q = ngx_queue_next(q))
    {
        port = ngx_queue_data(q, ngx_mc_srt_port_t, queue);

        if (port->socket.sock != SRT_INVALID_SOCK) {
            ngx_mc_srt_port_shut(port);
        }
    }
}


void
ngx_mc_srt_port_ref(ngx_mc_srt_port_t *port)
{
    if (port->nconns++ == 0) {
        ngx_mc_srt_idle_fd(&port->fd, 0);
    }
}


void
ngx_mc_srt_port_unref(ngx_mc_srt_port_t *port)
{
    if (--port->nconns == 0) {
        ngx_mc_srt_idle_fd(&port->fd, 1);

        if (port->rebind && !port->open.posted) {
            /* without connections libsrt will let go of the UDP socket */
            ngx_post_event(&port->open, &ngx_posted_events);
        }
    }
}


/* libsrt's receiver thread */

static int
ngx_mc_srt_port_callback(void *opaque, SRTSOCKET sock, int hsversion,
    const struct sockaddr *sa, const char *streamid)
{
    int                     code;
    ngx_uint_t              verdict, wake;
    ngx_atomic_uint_t       now, word;
    ngx_mc_srt_port_t      *port;
    ngx_mc_srt_verdict_t   *v;
    ngx_mc_srt_endpoint_t  *se;

    port = opaque;
    wake = 0;
    now = ngx_mc_srt_ms();

    (void) pthread_mutex_lock(&port->mutex);

    if (ngx_queue_empty(&port->endpoints)) {
        (void) pthread_mutex_unlock(&port->mutex);
        (void) srt_setrejectreason(sock, SRT_REJX_NOTFOUND);
        return -1;
    }

    se = ngx_mc_srt_port_match(port, streamid, &verdict, &code);

    if (verdict != NGX_MC_SRT_PASSED) {
        goto done;
    }

    if (ngx_mc_access(se->ep->def->params.allow, (struct sockaddr *) sa)
        != NGX_OK)
    {
        verdict = NGX_MC_REJECTED_ADDRESS;
        code = SRT_REJX_FORBIDDEN;
        goto done;
    }

    word = se->gate.banned;

    if (word && (ngx_atomic_int_t) (word - now) > 0) {
        verdict = NGX_MC_REJECTED_BANDWIDTH;
        code = SRT_REJX_OVERLOAD;
        goto done;
    }

    if (se->ep->def->direction == NGX_MC_INPUT) {
        word = se->gate.busy;

        if (word && (ngx_atomic_int_t) (now - word) <= NGX_MC_SRT_SILENT) {
            verdict = NGX_MC_REJECTED_BUSY;
            code = SRT_REJX_CONFLICT;
            goto done;
        }

    } else if (se->ep->def->params.max_peers > 0
               && se->gate.npeers
                  >= (ngx_atomic_uint_t) se->ep->def->params.max_peers)
    {
        verdict = NGX_MC_REJECTED_LIMIT;
        code = SRT_REJX_OVERLOAD;
        goto done;
    }

    if (ngx_mc_srt_accept_options(se->ep->def, sock) != NGX_OK) {
        verdict = NGX_MC_REJECTED_MALFORMED;
        code = SRT_REJX_ISE;
    }

done:

    if (port->n == NGX_MC_SRT_RING) {
        if (verdict != NGX_MC_SRT_PASSED) {
            port->missed[verdict]++;
        }

    } else {
        v = &port->ring[port->n];

        v->se = se;
        v->verdict = verdict;
        v->sock = sock;
        v->socklen = ngx_mc_srt_socklen(sa);
        ngx_memcpy(&v->sockaddr, sa, v->socklen);
        ngx_cpystrn(v->streamid, (u_char *) (streamid ? streamid : ""),
                    NGX_MC_SRT_SHOWN);

        wake = (port->n++ == 0);
    }

    (void) pthread_mutex_unlock(&port->mutex);

    if (wake) {
        ngx_mc_srt_wake();
    }

    if (verdict == NGX_MC_SRT_PASSED) {
        return 0;
    }

    (void) srt_setrejectreason(sock, code);

    return -1;
}


/*
 * Under the mutex, any thread.  What no endpoint wants is put down to the
 * first of the port.
 */

static ngx_mc_srt_endpoint_t *
ngx_mc_srt_port_match(ngx_mc_srt_port_t *port, const char *streamid,
    ngx_uint_t *verdict, int *code)
{
    ngx_int_t               rc;
    ngx_uint_t              match, best;
    ngx_queue_t            *q;
    ngx_mc_srt_endpoint_t  *se, *found;
    ngx_mc_srt_streamid_t   sid;

    q = ngx_queue_head(&port->endpoints);
    found = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);

    *verdict = NGX_MC_REJECTED_STREAMID;
    *code = SRT_REJX_BAD_REQUEST;

    if (streamid == NULL) {
        streamid = "";
    }

    rc = ngx_mc_srt_streamid_parse((u_char *) streamid, ngx_strlen(streamid),
                                   &sid);

    if (found->ep->def->params.streamid.len == 0) {

        /* alone on its port, it takes any; but who says that it comes to
           send finds nobody to receive here */

        if (rc == NGX_OK && sid.mode == NGX_MC_SRT_MODE_PUBLISH
            && found->ep->def->direction == NGX_MC_OUTPUT)
        {
            *code = SRT_REJX_BAD_MODE;
            return found;
        }

        *verdict = NGX_MC_SRT_PASSED;
        return found;
    }

    if (rc != NGX_OK) {
        return found;
    }

    best = NGX_MC_SRT_MATCH_NO;

    for ( /* void */ ; q != ngx_queue_sentinel(&port->endpoints);
         q = ngx_queue_next(q))
    {
        se = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);

        match = ngx_mc_srt_streamid_match(&sid,
                                          &se->ep->def->params.streamid,
                                          se->ep->def->direction);
        if (match > best) {
            best = match;
            found = se;
        }
    }

    if (best != NGX_MC_SRT_MATCH_NO) {
        *verdict = NGX_MC_SRT_PASSED;
        return found;
    }

    *code = SRT_REJX_NOTFOUND;

    return found;
}


static void
ngx_mc_srt_port_handler(ngx_mc_srt_socket_t *s, int events)
{
    int                      salen, len, code;
    ngx_uint_t               i, gone, verdict;
    SRTSOCKET                sock;
    ngx_sockaddr_t           sa;
    ngx_mc_srt_port_t       *port;
    ngx_mc_srt_endpoint_t   *se;
    char                     streamid[NGX_MC_SRT_STREAMID_LEN + 1];

    port = s->data;

    for ( ;; ) {
        salen = sizeof(ngx_sockaddr_t);

        ngx_mc_srt_enter(0);
        sock = srt_accept(s->sock, &sa.sockaddr, &salen);
        ngx_mc_srt_leave();

        if (sock == SRT_INVALID_SOCK) {
            break;
        }

        /* its verdict is in the ring, maybe since this loop began */
        ngx_mc_srt_port_verdicts(port);

        gone = 0;

        for (i = 0; i < port->npending; i++) {
            if (port->pending[i].sock == sock) {
                gone = (port->pending[i].se == NULL);
                port->pending[i] = port->pending[--port->npending];
                break;
            }
        }

        if (gone) {
            /* whoever let it in has left, or has another key, since then */
            (void) srt_close(sock);
            continue;
        }

        len = sizeof(streamid);

        if (srt_getsockflag(sock, SRTO_STREAMID, streamid, &len)
            == SRT_ERROR)
        {
            len = 0;
        }

        streamid[len] = '\0';

        (void) pthread_mutex_lock(&port->mutex);
        se = ngx_mc_srt_port_match(port, streamid, &verdict, &code);
        (void) pthread_mutex_unlock(&port->mutex);

        if (verdict != NGX_MC_SRT_PASSED) {
            /* its endpoint has just left the port */
            (void) srt_close(sock);
            continue;
        }

        ngx_mc_srt_accepted(se->ep, sock, &sa.sockaddr,
                            ngx_mc_srt_socklen(&sa.sockaddr),
                            (u_char *) streamid);
    }

    if ((events & SRT_EPOLL_ERR)
        && srt_getsockstate(s->sock) != SRTS_LISTENING)
    {
        ngx_mc_srt_port_failed(port, NGX_MC_EVENT_CONNECT_FAILED, 0,
                               "the listener broke");
    }
}


void
ngx_mc_srt_verdicts(void)
{
    ngx_queue_t  *q, *next;

    for (q = ngx_queue_head(&ngx_mc_srt_ports);
         q != ngx_queue_sentinel(&ngx_mc_srt_ports);
         q = next)
    {
        next = ngx_queue_next(q);
        ngx_mc_srt_port_verdicts(ngx_queue_data(q, ngx_mc_srt_port_t, queue));
    }
}


static void
ngx_mc_srt_port_verdicts(ngx_mc_srt_port_t *port)
{
    ngx_uint_t              i, n;
    ngx_uint_t              missed[NGX_MC_REJECTED_N];
    ngx_queue_t            *q;
    ngx_mc_srt_verdict_t   *v;
    ngx_mc_srt_endpoint_t  *first;

    (void) pthread_mutex_lock(&port->mutex);

    n = port->n;
    port->n = 0;

    ngx_memcpy(ngx_mc_srt_copy, port->ring, n * sizeof(ngx_mc_srt_verdict_t));
    ngx_memcpy(missed, port->missed, sizeof(missed));
    ngx_memzero(port->missed, sizeof(missed));

    (void) pthread_mutex_unlock(&port->mutex);

    for (i = 0; i < n; i++) {
        v = &ngx_mc_srt_copy[i];

        if (v->verdict != NGX_MC_SRT_PASSED) {

            if (v->se) {
                ngx_mc_srt_port_reject(v->se, 1, v);
            }

            continue;
        }

        if (port->npending == NGX_MC_SRT_RING) {
            continue;
        }

        v->time = ngx_current_msec;
        port->pending[port->npending++] = *v;

        if (!ngx_mc_srt_check.timer_set) {
            ngx_add_timer(&ngx_mc_srt_check, NGX_MC_SRT_CHECK);
        }
    }

    q = ngx_queue_head(&port->endpoints);
    first = ngx_queue_data(q, ngx_mc_srt_endpoint_t, queue);

    for (i = 0; i < NGX_MC_REJECTED_N; i++) {
        if (missed[i]) {
            v = &ngx_mc_srt_copy[0];
            v->verdict = i;
            v->socklen = 0;
            ngx_mc_srt_port_reject(first, missed[i], v);
        }
    }
}


static void
ngx_mc_srt_port_reject(ngx_mc_srt_endpoint_t *se, ngx_uint_t n,
    ngx_mc_srt_verdict_t *v)
{
    u_char           *p;
    struct sockaddr  *sa;

    sa = v->socklen ? &v->sockaddr.sockaddr : NULL;

    if (v->verdict != NGX_MC_REJECTED_STREAMID || sa == NULL) {
        ngx_mc_endpoint_rejected(se->ep, v->verdict, n, sa, v->socklen, "%s",
                                 ngx_mc_srt_reasons[v->verdict]);
        return;
    }

    if (v->streamid[0] == '\0') {
        ngx_mc_endpoint_rejected(se->ep, v->verdict, n, sa, v->socklen,
                                 "no streamid");
        return;
    }

    /* it is a stranger's, and goes into the log */

    for (p = v->streamid; *p; p++) {
        if (*p < 0x20 || *p > 0x7e || *p == '"') {
            *p = '?';
        }
    }

    ngx_mc_endpoint_rejected(se->ep, v->verdict, n, sa, v->socklen,
                             "unknown streamid \"%s\"", v->streamid);
}


/* handshakes that ended without a connection */

static void
ngx_mc_srt_port_check(ngx_event_t *ev)
{
    ngx_uint_t             i, left;
    ngx_queue_t           *q;
    SRT_SOCKSTATUS         status;
    ngx_mc_srt_port_t     *port;
    ngx_mc_srt_verdict_t  *v;

    left = 0;

    for (q = ngx_queue_head(&ngx_mc_srt_ports);
         q != ngx_queue_sentinel(&ngx_mc_srt_ports);
         q = ngx_queue_next(q))
    {
        port = ngx_queue_data(q, ngx_mc_srt_port_t, queue);

        for (i = 0; i < port->npending; /* void */ ) {
            v = &port->pending[i];

            status = srt_getsockstate(v->sock);

            if (status != SRTS_BROKEN && status != SRTS_CLOSING
                && status != SRTS_CLOSED && status != SRTS_NONEXIST
                && ngx_current_msec - v->time < NGX_MC_SRT_HANDSHAKE)
            {
                i++;
                continue;
            }

            if (v->se
                && ngx_current_msec - v->time < NGX_MC_SRT_HANDSHAKE)
            {
                v->verdict = NGX_MC_REJECTED_PASSPHRASE;
                ngx_mc_srt_port_reject(v->se, 1, v);
            }

            port->pending[i] = port->pending[--port->npending];
        }

        left += port->npending;
    }

    if (left) {
        ngx_add_timer(ev, NGX_MC_SRT_CHECK);
    }
}


static socklen_t
ngx_mc_srt_socklen(const struct sockaddr *sa)
{
    return (sa->sa_family == AF_INET6) ? sizeof(struct sockaddr_in6)
                                       : sizeof(struct sockaddr_in);
}
