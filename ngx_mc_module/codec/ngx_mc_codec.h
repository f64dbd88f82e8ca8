
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_CODEC_H_INCLUDED_
#define _NGX_MC_CODEC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NGX_MC_CODEC_NONE = 0,

    /* those that the frame lane carries */
    NGX_MC_CODEC_H264,
    NGX_MC_CODEC_HEVC,
    NGX_MC_CODEC_AAC,
    NGX_MC_CODEC_MP3,

    /* those that are only told about */
    NGX_MC_CODEC_MPEG1VIDEO,
    NGX_MC_CODEC_MPEG2VIDEO,
    NGX_MC_CODEC_MPEG4,
    NGX_MC_CODEC_VVC,
    NGX_MC_CODEC_AV1,
    NGX_MC_CODEC_VP9,
    NGX_MC_CODEC_JPEG2000,
    NGX_MC_CODEC_MP2,
    NGX_MC_CODEC_AC3,
    NGX_MC_CODEC_EAC3,
    NGX_MC_CODEC_AC4,
    NGX_MC_CODEC_DTS,
    NGX_MC_CODEC_OPUS,
    NGX_MC_CODEC_S302M,
    NGX_MC_CODEC_SPEEX,
    NGX_MC_CODEC_PCM,
    NGX_MC_CODEC_FLV1,
    NGX_MC_CODEC_VP6,
    NGX_MC_CODEC_TELETEXT,
    NGX_MC_CODEC_DVB_SUBTITLE,
    NGX_MC_CODEC_SCTE35,
    NGX_MC_CODEC_ID3,
    NGX_MC_CODEC_KLV,
    NGX_MC_CODEC_N
} ngx_mc_codec_e;


#define NGX_MC_TRACK_OTHER   0
#define NGX_MC_TRACK_VIDEO   1
#define NGX_MC_TRACK_AUDIO   2


/* as shown: "h264", "aac", ...; zero-terminated in data */
extern ngx_str_t  ngx_mc_codec_names[];


/* what is known about a track; 0: not known */

typedef struct {
    uint8_t           type;          /* NGX_MC_TRACK_* */
    uint8_t           codec;         /* NGX_MC_CODEC_* */
    uint8_t           profile;       /* profile_idc, or audio object type */
    uint8_t           level;         /* level_idc */
    uint8_t           interlaced;
    uint8_t           channels;
    u_char            language[4];   /* ISO 639-2, zero-terminated */
    uint32_t          width;         /* after cropping */
    uint32_t          height;
    uint32_t          sample_rate;
    uint32_t          frame_num;     /* frame rate, frames not fields */
    uint32_t          frame_den;
    uint32_t          bitrate;       /* bit/s, from headers */
} ngx_mc_track_info_t;


/* parameter sets of a video track: pointers into what was parsed */

#define NGX_MC_PARAM_SETS    16

typedef struct {
    u_char           *data;          /* NAL unit without start code */
    uint32_t          len;
} ngx_mc_nal_t;

typedef struct {
    ngx_mc_nal_t      sets[NGX_MC_PARAM_SETS];  /* VPS, SPS, PPS in order */
    ngx_uint_t        nsets;
    ngx_uint_t        length_size;   /* of the NAL lengths: 1, 2 or 4 */
} ngx_mc_video_config_t;


/* what slice headers cannot be read without, and what avcC repeats */

typedef struct {
    uint8_t           id;
    uint8_t           log2_max_frame_num;
    uint8_t           frame_mbs_only;
    uint8_t           separate_colour_plane;
    uint8_t           poc_type;      /* pic_order_cnt_type */
    uint8_t           log2_max_poc_lsb;           /* with type 0 */
    uint8_t           chroma_format;
    uint8_t           bit_depth_luma;
    uint8_t           bit_depth_chroma;
} ngx_mc_h264_sps_t;


/* the beginning of a slice header */

typedef struct {
    uint32_t          first_mb;
    uint32_t          frame_num;
    uint32_t          idr_pic_id;
    uint32_t          poc_lsb;
    uint8_t           pps_id;
    uint8_t           type;          /* slice_type modulo 5: H264SLI_TYPE_* */
    uint8_t           ref_idc;
    unsigned          idr:1;
    unsigned          field:1;
    unsigned          bottom:1;
} ngx_mc_h264_slice_t;


/*
 * NGX_ERROR of any of these: malformed, or beyond our bounds; what was to be
 * filled is then as it was before.
 */

/* an SPS NAL unit; fills what it tells of info, and "sps" unless NULL.
   HEVC: a picture may be a field, its height is that of the picture */
ngx_int_t ngx_mc_h264_sps(u_char *nal, size_t len, ngx_mc_track_info_t *info);
ngx_int_t ngx_mc_h264_sps_read(u_char *nal, size_t len,
    ngx_mc_track_info_t *info, ngx_mc_h264_sps_t *sps);
ngx_int_t ngx_mc_hevc_sps(u_char *nal, size_t len, ngx_mc_track_info_t *info);

/* a NAL unit of type 1, 2 or 5; without "sps" first_mb, type, pps_id, ref_idc
   and idr only */
ngx_int_t ngx_mc_h264_slice(u_char *nal, size_t len, ngx_mc_h264_sps_t *sps,
    ngx_mc_h264_slice_t *slice);

/* whether "slice" begins another picture (a frame or a field) than that of
   "prev" right before it: ITU-T H.264, 7.4.1.2.4 */
ngx_uint_t ngx_mc_h264_slice_begins(ngx_mc_h264_slice_t *prev,
    ngx_mc_h264_slice_t *slice);

/* whether it begins the second field of the frame that "prev" is the first
   field of */
