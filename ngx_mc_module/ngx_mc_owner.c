
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_conf.h>
#include <ngx_mc_control.h>
#include <ngx_mc_flow.h>
#include <ngx_mc_handover.h>
#include <ngx_mc_lock.h>
#include <ngx_mc_owner.h>
#include <sys/eventfd.h>


/*
 * Who runs a flow.
 *
 * A flow belongs to the process that holds the lock on one byte of the lock
 * file, at the offset that the hash of its name gives.  The lock is of the
 * open file description ("OFD"), one of each worker's own, so the kernel
 * frees it at any death; shared memory says who the owner is, but only the
 * lock decides.  Flows that share a port make a group, and are run by one
 * process: who has none of it claims all or nothing.
 */


/* the work of each second is spread over so many slices of 100 ms */
#define NGX_MC_SLICES       10
#define NGX_MC_SLICE        100

/* us, what giving back may take of one pass of the event loop */
#define NGX_MC_RELEASE      5000

/* owners that are known to be alive now */
#define NGX_MC_OWNERS       64

/* which flows to claim: those meant for this worker; those that are nobody's
   too; those meant for it whose owner has died */
#define NGX_MC_TAKE_MEANT   0
#define NGX_MC_TAKE_ORPHANS 1
#define NGX_MC_TAKE_LOST    2

/* another nginx gives back all its flows at once: after so many that it still
   has, the rest is left for the next time */
#define NGX_MC_RECLAIMS      64


static void ngx_mc_owner_notify_handler(ngx_event_t *rev);
static void ngx_mc_owner_leave(void);
static ngx_uint_t ngx_mc_owner_is_quitting(void);
static void ngx_mc_owner_slice_handler(ngx_event_t *ev);
static void ngx_mc_owner_converge(ngx_uint_t orphans);
static void ngx_mc_owner_update(ngx_mc_generation_t *gen);
static void ngx_mc_owner_control(void);
static void ngx_mc_owner_retry(void);
static void ngx_mc_owner_succeed(void);
static void ngx_mc_owner_reclaim(void);
static void ngx_mc_owner_take(ngx_mc_generation_t *gen, ngx_uint_t what);
static void ngx_mc_owner_claim(ngx_mc_generation_t *gen, ngx_uint_t leader);
static void ngx_mc_owner_held(ngx_mc_generation_t *gen, ngx_uint_t leader);
static void ngx_mc_owner_start(ngx_mc_generation_t *gen,
    ngx_mc_flow_entry_t *entry);
static ngx_uint_t ngx_mc_owner_shares(ngx_mc_generation_t *gen,
    ngx_uint_t leader);
static void ngx_mc_owner_stop(ngx_mc_flow_t *flow);
static ngx_uint_t ngx_mc_owner_moves(ngx_mc_flow_t *flow);
static void ngx_mc_owner_release(void);
static void ngx_mc_owner_release_all(void);
static ngx_uint_t ngx_mc_owner_is_live(ngx_mc_generation_t *gen,
    ngx_uint_t leader);
static ngx_uint_t ngx_mc_owner_orphan(ngx_mc_flow_stat_t *st);
static ngx_mc_flow_t *ngx_mc_owner_running(uint64_t hash);
static ngx_uint_t ngx_mc_owner_listens(ngx_mc_flow_entry_t *entry,
    ngx_mc_endpoint_def_t *def);


typedef struct {
    ngx_rbtree_node_t    node;               /* by the hash of the name */
    ngx_mc_flow_t       *flow;
} ngx_mc_owned_t;


static ngx_mc_owned_t *ngx_mc_owner_find(uint64_t hash);


static ngx_rbtree_t        ngx_mc_owned;
static ngx_rbtree_node_t   ngx_mc_owned_sentinel;
static ngx_queue_t         ngx_mc_flows;

/* as it was when this process was forked: what the registry has got since
   then is another file here */
static int                 ngx_mc_notify_fd = -1;

static uint32_t            ngx_mc_owner_generation;
static ngx_atomic_uint_t   ngx_mc_owner_controlled;

/* the generation that this worker was started for */
static uint32_t            ngx_mc_owner_first;
static ngx_uint_t          ngx_mc_owner_slice;
static ngx_uint_t          ngx_mc_owner_leaving;

/* where the search for what nobody has goes on */
static ngx_uint_t          ngx_mc_owner_reclaimed;

