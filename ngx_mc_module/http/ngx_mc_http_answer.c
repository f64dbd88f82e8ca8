
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <nginx.h>
#include <ngx_mc_http.h>


/* what all answers together may take of one pass of the event loop, us */
#define NGX_MC_HTTP_BUDGET     500

#define NGX_MC_HTTP_BUF        16384

/* an answer that fits has a Content-Length */
#define NGX_MC_HTTP_SMALL      4

/* more are taken only while filters hold some back */
#define NGX_MC_HTTP_BUFS       16

#define NGX_MC_HTTP_ERROR_BUF  1024


static ngx_buf_t *ngx_mc_http_answer_next(ngx_mc_json_t *json);
static void ngx_mc_http_answer_enqueue(ngx_mc_http_answer_t *a);
static void ngx_mc_http_answer_dequeue(void *data);
static void ngx_mc_http_answer_handler(ngx_event_t *ev);
static void ngx_mc_http_answer_run(ngx_mc_http_answer_t *a);
static ngx_int_t ngx_mc_http_answer_header(ngx_mc_http_answer_t *a);
static ngx_int_t ngx_mc_http_answer_send(ngx_mc_http_answer_t *a);
static ngx_uint_t ngx_mc_http_answer_blocked(ngx_mc_http_answer_t *a);
static void ngx_mc_http_answer_wait(ngx_mc_http_answer_t *a);
static void ngx_mc_http_answer_writable(ngx_http_request_t *r);
static ngx_int_t ngx_mc_http_headers(ngx_http_request_t *r);
static ngx_buf_t *ngx_mc_http_error_next(ngx_mc_json_t *json);


/* one event for all answers: they take turns, one in each pass of the loop */

static ngx_queue_t  ngx_mc_http_queue;
static ngx_event_t  ngx_mc_http_event;


ngx_mc_http_answer_t *
ngx_mc_http_answer_create(ngx_http_request_t *r)
{
    ngx_http_cleanup_t    *cln;
    ngx_mc_http_answer_t  *a;

    a = ngx_pcalloc(r->pool, sizeof(ngx_mc_http_answer_t));
    if (a == NULL) {
        return NULL;
    }

    a->request = r;

    ngx_mc_json_init(&a->json, ngx_mc_http_answer_next, a);

    /* runs before the request's pool goes, when nobody may be queued */

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_mc_http_answer_dequeue;
    cln->data = a;

    ngx_http_set_ctx(r, a, ngx_mc_http_module);

    return a;
}


ngx_int_t
ngx_mc_http_answer_start(ngx_mc_http_answer_t *a)
{
    ngx_http_request_t  *r;

    r = a->request;

    r->main->count++;

    r->write_event_handler = ngx_mc_http_answer_writable;

    if (r == r->main && !r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    ngx_mc_http_answer_enqueue(a);

    return NGX_DONE;
}


static ngx_buf_t *
ngx_mc_http_answer_next(ngx_mc_json_t *json)
{
    ngx_mc_http_answer_t *a = json->data;

    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_chain_get_free_buf(a->request->pool, &a->free);
    if (cl == NULL) {
        return NULL;
    }

    b = cl->buf;

    if (b->start == NULL) {
        b->start = ngx_palloc(a->request->pool, NGX_MC_HTTP_BUF);
        if (b->start == NULL) {
            return NULL;
        }

        b->end = b->start + NGX_MC_HTTP_BUF;
        b->temporary = 1;
        b->tag = (ngx_buf_tag_t) &ngx_mc_http_module;

        a->nbufs++;
    }

    b->pos = b->start;
    b->last = b->start;
    b->flush = 0;

    cl->next = NULL;

    if (a->out) {
        a->last->next = cl;

    } else {
        a->out = cl;
    }

    a->last = cl;
    a->nout++;

    return b;
}


static void
ngx_mc_http_answer_enqueue(ngx_mc_http_answer_t *a)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    if (a->queued) {
        return;
    }

    /* a worker that is to exit waits for timers, not for posted events */

    wev = a->request->connection->write;

    if (!wev->delayed) {
        clcf = ngx_http_get_module_loc_conf(a->request, ngx_http_core_module);
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_mc_http_event.handler == NULL) {
        ngx_queue_init(&ngx_mc_http_queue);

        ngx_mc_http_event.handler = ngx_mc_http_answer_handler;
    }

    ngx_mc_http_event.log = ngx_cycle->log;

    ngx_queue_insert_tail(&ngx_mc_http_queue, &a->queue);
    a->queued = 1;

    if (!ngx_mc_http_event.posted) {
        ngx_post_event(&ngx_mc_http_event, &ngx_posted_next_events);
    }
}


