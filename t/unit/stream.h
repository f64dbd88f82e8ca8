
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _STREAM_H_INCLUDED_
#define _STREAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/psi.h>
#include <bitstream/mpeg/pes.h>


/*
 * Makes a transport stream, packet by packet: stream_packet() gets each.
 * Included by one source of a program.
 */

#define STREAM_NO_TIME   (-1)

static uint8_t  stream_cc[8192];

static void stream_packet(u_char *p);

/* PES packets have random_access_indicator */
static unsigned  stream_random;


/* one packet of up to 184 bytes; returns what went in.  pcr: STREAM_NO_TIME:
   none */

static size_t
stream_ts(unsigned pid, unsigned unit, const u_char *data, size_t len,
    int64_t pcr, unsigned discontinuity)
{
    u_char    p[NGX_MC_TS_SIZE];
    size_t    af, room;
    unsigned  random;

    memset(p, 0xff, sizeof(p));

    ts_init(p);
    ts_set_pid(p, pid);
    ts_set_payload(p);
    ts_set_cc(p, stream_cc[pid]++ & 15);

    if (unit) {
        ts_set_unitstart(p);
    }

    random = unit && stream_random;

    af = (pcr >= 0) ? 8 : (discontinuity || random) ? 2 : 0;
    room = NGX_MC_TS_SIZE - TS_HEADER_SIZE - af;

    if (len < room) {
        af += room - len;

    } else {
        len = room;
    }

    if (af) {
        ts_set_adaptation(p, af - 1);

        if (discontinuity) {
            tsaf_set_discontinuity(p);
        }

        if (random) {
            tsaf_set_randomaccess(p);
        }

        if (pcr >= 0) {
            tsaf_set_pcr(p, pcr);
        }
    }

    if (len) {
        memcpy(p + sizeof(p) - len, data, len);
    }

    stream_packet(p);

    return len;
}


/* a section, with its length and CRC to be set; buf has room for it */

static void
stream_section(unsigned pid, u_char *section, size_t len)
{
    u_char  buf[1 + PSI_MAX_SIZE + PSI_HEADER_SIZE + 184];
    size_t  n, off;

    psi_set_length(section, len + PSI_CRC_SIZE - PSI_HEADER_SIZE);
    psi_set_crc(section);

    memset(buf, 0xff, sizeof(buf));
    buf[0] = 0;
    memcpy(buf + 1, section, len + PSI_CRC_SIZE);

    n = 1 + len + PSI_CRC_SIZE;

    for (off = 0; off < n; off += 184) {
        (void) stream_ts(pid, off == 0, buf + off, 184, STREAM_NO_TIME, 0);
    }
}


/* programs: pairs of a number and a PID, until 0 */

static ngx_inline void
stream_pat(unsigned version, const unsigned *programs)
{
    u_char  s[PSI_MAX_SIZE + PSI_HEADER_SIZE], *p;

    memset(s, 0, sizeof(s));
    pat_init(s);
    pat_set_tsid(s, 1);
    psi_set_version(s, version);
    psi_set_current(s);

    for (p = s + PAT_HEADER_SIZE; programs[0]; programs += 2, p += 4) {
        patn_init(p);
        patn_set_program(p, programs[0]);
        patn_set_pid(p, programs[1]);
    }

    stream_section(0, s, p - s);
}


typedef struct {
    unsigned     type;
    unsigned     pid;
    const char  *language;
    const char  *registration;
} stream_es_t;


static ngx_inline void
stream_pmt(unsigned pid, unsigned program, unsigned version, unsigned pcr_pid,
    const stream_es_t *es, unsigned n)
{
    u_char   s[PSI_MAX_SIZE + PSI_HEADER_SIZE], *p;
    size_t   len;

    memset(s, 0, sizeof(s));
    pmt_init(s);
    pmt_set_program(s, program);
    psi_set_version(s, version);
    psi_set_current(s);
    pmt_set_pcrpid(s, pcr_pid);
    pmt_set_desclength(s, 0);

    p = s + PMT_HEADER_SIZE;

    for ( /* void */ ; n; n--, es++) {
        pmtn_init(p);
        pmtn_set_streamtype(p, es->type);
        pmtn_set_pid(p, es->pid);

        len = 0;

        if (es->language) {
            p[5] = 0x0a;
            p[6] = 4;
            memcpy(p + 7, es->language, 3);
            p[10] = 0;
            len += 6;
        }

        if (es->registration) {
            p[5 + len] = 0x05;
            p[6 + len] = 4;
            memcpy(p + 7 + len, es->registration, 4);
            len += 6;
        }

        pmtn_set_desclength(p, len);
        p += 5 + len;
    }

    stream_section(pid, s, p - s);
}


/* a PES packet; bounded: with PES_packet_length.  pcr as above, in its first
   TS packet */

static ngx_inline void
stream_pes(unsigned pid, unsigned id, int64_t pts, int64_t dts,
    const u_char *data, size_t len, unsigned bounded, int64_t pcr,
    unsigned discontinuity)
{
    u_char    *buf;
    size_t     header, off;

    header = (pts < 0) ? 9 : (dts < 0 || dts == pts) ? 14 : 19;

    buf = malloc(header + len);
    memset(buf, 0, header);

    pes_init(buf);
    pes_set_streamid(buf, id);
    pes_set_headerlength(buf, header - 9);
    pes_set_length(buf, bounded ? header - 6 + len : 0);

    if (pts >= 0) {
        pes_set_pts(buf, pts & 0x1ffffffffLL);
    }

    if (header == 19) {
        pes_set_dts(buf, dts & 0x1ffffffffLL);
    }

    memcpy(buf + header, data, len);

    for (off = 0; off < header + len; /* void */ ) {
        off += stream_ts(pid, off == 0, buf + off, header + len - off,
                         off ? STREAM_NO_TIME : pcr,
                         off ? 0 : discontinuity);
    }

    free(buf);
}


#endif /* _STREAM_H_INCLUDED_ */
