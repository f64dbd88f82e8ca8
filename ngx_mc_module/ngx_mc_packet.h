
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_PACKET_H_INCLUDED_
#define _NGX_MC_PACKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_MC_TS_SIZE        188
#define NGX_MC_TS_DATAGRAM    (7 * NGX_MC_TS_SIZE)

/* what a chunk holds without an allocation: any SRT message, and an RTP
   datagram of up to seven TS packets with a generous header */
#define NGX_MC_CHUNK_SIZE     1504

#define NGX_MC_NO_TIME        INT64_MIN


typedef struct ngx_mc_chunk_s  ngx_mc_chunk_t;

struct ngx_mc_chunk_s {
    ngx_mc_chunk_t   *next;
    uint32_t          refs;
    uint32_t          size;            /* room in data[] */
    u_char            data[1];
};


/*
 * One datagram or SRT message on its way through a flow.  Passed by value in
 * arrays.  While chunk is NULL the bytes are borrowed from the receive
 * buffer and are valid only during the call that hands them over; whoever
 * keeps a packet longer calls ngx_mc_packet_hold(), which copies the bytes
 * once, however many hold them, and ngx_mc_packet_release() in the end.
 */

typedef struct {
    u_char           *data;            /* the payload */
    u_char           *rtp;             /* the RTP header before it, or NULL:
                                          rtp <= data, one block */
    ngx_mc_chunk_t   *chunk;
    uint32_t          len;             /* of data */
    uint32_t          rtp_len;         /* of the whole RTP datagram, padding
                                          included */
    int64_t           origin;          /* us, CLOCK_MONOTONIC: when it left
                                          its sender (SRT), or arrived */
    int64_t           media;           /* 27 MHz, of the first byte, on the
                                          PCR's time line extended over its
                                          wraps; or NGX_MC_NO_TIME */
    uint32_t          rtp_timestamp;
    uint32_t          ssrc;
    uint16_t          seq;
    unsigned          discontinuity:1; /* media time jumps here */
} ngx_mc_packet_t;


ngx_int_t ngx_mc_packet_hold(ngx_mc_packet_t *pkt);
void ngx_mc_packet_release(ngx_mc_packet_t *pkt);


#endif /* _NGX_MC_PACKET_H_INCLUDED_ */
