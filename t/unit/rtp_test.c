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


static u_char                 buf[2048];
static ngx_mc_packet_t        pkt;
static ngx_mc_rtp_counters_t  c;
static ngx_mc_rtp_reorder_t  *r;
static ngx_pool_t            *pool;

/* what was emitted */
static char                   seqs[65536 * 8];
static size_t                 seqs_len;
static ngx_uint_t             emitted, corrupted, reset_at;
static int32_t                last_seq;
static ngx_uint_t             steps_back;


/* a header and n TS packets, in a block of just that size */

static ngx_int_t
parse(const u_char *header, size_t len, ngx_uint_t n, const u_char *tail,
    size_t tail_len, ngx_uint_t *pt)
{
    size_t      i;
    ngx_int_t   rc;

    static u_char  *p;

    free(p);

    p = malloc(len + n * 188 + tail_len + 1);

    memcpy(p, header, len);
    memset(p + len, 0xff, n * 188);

    for (i = 0; i < n; i++) {
        p[len + i * 188] = 0x47;
    }

    if (tail_len) {
        memcpy(p + len + n * 188, tail, tail_len);
    }

    p = realloc(p, len + n * 188 + tail_len);

    memset(&pkt, 0, sizeof(pkt));
    pkt.origin = 42;
    pkt.media = 43;

    rc = ngx_mc_rtp_parse(p, len + n * 188 + tail_len, &pkt, pt);

    if (rc != NGX_OK) {
        ok(pkt.data == NULL && pkt.rtp == NULL && pkt.len == 0,
           "packet is not changed");

    } else {
        ok(pkt.rtp == p && pkt.rtp_len == len + n * 188 + tail_len
           && pkt.data == p + len && pkt.len == n * 188
           && pkt.origin == 42 && pkt.media == 43,
           "packet is filled in");
    }

    return rc;
}


