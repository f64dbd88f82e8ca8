
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_registry.h>
#include <ngx_mc_event.h>
#include <ngx_mc_control.h>


/* shares of the zone for the last events and for receivers of listeners */
#define NGX_MC_EVENTS_SHARE  16
#define NGX_MC_PEERS_SHARE   32

/* ms: a process that reads a generation, and is stopped or starts a thousand
   flows, is done with it by then */
#define NGX_MC_READABLE      10000

/* a reader gives up on a record that was left odd by a process that died */
#define NGX_MC_READ_TRIES    1000


/* the slab allocator rounds up to powers of two: what records take */
#define NGX_MC_FLOW_SLOT      256
#define NGX_MC_ENDPOINT_SLOT  1024

typedef char  ngx_mc_flow_slot_check_t
    [(sizeof(ngx_mc_flow_stat_t) <= NGX_MC_FLOW_SLOT) ? 1 : -1];
typedef char  ngx_mc_endpoint_slot_check_t
    [(sizeof(ngx_mc_endpoint_stat_t) <= NGX_MC_ENDPOINT_SLOT) ? 1 : -1];


static ngx_int_t ngx_mc_registry_create(ngx_slab_pool_t *shpool,
    ngx_mc_registry_t **registry);
static ngx_mc_flow_stat_t *ngx_mc_registry_live(ngx_mc_registry_t *reg,
    ngx_array_t *except);
static ngx_int_t ngx_mc_registry_prepare(ngx_slab_pool_t *shpool,
    ngx_mc_registry_t *reg, ngx_mc_registry_conf_t *rcf);
static ngx_int_t ngx_mc_registry_build(ngx_slab_pool_t *shpool,
    ngx_mc_registry_t *reg, ngx_mc_registry_conf_t *rcf);
static ngx_uint_t ngx_mc_registry_expire(ngx_slab_pool_t *shpool,
    ngx_mc_registry_t *reg, ngx_uint_t force);
static size_t ngx_mc_registry_used(ngx_mc_registry_t *reg);
static size_t ngx_mc_generation_size(ngx_array_t *flows, ngx_str_t *region);
static ngx_mc_flow_stat_t *ngx_mc_flow_stat_get(ngx_slab_pool_t *shpool,
    ngx_mc_flow_stat_t ***last, ngx_str_t *name, uint32_t number);
static ngx_mc_endpoint_stat_t *ngx_mc_endpoint_stat_get(
    ngx_slab_pool_t *shpool, ngx_mc_flow_stat_t *flow,
    ngx_mc_endpoint_def_t *def, uint32_t number);
static void ngx_mc_registry_collect(ngx_slab_pool_t *shpool,
    ngx_mc_registry_t *reg);
static void ngx_mc_registry_stamp(ngx_mc_generation_t *gen);


ngx_mc_registry_t       *ngx_mc_registry;


