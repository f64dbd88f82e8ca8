
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RESOLVE_H_INCLUDED_
#define _NGX_MC_RESOLVE_H_INCLUDED_


#include <ngx_mc.h>


/* for the configuration: the system's name servers.  NGX_ERROR: no memory */
ngx_int_t ngx_mc_resolve_conf(ngx_conf_t *cf);

/*
 * The address of ep->def->host and port into ep->sockaddr.  NGX_OK: done;
 * NGX_AGAIN: ngx_mc_endpoint_resolved() is called later; NGX_ERROR: cannot
 * even be asked.
 */
ngx_int_t ngx_mc_resolve(ngx_mc_endpoint_t *ep);
void ngx_mc_resolve_cancel(ngx_mc_endpoint_t *ep);

/* in ngx_mc_endpoint.c; error is NULL if ep->sockaddr is set */
void ngx_mc_endpoint_resolved(ngx_mc_endpoint_t *ep, char *error);


#endif /* _NGX_MC_RESOLVE_H_INCLUDED_ */
