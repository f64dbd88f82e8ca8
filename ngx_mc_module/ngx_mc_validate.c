
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_param.h>
#include <ngx_mc_srt_streamid.h>


/*
 * What only all flows together show.  Endpoints that are off and flows that
 * are stopped count like the others: an operator may start them any time.
 *
 * Who may share a UDP port:
 *
 * - SRT listeners of one address, if each has a streamid of its own.  A
 *   source and an output may have the same: callers tell them apart with
 *   "m=publish" and "m=request", and a plain streamid reaches either, see
 *   ngx_mc_srt_streamid_match();
 * - SRT callers with the same "port" and "adapter";
 * - multicast sources: the kernel gives each socket what its own membership
 *   asks for, so even one group may feed several flows.  Only the two
 *   sources of one flow have to differ, else the backup is none.
 *
 * All of these but the last are served by one libsrt port, so their flows
 * are a group with one owner.
 *
 * RTMP listens at the ports of nginx-rtmp, where an application and a name are
 * one stream: with one publisher, that all players get.
 */

/* the order is that of sorting only */
#define NGX_MC_BIND_LISTENER    0
#define NGX_MC_BIND_CALLER      1
#define NGX_MC_BIND_RENDEZVOUS  2
#define NGX_MC_BIND_UNICAST     3
#define NGX_MC_BIND_MULTICAST   4


typedef struct {
    ngx_mc_endpoint_def_t  *def;
    ngx_mc_flow_def_t      *flow;
    ngx_uint_t              nflow;      /* index of its flow */
    ngx_uint_t              kind;       /* NGX_MC_BIND_* */
    ngx_uint_t              family;
    in_port_t               port;
    u_char                  addr[16];
    ngx_str_t               resource;   /* len 0: without a streamid */
} ngx_mc_bind_t;


/* an RTMP endpoint that listens */

typedef struct {
    ngx_mc_endpoint_def_t  *def;
    ngx_mc_flow_def_t      *flow;
} ngx_mc_stream_t;


typedef struct {
    ngx_conf_t             *cf;
    ngx_pool_t             *pool;
    ngx_mc_flow_def_t     **flows;
    ngx_uint_t              nflows;
    ngx_uint_t             *groups;     /* disjoint sets of flows */
    ngx_array_t             binds;      /* ngx_mc_bind_t */
    ngx_array_t             streams;    /* ngx_mc_stream_t */
    ngx_uint_t              mistakes;
} ngx_mc_validate_t;


static void ngx_mc_validate_log(ngx_mc_validate_t *v, ngx_uint_t level,
    ngx_str_t *file, ngx_uint_t line, const char *fmt, ...);
static u_char *ngx_mc_validate_name(u_char *buf, u_char *last,
    ngx_mc_flow_def_t *flow, ngx_mc_endpoint_def_t *def);

static ngx_int_t ngx_mc_validate_names(ngx_mc_validate_t *v);
static void ngx_mc_validate_flow(ngx_mc_validate_t *v,
    ngx_mc_flow_def_t *flow);
static void ngx_mc_validate_sources(ngx_mc_validate_t *v,
    ngx_mc_flow_def_t *flow, ngx_mc_endpoint_def_t **sources);
static ngx_int_t ngx_mc_validate_outputs(ngx_mc_validate_t *v,
    ngx_mc_flow_def_t *flow, ngx_mc_endpoint_def_t **sources);
static void ngx_mc_validate_output(ngx_mc_validate_t *v,
    ngx_mc_flow_def_t *flow, ngx_mc_endpoint_def_t *def,
    ngx_mc_endpoint_def_t *source);

static ngx_int_t ngx_mc_validate_collect(ngx_mc_validate_t *v,
    ngx_uint_t nflow, ngx_array_t *endpoints);
static void ngx_mc_validate_ports(ngx_mc_validate_t *v);
static void ngx_mc_validate_port(ngx_mc_validate_t *v, ngx_mc_bind_t *binds,
    ngx_uint_t n, ngx_mc_bind_t **firsts);
static ngx_mc_bind_t *ngx_mc_validate_sharers(ngx_mc_validate_t *v,
    ngx_mc_bind_t *binds, ngx_uint_t n);
static void ngx_mc_validate_listener(ngx_mc_validate_t *v,
    ngx_mc_bind_t *bind, ngx_mc_bind_t *prev, ngx_mc_bind_t *first,
    ngx_mc_bind_t *second);
static void ngx_mc_validate_multicast(ngx_mc_validate_t *v,
    ngx_mc_bind_t *bind, ngx_mc_bind_t *prev);
static void ngx_mc_validate_options(ngx_mc_validate_t *v,
    ngx_mc_bind_t *bind, ngx_mc_bind_t *first, ngx_uint_t flag);
