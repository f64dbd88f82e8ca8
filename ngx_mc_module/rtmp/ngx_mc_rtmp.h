
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_H_INCLUDED_
#define _NGX_MC_RTMP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_rtmp_clock.h>
#include <ngx_rtmp.h>
#include <ngx_rtmp_cmd_module.h>


/*
 * RTMP: endpoints with a host are clients of a remote server, in the owner of
 * the flow (ngx_mc_rtmp_client.c).  Endpoints without one are a name in an
 * application of nginx-rtmp: publishers and players are sessions that
 * nginx-rtmp accepts, in any worker; what belongs to a flow in a session's
 * process and the flow's owner are joined by a link, over a unix socket, or by
 * direct calls if that is one process (ngx_mc_rtmp_link.c).
 *
 * Everything runs in the nginx thread.
 */


typedef struct ngx_mc_rtmp_link_s  ngx_mc_rtmp_link_t;


/* ngx_mc_rtmp_table.c: the listening endpoints of the current generation */

typedef struct {
    ngx_str_t                app;
    ngx_str_t                stream;
    ngx_str_t                flow;             /* name */
    ngx_mc_endpoint_def_t    def;
    ngx_mc_flow_stat_t      *flow_stat;
    ngx_mc_endpoint_stat_t  *stat;
    uint32_t                 hint;             /* worker meant for the flow */
    unsigned                 stopped:1;        /* mc_state off */
} ngx_mc_rtmp_name_t;

/* NGX_ERROR: no memory for the table.  Then nothing is found by the functions
   below, which does not mean that there is none */
ngx_int_t ngx_mc_rtmp_table_ready(void);

/* NULL: none.  Valid until the event loop is back: the table is built anew
   with each generation */
ngx_mc_rtmp_name_t *ngx_mc_rtmp_table_find(ngx_str_t *app, ngx_str_t *stream,
    ngx_uint_t direction);

/* all of them, *n; and whether any source is in that application */
ngx_mc_rtmp_name_t *ngx_mc_rtmp_table(ngx_uint_t *n);
ngx_mc_rtmp_name_t *ngx_mc_rtmp_table_app(ngx_str_t *app,
    ngx_uint_t direction);


/* ngx_mc_rtmp_link.c: once a worker of a configuration with rtmp{}, and before
   it ends */
ngx_int_t ngx_mc_rtmp_link_process(ngx_cycle_t *cycle);
void ngx_mc_rtmp_link_exit(ngx_cycle_t *cycle);


/*
 * ngx_mc_rtmp_link.c, the side of the session: a publisher, or the virtual
 * session that feeds players.  Handlers are never called from within a
 * function of the link that was called by the same side.
 */

#define NGX_MC_RTMP_LINK_LOST     0    /* the owner died, left, or has yet to
                                          come: open another one later */
#define NGX_MC_RTMP_LINK_REFUSED  1    /* the flow does not want it: "why" */
#define NGX_MC_RTMP_LINK_REPLACED 2    /* another publisher took its place */
#define NGX_MC_RTMP_LINK_BUSY     3    /* another publisher has it */

typedef struct {
    /* a frame of an output, borrowed */
    void                   (*frame)(void *data, ngx_mc_frame_t *frame);

    /* the link is gone, and freed after the call */
    void                   (*closed)(void *data, ngx_uint_t code,
                                     u_char *why);

    /* the owner has taken it; may be NULL */
    void                   (*opened)(void *data);
} ngx_mc_rtmp_link_handlers_t;

/* "peer": address of the publisher; NULL for an output.  NULL: no owner to
   be reached now, try again later */
ngx_mc_rtmp_link_t *ngx_mc_rtmp_link_open(ngx_mc_rtmp_name_t *name,
    ngx_str_t *peer, ngx_mc_rtmp_link_handlers_t *handlers, void *data);
void ngx_mc_rtmp_link_close(ngx_mc_rtmp_link_t *link);
void ngx_mc_rtmp_link_close_why(ngx_mc_rtmp_link_t *link, const char *why);

/* the same for a publisher: when its session began, us */
ngx_mc_rtmp_link_t *ngx_mc_rtmp_link_open_publisher(ngx_mc_rtmp_name_t *name,
    ngx_str_t *peer, int64_t began, ngx_mc_rtmp_link_handlers_t *handlers,
    void *data);

/* a publisher or a player was refused, NGX_MC_REJECTED_*: for the record that
   the owner has, if it can be reached */
void ngx_mc_rtmp_link_rejected(ngx_mc_rtmp_name_t *name, ngx_uint_t reason,
    ngx_str_t *peer, const char *fmt, ...);

/* publisher to flow.  What cannot be sent is dropped up to the next key frame
   and counted; NGX_OK, NGX_AGAIN: dropped */
ngx_int_t ngx_mc_rtmp_link_frame(ngx_mc_rtmp_link_t *link,
    ngx_mc_frame_t *frame);

/* publisher to flow: what it sends cannot be used, NGX_MC_REPORT_* */
void ngx_mc_rtmp_link_report(ngx_mc_rtmp_link_t *link, ngx_uint_t what,
    const char *fmt, ...);

#define NGX_MC_REPORT_MALFORMED    0
#define NGX_MC_REPORT_UNSUPPORTED  1

/* publisher to flow: the chunk size of the session */
void ngx_mc_rtmp_link_chunk_size(ngx_mc_rtmp_link_t *link, ngx_uint_t size);

