
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_control.h>
#include <ngx_mc_owner.h>


#define NGX_MC_STATE_SUFFIX   ".mc.state"

/* what to do with the lines of the file */
#define NGX_MC_CONTROL_ALL    0
#define NGX_MC_CONTROL_CHECK  1        /* only whether it can be read */
#define NGX_MC_CONTROL_HELD   2        /* of flows that were another nginx's */

/* far more than all overrides of any configuration take */
#define NGX_MC_STATE_MAX      (64 * 1024 * 1024)

/* another process holds the file only for as long as it writes: ms between
   attempts, and how often the master tries, which has nobody to wait for it */
#define NGX_MC_STATE_RETRY    5
#define NGX_MC_STATE_TRIES    20


static void ngx_mc_control_load(ngx_mc_registry_t *reg, ngx_log_t *log);
static ngx_int_t ngx_mc_control_read(int fd, ngx_str_t *text, ngx_log_t *log);
static ngx_int_t ngx_mc_control_apply(ngx_mc_generation_t *gen,
    ngx_str_t *text, ngx_uint_t what, ngx_log_t *log);
static ngx_uint_t ngx_mc_control_held(ngx_mc_flow_entry_t *entry);
static ngx_uint_t ngx_mc_control_forget(ngx_mc_generation_t *gen,
    ngx_mc_flow_stat_t *flow);
static ngx_uint_t ngx_mc_control_end(ngx_mc_flow_entry_t *entry,
    ngx_mc_flow_def_t *def, ngx_log_t *log);
static ngx_int_t ngx_mc_control_set(ngx_mc_flow_entry_t *entry,
    ngx_mc_flow_def_t *def, ngx_mc_control_item_t *item,
    ngx_uint_t *changed);
static ngx_uint_t ngx_mc_control_has_source(ngx_mc_flow_def_t *def,
    ngx_uint_t choice);
static ngx_int_t ngx_mc_control_definition(ngx_mc_flow_entry_t *entry,
    ngx_mc_flow_def_t *def, ngx_pool_t *pool);
static void ngx_mc_control_save(ngx_log_t *log);
static void ngx_mc_control_save_handler(ngx_event_t *ev);
static ngx_int_t ngx_mc_control_write(ngx_mc_registry_t *reg,
    ngx_log_t *log);
static u_char *ngx_mc_control_text(ngx_mc_generation_t *gen, size_t *len,
    ngx_log_t *log);


static u_char           *ngx_mc_control_name;

/* as this process has inherited it: a number that the registry got later is
   another file here */
static int               ngx_mc_control_fd = -1;

/* the master's: the file is a new one */
static ngx_uint_t        ngx_mc_control_dirty;
static ngx_event_t       ngx_mc_control_event;

/* the ident of events that belong to no connection */
static ngx_connection_t  ngx_mc_control_dummy = { .fd = (ngx_socket_t) -1 };


void
ngx_mc_control_init_module(ngx_cycle_t *cycle, ngx_uint_t on)
{
    int                 fd;
    u_char             *p, *name;
    struct stat         sb, now;
    ngx_core_conf_t    *ccf;
    ngx_mc_registry_t  *reg;

    reg = ngx_mc_registry;
    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    /* beside the lock file: no two instances have a pid file in common */

    name = ngx_pnalloc(cycle->pool,
                       ccf->pid.len + sizeof(NGX_MC_STATE_SUFFIX));
    if (name == NULL) {
        return;
    }

    ngx_mc_control_name = name;
    p = ngx_cpymem(name, ccf->pid.data, ccf->pid.len);
    ngx_memcpy(p, NGX_MC_STATE_SUFFIX, sizeof(NGX_MC_STATE_SUFFIX));

    fd = reg->state_fd;

    if (fd != -1
        && (fstat(fd, &sb) == -1
            || lstat((char *) name, &now) == -1
            || sb.st_dev != now.st_dev || sb.st_ino != now.st_ino))
    {
        /* removed or replaced: the next save makes it whole again */
        (void) close(fd);
        fd = -1;
    }

    ngx_mc_control_dirty = (fd == -1);

    if (fd == -1) {

        /* O_NONBLOCK: whatever it is, start and reload do not wait for it */

        fd = open((char *) name,
                  O_RDWR|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK|(on ? O_CREAT : 0),
                  0600);

        if (fd == -1 && (on || ngx_errno != NGX_ENOENT)) {
            ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                          "open() \"%s\" failed", name);
        }
    }

    reg->state_fd = fd;
    ngx_mc_control_fd = fd;

    if (fd == -1) {
        return;
    }

    /* root is about to give it away: neither a device nor another's file */

    if (fstat(fd, &sb) == -1 || !S_ISREG(sb.st_mode) || sb.st_nlink > 1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                      "\"%s\" is not a regular file of one name", name);
        (void) close(fd);
        reg->state_fd = -1;
        ngx_mc_control_fd = -1;
        return;
    }

    if (geteuid() == 0 && ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
        && sb.st_uid != ccf->user
        && fchown(fd, ccf->user, -1) == -1)
    {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                      "fchown() \"%s\" failed", name);
    }
}


