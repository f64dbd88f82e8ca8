
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_es.h>

#include <bitstream/mpeg/h264.h>
#include <bitstream/itu/h265.h>


/* what of a NAL unit has to be there before it is looked at, unless it ends
   before: a slice header up to its picture order count, with emulation
   prevention */
#define NGX_MC_TS_NAL_HEAD     48

/* a PES packet of such a length may have been filled up, and what it carries
   goes on in the next one */
#define NGX_MC_TS_PES_LARGE    65000

/* as many in a row have to be of one access unit each, before the end of one
   is taken for the end of the other */
#define NGX_MC_TS_PES_ALIGNED  8

/* ITU-T H.264, Table 7-1: prefix NAL unit and reserved ones */
#define NGX_MC_H264_PREFIX     14
#define NGX_MC_H264_RSV18      18


static void ngx_mc_ts_video_look(ngx_mc_ts_demux_t *dm, ngx_uint_t all);
static void ngx_mc_ts_video_finish(ngx_mc_ts_demux_t *dm, ngx_uint_t i);
static ngx_uint_t ngx_mc_ts_video_h264(ngx_mc_ts_demux_t *dm, ngx_uint_t i);
static ngx_uint_t ngx_mc_ts_video_hevc(ngx_mc_ts_demux_t *dm, ngx_uint_t i);
static ngx_int_t ngx_mc_ts_video_slice(ngx_mc_ts_video_t *v, u_char *nal,
    size_t len, ngx_mc_h264_slice_t *slice);
static void ngx_mc_ts_video_begin(ngx_mc_ts_demux_t *dm);
static void ngx_mc_ts_video_out(ngx_mc_ts_demux_t *dm, ngx_uint_t n);
static void ngx_mc_ts_video_frame(ngx_mc_ts_demux_t *dm, ngx_uint_t n);
static size_t ngx_mc_ts_video_convert(ngx_mc_ts_demux_t *dm, ngx_uint_t n,
    u_char **data);
static ngx_uint_t ngx_mc_ts_video_left_out(ngx_uint_t codec,
    ngx_uint_t type);


/* a PES packet begins: es->end is where its payload will */

void
ngx_mc_ts_video_pes(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_video_t  *v;

    v = &dm->video;

    if (!v->pes_nal) {
        v->spans = 1;
    }

    v->pes = dm->es[NGX_MC_TS_VIDEO].end;
    v->pes_nal = 0;
    v->given = 0;
}


void
ngx_mc_ts_video_data(ngx_mc_ts_demux_t *dm)
{
    u_char             *p, *last, *start;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    if (v->given) {

        /* it was taken for complete, and is not */

        ngx_mc_ts_es_give_up(dm, es);
        return;
    }

    for ( ;; ) {
        p = es->buf + v->scan;
        last = es->buf + es->end;

        start = ngx_mc_nal_start(p, last);

        if (start == last) {

            /* two zeros may be the beginning of a start code */

            if (es->end - v->scan > 2) {
                v->scan = es->end - 2;
            }

            break;
        }

        if (v->n == NGX_MC_TS_NALS) {
            ngx_mc_ts_es_give_up(dm, es);
            return;
        }

        v->scan = start + 3 - es->buf;
        v->nals[v->n].start = v->scan;

        if (v->n++ == 0) {
            ngx_mc_ts_video_begin(dm);
        }

        ngx_mc_ts_video_look(dm, 0);
    }

    ngx_mc_ts_video_look(dm, 0);
}


void
ngx_mc_ts_video_end(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    if (v->aligned < NGX_MC_TS_PES_ALIGNED || v->spans
        || es->length >= NGX_MC_TS_PES_LARGE)
    {
        return;
    }

    ngx_mc_ts_video_look(dm, 1);

    if (v->n && v->vcl && !v->field) {
        ngx_mc_ts_video_finish(dm, v->n - 1);
        ngx_mc_ts_video_out(dm, v->n);

        /* a slice that comes now, and does not begin a picture, is of one
           that was given out */

        v->sync = 0;
    }
}


