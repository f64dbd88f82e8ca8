
/*
 * Command line, URLs and sockets.
 */


#include "mc_pkt.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdarg.h>
#include <net/if.h>
#include <sys/prctl.h>
#include <sys/resource.h>


typedef enum {
    MC_OPT_FLAG = 0,
    MC_OPT_INT,
    MC_OPT_INT64,
    MC_OPT_BOOL,
    MC_OPT_STRING,
    MC_OPT_VERSION
} mc_srt_type_e;


typedef struct {
    const char     *name;
    SRT_SOCKOPT     opt;
    mc_srt_type_e   type;
} mc_srt_opt_t;


static void mc_usage(void) __attribute__((noreturn));
static void mc_options(int argc, char **argv);
static void mc_signal(int signo);
static double mc_number(const char *text);
static void mc_srt_local(mc_url_t *u, mc_addr_t *a, mc_addr_t *peer);
static void mc_udp_options(mc_url_t *u, int fd, mc_addr_t *a);
static void mc_udp_scope(mc_addr_t *a);


mc_opt_t               opt;
volatile sig_atomic_t  mc_stop;


static mc_srt_opt_t  mc_srt_opts[] = {
    { "latency", SRTO_LATENCY, MC_OPT_INT },
    { "rcvlatency", SRTO_RCVLATENCY, MC_OPT_INT },
    { "peerlatency", SRTO_PEERLATENCY, MC_OPT_INT },
    { "pbkeylen", SRTO_PBKEYLEN, MC_OPT_INT },
    { "passphrase", SRTO_PASSPHRASE, MC_OPT_STRING },
    { "streamid", SRTO_STREAMID, MC_OPT_STRING },
    { "packetfilter", SRTO_PACKETFILTER, MC_OPT_STRING },
    { "congestion", SRTO_CONGESTION, MC_OPT_STRING },
    { "mss", SRTO_MSS, MC_OPT_INT },
    { "fc", SRTO_FC, MC_OPT_INT },
    { "sndbuf", SRTO_SNDBUF, MC_OPT_INT },
    { "rcvbuf", SRTO_RCVBUF, MC_OPT_INT },
    { "udp_sndbuf", SRTO_UDP_SNDBUF, MC_OPT_INT },
    { "udp_rcvbuf", SRTO_UDP_RCVBUF, MC_OPT_INT },
    { "payloadsize", SRTO_PAYLOADSIZE, MC_OPT_INT },
    { "conntimeo", SRTO_CONNTIMEO, MC_OPT_INT },
    { "peeridletimeo", SRTO_PEERIDLETIMEO, MC_OPT_INT },
    { "snddropdelay", SRTO_SNDDROPDELAY, MC_OPT_INT },
    { "lossmaxttl", SRTO_LOSSMAXTTL, MC_OPT_INT },
    { "kmrefreshrate", SRTO_KMREFRESHRATE, MC_OPT_INT },
    { "kmpreannounce", SRTO_KMPREANNOUNCE, MC_OPT_INT },
    { "oheadbw", SRTO_OHEADBW, MC_OPT_INT },
    { "ipttl", SRTO_IPTTL, MC_OPT_INT },
    { "iptos", SRTO_IPTOS, MC_OPT_INT },
    { "ipv6only", SRTO_IPV6ONLY, MC_OPT_INT },
    { "maxbw", SRTO_MAXBW, MC_OPT_INT64 },
    { "inputbw", SRTO_INPUTBW, MC_OPT_INT64 },
    { "mininputbw", SRTO_MININPUTBW, MC_OPT_INT64 },
    { "tsbpdmode", SRTO_TSBPDMODE, MC_OPT_BOOL },
    { "tlpktdrop", SRTO_TLPKTDROP, MC_OPT_BOOL },
    { "nakreport", SRTO_NAKREPORT, MC_OPT_BOOL },
    { "drifttracer", SRTO_DRIFTTRACER, MC_OPT_BOOL },
    { "messageapi", SRTO_MESSAGEAPI, MC_OPT_BOOL },
    { "enforcedencryption", SRTO_ENFORCEDENCRYPTION, MC_OPT_BOOL },
    { "minversion", SRTO_MINVERSION, MC_OPT_VERSION },

    /* read elsewhere */

    { "mode", 0, MC_OPT_FLAG },
    { "adapter", 0, MC_OPT_FLAG },
    { "port", 0, MC_OPT_FLAG },

    { NULL, 0, MC_OPT_FLAG }
};


/* 'd' double, 'u' uint64_t, 'i' int64_t, 'n' unsigned, 's' string, 'f' flag */

typedef struct {
    const char  *name;
    char         type;
    void        *data;
} mc_option_t;


