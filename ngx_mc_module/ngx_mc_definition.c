
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_srt_streamid.h>
#include <net/if.h>


/* "rtp://[" IPv6 "]:65535", or a host name as long as DNS has them */
#define NGX_MC_HOST_LEN          253
#define NGX_MC_LABEL_LEN         63

/* FFmpeg's SRT options are microseconds: no sane latency is so long */
#define NGX_MC_SUSPECT_TIME      30000

#define NGX_MC_SECRET_FILE_SIZE  4096

#define NGX_MC_RATE_MAX          1000000000000LL

/* headers of IPv4, UDP and SRT */
#define NGX_MC_SRT_HEADERS       44


static ngx_int_t ngx_mc_def_parse_authority(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *scheme, ngx_str_t *authority);
static ngx_int_t ngx_mc_def_parse_host(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *host, ngx_uint_t brackets);
static ngx_int_t ngx_mc_def_parse_query(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, u_char *pos, u_char *last);
static ngx_int_t ngx_mc_def_unescape(ngx_mc_parse_t *p, ngx_str_t *s);
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
static ngx_int_t ngx_mc_def_read_secret(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *secret, ngx_str_t *name);
static ngx_int_t ngx_mc_def_ptocidr(ngx_mc_parse_t *p, ngx_array_t **cidrs,
    ngx_str_t *value);