void
ngx_mc_ts_video_flush(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    if (es->state != NGX_MC_TS_PES_FULL
        && (es->state != NGX_MC_TS_PES_DATA || es->bounded || !es->stuffed))
    {
        return;
    }

    ngx_mc_ts_video_look(dm, 1);

    /* the other field comes, as long as anything does */

    if (v->n && v->vcl && !v->field) {
        ngx_mc_ts_video_finish(dm, v->n - 1);
        ngx_mc_ts_video_out(dm, v->n);
        v->sync = 0;
        v->given = (es->state == NGX_MC_TS_PES_DATA);
    }
}


void
ngx_mc_ts_video_drop(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_video_t  *v;

    v = &dm->video;

    v->n = 0;
    v->seen = 0;
    v->cut = 0;
    v->scan = NGX_MC_TS_ROOM;
    v->vcl = 0;
    v->field = 0;
    v->pair = 0;
    v->broken = 0;
    v->lossy = 1;
    v->sync = 0;
    v->given = 0;
    v->key = 0;
    v->pes = 0;
    v->pes_nal = 1;

    if (v->stamped && v->mark) {
        dm->es[NGX_MC_TS_VIDEO].mark = 1;
    }

    v->stamped = 0;
    v->mark = 0;

    ngx_mc_ts_video_time_drop(v);
}


void
ngx_mc_ts_video_reset(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_video_t  *v;

    v = &dm->video;

    ngx_mc_ts_video_drop(dm);
    ngx_mc_ts_video_forget(v);

    if (v->config) {
        ngx_free(v->config);
        v->config = NULL;
    }

    v->config_size = 0;
    v->config_len = 0;
    v->aligned = 0;
    v->spans = 0;
    v->parity = 0;
    v->lossy = 0;

    ngx_mc_ts_video_time_reset(v);
}


/* what NAL units are, as far as that can be told */

static void
ngx_mc_ts_video_look(ngx_mc_ts_demux_t *dm, ngx_uint_t all)
{
    size_t              end;
    ngx_uint_t          i, left, at;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_nal_t    *nal;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    while (v->seen < v->n) {
        i = v->seen;
        nal = &v->nals[i];

        if (i + 1 < v->n) {
            end = v->nals[i + 1].start - 3;

        } else {
            end = es->end;

            if (end - nal->start < NGX_MC_TS_NAL_HEAD && !all) {
                return;
            }
        }

        nal->len = end - nal->start;

        at = (nal->start - 3 == v->pes
              || (nal->start - 4 == v->pes && es->buf[v->pes] == 0));

        if (i) {
            ngx_mc_ts_video_finish(dm, i - 1);
        }

        if (nal->len < 2) {
            nal->type = 0xff;
            left = i;

        } else if (es->track->info.codec == NGX_MC_CODEC_HEVC) {
            nal->type = ngx_mc_hevc_nal_type(es->buf + nal->start);
            left = ngx_mc_ts_video_hevc(dm, i);

        } else {
            nal->type = ngx_mc_h264_nal_type(es->buf + nal->start);
            left = ngx_mc_ts_video_h264(dm, i);
        }

        /* what is before it may have been given out */

        v->seen = left + 1;

        if (at) {
            v->pes_nal = 1;

            if (left == 0 && v->aligned < NGX_MC_TS_PES_ALIGNED) {
                v->aligned++;

            } else if (left && !v->pair && !v->field) {
                v->spans = 1;
            }
        }
    }
}


/* a NAL unit that is complete */

static void
ngx_mc_ts_video_finish(ngx_mc_ts_demux_t *dm, ngx_uint_t i)
{
    size_t              len;
    u_char             *p;
    ngx_uint_t          type;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    p = es->buf + v->nals[i].start;
    len = ((i + 1 < v->n) ? v->nals[i + 1].start - 3 : es->end)
          - v->nals[i].start;

    /* zero_byte and trailing_zero_8bits: ITU-T H.264, Annex B */

    while (len && p[len - 1] == 0) {
        len--;
    }

    v->nals[i].len = len;

    if (len < 2) {
        return;
    }

    type = v->nals[i].type;

    if (es->track->info.codec == NGX_MC_CODEC_HEVC) {
        if (type >= H265NAL_TYPE_VPS && type <= H265NAL_TYPE_PPS
            && ngx_mc_hevc_layer(p) == 0)
        {
            ngx_mc_ts_video_set(dm, p, len, type);

        } else if (type == H265NAL_TYPE_PREF_SEI && ngx_mc_hevc_layer(p) == 0)
        {
            v->key = ngx_mc_hevc_key(v->key, p, len);
        }

        return;
    }

    if (type == H264NAL_TYPE_SPS || type == H264NAL_TYPE_PPS) {
        ngx_mc_ts_video_set(dm, p, len, type);

    } else if (type == H264NAL_TYPE_SEI) {
        v->key = ngx_mc_h264_key(v->key, p, len);
    }
}


