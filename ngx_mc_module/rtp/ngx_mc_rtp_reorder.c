
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_rtp.h>
#include <ngx_mc_rtp_reorder.h>


/* RFC 3550, A.1 */
#define NGX_MC_RTP_MAX_DROPOUT   3000
#define NGX_MC_RTP_MAX_MISORDER  100

/* us: a sender that was silent for so long has no claim any more */
#define NGX_MC_RTP_SILENCE       1000000

/* us: packets that lag further than MAX_MISORDER are still taken for copies
   from a longer path while the sender goes on */
#define NGX_MC_RTP_LAG           50000

/* powers of two; 20 packets a millisecond is a stream of 200 Mbit/s */
#define NGX_MC_RTP_RING_MIN      1024
#define NGX_MC_RTP_RING_MAX      16384
#define NGX_MC_RTP_RING_RATE     20


typedef struct {
    ngx_mc_packet_t          pkt;
    int64_t                  deadline;     /* us */
} ngx_mc_rtp_slot_t;


/*
 * Sequence numbers, modulo 2^16: those before "next" have left or are lost,
 * from "next" to "max" each is held or missing.  There are never more of
 * them than slots.  A bit in received[] tells for the latest of them, up to
 * max, whether it came.
 */

struct ngx_mc_rtp_reorder_s {
    ngx_mc_rtp_counters_t   *counters;
    ngx_mc_rtp_transit_t     transit;
    ngx_pool_t              *pool;

    ngx_mc_rtp_slot_t       *slots;        /* from the first gap on */
    ngx_uint_t               size;
    ngx_uint_t               held;

    int64_t                  buffer;       /* us */
    int64_t                  last;         /* us, when the sender was heard */
    int64_t                  progress;     /* us, when max grew */

    uint32_t                 ssrc;
    uint16_t                 next;
    uint16_t                 max;

    unsigned                 constant:1;
    unsigned                 started:1;
    unsigned                 probation:1;

    ngx_mc_packet_t          probe;        /* may be the first of a sender to
                                              come */

    uint64_t                 received[1];
};


/* what another process goes on from; received[] follows */

typedef struct {
    int64_t                  last;
    int64_t                  progress;
    uint32_t                 transit;
    uint32_t                 ssrc;
    uint32_t                 size;
    uint16_t                 max;
    uint16_t                 valid;        /* transit is */
} ngx_mc_rtp_saved_t;

typedef char  ngx_mc_rtp_saved_check_t
    [(sizeof(ngx_mc_rtp_saved_t) + NGX_MC_RTP_RING_MAX / 8
      <= NGX_MC_RTP_SAVED) ? 1 : -1];


static ngx_int_t ngx_mc_rtp_reorder_accept(ngx_mc_rtp_reorder_t *r,
    ngx_mc_packet_t *pkt, int64_t now, ngx_mc_rtp_emit_pt emit, void *ctx);
static ngx_int_t ngx_mc_rtp_reorder_restart(ngx_mc_rtp_reorder_t *r,
    ngx_mc_packet_t *pkt, int64_t now, ngx_mc_rtp_emit_pt emit, void *ctx);
static void ngx_mc_rtp_reorder_start(ngx_mc_rtp_reorder_t *r,
    ngx_mc_packet_t *pkt, int64_t now);
static ngx_int_t ngx_mc_rtp_reorder_probe(ngx_mc_rtp_reorder_t *r,
    ngx_mc_packet_t *pkt, ngx_int_t rc);
static void ngx_mc_rtp_reorder_forget(ngx_mc_rtp_reorder_t *r);
static ngx_int_t ngx_mc_rtp_reorder_hold(ngx_mc_rtp_reorder_t *r,
    ngx_mc_packet_t *pkt, int64_t now);
static void ngx_mc_rtp_reorder_advance(ngx_mc_rtp_reorder_t *r,
    uint16_t seq, ngx_mc_rtp_emit_pt emit, void *ctx);
static void ngx_mc_rtp_reorder_release(ngx_mc_rtp_reorder_t *r, int64_t now,
    ngx_mc_rtp_emit_pt emit, void *ctx);
