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


#define VIDEO    0x100
#define AUDIO    0x101
#define PMT      0x1000
#define WRAP     (1LL << 33)
#define N        8192

#define IDR      1
#define FIELD    2                         /* of a frame of two */
#define BOTTOM   4
#define NONREF   8
#define INTRA    16                        /* I, not IDR */


typedef struct {
    ngx_mc_frame_t   f;
    u_char           data[512];            /* the payload's beginning */
    size_t           len;
    size_t           at;                   /* all of it, in kept[] */
} seen_t;


static ngx_mc_ts_demux_t  *dm;
static seen_t              seen[N];
static unsigned            nseen, nunsupported, last_unsupported;
static int64_t             origin;
static unsigned            lose, twice, scramble;
static u_char              es[1048576];
static size_t              es_len;
static u_char              kept[1048576];
static size_t              kept_len;

static const unsigned      one[] = { 1, PMT, 0 };
static const stream_es_t   av[] = {
    { 0x1b, VIDEO, NULL, NULL }, { 0x0f, AUDIO, "eng", NULL }
};


/* bits of a NAL unit */

static u_char    bits[256];
static unsigned  nbits;


static void
u(unsigned n, unsigned value)
{
    while (n--) {
        if ((nbits & 7) == 0) {
            bits[nbits / 8] = 0;
        }

        bits[nbits / 8] |= ((value >> n) & 1) << (7 - (nbits & 7));
        nbits++;
    }
}


static void
ue(unsigned value)
{
    unsigned  n;

    for (n = 0; (value + 1) >> (n + 1); n++) { /* void */ }

    u(n, 0);
    u(n + 1, value + 1);
}


static void
stop(void)
{
    u(1, 1);

    while (nbits & 7) {
        u(1, 0);
    }
}


/* puts it into es[], behind a start code of "code" bytes; fill: payload */

static void
nal(unsigned code, unsigned header, unsigned fill)
{
    unsigned  i, zeros;

    if (code == 4) {
        es[es_len++] = 0;
    }

    es[es_len++] = 0;
    es[es_len++] = 0;
    es[es_len++] = 1;
    es[es_len++] = header;

    for (i = 0, zeros = 0; i < nbits / 8; i++) {

        if (zeros == 2 && bits[i] <= 3) {
            es[es_len++] = 3;
            zeros = 0;
        }

        es[es_len++] = bits[i];
        zeros = bits[i] ? 0 : zeros + 1;
    }

    for (i = 0; i < fill; i++) {
        es[es_len++] = 0x80 | (i & 0x7f);
    }

    nbits = 0;
}


static void
sps(unsigned width, unsigned frames)
{
    u(8, 77);
    u(8, 0);
    u(8, 31);
    ue(0);
    ue(0);
    ue(0);
    ue(4);
    ue(1);
    u(1, 0);
    ue(width / 16 - 1);
    ue(2);
    u(1, frames);
    if (!frames) {
        u(1, 0);
    }
    u(3, 4);
    stop();
    nal(4, 0x67, 0);
}


static void
pps(unsigned id)
{
    ue(id);
    ue(0);
    u(2, 0);
    ue(0);
    ue(0);
    ue(0);
    u(3, 0);
    ue(0);
    ue(0);
    ue(0);
    u(3, 0);
    stop();
    nal(4, 0x68, 0);
}


static void
aud(void)
{
    u(8, 0xf0);
    nal(4, 0x09, 0);
}


static unsigned  frame_mbs_only = 1;
static int       order = -1;               /* in output; -1: as decoded */


static void
slice(unsigned code, unsigned first, unsigned num, unsigned flags,
    unsigned fill)
{
    unsigned  header;

    ue(first);
    ue((flags & (IDR|INTRA)) ? 7 : 5);
    ue(0);
    u(4, num & 15);

    if (!frame_mbs_only) {
        u(1, (flags & FIELD) ? 1 : 0);

        if (flags & FIELD) {
            u(1, (flags & BOTTOM) ? 1 : 0);
        }
    }

    if (flags & IDR) {
        ue(0);
    }

    u(8, ((order < 0 ? num : (unsigned) order) * 2
          + ((flags & BOTTOM) ? 1 : 0)) & 255);
    stop();

    header = (flags & IDR) ? 0x65 : (flags & NONREF) ? 0x01 : 0x41;
    nal(code, header, fill);
}


/* an access unit of one slice, with parameter sets if it is IDR */

static void
unit(unsigned num, unsigned flags, unsigned fill)
{
    aud();

    if (flags & IDR) {
        sps(64, frame_mbs_only);
        pps(0);
    }

    slice(3, 0, num, flags, fill);
}


static void
adts(unsigned rate, unsigned channels, unsigned len)
{
    unsigned  size, i;

    size = len + 7;

    es[es_len++] = 0xff;
    es[es_len++] = 0xf1;
    es[es_len++] = 1 << 6 | rate << 2 | channels >> 2;
    es[es_len++] = (channels & 3) << 6 | size >> 11;
    es[es_len++] = size >> 3;
    es[es_len++] = (size & 7) << 5 | 0x1f;
    es[es_len++] = 0xfc;

    for (i = 0; i < len; i++) {
        es[es_len++] = i + 1;
    }
}


/* an ADTS frame of n blocks of "len", with CRCs or without */

static void
adts_blocks(unsigned rate, unsigned channels, unsigned n, unsigned crc,
    const u_char *block, unsigned len)
{
    unsigned  size, i;

    size = 7 + n * (len + (crc ? 4 : 0));

    es[es_len++] = 0xff;
    es[es_len++] = crc ? 0xf0 : 0xf1;
    es[es_len++] = 1 << 6 | rate << 2 | channels >> 2;
    es[es_len++] = (channels & 3) << 6 | size >> 11;
    es[es_len++] = size >> 3;
    es[es_len++] = (size & 7) << 5 | 0x1f;
    es[es_len++] = 0xfc | (n - 1);

    for (i = 1; crc && i < n; i++) {
        es[es_len++] = i * (len + 2) >> 8;
        es[es_len++] = i * (len + 2);
    }

    for (i = 0; i < n; i++) {

        if (crc && i == 0) {
            es[es_len++] = 0xcc;
            es[es_len++] = 0xcc;
        }

        memcpy(es + es_len, block, len);
        es[es_len] += i;
        es_len += len;

        if (crc) {
            es[es_len++] = 0xcc;
            es[es_len++] = 0xcc;
        }
    }

    if (crc && n == 1) {
        es_len -= 2;                       /* of the header, and no more */
        size -= 2;
        es[es_len - len - 2 - 7 + 4] = size >> 3;
        es[es_len - len - 2 - 7 + 5] = (size & 7) << 5 | 0x1f;
    }
}


static void
stream_packet(u_char *p)
{
    unsigned  n;

    if (lose && --lose == 0) {
        return;
    }

    if (scramble && (p[1] & 0x1f) == 1) {
        ts_set_scrambling(p, 2);
    }

    for (n = 0; n < (twice ? 2 : 1); n++) {
        ngx_mc_ts_demux(dm, p, NGX_MC_TS_SIZE, origin);
    }
}


