
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_http_json.h>


static ngx_inline u_char *ngx_mc_json_reserve(ngx_mc_json_t *json,
    size_t size);
static u_char *ngx_mc_json_advance(ngx_mc_json_t *json, size_t size);
static ngx_inline u_char *ngx_mc_json_begin(ngx_mc_json_t *json,
    size_t size);
static void ngx_mc_json_text(ngx_mc_json_t *json, u_char *p, size_t len);
static size_t ngx_mc_json_escape(u_char *dst, u_char c);
static size_t ngx_mc_json_utf8(u_char *p, u_char *last, ngx_uint_t *valid);
static u_char *ngx_mc_json_decimal(u_char *p, uint64_t n);


/* what a string may contain as it is: all ASCII but controls, '"' and '\\' */

#define ngx_mc_json_plain(c)                                                 \
    ((c) >= 0x20 && (c) < 0x80 && (c) != '"' && (c) != '\\')


void
ngx_mc_json_init(ngx_mc_json_t *json, ngx_mc_json_next_pt next, void *data)
{
    ngx_memzero(json, sizeof(ngx_mc_json_t));

    json->next = next;
    json->data = data;
}


void
ngx_mc_json_open(ngx_mc_json_t *json, u_char c)
{
    u_char  *p;

    p = ngx_mc_json_begin(json, 1);
    if (p == NULL) {
        return;
    }

    *p++ = c;

    json->buf->last = p;
    json->comma = 0;
}


void
ngx_mc_json_close(ngx_mc_json_t *json, u_char c)
{
    u_char  *p;

    p = ngx_mc_json_reserve(json, 1);
    if (p == NULL) {
        return;
    }

    *p++ = c;

    json->buf->last = p;
    json->comma = 1;
}


void
ngx_mc_json_name(ngx_mc_json_t *json, u_char *name, size_t len)
{
    u_char  *p;

    ngx_mc_json_string(json, name, len);

    p = ngx_mc_json_reserve(json, 1);
    if (p == NULL) {
        return;
    }

    *p++ = ':';

    json->buf->last = p;
    json->comma = 0;
}


void
ngx_mc_json_raw_name(ngx_mc_json_t *json, const char *text, size_t len)
{
    ngx_mc_json_raw(json, text, len);

    json->comma = 0;
}


void
ngx_mc_json_raw(ngx_mc_json_t *json, const char *text, size_t len)
{
    u_char  *p;

    p = ngx_mc_json_begin(json, len);
    if (p == NULL) {
        return;
    }

    json->buf->last = ngx_cpymem(p, text, len);
    json->comma = 1;
}


void
ngx_mc_json_string(ngx_mc_json_t *json, u_char *data, size_t len)
{
    u_char  *p;

    p = ngx_mc_json_begin(json, 1);
    if (p == NULL) {
        return;
    }

    *p++ = '"';
    json->buf->last = p;

    ngx_mc_json_text(json, data, len);

    p = ngx_mc_json_reserve(json, 1);
    if (p == NULL) {
        return;
    }

    *p++ = '"';

    json->buf->last = p;
    json->comma = 1;
}


void
ngx_mc_json_uint(ngx_mc_json_t *json, uint64_t n)
{
    u_char  *p;

    p = ngx_mc_json_begin(json, NGX_INT64_LEN);
    if (p == NULL) {
        return;
    }

    json->buf->last = ngx_mc_json_decimal(p, n);
    json->comma = 1;
}


void
ngx_mc_json_double(ngx_mc_json_t *json, double x)
{
    u_char      *p;
    uint64_t     n, fraction;
    ngx_uint_t   i, negative;

    negative = (x < 0);

    if (negative) {
        x = -x;
    }

    /* also false for what is not a number; no figure of ours is that large */

    if (!(x < 1e12)) {
        ngx_mc_json_null(json);
        return;
    }

    n = (uint64_t) x;
    fraction = (uint64_t) ((x - (double) n) * 1000000 + 0.5);

    if (fraction == 1000000) {
        fraction = 0;
        n++;
    }

    p = ngx_mc_json_begin(json, 1 + NGX_INT64_LEN + 7);
    if (p == NULL) {
        return;
    }

    if (negative && (n || fraction)) {
        *p++ = '-';
    }

    p = ngx_mc_json_decimal(p, n);

    *p++ = '.';

    for (i = 100000; i; i /= 10) {
        *p++ = (u_char) ('0' + fraction / i);

        fraction %= i;

        if (fraction == 0) {
            break;
        }
    }

    json->buf->last = p;
    json->comma = 1;
}