/* a change that could not be made, or a flow that could not be started */
static ngx_uint_t          ngx_mc_owner_behind;
static ngx_uint_t          ngx_mc_owner_failed;

/* when flows of another master's workers were last taken over */
static ngx_msec_t          ngx_mc_owner_adopted;
static ngx_event_t         ngx_mc_slice_event;

/* the ident of events that belong to no connection */
static ngx_connection_t    ngx_mc_owner_dummy = { .fd = (ngx_socket_t) -1 };

static ngx_connection_t   *ngx_mc_notify_connection;


void
ngx_mc_owner_init_module(ngx_cycle_t *cycle)
{
    ngx_mc_registry_t  *reg;

    reg = ngx_mc_registry;

    if (reg->notify_fd == -1) {
        reg->notify_fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

        if (reg->notify_fd == -1) {
            ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                          "eventfd() failed");
        }
    }

    ngx_mc_notify_fd = reg->notify_fd;

    ngx_mc_handover_init_module(cycle);
    ngx_mc_lock_init_module(cycle);
}


void
ngx_mc_owner_notify(void)
{
    uint64_t  one;

    one = 1;

    if (ngx_mc_notify_fd != -1) {
        (void) !write(ngx_mc_notify_fd, &one, sizeof(uint64_t));
    }
}