static void
video(int64_t pts, int64_t dts, unsigned bounded)
{
    stream_pes(VIDEO, 0xe0, pts, dts, es, es_len, bounded, STREAM_NO_TIME, 0);
    es_len = 0;
}


static void
audio(int64_t pts)
{
    stream_pes(AUDIO, 0xc0, pts, pts, es, es_len, 1, STREAM_NO_TIME, 0);
    es_len = 0;
}


static void
frame(void *data, ngx_mc_frame_t *f)
{
    seen_t  *s;

    s = &seen[nseen % N];
    nseen++;

    s->f = *f;
    s->len = f->len - f->header;
    memcpy(s->data, f->tag + f->header, ngx_min(s->len, sizeof(s->data)));
    s->f.tag = NULL;

    if (kept_len + s->len <= sizeof(kept)) {
        s->at = kept_len;
        memcpy(kept + kept_len, f->tag + f->header, s->len);
        kept_len += s->len;
    }
}


static void
unsupported(void *data, ngx_uint_t pid, ngx_uint_t type, ngx_uint_t codec)
{
    nunsupported++;
    last_unsupported = codec;
}


static ngx_mc_ts_demux_handlers_t  handlers = { frame, unsupported };


static void
start_with(int program, const char *language)
{
    ngx_mc_ts_select_t  select;

    if (dm) {
        ngx_mc_ts_demux_free(dm);
    }

    memset(&select, 0, sizeof(select));
    select.program = program;
    select.video = -1;
    select.audio = -1;
    strncpy((char *) select.language, language, 3);

    memset(stream_cc, 0, sizeof(stream_cc));
    nseen = 0;
    kept_len = 0;
    nunsupported = 0;
    lose = 0;
    twice = 0;
    scramble = 0;
    es_len = 0;
    origin = 0;
    frame_mbs_only = 1;

    dm = ngx_mc_ts_demux_create(&select, &handlers, NULL, &shim_log);
}


static void
start(void)
{
    start_with(-1, "");
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, VIDEO, av, 2);
}


/* of one type, pictures and sound only: the n-th, from 0 */

static seen_t *
nth(unsigned type, unsigned n)
{
    unsigned  i;

    for (i = 0; i < ngx_min(nseen, N); i++) {
        if (seen[i].f.type == type && !seen[i].f.config && n-- == 0) {
            return &seen[i];
        }
    }

    return NULL;
}


static unsigned
count(unsigned type, unsigned config)
{
    unsigned  i, n;

    for (i = 0, n = 0; i < ngx_min(nseen, N); i++) {
        n += (seen[i].f.type == type && seen[i].f.config == config);
    }

    return n;
}


static int64_t
dts_of(unsigned type, unsigned n)
{
    seen_t  *s;

    s = nth(type, n);

    return s ? s->f.dts : -1;
}


static unsigned
marked(unsigned type)
{
    unsigned  i, n;

    for (i = 0, n = 0; i < ngx_min(nseen, N); i++) {
        n += (seen[i].f.type == type && seen[i].f.discontinuity);
    }

    return n;
}


#define nvideo()    count(NGX_MC_FRAME_VIDEO, 0)
#define naudio()    count(NGX_MC_FRAME_AUDIO, 0)
#define vdts(n)     dts_of(NGX_MC_FRAME_VIDEO, n)
#define adts_of(n)  dts_of(NGX_MC_FRAME_AUDIO, n)
#define V(n)        nth(NGX_MC_FRAME_VIDEO, n)
#define A(n)        nth(NGX_MC_FRAME_AUDIO, n)


static void
test_basic(void)
{
    ngx_mc_ts_demux_track_t  *t;

    start();
    is_c(ngx_mc_ts_demux_problem(dm), "no packets of video and audio",
         "nothing came yet");

    unit(0, IDR, 100);
    video(9000, 5400, 0);
    unit(1, 0, 50);
    slice(3, 4, 1, 0, 20);
    video(16200, 9000, 0);
    adts(3, 2, 30);
    adts(3, 2, 40);
    audio(9000);
    unit(2, NONREF, 10);
    video(12600, STREAM_NO_TIME, 0);

    is_num(nvideo(), 2, "frames come when the next one begins");
    is_num(naudio(), 2, "both of a PES packet");
    is_num(count(NGX_MC_FRAME_VIDEO, 1), 1, "a configuration");
    is_num(count(NGX_MC_FRAME_AUDIO, 1), 1, "for audio too");
    is_num(count(NGX_MC_FRAME_META, 0), 1, "metadata");
    is_num(seen[0].f.config, 1, "the configuration is first");
    is_num(seen[0].data[0], 1, "avcC");

    ok(V(0)->f.key && !V(1)->f.key, "which is the key frame");
    is_num(V(0)->f.dts, 5400, "dts");
    is_num(V(0)->f.pts, 9000, "pts");
    is_num(vdts(1), 9000, "dts of the next one");
    is_num(V(0)->data[4], 0x65, "no delimiter, no parameter sets");
    is_num(V(0)->data[3] + 4u, V(0)->len, "one length");
    is_num(V(1)->data[4], 0x41, "two slices: the first");
    is_num(V(1)->data[V(1)->data[3] + 4 + 4], 0x41, "and the second");
    is_num(V(1)->len, V(1)->data[3] + 4 + V(1)->data[V(1)->data[3] + 4 + 3]
           + 4, "their lengths");

    is_num(adts_of(0), 9000, "audio");
    is_num(adts_of(1), 9000 + 1920, "the second one");
    is_num(A(0)->len, 30, "without ADTS");
    is_num(A(1)->data[39], 40, "all of it");

    t = ngx_mc_ts_demux_tracks(dm);

    is_num(t[0].info.width, 64, "width");
    is_num(t[1].info.sample_rate, 48000, "sample rate");
    is_c(t[1].info.language, "eng", "language");
    is_num(t[0].frames, 2, "frames counted");
    ok(ngx_mc_ts_demux_problem(dm) == NULL, "no problem");

    ngx_mc_ts_demux_flush(dm);
    is_num(nvideo(), 3, "the last one when the source is silent");
    is_num(vdts(2), 12600, "pts is dts where there is none");
    is_num(ngx_mc_ts_demux_damaged(dm), 0, "nothing was damaged");
}


static void
test_random(void)
{
    unsigned  i;

    /* broadcast: neither IDR nor recovery points, but random access */

    start();

    for (i = 0; i < 8; i++) {
        aud();

        if (i % 4 == 0) {
            sps(64, frame_mbs_only);
            pps(0);
        }

        slice(3, 0, i, (i % 2 == 0) ? INTRA : 0, 300);

        stream_random = (i % 4 == 0 || i == 5);
        video(i * 3600, i * 3600, 0);
    }

    stream_random = 0;
    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 8, "random access");

    for (i = 0; i < 8; i++) {
        is_num(V(i)->f.key, i % 4 == 0, "picture %u", i);
    }
}


