
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_http_status.h>


/* ms that a source may take to deliver once it is connected */
#define NGX_MC_HEALTH_SILENT  3000

#define NGX_MC_REASON_LEN     512


ngx_mc_verdict_e
ngx_mc_health_verdict(ngx_mc_status_endpoint_t *ep)
{
    ngx_mc_endpoint_def_t  *def;

    def = ep->def;

    if (ep->off) {
        return NGX_MC_VERDICT_FINE;
    }

    switch (ep->stat.state) {

    case NGX_MC_STATE_STOPPED:
        return NGX_MC_VERDICT_STOPPED;

    case NGX_MC_STATE_CONNECTING:
        return NGX_MC_VERDICT_CONNECTING;

    case NGX_MC_STATE_WAITING:

        if (def->direction == NGX_MC_INPUT) {
            return (def->pipeline == NGX_MC_BACKUP
                    && ep->stat.connections == 0)
                   ? NGX_MC_VERDICT_UNSEEN : NGX_MC_VERDICT_WAITING;
        }

        break;

    case NGX_MC_STATE_CONNECTED:

        /* bitrate is of the last full second */

        if (def->direction == NGX_MC_INPUT
            && ep->stat.bitrate == 0
            && ngx_mc_epoch_ms() - ep->stat.connected_at
               > NGX_MC_HEALTH_SILENT)
        {
            return NGX_MC_VERDICT_SILENT;
        }

        break;
    }

    if (def->direction == NGX_MC_OUTPUT
        && ngx_strncmp(ep->stat.last_error, NGX_MC_UNPLAYABLE,
                       sizeof(NGX_MC_UNPLAYABLE) - 1) == 0)
    {
        return NGX_MC_VERDICT_UNPLAYABLE;
    }

    if (def->direction == NGX_MC_OUTPUT
        && ngx_strncmp(ep->stat.last_error, NGX_MC_INCOMPLETE,
                       sizeof(NGX_MC_INCOMPLETE) - 1) == 0)
    {
        return NGX_MC_VERDICT_INCOMPLETE;
    }

    if (def->direction == NGX_MC_OUTPUT && def->params.min_peers > 0
        && (ngx_int_t) ep->stat.npeers < def->params.min_peers)
    {
        return NGX_MC_VERDICT_FEW_PEERS;
    }

    return NGX_MC_VERDICT_FINE;
}


/*
 * Without failover each pipeline is on its own, unless an operator has chosen
 * one source for both.  The flow is down when each of them is that has
 * outputs; a backup source that was never there counts for its own pipeline
 * only, as long as there is another.
 */

ngx_mc_health_e
ngx_mc_health_flow(ngx_mc_status_endpoint_t *endpoints, ngx_uint_t n,
    ngx_uint_t choice, ngx_mc_health_e *pipelines)
{
    ngx_uint_t                 i, p, bad;
    ngx_uint_t                 outputs[NGX_MC_PIPELINES];
    ngx_uint_t                 trouble[NGX_MC_PIPELINES];
    ngx_mc_health_e            worst, best;
    ngx_mc_status_endpoint_t  *ep, *source[NGX_MC_PIPELINES];

    for (p = 0; p < NGX_MC_PIPELINES; p++) {
        source[p] = NULL;
        outputs[p] = 0;
        trouble[p] = 0;
    }

    bad = 0;

    for (i = 0; i < n; i++) {
        ep = &endpoints[i];
        p = ep->def->pipeline;

        if (ep->off) {
            continue;
        }

        if (ep->verdict > NGX_MC_VERDICT_UNSEEN) {
            bad++;
            trouble[p]++;
        }

        if (ep->def->direction == NGX_MC_INPUT) {
            source[p] = ep;

        } else {
            outputs[p]++;
        }
    }

    if (choice != NGX_MC_CHOICE_AUTO) {
        p = (choice == NGX_MC_CHOICE_BACKUP) ? NGX_MC_BACKUP
                                                 : NGX_MC_PRIMARY;

        source[NGX_MC_PRIMARY] = source[p];
        source[NGX_MC_BACKUP] = source[p];
    }

    worst = NGX_MC_HEALTH_OK;
    best = NGX_MC_HEALTH_NONE;

    for (p = 0; p < NGX_MC_PIPELINES; p++) {

        if (source[p] == NULL || outputs[p] == 0) {
            pipelines[p] = NGX_MC_HEALTH_NONE;
            continue;
        }

        if (source[p]->stat.state != NGX_MC_STATE_CONNECTED
            || source[p]->verdict == NGX_MC_VERDICT_SILENT)
        {
            pipelines[p] = NGX_MC_HEALTH_DOWN;

        } else if (trouble[p]) {
            pipelines[p] = NGX_MC_HEALTH_DEGRADED;

        } else {
            pipelines[p] = NGX_MC_HEALTH_OK;
        }

        if (source[p]->verdict == NGX_MC_VERDICT_UNSEEN
            && best != NGX_MC_HEALTH_NONE)
        {
            continue;
        }

        worst = ngx_min(worst, pipelines[p]);
        best = ngx_max(best, pipelines[p]);
    }

    if (best == NGX_MC_HEALTH_NONE || best == NGX_MC_HEALTH_DOWN) {
        return best;
    }

    return (worst == NGX_MC_HEALTH_OK && bad == 0) ? NGX_MC_HEALTH_OK
                                                   : NGX_MC_HEALTH_DEGRADED;
}