ngx_int_t
ngx_mc_owner_init_process(ngx_cycle_t *cycle)
{
    int                fd;
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    ngx_rbtree_init(&ngx_mc_owned, &ngx_mc_owned_sentinel,
                    ngx_rbtree_insert_value);
    ngx_queue_init(&ngx_mc_flows);

    ngx_mc_handover_init_process();

    /*
     * All workers wait on one eventfd, which nobody reads: each write is a
     * new edge for every epoll that it is in.
     */

    fd = dup(ngx_mc_notify_fd);
    if (fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno, "dup() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, cycle->log);
    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    rev = c->read;
    rev->log = cycle->log;
    rev->handler = ngx_mc_owner_notify_handler;

    /* an idle connection is told when the worker begins to exit, and every
       connection at worker_shutdown_timeout */
    c->idle = 1;

    if (ngx_add_event(rev, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        (void) close(fd);
        return NGX_ERROR;
    }

    ngx_mc_notify_connection = c;

    /* not what is current by now: the next reload may have been faster */

    ngx_mc_owner_first = ngx_mc_main_conf(cycle)->registry.number;

    ngx_mc_slice_event.handler = ngx_mc_owner_slice_handler;
    ngx_mc_slice_event.data = &ngx_mc_owner_dummy;
    ngx_mc_slice_event.log = cycle->log;
    ngx_mc_slice_event.cancelable = 1;
    ngx_add_timer(&ngx_mc_slice_event, NGX_MC_SLICE);

    ngx_mc_owner_converge(0);

    return NGX_OK;
}


void
ngx_mc_owner_exit_process(void)
{
    if (ngx_mc_notify_connection == NULL) {
        return;
    }

    if (ngx_mc_slice_event.timer_set) {
        ngx_del_timer(&ngx_mc_slice_event);
    }

    ngx_mc_owner_release_all();
    ngx_mc_handover_exit_process();

    ngx_close_connection(ngx_mc_notify_connection);
    ngx_mc_notify_connection = NULL;
}


static void
ngx_mc_owner_notify_handler(ngx_event_t *rev)
{
    ngx_connection_t  *c;

    c = rev->data;

    if (c->close) {
        c->close = 0;
        ngx_mc_owner_leave();
        return;
    }

    if (ngx_mc_owner_is_quitting()) {
        ngx_mc_owner_release_all();
        return;
    }

    ngx_mc_owner_converge(0);
    ngx_mc_owner_control();
    ngx_mc_owner_retry();
}


/*
 * The worker is leaving.  After a reload it keeps its live flows, until they
 * end or worker_shutdown_timeout; when nginx itself is told to quit there is
 * nobody whom that would serve.  The master tells only current workers to
 * quit, and they those that have been leaving before.
 */

static void
ngx_mc_owner_leave(void)
{
    ngx_queue_t    *q;
    ngx_mc_flow_t  *flow;

    if (ngx_mc_owner_leaving) {
        ngx_mc_owner_release_all();
        return;
    }

    ngx_mc_owner_leaving = 1;

    if (ngx_mc_registry->generation == ngx_mc_owner_first) {
        ngx_mc_registry->quit = ngx_mc_owner_first;
        ngx_mc_owner_notify();
        ngx_mc_owner_release_all();
        return;
    }

    ngx_mc_owner_converge(0);

    if (ngx_queue_empty(&ngx_mc_flows)) {
        return;
    }

    /* it is a timer that keeps a worker alive */

    if (ngx_mc_slice_event.timer_set) {
        ngx_del_timer(&ngx_mc_slice_event);
    }

    ngx_mc_slice_event.cancelable = 0;
    ngx_add_timer(&ngx_mc_slice_event, NGX_MC_SLICE);

    for (q = ngx_queue_head(&ngx_mc_flows);
         q != ngx_queue_sentinel(&ngx_mc_flows);
         q = ngx_queue_next(q))
    {
        flow = ngx_queue_data(q, ngx_mc_flow_t, queue);
        flow->stat->exiting = 1;
    }
}


/*
 * Whether this worker leaves without a successor.  A request may keep it for
 * long: it must not take again what it, or another, has given up for the
 * workers of another master.
 */

static ngx_uint_t
ngx_mc_owner_is_quitting(void)
{
    return (ngx_mc_owner_leaving
            && ngx_mc_registry->quit == ngx_mc_registry->generation);
}


static void
ngx_mc_owner_slice_handler(ngx_event_t *ev)
{
    ngx_queue_t    *q, *next;
    ngx_mc_flow_t  *flow;

    if (ngx_mc_owner_is_quitting()) {
        ngx_mc_owner_release_all();
        return;
    }

    /* without a master process the configuration changes under us */

    ev->log = ngx_cycle->log;
    ngx_mc_notify_connection->read->log = ngx_cycle->log;

    for (q = ngx_queue_head(&ngx_mc_flows);
         q != ngx_queue_sentinel(&ngx_mc_flows);
         q = next)
    {
        next = ngx_queue_next(q);
        flow = ngx_queue_data(q, ngx_mc_flow_t, queue);

        if (flow->slice == ngx_mc_owner_slice) {
            ngx_mc_flow_second(flow);
        }
    }

    if (++ngx_mc_owner_slice == NGX_MC_SLICES) {
        ngx_mc_owner_slice = 0;
        ngx_mc_owner_converge(1);

        if (ngx_worker == 0 && !ngx_mc_owner_leaving) {
            ngx_mc_lock_check(ev->log);
        }

    } else {
        ngx_mc_owner_succeed();
        ngx_mc_owner_reclaim();
    }

    if (ngx_mc_owner_leaving && ngx_queue_empty(&ngx_mc_flows)) {
        return;
    }

    ngx_add_timer(ev, NGX_MC_SLICE);
}


/*
 * Makes what this process runs equal to the current generation.  A worker
 * takes the flows that are meant for it, and once a second those that nobody
 * has.
 */

static void
ngx_mc_owner_converge(ngx_uint_t orphans)
{
    ngx_mc_generation_t  *gen;

    gen = ngx_mc_registry_current();

    if (gen == NULL) {
        return;
    }

    ngx_mc_owner_failed = 0;

    if (ngx_mc_owner_generation != gen->number
        || (orphans && ngx_mc_owner_behind))
    {
        ngx_mc_owner_update(gen);
        ngx_mc_owner_generation = gen->number;

    } else if (ngx_mc_owner_is_old(gen)) {
        ngx_mc_owner_release();
    }

    if (ngx_mc_lock_open() != NGX_OK) {
        return;
    }

    ngx_mc_owner_take(gen, orphans ? NGX_MC_TAKE_ORPHANS : NGX_MC_TAKE_MEANT);
}


/*
 * A new generation.  What it does not have ends here; what is not live is
 * for the new workers; what is live stays, and is changed while it runs.
 */

static void
ngx_mc_owner_update(ngx_mc_generation_t *gen)
{
    ngx_uint_t            stops;
    ngx_queue_t          *q, *next;
    ngx_mc_flow_t        *flow;
    ngx_mc_flow_entry_t  *entry;

    stops = ngx_mc_endpoint_stops;
    ngx_mc_owner_behind = 0;

    for (q = ngx_queue_head(&ngx_mc_flows);
         q != ngx_queue_sentinel(&ngx_mc_flows);
         q = next)
    {
        next = ngx_queue_next(q);
        flow = ngx_queue_data(q, ngx_mc_flow_t, queue);

        if (ngx_mc_registry_find(gen, flow->name.data, flow->name.len)
            == NULL)
        {
            ngx_mc_owner_stop(flow);
        }
    }

    if (ngx_mc_owner_is_old(gen)) {
        ngx_mc_owner_release();
    }

    for (q = ngx_queue_head(&ngx_mc_flows);
         q != ngx_queue_sentinel(&ngx_mc_flows);
         q = next)
    {
        next = ngx_queue_next(q);
        flow = ngx_queue_data(q, ngx_mc_flow_t, queue);

        entry = ngx_mc_registry_find(gen, flow->name.data, flow->name.len);

        if (ngx_mc_flow_update(flow, entry, gen->number) != NGX_OK) {

            /* no reason to cut a stream */

            if (ngx_mc_owner_generation != gen->number) {
                ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                              "flow \"%V\" could not be changed, it goes on "
                              "as it was for now", &flow->name);
            }

            ngx_mc_owner_behind = 1;
        }
    }

    /* somebody may wait for a port that is free now */

    if (stops != ngx_mc_endpoint_stops) {
        ngx_mc_owner_notify();
    }
}


/* an operator has started or stopped something, maybe here */

static void
ngx_mc_owner_control(void)
{
    ngx_uint_t          stops;
    ngx_queue_t        *q;
    ngx_atomic_uint_t   control;

    stops = ngx_mc_endpoint_stops;
    control = ngx_mc_registry->control;

    if (ngx_mc_owner_controlled == control) {
        return;
    }

    ngx_mc_owner_controlled = control;

    if (ngx_process != NGX_PROCESS_WORKER
        || ngx_mc_registry->generation == ngx_mc_owner_first)
    {
        ngx_mc_control_changed();
    }

    for (q = ngx_queue_head(&ngx_mc_flows);
         q != ngx_queue_sentinel(&ngx_mc_flows);
         q = ngx_queue_next(q))
    {
        ngx_mc_flow_control(ngx_queue_data(q, ngx_mc_flow_t, queue));
    }

    if (stops != ngx_mc_endpoint_stops) {
        ngx_mc_owner_notify();
    }
}


/* another process has given something up: a port, maybe, that is waited for */

static void
ngx_mc_owner_retry(void)
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&ngx_mc_flows);
         q != ngx_queue_sentinel(&ngx_mc_flows);
         q = ngx_queue_next(q))
    {
        ngx_mc_flow_retry(ngx_queue_data(q, ngx_mc_flow_t, queue));
    }
}


