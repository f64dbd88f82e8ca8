
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_ts.h>

#include <bitstream/mpeg/ts.h>


/* ETSI TR 101 290, 5.2.1, 1.1: sync bytes in a row */
#define NGX_MC_TS_ACQUIRE     5
#define NGX_MC_TS_LOSE        2

#define NGX_MC_TS_NULL_PID    0x1fff

/* ISO/IEC 13818-1, 2.4.3.5: 183 when there is no payload */
#define NGX_MC_TS_AF_MAX      183
#define NGX_MC_TS_AF_PCR      7

/* ngx_mc_ts_t.cc[]: beside the counter itself */
#define NGX_MC_TS_CC          0x0f
#define NGX_MC_TS_CC_KNOWN    0x10
#define NGX_MC_TS_CC_REPEAT   0x20         /* the same again is an error */

/* a PCR is the time of the byte that ends program_clock_reference_base:
   ISO/IEC 13818-1, 2.4.2.2 */
#define NGX_MC_TS_PCR_BYTE    10
#define NGX_MC_TS_PCR_WRAP    ((int64_t) 300 << 33)

#define ngx_mc_ts_ms(n)       ((int64_t) (n) * 1000 * NGX_MC_TS_CLOCK)

/* TR 101 290, 2.3b: what lies between two PCRs at most */
#define NGX_MC_TS_PCR_STEP    ngx_mc_ts_ms(100)

/* without a PCR: media time follows origin time after the first, another
   PID may give the clock after the second */
#define NGX_MC_TS_PCR_STALE   ngx_mc_ts_ms(500)
#define NGX_MC_TS_PCR_GONE    ngx_mc_ts_ms(1000)


static void ngx_mc_ts_sync_error(ngx_mc_ts_t *ts);
static ngx_inline void ngx_mc_ts_continuity(ngx_mc_ts_t *ts, u_char *p,
    ngx_uint_t pid, ngx_uint_t discontinuity);
static void ngx_mc_ts_follow(ngx_mc_ts_t *ts, u_char *p);
static void ngx_mc_ts_pcr(ngx_mc_ts_t *ts, ngx_mc_packet_t *pkt, u_char *p,
    ngx_uint_t pid);
static void ngx_mc_ts_extrapolate(ngx_mc_ts_t *ts, ngx_mc_packet_t *pkt);


void
ngx_mc_ts_init(ngx_mc_ts_t *ts, ngx_mc_ts_counters_t *counters)
{
    ts->counters = counters;

    ngx_mc_ts_reset(ts);
}


void
ngx_mc_ts_reset(ngx_mc_ts_t *ts)
{
    ngx_mc_ts_counters_t  *counters;

    counters = ts->counters;

    ngx_memzero(ts, sizeof(ngx_mc_ts_t));

    ts->counters = counters;
    ts->media = NGX_MC_NO_TIME;
    ts->pcr_pid = NGX_MC_TS_PIDS;
}


void
ngx_mc_ts_inspect(ngx_mc_ts_t *ts, ngx_mc_packet_t *pkt)
{
    u_char      *p, *last;
    ngx_uint_t   pid, discontinuity;

    pkt->media = NGX_MC_NO_TIME;
    pkt->discontinuity = 0;

    p = pkt->data;
    last = p + pkt->len;

    for ( /* void */ ; last - p >= NGX_MC_TS_SIZE; p += NGX_MC_TS_SIZE) {

        if (!ts_validate(p)) {
            ngx_mc_ts_sync_error(ts);

            if (!ts->lost) {
                ngx_mc_ts_follow(ts, p);
            }

            continue;
        }

        ts->bad = 0;

        if (ts->lost) {

            /* out of sync nothing else is evaluated: TR 101 290, 5.2.1 */

            if (++ts->good < NGX_MC_TS_ACQUIRE) {
                continue;
            }

            ts->lost = 0;
        }

        if (ts_get_transporterror(p)) {

            /* no other error is derived from this packet: 5.2.2, 2.1 */

            ts->counters->transport_errors++;
            ngx_mc_ts_follow(ts, p);
            continue;
        }

        pid = ts_get_pid(p);

        if (pid == NGX_MC_TS_NULL_PID) {
            continue;
        }

        discontinuity = 0;

        if (ts_has_adaptation(p)
            && ts_get_adaptation(p) != 0
            && ts_get_adaptation(p) <= NGX_MC_TS_AF_MAX)
        {
            discontinuity = tsaf_has_discontinuity(p);

            if (discontinuity && pid == ts->pcr_pid) {

                /* of a time base if in a packet of the PCR PID, then it is
                   the next PCR, maybe in another packet, that is its first:
                   ISO/IEC 13818-1, 2.4.3.5 */

                ts->jump = 1;
            }

            if (ts_get_adaptation(p) >= NGX_MC_TS_AF_PCR && tsaf_has_pcr(p)) {
                ngx_mc_ts_pcr(ts, pkt, p, pid);
            }
        }

        ngx_mc_ts_continuity(ts, p, pid, discontinuity);
    }

    if (p != last) {

        /* the next sync byte is not where it should be */

        ngx_mc_ts_sync_error(ts);
    }

    if (pkt->media == NGX_MC_NO_TIME && ts->rate > 0) {
        ngx_mc_ts_extrapolate(ts, pkt);
    }

    ts->position += pkt->len;
}


