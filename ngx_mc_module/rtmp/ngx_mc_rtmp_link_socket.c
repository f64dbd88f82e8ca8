
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_link.h>
#include <ngx_mc_rtmp_publish.h>
#include <sys/un.h>


/*
 * Connections of links: unix sockets, abstract, named after what only this
 * master's workers know and the worker that listens.  What cannot be sent at
 * once waits in a queue.
 */


#define NGX_MC_RTMP_LINK_BUFFER    (128 * 1024)

/* bytes of one link in one pass of the event loop */
#define NGX_MC_RTMP_LINK_PASS      (4 * 1024 * 1024)

#define NGX_MC_RTMP_LINK_IOVS      64
#define NGX_MC_RTMP_LINK_BACKLOG   511


/* what could not be sent at once */

typedef struct {
    ngx_queue_t                   queue;
    size_t                        pos;
    size_t                        len;
    u_char                        data[1];
} ngx_mc_rtmp_block_t;


static socklen_t ngx_mc_rtmp_link_name(struct sockaddr_un *sun, ngx_pid_t pid);
static void ngx_mc_rtmp_link_listen_handler(ngx_event_t *rev);
static void ngx_mc_rtmp_link_accept(ngx_socket_t fd);
static ngx_int_t ngx_mc_rtmp_link_connection(ngx_mc_rtmp_link_t *link,
    ngx_socket_t fd);
static void ngx_mc_rtmp_link_read_handler(ngx_event_t *rev);
static ngx_int_t ngx_mc_rtmp_link_room(ngx_mc_rtmp_link_t *link);
static void ngx_mc_rtmp_link_write_handler(ngx_event_t *wev);


static ngx_connection_t  *ngx_mc_rtmp_link_listener;


ngx_int_t
ngx_mc_rtmp_link_process(ngx_cycle_t *cycle)
{
    socklen_t           len;
    ngx_socket_t        fd;
    ngx_connection_t   *c;
    struct sockaddr_un  sun;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_ERROR;
    }

    len = ngx_mc_rtmp_link_name(&sun, ngx_pid);

    if (bind(fd, (struct sockaddr *) &sun, len) == -1
        || listen(fd, NGX_MC_RTMP_LINK_BACKLOG) == -1)
    {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_socket_errno,
                      "bind() of a worker's socket failed");
        (void) close(fd);
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, cycle->log);
    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->log = cycle->log;
    c->read->log = cycle->log;
    c->read->handler = ngx_mc_rtmp_link_listen_handler;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_close_connection(c);
        return NGX_ERROR;
    }

    ngx_mc_rtmp_link_listener = c;

    return NGX_OK;
}


static socklen_t
ngx_mc_rtmp_link_name(struct sockaddr_un *sun, ngx_pid_t pid)
{
    u_char             *p;
    ngx_atomic_uint_t   id;

    if (ngx_mc_registry->link_id == 0) {

        /* it may have 32 bits only */

        id = (ngx_atomic_uint_t) (((uint64_t) ngx_random() << 32)
                                  ^ ((uint64_t) ngx_random() << 8)
                                  ^ (uint64_t) ngx_mc_now());

        (void) ngx_atomic_cmp_set(&ngx_mc_registry->link_id, 0, id | 1);
    }

    ngx_memzero(sun, sizeof(struct sockaddr_un));

    sun->sun_family = AF_UNIX;

    /* the zero before makes it abstract */

    p = ngx_slprintf((u_char *) sun->sun_path + 1,
                     (u_char *) sun->sun_path + sizeof(sun->sun_path),
                     "ngx_mc_rtmp.%xA.%P", ngx_mc_registry->link_id, pid);

    return p - (u_char *) sun;
}


static void
ngx_mc_rtmp_link_listen_handler(ngx_event_t *rev)
{
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    c = rev->data;

    if (c->close) {

        /* worker_shutdown_timeout: nginx-rtmp does not heed it */

        c->close = 0;
        ngx_mc_rtmp_publish_exit();
        return;
    }

    for ( ;; ) {
        fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == (ngx_socket_t) -1) {

            if (ngx_socket_errno == NGX_EINTR
                || ngx_socket_errno == ECONNABORTED)
            {
                continue;
            }

            if (ngx_socket_errno != NGX_EAGAIN) {
                ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_socket_errno,
                              "accept4() of another worker failed");
            }

            return;
        }

        ngx_mc_rtmp_link_accept(fd);
    }
}


static void
ngx_mc_rtmp_link_accept(ngx_socket_t fd)
{
    socklen_t            len;
    struct ucred         cred;
    ngx_mc_rtmp_link_t  *link;

    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1
        || cred.uid != geteuid())
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "a process of another user connected to a worker");
        (void) close(fd);
        return;
    }

    link = ngx_mc_rtmp_link_create(1);
    if (link == NULL) {
        (void) close(fd);
        return;
    }

    if (ngx_mc_rtmp_link_connection(link, fd) != NGX_OK) {
        ngx_mc_rtmp_link_free(link);
        return;
    }

    ngx_add_timer(link->c->read, NGX_MC_RTMP_LINK_TIMEOUT);
}


