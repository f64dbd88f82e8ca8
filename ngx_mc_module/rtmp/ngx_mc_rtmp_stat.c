
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp.h>


void
ngx_mc_rtmp_stat_clear(ngx_mc_rtmp_stat_t *st)
{
    st->chunk_size = -1;
    st->queue = -1;
    st->video_codec_id = -1;
    st->audio_codec_id = -1;
    st->has_metadata = 0;
    ngx_memzero(&st->metadata, sizeof(ngx_mc_rtmp_metadata_t));
}


void
ngx_mc_rtmp_stat_codec(ngx_mc_rtmp_stat_t *st, ngx_mc_frame_t *frame)
{
    u_char  *p;

    p = frame->tag;

    if (frame->len == 0) {
        return;
    }

    if (frame->type == NGX_MC_FRAME_AUDIO) {
        st->audio_codec_id = p[0] >> 4;
        return;
    }

    if (frame->type != NGX_MC_FRAME_VIDEO) {
        return;
    }

    if ((p[0] & 0x80) == 0) {
        st->video_codec_id = p[0] & 0x0f;
        return;
    }

    /* Enhanced RTMP: the FourCC */

    st->video_codec_id = (frame->len < 5) ? -1
                         : (int32_t) ((uint32_t) p[1] << 24 | p[2] << 16
                                      | p[3] << 8 | p[4]);
}
