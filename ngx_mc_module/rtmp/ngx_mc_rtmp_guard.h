
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_GUARD_H_INCLUDED_
#define _NGX_MC_RTMP_GUARD_H_INCLUDED_


#include <ngx_mc_rtmp.h>


/* what nginx-rtmp is to be kept from: handlers before its own */
ngx_int_t ngx_mc_rtmp_guard_conf(ngx_rtmp_core_main_conf_t *cmcf);


#endif /* _NGX_MC_RTMP_GUARD_H_INCLUDED_ */
