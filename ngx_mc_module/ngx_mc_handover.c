
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_control.h>
#include <ngx_mc_handover.h>
#include <ngx_mc_owner.h>
#include <sys/socket.h>


#define NGX_MC_HANDOVER_MAGIC    (0x6d63686f + NGX_MC_HANDOVER_VERSION)

/* pairs that are made even for one worker: a reload may bring more */
#define NGX_MC_HANDOVER_LEAST    8

/* a message; the largest state of one endpoint fits many times */
#define NGX_MC_HANDOVER_SIZE     32768

/* what may wait to be taken; the kernel may allow less */
#define NGX_MC_HANDOVER_BUFFER   (4 * 1024 * 1024)

/* us: who has not come by then does not come, and the port is needed.  A flow
   that a reload changes is given before the new workers are even started */
#define NGX_MC_HANDOVER_STALE    5000000

/* us: what has not been asked for by then is looked through by sweep() */
#define NGX_MC_HANDOVER_SETTLED  1000000


/*
 * The kernel limits what is on its way: by the buffer, and by the descriptors
 * that one of its users may open (RLIMIT_NOFILE).  Those who take are woken
 * then, and waited for: ms, and us in all before sockets are closed.  Callers
 * hold the generation meanwhile: no longer than two reloads take.
 */
#define NGX_MC_HANDOVER_PAUSE    1

/* us: so often those who take are woken meanwhile */
#define NGX_MC_HANDOVER_WAKE     10000
#define NGX_MC_HANDOVER_WAIT     100000


typedef struct {
    uint32_t                magic;
    uint32_t                nrecords;
    int64_t                 time;          /* us */
    int64_t                 move;          /* us: names the one occasion */
    u_char                  flow[NGX_MC_NAME_LEN + 1];
} ngx_mc_handover_head_t;


/* of an endpoint; its state follows, each begins at a multiple of 8 */

typedef struct {
    uint64_t                text;          /* hash of its line */
    int64_t                 connected_at;
    int64_t                 bucket;
    int64_t                 bucket_time;
    uint64_t                banned_until;  /* ngx_current_msec; 0: is not */
    uint32_t                size;          /* of the state */
    uint8_t                 direction;
    uint8_t                 pipeline;
    u_char                  name[NGX_MC_NAME_LEN + 1];
} ngx_mc_handover_record_t;


/* one that was received, and waits for its endpoints to be opened */

typedef struct {
    ngx_queue_t             queue;
    size_t                  size;
    ngx_uint_t              nfds;
    ngx_uint_t              ntaken;
    ngx_uint_t              arrived;       /* at who runs its flow */
    int                     fds[NGX_MC_HANDOVER_FDS];  /* -1: taken */
    uint64_t                data[1];
} ngx_mc_handover_message_t;


static ngx_uint_t ngx_mc_handover_has_line(ngx_str_t *text,
    ngx_str_t *line);
static void ngx_mc_handover_post(void);
static ngx_uint_t ngx_mc_handover_wait(ngx_err_t err);
static void ngx_mc_handover_abandon(ngx_err_t err);
static void ngx_mc_handover_receive(ngx_uint_t n);
static ngx_int_t ngx_mc_handover_read(ngx_uint_t n);
static ngx_int_t ngx_mc_handover_check(u_char *p, size_t size,
    ngx_uint_t nfds);
static void ngx_mc_handover_arrived(ngx_mc_flow_t *flow);
static void ngx_mc_handover_settle(void);
static ngx_err_t ngx_mc_handover_send(ngx_mc_flow_entry_t *entry, void *data,
    size_t size, int *fds, ngx_uint_t nfds);
static ngx_mc_handover_record_t *ngx_mc_handover_find(ngx_mc_endpoint_t *ep,
    ngx_mc_handover_message_t **message, ngx_uint_t *n);
static void ngx_mc_handover_drop(ngx_mc_handover_message_t *m);
static void ngx_mc_handover_close(int *fds, ngx_uint_t nfds);


#define ngx_mc_handover_align(n)  ngx_align(n, 8)

#define ngx_mc_handover_first(data)                                           \
    ((ngx_mc_handover_record_t *)                                             \
        ((u_char *) (data)                                                    \
         + ngx_mc_handover_align(sizeof(ngx_mc_handover_head_t))))

