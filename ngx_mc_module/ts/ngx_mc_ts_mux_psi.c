
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_mux_state.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/psi/psi.h>
#include <bitstream/mpeg/psi/pat.h>
#include <bitstream/mpeg/psi/pmt.h>
#include <bitstream/mpeg/psi/desc_05.h>


/* PAT and PMT, ISO/IEC 13818-1, 2.4.4.3 and 2.4.4.8 */

void
ngx_mc_ts_mux_tables(ngx_mc_ts_mux_t *mx)
{
    u_char                 *p, *es, *desc, ts[NGX_MC_TS_SIZE];
    ngx_uint_t              i, len, type;
    ngx_mc_ts_mux_track_t  *track;

    if (mx->pat[0] == 0) {
        p = mx->pat;

        ngx_memset(p, 0xff, NGX_MC_TS_SIZE);
        ts_init(p);
        ts_set_pid(p, PAT_PID);
        ts_set_unitstart(p);
        ts_set_payload(p);

        p[4] = 0;
        p += 5;

        pat_init(p);
        pat_set_length(p, PAT_PROGRAM_SIZE);
        pat_set_tsid(p, 1);
        psi_set_version(p, 0);
        psi_set_current(p);
        psi_set_section(p, 0);
        psi_set_lastsection(p, 0);

        patn_init(p + PAT_HEADER_SIZE);
        patn_set_program(p + PAT_HEADER_SIZE, NGX_MC_TS_MUX_PROGRAM);
        patn_set_pid(p + PAT_HEADER_SIZE, NGX_MC_TS_MUX_PMT);

        psi_set_crc(p);
    }

    ngx_memset(ts, 0xff, NGX_MC_TS_SIZE);
    ts_init(ts);
    ts_set_pid(ts, NGX_MC_TS_MUX_PMT);
    ts_set_unitstart(ts);
    ts_set_payload(ts);

    ts[4] = 0;
    p = ts + 5;

    pmt_init(p);
    pmt_set_program(p, NGX_MC_TS_MUX_PROGRAM);
    psi_set_version(p, mx->version);
    psi_set_current(p);
    pmt_set_pcrpid(p, mx->tracks[NGX_MC_TS_MUX_V].known
                      ? NGX_MC_TS_MUX_VIDEO : NGX_MC_TS_MUX_AUDIO);
    pmt_set_desclength(p, 0);

    es = p + PMT_HEADER_SIZE;

    for (i = 0; i < 2; i++) {
        track = &mx->tracks[i];

        if (!track->known) {
            continue;
        }

        switch (track->codec) {

        case NGX_MC_CODEC_H264:
            type = PMT_STREAMTYPE_VIDEO_AVC;
            break;

        case NGX_MC_CODEC_HEVC:
            type = PMT_STREAMTYPE_VIDEO_HEVC;
            break;

        case NGX_MC_CODEC_AAC:
            type = PMT_STREAMTYPE_AUDIO_ADTS;
            break;

        default: /* NGX_MC_CODEC_MP3 */

            /* the lower sampling rates are of ISO/IEC 13818-3 */

            type = (track->info.sample_rate >= 32000)
                   ? PMT_STREAMTYPE_AUDIO_MPEG1 : PMT_STREAMTYPE_AUDIO_MPEG2;
        }

        pmtn_init(es);
        pmtn_set_streamtype(es, type);
        pmtn_set_pid(es, track->pid);

        len = 0;

        if (track->codec == NGX_MC_CODEC_HEVC) {
            desc = es + PMT_ES_SIZE;
            desc05_init(desc);
            desc05_set_identifier(desc, (const uint8_t *) "HEVC");
            len = DESC05_HEADER_SIZE;
        }

        pmtn_set_desclength(es, len);
        es += PMT_ES_SIZE + len;
    }

    pmt_set_length(p, es - p - PMT_HEADER_SIZE);
    psi_set_crc(p);

    if (ngx_memcmp(ts, mx->pmt, NGX_MC_TS_SIZE) == 0) {
        return;
    }

    if (mx->pmt[0]) {
        mx->version = (mx->version + 1) & 0x1f;
        psi_set_version(p, mx->version);
        psi_set_current(p);
        psi_set_crc(p);
    }

    ngx_memcpy(mx->pmt, ts, NGX_MC_TS_SIZE);

    mx->psi = 1;
}


void
ngx_mc_ts_mux_psi(ngx_mc_ts_mux_t *mx, int64_t t)
{
    u_char                 *p;
    ngx_uint_t              i;
    ngx_mc_ts_mux_ring_t   *ring;
    ngx_mc_ts_mux_entry_t  *entry;

    mx->psi = 0;

    if (mx->rate) {
        ring = &mx->pes.track->ring;

        for (i = 0; i < 2; i++) {
            entry = ngx_mc_ts_mux_push(ring);

            entry->release = mx->pes.release;
            entry->flags = i ? NGX_MC_TS_MUX_F_PMT : NGX_MC_TS_MUX_F_PAT;

            ngx_memcpy(entry->ts, i ? mx->pmt : mx->pat, NGX_MC_TS_SIZE);
        }

        return;
    }

    for (i = 0; i < 2; i++) {
        p = ngx_mc_ts_mux_slot(mx, t);

        ngx_memcpy(p, i ? mx->pmt : mx->pat, NGX_MC_TS_SIZE);
        ts_set_cc(p, ++mx->cc[i ? NGX_MC_TS_MUX_CC_PMT
                                : NGX_MC_TS_MUX_CC_PAT]);
    }

    mx->last_psi = t;
}
