
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_conf.h>
#include <ngx_mc_control.h>
#include <ngx_mc_flow.h>
#include <ngx_mc_handover.h>
#include <ngx_mc_remux.h>


/* exceed=disconnect refuses reconnects for so long, ms */
#define NGX_MC_FLOW_BAN      10000


/* what becomes of an endpoint of a new definition */

typedef struct {
    ngx_mc_endpoint_t      *endpoint;
    ngx_mc_endpoint_def_t  *def;             /* NULL: as it is */
    ngx_pool_t             *pool;            /* def's */
    ngx_uint_t              changed;         /* NGX_MC_CHANGED_* */
    unsigned                created:1;
} ngx_mc_flow_change_t;


static ngx_int_t ngx_mc_flow_plan(ngx_mc_flow_t *flow, ngx_mc_parse_t *parse,
    ngx_mc_endpoint_def_t *def, ngx_mc_endpoint_stat_t *stat,
    ngx_mc_flow_change_t *change);
static ngx_mc_endpoint_t *ngx_mc_flow_find(ngx_mc_flow_t *flow,
    ngx_mc_endpoint_def_t *def);
static ngx_mc_endpoint_def_t *ngx_mc_flow_copy(ngx_mc_flow_t *flow,
    ngx_str_t *line, ngx_pool_t **pool);
static void ngx_mc_flow_drop(ngx_mc_flow_t *flow, ngx_mc_endpoint_t **list,
    ngx_uint_t n, ngx_mc_flow_change_t *changes, ngx_uint_t nchanges,
    ngx_uint_t direction);
static void ngx_mc_flow_apply(ngx_mc_flow_t *flow);
static ngx_uint_t ngx_mc_flow_wants(ngx_mc_flow_t *flow,
    ngx_mc_endpoint_t *ep);
static void ngx_mc_flow_route(ngx_mc_flow_t *flow);
static void ngx_mc_flow_forget(ngx_mc_pipeline_t *pl);
static ngx_uint_t ngx_mc_flow_limit(ngx_mc_endpoint_t *ep,
    ngx_mc_packet_t *pkts, ngx_uint_t *n);
static void ngx_mc_flow_aligned(void *data, ngx_mc_packet_t *pkt);


ngx_mc_flow_t *
ngx_mc_flow_start(ngx_mc_flow_entry_t *entry, uint32_t generation)
{
    u_char         *p;
    ngx_uint_t      i;
    ngx_pool_t     *pool;
    ngx_mc_flow_t  *flow;

    pool = ngx_create_pool(1024, ngx_cycle->log);
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

    pool->log = &flow->log;

    flow->name.len = ngx_strlen(entry->stat->name);

    p = ngx_pnalloc(pool, flow->name.len);
    if (p == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_memcpy(p, entry->stat->name, flow->name.len);
    flow->name.data = p;

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        flow->pipelines[i].flow = flow;
        flow->pipelines[i].index = i;
    }

    /* who gives a flow away leaves when it was started, who dies a pid too */

    flow->choice = flow->stat->choice;
    flow->adopted = (flow->stat->pid == 0 && flow->stat->started_at);

    flow->stat->worker = ngx_worker;
    flow->stat->exiting = ngx_exiting ? 1 : 0;
    flow->stat->held = 0;
    ngx_memory_barrier();
    flow->stat->pid = ngx_pid;

    if (ngx_mc_flow_update(flow, entry, generation) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "flow \"%V\" could not be built", &flow->name);
        flow->stat->pid = 0;
        ngx_destroy_pool(pool);
        return NULL;
    }

    return flow;
}