ngx_uint_t ngx_mc_h264_slice_pairs(ngx_mc_h264_slice_t *prev,
    ngx_mc_h264_slice_t *slice);

/* avcC (ISO/IEC 14496-15, 5.3.3.1) or hvcC (8.3.3.1), by codec */
ngx_int_t ngx_mc_video_config_read(ngx_uint_t codec, u_char *data, size_t len,
    ngx_mc_video_config_t *cfg, ngx_mc_track_info_t *info);

/* returns the length, 0: does not fit, or sets are missing or malformed.
   Lengths of 4 bytes */
size_t ngx_mc_video_config_write(ngx_uint_t codec,
    ngx_mc_video_config_t *cfg, u_char *buf, size_t size);


/* an ADTS header (ISO/IEC 14496-3, 1.A.2.2.1); "size" is of the whole frame,
   "header" of what precedes the raw_data_block, both bytes; "frames" of raw
   data blocks, "len" what is there, at least 7 */

typedef struct {
    uint32_t          size;
    uint32_t          header;
    uint8_t           object_type;
    uint8_t           frequency_index;
    uint8_t           channel_config;
    uint8_t           blocks;
    uint32_t          sample_rate;
} ngx_mc_adts_t;

ngx_int_t ngx_mc_adts_read(u_char *data, size_t len, ngx_mc_adts_t *adts);

/* what precedes a raw_data_block of "len": "size" bytes, up to
   NGX_MC_ADTS_MAX; from an AudioSpecificConfig.  A program_config_element in
   it follows the header, without its comment, unless the block begins with
   one.  "frame" may be NULL if "len" is 0.  NGX_DECLINED: ADTS cannot say it */

/* a header, and a program_config_element of up to 388 bits with its
   id_syn_ele, and comment_field_bytes */
#define NGX_MC_ADTS_MAX      (7 + 49 + 1)

ngx_int_t ngx_mc_adts_write(u_char *buf, size_t *size, u_char *frame,
    size_t len, u_char *config, size_t config_len);

/* AudioSpecificConfig (1.6.2.1).  info: the object type is 5 or 29, rate and
   channels are those that come out, if SBR or PS is told of.  write(): 2
   bytes; 0: ADTS does not tell the channels */
ngx_int_t ngx_mc_aac_config_read(u_char *data, size_t len,
    ngx_mc_track_info_t *info);
size_t ngx_mc_aac_config_write(ngx_mc_adts_t *adts, u_char *buf);

/* MPEG-1, -2 and -2.5 audio header (ISO/IEC 11172-3, 2.4.1.3), 4 bytes;
   "size" of the frame in bytes, "samples" in it; info: profile is the object
   type of ISO/IEC 14496-3: 32 to 34, layers 1 to 3 */
ngx_int_t ngx_mc_mpa_read(u_char *data, size_t len, ngx_mc_track_info_t *info,
    uint32_t *size, uint32_t *samples);


/* NAL units */

/* nal_unit_type of a NAL unit */
#define ngx_mc_h264_nal_type(nal)  ((nal)[0] & 0x1f)
#define ngx_mc_hevc_nal_type(nal)  (((nal)[0] >> 1) & 0x3f)

/* the next NAL unit at or after "p": returns where to look for the one after
   it, NULL: there is none.  What precedes the first start code, and zero bytes
   before a start code or at the end, belong to none */
u_char *ngx_mc_nal_next(u_char *p, u_char *last, ngx_mc_nal_t *nal);

/* the first 00 00 01 at or after "p", "last" if there is none */
u_char *ngx_mc_nal_start(u_char *p, u_char *last);

/*
 * Whether decoding can start at an access unit: H.264: IDR, or a recovery
 * point: with recovery_frame_cnt 0 if the first slice is I, with more always,
 * for streams with intra refresh have nothing else.  HEVC: IRAP, or a recovery
 * point, likewise.  "key" begins as 0, each NAL unit, in order, gives the next
 * value, ngx_mc_video_is_key() may be asked after any of them.
 */
#define NGX_MC_KEY_IDR       1
#define NGX_MC_KEY_RECOVERY  2
#define NGX_MC_KEY_SLICE     4
#define NGX_MC_KEY_INTRA     8
#define NGX_MC_KEY_GRADUAL   16

ngx_uint_t ngx_mc_h264_key(ngx_uint_t key, u_char *nal, size_t len);
ngx_uint_t ngx_mc_hevc_key(ngx_uint_t key, u_char *nal, size_t len);

#define ngx_mc_video_is_key(key)                                              \
    (((key) & NGX_MC_KEY_IDR)                                                 \
     || ((key) & (NGX_MC_KEY_RECOVERY|NGX_MC_KEY_INTRA))                      \
        == (NGX_MC_KEY_RECOVERY|NGX_MC_KEY_INTRA))

/* HEVC: a slice segment of an IRAP picture */
#define ngx_mc_hevc_is_key(nal)                                               \
    (ngx_mc_hevc_nal_type(nal) >= 16 && ngx_mc_hevc_nal_type(nal) <= 21)

/* HEVC: a slice segment, and first_slice_segment_in_pic_flag of it */
#define ngx_mc_hevc_is_slice(nal)  (ngx_mc_hevc_nal_type(nal) < 32)
#define ngx_mc_hevc_is_first(nal, len)                                        \
    (ngx_mc_hevc_is_slice(nal) && (len) > 2 && ((nal)[2] & 0x80))

/* HEVC: nuh_layer_id, 0: the base layer */
#define ngx_mc_hevc_layer(nal)     (((nal)[0] & 1) << 5 | (nal)[1] >> 3)


#endif /* _NGX_MC_CODEC_H_INCLUDED_ */