static void
header(void)
{
    ngx_uint_t  pt;

    static const u_char  plain[] = {
        0x80, 0x21, 0xfe, 0xdc, 0x89, 0xab, 0xcd, 0xef,
        0xf1, 0xe2, 0xd3, 0xc4
    };

    static const u_char  marker[] = {
        0x80, 0xe0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3
    };

    static const u_char  csrc[] = {
        0x82, 0x21, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3,
        1, 1, 1, 1, 2, 2, 2, 2
    };

    static const u_char  extension[] = {
        0x91, 0x21, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3,
        1, 1, 1, 1,
        0xbe, 0xde, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8
    };

    static const u_char  empty_extension[] = {
        0x90, 0x21, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3,
        0xbe, 0xde, 0, 0
    };

    static const u_char  long_extension[] = {
        0x90, 0x21, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3,
        0xbe, 0xde, 0xff, 0xff
    };

    static const u_char  padding[] = {
        0xa0, 0x21, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3
    };

    static const u_char  padding4[] = { 0, 0, 0, 4 };
    static const u_char  padding0[] = { 0 };
    static const u_char  padding200[] = { 200 };
    static const u_char  padding188[] = { 188 };

    static const u_char  sr[] = {
        0x80, 0xc8, 0, 6, 0, 0, 0, 1
    };

    static const u_char  nack[] = {
        0x81, 0xcd, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0
    };

    static const u_char  pt77[] = {
        0x80, 0xcd, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3
    };

    is_num(parse(plain, 12, 7, NULL, 0, &pt), NGX_OK, "plain header");
    is_num(pt, 33, "payload type");
    is_num(pkt.seq, 0xfedc, "sequence number");
    is_num(pkt.rtp_timestamp, 0x89abcdef, "timestamp");
    is_num(pkt.ssrc, 0xf1e2d3c4, "SSRC");

    is_num(parse(plain, 12, 1, NULL, 0, NULL), NGX_OK, "one TS packet");
    is_num(parse(marker, 12, 3, NULL, 0, &pt), NGX_OK, "marker");
    is_num(pt, 96, "dynamic payload type");

    is_num(parse(csrc, 20, 7, NULL, 0, NULL), NGX_OK, "CSRCs");
    is_num(parse(csrc, 19, 0, NULL, 0, NULL), NGX_MC_RTP_TRUNCATED,
           "CSRCs cut");
    is_num(parse(extension, 28, 7, NULL, 0, NULL), NGX_OK,
           "CSRC and extension");
    is_num(parse(extension, 27, 0, NULL, 0, NULL), NGX_MC_RTP_TRUNCATED,
           "extension cut");
    is_num(parse(extension, 19, 0, NULL, 0, NULL), NGX_MC_RTP_TRUNCATED,
           "extension header cut");
    is_num(parse(empty_extension, 16, 7, NULL, 0, NULL), NGX_OK,
           "empty extension");
    is_num(parse(long_extension, 16, 7, NULL, 0, NULL),
           NGX_MC_RTP_TRUNCATED, "extension beyond the datagram");

    is_num(parse(padding, 12, 7, padding4, 4, NULL), NGX_OK, "padding");
    is_num(parse(padding, 12, 1, padding0, 1, NULL), NGX_MC_RTP_PADDING,
           "padding of none");
    is_num(parse(padding, 12, 1, padding200, 1, NULL), NGX_MC_RTP_PADDING,
           "padding beyond the payload");
    is_num(parse(padding, 12, 1, padding188, 1, NULL), NGX_MC_RTP_PAYLOAD,
           "padding over sync");
    is_num(parse(padding, 12, 0, NULL, 0, NULL), NGX_MC_RTP_PADDING,
           "padding without payload");

    is_num(parse(plain, 12, 0, NULL, 0, NULL), NGX_MC_RTP_PAYLOAD,
           "no payload");
    is_num(parse(plain, 12, 1, padding4, 4, NULL), NGX_MC_RTP_PAYLOAD,
           "not n x 188");
    is_num(parse(plain, 11, 0, NULL, 0, NULL), NGX_MC_RTP_SHORT, "11 bytes");
    is_num(parse(plain, 1, 0, NULL, 0, NULL), NGX_MC_RTP_SHORT, "a byte");
    is_num(parse(plain, 0, 0, NULL, 0, NULL), NGX_MC_RTP_SHORT, "empty");
    is_num(parse((u_char *) "\x47\x21\0\1\0\0\0\2\0\0\0\3", 12, 7, NULL, 0,
                 NULL),
           NGX_MC_RTP_VERSION, "version 1");
    is_num(parse((u_char *) "\0\x21\0\1\0\0\0\2\0\0\0\3", 12, 7, NULL, 0,
                 NULL),
           NGX_MC_RTP_VERSION, "version 0");
    is_num(parse((u_char *) "\xc0\x21\0\1\0\0\0\2\0\0\0\3", 12, 7, NULL, 0,
                 NULL),
           NGX_MC_RTP_VERSION, "version 3");

    is_num(parse(sr, 8, 0, NULL, 0, NULL), NGX_MC_RTP_RTCP,
           "RTCP sender report");
    is_num(parse(nack, 16, 0, NULL, 0, NULL), NGX_MC_RTP_RTCP,
           "RTCP feedback");
    is_num(parse(pt77, 12, 7, NULL, 0, NULL), NGX_OK,
           "that payload type with TS");
    is_num(parse((u_char *) "\x80\xc8\0\1\0\0\0\2\0\0\0\3", 12, 7, NULL, 0,
                 NULL),
           NGX_MC_RTP_RTCP, "72 is never a payload type");

    ok(strlen(ngx_mc_rtp_reason(NGX_MC_RTP_PAYLOAD)) > 0, "reason");
}


