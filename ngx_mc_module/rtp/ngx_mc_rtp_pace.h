
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTP_PACE_H_INCLUDED_
#define _NGX_MC_RTP_PACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_pulse.h>


/*
 * pace=pcr: packets wait until the time that their PCRs ask for.  The sender's
 * clock is followed, so that what is held stays a few milliseconds.
 */

typedef void (*ngx_mc_rtp_pace_send_pt)(void *data, ngx_mc_packet_t *pkts,
    ngx_uint_t n);


typedef struct {
    ngx_mc_rtp_pace_send_pt  send;
    void                    *data;
    ngx_log_t               *log;

    ngx_mc_pulse_client_t    pulse;
    ngx_uint_t               idle;         /* ticks with nothing to do */

    /* the ring; its memory is there while the output is open */
    ngx_mc_packet_t         *packets;
    int64_t                 *due;
    ngx_uint_t               size;         /* a power of 2 */
    ngx_uint_t               head;
    ngx_uint_t               count;

    /* all in us */
    int64_t                  lead;         /* from arrival to departure */
    int64_t                  limit;        /* nothing is held for longer */
    int64_t                  offset;       /* from the sender's time to ours */
    int64_t                  latest;       /* the most that a packet of this
                                              window was behind its time, */
    int64_t                  previous[2];  /* and of the windows before */
    int64_t                  window;       /* end of this one */
    int64_t                  span;         /* and its length */
    int64_t                  last;         /* the last due time given, */
    int64_t                  origin;       /* and of which packet */
    ngx_uint_t               clock;        /* which the offset is of */
} ngx_mc_rtp_pace_t;


/* "batch" as mc_batch, ms */
void ngx_mc_rtp_pace_init(ngx_mc_rtp_pace_t *p, ngx_msec_t batch,
    ngx_mc_rtp_pace_send_pt send, void *data, ngx_log_t *log);

/* another mc_batch; what is on its way keeps its times */
void ngx_mc_rtp_pace_batch(ngx_mc_rtp_pace_t *p, ngx_msec_t batch);

void ngx_mc_rtp_pace(ngx_mc_rtp_pace_t *p, ngx_mc_packet_t *pkts,
    ngx_uint_t n);

/* what is held is sent */
void ngx_mc_rtp_pace_close(ngx_mc_rtp_pace_t *p);


#endif /* _NGX_MC_RTP_PACE_H_INCLUDED_ */