static void
test_adts(void)
{
    unsigned       i, n;
    uint64_t       damaged;
    stream_es_t    one_es;
    static u_char  block[40] = { 0x21 };

    static u_char  pce[40];

    start_with(-1, "");
    memset(&one_es, 0, sizeof(one_es));
    one_es.type = 0x0f;
    one_es.pid = AUDIO;
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, AUDIO, &one_es, 1);

    for (i = 0; i < 4; i++) {
        adts_blocks(3, 2, 3, 1, block, sizeof(block));
        adts_blocks(3, 2, 1, 1, block, sizeof(block));
        audio(i * 7680);
    }

    is_num(naudio(), 16, "three blocks, and one");
    is_num(count(NGX_MC_FRAME_AUDIO, 1), 1, "one configuration");

    for (i = n = 0; i < 16; i++) {
        n += A(i)->f.dts - A(0)->f.dts == i * 1920
             && A(i)->len == sizeof(block)
             && A(i)->data[0] == 0x21 + (i % 4 == 3 ? 0 : i % 4);
    }

    is_num(n, 16, "times and bytes of blocks");

    damaged = ngx_mc_ts_demux_damaged(dm);

    adts_blocks(3, 2, 2, 0, block, sizeof(block));
    adts_blocks(3, 2, 1, 0, block, sizeof(block));
    audio(4 * 7680);
    is_num(naudio(), 17, "blocks that cannot be told apart");
    is_num(A(16)->f.dts - A(0)->f.dts, 18 * 1920, "the time of the next");
    is_num(ngx_mc_ts_demux_damaged(dm) - damaged, 1, "and they are counted");

    /* positions that are none */

    adts_blocks(3, 2, 2, 1, block, sizeof(block));
    es[7] = 0x7f;
    adts_blocks(3, 2, 1, 0, block, sizeof(block));
    audio(5 * 7680);
    is_num(naudio(), 18, "a position out of the frame");

    start_with(-1, "");
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, AUDIO, &one_es, 1);

    /* 5.1: front one and a pair, back a pair, one LFE; LC of 48 kHz */

    u(3, 5);
    u(4, 0);
    u(2, 1);
    u(4, 3);
    u(4, 2);
    u(4, 0);
    u(4, 1);
    u(2, 1);
    u(3, 0);
    u(4, 0);
    u(3, 0);
    u(5, 0);
    u(5, 0x10);
    u(5, 0x11);
    u(4, 0);
    u(8, 0);
    memcpy(pce, bits, nbits / 8);
    nbits = 0;

    adts_blocks(3, 0, 1, 0, block, sizeof(block));
    adts_blocks(3, 0, 1, 0, pce, sizeof(pce));
    adts_blocks(3, 0, 1, 0, block, sizeof(block));
    audio(0);

    is_num(naudio(), 2, "channels are told by an element");
    is_num(count(NGX_MC_FRAME_AUDIO, 1), 1, "once");
    is_num(A(0)->len, sizeof(pce), "which stays where it is");
    is_num(ngx_mc_ts_demux_tracks(dm)[1].info.sample_rate, 48000, "rate");
    is_num(ngx_mc_ts_demux_tracks(dm)[1].info.channels, 6, "channels");
    is_num(seen[1].f.config, 1, "its configuration");
    is_num(seen[1].len, 10, "of an element without a comment");
}


static void
test_units(void)
{
    unsigned  i;

    /* several access units in a PES packet, none with timestamps */

    start();
    unit(0, IDR, 30);
    video(0, 0, 0);
    unit(1, 0, 30);
    video(3600, 3600, 0);
    unit(2, 0, 30);
    unit(3, 0, 30);
    slice(4, 0, 4, 0, 30);                 /* without a delimiter */
    video(7200, 7200, 0);
    unit(5, 0, 30);
    video(STREAM_NO_TIME, 0, 0);
    unit(6, 0, 30);
    video(21600, 21600, 0);

    is_num(nvideo(), 6, "each access unit is a frame");

    for (i = 0; i < 6; i++) {
        is_num(vdts(i), i * 3600, "time of frame %u", i);
    }

    /* an access unit over several PES packets, bounded */

    start();

    for (i = 0; i < 3; i++) {
        unit(i, i ? 0 : IDR, 30);
        video(i * 3600, i * 3600, 1);
        slice(4, 8, i, i ? 0 : IDR, 30);
        video(STREAM_NO_TIME, 0, 1);
    }

    is_num(nvideo(), 2, "over several PES packets");
    is_num(V(0)->len, 8u + V(0)->data[3] + V(0)->data[7 + V(0)->data[3]],
           "with both slices");

    /* PES_packet_length: no need to wait */

    start();

    for (i = 0; i < 12; i++) {
        unit(i, i ? 0 : IDR, 30);
        video(i * 3600, i * 3600, 1);
    }

    is_num(nvideo(), 12, "bounded packets of one frame each: at once");

    /* filler data, zeros at the end, a start code over two packets */

    start();
    unit(0, IDR, 30);
    nal(3, 0x0c, 40);
    memset(es + es_len, 0, 9);
    es_len += 9;
    video(0, 0, 0);
    aud();
    slice(3, 0, 1, 0, 184 - 14 - 6 - 4 - 5 - 2 + 1);
    slice(3, 2, 1, 0, 30);
    video(3600, 3600, 0);
    ngx_mc_ts_demux_flush(dm);
    is_num(nvideo(), 2, "frames");
    is_num(V(0)->len, 4u + V(0)->data[3], "no filler data, no zeros");
    is_num(V(1)->data[4 + V(1)->data[3] + 4], 0x41, "the second slice");
}


static void
test_fields(void)
{
    int64_t   base;
    unsigned  i;

    start();
    frame_mbs_only = 0;

    for (i = 0; i < 4; i++) {
        aud();
        if (i == 0) {
            sps(64, 0);
            pps(0);
        }
        slice(3, 0, i, (i ? 0 : IDR) | FIELD, 40);

        if (i & 1) {
            video(i * 3600, i * 3600, 0);
            aud();
        }

        slice(3, 0, i, FIELD | BOTTOM, 20);
        video(i * 3600 + ((i & 1) ? 1800 : 0), i * 3600
              + ((i & 1) ? 1800 : 0), 0);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 4, "two fields are a frame");

    aud();
    slice(3, 0, 4, FIELD, 40);
    video(5 * 3600, 5 * 3600, 0);
    ngx_mc_ts_demux_flush(dm);
    is_num(nvideo(), 4, "one is not given out alone");
    ngx_mc_ts_demux_reset(dm);
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, VIDEO, av, 2);
    nseen = 0;

    for (i = 0; i < 4; i++) {
        unit(i, (i ? 0 : IDR) | FIELD, 40);
        slice(3, 0, i, FIELD | BOTTOM, 20);
        video(i * 3600, i * 3600, 0);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 4, "after a reset");

    for (i = 0; i < 4; i++) {
        is_num(vdts(i) - vdts(0), i * 3600, "time of frame %u", i);
        is_num(V(i)->len, 8u + V(i)->data[3]
               + V(i)->data[7 + V(i)->data[3]], "both fields in frame %u", i);
    }

    ok(V(0)->f.key, "a key frame");

    /* a field is lost: those that follow pair as before */

    base = vdts(0);
    nseen = 0;

    for (i = 4; i < 8; i++) {
        aud();
        slice(3, 0, i, FIELD, 300);
        lose = (i == 5) ? 1 : 0;
        video(i * 3600, i * 3600, 0);
        aud();
        slice(3, 0, i, FIELD | BOTTOM, 20);
        video(i * 3600 + 1800, i * 3600 + 1800, 0);
    }

    ngx_mc_ts_demux_flush(dm);

    /* nor the one before it, whose end may be among what was lost */

    is_num(nvideo(), 2, "without the frame whose field was lost");
    is_num(vdts(0) - base, 6 * 3600, "after it");
    is_num(vdts(1) - base, 7 * 3600, "and the next");
}