/* returns its index, that is another one if something was given out */

static ngx_uint_t
ngx_mc_ts_video_h264(ngx_mc_ts_demux_t *dm, ngx_uint_t i)
{
    u_char               *p;
    size_t                len;
    ngx_uint_t            n;
    ngx_mc_ts_nal_t      *nal;
    ngx_mc_ts_video_t    *v;
    ngx_mc_h264_slice_t   slice;

    v = &dm->video;
    nal = &v->nals[i];
    p = dm->es[NGX_MC_TS_VIDEO].buf + nal->start;
    len = nal->len;

    switch (nal->type) {

    case H264NAL_TYPE_SEI:
    case H264NAL_TYPE_SPS:
    case H264NAL_TYPE_PPS:
    case H264NAL_TYPE_AUD:

        /* ITU-T H.264, 7.4.1.2.3 */

        if (!v->vcl) {
            v->sync = 1;
            return i;
        }

        if (v->field) {

            /* what comes may be the other field */

            if (v->cut == 0) {
                v->cut = i;
            }

            return i;
        }

        n = v->cut ? v->cut : i;
        ngx_mc_ts_video_out(dm, n);
        v->sync = 1;

        return i - n;

    case H264NAL_TYPE_NONIDR:
    case H264NAL_TYPE_PARTA:
    case H264NAL_TYPE_IDR:

        if (ngx_mc_ts_video_slice(v, p, len, &slice) != NGX_OK) {
            v->broken = 1;
            return i;
        }

        if (v->vcl) {

            if (slice.first_mb != 0
                && !ngx_mc_h264_slice_begins(&v->slice, &slice))
            {
                v->cut = 0;
                return i;
            }

            if (v->field
                && ngx_mc_h264_slice_pairs(&v->first, &slice)
                && (!v->lossy || !v->parity || v->first.bottom == v->bottom))
            {
                v->field = 0;
                v->pair = 1;
                v->cut = 0;
                v->slice = slice;

                ngx_mc_ts_video_poc_h264(v, &slice, 1);

                if (!v->parity || v->first.idr) {
                    v->parity = 1;
                    v->bottom = v->first.bottom;
                }

                return i;
            }

            n = v->cut ? v->cut : i;
            ngx_mc_ts_video_out(dm, n);
            i -= n;

        } else if (!v->sync && slice.first_mb != 0) {

            /* the beginning was lost */

            v->broken = 1;
        }

        v->sync = 1;
        v->vcl = 1;
        v->field = slice.field;
        v->slice = slice;
        v->first = slice;

        ngx_mc_ts_video_poc_h264(v, &slice, 0);

        v->key = ngx_mc_h264_key(v->key, p, len);

        return i;

    default:

        /* a prefix NAL unit (14) belongs to the slice that follows */

        if (nal->type >= NGX_MC_H264_PREFIX && nal->type <= NGX_MC_H264_RSV18
            && v->vcl && v->cut == 0)
        {
            v->cut = i;
        }

        return i;
    }
}


static ngx_int_t
ngx_mc_ts_video_slice(ngx_mc_ts_video_t *v, u_char *nal, size_t len,
    ngx_mc_h264_slice_t *slice)
{
    ngx_uint_t  sps;

    if (ngx_mc_h264_slice(nal, len, NULL, slice) != NGX_OK) {
        return NGX_ERROR;
    }

    sps = v->pps_sps[slice->pps_id];

    if (sps == 0 || !v->sps_known[sps - 1]) {
        slice->frame_num = 0;
        slice->idr_pic_id = 0;
        slice->poc_lsb = 0;
        slice->field = 0;
        slice->bottom = 0;

        return NGX_OK;
    }

    return ngx_mc_h264_slice(nal, len, &v->sps[sps - 1], slice);
}


