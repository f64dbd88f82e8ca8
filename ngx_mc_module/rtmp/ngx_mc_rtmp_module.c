
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp.h>
#include <ngx_rtmp_live_module.h>
#include <ngx_mc_rtmp_client.h>
#include <ngx_mc_rtmp_guard.h>
#include <ngx_mc_rtmp_key.h>
#include <ngx_mc_rtmp_play.h>
#include <ngx_mc_rtmp_publish.h>


/*
 * Two modules in one .so: a core module that adds the protocol, and a module
 * of nginx-rtmp that hooks into its sessions.  Loaded after both
 * ngx_rtmp_module.so and ngx_mc_module.so, so its hooks are the outermost.
 */


/* an endpoint that listens and is open in this process */

typedef struct {
    ngx_queue_t         queue;
    ngx_mc_endpoint_t  *ep;
} ngx_mc_rtmp_open_t;


/* chains of handlers, of which nginx-rtmp has one set of variables, whatever
   the configuration */

typedef struct {
    ngx_rtmp_publish_pt       publish;
    ngx_rtmp_play_pt          play;
    ngx_rtmp_close_stream_pt  close_stream;
} ngx_mc_rtmp_chains_t;


static void *ngx_mc_rtmp_create_conf(ngx_cycle_t *cycle);
static void ngx_mc_rtmp_roll_back(void *data);
static char *ngx_mc_rtmp_init_conf(ngx_cycle_t *cycle, void *conf);
static ngx_int_t ngx_mc_rtmp_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_mc_rtmp_init_process(ngx_cycle_t *cycle);
static void ngx_mc_rtmp_exit_process(ngx_cycle_t *cycle);
static ngx_rtmp_conf_ctx_t *ngx_mc_rtmp_conf(ngx_cycle_t *cycle);
static char *ngx_mc_rtmp_check(ngx_conf_t *cf, ngx_mc_endpoint_def_t *def);
static ngx_uint_t ngx_mc_rtmp_distance(ngx_str_t *a, ngx_str_t *b);
static ngx_int_t ngx_mc_rtmp_init(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_open(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_close(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame);
static void ngx_mc_rtmp_second(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);

static ngx_int_t ngx_mc_rtmp_postconfiguration(ngx_conf_t *cf);
static void ngx_mc_rtmp_chains_get(ngx_mc_rtmp_chains_t *chains);
static void ngx_mc_rtmp_chains_set(ngx_mc_rtmp_chains_t *chains);
static ngx_int_t ngx_mc_rtmp_publish_name(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_publish(ngx_rtmp_session_t *s,
    ngx_rtmp_publish_t *v);
static ngx_int_t ngx_mc_rtmp_play(ngx_rtmp_session_t *s, ngx_rtmp_play_t *v);
static ngx_int_t ngx_mc_rtmp_close_stream(ngx_rtmp_session_t *s,
    ngx_rtmp_close_stream_t *v);
static ngx_int_t ngx_mc_rtmp_av(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in);
static ngx_int_t ngx_mc_rtmp_disconnected(ngx_rtmp_session_t *s,
    ngx_rtmp_header_t *h, ngx_chain_t *in);
static void ngx_mc_rtmp_gone(ngx_rtmp_session_t *s);


ngx_mc_endpoint_type_t  ngx_mc_rtmp_type = {
    NGX_MC_RTMP,
    ngx_mc_rtmp_check,
    ngx_mc_rtmp_init_process,
    ngx_mc_rtmp_exit_process,
    ngx_mc_rtmp_init,
    ngx_mc_rtmp_open,
    ngx_mc_rtmp_close,
    NULL,
    ngx_mc_rtmp_frame,
    ngx_mc_rtmp_second,
    ngx_mc_rtmp_update,
    0
};


static ngx_core_module_t  ngx_mc_rtmp_module_ctx = {
    ngx_string("mc_rtmp"),
    ngx_mc_rtmp_create_conf,
    ngx_mc_rtmp_init_conf
};


ngx_module_t  ngx_mc_rtmp_module = {
    NGX_MODULE_V1,
    &ngx_mc_rtmp_module_ctx,               /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_mc_rtmp_init_module,               /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_rtmp_module_t  ngx_mc_rtmp_hooks_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_mc_rtmp_postconfiguration,         /* postconfiguration */
    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */
    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */
    NULL,                                  /* create app configuration */
    NULL                                   /* merge app configuration */
};


ngx_module_t  ngx_mc_rtmp_hooks_module = {
    NGX_MODULE_V1,
    &ngx_mc_rtmp_hooks_module_ctx,         /* module context */
    NULL,                                  /* module directives */
    NGX_RTMP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_mc_rtmp_chains_t  ngx_mc_rtmp_next;

/* of the configuration that is in use: what workers begin with */

static ngx_mc_rtmp_chains_t  ngx_mc_rtmp_used;
static ngx_mc_rtmp_chains_t  ngx_mc_rtmp_used_next;

static ngx_queue_t           ngx_mc_rtmp_opened = {
    &ngx_mc_rtmp_opened, &ngx_mc_rtmp_opened
};


static void *
ngx_mc_rtmp_create_conf(ngx_cycle_t *cycle)
{
    ngx_pool_cleanup_t  *cln;

    if (ngx_mc_type_add(cycle, &ngx_mc_rtmp_type) != NGX_OK) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_mc_rtmp_roll_back;
    cln->data = cycle;

    /* anything but NULL: there is nothing to configure */
    return cycle;
}


/*
 * A configuration goes, which may have failed: then what it has left in the
 * variables of nginx-rtmp is memory that is freed now, and functions of this
 * .so, which may be unloaded, too.  Workers that are forked from here on use
 * them.
 */

static void
ngx_mc_rtmp_roll_back(void *data)
{
    ngx_rtmp_conf_ctx_t  *ctx;

    if (data == ngx_cycle) {
        /* another takes its place, or the process ends */
        return;
    }

    ctx = ngx_cycle->conf_ctx ? ngx_mc_rtmp_conf((ngx_cycle_t *) ngx_cycle)
                              : NULL;

    if (ctx) {
        ngx_rtmp_core_main_conf =
                               ctx->main_conf[ngx_rtmp_core_module.ctx_index];
    }

    if (ngx_mc_rtmp_used.publish) {
        ngx_mc_rtmp_chains_set(&ngx_mc_rtmp_used);
        ngx_mc_rtmp_next = ngx_mc_rtmp_used_next;

    } else if (ngx_rtmp_publish == ngx_mc_rtmp_publish) {
        ngx_mc_rtmp_chains_set(&ngx_mc_rtmp_next);
    }
}


static char *
ngx_mc_rtmp_init_conf(ngx_cycle_t *cycle, void *conf)
{
    return ngx_mc_rtmp_client_init_conf(cycle);
}


/* must not fail: the master would exit */

static ngx_int_t
ngx_mc_rtmp_init_module(ngx_cycle_t *cycle)
{
    ngx_mc_rtmp_chains_get(&ngx_mc_rtmp_used);
    ngx_mc_rtmp_used_next = ngx_mc_rtmp_next;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_init_process(ngx_cycle_t *cycle)
{
    if (ngx_mc_rtmp_conf(cycle) == NULL) {
        return NGX_OK;
    }

    /* one that failed and did not load this module had no roll back: whoever
       publishes would not be asked for a key */

    ngx_mc_rtmp_chains_set(&ngx_mc_rtmp_used);
    ngx_mc_rtmp_next = ngx_mc_rtmp_used_next;

    if (ngx_mc_rtmp_link_process(cycle) != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                      "RTMP cannot be carried between workers");
    }

    return ngx_mc_rtmp_play_process(cycle);
}


static void
ngx_mc_rtmp_exit_process(ngx_cycle_t *cycle)
{
    if (ngx_mc_rtmp_conf(cycle) == NULL) {
        return;
    }

    ngx_mc_rtmp_play_exit(cycle);
    ngx_mc_rtmp_publish_leave();
    ngx_mc_rtmp_link_exit(cycle);
}


/*
 * What rtmp{} has; NULL: there is none.  Not from the global of nginx-rtmp: a
 * reload that failed leaves it dangling.
 */

static ngx_rtmp_conf_ctx_t *
ngx_mc_rtmp_conf(ngx_cycle_t *cycle)
{
    return (ngx_rtmp_conf_ctx_t *) ngx_get_conf(cycle->conf_ctx,
                                                ngx_rtmp_module);
}


/* an endpoint without a host is a name in an application of rtmp{} */

static char *
ngx_mc_rtmp_check(ngx_conf_t *cf, ngx_mc_endpoint_def_t *def)
{
    ngx_str_t                  *near;
    ngx_uint_t                  i, j, d, min, mute;
    ngx_rtmp_conf_ctx_t        *ctx;
    ngx_rtmp_live_app_conf_t   *live;
    ngx_rtmp_core_srv_conf_t  **cscf;
    ngx_rtmp_core_app_conf_t  **cacf;
    ngx_rtmp_core_main_conf_t  *cmcf;

    if (def->host.len) {
        return NGX_CONF_OK;
    }

    ctx = ngx_mc_rtmp_conf(cf->cycle);

    if (ctx == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" needs a block \"rtmp { server { listen %d; "
                      "application %V { live on; } } }\" in %V:%ui",
                      &def->url, NGX_MC_RTMP_PORT, &def->app, &def->file,
                      def->line);
        return NGX_CONF_ERROR;
    }

    cmcf = ctx->main_conf[ngx_rtmp_core_module.ctx_index];
    cscf = cmcf->servers.elts;

    near = NULL;
    mute = 0;
    min = def->app.len / 3 + 2;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        cacf = cscf[i]->applications.elts;

        for (j = 0; j < cscf[i]->applications.nelts; j++) {

            d = ngx_mc_rtmp_distance(&cacf[j]->name, &def->app);

            if (d == 0) {
                live = cacf[j]->app_conf[ngx_rtmp_live_module.ctx_index];

                if (def->direction == NGX_MC_INPUT || live->live) {
                    return NGX_CONF_OK;
                }

                /* players would be let in and get nothing */

                mute = 1;
                continue;
            }

            if (d < min) {
                min = d;
                near = &cacf[j]->name;
            }
        }
    }

    if (mute) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "players of \"%V\" need \"live on;\" in \"application "
                      "%V\" in %V:%ui",
                      &def->url, &def->app, &def->file, def->line);

    } else if (near) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no server of \"rtmp\" has an \"application %V\", did "
                      "you mean \"%V\"? in %V:%ui",
                      &def->app, near, &def->file, def->line);

    } else {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no server of \"rtmp\" has an \"application %V\", add "
                      "\"application %V { live on; }\" in %V:%ui",
                      &def->app, &def->app, &def->file, def->line);
    }

    return NGX_CONF_ERROR;
}


