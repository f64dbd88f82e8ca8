/* sources: -lcrypto -no-pie -Wl,-z,lazy -Wl,--unresolved-symbols=ignore-all */

/*
 * Copyright (C) the ngx_mc_module authors
 */


/*
 * What comes from clients before nginx-rtmp reads it, the key in a name, and
 * messages between workers.  The sources are included: what is fuzzed is
 * static.  Functions of nginx that are not here are not called.
 */


#include "../../ngx_mc_module/rtmp/ngx_mc_rtmp_guard.c"
#include "../../ngx_mc_module/rtmp/ngx_mc_rtmp_key.c"
#include "../../ngx_mc_module/rtmp/ngx_mc_rtmp_link.c"
#include "../../ngx_mc_module/rtmp/ngx_mc_rtmp_link_message.c"
#include "../../ngx_mc_module/rtmp/ngx_mc_rtmp_link_socket.c"

#include "shim.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_mc_endpoint_stat_t  ep_stat;
static ngx_mc_endpoint_def_t   def;
static ngx_mc_endpoint_t       ep;
static ngx_mc_rtmp_name_t      app;
static volatile unsigned       seen;


static void
check(int cond)
{
    if (!cond) {
        abort();
    }
}


static void
look(u_char *p, size_t len)
{
    while (len--) {
        seen += *p++;
    }
}


/* what the sources call */

ngx_queue_t  ngx_posted_events = { &ngx_posted_events, &ngx_posted_events };


void
ngx_explicit_memzero(void *buf, size_t n)
{
    memset(buf, 0, n);
}


void
ngx_unescape_uri(u_char **dst, u_char **src, size_t size, ngx_uint_t type)
{
    look(*src, size);
    *dst += size;
}


void
ngx_close_connection(ngx_connection_t *c)
{
    c->fd = -1;
}


ngx_int_t
ngx_handle_write_event(ngx_event_t *wev, size_t lowat)
{
    return NGX_OK;
}


ngx_int_t
ngx_parse_addr_port(ngx_pool_t *pool, ngx_addr_t *addr, u_char *text,
    size_t len)
{
    look(text, len);
    return NGX_DECLINED;
}


ngx_int_t
ngx_mc_rtmp_table_ready(void)
{
    return NGX_OK;
}


ngx_mc_rtmp_name_t *
ngx_mc_rtmp_table_app(ngx_str_t *name, ngx_uint_t direction)
{
    return &app;
}


ngx_mc_endpoint_t *
ngx_mc_rtmp_listening(u_char *flow, size_t flow_len, ngx_uint_t direction,
    ngx_uint_t pipeline, u_char *name, size_t name_len)
{
    look(flow, flow_len);
    look(name, name_len);
    return (direction <= NGX_MC_OUTPUT) ? &ep : NULL;
}


ngx_int_t
ngx_mc_rtmp_source_attach(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    u_char *peer)
{
    look(peer, strlen((char *) peer));
    return NGX_OK;
}


void
ngx_mc_rtmp_source_frame(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    ngx_mc_frame_t *frame)
{
    check(frame->header <= frame->len);
    look(frame->tag + frame->header, frame->len - frame->header);
}


void
ngx_mc_rtmp_source_chunk_size(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    ngx_uint_t size)
{
}


void
ngx_mc_rtmp_source_report(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    ngx_uint_t what, u_char *text)
{
    look(text, strlen((char *) text));
}


void
ngx_mc_rtmp_source_detach(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    const char *why)
{
    look((u_char *) why, strlen(why));
}


ngx_int_t
ngx_mc_rtmp_output_attach(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link)
{
    return NGX_OK;
}


void
ngx_mc_rtmp_output_peer_up(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    uint64_t id, u_char *address, uint64_t bytes, uint64_t messages,
    uint64_t dropped)
{
    look(address, strlen((char *) address));
}


void
ngx_mc_rtmp_output_peer_stat(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    uint64_t id, uint64_t bytes, uint64_t messages, uint64_t dropped)
{
}


void
ngx_mc_rtmp_output_peer_down(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link,
    uint64_t id, const char *why)
{
    look((u_char *) why, strlen(why));
}


void
ngx_mc_rtmp_output_detach(ngx_mc_endpoint_t *e, ngx_mc_rtmp_link_t *link)
{
}


void
ngx_mc_endpoint_rejected(ngx_mc_endpoint_t *e, ngx_uint_t reason,
    ngx_uint_t n, struct sockaddr *sa, socklen_t len, const char *fmt, ...)
{
    check(reason < NGX_MC_REJECTED_N);
}


/* a message in buffers of "part" bytes */

