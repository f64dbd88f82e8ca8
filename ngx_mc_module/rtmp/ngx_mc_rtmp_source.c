
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp.h>
#include <ngx_mc_flv.h>


/*
 * A source that listens, in the owner of its flow: at most one publisher, who
 * is connected to any worker.
 *
 * Encoders that lose their connection come back before the server knows, so
 * a second one may take the place of the first: if it began later and comes
 * from the same address, or if the first has sent nothing for 2 s.
 */


/* us */
#define NGX_MC_RTMP_STALE   2000000


typedef struct {
    ngx_mc_rtmp_link_t  *link;               /* NULL: nobody */
    u_char               peer[NGX_MC_ADDR_LEN];
    int64_t              last;               /* us, its last frame */
    ngx_uint_t           begins;             /* its next frame is the first */
} ngx_mc_rtmp_source_t;


static ngx_uint_t ngx_mc_rtmp_source_same(u_char *a, u_char *b);


ngx_int_t
ngx_mc_rtmp_source_init(ngx_mc_endpoint_t *ep)
{
    ep->data = ngx_pcalloc(ep->pool, sizeof(ngx_mc_rtmp_source_t));

    return ep->data ? NGX_OK : NGX_ERROR;
}


void
ngx_mc_rtmp_source_open(ngx_mc_endpoint_t *ep)
{
    ngx_mc_rtmp_stat_clear(&ep->stat->u.rtmp);
    ngx_mc_endpoint_waiting(ep);
}


void
ngx_mc_rtmp_source_close(ngx_mc_endpoint_t *ep)
{
    ngx_mc_rtmp_source_t  *src;

    src = ep->data;

    if (src->link == NULL) {
        return;
    }

    /*
     * The publisher stays where it is, and its worker looks for the flow
     * anew.  It counts as disconnected even so: where a flow moves because
     * the time of its worker is over, that of the publisher's may be too.
     */

    ngx_mc_rtmp_link_end(src->link, NGX_MC_RTMP_LINK_LOST, "");
    src->link = NULL;

    ngx_mc_rtmp_stat_clear(&ep->stat->u.rtmp);
}


ngx_int_t
ngx_mc_rtmp_source_attach(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    u_char *peer)
{
    int64_t                now;
    socklen_t              len;
    ngx_sockaddr_t         addr;
    ngx_mc_rtmp_source_t  *src;

    src = ep->data;
    now = ngx_mc_now();
    len = ngx_mc_rtmp_link_sockaddr(peer, &addr);

    if (ep->banned
        && (ngx_msec_int_t) (ep->banned_until - ngx_current_msec) > 0)
    {
        ngx_mc_endpoint_rejected(ep, NGX_MC_REJECTED_BANDWIDTH, 1,
                                 len ? &addr.sockaddr : NULL, len,
                                 "max_bandwidth was exceeded");
        ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_REFUSED,
                             "has exceeded its bandwidth, try again later");
        return NGX_DECLINED;
    }

    if (src->link) {

        if (now - src->last < NGX_MC_RTMP_STALE
            && (!ngx_mc_rtmp_source_same(src->peer, peer)
                || ngx_mc_rtmp_link_began(link)
                   < ngx_mc_rtmp_link_began(src->link)))
        {
            ngx_mc_endpoint_rejected(ep, NGX_MC_REJECTED_BUSY, 1,
                                     len ? &addr.sockaddr : NULL, len,
                                     "%s is publishing", src->peer);
            ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_BUSY,
                                 "has a publisher already");
            return NGX_DECLINED;
        }

        ngx_mc_rtmp_link_end(src->link, NGX_MC_RTMP_LINK_REPLACED,
                             "has another publisher now");
        src->link = NULL;

        ngx_mc_endpoint_down(ep, 1, "another connection of the publisher "
                             "takes its place");
    }

    src->link = link;
    src->last = now;
    src->begins = 1;
    ngx_cpystrn(src->peer, peer, NGX_MC_ADDR_LEN);

    ngx_mc_endpoint_up(ep, len ? &addr.sockaddr : NULL, len);

    ngx_mc_flow_connected(ep);

    return NGX_OK;
}


