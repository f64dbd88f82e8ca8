
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <nginx.h>
#include <ngx_mc_http.h>
#include <ngx_mc_http_status.h>


/* fits the definition of a usual flow and the records of its endpoints */
#define NGX_MC_STATUS_POOL   16384

/* receivers written in one step */
#define NGX_MC_STATUS_PEERS  16


typedef enum {
    NGX_MC_STATUS_BEGIN = 0,
    NGX_MC_STATUS_FLOW,
    NGX_MC_STATUS_ENDPOINT,
    NGX_MC_STATUS_PEER
} ngx_mc_status_stage_e;


typedef struct {
    ngx_mc_status_stage_e      stage;
    ngx_uint_t                 single;         /* not the whole list */

    u_char                    *region;
    u_char                     name[NGX_MC_NAME_LEN + 1];   /* last written */

    /* where the flow stands in the generation of that number */
    uint32_t                   generation;
    ngx_uint_t                 index;

    /* of the flow being written; the pool is reset with the next one */
    ngx_pool_t                *pool;
    ngx_mc_flow_def_t          def;
    ngx_uint_t                 control;
    ngx_uint_t                 choice;
    ngx_mc_status_endpoint_t  *endpoints;
    ngx_uint_t                 nendpoints;
    ngx_uint_t                 n;              /* the one being written */

    ngx_mc_peer_stat_t        *peers;
    ngx_uint_t                 npeers;
    ngx_uint_t                 peer;
} ngx_mc_status_t;


static ngx_mc_http_answer_t *ngx_mc_status_create(ngx_http_request_t *r);
static void ngx_mc_status_cleanup(void *data);
static ngx_int_t ngx_mc_status_step(ngx_mc_http_answer_t *a);
static void ngx_mc_status_begin(ngx_mc_json_t *json, ngx_mc_status_t *st);
static void ngx_mc_status_reload(ngx_mc_json_t *json);
static ngx_mc_flow_entry_t *ngx_mc_status_next(ngx_mc_status_t *st);
static ngx_int_t ngx_mc_status_read(ngx_mc_http_answer_t *a,
    ngx_mc_flow_entry_t *entry);
static void ngx_mc_status_flow(ngx_mc_json_t *json, ngx_mc_status_t *st,
    ngx_mc_flow_entry_t *entry);
static void ngx_mc_status_by(ngx_mc_json_t *json, ngx_uint_t by_operator);
static void ngx_mc_status_endpoint(ngx_mc_json_t *json, ngx_mc_status_t *st);
static void ngx_mc_status_allow(ngx_mc_json_t *json,
    ngx_mc_endpoint_def_t *def);
static void ngx_mc_status_cidr(ngx_mc_json_t *json, ngx_cidr_t *cidr);
static ngx_uint_t ngx_mc_status_bits(u_char *mask, size_t len);
static ngx_int_t ngx_mc_status_peers(ngx_mc_status_t *st, ngx_log_t *log);
static void ngx_mc_status_peer(ngx_mc_json_t *json, ngx_mc_peer_stat_t *peer,
    ngx_uint_t protocol);


static ngx_str_t  ngx_mc_status_states[] = {
    ngx_string("stopped"),
    ngx_string("waiting"),
    ngx_string("connecting"),
    ngx_string("connected")
};


