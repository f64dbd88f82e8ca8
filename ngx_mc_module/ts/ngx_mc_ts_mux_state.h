
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_TS_MUX_STATE_H_INCLUDED_
#define _NGX_MC_TS_MUX_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_codec.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts_mux.h>


/* for ngx_mc_ts_mux*.c alone */


/*
 * Two time lines are written: DTS and PTS, which are the input's plus "base",
 * and the PCR.  A frame's last byte has a PCR of its DTS less "lead", or less
 * than that: what is left of the lead is for tracks that come late.  200 ms
 * covers how encoders interleave (tens of ms), two frames of audio in one PES
 * packet and the smoothing, and keeps audio within the 3584 bytes of a
 * decoder's buffer (ISO/IEC 13818-1, 2.4.2.3) up to 143 kbit/s.  With a rate
 * video comes earlier by the second that encoders spread a key frame over, and
 * audio waits for its time.
 *
 * When a track keeps coming later than that, DTS and PTS move, and not the
 * PCR: a decoder sees a pause, and its clock is not disturbed.
 */

#define NGX_MC_TS_MUX_PMT       0x1000
#define NGX_MC_TS_MUX_VIDEO     0x100
#define NGX_MC_TS_MUX_AUDIO     0x101
#define NGX_MC_TS_MUX_PROGRAM   1

/* 90 kHz, and 27 MHz */
#define ngx_mc_ts_mux_ms(n)     ((int64_t) (n) * 90)
#define ngx_mc_ts_mux_clock(n)  ((int64_t) (n) * 27000)

#define NGX_MC_TS_MUX_LEAD      ngx_mc_ts_mux_ms(200)
#define NGX_MC_TS_MUX_BUFFER    ngx_mc_ts_mux_ms(1000)
#define NGX_MC_TS_MUX_LEAD_MAX  ngx_mc_ts_mux_ms(5000)
#define NGX_MC_TS_MUX_HEADROOM  ngx_mc_ts_mux_ms(50)
#define NGX_MC_TS_MUX_START     ngx_mc_ts_mux_ms(1000)
#define NGX_MC_TS_MUX_WAIT      ngx_mc_ts_mux_ms(500)
#define NGX_MC_TS_MUX_STALE     1000000           /* us */
#define NGX_MC_TS_MUX_BACK      ngx_mc_ts_mux_ms(1000)

/* delivered so long before its DTS, else it is late */
#define NGX_MC_TS_MUX_MARGIN    ngx_mc_ts_mux_clock(5)

/* more than that and timestamps have jumped; audio beside video may not be
   believed so far */
#define NGX_MC_TS_MUX_JUMP      ngx_mc_ts_mux_clock(10000)
#define NGX_MC_TS_MUX_ODD       ngx_mc_ts_mux_clock(3000)

/* late or odd frames of audio in a row before something is done about it */
#define NGX_MC_TS_MUX_PATIENCE  12

/* a frame is spread over that much at most: more would keep audio waiting */
#define NGX_MC_TS_MUX_SPREAD    ngx_mc_ts_mux_clock(40)

/* TR 101 290, 2.3a: 40 ms; and what is aimed at */
#define NGX_MC_TS_MUX_PCR       ngx_mc_ts_mux_clock(25)
#define NGX_MC_TS_MUX_PCR_MAX   ngx_mc_ts_mux_clock(34)

/* TR 101 290, 1.3 and 1.5: 500 ms; players want it sooner */
#define NGX_MC_TS_MUX_PSI       ngx_mc_ts_mux_clock(75)
#define NGX_MC_TS_MUX_PSI_NEXT  ngx_mc_ts_mux_clock(50)

/* 27 MHz ticks: a TS packet takes 1.5 us at least, that is 1 Gbit/s, and at
   first as long as with 10 Mbit/s */
#define NGX_MC_TS_MUX_STEP_MIN  40
#define NGX_MC_TS_MUX_STEP      4060

/* ISO/IEC 13818-1, 2.4.2.2 */
#define NGX_MC_TS_MUX_PCR_BYTE  10

/* with a rate: what a delay of ours may make up for at once */
#define NGX_MC_TS_MUX_CATCH_UP  ngx_mc_ts_mux_clock(1000)
#define NGX_MC_TS_MUX_AHEAD     ngx_mc_ts_mux_clock(1000)

/* the encoder's clock is followed as ngx_mc_rtp_pace.c does it: 200 ppm */
#define NGX_MC_TS_MUX_SLEW      5000

/* but 80 ppm while it is off by less than that: the rate is exact to 0.01 % */
#define NGX_MC_TS_MUX_SLOW      2160
#define NGX_MC_TS_MUX_OFF       ngx_mc_ts_mux_clock(100)
#define NGX_MC_TS_MUX_WINDOW    3000000           /* us */

