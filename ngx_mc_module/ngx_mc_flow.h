
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_FLOW_H_INCLUDED_
#define _NGX_MC_FLOW_H_INCLUDED_


#include <ngx_mc.h>


/* builds a flow from its definition and opens its endpoints; NULL: no
   memory, or a definition that cannot be read, which is our bug */
ngx_mc_flow_t *ngx_mc_flow_start(ngx_mc_flow_entry_t *entry,
    uint32_t generation);

/*
 * Makes a flow that runs equal to its definition in a new generation:
 * endpoints that do not differ are not touched.  NGX_ERROR: no memory, or a
 * definition that cannot be read; the flow runs on as it was.
 */
ngx_int_t ngx_mc_flow_update(ngx_mc_flow_t *flow, ngx_mc_flow_entry_t *entry,
    uint32_t generation);

/* what operators have asked for has changed */
void ngx_mc_flow_control(ngx_mc_flow_t *flow);

/* ports that endpoints wait for may be free now */
void ngx_mc_flow_retry(ngx_mc_flow_t *flow);

/* closes everything and frees the flow */
void ngx_mc_flow_stop(ngx_mc_flow_t *flow);

/* whether a source, a receiver or a caller output is connected */
ngx_uint_t ngx_mc_flow_is_live(ngx_mc_flow_t *flow);

/* to the outputs of the packet lane: "opaque" to those that send any bytes,
   "aligned" to those that want whole TS packets */
void ngx_mc_flow_forward(ngx_mc_pipeline_t *pl, ngx_mc_packet_t *pkts,
    ngx_uint_t n, ngx_uint_t opaque, ngx_uint_t aligned);

/* once a second */
void ngx_mc_flow_second(ngx_mc_flow_t *flow);


#endif /* _NGX_MC_FLOW_H_INCLUDED_ */
