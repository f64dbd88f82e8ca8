
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_es.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/psi.h>


/* no packet is looked for there */
#define NGX_MC_TS_NO_PID       0xffff

/* how long metadata wait for a track that is silent */
#define NGX_MC_TS_META_WAIT    90000

/* PATs without the PMT of a programme until another one is tried */
#define NGX_MC_TS_PATIENCE     20


static ngx_uint_t ngx_mc_ts_demux_scrambled(ngx_mc_ts_demux_t *dm);
static void ngx_mc_ts_demux_packet(ngx_mc_ts_demux_t *dm, u_char *p);
static void ngx_mc_ts_demux_pcr(ngx_mc_ts_demux_t *dm, u_char *p);
static void ngx_mc_ts_demux_pat(void *data, u_char *section, size_t len);
static void ngx_mc_ts_demux_pmt(void *data, u_char *section, size_t len);
static void ngx_mc_ts_demux_program(ngx_mc_ts_demux_t *dm, ngx_uint_t i);
static void ngx_mc_ts_demux_next(ngx_mc_ts_demux_t *dm);
static void ngx_mc_ts_demux_select(ngx_mc_ts_demux_t *dm);
static ngx_uint_t ngx_mc_ts_demux_playable(ngx_mc_psi_stream_t *st);
static ngx_uint_t ngx_mc_ts_demux_sections(ngx_mc_psi_stream_t *st);
static void ngx_mc_ts_demux_track(ngx_mc_ts_demux_t *dm, ngx_uint_t i,
    ngx_mc_psi_stream_t *st);
static void ngx_mc_ts_demux_tell(ngx_mc_ts_demux_t *dm,
    ngx_mc_psi_pmt_t *pmt);
static void ngx_mc_ts_demux_meta(ngx_mc_ts_demux_t *dm,
    ngx_mc_frame_t *frame);


static ngx_str_t  ngx_mc_ts_encoder = ngx_string("ngx_mc_module");


ngx_mc_ts_demux_t *
ngx_mc_ts_demux_create(ngx_mc_ts_select_t *select,
    ngx_mc_ts_demux_handlers_t *handlers, void *data, ngx_log_t *log)
{
    ngx_mc_ts_demux_t  *dm;

    dm = ngx_calloc(sizeof(ngx_mc_ts_demux_t), log);

    if (dm == NULL) {
        return NULL;
    }

    dm->select = *select;
    dm->handlers = *handlers;
    dm->data = data;
    dm->log = log;

    dm->es[NGX_MC_TS_VIDEO].track = &dm->tracks[NGX_MC_TS_VIDEO];
    dm->es[NGX_MC_TS_AUDIO].track = &dm->tracks[NGX_MC_TS_AUDIO];

    ngx_mc_ts_demux_reset(dm);

    dm->es[NGX_MC_TS_VIDEO].mark = 0;
    dm->es[NGX_MC_TS_AUDIO].mark = 0;

    return dm;
}


void
ngx_mc_ts_demux_free(ngx_mc_ts_demux_t *dm)
{
    ngx_uint_t  i;

    ngx_mc_ts_video_reset(dm);
    ngx_mc_ts_audio_reset(dm);

    for (i = 0; i < 2; i++) {
        if (dm->es[i].buf) {
            ngx_free(dm->es[i].buf);
        }
    }

    ngx_free(dm);
}


