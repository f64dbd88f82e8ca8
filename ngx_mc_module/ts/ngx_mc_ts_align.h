
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_TS_ALIGN_H_INCLUDED_
#define _NGX_MC_TS_ALIGN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>


/*
 * A peer may cut its stream anywhere: its messages then begin and end in the
 * middle of TS packets.  All messages of a connection go through here and
 * come out as whole TS packets, up to seven at a time; those that are whole
 * already pass without a copy.
 */

typedef struct {
    size_t           len;                  /* of buf */
    int64_t          origin;               /* of the first byte in buf */
    unsigned         synced:1;
    u_char           buf[NGX_MC_TS_DATAGRAM];
} ngx_mc_ts_align_t;


typedef void (*ngx_mc_ts_align_emit_pt)(void *ctx, ngx_mc_packet_t *pkt);


/* a new connection, or a gap: bytes at hand are dropped */
void ngx_mc_ts_align_reset(ngx_mc_ts_align_t *a);

/*
 * Emitted bytes are valid during that emit() only, as of any packet whose
 * chunk is NULL.  emit() may reset, but not free, the aligner.  Returns how
 * many bytes were dropped as they belong to no TS packet.
 */
size_t ngx_mc_ts_align(ngx_mc_ts_align_t *a, ngx_mc_packet_t *in,
    ngx_mc_ts_align_emit_pt emit, void *ctx);


#endif /* _NGX_MC_TS_ALIGN_H_INCLUDED_ */
