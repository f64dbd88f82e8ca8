
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_rtp.h>
#include <ngx_mc_ts.h>

#include <bitstream/ietf/rtp.h>


/* RTCP packet types: those of RFC 3550, which RFC 3551 keeps free among the
   RTP payload types, and the range that RFC 5761, section 4 gives to all */
#define NGX_MC_RTCP_SR        200
#define NGX_MC_RTCP_APP       204
#define NGX_MC_RTCP_MIN       192
#define NGX_MC_RTCP_MAX       223

/* 90 kHz; a difference of 10 s is another clock and no jitter */
#define NGX_MC_RTP_CLOCK_STEP 900000

/* bitstream's own readers shift a byte into the sign bit of an int */
#define ngx_mc_rtp_get_uint32(p)                                              \
    ((uint32_t) (p)[0] << 24 | (p)[1] << 16 | (p)[2] << 8 | (p)[3])


ngx_int_t
ngx_mc_rtp_parse(u_char *p, size_t len, ngx_mc_packet_t *pkt, ngx_uint_t *pt)
{
    size_t       header, padding;
    u_char      *data;
    ngx_uint_t   rtcp;

    if (len < RTP_EXTENSION_SIZE) {
        return NGX_MC_RTP_SHORT;
    }

    if (!rtp_check_hdr(p)) {
        return NGX_MC_RTP_VERSION;
    }

    if (p[1] >= NGX_MC_RTCP_SR && p[1] <= NGX_MC_RTCP_APP) {
        return NGX_MC_RTP_RTCP;
    }

    rtcp = (p[1] >= NGX_MC_RTCP_MIN && p[1] <= NGX_MC_RTCP_MAX);

    if (len < RTP_HEADER_SIZE) {
        return rtcp ? NGX_MC_RTP_RTCP : NGX_MC_RTP_SHORT;
    }

    header = RTP_HEADER_SIZE + 4 * rtp_get_cc(p);

    if (rtp_check_extension(p)) {

        if (len < header + RTP_EXTENSION_SIZE) {
            return rtcp ? NGX_MC_RTP_RTCP : NGX_MC_RTP_TRUNCATED;
        }

        header += RTP_EXTENSION_SIZE
                  + 4 * rtpx_get_length(rtp_extension(p));
    }

    if (len < header) {
        return rtcp ? NGX_MC_RTP_RTCP : NGX_MC_RTP_TRUNCATED;
    }

    padding = 0;

    if (rtp_check_padding(p)) {
        padding = p[len - 1];

        if (padding == 0 || padding > len - header) {
            return rtcp ? NGX_MC_RTP_RTCP : NGX_MC_RTP_PADDING;
        }
    }

    data = p + header;

    if (!ngx_mc_ts_is_aligned(data, len - header - padding)) {
        return rtcp ? NGX_MC_RTP_RTCP : NGX_MC_RTP_PAYLOAD;
    }

    pkt->rtp = p;
    pkt->rtp_len = len;
    pkt->data = data;
    pkt->len = len - header - padding;
    pkt->seq = rtp_get_seqnum(p);
    pkt->rtp_timestamp = ngx_mc_rtp_get_uint32(p + 4);
    pkt->ssrc = ngx_mc_rtp_get_uint32(p + 8);

    if (pt) {
        *pt = rtp_get_type(p);
    }

    return NGX_OK;
}


const char *
ngx_mc_rtp_reason(ngx_int_t rc)
{
    switch (rc) {

    case NGX_OK:
        return "RTP";

    case NGX_MC_RTP_RTCP:
        return "RTCP";

    case NGX_MC_RTP_SHORT:
        return "shorter than an RTP header";

    case NGX_MC_RTP_VERSION:
        return "not RTP version 2";

    case NGX_MC_RTP_TRUNCATED:
        return "RTP header longer than the datagram";

    case NGX_MC_RTP_PADDING:
        return "RTP padding longer than the payload";

    default: /* NGX_MC_RTP_PAYLOAD */
        return "RTP payload is not MPEG-TS";
    }
}


void
ngx_mc_rtp_write(u_char *hdr, ngx_uint_t pt, uint16_t seq,
    uint32_t timestamp, uint32_t ssrc)
{
    rtp_set_hdr(hdr);
    rtp_set_type(hdr, pt);
    rtp_set_seqnum(hdr, seq);
    rtp_set_timestamp(hdr, timestamp);
    rtp_set_int_ssrc(hdr, ssrc);
}


uint32_t
ngx_mc_rtp_timestamp(int64_t media)
{
    /* media time may be just before zero, there a division rounds up */

    if (media < 0) {
        return (uint32_t) ((media - 299) / 300);
    }

    return (uint32_t) (media / 300);
}


/* RFC 3550, A.8, in integers */

void
ngx_mc_rtp_jitter(ngx_mc_rtp_transit_t *t, ngx_mc_rtp_counters_t *counters,
    ngx_mc_packet_t *pkt)
{
    int32_t   d;
    uint32_t  transit;

    /* 90 ticks a millisecond; only differences count, and they wrap */

    transit = (uint32_t) ((uint64_t) pkt->origin * 9 / 100)
              - pkt->rtp_timestamp;

    d = (int32_t) (transit - t->transit);

    t->transit = transit;

    if (!t->valid) {
        t->valid = 1;
        return;
    }

    if (d > NGX_MC_RTP_CLOCK_STEP || d < - NGX_MC_RTP_CLOCK_STEP) {
        return;
    }

    if (d < 0) {
        d = -d;
    }

    counters->jitter += d - ((counters->jitter + 8) >> 4);
}
