
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_mc.h>
#include <ngx_mc_rtmp_client.h>
#include <netinet/tcp.h>
#include <sys/uio.h>


/*
 * A client of a remote server, that publishes (outputs) or plays (sources),
 * on the sessions of nginx-rtmp: its handshake, its parser of chunks, its
 * queue.  The session has configurations of its own, not those of a server{}:
 * so it is there without any rtmp{}, has limits that suit a client, no other
 * module ever hears of it, and what the server sends cannot be taken for
 * commands of a client: "connect" would give the server our applications.
 *
 * All that a session needs until it is closed, which nginx-rtmp may do after
 * the endpoint is gone, is in the pool of its connection.
 */


/* each step of getting connected may take so long, ms */
#define NGX_MC_RTMP_TIMEOUT       10000

/* a server that takes nothing for so long is gone, ms */
#define NGX_MC_RTMP_SEND_TIMEOUT  10000

/* and one that plays nothing */
#define NGX_MC_RTMP_SILENCE       10000

/* ours; what servers take begins at 128 and ends, with some, at 65536 */
#define NGX_MC_RTMP_CHUNK         16384

/* the queue: messages, a power of two, and bytes.  Video has all but an eighth
   of the messages, commands what audio leaves */
#define NGX_MC_RTMP_QUEUE         512
#define NGX_MC_RTMP_QUEUE_VIDEO   (NGX_MC_RTMP_QUEUE - NGX_MC_RTMP_QUEUE / 8)
#define NGX_MC_RTMP_QUEUE_AUDIO   (NGX_MC_RTMP_QUEUE - 16)
#define NGX_MC_RTMP_QUEUE_BYTES   (8 * 1024 * 1024)

/* with less than this waiting, dropping ends at the next key frame */
#define NGX_MC_RTMP_RESUME        (NGX_MC_RTMP_QUEUE / 4)

/* of a message, by its header */
#define NGX_MC_RTMP_MESSAGE_MAX   0xffffff

/* commands and their answers are short; metadata and what goes before it */
#define NGX_MC_RTMP_COMMAND_MAX   8192
#define NGX_MC_RTMP_PUSH_MESSAGE  65536

/* many servers refuse what is larger */
#define NGX_MC_RTMP_USUAL_MAX     (1024 * 1024)

/* room for a count of references, that keeps what follows aligned; buffers that
   nginx-rtmp may take for answers of its own */
#define NGX_MC_RTMP_REF           16
#define NGX_MC_RTMP_SPARE         4

#define NGX_MC_RTMP_STREAMS       64
#define NGX_MC_RTMP_IOV           64
#define NGX_MC_RTMP_GATHER        16384
#define NGX_MC_RTMP_BUFLEN        1000
#define NGX_MC_RTMP_REASON        80
#define NGX_MC_RTMP_SECRET        4

#define NGX_MC_RTMP_CSID_COMMAND  3
#define NGX_MC_RTMP_CSID_DATA     5
#define NGX_MC_RTMP_CSID_AUDIO    6
#define NGX_MC_RTMP_CSID_VIDEO    7
#define NGX_MC_RTMP_CSID_N        8

/* transactions */
#define NGX_MC_RTMP_CONNECT       1
#define NGX_MC_RTMP_RELEASE       2
#define NGX_MC_RTMP_FCPUBLISH     3
#define NGX_MC_RTMP_CREATE        4
#define NGX_MC_RTMP_PUBLISH       5

#define NGX_MC_AMF_NUMBER         0
#define NGX_MC_AMF_BOOLEAN        1
#define NGX_MC_AMF_STRING         2
#define NGX_MC_AMF_OBJECT         3
#define NGX_MC_AMF_NULL           5
#define NGX_MC_AMF_UNDEFINED      6
#define NGX_MC_AMF_REFERENCE      7
#define NGX_MC_AMF_ECMA           8
#define NGX_MC_AMF_END            9
#define NGX_MC_AMF_ARRAY          10
#define NGX_MC_AMF_DATE           11
#define NGX_MC_AMF_LONG_STRING    12
#define NGX_MC_AMF_DEPTH          8


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
    size_t                     queued;         /* bytes of media */
    uint32_t                   largest;        /* message sent */

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


/* AMF0, in one piece */

typedef struct {
    u_char                    *pos;
    u_char                    *last;
} ngx_mc_amf_t;

typedef struct {
    ngx_str_t                  level;
    ngx_str_t                  code;
    ngx_str_t                  description;
    double                     number;         /* the first */
    ngx_mc_rtmp_metadata_t    *metadata;
} ngx_mc_amf_info_t;


static void ngx_mc_rtmp_client_cleanup(void *data);
static ngx_int_t ngx_mc_rtmp_client_get(ngx_peer_connection_t *pc,
    void *data);
