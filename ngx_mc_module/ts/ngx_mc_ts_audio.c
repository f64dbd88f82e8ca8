
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_es.h>
#include <ngx_mc_bits.h>

#include <bitstream/mpeg/psi.h>


#define NGX_MC_TS_AAC_SAMPLES  1024

/* a timestamp that is off by more than rounding, of ticks and of samples, is
   where the line of samples begins anew */
#define NGX_MC_TS_AUDIO_TICKS  3

/* ISO/IEC 14496-3, 1.7.2: AudioSyncStream() */
#define NGX_MC_LOAS_HEADER     3
#define NGX_MC_LOAS_MAX        (NGX_MC_LOAS_HEADER + 0x1fff)

/* bytes that tell the frame */
#define NGX_MC_TS_AUDIO_HEAD   7

/* ADTS: a CRC, and up to four blocks in a frame */
#define NGX_MC_ADTS_HEADER     7
#define NGX_MC_ADTS_CRC        2
#define NGX_MC_ADTS_BLOCKS     4

/* ISO/IEC 14496-3, 4.5.2.1: program_config_element() */
#define NGX_MC_AAC_PCE         5

#define NGX_MC_AOT_GA          4
#define NGX_MC_AOT_SBR         5
#define NGX_MC_AOT_PS          29


/* a frame as its header tells */

typedef struct {
    uint32_t              size;      /* of the whole */
    uint32_t              header;    /* of it, before what is carried */
    uint32_t              samples;
    uint32_t              rate;
    ngx_uint_t            blocks;    /* each of which is a frame for FLV */
    size_t                config_len;
    u_char                config[64];
    ngx_mc_track_info_t   info;
} ngx_mc_ts_audio_frame_t;


static ngx_int_t ngx_mc_ts_audio_read(ngx_mc_ts_demux_t *dm, u_char *p,
    size_t len, ngx_mc_ts_audio_frame_t *af);
static size_t ngx_mc_ts_audio_program(ngx_mc_ts_audio_t *a,
    ngx_mc_adts_t *adts, u_char *p, size_t len, u_char *config);
static void ngx_mc_ts_audio_blocks(ngx_mc_ts_demux_t *dm, u_char *p,
    ngx_mc_ts_audio_frame_t *af);
static void ngx_mc_ts_audio_lost(ngx_mc_ts_demux_t *dm);
static ngx_int_t ngx_mc_ts_audio_time(ngx_mc_ts_demux_t *dm, size_t pos,
    ngx_uint_t rate);
static void ngx_mc_ts_audio_out(ngx_mc_ts_demux_t *dm,
    ngx_mc_ts_audio_frame_t *af, u_char *payload, size_t len, size_t end);
static void ngx_mc_ts_audio_latm(ngx_mc_ts_demux_t *dm, u_char *p,
    size_t len, size_t end);
static ngx_int_t ngx_mc_ts_latm_config(ngx_mc_ts_audio_t *a,
    ngx_mc_bits_t *b);
static ngx_int_t ngx_mc_ts_latm_asc(ngx_mc_ts_audio_t *a, ngx_mc_bits_t *b);
static uint32_t ngx_mc_ts_latm_value(ngx_mc_bits_t *b);


static uint32_t  ngx_mc_ts_aac_rates[] = {
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000,
    11025, 8000, 7350, 0, 0, 0
};


