
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_publish.h>
#include <ngx_mc_rtmp_key.h>
#include <ngx_rtmp_live_module.h>
#include <openssl/crypto.h>


/*
 * Publishers, in the process that nginx-rtmp has accepted them in.
 *
 * Who may publish is decided here, by the definitions of the current
 * generation; whether nobody else does, by the owner of the flow, over a link.
 * Until it has answered, "publish" is not passed on to nginx-rtmp, so that
 * encoders hear a plain yes or no.  A session then stays while its flow moves
 * or is opened anew: it looks for the owner again, and gives it the decoder
 * configuration and what follows from the next key frame on.
 */


/* ms */
#define NGX_MC_RTMP_PUBLISH_RETRY  50
#define NGX_MC_RTMP_SECOND         1000

/* how long an encoder waits for an owner of the flow */
#define NGX_MC_RTMP_PATIENCE       10000

/* a session that was refused: time to read why */
#define NGX_MC_RTMP_LINGER         500

/* another stream begins where timestamps jump by more, ms */
#define NGX_MC_RTMP_JUMP           10000

/* kept from one message to the next */
#define NGX_MC_RTMP_BUFFER         (1024 * 1024)


typedef struct {
    ngx_queue_t              queue;
    ngx_rtmp_session_t      *session;
    ngx_rtmp_publish_pt      next;
    ngx_rtmp_publish_t      *v;                /* until it is passed on */

    ngx_mc_rtmp_link_t      *link;             /* NULL: to be opened */
    ngx_event_t              timer;
    ngx_msec_t               lost;             /* since when there is none */

    uint32_t                 generation;       /* that let it publish */
    ngx_str_t                app;
    ngx_str_t                stream;
    ngx_str_t                flow;             /* and which source of it */
    ngx_str_t                name;
    ngx_uint_t               pipeline;
    u_char                   peer[NGX_MC_ADDR_LEN];
    u_char                   key[SHA256_DIGEST_LENGTH];

    int64_t                  began;            /* us */

    int64_t                  last;             /* ms, newest timestamp */
    ngx_mc_frame_headers_t   headers;
    ngx_uint_t               chunk_size;       /* that the owner knows */
    uint64_t                 told;             /* codecs, as bits */

    unsigned                 refused:1;        /* lingers */
    unsigned                 has_key:1;
    unsigned                 accepted:1;       /* once */
    unsigned                 opened:1;         /* the link is */
    unsigned                 timed:1;          /* "last" is set */
    unsigned                 discontinuity:1;
    unsigned                 video:1;          /* there is any */
    unsigned                 wait_key:1;
} ngx_mc_rtmp_publisher_t;


static ngx_int_t ngx_mc_rtmp_publish_find(ngx_rtmp_session_t *s,
    ngx_rtmp_publish_t *v, ngx_str_t *stream, ngx_str_t *peer,
    ngx_mc_rtmp_name_t **found);
static ngx_int_t ngx_mc_rtmp_publish_begin(ngx_mc_rtmp_publisher_t *p,
    ngx_rtmp_publish_t *v, ngx_str_t *stream, ngx_mc_rtmp_name_t *name);
static ngx_mc_rtmp_publisher_t *ngx_mc_rtmp_publish_create(
    ngx_rtmp_session_t *s);
static const char *ngx_mc_rtmp_publish_check(ngx_mc_rtmp_publisher_t *p,
    ngx_mc_rtmp_name_t *name);
static const char *ngx_mc_rtmp_publish_reason(ngx_mc_rtmp_publisher_t *p,
    ngx_mc_rtmp_name_t *name, ngx_uint_t *reason);
static ngx_int_t ngx_mc_rtmp_publish_is(ngx_mc_rtmp_publisher_t *p,
    ngx_mc_rtmp_name_t *name);
static ngx_int_t ngx_mc_rtmp_publish_set(ngx_mc_rtmp_publisher_t *p,
    ngx_mc_rtmp_name_t *name);
static ngx_int_t ngx_mc_rtmp_publish_refuse(ngx_rtmp_session_t *s, char *code,
    ngx_str_t *name, const char *why);
static void ngx_mc_rtmp_publish_end(ngx_mc_rtmp_publisher_t *p, char *code,
    const char *why);