enum {
    MC_F_GARBAGE = 1000,
    MC_F_NOSYNC,
    MC_F_MIX,
    MC_F_MD5,
    MC_F_EACH,
    MC_F_KEEP,
    MC_F_LIGHT,
    MC_F_GRO,
    MC_F_REMUXED,
    MC_F_RECONNECT,
    MC_F_NOWAIT,
    MC_F_OWN_PORTS,
    MC_F_PORTS,
    MC_F_IGNORED
};


static mc_option_t  mc_values[] = {
    { "rate", 'u', &opt.rate },
    { "packets", 'u', &opt.packets },
    { "seconds", 'd', &opt.seconds },
    { "idle", 'd', &opt.idle },
    { "wait", 'd', &opt.wait },
    { "hold", 'd', &opt.hold },
    { "linger", 'd', &opt.linger },
    { "poll", 'd', &opt.poll },
    { "gather", 'd', &opt.gather },
    { "skip", 'd', &opt.skip },
    { "pes", 'd', &opt.pes },
    { "stagger", 'd', &opt.stagger },
    { "tick", 'u', &opt.tick },
    { "size", 'n', &opt.size },
    { "count", 'n', &opt.count },
    { "burst", 'n', &opt.burst },
    { "slack", 'n', &opt.slack },
    { "reorder", 'd', &opt.reorder },
    { "dup", 'd', &opt.dup },
    { "drop", 'd', &opt.drop },
    { "seed", 'u', &opt.seed },
    { "pcr-start", 'u', &opt.pcr_start },
    { "restart", 'u', &opt.restart },
    { "start-seq", 'i', &opt.start_seq },
    { "ssrc", 'i', &opt.ssrc },
    { "id", 'i', &opt.id },
    { "pt", 'n', &opt.pt },
    { "rtp-version", 'n', &opt.rtp_version },
    { "rtp-csrc", 'n', &opt.csrc },
    { "rtp-ext", 'n', &opt.ext },
    { "rtp-pad", 'n', &opt.pad },
    { "truncate", 'n', &opt.truncate },
    { "bind", 's', &opt.bind },
    { "iface", 's', &opt.iface },
    { "source", 's', &opt.source },
    { "kind", 's', &opt.kind },
    { "streamid", 's', &opt.streamid },
    { "file", 's', &opt.file },
    { "ttl", 'n', &opt.ttl },
    { "rcvbuf", 'n', &opt.rcvbuf },
    { NULL, 0, NULL }
};


static struct option  mc_flags[] = {
    { "garbage", no_argument, NULL, MC_F_GARBAGE },
    { "nosync", no_argument, NULL, MC_F_NOSYNC },
    { "mix", no_argument, NULL, MC_F_MIX },
    { "md5", no_argument, NULL, MC_F_MD5 },
    { "each", no_argument, NULL, MC_F_EACH },
    { "keep", no_argument, NULL, MC_F_KEEP },
    { "light", no_argument, NULL, MC_F_LIGHT },
    { "gro", no_argument, NULL, MC_F_GRO },
    { "remuxed", no_argument, NULL, MC_F_REMUXED },
    { "reconnect", no_argument, NULL, MC_F_RECONNECT },
    { "nowait", no_argument, NULL, MC_F_NOWAIT },
    { "own-ports", no_argument, NULL, MC_F_OWN_PORTS },
    { "ports", no_argument, NULL, MC_F_PORTS },
    { "ts", no_argument, NULL, MC_F_IGNORED },
    { "json", no_argument, NULL, MC_F_IGNORED },
    { NULL, 0, NULL, 0 }
};


