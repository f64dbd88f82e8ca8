/* sources: rtp/ngx_mc_rtp.c rtp/ngx_mc_rtp_reorder.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_rtp.h>
#include <ngx_mc_rtp_reorder.h>

#include "packets.h"
#include "shim.h"


/*
 * With an even first byte the rest is a datagram.  With an odd one it is a
 * list of steps of four bytes for the reorder buffer: SSRC and time that
 * goes by, how the sequence number moves on, and to where.
 */

static ngx_mc_rtp_counters_t  counters;
static ngx_uint_t             emitted, started;
static uint16_t               last_seq;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(int cond)
{
    if (!cond) {
        abort();
    }
}


static void
parse(const uint8_t *data, size_t size)
{
    u_char           *p;
    ngx_int_t         rc;
    ngx_uint_t        pt;
    ngx_mc_packet_t   pkt;

    memset(&pkt, 0, sizeof(pkt));

    p = malloc(size ? size : 1);
    memcpy(p, data, size);

    pt = 0;
    rc = ngx_mc_rtp_parse(p, size, &pkt, &pt);

    check(strlen(ngx_mc_rtp_reason(rc)) != 0);

    if (rc == NGX_OK) {
        check(pkt.rtp == p && pkt.rtp_len == size
              && pkt.data >= p + NGX_MC_RTP_HEADER
              && pkt.len && pkt.len % NGX_MC_TS_SIZE == 0
              && pkt.data + pkt.len <= p + size
              && pt < 128 && (p[1] < 200 || p[1] > 204));

    } else {
        check(pkt.data == NULL);
    }

    free(p);
}


static void
emit(void *ctx, ngx_mc_packet_t *pkt)
{
    emitted++;

    check(pkt->len == 4 && pkt->data[0] == pkt->seq >> 8
          && pkt->data[1] == (pkt->seq & 0xff));

    /* forward, unless the sender began anew, which the last push tells */

    started += ((int16_t) (pkt->seq - last_seq) <= 0);

    last_seq = pkt->seq;
}


static void
reorder(const uint8_t *data, size_t size)
{
    u_char                 block[4];
    int64_t                now;
    uint16_t               seq;
    ngx_int_t              rc;
    ngx_uint_t             held, restarts;
    ngx_pool_t            *pool;
    ngx_mc_packet_t        pkt;
    ngx_mc_rtp_reorder_t  *r;

    if (size == 0) {
        return;
    }

    memset(&counters, 0, sizeof(counters));
    emitted = 0;
    started = 0;
    restarts = 1;
    last_seq = 0;

    pool = ngx_create_pool(1024, &shim_log);

    r = ngx_mc_rtp_reorder_create(pool, data[0] >> 1, data[0] & 1,
                                  &counters);
    if (r == NULL) {
        abort();
    }

    data++;
    size--;

    now = 1000000;
    seq = 65530;

    for ( /* void */ ; size >= 4; data += 4, size -= 4) {

        now += (data[0] >> 2) * ((data[0] & 0x80) ? 20000 : 100);

        switch (data[1] & 7) {

        case 0:
            seq = data[2] << 8 | data[3];
            break;

        case 1:
            seq -= data[2];
            break;

        case 2:
            seq += data[2];
            break;

        case 3:
            seq += (data[2] << 4) | (data[3] & 0x0f);
            break;

        case 4:
            (void) ngx_mc_rtp_reorder_expire(r, now, emit, NULL);
            continue;

        default:
            seq++;
        }

        memset(&pkt, 0, sizeof(pkt));

        block[0] = seq >> 8;
        block[1] = seq & 0xff;

        pkt.data = block;
        pkt.len = sizeof(block);
        pkt.seq = seq;
        pkt.ssrc = data[0] & 3;
        pkt.origin = now - ((data[1] & 0x80) ? data[3] * 100 : 0);
        pkt.rtp_timestamp = (uint32_t) data[3] << 24;

        rc = ngx_mc_rtp_reorder_push(r, &pkt, now, emit, NULL);

        check(rc >= NGX_OK && rc <= NGX_MC_RTP_JUMP);

        restarts += (rc == NGX_MC_RTP_RESTARTED);

        held = ngx_mc_rtp_reorder_expire(r, now, emit, NULL);

        check(counters.packets == emitted + held);
        check(started <= restarts);
        check(packets_held <= 16384 + 1);
        check((ngx_mc_rtp_reorder_deadline(r) == NGX_MC_NO_TIME)
              == (held == 0));
        check(held == 0 || ngx_mc_rtp_reorder_deadline(r) > now);
    }

    if (size & 1) {
        held = ngx_mc_rtp_reorder_expire(r, INT64_MAX, emit, NULL);
        check(held == 0 && counters.packets == emitted);
    }

    ngx_mc_rtp_reorder_reset(r);
    check(packets_held == 0);

    ngx_destroy_pool(pool);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }

    if (data[0] & 1) {
        reorder(data + 1, size - 1);

    } else {
        parse(data + 1, size - 1);
    }

    return 0;
}
