/* sources: codec/ngx_mc_flv.c codec/ngx_mc_flv_metadata.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_flv.h>

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
fuzz_metadata(u_char *p, size_t len)
{
    size_t                   n;
    u_char                   buf[512];
    ngx_str_t                encoder;
    ngx_mc_track_info_t      video, audio;
    ngx_mc_rtmp_metadata_t   md, back;

    memset(&md, 0xff, sizeof(md));
    ngx_mc_flv_metadata_read(p, len, &md);

    check(md.width >= 0 && md.width < 1e9);
    check(md.channels >= 0 && md.channels < 1e9);
    check(memchr(md.encoder, 0, NGX_MC_ENCODER_LEN) != NULL);

    memset(&video, 0, sizeof(video));
    memset(&audio, 0, sizeof(audio));

    video.codec = NGX_MC_CODEC_H264;
    video.width = md.width;
    video.height = md.height;
    video.bitrate = (uint32_t) md.video_rate % 1000000 * 1000;
    audio.codec = NGX_MC_CODEC_AAC;
    audio.channels = (uint32_t) md.channels % 256;
    audio.sample_rate = md.sample_rate;

    encoder.data = md.encoder;
    encoder.len = ngx_strlen(md.encoder);

    n = ngx_mc_flv_metadata(buf, sizeof(buf), &video, &audio, &encoder);
    check(n && n <= sizeof(buf));

    ngx_mc_flv_metadata_read(buf, n, &back);
    check(back.width == video.width && back.height == video.height);
    check(back.video_rate == video.bitrate / 1000);
    check(back.channels == audio.channels);
    check(back.sample_rate == audio.sample_rate);
    check(strcmp((char *) back.encoder, (char *) md.encoder) == 0);

    check(ngx_mc_flv_metadata(buf, n - 1, &video, &audio, &encoder) == 0);
}


static void
fuzz_tag(ngx_uint_t type, u_char *p, size_t len)
{
    u_char               *buf;
    size_t                n;
    ngx_int_t             rc;
    ngx_mc_frame_t        f, again;
    ngx_mc_track_info_t   info;

    memset(&f, 0, sizeof(f));
    rc = ngx_mc_flv_parse(&f, type, 900000, p, len);

    check(f.tag == p && f.len == len && f.header <= len);
    check(f.codec < NGX_MC_CODEC_N);

    if (rc != NGX_OK || f.type == NGX_MC_FRAME_META) {
        return;
    }

    check(f.end || f.header < len);
    check(f.config + f.key + f.end <= 1);

    /* the same payload with a header of ours means the same */

    n = len - f.header;
    buf = malloc(NGX_MC_FLV_HEADER + n);
    memcpy(buf + NGX_MC_FLV_HEADER, p + f.header, n);

    memset(&info, 0, sizeof(info));
    info.sample_rate = 48000;
    info.channels = 2;

    again = f;
    ngx_mc_flv_write(&again, buf + NGX_MC_FLV_HEADER, n, &info);

    check(again.tag >= buf && again.tag + again.header
                              == buf + NGX_MC_FLV_HEADER);
    check(again.len == again.header + n);

    check(ngx_mc_flv_parse(&again, type, 900000, again.tag, again.len)
          == NGX_OK);
    check(again.codec == f.codec && again.key == f.key
          && again.config == f.config && again.end == f.end);
    check(again.dts == f.dts && again.pts == f.pts);

    free(buf);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char  *p;

    static uint8_t  types[] = { 8, 9, 9, 18, 20 };

    if (size == 0) {
        return 0;
    }

    /* the first byte says what for */

    size--;
    p = malloc(size ? size : 1);
    memcpy(p, data + 1, size);

    if (data[0] % 6 == 5) {
        fuzz_metadata(p, size);

    } else {
        fuzz_tag(types[data[0] % 6], p, size);
    }

    free(p);

    return 0;
}
