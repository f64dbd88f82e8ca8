
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_conf.h>
#include <ngx_mc_flow.h>
#include <ngx_mc_owner.h>
#include <ngx_mc_resolve.h>


/* the first retry is at once, the next after so many ms, doubled each time */
#define NGX_MC_RETRY_FIRST      500
#define NGX_MC_RETRY_MAX        10000

/* a port that another owner is about to leave is free within milliseconds:
   nothing to tell before so many attempts */
#define NGX_MC_RETRY_PORT       20
#define NGX_MC_RETRY_QUIET      3

/* a connection that lasted so long starts the back-off anew */
#define NGX_MC_RETRY_FORGET     2000

/* one code of one endpoint makes at most an event in so many ms */
#define NGX_MC_EVENT_INTERVAL   1000


static void ngx_mc_endpoint_attempt(ngx_mc_endpoint_t *ep);
static void ngx_mc_endpoint_open(ngx_mc_endpoint_t *ep);
static void ngx_mc_endpoint_close(ngx_mc_endpoint_t *ep);
static void ngx_mc_endpoint_connected(ngx_mc_endpoint_t *ep,
    struct sockaddr *peer, socklen_t socklen, int64_t connected_at);
static void ngx_mc_endpoint_retry_later(ngx_mc_endpoint_t *ep,
    ngx_uint_t event, u_char *error);
static void ngx_mc_endpoint_retry_handler(ngx_event_t *ev);
static void ngx_mc_endpoint_merge(ngx_mc_endpoint_t *ep, ngx_uint_t code,
    ngx_uint_t n, u_char *peer, u_char *message);
static void ngx_mc_endpoint_emit(ngx_mc_endpoint_t *ep, ngx_uint_t code,
    u_char *message, u_char *peer);
static void ngx_mc_endpoint_addr(u_char *text, struct sockaddr *sa,
    socklen_t socklen);


ngx_uint_t  ngx_mc_endpoint_stops;


static ngx_uint_t  ngx_mc_rejected_events[] = {
    NGX_MC_EVENT_REJECTED_ADDRESS,
    NGX_MC_EVENT_REJECTED_PASSPHRASE,
    NGX_MC_EVENT_REJECTED_STREAMID,
    NGX_MC_EVENT_REJECTED_BUSY,
    NGX_MC_EVENT_REJECTED_LIMIT,
    NGX_MC_EVENT_REJECTED_BANDWIDTH,
    NGX_MC_EVENT_REJECTED_KEY,
    NGX_MC_EVENT_N                  /* malformed: counted and logged only */
};


ngx_mc_endpoint_t *
ngx_mc_endpoint_create(ngx_mc_flow_t *flow, ngx_mc_endpoint_def_t *def,
    ngx_pool_t *pool, ngx_mc_endpoint_stat_t *stat)
{
    ngx_pool_t         *own;
    ngx_mc_endpoint_t  *ep;

    own = ngx_create_pool(1024, &flow->log);
    if (own == NULL) {
        return NULL;
    }

    ep = ngx_pcalloc(own, sizeof(ngx_mc_endpoint_t));
    if (ep == NULL) {
        ngx_destroy_pool(own);
        return NULL;
    }

    ep->type = ngx_mc_type_find(ngx_mc_types, def->protocol);

    if (ep->type == NULL) {
        ngx_destroy_pool(own);
        return NULL;
    }

    ep->flow = flow;
    ep->pipeline = &flow->pipelines[def->pipeline];
    ep->def = def;
    ep->ident = -1;
    ep->stat = stat;
    ep->pool = own;
    ep->def_pool = pool;
    ep->log = &flow->log;

    ep->retry.handler = ngx_mc_endpoint_retry_handler;
    ep->retry.data = ep;
    ep->retry.log = ep->log;
    ep->retry.cancelable = 1;

    return ep;
}


void
ngx_mc_endpoint_free(ngx_mc_endpoint_t *ep)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_MC_EVENT_N; i++) {
        if (ep->merge[i] && ep->merge[i]->merged) {
            ngx_mc_endpoint_emit(ep, i, ep->merge[i]->message,
                                 ep->merge[i]->peer);
        }
    }

    ngx_destroy_pool(ep->def_pool);
    ngx_destroy_pool(ep->pool);
}


