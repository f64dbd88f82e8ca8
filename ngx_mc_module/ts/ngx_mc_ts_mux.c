
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>
#include <ngx_mc_codec.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts_mux.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/pes.h>
#include <bitstream/mpeg/psi/psi.h>
#include <bitstream/mpeg/psi/pat.h>
#include <bitstream/mpeg/psi/pmt.h>
#include <bitstream/mpeg/psi/desc_05.h>


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


/* what walking over the NAL units of a frame finds */

typedef struct {
    size_t                  size;          /* in Annex B */
    unsigned                aud:1;         /* begins with one */
    unsigned                sets:1;        /* has parameter sets */
} ngx_mc_ts_mux_nals_t;


static void ngx_mc_ts_mux_marked(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);
static void ngx_mc_ts_mux_meta(ngx_mc_ts_mux_t *mx, u_char *p, size_t len);
static u_char *ngx_mc_ts_mux_find(u_char *p, size_t len, const char *key,
    size_t key_len, double *value);
static ngx_int_t ngx_mc_ts_mux_config(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, ngx_mc_frame_t *frame);
static ngx_int_t ngx_mc_ts_mux_mp3(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, u_char *p, size_t len);
static ngx_uint_t ngx_mc_ts_mux_start(ngx_mc_ts_mux_t *mx,
    ngx_mc_frame_t *frame);