static ngx_mc_rtmp_conn_t *ngx_mc_rtmp_client_conn(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_client_connected(ngx_event_t *ev);
static void ngx_mc_rtmp_client_ignore(ngx_event_t *ev);
static void ngx_mc_rtmp_client_secure(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_client_secured(ngx_connection_t *c);
static void ngx_mc_rtmp_client_begin(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_client_phase(ngx_mc_rtmp_client_t *cl,
    ngx_uint_t phase);
static void ngx_mc_rtmp_client_timer(ngx_event_t *ev);
static void ngx_mc_rtmp_client_end(ngx_mc_rtmp_conn_t *conn);
static u_char *ngx_mc_rtmp_client_log(ngx_log_t *log, u_char *buf,
    size_t len);

static void ngx_mc_rtmp_client_hook(ngx_mc_rtmp_conn_t *conn);
static void ngx_mc_rtmp_client_hook_handler(ngx_event_t *ev);
static void ngx_mc_rtmp_client_read(ngx_event_t *rev);
static void ngx_mc_rtmp_client_write(ngx_event_t *wev);
static ngx_mc_rtmp_conn_t *ngx_mc_rtmp_client_of(ngx_rtmp_session_t *s);

static ngx_int_t ngx_mc_rtmp_client_on_handshake(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_disconnect(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_protocol(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_user(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_command(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_media(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_client_on_status(ngx_mc_rtmp_client_t *cl,
    ngx_mc_amf_info_t *info);
static ngx_int_t ngx_mc_rtmp_client_refused(ngx_mc_rtmp_client_t *cl,
    ngx_mc_amf_info_t *info, const char *what);
static void ngx_mc_rtmp_client_tell(ngx_mc_rtmp_client_t *cl, u_char *buf,
    size_t size, ngx_mc_amf_info_t *info);
static u_char *ngx_mc_rtmp_client_redact_query(u_char *text, u_char *last,
    ngx_str_t *s);
static u_char *ngx_mc_rtmp_client_redact(u_char *text, u_char *last,
    ngx_str_t *secret);
static ngx_int_t ngx_mc_rtmp_client_input(ngx_mc_rtmp_client_t *cl,
    ngx_uint_t type, uint32_t timestamp, u_char *data, size_t len);
static ngx_int_t ngx_mc_rtmp_client_copy(ngx_mc_rtmp_client_t *cl,
    ngx_chain_t *in, size_t *len);

static void ngx_mc_rtmp_client_send_connect(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_client_send_create(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_client_send_start(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_client_send_end(ngx_mc_rtmp_client_t *cl);
static u_char *ngx_mc_rtmp_client_command(u_char *p, const char *name,
    double transaction);
static void ngx_mc_rtmp_client_send(ngx_mc_rtmp_client_t *cl, uint32_t msid,
    u_char *data, size_t len);

static void ngx_mc_rtmp_client_headers(ngx_mc_rtmp_client_t *cl);
static ngx_int_t ngx_mc_rtmp_client_media(ngx_mc_rtmp_client_t *cl,
    ngx_mc_frame_t *frame, uint32_t timestamp);
static ngx_uint_t ngx_mc_rtmp_client_queue(ngx_mc_rtmp_conn_t *conn);
static ngx_int_t ngx_mc_rtmp_client_spare(ngx_mc_rtmp_conn_t *conn,
    ngx_uint_t n);
static ngx_int_t ngx_mc_rtmp_client_enqueue(ngx_mc_rtmp_conn_t *conn,
    ngx_rtmp_header_t *h, ngx_rtmp_header_t *lh, ngx_str_t *prefix,
    u_char *data, size_t len);
static void ngx_mc_rtmp_client_flush(ngx_mc_rtmp_conn_t *conn);
static ssize_t ngx_mc_rtmp_client_gather(ngx_mc_rtmp_conn_t *conn);

static u_char *ngx_mc_amf_name(u_char *p, const char *name);
static u_char *ngx_mc_amf_string(u_char *p, ngx_str_t *s);
static u_char *ngx_mc_amf_chars(u_char *p, const char *s);
static u_char *ngx_mc_amf_number(u_char *p, double n);
static ngx_int_t ngx_mc_amf_read_string(ngx_mc_amf_t *amf, ngx_str_t *s,
    ngx_uint_t bytes);
static ngx_int_t ngx_mc_amf_read_value(ngx_mc_amf_t *amf,
    ngx_mc_amf_info_t *info, ngx_str_t *name, ngx_uint_t depth);
static void ngx_mc_amf_take(ngx_mc_amf_info_t *info, ngx_str_t *name,
    ngx_str_t *string, double number);


static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_handshake_pt =
    ngx_mc_rtmp_client_on_handshake;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_disconnect_pt =
    ngx_mc_rtmp_client_on_disconnect;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_protocol_pt =
    ngx_mc_rtmp_client_on_protocol;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_user_pt =
    ngx_mc_rtmp_client_on_user;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_command_pt =
    ngx_mc_rtmp_client_on_command;
static ngx_rtmp_handler_pt  ngx_mc_rtmp_client_media_pt =
    ngx_mc_rtmp_client_on_media;

/* which messages are heard, of all sessions of this file */

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

static ngx_str_t  ngx_mc_rtmp_set_data_frame =
    ngx_string("\x02\x00\x0d@setDataFrame");

static u_char  ngx_mc_rtmp_gathered[NGX_MC_RTMP_GATHER];


/*
 * nginx-rtmp numbers its modules when it meets an rtmp{} block.  Without one
 * nobody would, and sessions need the numbers.
 */

char *
ngx_mc_rtmp_client_init_conf(ngx_cycle_t *cycle)
{
    ngx_rtmp_max_module = ngx_count_modules(cycle, NGX_RTMP_MODULE);

    return NGX_CONF_OK;
}


ngx_int_t
ngx_mc_rtmp_client_init(ngx_mc_endpoint_t *ep)
{
    ngx_uint_t             i;
    ngx_array_t           *a;
    ngx_pool_cleanup_t    *cln;
    ngx_mc_rtmp_client_t  *cl;

    for (i = 0; ngx_mc_rtmp_client_events[i].handler; i++) {
        a = &ngx_mc_rtmp_client_main_conf.events[
                                         ngx_mc_rtmp_client_events[i].event];

        a->elts = ngx_mc_rtmp_client_events[i].handler;
        a->nelts = 1;
    }

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

    ep->stat->u.rtmp.chunk_size = -1;
    ep->stat->u.rtmp.queue = -1;
    ep->stat->u.rtmp.video_codec_id = -1;
    ep->stat->u.rtmp.audio_codec_id = -1;
    ep->stat->u.rtmp.has_metadata = 0;

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

    /* later than our own, which can tell what happened */

    on = 2 * NGX_MC_RTMP_SEND_TIMEOUT;
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


/* until there is a connection, log.data is the pool */

static ngx_mc_rtmp_conn_t *
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


static void
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

    if (ngx_mc_rtmp_client_spare(conn, NGX_MC_RTMP_SPARE) != NGX_OK) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED, "no memory");
        return;
    }

    conn->busy = 1;
    ngx_rtmp_client_handshake(s, 0);
    conn->busy = 0;

    ngx_mc_rtmp_client_hook(conn);
}


static void
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
        ngx_mc_rtmp_client_send_end(cl);
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


/* at once, unless from a function of nginx-rtmp that looks at it again */

static void
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


static u_char *
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


static ngx_mc_rtmp_conn_t *
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

    if (ngx_mc_rtmp_client_spare(conn, NGX_MC_RTMP_SPARE) != NGX_OK) {
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

        ngx_mc_rtmp_client_flush(conn);
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

    ngx_mc_rtmp_client_send_connect(cl);

    return s->connection->destroyed ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_client_on_disconnect(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char                *why, buf[NGX_MC_ERROR_LEN];
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

    why = conn->reason;

    if (why[0] == '\0') {

        if (conn->timedout) {
            why = (u_char *) "the server takes no data";

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
        ngx_mc_endpoint_failed(ep, (cl->phase > NGX_MC_RTMP_CONNECTING)
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


static ngx_int_t
ngx_mc_rtmp_client_on_command(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char                *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    size_t                 n;
    ngx_str_t              name;
    ngx_int_t              transaction;
    ngx_uint_t             result;
    ngx_mc_amf_t           amf;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_amf_info_t      info;
    ngx_mc_rtmp_client_t  *cl;

    conn = ngx_mc_rtmp_client_of(s);
    cl = conn->ctx.data;

    if (cl == NULL) {
        return NGX_ERROR;
    }

    /* of what is longer, the beginning */

    for (p = buf; in && p < buf + sizeof(buf); in = in->next) {
        n = ngx_min(in->buf->last - in->buf->pos, buf + sizeof(buf) - p);
        p = ngx_cpymem(p, in->buf->pos, n);
    }

    amf.pos = buf;
    amf.last = p;

    if (h->type == NGX_RTMP_MSG_AMF3_CMD && amf.pos < amf.last) {
        amf.pos++;
    }

    if (amf.last - amf.pos < 1 || *amf.pos++ != NGX_MC_AMF_STRING
        || ngx_mc_amf_read_string(&amf, &name, 2) != NGX_OK)
    {
        return NGX_OK;
    }

    ngx_memzero(&info, sizeof(ngx_mc_amf_info_t));

    if (ngx_mc_amf_read_value(&amf, &info, NULL, 0) != NGX_OK) {
        return NGX_OK;
    }

    transaction = (info.number > 0 && info.number < 100)
                  ? (ngx_int_t) info.number : 0;
    info.number = 0;

    while (amf.pos < amf.last
           && ngx_mc_amf_read_value(&amf, &info, NULL, 0) == NGX_OK)
    {
        /* void */
    }

#define ngx_mc_rtmp_is(s)                                                     \
    (name.len == sizeof(s) - 1 && ngx_strncmp(name.data, s, sizeof(s) - 1) == 0)

    if (ngx_mc_rtmp_is("onStatus")) {
        return ngx_mc_rtmp_client_on_status(cl, &info);
    }

    if (ngx_mc_rtmp_is("close")) {
        *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                      "closed by the server") = '\0';
        return NGX_ERROR;
    }

    result = ngx_mc_rtmp_is("_result");

    if (!result && !ngx_mc_rtmp_is("_error")) {
        return NGX_OK;
    }

    switch (transaction) {

    case NGX_MC_RTMP_CONNECT:

        if (cl->phase != NGX_MC_RTMP_CONNECTING) {
            break;
        }

        if (!result) {
            return ngx_mc_rtmp_client_refused(cl, &info, "connect");
        }

        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_CREATING);
        ngx_mc_rtmp_client_send_create(cl);
        break;

    case NGX_MC_RTMP_CREATE:

        if (cl->phase != NGX_MC_RTMP_CREATING) {
            break;
        }

        if (!result) {
            return ngx_mc_rtmp_client_refused(cl, &info, "createStream");
        }

        cl->msid = (info.number > 0 && info.number < 4294967296.0)
                   ? (uint32_t) info.number : 0;

        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_STARTING);
        ngx_mc_rtmp_client_send_start(cl);
        break;

    case NGX_MC_RTMP_PUBLISH:

        if (!result && cl->phase == NGX_MC_RTMP_STARTING) {
            return ngx_mc_rtmp_client_refused(cl, &info,
                              (cl->endpoint->def->direction == NGX_MC_INPUT)
                              ? "play" : "publish");
        }

        break;

    default:

        /* releaseStream and FCPublish are refused by many, to no effect */

        break;
    }

    return s->connection->destroyed ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_client_on_status(ngx_mc_rtmp_client_t *cl,
    ngx_mc_amf_info_t *info)
{
    u_char               text[NGX_MC_RTMP_REASON];
    ngx_mc_endpoint_t   *ep;
    ngx_mc_rtmp_conn_t  *conn;

    ep = cl->endpoint;
    conn = cl->conn;

#define ngx_mc_rtmp_code(s)                                                   \
    (info->code.len == sizeof(s) - 1                                          \
     && ngx_strncmp(info->code.data, s, sizeof(s) - 1) == 0)

    if ((info->level.len == 5 && ngx_strncmp(info->level.data, "error", 5) == 0)
        || ngx_mc_rtmp_code("NetStream.Publish.BadName")
        || ngx_mc_rtmp_code("NetStream.Play.StreamNotFound"))
    {
        if (!ep->connected) {
            return ngx_mc_rtmp_client_refused(cl, info,
                              (ep->def->direction == NGX_MC_INPUT)
                              ? "play" : "publish");
        }

        ngx_mc_rtmp_client_tell(cl, conn->reason, NGX_MC_RTMP_REASON, info);
        return NGX_ERROR;
    }

    if (ep->def->direction == NGX_MC_INPUT) {

        if (ngx_mc_rtmp_code("NetStream.Play.UnpublishNotify")
            || ngx_mc_rtmp_code("NetStream.Play.Stop")
            || ngx_mc_rtmp_code("NetStream.Play.Complete"))
        {
            ngx_mc_rtmp_client_tell(cl, text, sizeof(text), info);
            *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1, "%s", text)
                = '\0';
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_mc_rtmp_code("NetStream.Publish.Start")
        && cl->phase == NGX_MC_RTMP_STARTING)
    {
        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_UP);

        ep->stat->u.rtmp.chunk_size = NGX_MC_RTMP_CHUNK;

        ngx_mc_endpoint_up(ep, ep->sockaddr, ep->socklen);
        ngx_mc_rtmp_client_headers(cl);
    }

    return NGX_OK;
}


/* NGX_ERROR, and the client has no connection any more */

static ngx_int_t
ngx_mc_rtmp_client_refused(ngx_mc_rtmp_client_t *cl, ngx_mc_amf_info_t *info,
    const char *what)
{
    u_char  text[NGX_MC_RTMP_REASON];

    ngx_mc_rtmp_client_tell(cl, text, sizeof(text), info);

    ngx_mc_endpoint_failed(cl->endpoint, NGX_MC_EVENT_RTMP_REFUSED,
                           "\"%s\" refused: %s", what, text);

    return NGX_ERROR;
}


/* what the server says, which may repeat what we have said */

static void
ngx_mc_rtmp_client_tell(ngx_mc_rtmp_client_t *cl, u_char *buf, size_t size,
    ngx_mc_amf_info_t *info)
{
    u_char                 *p, *last;
    ngx_mc_endpoint_def_t  *def;
    u_char                  text[4096];

    def = cl->endpoint->def;

    p = text;
    last = text + sizeof(text) - 1;

    if (info->code.len == 0 && info->description.len == 0) {
        ngx_cpystrn(buf, (u_char *) "no reason given", size);
        return;
    }

    p = ngx_slprintf(p, last, "%V%s%V", &info->code,
                     info->code.len && info->description.len ? ": " : "",
                     &info->description);
    /* much more than is shown */

    last = p;

    last = ngx_mc_rtmp_client_redact(text, last, &def->stream);
    last = ngx_mc_rtmp_client_redact(text, last, &def->params.key);
    last = ngx_mc_rtmp_client_redact_query(text, last, &def->stream);
    last = ngx_mc_rtmp_client_redact_query(text, last, &def->app);

    for (p = text; p < last; p++) {
        if (*p < ' ' || *p >= 0x7f) {
            *p = '?';
        }
    }

    *last = '\0';

    ngx_cpystrn(buf, text, size);
}


/* the query, and each value in it */

static u_char *
ngx_mc_rtmp_client_redact_query(u_char *text, u_char *last, ngx_str_t *s)
{
    u_char     *p, *q, *end;
    ngx_str_t   part;

    end = s->data + s->len;
    p = ngx_strlchr(s->data, end, '?');

    if (p == NULL) {
        return last;
    }

    part.data = p + 1;
    part.len = end - part.data;

    last = ngx_mc_rtmp_client_redact(text, last, &part);

    while (p < end) {

        p++;
        q = ngx_strlchr(p, end, '&');

        if (q == NULL) {
            q = end;
        }

        part.data = ngx_strlchr(p, q, '=');

        if (part.data) {
            part.data++;
            part.len = q - part.data;

            last = ngx_mc_rtmp_client_redact(text, last, &part);
        }

        p = q;
    }

    return last;
}


/* "*" for each of it; what is that short is no secret.  Returns the new end */

static u_char *
ngx_mc_rtmp_client_redact(u_char *text, u_char *last, ngx_str_t *secret)
{
    u_char  *p;

    if (secret->len < NGX_MC_RTMP_SECRET) {
        return last;
    }

    for (p = text; (size_t) (last - p) >= secret->len && p < last; p++) {

        if (ngx_memcmp(p, secret->data, secret->len) != 0) {
            continue;
        }

        *p = '*';
        ngx_memmove(p + 1, p + secret->len, last - p - secret->len);
        last -= secret->len - 1;
    }

    return last;
}


static ngx_int_t
ngx_mc_rtmp_client_on_media(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char                *p, *last;
    size_t                 len;
    uint32_t               size, ts, first;
    ngx_int_t              rc;
    ngx_mc_rtmp_client_t  *cl;

    cl = ngx_mc_rtmp_client_of(s)->ctx.data;

    if (cl == NULL) {
        return NGX_ERROR;
    }

    if (cl->endpoint->def->direction != NGX_MC_INPUT
        || cl->phase < NGX_MC_RTMP_STARTING)
    {
        return NGX_OK;
    }

    if (ngx_mc_rtmp_client_copy(cl, in, &len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (h->type != NGX_RTMP_MSG_AGGREGATE) {
        return ngx_mc_rtmp_client_input(cl, h->type, h->timestamp, cl->buf,
                                        len);
    }

    /* FLV tags, the first of which has the time of the message */

    first = 0;

    for (p = cl->buf, last = p + len; last - p >= 11; p += 11 + size + 4) {

        size = p[1] << 16 | p[2] << 8 | p[3];
        ts = (uint32_t) p[7] << 24 | p[4] << 16 | p[5] << 8 | p[6];

        if (p == cl->buf) {
            first = ts;
        }

        if ((size_t) (last - p) < 11 + (size_t) size) {
            break;
        }

        rc = ngx_mc_rtmp_client_input(cl, p[0], h->timestamp + ts - first,
                                      p + 11, size);
        if (rc != NGX_OK) {
            return rc;
        }

        if ((size_t) (last - p) < 11 + (size_t) size + 4) {
            break;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_client_copy(ngx_mc_rtmp_client_t *cl, ngx_chain_t *in,
    size_t *len)
{
    u_char       *p;
    size_t        size;
    ngx_chain_t  *l;

    size = 0;

    for (l = in; l; l = l->next) {
        size += l->buf->last - l->buf->pos;
    }

    *len = size;

    if (size > cl->size || cl->buf == NULL) {

        if (cl->buf) {
            ngx_free(cl->buf);
        }

        cl->size = ngx_max(size + size / 2, 16384);
        cl->buf = ngx_alloc(cl->size, cl->endpoint->log);

        if (cl->buf == NULL) {
            cl->size = 0;
            return NGX_ERROR;
        }
    }

    p = cl->buf;

    for (l = in; l; l = l->next) {
        p = ngx_cpymem(p, l->buf->pos, l->buf->last - l->buf->pos);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_client_input(ngx_mc_rtmp_client_t *cl, ngx_uint_t type,
    uint32_t timestamp, u_char *data, size_t len)
{
    int32_t                step;
    int64_t                now;
    ngx_int_t              rc;
    ngx_str_t              name;
    ngx_mc_amf_t           amf;
    ngx_mc_frame_t         frame;
    ngx_mc_amf_info_t      info;
    ngx_mc_endpoint_t     *ep;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_stat_t    *st;

    ep = cl->endpoint;
    conn = cl->conn;
    st = &ep->stat->u.rtmp;

    if (len == 0) {
        return NGX_OK;
    }

    if (type == NGX_RTMP_MSG_AMF3_META) {
        type = NGX_RTMP_MSG_AMF_META;
        data++;
        len--;
    }

    if (type == NGX_RTMP_MSG_AMF_META) {

        if (len > ngx_mc_rtmp_set_data_frame.len
            && ngx_memcmp(data, ngx_mc_rtmp_set_data_frame.data,
                          ngx_mc_rtmp_set_data_frame.len) == 0)
        {
            data += ngx_mc_rtmp_set_data_frame.len;
            len -= ngx_mc_rtmp_set_data_frame.len;
        }

        amf.pos = data;
        amf.last = data + len;

        if (len < 1 || *amf.pos++ != NGX_MC_AMF_STRING
            || ngx_mc_amf_read_string(&amf, &name, 2) != NGX_OK
            || name.len != 10 || ngx_strncmp(name.data, "onMetaData", 10) != 0)
        {
            return NGX_OK;
        }

        ngx_memzero(&info, sizeof(ngx_mc_amf_info_t));
        ngx_memzero(&st->metadata, sizeof(ngx_mc_rtmp_metadata_t));
        info.metadata = &st->metadata;

        (void) ngx_mc_amf_read_value(&amf, &info, NULL, 0);

        st->has_metadata = 1;

    } else if (type != NGX_RTMP_MSG_AUDIO && type != NGX_RTMP_MSG_VIDEO) {
        return NGX_OK;
    }

    now = ngx_mc_now();

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    if (!cl->begun) {

        cl->ms = timestamp;
        cl->heard = now;
        cl->begun = 1;

        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_UP);

        ngx_mc_endpoint_up(ep, ep->sockaddr, ep->socklen);
        ngx_mc_flow_connected(ep);

        if (conn != cl->conn) {
            return NGX_ERROR;
        }

    } else {
        step = (int32_t) (timestamp - (uint32_t) cl->ms);

        /* tracks of one stream are not that far apart */

        if (step < -NGX_MC_RTMP_SILENCE || step > NGX_MC_RTMP_SILENCE) {
            frame.discontinuity = 1;
        }

        cl->ms += step;
    }

    if (type != NGX_RTMP_MSG_AMF_META) {
        cl->heard = now;
    }

    rc = ngx_mc_flv_parse(&frame, type, cl->ms * 90, data, len);

    if (rc == NGX_DECLINED) {

        if (!cl->told && frame.codec) {
            cl->told = 1;
            ngx_mc_endpoint_event(ep, NGX_MC_EVENT_CODEC_UNSUPPORTED, NULL,
                                  "%s is not carried: %V",
                                  type == NGX_RTMP_MSG_VIDEO ? "video"
                                                             : "audio",
                                  &ngx_mc_codec_names[frame.codec]);
        }

        return NGX_OK;
    }

    if (rc != NGX_OK) {
        ngx_mc_endpoint_error(ep, "a malformed message of type %ui", type);
        return NGX_OK;
    }

    frame.origin = now;

    if (type == NGX_RTMP_MSG_VIDEO) {
        st->frames++;
        st->video_codec_id = (data[0] & 0x80) && len >= 5
                             ? (int32_t) (data[1] << 24 | data[2] << 16
                                          | data[3] << 8 | data[4])
                             : data[0] & 0x0f;

    } else if (type == NGX_RTMP_MSG_AUDIO) {
        st->frames++;
        st->audio_codec_id = data[0] >> 4;
    }

    if (ngx_mc_flow_frame(ep, &frame) == NGX_DECLINED) {

        if (conn == cl->conn) {
            *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                          "exceeded max_bandwidth") = '\0';
        }

        return NGX_ERROR;
    }

    return (conn == cl->conn) ? NGX_OK : NGX_ERROR;
}


static void
ngx_mc_rtmp_client_send_connect(ngx_mc_rtmp_client_t *cl)
{
    u_char                  *p, *len, buf[NGX_MC_RTMP_COMMAND_MAX];
    size_t                   n;
    ngx_uint_t               ipv6, port;
    ngx_mc_endpoint_t       *ep;
    ngx_mc_endpoint_def_t   *def;
    ngx_mc_frame_headers_t  *headers;

    ep = cl->endpoint;
    def = ep->def;

    p = ngx_mc_rtmp_client_command(buf, "connect", NGX_MC_RTMP_CONNECT);
    p--;                                       /* an object, no null */

    *p++ = NGX_MC_AMF_OBJECT;

    p = ngx_mc_amf_name(p, "app");
    p = ngx_mc_amf_string(p, &def->app);

    if (def->direction == NGX_MC_OUTPUT) {
        p = ngx_mc_amf_name(p, "type");
        p = ngx_mc_amf_chars(p, "nonprivate");
    }

    p = ngx_mc_amf_name(p, "flashVer");
    p = ngx_mc_amf_chars(p, (def->direction == NGX_MC_OUTPUT)
                            ? "FMLE/3.0 (compatible; FMSc/1.0)"
                            : "LNX 9,0,124,2");

    p = ngx_mc_amf_name(p, "tcUrl");
    *p++ = NGX_MC_AMF_STRING;
    len = p;
    p += 2;

    ipv6 = (ngx_strlchr(def->host.data, def->host.data + def->host.len, ':')
            != NULL);
    port = (def->port == (def->tls ? NGX_MC_RTMPS_PORT : NGX_MC_RTMP_PORT))
           ? 0 : def->port;

    p = ngx_sprintf(p, "rtmp%s://%s%V%s", def->tls ? "s" : "",
                    ipv6 ? "[" : "", &def->host, ipv6 ? "]" : "");

    if (port) {
        p = ngx_sprintf(p, ":%ui", port);
    }

    p = ngx_sprintf(p, "/%V", &def->app);

    n = p - len - 2;
    len[0] = (u_char) (n >> 8);
    len[1] = (u_char) n;

    if (def->direction == NGX_MC_INPUT) {
        p = ngx_mc_amf_name(p, "fpad");
        *p++ = NGX_MC_AMF_BOOLEAN;
        *p++ = 0;
        p = ngx_mc_amf_name(p, "capabilities");
        p = ngx_mc_amf_number(p, 15);
        p = ngx_mc_amf_name(p, "audioCodecs");
        p = ngx_mc_amf_number(p, 4071);
        p = ngx_mc_amf_name(p, "videoCodecs");
        p = ngx_mc_amf_number(p, 252);
        p = ngx_mc_amf_name(p, "videoFunction");
        p = ngx_mc_amf_number(p, 1);
    }

    headers = (def->direction == NGX_MC_OUTPUT) ? ngx_mc_flow_headers(ep)
                                                : NULL;

    if (def->direction == NGX_MC_INPUT
        || (headers && headers->video.tag
            && headers->video.codec == NGX_MC_CODEC_HEVC))
    {
        p = ngx_mc_amf_name(p, "fourCcList");
        *p++ = NGX_MC_AMF_ARRAY;
        *p++ = 0;
        *p++ = 0;
        *p++ = 0;
        *p++ = 1;
        p = ngx_mc_amf_chars(p, "hvc1");
    }

    *p++ = 0;
    *p++ = 0;
    *p++ = NGX_MC_AMF_END;

    ngx_mc_rtmp_client_send(cl, 0, buf, p - buf);
}


static void
ngx_mc_rtmp_client_send_create(ngx_mc_rtmp_client_t *cl)
{
    u_char                 *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    ngx_mc_endpoint_def_t  *def;

    def = cl->endpoint->def;

    if (def->direction == NGX_MC_OUTPUT) {

        p = ngx_mc_rtmp_client_command(buf, "releaseStream",
                                       NGX_MC_RTMP_RELEASE);
        p = ngx_mc_amf_string(p, &def->stream);
        ngx_mc_rtmp_client_send(cl, 0, buf, p - buf);

        p = ngx_mc_rtmp_client_command(buf, "FCPublish",
                                       NGX_MC_RTMP_FCPUBLISH);
        p = ngx_mc_amf_string(p, &def->stream);
        ngx_mc_rtmp_client_send(cl, 0, buf, p - buf);

    } else if (cl->conn) {
        (void) ngx_rtmp_send_ack_size(cl->conn->session, 2500000);
    }

    p = ngx_mc_rtmp_client_command(buf, "createStream", NGX_MC_RTMP_CREATE);
    ngx_mc_rtmp_client_send(cl, 0, buf, p - buf);
}


static void
ngx_mc_rtmp_client_send_start(ngx_mc_rtmp_client_t *cl)
{
    u_char                 *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    ngx_mc_endpoint_def_t  *def;

    def = cl->endpoint->def;

    if (def->direction == NGX_MC_OUTPUT) {
        p = ngx_mc_rtmp_client_command(buf, "publish", NGX_MC_RTMP_PUBLISH);
        p = ngx_mc_amf_string(p, &def->stream);
        p = ngx_mc_amf_chars(p, "live");
        ngx_mc_rtmp_client_send(cl, cl->msid, buf, p - buf);
        return;
    }

    /* -2: live, as players ask for it; a live stream that is not there yet is
       waited for by some servers, by us for so long as they say nothing */

    p = ngx_mc_rtmp_client_command(buf, "play", NGX_MC_RTMP_PUBLISH);
    p = ngx_mc_amf_string(p, &def->stream);
    p = ngx_mc_amf_number(p, -2000);
    ngx_mc_rtmp_client_send(cl, cl->msid, buf, p - buf);

    if (cl->conn) {
        (void) ngx_rtmp_send_set_buflen(cl->conn->session, cl->msid,
                                        NGX_MC_RTMP_BUFLEN);
    }
}


/* an orderly end, as far as it goes without waiting */

static void
ngx_mc_rtmp_client_send_end(ngx_mc_rtmp_client_t *cl)
{
    u_char                 *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    ngx_mc_endpoint_def_t  *def;

    def = cl->endpoint->def;

    if (def->direction == NGX_MC_OUTPUT) {
        p = ngx_mc_rtmp_client_command(buf, "FCUnpublish", 0);
        p = ngx_mc_amf_string(p, &def->stream);
        ngx_mc_rtmp_client_send(cl, 0, buf, p - buf);
    }

    p = ngx_mc_rtmp_client_command(buf, "deleteStream", 0);
    p = ngx_mc_amf_number(p, cl->msid);
    ngx_mc_rtmp_client_send(cl, 0, buf, p - buf);
}


static u_char *
ngx_mc_rtmp_client_command(u_char *p, const char *name, double transaction)
{
    p = ngx_mc_amf_chars(p, name);
    p = ngx_mc_amf_number(p, transaction);
    *p++ = NGX_MC_AMF_NULL;

    return p;
}


static void
ngx_mc_rtmp_client_send(ngx_mc_rtmp_client_t *cl, uint32_t msid, u_char *data,
    size_t len)
{
    ngx_rtmp_header_t  h;

    if (cl->conn == NULL || cl->conn->connection->destroyed) {
        return;
    }

    ngx_memzero(&h, sizeof(ngx_rtmp_header_t));

    h.csid = NGX_MC_RTMP_CSID_COMMAND;
    h.type = NGX_RTMP_MSG_AMF_CMD;
    h.msid = msid;

    (void) ngx_mc_rtmp_client_enqueue(cl->conn, &h, NULL, NULL, data, len);

    ngx_mc_rtmp_client_flush(cl->conn);
}


static void
ngx_mc_rtmp_client_headers(ngx_mc_rtmp_client_t *cl)
{
    ngx_mc_frame_headers_t  *headers;

    headers = ngx_mc_flow_headers(cl->endpoint);

    cl->wait_since = ngx_mc_now();
    cl->stale = 0;

    if (headers == NULL) {
        return;
    }

    if (headers->meta.tag) {
        (void) ngx_mc_rtmp_client_media(cl, &headers->meta,
                          (uint32_t) ngx_max(cl->clock.last[0],
                                             cl->clock.last[1]));
    }

    if (headers->video.tag) {
        cl->video = 1;
        (void) ngx_mc_rtmp_client_media(cl, &headers->video,
                                        (uint32_t) cl->clock.last[1]);
    }

    if (headers->audio.tag) {
        (void) ngx_mc_rtmp_client_media(cl, &headers->audio,
                                        (uint32_t) cl->clock.last[0]);
    }

    if (cl->conn) {
        ngx_mc_rtmp_client_flush(cl->conn);
    }
}


void
ngx_mc_rtmp_client_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame)
{
    int64_t                now;
    uint32_t               timestamp;
    ngx_int_t              rc;
    ngx_uint_t             video, queue;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    cl = ep->data;

    if (cl == NULL || cl->phase != NGX_MC_RTMP_UP || cl->conn == NULL
        || cl->conn->connection->destroyed || frame->len == 0)
    {
        return;
    }

    conn = cl->conn;
    now = ngx_mc_now();
    video = (frame->type == NGX_MC_FRAME_VIDEO);

    if (frame->discontinuity) {
        /* that it begins with a key frame is seen to by the lane */
        cl->clock.jump = 1;
    }

    if (frame->type == NGX_MC_FRAME_META || frame->config || frame->end) {

        if (video) {
            cl->video = !frame->end;
        }

        /* before the first frame, time has not begun */

        timestamp = !cl->clock.started ? 0 :
                    (frame->type == NGX_MC_FRAME_META)
                    ? (uint32_t) ngx_max(cl->clock.last[0],
                                         cl->clock.last[1])
                    : (uint32_t) cl->clock.last[video];

        if (ngx_mc_rtmp_client_media(cl, frame, timestamp) != NGX_OK) {
            cl->stale = 1;
        }

        ngx_mc_rtmp_client_flush(conn);
        return;
    }

    queue = ngx_mc_rtmp_client_queue(conn);

    if (video) {

        cl->video = 1;

        if (cl->wait_key) {

            if (!frame->key) {

                /* nothing is lost that could have been decoded, unless it is
                   us who made it so */

                if (cl->clock.started) {
                    goto dropped;
                }

                return;
            }

            if (queue > NGX_MC_RTMP_RESUME
                || conn->queued > NGX_MC_RTMP_QUEUE_BYTES / 4)
            {
                goto dropped;
            }

            cl->wait_key = 0;
        }

        if (queue >= NGX_MC_RTMP_QUEUE_VIDEO
            || conn->queued + frame->len
               > ngx_max(NGX_MC_RTMP_QUEUE_BYTES, frame->len)
            || frame->len > NGX_MC_RTMP_MESSAGE_MAX)
        {
            cl->wait_key = 1;
            goto dropped;
        }

    } else {

        /* with video, both begin at a key frame; a video that does not come
           takes the sound with it for a while only */

        if (cl->video && cl->wait_key && !cl->clock.started
            && now - cl->wait_since < (int64_t) NGX_MC_RTMP_TIMEOUT * 1000)
        {
            return;
        }

        if (ngx_mc_rtmp_clock_late(&cl->clock, frame)) {
            return;
        }

        if (queue >= NGX_MC_RTMP_QUEUE_AUDIO
            || frame->len > NGX_MC_RTMP_MESSAGE_MAX)
        {
            goto dropped;
        }
    }

    if (cl->stale) {
        ngx_mc_rtmp_client_headers(cl);
    }

    timestamp = ngx_mc_rtmp_clock(&cl->clock, frame, now);

    rc = ngx_mc_rtmp_client_media(cl, frame, timestamp);

    if (rc != NGX_OK) {
        cl->wait_key |= video;
        goto dropped;
    }

    ep->stat->u.rtmp.frames++;

    ngx_mc_rtmp_client_flush(conn);

    return;

dropped:

    ep->stat->dropped_packets++;
    ep->stat->u.rtmp.dropped_frames++;
}


static ngx_int_t
ngx_mc_rtmp_client_media(ngx_mc_rtmp_client_t *cl, ngx_mc_frame_t *frame,
    uint32_t timestamp)
{
    ngx_uint_t           csid;
    ngx_rtmp_header_t    h;
    ngx_mc_endpoint_t   *ep;
    ngx_mc_rtmp_stat_t  *st;

    ep = cl->endpoint;
    st = &ep->stat->u.rtmp;

    if (cl->conn == NULL || cl->conn->connection->destroyed
        || frame->len == 0)
    {
        return NGX_ERROR;
    }

    csid = NGX_MC_RTMP_CSID_DATA;

    if (frame->type == NGX_MC_FRAME_VIDEO) {
        csid = NGX_MC_RTMP_CSID_VIDEO;
        st->video_codec_id = (frame->tag[0] & 0x80) && frame->len >= 5
                             ? (int32_t) (frame->tag[1] << 24
                                          | frame->tag[2] << 16
                                          | frame->tag[3] << 8 | frame->tag[4])
                             : frame->tag[0] & 0x0f;

    } else if (frame->type == NGX_MC_FRAME_AUDIO) {
        csid = NGX_MC_RTMP_CSID_AUDIO;
        st->audio_codec_id = frame->tag[0] >> 4;
    }

    ngx_memzero(&h, sizeof(ngx_rtmp_header_t));

    h.csid = csid;
    h.type = frame->type;
    h.msid = cl->msid;
    h.timestamp = timestamp;

    if (ngx_mc_rtmp_client_enqueue(cl->conn, &h, &cl->last[csid],
                                   (frame->type == NGX_MC_FRAME_META)
                                   ? &ngx_mc_rtmp_set_data_frame : NULL,
                                   frame->tag, frame->len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cl->last[csid] = h;
    cl->last[csid].mlen = 0;

    ep->stat->packets++;
    ep->stat->bytes += frame->len;

    return NGX_OK;
}


static ngx_uint_t
ngx_mc_rtmp_client_queue(ngx_mc_rtmp_conn_t *conn)
{
    ngx_rtmp_session_t  *s;

    s = conn->session;

    while (conn->sizes_pos != s->out_pos) {
        conn->queued -= conn->sizes[conn->sizes_pos];
        conn->sizes[conn->sizes_pos] = 0;
        conn->sizes_pos = (conn->sizes_pos + 1) % NGX_MC_RTMP_QUEUE;
    }

    return (s->out_last - s->out_pos) % NGX_MC_RTMP_QUEUE;
}


/*
 * nginx-rtmp takes buffers from a list of free ones, and makes others in memory
 * that is not aligned for what is in it.  It never has to: there are "n" for
 * it, or NGX_ERROR.
 */

static ngx_int_t
ngx_mc_rtmp_client_spare(ngx_mc_rtmp_conn_t *conn, ngx_uint_t n)
{
    u_char                    *p;
    size_t                     size;
    ngx_chain_t               *l;
    ngx_rtmp_core_srv_conf_t  *cscf;

    cscf = &conn->srv_conf;

    for (l = cscf->free; l && n; l = l->next) {
        n--;
    }

    size = NGX_MC_RTMP_CHUNK + NGX_RTMP_MAX_CHUNK_HEADER;

    while (n--) {

        p = ngx_palloc(cscf->pool, NGX_MC_RTMP_REF + sizeof(ngx_chain_t)
                                   + sizeof(ngx_buf_t) + size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        /* the count of references is right before the link */

        l = (ngx_chain_t *) (p + NGX_MC_RTMP_REF);
        p = (u_char *) l + sizeof(ngx_chain_t);

        l->buf = (ngx_buf_t *) p;
        ngx_memzero(l->buf, sizeof(ngx_buf_t));

        l->buf->start = p + sizeof(ngx_buf_t);
        l->buf->end = l->buf->start + size;

        l->next = cscf->free;
        cscf->free = l;
    }

    return NGX_OK;
}


/* "lh": of the last message on this chunk stream; csid 0: none */

static ngx_int_t
ngx_mc_rtmp_client_enqueue(ngx_mc_rtmp_conn_t *conn, ngx_rtmp_header_t *h,
    ngx_rtmp_header_t *lh, ngx_str_t *prefix, u_char *data, size_t len)
{
    ngx_buf_t                  b[2];
    ngx_chain_t                in[2], *out, *l;
    ngx_rtmp_session_t        *s;
    ngx_rtmp_core_srv_conf_t  *cscf;

    s = conn->session;
    cscf = &conn->srv_conf;

    /* one slot stays free, or full would be empty */

    if (ngx_mc_rtmp_client_queue(conn) >= NGX_MC_RTMP_QUEUE - 1) {
        return NGX_ERROR;
    }

    b[1].pos = data;
    b[1].last = data + len;
    in[1].buf = &b[1];
    in[1].next = NULL;

    if (prefix) {
        b[0].pos = prefix->data;
        b[0].last = prefix->data + prefix->len;
        in[0].buf = &b[0];
        in[0].next = &in[1];
        len += prefix->len;
    }

    if (ngx_mc_rtmp_client_spare(conn, NGX_MC_RTMP_SPARE
                                       + len / NGX_MC_RTMP_CHUNK)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    out = ngx_rtmp_append_shared_bufs(cscf, NULL, prefix ? &in[0] : &in[1]);
    if (out == NULL) {
        return NGX_ERROR;
    }

    for (l = out; l; l = l->next) {
        len -= l->buf->last - l->buf->pos;
    }

    if (len) {
        /* no memory for all of it */
        ngx_rtmp_free_shared_chain(cscf, out);
        return NGX_ERROR;
    }

    len = b[1].last - b[1].pos;

    ngx_rtmp_prepare_message(s, h, lh && lh->csid ? lh : NULL, out);

    /* it is the queue's: no reference of ours is left */

    conn->sizes[s->out_last] = (uint32_t) len;
    conn->queued += len;
    conn->largest = ngx_max(conn->largest, (uint32_t) len);

    s->out[s->out_last] = out;
    s->out_last = (s->out_last + 1) % NGX_MC_RTMP_QUEUE;

    return NGX_OK;
}


/*
 * As nginx-rtmp sends, and on the same state, but as many chunks and messages
 * at once as there are.
 */

static void
ngx_mc_rtmp_client_flush(ngx_mc_rtmp_conn_t *conn)
{
    ssize_t              n;
    size_t               size;
    ngx_event_t         *wev;
    ngx_connection_t    *c;
    ngx_rtmp_session_t  *s;

    s = conn->session;
    c = conn->connection;
    wev = c->write;

    if (c->destroyed) {
        return;
    }

    for ( ;; ) {

        if (s->out_chain == NULL) {

            if (s->out_pos == s->out_last) {
                break;
            }

            s->out_chain = s->out[s->out_pos];
            s->out_bpos = s->out_chain->buf->pos;
        }

        if (!wev->ready) {
            n = NGX_AGAIN;

        } else {
            n = ngx_mc_rtmp_client_gather(conn);
        }

        if (n == NGX_AGAIN || n == 0) {

            /* since when it takes nothing, not since when it is slow */

            if (!wev->timer_set) {
                ngx_add_timer(wev, s->timeout);
            }

            if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                ngx_rtmp_finalize_session(s);
            }

            return;
        }

        if (n < 0) {
            ngx_rtmp_finalize_session(s);
            return;
        }

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        s->out_bytes += n;
        s->ping_reset = 1;

        while (n > 0) {

            size = s->out_chain->buf->last - s->out_bpos;

            if ((size_t) n < size) {
                s->out_bpos += n;
                break;
            }

            n -= size;

            s->out_chain = s->out_chain->next;

            if (s->out_chain == NULL) {

                ngx_rtmp_free_shared_chain(&conn->srv_conf,
                                           s->out[s->out_pos]);
                s->out_pos = (s->out_pos + 1) % NGX_MC_RTMP_QUEUE;

                if (s->out_pos == s->out_last) {
                    break;
                }

                s->out_chain = s->out[s->out_pos];
            }

            s->out_bpos = s->out_chain->buf->pos;
        }
    }

    if (wev->active) {
        (void) ngx_del_event(wev, NGX_WRITE_EVENT, 0);
    }
}


/* bytes sent, NGX_AGAIN or NGX_ERROR */

static ssize_t
ngx_mc_rtmp_client_gather(ngx_mc_rtmp_conn_t *conn)
{
    u_char              *p, *pos;
    size_t               n, size, out;
    ssize_t              rc;
    ngx_err_t            err;
    ngx_uint_t           niov;
    ngx_chain_t         *l;
    struct iovec         iov[NGX_MC_RTMP_IOV];
    ngx_connection_t    *c;
    ngx_rtmp_session_t  *s;

    s = conn->session;
    c = conn->connection;

    l = s->out_chain;
    pos = s->out_bpos;
    out = s->out_pos;
    niov = 0;
    size = 0;

    for ( ;; ) {

        iov[niov].iov_base = pos;
        iov[niov].iov_len = l->buf->last - pos;
        size += iov[niov++].iov_len;

        if (niov == NGX_MC_RTMP_IOV) {
            break;
        }

        l = l->next;

        if (l == NULL) {
            out = (out + 1) % NGX_MC_RTMP_QUEUE;

            if (out == s->out_last) {
                break;
            }

            l = s->out[out];
        }

        pos = l->buf->pos;
    }

    if (c->ssl) {

        /* whole records of TLS.  What is left unsent is gathered again, the
           same bytes and maybe more */

        if (niov == 1 || iov[0].iov_len >= NGX_MC_RTMP_GATHER) {
            return c->send(c, iov[0].iov_base, iov[0].iov_len);
        }

        p = ngx_mc_rtmp_gathered;
        niov = 0;

        while (size && p < ngx_mc_rtmp_gathered + NGX_MC_RTMP_GATHER) {
            n = ngx_min(iov[niov].iov_len, (size_t)
                        (ngx_mc_rtmp_gathered + NGX_MC_RTMP_GATHER - p));
            p = ngx_cpymem(p, iov[niov].iov_base, n);
            size -= n;
            niov++;
        }

        return c->send(c, ngx_mc_rtmp_gathered, p - ngx_mc_rtmp_gathered);
    }

    do {
        rc = writev(c->fd, iov, niov);
        err = (rc == -1) ? ngx_socket_errno : 0;

    } while (err == NGX_EINTR);

    if (rc == -1) {

        if (err == NGX_EAGAIN) {
            c->write->ready = 0;
            return NGX_AGAIN;
        }

        *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                      "the connection is lost: %s", strerror(err)) = '\0';

        c->write->error = 1;
        ngx_connection_error(c, err, "writev() failed");
        return NGX_ERROR;
    }

    c->sent += rc;

    if ((size_t) rc < size) {
        c->write->ready = 0;
    }

    return rc;
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
        st->queue = (int32_t) ngx_mc_rtmp_client_queue(conn);
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


static u_char *
ngx_mc_amf_name(u_char *p, const char *name)
{
    size_t  n;

    n = ngx_strlen(name);

    *p++ = (u_char) (n >> 8);
    *p++ = (u_char) n;

    return ngx_cpymem(p, name, n);
}


static u_char *
ngx_mc_amf_string(u_char *p, ngx_str_t *s)
{
    *p++ = NGX_MC_AMF_STRING;
    *p++ = (u_char) (s->len >> 8);
    *p++ = (u_char) s->len;

    return ngx_cpymem(p, s->data, s->len);
}


static u_char *
ngx_mc_amf_chars(u_char *p, const char *s)
{
    *p++ = NGX_MC_AMF_STRING;

    return ngx_mc_amf_name(p, s);
}


static u_char *
ngx_mc_amf_number(u_char *p, double n)
{
    uint64_t    bits;
    ngx_uint_t  i;

    ngx_memcpy(&bits, &n, 8);

    *p++ = NGX_MC_AMF_NUMBER;

    for (i = 0; i < 8; i++) {
        *p++ = (u_char) (bits >> (56 - 8 * i));
    }

    return p;
}


/* after the type; "bytes" of length */

static ngx_int_t
ngx_mc_amf_read_string(ngx_mc_amf_t *amf, ngx_str_t *s, ngx_uint_t bytes)
{
    size_t  len;

    if ((size_t) (amf->last - amf->pos) < bytes) {
        return NGX_ERROR;
    }

    for (len = 0; bytes; bytes--) {
        len = len << 8 | *amf->pos++;
    }

    if ((size_t) (amf->last - amf->pos) < len) {
        return NGX_ERROR;
    }

    s->data = amf->pos;
    s->len = len;

    amf->pos += len;

    return NGX_OK;
}


/* any value; "name": of the member that it is, NULL: of none */

static ngx_int_t
ngx_mc_amf_read_value(ngx_mc_amf_t *amf, ngx_mc_amf_info_t *info,
    ngx_str_t *name, ngx_uint_t depth)
{
    double      number;
    size_t      n;
    uint64_t    bits;
    ngx_str_t   s;
    ngx_uint_t  type, i;

    if (amf->pos == amf->last || depth > NGX_MC_AMF_DEPTH) {
        return NGX_ERROR;
    }

    type = *amf->pos++;
    n = amf->last - amf->pos;

    switch (type) {

    case NGX_MC_AMF_NUMBER:

        if (n < 8) {
            return NGX_ERROR;
        }

        bits = 0;

        for (i = 0; i < 8; i++) {
            bits = bits << 8 | *amf->pos++;
        }

        ngx_memcpy(&number, &bits, 8);

        if (name) {
            ngx_mc_amf_take(info, name, NULL, number);

        } else if (info->number == 0) {
            info->number = number;
        }

        return NGX_OK;

    case NGX_MC_AMF_BOOLEAN:
        n = 1;
        break;

    case NGX_MC_AMF_STRING:
    case NGX_MC_AMF_LONG_STRING:

        if (ngx_mc_amf_read_string(amf, &s, type == NGX_MC_AMF_STRING ? 2 : 4)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (name) {
            ngx_mc_amf_take(info, name, &s, 0);
        }

        return NGX_OK;

    case NGX_MC_AMF_ECMA:

        if (n < 4) {
            return NGX_ERROR;
        }

        amf->pos += 4;

        /* fall through */

    case NGX_MC_AMF_OBJECT:

        for ( ;; ) {

            if (ngx_mc_amf_read_string(amf, &s, 2) != NGX_OK) {
                return NGX_ERROR;
            }

            if (s.len == 0 && amf->pos < amf->last
                && *amf->pos == NGX_MC_AMF_END)
            {
                amf->pos++;
                return NGX_OK;
            }

            if (ngx_mc_amf_read_value(amf, info, &s, depth + 1) != NGX_OK) {
                return NGX_ERROR;
            }
        }

    case NGX_MC_AMF_ARRAY:

        if (n < 4) {
            return NGX_ERROR;
        }

        n = (size_t) amf->pos[0] << 24 | amf->pos[1] << 16
            | amf->pos[2] << 8 | amf->pos[3];
        amf->pos += 4;

        ngx_str_null(&s);

        while (n--) {
            if (ngx_mc_amf_read_value(amf, info, &s, depth + 1) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        return NGX_OK;

    case NGX_MC_AMF_NULL:
    case NGX_MC_AMF_UNDEFINED:
        return NGX_OK;

    case NGX_MC_AMF_REFERENCE:
        n = 2;
        break;

    case NGX_MC_AMF_DATE:
        n = 10;
        break;

    default:
        return NGX_ERROR;
    }

    if ((size_t) (amf->last - amf->pos) < n) {
        return NGX_ERROR;
    }

    amf->pos += n;

    return NGX_OK;
}


static void
ngx_mc_amf_take(ngx_mc_amf_info_t *info, ngx_str_t *name, ngx_str_t *string,
    double number)
{
    size_t                   n;
    ngx_mc_rtmp_metadata_t  *m;

    m = info->metadata;

#define ngx_mc_amf_is(s)                                                      \
    (name->len == sizeof(s) - 1                                               \
     && ngx_strncmp(name->data, s, sizeof(s) - 1) == 0)

    if (m == NULL) {

        if (string == NULL) {
            return;
        }

        if (ngx_mc_amf_is("level") && info->level.len == 0) {
            info->level = *string;

        } else if (ngx_mc_amf_is("code") && info->code.len == 0) {
            info->code = *string;

        } else if (ngx_mc_amf_is("description")
                   && info->description.len == 0)
        {
            info->description = *string;
        }

        return;
    }

    if (string) {

        if (ngx_mc_amf_is("encoder")) {
            n = ngx_min(string->len, NGX_MC_ENCODER_LEN - 1);
            ngx_memcpy(m->encoder, string->data, n);
            m->encoder[n] = '\0';

            while (n--) {
                if (m->encoder[n] < ' ' || m->encoder[n] >= 0x7f) {
                    m->encoder[n] = '?';
                }
            }
        }

        return;
    }

    /* neither infinite, negative nor absurd: it is shown in JSON */

    if (!(number >= 0 && number < 1e12)) {
        return;
    }

    if (ngx_mc_amf_is("width")) {
        m->width = number;

    } else if (ngx_mc_amf_is("height")) {
        m->height = number;

    } else if (ngx_mc_amf_is("framerate")) {
        m->frame_rate = number;

    } else if (ngx_mc_amf_is("videodatarate")) {
        m->video_rate = number;

    } else if (ngx_mc_amf_is("audiodatarate")) {
        m->audio_rate = number;

    } else if (ngx_mc_amf_is("audiosamplerate")) {
        m->sample_rate = number;

    } else if (ngx_mc_amf_is("audiochannels")) {
        m->channels = number;
    }
}
