
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_TS_H_INCLUDED_
#define _NGX_MC_TS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>


#define NGX_MC_TS_SYNC      0x47
#define NGX_MC_TS_PIDS      8192

/* ticks of the 27 MHz system clock in a microsecond */
#define NGX_MC_TS_CLOCK     27


/* in shared memory, only grow; the indicators are those of ETSI TR 101 290 */

typedef struct {
    uint64_t                sync_losses;             /* 1.1 */
    uint64_t                sync_byte_errors;        /* 1.2 */
    uint64_t                continuity_errors;       /* 1.4 */
    uint64_t                transport_errors;        /* 2.1 */
} ngx_mc_ts_counters_t;


/* the monitor and the media clock of one connection, about 8 KiB */

typedef struct {
    ngx_mc_ts_counters_t   *counters;

    /* the clock: the last PCR, and the line through it and the one before */

    uint64_t                position;      /* bytes seen before */
    uint64_t                pcr_position;  /* of the byte whose time it is */
    int64_t                 pcr;           /* extended over wraps */
    int64_t                 pcr_raw;       /* as it was sent */
    int64_t                 pcr_origin;    /* us */
    int64_t                 span;          /* the longest interval lately */
    int64_t                 media;         /* the last one given */
    double                  rate;          /* 27 MHz ticks per byte; 0: not
                                              known yet */
    uint32_t                pcr_pid;       /* NGX_MC_TS_PIDS: none */

    uint8_t                 good;          /* sync bytes in a row, while
                                              sync is lost */
    uint8_t                 bad;           /* corrupted ones in a row */
    unsigned                lost:1;        /* out of sync */
    unsigned                jump:1;        /* the next PCR begins a new time
                                              base */

    /* per PID: the last continuity_counter and NGX_MC_TS_CC_* */
    uint8_t                 cc[NGX_MC_TS_PIDS];
} ngx_mc_ts_t;


void ngx_mc_ts_init(ngx_mc_ts_t *ts, ngx_mc_ts_counters_t *counters);

/* a new connection: forgets continuity, sync and clock, keeps counters */
void ngx_mc_ts_reset(ngx_mc_ts_t *ts);

/* counts what is wrong in pkt->data, sets pkt->media and ->discontinuity */
void ngx_mc_ts_inspect(ngx_mc_ts_t *ts, ngx_mc_packet_t *pkt);

/* counts bytes that the aligner found to belong to no TS packet */
void ngx_mc_ts_dropped(ngx_mc_ts_t *ts, size_t len);


/*
 * Whether a datagram carries whole TS packets.  More than half of the sync
 * bytes decide: one that was corrupted on the way must not take its
 * datagram out of a stream that is passed on byte for byte.
 */

static ngx_inline ngx_uint_t
ngx_mc_ts_is_aligned(const u_char *data, size_t len)
{
    size_t  i, n;

    if (len == 0 || len % NGX_MC_TS_SIZE) {
        return 0;
    }

    n = 0;

    for (i = 0; i < len; i += NGX_MC_TS_SIZE) {
        n += (data[i] == NGX_MC_TS_SYNC);
    }

    return n * 2 * NGX_MC_TS_SIZE > len;
}


#endif /* _NGX_MC_TS_H_INCLUDED_ */