static void
writer(void)
{
    ngx_uint_t  pt;

    memset(buf, 0xee, sizeof(buf));
    ngx_mc_rtp_write(buf, 96, 0x8001, 0xdeadbeef, 0xcafebabe);

    ok(memcmp(buf, "\x80\x60\x80\x01\xde\xad\xbe\xef\xca\xfe\xba\xbe\xee",
              13) == 0, "header");

    buf[12] = 0x47;
    is_num(ngx_mc_rtp_parse(buf, 200, &pkt, &pt), NGX_OK, "and back");
    is_num(pt, 96, "pt");
    is_num(pkt.seq, 0x8001, "seq");
    is_num(pkt.rtp_timestamp, 0xdeadbeef, "timestamp");
    is_num(pkt.ssrc, 0xcafebabe, "ssrc");

    is_num(ngx_mc_rtp_timestamp(0), 0, "0");
    is_num(ngx_mc_rtp_timestamp(299), 0, "under a tick");
    is_num(ngx_mc_rtp_timestamp(300), 1, "a tick");
    is_num(ngx_mc_rtp_timestamp(27000000), 90000, "a second");
    is_num(ngx_mc_rtp_timestamp(((int64_t) 1 << 32) * 300), 0, "wraps");
    is_num(ngx_mc_rtp_timestamp(((int64_t) 1 << 33) * 300 + 900), 3,
           "as a PCR wraps");
    is_num(ngx_mc_rtp_timestamp(-1), 0xffffffff, "just before zero");
    is_num(ngx_mc_rtp_timestamp(-300), 0xffffffff, "a tick before zero");
    is_num(ngx_mc_rtp_timestamp(-301), 0xfffffffe, "more before zero");
}


static void
jitter(void)
{
    ngx_uint_t            i;
    ngx_mc_rtp_transit_t  t;

    memset(&c, 0, sizeof(c));
    memset(&t, 0, sizeof(t));
    memset(&pkt, 0, sizeof(pkt));

    /* 40 ms apart, no jitter, over the wrap of the timestamp */

    for (i = 0; i < 1000; i++) {
        pkt.origin = 123456789000 + (int64_t) i * 40000;
        pkt.rtp_timestamp = 0xffff0000 + i * 3600;
        ngx_mc_rtp_jitter(&t, &c, &pkt);
    }

    is_num(c.jitter, 0, "no jitter");

    /* each second packet 10 ms late: D is 900 each time, and J goes there */

    for (i = 0; i < 1000; i++) {
        pkt.origin += 40000 + (i % 2 ? 10000 : -10000);
        pkt.rtp_timestamp += 3600;
        ngx_mc_rtp_jitter(&t, &c, &pkt);

        if (i == 0) {
            is_num(c.jitter, 900, "the first step is D, in sixteenths");
        }
    }

    ok(ngx_mc_rtp_jitter_ms(&c) > 9.9 && ngx_mc_rtp_jitter_ms(&c) < 10.1,
       "10 ms");

    pkt.rtp_timestamp += 0x80000000;
    ngx_mc_rtp_jitter(&t, &c, &pkt);
    ok(ngx_mc_rtp_jitter_ms(&c) < 10.1, "a new time base is no jitter");
}


static void
emit(void *ctx, ngx_mc_packet_t *p)
{
    emitted++;

    if (seqs_len + 8 < sizeof(seqs)) {
        seqs_len += sprintf(seqs + seqs_len, "%s%u", seqs_len ? " " : "",
                            p->seq);
    }

    corrupted += (p->len != 188 || p->rtp == NULL
                  || (p->data[1] << 8 | p->data[2]) != p->seq
                  || p->data != p->rtp + 12);

    if (last_seq >= 0 && (int16_t) (p->seq - last_seq) <= 0) {
        steps_back++;
    }

    last_seq = p->seq;

    if (reset_at && emitted == reset_at) {
        ngx_mc_rtp_reorder_reset(r);
    }
}


static ngx_int_t
push_at(uint32_t ssrc, uint16_t seq, int64_t now, int64_t origin)
{
    ngx_int_t  rc;

    ngx_mc_rtp_write(buf, 33, seq, origin * 9 / 100, ssrc);

    memset(buf + 12, 0xff, 188);
    buf[12] = 0x47;
    buf[13] = seq >> 8;
    buf[14] = seq & 0xff;

    memset(&pkt, 0, sizeof(pkt));
    pkt.origin = origin;

    rc = ngx_mc_rtp_parse(buf, 200, &pkt, NULL);
    if (rc != NGX_OK) {
        abort();
    }

    rc = ngx_mc_rtp_reorder_push(r, &pkt, now, emit, NULL);

    /* bytes that are borrowed do not outlive the call */
    memset(buf, 0xcc, 200);

    return rc;
}


