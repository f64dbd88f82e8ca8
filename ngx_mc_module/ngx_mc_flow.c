
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_conf.h>
#include <ngx_mc_flow.h>


/* exceed=disconnect refuses reconnects for so long, ms */
#define NGX_MC_FLOW_BAN      10000


static ngx_int_t ngx_mc_flow_build(ngx_mc_flow_t *flow,
    ngx_mc_flow_entry_t *entry);
static ngx_mc_endpoint_type_t *ngx_mc_flow_type(ngx_uint_t protocol);
static ngx_uint_t ngx_mc_flow_limit(ngx_mc_endpoint_t *ep,
    ngx_mc_packet_t *pkts, ngx_uint_t *n);
static void ngx_mc_flow_aligned(void *data, ngx_mc_packet_t *pkt);
static void ngx_mc_flow_forward(ngx_mc_pipeline_t *pl,
    ngx_mc_packet_t *pkts, ngx_uint_t n, ngx_uint_t opaque,
    ngx_uint_t aligned);
static ngx_mc_event_log_t *ngx_mc_flow_event_log(ngx_str_t *name);


ngx_mc_flow_t *
ngx_mc_flow_start(ngx_mc_flow_entry_t *entry, uint32_t generation)
{
    ngx_uint_t      i;
    ngx_pool_t     *pool;
    ngx_mc_flow_t  *flow;

    pool = ngx_create_pool(2048, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    flow = ngx_pcalloc(pool, sizeof(ngx_mc_flow_t));
    if (flow == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    flow->pool = pool;
    flow->log = *ngx_cycle->log;
    flow->stat = entry->stat;
    flow->hash = entry->hash;

    if (ngx_mc_flow_build(flow, entry) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "flow \"%s\" could not be built", entry->stat->name);
        ngx_destroy_pool(pool);
        return NULL;
    }

    flow->stat->worker = ngx_worker;
    flow->stat->running = generation;
    flow->stat->exiting = ngx_exiting ? 1 : 0;
    flow->stat->started_at = flow->def.stopped ? 0 : ngx_mc_epoch_ms();
    ngx_memory_barrier();
    flow->stat->pid = ngx_pid;

    for (i = 0; i < flow->nendpoints; i++) {
        ngx_mc_endpoint_start(&flow->endpoints[i]);
    }

    if (!flow->def.stopped) {
        ngx_mc_endpoint_event(&flow->endpoints[0], NGX_MC_EVENT_STARTED, NULL,
                              "the flow is started");
    }

    return flow;
}


void
ngx_mc_flow_stop(ngx_mc_flow_t *flow)
{
    ngx_uint_t  i;

    if (!flow->def.stopped) {
        ngx_mc_endpoint_event(&flow->endpoints[0], NGX_MC_EVENT_STOPPED, NULL,
                              "the flow is stopped");
    }

    for (i = 0; i < flow->nendpoints; i++) {
        ngx_mc_endpoint_stop(&flow->endpoints[i]);
    }

    if (flow->stat->pid == (ngx_atomic_uint_t) ngx_pid) {
        flow->stat->started_at = 0;
        flow->stat->exiting = 0;
        flow->stat->pid = 0;
    }

    for (i = 0; i < NGX_MC_PIPELINES; i++) {

        if (flow->pipelines[i].ts) {
            ngx_free(flow->pipelines[i].ts);
        }

        if (flow->pipelines[i].align) {
            ngx_free(flow->pipelines[i].align);
        }
    }

    ngx_destroy_pool(flow->pool);
}


static ngx_int_t
ngx_mc_flow_build(ngx_mc_flow_t *flow, ngx_mc_flow_entry_t *entry)
{
    ngx_str_t               text;
    ngx_uint_t              i, n;
    ngx_mc_parse_t         *parse;
    ngx_mc_pipeline_t      *pl;
    ngx_mc_endpoint_t      *ep;
    ngx_mc_endpoint_def_t  *def;

    text.len = entry->text.len;
    text.data = ngx_pstrdup(flow->pool, &entry->text);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    parse = ngx_pcalloc(flow->pool, sizeof(ngx_mc_parse_t));
    if (parse == NULL) {
        return NGX_ERROR;
    }

    parse->pool = flow->pool;

    if (ngx_mc_def_read(parse, &flow->def, &text) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "definition cannot be read: %s", parse->err);
        return NGX_ERROR;
    }

    n = flow->def.sources.nelts + flow->def.outputs.nelts;

    if (n != entry->nendpoints || flow->def.sources.nelts == 0) {
        return NGX_ERROR;
    }

    flow->event_log = ngx_mc_flow_event_log(&flow->def.name);

    flow->nendpoints = n;
    flow->endpoints = ngx_pcalloc(flow->pool, n * sizeof(ngx_mc_endpoint_t));
    if (flow->endpoints == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        pl = &flow->pipelines[i];
        pl->flow = flow;
        pl->index = i;

        pl->outputs = ngx_palloc(flow->pool,
                                 (n + 1) * sizeof(ngx_mc_endpoint_t *));
        if (pl->outputs == NULL) {
            return NGX_ERROR;
        }
    }

    def = flow->def.sources.elts;

    for (i = 0; i < n; i++) {

        if (i == flow->def.sources.nelts) {
            def = flow->def.outputs.elts;
            def -= i;
        }

        ep = &flow->endpoints[i];
        pl = &flow->pipelines[def[i].pipeline];

        ep->flow = flow;
        ep->pipeline = pl;
        ep->def = &def[i];
        ep->ident = -1;
        ep->type = ngx_mc_flow_type(def[i].protocol);
        ep->stat = entry->endpoints[i];
        ep->pool = flow->pool;
        ep->log = &flow->log;

        if (ep->type == NULL) {
            return NGX_ERROR;
        }

        if (ep->def->direction == NGX_MC_INPUT) {
            pl->source = ep;
            continue;
        }

        if (ep->def->off) {
            continue;
        }

        pl->outputs[pl->noutputs++] = ep;

        if (def[i].protocol != NGX_MC_SRT
            && def[i].params.pace == NGX_MC_PACE_PCR)
        {
            pl->nholding++;
        }
    }

    return NGX_OK;
}