#define NGX_MC_TS_MUX_BATCH     16                /* datagrams */
#define NGX_MC_TS_MUX_RING      256
#define NGX_MC_TS_MUX_RING_MAX  (128 * 1024)      /* 24 MB of TS */
#define NGX_MC_TS_MUX_GATHER    8192
#define NGX_MC_TS_MUX_CONFIG    65536
#define NGX_MC_TS_MUX_SANE      ((int64_t) 1 << 48)

#define NGX_MC_TS_MUX_NEVER     (- ((int64_t) 1 << 61))

/* SoundFormat of FLV */
#define NGX_MC_TS_MUX_FLV_MP3   2
#define NGX_MC_TS_MUX_FLV_AAC   10

#define NGX_MC_TS_MUX_AF_PCR    8                 /* with its length */

/* what a queued packet needs when it leaves */
#define NGX_MC_TS_MUX_F_PCR     1
#define NGX_MC_TS_MUX_F_PAT     2
#define NGX_MC_TS_MUX_F_PMT     4

/* indices of tracks, and of continuity counters */
#define NGX_MC_TS_MUX_V         0
#define NGX_MC_TS_MUX_A         1
#define NGX_MC_TS_MUX_CC_PAT    2
#define NGX_MC_TS_MUX_CC_PMT    3


typedef struct {
    int64_t                 release;       /* 27 MHz: not before */
    uint8_t                 flags;
    u_char                  ts[NGX_MC_TS_SIZE];
} ngx_mc_ts_mux_entry_t;

typedef struct {
    ngx_mc_ts_mux_entry_t  *entries;
    ngx_uint_t              size;          /* a power of 2 */
    ngx_uint_t              head;
    ngx_uint_t              count;
} ngx_mc_ts_mux_ring_t;

typedef struct {
    uint16_t                pid;
    uint8_t                 codec;
    unsigned                known:1;       /* its configuration is there */
    unsigned                dirty:1;       /* video: until a key frame */
    unsigned                sets:1;        /* video: to be sent even so */
    unsigned                expected:1;    /* by the metadata, */
    unsigned                hinted:1;      /* if there was any */
    unsigned                marked:1;      /* discontinuity seen, and the
                                              other track's may follow */
    u_char                 *config;
    size_t                  config_len;
    ngx_mc_track_info_t     info;
    int64_t                 skew;          /* 90 kHz, beside "base" */
    int64_t                 last;          /* the last DTS written, 90 kHz */
    int64_t                 origin;
    ngx_uint_t              odd;           /* frames in a row */
    ngx_mc_ts_mux_ring_t    ring;
} ngx_mc_ts_mux_track_t;

/* the PES packet that is being written */

typedef struct {
    int64_t                 start;         /* 27 MHz: when it begins, */
    int64_t                 span;          /* what n packets take, */
    ngx_uint_t              n;             /* by estimate, */
    ngx_uint_t              k;             /* and how many there were */
    size_t                  left;          /* bytes not yet in a packet */
    size_t                  room;          /* in the current one */
    u_char                 *p;
    int64_t                 release;       /* of its packets */
    ngx_mc_ts_mux_track_t  *track;
    unsigned                first:1;
    unsigned                key:1;
    unsigned                pcr:1;         /* the PID has it */
} ngx_mc_ts_mux_pes_t;

struct ngx_mc_ts_mux_s {
    uint64_t                rate;
    ngx_uint_t              cap;
    ngx_mc_ts_mux_send_pt   send;
    void                   *data;
    ngx_log_t              *log;
    uint64_t                dropped;

    ngx_mc_ts_mux_track_t   tracks[2];
    ngx_mc_video_config_t   sets;          /* points into its config */

    int64_t                 base;          /* 90 kHz: output less input */
    int64_t                 lead;          /* 90 kHz */
    int64_t                 shift;         /* of DTS, for negative
                                              composition times; 90 kHz */
    int64_t                 cur;           /* 27 MHz: end of what was sent */
    int64_t                 sent;          /* the last packet's time */
    int64_t                 advance;       /* of "cur" by the last frame */
    int64_t                 last_pcr;
    int64_t                 last_psi;
    int64_t                 last_origin;
    int64_t                 step;          /* per packet of the last video */
    int64_t                 wait;          /* 90 kHz, input: since when, */
    int64_t                 wait_origin;   /* and us */
    int64_t                 check;         /* us: which tracks came back */

    unsigned                started:1;
    unsigned                waiting:1;
    unsigned                rebase:1;      /* the next frame sets "base" */
    unsigned                clocked:1;     /* there is a time line */
    unsigned                disc:1;        /* for the next PCR, */
    unsigned                jump:1;        /* and the next datagram */
    unsigned                psi:1;         /* to be sent with the next frame */
    unsigned                checking:1;
    unsigned                hint:1;        /* there were metadata, and no
                                              frame since then */

