
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc.h>
#include <ngx_mc_rtp_pace.h>


#define NGX_MC_RTP_PACE_TICK     1000      /* us */
#define NGX_MC_RTP_PACE_MARGIN   2000      /* above what was the latest */
#define NGX_MC_RTP_PACE_LIMIT    100000
#define NGX_MC_RTP_PACE_PAUSE    2000000

/* how long is looked back; shorter in the beginning */
#define NGX_MC_RTP_PACE_FIRST    100000
#define NGX_MC_RTP_PACE_WINDOW   3200000

/*
 * How fast the delay may shrink, us a second.  Clocks of encoders may be off
 * by 30 ppm (ISO/IEC 13818-1, 2.4.2.1), cheap ones by more, and a receiver
 * must still be able to follow.
 */
#define NGX_MC_RTP_PACE_SLEW     200

#define NGX_MC_RTP_PACE_MIN      64        /* packets */
#define NGX_MC_RTP_PACE_MAX      4096

#define NGX_MC_RTP_PACE_NONE     0
#define NGX_MC_RTP_PACE_MEDIA    1
#define NGX_MC_RTP_PACE_ORIGIN   2


static int64_t ngx_mc_rtp_pace_due(ngx_mc_rtp_pace_t *p, ngx_mc_packet_t *pkt,
    int64_t now);
static void ngx_mc_rtp_pace_follow(ngx_mc_rtp_pace_t *p, int64_t behind,
    int64_t now);
static ngx_int_t ngx_mc_rtp_pace_room(ngx_mc_rtp_pace_t *p, ngx_uint_t n);
static void ngx_mc_rtp_pace_flush(ngx_mc_rtp_pace_t *p, ngx_uint_t n);
static void ngx_mc_rtp_pace_tick(void *data);


void
ngx_mc_rtp_pace_init(ngx_mc_rtp_pace_t *p, ngx_msec_t batch,
    ngx_mc_rtp_pace_send_pt send, void *data, ngx_log_t *log)
{
    ngx_memzero(p, sizeof(ngx_mc_rtp_pace_t));

    p->send = send;
    p->data = data;
    p->log = log;

    p->pulse.handler = ngx_mc_rtp_pace_tick;
    p->pulse.data = p;

    ngx_mc_rtp_pace_batch(p, batch);
}


void
ngx_mc_rtp_pace_batch(ngx_mc_rtp_pace_t *p, ngx_msec_t batch)
{
    p->lead = (int64_t) batch * 1000 + NGX_MC_RTP_PACE_MARGIN;
    p->limit = (int64_t) batch * 1000 + NGX_MC_RTP_PACE_LIMIT;
}


void
ngx_mc_rtp_pace(ngx_mc_rtp_pace_t *p, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    int64_t     now, due;
    ngx_uint_t  i, k;

    now = ngx_mc_now();

    if (ngx_mc_rtp_pace_room(p, n) != NGX_OK) {
        p->send(p->data, pkts, n);
        return;
    }

    /*
     * Packets that are held are shared with other outputs, so none of "pkts"
     * may be released before all have had it: those that are due already go
     * without being held, the others not before the next tick.
     */

    for (i = 0; i < n; i++) {

        due = ngx_mc_rtp_pace_due(p, &pkts[i], now);

        if (p->count == 0 && due <= now) {

            for (k = i + 1; k < n; k++) {
                if (ngx_mc_rtp_pace_due(p, &pkts[k], now) > now) {
                    break;
                }
            }

            p->send(p->data, &pkts[i], k - i);

            if (k == n) {
                break;
            }

            i = k;
            due = p->last;
        }

        if (ngx_mc_packet_hold(&pkts[i]) != NGX_OK) {

            /* no memory: out of order is better than lost */

            p->send(p->data, &pkts[i], 1);
            continue;
        }

        k = (p->head + p->count) & (p->size - 1);

        p->packets[k] = pkts[i];
        p->due[k] = due;
        p->count++;
    }

    if (p->count == 0) {
        return;
    }

    p->idle = 0;

    if (ngx_mc_pulse_start(&p->pulse, NGX_MC_RTP_PACE_TICK) != NGX_OK) {

        /* "pkts" share our holds, and others may yet read them: what is
           new leaves with the next call */

        if (p->count > n) {
            ngx_mc_rtp_pace_flush(p, p->count - n);
        }
    }
}


