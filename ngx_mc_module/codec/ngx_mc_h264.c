
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_codec.h>
#include <ngx_mc_bits.h>
#include <ngx_mc_video.h>

#include <bitstream/mpeg/h264.h>


static void ngx_mc_h264_scaling_list(ngx_mc_bits_t *b, ngx_uint_t size);
static void ngx_mc_h264_poc(ngx_mc_bits_t *b, ngx_mc_h264_sps_t *sps);
static void ngx_mc_h264_vui(ngx_mc_bits_t *b, ngx_mc_track_info_t *info);
static ngx_uint_t ngx_mc_h264_recovery(u_char *nal, size_t len);


ngx_int_t
ngx_mc_h264_sps(u_char *nal, size_t len, ngx_mc_track_info_t *info)
{
    return ngx_mc_h264_sps_read(nal, len, info, NULL);
}


/* ITU-T H.264, 7.3.2.1.1 */

ngx_int_t
ngx_mc_h264_sps_read(u_char *nal, size_t len, ngx_mc_track_info_t *info,
    ngx_mc_h264_sps_t *sps)
{
    uint32_t             left, right, top, bottom;
    uint64_t             width, height, dx, dy;
    ngx_uint_t           i, n, vui;
    ngx_mc_bits_t        b;
    ngx_mc_h264_sps_t    s;
    ngx_mc_track_info_t  t;

    if (len < 4 || ngx_mc_h264_nal_type(nal) != H264NAL_TYPE_SPS) {
        return NGX_ERROR;
    }

    ngx_memzero(&s, sizeof(ngx_mc_h264_sps_t));
    t = *info;

    ngx_mc_bits_init(&b, nal + 1, len - 1, 1);

    t.profile = ngx_mc_bits(&b, 8);
    ngx_mc_bits_skip(&b, 8);               /* constraint_set0_flag and on */
    t.level = ngx_mc_bits(&b, 8);

    s.id = ngx_mc_bits_ue(&b, H264SPS_ID_MAX - 1);

    s.chroma_format = H264SPS_CHROMA_420;
    s.bit_depth_luma = 8;
    s.bit_depth_chroma = 8;

    switch (t.profile) {

    case 100:
    case 110:
    case 122:
    case 244:
    case 44:
    case 83:
    case 86:
    case 118:
    case 128:
    case 138:
    case 139:
    case 134:
    case 135:
        s.chroma_format = ngx_mc_bits_ue(&b, H264SPS_CHROMA_444);

        if (s.chroma_format == H264SPS_CHROMA_444) {
            s.separate_colour_plane = ngx_mc_bits(&b, 1);
        }

        s.bit_depth_luma = 8 + ngx_mc_bits_ue(&b, 6);
        s.bit_depth_chroma = 8 + ngx_mc_bits_ue(&b, 6);
        ngx_mc_bits_skip(&b, 1);           /* qpprime_y_zero_transform_... */

        if (ngx_mc_bits(&b, 1)) {          /* seq_scaling_matrix_present */
            n = (s.chroma_format == H264SPS_CHROMA_444) ? 12 : 8;

            for (i = 0; i < n; i++) {
                if (ngx_mc_bits(&b, 1)) {
                    ngx_mc_h264_scaling_list(&b, (i < 6) ? 16 : 64);
                }
            }
        }
    }

    s.log2_max_frame_num = 4 + ngx_mc_bits_ue(&b, 12);

    ngx_mc_h264_poc(&b, &s);

    (void) ngx_mc_bits_ue(&b, NGX_MC_BITS_UE_MAX);    /* max_num_ref_frames */
    ngx_mc_bits_skip(&b, 1);               /* gaps_in_frame_num_allowed */

    width = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX / 16 - 1) + 1;
    height = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX / 16 - 1) + 1;

    s.frame_mbs_only = ngx_mc_bits(&b, 1);

    if (!s.frame_mbs_only) {
        ngx_mc_bits_skip(&b, 1);           /* mb_adaptive_frame_field */
    }

    ngx_mc_bits_skip(&b, 1);               /* direct_8x8_inference */

    width *= 16;
    height *= s.frame_mbs_only ? 16 : 32;

    if (ngx_mc_bits(&b, 1)) {              /* frame_cropping */

        left = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);
        right = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);
        top = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);
        bottom = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);

        dx = 1;
        dy = s.frame_mbs_only ? 1 : 2;

        if (!s.separate_colour_plane) {    /* table 6-1 */

            if (s.chroma_format == H264SPS_CHROMA_420) {
                dx = 2;
                dy *= 2;

            } else if (s.chroma_format == H264SPS_CHROMA_422) {
                dx = 2;
            }
        }

        dx *= left + right;
        dy *= top + bottom;

        if (dx >= width || dy >= height) {
            return NGX_ERROR;
        }

        width -= dx;
        height -= dy;
    }

    vui = ngx_mc_bits(&b, 1);

    if (b.error || width > NGX_MC_VIDEO_MAX || height > NGX_MC_VIDEO_MAX) {
        return NGX_ERROR;
    }

    t.type = NGX_MC_TRACK_VIDEO;
    t.codec = NGX_MC_CODEC_H264;
    t.interlaced = !s.frame_mbs_only;
    t.width = width;
    t.height = height;
    t.frame_num = 0;
    t.frame_den = 0;

    if (vui) {
        ngx_mc_h264_vui(&b, &t);
    }

    *info = t;

    if (sps) {
        *sps = s;
    }

    return NGX_OK;
}


