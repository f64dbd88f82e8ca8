
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc_srt.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <semaphore.h>


/*
 * libsrt has its own poll set.  One thread waits in it, and only waits: it
 * hands the ready sockets over, wakes the event loop, and goes on when that
 * has looked at all of them.  Every call on a socket is made by the nginx
 * thread, so nothing is shared but this array.
 */


#define NGX_MC_SRT_EVENTS   256

/* how soon the thread sees that it is to end, ms */
#define NGX_MC_SRT_TIMEOUT  100

/* time-outs of the receiver threads, us */
#define NGX_MC_SRT_BUSY     10000
#define NGX_MC_SRT_IDLE     250000
#define NGX_MC_SRT_END      1000

/* of timers with mc_batch 0, ns: twice the kernel's default */
#define NGX_MC_SRT_SLACK    100000


static void *ngx_mc_srt_thread(void *data);
static void ngx_mc_srt_handler(ngx_event_t *rev);
static ngx_uint_t ngx_mc_srt_is_fd(ngx_mc_srt_fd_t *fd);
static void ngx_mc_srt_timeout(int fd, ngx_uint_t usec);
static void ngx_mc_srt_log(void *opaque, int level, const char *file,
    int line, const char *area, const char *message);


static int                  ngx_mc_srt_eid = -1;
static int                  ngx_mc_srt_event_fd = -1;
static ngx_uint_t           ngx_mc_srt_started;
static ngx_atomic_t         ngx_mc_srt_stop;
static ngx_atomic_t         ngx_mc_srt_verdict;
static pthread_t            ngx_mc_srt_tid;
static sem_t                ngx_mc_srt_ack;

static SRT_EPOLL_EVENT      ngx_mc_srt_events[NGX_MC_SRT_EVENTS];
static ngx_atomic_t         ngx_mc_srt_nevents;

static ngx_rbtree_t         ngx_mc_srt_sockets;
static ngx_rbtree_node_t    ngx_mc_srt_sentinel;
static ngx_connection_t    *ngx_mc_srt_connection;

static sigset_t             ngx_mc_srt_sigset;

int64_t                     ngx_mc_srt_clock;


ngx_int_t
ngx_mc_srt_start(void)
{
    int                err;
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    if (ngx_mc_srt_started) {
        return NGX_OK;
    }

    ngx_rbtree_init(&ngx_mc_srt_sockets, &ngx_mc_srt_sentinel,
                    ngx_rbtree_insert_value);

    ngx_mc_srt_event_fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    if (ngx_mc_srt_event_fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_errno,
                      "eventfd() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(ngx_mc_srt_event_fd, ngx_cycle->log);
    if (c == NULL) {
        goto failed_fd;
    }

    rev = c->read;
    rev->log = ngx_cycle->log;
    rev->handler = ngx_mc_srt_handler;
    rev->channel = 1;

    /* edge-triggered and never read: each write is an event */

    if (ngx_add_event(rev, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        goto failed_connection;
    }

    ngx_mc_srt_enter(0);

    if (srt_startup() == SRT_ERROR) {
        ngx_mc_srt_leave();
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "srt_startup() failed: %s", srt_getlasterror_str());
        goto failed_connection;
    }

    /* libsrt would write to stderr, from any thread */

    srt_setloghandler(NULL, ngx_mc_srt_log);
    srt_setloglevel(LOG_CRIT);

    ngx_mc_srt_clock = ngx_mc_now() - srt_time_now();

    if (ngx_mc_srt_clock > -1000 && ngx_mc_srt_clock < 1000) {
        /* the same clock, read twice */
        ngx_mc_srt_clock = 0;
    }

    ngx_mc_srt_eid = srt_epoll_create();

    if (ngx_mc_srt_eid == -1) {
        ngx_mc_srt_leave();
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "srt_epoll_create() failed: %s",
                      srt_getlasterror_str());
        (void) srt_cleanup();
        goto failed_connection;
    }

    (void) srt_epoll_set(ngx_mc_srt_eid, SRT_EPOLL_ENABLE_EMPTY);

    ngx_mc_srt_stop = 0;
    ngx_mc_srt_nevents = 0;
    (void) sem_init(&ngx_mc_srt_ack, 0, 0);

    err = pthread_create(&ngx_mc_srt_tid, NULL, ngx_mc_srt_thread, NULL);

    ngx_mc_srt_leave();

    if (err) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, err,
                      "pthread_create() failed");
        (void) srt_cleanup();
        goto failed_connection;
    }

    ngx_mc_srt_connection = c;
    ngx_mc_srt_started = 1;

    return NGX_OK;

