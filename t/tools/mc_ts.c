
/*
 * The numbered transport stream: made by the sender, verified by the receiver.
 *
 * A record stands at the start of the payload of each data packet:
 *
 *     0  magic        8  sender id     16  number of this data packet
 *     4  hash        12  hashed bytes  24  number of the datagram
 *                                      32  CLOCK_MONOTONIC, ns
 *
 * The hash covers everything from byte 8 to the end of the TS packet.  The
 * data packets form PES packets of private data, so that the stream also
 * survives programs that take a stream apart and put it together again.
 */


#include "mc_pkt.h"

#include <openssl/evp.h>


#define MC_MAGIC        0x4b50434d
#define MC_RECORD       40
#define MC_PES_HEADER   14


static void mc_gen_psi(mc_gen_t *g, uint8_t *p, int pmt);
static void mc_gen_record(mc_gen_t *g, uint8_t *p, size_t len, uint64_t now);
static uint32_t mc_crc32(const uint8_t *p, size_t len);
static uint32_t mc_hash(const uint8_t *p, size_t len);
static int mc_check_record(mc_check_t *c, const uint8_t *p, size_t len,
    uint64_t now, uint64_t *datagram);
static void mc_check_es(mc_check_t *c, const uint8_t *p, size_t len,
    uint64_t now, uint64_t *datagram);
static const uint8_t *mc_check_rtp(mc_check_t *c, const uint8_t *p,
    size_t *len, uint64_t arrival);
static void mc_check_rtp_pcr(mc_check_t *c, const uint8_t *p);
static void mc_track(mc_track_t *t, uint64_t n);
static uint64_t mc_track_lost(mc_track_t *t);


void
mc_gen_init(mc_gen_t *g, uint64_t rate, uint32_t id, uint64_t seed)
{
    uint64_t  per_second;
    unsigned  i;

    memset(g, 0, sizeof(mc_gen_t));

    g->rate = rate ? rate : 10000000;
    g->id = id;

    per_second = g->rate / 8 / MC_TS_SIZE;

    g->psi_every = per_second / 10;
    if (g->psi_every < 14) {
        g->psi_every = 14;
    }

    /* a PES packet of private data holds less than 65536 bytes */

    g->pes_every = per_second * opt.pes / 1000;
    if (g->pes_every < 2) {
        g->pes_every = 2;

    } else if (g->pes_every > 350) {
        g->pes_every = 350;
    }

    for (i = 0; i < MC_TS_SIZE; i++) {
        g->filler[i] = mc_random(&seed) >> 24;
    }
}


uint64_t
mc_gen_pcr(mc_gen_t *g, uint64_t packet)
{
    unsigned __int128  t;

    t = (unsigned __int128) packet * MC_TS_SIZE * 8 * 27000000 / g->rate;

    return ((uint64_t) t + g->pcr_start) % ((1ull << 33) * 300);
}