/* of one address, whatever the ports; one without is like none */

static ngx_uint_t
ngx_mc_rtmp_source_same(u_char *a, u_char *b)
{
    socklen_t       alen, blen;
    ngx_sockaddr_t  aa, ba;

    alen = ngx_mc_rtmp_link_sockaddr(a, &aa);
    blen = ngx_mc_rtmp_link_sockaddr(b, &ba);

    return alen && blen
           && ngx_cmp_sockaddr(&aa.sockaddr, alen, &ba.sockaddr, blen, 0)
              == NGX_OK;
}


void
ngx_mc_rtmp_source_frame(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    ngx_mc_frame_t *frame)
{
    ngx_mc_rtmp_stat_t    *st;
    ngx_mc_rtmp_source_t  *src;

    src = ep->data;

    if (src->link != link) {
        return;
    }

    src->last = ngx_mc_now();

    if (src->begins && frame->type != NGX_MC_FRAME_META) {
        frame->discontinuity = 1;
        src->begins = 0;
    }

    st = &ep->stat->u.rtmp;

    if (frame->type == NGX_MC_FRAME_META) {
        ngx_mc_flv_metadata_read(frame->tag, frame->len, &st->metadata);
        st->has_metadata = 1;

    } else {
        ngx_mc_rtmp_stat_codec(st, frame);
    }

    if (frame->type != NGX_MC_FRAME_META && !frame->config && !frame->end) {
        st->frames++;
    }

    if (ngx_mc_flow_frame(ep, frame) != NGX_DECLINED) {
        return;
    }

    ngx_mc_rtmp_link_end(link, NGX_MC_RTMP_LINK_REFUSED,
                         "has exceeded its bandwidth");
    src->link = NULL;

    ngx_mc_rtmp_stat_clear(&ep->stat->u.rtmp);
    ngx_mc_endpoint_down(ep, 1, "exceeded max_bandwidth");
}


void
ngx_mc_rtmp_source_chunk_size(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    ngx_uint_t size)
{
    ngx_mc_rtmp_source_t  *src;

    src = ep->data;

    if (src->link == link) {
        ep->stat->u.rtmp.chunk_size = size;
    }
}


/* text: from the process that the session is in, without secrets */

void
ngx_mc_rtmp_source_report(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    ngx_uint_t what, u_char *text)
{
    ngx_mc_rtmp_source_t  *src;

    src = ep->data;

    if (src->link != link) {
        return;
    }

    src->last = ngx_mc_now();

    if (what == NGX_MC_REPORT_MALFORMED) {
        ngx_mc_endpoint_rejected(ep, NGX_MC_REJECTED_MALFORMED, 1, NULL, 0,
                                 "%s", text);
        return;
    }

    ngx_mc_endpoint_event(ep, NGX_MC_EVENT_CODEC_UNSUPPORTED, ep->stat->peer,
                          "%s", text);
}


void
ngx_mc_rtmp_source_detach(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *link,
    const char *why)
{
    ngx_mc_rtmp_source_t  *src;

    src = ep->data;

    if (src->link != link) {
        return;
    }

    src->link = NULL;

    ngx_mc_rtmp_stat_clear(&ep->stat->u.rtmp);
    ngx_mc_endpoint_down(ep, 1, "%s", why);
}


void
ngx_mc_rtmp_source_second(ngx_mc_endpoint_t *ep)
{
    ngx_mc_rtmp_source_t  *src;

    src = ep->data;

    ep->stat->u.rtmp.queue = src->link ? 0 : -1;
}


void
ngx_mc_rtmp_source_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def,
    ngx_uint_t changed)
{
    /* the process that has the session looks whether it may stay */

    ep->def = def;
}
