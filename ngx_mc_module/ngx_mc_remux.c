
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc.h>
#include <ngx_mc_flow.h>
#include <ngx_mc_remux.h>


/* an output begins at a key frame, or with any after so many us: streams with
   intra refresh may have none; more than groups of pictures are long */
#define NGX_MC_LANE_KEYLESS    15000000

/* or with sound alone, after so many us, if no picture came for so long */
#define NGX_MC_LANE_PATIENCE   5000000
#define NGX_MC_LANE_NO_VIDEO   (2 * 90000)

/* FrameType of FLV where it stands, also by Enhanced RTMP */
#define NGX_MC_LANE_FLV_KEY    0x10

/* with fewer frames a second than this PCRs are sent between them, in time: at
   most 40 ms apart (ETSI TR 101 290, 2.3a), so every 20 ms */
#define NGX_MC_MUX_SPARSE      40
#define NGX_MC_MUX_BEAT        20000

/* PIDs of the TS made from frames, as shown */
#define NGX_MC_LANE_VIDEO_PID  0x100
#define NGX_MC_LANE_AUDIO_PID  0x101


/* what is measured of a track */

typedef struct {
    ngx_mc_track_info_t     info;
    ngx_uint_t              pid;             /* NGX_MC_NONE: not of a TS */

    uint64_t                bytes;           /* since the last second */
    uint64_t                frames;
    int64_t                 first;           /* dts before those frames */
    int64_t                 last;            /* and of the last of them */
    unsigned                timed:1;         /* "first" is known */
} ngx_mc_lane_track_t;


/* outputs of the frame lane that have chosen the same tracks */

struct ngx_mc_lane_s {
    ngx_mc_lane_t          *next;
    ngx_mc_pipeline_t      *pipeline;
    ngx_mc_ts_select_t      select;
    ngx_mc_ts_demux_t      *demux;           /* NULL: the source has frames */
    ngx_mc_frame_headers_t  headers;

    ngx_mc_lane_track_t     video;
    ngx_mc_lane_track_t     audio;
    int64_t                 measured;        /* us, the last second */
    uint64_t                packets;         /* that came in since then */
    ngx_uint_t              silent;          /* seconds without a frame though
                                                packets came */
    ngx_uint_t              used;            /* outputs */
    unsigned                partial:1;       /* a part of what was asked for
                                                is missing */
};


struct ngx_mc_mux_s {
    ngx_mc_pipeline_t      *pipeline;
    ngx_mc_ts_mux_t        *ts;
    ngx_mc_pulse_client_t   pulse;           /* of a constant rate */
    ngx_uint_t              period;          /* of it, us */
    uint64_t                rate;
    ngx_uint_t              cap;
    uint64_t                dropped;         /* that have been told of */
    ngx_uint_t              frames;          /* since the last second */
};


static void ngx_mc_remux_select(ngx_mc_pipeline_t *pl, ngx_mc_endpoint_t *ep,
    ngx_mc_ts_select_t *select);
static ngx_mc_lane_t *ngx_mc_lane_get(ngx_mc_pipeline_t *pl,
    ngx_mc_ts_select_t *select, ngx_uint_t demux);
static void ngx_mc_lane_free(ngx_mc_lane_t *lane);
static void ngx_mc_lane_frame(void *data, ngx_mc_frame_t *frame);
static void ngx_mc_lane_unsupported(void *data, ngx_uint_t pid,
    ngx_uint_t stream_type, ngx_uint_t codec);
static void ngx_mc_lane_describe(ngx_mc_lane_t *lane, ngx_mc_frame_t *frame);
static void ngx_mc_lane_measure(ngx_mc_lane_t *lane, ngx_mc_frame_t *frame);
static ngx_uint_t ngx_mc_lane_join(ngx_mc_lane_t *lane, ngx_mc_endpoint_t *ep,
    ngx_mc_frame_t *frame);
static ngx_uint_t ngx_mc_lane_second(ngx_mc_lane_t *lane, int64_t now,
    ngx_mc_track_stat_t *tracks);
static const char *ngx_mc_lane_look(ngx_mc_lane_t *lane);
static ngx_uint_t ngx_mc_lane_tracks(ngx_mc_lane_t *lane, int64_t elapsed,
    ngx_mc_track_stat_t *tracks);