static ngx_int_t
push(uint16_t seq, int64_t now)
{
    return push_at(1, seq, now, now);
}


static void
begin(ngx_msec_t buffer, ngx_uint_t constant)
{
    if (r) {
        ngx_mc_rtp_reorder_reset(r);
    }

    memset(&c, 0, sizeof(c));
    seqs_len = 0;
    seqs[0] = '\0';
    emitted = 0;
    corrupted = 0;
    steps_back = 0;
    last_seq = -1;
    reset_at = 0;

    r = ngx_mc_rtp_reorder_create(pool, buffer, constant, &c);
}


static ngx_uint_t
expire(int64_t now)
{
    return ngx_mc_rtp_reorder_expire(r, now, emit, NULL);
}


#define gone(what)  is_c(seqs, what, "emitted %s", what)


static void
order(void)
{
    begin(50, 0);
    is_num(push(65534, 0), NGX_OK, "in order");
    push(65535, 1000);
    push(0, 2000);
    push(1, 3000);
    gone("65534 65535 0 1");
    is_num(expire(3000), 0, "nothing held");
    ok(ngx_mc_rtp_reorder_deadline(r) == NGX_MC_NO_TIME, "no deadline");
    is_num(c.packets, 4, "packets");
    is_num(c.lost_packets, 0, "lost");

    /* out of order over the wrap */

    begin(50, 0);
    push(65533, 0);
    push(65535, 1000);
    push(0, 2000);
    gone("65533");
    is_num(expire(50999), 2, "held");
    is_num(ngx_mc_rtp_reorder_deadline(r), 51000, "deadline");
    is_num(push(65534, 51000 - 1), NGX_OK, "late, within the buffer");
    gone("65533 65534 65535 0");
    is_num(c.reordered_packets, 1, "reordered");
    is_num(c.lost_packets, 0, "not lost");
    is_num(c.packets, 4, "packets");
    is_num(expire(99999999), 0, "nothing held");

    /* a gap */

    begin(50, 0);
    push(10, 0);
    push(13, 1000);
    push(14, 2000);
    expire(50999);
    gone("10");
    is_num(expire(51000), 0, "time is up");
    gone("10 13 14");
    is_num(c.lost_packets, 2, "two lost");
    is_num(c.unrecovered_packets, 2, "and not recovered");
    is_num(push(11, 52000), NGX_MC_RTP_LATE, "too late");
    is_num(c.lost_packets, 2, "still lost");
    is_num(c.packets, 3, "packets");
    is_num(c.duplicate_packets, 0, "not a duplicate");
    push(15, 53000);
    gone("10 13 14 15");

    /* the next packet releases as well */

    begin(50, 0);
    push(10, 0);
    push(12, 0);
    push(13, 60000);
    gone("10 12 13");

    /* two gaps */

    begin(50, 0);
    push(1, 0);
    push(3, 10000);
    push(5, 20000);
    is_num(expire(60000), 1, "the second gap waits for itself");
    gone("1 3");
    is_num(expire(69999), 1, "still");
    is_num(expire(70000), 0, "until its time");
    gone("1 3 5");
    is_num(c.lost_packets, 2, "lost");

    /* a gap within a gap: 5 does not make 4's wait longer */

    begin(50, 0);
    push(1, 0);
    push(4, 10000);
    push(3, 30000);
    expire(59999);
    gone("1");
    expire(60000);
    gone("1 3 4");
    is_num(c.reordered_packets, 1, "reordered");
    is_num(c.lost_packets, 1, "lost");

    /* duplicates */

    begin(50, 0);
    push(1, 0);
    is_num(push(1, 0), NGX_MC_RTP_DUPLICATE, "of the last");
    push(2, 0);
    is_num(push(1, 0), NGX_MC_RTP_DUPLICATE, "of one before");
    push(4, 0);
    is_num(push(4, 0), NGX_MC_RTP_DUPLICATE, "of one that is held");
    is_num(push(2, 0), NGX_MC_RTP_DUPLICATE, "of one before the gap");
    push(3, 0);
    is_num(push(3, 0), NGX_MC_RTP_DUPLICATE, "of one that came late");
    gone("1 2 3 4");
    is_num(c.duplicate_packets, 5, "counted");
    is_num(c.packets, 4, "only as that");

    /* no buffer */

    begin(0, 0);
    push(1, 0);
    push(3, 0);
    is_num(push(2, 0), NGX_MC_RTP_LATE, "no buffer: late");
    push(4, 0);
    gone("1 3 4");
    is_num(c.lost_packets, 1, "no buffer: lost");

    is_num(corrupted, 0, "packets are whole");
}