static void ngx_mc_rtmp_publish_close(ngx_mc_rtmp_publisher_t *p);
static void ngx_mc_rtmp_publish_timer(ngx_event_t *ev);
static ngx_int_t ngx_mc_rtmp_publish_review(ngx_mc_rtmp_publisher_t *p);
static void ngx_mc_rtmp_publish_connect(ngx_mc_rtmp_publisher_t *p);
static void ngx_mc_rtmp_publish_opened(void *data);
static ngx_int_t ngx_mc_rtmp_publish_pass(ngx_mc_rtmp_publisher_t *p);
static void ngx_mc_rtmp_publish_closed(void *data, ngx_uint_t code,
    u_char *why);
static void ngx_mc_rtmp_publish_header(ngx_mc_rtmp_publisher_t *p,
    ngx_mc_frame_t *header);
static u_char *ngx_mc_rtmp_publish_whole(ngx_chain_t *in, size_t *len);
static int64_t ngx_mc_rtmp_publish_time(ngx_mc_rtmp_publisher_t *p,
    ngx_uint_t type, uint32_t timestamp, ngx_uint_t clock);


static ngx_mc_rtmp_link_handlers_t  ngx_mc_rtmp_publish_handlers = {
    NULL,
    ngx_mc_rtmp_publish_closed,
    ngx_mc_rtmp_publish_opened
};


static ngx_queue_t  ngx_mc_rtmp_publishers = {
    &ngx_mc_rtmp_publishers, &ngx_mc_rtmp_publishers
};

static u_char      *ngx_mc_rtmp_buffer;
static size_t       ngx_mc_rtmp_buffer_size;


ngx_int_t
ngx_mc_rtmp_publish_hook(ngx_rtmp_session_t *s, ngx_rtmp_publish_t *v,
    ngx_rtmp_publish_pt next)
{
    size_t                    n;
    ngx_int_t                 rc;
    ngx_str_t                 stream, peer;
    ngx_uint_t                has_key;
    const char               *why;
    ngx_mc_rtmp_name_t       *name;
    ngx_mc_rtmp_publisher_t  *p;
    u_char                    text[NGX_MC_ADDR_LEN];
    u_char                    key[SHA256_DIGEST_LENGTH];

    has_key = (ngx_mc_rtmp_key_take(s, key) == NGX_OK);

    if (s->relay) {

        /* "pull", which the configuration asks for: it has neither an address
           nor the name of its application */

        return NGX_DECLINED;
    }

    stream.data = v->name;
    stream.len = ngx_strlen(v->name);

    /* a proxy tells the address alone to nginx-rtmp */

    n = ngx_sock_ntop(s->connection->sockaddr, s->connection->socklen, text,
                      NGX_MC_ADDR_LEN - 1,
                      ngx_inet_get_port(s->connection->sockaddr) != 0);
    peer.data = text;
    peer.len = n;

    rc = ngx_mc_rtmp_publish_find(s, v, &stream, &peer, &name);

    if (rc != NGX_OK || name == NULL) {
        return rc;
    }

    p = ngx_mc_rtmp_publish_create(s);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p->peer, text, n);
    p->peer[n] = '\0';

    if (has_key) {
        ngx_memcpy(p->key, key, SHA256_DIGEST_LENGTH);
        p->has_key = 1;
    }

    why = ngx_mc_rtmp_publish_check(p, name);

    if (why) {
        ngx_mc_rtmp_publish_gone(s);
        return ngx_mc_rtmp_publish_refuse(s, "NetStream.Publish.Denied",
                                          &stream, why);
    }

    p->next = next;

    return ngx_mc_rtmp_publish_begin(p, v, &stream, name);
}


/* the source that is meant; NULL: there is none, and the peer was refused.
   NGX_DECLINED: the name is not ours */

