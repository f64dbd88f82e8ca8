
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_mux_state.h>

#include <bitstream/mpeg/ts.h>


static ngx_int_t ngx_mc_ts_mux_late(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, int64_t *dts, int64_t now, int64_t least,
    ngx_uint_t beside);
static ngx_int_t ngx_mc_ts_mux_raise(ngx_mc_ts_mux_t *mx, int64_t late);


/*
 * Puts "dts" of the input onto the output's time line: as much later as it
 * came later.  A new time base is signalled where the PCR does not go on by
 * itself: ISO/IEC 13818-1, 2.4.3.5.
 */

void
ngx_mc_ts_mux_rebase(ngx_mc_ts_mux_t *mx, int64_t dts, int64_t origin)
{
    int64_t     now, elapsed;
    ngx_uint_t  i;

    mx->rebase = 0;
    mx->psi = 1;
    mx->lead = NGX_MC_TS_MUX_LEAD + (mx->rate ? NGX_MC_TS_MUX_BUFFER : 0);

    if (!mx->clocked) {
        mx->clocked = 1;
        mx->base = mx->lead + NGX_MC_TS_MUX_START;

        now = (dts + NGX_MC_TS_MUX_START) * 300;

        mx->cur = now - NGX_MC_TS_MUX_SPREAD;
        mx->slot = now;
        mx->offset = now - origin * 27;
        mx->target = mx->offset;
        mx->slack = INT64_MAX;
        mx->ticked = origin;
        mx->window = origin + NGX_MC_TS_MUX_WINDOW;

    } else if (mx->rate) {
        now = ngx_mc_ts_mux_now(mx, origin) / 300 + mx->lead;

        for (i = 0; i < 2; i++) {
            if (mx->tracks[i].origin != NGX_MC_TS_MUX_NEVER) {
                now = ngx_max(now, mx->tracks[i].last + ngx_mc_ts_mux_ms(10));
            }
        }

        mx->base = now - dts;

    } else {
        elapsed = origin - mx->last_origin;
        elapsed = ngx_min(elapsed, (int64_t) 86400 * 1000000);
        elapsed = ngx_max(elapsed, 1000);

        mx->cur = ngx_max(mx->cur, mx->sent);

        now = mx->cur + elapsed * 27;

        mx->base = now / 300 + mx->lead - dts;
        mx->cur = ngx_max(mx->cur, now - NGX_MC_TS_MUX_SPREAD);
        mx->last_pcr = NGX_MC_TS_MUX_NEVER;
        mx->disc = 1;
        mx->jump = 1;
    }

    for (i = 0; i < 2; i++) {
        mx->tracks[i].origin = NGX_MC_TS_MUX_NEVER;
        mx->tracks[i].skew = 0;
        mx->tracks[i].odd = 0;
    }
}


/* where the PCR is: with a rate it goes by itself */

int64_t
ngx_mc_ts_mux_now(ngx_mc_ts_mux_t *mx, int64_t origin)
{
    if (mx->rate) {
        return ngx_max(mx->offset + origin * 27, mx->slot);
    }

    return ngx_max(mx->cur, mx->sent);
}


/* audio whose time is measured by video that is there */

ngx_uint_t
ngx_mc_ts_mux_beside(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t origin)
{
    ngx_mc_ts_mux_track_t  *video;

    video = &mx->tracks[NGX_MC_TS_MUX_V];

    return track != video && video->known
           && video->origin != NGX_MC_TS_MUX_NEVER
           && origin - video->origin < NGX_MC_TS_MUX_STALE;
}


/*
 * Sets when the packets of a PES packet of "size" with its header leave; what
 * has to be sent before is.  NGX_DECLINED: it is left out.
 */

