
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_FLV_H_INCLUDED_
#define _NGX_MC_FLV_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_registry.h>


/* for the rest see ngx_mc_frame.h */

/* FourCC of Enhanced RTMP: the videocodecid of HEVC */
#define NGX_MC_FLV_HVC1  0x68766331

/* CodecID, SoundFormat */
#define NGX_MC_FLV_AVC   7
#define NGX_MC_FLV_AAC   10
#define NGX_MC_FLV_MP3   2

/* markers of AMF0 */
#define NGX_MC_AMF_NUMBER        0
#define NGX_MC_AMF_BOOLEAN       1
#define NGX_MC_AMF_STRING        2
#define NGX_MC_AMF_OBJECT        3
#define NGX_MC_AMF_NULL          5
#define NGX_MC_AMF_UNDEFINED     6
#define NGX_MC_AMF_REFERENCE     7
#define NGX_MC_AMF_ECMA_ARRAY    8
#define NGX_MC_AMF_END           9
#define NGX_MC_AMF_STRICT_ARRAY  10
#define NGX_MC_AMF_DATE          11
#define NGX_MC_AMF_LONG_STRING   12
#define NGX_MC_AMF_UNSUPPORTED   13
#define NGX_MC_AMF_XML           15
#define NGX_MC_AMF_TYPED_OBJECT  16

/* "onMetaData" of a publisher, with or without "@setDataFrame" before it:
   AMF0, also malformed.  Sets all of md; the encoder's name is cut at a
   character of UTF-8, control characters in it become '?' */
void ngx_mc_flv_metadata_read(u_char *amf, size_t len,
    ngx_mc_rtmp_metadata_t *md);


#endif /* _NGX_MC_FLV_H_INCLUDED_ */