static void
constant(void)
{
    begin(50, 1);
    push(1, 0);
    push(2, 10000);
    gone("");
    is_num(expire(49999), 2, "held");
    is_num(ngx_mc_rtp_reorder_deadline(r), 50000, "deadline");
    expire(50000);
    gone("1");
    expire(59999);
    gone("1");
    is_num(expire(60000), 0, "none held");
    gone("1 2");

    push(4, 70000);
    push(3, 80000);
    is_num(expire(119999), 2, "reordered: held");
    expire(120000);
    gone("1 2 3 4");
    is_num(c.reordered_packets, 1, "reordered");

    push_at(1, 6, 200000, 190000);
    expire(239999);
    gone("1 2 3 4");
    expire(240000);
    gone("1 2 3 4 6");
    is_num(c.lost_packets, 1, "lost when its time has come");

    push_at(1, 7, 300000, 100000);
    gone("1 2 3 4 6 7");

    is_num(corrupted, 0, "packets are whole");
}


static void
restart(void)
{
    ngx_uint_t  i;

    /* RFC 3550, A.1: 2999 ahead is a gap, 3000 ahead is not */

    begin(50, 0);
    push(1000, 0);
    is_num(push(1000 + 2999, 0), NGX_OK, "MAX_DROPOUT - 1");
    expire(50000);
    is_num(c.lost_packets, 2998, "lost");
    gone("1000 3999");

    begin(50, 0);
    push(1000, 0);
    is_num(push(4000, 0), NGX_MC_RTP_JUMP, "MAX_DROPOUT");
    is_num(push(4000, 0), NGX_MC_RTP_JUMP, "the same again");
    is_num(push(4002, 0), NGX_MC_RTP_JUMP, "not sequential");
    is_num(push(1001, 0), NGX_OK, "the sender goes on");
    is_num(push(4003, 0), NGX_MC_RTP_JUMP, "not in a row");
    is_num(push(4004, 0), NGX_MC_RTP_RESTARTED, "two sequential: restart");
    is_num(push(4005, 0), NGX_OK, "goes on");
    gone("1000 1001 4003 4004 4005");
    is_num(c.lost_packets, 0, "nothing lost");
    is_num(c.packets, 5, "packets");

    /* 99 back is late, though never seen; far back is a restart */

    begin(50, 0);
    push(200, 0);
    is_num(push(200 - 99, 0), NGX_MC_RTP_LATE, "MAX_MISORDER - 1");
    is_num(push(40000, 0), NGX_MC_RTP_JUMP, "half way round");
    is_num(push(40001, 0), NGX_MC_RTP_RESTARTED, "restart there");
    gone("200 40000 40001");

    /* a sender that begins anew a little back, at once: its packets are
       taken for copies until it is clear that nothing else comes */

    begin(50, 0);

    for (i = 0; i < 500; i++) {
        push(i, i * 100);
    }

    is_num(push(100, 50000), NGX_MC_RTP_DUPLICATE, "a long lag");
    is_num(push(101, 90000), NGX_MC_RTP_DUPLICATE, "still");
    is_num(push(102, 120000), NGX_MC_RTP_JUMP, "no more");
    is_num(push(103, 120100), NGX_MC_RTP_RESTARTED, "restart");

    /* after silence at once */

    begin(50, 0);
    push(500, 0);
    push(498, 0);
    is_num(push(450, 1000001), NGX_MC_RTP_RESTARTED, "after silence");
    is_num(push(20000, 3000000), NGX_MC_RTP_RESTARTED, "after silence, far");
    gone("500 450 20000");

    /* held ones leave before the restart */

    begin(50, 0);
    push(1, 0);
    push(3, 0);
    push(40000, 0);
    push(40001, 0);
    gone("1 3 40000 40001");
    is_num(c.lost_packets, 1, "the gap before is lost");

    begin(50, 1);
    push(1, 0);
    push(40000, 10);
    push(40001, 10);
    gone("1");
    expire(60000);
    gone("1 40000 40001");
    is_num(corrupted, 0, "packets are whole");
}


