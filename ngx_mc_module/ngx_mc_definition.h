
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_DEFINITION_H_INCLUDED_
#define _NGX_MC_DEFINITION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * A definition is the canonical text of one flow: one line a setting, every
 * default, inherited value and secret resolved.  It is made from nginx.conf
 * while the configuration is parsed, lives in shared memory, and is the only
 * thing that the process which runs the flow builds it from.  Two equal
 * lines mean an unchanged endpoint.
 */


#define NGX_MC_NAME_LEN          64
#define NGX_MC_TEXT_LEN          255

#define NGX_MC_PRIMARY           0
#define NGX_MC_BACKUP            1
#define NGX_MC_PIPELINES         2

#define NGX_MC_INPUT             0
#define NGX_MC_OUTPUT            1

/* bits: which endpoints a parameter belongs to */
#define NGX_MC_SRT               0x01
#define NGX_MC_RTP               0x02
#define NGX_MC_UDP               0x04
#define NGX_MC_RTMP              0x08     /* RTMPS too */
#define NGX_MC_DATAGRAM          (NGX_MC_RTP|NGX_MC_UDP)
#define NGX_MC_PACKET            (NGX_MC_SRT|NGX_MC_RTP|NGX_MC_UDP)
#define NGX_MC_ANY               (NGX_MC_PACKET|NGX_MC_RTMP)

#define NGX_MC_ON_SOURCE         0x100
#define NGX_MC_ON_OUTPUT         0x200
#define NGX_MC_ON_BOTH           (NGX_MC_ON_SOURCE|NGX_MC_ON_OUTPUT)

#define NGX_MC_MODE_CALLER       0
#define NGX_MC_MODE_LISTENER     1
#define NGX_MC_MODE_RENDEZVOUS   2
#define NGX_MC_MODE_RECEIVE      3     /* RTP and UDP sources, unicast */
#define NGX_MC_MODE_MULTICAST    4     /* RTP and UDP sources that join */
#define NGX_MC_MODE_SEND         5     /* RTP and UDP outputs */

#define NGX_MC_EXCEED_DROP       0
#define NGX_MC_EXCEED_ALARM      1
#define NGX_MC_EXCEED_DISCONNECT 2

#define NGX_MC_BUFFER_RELEASE    0     /* in-order packets leave at once */
#define NGX_MC_BUFFER_CONSTANT   1

#define NGX_MC_RTP_KEEP          0
#define NGX_MC_RTP_NEW           1

#define NGX_MC_PACE_OFF          0
#define NGX_MC_PACE_PCR          1

#define NGX_MC_TRANSTYPE_LIVE    0

/* connections of a listener whose passphrase is changed */
#define NGX_MC_REKEY_KEEP        0
#define NGX_MC_REKEY_DISCONNECT  1

/* the handshake carries a latency in 16 bits, of milliseconds */
#define NGX_MC_LATENCY_MAX       65535

/* of libsrt in live mode, and with the default MSS */
#define NGX_MC_SRT_PAYLOADSIZE   1316
#define NGX_MC_SRT_MSS           1500

#define NGX_MC_RTP_PT            33       /* MP2T, RFC 3551, 6 */

/* where a URL does not say it */
#define NGX_MC_RTMP_PORT         1935
#define NGX_MC_RTMPS_PORT        443


/*
 * Parameters of an endpoint.  Numbers that were not given are
 * NGX_CONF_UNSET, strings have data == NULL.  Times are milliseconds.
 */

/* room for the marks of ngx_mc_params[] */
#define NGX_MC_GIVEN_WORDS       2