void
mc_gen_datagram(mc_gen_t *g, uint8_t *buf, size_t size, uint64_t now)
{
    size_t     n, len;
    uint8_t   *p;
    uint64_t   pcr, base, pts;

    for (n = size; n >= MC_TS_SIZE; n -= MC_TS_SIZE, g->packet++) {

        p = buf;
        buf += MC_TS_SIZE;

        if (g->packet % g->psi_every < 2) {
            mc_gen_psi(g, p, g->packet % g->psi_every);
            continue;
        }

        memcpy(p, g->filler, MC_TS_SIZE);
        p[0] = 0x47;

        if (g->mix && g->packet % 10 == 5) {
            p[1] = MC_PID_NULL >> 8;
            p[2] = MC_PID_NULL & 0xff;
            p[3] = 0x10;
            continue;
        }

        if (g->mix && g->packet % 50 == 7) {
            p[1] = MC_PID_UNKNOWN >> 8;
            p[2] = MC_PID_UNKNOWN & 0xff;
            p[3] = 0x10 | (g->cc_unknown++ & 0x0f);
            continue;
        }

        p[1] = MC_PID_DATA >> 8;
        p[2] = MC_PID_DATA & 0xff;
        p[3] = 0x10 | (g->cc_data++ & 0x0f);

        if (g->data % g->pes_every) {
            mc_gen_record(g, p + 4, MC_TS_SIZE - 4, now);
            continue;
        }

        /* the first packet of a PES packet carries the PCR */

        pcr = mc_gen_pcr(g, g->packet);
        base = pcr / 300;
        pcr %= 300;

        p[1] |= 0x40;
        p[3] |= 0x20;
        p[4] = 7;
        p[5] = 0x10;
        p[6] = base >> 25;
        p[7] = base >> 17;
        p[8] = base >> 9;
        p[9] = base >> 1;
        p[10] = ((base & 1) << 7) | 0x7e | (pcr >> 8);
        p[11] = pcr;

        if (g->packet < 2 + g->pes_every && g->data == 0) {
            p[5] |= 0x40;
        }

        p += 12;
        len = MC_TS_SIZE - 12 + (g->pes_every - 1) * (MC_TS_SIZE - 4) - 6;
        pts = (base + 9000) & 0x1ffffffffull;

        p[0] = 0;
        p[1] = 0;
        p[2] = 1;
        p[3] = 0xbd;
        p[4] = len >> 8;
        p[5] = len;
        p[6] = 0x84;
        p[7] = 0x80;
        p[8] = 5;
        p[9] = 0x21 | ((pts >> 29) & 0x0e);
        p[10] = pts >> 22;
        p[11] = 1 | (pts >> 14);
        p[12] = pts >> 7;
        p[13] = 1 | (pts << 1);

        mc_gen_record(g, p + MC_PES_HEADER,
                      MC_TS_SIZE - 12 - MC_PES_HEADER, now);
    }

    /* sizes that are no multiple of 188 are for tests of bad input */

    memcpy(buf, g->filler, n);

    g->datagram++;
}


static void
mc_gen_psi(mc_gen_t *g, uint8_t *p, int pmt)
{
    size_t    n;
    uint32_t  crc;

    static const uint8_t  pat[] = {
        0x00, 0xb0, 0x0d, 0x00, 0x01, 0xc1, 0x00, 0x00,
        0x00, 0x01, 0xe0 | (MC_PID_PMT >> 8), MC_PID_PMT & 0xff
    };

    static const uint8_t  map[] = {
        0x02, 0xb0, 0x12, 0x00, 0x01, 0xc1, 0x00, 0x00,
        0xe0 | (MC_PID_DATA >> 8), MC_PID_DATA & 0xff, 0xf0, 0x00,
        0x06, 0xe0 | (MC_PID_DATA >> 8), MC_PID_DATA & 0xff, 0xf0, 0x00
    };

    memset(p, 0xff, MC_TS_SIZE);

    p[0] = 0x47;
    p[1] = 0x40 | (pmt ? MC_PID_PMT >> 8 : 0);
    p[2] = pmt ? MC_PID_PMT & 0xff : 0;
    p[3] = 0x10 | ((pmt ? g->cc_pmt++ : g->cc_pat++) & 0x0f);
    p[4] = 0;

    n = pmt ? sizeof(map) : sizeof(pat);
    memcpy(p + 5, pmt ? map : pat, n);

    crc = htonl(mc_crc32(p + 5, n));
    memcpy(p + 5 + n, &crc, 4);
}


static void
mc_gen_record(mc_gen_t *g, uint8_t *p, size_t len, uint64_t now)
{
    uint32_t  w[4];
    uint64_t  q[3];

    w[2] = g->id;
    w[3] = len - 8;
    q[0] = g->data++;
    q[1] = g->datagram;
    q[2] = now;

    memcpy(p + 8, &w[2], 8);
    memcpy(p + 16, q, 24);

    w[0] = MC_MAGIC;
    w[1] = mc_hash(p + 8, len - 8);
    memcpy(p, w, 8);
}


