
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_BITS_H_INCLUDED_
#define _NGX_MC_BITS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Reads bits, the first is the highest of a byte.  Beyond the end there are
 * zeros, and "error" is set: it is enough to look at it at the end, and in
 * loops.
 */

typedef struct {
    u_char           *pos;
    u_char           *last;
    ngx_uint_t        cur;           /* the byte that is being read */
    ngx_uint_t        left;          /* bits of it */
    ngx_uint_t        zeros;         /* bytes in a row before pos */
    unsigned          nal:1;         /* emulation prevention is taken out */
    unsigned          error:1;
} ngx_mc_bits_t;


void ngx_mc_bits_init(ngx_mc_bits_t *b, u_char *data, size_t len,
    ngx_uint_t nal);

/* n: up to 32 */
uint32_t ngx_mc_bits(ngx_mc_bits_t *b, ngx_uint_t n);
void ngx_mc_bits_skip(ngx_mc_bits_t *b, ngx_uint_t n);

/* Exp-Golomb codes: ITU-T H.264, 9.1.  Over 32 bits, or over "max": error,
   and 0 */
uint32_t ngx_mc_bits_ue(ngx_mc_bits_t *b, uint32_t max);
int32_t ngx_mc_bits_se(ngx_mc_bits_t *b);

#define NGX_MC_BITS_UE_MAX  0xfffffffe


#endif /* _NGX_MC_BITS_H_INCLUDED_ */
