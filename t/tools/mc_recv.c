
/*
 * mcpkt recv.
 */


#include "mc_pkt.h"

#include <sys/epoll.h>


#define MC_BATCH        32
#define MC_CHECK_EVERY  20000000ull


typedef struct {
    SRTSOCKET         srt;
    int               fd;
    int               port;
    int               reject;
    uint64_t          retry;
    uint32_t          drops;
    mc_check_t        check;
    SRT_TRACEBSTATS   stats;
    char             *described;
    unsigned          connected:1;
    unsigned          dead:1;
    unsigned          stats_on:1;
} mc_from_t;


typedef struct {
    mc_url_t         *url;
    mc_from_t        *from;
    unsigned          n;
    SRTSOCKET        *listeners;
    unsigned          nlisteners;
    mc_addr_t         share;
    int               eid;
    int               epfd;

    uint8_t          *buf;
    size_t            buf_size;
    struct mmsghdr    msgs[MC_BATCH];
    struct iovec      iovs[MC_BATCH];
    uint8_t           control[MC_BATCH][256];
} mc_receiver_t;


static void mc_recv_open(mc_receiver_t *r);
static void mc_recv_open_udp(mc_receiver_t *r);
static void mc_recv_watch(mc_receiver_t *r);
static void mc_recv_accept(mc_receiver_t *r, unsigned index);
static void mc_recv_up(mc_receiver_t *r, mc_from_t *f);
static void mc_recv_lost(mc_receiver_t *r, mc_from_t *f);
static void mc_recv_srt(mc_receiver_t *r, mc_from_t *f);
static void mc_recv_udp(mc_receiver_t *r, mc_from_t *f);
static void mc_recv_wait(mc_receiver_t *r);
static int mc_recv_done(mc_receiver_t *r, uint64_t start);
static void mc_recv_print(mc_receiver_t *r);
static void mc_recv_print_srt(mc_from_t *f);


int
mc_recv(mc_url_t *u)
{
    unsigned        i, port;
    uint64_t        start;
    mc_receiver_t  *r;

    r = calloc(1, sizeof(mc_receiver_t));
    r->url = u;
    r->n = opt.count;
    r->from = calloc(r->n, sizeof(mc_from_t));
    r->epfd = -1;
    r->eid = -1;

    for (i = 0; i < r->n; i++) {
        mc_check_init(&r->from[i].check);

        port = u->port + (u->proto != MC_SRT || opt.ports ? i : 0);
        r->from[i].port = port;
        r->from[i].srt = SRT_INVALID_SOCK;
        r->from[i].check.rtp_on = (u->proto == MC_RTP);
    }

    if (opt.file) {
        r->from[0].check.file = fopen(opt.file, "w");
        if (r->from[0].check.file == NULL) {
            mc_die("cannot open \"%s\"", opt.file);
        }
    }

    if (u->proto == MC_SRT) {
        mc_recv_open(r);

    } else {
        mc_recv_open_udp(r);
    }

    mc_note("ready");

    start = mc_now();

    while (!mc_stop && !mc_recv_done(r, start)) {
        mc_recv_wait(r);
    }

    mc_recv_watch(r);
    mc_recv_print(r);

    if (opt.file) {
        fclose(r->from[0].check.file);
    }

    if (u->proto == MC_SRT) {
        for (i = 0; i < r->n; i++) {
            if (r->from[i].srt != SRT_INVALID_SOCK) {
                srt_close(r->from[i].srt);
            }
        }

        for (i = 0; i < r->nlisteners; i++) {
            srt_close(r->listeners[i]);
        }

        srt_cleanup();
    }

    for (i = 0; i < r->n; i++) {
        if (r->from[i].check.datagrams) {
            return 0;
        }
    }

    return 1;
}


static void
mc_recv_open(mc_receiver_t *r)
{
    int         events;
    unsigned    i;
    mc_addr_t  *share;

    mc_srt_init();

    r->buf = malloc(MC_MAX_DATAGRAM);

    r->eid = srt_epoll_create();
    srt_epoll_set(r->eid, SRT_EPOLL_ENABLE_EMPTY);

    if (r->url->mode == MC_LISTENER) {
        r->nlisteners = opt.ports ? r->n : 1;
        r->listeners = calloc(r->nlisteners, sizeof(SRTSOCKET));
        events = SRT_EPOLL_IN|SRT_EPOLL_ERR;

        for (i = 0; i < r->nlisteners; i++) {
            r->listeners[i] = mc_srt_listen(r->url, r->url->port + i);
            srt_epoll_add_usock(r->eid, r->listeners[i], &events);
        }

        return;
    }

    share = (r->n > 1 && !opt.own_ports) ? &r->share : NULL;

    for (i = 0; i < r->n; i++) {

        if (i && opt.stagger > 0) {
            r->from[i].retry = mc_now() + i * opt.stagger * 1e6;
            continue;
        }

        r->from[i].srt = mc_srt_connect(r->url, r->from[i].port, share);
    }
}