/* Levenshtein's, of the first characters */

#define NGX_MC_RTMP_NEAR  32

static ngx_uint_t
ngx_mc_rtmp_distance(ngx_str_t *a, ngx_str_t *b)
{
    size_t      i, j;
    ngx_uint_t  row[NGX_MC_RTMP_NEAR + 1], last, n;

    if (a->len == b->len && ngx_strncmp(a->data, b->data, a->len) == 0) {
        return 0;
    }

    if (a->len > NGX_MC_RTMP_NEAR || b->len > NGX_MC_RTMP_NEAR) {
        return NGX_MAX_INT_T_VALUE;
    }

    for (j = 0; j <= b->len; j++) {
        row[j] = j;
    }

    for (i = 1; i <= a->len; i++) {
        last = row[0];
        row[0] = i;

        for (j = 1; j <= b->len; j++) {
            n = last + (a->data[i - 1] != b->data[j - 1]);
            last = row[j];
            row[j] = ngx_min(n, ngx_min(row[j], row[j - 1]) + 1);
        }
    }

    return row[b->len];
}


static ngx_int_t
ngx_mc_rtmp_init(ngx_mc_endpoint_t *ep)
{
    if (ep->def->host.len) {
        return ngx_mc_rtmp_client_init(ep);
    }

    return (ep->def->direction == NGX_MC_INPUT) ? ngx_mc_rtmp_source_init(ep)
                                                : ngx_mc_rtmp_output_init(ep);
}