static void
test_loss(void)
{
    unsigned  i;

    start();

    for (i = 0; i < 6; i++) {
        unit(i, i ? 0 : IDR, 500);
        lose = (i == 2) ? 2 : (i == 4) ? 1 : 0;
        video(i * 3600, i * 3600, 0);
    }

    ngx_mc_ts_demux_flush(dm);

    /* of 4 the first packet is missing: 3 may have had more */

    is_num(nvideo(), 3, "what is damaged is not given out");
    is_num(vdts(0), 0, "before");
    is_num(vdts(1), 3600, "before");
    is_num(vdts(2), 5 * 3600, "after");
    is_num(ngx_mc_ts_demux_damaged(dm), 2, "counted");

    /* duplicates */

    start();
    twice = 1;

    for (i = 0; i < 4; i++) {
        unit(i, i ? 0 : IDR, 500);
        video(i * 3600, i * 3600, 0);
        adts(3, 2, 300);
        audio(i * 3600);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 4, "duplicates");
    is_num(naudio(), 4, "of audio");
    is_num(ngx_mc_ts_demux_damaged(dm), 0, "are no damage");
    is_num(V(1)->len, V(0)->len - 1 + 1, "and not in the frame");

    /* what follows on fifteen packets that were lost looks like a duplicate */

    start();
    unit(0, IDR, 4000);
    for (i = 0; i < 4000; i++) {
        es[es_len - 4000 + i] = 1 + i % 251;
    }
    {
        u_char  part[4200];
        size_t  off, n;

        memset(part, 0, 14);
        pes_init(part);
        pes_set_streamid(part, 0xe0);
        pes_set_headerlength(part, 5);
        pes_set_pts(part, 900);
        memcpy(part + 14, es, es_len);

        for (off = 0, n = 0; off + 184 < es_len; off += 184, n++) {
            if (n >= 3 && n < 3 + 15) {
                stream_cc[VIDEO]++;
                continue;
            }
            (void) stream_ts(VIDEO, off == 0, part + off, 184,
                             STREAM_NO_TIME, 0);
        }
        es_len = 0;
    }
    unit(1, 0, 30);
    video(3600, 3600, 0);
    ngx_mc_ts_demux_flush(dm);
    is_num(ngx_mc_ts_demux_damaged(dm), 1, "fifteen packets lost");

    /* audio: what a gap leaves incomplete */

    start();
    for (i = 0; i < 10; i++) {
        adts(3, 2, 300);
        adts(3, 2, 300);
        lose = (i == 5) ? 3 : 0;
        audio(i * 3840);
    }
    is_num(naudio(), 19, "one frame of audio is missing");
    is_num(adts_of(11), 6 * 3840, "and time goes on");
}


