
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_es.h>

#include <bitstream/itu/h265.h>


/* counts from a frame to the next are 1 or 2; more: the rate is not that of
   the stream */
#define NGX_MC_TS_POC_STEPS    4

/* frames that are decoded before one, and shown after it: ITU-T H.264, A.3.1,
   max_dec_frame_buffering, and the frame itself */
#define NGX_MC_TS_POC_REORDER  17


static int64_t ngx_mc_ts_video_count(int64_t prev, uint32_t lsb,
    ngx_uint_t bits);
static void ngx_mc_ts_video_rate(ngx_mc_ts_demux_t *dm);
static void ngx_mc_ts_video_stamped(ngx_mc_ts_demux_t *dm);
static int64_t ngx_mc_ts_video_pts(ngx_mc_ts_demux_t *dm, int64_t dts,
    int64_t duration);
static ngx_uint_t ngx_mc_ts_video_step(ngx_mc_ts_demux_t *dm);
static void ngx_mc_ts_video_anchor(ngx_mc_ts_video_t *v, int64_t dts,
    int64_t pts);


/* ITU-T H.264, 8.2.1.1 */

void
ngx_mc_ts_video_poc_h264(ngx_mc_ts_video_t *v, ngx_mc_h264_slice_t *slice,
    ngx_uint_t pair)
{
    int64_t             value;
    ngx_uint_t          id;
    ngx_mc_ts_poc_t    *poc;
    ngx_mc_h264_sps_t  *sps;

    poc = &v->poc;

    if (!pair) {
        poc->known = 0;
        poc->begins = slice->idr;
        poc->leads = 0;
    }

    id = v->pps_sps[slice->pps_id];

    if (id == 0 || !v->sps_known[id - 1]) {
        return;
    }

    sps = &v->sps[id - 1];

    /* type 2 is in the order of decoding, type 1 nobody uses */

    if (sps->poc_type != 0) {
        return;
    }

    if (slice->idr) {
        poc->prev = 0;
        poc->counted = 1;
    }

    value = poc->counted ? ngx_mc_ts_video_count(poc->prev, slice->poc_lsb,
                                                 sps->log2_max_poc_lsb)
                         : (int64_t) slice->poc_lsb;

    if (slice->ref_idc || !poc->counted) {
        poc->prev = value;
        poc->counted = 1;
    }

    if (!pair || !slice->bottom) {
        poc->value = value;
    }

    if (!pair) {
        poc->known = 1;
    }
}


/* ITU-T H.265, 8.3.1 */

void
ngx_mc_ts_video_poc_hevc(ngx_mc_ts_video_t *v, u_char *nal, size_t len)
{
    ngx_uint_t            type;
    ngx_mc_ts_poc_t      *poc;
    ngx_mc_hevc_sps_t    *sps;
    ngx_mc_hevc_pps_t    *pps;
    ngx_mc_hevc_slice_t   slice;

    poc = &v->poc;
    type = ngx_mc_hevc_nal_type(nal);

    poc->known = 0;
    poc->begins = (type >= H265NAL_TYPE_BLA_W_LP
                   && type <= H265NAL_TYPE_IDR_N_LP)
                  || (poc->ended && type == H265NAL_TYPE_CRA);
    poc->leads = (type != H265NAL_TYPE_IDR_N_LP);
    poc->ended = 0;

    if (ngx_mc_hevc_slice(nal, len, NULL, NULL, &slice) != NGX_OK
        || !v->hevc_pps_known[slice.pps_id])
    {
        return;
    }

    pps = &v->hevc_pps[slice.pps_id];

    if (!v->hevc_sps_known[pps->sps_id]) {
        return;
    }

    sps = &v->hevc_sps[pps->sps_id];

    if (ngx_mc_hevc_slice(nal, len, sps, pps, &slice) != NGX_OK) {
        return;
    }

    poc->known = 1;

    if (poc->begins || !poc->counted) {
        poc->value = slice.poc_lsb;
        poc->prev = poc->value;
        poc->counted = 1;
        return;
    }

    poc->value = ngx_mc_ts_video_count(poc->prev, slice.poc_lsb,
                                       sps->log2_max_poc_lsb);

    /* prevTid0Pic: TemporalId 0, no leading picture, and no sub-layer
       non-reference picture */

    if ((nal[1] & 7) == 1
        && !(type >= H265NAL_TYPE_RADL_N && type <= H265NAL_TYPE_RASL_R)
        && !(type <= H265NAL_TYPE_RSV_VCL_N14 && (type & 1) == 0))
    {
        poc->prev = poc->value;
    }
}