static void
ssrc(void)
{
    begin(50, 0);
    push_at(1, 10, 0, 0);
    is_num(push_at(2, 500, 0, 0), NGX_MC_RTP_FOREIGN, "foreign");
    is_num(push_at(1, 11, 0, 0), NGX_OK, "ours");
    is_num(push_at(2, 501, 0, 0), NGX_MC_RTP_FOREIGN, "one of ours between");
    is_num(push_at(3, 502, 0, 0), NGX_MC_RTP_FOREIGN, "of a third");
    is_num(push_at(2, 503, 0, 0), NGX_MC_RTP_FOREIGN, "not consecutive");
    is_num(push_at(2, 505, 0, 0), NGX_MC_RTP_FOREIGN, "not in sequence");
    is_num(push_at(2, 506, 0, 0), NGX_MC_RTP_RESTARTED, "takes over");
    is_num(push_at(2, 507, 0, 0), NGX_OK, "is ours now");
    is_num(push_at(1, 12, 0, 0), NGX_MC_RTP_FOREIGN, "the old is foreign");
    gone("10 11 505 506 507");
    is_num(c.packets, 5, "packets");
    is_num(c.lost_packets, 0, "lost");

    is_num(push_at(7, 65535, 1000000, 0), NGX_MC_RTP_FOREIGN, "1 s");
    is_num(push_at(8, 3, 1000001, 0), NGX_MC_RTP_RESTARTED,
           "more than 1 s of silence");
    is_num(push_at(7, 0, 1000002, 0), NGX_MC_RTP_FOREIGN,
           "no memory of the one before");

    /* two senders in turn: the first stays */

    begin(50, 0);
    gone("");
    push_at(1, 1, 0, 0);
    push_at(2, 1, 0, 0);
    push_at(1, 2, 0, 0);
    push_at(2, 2, 0, 0);
    push_at(1, 3, 0, 0);
    push_at(2, 3, 0, 0);
    gone("1 2 3");

    /* over the wrap */

    begin(50, 0);
    push_at(1, 1, 0, 0);
    push_at(2, 65535, 0, 0);
    is_num(push_at(2, 0, 0, 0), NGX_MC_RTP_RESTARTED, "over the wrap");
    gone("1 65535 0");
    is_num(corrupted, 0, "packets are whole");
}


