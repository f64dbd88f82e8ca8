
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp.h>
#include <sys/un.h>


/*
 * A link joins a session of nginx-rtmp, in any worker, and an endpoint that
 * listens, in the owner of its flow.  Each side has an object of its own.  In
 * one process the two point at each other, and frames are passed by calls;
 * else there is a connection for each link over a unix socket, on which each
 * worker listens: abstract, so that nothing is left behind, and named after
 * what only this master's workers know.
 *
 * What one side has to be told is told by a posted event, never from within a
 * call that it makes: links are freed there too.
 *
 * Both ends are of one machine and compiler: messages are structures.
 */


#define NGX_MC_RTMP_LINK_VERSION   1

/* bytes that may wait to be sent: then frames are dropped */
#define NGX_MC_RTMP_LINK_QUEUE     (8 * 1024 * 1024)

#define NGX_MC_RTMP_LINK_BUFFER    (128 * 1024)

/* bytes of one link in one pass of the event loop */
#define NGX_MC_RTMP_LINK_PASS      (4 * 1024 * 1024)

#define NGX_MC_RTMP_LINK_IOVS      64
#define NGX_MC_RTMP_LINK_BACKLOG   511

/* ms, to say hello, and to take a farewell */
#define NGX_MC_RTMP_LINK_TIMEOUT   2000

/* session to owner */
#define NGX_MC_RTMP_MSG_HELLO      1
#define NGX_MC_RTMP_MSG_REJECTED   2
#define NGX_MC_RTMP_MSG_CHUNK      3
#define NGX_MC_RTMP_MSG_REPORT     4
#define NGX_MC_RTMP_MSG_PEER_UP    5
#define NGX_MC_RTMP_MSG_PEER_STAT  6
#define NGX_MC_RTMP_MSG_PEER_DOWN  7

/* owner to session */
#define NGX_MC_RTMP_MSG_ACCEPT     8

/* either */
#define NGX_MC_RTMP_MSG_FRAME      9
#define NGX_MC_RTMP_MSG_END        10


typedef struct {
    uint32_t                      len;         /* with this header */
    uint32_t                      type;
} ngx_mc_rtmp_msg_t;

#define NGX_MC_RTMP_MSG_MAX  (NGX_MC_FRAME_MAX + 4096)


typedef struct {
    uint32_t                      version;
    uint32_t                      direction;
    uint32_t                      pipeline;
    uint32_t                      reason;      /* of a refusal */
    int64_t                       began;
    u_char                        flow[NGX_MC_NAME_LEN + 1];
    u_char                        name[NGX_MC_NAME_LEN + 1];
    u_char                        peer[NGX_MC_ADDR_LEN];
    u_char                        text[NGX_MC_EVENT_MESSAGE_LEN];
} ngx_mc_rtmp_hello_t;


typedef struct {
    int64_t                       dts;
    int64_t                       pts;
    int64_t                       origin;
    uint32_t                      header;
    uint32_t                      dropped;     /* frames before this one */
    uint8_t                       type;
    uint8_t                       codec;
    uint8_t                       key;
    uint8_t                       config;
    uint8_t                       end;
    uint8_t                       discontinuity;
    uint8_t                       reserved[2];
} ngx_mc_rtmp_msg_frame_t;


typedef struct {
    uint32_t                      code;
    u_char                        text[NGX_MC_EVENT_MESSAGE_LEN];
} ngx_mc_rtmp_msg_text_t;


typedef struct {
    uint64_t                      id;
    uint64_t                      bytes;
    uint64_t                      messages;
    uint64_t                      dropped;
    u_char                        text[NGX_MC_EVENT_MESSAGE_LEN];
} ngx_mc_rtmp_msg_peer_t;


/* what could not be sent at once */

typedef struct {
    ngx_queue_t                   queue;
    size_t                        pos;
    size_t                        len;
    u_char                        data[1];
} ngx_mc_rtmp_block_t;


struct ngx_mc_rtmp_link_s {
    ngx_queue_t                   queue;       /* of this process's links */
    ngx_queue_t                   post;

    /* the session's side */
    ngx_mc_rtmp_link_handlers_t  *handlers;
    void                         *data;

    /* the owner's */
    ngx_mc_endpoint_t            *ep;          /* NULL: not attached */
    void                         *owner_data;
    ngx_mc_rtmp_hello_t           hello;

    ngx_mc_rtmp_link_t           *other;       /* in the same process */
    ngx_connection_t             *c;           /* in another */

    u_char                       *buf;
    size_t                        size;
    size_t                        start;
    size_t                        end;

    ngx_queue_t                   out;         /* ngx_mc_rtmp_block_t */
    size_t                        queued;

    uint32_t                      dropped;
    ngx_uint_t                    code;
    u_char                        why[NGX_MC_EVENT_MESSAGE_LEN];

    unsigned                      owner:1;     /* which side this is */
    unsigned                      opened:1;    /* the owner has taken it */
    unsigned                      posted:1;
    unsigned                      dead:1;      /* to be freed */
    unsigned                      broken:1;    /* its connection is gone */
    unsigned                      attach:1;    /* what to tell */
    unsigned                      detach:1;
    unsigned                      tell_opened:1;
    unsigned                      tell_closed:1;
    unsigned                      video:1;     /* there is any */
    unsigned                      dropping:1;
    unsigned                      discontinuity:1;
};


static ngx_mc_rtmp_link_t *ngx_mc_rtmp_link_create(ngx_uint_t owner);
static void ngx_mc_rtmp_link_hello(ngx_mc_rtmp_hello_t *hello,
    ngx_mc_rtmp_name_t *name, ngx_str_t *peer);
static ngx_int_t ngx_mc_rtmp_link_connect(ngx_mc_rtmp_link_t *link,
    ngx_pid_t pid);
static socklen_t ngx_mc_rtmp_link_name(struct sockaddr_un *sun, ngx_pid_t pid);
static ngx_int_t ngx_mc_rtmp_link_connection(ngx_mc_rtmp_link_t *link,
    ngx_socket_t fd);
