
/*
 * mcpkt: numbered MPEG-TS over SRT, RTP and UDP for tests and benchmarks.
 */

#ifndef _MC_PKT_H_INCLUDED_
#define _MC_PKT_H_INCLUDED_


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <arpa/inet.h>

#include <srt/srt.h>


#define MC_TS_SIZE       188
#define MC_DATAGRAM      1316
#define MC_MAX_DATAGRAM  65536

#define MC_PID_PMT       0x1000
#define MC_PID_DATA      0x100
#define MC_PID_UNKNOWN   0x300
#define MC_PID_NULL      0x1fff

#define MC_MAX_PARAMS    48

#ifndef UDP_SEGMENT
#define UDP_SEGMENT      103
#endif

#ifndef UDP_GRO
#define UDP_GRO          104
#endif


typedef enum {
    MC_SRT = 0,
    MC_RTP,
    MC_UDP
} mc_proto_e;


typedef enum {
    MC_CALLER = 0,
    MC_LISTENER,
    MC_RENDEZVOUS
} mc_mode_e;


typedef struct {
    char              *name;
    char              *value;
} mc_param_t;


typedef struct {
    mc_proto_e         proto;
    mc_mode_e          mode;
    char               host[256];
    int                port;
    mc_param_t         params[MC_MAX_PARAMS];
    unsigned           nparams;
} mc_url_t;


typedef struct {
    struct sockaddr_storage  sa;
    socklen_t                len;
} mc_addr_t;


typedef struct {
    uint64_t           rate;
    uint64_t           packets;
    double             seconds;
    double             idle;
    double             wait;
    double             hold;
    double             linger;
    double             poll;
    double             gather;
    double             skip;
    double             pes;
    double             stagger;
    uint64_t           tick;
    unsigned           size;
    unsigned           count;
    unsigned           burst;
    unsigned           slack;

    double             reorder;
    double             dup;
    double             drop;
    uint64_t           seed;
    uint64_t           pcr_start;
    uint64_t           restart;
    int64_t            start_seq;
    int64_t            ssrc;
    int64_t            id;
    int                pt;
    int                rtp_version;
    unsigned           csrc;
    unsigned           ext;
    unsigned           pad;
    unsigned           truncate;

    const char        *bind;
    const char        *iface;
    const char        *source;
    const char        *kind;
    const char        *streamid;
    const char        *file;
    int                ttl;
    unsigned           rcvbuf;

    unsigned           garbage:1;
    unsigned           nosync:1;
    unsigned           mix:1;
    unsigned           md5:1;
    unsigned           each:1;
    unsigned           keep:1;
    unsigned           light:1;
    unsigned           gro:1;
    unsigned           remuxed:1;
    unsigned           reconnect:1;
    unsigned           nowait:1;
    unsigned           own_ports:1;
    unsigned           ports:1;
} mc_opt_t;


/* makes the stream: everything depends on packet numbers, nothing on time */

typedef struct {
    uint64_t           rate;
    uint32_t           id;
    uint64_t           packet;
    uint64_t           data;
    uint64_t           datagram;
    uint64_t           pcr_start;
    unsigned           psi_every;
    unsigned           pes_every;
    unsigned           mix;
    uint8_t            cc_pat;
    uint8_t            cc_pmt;
    uint8_t            cc_data;
    uint8_t            cc_unknown;
    uint8_t            filler[MC_TS_SIZE];
} mc_gen_t;


#define MC_HIST_SUB      8192
#define MC_HIST_OCTAVES  14

typedef struct {
    uint32_t          *n;
    uint64_t           count;
    uint64_t           min;
    uint64_t           max;
} mc_hist_t;


#define MC_WINDOW        (1 << 18)

typedef struct {
    uint64_t           first;
    uint64_t           last;
    uint64_t           unique;
    uint64_t           duplicate;
    uint64_t           reordered;
    uint8_t           *seen;
    unsigned           started:1;
} mc_track_t;


#define MC_MAX_IDS       4
#define MC_MAX_SIZES     16
#define MC_ES_SIZE       8192

typedef struct {
    uint32_t           id;
    uint64_t           n;
    mc_track_t         ts;
    mc_track_t         dg;
} mc_stream_t;


