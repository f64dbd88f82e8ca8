
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_mux_state.h>


static void ngx_mc_ts_mux_marked(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);
static ngx_uint_t ngx_mc_ts_mux_start(ngx_mc_ts_mux_t *mx,
    ngx_mc_frame_t *frame);
static void ngx_mc_ts_mux_check(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);


ngx_mc_ts_mux_t *
ngx_mc_ts_mux_create(uint64_t rate, ngx_uint_t cap,
    ngx_mc_ts_mux_send_pt send, void *data, ngx_log_t *log)
{
    ngx_mc_ts_mux_t  *mx;

    mx = ngx_calloc(sizeof(ngx_mc_ts_mux_t), log);
    if (mx == NULL) {
        return NULL;
    }

    mx->rate = rate;
    mx->cap = cap;
    mx->send = send;
    mx->data = data;
    mx->log = log;

    mx->tracks[NGX_MC_TS_MUX_V].pid = NGX_MC_TS_MUX_VIDEO;
    mx->tracks[NGX_MC_TS_MUX_A].pid = NGX_MC_TS_MUX_AUDIO;

    mx->lead = NGX_MC_TS_MUX_LEAD + (rate ? NGX_MC_TS_MUX_BUFFER : 0);
    mx->step = NGX_MC_TS_MUX_STEP;
    mx->last_pcr = NGX_MC_TS_MUX_NEVER;
    mx->last_psi = NGX_MC_TS_MUX_NEVER;
    mx->sent = NGX_MC_TS_MUX_NEVER;
    mx->rebase = 1;

    ngx_memset(mx->cc, 0x0f, sizeof(mx->cc));

    if (rate) {
        mx->slot_step = NGX_MC_TS_SIZE * 8 * UINT64_C(27000000) / rate;
        mx->slot_frac = NGX_MC_TS_SIZE * 8 * UINT64_C(27000000) % rate;
        mx->slot_time = mx->slot_step + 1;
    }

    return mx;
}


void
ngx_mc_ts_mux_free(ngx_mc_ts_mux_t *mx)
{
    ngx_uint_t  i;

    for (i = 0; i < 2; i++) {

        if (mx->tracks[i].config) {
            ngx_free(mx->tracks[i].config);
        }

        if (mx->tracks[i].ring.entries) {
            ngx_free(mx->tracks[i].ring.entries);
        }
    }

    ngx_free(mx);
}


uint64_t
ngx_mc_ts_mux_dropped(ngx_mc_ts_mux_t *mx)
{
    return mx->dropped;
}


void
ngx_mc_ts_mux_frame(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    ngx_mc_ts_mux_track_t  *track;

    if (frame->discontinuity) {
        ngx_mc_ts_mux_marked(mx, frame);
    }

    if (frame->len < frame->header) {
        mx->dropped++;
        return;
    }

    if (frame->end) {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_flush(mx);
        return;
    }

    if (frame->type == NGX_MC_FRAME_META) {
        ngx_mc_ts_mux_meta(mx, frame->tag + frame->header,
                           frame->len - frame->header);
        return;
    }

    if (frame->dts > NGX_MC_TS_MUX_SANE || frame->dts < -NGX_MC_TS_MUX_SANE
        || (frame->type != NGX_MC_FRAME_VIDEO
            && frame->type != NGX_MC_FRAME_AUDIO))
    {
        mx->dropped++;
        return;
    }

    track = &mx->tracks[frame->type == NGX_MC_FRAME_VIDEO ? NGX_MC_TS_MUX_V
                                                          : NGX_MC_TS_MUX_A];

    if (frame->config) {

        if (ngx_mc_ts_mux_config(mx, track, frame) != NGX_OK) {
            mx->dropped++;
        }

        return;
    }

    if (!frame->discontinuity) {

        /* what is marked after this is another one */

        track->marked = 0;
    }

    mx->hint = 0;

    if (frame->len == frame->header) {
        return;
    }

    if (frame->codec == NGX_MC_CODEC_MP3
        && ngx_mc_ts_mux_mp3(mx, track, frame->tag + frame->header,
                             frame->len - frame->header)
           != NGX_OK)
    {
        mx->dropped++;
        return;
    }

    mx->origin = frame->origin;

    if (!track->known && track->config_len && track->codec == frame->codec) {

        /* it had been given up, and comes back */

        track->known = 1;

        if (mx->started) {
            ngx_mc_ts_mux_tables(mx);
        }
    }

    if ((!mx->started && !ngx_mc_ts_mux_start(mx, frame))
        || !track->known || track->codec != frame->codec)
    {
        mx->dropped++;

        if (frame->type == NGX_MC_FRAME_VIDEO) {
            track->dirty = 1;
        }

        return;
    }

    if (frame->type == NGX_MC_FRAME_VIDEO) {
        ngx_mc_ts_mux_video(mx, frame);

    } else {
        ngx_mc_ts_mux_audio(mx, frame);
    }

    mx->last_origin = frame->origin;

    if (mx->checking) {
        ngx_mc_ts_mux_check(mx, frame);
    }

    ngx_mc_ts_mux_flush(mx);
}


