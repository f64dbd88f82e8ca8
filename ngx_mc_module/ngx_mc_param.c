
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_param.h>
#include <ngx_mc_srt_streamid.h>

#if (NGX_OPENSSL)
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#endif


/* FFmpeg's SRT options are microseconds: no sane latency is so long */
#define NGX_MC_SUSPECT_TIME      30000

#define NGX_MC_SECRET_FILE_SIZE  4096

/* of certificates: more is a system's list, that needs no naming */
#define NGX_MC_CA_SIZE           65536

#define NGX_MC_RATE_MAX          1000000000000LL

#define NGX_MC_PID_MIN           16
#define NGX_MC_PID_MAX           8190


static ngx_int_t ngx_mc_def_unknown_param(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *name, ngx_str_t *value);
static ngx_uint_t ngx_mc_def_distance(ngx_str_t *a, ngx_str_t *b);
static u_char *ngx_mc_def_where(u_char *buf, u_char *last, ngx_uint_t where);
static ngx_int_t ngx_mc_def_number(ngx_str_t *s, int64_t *number);
static ngx_int_t ngx_mc_def_time(ngx_str_t *s, int64_t *ms);
static ngx_int_t ngx_mc_def_version(ngx_str_t *s, int64_t *version);
static ngx_int_t ngx_mc_def_set_number(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    void *field, ngx_str_t *value);
static ngx_int_t ngx_mc_def_set_enum(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_int_t *field, ngx_str_t *value);
static ngx_int_t ngx_mc_def_set_string(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *field, ngx_str_t *value);
static ngx_int_t ngx_mc_def_set_cidrs(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_array_t **field, ngx_str_t *value);
static ngx_int_t ngx_mc_def_set_audio(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_mc_params_t *params, ngx_str_t *value);
static ngx_int_t ngx_mc_def_read_secret(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *secret, ngx_str_t *name);
static ngx_int_t ngx_mc_def_read_certificates(ngx_mc_parse_t *p,
    ngx_mc_param_t *prm, ngx_str_t *field, ngx_str_t *name);
static ngx_int_t ngx_mc_def_read_file(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *name, ngx_str_t *content, size_t size);
static ngx_int_t ngx_mc_def_ptocidr(ngx_mc_parse_t *p, ngx_array_t **cidrs,
    ngx_str_t *value);


/* libsrt's own tools know client and server, too */

