
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_EVENT_H_INCLUDED_
#define _NGX_MC_EVENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_registry.h>


typedef enum {
    NGX_MC_EVENT_STARTED = 0,
    NGX_MC_EVENT_STOPPED,
    NGX_MC_EVENT_CONNECTED,
    NGX_MC_EVENT_DISCONNECTED,
    NGX_MC_EVENT_CONNECT_FAILED,
    NGX_MC_EVENT_RESOLVE_FAILED,
    NGX_MC_EVENT_ADDRESS_IN_USE,
    NGX_MC_EVENT_REJECTED_ADDRESS,
    NGX_MC_EVENT_REJECTED_PASSPHRASE,
    NGX_MC_EVENT_REJECTED_STREAMID,
    NGX_MC_EVENT_REJECTED_BUSY,
    NGX_MC_EVENT_REJECTED_KEY,
    NGX_MC_EVENT_REJECTED_LIMIT,
    NGX_MC_EVENT_REJECTED_BANDWIDTH,
    NGX_MC_EVENT_BANDWIDTH_EXCEEDED,
    NGX_MC_EVENT_SLOW_OUTPUT,
    NGX_MC_EVENT_TLS_FAILED,
    NGX_MC_EVENT_RTMP_REFUSED,
    NGX_MC_EVENT_CODEC_UNSUPPORTED,
    NGX_MC_EVENT_CONFIG_CHANGED,
    NGX_MC_EVENT_N
} ngx_mc_event_e;


#define NGX_MC_EVENT_MESSAGE_LEN  160


/*
 * The last events of all flows, in shared memory.  A writer, of any process,
 * takes the next number with one atomic addition; its slot is number modulo
 * size, whole while slot->number is the number that was asked for.
 */

typedef struct {
    ngx_atomic_t            number;            /* from 1; 0: being written */
    int64_t                 time;              /* ms since epoch */
    uint32_t                code;              /* ngx_mc_event_e */
    uint16_t                direction;
    uint16_t                pipeline;
    u_char                  flow[NGX_MC_NAME_LEN + 1];
    u_char                  name[NGX_MC_NAME_LEN + 1];   /* "": the flow */
    u_char                  message[NGX_MC_EVENT_MESSAGE_LEN];
    u_char                  peer[NGX_MC_ADDR_LEN];       /* "": null */
} ngx_mc_event_slot_t;


typedef struct ngx_mc_event_ring_s {
    ngx_atomic_t            last;              /* the newest number, 0: none */
    ngx_uint_t              size;
    ngx_mc_event_slot_t     slots[1];
} ngx_mc_event_ring_t;


typedef struct {
    ngx_open_file_t        *file;              /* reopened on USR1 */
    ngx_syslog_peer_t      *syslog;
} ngx_mc_event_log_t;


/* an event of the endpoint (name "": of the flow) into the ring and, as a
   line of JSON, into the event log, which may be NULL */
void ngx_mc_event_write(ngx_mc_event_log_t *el, ngx_uint_t direction,
    ngx_uint_t pipeline, ngx_str_t *flow, ngx_str_t *name, ngx_uint_t code,
    u_char *message, u_char *peer);

/* copies event "number"; NGX_DECLINED if it is gone or not yet whole */
ngx_int_t ngx_mc_event_read(ngx_uint_t number, ngx_mc_event_slot_t *copy);

ngx_str_t *ngx_mc_event_code_name(ngx_uint_t code);

/* "input-primary", ... */
ngx_str_t *ngx_mc_event_type_name(ngx_uint_t direction, ngx_uint_t pipeline);

/* "2026-11-20T16:20:00.123Z", 24 characters, not terminated */
#define NGX_MC_TIME_LEN  24
u_char *ngx_mc_time_text(u_char *p, int64_t ms);


#endif /* _NGX_MC_EVENT_H_INCLUDED_ */
