
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_play.h>
#include <ngx_mc_owner.h>
#include <ngx_rtmp_live_module.h>


/* Players: the hook, what is told of them, and the rounds of all virtuals. */


#define NGX_MC_RTMP_TICK  100                 /* ms */


static size_t ngx_mc_rtmp_play_address(ngx_rtmp_session_t *s,
    u_char *text);
static ngx_int_t ngx_mc_rtmp_play_refuse(ngx_rtmp_session_t *s,
    ngx_mc_rtmp_name_t *name, ngx_uint_t reason, char *why);
static void ngx_mc_rtmp_player_gone(void *data);
static void ngx_mc_rtmp_player_stat(ngx_mc_rtmp_player_t *pl);
static void ngx_mc_rtmp_player_remove(ngx_mc_rtmp_player_t *pl,
    const char *why);
static void ngx_mc_rtmp_play_tick(ngx_event_t *ev);
static void ngx_mc_rtmp_play_second(ngx_event_t *ev);
static ngx_rtmp_core_app_conf_t *ngx_mc_rtmp_play_app(ngx_str_t *app,
    ngx_rtmp_core_srv_conf_t **cscf);


static ngx_rtmp_conf_ctx_t  *ngx_mc_rtmp_play_ctx;  /* of rtmp{}; NULL: none */
static ngx_event_t           ngx_mc_rtmp_play_timer;
static ngx_event_t           ngx_mc_rtmp_play_stat_timer;
static ngx_uint_t            ngx_mc_rtmp_nplayers;
static uint64_t              ngx_mc_rtmp_player_id;
static uint32_t              ngx_mc_rtmp_play_generation;
static ngx_msec_t            ngx_mc_rtmp_play_scanned;

ngx_uint_t                   ngx_mc_rtmp_play_ending;


ngx_int_t
ngx_mc_rtmp_play_process(ngx_cycle_t *cycle)
{
    ngx_event_t  *ev;

    ngx_mc_rtmp_play_ctx = (ngx_rtmp_conf_ctx_t *)
                               ngx_get_conf(cycle->conf_ctx, ngx_rtmp_module);

    if (ngx_mc_rtmp_play_ctx == NULL) {
        return NGX_OK;
    }

    if (ngx_mc_rtmp_session_process(cycle, ngx_mc_rtmp_play_ctx) != NGX_OK) {
        ngx_mc_rtmp_play_ctx = NULL;
        return NGX_ERROR;
    }

    ngx_mc_rtmp_virtual_process();

    ev = &ngx_mc_rtmp_play_stat_timer;
    ev->handler = ngx_mc_rtmp_play_second;
    ev->log = cycle->log;

    ev = &ngx_mc_rtmp_play_timer;
    ev->handler = ngx_mc_rtmp_play_tick;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_MC_RTMP_TICK);

    return NGX_OK;
}


void
ngx_mc_rtmp_play_exit(ngx_cycle_t *cycle)
{
    ngx_queue_t            *q;
    ngx_mc_rtmp_virtual_t  *v;

    if (ngx_mc_rtmp_play_ctx == NULL) {
        return;
    }

    ngx_mc_rtmp_play_ending = 1;

    while (!ngx_queue_empty(&ngx_mc_rtmp_virtuals)) {
        q = ngx_queue_head(&ngx_mc_rtmp_virtuals);
        v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, queue);

        ngx_mc_rtmp_virtual_free(v, "the worker process ends");
    }

    /* sessions end in posted events, and no event loop is to come */

    ngx_event_process_posted(cycle, &ngx_posted_events);

    if (ngx_mc_rtmp_play_timer.timer_set) {
        ngx_del_timer(&ngx_mc_rtmp_play_timer);
    }

    if (ngx_mc_rtmp_play_stat_timer.timer_set) {
        ngx_del_timer(&ngx_mc_rtmp_play_stat_timer);
    }

    ngx_mc_rtmp_session_exit();
    ngx_mc_rtmp_play_ctx = NULL;
}


