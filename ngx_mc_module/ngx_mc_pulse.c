
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_pulse.h>
#include <sys/timerfd.h>


/* 0 to 20 ms of mc_batch, and what pacing asks for */
#define NGX_MC_PULSES  32


struct ngx_mc_pulse_s {
    ngx_uint_t              period;
    ngx_uint_t              nclients;
    ngx_queue_t             clients;
    ngx_mc_pulse_client_t  *next;          /* while the handlers run */
    ngx_connection_t       *connection;
};


static ngx_mc_pulse_t *ngx_mc_pulse_get(ngx_uint_t period);
static ngx_int_t ngx_mc_pulse_set(ngx_mc_pulse_t *pulse, ngx_uint_t period);
static void ngx_mc_pulse_handler(ngx_event_t *rev);


static ngx_mc_pulse_t  ngx_mc_pulses[NGX_MC_PULSES];
static ngx_uint_t      ngx_mc_npulses;


ngx_int_t
ngx_mc_pulse_start(ngx_mc_pulse_client_t *client, ngx_uint_t period)
{
    ngx_mc_pulse_t  *pulse;

    if (client->pulse) {
        return NGX_OK;
    }

    pulse = ngx_mc_pulse_get(period);
    if (pulse == NULL) {
        return NGX_ERROR;
    }

    if (pulse->nclients == 0 && ngx_mc_pulse_set(pulse, period) != NGX_OK) {
        return NGX_ERROR;
    }

    pulse->nclients++;
    client->pulse = pulse;
    ngx_queue_insert_head(&pulse->clients, &client->queue);

    return NGX_OK;
}


void
ngx_mc_pulse_stop(ngx_mc_pulse_client_t *client)
{
    ngx_queue_t     *q;
    ngx_mc_pulse_t  *pulse;

    pulse = client->pulse;

    if (pulse == NULL) {
        return;
    }

    if (pulse->next == client) {
        q = ngx_queue_next(&client->queue);

        pulse->next = (q == ngx_queue_sentinel(&pulse->clients))
                      ? NULL : ngx_queue_data(q, ngx_mc_pulse_client_t, queue);
    }

    ngx_queue_remove(&client->queue);
    client->pulse = NULL;

    if (--pulse->nclients == 0) {
        (void) ngx_mc_pulse_set(pulse, 0);
    }
}


static ngx_mc_pulse_t *
ngx_mc_pulse_get(ngx_uint_t period)
{
    int                fd;
    ngx_uint_t         i;
    ngx_event_t       *rev;
    ngx_mc_pulse_t    *pulse;
    ngx_connection_t  *c;

    for (i = 0; i < ngx_mc_npulses; i++) {
        if (ngx_mc_pulses[i].period == period) {
            return &ngx_mc_pulses[i];
        }
    }

    if (ngx_mc_npulses == NGX_MC_PULSES) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0, "too many pulses");
        return NULL;
    }

    fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK|TFD_CLOEXEC);
    if (fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_errno,
                      "timerfd_create() failed");
        return NULL;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        (void) close(fd);
        return NULL;
    }

    pulse = &ngx_mc_pulses[ngx_mc_npulses];

    rev = c->read;
    rev->log = ngx_cycle->log;
    rev->handler = ngx_mc_pulse_handler;

    /* a descriptor of the process, not of a client: see the exit of workers */
    rev->channel = 1;
    c->data = pulse;

    if (ngx_add_event(rev, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        (void) close(fd);
        return NULL;
    }

    ngx_memzero(pulse, sizeof(ngx_mc_pulse_t));
    pulse->period = period;
    pulse->connection = c;
    ngx_queue_init(&pulse->clients);

    ngx_mc_npulses++;

    return pulse;
}


static ngx_int_t
ngx_mc_pulse_set(ngx_mc_pulse_t *pulse, ngx_uint_t period)
{
    struct itimerspec  its;

    its.it_interval.tv_sec = period / 1000000;
    its.it_interval.tv_nsec = (period % 1000000) * 1000;
    its.it_value = its.it_interval;

    if (timerfd_settime(pulse->connection->fd, 0, &its, NULL) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "timerfd_settime() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_mc_pulse_handler(ngx_event_t *rev)
{
    uint64_t                ticks;
    ngx_queue_t            *q;
    ngx_mc_pulse_t         *pulse;
    ngx_connection_t       *c;
    ngx_mc_pulse_client_t  *client;

    c = rev->data;
    pulse = c->data;

    /* it is the read that starts the next interval */

    if (read(c->fd, &ticks, sizeof(uint64_t)) == -1) {
        return;
    }

    if (ngx_queue_empty(&pulse->clients)) {
        return;
    }

    q = ngx_queue_head(&pulse->clients);
    client = ngx_queue_data(q, ngx_mc_pulse_client_t, queue);

    while (client) {
        q = ngx_queue_next(&client->queue);

        pulse->next = (q == ngx_queue_sentinel(&pulse->clients))
                      ? NULL : ngx_queue_data(q, ngx_mc_pulse_client_t, queue);

        client->handler(client->data);

        client = pulse->next;
    }
}
