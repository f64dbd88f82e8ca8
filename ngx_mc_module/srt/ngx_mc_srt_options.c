
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_srt.h>


/* the rate to be ready for where no max_bandwidth is set, bit/s */
#define NGX_MC_SRT_BANDWIDTH   100000000

/* what a round trip and retransmissions add to the latency, ms */
#define NGX_MC_SRT_ROUND_TRIP  100

#define NGX_MC_SRT_FC_MIN      2048
#define NGX_MC_SRT_FC_MAX      1048576


typedef struct {
    SRT_SOCKOPT   option;
    ngx_uint_t    type;
    size_t        offset;
    ngx_uint_t    accept;        /* endpoints of one port may differ in it: a
                                    listener has none, accepted sockets do */
    char         *name;
} ngx_mc_srt_option_t;


#define NGX_MC_SRT_INT     0
#define NGX_MC_SRT_INT64   1
#define NGX_MC_SRT_BOOL    2
#define NGX_MC_SRT_STRING  3

#define NGX_MC_SRT_CALLER    0
#define NGX_MC_SRT_LISTENER  1
#define NGX_MC_SRT_ACCEPTED  2


static ngx_int_t ngx_mc_srt_set_params(ngx_mc_params_t *params,
    SRTSOCKET sock, ngx_uint_t side, char **failed);
static ngx_int_t ngx_mc_srt_set_payloadsize(ngx_mc_params_t *params,
    SRTSOCKET sock);
static ngx_int_t ngx_mc_srt_set_latency(ngx_mc_params_t *params,
    SRTSOCKET sock);
static ngx_int_t ngx_mc_srt_set_int(SRTSOCKET sock, SRT_SOCKOPT option,
    ngx_int_t value);


static ngx_mc_srt_option_t  ngx_mc_srt_option_list[] = {
    { SRTO_PASSPHRASE, NGX_MC_SRT_STRING,
      offsetof(ngx_mc_params_t, passphrase), 1, "passphrase" },
    { SRTO_PBKEYLEN, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, pbkeylen), 1, "pbkeylen" },
    { SRTO_ENFORCEDENCRYPTION, NGX_MC_SRT_BOOL,
      offsetof(ngx_mc_params_t, enforcedencryption), 1,
      "enforcedencryption" },
    { SRTO_KMREFRESHRATE, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, kmrefreshrate), 1, "kmrefreshrate" },
    { SRTO_MAXBW, NGX_MC_SRT_INT64,
      offsetof(ngx_mc_params_t, maxbw), 1, "maxbw" },
    { SRTO_INPUTBW, NGX_MC_SRT_INT64,
      offsetof(ngx_mc_params_t, inputbw), 1, "inputbw" },
    { SRTO_MININPUTBW, NGX_MC_SRT_INT64,
      offsetof(ngx_mc_params_t, mininputbw), 1, "mininputbw" },
    { SRTO_OHEADBW, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, oheadbw), 1, "oheadbw" },
    { SRTO_CONNTIMEO, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, conntimeo), 0, "conntimeo" },
    { SRTO_PEERIDLETIMEO, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, peeridletimeo), 1, "peeridletimeo" },
    { SRTO_LOSSMAXTTL, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, lossmaxttl), 1, "lossmaxttl" },
    { SRTO_PACKETFILTER, NGX_MC_SRT_STRING,
      offsetof(ngx_mc_params_t, packetfilter), 1, "packetfilter" },
    { SRTO_MSS, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, mss), 0, "mss" },
    { SRTO_SNDBUF, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, sndbuf), 0, "sndbuf" },
    { SRTO_TLPKTDROP, NGX_MC_SRT_BOOL,
      offsetof(ngx_mc_params_t, tlpktdrop), 1, "tlpktdrop" },
    { SRTO_NAKREPORT, NGX_MC_SRT_BOOL,
      offsetof(ngx_mc_params_t, nakreport), 1, "nakreport" },
    { SRTO_MINVERSION, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, minversion), 1, "minversion" },
    { SRTO_IPTTL, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, ipttl), 0, "ipttl" },
    { SRTO_IPTOS, NGX_MC_SRT_INT,
      offsetof(ngx_mc_params_t, iptos), 0, "iptos" }
};


