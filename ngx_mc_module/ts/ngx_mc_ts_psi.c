
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_psi.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/psi.h>


/* ISO/IEC 13818-1, Table 2-34, and registrations of others */
#define NGX_MC_PSI_MPEG4      0x10
#define NGX_MC_PSI_ID3        0x15
#define NGX_MC_PSI_JPEG2000   0x21
#define NGX_MC_PSI_VVC        0x33

/* stream types of ATSC, SCTE and of Blu-ray, that many use */
#define NGX_MC_PSI_PCM        0x80
#define NGX_MC_PSI_DTS        0x82
#define NGX_MC_PSI_DTS_HD     0x85

/* descriptors: ETSI EN 300 468, 6.1, and its Annex D */
#define NGX_MC_DESC_TELETEXT  0x56
#define NGX_MC_DESC_SUBTITLE  0x59
#define NGX_MC_DESC_AC3       0x6a
#define NGX_MC_DESC_EAC3      0x7a
#define NGX_MC_DESC_DTS       0x7b
#define NGX_MC_DESC_AAC       0x7c
#define NGX_MC_DESC_EXTENSION 0x7f
#define NGX_MC_DESC_ATSC_AC3  0x81

/* descriptor_tag_extension */
#define NGX_MC_DESC_EXT_AC4   0x15
#define NGX_MC_DESC_EXT_OPUS  0x80

#define NGX_MC_PSI_STUFFING   0xff


typedef struct {
    uint8_t           value;
    uint8_t           type;
    uint8_t           codec;
} ngx_mc_psi_type_t;


typedef struct {
    char              id[5];
    uint8_t           type;
    uint8_t           codec;
} ngx_mc_psi_registration_t;


static size_t ngx_mc_psi_append(ngx_mc_psi_t *psi, u_char *p, size_t len,
    ngx_mc_psi_section_pt handler, void *data);
static ngx_int_t ngx_mc_psi_long_section(u_char *section, size_t len,
    ngx_uint_t table);
static void ngx_mc_psi_stream_type(ngx_mc_psi_stream_t *st);
static void ngx_mc_psi_descriptor(ngx_mc_psi_stream_t *st, u_char *desc);
static void ngx_mc_psi_private(ngx_mc_psi_stream_t *st, ngx_uint_t type,
    ngx_uint_t codec);


static ngx_mc_psi_type_t  ngx_mc_psi_types[] = {
    { PMT_STREAMTYPE_VIDEO_MPEG1, NGX_MC_TRACK_VIDEO,
      NGX_MC_CODEC_MPEG1VIDEO },
    { PMT_STREAMTYPE_VIDEO_MPEG2, NGX_MC_TRACK_VIDEO,
      NGX_MC_CODEC_MPEG2VIDEO },
    { PMT_STREAMTYPE_AUDIO_MPEG1, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_MP3 },
    { PMT_STREAMTYPE_AUDIO_MPEG2, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_MP3 },
    { PMT_STREAMTYPE_AUDIO_ADTS, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_AAC },
    { PMT_STREAMTYPE_AUDIO_LATM, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_AAC },
    { NGX_MC_PSI_MPEG4, NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_MPEG4 },
    { NGX_MC_PSI_ID3, NGX_MC_TRACK_OTHER, NGX_MC_CODEC_ID3 },
    { PMT_STREAMTYPE_VIDEO_AVC, NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_H264 },
    { NGX_MC_PSI_JPEG2000, NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_JPEG2000 },
    { PMT_STREAMTYPE_VIDEO_HEVC, NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_HEVC },
    { NGX_MC_PSI_VVC, NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_VVC },
    { NGX_MC_PSI_PCM, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_PCM },
    { PMT_STREAMTYPE_ATSC_A52, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_AC3 },
    { NGX_MC_PSI_DTS, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_DTS },
    { NGX_MC_PSI_DTS_HD, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_DTS },
    { PMT_STREAMTYPE_SCTE_35, NGX_MC_TRACK_OTHER, NGX_MC_CODEC_SCTE35 },
    { PMT_STREAMTYPE_ATSC_A52E, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_EAC3 },
    { 0, 0, 0 }
};