ngx_int_t
ngx_mc_http_status(ngx_http_request_t *r)
{
    ngx_mc_http_answer_t  *a;

    a = ngx_mc_status_create(r);
    if (a == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_mc_http_answer_start(a);
}


ngx_int_t
ngx_mc_http_status_flow(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_mc_status_t       *st;
    ngx_mc_flow_entry_t   *entry;
    ngx_mc_generation_t   *gen;
    ngx_mc_http_answer_t  *a;

    a = ngx_mc_status_create(r);
    if (a == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    st = a->data;

    gen = ngx_mc_registry_current();
    entry = ngx_mc_registry_find(gen, name->data, name->len);

    /* read now: the next pass of the event loop may not have it any more */

    st->single = 1;
    st->stage = NGX_MC_STATUS_ENDPOINT;
    st->generation = gen->number;
    st->index = entry - gen->flows;

    ngx_mc_json_open(&a->json, '{');
    ngx_mc_json_key(&a->json, "name");
    ngx_mc_json_string(&a->json, name->data, name->len);

    if (ngx_mc_status_read(a, entry) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_mc_status_flow(&a->json, st, entry);

    return ngx_mc_http_answer_start(a);
}


static ngx_mc_http_answer_t *
ngx_mc_status_create(ngx_http_request_t *r)
{
    size_t                 len;
    ngx_mc_status_t       *st;
    ngx_pool_cleanup_t    *cln;
    ngx_mc_generation_t   *gen;
    ngx_mc_http_answer_t  *a;

    a = ngx_mc_http_answer_create(r);
    if (a == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_mc_status_t));
    if (cln == NULL) {
        return NULL;
    }

    st = cln->data;
    ngx_memzero(st, sizeof(ngx_mc_status_t));

    cln->handler = ngx_mc_status_cleanup;

    a->step = ngx_mc_status_step;
    a->data = st;

    st->pool = ngx_create_pool(NGX_MC_STATUS_POOL, r->connection->log);
    if (st->pool == NULL) {
        return NULL;
    }

    st->region = (u_char *) "";

    gen = ngx_mc_registry_current();

    if (gen && gen->region) {
        len = ngx_strlen(gen->region) + 1;

        st->region = ngx_pnalloc(r->pool, len);
        if (st->region == NULL) {
            return NULL;
        }

        ngx_memcpy(st->region, gen->region, len);
    }

    return a;
}


static void
ngx_mc_status_cleanup(void *data)
{
    ngx_mc_status_t *st = data;

    if (st->peers) {
        ngx_free(st->peers);
    }

    if (st->pool) {
        ngx_destroy_pool(st->pool);
    }
}


static ngx_int_t
ngx_mc_status_step(ngx_mc_http_answer_t *a)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_mc_json_t        *json;
    ngx_mc_status_t      *st;
    ngx_mc_flow_entry_t  *entry;

    st = a->data;
    json = &a->json;

    switch (st->stage) {

    case NGX_MC_STATUS_BEGIN:

        ngx_mc_status_begin(json, st);

        st->stage = NGX_MC_STATUS_FLOW;

        return NGX_AGAIN;

    case NGX_MC_STATUS_FLOW:

        entry = ngx_mc_status_next(st);

        if (entry == NULL) {
            ngx_mc_json_close(json, '}');
            ngx_mc_json_close(json, '}');
            return NGX_OK;
        }

        rc = ngx_mc_status_read(a, entry);

        if (rc != NGX_OK) {
            /* a definition that cannot be read costs its own flow only */
            return (rc == NGX_DECLINED) ? NGX_AGAIN : NGX_ERROR;
        }

        ngx_mc_json_name(json, st->name, ngx_strlen(st->name));
        ngx_mc_json_open(json, '{');
        ngx_mc_status_flow(json, st, entry);

        st->stage = NGX_MC_STATUS_ENDPOINT;

        return NGX_AGAIN;

    case NGX_MC_STATUS_ENDPOINT:

        if (st->n == st->def.sources.nelts) {
            ngx_mc_json_close(json, ']');
            ngx_mc_json_key(json, "outputs");
            ngx_mc_json_open(json, '[');
        }

        if (st->n < st->nendpoints) {
            ngx_mc_status_endpoint(json, st);

            if (ngx_mc_status_peers(st, a->request->connection->log)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            st->stage = NGX_MC_STATUS_PEER;

            return NGX_AGAIN;
        }

        ngx_mc_json_close(json, ']');
        ngx_mc_json_close(json, '}');

        if (st->single) {
            return NGX_OK;
        }

        st->stage = NGX_MC_STATUS_FLOW;

        return NGX_AGAIN;

    default: /* NGX_MC_STATUS_PEER */

        for (i = 0; i < NGX_MC_STATUS_PEERS && st->peer < st->npeers; i++) {
            ngx_mc_status_peer(json, &st->peers[st->peer++],
                               st->endpoints[st->n].def->protocol);
        }

        if (st->peer < st->npeers) {
            return NGX_AGAIN;
        }

        if (st->peers) {
            ngx_free(st->peers);
            st->peers = NULL;
        }

        if (st->n >= st->def.sources.nelts) {
            ngx_mc_json_close(json, ']');
        }

        ngx_mc_json_close(json, '}');

        st->n++;
        st->stage = NGX_MC_STATUS_ENDPOINT;

        return NGX_AGAIN;
    }
}


static void
ngx_mc_status_begin(ngx_mc_json_t *json, ngx_mc_status_t *st)
{
    ngx_mc_generation_t  *gen;

    gen = ngx_mc_registry_current();

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "version");
    ngx_mc_json_string(json, (u_char *) NGX_MC_VERSION,
                       sizeof(NGX_MC_VERSION) - 1);

    ngx_mc_json_key(json, "nginx_version");
    ngx_mc_json_string(json, (u_char *) NGINX_VERSION,
                       sizeof(NGINX_VERSION) - 1);

    ngx_mc_json_key(json, "time");
    ngx_mc_http_time(json, ngx_mc_epoch_ms());

    ngx_mc_json_key(json, "region");
    ngx_mc_http_text(json, st->region);

    ngx_mc_json_key(json, "generation");
    ngx_mc_status_known(json, gen != NULL, gen ? gen->number : 0);

    ngx_mc_json_key(json, "last_reload");
    ngx_mc_status_reload(json);

    ngx_mc_json_key(json, "flows");
    ngx_mc_json_open(json, '{');
}


static void
ngx_mc_status_reload(ngx_mc_json_t *json)
{
    ngx_uint_t             i;
    ngx_atomic_uint_t      sequence;
    ngx_mc_reload_stat_t  *rs, copy;

    ngx_memzero(&copy, sizeof(ngx_mc_reload_stat_t));

    /* a master that died in between may have left the number odd */

    for (i = 0; ngx_mc_registry && i < 1000; i++) {
        rs = &ngx_mc_registry->last_reload;

        sequence = rs->sequence;
        ngx_memory_barrier();

        copy = *rs;

        ngx_memory_barrier();

        if (sequence == rs->sequence && (sequence & 1) == 0) {
            break;
        }
    }

    copy.error[sizeof(copy.error) - 1] = '\0';

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "time");
    ngx_mc_http_time(json, copy.time);

    ngx_mc_json_key(json, "result");
    ngx_mc_http_text(json, (u_char *) (copy.time == 0 ? ""
                                       : copy.ok ? "ok" : "failed"));

    ngx_mc_json_key(json, "error");
    ngx_mc_http_text(json, copy.error);

    ngx_mc_json_close(json, '}');
}