void
ngx_mc_ts_audio_data(ngx_mc_ts_demux_t *dm)
{
    size_t                    len;
    u_char                   *p, *next;
    ngx_int_t                 rc;
    ngx_mc_ts_es_t           *es;
    ngx_mc_ts_audio_t        *a;
    ngx_mc_ts_audio_frame_t   af, after;

    es = &dm->es[NGX_MC_TS_AUDIO];
    a = &dm->audio;

    while (es->end - es->start >= NGX_MC_TS_AUDIO_HEAD) {
        p = es->buf + es->start;
        len = es->end - es->start;

        rc = ngx_mc_ts_audio_read(dm, p, len, &af);

        if (rc != NGX_OK) {

            /* to the next byte that a header could begin with */

            ngx_mc_ts_audio_lost(dm);

            next = memchr(p + 1, (es->stream_type == PMT_STREAMTYPE_AUDIO_LATM)
                                 ? 0x56 : 0xff, len - 1);

            es->start = next ? (size_t) (next - es->buf) : es->end;
            continue;
        }

        if (!a->locked) {

            /* what looks like a header may be none: another one has to
               follow, or the end of the PES packet */

            if (len == af.size && es->state == NGX_MC_TS_PES_FULL) {
                /* void */

            } else if (len < af.size + NGX_MC_TS_AUDIO_HEAD) {
                break;

            } else if (ngx_mc_ts_audio_read(dm, p + af.size, len - af.size,
                                            &after)
                       != NGX_OK)
            {
                es->start++;
                continue;
            }

            a->locked = 1;
        }

        if (af.info.codec != es->track->info.codec) {

            /* layer 1 or 2 where layer 3 was hoped for */

            if (af.info.codec != NGX_MC_CODEC_NONE) {
                ngx_mc_ts_demux_unplayable(dm, es, af.info.codec);
            }

            es->start = es->end;
            break;
        }

        if (len < af.size) {
            break;
        }

        if (es->stream_type == PMT_STREAMTYPE_AUDIO_LATM) {
            ngx_mc_ts_audio_latm(dm, p, af.size, es->start + af.size);

        } else if (af.blocks > 1) {
            ngx_mc_ts_audio_blocks(dm, p, &af);

        } else {

            if (ngx_mc_ts_audio_time(dm, es->start, af.rate) == NGX_OK) {
                ngx_mc_ts_audio_out(dm, &af, p + af.header,
                                    af.size - af.header,
                                    es->start + af.size);
            }

            a->samples += af.samples;
        }

        es->start += af.size;
    }

    if (es->start == es->end) {
        ngx_mc_ts_es_consume(es, es->end);

    } else if (es->start > 4 * NGX_MC_TS_ROOM) {
        ngx_mc_ts_es_consume(es, es->start);
    }
}


void
ngx_mc_ts_audio_drop(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_audio_t  *a;

    a = &dm->audio;

    /* until the next PTS nobody knows when it is */

    a->locked = 0;
    a->timed = 0;

    if (a->mark) {
        a->mark = 0;
        dm->es[NGX_MC_TS_AUDIO].mark = 1;
    }
}


void
ngx_mc_ts_audio_reset(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_audio_t  *a;

    a = &dm->audio;

    ngx_mc_ts_audio_drop(dm);

    if (a->scratch) {
        ngx_free(a->scratch);
    }

    ngx_memzero(a, sizeof(ngx_mc_ts_audio_t));
}


static ngx_int_t
ngx_mc_ts_audio_read(ngx_mc_ts_demux_t *dm, u_char *p, size_t len,
    ngx_mc_ts_audio_frame_t *af)
{
    ngx_mc_adts_t    adts;
    ngx_mc_ts_es_t  *es;

    es = &dm->es[NGX_MC_TS_AUDIO];

    ngx_memzero(af, sizeof(ngx_mc_ts_audio_frame_t));

    switch (es->stream_type) {

    case PMT_STREAMTYPE_AUDIO_LATM:

        if (p[0] != 0x56 || (p[1] & 0xe0) != 0xe0) {
            return NGX_ERROR;
        }

        af->size = NGX_MC_LOAS_HEADER + ((p[1] & 0x1f) << 8 | p[2]);
        af->info.codec = NGX_MC_CODEC_AAC;

        return NGX_OK;

    case PMT_STREAMTYPE_AUDIO_ADTS:

        if (ngx_mc_adts_read(p, len, &adts) != NGX_OK
            || adts.size <= adts.header)
        {
            return NGX_ERROR;
        }

        af->size = adts.size;
        af->header = adts.header;
        af->rate = adts.sample_rate;
        af->samples = NGX_MC_TS_AAC_SAMPLES * ngx_max(adts.blocks, 1);
        af->info.codec = NGX_MC_CODEC_AAC;

        if (adts.blocks == 1) {
            af->blocks = 1;

        } else if (adts.header > NGX_MC_ADTS_HEADER) {
            af->blocks = adts.blocks;
        }

        /* several blocks without the CRC, and so without their positions,
           cannot be told apart: nothing of such frames is given out */

        if (af->blocks == 0) {
            return NGX_OK;
        }

        if (adts.channel_config) {
            af->config_len = ngx_mc_aac_config_write(&adts, af->config);

        } else if (len > adts.header) {
            af->config_len = ngx_mc_ts_audio_program(&dm->audio, &adts,
                                       p + adts.header,
                                       ngx_min(len, adts.size) - adts.header,
                                       af->config);
        }

        return NGX_OK;

    default:

        if (ngx_mc_mpa_read(p, len, &af->info, &af->size, &af->samples)
            != NGX_OK
            || af->size == 0)
        {
            return NGX_ERROR;
        }

        af->rate = af->info.sample_rate;

        /* for MP3 it says no more than what changes */

        af->config[0] = af->info.channels;
        af->config[1] = af->rate >> 16;
        af->config[2] = af->rate >> 8;
        af->config[3] = af->rate;
        af->config_len = 4;

        return NGX_OK;
    }
}