void
ngx_mc_health_name(ngx_mc_json_t *json, ngx_mc_health_e health)
{
    switch (health) {

    case NGX_MC_HEALTH_OK:
        ngx_mc_json_raw(json, "\"ok\"", 4);
        break;

    case NGX_MC_HEALTH_DEGRADED:
        ngx_mc_json_raw(json, "\"degraded\"", 10);
        break;

    case NGX_MC_HEALTH_DOWN:
        ngx_mc_json_raw(json, "\"down\"", 6);
        break;

    default: /* NGX_MC_HEALTH_NONE */
        ngx_mc_json_null(json);
        break;
    }
}


void
ngx_mc_health_reasons(ngx_mc_json_t *json,
    ngx_mc_status_endpoint_t *endpoints, ngx_uint_t n, ngx_mc_health_e health,
    ngx_mc_health_e *pipelines)
{
    u_char                    *p, *last, text[NGX_MC_REASON_LEN];
    ngx_uint_t                 i;
    ngx_mc_status_endpoint_t  *ep;

    for (i = 0; i < n; i++) {
        ep = &endpoints[i];

        if (ep->verdict == NGX_MC_VERDICT_FINE) {
            continue;
        }

        if (ep->verdict == NGX_MC_VERDICT_UNSEEN
            && (health != NGX_MC_HEALTH_DOWN
                || pipelines[ep->def->pipeline] != NGX_MC_HEALTH_DOWN))
        {
            continue;
        }

        last = text + NGX_MC_REASON_LEN;

        p = ngx_slprintf(text, last, "%s \"%V\" (%V) ",
                         ep->def->direction == NGX_MC_INPUT ? "source"
                                                            : "output",
                         &ep->def->name,
                         &ngx_mc_pipeline_names[ep->def->pipeline]);

        switch (ep->verdict) {

        case NGX_MC_VERDICT_STOPPED:
            p = ngx_slprintf(p, last, "is not running");
            break;

        case NGX_MC_VERDICT_CONNECTING:
            p = ngx_slprintf(p, last, "is connecting");
            break;

        case NGX_MC_VERDICT_SILENT:
            p = ngx_slprintf(p, last, "is connected, but no data arrives");
            break;

        case NGX_MC_VERDICT_UNPLAYABLE:
            p = ngx_slprintf(p, last, "sends nothing");
            break;

        case NGX_MC_VERDICT_INCOMPLETE:
            p = ngx_slprintf(p, last, "sends a part only");
            break;

        case NGX_MC_VERDICT_FEW_PEERS:
            p = ngx_slprintf(p, last, "has %uD of at least %i receivers",
                             ep->stat.npeers, ep->def->params.min_peers);
            break;

        default: /* NGX_MC_VERDICT_WAITING, _UNSEEN */
            p = ngx_slprintf(p, last, "is waiting");
            break;
        }

        if (ep->stat.last_error[0]) {
            p = ngx_slprintf(p, last, ": %s", ep->stat.last_error);
        }

        ngx_mc_json_string(json, text, p - text);
    }
}