#define ngx_mc_handover_state(rec)                                            \
    ((u_char *) (rec)                                                         \
     + ngx_mc_handover_align(sizeof(ngx_mc_handover_record_t)))

#define ngx_mc_handover_next(rec)                                             \
    ((ngx_mc_handover_record_t *)                                             \
        (ngx_mc_handover_state(rec) + ngx_mc_handover_align((rec)->size)))


/* as this process has inherited them: a number that the registry got later
   is another file here */

static int                  ngx_mc_handover_fds[NGX_MC_HANDOVER_QUEUES][2];
static ngx_uint_t           ngx_mc_handover_n;
static ngx_atomic_uint_t    ngx_mc_handover_seen[NGX_MC_HANDOVER_QUEUES];
static ngx_uint_t           ngx_mc_handover_workers;
static ngx_queue_t          ngx_mc_handover_inbox;

/* what is being given */

static ngx_mc_flow_t       *ngx_mc_handover_flow;
static uint64_t             ngx_mc_handover_out[NGX_MC_HANDOVER_SIZE / 8];
static size_t               ngx_mc_handover_size;
static int                  ngx_mc_handover_given[NGX_MC_HANDOVER_FDS];
static ngx_mc_endpoint_t   *ngx_mc_handover_givers[NGX_MC_HANDOVER_FDS];
static ngx_uint_t           ngx_mc_handover_ngiven;
static int64_t              ngx_mc_handover_waited; /* us: since then */
static int64_t              ngx_mc_handover_woken;

static uint64_t             ngx_mc_handover_in[NGX_MC_HANDOVER_SIZE / 8];

static union {
    struct cmsghdr          align;
    u_char                  data[CMSG_SPACE(NGX_MC_HANDOVER_FDS
                                            * sizeof(int))];
} ngx_mc_handover_control;


void
ngx_mc_handover_init_module(ngx_cycle_t *cycle)
{
    int                       size;
    ngx_uint_t                n;
    ngx_core_conf_t          *ccf;
    ngx_mc_registry_t        *reg;
    ngx_mc_handover_queue_t  *q;

    reg = ngx_mc_registry;

    if (reg->nhandover) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    n = ngx_max(ccf->worker_processes, NGX_MC_HANDOVER_LEAST);
    n = ngx_min(n, NGX_MC_HANDOVER_QUEUES);

    while (reg->nhandover < n) {
        q = &reg->handover[reg->nhandover];

        if (socketpair(AF_UNIX, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0,
                       q->fds)
            == -1)
        {
            ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                          "socketpair() failed");
            return;
        }

        size = NGX_MC_HANDOVER_BUFFER;

        if (setsockopt(q->fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &size,
                       sizeof(int))
            == -1)
        {
            (void) setsockopt(q->fds[0], SOL_SOCKET, SO_SNDBUF, &size,
                              sizeof(int));
        }

        q->sent = 0;
        reg->nhandover++;
    }
}


void
ngx_mc_handover_init_process(void)
{
    ngx_uint_t          i;
    ngx_core_conf_t    *ccf;
    ngx_mc_registry_t  *reg;

    reg = ngx_mc_registry;

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    ngx_mc_handover_workers = ngx_max(ccf->worker_processes, 1);

    for (i = 0; i < reg->nhandover; i++) {
        ngx_mc_handover_fds[i][0] = reg->handover[i].fds[0];
        ngx_mc_handover_fds[i][1] = reg->handover[i].fds[1];
        ngx_mc_handover_seen[i] = 0;
    }

    ngx_mc_handover_n = i;
    ngx_mc_handover_flow = NULL;
    ngx_mc_handover_ngiven = 0;

    ngx_queue_init(&ngx_mc_handover_inbox);
}


void
ngx_mc_handover_exit_process(void)
{
    /* what this process has received and not used is for its successor */

    if (ngx_mc_handover_n && !ngx_terminate) {
        ngx_mc_handover_settle();
    }
}