void
ngx_mc_flow_stop(ngx_mc_flow_t *flow)
{
    ngx_uint_t  i;

    if (flow->running && !flow->moving) {
        ngx_mc_endpoint_event(flow->endpoints[0], NGX_MC_EVENT_STOPPED, NULL,
                              "the flow is stopped");
    }

    /* sources come first, and what they still hold goes to the outputs */

    for (i = 0; i < flow->nendpoints; i++) {
        ngx_mc_endpoint_stop(flow->endpoints[i]);
    }

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        ngx_mc_flow_forget(&flow->pipelines[i]);
    }

    if (flow->stat->pid == (ngx_atomic_uint_t) ngx_pid) {

        if (!flow->moving) {
            flow->stat->started_at = 0;
        }

        flow->stat->exiting = 0;
    }

    ngx_mc_handover_flush(flow);

    /* last: who finds the lock taken and nobody here thinks of another nginx */

    if (flow->stat->pid == (ngx_atomic_uint_t) ngx_pid) {
        flow->stat->pid = 0;
    }

    for (i = 0; i < flow->nendpoints; i++) {
        ngx_mc_endpoint_free(flow->endpoints[i]);
    }

    ngx_free(flow->endpoints);
    ngx_free(flow->routes);
    ngx_free(flow->text.data);

    ngx_destroy_pool(flow->pool);
}


