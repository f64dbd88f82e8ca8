
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_udp.h>
#include <netinet/udp.h>
#include <sys/socket.h>


#ifndef UDP_GRO
#define UDP_GRO  104
#endif


/* one call of recvmmsg() */
#define NGX_MC_UDP_MESSAGES  64

/* a source that floods gives way to others after so many calls */
#define NGX_MC_UDP_ROUNDS    16

/* what is handed to the flow at once */
#define NGX_MC_UDP_PACKETS   256

/*
 * us: UDP has no sessions, and two senders mixed are of no use, so one that
 * sends keeps others out.  Live streams have no longer gaps: PCRs alone come
 * every 100 ms (ISO/IEC 13818-1, 2.7.2).
 */
#define NGX_MC_UDP_CLAIM     250000

/*
 * With so many outputs it pays to lay datagrams that came one by one side by
 * side: each output then sends them as one piece of memory.
 */
#define NGX_MC_UDP_FANOUT    4
#define NGX_MC_UDP_SMALL     2048

/* a little more than a page apart, or all would share a set in the caches */
#define NGX_MC_UDP_STRIDE    (NGX_MC_UDP_DATAGRAM + 2 * NGX_CPU_CACHE_LINE)

#define NGX_MC_UDP_CONTROL                                                    \
    (CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(int))            \
     + CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo)))


/* what was refused in one drain, for one reason */

typedef struct {
    ngx_uint_t           n;
    ngx_sockaddr_t       peer;             /* of the first */
    socklen_t            peer_len;
    const char          *text;
} ngx_mc_udp_refusal_t;


static ngx_uint_t ngx_mc_udp_holds(ngx_mc_udp_source_t *s);
static ngx_uint_t ngx_mc_udp_drain(ngx_mc_udp_source_t *s);
static void ngx_mc_udp_message(ngx_mc_udp_source_t *s, struct mmsghdr *m,
    int64_t now, int64_t shift);
static void ngx_mc_udp_datagram(ngx_mc_udp_source_t *s, u_char *data,
    size_t len, struct msghdr *msg, int64_t origin, int64_t now);
static void ngx_mc_udp_session(ngx_mc_udp_source_t *s, ngx_mc_packet_t *pkt,
    struct msghdr *msg, ngx_uint_t other, int64_t now);
static ngx_int_t ngx_mc_udp_sender(ngx_mc_udp_source_t *s,
    struct msghdr *msg);
static void ngx_mc_udp_accepted(ngx_mc_udp_source_t *s, struct msghdr *msg,
    ngx_uint_t other, int64_t now);
static void ngx_mc_udp_down(ngx_mc_udp_source_t *s, const char *text);
static ngx_uint_t ngx_mc_udp_banned(ngx_mc_udp_source_t *s);
static void ngx_mc_udp_emit(void *data, ngx_mc_packet_t *pkt);
static void ngx_mc_udp_forward(ngx_mc_udp_source_t *s);
static void ngx_mc_udp_refuse(ngx_uint_t reason, ngx_uint_t n,
    struct msghdr *msg, const char *text);
static void ngx_mc_udp_refusals(ngx_mc_udp_source_t *s, int64_t now);


/* sources are drained one after another: all run in one thread */

static u_char          ngx_mc_udp_buffers[NGX_MC_UDP_MESSAGES]
                                         [NGX_MC_UDP_STRIDE];
static u_char          ngx_mc_udp_row[NGX_MC_UDP_MESSAGES * NGX_MC_UDP_SMALL];
static u_char         *ngx_mc_udp_row_last;
static struct mmsghdr  ngx_mc_udp_messages[NGX_MC_UDP_MESSAGES];
static struct iovec    ngx_mc_udp_vectors[NGX_MC_UDP_MESSAGES];
static ngx_sockaddr_t  ngx_mc_udp_senders[NGX_MC_UDP_MESSAGES];

static union {
    struct cmsghdr     align;
    u_char             data[NGX_MC_UDP_CONTROL];
} ngx_mc_udp_cmsgs[NGX_MC_UDP_MESSAGES];

static ngx_mc_packet_t  ngx_mc_udp_packets[NGX_MC_UDP_PACKETS];
static ngx_mc_packet_t  ngx_mc_udp_held[NGX_MC_UDP_PACKETS];
static ngx_uint_t       ngx_mc_udp_npackets;
static ngx_uint_t       ngx_mc_udp_nheld;