static ngx_int_t
ngx_mc_rtmp_publish_find(ngx_rtmp_session_t *s, ngx_rtmp_publish_t *v,
    ngx_str_t *stream, ngx_str_t *peer, ngx_mc_rtmp_name_t **found)
{
    ngx_uint_t           ours;
    ngx_mc_rtmp_ctx_t   *ctx;
    ngx_mc_rtmp_name_t  *name;

    *found = NULL;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);
    ours = (ctx && ctx->data);

    if (ngx_mc_rtmp_table_ready() != NGX_OK) {

        /* else anybody could publish what has a key */

        return ours ? NGX_ERROR
                    : ngx_mc_rtmp_publish_refuse(s, "NetStream.Publish.Denied",
                                                 stream, "is not known now");
    }

    if (ngx_mc_rtmp_table_app(&s->app, NGX_MC_INPUT)) {

        /* one session, one stream */

        if (ours) {
            return NGX_ERROR;
        }

        ngx_mc_rtmp_key_cut(v->args);
    }

    name = ngx_mc_rtmp_table_find(&s->app, stream, NGX_MC_INPUT);

    if (name) {
        *found = name;
        return NGX_OK;
    }

    name = ngx_mc_rtmp_table_find(&s->app, stream, NGX_MC_OUTPUT);

    if (name) {

        /* a player, or refused already, in an application without sources:
           what it was still is in use */

        if (ours) {
            return NGX_ERROR;
        }

        ngx_mc_rtmp_link_rejected(name, NGX_MC_REJECTED_BUSY, peer,
                                  "a publisher of this output's name");
        return ngx_mc_rtmp_publish_refuse(s, "NetStream.Publish.BadName",
                                          stream, "is for players only");
    }

    name = ngx_mc_rtmp_table_app(&s->app, NGX_MC_INPUT);

    if (name == NULL) {
        return NGX_DECLINED;
    }

    /* nor is the name shown: it may be a key, in the wrong field */

    ngx_mc_rtmp_link_rejected(name, NGX_MC_REJECTED_STREAMID, peer,
                              "no source has the name");
    return ngx_mc_rtmp_publish_refuse(s, "NetStream.Publish.BadName", stream,
                                      "is not known");
}


static ngx_int_t
ngx_mc_rtmp_publish_begin(ngx_mc_rtmp_publisher_t *p, ngx_rtmp_publish_t *v,
    ngx_str_t *stream, ngx_mc_rtmp_name_t *name)
{
    ngx_pool_t          *pool;
    ngx_rtmp_session_t  *s;

    s = p->session;
    pool = s->connection->pool;

    p->v = ngx_palloc(pool, sizeof(ngx_rtmp_publish_t));
    if (p->v == NULL) {
        return NGX_ERROR;
    }

    *p->v = *v;
    p->began = ngx_mc_now();

    p->app.len = s->app.len;
    p->app.data = ngx_pstrdup(pool, &s->app);
    p->stream.len = stream->len;
    p->stream.data = ngx_pstrdup(pool, stream);

    if (p->app.data == NULL || p->stream.data == NULL
        || ngx_mc_rtmp_publish_set(p, name) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p->lost = ngx_current_msec;

    ngx_mc_rtmp_publish_connect(p);

    return NGX_OK;
}


static ngx_mc_rtmp_publisher_t *
ngx_mc_rtmp_publish_create(ngx_rtmp_session_t *s)
{
    ngx_mc_rtmp_ctx_t        *ctx;
    ngx_mc_rtmp_publisher_t  *p;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(s->connection->pool, sizeof(ngx_mc_rtmp_ctx_t));
        if (ctx == NULL) {
            return NULL;
        }

        ngx_rtmp_set_ctx(s, ctx, ngx_mc_rtmp_hooks_module);

    } else if (ctx->data) {

        /* it plays, or lingers: what is in lists and has timers is not to be
           forgotten before the session ends */

        return NULL;
    }

    p = ngx_pcalloc(s->connection->pool, sizeof(ngx_mc_rtmp_publisher_t));
    if (p == NULL) {
        return NULL;
    }

    p->session = s;

    /* not cancelable: it is a timer that keeps an exiting worker alive */

    p->timer.handler = ngx_mc_rtmp_publish_timer;
    p->timer.data = p;
    p->timer.log = s->connection->log;

    ctx->role = NGX_MC_RTMP_PUBLISHER;
    ctx->data = p;

    ngx_queue_insert_tail(&ngx_mc_rtmp_publishers, &p->queue);

    return p;
}


/* may it publish, by this definition: NULL, or why not, which the flow's
   record has then */