static void ngx_mc_lane_track(ngx_mc_lane_track_t *track, int64_t elapsed,
    ngx_mc_track_stat_t *stat);
static void ngx_mc_remux_show(ngx_mc_endpoint_t *ep,
    ngx_mc_track_stat_t *tracks, ngx_uint_t n);
static ngx_int_t ngx_mc_mux_create(ngx_mc_pipeline_t *pl);
static void ngx_mc_mux_free(ngx_mc_pipeline_t *pl);
static void ngx_mc_mux_second(ngx_mc_mux_t *mux);
static void ngx_mc_mux_send(void *data, ngx_mc_packet_t *pkts, ngx_uint_t n);
static void ngx_mc_mux_tick(void *data);


static ngx_mc_ts_demux_handlers_t  ngx_mc_lane_handlers = {
    ngx_mc_lane_frame,
    ngx_mc_lane_unsupported
};


ngx_int_t
ngx_mc_remux_route(ngx_mc_pipeline_t *pl)
{
    ngx_int_t             rc;
    ngx_uint_t            i, frames;
    ngx_mc_lane_t        *lane, **ll;
    ngx_mc_endpoint_t    *ep;
    ngx_mc_ts_select_t    select;

    rc = NGX_OK;

    frames = (pl->source && pl->source->type->frame);

    for (lane = pl->lanes; lane; lane = lane->next) {
        lane->used = 0;
    }

    /* a source of frames is looked at even if nobody takes them */

    ngx_memset(&select, 0xff, sizeof(ngx_mc_ts_select_t));
    select.language[0] = '\0';

    if (frames) {
        lane = ngx_mc_lane_get(pl, &select, 0);

        if (lane == NULL) {
            rc = NGX_ERROR;

        } else {
            lane->used = 1;
        }
    }

    for (i = 0; i < pl->nframe_outputs; i++) {
        ep = pl->frame_outputs[i];

        if (pl->source == NULL) {
            ep->lane = NULL;
            continue;
        }

        if (!frames) {
            ngx_mc_remux_select(pl, ep, &select);
        }

        lane = ngx_mc_lane_get(pl, &select, !frames);

        if (lane == NULL) {
            ep->lane = NULL;
            rc = NGX_ERROR;
            continue;
        }

        lane->used = 1;

        if (ep->lane != lane) {
            ep->lane = lane;
            ep->joining = 1;
            ep->join_at = 0;
        }
    }

    ll = &pl->lanes;

    while (*ll) {
        lane = *ll;

        if (lane->used) {
            ll = &lane->next;
            continue;
        }

        *ll = lane->next;
        ngx_mc_lane_free(lane);
    }

    if (!frames || pl->noutputs == 0) {
        ngx_mc_mux_free(pl);

    } else if (ngx_mc_mux_create(pl) != NGX_OK) {
        rc = NGX_ERROR;
    }

    return rc;
}


static void
ngx_mc_remux_select(ngx_mc_pipeline_t *pl, ngx_mc_endpoint_t *ep,
    ngx_mc_ts_select_t *select)
{
    ngx_str_t        *language;
    ngx_mc_params_t  *params;

    params = &ep->def->params;

    /* compared as bytes */
    ngx_memzero(select, sizeof(ngx_mc_ts_select_t));

    select->program = params->program;
    select->video = params->video;
    select->audio = params->audio;

    language = &params->audio_language;

    if (language->data) {
        ngx_memcpy(select->language, language->data,
                   ngx_min(language->len, sizeof(select->language) - 1));
    }
}


static ngx_mc_lane_t *
ngx_mc_lane_get(ngx_mc_pipeline_t *pl, ngx_mc_ts_select_t *select,
    ngx_uint_t demux)
{
    ngx_mc_lane_t  *lane;

    for (lane = pl->lanes; lane; lane = lane->next) {
        if ((lane->demux != NULL) != demux) {
            continue;
        }

        if (!demux || ngx_memcmp(&lane->select, select,
                                 sizeof(ngx_mc_ts_select_t)) == 0)
        {
            return lane;
        }
    }

    lane = ngx_calloc(sizeof(ngx_mc_lane_t), ngx_cycle->log);
    if (lane == NULL) {
        return NULL;
    }

    lane->pipeline = pl;
    lane->select = *select;
    lane->video.pid = NGX_MC_NONE;
    lane->audio.pid = NGX_MC_NONE;

    if (demux) {
        lane->demux = ngx_mc_ts_demux_create(select, &ngx_mc_lane_handlers,
                                             lane, &pl->flow->log);
        if (lane->demux == NULL) {
            ngx_free(lane);
            return NULL;
        }
    }

    lane->next = pl->lanes;
    pl->lanes = lane;

    return lane;
}


