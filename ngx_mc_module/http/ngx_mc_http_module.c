
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_mc_conf.h>
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


typedef struct {
    ngx_uint_t                 status;
    ngx_uint_t                 control;
} ngx_mc_http_loc_conf_t;


/* a location with control=on */

typedef struct {
    void                     **loc_conf;
    void                     **srv_conf;
    ngx_str_t                  file;
    ngx_uint_t                 line;
} ngx_mc_http_controlled_t;


typedef struct {
    ngx_array_t                controlled;
} ngx_mc_http_main_conf_t;


/*
 * How the settings of nginx's access modules begin.  The types are theirs,
 * not in any header: only whether these are set is looked at, and only a
 * warning depends on it.
 */

typedef struct {
    void                      *rules;
#if (NGX_HAVE_INET6)
    void                      *rules6;
#endif
#if (NGX_HAVE_UNIX_DOMAIN)
    void                      *rules_un;
#endif
} ngx_mc_http_access_conf_t;


typedef struct {
    ngx_http_complex_value_t  *realm;
} ngx_mc_http_auth_basic_conf_t;


typedef struct {
    ngx_str_t                  uri;
} ngx_mc_http_auth_request_conf_t;


static ngx_int_t ngx_mc_http_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_mc_http_route(ngx_http_request_t *r,
    ngx_mc_control_item_t *item);
static ngx_int_t ngx_mc_http_not_found(ngx_http_request_t *r);
static ngx_int_t ngx_mc_http_not_allowed(ngx_http_request_t *r,
    const char *allow);
static ngx_int_t ngx_mc_http_init(ngx_conf_t *cf);
static ngx_uint_t ngx_mc_http_is_protected(ngx_conf_t *cf,
    ngx_mc_http_controlled_t *controlled);
static ngx_module_t *ngx_mc_http_find_module(ngx_conf_t *cf,
    const char *name);
static void *ngx_mc_http_create_main_conf(ngx_conf_t *cf);
static void *ngx_mc_http_create_loc_conf(ngx_conf_t *cf);
static char *ngx_mc_http_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_mc_http_set_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_http_set_param(ngx_conf_t *cf,
    ngx_mc_http_loc_conf_t *lcf, ngx_str_t *param);


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
    ngx_mc_http_init,                      /* postconfiguration */

    ngx_mc_http_create_main_conf,          /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_mc_http_create_loc_conf,           /* create location configuration */
    ngx_mc_http_merge_loc_conf             /* merge location configuration */
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
    ngx_int_t                rc;
    ngx_uint_t               resource;
    ngx_mc_generation_t     *gen;
    ngx_mc_control_item_t    item;
    ngx_mc_http_loc_conf_t  *lcf;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->background) {
        /* mirrored: nobody reads the answer */
        return NGX_OK;
    }

    resource = ngx_mc_http_route(r, &item);

    if (resource == NGX_MC_HTTP_UNKNOWN) {
        return ngx_mc_http_not_found(r);
    }

    if (resource != NGX_MC_HTTP_STATUS) {
        gen = ngx_mc_registry_current();

        if (ngx_mc_registry_find(gen, item.flow.data, item.flow.len)
            == NULL)
        {
            return ngx_mc_http_not_found(r);
        }
    }

    if (resource == NGX_MC_HTTP_CONTROL) {

        if (r->method != NGX_HTTP_POST) {
            return ngx_mc_http_not_allowed(r, "POST");
        }

        lcf = ngx_http_get_module_loc_conf(r, ngx_mc_http_module);

        if (!lcf->control) {
            return ngx_mc_http_error(r, NGX_HTTP_FORBIDDEN, "control_off",
                                     "this location does not control flows");
        }

        return ngx_mc_http_control(r, &item);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_mc_http_not_allowed(r, "GET, HEAD");
    }

    switch (resource) {

    case NGX_MC_HTTP_STATUS:
        return ngx_mc_http_status(r);

    case NGX_MC_HTTP_FLOW:
        return ngx_mc_http_status_flow(r, &item.flow);

    default: /* NGX_MC_HTTP_EVENTS */
        return ngx_mc_http_events(r, &item.flow);
    }
}


/* what the path behind the location's prefix names; a last slash is ignored */

