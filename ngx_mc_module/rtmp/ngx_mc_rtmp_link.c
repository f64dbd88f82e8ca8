
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_link.h>


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
 */


static void ngx_mc_rtmp_link_farewell(ngx_mc_rtmp_link_t *link,
    ngx_uint_t code, const char *why);
static void ngx_mc_rtmp_link_tell_peer(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, ngx_mc_rtmp_msg_peer_t *peer);
static void ngx_mc_rtmp_link_hello(ngx_mc_rtmp_hello_t *hello,
    ngx_mc_rtmp_name_t *name, ngx_str_t *peer);
static void ngx_mc_rtmp_link_post_handler(ngx_event_t *ev);
static void ngx_mc_rtmp_link_tell(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_detached(ngx_mc_rtmp_link_t *link);


static ngx_queue_t  ngx_mc_rtmp_links = {
    &ngx_mc_rtmp_links, &ngx_mc_rtmp_links
};

static ngx_queue_t  ngx_mc_rtmp_link_posts = {
    &ngx_mc_rtmp_link_posts, &ngx_mc_rtmp_link_posts
};

static ngx_event_t  ngx_mc_rtmp_link_event;

/* the owner is passing a frame on: it must not be called back */
static ngx_uint_t   ngx_mc_rtmp_link_sending;


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

    (void) ngx_mc_rtmp_link_put_hello(link, NGX_MC_RTMP_MSG_HELLO,
                                      &link->hello);

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
    ngx_mc_rtmp_link_t  *other;

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

    ngx_mc_rtmp_link_farewell(link, 0, why);
}


void
ngx_mc_rtmp_link_end(ngx_mc_rtmp_link_t *link, ngx_uint_t code,
    const char *why)
{
    ngx_mc_rtmp_link_t  *other;

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

    ngx_mc_rtmp_link_farewell(link, code, why);
}


/* a connection that just ends is a worker that died */

static void
ngx_mc_rtmp_link_farewell(ngx_mc_rtmp_link_t *link, ngx_uint_t code,
    const char *why)
{
    if (link->c) {
        (void) ngx_mc_rtmp_link_put_text(link, NGX_MC_RTMP_MSG_END, code, why);

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
    ngx_mc_rtmp_link_t  *other;

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

    (void) ngx_mc_rtmp_link_put_text(link, NGX_MC_RTMP_MSG_CHUNK, size, "");
}


void
ngx_mc_rtmp_link_report(ngx_mc_rtmp_link_t *link, ngx_uint_t what,
    const char *fmt, ...)
{
    u_char              *p;
    va_list              args;
    ngx_mc_rtmp_link_t  *other;
    u_char               text[NGX_MC_EVENT_MESSAGE_LEN];

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + sizeof(text) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    other = link->other;

    if (other) {
        if (other->ep && !other->detach) {
            ngx_mc_rtmp_source_report(other->ep, other, what, text);
        }

        return;
    }

    if (link->opened && link->queued < NGX_MC_RTMP_LINK_QUEUE) {
        (void) ngx_mc_rtmp_link_put_text(link, NGX_MC_RTMP_MSG_REPORT, what,
                                         (char *) text);
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

    ngx_mc_rtmp_link_tell_peer(link, NGX_MC_RTMP_MSG_PEER_UP, &peer);
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

    ngx_mc_rtmp_link_tell_peer(link, NGX_MC_RTMP_MSG_PEER_STAT, &peer);
}


void
ngx_mc_rtmp_link_peer_down(ngx_mc_rtmp_link_t *link, uint64_t id,
    const char *why)
{
    ngx_mc_rtmp_msg_peer_t  peer;

    ngx_memzero(&peer, sizeof(ngx_mc_rtmp_msg_peer_t));
    peer.id = id;
    ngx_cpystrn(peer.text, (u_char *) why, sizeof(peer.text));

    ngx_mc_rtmp_link_tell_peer(link, NGX_MC_RTMP_MSG_PEER_DOWN, &peer);
}


static void
ngx_mc_rtmp_link_tell_peer(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_msg_peer_t *peer)
{
    if (link->dead) {
        return;
    }

    if (link->other) {
        if (link->other->ep && !link->other->detach) {
            (void) ngx_mc_rtmp_link_peer(link->other, type, peer);
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

    (void) ngx_mc_rtmp_link_put_peer(link, type, peer);
}


/* of a player, whichever way it came */

ngx_int_t
ngx_mc_rtmp_link_peer(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
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

    (void) ngx_mc_rtmp_link_put_hello(link, NGX_MC_RTMP_MSG_REJECTED, &hello);

    ngx_mc_rtmp_link_close(link);
}


/* another worker, or this one, has refused somebody */

void
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


ngx_mc_rtmp_link_t *
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


void
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

void
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

void
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

void
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

        rc = ngx_mc_rtmp_link_put_accept(link);

    } else {

        /* frames may follow from within attach() */

        rc = ngx_mc_rtmp_link_put_accept(link);
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


void
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


/* from within calls that go on with the link */

void
ngx_mc_rtmp_link_break(ngx_mc_rtmp_link_t *link)
{
    link->broken = 1;
    ngx_mc_rtmp_link_post(link);
}


void
ngx_mc_rtmp_link_exit(ngx_cycle_t *cycle)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&ngx_mc_rtmp_links)) {
        q = ngx_queue_head(&ngx_mc_rtmp_links);
        ngx_mc_rtmp_link_free(ngx_queue_data(q, ngx_mc_rtmp_link_t, queue));
    }

    ngx_mc_rtmp_link_unlisten();
}
