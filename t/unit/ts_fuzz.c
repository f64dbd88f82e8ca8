/* sources: ts/ngx_mc_ts.c ts/ngx_mc_ts_align.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_ts.h>
#include <ngx_mc_ts_align.h>

#include "shim.h"


/*
 * Each message is two bytes of length, one of time that went by since the
 * one before, in 4 ms, and its bytes.  The first byte of all says whether
 * they go through the aligner.
 */

static ngx_mc_ts_counters_t  counters;
static ngx_mc_ts_t           ts;
static ngx_mc_ts_align_t     align;
static size_t                emitted;
static int64_t               media;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(int cond)
{
    if (!cond) {
        abort();
    }
}


static void
inspect(void *ctx, ngx_mc_packet_t *pkt)
{
    emitted += pkt->len;

    ngx_mc_ts_inspect(&ts, pkt);

    /* once there is time there is always time, and it runs forward */

    if (pkt->media == NGX_MC_NO_TIME) {
        check(media == NGX_MC_NO_TIME && !pkt->discontinuity);
        return;
    }

    check(pkt->discontinuity
          || (media != NGX_MC_NO_TIME && pkt->media >= media));

    media = pkt->media;
}


static void
aligned(void *ctx, ngx_mc_packet_t *pkt)
{
    check(pkt->len && pkt->len % NGX_MC_TS_SIZE == 0
          && pkt->len <= NGX_MC_TS_DATAGRAM);

    inspect(ctx, pkt);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t            n, fed, dropped, len;
    int64_t           now;
    const uint8_t    *last;
    ngx_uint_t        mode;
    ngx_mc_packet_t   pkt;

    if (size == 0) {
        return 0;
    }

    memset(&counters, 0, sizeof(counters));
    memset(&align, 0, sizeof(align));
    ngx_mc_ts_init(&ts, &counters);

    emitted = 0;
    media = NGX_MC_NO_TIME;

    last = data + size;
    mode = *data++;
    now = 1000000;
    fed = 0;
    dropped = 0;

    while (last - data >= 3) {
        len = ngx_min((size_t) (data[0] << 8 | data[1]),
                      (size_t) (last - data - 3));
        now += data[2] * 4000;
        data += 3;

        memset(&pkt, 0, sizeof(pkt));
        pkt.len = len;
        pkt.origin = now;
        pkt.data = malloc(len ? len : 1);
        memcpy(pkt.data, data, len);

        if (mode & 1) {
            n = ngx_mc_ts_align(&align, &pkt, aligned, NULL);
            ngx_mc_ts_dropped(&ts, n);

            fed += len;
            dropped += n;

            check(fed == emitted + dropped + align.len);
            check(align.len < sizeof(align.buf));

        } else {
            inspect(NULL, &pkt);
        }

        (void) ngx_mc_ts_is_aligned(pkt.data, len);

        free(pkt.data);

        data += len;
    }

    return 0;
}
