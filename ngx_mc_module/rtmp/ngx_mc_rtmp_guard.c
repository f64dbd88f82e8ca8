
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_guard.h>


/*
 * What any client can send, long before it has shown a key, and nginx-rtmp
 * 1.2.2 does not bear: a worker that crashes takes all its flows along.  These
 * are called before its own handlers.  NGX_ERROR closes the session, NGX_DONE
 * drops the message.
 *
 * - Values nested in values, and aggregates in aggregates, are read by
 *   functions that call themselves: 200 kB of such exceed the stack.
 *
 * - A chunk costs about 150 bytes more than it carries, and one of size 0 does
 *   not end.  A size that is too large is logged as an alert, and then
 *   ignored, so that nothing after it is understood.
 */


/* encoders nest to 2, lists of key frames in metadata to 3 */
#define NGX_MC_RTMP_GUARD_DEPTH      32

/* encoders use 128 or more, as the specification asks for */
#define NGX_MC_RTMP_GUARD_CHUNK_MIN  32


typedef struct {
    ngx_chain_t             *cl;
    u_char                  *pos;
} ngx_mc_rtmp_guard_t;


static ngx_int_t ngx_mc_rtmp_guard_chunk_size(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_guard_amf(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_guard_shared(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_guard_aggregate(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_guard_read(ngx_mc_rtmp_guard_t *g,
    ngx_uint_t bytes, uint32_t *value);
static ngx_int_t ngx_mc_rtmp_guard_skip(ngx_mc_rtmp_guard_t *g, size_t n);


static struct {
    ngx_uint_t           event;
    ngx_rtmp_handler_pt  handler;
} ngx_mc_rtmp_guards[] = {
    { NGX_RTMP_MSG_CHUNK_SIZE, ngx_mc_rtmp_guard_chunk_size },
    { NGX_RTMP_MSG_AMF_CMD, ngx_mc_rtmp_guard_amf },
    { NGX_RTMP_MSG_AMF_META, ngx_mc_rtmp_guard_amf },
    { NGX_RTMP_MSG_AMF3_CMD, ngx_mc_rtmp_guard_amf },
    { NGX_RTMP_MSG_AMF3_META, ngx_mc_rtmp_guard_amf },
    { NGX_RTMP_MSG_AMF_SHARED, ngx_mc_rtmp_guard_shared },
    { NGX_RTMP_MSG_AMF3_SHARED, ngx_mc_rtmp_guard_shared },
    { NGX_RTMP_MSG_AGGREGATE, ngx_mc_rtmp_guard_aggregate }
};


/* in postconfiguration: nginx-rtmp adds its handlers after those of modules */

ngx_int_t
ngx_mc_rtmp_guard_conf(ngx_rtmp_core_main_conf_t *cmcf)
{
    ngx_uint_t            i;
    ngx_rtmp_handler_pt  *h;

    for (i = 0;
         i < sizeof(ngx_mc_rtmp_guards) / sizeof(ngx_mc_rtmp_guards[0]);
         i++)
    {
        h = ngx_array_push(&cmcf->events[ngx_mc_rtmp_guards[i].event]);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = ngx_mc_rtmp_guards[i].handler;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_guard_chunk_size(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    uint32_t             size;
    ngx_mc_rtmp_guard_t  g;

    g.cl = in;
    g.pos = in->buf->pos;

    if (ngx_mc_rtmp_guard_read(&g, 4, &size) != NGX_OK) {
        return NGX_OK;
    }

    if (size < NGX_MC_RTMP_GUARD_CHUNK_MIN || size > NGX_RTMP_MAX_CHUNK_SIZE) {
        ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                      "client sent a chunk size of %uD", size);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* what is not AMF0 as nginx-rtmp reads it ends it there too */

static ngx_int_t
ngx_mc_rtmp_guard_amf(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    uint32_t             n, left[NGX_MC_RTMP_GUARD_DEPTH];
    ngx_uint_t           depth, object[NGX_MC_RTMP_GUARD_DEPTH];
    ngx_mc_rtmp_guard_t  g;

    g.cl = in;
    g.pos = in->buf->pos;

    if ((h->type == NGX_RTMP_MSG_AMF3_CMD || h->type == NGX_RTMP_MSG_AMF3_META)
        && in->buf->last > in->buf->pos)
    {
        g.pos++;
    }

    depth = 0;

    for ( ;; ) {

        if (depth && object[depth - 1]) {

            if (ngx_mc_rtmp_guard_read(&g, 2, &n) != NGX_OK) {
                return NGX_OK;
            }

            if (n == 0) {
                depth--;

                if (ngx_mc_rtmp_guard_skip(&g, 1) != NGX_OK) {
                    return NGX_OK;
                }

                continue;
            }

            if (ngx_mc_rtmp_guard_skip(&g, n) != NGX_OK) {
                return NGX_OK;
            }

        } else if (depth && left[depth - 1]-- == 0) {
            depth--;
            continue;
        }

        if (ngx_mc_rtmp_guard_read(&g, 1, &n) != NGX_OK) {
            return NGX_OK;
        }

        switch (n) {

        case NGX_RTMP_AMF_NUMBER:
            n = 8;
            break;

        case NGX_RTMP_AMF_BOOLEAN:
            n = 1;
            break;

        case NGX_RTMP_AMF_STRING:
            if (ngx_mc_rtmp_guard_read(&g, 2, &n) != NGX_OK) {
                return NGX_OK;
            }

            break;

        case NGX_RTMP_AMF_NULL:
        case NGX_RTMP_AMF_ARRAY_NULL:
        case NGX_RTMP_AMF_END:
            n = 0;
            break;

        case NGX_RTMP_AMF_OBJECT:
        case NGX_RTMP_AMF_MIXED_ARRAY:
        case NGX_RTMP_AMF_ARRAY:

            if (depth == NGX_MC_RTMP_GUARD_DEPTH) {
                ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                              "client sent AMF that is nested too deep");
                return NGX_ERROR;
            }

            object[depth] = (n != NGX_RTMP_AMF_ARRAY);
            left[depth] = 0;

            if (n != NGX_RTMP_AMF_OBJECT
                && ngx_mc_rtmp_guard_read(&g, 4, &left[depth]) != NGX_OK)
            {
                return NGX_OK;
            }

            depth++;
            n = 0;
            break;

        default:
            return NGX_OK;
        }

        if (ngx_mc_rtmp_guard_skip(&g, n) != NGX_OK) {
            return NGX_OK;
        }
    }
}


/* nobody here has any use for them, and their names lead to commands */

static ngx_int_t
ngx_mc_rtmp_guard_shared(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    return NGX_DONE;
}


/* messages of media, each as a tag of FLV */

static ngx_int_t
ngx_mc_rtmp_guard_aggregate(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    uint32_t             type, len;
    ngx_mc_rtmp_guard_t  g;

    g.cl = in;
    g.pos = in->buf->pos;

    while (ngx_mc_rtmp_guard_read(&g, 1, &type) == NGX_OK) {

        if (type != NGX_RTMP_MSG_AUDIO
            && type != NGX_RTMP_MSG_VIDEO
            && type != NGX_RTMP_MSG_AMF_META
            && type != NGX_RTMP_MSG_AMF3_META)
        {
            ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                          "client sent a message of type %uD in an aggregate",
                          type);
            return NGX_ERROR;
        }

        /* its timestamp and stream; and the size of it at its end */

        if (ngx_mc_rtmp_guard_read(&g, 3, &len) != NGX_OK
            || ngx_mc_rtmp_guard_skip(&g, 7) != NGX_OK
            || ngx_mc_rtmp_guard_skip(&g, len) != NGX_OK
            || ngx_mc_rtmp_guard_skip(&g, 4) != NGX_OK)
        {
            break;
        }
    }

    return NGX_OK;
}


/* NGX_DONE: there is no more */

static ngx_int_t
ngx_mc_rtmp_guard_read(ngx_mc_rtmp_guard_t *g, ngx_uint_t bytes,
    uint32_t *value)
{
    uint32_t  v;

    v = 0;

    while (bytes--) {

        while (g->pos == g->cl->buf->last) {

            if (g->cl->next == NULL) {
                return NGX_DONE;
            }

            g->cl = g->cl->next;
            g->pos = g->cl->buf->pos;
        }

        v = v << 8 | *g->pos++;
    }

    *value = v;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_guard_skip(ngx_mc_rtmp_guard_t *g, size_t n)
{
    size_t  size;

    for ( ;; ) {
        size = g->cl->buf->last - g->pos;

        if (size >= n) {
            g->pos += n;
            return NGX_OK;
        }

        if (g->cl->next == NULL) {
            return NGX_DONE;
        }

        n -= size;

        g->cl = g->cl->next;
        g->pos = g->cl->buf->pos;
    }
}