void
ngx_mc_handover_sweep(void)
{
    int64_t            now;
    ngx_uint_t         i;
    ngx_atomic_uint_t  sent;

    if (ngx_mc_handover_n == 0) {
        return;
    }

    if (!ngx_mc_owner_is_old(ngx_mc_registry_current())) {

        now = 0;

        for (i = 0; i < ngx_mc_handover_n; i++) {

            /* those of workers that are no more, after a change of their
               number, have somebody too */

            if (i != ngx_worker % ngx_mc_handover_n
                && i % ngx_mc_handover_workers != ngx_worker)
            {
                continue;
            }

            sent = ngx_mc_registry->handover[i].sent;

            if (sent == ngx_mc_handover_seen[i]) {
                continue;
            }

            /* who needs it finds it by itself */

            now = now ? now : ngx_mc_now();

            if (now - (int64_t) sent > NGX_MC_HANDOVER_SETTLED) {
                ngx_mc_handover_receive(i);
                ngx_mc_handover_seen[i] = sent;
            }
        }
    }

    if (!ngx_queue_empty(&ngx_mc_handover_inbox)) {
        ngx_mc_handover_settle();
    }
}


ngx_uint_t
ngx_mc_handover_wanted(ngx_mc_endpoint_t *ep)
{
    ngx_mc_flow_t        *flow;
    ngx_mc_flow_entry_t  *entry;

    static ngx_str_t      off = ngx_string("state off");

    flow = ep->flow;

    if (!ep->stopping || !flow->moving || ngx_mc_handover_n == 0) {
        return 0;
    }

    entry = ngx_mc_registry_find(ngx_mc_registry_current(),
                                 flow->name.data, flow->name.len);
    if (entry == NULL) {
        return 0;
    }

    /* a flow that was changed may keep this endpoint as it is */

    return ngx_mc_handover_has_line(&entry->text, &ep->def->text)
           && ngx_mc_control_runs(entry->stat->control,
                                  ngx_mc_handover_has_line(&entry->text,
                                                           &off));
}


static ngx_uint_t
ngx_mc_handover_has_line(ngx_str_t *text, ngx_str_t *line)
{
    u_char  *p, *last;

    last = text->data + text->len;

    for (p = text->data; (size_t) (last - p) > line->len; p++) {

        if (p[line->len] == '\n'
            && ngx_memcmp(p, line->data, line->len) == 0)
        {
            return 1;
        }

        p = ngx_strlchr(p, last, '\n');

        if (p == NULL) {
            break;
        }
    }

    return 0;
}


void
ngx_mc_handover_give(ngx_mc_endpoint_t *ep, ngx_socket_t fd, void *state,
    size_t size)
{
    size_t                     room;
    ngx_mc_handover_head_t    *head;
    ngx_mc_handover_record_t  *rec;

    if (size > NGX_MC_HANDOVER_STATE) {
        ngx_log_error(NGX_LOG_ALERT, ep->log, 0,
                      "the state of an endpoint is too large: %uz", size);
        (void) ngx_close_socket(fd);
        return;
    }

    room = ngx_mc_handover_align(sizeof(ngx_mc_handover_record_t))
           + ngx_mc_handover_align(size);

    if (ngx_mc_handover_flow != ep->flow) {
        ngx_mc_handover_post();

        ngx_mc_handover_flow = ep->flow;
        ep->flow->stat->moved = 0;
        ep->flow->stat->moved_at = ngx_mc_now();
    }

    if (ngx_mc_handover_ngiven == NGX_MC_HANDOVER_FDS
        || ngx_mc_handover_size + room > NGX_MC_HANDOVER_SIZE)
    {
        ngx_mc_handover_post();
    }

    head = (ngx_mc_handover_head_t *) ngx_mc_handover_out;

    if (ngx_mc_handover_ngiven == 0) {

        ngx_mc_handover_size = (u_char *) ngx_mc_handover_first(head)
                               - (u_char *) head;

        ngx_memzero(head, ngx_mc_handover_size);

        head->magic = NGX_MC_HANDOVER_MAGIC;
        head->move = ep->flow->stat->moved_at;
        ngx_memcpy(head->flow, ep->flow->name.data,
                   ep->flow->name.len);
    }

    rec = (ngx_mc_handover_record_t *) ((u_char *) head
                                        + ngx_mc_handover_size);

    ngx_memzero(rec, room);

    rec->text = ngx_mc_hash(ep->def->text.data, ep->def->text.len);
    rec->direction = ep->def->direction;
    rec->pipeline = ep->def->pipeline;
    ngx_memcpy(rec->name, ep->def->name.data, ep->def->name.len);

    rec->connected_at = ep->connected ? ep->stat->connected_at : 0;
    rec->bucket = ep->bucket;
    rec->bucket_time = ep->bucket_time;
    rec->banned_until = ep->banned ? ep->banned_until : 0;

    rec->size = size;
    ngx_memcpy(ngx_mc_handover_state(rec), state, size);

    ngx_mc_handover_size += room;
    ngx_mc_handover_given[ngx_mc_handover_ngiven] = fd;
    ngx_mc_handover_givers[ngx_mc_handover_ngiven] = ep;
    head->nrecords = ++ngx_mc_handover_ngiven;

    ep->connected = 0;
}


