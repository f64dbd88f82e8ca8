
/*
 * mcpkt send, mcpkt connect.
 */


#include "mc_pkt.h"

#include <openssl/evp.h>
#include <sys/uio.h>


#define MC_CHECK_EVERY  20000000ull
#define MC_MAX_HELD     8


typedef struct {
    SRTSOCKET   srt;
    int         fd;
    uint64_t    retry;
    uint64_t    sent;
    uint64_t    dropped;
    unsigned    connections;
    int         reject;
    unsigned    connected:1;
    unsigned    dead:1;
} mc_dest_t;


typedef struct {
    uint8_t     data[MC_MAX_DATAGRAM];
    size_t      len;
    unsigned    after;
} mc_held_t;


typedef struct {
    mc_url_t   *url;
    mc_dest_t  *dests;
    unsigned    n;
    SRTSOCKET   listener;
    mc_addr_t   share;
    mc_gen_t    gen;
    uint64_t    random;
    EVP_MD_CTX *md5;

    uint16_t    seq;
    uint32_t    ssrc;

    mc_held_t  *held;
    unsigned    nheld;

    uint64_t    made;
    uint64_t    skipped;
    uint64_t    repeated;
    uint64_t    moved;
} mc_sender_t;


static void mc_send_open(mc_sender_t *s);
static unsigned mc_send_watch(mc_sender_t *s);
static size_t mc_send_make(mc_sender_t *s, uint8_t *buf);
static void mc_send_one(mc_sender_t *s, const uint8_t *buf, size_t len);
static void mc_send_out(mc_sender_t *s, const uint8_t *buf, size_t len);
static double mc_chance(mc_sender_t *s);
static void mc_send_linger(mc_sender_t *s);