void
ngx_mc_control_publish(ngx_mc_registry_t *reg, ngx_array_t *flows,
    ngx_log_t *log)
{
    ngx_uint_t            i, changed;
    ngx_mc_flow_def_t   **defs;
    ngx_mc_flow_stat_t   *flow;
    ngx_mc_generation_t  *gen;

    gen = reg->current;

    if (gen->number == 1 && reg->state_fd != -1) {
        ngx_mc_control_load(reg, log);
    }

    changed = 0;

    for (flow = reg->flows; flow; flow = flow->next) {
        changed |= ngx_mc_control_forget(gen, flow);
    }

    defs = flows->elts;

    for (i = 0; i < gen->nflows; i++) {
        changed |= ngx_mc_control_end(&gen->flows[i], defs[i], log);
    }

    if (changed) {
        (void) ngx_atomic_fetch_add(&reg->control, 1);
    }

    if (reg->state_fd == -1
        || !(changed || ngx_mc_control_dirty || gen->number == 1))
    {
        return;
    }

    for (i = 0; i < NGX_MC_STATE_TRIES; i++) {
        if (ngx_mc_control_write(reg, log) != NGX_AGAIN) {
            return;
        }

        ngx_msleep(1);
    }

    /* its writer will write the new generation's, or the next change will */
}


/* a file that cannot be read costs what operators have asked for, no more */

static void
ngx_mc_control_load(ngx_mc_registry_t *reg, ngx_log_t *log)
{
    ngx_str_t  text;

    if (ngx_mc_control_read(reg->state_fd, &text, log) != NGX_OK) {
        return;
    }

    /* all or nothing */

    if (ngx_mc_control_apply(reg->current, &text, NGX_MC_CONTROL_CHECK, log)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "the state file \"%s\" is damaged or not ours: ignored, "
                      "flows run as configured", ngx_mc_control_name);

    } else {
        (void) ngx_mc_control_apply(reg->current, &text, NGX_MC_CONTROL_ALL,
                                    log);
    }

    ngx_free(text.data);
}


static ngx_int_t
ngx_mc_control_read(int fd, ngx_str_t *text, ngx_log_t *log)
{
    ssize_t      n;
    size_t       size;
    struct stat  sb;

    if (fstat(fd, &sb) == -1) {
        ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                      "fstat() \"%s\" failed", ngx_mc_control_name);
        return NGX_ERROR;
    }

    /* what is too long for us is read in part, and its sum tells */

    size = ngx_min(sb.st_size, NGX_MC_STATE_MAX);

    text->data = ngx_alloc(size + 1, log);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    n = pread(fd, text->data, size, 0);

    if (n == -1) {
        ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                      "pread() \"%s\" failed", ngx_mc_control_name);
        ngx_free(text->data);
        return NGX_ERROR;
    }

    text->len = n;

    return NGX_OK;
}


/*
 * What is of no use to the configuration as it is now is taken too: the same
 * that ends overrides at a reload ends it.
 */

