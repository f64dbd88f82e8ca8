
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_client.h>


/*
 * Frames of a flow to a server, and which of them are dropped if it takes them
 * slower than they come.
 */


/* video has all but an eighth of the queue, commands what audio leaves */
#define NGX_MC_RTMP_QUEUE_VIDEO   (NGX_MC_RTMP_QUEUE - NGX_MC_RTMP_QUEUE / 8)
#define NGX_MC_RTMP_QUEUE_AUDIO   (NGX_MC_RTMP_QUEUE - 16)
#define NGX_MC_RTMP_QUEUE_BYTES   (8 * 1024 * 1024)

/* with less than this waiting, dropping ends at the next key frame */
#define NGX_MC_RTMP_RESUME        (NGX_MC_RTMP_QUEUE / 4)

/* of a message, by its header */
#define NGX_MC_RTMP_MESSAGE_MAX   0xffffff

#define NGX_MC_RTMP_CSID_DATA     5
#define NGX_MC_RTMP_CSID_AUDIO    6
#define NGX_MC_RTMP_CSID_VIDEO    7


static ngx_int_t ngx_mc_rtmp_push_message(ngx_mc_rtmp_client_t *cl,
    ngx_mc_frame_t *frame, uint32_t timestamp);


static ngx_str_t  ngx_mc_rtmp_set_data_frame =
    ngx_string(NGX_MC_RTMP_SET_DATA_FRAME);


void
ngx_mc_rtmp_push_headers(ngx_mc_rtmp_client_t *cl)
{
    ngx_mc_frame_headers_t  *headers;

    headers = ngx_mc_flow_headers(cl->endpoint);

    cl->wait_since = ngx_mc_now();
    cl->stale = 0;

    if (headers == NULL) {
        return;
    }

    if (headers->meta.tag) {
        (void) ngx_mc_rtmp_push_message(cl, &headers->meta,
                          (uint32_t) ngx_max(cl->clock.last[0],
                                             cl->clock.last[1]));
    }

    if (headers->video.tag) {
        cl->video = 1;
        (void) ngx_mc_rtmp_push_message(cl, &headers->video,
                                        (uint32_t) cl->clock.last[1]);
    }

    if (headers->audio.tag) {
        (void) ngx_mc_rtmp_push_message(cl, &headers->audio,
                                        (uint32_t) cl->clock.last[0]);
    }

    if (cl->conn) {
        ngx_mc_rtmp_queue_flush(cl->conn);
    }
}