int
mc_send(mc_url_t *u)
{
    size_t          len;
    double          elapsed;
    uint64_t        now, start, due, next, end, interval, watch;
    unsigned        i, n, md_len, up;
    mc_sender_t    *s;
    unsigned char   md[EVP_MAX_MD_SIZE];
    static uint8_t  buf[MC_MAX_DATAGRAM];

    s = calloc(1, sizeof(mc_sender_t));
    s->url = u;
    s->n = opt.count;
    s->dests = calloc(s->n, sizeof(mc_dest_t));
    s->held = calloc(MC_MAX_HELD, sizeof(mc_held_t));
    s->random = opt.seed;
    s->listener = SRT_INVALID_SOCK;

    mc_gen_init(&s->gen, opt.rate, opt.id, opt.seed);
    s->gen.pcr_start = opt.pcr_start;
    s->gen.mix = opt.mix;

    s->ssrc = opt.ssrc >= 0 ? opt.ssrc
                            : (int64_t) (mc_random(&s->random) >> 32);
    s->seq = opt.start_seq >= 0 ? opt.start_seq
                                : (int64_t) (mc_random(&s->random) >> 48);

    if (opt.md5) {
        s->md5 = EVP_MD_CTX_new();
        EVP_DigestInit_ex(s->md5, EVP_md5(), NULL);
    }

    mc_send_open(s);

    end = mc_now() + opt.wait * 1e9;

    for ( ;; ) {
        up = mc_send_watch(s);

        if (up == s->n || opt.nowait || mc_stop) {
            break;
        }

        for (n = 0, i = 0; i < s->n; i++) {
            n += s->dests[i].dead;
        }

        if (n == s->n || mc_now() > end) {
            break;
        }

        mc_sleep_until(mc_now() + 5000000);
    }

    if (up < s->n && !opt.nowait) {
        printf("{\"error\": \"%s\", \"connected\": %u, \"reject_reason\": %d, "
               "\"reject_text\": \"%s\"}\n",
               s->listener == SRT_INVALID_SOCK ? "not connected"
                                               : "nobody connected",
               up, s->dests[0].reject,
               srt_rejectreason_str(s->dests[0].reject));
        fflush(stdout);
        _exit(1);
    }

    mc_note("sending");

    start = mc_now();
    interval = opt.rate ? opt.size * 8 * 1000000000ull / opt.rate : 0;
    end = opt.seconds ? start + opt.seconds * 1e9 : UINT64_MAX;
    watch = start;
    now = start;

    while (!mc_stop && now < end) {

        for (n = 0; /* void */ ; n++) {

            if (opt.packets && s->made >= opt.packets) {
                goto done;
            }

            /* multiplied in floating point, an error would add up */

            due = start + (uint64_t) ((double) (s->made / opt.burst * opt.burst)
                                      * opt.size * 8e9
                                      / (opt.rate ? opt.rate : 1e18));

            if (due > now || (interval == 0 && n == 64)) {
                break;
            }

            len = mc_send_make(s, buf);
            mc_send_one(s, buf, len);
        }

        if (now >= watch) {
            watch = now + MC_CHECK_EVERY;

            if (s->url->proto == MC_SRT && mc_send_watch(s) == 0
                && !opt.reconnect && !opt.keep && !opt.nowait)
            {
                mc_note("all connections lost");
                break;
            }
        }

        next = due;

        if (next < now + opt.tick * 1000) {
            next = now + opt.tick * 1000;
        }

        if (next > now + MC_CHECK_EVERY) {
            next = now + MC_CHECK_EVERY;
        }

        if (interval && due > now) {
            mc_sleep_until(next);

        } else if (interval == 0) {
            mc_sleep_until(now + 200000);
        }

        now = mc_now();
    }

done:

    for (i = 0; i < s->nheld; i++) {
        mc_send_out(s, s->held[i].data, s->held[i].len);
    }

    elapsed = (mc_now() - start) / 1e9;

    mc_send_linger(s);

    printf("{\"packets\": %lu, \"ts_packets\": %lu, \"data_packets\": %lu, "
           "\"id\": %u, \"dropped\": %lu, \"duplicated\": %lu, "
           "\"reordered\": %lu, \"seconds\": %.3f, \"bitrate\": %.0f",
           s->made, s->gen.packet, s->gen.data, s->gen.id, s->skipped,
           s->repeated, s->moved, elapsed,
           elapsed > 0 ? s->made * opt.size * 8 / elapsed : 0);

    if (s->md5) {
        EVP_DigestFinal_ex(s->md5, md, &md_len);
        printf(", \"md5\": \"");
        for (i = 0; i < md_len; i++) {
            printf("%02x", md[i]);
        }
        printf("\"");
    }

    if (u->proto == MC_RTP) {
        printf(", \"ssrc\": %u, \"next_seq\": %u", s->ssrc, s->seq);
    }

    for (n = 0, now = 0, up = 0, i = 0; i < s->n; i++) {
        now += s->dests[i].dropped;
        up += s->dests[i].connections;
        n += s->dests[i].connected;
    }

    printf(", \"send_dropped\": %lu, \"connections\": %u, "
           "\"connected_at_end\": %u", now, up, n);

    if (u->proto == MC_SRT) {
        printf(", \"reject_reason\": %d, \"srt\": [", s->dests[0].reject);

        for (i = 0; i < s->n; i++) {
            printf("%s{\"sent\": %lu, \"send_dropped\": %lu",
                   i ? ", " : "", s->dests[i].sent, s->dests[i].dropped);

            if (s->dests[i].connected) {
                printf(", ");
                mc_srt_describe(s->dests[i].srt);
            }

            printf("}");
        }

        printf("]");
    }

    printf(", \"cpu_s\": %.3f}\n", mc_cpu());
    fflush(stdout);

    if (u->proto == MC_SRT) {
        for (i = 0; i < s->n; i++) {
            if (s->dests[i].srt != SRT_INVALID_SOCK) {
                srt_close(s->dests[i].srt);
            }
        }

        if (s->listener != SRT_INVALID_SOCK) {
            srt_close(s->listener);
        }

        srt_cleanup();
    }

    return 0;
}


static void
mc_send_open(mc_sender_t *s)
{
    unsigned    i;
    mc_addr_t   peer, *share;

    share = (s->n > 1 && !opt.own_ports) ? &s->share : NULL;

    for (i = 0; i < s->n; i++) {
        s->dests[i].srt = SRT_INVALID_SOCK;
    }

    if (s->url->proto != MC_SRT) {
        for (i = 0; i < s->n; i++) {
            s->dests[i].fd = mc_udp_sender(s->url, s->url->port + i, &peer);
            s->dests[i].connected = 1;
            s->dests[i].connections = 1;
        }

        return;
    }

    mc_srt_init();

    if (s->url->mode == MC_LISTENER) {
        s->listener = mc_srt_listen(s->url, s->url->port);
        mc_note("listening on port %d", s->url->port);
        return;
    }

    for (i = 0; i < s->n; i++) {
        s->dests[i].srt = mc_srt_connect(s->url,
                                         s->url->port + (opt.ports ? i : 0),
                                         share);
    }
}


/* returns how many destinations are connected */

