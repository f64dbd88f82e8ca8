
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_HANDOVER_H_INCLUDED_
#define _NGX_MC_HANDOVER_H_INCLUDED_


#include <ngx_mc.h>


/*
 * A flow that moves to another worker takes its open sockets along: what has
 * arrived waits in them, nobody joins or leaves a group, no port is closed.
 *
 * The old owner gives descriptors and what types know of them before it frees
 * the flow's lock; the new one takes them when it opens the endpoints.  They
 * travel through socket pairs that the master has made, one for each number
 * of a worker, so that who reads finds little that is not its own.  Nothing
 * is promised: what cannot be sent, or is not taken in time, is closed, and
 * the endpoint opens as if it were new.
 */


/*
 * Raised with every change of what is sent, the states of types among it: a
 * worker may be of an older module, whose file was replaced.
 */
#define NGX_MC_HANDOVER_VERSION 1

/* the most that a type may tell its successor about an endpoint, bytes */
#define NGX_MC_HANDOVER_STATE   4096

/* descriptors in one message; the kernel takes 253 */
#define NGX_MC_HANDOVER_FDS     64


typedef struct {
    ngx_socket_t   fd;
    int64_t        connected_at;           /* ms since epoch; 0: it was not */
    size_t         size;                   /* of the state */
    u_char         state[NGX_MC_HANDOVER_STATE];
} ngx_mc_handover_t;


/* the master, in init_module; what cannot be had is logged and done without */
void ngx_mc_handover_init_module(ngx_cycle_t *cycle);

/* a worker, in init_process and exit_process */
void ngx_mc_handover_init_process(void);
void ngx_mc_handover_exit_process(void);

/* every 100 ms: receives what has waited for long, passes on what is not
   ours, closes what nobody has taken */
void ngx_mc_handover_sweep(void);


/*
 * For a type's close().  wanted(): whether another process goes on with the
 * endpoint.  give(): the descriptor is the type's no more, whatever comes of
 * it; it must be in no poll set, which would outlive our copy.  The endpoint
 * is not connected after it, and has not been disconnected.
 */
ngx_uint_t ngx_mc_handover_wanted(ngx_mc_endpoint_t *ep);
void ngx_mc_handover_give(ngx_mc_endpoint_t *ep, ngx_socket_t fd,
    void *state, size_t size);

/* sends what the flow's endpoints have given, before its lock is freed */
void ngx_mc_handover_flush(ngx_mc_flow_t *flow);

/*
 * For a type's open(): NGX_DECLINED if there is nothing; NGX_AGAIN if there
 * is, but another process has just looked through it: that takes milliseconds,
 * ngx_mc_endpoint_failed() with ADDRESS_IN_USE.  Else the descriptor
 * is the type's, to check it before use; if it was connected, then
 * ngx_mc_endpoint_resume() or ngx_mc_handover_refuse() comes next.
 */
ngx_int_t ngx_mc_handover_take(ngx_mc_endpoint_t *ep, ngx_mc_handover_t *ho);

/* what was taken is of no use: closes it if it is still open */
void ngx_mc_handover_refuse(ngx_mc_endpoint_t *ep, ngx_mc_handover_t *ho);


#endif /* _NGX_MC_HANDOVER_H_INCLUDED_ */