static uint32_t
mc_crc32(const uint8_t *p, size_t len)
{
    int       i;
    uint32_t  crc;

    crc = 0xffffffff;

    while (len--) {
        crc ^= (uint32_t) *p++ << 24;

        for (i = 0; i < 8; i++) {
            crc = (crc << 1) ^ ((crc & 0x80000000) ? 0x04c11db7 : 0);
        }
    }

    return crc;
}


static uint32_t
mc_hash(const uint8_t *p, size_t len)
{
    uint64_t  h, w;

    h = 0x9e3779b97f4a7c15ull ^ len;

    for ( /* void */ ; len >= 8; p += 8, len -= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }

    if (len) {
        w = 0;
        memcpy(&w, p, len);
        h = (h ^ w) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }

    return h;
}


void
mc_check_init(mc_check_t *c)
{
    memset(c, 0, sizeof(mc_check_t));
    memset(c->cc, -1, sizeof(c->cc));

    if (opt.md5) {
        c->md5 = EVP_MD_CTX_new();
        EVP_DigestInit_ex(c->md5, EVP_md5(), NULL);
    }

    if (opt.remuxed) {
        c->es = malloc(MC_ES_SIZE);
    }
}


void
mc_check_datagram(mc_check_t *c, const uint8_t *p, size_t len, uint64_t now,
    uint64_t arrival)
{
    int             cc;
    size_t          off;
    unsigned        i, pid;
    uint64_t        datagram;
    const uint8_t  *end;

    if (c->datagrams == 0) {
        c->first_time = now;

    } else {
        if (now - c->last_time > c->max_silence) {
            c->max_silence = now - c->last_time;
        }

        if (!opt.light && now - c->first_time >= opt.skip * 1e9) {
            mc_hist_add(&c->gap, (arrival - c->gap_time) / 1000);
        }
    }

    c->last_time = now;
    c->gap_time = arrival;
    c->datagrams++;

    for (i = 0; i < c->nsizes; i++) {
        if (c->sizes[i].size == len) {
            break;
        }
    }

    if (i < MC_MAX_SIZES) {
        c->sizes[i].size = len;
        c->sizes[i].n++;

        if (i == c->nsizes) {
            c->nsizes++;
        }
    }

    if (c->rtp_on) {
        p = mc_check_rtp(c, p, &len, arrival);
        if (p == NULL) {
            return;
        }
    }

    c->bytes += len;

    if (c->md5) {
        EVP_DigestUpdate(c->md5, p, len);
    }

    if (c->file) {
        fwrite(p, 1, len, c->file);
    }

    if (len == 0 || len % MC_TS_SIZE) {
        c->odd_sizes++;
    }

    /* after a remux one datagram may go on with the numbers of the last */

    datagram = (opt.remuxed && c->nstreams) ? c->streams[0].dg.last
                                            : UINT64_MAX;

    for (end = p + len; end - p >= MC_TS_SIZE; p += MC_TS_SIZE) {

        c->ts_packets++;

        if (p[0] != 0x47) {
            c->sync_errors++;
            continue;
        }

        pid = (p[1] & 0x1f) << 8 | p[2];

        if (pid == MC_PID_NULL) {
            c->null_packets++;
            continue;
        }

        if (!(p[3] & 0x10)) {
            c->other_packets++;
            continue;
        }

        cc = p[3] & 0x0f;
        if (c->cc[pid] != -1 && ((c->cc[pid] + 1) & 0x0f) != cc) {
            c->cc_errors++;
        }
        c->cc[pid] = cc;

        if (pid == 0 || pid == MC_PID_PMT) {
            c->psi_packets++;

            off = 8 + (((p[6] & 0x0f) << 8) | p[7]);

            if (p[4] || off > MC_TS_SIZE || mc_crc32(p + 5, off - 5)) {
                c->psi_errors++;
            }

            continue;
        }

        if (pid != MC_PID_DATA) {
            c->other_packets++;
            continue;
        }

        off = 4;

        if (p[3] & 0x20) {
            if (c->rtp_on && p[4] >= 7 && (p[5] & 0x10)) {
                mc_check_rtp_pcr(c, p);
            }

            off = 5 + p[4];
        }

        if ((p[1] & 0x40) && off + 9 < MC_TS_SIZE) {
            off += 9 + p[off + 8];
        }

        if (off + 1 > MC_TS_SIZE) {
            c->corrupted++;
            continue;
        }

        if (opt.remuxed) {
            mc_check_es(c, p + off, MC_TS_SIZE - off, now, &datagram);
            continue;
        }

        if (off + MC_RECORD > MC_TS_SIZE
            || mc_check_record(c, p + off, MC_TS_SIZE - off, now, &datagram))
        {
            c->corrupted++;
        }

        if (opt.light) {
            c->ts_packets += (end - p) / MC_TS_SIZE - 1;
            break;
        }
    }
}


