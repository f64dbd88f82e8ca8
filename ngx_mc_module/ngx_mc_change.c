
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc.h>
#include <ngx_mc_conf.h>
#include <ngx_mc_change.h>


typedef struct {
    ngx_cycle_t            *cycle;
    ngx_pool_t             *pool;            /* of one flow */
    ngx_mc_parse_t         *parse;
    ngx_str_t               flow;
    ngx_mc_event_log_t      event_log;
    ngx_syslog_peer_t      *peer;
    ngx_syslog_peer_t      *copy;            /* of peer */
} ngx_mc_change_t;


static void ngx_mc_change_flow(ngx_mc_change_t *ch, ngx_mc_flow_entry_t *from,
    ngx_mc_flow_entry_t *to);
static void ngx_mc_change_settings(ngx_mc_change_t *ch,
    ngx_mc_flow_def_t *from, ngx_mc_flow_def_t *to);
static void ngx_mc_change_endpoints(ngx_mc_change_t *ch, ngx_array_t *from,
    ngx_array_t *to);
static ngx_mc_endpoint_def_t *ngx_mc_change_find(ngx_array_t *defs,
    ngx_mc_endpoint_def_t *def);
static ngx_uint_t ngx_mc_change_differs(ngx_str_t *a, ngx_str_t *b);
static void ngx_mc_change_event_log(ngx_mc_change_t *ch);
static void ngx_mc_change_shut(ngx_mc_change_t *ch);
static void ngx_mc_change_tell(ngx_mc_change_t *ch,
    ngx_mc_endpoint_def_t *def, const char *fmt, ...);


void
ngx_mc_change_report(ngx_cycle_t *cycle, ngx_mc_generation_t *from,
    ngx_mc_generation_t *to)
{
    ngx_int_t             rc;
    ngx_uint_t            i, j;
    ngx_mc_change_t       ch;
    ngx_mc_flow_entry_t  *a, *b;

    ngx_memzero(&ch, sizeof(ngx_mc_change_t));
    ch.cycle = cycle;

    /* both are sorted by name */

    for (i = 0, j = 0; i < from->nflows || j < to->nflows; /* void */ ) {

        a = (i < from->nflows) ? &from->flows[i] : NULL;
        b = (j < to->nflows) ? &to->flows[j] : NULL;

        rc = (a == NULL) ? 1 : (b == NULL) ? -1
             : ngx_memn2cmp(a->stat->name, b->stat->name,
                            ngx_strlen(a->stat->name),
                            ngx_strlen(b->stat->name));

        if (rc < 0) {
            ngx_mc_change_flow(&ch, a, NULL);
            i++;

        } else if (rc > 0) {
            ngx_mc_change_flow(&ch, NULL, b);
            j++;

        } else {
            if (ngx_mc_change_differs(&a->text, &b->text)) {
                ngx_mc_change_flow(&ch, a, b);
            }

            i++;
            j++;
        }
    }

    ngx_mc_change_shut(&ch);
}


static void
ngx_mc_change_flow(ngx_mc_change_t *ch, ngx_mc_flow_entry_t *from,
    ngx_mc_flow_entry_t *to)
{
    ngx_mc_flow_def_t  a, b;

    ch->flow.data = from ? from->stat->name : to->stat->name;
    ch->flow.len = ngx_strlen(ch->flow.data);

    ch->pool = ngx_create_pool(4096, ch->cycle->log);
    if (ch->pool == NULL) {
        return;
    }

    ngx_mc_change_event_log(ch);

    if (to == NULL) {
        ngx_mc_change_tell(ch, NULL, "the flow is removed");
        goto done;
    }

    if (from == NULL) {
        ngx_mc_change_tell(ch, NULL, "the flow is added");
        goto done;
    }

    ch->parse = ngx_pcalloc(ch->pool, sizeof(ngx_mc_parse_t));
    if (ch->parse == NULL) {
        goto done;
    }

    ch->parse->pool = ch->pool;

    if (ngx_mc_def_read(ch->parse, &a, &from->text) != NGX_OK
        || ngx_mc_def_read(ch->parse, &b, &to->text) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ALERT, ch->cycle->log, 0,
                      "definition of flow \"%V\" cannot be read: %s",
                      &ch->flow, ch->parse->err);
        goto done;
    }

    ngx_mc_change_settings(ch, &a, &b);
    ngx_mc_change_endpoints(ch, &a.sources, &b.sources);
    ngx_mc_change_endpoints(ch, &a.outputs, &b.outputs);

done:

    ngx_destroy_pool(ch->pool);
}


