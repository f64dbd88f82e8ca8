
/*
 * mcstamp: how long frames are on their way, RTMP and SRT mixed.
 *
 *     mcstamp mark IN.flv OUT.flv    leaves room for times in each picture:
 *                                    an SEI message before it, a NAL unit of an
 *                                    unspecified type after it
 *     mcstamp publish URL FILE.flv   publishes over RTMP in real time, with the
 *                                    time of sending in each picture
 *     mcstamp send HOST PORT FILE.ts the same over SRT, of a TS that was made
 *                                    from a marked FLV
 *     mcstamp play URL               reads times again, over RTMP
 *     mcstamp listen PORT            and as an SRT listener
 *
 * Both take --seconds N and, for readers, --skip N seconds.  Readers print JSON
 * in the end: delays in us of the first and of the last byte of pictures.  Those
 * over SRT have its latency in them, ST_LATENCY ms.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <librtmp/log.h>
#include <librtmp/rtmp.h>
#include <srt/srt.h>


/* digits only, which need no emulation prevention */

#define ST_DIGITS  20
#define ST_FIRST   "mcstampA"
#define ST_LAST    "mcstampZ"
#define ST_MARK    8
#define ST_SIZE    (ST_MARK + ST_DIGITS)
#define ST_MAX     (1 << 20)

/* a receiver without TSBPD would hear of packets with the next ACK only */
#define ST_LATENCY  20

static const uint8_t  uuid[16] = {
    0x8a, 0x31, 0x5e, 0x77, 0x2c, 0x94, 0x4d, 0x1b,
    0x9f, 0x60, 0xd2, 0x43, 0xe8, 0x15, 0x7b, 0xc6
};

typedef struct {
    uint32_t  *us;
    unsigned   n;
} st_list_t;


static volatile sig_atomic_t  done;
static double                 seconds = 10, skip = 1;
static st_list_t              firsts, lasts;
static uint64_t               pictures, bytes;


static void
die(const char *what)
{
    fprintf(stderr, "mcstamp: %s\n", what);
    exit(1);
}


static void
stop(int signo)
{
    (void) signo;
    done = 1;
}


