/* sources: ts/ngx_mc_ts_mux.c ts/ngx_mc_ts_mux_clock.c ts/ngx_mc_ts_mux_es.c ts/ngx_mc_ts_mux_pes.c ts/ngx_mc_ts_mux_psi.c ts/ngx_mc_ts_mux_rate.c ts/ngx_mc_ts_mux_track.c codec/ngx_mc_aac.c codec/ngx_mc_bits.c codec/ngx_mc_codec.c codec/ngx_mc_flv.c codec/ngx_mc_flv_metadata.c codec/ngx_mc_h264.c codec/ngx_mc_hevc.c codec/ngx_mc_mpa.c codec/ngx_mc_nal.c codec/ngx_mc_video.c codec/ngx_mc_video_config.c -lm */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts_mux.h>
#include <math.h>

#include "shim.h"


#define MS       90
#define WRAP33   ((int64_t) 1 << 33)
#define WRAP     (WRAP33 * 300)
#define NONE     INT64_MIN
#define PES_MAX  4000

#define KEY      1
#define CONFIG   2
#define DISC     4


/* 320x240, High */

static u_char  avcc[] = {
    0x01, 0x64, 0x00, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0c,
    0xac, 0xd9, 0x41, 0x41, 0xfb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x20, 0xf1, 0x42, 0x99, 0x60, 0x01, 0x00, 0x06,
    0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00
};

/* 160x120, Main */

static u_char  hvcc[] = {
    0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x1e, 0xf0, 0x00, 0xfc, 0xfd, 0xf8, 0xf8, 0x00, 0x00, 0x0f, 0x03, 0x20,
    0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60,
    0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
    0x1e, 0x92, 0x80, 0x90, 0x21, 0x00, 0x01, 0x00, 0x29, 0x42, 0x01, 0x01,
    0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
    0x03, 0x00, 0x1e, 0xa0, 0x14, 0x20, 0x79, 0x65, 0x92, 0xa4, 0x93, 0x2b,
    0xc0, 0x5a, 0x02, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00,
    0x32, 0x10, 0x22, 0x00, 0x01, 0x00, 0x07, 0x44, 0x01, 0xc1, 0x72, 0xb4,
    0x62, 0x40
};

static u_char  metadata[] = "\x02\0\x0aonMetaData\x08\0\0\0\1"
                            "\0\x0cvideocodecid\0\x40\x1c\0\0\0\0\0\0"
                            "\0\0\x09";

static u_char  metadata_aac[] = "\x02\0\x0aonMetaData\x08\0\0\0\2"
                                "\0\x0cvideocodecid\0\x40\x1c\0\0\0\0\0\0"
                                "\0\x0c" "audiocodecid\0\x40\x24\0\0\0\0\0\0"
                                "\0\0\x09";

static u_char  aac48[] = { 0x11, 0x90 };     /* LC, 48 kHz, stereo */


/* what came out, taken apart by code that shares nothing with the module's */

typedef struct {
    ngx_uint_t   pid;
    int64_t      pts;
    int64_t      dts;
    int64_t      end;                        /* media time of its last part */
    ngx_uint_t   key;
    size_t       at;                         /* in es[] */
    size_t       len;
    size_t       declared;
} pes_t;

static struct {
    ngx_uint_t   cc[8192];
    ngx_uint_t   cc_known[8192];
    ngx_uint_t   cc_errors, sync_errors, crc_errors, odd, nulls, packets;
    ngx_uint_t   pats, pmts, version, pmt_pcr, streams, discs;
    ngx_uint_t   type[2], descriptors;
    int64_t      psi_gap, psi_last;
    ngx_uint_t   npcr, pcr_back, media_back, jumps, media_off;
    int64_t      pcr, pcr_first, pcr_gap;
    uint64_t     pcr_pos, pcr_first_pos, pos;
    double       accuracy;                   /* ns, with a rate */
    int64_t      media;
    uint64_t     rate;
    ngx_uint_t   npes, open[2];
    pes_t        pes[PES_MAX];
    size_t       es_len[2];
} r;

static u_char            es[2][16 * 1024 * 1024];
static u_char            buf[11 * 1024 * 1024];
static ngx_mc_ts_mux_t  *mx;
static int64_t           skew;               /* from dts to origin, us */