/*
 * AudioSpecificConfig of a frame whose channels are told by an element at its
 * beginning, or by one of a frame before.  It is copied as it is, without its
 * comment: ISO/IEC 14496-3, 4.4.1.1.  Returns the length, 0: there is none.
 */

static size_t
ngx_mc_ts_audio_program(ngx_mc_ts_audio_t *a, ngx_mc_adts_t *adts, u_char *p,
    size_t len, u_char *config)
{
    size_t          n;
    u_char         *c;
    uint32_t        i, bits, elements, lfe, assoc, coupling;
    ngx_mc_bits_t   b, from;

    config[0] = adts->object_type << 3 | adts->frequency_index >> 1;
    config[1] = (adts->frequency_index & 1) << 7;

    ngx_mc_bits_init(&b, p, len, 0);

    if (ngx_mc_bits(&b, 3) != NGX_MC_AAC_PCE) {
        c = a->config + NGX_MC_FLV_HEADER;

        if (a->config_len <= 2 || c[0] != config[0] || c[1] != config[1]) {
            return 0;
        }

        ngx_memcpy(config, c, a->config_len);

        return a->config_len;
    }

    from = b;
    bits = 4 + 2 + 4 + 4 + 4 + 4 + 2 + 3 + 4;

    ngx_mc_bits_skip(&b, 4 + 2 + 4);

    elements = ngx_mc_bits(&b, 4);
    elements += ngx_mc_bits(&b, 4);
    elements += ngx_mc_bits(&b, 4);
    lfe = ngx_mc_bits(&b, 2);
    assoc = ngx_mc_bits(&b, 3);
    coupling = ngx_mc_bits(&b, 4);

    for (i = 0; i < 3; i++) {              /* mixdowns: mono, stereo, matrix */
        bits++;

        if (ngx_mc_bits(&b, 1)) {
            n = (i == 2) ? 3 : 4;
            ngx_mc_bits_skip(&b, n);
            bits += n;
        }
    }

    n = 5 * elements + 4 * lfe + 4 * assoc + 5 * coupling;

    ngx_mc_bits_skip(&b, n);
    bits += n;

    if (b.error) {
        return 0;
    }

    c = config + 2;

    for (i = 0; i < bits; i += n) {
        n = ngx_min(bits - i, 8);
        *c++ = ngx_mc_bits(&from, n) << (8 - n);
    }

    *c++ = 0;                              /* comment_field_bytes */

    return c - config;
}


/*
 * Several blocks, each with a CRC behind it: ISO/IEC 14496-3, 1.A.2.2.  What
 * precedes a block is overwritten by the header of its tag.
 */