static void
ngx_mc_http_answer_dequeue(void *data)
{
    ngx_mc_http_answer_t *a = data;

    if (a->queued) {
        ngx_queue_remove(&a->queue);
        a->queued = 0;
    }
}


static void
ngx_mc_http_answer_handler(ngx_event_t *ev)
{
    ngx_queue_t           *q;
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_mc_http_answer_t  *a;

    if (ngx_queue_empty(&ngx_mc_http_queue)) {
        return;
    }

    q = ngx_queue_head(&ngx_mc_http_queue);
    a = ngx_queue_data(q, ngx_mc_http_answer_t, queue);

    ngx_mc_http_answer_dequeue(a);

    r = a->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_mc_http_answer_run(a);

    ngx_http_run_posted_requests(c);

    if (!ngx_queue_empty(&ngx_mc_http_queue) && !ev->posted) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}


static void
ngx_mc_http_answer_run(ngx_mc_http_answer_t *a)
{
    int64_t              deadline;
    ngx_int_t            rc;
    ngx_uint_t           n;
    ngx_chain_t         *none;
    ngx_event_t         *wev;
    ngx_http_request_t  *r;

    r = a->request;
    wev = r->connection->write;

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    if (r != r->connection->data) {
        /* a subrequest before its turn: its write handler will be called */
        return;
    }

    deadline = ngx_mc_now() + NGX_MC_HTTP_BUDGET;

    if (a->busy) {
        rc = ngx_http_output_filter(r, NULL);

        if (rc == NGX_ERROR) {
            ngx_http_finalize_request(r, rc);
            return;
        }

        none = NULL;
        ngx_chain_update_chains(r->pool, &a->free, &a->busy, &none,
                                (ngx_buf_tag_t) &ngx_mc_http_module);

        if (ngx_mc_http_answer_blocked(a)) {
            ngx_mc_http_answer_wait(a);
            return;
        }
    }

    for ( ;; ) {
        n = a->header ? 1 : NGX_MC_HTTP_SMALL;

        while (!a->done && a->nout <= n) {

            rc = a->step(a);

            if (rc == NGX_ERROR || a->json.failed) {
                ngx_http_finalize_request(r, a->header ? NGX_ERROR
                                             : NGX_HTTP_INTERNAL_SERVER_ERROR);
                return;
            }

            a->done = (rc == NGX_OK);

            if (ngx_mc_now() >= deadline) {
                break;
            }
        }

        if (!a->done && a->nout <= n) {
            ngx_mc_http_answer_enqueue(a);
            return;
        }

        if (!a->header) {
            rc = ngx_mc_http_answer_header(a);

            if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
                ngx_http_finalize_request(r, rc);
                return;
            }
        }

        rc = ngx_mc_http_answer_send(a);

        if (rc == NGX_ERROR || a->done) {
            ngx_http_finalize_request(r, rc);
            return;
        }

        if (ngx_mc_http_answer_blocked(a)) {
            ngx_mc_http_answer_wait(a);
            return;
        }

        if (ngx_mc_now() >= deadline) {
            ngx_mc_http_answer_enqueue(a);
            return;
        }
    }
}


static ngx_int_t
ngx_mc_http_answer_header(ngx_mc_http_answer_t *a)
{
    off_t                len;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = a->request;

    a->header = 1;

    r->headers_out.status = NGX_HTTP_OK;

    if (a->done) {
        len = 0;

        for (cl = a->out; cl; cl = cl->next) {
            len += ngx_buf_size(cl->buf);
        }

        r->headers_out.content_length_n = len;
    }

    return ngx_mc_http_headers(r);
}


