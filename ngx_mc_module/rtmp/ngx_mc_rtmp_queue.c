
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_client.h>
#include <sys/uio.h>


/*
 * What waits to be sent by a client: the queue is nginx-rtmp's, and so are the
 * chunks in it, but they are counted here, and many leave in one call.
 */


/* room for a count of references, that keeps what follows aligned */
#define NGX_MC_RTMP_REF     16

#define NGX_MC_RTMP_IOV     64
#define NGX_MC_RTMP_GATHER  16384


static ssize_t ngx_mc_rtmp_queue_gather(ngx_mc_rtmp_conn_t *conn);


static u_char  ngx_mc_rtmp_queue_buf[NGX_MC_RTMP_GATHER];


ngx_uint_t
ngx_mc_rtmp_queue_length(ngx_mc_rtmp_conn_t *conn)
{
    ngx_rtmp_session_t  *s;

    s = conn->session;

    while (conn->sizes_pos != s->out_pos) {
        conn->queued -= conn->sizes[conn->sizes_pos];
        conn->sizes[conn->sizes_pos] = 0;
        conn->sizes_pos = (conn->sizes_pos + 1) % NGX_MC_RTMP_QUEUE;
    }

    return (s->out_last - s->out_pos) % NGX_MC_RTMP_QUEUE;
}


/*
 * nginx-rtmp takes buffers from a list of free ones, and makes others in memory
 * that is not aligned for what is in it.  It never has to: there are "n" for
 * it, or NGX_ERROR.
 */