static void
ngx_mc_lane_free(ngx_mc_lane_t *lane)
{
    ngx_uint_t      i;
    ngx_mc_flow_t  *flow;

    /*
     * An output may be on its way to the other pipeline: a lane that is made
     * there may get the address of this one, and would be taken for it.
     */

    flow = lane->pipeline->flow;

    for (i = 0; i < flow->nendpoints; i++) {
        if (flow->endpoints[i] && flow->endpoints[i]->lane == lane) {
            flow->endpoints[i]->lane = NULL;
        }
    }

    if (lane->demux) {
        ngx_mc_ts_demux_free(lane->demux);
    }

    ngx_mc_frame_headers_free(&lane->headers);

    ngx_free(lane);
}


void
ngx_mc_remux_free(ngx_mc_pipeline_t *pl)
{
    ngx_mc_lane_t  *lane;

    while (pl->lanes) {
        lane = pl->lanes;
        pl->lanes = lane->next;
        ngx_mc_lane_free(lane);
    }

    ngx_mc_mux_free(pl);
}


void
ngx_mc_remux_reset(ngx_mc_pipeline_t *pl)
{
    ngx_uint_t      i;
    ngx_mc_lane_t  *lane;

    for (lane = pl->lanes; lane; lane = lane->next) {

        if (lane->demux) {
            ngx_mc_ts_demux_reset(lane->demux);
        }

        ngx_mc_frame_headers_free(&lane->headers);

        lane->video.timed = 0;
        lane->video.info.type = NGX_MC_TRACK_OTHER;
        lane->audio.timed = 0;
        lane->audio.info.type = NGX_MC_TRACK_OTHER;
    }

    for (i = 0; i < pl->nframe_outputs; i++) {
        pl->frame_outputs[i]->joining = 1;
        pl->frame_outputs[i]->join_at = 0;
    }
}


void
ngx_mc_remux_packets(ngx_mc_pipeline_t *pl, ngx_mc_packet_t *pkts,
    ngx_uint_t n)
{
    ngx_uint_t      i;
    ngx_mc_lane_t  *lane;

    for (lane = pl->lanes; lane; lane = lane->next) {

        if (lane->demux == NULL) {
            continue;
        }

        lane->packets += n;

        for (i = 0; i < n; i++) {
            ngx_mc_ts_demux(lane->demux, pkts[i].data, pkts[i].len,
                            pkts[i].origin);
        }
    }
}


void
ngx_mc_remux_frame(ngx_mc_pipeline_t *pl, ngx_mc_frame_t *frame)
{
    if (pl->lanes && pl->lanes->demux == NULL) {
        pl->lanes->packets++;
        ngx_mc_lane_frame(pl->lanes, frame);
    }

    if (pl->mux) {
        pl->mux->frames++;
        ngx_mc_ts_mux_frame(pl->mux->ts, frame);
    }
}


static void
ngx_mc_lane_frame(void *data, ngx_mc_frame_t *frame)
{
    ngx_mc_lane_t *lane = data;

    ngx_uint_t          i;
    ngx_mc_frame_t      copy;
    ngx_mc_pipeline_t  *pl;
    ngx_mc_endpoint_t  *ep;

    pl = lane->pipeline;

    if (frame->discontinuity && frame->type == NGX_MC_FRAME_AUDIO
        && lane->demux && lane->headers.video.tag)
    {
        /* told of each track: what outputs begin anew with is video's, or
           the first audio would cost them a group of pictures */

        copy = *frame;
        copy.discontinuity = 0;
        frame = &copy;
    }

    if (frame->discontinuity) {
        for (i = 0; i < pl->nframe_outputs; i++) {
            if (pl->frame_outputs[i]->lane == lane) {
                pl->frame_outputs[i]->joining = 1;
                pl->frame_outputs[i]->join_at = 0;
            }
        }

        lane->video.timed = 0;
        lane->audio.timed = 0;
    }

    if (frame->config || frame->type == NGX_MC_FRAME_META) {
        ngx_mc_lane_describe(lane, frame);

    } else {
        ngx_mc_lane_measure(lane, frame);
    }

    for (i = 0; i < pl->nframe_outputs; i++) {
        ep = pl->frame_outputs[i];

        if (ep->lane != lane || !ep->opened) {
            continue;
        }

        if (ep->joining && !ngx_mc_lane_join(lane, ep, frame)) {
            continue;
        }

        ep->type->frame(ep, frame);
    }
}


