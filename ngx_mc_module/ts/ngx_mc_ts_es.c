
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_ts_es.h>

#include <bitstream/mpeg/ts.h>
#include <bitstream/mpeg/pes.h>


/* room for what is assembled, at first */
#define NGX_MC_TS_BUFFER       (64 * 1024)

/* 90 kHz: what a DTS is off at most */
#define NGX_MC_TS_JUMP         (10 * 90000)

/* a PTS is that much from its DTS at most */
#define NGX_MC_TS_REORDER      (10 * 90000)

/* adaptation_field: OPCR_flag and those after it, rare */
#define NGX_MC_TS_AF_MORE      0x0f


static ngx_uint_t ngx_mc_ts_demux_stuffed(u_char *p);
static void ngx_mc_ts_es_begin(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_feed(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    u_char *p, size_t len);
static ngx_int_t ngx_mc_ts_es_header(ngx_mc_ts_demux_t *dm,
    ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_data(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es);
static void ngx_mc_ts_es_time(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es,
    uint64_t dts, uint64_t pts);
static ngx_uint_t ngx_mc_ts_es_near(ngx_mc_ts_demux_t *dm,
    ngx_mc_ts_es_t *es, int64_t delta, int64_t limit);


void
ngx_mc_ts_es_reset(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    es->known = 0;
    es->repeated = 0;
    es->free = 0;
    es->scrambled = 0;

    ngx_mc_ts_es_drop(dm, es);

    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_reset(dm);

    } else {
        ngx_mc_ts_audio_reset(dm);
    }
}


void
ngx_mc_ts_es_drop(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    ngx_uint_t  i;

    es->state = NGX_MC_TS_PES_NONE;
    es->start = NGX_MC_TS_ROOM;
    es->end = NGX_MC_TS_ROOM;
    es->appended = NGX_MC_TS_ROOM;

    for (i = 0; i < NGX_MC_TS_STAMPS; i++) {

        /* a jump is not forgotten */

        if (es->stamps[i].fresh && es->stamps[i].mark) {
            es->mark = 1;
        }

        es->stamps[i].fresh = 0;
        es->stamps[i].pos = 0;
    }

    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_drop(dm);

    } else {
        ngx_mc_ts_audio_drop(dm);
    }
}


void
ngx_mc_ts_es_give_up(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    if (es->state == NGX_MC_TS_PES_HEADER || es->state == NGX_MC_TS_PES_DATA
        || es->end != es->start)
    {
        dm->damaged++;
    }

    ngx_mc_ts_es_drop(dm, es);
}


void
ngx_mc_ts_es_packet(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, u_char *p)
{
    u_char      *data;
    uint64_t     tail;
    ngx_uint_t   cc, unit, gap;

    if (ts_has_adaptation(p) && ts_get_adaptation(p) != 0
        && ts_get_adaptation(p) < TS_SIZE - TS_HEADER_SIZE
        && tsaf_has_discontinuity(p))
    {
        es->free = 1;
    }

    data = ngx_mc_psi_payload(p);

    if (data == NULL) {
        return;
    }

    cc = ts_get_cc(p);
    unit = ts_get_unitstart(p);
    ngx_memcpy(&tail, p + TS_SIZE - sizeof(uint64_t), sizeof(uint64_t));

    if (es->known && ts_check_discontinuity(cc, es->cc)) {

        /* 2.4.3.3: a duplicate is the same but for its PCR */

        if (cc == es->cc && !es->repeated && !es->free && tail == es->tail) {
            es->repeated = 1;
            return;
        }

        /* at a splice the packet before is complete: 2.4.3.5 */

        gap = !es->free || !unit;

    } else {
        gap = 0;
    }

    es->known = 1;
    es->repeated = 0;
    es->free = 0;
    es->cc = cc;
    es->tail = tail;

    if (gap) {
        ngx_mc_ts_es_give_up(dm, es);
    }

    if (ts_get_scrambling(p)) {
        es->scrambled = 1;
        ngx_mc_ts_es_give_up(dm, es);
        return;
    }

    if (unit) {
        ngx_mc_ts_es_begin(dm, es);

        es->random = ts_has_adaptation(p) && ts_get_adaptation(p) != 0
                     && tsaf_has_randomaccess(p);
    }

    if (es->state == NGX_MC_TS_PES_HEADER || es->state == NGX_MC_TS_PES_DATA)
    {
        es->stuffed = ngx_mc_ts_demux_stuffed(p);
        ngx_mc_ts_es_feed(dm, es, data, p + TS_SIZE - data);
    }
}


