
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp.h>


/*
 * Two modules in one .so: a core module that adds the protocol, and a module
 * of nginx-rtmp that hooks into its sessions.  Loaded after both
 * ngx_rtmp_module.so and ngx_mc_module.so, so its hooks are the outermost.
 */


static void *ngx_mc_rtmp_create_conf(ngx_cycle_t *cycle);
static ngx_int_t ngx_mc_rtmp_init_process(ngx_cycle_t *cycle);
static void ngx_mc_rtmp_exit_process(ngx_cycle_t *cycle);
static char *ngx_mc_rtmp_check(ngx_conf_t *cf, ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_rtmp_init(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_open(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_close(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame);
static void ngx_mc_rtmp_second(ngx_mc_endpoint_t *ep);
static void ngx_mc_rtmp_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);


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
    NULL
};


ngx_module_t  ngx_mc_rtmp_module = {
    NGX_MODULE_V1,
    &ngx_mc_rtmp_module_ctx,               /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_rtmp_module_t  ngx_mc_rtmp_hooks_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */
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


static void *
ngx_mc_rtmp_create_conf(ngx_cycle_t *cycle)
{
    if (ngx_mc_type_add(cycle, &ngx_mc_rtmp_type) != NGX_OK) {
        return NULL;
    }

    /* anything but NULL: there is nothing to configure */
    return cycle;
}


static ngx_int_t
ngx_mc_rtmp_init_process(ngx_cycle_t *cycle)
{
    return NGX_OK;
}


static void
ngx_mc_rtmp_exit_process(ngx_cycle_t *cycle)
{
}


static char *
ngx_mc_rtmp_check(ngx_conf_t *cf, ngx_mc_endpoint_def_t *def)
{
    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mc_rtmp_init(ngx_mc_endpoint_t *ep)
{
    return NGX_ERROR;
}


static void
ngx_mc_rtmp_open(ngx_mc_endpoint_t *ep)
{
}


static void
ngx_mc_rtmp_close(ngx_mc_endpoint_t *ep)
{
}


static void
ngx_mc_rtmp_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame)
{
}


static void
ngx_mc_rtmp_second(ngx_mc_endpoint_t *ep)
{
}


static void
ngx_mc_rtmp_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    ep->def = def;
}