ngx_int_t
ngx_mc_ts_mux_schedule(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t *dts, size_t size, ngx_uint_t key, int64_t origin)
{
    int64_t               now, target, start, end, duration;
    ngx_uint_t            n, beside, psi;
    ngx_mc_ts_mux_pes_t  *pes;

    pes = &mx->pes;

    beside = ngx_mc_ts_mux_beside(mx, track, origin);

    /* its own packets, PAT and PMT; a PCR or two take room from the payload */

    n = (size + 3 * NGX_MC_TS_MUX_AF_PCR + 183) / 184;
    now = ngx_mc_ts_mux_now(mx, origin);

    if (ngx_mc_ts_mux_late(mx, track, dts, now,
                           (n + 2) * (mx->rate ? mx->slot_time
                                               : NGX_MC_TS_MUX_STEP_MIN),
                           beside)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    target = (*dts - mx->lead) * 300;

    pes->track = track;
    pes->pcr = (track == &mx->tracks[NGX_MC_TS_MUX_V]
                || !mx->tracks[NGX_MC_TS_MUX_V].known);
    pes->left = size;
    pes->room = 0;
    pes->first = 1;
    pes->key = key;
    pes->k = 0;

    mx->origin = origin;

    psi = mx->psi || key;

    if (mx->rate) {

        if (ngx_mc_ts_mux_fits(mx, track, *dts, n + 2, now) != NGX_OK) {
            return NGX_DECLINED;
        }

        if (pes->pcr || !beside) {
            mx->slack = ngx_min(mx->slack,
                                target - mx->offset - origin * 27);
        }

        pes->release = NGX_MC_TS_MUX_NEVER;

        if (track == &mx->tracks[NGX_MC_TS_MUX_A]) {

            /* decoders have little room for it */

            pes->release = *dts * 300 - NGX_MC_TS_MUX_LEAD * 300;

            duration = ngx_mc_ts_mux_duration(track);

            if (duration) {
                duration *= mx->held ? 1 : 2;
                mx->others += ((int64_t) n * 90000 / duration - mx->others)
                              / 8;
            }
        }

        if (psi && (pes->pcr || !beside)) {

            /* audio waits longer: tables there would come after newer ones */

            ngx_mc_ts_mux_psi(mx, 0);
        }

        return NGX_OK;
    }

    mx->advance = target - mx->cur;

    psi |= (ngx_max(target, now) - mx->last_psi > NGX_MC_TS_MUX_PSI);
    n += 2 * psi;

    if (beside) {

        /* it does not take the time that the next picture is to be spread
           over, and follows at the rate of the last one */

        start = ngx_max(now, target - NGX_MC_TS_MUX_SPREAD);
        end = start + (int64_t) n * mx->step;
        end = ngx_min(end, target);
        end = ngx_max(end, start + (int64_t) n * NGX_MC_TS_MUX_STEP_MIN);

    } else {
        end = ngx_max(target, now + (int64_t) n * NGX_MC_TS_MUX_STEP_MIN);
        start = ngx_max(now, end - NGX_MC_TS_MUX_SPREAD);
    }

    ngx_mc_ts_mux_fill(mx, start);

    pes->start = start;
    pes->span = end - start;
    pes->n = n;

    if (track == &mx->tracks[NGX_MC_TS_MUX_V]) {
        mx->step = pes->span / n;
    }

    if (psi) {
        ngx_mc_ts_mux_fill(mx, start);
        ngx_mc_ts_mux_psi(mx, start);
        pes->k = 2;
    }

    return NGX_OK;
}


/*
 * "least" is how long it takes to send.  Audio beside video that is out of
 * time is left out at first: it may have been a moment.
 */

static ngx_int_t
ngx_mc_ts_mux_late(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t *dts, int64_t now, int64_t least, ngx_uint_t beside)
{
    int64_t  late, delta;

    late = now + least + NGX_MC_TS_MUX_MARGIN - *dts * 300;

    if (mx->rate && late > 0
        && now + NGX_MC_TS_MUX_MARGIN <= *dts * 300)
    {
        /* it is the rate that is too low */

        return NGX_DECLINED;
    }

    if (late <= 0
        && !(beside
             && (*dts - mx->lead) * 300 - now > NGX_MC_TS_MUX_ODD))
    {
        track->odd = 0;
        return NGX_OK;
    }

    if (beside) {

        if (++track->odd < NGX_MC_TS_MUX_PATIENCE) {
            return NGX_DECLINED;
        }

        if (late <= 0 || late > NGX_MC_TS_MUX_ODD) {

            /* its timestamps are others than those of the video: it is played
               when it came */

            delta = now / 300 + mx->lead - *dts;

            track->skew += delta;
            track->last += delta;
            track->odd = 0;
            *dts += delta;

            if (mx->held) {
                mx->held_dts += delta;
                mx->held_next += delta;
            }

            return NGX_OK;
        }
    }

    track->odd = 0;

    delta = mx->base;

    if (ngx_mc_ts_mux_raise(mx, late) != NGX_OK) {
        return NGX_DECLINED;
    }

    *dts += mx->base - delta;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_ts_mux_raise(ngx_mc_ts_mux_t *mx, int64_t late)
{
    int64_t  delta;

    delta = late / 300 + 1 + NGX_MC_TS_MUX_HEADROOM;

    if (mx->lead + delta > NGX_MC_TS_MUX_LEAD_MAX) {

        /* no track waits that long for another: a time base for those that
           come next */

        mx->rebase = 1;
        mx->tracks[NGX_MC_TS_MUX_V].dirty = 1;

        return NGX_ERROR;
    }

    mx->lead += delta;
    mx->base += delta;

    mx->tracks[NGX_MC_TS_MUX_V].last += delta;
    mx->tracks[NGX_MC_TS_MUX_A].last += delta;

    mx->held_dts += delta;
    mx->held_next += delta;

    ngx_log_error(NGX_LOG_INFO, mx->log, 0,
                  "a track comes late: the delay is %L ms now",
                  (int64_t) (mx->lead / 90));

    return NGX_OK;
}


/* PCRs, and PAT and PMT, while there is nothing else to carry them */

void
ngx_mc_ts_mux_fill(ngx_mc_ts_mux_t *mx, int64_t until)
{
    int64_t  t;

    if (mx->last_pcr == NGX_MC_TS_MUX_NEVER) {
        return;
    }

    while (until - mx->last_pcr > NGX_MC_TS_MUX_PCR_MAX) {

        t = ngx_max(mx->last_pcr + NGX_MC_TS_MUX_PCR, mx->sent);
        t = ngx_min(t, until);

        ngx_mc_ts_mux_cut(mx);

        if (t - mx->last_psi >= NGX_MC_TS_MUX_PSI_NEXT) {
            ngx_mc_ts_mux_psi(mx, t);
        }

        ngx_mc_ts_mux_pcr_only(mx, ngx_mc_ts_mux_slot(mx, t), t);

        ngx_mc_ts_mux_cut(mx);
    }
}


/*
 * Frames are far apart: PCRs go out in time, and not with the next frame, up
 * to when that is expected.  Should it not come, its timestamps are not known,
 * and the PCR must not run ahead of them.
 */

void
ngx_mc_ts_mux_silence(ngx_mc_ts_mux_t *mx, int64_t now)
{
    int64_t  until;

    if (!mx->started || mx->rebase) {
        return;
    }

    until = ngx_min((now - mx->last_origin) * 27, mx->advance)
            - NGX_MC_TS_MUX_SPREAD;

    if (until <= 0) {
        return;
    }

    mx->origin = now;

    ngx_mc_ts_mux_fill(mx, mx->cur + until);
    ngx_mc_ts_mux_flush(mx);
}


void
ngx_mc_ts_mux_pcr_only(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t)
{
    ngx_uint_t  i;

    /* with a rate the tables may be newer than what is being sent */

    if (mx->rate) {
        i = (mx->pcr_pid == NGX_MC_TS_MUX_VIDEO) ? NGX_MC_TS_MUX_V
                                                 : NGX_MC_TS_MUX_A;
    } else {
        i = mx->tracks[NGX_MC_TS_MUX_V].known ? NGX_MC_TS_MUX_V
                                              : NGX_MC_TS_MUX_A;
    }

    ts_init(p);
    ts_set_pid(p, mx->tracks[i].pid);
    ts_set_cc(p, mx->cc[i]);
    ts_set_adaptation(p, NGX_MC_TS_SIZE - TS_HEADER_SIZE - 1);

    ngx_mc_ts_mux_pcr(mx, p, t, mx->rate ? (int64_t) mx->slot_step
                                         : NGX_MC_TS_MUX_STEP_MIN);
}


/* "t" is of the packet's first byte, "step" how long the packet takes */

void
ngx_mc_ts_mux_pcr(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t, int64_t step)
{
    int64_t  pcr, base;

    pcr = t + step * NGX_MC_TS_MUX_PCR_BYTE / NGX_MC_TS_SIZE;

    if (mx->last_pcr != NGX_MC_TS_MUX_NEVER && pcr <= mx->last_pcr) {
        pcr = mx->last_pcr + 1;
    }

    mx->last_pcr = pcr;

    base = pcr / 300;
    pcr -= base * 300;

    if (pcr < 0) {
        pcr += 300;
        base--;
    }

    tsaf_set_pcr(p, base & (((uint64_t) 1 << 33) - 1));
    tsaf_set_pcrext(p, pcr);

    if (mx->disc) {
        tsaf_set_discontinuity(p);
        mx->disc = 0;
    }
}