static void
mc_usage(void)
{
    fprintf(stderr,
"mcpkt send URL [options]       numbered MPEG-TS out\n"
"mcpkt recv URL [options]       receive and verify it\n"
"mcpkt connect URL [--hold S]   try one SRT connection\n"
"mcpkt flood URL [options]      SRT handshakes or garbage\n"
"mcpkt fdloop IN OUT...         bare libsrt relay, for comparison\n"
"mcpkt gsoloop IN OUT...        bare UDP GRO to GSO relay, for comparison\n"
"mcpkt tap IN OUT               pass one SRT caller on, look at its packets\n"
"\n"
"URL: srt://host:port?mode=...&latency=MS&passphrase=...&streamid=...\n"
"     rtp://host:port, udp://host:port (also groups and [IPv6])\n"
"An empty host listens.  One JSON line ends the output of each command;\n"
"SIGTERM and SIGINT end it early.  Exit status: 0 done, 1 failed or nothing\n"
"received, 2 wrong usage.\n"
"\n"
"send:  --rate BPS (10m; 0 as fast as possible), --packets N, --seconds S,\n"
"       --size BYTES (1316), --count N destinations (SRT listener: wait for N\n"
"       receivers; SRT caller: N connections; else ports P..P+N-1),\n"
"       --tick US between wake-ups (1000), --burst N datagrams at once,\n"
"       --id N marks the stream, --mix adds null packets and an unknown PID,\n"
"       --pes MS between PES packets and PCRs (30), --md5, --pcr-start N,\n"
"       --bind ADDR[:PORT], --iface NAME|ADDR, --ttl N,\n"
"       --wait S for the connection (10), --nowait, --reconnect,\n"
"       --linger S before closing (latency + 0.3)\n"
"  misbehave: --reorder P, --dup P, --drop P (0..1), --seed N, --garbage,\n"
"       --nosync, --truncate BYTES;  RTP: --start-seq, --ssrc, --pt,\n"
"       --rtp-version, --rtp-csrc N, --rtp-ext WORDS, --rtp-pad BYTES,\n"
"       --restart N (a new SSRC and sequence at datagram N)\n"
"recv:  --seconds S, --packets N (from each), --idle S of silence,\n"
"       --wait S for the first (10), --count N (SRT listener: N callers on\n"
"       one port, or with --ports on N ports; SRT caller: N connections that\n"
"       share one local port unless --own-ports; else ports P..P+N-1),\n"
"       --each lists every receiver, --md5, --file FILE, --keep after the\n"
"       peers are gone, --reconnect, --remuxed (find the records anywhere),\n"
"       --iface, --source ADDR, --rcvbuf BYTES, --skip S (no delays from the\n"
"       first seconds), --stagger MS between SRT callers\n"
"  thin: --light (datagram numbers only), --poll MS, --slack US, --gro\n"
"flood: --seconds S, --rate N a second, --streamid X,\n"
"       --kind full|induction|nocookie|garbage\n"
"gsoloop: --gather MS (5)\n");

    exit(2);
}


int
main(int argc, char **argv)
{
    int       n;
    char     *cmd;
    mc_url_t  in, out[256];

    if (argc < 3) {
        mc_usage();
    }

    cmd = argv[1];

    opt.rate = 10000000;
    opt.size = MC_DATAGRAM;
    opt.count = 1;
    opt.burst = 1;
    opt.tick = 1000;
    opt.wait = 10;
    opt.linger = -1;
    opt.gather = 5;
    opt.pes = 30;
    opt.seed = 1;
    opt.start_seq = -1;
    opt.ssrc = -1;
    opt.id = getpid();
    opt.pt = 33;
    opt.rtp_version = 2;
    opt.ttl = -1;
    opt.rcvbuf = 4 * 1024 * 1024;

    argc--;
    argv++;

    if (strcmp(cmd, "flood") == 0) {
        opt.rate = 100;
        opt.seconds = 5;
    }

    mc_options(argc, argv);

    argc -= optind;
    argv += optind;

    if (argc < 1) {
        mc_usage();
    }

    signal(SIGTERM, mc_signal);
    signal(SIGINT, mc_signal);
    signal(SIGPIPE, SIG_IGN);

    if (opt.slack) {
        prctl(PR_SET_TIMERSLACK, (unsigned long) opt.slack * 1000);
    }

    mc_url_parse(&in, argv[0]);

    if (strcmp(cmd, "send") == 0) {
        return mc_send(&in);
    }

    if (strcmp(cmd, "recv") == 0) {
        return mc_recv(&in);
    }

    if (strcmp(cmd, "connect") == 0) {
        return mc_connect(&in);
    }

    if (strcmp(cmd, "flood") == 0) {
        return mc_flood(&in);
    }

    for (n = 1; n < argc && n < 256; n++) {
        mc_url_parse(&out[n - 1], argv[n]);
    }

    if (n == 1) {
        mc_usage();
    }

    if (strcmp(cmd, "fdloop") == 0) {
        return mc_fdloop(&in, out, n - 1);
    }

    if (strcmp(cmd, "gsoloop") == 0) {
        return mc_gsoloop(&in, out, n - 1);
    }

    if (strcmp(cmd, "tap") == 0) {
        return mc_tap(&in, &out[0]);
    }

    mc_usage();
}


