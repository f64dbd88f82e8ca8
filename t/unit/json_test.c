/* sources: http/ngx_mc_http_json.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <math.h>

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_http_json.h>

#include "shim.h"


#define BUFS  64


static ngx_mc_json_t   json;
static ngx_buf_t       bufs[BUFS];
static ngx_uint_t      nbufs, max_bufs;
static size_t          room;
static u_char          text[65536];


/* each buffer is a block of its own: ASan sees a byte too many */

static ngx_buf_t *
next(ngx_mc_json_t *j)
{
    ngx_buf_t  *b;

    if (nbufs == max_bufs) {
        return NULL;
    }

    b = &bufs[nbufs++];

    b->start = malloc(room);
    b->pos = b->start;
    b->last = b->start;
    b->end = b->start + room;

    return b;
}


static void
begin(size_t size, ngx_uint_t n)
{
    room = size;
    max_bufs = n;
    nbufs = 0;

    ngx_mc_json_init(&json, next, NULL);
}


static char *
end(void)
{
    size_t      len;
    ngx_uint_t  i;

    len = 0;

    for (i = 0; i < nbufs; i++) {
        memcpy(text + len, bufs[i].pos, bufs[i].last - bufs[i].pos);
        len += bufs[i].last - bufs[i].pos;
        free(bufs[i].start);
    }

    text[len] = '\0';

    return (char *) text;
}


/* is_c() would end twice */

static void
gives(const char *expected, const char *name)
{
    char  *got;

    got = end();
    is_c(got, expected, "%s", name);
}


static void
string(const char *s, size_t len, const char *expected)
{
    u_char  *copy;

    copy = malloc(len ? len : 1);
    memcpy(copy, s, len);

    begin(4096, 1);
    ngx_mc_json_string(&json, copy, len);
    free(copy);

    gives(expected, expected);
}


static void
number(double x, const char *expected)
{
    begin(NGX_MC_JSON_BUF, 1);
    ngx_mc_json_double(&json, x);
    gives(expected, expected);
}


static void
object(void)
{
    ngx_uint_t  i;

    ngx_mc_json_open(&json, '{');
    ngx_mc_json_key(&json, "a");
    ngx_mc_json_uint(&json, 0);
    ngx_mc_json_name(&json, (u_char *) "b\"", 2);
    ngx_mc_json_open(&json, '[');

    for (i = 0; i < 100; i++) {
        ngx_mc_json_string(&json, (u_char *) "x\xc3\xa4\xe2\x82\xac\x01\xff",
                           8);
    }

    ngx_mc_json_open(&json, '[');
    ngx_mc_json_close(&json, ']');
    ngx_mc_json_open(&json, '{');
    ngx_mc_json_close(&json, '}');
    ngx_mc_json_null(&json);
    ngx_mc_json_close(&json, ']');
    ngx_mc_json_key(&json, "c");
    ngx_mc_json_bool(&json, 1);
    ngx_mc_json_key(&json, "d");
    ngx_mc_json_bool(&json, 0);
    ngx_mc_json_close(&json, '}');
}


int
main(void)
{
    size_t  n;
    char   *whole;

#define S(s, expected)  string(s, sizeof(s) - 1, expected)

    S("", "\"\"");
    S("plain ~\x7f", "\"plain ~\x7f\"");
    S("\"\\/", "\"\\\"\\\\/\"");
    S("\b\f\n\r\t\0\x1f", "\"\\b\\f\\n\\r\\t\\u0000\\u001f\"");

    /* well-formed UTF-8: the first and the last of each length */
    S("\xc2\x80\xdf\xbf", "\"\xc2\x80\xdf\xbf\"");
    S("\xe0\xa0\x80\xef\xbf\xbf", "\"\xe0\xa0\x80\xef\xbf\xbf\"");
    S("\xed\x9f\xbf\xee\x80\x80", "\"\xed\x9f\xbf\xee\x80\x80\"");
    S("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
      "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");

#define R "\xef\xbf\xbd"

    /* a stray byte, bytes that never occur */
    S("\x80", "\"" R "\"");
    S("a\xbf" "b", "\"a" R "b\"");
    S("\xc0\xaf\xc1\x80", "\"" R R R R "\"");
    S("\xf5\xff\xfe", "\"" R R R "\"");

    /* overlong, surrogate, above the last: no byte after the first fits */
    S("\xe0\x9f\xbf", "\"" R R R "\"");
    S("\xed\xa0\x80", "\"" R R R "\"");
    S("\xf0\x8f\xbf\xbf", "\"" R R R R "\"");
    S("\xf4\x90\x80\x80", "\"" R R R R "\"");

    /* cut short: by the end, by another character */
    S("\xc3", "\"" R "\"");
    S("\xe2\x82", "\"" R "\"");
    S("\xf0\x9f\x98", "\"" R "\"");
    S("\xe2\x82" "a", "\"" R "a\"");
    S("\xf0\x9f\x98\xc3\xa4", "\"" R "\xc3\xa4\"");
    S("\xe2\"", "\"" R "\\\"\"");

    number(0, "0.0");
    number(-0.0, "0.0");
    number(-0.0000001, "0.0");
    number(21.5, "21.5");
    number(-21.5, "-21.5");
    number(0.1 + 0.2, "0.3");
    number(0.000001, "0.000001");
    number(0.00000049, "0.0");
    number(0.9999999, "1.0");
    number(123456.000789, "123456.000789");
    number(999999999999.0, "999999999999.0");
    number(1e12, "null");
    number(-1e300, "null");
    number(INFINITY, "null");
    number(-INFINITY, "null");
    number(NAN, "null");

    begin(4096, 1);
    ngx_mc_json_open(&json, '[');
    ngx_mc_json_uint(&json, 0);
    ngx_mc_json_uint(&json, 10);
    ngx_mc_json_uint(&json, UINT64_MAX);
    ngx_mc_json_close(&json, ']');
    gives("[0,10,18446744073709551615]", "integers");

    /* buffers of any size give the same text */

    begin(32768, 1);
    object();
    ok(!json.failed, "one buffer");
    whole = strdup(end());

    ok(strncmp(whole, "{\"a\":0,\"b\\\"\":[\"x", 16) == 0, "begin");
    ok(strstr(whole, R "\",[],{},null],\"c\":true,\"d\":false}") != NULL,
       "end");

    for (n = NGX_MC_JSON_BUF; n < NGX_MC_JSON_BUF + 40; n++) {
        begin(n, BUFS);
        object();
        gives(whole, "buffers of another size");
    }

    free(whole);

    /* no more buffers: it is told, and nothing is written past the end */

    for (n = 0; n < 5; n++) {
        begin(NGX_MC_JSON_BUF, n);
        object();
        ok(json.failed, "failed after %zu buffers", n);
        end();
    }

    return shim_done();
}
