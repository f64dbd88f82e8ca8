
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_mux_state.h>


static u_char *ngx_mc_ts_mux_find(u_char *p, size_t len, const char *key,
    size_t key_len, double *value);


/*
 * "onMetaData" tells which tracks there will be, or of neither.  MP3 has no
 * configuration that precedes it, and that of AAC may come late: this is the
 * only word of it before a first key frame is to be sent.
 */

void
ngx_mc_ts_mux_meta(ngx_mc_ts_mux_t *mx, u_char *p, size_t len)
{
    double                  codec, rate;
    ngx_uint_t              video, audio;
    ngx_mc_ts_mux_track_t  *track;

    codec = -1;
    rate = -1;

    video = ngx_mc_ts_mux_find(p, len, "\0\x0cvideocodecid", 14, &codec)
            != NULL;

    codec = -1;

    audio = ngx_mc_ts_mux_find(p, len, "\0\x0c" "audiocodecid", 14, &codec)
            != NULL;

    if (!video && !audio) {
        return;
    }

    track = &mx->tracks[NGX_MC_TS_MUX_A];

    mx->hint = 1;
    mx->tracks[NGX_MC_TS_MUX_V].hinted = 1;
    mx->tracks[NGX_MC_TS_MUX_V].expected = video;
    track->hinted = 1;
    track->expected = audio;

    if (mx->started || track->known) {
        return;
    }

    if (codec == NGX_MC_TS_MUX_FLV_AAC) {

        /* all that the PMT has to tell of it: encoders that copy send the
           configuration behind the first key frame */

        ngx_memzero(&track->info, sizeof(ngx_mc_track_info_t));

        track->codec = NGX_MC_CODEC_AAC;
        track->config_len = 0;
        track->known = 1;

        return;
    }

    if (codec != NGX_MC_TS_MUX_FLV_MP3) {
        return;
    }

    (void) ngx_mc_ts_mux_find(p, len, "\0\x0f" "audiosamplerate", 17, &rate);

    ngx_memzero(&track->info, sizeof(ngx_mc_track_info_t));

    track->codec = NGX_MC_CODEC_MP3;
    track->config_len = 0;
    track->known = 1;

    /* the first frame sets the rate, which may make another PMT */

    track->info.sample_rate = (rate > 0 && rate < 32000) ? 22050 : 44100;
}


/* a property of an AMF0 object; its value if it is a number */

static u_char *
ngx_mc_ts_mux_find(u_char *p, size_t len, const char *key, size_t key_len,
    double *value)
{
    size_t    i, k;
    uint64_t  n;

    for (i = 0; i + key_len <= len; i++) {

        if (ngx_memcmp(p + i, key, key_len) != 0) {
            continue;
        }

        p += i + key_len;
        len -= i + key_len;

        if (len >= 9 && p[0] == 0) {
            n = 0;

            for (k = 1; k < 9; k++) {
                n = n << 8 | p[k];
            }

            ngx_memcpy(value, &n, sizeof(double));
        }

        return p;
    }

    return NULL;
}


ngx_int_t
ngx_mc_ts_mux_config(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    ngx_mc_frame_t *frame)
{
    u_char                 *p, *config, adts[NGX_MC_ADTS_MAX];
    size_t                  len, adts_len;
    ngx_int_t               rc;
    ngx_mc_track_info_t     info;
    ngx_mc_video_config_t   cfg;

    p = frame->tag + frame->header;
    len = frame->len - frame->header;

    if (track->known
        && track->codec == frame->codec
        && track->config_len == len
        && ngx_memcmp(track->config, p, len) == 0)
    {
        return NGX_OK;
    }

    if (len == 0 || len > NGX_MC_TS_MUX_CONFIG) {
        return NGX_ERROR;
    }

    ngx_memzero(&info, sizeof(ngx_mc_track_info_t));

    switch (frame->codec) {

    case NGX_MC_CODEC_H264:
    case NGX_MC_CODEC_HEVC:
        rc = ngx_mc_video_config_read(frame->codec, p, len, &cfg, &info);
        break;

    case NGX_MC_CODEC_AAC:
        rc = ngx_mc_aac_config_read(p, len, &info);

        if (rc == NGX_OK) {
            rc = ngx_mc_adts_write(adts, &adts_len, NULL, 0, p, len);
        }

        break;

    default:
        rc = NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    config = ngx_alloc(len, mx->log);
    if (config == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(config, p, len);

    if (track->pid == NGX_MC_TS_MUX_AUDIO) {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_flush(mx);

    } else {

        /* pictures of another codec cannot be decoded without a key frame */

        track->dirty |= (track->codec != frame->codec);
        track->sets = 1;
    }

    if (track->config) {
        ngx_free(track->config);
    }

    if (track->pid == NGX_MC_TS_MUX_VIDEO) {

        /* the same bytes again: now with pointers that stay */

        (void) ngx_mc_video_config_read(frame->codec, config, len, &mx->sets,
                                        &info);
    }

    track->config = config;
    track->config_len = len;
    track->codec = frame->codec;
    track->info = info;
    track->known = 1;

    if (mx->started) {
        ngx_mc_ts_mux_tables(mx);
    }

    return NGX_OK;
}


/* MP3 has no configuration but the header of each frame */

ngx_int_t
ngx_mc_ts_mux_mp3(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    u_char *p, size_t len)
{
    uint32_t              size, samples;
    ngx_mc_track_info_t   info;

    if (len < 4) {
        return NGX_ERROR;
    }

    ngx_memzero(&info, sizeof(ngx_mc_track_info_t));

    if (ngx_mc_mpa_read(p, len, &info, &size, &samples) != NGX_OK) {
        return NGX_ERROR;
    }

    if (track->known && track->codec == NGX_MC_CODEC_MP3
        && track->info.sample_rate == info.sample_rate)
    {
        return NGX_OK;
    }

    /* what is held is of the one before */

    ngx_mc_ts_mux_release(mx);
    ngx_mc_ts_mux_flush(mx);

    track->codec = NGX_MC_CODEC_MP3;
    track->info = info;
    track->config_len = 0;
    track->known = 1;

    if (mx->started) {
        ngx_mc_ts_mux_tables(mx);
    }

    return NGX_OK;
}


/* of an audio frame, 90 kHz; 0: not known */

int64_t
ngx_mc_ts_mux_duration(ngx_mc_ts_mux_track_t *track)
{
    int64_t  samples;

    if (track->info.sample_rate == 0) {
        return 0;
    }

    if (track->codec == NGX_MC_CODEC_AAC) {

        /* with SBR or PS the rate is twice that of the core */

        samples = (track->info.profile == 5 || track->info.profile == 29)
                  ? 2048 : 1024;

    } else {
        samples = (track->info.sample_rate >= 32000) ? 1152 : 576;
    }

    return samples * 90000 / track->info.sample_rate;
}
