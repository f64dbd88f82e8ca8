
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_conf.h>
#include <ngx_mc_change.h>
#include <ngx_mc_owner.h>
#include <ngx_mc_control.h>
#include <ngx_mc_resolve.h>


#define NGX_MC_FLOW_CONF   0x02000000

#define NGX_MC_ZONE_SIZE   (64 * 1024 * 1024)
#define NGX_MC_LATENCY     120
#define NGX_MC_BATCH       2
#define NGX_MC_BATCH_MAX   20

/* what a worker needs besides the sockets of flows */
#define NGX_MC_CONNECTIONS 32


static char *ngx_mc_flow_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_mc_flow_text(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_mc_flow_state(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_flow_source(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_flow_output(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_flow_endpoint(ngx_conf_t *cf, ngx_mc_flow_conf_t *fcf,
    ngx_uint_t direction, ngx_uint_t first);
static char *ngx_mc_common_allow(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_common_max_bandwidth(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_common_time(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_common_event_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_mc_region(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_mc_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_mc_zone_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_mc_common_conf_t *ngx_mc_common_conf(ngx_conf_t *cf);

static void *ngx_mc_create_conf(ngx_cycle_t *cycle);
static void ngx_mc_conf_cleanup(void *data);
static void ngx_mc_common_create(ngx_mc_common_conf_t *common);
static char *ngx_mc_init_conf(ngx_cycle_t *cycle, void *conf);
static char *ngx_mc_check_types(ngx_conf_t *cf, ngx_mc_main_conf_t *mcf);
static ngx_int_t ngx_mc_init_flows(ngx_conf_t *cf, ngx_mc_main_conf_t *mcf);
static ngx_int_t ngx_mc_init_limits(ngx_conf_t *cf, ngx_mc_main_conf_t *mcf);
static int ngx_libc_cdecl ngx_mc_cmp_flows(const void *one, const void *two);
static ngx_int_t ngx_mc_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_mc_init_process(ngx_cycle_t *cycle);
static void ngx_mc_exit_process(ngx_cycle_t *cycle);


/* those of this .so; others add theirs */

static ngx_mc_endpoint_type_t   *ngx_mc_own_types[] = {
    &ngx_mc_srt_type,
    &ngx_mc_rtp_type,
    &ngx_mc_udp_type,
    NULL
};


ngx_mc_endpoint_type_t         **ngx_mc_types = ngx_mc_own_types;


static ngx_command_t  ngx_mc_commands[] = {

    { ngx_string("mc_flow"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_mc_flow_block,
      0,
      0,
      NULL },

    { ngx_string("mc_source"),
      NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_1MORE,
      ngx_mc_flow_source,
      0,
      0,
      NULL },

    { ngx_string("mc_output"),
      NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_2MORE,
      ngx_mc_flow_output,
      0,
      0,
      NULL },

    { ngx_string("mc_title"),
      NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_flow_text,
      0,
      0,
      NULL },

    { ngx_string("mc_description"),
      NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_flow_text,
      0,
      0,
      NULL },

    { ngx_string("mc_state"),
      NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_flow_state,
      0,
      0,
      NULL },

    { ngx_string("mc_allow"),
      NGX_MAIN_CONF|NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_1MORE,
      ngx_mc_common_allow,
      0,
      0,
      NULL },

    { ngx_string("mc_max_bandwidth"),
      NGX_MAIN_CONF|NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE12,
      ngx_mc_common_max_bandwidth,
      0,
      0,
      NULL },

    { ngx_string("mc_latency"),
      NGX_MAIN_CONF|NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_common_time,
      0,
      offsetof(ngx_mc_common_conf_t, latency),
      NULL },

    { ngx_string("mc_batch"),
      NGX_MAIN_CONF|NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_common_time,
      0,
      offsetof(ngx_mc_common_conf_t, batch),
      NULL },

    { ngx_string("mc_event_log"),
      NGX_MAIN_CONF|NGX_MC_FLOW_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_common_event_log,
      0,
      0,
      NULL },

    { ngx_string("mc_region"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_region,
      0,
      0,
      NULL },

    { ngx_string("mc_resolver"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_1MORE,
      ngx_mc_resolver,
      0,
      0,
      NULL },

    { ngx_string("mc_guard"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      0,
      offsetof(ngx_mc_main_conf_t, registry.guard),
      NULL },

    { ngx_string("mc_zone_size"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_mc_zone_size,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_core_module_t  ngx_mc_module_ctx = {
    ngx_string("mc"),
    ngx_mc_create_conf,
    ngx_mc_init_conf
};


ngx_module_t  ngx_mc_module = {
    NGX_MODULE_V1,
    &ngx_mc_module_ctx,                    /* module context */
    ngx_mc_commands,                       /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_mc_init_module,                    /* init module */
    ngx_mc_init_process,                   /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_mc_exit_process,                   /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* the block being parsed; NULL in main */
static ngx_mc_flow_conf_t  *ngx_mc_flow_conf;


static char *
ngx_mc_flow_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                 *rv;
    ngx_str_t            *value;
    ngx_uint_t            i;
    ngx_conf_t            save;
    ngx_mc_flow_def_t    *flow, **flows;
    ngx_mc_main_conf_t   *mcf;
    ngx_mc_flow_conf_t   *fcf;

    mcf = ngx_mc_main_conf(cf->cycle);
    value = cf->args->elts;

    if (ngx_mc_def_check_name(&value[1]) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid flow name \"%V\": 1 to 64 letters, "
                           "digits, \"_\", \".\" or \"-\" are allowed",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    flows = mcf->flows.elts;

    for (i = 0; i < mcf->flows.nelts; i++) {
        if (flows[i]->name.len == value[1].len
            && ngx_strncmp(flows[i]->name.data, value[1].data, value[1].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate flow \"%V\", the first is in %V:%ui",
                               &value[1], &flows[i]->file, flows[i]->line);
            return NGX_CONF_ERROR;
        }
    }

    fcf = ngx_pcalloc(cf->pool, sizeof(ngx_mc_flow_conf_t));
    if (fcf == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_mc_common_create(&fcf->common);

    flow = &fcf->def;
    flow->name = value[1];
    flow->file = cf->conf_file->file.name;
    flow->line = cf->conf_file->line;

    if (ngx_array_init(&flow->sources, cf->pool, 2,
                       sizeof(ngx_mc_endpoint_def_t))
        != NGX_OK
        || ngx_array_init(&flow->outputs, cf->pool, 4,
                          sizeof(ngx_mc_endpoint_def_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    flows = ngx_array_push(&mcf->flows);
    if (flows == NULL) {
        return NGX_CONF_ERROR;
    }

    *flows = flow;

    save = *cf;
    cf->cmd_type = NGX_MC_FLOW_CONF;
    ngx_mc_flow_conf = fcf;

    rv = ngx_conf_parse(cf, NULL);

    ngx_mc_flow_conf = NULL;
    *cf = save;

    return rv;
}


static char *
ngx_mc_flow_source(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mc_flow_endpoint(cf, ngx_mc_flow_conf, NGX_MC_INPUT, 1);
}


static char *
ngx_mc_flow_output(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_mc_def_check_name(&value[1]) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid output name \"%V\": 1 to 64 letters, "
                           "digits, \"_\", \".\" or \"-\" are allowed, and "
                           "the URL comes after the name", &value[1]);
        return NGX_CONF_ERROR;
    }

    return ngx_mc_flow_endpoint(cf, ngx_mc_flow_conf, NGX_MC_OUTPUT, 2);
}


static char *
ngx_mc_flow_endpoint(ngx_conf_t *cf, ngx_mc_flow_conf_t *fcf,
    ngx_uint_t direction, ngx_uint_t first)
{
    u_char                 *p;
    ngx_str_t              *value, name, arg;
    ngx_uint_t              i;
    ngx_array_t            *array;
    ngx_mc_parse_t          parse;
    ngx_mc_endpoint_def_t  *def;

    value = cf->args->elts;

    array = (direction == NGX_MC_INPUT) ? &fcf->def.sources
                                        : &fcf->def.outputs;

    def = ngx_array_push(array);
    if (def == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&parse, sizeof(ngx_mc_parse_t));
    parse.pool = cf->pool;
    parse.cf = cf;

    ngx_mc_def_init_endpoint(def);

    def->direction = direction;
    def->file = cf->conf_file->file.name;
    def->line = cf->conf_file->line;

    if (direction == NGX_MC_INPUT) {
        ngx_str_set(&def->name, "source");

    } else {
        def->name = value[1];
    }

    /* the words first: some decide what the parameters may be */

    for (i = first + 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "backup") == 0) {
            if (def->pipeline == NGX_MC_BACKUP) {
                goto duplicate;
            }

            def->pipeline = NGX_MC_BACKUP;

        } else if (ngx_strcmp(value[i].data, "off") == 0) {
            if (def->off) {
                goto duplicate;
            }

            def->off = 1;
        }
    }

    if (ngx_mc_def_parse_url(&parse, def, &value[first]) != NGX_OK) {
        goto failed;
    }

    for (i = first + 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "backup") == 0
            || ngx_strcmp(value[i].data, "off") == 0)
        {
            continue;
        }

        p = ngx_strlchr(value[i].data, value[i].data + value[i].len, '=');

        name = value[i];

        if (p == NULL) {
            arg.len = 0;
            arg.data = NULL;

        } else {
            name.len = p - name.data;
            arg.data = p + 1;
            arg.len = value[i].len - name.len - 1;
        }

        if (ngx_mc_def_parse_param(&parse, def, &name, &arg) != NGX_OK) {
            goto failed;
        }
    }

    if (ngx_mc_def_check_endpoint(&parse, def) != NGX_OK) {
        goto failed;
    }

    return NGX_CONF_OK;

duplicate:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate \"%V\"", &value[i]);
    return NGX_CONF_ERROR;

failed:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", parse.err);
    return NGX_CONF_ERROR;
}


static char *
ngx_mc_flow_text(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t           *value, *field;
    ngx_uint_t          *set;
    ngx_mc_flow_conf_t  *fcf;

    fcf = ngx_mc_flow_conf;
    value = cf->args->elts;

    if (cmd->name.len == sizeof("mc_title") - 1) {
        field = &fcf->def.title;
        set = &fcf->title_set;

    } else {
        field = &fcf->def.description;
        set = &fcf->description_set;
    }

    if (*set) {
        return "is duplicate";
    }

    *set = 1;

    if (ngx_mc_def_check_text(&value[1]) != NGX_OK) {
        return "must be UTF-8 without control characters, at most 255 of them";
    }

    *field = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_mc_flow_state(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t           *value;
    ngx_mc_flow_conf_t  *fcf;

    fcf = ngx_mc_flow_conf;
    value = cf->args->elts;

    if (fcf->state_set) {
        return "is duplicate";
    }

    fcf->state_set = 1;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        fcf->def.stopped = 0;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        fcf->def.stopped = 1;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mc_state\" directive, "
                           "it must be \"on\" or \"off\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_mc_common_conf_t *
ngx_mc_common_conf(ngx_conf_t *cf)
{
    ngx_mc_main_conf_t  *mcf;

    if (ngx_mc_flow_conf) {
        return &ngx_mc_flow_conf->common;
    }

    mcf = ngx_mc_main_conf(cf->cycle);

    return &mcf->common;
}


static char *
ngx_mc_common_allow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t             *value;
    ngx_uint_t             i;
    ngx_mc_parse_t         parse;
    ngx_mc_common_conf_t  *common;

    common = ngx_mc_common_conf(cf);
    value = cf->args->elts;

    common->allow_set = 1;

    ngx_memzero(&parse, sizeof(ngx_mc_parse_t));
    parse.pool = cf->pool;
    parse.cf = cf;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_mc_def_add_cidr(&parse, &common->allow, &value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", parse.err);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_mc_common_max_bandwidth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t             *value;
    ngx_mc_common_conf_t  *common;

    common = ngx_mc_common_conf(cf);
    value = cf->args->elts;

    if (common->max_bandwidth != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    common->max_bandwidth = ngx_mc_parse_rate(&value[1]);

    if (common->max_bandwidth <= 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid rate \"%V\", it must be a number of bits "
                           "a second, such as \"20m\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[2].data, "exceed=drop") == 0) {
        common->exceed = NGX_MC_EXCEED_DROP;

    } else if (ngx_strcmp(value[2].data, "exceed=alarm") == 0) {
        common->exceed = NGX_MC_EXCEED_ALARM;

    } else if (ngx_strcmp(value[2].data, "exceed=disconnect") == 0) {
        common->exceed = NGX_MC_EXCEED_DISCONNECT;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", it must be "
                           "\"exceed=drop\", \"exceed=alarm\" or "
                           "\"exceed=disconnect\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_mc_common_time(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char                 last;
    ngx_int_t              ms;
    ngx_str_t             *value;
    ngx_msec_t            *field, max;
    ngx_mc_common_conf_t  *common;

    common = ngx_mc_common_conf(cf);
    value = cf->args->elts;

    field = (ngx_msec_t *) ((char *) common + cmd->offset);

    if (*field != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    ms = ngx_parse_time(&value[1], 0);

    if (ms == NGX_ERROR || ms < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\", write for example \"2ms\" or "
                           "\"1s\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    /* nginx takes a bare number for seconds, most tools for milliseconds */

    last = value[1].data[value[1].len - 1];

    if (last >= '0' && last <= '9' && ms != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "time \"%V\" has no unit, write \"%Vms\"",
                           &value[1], &value[1]);
        return NGX_CONF_ERROR;
    }

    max = (field == &common->batch) ? NGX_MC_BATCH_MAX : 60000;

    if ((ngx_msec_t) ms > max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must be at most %Mms", &cmd->name, max);
        return NGX_CONF_ERROR;
    }

    *field = ms;

    return NGX_CONF_OK;
}


static char *
ngx_mc_common_event_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t             *value;
    ngx_mc_event_log_t    *el;
    ngx_mc_common_conf_t  *common;

    common = ngx_mc_common_conf(cf);
    value = cf->args->elts;

    if (common->event_log) {
        return "is duplicate";
    }

    el = ngx_pcalloc(cf->pool, sizeof(ngx_mc_event_log_t));
    if (el == NULL) {
        return NGX_CONF_ERROR;
    }

    common->event_log = el;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[1].data, "syslog:", 7) == 0) {
        el->syslog = ngx_pcalloc(cf->pool, sizeof(ngx_syslog_peer_t));
        if (el->syslog == NULL) {
            return NGX_CONF_ERROR;
        }

        return ngx_syslog_process_conf(cf, el->syslog);
    }

    el->file = ngx_conf_open_file(cf->cycle, &value[1]);
    if (el->file == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_mc_region(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t           *value;
    ngx_mc_main_conf_t  *mcf;

    mcf = ngx_mc_main_conf(cf->cycle);
    value = cf->args->elts;

    if (mcf->registry.region.data) {
        return "is duplicate";
    }

    if (value[1].len == 0 || ngx_mc_def_check_text(&value[1]) != NGX_OK) {
        return "must be UTF-8 without control characters, 1 to 255 of them";
    }

    mcf->registry.region = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_mc_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t           *value;
    ngx_mc_main_conf_t  *mcf;

    mcf = ngx_mc_main_conf(cf->cycle);
    value = cf->args->elts;

    if (mcf->resolver) {
        return "is duplicate";
    }

    mcf->resolver = ngx_resolver_create(cf, &value[1], cf->args->nelts - 1);

    return mcf->resolver ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_mc_zone_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t              size;
    ngx_str_t           *value;
    ngx_mc_main_conf_t  *mcf;

    mcf = ngx_mc_main_conf(cf->cycle);
    value = cf->args->elts;

    if (mcf->zone_size) {
        return "is duplicate";
    }

    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\", write for example \"64m\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < 1024 * 1024) {
        return "must be at least 1m";
    }

    mcf->zone_size = size;

    return NGX_CONF_OK;
}


static void *
ngx_mc_create_conf(ngx_cycle_t *cycle)
{
    ngx_uint_t           i;
    ngx_pool_cleanup_t  *cln;
    ngx_mc_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cycle->pool, sizeof(ngx_mc_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_process == NGX_PROCESS_MASTER) {

        /* a reload: whatever refuses it, the pool is destroyed */

        cln = ngx_pool_cleanup_add(cycle->pool, 0);
        if (cln == NULL) {
            return NULL;
        }

        cln->handler = ngx_mc_conf_cleanup;
        cln->data = mcf;
    }

    for (i = 0; ngx_mc_own_types[i]; i++) {
        mcf->types[i] = ngx_mc_own_types[i];
    }

    ngx_mc_common_create(&mcf->common);

    mcf->registry.guard = NGX_CONF_UNSET;

    if (ngx_array_init(&mcf->flows, cycle->pool, 16,
                       sizeof(ngx_mc_flow_def_t *))
        != NGX_OK)
    {
        return NULL;
    }

    /* of a configuration that failed within a block */
    ngx_mc_flow_conf = NULL;

    return mcf;
}


ngx_int_t
ngx_mc_type_add(ngx_cycle_t *cycle, ngx_mc_endpoint_type_t *type)
{
    ngx_uint_t           i;
    ngx_mc_main_conf_t  *mcf;

    mcf = ngx_mc_main_conf(cycle);

    if (mcf == NULL) {

        /* only in a reload: the symbols are those of the .so that is still
           loaded for the configuration before */

        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ngx_mc_module.so\" must be loaded before the modules "
                      "that add protocols to it");
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MC_TYPES; i++) {

        if (mcf->types[i] == type) {
            return NGX_OK;
        }

        if (mcf->types[i] == NULL) {
            mcf->types[i] = type;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


static void
ngx_mc_conf_cleanup(void *data)
{
    ngx_mc_main_conf_t *mcf = data;

    if (ngx_mc_registry && !mcf->registry.told) {
        ngx_mc_registry_reloaded(&mcf->registry, ngx_mc_registry,
                                 "refused, see the error log");
    }
}


static void
ngx_mc_common_create(ngx_mc_common_conf_t *common)
{
    ngx_memzero(common, sizeof(ngx_mc_common_conf_t));

    common->max_bandwidth = NGX_CONF_UNSET;
    common->latency = NGX_CONF_UNSET_MSEC;
    common->batch = NGX_CONF_UNSET_MSEC;
}


static char *
ngx_mc_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_mc_main_conf_t *mcf = conf;

    char             *rv;
    ngx_str_t         name;
    ngx_conf_t        cf;
    ngx_core_conf_t  *ccf;

    /* directives that other modules parse see no order: all checks are here */

    ngx_memzero(&cf, sizeof(ngx_conf_t));
    cf.cycle = cycle;
    cf.pool = cycle->pool;
    cf.temp_pool = cycle->pool;
    cf.log = cycle->log;
    cf.ctx = cycle->conf_ctx;

    ngx_conf_init_value(mcf->registry.guard, 0);

    if (mcf->zone_size == 0) {
        mcf->zone_size = NGX_MC_ZONE_SIZE;
    }

    if (ngx_mc_init_flows(&cf, mcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_mc_def_check_flows(&cf, &mcf->flows);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_mc_check_types(&cf, mcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_mc_init_limits(&cf, mcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_mc_resolve_conf(&cf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    mcf->registry.flows = &mcf->flows;
    mcf->registry.workers = ccf->master ? ccf->worker_processes : 1;

    /* a tag that stays the same when our .so is replaced */

    ngx_str_set(&name, "mc");

    mcf->zone = ngx_shared_memory_add(&cf, &name, mcf->zone_size,
                                      &ngx_core_module);
    if (mcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->zone->init = ngx_mc_registry_init;
    mcf->zone->data = &mcf->registry;

    return NGX_CONF_OK;
}


/* what types know of other modules, and that there is one for each endpoint */

static char *
ngx_mc_check_types(ngx_conf_t *cf, ngx_mc_main_conf_t *mcf)
{
    char                    *rv;
    ngx_uint_t               i, j, k;
    ngx_array_t             *list;
    ngx_mc_flow_def_t      **flows;
    ngx_mc_endpoint_def_t   *defs;
    ngx_mc_endpoint_type_t  *type;

    rv = NGX_CONF_OK;
    flows = mcf->flows.elts;

    for (i = 0; i < mcf->flows.nelts; i++) {
        for (j = 0; j < 2; j++) {

            list = (j == 0) ? &flows[i]->sources : &flows[i]->outputs;
            defs = list->elts;

            for (k = 0; k < list->nelts; k++) {

                type = ngx_mc_type_find(mcf->types, defs[k].protocol);

                if (type == NULL) {
                    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                                  "\"%V\" needs \"load_module modules/"
                                  "ngx_mc_rtmp_module.so;\" in %V:%ui",
                                  &defs[k].url, &defs[k].file, defs[k].line);
                    rv = NGX_CONF_ERROR;
                    continue;
                }

                if (type->check && type->check(cf, &defs[k]) != NGX_CONF_OK) {
                    rv = NGX_CONF_ERROR;
                }
            }
        }
    }

    return rv;
}


ngx_mc_endpoint_type_t *
ngx_mc_type_find(ngx_mc_endpoint_type_t **types, ngx_uint_t protocol)
{
    ngx_uint_t  i;

    for (i = 0; types[i]; i++) {
        if (types[i]->protocol == protocol) {
            return types[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_mc_init_flows(ngx_conf_t *cf, ngx_mc_main_conf_t *mcf)
{
    ngx_uint_t              i;
    ngx_mc_parse_t          parse;
    ngx_mc_flow_def_t     **flows, *flow;
    ngx_mc_flow_conf_t     *fcf;
    ngx_mc_common_conf_t   *main, *own;

    main = &mcf->common;

    ngx_conf_init_msec_value(main->latency, NGX_MC_LATENCY);
    ngx_conf_init_msec_value(main->batch, NGX_MC_BATCH);

    flows = mcf->flows.elts;

    ngx_qsort(flows, mcf->flows.nelts, sizeof(ngx_mc_flow_def_t *),
              ngx_mc_cmp_flows);

    ngx_memzero(&parse, sizeof(ngx_mc_parse_t));
    parse.pool = cf->pool;

    for (i = 0; i < mcf->flows.nelts; i++) {
        flow = flows[i];
        fcf = (ngx_mc_flow_conf_t *) flow;
        own = &fcf->common;

        flow->allow = own->allow_set ? own->allow : main->allow;

        flow->latency = (own->latency != NGX_CONF_UNSET_MSEC)
                        ? own->latency : main->latency;

        flow->batch = (own->batch != NGX_CONF_UNSET_MSEC)
                      ? own->batch : main->batch;

        if (own->max_bandwidth != NGX_CONF_UNSET) {
            flow->max_bandwidth = own->max_bandwidth;
            flow->exceed = own->exceed;

        } else {
            flow->max_bandwidth = (main->max_bandwidth != NGX_CONF_UNSET)
                                  ? main->max_bandwidth : 0;
            flow->exceed = main->exceed;
        }

        if (ngx_mc_def_write(&parse, flow) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s in %V:%ui",
                          parse.err, &flow->file, flow->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_init_limits(ngx_conf_t *cf, ngx_mc_main_conf_t *mcf)
{
    size_t                   needed;
    ngx_uint_t               i, j, n, workers, ngroups, *sources, *hints;
    ngx_core_conf_t         *ccf;
    ngx_event_conf_t        *ecf;
    ngx_mc_flow_def_t      **flows;
    ngx_mc_endpoint_def_t   *def;

    needed = ngx_mc_registry_needed(&mcf->flows);

    if (needed > mcf->zone_size) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%ui flows need \"mc_zone_size %uzm\", it is %uzm",
                      mcf->flows.nelts, needed / 1024 / 1024,
                      mcf->zone_size / 1024 / 1024);
        return NGX_ERROR;
    }

    if (mcf->flows.nelts == 0
        || ngx_get_conf(cf->cycle->conf_ctx, ngx_events_module) == NULL)
    {
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);
    ecf = ngx_event_get_conf(cf->cycle->conf_ctx, ngx_event_core_module);

    /* groups are dealt as ngx_mc_registry_build() does it */

    workers = ccf->master ? ccf->worker_processes : 1;

    sources = ngx_pcalloc(cf->pool, (workers + mcf->flows.nelts)
                                    * sizeof(ngx_uint_t));
    if (sources == NULL) {
        return NGX_ERROR;
    }

    hints = sources + workers;
    flows = mcf->flows.elts;
    ngroups = 0;
    n = 0;

    for (i = 0; i < mcf->flows.nelts; i++) {

        for (j = 0; j < i; j++) {
            if (flows[i]->group.data == flows[j]->name.data) {
                break;
            }
        }

        hints[i] = (j == i) ? ngroups++ % workers : hints[j];

        def = flows[i]->sources.elts;

        for (j = 0; j < flows[i]->sources.nelts; j++) {
            if (def[j].protocol & NGX_MC_DATAGRAM) {
                sources[hints[i]]++;
            }
        }

        n = ngx_max(n, sources[hints[i]]);
    }

    n += NGX_MC_CONNECTIONS;

    if (n > ecf->connections) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%ui flows need \"worker_connections %ui\" besides what "
                      "other clients take, it is %ui",
                      mcf->flows.nelts, n, ecf->connections);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_mc_event_log_t *
ngx_mc_conf_event_log(ngx_cycle_t *cycle, ngx_str_t *name)
{
    ngx_int_t             rc;
    ngx_uint_t            low, high, i;
    ngx_mc_flow_def_t   **flows;
    ngx_mc_flow_conf_t   *fcf;
    ngx_mc_main_conf_t   *mcf;

    mcf = ngx_mc_main_conf(cycle);
    flows = mcf->flows.elts;

    low = 0;
    high = mcf->flows.nelts;

    while (low < high) {
        i = (low + high) / 2;

        rc = ngx_memn2cmp(flows[i]->name.data, name->data,
                          flows[i]->name.len, name->len);
        if (rc == 0) {
            fcf = (ngx_mc_flow_conf_t *) flows[i];

            if (fcf->common.event_log) {
                return fcf->common.event_log;
            }

            break;
        }

        if (rc < 0) {
            low = i + 1;

        } else {
            high = i;
        }
    }

    return mcf->common.event_log;
}


static int ngx_libc_cdecl
ngx_mc_cmp_flows(const void *one, const void *two)
{
    ngx_mc_flow_def_t  *a, *b;

    a = *(ngx_mc_flow_def_t **) one;
    b = *(ngx_mc_flow_def_t **) two;

    return ngx_memn2cmp(a->name.data, b->name.data, a->name.len, b->name.len);
}


/* must not fail: the master would exit.  What can be refused has been */

static ngx_int_t
ngx_mc_init_module(ngx_cycle_t *cycle)
{
    ngx_mc_main_conf_t  *mcf;

    if (ngx_test_config) {
        return NGX_OK;
    }

    mcf = ngx_mc_main_conf(cycle);

    ngx_mc_registry_attach(mcf->zone);
    ngx_mc_owner_init_module(cycle);
    ngx_mc_control_init_module(cycle, mcf->control);

    if (ngx_mc_registry->current && ngx_mc_registry->pending) {
        ngx_mc_change_report(cycle, ngx_mc_registry->current,
                             ngx_mc_registry->pending);
    }

    ngx_mc_registry_publish(&mcf->registry, cycle->log);

    ngx_mc_owner_notify();

    return NGX_OK;
}


/* must not fail: the worker would never come back */

static ngx_int_t
ngx_mc_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t           i;
    ngx_mc_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_mc_main_conf(cycle);

    ngx_mc_types = mcf->types;

    ngx_mc_registry_attach(mcf->zone);

    for (i = 0; ngx_mc_types[i]; i++) {
        if (ngx_mc_types[i]->init_process) {
            (void) ngx_mc_types[i]->init_process(cycle);
        }
    }

    (void) ngx_mc_owner_init_process(cycle);

    return NGX_OK;
}


static void
ngx_mc_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    ngx_mc_owner_exit_process();
    ngx_mc_control_exit_process();

    for (i = 0; ngx_mc_types[i]; i++) {
        if (ngx_mc_types[i]->exit_process) {
            ngx_mc_types[i]->exit_process(cycle);
        }
    }
}
