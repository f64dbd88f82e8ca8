
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_PULSE_H_INCLUDED_
#define _NGX_MC_PULSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/*
 * The cost of live media is waking up.  A source that delivers is taken out
 * of the poll set and drained on a beat that all active sources of the same
 * mc_batch share; a beat without clients does not tick.
 */

typedef struct ngx_mc_pulse_s  ngx_mc_pulse_t;

typedef struct {
    ngx_queue_t        queue;
    void             (*handler)(void *data);
    void              *data;
    ngx_mc_pulse_t    *pulse;              /* NULL: not on a beat */
} ngx_mc_pulse_client_t;


/*
 * "period" in us; client's handler and data are set.  NGX_ERROR: no timer
 * could be had; the caller goes on with the poll set.  A handler may stop
 * any client, its own too.
 */
ngx_int_t ngx_mc_pulse_start(ngx_mc_pulse_client_t *client, ngx_uint_t period);
void ngx_mc_pulse_stop(ngx_mc_pulse_client_t *client);

/* the beat for a flow's mc_batch, us.  With mc_batch 0 a short beat costs
   less than a wake-up a packet, and adds half of it at the median */
#define NGX_MC_PULSE_LEAST  300
#define ngx_mc_pulse_period(batch)                                           \
    ((batch) ? (ngx_uint_t) (batch) * 1000 : NGX_MC_PULSE_LEAST)

/* a source silent for so many us goes back to the poll set */
#define NGX_MC_PULSE_IDLE   50000


#endif /* _NGX_MC_PULSE_H_INCLUDED_ */