static int64_t
ngx_mc_rtp_pace_due(ngx_mc_rtp_pace_t *p, ngx_mc_packet_t *pkt, int64_t now)
{
    int64_t     t, due;
    ngx_uint_t  clock;

    if (pkt->media != NGX_MC_NO_TIME) {
        clock = NGX_MC_RTP_PACE_MEDIA;
        t = pkt->media / NGX_MC_TS_CLOCK;

    } else {
        clock = NGX_MC_RTP_PACE_ORIGIN;
        t = pkt->origin;
    }

    if (clock == p->clock && !pkt->discontinuity) {
        due = t + p->offset;

    } else if (p->clock == NGX_MC_RTP_PACE_NONE) {
        due = now + p->lead;

    } else {

        /* another clock: the origin tells how much time has passed */

        due = p->last + (pkt->origin - p->origin);
    }

    if (due > now + p->limit || due < now - NGX_MC_RTP_PACE_PAUSE) {

        /* after a long pause, or a jump that nothing told of */

        due = now + p->lead;

    } else if (due < now - p->limit
               && p->span > 4 * NGX_MC_RTP_PACE_FIRST)
    {
        /* after a short one; or we, or the sender, were kept from running for
           a moment, which is to pass without a trace: what is late leaves at
           once, and it is soon seen whether it stays so */

        p->span = NGX_MC_RTP_PACE_FIRST;
        p->window = now + p->span;
    }

    p->clock = clock;

    if (due != t + p->offset) {
        p->offset = due - t;
        p->latest = now - t;
        p->previous[0] = now - t;
        p->previous[1] = now - t;
        p->span = NGX_MC_RTP_PACE_FIRST;
        p->window = now + p->span;
    }

    ngx_mc_rtp_pace_follow(p, now - t, now);

    /* media time may be corrected back a little, datagrams keep their order */

    if (p->count && due < p->last) {
        due = p->last;
    }

    p->last = due;
    p->origin = pkt->origin;

    return due;
}


/*
 * The offset between the sender's clock and ours is such that packets are
 * mostly in time: as far behind as some were in each of the last windows.
 * One delay alone, of a busy machine say, is in two of the three at most and
 * is to pass without a trace.
 */

static void
ngx_mc_rtp_pace_follow(ngx_mc_rtp_pace_t *p, int64_t behind, int64_t now)
{
    int64_t  target;

    p->latest = ngx_max(p->latest, behind);

    if (now < p->window) {
        return;
    }

    target = ngx_min(p->previous[0], p->previous[1]);
    target = ngx_min(target, p->latest) + NGX_MC_RTP_PACE_MARGIN;

    if (p->offset < target) {
        p->offset = target;

    } else {
        p->offset -= ngx_min(p->offset - target,
                             p->span * NGX_MC_RTP_PACE_SLEW / 1000000);
    }

    p->previous[1] = p->previous[0];
    p->previous[0] = p->latest;
    p->latest = behind;
    p->span = ngx_min(p->span * 2, NGX_MC_RTP_PACE_WINDOW);
    p->window = now + p->span;
}


/* for n more packets; when the ring is as large as may be, the oldest leave */

static ngx_int_t
ngx_mc_rtp_pace_room(ngx_mc_rtp_pace_t *p, ngx_uint_t n)
{
    int64_t          *due;
    ngx_uint_t        i, k, size;
    ngx_mc_packet_t  *packets;

    if (p->size - p->count >= n) {
        return NGX_OK;
    }

    size = p->size ? p->size : NGX_MC_RTP_PACE_MIN;

    while (size - p->count < n && size < NGX_MC_RTP_PACE_MAX) {
        size *= 2;
    }

    if (size != p->size) {

        packets = ngx_alloc(size * (sizeof(ngx_mc_packet_t) + sizeof(int64_t)),
                            p->log);

        if (packets) {
            due = (int64_t *) (packets + size);

            for (i = 0; i < p->count; i++) {
                k = (p->head + i) & (p->size - 1);
                packets[i] = p->packets[k];
                due[i] = p->due[k];
            }

            if (p->packets) {
                ngx_free(p->packets);
            }

            p->packets = packets;
            p->due = due;
            p->size = size;
            p->head = 0;
        }
    }

    if (p->size - p->count < n) {
        ngx_mc_rtp_pace_flush(p, ngx_min(p->count, n));
    }

    return (p->size - p->count < n) ? NGX_DECLINED : NGX_OK;
}


/* sends the n oldest */

static void
ngx_mc_rtp_pace_flush(ngx_mc_rtp_pace_t *p, ngx_uint_t n)
{
    ngx_uint_t        i, k;
    ngx_mc_packet_t  *pkts;

    while (n) {
        pkts = &p->packets[p->head];
        k = ngx_min(n, p->size - p->head);

        p->send(p->data, pkts, k);

        for (i = 0; i < k; i++) {
            ngx_mc_packet_release(&pkts[i]);
        }

        p->head = (p->head + k) & (p->size - 1);
        p->count -= k;
        n -= k;
    }
}


static void
ngx_mc_rtp_pace_tick(void *data)
{
    ngx_mc_rtp_pace_t  *p = data;

    int64_t     now;
    ngx_uint_t  n;

    if (p->count == 0) {

        if (++p->idle * NGX_MC_RTP_PACE_TICK >= NGX_MC_PULSE_IDLE) {
            ngx_mc_pulse_stop(&p->pulse);
        }

        return;
    }

    /* half a tick early on average beats half a tick late */

    now = ngx_mc_now() + NGX_MC_RTP_PACE_TICK / 2;

    for (n = 0; n < p->count; n++) {
        if (p->due[(p->head + n) & (p->size - 1)] > now) {
            break;
        }
    }

    p->idle = 0;

    ngx_mc_rtp_pace_flush(p, n);
}


void
ngx_mc_rtp_pace_close(ngx_mc_rtp_pace_t *p)
{
    ngx_mc_rtp_pace_flush(p, p->count);

    ngx_mc_pulse_stop(&p->pulse);

    if (p->packets) {
        ngx_free(p->packets);
        p->packets = NULL;
        p->size = 0;
    }

    p->head = 0;
    p->clock = NGX_MC_RTP_PACE_NONE;
}