void
ngx_mc_ts_demux_reset(ngx_mc_ts_demux_t *dm)
{
    ngx_uint_t       i;
    ngx_mc_ts_es_t  *es;

    for (i = 0; i < 2; i++) {
        es = &dm->es[i];

        ngx_mc_ts_es_reset(dm, es);

        es->track->pid = 0;
        ngx_memzero(&es->track->info, sizeof(ngx_mc_track_info_t));

        es->line = -1;
        es->mark = 1;
        es->jump = 0;
    }

    ngx_mc_psi_reset(&dm->pat_psi);
    ngx_mc_psi_reset(&dm->pmt_psi);

    dm->pat.complete = 0;
    dm->pat.nprograms = 0;
    dm->new_pat.complete = 0;
    dm->pmt.nstreams = 0;
    dm->pmt.program = 0;
    dm->pmt_pid = NGX_MC_TS_NO_PID;
    dm->pcr_pid = NGX_MC_TS_NO_PID;
    dm->pcr_known = 0;
    dm->pcr_jump = 0;
    dm->found = 0;
    dm->mapped = 0;
    dm->barren = 0;
    dm->frames = 0;
    dm->begun = 0;
    dm->meta = 0;
    dm->meta_len = 0;

    ngx_memzero(dm->programs, sizeof(dm->programs));
}


void
ngx_mc_ts_demux(ngx_mc_ts_demux_t *dm, u_char *ts, size_t len, int64_t origin)
{
    u_char  *last;

    dm->origin = origin;
    last = ts + len;

    for ( /* void */ ; last - ts >= NGX_MC_TS_SIZE; ts += NGX_MC_TS_SIZE) {

        /* what transport_error_indicator marks is missing, that shows in
           the next continuity_counter */

        if (!ts_validate(ts) || ts_get_transporterror(ts)) {
            continue;
        }

        ngx_mc_ts_demux_packet(dm, ts);
    }
}


void
ngx_mc_ts_demux_flush(ngx_mc_ts_demux_t *dm)
{
    if (dm->tracks[NGX_MC_TS_VIDEO].pid) {
        ngx_mc_ts_video_flush(dm);
    }
}


ngx_mc_ts_demux_track_t *
ngx_mc_ts_demux_tracks(ngx_mc_ts_demux_t *dm)
{
    return dm->tracks;
}


uint64_t
ngx_mc_ts_demux_damaged(ngx_mc_ts_demux_t *dm)
{
    return dm->damaged;
}


const char *
ngx_mc_ts_demux_problem(ngx_mc_ts_demux_t *dm)
{
    if (dm->frames) {
        return ngx_mc_ts_demux_scrambled(dm) ? "scrambled" : NULL;
    }

    if (!dm->pat.complete) {
        return "no PAT";
    }

    if (!dm->found) {

        if (dm->select.program < 0) {
            return "no programme in the PAT";
        }

        ngx_sprintf((u_char *) dm->problem, "no programme %i%Z",
                    dm->select.program);

        return dm->problem;
    }

    if (dm->barren) {

        if (dm->select.video >= 0 || dm->select.audio >= 0
            || dm->select.language[0])
        {
            return "no such video or audio in it that is H.264, HEVC, AAC"
                   " or MP3";
        }

        return "no H.264, HEVC, AAC or MP3 in it";
    }

    if (!dm->mapped) {
        ngx_sprintf((u_char *) dm->problem, "no PMT of programme %ui%Z",
                    (ngx_uint_t) dm->pat.programs[dm->program].number);

        return dm->problem;
    }

    if (ngx_mc_ts_demux_scrambled(dm)) {
        return "scrambled";
    }

    if (dm->tracks[NGX_MC_TS_VIDEO].bytes == 0
        && dm->tracks[NGX_MC_TS_AUDIO].bytes == 0)
    {
        return "no packets of video and audio";
    }

    return "no frame that can be decoded yet";
}


/* all of it that is ours */

static ngx_uint_t
ngx_mc_ts_demux_scrambled(ngx_mc_ts_demux_t *dm)
{
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < 2; i++) {

        if (dm->es[i].scrambled) {
            n++;

        } else if (dm->tracks[i].bytes) {
            return 0;
        }
    }

    return n != 0;
}


