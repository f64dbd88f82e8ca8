/* sources: ts/ngx_mc_ts_mux.c ts/ngx_mc_ts_mux_clock.c ts/ngx_mc_ts_mux_es.c ts/ngx_mc_ts_mux_pes.c ts/ngx_mc_ts_mux_psi.c ts/ngx_mc_ts_mux_rate.c ts/ngx_mc_ts_mux_track.c codec/ngx_mc_aac.c codec/ngx_mc_bits.c codec/ngx_mc_codec.c codec/ngx_mc_flv.c codec/ngx_mc_flv_metadata.c codec/ngx_mc_h264.c codec/ngx_mc_hevc.c codec/ngx_mc_mpa.c codec/ngx_mc_nal.c codec/ngx_mc_video.c codec/ngx_mc_video_config.c -lm */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts_mux.h>

#include "shim.h"


/*
 * The first byte tells the mode.  Each frame is a byte of type and flags, two
 * of length, a signed one of time in 8 ms, or, by a flag, in 2^24 times that,
 * one of time that went by, and its bytes, which are those of a message.  A
 * good configuration comes by a flag.
 */

#define TYPE    0x03
#define CONFIG  0x04
#define DISC    0x08
#define FAR     0x10
#define RAW     0x20                       /* not parsed as FLV */
#define KEY     0x40
#define LARGE   0x80                       /* repeated up to 64 KB */


static u_char      avcc[] = {
    0x17, 0, 0, 0, 0,
    0x01, 0x64, 0x00, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0c,
    0xac, 0xd9, 0x41, 0x41, 0xfb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x20, 0xf1, 0x42, 0x99, 0x60, 0x01, 0x00, 0x06,
    0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00
};

static u_char      aac[] = { 0xaf, 0, 0x11, 0x90 };

static uint8_t     cc[8192];
static ngx_uint_t  known[8192];
static int64_t     media;
static int         constant;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(int cond)
{
    if (!cond) {
        abort();
    }
}


static void
fuzz_send(void *data, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i, pid;

    for (i = 0; i < n; i++) {
        check(pkts[i].len && pkts[i].len % NGX_MC_TS_SIZE == 0
              && pkts[i].len <= NGX_MC_TS_DATAGRAM);
        check(media == NGX_MC_NO_TIME || pkts[i].discontinuity
              || pkts[i].media >= media);

        media = pkts[i].media;

        for (p = pkts[i].data; p < pkts[i].data + pkts[i].len;
             p += NGX_MC_TS_SIZE)
        {
            check(p[0] == 0x47);

            pid = (p[1] & 0x1f) << 8 | p[2];

            if (pid == 0x1fff) {
                check(constant);
                continue;
            }

            check(pid == 0 || pid == 0x1000 || pid == 0x100 || pid == 0x101);

            if (p[3] & 0x10) {
                check(!known[pid] || (p[3] & 0x0f) == ((cc[pid] + 1) & 0x0f));

            } else {
                check(p[3] & 0x20 && p[4] == 183);
                check(!known[pid] || (p[3] & 0x0f) == cc[pid]);
            }

            if (p[3] & 0x20) {
                check(p[4] <= 183);
            }

            known[pid] = 1;
            cc[pid] = p[3] & 0x0f;
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char           *tag;
    size_t            len, i, n;
    int64_t           dts, now, ms;
    ngx_int_t         rc;
    const uint8_t    *last;
    ngx_uint_t        mode, flags, type;
    ngx_mc_frame_t    frame;
    ngx_mc_ts_mux_t  *mx;

    static uint64_t  rates[] = { 0, 0, 1, 20000, 500000, 5000000, 100000000,
                                 10000000000ull };

    if (size == 0) {
        return 0;
    }

    ngx_memzero(known, sizeof(known));
    media = NGX_MC_NO_TIME;

    last = data + size;
    mode = *data++;
    constant = rates[mode & 7] && !(mode & 8);

    mx = ngx_mc_ts_mux_create(rates[mode & 7], mode & 8, fuzz_send, NULL,
                              &shim_log);
    check(mx != NULL);

    dts = 0;
    now = 1000000;

    while (last - data >= 5) {
        flags = data[0];
        len = ngx_min((size_t) (data[1] << 8 | data[2]),
                      (size_t) (last - data - 5));
        ms = (int8_t) data[3] * 8;
        dts += (flags & FAR) ? ms * (1 << 24) : ms * 90;
        n = data[4] * 1000;
        data += 5;

        type = (flags & TYPE) == 0 ? NGX_MC_FRAME_META
               : (flags & TYPE) == 1 ? NGX_MC_FRAME_AUDIO
                                     : NGX_MC_FRAME_VIDEO;

        if (rates[mode & 7] <= 5000000) {
            for (i = 0; i < n; i += 5000) {
                ngx_mc_ts_mux_tick(mx, now + i);
            }
        }

        now += n;

        ngx_memzero(&frame, sizeof(frame));
        frame.origin = now;

        if (flags & CONFIG) {
            tag = (type == NGX_MC_FRAME_AUDIO) ? aac : avcc;
            n = (type == NGX_MC_FRAME_AUDIO) ? sizeof(aac) : sizeof(avcc);

            if (ngx_mc_flv_parse(&frame, type == NGX_MC_FRAME_AUDIO
                                 ? NGX_MC_FRAME_AUDIO : NGX_MC_FRAME_VIDEO,
                                 dts, tag, n)
                == NGX_OK)
            {
                frame.discontinuity = (flags & DISC) ? 1 : 0;
                ngx_mc_ts_mux_frame(mx, &frame);
            }

            continue;
        }

        n = (flags & LARGE && len) ? ngx_max(len, 65600 / len * len) : len;

        tag = malloc(n ? n : 1);

        for (i = 0; i < n; i++) {
            tag[i] = data[i % len];
        }

        if (flags & RAW) {
            frame.tag = tag;
            frame.len = n;
            frame.dts = dts;
            frame.pts = dts + (n ? (int8_t) tag[0] * 900 : 0);
            frame.type = type;
            frame.codec = (type == NGX_MC_FRAME_AUDIO) ? NGX_MC_CODEC_AAC
                                                       : NGX_MC_CODEC_H264;
            frame.key = (flags & KEY) ? 1 : 0;

            rc = NGX_OK;

        } else {
            rc = ngx_mc_flv_parse(&frame, type, dts, tag, n);
        }

        if (rc == NGX_OK) {
            frame.discontinuity = (flags & DISC) ? 1 : 0;
            ngx_mc_ts_mux_frame(mx, &frame);
        }

        free(tag);

        data += len;
    }

    ngx_mc_ts_mux_tick(mx, now + 100000);

    ngx_mc_ts_mux_free(mx);

    return 0;
}
