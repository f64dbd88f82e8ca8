
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_OWNER_H_INCLUDED_
#define _NGX_MC_OWNER_H_INCLUDED_


#include <ngx_mc.h>


/* the master, in init_module: the lock file and the eventfd that wakes all
   workers; what cannot be had is logged and tried again at the next reload */
void ngx_mc_owner_init_module(ngx_cycle_t *cycle);

/* wakes every worker, of this master's and of older generations */
void ngx_mc_owner_notify(void);

/* the name of the flow that has the port of an endpoint, which cannot listen,
   in another process; valid as long as the generation; or NULL */
u_char *ngx_mc_owner_holder(ngx_mc_endpoint_t *ep);

/* whether a reload has started workers that follow this one */
ngx_uint_t ngx_mc_owner_is_old(ngx_mc_generation_t *gen);

/* a worker, in init_process and exit_process */
ngx_int_t ngx_mc_owner_init_process(ngx_cycle_t *cycle);
void ngx_mc_owner_exit_process(void);


#endif /* _NGX_MC_OWNER_H_INCLUDED_ */