static uint32_t
crc32(u_char *p, size_t len)
{
    uint32_t  c;
    int       i;

    for (c = 0xffffffff; len; len--) {
        c ^= (uint32_t) *p++ << 24;

        for (i = 0; i < 8; i++) {
            c = (c & 0x80000000) ? c << 1 ^ 0x04c11db7 : c << 1;
        }
    }

    return c;
}


static int64_t
stamp(u_char *p)
{
    return (int64_t) (p[0] >> 1 & 7) << 30 | p[1] << 22 | (p[2] >> 1) << 15
           | p[3] << 7 | p[4] >> 1;
}


static int64_t
wrapped(int64_t a, int64_t b, int64_t wrap)
{
    a = (a - b) % wrap;

    return (a > wrap / 2) ? a - wrap : (a < -wrap / 2) ? a + wrap : a;
}


static void
section(u_char *p, ngx_uint_t pid)
{
    size_t   len;
    u_char  *e;

    p += 1 + p[0];
    len = 3 + ((p[1] & 15) << 8 | p[2]);

    r.crc_errors += (crc32(p, len) != 0);

    if (pid == 0) {
        r.pats++;

        if (r.psi_last != NONE && r.pcr != NONE) {
            r.psi_gap = ngx_max(r.psi_gap, r.media - r.psi_last);
        }

        r.psi_last = r.media;
        r.odd += !(p[10] == 0xf0 && p[11] == 0);
        return;
    }

    r.pmts++;
    r.version = p[5] >> 1 & 31;
    r.pmt_pcr = (p[8] & 31) << 8 | p[9];
    r.streams = 0;
    r.type[0] = r.type[1] = 0;

    for (e = p + 12; e < p + len - 4; e += 5 + ((e[3] & 15) << 8 | e[4])) {
        r.streams++;
        r.type[e[2] & 1] = e[0];
        r.descriptors = e[4];
    }
}


static void
packet(u_char *p, int64_t media)
{
    size_t      off, len;
    u_char     *q;
    int64_t     v, d;
    ngx_uint_t  pid, key, disc, has;
    pes_t      *pes;

    pid = (p[1] & 31) << 8 | p[2];
    r.packets++;
    r.sync_errors += (p[0] != 0x47);

    if (pid == 0x1fff) {
        r.nulls++;
        r.pos += 188;
        return;
    }

    has = p[3] & 0x10;
    key = disc = 0;
    off = 4;

    if (r.cc_known[pid]
        && (p[3] & 15) != ((r.cc[pid] + (has ? 1 : 0)) & 15))
    {
        r.cc_errors++;
    }

    r.cc_known[pid] = 1;
    r.cc[pid] = p[3] & 15;

    if (p[3] & 0x20) {
        off = 5 + p[4];
        r.odd += (off > 188) || (!has && off != 188);

        if (p[4]) {
            key = p[5] & 0x40;
            disc = p[5] & 0x80;
            r.discs += disc ? 1 : 0;

            if (p[5] & 0x10) {
                v = ((int64_t) p[6] << 25 | p[7] << 17 | p[8] << 9 | p[9] << 1
                     | p[10] >> 7) * 300 + ((p[10] & 1) << 8 | p[11]);

                r.odd += (pid != r.pmt_pcr);

                if (r.npcr && !disc) {
                    d = wrapped(v, r.pcr, WRAP);
                    r.pcr_back += (d <= 0);
                    r.pcr_gap = ngx_max(r.pcr_gap, d);

                } else {
                    r.pcr_first = v;
                    r.pcr_first_pos = r.pos;
                }

                if (r.rate) {
                    r.accuracy = ngx_max(r.accuracy,
                        fabs(wrapped(v, r.pcr_first, WRAP) * 1000.0 / 27
                             - (r.pos - r.pcr_first_pos) * 8e9 / r.rate));
                }

                /* the media time of a packet right there is that */

                if (media != NONE) {
                    d = wrapped(v, media, WRAP);
                    r.media_off += (d < 0 || d > 27000 * 3);
                }

                r.npcr++;
                r.pcr = v;
            }
        }
    }

    r.pos += 188;

    if (!has) {
        return;
    }

    if (pid == 0 || pid == 0x1000) {
        section(p + off, pid);
        return;
    }

    q = p + off;

    if (p[1] & 0x40) {
        r.open[pid & 1] = r.npes;
        pes = &r.pes[r.npes];

        if (r.npes < PES_MAX - 1) {
            r.npes++;
        }

        r.odd += !(q[0] == 0 && q[1] == 0 && q[2] == 1
                   && (q[6] & 0xc4) == 0x84);

        pes->pid = pid;
        pes->key = key;
        pes->len = 0;
        pes->at = r.es_len[pid & 1];
        pes->declared = q[4] << 8 | q[5];
        pes->pts = stamp(q + 9);
        pes->dts = (q[7] & 0x40) ? stamp(q + 14) : pes->pts;

        if (pes->declared) {
            pes->declared -= 3 + q[8];
        }

        q += 9 + q[8];
    }

    len = p + 188 - q;
    pes = &r.pes[r.open[pid & 1]];
    pes->len += len;
    pes->end = r.media;

    if (r.es_len[pid & 1] + len > sizeof(es[0])) {
        abort();
    }

    memcpy(es[pid & 1] + r.es_len[pid & 1], q, len);
    r.es_len[pid & 1] += len;
}


