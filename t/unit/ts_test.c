/* sources: ts/ngx_mc_ts.c ts/ngx_mc_ts_align.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_ts.h>
#include <ngx_mc_ts_align.h>

#include "shim.h"


#define MS       27000
#define SECOND   (1000 * MS)
#define WRAP     ((int64_t) 300 << 33)

#define DI       0x80                      /* discontinuity_indicator */
#define AF_ONLY  0x100                     /* no payload */
#define BAD      0x200                     /* sync byte corrupted */
#define TEI      0x400
#define RESERVED 0x800                     /* adaptation_field_control '00' */


static ngx_mc_ts_counters_t  c;
static ngx_mc_ts_t           ts;
static ngx_mc_packet_t       pkt;
static u_char                data[NGX_MC_TS_DATAGRAM];

/* aligner */
static u_char                stream[400 * NGX_MC_TS_SIZE];
static u_char                out[sizeof(stream)];
static size_t                out_len, out_largest;
static ngx_uint_t            out_n, out_odd;
static int64_t               out_origin;
static ngx_mc_ts_align_t     align;
static ngx_uint_t            reset_in_emit;


static void
packet(u_char *p, ngx_uint_t pid, ngx_uint_t cc, ngx_uint_t flags)
{
    memset(p, 0xff, NGX_MC_TS_SIZE);

    p[0] = (flags & BAD) ? 0xb8 : 0x47;
    p[1] = (pid >> 8) | ((flags & TEI) ? 0x80 : 0);
    p[2] = pid & 0xff;
    p[3] = 0x10 | (cc & 0x0f);

    if (flags & RESERVED) {
        p[3] &= 0xcf;
        return;
    }

    if (flags & AF_ONLY) {
        p[3] = 0x20 | (cc & 0x0f);
        p[4] = 183;
        p[5] = flags & DI;
        return;
    }

    if (flags & DI) {
        p[3] |= 0x20;
        p[4] = 1;
        p[5] = DI;
    }
}


static void
pcr_packet(u_char *p, ngx_uint_t pid, ngx_uint_t cc, ngx_uint_t flags,
    int64_t pcr)
{
    int64_t     base;
    ngx_uint_t  ext;

    packet(p, pid, cc, flags);

    pcr = (pcr % WRAP + WRAP) % WRAP;
    base = pcr / 300;
    ext = pcr % 300;

    p[3] |= 0x20;

    if (!(flags & AF_ONLY)) {
        p[4] = 7;
    }

    p[5] = (flags & DI) | 0x10;
    p[6] = base >> 25;
    p[7] = base >> 17;
    p[8] = base >> 9;
    p[9] = base >> 1;
    p[10] = (base << 7) | 0x7e | (ext >> 8);
    p[11] = ext;
}


static void
inspect(size_t len, int64_t origin)
{
    memset(&pkt, 0, sizeof(pkt));

    pkt.data = data;
    pkt.len = len;
    pkt.origin = origin;

    ngx_mc_ts_inspect(&ts, &pkt);
}


/* one TS packet */

static void
one(ngx_uint_t pid, ngx_uint_t cc, ngx_uint_t flags)
{
    packet(data, pid, cc, flags);
    inspect(NGX_MC_TS_SIZE, 0);
}


static void
begin(void)
{
    memset(&c, 0, sizeof(c));
    ngx_mc_ts_init(&ts, &c);
}


