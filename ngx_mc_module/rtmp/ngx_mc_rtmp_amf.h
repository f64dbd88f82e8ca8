
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_AMF_H_INCLUDED_
#define _NGX_MC_RTMP_AMF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_flv.h>


/*
 * Action Message Format 0, as far as commands need it, in one piece of memory;
 * for its markers see ngx_mc_flv.h.
 */

typedef struct {
    u_char                    *pos;
    u_char                    *last;
} ngx_mc_rtmp_amf_t;

typedef struct {
    ngx_str_t                  level;
    ngx_str_t                  code;
    ngx_str_t                  description;
    double                     number;         /* the first that has no name */
} ngx_mc_rtmp_amf_info_t;

/* written at "p", which has room for it; they return what follows.  A name is
   without a marker, as in objects */
u_char *ngx_mc_rtmp_amf_name(u_char *p, const char *name);
u_char *ngx_mc_rtmp_amf_string(u_char *p, ngx_str_t *s);
u_char *ngx_mc_rtmp_amf_chars(u_char *p, const char *s);
u_char *ngx_mc_rtmp_amf_number(u_char *p, double n);

/* after the marker, with "bytes" of length; NGX_ERROR: it is cut short */
ngx_int_t ngx_mc_rtmp_amf_read_string(ngx_mc_rtmp_amf_t *amf, ngx_str_t *s,
    ngx_uint_t bytes);

/* any value, with its marker, and what of it is in ngx_mc_rtmp_amf_info_t;
   "name": of the member of an object that it is, NULL: of none; "depth": 0.
   NGX_ERROR: it is malformed, or too deep */
ngx_int_t ngx_mc_rtmp_amf_read(ngx_mc_rtmp_amf_t *amf,
    ngx_mc_rtmp_amf_info_t *info, ngx_str_t *name, ngx_uint_t depth);


#endif /* _NGX_MC_RTMP_AMF_H_INCLUDED_ */
