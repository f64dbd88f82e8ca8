
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_flv.h>


/* objects in objects that are followed; what is deeper ends the reading */
#define NGX_MC_AMF_DEPTH  16


typedef struct {
    u_char           *pos;
    u_char           *last;
    ngx_uint_t        full;          /* it did not fit */
} ngx_mc_amf_buf_t;


/* a property that is read */

typedef struct {
    ngx_str_t         name;
    size_t            offset;        /* of a double */
} ngx_mc_amf_property_t;


static u_char *ngx_mc_amf_skip(u_char *p, u_char *last, ngx_uint_t depth);
static u_char *ngx_mc_amf_skip_object(u_char *p, u_char *last,
    ngx_uint_t depth);
static u_char *ngx_mc_amf_name(u_char *p, u_char *last, ngx_str_t *name);
static void ngx_mc_amf_property(ngx_str_t *name, u_char *p, u_char *last,
    ngx_mc_rtmp_metadata_t *md);
static double ngx_mc_amf_double(u_char *p);
static void ngx_mc_amf_text(u_char *p, size_t len, u_char *buf, size_t size);

static void ngx_mc_amf_put(ngx_mc_amf_buf_t *b, const void *data, size_t len);
static void ngx_mc_amf_put_name(ngx_mc_amf_buf_t *b, ngx_uint_t *count,
    const char *name);
static void ngx_mc_amf_put_number(ngx_mc_amf_buf_t *b, ngx_uint_t *count,
    const char *name, double value);
static void ngx_mc_amf_put_string(ngx_mc_amf_buf_t *b, u_char *data,
    size_t len);


static ngx_mc_amf_property_t  ngx_mc_amf_properties[] = {
    { ngx_string("width"), offsetof(ngx_mc_rtmp_metadata_t, width) },
    { ngx_string("height"), offsetof(ngx_mc_rtmp_metadata_t, height) },
    { ngx_string("framerate"), offsetof(ngx_mc_rtmp_metadata_t, frame_rate) },
    { ngx_string("fps"), offsetof(ngx_mc_rtmp_metadata_t, frame_rate) },
    { ngx_string("videoframerate"),
      offsetof(ngx_mc_rtmp_metadata_t, frame_rate) },
    { ngx_string("videodatarate"),
      offsetof(ngx_mc_rtmp_metadata_t, video_rate) },
    { ngx_string("audiodatarate"),
      offsetof(ngx_mc_rtmp_metadata_t, audio_rate) },
    { ngx_string("audiosamplerate"),
      offsetof(ngx_mc_rtmp_metadata_t, sample_rate) },
    { ngx_string("audiochannels"),
      offsetof(ngx_mc_rtmp_metadata_t, channels) },
    { ngx_null_string, 0 }
};


void
ngx_mc_flv_metadata_read(u_char *amf, size_t len, ngx_mc_rtmp_metadata_t *md)
{
    u_char     *p, *last;
    ngx_str_t   name;

    ngx_memzero(md, sizeof(ngx_mc_rtmp_metadata_t));

    p = amf;
    last = amf + len;

    /* "@setDataFrame", "onMetaData" */

    while (p < last && *p == NGX_MC_AMF_STRING) {
        p = ngx_mc_amf_skip(p, last, 0);

        if (p == NULL) {
            return;
        }
    }

    if (p == last) {
        return;
    }

    switch (*p++) {

    case NGX_MC_AMF_OBJECT:
        break;

    case NGX_MC_AMF_ECMA_ARRAY:

        if (last - p < 4) {
            return;
        }

        /* the count is often wrong, the array ends as an object does */

        p += 4;
        break;

    default:
        return;
    }

    for ( ;; ) {
        p = ngx_mc_amf_name(p, last, &name);

        if (p == NULL || p == last || *p == NGX_MC_AMF_END) {
            return;
        }

        ngx_mc_amf_property(&name, p, last, md);

        p = ngx_mc_amf_skip(p, last, 0);

        if (p == NULL) {
            return;
        }
    }
}


/* Action Message Format 0, chapter 2: what follows the value at "p", NULL: it
   is cut short, or of a kind that nothing can follow */