static void ngx_mc_validate_taken(ngx_mc_validate_t *v, ngx_mc_bind_t *bind,
    ngx_mc_bind_t *other, char *remedy);
static ngx_uint_t ngx_mc_validate_overlap(ngx_mc_bind_t *a, ngx_mc_bind_t *b);
static void ngx_mc_validate_privileged(ngx_mc_validate_t *v);
static void ngx_mc_validate_streams(ngx_mc_validate_t *v);
static ngx_int_t ngx_mc_validate_unprivileged_start(void);

static ngx_uint_t ngx_mc_validate_group(ngx_mc_validate_t *v, ngx_uint_t n);
static void ngx_mc_validate_join(ngx_mc_validate_t *v, ngx_uint_t a,
    ngx_uint_t b);
static void ngx_mc_validate_groups(ngx_mc_validate_t *v);

static int ngx_libc_cdecl ngx_mc_validate_cmp_flows(const void *one,
    const void *two);
static int ngx_libc_cdecl ngx_mc_validate_cmp_outputs(const void *one,
    const void *two);
static int ngx_libc_cdecl ngx_mc_validate_cmp_binds(const void *one,
    const void *two);
static int ngx_libc_cdecl ngx_mc_validate_cmp_streams(const void *one,
    const void *two);
static ngx_int_t ngx_mc_validate_cmp_places(ngx_str_t *file1,
    ngx_uint_t line1, ngx_str_t *file2, ngx_uint_t line2);
static ngx_int_t ngx_mc_validate_cmp_str(ngx_str_t *a, ngx_str_t *b);

#define ngx_mc_validate_before(a, b)                                          \
    (ngx_mc_validate_cmp_places(&(a)->def->file, (a)->def->line,              \
                                &(b)->def->file, (b)->def->line)              \
     < 0)


