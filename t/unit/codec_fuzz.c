/* sources: codec/ngx_mc_aac.c codec/ngx_mc_bits.c codec/ngx_mc_codec.c codec/ngx_mc_h264.c codec/ngx_mc_hevc.c codec/ngx_mc_mpa.c codec/ngx_mc_nal.c codec/ngx_mc_video.c codec/ngx_mc_video_config.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_codec.h>
#include <ngx_mc_video.h>

#include "shim.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(int cond)
{
    if (!cond) {
        abort();
    }
}


static void
check_video(ngx_mc_track_info_t *info)
{
    check(info->width && info->width <= 16384);
    check(info->height && info->height <= 16384);
    check((info->frame_num == 0) == (info->frame_den == 0));
}


/* the first bytes are those of an SPS, so that it gets beyond them */

static void
fuzz_sps(u_char *p, size_t len)
{
    ngx_int_t             rc;
    ngx_mc_h264_sps_t     sps;
    ngx_mc_h264_slice_t   slice;
    ngx_mc_track_info_t   info, before;

    memset(&info, 0x5a, sizeof(info));
    before = info;
    rc = ngx_mc_h264_sps_read(p, len, &info, &sps);

    if (rc == NGX_OK) {
        check_video(&info);
        check(sps.log2_max_frame_num <= 16 && sps.log2_max_poc_lsb <= 16);
        check(sps.bit_depth_luma <= 14 && sps.bit_depth_chroma <= 14);

        (void) ngx_mc_h264_slice(p, len, &sps, &slice);

    } else {
        check(memcmp(&info, &before, sizeof(info)) == 0);
    }

    rc = ngx_mc_hevc_sps(p, len, &info);

    if (rc == NGX_OK) {
        check_video(&info);
    }
}


static void
fuzz_config(ngx_uint_t codec, u_char *p, size_t len)
{
    size_t                  n;
    u_char                 *buf;
    ngx_uint_t              i;
    ngx_mc_track_info_t     info;
    ngx_mc_video_config_t   cfg, back;

    memset(&info, 0, sizeof(info));

    if (ngx_mc_video_config_read(codec, p, len, &cfg, &info) != NGX_OK) {
        return;
    }

    check_video(&info);
    check(cfg.length_size == 1 || cfg.length_size == 2
          || cfg.length_size == 4);

    for (i = 0; i < cfg.nsets; i++) {
        check(cfg.sets[i].data > p
              && cfg.sets[i].data + cfg.sets[i].len <= p + len);
    }

    buf = malloc(len + 64);
    n = ngx_mc_video_config_write(codec, &cfg, buf, len + 64);

    if (n) {
        check(n <= len + 64);
        check(ngx_mc_video_config_read(codec, buf, n, &back, &info)
              == NGX_OK);
        check(back.nsets == cfg.nsets && back.length_size == 4);

        for (i = 0; i < cfg.nsets; i++) {
            check(back.sets[i].len == cfg.sets[i].len
                  && memcmp(back.sets[i].data, cfg.sets[i].data,
                            cfg.sets[i].len) == 0);
        }
    }

    free(buf);
}


/* against the plainest way to look for start codes */