/* the count with these low bits that is the nearest one */

static int64_t
ngx_mc_ts_video_count(int64_t prev, uint32_t lsb, ngx_uint_t bits)
{
    int64_t  max, diff;

    max = (int64_t) 1 << bits;
    diff = ((uint64_t) lsb - (uint64_t) prev) & (uint64_t) (max - 1);

    if (diff > max / 2) {
        diff -= max;
    }

    return prev + diff;
}


void
ngx_mc_ts_video_time(ngx_mc_ts_demux_t *dm)
{
    int64_t             dts, pts, duration;
    ngx_mc_ts_es_t     *es;
    ngx_mc_ts_poc_t    *poc;
    ngx_mc_ts_video_t  *v;

    es = &dm->es[NGX_MC_TS_VIDEO];
    v = &dm->video;
    poc = &v->poc;

    ngx_mc_ts_video_rate(dm);

    if (v->stamped) {
        ngx_mc_ts_video_stamped(dm);

        dts = v->stamp_dts;
        pts = v->stamp_pts;

    } else if (v->timed) {
        duration = v->duration ? v->duration : NGX_MC_TS_DURATION;
        dts = v->dts + duration;
        pts = ngx_mc_ts_video_pts(dm, dts, duration);

        if (v->units) {
            v->units++;
        }

    } else {
        return;
    }

    if (!poc->shown || poc->begins || pts > poc->last
        || (v->stamped && v->mark))
    {
        poc->last = pts;
        poc->shown = 1;
    }

    v->dts = dts;
    v->pts = pts;

    es->step = v->duration ? v->duration : NGX_MC_TS_DURATION;
    es->next = dts + es->step;
    es->due = 1;
}


static void
ngx_mc_ts_video_rate(ngx_mc_ts_demux_t *dm)
{
    int64_t               duration;
    ngx_mc_ts_video_t    *v;
    ngx_mc_track_info_t  *info;

    v = &dm->video;
    info = &dm->es[NGX_MC_TS_VIDEO].track->info;

    if (info->frame_num == 0 || info->frame_den == 0) {
        return;
    }

    duration = (int64_t) 90000 * info->frame_den / info->frame_num;

    /* what an encoder made up is not believed */

    if (duration < 375 || duration > 10 * 90000) {
        return;
    }

    if (info->codec == NGX_MC_CODEC_HEVC && info->interlaced) {

        /* field_seq_flag: access units are fields */

        duration /= 2;
    }

    v->duration = duration;
    v->rate = 1;
}