static void
test_time(void)
{
    int64_t      t, worst, last[2];
    unsigned     i, d, n;

    /* 33 bits end, for video before audio */

    start();

    for (i = 0; i < 20; i++) {
        t = WRAP - 10 * 3600 + i * 3600;
        unit(i, i ? 0 : IDR, 30);
        video(t + 3600, t, 0);
        adts(3, 2, 30);
        audio(t - 7200);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 20, "over the wrap");

    for (i = 0; i < 20; i++) {
        if (vdts(i) - vdts(0) != i * 3600
            || adts_of(i) - vdts(0) != (int) i * 3600 - 7200
            || V(i)->f.pts - vdts(i) != 3600)
        {
            break;
        }
    }

    is_num(i, 20, "all on one line");

    /* another time base, without a word */

    start();

    for (i = 0; i < 20; i++) {
        t = (i < 10) ? 900000 + i * 3600 : 80000000 + i * 3600;
        unit(i, i ? 0 : IDR, 30);
        video(t, t, 0);
        t = (i < 12) ? 900000 + i * 3600 : 80000000 + i * 3600;
        adts(3, 2, 30);
        audio(t - 7200);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(marked(NGX_MC_FRAME_VIDEO), 1, "a jump marks a frame of video");
    is_num(marked(NGX_MC_FRAME_AUDIO), 1, "and one of audio");
    ok(V(10)->f.discontinuity && A(12)->f.discontinuity, "the first ones");
    is_num(vdts(19) - vdts(0), 19 * 3600, "time goes on");
    is_num(adts_of(19) - vdts(19), -7200, "audio stays where it was");
    is_num(adts_of(11) - vdts(11), -7200, "while it is late as well");

    /* back by five seconds, as PCR says */

    start();

    for (i = 0; i < 20; i++) {
        t = 900000 + (int64_t) i * 3600 - ((i < 10) ? 0 : 450000);
        unit(i, i ? 0 : IDR, 30);
        stream_pes(VIDEO, 0xe0, t, t, es, es_len, 0, t - 30000, i == 10);
        es_len = 0;
        adts(3, 2, 30);
        audio(t + 1800);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(vdts(19) - vdts(0), 19 * 3600, "a time base that PCR tells of");
    is_num(adts_of(19) - vdts(19), 1800, "with audio");
    ok(V(10)->f.discontinuity && A(10)->f.discontinuity, "marked");
    is_num(nvideo(), 20, "no frame lost");

    /* a file that is read again and again */

    for (n = 0; n < 3; n++) {
        nseen = 0;

        for (i = 0; i < 50; i++) {
            t = 126000 + (int64_t) i * 3600;
            unit(i, (i % 25) ? 0 : IDR, 30);
            video(t, t, 0);
            adts(3, 2, 30);
            audio(t + 1800);
        }

        for (i = 1; i < nvideo(); i++) {
            if (vdts(i) - vdts(i - 1) < 1 || vdts(i) - vdts(i - 1) > 7200
                || adts_of(i) - adts_of(i - 1) < 1)
            {
                break;
            }
        }

        ok(i >= 49, "a loop: time goes on");
    }

    ngx_mc_ts_demux_flush(dm);
    is_num(adts_of(49) - vdts(nvideo() - 1), 1800, "and in sync");

    /* reset, a second later */

    origin += 1000000;
    last[0] = vdts(nvideo() - 1);
    ngx_mc_ts_demux_reset(dm);
    nseen = 0;
    is_c(ngx_mc_ts_demux_problem(dm), "no PAT", "after reset");
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, VIDEO, av, 2);
    unit(0, IDR, 30);
    video(70000, 70000, 0);
    adts(3, 2, 30);
    audio(70000);
    ngx_mc_ts_demux_flush(dm);
    is_num(count(NGX_MC_FRAME_VIDEO, 1), 1, "the configuration again");
    is_num(marked(NGX_MC_FRAME_VIDEO), 1, "and video marked");
    is_num(marked(NGX_MC_FRAME_AUDIO), 1, "and audio");
    ok(vdts(0) >= last[0] + 90000 && vdts(0) < last[0] + 99000,
       "as much later");
    is_num(adts_of(0), vdts(0), "audio likewise");

    /* an outage of the source, with its clock going on */

    nseen = 0;
    origin += 60000000;
    unit(1, 0, 30);
    video(70000 + 5400000, 70000 + 5400000, 0);
    ngx_mc_ts_demux_flush(dm);
    ok(!V(0)->f.discontinuity, "a minute of silence is no jump");

    /* an hour of audio at 44.1 kHz, with timestamps that are rounded */

    start();
    worst = 0;

    for (i = 0; i < 155000; i++) {
        t = (int64_t) i * 1024 * 90000 / 44100;
        adts(4, 2, 8);
        nseen = 0;
        audio(t + (i % 3) - 1);

        for (d = 0; d < nseen; d++) {
            if (seen[d].f.type == NGX_MC_FRAME_AUDIO) {
                worst = ngx_max(worst, llabs(seen[d].f.dts - t));
            }
        }
    }

    ok(worst < 90, "an hour of audio: %d ticks off", (int) worst);
}


static void
test_psi(void)
{
    unsigned          i;
    stream_es_t       many[60], two[3];
    static unsigned   programs[] = { 1, PMT, 2, 0x1001, 0 };
    static unsigned   second[] = { 2, 0x1001, 0 };

    /* a PMT over several packets */

    start_with(-1, "");
    is_c(ngx_mc_ts_demux_problem(dm), "no PAT", "no PAT");
    stream_pat(0, one);
    is_c(ngx_mc_ts_demux_problem(dm), "no PMT of programme 1", "no PMT");

    memset(many, 0, sizeof(many));

    for (i = 0; i < 60; i++) {
        many[i].type = 0x06;
        many[i].pid = 0x200 + i;
        many[i].registration = "KLVA";
    }

    many[58] = av[0];
    many[59] = av[1];

    stream_pmt(PMT, 1, 0, VIDEO, many, 60);

    is_num(nunsupported, 58, "each that cannot be carried is told of");
    is_num(last_unsupported, NGX_MC_CODEC_KLV, "as what it is");
    is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, VIDEO, "video");
    is_num(ngx_mc_ts_demux_tracks(dm)[1].pid, AUDIO, "audio");

    stream_pmt(PMT, 1, 1, VIDEO, many, 60);
    is_num(nunsupported, 58, "and not again");

    /* a PMT that changes all the time; audio moves */

    start();

    for (i = 0; i < 20; i++) {
        unit(i, i ? 0 : IDR, 300);
        video(i * 3600, i * 3600, 0);
        adts(3, 2, 30);
        adts(3, 2, 30);
        stream_pes((i < 10) ? AUDIO : AUDIO + 1, 0xc0, i * 3600, i * 3600, es,
                   es_len, 1, STREAM_NO_TIME, 0);
        es_len = 0;

        two[0] = av[0];
        two[1] = av[1];
        two[1].pid = (i < 9) ? AUDIO : AUDIO + 1;
        two[2] = av[1];
        two[2].pid = 0x300;
        two[2].type = (i & 1) ? 0x81 : 0x06;
        stream_pmt(PMT, 1, i + 1, VIDEO, two, 3);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 20, "no frame is lost");
    is_num(naudio(), 40, "audio follows");
    is_num(count(NGX_MC_FRAME_VIDEO, 1), 1, "one configuration of video");
    is_num(count(NGX_MC_FRAME_AUDIO, 1), 2, "and for each audio");

    /* video goes, and comes back */

    nseen = 0;
    stream_pmt(PMT, 1, 30, AUDIO, av + 1, 1);
    is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, 0, "video is gone");
    for (i = 20; i < 22; i++) {
        adts(3, 2, 30);
        audio(i * 3600);
    }
    is_num(count(NGX_MC_FRAME_META, 0), 1, "metadata say so");
    stream_pmt(PMT, 1, 31, VIDEO, av, 2);
    unit(0, IDR, 30);
    video(22 * 3600, 22 * 3600, 0);
    ngx_mc_ts_demux_flush(dm);
    is_num(nvideo(), 1, "and it is back");

    /* the first programme has nothing for us, the second has */

    start_with(-1, "");
    two[0] = av[0];
    two[0].type = 0x02;
    two[1] = av[1];
    two[1].type = 0x81;

    for (i = 0; i < 3; i++) {
        stream_pat(0, programs);
        stream_pmt(PMT, 1, 0, VIDEO, two, 2);

        if (i == 0) {
            is_c(ngx_mc_ts_demux_problem(dm),
                 "no H.264, HEVC, AAC or MP3 in it", "nothing in it");
        }

        stream_pmt(0x1001, 2, 0, VIDEO, av, 2);
    }

    is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, VIDEO, "the second programme");
    is_num(nunsupported, 2, "the first one was told of once");

    /* but it was asked for */

    start_with(1, "");

    for (i = 0; i < 3; i++) {
        stream_pat(0, programs);
        stream_pmt(PMT, 1, 0, VIDEO, two, 2);
        stream_pmt(0x1001, 2, 0, VIDEO, av, 2);
    }

    is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, 0, "not what was not asked for");

    start_with(3, "");
    stream_pat(0, programs);
    is_c(ngx_mc_ts_demux_problem(dm), "no programme 3", "no such programme");

    /* the PMT of the first never comes */

    start_with(-1, "");

    for (i = 0; i < 30; i++) {
        stream_pat(0, programs);
        stream_pmt(0x1001, 2, 0, VIDEO, av, 2);
    }

    is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, VIDEO, "one without a PMT");

    /* the programme goes */

    start();
    unit(0, IDR, 30);
    video(3600, 3600, 0);
    unit(1, 0, 30);
    video(7200, 7200, 0);
    stream_pat(1, second);
    stream_pmt(0x1001, 2, 0, VIDEO, av, 2);
    nseen = 0;
    unit(0, IDR, 30);
    video(900, 900, 0);
    ngx_mc_ts_demux_flush(dm);
    is_num(nvideo(), 1, "another programme instead");
    is_num(marked(NGX_MC_FRAME_VIDEO), 1, "another stream");

    /* language; layer 2 */

    start_with(-1, "deu");
    two[0] = av[0];
    two[1] = av[1];
    two[2] = av[1];
    two[2].language = "DEU";
    two[2].pid = 0x102;
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, VIDEO, two, 3);
    is_num(ngx_mc_ts_demux_tracks(dm)[1].pid, 0x102, "by language");

    start_with(-1, "");
    two[1].type = 0x03;
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, VIDEO, two, 3);
    is_num(ngx_mc_ts_demux_tracks(dm)[1].pid, AUDIO, "MPEG audio at first");
    for (i = 0; i < 3; i++) {
        memset(es, 0x55, 576);
        memcpy(es, "\xff\xfd\xa4\x04", 4);      /* 192 kbit/s, 48 kHz */
        es_len = 576;
        audio(i * 2160);
    }
    is_num(ngx_mc_ts_demux_tracks(dm)[1].pid, 0x102, "not if it is layer 2");
    is_num(last_unsupported, NGX_MC_CODEC_MP2, "which is told");
    is_num(nunsupported, 1, "once");
    is_num(naudio(), 0, "and is not given out");
    stream_pmt(PMT, 1, 1, AUDIO, two, 3);
    is_num(ngx_mc_ts_demux_tracks(dm)[1].pid, 0x102,
           "nor tried again with the next PMT");
    is_num(nunsupported, 1, "nor told of again");
}