/* stuffing_byte, or adaptation_field_length 0 which is one: 2.4.3.5 */

static ngx_uint_t
ngx_mc_ts_demux_stuffed(u_char *p)
{
    ngx_uint_t  len;

    if (!ts_has_adaptation(p)) {
        return 0;
    }

    len = ts_get_adaptation(p);

    if (len == 0) {
        return 1;
    }

    return (p[5] & NGX_MC_TS_AF_MORE) == 0
           && len > (tsaf_has_pcr(p) ? NGX_MC_TS_AF_PCR : 1u);
}


static void
ngx_mc_ts_es_begin(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    if (es->state == NGX_MC_TS_PES_HEADER
        || (es->state == NGX_MC_TS_PES_DATA && es->bounded))
    {
        /* it is shorter than it says */

        ngx_mc_ts_es_give_up(dm, es);
    }

    es->state = NGX_MC_TS_PES_HEADER;
    es->head_len = 0;
}


static void
ngx_mc_ts_es_feed(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, u_char *p,
    size_t len)
{
    size_t     n, need;
    ngx_int_t  rc;

    while (es->state == NGX_MC_TS_PES_HEADER) {

        need = PES_HEADER_SIZE_NOPTS;

        if (es->head_len >= PES_HEADER_SIZE_NOPTS) {
            need += pes_get_headerlength(es->head);
        }

        n = ngx_min(need - es->head_len, len);

        ngx_memcpy(es->head + es->head_len, p, n);
        es->head_len += n;
        p += n;
        len -= n;

        if (es->head_len < need) {
            return;
        }

        if (need > PES_HEADER_SIZE_NOPTS
            || pes_get_headerlength(es->head) == 0)
        {
            rc = ngx_mc_ts_es_header(dm, es);

            if (rc == NGX_ERROR) {
                ngx_mc_ts_es_give_up(dm, es);
                return;
            }

            if (rc == NGX_DECLINED) {
                es->state = NGX_MC_TS_PES_NONE;
                return;
            }

            es->state = NGX_MC_TS_PES_DATA;

        } else if (!pes_validate(es->head)) {
            ngx_mc_ts_es_give_up(dm, es);
            return;
        }
    }

    if (es->bounded) {
        len = ngx_min(len, es->left);
        es->left -= len;
    }

    if (len && ngx_mc_ts_es_append(dm, es, p, len) != NGX_OK) {
        return;
    }

    if (es->bounded && es->left == 0) {
        es->state = NGX_MC_TS_PES_FULL;
    }

    if (len) {
        ngx_mc_ts_es_data(dm, es);
    }

    if (es->state == NGX_MC_TS_PES_FULL
        && es == &dm->es[NGX_MC_TS_VIDEO])
    {
        ngx_mc_ts_video_end(dm);
    }
}


static void
ngx_mc_ts_es_data(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_data(dm);

    } else {
        ngx_mc_ts_audio_data(dm);
    }
}


/* 2.4.3.6; NGX_DECLINED: it carries something else */