static int
mc_check_record(mc_check_t *c, const uint8_t *p, size_t len, uint64_t now,
    uint64_t *datagram)
{
    unsigned      i;
    uint32_t      w[4];
    uint64_t      q[3];
    mc_stream_t  *s;

    memcpy(w, p, 16);
    memcpy(q, p + 16, 24);

    if (w[0] != MC_MAGIC || w[3] + 8 != len) {
        return -1;
    }

    if (!opt.light && mc_hash(p + 8, len - 8) != w[1]) {
        return -1;
    }

    for (i = 0; i < c->nstreams; i++) {
        if (c->streams[i].id == w[2]) {
            break;
        }
    }

    if (i == MC_MAX_IDS) {
        return -1;
    }

    if (i == c->nstreams) {
        c->nstreams++;
        c->streams[i].id = w[2];
    }

    s = &c->streams[i];
    s->n++;

    if (!opt.light) {
        mc_track(&s->ts, q[0]);
    }

    if (q[1] != *datagram) {
        *datagram = q[1];
        mc_track(&s->dg, q[1]);

        if (now - c->first_time >= opt.skip * 1e9) {
            mc_hist_add(&c->delay, now > q[2] ? (now - q[2]) / 1000 : 0);
        }
    }

    return 0;
}


/* after a remux the records may stand anywhere in the elementary stream */

static void
mc_check_es(mc_check_t *c, const uint8_t *p, size_t len, uint64_t now,
    uint64_t *datagram)
{
    size_t     pos, left;
    uint8_t   *m;
    uint32_t   n;

    static const uint8_t  magic[] = { 'M', 'C', 'P', 'K' };

    memcpy(c->es + c->es_len, p, len);
    c->es_len += len;

    pos = 0;

    for ( ;; ) {
        left = c->es_len - pos;
        m = memmem(c->es + pos, left, magic, 4);

        if (m == NULL) {
            pos = left > 3 ? c->es_len - 3 : pos;
            break;
        }

        pos = m - c->es;
        left = c->es_len - pos;

        if (left < MC_RECORD) {
            break;
        }

        memcpy(&n, m + 12, 4);

        if (n <= MC_TS_SIZE) {

            if (n + 8 > left) {
                break;
            }

            if (mc_check_record(c, m, n + 8, now, datagram) == 0) {
                pos += n + 8;
                continue;
            }
        }

        c->corrupted++;
        pos += 4;
    }

    c->es_len -= pos;
    memmove(c->es, c->es + pos, c->es_len);
}