void
ngx_mc_handover_flush(ngx_mc_flow_t *flow)
{
    if (ngx_mc_handover_flow == flow) {
        ngx_mc_handover_post();
        ngx_mc_handover_flow = NULL;
    }
}


static void
ngx_mc_handover_post(void)
{
    ngx_err_t                err;
    ngx_mc_flow_stat_t      *st;
    ngx_mc_flow_entry_t     *entry;
    ngx_mc_handover_head_t  *head;

    if (ngx_mc_handover_ngiven == 0) {
        return;
    }

    st = ngx_mc_handover_flow->stat;

    head = (ngx_mc_handover_head_t *) ngx_mc_handover_out;
    head->time = ngx_mc_now();

    /* told before it is sent, so that nobody opens what is on its way */

    st->moved++;

    do {
        entry = ngx_mc_registry_find(ngx_mc_registry_current(), head->flow,
                                     ngx_strlen(head->flow));

        err = entry ? ngx_mc_handover_send(entry, head, ngx_mc_handover_size,
                                           ngx_mc_handover_given,
                                           ngx_mc_handover_ngiven)
                    : NGX_ENOENT;

    } while (err && ngx_mc_handover_wait(err));

    if (err) {
        st->moved--;
        ngx_mc_handover_abandon(err);
    }

    ngx_mc_handover_close(ngx_mc_handover_given, ngx_mc_handover_ngiven);

    ngx_mc_handover_ngiven = 0;
}


/* flows that were given before this one are free already */

static ngx_uint_t
ngx_mc_handover_wait(ngx_err_t err)
{
    int64_t  now;

    if (err != NGX_EAGAIN && err != ETOOMANYREFS) {
        return 0;
    }

    now = ngx_mc_now();

    if (now - ngx_mc_handover_waited > NGX_MC_HANDOVER_STALE) {
        ngx_mc_handover_waited = now;
    }

    if (now - ngx_mc_handover_waited > NGX_MC_HANDOVER_WAIT) {
        return 0;
    }

    /* each wakes all */

    if (now - ngx_mc_handover_woken > NGX_MC_HANDOVER_WAKE) {
        ngx_mc_handover_woken = now;
        ngx_mc_owner_notify();
    }

    ngx_msleep(NGX_MC_HANDOVER_PAUSE);

    return 1;
}


/* nobody will get them: they end here, as without a successor */

static void
ngx_mc_handover_abandon(ngx_err_t err)
{
    ngx_uint_t                 i;
    ngx_mc_handover_record_t  *rec;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, err,
                  "%ui sockets of flow \"%V\" could not be handed over, "
                  "they are opened anew",
                  ngx_mc_handover_ngiven, &ngx_mc_handover_flow->name);

    rec = ngx_mc_handover_first(ngx_mc_handover_out);

    for (i = 0; i < ngx_mc_handover_ngiven; i++) {

        if (rec->connected_at) {
            ngx_mc_handover_givers[i]->stat->disconnections++;
        }

        rec = ngx_mc_handover_next(rec);
    }
}