/* a PMT of one H.264 stream */

static size_t
pmt_section(u_char *s, unsigned program, unsigned pid)
{
    memset(s, 0, 64);
    pmt_init(s);
    pmt_set_program(s, program);
    psi_set_version(s, 0);
    psi_set_current(s);
    pmt_set_pcrpid(s, pid);
    pmt_set_desclength(s, 0);
    pmtn_init(s + PMT_HEADER_SIZE);
    pmtn_set_streamtype(s + PMT_HEADER_SIZE, 0x1b);
    pmtn_set_pid(s + PMT_HEADER_SIZE, pid);
    pmtn_set_desclength(s + PMT_HEADER_SIZE, 0);
    pmt_set_length(s, 5);
    psi_set_crc(s);

    return PMT_HEADER_SIZE + 5 + 4;
}


static size_t
pat_section(u_char *s, unsigned n, unsigned last, unsigned program,
    unsigned pid)
{
    memset(s, 0, 64);
    pat_init(s);
    pat_set_tsid(s, 1);
    psi_set_version(s, 5);
    psi_set_current(s);
    psi_set_section(s, n);
    psi_set_lastsection(s, last);
    patn_init(s + PAT_HEADER_SIZE);
    patn_set_program(s + PAT_HEADER_SIZE, program);
    patn_set_pid(s + PAT_HEADER_SIZE, pid);
    pat_set_length(s, 4);
    psi_set_crc(s);

    return PAT_HEADER_SIZE + 4 + 4;
}


static void
test_sections(void)
{
    u_char  s[256];
    size_t  n;

    /* a PAT of two sections in packets of their own, the second one first */

    start_with(2, "");

    memset(s, 0xff, sizeof(s));
    s[0] = 0;
    (void) pat_section(s + 1, 1, 1, 2, PMT);
    memset(s + 17, 0xff, sizeof(s) - 17);
    (void) stream_ts(0, 1, s, 184, STREAM_NO_TIME, 0);
    is_c(ngx_mc_ts_demux_problem(dm), "no PAT", "half of a PAT");

    (void) pat_section(s + 1, 0, 1, 1, 0x1001);
    memset(s + 17, 0xff, sizeof(s) - 17);
    (void) stream_ts(0, 1, s, 184, STREAM_NO_TIME, 0);
    (void) pat_section(s + 1, 1, 1, 2, PMT);
    memset(s + 17, 0xff, sizeof(s) - 17);
    (void) stream_ts(0, 1, s, 184, STREAM_NO_TIME, 0);
    is_c(ngx_mc_ts_demux_problem(dm), "no PMT of programme 2", "all of it");

    /* two sections in a packet, the second goes on in the next, where a
       third one begins */

    memset(s, 0xff, sizeof(s));
    s[0] = 150;
    n = 1 + 150 + pmt_section(s + 151, 1, 0x200);
    memset(s + n, 0xff, 184 - n);
    {
        u_char  two[64];

        (void) pmt_section(two, 2, VIDEO);
        memcpy(s + n, two, 184 - n);
        (void) stream_ts(PMT, 1, s, 184, STREAM_NO_TIME, 0);
        is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, 0, "not yet");

        memset(s + 1, 0xff, sizeof(s) - 1);
        s[0] = 21 - (184 - n);
        memcpy(s + 1, two + (184 - n), s[0]);
        (void) pmt_section(s + 1 + s[0], 1, 0x201);
        memset(s + 1 + s[0] + 21, 0xff, 100);
        (void) stream_ts(PMT, 1, s, 184, STREAM_NO_TIME, 0);
    }

    is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, VIDEO, "over two packets");

    /* a bit is wrong: nothing changes */

    n = 1 + pmt_section(s + 1, 2, 0x300);
    s[0] = 0;
    s[n - 6] ^= 1;
    memset(s + n, 0xff, 184 - n);
    (void) stream_ts(PMT, 1, s, 184, STREAM_NO_TIME, 0);
    is_num(ngx_mc_ts_demux_tracks(dm)[0].pid, VIDEO, "CRC_32");
}


static void
test_config(void)
{
    start();
    unit(0, IDR, 30);
    video(0, 0, 0);
    unit(1, 0, 30);
    video(3600, 3600, 0);
    unit(0, IDR, 30);
    video(7200, 7200, 0);
    aud();
    sps(128, 1);
    pps(0);
    pps(1);
    slice(3, 0, 0, IDR, 30);
    video(10800, 10800, 0);
    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 4, "frames");
    is_num(count(NGX_MC_FRAME_VIDEO, 1), 2, "a configuration that changed");
    ok(seen[nseen - 2].f.config, "comes before the frame that uses it");
    is_num(ngx_mc_ts_demux_tracks(dm)[0].info.width, 128, "width");

    /* none before the first configuration */

    start();
    unit(1, 0, 30);
    video(0, 0, 0);
    unit(2, 0, 30);
    video(3600, 3600, 0);
    is_num(nseen, 0, "nothing before a configuration");
    is_c(ngx_mc_ts_demux_problem(dm), "no frame that can be decoded yet",
         "why");
    unit(0, IDR, 30);
    video(7200, 7200, 0);
    ngx_mc_ts_demux_flush(dm);
    is_num(nvideo(), 1, "then it comes");

    /* audio: another rate; frames over PES packets; what is none */

    start();
    memset(es, 0xff, 50);
    es_len = 50;
    adts(3, 2, 30);
    adts(3, 2, 30);
    audio(0);
    adts(4, 1, 30);
    adts(4, 1, 300);
    es_len -= 200;
    audio(3840);
    memset(es, 0x11, 200);
    es_len = 200;
    is_num(naudio(), 3, "frames of audio");
    adts(4, 1, 30);
    audio(3840 + 2 * 2089);
    is_num(naudio(), 5, "one over two PES packets");
    is_num(count(NGX_MC_FRAME_AUDIO, 1), 2, "another configuration");
    is_num(adts_of(2), 3840, "its time");

    /* scrambled */

    start();
    scramble = 1;
    unit(0, IDR, 30);
    video(0, 0, 0);
    is_c(ngx_mc_ts_demux_problem(dm), "scrambled", "scrambled");
    is_num(nseen, 0, "nothing of it");
}