static void ngx_mc_ts_mux_tables(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_video(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);
static ngx_int_t ngx_mc_ts_mux_nals(ngx_mc_ts_mux_t *mx, u_char *p,
    u_char *last, ngx_mc_ts_mux_nals_t *nals);
static ngx_inline u_char *ngx_mc_ts_mux_nal(u_char *p, u_char *last,
    ngx_uint_t length_size, size_t *len);
static void ngx_mc_ts_mux_put_sets(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_check(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);
static void ngx_mc_ts_mux_emit(ngx_mc_ts_mux_t *mx, int64_t dts,
    int64_t origin, u_char *adts, size_t adts_len, u_char *data, size_t len);
static void ngx_mc_ts_mux_end(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_audio(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame);
static void ngx_mc_ts_mux_release(ngx_mc_ts_mux_t *mx);
static int64_t ngx_mc_ts_mux_duration(ngx_mc_ts_mux_track_t *track);
static void ngx_mc_ts_mux_rebase(ngx_mc_ts_mux_t *mx, int64_t dts,
    int64_t origin);
static ngx_int_t ngx_mc_ts_mux_schedule(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, int64_t *dts, size_t size, ngx_uint_t key,
    int64_t origin);
static ngx_int_t ngx_mc_ts_mux_late(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, int64_t *dts, int64_t now, int64_t least,
    ngx_uint_t beside);
static ngx_int_t ngx_mc_ts_mux_fits(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, int64_t dts, ngx_uint_t n, int64_t now);
static ngx_int_t ngx_mc_ts_mux_raise(ngx_mc_ts_mux_t *mx, int64_t late);
static ngx_uint_t ngx_mc_ts_mux_beside(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track, int64_t origin);
static int64_t ngx_mc_ts_mux_now(ngx_mc_ts_mux_t *mx, int64_t origin);
static size_t ngx_mc_ts_mux_pes_header(u_char *buf, ngx_uint_t id, size_t size,
    int64_t pts, int64_t dts);
static void ngx_mc_ts_mux_put(ngx_mc_ts_mux_t *mx, u_char *data, size_t len);
static void ngx_mc_ts_mux_packet(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_psi(ngx_mc_ts_mux_t *mx, int64_t t);
static void ngx_mc_ts_mux_fill(ngx_mc_ts_mux_t *mx, int64_t until);
static void ngx_mc_ts_mux_pcr_only(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t);
static void ngx_mc_ts_mux_pcr(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t,
    int64_t step);
static u_char *ngx_mc_ts_mux_slot(ngx_mc_ts_mux_t *mx, int64_t t);
static void ngx_mc_ts_mux_cut(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_flush(ngx_mc_ts_mux_t *mx);
static ngx_int_t ngx_mc_ts_mux_room(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_ring_t *ring, ngx_uint_t n);
static ngx_mc_ts_mux_entry_t *ngx_mc_ts_mux_push(ngx_mc_ts_mux_ring_t *ring);
static ngx_uint_t ngx_mc_ts_mux_pop(ngx_mc_ts_mux_t *mx,
    ngx_mc_ts_mux_track_t *track);
static void ngx_mc_ts_mux_next(ngx_mc_ts_mux_t *mx);
static void ngx_mc_ts_mux_silence(ngx_mc_ts_mux_t *mx, int64_t now);
static void ngx_mc_ts_mux_follow(ngx_mc_ts_mux_t *mx, int64_t now);


#define ngx_mc_ts_mux_is_set(codec, nal)                                      \
    ((codec) == NGX_MC_CODEC_H264                                             \
     ? ngx_mc_h264_nal_type(nal) == 7 || ngx_mc_h264_nal_type(nal) == 8       \
     : ngx_mc_hevc_nal_type(nal) >= 32 && ngx_mc_hevc_nal_type(nal) <= 34)


static u_char  ngx_mc_ts_mux_code[4] = { 0, 0, 0, 1 };

/* access unit delimiters that allow any slice: ITU-T H.264, 7.3.2.4, H.265,
   7.3.2.5 */
static u_char  ngx_mc_ts_mux_aud_h264[6] = { 0, 0, 0, 1, 0x09, 0xf0 };
static u_char  ngx_mc_ts_mux_aud_hevc[7] = { 0, 0, 0, 1, 0x46, 0x01, 0x50 };


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
 * a track that does not come back within a second leaves the PMT.
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

    mx->tracks[NGX_MC_TS_MUX_V].hinted = 0;
    mx->tracks[NGX_MC_TS_MUX_A].hinted = 0;
    mx->tracks[NGX_MC_TS_MUX_V].dirty = 1;

    mx->started = 0;
    mx->waiting = 0;
    mx->rebase = 1;
}


/*
 * "onMetaData" tells which tracks there will be, or of neither.  MP3 has no
 * configuration that precedes it, and that of AAC may come late: this is the
 * only word of it before a first key frame is to be sent.
 */

static void
ngx_mc_ts_mux_meta(ngx_mc_ts_mux_t *mx, u_char *p, size_t len)
{
    double                  codec, rate;
    ngx_uint_t              video, audio;
    ngx_mc_ts_mux_track_t  *track;

    codec = -1;
    rate = -1;

    video = ngx_mc_ts_mux_find(p, len, "\0\x0cvideocodecid", 14, &codec)
            != NULL;

    codec = -1;

    audio = ngx_mc_ts_mux_find(p, len, "\0\x0c" "audiocodecid", 14, &codec)
            != NULL;

    if (!video && !audio) {
        return;
    }

    track = &mx->tracks[NGX_MC_TS_MUX_A];

    mx->tracks[NGX_MC_TS_MUX_V].hinted = 1;
    mx->tracks[NGX_MC_TS_MUX_V].expected = video;
    track->hinted = 1;
    track->expected = audio;

    if (mx->started || track->known) {
        return;
    }

    if (codec == NGX_MC_TS_MUX_FLV_AAC) {

        /* all that the PMT has to tell of it: encoders that copy send the
           configuration behind the first key frame */

        ngx_memzero(&track->info, sizeof(ngx_mc_track_info_t));

        track->codec = NGX_MC_CODEC_AAC;
        track->config_len = 0;
        track->known = 1;

        return;
    }

    if (codec != NGX_MC_TS_MUX_FLV_MP3) {
        return;
    }

    (void) ngx_mc_ts_mux_find(p, len, "\0\x0f" "audiosamplerate", 17, &rate);

    ngx_memzero(&track->info, sizeof(ngx_mc_track_info_t));

    track->codec = NGX_MC_CODEC_MP3;
    track->config_len = 0;
    track->known = 1;

    /* the first frame sets the rate, which may make another PMT */

    track->info.sample_rate = (rate > 0 && rate < 32000) ? 22050 : 44100;
}


/* a property of an AMF0 object; its value if it is a number */

static u_char *
ngx_mc_ts_mux_find(u_char *p, size_t len, const char *key, size_t key_len,
    double *value)
{
    size_t    i, k;
    uint64_t  n;

    for (i = 0; i + key_len <= len; i++) {

        if (ngx_memcmp(p + i, key, key_len) != 0) {
            continue;
        }

        p += i + key_len;
        len -= i + key_len;

        if (len >= 9 && p[0] == 0) {
            n = 0;

            for (k = 1; k < 9; k++) {
                n = n << 8 | p[k];
            }

            ngx_memcpy(value, &n, sizeof(double));
        }

        return p;
    }

    return NULL;
}


static ngx_int_t
ngx_mc_ts_mux_config(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    ngx_mc_frame_t *frame)
{
    u_char                 *p, *config, adts[7];
    size_t                  len;
    ngx_int_t               rc;
    ngx_mc_track_info_t     info;
    ngx_mc_video_config_t   cfg;

    p = frame->tag + frame->header;
    len = frame->len - frame->header;

    if (track->known
        && track->codec == frame->codec
        && track->config_len == len
        && ngx_memcmp(track->config, p, len) == 0)
    {
        return NGX_OK;
    }

    if (len == 0 || len > NGX_MC_TS_MUX_CONFIG) {
        return NGX_ERROR;
    }

    ngx_memzero(&info, sizeof(ngx_mc_track_info_t));

    switch (frame->codec) {

    case NGX_MC_CODEC_H264:
    case NGX_MC_CODEC_HEVC:
        rc = ngx_mc_video_config_read(frame->codec, p, len, &cfg, &info);
        break;

    case NGX_MC_CODEC_AAC:
        rc = ngx_mc_aac_config_read(p, len, &info);

        if (rc == NGX_OK) {
            rc = ngx_mc_adts_write(adts, 1, p, len);
        }

        break;

    default:
        rc = NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    config = ngx_alloc(len, mx->log);
    if (config == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(config, p, len);

    if (track->pid == NGX_MC_TS_MUX_AUDIO) {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_flush(mx);

    } else {

        /* pictures of another codec cannot be decoded without a key frame */

        track->dirty |= (track->codec != frame->codec);
        track->sets = 1;
    }

    if (track->config) {
        ngx_free(track->config);
    }

    if (track->pid == NGX_MC_TS_MUX_VIDEO) {

        /* the same bytes again: now with pointers that stay */

        (void) ngx_mc_video_config_read(frame->codec, config, len, &mx->sets,
                                        &info);
    }

    track->config = config;
    track->config_len = len;
    track->codec = frame->codec;
    track->info = info;
    track->known = 1;

    if (mx->started) {
        ngx_mc_ts_mux_tables(mx);
    }

    return NGX_OK;
}


/* MP3 has no configuration but the header of each frame */

static ngx_int_t
ngx_mc_ts_mux_mp3(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    u_char *p, size_t len)
{
    uint32_t              size, samples;
    ngx_mc_track_info_t   info;

    if (len < 4) {
        return NGX_ERROR;
    }

    ngx_memzero(&info, sizeof(ngx_mc_track_info_t));

    if (ngx_mc_mpa_read(p, len, &info, &size, &samples) != NGX_OK) {
        return NGX_ERROR;
    }

    if (track->known && track->codec == NGX_MC_CODEC_MP3
        && track->info.sample_rate == info.sample_rate)
    {
        return NGX_OK;
    }

    /* what is held is of the one before */

    ngx_mc_ts_mux_release(mx);
    ngx_mc_ts_mux_flush(mx);

    track->codec = NGX_MC_CODEC_MP3;
    track->info = info;
    track->config_len = 0;
    track->known = 1;

    if (mx->started) {
        ngx_mc_ts_mux_tables(mx);
    }

    return NGX_OK;
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


/* PAT and PMT, ISO/IEC 13818-1, 2.4.4.3 and 2.4.4.8 */

static void
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


/*
 * Annex B of ITU-T H.264 and H.265, from lengths.  ISO/IEC 13818-1, 2.14.1 and
 * 2.17.1: an access unit begins with a delimiter.
 */

static void
ngx_mc_ts_mux_video(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    u_char                 *p, *last, *nal, *aud;
    u_char                  header[PES_HEADER_SIZE_PTSDTS];
    size_t                  size, len, aud_len, code;
    int64_t                 dts, pts, base, back, ahead;
    ngx_uint_t              i, nsets;
    ngx_mc_ts_mux_nals_t    nals;
    ngx_mc_ts_mux_track_t  *track;

    track = &mx->tracks[NGX_MC_TS_MUX_V];

    if (track->dirty && !frame->key) {
        mx->dropped++;
        return;
    }

    p = frame->tag + frame->header;
    last = frame->tag + frame->len;

    if (ngx_mc_ts_mux_nals(mx, p, last, &nals) != NGX_OK) {
        mx->dropped++;
        track->dirty = 1;
        return;
    }

    /* time */

    back = frame->dts - frame->pts;

    if (back > mx->shift && back < NGX_MC_TS_MUX_BACK) {

        /* an encoder that does not delay its DTS for B-frames */

        mx->shift = back;
    }

    if (mx->rebase) {
        ngx_mc_ts_mux_rebase(mx, frame->dts - mx->shift, frame->origin);
    }

    dts = frame->dts - mx->shift + mx->base;

    back = (track->origin == NGX_MC_TS_MUX_NEVER) ? -1 : track->last - dts;
    ahead = (dts - mx->lead) * 300 - ngx_mc_ts_mux_now(mx, frame->origin);

    if (back >= NGX_MC_TS_MUX_BACK
        || ahead > (mx->rate ? NGX_MC_TS_MUX_AHEAD : NGX_MC_TS_MUX_JUMP))
    {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_rebase(mx, frame->dts - mx->shift, frame->origin);

        dts = frame->dts - mx->shift + mx->base;

    } else if (back >= 0) {

        /* not increasing: as little later as can be told */

        dts = track->last + 1;
    }

    pts = frame->pts + mx->base;

    if (pts < dts || pts - dts > NGX_MC_TS_MUX_LEAD_MAX * 2) {
        pts = dts;
    }

    if (mx->held && dts > mx->held_next + NGX_MC_TS_MUX_HEADROOM) {

        /* what this audio waits for does not come */

        ngx_mc_ts_mux_release(mx);
    }

    /* size */

    nsets = ((frame->key || track->sets) && !nals.sets) ? mx->sets.nsets : 0;

    if (track->codec == NGX_MC_CODEC_H264) {
        aud = ngx_mc_ts_mux_aud_h264;
        aud_len = sizeof(ngx_mc_ts_mux_aud_h264);

    } else {
        aud = ngx_mc_ts_mux_aud_hevc;
        aud_len = sizeof(ngx_mc_ts_mux_aud_hevc);
    }

    size = nals.size + (nals.aud ? 0 : aud_len);

    for (i = 0; i < nsets; i++) {
        size += 4 + mx->sets.sets[i].len;
    }

    len = (pts == dts) ? PES_HEADER_SIZE_PTS : PES_HEADER_SIZE_PTSDTS;
    base = dts;

    if (ngx_mc_ts_mux_schedule(mx, track, &dts, size + len, frame->key,
                               frame->origin)
        != NGX_OK)
    {
        mx->dropped++;
        track->dirty = 1;
        return;
    }

    pts += dts - base;

    len = ngx_mc_ts_mux_pes_header(header, PES_STREAM_ID_VIDEO_MPEG, size,
                                   pts, dts);

    ngx_mc_ts_mux_put(mx, header, len);

    if (!nals.aud) {
        ngx_mc_ts_mux_put(mx, aud, aud_len);
    }

    /* Annex B: zero_byte before the first one and before parameter sets */

    code = nals.aud ? 4 : 3;

    while (p < last) {

        nal = ngx_mc_ts_mux_nal(p, last, mx->sets.length_size, &len);
        p = nal + len;

        if (len == 0) {
            continue;
        }

        if (code == 3 && nsets) {
            ngx_mc_ts_mux_put_sets(mx);
            nsets = 0;
        }

        if (ngx_mc_ts_mux_is_set(track->codec, nal)) {
            code = 4;
        }

        ngx_mc_ts_mux_put(mx, ngx_mc_ts_mux_code + 4 - code, code);
        ngx_mc_ts_mux_put(mx, nal, len);

        code = 3;
    }

    if (nsets) {

        /* there was a delimiter only */

        ngx_mc_ts_mux_put_sets(mx);
    }

    ngx_mc_ts_mux_end(mx);

    track->last = dts;
    track->origin = frame->origin;
    track->dirty = 0;
    track->sets = 0;
}


static void
ngx_mc_ts_mux_put_sets(ngx_mc_ts_mux_t *mx)
{
    ngx_uint_t  i;

    for (i = 0; i < mx->sets.nsets; i++) {
        ngx_mc_ts_mux_put(mx, ngx_mc_ts_mux_code, 4);
        ngx_mc_ts_mux_put(mx, mx->sets.sets[i].data, mx->sets.sets[i].len);
    }
}


static ngx_inline u_char *
ngx_mc_ts_mux_nal(u_char *p, u_char *last, ngx_uint_t length_size,
    size_t *len)
{
    size_t  n;

    if ((size_t) (last - p) < length_size) {
        return NULL;
    }

    for (n = 0; length_size; length_size--) {
        n = n << 8 | *p++;
    }

    *len = n;

    return ((size_t) (last - p) < n) ? NULL : p;
}


/* only lengths and headers are looked at; must agree with what is written */

static ngx_int_t
ngx_mc_ts_mux_nals(ngx_mc_ts_mux_t *mx, u_char *p, u_char *last,
    ngx_mc_ts_mux_nals_t *nals)
{
    size_t      len;
    u_char     *nal;
    ngx_uint_t  n, type, found, all, aud, codec;

    ngx_memzero(nals, sizeof(ngx_mc_ts_mux_nals_t));

    codec = mx->tracks[NGX_MC_TS_MUX_V].codec;
    all = (codec == NGX_MC_CODEC_H264) ? 3 : 7;
    found = 0;

    for (n = 0; p < last; p = nal + len) {

        nal = ngx_mc_ts_mux_nal(p, last, mx->sets.length_size, &len);

        if (nal == NULL) {
            return NGX_ERROR;
        }

        if (len == 0) {
            continue;
        }

        if (codec == NGX_MC_CODEC_H264) {
            type = ngx_mc_h264_nal_type(nal);
            aud = (type == 9);
            found |= (type == 7) | (type == 8) << 1;

        } else {
            type = ngx_mc_hevc_nal_type(nal);
            aud = (type == 35);
            found |= (type == 32) | (type == 33) << 1 | (type == 34) << 2;
        }

        if (n++ == 0) {
            nals->aud = aud;
            nals->size += aud || ngx_mc_ts_mux_is_set(codec, nal);

        } else {
            nals->size += ngx_mc_ts_mux_is_set(codec, nal);
        }

        nals->size += 3 + len;
    }

    nals->sets = (found == all);

    return n ? NGX_OK : NGX_ERROR;
}


static void
ngx_mc_ts_mux_audio(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *frame)
{
    u_char                 *p, adts[7];
    size_t                  len, adts_len;
    int64_t                 dts, back, ahead, duration;
    ngx_mc_ts_mux_track_t  *track;

    track = &mx->tracks[NGX_MC_TS_MUX_A];

    p = frame->tag + frame->header;
    len = frame->len - frame->header;
    adts_len = 0;

    if (track->codec == NGX_MC_CODEC_AAC) {

        if (track->config_len == 0
            || ngx_mc_adts_write(adts, len, track->config, track->config_len)
               != NGX_OK)
        {
            mx->dropped++;
            return;
        }

        adts_len = sizeof(adts);
    }

    if (adts_len + len > 65535 - PES_HEADER_SIZE_PTS) {
        mx->dropped++;
        return;
    }

    if (mx->rebase) {
        ngx_mc_ts_mux_rebase(mx, frame->dts, frame->origin);
    }

    dts = frame->dts + mx->base + track->skew;

    back = (track->origin == NGX_MC_TS_MUX_NEVER) ? -1 : track->last - dts;
    ahead = (dts - mx->lead) * 300 - ngx_mc_ts_mux_now(mx, frame->origin);

    if (back >= 0 && back < NGX_MC_TS_MUX_BACK) {
        dts = track->last + 1;

    } else if (!ngx_mc_ts_mux_beside(mx, track, frame->origin)
               && (back >= 0
                   || ahead > (mx->rate ? NGX_MC_TS_MUX_AHEAD
                                        : NGX_MC_TS_MUX_JUMP)))
    {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_rebase(mx, frame->dts, frame->origin);

        dts = frame->dts + mx->base;
    }

    /* two in one PES packet save a third of what is not payload.  Without
       video each one carries a PCR, and none is to be added */

    duration = ngx_mc_ts_mux_duration(track);

    if (mx->held
        && (ngx_abs(dts - mx->held_next) > ngx_mc_ts_mux_ms(2)
            || mx->held + adts_len + len > NGX_MC_TS_MUX_GATHER))
    {
        ngx_mc_ts_mux_release(mx);
    }

    track->last = dts;
    track->origin = frame->origin;

    if (duration == 0 || !mx->tracks[NGX_MC_TS_MUX_V].known
        || (!mx->held && 2 * (adts_len + len) > NGX_MC_TS_MUX_GATHER))
    {
        ngx_mc_ts_mux_release(mx);
        ngx_mc_ts_mux_emit(mx, dts, frame->origin, adts, adts_len, p, len);
        return;
    }

    ngx_memcpy(mx->gather + mx->held, adts, adts_len);
    ngx_memcpy(mx->gather + mx->held + adts_len, p, len);

    if (mx->held) {
        mx->held += adts_len + len;
        ngx_mc_ts_mux_release(mx);
        return;
    }

    mx->held = adts_len + len;
    mx->held_dts = dts;
    mx->held_next = dts + duration;
    mx->held_origin = frame->origin;
}


static void
ngx_mc_ts_mux_release(ngx_mc_ts_mux_t *mx)
{
    size_t  len;

    if (mx->held) {
        len = mx->held;
        mx->held = 0;

        ngx_mc_ts_mux_emit(mx, mx->held_dts, mx->held_origin, NULL, 0,
                           mx->gather, len);
    }
}


static void
ngx_mc_ts_mux_emit(ngx_mc_ts_mux_t *mx, int64_t dts, int64_t origin,
    u_char *adts, size_t adts_len, u_char *data, size_t len)
{
    u_char  header[PES_HEADER_SIZE_PTS];

    if (ngx_mc_ts_mux_schedule(mx, &mx->tracks[NGX_MC_TS_MUX_A], &dts,
                               adts_len + len + sizeof(header), 0, origin)
        != NGX_OK)
    {
        mx->dropped++;
        return;
    }

    (void) ngx_mc_ts_mux_pes_header(header, PES_STREAM_ID_AUDIO_MPEG,
                                    adts_len + len, dts, dts);

    ngx_mc_ts_mux_put(mx, header, sizeof(header));
    ngx_mc_ts_mux_put(mx, adts, adts_len);
    ngx_mc_ts_mux_put(mx, data, len);

    ngx_mc_ts_mux_end(mx);
}


/* of an audio frame, 90 kHz; 0: not known */

static int64_t
ngx_mc_ts_mux_duration(ngx_mc_ts_mux_track_t *track)
{
    int64_t  samples;

    if (track->info.sample_rate == 0) {
        return 0;
    }

    if (track->codec == NGX_MC_CODEC_AAC) {

        /* with SBR or PS the rate is twice that of the core */

        samples = (track->info.profile == 5 || track->info.profile == 29)
                  ? 2048 : 1024;

    } else {
        samples = (track->info.sample_rate >= 32000) ? 1152 : 576;
    }

    return samples * 90000 / track->info.sample_rate;
}


/*
 * Puts "dts" of the input onto the output's time line: as much later as it
 * came later.  A new time base is signalled where the PCR does not go on by
 * itself: ISO/IEC 13818-1, 2.4.3.5.
 */

static void
ngx_mc_ts_mux_rebase(ngx_mc_ts_mux_t *mx, int64_t dts, int64_t origin)
{
    int64_t     now, elapsed;
    ngx_uint_t  i;

    mx->rebase = 0;
    mx->psi = 1;
    mx->lead = NGX_MC_TS_MUX_LEAD + (mx->rate ? NGX_MC_TS_MUX_BUFFER : 0);

    if (!mx->clocked) {
        mx->clocked = 1;
        mx->base = mx->lead + NGX_MC_TS_MUX_START;

        now = (dts + NGX_MC_TS_MUX_START) * 300;

        mx->cur = now - NGX_MC_TS_MUX_SPREAD;
        mx->slot = now;
        mx->offset = now - origin * 27;
        mx->target = mx->offset;
        mx->slack = INT64_MAX;
        mx->ticked = origin;
        mx->window = origin + NGX_MC_TS_MUX_WINDOW;

    } else if (mx->rate) {
        now = ngx_mc_ts_mux_now(mx, origin) / 300 + mx->lead;

        for (i = 0; i < 2; i++) {
            if (mx->tracks[i].origin != NGX_MC_TS_MUX_NEVER) {
                now = ngx_max(now, mx->tracks[i].last + ngx_mc_ts_mux_ms(10));
            }
        }

        mx->base = now - dts;

    } else {
        elapsed = origin - mx->last_origin;
        elapsed = ngx_min(elapsed, (int64_t) 86400 * 1000000);
        elapsed = ngx_max(elapsed, 1000);

        mx->cur = ngx_max(mx->cur, mx->sent);

        now = mx->cur + elapsed * 27;

        mx->base = now / 300 + mx->lead - dts;
        mx->cur = ngx_max(mx->cur, now - NGX_MC_TS_MUX_SPREAD);
        mx->last_pcr = NGX_MC_TS_MUX_NEVER;
        mx->disc = 1;
        mx->jump = 1;
    }

    for (i = 0; i < 2; i++) {
        mx->tracks[i].origin = NGX_MC_TS_MUX_NEVER;
        mx->tracks[i].skew = 0;
        mx->tracks[i].odd = 0;
    }
}


/* where the PCR is: with a rate it goes by itself */

static int64_t
ngx_mc_ts_mux_now(ngx_mc_ts_mux_t *mx, int64_t origin)
{
    if (mx->rate) {
        return ngx_max(mx->offset + origin * 27, mx->slot);
    }

    return ngx_max(mx->cur, mx->sent);
}


/* audio whose time is measured by video that is there */

static ngx_uint_t
ngx_mc_ts_mux_beside(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t origin)
{
    ngx_mc_ts_mux_track_t  *video;

    video = &mx->tracks[NGX_MC_TS_MUX_V];

    return track != video && video->known
           && video->origin != NGX_MC_TS_MUX_NEVER
           && origin - video->origin < NGX_MC_TS_MUX_STALE;
}


/*
 * Sets when the packets of a PES packet of "size" with its header leave; what
 * has to be sent before is.  NGX_DECLINED: it is left out.
 */

static ngx_int_t
ngx_mc_ts_mux_schedule(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t *dts, size_t size, ngx_uint_t key, int64_t origin)
{
    int64_t               now, target, start, end, duration;
    ngx_uint_t            n, beside, psi;
    ngx_mc_ts_mux_pes_t  *pes;

    pes = &mx->pes;

    beside = ngx_mc_ts_mux_beside(mx, track, origin);

    /* its own packets, PAT and PMT; a PCR or two take room from the payload */

    n = (size + 3 * NGX_MC_TS_MUX_AF_PCR + 183) / 184;
    now = ngx_mc_ts_mux_now(mx, origin);

    if (ngx_mc_ts_mux_late(mx, track, dts, now,
                           (n + 2) * (mx->rate ? mx->slot_time
                                               : NGX_MC_TS_MUX_STEP_MIN),
                           beside)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    target = (*dts - mx->lead) * 300;

    pes->track = track;
    pes->pcr = (track == &mx->tracks[NGX_MC_TS_MUX_V]
                || !mx->tracks[NGX_MC_TS_MUX_V].known);
    pes->left = size;
    pes->room = 0;
    pes->first = 1;
    pes->key = key;
    pes->k = 0;

    mx->origin = origin;

    psi = mx->psi || key;

    if (mx->rate) {

        if (ngx_mc_ts_mux_fits(mx, track, *dts, n + 2, now) != NGX_OK) {
            return NGX_DECLINED;
        }

        if (pes->pcr || !beside) {
            mx->slack = ngx_min(mx->slack,
                                target - mx->offset - origin * 27);
        }

        pes->release = NGX_MC_TS_MUX_NEVER;

        if (track == &mx->tracks[NGX_MC_TS_MUX_A]) {

            /* decoders have little room for it */

            pes->release = *dts * 300 - NGX_MC_TS_MUX_LEAD * 300;

            duration = ngx_mc_ts_mux_duration(track);

            if (duration) {
                duration *= mx->held ? 1 : 2;
                mx->others += ((int64_t) n * 90000 / duration - mx->others)
                              / 8;
            }
        }

        if (psi && (pes->pcr || !beside)) {

            /* audio waits longer: tables there would come after newer ones */

            ngx_mc_ts_mux_psi(mx, 0);
        }

        return NGX_OK;
    }

    mx->advance = target - mx->cur;

    psi |= (ngx_max(target, now) - mx->last_psi > NGX_MC_TS_MUX_PSI);
    n += 2 * psi;

    if (beside) {

        /* it does not take the time that the next picture is to be spread
           over, and follows at the rate of the last one */

        start = ngx_max(now, target - NGX_MC_TS_MUX_SPREAD);
        end = start + (int64_t) n * mx->step;
        end = ngx_min(end, target);
        end = ngx_max(end, start + (int64_t) n * NGX_MC_TS_MUX_STEP_MIN);

    } else {
        end = ngx_max(target, now + (int64_t) n * NGX_MC_TS_MUX_STEP_MIN);
        start = ngx_max(now, end - NGX_MC_TS_MUX_SPREAD);
    }

    ngx_mc_ts_mux_fill(mx, start);

    pes->start = start;
    pes->span = end - start;
    pes->n = n;

    if (track == &mx->tracks[NGX_MC_TS_MUX_V]) {
        mx->step = pes->span / n;
    }

    if (psi) {
        ngx_mc_ts_mux_fill(mx, start);
        ngx_mc_ts_mux_psi(mx, start);
        pes->k = 2;
    }

    return NGX_OK;
}


/*
 * "least" is how long it takes to send.  Audio beside video that is out of
 * time is left out at first: it may have been a moment.
 */

static ngx_int_t
ngx_mc_ts_mux_late(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t *dts, int64_t now, int64_t least, ngx_uint_t beside)
{
    int64_t  late, delta;

    late = now + least + NGX_MC_TS_MUX_MARGIN - *dts * 300;

    if (mx->rate && late > 0
        && now + NGX_MC_TS_MUX_MARGIN <= *dts * 300)
    {
        /* it is the rate that is too low */

        return NGX_DECLINED;
    }

    if (late <= 0
        && !(beside
             && (*dts - mx->lead) * 300 - now > NGX_MC_TS_MUX_ODD))
    {
        track->odd = 0;
        return NGX_OK;
    }

    if (beside) {

        if (++track->odd < NGX_MC_TS_MUX_PATIENCE) {
            return NGX_DECLINED;
        }

        if (late <= 0 || late > NGX_MC_TS_MUX_ODD) {

            /* its timestamps are others than those of the video: it is played
               when it came */

            delta = now / 300 + mx->lead - *dts;

            track->skew += delta;
            track->last += delta;
            track->odd = 0;
            *dts += delta;

            if (mx->held) {
                mx->held_dts += delta;
                mx->held_next += delta;
            }

            return NGX_OK;
        }
    }

    track->odd = 0;

    delta = mx->base;

    if (ngx_mc_ts_mux_raise(mx, late) != NGX_OK) {
        return NGX_DECLINED;
    }

    *dts += mx->base - delta;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_ts_mux_raise(ngx_mc_ts_mux_t *mx, int64_t late)
{
    int64_t  delta;

    delta = late / 300 + 1 + NGX_MC_TS_MUX_HEADROOM;

    if (mx->lead + delta > NGX_MC_TS_MUX_LEAD_MAX) {

        /* no track waits that long for another: a time base for those that
           come next */

        mx->rebase = 1;
        mx->tracks[NGX_MC_TS_MUX_V].dirty = 1;

        return NGX_ERROR;
    }

    mx->lead += delta;
    mx->base += delta;

    mx->tracks[NGX_MC_TS_MUX_V].last += delta;
    mx->tracks[NGX_MC_TS_MUX_A].last += delta;

    mx->held_dts += delta;
    mx->held_next += delta;

    ngx_log_error(NGX_LOG_INFO, mx->log, 0,
                  "a track comes late: the delay is %L ms now",
                  (int64_t) (mx->lead / 90));

    return NGX_OK;
}


/* whether the rate is enough to send it in time, and there is memory */

static ngx_int_t
ngx_mc_ts_mux_fits(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track,
    int64_t dts, ngx_uint_t n, int64_t now)
{
    int64_t  packets, others, end;

    packets = (int64_t) (track->ring.count + n) * mx->slot_time;
    end = now + packets;

    if (track == &mx->tracks[NGX_MC_TS_MUX_V]) {

        /* meanwhile what is not video goes first: audio, and 12 PAT, 12 PMT
           and 40 PCRs a second */

        others = (mx->others + 64) * mx->slot_time;
        others = ngx_min(others, ngx_mc_ts_mux_clock(900));

        end = now + (int64_t) ((double) packets
                               / (1 - (double) others
                                      / ngx_mc_ts_mux_clock(1000)));
    }

    if (end > dts * 300 - NGX_MC_TS_MUX_MARGIN) {
        return NGX_DECLINED;
    }

    return ngx_mc_ts_mux_room(mx, &track->ring, n);
}


/* ISO/IEC 13818-1, 2.4.3.6 */

static size_t
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


static void
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


static void
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


static void
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


/* PCRs, and PAT and PMT, while there is nothing else to carry them */

static void
ngx_mc_ts_mux_fill(ngx_mc_ts_mux_t *mx, int64_t until)
{
    int64_t  t;

    if (mx->last_pcr == NGX_MC_TS_MUX_NEVER) {
        return;
    }

    while (until - mx->last_pcr > NGX_MC_TS_MUX_PCR_MAX) {

        t = ngx_max(mx->last_pcr + NGX_MC_TS_MUX_PCR, mx->sent);
        t = ngx_min(t, until);

        ngx_mc_ts_mux_cut(mx);

        if (t - mx->last_psi >= NGX_MC_TS_MUX_PSI_NEXT) {
            ngx_mc_ts_mux_psi(mx, t);
        }

        ngx_mc_ts_mux_pcr_only(mx, ngx_mc_ts_mux_slot(mx, t), t);

        ngx_mc_ts_mux_cut(mx);
    }
}


static void
ngx_mc_ts_mux_pcr_only(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t)
{
    ngx_uint_t  i;

    /* with a rate the tables may be newer than what is being sent */

    if (mx->rate) {
        i = (mx->pcr_pid == NGX_MC_TS_MUX_VIDEO) ? NGX_MC_TS_MUX_V
                                                 : NGX_MC_TS_MUX_A;
    } else {
        i = mx->tracks[NGX_MC_TS_MUX_V].known ? NGX_MC_TS_MUX_V
                                              : NGX_MC_TS_MUX_A;
    }

    ts_init(p);
    ts_set_pid(p, mx->tracks[i].pid);
    ts_set_cc(p, mx->cc[i]);
    ts_set_adaptation(p, NGX_MC_TS_SIZE - TS_HEADER_SIZE - 1);

    ngx_mc_ts_mux_pcr(mx, p, t, mx->rate ? (int64_t) mx->slot_step
                                         : NGX_MC_TS_MUX_STEP_MIN);
}


/* "t" is of the packet's first byte, "step" how long the packet takes */

static void
ngx_mc_ts_mux_pcr(ngx_mc_ts_mux_t *mx, u_char *p, int64_t t, int64_t step)
{
    int64_t  pcr, base;

    pcr = t + step * NGX_MC_TS_MUX_PCR_BYTE / NGX_MC_TS_SIZE;

    if (mx->last_pcr != NGX_MC_TS_MUX_NEVER && pcr <= mx->last_pcr) {
        pcr = mx->last_pcr + 1;
    }

    mx->last_pcr = pcr;

    base = pcr / 300;
    pcr -= base * 300;

    if (pcr < 0) {
        pcr += 300;
        base--;
    }

    tsaf_set_pcr(p, base & (((uint64_t) 1 << 33) - 1));
    tsaf_set_pcrext(p, pcr);

    if (mx->disc) {
        tsaf_set_discontinuity(p);
        mx->disc = 0;
    }
}


/* room for a TS packet that begins at "t" */

static u_char *
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

static void
ngx_mc_ts_mux_cut(ngx_mc_ts_mux_t *mx)
{
    mx->nts = NGX_MC_TS_DATAGRAM / NGX_MC_TS_SIZE;
}


/* what is complete leaves */

static void
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


static ngx_int_t
ngx_mc_ts_mux_room(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_ring_t *ring,
    ngx_uint_t n)
{
    ngx_uint_t              i, size;
    ngx_mc_ts_mux_entry_t  *entries;

    size = ring->size ? ring->size : NGX_MC_TS_MUX_RING;

    while (size - ring->count < n) {

        if (size == NGX_MC_TS_MUX_RING_MAX) {
            return NGX_DECLINED;
        }

        size *= 2;
    }

    if (size == ring->size) {
        return NGX_OK;
    }

    entries = ngx_alloc(size * sizeof(ngx_mc_ts_mux_entry_t), mx->log);
    if (entries == NULL) {
        return NGX_DECLINED;
    }

    for (i = 0; i < ring->count; i++) {
        entries[i] = ring->entries[(ring->head + i) & (ring->size - 1)];
    }

    if (ring->entries) {
        ngx_free(ring->entries);
    }

    ring->entries = entries;
    ring->size = size;
    ring->head = 0;

    return NGX_OK;
}


static ngx_mc_ts_mux_entry_t *
ngx_mc_ts_mux_push(ngx_mc_ts_mux_ring_t *ring)
{
    return &ring->entries[(ring->head + ring->count++) & (ring->size - 1)];
}


void
ngx_mc_ts_mux_tick(ngx_mc_ts_mux_t *mx, int64_t now)
{
    int64_t  due;

    if (!mx->clocked) {
        return;
    }

    if (!mx->rate) {
        ngx_mc_ts_mux_silence(mx, now);
        return;
    }

    ngx_mc_ts_mux_follow(mx, now);

    due = mx->offset + now * 27;

    if (due - mx->slot > NGX_MC_TS_MUX_CATCH_UP) {

        /* we were away: what was not sent is not made up for */

        ngx_mc_ts_mux_cut(mx);

        mx->slot = due;
        mx->last_pcr = NGX_MC_TS_MUX_NEVER;
        mx->disc = 1;
        mx->jump = 1;
    }

    while (mx->slot <= due) {

        mx->origin = (mx->slot - mx->offset) / 27;

        ngx_mc_ts_mux_next(mx);

        mx->slot += mx->slot_step;
        mx->frac += mx->slot_frac;

        if (mx->frac >= mx->rate) {
            mx->frac -= mx->rate;
            mx->slot++;
        }
    }

    if (mx->cap) {
        ngx_mc_ts_mux_cut(mx);
    }

    ngx_mc_ts_mux_flush(mx);
}


/*
 * Frames are far apart: PCRs go out in time, and not with the next frame, up
 * to when that is expected.  Should it not come, its timestamps are not known,
 * and the PCR must not run ahead of them.
 */

static void
ngx_mc_ts_mux_silence(ngx_mc_ts_mux_t *mx, int64_t now)
{
    int64_t  until;

    if (!mx->started || mx->rebase) {
        return;
    }

    until = ngx_min((now - mx->last_origin) * 27, mx->advance)
            - NGX_MC_TS_MUX_SPREAD;

    if (until <= 0) {
        return;
    }

    mx->origin = now;

    ngx_mc_ts_mux_fill(mx, mx->cur + until);
    ngx_mc_ts_mux_flush(mx);
}


/*
 * The rate is exact by the encoder's clock, which the PCR is of.  Ours follows
 * it so that those frames that come latest come as long before their DTS as
 * the lead.
 */

static void
ngx_mc_ts_mux_follow(ngx_mc_ts_mux_t *mx, int64_t now)
{
    int64_t  step, most;

    if (now >= mx->window) {

        if (mx->slack != INT64_MAX
            && ngx_abs(mx->slack) > ngx_mc_ts_mux_clock(2))
        {
            mx->target = mx->offset + mx->slack;

        } else {
            mx->target = mx->offset;
        }

        mx->slack = INT64_MAX;
        mx->window = now + NGX_MC_TS_MUX_WINDOW;
    }

    most = ngx_min(now - mx->ticked, 1000000) * NGX_MC_TS_MUX_SLEW / 1000000;

    if (most > 0) {
        step = ngx_min(mx->target - mx->offset, most);
        step = ngx_max(step, -most);

        mx->offset += step;
        mx->ticked = now;
    }
}


static void
ngx_mc_ts_mux_next(ngx_mc_ts_mux_t *mx)
{
    u_char                 *p;
    ngx_uint_t              pcr;
    ngx_mc_ts_mux_ring_t   *video;
    ngx_mc_ts_mux_entry_t  *entry;

    video = &mx->tracks[NGX_MC_TS_MUX_V].ring;

    if (mx->pcr_pid
        && (mx->last_pcr == NGX_MC_TS_MUX_NEVER
            || mx->slot - mx->last_pcr >= NGX_MC_TS_MUX_PCR))
    {
        /* unless the next packet has one anyway */

        pcr = 0;

        if (video->count) {
            entry = &video->entries[video->head];
            pcr = entry->flags & NGX_MC_TS_MUX_F_PCR;
        }

        if (pcr) {
            (void) ngx_mc_ts_mux_pop(mx, &mx->tracks[NGX_MC_TS_MUX_V]);
            return;
        }

        p = ngx_mc_ts_mux_slot(mx, mx->slot);
        ngx_mc_ts_mux_pcr_only(mx, p, mx->slot);
        return;
    }

    if (mx->pcr_pid && mx->slot - mx->last_psi >= NGX_MC_TS_MUX_PSI) {
        mx->last_psi = mx->slot;
        mx->repeat = 2;
    }

    if (mx->repeat) {
        p = ngx_mc_ts_mux_slot(mx, mx->slot);

        if (--mx->repeat) {
            ngx_memcpy(p, mx->pat, NGX_MC_TS_SIZE);
            ts_set_cc(p, ++mx->cc[NGX_MC_TS_MUX_CC_PAT]);

        } else {
            ngx_memcpy(p, mx->pmt_out, NGX_MC_TS_SIZE);
            ts_set_cc(p, ++mx->cc[NGX_MC_TS_MUX_CC_PMT]);
        }

        return;
    }

    if (ngx_mc_ts_mux_pop(mx, &mx->tracks[NGX_MC_TS_MUX_A])
        || ngx_mc_ts_mux_pop(mx, &mx->tracks[NGX_MC_TS_MUX_V]))
    {
        return;
    }

    if (mx->cap) {
        ngx_mc_ts_mux_cut(mx);
        return;
    }

    ts_pad(ngx_mc_ts_mux_slot(mx, mx->slot));
}


static ngx_uint_t
ngx_mc_ts_mux_pop(ngx_mc_ts_mux_t *mx, ngx_mc_ts_mux_track_t *track)
{
    u_char                 *p;
    ngx_uint_t              i;
    ngx_mc_ts_mux_ring_t   *ring;
    ngx_mc_ts_mux_entry_t  *entry;

    ring = &track->ring;

    if (ring->count == 0) {
        return 0;
    }

    entry = &ring->entries[ring->head];

    if (entry->release > mx->slot) {
        return 0;
    }

    ring->head = (ring->head + 1) & (ring->size - 1);
    ring->count--;

    p = ngx_mc_ts_mux_slot(mx, mx->slot);

    ngx_memcpy(p, entry->ts, NGX_MC_TS_SIZE);

    i = track - mx->tracks;

    if (entry->flags & NGX_MC_TS_MUX_F_PAT) {
        i = NGX_MC_TS_MUX_CC_PAT;
        mx->last_psi = mx->slot;

    } else if (entry->flags & NGX_MC_TS_MUX_F_PMT) {
        i = NGX_MC_TS_MUX_CC_PMT;

        ngx_memcpy(mx->pmt_out, entry->ts, NGX_MC_TS_SIZE);
        mx->pcr_pid = pmt_get_pcrpid(ts_section(mx->pmt_out));
    }

    ts_set_cc(p, ++mx->cc[i]);

    if (entry->flags & NGX_MC_TS_MUX_F_PCR
        && ts_get_pid(p) == mx->pcr_pid)
    {
        ngx_mc_ts_mux_pcr(mx, p, mx->slot, mx->slot_step);
    }

    return 1;
}
