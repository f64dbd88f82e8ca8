
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTP_REORDER_H_INCLUDED_
#define _NGX_MC_RTP_REORDER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_rtp.h>


/*
 * Puts the packets of one RTP session back in order and counts what is
 * missing, late or there twice.
 */

typedef struct ngx_mc_rtp_reorder_s  ngx_mc_rtp_reorder_t;

/* the packet is valid during the call: ngx_mc_packet_hold() to keep it;
   it may call reset, but push and expire only after it has returned */
typedef void (*ngx_mc_rtp_emit_pt)(void *ctx, ngx_mc_packet_t *pkt);


/* what ngx_mc_rtp_reorder_push() did, besides NGX_OK and NGX_ERROR */
#define NGX_MC_RTP_RESTARTED  1            /* taken; the sender began anew:
                                              another SSRC, or sequence */
#define NGX_MC_RTP_DUPLICATE  2            /* dropped, counted */
#define NGX_MC_RTP_LATE       3            /* dropped, was counted as lost */
#define NGX_MC_RTP_FOREIGN    4            /* put aside: another SSRC */
#define NGX_MC_RTP_JUMP       5            /* put aside: a sequence number
                                              far off */


/* "buffer" in milliseconds; "constant": each leaves at origin + buffer */
ngx_mc_rtp_reorder_t *ngx_mc_rtp_reorder_create(ngx_pool_t *pool,
    ngx_msec_t buffer, ngx_uint_t constant, ngx_mc_rtp_counters_t *counters);

ngx_int_t ngx_mc_rtp_reorder_push(ngx_mc_rtp_reorder_t *r,
    ngx_mc_packet_t *pkt, int64_t now, ngx_mc_rtp_emit_pt emit, void *ctx);

/* to be called at every tick, "now" as origin; returns how many are held */
ngx_uint_t ngx_mc_rtp_reorder_expire(ngx_mc_rtp_reorder_t *r, int64_t now,
    ngx_mc_rtp_emit_pt emit, void *ctx);

/* when expire will have something to do, or NGX_MC_NO_TIME */
int64_t ngx_mc_rtp_reorder_deadline(ngx_mc_rtp_reorder_t *r);

/*
 * For another process that goes on with the session.  save(): emits what is
 * held, counts what is missing before it as lost, and writes up to "size"
 * bytes; returns how many, 0: there is no sender, or no room.  restore(): for
 * one just created alike; NGX_DECLINED: of no use.
 */
#define NGX_MC_RTP_SAVED  2112             /* the most that it writes */

size_t ngx_mc_rtp_reorder_save(ngx_mc_rtp_reorder_t *r, u_char *p,
    size_t size, ngx_mc_rtp_emit_pt emit, void *ctx);
ngx_int_t ngx_mc_rtp_reorder_restore(ngx_mc_rtp_reorder_t *r, u_char *p,
    size_t size, int64_t now);

/* releases all held and forgets the sender; it may be used again */
void ngx_mc_rtp_reorder_reset(ngx_mc_rtp_reorder_t *r);


#endif /* _NGX_MC_RTP_REORDER_H_INCLUDED_ */