static void ngx_mc_rtp_reorder_leave(ngx_mc_rtp_reorder_t *r,
    ngx_mc_rtp_emit_pt emit, void *ctx);
static ngx_mc_rtp_slot_t *ngx_mc_rtp_reorder_first(ngx_mc_rtp_reorder_t *r,
    uint16_t seq);


#define ngx_mc_rtp_slot(r, seq)    (&(r)->slots[(seq) & ((r)->size - 1)])

#define ngx_mc_rtp_word(r, seq)                                               \
    ((r)->received[((seq) & ((r)->size - 1)) / 64])
#define ngx_mc_rtp_bit(seq)        ((uint64_t) 1 << ((seq) % 64))

#define ngx_mc_rtp_received(r, seq)                                           \
    (ngx_mc_rtp_word(r, seq) & ngx_mc_rtp_bit(seq))

/* how many are held or missing */
#define ngx_mc_rtp_pending(r)      ((uint16_t) ((r)->max - (r)->next + 1))


ngx_mc_rtp_reorder_t *
ngx_mc_rtp_reorder_create(ngx_pool_t *pool, ngx_msec_t buffer,
    ngx_uint_t constant, ngx_mc_rtp_counters_t *counters)
{
    ngx_uint_t             size;
    ngx_mc_rtp_reorder_t  *r;

    size = NGX_MC_RTP_RING_MIN;

    while (size < NGX_MC_RTP_RING_MAX
           && size / NGX_MC_RTP_RING_RATE < buffer)
    {
        size *= 2;
    }

    r = ngx_pcalloc(pool, sizeof(ngx_mc_rtp_reorder_t)
                          + size / 64 * sizeof(uint64_t));
    if (r == NULL) {
        return NULL;
    }

    r->pool = pool;
    r->size = size;
    r->buffer = (int64_t) buffer * 1000;
    r->constant = (constant != 0);
    r->counters = counters;

    return r;
}


ngx_int_t
ngx_mc_rtp_reorder_push(ngx_mc_rtp_reorder_t *r, ngx_mc_packet_t *pkt,
    int64_t now, ngx_mc_rtp_emit_pt emit, void *ctx)
{
    uint16_t   ahead, behind;
    ngx_int_t  rc;

    if (!r->started) {
        ngx_mc_rtp_reorder_start(r, pkt, now);
        return ngx_mc_rtp_reorder_accept(r, pkt, now, emit, ctx);
    }

    if (pkt->ssrc != r->ssrc) {

        if (now - r->last > NGX_MC_RTP_SILENCE) {
            return ngx_mc_rtp_reorder_restart(r, pkt, now, emit, ctx);
        }

        rc = ngx_mc_rtp_reorder_probe(r, pkt, NGX_MC_RTP_FOREIGN);

        if (rc == NGX_OK) {
            return ngx_mc_rtp_reorder_restart(r, pkt, now, emit, ctx);
        }

        return rc;
    }

    if ((uint16_t) (pkt->seq - r->next) < ngx_mc_rtp_pending(r)) {

        if (!ngx_mc_rtp_received(r, pkt->seq)) {
            return ngx_mc_rtp_reorder_accept(r, pkt, now, emit, ctx);
        }

        goto duplicate;
    }

    ahead = pkt->seq - r->max;
    behind = r->max - pkt->seq;

    if (ahead != 0 && ahead < NGX_MC_RTP_MAX_DROPOUT) {
        return ngx_mc_rtp_reorder_accept(r, pkt, now, emit, ctx);
    }

    if (now - r->last > NGX_MC_RTP_SILENCE) {
        return ngx_mc_rtp_reorder_restart(r, pkt, now, emit, ctx);
    }

    if (behind < NGX_MC_RTP_MAX_MISORDER
        || (behind < r->size
            && now - r->progress <= ngx_max(r->buffer, NGX_MC_RTP_LAG)))
    {
        if (ngx_mc_rtp_received(r, pkt->seq)) {
            goto duplicate;
        }

        r->last = now;
        ngx_mc_rtp_reorder_forget(r);

        return NGX_MC_RTP_LATE;
    }

    rc = ngx_mc_rtp_reorder_probe(r, pkt, NGX_MC_RTP_JUMP);

    if (rc == NGX_OK) {
        return ngx_mc_rtp_reorder_restart(r, pkt, now, emit, ctx);
    }

    return rc;

duplicate:

    r->counters->duplicate_packets++;
    r->last = now;

    ngx_mc_rtp_reorder_forget(r);

    return NGX_MC_RTP_DUPLICATE;
}