static ngx_uint_t
ngx_mc_http_route(ngx_http_request_t *r, ngx_mc_control_item_t *item)
{
    size_t                     len;
    u_char                    *p, *last;
    ngx_str_t                  s[NGX_MC_HTTP_SEGMENTS];
    ngx_uint_t                 n;
    ngx_http_core_loc_conf_t  *clcf;

#define ngx_mc_http_segment_is(i, text)                                       \
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

    if (n == 1 || !ngx_mc_http_segment_is(0, "flows")) {
        return NGX_MC_HTTP_UNKNOWN;
    }

    ngx_memzero(item, sizeof(ngx_mc_control_item_t));

    item->flow = s[1];

    switch (n) {

    case 2:
        return NGX_MC_HTTP_FLOW;

    case 3:
        if (ngx_mc_http_segment_is(2, "events")) {
            return NGX_MC_HTTP_EVENTS;
        }

        item->kind = NGX_MC_CONTROL_FLOW;
        break;

    case 4:
        if (!ngx_mc_http_segment_is(2, "source")) {
            return NGX_MC_HTTP_UNKNOWN;
        }

        item->kind = NGX_MC_CONTROL_SOURCE;

        if (ngx_mc_http_segment_is(3, "primary")) {
            item->value = NGX_MC_CHOICE_PRIMARY;

        } else if (ngx_mc_http_segment_is(3, "backup")) {
            item->value = NGX_MC_CHOICE_BACKUP;

        } else if (ngx_mc_http_segment_is(3, "auto")) {
            item->value = NGX_MC_CHOICE_AUTO;

        } else {
            return NGX_MC_HTTP_UNKNOWN;
        }

        return NGX_MC_HTTP_CONTROL;

    default: /* 5 */
        if (!ngx_mc_http_segment_is(2, "outputs") || s[3].len == 0) {
            return NGX_MC_HTTP_UNKNOWN;
        }

        item->kind = NGX_MC_CONTROL_OUTPUT;
        item->name = s[3];
        break;
    }

    if (ngx_mc_http_segment_is(n - 1, "start")) {
        item->value = NGX_MC_CONTROL_START;
        return NGX_MC_HTTP_CONTROL;
    }

    if (ngx_mc_http_segment_is(n - 1, "stop")) {
        item->value = NGX_MC_CONTROL_STOP;
        return NGX_MC_HTTP_CONTROL;
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


/* all modules have merged their settings by now */

static ngx_int_t
ngx_mc_http_init(ngx_conf_t *cf)
{
    ngx_uint_t                 i;
    ngx_mc_http_main_conf_t   *mcf;
    ngx_mc_http_controlled_t  *controlled;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_mc_http_module);

    controlled = mcf->controlled.elts;

    for (i = 0; i < mcf->controlled.nelts; i++) {

        if (ngx_mc_http_is_protected(cf, &controlled[i])) {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"mc_status control=on\" in an unprotected location: "
                      "whoever reaches it can stop flows; add \"allow\" and "
                      "\"deny\", \"auth_basic\" or the like in %V:%ui",
                      &controlled[i].file, controlled[i].line);
    }

    return NGX_OK;
}


/*
 * A listening address on loopback does not count: every user of the machine
 * reaches it, and every page that a browser there shows can try.
 */

static ngx_uint_t
ngx_mc_http_is_protected(ngx_conf_t *cf, ngx_mc_http_controlled_t *controlled)
{
    void                             **loc_conf;
    ngx_module_t                      *module;
    ngx_http_core_loc_conf_t          *clcf;
    ngx_mc_http_access_conf_t         *access;
    ngx_mc_http_auth_basic_conf_t     *basic;
    ngx_mc_http_auth_request_conf_t   *request;
#if (NGX_HTTP_SSL)
    ngx_http_ssl_srv_conf_t           *ssl;
#endif

    loc_conf = controlled->loc_conf;
    clcf = loc_conf[ngx_http_core_module.ctx_index];

    if (clcf->internal) {
        return 1;
    }

    if (clcf->limit_except & NGX_HTTP_POST) {
        /* what stands in limit_except is for POST, and has inherited */
        loc_conf = clcf->limit_except_loc_conf;
    }

    module = ngx_mc_http_find_module(cf, "ngx_http_access_module");

    if (module) {
        access = loc_conf[module->ctx_index];

        if (access->rules
#if (NGX_HAVE_INET6)
            || access->rules6
#endif
#if (NGX_HAVE_UNIX_DOMAIN)
            || access->rules_un
#endif
           )
        {
            return 1;
        }
    }

    module = ngx_mc_http_find_module(cf, "ngx_http_auth_basic_module");

    if (module) {
        basic = loc_conf[module->ctx_index];

        /* "auth_basic off" is a realm too */

        if (basic->realm
            && !(basic->realm->value.len == 3
                 && ngx_strncmp(basic->realm->value.data, "off", 3) == 0))
        {
            return 1;
        }
    }

    module = ngx_mc_http_find_module(cf, "ngx_http_auth_request_module");

    if (module) {
        request = loc_conf[module->ctx_index];

        if (request->uri.len) {
            return 1;
        }
    }

#if (NGX_HTTP_SSL)

    module = ngx_mc_http_find_module(cf, "ngx_http_ssl_module");

    if (module) {
        ssl = controlled->srv_conf[module->ctx_index];

        /* "on": optional ones have to be looked at by someone */

        if (ssl->verify == 1) {
            return 1;
        }
    }

#endif

    return 0;
}


static ngx_module_t *
ngx_mc_http_find_module(ngx_conf_t *cf, const char *name)
{
    ngx_uint_t      i;
    ngx_module_t  **modules;

    modules = cf->cycle->modules;

    for (i = 0; modules[i]; i++) {
        if (modules[i]->type == NGX_HTTP_MODULE
            && ngx_strcmp(modules[i]->name, name) == 0)
        {
            return modules[i];
        }
    }

    return NULL;
}


static void *
ngx_mc_http_create_main_conf(ngx_conf_t *cf)
{
    ngx_mc_http_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_mc_http_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->controlled, cf->pool, 1,
                       sizeof(ngx_mc_http_controlled_t))
        != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


static void *
ngx_mc_http_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_mc_http_loc_conf_t));
}