static u_char *
ngx_mc_amf_skip(u_char *p, u_char *last, ngx_uint_t depth)
{
    size_t    len, left;
    uint32_t  n;

    if (p == last || depth > NGX_MC_AMF_DEPTH) {
        return NULL;
    }

    left = last - p - 1;

    switch (*p++) {

    case NGX_MC_AMF_NUMBER:
        len = 8;
        break;

    case NGX_MC_AMF_BOOLEAN:
        len = 1;
        break;

    case NGX_MC_AMF_NULL:
    case NGX_MC_AMF_UNDEFINED:
    case NGX_MC_AMF_UNSUPPORTED:
        len = 0;
        break;

    case NGX_MC_AMF_REFERENCE:
        len = 2;
        break;

    case NGX_MC_AMF_DATE:
        len = 10;
        break;

    case NGX_MC_AMF_STRING:

        if (left < 2) {
            return NULL;
        }

        len = 2 + (p[0] << 8 | p[1]);
        break;

    case NGX_MC_AMF_LONG_STRING:
    case NGX_MC_AMF_XML:

        if (left < 4) {
            return NULL;
        }

        len = 4 + (size_t) ((uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8
                            | p[3]);
        break;

    case NGX_MC_AMF_OBJECT:
        return ngx_mc_amf_skip_object(p, last, depth);

    case NGX_MC_AMF_TYPED_OBJECT:

        if (left < 2) {
            return NULL;
        }

        len = 2 + (p[0] << 8 | p[1]);

        return (len <= left) ? ngx_mc_amf_skip_object(p + len, last, depth)
                             : NULL;

    case NGX_MC_AMF_ECMA_ARRAY:
        return (left < 4) ? NULL : ngx_mc_amf_skip_object(p + 4, last, depth);

    case NGX_MC_AMF_STRICT_ARRAY:

        if (left < 4) {
            return NULL;
        }

        n = (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];

        for (p += 4; n; n--) {
            p = ngx_mc_amf_skip(p, last, depth + 1);

            if (p == NULL) {
                return NULL;
            }
        }

        return p;

    default:
        return NULL;
    }

    return (len <= left) ? p + len : NULL;
}


static u_char *
ngx_mc_amf_skip_object(u_char *p, u_char *last, ngx_uint_t depth)
{
    ngx_str_t  name;

    for ( ;; ) {
        p = ngx_mc_amf_name(p, last, &name);

        if (p == NULL || p == last) {
            return NULL;
        }

        if (*p == NGX_MC_AMF_END) {
            return p + 1;
        }

        p = ngx_mc_amf_skip(p, last, depth + 1);

        if (p == NULL) {
            return NULL;
        }
    }
}


static u_char *
ngx_mc_amf_name(u_char *p, u_char *last, ngx_str_t *name)
{
    if (last - p < 2) {
        return NULL;
    }

    name->len = p[0] << 8 | p[1];
    name->data = p + 2;

    return ((size_t) (last - name->data) < name->len) ? NULL
                                                     : name->data + name->len;
}


static void
ngx_mc_amf_property(ngx_str_t *name, u_char *p, u_char *last,
    ngx_mc_rtmp_metadata_t *md)
{
    size_t                  len, left;
    double                  value, *field;
    ngx_mc_amf_property_t  *prop;

    left = last - p - 1;

    switch (*p++) {

    case NGX_MC_AMF_NUMBER:

        if (left < 8) {
            return;
        }

        value = ngx_mc_amf_double(p);

        for (prop = ngx_mc_amf_properties; prop->name.len; prop++) {

            if (prop->name.len != name->len
                || ngx_strncasecmp(prop->name.data, name->data, name->len)
                   != 0)
            {
                continue;
            }

            /* neither NaN nor what no stream can have */

            if (value > 0 && value < 1e9) {
                field = (double *) ((u_char *) md + prop->offset);
                *field = value;
            }

            return;
        }

        return;

    case NGX_MC_AMF_BOOLEAN:

        /* the number of channels tells more, if it is given */

        if (left >= 1
            && md->channels == 0
            && name->len == sizeof("stereo") - 1
            && ngx_strncasecmp(name->data, (u_char *) "stereo", name->len)
               == 0)
        {
            md->channels = p[0] ? 2 : 1;
        }

        return;

    case NGX_MC_AMF_STRING:

        if (left < 2
            || name->len != sizeof("encoder") - 1
            || ngx_strncasecmp(name->data, (u_char *) "encoder", name->len)
               != 0)
        {
            return;
        }

        len = p[0] << 8 | p[1];

        if (len <= left - 2) {
            ngx_mc_amf_text(p + 2, len, md->encoder, sizeof(md->encoder));
        }

        return;

    default:
        return;
    }
}


static double
ngx_mc_amf_double(u_char *p)
{
    double      value;
    uint64_t    bits;
    ngx_uint_t  i;

    bits = 0;

    for (i = 0; i < 8; i++) {
        bits = bits << 8 | p[i];
    }

    ngx_memcpy(&value, &bits, 8);

    return value;
}


static void
ngx_mc_amf_text(u_char *p, size_t len, u_char *buf, size_t size)
{
    size_t  i, n;

    n = ngx_min(len, size - 1);

    if (n < len) {

        /* not amid a character of several bytes */

        while (n && (p[n] & 0xc0) == 0x80) {
            n--;
        }
    }

    for (i = 0; i < n; i++) {
        buf[i] = (p[i] < 0x20 || p[i] == 0x7f) ? '?' : p[i];
    }

    buf[n] = '\0';
}


size_t
ngx_mc_flv_metadata(u_char *buf, size_t size, ngx_mc_track_info_t *video,
    ngx_mc_track_info_t *audio, ngx_str_t *encoder)
{
    u_char            *count, stereo[2];
    ngx_uint_t         n;
    ngx_mc_amf_buf_t   b;

    static u_char  array[] = { NGX_MC_AMF_ECMA_ARRAY, 0, 0, 0, 0 };
    static u_char  end[] = { 0, 0, NGX_MC_AMF_END };

    b.pos = buf;
    b.last = buf + size;
    b.full = 0;

    n = 0;

    ngx_mc_amf_put_string(&b, (u_char *) "onMetaData",
                          sizeof("onMetaData") - 1);
    ngx_mc_amf_put(&b, array, sizeof(array));

    if (b.full) {
        return 0;
    }

    count = b.pos - 4;

    if (video) {
        ngx_mc_amf_put_number(&b, &n, "width", video->width);
        ngx_mc_amf_put_number(&b, &n, "height", video->height);

        if (video->frame_den) {
            ngx_mc_amf_put_number(&b, &n, "framerate",
                                  (double) video->frame_num
                                  / video->frame_den);
        }

        switch (video->codec) {

        case NGX_MC_CODEC_H264:
            ngx_mc_amf_put_number(&b, &n, "videocodecid", NGX_MC_FLV_AVC);
            break;

        case NGX_MC_CODEC_HEVC:
            ngx_mc_amf_put_number(&b, &n, "videocodecid", NGX_MC_FLV_HVC1);
            break;
        }

        ngx_mc_amf_put_number(&b, &n, "videodatarate",
                              video->bitrate / 1000.0);
    }

    if (audio) {

        switch (audio->codec) {

        case NGX_MC_CODEC_AAC:
            ngx_mc_amf_put_number(&b, &n, "audiocodecid", NGX_MC_FLV_AAC);
            break;

        case NGX_MC_CODEC_MP3:
            ngx_mc_amf_put_number(&b, &n, "audiocodecid", NGX_MC_FLV_MP3);
            break;
        }

        ngx_mc_amf_put_number(&b, &n, "audiosamplerate", audio->sample_rate);
        ngx_mc_amf_put_number(&b, &n, "audiochannels", audio->channels);

        if (audio->channels) {
            ngx_mc_amf_put_name(&b, &n, "stereo");
            stereo[0] = NGX_MC_AMF_BOOLEAN;
            stereo[1] = (audio->channels > 1);
            ngx_mc_amf_put(&b, stereo, 2);
        }

        ngx_mc_amf_put_number(&b, &n, "audiodatarate",
                              audio->bitrate / 1000.0);
    }

    if (encoder && encoder->len) {
        ngx_mc_amf_put_name(&b, &n, "encoder");
        ngx_mc_amf_put_string(&b, encoder->data, encoder->len);
    }

    ngx_mc_amf_put(&b, end, sizeof(end));

    if (b.full) {
        return 0;
    }

    count[3] = n;

    return b.pos - buf;
}


static void
ngx_mc_amf_put(ngx_mc_amf_buf_t *b, const void *data, size_t len)
{
    if (b->full || (size_t) (b->last - b->pos) < len) {
        b->full = 1;
        return;
    }

    b->pos = ngx_cpymem(b->pos, data, len);
}


static void
ngx_mc_amf_put_name(ngx_mc_amf_buf_t *b, ngx_uint_t *count, const char *name)
{
    size_t  len;
    u_char  prefix[2];

    len = ngx_strlen(name);

    prefix[0] = len >> 8;
    prefix[1] = len;

    ngx_mc_amf_put(b, prefix, 2);
    ngx_mc_amf_put(b, name, len);

    (*count)++;
}


/* what is not known is left out */

static void
ngx_mc_amf_put_number(ngx_mc_amf_buf_t *b, ngx_uint_t *count,
    const char *name, double value)
{
    u_char      data[9];
    uint64_t    bits;
    ngx_uint_t  i;

    if (value == 0) {
        return;
    }

    ngx_mc_amf_put_name(b, count, name);

    ngx_memcpy(&bits, &value, 8);

    data[0] = NGX_MC_AMF_NUMBER;

    for (i = 8; i; i--) {
        data[i] = bits;
        bits >>= 8;
    }

    ngx_mc_amf_put(b, data, 9);
}


static void
ngx_mc_amf_put_string(ngx_mc_amf_buf_t *b, u_char *data, size_t len)
{
    u_char  prefix[3];

    len = ngx_min(len, 65535);

    prefix[0] = NGX_MC_AMF_STRING;
    prefix[1] = len >> 8;
    prefix[2] = len;

    ngx_mc_amf_put(b, prefix, 3);
    ngx_mc_amf_put(b, data, len);
}