ngx_int_t
ngx_mc_registry_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_mc_registry_conf_t *orcf = data;

    u_char                   error[NGX_MC_RELOAD_ERROR_LEN], *p;
    size_t                   needed;
    ngx_slab_pool_t         *shpool;
    ngx_mc_registry_t       *reg;
    ngx_mc_flow_stat_t      *flow;
    ngx_mc_registry_conf_t  *rcf;

    rcf = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (orcf) {
        reg = orcf->registry;

    } else if (zone->shm.exists) {
        reg = shpool->data;

    } else {
        if (ngx_mc_registry_create(shpool, &reg) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "\"mc_zone_size\" is too small: %uz bytes, "
                          "at least %uz are needed",
                          zone->shm.size, ngx_mc_registry_needed(rcf->flows));
            return NGX_ERROR;
        }

        if (ngx_mc_registry) {

            flow = ngx_mc_registry_live(ngx_mc_registry, NULL);

            if (flow) {
                ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                              "\"mc_zone_size\" cannot change while flow "
                              "\"%s\" is live: stop its sources and "
                              "receivers, or restart nginx", flow->name);

                ngx_mc_registry_reloaded(rcf, ngx_mc_registry,
                                         "mc_zone_size cannot change while a "
                                         "flow is live");
                return NGX_ERROR;
            }

            /* the old workers see the old zone; the way to wake them stays */

            reg->notify_fd = ngx_mc_registry->notify_fd;
            reg->lock_fd = ngx_mc_registry->lock_fd;
            ngx_memcpy(reg->handover, ngx_mc_registry->handover,
                       sizeof(reg->handover));
            reg->nhandover = ngx_mc_registry->nhandover;
            reg->state_fd = ngx_mc_registry->state_fd;

            ngx_log_error(NGX_LOG_WARN, zone->shm.log, 0,
                          "\"mc_zone_size\" has changed: counters and events "
                          "start anew");
        }
    }

    if (reg->layout != NGX_MC_REGISTRY_LAYOUT) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "the running nginx was started with another version of "
                      "ngx_mc_module: upgrade the binary or restart");
        return NGX_ERROR;
    }

    rcf->registry = reg;

    if (rcf->guard) {
        flow = ngx_mc_registry_live(reg, rcf->flows);

        if (flow) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "flow \"%s\" is live and would be deleted, which "
                          "\"mc_guard\" does not allow: keep it, stop its "
                          "sources and receivers, or set \"mc_guard off\"",
                          flow->name);

            p = ngx_slprintf(error, error + sizeof(error) - 1,
                             "mc_guard: flow \"%s\" is live and would be "
                             "deleted", flow->name);
            *p = '\0';

            ngx_mc_registry_reloaded(rcf, reg, (char *) error);

            return NGX_ERROR;
        }
    }

    if (ngx_mc_registry_prepare(shpool, reg, rcf) != NGX_OK) {
        needed = ngx_mc_registry_needed(rcf->flows)
                 + ngx_mc_registry_used(reg);
        needed = ngx_align(needed, 1024 * 1024);

        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "no room in the shared memory for %ui flows: "
                      "\"mc_zone_size\" is %uz bytes, %uz are needed",
                      rcf->flows->nelts, zone->shm.size, needed);

        p = ngx_slprintf(error, error + sizeof(error) - 1,
                         "no room in mc_zone_size: it is %uz bytes, %uz are "
                         "needed", zone->shm.size, needed);
        *p = '\0';

        ngx_mc_registry_reloaded(rcf, reg, (char *) error);

        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_registry_create(ngx_slab_pool_t *shpool, ngx_mc_registry_t **registry)
{
    size_t                size;
    ngx_uint_t            n;
    ngx_mc_registry_t    *reg;
    ngx_mc_event_ring_t  *ring;

    /* what does not fit is refused with words of our own */
    shpool->log_nomem = 0;

    size = shpool->end - (u_char *) shpool;

    reg = ngx_slab_calloc(shpool, sizeof(ngx_mc_registry_t));
    if (reg == NULL) {
        return NGX_ERROR;
    }

    /* neither is touched before it is used: memory that is not needed is
       not taken from the system */

    n = size / NGX_MC_EVENTS_SHARE / sizeof(ngx_mc_event_slot_t);

    ring = ngx_slab_alloc(shpool, sizeof(ngx_mc_event_ring_t)
                                  + n * sizeof(ngx_mc_event_slot_t));
    if (ring == NULL) {
        return NGX_ERROR;
    }

    ring->last = 0;
    ring->size = n;
    reg->events = ring;

    n = size / NGX_MC_PEERS_SHARE / sizeof(ngx_mc_peer_stat_t);

    reg->peers = ngx_slab_alloc(shpool, n * sizeof(ngx_mc_peer_stat_t));
    if (reg->peers == NULL) {
        return NGX_ERROR;
    }

    reg->npeers = n;

    reg->layout = NGX_MC_REGISTRY_LAYOUT;
    reg->notify_fd = -1;
    reg->lock_fd = -1;
    reg->state_fd = -1;

    shpool->data = reg;
    *registry = reg;

    return NGX_OK;
}


/* a flow with a source, a receiver or a caller output connected, and that is
   none of "except"; or NULL */