static void
mc_options(int argc, char **argv)
{
    int            c, i, n;
    mc_option_t   *o;
    struct option  longopts[64];

    for (n = 0; mc_values[n].name; n++) {
        longopts[n].name = mc_values[n].name;
        longopts[n].has_arg = required_argument;
        longopts[n].flag = NULL;
        longopts[n].val = 256 + n;
    }

    for (i = 0; /* void */ ; i++) {
        longopts[n + i] = mc_flags[i];

        if (mc_flags[i].name == NULL) {
            break;
        }
    }

    while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {

        switch (c) {

        case '?':
            mc_usage();

        case MC_F_GARBAGE:
            opt.garbage = 1;
            continue;

        case MC_F_NOSYNC:
            opt.nosync = 1;
            continue;

        case MC_F_MIX:
            opt.mix = 1;
            continue;

        case MC_F_MD5:
            opt.md5 = 1;
            continue;

        case MC_F_EACH:
            opt.each = 1;
            continue;

        case MC_F_KEEP:
            opt.keep = 1;
            continue;

        case MC_F_LIGHT:
            opt.light = 1;
            continue;

        case MC_F_GRO:
            opt.gro = 1;
            continue;

        case MC_F_REMUXED:
            opt.remuxed = 1;
            continue;

        case MC_F_RECONNECT:
            opt.reconnect = 1;
            continue;

        case MC_F_NOWAIT:
            opt.nowait = 1;
            continue;

        case MC_F_OWN_PORTS:
            opt.own_ports = 1;
            continue;

        case MC_F_PORTS:
            opt.ports = 1;
            continue;

        case MC_F_IGNORED:
            continue;
        }

        o = &mc_values[c - 256];

        switch (o->type) {

        case 'd':
            *(double *) o->data = mc_number(optarg);
            break;

        case 'u':
            *(uint64_t *) o->data = mc_number(optarg);
            break;

        case 'i':
            *(int64_t *) o->data = mc_number(optarg);
            break;

        case 'n':
            *(unsigned *) o->data = mc_number(optarg);
            break;

        default: /* 's' */
            *(const char **) o->data = optarg;
            break;
        }
    }

    if (opt.size > MC_MAX_DATAGRAM - 512 || opt.count == 0 || opt.burst == 0) {
        mc_usage();
    }
}


static double
mc_number(const char *text)
{
    char    *end;
    double   d;

    d = strtod(text, &end);

    switch (*end) {

    case 'k':
        d *= 1e3;
        end++;
        break;

    case 'm':
        d *= 1e6;
        end++;
        break;

    case 'g':
        d *= 1e9;
        end++;
        break;
    }

    if (end == text || *end) {
        mc_die("invalid number \"%s\"", text);
    }

    return d;
}


static void
mc_signal(int signo)
{
    (void) signo;

    mc_stop = 1;
}


void
mc_die(const char *fmt, ...)
{
    char     text[1024];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    printf("{\"error\": ");
    mc_json_string(text);
    printf("}\n");
    fflush(stdout);

    _exit(1);
}


void
mc_note(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "mcpkt: ");

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\n");
}


void
mc_json_string(const char *s)
{
    putchar('"');

    for ( /* void */ ; *s; s++) {
        if (*s == '"' || *s == '\\') {
            putchar('\\');
            putchar(*s);

        } else if ((unsigned char) *s < 0x20) {
            printf("\\u%04x", *s);

        } else {
            putchar(*s);
        }
    }

    putchar('"');
}


uint64_t
mc_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


void
mc_sleep_until(uint64_t when)
{
    struct timespec  ts;

    ts.tv_sec = when / 1000000000;
    ts.tv_nsec = when % 1000000000;

    /* a second signal must not cut short what the first has asked for */

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL)
           == EINTR)
    {
        /* void */
    }
}


/* xorshift64*: the same numbers for the same seed everywhere */

uint64_t
mc_random(uint64_t *state)
{
    uint64_t  x;

    x = *state ? *state : 0x9e3779b97f4a7c15ull;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;

    *state = x;

    return x * 0x2545f4914f6cdd1dull;
}


double
mc_cpu(void)
{
    struct rusage  ru;

    getrusage(RUSAGE_SELF, &ru);

    return ru.ru_utime.tv_sec + ru.ru_stime.tv_sec
           + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}