static ngx_int_t ngx_mc_def_check_srt(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_check_srt_streamid(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_check_srt_sizes(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_check_packetfilter(ngx_mc_parse_t *p,
    ngx_str_t *filter);
static ngx_int_t ngx_mc_def_check_source(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_check_output(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_check_interface(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_uint_t family, ngx_uint_t multicast);


ngx_str_t  ngx_mc_pipeline_names[] = {
    ngx_string("primary"),
    ngx_string("backup")
};


static ngx_str_t  ngx_mc_mode_names[] = {
    ngx_string("caller"),
    ngx_string("listener"),
    ngx_string("rendezvous"),
    ngx_string("receive"),
    ngx_string("multicast"),
    ngx_string("send")
};


static ngx_str_t  ngx_mc_protocol_srt = ngx_string("srt");
static ngx_str_t  ngx_mc_protocol_rtp = ngx_string("rtp");
static ngx_str_t  ngx_mc_protocol_udp = ngx_string("udp");


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


static ngx_conf_enum_t  ngx_mc_param_transtypes[] = {
    { ngx_string("live"), NGX_MC_TRANSTYPE_LIVE },
    { ngx_null_string, 0 }
};


#define NGX_MC_SRT_BOTH   (NGX_MC_SRT|NGX_MC_ON_BOTH)
#define NGX_MC_SRT_PORT   (NGX_MC_SRT_BOTH|NGX_MC_PARAM_PER_PORT)
#define NGX_MC_SRT_MUXER  (NGX_MC_SRT_PORT|NGX_MC_PARAM_CALLER_PORT)

#define ngx_mc_offset(field)  offsetof(ngx_mc_params_t, field)


/*
 * A name may stand here twice for different kinds of endpoints.  The order
 * is that of the canonical text.
 */

ngx_mc_param_t  ngx_mc_params[] = {

    /* common */

    { ngx_string("name"), NGX_MC_PARAM_NAME,
      NGX_MC_PACKET|NGX_MC_ON_SOURCE|NGX_MC_PARAM_UNWRITTEN,
      0, 1, NGX_MC_NAME_LEN, NULL },

    { ngx_string("description"), NGX_MC_PARAM_TEXT,
      NGX_MC_PACKET|NGX_MC_ON_BOTH,
      ngx_mc_offset(description), 1, NGX_MC_TEXT_LEN, NULL },

    { ngx_string("allow"), NGX_MC_PARAM_CIDRS,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(allow), 0, 0, NULL },

    { ngx_string("allow"), NGX_MC_PARAM_CIDRS,
      NGX_MC_DATAGRAM|NGX_MC_ON_SOURCE,
      ngx_mc_offset(allow), 0, 0, NULL },

    { ngx_string("max_peers"), NGX_MC_PARAM_INT,
      NGX_MC_SRT|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(max_peers), 1, 100000, NULL },

    { ngx_string("min_peers"), NGX_MC_PARAM_INT,
      NGX_MC_SRT|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(min_peers), 0, 100000, NULL },

    { ngx_string("max_bandwidth"), NGX_MC_PARAM_RATE,
      NGX_MC_PACKET|NGX_MC_ON_SOURCE,
      ngx_mc_offset(max_bandwidth), 0, NGX_MC_RATE_MAX, NULL },

    { ngx_string("exceed"), NGX_MC_PARAM_ENUM,
      NGX_MC_PACKET|NGX_MC_ON_SOURCE|NGX_MC_PARAM_INTERNAL,
      ngx_mc_offset(exceed), 0, 0, ngx_mc_param_exceeds },

    /* SRT */

    { ngx_string("mode"), NGX_MC_PARAM_ENUM,
      NGX_MC_SRT_BOTH|NGX_MC_PARAM_UNWRITTEN,
      ngx_mc_offset(mode), 0, 0, ngx_mc_param_modes },

    { ngx_string("latency"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_BOTH|NGX_MC_PARAM_UNWRITTEN,
      ngx_mc_offset(latency), 0, NGX_MC_LATENCY_MAX, NULL },

    { ngx_string("rcvlatency"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(rcvlatency), 0, NGX_MC_LATENCY_MAX, NULL },

    { ngx_string("peerlatency"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(peerlatency), 0, NGX_MC_LATENCY_MAX, NULL },

    { ngx_string("passphrase"), NGX_MC_PARAM_SECRET,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(passphrase), 10, 79, NULL },

    { ngx_string("passphrase_file"), NGX_MC_PARAM_SECRET_FILE,
      NGX_MC_SRT_BOTH|NGX_MC_PARAM_UNWRITTEN,
      ngx_mc_offset(passphrase), 10, 79, NULL },

    { ngx_string("pbkeylen"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(pbkeylen), 0, 32, NULL },

    { ngx_string("streamid"), NGX_MC_PARAM_STRING,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(streamid), 1, NGX_MC_SRT_STREAMID_LEN, NULL },

    { ngx_string("maxbw"), NGX_MC_PARAM_INT64,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(maxbw), -1, NGX_MC_RATE_MAX, NULL },

    { ngx_string("inputbw"), NGX_MC_PARAM_INT64,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(inputbw), 0, NGX_MC_RATE_MAX, NULL },

    { ngx_string("mininputbw"), NGX_MC_PARAM_INT64,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(mininputbw), 0, NGX_MC_RATE_MAX, NULL },

    { ngx_string("oheadbw"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(oheadbw), 5, 100, NULL },

    { ngx_string("conntimeo"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(conntimeo), 1, 600000, NULL },

    { ngx_string("peeridletimeo"), NGX_MC_PARAM_TIME,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(peeridletimeo), 1, 600000, NULL },

    { ngx_string("lossmaxttl"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(lossmaxttl), 0, 1000000, NULL },

    { ngx_string("packetfilter"), NGX_MC_PARAM_STRING,
      NGX_MC_SRT_PORT,
      ngx_mc_offset(packetfilter), 1, 512, NULL },

    /* a TS packet at least; SRT_LIVE_MAX_PLSIZE at most */
    { ngx_string("payloadsize"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT,
      ngx_mc_offset(payloadsize), 188, 1456, NULL },

    { ngx_string("mss"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_MUXER,
      ngx_mc_offset(mss), 76, NGX_MC_SRT_MSS, NULL },

    { ngx_string("fc"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT,
      ngx_mc_offset(fc), 32, 10000000, NULL },

    { ngx_string("rcvbuf"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT,
      ngx_mc_offset(rcvbuf), 1, 2000000000, NULL },

    { ngx_string("sndbuf"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_PORT,
      ngx_mc_offset(sndbuf), 1, 2000000000, NULL },

    { ngx_string("tlpktdrop"), NGX_MC_PARAM_BOOL,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(tlpktdrop), 0, 1, ngx_mc_param_bools },

    { ngx_string("nakreport"), NGX_MC_PARAM_BOOL,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(nakreport), 0, 1, ngx_mc_param_bools },

    { ngx_string("kmrefreshrate"), NGX_MC_PARAM_INT,
      NGX_MC_SRT_BOTH,
      ngx_mc_offset(kmrefreshrate), 0, 0x7fffffff, NULL },

    { ngx_string("enforcedencryption"), NGX_MC_PARAM_BOOL,
      NGX_MC_SRT_PORT,
      ngx_mc_offset(enforcedencryption), 0, 1, ngx_mc_param_bools },

    { ngx_string("minversion"), NGX_MC_PARAM_VERSION,
      NGX_MC_SRT_BOTH,
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
      NGX_MC_RTP|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(pt), 0, 127, NULL },

    { ngx_string("ssrc"), NGX_MC_PARAM_INT64,
      NGX_MC_RTP|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(ssrc), 0, 0xffffffffLL, NULL },

    { ngx_string("pkt_size"), NGX_MC_PARAM_INT,
      NGX_MC_DATAGRAM|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(pkt_size), 188, 1316, NULL },

    { ngx_string("rtp"), NGX_MC_PARAM_ENUM,
      NGX_MC_RTP|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(rtp), 0, 0, ngx_mc_param_rtps },

    { ngx_string("pace"), NGX_MC_PARAM_ENUM,
      NGX_MC_DATAGRAM|NGX_MC_ON_OUTPUT,
      ngx_mc_offset(pace), 0, 0, ngx_mc_param_paces },

    { ngx_string("timeout"), NGX_MC_PARAM_TIME,
      NGX_MC_DATAGRAM|NGX_MC_ON_SOURCE,
      ngx_mc_offset(timeout), 1, 3600000, NULL },

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


ngx_int_t
ngx_mc_def_error(ngx_mc_parse_t *p, const char *fmt, ...)
{
    u_char   *last;
    va_list   args;

    va_start(args, fmt);
    last = ngx_vslprintf(p->err, p->err + NGX_MC_ERR_LEN - 1, fmt, args);
    va_end(args);

    *last = '\0';

    return NGX_ERROR;
}


ngx_str_t *
ngx_mc_protocol_name(ngx_uint_t protocol)
{
    switch (protocol) {

    case NGX_MC_SRT:
        return &ngx_mc_protocol_srt;

    case NGX_MC_RTP:
        return &ngx_mc_protocol_rtp;

    default: /* NGX_MC_UDP */
        return &ngx_mc_protocol_udp;
    }
}


ngx_str_t *
ngx_mc_mode_name(ngx_uint_t mode)
{
    return &ngx_mc_mode_names[mode];
}


void
ngx_mc_def_init_endpoint(ngx_mc_endpoint_def_t *def)
{
    void            *field;
    ngx_mc_param_t  *prm;

    ngx_memzero(def, sizeof(ngx_mc_endpoint_def_t));

    for (prm = ngx_mc_params; prm->name.len; prm++) {

        field = (u_char *) &def->params + prm->offset;

        if (ngx_mc_param_is_int(prm->kind)) {
            *(ngx_int_t *) field = NGX_CONF_UNSET;

        } else if (ngx_mc_param_is_int64(prm->kind)) {
            *(int64_t *) field = NGX_CONF_UNSET;
        }
    }
}


ngx_int_t
ngx_mc_def_check_name(ngx_str_t *name)
{
    u_char      ch;
    ngx_uint_t  i;

    if (name->len == 0 || name->len > NGX_MC_NAME_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch >= 'a' && ch <= 'z')
            || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9')
            || ch == '_' || ch == '.' || ch == '-')
        {
            continue;
        }

        return NGX_DECLINED;
    }

    if (name->data[0] == '.'
        && (name->len == 1 || (name->len == 2 && name->data[1] == '.')))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mc_def_check_text(ngx_str_t *text)
{
    u_char      *p, *last, *start;
    size_t       len;
    uint32_t     ch;

    p = text->data;
    last = text->data + text->len;

    for (len = 0; p < last; len++) {

        if (*p < 0x80) {
            if (*p < 0x20 || *p == 0x7f) {
                return NGX_DECLINED;
            }

            p++;
            continue;
        }

        start = p;
        ch = ngx_utf8_decode(&p, last - p);

        /* what nginx lets pass: surrogates and C1 controls */

        if (ch > 0x10ffff || (ch >= 0xd800 && ch <= 0xdfff) || ch < 0xa0
            || p == start)
        {
            return NGX_DECLINED;
        }
    }

    return (len <= NGX_MC_TEXT_LEN) ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_mc_def_address(ngx_str_t *text, u_char *addr)
{
    char  buf[INET6_ADDRSTRLEN];

    /* not ngx_inet_addr(): it takes "1.2.3." for an address, too */

    if (text->len == 0
        || text->len >= sizeof(buf)
        || ngx_strlchr(text->data, text->data + text->len, '\0'))
    {
        return 0;
    }

    *ngx_cpymem(buf, text->data, text->len) = '\0';

    if (inet_pton(AF_INET, buf, addr) == 1) {
        return AF_INET;
    }

#if (NGX_HAVE_INET6)

    if (inet_pton(AF_INET6, buf, addr) == 1) {
        return AF_INET6;
    }

#endif

    return 0;
}


ngx_uint_t
ngx_mc_def_is_multicast(ngx_uint_t family, u_char *addr)
{
    switch (family) {

    case AF_INET:
        return (addr[0] & 0xf0) == 0xe0;

    case AF_INET6:
        return addr[0] == 0xff;

    default:
        return 0;
    }
}


static ngx_uint_t
ngx_mc_def_is_any(ngx_uint_t family, u_char *addr)
{
    static u_char  zero[16];

    return ngx_memcmp(addr, zero, (family == AF_INET) ? 4 : 16) == 0;
}


ngx_int_t
ngx_mc_def_parse_url(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *url)
{
    u_char     *pos, *last, *slash;
    ngx_str_t   scheme, authority, *name;

    /* nothing of the URL but what has been understood is ever printed:
       a passphrase may be anywhere in it */

    pos = url->data;
    last = url->data + url->len;

    slash = ngx_strlchr(pos, last, '/');

    if (slash == NULL || slash == pos || slash[-1] != ':'
        || last - slash < 2 || slash[1] != '/')
    {
        return ngx_mc_def_error(p, "no scheme in the URL, it must be like "
                                "\"srt://HOST:PORT\"");
    }

    scheme.data = pos;
    scheme.len = slash - 1 - pos;

    if (scheme.len == 3 && ngx_strncasecmp(pos, (u_char *) "srt", 3) == 0) {
        def->protocol = NGX_MC_SRT;

    } else if (scheme.len == 3
               && ngx_strncasecmp(pos, (u_char *) "rtp", 3) == 0)
    {
        def->protocol = NGX_MC_RTP;

    } else if (scheme.len == 3
               && ngx_strncasecmp(pos, (u_char *) "udp", 3) == 0)
    {
        def->protocol = NGX_MC_UDP;

    } else if (scheme.len <= 16 && ngx_mc_def_check_name(&scheme) == NGX_OK) {
        return ngx_mc_def_error(p, "unsupported scheme \"%V\" in the URL, "
                                "use \"srt\", \"rtp\" or \"udp\"", &scheme);

    } else {
        return ngx_mc_def_error(p, "unsupported scheme in the URL, "
                                "use \"srt\", \"rtp\" or \"udp\"");
    }

    name = ngx_mc_protocol_name(def->protocol);

    pos = slash + 2;

    authority.data = pos;

    while (pos < last && *pos != '/' && *pos != '?') {
        pos++;
    }

    authority.len = pos - authority.data;

    if (ngx_mc_def_parse_authority(p, def, name, &authority) != NGX_OK) {
        return NGX_ERROR;
    }

    if (pos < last && *pos == '/') {
        pos++;

        if (pos < last && *pos != '?') {
            return ngx_mc_def_error(p, "an %V URL ends after the port, "
                                    "or goes on with \"?\" and parameters",
                                    name);
        }
    }

    if (pos == last) {
        return NGX_OK;
    }

    return ngx_mc_def_parse_query(p, def, pos + 1, last);
}


static ngx_int_t
ngx_mc_def_parse_authority(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *scheme, ngx_str_t *authority)
{
    u_char      *pos, *last, *colon;
    ngx_str_t    host;
    ngx_int_t    port;
    ngx_uint_t   brackets;

    pos = authority->data;
    last = authority->data + authority->len;

    if (pos < last && *pos == '@' && def->protocol != NGX_MC_SRT) {

        /* players know udp://@:PORT, which means to receive */

        if (def->direction == NGX_MC_OUTPUT) {
            return ngx_mc_def_error(p, "\"%V://@\" means to receive, "
                                    "an output is \"%V://HOST:PORT\"",
                                    scheme, scheme);
        }

        pos++;
    }

    if (ngx_strlchr(pos, last, '@')) {
        return ngx_mc_def_error(p, "a user name has no meaning in an %V URL, "
                                "it must be like \"%V://HOST:PORT\"",
                                scheme, scheme);
    }

    brackets = 0;

    if (pos < last && *pos == '[') {

        pos++;
        brackets = 1;

        host.data = pos;

        pos = ngx_strlchr(pos, last, ']');

        if (pos == NULL) {
            return ngx_mc_def_error(p, "no closing bracket after the IPv6 "
                                    "address in the URL");
        }

        host.len = pos - host.data;
        colon = pos + 1;

    } else {
        host.data = pos;

        colon = ngx_strlchr(pos, last, ':');
        if (colon == NULL) {
            colon = last;
        }

        host.len = colon - pos;

        if (colon < last && ngx_strlchr(colon + 1, last, ':')) {
            return ngx_mc_def_error(p, "an IPv6 address stands in brackets: "
                                    "\"%V://[ADDRESS]:PORT\"", scheme);
        }
    }

    if (colon == last) {
        return ngx_mc_def_error(p, "no port in the URL, it must be like "
                                "\"%V://HOST:PORT\"", scheme);
    }

    port = (*colon == ':') ? ngx_atoi(colon + 1, last - colon - 1) : NGX_ERROR;

    if (port < 1 || port > 65535) {
        return ngx_mc_def_error(p, "invalid port in the URL, it must be a "
                                "number from 1 to 65535");
    }

    def->port = (in_port_t) port;

    if (ngx_mc_def_parse_host(p, def, &host, brackets) != NGX_OK) {
        return NGX_ERROR;
    }

    def->url.data = ngx_pnalloc(p->pool, scheme->len + def->host.len
                                         + sizeof("://[]:65535"));
    if (def->url.data == NULL) {
        return ngx_mc_def_error(p, "no memory");
    }

    pos = brackets ? ngx_sprintf(def->url.data, "%V://[%V]:%i", scheme,
                                 &def->host, port)
                   : ngx_sprintf(def->url.data, "%V://%V:%i", scheme,
                                 &def->host, port);

    def->url.len = pos - def->url.data;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_parse_host(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *host, ngx_uint_t brackets)
{
    u_char            ch, addr[16], *label;
    ngx_uint_t        i, family, any, digits;
#if (NGX_HAVE_INET6)
    struct in6_addr   in6;
#endif

    family = ngx_mc_def_address(host, addr);

    if (brackets && family != AF_INET6) {
        return ngx_mc_def_error(p, "invalid IPv6 address in the URL");
    }

    any = (host->len == 0 || (family && ngx_mc_def_is_any(family, addr)));

    if (def->protocol == NGX_MC_SRT) {
        def->mode = any ? NGX_MC_MODE_LISTENER : NGX_MC_MODE_CALLER;

    } else if (def->direction == NGX_MC_OUTPUT) {
        def->mode = NGX_MC_MODE_SEND;

    } else {
        def->mode = ngx_mc_def_is_multicast(family, addr)
                    ? NGX_MC_MODE_MULTICAST : NGX_MC_MODE_RECEIVE;
    }

    if (family == AF_INET6) {

#if (NGX_HAVE_INET6)

        ngx_memcpy(&in6, addr, sizeof(struct in6_addr));

        if (IN6_IS_ADDR_V4MAPPED(&in6)) {
            return ngx_mc_def_error(p, "an IPv4-mapped IPv6 address in the "
                                    "URL, write the IPv4 address");
        }

        /* one spelling, so that equal addresses are equal texts */

        def->host.data = ngx_pnalloc(p->pool, NGX_INET6_ADDRSTRLEN);
        if (def->host.data == NULL) {
            return ngx_mc_def_error(p, "no memory");
        }

        def->host.len = ngx_inet6_ntop(addr, def->host.data,
                                       NGX_INET6_ADDRSTRLEN);
#endif

        return NGX_OK;
    }

    if (any) {
        ngx_str_set(&def->host, "");
        return NGX_OK;
    }

    def->host.data = ngx_pnalloc(p->pool, ngx_max(host->len,
                                                  NGX_INET_ADDRSTRLEN));
    if (def->host.data == NULL) {
        return ngx_mc_def_error(p, "no memory");
    }

    if (family == AF_INET) {

        if (ngx_memcmp(addr, "\xff\xff\xff\xff", 4) == 0) {
            return ngx_mc_def_error(p, "broadcast addresses are not "
                                    "supported");
        }

        def->host.len = ngx_inet_ntop(AF_INET, addr, def->host.data,
                                      NGX_INET_ADDRSTRLEN);
        return NGX_OK;
    }

    if (host->len > NGX_MC_HOST_LEN) {
        return ngx_mc_def_error(p, "the host name in the URL is too long");
    }

    ngx_strlow(def->host.data, host->data, host->len);
    def->host.len = host->len;

    label = def->host.data;
    digits = 1;

    for (i = 0; i < def->host.len; i++) {
        ch = def->host.data[i];

        if (ch == '.') {

            if (&def->host.data[i] == label
                || &def->host.data[i] - label > NGX_MC_LABEL_LEN)
            {
                break;
            }

            label = &def->host.data[i + 1];

            if (i + 1 < def->host.len) {
                digits = 1;
            }

            continue;
        }

        if (ch >= '0' && ch <= '9') {
            continue;
        }

        if ((ch >= 'a' && ch <= 'z') || ch == '-' || ch == '_') {
            digits = 0;
            continue;
        }

        break;
    }

    if (i < def->host.len
        || &def->host.data[i] - label > NGX_MC_LABEL_LEN)
    {
        return ngx_mc_def_error(p, "invalid host name in the URL");
    }

    /* no top-level domain is a number: this was meant to be an address */

    if (digits) {
        return ngx_mc_def_error(p, "invalid IPv4 address in the URL");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_parse_query(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    u_char *pos, u_char *last)
{
    u_char     *end, *eq;
    ngx_str_t   name, value;

    for ( /* void */ ; pos < last; pos = end + 1) {

        end = ngx_strlchr(pos, last, '&');
        if (end == NULL) {
            end = last;
        }

        if (end == pos) {
            continue;
        }

        eq = ngx_strlchr(pos, end, '=');

        name.data = pos;
        name.len = (eq ? eq : end) - pos;

        if (ngx_mc_def_unescape(p, &name) != NGX_OK) {
            return NGX_ERROR;
        }

        if (eq == NULL) {

            if ((name.len == 3 && ngx_strncmp(name.data, "off", 3) == 0)
                || (name.len == 6 && ngx_strncmp(name.data, "backup", 6) == 0)
                || ngx_mc_def_find_param(def, &name))
            {
                ngx_str_null(&value);
                return ngx_mc_def_parse_param(p, def, &name, &value);
            }

            /* it may as well be a piece of a passphrase */

            return ngx_mc_def_error(p, "a parameter without \"=\" in the "
                                    "query of the URL; \"&\" in a value is "
                                    "written \"%%26\"");
        }

        value.data = eq + 1;
        value.len = end - value.data;

        if (ngx_mc_def_unescape(p, &value) != NGX_OK
            || ngx_mc_def_parse_param(p, def, &name, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_unescape(ngx_mc_parse_t *p, ngx_str_t *s)
{
    u_char     *src, *dst, *last;
    ngx_int_t   ch;

    /* "+" stays what it is, unlike in forms */

    last = s->data + s->len;

    if (ngx_strlchr(s->data, last, '%') == NULL) {
        return NGX_OK;
    }

    src = s->data;

    dst = ngx_pnalloc(p->pool, s->len);
    if (dst == NULL) {
        return ngx_mc_def_error(p, "no memory");
    }

    s->data = dst;

    while (src < last) {

        if (*src != '%') {
            *dst++ = *src++;
            continue;
        }

        ch = (last - src >= 3) ? ngx_hextoi(src + 1, 2) : NGX_ERROR;

        if (ch == NGX_ERROR) {
            return ngx_mc_def_error(p, "\"%%\" without two hexadecimal digits "
                                    "in the query of the URL; \"%%\" itself "
                                    "is written \"%%25\"");
        }

        *dst++ = (u_char) ch;
        src += 3;
    }

    s->len = dst - s->data;

    return NGX_OK;
}


ngx_mc_param_t *
ngx_mc_def_find_param(ngx_mc_endpoint_def_t *def, ngx_str_t *name)
{
    ngx_uint_t       direction;
    ngx_mc_param_t  *prm;

    direction = (def->direction == NGX_MC_INPUT) ? NGX_MC_ON_SOURCE
                                                 : NGX_MC_ON_OUTPUT;

    for (prm = ngx_mc_params; prm->name.len; prm++) {

        if (prm->name.len == name->len
            && (prm->where & def->protocol)
            && (prm->where & direction)
            && ngx_strncmp(prm->name.data, name->data, name->len) == 0)
        {
            return prm;
        }
    }

    return NULL;
}


ngx_int_t
ngx_mc_def_parse_param(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *name, ngx_str_t *value)
{
    int64_t          number;
    uint64_t         bit, *given;
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

        if (def->params.passphrase.data) {
            return ngx_mc_def_error(p, "\"passphrase\" and "
                                    "\"passphrase_file\" exclude each other");
        }

        break;

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

    if (last != where) {
        return ngx_mc_def_error(p, "parameter \"%V\" belongs to %*s", name,
                                (size_t) (last - where), where);
    }

    if (value->data == NULL) {

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

    switch (where & NGX_MC_PACKET) {

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
ngx_mc_def_read_secret(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_str_t *secret, ngx_str_t *name)
{
    ssize_t           n;
    u_char           *buf, *end, text[128];
    ngx_fd_t          fd;
    ngx_err_t         err;
    ngx_str_t         file, value;
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

        buf = ngx_pnalloc(p->pool, NGX_MC_SECRET_FILE_SIZE);

        if (buf) {
            n = ngx_read_fd(fd, buf, NGX_MC_SECRET_FILE_SIZE);
        }
    }

    (void) ngx_close_file(fd);

    if (n < 0) {
        return ngx_mc_def_error(p, "the file of \"%V\" cannot be read",
                                &prm->name);
    }

    end = ngx_strlchr(buf, buf + n, '\n');

    value.data = buf;
    value.len = (end ? end : buf + n) - buf;

    if (value.len && buf[value.len - 1] == '\r') {
        value.len--;
    }

    if ((int64_t) value.len < prm->min || (int64_t) value.len > prm->max) {
        return ngx_mc_def_error(p, "the first line of the file of \"%V\" must "
                                "be %L to %L characters long",
                                &prm->name, prm->min, prm->max);
    }

    return ngx_mc_def_set_string(p, prm, secret, &value);
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


ngx_int_t
ngx_mc_def_check_endpoint(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    if (def->name.len == 0 && def->direction == NGX_MC_INPUT) {
        ngx_str_set(&def->name, "source");
    }

    if (def->protocol == NGX_MC_SRT) {
        return ngx_mc_def_check_srt(p, def);
    }

    if (def->direction == NGX_MC_INPUT) {
        return ngx_mc_def_check_source(p, def);
    }

    return ngx_mc_def_check_output(p, def);
}


static ngx_int_t
ngx_mc_def_check_srt(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    u_char            host[16], adapter[16];
    ngx_str_t        *mode;
    ngx_uint_t        any, family, local;
    ngx_mc_params_t  *prm;

    prm = &def->params;

    family = ngx_mc_def_address(&def->host, host);
    any = (def->host.len == 0 || (family && ngx_mc_def_is_any(family, host)));

    if (ngx_mc_def_is_multicast(family, host)) {
        return ngx_mc_def_error(p, "SRT has no multicast, use \"rtp://\" or "
                                "\"udp://\"");
    }

    if (prm->mode != NGX_CONF_UNSET) {
        def->mode = prm->mode;

    } else {
        def->mode = any ? NGX_MC_MODE_LISTENER : NGX_MC_MODE_CALLER;
    }

    mode = ngx_mc_mode_name(def->mode);

    if (def->mode == NGX_MC_MODE_LISTENER) {

        if (!any && family == 0) {
            return ngx_mc_def_error(p, "a listener needs a local address, not "
                                    "a host name; \"srt://:%d\" is any",
                                    (int) def->port);
        }

        if (prm->adapter.data) {
            return ngx_mc_def_error(p, "\"adapter\" is for callers, a "
                                    "listener's address stands in the URL: "
                                    "\"srt://ADDRESS:%d\" with "
                                    "\"mode=listener\"", (int) def->port);
        }

        if (prm->port != NGX_CONF_UNSET) {
            return ngx_mc_def_error(p, "\"port\" is the local port of a "
                                    "caller, a listener's stands in the URL");
        }

        if (prm->max_peers != NGX_CONF_UNSET
            && prm->min_peers != NGX_CONF_UNSET
            && prm->min_peers > prm->max_peers)
        {
            return ngx_mc_def_error(p, "\"min_peers\" is greater than "
                                    "\"max_peers\"");
        }

    } else {

        if (any) {
            return ngx_mc_def_error(p, "\"mode=%V\" needs a host in the URL: "
                                    "\"srt://HOST:%d\"",
                                    mode, (int) def->port);
        }

        if (prm->allow) {
            return ngx_mc_def_error(p, "\"allow\" is for those who listen, "
                                    "this is a %V", mode);
        }

        if (prm->max_peers != NGX_CONF_UNSET
            || prm->min_peers != NGX_CONF_UNSET)
        {
            return ngx_mc_def_error(p, "\"max_peers\" and \"min_peers\" are "
                                    "for listening outputs, this is a %V",
                                    mode);
        }

        if (prm->adapter.data) {

            local = ngx_mc_def_address(&prm->adapter, adapter);

            if (local == 0 || ngx_mc_def_is_multicast(local, adapter)) {
                return ngx_mc_def_error(p, "\"adapter\" must be a local "
                                        "address");
            }

            if (family && family != local) {
                return ngx_mc_def_error(p, "\"adapter\" and the host must "
                                        "both be IPv4 or both IPv6");
            }
        }
    }

    if (prm->pbkeylen != NGX_CONF_UNSET) {

        if (prm->pbkeylen & 7 || prm->pbkeylen == 8) {
            return ngx_mc_def_error(p, "\"pbkeylen\" must be \"16\", \"24\" or "
                                    "\"32\" bytes");
        }

        /* without a passphrase it would promise what does not happen */

        if (prm->pbkeylen && prm->passphrase.data == NULL) {
            return ngx_mc_def_error(p, "\"pbkeylen\" without \"passphrase\" "
                                    "encrypts nothing, add \"passphrase\" or "
                                    "\"passphrase_file\"");
        }
    }

    if (ngx_mc_def_check_srt_streamid(p, def) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_mc_def_check_srt_sizes(p, def);
}


static ngx_int_t
ngx_mc_def_check_srt_streamid(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    ngx_str_t              *streamid;
    ngx_mc_srt_streamid_t   sid;

    streamid = &def->params.streamid;

    if (streamid->data == NULL) {
        return NGX_OK;
    }

    if (def->mode == NGX_MC_MODE_RENDEZVOUS) {
        return ngx_mc_def_error(p, "a rendezvous carries no \"streamid\"");
    }

    /* what a caller says is its server's business */

    if (def->mode == NGX_MC_MODE_CALLER) {
        return NGX_OK;
    }

    if (ngx_mc_srt_streamid_parse(streamid->data, streamid->len, &sid)
        != NGX_OK)
    {
        return ngx_mc_def_error(p, "malformed \"streamid\", it must be a name "
                                "or like \"#!::r=NAME\"");
    }

    if (sid.resource.len == 0) {
        return ngx_mc_def_error(p, "the \"streamid\" of a listener needs a "
                                "resource: a name or \"#!::r=NAME\"");
    }

    if (sid.mode == NGX_MC_SRT_MODE_OTHER) {
        return ngx_mc_def_error(p, "\"m\" in \"streamid\" must be \"publish\" "
                                "or \"request\"");
    }

    if (sid.mode == NGX_MC_SRT_MODE_PUBLISH
        && def->direction == NGX_MC_OUTPUT)
    {
        return ngx_mc_def_error(p, "\"m=publish\" in \"streamid\" reaches "
                                "sources only, an output has \"m=request\"");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_check_srt_sizes(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    ngx_int_t         size, mss, extra;
    ngx_mc_params_t  *prm;

    prm = &def->params;

    size = (prm->payloadsize == NGX_CONF_UNSET) ? NGX_MC_SRT_PAYLOADSIZE
                                                : prm->payloadsize;
    mss = (prm->mss == NGX_CONF_UNSET) ? NGX_MC_SRT_MSS : prm->mss;

    extra = NGX_MC_SRT_HEADERS;

    if (prm->packetfilter.data) {

        if (ngx_mc_def_check_packetfilter(p, &prm->packetfilter) != NGX_OK) {
            return NGX_ERROR;
        }

        /* the header of libsrt's FEC packets */

        extra += 4;
    }

    if (size + extra > mss) {

        if (prm->mss == NGX_CONF_UNSET) {
            return ngx_mc_def_error(p, "\"payloadsize\" must be at most %i "
                                    "with this \"packetfilter\"",
                                    mss - extra);
        }

        return ngx_mc_def_error(p, "\"mss\" must be at least %i, "
                                "\"payloadsize\" and %i bytes of headers",
                                size + extra, extra);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_check_packetfilter(ngx_mc_parse_t *p, ngx_str_t *filter)
{
    u_char      *pos, *last, *end, *colon;
    ngx_int_t    n;
    ngx_str_t    key, value;
    ngx_uint_t   cols;

    /* "fec" is the only filter that libsrt has: fec,cols:C,rows:R,
       layout:even|staircase,arq:always|onreq|never */

    pos = filter->data;
    last = filter->data + filter->len;

    end = ngx_strlchr(pos, last, ',');
    if (end == NULL) {
        end = last;
    }

    if (end - pos != 3 || ngx_strncmp(pos, "fec", 3) != 0) {
        return ngx_mc_def_error(p, "\"packetfilter\" must begin with \"fec\"");
    }

    cols = 0;

    for (pos = end + 1; pos < last; pos = end + 1) {

        end = ngx_strlchr(pos, last, ',');
        if (end == NULL) {
            end = last;
        }

        colon = ngx_strlchr(pos, end, ':');
        if (colon == NULL) {
            goto failed;
        }

        key.data = pos;
        key.len = colon - pos;

        value.data = colon + 1;
        value.len = end - value.data;

        if (key.len == 4 && ngx_strncmp(key.data, "cols", 4) == 0) {

            n = ngx_atoi(value.data, value.len);
            if (n < 1 || n > 256) {
                goto failed;
            }

            cols = 1;

        } else if (key.len == 4 && ngx_strncmp(key.data, "rows", 4) == 0) {

            /* a negative number: columns only */

            if (value.len && value.data[0] == '-') {
                value.data++;
                value.len--;
            }

            n = ngx_atoi(value.data, value.len);
            if (n < 1 || n > 256) {
                goto failed;
            }

        } else if (key.len == 6 && ngx_strncmp(key.data, "layout", 6) == 0) {

            if (!(value.len == 4 && ngx_strncmp(value.data, "even", 4) == 0)
                && !(value.len == 9
                     && ngx_strncmp(value.data, "staircase", 9) == 0))
            {
                goto failed;
            }

        } else if (key.len == 3 && ngx_strncmp(key.data, "arq", 3) == 0) {

            if (!(value.len == 6 && ngx_strncmp(value.data, "always", 6) == 0)
                && !(value.len == 5
                     && (ngx_strncmp(value.data, "onreq", 5) == 0
                         || ngx_strncmp(value.data, "never", 5) == 0)))
            {
                goto failed;
            }

        } else {
            goto failed;
        }
    }

    /* a listener may leave the numbers to its callers */

    if (cols || filter->len == 3) {
        return NGX_OK;
    }

    return ngx_mc_def_error(p, "\"packetfilter\" needs \"cols\", as in "
                            "\"fec,cols:10,rows:5\"");

failed:

    return ngx_mc_def_error(p, "\"packetfilter\" must be like \"fec,cols:10,"
                            "rows:5,layout:staircase,arq:onreq\"");
}


static ngx_int_t
ngx_mc_def_check_source(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    u_char       addr[16], source[16];
    ngx_str_t   *name;
    ngx_uint_t   family, from;

    name = ngx_mc_protocol_name(def->protocol);

    family = ngx_mc_def_address(&def->host, addr);

    if (def->host.len && family == 0) {
        return ngx_mc_def_error(p, "this source needs a local address or a "
                                "multicast group, not a host name; "
                                "\"%V://:%d\" is any local address",
                                name, (int) def->port);
    }

    def->mode = ngx_mc_def_is_multicast(family, addr) ? NGX_MC_MODE_MULTICAST
                                                      : NGX_MC_MODE_RECEIVE;

    if (def->params.source.data) {

        if (def->mode != NGX_MC_MODE_MULTICAST) {
            return ngx_mc_def_error(p, "\"source\" is for multicast groups, "
                                    "others have \"allow\"");
        }

        from = ngx_mc_def_address(&def->params.source, source);

        if (from != family
            || ngx_mc_def_is_multicast(from, source)
            || ngx_mc_def_is_any(from, source))
        {
            return ngx_mc_def_error(p, "\"source\" must be the address of a "
                                    "sender, %s as the group",
                                    (family == AF_INET) ? "IPv4" : "IPv6");
        }
    }

    return ngx_mc_def_check_interface(p, def, family,
                                      def->mode == NGX_MC_MODE_MULTICAST);
}


static ngx_int_t
ngx_mc_def_check_output(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    u_char            addr[16];
    ngx_str_t        *name;
    ngx_uint_t        family, multicast;
    ngx_mc_params_t  *prm;

    name = ngx_mc_protocol_name(def->protocol);
    prm = &def->params;

    family = ngx_mc_def_address(&def->host, addr);

    if (def->host.len == 0 || (family && ngx_mc_def_is_any(family, addr))) {
        return ngx_mc_def_error(p, "an output needs a host or a group to send "
                                "to: \"%V://HOST:%d\"",
                                name, (int) def->port);
    }

    def->mode = NGX_MC_MODE_SEND;

    multicast = ngx_mc_def_is_multicast(family, addr);

    if (prm->ttl == 0 && !multicast) {
        return ngx_mc_def_error(p, "\"ttl=0\" is for multicast groups only");
    }

    if (prm->pkt_size != NGX_CONF_UNSET && prm->pkt_size % 188) {
        return ngx_mc_def_error(p, "\"pkt_size\" must be a multiple of 188, "
                                "the size of a TS packet");
    }

    if (prm->rtp == NGX_MC_RTP_KEEP && prm->ssrc != NGX_CONF_UNSET) {
        return ngx_mc_def_error(p, "\"rtp=keep\" keeps the SSRC, for "
                                "\"ssrc\" use \"rtp=new\"");
    }

    if (prm->rtp == NGX_MC_RTP_KEEP && prm->pkt_size != NGX_CONF_UNSET) {
        return ngx_mc_def_error(p, "\"rtp=keep\" keeps the datagrams, for "
                                "\"pkt_size\" use \"rtp=new\"");
    }

    return ngx_mc_def_check_interface(p, def, family, multicast);
}


static ngx_int_t
ngx_mc_def_check_interface(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_uint_t family, ngx_uint_t multicast)
{
    u_char       ch, addr[16];
    ngx_str_t   *name;
    ngx_uint_t   i, local;

    name = &def->params.interface;

    if (name->data == NULL) {
        return NGX_OK;
    }

    if (!multicast) {
        return ngx_mc_def_error(p, "\"interface\" is for multicast groups");
    }

    local = ngx_mc_def_address(name, addr);

    if (local) {

        /* IPv6 knows interfaces by their names only, RFC 3493, 5.2 */

        if (local != AF_INET || family != AF_INET
            || ngx_mc_def_is_multicast(local, addr)
            || ngx_mc_def_is_any(local, addr))
        {
            return ngx_mc_def_error(p, "\"interface\" must be a name such as "
                                    "\"eth0\", or the local address of an "
                                    "IPv4 group");
        }

        return NGX_OK;
    }

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (ch <= ' ' || ch >= 0x7f || ch == '/' || ch == ':') {
            break;
        }
    }

    if (i < name->len || name->len >= IF_NAMESIZE) {
        return ngx_mc_def_error(p, "\"interface\" must be a name of at most "
                                "%d characters such as \"eth0\", or a local "
                                "address", IF_NAMESIZE - 1);
    }

    return NGX_OK;
}
