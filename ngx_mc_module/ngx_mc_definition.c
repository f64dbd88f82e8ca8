
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_param.h>
#include <ngx_mc_srt_streamid.h>
#include <net/if.h>


/* "rtp://[" IPv6 "]:65535", or a host name as long as DNS has them */
#define NGX_MC_HOST_LEN          253
#define NGX_MC_LABEL_LEN         63

/* headers of IPv4, UDP and SRT */
#define NGX_MC_SRT_HEADERS       44


static ngx_int_t ngx_mc_def_parse_scheme(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *scheme);
static ngx_int_t ngx_mc_def_parse_rtmp(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *scheme, ngx_str_t *authority,
    ngx_str_t *path);
static ngx_int_t ngx_mc_def_parse_authority(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *scheme, ngx_str_t *authority);
static ngx_int_t ngx_mc_def_parse_host(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, ngx_str_t *host, ngx_uint_t brackets);
static ngx_int_t ngx_mc_def_parse_query(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def, u_char *pos, u_char *last);
static ngx_int_t ngx_mc_def_unescape(ngx_mc_parse_t *p, ngx_str_t *s);
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
static ngx_str_t  ngx_mc_protocol_rtmp = ngx_string("rtmp");


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

    case NGX_MC_RTMP:
        return &ngx_mc_protocol_rtmp;

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

        if (ngx_mc_param_is_int(prm->kind)
            || prm->kind == NGX_MC_PARAM_AUDIO)
        {
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
    ngx_str_t   scheme, authority, path, *name;

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

    if (ngx_mc_def_parse_scheme(p, def, &scheme) != NGX_OK) {
        return NGX_ERROR;
    }

    name = ngx_mc_protocol_name(def->protocol);

    pos = slash + 2;

    authority.data = pos;

    while (pos < last && *pos != '/' && *pos != '?') {
        pos++;
    }

    authority.len = pos - authority.data;

    if (def->protocol == NGX_MC_RTMP) {

        path.data = pos;
        path.len = last - pos;

        return ngx_mc_def_parse_rtmp(p, def, &scheme, &authority, &path);
    }

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
ngx_mc_def_parse_scheme(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *scheme)
{
    ngx_uint_t  i;

    static struct {
        ngx_str_t   name;
        ngx_uint_t  protocol;
        unsigned    tls:1;
    } schemes[] = {
        { ngx_string("srt"), NGX_MC_SRT, 0 },
        { ngx_string("rtp"), NGX_MC_RTP, 0 },
        { ngx_string("udp"), NGX_MC_UDP, 0 },
        { ngx_string("rtmp"), NGX_MC_RTMP, 0 },
        { ngx_string("rtmps"), NGX_MC_RTMP, 1 },
        { ngx_null_string, 0, 0 }
    };

    for (i = 0; schemes[i].name.len; i++) {

        if (scheme->len == schemes[i].name.len
            && ngx_strncasecmp(scheme->data, schemes[i].name.data,
                               scheme->len)
               == 0)
        {
            def->protocol = schemes[i].protocol;
            def->tls = schemes[i].tls;

            /* one spelling */

            *scheme = schemes[i].name;

            return NGX_OK;
        }
    }

    if (scheme->len >= 5
        && ngx_strncasecmp(scheme->data, (u_char *) "rtmp", 4) == 0
        && scheme->len <= 16 && ngx_mc_def_check_name(scheme) == NGX_OK)
    {
        return ngx_mc_def_error(p, "unsupported scheme \"%V\" in the URL, "
                                "of RTMP use \"rtmp\" or \"rtmps\"", scheme);
    }

    if (scheme->len <= 16 && ngx_mc_def_check_name(scheme) == NGX_OK) {
        return ngx_mc_def_error(p, "unsupported scheme \"%V\" in the URL, "
                                "use \"srt\", \"rtp\", \"udp\", \"rtmp\" or "
                                "\"rtmps\"", scheme);
    }

    return ngx_mc_def_error(p, "unsupported scheme in the URL, "
                            "use \"srt\", \"rtp\", \"udp\", \"rtmp\" or "
                            "\"rtmps\"");
}


static ngx_int_t
ngx_mc_def_parse_rtmp(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *scheme, ngx_str_t *authority, ngx_str_t *path)
{
    if (authority->len) {

        if (ngx_mc_def_parse_authority(p, def, scheme, authority) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_mc_def_rtmp_path(p, def, path);
    }

    if (def->tls) {
        return ngx_mc_def_error(p, "\"rtmps:///\" cannot listen: write "
                                "\"rtmp:///APP/NAME\", and let a server of "
                                "nginx's stream module with \"listen PORT "
                                "ssl\" pass connections on to the \"rtmp\" "
                                "block");
    }

    /* the ports are those of rtmp{} */

    def->mode = NGX_MC_MODE_LISTENER;

    ngx_str_set(&def->url, "rtmp://");

    return ngx_mc_def_rtmp_path(p, def, path);
}


static ngx_int_t
ngx_mc_def_parse_authority(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *scheme, ngx_str_t *authority)
{
    u_char      *pos, *last, *colon;
    ngx_str_t    host;
    ngx_int_t    port;
    ngx_uint_t   brackets, given;

    pos = authority->data;
    last = authority->data + authority->len;

    if (pos < last && *pos == '@' && (def->protocol & NGX_MC_DATAGRAM)) {

        /* players know udp://@:PORT, which means to receive */

        if (def->direction == NGX_MC_OUTPUT) {
            return ngx_mc_def_error(p, "\"%V://@\" means to receive, "
                                    "an output is \"%V://HOST:PORT\"",
                                    scheme, scheme);
        }

        pos++;
    }

    if (ngx_strlchr(pos, last, '@') && def->protocol == NGX_MC_RTMP) {
        return ngx_mc_def_error(p, "user name and password have no meaning in "
                                "an RTMP URL: what the server asks for is its "
                                "query or the \"key\"");
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

    if (colon == last && def->protocol == NGX_MC_RTMP) {
        port = def->tls ? NGX_MC_RTMPS_PORT : NGX_MC_RTMP_PORT;
        given = 0;

    } else if (colon == last) {
        return ngx_mc_def_error(p, "no port in the URL, it must be like "
                                "\"%V://HOST:PORT\"", scheme);

    } else {
        port = (*colon == ':') ? ngx_atoi(colon + 1, last - colon - 1)
                               : NGX_ERROR;
        given = 1;
    }

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

    pos = ngx_sprintf(def->url.data, brackets ? "%V://[%V]" : "%V://%V",
                      scheme, &def->host);

    if (given) {
        pos = ngx_sprintf(pos, ":%i", port);
    }

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

    } else if (def->protocol == NGX_MC_RTMP) {

        def->mode = NGX_MC_MODE_CALLER;

        if (any || ngx_mc_def_is_multicast(family, addr)) {
            return ngx_mc_def_error(p, "no host to connect to in the URL; "
                                    "what listens is \"rtmp:///APP/NAME\", "
                                    "at the ports of the \"rtmp\" block");
        }

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


ngx_int_t
ngx_mc_def_check_endpoint(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    if (def->name.len == 0 && def->direction == NGX_MC_INPUT) {
        ngx_str_set(&def->name, "source");
    }

    if (def->protocol == NGX_MC_SRT) {
        return ngx_mc_def_check_srt(p, def);
    }

    if (def->protocol == NGX_MC_RTMP) {
        return ngx_mc_def_check_rtmp(p, def);
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

        if (ngx_mc_def_check_peers(p, prm) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {

        if (prm->rekey != NGX_CONF_UNSET) {
            return ngx_mc_def_error(p, "\"rekey\" is for listeners: a caller "
                                    "connects anew when its passphrase is "
                                    "changed");
        }

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


ngx_int_t
ngx_mc_def_check_peers(ngx_mc_parse_t *p, ngx_mc_params_t *prm)
{
    if (prm->max_peers != NGX_CONF_UNSET
        && prm->min_peers != NGX_CONF_UNSET
        && prm->min_peers > prm->max_peers)
    {
        return ngx_mc_def_error(p, "\"min_peers\" is greater than "
                                "\"max_peers\"");
    }

    return NGX_OK;
}
