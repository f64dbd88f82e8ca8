
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_HTTP_JSON_H_INCLUDED_
#define _NGX_MC_HTTP_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Writes JSON into buffers, asking its user for another one whenever the
 * current is full.  Commas are the writer's, the nesting is the caller's.
 * Nothing here returns an error: "failed" is looked at in the end.
 */

typedef struct ngx_mc_json_s  ngx_mc_json_t;

/* a buffer of at least NGX_MC_JSON_BUF free bytes, or NULL */
typedef ngx_buf_t *(*ngx_mc_json_next_pt)(ngx_mc_json_t *json);


/* more than any key, number or escaped character takes */
#define NGX_MC_JSON_BUF  128


struct ngx_mc_json_s {
    ngx_buf_t            *buf;
    ngx_mc_json_next_pt   next;
    void                 *data;

    unsigned              comma:1;     /* the next value needs one */
    unsigned              failed:1;    /* next() gave no buffer */
};


void ngx_mc_json_init(ngx_mc_json_t *json, ngx_mc_json_next_pt next,
    void *data);

/* '{' or '[', and '}' or ']' */
void ngx_mc_json_open(ngx_mc_json_t *json, u_char c);
void ngx_mc_json_close(ngx_mc_json_t *json, u_char c);

void ngx_mc_json_name(ngx_mc_json_t *json, u_char *name, size_t len);

/* "text" is written as it is: '"key":', or a value */
void ngx_mc_json_raw_name(ngx_mc_json_t *json, const char *text, size_t len);
void ngx_mc_json_raw(ngx_mc_json_t *json, const char *text, size_t len);

/* bytes that are not UTF-8 become U+FFFD */
void ngx_mc_json_string(ngx_mc_json_t *json, u_char *data, size_t len);

void ngx_mc_json_uint(ngx_mc_json_t *json, uint64_t n);

/* at most six decimals; null if the number is none */
void ngx_mc_json_double(ngx_mc_json_t *json, double x);


/* a key that is a literal of at most 64 harmless characters */
#define ngx_mc_json_key(json, key)                                           \
    ngx_mc_json_raw_name(json, "\"" key "\":", sizeof("\"" key "\":") - 1)

#define ngx_mc_json_null(json)  ngx_mc_json_raw(json, "null", 4)

#define ngx_mc_json_bool(json, b)                                            \
    ((b) ? ngx_mc_json_raw(json, "true", 4)                                  \
         : ngx_mc_json_raw(json, "false", 5))


#endif /* _NGX_MC_HTTP_JSON_H_INCLUDED_ */