/* only into "if" and "limit_except", as proxy_pass: they are the location */

static char *
ngx_mc_http_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_mc_http_loc_conf_t *prev = parent;
    ngx_mc_http_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (!clcf->noname || !prev->status || clcf->handler) {
        return NGX_CONF_OK;
    }

    *conf = *prev;

    if (clcf->lmt_excpt) {
        clcf->handler = ngx_mc_http_handler;
    }

    return NGX_CONF_OK;
}


static char *
ngx_mc_http_set_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_mc_http_loc_conf_t *lcf = conf;

    char                      *kind, *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_conf_ctx_t       *ctx;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_mc_http_main_conf_t   *mcf;
    ngx_mc_http_controlled_t  *controlled;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (lcf->status) {
        return "is duplicate";
    }

    lcf->status = 1;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        rv = ngx_mc_http_set_param(cf, lcf, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
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

    if (!lcf->control) {
        return NGX_CONF_OK;
    }

    ngx_mc_main_conf(cf->cycle)->control = 1;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_mc_http_module);

    controlled = ngx_array_push(&mcf->controlled);
    if (controlled == NULL) {
        return NGX_CONF_ERROR;
    }

    ctx = cf->ctx;

    controlled->loc_conf = ctx->loc_conf;
    controlled->srv_conf = ctx->srv_conf;
    controlled->file = cf->conf_file->file.name;
    controlled->line = cf->conf_file->line;

    return NGX_CONF_OK;
}


static char *
ngx_mc_http_set_param(ngx_conf_t *cf, ngx_mc_http_loc_conf_t *lcf,
    ngx_str_t *param)
{
    u_char  *p, *last;

    last = param->data + param->len;

    p = ngx_strlchr(param->data, last, '=');

    if (p == NULL) {
        p = last;
    }

    /* the name only: what was meant as its value may be secret */

    if (p - param->data != sizeof("control") - 1
        || ngx_strncmp(param->data, "control", sizeof("control") - 1) != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%*s\" of \"mc_status\", "
                           "it has \"control=on\" only",
                           (size_t) (p - param->data), param->data);
        return NGX_CONF_ERROR;
    }

    if (lcf->control) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"control\" of "
                           "\"mc_status\"");
        return NGX_CONF_ERROR;
    }

    if (last - p != sizeof("=on") - 1
        || ngx_strncmp(p, "=on", sizeof("=on") - 1) != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value of \"control\": write "
                           "\"control=on\", or leave it out");
        return NGX_CONF_ERROR;
    }

    lcf->control = 1;

    return NGX_CONF_OK;
}