ngx_uint_t
ngx_mc_rtp_reorder_expire(ngx_mc_rtp_reorder_t *r, int64_t now,
    ngx_mc_rtp_emit_pt emit, void *ctx)
{
    if (r->held) {
        ngx_mc_rtp_reorder_release(r, now, emit, ctx);
    }

    return r->held;
}


int64_t
ngx_mc_rtp_reorder_deadline(ngx_mc_rtp_reorder_t *r)
{
    if (r->held == 0) {
        return NGX_MC_NO_TIME;
    }

    return ngx_mc_rtp_reorder_first(r, r->next)->deadline;
}


void
ngx_mc_rtp_reorder_reset(ngx_mc_rtp_reorder_t *r)
{
    ngx_mc_rtp_slot_t  *slot;

    while (r->held) {
        slot = ngx_mc_rtp_reorder_first(r, r->next);

        r->next = slot->pkt.seq + 1;
        r->held--;

        ngx_mc_packet_release(&slot->pkt);
    }

    ngx_mc_rtp_reorder_forget(r);

    r->started = 0;
}


size_t
ngx_mc_rtp_reorder_save(ngx_mc_rtp_reorder_t *r, u_char *p, size_t size,
    ngx_mc_rtp_emit_pt emit, void *ctx)
{
    size_t              len;
    ngx_mc_rtp_saved_t  saved;

    /* one after another: emit() may reset */

    ngx_mc_rtp_reorder_release(r, INT64_MAX, emit, ctx);

    len = r->size / 64 * sizeof(uint64_t);

    if (!r->started || size < sizeof(ngx_mc_rtp_saved_t) + len) {
        return 0;
    }

    saved.last = r->last;
    saved.progress = r->progress;
    saved.transit = r->transit.transit;
    saved.ssrc = r->ssrc;
    saved.size = r->size;
    saved.max = r->max;
    saved.valid = r->transit.valid;

    p = ngx_cpymem(p, &saved, sizeof(ngx_mc_rtp_saved_t));
    ngx_memcpy(p, r->received, len);

    return sizeof(ngx_mc_rtp_saved_t) + len;
}


ngx_int_t
ngx_mc_rtp_reorder_restore(ngx_mc_rtp_reorder_t *r, u_char *p, size_t size,
    int64_t now)
{
    size_t              len;
    ngx_mc_rtp_saved_t  saved;

    len = r->size / 64 * sizeof(uint64_t);

    if (r->started || size != sizeof(ngx_mc_rtp_saved_t) + len) {
        return NGX_DECLINED;
    }

    ngx_memcpy(&saved, p, sizeof(ngx_mc_rtp_saved_t));

    if (saved.size != r->size
        || saved.last < 0 || saved.last > now
        || saved.progress < 0 || saved.progress > now)
    {
        return NGX_DECLINED;
    }

    ngx_memcpy(r->received, p + sizeof(ngx_mc_rtp_saved_t), len);

    r->last = saved.last;
    r->progress = saved.progress;
    r->transit.transit = saved.transit;
    r->transit.valid = (saved.valid != 0);
    r->ssrc = saved.ssrc;
    r->max = saved.max;
    r->next = saved.max + 1;
    r->started = 1;

    return NGX_OK;
}


/* a packet of the sender: the next one, one after a gap, or out of a gap */