void
ngx_mc_rtmp_link_unlisten(void)
{
    if (ngx_mc_rtmp_link_listener) {
        ngx_close_connection(ngx_mc_rtmp_link_listener);
        ngx_mc_rtmp_link_listener = NULL;
    }
}


ngx_int_t
ngx_mc_rtmp_link_connect(ngx_mc_rtmp_link_t *link, ngx_pid_t pid)
{
    socklen_t           len;
    ngx_socket_t        fd;
    struct ucred        cred;
    struct sockaddr_un  sun;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_ERROR;
    }

    len = ngx_mc_rtmp_link_name(&sun, pid);

    /* an owner that is about to end, or just begins, is no error */

    if (connect(fd, (struct sockaddr *) &sun, len) == -1) {
        (void) close(fd);
        return NGX_ERROR;
    }

    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1
        || cred.pid != pid
        || cred.uid != geteuid())
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the socket of worker %P is another's", pid);
        (void) close(fd);
        return NGX_ERROR;
    }

    return ngx_mc_rtmp_link_connection(link, fd);
}


/* takes fd, closed if it fails */

static ngx_int_t
ngx_mc_rtmp_link_connection(ngx_mc_rtmp_link_t *link, ngx_socket_t fd)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->data = link;
    c->log = ngx_cycle->log;

    c->read->log = c->log;
    c->read->handler = ngx_mc_rtmp_link_read_handler;

    c->write->log = c->log;
    c->write->handler = ngx_mc_rtmp_link_write_handler;
    c->write->ready = 1;

    /* not a client's: see the exit of workers */
    c->read->channel = 1;
    c->read->cancelable = 1;
    c->write->cancelable = 1;

    link->c = c;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_mc_rtmp_link_disconnect(link);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_mc_rtmp_link_disconnect(ngx_mc_rtmp_link_t *link)
{
    ngx_queue_t          *q;
    ngx_mc_rtmp_block_t  *block;

    while (!ngx_queue_empty(&link->out)) {
        q = ngx_queue_head(&link->out);
        ngx_queue_remove(q);

        block = ngx_queue_data(q, ngx_mc_rtmp_block_t, queue);
        ngx_free(block);
    }

    link->queued = 0;

    if (link->c) {
        ngx_close_connection(link->c);
        link->c = NULL;
    }
}


static void
ngx_mc_rtmp_link_read_handler(ngx_event_t *rev)
{
    size_t               total;
    ssize_t              n;
    ngx_err_t            err;
    ngx_connection_t    *c;
    ngx_mc_rtmp_link_t  *link;

    c = rev->data;
    link = c->data;

    if (rev->timedout) {
        rev->timedout = 0;
        ngx_mc_rtmp_link_break(link);
        return;
    }

    total = 0;

    for ( ;; ) {

        if (ngx_mc_rtmp_link_room(link) != NGX_OK) {
            ngx_mc_rtmp_link_break(link);
            return;
        }

        n = recv(c->fd, link->buf + link->end, link->size - link->end, 0);

        if (n == -1) {
            err = ngx_socket_errno;

            if (err == NGX_EINTR) {
                continue;
            }

            if (err == NGX_EAGAIN) {
                return;
            }

            ngx_mc_rtmp_link_break(link);
            return;
        }

        if (n == 0) {
            ngx_mc_rtmp_link_break(link);
            return;
        }

        if (link->dead) {
            /* waits to have its farewell taken */
            link->start = 0;
            link->end = 0;
            continue;
        }

        link->end += n;
        total += n;

        if (ngx_mc_rtmp_link_parse(link) != NGX_OK) {
            ngx_mc_rtmp_link_break(link);
            return;
        }

        if (link->c != c) {
            return;
        }

        if (total > NGX_MC_RTMP_LINK_PASS) {
            ngx_post_event(rev, &ngx_posted_next_events);
            return;
        }
    }
}


/* for the rest of the message that has begun, and some more */

static ngx_int_t
ngx_mc_rtmp_link_room(ngx_mc_rtmp_link_t *link)
{
    size_t             need, size;
    u_char            *buf;
    ngx_mc_rtmp_msg_t  msg;

    need = NGX_MC_RTMP_LINK_BUFFER;

    if (link->end - link->start >= sizeof(ngx_mc_rtmp_msg_t)) {
        ngx_memcpy(&msg, link->buf + link->start, sizeof(ngx_mc_rtmp_msg_t));
        need = ngx_max(need, msg.len);
    }

    if (link->buf && link->start == link->end) {
        link->start = 0;
        link->end = 0;
    }

    if (link->buf
        && link->size - link->start >= need
        && link->size - link->end >= 4096)
    {
        return NGX_OK;
    }

    if (link->buf && link->size >= need + 4096 && link->start) {
        ngx_memmove(link->buf, link->buf + link->start,
                    link->end - link->start);
        link->end -= link->start;
        link->start = 0;

        if (link->size - link->end >= 4096) {
            return NGX_OK;
        }
    }

    size = need + 65536;

    buf = ngx_alloc(size, ngx_cycle->log);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    if (link->buf) {
        ngx_memcpy(buf, link->buf + link->start, link->end - link->start);
        ngx_free(link->buf);
    }

    link->end -= link->start;
    link->start = 0;
    link->buf = buf;
    link->size = size;

    return NGX_OK;
}