static const char *
ngx_mc_rtmp_publish_check(ngx_mc_rtmp_publisher_t *p, ngx_mc_rtmp_name_t *name)
{
    ngx_str_t    peer;
    ngx_uint_t   reason;
    const char  *why;

    why = ngx_mc_rtmp_publish_reason(p, name, &reason);

    if (why && reason < NGX_MC_REJECTED_N) {
        peer.data = p->peer;
        peer.len = ngx_strlen(p->peer);

        ngx_mc_rtmp_link_rejected(name, reason, &peer, "%s", why);
    }

    return why;
}


/* *reason: NGX_MC_REJECTED_N, it is not a rejection that is counted */

static const char *
ngx_mc_rtmp_publish_reason(ngx_mc_rtmp_publisher_t *p,
    ngx_mc_rtmp_name_t *name, ngx_uint_t *reason)
{
    u_char             hash[SHA256_DIGEST_LENGTH];
    ngx_str_t         *key;
    ngx_connection_t  *c;

    c = p->session->connection;

    /* behind "listen ... proxy_protocol" it is the address from that */

    if (ngx_mc_access(name->def.params.allow, c->sockaddr) != NGX_OK) {
        *reason = NGX_MC_REJECTED_ADDRESS;
        return "is not for this address";
    }

    key = &name->def.params.key;

    if (key->len) {

        ngx_mc_rtmp_key_hash(key->data, key->len, hash);

        if (p->accepted
            && ngx_mc_rtmp_publish_is(p, name)
            && name->def.params.rekey != NGX_MC_REKEY_DISCONNECT)
        {
            /* it was let in with the key before, and so has this one */

            ngx_memcpy(p->key, hash, SHA256_DIGEST_LENGTH);
            p->has_key = 1;
        }

        /* digests: the time does not tell the length either */

        if (!p->has_key
            || CRYPTO_memcmp(hash, p->key, SHA256_DIGEST_LENGTH) != 0)
        {
            *reason = NGX_MC_REJECTED_KEY;
            return p->has_key ? "has another key" : "needs a key";
        }
    }

    if (name->stopped || name->def.off) {
        *reason = NGX_MC_REJECTED_N;
        return "is stopped";
    }

    return NULL;
}


static ngx_int_t
ngx_mc_rtmp_publish_is(ngx_mc_rtmp_publisher_t *p, ngx_mc_rtmp_name_t *name)
{
    return p->pipeline == name->def.pipeline
           && p->flow.len == name->flow.len
           && ngx_strncmp(p->flow.data, name->flow.data, p->flow.len) == 0
           && p->name.len == name->def.name.len
           && ngx_strncmp(p->name.data, name->def.name.data, p->name.len) == 0;
}


static ngx_int_t
ngx_mc_rtmp_publish_set(ngx_mc_rtmp_publisher_t *p, ngx_mc_rtmp_name_t *name)
{
    ngx_pool_t  *pool;

    pool = p->session->connection->pool;

    p->generation = ngx_mc_registry->generation;
    p->pipeline = name->def.pipeline;

    p->flow.len = name->flow.len;
    p->flow.data = ngx_pstrdup(pool, &name->flow);
    p->name.len = name->def.name.len;
    p->name.data = ngx_pstrdup(pool, &name->def.name);

    return (p->flow.data && p->name.data) ? NGX_OK : NGX_ERROR;
}


/* tells why, and leaves the peer some time to read it: closed at once, with
   something of it unread, the connection would be reset */

static ngx_int_t
ngx_mc_rtmp_publish_refuse(ngx_rtmp_session_t *s, char *code, ngx_str_t *name,
    const char *why)
{
    u_char                   *last, text[NGX_MC_EVENT_MESSAGE_LEN];
    ngx_mc_rtmp_publisher_t  *p;

    last = ngx_slprintf(text, text + sizeof(text) - 1, "\"%V\" %s", name, why);
    *last = '\0';

    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "publisher refused: %s", text);

    if (ngx_rtmp_send_status(s, code, "error", (char *) text) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_mc_rtmp_publish_create(s);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p->refused = 1;
    p->timer.cancelable = 1;
    ngx_add_timer(&p->timer, NGX_MC_RTMP_LINGER);

    return NGX_OK;
}


/* a publisher that was there: what nginx-rtmp knows of it goes first, another
   may be about to take its place */

