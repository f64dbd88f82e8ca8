
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_video.h>


#define NGX_MC_VIDEO_SAR_EXTENDED  255


/* ITU-T H.264, E.1.1, ITU-T H.265, E.2.1 */

void
ngx_mc_video_vui(ngx_mc_bits_t *b)
{
    if (ngx_mc_bits(b, 1)                          /* aspect_ratio_info */
        && ngx_mc_bits(b, 8) == NGX_MC_VIDEO_SAR_EXTENDED)
    {
        ngx_mc_bits_skip(b, 32);
    }

    if (ngx_mc_bits(b, 1)) {                       /* overscan_info */
        ngx_mc_bits_skip(b, 1);
    }

    if (ngx_mc_bits(b, 1)) {                       /* video_signal_type */
        ngx_mc_bits_skip(b, 4);

        if (ngx_mc_bits(b, 1)) {                   /* colour_description */
            ngx_mc_bits_skip(b, 24);
        }
    }

    if (ngx_mc_bits(b, 1)) {                       /* chroma_loc_info */
        (void) ngx_mc_bits_ue(b, NGX_MC_BITS_UE_MAX);
        (void) ngx_mc_bits_ue(b, NGX_MC_BITS_UE_MAX);
    }
}


/* ITU-T H.264, 7.3.2.3.1, ITU-T H.265, 7.3.5 */

ngx_int_t
ngx_mc_video_sei(ngx_mc_bits_t *b, ngx_uint_t type)
{
    uint32_t  byte, t, size;

    for ( ;; ) {
        t = 0;
        size = 0;

        do {
            byte = ngx_mc_bits(b, 8);
            t += byte;
        } while (byte == 0xff);

        do {
            byte = ngx_mc_bits(b, 8);
            size += byte;
        } while (byte == 0xff);

        if (b->error) {
            return NGX_DECLINED;
        }

        if (t == type) {
            return NGX_OK;
        }

        if (size > (size_t) (b->last - b->pos)) {
            return NGX_DECLINED;
        }

        ngx_mc_bits_skip(b, size * 8);
    }
}


void
ngx_mc_video_rate(ngx_mc_track_info_t *info, uint64_t num, uint64_t den)
{
    uint64_t  a, b, rest;

    info->frame_num = 0;
    info->frame_den = 0;

    if (num == 0 || den == 0) {
        return;
    }

    for (a = num, b = den; b; a = b, b = rest) {
        rest = a % b;
    }

    num /= a;
    den /= a;

    if (num > NGX_MAX_UINT32_VALUE || den > NGX_MAX_UINT32_VALUE) {
        return;
    }

    info->frame_num = num;
    info->frame_den = den;
}