static ngx_mc_udp_refusal_t  ngx_mc_udp_refused[NGX_MC_REJECTED_N];


/* once a process */

void
ngx_mc_udp_recv_init(void)
{
    ngx_uint_t      i;
    struct msghdr  *msg;

    for (i = 0; i < NGX_MC_UDP_MESSAGES; i++) {

        ngx_mc_udp_vectors[i].iov_base = ngx_mc_udp_buffers[i];
        ngx_mc_udp_vectors[i].iov_len = NGX_MC_UDP_DATAGRAM;

        msg = &ngx_mc_udp_messages[i].msg_hdr;

        msg->msg_name = &ngx_mc_udp_senders[i];
        msg->msg_namelen = sizeof(ngx_sockaddr_t);
        msg->msg_iov = &ngx_mc_udp_vectors[i];
        msg->msg_iovlen = 1;
        msg->msg_control = ngx_mc_udp_cmsgs[i].data;
        msg->msg_controllen = NGX_MC_UDP_CONTROL;
    }
}


/*
 * A source that wakes the worker more often than the beat would is drained
 * on the beat; one that would leave most of the beats without work waits in
 * the poll set.  Packets held for reordering need the beat to leave.
 */

void
ngx_mc_udp_recv_handler(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_mc_udp_source_t  *s;

    c = rev->data;
    s = c->data;

    (void) ngx_mc_udp_drain(s);

    if (s->emptied - s->window >= NGX_MC_PULSE_IDLE) {
        s->window = s->emptied;
        s->seen = 0;
    }

    if (++s->seen < NGX_MC_PULSE_IDLE / s->period && !ngx_mc_udp_holds(s)) {
        return;
    }

    if (ngx_mc_pulse_start(&s->pulse, s->period) != NGX_OK) {
        return;
    }

    if (ngx_del_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        ngx_mc_pulse_stop(&s->pulse);
        return;
    }

    s->window = s->emptied;
    s->seen = 0;
}


void
ngx_mc_udp_recv_pulse(void *data)
{
    ngx_mc_udp_source_t *s = data;

    ngx_uint_t  few;

    s->seen += ngx_mc_udp_drain(s);

    if (s->emptied - s->window < NGX_MC_PULSE_IDLE) {
        return;
    }

    few = (s->seen * 2 < NGX_MC_PULSE_IDLE / s->period);

    s->window = s->emptied;
    s->seen = 0;

    if (!few || ngx_mc_udp_holds(s)) {
        return;
    }

    if (ngx_add_event(s->connection->read, NGX_READ_EVENT, NGX_LEVEL_EVENT)
        == NGX_OK)
    {
        ngx_mc_pulse_stop(&s->pulse);
    }
}


size_t
ngx_mc_udp_recv_save(ngx_mc_udp_source_t *s, u_char *p)
{
    size_t                     size;
    ngx_mc_udp_source_state_t  state;

    size = 0;

    (void) ngx_mc_udp_drain(s);

    if (s->reorder) {
        size = ngx_mc_rtp_reorder_save(s->reorder,
                                   p + sizeof(ngx_mc_udp_source_state_t),
                                   NGX_MC_HANDOVER_STATE
                                   - sizeof(ngx_mc_udp_source_state_t),
                                   ngx_mc_udp_emit, s);

        ngx_mc_udp_forward(s);
    }

    ngx_memzero(&state, sizeof(ngx_mc_udp_source_state_t));

    state.emptied = s->emptied;
    state.accepted = s->accepted;
    state.overflows = s->overflows;
    state.ifindex = s->ifindex;
    state.ssrc = s->ssrc;

    if (s->up && s->peer_len <= sizeof(state.peer)) {
        state.peer_len = s->peer_len;
        ngx_memcpy(&state.peer, &s->peer, s->peer_len);
    }

    ngx_memcpy(p, &state, sizeof(ngx_mc_udp_source_state_t));

    return sizeof(ngx_mc_udp_source_state_t) + size;
}