void
ngx_mc_endpoint_claim(ngx_mc_endpoint_t *ep)
{
    if (ep->stat->state == NGX_MC_STATE_CONNECTED) {

        /* of an owner that died */

        ep->stat->disconnections += ngx_max(ep->stat->npeers, 1);
    }

    if (ep->stat->protocol != ep->def->protocol) {
        ngx_memzero(&ep->stat->u, sizeof(ep->stat->u));
        ep->stat->protocol = ep->def->protocol;
    }

    ngx_mc_endpoint_stat_reset(ep->stat);
}


void
ngx_mc_endpoint_start(ngx_mc_endpoint_t *ep)
{
    ep->started = 1;
    ep->stopping = 0;
    ep->attempts = 0;
    ep->second = 0;
    ep->bucket_time = 0;

    ep->bytes_seen = ep->stat->bytes;
    ep->dropped_seen = ep->stat->dropped_packets;

    ngx_mc_endpoint_attempt(ep);
}


void
ngx_mc_endpoint_stop(ngx_mc_endpoint_t *ep)
{
    u_char  peer[NGX_MC_ADDR_LEN];

    if (!ep->started) {
        return;
    }

    ngx_mc_endpoint_stops++;

    ep->started = 0;
    ep->stopping = 1;
    ep->held = 0;

    ngx_mc_endpoint_close(ep);

    if (ep->retry.timer_set) {
        ngx_del_timer(&ep->retry);
    }

    if (ep->connected) {
        ep->connected = 0;
        ep->stat->disconnections++;

        ngx_memcpy(peer, ep->stat->peer, NGX_MC_ADDR_LEN);
        ngx_mc_endpoint_event(ep, NGX_MC_EVENT_DISCONNECTED,
                              peer[0] ? peer : NULL, "closed");
    }

    ngx_mc_endpoint_stat_reset(ep->stat);
}


void
ngx_mc_endpoint_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_pool_t *pool, ngx_uint_t changed)
{
    ngx_pool_t  *old;

    old = ep->def_pool;

    if (def == NULL) {
        def = ep->def;
        pool = old;
    }

    if (ep->resolving) {

        /* the query has the name from the definition */

        ngx_mc_resolve_cancel(ep);
        ngx_add_timer(&ep->retry, 0);
    }

    if (ep->banned
        && (ep->def->params.max_bandwidth != def->params.max_bandwidth
            || ep->def->params.exceed != def->params.exceed))
    {
        /* by another limit it might not have been */

        ep->banned = 0;

        ngx_mc_endpoint_stat_begin(ep->stat);
        ep->stat->retry_at = 0;
        ngx_mc_endpoint_stat_end(ep->stat);
    }

    if (ep->data) {
        ep->type->update(ep, def, changed);

    } else {
        ep->def = def;
    }

    if (pool == old) {
        return;
    }

    ep->def_pool = pool;
    ngx_destroy_pool(old);

    /* another limit begins with a full bucket */

    ep->bucket_time = 0;

    /* nor may what was wrong be so any more */

    if (ep->stat->state == NGX_MC_STATE_WAITING) {
        ngx_mc_endpoint_error(ep, "");
    }
}


void
ngx_mc_endpoint_retry(ngx_mc_endpoint_t *ep)
{
    if (ep->held && ep->retry.timer_set) {

        /* a timer that is to be moved by little would not be moved */

        ngx_del_timer(&ep->retry);
        ngx_add_timer(&ep->retry, 0);
        ep->attempts = 0;
    }
}


static void
ngx_mc_endpoint_attempt(ngx_mc_endpoint_t *ep)
{
    ngx_int_t                rc;
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    ngx_mc_endpoint_stat_begin(st);
    st->state = NGX_MC_STATE_CONNECTING;
    st->retry_at = 0;
    ngx_mc_endpoint_stat_end(st);

    if (ep->data == NULL && ep->type->init(ep) != NGX_OK) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED, "no memory");
        return;
    }

    rc = ngx_mc_resolve(ep);

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc != NGX_OK) {
        ngx_mc_endpoint_resolved(ep, "no name server");
        return;
    }

    ngx_mc_endpoint_open(ep);
}