typedef struct {
    uint64_t         given[NGX_MC_GIVEN_WORDS];  /* which were, by index in
                                                    ngx_mc_params[] */

    /* common */
    ngx_str_t        description;
    ngx_array_t     *allow;               /* ngx_cidr_t; NULL: not given,
                                             empty: "all".  As read from a
                                             definition NULL: anyone */
    ngx_int_t        max_peers;
    ngx_int_t        min_peers;
    int64_t          max_bandwidth;       /* bit/s; 0: none */
    ngx_int_t        exceed;              /* from mc_max_bandwidth */

    /* SRT; a definition has rcvlatency and peerlatency, never latency */
    ngx_int_t        mode;                /* as given; see def->mode */
    ngx_int_t        latency;
    ngx_int_t        rcvlatency;
    ngx_int_t        peerlatency;
    ngx_str_t        passphrase;
    ngx_int_t        pbkeylen;
    ngx_int_t        rekey;
    ngx_str_t        streamid;
    int64_t          maxbw;               /* bytes/s, as libsrt */
    int64_t          inputbw;
    int64_t          mininputbw;
    ngx_int_t        oheadbw;
    ngx_int_t        conntimeo;
    ngx_int_t        peeridletimeo;
    ngx_int_t        lossmaxttl;
    ngx_str_t        packetfilter;
    ngx_int_t        payloadsize;
    ngx_int_t        mss;
    ngx_int_t        fc;
    ngx_int_t        rcvbuf;
    ngx_int_t        sndbuf;
    ngx_int_t        tlpktdrop;
    ngx_int_t        nakreport;
    ngx_int_t        kmrefreshrate;
    ngx_int_t        enforcedencryption;
    ngx_int_t        minversion;          /* 0xMMmmpp */
    ngx_int_t        ipttl;
    ngx_int_t        iptos;
    ngx_str_t        adapter;
    ngx_int_t        port;                /* local port of a caller */

    /* RTP and UDP */
    ngx_int_t        ttl;
    ngx_int_t        tos;
    ngx_str_t        interface;
    ngx_str_t        source;              /* source filter of a group */
    ngx_int_t        buffer;
    ngx_int_t        buffer_mode;
    ngx_int_t        pt;
    int64_t          ssrc;
    ngx_int_t        pkt_size;
    ngx_int_t        rtp;
    ngx_int_t        pace;
    ngx_int_t        timeout;

    /* RTMP */
    ngx_str_t        key;                 /* key= or what key_file= has */
    ngx_int_t        tls_verify;
    ngx_str_t        tls_ca;              /* PEM: what the file has */
    ngx_int_t        program;             /* outputs: what TS sources are
                                             searched for; -1: the first */
    ngx_int_t        video;               /* PIDs, -1 likewise */
    ngx_int_t        audio;
    ngx_str_t        audio_language;      /* audio=LANG */
    int64_t          muxrate;             /* sources, bit/s: of the TS made
                                             from them, constant; 0: variable */
    int64_t          maxrate;             /* the same as a cap */
} ngx_mc_params_t;


typedef struct {
    ngx_str_t        name;
    ngx_uint_t       direction;           /* NGX_MC_INPUT, NGX_MC_OUTPUT */
    ngx_uint_t       pipeline;
    ngx_uint_t       protocol;            /* NGX_MC_SRT, ... */
    ngx_uint_t       mode;                /* NGX_MC_MODE_*, resolved */
    unsigned         off:1;

    ngx_str_t        host;                /* no brackets; empty: any IPv4 */
    in_port_t        port;
    ngx_str_t        app;                 /* RTMP: the application, no leading
                                             "/"; with key= of a caller path
                                             and query: secret */
    ngx_str_t        stream;              /* RTMP: name of the stream, of a
                                             caller with its query or the key:
                                             secret */
    unsigned         tls:1;               /* rtmps:// */
    ngx_str_t        url;                 /* scheme, host, port, and of RTMP
                                             the application: what may be
                                             shown */
    ngx_mc_params_t  params;

    ngx_str_t        text;                /* its line of the definition */

    /* only while parsing the configuration */
    ngx_str_t        file;
    ngx_uint_t       line;
} ngx_mc_endpoint_def_t;


typedef struct {
    ngx_str_t        name;
    ngx_str_t        title;               /* len 0: not given */
    ngx_str_t        description;
    ngx_uint_t       stopped;             /* mc_state off */
    ngx_msec_t       batch;               /* mc_batch */
    ngx_array_t     *allow;               /* the flow's or main's mc_allow,
                                             NULL or empty: anyone.  Not a
                                             part of the text, like latency:
                                             its endpoints have it */
    int64_t          max_bandwidth;       /* bit/s; 0: none */
    ngx_uint_t       exceed;
    ngx_msec_t       latency;             /* mc_latency */
    ngx_str_t        group;               /* groups of flows share an owner:
                                             the least name of the group.
                                             Not a part of the text */

    ngx_array_t      sources;             /* ngx_mc_endpoint_def_t */
    ngx_array_t      outputs;             /* ngx_mc_endpoint_def_t */

    ngx_str_t        text;                /* the whole definition */

    /* only while parsing the configuration */
    ngx_str_t        file;
    ngx_uint_t       line;
} ngx_mc_flow_def_t;


/*
 * An error message for people, without secrets: param names, never values
 * of parameters.  "log" is where warnings go (NULL outside of parsing).
 */

#define NGX_MC_ERR_LEN  512

typedef struct {
    ngx_pool_t      *pool;
    ngx_conf_t      *cf;                  /* NULL unless parsing nginx.conf */
    u_char           err[NGX_MC_ERR_LEN]; /* zero-terminated */
} ngx_mc_parse_t;


/*
 * URL: "scheme://host:port?param=value&...".  Fills protocol, mode (from the
 * URL alone), host, port, url and the parameters of the query.  NGX_ERROR
 * and p->err on a mistake.  "rtmp://host/app/name?query" is complete after
 * ngx_mc_def_check_endpoint() only: what the path is depends on "key".
 */
ngx_int_t ngx_mc_def_parse_url(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *url);