static const uint8_t *
mc_check_rtp(mc_check_t *c, const uint8_t *p, size_t *len, uint64_t arrival)
{
    int        delta;
    size_t     off;
    double     d;
    int64_t    transit;
    uint16_t   seq;
    uint32_t   ts, ssrc;
    mc_rtp_t  *r;

    r = &c->rtp;

    if (*len < 12 || p[0] >> 6 != 2) {
        r->bad++;
        return NULL;
    }

    off = 12 + 4 * (p[0] & 0x0f);

    if (p[0] & 0x10) {
        if (off + 4 > *len) {
            r->bad++;
            return NULL;
        }

        off += 4 + 4 * ((p[off + 2] << 8) | p[off + 3]);
    }

    if (off > *len) {
        r->bad++;
        return NULL;
    }

    seq = p[2] << 8 | p[3];
    ts = (uint32_t) p[4] << 24 | p[5] << 16 | p[6] << 8 | p[7];
    ssrc = (uint32_t) p[8] << 24 | p[9] << 16 | p[10] << 8 | p[11];

    transit = (int64_t) (arrival * 9 / 100000) - ts;

    if (r->packets++ == 0) {
        r->version = 2;
        r->ssrc = ssrc;
        r->pt = p[1] & 0x7f;
        r->first_seq = seq;
        r->first_ts = ts;
        r->first_time = arrival;

    } else {
        delta = (int16_t) (seq - r->last_seq);

        if (ssrc != r->ssrc) {
            r->ssrc_changes++;
            r->ssrc = ssrc;
            r->pcr_seen = 0;
            delta = 1;

        } else {
            d = (double) (int32_t) (transit - r->transit);
            d = (d < 0) ? -d : d;
            r->jitter += (d - r->jitter) / 16;
        }

        if ((p[1] & 0x7f) != r->pt) {
            r->pt_changes++;
            r->pt = p[1] & 0x7f;
        }

        if (delta == 0) {
            r->duplicate++;

        } else if (delta < 0) {
            r->reordered++;

            if (r->lost) {
                r->lost--;
            }

        } else {
            if (delta > 1) {
                r->gaps++;
                r->lost += delta - 1;
            }

            if ((int32_t) (ts - r->last_ts) < 0) {
                r->ts_backwards++;
            }
        }

        if (delta <= 0) {
            goto done;
        }
    }

    r->last_seq = seq;
    r->last_ts = ts;
    r->last_time = arrival;
    r->transit = transit;

done:

    *len -= off;

    if ((p[0] & 0x20) && *len && p[off + *len - 1] <= *len) {
        *len -= p[off + *len - 1];
    }

    return p + off;
}


/* how far do RTP time stamps drift from the PCRs they should follow */

static void
mc_check_rtp_pcr(mc_check_t *c, const uint8_t *p)
{
    double     d;
    int64_t    dp;
    uint64_t   base;
    mc_rtp_t  *r;

    r = &c->rtp;

    base = (uint64_t) p[6] << 25 | p[7] << 17 | p[8] << 9 | p[9] << 1
           | p[10] >> 7;

    if (!r->pcr_seen) {
        r->pcr_seen = 1;
        r->pcr_base = base;
        r->pcr_ts = r->last_ts;
        return;
    }

    dp = (int64_t) ((base - r->pcr_base) & 0x1ffffffffull);

    d = (double) (int32_t) ((r->last_ts - r->pcr_ts) - (uint32_t) dp);
    d = (d < 0 ? -d : d) * 1000 / 90;

    if (d > r->pcr_error) {
        r->pcr_error = d;
    }
}


static void
mc_track(mc_track_t *t, uint64_t n)
{
    uint64_t  i;

    if (!t->started) {
        t->started = 1;
        t->seen = calloc(1, MC_WINDOW / 8);
        t->first = n;
        t->last = n;
        t->unique = 1;
        t->seen[(n % MC_WINDOW) >> 3] |= 1 << (n & 7);
        return;
    }

    if (n > t->last) {

        if (n - t->last >= MC_WINDOW) {
            memset(t->seen, 0, MC_WINDOW / 8);

        } else {
            for (i = t->last + 1; i < n; i++) {
                t->seen[(i % MC_WINDOW) >> 3] &= ~(1 << (i & 7));
            }
        }

        t->seen[(n % MC_WINDOW) >> 3] |= 1 << (n & 7);
        t->last = n;
        t->unique++;
        return;
    }

    if (n + MC_WINDOW > t->last
        && (t->seen[(n % MC_WINDOW) >> 3] & (1 << (n & 7))))
    {
        t->duplicate++;
        return;
    }

    t->seen[(n % MC_WINDOW) >> 3] |= 1 << (n & 7);
    t->reordered++;
    t->unique++;

    if (n < t->first) {
        t->first = n;
    }
}