static ngx_int_t
ngx_mc_control_apply(ngx_mc_generation_t *gen, ngx_str_t *text,
    ngx_uint_t what, ngx_log_t *log)
{
    ngx_int_t                rc;
    ngx_str_t                rest;
    ngx_uint_t               i;
    ngx_mc_flow_entry_t     *entry;
    ngx_mc_control_item_t    item;
    ngx_mc_endpoint_stat_t  *st;

    rest = *text;

    if (ngx_mc_control_text_first(&rest) != NGX_OK) {
        return NGX_ERROR;
    }

    for ( ;; ) {
        rc = ngx_mc_control_text_next(&rest, &item);

        if (rc == NGX_DONE) {
            return NGX_OK;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        if (what == NGX_MC_CONTROL_CHECK) {
            continue;
        }

        entry = ngx_mc_registry_find(gen, item.flow.data, item.flow.len);

        if (entry == NULL
            || (what == NGX_MC_CONTROL_HELD && !ngx_mc_control_held(entry)))
        {
            continue;
        }

        switch (item.kind) {

        case NGX_MC_CONTROL_FLOW:
            entry->stat->control = item.value;
            break;

        case NGX_MC_CONTROL_SOURCE:
            entry->stat->choice = item.value;
            break;

        default: /* NGX_MC_CONTROL_OUTPUT */

            for (i = 0; i < entry->nendpoints; i++) {
                st = entry->endpoints[i];

                if (st->direction == NGX_MC_OUTPUT
                    && st->pipeline == item.pipeline
                    && ngx_strlen(st->name) == item.name.len
                    && ngx_memcmp(st->name, item.name.data, item.name.len)
                       == 0)
                {
                    st->control = item.value;
                }
            }

            break;
        }
    }
}


/*
 * Records outlive their flow or output by a reload or more: one that comes
 * back is new all the same.
 */

static ngx_uint_t
ngx_mc_control_forget(ngx_mc_generation_t *gen, ngx_mc_flow_stat_t *flow)
{
    ngx_uint_t               i, changed;
    ngx_mc_flow_entry_t     *entry;
    ngx_mc_endpoint_stat_t  *st;

    changed = 0;

    entry = ngx_mc_registry_find(gen, flow->name, ngx_strlen(flow->name));

    if (entry == NULL) {
        changed = (flow->control || flow->choice);
        flow->control = NGX_MC_CONTROL_NONE;
        flow->choice = NGX_MC_CHOICE_AUTO;
    }

    for (st = flow->endpoints; st; st = st->next) {

        if (st->control == NGX_MC_CONTROL_NONE) {
            continue;
        }

        for (i = 0; entry && i < entry->nendpoints; i++) {
            if (entry->endpoints[i] == st) {
                break;
            }
        }

        if (entry == NULL || i == entry->nendpoints) {
            st->control = NGX_MC_CONTROL_NONE;
            changed = 1;
        }
    }

    return changed;
}


static ngx_uint_t
ngx_mc_control_end(ngx_mc_flow_entry_t *entry, ngx_mc_flow_def_t *def,
    ngx_log_t *log)
{
    ngx_uint_t               i, n, changed;
    ngx_mc_flow_stat_t      *flow;
    ngx_mc_endpoint_def_t   *output;
    ngx_mc_endpoint_stat_t  *st;

    flow = entry->stat;
    changed = 0;

    /* a flow without outputs is none that can be controlled */

    if (flow->control
        && (!ngx_mc_control_differs(flow->control, def->stopped)
            || def->outputs.nelts == 0))
    {
        flow->control = NGX_MC_CONTROL_NONE;
        changed = 1;

        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "flow \"%V\" is started or stopped by the configuration "
                      "again, which has changed", &def->name);
    }

    if (flow->choice
        && (!ngx_mc_control_has_source(def, flow->choice)
            || def->outputs.nelts == 0))
    {
        flow->choice = NGX_MC_CHOICE_AUTO;
        changed = 1;

        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "flow \"%V\" has no longer the source that was chosen",
                      &def->name);
    }

    output = def->outputs.elts;
    n = def->sources.nelts;

    for (i = 0; i < def->outputs.nelts; i++) {
        st = entry->endpoints[n + i];

        if (st->control
            && !ngx_mc_control_differs(st->control, output[i].off))
        {
            st->control = NGX_MC_CONTROL_NONE;
            changed = 1;

            ngx_log_error(NGX_LOG_NOTICE, log, 0,
                          "output \"%V\" (%V) of flow \"%V\" is started or "
                          "stopped by the configuration again, which has "
                          "changed", &output[i].name,
                          &ngx_mc_pipeline_names[output[i].pipeline],
                          &def->name);
        }
    }

    return changed;
}


