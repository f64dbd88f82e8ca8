
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_udp.h>


/* where the definition does not say; ms */
#define NGX_MC_RTP_BUFFER   50

/* the back-off ends so early for a socket that is handed over */
#define NGX_MC_UDP_ATTEMPTS 3

/* us: what was wrong is shown for so long after it was seen last */
#define NGX_MC_UDP_SHOWN    5000000


static ngx_int_t ngx_mc_udp_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_mc_udp_init(ngx_mc_endpoint_t *ep);
static ngx_int_t ngx_mc_udp_init_source(ngx_mc_endpoint_t *ep);
static ngx_int_t ngx_mc_udp_init_output(ngx_mc_endpoint_t *ep);
static void ngx_mc_udp_set_output(ngx_mc_udp_output_t *u,
    ngx_mc_params_t *params);
static void ngx_mc_udp_open(ngx_mc_endpoint_t *ep);
static void ngx_mc_udp_open_out(ngx_mc_endpoint_t *ep,
    ngx_mc_handover_t *ho);
static void ngx_mc_udp_open_in(ngx_mc_endpoint_t *ep, ngx_mc_handover_t *ho);
static void ngx_mc_udp_close(ngx_mc_endpoint_t *ep);
static void ngx_mc_udp_give_output(ngx_mc_udp_output_t *u);
static void ngx_mc_udp_give_source(ngx_mc_udp_source_t *s);
static void ngx_mc_udp_forget(ngx_mc_udp_source_t *s);
static void ngx_mc_udp_output(ngx_mc_endpoint_t *ep, ngx_mc_packet_t *pkts,
    ngx_uint_t n);
static void ngx_mc_udp_second(ngx_mc_endpoint_t *ep);
static void ngx_mc_udp_update(ngx_mc_endpoint_t *ep,
    ngx_mc_endpoint_def_t *def, ngx_uint_t changed);


ngx_mc_endpoint_type_t  ngx_mc_rtp_type = {
    NGX_MC_RTP,
    NULL,
    ngx_mc_udp_init_process,
    NULL,
    ngx_mc_udp_init,
    ngx_mc_udp_open,
    ngx_mc_udp_close,
    ngx_mc_udp_output,
    NULL,
    ngx_mc_udp_second,
    ngx_mc_udp_update,
    0
};


ngx_mc_endpoint_type_t  ngx_mc_udp_type = {
    NGX_MC_UDP,
    NULL,
    ngx_mc_udp_init_process,
    NULL,
    ngx_mc_udp_init,
    ngx_mc_udp_open,
    ngx_mc_udp_close,
    ngx_mc_udp_output,
    NULL,
    ngx_mc_udp_second,
    ngx_mc_udp_update,
    0
};


static ngx_int_t
ngx_mc_udp_init_process(ngx_cycle_t *cycle)
{
    ngx_mc_udp_recv_init();

    return NGX_OK;
}


static ngx_int_t
ngx_mc_udp_init(ngx_mc_endpoint_t *ep)
{
    return (ep->def->direction == NGX_MC_INPUT) ? ngx_mc_udp_init_source(ep)
                                                : ngx_mc_udp_init_output(ep);
}