ngx_int_t
ngx_mc_handover_take(ngx_mc_endpoint_t *ep, ngx_mc_handover_t *ho)
{
    ngx_uint_t                  i;
    ngx_mc_flow_stat_t         *st;
    ngx_mc_handover_record_t   *rec;
    ngx_mc_handover_message_t  *m;

    st = ep->flow->stat;

    if (ngx_mc_handover_n == 0) {
        return NGX_DECLINED;
    }

    if (st->moved) {

        ngx_mc_handover_arrived(ep->flow);

        if (st->moved) {

            if (st->moved_queue < ngx_mc_handover_n) {
                ngx_mc_handover_receive(st->moved_queue);
                ngx_mc_handover_arrived(ep->flow);
            }

            if (st->moved
                && ngx_mc_now() - st->moved_at > NGX_MC_HANDOVER_STALE)
            {
                st->moved = 0;
            }
        }
    }

    rec = ngx_mc_handover_find(ep, &m, &i);

    if (rec == NULL) {
        return st->moved ? NGX_AGAIN : NGX_DECLINED;
    }

    ho->fd = m->fds[i];
    ho->connected_at = rec->connected_at;
    ho->size = rec->size;
    ngx_memcpy(ho->state, ngx_mc_handover_state(rec), rec->size);

    ep->bucket = rec->bucket;
    ep->bucket_time = rec->bucket_time;
    ep->banned = (rec->banned_until != 0);
    ep->banned_until = rec->banned_until;

    m->fds[i] = -1;

    if (++m->ntaken == m->nfds) {
        ngx_mc_handover_drop(m);
    }

    return NGX_OK;
}


void
ngx_mc_handover_refuse(ngx_mc_endpoint_t *ep, ngx_mc_handover_t *ho)
{
    if (ho->fd != (ngx_socket_t) -1) {
        (void) ngx_close_socket(ho->fd);
        ho->fd = (ngx_socket_t) -1;
    }

    if (ho->connected_at) {
        ho->connected_at = 0;
        ep->stat->disconnections++;
    }
}


/* what there is in the inbox for a flow that this process runs */

static void
ngx_mc_handover_arrived(ngx_mc_flow_t *flow)
{
    ngx_queue_t                *q;
    ngx_mc_handover_head_t     *head;
    ngx_mc_handover_message_t  *m;

    for (q = ngx_queue_head(&ngx_mc_handover_inbox);
         q != ngx_queue_sentinel(&ngx_mc_handover_inbox);
         q = ngx_queue_next(q))
    {
        m = ngx_queue_data(q, ngx_mc_handover_message_t, queue);
        head = (ngx_mc_handover_head_t *) m->data;

        if (!m->arrived
            && head->move == flow->stat->moved_at
            && ngx_strcmp(head->flow, flow->stat->name) == 0)
        {
            m->arrived = 1;

            if (flow->stat->moved) {
                flow->stat->moved--;
            }
        }
    }
}


/* one of a flow that this process runs */

static ngx_mc_handover_record_t *
ngx_mc_handover_find(ngx_mc_endpoint_t *ep,
    ngx_mc_handover_message_t **message, ngx_uint_t *n)
{
    int64_t                     now;
    uint64_t                    text;
    ngx_uint_t                  i;
    ngx_queue_t                *q;
    ngx_mc_handover_head_t     *head;
    ngx_mc_handover_record_t   *rec;
    ngx_mc_handover_message_t  *m;

    if (ngx_queue_empty(&ngx_mc_handover_inbox)) {
        return NULL;
    }

    now = ngx_mc_now();
    text = ngx_mc_hash(ep->def->text.data, ep->def->text.len);

    for (q = ngx_queue_head(&ngx_mc_handover_inbox);
         q != ngx_queue_sentinel(&ngx_mc_handover_inbox);
         q = ngx_queue_next(q))
    {
        m = ngx_queue_data(q, ngx_mc_handover_message_t, queue);
        head = (ngx_mc_handover_head_t *) m->data;

        if (!m->arrived
            || now - head->time > NGX_MC_HANDOVER_STALE
            || ngx_strcmp(head->flow, ep->flow->stat->name) != 0)
        {
            continue;
        }

        rec = ngx_mc_handover_first(head);

        for (i = 0; i < m->nfds; i++, rec = ngx_mc_handover_next(rec)) {

            if (m->fds[i] != -1
                && rec->direction == ep->def->direction
                && rec->pipeline == ep->def->pipeline
                && ngx_strcmp(rec->name, ep->stat->name) == 0
                && rec->text == text)
            {
                *message = m;
                *n = i;
                return rec;
            }
        }
    }

    return NULL;
}


