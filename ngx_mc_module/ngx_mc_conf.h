
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_CONF_H_INCLUDED_
#define _NGX_MC_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_registry.h>
#include <ngx_mc_event.h>
#include <ngx_mc.h>


/* protocols at most */
#define NGX_MC_TYPES  8


/* the settings that stand in main and in mc_flow alike */

typedef struct {
    ngx_array_t             *allow;            /* ngx_cidr_t */
    ngx_uint_t               allow_set;
    int64_t                  max_bandwidth;    /* NGX_CONF_UNSET: not given */
    ngx_uint_t               exceed;
    ngx_msec_t               latency;
    ngx_msec_t               batch;
    ngx_mc_event_log_t      *event_log;        /* NULL: not given */
} ngx_mc_common_conf_t;


typedef struct {
    ngx_mc_flow_def_t        def;              /* first: arrays of flows hold
                                                  pointers to it */
    ngx_mc_common_conf_t     common;
    ngx_uint_t               title_set;
    ngx_uint_t               description_set;
    ngx_uint_t               state_set;
} ngx_mc_flow_conf_t;


typedef struct {
    ngx_mc_common_conf_t     common;
    ngx_array_t              flows;            /* ngx_mc_flow_def_t *, sorted
                                                  by name once checked */
    ngx_mc_registry_conf_t   registry;
    ngx_mc_endpoint_type_t  *types[NGX_MC_TYPES + 1];
    ngx_shm_zone_t          *zone;
    size_t                   zone_size;
    ngx_resolver_t          *resolver;
    ngx_uint_t               hosts;            /* look into /etc/hosts first */
    ngx_uint_t               control;          /* a location has control=on */
} ngx_mc_main_conf_t;


#define ngx_mc_main_conf(cycle)                                               \
    ((ngx_mc_main_conf_t *) ngx_get_conf((cycle)->conf_ctx, ngx_mc_module))


/* that of the flow, or of main; NULL: none */
ngx_mc_event_log_t *ngx_mc_conf_event_log(ngx_cycle_t *cycle,
    ngx_str_t *name);


extern ngx_module_t  ngx_mc_module;


#endif /* _NGX_MC_CONF_H_INCLUDED_ */