ngx_int_t
ngx_mc_flow_update(ngx_mc_flow_t *flow, ngx_mc_flow_entry_t *entry,
    uint32_t generation)
{
    u_char                  *text;
    ngx_msec_t               batch;
    ngx_uint_t               i, n, nsources, nold;
    ngx_pool_t              *pool;
    ngx_mc_parse_t          *parse;
    ngx_mc_flow_def_t        def;
    ngx_mc_endpoint_t      **endpoints, **routes, **old;
    ngx_mc_flow_change_t    *changes, *c;
    ngx_mc_endpoint_def_t   *sources, *outputs;

    /* without a master process the old configuration may be gone */

    flow->log = *ngx_cycle->log;
    flow->event_log = ngx_mc_conf_event_log((ngx_cycle_t *) ngx_cycle,
                                            &flow->name);

    if (entry->text.len == flow->text.len
        && ngx_memcmp(entry->text.data, flow->text.data, entry->text.len) == 0)
    {
        flow->stat->running = generation;
        return NGX_OK;
    }

    changes = NULL;
    endpoints = NULL;
    routes = NULL;
    text = NULL;
    n = 0;

    pool = ngx_create_pool(4096, &flow->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    parse = ngx_pcalloc(pool, sizeof(ngx_mc_parse_t));
    if (parse == NULL) {
        goto failed;
    }

    parse->pool = pool;

    if (ngx_mc_def_read(parse, &def, &entry->text) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, &flow->log, 0,
                      "definition cannot be read: %s", parse->err);
        goto failed;
    }

    sources = def.sources.elts;
    outputs = def.outputs.elts;
    nsources = def.sources.nelts;

    if (nsources == 0 || nsources + def.outputs.nelts != entry->nendpoints) {
        goto failed;
    }

    n = entry->nendpoints;

    changes = ngx_pcalloc(pool, n * sizeof(ngx_mc_flow_change_t));
    endpoints = ngx_alloc(n * sizeof(ngx_mc_endpoint_t *), &flow->log);
    routes = ngx_alloc(2 * NGX_MC_PIPELINES * n * sizeof(ngx_mc_endpoint_t *),
                       &flow->log);
    text = ngx_alloc(entry->text.len, &flow->log);

    if (changes == NULL || endpoints == NULL || routes == NULL
        || text == NULL)
    {
        goto failed;
    }

    for (i = 0; i < n; i++) {
        if (ngx_mc_flow_plan(flow, parse,
                             (i < nsources) ? &sources[i]
                                            : &outputs[i - nsources],
                             entry->endpoints[i], &changes[i])
            != NGX_OK)
        {
            goto failed;
        }

        endpoints[i] = changes[i].endpoint;
    }

    /* nothing fails from here on */

    old = flow->endpoints;
    nold = flow->nendpoints;

    ngx_mc_flow_drop(flow, old, nold, changes, n, NGX_MC_INPUT);

    if (flow->routes) {
        ngx_free(flow->routes);
        ngx_free(flow->text.data);
    }

    ngx_memcpy(text, entry->text.data, entry->text.len);
    flow->text.data = text;
    flow->text.len = entry->text.len;

    flow->endpoints = endpoints;
    flow->nendpoints = n;
    flow->routes = routes;
    flow->stopped = def.stopped;

    batch = flow->batch;
    flow->batch = def.batch;

    ngx_mc_flow_route(flow);

    ngx_mc_flow_drop(flow, old, nold, changes, n, NGX_MC_OUTPUT);

    if (old) {
        ngx_free(old);
    }

    if (batch != def.batch) {
        for (i = 0; i < n; i++) {
            if (!changes[i].created) {
                changes[i].changed |= NGX_MC_CHANGED_BATCH;
            }
        }
    }

    for (i = 0; i < n; i++) {
        c = &changes[i];

        if (c->created) {
            ngx_mc_endpoint_claim(c->endpoint);

        } else if (c->changed) {
            ngx_mc_endpoint_update(c->endpoint, c->def, c->pool, c->changed);
        }
    }

    ngx_destroy_pool(pool);

    ngx_mc_flow_control(flow);

    flow->stat->running = generation;

    return NGX_OK;

failed:

    for (i = 0; changes && i < n; i++) {
        c = &changes[i];

        if (c->created) {
            ngx_mc_endpoint_free(c->endpoint);

        } else if (c->pool) {
            ngx_destroy_pool(c->pool);
        }
    }

    if (endpoints) {
        ngx_free(endpoints);
    }

    if (routes) {
        ngx_free(routes);
    }

    if (text) {
        ngx_free(text);
    }

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


/* one that is to be opened anew is another endpoint with the same record */

static ngx_int_t
ngx_mc_flow_plan(ngx_mc_flow_t *flow, ngx_mc_parse_t *parse,
    ngx_mc_endpoint_def_t *def, ngx_mc_endpoint_stat_t *stat,
    ngx_mc_flow_change_t *change)
{
    ngx_mc_endpoint_t  *ep;

    ep = ngx_mc_flow_find(flow, def);

    if (ep
        && ep->def->text.len == def->text.len
        && ngx_memcmp(ep->def->text.data, def->text.data, def->text.len) == 0)
    {
        change->endpoint = ep;
        return NGX_OK;
    }

    change->def = ngx_mc_flow_copy(flow, &def->text, &change->pool);

    if (change->def == NULL) {
        return NGX_ERROR;
    }

    if (ep) {
        change->changed = ngx_mc_def_changed(parse, ep->def, def, NULL, 0);

        if (!(change->changed & NGX_MC_CHANGED_REOPEN)) {
            change->endpoint = ep;
            return NGX_OK;
        }
    }

    change->endpoint = ngx_mc_endpoint_create(flow, change->def, change->pool,
                                              stat);
    if (change->endpoint == NULL) {
        return NGX_ERROR;
    }

    change->created = 1;

    return NGX_OK;
}


static ngx_mc_endpoint_t *
ngx_mc_flow_find(ngx_mc_flow_t *flow, ngx_mc_endpoint_def_t *def)
{
    ngx_uint_t  i;

    for (i = 0; i < flow->nendpoints; i++) {
        if (ngx_mc_def_is_same(flow->endpoints[i]->def, def)) {
            return flow->endpoints[i];
        }
    }

    return NULL;
}


/* a definition of its own, that goes when the endpoint gets another */

static ngx_mc_endpoint_def_t *
ngx_mc_flow_copy(ngx_mc_flow_t *flow, ngx_str_t *line, ngx_pool_t **pool)
{
    ngx_str_t               text;
    ngx_mc_parse_t         *parse;
    ngx_mc_endpoint_def_t  *def;

    *pool = ngx_create_pool(2048, &flow->log);
    if (*pool == NULL) {
        return NULL;
    }

    def = ngx_palloc(*pool, sizeof(ngx_mc_endpoint_def_t));
    parse = ngx_pcalloc(*pool, sizeof(ngx_mc_parse_t));

    text.len = line->len;
    text.data = ngx_pstrdup(*pool, line);

    if (def == NULL || parse == NULL || text.data == NULL) {
        return NULL;
    }

    parse->pool = *pool;

    if (ngx_mc_def_read_endpoint(parse, def, &text) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, &flow->log, 0,
                      "definition cannot be read: %s", parse->err);
        return NULL;
    }

    return def;
}