static void ngx_mc_rtmp_link_disconnect(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_post(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_post_handler(ngx_event_t *ev);
static void ngx_mc_rtmp_link_tell(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_free(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_attach(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_detach(ngx_mc_rtmp_link_t *link,
    const char *why);
static void ngx_mc_rtmp_link_detached(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_is_closed(ngx_mc_rtmp_link_t *link,
    ngx_uint_t code, const char *why);
static void ngx_mc_rtmp_link_break(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_listen_handler(ngx_event_t *rev);
static void ngx_mc_rtmp_link_accept(ngx_socket_t fd);
static void ngx_mc_rtmp_link_read_handler(ngx_event_t *rev);
static ngx_int_t ngx_mc_rtmp_link_room(ngx_mc_rtmp_link_t *link);
static ngx_int_t ngx_mc_rtmp_link_parse(ngx_mc_rtmp_link_t *link);
static ngx_int_t ngx_mc_rtmp_link_message(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, u_char *data, size_t len);
static ngx_int_t ngx_mc_rtmp_link_peer_message(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, ngx_mc_rtmp_msg_peer_t *peer);
static void ngx_mc_rtmp_link_refusal(ngx_mc_rtmp_hello_t *hello);
static void ngx_mc_rtmp_link_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_mc_rtmp_link_put_frame(ngx_mc_rtmp_link_t *link,
    ngx_mc_frame_t *frame);
static ngx_int_t ngx_mc_rtmp_link_put(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, void *data, size_t len, u_char *tail, size_t tail_len);
static void ngx_mc_rtmp_link_put_peer(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, ngx_mc_rtmp_msg_peer_t *peer);


static ngx_queue_t        ngx_mc_rtmp_links = {
    &ngx_mc_rtmp_links, &ngx_mc_rtmp_links
};

static ngx_queue_t        ngx_mc_rtmp_link_posts = {
    &ngx_mc_rtmp_link_posts, &ngx_mc_rtmp_link_posts
};

static ngx_event_t        ngx_mc_rtmp_link_event;
static ngx_connection_t  *ngx_mc_rtmp_link_listener;

/* the owner is passing a frame on: it must not be called back */
static ngx_uint_t         ngx_mc_rtmp_link_sending;


ngx_mc_rtmp_link_t *
ngx_mc_rtmp_link_open(ngx_mc_rtmp_name_t *name, ngx_str_t *peer,
    ngx_mc_rtmp_link_handlers_t *handlers, void *data)
{
    return ngx_mc_rtmp_link_open_publisher(name, peer, 0, handlers, data);
}


ngx_mc_rtmp_link_t *
ngx_mc_rtmp_link_open_publisher(ngx_mc_rtmp_name_t *name, ngx_str_t *peer,
    int64_t began, ngx_mc_rtmp_link_handlers_t *handlers, void *data)
{
    ngx_pid_t            pid;
    ngx_mc_rtmp_link_t  *link, *other;

    pid = (ngx_pid_t) name->flow_stat->pid;

    if (pid == 0) {
        return NULL;
    }

    link = ngx_mc_rtmp_link_create(0);
    if (link == NULL) {
        return NULL;
    }

    link->handlers = handlers;
    link->data = data;

    ngx_mc_rtmp_link_hello(&link->hello, name, peer);

    link->hello.began = began;

    if (pid == ngx_pid) {

        other = ngx_mc_rtmp_link_create(1);
        if (other == NULL) {
            ngx_mc_rtmp_link_free(link);
            return NULL;
        }

        other->hello = link->hello;
        other->other = link;
        link->other = other;

        other->attach = 1;
        ngx_mc_rtmp_link_post(other);

        return link;
    }

    if (ngx_mc_rtmp_link_connect(link, pid) != NGX_OK) {
        ngx_mc_rtmp_link_free(link);
        return NULL;
    }

    (void) ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_HELLO, &link->hello,
                                sizeof(ngx_mc_rtmp_hello_t), NULL, 0);

    return link;
}


void
ngx_mc_rtmp_link_close(ngx_mc_rtmp_link_t *link)
{
    ngx_mc_rtmp_link_close_why(link, "the connection was closed");
}


void
ngx_mc_rtmp_link_close_why(ngx_mc_rtmp_link_t *link, const char *why)
{
    ngx_mc_rtmp_link_t      *other;
    ngx_mc_rtmp_msg_text_t   msg;

    if (link->dead) {
        return;
    }

    link->dead = 1;
    link->tell_opened = 0;
    link->tell_closed = 0;

    other = link->other;

    if (other) {
        link->other = NULL;
        other->other = NULL;
        other->attach = 0;

        ngx_mc_rtmp_link_detach(other, why);
    }

    if (link->c) {

        /* a connection that just ends is a worker that died */

        ngx_memzero(&msg, sizeof(ngx_mc_rtmp_msg_text_t));
        ngx_cpystrn(msg.text, (u_char *) why, sizeof(msg.text));

        (void) ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_END, &msg,
                                    sizeof(ngx_mc_rtmp_msg_text_t), NULL, 0);

        if (ngx_queue_empty(&link->out)) {
            ngx_mc_rtmp_link_disconnect(link);

        } else {
            ngx_add_timer(link->c->write, NGX_MC_RTMP_LINK_TIMEOUT);
        }
    }

    ngx_mc_rtmp_link_post(link);
}


void
ngx_mc_rtmp_link_end(ngx_mc_rtmp_link_t *link, ngx_uint_t code,
    const char *why)
{
    ngx_mc_rtmp_link_t      *other;
    ngx_mc_rtmp_msg_text_t   msg;

    if (link->dead) {
        return;
    }

    link->dead = 1;
    link->ep = NULL;
    link->attach = 0;
    link->detach = 0;

    other = link->other;

    if (other) {
        link->other = NULL;
        other->other = NULL;

        ngx_mc_rtmp_link_is_closed(other, code, why);
    }

    if (link->c) {
        ngx_memzero(&msg, sizeof(ngx_mc_rtmp_msg_text_t));

        msg.code = code;
        ngx_cpystrn(msg.text, (u_char *) why, sizeof(msg.text));

        (void) ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_END, &msg,
                                    sizeof(ngx_mc_rtmp_msg_text_t), NULL, 0);

        if (ngx_queue_empty(&link->out)) {
            ngx_mc_rtmp_link_disconnect(link);

        } else {
            ngx_add_timer(link->c->write, NGX_MC_RTMP_LINK_TIMEOUT);
        }
    }

    ngx_mc_rtmp_link_post(link);
}


void
ngx_mc_rtmp_link_end_all(ngx_mc_endpoint_t *ep)
{
    ngx_queue_t         *q, *next;
    ngx_mc_rtmp_link_t  *link;

    for (q = ngx_queue_head(&ngx_mc_rtmp_links);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_links);
         q = next)
    {
        next = ngx_queue_next(q);
        link = ngx_queue_data(q, ngx_mc_rtmp_link_t, queue);

        if (link->ep == ep) {
            ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_LOST, "");
        }
    }
}


ngx_int_t
ngx_mc_rtmp_link_frame(ngx_mc_rtmp_link_t *link, ngx_mc_frame_t *frame)
{
    ngx_mc_rtmp_link_t  *other;

    if (!link->opened || link->dead) {
        return NGX_AGAIN;
    }

    other = link->other;

    if (other) {
        if (other->ep == NULL || other->detach) {
            return NGX_AGAIN;
        }

        ngx_mc_rtmp_source_frame(other->ep, other, frame);
        return NGX_OK;
    }

    return ngx_mc_rtmp_link_put_frame(link, frame);
}


void
ngx_mc_rtmp_link_send(ngx_mc_rtmp_link_t *link, ngx_mc_frame_t *frame)
{
    ngx_mc_rtmp_link_t  *other;

    if (link->dead || link->detach) {
        return;
    }

    other = link->other;

    if (other) {
        ngx_mc_rtmp_link_sending++;
        other->handlers->frame(other->data, frame);
        ngx_mc_rtmp_link_sending--;
        return;
    }

    (void) ngx_mc_rtmp_link_put_frame(link, frame);

    /* what a link that ends no longer takes is not counted: it is mostly that
       of a worker without players, which leaves */

    if (link->dropped && link->ep) {
        link->ep->stat->dropped_packets++;
        link->ep->stat->u.rtmp.dropped_frames++;
        link->dropped = 0;
    }
}


void
ngx_mc_rtmp_link_chunk_size(ngx_mc_rtmp_link_t *link, ngx_uint_t size)
{
    ngx_mc_rtmp_link_t      *other;
    ngx_mc_rtmp_msg_text_t   msg;

    other = link->other;

    if (other) {
        if (other->ep && !other->detach) {
            ngx_mc_rtmp_source_chunk_size(other->ep, other, size);
        }

        return;
    }

    /* a publisher may tell a new size before each message */

    if (link->queued > NGX_MC_RTMP_LINK_QUEUE) {
        return;
    }

    ngx_memzero(&msg, sizeof(ngx_mc_rtmp_msg_text_t));
    msg.code = size;

    (void) ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_CHUNK, &msg,
                                sizeof(ngx_mc_rtmp_msg_text_t), NULL, 0);
}


void
ngx_mc_rtmp_link_report(ngx_mc_rtmp_link_t *link, ngx_uint_t what,
    const char *fmt, ...)
{
    u_char                  *p;
    va_list                  args;
    ngx_mc_rtmp_link_t      *other;
    ngx_mc_rtmp_msg_text_t   msg;

    ngx_memzero(&msg, sizeof(ngx_mc_rtmp_msg_text_t));
    msg.code = what;

    va_start(args, fmt);
    p = ngx_vslprintf(msg.text, msg.text + sizeof(msg.text) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    other = link->other;

    if (other) {
        if (other->ep && !other->detach) {
            ngx_mc_rtmp_source_report(other->ep, other, what, msg.text);
        }

        return;
    }

    if (link->opened && link->queued < NGX_MC_RTMP_LINK_QUEUE) {
        (void) ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_REPORT, &msg,
                                    sizeof(ngx_mc_rtmp_msg_text_t), NULL, 0);
    }
}


void
ngx_mc_rtmp_link_peer_up(ngx_mc_rtmp_link_t *link, uint64_t id,
    ngx_str_t *address, uint64_t bytes, uint64_t messages, uint64_t dropped)
{
    ngx_mc_rtmp_msg_peer_t  peer;

    ngx_memzero(&peer, sizeof(ngx_mc_rtmp_msg_peer_t));
    peer.id = id;
    peer.bytes = bytes;
    peer.messages = messages;
    peer.dropped = dropped;
    ngx_cpystrn(peer.text, address->data,
                ngx_min(address->len + 1, sizeof(peer.text)));

    ngx_mc_rtmp_link_put_peer(link, NGX_MC_RTMP_MSG_PEER_UP, &peer);
}


void
ngx_mc_rtmp_link_peer_stat(ngx_mc_rtmp_link_t *link, uint64_t id,
    uint64_t bytes, uint64_t messages, uint64_t dropped)
{
    ngx_mc_rtmp_msg_peer_t  peer;

    ngx_memzero(&peer, sizeof(ngx_mc_rtmp_msg_peer_t));
    peer.id = id;
    peer.bytes = bytes;
    peer.messages = messages;
    peer.dropped = dropped;

    ngx_mc_rtmp_link_put_peer(link, NGX_MC_RTMP_MSG_PEER_STAT, &peer);
}


void
ngx_mc_rtmp_link_peer_down(ngx_mc_rtmp_link_t *link, uint64_t id,
    const char *why)
{
    ngx_mc_rtmp_msg_peer_t  peer;

    ngx_memzero(&peer, sizeof(ngx_mc_rtmp_msg_peer_t));
    peer.id = id;
    ngx_cpystrn(peer.text, (u_char *) why, sizeof(peer.text));

    ngx_mc_rtmp_link_put_peer(link, NGX_MC_RTMP_MSG_PEER_DOWN, &peer);
}


static void
ngx_mc_rtmp_link_put_peer(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_msg_peer_t *peer)
{
    if (link->dead) {
        return;
    }

    if (link->other) {
        if (link->other->ep && !link->other->detach) {
            (void) ngx_mc_rtmp_link_peer_message(link->other, type, peer);
        }

        return;
    }

    /* an owner that does not read: totals will come again, and players will
       once there is another link */

    if (link->queued > NGX_MC_RTMP_LINK_QUEUE) {

        if (type != NGX_MC_RTMP_MSG_PEER_STAT) {
            ngx_mc_rtmp_link_break(link);
        }

        return;
    }

    (void) ngx_mc_rtmp_link_put(link, type, peer,
                                sizeof(ngx_mc_rtmp_msg_peer_t), NULL, 0);
}


void
ngx_mc_rtmp_link_rejected(ngx_mc_rtmp_name_t *name, ngx_uint_t reason,
    ngx_str_t *peer, const char *fmt, ...)
{
    u_char               *p;
    va_list               args;
    ngx_pid_t             pid;
    ngx_mc_rtmp_link_t   *link;
    ngx_mc_rtmp_hello_t   hello;

    ngx_mc_rtmp_link_hello(&hello, name, peer);
    hello.reason = reason;

    va_start(args, fmt);
    p = ngx_vslprintf(hello.text, hello.text + sizeof(hello.text) - 1, fmt,
                      args);
    va_end(args);
    *p = '\0';

    pid = (ngx_pid_t) name->flow_stat->pid;

    if (pid == ngx_pid) {
        ngx_mc_rtmp_link_refusal(&hello);
        return;
    }

    link = pid ? ngx_mc_rtmp_link_create(0) : NULL;

    if (link == NULL) {
        return;
    }

    if (ngx_mc_rtmp_link_connect(link, pid) != NGX_OK) {
        ngx_mc_rtmp_link_free(link);
        return;
    }

    (void) ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_REJECTED, &hello,
                                sizeof(ngx_mc_rtmp_hello_t), NULL, 0);

    ngx_mc_rtmp_link_close(link);
}


