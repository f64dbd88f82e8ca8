
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_flv.h>


/* Video File Format Specification 10.1, E.4.3 and E.4.2; Enhanced RTMP 1 */

#define NGX_MC_FLV_KEY              1
#define NGX_MC_FLV_INTER            2
#define NGX_MC_FLV_GENERATED_KEY    4
#define NGX_MC_FLV_COMMAND          5

/* what HEVC is in streams from before Enhanced RTMP, no specification has it */
#define NGX_MC_FLV_HEVC             12

#define NGX_MC_FLV_MP3_8KHZ         14

/* AVCPacketType, AACPacketType */
#define NGX_MC_FLV_CONFIG           0
#define NGX_MC_FLV_PAYLOAD          1
#define NGX_MC_FLV_END              2

/* bytes before the payload */
#define NGX_MC_FLV_AVC_HEADER       5
#define NGX_MC_FLV_AAC_HEADER       2
#define NGX_MC_FLV_MP3_HEADER       1

#define NGX_MC_FLV_EX               0x80
#define NGX_MC_FLV_EX_HEADER        5
#define NGX_MC_FLV_EX_START         0
#define NGX_MC_FLV_EX_FRAMES        1
#define NGX_MC_FLV_EX_END           2
#define NGX_MC_FLV_EX_FRAMES_X      3

/* composition times are signed, 24 bits */
#define NGX_MC_FLV_COMPOSITION_MAX  0x7fffff

#define NGX_MC_FLV_AAC_44_16_2      0xaf


typedef struct {
    uint32_t          fourcc;
    ngx_uint_t        codec;
} ngx_mc_flv_fourcc_t;


static ngx_int_t ngx_mc_flv_video(ngx_mc_frame_t *frame);
static ngx_int_t ngx_mc_flv_video_ex(ngx_mc_frame_t *frame);
static ngx_int_t ngx_mc_flv_audio(ngx_mc_frame_t *frame);
static ngx_int_t ngx_mc_flv_data(ngx_mc_frame_t *frame);
static int64_t ngx_mc_flv_composition(u_char *p);
static ngx_uint_t ngx_mc_flv_string(u_char *p, u_char *last,
    const char *text, size_t len);
static u_char *ngx_mc_flv_write_video(ngx_mc_frame_t *frame, u_char *payload);
static u_char ngx_mc_flv_mp3(ngx_mc_track_info_t *info);


/* by CodecID */

static uint8_t  ngx_mc_flv_video_codecs[16] = {
    0, 0, NGX_MC_CODEC_FLV1, 0, NGX_MC_CODEC_VP6, NGX_MC_CODEC_VP6, 0,
    NGX_MC_CODEC_H264, 0, 0, 0, 0, NGX_MC_CODEC_HEVC, 0, 0, 0
};

/* by SoundFormat */

static uint8_t  ngx_mc_flv_audio_codecs[16] = {
    NGX_MC_CODEC_PCM, NGX_MC_CODEC_PCM, NGX_MC_CODEC_MP3, NGX_MC_CODEC_PCM,
    0, 0, 0, NGX_MC_CODEC_PCM, NGX_MC_CODEC_PCM, 0, NGX_MC_CODEC_AAC,
    NGX_MC_CODEC_SPEEX, 0, 0, NGX_MC_CODEC_MP3, 0
};

static ngx_mc_flv_fourcc_t  ngx_mc_flv_fourccs[] = {
    { NGX_MC_FLV_HVC1, NGX_MC_CODEC_HEVC },
    { 0x61763031, NGX_MC_CODEC_AV1 },      /* av01 */
    { 0x76703039, NGX_MC_CODEC_VP9 },      /* vp09 */
    { 0x76766331, NGX_MC_CODEC_VVC },      /* vvc1 */
    { 0, NGX_MC_CODEC_NONE }
};


ngx_int_t
ngx_mc_flv_parse(ngx_mc_frame_t *frame, ngx_uint_t type, int64_t dts,
    u_char *tag, size_t len)
{
    frame->tag = tag;
    frame->len = 0;
    frame->header = 0;
    frame->dts = dts;
    frame->pts = dts;
    frame->type = type;
    frame->codec = NGX_MC_CODEC_NONE;
    frame->key = 0;
    frame->config = 0;
    frame->end = 0;

    if (len > NGX_MC_FRAME_MAX) {
        return NGX_ERROR;
    }

    frame->len = len;

    if (len == 0) {

        /* some encoders send it, to keep a connection alive */

        return NGX_DECLINED;
    }

    switch (type) {

    case NGX_MC_FRAME_VIDEO:
        return ngx_mc_flv_video(frame);

    case NGX_MC_FRAME_AUDIO:
        return ngx_mc_flv_audio(frame);

    case NGX_MC_FRAME_META:
        return ngx_mc_flv_data(frame);

    default:
        return NGX_DECLINED;
    }
}


