
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_play.h>


/*
 * An output that is a name in an application of nginx-rtmp, in the owner of
 * the flow: each process that has players of it, or its HLS and the like, has
 * a link to here.  What counts as sent is what players were sent, as their
 * processes tell once a second; the records of players are kept here.
 *
 * A flow that comes from another process brings no links: they find here in a
 * moment, and what came meanwhile is kept for them.
 */


#define NGX_MC_RTMP_BACKLOG       3000                /* ms after opening */
#define NGX_MC_RTMP_BACKLOG_SIZE  (8 * 1024 * 1024)


typedef struct {
    ngx_queue_t            queue;
    ngx_mc_frame_t         frame;
    u_char                 data[1];
} ngx_mc_rtmp_kept_t;


typedef struct {
    ngx_queue_t            links;

    /* frames since it was opened, ngx_mc_rtmp_kept_t, for links that come
       back: whoever is new drops them, by their origin */
    ngx_queue_t            backlog;
    size_t                 backlog_size;
    ngx_msec_t             opened;
    unsigned               keeping:1;
} ngx_mc_rtmp_output_t;


typedef struct {
    ngx_queue_t            queue;
    ngx_queue_t            peers;
    ngx_mc_rtmp_link_t    *link;
} ngx_mc_rtmp_output_link_t;


typedef struct {
    ngx_queue_t            queue;
    uint64_t               id;                        /* the link's */
    ngx_mc_peer_stat_t    *stat;
    uint64_t               bytes_seen;                /* by the last second */
    uint64_t               dropped;                   /* as told */
    uint64_t               messages;
    uint64_t               bytes;
} ngx_mc_rtmp_peer_t;


static void ngx_mc_rtmp_output_keep(ngx_mc_rtmp_output_t *out,
    ngx_mc_frame_t *frame, ngx_log_t *log);
static void ngx_mc_rtmp_output_forget(ngx_mc_rtmp_output_t *out);
static void ngx_mc_rtmp_output_unlink(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_output_link_t *ol, const char *why);
static ngx_mc_rtmp_peer_t *ngx_mc_rtmp_output_peer(
    ngx_mc_rtmp_output_link_t *ol, uint64_t id);
static void ngx_mc_rtmp_output_peer_free(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_peer_t *peer, const char *why);


ngx_int_t
ngx_mc_rtmp_output_init(ngx_mc_endpoint_t *ep)
{
    ngx_mc_rtmp_output_t  *out;

    out = ngx_pcalloc(ep->pool, sizeof(ngx_mc_rtmp_output_t));
    if (out == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&out->links);
    ngx_queue_init(&out->backlog);

    ep->data = out;

    return NGX_OK;
}


void
ngx_mc_rtmp_output_open(ngx_mc_endpoint_t *ep)
{
    int64_t                started;
    ngx_mc_rtmp_output_t  *out;

    out = ep->data;

    out->opened = ngx_current_msec;

    /* the flow is not that new: it ran in another process */
    started = ep->flow->stat->started_at;
    out->keeping = (started && ngx_mc_epoch_ms() - started > 1000);

    ngx_mc_rtmp_stat_clear(&ep->stat->u.rtmp);
    ep->stat->u.rtmp.chunk_size = ngx_mc_rtmp_play_chunk_size(&ep->def->app);

    ngx_mc_endpoint_waiting(ep);
}


void
ngx_mc_rtmp_output_close(ngx_mc_endpoint_t *ep)
{
    ngx_queue_t                *q;
    ngx_mc_rtmp_link_t         *link;
    ngx_mc_rtmp_output_t       *out;
    ngx_mc_rtmp_output_link_t  *ol;

    out = ep->data;

    while (!ngx_queue_empty(&out->links)) {
        q = ngx_queue_head(&out->links);
        ol = ngx_queue_data(q, ngx_mc_rtmp_output_link_t, queue);
        link = ol->link;

        ngx_mc_rtmp_output_unlink(ep, ol, "closed");
        ngx_mc_rtmp_link_set_data(link, NULL);
        ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_LOST, "closed");
    }

    ngx_mc_rtmp_output_forget(out);
}


void
ngx_mc_rtmp_output_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame)
{
    ngx_queue_t                *q, *next;
    ngx_mc_rtmp_output_t       *out;
    ngx_mc_rtmp_output_link_t  *ol;

    out = ep->data;

    ngx_mc_rtmp_stat_codec(&ep->stat->u.rtmp, frame);

    if (out->keeping) {
        ngx_mc_rtmp_output_keep(out, frame, ep->log);
    }

    for (q = ngx_queue_head(&out->links);
         q != ngx_queue_sentinel(&out->links);
         q = next)
    {
        next = ngx_queue_next(q);
        ol = ngx_queue_data(q, ngx_mc_rtmp_output_link_t, queue);

        ngx_mc_rtmp_link_send(ol->link, frame);
    }
}


