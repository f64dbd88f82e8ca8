
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTP_H_INCLUDED_
#define _NGX_MC_RTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>


#define NGX_MC_RTP_HEADER     12
#define NGX_MC_RTP_PT_TS      33           /* RFC 3551, MP2T */

/* ngx_mc_rtp_parse(): why a datagram is not media */
#define NGX_MC_RTP_RTCP       1            /* not an error */
#define NGX_MC_RTP_SHORT      2
#define NGX_MC_RTP_VERSION    3
#define NGX_MC_RTP_TRUNCATED  4            /* CSRCs or extension */
#define NGX_MC_RTP_PADDING    5
#define NGX_MC_RTP_PAYLOAD    6            /* no TS packets */


/* in shared memory; one writer; all but jitter only grow */

typedef struct {
    uint64_t              packets;         /* without duplicates, and without
                                              those that came too late */
    uint64_t              lost_packets;    /* missing before any repair */
    uint64_t              recovered_packets;
    uint64_t              unrecovered_packets;
    uint64_t              reordered_packets;
    uint64_t              duplicate_packets;
    uint32_t              jitter;          /* RFC 3550, A.8: 1/16 of a tick
                                              of 90 kHz */
} ngx_mc_rtp_counters_t;


/* what the jitter is computed from; lives with the connection */

typedef struct {
    uint32_t              transit;
    unsigned              valid:1;
} ngx_mc_rtp_transit_t;


/*
 * Checks an RTP datagram and fills in rtp, rtp_len, data, len, seq,
 * rtp_timestamp and ssrc of the packet, nothing else; "pt" may be NULL.
 * NGX_OK or one of the reasons above, then the packet is not changed.
 */
ngx_int_t ngx_mc_rtp_parse(u_char *p, size_t len, ngx_mc_packet_t *pkt,
    ngx_uint_t *pt);

/* a reason in words, for the log */
const char *ngx_mc_rtp_reason(ngx_int_t rc);

/* a header of NGX_MC_RTP_HEADER bytes */
void ngx_mc_rtp_write(u_char *hdr, ngx_uint_t pt, uint16_t seq,
    uint32_t timestamp, uint32_t ssrc);

/* 90 kHz, RFC 2250, section 2 */
uint32_t ngx_mc_rtp_timestamp(int64_t media);

/* from pkt->origin, which for RTP is the arrival, and pkt->rtp_timestamp */
void ngx_mc_rtp_jitter(ngx_mc_rtp_transit_t *t,
    ngx_mc_rtp_counters_t *counters, ngx_mc_packet_t *pkt);

#define ngx_mc_rtp_jitter_ms(counters)                                        \
    ((double) (counters)->jitter / 16 / 90)


#endif /* _NGX_MC_RTP_H_INCLUDED_ */
