
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_es.h>
#include <ngx_mc_bits.h>

#include <bitstream/mpeg/h264.h>
#include <bitstream/itu/h265.h>


static ngx_int_t ngx_mc_ts_video_set_id(ngx_mc_ts_video_t *v,
    ngx_uint_t codec, u_char *nal, size_t len);


void
ngx_mc_ts_video_set(ngx_mc_ts_demux_t *dm, u_char *nal, size_t len,
    ngx_uint_t type)
{
    u_char               *p;
    ngx_int_t             id;
    ngx_uint_t            i, codec;
    ngx_mc_ts_set_t      *set;
    ngx_mc_ts_video_t    *v;
    ngx_mc_h264_sps_t     sps;
    ngx_mc_hevc_pps_t     pps;
    ngx_mc_hevc_sps_t     hevc;
    ngx_mc_track_info_t  *info;

    v = &dm->video;
    info = &dm->tracks[NGX_MC_TS_VIDEO].info;
    codec = info->codec;

    /* the same again, nearly always */

    for (i = 0; i < v->nsets; i++) {
        set = &v->sets[i];

        if (set->type == type && set->len == len
            && ngx_memcmp(set->data, nal, len) == 0)
        {
            return;
        }
    }

    if (len > 65535) {
        return;
    }

    if (codec == NGX_MC_CODEC_H264 && type == H264NAL_TYPE_SPS) {

        if (ngx_mc_h264_sps_read(nal, len, info, &sps) != NGX_OK
            || sps.id >= 32)
        {
            return;
        }

        v->sps[sps.id] = sps;
        v->sps_known[sps.id] = 1;
        id = sps.id;

    } else if (codec == NGX_MC_CODEC_HEVC && type == H265NAL_TYPE_SPS) {

        if (ngx_mc_hevc_sps_read(nal, len, info, &hevc) != NGX_OK) {
            return;
        }

        v->hevc_sps[hevc.id] = hevc;
        v->hevc_sps_known[hevc.id] = 1;
        id = hevc.id;

    } else if (codec == NGX_MC_CODEC_HEVC && type == H265NAL_TYPE_PPS) {

        if (ngx_mc_hevc_pps(nal, len, &pps) != NGX_OK) {
            return;
        }

        v->hevc_pps[pps.id] = pps;
        v->hevc_pps_known[pps.id] = 1;
        id = pps.id;

    } else {
        id = ngx_mc_ts_video_set_id(v, codec, nal, len);

        if (id == NGX_ERROR) {
            return;
        }
    }

    p = ngx_alloc(len, dm->log);
    if (p == NULL) {
        return;
    }

    ngx_memcpy(p, nal, len);

    for (i = 0; i < v->nsets; i++) {
        if (v->sets[i].type == type && v->sets[i].id == id) {
            break;
        }
    }

    if (i == v->nsets && i == NGX_MC_PARAM_SETS) {

        /* the oldest gives way */

        i = 0;

        while (v->sets[i].type != type) {
            if (++i == v->nsets) {
                i = 0;
                break;
            }
        }

        ngx_free(v->sets[i].data);

        ngx_memmove(&v->sets[i], &v->sets[i + 1],
                    (v->nsets - i - 1) * sizeof(ngx_mc_ts_set_t));

        i = v->nsets - 1;

    } else if (i == v->nsets) {
        v->nsets++;

    } else {
        ngx_free(v->sets[i].data);
    }

    set = &v->sets[i];
    set->data = p;
    set->len = len;
    set->id = id;
    set->type = type;

    v->dirty = 1;
}


static ngx_int_t
ngx_mc_ts_video_set_id(ngx_mc_ts_video_t *v, ngx_uint_t codec, u_char *nal,
    size_t len)
{
    uint32_t       id, sps;
    ngx_mc_bits_t  b;

    if (codec == NGX_MC_CODEC_H264) {

        /* pic_parameter_set_id, seq_parameter_set_id */

        ngx_mc_bits_init(&b, nal + 1, len - 1, 1);

        id = ngx_mc_bits_ue(&b, 255);
        sps = ngx_mc_bits_ue(&b, 31);

        if (b.error) {
            return NGX_ERROR;
        }

        v->pps_sps[id] = sps + 1;

        return id;
    }

    /* H265NAL_TYPE_VPS */

    ngx_mc_bits_init(&b, nal + 2, len - 2, 1);

    id = ngx_mc_bits(&b, 4);

    return b.error ? NGX_ERROR : (ngx_int_t) id;
}


void
ngx_mc_ts_video_forget(ngx_mc_ts_video_t *v)
{
    ngx_uint_t  i;

    for (i = 0; i < v->nsets; i++) {
        ngx_free(v->sets[i].data);
    }

    v->nsets = 0;
    v->dirty = 0;

    ngx_memzero(v->sps_known, sizeof(v->sps_known));
    ngx_memzero(v->pps_sps, sizeof(v->pps_sps));
    ngx_memzero(v->hevc_sps_known, sizeof(v->hevc_sps_known));
    ngx_memzero(v->hevc_pps_known, sizeof(v->hevc_pps_known));
}


ngx_int_t
ngx_mc_ts_video_config(ngx_mc_ts_demux_t *dm)
{
    size_t                  size, len;
    u_char                 *p;
    ngx_uint_t              i, type, codec;
    ngx_mc_ts_video_t      *v;
    ngx_mc_video_config_t   cfg;

    v = &dm->video;
    codec = dm->tracks[NGX_MC_TS_VIDEO].info.codec;

    ngx_memzero(&cfg, sizeof(ngx_mc_video_config_t));

    cfg.length_size = 4;
    size = NGX_MC_FLV_HEADER + 256;

    for (type = 0; type < 64; type++) {
        for (i = 0; i < v->nsets; i++) {
            if (v->sets[i].type == type) {
                cfg.sets[cfg.nsets].data = v->sets[i].data;
                cfg.sets[cfg.nsets].len = v->sets[i].len;
                cfg.nsets++;

                size += v->sets[i].len + 8;
            }
        }
    }

    if (size > v->config_size) {
        p = ngx_alloc(size, dm->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (v->config) {
            ngx_free(v->config);
        }

        v->config = p;
        v->config_size = size;
    }

    len = ngx_mc_video_config_write(codec, &cfg,
                                    v->config + NGX_MC_FLV_HEADER,
                                    v->config_size - NGX_MC_FLV_HEADER);

    if (len == 0) {

        /* not all are there yet; if there was one before it holds */

        v->config_len = 0;
        return NGX_ERROR;
    }

    v->config_len = len;

    return NGX_OK;
}