void
mc_url_parse(mc_url_t *u, const char *text)
{
    char        *copy, *p, *q, *s, *value;
    unsigned     hex;
    const char  *mode;

    memset(u, 0, sizeof(mc_url_t));

    if (strncmp(text, "srt://", 6) == 0) {
        u->proto = MC_SRT;

    } else if (strncmp(text, "rtp://", 6) == 0) {
        u->proto = MC_RTP;

    } else if (strncmp(text, "udp://", 6) == 0) {
        u->proto = MC_UDP;

    } else {
        mc_die("unknown URL \"%s\"", text);
    }

    copy = strdup(text + 6);

    p = copy;

    if (*p == '@') {
        p++;
    }

    s = strchr(p, '?');
    if (s) {
        *s++ = '\0';
    }

    if (*p == '[') {
        p++;
        q = strchr(p, ']');

        if (q == NULL || q[1] != ':') {
            mc_die("no port in URL \"%s\"", text);
        }

        *q++ = '\0';

    } else {
        q = strrchr(p, ':');

        if (q == NULL) {
            mc_die("no port in URL \"%s\"", text);
        }
    }

    *q++ = '\0';

    snprintf(u->host, sizeof(u->host), "%s", p);
    u->port = atoi(q);

    while (s && *s) {

        if (u->nparams == MC_MAX_PARAMS) {
            mc_die("too many parameters in URL \"%s\"", text);
        }

        p = s;
        s = strchr(p, '&');
        if (s) {
            *s++ = '\0';
        }

        value = strchr(p, '=');
        if (value == NULL) {
            mc_die("no value of \"%s\"", p);
        }

        *value++ = '\0';

        u->params[u->nparams].name = p;
        u->params[u->nparams].value = value;
        u->nparams++;

        for (q = value; *value; value++) {
            if (*value == '%' && sscanf(value + 1, "%2x", &hex) == 1) {
                *q++ = hex;
                value += 2;

            } else {
                *q++ = *value;
            }
        }

        *q = '\0';
    }

    u->mode = u->host[0] ? MC_CALLER : MC_LISTENER;
    mode = mc_url_param(u, "mode");

    if (mode) {
        u->mode = strcmp(mode, "listener") == 0 ? MC_LISTENER
                  : strcmp(mode, "rendezvous") == 0 ? MC_RENDEZVOUS
                  : MC_CALLER;
    }

    if (mc_url_param(u, "iface")) {
        opt.iface = mc_url_param(u, "iface");
    }

    if (mc_url_param(u, "source")) {
        opt.source = mc_url_param(u, "source");
    }

    if (mc_url_param(u, "ttl")) {
        opt.ttl = atoi(mc_url_param(u, "ttl"));
    }
}


const char *
mc_url_param(mc_url_t *u, const char *name)
{
    unsigned  i;

    for (i = 0; i < u->nparams; i++) {
        if (strcmp(u->params[i].name, name) == 0) {
            return u->params[i].value;
        }
    }

    return NULL;
}


int
mc_resolve(mc_addr_t *a, const char *host, int port, int passive)
{
    int               rc;
    char              service[16];
    struct addrinfo   hints, *res;

    memset(&hints, 0, sizeof(hints));
    memset(a, 0, sizeof(mc_addr_t));

    hints.ai_socktype = SOCK_DGRAM;
    hints.ai_flags = passive ? AI_PASSIVE : 0;
    hints.ai_family = (host == NULL || *host == '\0') ? AF_INET : AF_UNSPEC;

    snprintf(service, sizeof(service), "%d", port);

    rc = getaddrinfo(host && *host ? host : NULL, service, &hints, &res);

    if (rc) {
        mc_die("cannot resolve \"%s\": %s", host, gai_strerror(rc));
    }

    memcpy(&a->sa, res->ai_addr, res->ai_addrlen);
    a->len = res->ai_addrlen;

    freeaddrinfo(res);

    return a->sa.ss_family;
}


void
mc_addr_set_port(mc_addr_t *a, int port)
{
    if (a->sa.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *) &a->sa)->sin6_port = htons(port);

    } else {
        ((struct sockaddr_in *) &a->sa)->sin_port = htons(port);
    }
}


int
mc_addr_port(mc_addr_t *a)
{
    return ntohs(a->sa.ss_family == AF_INET6
                 ? ((struct sockaddr_in6 *) &a->sa)->sin6_port
                 : ((struct sockaddr_in *) &a->sa)->sin_port);
}


int
mc_addr_multicast(mc_addr_t *a)
{
    if (a->sa.ss_family == AF_INET6) {
        return IN6_IS_ADDR_MULTICAST(&((struct sockaddr_in6 *)
                                                           &a->sa)->sin6_addr);
    }

    return IN_MULTICAST(ntohl(((struct sockaddr_in *)
                                                    &a->sa)->sin_addr.s_addr));
}


void
mc_addr_text(mc_addr_t *a, char *buf, size_t size)
{
    char  host[128], port[16];

    getnameinfo((struct sockaddr *) &a->sa, a->len, host, sizeof(host),
                port, sizeof(port), NI_NUMERICHOST|NI_NUMERICSERV);

    snprintf(buf, size, a->sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
             host, port);
}


unsigned
mc_ifindex(const char *name, struct in_addr *ip)
{
    ip->s_addr = INADDR_ANY;

    if (name == NULL) {
        return 0;
    }

    if (inet_pton(AF_INET, name, ip) == 1) {
        return 0;
    }

    return if_nametoindex(name);
}


void
mc_srt_init(void)
{
    if (srt_startup() < 0) {
        mc_die("srt_startup() failed");
    }

    srt_setloglevel(0);
}