static ngx_int_t
ngx_mc_ts_es_header(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es)
{
    u_char      *head;
    uint64_t     pts, dts;
    ngx_uint_t   length, header;

    head = es->head;

    if (!pes_validate(head)) {
        return NGX_ERROR;
    }

    switch (pes_get_streamid(head)) {

    case PES_STREAM_ID_PSM:
    case PES_STREAM_ID_PADDING:
    case PES_STREAM_ID_PRIVATE_2:
    case PES_STREAM_ID_ECM:
    case PES_STREAM_ID_EMM:
    case PES_STREAM_ID_DSMCC:
    case PES_STREAM_ID_H222_1_E:
    case PES_STREAM_ID_PSD:

        /* these have no such header */

        return NGX_DECLINED;
    }

    if (!pes_validate_header(head)) {
        return NGX_ERROR;
    }

    /* PES_scrambling_control */

    if (head[6] & 0x30) {
        es->scrambled = 1;
        return NGX_ERROR;
    }

    es->scrambled = 0;

    header = pes_get_headerlength(head);
    length = pes_get_length(head);

    es->bounded = (length != 0);

    if (length) {

        if (length < PES_HEADER_OPTIONAL_SIZE + header) {
            return NGX_ERROR;
        }

        es->length = length - PES_HEADER_OPTIONAL_SIZE - header;
        es->left = es->length;
    }

    if (es == &dm->es[NGX_MC_TS_VIDEO]) {
        ngx_mc_ts_video_pes(dm);
    }

    if (!pes_has_pts(head) || header < PES_HEADER_TS_SIZE
        || !pes_validate_pts(head))
    {
        return NGX_OK;
    }

    pts = pes_get_pts(head);
    dts = pts;

    if (pes_has_dts(head) && header >= 2 * PES_HEADER_TS_SIZE
        && pes_validate_dts(head))
    {
        dts = pes_get_dts(head);
    }

    ngx_mc_ts_es_time(dm, es, dts, pts);

    return NGX_OK;
}


ngx_int_t
ngx_mc_ts_es_append(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, u_char *p,
    size_t len)
{
    size_t   size;
    u_char  *buf;

    if (es->end - es->start + len > NGX_MC_FRAME_MAX) {
        ngx_mc_ts_es_give_up(dm, es);
        return NGX_ERROR;
    }

    if (es->end + len > es->size) {

        size = es->size ? es->size : NGX_MC_TS_BUFFER;

        while (size < es->end + len) {
            size *= 2;
        }

        buf = ngx_alloc(size, dm->log);
        if (buf == NULL) {
            ngx_mc_ts_es_give_up(dm, es);
            return NGX_ERROR;
        }

        if (es->buf) {
            ngx_memcpy(buf, es->buf, es->end);
            ngx_free(es->buf);
        }

        es->buf = buf;
        es->size = size;
    }

    es->appended = es->end;
    es->before = es->origin;
    es->origin = dm->origin;

    ngx_memcpy(es->buf + es->end, p, len);

    es->end += len;
    es->track->bytes += len;

    return NGX_OK;
}


void
ngx_mc_ts_es_consume(ngx_mc_ts_es_t *es, size_t pos)
{
    size_t      delta;
    ngx_uint_t  i;

    delta = pos - NGX_MC_TS_ROOM;

    if (delta == 0) {
        es->start = pos;
        return;
    }

    if (es->end > pos) {
        ngx_memmove(es->buf + NGX_MC_TS_ROOM, es->buf + pos, es->end - pos);
    }

    es->start = NGX_MC_TS_ROOM;
    es->end -= delta;
    es->appended = (es->appended > delta) ? es->appended - delta : 0;

    for (i = 0; i < NGX_MC_TS_STAMPS; i++) {
        es->stamps[i].pos = (es->stamps[i].pos > delta)
                            ? es->stamps[i].pos - delta : 0;
    }
}


ngx_mc_ts_stamp_t *
ngx_mc_ts_es_stamp(ngx_mc_ts_es_t *es, size_t pos)
{
    ngx_uint_t          i;
    ngx_mc_ts_stamp_t  *stamp;

    for (i = 0; i < NGX_MC_TS_STAMPS; i++) {
        stamp = &es->stamps[(es->stamp - i) % NGX_MC_TS_STAMPS];

        if (stamp->pos <= pos) {

            if (!stamp->fresh) {
                return NULL;
            }

            stamp->fresh = 0;
            return stamp;
        }
    }

    return NULL;
}