static void
ngx_mc_rtmp_open(ngx_mc_endpoint_t *ep)
{
    ngx_mc_rtmp_open_t  *open;

    if (ep->def->host.len) {
        ngx_mc_rtmp_client_open(ep);
        return;
    }

    open = ngx_alloc(sizeof(ngx_mc_rtmp_open_t), ep->log);
    if (open == NULL) {
        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED, "no memory");
        return;
    }

    open->ep = ep;
    ngx_queue_insert_tail(&ngx_mc_rtmp_opened, &open->queue);

    if (ep->def->direction == NGX_MC_INPUT) {
        ngx_mc_rtmp_source_open(ep);

    } else {
        ngx_mc_rtmp_output_open(ep);
    }
}


static void
ngx_mc_rtmp_close(ngx_mc_endpoint_t *ep)
{
    ngx_queue_t         *q;
    ngx_mc_rtmp_open_t  *open;

    if (ep->def->host.len) {
        ngx_mc_rtmp_client_close(ep);
        return;
    }

    for (q = ngx_queue_head(&ngx_mc_rtmp_opened);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_opened);
         q = ngx_queue_next(q))
    {
        open = ngx_queue_data(q, ngx_mc_rtmp_open_t, queue);

        if (open->ep == ep) {
            ngx_queue_remove(q);
            ngx_free(open);
            break;
        }
    }

    if (ep->def->direction == NGX_MC_INPUT) {
        ngx_mc_rtmp_source_close(ep);

    } else {
        ngx_mc_rtmp_output_close(ep);
    }

    ngx_mc_rtmp_link_end_all(ep);
}


