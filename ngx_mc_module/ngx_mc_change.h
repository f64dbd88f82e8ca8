
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_CHANGE_H_INCLUDED_
#define _NGX_MC_CHANGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_registry.h>


/*
 * The master, after a reload: a line of log and an event for each flow and
 * endpoint that it has added, removed or changed.  Parameters are named,
 * values are not.
 */
void ngx_mc_change_report(ngx_cycle_t *cycle, ngx_mc_generation_t *from,
    ngx_mc_generation_t *to);


#endif /* _NGX_MC_CHANGE_H_INCLUDED_ */
