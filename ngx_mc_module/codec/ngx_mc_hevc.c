
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_codec.h>
#include <ngx_mc_bits.h>
#include <ngx_mc_video.h>

#include <bitstream/itu/h265.h>


/* ITU-T H.265, 7.4.3.2.1, 7.4.8 */
#define NGX_MC_HEVC_SUB_LAYERS  7
#define NGX_MC_HEVC_REF_SETS    64
#define NGX_MC_HEVC_REF_PICS    16
#define NGX_MC_HEVC_LONG_TERM   32


static void ngx_mc_hevc_sub_layers(ngx_mc_bits_t *b, ngx_uint_t n);
static void ngx_mc_hevc_scaling_lists(ngx_mc_bits_t *b);
static void ngx_mc_hevc_ref_sets(ngx_mc_bits_t *b);
static void ngx_mc_hevc_vui(ngx_mc_bits_t *b, ngx_mc_track_info_t *info);


ngx_int_t
ngx_mc_hevc_sps(u_char *nal, size_t len, ngx_mc_track_info_t *info)
{
    return ngx_mc_hevc_sps_read(nal, len, info, NULL);
}


/* 7.3.2.2.1 */

ngx_int_t
ngx_mc_hevc_sps_read(u_char *nal, size_t len, ngx_mc_track_info_t *info,
    ngx_mc_hevc_sps_t *sps)
{
    uint32_t             left, right, top, bottom;
    uint64_t             width, height, dx, dy;
    ngx_uint_t           i, n;
    ngx_mc_bits_t        b;
    ngx_mc_hevc_sps_t    s;
    ngx_mc_track_info_t  t;

    /* an SPS of another layer than the base is written differently */

    if (len < 3
        || ngx_mc_hevc_nal_type(nal) != H265NAL_TYPE_SPS
        || ngx_mc_hevc_layer(nal) != 0)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&s, sizeof(ngx_mc_hevc_sps_t));
    t = *info;

    ngx_mc_bits_init(&b, nal + 2, len - 2, 1);

    ngx_mc_bits_skip(&b, 4);               /* sps_video_parameter_set_id */

    s.sub_layers = ngx_mc_bits(&b, 3) + 1;
    s.nested = ngx_mc_bits(&b, 1);

    if (s.sub_layers > NGX_MC_HEVC_SUB_LAYERS) {
        return NGX_ERROR;
    }

    for (i = 0; i < sizeof(s.profile); i++) {
        s.profile[i] = ngx_mc_bits(&b, 8);
    }

    t.profile = s.profile[0] & 0x1f;
    t.level = s.profile[11];

    ngx_mc_hevc_sub_layers(&b, s.sub_layers);

    s.id = ngx_mc_bits_ue(&b, H265SPS_ID_MAX - 1);

    s.chroma_format = ngx_mc_bits_ue(&b, H265SPS_CHROMA_444);

    if (s.chroma_format == H265SPS_CHROMA_444) {
        s.separate_colour_plane = ngx_mc_bits(&b, 1);
    }

    width = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);
    height = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);

    if (ngx_mc_bits(&b, 1)) {              /* conformance_window_flag */

        left = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);
        right = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);
        top = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);
        bottom = ngx_mc_bits_ue(&b, NGX_MC_VIDEO_MAX);

        dx = left + right;
        dy = top + bottom;

        if (!s.separate_colour_plane) {    /* table 6-1 */

            if (s.chroma_format == H265SPS_CHROMA_420) {
                dx *= 2;
                dy *= 2;

            } else if (s.chroma_format == H265SPS_CHROMA_422) {
                dx *= 2;
            }
        }

        if (dx >= width || dy >= height) {
            return NGX_ERROR;
        }

        width -= dx;
        height -= dy;
    }

    s.bit_depth_luma = 8 + ngx_mc_bits_ue(&b, 7);
    s.bit_depth_chroma = 8 + ngx_mc_bits_ue(&b, 7);

    if (b.error || width == 0 || height == 0) {
        return NGX_ERROR;
    }

    t.type = NGX_MC_TRACK_VIDEO;
    t.codec = NGX_MC_CODEC_HEVC;
    t.interlaced = 0;
    t.width = width;
    t.height = height;
    t.frame_num = 0;
    t.frame_den = 0;

    s.log2_max_poc_lsb = 4 + ngx_mc_bits_ue(&b, 12);

    /* sps_sub_layer_ordering_info_present_flag */

    n = ngx_mc_bits(&b, 1) ? s.sub_layers : 1;

    for (i = 0; i < 3 * n; i++) {
        (void) ngx_mc_bits_ue(&b, NGX_MC_BITS_UE_MAX);
    }

    /* log2_min_luma_coding_block_size_minus3 up to
       max_transform_hierarchy_depth_intra */

    for (i = 0; i < 6; i++) {
        (void) ngx_mc_bits_ue(&b, NGX_MC_BITS_UE_MAX);
    }

    if (ngx_mc_bits(&b, 1) && ngx_mc_bits(&b, 1)) {
        ngx_mc_hevc_scaling_lists(&b);
    }

    ngx_mc_bits_skip(&b, 2);               /* amp, sample_adaptive_offset */

    if (ngx_mc_bits(&b, 1)) {              /* pcm_enabled_flag */
        ngx_mc_bits_skip(&b, 8);
        (void) ngx_mc_bits_ue(&b, NGX_MC_BITS_UE_MAX);
        (void) ngx_mc_bits_ue(&b, NGX_MC_BITS_UE_MAX);
        ngx_mc_bits_skip(&b, 1);
    }

    ngx_mc_hevc_ref_sets(&b);

    if (ngx_mc_bits(&b, 1)) {              /* long_term_ref_pics_present */

        n = ngx_mc_bits_ue(&b, NGX_MC_HEVC_LONG_TERM);

        ngx_mc_bits_skip(&b, n * (s.log2_max_poc_lsb + 1));
    }

    ngx_mc_bits_skip(&b, 2);               /* sps_temporal_mvp_enabled,
                                              strong_intra_smoothing */

    if (ngx_mc_bits(&b, 1)) {
        ngx_mc_hevc_vui(&b, &t);

    } else if (b.error) {
        return NGX_ERROR;
    }

    *info = t;

    if (sps) {
        *sps = s;
    }

    return NGX_OK;
}


