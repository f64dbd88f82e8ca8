
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_TS_MUX_H_INCLUDED_
#define _NGX_MC_TS_MUX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_packet.h>


/*
 * A transport stream of one programme from frames: PMT 0x1000, video 0x100,
 * audio 0x101, PCR on the video PID, on the audio PID if there is no video.
 * No event, no timer, no clock of its own; all memory from the heap, bounded.
 *
 * Without a rate what a frame makes is given out at once; its packets have
 * PCRs and media times that spread it over the time since the one before, for
 * those who pace.  One audio frame may wait for the next one.  With a constant
 * rate packets are given out by ngx_mc_ts_mux_tick(), null packets fill up;
 * with a capped one likewise, and nothing fills up.
 *
 * Output begins when the tracks are known: by their configurations, by the
 * metadata, or when 500 ms have gone by without one; and with a key frame, or
 * with audio alone if none comes for 500 ms.
 *
 * Another stream (frame->discontinuity), or timestamps that jump: without a
 * rate a new time base, signalled, with PAT and PMT; it begins as much later
 * as it came later.  With a rate the clock of the bytes goes on, what is new
 * is put on its time line.
 */


typedef struct ngx_mc_ts_mux_s  ngx_mc_ts_mux_t;

/* packets of up to seven TS packets, borrowed: valid during the call; data,
   len, origin, media and discontinuity are set.  frame() and tick() must not
   be called from there, nor free() */
typedef void (*ngx_mc_ts_mux_send_pt)(void *data, ngx_mc_packet_t *pkts,
    ngx_uint_t n);


/* rate, bit/s: 0: variable.  cap: it is the most, not the rate.  NULL: no
   memory */
ngx_mc_ts_mux_t *ngx_mc_ts_mux_create(uint64_t rate, ngx_uint_t cap,
    ngx_mc_ts_mux_send_pt send, void *data, ngx_log_t *log);
void ngx_mc_ts_mux_free(ngx_mc_ts_mux_t *mx);

void ngx_mc_ts_mux_frame(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);

/* with a rate: what is due by "now", us, the clock of frame->origin; called
   every few ms.  Without a rate: PCRs between frames that are more than 40 ms
   apart; they come with the next frame if it is not called */
void ngx_mc_ts_mux_tick(ngx_mc_ts_mux_t *mx, int64_t now);

/* counts since create(): frames left out (no configuration yet, malformed,
   late beyond repair, or the rate is too low for them) */
uint64_t ngx_mc_ts_mux_dropped(ngx_mc_ts_mux_t *mx);


#endif /* _NGX_MC_TS_MUX_H_INCLUDED_ */