static ngx_int_t
ngx_mc_flv_video(ngx_mc_frame_t *frame)
{
    u_char      *p;
    ngx_uint_t   type;

    p = frame->tag;

    if (p[0] & NGX_MC_FLV_EX) {
        return ngx_mc_flv_video_ex(frame);
    }

    type = p[0] >> 4;

    frame->codec = ngx_mc_flv_video_codecs[p[0] & 0x0f];

    if (type == NGX_MC_FLV_COMMAND
        || (frame->codec != NGX_MC_CODEC_H264
            && frame->codec != NGX_MC_CODEC_HEVC))
    {
        return NGX_DECLINED;
    }

    if (frame->len < 2) {
        return NGX_ERROR;
    }

    frame->header = ngx_min(frame->len, NGX_MC_FLV_AVC_HEADER);

    switch (p[1]) {

    case NGX_MC_FLV_CONFIG:
        frame->config = 1;
        break;

    case NGX_MC_FLV_PAYLOAD:
        frame->key = (type == NGX_MC_FLV_KEY
                      || type == NGX_MC_FLV_GENERATED_KEY);
        break;

    case NGX_MC_FLV_END:
        frame->end = 1;
        return NGX_OK;

    default:
        return NGX_DECLINED;
    }

    if (frame->len <= NGX_MC_FLV_AVC_HEADER) {
        return NGX_ERROR;
    }

    if (!frame->config) {
        frame->pts += ngx_mc_flv_composition(p + 2);
    }

    return NGX_OK;
}


/* Enhanced RTMP 1, "Defining Additional Video Codecs" */

