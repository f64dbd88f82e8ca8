
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

    /* what slice headers cannot be read without */
    uint8_t           id;
    uint8_t           separate_colour_plane;
    uint8_t           log2_max_poc_lsb;
} ngx_mc_hevc_sps_t;


typedef struct {
    uint8_t           id;
    uint8_t           sps_id;
    uint8_t           output_flag;   /* output_flag_present_flag */
    uint8_t           extra_bits;    /* num_extra_slice_header_bits */
} ngx_mc_hevc_pps_t;


/* the beginning of a slice segment header */

typedef struct {
    uint32_t          poc_lsb;       /* 0 with IDR pictures */
    uint8_t           pps_id;
} ngx_mc_hevc_slice_t;


ngx_int_t ngx_mc_hevc_sps_read(u_char *nal, size_t len,
    ngx_mc_track_info_t *info, ngx_mc_hevc_sps_t *sps);
ngx_int_t ngx_mc_hevc_pps(u_char *nal, size_t len, ngx_mc_hevc_pps_t *pps);

/* the first slice segment of a picture; without "sps" and "pps" pps_id only */
ngx_int_t ngx_mc_hevc_slice(u_char *nal, size_t len, ngx_mc_hevc_sps_t *sps,
    ngx_mc_hevc_pps_t *pps, ngx_mc_hevc_slice_t *slice);


/* VUI from aspect_ratio_info_present_flag up to chroma_sample_loc_*, the same
   bits in both */
void ngx_mc_video_vui(ngx_mc_bits_t *b);

/* SEI messages, behind the header of their NAL unit: at the payload of the
   first one of "type" NGX_OK, NGX_DECLINED if there is none */
ngx_int_t ngx_mc_video_sei(ngx_mc_bits_t *b, ngx_uint_t type);

/* sets the frame rate num / den in its lowest terms; 0 if it is none */
void ngx_mc_video_rate(ngx_mc_track_info_t *info, uint64_t num, uint64_t den);


#endif /* _NGX_MC_VIDEO_H_INCLUDED_ */