static ngx_mc_flow_stat_t *
ngx_mc_registry_live(ngx_mc_registry_t *reg, ngx_array_t *except)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_mc_flow_def_t      **flows;
    ngx_mc_flow_stat_t      *flow;
    ngx_mc_endpoint_stat_t  *st;

    i = 0;
    flows = except ? except->elts : NULL;

    for (flow = reg->flows; flow; flow = flow->next) {

        if (flow->pid == 0) {
            continue;
        }

        /* both are sorted by name */

        for (rc = -1; except && i < except->nelts; i++) {

            rc = ngx_memn2cmp(flows[i]->name.data, flow->name,
                              flows[i]->name.len, ngx_strlen(flow->name));
            if (rc >= 0) {
                break;
            }
        }

        if (rc == 0) {
            continue;
        }

        for (st = flow->endpoints; st; st = st->next) {

            if (st->state == NGX_MC_STATE_CONNECTED
                && (st->direction == NGX_MC_INPUT
                    || st->protocol == NGX_MC_SRT))
            {
                return flow;
            }
        }
    }

    return NULL;
}


/*
 * Everything of the new generation but the records of endpoints, which live
 * on, is one block.  Records that it adds are linked, but nobody looks at
 * what no published generation names.
 */

static ngx_int_t
ngx_mc_registry_prepare(ngx_slab_pool_t *shpool, ngx_mc_registry_t *reg,
    ngx_mc_registry_conf_t *rcf)
{
    if (reg->pending) {
        /* of a reload that came to nothing */
        ngx_slab_free(shpool, reg->pending);
        reg->pending = NULL;
    }

    (void) ngx_mc_registry_expire(shpool, reg, 0);

    do {
        ngx_mc_registry_collect(shpool, reg);

        if (ngx_mc_registry_build(shpool, reg, rcf) == NGX_OK) {
            return NGX_OK;
        }

        /* reloads that follow each other fast leave generations behind */

    } while (ngx_mc_registry_expire(shpool, reg, 1));

    return NGX_ERROR;
}


static ngx_int_t
ngx_mc_registry_build(ngx_slab_pool_t *shpool, ngx_mc_registry_t *reg,
    ngx_mc_registry_conf_t *rcf)
{
    u_char                   *p;
    size_t                    size;
    uint32_t                  number;
    ngx_uint_t                i, j, n, ngroups;
    ngx_mc_flow_def_t        *flow, **flows;
    ngx_mc_flow_stat_t      **last;
    ngx_mc_generation_t      *gen;
    ngx_mc_flow_entry_t      *entry, *entries;
    ngx_mc_endpoint_def_t    *def;
    ngx_mc_endpoint_stat_t  **stat;

    number = reg->current ? reg->current->number + 1 : 1;

    size = ngx_mc_generation_size(rcf->flows, &rcf->region);

    gen = ngx_slab_alloc(shpool, size);
    if (gen == NULL) {
        return NGX_ERROR;
    }

    gen->number = number;
    gen->nflows = rcf->flows->nelts;

    entries = (ngx_mc_flow_entry_t *) ((u_char *) gen
                                       + sizeof(ngx_mc_generation_t));
    gen->flows = entries;

    stat = (ngx_mc_endpoint_stat_t **) (entries + gen->nflows);

    flows = rcf->flows->elts;
    last = &reg->flows;

    for (i = 0; i < gen->nflows; i++) {
        flow = flows[i];
        entry = &entries[i];

        /* a file offset is signed: 63 bits */
        entry->hash = ngx_mc_hash(flow->name.data, flow->name.len) >> 1;
        entry->group_next = NGX_MC_NONE;
        entry->endpoints = stat;
        entry->nendpoints = flow->sources.nelts + flow->outputs.nelts;
        entry->stat = ngx_mc_flow_stat_get(shpool, &last, &flow->name, number);

        if (entry->stat == NULL) {
            goto failed;
        }

        def = flow->sources.elts;
        n = flow->sources.nelts;

        for (j = 0; j < entry->nendpoints; j++) {

            if (j == n) {
                def = flow->outputs.elts;
                def -= n;
            }

            *stat = ngx_mc_endpoint_stat_get(shpool, entry->stat, &def[j],
                                             number);
            if (*stat == NULL) {
                goto failed;
            }

            stat++;
        }
    }

    p = (u_char *) stat;

    for (i = 0; i < gen->nflows; i++) {
        entries[i].text.data = p;
        entries[i].text.len = flows[i]->text.len;
        p = ngx_cpymem(p, flows[i]->text.data, flows[i]->text.len);
    }

    gen->region = NULL;

    if (rcf->region.len) {
        gen->region = p;
        p = ngx_cpymem(p, rcf->region.data, rcf->region.len);
        *p = '\0';
    }

    /* a group is named for the least of its flows, which comes first here */

    ngroups = 0;

    for (i = 0; i < gen->nflows; i++) {

        entry = ngx_mc_registry_find(gen, flows[i]->group.data,
                                     flows[i]->group.len);

        entries[i].group = entry ? (uint32_t) (entry - entries) : i;

        if (entries[i].group == i) {
            entries[i].hint = ngroups++ % rcf->workers;
            continue;
        }

        n = entries[i].group;
        entries[i].hint = entries[n].hint;

        while (entries[n].group_next != NGX_MC_NONE) {
            n = entries[n].group_next;
        }

        entries[n].group_next = i;
    }

    reg->pending = gen;

    return NGX_OK;

failed:

    ngx_slab_free(shpool, gen);

    return NGX_ERROR;
}


