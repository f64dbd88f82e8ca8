
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_PARAM_H_INCLUDED_
#define _NGX_MC_PARAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>


/*
 * The one table of all parameters of endpoints.  Parsing, writing, reading
 * and comparing definitions follow it, so a new parameter is a line there
 * and a field of ngx_mc_params_t.
 */

typedef enum {
    NGX_MC_PARAM_INT = 0,                 /* ngx_int_t */
    NGX_MC_PARAM_TIME,                    /* ngx_int_t, ms */
    NGX_MC_PARAM_BOOL,                    /* ngx_int_t */
    NGX_MC_PARAM_ENUM,                    /* ngx_int_t */
    NGX_MC_PARAM_VERSION,                 /* ngx_int_t */
    NGX_MC_PARAM_INT64,                   /* int64_t */
    NGX_MC_PARAM_RATE,                    /* int64_t */
    NGX_MC_PARAM_STRING,                  /* ngx_str_t */
    NGX_MC_PARAM_TEXT,                    /* ngx_str_t, for people */
    NGX_MC_PARAM_SECRET,                  /* ngx_str_t */
    NGX_MC_PARAM_SECRET_FILE,             /* ngx_str_t, its first line */
    NGX_MC_PARAM_CERTIFICATES,            /* ngx_str_t, PEM, of a file */
    NGX_MC_PARAM_AUDIO,                   /* ngx_int_t or ngx_str_t */
    NGX_MC_PARAM_CIDRS,                   /* ngx_array_t * */
    NGX_MC_PARAM_NAME,                    /* the endpoint's, no parameter */
    NGX_MC_PARAM_IGNORED                  /* a warning, nothing else */
} ngx_mc_param_kind_e;


/* more bits of "where" */
#define NGX_MC_PARAM_PER_PORT    0x1000   /* listeners of one port agree */
#define NGX_MC_PARAM_CALLER_PORT 0x2000   /* callers of one port agree */
#define NGX_MC_PARAM_INTERNAL    0x4000   /* in definitions, not for people */
#define NGX_MC_PARAM_UNWRITTEN   0x8000   /* not in definitions */

/* what a change of it takes while the endpoint runs; without any of these
   the endpoint is opened anew */
#define NGX_MC_PARAM_LIVE        0x10000  /* in force at once */
#define NGX_MC_PARAM_ACCEPTED    0x20000  /* listeners: of new connections */
#define NGX_MC_PARAM_KEY         0x40000  /* "rekey" is about it */


typedef struct {
    ngx_str_t             name;
    ngx_mc_param_kind_e   kind;
    ngx_uint_t            where;
    size_t                offset;         /* in ngx_mc_params_t */
    int64_t               min;            /* of a number; of a string: */
    int64_t               max;            /* length */
    ngx_conf_enum_t      *values;
} ngx_mc_param_t;


/* ends with an empty name */
extern ngx_mc_param_t  ngx_mc_params[];

#define ngx_mc_param_is_int(kind)    ((kind) <= NGX_MC_PARAM_VERSION)
#define ngx_mc_param_is_int64(kind)  ((kind) == NGX_MC_PARAM_INT64            \
                                      || (kind) == NGX_MC_PARAM_RATE)

/* the parameter of that name that such endpoints have, or NULL */
ngx_mc_param_t *ngx_mc_def_find_param(ngx_mc_endpoint_def_t *def,
    ngx_str_t *name);

/* whether endpoints of its kind have it */
ngx_uint_t ngx_mc_def_has_param(ngx_mc_endpoint_def_t *def,
    ngx_mc_param_t *prm);

/* parses, checks the bounds, and stores; certificates are taken as they are,
   as a definition has them, which nginx.conf names a file of */
ngx_int_t ngx_mc_def_set_param(ngx_mc_parse_t *p, ngx_mc_param_t *prm,
    ngx_mc_params_t *params, ngx_str_t *value);


#endif /* _NGX_MC_PARAM_H_INCLUDED_ */