/* x265, 64x48 */

static const u_char  hevc_vps[] = {
    0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00,
    0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x1e, 0x95, 0x94, 0x09
};

static const u_char  hevc_sps[] = {
    0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00,
    0x03, 0x00, 0x00, 0x03, 0x00, 0x1e, 0xa0, 0x20, 0x83, 0x16, 0x59, 0x59,
    0x52, 0x93, 0x0b, 0xc0, 0x5a, 0x02, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00,
    0x00, 0x03, 0x00, 0x32, 0x10
};

static const u_char  hevc_pps[] = {
    0x44, 0x01, 0xc0, 0x71, 0x81, 0x12
};


static void
hevc_nal(const u_char *data, size_t len)
{
    memcpy(es + es_len, "\0\0\1", 3);
    memcpy(es + es_len + 3, data, len);
    es_len += 3 + len;
}


static void
hevc_unit(unsigned type, unsigned first, unsigned fill)
{
    u_char  n[200];

    memset(n, 0x5a, sizeof(n));

    if (first) {
        hevc_nal((u_char *) "\x46\x01\x50", 3);

        if (type == 19) {
            hevc_nal(hevc_vps, sizeof(hevc_vps));
            hevc_nal(hevc_sps, sizeof(hevc_sps));
            hevc_nal(hevc_pps, sizeof(hevc_pps));
        }

        hevc_nal((u_char *) "\x4e\x01\x04\x01\x42\x80", 6);
    }

    n[0] = type << 1;
    n[1] = 1;
    n[2] = first ? 0xaf : 0x2f;

    hevc_nal(n, fill);
    hevc_nal((u_char *) "\x4c\x01\xff\xff\x80", 5);
}


static void
test_hevc(void)
{
    unsigned      i;
    stream_es_t   one_es;

    start_with(-1, "");
    memset(&one_es, 0, sizeof(one_es));
    one_es.type = 0x24;
    one_es.pid = VIDEO;
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, VIDEO, &one_es, 1);

    for (i = 0; i < 4; i++) {
        hevc_unit(i ? 1 : 19, 1, 60);
        hevc_unit(i ? 1 : 19, 0, 40);

        if (i == 2) {
            hevc_unit(1, 1, 60);
        }

        video(i * 7200 + 3600, i * 7200, 0);
    }

    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 5, "HEVC");
    is_num(count(NGX_MC_FRAME_VIDEO, 1), 1, "its configuration");
    is_num(seen[1].f.codec, NGX_MC_CODEC_HEVC, "its codec");
    is_num(ngx_mc_ts_demux_tracks(dm)[0].info.width, 64, "its width");
    ok(V(0)->f.key && !V(1)->f.key, "a key frame");
    is_num(V(0)->len, 4 + 6 + 4 + 60 + 4 + 40, "SEI and slices, no more");
    is_num(vdts(2), 14400, "dts");
    is_num(vdts(4), 21600, "dts of the last");
    ok(vdts(3) > 14400 && vdts(3) < 21600, "two in a PES packet");

    /* a recovery point, and no IRAP picture */

    hevc_nal((u_char *) "\x46\x01\x50", 3);
    hevc_nal((u_char *) "\x4e\x01\x06\x02\x07\xc0\x80", 7);
    hevc_nal((u_char *) "\x02\x01\xd0\x11\x56\x20", 6);
    video(4 * 7200 + 3600, 4 * 7200, 0);
    hevc_unit(1, 1, 60);
    video(5 * 7200 + 3600, 5 * 7200, 0);
    ngx_mc_ts_demux_flush(dm);

    ok(V(5) && V(5)->f.key, "a recovery point is a key frame");
    ok(V(6) && !V(6)->f.key, "what follows is none");
}


static void
test_latm(void)
{
    unsigned      i, n, len;
    stream_es_t   one_es;

    start_with(-1, "");
    memset(&one_es, 0, sizeof(one_es));
    one_es.type = 0x11;
    one_es.pid = AUDIO;
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, AUDIO, &one_es, 1);

    for (i = 0; i < 4; i++) {

        /* useSameStreamMux, StreamMuxConfig */

        u(1, i & 1);

        if (!(i & 1)) {
            u(1, 0);
            u(1, 1);
            u(6, 0);
            u(4, 0);
            u(3, 0);
            u(5, 2);
            u(4, 3);
            u(4, 2);
            u(3, 0);
            u(3, 0);
            u(8, 0xff);
            u(1, 0);
            u(1, 0);
        }

        /* PayloadLengthInfo, PayloadMux */

        u(8, 20);

        for (n = 0; n < 20; n++) {
            u(8, n + i);
        }

        stop();
        len = nbits / 8;
        nbits = 0;

        es[es_len++] = 0x56;
        es[es_len++] = 0xe0 | len >> 8;
        es[es_len++] = len;
        memcpy(es + es_len, bits, len);
        es_len += len;

        if (i & 1) {
            audio(i / 2 * 3840);
        }
    }

    is_num(naudio(), 4, "LATM");
    is_num(count(NGX_MC_FRAME_AUDIO, 1), 1, "its configuration");
    is_num(seen[1].data[0] << 8 | seen[1].data[1], 0x1190, "is AAC LC");
    is_num(adts_of(3), 5760, "its time");
    is_num(A(3)->len, 20, "its length");
    is_num(A(3)->data[19], 22, "its bytes");
}


static void
test_memory(void)
{
    unsigned  i, n;

    /* every allocation fails once */

    for (n = 1; n < 12; n++) {
        start();
        shim_fail_alloc(n);

        for (i = 0; i < 12; i++) {
            unit(i, (i % 3) ? 0 : IDR, 20000);
            video(i * 3600, i * 3600, 0);
            adts(3, 2, 30);
            audio(i * 3600);
        }

        shim_fail_alloc(0);
        ok(nvideo() >= 6, "allocation %u fails: goes on", n);
    }

    /* too large */

    start();
    unit(0, IDR, 100);
    video(0, 0, 0);
    nseen = 0;

    for (i = 0; i < 280; i++) {
        if (i == 0) {
            unit(1, 0, 60000);
        } else {
            memset(es, 0x77, 60000);
            es_len = 60000;
        }
        video(i ? STREAM_NO_TIME : 3600, 3600, 0);
    }

    unit(2, 0, 100);
    video(7200, 7200, 0);
    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 2, "one that is too large is left out");
    is_num(ngx_mc_ts_demux_damaged(dm), 1, "and counted");
}


/* Annex B, as it was kept; "config" is that of the stream */