void
ngx_mc_rtmp_link_set_data(ngx_mc_rtmp_link_t *link, void *data)
{
    link->owner_data = data;
}


void *
ngx_mc_rtmp_link_data(ngx_mc_rtmp_link_t *link)
{
    return link->owner_data;
}


int64_t
ngx_mc_rtmp_link_began(ngx_mc_rtmp_link_t *link)
{
    return link->hello.began;
}


size_t
ngx_mc_rtmp_link_queued(ngx_mc_rtmp_link_t *link)
{
    return link->queued;
}


socklen_t
ngx_mc_rtmp_link_sockaddr(u_char *text, ngx_sockaddr_t *addr)
{
    socklen_t    len;
    ngx_addr_t   a;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(512, ngx_cycle->log);
    if (pool == NULL) {
        return 0;
    }

    len = 0;
    ngx_memzero(&a, sizeof(ngx_addr_t));

    if (ngx_parse_addr_port(pool, &a, text, ngx_strlen(text)) == NGX_OK) {
        len = a.socklen;
        ngx_memcpy(addr, a.sockaddr, len);
    }

    ngx_destroy_pool(pool);

    return len;
}


static ngx_mc_rtmp_link_t *
ngx_mc_rtmp_link_create(ngx_uint_t owner)
{
    ngx_mc_rtmp_link_t  *link;

    link = ngx_calloc(sizeof(ngx_mc_rtmp_link_t), ngx_cycle->log);
    if (link == NULL) {
        return NULL;
    }

    link->owner = owner;

    ngx_queue_init(&link->out);
    ngx_queue_insert_tail(&ngx_mc_rtmp_links, &link->queue);

    return link;
}