static void
ngx_mc_ts_demux_packet(ngx_mc_ts_demux_t *dm, u_char *p)
{
    ngx_uint_t  pid;

    pid = ts_get_pid(p);

    if (pid == dm->pcr_pid) {
        ngx_mc_ts_demux_pcr(dm, p);
    }

    /* a PID of 0 is no track's */

    if (pid == PAT_PID) {

        if (ts_get_scrambling(p) == 0) {
            ngx_mc_psi_packet(&dm->pat_psi, p, ngx_mc_ts_demux_pat, dm);
        }

    } else if (pid == dm->tracks[NGX_MC_TS_VIDEO].pid) {
        ngx_mc_ts_es_packet(dm, &dm->es[NGX_MC_TS_VIDEO], p);

    } else if (pid == dm->tracks[NGX_MC_TS_AUDIO].pid) {
        ngx_mc_ts_es_packet(dm, &dm->es[NGX_MC_TS_AUDIO], p);

    } else if (pid == dm->pmt_pid) {

        if (ts_get_scrambling(p) == 0) {
            ngx_mc_psi_packet(&dm->pmt_psi, p, ngx_mc_ts_demux_pmt, dm);
        }
    }

    if (dm->select_again) {
        dm->select_again = 0;
        ngx_mc_ts_demux_select(dm);
    }
}


static void
ngx_mc_ts_demux_pcr(ngx_mc_ts_demux_t *dm, u_char *p)
{
    int64_t  pcr, delta;

    if (!ts_has_adaptation(p) || ts_get_adaptation(p) == 0) {
        return;
    }

    if (tsaf_has_discontinuity(p)) {

        /* the next PCR is of the new time base: 2.4.3.5 */

        dm->pcr_jump = 1;
    }

    if (ts_get_adaptation(p) < NGX_MC_TS_AF_PCR || !tsaf_has_pcr(p)) {
        return;
    }

    pcr = tsaf_get_pcr(p);

    if (dm->pcr_jump && dm->pcr_known) {
        delta = ngx_mc_ts_diff(pcr, dm->pcr);

        if (delta < 0 || delta > NGX_MC_TS_JUMP_TOLD) {
            dm->es[NGX_MC_TS_VIDEO].jump = 1;
            dm->es[NGX_MC_TS_AUDIO].jump = 1;
        }
    }

    dm->pcr = pcr;
    dm->pcr_known = 1;
    dm->pcr_jump = 0;
}


static void
ngx_mc_ts_demux_pat(void *data, u_char *section, size_t len)
{
    ngx_mc_ts_demux_t *dm = data;

    uint16_t     number, pid;
    ngx_uint_t   i;

    if (ngx_mc_psi_pat(&dm->new_pat, section, len) != NGX_OK) {
        return;
    }

    if (dm->pat.complete
        && dm->pat.nprograms == dm->new_pat.nprograms
        && ngx_memcmp(dm->pat.programs, dm->new_pat.programs,
                      dm->pat.nprograms * sizeof(ngx_mc_psi_program_t))
           == 0)
    {
        if (dm->found && !dm->mapped && dm->select.program < 0
            && ++dm->waited >= NGX_MC_TS_PATIENCE)
        {
            ngx_mc_ts_demux_next(dm);
        }

        return;
    }

    number = 0;
    pid = 0;

    if (dm->found) {
        number = dm->pat.programs[dm->program].number;
        pid = dm->pat.programs[dm->program].pid;
    }

    dm->pat = dm->new_pat;
    ngx_memzero(dm->programs, sizeof(dm->programs));

    if (dm->select.program >= 0) {
        number = dm->select.program;
    }

    for (i = 0; i < dm->pat.nprograms; i++) {
        if (number && dm->pat.programs[i].number == number) {
            break;
        }
    }

    if (i < dm->pat.nprograms) {

        if (dm->found && dm->pat.programs[i].pid == pid
            && (dm->mapped || dm->select.program >= 0))
        {
            /* it stays */

            dm->program = i;
            return;
        }

    } else if (dm->select.program < 0 && dm->pat.nprograms) {
        i = 0;

    } else {
        dm->found = 0;
        dm->mapped = 0;
        dm->pmt_pid = NGX_MC_TS_NO_PID;
        dm->pcr_pid = NGX_MC_TS_NO_PID;
        dm->pmt.nstreams = 0;
        dm->frames = 0;

        ngx_mc_ts_demux_track(dm, NGX_MC_TS_VIDEO, NULL);
        ngx_mc_ts_demux_track(dm, NGX_MC_TS_AUDIO, NULL);

        return;
    }

    ngx_mc_ts_demux_program(dm, i);
}


