
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_mux_state.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/pes.h>


static void ngx_mc_ts_mux_packet(ngx_mc_ts_mux_t *mx);


/* ISO/IEC 13818-1, 2.4.3.6 */

size_t
ngx_mc_ts_mux_pes_header(u_char *buf, ngx_uint_t id, size_t size, int64_t pts,
    int64_t dts)
{
    size_t  len;

    len = (pts == dts) ? PES_HEADER_SIZE_PTS : PES_HEADER_SIZE_PTSDTS;
    size += len - PES_HEADER_SIZE;

    pes_init(buf);
    pes_set_streamid(buf, id);
    pes_set_length(buf, size > 65535 ? 0 : size);
    pes_set_headerlength(buf, len - PES_HEADER_SIZE_NOPTS);
    pes_set_dataalignment(buf);
    pes_set_pts(buf, pts & (((uint64_t) 1 << 33) - 1));

    if (pts != dts) {
        pes_set_dts(buf, dts & (((uint64_t) 1 << 33) - 1));
    }

    return len;
}


void
ngx_mc_ts_mux_put(ngx_mc_ts_mux_t *mx, u_char *data, size_t len)
{
    size_t                n;
    ngx_mc_ts_mux_pes_t  *pes;

    pes = &mx->pes;

    while (len) {

        if (pes->room == 0) {
            ngx_mc_ts_mux_packet(mx);
        }

        n = ngx_min(len, pes->room);

        pes->p = ngx_cpymem(pes->p, data, n);
        pes->room -= n;
        pes->left -= n;

        data += n;
        len -= n;
    }
}


/* the next TS packet of the PES packet: ISO/IEC 13818-1, 2.4.3.2 */

static void
ngx_mc_ts_mux_packet(ngx_mc_ts_mux_t *mx)
{
    u_char                 *p;
    size_t                  af, room;
    int64_t                 t;
    ngx_uint_t              pcr;
    ngx_mc_ts_mux_pes_t    *pes;
    ngx_mc_ts_mux_entry_t  *entry;

    pes = &mx->pes;
    pcr = pes->pcr && pes->first;
    t = 0;

    if (mx->rate) {
        entry = ngx_mc_ts_mux_push(&pes->track->ring);

        entry->release = pes->release;
        entry->flags = pcr ? NGX_MC_TS_MUX_F_PCR : 0;

        p = entry->ts;

    } else {
        t = pes->start + pes->span * (int64_t) pes->k / (int64_t) pes->n;

        ngx_mc_ts_mux_fill(mx, t);

        if (mx->last_pcr == NGX_MC_TS_MUX_NEVER
            || t - mx->last_pcr >= NGX_MC_TS_MUX_PCR)
        {
            if (pes->pcr) {
                pcr = 1;

            } else {
                ngx_mc_ts_mux_pcr_only(mx, ngx_mc_ts_mux_slot(mx, t), t);
            }
        }

        p = ngx_mc_ts_mux_slot(mx, t);
    }

    pes->k++;

    ts_init(p);
    ts_set_pid(p, pes->track->pid);
    ts_set_payload(p);

    if (!mx->rate) {
        ts_set_cc(p, ++mx->cc[pes->track - mx->tracks]);
    }

    if (pes->first) {
        ts_set_unitstart(p);
    }

    af = pcr ? NGX_MC_TS_MUX_AF_PCR : (pes->first && pes->key) ? 2 : 0;
    room = NGX_MC_TS_SIZE - TS_HEADER_SIZE - af;

    if (pes->left < room) {
        af += room - pes->left;
        room = pes->left;
    }

    if (af) {
        ts_set_adaptation(p, af - 1);

        if (pes->first && pes->key) {
            tsaf_set_randomaccess(p);
        }

        if (pcr && !mx->rate) {
            ngx_mc_ts_mux_pcr(mx, p, t, pes->span / (int64_t) pes->n);
        }
    }

    pes->first = 0;
    pes->room = room;
    pes->p = p + NGX_MC_TS_SIZE - room;
}


void
ngx_mc_ts_mux_end(ngx_mc_ts_mux_t *mx)
{
    ngx_mc_ts_mux_pes_t  *pes;

    if (mx->rate) {
        return;
    }

    pes = &mx->pes;

    mx->cur = pes->start
              + pes->span * (int64_t) ngx_max(pes->k, pes->n)
                / (int64_t) pes->n;

    ngx_mc_ts_mux_cut(mx);
}


/* room for a TS packet that begins at "t" */

u_char *
ngx_mc_ts_mux_slot(ngx_mc_ts_mux_t *mx, int64_t t)
{
    ngx_mc_packet_t  *pkt;

    mx->sent = t;

    if (mx->npkts == 0 || mx->nts == NGX_MC_TS_DATAGRAM / NGX_MC_TS_SIZE) {

        if (mx->npkts == NGX_MC_TS_MUX_BATCH) {
            ngx_mc_ts_mux_flush(mx);
        }

        pkt = &mx->pkts[mx->npkts];

        ngx_memzero(pkt, sizeof(ngx_mc_packet_t));

        pkt->data = mx->out[mx->npkts++];
        pkt->origin = mx->origin;
        pkt->media = t;
        pkt->discontinuity = mx->jump;

        mx->jump = 0;
        mx->nts = 0;
    }

    pkt = &mx->pkts[mx->npkts - 1];
    pkt->len += NGX_MC_TS_SIZE;

    return pkt->data + mx->nts++ * NGX_MC_TS_SIZE;
}


/* the datagram is not filled any further */

void
ngx_mc_ts_mux_cut(ngx_mc_ts_mux_t *mx)
{
    mx->nts = NGX_MC_TS_DATAGRAM / NGX_MC_TS_SIZE;
}


/* what is complete leaves */

void
ngx_mc_ts_mux_flush(ngx_mc_ts_mux_t *mx)
{
    ngx_uint_t  n;

    n = mx->npkts;

    if (n && mx->nts != NGX_MC_TS_DATAGRAM / NGX_MC_TS_SIZE) {
        n--;
    }

    if (n == 0) {
        return;
    }

    mx->send(mx->data, mx->pkts, n);

    if (n == mx->npkts) {
        mx->npkts = 0;
        return;
    }

    mx->pkts[0] = mx->pkts[n];
    mx->pkts[0].data = mx->out[0];

    ngx_memcpy(mx->out[0], mx->out[n], mx->pkts[0].len);

    mx->npkts = 1;
}
