
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_codec.h>
#include <ngx_mc_video.h>

#include <bitstream/mpeg/h264.h>
#include <bitstream/itu/h265.h>


/* before each set; H264AVCC_SPS_HEADER, H265HVCC_NALU_HEADER */
#define NGX_MC_VIDEO_SET_HEADER  2
#define NGX_MC_VIDEO_SET_MAX     65535

/* chroma_format and bit depths at the end of avcC, and no SPS extension */
#define NGX_MC_AVCC_EXTENSION    4


static ngx_int_t ngx_mc_avcc_read(u_char *data, size_t len,
    ngx_mc_video_config_t *cfg);
static ngx_int_t ngx_mc_hvcc_read(u_char *data, size_t len,
    ngx_mc_video_config_t *cfg);
static ngx_int_t ngx_mc_hvcc_arrays(u_char *data, size_t len,
    ngx_uint_t type, ngx_mc_video_config_t *cfg);
static u_char *ngx_mc_video_sets_read(u_char *p, u_char *last, ngx_uint_t n,
    ngx_uint_t codec, ngx_uint_t type, ngx_mc_video_config_t *cfg);
static size_t ngx_mc_avcc_write(ngx_mc_video_config_t *cfg, u_char *buf,
    size_t size);
static size_t ngx_mc_hvcc_write(ngx_mc_video_config_t *cfg, u_char *buf,
    size_t size);
static ngx_uint_t ngx_mc_video_sets(ngx_mc_video_config_t *cfg,
    ngx_uint_t codec, ngx_uint_t type, size_t *len, ngx_mc_nal_t **first);
static u_char *ngx_mc_video_sets_write(u_char *p, ngx_mc_video_config_t *cfg,
    ngx_uint_t codec, ngx_uint_t type);
static ngx_uint_t ngx_mc_video_set_type(ngx_mc_nal_t *set, ngx_uint_t codec);


static ngx_uint_t  ngx_mc_hvcc_types[] = {
    H265NAL_TYPE_VPS, H265NAL_TYPE_SPS, H265NAL_TYPE_PPS
};


ngx_int_t
ngx_mc_video_config_read(ngx_uint_t codec, u_char *data, size_t len,
    ngx_mc_video_config_t *cfg, ngx_mc_track_info_t *info)
{
    size_t                 bytes;
    ngx_int_t              rc;
    ngx_mc_nal_t          *sps;
    ngx_mc_video_config_t  c;

    ngx_memzero(&c, sizeof(ngx_mc_video_config_t));

    switch (codec) {

    case NGX_MC_CODEC_H264:

        if (ngx_mc_avcc_read(data, len, &c) != NGX_OK
            || ngx_mc_video_sets(&c, codec, H264NAL_TYPE_SPS, &bytes, &sps)
               == 0)
        {
            return NGX_ERROR;
        }

        rc = ngx_mc_h264_sps(sps->data, sps->len, info);
        break;

    case NGX_MC_CODEC_HEVC:

        if (ngx_mc_hvcc_read(data, len, &c) != NGX_OK
            || ngx_mc_video_sets(&c, codec, H265NAL_TYPE_SPS, &bytes, &sps)
               == 0)
        {
            return NGX_ERROR;
        }

        rc = ngx_mc_hevc_sps(sps->data, sps->len, info);
        break;

    default:
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        *cfg = c;
    }

    return rc;
}


size_t
ngx_mc_video_config_write(ngx_uint_t codec, ngx_mc_video_config_t *cfg,
    u_char *buf, size_t size)
{
    switch (codec) {

    case NGX_MC_CODEC_H264:
        return ngx_mc_avcc_write(cfg, buf, size);

    case NGX_MC_CODEC_HEVC:
        return ngx_mc_hvcc_write(cfg, buf, size);

    default:
        return 0;
    }
}


/* what may follow the PPS is of no use here, and some leave it out */