void
ngx_mc_rtmp_client_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *frame)
{
    int64_t                now;
    uint32_t               timestamp;
    ngx_int_t              rc;
    ngx_uint_t             video, queue;
    ngx_mc_rtmp_conn_t    *conn;
    ngx_mc_rtmp_client_t  *cl;

    cl = ep->data;

    if (cl == NULL || cl->phase != NGX_MC_RTMP_UP || cl->conn == NULL
        || cl->conn->connection->destroyed || frame->len == 0)
    {
        return;
    }

    conn = cl->conn;
    now = ngx_mc_now();
    video = (frame->type == NGX_MC_FRAME_VIDEO);

    if (frame->discontinuity) {
        /* that it begins with a key frame is seen to by the lane */
        cl->clock.jump = 1;
    }

    if (frame->type == NGX_MC_FRAME_META || frame->config || frame->end) {

        if (video) {
            cl->video = !frame->end;
        }

        /* before the first frame, time has not begun */

        timestamp = !cl->clock.started ? 0 :
                    (frame->type == NGX_MC_FRAME_META)
                    ? (uint32_t) ngx_max(cl->clock.last[0],
                                         cl->clock.last[1])
                    : (uint32_t) cl->clock.last[video];

        if (ngx_mc_rtmp_push_message(cl, frame, timestamp) != NGX_OK) {
            cl->stale = 1;
        }

        ngx_mc_rtmp_queue_flush(conn);
        return;
    }

    queue = ngx_mc_rtmp_queue_length(conn);

    if (video) {

        cl->video = 1;

        if (cl->wait_key) {

            if (!frame->key) {

                /* nothing is lost that could have been decoded, unless it is
                   us who made it so */

                if (cl->clock.started) {
                    goto dropped;
                }

                return;
            }

            if (queue > NGX_MC_RTMP_RESUME
                || conn->queued > NGX_MC_RTMP_QUEUE_BYTES / 4)
            {
                goto dropped;
            }

            cl->wait_key = 0;
        }

        if (queue >= NGX_MC_RTMP_QUEUE_VIDEO
            || conn->queued + frame->len
               > ngx_max(NGX_MC_RTMP_QUEUE_BYTES, frame->len)
            || frame->len > NGX_MC_RTMP_MESSAGE_MAX)
        {
            cl->wait_key = 1;
            goto dropped;
        }

    } else {

        /* with video, both begin at a key frame; a video that does not come
           takes the sound with it for a while only */

        if (cl->video && cl->wait_key && !cl->clock.started
            && now - cl->wait_since < (int64_t) NGX_MC_RTMP_TIMEOUT * 1000)
        {
            return;
        }

        if (ngx_mc_rtmp_clock_late(&cl->clock, frame)) {
            return;
        }

        if (queue >= NGX_MC_RTMP_QUEUE_AUDIO
            || frame->len > NGX_MC_RTMP_MESSAGE_MAX)
        {
            goto dropped;
        }
    }

    if (cl->stale) {
        ngx_mc_rtmp_push_headers(cl);
    }

    timestamp = ngx_mc_rtmp_clock(&cl->clock, frame, now);

    rc = ngx_mc_rtmp_push_message(cl, frame, timestamp);

    if (rc != NGX_OK) {
        cl->wait_key |= video;
        goto dropped;
    }

    ep->stat->u.rtmp.frames++;

    ngx_mc_rtmp_queue_flush(conn);

    return;

dropped:

    ep->stat->dropped_packets++;
    ep->stat->u.rtmp.dropped_frames++;
}


static ngx_int_t
ngx_mc_rtmp_push_message(ngx_mc_rtmp_client_t *cl, ngx_mc_frame_t *frame,
    uint32_t timestamp)
{
    ngx_uint_t          csid;
    ngx_rtmp_header_t   h;
    ngx_mc_endpoint_t  *ep;

    ep = cl->endpoint;

    if (cl->conn == NULL || cl->conn->connection->destroyed
        || frame->len == 0)
    {
        return NGX_ERROR;
    }

    /* whatever it is: sound and configurations may be as large as pictures */

    (void) ngx_mc_rtmp_queue_length(cl->conn);

    if (cl->conn->queued
        && cl->conn->queued + frame->len > 2 * NGX_MC_RTMP_QUEUE_BYTES)
    {
        return NGX_ERROR;
    }

    csid = NGX_MC_RTMP_CSID_DATA;

    if (frame->type == NGX_MC_FRAME_VIDEO) {
        csid = NGX_MC_RTMP_CSID_VIDEO;

    } else if (frame->type == NGX_MC_FRAME_AUDIO) {
        csid = NGX_MC_RTMP_CSID_AUDIO;
    }

    ngx_mc_rtmp_stat_codec(&ep->stat->u.rtmp, frame);

    ngx_memzero(&h, sizeof(ngx_rtmp_header_t));

    h.csid = csid;
    h.type = frame->type;
    h.msid = cl->msid;
    h.timestamp = timestamp;

    if (ngx_mc_rtmp_queue_add(cl->conn, &h, &cl->last[csid],
                                   (frame->type == NGX_MC_FRAME_META)
                                   ? &ngx_mc_rtmp_set_data_frame : NULL,
                                   frame->tag, frame->len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /*
     * Length 0 is that of no message: a header that leaves out the time, if
     * the next were as long and of the same time, means the last step again.
     */

    cl->last[csid] = h;
    cl->last[csid].mlen = 0;

    ep->stat->packets++;
    ep->stat->bytes += frame->len;

    return NGX_OK;
}
