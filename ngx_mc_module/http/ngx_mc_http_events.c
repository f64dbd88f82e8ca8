
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_mc_http.h>


/* slots looked at, and events written, in one step */
#define NGX_MC_EVENTS_SCAN   64
#define NGX_MC_EVENTS_WRITE  8


typedef struct {
    ngx_mc_events_query_t   query;
    ngx_str_t               flow;

    ngx_uint_t              number;     /* scanned down to */
    ngx_uint_t              lowest;
    ngx_uint_t             *found;      /* numbers, the newest first */
    ngx_uint_t              nfound;
    uint64_t                next;       /* the cursor, 0: null */

    unsigned                writing:1;
} ngx_mc_events_t;


static ngx_int_t ngx_mc_events_step(ngx_mc_http_answer_t *a);
static ngx_int_t ngx_mc_events_scan(ngx_mc_events_t *ev);
static ngx_uint_t ngx_mc_events_match(ngx_mc_events_t *ev,
    ngx_mc_event_slot_t *slot);
static ngx_uint_t ngx_mc_events_is(u_char *text, ngx_str_t *name);
static void ngx_mc_events_write(ngx_mc_json_t *json,
    ngx_mc_event_slot_t *slot);


ngx_int_t
ngx_mc_http_events(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_str_t              args;
    const char            *error;
    ngx_mc_events_t       *ev;
    ngx_mc_event_ring_t   *ring;
    ngx_mc_http_answer_t  *a;

    ev = ngx_pcalloc(r->pool, sizeof(ngx_mc_events_t));
    if (ev == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* copies: parsing writes over them, r->uri and r->args are for the log */

    args.len = r->args.len;
    args.data = ngx_pstrdup(r->pool, &r->args);

    ev->flow.len = name->len;
    ev->flow.data = ngx_pstrdup(r->pool, name);

    if (args.data == NULL || ev->flow.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    error = ngx_mc_query_events(&args, &ev->query);

    if (error) {
        return ngx_mc_http_error(r, NGX_HTTP_BAD_REQUEST, "bad_query", error);
    }

    /* one more tells whether there is a next page */

    ev->found = ngx_palloc(r->pool,
                           (ev->query.limit + 1) * sizeof(ngx_uint_t));
    if (ev->found == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ring = ngx_mc_registry->events;

    ev->number = ring->last;
    ev->lowest = (ev->number > ring->size) ? ev->number - ring->size : 0;

    if (ev->query.cursor <= ev->number) {
        ev->number = (ngx_uint_t) ev->query.cursor - 1;
    }

    a = ngx_mc_http_answer_create(r);
    if (a == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    a->step = ngx_mc_events_step;
    a->data = ev;

    return ngx_mc_http_answer_start(a);
}


static ngx_int_t
ngx_mc_events_step(ngx_mc_http_answer_t *a)
{
    u_char               *p, text[NGX_INT64_LEN];
    ngx_uint_t            i;
    ngx_mc_json_t        *json;
    ngx_mc_events_t      *ev;
    ngx_mc_event_slot_t   slot;

    ev = a->data;
    json = &a->json;

    if (!ev->writing) {

        if (ngx_mc_events_scan(ev) == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        ev->writing = 1;

        if (ev->nfound > ev->query.limit) {
            ev->nfound--;
            ev->next = ev->found[ev->nfound - 1];
        }

        ngx_mc_json_open(json, '{');
        ngx_mc_json_key(json, "events");
        ngx_mc_json_open(json, '[');
    }

    for (i = 0; i < NGX_MC_EVENTS_WRITE && ev->nfound; i++) {

        /* newer events may have taken its slot meanwhile */

        if (ngx_mc_event_read(ev->found[--ev->nfound], &slot) == NGX_OK) {
            ngx_mc_events_write(json, &slot);
        }
    }

    if (ev->nfound) {
        return NGX_AGAIN;
    }

    ngx_mc_json_close(json, ']');
    ngx_mc_json_key(json, "next");

    if (ev->next) {
        p = ngx_sprintf(text, "%uL", ev->next);
        ngx_mc_json_string(json, text, p - text);

    } else {
        ngx_mc_json_null(json);
    }

    ngx_mc_json_close(json, '}');

    return NGX_OK;
}


static ngx_int_t
ngx_mc_events_scan(ngx_mc_events_t *ev)
{
    ngx_uint_t            i;
    ngx_mc_event_ring_t  *ring;
    ngx_mc_event_slot_t   copy;

    ring = ngx_mc_registry->events;

    for (i = 0; i < NGX_MC_EVENTS_SCAN; i++) {

        if (ev->number <= ev->lowest || ev->nfound > ev->query.limit) {
            return NGX_OK;
        }

        /* most are another flow's: not worth a copy */

        if (ngx_mc_events_is(ring->slots[ev->number % ring->size].flow,
                             &ev->flow)
            && ngx_mc_event_read(ev->number, &copy) == NGX_OK
            && ngx_mc_events_match(ev, &copy))
        {
            ev->found[ev->nfound++] = ev->number;
        }

        ev->number--;
    }

    return NGX_AGAIN;
}


static ngx_uint_t
ngx_mc_events_match(ngx_mc_events_t *ev, ngx_mc_event_slot_t *slot)
{
    ngx_mc_events_query_t  *q;

    q = &ev->query;

    if (!ngx_mc_events_is(slot->flow, &ev->flow)) {
        return 0;
    }

    if (slot->time < q->from || slot->time > q->to) {
        return 0;
    }

    if (q->direction != -1
        && (slot->direction != (ngx_uint_t) q->direction
            || slot->pipeline != (ngx_uint_t) q->pipeline))
    {
        return 0;
    }

    return q->name.len == 0 || ngx_mc_events_is(slot->name, &q->name);
}


static ngx_uint_t
ngx_mc_events_is(u_char *text, ngx_str_t *name)
{
    return ngx_strncmp(text, name->data, name->len) == 0
           && text[name->len] == '\0';
}


static void
ngx_mc_events_write(ngx_mc_json_t *json, ngx_mc_event_slot_t *slot)
{
    ngx_str_t  *s;

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "time");
    ngx_mc_http_time(json, slot->time);

    s = ngx_mc_event_type_name(slot->direction, slot->pipeline);

    ngx_mc_json_key(json, "type");
    ngx_mc_json_string(json, s->data, s->len);

    ngx_mc_json_key(json, "name");
    ngx_mc_http_text(json, slot->name);

    s = ngx_mc_event_code_name(slot->code);

    ngx_mc_json_key(json, "code");
    ngx_mc_json_string(json, s->data, s->len);

    ngx_mc_json_key(json, "message");
    ngx_mc_json_string(json, slot->message, ngx_strlen(slot->message));

    ngx_mc_json_key(json, "peer");
    ngx_mc_http_text(json, slot->peer);

    ngx_mc_json_close(json, '}');
}