/*
 * An output that begins, or whose stream is another from here on, gets what
 * is needed to decode and then frames from a key frame on.  Returns whether
 * it is to get this one.
 */

static ngx_uint_t
ngx_mc_lane_join(ngx_mc_lane_t *lane, ngx_mc_endpoint_t *ep,
    ngx_mc_frame_t *frame)
{
    int64_t          now;
    u_char           type;
    ngx_uint_t       i, jump, video, key;
    ngx_mc_frame_t   copy, *headers[3];

    if (frame->config || frame->type == NGX_MC_FRAME_META) {
        return 0;
    }

    /* there is video, or will be */

    key = frame->key;
    video = (lane->headers.video.tag != NULL);

    if (lane->demux && ngx_mc_ts_demux_tracks(lane->demux)[0].pid) {
        video = 1;
    }

    if (video && !frame->key) {

        now = frame->origin;

        if (ep->join_at == 0) {
            ep->join_at = now;
        }

        if (now - ep->join_at < NGX_MC_LANE_PATIENCE) {
            return 0;
        }

        if (frame->type == NGX_MC_FRAME_VIDEO) {

            if (now - ep->join_at < NGX_MC_LANE_KEYLESS) {
                return 0;
            }

            /* outputs wait for one too, and so do servers behind them */

            key = 1;

        } else if (lane->video.timed
                   && frame->dts - lane->video.last < NGX_MC_LANE_NO_VIDEO)
        {
            return 0;
        }
    }

    headers[0] = &lane->headers.meta;
    headers[1] = &lane->headers.video;
    headers[2] = &lane->headers.audio;

    jump = 1;

    for (i = 0; i < 3; i++) {

        if (headers[i]->tag == NULL) {
            continue;
        }

        copy = *headers[i];
        copy.dts = frame->dts;
        copy.pts = frame->pts;
        copy.origin = frame->origin;
        copy.discontinuity = jump;

        ep->type->frame(ep, &copy);

        jump = 0;
    }

    ep->joining = 0;

    if (!jump) {

        /* told already, and others have their own view of it */

        if (!frame->discontinuity && frame->key == key) {
            return 1;
        }
    }

    copy = *frame;
    copy.key = key;
    copy.discontinuity = jump;

    if (frame->key == key) {
        ep->type->frame(ep, &copy);
        return 0;
    }

    /* FrameType; others that get it have begun */

    type = copy.tag[0];
    copy.tag[0] = (type & 0x8f) | NGX_MC_LANE_FLV_KEY;

    ep->type->frame(ep, &copy);

    copy.tag[0] = type;

    return 0;
}


static void
ngx_mc_lane_describe(ngx_mc_lane_t *lane, ngx_mc_frame_t *frame)
{
    u_char                 *data;
    size_t                  len;
    ngx_mc_lane_track_t    *track;
    ngx_mc_track_info_t     info;
    ngx_mc_video_config_t   cfg;

    (void) ngx_mc_frame_headers_set(&lane->headers, frame);

    if (frame->type == NGX_MC_FRAME_META || lane->demux) {
        return;
    }

    ngx_memzero(&info, sizeof(ngx_mc_track_info_t));

    data = frame->tag + frame->header;
    len = frame->len - frame->header;

    if (frame->type == NGX_MC_FRAME_VIDEO) {
        track = &lane->video;

        /* what cannot be read may still be played */
        (void) ngx_mc_video_config_read(frame->codec, data, len, &cfg, &info);

        info.type = NGX_MC_TRACK_VIDEO;

    } else {
        track = &lane->audio;

        (void) ngx_mc_aac_config_read(data, len, &info);

        info.type = NGX_MC_TRACK_AUDIO;
    }

    info.codec = frame->codec;
    track->info = info;
}


