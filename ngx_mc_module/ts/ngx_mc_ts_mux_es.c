
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_mux_state.h>

#include <bitstream/mpeg/pes.h>


/* what walking over the NAL units of a frame finds */

typedef struct {
    size_t                  size;          /* in Annex B */
    unsigned                aud:1;         /* begins with one */
    unsigned                sets:1;        /* has parameter sets */
} ngx_mc_ts_mux_nals_t;


static ngx_int_t ngx_mc_ts_mux_nals(ngx_mc_ts_mux_t *mx, u_char *p,
    u_char *last, ngx_mc_ts_mux_nals_t *nals);
static ngx_inline u_char *ngx_mc_ts_mux_nal(u_char *p, u_char *last,
    ngx_uint_t length_size, size_t *len);
static void ngx_mc_ts_mux_put_sets(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_emit(ngx_mc_ts_mux_t *mx, int64_t dts,
    int64_t origin, u_char *adts, size_t adts_len, u_char *data, size_t len);


#define ngx_mc_ts_mux_is_set(codec, nal)                                      \
    ((codec) == NGX_MC_CODEC_H264                                             \
     ? ngx_mc_h264_nal_type(nal) == 7 || ngx_mc_h264_nal_type(nal) == 8       \
     : ngx_mc_hevc_nal_type(nal) >= 32 && ngx_mc_hevc_nal_type(nal) <= 34)


static u_char  ngx_mc_ts_mux_code[4] = { 0, 0, 0, 1 };

/* access unit delimiters that allow any slice: ITU-T H.264, 7.3.2.4, H.265,
   7.3.2.5 */
static u_char  ngx_mc_ts_mux_aud_h264[6] = { 0, 0, 0, 1, 0x09, 0xf0 };
static u_char  ngx_mc_ts_mux_aud_hevc[7] = { 0, 0, 0, 1, 0x46, 0x01, 0x50 };


/*
 * Annex B of ITU-T H.264 and H.265, from lengths.  ISO/IEC 13818-1, 2.14.1 and
 * 2.17.1: an access unit begins with a delimiter.
 */

void
ngx_mc_ts_mux_video(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    u_char                 *p, *last, *nal, *aud;
    u_char                  header[PES_HEADER_SIZE_PTSDTS];
    size_t                  size, len, aud_len, code;
    int64_t                 dts, pts, base, back, ahead;
    ngx_uint_t              i, nsets;
    ngx_mc_ts_mux_nals_t    nals;
    ngx_mc_ts_mux_track_t  *track;

    track = &mx->tracks[NGX_MC_TS_MUX_V];

    if (track->dirty && !frame->key) {
        mx->dropped++;
        return;
    }

    p = frame->tag + frame->header;
    last = frame->tag + frame->len;

    if (ngx_mc_ts_mux_nals(mx, p, last, &nals) != NGX_OK) {
        mx->dropped++;
        track->dirty = 1;
        return;
    }

    /* time */

    back = frame->dts - frame->pts;

    if (back > mx->shift && back < NGX_MC_TS_MUX_BACK) {

        /* an encoder that does not delay its DTS for B-frames */

        mx->shift = back;
    }

    if (mx->rebase) {
        ngx_mc_ts_mux_rebase(mx, frame->dts - mx->shift, frame->origin);
    }

    dts = frame->dts - mx->shift + mx->base;

    back = (track->origin == NGX_MC_TS_MUX_NEVER) ? -1 : track->last - dts;
    ahead = (dts - mx->lead) * 300 - ngx_mc_ts_mux_now(mx, frame->origin);

    if (back >= NGX_MC_TS_MUX_BACK
        || ahead > (mx->rate ? NGX_MC_TS_MUX_AHEAD : NGX_MC_TS_MUX_JUMP))
    {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_rebase(mx, frame->dts - mx->shift, frame->origin);

        dts = frame->dts - mx->shift + mx->base;

    } else if (back >= 0) {

        /* not increasing: as little later as can be told */

        dts = track->last + 1;
    }

    pts = frame->pts + mx->base;

    if (pts < dts || pts - dts > NGX_MC_TS_MUX_LEAD_MAX * 2) {
        pts = dts;
    }

    if (mx->held && dts > mx->held_next + NGX_MC_TS_MUX_HEADROOM) {

        /* what this audio waits for does not come */

        ngx_mc_ts_mux_release(mx);
    }

    /* size */

    nsets = ((frame->key || track->sets) && !nals.sets) ? mx->sets.nsets : 0;

    if (track->codec == NGX_MC_CODEC_H264) {
        aud = ngx_mc_ts_mux_aud_h264;
        aud_len = sizeof(ngx_mc_ts_mux_aud_h264);

    } else {
        aud = ngx_mc_ts_mux_aud_hevc;
        aud_len = sizeof(ngx_mc_ts_mux_aud_hevc);
    }

    size = nals.size + (nals.aud ? 0 : aud_len);

    for (i = 0; i < nsets; i++) {
        size += 4 + mx->sets.sets[i].len;
    }

    len = (pts == dts) ? PES_HEADER_SIZE_PTS : PES_HEADER_SIZE_PTSDTS;
    base = dts;

    if (ngx_mc_ts_mux_schedule(mx, track, &dts, size + len, frame->key,
                               frame->origin)
        != NGX_OK)
    {
        mx->dropped++;
        track->dirty = 1;
        return;
    }

    pts += dts - base;

    len = ngx_mc_ts_mux_pes_header(header, PES_STREAM_ID_VIDEO_MPEG, size,
                                   pts, dts);

    ngx_mc_ts_mux_put(mx, header, len);

    if (!nals.aud) {
        ngx_mc_ts_mux_put(mx, aud, aud_len);
    }

    /* Annex B: zero_byte before the first one and before parameter sets */

    code = nals.aud ? 4 : 3;

    while (p < last) {

        nal = ngx_mc_ts_mux_nal(p, last, mx->sets.length_size, &len);
        p = nal + len;

        if (len == 0) {
            continue;
        }

        if (code == 3 && nsets) {
            ngx_mc_ts_mux_put_sets(mx);
            nsets = 0;
        }

        if (ngx_mc_ts_mux_is_set(track->codec, nal)) {
            code = 4;
        }

        ngx_mc_ts_mux_put(mx, ngx_mc_ts_mux_code + 4 - code, code);
        ngx_mc_ts_mux_put(mx, nal, len);

        code = 3;
    }

    if (nsets) {

        /* there was a delimiter only */

        ngx_mc_ts_mux_put_sets(mx);
    }

    ngx_mc_ts_mux_end(mx);

    track->last = dts;
    track->origin = frame->origin;
    track->dirty = 0;
    track->sets = 0;
}


static void
ngx_mc_ts_mux_put_sets(ngx_mc_ts_mux_t *mx)
{
    ngx_uint_t  i;

    for (i = 0; i < mx->sets.nsets; i++) {
        ngx_mc_ts_mux_put(mx, ngx_mc_ts_mux_code, 4);
        ngx_mc_ts_mux_put(mx, mx->sets.sets[i].data, mx->sets.sets[i].len);
    }
}


static ngx_inline u_char *
ngx_mc_ts_mux_nal(u_char *p, u_char *last, ngx_uint_t length_size,
    size_t *len)
{
    size_t  n;

    if ((size_t) (last - p) < length_size) {
        return NULL;
    }

    for (n = 0; length_size; length_size--) {
        n = n << 8 | *p++;
    }

    *len = n;

    return ((size_t) (last - p) < n) ? NULL : p;
}


/* only lengths and headers are looked at; must agree with what is written */

static ngx_int_t
ngx_mc_ts_mux_nals(ngx_mc_ts_mux_t *mx, u_char *p, u_char *last,
    ngx_mc_ts_mux_nals_t *nals)
{
    size_t      len;
    u_char     *nal;
    ngx_uint_t  n, type, found, all, aud, codec;

    ngx_memzero(nals, sizeof(ngx_mc_ts_mux_nals_t));

    codec = mx->tracks[NGX_MC_TS_MUX_V].codec;
    all = (codec == NGX_MC_CODEC_H264) ? 3 : 7;
    found = 0;

    for (n = 0; p < last; p = nal + len) {

        nal = ngx_mc_ts_mux_nal(p, last, mx->sets.length_size, &len);

        if (nal == NULL) {
            return NGX_ERROR;
        }

        if (len == 0) {
            continue;
        }

        if (codec == NGX_MC_CODEC_H264) {
            type = ngx_mc_h264_nal_type(nal);
            aud = (type == 9);
            found |= (type == 7) | (type == 8) << 1;

        } else {
            type = ngx_mc_hevc_nal_type(nal);
            aud = (type == 35);
            found |= (type == 32) | (type == 33) << 1 | (type == 34) << 2;
        }

        if (n++ == 0) {
            nals->aud = aud;
            nals->size += aud || ngx_mc_ts_mux_is_set(codec, nal);

        } else {
            nals->size += ngx_mc_ts_mux_is_set(codec, nal);
        }

        nals->size += 3 + len;
    }

    nals->sets = (found == all);

    return n ? NGX_OK : NGX_ERROR;
}


void
ngx_mc_ts_mux_audio(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    u_char                 *p, adts[NGX_MC_ADTS_MAX];
    size_t                  len, adts_len;
    int64_t                 dts, back, ahead, duration;
    ngx_mc_ts_mux_track_t  *track;

    track = &mx->tracks[NGX_MC_TS_MUX_A];

    p = frame->tag + frame->header;
    len = frame->len - frame->header;
    adts_len = 0;

    if (track->codec == NGX_MC_CODEC_AAC) {

        if (track->config_len == 0
            || ngx_mc_adts_write(adts, &adts_len, p, len, track->config,
                                 track->config_len)
               != NGX_OK)
        {
            mx->dropped++;
            return;
        }
    }

    if (adts_len + len > 65535 - PES_HEADER_SIZE_PTS) {
        mx->dropped++;
        return;
    }

    if (mx->rebase) {
        ngx_mc_ts_mux_rebase(mx, frame->dts, frame->origin);
    }

    dts = frame->dts + mx->base + track->skew;

    back = (track->origin == NGX_MC_TS_MUX_NEVER) ? -1 : track->last - dts;
    ahead = (dts - mx->lead) * 300 - ngx_mc_ts_mux_now(mx, frame->origin);

    if (back >= 0 && back < NGX_MC_TS_MUX_BACK) {
        dts = track->last + 1;

    } else if (!ngx_mc_ts_mux_beside(mx, track, frame->origin)
               && (back >= 0
                   || ahead > (mx->rate ? NGX_MC_TS_MUX_AHEAD
                                        : NGX_MC_TS_MUX_JUMP)))
    {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_rebase(mx, frame->dts, frame->origin);

        dts = frame->dts + mx->base;
    }

    /* two in one PES packet save a third of what is not payload.  Without
       video each one carries a PCR, and none is to be added */

    duration = ngx_mc_ts_mux_duration(track);

    if (mx->held
        && (ngx_abs(dts - mx->held_next) > ngx_mc_ts_mux_ms(2)
            || mx->held + adts_len + len > NGX_MC_TS_MUX_GATHER))
    {
        ngx_mc_ts_mux_release(mx);
    }

    track->last = dts;
    track->origin = frame->origin;

    if (duration == 0 || !mx->tracks[NGX_MC_TS_MUX_V].known
        || (!mx->held && 2 * (adts_len + len) > NGX_MC_TS_MUX_GATHER))
    {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_emit(mx, dts, frame->origin, adts, adts_len, p, len);
        return;
    }

    ngx_memcpy(mx->gather + mx->held, adts, adts_len);
    ngx_memcpy(mx->gather + mx->held + adts_len, p, len);

    if (mx->held) {
        mx->held += adts_len + len;
        ngx_mc_ts_mux_release(mx);
        return;
    }

    mx->held = adts_len + len;
    mx->held_dts = dts;
    mx->held_next = dts + duration;
    mx->held_origin = frame->origin;
}


void
ngx_mc_ts_mux_release(ngx_mc_ts_mux_t *mx)
{
    size_t  len;

    if (mx->held) {
        len = mx->held;
        mx->held = 0;

        ngx_mc_ts_mux_emit(mx, mx->held_dts, mx->held_origin, NULL, 0,
                           mx->gather, len);
    }
}


static void
ngx_mc_ts_mux_emit(ngx_mc_ts_mux_t *mx, int64_t dts, int64_t origin,
    u_char *adts, size_t adts_len, u_char *data, size_t len)
{
    u_char  header[PES_HEADER_SIZE_PTS];

    if (ngx_mc_ts_mux_schedule(mx, &mx->tracks[NGX_MC_TS_MUX_A], &dts,
                               adts_len + len + sizeof(header), 0, origin)
        != NGX_OK)
    {
        mx->dropped++;
        return;
    }

    (void) ngx_mc_ts_mux_pes_header(header, PES_STREAM_ID_AUDIO_MPEG,
                                    adts_len + len, dts, dts);

    ngx_mc_ts_mux_put(mx, header, sizeof(header));
    ngx_mc_ts_mux_put(mx, adts, adts_len);
    ngx_mc_ts_mux_put(mx, data, len);

    ngx_mc_ts_mux_end(mx);
}
