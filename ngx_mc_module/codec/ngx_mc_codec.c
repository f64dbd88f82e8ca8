
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_codec.h>


ngx_str_t  ngx_mc_codec_names[] = {
    ngx_string("none"),
    ngx_string("h264"),
    ngx_string("hevc"),
    ngx_string("aac"),
    ngx_string("mp3"),
    ngx_string("mpeg1video"),
    ngx_string("mpeg2video"),
    ngx_string("mpeg4"),
    ngx_string("vvc"),
    ngx_string("av1"),
    ngx_string("vp9"),
    ngx_string("jpeg2000"),
    ngx_string("mp2"),
    ngx_string("ac3"),
    ngx_string("eac3"),
    ngx_string("ac4"),
    ngx_string("dts"),
    ngx_string("opus"),
    ngx_string("s302m"),
    ngx_string("speex"),
    ngx_string("pcm"),
    ngx_string("flv1"),
    ngx_string("vp6"),
    ngx_string("teletext"),
    ngx_string("dvb_subtitle"),
    ngx_string("scte35"),
    ngx_string("id3"),
    ngx_string("klv")
};


/* the names are as many as the codecs */

typedef char  ngx_mc_codec_names_size[
    (sizeof(ngx_mc_codec_names) / sizeof(ngx_str_t) == NGX_MC_CODEC_N)
    ? 1 : -1];
