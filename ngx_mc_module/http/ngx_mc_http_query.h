
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_HTTP_QUERY_H_INCLUDED_
#define _NGX_MC_HTTP_QUERY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_MC_EVENTS_LIMIT      100
#define NGX_MC_EVENTS_LIMIT_MAX  1000


/* of what a query wants: both ends of the time are included */

typedef struct {
    int64_t      from;                  /* ms since the epoch */
    int64_t      to;
    ngx_int_t    direction;             /* -1: any */
    ngx_int_t    pipeline;
    ngx_str_t    name;                  /* len 0: any */
    ngx_uint_t   limit;
    uint64_t     cursor;                /* events before this number */
} ngx_mc_events_query_t;


/*
 * An RFC 3339 time with any offset, or Unix seconds, both with or without a
 * fraction.  NGX_ERROR if it is neither.
 */
ngx_int_t ngx_mc_query_time(ngx_str_t *s, int64_t *ms);

/*
 * Takes the next "name=value" off the query and decodes both where they
 * stand.  NGX_DONE: there is none; NGX_ERROR: a broken percent sequence.
 */
ngx_int_t ngx_mc_query_next(ngx_str_t *args, ngx_str_t *name,
    ngx_str_t *value);

/* NULL, or what is wrong; "args" is written over */
const char *ngx_mc_query_events(ngx_str_t *args, ngx_mc_events_query_t *q);


#endif /* _NGX_MC_HTTP_QUERY_H_INCLUDED_ */