static void
ngx_mc_ts_demux_program(ngx_mc_ts_demux_t *dm, ngx_uint_t i)
{
    dm->program = i;
    dm->found = 1;
    dm->mapped = 0;
    dm->waited = 0;
    dm->pmt_pid = dm->pat.programs[i].pid;

    ngx_mc_psi_reset(&dm->pmt_psi);
}


static void
ngx_mc_ts_demux_next(ngx_mc_ts_demux_t *dm)
{
    ngx_mc_ts_demux_program(dm, (dm->program + 1) % dm->pat.nprograms);
}


static void
ngx_mc_ts_demux_pmt(void *data, u_char *section, size_t len)
{
    ngx_mc_ts_demux_t *dm = data;

    u_char      *crc;
    uint8_t      unplayable[NGX_MC_PSI_STREAMS];
    uint16_t     program;
    ngx_uint_t   i, n;

    crc = section + len - PSI_CRC_SIZE;

    if (dm->mapped && ngx_memcmp(crc, dm->pmt_crc, PSI_CRC_SIZE) == 0) {
        return;
    }

    if (ngx_mc_psi_pmt(&dm->new_pmt, section, len) != NGX_OK) {
        return;
    }

    program = dm->pat.programs[dm->program].number;

    if (dm->new_pmt.program != program) {

        /* several programmes share a PID */

        return;
    }

    ngx_mc_ts_demux_tell(dm, &dm->new_pmt);

    /* the PID of null packets: there is no PCR, 2.4.4.9 */

    if (dm->pcr_pid != dm->new_pmt.pcr_pid) {
        dm->pcr_pid = (dm->new_pmt.pcr_pid == 0x1fff)
                      ? NGX_MC_TS_NO_PID : dm->new_pmt.pcr_pid;
        dm->pcr_known = 0;
        dm->pcr_jump = 0;
    }

    if (dm->pmt.program != program) {

        /* another stream, with another clock */

        ngx_mc_ts_demux_track(dm, NGX_MC_TS_VIDEO, NULL);
        ngx_mc_ts_demux_track(dm, NGX_MC_TS_AUDIO, NULL);

        for (i = 0; i < 2; i++) {
            dm->es[i].line = -1;

            if (dm->es[NGX_MC_TS_VIDEO].any || dm->es[NGX_MC_TS_AUDIO].any) {
                dm->es[i].mark = 1;
            }
        }

        dm->pmt.nstreams = 0;
    }

    /* what was found out about a stream holds while it stays */

    ngx_memzero(unplayable, sizeof(unplayable));

    for (i = 0; i < dm->new_pmt.nstreams; i++) {
        for (n = 0; n < dm->pmt.nstreams; n++) {

            if (dm->unplayable[n]
                && dm->pmt.streams[n].pid == dm->new_pmt.streams[i].pid
                && dm->pmt.streams[n].stream_type
                   == dm->new_pmt.streams[i].stream_type)
            {
                unplayable[i] = 1;
            }
        }
    }

    ngx_memcpy(dm->unplayable, unplayable, sizeof(unplayable));
    ngx_memcpy(dm->pmt_crc, crc, PSI_CRC_SIZE);

    dm->pmt = dm->new_pmt;
    dm->mapped = 1;

    ngx_mc_ts_demux_select(dm);
}


/* what cannot be carried, unless that was told of the version before */