static void
continuity(void)
{
    ngx_uint_t  i;

    begin();

    for (i = 5; i < 5 + 64; i++) {
        one(0x100, i, 0);
        one(0x1ffe, i * 1, 0);
    }

    is_num(c.continuity_errors, 0, "counts up and wraps");

    begin();
    one(0x100, 3, 0);
    one(0x100, 5, 0);
    is_num(c.continuity_errors, 1, "a lost packet");
    one(0x100, 6, 0);
    is_num(c.continuity_errors, 1, "and on from there");
    one(0x100, 4, 0);
    is_num(c.continuity_errors, 2, "incorrect order");

    begin();
    one(0x100, 3, 0);
    one(0x100, 3, 0);
    is_num(c.continuity_errors, 0, "a packet twice");
    one(0x100, 4, 0);
    one(0x100, 4, 0);
    is_num(c.continuity_errors, 0, "the next one twice");
    one(0x100, 4, 0);
    is_num(c.continuity_errors, 1, "a packet more than twice");
    one(0x100, 4, 0);
    is_num(c.continuity_errors, 2, "and a fourth time");
    one(0x100, 5, 0);
    is_num(c.continuity_errors, 2, "and on");

    begin();
    one(0x100, 3, 0);
    one(0x200, 9, 0);
    one(0x100, 3, 0);
    one(0x200, 10, 0);
    is_num(c.continuity_errors, 0,
           "duplicates are consecutive in their PID only");

    begin();
    one(0x100, 3, 0);
    one(0x100, 3, AF_ONLY);
    one(0x100, 3, AF_ONLY);
    one(0x100, 3, AF_ONLY);
    one(0x100, 4, 0);
    is_num(c.continuity_errors, 0, "adaptation field only: not incremented");
    one(0x100, 5, AF_ONLY);
    is_num(c.continuity_errors, 1, "adaptation field only: incremented");

    begin();
    one(0x100, 3, 0);
    one(0x100, 3, AF_ONLY);
    one(0x100, 3, 0);
    is_num(c.continuity_errors, 1, "no duplicate across one without payload");

    begin();
    one(0x100, 3, AF_ONLY);
    one(0x100, 4, 0);
    is_num(c.continuity_errors, 0, "first one without payload");

    begin();
    one(0x100, 3, 0);
    one(0x100, 3, RESERVED);
    one(0x100, 4, 0);
    is_num(c.continuity_errors, 0, "reserved '00': not incremented");

    begin();
    one(0x100, 3, 0);
    one(0x100, 9, DI);
    one(0x100, 10, 0);
    is_num(c.continuity_errors, 0, "discontinuity_indicator");
    one(0x100, 1, DI | AF_ONLY);
    one(0x100, 2, 0);
    is_num(c.continuity_errors, 0, "discontinuity_indicator, no payload");

    begin();
    one(0x100, 3, 0);
    packet(data, 0x100, 9, DI);
    data[4] = 0;
    inspect(NGX_MC_TS_SIZE, 0);
    is_num(c.continuity_errors, 1, "an empty adaptation field has no flags");

    begin();
    one(0x100, 3, 0);
    packet(data, 0x100, 9, DI);
    data[4] = 184;
    inspect(NGX_MC_TS_SIZE, 0);
    is_num(c.continuity_errors, 1, "nor has one that is too long");

    begin();
    one(0x1fff, 3, 0);
    one(0x1fff, 9, 0);
    one(0x1fff, 9, 0);
    one(0x1fff, 9, 0);
    is_num(c.continuity_errors, 0, "null packets have none");

    begin();
    one(0, 15, 0);
    one(0, 0, 0);
    one(0, 2, 0);
    is_num(c.continuity_errors, 1, "PID 0 counts");

    begin();
    one(0x100, 3, 0);
    ngx_mc_ts_reset(&ts);
    one(0x100, 9, 0);
    is_num(c.continuity_errors, 0, "a new connection");
}


static void
transport(void)
{
    begin();
    one(0x100, 3, 0);
    one(0x100, 4, TEI);
    one(0x100, 5, 0);
    is_num(c.transport_errors, 1, "transport_error_indicator");
    is_num(c.continuity_errors, 0, "nothing else from it, nor from the next");

    one(0x100, 9, TEI);
    is_num(c.transport_errors, 2, "again");
    one(0x100, 6, 0);
    is_num(c.continuity_errors, 0, "its header is not believed");

    one(0x1fff, 9, TEI);
    is_num(c.transport_errors, 3, "on the null PID too");
}


