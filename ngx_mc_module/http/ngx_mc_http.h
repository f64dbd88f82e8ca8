
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_HTTP_H_INCLUDED_
#define _NGX_MC_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_mc.h>
#include <ngx_mc_control.h>
#include <ngx_mc_http_json.h>
#include <ngx_mc_http_query.h>


/*
 * An answer that may be long.  It shares the event loop with live media, so
 * it is made in steps, each a fraction of a millisecond; it rests while the
 * client is slow, and holds a few buffers however long it is.
 */

typedef struct ngx_mc_http_answer_s  ngx_mc_http_answer_t;

/* writes some more: NGX_AGAIN; NGX_OK: that was all; or NGX_ERROR */
typedef ngx_int_t (*ngx_mc_http_step_pt)(ngx_mc_http_answer_t *a);


struct ngx_mc_http_answer_s {
    ngx_http_request_t   *request;
    ngx_mc_json_t         json;

    ngx_mc_http_step_pt   step;
    void                 *data;         /* the step's */

    ngx_chain_t          *out;          /* written, the last one partly */
    ngx_chain_t          *last;
    ngx_uint_t            nout;
    ngx_chain_t          *free;
    ngx_chain_t          *busy;
    ngx_uint_t            nbufs;        /* allocated so far */

    ngx_queue_t           queue;        /* of those that have work to do */

    unsigned              queued:1;
    unsigned              header:1;     /* has been sent */
    unsigned              done:1;       /* step() has written all */
};


/* ngx_mc_http_answer.c */
ngx_mc_http_answer_t *ngx_mc_http_answer_create(ngx_http_request_t *r);
ngx_int_t ngx_mc_http_answer_start(ngx_mc_http_answer_t *a);
ngx_int_t ngx_mc_http_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *code, const char *message);
ngx_int_t ngx_mc_http_header(ngx_http_request_t *r, const char *name,
    const char *value);

/* "" and 0 are null */
void ngx_mc_http_text(ngx_mc_json_t *json, u_char *text);
void ngx_mc_http_time(ngx_mc_json_t *json, int64_t ms);

/* content handlers; the flow is known to exist */
ngx_int_t ngx_mc_http_status(ngx_http_request_t *r);
ngx_int_t ngx_mc_http_status_flow(ngx_http_request_t *r, ngx_str_t *name);
ngx_int_t ngx_mc_http_events(ngx_http_request_t *r, ngx_str_t *name);

/* a POST: does what the item says, and answers with the flow */
ngx_int_t ngx_mc_http_control(ngx_http_request_t *r,
    ngx_mc_control_item_t *item);


extern ngx_module_t  ngx_mc_http_module;


#endif /* _NGX_MC_HTTP_H_INCLUDED_ */
