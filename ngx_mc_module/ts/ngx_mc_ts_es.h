
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_TS_ES_H_INCLUDED_
#define _NGX_MC_TS_ES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts_demux.h>
#include <ngx_mc_ts_psi.h>
#include <ngx_mc_video.h>


/* the inside of the demultiplexer: what PES packets carry becomes frames */


/* bytes before what is assembled: the header of the tag, and the fourth byte
   of each length that takes the place of a start code of three */
#define NGX_MC_TS_ROOM       2048

#define NGX_MC_TS_NALS       1024

/* 90 kHz: 25 frames/s, before anything is known */
#define NGX_MC_TS_DURATION   3600

#define NGX_MC_TS_STAMPS     4

#define NGX_MC_TS_VIDEO      0
#define NGX_MC_TS_AUDIO      1

/* ngx_mc_ts_es_t.state: of the PES packet */
#define NGX_MC_TS_PES_NONE   0       /* up to the next one all is skipped */
#define NGX_MC_TS_PES_HEADER 1
#define NGX_MC_TS_PES_DATA   2
#define NGX_MC_TS_PES_FULL   3       /* PES_packet_length was reached */

/* 90 kHz: what a DTS is off at most if the PCR told of a new time base, or if
   it went back */
#define NGX_MC_TS_JUMP_TOLD  (90000 / 2)

/* adaptation_field_length with a PCR */
#define NGX_MC_TS_AF_PCR     7

/* PES_header_data_length is of a byte */
#define NGX_MC_TS_PES_MAX    (9 + 255)


/* the timestamps of a PES packet, for the first access unit that begins in
   it: ISO/IEC 13818-1, 2.4.3.7 */

typedef struct {
    size_t            pos;           /* in the buffer: its first byte */
    int64_t           dts;
    int64_t           pts;
    unsigned          fresh:1;       /* not used yet */
    unsigned          mark:1;        /* a jump */
    unsigned          random:1;      /* random_access_indicator */
} ngx_mc_ts_stamp_t;


typedef struct {
    ngx_mc_ts_demux_track_t  *track;

    /* TS */
    uint64_t          tail;          /* the last bytes of the last packet */
    uint8_t           cc;
    uint8_t           stream_type;
    unsigned          known:1;       /* cc is */
    unsigned          repeated:1;
    unsigned          random:1;      /* random_access_indicator, for the next
                                        timestamps */
    unsigned          free:1;        /* the next cc may be any */
    unsigned          scrambled:1;

    /* PES */
    unsigned          bounded:1;
    unsigned          stuffed:1;     /* its last packet had stuffing: that is
                                        how the end of a packet looks */
    uint8_t           state;
    uint16_t          head_len;
    uint32_t          length;        /* of the payload, if bounded */
    uint32_t          left;
    u_char            head[NGX_MC_TS_PES_MAX];

    /* what is assembled: buf[start] to buf[end] */
    u_char           *buf;
    size_t            size;
    size_t            start;
    size_t            end;

    size_t            appended;      /* the last packet's payload began here */
    int64_t           origin;        /* of it */
    int64_t           before;        /* of the packet before it */

    ngx_mc_ts_stamp_t stamps[NGX_MC_TS_STAMPS];
    ngx_uint_t        stamp;         /* the newest */

    /* timestamps */
    int64_t           raw;           /* the last DTS, extended */
    int64_t           raw_out;       /* as it was given out */
    int64_t           raw_origin;
    int64_t           next;          /* when the next frame is due */
    int64_t           step;          /* how long the last one was */
    int8_t            line;          /* -1: none yet */
    unsigned          any:1;         /* raw_out was set ever */
    unsigned          due:1;         /* next is known */
    unsigned          jump:1;        /* a new time base was announced */
    unsigned          mark:1;        /* the next frame is to be marked */
} ngx_mc_ts_es_t;


typedef struct {
    uint32_t          start;         /* after its start code */
    uint32_t          len;
    uint32_t          to;
    uint8_t           type;
} ngx_mc_ts_nal_t;


typedef struct {
    u_char           *data;
    uint32_t          len;
    uint16_t          id;
    uint8_t           type;          /* nal_unit_type */
} ngx_mc_ts_set_t;


/* picture order counts: H.264 those of frames and of top fields, for the
   distances are alike */

typedef struct {
    int64_t           value;         /* of the frame that is assembled */
    int64_t           prev;          /* what the next one is counted from */

    int64_t           anchor;        /* of the frame that others are measured
                                        by: the last stamped one, as a rule */
    int64_t           anchor_pts;
    int64_t           anchor_delay;  /* its PTS - its DTS */
    int64_t           begin_delay;   /* likewise, where counts began anew */
    int64_t           last;          /* the highest PTS since then */

    uint8_t           step;          /* counts from a frame to the next */
    uint8_t           seen;          /* likewise, as measured last */

    unsigned          known:1;       /* value is */
    unsigned          counted:1;     /* prev is known */
    unsigned          anchored:1;
    unsigned          delayed:1;     /* begin_delay is known */
    unsigned          shown:1;       /* last is known */
    unsigned          begins:1;      /* here counts begin anew */
    unsigned          leads:1;       /* frames may follow that are shown
                                        before it */
    unsigned          ended:1;       /* the end of a sequence: at the next
                                        picture they do */
} ngx_mc_ts_poc_t;