static unsigned
mc_send_watch(mc_sender_t *s)
{
    SRTSOCKET        c;
    unsigned         i, up;
    uint64_t         now;
    mc_dest_t       *d;
    SRT_SOCKSTATUS   state;

    if (s->url->proto != MC_SRT) {
        return s->n;
    }

    if (s->listener != SRT_INVALID_SOCK) {

        for ( ;; ) {
            c = srt_accept(s->listener, NULL, NULL);
            if (c == SRT_INVALID_SOCK) {
                break;
            }

            for (i = 0; i < s->n; i++) {
                d = &s->dests[i];

                if (d->srt == SRT_INVALID_SOCK) {
                    d->srt = c;
                    d->connected = 1;
                    d->connections++;
                    mc_note("accepted");
                    break;
                }
            }

            if (i == s->n) {
                srt_close(c);
            }
        }
    }

    now = mc_now();

    for (up = 0, i = 0; i < s->n; i++) {
        d = &s->dests[i];

        if (d->srt == SRT_INVALID_SOCK) {
            if (s->listener == SRT_INVALID_SOCK && !d->dead
                && now >= d->retry)
            {
                d->srt = mc_srt_connect(s->url,
                                       s->url->port + (opt.ports ? i : 0),
                                       s->share.len ? &s->share : NULL);
                d->retry = now + 200000000;
            }

            continue;
        }

        state = srt_getsockstate(d->srt);

        if (state == SRTS_CONNECTED) {
            if (!d->connected) {
                d->connected = 1;
                d->connections++;
                mc_note("connected");
            }

            up++;

        } else if (state > SRTS_CONNECTED) {

            if (!d->connected) {
                d->reject = srt_getrejectreason(d->srt);
                mc_note("not connected: reason %d %s", d->reject,
                        srt_rejectreason_str(d->reject));

                /* nobody there yet is the only reason to try again */

                if (d->reject != SRT_REJ_TIMEOUT && !opt.reconnect) {
                    d->dead = 1;
                }

            } else {
                mc_note("connection lost");
                d->dead = !opt.reconnect;
            }

            srt_close(d->srt);
            d->srt = SRT_INVALID_SOCK;
            d->connected = 0;
            d->retry = now + 200000000;
        }
    }

    return up;
}


static size_t
mc_send_make(mc_sender_t *s, uint8_t *buf)
{
    size_t     i, hdr, size;
    uint8_t   *p;
    uint32_t   ts;

    hdr = 0;
    size = opt.size;

    if (opt.restart && s->made == opt.restart) {
        s->ssrc = mc_random(&s->random) >> 32;
        s->seq = mc_random(&s->random) >> 48;
    }

    if (s->url->proto == MC_RTP) {
        ts = mc_gen_pcr(&s->gen, s->gen.packet) / 300;

        p = buf;
        p[0] = opt.rtp_version << 6 | (opt.pad ? 0x20 : 0)
               | (opt.ext ? 0x10 : 0) | (opt.csrc & 0x0f);
        p[1] = opt.pt & 0x7f;
        p[2] = s->seq >> 8;
        p[3] = s->seq;
        p[4] = ts >> 24;
        p[5] = ts >> 16;
        p[6] = ts >> 8;
        p[7] = ts;
        p[8] = s->ssrc >> 24;
        p[9] = s->ssrc >> 16;
        p[10] = s->ssrc >> 8;
        p[11] = s->ssrc;

        s->seq++;
        hdr = 12;

        for (i = 0; i < (opt.csrc & 0x0f); i++, hdr += 4) {
            memset(buf + hdr, 0x40 + i, 4);
        }

        if (opt.ext) {
            p = buf + hdr;
            p[0] = 0xbe;
            p[1] = 0xde;
            p[2] = opt.ext >> 8;
            p[3] = opt.ext;
            memset(p + 4, 0, opt.ext * 4);
            hdr += 4 + opt.ext * 4;
        }
    }

    mc_gen_datagram(&s->gen, buf + hdr, size, mc_now());

    if (opt.nosync) {
        for (i = 0; i < size; i += MC_TS_SIZE) {
            buf[hdr + i] = 0x46;
        }
    }

    if (s->md5) {
        EVP_DigestUpdate(s->md5, buf + hdr, size);
    }

    size += hdr;

    if (opt.pad) {
        memset(buf + size, 0, opt.pad);
        size += opt.pad;
        buf[size - 1] = opt.pad;
    }

    if (opt.garbage) {
        size = 1 + mc_random(&s->random) % opt.size;

        for (i = 0; i < size; i++) {
            buf[i] = mc_random(&s->random) >> 40;
        }
    }

    if (opt.truncate && opt.truncate < size) {
        size = opt.truncate;
    }

    s->made++;

    return size;
}


/* applies --drop, --dup and --reorder: a held datagram leaves 1..3 later */

