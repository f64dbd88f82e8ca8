
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_ts.h>
#include <ngx_mc_ts_align.h>


/* sync bytes, 188 apart, that make a byte the first of a packet; more are
   looked at if they are at hand */
#define NGX_MC_TS_ALIGN_MIN  3
#define NGX_MC_TS_ALIGN_MAX  5


static size_t ngx_mc_ts_align_buffer(ngx_mc_ts_align_t *a,
    ngx_mc_packet_t *in, ngx_mc_ts_align_emit_pt emit, void *ctx);
static void ngx_mc_ts_align_emit(ngx_mc_packet_t *in, u_char *p, size_t len,
    int64_t origin, ngx_mc_ts_align_emit_pt emit, void *ctx);
static size_t ngx_mc_ts_align_whole(u_char *p, size_t len, ngx_uint_t *lost);
static size_t ngx_mc_ts_align_find(u_char *p, size_t len, ngx_uint_t *found);


void
ngx_mc_ts_align_reset(ngx_mc_ts_align_t *a)
{
    a->len = 0;
    a->synced = 0;
}


size_t
ngx_mc_ts_align(ngx_mc_ts_align_t *a, ngx_mc_packet_t *in,
    ngx_mc_ts_align_emit_pt emit, void *ctx)
{
    size_t       len, n, dropped;
    u_char      *p;
    ngx_uint_t   found, lost;

    p = in->data;
    len = in->len;
    dropped = 0;

    while (len) {

        if (a->len == 0) {

            if (!a->synced) {
                n = ngx_mc_ts_align_find(p, len, &found);

                p += n;
                len -= n;
                dropped += n;

                a->synced = found;
            }

            if (a->synced) {
                n = ngx_mc_ts_align_whole(p, len, &lost);

                if (n) {
                    ngx_mc_ts_align_emit(in, p, n, in->origin, emit, ctx);

                    p += n;
                    len -= n;

                    continue;
                }

                if (lost) {
                    a->synced = 0;
                    continue;
                }
            }

            a->origin = in->origin;
        }

        n = ngx_min(NGX_MC_TS_DATAGRAM - a->len, len);

        ngx_memcpy(a->buf + a->len, p, n);

        a->len += n;

        p += n;
        len -= n;

        dropped += ngx_mc_ts_align_buffer(a, in, emit, ctx);
    }

    return dropped;
}


static size_t
ngx_mc_ts_align_buffer(ngx_mc_ts_align_t *a, ngx_mc_packet_t *in,
    ngx_mc_ts_align_emit_pt emit, void *ctx)
{
    size_t      n, pos, dropped;
    int64_t     origin;
    ngx_uint_t  found, lost;

    pos = 0;
    dropped = 0;
    origin = a->origin;

    for ( ;; ) {

        if (!a->synced) {
            n = ngx_mc_ts_align_find(a->buf + pos, a->len - pos, &found);

            pos += n;
            dropped += n;

            if (!found) {
                break;
            }

            a->synced = 1;
        }

        n = ngx_mc_ts_align_whole(a->buf + pos, a->len - pos, &lost);

        if (n) {
            ngx_mc_ts_align_emit(in, a->buf + pos, n, origin, emit, ctx);

            if (a->len == 0) {
                /* reset by emit() */
                return dropped;
            }

            pos += n;
            origin = in->origin;

            continue;
        }

        if (!lost) {
            break;
        }

        a->synced = 0;
    }

    if (pos) {
        a->len -= pos;
        a->origin = in->origin;

        ngx_memmove(a->buf, a->buf + pos, a->len);
    }

    return dropped;
}


static void
ngx_mc_ts_align_emit(ngx_mc_packet_t *in, u_char *p, size_t len,
    int64_t origin, ngx_mc_ts_align_emit_pt emit, void *ctx)
{
    ngx_mc_packet_t  pkt;

    pkt = *in;

    if (p < in->data || p >= in->data + in->len) {
        /* these bytes are ours */
        pkt.chunk = NULL;
    }

    pkt.data = p;
    pkt.len = len;
    pkt.origin = origin;
    pkt.rtp = NULL;
    pkt.rtp_len = 0;

    emit(ctx, &pkt);
}


/*
 * How many bytes can leave: whole packets, at most seven.  A packet whose
 * sync byte is corrupted is one if the sync byte after it is there; two in a
 * row mean that sync is lost, as in TR 101 290, 5.2.1.
 */

static size_t
ngx_mc_ts_align_whole(u_char *p, size_t len, ngx_uint_t *lost)
{
    size_t  n;

    *lost = 0;

    for (n = 0; n < NGX_MC_TS_DATAGRAM; n += NGX_MC_TS_SIZE) {

        if (len - n < NGX_MC_TS_SIZE) {
            break;
        }

        if (p[n] == NGX_MC_TS_SYNC) {
            continue;
        }

        if (len - n == NGX_MC_TS_SIZE) {
            break;
        }

        if (p[n + NGX_MC_TS_SIZE] != NGX_MC_TS_SYNC) {
            *lost = 1;
            break;
        }
    }

    return n;
}


/*
 * How many bytes before the first packet.  If that is not found yet, before
 * the first byte that may still turn out to be its beginning.
 */

static size_t
ngx_mc_ts_align_find(u_char *p, size_t len, ngx_uint_t *found)
{
    u_char      *s, *c, *last;
    ngx_uint_t   n;

    last = p + len;

    for (s = p; s < last; s++) {

        s = memchr(s, NGX_MC_TS_SYNC, last - s);

        if (s == NULL) {
            break;
        }

        c = s;

        for (n = 1; n < NGX_MC_TS_ALIGN_MAX; n++) {

            if (last - c <= NGX_MC_TS_SIZE) {
                *found = (n >= NGX_MC_TS_ALIGN_MIN);
                return s - p;
            }

            c += NGX_MC_TS_SIZE;

            if (*c != NGX_MC_TS_SYNC) {
                break;
            }
        }

        if (n == NGX_MC_TS_ALIGN_MAX) {
            *found = 1;
            return s - p;
        }
    }

    *found = 0;
    return len;
}
