
/*
 * mcpkt flood: SRT handshakes from many sockets that then fall silent.
 *
 * The layout is that of draft-sharabayko-srt, 3.2.1: a control packet header
 * of 16 bytes, then version, encryption and extension fields, ISN, MTU, flow
 * window, type, socket id, cookie and the peer's address.
 */


#include "mc_pkt.h"

#include <fcntl.h>
#include <sys/epoll.h>


#define MC_HS_SIZE        64
#define MC_HS_INDUCTION   1
#define MC_HS_CONCLUSION  0xffffffff

#define MC_FLOOD_SOCKETS  512


static void mc_put32(uint8_t *p, uint32_t v);
static uint32_t mc_get32(const uint8_t *p);
static size_t mc_flood_hello(uint8_t *p, uint32_t type, uint32_t id,
    uint32_t isn, uint32_t cookie);
static size_t mc_flood_conclusion(uint8_t *p, uint32_t id, uint32_t isn,
    uint32_t cookie);


int
mc_flood(mc_url_t *u)
{
    int                  fd, i, n;
    int                  fds[MC_FLOOD_SOCKETS];
    ssize_t              len;
    uint8_t              buf[2048];
    size_t               size;
    uint32_t             id, type;
    uint64_t             now, start, end, random, made, due, k;
    uint64_t             cookies, concluded, accepted, rejected, refused;
    uint32_t             last_reason;
    mc_addr_t            peer;
    const char          *kind;
    struct epoll_event   ee, events[64];
    int                  ep;

    kind = opt.kind ? opt.kind : "full";

    if (opt.streamid == NULL) {
        opt.streamid = mc_url_param(u, "streamid");
    }

    random = opt.seed;
    made = cookies = concluded = accepted = rejected = refused = 0;
    last_reason = 0;

    for (i = 0; i < MC_FLOOD_SOCKETS; i++) {
        fds[i] = -1;
    }

    ep = epoll_create1(0);
    start = mc_now();
    end = start + opt.seconds * 1e9;

    while ((now = mc_now()) < end && !mc_stop) {

        for ( ;; ) {
            due = start + made * 1e9 / (opt.rate ? opt.rate : 1);
            if (due > now) {
                break;
            }

            k = made++ % MC_FLOOD_SOCKETS;

            if (fds[k] != -1) {
                close(fds[k]);
            }

            fds[k] = mc_udp_sender(u, u->port, &peer);
            fcntl(fds[k], F_SETFL, O_NONBLOCK);

            ee.events = EPOLLIN;
            ee.data.fd = fds[k];
            epoll_ctl(ep, EPOLL_CTL_ADD, fds[k], &ee);

            id = mc_random(&random) >> 34;

            if (strcmp(kind, "garbage") == 0) {

                /* control packets with true types and nonsense behind them */

                size = 16 + mc_random(&random) % 200;

                for (i = 0; i < (int) size; i++) {
                    buf[i] = mc_random(&random) >> 40;
                }

                buf[0] = 0x80;
                buf[1] = mc_random(&random) % 9;

                if (made % 4 == 0) {
                    mc_put32(buf + 12, 0);
                }

                if (made % 16 == 0) {
                    size = mc_random(&random) % 16;
                }

            } else if (strcmp(kind, "nocookie") == 0) {
                size = mc_flood_conclusion(buf, id, mc_random(&random) >> 33,
                                           mc_random(&random) >> 32);

            } else {
                size = mc_flood_hello(buf, MC_HS_INDUCTION, id,
                                      mc_random(&random) >> 33, 0);
            }

            if (send(fds[k], buf, size, 0) == -1) {
                refused++;
            }
        }

        n = epoll_wait(ep, events, 64, 1);

        for (i = 0; i < n; i++) {
            fd = events[i].data.fd;

            for ( ;; ) {
                len = recv(fd, buf, sizeof(buf), 0);

                if (len == -1) {
                    if (errno == ECONNREFUSED) {
                        refused++;
                        continue;
                    }

                    break;
                }

                if (len < MC_HS_SIZE || mc_get32(buf) != 0x80000000) {
                    continue;
                }

                type = mc_get32(buf + 36);

                if (type == MC_HS_INDUCTION) {
                    cookies++;

                    if (strcmp(kind, "full") != 0) {
                        continue;
                    }

                    size = mc_flood_conclusion(buf, mc_get32(buf + 12),
                                               mc_get32(buf + 24),
                                               mc_get32(buf + 44));

                    if (send(fd, buf, size, 0) != -1) {
                        concluded++;
                    }

                } else if (type == MC_HS_CONCLUSION) {
                    accepted++;

                } else if (type >= 1000 && type < 10000) {
                    rejected++;
                    last_reason = type - 1000;
                }
            }
        }
    }

    printf("{\"sent\": %lu, \"cookies\": %lu, \"concluded\": %lu, "
           "\"accepted\": %lu, \"rejected\": %lu, \"reject_reason\": %u, "
           "\"refused\": %lu, \"seconds\": %.3f}\n",
           made, cookies, concluded, accepted, rejected, last_reason, refused,
           (mc_now() - start) / 1e9);
    fflush(stdout);

    return 0;
}


static void
mc_put32(uint8_t *p, uint32_t v)
{
    v = htonl(v);
    memcpy(p, &v, 4);
}


static uint32_t
mc_get32(const uint8_t *p)
{
    uint32_t  v;

    memcpy(&v, p, 4);

    return ntohl(v);
}


static size_t
mc_flood_hello(uint8_t *p, uint32_t type, uint32_t id, uint32_t isn,
    uint32_t cookie)
{
    memset(p, 0, MC_HS_SIZE);

    mc_put32(p, 0x80000000);
    mc_put32(p + 8, 1);

    /* version 4 and a datagram socket until the listener shows its own */

    mc_put32(p + 16, 4);
    mc_put32(p + 20, 2);
    mc_put32(p + 24, isn);
    mc_put32(p + 28, 1500);
    mc_put32(p + 32, 8192);
    mc_put32(p + 36, type);
    mc_put32(p + 40, id);
    mc_put32(p + 44, cookie);

    p[48] = 1;
    p[51] = 127;

    return MC_HS_SIZE;
}


static size_t
mc_flood_conclusion(uint8_t *p, uint32_t id, uint32_t isn, uint32_t cookie)
{
    size_t    i, len, words;
    uint8_t  *e;

    mc_flood_hello(p, MC_HS_CONCLUSION, id, isn, cookie);

    len = opt.streamid ? strlen(opt.streamid) : 0;

    /* version 5; extension flags: 1 HSREQ, 4 CONFIG */

    mc_put32(p + 16, 5);
    mc_put32(p + 20, len ? 5 : 1);

    e = p + MC_HS_SIZE;

    mc_put32(e, 1 << 16 | 3);
    mc_put32(e + 4, 0x00010501);
    mc_put32(e + 8, 0xbf);
    mc_put32(e + 12, 120 << 16 | 120);
    e += 16;

    if (len) {
        words = (len + 3) / 4;
        mc_put32(e, 5 << 16 | words);
        memset(e + 4, 0, words * 4);

        /* the text travels as little endian words */

        for (i = 0; i < len; i++) {
            e[4 + (i / 4) * 4 + 3 - i % 4] = opt.streamid[i];
        }

        e += 4 + words * 4;
    }

    return e - p;
}