static void
ngx_mc_rtmp_output_keep(ngx_mc_rtmp_output_t *out, ngx_mc_frame_t *frame,
    ngx_log_t *log)
{
    ngx_mc_rtmp_kept_t  *kept;

    if (ngx_current_msec - out->opened >= NGX_MC_RTMP_BACKLOG
        || out->backlog_size + frame->len > NGX_MC_RTMP_BACKLOG_SIZE)
    {
        goto enough;
    }

    kept = ngx_alloc(sizeof(ngx_mc_rtmp_kept_t) + frame->len, log);
    if (kept == NULL) {
        goto enough;
    }

    kept->frame = *frame;
    kept->frame.tag = kept->data;
    ngx_memcpy(kept->data, frame->tag, frame->len);

    ngx_queue_insert_tail(&out->backlog, &kept->queue);
    out->backlog_size += frame->len;

    return;

enough:

    ngx_mc_rtmp_output_forget(out);
}


static void
ngx_mc_rtmp_output_forget(ngx_mc_rtmp_output_t *out)
{
    ngx_queue_t         *q;
    ngx_mc_rtmp_kept_t  *kept;

    while (!ngx_queue_empty(&out->backlog)) {
        q = ngx_queue_head(&out->backlog);
        kept = ngx_queue_data(q, ngx_mc_rtmp_kept_t, queue);

        ngx_queue_remove(q);
        ngx_free(kept);
    }

    out->keeping = 0;
    out->backlog_size = 0;
}


void
ngx_mc_rtmp_output_second(ngx_mc_endpoint_t *ep)
{
    ngx_queue_t                *q, *p;
    ngx_mc_rtmp_peer_t         *peer;
    ngx_mc_rtmp_output_t       *out;
    ngx_mc_rtmp_output_link_t  *ol;

    out = ep->data;

    for (q = ngx_queue_head(&out->links);
         q != ngx_queue_sentinel(&out->links);
         q = ngx_queue_next(q))
    {
        ol = ngx_queue_data(q, ngx_mc_rtmp_output_link_t, queue);

        for (p = ngx_queue_head(&ol->peers);
             p != ngx_queue_sentinel(&ol->peers);
             p = ngx_queue_next(p))
        {
            peer = ngx_queue_data(p, ngx_mc_rtmp_peer_t, queue);

            peer->stat->bitrate = (peer->stat->bytes - peer->bytes_seen) * 8;
            peer->bytes_seen = peer->stat->bytes;
        }
    }

    if (out->keeping
        && ngx_current_msec - out->opened >= NGX_MC_RTMP_BACKLOG)
    {
        ngx_mc_rtmp_output_forget(out);
    }
}


/* players whose address is no longer allowed are cut where they are; to take
   another name it is opened anew */

void
ngx_mc_rtmp_output_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    ep->def = def;
}


ngx_int_t
ngx_mc_rtmp_output_attach(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link)
{
    ngx_queue_t                *q;
    ngx_mc_rtmp_kept_t         *kept;
    ngx_mc_rtmp_output_t       *out;
    ngx_mc_frame_headers_t     *headers;
    ngx_mc_rtmp_output_link_t  *ol;

    out = ep->data;

    ol = ngx_alloc(sizeof(ngx_mc_rtmp_output_link_t), ep->log);
    if (ol == NULL) {
        ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_LOST, "no memory");
        return NGX_ERROR;
    }

    ol->link = link;
    ngx_queue_init(&ol->peers);

    ngx_queue_insert_tail(&out->links, &ol->queue);

    ngx_mc_rtmp_link_set_data(link, ol);

    headers = ngx_mc_flow_headers(ep);

    if (headers) {
        if (headers->meta.tag) {
            ngx_mc_rtmp_link_send(link, &headers->meta);
        }

        if (headers->video.tag) {
            ngx_mc_rtmp_link_send(link, &headers->video);
        }

        if (headers->audio.tag) {
            ngx_mc_rtmp_link_send(link, &headers->audio);
        }
    }

    for (q = ngx_queue_head(&out->backlog);
         q != ngx_queue_sentinel(&out->backlog);
         q = ngx_queue_next(q))
    {
        kept = ngx_queue_data(q, ngx_mc_rtmp_kept_t, queue);
        ngx_mc_rtmp_link_send(link, &kept->frame);
    }

    return NGX_OK;
}


void
ngx_mc_rtmp_output_detach(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link)
{
    ngx_mc_rtmp_output_link_t  *ol;

    ol = ngx_mc_rtmp_link_data(link);

    if (ol) {
        ngx_mc_rtmp_link_set_data(link, NULL);
        ngx_mc_rtmp_output_unlink(ep, ol, "the worker process of the player "
                                          "ended");
    }
}


