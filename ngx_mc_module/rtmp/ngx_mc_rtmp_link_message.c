
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_link.h>


/*
 * Messages between workers: a header, and what belongs to the type.  Those
 * that get one return NGX_DECLINED if it is not what it should be, NGX_ERROR
 * to have the connection closed without more words.
 */


typedef struct {
    int64_t                       dts;
    int64_t                       pts;
    int64_t                       origin;
    uint32_t                      header;
    uint32_t                      dropped;     /* frames before this one */
    uint8_t                       type;
    uint8_t                       codec;
    uint8_t                       key;
    uint8_t                       config;
    uint8_t                       end;
    uint8_t                       discontinuity;
    uint8_t                       reserved[2];
} ngx_mc_rtmp_msg_frame_t;


static ngx_int_t ngx_mc_rtmp_link_message(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, u_char *data, size_t len);
static ngx_int_t ngx_mc_rtmp_link_get_hello(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, u_char *data, size_t len);
static ngx_int_t ngx_mc_rtmp_link_get_accept(ngx_mc_rtmp_link_t *link);
static ngx_int_t ngx_mc_rtmp_link_get_frame(ngx_mc_rtmp_link_t *link,
    u_char *data, size_t len);
static ngx_int_t ngx_mc_rtmp_link_get_text(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, u_char *data, size_t len);
static ngx_int_t ngx_mc_rtmp_link_get_peer(ngx_mc_rtmp_link_t *link,
    ngx_uint_t type, u_char *data, size_t len);