static ngx_int_t
ngx_mc_avcc_read(u_char *data, size_t len, ngx_mc_video_config_t *cfg)
{
    u_char  *p, *last;

    if (len < H264AVCC_HEADER + H264AVCC_HEADER2 || data[0] != 1) {
        return NGX_ERROR;
    }

    last = data + len;

    cfg->length_size = h264avcc_get_length_size_1(data) + 1;

    if (cfg->length_size == 3) {
        return NGX_ERROR;
    }

    p = ngx_mc_video_sets_read(data + H264AVCC_HEADER, last,
                               h264avcc_get_nb_sps(data), NGX_MC_CODEC_H264,
                               H264NAL_TYPE_SPS, cfg);

    if (p == NULL || p == last) {
        return NGX_ERROR;
    }

    p = ngx_mc_video_sets_read(p + H264AVCC_HEADER2, last, *p,
                               NGX_MC_CODEC_H264, H264NAL_TYPE_PPS, cfg);

    return p ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_mc_hvcc_read(u_char *data, size_t len, ngx_mc_video_config_t *cfg)
{
    ngx_uint_t  i;

    /* version 0 was written before the standard was one */

    if (len < H265HVCC_HEADER || data[0] > 1) {
        return NGX_ERROR;
    }

    cfg->length_size = h265hvcc_get_length_size_1(data) + 1;

    if (cfg->length_size == 3) {
        return NGX_ERROR;
    }

    /* arrays may be in any order, and of other types */

    for (i = 0; i < 3; i++) {

        if (ngx_mc_hvcc_arrays(data, len, ngx_mc_hvcc_types[i], cfg)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_hvcc_arrays(u_char *data, size_t len, ngx_uint_t type,
    ngx_mc_video_config_t *cfg)
{
    u_char      *p, *last;
    ngx_uint_t   n;

    p = data + H265HVCC_HEADER;
    last = data + len;

    for (n = h265hvcc_get_num_of_arrays(data); n; n--) {

        if (last - p < H265HVCC_ARRAY_HEADER) {
            return NGX_ERROR;
        }

        p = ngx_mc_video_sets_read(p + H265HVCC_ARRAY_HEADER, last,
                                   h265hvcc_array_get_num_nalus(p),
                                   NGX_MC_CODEC_HEVC, type, cfg);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* takes those of "type" among n sets; returns what follows them, or NULL */

static u_char *
ngx_mc_video_sets_read(u_char *p, u_char *last, ngx_uint_t n,
    ngx_uint_t codec, ngx_uint_t type, ngx_mc_video_config_t *cfg)
{
    ngx_mc_nal_t  set;

    for ( /* void */ ; n; n--) {

        if (last - p < NGX_MC_VIDEO_SET_HEADER) {
            return NULL;
        }

        set.data = p + NGX_MC_VIDEO_SET_HEADER;
        set.len = h265hvcc_nalu_get_length(p);

        if (last - set.data < (ssize_t) set.len) {
            return NULL;
        }

        p = set.data + set.len;

        if (ngx_mc_video_set_type(&set, codec) != type) {
            continue;
        }

        if (cfg->nsets == NGX_MC_PARAM_SETS) {
            return NULL;
        }

        cfg->sets[cfg->nsets++] = set;
    }

    return p;
}


static size_t
ngx_mc_avcc_write(ngx_mc_video_config_t *cfg, u_char *buf, size_t size)
{
    u_char               *p;
    size_t                len;
    ngx_uint_t            nsps, npps, high;
    ngx_mc_nal_t         *sps, *pps;
    ngx_mc_h264_sps_t     s;
    ngx_mc_track_info_t   info;

    len = H264AVCC_HEADER + H264AVCC_HEADER2;

    nsps = ngx_mc_video_sets(cfg, NGX_MC_CODEC_H264, H264NAL_TYPE_SPS, &len,
                             &sps);
    npps = ngx_mc_video_sets(cfg, NGX_MC_CODEC_H264, H264NAL_TYPE_PPS, &len,
                             &pps);

    if (nsps == 0 || npps == 0) {
        return 0;
    }

    ngx_memzero(&info, sizeof(ngx_mc_track_info_t));

    if (ngx_mc_h264_sps_read(sps->data, sps->len, &info, &s) != NGX_OK) {
        return 0;
    }

    /* Baseline, Main and Extended do without */

    high = (info.profile != 66 && info.profile != 77 && info.profile != 88);

    if (high) {
        len += NGX_MC_AVCC_EXTENSION;
    }

    if (len > size) {
        return 0;
    }

    h264avcc_init(buf);
    h264avcc_set_profile(buf, sps->data[1]);
    h264avcc_set_profile_compatibility(buf, sps->data[2]);
    h264avcc_set_level(buf, sps->data[3]);
    h264avcc_set_length_size_1(buf, 3);
    h264avcc_set_nb_sps(buf, nsps);

    p = ngx_mc_video_sets_write(buf + H264AVCC_HEADER, cfg, NGX_MC_CODEC_H264,
                                H264NAL_TYPE_SPS);
    *p++ = npps;

    p = ngx_mc_video_sets_write(p, cfg, NGX_MC_CODEC_H264, H264NAL_TYPE_PPS);

    if (high) {
        *p++ = 0xfc | s.chroma_format;
        *p++ = 0xf8 | (s.bit_depth_luma - 8);
        *p++ = 0xf8 | (s.bit_depth_chroma - 8);
        *p++ = 0;
    }

    return p - buf;
}


static size_t
ngx_mc_hvcc_write(ngx_mc_video_config_t *cfg, u_char *buf, size_t size)
{
    u_char               *p;
    size_t                len;
    ngx_uint_t            i, n[3];
    ngx_mc_nal_t         *first[3];
    ngx_mc_hevc_sps_t     s;
    ngx_mc_track_info_t   info;

    len = H265HVCC_HEADER + 3 * H265HVCC_ARRAY_HEADER;

    for (i = 0; i < 3; i++) {
        n[i] = ngx_mc_video_sets(cfg, NGX_MC_CODEC_HEVC, ngx_mc_hvcc_types[i],
                                 &len, &first[i]);
        if (n[i] == 0) {
            return 0;
        }
    }

    ngx_memzero(&info, sizeof(ngx_mc_track_info_t));

    if (len > size
        || ngx_mc_hevc_sps_read(first[1]->data, first[1]->len, &info, &s)
           != NGX_OK)
    {
        return 0;
    }

    h265hvcc_init(buf);

    /* the same bits in the same order: profile up to level */

    ngx_memcpy(buf + 1, s.profile, sizeof(s.profile));

    /* bitstream/itu/h265.h has these a byte too early, as if
       min_spatial_segmentation_idc were of one byte */

    buf[13] = 0xf0;
    buf[14] = 0;
    buf[15] = 0xfc;                        /* parallelismType */
    buf[16] = 0xfc | s.chroma_format;
    buf[17] = 0xf8 | (s.bit_depth_luma - 8);
    buf[18] = 0xf8 | (s.bit_depth_chroma - 8);
    buf[19] = 0;                           /* avgFrameRate */
    buf[20] = 0;

    h265hvcc_set_num_temporal_layers(buf, s.sub_layers);
    h265hvcc_set_length_size_1(buf, 3);
    h265hvcc_set_num_of_arrays(buf, 3);

    if (s.nested) {
        h265hvcc_set_temporal_id_nested(buf);
    }

    p = buf + H265HVCC_HEADER;

    for (i = 0; i < 3; i++) {
        h265hvcc_array_init(p);
        h265hvcc_array_set_completeness(p);
        h265hvcc_array_set_nal_unit_type(p, ngx_mc_hvcc_types[i]);
        h265hvcc_array_set_num_nalus(p, n[i]);

        p = ngx_mc_video_sets_write(p + H265HVCC_ARRAY_HEADER, cfg,
                                    NGX_MC_CODEC_HEVC, ngx_mc_hvcc_types[i]);
    }

    return p - buf;
}


/* how many sets of a type there are, and which is the first; "len" grows by
   what they take */

static ngx_uint_t
ngx_mc_video_sets(ngx_mc_video_config_t *cfg, ngx_uint_t codec,
    ngx_uint_t type, size_t *len, ngx_mc_nal_t **first)
{
    ngx_uint_t  i, n;

    n = 0;
    *first = NULL;

    for (i = 0; i < cfg->nsets; i++) {

        if (ngx_mc_video_set_type(&cfg->sets[i], codec) != type) {
            continue;
        }

        if (n++ == 0) {
            *first = &cfg->sets[i];
        }

        *len += NGX_MC_VIDEO_SET_HEADER + cfg->sets[i].len;
    }

    return n;
}


static u_char *
ngx_mc_video_sets_write(u_char *p, ngx_mc_video_config_t *cfg,
    ngx_uint_t codec, ngx_uint_t type)
{
    ngx_uint_t     i;
    ngx_mc_nal_t  *set;

    for (i = 0; i < cfg->nsets; i++) {
        set = &cfg->sets[i];

        if (ngx_mc_video_set_type(set, codec) != type) {
            continue;
        }

        h265hvcc_nalu_set_length(p, set->len);
        p = ngx_cpymem(p + NGX_MC_VIDEO_SET_HEADER, set->data, set->len);
    }

    return p;
}


/* (ngx_uint_t) NGX_ERROR: none that can be */

static ngx_uint_t
ngx_mc_video_set_type(ngx_mc_nal_t *set, ngx_uint_t codec)
{
    if (set->len < 2 || set->len > NGX_MC_VIDEO_SET_MAX) {
        return (ngx_uint_t) NGX_ERROR;
    }

    return (codec == NGX_MC_CODEC_H264) ? ngx_mc_h264_nal_type(set->data)
                                        : ngx_mc_hevc_nal_type(set->data);
}