/* format_identifier of a registration_descriptor, 2.6.8 */

static ngx_mc_psi_registration_t  ngx_mc_psi_registrations[] = {
    { "AC-3", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_AC3 },
    { "EAC3", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_EAC3 },
    { "AC-4", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_AC4 },
    { "DTS1", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_DTS },
    { "DTS2", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_DTS },
    { "DTS3", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_DTS },
    { "Opus", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_OPUS },
    { "BSSD", NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_S302M },
    { "HEVC", NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_HEVC },
    { "H264", NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_H264 },
    { "AVC1", NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_H264 },
    { "VVC ", NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_VVC },
    { "AV01", NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_AV1 },
    { "VP09", NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_VP9 },
    { "drac", NGX_MC_TRACK_VIDEO, NGX_MC_CODEC_NONE },
    { "KLVA", NGX_MC_TRACK_OTHER, NGX_MC_CODEC_KLV },
    { "ID3 ", NGX_MC_TRACK_OTHER, NGX_MC_CODEC_ID3 },
    { "CUEI", NGX_MC_TRACK_OTHER, NGX_MC_CODEC_SCTE35 },
    { "", 0, 0 }
};


u_char *
ngx_mc_psi_payload(u_char *ts)
{
    if (!ts_has_payload(ts)) {
        return NULL;
    }

    if (ts_has_adaptation(ts)
        && ts_get_adaptation(ts) >= TS_SIZE - TS_HEADER_SIZE - 1)
    {
        return NULL;
    }

    return ts_payload(ts);
}


void
ngx_mc_psi_reset(ngx_mc_psi_t *psi)
{
    psi->len = 0;
    psi->known = 0;
    psi->repeated = 0;
}


void
ngx_mc_psi_packet(ngx_mc_psi_t *psi, u_char *ts,
    ngx_mc_psi_section_pt handler, void *data)
{
    u_char      *p, *last, *next;
    size_t       n;
    ngx_uint_t   cc;

    p = ngx_mc_psi_payload(ts);

    if (p == NULL) {
        return;
    }

    last = ts + TS_SIZE;
    cc = ts_get_cc(ts);

    if (psi->known) {

        if (cc == psi->cc && !psi->repeated) {

            /* a duplicate: 2.4.3.3 */

            psi->repeated = 1;
            return;
        }

        if (ts_check_discontinuity(cc, psi->cc)) {
            psi->len = 0;
        }
    }

    psi->known = 1;
    psi->repeated = 0;
    psi->cc = cc;

    if (ts_get_unitstart(ts)) {

        /* pointer_field: 2.4.4.2 */

        next = p + 1 + *p;
        p++;

        if (next >= last) {
            psi->len = 0;
            return;
        }

        if (psi->len) {
            (void) ngx_mc_psi_append(psi, p, next - p, handler, data);
        }

        /* here the next one begins, whatever is missing of that before */

        psi->len = 0;
        p = next;

        if (*p == NGX_MC_PSI_STUFFING) {
            return;
        }

    } else if (psi->len == 0) {

        /* the middle of a section whose beginning is not known */

        return;
    }

    while (p < last) {
        n = ngx_mc_psi_append(psi, p, last - p, handler, data);
        p += n;

        if (n == 0 || psi->len || p == last || *p == NGX_MC_PSI_STUFFING) {
            return;
        }
    }
}


/* takes bytes up to the end of the section, at most; 0: it is malformed, or
   of a kind that is longer than any of ours */

