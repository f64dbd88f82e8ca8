
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_client.h>
#include <ngx_mc_flv.h>


/* Frames of a flow from what a server plays. */


/* a step beyond this, ms, is another stream even if nobody has said so:
   tracks of one stream are not that far apart */
#define NGX_MC_RTMP_PULL_STEP  10000


static ngx_int_t ngx_mc_rtmp_pull_copy(ngx_mc_rtmp_client_t *cl,
    ngx_chain_t *in, size_t *len);
static ngx_int_t ngx_mc_rtmp_pull_message(ngx_mc_rtmp_client_t *cl,
    ngx_uint_t type, uint32_t timestamp, u_char *data, size_t len);


ngx_int_t
ngx_mc_rtmp_pull_handler(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char                *p, *last;
    size_t                 len;
    uint32_t               size, ts, first;
    ngx_int_t              rc;
    ngx_mc_rtmp_client_t  *cl;

    cl = ngx_mc_rtmp_client_of(s)->ctx.data;

    if (cl == NULL) {
        return NGX_ERROR;
    }

    if (cl->endpoint->def->direction != NGX_MC_INPUT
        || cl->phase < NGX_MC_RTMP_STARTING)
    {
        return NGX_OK;
    }

    if (ngx_mc_rtmp_pull_copy(cl, in, &len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (h->type != NGX_RTMP_MSG_AGGREGATE) {
        return ngx_mc_rtmp_pull_message(cl, h->type, h->timestamp, cl->buf,
                                        len);
    }

    /* FLV tags, the first of which has the time of the message */

    first = 0;

    for (p = cl->buf, last = p + len; last - p >= 11; p += 11 + size + 4) {

        size = p[1] << 16 | p[2] << 8 | p[3];
        ts = (uint32_t) p[7] << 24 | p[4] << 16 | p[5] << 8 | p[6];

        if (p == cl->buf) {
            first = ts;
        }

        if ((size_t) (last - p) < 11 + (size_t) size) {
            break;
        }

        rc = ngx_mc_rtmp_pull_message(cl, p[0], h->timestamp + ts - first,
                                      p + 11, size);
        if (rc != NGX_OK) {
            return rc;
        }

        if ((size_t) (last - p) < 11 + (size_t) size + 4) {
            break;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_pull_copy(ngx_mc_rtmp_client_t *cl, ngx_chain_t *in, size_t *len)
{
    u_char       *p;
    size_t        size;
    ngx_chain_t  *l;

    size = 0;

    for (l = in; l; l = l->next) {
        size += l->buf->last - l->buf->pos;
    }

    *len = size;

    if (size > cl->size || cl->buf == NULL) {

        if (cl->buf) {
            ngx_free(cl->buf);
        }

        cl->size = ngx_max(size + size / 2, 16384);
        cl->buf = ngx_alloc(cl->size, cl->endpoint->log);

        if (cl->buf == NULL) {
            cl->size = 0;
            return NGX_ERROR;
        }
    }

    p = cl->buf;

    for (l = in; l; l = l->next) {
        p = ngx_cpymem(p, l->buf->pos, l->buf->last - l->buf->pos);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_pull_message(ngx_mc_rtmp_client_t *cl, ngx_uint_t type,
    uint32_t timestamp, u_char *data, size_t len)
{
    int32_t              step;
    int64_t              now, ms;
    ngx_int_t            rc;
    ngx_mc_frame_t       frame;
    ngx_mc_endpoint_t   *ep;
    ngx_mc_rtmp_conn_t  *conn;
    ngx_mc_rtmp_stat_t  *st;

    ep = cl->endpoint;
    conn = cl->conn;
    st = &ep->stat->u.rtmp;

    if (len == 0) {
        return NGX_OK;
    }

    if (type == NGX_RTMP_MSG_AMF3_META) {
        type = NGX_RTMP_MSG_AMF_META;
        data++;
        len--;
    }

    if (type != NGX_RTMP_MSG_AUDIO && type != NGX_RTMP_MSG_VIDEO
        && type != NGX_RTMP_MSG_AMF_META)
    {
        return NGX_OK;
    }

    ngx_memzero(&frame, sizeof(ngx_mc_frame_t));

    step = (int32_t) (timestamp - (uint32_t) cl->ms);
    ms = cl->begun ? cl->ms + step : timestamp;

    rc = ngx_mc_flv_parse(&frame, type, ms * 90, data, len);

    if (type == NGX_RTMP_MSG_AMF_META) {

        if (rc != NGX_OK) {
            return NGX_OK;
        }

        /* "@setDataFrame" */

        frame.tag += frame.header;
        frame.len -= frame.header;
        frame.header = 0;

        ngx_mc_flv_metadata_read(frame.tag, frame.len, &st->metadata);
        st->has_metadata = 1;
    }

    now = ngx_mc_now();

    if (!cl->begun) {

        cl->heard = now;
        cl->begun = 1;

        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_UP);

        ngx_mc_endpoint_up(ep, ep->sockaddr, ep->socklen);
        ngx_mc_flow_connected(ep);

        if (conn != cl->conn) {
            return NGX_ERROR;
        }

    } else if (step < -NGX_MC_RTMP_PULL_STEP
               || step > NGX_MC_RTMP_PULL_STEP)
    {
        frame.discontinuity = 1;
    }

    cl->ms = ms;

    if (type != NGX_RTMP_MSG_AMF_META) {
        cl->heard = now;
    }

    if (rc == NGX_DECLINED) {

        if (!cl->told && frame.codec) {
            cl->told = 1;
            ngx_mc_endpoint_event(ep, NGX_MC_EVENT_CODEC_UNSUPPORTED, NULL,
                                  "%s is not carried: %V",
                                  type == NGX_RTMP_MSG_VIDEO ? "video"
                                                             : "audio",
                                  &ngx_mc_codec_names[frame.codec]);
        }

        return NGX_OK;
    }

    if (rc != NGX_OK) {
        ngx_mc_endpoint_error(ep, "a malformed message of type %ui", type);
        return NGX_OK;
    }

    frame.origin = now;

    ngx_mc_rtmp_stat_codec(st, &frame);

    if (type != NGX_RTMP_MSG_AMF_META && !frame.config && !frame.end) {
        st->frames++;
    }

    if (ngx_mc_flow_frame(ep, &frame) == NGX_DECLINED) {

        if (conn == cl->conn) {
            *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                          "exceeded max_bandwidth") = '\0';
        }

        return NGX_ERROR;
    }

    return (conn == cl->conn) ? NGX_OK : NGX_ERROR;
}