static ngx_chain_t *
chain(ngx_pool_t *pool, const uint8_t *data, size_t size, size_t part)
{
    size_t        n;
    ngx_chain_t  *head, **next;

    head = NULL;
    next = &head;

    do {
        n = ngx_min(size, part);

        *next = ngx_pcalloc(pool, sizeof(ngx_chain_t));
        (*next)->buf = ngx_pcalloc(pool, sizeof(ngx_buf_t));
        (*next)->buf->start = ngx_palloc(pool, n ? n : 1);
        (*next)->buf->pos = (*next)->buf->start;
        memcpy((*next)->buf->pos, data, n);
        (*next)->buf->last = (*next)->buf->pos + n;

        next = &(*next)->next;
        data += n;
        size -= n;
    } while (size);

    return head;
}


/* as nginx-rtmp reads a value; -1: it ends there */

static int
deepest(const uint8_t **p, const uint8_t *last, int depth, int *max)
{
    size_t    n;
    uint32_t  count;
    uint8_t   type;

    *max = ngx_max(*max, depth);

    if (depth > NGX_MC_RTMP_GUARD_DEPTH || *p == last) {
        return -1;
    }

    type = *(*p)++;
    n = last - *p;

    switch (type) {

    case NGX_RTMP_AMF_NUMBER:
        if (n < 8) {
            return -1;
        }

        *p += 8;
        return 0;

    case NGX_RTMP_AMF_BOOLEAN:
        if (n < 1) {
            return -1;
        }

        *p += 1;
        return 0;

    case NGX_RTMP_AMF_STRING:
        if (n < 2 || n - 2 < (size_t) ((*p)[0] << 8 | (*p)[1])) {
            return -1;
        }

        *p += 2 + ((*p)[0] << 8 | (*p)[1]);
        return 0;

    case NGX_RTMP_AMF_NULL:
    case NGX_RTMP_AMF_ARRAY_NULL:
    case NGX_RTMP_AMF_END:
        return 0;

    case NGX_RTMP_AMF_MIXED_ARRAY:
        if (n < 4) {
            return -1;
        }

        *p += 4;
        /* fall through */

    case NGX_RTMP_AMF_OBJECT:

        for ( ;; ) {
            n = last - *p;

            /* it must not go further than nginx-rtmp, which forgives an
               object that has no end */

            if (n < 2) {
                return -1;
            }

            count = (*p)[0] << 8 | (*p)[1];
            *p += 2;
            n -= 2;

            if (count == 0) {
                if (n < 1) {
                    return -1;
                }

                return *(*p)++ == NGX_RTMP_AMF_END ? 0 : -1;
            }

            if (n < count) {
                return -1;
            }

            *p += count;

            if (deepest(p, last, depth + 1, max) != 0) {
                return -1;
            }
        }

    case NGX_RTMP_AMF_ARRAY:
        if (n < 4) {
            return -1;
        }

        count = (uint32_t) (*p)[0] << 24 | (*p)[1] << 16 | (*p)[2] << 8
                | (*p)[3];
        *p += 4;

        while (count--) {
            if (deepest(p, last, depth + 1, max) != 0) {
                return -1;
            }
        }

        return 0;
    }

    return -1;
}


static void
fuzz_guard(ngx_pool_t *pool, uint8_t type, size_t part, const uint8_t *data,
    size_t size)
{
    int                  max;
    ngx_int_t            rc;
    const uint8_t       *p, *last;
    ngx_chain_t         *in;
    ngx_connection_t     c;
    ngx_rtmp_header_t    h;
    ngx_rtmp_session_t  *s;

    memset(&c, 0, sizeof(c));
    memset(&h, 0, sizeof(h));

    c.log = &shim_log;
    s = ngx_pcalloc(pool, sizeof(ngx_rtmp_session_t));
    s->connection = &c;
    in = chain(pool, data, size, part);

    (void) ngx_mc_rtmp_guard_chunk_size(s, &h, in);
    (void) ngx_mc_rtmp_guard_aggregate(s, &h, in);

    h.type = (type & 1) ? NGX_RTMP_MSG_AMF_CMD : NGX_RTMP_MSG_AMF3_CMD;
    rc = ngx_mc_rtmp_guard_amf(s, &h, in);

    p = data;
    last = data + size;
    max = 0;

    if (h.type == NGX_RTMP_MSG_AMF3_CMD && size) {
        p++;
    }

    while (deepest(&p, last, 0, &max) == 0) { /* void */ }

    /* it may refuse what nginx-rtmp would not have come to, but not let by
       what is too deep */

    check(rc == NGX_ERROR || max <= NGX_MC_RTMP_GUARD_DEPTH);
}


