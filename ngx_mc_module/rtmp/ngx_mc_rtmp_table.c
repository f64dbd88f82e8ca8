
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp.h>


/*
 * What names in applications of rtmp{} belong to flows: read from the
 * definitions of the current generation when somebody asks for the first
 * time.  Few flows have RTMP, and people publish seldom: a list will do.
 */


static void ngx_mc_rtmp_table_build(void);
static ngx_int_t ngx_mc_rtmp_table_flow(ngx_mc_flow_entry_t *entry);


static ngx_array_t  *ngx_mc_rtmp_names;          /* ngx_mc_rtmp_name_t */
static ngx_pool_t   *ngx_mc_rtmp_names_pool;
static uint32_t      ngx_mc_rtmp_names_generation;


ngx_int_t
ngx_mc_rtmp_table_ready(void)
{
    ngx_uint_t  n;

    return (ngx_mc_rtmp_table(&n) || ngx_mc_registry_current() == NULL)
           ? NGX_OK : NGX_ERROR;
}


ngx_mc_rtmp_name_t *
ngx_mc_rtmp_table(ngx_uint_t *n)
{
    if (ngx_mc_rtmp_names == NULL
        || ngx_mc_rtmp_names_generation != ngx_mc_registry->generation)
    {
        ngx_mc_rtmp_table_build();
    }

    if (ngx_mc_rtmp_names == NULL) {
        *n = 0;
        return NULL;
    }

    *n = ngx_mc_rtmp_names->nelts;

    return ngx_mc_rtmp_names->elts;
}


ngx_mc_rtmp_name_t *
ngx_mc_rtmp_table_find(ngx_str_t *app, ngx_str_t *stream,
    ngx_uint_t direction)
{
    ngx_uint_t           i, n;
    ngx_mc_rtmp_name_t  *names;

    names = ngx_mc_rtmp_table(&n);

    for (i = 0; i < n; i++) {
        if (names[i].def.direction == direction
            && names[i].stream.len == stream->len
            && ngx_strncmp(names[i].stream.data, stream->data, stream->len)
               == 0
            && names[i].app.len == app->len
            && ngx_strncmp(names[i].app.data, app->data, app->len) == 0)
        {
            return &names[i];
        }
    }

    return NULL;
}


ngx_mc_rtmp_name_t *
ngx_mc_rtmp_table_app(ngx_str_t *app, ngx_uint_t direction)
{
    ngx_uint_t           i, n;
    ngx_mc_rtmp_name_t  *names;

    names = ngx_mc_rtmp_table(&n);

    for (i = 0; i < n; i++) {
        if (names[i].def.direction == direction
            && names[i].app.len == app->len
            && ngx_strncmp(names[i].app.data, app->data, app->len) == 0)
        {
            return &names[i];
        }
    }

    return NULL;
}


static void
ngx_mc_rtmp_table_build(void)
{
    ngx_uint_t            i;
    ngx_mc_generation_t  *gen;

    if (ngx_mc_rtmp_names_pool) {
        ngx_destroy_pool(ngx_mc_rtmp_names_pool);
    }

    ngx_mc_rtmp_names = NULL;
    ngx_mc_rtmp_names_pool = NULL;

    gen = ngx_mc_registry_current();

    if (gen == NULL) {
        return;
    }

    ngx_mc_rtmp_names_generation = gen->number;

    ngx_mc_rtmp_names_pool = ngx_create_pool(4096, ngx_cycle->log);
    if (ngx_mc_rtmp_names_pool == NULL) {
        return;
    }

    ngx_mc_rtmp_names = ngx_array_create(ngx_mc_rtmp_names_pool, 8,
                                         sizeof(ngx_mc_rtmp_name_t));

    for (i = 0; i < gen->nflows && ngx_mc_rtmp_names; i++) {
        if (ngx_mc_rtmp_table_flow(&gen->flows[i]) != NGX_OK) {
            ngx_mc_rtmp_names = NULL;
        }
    }
}


static ngx_int_t
ngx_mc_rtmp_table_flow(ngx_mc_flow_entry_t *entry)
{
    ngx_str_t               text, own;
    ngx_uint_t              i, n;
    ngx_mc_parse_t         *parse;
    ngx_mc_flow_def_t       flow;
    ngx_mc_rtmp_name_t     *name;
    ngx_mc_endpoint_def_t  *def;

    if (ngx_strnstr(entry->text.data, "rtmp", entry->text.len) == NULL) {
        return NGX_OK;
    }

    parse = ngx_pcalloc(ngx_mc_rtmp_names_pool, sizeof(ngx_mc_parse_t));
    if (parse == NULL) {
        return NGX_ERROR;
    }

    parse->pool = ngx_mc_rtmp_names_pool;

    /* shared memory is for the moment only */

    text.len = entry->text.len;
    text.data = ngx_pstrdup(ngx_mc_rtmp_names_pool, &entry->text);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    own.len = ngx_strlen(entry->stat->name);
    own.data = ngx_pnalloc(ngx_mc_rtmp_names_pool, own.len);
    if (own.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(own.data, entry->stat->name, own.len);

    if (ngx_mc_def_read(parse, &flow, &text) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "definition cannot be read: %s", parse->err);
        return NGX_ERROR;
    }

    n = flow.sources.nelts;

    for (i = 0; i < n + flow.outputs.nelts; i++) {

        def = (i < n) ? (ngx_mc_endpoint_def_t *) flow.sources.elts + i
                      : (ngx_mc_endpoint_def_t *) flow.outputs.elts + (i - n);

        if (def->protocol != NGX_MC_RTMP || def->host.len
            || i >= entry->nendpoints)
        {
            continue;
        }

        name = ngx_array_push(ngx_mc_rtmp_names);
        if (name == NULL) {
            return NGX_ERROR;
        }

        name->app = def->app;
        name->stream = def->stream;
        name->flow = own;
        name->def = *def;
        name->flow_stat = entry->stat;
        name->stat = entry->endpoints[i];
        name->hint = entry->hint;
        name->stopped = flow.stopped ? 1 : 0;
    }

    return NGX_OK;
}