/*
 * The flow after the last one, in the generation of now: it may be another
 * than that of the step before, so the name tells where we are.
 */

static ngx_mc_flow_entry_t *
ngx_mc_status_next(ngx_mc_status_t *st)
{
    u_char               *name;
    size_t                len;
    ngx_uint_t            low, high, i;
    ngx_mc_flow_entry_t  *entry;
    ngx_mc_generation_t  *gen;

    gen = ngx_mc_registry_current();

    if (gen == NULL) {
        return NULL;
    }

    if (st->name[0] == '\0') {
        st->index = 0;

    } else if (st->generation == gen->number) {
        st->index++;

    } else {
        len = ngx_strlen(st->name);
        low = 0;
        high = gen->nflows;

        while (low < high) {
            i = (low + high) / 2;
            name = gen->flows[i].stat->name;

            if (ngx_memn2cmp(name, st->name, ngx_strlen(name), len) <= 0) {
                low = i + 1;

            } else {
                high = i;
            }
        }

        st->index = low;
    }

    st->generation = gen->number;

    if (st->index >= gen->nflows) {
        return NULL;
    }

    entry = &gen->flows[st->index];

    ngx_memcpy(st->name, entry->stat->name, NGX_MC_NAME_LEN + 1);

    return entry;
}


/*
 * Takes copies of all that the flow's object needs, receivers excepted.
 * NGX_DECLINED: the definition cannot be read.
 */

