
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_HTTP_STATUS_H_INCLUDED_
#define _NGX_MC_HTTP_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc.h>
#include <ngx_mc_http_json.h>


/* higher is better, as in the metrics */

typedef enum {
    NGX_MC_HEALTH_NONE = -1,
    NGX_MC_HEALTH_DOWN = 0,
    NGX_MC_HEALTH_DEGRADED,
    NGX_MC_HEALTH_OK
} ngx_mc_health_e;


/* how an endpoint stands, as health sees it */

typedef enum {
    NGX_MC_VERDICT_FINE = 0,
    NGX_MC_VERDICT_UNSEEN,             /* a backup source that never came */
    NGX_MC_VERDICT_WAITING,            /* a source */
    NGX_MC_VERDICT_SILENT,             /* a source, connected */
    NGX_MC_VERDICT_FEW_PEERS,
    NGX_MC_VERDICT_UNPLAYABLE,         /* an output, RTMP */
    NGX_MC_VERDICT_INCOMPLETE,         /* likewise */
    NGX_MC_VERDICT_CONNECTING,
    NGX_MC_VERDICT_STOPPED             /* and should not be */
} ngx_mc_verdict_e;


typedef struct {
    ngx_mc_endpoint_def_t   *def;
    ngx_mc_verdict_e         verdict;
    ngx_uint_t               off;              /* is not to run */
    ngx_uint_t               by_operator;      /* who says so */
    ngx_mc_endpoint_stat_t   stat;             /* a copy */
} ngx_mc_status_endpoint_t;


/* ngx_mc_http_health.c */

ngx_mc_verdict_e ngx_mc_health_verdict(ngx_mc_status_endpoint_t *ep);

/* of a flow, from the verdicts on its n endpoints; and that of each of its
   NGX_MC_PIPELINES pipelines */
ngx_mc_health_e ngx_mc_health_flow(ngx_mc_status_endpoint_t *endpoints,
    ngx_uint_t n, ngx_uint_t choice, ngx_mc_health_e *pipelines);

void ngx_mc_health_name(ngx_mc_json_t *json, ngx_mc_health_e health);

/* strings, why it is not well */
void ngx_mc_health_reasons(ngx_mc_json_t *json,
    ngx_mc_status_endpoint_t *endpoints, ngx_uint_t n, ngx_mc_health_e health,
    ngx_mc_health_e *pipelines);


/* ngx_mc_http_media.c: an object each.  Gauges are null unless connected */

void ngx_mc_media_srt(ngx_mc_json_t *json, ngx_mc_srt_stat_t *srt,
    ngx_uint_t connected);
void ngx_mc_media_rtp(ngx_mc_json_t *json, ngx_mc_rtp_stat_t *rtp,
    ngx_uint_t connected);
void ngx_mc_media_rtmp(ngx_mc_json_t *json, ngx_mc_rtmp_stat_t *rtmp,
    ngx_uint_t connected);
void ngx_mc_media_ts(ngx_mc_json_t *json, ngx_mc_ts_counters_t *ts);

/* the members of the array */
void ngx_mc_media_tracks(ngx_mc_json_t *json, ngx_mc_endpoint_stat_t *stat);


/* ngx_mc_http_status.c: "" is null, and so is what is not known */

void ngx_mc_status_str(ngx_mc_json_t *json, ngx_str_t *s);
void ngx_mc_status_known(ngx_mc_json_t *json, ngx_uint_t known, int64_t n);
void ngx_mc_status_gauge(ngx_mc_json_t *json, ngx_uint_t known, double x);


#endif /* _NGX_MC_HTTP_STATUS_H_INCLUDED_ */