void
ngx_mc_endpoint_resolved(ngx_mc_endpoint_t *ep, char *error)
{
    if (error) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_RESOLVE_FAILED,
                               "host \"%V\" could not be resolved: %s",
                               &ep->def->host, error);
        return;
    }

    ngx_mc_endpoint_open(ep);
}


static void
ngx_mc_endpoint_open(ngx_mc_endpoint_t *ep)
{
    ep->held = 0;
    ep->opened = 1;
    ep->type->open(ep);
}


static void
ngx_mc_endpoint_close(ngx_mc_endpoint_t *ep)
{
    ngx_mc_resolve_cancel(ep);

    if (ep->opened) {
        ep->opened = 0;
        ep->type->close(ep);
    }
}


void
ngx_mc_endpoint_waiting(ngx_mc_endpoint_t *ep)
{
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    ep->attempts = 0;

    ngx_mc_endpoint_stat_begin(st);
    st->state = NGX_MC_STATE_WAITING;
    st->retry_at = 0;
    st->last_error[0] = '\0';
    ngx_mc_endpoint_stat_end(st);
}


void
ngx_mc_endpoint_up(ngx_mc_endpoint_t *ep, struct sockaddr *peer,
    socklen_t socklen)
{
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    ngx_mc_endpoint_connected(ep, peer, socklen, ngx_mc_epoch_ms());

    st->connections++;

    ngx_mc_endpoint_event(ep, NGX_MC_EVENT_CONNECTED,
                          st->peer[0] ? st->peer : NULL, "%s",
                          (ep->def->mode == NGX_MC_MODE_SEND)
                          ? "ready to send" : "the connection is up");
}


void
ngx_mc_endpoint_resume(ngx_mc_endpoint_t *ep, struct sockaddr *peer,
    socklen_t socklen, int64_t connected_at)
{
    ep->attempts = 0;

    ngx_mc_endpoint_connected(ep, peer, socklen, connected_at);
}


static void
ngx_mc_endpoint_connected(ngx_mc_endpoint_t *ep, struct sockaddr *peer,
    socklen_t socklen, int64_t connected_at)
{
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    ep->connected = 1;
    ep->up_since = ngx_current_msec;

    ngx_mc_endpoint_stat_begin(st);

    st->state = NGX_MC_STATE_CONNECTED;
    st->connected_at = connected_at;
    st->retry_at = 0;
    st->last_error[0] = '\0';
    st->peer[0] = '\0';

    if (peer) {
        ngx_mc_endpoint_addr(st->peer, peer, socklen);
    }

    ngx_mc_endpoint_stat_end(st);
}