static ngx_int_t
ngx_mc_status_read(ngx_mc_http_answer_t *a, ngx_mc_flow_entry_t *entry)
{
    ngx_str_t                  text;
    ngx_uint_t                 i, n, running, waits, held;
    ngx_mc_parse_t             parse;
    ngx_mc_status_t           *st;
    ngx_mc_endpoint_def_t     *def;
    ngx_mc_status_endpoint_t  *ep;

    st = a->data;

    ngx_reset_pool(st->pool);
    ngx_memzero(&st->def, sizeof(ngx_mc_flow_def_t));

    text.len = entry->text.len;
    text.data = ngx_pstrdup(st->pool, &entry->text);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&parse, sizeof(ngx_mc_parse_t));
    parse.pool = st->pool;

    if (ngx_mc_def_read(&parse, &st->def, &text) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, a->request->connection->log, 0,
                      "cannot read the definition of flow \"%s\": %s",
                      entry->stat->name, parse.err);
        return NGX_DECLINED;
    }

    n = st->def.sources.nelts + st->def.outputs.nelts;

    if (n != entry->nendpoints) {
        ngx_log_error(NGX_LOG_ALERT, a->request->connection->log, 0,
                      "flow \"%s\" has %ui endpoints, but %uD records",
                      entry->stat->name, n, entry->nendpoints);
        return NGX_DECLINED;
    }

    ep = ngx_palloc(st->pool, (n + 1) * sizeof(ngx_mc_status_endpoint_t));
    if (ep == NULL) {
        return NGX_ERROR;
    }

    st->endpoints = ep;
    st->nendpoints = n;
    st->n = 0;

    st->control = entry->stat->control;
    st->choice = entry->stat->choice;

    running = ngx_mc_control_runs(st->control, st->def.stopped);

    /* nobody's: it moves, or a binary upgrade is under way */

    waits = (running && entry->stat->pid == 0);

    held = ngx_mc_flow_stat_is_held(entry->stat);

    running = running && !waits;

    for (i = 0; i < n; i++, ep++) {

        if (i < st->def.sources.nelts) {
            def = st->def.sources.elts;
            ep->def = &def[i];

        } else {
            def = st->def.outputs.elts;
            ep->def = &def[i - st->def.sources.nelts];
        }

        ngx_mc_endpoint_stat_read(entry->endpoints[i], &ep->stat);

        ep->off = ep->def->off;
        ep->by_operator = 0;

        if (ep->def->direction == NGX_MC_OUTPUT) {
            ep->off = !ngx_mc_control_runs(ep->stat.control, ep->def->off);
            ep->by_operator = (ep->off != ep->def->off);
        }

        if (!running || ep->off) {
            /* what a dead owner may have left */
            ep->stat.state = NGX_MC_STATE_STOPPED;
        }

        if (waits && !ep->off) {

            /* nobody may write that into the record */

            ep->stat.state = NGX_MC_STATE_CONNECTING;
            ngx_cpystrn(ep->stat.last_error,
                        (u_char *) (held ? "held by another nginx"
                                         : "on its way to another worker"),
                        NGX_MC_ERROR_LEN);
        }

        if (ep->stat.state > NGX_MC_STATE_CONNECTED) {
            ep->stat.state = NGX_MC_STATE_STOPPED;
        }

        if (ep->stat.protocol != (uint32_t) ep->def->protocol) {

            /* a reload has changed it, and the owner has yet to see that */

            ngx_memzero(&ep->stat.u, sizeof(ep->stat.u));
            ep->stat.ntracks = 0;
        }

        if (ep->stat.state != NGX_MC_STATE_CONNECTED
            && (ep->def->direction == NGX_MC_INPUT
                || ep->stat.state != NGX_MC_STATE_WAITING))
        {
            ep->stat.ntracks = 0;
        }

        if (ep->stat.state == NGX_MC_STATE_STOPPED) {
            ep->stat.bitrate = 0;
            ep->stat.connected_at = 0;
            ep->stat.retry_at = 0;
            ep->stat.peer[0] = '\0';
            ep->stat.npeers = 0;
        }

        ep->verdict = ngx_mc_health_verdict(ep);
    }

    return NGX_OK;
}


/* all of a flow's object up to and with the bracket before its sources */

