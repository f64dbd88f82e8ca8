
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_PUBLISH_H_INCLUDED_
#define _NGX_MC_RTMP_PUBLISH_H_INCLUDED_


#include <ngx_mc_rtmp.h>


/* from the hooks of ngx_mc_rtmp_module.c; NGX_DECLINED: not ours, go on */
ngx_int_t ngx_mc_rtmp_publish_hook(ngx_rtmp_session_t *s,
    ngx_rtmp_publish_t *v, ngx_rtmp_publish_pt next);

/* of a session that is a publisher: a message, and its end, maybe again */
void ngx_mc_rtmp_publish_av(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in);
void ngx_mc_rtmp_publish_gone(ngx_rtmp_session_t *s);

/* worker_shutdown_timeout: what is left ends now */
void ngx_mc_rtmp_publish_exit(void);

/* the process ends */
void ngx_mc_rtmp_publish_leave(void);


#endif /* _NGX_MC_RTMP_PUBLISH_H_INCLUDED_ */