static void
ngx_mc_rtmp_publish_end(ngx_mc_rtmp_publisher_t *p, char *code,
    const char *why)
{
    ngx_str_t                 stream;
    ngx_uint_t                accepted;
    ngx_rtmp_session_t       *s;
    ngx_rtmp_close_stream_t   v;

    s = p->session;
    stream = p->stream;
    accepted = p->accepted;

    ngx_mc_rtmp_publish_gone(s);

    if (s->connection->destroyed) {
        return;
    }

    if (accepted) {
        ngx_memzero(&v, sizeof(ngx_rtmp_close_stream_t));
        (void) ngx_rtmp_close_stream(s, &v);
    }

    if (ngx_mc_rtmp_publish_refuse(s, code, &stream, why) != NGX_OK) {
        ngx_rtmp_finalize_session(s);
    }
}


void
ngx_mc_rtmp_publish_gone(ngx_rtmp_session_t *s)
{
    ngx_mc_rtmp_ctx_t        *ctx;
    ngx_mc_rtmp_publisher_t  *p;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);
    p = ctx->data;

    if (p->refused && !s->connection->destroyed) {
        /* it closes its stream, and lingers on */
        return;
    }

    ctx->data = NULL;

    ngx_queue_remove(&p->queue);

    if (p->timer.timer_set) {
        ngx_del_timer(&p->timer);
    }

    if (p->link) {
        ngx_mc_rtmp_publish_close(p);
    }

    ngx_mc_frame_headers_free(&p->headers);
}


static void
ngx_mc_rtmp_publish_close(ngx_mc_rtmp_publisher_t *p)
{
    u_char                    *last, why[NGX_MC_EVENT_MESSAGE_LEN];
    ngx_int_t                  i;
    ngx_rtmp_session_t        *s;
    ngx_mc_rtmp_link_t        *link;
    ngx_rtmp_core_srv_conf_t  *cscf;

    s = p->session;

    link = p->link;
    p->link = NULL;

    cscf = ngx_rtmp_get_module_srv_conf(s, ngx_rtmp_core_module);

    for (i = 0; s->in_streams && i < cscf->max_streams; i++) {

        if (s->in_streams[i].hdr.mlen > cscf->max_message) {

            /* nginx-rtmp ends a session for that, and tells nobody */

            last = ngx_slprintf(why, why + sizeof(why) - 1,
                                "a message of %uD bytes, more than "
                                "\"max_message\" of %uz",
                                s->in_streams[i].hdr.mlen, cscf->max_message);
            *last = '\0';

            ngx_mc_rtmp_link_close_why(link, (char *) why);
            return;
        }
    }

    ngx_mc_rtmp_link_close(link);
}


void
ngx_mc_rtmp_publish_exit(void)
{
    ngx_queue_t              *q, *next;
    ngx_rtmp_session_t       *s;
    ngx_mc_rtmp_publisher_t  *p;

    for (q = ngx_queue_head(&ngx_mc_rtmp_publishers);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_publishers);
         q = next)
    {
        next = ngx_queue_next(q);

        p = ngx_queue_data(q, ngx_mc_rtmp_publisher_t, queue);
        s = p->session;

        if (!p->refused && !s->connection->destroyed) {
            (void) ngx_rtmp_send_status(s, "NetStream.Unpublish.Success",
                                        "status", "The server shuts down");
        }

        ngx_rtmp_finalize_session(s);
    }
}


/* the process ends: nginx would complain of connections that are open */

void
ngx_mc_rtmp_publish_leave(void)
{
    ngx_queue_t              *q;
    ngx_mc_rtmp_publisher_t  *p;

    while (!ngx_queue_empty(&ngx_mc_rtmp_publishers)) {
        q = ngx_queue_head(&ngx_mc_rtmp_publishers);
        ngx_queue_remove(q);

        p = ngx_queue_data(q, ngx_mc_rtmp_publisher_t, queue);
        p->link = NULL;

        ngx_close_connection(p->session->connection);
    }
}