SRTSOCKET
mc_srt_socket(mc_url_t *u)
{
    int            i32, len, no;
    void          *data;
    bool           b;
    int64_t        i64;
    unsigned       i, v[3];
    const char    *value;
    SRTSOCKET      s;
    mc_srt_opt_t  *o;

    s = srt_create_socket();

    no = 0;
    srt_setsockflag(s, SRTO_SNDSYN, &no, sizeof(int));
    srt_setsockflag(s, SRTO_RCVSYN, &no, sizeof(int));

    if (u->mode == MC_RENDEZVOUS) {
        b = true;
        srt_setsockflag(s, SRTO_RENDEZVOUS, &b, sizeof(bool));
    }

    for (i = 0; i < u->nparams; i++) {

        for (o = mc_srt_opts; o->name; o++) {
            if (strcmp(o->name, u->params[i].name) == 0) {
                break;
            }
        }

        if (o->name == NULL) {
            mc_die("unknown SRT option \"%s\"", u->params[i].name);
        }

        value = u->params[i].value;

        switch (o->type) {

        case MC_OPT_INT:
            i32 = atoi(value);
            data = &i32;
            len = sizeof(int);
            break;

        case MC_OPT_INT64:
            i64 = atoll(value);
            data = &i64;
            len = sizeof(int64_t);
            break;

        case MC_OPT_BOOL:
            b = (strcmp(value, "1") == 0 || strcmp(value, "yes") == 0
                 || strcmp(value, "true") == 0 || strcmp(value, "on") == 0);
            data = &b;
            len = sizeof(bool);
            break;

        case MC_OPT_STRING:
            data = (void *) value;
            len = strlen(value);
            break;

        case MC_OPT_VERSION:
            v[0] = v[1] = v[2] = 0;
            sscanf(value, "%u.%u.%u", &v[0], &v[1], &v[2]);
            i32 = v[0] << 16 | v[1] << 8 | v[2];
            data = &i32;
            len = sizeof(int);
            break;

        default: /* MC_OPT_FLAG */
            continue;
        }

        if (srt_setsockflag(s, o->opt, data, len) < 0) {
            mc_die("SRT option \"%s\": %s", o->name, srt_getlasterror_str());
        }
    }

    return s;
}


SRTSOCKET
mc_srt_listen(mc_url_t *u, int port)
{
    int        yes;
    SRTSOCKET  s;
    mc_addr_t  a;

    s = mc_srt_socket(u);

    mc_resolve(&a, u->host, port, 1);

    if (a.sa.ss_family == AF_INET6 && mc_url_param(u, "ipv6only") == NULL) {
        yes = 1;
        srt_setsockflag(s, SRTO_IPV6ONLY, &yes, sizeof(int));
    }

    if (srt_bind(s, (struct sockaddr *) &a.sa, a.len) < 0
        || srt_listen(s, 512) < 0)
    {
        mc_die("cannot listen on port %d: %s", port, srt_getlasterror_str());
    }

    return s;
}


/*
 * Starts to connect.  "share" makes the callers of one process use one local
 * port, and with it one pair of libsrt's threads.
 */

SRTSOCKET
mc_srt_connect(mc_url_t *u, int port, mc_addr_t *share)
{
    int        len, rc;
    SRTSOCKET  s;
    mc_addr_t  local, peer;

    s = mc_srt_socket(u);

    mc_resolve(&peer, u->host, port, 0);
    mc_srt_local(u, &local, &peer);

    if (share && share->len) {
        local = *share;
    }

    if (local.len || share) {

        if (local.len == 0) {
            mc_resolve(&local, peer.sa.ss_family == AF_INET6 ? "::" : "0.0.0.0",
                       0, 1);
        }

        if (srt_bind(s, (struct sockaddr *) &local.sa, local.len) < 0) {
            mc_die("srt_bind(): %s", srt_getlasterror_str());
        }

        if (share && share->len == 0) {
            len = sizeof(local.sa);
            srt_getsockname(s, (struct sockaddr *) &local.sa, &len);
            *share = local;
        }
    }

    rc = srt_connect(s, (struct sockaddr *) &peer.sa, peer.len);

    if (rc < 0) {
        mc_note("srt_connect(): %s", srt_getlasterror_str());
        srt_close(s);
        return SRT_INVALID_SOCK;
    }

    return s;
}


