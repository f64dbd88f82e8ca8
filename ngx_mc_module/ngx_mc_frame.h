
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_FRAME_H_INCLUDED_
#define _NGX_MC_FRAME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_codec.h>


/*
 * The frame lane carries access units in the form that RTMP has them: the
 * body of an RTMP message, that is of an FLV tag, with what was found out
 * about it beside.  Video is in NAL units with a length before each, AAC is
 * without ADTS.
 */


/* types of RTMP messages and FLV tags */
#define NGX_MC_FRAME_AUDIO   8
#define NGX_MC_FRAME_VIDEO   9
#define NGX_MC_FRAME_META    18      /* AMF0: "onMetaData" and an object */

/* largest body of a message; also of an access unit in TS */
#define NGX_MC_FRAME_MAX     (16 * 1024 * 1024)

/* before the payload of video by Enhanced RTMP */
#define NGX_MC_FLV_HEADER    8


typedef struct {
    u_char           *tag;           /* the body of the message, borrowed:
                                        valid during the call only */
    uint32_t          len;
    uint32_t          header;        /* bytes of tag before the payload */

    /* 90 kHz, extended over the wraps of 33 and of 32 bits: never wrap */
    int64_t           dts;
    int64_t           pts;

    int64_t           origin;        /* us, CLOCK_MONOTONIC: when its last byte
                                        had arrived */
    uint8_t           type;          /* NGX_MC_FRAME_* */
    uint8_t           codec;         /* NGX_MC_CODEC_* */
    unsigned          key:1;         /* video: decoding can start here */
    unsigned          config:1;      /* the payload is the decoder
                                        configuration: avcC, hvcC,
                                        AudioSpecificConfig; no picture */
    unsigned          end:1;         /* end of sequence, no payload */
    unsigned          discontinuity:1; /* another stream begins: timestamps
                                        have no relation to those before */
} ngx_mc_frame_t;


/* what somebody who joins is to be given first; copies, tag NULL: none */

typedef struct {
    ngx_mc_frame_t    meta;
    ngx_mc_frame_t    video;         /* decoder configuration */
    ngx_mc_frame_t    audio;
} ngx_mc_frame_headers_t;


/*
 * What stands in a message: sets everything but origin and discontinuity;
 * "type" and dts as of the message, 90 kHz.  A configuration is no key.
 * NGX_DECLINED: well-formed, but nothing that the frame lane carries,
 * frame->codec tells what if it is known; NGX_ERROR: malformed.  Enhanced
 * RTMP: hvc1.
 */
ngx_int_t ngx_mc_flv_parse(ngx_mc_frame_t *frame, ngx_uint_t type,
    int64_t dts, u_char *tag, size_t len);

/*
 * Writes the header of the tag for codec, type, key, config and pts - dts,
 * right before "payload", where NGX_MC_FLV_HEADER bytes of room must be, and
 * sets tag, len and header.  Composition times are rounded so that dts and
 * pts, each rounded to the ms alone, stay what they are.  For AAC the header
 * does not depend on the stream (FLV: 44 kHz, stereo, 16 bit), for MP3 it
 * does: "info".
 */
void ngx_mc_flv_write(ngx_mc_frame_t *frame, u_char *payload, size_t len,
    ngx_mc_track_info_t *info);

/*
 * "onMetaData" with an ECMA array, as encoders send it: width, height,
 * framerate, videocodecid, videodatarate, audiocodecid, audiosamplerate,
 * audiochannels, stereo, audiodatarate, encoder.  Rates in kbit/s, 0: left
 * out.  Each may be NULL.  Returns the length, 0: it does not fit.
 */
size_t ngx_mc_flv_metadata(u_char *buf, size_t size,
    ngx_mc_track_info_t *video, ngx_mc_track_info_t *audio,
    ngx_str_t *encoder);

/* ms of RTMP from 90 kHz, rounded down, also below zero */
static ngx_inline int64_t
ngx_mc_frame_ms(int64_t ts)
{
    return (ts >= 0) ? ts / 90 : -((-ts + 89) / 90);
}

/* keeps a copy of a configuration or of metadata; a frame that ends a codec's
   use (video that changes from H.264 to HEVC) replaces it.  NGX_ERROR: no
   memory */
ngx_int_t ngx_mc_frame_headers_set(ngx_mc_frame_headers_t *headers,
    ngx_mc_frame_t *frame);
void ngx_mc_frame_headers_free(ngx_mc_frame_headers_t *headers);


#endif /* _NGX_MC_FRAME_H_INCLUDED_ */