static int64_t
now_us(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static void
sleep_until(int64_t us)
{
    struct timespec  ts;

    ts.tv_sec = us / 1000000;
    ts.tv_nsec = us % 1000000 * 1000;

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}


static uint32_t
be(const uint8_t *p, int n)
{
    uint32_t  v;

    for (v = 0; n; n--) {
        v = v << 8 | *p++;
    }

    return v;
}


static void
put(uint8_t *p, uint32_t v, int n)
{
    while (n) {
        p[--n] = v;
        v >>= 8;
    }
}


static uint8_t *
slurp(const char *name, size_t *size)
{
    FILE     *f;
    uint8_t  *p;

    f = fopen(name, "rb");
    if (f == NULL) {
        die("the file cannot be opened");
    }

    fseek(f, 0, SEEK_END);
    *size = ftell(f);
    rewind(f);

    p = malloc(*size + 1);
    if (p == NULL || fread(p, 1, *size, f) != *size) {
        die("the file cannot be read");
    }

    fclose(f);

    return p;
}


/* the time of sending into each place that was left for it */

static void
stamp(uint8_t *p, size_t len, const char *mark)
{
    char      text[ST_DIGITS + 1];
    uint8_t  *found;

    found = memmem(p, len, mark, ST_MARK);

    if (found && found + ST_SIZE <= p + len) {
        snprintf(text, sizeof(text), "%0*" PRId64, ST_DIGITS, now_us());
        memcpy(found + ST_MARK, text, ST_DIGITS);
    }
}


static void
note(st_list_t *list, const uint8_t *digits)
{
    char     text[ST_DIGITS + 1];
    int64_t  at;

    memcpy(text, digits, ST_DIGITS);
    text[ST_DIGITS] = '\0';

    at = strtoll(text, NULL, 10);

    at = now_us() - at;

    /* digits that were cut in two on their way are another time */

    if (at >= 0 && at < 10000000 && list->n < ST_MAX) {
        list->us[list->n++] = at;
    }
}


static void
look(const uint8_t *p, size_t len)
{
    const uint8_t  *found;

    found = memmem(p, len, ST_FIRST, ST_MARK);

    if (found && found + ST_SIZE <= p + len) {
        pictures++;
        note(&firsts, found + ST_MARK);
    }

    found = memmem(p, len, ST_LAST, ST_MARK);

    if (found && found + ST_SIZE <= p + len) {
        note(&lasts, found + ST_MARK);
    }
}


static int
compare(const void *a, const void *b)
{
    uint32_t  x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}


static void
print_list(const char *name, st_list_t *list)
{
    qsort(list->us, list->n, sizeof(uint32_t), compare);

    printf("\"%s\": {\"n\": %u, \"p50\": %u, \"p99\": %u}", name, list->n,
           list->n ? list->us[list->n / 2] : 0,
           list->n ? list->us[list->n * 99 / 100] : 0);
}


static void
report(void)
{
    printf("{\"pictures\": %" PRIu64 ", \"bytes\": %" PRIu64 ", ", pictures,
           bytes);
    print_list("first_us", &firsts);
    printf(", ");
    print_list("last_us", &lasts);
    printf("}\n");
}


static int
mark(const char *in, const char *out)
{
    FILE     *f;
    size_t    size, n, more;
    uint8_t  *p, *last, sei[64], end[64];

    p = slurp(in, &size);
    last = p + size;

    f = fopen(out, "wb");
    if (f == NULL) {
        die("the output cannot be opened");
    }

    /* lengths of 4 bytes, as ffmpeg makes them */

    put(sei, 3 + 16 + ST_SIZE + 1, 4);
    sei[4] = 0x06;
    sei[5] = 5;
    sei[6] = 16 + ST_SIZE;
    memcpy(sei + 7, uuid, 16);
    memcpy(sei + 23, ST_FIRST, ST_MARK);
    memset(sei + 23 + ST_MARK, '0', ST_DIGITS);
    sei[23 + ST_SIZE] = 0x80;

    put(end, 1 + ST_SIZE + 1, 4);
    end[4] = 0x1e;
    memcpy(end + 5, ST_LAST, ST_MARK);
    memset(end + 5 + ST_MARK, '0', ST_DIGITS);
    end[5 + ST_SIZE] = 0x80;

    fwrite(p, 1, 13, f);
    p += 13;

    more = 24 + ST_SIZE + 6 + ST_SIZE;

    while (p + 15 <= last) {
        n = be(p + 1, 3);

        if (p + 15 + n > last) {
            break;
        }

        if (p[0] == 9 && n > 5 && (p[11] & 15) == 7 && p[12] == 1) {
            put(p + 1, n + more, 3);

            fwrite(p, 1, 16, f);
            fwrite(sei, 1, 24 + ST_SIZE, f);
            fwrite(p + 16, 1, n - 5, f);
            fwrite(end, 1, 6 + ST_SIZE, f);

            put(p + 11 + n, 11 + n + more, 4);
            fwrite(p + 11 + n, 1, 4, f);

        } else {
            fwrite(p, 1, 15 + n, f);
        }

        p += 15 + n;
    }

    return fclose(f);
}


static RTMP *
rtmp_open(char *url, int publish)
{
    RTMP  *r;

    r = RTMP_Alloc();
    RTMP_Init(r);
    r->Link.timeout = 10;

    if (!RTMP_SetupURL(r, url)) {
        die("not an RTMP URL");
    }

    if (publish) {
        RTMP_EnableWrite(r);
    }

    r->Link.lFlags |= RTMP_LF_LIVE;

    if (!RTMP_Connect(r, NULL) || !RTMP_ConnectStream(r, 0)) {
        die("the server refused");
    }

    fprintf(stderr, "mcstamp: connected\n");

    return r;
}


static int
publish(char *url, const char *name)
{
    RTMP        *r;
    size_t       size, n;
    int64_t      start, base, ts, span;
    uint8_t     *data, *p, *last;
    RTMPPacket   pkt;

    data = slurp(name, &size);
    last = data + size;

    r = rtmp_open(url, 1);
    r->m_outChunkSize = 4096;

    memset(&pkt, 0, sizeof(pkt));
    RTMPPacket_Alloc(&pkt, 4);
    pkt.m_nChannel = 2;
    pkt.m_packetType = RTMP_PACKET_TYPE_CHUNK_SIZE;
    pkt.m_headerType = RTMP_PACKET_SIZE_LARGE;
    pkt.m_nBodySize = 4;
    put((uint8_t *) pkt.m_body, 4096, 4);

    if (!RTMP_SendPacket(r, &pkt, 0)) {
        die("sending failed");
    }

    RTMPPacket_Free(&pkt);

    start = now_us();
    base = 0;
    span = 0;

    while (!done && now_us() - start < seconds * 1e6) {

        for (p = data + 13; p + 15 <= last && !done; p += 15 + n) {
            n = be(p + 1, 3);

            if (p + 15 + n > last) {
                break;
            }

            ts = be(p + 4, 3) | (uint32_t) p[7] << 24;
            span = ts > span ? ts : span;

            if (p[0] != 9 && p[0] != 8) {
                continue;
            }

            sleep_until(start + (base + ts) * 1000);

            if (now_us() - start >= seconds * 1e6) {
                break;
            }

            memset(&pkt, 0, sizeof(pkt));
            RTMPPacket_Alloc(&pkt, n);
            memcpy(pkt.m_body, p + 11, n);
            pkt.m_nChannel = p[0] == 9 ? 6 : 4;
            pkt.m_packetType = p[0];
            pkt.m_headerType = RTMP_PACKET_SIZE_LARGE;
            pkt.m_nTimeStamp = base + ts;
            pkt.m_hasAbsTimestamp = 1;
            pkt.m_nInfoField2 = r->m_stream_id;
            pkt.m_nBodySize = n;

            stamp((uint8_t *) pkt.m_body, n < 200 ? n : 200, ST_FIRST);
            stamp((uint8_t *) pkt.m_body + (n > 64 ? n - 64 : 0),
                  n < 64 ? n : 64, ST_LAST);

            pictures += (p[0] == 9);
            bytes += n;

            if (!RTMP_SendPacket(r, &pkt, 0)) {
                die("sending failed");
            }

            RTMPPacket_Free(&pkt);
        }

        /* a frame of 25 a second after the last one */
        base += span + 40;
        span = 0;
    }

    RTMP_Close(r);
    report();

    return 0;
}


static int
play(char *url)
{
    RTMP        *r;
    int64_t      start;
    RTMPPacket   pkt;

    r = rtmp_open(url, 0);
    memset(&pkt, 0, sizeof(pkt));

    start = now_us();

    while (!done && now_us() - start < seconds * 1e6
           && RTMP_ReadPacket(r, &pkt))
    {
        if (!RTMPPacket_IsReady(&pkt) || pkt.m_nBodySize == 0) {
            continue;
        }

        if (pkt.m_packetType == RTMP_PACKET_TYPE_VIDEO) {

            bytes += pkt.m_nBodySize;

            if (now_us() - start >= skip * 1e6) {
                look((uint8_t *) pkt.m_body, pkt.m_nBodySize);
            }

        } else if (pkt.m_packetType != RTMP_PACKET_TYPE_AUDIO) {
            RTMP_ClientPacket(r, &pkt);
        }

        RTMPPacket_Free(&pkt);
        memset(&pkt, 0, sizeof(pkt));
    }

    report();

    return 0;
}


static SRTSOCKET
srt_open(const char *host, int port, struct sockaddr_in *sin)
{
    int        live = SRTT_LIVE, latency = ST_LATENCY;
    SRTSOCKET  s;

    srt_startup();

    s = srt_create_socket();

    srt_setsockflag(s, SRTO_TRANSTYPE, &live, sizeof(live));
    srt_setsockflag(s, SRTO_LATENCY, &latency, sizeof(latency));

    memset(sin, 0, sizeof(*sin));
    sin->sin_family = AF_INET;
    sin->sin_port = htons(port);
    inet_pton(AF_INET, host, &sin->sin_addr);

    return s;
}


static int
listen_srt(int port)
{
    int                 n, timeout = 200;
    char                buf[1500];
    int64_t             start;
    SRTSOCKET           l, s;
    struct sockaddr_in  sin;

    l = srt_open("127.0.0.1", port, &sin);

    if (srt_bind(l, (struct sockaddr *) &sin, sizeof(sin)) < 0
        || srt_listen(l, 1) < 0)
    {
        die("the port cannot be had");
    }

    fprintf(stderr, "mcstamp: listening\n");

    s = srt_accept(l, NULL, NULL);
    srt_setsockflag(s, SRTO_RCVTIMEO, &timeout, sizeof(timeout));

    fprintf(stderr, "mcstamp: connected\n");

    start = now_us();

    while (!done && now_us() - start < seconds * 1e6) {

        n = srt_recvmsg(s, buf, sizeof(buf));

        if (n < 0) {
            if (srt_getlasterror(NULL) == SRT_ETIMEOUT) {
                continue;
            }

            break;
        }

        bytes += n;

        if (now_us() - start >= skip * 1e6) {
            look((uint8_t *) buf, n);
        }
    }

    report();
    srt_cleanup();

    return 0;
}


/* a TS at the pace of its PCRs */

static int
send_srt(const char *host, int port, const char *name)
{
    size_t              size, i, k, n, npcrs, at;
    int64_t             start, pcr, first, previous, span, due;
    uint8_t            *data, *p;
    int64_t            *pcrs;
    SRTSOCKET           s;
    struct sockaddr_in  sin;

    data = slurp(name, &size);
    n = size / 188;

    /* the time of each packet, us since the first PCR, in between on a line */

    pcrs = calloc(n + 1, sizeof(int64_t));
    first = -1;
    previous = 0;
    npcrs = 0;
    at = 0;

    for (i = 0; i < n; i++) {
        p = data + i * 188;

        if ((p[3] & 0x20) == 0 || p[4] < 7 || (p[5] & 0x10) == 0) {
            continue;
        }

        pcr = ((int64_t) be(p + 6, 4) << 1 | p[10] >> 7) * 100 / 9;

        if (first < 0) {
            first = pcr;
        }

        pcr -= first;

        for (k = at; k < i; k++) {
            pcrs[k] = previous + (pcr - previous) * (int64_t) (k - at)
                                 / (int64_t) (i - at);
        }

        previous = pcr;
        at = i;
        npcrs++;
    }

    if (npcrs < 2) {
        die("no PCRs");
    }

    n = at;
    span = previous;

    s = srt_open(host, port, &sin);

    if (srt_connect(s, (struct sockaddr *) &sin, sizeof(sin)) < 0) {
        die("the connection failed");
    }

    fprintf(stderr, "mcstamp: connected\n");

    start = now_us();

    for (i = 0; !done && now_us() - start < seconds * 1e6; i += 7) {

        if (i + 7 > n) {
            i = 0;
            start += span;
            seconds -= span / 1e6;
        }

        due = start + pcrs[i];

        if (due > now_us()) {
            sleep_until(due);
        }

        p = data + i * 188;

        for (k = 0; k < 7; k++) {
            stamp(p + k * 188 + 4, 184, ST_FIRST);
            stamp(p + k * 188 + 4, 184, ST_LAST);
        }

        if (srt_sendmsg(s, (char *) p, 1316, -1, 1) < 0) {
            die("sending failed");
        }

        bytes += 1316;
    }

    report();
    srt_cleanup();

    return 0;
}


int
main(int argc, char **argv)
{
    int  i;

    for (i = 1; i + 1 < argc; ) {

        if (strcmp(argv[i], "--seconds") == 0) {
            seconds = atof(argv[i + 1]);

        } else if (strcmp(argv[i], "--skip") == 0) {
            skip = atof(argv[i + 1]);

        } else {
            i++;
            continue;
        }

        memmove(&argv[i], &argv[i + 2], (argc - i - 1) * sizeof(char *));
        argc -= 2;
    }

    RTMP_LogSetLevel(RTMP_LOGERROR);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGPIPE, SIG_IGN);

    firsts.us = malloc(ST_MAX * sizeof(uint32_t));
    lasts.us = malloc(ST_MAX * sizeof(uint32_t));

    if (argc == 4 && strcmp(argv[1], "mark") == 0) {
        return mark(argv[2], argv[3]);
    }

    if (argc == 4 && strcmp(argv[1], "publish") == 0) {
        return publish(argv[2], argv[3]);
    }

    if (argc == 5 && strcmp(argv[1], "send") == 0) {
        return send_srt(argv[2], atoi(argv[3]), argv[4]);
    }

    if (argc == 3 && strcmp(argv[1], "play") == 0) {
        return play(argv[2]);
    }

    if (argc == 3 && strcmp(argv[1], "listen") == 0) {
        return listen_srt(atoi(argv[2]));
    }

    die("usage: mcstamp mark|publish|send|play|listen ...");
}
