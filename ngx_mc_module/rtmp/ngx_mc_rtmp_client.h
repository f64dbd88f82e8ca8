
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_CLIENT_H_INCLUDED_
#define _NGX_MC_RTMP_CLIENT_H_INCLUDED_


#include <ngx_mc_rtmp.h>


/* clients of remote servers, in parts */

/* each step of getting connected may take so long, ms */
#define NGX_MC_RTMP_TIMEOUT  10000

/* ours; what servers take begins at 128 and ends, with some, at 65536 */
#define NGX_MC_RTMP_CHUNK    16384

/* messages that wait, a power of two */
#define NGX_MC_RTMP_QUEUE    512

/* buffers that nginx-rtmp may take for answers of its own */
#define NGX_MC_RTMP_SPARE    4

/* of a player, ms */
#define NGX_MC_RTMP_BUFLEN   1000

#define NGX_MC_RTMP_REASON   80
#define NGX_MC_RTMP_CSID_N   8


typedef enum {
    NGX_MC_RTMP_IDLE = 0,
    NGX_MC_RTMP_TCP,
    NGX_MC_RTMP_TLS,
    NGX_MC_RTMP_HANDSHAKE,
    NGX_MC_RTMP_CONNECTING,
    NGX_MC_RTMP_CREATING,
    NGX_MC_RTMP_STARTING,                      /* publish or play was sent */
    NGX_MC_RTMP_UP
} ngx_mc_rtmp_phase_e;


typedef struct ngx_mc_rtmp_client_s  ngx_mc_rtmp_client_t;


/* of one connection, in its pool */

typedef struct {
    ngx_mc_rtmp_ctx_t          ctx;            /* data: the client, or NULL */
    ngx_connection_t          *connection;
    ngx_rtmp_session_t        *session;        /* NULL before the handshake */
    ngx_log_t                  log;
    ngx_str_t                  flow;           /* for the log, copies */
    ngx_str_t                  name;

    ngx_rtmp_addr_conf_t       addr_conf;
    ngx_rtmp_conf_ctx_t        conf_ctx;
    ngx_rtmp_core_srv_conf_t   srv_conf;

    /* of nginx-rtmp, called by ours */
    ngx_event_handler_pt       read_handler;
    ngx_event_handler_pt       write_handler;
    ngx_event_t                hook;

    uint32_t                   sizes[NGX_MC_RTMP_QUEUE];
    size_t                     sizes_pos;
    size_t                     queued;         /* bytes that wait */
    uint32_t                   largest;        /* message sent */

    unsigned long              tls_error;      /* of OpenSSL; 0: none */
    u_char                     reason[NGX_MC_RTMP_REASON];

    unsigned                   busy:1;         /* nginx-rtmp is at work */
    unsigned                   timedout:1;
} ngx_mc_rtmp_conn_t;


struct ngx_mc_rtmp_client_s {
    ngx_mc_endpoint_t         *endpoint;
    ngx_ssl_t                 *ssl;
    ngx_event_t                timer;
    ngx_mc_rtmp_conn_t        *conn;
    ngx_uint_t                 phase;
    uint32_t                   msid;

    /* push */
    ngx_mc_rtmp_clock_t        clock;
    ngx_rtmp_header_t          last[NGX_MC_RTMP_CSID_N];
    unsigned                   video:1;        /* there is video */
    unsigned                   wait_key:1;
    unsigned                   stale:1;        /* headers were dropped */
    int64_t                    wait_since;     /* us */

    /* pull */
    u_char                    *buf;            /* of ngx_alloc() */
    size_t                     size;
    int64_t                    ms;             /* extended */
    int64_t                    heard;          /* us, the last media */
    unsigned                   begun:1;
    unsigned                   told:1;         /* of what is not carried */
};


/* ngx_mc_rtmp_client.c: begins a phase, and its time */
void ngx_mc_rtmp_client_phase(ngx_mc_rtmp_client_t *cl, ngx_uint_t phase);


/* ngx_mc_rtmp_client_session.c */

/* from init_conf(), whether there is an rtmp{} or not.  Clients are on no list
   of hooks: their sessions have handlers of their own */