ngx_mc_endpoint_t *
ngx_mc_rtmp_listening(u_char *flow, size_t flow_len, ngx_uint_t direction,
    ngx_uint_t pipeline, u_char *name, size_t name_len)
{
    ngx_queue_t         *q;
    ngx_mc_endpoint_t   *ep;
    ngx_mc_rtmp_open_t  *open;

    for (q = ngx_queue_head(&ngx_mc_rtmp_opened);
         q != ngx_queue_sentinel(&ngx_mc_rtmp_opened);
         q = ngx_queue_next(q))
    {
        open = ngx_queue_data(q, ngx_mc_rtmp_open_t, queue);
        ep = open->ep;

        if (ep->def->direction == direction
            && ep->def->pipeline == pipeline
            && ep->def->name.len == name_len
            && ngx_strncmp(ep->def->name.data, name, name_len) == 0
            && ep->flow->name.len == flow_len
            && ngx_strncmp(ep->flow->name.data, flow, flow_len) == 0)
        {
            return ep;
        }
    }

    return NULL;
}


static void
ngx_mc_rtmp_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame)
{
    if (ep->def->host.len) {
        ngx_mc_rtmp_client_frame(ep, frame);
        return;
    }

    ngx_mc_rtmp_output_frame(ep, frame);
}


static void
ngx_mc_rtmp_second(ngx_mc_endpoint_t *ep)
{
    if (ep->def->host.len) {
        ngx_mc_rtmp_client_second(ep);

    } else if (ep->def->direction == NGX_MC_INPUT) {
        ngx_mc_rtmp_source_second(ep);

    } else {
        ngx_mc_rtmp_output_second(ep);
    }
}


static void
ngx_mc_rtmp_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    if (ep->def->host.len) {
        ngx_mc_rtmp_client_update(ep, def, changed);

    } else if (ep->def->direction == NGX_MC_INPUT) {
        ngx_mc_rtmp_source_update(ep, def, changed);

    } else {
        ngx_mc_rtmp_output_update(ep, def, changed);
    }
}


/*
 * Hooks are set anew with each configuration, and nginx-rtmp forgets those
 * before.  This module is loaded last, so they are the first to be called,
 * and the last to hear of events.
 */

