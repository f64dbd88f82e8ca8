
/*
 * mcmux: an FLV file to a transport stream, with the module's own code.  The
 * file's time is the clock.
 *
 *   mcmux [-r RATE] [-c] [-s MS] [-p PPM] [-b MS] [-m MEDIA.csv] [-n]
 *         IN.flv OUT.ts
 *
 *   -r  bit/s, constant; -c: at most
 *   -s  added to the timestamps of the file
 *   -p  how much slower than ours the clock of the encoder is
 *   -b  so much of the file comes at once in the beginning
 *   -m  for each datagram its first byte's position, media time, origin and
 *       discontinuity
 *   -n  nothing is written: only measures
 *
 * Figures are given on standard error.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_frame.h>
#include <ngx_mc_ts_mux.h>
#include <time.h>

#include "shim.h"


#define MC_MUX_TICK  1000                  /* us */


static FILE      *out, *media;
static uint64_t   bytes, packets, calls;
static int        dry;


static void
mc_mux_send(void *data, ngx_mc_packet_t *pkts, ngx_uint_t n)
{
    ngx_uint_t  i;

    calls++;

    for (i = 0; i < n; i++) {

        if (media) {
            fprintf(media, "%llu,%lld,%lld,%d\n", (unsigned long long) bytes,
                    (long long) pkts[i].media, (long long) pkts[i].origin,
                    pkts[i].discontinuity);
        }

        if (!dry && fwrite(pkts[i].data, pkts[i].len, 1, out) != 1) {
            perror("write");
            exit(1);
        }

        bytes += pkts[i].len;
        packets++;
    }
}


static double
mc_mux_cpu(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


int
main(int argc, char **argv)
{
    int                opt, cap;
    FILE              *in;
    u_char            *file, *p, *last;
    size_t             size, len;
    double             cpu;
    int64_t            dts, shift, ppm, burst, now, tick, first;
    uint64_t           rate, frames, payload;
    ngx_int_t          rc;
    ngx_mc_frame_t     frame;
    ngx_mc_ts_mux_t   *mx;

    rate = 0;
    cap = 0;
    shift = 0;
    ppm = 0;
    burst = 0;

    while ((opt = getopt(argc, argv, "r:cs:p:b:m:n")) != -1) {
        switch (opt) {
        case 'r':
            rate = strtoull(optarg, NULL, 10);
            break;
        case 'c':
            cap = 1;
            break;
        case 's':
            shift = strtoll(optarg, NULL, 10);
            break;
        case 'p':
            ppm = strtoll(optarg, NULL, 10);
            break;
        case 'b':
            burst = strtoll(optarg, NULL, 10);
            break;
        case 'm':
            media = fopen(optarg, "w");
            break;
        case 'n':
            dry = 1;
            break;
        default:
            return 2;
        }
    }

    if (argc - optind != 2) {
        fprintf(stderr, "usage: mcmux [-r RATE] [-c] [-s MS] [-p PPM] [-b MS]"
                        " [-m MEDIA.csv] [-n] IN.flv OUT.ts\n");
        return 2;
    }

    in = fopen(argv[optind], "r");
    out = fopen(dry ? "/dev/null" : argv[optind + 1], "w");

    if (in == NULL || out == NULL) {
        perror("open");
        return 1;
    }

    fseek(in, 0, SEEK_END);
    size = ftell(in);
    rewind(in);

    file = malloc(size);

    if (file == NULL || fread(file, 1, size, in) != size || size < 13) {
        fprintf(stderr, "cannot read\n");
        return 1;
    }

    p = file + 13;
    last = file + size;

    mx = ngx_mc_ts_mux_create(rate, cap, mc_mux_send, NULL, &shim_log);

    now = tick = first = 0;
    frames = payload = 0;
    cpu = mc_mux_cpu();

    while (last - p >= 15) {
        len = p[1] << 16 | p[2] << 8 | p[3];
        dts = (int64_t) ((uint32_t) p[7] << 24 | p[4] << 16 | p[5] << 8
                         | p[6]);

        if ((size_t) (last - p) < 15 + len) {
            break;
        }

        if (frames == 0) {
            first = dts;
        }

        /* it arrives when its time has come */

        now = ngx_max(now, (dts - first - burst) * 1000
                           + (dts - first) * ppm / 1000);

        for ( /* void */ ; tick < now; tick += MC_MUX_TICK) {
            ngx_mc_ts_mux_tick(mx, tick);
        }

        ngx_memzero(&frame, sizeof(frame));
        frame.origin = now;

        rc = ngx_mc_flv_parse(&frame, p[0] & 0x1f, (dts + shift) * 90, p + 11,
                              len);
        if (rc == NGX_OK) {
            frame.origin = now;
            frames++;
            payload += frame.len - frame.header;
            ngx_mc_ts_mux_frame(mx, &frame);

        } else {
            fprintf(stderr, "a tag of type %d: %s\n", p[0] & 0x1f,
                    rc == NGX_ERROR ? "malformed" : "declined");
        }

        p += 15 + len;
    }

    for (now += (1500 + burst) * 1000; rate && tick < now; tick += MC_MUX_TICK)
    {
        ngx_mc_ts_mux_tick(mx, tick);
    }

    cpu = mc_mux_cpu() - cpu;

    fprintf(stderr, "frames %llu payload %llu bytes %llu packets %llu"
                    " calls %llu dropped %llu overhead %.2f%% cpu %.3f s"
                    " %.3f s/GB\n",
            (unsigned long long) frames, (unsigned long long) payload,
            (unsigned long long) bytes, (unsigned long long) packets,
            (unsigned long long) calls,
            (unsigned long long) ngx_mc_ts_mux_dropped(mx),
            payload ? (double) bytes * 100 / payload - 100 : 0.0, cpu,
            bytes ? cpu / (bytes / 1e9) : 0.0);

    ngx_mc_ts_mux_free(mx);
    free(file);

    if (media) {
        fclose(media);
    }

    return fclose(out) == 0 ? 0 : 1;
}