static void
ngx_mc_status_flow(ngx_mc_json_t *json, ngx_mc_status_t *st,
    ngx_mc_flow_entry_t *entry)
{
    int64_t              started_at;
    ngx_uint_t           i, running, active, worker, exiting;
    ngx_atomic_uint_t    pid;
    ngx_mc_health_e      health, pipelines[NGX_MC_PIPELINES];
    ngx_mc_flow_def_t   *def;
    ngx_mc_flow_stat_t  *stat;

    def = &st->def;
    stat = entry->stat;

    pid = stat->pid;
    worker = stat->worker;
    exiting = stat->exiting;

    running = ngx_mc_control_runs(st->control, def->stopped);
    started_at = (pid && running) ? stat->started_at : 0;
    active = (running && def->outputs.nelts != 0);

    ngx_mc_json_key(json, "title");
    ngx_mc_status_str(json, &def->title);

    ngx_mc_json_key(json, "description");
    ngx_mc_status_str(json, &def->description);

    ngx_mc_json_key(json, "status");

    if (!running) {
        ngx_mc_json_raw(json, "\"stopped\"", 9);

    } else if (active) {
        ngx_mc_json_raw(json, "\"running\"", 9);

    } else {
        ngx_mc_json_raw(json, "\"idle\"", 6);
    }

    ngx_mc_json_key(json, "state_by");
    ngx_mc_status_by(json, ngx_mc_control_differs(st->control, def->stopped));

    health = NGX_MC_HEALTH_NONE;

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        pipelines[i] = NGX_MC_HEALTH_NONE;
    }

    if (active) {
        health = ngx_mc_health_flow(st->endpoints, st->nendpoints, st->choice,
                                    pipelines);
    }

    ngx_mc_json_key(json, "health");
    ngx_mc_health_name(json, health);

    ngx_mc_json_key(json, "reasons");
    ngx_mc_json_open(json, '[');

    if (health != NGX_MC_HEALTH_NONE && health != NGX_MC_HEALTH_OK) {
        ngx_mc_health_reasons(json, st->endpoints, st->nendpoints, health,
                              pipelines);
    }

    ngx_mc_json_close(json, ']');

    ngx_mc_json_key(json, "pipelines");
    ngx_mc_json_open(json, '{');

    for (i = 0; i < NGX_MC_PIPELINES; i++) {
        ngx_mc_json_name(json, ngx_mc_pipeline_names[i].data,
                         ngx_mc_pipeline_names[i].len);
        ngx_mc_json_open(json, '{');
        ngx_mc_json_key(json, "health");
        ngx_mc_health_name(json, pipelines[i]);
        ngx_mc_json_close(json, '}');
    }

    ngx_mc_json_close(json, '}');

    ngx_mc_json_key(json, "max_bandwidth");
    ngx_mc_status_known(json, def->max_bandwidth > 0, def->max_bandwidth);

    ngx_mc_json_key(json, "failover");
    ngx_mc_json_raw(json, "\"off\"", 5);

    ngx_mc_json_key(json, "active_source");
    ngx_mc_status_str(json, &ngx_mc_pipeline_names[
                                st->choice == NGX_MC_CHOICE_BACKUP
                                ? NGX_MC_BACKUP : NGX_MC_PRIMARY]);

    ngx_mc_json_key(json, "worker");
    ngx_mc_status_known(json, pid != 0, worker);

    ngx_mc_json_key(json, "pid");
    ngx_mc_status_known(json, pid != 0, (int64_t) pid);

    ngx_mc_json_key(json, "exiting");

    if (pid) {
        ngx_mc_json_bool(json, exiting);

    } else {
        ngx_mc_json_null(json);
    }

    ngx_mc_json_key(json, "started_at");
    ngx_mc_http_time(json, started_at);

    ngx_mc_json_key(json, "sources");
    ngx_mc_json_open(json, '[');
}


/* who has said that it runs, or does not */

static void
ngx_mc_status_by(ngx_mc_json_t *json, ngx_uint_t by_operator)
{
    if (by_operator) {
        ngx_mc_json_raw(json, "\"operator\"", 10);

    } else {
        ngx_mc_json_raw(json, "\"config\"", 8);
    }
}


/* up to and with the bracket before the receivers */