static void
fuzz_nal(u_char *p, size_t len)
{
    size_t                i;
    u_char               *next, *last;
    ngx_uint_t            key, hevc_key;
    ngx_mc_nal_t          nal;
    ngx_mc_hevc_sps_t     hevc_sps;
    ngx_mc_hevc_pps_t     pps;
    ngx_mc_hevc_slice_t   hevc;
    ngx_mc_h264_sps_t     sps;
    ngx_mc_h264_slice_t   slice;
    ngx_mc_track_info_t   info;

    last = p + len;

    for (i = 0; i + 3 <= len; i++) {
        if (p[i] == 0 && p[i + 1] == 0 && p[i + 2] == 1) {
            break;
        }
    }

    check(ngx_mc_nal_start(p, last) == ((i + 3 <= len) ? p + i : last));

    key = 0;
    hevc_key = 0;
    memset(&sps, 0, sizeof(sps));
    memset(&hevc_sps, 0, sizeof(hevc_sps));
    memset(&pps, 0, sizeof(pps));

    for (next = p;
         (next = ngx_mc_nal_next(next, last, &nal)) != NULL; /* void */ )
    {
        check(nal.len && nal.data - 3 >= p && nal.data + nal.len <= next
              && next <= last);
        check(nal.data[-1] == 1 && nal.data[nal.len - 1] != 0);
        check(ngx_mc_nal_start(nal.data, nal.data + nal.len)
              == nal.data + nal.len);

        key = ngx_mc_h264_key(key, nal.data, nal.len);

        (void) ngx_mc_h264_sps_read(nal.data, nal.len, &info, &sps);
        (void) ngx_mc_h264_slice(nal.data, nal.len, &sps, &slice);

        hevc_key = ngx_mc_hevc_key(hevc_key, nal.data, nal.len);

        if (nal.len < 2) {
            continue;
        }

        if (ngx_mc_hevc_sps_read(nal.data, nal.len, &info, &hevc_sps)
            == NGX_OK)
        {
            check(hevc_sps.id < 16 && hevc_sps.log2_max_poc_lsb <= 16);
        }

        if (ngx_mc_hevc_pps(nal.data, nal.len, &pps) == NGX_OK) {
            check(pps.id < 64 && pps.sps_id < 16);
        }

        if (ngx_mc_hevc_slice(nal.data, nal.len, &hevc_sps, &pps, &hevc)
            == NGX_OK)
        {
            check(hevc.pps_id < 64 && hevc.poc_lsb < 65536);
        }
    }
}


static void
fuzz_audio(u_char *p, size_t len)
{
    size_t                size;
    u_char                buf[NGX_MC_ADTS_MAX], asc[2], frame[1];
    uint32_t              n, samples;
    ngx_int_t             rc;
    ngx_mc_adts_t         adts, back;
    ngx_mc_track_info_t   info;

    memset(&info, 0, sizeof(info));
    frame[0] = 0x21;

    if (ngx_mc_mpa_read(p, len, &info, &n, &samples) == NGX_OK) {
        check(n > 4 && n <= 4096 && samples && info.sample_rate
              && info.bitrate);
    }

    if (ngx_mc_adts_read(p, len, &adts) == NGX_OK) {
        check(adts.size >= adts.header && adts.size <= 8191);

        if (ngx_mc_aac_config_write(&adts, asc)) {
            check(ngx_mc_aac_config_read(asc, 2, &info) == NGX_OK);
            check(info.profile == adts.object_type
                  && info.sample_rate == adts.sample_rate);
            check(ngx_mc_adts_write(buf, &size, frame, 100, asc, 2) == NGX_OK
                  && size == 7);
            check(ngx_mc_adts_read(buf, 7, &back) == NGX_OK);
            check(back.object_type == adts.object_type
                  && back.frequency_index == adts.frequency_index
                  && back.channel_config == adts.channel_config
                  && back.size == 107 && back.blocks == 1);
        }
    }

    rc = ngx_mc_adts_write(buf, &size, p, len, p, len);

    if (rc == NGX_OK) {
        check(ngx_mc_aac_config_read(p, len, &info) == NGX_OK);
        check(ngx_mc_adts_read(buf, 7, &back) == NGX_OK);
        check(size <= sizeof(buf) && back.size == len + size
              && (size == 7 || back.channel_config == 0));

    } else if (rc == NGX_ERROR) {
        check(ngx_mc_aac_config_read(p, len, &info) == NGX_ERROR);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char  *p;

    if (size == 0) {
        return 0;
    }

    /* the first byte says what for */

    size--;
    p = malloc(size ? size : 1);
    memcpy(p, data + 1, size);

    switch (data[0] % 5) {

    case 0:
        fuzz_sps(p, size);
        break;

    case 1:
        fuzz_config(NGX_MC_CODEC_H264, p, size);
        break;

    case 2:
        fuzz_config(NGX_MC_CODEC_HEVC, p, size);
        break;

    case 3:
        fuzz_nal(p, size);
        break;

    default:
        fuzz_audio(p, size);
    }

    free(p);

    return 0;
}