static void
collect(void *data, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    for (i = 0; i < n; i++) {
        r.odd += (pkts[i].len == 0 || pkts[i].len % 188
                  || pkts[i].len > 7 * 188);

        if (r.media != NONE && !pkts[i].discontinuity
            && pkts[i].media < r.media)
        {
            r.media_back++;
        }

        if (pkts[i].discontinuity) {
            r.jumps++;
            r.psi_last = NONE;
        }

        r.media = pkts[i].media;

        for (p = pkts[i].data; p < pkts[i].data + pkts[i].len; p += 188) {
            packet(p, p == pkts[i].data ? r.media : NONE);
        }
    }
}


static void
begin(uint64_t rate, ngx_uint_t cap)
{
    memset(&r, 0, sizeof(r));

    r.media = NONE;
    r.pcr = NONE;
    r.psi_last = NONE;
    r.rate = cap ? 0 : rate;
    skew = 0;

    mx = ngx_mc_ts_mux_create(rate, cap, collect, NULL, &shim_log);
}


/* dts, pts: 90 kHz */

static void
frame(ngx_uint_t type, ngx_uint_t codec, ngx_uint_t flags, int64_t dts,
    int64_t pts, u_char *data, size_t len)
{
    ngx_mc_frame_t  f;

    memset(&f, 0, sizeof(f));

    f.tag = data;
    f.len = len;
    f.dts = dts;
    f.pts = pts;
    f.origin = 1000000000 + dts * 100 / 9 + skew;
    f.type = type;
    f.codec = codec;
    f.key = (flags & KEY) ? 1 : 0;
    f.config = (flags & CONFIG) ? 1 : 0;
    f.discontinuity = (flags & DISC) ? 1 : 0;

    ngx_mc_ts_mux_frame(mx, &f);
}


static void
config(ngx_uint_t codec, int64_t dts)
{
    switch (codec) {
    case NGX_MC_CODEC_H264:
        frame(NGX_MC_FRAME_VIDEO, codec, CONFIG, dts, dts, avcc, sizeof(avcc));
        break;
    case NGX_MC_CODEC_HEVC:
        frame(NGX_MC_FRAME_VIDEO, codec, CONFIG, dts, dts, hvcc, sizeof(hvcc));
        break;
    case NGX_MC_CODEC_AAC:
        frame(NGX_MC_FRAME_AUDIO, codec, CONFIG, dts, dts, aac48, 2);
    }
}


/* one NAL unit of "len" that tells which it is */

static void
video(ngx_uint_t codec, ngx_uint_t flags, int64_t dts, int64_t pts, size_t len)
{
    size_t  i;

    buf[0] = len >> 24;
    buf[1] = len >> 16;
    buf[2] = len >> 8;
    buf[3] = len;
    buf[4] = (codec == NGX_MC_CODEC_H264) ? ((flags & KEY) ? 0x65 : 0x41)
                                          : ((flags & KEY) ? 19 << 1 : 1 << 1);

    for (i = 1; i < len; i++) {
        buf[4 + i] = (i * 7 + dts / MS) | 0x10;
    }

    frame(NGX_MC_FRAME_VIDEO, codec, flags, dts, pts, buf, len + 4);
}


static void
audio(ngx_uint_t flags, int64_t dts, size_t len)
{
    memset(buf, dts / MS, len);

    frame(NGX_MC_FRAME_AUDIO, NGX_MC_CODEC_AAC, flags, dts, dts, buf, len);
}