static void
ngx_mc_change_settings(ngx_mc_change_t *ch, ngx_mc_flow_def_t *from,
    ngx_mc_flow_def_t *to)
{
    u_char      names[NGX_MC_EVENT_MESSAGE_LEN], *p, *last;
    ngx_uint_t  i;

    struct {
        ngx_uint_t   differs;
        const char  *name;
    } settings[] = {
        { ngx_mc_change_differs(&from->title, &to->title), "mc_title" },
        { ngx_mc_change_differs(&from->description, &to->description),
          "mc_description" },
        { from->stopped != to->stopped, "mc_state" },
        { from->batch != to->batch, "mc_batch" },
        { from->max_bandwidth != to->max_bandwidth
          || from->exceed != to->exceed, "mc_max_bandwidth" }
    };

    p = names;
    last = names + sizeof(names) - 1;

    for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (settings[i].differs) {
            p = ngx_slprintf(p, last, "%s%s", (p == names) ? "" : ", ",
                             settings[i].name);
        }
    }

    if (p != names) {
        *p = '\0';
        ngx_mc_change_tell(ch, NULL, "changed: %s", names);
    }
}


static void
ngx_mc_change_endpoints(ngx_mc_change_t *ch, ngx_array_t *from,
    ngx_array_t *to)
{
    u_char                  names[NGX_MC_EVENT_MESSAGE_LEN];
    ngx_uint_t              i, changed;
    ngx_mc_endpoint_def_t  *def, *old;

    def = from->elts;

    for (i = 0; i < from->nelts; i++) {
        if (ngx_mc_change_find(to, &def[i]) == NULL) {
            ngx_mc_change_tell(ch, &def[i], "removed");
        }
    }

    def = to->elts;

    for (i = 0; i < to->nelts; i++) {
        old = ngx_mc_change_find(from, &def[i]);

        if (old == NULL) {
            ngx_mc_change_tell(ch, &def[i], "added");
            continue;
        }

        if (!ngx_mc_change_differs(&old->text, &def[i].text)) {
            continue;
        }

        changed = ngx_mc_def_changed(ch->parse, old, &def[i], names,
                                     sizeof(names));

        ngx_mc_change_tell(ch, &def[i], "changed%s: %s",
                           (changed & NGX_MC_CHANGED_REOPEN)
                           ? ", is opened anew" : "", names);
    }
}


static ngx_mc_endpoint_def_t *
ngx_mc_change_find(ngx_array_t *defs, ngx_mc_endpoint_def_t *def)
{
    ngx_uint_t              i;
    ngx_mc_endpoint_def_t  *d;

    d = defs->elts;

    for (i = 0; i < defs->nelts; i++) {
        if (ngx_mc_def_is_same(&d[i], def)) {
            return &d[i];
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_mc_change_differs(ngx_str_t *a, ngx_str_t *b)
{
    return a->len != b->len
           || (a->len && ngx_memcmp(a->data, b->data, a->len) != 0);
}


/*
 * A syslog peer that is used while the configuration is being replaced would
 * be shut together with the old one, for good: a copy of it is used, and shut
 * by us.
 */

static void
ngx_mc_change_event_log(ngx_mc_change_t *ch)
{
    ngx_mc_event_log_t  *el;

    el = ngx_mc_conf_event_log(ch->cycle, &ch->flow);

    ch->event_log.file = el ? el->file : NULL;

    if (el == NULL || el->syslog == NULL) {
        ch->event_log.syslog = NULL;
        return;
    }

    if (ch->peer != el->syslog) {

        if (ch->copy == NULL) {
            ch->copy = ngx_palloc(ch->cycle->pool, sizeof(ngx_syslog_peer_t));
            if (ch->copy == NULL) {
                ch->event_log.syslog = NULL;
                return;
            }

        } else {
            ngx_mc_change_shut(ch);
        }

        *ch->copy = *el->syslog;
        ch->peer = el->syslog;
    }

    ch->event_log.syslog = ch->copy;
}


static void
ngx_mc_change_shut(ngx_mc_change_t *ch)
{
    if (ch->copy && ch->copy->conn.fd != (ngx_socket_t) -1) {
        (void) ngx_close_socket(ch->copy->conn.fd);
        ch->copy->conn.fd = (ngx_socket_t) -1;
    }
}


/* def is NULL: of the flow */

static void
ngx_mc_change_tell(ngx_mc_change_t *ch, ngx_mc_endpoint_def_t *def,
    const char *fmt, ...)
{
    u_char           *p, message[NGX_MC_EVENT_MESSAGE_LEN];
    va_list           args;
    static ngx_str_t  none = ngx_string("");

    va_start(args, fmt);
    p = ngx_vslprintf(message, message + sizeof(message) - 1, fmt, args);
    va_end(args);
    *p = '\0';

    if (def) {
        ngx_log_error(NGX_LOG_NOTICE, ch->cycle->log, 0,
                      "flow \"%V\", %V \"%V\": config_changed: %s", &ch->flow,
                      ngx_mc_event_type_name(def->direction, def->pipeline),
                      &def->name, message);

    } else {
        ngx_log_error(NGX_LOG_NOTICE, ch->cycle->log, 0,
                      "flow \"%V\": config_changed: %s", &ch->flow, message);
    }

    ngx_mc_event_write(&ch->event_log, def ? def->direction : NGX_MC_INPUT,
                       def ? def->pipeline : NGX_MC_PRIMARY, &ch->flow,
                       def ? &def->name : &none,
                       NGX_MC_EVENT_CONFIG_CHANGED, message, NULL);
}