ngx_int_t
ngx_mc_rtmp_play_hook(ngx_rtmp_session_t *s, ngx_rtmp_play_t *v,
    ngx_rtmp_play_pt next)
{
    u_char                     text[NGX_MC_ADDR_LEN];
    size_t                     size;
    ngx_str_t                  stream;
    ngx_uint_t                 n;
    ngx_mc_rtmp_ctx_t         *ctx;
    ngx_mc_rtmp_name_t        *name;
    ngx_pool_cleanup_t        *cln;
    ngx_mc_rtmp_player_t      *pl;
    ngx_mc_rtmp_virtual_t     *virtual;
    ngx_rtmp_core_srv_conf_t  *cscf;

    if (ngx_mc_rtmp_play_ctx == NULL || s->app_conf == NULL) {
        return NGX_DECLINED;
    }

    stream.data = v->name;
    stream.len = ngx_strlen(v->name);

    if (ngx_mc_rtmp_table_ready() != NGX_OK) {
        /* it may be one that is not for everybody */
        return NGX_ERROR;
    }

    name = ngx_mc_rtmp_table_find(&s->app, &stream, NGX_MC_OUTPUT);

    if (name == NULL) {
        return NGX_DECLINED;
    }

    if (s->relay || s->auto_pushed) {

        /* "push" of the application, which "side" has begun */
        return NGX_DECLINED;
    }

    if (ngx_mc_access(name->def.params.allow, s->connection->sockaddr)
        != NGX_OK)
    {
        return ngx_mc_rtmp_play_refuse(s, name, NGX_MC_REJECTED_ADDRESS,
                                       "the address is not allowed");
    }

    if (!ngx_mc_rtmp_play_is_on(name)) {
        (void) ngx_rtmp_send_status(s, "NetStream.Play.StreamNotFound",
                                    "error", "The stream is off");
        return NGX_ERROR;
    }

    virtual = ngx_mc_rtmp_virtual_find(&stream, s->app_conf);

    if (name->def.params.max_peers > 0) {

        /* the owner has yet to hear of those who have just come to here */

        n = virtual ? virtual->nplayers : 0;
        n = ngx_max(n, name->stat->npeers);

        if (n >= (ngx_uint_t) name->def.params.max_peers) {
            return ngx_mc_rtmp_play_refuse(s, name, NGX_MC_REJECTED_LIMIT,
                                           "max_peers is reached");
        }
    }

    if (ngx_mc_rtmp_play_ending) {
        (void) ngx_rtmp_send_status(s, "NetStream.Play.Failed", "error",
                                    "The server is going down");
        return NGX_ERROR;
    }

    if (virtual == NULL) {
        cscf = ngx_rtmp_get_module_srv_conf(s, ngx_rtmp_core_module);

        virtual = ngx_mc_rtmp_virtual_create(cscf, s->app_conf, &s->app,
                                             &stream);
        if (virtual == NULL) {
            return NGX_ERROR;
        }
    }

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(s->connection->pool, sizeof(ngx_mc_rtmp_ctx_t));
        cln = ngx_pool_cleanup_add(s->connection->pool, 0);

        if (ctx == NULL || cln == NULL) {
            return NGX_ERROR;
        }

        ngx_rtmp_set_ctx(s, ctx, ngx_mc_rtmp_hooks_module);

        cln->handler = ngx_mc_rtmp_player_gone;
        cln->data = s;

    } else if (ctx->data) {

        /* it plays or publishes already: live keeps it where it is */
        return NGX_DECLINED;
    }

    size = ngx_mc_rtmp_play_address(s, text);

    pl = ngx_pcalloc(s->connection->pool, sizeof(ngx_mc_rtmp_player_t) + size);
    if (pl == NULL) {
        return NGX_ERROR;
    }

    pl->session = s;
    pl->virtual = virtual;
    pl->id = ++ngx_mc_rtmp_player_id;
    pl->out_bytes = s->out_bytes;
    pl->address.len = size;
    pl->address.data = (u_char *) (pl + 1);
    ngx_memcpy(pl->address.data, text, size);

    ctx->role = NGX_MC_RTMP_PLAYER;
    ctx->data = pl;

    ngx_queue_insert_tail(&virtual->players, &pl->queue);
    virtual->nplayers++;
    virtual->nwaiting++;

    if (ngx_mc_rtmp_nplayers++ == 0) {

        /* holds a worker that is to exit, too */
        ngx_add_timer(&ngx_mc_rtmp_play_stat_timer, 1000);
    }

    /* the name has a publisher before live sees a player */

    ngx_mc_rtmp_virtual_open(virtual);

    if (virtual->link == NULL) {
        ngx_mc_rtmp_virtual_link(virtual, name);

    } else if (virtual->opened) {
        ngx_mc_rtmp_player_tell(pl);
    }

    return next(s, v);
}


static ngx_int_t
ngx_mc_rtmp_play_refuse(ngx_rtmp_session_t *s, ngx_mc_rtmp_name_t *name,
    ngx_uint_t reason, char *why)
{
    u_char     text[NGX_MC_ADDR_LEN];
    ngx_str_t  peer;

    /* the owner tells of it, at most once in a while */

    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "flow \"%V\", output \"%V\": player refused: %s",
                  &name->flow, &name->def.name, why);

    peer.data = text;
    peer.len = ngx_mc_rtmp_play_address(s, text);

    ngx_mc_rtmp_link_rejected(name, reason, &peer, "player refused: %s", why);

    (void) ngx_rtmp_send_status(s, "NetStream.Play.Failed", "error", why);

    return NGX_ERROR;
}