static void
sync_bytes(void)
{
    ngx_uint_t  i;

    begin();
    one(0x100, 3, 0);
    one(0x100, 4, BAD);
    one(0x100, 5, 0);
    is_num(c.sync_byte_errors, 1, "one corrupted sync byte");
    is_num(c.sync_losses, 0, "is no loss");
    is_num(c.continuity_errors, 0, "and no gap");

    one(0x100, 6, BAD);
    is_num(c.sync_losses, 0, "first of two");
    one(0x100, 7, BAD);
    is_num(c.sync_byte_errors, 3, "every one is counted");
    is_num(c.sync_losses, 1, "two in a row are a loss");
    one(0x100, 8, BAD);
    one(0x100, 9, BAD);
    is_num(c.sync_losses, 1, "one loss until sync is back");
    is_num(c.sync_byte_errors, 5, "still counted");

    for (i = 0; i < 4; i++) {
        one(0x100, 0, TEI);
    }

    is_num(c.transport_errors, 0, "four do not acquire");
    one(0x100, 0, BAD);

    for (i = 0; i < 4; i++) {
        one(0x100, 0, TEI);
    }

    is_num(c.transport_errors, 0, "in a row, that is");
    one(0x100, 0, TEI);
    is_num(c.transport_errors, 1, "five acquire");

    one(0x100, 14, 0);
    is_num(c.continuity_errors, 0, "continuity begins anew");

    one(0x100, 0, BAD);
    one(0x100, 0, BAD);
    is_num(c.sync_losses, 2, "a second loss");

    begin();
    memset(data, 0, sizeof(data));
    inspect(sizeof(data), 0);
    is_num(c.sync_byte_errors, 7, "no sync from the start: bytes");
    is_num(c.sync_losses, 1, "no sync from the start: a loss");
    is_num(c.continuity_errors, 0, "and nothing else");
    ok(pkt.media == NGX_MC_NO_TIME, "no time");

    begin();
    packet(data, 0x100, 0, 0);
    inspect(NGX_MC_TS_SIZE + 50, 0);
    is_num(c.sync_byte_errors, 1, "a datagram that ends early");
    inspect(0, 0);
    is_num(c.sync_byte_errors, 1, "an empty one");
    inspect(100, 0);
    is_num(c.sync_byte_errors, 2, "a short one");

    begin();
    ngx_mc_ts_dropped(&ts, 1);
    is_num(c.sync_byte_errors, 1, "dropped by the aligner: a byte");
    ngx_mc_ts_dropped(&ts, 189);
    is_num(c.sync_byte_errors, 3, "dropped by the aligner: more");
    is_num(c.sync_losses, 1, "dropped by the aligner: a loss");

    ok(ngx_mc_ts_is_aligned((u_char *) "", 0) == 0, "empty: not aligned");

    for (i = 0; i < 7; i++) {
        packet(data + i * NGX_MC_TS_SIZE, 0x100, i, 0);
    }

    ok(ngx_mc_ts_is_aligned(data, sizeof(data)), "aligned");
    ok(ngx_mc_ts_is_aligned(data, NGX_MC_TS_SIZE), "one");
    ok(!ngx_mc_ts_is_aligned(data, 187), "187 bytes");
    ok(!ngx_mc_ts_is_aligned(data + 1, 6 * NGX_MC_TS_SIZE), "shifted");
    data[0] = 0;
    ok(ngx_mc_ts_is_aligned(data, sizeof(data)), "first sync byte corrupted");
    data[6 * NGX_MC_TS_SIZE] = 0;
    ok(ngx_mc_ts_is_aligned(data, sizeof(data)), "and the last");
    ok(!ngx_mc_ts_is_aligned(data, NGX_MC_TS_SIZE), "the only one");
}


/* a constant bit rate: a datagram every 10 ms, a PCR every fourth */

#define DGRAM_TIME  (10 * MS)
#define BYTE_TIME   ((double) DGRAM_TIME / NGX_MC_TS_DATAGRAM)

static ngx_uint_t  cbr_n;
static int64_t     cbr_start;

static void
cbr(ngx_uint_t pcr, ngx_uint_t flags)
{
    ngx_uint_t  i;

    for (i = 0; i < 7; i++) {
        packet(data + i * NGX_MC_TS_SIZE, 0x1fff, 0, 0);
    }

    if (pcr) {
        pcr_packet(data + 2 * NGX_MC_TS_SIZE, 0x100, 0, flags,
                   cbr_start + (int64_t) cbr_n * DGRAM_TIME
                   + (int64_t) ((2 * NGX_MC_TS_SIZE + 10) * BYTE_TIME));
    }

    inspect(sizeof(data), 1000000 + (int64_t) cbr_n * 10000);

    cbr_n++;
}


static ngx_uint_t
near(int64_t got, int64_t expected, int64_t tolerance)
{
    int64_t  d;

    d = got - expected;

    if (got != NGX_MC_NO_TIME && d <= tolerance && d >= -tolerance) {
        return 1;
    }

    printf("#   got %lld, expected %lld, %lld apart\n", (long long) got,
           (long long) expected, (long long) d);

    return 0;
}