static ngx_int_t
ngx_mc_udp_init_source(ngx_mc_endpoint_t *ep)
{
    ngx_msec_t            buffer;
    ngx_mc_params_t      *params;
    ngx_mc_udp_source_t  *s;

    s = ngx_pcalloc(ep->pool, sizeof(ngx_mc_udp_source_t));
    if (s == NULL) {
        return NGX_ERROR;
    }

    params = &ep->def->params;

    s->endpoint = ep;

    s->pulse.handler = ngx_mc_udp_recv_pulse;
    s->pulse.data = s;
    s->period = ngx_mc_pulse_period(ep->flow->batch);

    s->timeout = ngx_mc_udp_timeout(params);

    s->silence.handler = ngx_mc_udp_silence_handler;
    s->silence.data = s;
    s->silence.log = ep->log;

    /* silence is nothing that a worker would have to stay for */
    s->silence.cancelable = 1;

    if (ep->def->protocol == NGX_MC_RTP) {

        buffer = (params->buffer == NGX_CONF_UNSET) ? NGX_MC_RTP_BUFFER
                                                    : params->buffer;

        s->reorder = ngx_mc_rtp_reorder_create(ep->pool, buffer,
                               params->buffer_mode == NGX_MC_BUFFER_CONSTANT,
                               &ep->stat->u.rtp.counters);
        if (s->reorder == NULL) {
            return NGX_ERROR;
        }
    }

    ep->data = s;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_udp_init_output(ngx_mc_endpoint_t *ep)
{
    ngx_mc_params_t      *params;
    ngx_mc_udp_output_t  *u;

    u = ngx_pcalloc(ep->pool, sizeof(ngx_mc_udp_output_t));
    if (u == NULL) {
        return NGX_ERROR;
    }

    params = &ep->def->params;

    u->endpoint = ep;
    u->fd = (ngx_socket_t) -1;
    u->gso = 1;

    u->pkt_size = (params->pkt_size == NGX_CONF_UNSET) ? NGX_MC_TS_DATAGRAM
                                                       : params->pkt_size;

    if (ep->def->protocol == NGX_MC_RTP) {
        u->rtp = 1;

        /* RFC 3550, 5.1: not to be guessed */

        u->seq = (uint16_t) ngx_random();

        u->ssrc = (params->ssrc == NGX_CONF_UNSET)
                  ? (uint32_t) ngx_random() << 1 : (uint32_t) params->ssrc;
    }

    ngx_mc_udp_set_output(u, params);

    ep->data = u;

    return NGX_OK;
}


/* what may change while the socket is open */

static void
ngx_mc_udp_set_output(ngx_mc_udp_output_t *u, ngx_mc_params_t *params)
{
    ngx_uint_t  keep;

    if (u->rtp) {
        keep = (params->rtp == NGX_MC_RTP_KEEP);

        if (keep != u->keep) {
            u->keep = keep;
            u->timed = 0;
        }

        u->set_pt = (params->pt != NGX_CONF_UNSET);
        u->pt = u->set_pt ? params->pt : NGX_MC_RTP_PT_TS;
    }

    if (params->pace == NGX_MC_PACE_PCR) {

        if (u->pace == NULL) {
            u->pace = &u->pacer;
            ngx_mc_rtp_pace_init(u->pace, u->endpoint->flow->batch,
                                 ngx_mc_udp_send, u, u->endpoint->log);
        }

    } else if (u->pace) {
        ngx_mc_rtp_pace_close(u->pace);
        u->pace = NULL;
    }
}


static void
ngx_mc_udp_open(ngx_mc_endpoint_t *ep)
{
    ngx_int_t           rc;
    ngx_mc_handover_t  *ho, taken;

    ho = NULL;

    rc = ngx_mc_handover_take(ep, &taken);

    if (rc == NGX_AGAIN) {

        /* it comes, or is given up, soon */

        ep->attempts = ngx_min(ep->attempts, NGX_MC_UDP_ATTEMPTS);

        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_ADDRESS_IN_USE,
                               "the socket is on its way from another "
                               "worker");
        return;
    }

    if (rc == NGX_OK) {
        ho = &taken;

        if (ngx_mc_udp_check(ep, ho->fd) != NGX_OK) {
            (void) ngx_close_socket(ho->fd);
            ho->fd = (ngx_socket_t) -1;
        }
    }

    if (ep->def->direction == NGX_MC_OUTPUT) {
        ngx_mc_udp_open_out(ep, ho);

    } else {
        ngx_mc_udp_open_in(ep, ho);
    }
}


/* "ho" is NULL, or from the process that had the endpoint: its socket, if
   that can be used */