static void
attack(void)
{
    int64_t     now;
    ngx_uint_t  i, worst;

    srand(2);

    begin(50, 0);
    worst = 0;
    now = 0;

    for (i = 0; i < 200000; i++) {
        now += rand() % 100;
        push_at(1 + rand() % 3, rand(), now, now);
        worst = ngx_max(worst, packets_held);
    }

    ok(worst <= 1024 + 1, "random sequence numbers: bounded");
    is_num(corrupted, 0, "packets are whole");

    /* nothing is ever expired: every second one missing */

    begin(50, 0);
    worst = 0;

    for (i = 0; i < 20000; i++) {
        push(i * 2, 0);
        worst = ngx_max(worst, packets_held);
    }

    ok(worst <= 1024, "every second missing: bounded");
    is_num(steps_back, 0, "in order");
    expire(1000000);
    is_num(emitted, 20000, "all of them");
    is_num(c.lost_packets, 19999, "lost");

    /* 2900 ahead each time */

    begin(50, 0);

    for (i = 0; i < 20000; i++) {
        push(i * 2900, 0);
    }

    is_num(steps_back, 0, "leaps: in order");
    expire(1000000);
    is_num(emitted, 20000, "leaps: all of them");
    is_num(c.lost_packets, 19999 * 2899, "leaps: lost");

    /* shuffled, 1 % lost, 1 % twice */

    begin(50, 0);
    now = 0;

    {
        uint16_t    order[20], t;
        ngx_uint_t  j, k, lost, twice;

        lost = 0;
        twice = 0;

        for (i = 0; i < 200000; i += 20) {

            for (j = 0; j < 20; j++) {
                order[j] = i + j;
            }

            for (j = 1; j < 19; j++) {
                k = 1 + rand() % 18;
                t = order[j];
                order[j] = order[k];
                order[k] = t;
            }

            for (j = 0; j < 20; j++) {
                now += 100;

                if (j && j < 19 && rand() % 100 == 0) {
                    lost++;
                    continue;
                }

                push(order[j], now);

                if (rand() % 100 == 0) {
                    push(order[j], now);
                    twice++;
                }
            }

            expire(now);
        }

        expire(now + 50000);

        is_num(c.lost_packets, lost, "shuffled: lost");
        is_num(c.duplicate_packets, twice, "shuffled: twice");
        is_num(c.packets, 200000 - lost, "shuffled: packets");
        is_num(emitted, 200000 - lost, "shuffled: all of them");
        is_num(steps_back, 0, "shuffled: in order");
    }

    /* reset while emitting */

    for (i = 1; i < 6; i++) {
        begin(50, i % 2);
        reset_at = i;
        push(1, 0);
        push(3, 0);
        push(4, 0);
        push(6, 0);
        expire(100000);
        push(40000, 100000);
        push(40001, 100000);
        push(40003, 100000);
        expire(200000);
    }

    ngx_mc_rtp_reorder_reset(r);
    is_num(packets_held, 0, "reset releases all");

    /* out of memory */

    begin(50, 0);
    push(1, 0);
    shim_fail_alloc(1);
    is_num(push(3, 0), NGX_ERROR, "no memory for the slots");
    shim_fail_alloc(2);
    is_num(push(4, 0), NGX_ERROR, "no memory for the packet");
    shim_fail_alloc(0);
    push(5, 0);
    push(2, 0);
    expire(50000);
    gone("1 2 5");
    is_num(c.lost_packets, 2, "lost");
    is_num(c.packets, 3, "packets");

    /* a large buffer, a large ring; the largest is bounded */

    begin(500, 0);
    push(0, 0);

    for (i = 2; i < 10000; i++) {
        push(i, 0);
    }

    is_num(emitted, 1, "500 ms hold 10,000 packets");
    push(1, 0);
    is_num(emitted, 10000, "until the first comes");

    begin(100000, 0);
    push(0, 0);

    for (i = 2; i < 20000; i++) {
        push(i, 0);
    }

    ok(packets_held <= 16384, "100 s: bounded");
}


/* another process goes on where this one ends */

static size_t
move(u_char *saved, ngx_msec_t buffer, ngx_uint_t constant, int64_t now)
{
    size_t                 size;
    ngx_mc_rtp_counters_t  counters;

    size = ngx_mc_rtp_reorder_save(r, saved, NGX_MC_RTP_SAVED, emit, NULL);

    is_num(ngx_mc_rtp_reorder_deadline(r) == NGX_MC_NO_TIME, 1,
           "nothing is held after it is saved");

    counters = c;
    ngx_mc_rtp_reorder_reset(r);
    r = ngx_mc_rtp_reorder_create(pool, buffer, constant, &c);
    c = counters;

    is_num(ngx_mc_rtp_reorder_restore(r, saved, size, now),
           size ? NGX_OK : NGX_DECLINED, "restored");

    return size;
}