ngx_int_t
ngx_mc_rtmp_link_put(ngx_mc_rtmp_link_t *link, ngx_uint_t type, void *data,
    size_t len, u_char *tail, size_t tail_len)
{
    u_char               *p;
    size_t                size, skip, part;
    ssize_t               n;
    ngx_uint_t            i;
    struct iovec          iov[3];
    ngx_mc_rtmp_msg_t     msg;
    ngx_mc_rtmp_block_t  *block;

    if (link->c == NULL || link->broken) {
        return link->other ? NGX_OK : NGX_ERROR;
    }

    size = sizeof(ngx_mc_rtmp_msg_t) + len + tail_len;

    if (size > NGX_MC_RTMP_MSG_MAX) {
        return NGX_ERROR;
    }

    msg.len = size;
    msg.type = type;

    iov[0].iov_base = &msg;
    iov[0].iov_len = sizeof(ngx_mc_rtmp_msg_t);
    iov[1].iov_base = data;
    iov[1].iov_len = len;
    iov[2].iov_base = tail;
    iov[2].iov_len = tail_len;

    n = 0;

    if (ngx_queue_empty(&link->out)) {

        do {
            n = writev(link->c->fd, iov, 3);
        } while (n == -1 && ngx_errno == NGX_EINTR);

        if (n == -1) {
            if (ngx_errno != NGX_EAGAIN) {
                ngx_mc_rtmp_link_break(link);
                return NGX_ERROR;
            }

            n = 0;
        }

        if ((size_t) n == size) {
            return NGX_OK;
        }

        link->c->write->ready = 0;
    }

    block = ngx_alloc(offsetof(ngx_mc_rtmp_block_t, data) + size - n,
                      ngx_cycle->log);
    if (block == NULL) {
        ngx_mc_rtmp_link_break(link);
        return NGX_ERROR;
    }

    p = block->data;
    skip = n;

    for (i = 0; i < 3; i++) {
        part = ngx_min(skip, iov[i].iov_len);
        skip -= part;

        if (part == iov[i].iov_len) {
            /* NULL, maybe */
            continue;
        }

        p = ngx_cpymem(p, (u_char *) iov[i].iov_base + part,
                       iov[i].iov_len - part);
    }

    block->pos = 0;
    block->len = size - n;

    ngx_queue_insert_tail(&link->out, &block->queue);
    link->queued += block->len;

    if (ngx_handle_write_event(link->c->write, 0) != NGX_OK) {
        ngx_mc_rtmp_link_break(link);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_mc_rtmp_link_write_handler(ngx_event_t *wev)
{
    ssize_t               n;
    ngx_uint_t            i;
    ngx_queue_t          *q;
    struct iovec          iov[NGX_MC_RTMP_LINK_IOVS];
    ngx_connection_t     *c;
    ngx_mc_rtmp_link_t   *link;
    ngx_mc_rtmp_block_t  *block;

    c = wev->data;
    link = c->data;

    if (wev->timedout) {
        wev->timedout = 0;
        ngx_mc_rtmp_link_break(link);
        return;
    }

    while (!ngx_queue_empty(&link->out)) {

        i = 0;

        for (q = ngx_queue_head(&link->out);
             q != ngx_queue_sentinel(&link->out) && i < NGX_MC_RTMP_LINK_IOVS;
             q = ngx_queue_next(q))
        {
            block = ngx_queue_data(q, ngx_mc_rtmp_block_t, queue);
            iov[i].iov_base = block->data + block->pos;
            iov[i].iov_len = block->len - block->pos;
            i++;
        }

        n = writev(c->fd, iov, i);

        if (n == -1) {

            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            if (ngx_errno == NGX_EAGAIN) {
                wev->ready = 0;

                if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                    ngx_mc_rtmp_link_break(link);
                }

                return;
            }

            ngx_mc_rtmp_link_break(link);
            return;
        }

        link->queued -= n;

        while (n > 0) {
            q = ngx_queue_head(&link->out);
            block = ngx_queue_data(q, ngx_mc_rtmp_block_t, queue);

            if ((size_t) n < block->len - block->pos) {
                block->pos += n;
                break;
            }

            n -= block->len - block->pos;
            ngx_queue_remove(q);
            ngx_free(block);
        }
    }

    if (link->dead) {
        ngx_mc_rtmp_link_disconnect(link);
        ngx_mc_rtmp_link_post(link);
    }
}