static void
mc_recv_open_udp(mc_receiver_t *r)
{
    unsigned            i;
    struct epoll_event  ee;

    r->buf_size = opt.gro ? 65536 : 9216;
    r->buf = malloc(r->buf_size * MC_BATCH);
    r->epfd = epoll_create1(EPOLL_CLOEXEC);

    for (i = 0; i < MC_BATCH; i++) {
        r->iovs[i].iov_base = r->buf + i * r->buf_size;
        r->iovs[i].iov_len = r->buf_size;
        r->msgs[i].msg_hdr.msg_iov = &r->iovs[i];
        r->msgs[i].msg_hdr.msg_iovlen = 1;
    }

    for (i = 0; i < r->n; i++) {
        r->from[i].fd = mc_udp_receiver(r->url, r->from[i].port);
        r->from[i].connected = 1;
        r->from[i].check.connections = 1;

        ee.events = EPOLLIN;
        ee.data.ptr = &r->from[i];
        epoll_ctl(r->epfd, EPOLL_CTL_ADD, r->from[i].fd, &ee);
    }
}


static void
mc_recv_wait(mc_receiver_t *r)
{
    int                    i, n;
    unsigned               k;
    uint64_t               now;
    SRT_EPOLL_EVENT        srt_events[128];
    struct epoll_event     events[128];
    static uint64_t        watch;

    now = mc_now();

    if (now >= watch) {
        watch = now + MC_CHECK_EVERY;
        mc_recv_watch(r);
    }

    if (opt.poll > 0) {
        mc_sleep_until(now + opt.poll * 1e6);

        for (k = 0; k < r->n; k++) {
            if (r->from[k].connected) {
                if (r->url->proto == MC_SRT) {
                    mc_recv_srt(r, &r->from[k]);

                } else {
                    mc_recv_udp(r, &r->from[k]);
                }
            }
        }

        return;
    }

    if (r->url->proto != MC_SRT) {
        n = epoll_wait(r->epfd, events, 128, 20);

        for (i = 0; i < n; i++) {
            mc_recv_udp(r, events[i].data.ptr);
        }

        return;
    }

    n = srt_epoll_uwait(r->eid, srt_events, 128, 20);

    for (i = 0; i < n; i++) {

        for (k = 0; k < r->nlisteners; k++) {
            if (srt_events[i].fd == r->listeners[k]) {
                mc_recv_accept(r, k);
                break;
            }
        }

        for (k = 0; k < r->n; k++) {
            if (srt_events[i].fd == r->from[k].srt) {
                mc_recv_srt(r, &r->from[k]);
                break;
            }
        }
    }
}


static void
mc_recv_watch(mc_receiver_t *r)
{
    unsigned          i;
    uint64_t          now;
    mc_from_t        *f;
    SRT_SOCKSTATUS    state;
    static unsigned   turn;

    if (r->url->proto != MC_SRT) {
        return;
    }

    now = mc_now();
    turn++;

    for (i = 0; i < r->nlisteners; i++) {
        if (opt.poll > 0) {
            mc_recv_accept(r, i);
        }
    }

    for (i = 0; i < r->n; i++) {
        f = &r->from[i];

        if (f->srt == SRT_INVALID_SOCK) {
            if (r->nlisteners == 0 && !f->dead && now >= f->retry) {
                f->srt = mc_srt_connect(r->url, f->port,
                                        r->share.len ? &r->share : NULL);
                f->retry = now + 200000000;
            }

            continue;
        }

        if (f->connected) {
            if (turn % 10 == i % 10
                && srt_bstats(f->srt, &f->stats, 0) == 0)
            {
                f->stats_on = 1;
            }

            continue;
        }

        state = srt_getsockstate(f->srt);

        if (state == SRTS_CONNECTED) {
            mc_recv_up(r, f);
            continue;
        }

        if (state > SRTS_CONNECTED) {
            f->reject = srt_getrejectreason(f->srt);

            if (f->reject != SRT_REJ_TIMEOUT && !opt.reconnect) {
                f->dead = 1;
            }

            mc_note("not connected: reason %d %s", f->reject,
                    srt_rejectreason_str(f->reject));
            srt_close(f->srt);
            f->srt = SRT_INVALID_SOCK;
            f->retry = now + 200000000;
        }
    }
}