static size_t
ngx_mc_psi_append(ngx_mc_psi_t *psi, u_char *p, size_t len,
    ngx_mc_psi_section_pt handler, void *data)
{
    size_t  n, used, size;

    used = 0;

    if (psi->len < PSI_HEADER_SIZE) {
        used = ngx_min(len, PSI_HEADER_SIZE - psi->len);
        ngx_memcpy(psi->buf + psi->len, p, used);
        psi->len += used;

        if (psi->len < PSI_HEADER_SIZE) {
            return used;
        }
    }

    size = PSI_HEADER_SIZE + psi_get_length(psi->buf);

    if (size > NGX_MC_PSI_SECTION) {
        psi->len = 0;
        return 0;
    }

    n = ngx_min(len - used, size - psi->len);
    ngx_memcpy(psi->buf + psi->len, p + used, n);
    psi->len += n;
    used += n;

    if (psi->len == size) {
        psi->len = 0;

        /* what has no CRC is none of ours */

        if (psi_get_syntax(psi->buf) && psi_validate(psi->buf)
            && psi_check_crc(psi->buf))
        {
            handler(data, psi->buf, size);
        }
    }

    return used;
}


static ngx_int_t
ngx_mc_psi_long_section(u_char *section, size_t len, ngx_uint_t table)
{
    if (len < PSI_HEADER_SIZE_SYNTAX1 + PSI_CRC_SIZE
        || !psi_get_syntax(section)
        || psi_get_length(section) + (size_t) PSI_HEADER_SIZE != len)
    {
        return NGX_ERROR;
    }

    /* current_next_indicator 0: it is the one to come, 2.4.4.5 */

    if (psi_get_tableid(section) != table || !psi_get_current(section)) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mc_psi_pat(ngx_mc_psi_pat_t *pat, u_char *section, size_t len)
{
    u_char                *p, *last;
    ngx_int_t              rc;
    ngx_uint_t             version, n;
    ngx_mc_psi_program_t  *program;

    rc = ngx_mc_psi_long_section(section, len, PAT_TABLE_ID);

    if (rc != NGX_OK) {
        return rc;
    }

    p = section + PAT_HEADER_SIZE;
    last = section + len - PSI_CRC_SIZE;

    if ((last - p) % PAT_PROGRAM_SIZE
        || psi_get_section(section) > psi_get_lastsection(section))
    {
        return NGX_ERROR;
    }

    version = psi_get_version(section);
    n = psi_get_section(section);

    if (n == 0) {
        pat->version = version;
        pat->next = 0;
        pat->nprograms = 0;
        pat->complete = 0;

    } else if (version != pat->version || n != pat->next || pat->complete) {

        /* sections in order, so that what is first stays so */

        return NGX_AGAIN;
    }

    for ( /* void */ ; p < last; p += PAT_PROGRAM_SIZE) {

        if (patn_get_program(p) == 0
            || pat->nprograms == NGX_MC_PSI_PROGRAMS)
        {
            continue;
        }

        program = &pat->programs[pat->nprograms++];
        program->number = patn_get_program(p);
        program->pid = patn_get_pid(p);
    }

    if (n < psi_get_lastsection(section)) {
        pat->next = n + 1;
        return NGX_AGAIN;
    }

    pat->complete = 1;

    return NGX_OK;
}


ngx_int_t
ngx_mc_psi_pmt(ngx_mc_psi_pmt_t *pmt, u_char *section, size_t len)
{
    u_char               *p, *last, *desc, *end;
    ngx_int_t             rc;
    ngx_uint_t            all;
    ngx_mc_psi_stream_t  *st, program;

    rc = ngx_mc_psi_long_section(section, len, PMT_TABLE_ID);

    if (rc != NGX_OK) {
        return rc;
    }

    last = section + len - PSI_CRC_SIZE;

    if (len < PMT_HEADER_SIZE + PSI_CRC_SIZE) {
        return NGX_ERROR;
    }

    /* program_info_length */

    p = section + PMT_HEADER_SIZE;

    if ((size_t) (last - p) < pmt_get_desclength(section)) {
        return NGX_ERROR;
    }

    pmt->program = pmt_get_program(section);
    pmt->pcr_pid = pmt_get_pcrpid(section);
    pmt->nstreams = 0;

    ngx_memzero(&program, sizeof(ngx_mc_psi_stream_t));

    p += pmt_get_desclength(section);

    while (p < last) {

        if (last - p < PMT_ES_SIZE
            || last - p - PMT_ES_SIZE < pmtn_get_desclength(p))
        {
            return NGX_ERROR;
        }

        all = (pmt->nstreams == NGX_MC_PSI_STREAMS);
        st = all ? &program : &pmt->streams[pmt->nstreams++];

        ngx_memzero(st, sizeof(ngx_mc_psi_stream_t));

        st->pid = pmtn_get_pid(p);
        st->stream_type = pmtn_get_streamtype(p);

        ngx_mc_psi_stream_type(st);

        desc = p + PMT_ES_SIZE;
        end = desc + pmtn_get_desclength(p);

        while (end - desc >= DESC_HEADER_SIZE
               && end - desc - DESC_HEADER_SIZE >= desc_get_length(desc))
        {
            ngx_mc_psi_descriptor(st, desc);
            desc += DESC_HEADER_SIZE + desc_get_length(desc);
        }

        p = end;
    }

    return NGX_OK;
}


static void
ngx_mc_psi_stream_type(ngx_mc_psi_stream_t *st)
{
    ngx_mc_psi_type_t  *t;

    for (t = ngx_mc_psi_types; t->value; t++) {
        if (t->value == st->stream_type) {
            st->type = t->type;
            st->codec = t->codec;
            return;
        }
    }
}


static void
ngx_mc_psi_descriptor(ngx_mc_psi_stream_t *st, u_char *desc)
{
    size_t                      len;
    ngx_uint_t                  i;
    const uint8_t              *code;
    ngx_mc_psi_registration_t  *r;

    len = desc_get_length(desc);

    switch (desc_get_tag(desc)) {

    case 0x0a:

        /* ISO_639_language_descriptor, 2.6.18 */

        if (len < DESC0A_LANGUAGE_SIZE || st->language[0]) {
            return;
        }

        code = desc0an_get_code(desc0a_get_language(desc, 0));

        for (i = 0; i < 3; i++) {

            if (!isalpha(code[i])) {

                /* it is shown to people */

                ngx_memzero(st->language, sizeof(st->language));
                return;
            }

            st->language[i] = ngx_tolower(code[i]);
        }

        return;

    case 0x05:

        if (!desc05_validate(desc)) {
            return;
        }

        for (r = ngx_mc_psi_registrations; r->id[0]; r++) {
            if (ngx_memcmp(desc05_get_identifier(desc), r->id, 4) == 0) {
                ngx_mc_psi_private(st, r->type, r->codec);
                return;
            }
        }

        return;

    case NGX_MC_DESC_TELETEXT:
        ngx_mc_psi_private(st, NGX_MC_TRACK_OTHER, NGX_MC_CODEC_TELETEXT);
        return;

    case NGX_MC_DESC_SUBTITLE:
        ngx_mc_psi_private(st, NGX_MC_TRACK_OTHER, NGX_MC_CODEC_DVB_SUBTITLE);
        return;

    case NGX_MC_DESC_AC3:
    case NGX_MC_DESC_ATSC_AC3:
        ngx_mc_psi_private(st, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_AC3);
        return;

    case NGX_MC_DESC_EAC3:
        ngx_mc_psi_private(st, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_EAC3);
        return;

    case NGX_MC_DESC_DTS:
        ngx_mc_psi_private(st, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_DTS);
        return;

    case NGX_MC_DESC_EXTENSION:

        if (len == 0) {
            return;
        }

        if (desc[DESC_HEADER_SIZE] == NGX_MC_DESC_EXT_AC4) {
            ngx_mc_psi_private(st, NGX_MC_TRACK_AUDIO, NGX_MC_CODEC_AC4);

        } else if (desc[DESC_HEADER_SIZE] == NGX_MC_DESC_EXT_OPUS
                   && st->codec == NGX_MC_CODEC_OPUS)
        {
            st->type = NGX_MC_TRACK_AUDIO;
        }

        return;
    }
}


/* what is in private PES packets, only descriptors tell */

static void
ngx_mc_psi_private(ngx_mc_psi_stream_t *st, ngx_uint_t type, ngx_uint_t codec)
{
    if (st->codec == NGX_MC_CODEC_NONE
        || (st->stream_type == NGX_MC_PSI_ID3 && codec == NGX_MC_CODEC_KLV))
    {
        st->type = type;
        st->codec = codec;
    }
}