/* stops those that are gone, or that others take the place of; the list loses
   them */

static void
ngx_mc_flow_drop(ngx_mc_flow_t *flow, ngx_mc_endpoint_t **list, ngx_uint_t n,
    ngx_mc_flow_change_t *changes, ngx_uint_t nchanges, ngx_uint_t direction)
{
    ngx_uint_t          i, j;
    ngx_mc_endpoint_t  *ep;

    for (i = 0; i < n; i++) {
        ep = list[i];

        if (ep == NULL || ep->def->direction != direction) {
            continue;
        }

        for (j = 0; j < nchanges; j++) {
            if (changes[j].endpoint == ep) {
                break;
            }
        }

        if (j < nchanges) {
            continue;
        }

        ngx_mc_endpoint_stop(ep);

        if (direction == NGX_MC_INPUT) {
            ngx_mc_flow_forget(ep->pipeline);
        }

        ngx_mc_endpoint_free(ep);
        list[i] = NULL;
    }
}


void
ngx_mc_flow_control(ngx_mc_flow_t *flow)
{
    ngx_atomic_uint_t  control;

    control = ngx_mc_registry->control;
    ngx_memory_barrier();

    ngx_mc_flow_apply(flow);

    ngx_memory_barrier();
    flow->stat->controlled = control;
}


/* starts what is to run, and stops what is not */

static void
ngx_mc_flow_apply(ngx_mc_flow_t *flow)
{
    ngx_uint_t          i, running;
    ngx_mc_endpoint_t  *ep;

    running = ngx_mc_control_runs(flow->stat->control, flow->stopped);

    if (flow->adopted) {
        flow->adopted = 0;
        flow->running = 1;

    } else if (!flow->running) {
        flow->stat->started_at = 0;
    }

    if (flow->running && !running) {
        ngx_mc_endpoint_event(flow->endpoints[0], NGX_MC_EVENT_STOPPED, NULL,
                              "the flow is stopped");

        flow->stat->started_at = 0;

    } else if (running && !flow->running) {
        ngx_mc_endpoint_event(flow->endpoints[0], NGX_MC_EVENT_STARTED, NULL,
                              "the flow is started");

        flow->stat->started_at = ngx_mc_epoch_ms();
    }

    flow->running = running;

    for (i = 0; i < flow->nendpoints; i++) {
        ep = flow->endpoints[i];

        if (ep->started && !ngx_mc_flow_wants(flow, ep)) {
            ngx_mc_endpoint_stop(ep);
        }
    }

    for (i = 0; i < flow->nendpoints; i++) {
        ep = flow->endpoints[i];

        if (!ep->started && ngx_mc_flow_wants(flow, ep)) {
            ngx_mc_endpoint_start(ep);
        }
    }

    ngx_mc_flow_route(flow);
}


static ngx_uint_t
ngx_mc_flow_wants(ngx_mc_flow_t *flow, ngx_mc_endpoint_t *ep)
{
    return flow->running && ngx_mc_control_runs(ep->stat->control,
                                                ep->def->off);
}


/* which outputs each of the sources feeds */