static void
ngx_mc_rtmp_link_free(ngx_mc_rtmp_link_t *link)
{
    if (link->posted) {
        ngx_queue_remove(&link->post);
    }

    ngx_mc_rtmp_link_disconnect(link);

    /* not sooner: frames are read from it */

    if (link->buf) {
        ngx_free(link->buf);
    }

    ngx_queue_remove(&link->queue);
    ngx_free(link);
}


static void
ngx_mc_rtmp_link_hello(ngx_mc_rtmp_hello_t *hello, ngx_mc_rtmp_name_t *name,
    ngx_str_t *peer)
{
    ngx_memzero(hello, sizeof(ngx_mc_rtmp_hello_t));

    hello->version = NGX_MC_RTMP_LINK_VERSION;
    hello->direction = name->def.direction;
    hello->pipeline = name->def.pipeline;

    ngx_memcpy(hello->flow, name->flow.data,
               ngx_min(name->flow.len, NGX_MC_NAME_LEN));
    ngx_memcpy(hello->name, name->def.name.data,
               ngx_min(name->def.name.len, NGX_MC_NAME_LEN));

    if (peer) {
        ngx_memcpy(hello->peer, peer->data,
                   ngx_min(peer->len, NGX_MC_ADDR_LEN - 1));
    }
}


/* what is to be told, and the end of links */

static void
ngx_mc_rtmp_link_post(ngx_mc_rtmp_link_t *link)
{
    if (link->posted) {
        return;
    }

    link->posted = 1;
    ngx_queue_insert_tail(&ngx_mc_rtmp_link_posts, &link->post);

    ngx_mc_rtmp_link_event.handler = ngx_mc_rtmp_link_post_handler;
    ngx_mc_rtmp_link_event.log = ngx_cycle->log;

    ngx_post_event(&ngx_mc_rtmp_link_event, &ngx_posted_events);
}


static void
ngx_mc_rtmp_link_post_handler(ngx_event_t *ev)
{
    ngx_queue_t         *q;
    ngx_mc_rtmp_link_t  *link;

    while (!ngx_queue_empty(&ngx_mc_rtmp_link_posts)) {

        q = ngx_queue_head(&ngx_mc_rtmp_link_posts);
        ngx_queue_remove(q);

        link = ngx_queue_data(q, ngx_mc_rtmp_link_t, post);
        link->posted = 0;

        ngx_mc_rtmp_link_tell(link);
    }
}


static void
ngx_mc_rtmp_link_tell(ngx_mc_rtmp_link_t *link)
{
    if (link->broken) {
        link->broken = 0;
        ngx_mc_rtmp_link_disconnect(link);

        if (link->owner) {
            ngx_mc_rtmp_link_detach(link, link->why[0] ? (char *) link->why
                                          : "its worker has ended");

        } else if (!link->dead) {
            ngx_mc_rtmp_link_is_closed(link, NGX_MC_RTMP_LINK_LOST, "");
        }
    }

    if (link->attach) {
        link->attach = 0;
        ngx_mc_rtmp_link_attach(link);
    }

    if (link->detach) {
        ngx_mc_rtmp_link_detached(link);
    }

    if (link->tell_opened) {
        link->tell_opened = 0;

        if (link->handlers->opened) {
            link->handlers->opened(link->data);
        }
    }

    if (link->tell_closed) {
        link->tell_closed = 0;
        link->dead = 1;

        link->handlers->closed(link->data, link->code, link->why);
    }

    if (link->dead && link->c == NULL) {
        ngx_mc_rtmp_link_free(link);
    }
}


/* the session's side is to hear that it is over */

static void
ngx_mc_rtmp_link_is_closed(ngx_mc_rtmp_link_t *link, ngx_uint_t code,
    const char *why)
{
    if (link->dead || link->tell_closed) {
        return;
    }

    link->tell_opened = 0;
    link->opened = 0;

    /* sent to tell of a refusal only */
    if (link->handlers == NULL) {
        link->dead = 1;

    } else {
        link->tell_closed = 1;
        link->code = code;
        ngx_cpystrn(link->why, (u_char *) why, sizeof(link->why));
    }

    ngx_mc_rtmp_link_post(link);
}


/* the owner's side */