typedef struct {

    /* NAL units of the frame that is assembled, and of what follows */
    ngx_uint_t        n;
    ngx_uint_t        seen;          /* of them, looked at */
    ngx_uint_t        cut;           /* here the next access unit may begin;
                                        0: unknown */
    size_t            scan;          /* no start code before it is unknown */

    unsigned          vcl:1;         /* there is a slice */
    unsigned          field:1;       /* of a field, its pair is missing */
    unsigned          pair:1;        /* of two fields */
    unsigned          broken:1;      /* its beginning is missing */
    unsigned          lossy:1;       /* something was lost before */
    unsigned          bottom:1;      /* the first field is a bottom field */
    unsigned          parity:1;      /* bottom is known */
    unsigned          sync:1;        /* where the frame begins is known */
    unsigned          spans:1;       /* access units span PES packets */
    unsigned          given:1;       /* this PES packet was given out */
    unsigned          stamped:1;
    unsigned          mark:1;
    unsigned          timed:1;       /* dts is of a frame before */
    unsigned          dirty:1;       /* sets are not those of config */
    unsigned          rate:1;        /* duration is from the SPS */

    uint8_t           aligned;       /* PES packets of one unit, in a row */
    ngx_uint_t        key;           /* NGX_MC_KEY_* */

    size_t            pes;           /* where the PES packet begins */
    ngx_uint_t        pes_nal;       /* a NAL unit began there */

    ngx_mc_h264_slice_t  slice;      /* the last one */
    ngx_mc_h264_slice_t  first;      /* of the frame */

    /* of the frame that is assembled, if stamped; else of the last one */
    int64_t           dts;
    int64_t           pts;
    int64_t           stamp_dts;
    int64_t           stamp_pts;
    int64_t           duration;      /* of an access unit */
    int64_t           last_dts;      /* of the last one stamped */
    ngx_uint_t        units;         /* given out from there on; 0: unknown */

    ngx_mc_ts_poc_t   poc;

    u_char           *config;        /* room for the header before it */
    size_t            config_size;
    size_t            config_len;

    ngx_uint_t        nsets;
    ngx_mc_ts_set_t   sets[NGX_MC_PARAM_SETS];

    ngx_mc_h264_sps_t sps[32];
    uint8_t           sps_known[32];
    uint8_t           pps_sps[256];  /* seq_parameter_set_id + 1 */

    ngx_mc_hevc_sps_t hevc_sps[16];
    ngx_mc_hevc_pps_t hevc_pps[64];
    uint8_t           hevc_sps_known[16];
    uint8_t           hevc_pps_known[64];

    ngx_mc_ts_nal_t   nals[NGX_MC_TS_NALS];
} ngx_mc_ts_video_t;


typedef struct {
    unsigned          locked:1;
    unsigned          timed:1;
    unsigned          mark:1;
    unsigned          latm:1;        /* a StreamMuxConfig was read */

    int64_t           anchor;        /* a PTS */
    uint64_t          samples;       /* since then */
    uint32_t          rate;

    /* LATM */
    uint8_t           subframes;
    uint8_t           asc_len;
    uint16_t          frame_samples;
    uint32_t          core_rate;
    u_char            asc[16];

    size_t            config_len;
    u_char            config[NGX_MC_FLV_HEADER + 64];
    u_char           *scratch;
} ngx_mc_ts_audio_t;


/* one time base of the source */

typedef struct {
    int64_t           offset;        /* from its timestamps to ours */
} ngx_mc_ts_line_t;


/* what is known about a programme of the PAT */

typedef struct {
    uint32_t          crc;           /* of the PMT that was told about */
    unsigned          told:1;
} ngx_mc_ts_program_t;


struct ngx_mc_ts_demux_s {
    ngx_mc_ts_select_t          select;
    ngx_mc_ts_demux_handlers_t  handlers;
    void                       *data;
    ngx_log_t                  *log;

    ngx_mc_ts_demux_track_t     tracks[2];
    ngx_mc_ts_es_t              es[2];
    ngx_mc_ts_video_t           video;
    ngx_mc_ts_audio_t           audio;

    uint16_t                    pcr_pid;
    uint16_t                    pmt_pid;
    uint64_t                    damaged;

    ngx_mc_ts_line_t            lines[2];
    int64_t                     pcr;
    unsigned                    pcr_known:1;
    unsigned                    pcr_jump:1;

    unsigned                    select_again:1;
    unsigned                    found:1;      /* a programme is chosen */
    unsigned                    mapped:1;     /* its PMT is known */
    unsigned                    barren:1;     /* nothing in it for us */
    unsigned                    frames:1;     /* since the last reset */
    unsigned                    begun:1;      /* begin is known */
    unsigned                    meta:1;       /* is due */

