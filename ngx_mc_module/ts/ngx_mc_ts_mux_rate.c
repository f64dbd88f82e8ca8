
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_mux_state.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/psi/psi.h>
#include <bitstream/mpeg/psi/pat.h>
#include <bitstream/mpeg/psi/pmt.h>


static ngx_int_t ngx_mc_ts_mux_room(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_ring_t *ring, ngx_uint_t n);
static ngx_uint_t ngx_mc_ts_mux_pop(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track);
static void ngx_mc_ts_mux_next(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_follow(ngx_mc_ts_mux_t *mx, int64_t now);


void
ngx_mc_ts_mux_tick(ngx_mc_ts_mux_t *mx, int64_t now)
{
    int64_t  due;

    if (!mx->clocked) {
        return;
    }

    if (!mx->rate) {
        ngx_mc_ts_mux_silence(mx, now);
        return;
    }

    ngx_mc_ts_mux_follow(mx, now);

    due = mx->offset + now * 27;

    if (due - mx->slot > NGX_MC_TS_MUX_CATCH_UP) {

        /* we were away: what was not sent is not made up for */

        ngx_mc_ts_mux_cut(mx);

        mx->slot = due;
        mx->last_pcr = NGX_MC_TS_MUX_NEVER;
        mx->disc = 1;
        mx->jump = 1;
    }

    while (mx->slot <= due) {

        mx->origin = (mx->slot - mx->offset) / 27;

        ngx_mc_ts_mux_next(mx);

        mx->slot += mx->slot_step;
        mx->frac += mx->slot_frac;

        if (mx->frac >= mx->rate) {
            mx->frac -= mx->rate;
            mx->slot++;
        }
    }

    if (mx->cap) {
        ngx_mc_ts_mux_cut(mx);
    }

    ngx_mc_ts_mux_flush(mx);
}


/*
 * The rate is exact by the encoder's clock, which the PCR is of.  Ours follows
 * it so that those frames that come latest come as long before their DTS as
 * the lead.
 */

static void
ngx_mc_ts_mux_follow(ngx_mc_ts_mux_t *mx, int64_t now)
{
    int64_t  step, most;

    if (now >= mx->window) {

        if (mx->slack != INT64_MAX
            && ngx_abs(mx->slack) > ngx_mc_ts_mux_clock(2))
        {
            mx->target = mx->offset + mx->slack;

        } else {
            mx->target = mx->offset;
        }

        mx->slack = INT64_MAX;
        mx->window = now + NGX_MC_TS_MUX_WINDOW;
    }

    step = mx->target - mx->offset;

    most = ngx_min(now - mx->ticked, 1000000)
           * (ngx_abs(step) > NGX_MC_TS_MUX_OFF ? NGX_MC_TS_MUX_SLEW
                                                : NGX_MC_TS_MUX_SLOW)
           / 1000000;

    if (most > 0) {
        step = ngx_min(step, most);
        step = ngx_max(step, -most);

        mx->offset += step;
        mx->ticked = now;
    }
}


static void
ngx_mc_ts_mux_next(ngx_mc_ts_mux_t *mx)
{
    u_char                 *p;
    ngx_uint_t              pcr;
    ngx_mc_ts_mux_ring_t   *video;
    ngx_mc_ts_mux_entry_t  *entry;

    video = &mx->tracks[NGX_MC_TS_MUX_V].ring;

    if (mx->pcr_pid
        && (mx->last_pcr == NGX_MC_TS_MUX_NEVER
            || mx->slot - mx->last_pcr >= NGX_MC_TS_MUX_PCR))
    {
        /* unless the next packet has one anyway */

        pcr = 0;

        if (video->count) {
            entry = &video->entries[video->head];
            pcr = entry->flags & NGX_MC_TS_MUX_F_PCR;
        }

        if (pcr) {
            (void) ngx_mc_ts_mux_pop(mx, &mx->tracks[NGX_MC_TS_MUX_V]);
            return;
        }

        p = ngx_mc_ts_mux_slot(mx, mx->slot);
        ngx_mc_ts_mux_pcr_only(mx, p, mx->slot);
        return;
    }

    if (mx->pcr_pid && mx->slot - mx->last_psi >= NGX_MC_TS_MUX_PSI) {
        mx->last_psi = mx->slot;
        mx->repeat = 2;
    }

    if (mx->repeat) {
        p = ngx_mc_ts_mux_slot(mx, mx->slot);

        if (--mx->repeat) {
            ngx_memcpy(p, mx->pat, NGX_MC_TS_SIZE);
            ts_set_cc(p, ++mx->cc[NGX_MC_TS_MUX_CC_PAT]);

        } else {
            ngx_memcpy(p, mx->pmt_out, NGX_MC_TS_SIZE);
            ts_set_cc(p, ++mx->cc[NGX_MC_TS_MUX_CC_PMT]);
        }

        return;
    }

    if (ngx_mc_ts_mux_pop(mx, &mx->tracks[NGX_MC_TS_MUX_A])
        || ngx_mc_ts_mux_pop(mx, &mx->tracks[NGX_MC_TS_MUX_V]))
    {
        return;
    }

    if (mx->cap) {
        ngx_mc_ts_mux_cut(mx);
        return;
    }

    ts_pad(ngx_mc_ts_mux_slot(mx, mx->slot));
}


static ngx_uint_t
ngx_mc_ts_mux_pop(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track)
{
    u_char                 *p;
    ngx_uint_t              i;
    ngx_mc_ts_mux_ring_t   *ring;
    ngx_mc_ts_mux_entry_t  *entry;

    ring = &track->ring;

    if (ring->count == 0) {
        return 0;
    }

    entry = &ring->entries[ring->head];

    if (entry->release > mx->slot) {
        return 0;
    }

    ring->head = (ring->head + 1) & (ring->size - 1);
    ring->count--;

    p = ngx_mc_ts_mux_slot(mx, mx->slot);

    ngx_memcpy(p, entry->ts, NGX_MC_TS_SIZE);

    i = track - mx->tracks;

    if (entry->flags & NGX_MC_TS_MUX_F_PAT) {
        i = NGX_MC_TS_MUX_CC_PAT;
        mx->last_psi = mx->slot;

    } else if (entry->flags & NGX_MC_TS_MUX_F_PMT) {
        i = NGX_MC_TS_MUX_CC_PMT;

        ngx_memcpy(mx->pmt_out, entry->ts, NGX_MC_TS_SIZE);
        mx->pcr_pid = pmt_get_pcrpid(ts_section(mx->pmt_out));
    }

    ts_set_cc(p, ++mx->cc[i]);

    if (entry->flags & NGX_MC_TS_MUX_F_PCR
        && ts_get_pid(p) == mx->pcr_pid)
    {
        ngx_mc_ts_mux_pcr(mx, p, mx->slot, mx->slot_step);
    }

    return 1;
}


/* whether the rate is enough to send it in time, and there is memory */

ngx_int_t
ngx_mc_ts_mux_fits(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t dts, ngx_uint_t n, int64_t now)
{
    int64_t  packets, others, end;

    packets = (int64_t) (track->ring.count + n) * mx->slot_time;
    end = now + packets;

    if (track == &mx->tracks[NGX_MC_TS_MUX_V]) {

        /* meanwhile what is not video goes first: audio, and 12 PAT, 12 PMT
           and 40 PCRs a second */

        others = (mx->others + 64) * mx->slot_time;
        others = ngx_min(others, ngx_mc_ts_mux_clock(900));

        end = now + (int64_t) ((double) packets
                               / (1 - (double) others
                                      / ngx_mc_ts_mux_clock(1000)));
    }

    if (end > dts * 300 - NGX_MC_TS_MUX_MARGIN) {
        return NGX_DECLINED;
    }

    return ngx_mc_ts_mux_room(mx, &track->ring, n);
}


static ngx_int_t
ngx_mc_ts_mux_room(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_ring_t *ring,
    ngx_uint_t n)
{
    ngx_uint_t              i, size;
    ngx_mc_ts_mux_entry_t  *entries;

    size = ring->size ? ring->size : NGX_MC_TS_MUX_RING;

    while (size - ring->count < n) {

        if (size == NGX_MC_TS_MUX_RING_MAX) {
            return NGX_DECLINED;
        }

        size *= 2;
    }

    if (size == ring->size) {
        return NGX_OK;
    }

    entries = ngx_alloc(size * sizeof(ngx_mc_ts_mux_entry_t), mx->log);
    if (entries == NULL) {
        return NGX_DECLINED;
    }

    for (i = 0; i < ring->count; i++) {
        entries[i] = ring->entries[(ring->head + i) & (ring->size - 1)];
    }

    if (ring->entries) {
        ngx_free(ring->entries);
    }

    ring->entries = entries;
    ring->size = size;
    ring->head = 0;

    return NGX_OK;
}


ngx_mc_ts_mux_entry_t *
ngx_mc_ts_mux_push(ngx_mc_ts_mux_ring_t *ring)
{
    return &ring->entries[(ring->head + ring->count++) & (ring->size - 1)];
}