/* no key is left to be logged */

static void
fuzz_key(ngx_pool_t *pool, size_t part, const uint8_t *data, size_t size)
{
    size_t               n, len, skip;
    u_char              *name, *end;
    u_char               args[NGX_RTMP_MAX_ARGS];
    ngx_chain_t         *in, *cl;
    ngx_rtmp_session_t  *s;

    static u_char  head[] = "\0\0\0\0\0\0\0\0\0\5\2";

    if (size > 2000) {
        return;
    }

    s = ngx_pcalloc(pool, sizeof(ngx_rtmp_session_t));
    s->app.len = 1;
    s->app.data = (u_char *) "a";

    /* as it is, and as a name */

    ngx_mc_rtmp_key_mask(s, chain(pool, data, size, part));

    skip = sizeof(head) - 1 + 2;
    len = skip + size;
    name = ngx_palloc(pool, len + 1);
    memcpy(name, head, sizeof(head) - 1);
    name[skip - 2] = size >> 8;
    name[skip - 1] = size & 0xff;
    memcpy(name + skip, data, size);

    in = chain(pool, name, len, part);

    ngx_mc_rtmp_key_mask(s, in);

    for (n = 0, cl = in; cl; cl = cl->next) {
        memcpy(name + n, cl->buf->pos, cl->buf->last - cl->buf->pos);
        n += cl->buf->last - cl->buf->pos;
    }

    check(n == len);
    end = name + len;
    name = memchr(name + skip, '?', size);

    while (name) {
        name++;

        if (end - name >= 4 && memcmp(name, "key=", 4) == 0) {
            for (name += 4; name < end && *name != '&'; name++) {
                check(*name == '*');
            }
        }

        name = memchr(name, '&', end - name);
    }

    n = ngx_min(size, sizeof(args) - 1);
    memcpy(args, data, n);
    args[n] = '\0';

    ngx_mc_rtmp_key_cut(args);

    for (name = args; name; name = (u_char *) strchr((char *) name, '&')) {
        name += (*name == '&');
        check(strncmp((char *) name, "key=", 4) != 0);
    }
}


static void
session_frame(void *data, ngx_mc_frame_t *frame)
{
    ngx_mc_rtmp_source_frame(NULL, NULL, frame);
}


static void
session_closed(void *data, ngx_uint_t code, u_char *why)
{
    look(why, strlen((char *) why));
}


/* messages from another worker, of any length in any pieces */

static void
fuzz_link(uint8_t what, size_t part, const uint8_t *data, size_t size)
{
    size_t                        n;
    ngx_event_t                   rev, wev;
    ngx_connection_t              c;
    ngx_mc_rtmp_link_t           *link;
    ngx_mc_rtmp_link_handlers_t   handlers;

    memset(&c, 0, sizeof(c));
    memset(&rev, 0, sizeof(rev));
    memset(&wev, 0, sizeof(wev));
    memset(&handlers, 0, sizeof(handlers));

    handlers.frame = session_frame;
    handlers.closed = session_closed;
    c.read = &rev;
    c.write = &wev;
    c.fd = -1;

    link = ngx_mc_rtmp_link_create(what & 1);
    link->c = &c;

    if (!(what & 1)) {
        link->handlers = &handlers;

    } else if (what & 2) {
        ep.def = &def;
        ep.stat = &ep_stat;
        link->ep = &ep;
        link->hello.direction = (what & 4) ? NGX_MC_INPUT : NGX_MC_OUTPUT;
    }

    while (size && link->c && !link->dead) {

        if (ngx_mc_rtmp_link_room(link) != NGX_OK) {
            break;
        }

        n = ngx_min(ngx_min(size, part), link->size - link->end);
        memcpy(link->buf + link->end, data, n);
        link->end += n;
        data += n;
        size -= n;

        if (ngx_mc_rtmp_link_parse(link) != NGX_OK) {
            break;
        }
    }

    link->c = NULL;
    ngx_mc_rtmp_link_free(link);
    ngx_queue_init(&ngx_mc_rtmp_link_posts);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t       part;
    ngx_pool_t  *pool;

    if (size < 3) {
        return 0;
    }

    part = data[2] + 1;
    pool = ngx_create_pool(1024, &shim_log);

    switch (data[0] % 3) {

    case 0:
        fuzz_guard(pool, data[1], part, data + 3, size - 3);
        break;

    case 1:
        fuzz_key(pool, part, data + 3, size - 3);
        break;

    case 2:
        fuzz_link(data[1], part, data + 3, size - 3);
        break;
    }

    ngx_destroy_pool(pool);

    return 0;
}
