
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_udp.h>
#include <netinet/udp.h>
#include <sys/socket.h>


#ifndef UDP_SEGMENT
#define UDP_SEGMENT  103
#endif


/* datagrams that are given to the kernel at once; two iovecs each, header and
   payload, and 64 of them in a train: far from the kernel's limit of 1024 */
#define NGX_MC_UDP_BATCH  512

/* how often a datagram is tried when the kernel tells of earlier ones */
#define NGX_MC_UDP_AGAIN  3

/* us: sends that fail for so long mean that the way is gone */
#define NGX_MC_UDP_BROKEN  1000000


typedef struct {
    u_char              *header;           /* of RTP, or NULL */
    u_char              *data;
    uint32_t             len;
    uint32_t             size;             /* header included */
    uint32_t             payload;          /* as it is counted */
} ngx_mc_udp_datagram_t;


static void ngx_mc_udp_send_packet(ngx_mc_udp_output_t *u,
    ngx_mc_packet_t *pkt);
static void ngx_mc_udp_add(u_char *header, u_char *data, size_t len,
    size_t payload);
static uint32_t ngx_mc_udp_timestamp(ngx_mc_udp_output_t *u,
    ngx_mc_packet_t *pkt);
static void ngx_mc_udp_flush(ngx_mc_udp_output_t *u);
static ngx_uint_t ngx_mc_udp_trains(ngx_mc_udp_output_t *u, ngx_uint_t i);
static ngx_int_t ngx_mc_udp_send_error(ngx_mc_udp_output_t *u, ngx_uint_t k,
    ngx_err_t err);


/* one batch of one output at a time: all run in one thread */

static ngx_mc_udp_datagram_t  ngx_mc_udp_datagrams[NGX_MC_UDP_BATCH];
static ngx_uint_t             ngx_mc_udp_ndatagrams;
static u_char                 ngx_mc_udp_headers[NGX_MC_UDP_BATCH]
                                                [NGX_MC_RTP_HEADER];

static struct iovec           ngx_mc_udp_iovs[NGX_MC_UDP_BATCH * 2];
static struct mmsghdr         ngx_mc_udp_msgs[NGX_MC_UDP_BATCH];
static ngx_uint_t             ngx_mc_udp_firsts[NGX_MC_UDP_BATCH + 1];

static union {
    struct cmsghdr            align;
    u_char                    data[CMSG_SPACE(sizeof(uint16_t))];
} ngx_mc_udp_controls[NGX_MC_UDP_BATCH];


void
ngx_mc_udp_send(void *data, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    ngx_mc_udp_output_t  *u = data;

    ngx_uint_t  i;

    if (u->fd == (ngx_socket_t) -1) {
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_mc_udp_send_packet(u, &pkts[i]);
    }

    ngx_mc_udp_flush(u);
}


static void
ngx_mc_udp_send_packet(ngx_mc_udp_output_t *u, ngx_mc_packet_t *pkt)
{
    u_char      *p, *header;
    size_t       len, size;
    uint32_t     timestamp;
    ngx_uint_t   marker;

    if (ngx_mc_udp_ndatagrams == NGX_MC_UDP_BATCH) {
        ngx_mc_udp_flush(u);
    }

    if (u->keep && pkt->rtp) {

        if (!u->set_pt) {
            ngx_mc_udp_add(NULL, pkt->rtp, pkt->rtp_len, pkt->len);
            return;
        }

        /* the fixed part is rewritten in a copy: others send this packet */

        header = ngx_mc_udp_headers[ngx_mc_udp_ndatagrams];

        ngx_memcpy(header, pkt->rtp, NGX_MC_RTP_HEADER);

        header[1] = (header[1] & 0x80) | u->pt;

        ngx_mc_udp_add(header, pkt->rtp + NGX_MC_RTP_HEADER,
                       pkt->rtp_len - NGX_MC_RTP_HEADER, pkt->len);
        return;
    }

    p = pkt->data;
    len = pkt->len;

    if (!u->rtp) {

        while (len) {
            size = ngx_min(len, u->pkt_size);

            if (ngx_mc_udp_ndatagrams == NGX_MC_UDP_BATCH) {
                ngx_mc_udp_flush(u);
            }

            ngx_mc_udp_add(NULL, p, size, size);

            p += size;
            len -= size;
        }

        return;
    }

    timestamp = ngx_mc_udp_timestamp(u, pkt);

    /* RFC 2250, section 2: the marker bit says that time is discontinuous */

    marker = pkt->discontinuity;

    while (len) {
        size = ngx_min(len, u->pkt_size);

        if (ngx_mc_udp_ndatagrams == NGX_MC_UDP_BATCH) {
            ngx_mc_udp_flush(u);
        }

        header = ngx_mc_udp_headers[ngx_mc_udp_ndatagrams];

        ngx_mc_rtp_write(header, u->pt, u->seq++, timestamp, u->ssrc);

        if (marker) {
            header[1] |= 0x80;
            marker = 0;
        }

        ngx_mc_udp_add(header, p, size, size);

        p += size;
        len -= size;
    }
}