static void
ngx_mc_rtmp_link_attach(ngx_mc_rtmp_link_t *link)
{
    ngx_int_t             rc;
    ngx_mc_endpoint_t    *ep;
    ngx_mc_flow_entry_t  *entry;
    ngx_mc_generation_t  *gen;
    ngx_mc_rtmp_hello_t  *hello;

    hello = &link->hello;

    ep = ngx_mc_rtmp_listening(hello->flow, ngx_strlen(hello->flow),
                               hello->direction, hello->pipeline,
                               hello->name, ngx_strlen(hello->name));
    if (ep == NULL) {

        gen = ngx_mc_registry_current();

        entry = gen ? ngx_mc_registry_find(gen, hello->flow,
                                           ngx_strlen(hello->flow))
                    : NULL;

        if (entry
            && entry->stat->pid == (ngx_atomic_uint_t) ngx_pid
            && entry->stat->running == gen->number)
        {
            ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_REFUSED, "is stopped");

        } else {
            ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_LOST, "");
        }

        return;
    }

    link->ep = ep;

    if (hello->direction == NGX_MC_INPUT) {

        if (ngx_mc_rtmp_source_attach(ep, link, hello->peer) != NGX_OK) {
            return;
        }

        rc = ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_ACCEPT, NULL, 0, NULL,
                                  0);

    } else {

        /* frames may follow from within attach() */

        rc = ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_ACCEPT, NULL, 0, NULL,
                                  0);
        if (rc == NGX_OK
            && ngx_mc_rtmp_output_attach(ep, link) != NGX_OK)
        {
            return;
        }
    }

    if (rc == NGX_OK && link->other) {
        link->other->opened = 1;
        link->other->tell_opened = 1;
        ngx_mc_rtmp_link_post(link->other);
    }
}


static void
ngx_mc_rtmp_link_detach(ngx_mc_rtmp_link_t *link, const char *why)
{
    if (link->dead) {
        return;
    }

    ngx_cpystrn(link->why, (u_char *) why, sizeof(link->why));

    link->detach = 1;

    if (ngx_mc_rtmp_link_sending) {
        ngx_mc_rtmp_link_post(link);
        return;
    }

    ngx_mc_rtmp_link_detached(link);
}


static void
ngx_mc_rtmp_link_detached(ngx_mc_rtmp_link_t *link)
{
    ngx_mc_endpoint_t  *ep;

    ep = link->ep;

    if (ep) {
        if (link->hello.direction == NGX_MC_INPUT) {
            ngx_mc_rtmp_source_detach(ep, link, (char *) link->why);

        } else {
            ngx_mc_rtmp_output_detach(ep, link);
        }
    }

    link->ep = NULL;
    link->detach = 0;
    link->dead = 1;

    ngx_mc_rtmp_link_post(link);
}


/* connections */

static socklen_t
ngx_mc_rtmp_link_name(struct sockaddr_un *sun, ngx_pid_t pid)
{
    u_char             *p;
    ngx_atomic_uint_t   id;

    if (ngx_mc_registry->link_id == 0) {
        id = ((ngx_atomic_uint_t) ngx_random() << 32)
             ^ ((ngx_atomic_uint_t) ngx_random() << 8)
             ^ (ngx_atomic_uint_t) ngx_mc_now();

        (void) ngx_atomic_cmp_set(&ngx_mc_registry->link_id, 0, id | 1);
    }

    ngx_memzero(sun, sizeof(struct sockaddr_un));

    sun->sun_family = AF_UNIX;

    /* the zero before makes it abstract */

    p = ngx_slprintf((u_char *) sun->sun_path + 1,
                     (u_char *) sun->sun_path + sizeof(sun->sun_path),
                     "ngx_mc_rtmp.%xA.%P", ngx_mc_registry->link_id, pid);

    return p - (u_char *) sun;
}


static ngx_int_t
ngx_mc_rtmp_link_connect(ngx_mc_rtmp_link_t *link, ngx_pid_t pid)
{
    socklen_t           len;
    ngx_socket_t        fd;
    struct ucred        cred;
    struct sockaddr_un  sun;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_ERROR;
    }

    len = ngx_mc_rtmp_link_name(&sun, pid);

    /* an owner that is about to end, or just begins, is no error */

    if (connect(fd, (struct sockaddr *) &sun, len) == -1) {
        (void) close(fd);
        return NGX_ERROR;
    }

    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1
        || cred.pid != pid
        || cred.uid != geteuid())
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the socket of worker %P is another's", pid);
        (void) close(fd);
        return NGX_ERROR;
    }

    return ngx_mc_rtmp_link_connection(link, fd);
}


/* takes fd, closed if it fails */

static ngx_int_t
ngx_mc_rtmp_link_connection(ngx_mc_rtmp_link_t *link, ngx_socket_t fd)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->data = link;
    c->log = ngx_cycle->log;

    c->read->log = c->log;
    c->read->handler = ngx_mc_rtmp_link_read_handler;

    c->write->log = c->log;
    c->write->handler = ngx_mc_rtmp_link_write_handler;
    c->write->ready = 1;

    /* not a client's: see the exit of workers */
    c->read->channel = 1;
    c->read->cancelable = 1;
    c->write->cancelable = 1;

    link->c = c;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_mc_rtmp_link_disconnect(link);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_mc_rtmp_link_disconnect(ngx_mc_rtmp_link_t *link)
{
    ngx_queue_t          *q;
    ngx_mc_rtmp_block_t  *block;

    while (!ngx_queue_empty(&link->out)) {
        q = ngx_queue_head(&link->out);
        ngx_queue_remove(q);

        block = ngx_queue_data(q, ngx_mc_rtmp_block_t, queue);
        ngx_free(block);
    }

    link->queued = 0;

    if (link->c) {
        ngx_close_connection(link->c);
        link->c = NULL;
    }
}


/* from within calls that go on with the link */

static void
ngx_mc_rtmp_link_break(ngx_mc_rtmp_link_t *link)
{
    link->broken = 1;
    ngx_mc_rtmp_link_post(link);
}


static void
ngx_mc_rtmp_link_listen_handler(ngx_event_t *rev)
{
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    c = rev->data;

    if (c->close) {

        /* worker_shutdown_timeout: nginx-rtmp does not heed it */

        c->close = 0;
        ngx_mc_rtmp_publish_exit();
        return;
    }

    for ( ;; ) {
        fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == (ngx_socket_t) -1) {

            if (ngx_socket_errno == NGX_EINTR
                || ngx_socket_errno == ECONNABORTED)
            {
                continue;
            }

            if (ngx_socket_errno != NGX_EAGAIN) {
                ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_socket_errno,
                              "accept4() of another worker failed");
            }

            return;
        }

        ngx_mc_rtmp_link_accept(fd);
    }
}