failed_connection:

    if (rev->active) {
        (void) ngx_del_event(rev, NGX_READ_EVENT, 0);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

failed_fd:

    (void) close(ngx_mc_srt_event_fd);
    ngx_mc_srt_event_fd = -1;

    return NGX_ERROR;
}


/* no thread may be alive when nginx unloads the module */

void
ngx_mc_srt_finish(void)
{
    if (!ngx_mc_srt_started) {
        return;
    }

    ngx_mc_srt_stop = 1;
    (void) sem_post(&ngx_mc_srt_ack);
    (void) pthread_join(ngx_mc_srt_tid, NULL);

    (void) srt_epoll_release(ngx_mc_srt_eid);
    (void) srt_cleanup();

    ngx_mc_srt_started = 0;
}


/* the bridge's own thread */

static void *
ngx_mc_srt_thread(void *data)
{
    int       n;
    uint64_t  one;

    one = 1;

    while (!ngx_mc_srt_stop) {

        n = srt_epoll_uwait(ngx_mc_srt_eid, ngx_mc_srt_events,
                            NGX_MC_SRT_EVENTS, NGX_MC_SRT_TIMEOUT);

        if (n <= 0) {
            continue;
        }

        ngx_memory_barrier();
        ngx_mc_srt_nevents = ngx_min(n, NGX_MC_SRT_EVENTS);

        (void) !write(ngx_mc_srt_event_fd, &one, sizeof(uint64_t));

        while (sem_wait(&ngx_mc_srt_ack) == -1) { /* void */ }
    }

    return NULL;
}


/* any thread */

void
ngx_mc_srt_wake(void)
{
    uint64_t  one;

    one = 1;

    ngx_mc_srt_verdict = 1;
    ngx_memory_barrier();

    (void) !write(ngx_mc_srt_event_fd, &one, sizeof(uint64_t));
}


static void
ngx_mc_srt_handler(ngx_event_t *rev)
{
    ngx_uint_t            i, n;
    SRTSOCKET             sock;
    ngx_rbtree_node_t    *node;
    ngx_mc_srt_socket_t  *s;

    if (ngx_mc_srt_verdict) {
        ngx_mc_srt_verdict = 0;
        ngx_memory_barrier();
        ngx_mc_srt_verdicts();
    }

    n = ngx_mc_srt_nevents;

    if (n == 0) {
        return;
    }

    ngx_memory_barrier();

    for (i = 0; i < n; i++) {
        sock = ngx_mc_srt_events[i].fd;

        /* a handler before may have closed it */

        for (node = ngx_mc_srt_sockets.root;
             node != &ngx_mc_srt_sentinel;
             node = ((ngx_rbtree_key_t) sock < node->key) ? node->left
                                                          : node->right)
        {
            if (node->key == (ngx_rbtree_key_t) sock) {
                s = (ngx_mc_srt_socket_t *) node;
                s->handler(s, ngx_mc_srt_events[i].events);
                break;
            }
        }
    }

    ngx_mc_srt_nevents = 0;
    (void) sem_post(&ngx_mc_srt_ack);
}


ngx_int_t
ngx_mc_srt_poll(ngx_mc_srt_socket_t *s, int events)
{
    int  rc;

    if (s->events == events) {
        return NGX_OK;
    }

    if (events == 0) {
        ngx_rbtree_delete(&ngx_mc_srt_sockets, &s->node);
        rc = srt_epoll_remove_usock(ngx_mc_srt_eid, s->sock);

    } else if (s->events == 0) {
        s->node.key = (ngx_rbtree_key_t) s->sock;
        ngx_rbtree_insert(&ngx_mc_srt_sockets, &s->node);
        rc = srt_epoll_add_usock(ngx_mc_srt_eid, s->sock, &events);

    } else {
        rc = srt_epoll_update_usock(ngx_mc_srt_eid, s->sock, &events);
    }

    s->events = events;

    /* a socket that broke meanwhile is refused: its owner will read an error
       when it looks at it */

    return (rc == SRT_ERROR) ? NGX_ERROR : NGX_OK;
}