ngx_int_t
ngx_mc_srt_options(ngx_mc_endpoint_t *ep, SRTSOCKET sock, ngx_int_t fc,
    ngx_int_t rcvbuf)
{
    char             *failed;
    ngx_uint_t        side;
    ngx_mc_params_t  *params;

    params = &ep->def->params;
    failed = "latency";

    side = (ep->def->mode == NGX_MC_MODE_LISTENER) ? NGX_MC_SRT_LISTENER
                                                   : NGX_MC_SRT_CALLER;

    /* blocking is off in both directions for the life of the socket */

    if (ngx_mc_srt_set_int(sock, SRTO_RCVSYN, 0) != NGX_OK
        || ngx_mc_srt_set_int(sock, SRTO_SNDSYN, 0) != NGX_OK
        || ngx_mc_srt_set_latency(params, sock) != NGX_OK)
    {
        goto failed;
    }

    if (ngx_mc_srt_set_params(params, sock, side, &failed) != NGX_OK) {
        goto failed;
    }

    failed = "fc";

    if (ngx_mc_srt_set_int(sock, SRTO_FC, fc) != NGX_OK) {
        goto failed;
    }

    failed = "rcvbuf";

    if (ngx_mc_srt_set_int(sock, SRTO_RCVBUF, rcvbuf) != NGX_OK) {
        goto failed;
    }

    failed = "payloadsize";

    if (side != NGX_MC_SRT_LISTENER
        && ngx_mc_srt_set_payloadsize(params, sock) != NGX_OK)
    {
        goto failed;
    }

    failed = "streamid";

    if (ep->def->mode == NGX_MC_MODE_CALLER && params->streamid.len
        && srt_setsockflag(sock, SRTO_STREAMID, params->streamid.data,
                           params->streamid.len)
           == SRT_ERROR)
    {
        goto failed;
    }

    if (ep->sockaddr->sa_family == AF_INET6) {
        failed = "ipv6only";

        if (ngx_mc_srt_set_int(sock, SRTO_IPV6ONLY, 1) != NGX_OK) {
            goto failed;
        }
    }

    return NGX_OK;

failed:

    ngx_mc_endpoint_error(ep, "libsrt refused \"%s\": %s", failed,
                          srt_getlasterror_str());
    return NGX_ERROR;
}


/* libsrt's receiver thread, in the listen callback */