static void
ngx_mc_ts_audio_blocks(ngx_mc_ts_demux_t *dm, u_char *p,
    ngx_mc_ts_audio_frame_t *af)
{
    size_t              end, at[NGX_MC_ADTS_BLOCKS + 1];
    ngx_uint_t          i;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_audio_t  *a;

    es = &dm->es[NGX_MC_TS_AUDIO];
    a = &dm->audio;

    end = es->start + af->size;
    af->samples = NGX_MC_TS_AAC_SAMPLES;

    at[0] = af->header;

    for (i = 1; i < af->blocks; i++) {
        at[i] = af->header + (p[NGX_MC_ADTS_HEADER + 2 * i - 2] << 8
                              | p[NGX_MC_ADTS_HEADER + 2 * i - 1]);
    }

    at[i] = af->size;

    for (i = 0; i < af->blocks; i++) {

        if (ngx_mc_ts_audio_time(dm, es->start, af->rate) == NGX_OK) {

            if (at[i + 1] > af->size
                || at[i + 1] <= at[i] + NGX_MC_ADTS_CRC)
            {
                dm->damaged++;

            } else {
                ngx_mc_ts_audio_out(dm, af, p + at[i],
                                    at[i + 1] - at[i] - NGX_MC_ADTS_CRC, end);
            }
        }

        a->samples += NGX_MC_TS_AAC_SAMPLES;
    }
}


static void
ngx_mc_ts_audio_lost(ngx_mc_ts_demux_t *dm)
{
    if (dm->audio.locked) {
        dm->audio.locked = 0;
        dm->damaged++;
    }
}


/* the time of a frame that begins at pos, into a->anchor and a->samples */

static ngx_int_t
ngx_mc_ts_audio_time(ngx_mc_ts_demux_t *dm, size_t pos, ngx_uint_t rate)
{
    int64_t             due;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_audio_t  *a;
    ngx_mc_ts_stamp_t  *stamp;

    es = &dm->es[NGX_MC_TS_AUDIO];
    a = &dm->audio;

    if (rate == 0) {
        return NGX_ERROR;
    }

    if (a->timed && a->rate != rate) {
        a->anchor += (int64_t) (a->samples * 90000 / a->rate);
        a->samples = 0;
        a->rate = rate;
    }

    stamp = ngx_mc_ts_es_stamp(es, pos);

    if (stamp) {
        if (stamp->mark) {
            a->mark = 1;
        }

        due = a->timed ? a->anchor + (int64_t) (a->samples * 90000 / rate) : 0;

        if (!a->timed || stamp->mark
            || stamp->pts - due > NGX_MC_TS_AUDIO_TICKS
            || due - stamp->pts > NGX_MC_TS_AUDIO_TICKS)
        {
            a->timed = 1;
            a->anchor = stamp->pts;
            a->samples = 0;
            a->rate = rate;
        }
    }

    return a->timed ? NGX_OK : NGX_ERROR;
}


static void
ngx_mc_ts_audio_out(ngx_mc_ts_demux_t *dm, ngx_mc_ts_audio_frame_t *af,
    u_char *payload, size_t len, size_t end)
{
    ngx_mc_frame_t        frame;
    ngx_mc_ts_es_t       *es;
    ngx_mc_ts_audio_t    *a;
    ngx_mc_track_info_t   info;

    es = &dm->es[NGX_MC_TS_AUDIO];
    a = &dm->audio;

    if (af->config_len == 0 || len == 0) {
        dm->damaged++;
        return;
    }

    if (a->mark) {
        a->mark = 0;
        es->mark = 1;
    }

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    frame.type = NGX_MC_FRAME_AUDIO;
    frame.codec = es->track->info.codec;
    frame.dts = a->anchor + (int64_t) (a->samples * 90000 / a->rate);
    frame.pts = frame.dts;
    frame.origin = ngx_mc_ts_es_origin(es, end);

    es->next = a->anchor
               + (int64_t) ((a->samples + af->samples) * 90000 / a->rate);
    es->step = es->next - frame.dts;
    es->due = 1;

    if (a->config_len != af->config_len
        || ngx_memcmp(a->config + NGX_MC_FLV_HEADER, af->config,
                      af->config_len)
           != 0)
    {
        info = es->track->info;

        if (frame.codec == NGX_MC_CODEC_AAC) {

            if (ngx_mc_aac_config_read(af->config, af->config_len, &info)
                != NGX_OK)
            {
                dm->damaged++;
                return;
            }

            info.codec = NGX_MC_CODEC_AAC;

        } else {
            info.sample_rate = af->info.sample_rate;
            info.channels = af->info.channels;
            info.bitrate = af->info.bitrate;
            info.profile = af->info.profile;
        }

        info.type = NGX_MC_TRACK_AUDIO;
        es->track->info = info;

        a->config_len = af->config_len;
        ngx_memcpy(a->config + NGX_MC_FLV_HEADER, af->config, af->config_len);

        dm->meta = 1;

        if (frame.codec == NGX_MC_CODEC_AAC) {
            frame.config = 1;
            ngx_mc_ts_demux_frame(dm, es, &frame,
                                  a->config + NGX_MC_FLV_HEADER,
                                  a->config_len);
            frame.config = 0;
            frame.discontinuity = 0;
        }
    }

    frame.key = 0;

    ngx_mc_ts_demux_frame(dm, es, &frame, payload, len);
}