/* 7.3.2.1.1.1 */

static void
ngx_mc_h264_scaling_list(ngx_mc_bits_t *b, ngx_uint_t size)
{
    ngx_uint_t  i, last, next;

    last = 8;

    for (i = 0; i < size && !b->error; i++) {
        next = (last + (ngx_uint_t) ngx_mc_bits_se(b)) & 0xff;

        if (next == 0) {
            return;
        }

        last = next;
    }
}


static void
ngx_mc_h264_poc(ngx_mc_bits_t *b, ngx_mc_h264_sps_t *sps)
{
    ngx_uint_t  n;

    sps->poc_type = ngx_mc_bits_ue(b, 2);

    if (sps->poc_type == 0) {
        sps->log2_max_poc_lsb = 4 + ngx_mc_bits_ue(b, 12);

    } else if (sps->poc_type == 1) {
        ngx_mc_bits_skip(b, 1);        /* delta_pic_order_always_zero_flag */
        (void) ngx_mc_bits_se(b);      /* offset_for_non_ref_pic */
        (void) ngx_mc_bits_se(b);      /* offset_for_top_to_bottom_field */

        for (n = ngx_mc_bits_ue(b, 255); n && !b->error; n--) {
            (void) ngx_mc_bits_se(b);  /* offset_for_ref_frame */
        }
    }
}


/* E.1.1; one that is cut short, as some encoders make it, has no frame rate */

static void
ngx_mc_h264_vui(ngx_mc_bits_t *b, ngx_mc_track_info_t *info)
{
    uint32_t  units, scale;

    ngx_mc_video_vui(b);

    if (!ngx_mc_bits(b, 1)) {          /* timing_info_present_flag */
        return;
    }

    units = ngx_mc_bits(b, 32);
    scale = ngx_mc_bits(b, 32);

    if (b->error) {
        return;
    }

    /* a tick is the time of a field: E.2.1 */

    ngx_mc_video_rate(info, scale, (uint64_t) units * 2);
}


/* 7.3.3 */