/*
 * A binary upgrade: until now the flow was run, and controlled, by the workers
 * of another master, who have told the file alone.
 */

void
ngx_mc_control_adopt(ngx_mc_generation_t *gen)
{
    ngx_str_t             text;
    ngx_log_t            *log;
    ngx_uint_t            i, j;
    ngx_mc_flow_entry_t  *entry;

    log = ngx_cycle->log;

    if (ngx_mc_control_fd == -1
        || ngx_mc_control_read(ngx_mc_control_fd, &text, log) != NGX_OK)
    {
        return;
    }

    /* who writes just now has made it unreadable for a moment: what was read
       at the start is in force then */

    if (ngx_mc_control_apply(gen, &text, NGX_MC_CONTROL_CHECK, log) == NGX_OK)
    {
        for (i = 0; i < gen->nflows; i++) {
            entry = &gen->flows[i];

            if (!ngx_mc_control_held(entry)) {
                continue;
            }

            entry->stat->control = NGX_MC_CONTROL_NONE;
            entry->stat->choice = NGX_MC_CHOICE_AUTO;

            for (j = 0; j < entry->nendpoints; j++) {
                entry->endpoints[j]->control = NGX_MC_CONTROL_NONE;
            }
        }

        (void) ngx_mc_control_apply(gen, &text, NGX_MC_CONTROL_HELD, log);
    }

    ngx_free(text.data);
}


static ngx_uint_t
ngx_mc_control_held(ngx_mc_flow_entry_t *entry)
{
    return entry->stat->pid == 0 && ngx_mc_flow_stat_is_held(entry->stat);
}


void
ngx_mc_control_changed(void)
{
    if (ngx_worker == 0) {
        ngx_mc_control_save(ngx_cycle->log);
    }
}


void
ngx_mc_control_exit_process(void)
{
    if (ngx_mc_control_event.timer_set) {
        ngx_del_timer(&ngx_mc_control_event);
        (void) ngx_mc_control_write(ngx_mc_registry, ngx_cycle->log);
    }
}


ngx_int_t
ngx_mc_control_request(ngx_mc_control_item_t *item, ngx_atomic_uint_t *number,
    ngx_log_t *log)
{
    ngx_int_t             rc;
    ngx_uint_t            changed;
    ngx_pool_t           *pool;
    ngx_mc_flow_def_t     def;
    ngx_mc_registry_t    *reg;
    ngx_mc_flow_entry_t  *entry;
    ngx_mc_generation_t  *gen;

    reg = ngx_mc_registry;
    changed = 0;

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    /*
     * A reload in between has ended, or has yet to end, what the new
     * configuration does not need: once more, against that.
     */

    do {
        ngx_reset_pool(pool);

        gen = ngx_mc_registry_current();
        entry = ngx_mc_registry_find(gen, item->flow.data, item->flow.len);

        if (entry == NULL) {
            rc = NGX_DECLINED;
            break;
        }

        rc = ngx_mc_control_definition(entry, &def, pool);

        if (rc == NGX_OK) {
            rc = ngx_mc_control_set(entry, &def, item, &changed);
        }

        ngx_memory_barrier();

    } while (gen != ngx_mc_registry_current());

    ngx_destroy_pool(pool);

    *number = reg->control;

    if (changed) {
        *number = ngx_atomic_fetch_add(&reg->control, 1) + 1;

        ngx_mc_owner_notify();
        ngx_mc_control_save(log);
    }

    return rc;
}


ngx_uint_t
ngx_mc_control_applied(ngx_str_t *flow, ngx_atomic_uint_t number)
{
    ngx_mc_flow_entry_t  *entry;

    entry = ngx_mc_registry_find(ngx_mc_registry_current(), flow->data,
                                 flow->len);

    return entry == NULL
           || entry->stat->pid == 0
           || (ngx_atomic_int_t) (entry->stat->controlled - number) >= 0;
}


