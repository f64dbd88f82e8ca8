
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_mc_http.h>


/*
 * The answer shows what has become of the request, so it waits for the owner
 * of the flow, another process maybe: ms between looks, and at most.
 */

#define NGX_MC_HTTP_POLL  5
#define NGX_MC_HTTP_WAIT  500


typedef struct {
    ngx_http_request_t  *request;
    ngx_str_t            flow;

    /* event ident must be after 3 pointers as in ngx_connection_t */
    ngx_int_t            ident;

    ngx_atomic_uint_t    number;
    ngx_msec_t           end;
    ngx_event_t          event;
} ngx_mc_http_wait_t;


static ngx_uint_t ngx_mc_http_cross_site(ngx_http_request_t *r);
static ngx_uint_t ngx_mc_http_is_header(ngx_table_elt_t *h, const char *name);
static ngx_uint_t ngx_mc_http_is_origin(ngx_http_request_t *r,
    ngx_str_t *origin);
static ngx_int_t ngx_mc_http_wait(ngx_http_request_t *r, ngx_str_t *flow,
    ngx_atomic_uint_t number);
static void ngx_mc_http_wait_handler(ngx_event_t *ev);
static void ngx_mc_http_wait_cleanup(void *data);
static ngx_int_t ngx_mc_http_flow(ngx_http_request_t *r, ngx_str_t *flow);


ngx_int_t
ngx_mc_http_control(ngx_http_request_t *r, ngx_mc_control_item_t *item)
{
    ngx_int_t          rc;
    ngx_log_t         *log;
    ngx_atomic_uint_t  number;

    log = r->connection->log;

    if (r != r->main) {
        /* what a client asks for, it asks for itself */
        return ngx_mc_http_error(r, NGX_HTTP_FORBIDDEN, "subrequest",
                                 "not in a subrequest");
    }

    if (ngx_mc_http_cross_site(r)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "a POST from another site was refused");

        return ngx_mc_http_error(r, NGX_HTTP_FORBIDDEN, "cross_site",
                                 "the request comes from another site");
    }

    rc = ngx_mc_control_request(item, &number, log);

    switch (rc) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        return ngx_mc_http_error(r, NGX_HTTP_NOT_FOUND, "not_found",
                                 item->kind == NGX_MC_CONTROL_OUTPUT
                                 ? "the flow has no such output"
                                 : "the flow has no such source");

    case NGX_BUSY:
        return ngx_mc_http_error(r, NGX_HTTP_CONFLICT, "no_outputs",
                                 "the flow has no outputs");

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    switch (item->kind) {

    case NGX_MC_CONTROL_FLOW:
        ngx_log_error(NGX_LOG_NOTICE, log, 0, "an operator %s flow \"%V\"",
                      (item->value == NGX_MC_CONTROL_START) ? "starts"
                                                            : "stops",
                      &item->flow);
        break;

    case NGX_MC_CONTROL_OUTPUT:
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "an operator %s output \"%V\" of flow \"%V\"",
                      (item->value == NGX_MC_CONTROL_START) ? "starts"
                                                            : "stops",
                      &item->name, &item->flow);
        break;

    default: /* NGX_MC_CONTROL_SOURCE */
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "an operator chooses the %s source of flow \"%V\"",
                      (item->value == NGX_MC_CHOICE_PRIMARY) ? "primary"
                      : (item->value == NGX_MC_CHOICE_BACKUP) ? "backup"
                      : "configured", &item->flow);
        break;
    }

    if (ngx_mc_control_applied(&item->flow, number)) {
        return ngx_mc_http_flow(r, &item->flow);
    }

    return ngx_mc_http_wait(r, &item->flow, number);
}


/*
 * A page of another site that a browser shows can POST here too, with the
 * password that the browser knows for us, or from an address that is allowed.
 * Browsers say so in these headers; programs send neither.
 */

static ngx_uint_t
ngx_mc_http_cross_site(ngx_http_request_t *r)
{
    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

#define ngx_mc_http_value_is(text)                                            \
    (value->len == sizeof(text) - 1                                           \
     && ngx_strncmp(value->data, text, sizeof(text) - 1) == 0)

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        value = &h[i].value;

        if (ngx_mc_http_is_header(&h[i], "origin")
            && !ngx_mc_http_is_origin(r, value))
        {
            return 1;
        }

        if (ngx_mc_http_is_header(&h[i], "sec-fetch-site")
            && !ngx_mc_http_value_is("same-origin")
            && !ngx_mc_http_value_is("none"))
        {
            return 1;
        }
    }
}