static ngx_mc_endpoint_type_t *
ngx_mc_flow_type(ngx_uint_t protocol)
{
    ngx_uint_t  i;

    for (i = 0; ngx_mc_types[i]; i++) {
        if (ngx_mc_types[i]->protocol == protocol) {
            return ngx_mc_types[i];
        }
    }

    return NULL;
}


void
ngx_mc_flow_connected(ngx_mc_endpoint_t *source)
{
    ngx_mc_pipeline_t  *pl;

    pl = source->pipeline;

    if (source->def->direction != NGX_MC_INPUT) {
        return;
    }

    if (pl->ts) {
        ngx_mc_ts_reset(pl->ts);
    }

    if (pl->align) {
        ngx_free(pl->align);
        pl->align = NULL;
    }
}


ngx_int_t
ngx_mc_flow_input(ngx_mc_endpoint_t *source, ngx_mc_packet_t *pkts,
    ngx_uint_t n)
{
    size_t                   dropped;
    uint64_t                 bytes;
    ngx_int_t                rc;
    ngx_uint_t               i, from;
    ngx_mc_pipeline_t       *pl;
    ngx_mc_endpoint_stat_t  *st;

    rc = NGX_OK;

    if (source->def->params.max_bandwidth > 0
        && ngx_mc_flow_limit(source, pkts, &n) == NGX_MC_EXCEED_DISCONNECT)
    {
        rc = NGX_DECLINED;
    }

    if (n == 0) {
        return rc;
    }

    pl = source->pipeline;
    st = source->stat;

    if (pl->ts == NULL) {
        pl->ts = ngx_alloc(sizeof(ngx_mc_ts_t), ngx_cycle->log);
        if (pl->ts == NULL) {
            st->dropped_packets += n;
            return rc;
        }

        ngx_mc_ts_init(pl->ts, &st->ts);
    }

    bytes = 0;

    for (i = 0; i < n; i++) {
        bytes += pkts[i].len;
    }

    st->packets += n;
    st->bytes += bytes;

    /*
     * Whole TS packets, as nearly always: one list serves every output.
     * SRT carries any bytes, and a sender that cuts a stream anywhere is
     * right by its protocol: SRT outputs get its messages as they came, the
     * others the TS packets found in them.
     */

    if (pl->align == NULL) {

        for (i = 0; i < n; i++) {
            if (!ngx_mc_ts_is_aligned(pkts[i].data, pkts[i].len)) {
                break;
            }

            ngx_mc_ts_inspect(pl->ts, &pkts[i]);
        }

        if (i == n) {
            ngx_mc_flow_forward(pl, pkts, n, 1, 1);
            return rc;
        }

        from = i;

        if (from) {
            ngx_mc_flow_forward(pl, pkts, from, 1, 1);
        }

        pl->align = ngx_calloc(sizeof(ngx_mc_ts_align_t), ngx_cycle->log);
        if (pl->align == NULL) {
            st->dropped_packets += n - from;
            return rc;
        }

        pkts += from;
        n -= from;
    }

    ngx_mc_flow_forward(pl, pkts, n, 1, 0);

    for (i = 0; i < n; i++) {
        dropped = ngx_mc_ts_align(pl->align, &pkts[i], ngx_mc_flow_aligned,
                                  pl);
        if (dropped) {
            ngx_mc_ts_dropped(pl->ts, dropped);
        }
    }

    return rc;
}