    int64_t                     origin;       /* of what is being read */
    int64_t                     begin;        /* dts of the first frame */

    ngx_mc_psi_t                pat_psi;
    ngx_mc_psi_t                pmt_psi;
    ngx_mc_psi_pat_t            pat;
    ngx_mc_psi_pat_t            new_pat;
    ngx_mc_psi_pmt_t            pmt;
    ngx_mc_psi_pmt_t            new_pmt;
    uint8_t                     unplayable[NGX_MC_PSI_STREAMS];
    ngx_mc_ts_program_t         programs[NGX_MC_PSI_PROGRAMS];
    ngx_uint_t                  program;      /* index of the chosen one */
    ngx_uint_t                  waited;       /* PATs without its PMT */
    u_char                      pmt_crc[4];

    char                        problem[64];

    size_t                      meta_len;
    u_char                      meta_buf[1024];
};


/* the difference of two timestamps of 33 bits */

static ngx_inline int64_t
ngx_mc_ts_diff(uint64_t a, uint64_t b)
{
    return (int64_t) ((a - b) << 31) >> 31;
}


/* ngx_mc_ts_es.c: a TS packet of a track to PES packets, and these to what
   the access units are in, with their timestamps on our line */

void ngx_mc_ts_es_packet(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    u_char *p);

/* what is assembled is given up; likewise, and another stream comes */
void ngx_mc_ts_es_drop(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);
void ngx_mc_ts_es_reset(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);

/* NGX_ERROR: it was given up */
ngx_int_t ngx_mc_ts_es_append(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    u_char *p, size_t len);

/* what is before "pos" was used up */
void ngx_mc_ts_es_consume(ngx_mc_ts_es_t *es, size_t pos);

/* the PES packet is given up, and counted */
void ngx_mc_ts_es_give_up(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);

/* the timestamps for an access unit that begins at pos; NULL: none */
ngx_mc_ts_stamp_t *ngx_mc_ts_es_stamp(ngx_mc_ts_es_t *es, size_t pos);

/* when what ends at pos had arrived */
#define ngx_mc_ts_es_origin(es, pos)                                          \
    (((pos) <= (es)->appended) ? (es)->before : (es)->origin)


/* ngx_mc_ts_demux.c */

/* type, codec, dts, pts, key, config and origin are set */
void ngx_mc_ts_demux_frame(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    ngx_mc_frame_t *frame, u_char *payload, size_t len);

/* the codec turned out to be another one */
void ngx_mc_ts_demux_unplayable(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    ngx_uint_t codec);


/* ngx_mc_ts_video.c */

void ngx_mc_ts_video_pes(ngx_mc_ts_demux_t *dm);
void ngx_mc_ts_video_data(ngx_mc_ts_demux_t *dm);
void ngx_mc_ts_video_end(ngx_mc_ts_demux_t *dm);
void ngx_mc_ts_video_flush(ngx_mc_ts_demux_t *dm);

/* what is assembled is given up */
void ngx_mc_ts_video_drop(ngx_mc_ts_demux_t *dm);

/* likewise, and another stream comes */
void ngx_mc_ts_video_reset(ngx_mc_ts_demux_t *dm);


/* ngx_mc_ts_video_sets.c: parameter sets */

/* one that is complete */
void ngx_mc_ts_video_set(ngx_mc_ts_demux_t *dm, u_char *nal, size_t len,
    ngx_uint_t type);
void ngx_mc_ts_video_forget(ngx_mc_ts_video_t *v);

/* config is made of them; NGX_ERROR: not all are there, or no memory */
ngx_int_t ngx_mc_ts_video_config(ngx_mc_ts_demux_t *dm);


/* ngx_mc_ts_video_time.c: timestamps */

/* the first slice of a picture; pair: of the second field of a frame */
void ngx_mc_ts_video_poc_h264(ngx_mc_ts_video_t *v,
    ngx_mc_h264_slice_t *slice, ngx_uint_t pair);
void ngx_mc_ts_video_poc_hevc(ngx_mc_ts_video_t *v, u_char *nal, size_t len);

/* dts and pts of the frame that is assembled */
void ngx_mc_ts_video_time(ngx_mc_ts_demux_t *dm);

/* something was lost; likewise, and another stream comes */
void ngx_mc_ts_video_time_drop(ngx_mc_ts_video_t *v);
void ngx_mc_ts_video_time_reset(ngx_mc_ts_video_t *v);


/* ngx_mc_ts_audio.c */

void ngx_mc_ts_audio_data(ngx_mc_ts_demux_t *dm);
void ngx_mc_ts_audio_drop(ngx_mc_ts_demux_t *dm);
void ngx_mc_ts_audio_reset(ngx_mc_ts_demux_t *dm);


#endif /* _NGX_MC_TS_ES_H_INCLUDED_ */