static void
ngx_mc_udp_add(u_char *header, u_char *data, size_t len, size_t payload)
{
    ngx_mc_udp_datagram_t  *d;

    d = &ngx_mc_udp_datagrams[ngx_mc_udp_ndatagrams++];

    d->header = header;
    d->data = data;
    d->len = len;
    d->size = header ? len + NGX_MC_RTP_HEADER : len;
    d->payload = payload;
}


/*
 * Time at the sender: of its PCRs where known, else of the packets' origin.
 * Where one follows the other, or the PCRs jump, the origin tells how much
 * time has passed, and timestamps go on from there.
 */

static uint32_t
ngx_mc_udp_timestamp(ngx_mc_udp_output_t *u, ngx_mc_packet_t *pkt)
{
    int64_t     passed;
    uint32_t    t;
    ngx_uint_t  media;

    media = (pkt->media != NGX_MC_NO_TIME);

    t = media ? ngx_mc_rtp_timestamp(pkt->media)
              : (uint32_t) (pkt->origin * 9 / 100);

    if (!u->timed) {
        u->shift = (uint32_t) ngx_random() - t;
        u->timed = 1;

    } else if (media != u->media || pkt->discontinuity) {
        passed = pkt->origin - u->origin;
        u->shift = u->timestamp + (uint32_t) (passed * 9 / 100) - t;
    }

    u->media = media;
    u->origin = pkt->origin;
    u->timestamp = t + u->shift;

    return u->timestamp;
}


/* never waits: what the kernel does not take now is dropped and counted */

static void
ngx_mc_udp_flush(ngx_mc_udp_output_t *u)
{
    int                      rc;
    ngx_err_t                err;
    ngx_uint_t               i, k, n, sent, again;
    ngx_mc_endpoint_stat_t  *st;

    st = u->endpoint->stat;

    n = ngx_mc_udp_trains(u, 0);
    again = 0;

    for (i = 0; i < n; /* void */ ) {

        if (n - i == 1) {
            rc = sendmsg(u->fd, &ngx_mc_udp_msgs[i].msg_hdr,
                         MSG_DONTWAIT|MSG_NOSIGNAL);

            sent = (rc == -1) ? 0 : 1;

        } else {
            rc = sendmmsg(u->fd, &ngx_mc_udp_msgs[i], n - i,
                          MSG_DONTWAIT|MSG_NOSIGNAL);

            sent = (rc == -1) ? 0 : rc;
        }

        if (sent) {
            for (k = ngx_mc_udp_firsts[i];
                 k < ngx_mc_udp_firsts[i + sent];
                 k++)
            {
                st->packets++;
                st->bytes += ngx_mc_udp_datagrams[k].payload;
            }

            u->failing = 0;
            again = 0;
            i += sent;

            continue;
        }

        err = ngx_socket_errno;

        if (err == NGX_EINTR) {
            continue;
        }

        if (err == NGX_ECONNREFUSED && again++ < NGX_MC_UDP_AGAIN) {

            /* about a datagram before this one, which was not sent */

            u->refused = ngx_mc_now();

            continue;
        }

        if (ngx_mc_udp_msgs[i].msg_hdr.msg_control
            && (err == NGX_EINVAL || err == EIO || err == EMSGSIZE
                || err == EOPNOTSUPP))
        {
            /*
             * No trains on this way: no checksum offload, or a datagram is
             * larger than the MTU and has to be fragmented.
             */

            u->gso = 0;

            k = ngx_mc_udp_firsts[i];
            n = ngx_mc_udp_trains(u, k);
            i = 0;

            continue;
        }

        again = 0;

        if (ngx_mc_udp_send_error(u, ngx_mc_udp_firsts[i], err) != NGX_OK) {
            break;
        }

        st->dropped_packets += ngx_mc_udp_firsts[i + 1]
                               - ngx_mc_udp_firsts[i];
        i++;
    }

    if (u->rtp) {
        st->u.rtp.counters.packets = st->packets;
    }

    ngx_mc_udp_ndatagrams = 0;
}


