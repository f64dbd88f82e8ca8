
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_TS_DEMUX_H_INCLUDED_
#define _NGX_MC_TS_DEMUX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>


/*
 * Frames from a transport stream: one video and one audio track of one
 * programme.  No event, no timer, no clock of its own; all memory from the
 * heap, bounded.
 *
 * Timestamps of both tracks are on one line for as long as the demultiplexer
 * lives, so that their difference is always that of the source: a consumer
 * needs one offset for both, and it need never change.  Where the time base
 * of the source jumps (a PCR says so, or a DTS is more than 10 s ahead of
 * where it should be, or half a second back) and after
 * ngx_mc_ts_demux_reset(), the line goes on from the last frame by as much as
 * "origin" went on meanwhile, at least by a frame.  The next frame of each
 * track, which may be a configuration, is marked "discontinuity" then: the
 * time since the frame before is an estimate.  The two marks need not come
 * together; frames of the other track that are not marked yet are of the old
 * time base, and on the line all the same.
 *
 * A configuration comes before the first frame, and again when it changes; no
 * frame comes before it.  Metadata come when all tracks are known, or after a
 * second, and again when they change.  A video frame comes when the next one
 * begins, or when its PES packet is full, if packets of one frame each were
 * seen; or by ngx_mc_ts_demux_flush().
 */


/* which; -1 and "": the first one that can be played */

typedef struct {
    ngx_int_t         program;       /* program_number */
    ngx_int_t         video;         /* PIDs */
    ngx_int_t         audio;
    u_char            language[4];   /* of the audio, zero-terminated */
} ngx_mc_ts_select_t;


typedef struct ngx_mc_ts_demux_s  ngx_mc_ts_demux_t;

typedef struct {

    /* a frame; what it points to is valid during the call */
    void            (*frame)(void *data, ngx_mc_frame_t *frame);

    /* a track that is left out because RTMP has no such codec, once for each
       change of the PMT that brings it */
    void            (*unsupported)(void *data, ngx_uint_t pid,
                                   ngx_uint_t stream_type, ngx_uint_t codec);
} ngx_mc_ts_demux_handlers_t;


/* the tracks chosen */

typedef struct {
    uint16_t              pid;           /* 0: none */
    ngx_mc_track_info_t   info;
    uint64_t              bytes;         /* of payload, since create() */
    uint64_t              frames;
} ngx_mc_ts_demux_track_t;


ngx_mc_ts_demux_t *ngx_mc_ts_demux_create(ngx_mc_ts_select_t *select,
    ngx_mc_ts_demux_handlers_t *handlers, void *data, ngx_log_t *log);
void ngx_mc_ts_demux_free(ngx_mc_ts_demux_t *dm);

/* whole TS packets, any number; origin as of ngx_mc_packet_t */
void ngx_mc_ts_demux(ngx_mc_ts_demux_t *dm, u_char *ts, size_t len,
    int64_t origin);

/* another stream begins: what is assembled is given up, the next frames are
   marked, PSI is read anew; counts stay */
void ngx_mc_ts_demux_reset(ngx_mc_ts_demux_t *dm);

/* the source is silent: a video frame that is complete as far as can be known
   is given out */
void ngx_mc_ts_demux_flush(ngx_mc_ts_demux_t *dm);

/* video, audio; pid 0: none */
ngx_mc_ts_demux_track_t *ngx_mc_ts_demux_tracks(ngx_mc_ts_demux_t *dm);

/* why nothing comes out though packets come in: "no PAT", "no programme 5",
   "no H.264, HEVC, AAC or MP3 in it", ...; NULL: it does */
const char *ngx_mc_ts_demux_problem(ngx_mc_ts_demux_t *dm);

/* counts since create(): PES packets given up, for a gap or a malformed
   header, and frames too large */
uint64_t ngx_mc_ts_demux_damaged(ngx_mc_ts_demux_t *dm);


#endif /* _NGX_MC_TS_DEMUX_H_INCLUDED_ */