/*
 * The timestamps of a PES packet, put on our line.  A track follows its own
 * DTS; if it jumps, it goes where the other one already is, if that is there,
 * or else it begins a new time base, which goes on where it was.
 */

static void
ngx_mc_ts_es_time(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, uint64_t dts,
    uint64_t pts)
{
    int64_t             delta, raw, out, elapsed, reorder;
    ngx_uint_t          mark, slot, join;
    ngx_mc_ts_es_t     *other, *last;
    ngx_mc_ts_stamp_t  *stamp;

    other = (es == &dm->es[NGX_MC_TS_VIDEO]) ? &dm->es[NGX_MC_TS_AUDIO]
                                             : &dm->es[NGX_MC_TS_VIDEO];
    mark = 0;
    delta = 0;

    if (es->line >= 0) {
        delta = ngx_mc_ts_diff(dts, es->raw);

        /* in one time base a DTS does not go back */

        if (delta >= - NGX_MC_TS_JUMP_TOLD
            && ngx_mc_ts_es_near(dm, es, delta,
                                 es->jump ? NGX_MC_TS_JUMP_TOLD
                                          : NGX_MC_TS_JUMP))
        {
            raw = es->raw + delta;
            goto done;
        }

        mark = 1;
    }

    /* where the other track is: with a jump that was told it has to have
       gone there already */

    join = 0;

    if (other->line >= 0 && other->line != es->line) {
        delta = ngx_mc_ts_diff(dts, other->raw);
        join = (!other->jump || es->line < 0)
               && ngx_mc_ts_es_near(dm, other, delta, NGX_MC_TS_JUMP);
    }

    if (join) {
        es->line = other->line;
        raw = other->raw + delta;
        out = raw + dm->lines[es->line].offset;

        if (mark && es->due && out < es->next
            && es->next - out < NGX_MC_TS_JUMP)
        {
            /* nothing goes back: both are put off by as much */

            dm->lines[es->line].offset += es->next - out;
        }

        goto done;
    }

    slot = (other->line >= 0) ? 1 - other->line : 0;
    raw = dts;
    out = raw;

    /* as long after the last one as it took to come */

    last = es;

    if (!es->any
        || (es->line < 0 && other->any && other->raw_out > es->raw_out))
    {
        last = other;
    }

    if (last->any) {
        elapsed = (dm->origin - last->raw_origin) * 9 / 100;
        out = last->raw_out + ngx_max(elapsed, last->step);

        if (last->due && out < last->next) {
            out = last->next;
        }
    }

    dm->lines[slot].offset = out - raw;
    es->line = slot;

done:

    out = raw + dm->lines[es->line].offset;

    es->jump = 0;
    es->any = 1;
    es->raw = raw;
    es->raw_out = out;
    es->raw_origin = dm->origin;

    reorder = ngx_mc_ts_diff(pts, dts);

    if (reorder < -NGX_MC_TS_REORDER || reorder > NGX_MC_TS_REORDER) {
        reorder = 0;
    }

    es->stamp = (es->stamp + 1) % NGX_MC_TS_STAMPS;
    stamp = &es->stamps[es->stamp];

    if (stamp->fresh && stamp->mark) {
        mark = 1;
    }

    stamp->pos = es->end;
    stamp->dts = out;
    stamp->pts = out + reorder;
    stamp->fresh = 1;
    stamp->mark = mark;
    stamp->random = es->random;
}


/* whether a DTS, "delta" after the last one of es, is on the same time base;
   it may be late for as long as nothing came */

static ngx_uint_t
ngx_mc_ts_es_near(ngx_mc_ts_demux_t *dm, ngx_mc_ts_es_t *es, int64_t delta,
    int64_t limit)
{
    int64_t  elapsed;

    if (delta >= -limit && delta <= limit) {
        return 1;
    }

    elapsed = (dm->origin - es->raw_origin) * 9 / 100;

    return delta - elapsed >= -limit && delta - elapsed <= limit;
}