ngx_int_t
ngx_mc_h264_slice(u_char *nal, size_t len, ngx_mc_h264_sps_t *sps,
    ngx_mc_h264_slice_t *slice)
{
    ngx_uint_t           type;
    ngx_mc_bits_t        b;
    ngx_mc_h264_slice_t  s;

    if (len < 2) {
        return NGX_ERROR;
    }

    type = ngx_mc_h264_nal_type(nal);

    if (type != H264NAL_TYPE_NONIDR
        && type != H264NAL_TYPE_PARTA
        && type != H264NAL_TYPE_IDR)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&s, sizeof(ngx_mc_h264_slice_t));

    s.ref_idc = h264nalst_get_ref(nal[0]);
    s.idr = (type == H264NAL_TYPE_IDR);

    ngx_mc_bits_init(&b, nal + 1, len - 1, 1);

    s.first_mb = ngx_mc_bits_ue(&b, NGX_MC_BITS_UE_MAX);
    s.type = ngx_mc_bits_ue(&b, 9) % 5;
    s.pps_id = ngx_mc_bits_ue(&b, H264PPS_ID_MAX - 1);

    if (sps) {

        if (sps->separate_colour_plane) {
            ngx_mc_bits_skip(&b, 2);
        }

        s.frame_num = ngx_mc_bits(&b, sps->log2_max_frame_num);

        if (!sps->frame_mbs_only) {
            s.field = ngx_mc_bits(&b, 1);

            if (s.field) {
                s.bottom = ngx_mc_bits(&b, 1);
            }
        }

        if (s.idr) {
            s.idr_pic_id = ngx_mc_bits_ue(&b, 65535);
        }

        if (sps->poc_type == 0) {
            s.poc_lsb = ngx_mc_bits(&b, sps->log2_max_poc_lsb);
        }
    }

    if (b.error) {
        return NGX_ERROR;
    }

    *slice = s;

    return NGX_OK;
}


ngx_uint_t
ngx_mc_h264_slice_begins(ngx_mc_h264_slice_t *prev,
    ngx_mc_h264_slice_t *slice)
{
    return slice->frame_num != prev->frame_num
           || slice->pps_id != prev->pps_id
           || slice->field != prev->field
           || slice->bottom != prev->bottom
           || (slice->ref_idc == 0) != (prev->ref_idc == 0)
           || slice->idr != prev->idr
           || slice->idr_pic_id != prev->idr_pic_id
           || slice->poc_lsb != prev->poc_lsb;
}


ngx_uint_t
ngx_mc_h264_slice_pairs(ngx_mc_h264_slice_t *prev,
    ngx_mc_h264_slice_t *slice)
{
    /* complementary field pairs, clause 3; the first field may be an IDR
       picture, the second not */

    return prev->field
           && slice->field
           && slice->bottom != prev->bottom
           && slice->frame_num == prev->frame_num
           && !slice->idr;
}


ngx_uint_t
ngx_mc_h264_key(ngx_uint_t key, u_char *nal, size_t len)
{
    ngx_mc_h264_slice_t  slice;

    if (len == 0 || (key & NGX_MC_KEY_SLICE)) {
        return key;
    }

    switch (ngx_mc_h264_nal_type(nal)) {

    case H264NAL_TYPE_IDR:
        return key | NGX_MC_KEY_SLICE | NGX_MC_KEY_IDR;

    case H264NAL_TYPE_NONIDR:
    case H264NAL_TYPE_PARTA:
        key |= NGX_MC_KEY_SLICE;

        if (key & NGX_MC_KEY_GRADUAL) {

            /* whatever its slices are: the refresh begins here */

            return key | NGX_MC_KEY_RECOVERY | NGX_MC_KEY_INTRA;
        }

        if (!(key & NGX_MC_KEY_RECOVERY)) {
            return key;
        }

        if (ngx_mc_h264_slice(nal, len, NULL, &slice) == NGX_OK
            && (slice.type == H264SLI_TYPE_I || slice.type == H264SLI_TYPE_SI))
        {
            key |= NGX_MC_KEY_INTRA;
        }

        return key;

    case H264NAL_TYPE_SEI:
        return key | ngx_mc_h264_recovery(nal, len);

    default:
        return key;
    }
}


/* Annex D: a recovery point, by whether recovery_frame_cnt is 0 */

static ngx_uint_t
ngx_mc_h264_recovery(u_char *nal, size_t len)
{
    uint32_t       now;
    ngx_mc_bits_t  b;

    ngx_mc_bits_init(&b, nal + 1, len - 1, 1);

    if (ngx_mc_video_sei(&b, H264SEI_RECOVERY_POINT) != NGX_OK) {
        return 0;
    }

    /* 1: ue(v) of 0 */

    now = ngx_mc_bits(&b, 1);

    return b.error ? 0 : now ? NGX_MC_KEY_RECOVERY : NGX_MC_KEY_GRADUAL;
}