/* all that waits in one of the pairs */

static void
ngx_mc_handover_receive(ngx_uint_t n)
{
    while (ngx_mc_handover_read(n) == NGX_OK) { /* void */ }
}


static ngx_int_t
ngx_mc_handover_read(ngx_uint_t n)
{
    int                         fds[NGX_MC_HANDOVER_FDS];
    size_t                      len;
    ssize_t                     size;
    ngx_err_t                   err;
    ngx_uint_t                  nfds;
    struct iovec                iov;
    struct msghdr               msg;
    struct cmsghdr             *cmsg;
    ngx_mc_handover_head_t     *head;
    ngx_mc_handover_message_t  *m;

    iov.iov_base = ngx_mc_handover_in;
    iov.iov_len = NGX_MC_HANDOVER_SIZE;

    ngx_memzero(&msg, sizeof(struct msghdr));

    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = ngx_mc_handover_control.data;
    msg.msg_controllen = sizeof(ngx_mc_handover_control);

    size = recvmsg(ngx_mc_handover_fds[n][1], &msg,
                   MSG_DONTWAIT|MSG_CMSG_CLOEXEC);

    if (size == -1) {
        err = ngx_socket_errno;

        if (err == NGX_EINTR) {
            return NGX_OK;
        }

        if (err != NGX_EAGAIN) {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, err,
                          "recvmsg() of a handover failed");
        }

        return NGX_DECLINED;
    }

    nfds = 0;

    for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        /* no more than the control buffer holds */

        len = cmsg->cmsg_len - CMSG_LEN(0);
        len = ngx_min(len, (NGX_MC_HANDOVER_FDS - nfds) * sizeof(int));

        ngx_memcpy(&fds[nfds], CMSG_DATA(cmsg), len);
        nfds += len / sizeof(int);
    }

    if ((msg.msg_flags & MSG_CTRUNC)
        && size >= (ssize_t) sizeof(ngx_mc_handover_head_t))
    {
        /* this process has no more descriptors: it has come all the same */

        head = (ngx_mc_handover_head_t *) ngx_mc_handover_in;

        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "handover was cut: %ui of %uD sockets", nfds,
                      head->nrecords);

        while (nfds < ngx_min(head->nrecords, NGX_MC_HANDOVER_FDS)) {
            fds[nfds++] = -1;
        }
    }

    if (ngx_mc_handover_check((u_char *) ngx_mc_handover_in, size, nfds)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "handover of %z bytes and %ui sockets is malformed",
                      size, nfds);
        goto failed;
    }

    m = ngx_alloc(offsetof(ngx_mc_handover_message_t, data) + size,
                  ngx_cycle->log);
    if (m == NULL) {
        goto failed;
    }

    m->size = size;
    m->nfds = nfds;
    m->ntaken = 0;
    m->arrived = 0;
    ngx_memcpy(m->fds, fds, nfds * sizeof(int));
    ngx_memcpy(m->data, ngx_mc_handover_in, size);

    ngx_queue_insert_tail(&ngx_mc_handover_inbox, &m->queue);

    return NGX_OK;

failed:

    ngx_mc_handover_close(fds, nfds);

    return NGX_OK;
}