static void
mc_srt_local(mc_url_t *u, mc_addr_t *a, mc_addr_t *peer)
{
    int          port;
    char        *host, *p;
    const char  *text;

    a->len = 0;

    text = mc_url_param(u, "port");
    port = text ? atoi(text) : 0;

    if (u->mode == MC_RENDEZVOUS && port == 0) {
        port = u->port;
    }

    text = mc_url_param(u, "adapter");

    if (text == NULL && opt.bind) {
        host = strdup(opt.bind[0] == '[' ? opt.bind + 1 : opt.bind);
        p = strrchr(host, ':');

        if (p && (opt.bind[0] == '[' || strchr(host, ':') == p)) {
            port = atoi(p + 1);
            *p = '\0';

            if (p > host && p[-1] == ']') {
                p[-1] = '\0';
            }
        }

        text = host;
    }

    if (text == NULL && port == 0) {
        return;
    }

    if (text == NULL) {
        text = peer->sa.ss_family == AF_INET6 ? "::" : "0.0.0.0";
    }

    mc_resolve(a, text, port, 1);
}


void
mc_srt_describe(SRTSOCKET s)
{
    int                len, n;
    bool               b;
    char               text[1024];
    uint32_t           v;
    mc_addr_t          a;
    SRT_TRACEBSTATS    st;

    len = sizeof(a.sa);
    memset(&a, 0, sizeof(a));

    /* libsrt 1.5.1 answers with an empty address on non-blocking callers */

    if (srt_getpeername(s, (struct sockaddr *) &a.sa, &len) == 0
        && a.sa.ss_family != AF_UNSPEC)
    {
        a.len = a.sa.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                           : sizeof(struct sockaddr_in);
        mc_addr_text(&a, text, sizeof(text));
        printf("\"peer\": \"%s\"", text);

    } else {
        printf("\"peer\": null");
    }

    len = sizeof(a.sa);
    if (srt_getsockname(s, (struct sockaddr *) &a.sa, &len) == 0) {
        printf(", \"local_port\": %d", mc_addr_port(&a));
    }

    len = sizeof(int);
    n = 0;
    srt_getsockflag(s, SRTO_RCVLATENCY, &n, &len);
    printf(", \"latency\": %d, \"recv_latency\": %d", n, n);

    len = sizeof(int);
    srt_getsockflag(s, SRTO_PEERLATENCY, &n, &len);
    printf(", \"send_latency\": %d", n);

    len = sizeof(int);
    srt_getsockflag(s, SRTO_KMSTATE, &n, &len);
    printf(", \"km_state\": %d", n);

    len = sizeof(int);
    srt_getsockflag(s, SRTO_SNDKMSTATE, &n, &len);
    printf(", \"snd_km_state\": %d", n);

    len = sizeof(int);
    srt_getsockflag(s, SRTO_RCVKMSTATE, &n, &len);
    printf(", \"rcv_km_state\": %d", n);

    len = sizeof(int);
    srt_getsockflag(s, SRTO_PBKEYLEN, &n, &len);
    printf(", \"pbkeylen\": %d", n);

    len = sizeof(int);
    v = 0;
    srt_getsockflag(s, SRTO_PEERVERSION, &v, &len);
    printf(", \"peer_version\": \"%u.%u.%u\"", v >> 16, (v >> 8) & 0xff,
           v & 0xff);

    len = sizeof(text) - 1;
    if (srt_getsockflag(s, SRTO_STREAMID, text, &len) == 0) {
        text[len] = '\0';
        printf(", \"streamid\": ");
        mc_json_string(text);
    }

    len = sizeof(bool);
    b = false;
    srt_getsockflag(s, SRTO_TSBPDMODE, &b, &len);
    printf(", \"tsbpd\": %s", b ? "true" : "false");

    memset(&st, 0, sizeof(st));
    if (srt_bstats(s, &st, 0) == 0) {
        printf(", \"rtt_ms\": %.3f", st.msRTT);

    } else {
        printf(", \"rtt_ms\": null");
    }
}


static void
mc_udp_options(mc_url_t *u, int fd, mc_addr_t *a)
{
    int             n, ttl;
    unsigned        index;
    struct ip_mreqn  mreq;
    struct in_addr  ip;

    (void) u;

    n = 4 * 1024 * 1024;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof(int)) == -1) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(int));
    }

    index = mc_ifindex(opt.iface, &ip);
    ttl = opt.ttl;

    if (a->sa.ss_family == AF_INET6) {
        if (index) {
            setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index,
                       sizeof(int));
        }

        if (ttl >= 0) {
            setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &ttl,
                       sizeof(int));
            setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(int));
        }

        return;
    }

    if (opt.iface) {
        memset(&mreq, 0, sizeof(mreq));
        mreq.imr_address = ip;
        mreq.imr_ifindex = index;

        if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreq, sizeof(mreq))
            == -1)
        {
            mc_die("IP_MULTICAST_IF: %s", strerror(errno));
        }
    }

    if (ttl >= 0) {
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(int));
        setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(int));
    }
}