static void
clock_cbr(int64_t start, const char *what)
{
    int64_t     expected, last;
    ngx_uint_t  i, bad, backwards, jumps;

    begin();

    cbr_n = 0;
    cbr_start = start;
    bad = 0;
    backwards = 0;
    jumps = 0;

    for (i = 0; i < 4; i++) {
        cbr(i == 0, 0);
        bad += (pkt.media != NGX_MC_NO_TIME || pkt.discontinuity);
    }

    is_num(bad, 0, "%s: no time before two PCRs", what);

    cbr(1, 0);
    ok(near(pkt.media, start + 4 * DGRAM_TIME, 2), "%s: first time", what);
    ok(pkt.discontinuity, "%s: is flagged", what);

    bad = 0;
    last = pkt.media;

    for (i = 5; i < 500; i++) {
        cbr(i % 4 == 0, 0);

        expected = start + (int64_t) i * DGRAM_TIME;

        bad += !near(pkt.media, expected, 2);
        backwards += pkt.media < last;
        jumps += pkt.discontinuity;
        last = pkt.media;
    }

    is_num(bad, 0, "%s: time of each datagram", what);
    is_num(backwards, 0, "%s: never backwards", what);
    is_num(jumps, 0, "%s: no discontinuity", what);
}


static void
clock_jumps(void)
{
    int64_t     last;
    ngx_uint_t  i;

    clock_cbr(SECOND, "constant rate");
    clock_cbr(WRAP - SECOND, "over the wrap of 33 bits");

    /* on from datagram 500 */

    cbr_start += 10 * (int64_t) SECOND;
    cbr(0, 0);
    ok(!pkt.discontinuity, "nobody knows yet");
    cbr(1, 0);
    ok(pkt.discontinuity, "PCR jumps ahead");
    ok(near(pkt.media, (cbr_start + 501 * DGRAM_TIME) % WRAP, 2),
       "on the new time line");
    cbr(0, 0);
    ok(!pkt.discontinuity, "once");
    ok(near(pkt.media, (cbr_start + 502 * DGRAM_TIME) % WRAP, 2),
       "with the rate as it was");

    cbr(1, 0);
    cbr_start -= 2 * (int64_t) SECOND;
    cbr(0, 0);
    cbr(1, 0);
    ok(pkt.discontinuity, "PCR jumps back");
    ok(near(pkt.media, (cbr_start + 505 * DGRAM_TIME) % WRAP, 2), "there");

    cbr_start += 99 * MS - 3 * DGRAM_TIME;
    cbr(0, 0);
    cbr(0, 0);
    cbr(1, 0);
    ok(!pkt.discontinuity, "99 ms between PCRs");

    cbr(0, 0);
    cbr(0, 0);
    cbr_start += SECOND;
    cbr(1, 0);
    ok(pkt.discontinuity, "more than 100 ms, and not for the time it took");

    /* a gap in the network: time goes by, and PCR with it */

    cbr_n += 200;
    cbr(1, 0);
    ok(!pkt.discontinuity, "a gap of 2 s in the stream");
    ok(near(pkt.media, (cbr_start + 711 * DGRAM_TIME) % WRAP, 200 * MS),
       "time has gone on");

    for (i = 0; i < 8; i++) {
        cbr(i % 2, 0);
    }

    last = pkt.media;
    cbr(0, 0);
    cbr(1, DI);
    ok(pkt.discontinuity, "discontinuity_indicator");
    ok(near(pkt.media, last + 2 * DGRAM_TIME, 2), "though time is continuous");

    /* the indicator in a packet before the PCR */

    cbr(0, 0);
    packet(data, 0x100, 0, DI | AF_ONLY);
    inspect(sizeof(data), 1000000 + (int64_t) cbr_n++ * 10000);
    ok(!pkt.discontinuity, "indicator without PCR");
    cbr(1, 0);
    ok(pkt.discontinuity, "the PCR after it");
    packet(data, 0x200, 0, DI | AF_ONLY);
    inspect(sizeof(data), 1000000 + (int64_t) cbr_n++ * 10000);
    cbr(1, 0);
    ok(!pkt.discontinuity, "not if on another PID");

    /* PCRs stop */

    for (i = 0; i < 49; i++) {
        last = pkt.media;
        cbr(0, 0);

        if (pkt.media < last) {
            break;
        }
    }

    is_num(i, 49, "without PCR: not backwards");

    for (i = 0; i < 3; i++) {
        cbr(0, 0);
    }

    last = pkt.media;
    cbr(0, 0);
    ok(near(pkt.media - last, DGRAM_TIME, 2), "origin time after 500 ms");
    ok(near(pkt.media, (cbr_start + (int64_t) (cbr_n - 1) * DGRAM_TIME)
                       % WRAP, 10 * MS), "at its right value");
    cbr(1, 0);
    ok(!pkt.discontinuity, "PCRs come back");

    ngx_mc_ts_reset(&ts);
    cbr(1, 0);
    ok(pkt.media == NGX_MC_NO_TIME, "a new connection");
}