static uint64_t
mc_track_lost(mc_track_t *t)
{
    return t->started ? t->last - t->first + 1 - t->unique : 0;
}


uint64_t
mc_check_lost(mc_check_t *c)
{
    unsigned  i;
    uint64_t  n;

    for (n = 0, i = 0; i < c->nstreams; i++) {
        n += mc_track_lost(&c->streams[i].dg);
    }

    return n;
}


void
mc_hist_add(mc_hist_t *h, uint64_t us)
{
    unsigned  octave;
    uint64_t  v;

    if (h->n == NULL) {
        h->n = calloc(MC_HIST_SUB * MC_HIST_OCTAVES, sizeof(uint32_t));
        h->min = UINT64_MAX;
    }

    if (us < h->min) {
        h->min = us;
    }

    if (us > h->max) {
        h->max = us;
    }

    h->count++;

    /* octave 0 is exact, octave n has steps of 2^(n-1) microseconds */

    for (octave = 0, v = us; v >= MC_HIST_SUB; v >>= 1) {
        octave++;
    }

    if (octave >= MC_HIST_OCTAVES) {
        octave = MC_HIST_OCTAVES - 1;
        v = MC_HIST_SUB - 1;
    }

    h->n[octave * MC_HIST_SUB + v]++;
}


void
mc_hist_merge(mc_hist_t *to, mc_hist_t *from)
{
    unsigned  i;

    if (from->n == NULL) {
        return;
    }

    if (to->n == NULL) {
        to->n = calloc(MC_HIST_SUB * MC_HIST_OCTAVES, sizeof(uint32_t));
        to->min = UINT64_MAX;
    }

    for (i = 0; i < MC_HIST_SUB * MC_HIST_OCTAVES; i++) {
        to->n[i] += from->n[i];
    }

    to->count += from->count;
    to->min = from->min < to->min ? from->min : to->min;
    to->max = from->max > to->max ? from->max : to->max;
}


uint64_t
mc_hist_at(mc_hist_t *h, double q)
{
    unsigned  i;
    uint64_t  n, want;

    if (h->n == NULL) {
        return 0;
    }

    want = h->count * q;

    for (n = 0, i = 0; i < MC_HIST_SUB * MC_HIST_OCTAVES; i++) {
        n += h->n[i];

        if (n > want) {
            break;
        }
    }

    return (uint64_t) (i % MC_HIST_SUB) << (i / MC_HIST_SUB);
}


void
mc_hist_print(const char *name, mc_hist_t *h)
{
    if (h->count == 0) {
        printf(", \"%s\": null", name);
        return;
    }

    printf(", \"%s\": {\"min\": %lu, \"p50\": %lu, \"p90\": %lu, "
           "\"p99\": %lu, \"max\": %lu}",
           name, h->min, mc_hist_at(h, 0.5), mc_hist_at(h, 0.9),
           mc_hist_at(h, 0.99), h->max);
}