static ngx_int_t
ngx_mc_control_set(ngx_mc_flow_entry_t *entry, ngx_mc_flow_def_t *def,
    ngx_mc_control_item_t *item, ngx_uint_t *changed)
{
    ngx_uint_t               i, n, control, found;
    ngx_mc_endpoint_def_t   *output;
    ngx_mc_endpoint_stat_t  *st;

    if (item->kind == NGX_MC_CONTROL_OUTPUT) {

        found = 0;
        output = def->outputs.elts;
        n = def->sources.nelts;

        for (i = 0; i < def->outputs.nelts; i++) {

            if (output[i].name.len != item->name.len
                || ngx_memcmp(output[i].name.data, item->name.data,
                              item->name.len)
                   != 0)
            {
                continue;
            }

            found = 1;

            st = entry->endpoints[n + i];
            control = ngx_mc_control_differs(item->value, output[i].off)
                      ? item->value : NGX_MC_CONTROL_NONE;

            if (st->control != control) {
                st->control = control;
                *changed = 1;
            }
        }

        return found ? NGX_OK : NGX_DECLINED;
    }

    if (item->kind == NGX_MC_CONTROL_SOURCE
        && !ngx_mc_control_has_source(def, item->value))
    {
        return NGX_DECLINED;
    }

    if (def->outputs.nelts == 0) {
        return NGX_BUSY;
    }

    if (item->kind == NGX_MC_CONTROL_SOURCE) {

        if (entry->stat->choice != item->value) {
            entry->stat->choice = item->value;
            *changed = 1;
        }

        return NGX_OK;
    }

    control = ngx_mc_control_differs(item->value, def->stopped)
              ? item->value : NGX_MC_CONTROL_NONE;

    if (entry->stat->control != control) {
        entry->stat->control = control;
        *changed = 1;
    }

    return NGX_OK;
}


/* one that is "off" feeds nothing, and cannot be chosen */

static ngx_uint_t
ngx_mc_control_has_source(ngx_mc_flow_def_t *def, ngx_uint_t choice)
{
    ngx_uint_t              i, pipeline;
    ngx_mc_endpoint_def_t  *source;

    if (choice == NGX_MC_CHOICE_AUTO) {
        return 1;
    }

    pipeline = (choice == NGX_MC_CHOICE_BACKUP) ? NGX_MC_BACKUP
                                                : NGX_MC_PRIMARY;
    source = def->sources.elts;

    for (i = 0; i < def->sources.nelts; i++) {
        if (source[i].pipeline == pipeline && !source[i].off) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_mc_control_definition(ngx_mc_flow_entry_t *entry, ngx_mc_flow_def_t *def,
    ngx_pool_t *pool)
{
    ngx_str_t        text;
    ngx_mc_parse_t  *parse;

    text.len = entry->text.len;
    text.data = ngx_pstrdup(pool, &entry->text);

    parse = ngx_pcalloc(pool, sizeof(ngx_mc_parse_t));

    if (text.data == NULL || parse == NULL) {
        return NGX_ERROR;
    }

    parse->pool = pool;
    ngx_memzero(def, sizeof(ngx_mc_flow_def_t));

    if (ngx_mc_def_read(parse, def, &text) != NGX_OK
        || def->sources.nelts + def->outputs.nelts != entry->nendpoints)
    {
        ngx_log_error(NGX_LOG_ALERT, pool->log, 0,
                      "cannot read the definition of flow \"%s\": %s",
                      entry->stat->name, parse->err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The lock is not waited for: who holds it may be stopped, or wait for a disk
 * itself, and live media would wait with us.
 */

static void
ngx_mc_control_save(ngx_log_t *log)
{
    if (ngx_mc_control_fd == -1
        || ngx_mc_control_event.timer_set
        || ngx_mc_control_write(ngx_mc_registry, log) != NGX_AGAIN)
    {
        return;
    }

    ngx_mc_control_event.handler = ngx_mc_control_save_handler;
    ngx_mc_control_event.data = &ngx_mc_control_dummy;
    ngx_mc_control_event.log = ngx_cycle->log;

    /* a worker that leaves does so at its exit */
    ngx_mc_control_event.cancelable = 1;

    ngx_add_timer(&ngx_mc_control_event, NGX_MC_STATE_RETRY);
}


static void
ngx_mc_control_save_handler(ngx_event_t *ev)
{
    if (ngx_mc_control_write(ngx_mc_registry, ev->log) == NGX_AGAIN) {
        ngx_add_timer(ev, NGX_MC_STATE_RETRY);
    }
}


/*
 * Writes what holds now: the text is made under the lock, so the last writer
 * has seen the changes of all.  It is not waited for the disk: the file is to
 * survive nginx, not the machine.  NGX_AGAIN: another process is writing.
 */

static ngx_int_t
ngx_mc_control_write(ngx_mc_registry_t *reg, ngx_log_t *log)
{
    int            fd;
    size_t         len;
    u_char        *text, name[sizeof("/proc/self/fd/") + NGX_INT_T_LEN];
    ssize_t        n;
    ngx_int_t      rc;
    struct flock   fl;

    /* a description of our own: one that was inherited would share the lock */

    ngx_sprintf(name, "/proc/self/fd/%d%Z", ngx_mc_control_fd);

    fd = open((char *) name, O_RDWR|O_CLOEXEC|O_NONBLOCK);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                      "open() \"%s\" for \"%s\" failed", name,
                      ngx_mc_control_name);
        return NGX_ERROR;
    }

    ngx_memzero(&fl, sizeof(struct flock));

    fl.l_type = F_WRLCK;
    fl.l_whence = SEEK_SET;

    if (fcntl(fd, F_OFD_SETLK, &fl) == -1) {
        rc = NGX_AGAIN;

        if (ngx_errno != NGX_EAGAIN && ngx_errno != NGX_EACCES) {
            ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                          "\"%s\" cannot be locked", ngx_mc_control_name);
            rc = NGX_ERROR;
        }

        (void) close(fd);

        return rc;
    }

    rc = NGX_ERROR;

    text = ngx_mc_control_text(reg->current, &len, log);
    if (text == NULL) {
        goto done;
    }

    /* a disk that is full is found out before the old text is written over;
       not every file system can tell */

    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, len) == -1
        && ngx_errno == NGX_ENOSPC)
    {
        ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                      "no room for \"%s\"", ngx_mc_control_name);
        goto done;
    }

    n = pwrite(fd, text, len, 0);

    if (n != (ssize_t) len || ftruncate(fd, len) == -1) {
        ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                      "\"%s\" could not be written", ngx_mc_control_name);
        goto done;
    }

    rc = NGX_OK;