/* as publishers are shown; behind a proxy there is no port */

static size_t
ngx_mc_rtmp_play_address(ngx_rtmp_session_t *s, u_char *text)
{
    ngx_connection_t  *c;

    c = s->connection;

    return ngx_sock_ntop(c->sockaddr, c->socklen, text, NGX_MC_ADDR_LEN - 1,
                         ngx_inet_get_port(c->sockaddr) != 0);
}


void
ngx_mc_rtmp_play_gone(ngx_rtmp_session_t *s)
{
    ngx_mc_rtmp_ctx_t  *ctx;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx && ctx->role == NGX_MC_RTMP_PLAYER && ctx->data) {
        ngx_mc_rtmp_player_remove(ctx->data, "the connection was closed");
    }
}


static void
ngx_mc_rtmp_player_gone(void *data)
{
    ngx_mc_rtmp_play_gone(data);
}


void
ngx_mc_rtmp_player_tell(ngx_mc_rtmp_player_t *pl)
{
    ngx_mc_rtmp_link_peer_up(pl->virtual->link, pl->id, &pl->address,
                             pl->told_bytes, pl->told_messages,
                             pl->told_dropped);
    pl->told = 1;
}


static void
ngx_mc_rtmp_player_stat(ngx_mc_rtmp_player_t *pl)
{
    uint64_t                messages, dropped;
    ngx_rtmp_live_ctx_t    *ctx;
    ngx_mc_rtmp_virtual_t  *v;

    v = pl->virtual;

    pl->bytes += (uint32_t) (pl->session->out_bytes - pl->out_bytes);
    pl->out_bytes = pl->session->out_bytes;

    ctx = ngx_rtmp_get_module_ctx(pl->session, ngx_rtmp_live_module);

    dropped = ctx ? ctx->ndropped : 0;
    messages = pl->started ? v->frames - pl->first : 0;
    messages -= ngx_min(messages, dropped);

    if (v->link && pl->told) {
        ngx_mc_rtmp_link_peer_stat(v->link, pl->id, pl->bytes, messages,
                                   dropped);

        pl->told_bytes = pl->bytes;
        pl->told_messages = messages;
        pl->told_dropped = dropped;
    }
}


static void
ngx_mc_rtmp_player_remove(ngx_mc_rtmp_player_t *pl, const char *why)
{
    ngx_mc_rtmp_ctx_t      *ctx;
    ngx_mc_rtmp_virtual_t  *v;

    v = pl->virtual;

    ngx_mc_rtmp_player_stat(pl);

    if (v->link && pl->told) {
        ngx_mc_rtmp_link_peer_down(v->link, pl->id, why);
    }

    ngx_queue_remove(&pl->queue);
    v->nplayers--;
    v->idle = ngx_current_msec;

    if (!pl->started) {
        v->nwaiting--;
    }

    if (--ngx_mc_rtmp_nplayers == 0
        && ngx_mc_rtmp_play_stat_timer.timer_set)
    {
        ngx_del_timer(&ngx_mc_rtmp_play_stat_timer);
    }

    ctx = ngx_rtmp_get_module_ctx(pl->session, ngx_mc_rtmp_hooks_module);
    ctx->data = NULL;
}


void
ngx_mc_rtmp_player_cut(ngx_mc_rtmp_player_t *pl, const char *why)
{
    ngx_rtmp_session_t  *s;

    s = pl->session;

    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "player of \"%V/%V\" is disconnected: %s",
                  &pl->virtual->app, &pl->virtual->stream, why);

    ngx_mc_rtmp_player_remove(pl, why);

    (void) ngx_rtmp_send_status(s, "NetStream.Play.UnpublishNotify", "status",
                                (char *) why);
    ngx_rtmp_finalize_session(s);
}


/* 100 ms */