    /* PSI: current, and what was sent last */
    u_char                  pat[NGX_MC_TS_SIZE];
    u_char                  pmt[NGX_MC_TS_SIZE];
    u_char                  pmt_out[NGX_MC_TS_SIZE];
    uint16_t                pcr_pid;       /* of pmt_out */
    uint8_t                 version;
    uint8_t                 repeat;        /* packets of it that are due */
    uint8_t                 cc[4];

    ngx_mc_ts_mux_pes_t     pes;

    /* audio that waits for the next frame, with ADTS */
    size_t                  held;
    int64_t                 held_dts;      /* as output, 90 kHz */
    int64_t                 held_next;
    int64_t                 held_origin;

    /* with a rate: the time of the next packet, exact: "frac" of "rate" */
    int64_t                 slot;
    uint64_t                frac;
    uint64_t                slot_step;
    uint64_t                slot_frac;
    int64_t                 slot_time;     /* of a packet, rounded up */
    int64_t                 others;        /* packets/s that are not video */
    int64_t                 offset;        /* from now, 27 MHz, to PCR */
    int64_t                 target;        /* where the offset is to go */
    int64_t                 slack;         /* the least of this window */
    int64_t                 window;        /* us */
    int64_t                 ticked;

    /* output */
    ngx_uint_t              npkts;
    ngx_uint_t              nts;           /* in the last one */
    int64_t                 origin;
    ngx_mc_packet_t         pkts[NGX_MC_TS_MUX_BATCH];
    u_char                  out[NGX_MC_TS_MUX_BATCH][NGX_MC_TS_DATAGRAM];
    u_char                  gather[NGX_MC_TS_MUX_GATHER];
};


/* ngx_mc_ts_mux_track.c */

void ngx_mc_ts_mux_meta(ngx_mc_ts_mux_t *mx, u_char *p, size_t len);
ngx_int_t ngx_mc_ts_mux_config(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, ngx_mc_frame_t *frame);
ngx_int_t ngx_mc_ts_mux_mp3(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    u_char *p, size_t len);
int64_t ngx_mc_ts_mux_duration(ngx_mc_ts_mux_track_t *track);


/* ngx_mc_ts_mux_psi.c */

void ngx_mc_ts_mux_tables(ngx_mc_ts_mux_t *mx);
void ngx_mc_ts_mux_psi(ngx_mc_ts_mux_t *mx, int64_t t);


/* ngx_mc_ts_mux_es.c */

void ngx_mc_ts_mux_video(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);
void ngx_mc_ts_mux_audio(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);
void ngx_mc_ts_mux_release(ngx_mc_ts_mux_t *mx);


/* ngx_mc_ts_mux_pes.c */

size_t ngx_mc_ts_mux_pes_header(u_char *buf, ngx_uint_t id, size_t size,
    int64_t pts, int64_t dts);
void ngx_mc_ts_mux_put(ngx_mc_ts_mux_t *mx, u_char *data, size_t len);
void ngx_mc_ts_mux_end(ngx_mc_ts_mux_t *mx);
u_char *ngx_mc_ts_mux_slot(ngx_mc_ts_mux_t *mx, int64_t t);
void ngx_mc_ts_mux_cut(ngx_mc_ts_mux_t *mx);
void ngx_mc_ts_mux_flush(ngx_mc_ts_mux_t *mx);


/* ngx_mc_ts_mux_clock.c */

void ngx_mc_ts_mux_rebase(ngx_mc_ts_mux_t *mx, int64_t dts, int64_t origin);
int64_t ngx_mc_ts_mux_now(ngx_mc_ts_mux_t *mx, int64_t origin);
ngx_uint_t ngx_mc_ts_mux_beside(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, int64_t origin);
ngx_int_t ngx_mc_ts_mux_schedule(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, int64_t *dts, size_t size, ngx_uint_t key,
    int64_t origin);
void ngx_mc_ts_mux_fill(ngx_mc_ts_mux_t *mx, int64_t until);
void ngx_mc_ts_mux_silence(ngx_mc_ts_mux_t *mx, int64_t now);
void ngx_mc_ts_mux_pcr_only(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t);
void ngx_mc_ts_mux_pcr(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t,
    int64_t step);


/* ngx_mc_ts_mux_rate.c */

ngx_int_t ngx_mc_ts_mux_fits(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t dts, ngx_uint_t n, int64_t now);
ngx_mc_ts_mux_entry_t *ngx_mc_ts_mux_push(ngx_mc_ts_mux_ring_t *ring);


#endif /* _NGX_MC_TS_MUX_STATE_H_INCLUDED_ */