static ngx_int_t
ngx_mc_rtp_reorder_accept(ngx_mc_rtp_reorder_t *r, ngx_mc_packet_t *pkt,
    int64_t now, ngx_mc_rtp_emit_pt emit, void *ctx)
{
    ngx_uint_t  in_gap;

    in_gap = (uint16_t) (pkt->seq - r->next) < ngx_mc_rtp_pending(r);

    if (!in_gap) {
        ngx_mc_rtp_reorder_advance(r, pkt->seq, emit, ctx);

        if (!r->started) {
            /* reset by emit() */
            return NGX_OK;
        }

        r->progress = now;
    }

    r->last = now;

    ngx_mc_rtp_reorder_forget(r);

    if (r->constant || pkt->seq != r->next) {

        if (ngx_mc_rtp_reorder_hold(r, pkt, now) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    r->counters->packets++;

    if (in_gap) {
        r->counters->reordered_packets++;
    }

    ngx_mc_rtp_word(r, pkt->seq) |= ngx_mc_rtp_bit(pkt->seq);

    ngx_mc_rtp_jitter(&r->transit, r->counters, pkt);

    if (!r->constant && pkt->seq == r->next) {
        r->next++;
        emit(ctx, pkt);
    }

    if (r->held) {
        ngx_mc_rtp_reorder_release(r, now, emit, ctx);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtp_reorder_restart(ngx_mc_rtp_reorder_t *r, ngx_mc_packet_t *pkt,
    int64_t now, ngx_mc_rtp_emit_pt emit, void *ctx)
{
    ngx_int_t        rc;
    ngx_uint_t       probation;
    ngx_mc_packet_t  probe;

    /* of the old sender nothing more will come */

    ngx_mc_rtp_reorder_release(r, INT64_MAX, emit, ctx);

    if (!r->started) {
        /* reset by emit() */
        return NGX_MC_RTP_RESTARTED;
    }

    probation = r->probation
                && r->probe.ssrc == pkt->ssrc
                && (uint16_t) (r->probe.seq + 1) == pkt->seq;

    if (probation) {
        probe = r->probe;
        r->probation = 0;

        ngx_mc_rtp_reorder_start(r, &probe, now);

        rc = ngx_mc_rtp_reorder_accept(r, &probe, now, emit, ctx);

        ngx_mc_packet_release(&probe);

        if (rc != NGX_OK) {
            return rc;
        }

        if (!r->started) {
            /* reset by emit() */
            return NGX_MC_RTP_RESTARTED;
        }

    } else {
        ngx_mc_rtp_reorder_forget(r);
        ngx_mc_rtp_reorder_start(r, pkt, now);
    }

    rc = ngx_mc_rtp_reorder_accept(r, pkt, now, emit, ctx);

    return (rc == NGX_OK) ? NGX_MC_RTP_RESTARTED : rc;
}


static void
ngx_mc_rtp_reorder_start(ngx_mc_rtp_reorder_t *r, ngx_mc_packet_t *pkt,
    int64_t now)
{
    r->ssrc = pkt->ssrc;
    r->next = pkt->seq;
    r->max = pkt->seq - 1;
    r->last = now;
    r->progress = now;
    r->transit.valid = 0;
    r->started = 1;

    ngx_memzero(r->received, r->size / 64 * sizeof(uint64_t));
}


/* NGX_OK: the second in a row of another sender; else kept to be the first */

static ngx_int_t
ngx_mc_rtp_reorder_probe(ngx_mc_rtp_reorder_t *r, ngx_mc_packet_t *pkt,
    ngx_int_t rc)
{
    if (r->probation
        && r->probe.ssrc == pkt->ssrc
        && (uint16_t) (r->probe.seq + 1) == pkt->seq)
    {
        return NGX_OK;
    }

    ngx_mc_rtp_reorder_forget(r);

    r->probe = *pkt;

    if (ngx_mc_packet_hold(&r->probe) != NGX_OK) {
        return NGX_ERROR;
    }

    r->probation = 1;

    return rc;
}


static void
ngx_mc_rtp_reorder_forget(ngx_mc_rtp_reorder_t *r)
{
    if (r->probation) {
        r->probation = 0;
        ngx_mc_packet_release(&r->probe);
    }
}


static ngx_int_t
ngx_mc_rtp_reorder_hold(ngx_mc_rtp_reorder_t *r, ngx_mc_packet_t *pkt,
    int64_t now)
{
    ngx_mc_rtp_slot_t  *slot, *later;

    if (r->slots == NULL) {

        /* senders that keep their packets in order never need them */

        r->slots = ngx_palloc(r->pool, r->size * sizeof(ngx_mc_rtp_slot_t));
        if (r->slots == NULL) {
            return NGX_ERROR;
        }
    }

    slot = ngx_mc_rtp_slot(r, pkt->seq);

    slot->pkt = *pkt;

    if (ngx_mc_packet_hold(&slot->pkt) != NGX_OK) {
        return NGX_ERROR;
    }

    slot->deadline = (r->constant ? pkt->origin : now) + r->buffer;

    if (r->held && pkt->seq != r->max) {

        /* out of a gap: it does not keep those after it waiting any longer */

        later = ngx_mc_rtp_reorder_first(r, pkt->seq + 1);

        if (later && later->deadline < slot->deadline) {
            slot->deadline = later->deadline;
        }
    }

    r->held++;

    return NGX_OK;
}


/* moves max on to seq; what has no room between next and max has to go */

static void
ngx_mc_rtp_reorder_advance(ngx_mc_rtp_reorder_t *r, uint16_t seq,
    ngx_mc_rtp_emit_pt emit, void *ctx)
{
    uint16_t    s;
    ngx_uint_t  n, lost;

    while (r->held && (uint16_t) (seq - r->next) >= r->size) {
        ngx_mc_rtp_reorder_leave(r, emit, ctx);

        if (!r->started) {
            return;
        }
    }

    n = (uint16_t) (seq - r->next);

    if (n >= r->size) {
        lost = n - r->size + 1;

        r->counters->lost_packets += lost;
        r->counters->unrecovered_packets += lost;

        r->next += lost;
    }

    n = (uint16_t) (seq - r->max);

    if (n >= r->size) {
        ngx_memzero(r->received, r->size / 64 * sizeof(uint64_t));

    } else {
        for (s = r->max + 1; n; n--, s++) {
            ngx_mc_rtp_word(r, s) &= ~ngx_mc_rtp_bit(s);
        }
    }

    r->max = seq;
}


static void
ngx_mc_rtp_reorder_release(ngx_mc_rtp_reorder_t *r, int64_t now,
    ngx_mc_rtp_emit_pt emit, void *ctx)
{
    ngx_mc_rtp_slot_t  *slot;

    while (r->held) {

        if (r->constant || !ngx_mc_rtp_received(r, r->next)) {

            slot = ngx_mc_rtp_reorder_first(r, r->next);

            if (slot->deadline > now) {
                break;
            }
        }

        ngx_mc_rtp_reorder_leave(r, emit, ctx);
    }
}


/* the first that is held leaves, and what is missing before it is lost */

static void
ngx_mc_rtp_reorder_leave(ngx_mc_rtp_reorder_t *r, ngx_mc_rtp_emit_pt emit,
    void *ctx)
{
    ngx_uint_t          lost;
    ngx_mc_packet_t     pkt;
    ngx_mc_rtp_slot_t  *slot;

    slot = ngx_mc_rtp_reorder_first(r, r->next);

    pkt = slot->pkt;
    lost = (uint16_t) (pkt.seq - r->next);

    r->counters->lost_packets += lost;
    r->counters->unrecovered_packets += lost;

    r->next = pkt.seq + 1;
    r->held--;

    emit(ctx, &pkt);

    ngx_mc_packet_release(&pkt);
}


/* the first that is held, from seq up to max */

static ngx_mc_rtp_slot_t *
ngx_mc_rtp_reorder_first(ngx_mc_rtp_reorder_t *r, uint16_t seq)
{
    ngx_uint_t  n;

    n = (uint16_t) (r->max - seq + 1);

    while (n) {

        if (seq % 64 == 0 && n >= 64 && ngx_mc_rtp_word(r, seq) == 0) {
            seq += 64;
            n -= 64;
            continue;
        }

        if (ngx_mc_rtp_received(r, seq)) {
            return ngx_mc_rtp_slot(r, seq);
        }

        seq++;
        n--;
    }

    return NULL;
}