/* sends the full buffers, and the one that is being filled if it is the end */

static ngx_int_t
ngx_mc_http_answer_send(ngx_mc_http_answer_t *a)
{
    ngx_int_t            rc;
    ngx_chain_t         *cl, *out;
    ngx_http_request_t  *r;

    r = a->request;
    out = a->out;

    if (a->done) {
        a->last->buf->last_buf = (r == r->main);
        a->last->buf->last_in_chain = 1;

        a->out = NULL;
        a->nout = 0;

    } else {
        for (cl = out; cl->next != a->last; cl = cl->next) { /* void */ }

        cl->next = NULL;

        /* a filter that keeps this much gives up what it has */
        cl->buf->flush = (a->nbufs > NGX_MC_HTTP_BUFS / 2);

        a->out = a->last;
        a->nout = 1;
    }

    rc = ngx_http_output_filter(r, out);

    ngx_chain_update_chains(r->pool, &a->free, &a->busy, &out,
                            (ngx_buf_tag_t) &ngx_mc_http_module);

    return rc;
}


static ngx_uint_t
ngx_mc_http_answer_blocked(ngx_mc_http_answer_t *a)
{
    ngx_event_t  *wev;

    if (a->busy == NULL) {
        return 0;
    }

    wev = a->request->connection->write;

    return !wev->ready || wev->delayed || a->nbufs >= NGX_MC_HTTP_BUFS;
}


static void
ngx_mc_http_answer_wait(ngx_mc_http_answer_t *a)
{
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = a->request;
    wev = r->connection->write;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


static void
ngx_mc_http_answer_writable(ngx_http_request_t *r)
{
    ngx_event_t           *wev;
    ngx_connection_t      *c;
    ngx_mc_http_answer_t  *a;

    c = r->connection;
    wev = c->write;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;

        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    a = ngx_http_get_module_ctx(r, ngx_mc_http_module);

    if (wev->delayed) {
        /* limit_rate */
        ngx_mc_http_answer_wait(a);
        return;
    }

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    ngx_mc_http_answer_enqueue(a);
}


ngx_int_t
ngx_mc_http_error(ngx_http_request_t *r, ngx_uint_t status, const char *code,
    const char *message)
{
    ngx_int_t       rc;
    ngx_buf_t      *b;
    ngx_chain_t     out;
    ngx_mc_json_t   json;

    b = ngx_create_temp_buf(r->pool, NGX_MC_HTTP_ERROR_BUF);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_mc_json_init(&json, ngx_mc_http_error_next, NULL);
    json.buf = b;

    ngx_mc_json_open(&json, '{');
    ngx_mc_json_key(&json, "error");
    ngx_mc_json_open(&json, '{');
    ngx_mc_json_key(&json, "code");
    ngx_mc_json_string(&json, (u_char *) code, ngx_strlen(code));
    ngx_mc_json_key(&json, "message");
    ngx_mc_json_string(&json, (u_char *) message, ngx_strlen(message));
    ngx_mc_json_close(&json, '}');
    ngx_mc_json_close(&json, '}');

    if (json.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_mc_http_headers(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_buf_t *
ngx_mc_http_error_next(ngx_mc_json_t *json)
{
    return NULL;
}


static ngx_int_t
ngx_mc_http_headers(ngx_http_request_t *r)
{
    if (ngx_mc_http_header(r, "Cache-Control", "no-store") != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_send_header(r);
}


ngx_int_t
ngx_mc_http_header(ngx_http_request_t *r, const char *name, const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


void
ngx_mc_http_text(ngx_mc_json_t *json, u_char *text)
{
    if (text[0] == '\0') {
        ngx_mc_json_null(json);
        return;
    }

    ngx_mc_json_string(json, text, ngx_strlen(text));
}


void
ngx_mc_http_time(ngx_mc_json_t *json, int64_t ms)
{
    u_char  text[NGX_MC_TIME_LEN + 1];

    if (ms == 0) {
        ngx_mc_json_null(json);
        return;
    }

    ngx_mc_json_string(json, text, ngx_mc_time_text(text, ms) - text);
}
