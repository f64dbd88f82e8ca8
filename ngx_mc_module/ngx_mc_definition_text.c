
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_param.h>


/*
 * The canonical text, every line ending with a newline:
 *
 *     flow NAME
 *     title TEXT
 *     description TEXT
 *     state off
 *     batch MS
 *     bandwidth BITS/S POLICY
 *     source PIPELINE NAME MODE URL [off] [PARAM=VALUE ...]
 *     output PIPELINE NAME MODE URL [off] [PARAM=VALUE ...]
 *
 * URL is what may be shown, except that one of RTMP has its path and query.
 * Lines that say nothing are left out.  TEXT and VALUE are percent-encoded,
 * so that spaces separate words.  Lines have passphrases in them: they are
 * never logged.
 */


typedef struct {
    ngx_log_t   *log;
    u_char      *start;
    u_char      *pos;
    u_char      *end;
} ngx_mc_text_t;


static ngx_int_t ngx_mc_def_inherit_source(ngx_mc_parse_t *p,
    ngx_mc_flow_def_t *flow, ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_inherit_output(ngx_mc_parse_t *p,
    ngx_mc_flow_def_t *flow, ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_inherit_latency(ngx_mc_parse_t *p,
    ngx_mc_flow_def_t *flow, ngx_mc_endpoint_def_t *def);
static void ngx_mc_def_inherit_rtmp(ngx_mc_endpoint_def_t *def);

static ngx_int_t ngx_mc_text_add_flow(ngx_mc_text_t *t,
    ngx_mc_flow_def_t *flow);
static ngx_int_t ngx_mc_text_reserve(ngx_mc_text_t *t, size_t size);
static ngx_int_t ngx_mc_text_add(ngx_mc_text_t *t, const char *fmt, ...);
static ngx_int_t ngx_mc_text_add_encoded(ngx_mc_text_t *t, ngx_str_t *s);
static ngx_int_t ngx_mc_text_add_endpoint(ngx_mc_text_t *t,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_text_add_url(ngx_mc_text_t *t,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_text_add_param(ngx_mc_text_t *t, ngx_mc_param_t *prm,
    ngx_mc_params_t *params);
static ngx_int_t ngx_mc_text_add_cidrs(ngx_mc_text_t *t, ngx_str_t *name,
    ngx_array_t *cidrs);
static ngx_uint_t ngx_mc_text_prefix(u_char *mask, size_t size);

static ngx_int_t ngx_mc_def_read_line(ngx_mc_parse_t *p,
    ngx_mc_flow_def_t *flow, ngx_str_t *line);
static ngx_uint_t ngx_mc_def_changed_url(ngx_mc_endpoint_def_t *from,
    ngx_mc_endpoint_def_t *to);
static ngx_uint_t ngx_mc_def_changed_param(ngx_mc_parse_t *p,
    ngx_mc_param_t *prm, ngx_mc_endpoint_def_t *from,
    ngx_mc_endpoint_def_t *to);
static u_char *ngx_mc_def_add_name(u_char *start, u_char *p, u_char *last,
    ngx_str_t *name);
static ngx_uint_t ngx_mc_def_word(ngx_str_t *rest, ngx_str_t *word);
static ngx_int_t ngx_mc_def_decode(ngx_mc_parse_t *p, ngx_str_t *s);
static ngx_int_t ngx_mc_def_bad(ngx_mc_parse_t *p, const char *what);


static ngx_str_t  ngx_mc_directions[] = {
    ngx_string("source"),
    ngx_string("output")
};


static ngx_str_t  ngx_mc_exceeds[] = {
    ngx_string("drop"),
    ngx_string("alarm"),
    ngx_string("disconnect")
};


#define ngx_mc_word_is(word, text)                                            \
    ((word)->len == sizeof(text) - 1                                          \
     && ngx_strncmp((word)->data, text, sizeof(text) - 1) == 0)


ngx_int_t
ngx_mc_def_write(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_mc_text_t           t;
    ngx_mc_endpoint_def_t  *def;

    /* outputs need to know the sources */

    def = flow->sources.elts;

    for (i = 0; i < flow->sources.nelts; i++) {
        if (ngx_mc_def_inherit_source(p, flow, &def[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    def = flow->outputs.elts;

    for (i = 0; i < flow->outputs.nelts; i++) {
        if (ngx_mc_def_inherit_output(p, flow, &def[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_memzero(&t, sizeof(ngx_mc_text_t));
    t.log = p->pool->log;

    rc = ngx_mc_text_add_flow(&t, flow);

    if (rc == NGX_OK) {

        flow->text.len = t.pos - t.start;
        flow->text.data = ngx_pnalloc(p->pool, flow->text.len);

        if (flow->text.data) {
            ngx_memcpy(flow->text.data, t.start, flow->text.len);

        } else {
            rc = NGX_ERROR;
        }
    }

    if (t.start) {
        ngx_free(t.start);
    }

    if (rc != NGX_OK) {
        return ngx_mc_def_error(p, "no memory");
    }

    /* until now the lines were offsets, as the text moved while it grew */

    def = flow->sources.elts;

    for (i = 0; i < flow->sources.nelts; i++) {
        def[i].text.data = flow->text.data + (uintptr_t) def[i].text.data;
    }

    def = flow->outputs.elts;

    for (i = 0; i < flow->outputs.nelts; i++) {
        def[i].text.data = flow->text.data + (uintptr_t) def[i].text.data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_inherit_source(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow,
    ngx_mc_endpoint_def_t *def)
{
    ngx_mc_params_t  *prm;

    prm = &def->params;

    if (prm->max_bandwidth == NGX_CONF_UNSET) {
        prm->max_bandwidth = flow->max_bandwidth;
    }

    /* a policy without a limit would be a difference without a meaning */

    if (prm->max_bandwidth <= 0) {
        prm->max_bandwidth = 0;
        prm->exceed = NGX_CONF_UNSET;

    } else if (prm->exceed == NGX_CONF_UNSET) {
        prm->exceed = flow->exceed;
    }

    if (prm->allow == NULL
        && def->mode != NGX_MC_MODE_CALLER
        && def->mode != NGX_MC_MODE_RENDEZVOUS)
    {
        prm->allow = flow->allow;
    }

    if (def->protocol == NGX_MC_SRT) {
        return ngx_mc_def_inherit_latency(p, flow, def);
    }

    if (def->protocol == NGX_MC_RTMP) {
        ngx_mc_def_inherit_rtmp(def);
        return NGX_OK;
    }

    ngx_conf_init_value(prm->timeout, 2000);

    if (def->protocol == NGX_MC_RTP) {
        ngx_conf_init_value(prm->buffer, 50);
        ngx_conf_init_value(prm->buffer_mode, NGX_MC_BUFFER_RELEASE);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_inherit_output(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow,
    ngx_mc_endpoint_def_t *def)
{
    ngx_uint_t              i, from;
    ngx_mc_params_t        *prm;
    ngx_mc_endpoint_def_t  *source;

    prm = &def->params;

    if (def->protocol == NGX_MC_SRT) {
        return ngx_mc_def_inherit_latency(p, flow, def);
    }

    if (def->protocol == NGX_MC_RTMP) {
        ngx_mc_def_inherit_rtmp(def);
        return NGX_OK;
    }

    from = NGX_MC_SRT;
    source = flow->sources.elts;

    for (i = 0; i < flow->sources.nelts; i++) {
        if (source[i].pipeline == def->pipeline) {
            from = source[i].protocol;
        }
    }

    /* datagrams arrive with the pace that they have, SRT's in bursts, and TS
       made of RTMP a frame at a time */

    ngx_conf_init_value(prm->pace, (from & NGX_MC_DATAGRAM) ? NGX_MC_PACE_OFF
                                                            : NGX_MC_PACE_PCR);

    if (def->protocol == NGX_MC_RTP) {

        /* these cannot be had together with the headers that came in */

        ngx_conf_init_value(prm->rtp, (from == NGX_MC_RTP
                                       && prm->ssrc == NGX_CONF_UNSET
                                       && prm->pkt_size == NGX_CONF_UNSET)
                                      ? NGX_MC_RTP_KEEP : NGX_MC_RTP_NEW);

        if (prm->rtp == NGX_MC_RTP_NEW) {
            ngx_conf_init_value(prm->pt, NGX_MC_RTP_PT);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_inherit_latency(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow,
    ngx_mc_endpoint_def_t *def)
{
    ngx_int_t         latency;
    ngx_mc_params_t  *prm;

    prm = &def->params;

    latency = (prm->latency == NGX_CONF_UNSET) ? (ngx_int_t) flow->latency
                                               : prm->latency;

    ngx_conf_init_value(prm->rcvlatency, latency);
    ngx_conf_init_value(prm->peerlatency, latency);

    prm->latency = NGX_CONF_UNSET;

    if (prm->rcvlatency > NGX_MC_LATENCY_MAX
        || prm->peerlatency > NGX_MC_LATENCY_MAX)
    {
        return ngx_mc_def_error(p, "\"mc_latency\" must be at most %dms",
                                NGX_MC_LATENCY_MAX);
    }

    return NGX_OK;
}


static void
ngx_mc_def_inherit_rtmp(ngx_mc_endpoint_def_t *def)
{
    if (def->tls) {
        ngx_conf_init_value(def->params.tls_verify, 1);
    }
}


static ngx_int_t
ngx_mc_text_add_flow(ngx_mc_text_t *t, ngx_mc_flow_def_t *flow)
{
    ngx_uint_t              i;
    ngx_mc_endpoint_def_t  *def;

    if (ngx_mc_text_add(t, "flow %V\n", &flow->name) != NGX_OK) {
        return NGX_ERROR;
    }

    if (flow->title.len
        && (ngx_mc_text_add(t, "title ") != NGX_OK
            || ngx_mc_text_add_encoded(t, &flow->title) != NGX_OK
            || ngx_mc_text_add(t, "\n") != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (flow->description.len
        && (ngx_mc_text_add(t, "description ") != NGX_OK
            || ngx_mc_text_add_encoded(t, &flow->description) != NGX_OK
            || ngx_mc_text_add(t, "\n") != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (flow->stopped && ngx_mc_text_add(t, "state off\n") != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_mc_text_add(t, "batch %M\n", flow->batch) != NGX_OK) {
        return NGX_ERROR;
    }

    if (flow->max_bandwidth > 0
        && ngx_mc_text_add(t, "bandwidth %L %V\n", flow->max_bandwidth,
                           &ngx_mc_exceeds[flow->exceed])
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    def = flow->sources.elts;

    for (i = 0; i < flow->sources.nelts; i++) {
        if (ngx_mc_text_add_endpoint(t, &def[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    def = flow->outputs.elts;

    for (i = 0; i < flow->outputs.nelts; i++) {
        if (ngx_mc_text_add_endpoint(t, &def[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_text_reserve(ngx_mc_text_t *t, size_t size)
{
    u_char  *start;
    size_t   len, room;

    if ((size_t) (t->end - t->pos) >= size) {
        return NGX_OK;
    }

    len = t->pos - t->start;
    room = ngx_max(2 * (len + size), 4096);

    start = ngx_alloc(room, t->log);
    if (start == NULL) {
        return NGX_ERROR;
    }

    if (t->start) {
        ngx_memcpy(start, t->start, len);
        ngx_free(t->start);
    }

    t->start = start;
    t->pos = start + len;
    t->end = start + room;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_text_add(ngx_mc_text_t *t, const char *fmt, ...)
{
    u_char   *pos;
    va_list   args;
    size_t    size;

    /* whatever may have been cut is written again with more room */

    for (size = 256; /* void */ ; size *= 2) {

        if (ngx_mc_text_reserve(t, size) != NGX_OK) {
            return NGX_ERROR;
        }

        va_start(args, fmt);
        pos = ngx_vslprintf(t->pos, t->end, fmt, args);
        va_end(args);

        if (pos < t->end) {
            t->pos = pos;
            return NGX_OK;
        }
    }
}


static ngx_int_t
ngx_mc_text_add_encoded(ngx_mc_text_t *t, ngx_str_t *s)
{
    u_char          ch;
    size_t          i;
    static u_char   hex[] = "0123456789ABCDEF";

    if (ngx_mc_text_reserve(t, 3 * s->len) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];

        if (ch > ' ' && ch < 0x7f && ch != '%') {
            *t->pos++ = ch;
            continue;
        }

        *t->pos++ = '%';
        *t->pos++ = hex[ch >> 4];
        *t->pos++ = hex[ch & 0x0f];
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_text_add_endpoint(ngx_mc_text_t *t, ngx_mc_endpoint_def_t *def)
{
    size_t           start;
    ngx_mc_param_t  *prm;

    start = t->pos - t->start;

    if (ngx_mc_text_add(t, "%V %V %V %V ",
                        &ngx_mc_directions[def->direction],
                        &ngx_mc_pipeline_names[def->pipeline], &def->name,
                        ngx_mc_mode_name(def->mode))
        != NGX_OK
        || ngx_mc_text_add_url(t, def) != NGX_OK
        || (def->off && ngx_mc_text_add(t, " off") != NGX_OK))
    {
        return NGX_ERROR;
    }

    for (prm = ngx_mc_params; prm->name.len; prm++) {

        if ((prm->where & NGX_MC_PARAM_UNWRITTEN)
            || !ngx_mc_def_has_param(def, prm))
        {
            continue;
        }

        if (ngx_mc_text_add_param(t, prm, &def->params) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    def->text.data = (u_char *) (uintptr_t) start;
    def->text.len = (t->pos - t->start) - start;

    return ngx_mc_text_add(t, "\n");
}


static ngx_int_t
ngx_mc_text_add_url(ngx_mc_text_t *t, ngx_mc_endpoint_def_t *def)
{
    u_char     *slash, *last;
    ngx_str_t   server;

    if (def->protocol != NGX_MC_RTMP) {
        return ngx_mc_text_add(t, "%V", &def->url);
    }

    /* scheme, host and port of the URL, and the path that it was read from */

    last = def->url.data + def->url.len;

    slash = ngx_strlchr(def->url.data, last, '/');
    slash = ngx_strlchr(slash + 2, last, '/');

    server.data = def->url.data;
    server.len = slash - server.data;

    if (def->mode == NGX_MC_MODE_CALLER && def->params.key.data) {
        return ngx_mc_text_add(t, "%V/%V", &server, &def->app);
    }

    return ngx_mc_text_add(t, "%V/%V/%V", &server, &def->app, &def->stream);
}


static ngx_int_t
ngx_mc_text_add_param(ngx_mc_text_t *t, ngx_mc_param_t *prm,
    ngx_mc_params_t *params)
{
    void             *field;
    int64_t           number;
    ngx_str_t        *s;
    ngx_array_t      *cidrs;
    ngx_conf_enum_t  *e;

    field = (u_char *) params + prm->offset;

    switch (prm->kind) {

    case NGX_MC_PARAM_INT:
    case NGX_MC_PARAM_TIME:
    case NGX_MC_PARAM_BOOL:
    case NGX_MC_PARAM_ENUM:
    case NGX_MC_PARAM_VERSION:
        number = *(ngx_int_t *) field;
        break;

    case NGX_MC_PARAM_INT64:
    case NGX_MC_PARAM_RATE:
        number = *(int64_t *) field;
        break;

    case NGX_MC_PARAM_AUDIO:

        number = params->audio;

        if (params->audio_language.len) {
            return ngx_mc_text_add(t, " %V=%V", &prm->name,
                                   &params->audio_language);
        }

        break;

    case NGX_MC_PARAM_STRING:
    case NGX_MC_PARAM_TEXT:
    case NGX_MC_PARAM_SECRET:
    case NGX_MC_PARAM_CERTIFICATES:

        s = field;

        if (s->data == NULL) {
            return NGX_OK;
        }

        if (ngx_mc_text_add(t, " %V=", &prm->name) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_mc_text_add_encoded(t, s);

    case NGX_MC_PARAM_CIDRS:

        cidrs = *(ngx_array_t **) field;

        if (cidrs == NULL || cidrs->nelts == 0) {
            return NGX_OK;
        }

        return ngx_mc_text_add_cidrs(t, &prm->name, cidrs);

    default:
        return NGX_OK;
    }

    /* no limit is what a missing one means, too */

    if (number == NGX_CONF_UNSET
        || (number == 0 && prm->kind == NGX_MC_PARAM_RATE))
    {
        return NGX_OK;
    }

    switch (prm->kind) {

    case NGX_MC_PARAM_ENUM:

        for (e = prm->values; e->name.len; e++) {
            if ((int64_t) e->value == number) {
                return ngx_mc_text_add(t, " %V=%V", &prm->name, &e->name);
            }
        }

        return NGX_ERROR;

    case NGX_MC_PARAM_VERSION:

        return ngx_mc_text_add(t, " %V=%L.%L.%L", &prm->name, number >> 16,
                               (number >> 8) & 0xff, number & 0xff);

    default:
        return ngx_mc_text_add(t, " %V=%L", &prm->name, number);
    }
}


static ngx_int_t
ngx_mc_text_add_cidrs(ngx_mc_text_t *t, ngx_str_t *name, ngx_array_t *cidrs)
{
    size_t       len;
    u_char       text[NGX_INET6_ADDRSTRLEN];
    ngx_uint_t   i, prefix;
    ngx_cidr_t  *cidr;

    if (ngx_mc_text_add(t, " %V=", name) != NGX_OK) {
        return NGX_ERROR;
    }

    cidr = cidrs->elts;

    for (i = 0; i < cidrs->nelts; i++) {

        switch (cidr[i].family) {

#if (NGX_HAVE_INET6)
        case AF_INET6:
            len = ngx_inet6_ntop(cidr[i].u.in6.addr.s6_addr, text,
                                 NGX_INET6_ADDRSTRLEN);
            prefix = ngx_mc_text_prefix(cidr[i].u.in6.mask.s6_addr, 16);
            break;
#endif

        default: /* AF_INET */
            len = ngx_inet_ntop(AF_INET, &cidr[i].u.in.addr, text,
                                NGX_INET_ADDRSTRLEN);
            prefix = ngx_mc_text_prefix((u_char *) &cidr[i].u.in.mask, 4);
            break;
        }

        if (ngx_mc_text_add(t, "%s%*s/%ui", i ? "," : "", len, text, prefix)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_mc_text_prefix(u_char *mask, size_t size)
{
    u_char      byte;
    size_t      i;
    ngx_uint_t  prefix;

    prefix = 0;

    for (i = 0; i < size; i++) {
        for (byte = mask[i]; byte & 0x80; byte <<= 1) {
            prefix++;
        }
    }

    return prefix;
}


ngx_int_t
ngx_mc_def_read(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow, ngx_str_t *text)
{
    u_char     *pos, *last, *end;
    ngx_str_t   line;

    ngx_memzero(flow, sizeof(ngx_mc_flow_def_t));

    if (ngx_array_init(&flow->sources, p->pool, NGX_MC_PIPELINES,
                       sizeof(ngx_mc_endpoint_def_t))
        != NGX_OK
        || ngx_array_init(&flow->outputs, p->pool, 4,
                          sizeof(ngx_mc_endpoint_def_t))
           != NGX_OK)
    {
        return ngx_mc_def_error(p, "no memory");
    }

    flow->text = *text;

    pos = text->data;
    last = text->data + text->len;

    while (pos < last) {

        end = ngx_strlchr(pos, last, '\n');
        if (end == NULL) {
            return ngx_mc_def_bad(p, "a line without an end");
        }

        line.data = pos;
        line.len = end - pos;

        if (ngx_mc_def_read_line(p, flow, &line) != NGX_OK) {
            return NGX_ERROR;
        }

        pos = end + 1;
    }

    if (flow->name.len == 0) {
        return ngx_mc_def_bad(p, "no name");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_read_line(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow,
    ngx_str_t *line)
{
    off_t                   rate;
    ngx_int_t               n;
    ngx_str_t               rest, key, word;
    ngx_uint_t              i;
    ngx_array_t            *array;
    ngx_mc_endpoint_def_t  *def;

    rest = *line;

    if (!ngx_mc_def_word(&rest, &key)) {
        return ngx_mc_def_bad(p, "an empty line");
    }

    array = ngx_mc_word_is(&key, "source") ? &flow->sources
            : ngx_mc_word_is(&key, "output") ? &flow->outputs : NULL;

    if (array) {
        def = ngx_array_push(array);
        if (def == NULL) {
            return ngx_mc_def_error(p, "no memory");
        }

        return ngx_mc_def_read_endpoint(p, def, line);
    }

    if (!ngx_mc_def_word(&rest, &word)) {
        return ngx_mc_def_bad(p, "a line of one word");
    }

    if (ngx_mc_word_is(&key, "bandwidth")) {

        rate = ngx_atoof(word.data, word.len);

        if (rate <= 0 || !ngx_mc_def_word(&rest, &word) || rest.data) {
            return ngx_mc_def_bad(p, "bandwidth");
        }

        flow->max_bandwidth = rate;

        for (i = 0; i <= NGX_MC_EXCEED_DISCONNECT; i++) {
            if (word.len == ngx_mc_exceeds[i].len
                && ngx_strncmp(word.data, ngx_mc_exceeds[i].data, word.len)
                   == 0)
            {
                flow->exceed = i;
                return NGX_OK;
            }
        }

        return ngx_mc_def_bad(p, "bandwidth");
    }

    if (rest.data) {
        return ngx_mc_def_bad(p, "too many words");
    }

    if (ngx_mc_word_is(&key, "flow")) {
        flow->name = word;
        return NGX_OK;
    }

    if (ngx_mc_word_is(&key, "title")) {
        flow->title = word;
        return ngx_mc_def_decode(p, &flow->title);
    }

    if (ngx_mc_word_is(&key, "description")) {
        flow->description = word;
        return ngx_mc_def_decode(p, &flow->description);
    }

    if (ngx_mc_word_is(&key, "state") && ngx_mc_word_is(&word, "off")) {
        flow->stopped = 1;
        return NGX_OK;
    }

    if (ngx_mc_word_is(&key, "batch")) {

        n = ngx_atoi(word.data, word.len);

        if (n == NGX_ERROR) {
            return ngx_mc_def_bad(p, "batch");
        }

        flow->batch = (ngx_msec_t) n;

        return NGX_OK;
    }

    return ngx_mc_def_bad(p, "an unknown line");
}


ngx_int_t
ngx_mc_def_read_endpoint(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *line)
{
    u_char          *eq;
    ngx_str_t        rest, key, pipeline, mode, url, word, value;
    ngx_uint_t       i;
    ngx_mc_param_t  *prm;

    ngx_mc_def_init_endpoint(def);

    def->text = *line;

    rest = *line;

    if (!ngx_mc_def_word(&rest, &key)
        || !ngx_mc_def_word(&rest, &pipeline)
        || !ngx_mc_def_word(&rest, &def->name)
        || !ngx_mc_def_word(&rest, &mode)
        || !ngx_mc_def_word(&rest, &url))
    {
        return ngx_mc_def_bad(p, "an endpoint of few words");
    }

    def->direction = ngx_mc_word_is(&key, "source") ? NGX_MC_INPUT
                                                    : NGX_MC_OUTPUT;

    if (ngx_mc_word_is(&pipeline, "backup")) {
        def->pipeline = NGX_MC_BACKUP;

    } else if (!ngx_mc_word_is(&pipeline, "primary")) {
        return ngx_mc_def_bad(p, "pipeline");
    }

    /* parameters of a query are written as all others */

    if (ngx_mc_def_parse_url(p, def, &url) != NGX_OK
        || (def->protocol != NGX_MC_RTMP
            && ngx_strlchr(url.data, url.data + url.len, '?')))
    {
        return ngx_mc_def_bad(p, "URL");
    }

    for (i = 0; i <= NGX_MC_MODE_SEND; i++) {
        word = *ngx_mc_mode_name(i);

        if (mode.len == word.len
            && ngx_strncmp(mode.data, word.data, word.len) == 0)
        {
            break;
        }
    }

    if (i > NGX_MC_MODE_SEND
        || (def->protocol == NGX_MC_RTMP && i != def->mode))
    {
        return ngx_mc_def_bad(p, "mode");
    }

    def->mode = i;

    while (ngx_mc_def_word(&rest, &word)) {

        if (ngx_mc_word_is(&word, "off")) {
            def->off = 1;
            continue;
        }

        eq = ngx_strlchr(word.data, word.data + word.len, '=');
        if (eq == NULL) {
            return ngx_mc_def_bad(p, "a parameter without a value");
        }

        value.data = eq + 1;
        value.len = word.data + word.len - value.data;
        word.len = eq - word.data;

        prm = ngx_mc_def_find_param(def, &word);

        if (prm == NULL || (prm->where & NGX_MC_PARAM_UNWRITTEN)) {
            return ngx_mc_def_bad(p, "an unknown parameter");
        }

        if (ngx_mc_def_decode(p, &value) != NGX_OK
            || ngx_mc_def_set_param(p, prm, &def->params, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (rest.data) {
        return ngx_mc_def_bad(p, "two spaces");
    }

    if (def->protocol == NGX_MC_RTMP
        && ngx_mc_def_rtmp_split(p, def) != NGX_OK)
    {
        return ngx_mc_def_bad(p, "URL");
    }

    /* there is nothing left to inherit from */

    if (def->direction == NGX_MC_INPUT
        && def->params.max_bandwidth == NGX_CONF_UNSET)
    {
        def->params.max_bandwidth = 0;
    }

    if (def->params.muxrate == NGX_CONF_UNSET) {
        def->params.muxrate = 0;
    }

    if (def->params.maxrate == NGX_CONF_UNSET) {
        def->params.maxrate = 0;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mc_def_is_same(ngx_mc_endpoint_def_t *a, ngx_mc_endpoint_def_t *b)
{
    return a->direction == b->direction
           && a->pipeline == b->pipeline
           && a->name.len == b->name.len
           && ngx_strncmp(a->name.data, b->name.data, a->name.len) == 0;
}


/*
 * What it takes to make an endpoint that runs as "from" says run as "to"
 * says.  The lines were found to differ.
 */

ngx_uint_t
ngx_mc_def_changed(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *from,
    ngx_mc_endpoint_def_t *to, u_char *names, size_t size)
{
    u_char           *pos, *last;
    ngx_str_t        *name;
    ngx_uint_t        changed;
    ngx_mc_param_t   *prm;
    static ngx_str_t  url = ngx_string("URL");
    static ngx_str_t  off = ngx_string("off");
    static ngx_str_t  limit = ngx_string("max_bandwidth");
    static ngx_str_t  latency = ngx_string("latency");

    changed = 0;
    pos = names;
    last = names ? names + size - 1 : NULL;

    if (ngx_mc_def_changed_url(from, to)) {
        changed |= NGX_MC_CHANGED_REOPEN;
        pos = ngx_mc_def_add_name(names, pos, last, &url);
    }

    if (from->off != to->off) {
        changed |= NGX_MC_CHANGED_LIVE;
        pos = ngx_mc_def_add_name(names, pos, last, &off);
    }

    for (prm = ngx_mc_params; prm->name.len; prm++) {

        if ((prm->where & NGX_MC_PARAM_UNWRITTEN)
            || !ngx_mc_def_changed_param(p, prm, from, to))
        {
            continue;
        }

        if (prm->where & NGX_MC_PARAM_LIVE) {
            changed |= NGX_MC_CHANGED_LIVE;

        } else if ((prm->where & NGX_MC_PARAM_ACCEPTED)
                   && to->mode == NGX_MC_MODE_LISTENER)
        {
            changed |= NGX_MC_CHANGED_LIVE;

        } else {
            changed |= NGX_MC_CHANGED_REOPEN;
        }

        if (prm->where & NGX_MC_PARAM_KEY) {
            changed |= NGX_MC_CHANGED_KEY;
        }

        /* people know the policy as a part of the limit, and mostly write one
           latency */

        if (prm->where & NGX_MC_PARAM_INTERNAL) {
            if (from->params.max_bandwidth != to->params.max_bandwidth) {
                continue;
            }

            name = &limit;

        } else if (from->params.rcvlatency != to->params.rcvlatency
                   && from->params.peerlatency != to->params.peerlatency)
        {
            if (prm->offset == offsetof(ngx_mc_params_t, peerlatency)) {
                continue;
            }

            name = (prm->offset == offsetof(ngx_mc_params_t, rcvlatency))
                   ? &latency : &prm->name;

        } else {
            name = &prm->name;
        }

        pos = ngx_mc_def_add_name(names, pos, last, name);
    }

    if (names) {
        *pos = '\0';
    }

    return changed;
}


static ngx_uint_t
ngx_mc_def_changed_url(ngx_mc_endpoint_def_t *from, ngx_mc_endpoint_def_t *to)
{
    ngx_uint_t  i, n;
    ngx_str_t  *a, *b;

    struct {
        ngx_str_t  *from;
        ngx_str_t  *to;
    } strings[] = {
        { &from->url, &to->url },
        { &from->app, &to->app },
        { &from->stream, &to->stream }
    };

    if (from->protocol != to->protocol || from->mode != to->mode) {
        return 1;
    }

    /* the stream may be the key, which is a parameter */

    n = (to->mode == NGX_MC_MODE_CALLER
         && from->params.key.data && to->params.key.data) ? 2 : 3;

    for (i = 0; i < n; i++) {
        a = strings[i].from;
        b = strings[i].to;

        if (a->len != b->len
            || (a->len && ngx_memcmp(a->data, b->data, a->len) != 0))
        {
            return 1;
        }
    }

    return 0;
}


/* by the text of the parameter, which is the canonical one */

static ngx_uint_t
ngx_mc_def_changed_param(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_mc_endpoint_def_t *from, ngx_mc_endpoint_def_t *to)
{
    size_t         len;
    ngx_uint_t     i, different;
    ngx_mc_text_t  t[2];

    ngx_memzero(t, sizeof(t));

    different = 0;

    for (i = 0; i < 2; i++) {
        t[i].log = p->pool->log;

        if (ngx_mc_def_has_param(i ? to : from, prm)
            && ngx_mc_text_add_param(&t[i], prm,
                                     i ? &to->params : &from->params)
               != NGX_OK)
        {
            /* no memory: what cannot be compared is taken for different */
            different = 1;
        }
    }

    len = t[0].pos - t[0].start;

    if (len != (size_t) (t[1].pos - t[1].start)
        || (len && ngx_memcmp(t[0].start, t[1].start, len) != 0))
    {
        different = 1;
    }

    for (i = 0; i < 2; i++) {
        if (t[i].start) {
            ngx_free(t[i].start);
        }
    }

    return different;
}


static u_char *
ngx_mc_def_add_name(u_char *start, u_char *p, u_char *last, ngx_str_t *name)
{
    if (start == NULL) {
        return NULL;
    }

    return ngx_slprintf(p, last, "%s%V", (p == start) ? "" : ", ", name);
}


/*
 * Takes a word off, 0: there is none.  rest->data is NULL once the last one
 * was taken, so it is not where words are missing or spaces too many.
 */

static ngx_uint_t
ngx_mc_def_word(ngx_str_t *rest, ngx_str_t *word)
{
    u_char  *p, *last;

    if (rest->len == 0) {
        return 0;
    }

    last = rest->data + rest->len;

    p = ngx_strlchr(rest->data, last, ' ');

    if (p == rest->data) {
        return 0;
    }

    *word = *rest;

    if (p == NULL) {
        ngx_str_null(rest);

    } else {
        word->len = p - word->data;

        rest->data = p + 1;
        rest->len = last - rest->data;
    }

    return 1;
}


static ngx_int_t
ngx_mc_def_decode(ngx_mc_parse_t *p, ngx_str_t *s)
{
    u_char     *src, *dst, *last;
    ngx_int_t   ch;

    src = s->data;
    last = s->data + s->len;

    if (ngx_strlchr(src, last, '%') == NULL) {
        return NGX_OK;
    }

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
            return ngx_mc_def_bad(p, "a percent sign");
        }

        *dst++ = (u_char) ch;
        src += 3;
    }

    s->len = dst - s->data;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_bad(ngx_mc_parse_t *p, const char *what)
{
    return ngx_mc_def_error(p, "malformed definition: %s", what);
}