void
ngx_mc_registry_publish(ngx_mc_registry_conf_t *rcf, ngx_log_t *log)
{
    ngx_mc_registry_t    *reg;
    ngx_mc_generation_t  *old;

    reg = rcf->registry;
    ngx_mc_registry = reg;

    if (reg->pending == NULL) {
        ngx_log_error(NGX_LOG_ALERT, log, 0, "no generation to publish");
        return;
    }

    old = reg->current;

    if (old) {
        old->older = reg->previous;
        old->replaced = ngx_current_msec;
        reg->previous = old;
    }

    ngx_memory_barrier();

    reg->current = reg->pending;

    ngx_memory_barrier();

    reg->generation = reg->current->number;
    reg->pending = NULL;

    rcf->number = reg->current->number;

    ngx_mc_control_publish(reg, rcf->flows, log);

    ngx_mc_registry_reloaded(rcf, reg, NULL);
}


void
ngx_mc_registry_attach(ngx_shm_zone_t *zone)
{
    ngx_mc_registry_conf_t  *rcf;

    rcf = zone->data;

    ngx_mc_registry = rcf->registry;
}


size_t
ngx_mc_registry_needed(ngx_array_t *flows)
{
    size_t               size;
    ngx_uint_t           i;
    ngx_str_t            none;
    ngx_mc_flow_def_t  **flow;

    ngx_str_null(&none);

    /* the current, the previous and the next generation */
    size = 3 * ngx_align(ngx_mc_generation_size(flows, &none) + ngx_pagesize,
                         ngx_pagesize);

    flow = flows->elts;

    for (i = 0; i < flows->nelts; i++) {
        size += NGX_MC_FLOW_SLOT
                + NGX_MC_ENDPOINT_SLOT * (flow[i]->sources.nelts
                                          + flow[i]->outputs.nelts);
    }

    /* events and peers, and the slab's own pages */
    size += size / 8 + 64 * ngx_pagesize;

    return ngx_align(size, 1024 * 1024);
}


/* what the flows take that are there, and that stay while they are replaced */

static size_t
ngx_mc_registry_used(ngx_mc_registry_t *reg)
{
    size_t                   size;
    ngx_uint_t               i;
    ngx_mc_flow_stat_t      *flow;
    ngx_mc_generation_t     *gen;
    ngx_mc_endpoint_stat_t  *st;

    size = 0;

    for (flow = reg->flows; flow; flow = flow->next) {
        size += NGX_MC_FLOW_SLOT;

        for (st = flow->endpoints; st; st = st->next) {
            size += NGX_MC_ENDPOINT_SLOT;
        }
    }

    for (gen = reg->current;
         gen;
         gen = (gen == reg->current) ? reg->previous : NULL)
    {
        for (i = 0; i < gen->nflows; i++) {
            size += sizeof(ngx_mc_flow_entry_t) + gen->flows[i].text.len
                    + gen->flows[i].nendpoints
                      * sizeof(ngx_mc_endpoint_stat_t *);
        }

        size = ngx_align(size, ngx_pagesize);
    }

    return size;
}