ngx_uint_t
ngx_mc_owner_is_old(ngx_mc_generation_t *gen)
{
    return ngx_process == NGX_PROCESS_WORKER
           && gen->number != ngx_mc_owner_first;
}


/*
 * What cannot wait until the second is over: the flows of a worker that was
 * leaving and has died, which nobody starts again, and what belongs to a port
 * here but was another's when it was last tried.
 */

static void
ngx_mc_owner_succeed(void)
{
    ngx_mc_generation_t  *gen;

    gen = ngx_mc_registry_current();

    if (gen == NULL
        || gen->number != ngx_mc_owner_generation
        || ngx_mc_owner_failed
        || ngx_mc_lock_open() != NGX_OK)
    {
        return;
    }

    if (ngx_mc_owner_is_old(gen)) {
        ngx_mc_owner_release();
    }

    ngx_mc_owner_take(gen, NGX_MC_TAKE_LOST);
}


/*
 * Flows that are meant for us and that no process of this master has: those
 * of another master's workers, during a binary upgrade, who cannot wake us
 * when they give them back, and those of one that died while it gave them
 * back.
 */

static void
ngx_mc_owner_reclaim(void)
{
    ngx_uint_t            n, declined;
    ngx_mc_flow_entry_t  *entry;
    ngx_mc_generation_t  *gen;

    gen = ngx_mc_registry_current();

    if (gen == NULL
        || ngx_mc_owner_is_old(gen)
        || gen->number != ngx_mc_owner_generation
        || ngx_mc_owner_failed
        || ngx_mc_lock_open() != NGX_OK)
    {
        return;
    }

    declined = 0;

    for (n = 0; n < gen->nflows && declined < NGX_MC_RECLAIMS; n++) {

        if (++ngx_mc_owner_reclaimed >= gen->nflows) {
            ngx_mc_owner_reclaimed = 0;
        }

        entry = &gen->flows[ngx_mc_owner_reclaimed];

        if (entry->group != ngx_mc_owner_reclaimed
            || entry->hint != ngx_worker
            || entry->stat->pid)
        {
            continue;
        }

        ngx_mc_owner_claim(gen, ngx_mc_owner_reclaimed);

        declined = ngx_mc_owner_running(entry->hash) ? 0 : declined + 1;
    }
}