/*
 * One "param=value" word, from nginx.conf or, decoded, from the query of a
 * URL.  Needs direction and the protocol, so the URL comes first.  Includes
 * "name=" of sources.  A parameter given twice is a mistake.  Strings are
 * not copied.  A word without "=" has value->data NULL: it is not repeated
 * in the message unless it is the name of a parameter.
 */
ngx_int_t ngx_mc_def_parse_param(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *name, ngx_str_t *value);

/* zeroes all of it: direction, pipeline, name and the like are set later */
void ngx_mc_def_init_endpoint(ngx_mc_endpoint_def_t *def);

/* the checks that one endpoint alone allows; resolves def->mode, application
   and stream of RTMP, and the name of a source that has none.  Once only */
ngx_int_t ngx_mc_def_check_endpoint(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);

/* inherits, fills in defaults, writes def->text of each and flow->text */
ngx_int_t ngx_mc_def_write(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow);

/* the reverse: a definition from its text; strings point into "text" or
   p->pool.  What cannot be read is our bug */
ngx_int_t ngx_mc_def_read(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow,
    ngx_str_t *text);

/* the same for one endpoint and its line, without the newline */
ngx_int_t ngx_mc_def_read_endpoint(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *line);

/* whether both are of one endpoint: direction, name and pipeline */
ngx_uint_t ngx_mc_def_is_same(ngx_mc_endpoint_def_t *a,
    ngx_mc_endpoint_def_t *b);

/*
 * What of an endpoint's definition differs, as bits, and how that can be put
 * into force; "names", unless NULL, gets the names of the parameters that
 * differ, never their values.
 */

#define NGX_MC_CHANGED_LIVE      0x01     /* while it runs */
#define NGX_MC_CHANGED_KEY       0x02     /* so, and it is about the key */
#define NGX_MC_CHANGED_REOPEN    0x04     /* it has to be opened anew */

ngx_uint_t ngx_mc_def_changed(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *from,
    ngx_mc_endpoint_def_t *to, u_char *names, size_t size);

/* decimal bit rates: "20m" is 20,000,000; NGX_ERROR on a mistake */
int64_t ngx_mc_parse_rate(ngx_str_t *s);

/* "1 to 64 of letters, digits, _ . -, not . or .."; NGX_OK, NGX_DECLINED */
ngx_int_t ngx_mc_def_check_name(ngx_str_t *name);

/* FNV-1a */
static ngx_inline uint64_t
ngx_mc_hash(u_char *data, size_t len)
{
    size_t    i;
    uint64_t  h;

    h = 0xcbf29ce484222325ULL;

    for (i = 0; i < len; i++) {
        h ^= data[i];
        h *= 0x100000001b3ULL;
    }

    return h;
}

/* a title or a description: UTF-8 without control characters, at most
   NGX_MC_TEXT_LEN of them; NGX_OK, NGX_DECLINED */
ngx_int_t ngx_mc_def_check_text(ngx_str_t *text);

/* "all" makes an empty array, and stands alone */
ngx_int_t ngx_mc_def_add_cidr(ngx_mc_parse_t *p, ngx_array_t **cidrs,
    ngx_str_t *value);

/*
 * Checks that need all flows: ports that collide, streamids, ports that
 * workers cannot bind, outputs without destinations and the like.  Logs
 * each mistake with its file and line, and computes group of each flow.
 * "flows" has ngx_mc_flow_def_t * in any order; of "cf" only cycle, log,
 * pool and temp_pool are used, so it may be one made for the call.
 */
char *ngx_mc_def_check_flows(ngx_conf_t *cf, ngx_array_t *flows);

ngx_str_t *ngx_mc_protocol_name(ngx_uint_t protocol);
ngx_str_t *ngx_mc_mode_name(ngx_uint_t mode);


extern ngx_str_t  ngx_mc_pipeline_names[];


/* between the files of the definition */

/* fills p->err and returns NGX_ERROR */
ngx_int_t ngx_mc_def_error(ngx_mc_parse_t *p, const char *fmt, ...);

/* max_peers and min_peers of who listens */
ngx_int_t ngx_mc_def_check_peers(ngx_mc_parse_t *p, ngx_mc_params_t *prm);

/* AF_INET or AF_INET6 and 4 or 16 bytes, or 0: not an address */
ngx_uint_t ngx_mc_def_address(ngx_str_t *text, u_char *addr);
ngx_uint_t ngx_mc_def_is_multicast(ngx_uint_t family, u_char *addr);

/* ngx_mc_definition_rtmp.c */
ngx_int_t ngx_mc_def_rtmp_path(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *path);
ngx_int_t ngx_mc_def_rtmp_split(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
ngx_int_t ngx_mc_def_check_rtmp(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
const char *ngx_mc_def_rtmp_hint(ngx_str_t *name);


#endif /* _NGX_MC_DEFINITION_H_INCLUDED_ */
