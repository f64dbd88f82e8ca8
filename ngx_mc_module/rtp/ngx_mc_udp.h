
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_UDP_H_INCLUDED_
#define _NGX_MC_UDP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc.h>
#include <ngx_mc_handover.h>
#include <ngx_mc_rtp.h>
#include <ngx_mc_rtp_reorder.h>
#include <ngx_mc_rtp_pace.h>


/*
 * What RTP and UDP endpoints share.  The kernel carries trains: a run of
 * datagrams of one size (the last may be shorter) in one piece, cut where it
 * leaves the machine (UDP_SEGMENT), or put together where it arrives
 * (UDP_GRO).
 */

#define NGX_MC_UDP_DATAGRAM    65536       /* more than any can be */
#define NGX_MC_UDP_TRAIN       65507       /* all that IPv4 can carry */
#define NGX_MC_UDP_SEGMENTS    64          /* of a train */

/* where the definition does not say; ms */
#define NGX_MC_UDP_TIMEOUT     2000

#define ngx_mc_udp_timeout(params)                                           \
    (((params)->timeout == NGX_CONF_UNSET) ? NGX_MC_UDP_TIMEOUT              \
                                           : (ngx_msec_t) (params)->timeout)


typedef struct {
    ngx_mc_endpoint_t      *endpoint;
    ngx_connection_t       *connection;    /* NULL: not open */

    ngx_mc_pulse_client_t   pulse;
    ngx_uint_t              period;        /* of the beat, us */
    ngx_event_t             silence;
    ngx_msec_t              timeout;

    int64_t                 emptied;       /* us: nothing was left to read */
    int64_t                 window;        /* began at, for the choice of
                                              beat or poll set, */
    ngx_uint_t              seen;          /* and what has come since */
    int64_t                 accepted;      /* one that was taken */
    int64_t                 complained;    /* one that was malformed; 0 */

    ngx_uint_t              ifindex;       /* IPv6 groups; 0: any */
    uint32_t                overflows;     /* as the kernel counts them */

    /* whose last datagram was */
    ngx_sockaddr_t          sender;
    socklen_t               sender_len;    /* 0: nobody's yet */

    /* whose datagrams are taken */
    ngx_sockaddr_t          peer;
    socklen_t               peer_len;

    ngx_mc_rtp_reorder_t   *reorder;       /* NULL: UDP */
    uint32_t                ssrc;          /* of the last that was taken */

    unsigned                denied:1;      /* sender is not on the list */
    unsigned                up:1;
    unsigned                aside:1;       /* a packet of another SSRC is */
} ngx_mc_udp_source_t;


typedef struct {
    /* what each send reads comes first: caches are cold between outputs */

    ngx_mc_endpoint_t      *endpoint;
    ngx_mc_rtp_pace_t      *pace;          /* NULL: off */
    ngx_socket_t            fd;            /* -1: not open */
    uint32_t                pkt_size;

    unsigned                gso:1;
    unsigned                rtp:1;
    unsigned                keep:1;        /* RTP headers of the source */
    unsigned                set_pt:1;      /* in those that are kept */
    unsigned                timed:1;       /* timestamp and origin are set */
    unsigned                media:1;       /* shift is of media time */
    unsigned                broken:1;      /* sends have failed for a while */
    unsigned                reported:1;    /* that it is refused */

    uint8_t                 pt;

    /* RTP headers of our own */
    uint16_t                seq;
    uint32_t                ssrc;
    uint32_t                timestamp;     /* of the last packet */
    uint32_t                shift;         /* from its clock to timestamps */
    int64_t                 origin;        /* of the last packet */

    int64_t                 failing;       /* us: since when sends fail, 0 */
    int64_t                 refused;       /* us: the last time, 0 */
    ngx_err_t               err;           /* the last failure */

    ngx_mc_rtp_pace_t       pacer;         /* what "pace" points to */
} ngx_mc_udp_output_t;


/*
 * What goes to another process with the sockets.  Times are us of the
 * monotonic clock, which all processes share.
 */

typedef struct {
    int64_t                 emptied;
    int64_t                 accepted;
    uint32_t                overflows;
    uint32_t                ifindex;
    uint32_t                ssrc;
    uint32_t                peer_len;      /* 0: nobody */
    union {
        struct sockaddr     sockaddr;
        struct sockaddr_in  sockaddr_in;
#if (NGX_HAVE_INET6)
        struct sockaddr_in6 sockaddr_in6;
#endif
    } peer;

    /* that of the reorder buffer follows, of RTP */
} ngx_mc_udp_source_state_t;


typedef struct {
    int64_t                 origin;
    uint32_t                ssrc;
    uint32_t                timestamp;
    uint32_t                shift;
    uint16_t                seq;
    uint8_t                 timed;
    uint8_t                 media;
    uint8_t                 gso;
} ngx_mc_udp_output_state_t;


/* ngx_mc_udp.c: sockets */

/* on failure the endpoint has been told, and the result is -1 */
ngx_socket_t ngx_mc_udp_open_source(ngx_mc_endpoint_t *ep,
    ngx_uint_t *ifindex);
ngx_socket_t ngx_mc_udp_open_output(ngx_mc_endpoint_t *ep);

/* one that another process had: whether it is what these would open */
ngx_int_t ngx_mc_udp_check(ngx_mc_endpoint_t *ep, ngx_socket_t s);

/* ngx_mc_udp_recv.c */
void ngx_mc_udp_recv_init(void);
void ngx_mc_udp_recv_handler(ngx_event_t *rev);
void ngx_mc_udp_recv_pulse(void *data);

/* the definition of the source, or the beat of its flow, is another now */
void ngx_mc_udp_recv_update(ngx_mc_udp_source_t *s);

void ngx_mc_udp_silence_handler(ngx_event_t *ev);

/*
 * save(): forwards what has arrived and what is held; nothing may be read any
 * more.  Returns the bytes written, at most NGX_MC_HANDOVER_STATE.  restore()
 * is for a source that is being opened; who was connected still is.
 */
size_t ngx_mc_udp_recv_save(ngx_mc_udp_source_t *s, u_char *p);
ngx_int_t ngx_mc_udp_recv_restore(ngx_mc_udp_source_t *s,
    ngx_mc_handover_t *ho);

/* ngx_mc_udp_send.c */
void ngx_mc_udp_send(void *data, ngx_mc_packet_t *pkts, ngx_uint_t n);


#endif /* _NGX_MC_UDP_H_INCLUDED_ */
