
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_event.h>


#define NGX_MC_EVENT_LINE_LEN  1024


static void ngx_mc_event_log_write(ngx_mc_event_log_t *el,
    ngx_mc_event_slot_t *slot);
static u_char *ngx_mc_event_escape(u_char *p, u_char *last, u_char *text);


static ngx_str_t  ngx_mc_event_codes[] = {
    ngx_string("started"),
    ngx_string("stopped"),
    ngx_string("connected"),
    ngx_string("disconnected"),
    ngx_string("connect_failed"),
    ngx_string("resolve_failed"),
    ngx_string("address_in_use"),
    ngx_string("rejected_address"),
    ngx_string("rejected_passphrase"),
    ngx_string("rejected_streamid"),
    ngx_string("rejected_busy"),
    ngx_string("rejected_key"),
    ngx_string("rejected_limit"),
    ngx_string("rejected_bandwidth"),
    ngx_string("bandwidth_exceeded"),
    ngx_string("slow_output"),
    ngx_string("tls_failed"),
    ngx_string("rtmp_refused"),
    ngx_string("codec_unsupported"),
    ngx_string("config_changed")
};


static ngx_str_t  ngx_mc_event_types[] = {
    ngx_string("input-primary"),
    ngx_string("input-backup"),
    ngx_string("output-primary"),
    ngx_string("output-backup")
};


ngx_str_t *
ngx_mc_event_code_name(ngx_uint_t code)
{
    return &ngx_mc_event_codes[code];
}


ngx_str_t *
ngx_mc_event_type_name(ngx_uint_t direction, ngx_uint_t pipeline)
{
    return &ngx_mc_event_types[direction * 2 + pipeline];
}


void
ngx_mc_event_write(ngx_mc_event_log_t *el, ngx_uint_t direction,
    ngx_uint_t pipeline, ngx_str_t *flow, ngx_str_t *name, ngx_uint_t code,
    u_char *message, u_char *peer)
{
    u_char               *p;
    ngx_uint_t            number;
    ngx_mc_event_ring_t  *ring;
    ngx_mc_event_slot_t  *slot, local;

    ngx_memzero(&local, sizeof(ngx_mc_event_slot_t));

    local.time = ngx_mc_epoch_ms();
    local.code = code;
    local.direction = direction;
    local.pipeline = pipeline;

    ngx_cpystrn(local.flow, flow->data,
                ngx_min(flow->len, NGX_MC_NAME_LEN) + 1);
    ngx_cpystrn(local.name, name->data,
                ngx_min(name->len, NGX_MC_NAME_LEN) + 1);
    ngx_cpystrn(local.message, message, NGX_MC_EVENT_MESSAGE_LEN);

    if (peer) {
        ngx_cpystrn(local.peer, peer, NGX_MC_ADDR_LEN);
    }

    /* a message may quote what a peer sent */

    for (p = local.message; *p; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            *p = '?';
        }
    }

    ring = ngx_mc_registry->events;

    number = ngx_atomic_fetch_add(&ring->last, 1) + 1;
    slot = &ring->slots[number % ring->size];

    slot->number = 0;
    ngx_memory_barrier();

    ngx_memcpy((u_char *) slot + offsetof(ngx_mc_event_slot_t, time),
               (u_char *) &local + offsetof(ngx_mc_event_slot_t, time),
               sizeof(ngx_mc_event_slot_t)
               - offsetof(ngx_mc_event_slot_t, time));

    ngx_memory_barrier();
    slot->number = number;

    if (el) {
        ngx_mc_event_log_write(el, &local);
    }
}


ngx_int_t
ngx_mc_event_read(ngx_uint_t number, ngx_mc_event_slot_t *copy)
{
    ngx_mc_event_ring_t  *ring;
    ngx_mc_event_slot_t  *slot;

    ring = ngx_mc_registry->events;
    slot = &ring->slots[number % ring->size];

    if (slot->number != number) {
        return NGX_DECLINED;
    }

    ngx_memory_barrier();

    *copy = *slot;

    ngx_memory_barrier();

    return (slot->number == number) ? NGX_OK : NGX_DECLINED;
}


static void
ngx_mc_event_log_write(ngx_mc_event_log_t *el, ngx_mc_event_slot_t *slot)
{
    u_char      *p, *last;
    u_char       line[NGX_MC_EVENT_LINE_LEN];
    ngx_str_t   *s;

    if (el->file == NULL && el->syslog == NULL) {
        return;
    }

    p = line;
    last = line + NGX_MC_EVENT_LINE_LEN - 1;

    if (el->syslog) {
        p = ngx_syslog_add_header(el->syslog, p);
    }

    p = ngx_slprintf(p, last, "{\"time\":\"");

    if (last - p > NGX_MC_TIME_LEN) {
        p = ngx_mc_time_text(p, slot->time);
    }

    s = ngx_mc_event_type_name(slot->direction, slot->pipeline);

    p = ngx_slprintf(p, last,
                     "\",\"flow\":\"%s\",\"type\":\"%V\",\"name\":\"%s\","
                     "\"code\":\"%V\",\"message\":\"",
                     slot->flow, s, slot->name,
                     ngx_mc_event_code_name(slot->code));

    p = ngx_mc_event_escape(p, last, slot->message);

    if (slot->peer[0]) {
        p = ngx_slprintf(p, last, "\",\"peer\":\"%s\"}", slot->peer);

    } else {
        p = ngx_slprintf(p, last, "\",\"peer\":null}");
    }

    if (el->syslog) {
        (void) ngx_syslog_send(el->syslog, line, p - line);
        return;
    }

    *p++ = '\n';

    (void) ngx_write_fd(el->file->fd, line, p - line);
}


static u_char *
ngx_mc_event_escape(u_char *p, u_char *last, u_char *text)
{
    for ( /* void */ ; *text && last - p > 2; text++) {

        if (*text == '"' || *text == '\\') {
            *p++ = '\\';
        }

        *p++ = *text;
    }

    return p;
}


u_char *
ngx_mc_time_text(u_char *p, int64_t ms)
{
    ngx_tm_t  tm;

    ngx_gmtime((time_t) (ms / 1000), &tm);

    return ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                       tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                       tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                       (int) (ms % 1000));
}