static void
moving(void)
{
    size_t      size;
    u_char      saved[NGX_MC_RTP_SAVED];
    ngx_uint_t  i;

    begin(50, 0);
    is_num(move(saved, 50, 0, 0), 0, "there is no sender");
    push(65530, 0);
    gone("65530");

    /* nothing twice, nothing lost, over the wrap */

    begin(50, 0);

    for (i = 0; i < 40; i++) {
        push(65530 + i, i * 1000);

        if (i % 7 == 3) {
            move(saved, 50, 0, i * 1000);
            is_num(push(65530 + i, i * 1000), NGX_MC_RTP_DUPLICATE,
                   "a duplicate of the last");
            is_num(push(65530 + i - 2, i * 1000), NGX_MC_RTP_DUPLICATE,
                   "a duplicate from before");
        }
    }

    is_num(emitted, 40, "all");
    is_num(steps_back, 0, "in order");
    is_num(c.lost_packets, 0, "no loss");
    is_num(c.packets, 40, "packets");
    is_num(c.duplicate_packets, 12, "duplicates");
    is_num(c.jitter, 0, "no jitter either");

    /* what is held leaves, what is missing is lost */

    begin(50, 0);
    push(1, 0);
    push(3, 1000);
    push(5, 1000);
    gone("1");
    move(saved, 50, 0, 2000);
    gone("1 3 5");
    is_num(c.lost_packets, 2, "lost");
    is_num(push(4, 3000), NGX_MC_RTP_LATE, "one that comes too late");
    is_num(push(3, 3000), NGX_MC_RTP_DUPLICATE, "a duplicate");
    push(8, 4000);
    push(6, 5000);
    push(7, 6000);
    gone("1 3 5 6 7 8");
    is_num(c.lost_packets, 2, "lost");
    is_num(c.reordered_packets, 2, "reordered");

    begin(50, 1);
    push(1, 0);
    push(2, 10000);
    gone("");
    move(saved, 50, 1, 20000);
    gone("1 2");
    push(3, 30000);
    gone("1 2");
    expire(80000);
    gone("1 2 3");

    /* another sender, and the same after a silence */

    begin(50, 0);
    push(1, 0);
    move(saved, 50, 0, 0);
    is_num(push_at(2, 100, 1000, 1000), NGX_MC_RTP_FOREIGN, "another SSRC");
    is_num(push_at(2, 101, 2000, 2000), NGX_MC_RTP_RESTARTED, "goes on");
    gone("1 100 101");
    move(saved, 50, 0, 2000);
    is_num(push_at(2, 60000, 2000000, 2000000), NGX_MC_RTP_RESTARTED,
           "a restart after a silence");

    /* emit() resets */

    begin(50, 0);
    push(1, 0);
    push(3, 0);
    push(5, 0);
    reset_at = 2;
    is_num(ngx_mc_rtp_reorder_save(r, saved, sizeof(saved), emit, NULL), 0,
           "reset while it is saved");
    is_num(packets_held, 0, "nothing is held");

    /* what is of no use */

    begin(100000, 0);
    push(7, 5000);
    size = ngx_mc_rtp_reorder_save(r, saved, sizeof(saved), emit, NULL);
    ok(size && size <= sizeof(saved), "the largest");
    is_num(ngx_mc_rtp_reorder_save(r, saved, size - 1, emit, NULL), 0,
           "no room");

    is_num(ngx_mc_rtp_reorder_restore(r, saved, size, 5000), NGX_DECLINED,
           "one that has a sender");

    begin(100000, 0);
    is_num(ngx_mc_rtp_reorder_restore(r, saved, size - 1, 5000),
           NGX_DECLINED, "cut");
    is_num(ngx_mc_rtp_reorder_restore(r, saved, 0, 5000), NGX_DECLINED,
           "empty");
    is_num(ngx_mc_rtp_reorder_restore(r, saved, size, 4999), NGX_DECLINED,
           "of the future");
    is_num(ngx_mc_rtp_reorder_restore(r, saved, size, 5000), NGX_OK,
           "as it was");
    is_num(push(7, 6000), NGX_MC_RTP_DUPLICATE, "and knows what came");

    begin(50, 0);
    is_num(ngx_mc_rtp_reorder_restore(r, saved, size, 5000), NGX_DECLINED,
           "of another buffer");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    header();
    writer();
    jitter();
    order();
    constant();
    restart();
    ssrc();
    attack();
    moving();

    ngx_mc_rtp_reorder_reset(r);
    is_num(packets_held, 0, "nothing is left");

    ngx_destroy_pool(pool);

    return shim_done();
}