static size_t
ngx_mc_generation_size(ngx_array_t *flows, ngx_str_t *region)
{
    size_t               size;
    ngx_uint_t           i;
    ngx_mc_flow_def_t  **flow;

    size = sizeof(ngx_mc_generation_t) + region->len + 1;

    flow = flows->elts;

    for (i = 0; i < flows->nelts; i++) {
        size += sizeof(ngx_mc_flow_entry_t) + flow[i]->text.len
                + sizeof(ngx_mc_endpoint_stat_t *)
                  * (flow[i]->sources.nelts + flow[i]->outputs.nelts);
    }

    return size;
}


/* both lists are sorted by name: "last" walks along */

static ngx_mc_flow_stat_t *
ngx_mc_flow_stat_get(ngx_slab_pool_t *shpool, ngx_mc_flow_stat_t ***last,
    ngx_str_t *name, uint32_t number)
{
    ngx_int_t            rc;
    ngx_mc_flow_stat_t  *flow, **link;

    for (link = *last; *link; link = &(*link)->next) {

        rc = ngx_memn2cmp((*link)->name, name->data,
                          ngx_strlen((*link)->name), name->len);
        if (rc == 0) {
            (*link)->generation = number;
            *last = link;
            return *link;
        }

        if (rc > 0) {
            break;
        }
    }

    flow = ngx_slab_calloc(shpool, sizeof(ngx_mc_flow_stat_t));
    if (flow == NULL) {
        return NULL;
    }

    ngx_memcpy(flow->name, name->data, name->len);
    flow->generation = number;
    flow->next = *link;
    *link = flow;
    *last = link;

    return flow;
}


static ngx_mc_endpoint_stat_t *
ngx_mc_endpoint_stat_get(ngx_slab_pool_t *shpool, ngx_mc_flow_stat_t *flow,
    ngx_mc_endpoint_def_t *def, uint32_t number)
{
    ngx_mc_endpoint_stat_t  *st;

    for (st = flow->endpoints; st; st = st->next) {

        if (st->direction == def->direction && st->pipeline == def->pipeline
            && ngx_strncmp(st->name, def->name.data, def->name.len) == 0
            && st->name[def->name.len] == '\0')
        {
            st->generation = number;
            return st;
        }
    }

    st = ngx_slab_calloc(shpool, sizeof(ngx_mc_endpoint_stat_t));
    if (st == NULL) {
        return NULL;
    }

    ngx_memcpy(st->name, def->name.data, def->name.len);
    st->direction = def->direction;
    st->pipeline = def->pipeline;
    st->generation = number;
    ngx_mc_endpoint_stat_reset(st);

    st->next = flow->endpoints;
    flow->endpoints = st;

    return st;
}


/*
 * Frees the generations that were replaced long enough ago, or with "force"
 * the oldest; the previous one always stays.  Returns how many.
 */

static ngx_uint_t
ngx_mc_registry_expire(ngx_slab_pool_t *shpool, ngx_mc_registry_t *reg,
    ngx_uint_t force)
{
    ngx_uint_t             n;
    ngx_mc_generation_t  **link, *gen;

    n = 0;

    if (reg->previous == NULL) {
        return 0;
    }

    for (link = &reg->previous->older; *link; /* void */ ) {
        gen = *link;

        if (force ? gen->older != NULL
                  : ngx_current_msec - gen->replaced < NGX_MC_READABLE)
        {
            link = &gen->older;
            continue;
        }

        *link = gen->older;
        ngx_slab_free(shpool, gen);
        n++;
    }

    return n;
}


/*
 * Frees the records that no generation names any more and that no process can
 * be writing to.
 */