static void
ngx_mc_status_endpoint(ngx_mc_json_t *json, ngx_mc_status_t *st)
{
    uint64_t                   rejected;
    ngx_uint_t                 i, connected;
    ngx_mc_endpoint_def_t     *def;
    ngx_mc_endpoint_stat_t    *stat;
    ngx_mc_status_endpoint_t  *ep;

    ep = &st->endpoints[st->n];
    def = ep->def;
    stat = &ep->stat;

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "name");
    ngx_mc_json_string(json, def->name.data, def->name.len);

    ngx_mc_json_key(json, "pipeline");
    ngx_mc_status_str(json, &ngx_mc_pipeline_names[def->pipeline]);

    ngx_mc_json_key(json, "protocol");
    ngx_mc_status_str(json, ngx_mc_protocol_name(def->protocol));

    ngx_mc_json_key(json, "mode");
    ngx_mc_status_str(json, ngx_mc_mode_name(def->mode));

    ngx_mc_json_key(json, "url");
    ngx_mc_json_string(json, def->url.data, def->url.len);

    ngx_mc_json_key(json, "description");
    ngx_mc_status_str(json, &def->params.description);

    ngx_mc_json_key(json, "allow");
    ngx_mc_status_allow(json, def);

    ngx_mc_json_key(json, "region");
    ngx_mc_http_text(json, st->region);

    ngx_mc_json_key(json, "state");
    ngx_mc_status_str(json, &ngx_mc_status_states[stat->state]);

    if (def->direction == NGX_MC_OUTPUT) {
        ngx_mc_json_key(json, "state_by");
        ngx_mc_status_by(json, ep->by_operator);
    }

    ngx_mc_json_key(json, "peer");
    ngx_mc_http_text(json, stat->peer);

    ngx_mc_json_key(json, "connected_at");
    ngx_mc_http_time(json, stat->connected_at);

    ngx_mc_json_key(json, "connections");
    ngx_mc_json_uint(json, stat->connections);

    ngx_mc_json_key(json, "disconnections");
    ngx_mc_json_uint(json, stat->disconnections);

    rejected = 0;

    for (i = 0; i < NGX_MC_REJECTED_N; i++) {
        rejected += stat->rejected[i];
    }

    ngx_mc_json_key(json, "rejected");
    ngx_mc_json_uint(json, rejected);

    ngx_mc_json_key(json, "last_error");
    ngx_mc_http_text(json, stat->last_error);

    ngx_mc_json_key(json, "retry_at");
    ngx_mc_http_time(json, stat->retry_at);

    ngx_mc_json_key(json, "bitrate");
    ngx_mc_json_uint(json, stat->bitrate);

    ngx_mc_json_key(json, "bytes");
    ngx_mc_json_uint(json, stat->bytes);

    ngx_mc_json_key(json, "packets");
    ngx_mc_json_uint(json, stat->packets);

    ngx_mc_json_key(json, "dropped_packets");
    ngx_mc_json_uint(json, stat->dropped_packets);

    if (def->direction == NGX_MC_INPUT) {
        ngx_mc_json_key(json, "exceeded_packets");
        ngx_mc_json_uint(json, stat->exceeded_packets);
    }

    connected = (stat->state == NGX_MC_STATE_CONNECTED);

    if (def->protocol == NGX_MC_SRT) {

        /* the gauges of a listening output are those of its receivers */

        if (def->direction == NGX_MC_OUTPUT
            && def->mode == NGX_MC_MODE_LISTENER)
        {
            connected = 0;
        }

        ngx_mc_json_key(json, "srt");
        ngx_mc_media_srt(json, &stat->u.srt, connected);

    } else if (def->protocol == NGX_MC_RTP) {
        ngx_mc_json_key(json, "rtp");
        ngx_mc_media_rtp(json, &stat->u.rtp,
                          connected && def->direction == NGX_MC_INPUT);

    } else if (def->protocol == NGX_MC_RTMP) {
        ngx_mc_json_key(json, "rtmp");
        ngx_mc_media_rtmp(json, &stat->u.rtmp, connected);
    }

    if (def->direction == NGX_MC_INPUT) {
        ngx_mc_json_key(json, "ts");

        if (def->protocol == NGX_MC_RTMP) {
            ngx_mc_json_null(json);

        } else {
            ngx_mc_media_ts(json, &stat->ts);
        }
    }

    ngx_mc_json_key(json, "tracks");
    ngx_mc_json_open(json, '[');
    ngx_mc_media_tracks(json, stat);
    ngx_mc_json_close(json, ']');

    if (def->direction == NGX_MC_OUTPUT) {
        ngx_mc_json_key(json, "peers");
        ngx_mc_json_open(json, '[');
    }
}


/* the definition has what is in force; where nobody can come in is none */

static void
ngx_mc_status_allow(ngx_mc_json_t *json, ngx_mc_endpoint_def_t *def)
{
    ngx_uint_t    i;
    ngx_cidr_t   *cidr;
    ngx_array_t  *allow;

    switch (def->mode) {

    case NGX_MC_MODE_LISTENER:
    case NGX_MC_MODE_RECEIVE:
    case NGX_MC_MODE_MULTICAST:
        break;

    default:
        ngx_mc_json_null(json);
        return;
    }

    allow = def->params.allow;

    ngx_mc_json_open(json, '[');

    if (allow) {
        cidr = allow->elts;

        for (i = 0; i < allow->nelts; i++) {
            ngx_mc_status_cidr(json, &cidr[i]);
        }
    }

    ngx_mc_json_close(json, ']');
}


