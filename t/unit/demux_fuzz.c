/* sources: ts/ngx_mc_ts_demux.c ts/ngx_mc_ts_es.c ts/ngx_mc_ts_psi.c ts/ngx_mc_ts_video.c ts/ngx_mc_ts_video_sets.c ts/ngx_mc_ts_video_time.c ts/ngx_mc_ts_audio.c codec/ngx_mc_aac.c codec/ngx_mc_bits.c codec/ngx_mc_codec.c codec/ngx_mc_flv.c codec/ngx_mc_flv_metadata.c codec/ngx_mc_h264.c codec/ngx_mc_hevc.c codec/ngx_mc_mpa.c codec/ngx_mc_nal.c codec/ngx_mc_video.c codec/ngx_mc_video_config.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_demux.h>
#include <ngx_mc_ts_psi.h>

#include "shim.h"
#include "stream.h"


/*
 * The first byte says what follows: 0: TS packets; 1: a section, behind its
 * CRC; else the stream types of two tracks of a PMT that is in order, and
 * pieces for their packets, two bytes before each: flags and length.
 */

#define AUDIO  0x80                        /* else video */
#define UNIT   0x40
#define LOST   0x20                        /* the one before it */
#define FLUSH  0x10
#define RESET  0x08
#define STUFF  0x04                        /* what is not there is zero */


static ngx_mc_ts_demux_t  *dm;
static int64_t             origin;
static ngx_uint_t          configured[2];


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(int cond)
{
    if (!cond) {
        abort();
    }
}


static void
frame(void *data, ngx_mc_frame_t *f)
{
    volatile u_char           sum;
    u_char                   *p, *last;
    size_t                    n;
    ngx_mc_frame_t            again;
    ngx_mc_ts_demux_track_t  *t;

    check(f->len > 0);

    for (n = 0, sum = 0; n < f->len; n += 7) {
        sum += f->tag[n];
    }

    if (f->type == NGX_MC_FRAME_META) {
        return;
    }

    t = ngx_mc_ts_demux_tracks(dm);

    check(f->type == NGX_MC_FRAME_AUDIO || f->type == NGX_MC_FRAME_VIDEO);
    check(t[f->type == NGX_MC_FRAME_AUDIO].pid != 0);
    check(f->len <= NGX_MC_FRAME_MAX + 4096);

    /* what reads tags agrees on what it is */

    check(ngx_mc_flv_parse(&again, f->type, f->dts, f->tag, f->len) == NGX_OK);
    check(again.codec == f->codec && again.header == f->header
          && again.config == f->config && again.key == f->key);

    if (f->config) {
        configured[f->type == NGX_MC_FRAME_AUDIO] = 1;
        return;
    }

    if (f->codec != NGX_MC_CODEC_MP3) {
        check(configured[f->type == NGX_MC_FRAME_AUDIO]);
    }

    if (f->type == NGX_MC_FRAME_VIDEO) {

        p = f->tag + f->header;
        last = f->tag + f->len;

        while (p < last) {
            check(last - p > 4);
            n = (size_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
            p += 4;
            check(n >= 2 && n <= (size_t) (last - p));
            check(p[n - 1] != 0);
            p += n;
        }
    }
}


static void
unsupported(void *data, ngx_uint_t pid, ngx_uint_t type, ngx_uint_t codec)
{
    check(codec < NGX_MC_CODEC_N && pid < 8192 && type < 256);
}


static void
stream_packet(u_char *p)
{
    u_char  *copy;

    copy = malloc(NGX_MC_TS_SIZE);
    memcpy(copy, p, NGX_MC_TS_SIZE);
    ngx_mc_ts_demux(dm, copy, NGX_MC_TS_SIZE, origin);
    free(copy);
}


static void
section(const uint8_t *data, size_t size)
{
    u_char            *s;
    ngx_mc_psi_pat_t   pat;
    ngx_mc_psi_pmt_t   pmt;

    s = malloc(size ? size : 1);
    memcpy(s, data, size);

    memset(&pat, 0, sizeof(pat));
    memset(&pmt, 0, sizeof(pmt));

    (void) ngx_mc_psi_pat(&pat, s, size);

    if (ngx_mc_psi_pmt(&pmt, s, size) == NGX_OK) {
        check(pmt.nstreams <= NGX_MC_PSI_STREAMS);
    }

    free(s);
}


static void
pieces(ngx_uint_t types, const uint8_t *data, size_t size)
{
    size_t             len;
    u_char             buf[184];
    unsigned           flags, pid;
    static unsigned    programs[] = { 1, 0x1000, 0 };
    static unsigned    video[] = { 0x1b, 0x24 };
    static unsigned    audio[] = { 0x0f, 0x11, 0x03, 0x04 };
    stream_es_t        es[2];

    memset(stream_cc, 0, sizeof(stream_cc));
    memset(es, 0, sizeof(es));

    es[0].type = video[types & 1];
    es[0].pid = 0x100;
    es[1].type = audio[(types >> 1) & 3];
    es[1].pid = 0x101;

    stream_pat(0, programs);
    stream_pmt(0x1000, 1, 0, 0x100, es, 2);

    while (size >= 2) {
        flags = data[0];
        len = ngx_min(data[1], 184);
        data += 2;
        size -= 2;
        len = ngx_min(len, size);

        if (flags & RESET) {
            ngx_mc_ts_demux_reset(dm);
            configured[0] = 0;
            configured[1] = 0;
            stream_pat(0, programs);
            stream_pmt(0x1000, 1, 0, 0x100, es, 2);
        }

        pid = (flags & AUDIO) ? 0x101 : 0x100;

        if (flags & LOST) {
            stream_cc[pid]++;
        }

        memset(buf, 0, sizeof(buf));
        memcpy(buf, data, len);

        (void) stream_ts(pid, flags & UNIT, buf,
                         (flags & STUFF) ? sizeof(buf) : len,
                         STREAM_NO_TIME, 0);

        if (flags & FLUSH) {
            ngx_mc_ts_demux_flush(dm);
        }

        origin += (flags & 3) * 400000;

        data += len;
        size -= len;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                      *copy;
    ngx_mc_ts_select_t           select;
    ngx_mc_ts_demux_handlers_t   handlers = { frame, unsupported };

    if (size < 2) {
        return 0;
    }

    memset(&select, 0, sizeof(select));
    select.program = -1;
    select.video = -1;
    select.audio = -1;

    origin = 1000000;
    configured[0] = 0;
    configured[1] = 0;

    dm = ngx_mc_ts_demux_create(&select, &handlers, NULL, &shim_log);

    switch (data[0]) {

    case 0:
        copy = malloc(size - 1);
        memcpy(copy, data + 1, size - 1);
        ngx_mc_ts_demux(dm, copy, size - 1, origin);
        ngx_mc_ts_demux_flush(dm);
        free(copy);
        break;

    case 1:
        section(data + 1, size - 1);
        break;

    default:
        pieces(data[0], data + 1, size - 1);
    }

    check(ngx_mc_ts_demux_problem(dm) == NULL
          || ngx_mc_ts_demux_problem(dm)[0] != '\0');

    ngx_mc_ts_demux_free(dm);

    return 0;
}