static void
ngx_mc_rtmp_link_accept(ngx_socket_t fd)
{
    socklen_t            len;
    struct ucred         cred;
    ngx_mc_rtmp_link_t  *link;

    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1
        || cred.uid != geteuid())
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "a process of another user connected to a worker");
        (void) close(fd);
        return;
    }

    link = ngx_mc_rtmp_link_create(1);
    if (link == NULL) {
        (void) close(fd);
        return;
    }

    if (ngx_mc_rtmp_link_connection(link, fd) != NGX_OK) {
        ngx_mc_rtmp_link_free(link);
        return;
    }

    ngx_add_timer(link->c->read, NGX_MC_RTMP_LINK_TIMEOUT);
}


static void
ngx_mc_rtmp_link_read_handler(ngx_event_t *rev)
{
    size_t               total;
    ssize_t              n;
    ngx_err_t            err;
    ngx_connection_t    *c;
    ngx_mc_rtmp_link_t  *link;

    c = rev->data;
    link = c->data;

    if (rev->timedout) {
        rev->timedout = 0;
        ngx_mc_rtmp_link_break(link);
        return;
    }

    total = 0;

    for ( ;; ) {

        if (ngx_mc_rtmp_link_room(link) != NGX_OK) {
            ngx_mc_rtmp_link_break(link);
            return;
        }

        n = recv(c->fd, link->buf + link->end, link->size - link->end, 0);

        if (n == -1) {
            err = ngx_socket_errno;

            if (err == NGX_EINTR) {
                continue;
            }

            if (err == NGX_EAGAIN) {
                return;
            }

            ngx_mc_rtmp_link_break(link);
            return;
        }

        if (n == 0) {
            ngx_mc_rtmp_link_break(link);
            return;
        }

        if (link->dead) {
            /* waits to have its farewell taken */
            link->start = 0;
            link->end = 0;
            continue;
        }

        link->end += n;
        total += n;

        if (ngx_mc_rtmp_link_parse(link) != NGX_OK) {
            ngx_mc_rtmp_link_break(link);
            return;
        }

        if (link->c != c) {
            return;
        }

        if (total > NGX_MC_RTMP_LINK_PASS) {
            ngx_post_event(rev, &ngx_posted_next_events);
            return;
        }
    }
}


/* for the rest of the message that has begun, and some more */

static ngx_int_t
ngx_mc_rtmp_link_room(ngx_mc_rtmp_link_t *link)
{
    size_t             need, size;
    u_char            *buf;
    ngx_mc_rtmp_msg_t  msg;

    need = NGX_MC_RTMP_LINK_BUFFER;

    if (link->end - link->start >= sizeof(ngx_mc_rtmp_msg_t)) {
        ngx_memcpy(&msg, link->buf + link->start, sizeof(ngx_mc_rtmp_msg_t));
        need = ngx_max(need, msg.len);
    }

    if (link->buf && link->start == link->end) {
        link->start = 0;
        link->end = 0;
    }

    if (link->buf
        && link->size - link->start >= need
        && link->size - link->end >= 4096)
    {
        return NGX_OK;
    }

    if (link->buf && link->size >= need + 4096 && link->start) {
        ngx_memmove(link->buf, link->buf + link->start,
                    link->end - link->start);
        link->end -= link->start;
        link->start = 0;

        if (link->size - link->end >= 4096) {
            return NGX_OK;
        }
    }

    size = need + 65536;

    buf = ngx_alloc(size, ngx_cycle->log);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    if (link->buf) {
        ngx_memcpy(buf, link->buf + link->start, link->end - link->start);
        ngx_free(link->buf);
    }

    link->end -= link->start;
    link->start = 0;
    link->buf = buf;
    link->size = size;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_link_parse(ngx_mc_rtmp_link_t *link)
{
    u_char             *p;
    ngx_mc_rtmp_msg_t   msg;

    for ( ;; ) {

        if (link->end - link->start < sizeof(ngx_mc_rtmp_msg_t)) {
            return NGX_OK;
        }

        p = link->buf + link->start;
        ngx_memcpy(&msg, p, sizeof(ngx_mc_rtmp_msg_t));

        if (msg.len < sizeof(ngx_mc_rtmp_msg_t)
            || msg.len > NGX_MC_RTMP_MSG_MAX)
        {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                          "message of %uD bytes from another worker", msg.len);
            return NGX_ERROR;
        }

        if (link->end - link->start < msg.len) {
            return NGX_OK;
        }

        link->start += msg.len;

        if (ngx_mc_rtmp_link_message(link, msg.type,
                                     p + sizeof(ngx_mc_rtmp_msg_t),
                                     msg.len - sizeof(ngx_mc_rtmp_msg_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* it may have been ended meanwhile */

        if (link->dead || link->c == NULL) {
            link->start = 0;
            link->end = 0;
            return NGX_OK;
        }
    }
}


static ngx_int_t
ngx_mc_rtmp_link_message(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    u_char *data, size_t len)
{
    ngx_mc_frame_t           frame;
    ngx_mc_rtmp_msg_peer_t   peer;
    ngx_mc_rtmp_msg_text_t   text;
    ngx_mc_rtmp_msg_frame_t  mf;

    switch (type) {

    case NGX_MC_RTMP_MSG_HELLO:
    case NGX_MC_RTMP_MSG_REJECTED:

        if (!link->owner || link->ep || len != sizeof(ngx_mc_rtmp_hello_t)) {
            goto invalid;
        }

        ngx_memcpy(&link->hello, data, len);

        if (link->hello.version != NGX_MC_RTMP_LINK_VERSION) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "a worker of another version has an RTMP session");
            return NGX_ERROR;
        }

        if (link->c->read->timer_set) {
            ngx_del_timer(link->c->read);
        }

        link->hello.flow[NGX_MC_NAME_LEN] = '\0';
        link->hello.name[NGX_MC_NAME_LEN] = '\0';
        link->hello.peer[NGX_MC_ADDR_LEN - 1] = '\0';
        link->hello.text[NGX_MC_EVENT_MESSAGE_LEN - 1] = '\0';

        if (type == NGX_MC_RTMP_MSG_REJECTED) {
            ngx_mc_rtmp_link_refusal(&link->hello);
            return NGX_ERROR;
        }

        ngx_mc_rtmp_link_attach(link);
        return NGX_OK;

    case NGX_MC_RTMP_MSG_FRAME:

        if (len < sizeof(ngx_mc_rtmp_msg_frame_t)) {
            goto invalid;
        }

        ngx_memcpy(&mf, data, sizeof(ngx_mc_rtmp_msg_frame_t));

        if (mf.header > len - sizeof(ngx_mc_rtmp_msg_frame_t)) {
            goto invalid;
        }

        ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

        frame.tag = data + sizeof(ngx_mc_rtmp_msg_frame_t);
        frame.len = len - sizeof(ngx_mc_rtmp_msg_frame_t);
        frame.header = mf.header;
        frame.dts = mf.dts;
        frame.pts = mf.pts;
        frame.origin = mf.origin;
        frame.type = mf.type;
        frame.codec = mf.codec;
        frame.key = mf.key;
        frame.config = mf.config;
        frame.end = mf.end;
        frame.discontinuity = mf.discontinuity;

        if (!link->owner) {
            if (link->handlers) {
                link->handlers->frame(link->data, &frame);
            }

            return NGX_OK;
        }

        if (link->ep == NULL || link->hello.direction != NGX_MC_INPUT) {
            goto invalid;
        }

        if (mf.dropped) {
            link->ep->stat->dropped_packets += mf.dropped;
            link->ep->stat->u.rtmp.dropped_frames += mf.dropped;
        }

        ngx_mc_rtmp_source_frame(link->ep, link, &frame);
        return NGX_OK;

    case NGX_MC_RTMP_MSG_CHUNK:
    case NGX_MC_RTMP_MSG_REPORT:
    case NGX_MC_RTMP_MSG_END:

        if (len != sizeof(ngx_mc_rtmp_msg_text_t)) {
            goto invalid;
        }

        ngx_memcpy(&text, data, len);
        text.text[sizeof(text.text) - 1] = '\0';

        if (type == NGX_MC_RTMP_MSG_END) {

            if (link->owner) {
                ngx_mc_rtmp_link_detach(link, (char *) text.text);

            } else {
                ngx_mc_rtmp_link_is_closed(link, text.code,
                                           (char *) text.text);
            }

            ngx_mc_rtmp_link_disconnect(link);
            return NGX_OK;
        }

        if (link->ep == NULL || link->hello.direction != NGX_MC_INPUT) {
            goto invalid;
        }

        if (type == NGX_MC_RTMP_MSG_CHUNK) {
            ngx_mc_rtmp_source_chunk_size(link->ep, link, text.code);

        } else {
            ngx_mc_rtmp_source_report(link->ep, link, text.code, text.text);
        }

        return NGX_OK;

    case NGX_MC_RTMP_MSG_PEER_UP:
    case NGX_MC_RTMP_MSG_PEER_STAT:
    case NGX_MC_RTMP_MSG_PEER_DOWN:

        if (len != sizeof(ngx_mc_rtmp_msg_peer_t) || link->ep == NULL) {
            goto invalid;
        }

        ngx_memcpy(&peer, data, len);
        peer.text[sizeof(peer.text) - 1] = '\0';

        return ngx_mc_rtmp_link_peer_message(link, type, &peer);

    case NGX_MC_RTMP_MSG_ACCEPT:

        if (link->owner) {
            goto invalid;
        }

        link->opened = 1;
        link->tell_opened = 1;
        ngx_mc_rtmp_link_post(link);
        return NGX_OK;
    }

invalid:

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "unexpected message %ui of %uz bytes from another worker",
                  type, len);

    return NGX_ERROR;
}


