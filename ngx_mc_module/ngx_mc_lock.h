
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_LOCK_H_INCLUDED_
#define _NGX_MC_LOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The lock file: one byte for each flow, at the offset that the hash of its
 * name gives.  A lock is of an open file description, one of each worker's
 * own ("OFD"), so the kernel frees it at any death; it is never waited for.
 */


/* the master, in init_module: opens the file, once for its life; what fails
   is logged, and tried again at the next reload */
void ngx_mc_lock_init_module(ngx_cycle_t *cycle);

/* a worker: NGX_ERROR: there is no file, no flow can run; once it was opened
   this costs nothing */
ngx_int_t ngx_mc_lock_open(void);

/* NGX_OK: it is ours; NGX_DECLINED: another process has it, or none can */
ngx_int_t ngx_mc_lock(uint64_t hash);
void ngx_mc_unlock(uint64_t hash);

/* tells, once for each change, that the file has lost its name */
void ngx_mc_lock_check(ngx_log_t *log);


#endif /* _NGX_MC_LOCK_H_INCLUDED_ */