ngx_int_t
ngx_mc_rtmp_queue_spare(ngx_mc_rtmp_conn_t *conn, ngx_uint_t n)
{
    u_char                    *p;
    size_t                     size;
    ngx_chain_t               *l;
    ngx_rtmp_core_srv_conf_t  *cscf;

    cscf = &conn->srv_conf;

    for (l = cscf->free; l && n; l = l->next) {
        n--;
    }

    size = NGX_MC_RTMP_CHUNK + NGX_RTMP_MAX_CHUNK_HEADER;

    while (n--) {

        p = ngx_palloc(cscf->pool, NGX_MC_RTMP_REF + sizeof(ngx_chain_t)
                                   + sizeof(ngx_buf_t) + size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        /* the count of references is right before the link */

        l = (ngx_chain_t *) (p + NGX_MC_RTMP_REF);
        p = (u_char *) l + sizeof(ngx_chain_t);

        l->buf = (ngx_buf_t *) p;
        ngx_memzero(l->buf, sizeof(ngx_buf_t));

        l->buf->start = p + sizeof(ngx_buf_t);
        l->buf->end = l->buf->start + size;

        l->next = cscf->free;
        cscf->free = l;
    }

    return NGX_OK;
}


/* "lh": of the last message on this chunk stream; csid 0: none */

ngx_int_t
ngx_mc_rtmp_queue_add(ngx_mc_rtmp_conn_t *conn, ngx_rtmp_header_t *h,
    ngx_rtmp_header_t *lh, ngx_str_t *prefix, u_char *data, size_t len)
{
    ngx_buf_t                  b[2];
    ngx_chain_t                in[2], *out, *l;
    ngx_rtmp_session_t        *s;
    ngx_rtmp_core_srv_conf_t  *cscf;

    s = conn->session;
    cscf = &conn->srv_conf;

    /* one slot stays free, or full would be empty */

    if (ngx_mc_rtmp_queue_length(conn) >= NGX_MC_RTMP_QUEUE - 1) {
        return NGX_ERROR;
    }

    b[1].pos = data;
    b[1].last = data + len;
    in[1].buf = &b[1];
    in[1].next = NULL;

    if (prefix) {
        b[0].pos = prefix->data;
        b[0].last = prefix->data + prefix->len;
        in[0].buf = &b[0];
        in[0].next = &in[1];
        len += prefix->len;
    }

    if (ngx_mc_rtmp_queue_spare(conn, NGX_MC_RTMP_SPARE
                                       + len / NGX_MC_RTMP_CHUNK)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    out = ngx_rtmp_append_shared_bufs(cscf, NULL, prefix ? &in[0] : &in[1]);
    if (out == NULL) {
        return NGX_ERROR;
    }

    for (l = out; l; l = l->next) {
        len -= l->buf->last - l->buf->pos;
    }

    if (len) {
        /* no memory for all of it */
        ngx_rtmp_free_shared_chain(cscf, out);
        return NGX_ERROR;
    }

    len = b[1].last - b[1].pos;

    ngx_rtmp_prepare_message(s, h, lh && lh->csid ? lh : NULL, out);

    /* it is the queue's: no reference of ours is left */

    conn->sizes[s->out_last] = (uint32_t) len;
    conn->queued += len;
    conn->largest = ngx_max(conn->largest, (uint32_t) len);

    s->out[s->out_last] = out;
    s->out_last = (s->out_last + 1) % NGX_MC_RTMP_QUEUE;

    return NGX_OK;
}


/*
 * As nginx-rtmp sends, and on the same state, but as many chunks and messages
 * at once as there are.
 */

void
ngx_mc_rtmp_queue_flush(ngx_mc_rtmp_conn_t *conn)
{
    ssize_t              n;
    size_t               size;
    ngx_event_t         *wev;
    ngx_connection_t    *c;
    ngx_rtmp_session_t  *s;

    s = conn->session;
    c = conn->connection;
    wev = c->write;

    if (c->destroyed) {
        return;
    }

    for ( ;; ) {

        if (s->out_chain == NULL) {

            if (s->out_pos == s->out_last) {
                break;
            }

            s->out_chain = s->out[s->out_pos];
            s->out_bpos = s->out_chain->buf->pos;
        }

        if (!wev->ready) {
            n = NGX_AGAIN;

        } else {
            n = ngx_mc_rtmp_queue_gather(conn);
        }

        if (n == NGX_AGAIN || n == 0) {

            /* since when it takes nothing, not since when it is slow */

            if (!wev->timer_set) {
                ngx_add_timer(wev, s->timeout);
            }

            if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                ngx_rtmp_finalize_session(s);
            }

            return;
        }

        if (n < 0) {
            ngx_rtmp_finalize_session(s);
            return;
        }

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        s->out_bytes += n;
        s->ping_reset = 1;

        while (n > 0) {

            size = s->out_chain->buf->last - s->out_bpos;

            if ((size_t) n < size) {
                s->out_bpos += n;
                break;
            }

            n -= size;

            s->out_chain = s->out_chain->next;

            if (s->out_chain == NULL) {

                ngx_rtmp_free_shared_chain(&conn->srv_conf,
                                           s->out[s->out_pos]);
                s->out_pos = (s->out_pos + 1) % NGX_MC_RTMP_QUEUE;

                if (s->out_pos == s->out_last) {
                    break;
                }

                s->out_chain = s->out[s->out_pos];
            }

            s->out_bpos = s->out_chain->buf->pos;
        }
    }

    if (wev->active) {
        (void) ngx_del_event(wev, NGX_WRITE_EVENT, 0);
    }
}


/* bytes sent, NGX_AGAIN or NGX_ERROR */

static ssize_t
ngx_mc_rtmp_queue_gather(ngx_mc_rtmp_conn_t *conn)
{
    u_char              *p, *pos;
    size_t               n, size, out;
    ssize_t              rc;
    ngx_err_t            err;
    ngx_uint_t           niov;
    ngx_chain_t         *l;
    struct iovec         iov[NGX_MC_RTMP_IOV];
    ngx_connection_t    *c;
    ngx_rtmp_session_t  *s;

    s = conn->session;
    c = conn->connection;

    l = s->out_chain;
    pos = s->out_bpos;
    out = s->out_pos;
    niov = 0;
    size = 0;

    for ( ;; ) {

        iov[niov].iov_base = pos;
        iov[niov].iov_len = l->buf->last - pos;
        size += iov[niov++].iov_len;

        if (niov == NGX_MC_RTMP_IOV) {
            break;
        }

        l = l->next;

        if (l == NULL) {
            out = (out + 1) % NGX_MC_RTMP_QUEUE;

            if (out == s->out_last) {
                break;
            }

            l = s->out[out];
        }

        pos = l->buf->pos;
    }

    if (c->ssl) {

        /* whole records of TLS.  What is left unsent is gathered again, the
           same bytes and maybe more */

        if (niov == 1 || iov[0].iov_len >= NGX_MC_RTMP_GATHER) {
            return c->send(c, iov[0].iov_base, iov[0].iov_len);
        }

        p = ngx_mc_rtmp_queue_buf;
        niov = 0;

        while (size && p < ngx_mc_rtmp_queue_buf + NGX_MC_RTMP_GATHER) {
            n = ngx_min(iov[niov].iov_len, (size_t)
                        (ngx_mc_rtmp_queue_buf + NGX_MC_RTMP_GATHER - p));
            p = ngx_cpymem(p, iov[niov].iov_base, n);
            size -= n;
            niov++;
        }

        return c->send(c, ngx_mc_rtmp_queue_buf, p - ngx_mc_rtmp_queue_buf);
    }

    do {
        rc = writev(c->fd, iov, niov);
        err = (rc == -1) ? ngx_socket_errno : 0;

    } while (err == NGX_EINTR);

    if (rc == -1) {

        if (err == NGX_EAGAIN) {
            c->write->ready = 0;
            return NGX_AGAIN;
        }

        *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                      "the connection is lost: %s", strerror(err)) = '\0';

        c->write->error = 1;
        ngx_connection_error(c, err, "writev() failed");
        return NGX_ERROR;
    }

    c->sent += rc;

    if ((size_t) rc < size) {
        c->write->ready = 0;
    }

    return rc;
}