/* room for the comma, if one is due, and for size bytes */

static ngx_inline u_char *
ngx_mc_json_begin(ngx_mc_json_t *json, size_t size)
{
    u_char  *p;

    p = ngx_mc_json_reserve(json, size + 1);

    if (p && json->comma) {
        *p++ = ',';
    }

    return p;
}


static ngx_inline u_char *
ngx_mc_json_reserve(ngx_mc_json_t *json, size_t size)
{
    ngx_buf_t  *b;

    b = json->buf;

    if (b && (size_t) (b->end - b->last) >= size) {
        return b->last;
    }

    return ngx_mc_json_advance(json, size);
}


static u_char *
ngx_mc_json_advance(ngx_mc_json_t *json, size_t size)
{
    ngx_buf_t  *b;

    if (json->failed) {
        return NULL;
    }

    b = json->next(json);

    if (b == NULL || (size_t) (b->end - b->last) < size) {
        json->failed = 1;
        return NULL;
    }

    json->buf = b;

    return b->last;
}


static void
ngx_mc_json_text(ngx_mc_json_t *json, u_char *p, size_t len)
{
    u_char      *dst, *last, *start, *limit;
    size_t       n;
    ngx_uint_t   valid;

    last = p + len;

    while (p < last) {

        dst = ngx_mc_json_reserve(json, 6);
        if (dst == NULL) {
            return;
        }

        /* a run of what needs nothing, as far as the buffer takes it */

        start = p;
        limit = last;

        if (limit - p > json->buf->end - dst) {
            limit = p + (json->buf->end - dst);
        }

        while (p < limit && ngx_mc_json_plain(*p)) {
            p++;
        }

        if (p != start) {
            json->buf->last = ngx_cpymem(dst, start, p - start);
            continue;
        }

        if (*p < 0x80) {
            json->buf->last = dst + ngx_mc_json_escape(dst, *p);
            p++;
            continue;
        }

        n = ngx_mc_json_utf8(p, last, &valid);

        if (valid) {
            json->buf->last = ngx_cpymem(dst, p, n);

        } else {
            /* U+FFFD */
            json->buf->last = ngx_cpymem(dst, "\xEF\xBF\xBD", 3);
        }

        p += n;
    }
}


static size_t
ngx_mc_json_escape(u_char *dst, u_char c)
{
    static u_char  hex[] = "0123456789abcdef";

    dst[0] = '\\';

    switch (c) {

    case '"':
    case '\\':
        dst[1] = c;
        return 2;

    case '\b':
        dst[1] = 'b';
        return 2;

    case '\f':
        dst[1] = 'f';
        return 2;

    case '\n':
        dst[1] = 'n';
        return 2;

    case '\r':
        dst[1] = 'r';
        return 2;

    case '\t':
        dst[1] = 't';
        return 2;
    }

    dst[1] = 'u';
    dst[2] = '0';
    dst[3] = '0';
    dst[4] = hex[c >> 4];
    dst[5] = hex[c & 0xf];

    return 6;
}


/*
 * The length of the character at p, by the table of well-formed sequences in
 * chapter 3.9 of the Unicode standard: no overlong forms, no surrogates,
 * nothing above U+10FFFF.  What is ill-formed is skipped up to the first
 * byte that cannot belong to it, so that one broken character shows as one.
 */

static size_t
ngx_mc_json_utf8(u_char *p, u_char *last, ngx_uint_t *valid)
{
    u_char  low, high;
    size_t  n, i;

    *valid = 0;

    low = 0x80;
    high = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        n = 3;

        if (*p == 0xe0) {
            low = 0xa0;

        } else if (*p == 0xed) {
            high = 0x9f;
        }

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;

        if (*p == 0xf0) {
            low = 0x90;

        } else if (*p == 0xf4) {
            high = 0x8f;
        }

    } else {
        return 1;
    }

    for (i = 1; i < n; i++) {

        if (p + i == last || p[i] < low || p[i] > high) {
            return i;
        }

        low = 0x80;
        high = 0xbf;
    }

    *valid = 1;

    return n;
}


static u_char *
ngx_mc_json_decimal(u_char *p, uint64_t n)
{
    u_char  *t, text[NGX_INT64_LEN];

    t = text + NGX_INT64_LEN;

    do {
        *--t = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    return ngx_cpymem(p, t, text + NGX_INT64_LEN - t);
}