/*
 * A reload has started new workers, which flows are for from then on: into an
 * old one comes only what shares a port with a flow that stays there.
 */

static void
ngx_mc_owner_take(ngx_mc_generation_t *gen, ngx_uint_t what)
{
    ngx_uint_t            i, old, take;
    ngx_mc_flow_entry_t  *entry;

    old = ngx_mc_owner_is_old(gen);

    for (i = 0; i < gen->nflows; i++) {
        entry = &gen->flows[i];

        if (entry->group != i) {
            continue;
        }

        if (old) {
            take = ngx_mc_owner_shares(gen, i);

        } else if (what == NGX_MC_TAKE_LOST) {
            take = (entry->hint == ngx_worker
                    && entry->stat->pid
                    && ngx_mc_owner_orphan(entry->stat));

        } else {
            take = (entry->hint == ngx_worker
                    || (what == NGX_MC_TAKE_ORPHANS
                        && ngx_mc_owner_orphan(entry->stat)));
        }

        if (take) {
            ngx_mc_owner_claim(gen, i);
        }
    }

    ngx_mc_handover_sweep();
}


/* whether this process runs a flow of a group of several */

static ngx_uint_t
ngx_mc_owner_shares(ngx_mc_generation_t *gen, ngx_uint_t leader)
{
    ngx_uint_t  i;

    if (gen->flows[leader].group_next == NGX_MC_NONE) {
        return 0;
    }

    for (i = leader; i != NGX_MC_NONE; i = gen->flows[i].group_next) {
        if (ngx_mc_owner_running(gen->flows[i].hash)) {
            return 1;
        }
    }

    return 0;
}


/*
 * A group is claimed whole or not at all, but by a process that has a part of
 * it: that takes what it can get, for nobody else can take the rest.  What
 * listens on a port that is still another's waits for that.
 */

static void
ngx_mc_owner_claim(ngx_mc_generation_t *gen, ngx_uint_t leader)
{
    ngx_uint_t            i, n, shares;
    ngx_mc_flow_entry_t  *entry;

    shares = ngx_mc_owner_shares(gen, leader);

    for (i = leader; i != NGX_MC_NONE; i = gen->flows[i].group_next) {
        entry = &gen->flows[i];

        if (ngx_mc_owner_running(entry->hash)) {
            continue;
        }

        if (ngx_mc_lock(entry->hash) != NGX_OK) {

            if (shares) {
                continue;
            }

            ngx_mc_owner_held(gen, leader);

            goto unlock;
        }

        if (shares) {
            ngx_mc_owner_start(gen, entry);
        }
    }

    if (shares) {
        return;
    }

    for (i = leader; i != NGX_MC_NONE; i = gen->flows[i].group_next) {
        entry = &gen->flows[i];

        if (!ngx_mc_owner_running(entry->hash)) {
            ngx_mc_owner_start(gen, entry);
        }
    }

    return;

unlock:

    /* one of the group is still another's: what was taken is given back */

    for (n = leader; n != i; n = gen->flows[n].group_next) {
        ngx_mc_unlock(gen->flows[n].hash);
    }
}


/* one of the group cannot be locked: whom nobody of this master has, another
   master's workers have, with all of the group */

static void
ngx_mc_owner_held(ngx_mc_generation_t *gen, ngx_uint_t leader)
{
    ngx_uint_t           i;
    ngx_mc_flow_stat_t  *st;

    for (i = leader; i != NGX_MC_NONE; i = gen->flows[i].group_next) {
        st = gen->flows[i].stat;

        if (st->pid == 0) {
            st->held = ngx_current_msec;
        }
    }
}


/* the lock is held */