/* makes messages of datagrams from i on; returns how many */

static ngx_uint_t
ngx_mc_udp_trains(ngx_mc_udp_output_t *u, ngx_uint_t i)
{
    size_t                  total, size;
    ngx_uint_t              n, segments;
    struct iovec           *iov, *first;
    struct msghdr          *msg;
    struct cmsghdr         *cmsg;
    ngx_mc_udp_datagram_t  *d, *last;

    iov = ngx_mc_udp_iovs;

    d = &ngx_mc_udp_datagrams[i];
    last = &ngx_mc_udp_datagrams[ngx_mc_udp_ndatagrams];

    for (n = 0; d < last; n++) {

        ngx_mc_udp_firsts[n] = d - ngx_mc_udp_datagrams;

        first = iov;
        size = d->size;
        total = 0;
        segments = 0;

        do {

            if (d->header) {
                iov->iov_base = d->header;
                iov->iov_len = NGX_MC_RTP_HEADER;
                iov++;

            } else if (iov > first
                       && (u_char *) iov[-1].iov_base + iov[-1].iov_len
                          == d->data)
            {
                /* they arrived as a train */

                iov[-1].iov_len += d->len;
                goto next;
            }

            iov->iov_base = d->data;
            iov->iov_len = d->len;
            iov++;

        next:

            total += d->size;
            segments++;
            d++;

        } while (u->gso
                 && d < last
                 && d[-1].size == size
                 && d->size <= size
                 && segments < NGX_MC_UDP_SEGMENTS
                 && total + d->size <= NGX_MC_UDP_TRAIN);

        msg = &ngx_mc_udp_msgs[n].msg_hdr;

        msg->msg_name = NULL;
        msg->msg_namelen = 0;
        msg->msg_iov = first;
        msg->msg_iovlen = iov - first;
        msg->msg_flags = 0;

        if (segments == 1) {
            msg->msg_control = NULL;
            msg->msg_controllen = 0;
            continue;
        }

        msg->msg_control = ngx_mc_udp_controls[n].data;
        msg->msg_controllen = CMSG_SPACE(sizeof(uint16_t));

        cmsg = CMSG_FIRSTHDR(msg);
        cmsg->cmsg_level = IPPROTO_UDP;
        cmsg->cmsg_type = UDP_SEGMENT;
        cmsg->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        *(uint16_t *) CMSG_DATA(cmsg) = (uint16_t) size;
    }

    ngx_mc_udp_firsts[n] = ngx_mc_udp_ndatagrams;

    return n;
}


/* NGX_ERROR: there is no use in trying the rest, from datagram k on */

static ngx_int_t
ngx_mc_udp_send_error(ngx_mc_udp_output_t *u, ngx_uint_t k, ngx_err_t err)
{
    int64_t  now;

    if (err == NGX_ECONNREFUSED) {
        return NGX_OK;
    }

    if (err != NGX_EAGAIN && err != ENOBUFS) {

        now = ngx_mc_now();

        u->err = err;

        if (u->failing == 0) {
            u->failing = now;

        } else if (now - u->failing > NGX_MC_UDP_BROKEN) {
            u->broken = 1;
        }

        /* about this one datagram: with rtp=keep they are of any size */

        if (err == EMSGSIZE || err == NGX_EINVAL) {
            return NGX_OK;
        }
    }

    u->endpoint->stat->dropped_packets += ngx_mc_udp_ndatagrams - k;

    return NGX_ERROR;
}