static void
ngx_mc_ts_demux_tell(ngx_mc_ts_demux_t *dm, ngx_mc_psi_pmt_t *pmt)
{
    uint32_t              crc;
    ngx_uint_t            i, n;
    ngx_mc_psi_stream_t  *st, *old;
    ngx_mc_ts_program_t  *program;

    program = &dm->programs[dm->program];
    crc = 2166136261u;

    for (i = 0; i < pmt->nstreams; i++) {
        st = &pmt->streams[i];
        crc = (crc ^ (st->pid | st->codec << 16)) * 16777619u;
    }

    if (program->told && program->crc == crc) {
        return;
    }

    for (i = 0; i < pmt->nstreams; i++) {
        st = &pmt->streams[i];

        if (ngx_mc_ts_demux_playable(st) || ngx_mc_ts_demux_sections(st)) {
            continue;
        }

        if (dm->mapped && dm->pmt.program == pmt->program) {

            for (n = 0; n < dm->pmt.nstreams; n++) {
                old = &dm->pmt.streams[n];

                if (old->pid == st->pid && old->codec == st->codec
                    && old->stream_type == st->stream_type)
                {
                    break;
                }
            }

            if (n < dm->pmt.nstreams) {
                continue;
            }
        }

        if (dm->handlers.unsupported) {
            dm->handlers.unsupported(dm->data, st->pid, st->stream_type,
                                     st->codec);
        }
    }

    program->told = 1;
    program->crc = crc;
}


static ngx_uint_t
ngx_mc_ts_demux_playable(ngx_mc_psi_stream_t *st)
{
    switch (st->codec) {

    case NGX_MC_CODEC_H264:
    case NGX_MC_CODEC_HEVC:
        return st->type == NGX_MC_TRACK_VIDEO;

    case NGX_MC_CODEC_AAC:
    case NGX_MC_CODEC_MP3:
        return st->type == NGX_MC_TRACK_AUDIO;

    default:
        return 0;
    }
}


/* sections of private data and of DSM-CC are no track: Table 2-34 */

static ngx_uint_t
ngx_mc_ts_demux_sections(ngx_mc_psi_stream_t *st)
{
    if (st->codec != NGX_MC_CODEC_NONE) {
        return 0;
    }

    return st->stream_type == 0x05 || st->stream_type == 0x14
           || (st->stream_type >= 0x0a && st->stream_type <= 0x0e)
           || (st->stream_type >= 0x16 && st->stream_type <= 0x19);
}


static void
ngx_mc_ts_demux_select(ngx_mc_ts_demux_t *dm)
{
    ngx_uint_t            i;
    ngx_mc_psi_stream_t  *st, *video, *audio;

    video = NULL;
    audio = NULL;

    for (i = 0; i < dm->pmt.nstreams; i++) {
        st = &dm->pmt.streams[i];

        if (dm->unplayable[i] || !ngx_mc_ts_demux_playable(st)
            || st->pid == 0)
        {
            continue;
        }

        if (st->type == NGX_MC_TRACK_VIDEO) {

            if (video == NULL
                && (dm->select.video < 0 || dm->select.video == st->pid))
            {
                video = st;
            }

            continue;
        }

        if (audio) {
            continue;
        }

        if (dm->select.audio >= 0) {

            if (dm->select.audio == st->pid) {
                audio = st;
            }

        } else if (dm->select.language[0] == '\0'
                   || ngx_memcmp(dm->select.language, st->language, 4) == 0)
        {
            audio = st;
        }
    }

    ngx_mc_ts_demux_track(dm, NGX_MC_TS_VIDEO, video);
    ngx_mc_ts_demux_track(dm, NGX_MC_TS_AUDIO, audio);

    dm->barren = (video == NULL && audio == NULL);

    if (dm->barren) {
        dm->frames = 0;
    }

    if (dm->barren && dm->select.program < 0 && dm->pat.nprograms > 1) {
        ngx_mc_ts_demux_next(dm);
    }
}