static ngx_int_t
ngx_mc_rtmp_link_peer_message(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_msg_peer_t *peer)
{
    if (link->hello.direction != NGX_MC_OUTPUT) {
        return NGX_ERROR;
    }

    switch (type) {

    case NGX_MC_RTMP_MSG_PEER_UP:
        ngx_mc_rtmp_output_peer_up(link->ep, link, peer->id, peer->text,
                                   peer->bytes, peer->messages,
                                   peer->dropped);
        break;

    case NGX_MC_RTMP_MSG_PEER_STAT:
        ngx_mc_rtmp_output_peer_stat(link->ep, link, peer->id, peer->bytes,
                                     peer->messages, peer->dropped);
        break;

    default: /* NGX_MC_RTMP_MSG_PEER_DOWN */
        ngx_mc_rtmp_output_peer_down(link->ep, link, peer->id,
                                     (char *) peer->text);
        break;
    }

    return NGX_OK;
}


/* another worker, or this one, has refused somebody */

static void
ngx_mc_rtmp_link_refusal(ngx_mc_rtmp_hello_t *hello)
{
    socklen_t           len;
    ngx_sockaddr_t      addr;
    ngx_mc_endpoint_t  *ep;

    ep = ngx_mc_rtmp_listening(hello->flow, ngx_strlen(hello->flow),
                               hello->direction, hello->pipeline,
                               hello->name, ngx_strlen(hello->name));

    if (ep == NULL || hello->reason >= NGX_MC_REJECTED_N) {
        return;
    }

    len = ngx_mc_rtmp_link_sockaddr(hello->peer, &addr);

    ngx_mc_endpoint_rejected(ep, hello->reason, 1,
                             len ? &addr.sockaddr : NULL, len, "%s",
                             hello->text);
}


/* frames are queued whole or not at all, and after a gap from a key frame on;
   what decoders need to begin is small, and always queued */

static ngx_int_t
ngx_mc_rtmp_link_put_frame(ngx_mc_rtmp_link_t *link, ngx_mc_frame_t *frame)
{
    ngx_uint_t               video, must;
    ngx_mc_rtmp_msg_frame_t  mf;

    must = (frame->config || frame->end || frame->type == NGX_MC_FRAME_META);
    video = (frame->type == NGX_MC_FRAME_VIDEO);

    if (video && !must) {
        link->video = 1;
    }

    if (!must) {
        if (link->dropping) {
            if (link->queued > NGX_MC_RTMP_LINK_QUEUE / 2
                || (link->video && !(video && frame->key)))
            {
                goto drop;
            }

            link->dropping = 0;

        } else if (link->queued + frame->len > NGX_MC_RTMP_LINK_QUEUE
                   && link->queued)
        {
            link->dropping = 1;
            goto drop;
        }

    } else if (link->queued > 2 * NGX_MC_RTMP_LINK_QUEUE) {
        ngx_mc_rtmp_link_break(link);
        return NGX_AGAIN;
    }

    ngx_memzero(&mf, sizeof(ngx_mc_rtmp_msg_frame_t));

    mf.dts = frame->dts;
    mf.pts = frame->pts;
    mf.origin = frame->origin;
    mf.header = frame->header;
    mf.dropped = link->dropped;
    mf.type = frame->type;
    mf.codec = frame->codec;
    mf.key = frame->key;
    mf.config = frame->config;
    mf.end = frame->end;
    mf.discontinuity = frame->discontinuity | link->discontinuity;

    if (ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_FRAME, &mf, sizeof(mf),
                             frame->tag, frame->len)
        != NGX_OK)
    {
        return NGX_AGAIN;
    }

    link->dropped = 0;
    link->discontinuity = 0;

    return NGX_OK;