static ngx_uint_t
ngx_mc_ts_video_hevc(ngx_mc_ts_demux_t *dm, ngx_uint_t i)
{
    u_char             *p;
    ngx_uint_t          n, first;
    ngx_mc_ts_nal_t    *nal;
    ngx_mc_ts_video_t  *v;

    v = &dm->video;
    nal = &v->nals[i];
    p = dm->es[NGX_MC_TS_VIDEO].buf + nal->start;

    if (ngx_mc_hevc_layer(p)) {
        return i;
    }

    if (ngx_mc_hevc_is_slice(p)) {

        first = ngx_mc_hevc_is_first(p, nal->len);

        if (v->vcl) {

            if (!first) {
                v->cut = 0;
                return i;
            }

            n = v->cut ? v->cut : i;
            ngx_mc_ts_video_out(dm, n);
            i -= n;

        } else if (!v->sync && !first) {
            v->broken = 1;
        }

        v->sync = 1;
        v->vcl = 1;

        ngx_mc_ts_video_poc_hevc(v, p, nal->len);

        v->key = ngx_mc_hevc_key(v->key, p, nal->len);

        return i;
    }

    if (nal->type == H265NAL_TYPE_EOS || nal->type == H265NAL_TYPE_EOB) {
        v->poc.ended = 1;
        return i;
    }

    /* ITU-T H.265, 7.4.2.4.4 */

    if ((nal->type >= 32 && nal->type <= 35) || nal->type == 39
        || (nal->type >= 41 && nal->type <= 44)
        || (nal->type >= 48 && nal->type <= 55))
    {
        if (v->vcl) {
            ngx_mc_ts_video_out(dm, i);
            i = 0;
        }

        v->sync = 1;
    }

    return i;
}


/* the first NAL unit of a frame is there */

static void
ngx_mc_ts_video_begin(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_stamp_t  *stamp;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    stamp = ngx_mc_ts_es_stamp(es, v->nals[0].start - 3);

    if (stamp == NULL) {
        v->stamped = 0;
        v->mark = 0;
        return;
    }

    v->stamped = 1;
    v->stamp_dts = stamp->dts;
    v->stamp_pts = stamp->pts;
    v->mark = stamp->mark;

    /* ISO/IEC 13818-1, 2.4.3.5: decoding can start here.  Broadcasters send no
       recovery point SEI message with their I pictures; that it is one is
       looked at all the same */

    if (stamp->random) {
        v->key |= NGX_MC_KEY_RECOVERY;
    }
}


/* gives out the first n NAL units */

static void
ngx_mc_ts_video_out(ngx_mc_ts_demux_t *dm, ngx_uint_t n)
{
    size_t              pos, delta;
    ngx_uint_t          i;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    if (v->vcl) {
        ngx_mc_ts_video_frame(dm, n);
    }

    v->n -= n;
    v->seen = (v->seen > n) ? v->seen - n : 0;

    pos = v->n ? v->nals[n].start - 3 : es->end;

    /* what is left goes to where the buffer begins: it is short */

    delta = pos - NGX_MC_TS_ROOM;
    ngx_mc_ts_es_consume(es, pos);

    for (i = 0; i < v->n; i++) {
        v->nals[i] = v->nals[n + i];
        v->nals[i].start -= delta;
    }

    v->scan = (v->scan > pos) ? v->scan - delta : NGX_MC_TS_ROOM;
    v->pes = (v->pes > delta) ? v->pes - delta : 0;

    v->cut = 0;
    v->vcl = 0;
    v->field = 0;
    v->pair = 0;
    v->broken = 0;
    v->key = 0;
    v->stamped = 0;
    v->mark = 0;

    if (v->n) {
        ngx_mc_ts_video_begin(dm);
    }
}