/* 7.3.3, the part after the general profile and level */

static void
ngx_mc_hevc_sub_layers(ngx_mc_bits_t *b, ngx_uint_t n)
{
    ngx_uint_t  i, flags;

    if (n == 1) {
        return;
    }

    /* two flags for each but the highest, padded to 8 layers */

    flags = ngx_mc_bits(b, 16);

    for (i = 0; i < n - 1; i++) {

        if (flags & (0x8000 >> 2 * i)) {
            ngx_mc_bits_skip(b, 88);
        }

        if (flags & (0x4000 >> 2 * i)) {
            ngx_mc_bits_skip(b, 8);
        }
    }
}


/* 7.3.4 */

static void
ngx_mc_hevc_scaling_lists(ngx_mc_bits_t *b)
{
    ngx_uint_t  size, matrix, n;

    for (size = 0; size < 4; size++) {

        for (matrix = 0; matrix < 6; matrix += (size == 3) ? 3 : 1) {

            if (b->error) {
                return;
            }

            if (!ngx_mc_bits(b, 1)) {
                (void) ngx_mc_bits_ue(b, NGX_MC_BITS_UE_MAX);
                continue;
            }

            if (size > 1) {
                (void) ngx_mc_bits_se(b);
            }

            n = ngx_min(64, 1 << (4 + 2 * size));

            while (n-- && !b->error) {
                (void) ngx_mc_bits_se(b);
            }
        }
    }
}


/* 7.3.7: of each set the number of pictures must be known, for sets that are
   predicted from it */

static void
ngx_mc_hevc_ref_sets(ngx_mc_bits_t *b)
{
    ngx_uint_t  i, j, n, pics, next;

    n = ngx_mc_bits_ue(b, NGX_MC_HEVC_REF_SETS);
    pics = 0;

    for (i = 0; i < n && !b->error; i++) {

        if (i && ngx_mc_bits(b, 1)) {      /* inter_ref_pic_set_prediction */

            ngx_mc_bits_skip(b, 1);        /* delta_rps_sign */
            (void) ngx_mc_bits_ue(b, 32767);

            next = 0;

            for (j = 0; j <= pics; j++) {

                /* used_by_curr_pic_flag, use_delta_flag */

                if (ngx_mc_bits(b, 1) || ngx_mc_bits(b, 1)) {
                    next++;
                }
            }

            pics = next;

        } else {

            pics = ngx_mc_bits_ue(b, NGX_MC_HEVC_REF_PICS);
            pics += ngx_mc_bits_ue(b, NGX_MC_HEVC_REF_PICS);

            for (j = 0; j < pics && !b->error; j++) {
                (void) ngx_mc_bits_ue(b, 32767);
                ngx_mc_bits_skip(b, 1);
            }
        }

        if (pics > NGX_MC_HEVC_REF_PICS) {
            b->error = 1;
        }
    }
}


/* E.2.1; one that is cut short has no frame rate */