done:

    if (text) {
        ngx_free(text);
    }

    /* frees the lock */

    (void) close(fd);

    return rc;
}


static u_char *
ngx_mc_control_text(ngx_mc_generation_t *gen, size_t *len, ngx_log_t *log)
{
    u_char                  *text, *p, *last;
    ngx_uint_t               i, j, n;
    ngx_mc_flow_entry_t     *entry;
    ngx_mc_control_item_t    item;
    ngx_mc_endpoint_stat_t  *st;

    /* who makes another override now will write it too */

    n = 16;

    for (i = 0; i < gen->nflows; i++) {
        entry = &gen->flows[i];

        n += (entry->stat->control != 0) + (entry->stat->choice != 0);

        for (j = 0; j < entry->nendpoints; j++) {
            n += (entry->endpoints[j]->control != 0);
        }
    }

    *len = NGX_MC_CONTROL_TEXT_MIN + n * NGX_MC_CONTROL_LINE;

    text = ngx_alloc(*len, log);
    if (text == NULL) {
        return NULL;
    }

    /* "n" is what room is left for */

    last = text + *len;
    p = ngx_mc_control_text_begin(text, last);

    for (i = 0; i < gen->nflows && n; i++) {
        entry = &gen->flows[i];

        item.flow.data = entry->stat->name;
        item.flow.len = ngx_strlen(entry->stat->name);

        item.kind = NGX_MC_CONTROL_FLOW;
        item.value = entry->stat->control;

        if (item.value && n) {
            p = ngx_mc_control_text_line(p, last, &item);
            n--;
        }

        item.kind = NGX_MC_CONTROL_SOURCE;
        item.value = entry->stat->choice;

        if (item.value && n) {
            p = ngx_mc_control_text_line(p, last, &item);
            n--;
        }

        item.kind = NGX_MC_CONTROL_OUTPUT;

        for (j = 0; j < entry->nendpoints && n; j++) {
            st = entry->endpoints[j];

            item.name.data = st->name;
            item.name.len = ngx_strlen(st->name);
            item.pipeline = st->pipeline;
            item.value = st->control;

            if (item.value) {
                p = ngx_mc_control_text_line(p, last, &item);
                n--;
            }
        }
    }

    p = ngx_mc_control_text_end(text, p, last);
    *len = p - text;

    return text;
}