void
mc_check_print(mc_check_t *c)
{
    double        s;
    unsigned      i, n;
    uint64_t      first, last, dup, reordered, ts_lost, ts_dup;
    mc_rtp_t     *r;
    mc_track_t   *t;
    unsigned char  md[EVP_MAX_MD_SIZE];

    first = UINT64_MAX;
    last = dup = reordered = ts_lost = ts_dup = 0;

    for (i = 0; i < c->nstreams; i++) {
        t = &c->streams[i].dg;

        first = t->first < first ? t->first : first;
        last = t->last > last ? t->last : last;
        dup += t->duplicate;
        reordered += t->reordered;
        ts_lost += mc_track_lost(&c->streams[i].ts);
        ts_dup += c->streams[i].ts.duplicate;
    }

    s = (c->last_time - c->first_time) / 1e9;

    printf("\"datagrams\": %lu, \"bytes\": %lu, \"ts_packets\": %lu, "
           "\"psi_packets\": %lu, \"null_packets\": %lu, "
           "\"other_packets\": %lu, \"lost\": %lu, \"ts_lost\": %lu, "
           "\"duplicate\": %lu, \"ts_duplicate\": %lu, \"reordered\": %lu, "
           "\"corrupted\": %lu, \"sync_errors\": %lu, \"psi_errors\": %lu, "
           "\"cc_errors\": %lu, \"odd_sizes\": %lu, \"kernel_drops\": %lu, "
           "\"connections\": %u, \"seconds\": %.3f, \"bitrate\": %.0f, "
           "\"silence_ms\": %.1f",
           c->datagrams, c->bytes, c->ts_packets, c->psi_packets,
           c->null_packets, c->other_packets, mc_check_lost(c), ts_lost,
           dup, ts_dup, reordered, c->corrupted, c->sync_errors,
           c->psi_errors, c->cc_errors, c->odd_sizes, c->kernel_drops,
           c->connections, s, s > 0 ? c->bytes * 8 / s : 0,
           c->max_silence / 1e6);

    if (c->nstreams) {
        printf(", \"first_seq\": %lu, \"last_seq\": %lu", first, last);

    } else {
        printf(", \"first_seq\": null, \"last_seq\": null");
    }

    printf(", \"ids\": {");
    for (i = 0; i < c->nstreams; i++) {
        printf("%s\"%u\": %lu", i ? ", " : "", c->streams[i].id,
               c->streams[i].n);
    }

    printf("}, \"sizes\": {");
    for (i = 0; i < c->nsizes; i++) {
        printf("%s\"%u\": %lu", i ? ", " : "", c->sizes[i].size,
               c->sizes[i].n);
    }
    printf("}");

    mc_hist_print("delay_us", &c->delay);
    mc_hist_print("gap_us", &c->gap);

    if (c->md5) {
        EVP_DigestFinal_ex(c->md5, md, &n);
        printf(", \"md5\": \"");
        for (i = 0; i < n; i++) {
            printf("%02x", md[i]);
        }
        printf("\"");
    }

    if (!c->rtp_on) {
        return;
    }

    r = &c->rtp;
    s = (r->last_time - r->first_time) / 1e9;

    printf(", \"rtp\": {\"packets\": %lu, \"bad\": %lu, \"version\": %u, "
           "\"pt\": %u, \"ssrc\": %u, \"first_seq\": %u, \"last_seq\": %u, "
           "\"first_ts\": %u, \"last_ts\": %u, \"gaps\": %lu, "
           "\"lost\": %lu, \"reordered\": %lu, \"duplicate\": %lu, "
           "\"ssrc_changes\": %lu, \"pt_changes\": %lu, "
           "\"ts_backwards\": %lu, \"ts_rate\": %.1f, \"jitter_ms\": %.3f, "
           "\"pcr_error_us\": ",
           r->packets, r->bad, r->version, r->pt, r->ssrc, r->first_seq,
           r->last_seq, r->first_ts, r->last_ts, r->gaps, r->lost,
           r->reordered, r->duplicate, r->ssrc_changes, r->pt_changes,
           r->ts_backwards,
           s > 0 ? (uint32_t) (r->last_ts - r->first_ts) / s : 0,
           r->jitter / 90);

    if (r->pcr_seen) {
        printf("%.0f}", r->pcr_error);

    } else {
        printf("null}");
    }
}