static void
ngx_mc_registry_collect(ngx_slab_pool_t *shpool, ngx_mc_registry_t *reg)
{
    uint32_t                  oldest, newest;
    ngx_uint_t                idle;
    ngx_mc_flow_stat_t       *flow, **link;
    ngx_mc_generation_t      *gen;
    ngx_mc_endpoint_stat_t   *st, **slink;

    if (reg->current == NULL) {
        return;
    }

    newest = reg->current->number;
    oldest = newest;

    /*
     * Over what reloads have stamped that were refused later on.  Any number
     * between the oldest and the newest keeps a record.
     */

    ngx_mc_registry_stamp(reg->current);

    for (gen = reg->previous; gen; gen = gen->older) {
        ngx_mc_registry_stamp(gen);
        oldest = gen->number;
    }

    for (link = &reg->flows; *link; /* void */ ) {
        flow = *link;

        idle = (flow->pid == 0
                || (kill(flow->pid, 0) == -1 && ngx_errno == NGX_ESRCH));

        if (flow->pid == 0
            && ngx_mc_registry_find(reg->current, flow->name,
                                    ngx_strlen(flow->name))
               == NULL)
        {
            /* it was given away, and deleted before anybody took it: nobody
               goes on with it if it comes back */

            flow->started_at = 0;
            flow->moved = 0;
        }

        for (slink = &flow->endpoints; *slink; /* void */ ) {
            st = *slink;

            if ((st->generation < oldest || st->generation > newest)
                && (idle || flow->running >= oldest))
            {
                *slink = st->next;
                ngx_mc_endpoint_stat_reset(st);
                ngx_slab_free(shpool, st);
                continue;
            }

            slink = &st->next;
        }

        if ((flow->generation < oldest || flow->generation > newest)
            && flow->endpoints == NULL && idle)
        {
            *link = flow->next;
            ngx_slab_free(shpool, flow);
            continue;
        }

        link = &flow->next;
    }
}


static void
ngx_mc_registry_stamp(ngx_mc_generation_t *gen)
{
    ngx_uint_t            i, j;
    ngx_mc_flow_entry_t  *entry;

    for (i = 0; i < gen->nflows; i++) {
        entry = &gen->flows[i];

        entry->stat->generation = gen->number;

        for (j = 0; j < entry->nendpoints; j++) {
            entry->endpoints[j]->generation = gen->number;
        }
    }
}


void
ngx_mc_registry_reloaded(ngx_mc_registry_conf_t *rcf, ngx_mc_registry_t *reg,
    char *error)
{
    ngx_mc_reload_stat_t  *rs;

    if (ngx_test_config) {
        return;
    }

    rcf->told = 1;

    rs = &reg->last_reload;

    rs->sequence++;
    ngx_memory_barrier();

    rs->time = ngx_mc_epoch_ms();
    rs->ok = (error == NULL);

    ngx_cpystrn(rs->error, (u_char *) (error ? error : ""),
                sizeof(rs->error));

    ngx_memory_barrier();
    rs->sequence++;
}


ngx_mc_generation_t *
ngx_mc_registry_current(void)
{
    return ngx_mc_registry ? ngx_mc_registry->current : NULL;
}


ngx_mc_flow_entry_t *
ngx_mc_registry_find(ngx_mc_generation_t *gen, u_char *name, size_t len)
{
    ngx_int_t             rc;
    ngx_uint_t            low, high, i;
    ngx_mc_flow_entry_t  *entry;

    low = 0;
    high = gen ? gen->nflows : 0;

    while (low < high) {
        i = (low + high) / 2;
        entry = &gen->flows[i];

        rc = ngx_memn2cmp(entry->stat->name, name,
                          ngx_strlen(entry->stat->name), len);
        if (rc == 0) {
            return entry;
        }

        if (rc < 0) {
            low = i + 1;

        } else {
            high = i;
        }
    }

    return NULL;
}


void
ngx_mc_endpoint_stat_begin(ngx_mc_endpoint_stat_t *st)
{
    st->sequence++;
    ngx_memory_barrier();
}


void
ngx_mc_endpoint_stat_end(ngx_mc_endpoint_stat_t *st)
{
    ngx_memory_barrier();
    st->sequence++;
}


void
ngx_mc_endpoint_stat_read(ngx_mc_endpoint_stat_t *st,
    ngx_mc_endpoint_stat_t *copy)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  sequence;

    for (i = 0; i < NGX_MC_READ_TRIES; i++) {
        sequence = st->sequence;
        ngx_memory_barrier();

        *copy = *st;

        ngx_memory_barrier();

        if (sequence == st->sequence && (sequence & 1) == 0) {
            return;
        }

        ngx_cpu_pause();
    }

    /* left odd by a process that died: texts may be torn, but end */

    copy->peer[NGX_MC_ADDR_LEN - 1] = '\0';
    copy->last_error[NGX_MC_ERROR_LEN - 1] = '\0';
}