/* what video() was given is at the end of the PES packet */

static ngx_uint_t
same(pes_t *pes, int64_t dts, size_t len)
{
    size_t   i;
    u_char  *p;

    if (pes->len < len + 3) {
        return 0;
    }

    p = es[0] + pes->at + pes->len - len;

    if (p[-1] != 1 || p[-2] != 0 || p[-3] != 0) {
        return 0;
    }

    for (i = 1; i < len; i++) {
        if (p[i] != (u_char) ((i * 7 + dts / MS) | 0x10)) {
            return 0;
        }
    }

    return 1;
}


/* what holds for every output; DTS after the PCR too */

static void
sane(const char *name)
{
    int64_t     least;
    ngx_uint_t  i, wrong;

    least = INT64_MAX;
    wrong = 0;

    for (i = 0; i < r.npes; i++) {
        least = ngx_min(least, wrapped(r.pes[i].dts * 300, r.pes[i].end,
                                       WRAP));

        if (r.pes[i].declared && r.pes[i].declared != r.pes[i].len) {
            wrong++;
        }
    }

    is_num(r.sync_errors + r.cc_errors + r.crc_errors, 0,
           "%s: sync, continuity, CRC", name);
    is_num(r.odd + wrong, 0, "%s: nothing odd", name);
    is_num(r.pcr_back + r.media_back + r.media_off, 0,
           "%s: PCR and media time go forward and agree", name);
    ok(r.pcr_gap <= 35 * 27000, "%s: PCR interval %.1f ms", name,
       r.pcr_gap / 27000.0);
    ok(r.psi_gap <= 101 * 27000, "%s: PAT interval %.1f ms", name,
       r.psi_gap / 27000.0);
    ok(r.npes == 0 || least > 0, "%s: DTS after PCR by %.1f ms", name,
       least / 27000.0);
}


static ngx_uint_t
count(ngx_uint_t pid)
{
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < r.npes; i++) {
        n += (r.pes[i].pid == pid);
    }

    return n;
}


/* "n" pictures at 25/s and audio in time with them */

static void
stream(ngx_uint_t codec, int64_t start, ngx_uint_t n, int64_t lag, size_t len)
{
    int64_t     dts, a, last;
    ngx_uint_t  i;

    a = start;

    for (i = 0; i < n; i++) {
        dts = start + i * 40 * MS;

        if (codec) {
            video(codec, i % 25 ? 0 : KEY, dts, dts + 80 * MS, len);
        }

        last = dts + 40 * MS - lag;

        for ( /* void */ ; a < last; a += 1920) {

            /* it comes with the video */

            skew = (dts - a) * 100 / 9;
            audio(0, a, 300);
        }

        skew = 0;
    }
}


static void
ticks(int64_t from, int64_t to)
{
    for ( /* void */ ; from < to; from += 2000) {
        ngx_mc_ts_mux_tick(mx, 1000000000 + from);
    }
}


static void
test_basic(void)
{
    pes_t       *pes;
    int64_t      off;
    ngx_uint_t   i, k, bad, keys;

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);
    shim_fail_alloc(1);
    stream(NGX_MC_CODEC_H264, 0, 100, 0, 5000);
    shim_fail_alloc(0);

    sane("H.264 and AAC");

    is_num(r.type[0], 0x1b, "stream type of H.264");
    is_num(r.type[1], 0x0f, "stream type of AAC");
    is_num(r.version, 0, "version");
    is_num(r.pmt_pcr, 0x100, "PCR PID");
    is_num(count(0x100), 100, "every picture, without an allocation");
    is_num(ngx_mc_ts_mux_dropped(mx), 0, "none left out");
    is_num(r.discs + r.jumps, 0, "no discontinuity");

    bad = keys = 0;
    off = NONE;

    for (i = 0, k = 0; i < r.npes; i++) {
        pes = &r.pes[i];

        if (pes->pid != 0x100) {
            bad += !(es[1][pes->at] == 0xff && es[1][pes->at + 1] == 0xf1);
            continue;
        }

        if (off == NONE) {
            off = pes->dts;
        }

        bad += (pes->dts - off != (int64_t) k * 40 * MS)
               || (pes->pts - pes->dts != 80 * MS)
               || !same(pes, k * 40 * MS, 5000)
               || memcmp(es[0] + pes->at, "\0\0\0\1\x09\xf0", 6) != 0;
        bad += (pes->key != 0) != (k % 25 == 0);

        if (pes->key) {
            keys++;
            bad += memcmp(es[0] + pes->at + 6, "\0\0\0\1\x67", 5) != 0;
            bad += memcmp(es[0] + pes->at + 6 + 29, "\0\0\0\1\x68", 5) != 0;
        }

        k++;
    }

    is_num(bad, 0, "times and bytes");
    is_num(keys, 4, "key frames");

    ngx_mc_ts_mux_free(mx);
}


