
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_SRT_H_INCLUDED_
#define _NGX_MC_SRT_H_INCLUDED_


#include <ngx_mc.h>
#include <ngx_mc_srt_streamid.h>
#include <srt/srt.h>
#include <srt/access_control.h>


/* any SRT message in live mode: 1,500 less IPv4, UDP and SRT headers */
#define NGX_MC_SRT_MESSAGE  1456


typedef struct ngx_mc_srt_port_s  ngx_mc_srt_port_t;


/*
 * A UDP socket of ours that libsrt was given.  It closes the number when it
 * is done with it, and then that may soon be another file: so what it is of
 * is remembered too.
 */

typedef struct {
    int                     fd;              /* -1: none */
    ino_t                   inode;
} ngx_mc_srt_fd_t;


/* an SRT socket in the poll set of this process */

typedef struct ngx_mc_srt_socket_s  ngx_mc_srt_socket_t;

struct ngx_mc_srt_socket_s {
    ngx_rbtree_node_t       node;            /* key: the socket's number */
    SRTSOCKET               sock;            /* SRT_INVALID_SOCK: none */
    int                     events;          /* polled for; 0: not polled */
    void                  (*handler)(ngx_mc_srt_socket_t *s, int events);
    void                   *data;
};


/* a local UDP port that callers share, and with it two threads of libsrt */

typedef struct {
    ngx_queue_t             queue;
    ngx_uint_t              refs;
    int                     family;
    ngx_int_t               ttl;
    ngx_int_t               tos;
    ngx_int_t               mss;
    ngx_msec_t              batch;
    ngx_sockaddr_t          addr;            /* as bound */
    int                     addrlen;
} ngx_mc_srt_local_t;


/* a connection: a source's, a caller output's, or one receiver's */

typedef struct {
    ngx_mc_srt_socket_t     socket;
    ngx_queue_t             queue;           /* of the endpoint's receivers */
    ngx_mc_endpoint_t      *ep;
    ngx_mc_peer_stat_t     *peer;            /* receivers only */
    ngx_mc_pulse_client_t   pulse;           /* sources only */
    int64_t                 last;            /* us, last data */
    int64_t                 start;           /* srt_connection_time() */
    uint64_t                bytes_seen;
    ngx_mc_srt_local_t     *local;           /* callers only */
    ngx_mc_srt_port_t      *port;            /* accepted ones only */
    ngx_mc_srt_fd_t         fd;              /* UDP socket of its own */
    unsigned                connected:1;
} ngx_mc_srt_conn_t;


/*
 * What libsrt's receiver thread and the nginx thread both see of an endpoint
 * that listens.  Single words; the rest is behind the mutex of the port.
 */

typedef struct {
    ngx_atomic_t            busy;            /* ms of the last data of the
                                                source's connection; 0: none */
    ngx_atomic_t            banned;          /* ms, refuses until then */
    ngx_atomic_t            npeers;
} ngx_mc_srt_gate_t;


typedef struct {
    ngx_mc_srt_conn_t      *conn;            /* but for listening outputs */
    ngx_queue_t             receivers;       /* listening outputs */

    ngx_mc_srt_port_t      *port;
    ngx_queue_t             queue;           /* of the port's endpoints */
    ngx_mc_srt_gate_t       gate;
    ngx_mc_endpoint_t      *ep;
} ngx_mc_srt_endpoint_t;


/* ngx_mc_srt_bridge.c: libsrt in this process */

/* starts libsrt with the first socket; NGX_ERROR: not to be had */
ngx_int_t ngx_mc_srt_start(void);
void ngx_mc_srt_finish(void);

/* "events" as SRT_EPOLL_*, 0 takes the socket out of the poll set */
ngx_int_t ngx_mc_srt_poll(ngx_mc_srt_socket_t *s, int events);

/* takes it out of the poll set and closes it */
void ngx_mc_srt_close(ngx_mc_srt_socket_t *s);

/* any thread: the nginx thread will look for verdicts of ports */
void ngx_mc_srt_wake(void);

/*
 * Around calls that may start a thread: it must not take nginx's signals,
 * and inherits how exactly its timers run: "batch" ms of slack.
 */
void ngx_mc_srt_enter(ngx_msec_t batch);
void ngx_mc_srt_leave(void);

/* NGX_ERROR: ngx_errno tells why, and fd->fd is -1 */
ngx_int_t ngx_mc_srt_bind_fd(ngx_mc_srt_fd_t *fd, struct sockaddr *sa,
    socklen_t socklen);

/* for after its SRT sockets were closed: frees the UDP port of "fd" at once */
void ngx_mc_srt_free_fd(ngx_mc_srt_fd_t *fd);

/* whether libsrt's receiver thread has timers to look after */
void ngx_mc_srt_idle_fd(ngx_mc_srt_fd_t *fd, ngx_uint_t idle);

/* CLOCK_MONOTONIC minus libsrt's clock, us */
extern int64_t  ngx_mc_srt_clock;


/* ngx_mc_srt_options.c */

/* all options of a socket that is to be bound by "ep"; NGX_ERROR: logged */
ngx_int_t ngx_mc_srt_options(ngx_mc_endpoint_t *ep, SRTSOCKET sock,
    ngx_int_t fc, ngx_int_t rcvbuf);

/* those of one endpoint on a socket that a listener has accepted; on
   libsrt's receiver thread */
ngx_int_t ngx_mc_srt_accept_options(ngx_mc_endpoint_def_t *def,
    SRTSOCKET sock);

/* the largest message that is sent, bytes */
ngx_int_t ngx_mc_srt_payloadsize(ngx_mc_params_t *params);

/* packets in flight, and bytes to buffer, for its bandwidth and latency */
void ngx_mc_srt_buffers(ngx_mc_endpoint_t *ep, ngx_int_t *fc,
    ngx_int_t *rcvbuf);


/* ngx_mc_srt_port.c: listeners */

void ngx_mc_srt_listen(ngx_mc_endpoint_t *ep);
void ngx_mc_srt_unlisten(ngx_mc_endpoint_t *ep);

/* what new connections are let in by, and get, is "def" from now on */
void ngx_mc_srt_port_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);

void ngx_mc_srt_verdicts(void);

/* the worker exits: gives libsrt what is still to be closed */
void ngx_mc_srt_ports_finish(void);

/* a connection of the port came, or went */
void ngx_mc_srt_port_ref(ngx_mc_srt_port_t *port);
void ngx_mc_srt_port_unref(ngx_mc_srt_port_t *port);


/* ngx_mc_srt.c, for the port: takes over an accepted socket, or closes it */
void ngx_mc_srt_accepted(ngx_mc_endpoint_t *ep, SRTSOCKET sock,
    struct sockaddr *sa, socklen_t socklen, u_char *streamid);


static ngx_inline ngx_atomic_uint_t
ngx_mc_srt_ms(void)
{
    return (ngx_atomic_uint_t) (ngx_mc_now() / 1000) | 1;
}


#endif /* _NGX_MC_SRT_H_INCLUDED_ */
