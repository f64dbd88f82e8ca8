/* sources: http/ngx_mc_http_json.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_http_json.h>

#include "shim.h"


/*
 * Any bytes give one JSON string: quoted, well-formed UTF-8, without bare
 * controls.  A decoder of its own reads it back: what went in as UTF-8 must
 * come out the same, and U+FFFD only where it did not.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static u_char     *text;
static size_t      len;
static ngx_buf_t   buf;


static ngx_buf_t *
next(ngx_mc_json_t *json)
{
    if (buf.start) {
        len += buf.last - buf.pos;
        text = realloc(text, len + NGX_MC_JSON_BUF);
        memcpy(text + len - (buf.last - buf.pos), buf.pos,
               buf.last - buf.pos);
        free(buf.start);
    }

    buf.start = malloc(NGX_MC_JSON_BUF);
    buf.pos = buf.start;
    buf.last = buf.start;
    buf.end = buf.start + NGX_MC_JSON_BUF;

    return &buf;
}


/* a code point from its bits, and then is its length the shortest */

static long
decode(const u_char *p, const u_char *last, size_t *n)
{
    long                cp;
    size_t              i;
    static const long   least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    if (*p < 0x80) {
        *n = 1;
        return *p;
    }

    *n = (*p >= 0xf0) ? 4 : (*p >= 0xe0) ? 3 : 2;
    cp = *p & (0xff >> (*n + 1));

    if (*p < 0xc0 || *p > 0xf7 || (size_t) (last - p) < *n) {
        return -1;
    }

    for (i = 1; i < *n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return -1;
        }

        cp = cp << 6 | (p[i] & 0x3f);
    }

    if (cp < least[*n] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) {
        return -1;
    }

    return cp;
}


/*
 * How much of what cannot be decoded is one broken character: the longest
 * beginning that some other bytes would have completed.
 */

static size_t
broken(const u_char *s, const u_char *end)
{
    size_t    k, m, n;
    u_char    try[4];
    unsigned  bits;

    for (k = 3; k > 1; k--) {

        if ((size_t) (end - s) < k) {
            continue;
        }

        for (bits = 0; bits < 8; bits++) {
            memcpy(try, s, k);

            for (m = k; m < 4; m++) {
                try[m] = (bits >> (m - 1) & 1) ? 0xbf : 0x80;
            }

            if (decode(try, try + 4, &n) >= 0 && n > k) {
                return k;
            }
        }
    }

    return 1;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long            cp, in;
    size_t          n, m;
    u_char         *copy, *p, *last;
    const u_char   *s, *end;
    ngx_mc_json_t   json;

    len = 0;
    buf.start = NULL;

    copy = malloc(size ? size : 1);
    memcpy(copy, data, size);

    ngx_mc_json_init(&json, next, NULL);
    ngx_mc_json_string(&json, copy, size);

    (void) next(&json);

    p = text;
    last = text + len;
    s = copy;
    end = copy + size;

    if (json.failed || len < 2 || *p++ != '"' || *--last != '"') {
        abort();
    }

    while (p < last) {
        cp = decode(p, last, &n);

        if (cp < 0x20 || cp == '"' || s >= end) {
            abort();
        }

        p += n;

        if (cp == '\\') {

            switch (*p++) {
            case 'b':  cp = '\b'; break;
            case 'f':  cp = '\f'; break;
            case 'n':  cp = '\n'; break;
            case 'r':  cp = '\r'; break;
            case 't':  cp = '\t'; break;
            case '"':  cp = '"'; break;
            case '\\': cp = '\\'; break;
            case 'u':
                cp = strtol((char [5]) { p[0], p[1], p[2], p[3], 0 },
                            NULL, 16);
                p += 4;
                break;
            default:
                abort();
            }
        }

        in = decode(s, end, &m);

        if (in >= 0) {
            if (in != cp) {
                abort();
            }

            s += m;
            continue;
        }

        if (cp != 0xfffd) {
            abort();
        }

        s += broken(s, end);
    }

    if (s != end) {
        abort();
    }

    free(copy);
    free(buf.start);
    free(text);
    text = NULL;

    return 0;
}
