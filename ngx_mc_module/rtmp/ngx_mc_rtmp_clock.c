
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_rtmp_clock.h>


/* a step beyond this, ms, is another stream even if nobody has said so:
   tracks of one stream are not that far apart */
#define NGX_MC_RTMP_CLOCK_STEP  10000
#define NGX_MC_RTMP_CLOCK_FIT   1000

/* audio goes back by less than half a frame if it was put together: the next
   one is moved by that */
#define NGX_MC_RTMP_CLOCK_BACK  10


void
ngx_mc_rtmp_clock_reset(ngx_mc_rtmp_clock_t *clock)
{
    ngx_memzero(clock, sizeof(ngx_mc_rtmp_clock_t));
}


uint32_t
ngx_mc_rtmp_clock(ngx_mc_rtmp_clock_t *clock, ngx_mc_frame_t *frame,
    int64_t now)
{
    int64_t     ms, out, newest, delay, elapsed;
    ngx_uint_t  video, jump;

    newest = ngx_max(clock->last[0], clock->last[1]);

    if (frame->type != NGX_MC_FRAME_AUDIO
        && frame->type != NGX_MC_FRAME_VIDEO)
    {
        /* metadata has no time of its own, it goes with what surrounds it */

        clock->jump |= frame->discontinuity;

        return (uint32_t) newest;
    }

    video = (frame->type == NGX_MC_FRAME_VIDEO);

    ms = ngx_mc_frame_ms(frame->dts);
    delay = ngx_mc_frame_ms(frame->pts) - ms;
    elapsed = ngx_max((now - clock->last_at) / 1000, 0);

    if (!clock->started) {
        clock->offset = -ms;
        clock->started = 1;

    } else {
        out = ms + clock->offset;

        /* what is said to be another stream may go on in the same time, and the
           track that is told of it later does */

        if (clock->jump || frame->discontinuity) {
            jump = (out < clock->last[video]
                    || out > newest + elapsed + NGX_MC_RTMP_CLOCK_FIT);

        } else {
            jump = (out < newest - NGX_MC_RTMP_CLOCK_STEP
                    || out > newest + elapsed + NGX_MC_RTMP_CLOCK_STEP);
        }

        if (jump) {

            /* nor is it shown before the last picture of the stream before */

            newest = ngx_max(newest + ngx_max(elapsed, 1),
                             clock->shown + 1 - delay);
            clock->offset = newest - ms;
        }
    }

    clock->jump = 0;

    ms += clock->offset;

    /* frames that belong before the first of a stream, of the other track */

    ms = ngx_max(ms, clock->last[video]);

    clock->last[video] = ms;

    if (video) {
        clock->shown = ngx_max(clock->shown, ms + delay);
    }

    if (ms >= newest) {
        clock->last_at = now;
    }

    return (uint32_t) ms;
}


ngx_uint_t
ngx_mc_rtmp_clock_late(ngx_mc_rtmp_clock_t *clock, ngx_mc_frame_t *frame)
{
    int64_t  out;

    if (!clock->started || clock->jump || frame->discontinuity
        || frame->type != NGX_MC_FRAME_AUDIO)
    {
        return 0;
    }

    out = ngx_mc_frame_ms(frame->dts) + clock->offset;

    return out < clock->last[0] - NGX_MC_RTMP_CLOCK_BACK
           && out >= ngx_max(clock->last[0], clock->last[1])
                     - NGX_MC_RTMP_CLOCK_STEP;
}
