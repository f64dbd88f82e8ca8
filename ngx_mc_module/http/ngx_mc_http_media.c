
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_http.h>
#include <ngx_mc_http_status.h>


static void ngx_mc_media_codec_id(ngx_mc_json_t *json, int32_t id);
static void ngx_mc_media_metadata(ngx_mc_json_t *json,
    ngx_mc_rtmp_metadata_t *meta);
static void ngx_mc_media_number(ngx_mc_json_t *json, double x);
static void ngx_mc_media_track(ngx_mc_json_t *json,
    ngx_mc_track_stat_t *track);


void
ngx_mc_media_srt(ngx_mc_json_t *json, ngx_mc_srt_stat_t *srt,
    ngx_uint_t connected)
{
    u_char      *p, version[NGX_INT64_LEN];
    uint32_t     v;
    ngx_uint_t   known;

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "rtt_ms");
    ngx_mc_status_gauge(json, connected, srt->rtt_ms);

    ngx_mc_json_key(json, "send_latency_ms");
    ngx_mc_status_known(json, connected && srt->send_latency_ms >= 0,
                        srt->send_latency_ms);

    ngx_mc_json_key(json, "recv_latency_ms");
    ngx_mc_status_known(json, connected && srt->recv_latency_ms >= 0,
                        srt->recv_latency_ms);

    known = connected && srt->key_length >= 0;

    ngx_mc_json_key(json, "encrypted");

    if (known) {
        ngx_mc_json_bool(json, srt->key_length > 0);

    } else {
        ngx_mc_json_null(json);
    }

    ngx_mc_json_key(json, "key_length");
    ngx_mc_status_known(json, known, srt->key_length);

    ngx_mc_json_key(json, "peer_version");

    v = srt->peer_version;

    if (connected && v) {
        p = ngx_sprintf(version, "%uD.%uD.%uD", v >> 16 & 0xff, v >> 8 & 0xff,
                        v & 0xff);
        ngx_mc_json_string(json, version, p - version);

    } else {
        ngx_mc_json_null(json);
    }

    ngx_mc_json_key(json, "packets");
    ngx_mc_json_uint(json, srt->packets);

    ngx_mc_json_key(json, "lost_packets");
    ngx_mc_json_uint(json, srt->lost_packets);

    ngx_mc_json_key(json, "retransmitted_packets");
    ngx_mc_json_uint(json, srt->retransmitted_packets);

    ngx_mc_json_key(json, "dropped_packets");
    ngx_mc_json_uint(json, srt->dropped_packets);

    ngx_mc_json_key(json, "belated_packets");
    ngx_mc_json_uint(json, srt->belated_packets);

    ngx_mc_json_key(json, "loss_ratio");
    ngx_mc_status_gauge(json, connected, srt->loss_ratio);

    ngx_mc_json_key(json, "retransmit_ratio");
    ngx_mc_status_gauge(json, connected, srt->retransmit_ratio);

    ngx_mc_json_key(json, "buffer_ms");
    ngx_mc_status_known(json, connected && srt->buffer_ms >= 0,
                        srt->buffer_ms);

    ngx_mc_json_close(json, '}');
}


void
ngx_mc_media_rtp(ngx_mc_json_t *json, ngx_mc_rtp_stat_t *rtp,
    ngx_uint_t connected)
{
    ngx_mc_rtp_counters_t  *rc;

    rc = &rtp->counters;

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "packets");
    ngx_mc_json_uint(json, rc->packets);

    ngx_mc_json_key(json, "lost_packets");
    ngx_mc_json_uint(json, rc->lost_packets);

    ngx_mc_json_key(json, "recovered_packets");
    ngx_mc_json_uint(json, rc->recovered_packets);

    ngx_mc_json_key(json, "unrecovered_packets");
    ngx_mc_json_uint(json, rc->unrecovered_packets);

    ngx_mc_json_key(json, "reordered_packets");
    ngx_mc_json_uint(json, rc->reordered_packets);

    ngx_mc_json_key(json, "duplicate_packets");
    ngx_mc_json_uint(json, rc->duplicate_packets);

    ngx_mc_json_key(json, "jitter_ms");
    ngx_mc_status_gauge(json, connected, rtp->jitter_ms);

    /* nothing measures these yet */

    ngx_mc_json_key(json, "fec_packets");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "fec_recovered_packets");
    ngx_mc_json_null(json);

    ngx_mc_json_close(json, '}');
}


void
ngx_mc_media_rtmp(ngx_mc_json_t *json, ngx_mc_rtmp_stat_t *rtmp,
    ngx_uint_t connected)
{
    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "frames");
    ngx_mc_json_uint(json, rtmp->frames);

    ngx_mc_json_key(json, "dropped_frames");
    ngx_mc_json_uint(json, rtmp->dropped_frames);

    ngx_mc_json_key(json, "chunk_size");
    ngx_mc_status_known(json, connected && rtmp->chunk_size > 0,
                        rtmp->chunk_size);

    ngx_mc_json_key(json, "queue");
    ngx_mc_status_known(json, connected && rtmp->queue >= 0, rtmp->queue);

    ngx_mc_json_key(json, "video_codec_id");
    ngx_mc_media_codec_id(json, connected ? rtmp->video_codec_id : -1);

    ngx_mc_json_key(json, "audio_codec_id");
    ngx_mc_media_codec_id(json, connected ? rtmp->audio_codec_id : -1);

    ngx_mc_json_key(json, "metadata");

    if (connected && rtmp->has_metadata) {
        ngx_mc_media_metadata(json, &rtmp->metadata);

    } else {
        ngx_mc_json_null(json);
    }

    ngx_mc_json_close(json, '}');
}


/* a number as in FLV, or the FourCC of Enhanced RTMP as text */