static void
ngx_mc_ts_video_frame(ngx_mc_ts_demux_t *dm, ngx_uint_t n)
{
    size_t              len, end;
    u_char             *data;
    ngx_mc_frame_t      frame;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;

    ngx_mc_ts_video_time(dm);

    if (v->stamped && v->mark) {
        es->mark = 1;
    }

    if (v->broken || !v->timed) {
        return;
    }

    if (v->field && v->lossy && v->parity && v->first.bottom != v->bottom) {

        /* the second field of a frame whose first one was lost */

        v->lossy = 0;
        return;
    }

    v->lossy = 0;

    if (v->dirty && ngx_mc_ts_video_config(dm) != NGX_OK) {
        return;
    }

    if (v->config_len == 0) {
        return;
    }

    end = (n < v->n) ? v->nals[n].start - 3 : es->end;

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    frame.type = NGX_MC_FRAME_VIDEO;
    frame.codec = es->track->info.codec;
    frame.dts = v->dts;
    frame.pts = v->pts;
    frame.origin = ngx_mc_ts_es_origin(es, end);

    if (v->dirty) {
        v->dirty = 0;
        frame.config = 1;
        frame.pts = frame.dts;

        ngx_mc_ts_demux_frame(dm, es, &frame, v->config + NGX_MC_FLV_HEADER,
                              v->config_len);

        frame.config = 0;
        frame.discontinuity = 0;
        frame.pts = v->pts;
    }

    len = ngx_mc_ts_video_convert(dm, n, &data);

    if (len == 0) {
        return;
    }

    frame.key = ngx_mc_video_is_key(v->key) ? 1 : 0;

    ngx_mc_ts_demux_frame(dm, es, &frame, data, len);
}


/*
 * Annex B to lengths, in place: the last NAL unit stays where it is, and
 * those before it move towards it, or away by a byte for each start code of
 * three bytes behind them.
 */

static size_t
ngx_mc_ts_video_convert(ngx_mc_ts_demux_t *dm, ngx_uint_t n, u_char **data)
{
    size_t              to, last;
    u_char             *p;
    ngx_int_t           i;
    ngx_uint_t          kept, codec;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_nal_t    *nal;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;
    codec = es->track->info.codec;

    to = 0;
    last = 0;
    kept = 0;

    for (i = n - 1; i >= 0; i--) {
        nal = &v->nals[i];

        if (nal->len < 2 || ngx_mc_ts_video_left_out(codec, nal->type)) {
            nal->len = 0;
            continue;
        }

        if (kept++ == 0) {
            to = nal->start + nal->len;
            last = to;
        }

        nal->to = to - nal->len;
        to = nal->to - 4;
    }

    if (kept == 0) {
        return 0;
    }

    /* an order in which none is overwritten that was not moved yet */

    for (i = 0; i < (ngx_int_t) n; i++) {
        nal = &v->nals[i];

        if (nal->len && nal->to < nal->start) {
            ngx_memmove(es->buf + nal->to, es->buf + nal->start, nal->len);
        }
    }

    for (i = n - 1; i >= 0; i--) {
        nal = &v->nals[i];

        if (nal->len && nal->to > nal->start) {
            ngx_memmove(es->buf + nal->to, es->buf + nal->start, nal->len);
        }
    }

    for (i = 0; i < (ngx_int_t) n; i++) {
        nal = &v->nals[i];

        if (nal->len) {
            p = es->buf + nal->to - 4;

            p[0] = nal->len >> 24;
            p[1] = nal->len >> 16;
            p[2] = nal->len >> 8;
            p[3] = nal->len;
        }
    }

    *data = es->buf + to;

    return last - to;
}


static ngx_uint_t
ngx_mc_ts_video_left_out(ngx_uint_t codec, ngx_uint_t type)
{
    if (codec == NGX_MC_CODEC_HEVC) {
        return (type >= H265NAL_TYPE_VPS && type <= H265NAL_TYPE_AUD)
               || type == H265NAL_TYPE_FD;
    }

    return type == H264NAL_TYPE_SPS || type == H264NAL_TYPE_PPS
           || type == H264NAL_TYPE_AUD || type == H264NAL_TYPE_FILLER
           || type == 0xff;
}
