
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_VIDEO_H_INCLUDED_
#define _NGX_MC_VIDEO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_codec.h>
#include <ngx_mc_bits.h>


/* what H.264 and HEVC have in common */

#define NGX_MC_VIDEO_MAX  16384      /* width and height */


/* of an HEVC SPS what hvcC repeats */

typedef struct {
    u_char            profile[12];   /* general_profile_space to
                                        general_level_idc */
    uint8_t           sub_layers;
    uint8_t           nested;        /* sps_temporal_id_nesting_flag */
    uint8_t           chroma_format;
    uint8_t           bit_depth_luma;
    uint8_t           bit_depth_chroma;
} ngx_mc_hevc_sps_t;

ngx_int_t ngx_mc_hevc_sps_read(u_char *nal, size_t len,
    ngx_mc_track_info_t *info, ngx_mc_hevc_sps_t *sps);


/* VUI from aspect_ratio_info_present_flag up to chroma_sample_loc_*, the same
   bits in both */
void ngx_mc_video_vui(ngx_mc_bits_t *b);

/* sets the frame rate num / den in its lowest terms; 0 if it is none */
void ngx_mc_video_rate(ngx_mc_track_info_t *info, uint64_t num, uint64_t den);


#endif /* _NGX_MC_VIDEO_H_INCLUDED_ */