static ngx_uint_t
ngx_mc_http_is_header(ngx_table_elt_t *h, const char *name)
{
    return h->key.len == ngx_strlen(name)
           && ngx_strncasecmp(h->key.data, (u_char *) name, h->key.len) == 0;
}


/*
 * Whether "scheme://host[:port]" is the host that was asked.  A proxy in
 * front of us may have ended TLS, so the scheme does not matter, and may name
 * the port that a browser leaves out.
 */

static ngx_uint_t
ngx_mc_http_is_origin(ngx_http_request_t *r, ngx_str_t *origin)
{
    size_t      len;
    u_char     *p, *last;
    ngx_str_t   host, port;

    if (r->headers_in.host) {
        host = r->headers_in.host->value;

    } else if (r->host_start) {
        /* :authority */
        host.data = r->host_start;
        host.len = r->host_end - r->host_start;

    } else {
        return 0;
    }

    last = origin->data + origin->len;

    if (origin->len > 7
        && ngx_strncasecmp(origin->data, (u_char *) "http://", 7) == 0)
    {
        p = origin->data + 7;
        ngx_str_set(&port, ":80");

    } else if (origin->len > 8
               && ngx_strncasecmp(origin->data, (u_char *) "https://", 8) == 0)
    {
        p = origin->data + 8;
        ngx_str_set(&port, ":443");

    } else {
        /* "null", an extension, a file */
        return 0;
    }

    len = last - p;

    if (host.len < len
        || ngx_strncasecmp(host.data, p, len) != 0)
    {
        return 0;
    }

    return host.len == len
           || (host.len - len == port.len
               && ngx_memcmp(host.data + len, port.data, port.len) == 0);
}


static ngx_int_t
ngx_mc_http_wait(ngx_http_request_t *r, ngx_str_t *flow,
    ngx_atomic_uint_t number)
{
    ngx_event_t         *ev;
    ngx_http_cleanup_t  *cln;
    ngx_mc_http_wait_t  *w;

    /* runs when the client is gone too, before the request is freed */

    cln = ngx_http_cleanup_add(r, sizeof(ngx_mc_http_wait_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    w = cln->data;
    ngx_memzero(w, sizeof(ngx_mc_http_wait_t));

    w->request = r;
    w->flow = *flow;
    w->ident = -1;
    w->number = number;
    w->end = ngx_current_msec + NGX_MC_HTTP_WAIT;

    ev = &w->event;
    ev->handler = ngx_mc_http_wait_handler;
    ev->data = w;
    ev->log = r->connection->log;

    cln->handler = ngx_mc_http_wait_cleanup;

    r->main->count++;

    r->write_event_handler = ngx_http_request_empty_handler;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    ngx_add_timer(ev, NGX_MC_HTTP_POLL);

    return NGX_DONE;
}


static void
ngx_mc_http_wait_handler(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;
    ngx_mc_http_wait_t  *w;

    w = ev->data;
    r = w->request;
    c = r->connection;

    if ((ngx_msec_int_t) (w->end - ngx_current_msec) > 0
        && !ngx_mc_control_applied(&w->flow, w->number))
    {
        ngx_add_timer(ev, NGX_MC_HTTP_POLL);
        return;
    }

    ngx_http_set_log_request(c->log, r);

    ngx_http_finalize_request(r, ngx_mc_http_flow(r, &w->flow));

    ngx_http_run_posted_requests(c);
}


static void
ngx_mc_http_wait_cleanup(void *data)
{
    ngx_mc_http_wait_t *w = data;

    if (w->event.timer_set) {
        ngx_del_timer(&w->event);
    }
}


/* a reload may have removed it since it was found */

static ngx_int_t
ngx_mc_http_flow(ngx_http_request_t *r, ngx_str_t *flow)
{
    if (ngx_mc_registry_find(ngx_mc_registry_current(), flow->data, flow->len)
        == NULL)
    {
        return ngx_mc_http_error(r, NGX_HTTP_NOT_FOUND, "not_found",
                                 "the flow is gone");
    }

    return ngx_mc_http_status_flow(r, flow);
}
