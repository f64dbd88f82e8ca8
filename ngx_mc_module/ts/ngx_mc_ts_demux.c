
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_es.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/pes.h>
#include <bitstream/mpeg/psi.h>


/* no packet is looked for there */
#define NGX_MC_TS_NO_PID       0xffff

/* room for what is assembled, at first */
#define NGX_MC_TS_BUFFER       (64 * 1024)

/* 90 kHz: what a DTS is off at most; and if the PCR told of a new time base,
   or the DTS went back */
#define NGX_MC_TS_JUMP         (10 * 90000)
#define NGX_MC_TS_JUMP_TOLD    (90000 / 2)

/* a PTS is that much from its DTS at most */
#define NGX_MC_TS_REORDER      (10 * 90000)

/* how long metadata wait for a track that is silent */
#define NGX_MC_TS_META_WAIT    90000

/* PATs without the PMT of a programme until another one is tried */
#define NGX_MC_TS_PATIENCE     20

#define NGX_MC_TS_AF_PCR       7

/* adaptation_field: OPCR_flag and those after it, rare */
#define NGX_MC_TS_AF_MORE      0x0f

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

static void ngx_mc_ts_es_reset(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_drop(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_packet(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    u_char *p);
static ngx_uint_t ngx_mc_ts_demux_stuffed(u_char *p);
static void ngx_mc_ts_es_begin(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_feed(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    u_char *p, size_t len);
static ngx_int_t ngx_mc_ts_es_header(ngx_mc_ts_demux_t *dm,
    ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_data(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_time(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    uint64_t dts, uint64_t pts);
static ngx_uint_t ngx_mc_ts_es_near(ngx_mc_ts_demux_t *dm,
    ngx_mc_ts_es_t *es, int64_t delta, int64_t limit);

static void ngx_mc_ts_demux_meta(ngx_mc_ts_demux_t *dm,
    ngx_mc_frame_t *frame);


static ngx_str_t  ngx_mc_ts_encoder = ngx_string("ngx_mc_module");


/* the difference of two timestamps of 33 bits */

static ngx_inline int64_t
ngx_mc_ts_diff(uint64_t a, uint64_t b)
{
    return (int64_t) ((a - b) << 31) >> 31;
}


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


static void
ngx_mc_ts_es_reset(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    es->known = 0;
    es->repeated = 0;
    es->free = 0;
    es->scrambled = 0;

    ngx_mc_ts_es_drop(dm, es);

    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_reset(dm);

    } else {
        ngx_mc_ts_audio_reset(dm);
    }
}


static void
ngx_mc_ts_es_drop(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    ngx_uint_t  i;

    es->state = NGX_MC_TS_PES_NONE;
    es->start = NGX_MC_TS_ROOM;
    es->end = NGX_MC_TS_ROOM;
    es->appended = NGX_MC_TS_ROOM;

    for (i = 0; i < NGX_MC_TS_STAMPS; i++) {

        /* a jump is not forgotten */

        if (es->stamps[i].fresh && es->stamps[i].mark) {
            es->mark = 1;
        }

        es->stamps[i].fresh = 0;
        es->stamps[i].pos = 0;
    }

    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_drop(dm);

    } else {
        ngx_mc_ts_audio_drop(dm);
    }
}


void
ngx_mc_ts_es_give_up(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    if (es->state == NGX_MC_TS_PES_HEADER || es->state == NGX_MC_TS_PES_DATA
        || es->end != es->start)
    {
        dm->damaged++;
    }

    ngx_mc_ts_es_drop(dm, es);
}


static void
ngx_mc_ts_es_packet(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, u_char *p)
{
    u_char      *data;
    uint64_t     tail;
    ngx_uint_t   cc, unit, gap;

    if (ts_has_adaptation(p) && ts_get_adaptation(p) != 0
        && ts_get_adaptation(p) < TS_SIZE - TS_HEADER_SIZE
        && tsaf_has_discontinuity(p))
    {
        es->free = 1;
    }

    data = ngx_mc_psi_payload(p);

    if (data == NULL) {
        return;
    }

    cc = ts_get_cc(p);
    unit = ts_get_unitstart(p);
    ngx_memcpy(&tail, p + TS_SIZE - sizeof(uint64_t), sizeof(uint64_t));

    if (es->known && ts_check_discontinuity(cc, es->cc)) {

        /* 2.4.3.3: a duplicate is the same but for its PCR */

        if (cc == es->cc && !es->repeated && !es->free && tail == es->tail) {
            es->repeated = 1;
            return;
        }

        /* at a splice the packet before is complete: 2.4.3.5 */

        gap = !es->free || !unit;

    } else {
        gap = 0;
    }

    es->known = 1;
    es->repeated = 0;
    es->free = 0;
    es->cc = cc;
    es->tail = tail;

    if (gap) {
        ngx_mc_ts_es_give_up(dm, es);
    }

    if (ts_get_scrambling(p)) {
        es->scrambled = 1;
        ngx_mc_ts_es_give_up(dm, es);
        return;
    }

    if (unit) {
        ngx_mc_ts_es_begin(dm, es);

        es->random = ts_has_adaptation(p) && ts_get_adaptation(p) != 0
                     && tsaf_has_randomaccess(p);
    }

    if (es->state == NGX_MC_TS_PES_HEADER || es->state == NGX_MC_TS_PES_DATA)
    {
        es->stuffed = ngx_mc_ts_demux_stuffed(p);
        ngx_mc_ts_es_feed(dm, es, data, p + TS_SIZE - data);
    }
}


/* stuffing_byte, or adaptation_field_length 0 which is one: 2.4.3.5 */

static ngx_uint_t
ngx_mc_ts_demux_stuffed(u_char *p)
{
    ngx_uint_t  len;

    if (!ts_has_adaptation(p)) {
        return 0;
    }

    len = ts_get_adaptation(p);

    if (len == 0) {
        return 1;
    }

    return (p[5] & NGX_MC_TS_AF_MORE) == 0
           && len > (tsaf_has_pcr(p) ? NGX_MC_TS_AF_PCR : 1u);
}


static void
ngx_mc_ts_es_begin(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    if (es->state == NGX_MC_TS_PES_HEADER
        || (es->state == NGX_MC_TS_PES_DATA && es->bounded))
    {
        /* it is shorter than it says */

        ngx_mc_ts_es_give_up(dm, es);
    }

    es->state = NGX_MC_TS_PES_HEADER;
    es->head_len = 0;
}


static void
ngx_mc_ts_es_feed(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, u_char *p,
    size_t len)
{
    size_t     n, need;
    ngx_int_t  rc;

    while (es->state == NGX_MC_TS_PES_HEADER) {

        need = PES_HEADER_SIZE_NOPTS;

        if (es->head_len >= PES_HEADER_SIZE_NOPTS) {
            need += pes_get_headerlength(es->head);
        }

        n = ngx_min(need - es->head_len, len);

        ngx_memcpy(es->head + es->head_len, p, n);
        es->head_len += n;
        p += n;
        len -= n;

        if (es->head_len < need) {
            return;
        }

        if (need > PES_HEADER_SIZE_NOPTS
            || pes_get_headerlength(es->head) == 0)
        {
            rc = ngx_mc_ts_es_header(dm, es);

            if (rc == NGX_ERROR) {
                ngx_mc_ts_es_give_up(dm, es);
                return;
            }

            if (rc == NGX_DECLINED) {
                es->state = NGX_MC_TS_PES_NONE;
                return;
            }

            es->state = NGX_MC_TS_PES_DATA;

        } else if (!pes_validate(es->head)) {
            ngx_mc_ts_es_give_up(dm, es);
            return;
        }
    }

    if (es->bounded) {
        len = ngx_min(len, es->left);
        es->left -= len;
    }

    if (len && ngx_mc_ts_es_append(dm, es, p, len) != NGX_OK) {
        return;
    }

    if (es->bounded && es->left == 0) {
        es->state = NGX_MC_TS_PES_FULL;
    }

    if (len) {
        ngx_mc_ts_es_data(dm, es);
    }

    if (es->state == NGX_MC_TS_PES_FULL
        && es == &dm->es[NGX_MC_TS_VIDEO])
    {
        ngx_mc_ts_video_end(dm);
    }
}


static void
ngx_mc_ts_es_data(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_data(dm);

    } else {
        ngx_mc_ts_audio_data(dm);
    }
}


/* 2.4.3.6; NGX_DECLINED: it carries something else */

static ngx_int_t
ngx_mc_ts_es_header(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    u_char      *head;
    uint64_t     pts, dts;
    ngx_uint_t   length, header;

    head = es->head;

    if (!pes_validate(head)) {
        return NGX_ERROR;
    }

    switch (pes_get_streamid(head)) {

    case PES_STREAM_ID_PSM:
    case PES_STREAM_ID_PADDING:
    case PES_STREAM_ID_PRIVATE_2:
    case PES_STREAM_ID_ECM:
    case PES_STREAM_ID_EMM:
    case PES_STREAM_ID_DSMCC:
    case PES_STREAM_ID_H222_1_E:
    case PES_STREAM_ID_PSD:

        /* these have no such header */

        return NGX_DECLINED;
    }

    if (!pes_validate_header(head)) {
        return NGX_ERROR;
    }

    /* PES_scrambling_control */

    if (head[6] & 0x30) {
        es->scrambled = 1;
        return NGX_ERROR;
    }

    es->scrambled = 0;

    header = pes_get_headerlength(head);
    length = pes_get_length(head);

    es->bounded = (length != 0);

    if (length) {

        if (length < PES_HEADER_OPTIONAL_SIZE + header) {
            return NGX_ERROR;
        }

        es->length = length - PES_HEADER_OPTIONAL_SIZE - header;
        es->left = es->length;
    }

    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_pes(dm);
    }

    if (!pes_has_pts(head) || header < PES_HEADER_TS_SIZE
        || !pes_validate_pts(head))
    {
        return NGX_OK;
    }

    pts = pes_get_pts(head);
    dts = pts;

    if (pes_has_dts(head) && header >= 2 * PES_HEADER_TS_SIZE
        && pes_validate_dts(head))
    {
        dts = pes_get_dts(head);
    }

    ngx_mc_ts_es_time(dm, es, dts, pts);

    return NGX_OK;
}


ngx_int_t
ngx_mc_ts_es_append(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, u_char *p,
    size_t len)
{
    size_t   size;
    u_char  *buf;

    if (es->end - es->start + len > NGX_MC_FRAME_MAX) {
        ngx_mc_ts_es_give_up(dm, es);
        return NGX_ERROR;
    }

    if (es->end + len > es->size) {

        size = es->size ? es->size : NGX_MC_TS_BUFFER;

        while (size < es->end + len) {
            size *= 2;
        }

        buf = ngx_alloc(size, dm->log);
        if (buf == NULL) {
            ngx_mc_ts_es_give_up(dm, es);
            return NGX_ERROR;
        }

        if (es->buf) {
            ngx_memcpy(buf, es->buf, es->end);
            ngx_free(es->buf);
        }

        es->buf = buf;
        es->size = size;
    }

    es->appended = es->end;
    es->before = es->origin;
    es->origin = dm->origin;

    ngx_memcpy(es->buf + es->end, p, len);

    es->end += len;
    es->track->bytes += len;

    return NGX_OK;
}


void
ngx_mc_ts_es_consume(ngx_mc_ts_es_t *es, size_t pos)
{
    size_t      delta;
    ngx_uint_t  i;

    delta = pos - NGX_MC_TS_ROOM;

    if (delta == 0) {
        es->start = pos;
        return;
    }

    if (es->end > pos) {
        ngx_memmove(es->buf + NGX_MC_TS_ROOM, es->buf + pos, es->end - pos);
    }

    es->start = NGX_MC_TS_ROOM;
    es->end -= delta;
    es->appended = (es->appended > delta) ? es->appended - delta : 0;

    for (i = 0; i < NGX_MC_TS_STAMPS; i++) {
        es->stamps[i].pos = (es->stamps[i].pos > delta)
                            ? es->stamps[i].pos - delta : 0;
    }
}


ngx_mc_ts_stamp_t *
ngx_mc_ts_es_stamp(ngx_mc_ts_es_t *es, size_t pos)
{
    ngx_uint_t          i;
    ngx_mc_ts_stamp_t  *stamp;

    for (i = 0; i < NGX_MC_TS_STAMPS; i++) {
        stamp = &es->stamps[(es->stamp - i) % NGX_MC_TS_STAMPS];

        if (stamp->pos <= pos) {

            if (!stamp->fresh) {
                return NULL;
            }

            stamp->fresh = 0;
            return stamp;
        }
    }

    return NULL;
}


/*
 * The timestamps of a PES packet, put on our line.  A track follows its own
 * DTS; if it jumps, it goes where the other one already is, if that is there,
 * or else it begins a new time base, which goes on where it was.
 */

static void
ngx_mc_ts_es_time(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, uint64_t dts,
    uint64_t pts)
{
    int64_t             delta, raw, out, elapsed, reorder;
    ngx_uint_t          mark, slot, join;
    ngx_mc_ts_es_t     *other, *last;
    ngx_mc_ts_stamp_t  *stamp;

    other = (es == &dm->es[NGX_MC_TS_VIDEO]) ? &dm->es[NGX_MC_TS_AUDIO]
                                             : &dm->es[NGX_MC_TS_VIDEO];
    mark = 0;
    delta = 0;

    if (es->line >= 0) {
        delta = ngx_mc_ts_diff(dts, es->raw);

        /* in one time base a DTS does not go back */

        if (delta >= - NGX_MC_TS_JUMP_TOLD
            && ngx_mc_ts_es_near(dm, es, delta,
                                 es->jump ? NGX_MC_TS_JUMP_TOLD
                                          : NGX_MC_TS_JUMP))
        {
            raw = es->raw + delta;
            goto done;
        }

        mark = 1;
    }

    /* where the other track is: with a jump that was told it has to have
       gone there already */

    join = 0;

    if (other->line >= 0 && other->line != es->line) {
        delta = ngx_mc_ts_diff(dts, other->raw);
        join = (!other->jump || es->line < 0)
               && ngx_mc_ts_es_near(dm, other, delta, NGX_MC_TS_JUMP);
    }

    if (join) {
        es->line = other->line;
        raw = other->raw + delta;
        out = raw + dm->lines[es->line].offset;

        if (mark && es->due && out < es->next
            && es->next - out < NGX_MC_TS_JUMP)
        {
            /* nothing goes back: both are put off by as much */

            dm->lines[es->line].offset += es->next - out;
        }

        goto done;
    }

    slot = (other->line >= 0) ? 1 - other->line : 0;
    raw = dts;
    out = raw;

    /* as long after the last one as it took to come */

    last = es;

    if (!es->any
        || (es->line < 0 && other->any && other->raw_out > es->raw_out))
    {
        last = other;
    }

    if (last->any) {
        elapsed = (dm->origin - last->raw_origin) * 9 / 100;
        out = last->raw_out + ngx_max(elapsed, last->step);

        if (last->due && out < last->next) {
            out = last->next;
        }
    }

    dm->lines[slot].offset = out - raw;
    es->line = slot;

done:

    out = raw + dm->lines[es->line].offset;

    es->jump = 0;
    es->any = 1;
    es->raw = raw;
    es->raw_out = out;
    es->raw_origin = dm->origin;

    reorder = ngx_mc_ts_diff(pts, dts);

    if (reorder < -NGX_MC_TS_REORDER || reorder > NGX_MC_TS_REORDER) {
        reorder = 0;
    }

    es->stamp = (es->stamp + 1) % NGX_MC_TS_STAMPS;
    stamp = &es->stamps[es->stamp];

    if (stamp->fresh && stamp->mark) {
        mark = 1;
    }

    stamp->pos = es->end;
    stamp->dts = out;
    stamp->pts = out + reorder;
    stamp->fresh = 1;
    stamp->mark = mark;
    stamp->random = es->random;
}


/* whether a DTS, "delta" after the last one of es, is on the same time base;
   it may be late for as long as nothing came */

static ngx_uint_t
ngx_mc_ts_es_near(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, int64_t delta,
    int64_t limit)
{
    int64_t  elapsed;

    if (delta >= -limit && delta <= limit) {
        return 1;
    }

    elapsed = (dm->origin - es->raw_origin) * 9 / 100;

    return delta - elapsed >= -limit && delta - elapsed <= limit;
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