void
ngx_mc_ts_dropped(ngx_mc_ts_t *ts, size_t len)
{
    size_t  n;

    for (n = 0; n < len; n += NGX_MC_TS_SIZE) {
        ngx_mc_ts_sync_error(ts);
    }

    ts->position += len;
}


static void
ngx_mc_ts_sync_error(ngx_mc_ts_t *ts)
{
    ts->counters->sync_byte_errors++;
    ts->good = 0;

    if (ts->lost || ++ts->bad < NGX_MC_TS_LOSE) {
        return;
    }

    ts->counters->sync_losses++;
    ts->lost = 1;
    ts->bad = 0;

    /* what is missing after sync is found again is this error, not one of
       continuity on every PID */

    ngx_memzero(ts->cc, sizeof(ts->cc));
}


/* TR 101 290, 5.2.1, 1.4, and ISO/IEC 13818-1, 2.4.3.3 */

static ngx_inline void
ngx_mc_ts_continuity(ngx_mc_ts_t *ts, u_char *p, ngx_uint_t pid,
    ngx_uint_t discontinuity)
{
    ngx_uint_t  cc, last, repeat;

    cc = ts_get_cc(p);
    last = ts->cc[pid];

    if (ts_has_payload(p)) {

        if (cc == ((last + 1) & NGX_MC_TS_CC) && (last & NGX_MC_TS_CC_KNOWN)) {
            ts->cc[pid] = cc | NGX_MC_TS_CC_KNOWN;
            return;
        }

        repeat = 0;

    } else {

        /* it is not incremented, and what follows is no duplicate: that is
           the second of two consecutive packets with payload */

        repeat = NGX_MC_TS_CC_REPEAT;
    }

    if (!(last & NGX_MC_TS_CC_KNOWN) || discontinuity) {
        ts->cc[pid] = cc | NGX_MC_TS_CC_KNOWN | repeat;
        return;
    }

    if (cc == (last & NGX_MC_TS_CC)) {

        if (!repeat && (last & NGX_MC_TS_CC_REPEAT)) {
            ts->counters->continuity_errors++;
        }

        ts->cc[pid] = last | NGX_MC_TS_CC_REPEAT;
        return;
    }

    ts->counters->continuity_errors++;
    ts->cc[pid] = cc | NGX_MC_TS_CC_KNOWN | repeat;
}


/*
 * A packet that is not to be trusted, and is counted as such.  If it looks
 * like the next one of its PID, the one after it is not blamed for its loss.
 */

static void
ngx_mc_ts_follow(ngx_mc_ts_t *ts, u_char *p)
{
    ngx_uint_t  cc, pid;

    pid = ts_get_pid(p);
    cc = ts_get_cc(p);

    if (ts_has_payload(p)
        && (ts->cc[pid] & NGX_MC_TS_CC_KNOWN)
        && cc == ((ts->cc[pid] + 1u) & NGX_MC_TS_CC))
    {
        ts->cc[pid] = cc | NGX_MC_TS_CC_KNOWN;
    }
}