static void
ngx_mc_rtmp_output_unlink(ngx_mc_endpoint_t *ep,
    ngx_mc_rtmp_output_link_t *ol, const char *why)
{
    ngx_queue_t         *q;
    ngx_mc_rtmp_peer_t  *peer;

    while (!ngx_queue_empty(&ol->peers)) {
        q = ngx_queue_head(&ol->peers);
        peer = ngx_queue_data(q, ngx_mc_rtmp_peer_t, queue);

        ngx_mc_rtmp_output_peer_free(ep, peer, why);
    }

    ngx_queue_remove(&ol->queue);
    ngx_free(ol);
}


void
ngx_mc_rtmp_output_peer_up(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    uint64_t id, u_char *address, uint64_t bytes, uint64_t messages,
    uint64_t dropped)
{
    ngx_mc_rtmp_peer_t         *peer;
    ngx_mc_rtmp_output_link_t  *ol;

    ol = ngx_mc_rtmp_link_data(link);

    if (ol == NULL || ngx_mc_rtmp_output_peer(ol, id)) {
        return;
    }

    peer = ngx_calloc(sizeof(ngx_mc_rtmp_peer_t), ep->log);
    if (peer == NULL) {
        return;
    }

    peer->stat = ngx_mc_peer_stat_add(ep->stat);

    if (peer->stat == NULL) {

        /* it plays, but is not shown */

        ngx_mc_endpoint_error(ep, "no record is left for player %s", address);
        ngx_free(peer);
        return;
    }

    peer->id = id;
    peer->bytes = bytes;
    peer->bytes_seen = bytes;
    peer->messages = messages;
    peer->dropped = dropped;

    peer->stat->bytes = bytes;
    peer->stat->packets = messages;
    peer->stat->dropped_packets = dropped;
    peer->stat->connected_at = ngx_mc_epoch_ms();
    ngx_cpystrn(peer->stat->address, address, NGX_MC_ADDR_LEN);

    ngx_queue_insert_tail(&ol->peers, &peer->queue);

    ngx_mc_endpoint_peer_up(ep, peer->stat);
}


void
ngx_mc_rtmp_output_peer_stat(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    uint64_t id, uint64_t bytes, uint64_t messages, uint64_t dropped)
{
    ngx_mc_rtmp_peer_t         *peer;
    ngx_mc_endpoint_stat_t     *st;
    ngx_mc_rtmp_output_link_t  *ol;

    ol = ngx_mc_rtmp_link_data(link);
    peer = ol ? ngx_mc_rtmp_output_peer(ol, id) : NULL;

    if (peer == NULL) {
        return;
    }

    st = ep->stat;

    /* totals of the player; one that began anew has less */

    if (bytes > peer->bytes) {
        st->bytes += bytes - peer->bytes;
        peer->stat->bytes = bytes;
    }

    if (messages > peer->messages) {
        st->packets += messages - peer->messages;
        st->u.rtmp.frames += messages - peer->messages;
        peer->stat->packets = messages;
    }

    if (dropped > peer->dropped) {
        st->dropped_packets += dropped - peer->dropped;
        st->u.rtmp.dropped_frames += dropped - peer->dropped;
        peer->stat->dropped_packets = dropped;
    }

    peer->bytes = bytes;
    peer->messages = messages;
    peer->dropped = dropped;
}


void
ngx_mc_rtmp_output_peer_down(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    uint64_t id, const char *why)
{
    ngx_mc_rtmp_peer_t         *peer;
    ngx_mc_rtmp_output_link_t  *ol;

    ol = ngx_mc_rtmp_link_data(link);
    peer = ol ? ngx_mc_rtmp_output_peer(ol, id) : NULL;

    if (peer) {
        ngx_mc_rtmp_output_peer_free(ep, peer, why);
    }
}


static ngx_mc_rtmp_peer_t *
ngx_mc_rtmp_output_peer(ngx_mc_rtmp_output_link_t *ol, uint64_t id)
{
    ngx_queue_t         *q;
    ngx_mc_rtmp_peer_t  *peer;

    for (q = ngx_queue_head(&ol->peers);
         q != ngx_queue_sentinel(&ol->peers);
         q = ngx_queue_next(q))
    {
        peer = ngx_queue_data(q, ngx_mc_rtmp_peer_t, queue);

        if (peer->id == id) {
            return peer;
        }
    }

    return NULL;
}


static void
ngx_mc_rtmp_output_peer_free(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_peer_t *peer,
    const char *why)
{
    ngx_mc_endpoint_peer_down(ep, peer->stat, why);
    ngx_mc_peer_stat_remove(ep->stat, peer->stat);

    ngx_queue_remove(&peer->queue);
    ngx_free(peer);
}