ngx_int_t
ngx_mc_rtmp_link_parse(ngx_mc_rtmp_link_t *link)
{
    u_char             *p;
    ngx_mc_rtmp_msg_t   msg;

    for ( ;; ) {

        if (link->end - link->start < sizeof(ngx_mc_rtmp_msg_t)) {
            return NGX_OK;
        }

        p = link->buf + link->start;
        ngx_memcpy(&msg, p, sizeof(ngx_mc_rtmp_msg_t));

        if (msg.len < sizeof(ngx_mc_rtmp_msg_t)
            || msg.len > NGX_MC_RTMP_MSG_MAX)
        {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                          "message of %uD bytes from another worker", msg.len);
            return NGX_ERROR;
        }

        if (link->end - link->start < msg.len) {
            return NGX_OK;
        }

        link->start += msg.len;

        if (ngx_mc_rtmp_link_message(link, msg.type,
                                     p + sizeof(ngx_mc_rtmp_msg_t),
                                     msg.len - sizeof(ngx_mc_rtmp_msg_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* it may have been ended meanwhile */

        if (link->dead || link->c == NULL) {
            link->start = 0;
            link->end = 0;
            return NGX_OK;
        }
    }
}


static ngx_int_t
ngx_mc_rtmp_link_message(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    u_char *data, size_t len)
{
    ngx_int_t  rc;

    switch (type) {

    case NGX_MC_RTMP_MSG_HELLO:
    case NGX_MC_RTMP_MSG_REJECTED:
        rc = ngx_mc_rtmp_link_get_hello(link, type, data, len);
        break;

    case NGX_MC_RTMP_MSG_ACCEPT:
        rc = ngx_mc_rtmp_link_get_accept(link);
        break;

    case NGX_MC_RTMP_MSG_FRAME:
        rc = ngx_mc_rtmp_link_get_frame(link, data, len);
        break;

    case NGX_MC_RTMP_MSG_CHUNK:
    case NGX_MC_RTMP_MSG_REPORT:
    case NGX_MC_RTMP_MSG_END:
        rc = ngx_mc_rtmp_link_get_text(link, type, data, len);
        break;

    case NGX_MC_RTMP_MSG_PEER_UP:
    case NGX_MC_RTMP_MSG_PEER_STAT:
    case NGX_MC_RTMP_MSG_PEER_DOWN:
        rc = ngx_mc_rtmp_link_get_peer(link, type, data, len);
        break;

    default:
        rc = NGX_DECLINED;
        break;
    }

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "unexpected message %ui of %uz bytes from another worker",
                      type, len);

        return NGX_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_mc_rtmp_link_get_hello(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    u_char *data, size_t len)
{
    if (!link->owner || link->ep || len != sizeof(ngx_mc_rtmp_hello_t)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(&link->hello, data, len);

    if (link->hello.version != NGX_MC_RTMP_LINK_VERSION) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "a worker of another version has an RTMP session");
        return NGX_ERROR;
    }

    if (link->c->read->timer_set) {
        ngx_del_timer(link->c->read);
    }

    link->hello.flow[NGX_MC_NAME_LEN] = '\0';
    link->hello.name[NGX_MC_NAME_LEN] = '\0';
    link->hello.peer[NGX_MC_ADDR_LEN - 1] = '\0';
    link->hello.text[NGX_MC_EVENT_MESSAGE_LEN - 1] = '\0';

    if (type == NGX_MC_RTMP_MSG_REJECTED) {
        ngx_mc_rtmp_link_refusal(&link->hello);
        return NGX_ERROR;
    }

    ngx_mc_rtmp_link_attach(link);
    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_link_get_accept(ngx_mc_rtmp_link_t *link)
{
    if (link->owner) {
        return NGX_DECLINED;
    }

    link->opened = 1;
    link->tell_opened = 1;
    ngx_mc_rtmp_link_post(link);
    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_link_get_frame(ngx_mc_rtmp_link_t *link, u_char *data, size_t len)
{
    ngx_mc_frame_t           frame;
    ngx_mc_rtmp_msg_frame_t  mf;

    if (len < sizeof(ngx_mc_rtmp_msg_frame_t)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(&mf, data, sizeof(ngx_mc_rtmp_msg_frame_t));

    if (mf.header > len - sizeof(ngx_mc_rtmp_msg_frame_t)) {
        return NGX_DECLINED;
    }

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    frame.tag = data + sizeof(ngx_mc_rtmp_msg_frame_t);
    frame.len = len - sizeof(ngx_mc_rtmp_msg_frame_t);
    frame.header = mf.header;
    frame.dts = mf.dts;
    frame.pts = mf.pts;
    frame.origin = mf.origin;
    frame.type = mf.type;
    frame.codec = mf.codec;
    frame.key = mf.key;
    frame.config = mf.config;
    frame.end = mf.end;
    frame.discontinuity = mf.discontinuity;

    if (!link->owner) {

        /* publishers are sent none */

        if (link->handlers && link->handlers->frame) {
            link->handlers->frame(link->data, &frame);
        }

        return NGX_OK;
    }

    if (link->ep == NULL || link->hello.direction != NGX_MC_INPUT) {
        return NGX_DECLINED;
    }

    if (mf.dropped) {
        link->ep->stat->dropped_packets += mf.dropped;
        link->ep->stat->u.rtmp.dropped_frames += mf.dropped;
    }

    ngx_mc_rtmp_source_frame(link->ep, link, &frame);
    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_link_get_text(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    u_char *data, size_t len)
{
    ngx_mc_rtmp_msg_text_t  text;

    if (len != sizeof(ngx_mc_rtmp_msg_text_t)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(&text, data, len);
    text.text[sizeof(text.text) - 1] = '\0';

    if (type == NGX_MC_RTMP_MSG_END) {

        if (link->owner) {
            ngx_mc_rtmp_link_detach(link, (char *) text.text);

        } else {
            ngx_mc_rtmp_link_is_closed(link, text.code, (char *) text.text);
        }

        ngx_mc_rtmp_link_disconnect(link);
        return NGX_OK;
    }

    if (link->ep == NULL || link->hello.direction != NGX_MC_INPUT) {
        return NGX_DECLINED;
    }

    if (type == NGX_MC_RTMP_MSG_CHUNK) {
        ngx_mc_rtmp_source_chunk_size(link->ep, link, text.code);

    } else {
        ngx_mc_rtmp_source_report(link->ep, link, text.code, text.text);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_link_get_peer(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    u_char *data, size_t len)
{
    ngx_mc_rtmp_msg_peer_t  peer;

    if (len != sizeof(ngx_mc_rtmp_msg_peer_t) || link->ep == NULL) {
        return NGX_DECLINED;
    }

    ngx_memcpy(&peer, data, len);
    peer.text[sizeof(peer.text) - 1] = '\0';

    return ngx_mc_rtmp_link_peer(link, type, &peer);
}


ngx_int_t
ngx_mc_rtmp_link_put_hello(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_hello_t *hello)
{
    return ngx_mc_rtmp_link_put(link, type, hello, sizeof(ngx_mc_rtmp_hello_t),
                                NULL, 0);
}


ngx_int_t
ngx_mc_rtmp_link_put_accept(ngx_mc_rtmp_link_t *link)
{
    return ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_ACCEPT, NULL, 0, NULL,
                                0);
}


ngx_int_t
ngx_mc_rtmp_link_put_text(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_uint_t code, const char *text)
{
    ngx_mc_rtmp_msg_text_t  msg;

    ngx_memzero(&msg, sizeof(ngx_mc_rtmp_msg_text_t));
    msg.code = code;
    ngx_cpystrn(msg.text, (u_char *) text, sizeof(msg.text));

    return ngx_mc_rtmp_link_put(link, type, &msg,
                                sizeof(ngx_mc_rtmp_msg_text_t), NULL, 0);
}


ngx_int_t
ngx_mc_rtmp_link_put_peer(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_msg_peer_t *peer)
{
    return ngx_mc_rtmp_link_put(link, type, peer,
                                sizeof(ngx_mc_rtmp_msg_peer_t), NULL, 0);
}


/* frames are queued whole or not at all, and after a gap from a key frame on;
   what decoders need to begin is small, and always queued */

ngx_int_t
ngx_mc_rtmp_link_put_frame(ngx_mc_rtmp_link_t *link, ngx_mc_frame_t *frame)
{
    ngx_uint_t               video, must;
    ngx_mc_rtmp_msg_frame_t  mf;

    must = (frame->config || frame->end || frame->type == NGX_MC_FRAME_META);
    video = (frame->type == NGX_MC_FRAME_VIDEO);

    if (video && !must) {
        link->video = 1;
    }

    if (!must) {
        if (link->dropping) {
            if (link->queued > NGX_MC_RTMP_LINK_QUEUE / 2
                || (link->video && !(video && frame->key)))
            {
                goto drop;
            }

            link->dropping = 0;

        } else if (link->queued + frame->len > NGX_MC_RTMP_LINK_QUEUE
                   && link->queued)
        {
            link->dropping = 1;
            goto drop;
        }

    } else if (link->queued > 2 * NGX_MC_RTMP_LINK_QUEUE) {
        ngx_mc_rtmp_link_break(link);
        return NGX_AGAIN;
    }

    ngx_memzero(&mf, sizeof(ngx_mc_rtmp_msg_frame_t));

    mf.dts = frame->dts;
    mf.pts = frame->pts;
    mf.origin = frame->origin;
    mf.header = frame->header;
    mf.dropped = link->dropped;
    mf.type = frame->type;
    mf.codec = frame->codec;
    mf.key = frame->key;
    mf.config = frame->config;
    mf.end = frame->end;
    mf.discontinuity = frame->discontinuity | link->discontinuity;

    if (ngx_mc_rtmp_link_put(link, NGX_MC_RTMP_MSG_FRAME, &mf, sizeof(mf),
                             frame->tag, frame->len)
        != NGX_OK)
    {
        return NGX_AGAIN;
    }

    link->dropped = 0;
    link->discontinuity = 0;

    return NGX_OK;

drop:

    link->dropped++;
    link->discontinuity |= frame->discontinuity;

    return NGX_AGAIN;
}