static void
ngx_mc_ts_pcr(ngx_mc_ts_t *ts, ngx_mc_packet_t *pkt, u_char *p,
    ngx_uint_t pid)
{
    size_t      offset;
    double      rate;
    int64_t     raw, delta, elapsed, media;
    uint64_t    position;
    ngx_uint_t  jump;

    offset = p - pkt->data + NGX_MC_TS_PCR_BYTE;
    position = ts->position + offset;
    raw = tsaf_get_pcr(p) * 300 + tsaf_get_pcrext(p);

    elapsed = (pkt->origin - ts->pcr_origin) * NGX_MC_TS_CLOCK;
    delta = 0;

    if (pid != ts->pcr_pid) {

        if (ts->pcr_pid != NGX_MC_TS_PIDS && elapsed <= NGX_MC_TS_PCR_GONE) {
            return;
        }

        /* the rate stays: it is that of the whole stream */

        ts->pcr_pid = pid;
        jump = 1;

    } else {
        jump = ts->jump;
    }

    if (!jump) {
        delta = raw - ts->pcr_raw;

        if (delta < - NGX_MC_TS_PCR_WRAP / 2) {
            delta += NGX_MC_TS_PCR_WRAP;

        } else if (delta > NGX_MC_TS_PCR_WRAP / 2) {
            delta -= NGX_MC_TS_PCR_WRAP;
        }

        /* a step that is too wide, but that is how long it took, is a gap
           in the stream and not in its clock */

        if (delta < 0
            || (delta > NGX_MC_TS_PCR_STEP
                && (delta > elapsed + NGX_MC_TS_PCR_STEP
                    || delta < elapsed - NGX_MC_TS_PCR_STEP)))
        {
            jump = 1;
        }
    }

    if (jump) {
        ts->pcr = raw;

    } else {
        ts->pcr += delta;

        if (delta > 0) {
            rate = (double) delta / (position - ts->pcr_position);

            if (delta > NGX_MC_TS_PCR_STEP && ts->rate > 0) {

                /* bytes may be missing here: a bad estimate is not believed
                   at once */

                rate = ngx_min(rate, ts->rate * 1.25);
            }

            ts->rate = rate;
            ts->span = ngx_max(delta, ts->span - ts->span / 8);
            ts->span = ngx_min(ts->span, NGX_MC_TS_PCR_STALE);
        }
    }

    ts->jump = 0;
    ts->pcr_raw = raw;
    ts->pcr_origin = pkt->origin;
    ts->pcr_position = position;

    if (ts->rate <= 0) {
        return;
    }

    if (pkt->media != NGX_MC_NO_TIME && !jump) {
        return;
    }

    media = ts->pcr - (int64_t) (offset * ts->rate);

    if (ts->media == NGX_MC_NO_TIME) {
        jump = 1;

    } else if (!jump && media < ts->media) {

        /* it ran ahead while there was no PCR: it waits, if not for long */

        if (ts->media - media > ngx_max(ts->span, NGX_MC_TS_PCR_STEP)) {
            jump = 1;

        } else {
            media = ts->media;
        }
    }

    pkt->media = media;
    pkt->discontinuity = jump;

    ts->media = media;
}


static void
ngx_mc_ts_extrapolate(ngx_mc_ts_t *ts, ngx_mc_packet_t *pkt)
{
    double   ahead;
    int64_t  elapsed, media;

    elapsed = (pkt->origin - ts->pcr_origin) * NGX_MC_TS_CLOCK;

    if (elapsed > NGX_MC_TS_PCR_STALE) {
        media = ts->pcr + elapsed;

    } else {

        /* a burst does not carry it further than where the next PCR is due */

        ahead = (double) (ts->position - ts->pcr_position) * ts->rate;
        media = ts->pcr + (int64_t) ngx_min(ahead, (double) ts->span);
    }

    if (ts->media == NGX_MC_NO_TIME) {
        pkt->discontinuity = 1;

    } else if (media < ts->media) {
        media = ts->media;
    }

    pkt->media = media;

    ts->media = media;
}
