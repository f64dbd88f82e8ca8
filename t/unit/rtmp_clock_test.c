/* sources: rtmp/ngx_mc_rtmp_clock.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_rtmp_clock.h>

#include "shim.h"


#define VIDEO  NGX_MC_FRAME_VIDEO
#define AUDIO  NGX_MC_FRAME_AUDIO
#define META   NGX_MC_FRAME_META


static ngx_mc_rtmp_clock_t  clock_;
static int64_t              now;           /* ms */


static uint32_t
at(ngx_uint_t type, int64_t ms)
{
    ngx_mc_frame_t  frame;

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    frame.type = (uint8_t) type;
    frame.dts = ms * 90;
    frame.pts = frame.dts;

    return ngx_mc_rtmp_clock(&clock_, &frame, now * 1000);
}


static uint32_t
anew(ngx_uint_t type, int64_t ms)
{
    ngx_mc_frame_t  frame;

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    frame.type = (uint8_t) type;
    frame.dts = ms * 90;
    frame.pts = frame.dts;
    frame.discontinuity = 1;

    return ngx_mc_rtmp_clock(&clock_, &frame, now * 1000);
}


static ngx_uint_t
late(ngx_uint_t type, int64_t ms)
{
    ngx_mc_frame_t  frame;

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    frame.type = (uint8_t) type;
    frame.dts = ms * 90;

    return ngx_mc_rtmp_clock_late(&clock_, &frame);
}


static void
start(int64_t ms)
{
    now = ms;
    ngx_mc_rtmp_clock_reset(&clock_);
}


static void
test_begin(void)
{
    start(1000);

    is_num(at(META, 77), 0, "metadata before all");
    is_num(at(VIDEO, 95443717), 0, "begins at 0");
    is_num(at(AUDIO, 95443717 - 20), 0, "not before 0");
    is_num(at(AUDIO, 95443717 + 1), 1, "audio after");
    is_num(at(VIDEO, 95443717 + 40), 40, "distances");
    is_num(at(AUDIO, 95443717 + 23), 23, "audio may be behind");
    is_num(at(META, 1), 40, "metadata goes with the newest");
    is_num(at(VIDEO, 95443717 + 30), 40, "never back");

    start(1000);
    is_num(at(VIDEO, -5000), 0, "below zero");
    is_num(at(VIDEO, -4960), 40, "distances below zero");
    is_num(at(VIDEO, 40), 5040, "across zero");
}


static void
test_switch(void)
{
    start(1000);

    (void) at(VIDEO, 500000);
    (void) at(VIDEO, 500040);
    now += 40;
    (void) at(VIDEO, 500080);
    now += 70;

    is_num(anew(VIDEO, 7), 150, "another stream, after what passed");
    is_num(at(AUDIO, 7 - 3), 147, "its audio");
    is_num(at(VIDEO, 47), 190, "its distances");

    clock_.jump = 1;
    is_num(at(VIDEO, 900000), 191, "another at once is 1 ms later");
    is_num(at(VIDEO, 900040), 231, "and goes on");

    now += 3000;
    is_num(at(META, 0), 231, "metadata does not move it");

    is_num(at(VIDEO, 20), 3231, "back without a word");
    now += 100;
    is_num(at(VIDEO, 10000000), 3331, "far on without a word");

    now += 60000;
    is_num(at(VIDEO, 10000000 + 60000), 63331, "a pause is not a jump");

    now += 10;
    clock_.jump = 0;
    is_num(anew(META, 0), 63331, "metadata begins another stream");
    is_num(at(AUDIO, 5), 63341, "the frame after it is the first");
}


static void
test_late(void)
{
    start(1000);

    ok(!late(AUDIO, 5000), "nothing is late before all");
    (void) at(VIDEO, 5000);

    ok(late(AUDIO, 4200), "audio from before the first picture");
    ok(late(AUDIO, 4989), "up to half a frame");
    ok(!late(AUDIO, 4992), "what begins with it");
    ok(!late(VIDEO, 4200), "video never");

    is_num(at(AUDIO, 5013), 13, "audio");
    (void) at(VIDEO, 5800);
    ok(!late(AUDIO, 5034), "audio may be behind");
    is_num(at(AUDIO, 5034), 34, "audio behind");
    ok(!late(AUDIO, 5032), "joined with an overlap");
    ok(late(AUDIO, 5001), "back");
    ok(!late(AUDIO, 5034 - 20000), "another stream");

    clock_.jump = 1;
    ok(!late(AUDIO, 4000), "another stream that was told of");
}


static void
test_wrap(void)
{
    int64_t     ms, step;
    uint32_t    got, last;
    ngx_uint_t  bad, wraps;

    /* 60 days, 5 s at a time */

    start(0);

    step = 5000;
    last = 0;
    bad = 0;
    wraps = 0;

    for (ms = 0; ms < (int64_t) 60 * 86400 * 1000; ms += step) {
        now = ms;
        got = at(VIDEO, 123 + ms);

        if (ms && got - last != (uint32_t) step) {
            bad++;
        }

        wraps += (got < last);
        last = got;
    }

    is_num(bad, 0, "steps over 60 days");
    is_num(wraps, 1, "one wrap of 32 bits, after 49.7 days");
}


int
main(void)
{
    test_begin();
    test_switch();
    test_late();
    test_wrap();

    return shim_done();
}
