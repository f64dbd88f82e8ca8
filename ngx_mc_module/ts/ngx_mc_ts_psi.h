
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_TS_PSI_H_INCLUDED_
#define _NGX_MC_TS_PSI_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_codec.h>
#include <ngx_mc_packet.h>


/* ISO/IEC 13818-1, 2.4.4.4 and 2.4.4.9: section_length is 1021 at most */
#define NGX_MC_PSI_SECTION    1024

/* beyond them programmes and streams are not seen */
#define NGX_MC_PSI_PROGRAMS   256
#define NGX_MC_PSI_STREAMS    64


/* sections of one PID */

typedef struct {
    u_char            buf[NGX_MC_PSI_SECTION];
    uint32_t          len;           /* bytes of a section that began */
    uint8_t           cc;            /* the last continuity_counter */
    unsigned          known:1;       /* cc is */
    unsigned          repeated:1;    /* a duplicate came already */
} ngx_mc_psi_t;

/* a section, whole, with its CRC checked; the bytes are borrowed */
typedef void (*ngx_mc_psi_section_pt)(void *data, u_char *section,
    size_t len);


typedef struct {
    uint16_t          number;        /* program_number */
    uint16_t          pid;           /* of its PMT */
} ngx_mc_psi_program_t;


typedef struct {
    uint32_t          nprograms;     /* the network PID is not among them */
    uint8_t           version;
    uint8_t           next;          /* section_number that is waited for */
    unsigned          complete:1;
    ngx_mc_psi_program_t  programs[NGX_MC_PSI_PROGRAMS];
} ngx_mc_psi_pat_t;


typedef struct {
    uint16_t          pid;
    uint8_t           stream_type;
    uint8_t           type;          /* NGX_MC_TRACK_* */
    uint8_t           codec;         /* NGX_MC_CODEC_*; MP3 for what may turn
                                        out to be another layer */
    u_char            language[4];   /* ISO 639-2, zero-terminated */
} ngx_mc_psi_stream_t;


typedef struct {
    uint16_t          program;
    uint16_t          pcr_pid;
    uint32_t          nstreams;
    ngx_mc_psi_stream_t  streams[NGX_MC_PSI_STREAMS];
} ngx_mc_psi_pmt_t;


void ngx_mc_psi_reset(ngx_mc_psi_t *psi);

/* a TS packet of the PID, without transport_error_indicator and in clear */
void ngx_mc_psi_packet(ngx_mc_psi_t *psi, u_char *ts,
    ngx_mc_psi_section_pt handler, void *data);

/*
 * A section of a PAT into a table that was zeroed at first.  NGX_OK: the
 * table is complete, and it changed if pat->complete was reset before;
 * NGX_AGAIN: more sections are to come; NGX_DECLINED: not a PAT, or not
 * applicable yet; NGX_ERROR: malformed.
 */
ngx_int_t ngx_mc_psi_pat(ngx_mc_psi_pat_t *pat, u_char *section, size_t len);

/* NGX_DECLINED: another table, or not applicable yet; NGX_ERROR: malformed,
   pmt is undefined then */
ngx_int_t ngx_mc_psi_pmt(ngx_mc_psi_pmt_t *pmt, u_char *section, size_t len);


/* where the payload begins; NULL: there is none, or the adaptation field is
   malformed (2.4.3.4) */
u_char *ngx_mc_psi_payload(u_char *ts);


#endif /* _NGX_MC_TS_PSI_H_INCLUDED_ */
