
/*
 * mcpkt fdloop, mcpkt gsoloop: relays that do nothing but relay, to tell what
 * a benchmark's figures owe to libsrt and to the kernel.
 *
 * mcpkt tap: stands between an SRT caller and its listener and sees when each
 * packet leaves the caller.  A receiver cannot tell: what libsrt delivers and
 * when depends on its latency and its acknowledgements.
 */


#include "mc_pkt.h"

#include <poll.h>
#include <sys/uio.h>


#define MC_LOOP_PEERS    1024
#define MC_LOOP_DATA     (4 * 1024 * 1024)
#define MC_LOOP_PACKETS  8192
#define MC_LOOP_TRAIN    60


int
mc_fdloop(mc_url_t *in, mc_url_t *out, unsigned n)
{
    int               events, i, k, len, eid;
    char              buf[2048];
    unsigned          npeers;
    uint64_t          packets, dropped;
    SRTSOCKET         listener, source, from, *peers;
    SRT_EPOLL_EVENT   ee[64];

    mc_srt_init();

    peers = calloc(MC_LOOP_PEERS, sizeof(SRTSOCKET));
    npeers = 0;
    packets = dropped = 0;
    source = SRT_INVALID_SOCK;
    from = SRT_INVALID_SOCK;

    eid = srt_epoll_create();
    events = SRT_EPOLL_IN|SRT_EPOLL_ERR;

    listener = mc_srt_listen(in, in->port);
    srt_epoll_add_usock(eid, listener, &events);

    if (out[0].mode == MC_LISTENER) {
        from = mc_srt_listen(&out[0], out[0].port);
        srt_epoll_add_usock(eid, from, &events);

    } else {
        for (i = 0; i < (int) (n * opt.count) && i < MC_LOOP_PEERS; i++) {
            peers[npeers] = mc_srt_connect(&out[i % n], out[i % n].port, NULL);

            if (peers[npeers] != SRT_INVALID_SOCK) {
                npeers++;
            }
        }
    }

    mc_note("ready");

    while (!mc_stop) {
        k = srt_epoll_uwait(eid, ee, 64, 100);

        for (i = 0; i < k; i++) {

            if (ee[i].fd == listener) {
                source = srt_accept(listener, NULL, NULL);

                if (source != SRT_INVALID_SOCK) {
                    srt_epoll_add_usock(eid, source, &events);
                }

                continue;
            }

            if (ee[i].fd == from) {
                if (npeers < MC_LOOP_PEERS) {
                    peers[npeers] = srt_accept(from, NULL, NULL);

                    if (peers[npeers] != SRT_INVALID_SOCK) {
                        npeers++;
                    }
                }

                continue;
            }

            for ( ;; ) {
                len = srt_recvmsg2(ee[i].fd, buf, sizeof(buf), NULL);

                if (len < 0) {
                    if (srt_getlasterror(NULL) != SRT_EASYNCRCV) {
                        srt_epoll_remove_usock(eid, ee[i].fd);
                        srt_close(ee[i].fd);
                    }

                    break;
                }

                packets++;

                for (n = 0; n < npeers; n++) {
                    if (srt_sendmsg2(peers[n], buf, len, NULL) < 0) {
                        dropped++;
                    }
                }
            }
        }
    }

    printf("{\"packets\": %lu, \"peers\": %u, \"send_dropped\": %lu, "
           "\"cpu_s\": %.3f}\n", packets, npeers, dropped, mc_cpu());
    fflush(stdout);

    srt_cleanup();

    return 0;
}