static void
mc_recv_accept(mc_receiver_t *r, unsigned index)
{
    unsigned    i, first, end;
    SRTSOCKET   c;
    mc_from_t  *f;

    for ( ;; ) {
        c = srt_accept(r->listeners[index], NULL, NULL);
        if (c == SRT_INVALID_SOCK) {
            return;
        }

        first = opt.ports ? index : 0;
        end = opt.ports ? index + 1 : r->n;

        /* a caller that comes back goes on where one left */

        for (f = NULL, i = first; i < end; i++) {
            if (r->from[i].srt != SRT_INVALID_SOCK) {
                continue;
            }

            if (f == NULL
                || f->check.connections > r->from[i].check.connections)
            {
                f = &r->from[i];
            }
        }

        if (f == NULL) {
            mc_note("one caller too many");
            srt_close(c);
            continue;
        }

        f->srt = c;
        mc_recv_up(r, f);
    }
}


static void
mc_recv_up(mc_receiver_t *r, mc_from_t *f)
{
    int     events;
    FILE   *saved, *mem;
    size_t  size;

    f->connected = 1;
    f->dead = 0;
    f->check.connections++;

    events = SRT_EPOLL_IN|SRT_EPOLL_ERR;
    srt_epoll_add_usock(r->eid, f->srt, &events);

    if (srt_bstats(f->srt, &f->stats, 0) == 0) {
        f->stats_on = 1;
    }

    mc_note("connected");

    /* a broken socket can no longer be asked: keep what is known now */

    mem = open_memstream(&f->described, &size);
    if (mem) {
        saved = stdout;
        stdout = mem;
        mc_srt_describe(f->srt);
        stdout = saved;
        fclose(mem);
    }
}


static void
mc_recv_lost(mc_receiver_t *r, mc_from_t *f)
{
    mc_note("connection lost after %lu datagrams",
            (unsigned long) f->check.datagrams);

    srt_epoll_remove_usock(r->eid, f->srt);
    srt_close(f->srt);

    f->srt = SRT_INVALID_SOCK;
    f->connected = 0;
    f->retry = mc_now() + 200000000;

    if (!opt.reconnect && r->nlisteners == 0) {
        f->dead = 1;
    }
}


static void
mc_recv_srt(mc_receiver_t *r, mc_from_t *f)
{
    int       n;
    uint64_t  now;

    for ( ;; ) {
        n = srt_recvmsg2(f->srt, (char *) r->buf, MC_MAX_DATAGRAM, NULL);

        if (n < 0) {
            if (srt_getlasterror(NULL) != SRT_EASYNCRCV) {
                mc_recv_lost(r, f);
            }

            return;
        }

        now = mc_now();
        mc_check_datagram(&f->check, r->buf, n, now, now);

        if (opt.packets && f->check.datagrams >= opt.packets) {
            return;
        }
    }
}