static void
ngx_mc_hevc_vui(ngx_mc_bits_t *b, ngx_mc_track_info_t *info)
{
    uint32_t    units, scale;
    ngx_uint_t  i, fields;

    ngx_mc_video_vui(b);

    ngx_mc_bits_skip(b, 1);                /* neutral_chroma_indication */
    fields = ngx_mc_bits(b, 1);            /* field_seq_flag */
    ngx_mc_bits_skip(b, 1);                /* frame_field_info_present */

    if (ngx_mc_bits(b, 1)) {               /* default_display_window */
        for (i = 0; i < 4; i++) {
            (void) ngx_mc_bits_ue(b, NGX_MC_BITS_UE_MAX);
        }
    }

    if (b->error) {
        return;
    }

    info->interlaced = fields;

    if (!ngx_mc_bits(b, 1)) {              /* vui_timing_info_present */
        return;
    }

    units = ngx_mc_bits(b, 32);
    scale = ngx_mc_bits(b, 32);

    if (b->error) {
        return;
    }

    /* a tick is the time of a picture */

    ngx_mc_video_rate(info, scale, (uint64_t) units * (fields ? 2 : 1));
}


/* 7.3.2.3.1 */

ngx_int_t
ngx_mc_hevc_pps(u_char *nal, size_t len, ngx_mc_hevc_pps_t *pps)
{
    ngx_mc_bits_t      b;
    ngx_mc_hevc_pps_t  p;

    if (len < 3
        || ngx_mc_hevc_nal_type(nal) != H265NAL_TYPE_PPS
        || ngx_mc_hevc_layer(nal) != 0)
    {
        return NGX_ERROR;
    }

    ngx_mc_bits_init(&b, nal + 2, len - 2, 1);

    p.id = ngx_mc_bits_ue(&b, H265PPS_ID_MAX - 1);
    p.sps_id = ngx_mc_bits_ue(&b, H265SPS_ID_MAX - 1);
    ngx_mc_bits_skip(&b, 1);           /* dependent_slice_segments_enabled */
    p.output_flag = ngx_mc_bits(&b, 1);
    p.extra_bits = ngx_mc_bits(&b, 3);

    if (b.error) {
        return NGX_ERROR;
    }

    *pps = p;

    return NGX_OK;
}


/* 7.3.6.1 */

ngx_int_t
ngx_mc_hevc_slice(u_char *nal, size_t len, ngx_mc_hevc_sps_t *sps,
    ngx_mc_hevc_pps_t *pps, ngx_mc_hevc_slice_t *slice)
{
    ngx_uint_t           type;
    ngx_mc_bits_t        b;
    ngx_mc_hevc_slice_t  s;

    if (!ngx_mc_hevc_is_first(nal, len)) {
        return NGX_ERROR;
    }

    type = ngx_mc_hevc_nal_type(nal);

    ngx_memzero(&s, sizeof(ngx_mc_hevc_slice_t));

    ngx_mc_bits_init(&b, nal + 2, len - 2, 1);

    ngx_mc_bits_skip(&b, 1);               /* first_slice_segment_in_pic */

    if (type >= H265NAL_TYPE_BLA_W_LP && type <= H265NAL_TYPE_IRAP_VCL23) {
        ngx_mc_bits_skip(&b, 1);           /* no_output_of_prior_pics */
    }

    s.pps_id = ngx_mc_bits_ue(&b, H265PPS_ID_MAX - 1);

    if (sps && pps) {
        ngx_mc_bits_skip(&b, pps->extra_bits);

        (void) ngx_mc_bits_ue(&b, 2);      /* slice_type */

        if (pps->output_flag) {
            ngx_mc_bits_skip(&b, 1);       /* pic_output_flag */
        }

        if (sps->separate_colour_plane) {
            ngx_mc_bits_skip(&b, 2);
        }

        if (type != H265NAL_TYPE_IDR_W_RADL && type != H265NAL_TYPE_IDR_N_LP) {
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
ngx_mc_hevc_key(ngx_uint_t key, u_char *nal, size_t len)
{
    ngx_mc_bits_t  b;

    if (len < 2 || (key & NGX_MC_KEY_SLICE)) {
        return key;
    }

    if (ngx_mc_hevc_is_key(nal)) {
        return key | NGX_MC_KEY_SLICE | NGX_MC_KEY_IDR;
    }

    if (ngx_mc_hevc_is_slice(nal)) {
        key |= NGX_MC_KEY_SLICE;

        return (key & NGX_MC_KEY_GRADUAL)
               ? key | NGX_MC_KEY_RECOVERY | NGX_MC_KEY_INTRA : key;
    }

    if (ngx_mc_hevc_nal_type(nal) == H265NAL_TYPE_PREF_SEI) {
        ngx_mc_bits_init(&b, nal + 2, len - 2, 1);

        /* D.3.8: whatever recovery_poc_cnt is, decoding may start here */

        if (ngx_mc_video_sei(&b, H265SEI_RECOVERY_POINT) == NGX_OK) {
            return key | NGX_MC_KEY_GRADUAL;
        }
    }

    return key;
}