typedef struct {
    uint64_t           packets;
    uint64_t           bad;
    uint64_t           ssrc_changes;
    uint64_t           pt_changes;
    uint64_t           ts_backwards;
    uint64_t           gaps;
    uint64_t           lost;
    uint64_t           reordered;
    uint64_t           duplicate;
    uint64_t           first_time;
    uint64_t           last_time;
    double             jitter;
    double             pcr_error;
    int64_t            transit;
    uint64_t           pcr_base;
    uint32_t           pcr_ts;
    uint32_t           ssrc;
    uint32_t           first_ts;
    uint32_t           last_ts;
    uint16_t           first_seq;
    uint16_t           last_seq;
    uint8_t            version;
    uint8_t            pt;
    unsigned           pcr_seen:1;
} mc_rtp_t;


typedef struct {
    uint64_t           datagrams;
    uint64_t           bytes;
    uint64_t           ts_packets;
    uint64_t           psi_packets;
    uint64_t           null_packets;
    uint64_t           other_packets;
    uint64_t           corrupted;
    uint64_t           sync_errors;
    uint64_t           psi_errors;
    uint64_t           cc_errors;
    uint64_t           odd_sizes;
    uint64_t           kernel_drops;
    uint64_t           first_time;
    uint64_t           last_time;
    uint64_t           gap_time;
    uint64_t           max_silence;
    unsigned           connections;
    unsigned           rtp_on:1;

    mc_stream_t        streams[MC_MAX_IDS];
    unsigned           nstreams;

    struct {
        unsigned       size;
        uint64_t       n;
    } sizes[MC_MAX_SIZES];
    unsigned           nsizes;

    mc_hist_t          delay;
    mc_hist_t          gap;
    mc_rtp_t           rtp;
    void              *md5;
    FILE              *file;

    int8_t             cc[8192];

    uint8_t           *es;
    size_t             es_len;
} mc_check_t;


extern mc_opt_t               opt;
extern volatile sig_atomic_t  mc_stop;


/* mc_pkt.c */

void mc_die(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));
void mc_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t mc_now(void);
void mc_sleep_until(uint64_t when);
uint64_t mc_random(uint64_t *state);
double mc_cpu(void);
void mc_json_string(const char *s);

void mc_url_parse(mc_url_t *u, const char *text);
const char *mc_url_param(mc_url_t *u, const char *name);
int mc_resolve(mc_addr_t *a, const char *host, int port, int passive);
void mc_addr_set_port(mc_addr_t *a, int port);
int mc_addr_port(mc_addr_t *a);
int mc_addr_multicast(mc_addr_t *a);
void mc_addr_text(mc_addr_t *a, char *buf, size_t size);
unsigned mc_ifindex(const char *name, struct in_addr *ip);

void mc_srt_init(void);
SRTSOCKET mc_srt_socket(mc_url_t *u);
SRTSOCKET mc_srt_listen(mc_url_t *u, int port);
SRTSOCKET mc_srt_connect(mc_url_t *u, int port, mc_addr_t *share);
void mc_srt_describe(SRTSOCKET s);

int mc_udp_sender(mc_url_t *u, int port, mc_addr_t *peer);
int mc_udp_receiver(mc_url_t *u, int port);

/* mc_ts.c */

void mc_gen_init(mc_gen_t *g, uint64_t rate, uint32_t id, uint64_t seed);
uint64_t mc_gen_pcr(mc_gen_t *g, uint64_t packet);
void mc_gen_datagram(mc_gen_t *g, uint8_t *buf, size_t size, uint64_t now);

void mc_check_init(mc_check_t *c);
void mc_check_datagram(mc_check_t *c, const uint8_t *p, size_t len,
    uint64_t now, uint64_t arrival);
uint64_t mc_check_lost(mc_check_t *c);
void mc_hist_add(mc_hist_t *h, uint64_t us);
void mc_hist_merge(mc_hist_t *to, mc_hist_t *from);
uint64_t mc_hist_at(mc_hist_t *h, double q);
void mc_hist_print(const char *name, mc_hist_t *h);
void mc_check_print(mc_check_t *c);

/* the subcommands */

int mc_send(mc_url_t *u);
int mc_recv(mc_url_t *u);
int mc_connect(mc_url_t *u);
int mc_flood(mc_url_t *u);
int mc_fdloop(mc_url_t *in, mc_url_t *out, unsigned n);
int mc_gsoloop(mc_url_t *in, mc_url_t *out, unsigned n);
int mc_tap(mc_url_t *in, mc_url_t *out);


#endif /* _MC_PKT_H_INCLUDED_ */