ngx_int_t
ngx_mc_udp_recv_restore(ngx_mc_udp_source_t *s, ngx_mc_handover_t *ho)
{
    int64_t                    left, now;
    ngx_mc_udp_source_state_t  state;

    now = ngx_mc_now();

    if (ho->size < sizeof(ngx_mc_udp_source_state_t)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(&state, ho->state, sizeof(ngx_mc_udp_source_state_t));

    if (state.peer_len > sizeof(state.peer)
        || (state.peer_len
            && state.peer.sockaddr.sa_family
               != s->endpoint->sockaddr->sa_family)
        || (state.peer_len != 0) != (ho->connected_at != 0)
        || state.emptied < 0 || state.emptied > now
        || state.accepted < 0 || state.accepted > now)
    {
        return NGX_DECLINED;
    }

    if (s->reorder) {
        (void) ngx_mc_rtp_reorder_restore(s->reorder,
                              ho->state + sizeof(ngx_mc_udp_source_state_t),
                              ho->size - sizeof(ngx_mc_udp_source_state_t),
                              now);
    }

    s->emptied = state.emptied;
    s->accepted = state.accepted;
    s->overflows = state.overflows;
    s->ifindex = state.ifindex;
    s->ssrc = state.ssrc;

    if (state.peer_len == 0) {
        return NGX_OK;
    }

    ngx_memcpy(&s->peer, &state.peer, state.peer_len);
    s->peer_len = state.peer_len;
    s->up = 1;

    /* it may have been sending while nobody looked */

    left = s->accepted + (int64_t) s->timeout * 1000 - now;

    ngx_add_timer(&s->silence,
                  left > 0 ? (ngx_msec_t) (left / 1000 + 1) : 1);

    return NGX_OK;
}


static ngx_uint_t
ngx_mc_udp_holds(ngx_mc_udp_source_t *s)
{
    return s->reorder
           && ngx_mc_rtp_reorder_deadline(s->reorder) != NGX_MC_NO_TIME;
}


/* returns how many messages there were */

static ngx_uint_t
ngx_mc_udp_drain(ngx_mc_udp_source_t *s)
{
    int                 n;
    int64_t             now, shift;
    ngx_err_t           err;
    ngx_int_t           i;
    ngx_uint_t          rounds, total;
    struct timespec     ts;

    total = 0;
    rounds = 0;

    do {
        n = recvmmsg(s->connection->fd, ngx_mc_udp_messages,
                     NGX_MC_UDP_MESSAGES, MSG_DONTWAIT, NULL);

        now = ngx_mc_now();

        if (n == -1) {
            err = ngx_socket_errno;

            if (err != NGX_EAGAIN && err != NGX_EINTR) {
                ngx_mc_endpoint_error(s->endpoint, "recvmmsg() failed (%d)",
                                      err);
            }

            n = 0;
        }

        if (n) {

            /* the kernel's timestamps are of the clock that may be set */

            (void) clock_gettime(CLOCK_REALTIME, &ts);

            shift = now - ((int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000);

            ngx_mc_udp_row_last = ngx_mc_udp_row;

            for (i = 0; i < n; i++) {
                ngx_mc_udp_message(s, &ngx_mc_udp_messages[i], now, shift);

                ngx_mc_udp_messages[i].msg_hdr.msg_namelen =
                                                        sizeof(ngx_sockaddr_t);
                ngx_mc_udp_messages[i].msg_hdr.msg_controllen =
                                                            NGX_MC_UDP_CONTROL;
            }

            ngx_mc_udp_forward(s);

            total += n;
        }

    } while (n == NGX_MC_UDP_MESSAGES && ++rounds < NGX_MC_UDP_ROUNDS);

    if (n != NGX_MC_UDP_MESSAGES) {
        s->emptied = now;
    }

    if (s->reorder) {
        (void) ngx_mc_rtp_reorder_expire(s->reorder, now, ngx_mc_udp_emit, s);
        ngx_mc_udp_forward(s);
    }

    ngx_mc_udp_refusals(s, now);

    return total;
}


/* a datagram, or a train of them */

static void
ngx_mc_udp_message(ngx_mc_udp_source_t *s, struct mmsghdr *m, int64_t now,
    int64_t shift)
{
    int               segment;
    u_char           *p;
    size_t            len, size;
    int64_t           origin;
    uint32_t          overflows;
    ngx_uint_t        n, ifindex;
    struct msghdr    *msg;
    struct cmsghdr   *cmsg;
    struct timespec   ts;
#if (NGX_HAVE_INET6)
    struct in6_pktinfo  info;
#endif

    msg = &m->msg_hdr;
    len = m->msg_len;

    segment = 0;
    origin = now;
    ifindex = s->ifindex;

    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {

        if (cmsg->cmsg_level == SOL_SOCKET) {

            if (cmsg->cmsg_type == SCM_TIMESTAMPNS) {
                ngx_memcpy(&ts, CMSG_DATA(cmsg), sizeof(struct timespec));

                origin = (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000
                         + shift;

            } else if (cmsg->cmsg_type == SO_RXQ_OVFL) {
                ngx_memcpy(&overflows, CMSG_DATA(cmsg), sizeof(uint32_t));

                s->endpoint->stat->dropped_packets +=
                                          (uint32_t) (overflows - s->overflows);
                s->overflows = overflows;
            }

        } else if (cmsg->cmsg_level == IPPROTO_UDP) {

            if (cmsg->cmsg_type == UDP_GRO) {
                ngx_memcpy(&segment, CMSG_DATA(cmsg), sizeof(int));
            }

#if (NGX_HAVE_INET6)
        } else if (cmsg->cmsg_level == IPPROTO_IPV6
                   && cmsg->cmsg_type == IPV6_PKTINFO)
        {
            ngx_memcpy(&info, CMSG_DATA(cmsg), sizeof(struct in6_pktinfo));
            ifindex = info.ipi6_ifindex;
#endif
        }
    }

    if (ifindex != s->ifindex) {
        /* sent to the same group elsewhere: not to us */
        return;
    }

    /* the clock was set: a packet came after the socket was last empty */

    origin = ngx_min(origin, now);
    origin = ngx_max(origin, s->emptied);

    size = segment > 0 ? (size_t) segment : ngx_max(len, 1);
    n = len ? (len + size - 1) / size : 1;

    if (ngx_mc_udp_sender(s, msg) != NGX_OK) {
        ngx_mc_udp_refuse(NGX_MC_REJECTED_ADDRESS, n, msg,
                          "the address is not on the list");
        return;
    }

    if (msg->msg_flags & MSG_TRUNC) {
        ngx_mc_udp_refuse(NGX_MC_REJECTED_MALFORMED, n, msg, "truncated");
        return;
    }

    p = msg->msg_iov->iov_base;

    if (s->endpoint->pipeline->noutputs >= NGX_MC_UDP_FANOUT
        && len <= NGX_MC_UDP_SMALL)
    {
        ngx_memcpy(ngx_mc_udp_row_last, p, len);

        p = ngx_mc_udp_row_last;
        ngx_mc_udp_row_last += len;
    }

    for ( /* void */ ; n; n--) {

        if (s->endpoint->banned && ngx_mc_udp_banned(s)) {
            ngx_mc_udp_refuse(NGX_MC_REJECTED_BANDWIDTH, n, msg,
                              "refused for its bandwidth");
            return;
        }

        size = ngx_min(size, len);

        ngx_mc_udp_datagram(s, p, size, msg, origin, now);

        p += size;
        len -= size;
    }
}


static void
ngx_mc_udp_datagram(ngx_mc_udp_source_t *s, u_char *data, size_t len,
    struct msghdr *msg, int64_t origin, int64_t now)
{
    ngx_int_t        rc;
    ngx_uint_t       other;
    ngx_mc_packet_t  pkt;

    ngx_memzero(&pkt, sizeof(ngx_mc_packet_t));

    pkt.origin = origin;
    pkt.media = NGX_MC_NO_TIME;

    other = (s->peer_len != msg->msg_namelen
             || ngx_memcmp(&s->peer, msg->msg_name, s->peer_len) != 0);

    if (s->reorder) {

        rc = ngx_mc_rtp_parse(data, len, &pkt, NULL);

        if (rc == NGX_MC_RTP_RTCP) {
            return;
        }

        if (rc != NGX_OK) {
            ngx_mc_udp_refuse(NGX_MC_REJECTED_MALFORMED, 1, msg,
                              ngx_mc_rtp_reason(rc));
            return;
        }

        ngx_mc_udp_session(s, &pkt, msg, other, now);

        return;
    }

    if (!ngx_mc_ts_is_aligned(data, len)) {
        ngx_mc_udp_refuse(NGX_MC_REJECTED_MALFORMED, 1, msg,
                          "not whole TS packets");
        return;
    }

    if (other && s->up && now - s->accepted < NGX_MC_UDP_CLAIM) {
        ngx_mc_udp_refuse(NGX_MC_REJECTED_BUSY, 1, msg,
                          "another sender is active");
        return;
    }

    ngx_mc_udp_accepted(s, msg, other, now);

    pkt.data = data;
    pkt.len = len;

    ngx_mc_udp_emit(s, &pkt);
}


static void
ngx_mc_udp_session(ngx_mc_udp_source_t *s, ngx_mc_packet_t *pkt,
    struct msghdr *msg, ngx_uint_t other, int64_t now)
{
    ngx_int_t   rc;
    ngx_uint_t  refused;

    /* one session may come from several addresses, to be received twice */

    if (other && pkt->ssrc != s->ssrc && s->up
        && now - s->accepted < NGX_MC_UDP_CLAIM)
    {
        ngx_mc_udp_refuse(NGX_MC_REJECTED_BUSY, 1, msg,
                          "another sender is active");
        return;
    }

    rc = ngx_mc_rtp_reorder_push(s->reorder, pkt, now, ngx_mc_udp_emit, s);

    if (rc == NGX_ERROR) {
        s->endpoint->stat->dropped_packets++;
        return;
    }

    /*
     * What is put aside may be the first packet of a sender that began anew:
     * what comes next tells whether it was taken or refused.
     */

    refused = s->aside;
    s->aside = 0;

    if (rc == NGX_MC_RTP_FOREIGN) {
        s->aside = 1;

    } else if (rc == NGX_MC_RTP_RESTARTED) {
        refused = 0;
    }

    if (refused) {
        ngx_mc_udp_refuse(NGX_MC_REJECTED_BUSY, 1, msg,
                          "another SSRC is active");
    }

    if (rc == NGX_MC_RTP_FOREIGN || rc == NGX_MC_RTP_JUMP) {
        return;
    }

    if (s->endpoint->banned && ngx_mc_udp_banned(s)) {
        /* for what it has just sent */
        return;
    }

    s->ssrc = pkt->ssrc;

    ngx_mc_udp_accepted(s, msg, other && rc == NGX_MC_RTP_RESTARTED, now);
}


/* against the list; that of the last sender is remembered */

static ngx_int_t
ngx_mc_udp_sender(ngx_mc_udp_source_t *s, struct msghdr *msg)
{
    if (s->endpoint->def->params.allow == NULL) {
        return NGX_OK;
    }

    if (s->sender_len != msg->msg_namelen
        || ngx_memcmp(&s->sender, msg->msg_name, s->sender_len) != 0)
    {
        ngx_memcpy(&s->sender, msg->msg_name, msg->msg_namelen);
        s->sender_len = msg->msg_namelen;

        s->denied = (ngx_mc_access(s->endpoint->def->params.allow,
                                   msg->msg_name)
                     != NGX_OK);
    }

    return s->denied ? NGX_DECLINED : NGX_OK;
}


static void
ngx_mc_udp_accepted(ngx_mc_udp_source_t *s, struct msghdr *msg,
    ngx_uint_t other, int64_t now)
{
    s->accepted = now;

    if (s->up && !other) {
        return;
    }

    if (s->up) {
        ngx_mc_udp_forward(s);
        ngx_mc_udp_down(s, "another sender has taken over");
    }

    ngx_memcpy(&s->peer, msg->msg_name, msg->msg_namelen);
    s->peer_len = msg->msg_namelen;

    s->up = 1;
    ngx_add_timer(&s->silence, s->timeout);

    ngx_mc_flow_connected(s->endpoint);

    ngx_mc_endpoint_up(s->endpoint, &s->peer.sockaddr, s->peer_len);
}


void
ngx_mc_udp_recv_update(ngx_mc_udp_source_t *s)
{
    ngx_uint_t        period;
    ngx_mc_params_t  *params;

    params = &s->endpoint->def->params;

    /* asked about anew with the next datagram */
    s->sender_len = 0;

    s->timeout = ngx_mc_udp_timeout(params);

    if (s->up) {

        if (ngx_mc_access(params->allow, &s->peer.sockaddr) != NGX_OK) {
            ngx_mc_udp_down(s, "the address is no longer allowed");

            if (s->reorder) {
                ngx_mc_rtp_reorder_reset(s->reorder);
            }

        } else {
            ngx_add_timer(&s->silence, s->timeout);
        }
    }

    period = ngx_mc_pulse_period(s->endpoint->flow->batch);

    if (period == s->period) {
        return;
    }

    s->period = period;
    s->seen = 0;

    if (s->pulse.pulse == NULL) {
        return;
    }

    ngx_mc_pulse_stop(&s->pulse);

    if (ngx_mc_pulse_start(&s->pulse, period) != NGX_OK) {
        (void) ngx_add_event(s->connection->read, NGX_READ_EVENT,
                             NGX_LEVEL_EVENT);
    }
}


void
ngx_mc_udp_silence_handler(ngx_event_t *ev)
{
    int64_t               left;
    ngx_mc_udp_source_t  *s;

    s = ev->data;

    left = s->accepted + (int64_t) s->timeout * 1000 - ngx_mc_now();

    if (left > 0) {
        ngx_add_timer(ev, (ngx_msec_t) (left / 1000 + 1));
        return;
    }

    ngx_mc_udp_down(s, "no data arrives");
}


static void
ngx_mc_udp_down(ngx_mc_udp_source_t *s, const char *text)
{
    s->up = 0;
    s->peer_len = 0;
    s->complained = 0;

    if (s->silence.timer_set) {
        ngx_del_timer(&s->silence);
    }

    ngx_mc_endpoint_down(s->endpoint, 1, "%s", text);
}


static ngx_uint_t
ngx_mc_udp_banned(ngx_mc_udp_source_t *s)
{
    return (ngx_msec_int_t) (s->endpoint->banned_until - ngx_current_msec) > 0;
}


/* collects what goes to the flow in one piece */

static void
ngx_mc_udp_emit(void *data, ngx_mc_packet_t *pkt)
{
    ngx_mc_udp_source_t *s = data;

    if (ngx_mc_udp_npackets == NGX_MC_UDP_PACKETS) {
        ngx_mc_udp_forward(s);
    }

    if (pkt->chunk) {

        /* else it is in our own buffers, which stay for this round */

        (void) ngx_mc_packet_hold(pkt);
        ngx_mc_udp_held[ngx_mc_udp_nheld++] = *pkt;
    }

    ngx_mc_udp_packets[ngx_mc_udp_npackets++] = *pkt;
}


static void
ngx_mc_udp_forward(ngx_mc_udp_source_t *s)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    if (ngx_mc_udp_npackets == 0) {
        return;
    }

    rc = ngx_mc_flow_input(s->endpoint, ngx_mc_udp_packets,
                           ngx_mc_udp_npackets);

    for (i = 0; i < ngx_mc_udp_nheld; i++) {
        ngx_mc_packet_release(&ngx_mc_udp_held[i]);
    }

    ngx_mc_udp_npackets = 0;
    ngx_mc_udp_nheld = 0;

    if (rc != NGX_DECLINED) {
        return;
    }

    if (s->reorder) {
        ngx_mc_rtp_reorder_reset(s->reorder);
    }

    if (s->up) {
        ngx_mc_udp_down(s, "over max_bandwidth");
    }
}


/* told once a drain, however many there were */

static void
ngx_mc_udp_refuse(ngx_uint_t reason, ngx_uint_t n, struct msghdr *msg,
    const char *text)
{
    ngx_mc_udp_refusal_t  *r;

    r = &ngx_mc_udp_refused[reason];

    if (r->n == 0) {
        ngx_memcpy(&r->peer, msg->msg_name, msg->msg_namelen);
        r->peer_len = msg->msg_namelen;
        r->text = text;
    }

    r->n += n;
}


static void
ngx_mc_udp_refusals(ngx_mc_udp_source_t *s, int64_t now)
{
    ngx_uint_t             i;
    ngx_mc_udp_refusal_t  *r;

    for (i = 0; i < NGX_MC_REJECTED_N; i++) {

        r = &ngx_mc_udp_refused[i];

        if (r->n == 0) {
            continue;
        }

        ngx_mc_endpoint_rejected(s->endpoint, i, r->n, &r->peer.sockaddr,
                                 r->peer_len, "datagram refused: %s",
                                 r->text);

        if (i == NGX_MC_REJECTED_MALFORMED && s->up) {
            s->complained = now;
        }

        r->n = 0;
    }
}