static void
ngx_mc_rtmp_publish_timer(ngx_event_t *ev)
{
    ngx_mc_rtmp_publisher_t  *p;

    p = ev->data;

    if (p->session->connection->destroyed) {
        return;
    }

    if (p->refused) {
        ngx_rtmp_finalize_session(p->session);
        return;
    }

    if (ngx_exiting
        && ngx_mc_registry->quit
        && ngx_mc_registry->quit == ngx_mc_registry->generation)
    {
        /* nginx ends, and with it the flow */
        ngx_mc_rtmp_publish_exit();
        return;
    }

    if (p->generation != ngx_mc_registry->generation
        && ngx_mc_rtmp_publish_review(p) != NGX_OK)
    {
        return;
    }

    if (p->link) {

        if (!p->accepted
            && ngx_current_msec - p->lost > NGX_MC_RTMP_PATIENCE)
        {
            ngx_mc_rtmp_publish_end(p, "NetStream.Publish.Denied",
                                    "is not running");
            return;
        }

        ngx_add_timer(&p->timer, NGX_MC_RTMP_SECOND);
        return;
    }

    if (ngx_current_msec - p->lost > NGX_MC_RTMP_PATIENCE) {
        ngx_mc_rtmp_publish_end(p, "NetStream.Publish.Denied",
                                "is not running");
        return;
    }

    ngx_mc_rtmp_publish_connect(p);
}


/* the configuration is another: NGX_DECLINED, it has been ended */

