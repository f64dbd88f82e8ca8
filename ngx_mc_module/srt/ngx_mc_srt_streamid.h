
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_SRT_STREAMID_H_INCLUDED_
#define _NGX_MC_SRT_STREAMID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_MC_SRT_STREAMID_LEN    512

/* what the caller is there for */
#define NGX_MC_SRT_MODE_ANY        0       /* a plain streamid */
#define NGX_MC_SRT_MODE_REQUEST    1       /* to receive */
#define NGX_MC_SRT_MODE_PUBLISH    2       /* to send */
#define NGX_MC_SRT_MODE_OTHER      3       /* "bidirectional" or unknown:
                                              reaches nothing, 1405 */

/* ngx_mc_srt_streamid_match(), better is greater */
#define NGX_MC_SRT_MATCH_NO        0
#define NGX_MC_SRT_MATCH_FALLBACK  1       /* unless another one matches */
#define NGX_MC_SRT_MATCH_YES       2


typedef struct {
    ngx_str_t                text;         /* all of it */
    ngx_str_t                resource;     /* a part of text */
    ngx_uint_t               mode;         /* NGX_MC_SRT_MODE_* */
    unsigned                 keyed:1;      /* "#!:" form */
} ngx_mc_srt_streamid_t;


/*
 * These allocate nothing, keep nothing and log nothing: they are also called
 * from libsrt's threads.
 */

/* NGX_ERROR: keyed, and malformed, or too long (reject code 1400); the
   strings point into "s" */
ngx_int_t ngx_mc_srt_streamid_parse(const u_char *s, size_t len,
    ngx_mc_srt_streamid_t *sid);

/*
 * How well a caller's streamid fits a listening endpoint: "streamid" is the
 * configured one, empty if there is none, "direction" NGX_MC_INPUT or
 * NGX_MC_OUTPUT.  The best match of the endpoints of a port wins.
 */
ngx_uint_t ngx_mc_srt_streamid_match(ngx_mc_srt_streamid_t *sid,
    ngx_str_t *streamid, ngx_uint_t direction);


#endif /* _NGX_MC_SRT_STREAMID_H_INCLUDED_ */