char *
ngx_mc_def_check_flows(ngx_conf_t *cf, ngx_array_t *flows)
{
    ngx_uint_t         i;
    ngx_mc_validate_t  v;

    ngx_memzero(&v, sizeof(ngx_mc_validate_t));

    v.cf = cf;
    v.pool = cf->temp_pool ? cf->temp_pool : cf->pool;
    v.flows = flows->elts;
    v.nflows = flows->nelts;

    if (v.nflows == 0) {
        return NGX_CONF_OK;
    }

    v.groups = ngx_palloc(v.pool, v.nflows * sizeof(ngx_uint_t));
    if (v.groups == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_array_init(&v.binds, v.pool, v.nflows, sizeof(ngx_mc_bind_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_array_init(&v.streams, v.pool, 4, sizeof(ngx_mc_stream_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_mc_validate_names(&v) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < v.nflows; i++) {

        v.groups[i] = i;

        ngx_mc_validate_flow(&v, v.flows[i]);

        if (ngx_mc_validate_collect(&v, i, &v.flows[i]->sources) != NGX_OK
            || ngx_mc_validate_collect(&v, i, &v.flows[i]->outputs) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    ngx_mc_validate_ports(&v);
    ngx_mc_validate_privileged(&v);
    ngx_mc_validate_streams(&v);
    ngx_mc_validate_groups(&v);

    return v.mistakes ? NGX_CONF_ERROR : NGX_CONF_OK;
}


/* as ngx_conf_log_error(), at a place that has been left since */

static void
ngx_mc_validate_log(ngx_mc_validate_t *v, ngx_uint_t level, ngx_str_t *file,
    ngx_uint_t line, const char *fmt, ...)
{
    u_char   errstr[NGX_MAX_CONF_ERRSTR], *p;
    va_list  args;

    va_start(args, fmt);
    p = ngx_vslprintf(errstr, errstr + NGX_MAX_CONF_ERRSTR, fmt, args);
    va_end(args);

    if (level == NGX_LOG_EMERG) {
        v->mistakes++;
    }

    if (file->len == 0) {
        ngx_log_error(level, v->cf->log, 0, "%*s",
                      (size_t) (p - errstr), errstr);
        return;
    }

    ngx_log_error(level, v->cf->log, 0, "%*s in %V:%ui",
                  (size_t) (p - errstr), errstr, file, line);
}


/* room: two names and some words */

#define NGX_MC_VALIDATE_NAME_LEN  (2 * NGX_MC_NAME_LEN + 64)


static u_char *
ngx_mc_validate_name(u_char *buf, u_char *last, ngx_mc_flow_def_t *flow,
    ngx_mc_endpoint_def_t *def)
{
    if (def->direction == NGX_MC_INPUT) {
        return ngx_slprintf(buf, last, "%V source of flow \"%V\"",
                            &ngx_mc_pipeline_names[def->pipeline],
                            &flow->name);
    }

    return ngx_slprintf(buf, last, "%soutput \"%V\" of flow \"%V\"",
                        (def->pipeline == NGX_MC_BACKUP)
                        ? "backup destination of " : "",
                        &def->name, &flow->name);
}


static ngx_int_t
ngx_mc_validate_names(ngx_mc_validate_t *v)
{
    ngx_uint_t           i;
    ngx_mc_flow_def_t  **flows, *flow, *prev;

    flows = ngx_palloc(v->pool, v->nflows * sizeof(ngx_mc_flow_def_t *));
    if (flows == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(flows, v->flows, v->nflows * sizeof(ngx_mc_flow_def_t *));

    ngx_qsort(flows, v->nflows, sizeof(ngx_mc_flow_def_t *),
              ngx_mc_validate_cmp_flows);

    for (i = 1; i < v->nflows; i++) {
        flow = flows[i];
        prev = flows[i - 1];

        if (ngx_mc_validate_cmp_str(&flow->name, &prev->name) == 0) {
            ngx_mc_validate_log(v, NGX_LOG_EMERG, &flow->file, flow->line,
                                "duplicate flow \"%V\", the name is taken in "
                                "%V:%ui",
                                &flow->name, &prev->file, prev->line);
        }
    }

    return NGX_OK;
}


static void
ngx_mc_validate_flow(ngx_mc_validate_t *v, ngx_mc_flow_def_t *flow)
{
    ngx_mc_endpoint_def_t  *sources[NGX_MC_PIPELINES];

    ngx_mc_validate_sources(v, flow, sources);

    if (ngx_mc_validate_outputs(v, flow, sources) != NGX_OK) {
        v->mistakes++;
    }
}


static void
ngx_mc_validate_sources(ngx_mc_validate_t *v, ngx_mc_flow_def_t *flow,
    ngx_mc_endpoint_def_t **sources)
{
    ngx_uint_t              i;
    ngx_mc_endpoint_def_t  *def, *other;

    ngx_memzero(sources, NGX_MC_PIPELINES * sizeof(ngx_mc_endpoint_def_t *));

    def = flow->sources.elts;

    for (i = 0; i < flow->sources.nelts; i++) {

        other = sources[def[i].pipeline];

        if (other == NULL) {
            sources[def[i].pipeline] = &def[i];
            continue;
        }

        ngx_mc_validate_log(v, NGX_LOG_EMERG, &def[i].file, def[i].line,
                            "flow \"%V\" has a %V source in %V:%ui already%s",
                            &flow->name,
                            &ngx_mc_pipeline_names[def[i].pipeline],
                            &other->file, other->line,
                            sources[NGX_MC_BACKUP] ? ""
                            : "; a second source is marked \"backup\"");
    }

    if (flow->sources.nelts == 0) {
        ngx_mc_validate_log(v, NGX_LOG_EMERG, &flow->file, flow->line,
                            "flow \"%V\" has no source, add \"mc_source\"",
                            &flow->name);

    } else if (sources[NGX_MC_PRIMARY] == NULL) {
        ngx_mc_validate_log(v, NGX_LOG_EMERG, &sources[NGX_MC_BACKUP]->file,
                            sources[NGX_MC_BACKUP]->line,
                            "flow \"%V\" has no primary source, remove "
                            "\"backup\" or add another \"mc_source\"",
                            &flow->name);
    }
}


static ngx_int_t
ngx_mc_validate_outputs(ngx_mc_validate_t *v, ngx_mc_flow_def_t *flow,
    ngx_mc_endpoint_def_t **sources)
{
    ngx_uint_t               i, n;
    ngx_mc_endpoint_def_t   *def, *prev, *primary, **outputs;

    n = flow->outputs.nelts;

    if (n == 0) {
        ngx_mc_validate_log(v, NGX_LOG_WARN, &flow->file, flow->line,
                            "flow \"%V\" has no output, it stays idle",
                            &flow->name);
        return NGX_OK;
    }

    outputs = ngx_palloc(v->pool, n * sizeof(ngx_mc_endpoint_def_t *));
    if (outputs == NULL) {
        return NGX_ERROR;
    }

    def = flow->outputs.elts;

    for (i = 0; i < n; i++) {
        outputs[i] = &def[i];

        ngx_mc_validate_output(v, flow, &def[i], sources[def[i].pipeline]);
    }

    ngx_qsort(outputs, n, sizeof(ngx_mc_endpoint_def_t *),
              ngx_mc_validate_cmp_outputs);

    prev = NULL;
    primary = NULL;

    for (i = 0; i < n; i++) {
        def = outputs[i];

        if (prev && ngx_mc_validate_cmp_str(&prev->name, &def->name) != 0) {
            prev = NULL;
            primary = NULL;
        }

        if (prev && prev->pipeline == def->pipeline) {
            ngx_mc_validate_log(v, NGX_LOG_EMERG, &def->file, def->line,
                                "output \"%V\" of flow \"%V\" has a %V "
                                "destination in %V:%ui already%s",
                                &def->name, &flow->name,
                                &ngx_mc_pipeline_names[def->pipeline],
                                &prev->file, prev->line,
                                (def->pipeline == NGX_MC_PRIMARY)
                                ? "; another output needs another name" : "");
            continue;
        }

        prev = def;

        if (def->pipeline == NGX_MC_PRIMARY) {
            primary = def;
            continue;
        }

        if (primary == NULL) {
            ngx_mc_validate_log(v, NGX_LOG_EMERG, &def->file, def->line,
                                "output \"%V\" of flow \"%V\" has no primary "
                                "destination, add one without \"backup\"",
                                &def->name, &flow->name);
            continue;
        }

        if (primary->protocol != def->protocol) {
            ngx_mc_validate_log(v, NGX_LOG_EMERG, &def->file, def->line,
                                "the backup destination of output \"%V\" of "
                                "flow \"%V\" must be \"%V://\" like the "
                                "primary one in %V:%ui",
                                &def->name, &flow->name,
                                ngx_mc_protocol_name(primary->protocol),
                                &primary->file, primary->line);
        }
    }

    return NGX_OK;
}


static void
ngx_mc_validate_output(ngx_mc_validate_t *v, ngx_mc_flow_def_t *flow,
    ngx_mc_endpoint_def_t *def, ngx_mc_endpoint_def_t *source)
{
    if (def->pipeline == NGX_MC_BACKUP && source == NULL) {
        ngx_mc_validate_log(v, NGX_LOG_EMERG, &def->file, def->line,
                            "the backup destination of output \"%V\" has no "
                            "source: flow \"%V\" needs an \"mc_source\" with "
                            "\"backup\"",
                            &def->name, &flow->name);
    }

    if (def->protocol == NGX_MC_RTP
        && def->params.rtp == NGX_MC_RTP_KEEP
        && source && source->protocol != NGX_MC_RTP)
    {
        ngx_mc_validate_log(v, NGX_LOG_EMERG, &def->file, def->line,
                            "\"rtp=keep\" of output \"%V\" of flow \"%V\" has "
                            "nothing to keep, as the source is \"%V://\"; use "
                            "\"rtp=new\"",
                            &def->name, &flow->name,
                            ngx_mc_protocol_name(source->protocol));
    }

    if (def->mode == NGX_MC_MODE_LISTENER
        && (def->params.allow == NULL || def->params.allow->nelts == 0)
        && def->params.passphrase.len == 0)
    {
        ngx_mc_validate_log(v, NGX_LOG_WARN, &def->file, def->line,
                            "anyone may receive from output \"%V\" of flow "
                            "\"%V\", it has %s",
                            &def->name, &flow->name,
                            (def->protocol == NGX_MC_RTMP)
                            ? "no \"allow\""
                            : "neither \"allow\" nor \"passphrase\"");
    }
}


static ngx_int_t
ngx_mc_validate_collect(ngx_mc_validate_t *v, ngx_uint_t nflow,
    ngx_array_t *endpoints)
{
    u_char                  addr[16];
    ngx_str_t              *local;
    ngx_uint_t              i, kind, remote;
    ngx_mc_bind_t          *bind;
    ngx_mc_stream_t        *stream;
    ngx_mc_srt_streamid_t   sid;
    ngx_mc_endpoint_def_t  *def;

    def = endpoints->elts;

    for (i = 0; i < endpoints->nelts; i++, def++) {

        if (def->protocol == NGX_MC_RTMP) {

            if (def->mode == NGX_MC_MODE_LISTENER) {
                stream = ngx_array_push(&v->streams);
                if (stream == NULL) {
                    return NGX_ERROR;
                }

                stream->def = def;
                stream->flow = v->flows[nflow];
            }

            continue;
        }

        switch (def->mode) {

        case NGX_MC_MODE_LISTENER:
            kind = NGX_MC_BIND_LISTENER;
            break;

        case NGX_MC_MODE_CALLER:

            if (def->params.port == NGX_CONF_UNSET) {
                continue;
            }

            kind = NGX_MC_BIND_CALLER;
            break;

        case NGX_MC_MODE_RENDEZVOUS:
            kind = NGX_MC_BIND_RENDEZVOUS;
            break;

        case NGX_MC_MODE_RECEIVE:
            kind = NGX_MC_BIND_UNICAST;
            break;

        case NGX_MC_MODE_MULTICAST:
            kind = NGX_MC_BIND_MULTICAST;
            break;

        default: /* NGX_MC_MODE_SEND */
            continue;
        }

        bind = ngx_array_push(&v->binds);
        if (bind == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(bind, sizeof(ngx_mc_bind_t));

        bind->def = def;
        bind->flow = v->flows[nflow];
        bind->nflow = nflow;
        bind->kind = kind;
        bind->port = def->port;

        local = &def->host;

        if (kind == NGX_MC_BIND_CALLER || kind == NGX_MC_BIND_RENDEZVOUS) {

            if (def->params.port != NGX_CONF_UNSET) {
                bind->port = (in_port_t) def->params.port;
            }

            local = &def->params.adapter;
        }

        bind->family = ngx_mc_def_address(local, bind->addr);

        if (bind->family == 0) {

            /* any address, of the family of the remote one; that of a host
               name is not known yet, most often it is IPv4 */

            remote = ngx_mc_def_address(&def->host, addr);
            bind->family = remote ? remote : AF_INET;
        }

        if (kind == NGX_MC_BIND_LISTENER
            && def->params.streamid.len
            && ngx_mc_srt_streamid_parse(def->params.streamid.data,
                                         def->params.streamid.len, &sid)
               == NGX_OK)
        {
            bind->resource = sid.resource;
        }
    }

    return NGX_OK;
}


static void
ngx_mc_validate_ports(ngx_mc_validate_t *v)
{
    ngx_uint_t       i, n;
    ngx_mc_bind_t   *binds, **firsts;

    binds = v->binds.elts;
    n = v->binds.nelts;

    if (n == 0) {
        return;
    }

    firsts = ngx_palloc(v->pool, n * sizeof(ngx_mc_bind_t *));
    if (firsts == NULL) {
        v->mistakes++;
        return;
    }

    ngx_qsort(binds, n, sizeof(ngx_mc_bind_t), ngx_mc_validate_cmp_binds);

    while (n) {

        for (i = 1; i < n && binds[i].port == binds[0].port; i++) {
            /* void */
        }

        ngx_mc_validate_port(v, binds, i, firsts);

        binds += i;
        n -= i;
    }
}


static void
ngx_mc_validate_port(ngx_mc_validate_t *v, ngx_mc_bind_t *binds, ngx_uint_t n,
    ngx_mc_bind_t **firsts)
{
    char           *remedy;
    ngx_uint_t      i, j, nfirsts;
    ngx_mc_bind_t  *a, *b, *later;

    /* those who may share the port, one after another */

    nfirsts = 0;

    while (n) {

        for (i = 1; i < n; i++) {
            if (binds[i].kind != binds[0].kind
                || binds[i].family != binds[0].family
                || ngx_memcmp(binds[i].addr, binds[0].addr, 16) != 0)
            {
                break;
            }
        }

        firsts[nfirsts++] = ngx_mc_validate_sharers(v, binds, i);

        binds += i;
        n -= i;
    }

    /* and each of them against the others, which may not */

    for (i = 1; i < nfirsts; i++) {
        for (j = 0; j < i; j++) {

            a = firsts[j];
            b = firsts[i];

            if (!ngx_mc_validate_overlap(a, b)) {
                continue;
            }

            if (ngx_mc_validate_before(a, b)) {
                later = b;
                b = a;
                a = later;
            }

            if (a->kind == NGX_MC_BIND_CALLER && b->kind == a->kind) {
                remedy = "callers of one port need the same \"adapter\"";

            } else if (a->kind != NGX_MC_BIND_RENDEZVOUS
                       && a->kind == b->kind)
            {
                remedy = "\"any address\" and one address exclude each other";

            } else {
                remedy = "use another port";
            }

            ngx_mc_validate_taken(v, a, b, remedy);
        }
    }
}


/* checks n endpoints of one kind and address, returns what stands first in
   the configuration */

static ngx_mc_bind_t *
ngx_mc_validate_sharers(ngx_mc_validate_t *v, ngx_mc_bind_t *binds,
    ngx_uint_t n)
{
    ngx_uint_t      i;
    ngx_mc_bind_t  *first, *second, *prev;

    first = &binds[0];
    second = NULL;

    for (i = 1; i < n; i++) {

        if (ngx_mc_validate_before(&binds[i], first)) {
            second = first;
            first = &binds[i];

        } else if (second == NULL
                   || ngx_mc_validate_before(&binds[i], second))
        {
            second = &binds[i];
        }
    }

    for (i = 0; i < n; i++) {

        prev = i ? &binds[i - 1] : NULL;

        switch (binds[i].kind) {

        case NGX_MC_BIND_LISTENER:

            ngx_mc_validate_join(v, first->nflow, binds[i].nflow);

            if (second) {
                ngx_mc_validate_listener(v, &binds[i], prev, first, second);
            }

            break;

        case NGX_MC_BIND_CALLER:

            ngx_mc_validate_join(v, first->nflow, binds[i].nflow);
            ngx_mc_validate_options(v, &binds[i], first,
                                    NGX_MC_PARAM_CALLER_PORT);
            break;

        case NGX_MC_BIND_MULTICAST:

            if (prev && prev->flow == binds[i].flow) {
                ngx_mc_validate_multicast(v, &binds[i], prev);
            }

            break;

        default:

            if (&binds[i] != first) {
                ngx_mc_validate_taken(v, &binds[i], first,
                                      "use another port");
            }

            break;
        }
    }

    return first;
}


static void
ngx_mc_validate_listener(ngx_mc_validate_t *v, ngx_mc_bind_t *bind,
    ngx_mc_bind_t *prev, ngx_mc_bind_t *first, ngx_mc_bind_t *second)
{
    if (bind->resource.len == 0) {

        /* if both have none, it is told once, of the second */

        if (bind == first && second->resource.len == 0) {
            return;
        }

        ngx_mc_validate_taken(v, bind, (bind == first) ? second : first,
                              "to share it, give each a \"streamid\" of its "
                              "own");
        return;
    }

    if (prev
        && prev->def->direction == bind->def->direction
        && ngx_mc_validate_cmp_str(&prev->resource, &bind->resource) == 0)
    {
        ngx_mc_validate_taken(v, bind, prev,
                              "each needs a \"streamid\" of its own, these "
                              "are the same");
    }

    ngx_mc_validate_options(v, bind, first, NGX_MC_PARAM_PER_PORT);
}


static void
ngx_mc_validate_multicast(ngx_mc_validate_t *v, ngx_mc_bind_t *bind,
    ngx_mc_bind_t *prev)
{
    ngx_mc_params_t  *a, *b;

    a = &bind->def->params;
    b = &prev->def->params;

    if (ngx_mc_validate_cmp_str(&a->interface, &b->interface) == 0
        && ngx_mc_validate_cmp_str(&a->source, &b->source) == 0)
    {
        ngx_mc_validate_taken(v, bind, prev,
                              "a backup needs another group, port, "
                              "\"source\" or \"interface\"");
    }
}


static void
ngx_mc_validate_options(ngx_mc_validate_t *v, ngx_mc_bind_t *bind,
    ngx_mc_bind_t *first, ngx_uint_t flag)
{
    u_char           *p, name[NGX_MC_VALIDATE_NAME_LEN];
    u_char           *one, *two;
    ngx_uint_t        same;
    ngx_mc_param_t   *prm;

    for (prm = ngx_mc_params; prm->name.len; prm++) {

        if ((prm->where & flag) == 0) {
            continue;
        }

        one = (u_char *) &bind->def->params + prm->offset;
        two = (u_char *) &first->def->params + prm->offset;

        if (ngx_mc_param_is_int(prm->kind)) {
            same = (*(ngx_int_t *) one == *(ngx_int_t *) two);

        } else {

            /* NGX_MC_PARAM_STRING, there are no others */

            same = (ngx_mc_validate_cmp_str((ngx_str_t *) one,
                                            (ngx_str_t *) two)
                    == 0);
        }

        if (same) {
            continue;
        }

        p = ngx_mc_validate_name(name, name + sizeof(name), first->flow,
                                 first->def);

        ngx_mc_validate_log(v, NGX_LOG_EMERG, &bind->def->file,
                            bind->def->line,
                            "\"%V\" is a matter of the whole port %d: it must "
                            "be as in the %*s in %V:%ui",
                            &prm->name, (int) bind->port,
                            (size_t) (p - name), name,
                            &first->def->file, first->def->line);
    }
}


static void
ngx_mc_validate_taken(ngx_mc_validate_t *v, ngx_mc_bind_t *bind,
    ngx_mc_bind_t *other, char *remedy)
{
    u_char  *a, *b, one[NGX_MC_VALIDATE_NAME_LEN],
             two[NGX_MC_VALIDATE_NAME_LEN];

    a = ngx_mc_validate_name(one, one + sizeof(one), bind->flow, bind->def);
    b = ngx_mc_validate_name(two, two + sizeof(two), other->flow, other->def);

    ngx_mc_validate_log(v, NGX_LOG_EMERG, &bind->def->file, bind->def->line,
                        "UDP port %d of the %*s is taken by the %*s in "
                        "%V:%ui; %s",
                        (int) bind->port, (size_t) (a - one), one,
                        (size_t) (b - two), two,
                        &other->def->file, other->def->line, remedy);
}


static ngx_uint_t
ngx_mc_validate_overlap(ngx_mc_bind_t *a, ngx_mc_bind_t *b)
{
    static u_char  any[16];

    /* "[::]" takes no IPv4 */

    if (a->family != b->family) {
        return 0;
    }

    if (ngx_memcmp(a->addr, b->addr, 16) == 0) {
        return 1;
    }

    return ngx_memcmp(a->addr, any, 16) == 0
           || ngx_memcmp(b->addr, any, 16) == 0;
}


static void
ngx_mc_validate_privileged(ngx_mc_validate_t *v)
{
    ngx_int_t                         start;
    ngx_uint_t                        i;
    ngx_mc_bind_t                    *bind;
    ngx_core_conf_t                  *ccf;
#if (NGX_HAVE_CAPABILITIES)
    struct __user_cap_data_struct     data[2];
    struct __user_cap_header_struct   header;
#endif

    ccf = (ngx_core_conf_t *) ngx_get_conf(v->cf->cycle->conf_ctx,
                                           ngx_core_module);

    /* workers open the ports: as "user", which is not root by default */

    if (geteuid() == 0) {

        if (ccf->user == 0 || ccf->master == 0) {
            return;
        }

    } else {

#if (NGX_HAVE_CAPABILITIES)

        ngx_memzero(&header, sizeof(struct __user_cap_header_struct));
        ngx_memzero(data, sizeof(data));

        header.version = _LINUX_CAPABILITY_VERSION_3;

        if (syscall(SYS_capget, &header, data) == 0
            && (data[0].effective & (1u << CAP_NET_BIND_SERVICE)))
        {
            return;
        }

#endif
    }

    start = ngx_mc_validate_unprivileged_start();

    bind = v->binds.elts;

    for (i = 0; i < v->binds.nelts; i++) {

        if (bind[i].port >= start) {
            continue;
        }

        ngx_mc_validate_log(v, NGX_LOG_EMERG, &bind[i].def->file,
                            bind[i].def->line,
                            "workers run without the right to bind UDP port "
                            "%d, use a port from %i up, or lower the sysctl "
                            "net.ipv4.ip_unprivileged_port_start",
                            (int) bind[i].port, start);
    }
}


static ngx_int_t
ngx_mc_validate_unprivileged_start(void)
{
    u_char      buf[16], *end;
    ssize_t     n;
    ngx_fd_t    fd;
    ngx_int_t   start;

    fd = ngx_open_file("/proc/sys/net/ipv4/ip_unprivileged_port_start",
                       NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return 1024;
    }

    n = ngx_read_fd(fd, buf, sizeof(buf));

    (void) ngx_close_file(fd);

    if (n <= 0) {
        return 1024;
    }

    end = ngx_strlchr(buf, buf + n, '\n');

    start = ngx_atoi(buf, (end ? end : buf + n) - buf);

    return (start == NGX_ERROR) ? 1024 : start;
}


static void
ngx_mc_validate_streams(ngx_mc_validate_t *v)
{
    u_char           *a, *b, one[NGX_MC_VALIDATE_NAME_LEN],
                      two[NGX_MC_VALIDATE_NAME_LEN];
    ngx_uint_t        i;
    ngx_mc_stream_t  *stream, *first;

    stream = v->streams.elts;

    ngx_qsort(stream, v->streams.nelts, sizeof(ngx_mc_stream_t),
              ngx_mc_validate_cmp_streams);

    first = stream;

    for (i = 1; i < v->streams.nelts; i++) {

        if (ngx_mc_validate_cmp_str(&stream[i].def->app, &first->def->app)
            || ngx_mc_validate_cmp_str(&stream[i].def->stream,
                                       &first->def->stream))
        {
            first = &stream[i];
            continue;
        }

        a = ngx_mc_validate_name(one, one + sizeof(one), stream[i].flow,
                                 stream[i].def);
        b = ngx_mc_validate_name(two, two + sizeof(two), first->flow,
                                 first->def);

        ngx_mc_validate_log(v, NGX_LOG_EMERG, &stream[i].def->file,
                            stream[i].def->line,
                            "the RTMP stream of the %*s, in application "
                            "\"%V\", is taken by the %*s in %V:%ui; use "
                            "another name",
                            (size_t) (a - one), one, &stream[i].def->app,
                            (size_t) (b - two), two,
                            &first->def->file, first->def->line);
    }
}


static ngx_uint_t
ngx_mc_validate_group(ngx_mc_validate_t *v, ngx_uint_t n)
{
    while (v->groups[n] != n) {
        v->groups[n] = v->groups[v->groups[n]];
        n = v->groups[n];
    }

    return n;
}


static void
ngx_mc_validate_join(ngx_mc_validate_t *v, ngx_uint_t a, ngx_uint_t b)
{
    a = ngx_mc_validate_group(v, a);
    b = ngx_mc_validate_group(v, b);

    /* the root is the flow with the least name */

    if (ngx_mc_validate_cmp_str(&v->flows[a]->name, &v->flows[b]->name) <= 0) {
        v->groups[b] = a;

    } else {
        v->groups[a] = b;
    }
}


static void
ngx_mc_validate_groups(ngx_mc_validate_t *v)
{
    ngx_uint_t  i;

    for (i = 0; i < v->nflows; i++) {
        v->flows[i]->group = v->flows[ngx_mc_validate_group(v, i)]->name;
    }
}


static ngx_int_t
ngx_mc_validate_cmp_str(ngx_str_t *a, ngx_str_t *b)
{
    return ngx_memn2cmp(a->data, b->data, a->len, b->len);
}


/* files that are included come in the order of their names, mostly */

static ngx_int_t
ngx_mc_validate_cmp_places(ngx_str_t *file1, ngx_uint_t line1,
    ngx_str_t *file2, ngx_uint_t line2)
{
    ngx_int_t  rc;

    rc = ngx_mc_validate_cmp_str(file1, file2);

    return rc ? rc : (ngx_int_t) line1 - (ngx_int_t) line2;
}


static int ngx_libc_cdecl
ngx_mc_validate_cmp_flows(const void *one, const void *two)
{
    ngx_int_t           rc;
    ngx_mc_flow_def_t  *a, *b;

    a = *(ngx_mc_flow_def_t **) one;
    b = *(ngx_mc_flow_def_t **) two;

    rc = ngx_mc_validate_cmp_str(&a->name, &b->name);

    if (rc == 0) {
        rc = ngx_mc_validate_cmp_places(&a->file, a->line, &b->file, b->line);
    }

    return (rc < 0) ? -1 : (rc > 0);
}


/* by name, primary ones first, and as they were written */

static int ngx_libc_cdecl
ngx_mc_validate_cmp_outputs(const void *one, const void *two)
{
    ngx_int_t               rc;
    ngx_mc_endpoint_def_t  *a, *b;

    a = *(ngx_mc_endpoint_def_t **) one;
    b = *(ngx_mc_endpoint_def_t **) two;

    rc = ngx_mc_validate_cmp_str(&a->name, &b->name);

    if (rc == 0) {
        rc = (ngx_int_t) a->pipeline - (ngx_int_t) b->pipeline;
    }

    if (rc == 0) {
        rc = (a < b) ? -1 : (a > b);
    }

    return (rc < 0) ? -1 : (rc > 0);
}


/*
 * Those that may share a port come together: by address and kind, then
 * listeners of one direction and streamid, and the sources of one flow.
 */

static int ngx_libc_cdecl
ngx_mc_validate_cmp_binds(const void *one, const void *two)
{
    ngx_int_t       rc;
    ngx_mc_bind_t  *a, *b;

    a = (ngx_mc_bind_t *) one;
    b = (ngx_mc_bind_t *) two;

    rc = (ngx_int_t) a->port - (ngx_int_t) b->port;

    if (rc == 0) {
        rc = (ngx_int_t) a->family - (ngx_int_t) b->family;
    }

    if (rc == 0) {
        rc = ngx_memcmp(a->addr, b->addr, 16);
    }

    if (rc == 0) {
        rc = (ngx_int_t) a->kind - (ngx_int_t) b->kind;
    }

    if (rc == 0) {
        rc = (ngx_int_t) a->def->direction - (ngx_int_t) b->def->direction;
    }

    if (rc == 0) {
        rc = ngx_mc_validate_cmp_str(&a->resource, &b->resource);
    }

    if (rc == 0 && a->kind == NGX_MC_BIND_MULTICAST) {
        rc = (ngx_int_t) a->nflow - (ngx_int_t) b->nflow;
    }

    if (rc == 0) {
        rc = ngx_mc_validate_cmp_places(&a->def->file, a->def->line,
                                        &b->def->file, b->def->line);
    }

    return (rc < 0) ? -1 : (rc > 0);
}


static int ngx_libc_cdecl
ngx_mc_validate_cmp_streams(const void *one, const void *two)
{
    ngx_int_t         rc;
    ngx_mc_stream_t  *a, *b;

    a = (ngx_mc_stream_t *) one;
    b = (ngx_mc_stream_t *) two;

    rc = ngx_mc_validate_cmp_str(&a->def->app, &b->def->app);

    if (rc == 0) {
        rc = ngx_mc_validate_cmp_str(&a->def->stream, &b->def->stream);
    }

    if (rc == 0) {
        rc = ngx_mc_validate_cmp_places(&a->def->file, a->def->line,
                                        &b->def->file, b->def->line);
    }

    return (rc < 0) ? -1 : (rc > 0);
}