static void
test_sizes(void)
{
    size_t      len;
    int64_t     dts;
    ngx_uint_t  i, k, bad;

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);

    /* nothing tells that there is no audio */

    for (i = 0; i < 13; i++) {
        video(NGX_MC_CODEC_H264, 0, i * 40 * MS, i * 40 * MS, 10);
    }

    is_num(ngx_mc_ts_mux_dropped(mx), 13, "none until a key frame");

    for (len = 2; len < 900; len++) {
        dts = (600 + (int64_t) len * 3) * MS;
        video(NGX_MC_CODEC_H264, len == 2 ? KEY : 0, dts, dts, len);
    }

    sane("all sizes");

    bad = 0;

    for (k = 0, len = 2; len < 900; len++, k++) {
        bad += k >= r.npes
               || !same(&r.pes[k], (600 + (int64_t) len * 3) * MS, len)
               || r.pes[k].len != len + 9 + (len == 2 ? 8 + 25 + 6 : 0);
    }

    is_num(bad, 0, "bytes of 898 sizes");
    is_num(r.streams, 1, "video only");

    /* a large one; then a smaller one, equal DTS, negative composition time */

    dts = 4000 * MS;
    video(NGX_MC_CODEC_H264, KEY, dts, dts, 10000000);
    ok(same(&r.pes[r.npes - 1], dts, 10000000), "10 MB");
    is_num(r.pes[r.npes - 1].declared, 0, "no length of it");

    video(NGX_MC_CODEC_H264, 0, dts + 3600, dts + 3600, 100);
    video(NGX_MC_CODEC_H264, 0, dts + 3600, dts + 3600, 100);
    is_num(r.pes[r.npes - 1].dts - r.pes[r.npes - 2].dts, 1, "equal DTS");

    video(NGX_MC_CODEC_H264, 0, dts + 7200, dts + 5400, 100);
    video(NGX_MC_CODEC_H264, 0, dts + 10800, dts + 10800, 100);
    is_num(r.pes[r.npes - 1].pts - r.pes[r.npes - 2].pts, 5400,
           "PTS of a negative composition time");
    ok(r.pes[r.npes - 2].dts <= r.pes[r.npes - 2].pts, "DTS before it");

    /* malformed: waits for a key frame */

    i = ngx_mc_ts_mux_dropped(mx);
    memcpy(buf, "\0\0\0\x09xxxx", 8);
    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, 0, dts + 14400, dts + 14400,
          buf, 8);
    video(NGX_MC_CODEC_H264, 0, dts + 18000, dts + 18000, 100);
    is_num(ngx_mc_ts_mux_dropped(mx) - i, 2, "malformed");
    video(NGX_MC_CODEC_H264, KEY, dts + 21600, dts + 21600, 100);
    is_num(ngx_mc_ts_mux_dropped(mx) - i, 2, "a key frame");
    is_num(r.cc_errors, 0, "continuity");

    ngx_mc_ts_mux_free(mx);
}


/* lengths of 2 bytes and of 1, what is in band already, other sets */