static void
mc_recv_udp(mc_receiver_t *r, mc_from_t *f)
{
    int               i, n, gso;
    size_t            len, part;
    uint8_t          *p;
    uint32_t          drops;
    uint64_t          now, arrival;
    struct msghdr    *msg;
    struct cmsghdr   *cm;
    struct timespec   ts;

    do {
        for (i = 0; i < MC_BATCH; i++) {
            r->msgs[i].msg_hdr.msg_control = r->control[i];
            r->msgs[i].msg_hdr.msg_controllen = sizeof(r->control[i]);
        }

        n = recvmmsg(f->fd, r->msgs, MC_BATCH, MSG_DONTWAIT, NULL);

        if (n <= 0) {
            return;
        }

        now = mc_now();

        for (i = 0; i < n; i++) {
            msg = &r->msgs[i].msg_hdr;
            gso = 0;
            arrival = now;

            for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {

                if (cm->cmsg_level == SOL_SOCKET
                    && cm->cmsg_type == SO_TIMESTAMPNS)
                {
                    memcpy(&ts, CMSG_DATA(cm), sizeof(ts));
                    arrival = (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;

                } else if (cm->cmsg_level == SOL_SOCKET
                           && cm->cmsg_type == SO_RXQ_OVFL)
                {
                    memcpy(&drops, CMSG_DATA(cm), 4);
                    f->check.kernel_drops = drops;

                } else if (cm->cmsg_level == IPPROTO_UDP
                           && cm->cmsg_type == UDP_GRO)
                {
                    memcpy(&gso, CMSG_DATA(cm), sizeof(int));
                }
            }

            p = r->iovs[i].iov_base;
            len = r->msgs[i].msg_len;

            if (gso <= 0) {
                gso = len;
            }

            do {
                part = len < (size_t) gso ? len : (size_t) gso;

                if (!opt.packets || f->check.datagrams < opt.packets) {
                    mc_check_datagram(&f->check, p, part, now, arrival);
                }

                p += part;
                len -= part;

            } while (len);
        }

    } while (n == MC_BATCH);
}


static int
mc_recv_done(mc_receiver_t *r, uint64_t start)
{
    unsigned    i, all, none, dead, gone;
    uint64_t    now, last;
    mc_from_t  *f;

    now = mc_now();

    if (opt.seconds && now - start >= opt.seconds * 1e9) {
        return 1;
    }

    all = 1;
    none = 1;
    dead = 1;
    gone = 1;
    last = 0;

    for (i = 0; i < r->n; i++) {
        f = &r->from[i];

        if (f->check.datagrams) {
            none = 0;
        }

        if (!opt.packets || f->check.datagrams < opt.packets) {
            all = 0;
        }

        if (!f->dead) {
            dead = 0;
        }

        if (f->connected || f->check.connections == 0) {
            gone = 0;
        }

        if (f->check.last_time > last) {
            last = f->check.last_time;
        }
    }

    if (all || dead) {
        return 1;
    }

    if (r->url->proto == MC_SRT && gone && !opt.keep && !opt.reconnect) {
        return 1;
    }

    if (none) {
        return !opt.seconds && now - start >= opt.wait * 1e9;
    }

    return opt.idle && now > last && now - last >= opt.idle * 1e9;
}


static void
mc_recv_print(mc_receiver_t *r)
{
    unsigned     i, connected, streams;
    uint64_t     datagrams, bytes, lost, worst_lost, worst_p99, least;
    uint64_t     corrupted, dup, kernel, p99;
    mc_from_t   *f;
    mc_hist_t    delay;

    f = &r->from[0];

    connected = streams = 0;
    datagrams = bytes = lost = worst_lost = worst_p99 = corrupted = 0;
    dup = kernel = 0;
    least = UINT64_MAX;
    memset(&delay, 0, sizeof(delay));

    for (i = 0; i < r->n; i++) {
        connected += (r->from[i].check.connections > 0);
    }

    printf("{\"receivers\": %u, \"connected\": %u, ", r->n, connected);

    if (connected == 0) {
        printf("\"error\": \"nobody connected\", \"reject_reason\": %d, "
               "\"reject_text\": ", f->reject);
        mc_json_string(srt_rejectreason_str(f->reject));
        printf(", ");

    } else {
        printf("\"error\": null, \"reject_reason\": null, ");
    }

    if (r->n == 1) {
        mc_check_print(&f->check);
        mc_recv_print_srt(f);
        goto done;
    }

    for (i = 0; i < r->n; i++) {
        f = &r->from[i];

        datagrams += f->check.datagrams;
        bytes += f->check.bytes;
        corrupted += f->check.corrupted;
        kernel += f->check.kernel_drops;
        streams += (f->check.datagrams > 0);

        if (f->check.nstreams) {
            dup += f->check.streams[0].dg.duplicate;
        }

        lost += mc_check_lost(&f->check);

        if (mc_check_lost(&f->check) > worst_lost) {
            worst_lost = mc_check_lost(&f->check);
        }

        if (f->check.datagrams < least) {
            least = f->check.datagrams;
        }

        p99 = mc_hist_at(&f->check.delay, 0.99);
        worst_p99 = p99 > worst_p99 ? p99 : worst_p99;

        mc_hist_merge(&delay, &f->check.delay);
    }

    printf("\"with_data\": %u, \"datagrams\": %lu, \"bytes\": %lu, "
           "\"lost\": %lu, \"corrupted\": %lu, \"duplicate\": %lu, "
           "\"kernel_drops\": %lu, \"worst\": {\"datagrams\": %lu, "
           "\"lost\": %lu, \"p99_us\": %lu}",
           streams, datagrams, bytes, lost, corrupted, dup, kernel, least,
           worst_lost, worst_p99);

    mc_hist_print("delay_us", &delay);

    if (opt.each) {
        printf(", \"each\": [");

        for (i = 0; i < r->n; i++) {
            printf("%s{", i ? ", " : "");
            mc_check_print(&r->from[i].check);
            mc_recv_print_srt(&r->from[i]);
            printf("}");
        }

        printf("]");
    }

done:

    printf(", \"cpu_s\": %.3f}\n", mc_cpu());
    fflush(stdout);
}


static void
mc_recv_print_srt(mc_from_t *f)
{
    if (f->described == NULL) {
        return;
    }

    if (f->srt != SRT_INVALID_SOCK) {
        srt_bstats(f->srt, &f->stats, 0);
    }

    printf(", \"srt\": {%s, \"packets\": %ld, \"lost\": %d, "
           "\"dropped\": %d, \"retransmitted\": %d, \"undecrypted\": %d, "
           "\"belated\": %ld}",
           f->described, f->stats.pktRecvTotal, f->stats.pktRcvLossTotal,
           f->stats.pktRcvDropTotal, f->stats.pktRcvRetrans,
           f->stats.pktRcvUndecryptTotal, f->stats.pktRcvBelated);
}