static void
ngx_mc_lane_measure(ngx_mc_lane_t *lane, ngx_mc_frame_t *frame)
{
    uint32_t              size, samples;
    ngx_mc_lane_track_t  *track;

    if (frame->end) {
        return;
    }

    track = (frame->type == NGX_MC_FRAME_VIDEO) ? &lane->video : &lane->audio;

    if (frame->codec == NGX_MC_CODEC_MP3
        && (track->info.type == NGX_MC_TRACK_OTHER
            || track->info.codec != NGX_MC_CODEC_MP3))
    {
        /* it has no configuration but in each frame */

        (void) ngx_mc_mpa_read(frame->tag + frame->header,
                               frame->len - frame->header, &track->info,
                               &size, &samples);

        track->info.type = NGX_MC_TRACK_AUDIO;
        track->info.codec = NGX_MC_CODEC_MP3;
    }

    if (!track->timed) {
        track->timed = 1;
        track->first = frame->dts;
        track->frames = 0;
        track->bytes = 0;

    } else {
        track->frames++;
    }

    track->bytes += frame->len - frame->header;
    track->last = frame->dts;
}


static void
ngx_mc_lane_unsupported(void *data, ngx_uint_t pid, ngx_uint_t stream_type,
    ngx_uint_t codec)
{
    ngx_mc_lane_t *lane = data;

    ngx_uint_t          i;
    ngx_mc_pipeline_t  *pl;
    ngx_mc_endpoint_t  *ep;

    pl = lane->pipeline;

    for (i = 0; i < pl->nframe_outputs; i++) {
        ep = pl->frame_outputs[i];

        if (ep->lane != lane) {
            continue;
        }

        if (codec == NGX_MC_CODEC_NONE) {
            ngx_mc_endpoint_event(ep, NGX_MC_EVENT_CODEC_UNSUPPORTED, NULL,
                                  "PID %ui is left out, RTMP has no stream "
                                  "type 0x%xi", pid, stream_type);
            continue;
        }

        ngx_mc_endpoint_event(ep, NGX_MC_EVENT_CODEC_UNSUPPORTED, NULL,
                              "PID %ui is left out, RTMP does not carry %V",
                              pid, &ngx_mc_codec_names[codec]);
    }
}


ngx_mc_frame_headers_t *
ngx_mc_flow_headers(ngx_mc_endpoint_t *output)
{
    return output->lane ? &output->lane->headers : NULL;
}


void
ngx_mc_remux_second(ngx_mc_pipeline_t *pl)
{
    int64_t               now;
    ngx_uint_t            i, k, n, all;
    ngx_mc_lane_t        *lane;
    ngx_mc_track_stat_t   tracks[2], source[NGX_MC_TRACKS];

    if (pl->lanes == NULL) {
        return;
    }

    now = ngx_mc_now();
    all = 0;

    for (lane = pl->lanes; lane; lane = lane->next) {

        n = ngx_mc_lane_second(lane, now, tracks);

        /* lanes may have tracks in common */

        for (i = 0; i < n; i++) {

            for (k = 0; k < all; k++) {
                if (source[k].pid == tracks[i].pid
                    && source[k].info.type == tracks[i].info.type)
                {
                    break;
                }
            }

            if (k == all && all < NGX_MC_TRACKS) {
                source[all++] = tracks[i];
            }
        }
    }

    if (pl->source) {
        ngx_mc_remux_show(pl->source, source, all);
    }

    if (pl->mux == NULL) {
        return;
    }

    ngx_mc_mux_second(pl->mux);

    /* the source has frames, so there is one lane */

    for (i = 0; i < all; i++) {
        source[i].pid = (source[i].info.type == NGX_MC_TRACK_VIDEO)
                        ? NGX_MC_LANE_VIDEO_PID : NGX_MC_LANE_AUDIO_PID;
    }

    for (i = 0; i < pl->noutputs; i++) {
        ngx_mc_remux_show(pl->outputs[i], source, all);
    }
}


/* returns the number of its tracks, two at most */