static void
ngx_mc_ts_demux_track(ngx_mc_ts_demux_t *dm, ngx_uint_t i,
    ngx_mc_psi_stream_t *st)
{
    ngx_mc_ts_es_t           *es;
    ngx_mc_ts_demux_track_t  *track;

    es = &dm->es[i];
    track = es->track;

    if (st == NULL) {

        if (track->pid) {
            track->pid = 0;
            ngx_mc_ts_es_reset(dm, es);
            ngx_memzero(&track->info, sizeof(ngx_mc_track_info_t));
            dm->meta = 1;
        }

        return;
    }

    if (track->pid != st->pid || es->stream_type != st->stream_type
        || track->info.codec != st->codec)
    {
        if (track->pid && i == NGX_MC_TS_VIDEO) {
            ngx_mc_ts_video_flush(dm);
        }

        ngx_mc_ts_es_reset(dm, es);
        ngx_memzero(&track->info, sizeof(ngx_mc_track_info_t));

        track->pid = st->pid;
        track->info.type = st->type;
        track->info.codec = st->codec;
        es->stream_type = st->stream_type;

        dm->meta = 1;
    }

    ngx_memcpy(track->info.language, st->language, 4);
}


void
ngx_mc_ts_demux_unplayable(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    ngx_uint_t codec)
{
    ngx_uint_t            i;
    ngx_mc_psi_stream_t  *st;

    for (i = 0; i < dm->pmt.nstreams; i++) {
        st = &dm->pmt.streams[i];

        if (st->pid != es->track->pid || dm->unplayable[i]) {
            continue;
        }

        dm->unplayable[i] = 1;

        if (dm->handlers.unsupported) {
            dm->handlers.unsupported(dm->data, st->pid, st->stream_type,
                                     codec);
        }
    }

    /* not now: it is the track's own handler that found it */

    dm->select_again = 1;
}


void
ngx_mc_ts_demux_frame(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    ngx_mc_frame_t *frame, u_char *payload, size_t len)
{
    if (!dm->begun) {
        dm->begun = 1;
        dm->begin = frame->dts;
    }

    if (frame->config) {
        dm->meta = 1;
    }

    if (dm->meta) {
        ngx_mc_ts_demux_meta(dm, frame);
    }

    ngx_mc_flv_write(frame, payload, len, &es->track->info);

    if (es->mark) {
        es->mark = 0;
        frame->discontinuity = 1;
    }

    if (!frame->config) {
        es->track->frames++;
        dm->frames = 1;
    }

    dm->handlers.frame(dm->data, frame);
}


static void
ngx_mc_ts_demux_meta(ngx_mc_ts_demux_t *dm, ngx_mc_frame_t *frame)
{
    size_t                    len;
    u_char                    buf[sizeof(dm->meta_buf)];
    ngx_mc_frame_t            meta;
    ngx_mc_track_info_t      *video, *audio;
    ngx_mc_ts_demux_track_t  *tracks;

    tracks = dm->tracks;

    video = tracks[NGX_MC_TS_VIDEO].info.width
            ? &tracks[NGX_MC_TS_VIDEO].info : NULL;
    audio = tracks[NGX_MC_TS_AUDIO].info.sample_rate
            ? &tracks[NGX_MC_TS_AUDIO].info : NULL;

    if ((tracks[NGX_MC_TS_VIDEO].pid && video == NULL)
        || (tracks[NGX_MC_TS_AUDIO].pid && audio == NULL))
    {
        if (frame->dts - dm->begin < NGX_MC_TS_META_WAIT) {
            return;
        }

    } else {
        dm->meta = 0;
    }

    len = ngx_mc_flv_metadata(buf, sizeof(buf), video, audio,
                              &ngx_mc_ts_encoder);

    if (len == 0 || (len == dm->meta_len
                     && ngx_memcmp(buf, dm->meta_buf, len) == 0))
    {
        return;
    }

    ngx_memcpy(dm->meta_buf, buf, len);
    dm->meta_len = len;

    ngx_memzero(&meta, sizeof(ngx_mc_frame_t));

    meta.tag = dm->meta_buf;
    meta.len = len;
    meta.type = NGX_MC_FRAME_META;
    meta.dts = frame->dts;
    meta.pts = frame->dts;
    meta.origin = frame->origin;

    dm->handlers.frame(dm->data, &meta);
}