static void
ngx_mc_udp_open_out(ngx_mc_endpoint_t *ep, ngx_mc_handover_t *ho)
{
    ngx_socket_t                fd;
    ngx_mc_udp_output_t        *u;
    ngx_mc_udp_output_state_t   state;

    u = ep->data;
    fd = (ngx_socket_t) -1;

    if (ho && ho->size == sizeof(ngx_mc_udp_output_state_t)) {

        /* receivers see one sender, whatever comes of the socket */

        ngx_memcpy(&state, ho->state, sizeof(ngx_mc_udp_output_state_t));

        u->seq = state.seq;
        u->ssrc = state.ssrc;
        u->timestamp = state.timestamp;
        u->shift = state.shift;
        u->origin = state.origin;
        u->timed = (state.timed != 0);
        u->media = (state.media != 0);

        fd = ho->fd;
    }

    if (fd != (ngx_socket_t) -1) {
        u->gso = (state.gso != 0);

    } else {

        if (ho) {
            ngx_mc_handover_refuse(ep, ho);
            ho = NULL;
        }

        fd = ngx_mc_udp_open_output(ep);

        if (fd == (ngx_socket_t) -1) {
            return;
        }
    }

    u->fd = fd;
    u->failing = 0;
    u->refused = 0;
    u->reported = 0;
    u->broken = 0;

    if (ho && ho->connected_at) {
        ngx_mc_endpoint_resume(ep, ep->sockaddr, ep->socklen,
                               ho->connected_at);
        return;
    }

    ngx_mc_endpoint_up(ep, ep->sockaddr, ep->socklen);
}


static void
ngx_mc_udp_open_in(ngx_mc_endpoint_t *ep, ngx_mc_handover_t *ho)
{
    ngx_event_t          *rev;
    ngx_uint_t            ifindex;
    ngx_socket_t          fd;
    ngx_connection_t     *c;
    ngx_mc_udp_source_t  *s;

    s = ep->data;

    s->sender_len = 0;
    s->aside = 0;

    if (ho && (ho->fd == (ngx_socket_t) -1
               || ngx_mc_udp_recv_restore(s, ho) != NGX_OK))
    {
        ngx_mc_handover_refuse(ep, ho);
        ho = NULL;
    }

    if (ho) {
        fd = ho->fd;

    } else {
        fd = ngx_mc_udp_open_source(ep, &ifindex);

        if (fd == (ngx_socket_t) -1) {
            return;
        }

        s->ifindex = ifindex;
        s->overflows = 0;
        s->emptied = ngx_mc_now();
    }

    c = ngx_get_connection(fd, ep->log);

    if (c == NULL) {
        (void) ngx_close_socket(fd);

        if (ho) {
            ho->fd = (ngx_socket_t) -1;
            ngx_mc_udp_forget(s);
            ngx_mc_handover_refuse(ep, ho);
        }

        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "worker_connections are not enough");
        return;
    }

    rev = c->read;
    rev->log = ep->log;
    rev->handler = ngx_mc_udp_recv_handler;

    /* not a client's: see the exit of workers */
    rev->channel = 1;

    c->data = s;

    s->connection = c;

    if (ngx_add_event(rev, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {

        if (ho) {
            ho->fd = (ngx_socket_t) -1;
            ngx_mc_handover_refuse(ep, ho);
        }

        ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                               "the socket could not be added to the poll "
                               "set");
        return;
    }

    if (s->up) {
        ngx_mc_endpoint_resume(ep, &s->peer.sockaddr, s->peer_len,
                               ho->connected_at);
        return;
    }

    ngx_mc_endpoint_waiting(ep);
}


static void
ngx_mc_udp_close(ngx_mc_endpoint_t *ep)
{
    ngx_mc_udp_output_t  *u;
    ngx_mc_udp_source_t  *s;

    if (ep->def->direction == NGX_MC_OUTPUT) {

        u = ep->data;

        if (u->fd == (ngx_socket_t) -1) {
            return;
        }

        if (u->pace) {
            ngx_mc_rtp_pace_close(u->pace);
        }

        if (ngx_mc_handover_wanted(ep)) {
            ngx_mc_udp_give_output(u);

        } else {
            (void) ngx_close_socket(u->fd);
        }

        u->fd = (ngx_socket_t) -1;

        return;
    }

    s = ep->data;

    if (s->connection == NULL) {
        return;
    }

    ngx_mc_pulse_stop(&s->pulse);

    if (ngx_mc_handover_wanted(ep)) {
        ngx_mc_udp_give_source(s);

    } else {
        ngx_close_connection(s->connection);
    }

    s->connection = NULL;

    ngx_mc_udp_forget(s);
}