static void
ngx_mc_flow_route(ngx_mc_flow_t *flow)
{
    ngx_uint_t          i, choice;
    ngx_mc_pipeline_t  *pl;
    ngx_mc_endpoint_t  *ep;

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        pl = &flow->pipelines[i];

        pl->source = NULL;
        pl->outputs = &flow->routes[2 * i * flow->nendpoints];
        pl->noutputs = 0;
        pl->frame_outputs = pl->outputs + flow->nendpoints;
        pl->nframe_outputs = 0;
        pl->nholding = 0;
    }

    choice = flow->stat->choice;

    if (choice != flow->choice) {
        flow->choice = choice;

        for (i = 0; i < NGX_MC_PIPELINES; i++) {
            flow->pipelines[i].switched = 1;
        }
    }

    for (i = 0; i < flow->nendpoints; i++) {
        ep = flow->endpoints[i];

        if (ep->def->direction == NGX_MC_INPUT) {
            ep->pipeline->source = ep;
            continue;
        }

        if (!ep->started) {
            ep->lane = NULL;
            continue;
        }

        pl = (choice == NGX_MC_CHOICE_PRIMARY)
             ? &flow->pipelines[NGX_MC_PRIMARY]
             : (choice == NGX_MC_CHOICE_BACKUP)
             ? &flow->pipelines[NGX_MC_BACKUP] : ep->pipeline;

        if (ep->type->frame) {
            pl->frame_outputs[pl->nframe_outputs++] = ep;
            continue;
        }

        pl->outputs[pl->noutputs++] = ep;

        if (ep->def->protocol != NGX_MC_SRT
            && ep->def->params.pace == NGX_MC_PACE_PCR)
        {
            pl->nholding++;
        }
    }

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        if (ngx_mc_remux_route(&flow->pipelines[i]) != NGX_OK) {
            ngx_log_error(NGX_LOG_CRIT, &flow->log, 0,
                          "no memory to remultiplex");
        }
    }
}


/* the stream of a source that is no more */

static void
ngx_mc_flow_forget(ngx_mc_pipeline_t *pl)
{
    if (pl->ts) {
        ngx_free(pl->ts);
        pl->ts = NULL;
    }

    if (pl->align) {
        ngx_free(pl->align);
        pl->align = NULL;
    }

    ngx_mc_remux_free(pl);
}


void
ngx_mc_flow_retry(ngx_mc_flow_t *flow)
{
    ngx_uint_t  i;

    for (i = 0; i < flow->nendpoints; i++) {
        ngx_mc_endpoint_retry(flow->endpoints[i]);
    }
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

    pl->gap = 0;

    ngx_mc_remux_reset(pl);
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


ngx_int_t
ngx_mc_flow_frame(ngx_mc_endpoint_t *source, ngx_mc_frame_t *frame)
{
    ngx_int_t                rc;
    ngx_uint_t               n;
    ngx_mc_packet_t          pkt;
    ngx_mc_pipeline_t       *pl;
    ngx_mc_endpoint_stat_t  *st;

    rc = NGX_OK;
    pl = source->pipeline;
    st = source->stat;

    if (source->def->params.max_bandwidth > 0) {

        ngx_memzero(&pkt, sizeof(ngx_mc_packet_t));
        pkt.len = frame->len;
        n = 1;

        if (ngx_mc_flow_limit(source, &pkt, &n) == NGX_MC_EXCEED_DISCONNECT) {
            rc = NGX_DECLINED;
        }

        if (n == 0) {
            pl->gap |= (frame->type == NGX_MC_FRAME_VIDEO);
            return rc;
        }
    }

    st->packets++;
    st->bytes += frame->len;

    if (pl->gap && frame->type == NGX_MC_FRAME_VIDEO && !frame->config) {

        /* pictures that refer to one that was dropped */

        if (!frame->key) {
            st->exceeded_packets++;
            return rc;
        }

        pl->gap = 0;
    }

    ngx_mc_remux_frame(pl, frame);

    return rc;
}


void
ngx_mc_flow_forward(ngx_mc_pipeline_t *pl, ngx_mc_packet_t *pkts,
    ngx_uint_t n, ngx_uint_t opaque, ngx_uint_t aligned)
{
    ngx_uint_t          i, held;
    ngx_mc_endpoint_t  *ep;

    held = 0;

    if (pl->switched && aligned) {
        pl->switched = 0;
        pkts[0].discontinuity = 1;
    }

    if (pl->nholding && aligned) {

        /* those who keep packets share one copy */

        while (held < n && ngx_mc_packet_hold(&pkts[held]) == NGX_OK) {
            held++;
        }
    }

    if (pl->nframe_outputs && aligned) {
        ngx_mc_remux_packets(pl, pkts, n);
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
        ep = flow->endpoints[i];

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
        ngx_mc_endpoint_second(flow->endpoints[i]);
    }

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        ngx_mc_remux_second(&flow->pipelines[i]);
    }
}
