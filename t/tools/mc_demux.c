
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts_demux.h>
#include <ngx_mc_ts.h>


/*
 * mcdemux [-p PROGRAM] [-v PID] [-a PID] [-l LANGUAGE] [-n TIMES] [-q]
 *         IN.ts OUT.flv
 *
 * An FLV file of the frames that the module makes of a transport stream, that
 * other tools can compare with it.  What is worth telling goes to stderr.
 * "-n" reads the file as often, for measuring; "-q" writes nothing.
 */


static void demux_frame(void *data, ngx_mc_frame_t *frame);
static void demux_unsupported(void *data, ngx_uint_t pid,
    ngx_uint_t stream_type, ngx_uint_t codec);
static void demux_be(u_char *p, ngx_uint_t n, uint64_t value);


static FILE        *out;
static ngx_uint_t   quiet;
static int64_t      first = INT64_MAX;
static uint64_t     frames, marks, late;


int
main(int argc, char **argv)
{
    int                          opt;
    FILE                        *in;
    size_t                       n, left, times;
    u_char                       buf[7 * NGX_MC_TS_SIZE];
    const char                  *problem;
    ngx_uint_t                   i;
    ngx_mc_ts_demux_t           *dm;
    ngx_mc_ts_select_t           select;
    ngx_mc_ts_demux_track_t     *tracks;
    ngx_mc_ts_demux_handlers_t   handlers;

    ngx_memzero(&select, sizeof(select));

    select.program = -1;
    select.video = -1;
    select.audio = -1;
    times = 1;

    while ((opt = getopt(argc, argv, "p:v:a:l:n:q")) != -1) {

        switch (opt) {

        case 'p':
            select.program = atoi(optarg);
            break;

        case 'v':
            select.video = strtol(optarg, NULL, 0);
            break;

        case 'a':
            select.audio = strtol(optarg, NULL, 0);
            break;

        case 'l':
            strncpy((char *) select.language, optarg, 3);
            break;

        case 'n':
            times = atoi(optarg);
            break;

        case 'q':
            quiet = 1;
            break;

        default:
            return 2;
        }
    }

    if (argc - optind != 2) {
        fprintf(stderr, "usage: mcdemux [options] IN.ts OUT.flv\n");
        return 2;
    }

    in = fopen(argv[optind], "rb");
    out = fopen(argv[optind + 1], "wb");

    if (in == NULL || out == NULL) {
        perror("mcdemux");
        return 1;
    }

    /* TypeFlagsAudio, TypeFlagsVideo */

    fwrite("FLV\x01\x05\0\0\0\x09\0\0\0\0", 1, 13, out);

    handlers.frame = demux_frame;
    handlers.unsupported = demux_unsupported;

    dm = ngx_mc_ts_demux_create(&select, &handlers, NULL, NULL);

    if (dm == NULL) {
        return 1;
    }

    left = 0;

    while (times--) {
        rewind(in);

        while ((n = fread(buf + left, 1, sizeof(buf) - left, in)) > 0) {
            n += left;
            left = n % NGX_MC_TS_SIZE;

            ngx_mc_ts_demux(dm, buf, n - left, 0);
            ngx_memmove(buf, buf + n - left, left);
        }
    }

    ngx_mc_ts_demux_flush(dm);

    problem = ngx_mc_ts_demux_problem(dm);
    tracks = ngx_mc_ts_demux_tracks(dm);

    for (i = 0; i < 2; i++) {
        if (tracks[i].pid) {
            fprintf(stderr, "pid 0x%x %s %ux%u %u/%u %u Hz %u ch \"%s\""
                    " frames %lu bytes %lu\n", tracks[i].pid,
                    ngx_mc_codec_names[tracks[i].info.codec].data,
                    tracks[i].info.width, tracks[i].info.height,
                    tracks[i].info.frame_num, tracks[i].info.frame_den,
                    tracks[i].info.sample_rate, tracks[i].info.channels,
                    tracks[i].info.language, tracks[i].frames,
                    tracks[i].bytes);
        }
    }

    fprintf(stderr, "frames %lu marks %lu damaged %lu problem %s\n", frames,
            marks, ngx_mc_ts_demux_damaged(dm), problem ? problem : "none");

    ngx_mc_ts_demux_free(dm);
    fclose(in);

    return fclose(out) ? 1 : 0;
}


static void
demux_frame(void *data, ngx_mc_frame_t *frame)
{
    u_char    header[11], trailer[4];
    int64_t   ms;

    frames++;

    if (frame->discontinuity) {
        marks++;
    }

    if (quiet) {
        return;
    }

    if (first == INT64_MAX) {

        /* room for the track that is ahead of it */

        first = frame->dts - 10 * 90000;
    }

    ms = ngx_mc_frame_ms(frame->dts) - ngx_mc_frame_ms(first);

    if (ms < 0) {
        ms = 0;
        late++;
    }

    header[0] = frame->type;
    demux_be(header + 1, 3, frame->len);
    demux_be(header + 4, 3, ms & 0xffffff);
    header[7] = ms >> 24;
    demux_be(header + 8, 3, 0);
    demux_be(trailer, 4, 11 + frame->len);

    fwrite(header, 1, sizeof(header), out);
    fwrite(frame->tag, 1, frame->len, out);
    fwrite(trailer, 1, sizeof(trailer), out);
}


static void
demux_unsupported(void *data, ngx_uint_t pid, ngx_uint_t stream_type,
    ngx_uint_t codec)
{
    (void) data;

    fprintf(stderr, "unsupported pid 0x%x type 0x%x codec %s\n",
            (unsigned) pid, (unsigned) stream_type,
            ngx_mc_codec_names[codec].len
            ? (char *) ngx_mc_codec_names[codec].data : "?");
}


static void
demux_be(u_char *p, ngx_uint_t n, uint64_t value)
{
    while (n--) {
        *p++ = value >> (8 * n);
    }
}