static void
clock_pids(void)
{
    int64_t     last;
    ngx_uint_t  i, bad;

    begin();
    cbr_n = 0;
    cbr_start = SECOND;

    for (i = 0; i < 20; i++) {
        cbr(1, 0);
    }

    bad = 0;

    for (i = 0; i < 20; i++) {
        last = pkt.media;
        packet(data + 2 * NGX_MC_TS_SIZE, 0x1fff, 0, 0);
        pcr_packet(data, 0x200, 0, 0, 5000 * (int64_t) SECOND);
        inspect(sizeof(data), 1000000 + (int64_t) cbr_n++ * 10000);
        cbr(1, 0);
        bad += !near(pkt.media, last + 2 * DGRAM_TIME, 2);
        bad += pkt.discontinuity;
    }

    is_num(bad, 0, "PCRs of another PID are not looked at");

    cbr_n += 99;               /* 1 s after the last one */

    packet(data + 2 * NGX_MC_TS_SIZE, 0x1fff, 0, 0);
    pcr_packet(data, 0x200, 0, 0, 5000 * (int64_t) SECOND);
    inspect(sizeof(data), 1000000 + (int64_t) cbr_n * 10000);
    ok(!pkt.discontinuity, "still not after 1 s");

    cbr_n++;

    pcr_packet(data, 0x200, 0, 0, 5000 * (int64_t) SECOND);
    inspect(sizeof(data), 1000000 + (int64_t) cbr_n * 10000);
    ok(pkt.discontinuity, "another PID after more than 1 s");
    ok(near(pkt.media, 5000 * (int64_t) SECOND - 10 * BYTE_TIME, 2),
       "its time");
}


static void
clock_edges(void)
{
    int64_t     first, last;
    ngx_uint_t  i;

    /* byte 10 is the one whose time a PCR is; ext counts */

    begin();
    pcr_packet(data, 0x100, 0, 0, 1000 * 300 + 299);
    pcr_packet(data + NGX_MC_TS_SIZE, 0x100, 0, 0, 1000 * 300 + 299 + 1880);
    inspect(2 * NGX_MC_TS_SIZE, 0);
    is_num(pkt.media, 1000 * 300 + 299 - 100, "two PCRs in a datagram");
    ok(pkt.discontinuity, "flagged");

    packet(data, 0x1fff, 0, 0);
    inspect(NGX_MC_TS_SIZE, 0);
    is_num(pkt.media, 1000 * 300 + 299 + 1880 + 1780, "the next byte");

    /* an equal PCR is no rate, and no jump */

    begin();
    pcr_packet(data, 0x100, 0, 0, SECOND);
    pcr_packet(data + NGX_MC_TS_SIZE, 0x100, 0, 0, SECOND);
    inspect(2 * NGX_MC_TS_SIZE, 0);
    ok(pkt.media == NGX_MC_NO_TIME, "equal PCRs: no time");

    /* a length that has no room for the PCR it announces */

    begin();

    for (i = 0; i < 7; i++) {
        pcr_packet(data + i * NGX_MC_TS_SIZE, 0x100, 0, 0,
                   SECOND + i * MS);
        data[i * NGX_MC_TS_SIZE + 4] = 6;
    }

    inspect(sizeof(data), 0);
    ok(pkt.media == NGX_MC_NO_TIME, "adaptation field too short for a PCR");

    for (i = 0; i < 7; i++) {
        data[i * NGX_MC_TS_SIZE + 4] = 184;
    }

    inspect(sizeof(data), 0);
    ok(pkt.media == NGX_MC_NO_TIME, "adaptation field too long");

    for (i = 0; i < 7; i++) {
        data[i * NGX_MC_TS_SIZE + 4] = 183;
    }

    inspect(sizeof(data), 0);
    ok(pkt.media != NGX_MC_NO_TIME, "adaptation field without payload");

    /* a burst: time does not run ahead of the next PCR by more than one */

    begin();
    cbr_n = 0;
    cbr_start = SECOND;

    for (i = 0; i < 9; i++) {
        cbr(i % 4 == 0, 0);
    }

    first = pkt.media;
    last = first;

    for (i = 0; i < 1000; i++) {
        cbr_n = 9;
        cbr(0, 0);

        if (pkt.media < last) {
            break;
        }

        last = pkt.media;
    }

    is_num(i, 1000, "a burst: not backwards");
    ok(last - first <= 44 * MS, "a burst: bounded");

    cbr_n = 12;
    cbr(1, 0);
    ok(!pkt.discontinuity && pkt.media >= last, "a burst: PCR after it");

    /* jumps for ever: no overflow */

    begin();
    cbr_n = 0;

    for (i = 0; i < 1000; i++) {
        cbr_start = (int64_t) (i % 2) * (WRAP / 2 - 1);
        cbr(1, 0);
    }

    ok(pkt.media == NGX_MC_NO_TIME || pkt.media < WRAP, "jumps for ever");
}