static void
ngx_mc_owner_start(ngx_mc_generation_t *gen, ngx_mc_flow_entry_t *entry)
{
    ngx_mc_flow_t   *flow;
    ngx_mc_owned_t  *own;

    /* one look for all that come together */

    if (ngx_mc_flow_stat_is_held(entry->stat)
        && ngx_current_msec - ngx_mc_owner_adopted >= NGX_MC_SLICE)
    {
        ngx_mc_owner_adopted = ngx_current_msec;
        ngx_mc_control_adopt(gen);
    }

    own = ngx_alloc(sizeof(ngx_mc_owned_t), ngx_cycle->log);

    flow = own ? ngx_mc_flow_start(entry, gen->number) : NULL;

    if (flow == NULL) {

        if (own) {
            ngx_free(own);
        }

        ngx_mc_unlock(entry->hash);

        /* not again before the second is over */
        ngx_mc_owner_failed = 1;

        return;
    }

    flow->slice = ngx_random() % NGX_MC_SLICES;

    own->node.key = entry->hash;
    own->flow = flow;
    ngx_rbtree_insert(&ngx_mc_owned, &own->node);
    ngx_queue_insert_tail(&ngx_mc_flows, &flow->queue);
}


static void
ngx_mc_owner_stop(ngx_mc_flow_t *flow)
{
    uint64_t         hash;
    ngx_mc_owned_t  *own;

    hash = flow->hash;
    own = ngx_mc_owner_find(hash);

    ngx_rbtree_delete(&ngx_mc_owned, &own->node);
    ngx_free(own);

    ngx_queue_remove(&flow->queue);

    flow->moving = ngx_mc_owner_moves(flow);

    ngx_mc_flow_stop(flow);

    ngx_mc_unlock(hash);
}


/* whether another process goes on with it, or the same */

static ngx_uint_t
ngx_mc_owner_moves(ngx_mc_flow_t *flow)
{
    ngx_mc_generation_t  *gen;

    gen = ngx_mc_registry_current();

    return ngx_process == NGX_PROCESS_WORKER
           && !ngx_terminate
           && gen && ngx_mc_registry->quit != gen->number
           && ngx_mc_registry_find(gen, flow->name.data, flow->name.len);
}


/*
 * Gives back the flows that are not live.  What shares a port with a live
 * one can run nowhere else.  Closing hundreds of ports takes long, and live
 * flows are not to wait for it: what is left comes with the next pass of the
 * event loop, as our own notice wakes us too.
 */

static void
ngx_mc_owner_release(void)
{
    int64_t               start;
    ngx_uint_t            i, n, released;
    ngx_mc_flow_t        *flow;
    ngx_mc_generation_t  *gen;

    if (ngx_queue_empty(&ngx_mc_flows)) {
        return;
    }

    gen = ngx_mc_registry_current();

    if (gen == NULL || ngx_mc_registry->quit == gen->number) {
        ngx_mc_owner_release_all();
        return;
    }

    released = 0;
    start = ngx_mc_now();

    for (i = 0; i < gen->nflows; i++) {

        if (gen->flows[i].group != i || ngx_mc_owner_is_live(gen, i)) {
            continue;
        }

        if (released && ngx_mc_now() - start > NGX_MC_RELEASE) {
            break;
        }

        for (n = i; n != NGX_MC_NONE; n = gen->flows[n].group_next) {
            flow = ngx_mc_owner_running(gen->flows[n].hash);

            if (flow) {
                ngx_mc_owner_stop(flow);
                released = 1;
            }
        }
    }

    if (released) {
        ngx_mc_owner_notify();
    }
}


static void
ngx_mc_owner_release_all(void)
{
    ngx_queue_t  *q;

    if (ngx_queue_empty(&ngx_mc_flows)) {
        return;
    }

    do {
        q = ngx_queue_head(&ngx_mc_flows);
        ngx_mc_owner_stop(ngx_queue_data(q, ngx_mc_flow_t, queue));

    } while (!ngx_queue_empty(&ngx_mc_flows));

    ngx_mc_owner_notify();
}


/* whether a flow of the group is live in this process */