static ngx_int_t
ngx_mc_flv_video_ex(ngx_mc_frame_t *frame)
{
    u_char               *p;
    uint32_t              fourcc;
    ngx_uint_t            type;
    ngx_mc_flv_fourcc_t  *f;

    p = frame->tag;

    type = (p[0] >> 4) & 0x07;

    if (type == NGX_MC_FLV_COMMAND) {
        return NGX_DECLINED;
    }

    if (frame->len < NGX_MC_FLV_EX_HEADER) {
        return NGX_ERROR;
    }

    fourcc = (uint32_t) p[1] << 24 | p[2] << 16 | p[3] << 8 | p[4];

    for (f = ngx_mc_flv_fourccs; f->fourcc && f->fourcc != fourcc; f++) {
        /* void */
    }

    frame->codec = f->codec;

    if (frame->codec != NGX_MC_CODEC_HEVC) {
        return NGX_DECLINED;
    }

    frame->header = NGX_MC_FLV_EX_HEADER;

    switch (p[0] & 0x0f) {

    case NGX_MC_FLV_EX_START:
        frame->config = 1;
        break;

    case NGX_MC_FLV_EX_FRAMES:
        frame->header = NGX_MC_FLV_HEADER;

        /* fall through */

    case NGX_MC_FLV_EX_FRAMES_X:
        frame->key = (type == NGX_MC_FLV_KEY
                      || type == NGX_MC_FLV_GENERATED_KEY);
        break;

    case NGX_MC_FLV_EX_END:
        frame->end = 1;
        return NGX_OK;

    default:
        return NGX_DECLINED;
    }

    if (frame->len <= frame->header) {
        frame->header = frame->len;
        return NGX_ERROR;
    }

    if (frame->header == NGX_MC_FLV_HEADER) {
        frame->pts += ngx_mc_flv_composition(p + NGX_MC_FLV_EX_HEADER);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_flv_audio(ngx_mc_frame_t *frame)
{
    u_char  *p;

    p = frame->tag;

    frame->codec = ngx_mc_flv_audio_codecs[p[0] >> 4];

    switch (frame->codec) {

    case NGX_MC_CODEC_AAC:

        if (frame->len < NGX_MC_FLV_AAC_HEADER) {
            return NGX_ERROR;
        }

        frame->header = NGX_MC_FLV_AAC_HEADER;

        if (p[1] > NGX_MC_FLV_PAYLOAD) {
            return NGX_DECLINED;
        }

        frame->config = (p[1] == NGX_MC_FLV_CONFIG);
        break;

    case NGX_MC_CODEC_MP3:
        frame->header = NGX_MC_FLV_MP3_HEADER;
        break;

    default:
        return NGX_DECLINED;
    }

    if (frame->len > frame->header) {
        return NGX_OK;
    }

    /* an empty configuration is what ffmpeg begins with when it copies AAC
       from TS: the one that tells something follows */

    return NGX_DECLINED;
}


static ngx_int_t
ngx_mc_flv_data(ngx_mc_frame_t *frame)
{
    u_char      *p, *last;
    ngx_uint_t   n;

    p = frame->tag;
    last = p + frame->len;

    n = ngx_mc_flv_string(p, last, "@setDataFrame",
                          sizeof("@setDataFrame") - 1);

    if (ngx_mc_flv_string(p + n, last, "onMetaData", sizeof("onMetaData") - 1)
        == 0)
    {
        return NGX_DECLINED;
    }

    frame->header = n;

    return NGX_OK;
}


/* of 24 bits, ms to 90 kHz */

static int64_t
ngx_mc_flv_composition(u_char *p)
{
    int32_t  ms;

    ms = p[0] << 16 | p[1] << 8 | p[2];

    if (ms > NGX_MC_FLV_COMPOSITION_MAX) {
        ms -= 0x1000000;
    }

    return (int64_t) ms * 90;
}


/* the bytes of an AMF0 string that is "text", 0: it is not */

static ngx_uint_t
ngx_mc_flv_string(u_char *p, u_char *last, const char *text, size_t len)
{
    if ((size_t) (last - p) < 3 + len
        || p[0] != NGX_MC_AMF_STRING
        || (size_t) (p[1] << 8 | p[2]) != len
        || ngx_memcmp(p + 3, text, len) != 0)
    {
        return 0;
    }

    return 3 + len;
}


void
ngx_mc_flv_write(ngx_mc_frame_t *frame, u_char *payload, size_t len,
    ngx_mc_track_info_t *info)
{
    u_char  *p;

    switch (frame->type) {

    case NGX_MC_FRAME_VIDEO:
        p = ngx_mc_flv_write_video(frame, payload);
        break;

    case NGX_MC_FRAME_AUDIO:

        if (frame->codec == NGX_MC_CODEC_MP3) {
            p = payload - NGX_MC_FLV_MP3_HEADER;
            p[0] = ngx_mc_flv_mp3(info);
            break;
        }

        p = payload - NGX_MC_FLV_AAC_HEADER;
        p[0] = NGX_MC_FLV_AAC_44_16_2;
        p[1] = frame->config ? NGX_MC_FLV_CONFIG : NGX_MC_FLV_PAYLOAD;
        break;

    default: /* NGX_MC_FRAME_META */
        p = payload;
    }

    frame->tag = p;
    frame->header = payload - p;
    frame->len = frame->header + len;
}


static u_char *
ngx_mc_flv_write_video(ngx_mc_frame_t *frame, u_char *payload)
{
    u_char      *p;
    int64_t      ms;
    ngx_uint_t   type, packet;

    ms = 0;
    type = NGX_MC_FLV_KEY;

    if (frame->config) {
        packet = NGX_MC_FLV_CONFIG;

    } else if (frame->end) {
        packet = NGX_MC_FLV_END;

    } else {
        packet = NGX_MC_FLV_PAYLOAD;

        if (!frame->key) {
            type = NGX_MC_FLV_INTER;
        }

        ms = ngx_mc_frame_ms(frame->pts) - ngx_mc_frame_ms(frame->dts);
        ms = ngx_min(ms, NGX_MC_FLV_COMPOSITION_MAX);
        ms = ngx_max(ms, - NGX_MC_FLV_COMPOSITION_MAX - 1);
    }

    if (frame->codec == NGX_MC_CODEC_HEVC) {

        /* packet types 0 to 2 mean the same in both */

        if (packet == NGX_MC_FLV_PAYLOAD && ms == 0) {
            packet = NGX_MC_FLV_EX_FRAMES_X;
        }

        p = payload - ((packet == NGX_MC_FLV_EX_FRAMES)
                       ? NGX_MC_FLV_HEADER : NGX_MC_FLV_EX_HEADER);

        p[0] = NGX_MC_FLV_EX | type << 4 | packet;
        p[1] = 'h';
        p[2] = 'v';
        p[3] = 'c';
        p[4] = '1';

        if (packet != NGX_MC_FLV_EX_FRAMES) {
            return p;
        }

    } else {
        p = payload - NGX_MC_FLV_AVC_HEADER;

        p[0] = type << 4 | NGX_MC_FLV_AVC;
        p[1] = packet;
    }

    payload[-3] = ms >> 16;
    payload[-2] = ms >> 8;
    payload[-1] = ms;

    return p;
}


/* SoundFormat, SoundRate, SoundSize, SoundType.  The rates are those of
   MPEG-1, 2 and 2.5, 48 kHz stands under 44.1 and so on; 8 kHz has a format of
   its own */

static u_char
ngx_mc_flv_mp3(ngx_mc_track_info_t *info)
{
    u_char  b;

    b = NGX_MC_FLV_MP3 << 4 | 0x02;

    if (info == NULL || info->sample_rate == 0) {
        return b | 0x0d;
    }

    if (info->channels != 1) {
        b |= 0x01;
    }

    if (info->sample_rate > 24000) {
        return b | 3 << 2;
    }

    if (info->sample_rate > 12000) {
        return b | 2 << 2;
    }

    if (info->sample_rate > 8000) {
        return b | 1 << 2;
    }

    return NGX_MC_FLV_MP3_8KHZ << 4 | (b & 0x0f);
}