static ngx_int_t
ngx_mc_rtmp_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_rtmp_handler_pt        *h;
    ngx_rtmp_amf_handler_t     *ch, first;
    ngx_rtmp_core_main_conf_t  *cmcf;

    static struct {
        ngx_uint_t           event;
        ngx_rtmp_handler_pt  handler;
    } events[] = {
        { NGX_RTMP_MSG_AUDIO, ngx_mc_rtmp_av },
        { NGX_RTMP_MSG_VIDEO, ngx_mc_rtmp_av },

        /* before the handler of nginx-rtmp, which skips what it has read, and
           passes the rest on to its codec module */
        { NGX_RTMP_MSG_AMF_META, ngx_mc_rtmp_av },

        { NGX_RTMP_DISCONNECT, ngx_mc_rtmp_disconnected }
    };

    static ngx_mc_rtmp_chains_t  hooks = {
        ngx_mc_rtmp_publish,
        ngx_mc_rtmp_play,
        ngx_mc_rtmp_close_stream
    };

    cmcf = ngx_rtmp_conf_get_module_main_conf(cf, ngx_rtmp_core_module);

    if (ngx_mc_rtmp_guard_conf(cmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        h = ngx_array_push(&cmcf->events[events[i].event]);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = events[i].handler;
    }

    /* before the handler that logs the name with its arguments */

    ch = ngx_array_push(&cmcf->amf);
    if (ch == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&first.name, "publish");
    first.handler = ngx_mc_rtmp_publish_name;

    for (ch = cmcf->amf.elts, i = cmcf->amf.nelts - 1; i > 0; i--) {
        ch[i] = ch[i - 1];
    }

    ch[0] = first;

    ngx_mc_rtmp_chains_get(&ngx_mc_rtmp_next);
    ngx_mc_rtmp_chains_set(&hooks);

    return NGX_OK;
}


static void
ngx_mc_rtmp_chains_get(ngx_mc_rtmp_chains_t *chains)
{
    chains->publish = ngx_rtmp_publish;
    chains->play = ngx_rtmp_play;
    chains->close_stream = ngx_rtmp_close_stream;
}


static void
ngx_mc_rtmp_chains_set(ngx_mc_rtmp_chains_t *chains)
{
    ngx_rtmp_publish = chains->publish;
    ngx_rtmp_play = chains->play;
    ngx_rtmp_close_stream = chains->close_stream;
}


static ngx_int_t
ngx_mc_rtmp_publish_name(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    ngx_mc_rtmp_key_mask(s, in);

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_publish(ngx_rtmp_session_t *s, ngx_rtmp_publish_t *v)
{
    ngx_int_t           rc;
    ngx_mc_rtmp_ctx_t  *ctx;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx == NULL
        || ctx->data == NULL
        || ctx->role == NGX_MC_RTMP_PUBLISHER
        || ctx->role == NGX_MC_RTMP_PLAYER)
    {
        rc = ngx_mc_rtmp_publish_hook(s, v, ngx_mc_rtmp_next.publish);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return ngx_mc_rtmp_next.publish(s, v);
}


static ngx_int_t
ngx_mc_rtmp_play(ngx_rtmp_session_t *s, ngx_rtmp_play_t *v)
{
    ngx_int_t  rc;

    rc = ngx_mc_rtmp_play_hook(s, v, ngx_mc_rtmp_next.play);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_mc_rtmp_next.play(s, v);
}


static ngx_int_t
ngx_mc_rtmp_close_stream(ngx_rtmp_session_t *s, ngx_rtmp_close_stream_t *v)
{
    ngx_mc_rtmp_gone(s);

    return ngx_mc_rtmp_next.close_stream(s, v);
}


/* audio, video and data; "in" is borrowed, and nobody's to change */

static ngx_int_t
ngx_mc_rtmp_av(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h, ngx_chain_t *in)
{
    ngx_mc_rtmp_ctx_t  *ctx;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx == NULL || ctx->data == NULL) {
        return NGX_OK;
    }

    if (ctx->role == NGX_MC_RTMP_PUBLISHER) {
        ngx_mc_rtmp_publish_av(s, h, in);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_disconnected(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    ngx_mc_rtmp_key_forget(s);
    ngx_mc_rtmp_gone(s);

    return NGX_OK;
}


/* a stream is closed, by its peer or with the session; maybe again */

static void
ngx_mc_rtmp_gone(ngx_rtmp_session_t *s)
{
    ngx_mc_rtmp_ctx_t  *ctx;

    ctx = ngx_rtmp_get_module_ctx(s, ngx_mc_rtmp_hooks_module);

    if (ctx == NULL || ctx->data == NULL) {
        return;
    }

    switch (ctx->role) {

    case NGX_MC_RTMP_PUBLISHER:
        ngx_mc_rtmp_publish_gone(s);
        break;

    case NGX_MC_RTMP_PLAYER:
    case NGX_MC_RTMP_VIRTUAL:
        ngx_mc_rtmp_play_gone(s);
        break;
    }
}