void
ngx_mc_endpoint_down(ngx_mc_endpoint_t *ep, ngx_uint_t listening,
    const char *fmt, ...)
{
    u_char                  *p;
    va_list                  args;
    u_char                   error[NGX_MC_ERROR_LEN];
    u_char                   peer[NGX_MC_ADDR_LEN];
    ngx_mc_endpoint_stat_t  *st;

    va_start(args, fmt);
    p = ngx_vslprintf(error, error + sizeof(error) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    st = ep->stat;

    ngx_memcpy(peer, st->peer, NGX_MC_ADDR_LEN);

    ep->connected = 0;
    st->disconnections++;

    ngx_mc_endpoint_stat_begin(st);

    st->state = listening ? NGX_MC_STATE_WAITING : NGX_MC_STATE_CONNECTING;
    st->connected_at = 0;
    st->peer[0] = '\0';
    ngx_cpystrn(st->last_error, error, NGX_MC_ERROR_LEN);

    if (listening && ep->banned) {
        /* who comes before is refused */
        st->retry_at = ngx_mc_epoch_ms()
                       + (ep->banned_until - ngx_current_msec);
    }

    ngx_mc_endpoint_stat_end(st);

    ngx_mc_endpoint_event(ep, NGX_MC_EVENT_DISCONNECTED,
                          peer[0] ? peer : NULL, "%s", error);

    if (listening) {
        return;
    }

    ngx_mc_endpoint_close(ep);

    if (ngx_current_msec - ep->up_since >= NGX_MC_RETRY_FORGET) {
        ep->attempts = 0;
    }

    ngx_mc_endpoint_retry_later(ep, NGX_MC_EVENT_DISCONNECTED, error);
}


void
ngx_mc_endpoint_peer_up(ngx_mc_endpoint_t *ep, ngx_mc_peer_stat_t *peer)
{
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    if (!ep->connected) {
        ep->connected = 1;
        ep->up_since = ngx_current_msec;

        ngx_mc_endpoint_stat_begin(st);

        st->state = NGX_MC_STATE_CONNECTED;
        st->connected_at = peer->connected_at;
        st->last_error[0] = '\0';

        ngx_mc_endpoint_stat_end(st);
    }

    st->connections++;

    ngx_mc_endpoint_event(ep, NGX_MC_EVENT_CONNECTED, peer->address,
                          "receiver %uL connected", peer->id);
}


void
ngx_mc_endpoint_peer_down(ngx_mc_endpoint_t *ep, ngx_mc_peer_stat_t *peer,
    const char *why)
{
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    st->disconnections++;

    if (st->npeers <= 1) {
        ep->connected = 0;

        ngx_mc_endpoint_stat_begin(st);

        st->state = NGX_MC_STATE_WAITING;
        st->connected_at = 0;

        ngx_mc_endpoint_stat_end(st);
    }

    ngx_mc_endpoint_event(ep, NGX_MC_EVENT_DISCONNECTED, peer->address,
                          "receiver %uL: %s", peer->id, why);
}


void
ngx_mc_endpoint_failed(ngx_mc_endpoint_t *ep, ngx_uint_t event,
    const char *fmt, ...)
{
    u_char                  *p, *name;
    va_list                  args;
    u_char                   error[NGX_MC_ERROR_LEN];
    u_char                   peer[NGX_MC_ADDR_LEN];
    ngx_mc_endpoint_stat_t  *st;

    va_start(args, fmt);
    p = ngx_vslprintf(error, error + sizeof(error) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    ngx_mc_endpoint_close(ep);

    if (ep->connected) {

        /* it was, and has lost more than its peer */

        st = ep->stat;

        ngx_memcpy(peer, st->peer, NGX_MC_ADDR_LEN);

        ep->connected = 0;
        st->disconnections++;

        ngx_mc_endpoint_stat_begin(st);
        st->connected_at = 0;
        st->peer[0] = '\0';
        ngx_mc_endpoint_stat_end(st);

        ngx_mc_endpoint_event(ep, NGX_MC_EVENT_DISCONNECTED,
                              peer[0] ? peer : NULL, "%s", error);
    }

    ep->held = (event == NGX_MC_EVENT_ADDRESS_IN_USE);

    if (ep->held) {

        /* a live flow elsewhere may have the port: that will end */

        name = ngx_mc_owner_holder(ep);

        if (name) {
            p = ngx_slprintf(error, error + sizeof(error) - 1,
                             "waits for flow \"%s\"", name);
            *p = '\0';
        }
    }

    ngx_mc_endpoint_retry_later(ep, event, error);
}


static void
ngx_mc_endpoint_retry_later(ngx_mc_endpoint_t *ep, ngx_uint_t event,
    u_char *error)
{
    ngx_msec_t               delay;
    ngx_uint_t               first, n;
    ngx_mc_endpoint_stat_t  *st;

    first = (event == NGX_MC_EVENT_ADDRESS_IN_USE) ? NGX_MC_RETRY_PORT
                                                   : NGX_MC_RETRY_FIRST;
    n = ep->attempts++;

    if (n == 0 && event != NGX_MC_EVENT_ADDRESS_IN_USE) {

        /* not from here: whoever reports may still use what is closed */
        delay = 0;

    } else {
        n = (event == NGX_MC_EVENT_ADDRESS_IN_USE) ? n : n - 1;

        delay = (n < 10) ? first << n : NGX_MC_RETRY_MAX;
        delay = ngx_min(delay, NGX_MC_RETRY_MAX);

        /* those who lost one peer together do not come back together */
        delay -= (ngx_msec_t) ngx_random() % (delay / 4 + 1);
    }

    if (ep->banned) {
        if ((ngx_msec_int_t) (ep->banned_until - ngx_current_msec)
            > (ngx_msec_int_t) delay)
        {
            delay = ep->banned_until - ngx_current_msec;
        }
    }

    st = ep->stat;

    ngx_mc_endpoint_stat_begin(st);

    st->state = NGX_MC_STATE_CONNECTING;
    st->retry_at = ngx_mc_epoch_ms() + delay;
    ngx_cpystrn(st->last_error, error, NGX_MC_ERROR_LEN);

    ngx_mc_endpoint_stat_end(st);

    /* a port that is being handed over is nobody's trouble yet */

    if (event != NGX_MC_EVENT_DISCONNECTED
        && (event != NGX_MC_EVENT_ADDRESS_IN_USE || n >= NGX_MC_RETRY_QUIET))
    {
        if (delay) {
            ngx_mc_endpoint_event(ep, event, NULL,
                                  "%s, next attempt in %M ms", error, delay);

        } else {
            ngx_mc_endpoint_event(ep, event, NULL,
                                  "%s, next attempt at once", error);
        }
    }

    ngx_add_timer(&ep->retry, delay);
}


static void
ngx_mc_endpoint_retry_handler(ngx_event_t *ev)
{
    ngx_mc_endpoint_attempt(ev->data);
}


void
ngx_mc_endpoint_rejected(ngx_mc_endpoint_t *ep, ngx_uint_t reason,
    ngx_uint_t n, struct sockaddr *peer, socklen_t socklen,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;
    u_char    message[NGX_MC_EVENT_MESSAGE_LEN], addr[NGX_MC_ADDR_LEN];

    ep->stat->rejected[reason] += n;

    va_start(args, fmt);
    p = ngx_vslprintf(message, message + sizeof(message) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    addr[0] = '\0';

    if (peer) {
        ngx_mc_endpoint_addr(addr, peer, socklen);
    }

    if (ngx_mc_rejected_events[reason] == NGX_MC_EVENT_N) {
        ngx_mc_endpoint_error(ep, "%s", message);
        return;
    }

    ngx_mc_endpoint_merge(ep, ngx_mc_rejected_events[reason], n,
                          addr[0] ? addr : NULL, message);
}


/* for what is wrong but changes no state: a log line at most once a second */

void
ngx_mc_endpoint_error(ngx_mc_endpoint_t *ep, const char *fmt, ...)
{
    u_char                  *p;
    va_list                  args;
    u_char                   error[NGX_MC_ERROR_LEN];
    ngx_mc_endpoint_stat_t  *st;

    va_start(args, fmt);
    p = ngx_vslprintf(error, error + sizeof(error) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    st = ep->stat;

    ngx_mc_endpoint_stat_begin(st);
    ngx_cpystrn(st->last_error, error, NGX_MC_ERROR_LEN);
    ngx_mc_endpoint_stat_end(st);

    if (error[0] == '\0'
        || (ep->error_logged
            && ngx_current_msec - ep->error_logged < 1000))
    {
        return;
    }

    ep->error_logged = ngx_current_msec ? ngx_current_msec : 1;

    ngx_log_error(NGX_LOG_ERR, ep->log, 0,
                  "flow \"%V\", %V \"%V\": %s", &ep->flow->name,
                  ngx_mc_event_type_name(ep->def->direction,
                                         ep->def->pipeline),
                  &ep->def->name, error);
}


void
ngx_mc_endpoint_event(ngx_mc_endpoint_t *ep, ngx_uint_t code, u_char *peer,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;
    u_char    message[NGX_MC_EVENT_MESSAGE_LEN];

    va_start(args, fmt);
    p = ngx_vslprintf(message, message + sizeof(message) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    ngx_mc_endpoint_merge(ep, code, 1, peer, message);
}


/* n of them; those within a second of the last are told of together */

static void
ngx_mc_endpoint_merge(ngx_mc_endpoint_t *ep, ngx_uint_t code, ngx_uint_t n,
    u_char *peer, u_char *message)
{
    ngx_mc_event_merge_t  *merge;

    merge = ep->merge[code];

    if (merge == NULL) {
        merge = ngx_pcalloc(ep->pool, sizeof(ngx_mc_event_merge_t));
        if (merge == NULL) {
            return;
        }

        merge->last = ngx_current_msec - NGX_MC_EVENT_INTERVAL;
        ep->merge[code] = merge;
    }

    merge->merged += n;

    if (ngx_current_msec - merge->last < NGX_MC_EVENT_INTERVAL) {
        ngx_cpystrn(merge->message, message, NGX_MC_EVENT_MESSAGE_LEN);
        ngx_cpystrn(merge->peer, peer ? peer : (u_char *) "",
                    NGX_MC_ADDR_LEN);
        return;
    }

    ngx_mc_endpoint_emit(ep, code, message, peer);
}


static void
ngx_mc_endpoint_emit(ngx_mc_endpoint_t *ep, ngx_uint_t code, u_char *message,
    u_char *peer)
{
    u_char                *p;
    ngx_uint_t             level;
    u_char                 text[NGX_MC_EVENT_MESSAGE_LEN];
    ngx_mc_event_merge_t  *merge;

    merge = ep->merge[code];

    if (merge) {
        merge->last = ngx_current_msec;

        if (merge->merged > 1) {
            p = ngx_slprintf(text, text + sizeof(text) - 1, "%s (%ui times)",
                             message, merge->merged);
            *p = '\0';
            message = text;
        }

        merge->merged = 0;
    }

    switch (code) {

    case NGX_MC_EVENT_STARTED:
    case NGX_MC_EVENT_STOPPED:
    case NGX_MC_EVENT_CONNECTED:
        level = NGX_LOG_NOTICE;
        break;

    case NGX_MC_EVENT_DISCONNECTED:
        level = ep->stopping ? NGX_LOG_NOTICE : NGX_LOG_ERR;
        break;

    default:
        level = NGX_LOG_ERR;
        break;
    }

    if (peer && peer[0]) {
        ngx_log_error(level, ep->log, 0,
                      "flow \"%V\", %V \"%V\": %V: %s, peer: %s",
                      &ep->flow->name,
                      ngx_mc_event_type_name(ep->def->direction,
                                             ep->def->pipeline),
                      &ep->def->name, ngx_mc_event_code_name(code), message,
                      peer);

    } else {
        ngx_log_error(level, ep->log, 0, "flow \"%V\", %V \"%V\": %V: %s",
                      &ep->flow->name,
                      ngx_mc_event_type_name(ep->def->direction,
                                             ep->def->pipeline),
                      &ep->def->name, ngx_mc_event_code_name(code), message);
    }

    ngx_mc_event_write(ep->flow->event_log, ep->def->direction,
                       ep->def->pipeline, &ep->flow->name, &ep->def->name,
                       code, message, peer);
}


/* one call a second: what was measured over it, and merged events */

void
ngx_mc_endpoint_second(ngx_mc_endpoint_t *ep)
{
    int64_t                  now, elapsed;
    uint64_t                 n;
    ngx_uint_t               i;
    ngx_mc_event_merge_t    *merge;
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    now = ngx_mc_now();
    elapsed = now - ep->second;

    if (ep->second && elapsed > 0) {
        st->bitrate = (st->bytes - ep->bytes_seen) * 8 * 1000000 / elapsed;
    }

    ep->second = now;
    ep->bytes_seen = st->bytes;

    if (ep->banned
        && (ngx_msec_int_t) (ep->banned_until - ngx_current_msec) <= 0)
    {
        ep->banned = 0;

        ngx_mc_endpoint_stat_begin(st);
        st->retry_at = 0;
        ngx_mc_endpoint_stat_end(st);
    }

    if (ep->opened) {
        ep->type->second(ep);
    }

    if (st->dropped_packets != ep->dropped_seen) {
        n = st->dropped_packets - ep->dropped_seen;
        ep->dropped_seen = st->dropped_packets;

        if (ep->def->direction == NGX_MC_OUTPUT) {
            ngx_mc_endpoint_event(ep, NGX_MC_EVENT_SLOW_OUTPUT, NULL,
                                  "%uL packets could not be sent in time",
                                  n);
        }
    }

    for (i = 0; i < NGX_MC_EVENT_N; i++) {
        merge = ep->merge[i];

        if (merge && merge->merged
            && ngx_current_msec - merge->last >= NGX_MC_EVENT_INTERVAL)
        {
            ngx_mc_endpoint_emit(ep, i, merge->message, merge->peer);
        }
    }
}


static void
ngx_mc_endpoint_addr(u_char *text, struct sockaddr *sa, socklen_t socklen)
{
    size_t  n;

    /* a proxy may tell the address alone */

    n = ngx_sock_ntop(sa, socklen, text, NGX_MC_ADDR_LEN - 1,
                      ngx_inet_get_port(sa) != 0);
    text[n] = '\0';
}