ngx_int_t
ngx_mc_srt_accept_options(ngx_mc_endpoint_def_t *def, SRTSOCKET sock)
{
    char  *failed;

    if (ngx_mc_srt_set_latency(&def->params, sock) != NGX_OK
        || ngx_mc_srt_set_payloadsize(&def->params, sock) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_mc_srt_set_params(&def->params, sock, NGX_MC_SRT_ACCEPTED,
                                 &failed);
}


static ngx_int_t
ngx_mc_srt_set_params(ngx_mc_params_t *params, SRTSOCKET sock,
    ngx_uint_t side, char **failed)
{
    int                   rc;
    char                 *p;
    int64_t               n64;
    ngx_int_t             n;
    ngx_str_t            *s;
    ngx_uint_t            i;
    ngx_mc_srt_option_t  *opt;

    for (i = 0;
         i < sizeof(ngx_mc_srt_option_list) / sizeof(ngx_mc_srt_option_t);
         i++)
    {
        opt = &ngx_mc_srt_option_list[i];

        if ((side == NGX_MC_SRT_LISTENER && opt->accept)
            || (side == NGX_MC_SRT_ACCEPTED && !opt->accept))
        {
            continue;
        }

        p = (char *) params + opt->offset;
        *failed = opt->name;
        rc = 0;

        switch (opt->type) {

        case NGX_MC_SRT_STRING:
            s = (ngx_str_t *) p;

            if (s->len) {
                rc = srt_setsockflag(sock, opt->option, s->data, s->len);
            }

            break;

        case NGX_MC_SRT_INT64:
            n64 = *(int64_t *) p;

            if (n64 != NGX_CONF_UNSET) {
                rc = srt_setsockflag(sock, opt->option, &n64,
                                     sizeof(int64_t));
            }

            break;

        default:
            n = *(ngx_int_t *) p;

            if (n != NGX_CONF_UNSET
                && ngx_mc_srt_set_int(sock, opt->option, n) != NGX_OK)
            {
                rc = SRT_ERROR;
            }

            break;
        }

        if (rc == SRT_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_srt_set_payloadsize(ngx_mc_params_t *params, SRTSOCKET sock)
{
    ngx_int_t  size;

    size = ngx_mc_srt_payloadsize(params);

    /* libsrt's default holds with any mss that it takes */

    if (size == NGX_MC_TS_DATAGRAM) {
        return NGX_OK;
    }

    return ngx_mc_srt_set_int(sock, SRTO_PAYLOADSIZE, size);
}


/*
 * What a source sends in one message goes out in one, up to the largest; a
 * packet filter needs the room for its own header.
 */

ngx_int_t
ngx_mc_srt_payloadsize(ngx_mc_params_t *params)
{
    if (params->payloadsize > 0) {
        return params->payloadsize;
    }

    if (params->packetfilter.len || params->mss != NGX_CONF_UNSET) {
        return NGX_MC_TS_DATAGRAM;
    }

    return NGX_MC_SRT_MESSAGE;
}


/* the narrower wins: rcvlatency and peerlatency over latency */

static ngx_int_t
ngx_mc_srt_set_latency(ngx_mc_params_t *params, SRTSOCKET sock)
{
    ngx_int_t  receive, peer;

    receive = (params->rcvlatency != NGX_CONF_UNSET) ? params->rcvlatency
                                                     : params->latency;
    peer = (params->peerlatency != NGX_CONF_UNSET) ? params->peerlatency
                                                   : params->latency;

    if (ngx_mc_srt_set_int(sock, SRTO_RCVLATENCY, receive) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_mc_srt_set_int(sock, SRTO_PEERLATENCY, peer);
}


static ngx_int_t
ngx_mc_srt_set_int(SRTSOCKET sock, SRT_SOCKOPT option, ngx_int_t value)
{
    int  n;

    n = (int) value;

    return (srt_setsockflag(sock, option, &n, sizeof(int)) == SRT_ERROR)
           ? NGX_ERROR : NGX_OK;
}


/*
 * libsrt allocates by what may be in flight, not by what is: its default of
 * 25,600 packets costs 763 KiB a socket.  What a rate can have under way in
 * the latency and a round trip is enough, with a quarter to spare.
 */

void
ngx_mc_srt_buffers(ngx_mc_endpoint_t *ep, ngx_int_t *fc, ngx_int_t *rcvbuf)
{
    int64_t           rate, n;
    ngx_int_t         latency;
    ngx_mc_params_t  *params, *source;

    params = &ep->def->params;

    source = ep->pipeline->source ? &ep->pipeline->source->def->params : NULL;

    rate = NGX_MC_SRT_BANDWIDTH;

    if (source && source->max_bandwidth > 0
        && source->exceed != NGX_MC_EXCEED_ALARM)
    {
        rate = source->max_bandwidth;
    }

    latency = ngx_max(params->latency, 0);
    latency = ngx_max(latency, params->rcvlatency);
    latency = ngx_max(latency, params->peerlatency);

    n = rate / 8 * (latency + NGX_MC_SRT_ROUND_TRIP) / 1000
        / NGX_MC_TS_DATAGRAM;

    n += n / 4;
    n = ngx_max(n, NGX_MC_SRT_FC_MIN);
    n = ngx_min(n, NGX_MC_SRT_FC_MAX);

    *fc = (params->fc != NGX_CONF_UNSET) ? params->fc : (ngx_int_t) n;

    /* a receive buffer larger than the flight window is of no use */

    *rcvbuf = (params->rcvbuf != NGX_CONF_UNSET) ? params->rcvbuf
              : *fc * (NGX_MC_SRT_MESSAGE + 16);
}