char *ngx_mc_rtmp_client_init_conf(ngx_cycle_t *cycle);

/* what a connection and its session need, in a pool of their own, which
   conn->log.data is until there is a connection; NULL: no memory */
ngx_mc_rtmp_conn_t *ngx_mc_rtmp_client_conn(ngx_mc_rtmp_client_t *cl);

/* cl->conn is connected: the session, and its handshake */
void ngx_mc_rtmp_client_begin(ngx_mc_rtmp_client_t *cl);

/* of a session: at once, unless from a function of nginx-rtmp that looks at it
   again */
void ngx_mc_rtmp_client_end(ngx_mc_rtmp_conn_t *conn);

/* NULL: within ngx_rtmp_init_session() */
ngx_mc_rtmp_conn_t *ngx_mc_rtmp_client_of(ngx_rtmp_session_t *s);

u_char *ngx_mc_rtmp_client_log(ngx_log_t *log, u_char *buf, size_t len);


/* ngx_mc_rtmp_command.c: sends what a phase asks for; nothing if there is no
   connection, which may be over then */
void ngx_mc_rtmp_command_connect(ngx_mc_rtmp_client_t *cl);
void ngx_mc_rtmp_command_end(ngx_mc_rtmp_client_t *cl);

/* commands of the server, as of ngx_rtmp_handler_pt */
ngx_int_t ngx_mc_rtmp_command_handler(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);


/* ngx_mc_rtmp_push.c: the configuration of the flow as it is now */
void ngx_mc_rtmp_push_headers(ngx_mc_rtmp_client_t *cl);


/* ngx_mc_rtmp_pull.c: media of the server, as of ngx_rtmp_handler_pt */
ngx_int_t ngx_mc_rtmp_pull_handler(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in);


/* ngx_mc_rtmp_queue.c */

/* messages that wait; conn->queued is right after it */
ngx_uint_t ngx_mc_rtmp_queue_length(ngx_mc_rtmp_conn_t *conn);

/*
 * nginx-rtmp takes buffers from a list of free ones, and makes others in memory
 * that is not aligned for what is in it.  It never has to: there are "n" for
 * it, or NGX_ERROR.
 */
ngx_int_t ngx_mc_rtmp_queue_spare(ngx_mc_rtmp_conn_t *conn, ngx_uint_t n);

/* a message, copied, with "prefix" before it unless that is NULL.  "lh": the
   header of the last message on this chunk stream; NULL or csid 0: none.
   NGX_ERROR: the queue is full, or no memory */
ngx_int_t ngx_mc_rtmp_queue_add(ngx_mc_rtmp_conn_t *conn, ngx_rtmp_header_t *h,
    ngx_rtmp_header_t *lh, ngx_str_t *prefix, u_char *data, size_t len);

/* sends what the socket takes; the session may be finalized then */
void ngx_mc_rtmp_queue_flush(ngx_mc_rtmp_conn_t *conn);


/*
 * ngx_mc_rtmp_tls.c.  Certificates are looked at when the handshake is over:
 * then the reason can be told, while what the library would say is "handshake
 * failure".
 */

/*
 * A context for one endpoint, freed with ep->pool; NULL: "err", of "size", has
 * why.
 */
ngx_ssl_t *ngx_mc_rtmp_tls_create(ngx_mc_endpoint_t *ep, u_char *err,
    size_t size);

/* begins; c->data is an ngx_mc_rtmp_conn_t.  c->ssl->handler, the caller's, is
   called at its end unless NGX_OK or NGX_ERROR is returned */
ngx_int_t ngx_mc_rtmp_tls_start(ngx_mc_endpoint_t *ep, ngx_ssl_t *ssl,
    ngx_connection_t *c, ngx_connection_handler_pt handler);

/* after the handshake: NGX_OK, or NGX_ERROR with why in "err" */
ngx_int_t ngx_mc_rtmp_tls_check(ngx_mc_endpoint_t *ep, ngx_connection_t *c,
    u_char *err, size_t size);

/* tells the peer and frees; never waits */
void ngx_mc_rtmp_tls_shutdown(ngx_connection_t *c);


#endif /* _NGX_MC_RTMP_CLIENT_H_INCLUDED_ */