int
mc_udp_sender(mc_url_t *u, int port, mc_addr_t *peer)
{
    int        fd;
    mc_addr_t  local;

    mc_resolve(peer, u->host[0] ? u->host : "127.0.0.1", port, 0);

    fd = socket(peer->sa.ss_family, SOCK_DGRAM|SOCK_CLOEXEC, 0);
    if (fd == -1) {
        mc_die("socket(): %s", strerror(errno));
    }

    mc_udp_options(u, fd, peer);
    mc_udp_scope(peer);

    mc_srt_local(u, &local, peer);

    if (local.len
        && bind(fd, (struct sockaddr *) &local.sa, local.len) == -1)
    {
        mc_die("bind(): %s", strerror(errno));
    }

    if (connect(fd, (struct sockaddr *) &peer->sa, peer->len) == -1) {
        mc_die("connect(): %s", strerror(errno));
    }

    return fd;
}


/* link-local groups mean nothing without an interface */

static void
mc_udp_scope(mc_addr_t *a)
{
    struct in_addr        ip;
    struct sockaddr_in6  *sin6;

    if (a->sa.ss_family == AF_INET6 && mc_addr_multicast(a)) {
        sin6 = (struct sockaddr_in6 *) &a->sa;

        if (sin6->sin6_scope_id == 0) {
            sin6->sin6_scope_id = mc_ifindex(opt.iface, &ip);
        }
    }
}


int
mc_udp_receiver(mc_url_t *u, int port)
{
    int                       fd, n;
    unsigned                  index;
    mc_addr_t                 a, src;
    struct in_addr            ip;
    struct ip_mreqn           mreq;
    struct ip_mreq_source     ssm;
    struct ipv6_mreq          mreq6;
    struct group_source_req   gsr;

    mc_resolve(&a, u->host, port, 1);
    mc_udp_scope(&a);

    fd = socket(a.sa.ss_family, SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0);
    if (fd == -1) {
        mc_die("socket(): %s", strerror(errno));
    }

    n = opt.rcvbuf;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof(int)) == -1) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(int));
    }

    n = 1;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &n, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &n, sizeof(int));

    if (a.sa.ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &n, sizeof(int));
    }

    if (opt.gro && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &n, sizeof(int)) == -1)
    {
        mc_die("UDP_GRO: %s", strerror(errno));
    }

    if (mc_addr_multicast(&a)) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &n, sizeof(int));
    }

    if (bind(fd, (struct sockaddr *) &a.sa, a.len) == -1) {
        mc_die("cannot bind port %d: %s", port, strerror(errno));
    }

    if (!mc_addr_multicast(&a)) {
        return fd;
    }

    index = mc_ifindex(opt.iface, &ip);

    if (opt.source) {
        mc_resolve(&src, opt.source, 0, 0);
    }

    if (a.sa.ss_family == AF_INET6) {

        if (opt.source) {
            memset(&gsr, 0, sizeof(gsr));
            gsr.gsr_interface = index;
            memcpy(&gsr.gsr_group, &a.sa, a.len);
            memcpy(&gsr.gsr_source, &src.sa, src.len);
            n = setsockopt(fd, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, &gsr,
                           sizeof(gsr));

        } else {
            mreq6.ipv6mr_multiaddr = ((struct sockaddr_in6 *)
                                                            &a.sa)->sin6_addr;
            mreq6.ipv6mr_interface = index;
            n = setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mreq6,
                           sizeof(mreq6));
        }

    } else if (opt.source && index == 0) {
        memset(&ssm, 0, sizeof(ssm));
        ssm.imr_multiaddr = ((struct sockaddr_in *) &a.sa)->sin_addr;
        ssm.imr_sourceaddr = ((struct sockaddr_in *) &src.sa)->sin_addr;
        ssm.imr_interface = ip;
        n = setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &ssm,
                       sizeof(ssm));

    } else if (opt.source) {
        memset(&gsr, 0, sizeof(gsr));
        gsr.gsr_interface = index;
        memcpy(&gsr.gsr_group, &a.sa, a.len);
        memcpy(&gsr.gsr_source, &src.sa, src.len);
        n = setsockopt(fd, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &gsr,
                       sizeof(gsr));

    } else {
        memset(&mreq, 0, sizeof(mreq));
        mreq.imr_multiaddr = ((struct sockaddr_in *) &a.sa)->sin_addr;
        mreq.imr_address = ip;
        mreq.imr_ifindex = index;
        n = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq));
    }

    if (n == -1) {
        mc_die("cannot join \"%s\": %s", u->host, strerror(errno));
    }

    n = 0;
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &n, sizeof(int));

    return fd;
}