static void
ngx_mc_ts_video_stamped(ngx_mc_ts_demux_t *dm)
{
    int64_t             dts, pts, duration, n;
    ngx_uint_t          step;
    ngx_mc_ts_poc_t    *poc;
    ngx_mc_ts_video_t  *v;

    v = &dm->video;
    poc = &v->poc;

    dts = v->stamp_dts;
    pts = v->stamp_pts;

    if (!v->rate && v->timed && v->units && !v->mark) {
        duration = (dts - v->last_dts) / (int64_t) v->units;

        if (duration > 0 && duration <= 90000) {
            v->duration = duration;
        }
    }

    if (v->mark) {
        poc->delayed = 0;
    }

    if (poc->known && poc->anchored && !poc->begins && !v->mark
        && v->duration)
    {
        n = poc->value - poc->anchor;
        duration = pts - poc->anchor_pts;

        if (n < 0) {
            n = -n;
            duration = -duration;
        }

        /* not before it was measured twice in a row */

        if (n && duration > 0 && duration <= n * 10 * 90000) {
            step = (2 * v->duration * n + duration) / (2 * duration);

            if (step >= 1 && step <= NGX_MC_TS_POC_STEPS) {
                if (poc->seen == step) {
                    poc->step = step;
                }

                poc->seen = step;
            }
        }
    }

    ngx_mc_ts_video_anchor(v, dts, pts);

    if (poc->begins) {
        poc->begin_delay = pts - dts;
        poc->delayed = 1;
    }

    v->timed = 1;
    v->last_dts = dts;
    v->units = 1;
}


/* of an access unit without timestamps: by its place in the order of output */

static int64_t
ngx_mc_ts_video_pts(ngx_mc_ts_demux_t *dm, int64_t dts, int64_t duration)
{
    int64_t             pts;
    ngx_mc_ts_poc_t    *poc;
    ngx_mc_ts_video_t  *v;

    v = &dm->video;
    poc = &v->poc;

    if (poc->begins) {

        /*
         * All that were decoded before are shown before; how many that come
         * are shown before this one is not known yet, but encoders hardly
         * change that.
         */

        if (poc->known && !poc->leads && poc->shown) {
            pts = poc->last + duration;

        } else if (poc->known && poc->delayed) {
            pts = dts + poc->begin_delay;

        } else {
            poc->anchored = 0;
            goto unknown;
        }

        if (pts <= dts - duration / 2
            || pts - dts > NGX_MC_TS_POC_REORDER * duration)
        {
            poc->anchored = 0;
            goto unknown;
        }

        pts = ngx_max(pts, dts);

        ngx_mc_ts_video_anchor(v, dts, pts);

        return pts;
    }

    if (poc->known && poc->anchored) {
        pts = poc->anchor_pts + (poc->value - poc->anchor) * duration
                                / (int64_t) ngx_mc_ts_video_step(dm);

        /* else counts do not tell the time here, as after
           memory_management_control_operation 5 */

        if (pts > dts - duration / 2
            && pts - dts <= NGX_MC_TS_POC_REORDER * duration
                            + ngx_max(poc->anchor_delay, 0))
        {
            return ngx_max(pts, dts);
        }
    }

unknown:

    pts = v->pts + duration;

    return ngx_max(pts, dts);
}


static ngx_uint_t
ngx_mc_ts_video_step(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_poc_t  *poc;

    poc = &dm->video.poc;

    if (poc->step) {
        return poc->step;
    }

    /* H.264 counts fields; HEVC pictures, which then are the access units */

    return (dm->es[NGX_MC_TS_VIDEO].track->info.codec == NGX_MC_CODEC_HEVC)
           ? 1 : 2;
}


static void
ngx_mc_ts_video_anchor(ngx_mc_ts_video_t *v, int64_t dts, int64_t pts)
{
    ngx_mc_ts_poc_t  *poc;

    poc = &v->poc;

    poc->anchored = poc->known;
    poc->anchor = poc->value;
    poc->anchor_pts = pts;
    poc->anchor_delay = pts - dts;
}


void
ngx_mc_ts_video_time_drop(ngx_mc_ts_video_t *v)
{
    v->units = 0;

    v->poc.known = 0;
    v->poc.counted = 0;
    v->poc.anchored = 0;
    v->poc.shown = 0;
    v->poc.begins = 0;
    v->poc.ended = 0;
}


void
ngx_mc_ts_video_time_reset(ngx_mc_ts_video_t *v)
{
    ngx_memzero(&v->poc, sizeof(ngx_mc_ts_poc_t));

    v->timed = 0;
    v->rate = 0;
    v->duration = 0;
    v->units = 0;
}
