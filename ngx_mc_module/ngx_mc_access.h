
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_ACCESS_H_INCLUDED_
#define _NGX_MC_ACCESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* is the peer on the list, NULL being anyone: NGX_OK, NGX_DECLINED.  Any
   thread */
ngx_int_t ngx_mc_access(ngx_array_t *cidrs, struct sockaddr *sa);


#endif /* _NGX_MC_ACCESS_H_INCLUDED_ */