static ngx_uint_t
ngx_mc_lane_second(ngx_mc_lane_t *lane, int64_t now,
    ngx_mc_track_stat_t *tracks)
{
    int64_t             elapsed;
    const char         *problem;
    ngx_uint_t          i, n;
    ngx_mc_pipeline_t  *pl;
    ngx_mc_endpoint_t  *ep;

    pl = lane->pipeline;

    problem = lane->demux ? ngx_mc_lane_look(lane) : NULL;

    elapsed = lane->measured ? now - lane->measured : 0;
    lane->measured = now;

    n = ngx_mc_lane_tracks(lane, elapsed, tracks);

    if (pl->source == NULL || !pl->source->connected) {
        n = 0;
    }

    /* a second for PAT, PMT and the first frames */

    lane->silent = problem ? lane->silent + 1 : 0;
    lane->packets = 0;

    for (i = 0; i < pl->nframe_outputs; i++) {
        ep = pl->frame_outputs[i];

        if (ep->lane != lane) {
            continue;
        }

        ngx_mc_remux_show(ep, tracks, n);

        if (lane->silent > 1
            && (ep->connected || ep->stat->state == NGX_MC_STATE_WAITING))
        {
            ep->unplayable = 1;
            ngx_mc_endpoint_error(ep, "%s: %s",
                                  lane->partial ? NGX_MC_INCOMPLETE
                                                : NGX_MC_UNPLAYABLE,
                                  problem);

        } else if (ep->unplayable && lane->silent == 0) {
            ep->unplayable = 0;
            ngx_mc_endpoint_error(ep, "");
        }
    }

    return n;
}


/* what the demultiplexer has found; what keeps it from finding anything */

static const char *
ngx_mc_lane_look(ngx_mc_lane_t *lane)
{
    const char               *problem;
    ngx_mc_ts_demux_track_t  *dt;

    if (lane->packets == 0) {
        ngx_mc_ts_demux_flush(lane->demux);
    }

    dt = ngx_mc_ts_demux_tracks(lane->demux);

    lane->video.info = dt[0].info;
    lane->video.pid = dt[0].pid;
    lane->audio.info = dt[1].info;
    lane->audio.pid = dt[1].pid;

    if (dt[0].pid == 0) {
        lane->video.info.type = NGX_MC_TRACK_OTHER;
    }

    if (dt[1].pid == 0) {
        lane->audio.info.type = NGX_MC_TRACK_OTHER;
    }

    if (lane->packets == 0) {
        return NULL;
    }

    problem = ngx_mc_ts_demux_problem(lane->demux);

    /* the rest of what was asked for is sent, and that is told */

    lane->partial = 0;

    if (problem == NULL && dt[1].pid == 0
        && (lane->select.audio != -1 || lane->select.language[0]))
    {
        lane->partial = 1;
        problem = "no such audio, or of another codec";
    }

    if (problem == NULL && dt[0].pid == 0 && lane->select.video != -1) {
        lane->partial = 1;
        problem = "no such video, or of another codec";
    }

    return problem;
}


static ngx_uint_t
ngx_mc_lane_tracks(ngx_mc_lane_t *lane, int64_t elapsed,
    ngx_mc_track_stat_t *tracks)
{
    ngx_uint_t  n;

    n = 0;

    if (lane->video.info.type == NGX_MC_TRACK_VIDEO) {
        ngx_mc_lane_track(&lane->video, elapsed, &tracks[n++]);
    }

    if (lane->audio.info.type == NGX_MC_TRACK_AUDIO) {
        ngx_mc_lane_track(&lane->audio, elapsed, &tracks[n++]);
    }

    return n;
}


static void
ngx_mc_lane_track(ngx_mc_lane_track_t *track, int64_t elapsed,
    ngx_mc_track_stat_t *stat)
{
    int64_t  span;

    ngx_memzero(stat, sizeof(ngx_mc_track_stat_t));

    stat->info = track->info;
    stat->pid = track->pid;

    if (elapsed > 0) {
        stat->bitrate = track->bytes * 8 * 1000000 / elapsed;
    }

    /* frames over the time that they take in the stream: no matter how they
       came */

    span = track->last - track->first;

    if (track->timed && track->frames && span > 0) {
        stat->frame_rate = (double) track->frames * 90000 / span;
    }

    track->bytes = 0;
    track->frames = 0;
    track->first = track->last;
}


static void
ngx_mc_remux_show(ngx_mc_endpoint_t *ep, ngx_mc_track_stat_t *tracks,
    ngx_uint_t n)
{
    ngx_mc_endpoint_stat_t  *st;

    st = ep->stat;

    if (!ep->started || (n == 0 && st->ntracks == 0)) {
        return;
    }

    ngx_mc_endpoint_stat_begin(st);

    ngx_memcpy(st->tracks, tracks, n * sizeof(ngx_mc_track_stat_t));
    st->ntracks = n;

    ngx_mc_endpoint_stat_end(st);
}


