
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_CLIENT_H_INCLUDED_
#define _NGX_MC_RTMP_CLIENT_H_INCLUDED_


#include <ngx_mc_rtmp.h>


/*
 * ngx_mc_rtmp_tls.c.  Certificates are looked at when the handshake is over:
 * then the reason can be told, while what the library would say is "handshake
 * failure".
 */

/*
 * A context for one endpoint, freed with ep->pool; NULL: "err", of "size", has
 * why.
 */
ngx_ssl_t *ngx_mc_rtmp_tls_create(ngx_mc_endpoint_t *ep, u_char *err,
    size_t size);

/* begins; c->ssl->handler, the caller's, is called at its end unless NGX_OK or
   NGX_ERROR is returned */
ngx_int_t ngx_mc_rtmp_tls_start(ngx_mc_endpoint_t *ep, ngx_ssl_t *ssl,
    ngx_connection_t *c, ngx_connection_handler_pt handler);

/* after the handshake: NGX_OK, or NGX_ERROR with why in "err" */
ngx_int_t ngx_mc_rtmp_tls_check(ngx_mc_endpoint_t *ep, ngx_connection_t *c,
    u_char *err, size_t size);

/* tells the peer and frees; never waits */
void ngx_mc_rtmp_tls_shutdown(ngx_connection_t *c);


#endif /* _NGX_MC_RTMP_CLIENT_H_INCLUDED_ */