static ngx_conf_enum_t  ngx_mc_param_modes[] = {
    { ngx_string("caller"), NGX_MC_MODE_CALLER },
    { ngx_string("listener"), NGX_MC_MODE_LISTENER },
    { ngx_string("rendezvous"), NGX_MC_MODE_RENDEZVOUS },
    { ngx_string("client"), NGX_MC_MODE_CALLER },
    { ngx_string("server"), NGX_MC_MODE_LISTENER },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_bools[] = {
    { ngx_string("0"), 0 },
    { ngx_string("1"), 1 },
    { ngx_string("no"), 0 },
    { ngx_string("yes"), 1 },
    { ngx_string("off"), 0 },
    { ngx_string("on"), 1 },
    { ngx_string("false"), 0 },
    { ngx_string("true"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_exceeds[] = {
    { ngx_string("drop"), NGX_MC_EXCEED_DROP },
    { ngx_string("alarm"), NGX_MC_EXCEED_ALARM },
    { ngx_string("disconnect"), NGX_MC_EXCEED_DISCONNECT },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_buffer_modes[] = {
    { ngx_string("release"), NGX_MC_BUFFER_RELEASE },
    { ngx_string("constant"), NGX_MC_BUFFER_CONSTANT },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_rtps[] = {
    { ngx_string("keep"), NGX_MC_RTP_KEEP },
    { ngx_string("new"), NGX_MC_RTP_NEW },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_paces[] = {
    { ngx_string("off"), NGX_MC_PACE_OFF },
    { ngx_string("pcr"), NGX_MC_PACE_PCR },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_rekeys[] = {
    { ngx_string("keep"), NGX_MC_REKEY_KEEP },
    { ngx_string("disconnect"), NGX_MC_REKEY_DISCONNECT },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_verifies[] = {
    { ngx_string("off"), 0 },
    { ngx_string("on"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mc_param_transtypes[] = {
    { ngx_string("live"), NGX_MC_TRANSTYPE_LIVE },
    { ngx_null_string, 0 }
};


#define NGX_MC_SRT_BOTH   (NGX_MC_SRT|NGX_MC_ON_BOTH)
#define NGX_MC_SRT_ACCEPT (NGX_MC_SRT_BOTH|NGX_MC_PARAM_ACCEPTED)
#define NGX_MC_SRT_PORT   (NGX_MC_SRT_BOTH|NGX_MC_PARAM_PER_PORT)
#define NGX_MC_SRT_MUXER  (NGX_MC_SRT_PORT|NGX_MC_PARAM_CALLER_PORT)

#define NGX_MC_RTMP_BOTH  (NGX_MC_RTMP|NGX_MC_ON_BOTH)

#define ngx_mc_offset(field)  offsetof(ngx_mc_params_t, field)


/*
 * A name may stand here twice for different kinds of endpoints.  The order
 * is that of the canonical text.
 */

ngx_mc_param_t  ngx_mc_params[] = {

    /* common */

    { ngx_string("name"), NGX_MC_PARAM_NAME,
      NGX_MC_ANY|NGX_MC_ON_SOURCE|NGX_MC_PARAM_UNWRITTEN,
      0, 1, NGX_MC_NAME_LEN, NULL },

    { ngx_string("description"), NGX_MC_PARAM_TEXT,
      NGX_MC_ANY|NGX_MC_ON_BOTH|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(description), 1, NGX_MC_TEXT_LEN, NULL },

    { ngx_string("allow"), NGX_MC_PARAM_CIDRS,
      NGX_MC_SRT|NGX_MC_RTMP|NGX_MC_ON_BOTH|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(allow), 0, 0, NULL },

    { ngx_string("allow"), NGX_MC_PARAM_CIDRS,
      NGX_MC_DATAGRAM|NGX_MC_ON_SOURCE|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(allow), 0, 0, NULL },

    { ngx_string("max_peers"), NGX_MC_PARAM_INT,
      NGX_MC_SRT|NGX_MC_RTMP|NGX_MC_ON_OUTPUT|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(max_peers), 1, 100000, NULL },

    { ngx_string("min_peers"), NGX_MC_PARAM_INT,
      NGX_MC_SRT|NGX_MC_RTMP|NGX_MC_ON_OUTPUT|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(min_peers), 0, 100000, NULL },

    { ngx_string("max_bandwidth"), NGX_MC_PARAM_RATE,
      NGX_MC_ANY|NGX_MC_ON_SOURCE|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(max_bandwidth), 0, NGX_MC_RATE_MAX, NULL },

    { ngx_string("exceed"), NGX_MC_PARAM_ENUM,
      NGX_MC_ANY|NGX_MC_ON_SOURCE|NGX_MC_PARAM_INTERNAL|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(exceed), 0, 0, ngx_mc_param_exceeds },

    /* SRT */

    { ngx_string("mode"), NGX_MC_PARAM_ENUM,
      NGX_MC_SRT_BOTH|NGX_MC_PARAM_UNWRITTEN,
      ngx_mc_offset(mode), 0, 0, ngx_mc_param_modes },

    { ngx_string("latency"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_BOTH|NGX_MC_PARAM_UNWRITTEN,
      ngx_mc_offset(latency), 0, NGX_MC_LATENCY_MAX, NULL },

    { ngx_string("rcvlatency"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(rcvlatency), 0, NGX_MC_LATENCY_MAX, NULL },

    { ngx_string("peerlatency"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(peerlatency), 0, NGX_MC_LATENCY_MAX, NULL },

    { ngx_string("passphrase"), NGX_MC_PARAM_SECRET,
      NGX_MC_SRT_ACCEPT|NGX_MC_PARAM_KEY,
      ngx_mc_offset(passphrase), 10, 79, NULL },

    { ngx_string("passphrase_file"), NGX_MC_PARAM_SECRET_FILE,
      NGX_MC_SRT_BOTH|NGX_MC_PARAM_UNWRITTEN,
      ngx_mc_offset(passphrase), 10, 79, NULL },

    { ngx_string("pbkeylen"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_ACCEPT|NGX_MC_PARAM_KEY,
      ngx_mc_offset(pbkeylen), 0, 32, NULL },

    { ngx_string("rekey"), NGX_MC_PARAM_ENUM,
      NGX_MC_SRT_BOTH|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(rekey), 0, 0, ngx_mc_param_rekeys },

    { ngx_string("streamid"), NGX_MC_PARAM_STRING,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(streamid), 1, NGX_MC_SRT_STREAMID_LEN, NULL },

    { ngx_string("maxbw"), NGX_MC_PARAM_INT64,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(maxbw), -1, NGX_MC_RATE_MAX, NULL },

    { ngx_string("inputbw"), NGX_MC_PARAM_INT64,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(inputbw), 0, NGX_MC_RATE_MAX, NULL },

    { ngx_string("mininputbw"), NGX_MC_PARAM_INT64,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(mininputbw), 0, NGX_MC_RATE_MAX, NULL },

    { ngx_string("oheadbw"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(oheadbw), 5, 100, NULL },

    { ngx_string("conntimeo"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(conntimeo), 1, 600000, NULL },

    { ngx_string("peeridletimeo"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(peeridletimeo), 1, 600000, NULL },

    { ngx_string("lossmaxttl"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(lossmaxttl), 0, 1000000, NULL },

    { ngx_string("packetfilter"), NGX_MC_PARAM_STRING,
      NGX_MC_SRT_PORT|NGX_MC_PARAM_ACCEPTED,
      ngx_mc_offset(packetfilter), 1, 512, NULL },

    /* a TS packet at least; SRT_LIVE_MAX_PLSIZE at most */
    { ngx_string("payloadsize"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT|NGX_MC_PARAM_ACCEPTED,
      ngx_mc_offset(payloadsize), 188, 1456, NULL },

    { ngx_string("mss"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_MUXER,
      ngx_mc_offset(mss), 76, NGX_MC_SRT_MSS, NULL },

    { ngx_string("fc"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT|NGX_MC_PARAM_ACCEPTED,
      ngx_mc_offset(fc), 32, 10000000, NULL },

    { ngx_string("rcvbuf"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT|NGX_MC_PARAM_ACCEPTED,
      ngx_mc_offset(rcvbuf), 1, 2000000000, NULL },

    { ngx_string("sndbuf"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT|NGX_MC_PARAM_ACCEPTED,
      ngx_mc_offset(sndbuf), 1, 2000000000, NULL },

    { ngx_string("tlpktdrop"), NGX_MC_PARAM_BOOL,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(tlpktdrop), 0, 1, ngx_mc_param_bools },

    { ngx_string("nakreport"), NGX_MC_PARAM_BOOL,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(nakreport), 0, 1, ngx_mc_param_bools },

    { ngx_string("kmrefreshrate"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(kmrefreshrate), 0, 0x7fffffff, NULL },

    { ngx_string("enforcedencryption"), NGX_MC_PARAM_BOOL,
      NGX_MC_SRT_PORT|NGX_MC_PARAM_ACCEPTED|NGX_MC_PARAM_KEY,
      ngx_mc_offset(enforcedencryption), 0, 1, ngx_mc_param_bools },

    { ngx_string("minversion"), NGX_MC_PARAM_VERSION,
      NGX_MC_SRT_ACCEPT,
      ngx_mc_offset(minversion), 0, 0xffffff, NULL },

    { ngx_string("ipttl"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_MUXER,
      ngx_mc_offset(ipttl), 1, 255, NULL },

    { ngx_string("iptos"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_MUXER,
      ngx_mc_offset(iptos), 0, 255, NULL },

    { ngx_string("adapter"), NGX_MC_PARAM_STRING,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(adapter), 1, NGX_INET6_ADDRSTRLEN, NULL },

    { ngx_string("port"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(port), 1, 65535, NULL },

    /* RTP and UDP */

    { ngx_string("ttl"), NGX_MC_PARAM_INT,
      NGX_MC_DATAGRAM|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(ttl), 0, 255, NULL },

    { ngx_string("tos"), NGX_MC_PARAM_INT,
      NGX_MC_DATAGRAM|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(tos), 0, 255, NULL },

    { ngx_string("interface"), NGX_MC_PARAM_STRING,
      NGX_MC_DATAGRAM|NGX_MC_ON_BOTH,
      ngx_mc_offset(interface), 1, NGX_INET6_ADDRSTRLEN, NULL },

    { ngx_string("source"), NGX_MC_PARAM_STRING,
      NGX_MC_DATAGRAM|NGX_MC_ON_SOURCE,
      ngx_mc_offset(source), 1, NGX_INET6_ADDRSTRLEN, NULL },

    { ngx_string("buffer"), NGX_MC_PARAM_TIME,
      NGX_MC_RTP|NGX_MC_ON_SOURCE,
      ngx_mc_offset(buffer), 0, 10000, NULL },

    { ngx_string("buffer_mode"), NGX_MC_PARAM_ENUM,
      NGX_MC_RTP|NGX_MC_ON_SOURCE,
      ngx_mc_offset(buffer_mode), 0, 0, ngx_mc_param_buffer_modes },

    { ngx_string("pt"), NGX_MC_PARAM_INT,
      NGX_MC_RTP|NGX_MC_ON_OUTPUT|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(pt), 0, 127, NULL },

    { ngx_string("ssrc"), NGX_MC_PARAM_INT64,
      NGX_MC_RTP|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(ssrc), 0, 0xffffffffLL, NULL },

    { ngx_string("pkt_size"), NGX_MC_PARAM_INT,
      NGX_MC_DATAGRAM|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(pkt_size), 188, 1316, NULL },

    { ngx_string("rtp"), NGX_MC_PARAM_ENUM,
      NGX_MC_RTP|NGX_MC_ON_OUTPUT|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(rtp), 0, 0, ngx_mc_param_rtps },

    { ngx_string("pace"), NGX_MC_PARAM_ENUM,
      NGX_MC_DATAGRAM|NGX_MC_ON_OUTPUT|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(pace), 0, 0, ngx_mc_param_paces },

    { ngx_string("timeout"), NGX_MC_PARAM_TIME,
      NGX_MC_DATAGRAM|NGX_MC_ON_SOURCE|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(timeout), 1, 3600000, NULL },

    /* RTMP */

    { ngx_string("key"), NGX_MC_PARAM_SECRET,
      NGX_MC_RTMP_BOTH|NGX_MC_PARAM_ACCEPTED|NGX_MC_PARAM_KEY,
      ngx_mc_offset(key), 1, 255, NULL },

    { ngx_string("key_file"), NGX_MC_PARAM_SECRET_FILE,
      NGX_MC_RTMP_BOTH|NGX_MC_PARAM_UNWRITTEN,
      ngx_mc_offset(key), 1, 255, NULL },

    { ngx_string("rekey"), NGX_MC_PARAM_ENUM,
      NGX_MC_RTMP|NGX_MC_ON_SOURCE|NGX_MC_PARAM_LIVE,
      ngx_mc_offset(rekey), 0, 0, ngx_mc_param_rekeys },

    { ngx_string("tls_verify"), NGX_MC_PARAM_ENUM,
      NGX_MC_RTMP_BOTH,
      ngx_mc_offset(tls_verify), 0, 0, ngx_mc_param_verifies },

    { ngx_string("tls_ca"), NGX_MC_PARAM_CERTIFICATES,
      NGX_MC_RTMP_BOTH,
      ngx_mc_offset(tls_ca), 1, NGX_MC_CA_SIZE, NULL },

    { ngx_string("program"), NGX_MC_PARAM_INT,
      NGX_MC_RTMP|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(program), 1, 65535, NULL },

    /* ISO/IEC 13818-1, 2.4.3.3: the others are reserved or null packets */
    { ngx_string("video"), NGX_MC_PARAM_INT,
      NGX_MC_RTMP|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(video), NGX_MC_PID_MIN, NGX_MC_PID_MAX, NULL },

    { ngx_string("audio"), NGX_MC_PARAM_AUDIO,
      NGX_MC_RTMP|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(audio), NGX_MC_PID_MIN, NGX_MC_PID_MAX, NULL },

    { ngx_string("muxrate"), NGX_MC_PARAM_RATE,
      NGX_MC_RTMP|NGX_MC_ON_SOURCE,
      ngx_mc_offset(muxrate), 100000, NGX_MC_RATE_MAX, NULL },

    { ngx_string("maxrate"), NGX_MC_PARAM_RATE,
      NGX_MC_RTMP|NGX_MC_ON_SOURCE,
      ngx_mc_offset(maxrate), 100000, NGX_MC_RATE_MAX, NULL },

    /* libsrt's URI names without a meaning for live streams */

    { ngx_string("transtype"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, ngx_mc_param_transtypes },

    { ngx_string("messageapi"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("congestion"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("linger"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("blocking"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("timeout"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("tsbpd"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("tsbpdmode"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("groupconnect"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("groupstabtimeo"), NGX_MC_PARAM_IGNORED, NGX_MC_SRT_BOTH,
      0, 0, 0, NULL },

    { ngx_string("groupminstabletimeo"), NGX_MC_PARAM_IGNORED,
      NGX_MC_SRT_BOTH, 0, 0, 0, NULL },

    { ngx_null_string, NGX_MC_PARAM_IGNORED, 0, 0, 0, 0, NULL }
};


ngx_mc_param_t *
ngx_mc_def_find_param(ngx_mc_endpoint_def_t *def, ngx_str_t *name)
{
    ngx_mc_param_t  *prm;

    for (prm = ngx_mc_params; prm->name.len; prm++) {

        if (prm->name.len == name->len
            && ngx_mc_def_has_param(def, prm)
            && ngx_strncmp(prm->name.data, name->data, name->len) == 0)
        {
            return prm;
        }
    }

    return NULL;
}


ngx_uint_t
ngx_mc_def_has_param(ngx_mc_endpoint_def_t *def, ngx_mc_param_t *prm)
{
    ngx_uint_t  direction;

    direction = (def->direction == NGX_MC_INPUT) ? NGX_MC_ON_SOURCE
                                                 : NGX_MC_ON_OUTPUT;

    return (prm->where & def->protocol) && (prm->where & direction);
}


ngx_int_t
ngx_mc_def_parse_param(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *name, ngx_str_t *value)
{
    int64_t          number;
    uint64_t         bit, *given;
    ngx_str_t       *secret;
    ngx_uint_t       i, n;
    ngx_mc_param_t  *prm;

    prm = ngx_mc_def_find_param(def, name);

    if (prm == NULL || (prm->where & NGX_MC_PARAM_INTERNAL)) {
        return ngx_mc_def_unknown_param(p, def, name, value);
    }

    n = prm - ngx_mc_params;
    given = &def->params.given[n / 64];
    bit = (uint64_t) 1 << (n % 64);

    if (*given & bit) {
        return ngx_mc_def_error(p, "parameter \"%V\" is given twice", name);
    }

    *given |= bit;

    if (value->len == 0) {
        return ngx_mc_def_error(p, "parameter \"%V\" has no value", name);
    }

    switch (prm->kind) {

    case NGX_MC_PARAM_NAME:

        if (ngx_mc_def_check_name(value) != NGX_OK) {
            return ngx_mc_def_error(p, "\"name\" must be 1 to %d letters, "
                                    "digits, \"_\", \".\" and \"-\", and "
                                    "neither \".\" nor \"..\"",
                                    NGX_MC_NAME_LEN);
        }

        def->name = *value;

        return NGX_OK;

    case NGX_MC_PARAM_IGNORED:

        if (prm->values) {

            for (i = 0; prm->values[i].name.len; i++) {

                if (prm->values[i].name.len == value->len
                    && ngx_strncmp(prm->values[i].name.data, value->data,
                                   value->len)
                       == 0)
                {
                    return NGX_OK;
                }
            }

            return ngx_mc_def_error(p, "\"%V\" can only be \"%V\"", name,
                                    &prm->values[0].name);
        }

        if (p->cf) {
            ngx_conf_log_error(NGX_LOG_WARN, p->cf, 0,
                               "parameter \"%V\" has no meaning for live "
                               "streams, it is ignored", name);
        }

        return NGX_OK;

    case NGX_MC_PARAM_SECRET:
    case NGX_MC_PARAM_SECRET_FILE:

        secret = (ngx_str_t *) ((u_char *) &def->params + prm->offset);

        if (secret->data) {
            return ngx_mc_def_error(p, "\"%s\" and \"%s_file\" exclude each "
                                    "other",
                                    (def->protocol == NGX_MC_RTMP)
                                    ? "key" : "passphrase",
                                    (def->protocol == NGX_MC_RTMP)
                                    ? "key" : "passphrase");
        }

        break;

    case NGX_MC_PARAM_CERTIFICATES:
        return ngx_mc_def_read_certificates(p, prm, &def->params.tls_ca,
                                            value);

    default:
        break;
    }

    if (ngx_mc_def_set_param(p, prm, &def->params, value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (prm->kind == NGX_MC_PARAM_TIME
        && p->cf
        && ngx_mc_def_number(value, &number) == NGX_OK
        && number > NGX_MC_SUSPECT_TIME)
    {
        ngx_conf_log_error(NGX_LOG_WARN, p->cf, 0,
                           "the number of \"%V\" is milliseconds here, while "
                           "FFmpeg counts in microseconds; with a unit, "
                           "\"%is\", it is beyond doubt",
                           name, (ngx_int_t) (number / 1000));
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_unknown_param(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *name, ngx_str_t *value)
{
    size_t           len;
    u_char          *last, where[128];
    ngx_str_t        shown;
    const char      *hint;
    ngx_uint_t       n, best, direction;
    ngx_mc_param_t  *prm, *near;

    if ((name->len == 3 && ngx_strncmp(name->data, "off", 3) == 0)
        || (name->len == 6 && ngx_strncmp(name->data, "backup", 6) == 0))
    {
        return ngx_mc_def_error(p, "\"%V\" is a word of its own, without a "
                                "value and not in the query of a URL", name);
    }

    if (def->direction == NGX_MC_INPUT
        && name->len == 6 && ngx_strncmp(name->data, "exceed", 6) == 0)
    {
        return ngx_mc_def_error(p, "\"exceed\" belongs to the "
                                "\"mc_max_bandwidth\" directive");
    }

    direction = (def->direction == NGX_MC_INPUT) ? NGX_MC_ON_SOURCE
                                                 : NGX_MC_ON_OUTPUT;
    last = where;
    near = NULL;
    best = (name->len <= 4) ? 2 : 3;

    for (prm = ngx_mc_params; prm->name.len; prm++) {

        if (prm->where & NGX_MC_PARAM_INTERNAL) {
            continue;
        }

        if (prm->name.len == name->len
            && ngx_strncmp(prm->name.data, name->data, name->len) == 0)
        {
            if (last != where) {
                last = ngx_slprintf(last, where + sizeof(where), ", and ");
            }

            last = ngx_mc_def_where(last, where + sizeof(where), prm->where);
            continue;
        }

        if (prm->kind == NGX_MC_PARAM_IGNORED
            || (prm->where & def->protocol) == 0
            || (prm->where & direction) == 0)
        {
            continue;
        }

        n = ngx_mc_def_distance(&prm->name, name);

        if (n < best) {
            best = n;
            near = prm;
        }
    }

    hint = (def->protocol == NGX_MC_RTMP) ? ngx_mc_def_rtmp_hint(name) : NULL;

    if (last != where) {
        return ngx_mc_def_error(p, "parameter \"%V\" belongs to %*s%s%s", name,
                                (size_t) (last - where), where,
                                hint ? "; " : "", hint ? hint : "");
    }

    if (value->data == NULL) {

        if (name->len > 3 && ngx_strncmp(name->data, "mc_", 3) == 0) {
            return ngx_mc_def_error(p, "\";\" is missing before the next "
                                    "directive");
        }

        if ((name->len == 1 && (*name->data == 's' || *name->data == 'm'))
            || (name->len == 2 && ngx_strncmp(name->data, "ms", 2) == 0))
        {
            return ngx_mc_def_error(p, "no space goes between a number and "
                                    "its unit");
        }

        /* as a rule the second half of an unquoted passphrase */

        return ngx_mc_def_error(p, "a word without \"=\" that is neither "
                                "\"backup\" nor \"off\"; a parameter with "
                                "spaces is quoted as a whole: "
                                "\"PARAM=SOME TEXT\"");
    }

    /* the start of it is enough, and quotes in it would confuse */

    for (len = 0; len < name->len && len < NGX_MC_NAME_LEN; len++) {
        if (name->data[len] <= ' ' || name->data[len] >= 0x7f
            || name->data[len] == '"')
        {
            break;
        }
    }

    shown.len = len;
    shown.data = name->data;

    if (near) {
        return ngx_mc_def_error(p, "unknown parameter \"%V\", did you mean "
                                "\"%V\"?", &shown, &near->name);
    }

    return ngx_mc_def_error(p, "unknown parameter \"%V\"", &shown);
}


static ngx_uint_t
ngx_mc_def_distance(ngx_str_t *a, ngx_str_t *b)
{
    ngx_uint_t  i, j, n, m, cost, rows[3][NGX_MC_NAME_LEN + 1];
    ngx_uint_t *cur, *prev, *before, *tmp;

    /* single edits, a swap of neighbours being one of them; three rows of
       the matrix are enough */

    if (a->len > NGX_MC_NAME_LEN || b->len > NGX_MC_NAME_LEN) {
        return NGX_MC_NAME_LEN;
    }

    n = a->len;
    m = b->len;

    before = rows[0];
    prev = rows[1];
    cur = rows[2];

    for (j = 0; j <= m; j++) {
        before[j] = 0;
        prev[j] = j;
    }

    for (i = 1; i <= n; i++) {
        cur[0] = i;

        for (j = 1; j <= m; j++) {
            cost = (a->data[i - 1] != b->data[j - 1]);

            cur[j] = ngx_min(prev[j] + 1, cur[j - 1] + 1);
            cur[j] = ngx_min(cur[j], prev[j - 1] + cost);

            if (i > 1 && j > 1
                && a->data[i - 1] == b->data[j - 2]
                && a->data[i - 2] == b->data[j - 1])
            {
                cur[j] = ngx_min(cur[j], before[j - 2] + 1);
            }
        }

        tmp = before;
        before = prev;
        prev = cur;
        cur = tmp;
    }

    return prev[m];
}


static u_char *
ngx_mc_def_where(u_char *buf, u_char *last, ngx_uint_t where)
{
    char  *protocols, *directions;

    switch (where & NGX_MC_ANY) {

    case NGX_MC_RTMP:
        protocols = "RTMP";
        break;

    case NGX_MC_SRT|NGX_MC_RTMP:
        protocols = "SRT and RTMP";
        break;

    case NGX_MC_SRT:
        protocols = "SRT";
        break;

    case NGX_MC_RTP:
        protocols = "RTP";
        break;

    case NGX_MC_UDP:
        protocols = "UDP";
        break;

    case NGX_MC_DATAGRAM:
        protocols = "RTP and UDP";
        break;

    default:
        protocols = "all";
        break;
    }

    switch (where & NGX_MC_ON_BOTH) {

    case NGX_MC_ON_SOURCE:
        directions = "sources";
        break;

    case NGX_MC_ON_OUTPUT:
        directions = "outputs";
        break;

    default:
        directions = "sources and outputs";
        break;
    }

    return ngx_slprintf(buf, last, "%s %s", protocols, directions);
}


ngx_int_t
ngx_mc_def_set_param(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_mc_params_t *params, ngx_str_t *value)
{
    void  *field;

    field = (u_char *) params + prm->offset;

    switch (prm->kind) {

    case NGX_MC_PARAM_BOOL:
    case NGX_MC_PARAM_ENUM:
        return ngx_mc_def_set_enum(p, prm, field, value);

    case NGX_MC_PARAM_STRING:
    case NGX_MC_PARAM_TEXT:
    case NGX_MC_PARAM_SECRET:
        return ngx_mc_def_set_string(p, prm, field, value);

    case NGX_MC_PARAM_SECRET_FILE:
        return ngx_mc_def_read_secret(p, prm, field, value);

    case NGX_MC_PARAM_CERTIFICATES:
        *(ngx_str_t *) field = *value;
        return NGX_OK;

    case NGX_MC_PARAM_AUDIO:
        return ngx_mc_def_set_audio(p, prm, params, value);

    case NGX_MC_PARAM_CIDRS:
        return ngx_mc_def_set_cidrs(p, prm, field, value);

    case NGX_MC_PARAM_NAME:
    case NGX_MC_PARAM_IGNORED:
        return NGX_OK;

    default:
        return ngx_mc_def_set_number(p, prm, field, value);
    }
}


static ngx_int_t
ngx_mc_def_set_number(ngx_mc_parse_t *p, ngx_mc_param_t *prm, void *field,
    ngx_str_t *value)
{
    int64_t     number;
    ngx_int_t   rc;
    ngx_str_t  *name;

    name = &prm->name;

    switch (prm->kind) {

    case NGX_MC_PARAM_TIME:
        rc = ngx_mc_def_time(value, &number);
        break;

    case NGX_MC_PARAM_RATE:
        number = ngx_mc_parse_rate(value);
        rc = (number == NGX_ERROR) ? NGX_ERROR : NGX_OK;
        break;

    case NGX_MC_PARAM_VERSION:
        rc = ngx_mc_def_version(value, &number);
        break;

    default:
        rc = ngx_mc_def_number(value, &number);
        break;
    }

    if (rc == NGX_OK && number >= prm->min && number <= prm->max) {

        if (ngx_mc_param_is_int64(prm->kind)) {
            *(int64_t *) field = number;

        } else {
            *(ngx_int_t *) field = (ngx_int_t) number;
        }

        return NGX_OK;
    }

    switch (prm->kind) {

    case NGX_MC_PARAM_TIME:

        if (rc == NGX_OK && number > NGX_MC_SUSPECT_TIME
            && ngx_mc_def_number(value, &number) == NGX_OK)
        {
            return ngx_mc_def_error(p, "\"%V\" must be a time of %L to %Lms; "
                                    "a bare number is milliseconds here, "
                                    "while FFmpeg counts in microseconds",
                                    name, prm->min, prm->max);
        }

        return ngx_mc_def_error(p, "\"%V\" must be a time of %L to %Lms, "
                                "such as \"200ms\" or \"2s\"",
                                name, prm->min, prm->max);

    case NGX_MC_PARAM_RATE:

        if (rc == NGX_OK && number < prm->min) {
            return ngx_mc_def_error(p, "\"%V\" must be at least %Lk bits per "
                                    "second", name, prm->min / 1000);
        }

        return ngx_mc_def_error(p, "\"%V\" must be a number of bits per "
                                "second, such as \"800k\", \"20m\" or \"1g\"",
                                name);

    case NGX_MC_PARAM_VERSION:
        return ngx_mc_def_error(p, "\"%V\" must be a version such as "
                                "\"1.3.0\"", name);

    default:
        return ngx_mc_def_error(p, "\"%V\" must be a number from %L to %L",
                                name, prm->min, prm->max);
    }
}


static ngx_int_t
ngx_mc_def_number(ngx_str_t *s, int64_t *number)
{
    u_char     *p, *last;
    int64_t     n;
    ngx_int_t   digit;
    ngx_uint_t  negative, base;

    p = s->data;
    last = s->data + s->len;

    negative = 0;
    base = 10;

    if (p < last && *p == '-') {
        negative = 1;
        p++;
    }

    /* libsrt's tools take hexadecimal: iptos is often written so */

    if (last - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        base = 16;
        p += 2;
    }

    if (p == last) {
        return NGX_ERROR;
    }

    for (n = 0; p < last; p++) {

        if (*p >= '0' && *p <= '9') {
            digit = *p - '0';

        } else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f') {
            digit = (*p | 0x20) - 'a' + 10;

        } else {
            return NGX_ERROR;
        }

        if (n > (INT64_MAX - digit) / (int64_t) base) {
            return NGX_ERROR;
        }

        n = n * base + digit;
    }

    *number = negative ? -n : n;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_time(ngx_str_t *s, int64_t *ms)
{
    ngx_int_t  n;

    if (ngx_mc_def_number(s, ms) == NGX_OK) {
        return NGX_OK;
    }

    /* "1m30" would be 1 minute and 30 of what? */

    if (s->len == 0
        || (s->data[s->len - 1] >= '0' && s->data[s->len - 1] <= '9'))
    {
        return NGX_ERROR;
    }

    n = ngx_parse_time(s, 0);
    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *ms = n;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_version(ngx_str_t *s, int64_t *version)
{
    u_char      *p, *dot, *last;
    ngx_int_t    n;
    ngx_uint_t   i;

    p = s->data;
    last = s->data + s->len;

    *version = 0;

    for (i = 0; i < 3; i++) {

        dot = ngx_strlchr(p, last, '.');

        if (i == 2) {
            if (dot) {
                return NGX_ERROR;
            }

            dot = last;

        } else if (dot == NULL) {
            return NGX_ERROR;
        }

        n = ngx_atoi(p, dot - p);
        if (n == NGX_ERROR || n > 255) {
            return NGX_ERROR;
        }

        *version = (*version << 8) + n;
        p = dot + 1;
    }

    return NGX_OK;
}


int64_t
ngx_mc_parse_rate(ngx_str_t *s)
{
    off_t    n;
    size_t   len;
    int64_t  scale;

    len = s->len;

    if (len == 0) {
        return NGX_ERROR;
    }

    switch (s->data[len - 1]) {

    case 'k':
    case 'K':
        len--;
        scale = 1000;
        break;

    case 'm':
    case 'M':
        len--;
        scale = 1000 * 1000;
        break;

    case 'g':
    case 'G':
        len--;
        scale = 1000 * 1000 * 1000;
        break;

    default:
        scale = 1;
    }

    n = ngx_atoof(s->data, len);

    if (n == NGX_ERROR || n > NGX_MC_RATE_MAX / scale) {
        return NGX_ERROR;
    }

    return (int64_t) n * scale;
}


static ngx_int_t
ngx_mc_def_set_enum(ngx_mc_parse_t *p, ngx_mc_param_t *prm, ngx_int_t *field,
    ngx_str_t *value)
{
    u_char      *pos, list[128];
    ngx_uint_t   i, n;

    for (i = 0; prm->values[i].name.len; i++) {

        if (prm->values[i].name.len == value->len
            && ngx_strncasecmp(prm->values[i].name.data, value->data,
                               value->len)
               == 0)
        {
            *field = prm->values[i].value;
            return NGX_OK;
        }
    }

    if (prm->kind == NGX_MC_PARAM_BOOL) {
        return ngx_mc_def_error(p, "\"%V\" must be \"0\" or \"1\"",
                                &prm->name);
    }

    pos = list;
    n = i;

    for (i = 0; i < n; i++) {
        pos = ngx_slprintf(pos, list + sizeof(list), "%s\"%V\"",
                           (i == 0) ? "" : (i == n - 1) ? " or " : ", ",
                           &prm->values[i].name);
    }

    return ngx_mc_def_error(p, "\"%V\" must be %*s", &prm->name,
                            (size_t) (pos - list), list);
}


static ngx_int_t
ngx_mc_def_set_string(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *field, ngx_str_t *value)
{
    ngx_uint_t  i;

    if (prm->kind == NGX_MC_PARAM_TEXT) {

        if (ngx_mc_def_check_text(value) != NGX_OK) {
            return ngx_mc_def_error(p, "\"%V\" must be at most %L characters "
                                    "of UTF-8, without control characters",
                                    &prm->name, prm->max);
        }

        *field = *value;

        return NGX_OK;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            return ngx_mc_def_error(p, "\"%V\" has a control character in it",
                                    &prm->name);
        }
    }

    if ((int64_t) value->len < prm->min || (int64_t) value->len > prm->max) {
        return ngx_mc_def_error(p, "\"%V\" must be %L to %L characters long",
                                &prm->name, prm->min, prm->max);
    }

    *field = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_set_audio(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_mc_params_t *params, ngx_str_t *value)
{
    int64_t     number;
    ngx_uint_t  i;

    if (ngx_mc_def_number(value, &number) == NGX_OK) {

        if (number >= prm->min && number <= prm->max) {
            params->audio = (ngx_int_t) number;
            return NGX_OK;
        }

        goto failed;
    }

    /* ISO 639-2, as in the descriptor of ISO/IEC 13818-1, 2.6.18 */

    if (value->len != 3) {
        goto failed;
    }

    for (i = 0; i < 3; i++) {
        if ((value->data[i] | 0x20) < 'a' || (value->data[i] | 0x20) > 'z') {
            goto failed;
        }
    }

    params->audio_language.data = ngx_pnalloc(p->pool, 3);
    if (params->audio_language.data == NULL) {
        return ngx_mc_def_error(p, "no memory");
    }

    ngx_strlow(params->audio_language.data, value->data, 3);
    params->audio_language.len = 3;

    return NGX_OK;

failed:

    return ngx_mc_def_error(p, "\"%V\" must be a PID from %L to %L, or a "
                            "language of three letters such as \"eng\"",
                            &prm->name, prm->min, prm->max);
}


static ngx_int_t
ngx_mc_def_read_secret(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *secret, ngx_str_t *name)
{
    u_char     *end;
    ngx_str_t   value;

    if (ngx_mc_def_read_file(p, prm, name, &value, NGX_MC_SECRET_FILE_SIZE)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    end = ngx_strlchr(value.data, value.data + value.len, '\n');

    if (end) {
        value.len = end - value.data;
    }

    if (value.len && value.data[value.len - 1] == '\r') {
        value.len--;
    }

    if ((int64_t) value.len < prm->min || (int64_t) value.len > prm->max) {
        return ngx_mc_def_error(p, "the first line of the file of \"%V\" must "
                                "be %L to %L characters long",
                                &prm->name, prm->min, prm->max);
    }

    return ngx_mc_def_set_string(p, prm, secret, &value);
}


/*
 * Of the file only its certificates are taken, in one spelling: comments do
 * not make a difference, and a private key does not get into shared memory.
 */

static ngx_int_t
ngx_mc_def_read_certificates(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *field, ngx_str_t *name)
{
#if (NGX_OPENSSL)

    BIO        *in, *out;
    long        n;
    X509       *cert;
    char       *pem;
    ngx_str_t   file;

    if (ngx_mc_def_read_file(p, prm, name, &file, NGX_MC_CA_SIZE + 1)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (file.len > NGX_MC_CA_SIZE) {
        return ngx_mc_def_error(p, "the file of \"%V\" is larger than %dk: it "
                                "has the certificates of one server's "
                                "authorities, without \"%V\" the system's "
                                "are used",
                                &prm->name, NGX_MC_CA_SIZE / 1024, &prm->name);
    }

    in = BIO_new_mem_buf(file.data, (int) file.len);
    out = BIO_new(BIO_s_mem());

    if (in == NULL || out == NULL) {
        goto nomem;
    }

    for ( ;; ) {
        cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (cert == NULL) {
            break;
        }

        n = PEM_write_bio_X509(out, cert);

        X509_free(cert);

        if (n != 1) {
            goto nomem;
        }
    }

    /* the end of the file is an error, too */

    n = ERR_peek_last_error();

    ERR_clear_error();

    if (ERR_GET_LIB(n) != ERR_LIB_PEM
        || ERR_GET_REASON(n) != PEM_R_NO_START_LINE)
    {
        (void) ngx_mc_def_error(p, "a certificate in the file of \"%V\" is "
                                "malformed", &prm->name);
        goto failed;
    }

    n = BIO_get_mem_data(out, &pem);

    if (n <= 0) {
        (void) ngx_mc_def_error(p, "no certificate in the file of \"%V\", it "
                                "must be PEM", &prm->name);
        goto failed;
    }

    field->data = ngx_pnalloc(p->pool, n);
    if (field->data == NULL) {
        goto nomem;
    }

    ngx_memcpy(field->data, pem, n);
    field->len = n;

    BIO_free(in);
    BIO_free(out);

    return NGX_OK;

nomem:

    (void) ngx_mc_def_error(p, "no memory");

failed:

    BIO_free(in);
    BIO_free(out);

    return NGX_ERROR;

#else

    return ngx_mc_def_error(p, "\"%V\" needs an nginx that is built with "
                            "OpenSSL", &prm->name);

#endif
}


static ngx_int_t
ngx_mc_def_read_file(ngx_mc_parse_t *p, ngx_mc_param_t *prm, ngx_str_t *name,
    ngx_str_t *content, size_t size)
{
    ssize_t           n;
    u_char           *buf, *end, text[128];
    ngx_fd_t          fd;
    ngx_err_t         err;
    ngx_str_t         file;
    ngx_file_info_t   fi;

    /* not even the name is told: it may be the passphrase itself */

    if (p->cf == NULL) {
        return ngx_mc_def_error(p, "\"%V\" is for the configuration file",
                                &prm->name);
    }

    /* a copy, as what ngx_conf_full_name() opens ends with a zero */

    file.len = name->len;
    file.data = ngx_pnalloc(p->pool, name->len + 1);
    if (file.data == NULL) {
        return ngx_mc_def_error(p, "no memory");
    }

    *ngx_cpymem(file.data, name->data, name->len) = '\0';

    if (ngx_strlchr(file.data, file.data + file.len, '\0')
        || ngx_conf_full_name(p->cf->cycle, &file, 1) != NGX_OK)
    {
        return ngx_mc_def_error(p, "invalid name of the file of \"%V\"",
                                &prm->name);
    }

    /* non-blocking, in case it is a named pipe */

    fd = ngx_open_file(file.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        err = ngx_errno;
        end = ngx_strerror(err, text, sizeof(text));

        return ngx_mc_def_error(p, "the file of \"%V\" cannot be opened "
                                "(%d: %*s)", &prm->name, err,
                                (size_t) (end - text), text);
    }

    buf = NULL;
    n = NGX_ERROR;

    if (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR && ngx_is_file(&fi)) {

        size = ngx_min(size, (size_t) ngx_file_size(&fi) + 1);
        buf = ngx_pnalloc(p->pool, size);

        if (buf) {
            n = ngx_read_fd(fd, buf, size);
        }
    }

    (void) ngx_close_file(fd);

    if (n < 0) {
        return ngx_mc_def_error(p, "the file of \"%V\" cannot be read",
                                &prm->name);
    }

    content->data = buf;
    content->len = n;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_set_cidrs(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_array_t **field, ngx_str_t *value)
{
    u_char      *pos, *last, *comma;
    ngx_int_t    rc;
    ngx_str_t    item;
    ngx_uint_t   n;

    pos = value->data;
    last = value->data + value->len;

    for (n = 1; pos <= last; n++) {

        comma = ngx_strlchr(pos, last, ',');
        if (comma == NULL) {
            comma = last;
        }

        item.data = pos;
        item.len = comma - pos;

        rc = ngx_mc_def_ptocidr(p, field, &item);

        if (rc == NGX_DONE && p->cf) {
            ngx_conf_log_error(NGX_LOG_WARN, p->cf, 0,
                               "low address bits of network %ui of \"%V\" "
                               "are meaningless", n, &prm->name);
        }

        if (rc == NGX_DECLINED) {
            return ngx_mc_def_error(p, "network %ui of \"%V\" must be an "
                                    "address or like \"192.0.2.0/24\" or "
                                    "\"2001:db8::/32\", and \"all\" stands "
                                    "alone", n, &prm->name);
        }

        if (rc == NGX_ERROR) {
            return ngx_mc_def_error(p, "no memory");
        }

        pos = comma + 1;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mc_def_add_cidr(ngx_mc_parse_t *p, ngx_array_t **cidrs, ngx_str_t *value)
{
    switch (ngx_mc_def_ptocidr(p, cidrs, value)) {

    case NGX_DONE:

        if (p->cf) {
            ngx_conf_log_error(NGX_LOG_WARN, p->cf, 0,
                               "low address bits of %V are meaningless",
                               value);
        }

        /* fall through */

    case NGX_OK:
        return NGX_OK;

    case NGX_DECLINED:
        return ngx_mc_def_error(p, "\"%V\" must be an address or like "
                                "\"192.0.2.0/24\" or \"2001:db8::/32\", and "
                                "\"all\" stands alone", value);

    default:
        return ngx_mc_def_error(p, "no memory");
    }
}


/* NGX_DONE: with low address bits; NGX_DECLINED: bad; NGX_ERROR: no memory */

static ngx_int_t
ngx_mc_def_ptocidr(ngx_mc_parse_t *p, ngx_array_t **cidrs, ngx_str_t *value)
{
    ngx_int_t    rc;
    ngx_cidr_t   cidr, *c;
    ngx_uint_t   all;

    all = (value->len == 3 && ngx_strncmp(value->data, "all", 3) == 0);

    if (*cidrs && all != ((*cidrs)->nelts == 0)) {
        return NGX_DECLINED;
    }

    ngx_memzero(&cidr, sizeof(ngx_cidr_t));

    rc = NGX_OK;

    if (!all) {
        rc = (value->len) ? ngx_ptocidr(value, &cidr) : NGX_ERROR;

        if (rc == NGX_ERROR) {
            return NGX_DECLINED;
        }
    }

    if (*cidrs == NULL) {
        *cidrs = ngx_array_create(p->pool, 4, sizeof(ngx_cidr_t));
        if (*cidrs == NULL) {
            return NGX_ERROR;
        }
    }

    if (all) {
        return NGX_OK;
    }

    c = ngx_array_push(*cidrs);
    if (c == NULL) {
        return NGX_ERROR;
    }

    *c = cidr;

    return rc;
}