/* another stream has less tracks than the one before */

static void
ngx_mc_ts_mux_check(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    ngx_uint_t              i;
    ngx_mc_ts_mux_track_t  *track;

    if (frame->origin < mx->check) {
        return;
    }

    mx->checking = 0;

    for (i = 0; i < 2; i++) {
        track = &mx->tracks[i];

        if (track->known && track->origin == NGX_MC_TS_MUX_NEVER
            && !(i == NGX_MC_TS_MUX_A && mx->held))
        {
            track->known = 0;
            track->dirty = 1;
        }
    }

    ngx_mc_ts_mux_tables(mx);
}


/*
 * Another stream begins.  Who marks may mark the next frame of each track:
 * the second one means the same.  Configurations stay until there are others,
 * a track that does not come back within a second leaves the PMT.  Metadata
 * that came since the last frame are of the stream that begins.
 */

static void
ngx_mc_ts_mux_marked(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    ngx_uint_t  i;

    i = (frame->type == NGX_MC_FRAME_VIDEO) ? NGX_MC_TS_MUX_V
                                            : NGX_MC_TS_MUX_A;

    if (frame->type != NGX_MC_FRAME_META && mx->tracks[i].marked) {
        mx->tracks[i].marked = 0;
        return;
    }

    mx->tracks[NGX_MC_TS_MUX_V].marked = 1;
    mx->tracks[NGX_MC_TS_MUX_A].marked = 1;

    if (frame->type != NGX_MC_FRAME_META) {
        mx->tracks[i].marked = 0;
    }

    ngx_mc_ts_mux_release(mx);
    ngx_mc_ts_mux_flush(mx);

    if (!mx->hint) {
        mx->tracks[NGX_MC_TS_MUX_V].hinted = 0;
        mx->tracks[NGX_MC_TS_MUX_A].hinted = 0;
    }

    mx->tracks[NGX_MC_TS_MUX_V].dirty = 1;

    mx->started = 0;
    mx->waiting = 0;
    mx->rebase = 1;
}


static ngx_uint_t
ngx_mc_ts_mux_start(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    ngx_uint_t              waited;
    ngx_mc_ts_mux_track_t  *video, *audio;

    video = &mx->tracks[NGX_MC_TS_MUX_V];
    audio = &mx->tracks[NGX_MC_TS_MUX_A];

    if (!mx->waiting) {
        mx->waiting = 1;
        mx->wait = frame->dts;
        mx->wait_origin = frame->origin;
    }

    waited = frame->dts - mx->wait >= NGX_MC_TS_MUX_WAIT
             || frame->dts - mx->wait <= -NGX_MC_TS_MUX_WAIT
             || frame->origin - mx->wait_origin
                >= NGX_MC_TS_MUX_WAIT * 1000 / 90;

    if (!waited
        && ((!video->known && !(video->hinted && !video->expected))
            || (!audio->known && !(audio->hinted && !audio->expected))))
    {
        return 0;
    }

    if (frame->type == NGX_MC_FRAME_VIDEO) {

        if (!video->known || !frame->key) {
            return 0;
        }

    } else if (!audio->known || (video->known && !waited)) {
        return 0;
    }

    mx->started = 1;
    mx->waiting = 0;
    mx->psi = 1;
    mx->checking = 0;

    /* that there was another stream before: its tracks may be gone */

    if (mx->clocked) {
        mx->checking = 1;
        mx->check = frame->origin + NGX_MC_TS_MUX_STALE;
        video->origin = NGX_MC_TS_MUX_NEVER;
        audio->origin = NGX_MC_TS_MUX_NEVER;

    } else if (audio->known && audio->codec == NGX_MC_CODEC_AAC
               && audio->config_len == 0)
    {
        /* it was announced, which does not mean that it comes */

        mx->checking = 1;
        mx->check = frame->origin + NGX_MC_TS_MUX_STALE;
    }

    ngx_mc_ts_mux_tables(mx);

    return 1;
}