static void
ngx_mc_udp_give_output(ngx_mc_udp_output_t *u)
{
    ngx_mc_udp_output_state_t  state;

    ngx_memzero(&state, sizeof(ngx_mc_udp_output_state_t));

    state.origin = u->origin;
    state.ssrc = u->ssrc;
    state.timestamp = u->timestamp;
    state.shift = u->shift;
    state.seq = u->seq;
    state.timed = u->timed;
    state.media = u->media;
    state.gso = u->gso;

    ngx_mc_handover_give(u->endpoint, u->fd, &state,
                         sizeof(ngx_mc_udp_output_state_t));
}


static void
ngx_mc_udp_give_source(ngx_mc_udp_source_t *s)
{
    size_t             size;
    u_char             state[NGX_MC_HANDOVER_STATE];
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = s->connection;
    rev = c->read;

    size = ngx_mc_udp_recv_save(s, state);

    /*
     * The poll set would keep the socket for as long as anybody has it open,
     * and tell of an event that is gone.
     */

    if (rev->active && ngx_del_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        ngx_close_connection(c);
        return;
    }

    if (rev->posted) {
        ngx_delete_posted_event(rev);
    }

    rev->closed = 1;
    c->write->closed = 1;

    ngx_mc_handover_give(s->endpoint, c->fd, state, size);

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}


static void
ngx_mc_udp_forget(ngx_mc_udp_source_t *s)
{
    if (s->silence.timer_set) {
        ngx_del_timer(&s->silence);
    }

    if (s->reorder) {
        ngx_mc_rtp_reorder_reset(s->reorder);
    }

    s->peer_len = 0;
    s->up = 0;
}


static void
ngx_mc_udp_output(ngx_mc_endpoint_t *ep, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    ngx_mc_udp_output_t  *u;

    u = ep->data;

    if (u->pace) {
        ngx_mc_rtp_pace(u->pace, pkts, n);
        return;
    }

    ngx_mc_udp_send(u, pkts, n);
}


static void
ngx_mc_udp_second(ngx_mc_endpoint_t *ep)
{
    u_char               *p, text[NGX_MC_ERROR_LEN];
    int64_t               now;
    ngx_mc_udp_output_t  *u;
    ngx_mc_udp_source_t  *s;

    now = ngx_mc_now();

    if (ep->def->direction == NGX_MC_INPUT) {

        s = ep->data;

        if (s->reorder) {
            ep->stat->u.rtp.jitter_ms =
                              ngx_mc_rtp_jitter_ms(&ep->stat->u.rtp.counters);
        }

        if (s->complained && now - s->complained > NGX_MC_UDP_SHOWN) {
            s->complained = 0;
            ngx_mc_endpoint_error(ep, "");
        }

        return;
    }

    u = ep->data;

    if (u->broken) {
        p = ngx_strerror(u->err, text, sizeof(text) - 1);
        *p = '\0';

        ngx_mc_endpoint_down(ep, 0, "sending failed: %s", text);
        return;
    }

    /* nobody receives there: told, but it may change at any time */

    if (u->refused && !u->reported) {
        u->reported = 1;
        ngx_mc_endpoint_error(ep, "nothing receives at that port");

    } else if (u->reported && now - u->refused > NGX_MC_UDP_SHOWN) {
        u->reported = 0;
        u->refused = 0;
        ngx_mc_endpoint_error(ep, "");
    }
}


static void
ngx_mc_udp_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    ngx_mc_udp_output_t  *u;

    ep->def = def;

    if (ep->def->direction == NGX_MC_INPUT) {
        ngx_mc_udp_recv_update(ep->data);
        return;
    }

    u = ep->data;

    ngx_mc_udp_set_output(u, &def->params);

    if (u->pace && (changed & NGX_MC_CHANGED_BATCH)) {
        ngx_mc_rtp_pace_batch(u->pace, ep->flow->batch);
    }
}