static void
ngx_mc_status_cidr(ngx_mc_json_t *json, ngx_cidr_t *cidr)
{
    u_char      *p, text[NGX_SOCKADDR_STRLEN + sizeof("/128")];
    ngx_uint_t   bits;

    switch (cidr->family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        p = text + ngx_inet6_ntop(cidr->u.in6.addr.s6_addr, text,
                                  NGX_SOCKADDR_STRLEN);
        bits = ngx_mc_status_bits(cidr->u.in6.mask.s6_addr, 16);
        break;
#endif

    case AF_INET:
        p = text + ngx_inet_ntop(AF_INET, &cidr->u.in.addr, text,
                                 NGX_SOCKADDR_STRLEN);
        bits = ngx_mc_status_bits((u_char *) &cidr->u.in.mask, 4);
        break;

    default:
        return;
    }

    p = ngx_sprintf(p, "/%ui", bits);

    ngx_mc_json_string(json, text, p - text);
}


static ngx_uint_t
ngx_mc_status_bits(u_char *mask, size_t len)
{
    u_char      c;
    size_t      i;
    ngx_uint_t  bits;

    bits = 0;

    for (i = 0; i < len; i++) {
        for (c = mask[i]; c & 0x80; c <<= 1) {
            bits++;
        }
    }

    return bits;
}


/* copies of the receivers of the endpoint that is being written */

static ngx_int_t
ngx_mc_status_peers(ngx_mc_status_t *st, ngx_log_t *log)
{
    ngx_mc_flow_entry_t       *entry;
    ngx_mc_generation_t       *gen;
    ngx_mc_status_endpoint_t  *ep;

    st->npeers = 0;
    st->peer = 0;

    ep = &st->endpoints[st->n];

    if (ep->def->direction == NGX_MC_INPUT || ep->stat.npeers == 0) {
        return NGX_OK;
    }

    /* after a reload the record may be another's: then they are left out */

    gen = ngx_mc_registry_current();

    if (gen->number != st->generation) {
        return NGX_OK;
    }

    entry = &gen->flows[st->index];

    st->peers = ngx_alloc(ep->stat.npeers * sizeof(ngx_mc_peer_stat_t), log);
    if (st->peers == NULL) {
        return NGX_ERROR;
    }

    st->npeers = ngx_mc_registry_peers(entry->endpoints[st->n], st->peers,
                                       ep->stat.npeers);

    return NGX_OK;
}


static void
ngx_mc_status_peer(ngx_mc_json_t *json, ngx_mc_peer_stat_t *peer,
    ngx_uint_t protocol)
{
    peer->address[NGX_MC_ADDR_LEN - 1] = '\0';
    peer->streamid[NGX_MC_STREAMID_LEN - 1] = '\0';

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "id");
    ngx_mc_json_uint(json, peer->id);

    ngx_mc_json_key(json, "address");
    ngx_mc_http_text(json, peer->address);

    ngx_mc_json_key(json, "streamid");
    ngx_mc_http_text(json, peer->streamid);

    ngx_mc_json_key(json, "connected_at");
    ngx_mc_http_time(json, peer->connected_at);

    ngx_mc_json_key(json, "bitrate");
    ngx_mc_json_uint(json, peer->bitrate);

    ngx_mc_json_key(json, "bytes");
    ngx_mc_json_uint(json, peer->bytes);

    ngx_mc_json_key(json, "packets");
    ngx_mc_json_uint(json, peer->packets);

    ngx_mc_json_key(json, "dropped_packets");
    ngx_mc_json_uint(json, peer->dropped_packets);

    if (protocol == NGX_MC_SRT) {
        ngx_mc_json_key(json, "srt");
        ngx_mc_media_srt(json, &peer->srt, 1);
    }

    ngx_mc_json_close(json, '}');
}


void
ngx_mc_status_str(ngx_mc_json_t *json, ngx_str_t *s)
{
    if (s->len == 0) {
        ngx_mc_json_null(json);
        return;
    }

    ngx_mc_json_string(json, s->data, s->len);
}


void
ngx_mc_status_known(ngx_mc_json_t *json, ngx_uint_t known, int64_t n)
{
    if (!known || n < 0) {
        ngx_mc_json_null(json);
        return;
    }

    ngx_mc_json_uint(json, (uint64_t) n);
}


void
ngx_mc_status_gauge(ngx_mc_json_t *json, ngx_uint_t known, double x)
{
    if (!known) {
        ngx_mc_json_null(json);
        return;
    }

    ngx_mc_json_double(json, x);
}
