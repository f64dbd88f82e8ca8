
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_mc_http.h>


/* "flows", NAME, "outputs", OUT, "start" */
#define NGX_MC_HTTP_SEGMENTS  5


typedef enum {
    NGX_MC_HTTP_UNKNOWN = 0,
    NGX_MC_HTTP_STATUS,
    NGX_MC_HTTP_FLOW,
    NGX_MC_HTTP_EVENTS,
    NGX_MC_HTTP_CONTROL
} ngx_mc_http_resource_e;


static ngx_int_t ngx_mc_http_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_mc_http_route(ngx_http_request_t *r, ngx_str_t *flow);
static ngx_int_t ngx_mc_http_not_found(ngx_http_request_t *r);
static ngx_int_t ngx_mc_http_not_allowed(ngx_http_request_t *r,
    const char *allow);
static char *ngx_mc_http_set_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_mc_http_commands[] = {

    { ngx_string("mc_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_ANY,
      ngx_mc_http_set_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_mc_http_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_mc_http_module = {
    NGX_MODULE_V1,
    &ngx_mc_http_module_ctx,               /* module context */
    ngx_mc_http_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_mc_http_handler(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_str_t             flow;
    ngx_uint_t            resource;
    ngx_mc_generation_t  *gen;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->background) {
        /* mirrored: nobody reads the answer */
        return NGX_OK;
    }

    resource = ngx_mc_http_route(r, &flow);

    if (resource == NGX_MC_HTTP_UNKNOWN) {
        return ngx_mc_http_not_found(r);
    }

    if (resource != NGX_MC_HTTP_STATUS) {
        gen = ngx_mc_registry_current();

        if (ngx_mc_registry_find(gen, flow.data, flow.len) == NULL) {
            return ngx_mc_http_not_found(r);
        }
    }

    if (resource == NGX_MC_HTTP_CONTROL) {

        if (r->method != NGX_HTTP_POST) {
            return ngx_mc_http_not_allowed(r, "POST");
        }

        return ngx_mc_http_error(r, NGX_HTTP_FORBIDDEN, "control_off",
                                 "this location does not control flows");
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_mc_http_not_allowed(r, "GET, HEAD");
    }

    switch (resource) {

    case NGX_MC_HTTP_STATUS:
        return ngx_mc_http_status(r);

    case NGX_MC_HTTP_FLOW:
        return ngx_mc_http_status_flow(r, &flow);

    default: /* NGX_MC_HTTP_EVENTS */
        return ngx_mc_http_events(r, &flow);
    }
}


/* what the path behind the location's prefix names; a last slash is ignored */

static ngx_uint_t
ngx_mc_http_route(ngx_http_request_t *r, ngx_str_t *flow)
{
    size_t                     len;
    u_char                    *p, *last;
    ngx_str_t                  s[NGX_MC_HTTP_SEGMENTS];
    ngx_uint_t                 n;
    ngx_http_core_loc_conf_t  *clcf;

#define ngx_mc_http_is(i, text)                                              \
    (s[i].len == sizeof(text) - 1                                            \
     && ngx_strncmp(s[i].data, text, sizeof(text) - 1) == 0)

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    len = clcf->name.len;

    if (len && clcf->name.data[len - 1] == '/') {
        len--;
    }

    /* a rewrite may have led here with any path */

    if (r->uri.len < len || ngx_strncmp(r->uri.data, clcf->name.data, len)) {
        return NGX_MC_HTTP_UNKNOWN;
    }

    p = r->uri.data + len;
    last = r->uri.data + r->uri.len;

    if (p < last && last[-1] == '/') {
        last--;
    }

    for (n = 0; p < last; n++) {

        if (*p++ != '/' || n == NGX_MC_HTTP_SEGMENTS) {
            return NGX_MC_HTTP_UNKNOWN;
        }

        s[n].data = p;

        while (p < last && *p != '/') {
            p++;
        }

        s[n].len = p - s[n].data;
    }

    if (n == 0) {
        return NGX_MC_HTTP_STATUS;
    }

    if (n == 1 || !ngx_mc_http_is(0, "flows")) {
        return NGX_MC_HTTP_UNKNOWN;
    }

    *flow = s[1];

    switch (n) {

    case 2:
        return NGX_MC_HTTP_FLOW;

    case 3:
        if (ngx_mc_http_is(2, "events")) {
            return NGX_MC_HTTP_EVENTS;
        }

        if (ngx_mc_http_is(2, "start") || ngx_mc_http_is(2, "stop")) {
            return NGX_MC_HTTP_CONTROL;
        }

        break;

    case 4:
        if (ngx_mc_http_is(2, "source")
            && (ngx_mc_http_is(3, "primary")
                || ngx_mc_http_is(3, "backup")
                || ngx_mc_http_is(3, "auto")))
        {
            return NGX_MC_HTTP_CONTROL;
        }

        break;

    default: /* 5 */
        if (ngx_mc_http_is(2, "outputs") && s[3].len
            && (ngx_mc_http_is(4, "start") || ngx_mc_http_is(4, "stop")))
        {
            return NGX_MC_HTTP_CONTROL;
        }

        break;
    }

    return NGX_MC_HTTP_UNKNOWN;
}


static ngx_int_t
ngx_mc_http_not_found(ngx_http_request_t *r)
{
    return ngx_mc_http_error(r, NGX_HTTP_NOT_FOUND, "not_found",
                             "there is no such flow or path");
}


static ngx_int_t
ngx_mc_http_not_allowed(ngx_http_request_t *r, const char *allow)
{
    if (ngx_mc_http_header(r, "Allow", allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_mc_http_error(r, NGX_HTTP_NOT_ALLOWED, "method_not_allowed",
                             "this path has other methods, see Allow");
}


static char *
ngx_mc_http_set_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      *kind;
    u_char                    *p, *last;
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_mc_http_handler) {
        return "is duplicate";
    }

    if (cf->args->nelts > 1) {
        value = cf->args->elts;

        /* the name only: what was meant as its value may be secret */

        last = value[1].data + value[1].len;
        p = ngx_strlchr(value[1].data, last, '=');

        if (p) {
            last = p;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%*s\" of \"mc_status\", "
                           "it has none",
                           (size_t) (last - value[1].data), value[1].data);
        return NGX_CONF_ERROR;
    }

    kind = NULL;

    if (clcf->named) {
        kind = "a named";

    } else if (clcf->exact_match) {
        kind = "an exact";
    }

#if (NGX_PCRE)
    if (clcf->regex) {
        kind = "a regular expression";
    }
#endif

    if (kind) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"mc_status\" cannot work in %s location, "
                           "it needs a prefix: \"location /mc { mc_status; }\"",
                           kind);
        return NGX_CONF_ERROR;
    }

    /* as proxy_pass does: "/mc" leads to "location /mc/" */

    if (clcf->name.len && clcf->name.data[clcf->name.len - 1] == '/') {
        clcf->auto_redirect = 1;
    }

    clcf->handler = ngx_mc_http_handler;

    return NGX_CONF_OK;
}