/*
 * The claim of a flow begins here: what a dead owner left is put in order,
 * counters stay.
 */

void
ngx_mc_endpoint_stat_reset(ngx_mc_endpoint_stat_t *st)
{
    ngx_mc_peer_stat_t  *peer, *next;
    ngx_uint_t           n;

    if (st->sequence & 1) {
        st->sequence++;
    }

    ngx_mc_endpoint_stat_begin(st);

    peer = st->peers;
    st->peers = NULL;
    st->npeers = 0;

    st->state = NGX_MC_STATE_STOPPED;
    st->connected_at = 0;
    st->retry_at = 0;
    st->peer[0] = '\0';
    st->last_error[0] = '\0';
    st->bitrate = 0;
    st->ntracks = 0;

    if (st->protocol == NGX_MC_RTMP) {
        st->u.rtmp.chunk_size = -1;
        st->u.rtmp.queue = -1;
        st->u.rtmp.video_codec_id = -1;
        st->u.rtmp.audio_codec_id = -1;
        st->u.rtmp.has_metadata = 0;
    }

    ngx_mc_endpoint_stat_end(st);

    for (n = 0; peer && n < ngx_mc_registry->npeers; n++) {
        next = peer->next;
        peer->owner = 0;
        peer = next;
    }
}


ngx_mc_peer_stat_t *
ngx_mc_peer_stat_add(ngx_mc_endpoint_stat_t *st)
{
    ngx_uint_t           i, n, start;
    ngx_mc_peer_stat_t  *peer;

    n = ngx_mc_registry->npeers;
    start = ngx_atomic_fetch_add(&ngx_mc_registry->peer_hint, 1);

    for (i = 0; i < n; i++) {
        peer = &ngx_mc_registry->peers[(start + i) % n];

        if (peer->owner == 0
            && ngx_atomic_cmp_set(&peer->owner, 0,
                                  (ngx_atomic_uint_t) ngx_pid))
        {
            goto found;
        }
    }

    return NULL;

found:

    ngx_memzero((u_char *) peer + offsetof(ngx_mc_peer_stat_t, id),
                sizeof(ngx_mc_peer_stat_t)
                - offsetof(ngx_mc_peer_stat_t, id));

    peer->id = ngx_atomic_fetch_add(&ngx_mc_registry->peer_id, 1) + 1;
    peer->next = st->peers;
    peer->srt.send_latency_ms = -1;
    peer->srt.recv_latency_ms = -1;

    ngx_mc_endpoint_stat_begin(st);
    st->peers = peer;
    st->npeers++;
    ngx_mc_endpoint_stat_end(st);

    return peer;
}


void
ngx_mc_peer_stat_remove(ngx_mc_endpoint_stat_t *st, ngx_mc_peer_stat_t *peer)
{
    ngx_mc_peer_stat_t  **link;

    ngx_mc_endpoint_stat_begin(st);

    for (link = &st->peers; *link; link = &(*link)->next) {
        if (*link == peer) {
            *link = peer->next;
            st->npeers--;
            break;
        }
    }

    ngx_mc_endpoint_stat_end(st);

    peer->owner = 0;
}


ngx_uint_t
ngx_mc_registry_peers(ngx_mc_endpoint_stat_t *st, ngx_mc_peer_stat_t *copies,
    ngx_uint_t n)
{
    ngx_uint_t           i, tries;
    ngx_atomic_uint_t    sequence;
    ngx_mc_peer_stat_t  *peer;

    i = 0;

    for (tries = 0; tries < NGX_MC_READ_TRIES; tries++) {
        sequence = st->sequence;
        ngx_memory_barrier();

        /* the list may change under our feet, but only within the pool */

        for (i = 0, peer = st->peers; peer && i < n; peer = copies[i++].next) {
            copies[i] = *peer;
        }

        ngx_memory_barrier();

        if (sequence == st->sequence && (sequence & 1) == 0) {
            break;
        }

        ngx_cpu_pause();
    }

    return i;
}


int64_t
ngx_mc_epoch_ms(void)
{
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    return (int64_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;
}