static void
ngx_mc_media_codec_id(ngx_mc_json_t *json, int32_t id)
{
    u_char  text[4];

    if (id <= 255) {
        ngx_mc_status_known(json, id >= 0, id);
        return;
    }

    text[0] = (u_char) (id >> 24);
    text[1] = (u_char) (id >> 16);
    text[2] = (u_char) (id >> 8);
    text[3] = (u_char) id;

    ngx_mc_json_string(json, text, 4);
}


static void
ngx_mc_media_metadata(ngx_mc_json_t *json, ngx_mc_rtmp_metadata_t *meta)
{
    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "width");
    ngx_mc_media_number(json, meta->width);

    ngx_mc_json_key(json, "height");
    ngx_mc_media_number(json, meta->height);

    ngx_mc_json_key(json, "frame_rate");
    ngx_mc_status_gauge(json, meta->frame_rate > 0, meta->frame_rate);

    ngx_mc_json_key(json, "video_bitrate");
    ngx_mc_media_number(json, meta->video_rate * 1000);

    ngx_mc_json_key(json, "audio_bitrate");
    ngx_mc_media_number(json, meta->audio_rate * 1000);

    ngx_mc_json_key(json, "sample_rate");
    ngx_mc_media_number(json, meta->sample_rate);

    ngx_mc_json_key(json, "channels");
    ngx_mc_media_number(json, meta->channels);

    /* the peer's words */

    meta->encoder[NGX_MC_ENCODER_LEN - 1] = '\0';

    ngx_mc_json_key(json, "encoder");
    ngx_mc_http_text(json, meta->encoder);

    ngx_mc_json_close(json, '}');
}


/* what a peer says is a whole number, but may be anything that a double is */

static void
ngx_mc_media_number(ngx_mc_json_t *json, double x)
{
    if (x > 0 && x < 1e12) {
        ngx_mc_json_uint(json, (uint64_t) (x + 0.5));
        return;
    }

    ngx_mc_json_null(json);
}


void
ngx_mc_media_ts(ngx_mc_json_t *json, ngx_mc_ts_counters_t *ts)
{
    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "sync_losses");
    ngx_mc_json_uint(json, ts->sync_losses);

    ngx_mc_json_key(json, "sync_byte_errors");
    ngx_mc_json_uint(json, ts->sync_byte_errors);

    ngx_mc_json_key(json, "pat_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "continuity_errors");
    ngx_mc_json_uint(json, ts->continuity_errors);

    ngx_mc_json_key(json, "pmt_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "pid_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "transport_errors");
    ngx_mc_json_uint(json, ts->transport_errors);

    ngx_mc_json_key(json, "crc_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "pcr_repetition_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "pcr_discontinuity_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "pcr_accuracy_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "pts_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "cat_errors");
    ngx_mc_json_null(json);

    ngx_mc_json_key(json, "pcr_jitter_us");
    ngx_mc_json_null(json);

    ngx_mc_json_close(json, '}');
}


void
ngx_mc_media_tracks(ngx_mc_json_t *json, ngx_mc_endpoint_stat_t *stat)
{
    ngx_uint_t  i;

    /* a record that a process left half written may say anything */

    for (i = 0; i < stat->ntracks && i < NGX_MC_TRACKS; i++) {
        ngx_mc_media_track(json, &stat->tracks[i]);
    }
}


static void
ngx_mc_media_track(ngx_mc_json_t *json, ngx_mc_track_stat_t *track)
{
    ngx_mc_track_info_t  *info;

    info = &track->info;

    ngx_mc_json_open(json, '{');

    ngx_mc_json_key(json, "pid");
    ngx_mc_status_known(json, track->pid != NGX_MC_NONE, track->pid);

    ngx_mc_json_key(json, "type");

    switch (info->type) {

    case NGX_MC_TRACK_VIDEO:
        ngx_mc_json_raw(json, "\"video\"", 7);
        break;

    case NGX_MC_TRACK_AUDIO:
        ngx_mc_json_raw(json, "\"audio\"", 7);
        break;

    default: /* NGX_MC_TRACK_OTHER */
        ngx_mc_json_raw(json, "\"data\"", 6);
        break;
    }

    ngx_mc_json_key(json, "codec");

    if (info->codec > NGX_MC_CODEC_NONE && info->codec < NGX_MC_CODEC_N) {
        ngx_mc_status_str(json, &ngx_mc_codec_names[info->codec]);

    } else {
        ngx_mc_json_null(json);
    }

    ngx_mc_json_key(json, "bitrate");
    ngx_mc_json_uint(json, track->bitrate);

    ngx_mc_json_key(json, "frame_rate");
    ngx_mc_status_gauge(json, track->frame_rate > 0, track->frame_rate);

    switch (info->type) {

    case NGX_MC_TRACK_VIDEO:

        ngx_mc_json_key(json, "width");
        ngx_mc_status_known(json, info->width != 0, info->width);

        ngx_mc_json_key(json, "height");
        ngx_mc_status_known(json, info->height != 0, info->height);

        ngx_mc_json_key(json, "profile");
        ngx_mc_status_known(json, info->profile != 0, info->profile);

        ngx_mc_json_key(json, "level");
        ngx_mc_status_known(json, info->level != 0, info->level);

        break;

    case NGX_MC_TRACK_AUDIO:

        ngx_mc_json_key(json, "sample_rate");
        ngx_mc_status_known(json, info->sample_rate != 0, info->sample_rate);

        ngx_mc_json_key(json, "channels");
        ngx_mc_status_known(json, info->channels != 0, info->channels);

        break;
    }

    info->language[sizeof(info->language) - 1] = '\0';

    ngx_mc_json_key(json, "language");
    ngx_mc_http_text(json, info->language);

    ngx_mc_json_close(json, '}');
}