static void
emit(void *ctx, ngx_mc_packet_t *p)
{
    out_odd += (p->len == 0 || p->len % NGX_MC_TS_SIZE
                || p->len > NGX_MC_TS_DATAGRAM);

    if (out_len + p->len <= sizeof(out)) {
        memcpy(out + out_len, p->data, p->len);
        out_len += p->len;
    }

    out_largest = ngx_max(out_largest, p->len);
    out_origin = p->origin;
    out_n++;

    if (reset_in_emit) {
        ngx_mc_ts_align_reset(&align);
    }
}


static size_t
feed(u_char *p, size_t len, int64_t origin)
{
    size_t           n;
    u_char          *copy;
    ngx_mc_packet_t  in;

    /* of just that size: ASan sees what lies beyond */

    copy = malloc(len ? len : 1);
    memcpy(copy, p, len);

    memset(&in, 0, sizeof(in));
    in.data = copy;
    in.len = len;
    in.origin = origin;

    n = ngx_mc_ts_align(&align, &in, emit, NULL);

    free(copy);

    return n;
}


static void
align_begin(void)
{
    ngx_mc_ts_align_reset(&align);

    out_len = 0;
    out_largest = 0;
    out_n = 0;
    out_odd = 0;
}


static void
aligner(void)
{
    size_t      i, n, dropped, worst, size;
    uint32_t    seed;
    ngx_uint_t  bad, late, round;

    srand(1);

    for (i = 0; i < sizeof(stream); i++) {
        stream[i] = rand();

        if (i % NGX_MC_TS_SIZE == 0) {
            stream[i] = 0x47;
        }
    }

    memset(&align, 0, sizeof(align));

    align_begin();
    feed(stream, sizeof(data), 5);
    is_num(out_n, 1, "an aligned message passes");
    is_num(out_len, sizeof(data), "as it is");
    is_num(out_origin, 5, "with its origin");

    align_begin();
    feed(stream, 14 * NGX_MC_TS_SIZE, 0);
    is_num(out_n, 2, "a long one in datagrams of seven");
    is_num(out_largest, sizeof(data), "that are full");

    /* all sizes, all at once or not */

    bad = 0;
    late = 0;

    for (size = 1; size <= 1500; size += (size < 400) ? 1 : 37) {
        align_begin();
        dropped = 0;

        for (i = 0; i < sizeof(stream); i += n) {
            n = ngx_min(size, sizeof(stream) - i);
            dropped += feed(stream + i, n, i);

            /* after the first three sync bytes nothing whole is kept */

            late += (i + n > 2 * NGX_MC_TS_SIZE
                     && out_len / NGX_MC_TS_SIZE != (i + n) / NGX_MC_TS_SIZE);
        }

        bad += (dropped || out_odd || out_len != sizeof(stream)
                || memcmp(stream, out, sizeof(stream)) != 0);
    }

    is_num(bad, 0, "byte for byte, cut at every size");
    is_num(late, 0, "whole packets leave with the message that ends them");

    bad = 0;
    seed = 12345;

    for (round = 0; round < 200; round++) {
        align_begin();
        dropped = 0;

        for (i = 0; i < sizeof(stream); i += n) {
            seed = seed * 1103515245 + 12345;
            n = ngx_min((seed >> 16) % 1457, sizeof(stream) - i);
            dropped += feed(stream + i, n, i);
        }

        bad += (dropped || out_odd || out_len != sizeof(stream)
                || memcmp(stream, out, sizeof(stream)) != 0);
    }

    is_num(bad, 0, "byte for byte, cut at random");

    /* from the middle */

    bad = 0;

    for (i = 1; i < NGX_MC_TS_SIZE; i++) {
        align_begin();
        dropped = 0;

        for (n = i; n + 1316 < sizeof(stream); n += 1316) {
            dropped += feed(stream + n, 1316, 0);
        }

        bad += (dropped != NGX_MC_TS_SIZE - i || out_odd
                || memcmp(stream + NGX_MC_TS_SIZE, out, out_len) != 0
                || out_len < sizeof(stream) - 2 * 1316);
    }

    is_num(bad, 0, "begins anywhere in a packet");

    /* corrupted sync bytes are passed on, one at a time */

    stream[50 * NGX_MC_TS_SIZE] = 0;
    stream[52 * NGX_MC_TS_SIZE] = 0;

    bad = 0;

    for (size = 1; size <= 1500; size += (size < 400) ? 1 : 37) {
        align_begin();
        dropped = 0;

        for (i = 0; i < sizeof(stream); i += n) {
            n = ngx_min(size, sizeof(stream) - i);
            dropped += feed(stream + i, n, i);
        }

        bad += (dropped || out_odd || out_len != sizeof(stream)
                || memcmp(stream, out, sizeof(stream)) != 0);
    }

    is_num(bad, 0, "byte for byte, with corrupted sync bytes");

    stream[50 * NGX_MC_TS_SIZE] = 0x47;
    stream[52 * NGX_MC_TS_SIZE] = 0x47;

    /* a message is missing */

    align_begin();
    dropped = 0;

    for (i = 0; i + 1000 <= sizeof(stream); i += 1000) {
        if (i != 20000) {
            dropped += feed(stream + i, 1000, 0);
        }
    }

    ok(dropped > 0 && dropped < 2 * NGX_MC_TS_SIZE,
       "a missing message costs less than two packets");
    ok(memcmp(stream, out, 106 * NGX_MC_TS_SIZE) == 0, "none before it");
    ok(memcmp(stream + i - i % NGX_MC_TS_SIZE - 200 * NGX_MC_TS_SIZE,
              out + out_len - 200 * NGX_MC_TS_SIZE,
              200 * NGX_MC_TS_SIZE) == 0, "none after it");

    /* origin of a datagram is that of its first byte */

    align_begin();
    feed(stream, 1316 + 100, 10);
    is_num(out_origin, 10, "origin of the first");
    feed(stream + 1416, 88, 20);
    is_num(out_origin, 10, "origin of one that was begun before");
    is_num(out_len, 8 * NGX_MC_TS_SIZE, "as soon as it is whole");
    feed(stream + 1504, 1316, 30);
    is_num(out_origin, 30, "origin of the next");

    /* garbage */

    align_begin();
    memset(data, 0x00, sizeof(data));
    dropped = 0;

    for (i = 0; i < 100; i++) {
        dropped += feed(data, sizeof(data), 0);
    }

    is_num(dropped, 100 * sizeof(data), "garbage is dropped");
    is_num(out_n, 0, "all of it");
    feed(stream, 1316, 0);
    is_num(out_len, 1316, "and a stream after it is found");

    worst = 0;
    align_begin();

    for (i = 0; i < 10000; i++) {
        for (n = 0; n < sizeof(data); n++) {
            data[n] = (rand() & 3) ? rand() : 0x47;
        }

        feed(data, rand() % sizeof(data), 0);
        worst = ngx_max(worst, align.len);
    }

    ok(worst < sizeof(align.buf), "never full");
    is_num(out_odd, 0, "whole packets from noise");

    /* emit() may reset */

    align_begin();
    reset_in_emit = 1;

    for (i = 0; i + 1400 < sizeof(stream); i += 1400) {
        feed(stream + i, 1400, 0);
    }

    reset_in_emit = 0;
    ok(out_n > 0, "reset in emit");
}


int
main(void)
{
    continuity();
    transport();
    sync_bytes();
    clock_jumps();
    clock_pids();
    clock_edges();
    aligner();

    return shim_done();
}