static ngx_uint_t
ngx_mc_owner_is_live(ngx_mc_generation_t *gen, ngx_uint_t leader)
{
    ngx_uint_t      i;
    ngx_mc_flow_t  *flow;

    for (i = leader; i != NGX_MC_NONE; i = gen->flows[i].group_next) {
        flow = ngx_mc_owner_running(gen->flows[i].hash);

        if (flow && ngx_mc_flow_is_live(flow)) {
            return 1;
        }
    }

    return 0;
}


/* nobody's, or of a process that is gone */

static ngx_uint_t
ngx_mc_owner_orphan(ngx_mc_flow_stat_t *st)
{
    ngx_pid_t          pid;
    ngx_uint_t         i;
    static ngx_pid_t   alive[NGX_MC_OWNERS];
    static ngx_msec_t  when;

    pid = (ngx_pid_t) st->pid;

    if (pid == 0) {
        return 1;
    }

    if (pid == ngx_pid) {
        return 0;
    }

    /* one question a process, not one a flow */

    if (when != ngx_current_msec) {
        when = ngx_current_msec;
        ngx_memzero(alive, sizeof(alive));
    }

    for (i = 0; i < NGX_MC_OWNERS; i++) {

        if (alive[i] == pid) {
            return 0;
        }

        if (alive[i] == 0) {
            break;
        }
    }

    if (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH) {
        return 1;
    }

    if (i < NGX_MC_OWNERS) {
        alive[i] = pid;
    }

    return 0;
}


static ngx_mc_flow_t *
ngx_mc_owner_running(uint64_t hash)
{
    ngx_mc_owned_t  *own;

    own = ngx_mc_owner_find(hash);

    return own ? own->flow : NULL;
}


static ngx_mc_owned_t *
ngx_mc_owner_find(uint64_t hash)
{
    ngx_rbtree_node_t  *node;

    for (node = ngx_mc_owned.root; node != &ngx_mc_owned_sentinel;
         node = (hash < node->key) ? node->left : node->right)
    {
        if (node->key == hash) {
            return (ngx_mc_owned_t *) node;
        }
    }

    return NULL;
}


/*
 * Where an endpoint cannot listen: the name of the flow that has the port in
 * another process.  A reload may let two flows share a port that are live in
 * different ones.
 */

u_char *
ngx_mc_owner_holder(ngx_mc_endpoint_t *ep)
{
    ngx_uint_t            i;
    ngx_mc_flow_entry_t  *entry, *other;
    ngx_mc_generation_t  *gen;

    gen = ngx_mc_registry_current();

    if (ep->def->mode != NGX_MC_MODE_LISTENER || gen == NULL) {
        return NULL;
    }

    entry = ngx_mc_registry_find(gen, ep->flow->name.data,
                                 ep->flow->name.len);
    if (entry == NULL) {
        return NULL;
    }

    for (i = entry->group; i != NGX_MC_NONE; i = gen->flows[i].group_next) {
        other = &gen->flows[i];

        if (other != entry
            && other->stat->pid
            && other->stat->pid != (ngx_atomic_uint_t) ngx_pid
            && ngx_mc_owner_listens(other, ep->def))
        {
            return other->stat->name;
        }
    }

    return NULL;
}


/* whether the flow has an endpoint on the port of "def" */

static ngx_uint_t
ngx_mc_owner_listens(ngx_mc_flow_entry_t *entry, ngx_mc_endpoint_def_t *def)
{
    ngx_uint_t              i, n, found;
    ngx_pool_t             *pool;
    ngx_mc_parse_t         *parse;
    ngx_mc_flow_def_t       flow;
    ngx_mc_endpoint_def_t  *d;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return 0;
    }

    found = 0;

    parse = ngx_pcalloc(pool, sizeof(ngx_mc_parse_t));

    if (parse) {
        parse->pool = pool;

        if (ngx_mc_def_read(parse, &flow, &entry->text) == NGX_OK) {

            n = flow.sources.nelts;

            for (i = 0; i < n + flow.outputs.nelts && !found; i++) {

                d = (i < n)
                    ? (ngx_mc_endpoint_def_t *) flow.sources.elts + i
                    : (ngx_mc_endpoint_def_t *) flow.outputs.elts + (i - n);

                found = (d->mode == NGX_MC_MODE_LISTENER
                         && d->port == def->port
                         && d->host.len == def->host.len
                         && ngx_strncmp(d->host.data, def->host.data,
                                        d->host.len)
                            == 0);
            }
        }
    }

    ngx_destroy_pool(pool);

    return found;
}