static void
test_nals(void)
{
    u_char  avcc2[sizeof(avcc)];
    u_char  nals[] = { 0, 2, 0x09, 0xf0, 0, 0, 0, 3, 0x06, 1, 2,
                       0, 3, 0x65, 4, 5 };
    u_char  band[] = { 2, 0x09, 0x10, 2, 0x67, 1, 2, 0x68, 2, 2, 0x65, 3 };
    u_char  none[] = { 2, 0x41, 3 };

    begin(0, 0);

    memcpy(avcc2, avcc, sizeof(avcc));
    avcc2[4] = 0xfd;
    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, CONFIG, 0, 0, avcc2,
          sizeof(avcc2));
    config(NGX_MC_CODEC_AAC, 0);

    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, KEY, 0, 0, nals,
          sizeof(nals));
    is_num(r.pes[0].len, 6 + 29 + 10 + 6 + 6, "lengths of 2 bytes");
    ok(memcmp(es[0], "\0\0\0\1\x09\xf0\0\0\0\1\x67", 11) == 0,
       "its delimiter, then the sets");
    ok(memcmp(es[0] + 6 + 29 + 10, "\0\0\1\x06\1\2\0\0\1\x65\4\5", 12)
       == 0, "then the rest");

    avcc2[4] = 0xfc;
    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, CONFIG, 3600, 3600, avcc2,
          sizeof(avcc2));
    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, 0, 3600, 3600, none, 3);
    is_num(r.pes[1].len, 6 + 29 + 10 + 5,
           "sets after another configuration, no key frame");
    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, KEY, 7200, 7200, band,
          sizeof(band));
    ok(r.pes[2].len == 23
       && memcmp(es[0] + r.pes[2].at, "\0\0\0\1\x09\x10\0\0\0\1\x67\1\0"
                 "\0\0\1\x68\2\0\0\1\x65\3", 23) == 0,
       "what is in band stays as it is");
    is_num(ngx_mc_ts_mux_dropped(mx), 0, "none left out");
    is_num(r.version, 0, "the same PMT");
    sane("NAL units");

    ngx_mc_ts_mux_free(mx);
}


static void
test_tracks(void)
{
    ngx_uint_t  i, n;

    /* audio alone */

    begin(0, 0);
    config(NGX_MC_CODEC_AAC, 0);
    stream(0, 0, 50, 0, 0);
    sane("audio only");
    is_num(r.pmt_pcr, 0x101, "PCR with the audio");
    is_num(r.streams, 1, "one stream");
    ok(ngx_mc_ts_mux_dropped(mx) <= 24, "after 500 ms");

    /* video comes */

    config(NGX_MC_CODEC_H264, 2000 * MS);
    stream(NGX_MC_CODEC_H264, 2000 * MS, 50, 0, 5000);
    is_num(r.version, 1, "another version");
    is_num(r.streams, 2, "two streams");
    is_num(r.pmt_pcr, 0x100, "PCR with the video");
    is_num(count(0x100), 50, "every picture");

    /* HEVC */

    config(NGX_MC_CODEC_HEVC, 4000 * MS);
    video(NGX_MC_CODEC_HEVC, 0, 3990 * MS, 3990 * MS, 100);
    stream(NGX_MC_CODEC_HEVC, 4000 * MS, 50, 0, 5000);
    is_num(r.version, 2, "and another");
    is_num(r.type[0], 0x24, "stream type of HEVC");
    is_num(count(0x100), 100, "from the key frame on");
    sane("changes");
    ngx_mc_ts_mux_free(mx);

    /* no key frame */

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);

    for (i = 0; i < 50; i++) {
        video(NGX_MC_CODEC_H264, 0, i * 3600, i * 3600, 1000);
        audio(0, i * 3600, 100);
    }

    sane("no key frame");
    is_num(count(0x100), 0, "no video");
    n = count(0x101);
    ok(n > 15, "audio after 500 ms: %u", (unsigned) n);
    is_num(r.streams, 2, "both in the PMT");
    ngx_mc_ts_mux_free(mx);

    /* metadata tells of video only */

    begin(0, 0);
    frame(NGX_MC_FRAME_META, 0, 0, 0, 0, metadata, sizeof(metadata) - 1);
    config(NGX_MC_CODEC_H264, 0);
    video(NGX_MC_CODEC_H264, KEY, 0, 0, 1000);
    is_num(count(0x100), 1, "video only at once");
    ngx_mc_ts_mux_free(mx);

    /* and are of what is marked after them, of nothing else */

    begin(0, 0);
    frame(NGX_MC_FRAME_META, 0, 0, 0, 0, metadata, sizeof(metadata) - 1);
    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, CONFIG | DISC, 0, 0, avcc,
          sizeof(avcc));
    video(NGX_MC_CODEC_H264, KEY, 0, 0, 1000);
    is_num(count(0x100), 1, "metadata before the mark");

    config(NGX_MC_CODEC_H264, 40 * MS);
    video(NGX_MC_CODEC_H264, KEY | DISC, 40 * MS, 40 * MS, 1000);
    is_num(count(0x100), 1, "no longer those");
    ngx_mc_ts_mux_free(mx);

    /* of AAC, whose configuration comes behind the key frame */

    begin(0, 0);
    frame(NGX_MC_FRAME_META, 0, 0, 0, 0, metadata_aac,
          sizeof(metadata_aac) - 1);
    config(NGX_MC_CODEC_H264, 0);
    video(NGX_MC_CODEC_H264, KEY, 0, 0, 1000);
    is_num(count(0x100), 1, "AAC that is announced: video at once");
    is_num(r.streams, 2, "both in the PMT");
    audio(0, 0, 300);
    is_num(count(0x101), 0, "no audio without configuration");
    config(NGX_MC_CODEC_AAC, 0);
    stream(NGX_MC_CODEC_H264, 40 * MS, 50, 0, 1000);
    ok(count(0x101) > 40, "audio");
    is_num(count(0x100), 51, "all video");
    is_num(r.version, 0, "one PMT");
    sane("AAC that is announced");
    ngx_mc_ts_mux_free(mx);

    /* and that does not come */

    begin(0, 0);
    frame(NGX_MC_FRAME_META, 0, 0, 0, 0, metadata_aac,
          sizeof(metadata_aac) - 1);
    config(NGX_MC_CODEC_H264, 0);

    for (i = 0; i < 50; i++) {
        video(NGX_MC_CODEC_H264, i % 25 ? 0 : KEY, i * 3600, i * 3600, 1000);
    }

    is_num(count(0x100), 50, "video without the audio announced");
    is_num(r.streams, 1, "which leaves the PMT");
    is_num(r.version, 1, "once");
    sane("no audio");
    ngx_mc_ts_mux_free(mx);
}