int
mc_gsoloop(mc_url_t *in, mc_url_t *out, unsigned n)
{
    int               fd, gso, *peers;
    char              control[64], *data;
    size_t            used, len, part, first, train, size, off;
    ssize_t           got;
    unsigned          i, npeers;
    uint16_t          segment;
    uint64_t          packets, flush, now;
    mc_addr_t         peer;
    struct iovec      iov;
    struct msghdr     msg;
    struct pollfd     pfd;
    struct cmsghdr   *cm;
    union {
        struct cmsghdr  align;
        char            buf[CMSG_SPACE(sizeof(uint16_t))];
    } out_control;

    static struct {
        uint32_t      off;
        uint16_t      len;
    } queue[MC_LOOP_PACKETS];
    size_t            queued;

    opt.gro = 1;
    fd = mc_udp_receiver(in, in->port);

    npeers = n * opt.count;
    peers = calloc(npeers, sizeof(int));

    for (i = 0; i < npeers; i++) {
        peers[i] = mc_udp_sender(&out[i % n], out[i % n].port + i / n, &peer);
    }

    data = malloc(MC_LOOP_DATA);
    used = queued = 0;
    packets = 0;
    flush = 0;

    mc_note("ready");

    while (!mc_stop) {

        if (queued == 0) {
            pfd.fd = fd;
            pfd.events = POLLIN;
            poll(&pfd, 1, 100);
            flush = mc_now() + opt.gather * 1e6;

        } else {
            mc_sleep_until(flush);
        }

        while (used + 65536 <= MC_LOOP_DATA && queued + 64 < MC_LOOP_PACKETS) {
            iov.iov_base = data + used;
            iov.iov_len = 65536;

            memset(&msg, 0, sizeof(msg));
            msg.msg_iov = &iov;
            msg.msg_iovlen = 1;
            msg.msg_control = control;
            msg.msg_controllen = sizeof(control);

            got = recvmsg(fd, &msg, MSG_DONTWAIT);
            if (got <= 0) {
                break;
            }

            gso = got;

            for (cm = CMSG_FIRSTHDR(&msg); cm; cm = CMSG_NXTHDR(&msg, cm)) {
                if (cm->cmsg_level == IPPROTO_UDP && cm->cmsg_type == UDP_GRO)
                {
                    memcpy(&gso, CMSG_DATA(cm), sizeof(int));
                }
            }

            for (len = got; len; len -= part) {
                part = len < (size_t) gso ? len : (size_t) gso;
                queue[queued].off = used;
                queue[queued++].len = part;
                used += part;
                packets++;
            }
        }

        now = mc_now();

        if (queued == 0 || (now < flush && queued + 64 < MC_LOOP_PACKETS)) {
            continue;
        }

        /* a train: datagrams of one size, the last may be shorter */

        for (first = 0; first < queued; first = train) {
            size = queue[first].len;
            off = queue[first].off;

            for (len = 0, train = first;
                 train < queued && train - first < MC_LOOP_TRAIN
                 && queue[train].len <= size
                 && len + queue[train].len <= 65000;
                 train++)
            {
                len += queue[train].len;

                if (queue[train].len < size) {
                    train++;
                    break;
                }
            }

            iov.iov_base = data + off;
            iov.iov_len = len;

            memset(&msg, 0, sizeof(msg));
            msg.msg_iov = &iov;
            msg.msg_iovlen = 1;
            msg.msg_control = out_control.buf;
            msg.msg_controllen = sizeof(out_control.buf);

            cm = CMSG_FIRSTHDR(&msg);
            cm->cmsg_level = IPPROTO_UDP;
            cm->cmsg_type = UDP_SEGMENT;
            cm->cmsg_len = CMSG_LEN(sizeof(uint16_t));
            segment = size;
            memcpy(CMSG_DATA(cm), &segment, sizeof(uint16_t));

            for (i = 0; i < npeers; i++) {
                if (sendmsg(peers[i], &msg, 0) == -1) {
                    (void) sendmsg(peers[i], &msg, 0);
                }
            }
        }

        used = 0;
        queued = 0;
    }

    printf("{\"packets\": %lu, \"cpu_s\": %.3f}\n", packets, mc_cpu());
    fflush(stdout);

    return 0;
}


int
mc_tap(mc_url_t *in, mc_url_t *out)
{
    int             client, server;
    ssize_t         n;
    uint8_t         buf[2048];
    uint64_t        retransmitted;
    mc_addr_t       from, peer;
    mc_check_t     *c;
    struct pollfd   pfd[2];

    c = calloc(1, sizeof(mc_check_t));
    mc_check_init(c);

    client = mc_udp_receiver(in, in->port);
    server = mc_udp_sender(out, out->port, &peer);

    memset(&from, 0, sizeof(mc_addr_t));
    retransmitted = 0;

    pfd[0].fd = client;
    pfd[0].events = POLLIN;
    pfd[1].fd = server;
    pfd[1].events = POLLIN;

    mc_note("ready");

    while (!mc_stop) {
        poll(pfd, 2, 100);

        for ( ;; ) {
            from.len = sizeof(from.sa);
            n = recvfrom(client, buf, sizeof(buf), MSG_DONTWAIT,
                         (struct sockaddr *) &from.sa, &from.len);

            if (n < 0) {
                break;
            }

            (void) send(server, buf, n, 0);

            /* a data packet has 0 in its first bit, bit 26 of its second word
               says that it was sent before */

            if (n <= 16 || (buf[0] & 0x80)) {
                continue;
            }

            if (buf[4] & 0x04) {
                retransmitted++;
                continue;
            }

            mc_check_datagram(c, buf + 16, n - 16, mc_now(), mc_now());
        }

        while (from.sa.ss_family
               && (n = recv(server, buf, sizeof(buf), MSG_DONTWAIT)) >= 0)
        {
            (void) sendto(client, buf, n, 0, (struct sockaddr *) &from.sa,
                          peer.len);
        }
    }

    printf("{\"retransmitted\": %lu, ", retransmitted);
    mc_check_print(c);
    printf(", \"cpu_s\": %.3f}\n", mc_cpu());
    fflush(stdout);

    return 0;
}
