
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_CLOCK_H_INCLUDED_
#define _NGX_MC_RTMP_CLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>


/*
 * Timestamps of one stream on its way out, ms, modulo 2^32: they begin at 0,
 * keep the stream's distances, never go back within audio or video, and go on
 * where they were when another stream follows, by the monotonic clock.
 */

typedef struct {
    int64_t                  offset;           /* ms */
    int64_t                  last[2];          /* ms, given out: audio, video */
    int64_t                  shown;            /* ms, the newest of pictures */
    int64_t                  last_at;          /* us, when the newest was */
    unsigned                 started:1;
    unsigned                 jump:1;           /* the next begins anew, set by
                                                  whoever knows */
} ngx_mc_rtmp_clock_t;

/* the next frame is at 0 */
void ngx_mc_rtmp_clock_reset(ngx_mc_rtmp_clock_t *clock);

/* "now": us, CLOCK_MONOTONIC */
uint32_t ngx_mc_rtmp_clock(ngx_mc_rtmp_clock_t *clock, ngx_mc_frame_t *frame,
    int64_t now);

/* whether "frame" is audio of a time that has gone by: where audio comes later
   than the video of its time (TS of hardware encoders, up to 1 s) what follows
   a first key frame is of before it.  It is to be left out: with another time
   it would be heard at once, and besides what it does not belong to.  Asked
   right before ngx_mc_rtmp_clock() */
ngx_uint_t ngx_mc_rtmp_clock_late(ngx_mc_rtmp_clock_t *clock,
    ngx_mc_frame_t *frame);


#endif /* _NGX_MC_RTMP_CLOCK_H_INCLUDED_ */