void
ngx_mc_srt_close(ngx_mc_srt_socket_t *s)
{
    if (s->sock == SRT_INVALID_SOCK) {
        return;
    }

    (void) ngx_mc_srt_poll(s, 0);
    (void) srt_close(s->sock);

    s->sock = SRT_INVALID_SOCK;
}


void
ngx_mc_srt_enter(ngx_msec_t batch)
{
    sigset_t  set;

    sigfillset(&set);
    (void) pthread_sigmask(SIG_BLOCK, &set, &ngx_mc_srt_sigset);

    /*
     * libsrt has a timer for each packet that it delivers; with some slack
     * the kernel merges those that are close to each other.
     */

    (void) prctl(PR_SET_TIMERSLACK,
                 batch ? batch * 1000000UL : NGX_MC_SRT_SLACK, 0, 0, 0);
}


void
ngx_mc_srt_leave(void)
{
    (void) pthread_sigmask(SIG_SETMASK, &ngx_mc_srt_sigset, NULL);

    /* the default */
    (void) prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0);
}


ngx_int_t
ngx_mc_srt_bind_fd(ngx_mc_srt_fd_t *fd, struct sockaddr *sa,
    socklen_t socklen)
{
    int          one;
    ngx_err_t    err;
    struct stat  sb;

    fd->fd = socket(sa->sa_family, SOCK_DGRAM|SOCK_CLOEXEC, 0);
    if (fd->fd == -1) {
        return NGX_ERROR;
    }

    one = 1;

    if (sa->sa_family == AF_INET6) {
        (void) setsockopt(fd->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one,
                          sizeof(int));
    }

    if (bind(fd->fd, sa, socklen) == -1 || fstat(fd->fd, &sb) == -1) {
        err = ngx_errno;
        (void) close(fd->fd);
        fd->fd = -1;
        ngx_set_errno(err);
        return NGX_ERROR;
    }

    fd->inode = sb.st_ino;

    return NGX_OK;
}


/* whether the number is still of the socket that it was given for */

static ngx_uint_t
ngx_mc_srt_is_fd(ngx_mc_srt_fd_t *fd)
{
    struct stat  sb;

    return fd->fd != -1
           && fstat(fd->fd, &sb) == 0
           && S_ISSOCK(sb.st_mode)
           && sb.st_ino == fd->inode;
}


/*
 * libsrt keeps the UDP socket of a closed listener for seconds, and reads
 * it.  An idle socket takes its place under the same number; its time-out
 * is what lets the receiver thread see that it is to end.  That thread may be
 * waiting in the old one, and the port is bound until it has been woken.
 */

void
ngx_mc_srt_free_fd(ngx_mc_srt_fd_t *fd)
{
    int          old, idle;
    struct stat  sb;

    if (!ngx_mc_srt_is_fd(fd)) {
        return;
    }

    idle = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0);

    if (idle == -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_errno,
                      "socket() failed");
        return;
    }

    ngx_mc_srt_timeout(idle, NGX_MC_SRT_END);

    old = fcntl(fd->fd, F_DUPFD_CLOEXEC, 0);

    if (dup3(idle, fd->fd, O_CLOEXEC) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "dup3() failed");

    } else if (fstat(fd->fd, &sb) == 0) {
        fd->inode = sb.st_ino;
    }

    (void) close(idle);

    if (old != -1) {
        /* fails, as it is not connected, but wakes who reads */
        (void) shutdown(old, SHUT_RD);
        (void) close(old);
    }
}


/*
 * Each time-out of its socket is a round of libsrt's receiver thread over the
 * timers of connections: 10 ms, as libsrt has it.  A listener without any
 * needs none, and a hundred wake-ups a second for nothing, a port, add up.
 */

void
ngx_mc_srt_idle_fd(ngx_mc_srt_fd_t *fd, ngx_uint_t idle)
{
    if (ngx_mc_srt_is_fd(fd)) {
        ngx_mc_srt_timeout(fd->fd, idle ? NGX_MC_SRT_IDLE : NGX_MC_SRT_BUSY);
    }
}


static void
ngx_mc_srt_timeout(int fd, ngx_uint_t usec)
{
    struct timeval  tv;

    tv.tv_sec = 0;
    tv.tv_usec = usec;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "setsockopt(SO_RCVTIMEO) failed");
    }
}


/* any thread: nginx's log is not for those */

static void
ngx_mc_srt_log(void *opaque, int level, const char *file, int line,
    const char *area, const char *message)
{
}