/*
 * LOAS: AudioMuxElement(1) of one programme and one layer, ISO/IEC 14496-3,
 * 1.7.3
 */

static void
ngx_mc_ts_audio_latm(ngx_mc_ts_demux_t *dm, u_char *p, size_t len, size_t end)
{
    u_char                   *out;
    uint32_t                  n, i, left;
    ngx_uint_t                frames;
    ngx_mc_bits_t             b;
    ngx_mc_ts_es_t           *es;
    ngx_mc_ts_audio_t        *a;
    ngx_mc_ts_audio_frame_t   af;

    es = &dm->es[NGX_MC_TS_AUDIO];
    a = &dm->audio;

    ngx_mc_bits_init(&b, p + NGX_MC_LOAS_HEADER, len - NGX_MC_LOAS_HEADER, 0);

    /* useSameStreamMux */

    if (ngx_mc_bits(&b, 1) == 0) {

        if (ngx_mc_ts_latm_config(a, &b) != NGX_OK) {
            a->latm = 0;
            dm->damaged++;
            return;
        }

        a->latm = 1;
    }

    if (!a->latm) {

        /* it comes again and again */

        return;
    }

    if (a->scratch == NULL) {
        a->scratch = ngx_alloc(NGX_MC_FLV_HEADER + NGX_MC_LOAS_MAX, dm->log);

        if (a->scratch == NULL) {
            return;
        }
    }

    out = a->scratch + NGX_MC_FLV_HEADER;

    ngx_memzero(&af, sizeof(ngx_mc_ts_audio_frame_t));

    af.samples = a->frame_samples;
    af.info.codec = NGX_MC_CODEC_AAC;
    af.config_len = a->asc_len;
    ngx_memcpy(af.config, a->asc, a->asc_len);

    frames = a->subframes + 1;

    for ( /* void */ ; frames; frames--) {

        /* PayloadLengthInfo() */

        n = 0;

        do {
            i = ngx_mc_bits(&b, 8);
            n += i;

        } while (i == 255 && !b.error);

        left = (b.last - b.pos) + (b.left ? 1 : 0);

        if (b.error || n > left || n > NGX_MC_LOAS_MAX) {
            ngx_mc_ts_audio_lost(dm);
            return;
        }

        for (i = 0; i < n; i++) {
            out[i] = ngx_mc_bits(&b, 8);
        }

        if (b.error) {
            ngx_mc_ts_audio_lost(dm);
            return;
        }

        if (ngx_mc_ts_audio_time(dm, es->start, a->core_rate) == NGX_OK) {
            ngx_mc_ts_audio_out(dm, &af, out, n, end);
        }

        a->samples += af.samples;
    }
}