static void
ngx_mc_flow_aligned(void *data, ngx_mc_packet_t *pkt)
{
    ngx_mc_pipeline_t *pl = data;

    ngx_mc_ts_inspect(pl->ts, pkt);
    ngx_mc_flow_forward(pl, pkt, 1, 0, 1);
}


static void
ngx_mc_flow_forward(ngx_mc_pipeline_t *pl, ngx_mc_packet_t *pkts,
    ngx_uint_t n, ngx_uint_t opaque, ngx_uint_t aligned)
{
    ngx_uint_t          i, held;
    ngx_mc_endpoint_t  *ep;

    held = 0;

    if (pl->nholding && aligned) {

        /* those who keep packets share one copy */

        while (held < n && ngx_mc_packet_hold(&pkts[held]) == NGX_OK) {
            held++;
        }
    }

    for (i = 0; i < pl->noutputs; i++) {
        ep = pl->outputs[i];

        if (ep->connected && (ep->type->opaque ? opaque : aligned)) {
            ep->type->send(ep, pkts, n);
        }
    }

    for (i = 0; i < held; i++) {
        ngx_mc_packet_release(&pkts[i]);
    }
}


/*
 * A token bucket one second deep.  Under exceed=drop and =disconnect the
 * packets that find it empty are taken out of the array.
 */

static ngx_uint_t
ngx_mc_flow_limit(ngx_mc_endpoint_t *ep, ngx_mc_packet_t *pkts, ngx_uint_t *n)
{
    int64_t           rate, now;
    ngx_uint_t        i, kept, exceeded, policy;
    ngx_mc_params_t  *params;

    params = &ep->def->params;
    policy = params->exceed;

    rate = params->max_bandwidth / 8;
    now = ngx_mc_now();

    if (ep->bucket_time == 0) {
        ep->bucket = rate;

    } else {
        /* seconds and the rest apart: the product stays in 64 bits */
        ep->bucket += (now - ep->bucket_time) / 1000000 * rate
                      + (now - ep->bucket_time) % 1000000 * rate / 1000000;
        ep->bucket = ngx_min(ep->bucket, rate);
    }

    ep->bucket_time = now;

    kept = 0;
    exceeded = 0;

    for (i = 0; i < *n; i++) {

        if (ep->bucket >= (int64_t) pkts[i].len) {
            ep->bucket -= pkts[i].len;

        } else {
            exceeded++;

            if (policy != NGX_MC_EXCEED_ALARM) {
                continue;
            }
        }

        if (kept != i) {
            pkts[kept] = pkts[i];
        }

        kept++;
    }

    *n = kept;

    if (exceeded == 0) {
        return NGX_MC_EXCEED_DROP;
    }

    ep->stat->exceeded_packets += exceeded;

    ngx_mc_endpoint_event(ep, NGX_MC_EVENT_BANDWIDTH_EXCEEDED, NULL,
                          "over the limit of %L bit/s%s",
                          params->max_bandwidth,
                          policy == NGX_MC_EXCEED_DROP ? ", packets dropped"
                          : policy == NGX_MC_EXCEED_ALARM ? ""
                          : ", disconnected");

    if (policy == NGX_MC_EXCEED_DISCONNECT) {
        ep->banned = 1;
        ep->banned_until = ngx_current_msec + NGX_MC_FLOW_BAN;
        ep->bucket_time = 0;
    }

    return policy;
}


ngx_uint_t
ngx_mc_flow_is_live(ngx_mc_flow_t *flow)
{
    ngx_uint_t          i;
    ngx_mc_endpoint_t  *ep;

    for (i = 0; i < flow->nendpoints; i++) {
        ep = &flow->endpoints[i];

        /* RTP and UDP outputs are connected to nobody */

        if (ep->connected
            && (ep->def->direction == NGX_MC_INPUT
                || ep->def->mode != NGX_MC_MODE_SEND))
        {
            return 1;
        }
    }

    return 0;
}


void
ngx_mc_flow_second(ngx_mc_flow_t *flow)
{
    ngx_uint_t  i;

    for (i = 0; i < flow->nendpoints; i++) {
        ngx_mc_endpoint_second(&flow->endpoints[i]);
    }
}


static ngx_mc_event_log_t *
ngx_mc_flow_event_log(ngx_str_t *name)
{
    ngx_uint_t            i;
    ngx_mc_flow_def_t   **flows;
    ngx_mc_flow_conf_t   *fcf;
    ngx_mc_main_conf_t   *mcf;

    mcf = ngx_mc_main_conf(ngx_cycle);
    flows = mcf->flows.elts;

    for (i = 0; i < mcf->flows.nelts; i++) {

        if (flows[i]->name.len == name->len
            && ngx_strncmp(flows[i]->name.data, name->data, name->len) == 0)
        {
            fcf = (ngx_mc_flow_conf_t *) flows[i];

            if (fcf->common.event_log) {
                return fcf->common.event_log;
            }

            break;
        }
    }

    return mcf->common.event_log;
}