static void
again(seen_t *s, seen_t *config, const u_char *data, unsigned first)
{
    size_t                  len;
    ngx_uint_t              i;
    const u_char           *p, *last;
    ngx_mc_track_info_t     info;
    ngx_mc_video_config_t   cfg;

    hevc_nal(s->f.codec == NGX_MC_CODEC_HEVC ? (u_char *) "\x46\x01\x50"
                                             : (u_char *) "\x09\xf0\0",
             s->f.codec == NGX_MC_CODEC_HEVC ? 3 : 2);

    if (first) {
        memset(&info, 0, sizeof(info));

        if (ngx_mc_video_config_read(s->f.codec, (u_char *) data + config->at,
                                     config->len, &cfg, &info)
            != NGX_OK)
        {
            ok(0, "a configuration");
            return;
        }

        for (i = 0; i < cfg.nsets; i++) {
            hevc_nal(cfg.sets[i].data, cfg.sets[i].len);
        }
    }

    p = data + s->at;
    last = p + s->len;

    while (p + 4 <= last) {
        len = p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        hevc_nal(p + 4, len);
        p += 4 + len;
    }
}


/* several access units in a PES packet, the first one with timestamps: all
   have those that they had alone */

static void
test_order(const char *name, unsigned want)
{
    FILE           *f;
    char            path[64];
    u_char          p[NGX_MC_TS_SIZE];
    unsigned        i, n, each, wrong, from;
    stream_es_t     one_es;
    static u_char   data[sizeof(kept)];
    static seen_t   was[N];

    static const unsigned  sizes[] = { 1, 2, 3, 4, 5, 7, 13, 50 };

    snprintf(path, sizeof(path), "streams/%s.ts", name);
    f = fopen(path, "rb");
    ok(f != NULL, "%s", path);

    if (f == NULL) {
        return;
    }

    start_with(-1, "");

    while (fread(p, 1, sizeof(p), f) == sizeof(p)) {
        ngx_mc_ts_demux(dm, p, NGX_MC_TS_SIZE, origin);
    }

    fclose(f);
    ngx_mc_ts_demux_flush(dm);

    for (i = 0, n = 0; i < nseen; i++) {
        if (seen[i].f.type == NGX_MC_FRAME_VIDEO) {
            was[n++] = seen[i];
        }
    }

    is_num(n, want + 1, "%s: its frames", name);
    memcpy(data, kept, kept_len);

    memset(&one_es, 0, sizeof(one_es));
    one_es.type = (was[0].f.codec == NGX_MC_CODEC_HEVC) ? 0x24 : 0x1b;
    one_es.pid = VIDEO;

    for (each = 0; each < sizeof(sizes) / sizeof(sizes[0]); each++) {

        start_with(-1, "");
        stream_pat(0, one);
        stream_pmt(PMT, 1, 0, VIDEO, &one_es, 1);

        for (i = 1, from = 1; i < n; i++) {
            again(&was[i], &was[0], data, i == 1);

            if (i - from + 1 == sizes[each] || i == n - 1) {
                video(was[from].f.pts + 90000, was[from].f.dts + 90000, 0);
                from = i + 1;
            }
        }

        ngx_mc_ts_demux_flush(dm);

        is_num(nvideo(), n - 1, "%s: %u in a PES packet", name, sizes[each]);

        for (i = 1, wrong = 0; i < n && V(i - 1); i++) {

            if (V(i - 1)->f.dts - vdts(0) != was[i].f.dts - was[1].f.dts
                || V(i - 1)->f.pts - vdts(0) != was[i].f.pts - was[1].f.dts)
            {
                if (wrong++ == 0) {
                    printf("# frame %u: %d/%d, not %d/%d\n", i,
                           (int) (V(i - 1)->f.dts - vdts(0)),
                           (int) (V(i - 1)->f.pts - vdts(0)),
                           (int) (was[i].f.dts - was[1].f.dts),
                           (int) (was[i].f.pts - was[1].f.dts));
                }
            }
        }

        is_num(wrong, 0, "and their times");
    }

    /* packets are lost now and then: times are of what they should be */

    start_with(-1, "");
    stream_pat(0, one);
    stream_pmt(PMT, 1, 0, VIDEO, &one_es, 1);

    for (i = 1, from = 1; i < n; i++) {
        again(&was[i], &was[0], data, i == 1);

        if (i - from + 1 == 3 || i == n - 1) {
            lose = (i % 7 == 6) ? 1 : 0;
            video(was[from].f.pts + 90000, was[from].f.dts + 90000, 0);
            from = i + 1;
        }
    }

    ngx_mc_ts_demux_flush(dm);

    ok(nvideo() > n / 3 && nvideo() < n - 1, "%s: some are lost, %u left", name,
       nvideo());

    for (i = 0, wrong = 0; i < nvideo(); i++) {
        wrong += (V(i)->f.pts < V(i)->f.dts
                  || V(i)->f.pts - V(i)->f.dts > 10 * 3600);
    }

    is_num(wrong, 0, "no PTS before its DTS");
}


/* frames of two fields, decoded as I P B B; no rate in the SPS */

static void
test_order_fields(unsigned bottom)
{
    unsigned  i, wrong;

    static const int  at[] = { 0, 3, 1, 2 };

    start();
    frame_mbs_only = 0;

#define AT(i)  ((i) ? ((i) - 1) / 3 * 3 + at[((i) - 1) % 3 + 1] : 0)

    for (i = 0; i < 300; i++) {
        order = AT(i);

        aud();
        if (i == 0) {
            sps(64, 0);
            pps(0);
        }

        slice(3, 0, i, (i ? 0 : IDR) | FIELD | (bottom ? BOTTOM : 0)
              | ((i % 3 == 1 || i == 0) ? 0 : NONREF), 40);
        slice(3, 0, i, FIELD | (bottom ? 0 : BOTTOM)
              | ((i % 3 == 1 || i == 0) ? 0 : NONREF), 40);

        if (i % 5 == 4) {
            video(90000 + (AT(i - 4) + 1) * 1800, 90000 + (i - 4) * 1800, 0);
        }
    }

    order = -1;
    ngx_mc_ts_demux_flush(dm);

    is_num(nvideo(), 300, "frames of two fields");

    for (i = 10, wrong = 0; i < 300; i++) {
        wrong += (vdts(i) - vdts(0) != i * 1800
                  || V(i)->f.pts - vdts(0) != (AT(i) + 1) * 1800);
    }

    is_num(wrong, 0, "and their times, %s field first",
           bottom ? "bottom" : "top");

    for (i = 0, wrong = 0; i < 300; i++) {
        wrong += (V(i)->f.pts < V(i)->f.dts);
    }

    is_num(wrong, 0, "no PTS before its DTS");
}


int
main(void)
{
    test_basic();
    test_random();
    test_adts();
    test_units();
    test_fields();
    test_loss();
    test_time();
    test_psi();
    test_sections();
    test_config();
    test_hevc();
    test_latm();
    test_order("h264", 80);
    test_order("h264_open", 80);
    test_order("h264_type2", 80);
    test_order("hevc", 80);
    test_order("hevc_open", 80);
    test_order("hevc_radl", 80);
    test_order_fields(0);
    test_order_fields(1);
    test_memory();

    ngx_mc_ts_demux_free(dm);

    return shim_done();
}