static void
test_time(void)
{
    int64_t     starts[] = { WRAP33 - 45000, ((int64_t) 1 << 32) * 90 - 45000,
                             -90000, 0 };
    int64_t     off;
    ngx_uint_t  i, k, n, bad;

    for (i = 0; i < 4; i++) {
        begin(0, 0);
        config(NGX_MC_CODEC_H264, starts[i]);
        config(NGX_MC_CODEC_AAC, starts[i]);
        stream(NGX_MC_CODEC_H264, starts[i], 60, 0, 3000);
        sane("wraps");

        for (k = 0, n = 0, bad = 0, off = NONE; k < r.npes; k++) {
            if (r.pes[k].pid == 0x100) {
                off = (off == NONE) ? r.pes[k].dts : off;
                bad += wrapped(r.pes[k].dts, off, WRAP33)
                       != (int64_t) n++ * 3600;
            }
        }

        is_num(bad, 0, "DTS from %lld on", (long long) starts[i]);
        is_num(r.jumps, 0, "no jump");
        ngx_mc_ts_mux_free(mx);
    }

    /* slow */

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);

    for (i = 0; i < 10; i++) {
        video(NGX_MC_CODEC_H264, KEY, i * 90000, i * 90000, 3000);
    }

    sane("1 picture a second");
    ngx_mc_ts_mux_free(mx);

    /* late audio: within the lead, and beyond it */

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);
    stream(NGX_MC_CODEC_H264, 0, 100, 150 * MS, 3000);
    sane("audio 150 ms late");
    is_num(ngx_mc_ts_mux_dropped(mx), 0, "none left out");
    ngx_mc_ts_mux_free(mx);

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);
    stream(NGX_MC_CODEC_H264, 0, 100, 400 * MS, 3000);
    sane("audio 400 ms late");
    n = ngx_mc_ts_mux_dropped(mx);
    ok(n > 0 && n < 20, "a few left out: %u", (unsigned) n);
    is_num(count(0x100), 100, "no picture");
    ngx_mc_ts_mux_free(mx);

    /* audio that jumps beside video, back and forth */

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);

    for (i = 0; i < 400; i++) {
        video(NGX_MC_CODEC_H264, i % 25 ? 0 : KEY, i * 3600, i * 3600, 3000);
        off = (i / 100 == 1) ? 5000 * MS : (i / 100 == 2) ? -7000 * MS : 0;
        skew = - off * 100 / 9;
        audio(0, i * 3600 + off, 300);
        skew = 0;
    }

    sane("audio jumps");
    is_num(count(0x100), 400, "every picture");
    n = ngx_mc_ts_mux_dropped(mx);
    ok(n < 60, "some audio left out: %u", (unsigned) n);
    ngx_mc_ts_mux_free(mx);
}