drop:

    link->dropped++;
    link->discontinuity |= frame->discontinuity;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_mc_rtmp_link_put(ngx_mc_rtmp_link_t *link, ngx_uint_t type, void *data,
    size_t len, u_char *tail, size_t tail_len)
{
    u_char               *p;
    size_t                size, skip, part;
    ssize_t               n;
    ngx_uint_t            i;
    struct iovec          iov[3];
    ngx_mc_rtmp_msg_t     msg;
    ngx_mc_rtmp_block_t  *block;

    if (link->c == NULL || link->broken) {
        return link->other ? NGX_OK : NGX_ERROR;
    }

    size = sizeof(ngx_mc_rtmp_msg_t) + len + tail_len;

    if (size > NGX_MC_RTMP_MSG_MAX) {
        return NGX_ERROR;
    }

    msg.len = size;
    msg.type = type;

    iov[0].iov_base = &msg;
    iov[0].iov_len = sizeof(ngx_mc_rtmp_msg_t);
    iov[1].iov_base = data;
    iov[1].iov_len = len;
    iov[2].iov_base = tail;
    iov[2].iov_len = tail_len;

    n = 0;

    if (ngx_queue_empty(&link->out)) {

        do {
            n = writev(link->c->fd, iov, 3);
        } while (n == -1 && ngx_errno == NGX_EINTR);

        if (n == -1) {
            if (ngx_errno != NGX_EAGAIN) {
                ngx_mc_rtmp_link_break(link);
                return NGX_ERROR;
            }

            n = 0;
        }

        if ((size_t) n == size) {
            return NGX_OK;
        }

        link->c->write->ready = 0;
    }

    block = ngx_alloc(offsetof(ngx_mc_rtmp_block_t, data) + size - n,
                      ngx_cycle->log);
    if (block == NULL) {
        ngx_mc_rtmp_link_break(link);
        return NGX_ERROR;
    }

    p = block->data;
    skip = n;

    for (i = 0; i < 3; i++) {
        part = ngx_min(skip, iov[i].iov_len);
        skip -= part;

        if (part == iov[i].iov_len) {
            /* NULL, maybe */
            continue;
        }

        p = ngx_cpymem(p, (u_char *) iov[i].iov_base + part,
                       iov[i].iov_len - part);
    }

    block->pos = 0;
    block->len = size - n;

    ngx_queue_insert_tail(&link->out, &block->queue);
    link->queued += block->len;

    if (ngx_handle_write_event(link->c->write, 0) != NGX_OK) {
        ngx_mc_rtmp_link_break(link);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_mc_rtmp_link_write_handler(ngx_event_t *wev)
{
    ssize_t               n;
    ngx_uint_t            i;
    ngx_queue_t          *q;
    struct iovec          iov[NGX_MC_RTMP_LINK_IOVS];
    ngx_connection_t     *c;
    ngx_mc_rtmp_link_t   *link;
    ngx_mc_rtmp_block_t  *block;

    c = wev->data;
    link = c->data;

    if (wev->timedout) {
        wev->timedout = 0;
        ngx_mc_rtmp_link_break(link);
        return;
    }

    while (!ngx_queue_empty(&link->out)) {

        i = 0;

        for (q = ngx_queue_head(&link->out);
             q != ngx_queue_sentinel(&link->out) && i < NGX_MC_RTMP_LINK_IOVS;
             q = ngx_queue_next(q))
        {
            block = ngx_queue_data(q, ngx_mc_rtmp_block_t, queue);
            iov[i].iov_base = block->data + block->pos;
            iov[i].iov_len = block->len - block->pos;
            i++;
        }

        n = writev(c->fd, iov, i);

        if (n == -1) {

            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            if (ngx_errno == NGX_EAGAIN) {
                wev->ready = 0;

                if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                    ngx_mc_rtmp_link_break(link);
                }

                return;
            }

            ngx_mc_rtmp_link_break(link);
            return;
        }

        link->queued -= n;

        while (n > 0) {
            q = ngx_queue_head(&link->out);
            block = ngx_queue_data(q, ngx_mc_rtmp_block_t, queue);

            if ((size_t) n < block->len - block->pos) {
                block->pos += n;
                break;
            }

            n -= block->len - block->pos;
            ngx_queue_remove(q);
            ngx_free(block);
        }
    }

    if (link->dead) {
        ngx_mc_rtmp_link_disconnect(link);
        ngx_mc_rtmp_link_post(link);
    }
}


ngx_int_t
ngx_mc_rtmp_link_process(ngx_cycle_t *cycle)
{
    socklen_t           len;
    ngx_socket_t        fd;
    ngx_connection_t   *c;
    struct sockaddr_un  sun;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_ERROR;
    }

    len = ngx_mc_rtmp_link_name(&sun, ngx_pid);

    if (bind(fd, (struct sockaddr *) &sun, len) == -1
        || listen(fd, NGX_MC_RTMP_LINK_BACKLOG) == -1)
    {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_socket_errno,
                      "bind() of a worker's socket failed");
        (void) close(fd);
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, cycle->log);
    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->log = cycle->log;
    c->read->log = cycle->log;
    c->read->handler = ngx_mc_rtmp_link_listen_handler;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_close_connection(c);
        return NGX_ERROR;
    }

    ngx_mc_rtmp_link_listener = c;

    return NGX_OK;
}


void
ngx_mc_rtmp_link_exit(ngx_cycle_t *cycle)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&ngx_mc_rtmp_links)) {
        q = ngx_queue_head(&ngx_mc_rtmp_links);
        ngx_mc_rtmp_link_free(ngx_queue_data(q, ngx_mc_rtmp_link_t, queue));
    }

    if (ngx_mc_rtmp_link_listener) {
        ngx_close_connection(ngx_mc_rtmp_link_listener);
        ngx_mc_rtmp_link_listener = NULL;
    }
}
