
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_REMUX_H_INCLUDED_
#define _NGX_MC_REMUX_H_INCLUDED_


#include <ngx_mc.h>


/*
 * Where the packet lane and the frame lane of a pipeline meet.  Packets are
 * demultiplexed once for each choice of tracks that outputs of the frame lane
 * have made, and only if there are such outputs; frames are multiplexed once
 * for all outputs of the packet lane.
 */


/* which outputs the pipeline feeds has changed.  NGX_ERROR: no memory: outputs
   that have no lane get nothing */
ngx_int_t ngx_mc_remux_route(ngx_mc_pipeline_t *pl);

/* aligned packets of a source of the packet lane */
void ngx_mc_remux_packets(ngx_mc_pipeline_t *pl, ngx_mc_packet_t *pkts,
    ngx_uint_t n);

/* a frame of a source of the frame lane */
void ngx_mc_remux_frame(ngx_mc_pipeline_t *pl, ngx_mc_frame_t *frame);

/* the source begins anew */
void ngx_mc_remux_reset(ngx_mc_pipeline_t *pl);

/* the source is gone, or the pipeline */
void ngx_mc_remux_free(ngx_mc_pipeline_t *pl);

/* once a second: tracks, and what keeps outputs from getting frames */
void ngx_mc_remux_second(ngx_mc_pipeline_t *pl);


#endif /* _NGX_MC_REMUX_H_INCLUDED_ */