static ngx_int_t
ngx_mc_mux_create(ngx_mc_pipeline_t *pl)
{
    uint64_t          rate;
    ngx_uint_t        i, cap, period;
    ngx_mc_mux_t     *mux;
    ngx_mc_lane_t    *lane;
    ngx_mc_frame_t   *headers[3];
    ngx_mc_params_t  *params;

    params = &pl->source->def->params;

    cap = (params->maxrate > 0);
    rate = cap ? params->maxrate : (params->muxrate > 0) ? params->muxrate : 0;

    mux = pl->mux;

    period = ngx_mc_pulse_period(pl->flow->batch);

    if (mux && mux->rate == rate && mux->cap == cap) {

        if (rate && mux->period != period) {
            ngx_mc_pulse_stop(&mux->pulse);

            if (ngx_mc_pulse_start(&mux->pulse, period) == NGX_OK) {
                mux->period = period;
                return NGX_OK;
            }

            /* it has been there */
            return ngx_mc_pulse_start(&mux->pulse, mux->period);
        }

        return NGX_OK;
    }

    ngx_mc_mux_free(pl);

    mux = ngx_calloc(sizeof(ngx_mc_mux_t), ngx_cycle->log);
    if (mux == NULL) {
        return NGX_ERROR;
    }

    mux->ts = ngx_mc_ts_mux_create(rate, cap, ngx_mc_mux_send, mux,
                                   &pl->flow->log);
    if (mux->ts == NULL) {
        ngx_free(mux);
        return NGX_ERROR;
    }

    mux->pipeline = pl;
    mux->rate = rate;
    mux->cap = cap;

    mux->pulse.handler = ngx_mc_mux_tick;
    mux->pulse.data = mux;

    if (rate) {
        mux->period = period;

        if (ngx_mc_pulse_start(&mux->pulse, period) != NGX_OK) {
            ngx_mc_ts_mux_free(mux->ts);
            ngx_free(mux);
            return NGX_ERROR;
        }
    }

    pl->mux = mux;

    /* in the middle of a stream, whose configurations are kept beside */

    for (lane = pl->lanes; lane; lane = lane->next) {

        if (lane->demux) {
            continue;
        }

        headers[0] = &lane->headers.meta;
        headers[1] = &lane->headers.video;
        headers[2] = &lane->headers.audio;

        for (i = 0; i < 3; i++) {
            if (headers[i]->tag) {
                ngx_mc_ts_mux_frame(mux->ts, headers[i]);
            }
        }
    }

    return NGX_OK;
}


static void
ngx_mc_mux_free(ngx_mc_pipeline_t *pl)
{
    ngx_mc_mux_t  *mux;

    mux = pl->mux;

    if (mux == NULL) {
        return;
    }

    pl->mux = NULL;

    ngx_mc_pulse_stop(&mux->pulse);
    ngx_mc_ts_mux_free(mux->ts);
    ngx_free(mux);
}


static void
ngx_mc_mux_second(ngx_mc_mux_t *mux)
{
    uint64_t     dropped;
    ngx_uint_t   frames;

    dropped = ngx_mc_ts_mux_dropped(mux->ts);

    mux->pipeline->source->stat->dropped_packets += dropped - mux->dropped;
    mux->dropped = dropped;

    frames = mux->frames;
    mux->frames = 0;

    if (mux->rate) {
        return;
    }

    if (frames == 0 || frames >= NGX_MC_MUX_SPARSE) {
        ngx_mc_pulse_stop(&mux->pulse);
        return;
    }

    if (mux->pulse.pulse == NULL) {

        /* without a timer they come with the next frame */
        (void) ngx_mc_pulse_start(&mux->pulse, NGX_MC_MUX_BEAT);
    }
}


static void
ngx_mc_mux_send(void *data, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    ngx_mc_mux_t *mux = data;

    ngx_mc_flow_forward(mux->pipeline, pkts, n, 1, 1);
}


static void
ngx_mc_mux_tick(void *data)
{
    ngx_mc_mux_t *mux = data;

    ngx_mc_ts_mux_tick(mux->ts, ngx_mc_now());
}