static void
test_discontinuity(void)
{
    ngx_uint_t  i;

    begin(0, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);
    stream(NGX_MC_CODEC_H264, 0, 50, 0, 3000);

    /* another publisher, a second later */

    skew = 3000000;
    i = r.pats;
    frame(NGX_MC_FRAME_VIDEO, NGX_MC_CODEC_H264, CONFIG|DISC, 0, 0, avcc,
          sizeof(avcc));
    config(NGX_MC_CODEC_AAC, 0);
    video(NGX_MC_CODEC_H264, KEY, 0, 0, 3000);
    is_num(r.discs, 1, "one discontinuity of the PCR");
    is_num(r.jumps, 1, "and of media time");
    ok(r.pats > i, "PAT again");
    is_num(r.version, 0, "the same PMT");
    ok(wrapped(r.pes[r.npes - 1].dts, r.pes[r.npes - 3].dts, WRAP33)
       > 900 * MS, "as much later as it came");

    audio(DISC, 10 * MS, 300);
    video(NGX_MC_CODEC_H264, 0, 3600, 3600, 3000);
    is_num(r.discs, 1, "the other track's mark means the same");

    /* timestamps that jump */

    video(NGX_MC_CODEC_H264, 0, 3600000000ll, 3600000000ll, 3000);
    is_num(r.discs, 2, "a jump forward");
    video(NGX_MC_CODEC_H264, 0, 7200, 7200, 3000);
    is_num(r.discs, 3, "a jump back");
    sane("discontinuities");
    ngx_mc_ts_mux_free(mx);
}


static void
test_rate(void)
{
    int64_t     t;
    ngx_uint_t  i, k;

    t = 0;

    for (k = 0; k < 2; k++) {
        begin(2000000, k);
        config(NGX_MC_CODEC_H264, 0);
        config(NGX_MC_CODEC_AAC, 0);

        for (i = 0; i < 250; i++) {
            t = i * 40000;
            ticks(t, t + 40000);
            video(NGX_MC_CODEC_H264, i % 25 ? 0 : KEY, i * 3600, i * 3600,
                  i % 25 ? 5000 : 40000);
            audio(0, i * 3600, 300);
        }

        ticks(t, t + 1500000);

        sane(k ? "capped" : "constant rate");
        is_num(count(0x100), 250, "every picture");
        ok(r.accuracy < 500, "PCR accuracy %.0f ns", r.accuracy);

        if (k == 0) {
            t = r.packets * 1504 / 2;              /* us */
            ok(t > 11380000 && t < 11480000, "%lld us of stream",
               (long long) t);
            ok(r.nulls > 0, "null packets");

        } else {
            is_num(r.nulls, 0, "no null packets");
        }

        ngx_mc_ts_mux_free(mx);
    }

    /* too low */

    begin(800000, 0);
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);

    for (i = 0; i < 250; i++) {
        t = i * 40000;
        ticks(t, t + 40000);
        video(NGX_MC_CODEC_H264, i % 25 ? 0 : KEY, i * 3600, i * 3600, 5000);
        audio(0, i * 3600, 300);
    }

    ticks(t, t + 2000000);
    sane("too low a rate");
    i = ngx_mc_ts_mux_dropped(mx);
    ok(i > 50 && i == 250 - count(0x100), "dropped %u", (unsigned) i);
    ngx_mc_ts_mux_free(mx);

    /* no memory */

    begin(2000000, 0);
    shim_fail_alloc(1);
    config(NGX_MC_CODEC_H264, 0);
    is_num(ngx_mc_ts_mux_dropped(mx), 1, "no memory for a configuration");
    config(NGX_MC_CODEC_H264, 0);
    config(NGX_MC_CODEC_AAC, 0);
    shim_fail_alloc(1);
    video(NGX_MC_CODEC_H264, KEY, 0, 0, 3000);
    shim_fail_alloc(0);
    is_num(ngx_mc_ts_mux_dropped(mx), 2, "nor for a frame");
    ngx_mc_ts_mux_free(mx);
}


int
main(void)
{
    test_basic();
    test_sizes();
    test_nals();
    test_tracks();
    test_time();
    test_discontinuity();
    test_rate();

    return shim_done();
}