static void
ngx_mc_rtmp_play_tick(ngx_event_t *ev)
{
    void                     **app_conf;
    ngx_uint_t                 i, n, update, scan;
    ngx_queue_t               *q, *next;
    ngx_mc_rtmp_name_t        *names, *name;
    ngx_mc_generation_t       *gen;
    ngx_mc_rtmp_virtual_t     *v;
    ngx_rtmp_core_srv_conf_t  *cscf;
    ngx_rtmp_core_app_conf_t  *cacf;

    if (ngx_mc_rtmp_play_ending) {
        return;
    }

    gen = ngx_mc_registry_current();

    if (gen == NULL) {
        goto done;
    }

    if (ngx_exiting && ngx_mc_registry->quit == gen->number) {

        /* nginx ends, and with it all flows: players would wait for one, and
           this process for them */

        while (!ngx_queue_empty(&ngx_mc_rtmp_virtuals)) {
            q = ngx_queue_head(&ngx_mc_rtmp_virtuals);
            v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, queue);

            ngx_mc_rtmp_virtual_free(v, "nginx ends");
        }

        goto done;
    }

    update = (gen->number != ngx_mc_rtmp_play_generation);
    ngx_mc_rtmp_play_generation = gen->number;

    scan = update || ngx_current_msec - ngx_mc_rtmp_play_scanned >= 1000;

    if (scan && !ngx_exiting && !ngx_mc_owner_is_old(gen)) {

        ngx_mc_rtmp_play_scanned = ngx_current_msec;

        names = ngx_mc_rtmp_table(&n);

        for (i = 0; i < n; i++) {
            name = &names[i];

            if (name->def.direction != NGX_MC_OUTPUT
                || name->hint != ngx_worker
                || !ngx_mc_rtmp_play_is_on(name))
            {
                continue;
            }

            cacf = ngx_mc_rtmp_play_app(&name->app, &cscf);

            if (cacf == NULL) {
                continue;
            }

            app_conf = cacf->app_conf;

            v = ngx_mc_rtmp_virtual_find(&name->stream, app_conf);

            if (v == NULL) {
                v = ngx_mc_rtmp_virtual_create(cscf, app_conf, &name->app,
                                               &name->stream);
                if (v == NULL) {
                    break;
                }
            }

            v->home = 1;
        }
    }

    for (q = ngx_queue_head(&ngx_mc_rtmp_virtuals);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_virtuals);
         q = next)
    {
        next = ngx_queue_next(q);
        v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, queue);

        ngx_mc_rtmp_virtual_tick(v, update);
    }

done:

    ngx_add_timer(ev, NGX_MC_RTMP_TICK);
}


static void
ngx_mc_rtmp_play_second(ngx_event_t *ev)
{
    ngx_queue_t            *q, *p;
    ngx_mc_rtmp_player_t   *pl;
    ngx_mc_rtmp_virtual_t  *v;

    for (q = ngx_queue_head(&ngx_mc_rtmp_virtuals);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_virtuals);
         q = ngx_queue_next(q))
    {
        v = ngx_queue_data(q, ngx_mc_rtmp_virtual_t, queue);

        for (p = ngx_queue_head(&v->players);
             p != ngx_queue_sentinel(&v->players);
             p = ngx_queue_next(p))
        {
            pl = ngx_queue_data(p, ngx_mc_rtmp_player_t, queue);
            ngx_mc_rtmp_player_stat(pl);
        }
    }

    ngx_add_timer(ev, 1000);
}


ngx_uint_t
ngx_mc_rtmp_play_is_on(ngx_mc_rtmp_name_t *name)
{
    ngx_uint_t  control;

    control = name->flow_stat->control;

    if (control == NGX_MC_CONTROL_STOP
        || (control == NGX_MC_CONTROL_NONE && name->stopped))
    {
        return 0;
    }

    control = name->stat->control;

    return !(control == NGX_MC_CONTROL_STOP
             || (control == NGX_MC_CONTROL_NONE && name->def.off));
}


int32_t
ngx_mc_rtmp_play_chunk_size(ngx_str_t *app)
{
    ngx_rtmp_core_srv_conf_t  *cscf;

    if (ngx_mc_rtmp_play_ctx == NULL
        || ngx_mc_rtmp_play_app(app, &cscf) == NULL)
    {
        return -1;
    }

    return (int32_t) cscf->chunk_size;
}


/* the first application of that name */

static ngx_rtmp_core_app_conf_t *
ngx_mc_rtmp_play_app(ngx_str_t *app, ngx_rtmp_core_srv_conf_t **cscf)
{
    ngx_uint_t                   i, n;
    ngx_rtmp_core_srv_conf_t   **cscfp;
    ngx_rtmp_core_app_conf_t   **cacfp;
    ngx_rtmp_core_main_conf_t   *cmcf;

    cmcf = ngx_mc_rtmp_play_ctx->main_conf[ngx_rtmp_core_module.ctx_index];
    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        cacfp = cscfp[i]->applications.elts;

        for (n = 0; n < cscfp[i]->applications.nelts; n++) {

            if (cacfp[n]->name.len == app->len
                && ngx_memcmp(cacfp[n]->name.data, app->data, app->len) == 0)
            {
                *cscf = cscfp[i];
                return cacfp[n];
            }
        }
    }

    return NULL;
}