/* players to flow: "id" is unique in this process.  Stats once a second, totals
   of the player; of one that had an owner before, what that was told is given
   first, and not counted again */
void ngx_mc_rtmp_link_peer_up(ngx_mc_rtmp_link_t *link, uint64_t id,
    ngx_str_t *address, uint64_t bytes, uint64_t messages, uint64_t dropped);
void ngx_mc_rtmp_link_peer_stat(ngx_mc_rtmp_link_t *link, uint64_t id,
    uint64_t bytes, uint64_t messages, uint64_t dropped);
void ngx_mc_rtmp_link_peer_down(ngx_mc_rtmp_link_t *link, uint64_t id,
    const char *why);


/* the side of the owner */

/* asked for each link that comes, and by types; NULL: this process does not
   have it open */
ngx_mc_endpoint_t *ngx_mc_rtmp_listening(u_char *flow, size_t flow_len,
    ngx_uint_t direction, ngx_uint_t pipeline, u_char *name, size_t name_len);

/* output: the frame to this link */
void ngx_mc_rtmp_link_send(ngx_mc_rtmp_link_t *link, ngx_mc_frame_t *frame);

/* ends it; the other side's closed() gets code and why */
void ngx_mc_rtmp_link_end(ngx_mc_rtmp_link_t *link, ngx_uint_t code,
    const char *why);

/* the same of all links of an endpoint, NGX_MC_RTMP_LINK_LOST */
void ngx_mc_rtmp_link_end_all(ngx_mc_endpoint_t *ep);

/* of a publisher, see ngx_mc_rtmp_link_open_publisher() */
int64_t ngx_mc_rtmp_link_began(ngx_mc_rtmp_link_t *link);

/* the address in a text, as a publisher's; 0: it has none */
socklen_t ngx_mc_rtmp_link_sockaddr(u_char *text, ngx_sockaddr_t *addr);

/* what the owner keeps with a link */
void ngx_mc_rtmp_link_set_data(ngx_mc_rtmp_link_t *link, void *data);
void *ngx_mc_rtmp_link_data(ngx_mc_rtmp_link_t *link);


/* ngx_mc_rtmp_source.c: called by the link, for a source that listens.
   attach(): NGX_OK, or the link has been ended with a reason */
ngx_int_t ngx_mc_rtmp_source_attach(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, u_char *peer);
void ngx_mc_rtmp_source_frame(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, ngx_mc_frame_t *frame);
void ngx_mc_rtmp_source_chunk_size(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, ngx_uint_t size);
void ngx_mc_rtmp_source_report(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, ngx_uint_t what, u_char *text);
void ngx_mc_rtmp_source_detach(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, const char *why);

/* ngx_mc_rtmp_output.c: likewise, for an output that listens */
ngx_int_t ngx_mc_rtmp_output_attach(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link);
void ngx_mc_rtmp_output_peer_up(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, uint64_t id, u_char *address, uint64_t bytes,
    uint64_t messages, uint64_t dropped);
void ngx_mc_rtmp_output_peer_stat(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, uint64_t id, uint64_t bytes, uint64_t messages,
    uint64_t dropped);
void ngx_mc_rtmp_output_peer_down(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link, uint64_t id, const char *why);
void ngx_mc_rtmp_output_detach(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_link_t *link);


/*
 * The four kinds of endpoints, behind ngx_mc_rtmp_type: operations as of
 * ngx_mc_endpoint_type_t.  ngx_mc_rtmp_source_* and _output_* listen,
 * ngx_mc_rtmp_client_* connect, in either direction.
 */

ngx_int_t ngx_mc_rtmp_source_init(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_source_open(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_source_close(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_source_second(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_source_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);

ngx_int_t ngx_mc_rtmp_output_init(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_output_open(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_output_close(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_output_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame);
void ngx_mc_rtmp_output_second(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_output_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);

ngx_int_t ngx_mc_rtmp_client_init(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_client_open(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_client_close(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_client_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame);
void ngx_mc_rtmp_client_second(ngx_mc_endpoint_t *ep);
void ngx_mc_rtmp_client_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);


/* ngx_mc_rtmp_stat.c */

/* the gauges of a connection that is not there */
void ngx_mc_rtmp_stat_clear(ngx_mc_rtmp_stat_t *st);

/* as in FLV, of audio or video */
void ngx_mc_rtmp_stat_codec(ngx_mc_rtmp_stat_t *st, ngx_mc_frame_t *frame);


/* what a session is to us: its context of ngx_mc_rtmp_hooks_module */

#define NGX_MC_RTMP_PUBLISHER  1     /* data: of ngx_mc_rtmp_publish.c */
#define NGX_MC_RTMP_PLAYER     2     /* data: of ngx_mc_rtmp_play.c */
#define NGX_MC_RTMP_VIRTUAL    3     /* likewise */
#define NGX_MC_RTMP_CLIENT     4     /* data: of ngx_mc_rtmp_client.c */

typedef struct {
    ngx_uint_t               role;
    void                    *data;             /* NULL: no longer ours */
} ngx_mc_rtmp_ctx_t;


/* goes before metadata that is published */
#define NGX_MC_RTMP_SET_DATA_FRAME  "\2\0\15@setDataFrame"


extern ngx_mc_endpoint_type_t  ngx_mc_rtmp_type;
extern ngx_module_t            ngx_mc_rtmp_module;
extern ngx_module_t            ngx_mc_rtmp_hooks_module;
extern ngx_module_t            ngx_rtmp_module;


#endif /* _NGX_MC_RTMP_H_INCLUDED_ */