static ngx_int_t
ngx_mc_ts_latm_config(ngx_mc_ts_audio_t *a, ngx_mc_bits_t *b)
{
    size_t          n, used;
    u_char         *start;
    ngx_uint_t      i, version, escape;
    ngx_mc_bits_t   from;

    version = ngx_mc_bits(b, 1);

    if (version) {

        if (ngx_mc_bits(b, 1)) {
            return NGX_ERROR;
        }

        (void) ngx_mc_ts_latm_value(b);
    }

    /* allStreamsSameTimeFraming */

    if (ngx_mc_bits(b, 1) == 0) {
        return NGX_ERROR;
    }

    a->subframes = ngx_mc_bits(b, 6);

    /* numProgram, numLayer */

    if (ngx_mc_bits(b, 4) || ngx_mc_bits(b, 3)) {
        return NGX_ERROR;
    }

    n = version ? ngx_mc_ts_latm_value(b) : 0;

    from = *b;
    start = b->pos;

    if (ngx_mc_ts_latm_asc(a, b) != NGX_OK) {
        return NGX_ERROR;
    }

    used = (b->pos - start) * 8 + from.left - b->left;

    if (version) {

        if (n < used || n > 8 * sizeof(a->asc)) {
            return NGX_ERROR;
        }

        ngx_mc_bits_skip(b, n - used);

    } else {
        n = used;
    }

    /* it is a row of bits, that begins anywhere in a byte */

    a->asc_len = (n + 7) / 8;

    for (i = 0; i < a->asc_len; i++) {
        used = ngx_min(n - i * 8, 8);
        a->asc[i] = ngx_mc_bits(&from, used) << (8 - used);
    }

    /* frameLengthType, latmBufferFullness */

    if (ngx_mc_bits(b, 3)) {
        return NGX_ERROR;
    }

    (void) ngx_mc_bits(b, 8);

    /* otherDataPresent: it comes behind all payload */

    if (ngx_mc_bits(b, 1)) {

        if (version) {
            (void) ngx_mc_ts_latm_value(b);

        } else {
            do {
                escape = ngx_mc_bits(b, 1);
                (void) ngx_mc_bits(b, 8);

            } while (escape && !b->error);
        }
    }

    /* crcCheckPresent */

    if (ngx_mc_bits(b, 1)) {
        (void) ngx_mc_bits(b, 8);
    }

    return b->error ? NGX_ERROR : NGX_OK;
}


/* AudioSpecificConfig(): 1.6.2.1 and GASpecificConfig(), 4.4.1 */

static ngx_int_t
ngx_mc_ts_latm_asc(ngx_mc_ts_audio_t *a, ngx_mc_bits_t *b)
{
    ngx_uint_t  type, rate, channels;

    type = ngx_mc_bits(b, 5);
    rate = ngx_mc_bits(b, 4);
    rate = (rate == 15) ? ngx_mc_bits(b, 24) : ngx_mc_ts_aac_rates[rate];
    channels = ngx_mc_bits(b, 4);

    if (type == NGX_MC_AOT_SBR || type == NGX_MC_AOT_PS) {

        if (ngx_mc_bits(b, 4) == 15) {
            (void) ngx_mc_bits(b, 24);
        }

        type = ngx_mc_bits(b, 5);
    }

    /* a program_config_element would follow channelConfiguration 0 */

    if (type == 0 || type > NGX_MC_AOT_GA || rate == 0 || channels == 0) {
        return NGX_ERROR;
    }

    a->core_rate = rate;
    a->frame_samples = ngx_mc_bits(b, 1) ? 960 : NGX_MC_TS_AAC_SAMPLES;

    if (ngx_mc_bits(b, 1)) {
        (void) ngx_mc_bits(b, 14);
    }

    /* extensionFlag is 0 for these types */

    if (ngx_mc_bits(b, 1) || b->error) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static uint32_t
ngx_mc_ts_latm_value(ngx_mc_bits_t *b)
{
    uint32_t    value;
    ngx_uint_t  n;

    value = 0;

    for (n = ngx_mc_bits(b, 2) + 1; n; n--) {
        value = value << 8 | ngx_mc_bits(b, 8);
    }

    return value;
}