static ngx_int_t
ngx_mc_handover_check(u_char *p, size_t size, ngx_uint_t nfds)
{
    size_t                     n;
    u_char                    *last;
    int64_t                    now;
    ngx_uint_t                 i;
    ngx_mc_handover_head_t    *head;
    ngx_mc_handover_record_t  *rec;

    n = ngx_mc_handover_align(sizeof(ngx_mc_handover_head_t));

    if (size < n) {
        return NGX_ERROR;
    }

    head = (ngx_mc_handover_head_t *) p;
    last = p + size;
    p += n;

    now = ngx_mc_now();

    if (head->magic != NGX_MC_HANDOVER_MAGIC
        || nfds == 0
        || head->nrecords != nfds
        || head->time < 0
        || head->time > now
        || head->flow[NGX_MC_NAME_LEN] != '\0')
    {
        return NGX_ERROR;
    }

    n = ngx_mc_handover_align(sizeof(ngx_mc_handover_record_t));

    for (i = 0; i < nfds; i++) {

        if ((size_t) (last - p) < n) {
            return NGX_ERROR;
        }

        rec = (ngx_mc_handover_record_t *) p;
        p += n;

        if (rec->size > NGX_MC_HANDOVER_STATE
            || (size_t) (last - p) < ngx_mc_handover_align(rec->size)
            || rec->bucket < 0
            || rec->bucket_time < 0
            || rec->bucket_time > now
            || rec->direction > NGX_MC_OUTPUT
            || rec->pipeline >= NGX_MC_PIPELINES
            || rec->name[NGX_MC_NAME_LEN] != '\0')
        {
            return NGX_ERROR;
        }

        p += ngx_mc_handover_align(rec->size);
    }

    return (p == last) ? NGX_OK : NGX_ERROR;
}


/*
 * What is in the inbox: kept for endpoints of flows that run here, put back
 * for whoever claims the flow, or closed.
 */

static void
ngx_mc_handover_settle(void)
{
    int64_t                     now;
    ngx_queue_t                *q, *next;
    ngx_mc_flow_entry_t        *entry;
    ngx_mc_generation_t        *gen;
    ngx_mc_handover_head_t     *head;
    ngx_mc_handover_message_t  *m;

    now = ngx_mc_now();
    gen = ngx_mc_registry_current();

    for (q = ngx_queue_head(&ngx_mc_handover_inbox);
         q != ngx_queue_sentinel(&ngx_mc_handover_inbox);
         q = next)
    {
        next = ngx_queue_next(q);
        m = ngx_queue_data(q, ngx_mc_handover_message_t, queue);
        head = (ngx_mc_handover_head_t *) m->data;

        entry = ngx_mc_registry_find(gen, head->flow, ngx_strlen(head->flow));

        if (entry == NULL || now - head->time > NGX_MC_HANDOVER_STALE) {
            ngx_mc_handover_drop(m);
            continue;
        }

        if (entry->stat->pid == (ngx_atomic_uint_t) ngx_pid) {
            continue;
        }

        if (m->arrived) {

            /* the flow has left again, and with it the endpoints that took
               theirs */

            ngx_mc_handover_drop(m);
            continue;
        }

        if (ngx_mc_handover_send(entry, m->data, m->size, m->fds, m->nfds)
            == 0)
        {
            ngx_mc_handover_drop(m);
        }
    }
}


static ngx_err_t
ngx_mc_handover_send(ngx_mc_flow_entry_t *entry, void *data, size_t size,
    int *fds, ngx_uint_t nfds)
{
    ssize_t          rc;
    ngx_uint_t       n;
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    iov.iov_base = data;
    iov.iov_len = size;

    ngx_memzero(&msg, sizeof(struct msghdr));

    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = ngx_mc_handover_control.data;
    msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));

    cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
    ngx_memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));

    /* the worker that is meant to run the flow has no other to fear there */

    n = entry->hint % ngx_mc_handover_n;

    ngx_mc_registry->handover[n].sent = ngx_mc_now();
    entry->stat->moved_queue = n;
    ngx_memory_barrier();

    do {
        rc = sendmsg(ngx_mc_handover_fds[n][0], &msg,
                     MSG_DONTWAIT|MSG_NOSIGNAL);

    } while (rc == -1 && ngx_socket_errno == NGX_EINTR);

    return (rc == -1) ? ngx_socket_errno : 0;
}


static void
ngx_mc_handover_drop(ngx_mc_handover_message_t *m)
{
    ngx_mc_handover_close(m->fds, m->nfds);
    ngx_queue_remove(&m->queue);
    ngx_free(m);
}


static void
ngx_mc_handover_close(int *fds, ngx_uint_t nfds)
{
    ngx_uint_t  i;

    for (i = 0; i < nfds; i++) {

        if (fds[i] != -1 && close(fds[i]) == -1) {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          "close() of a handover failed");
        }
    }
}