static void
mc_send_one(mc_sender_t *s, const uint8_t *buf, size_t len)
{
    unsigned    i;
    mc_held_t  *h;

    if (opt.drop > 0 && mc_chance(s) < opt.drop) {
        s->skipped++;
        return;
    }

    if (opt.reorder > 0 && s->nheld < MC_MAX_HELD
        && mc_chance(s) < opt.reorder)
    {
        h = &s->held[s->nheld++];
        memcpy(h->data, buf, len);
        h->len = len;
        h->after = 1 + mc_random(&s->random) % 3;
        s->moved++;
        return;
    }

    mc_send_out(s, buf, len);

    if (opt.dup > 0 && mc_chance(s) < opt.dup) {
        s->repeated++;
        mc_send_out(s, buf, len);
    }

    for (i = 0; i < s->nheld; /* void */) {
        h = &s->held[i];

        if (--h->after) {
            i++;
            continue;
        }

        mc_send_out(s, h->data, h->len);
        *h = s->held[--s->nheld];
    }
}


static double
mc_chance(mc_sender_t *s)
{
    return (mc_random(&s->random) >> 11) / 9007199254740992.0;
}


static void
mc_send_out(mc_sender_t *s, const uint8_t *buf, size_t len)
{
    unsigned    i;
    mc_dest_t  *d;

    for (i = 0; i < s->n; i++) {
        d = &s->dests[i];

        if (!d->connected) {
            d->dropped++;
            continue;
        }

        if (s->url->proto == MC_SRT) {

            if (srt_sendmsg2(d->srt, (char *) buf, len, NULL) < 0) {
                d->dropped++;
                continue;
            }

        /* ICMP errors of earlier datagrams show up here: once more */

        } else if (send(d->fd, buf, len, 0) == -1
                   && send(d->fd, buf, len, 0) == -1)
        {
            d->dropped++;
            continue;
        }

        d->sent++;
    }
}


/* libsrt throws away at srt_close() what the receiver has not yet played */

static void
mc_send_linger(mc_sender_t *s)
{
    int       n, len;
    size_t    bytes, blocks, left;
    double    wait;
    unsigned  i;
    uint64_t  now, end;

    if (s->url->proto != MC_SRT) {
        return;
    }

    now = mc_now();
    end = now + 3000000000ull;
    wait = 0;

    for ( ;; ) {
        left = 0;

        for (i = 0; i < s->n; i++) {
            if (!s->dests[i].connected
                || srt_getsockstate(s->dests[i].srt) != SRTS_CONNECTED)
            {
                continue;
            }

            if (srt_getsndbuffer(s->dests[i].srt, &blocks, &bytes) >= 0) {
                left += bytes;
            }

            n = 0;
            len = sizeof(int);
            srt_getsockflag(s->dests[i].srt, SRTO_PEERLATENCY, &n, &len);

            if (n / 1e3 + 0.3 > wait) {
                wait = n / 1e3 + 0.3;
            }
        }

        if (left == 0 || mc_now() > end) {
            break;
        }

        mc_sleep_until(mc_now() + 5000000);
    }

    mc_sleep_until(mc_now() + (opt.linger >= 0 ? opt.linger : wait) * 1e9);
}


int
mc_connect(mc_url_t *u)
{
    int             reason;
    uint64_t        start, took, end;
    SRTSOCKET       s;
    SRT_SOCKSTATUS  state;

    mc_srt_init();

    s = mc_srt_connect(u, u->port, NULL);
    if (s == SRT_INVALID_SOCK) {
        mc_die("srt_connect() failed");
    }

    start = mc_now();
    end = start + opt.wait * 1e9;

    do {
        mc_sleep_until(mc_now() + 1000000);
        state = srt_getsockstate(s);
        took = mc_now() - start;

    } while (state < SRTS_CONNECTED && !mc_stop && mc_now() < end);

    if (state != SRTS_CONNECTED) {
        reason = srt_getrejectreason(s);
        printf("{\"connected\": false, \"reject_reason\": %d, "
               "\"reject_text\": ", reason);
        mc_json_string(srt_rejectreason_str(reason));
        printf(", \"took_ms\": %.1f}\n", took / 1e6);
        fflush(stdout);
        _exit(1);
    }

    mc_note("connected");

    end = mc_now() + opt.hold * 1e9;

    while (mc_now() < end && !mc_stop) {
        mc_sleep_until(mc_now() + 10000000);

        if (srt_getsockstate(s) != SRTS_CONNECTED) {
            break;
        }
    }

    state = srt_getsockstate(s);

    printf("{\"connected\": true, \"reject_reason\": null, "
           "\"took_ms\": %.1f, \"lost\": %s, \"held_ms\": %.1f, ",
           took / 1e6, state == SRTS_CONNECTED ? "false" : "true",
           (mc_now() - start) / 1e6);

    if (state == SRTS_CONNECTED) {
        mc_srt_describe(s);
        printf("}\n");

    } else {
        printf("\"peer\": null}\n");
    }

    fflush(stdout);

    srt_close(s);
    srt_cleanup();

    return 0;
}