static ngx_int_t
ngx_mc_rtmp_publish_review(ngx_mc_rtmp_publisher_t *p)
{
    const char          *why;
    ngx_mc_rtmp_name_t  *name;

    if (ngx_mc_rtmp_table_ready() != NGX_OK) {
        /* later: the generation stays the old one */
        return NGX_OK;
    }

    name = ngx_mc_rtmp_table_find(&p->app, &p->stream, NGX_MC_INPUT);

    if (name == NULL) {
        ngx_mc_rtmp_publish_end(p, "NetStream.Publish.Denied",
                                "was removed");
        return NGX_DECLINED;
    }

    why = ngx_mc_rtmp_publish_check(p, name);

    if (why) {
        ngx_mc_rtmp_publish_end(p, "NetStream.Publish.Denied", why);
        return NGX_DECLINED;
    }

    if (ngx_mc_rtmp_publish_is(p, name)) {
        p->generation = ngx_mc_registry->generation;
        return NGX_OK;
    }

    /* its name is another flow's now */

    if (p->link) {
        ngx_mc_rtmp_link_close(p->link);
        p->link = NULL;
    }

    p->opened = 0;
    p->lost = ngx_current_msec;

    if (ngx_mc_rtmp_publish_set(p, name) != NGX_OK) {
        ngx_rtmp_finalize_session(p->session);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_mc_rtmp_publish_connect(ngx_mc_rtmp_publisher_t *p)
{
    ngx_str_t            peer;
    ngx_mc_rtmp_name_t  *name;

    name = ngx_mc_rtmp_table_find(&p->app, &p->stream, NGX_MC_INPUT);

    if (name && ngx_mc_rtmp_publish_is(p, name)) {

        peer.data = p->peer;
        peer.len = ngx_strlen(p->peer);

        p->link = ngx_mc_rtmp_link_open_publisher(name, &peer, p->began,
                                                &ngx_mc_rtmp_publish_handlers,
                                                  p);
    }

    ngx_add_timer(&p->timer, p->link ? NGX_MC_RTMP_SECOND
                                     : NGX_MC_RTMP_PUBLISH_RETRY);
}


static void
ngx_mc_rtmp_publish_opened(void *data)
{
    ngx_mc_rtmp_publisher_t  *p = data;

    if (p->session->connection->destroyed) {
        return;
    }

    p->opened = 1;
    p->wait_key = 0;

    p->chunk_size = p->session->in_chunk_size;
    ngx_mc_rtmp_link_chunk_size(p->link, p->chunk_size);

    ngx_mc_rtmp_publish_header(p, &p->headers.meta);
    ngx_mc_rtmp_publish_header(p, &p->headers.video);
    ngx_mc_rtmp_publish_header(p, &p->headers.audio);

    /* pictures that refer to some that the owner has not got */
    p->wait_key = p->video;

    if (!p->accepted && ngx_mc_rtmp_publish_pass(p) != NGX_OK) {
        ngx_rtmp_finalize_session(p->session);
    }
}


static void
ngx_mc_rtmp_publish_header(ngx_mc_rtmp_publisher_t *p, ngx_mc_frame_t *header)
{
    ngx_mc_frame_t  frame;

    if (header->tag == NULL) {
        return;
    }

    frame = *header;
    frame.dts = p->last * 90;
    frame.pts = frame.dts;
    frame.origin = ngx_mc_now();
    frame.discontinuity = 0;

    (void) ngx_mc_rtmp_link_frame(p->link, &frame);
}


/* the flow wants it: on to nginx-rtmp */

static ngx_int_t
ngx_mc_rtmp_publish_pass(ngx_mc_rtmp_publisher_t *p)
{
    ngx_int_t                  rc;
    ngx_queue_t               *q, *next;
    ngx_rtmp_session_t        *s;
    ngx_mc_rtmp_publisher_t   *other;
    ngx_rtmp_live_app_conf_t  *lacf;

    s = p->session;

    /*
     * Whom it replaces may be in this process too, and has maybe yet to be
     * told; the live module would not have two of a name.
     */

    for (q = ngx_queue_head(&ngx_mc_rtmp_publishers);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_publishers);
         q = next)
    {
        next = ngx_queue_next(q);
        other = ngx_queue_data(q, ngx_mc_rtmp_publisher_t, queue);

        if (other != p
            && other->accepted
            && !other->refused
            && other->stream.len == p->stream.len
            && ngx_strncmp(other->stream.data, p->stream.data, p->stream.len)
               == 0
            && other->app.len == p->app.len
            && ngx_strncmp(other->app.data, p->app.data, p->app.len) == 0)
        {
            ngx_mc_rtmp_publish_end(other, "NetStream.Publish.BadName",
                                    "has another publisher now");
        }
    }

    p->accepted = 1;

    lacf = ngx_rtmp_get_module_app_conf(s, ngx_rtmp_live_module);

    if (lacf == NULL || !lacf->live) {

        /* nobody else says so */

        if (ngx_rtmp_send_status(s, "NetStream.Publish.Start", "status",
                                 "Start publishing")
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    rc = p->next(s, p->v);

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


static void
ngx_mc_rtmp_publish_closed(void *data, ngx_uint_t code, u_char *why)
{
    ngx_mc_rtmp_publisher_t  *p = data;

    p->link = NULL;
    p->opened = 0;

    switch (code) {

    case NGX_MC_RTMP_LINK_LOST:

        if (p->accepted) {
            p->lost = ngx_current_msec;
        }

        if (p->timer.timer_set) {
            ngx_del_timer(&p->timer);
        }

        ngx_add_timer(&p->timer, NGX_MC_RTMP_PUBLISH_RETRY);
        break;

    case NGX_MC_RTMP_LINK_REFUSED:
        ngx_mc_rtmp_publish_end(p, "NetStream.Publish.Denied", (char *) why);
        break;

    default: /* NGX_MC_RTMP_LINK_BUSY, _REPLACED */
        ngx_mc_rtmp_publish_end(p, "NetStream.Publish.BadName", (char *) why);
        break;
    }
}


void
ngx_mc_rtmp_publish_av(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    size_t                    len;
    u_char                   *tag;
    int64_t                   ms;
    ngx_int_t                 rc;
    ngx_mc_frame_t            frame;
    ngx_mc_rtmp_ctx_t        *ctx;
    ngx_mc_rtmp_publisher_t  *p;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);
    p = ctx->data;

    if (p->refused || s->connection->destroyed) {
        return;
    }

    tag = ngx_mc_rtmp_publish_whole(in, &len);

    if (tag == NULL) {
        return;
    }

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    ms = ngx_mc_rtmp_publish_time(p, h->type, h->timestamp, 0);

    rc = ngx_mc_flv_parse(&frame, h->type, ms * 90, tag, len);

    if (rc == NGX_ERROR) {
        if (p->opened) {
            ngx_mc_rtmp_link_report(p->link, NGX_MC_REPORT_MALFORMED,
                                    "malformed %s message of %uz bytes",
                                    (h->type == NGX_MC_FRAME_VIDEO) ? "video"
                                    : (h->type == NGX_MC_FRAME_AUDIO) ? "audio"
                                    : "data", len);
        }

        return;
    }

    if (rc == NGX_DECLINED) {

        if (p->opened
            && frame.codec > NGX_MC_CODEC_MP3
            && !(p->told & ((uint64_t) 1 << frame.codec)))
        {
            p->told |= (uint64_t) 1 << frame.codec;
            ngx_mc_rtmp_link_report(p->link, NGX_MC_REPORT_UNSUPPORTED,
                                    "%s in %V is left out",
                                    (h->type == NGX_MC_FRAME_VIDEO) ? "video"
                                                                    : "audio",
                                    &ngx_mc_codec_names[frame.codec]);
        }

        return;
    }

    frame.origin = ngx_mc_now();

    if (frame.type == NGX_MC_FRAME_META) {

        /* what is before it is for servers only */

        frame.tag += frame.header;
        frame.len -= frame.header;
        frame.header = 0;

    } else if (!frame.config && !frame.end) {

        /* some encoders send configurations with a timestamp of 0 */

        (void) ngx_mc_rtmp_publish_time(p, h->type, h->timestamp, 1);

        if (frame.type == NGX_MC_FRAME_VIDEO) {
            p->video = 1;
        }
    }

    if (frame.config || frame.end || frame.type == NGX_MC_FRAME_META) {
        (void) ngx_mc_frame_headers_set(&p->headers, &frame);

        if (frame.type == NGX_MC_FRAME_VIDEO) {
            p->video = !frame.end;
        }

    } else if (p->opened && p->wait_key) {

        if (frame.type != NGX_MC_FRAME_VIDEO || !frame.key) {

            if (p->video) {
                return;
            }
        }

        p->wait_key = 0;
    }

    if (!p->opened) {
        return;
    }

    frame.discontinuity = p->discontinuity;
    p->discontinuity = 0;

    if (s->in_chunk_size != p->chunk_size) {
        p->chunk_size = s->in_chunk_size;
        ngx_mc_rtmp_link_chunk_size(p->link, p->chunk_size);
    }

    (void) ngx_mc_rtmp_link_frame(p->link, &frame);
}


/* a message in one piece, valid until the next; NULL: empty, or no memory */

static u_char *
ngx_mc_rtmp_publish_whole(ngx_chain_t *in, size_t *len)
{
    size_t        size;
    u_char       *p;
    ngx_chain_t  *cl;

    size = 0;

    for (cl = in; cl; cl = cl->next) {
        size += cl->buf->last - cl->buf->pos;
    }

    *len = size;

    if (size == 0 || size > NGX_MC_FRAME_MAX) {
        return NULL;
    }

    if ((size_t) (in->buf->last - in->buf->pos) == size) {
        return in->buf->pos;
    }

    if (size > ngx_mc_rtmp_buffer_size
        || ngx_mc_rtmp_buffer_size > NGX_MC_RTMP_BUFFER)
    {
        if (ngx_mc_rtmp_buffer) {
            ngx_free(ngx_mc_rtmp_buffer);
        }

        ngx_mc_rtmp_buffer_size = ngx_max(size, 65536);
        ngx_mc_rtmp_buffer = ngx_alloc(ngx_mc_rtmp_buffer_size, ngx_cycle->log);

        if (ngx_mc_rtmp_buffer == NULL) {
            ngx_mc_rtmp_buffer_size = 0;
            return NULL;
        }
    }

    p = ngx_mc_rtmp_buffer;

    for (cl = in; cl; cl = cl->next) {
        p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
    }

    return ngx_mc_rtmp_buffer;
}


/*
 * 32 bits of ms, that wrap, to ms that do not.  Audio and video are of one
 * clock: what is nearest to the newest of either is meant.  "clock": it counts
 * as the newest; else what is too far off is taken for it.
 */

static int64_t
ngx_mc_rtmp_publish_time(ngx_mc_rtmp_publisher_t *p, ngx_uint_t type,
    uint32_t timestamp, ngx_uint_t clock)
{
    int32_t  diff;
    int64_t  ms;

    if (!p->timed) {

        if (clock) {
            p->timed = 1;
            p->last = timestamp;
        }

        return timestamp;
    }

    if (type == NGX_MC_FRAME_META) {
        return p->last;
    }

    diff = (int32_t) (timestamp - (uint32_t) p->last);
    ms = p->last + diff;

    if (clock) {

        if (diff > NGX_MC_RTMP_JUMP || diff < -NGX_MC_RTMP_JUMP) {
            p->discontinuity = 1;
            p->last = ms;

        } else if (diff > 0) {
            p->last = ms;
        }
    }

    return ms;
}
