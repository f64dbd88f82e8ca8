/* sources: http/ngx_mc_http_query.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_http_query.h>

#include "shim.h"


static u_char                 *copy;
static ngx_mc_events_query_t   q;


/* a block of just that size, as the parser writes over it */

static ngx_str_t
block(const char *s)
{
    ngx_str_t  str;

    free(copy);

    str.len = strlen(s);
    copy = malloc(str.len ? str.len : 1);
    memcpy(copy, s, str.len);
    str.data = copy;

    return str;
}


static void
is_time(const char *s, int64_t expected)
{
    int64_t    ms;
    ngx_str_t  str;

    str = block(s);
    ms = -1;

    ok(ngx_mc_query_time(&str, &ms) == NGX_OK, "time %s", s);
    is_num(ms, expected, "in ms");
}


static void
no_time(const char *s)
{
    int64_t    ms;
    ngx_str_t  str;

    str = block(s);

    ok(ngx_mc_query_time(&str, &ms) == NGX_ERROR, "no time: %s", s);
}


static void
good(const char *s)
{
    ngx_str_t    str;
    const char  *error;

    str = block(s);
    error = ngx_mc_query_events(&str, &q);

    ok(error == NULL, "query %s%s%s", s, error ? ": " : "",
       error ? error : "");
}


static void
bad(const char *s, const char *expected)
{
    ngx_str_t    str;
    const char  *error;

    str = block(s);
    error = ngx_mc_query_events(&str, &q);

    ok(error && strstr(error, expected), "query %s: %s", s,
       error ? error : "taken");
}


int
main(void)
{
    char  s[64];
    int   i;

    /* Unix seconds */
    is_time("0", 0);
    is_time("1700000000", 1700000000000);
    is_time("1700000000.5", 1700000000500);
    is_time("1700000000.123987", 1700000000123);
    is_time("253402300799", 253402300799000);
    is_time("007", 7000);
    no_time("");
    no_time("-1");
    no_time("+1");
    no_time("1 ");
    no_time("1.");
    no_time(".5");
    no_time("1e3");
    no_time("253402300800");
    no_time("1700000000000");
    no_time("99999999999999999999999999");

    /* RFC 3339; expected values from date(1) */
    is_time("1970-01-01T00:00:00Z", 0);
    is_time("2026-11-20T16:20:00Z", 1795191600000);
    is_time("2026-11-20t16:20:00z", 1795191600000);
    is_time("2026-11-20 16:20:00Z", 1795191600000);
    is_time("2026-11-20T16:20:00.123Z", 1795191600123);
    is_time("2026-11-20T16:20:00.1Z", 1795191600100);
    is_time("2026-11-20T16:20:00.9999999999999999999999999999Z",
            1795191600999);
    is_time("2026-11-20T17:20:00+01:00", 1795191600000);
    is_time("2026-11-20T10:50:00-05:30", 1795191600000);
    is_time("2026-11-21T02:19:59.5+09:59", 1795191659500);
    is_time("2026-11-20T16:20:00-00:00", 1795191600000);
    is_time("2000-02-29T12:00:00Z", 951825600000);
    is_time("2000-03-01T00:00:00Z", 951868800000);
    is_time("2100-03-01T00:00:00Z", 4107542400000);
    is_time("1900-01-01T00:00:00Z", -2208988800000);
    is_time("9999-12-31T23:59:59Z", 253402300799000);
    is_time("0001-01-01T00:00:00Z", -62135596800000);
    is_time("2016-12-31T23:59:60Z", 1483228800000);

    no_time("2026-11-20");
    no_time("2026-11-20T16:20:00");
    no_time("2026-11-20T16:20Z");
    no_time("2026-11-20T16:20:00.Z");
    no_time("2026-11-20T16:20:00 Z");
    no_time("2026-11-20T16:20:00Zx");
    no_time("2026-11-20T16:20:00+1:00");
    no_time("2026-11-20T16:20:00+0100");
    no_time("2026-11-20T16:20:00+24:00");
    no_time("2026-11-20T16:20:00+01:60");
    no_time("2026-11-20T16:20:00+01:0");
    no_time("2026-11-20T24:00:00Z");
    no_time("2026-11-20T16:60:00Z");
    no_time("2026-11-20T16:20:61Z");
    no_time("2026-00-20T16:20:00Z");
    no_time("2026-13-20T16:20:00Z");
    no_time("2026-11-00T16:20:00Z");
    no_time("2026-11-31T16:20:00Z");
    no_time("2026-02-29T16:20:00Z");
    no_time("2100-02-29T16:20:00Z");
    no_time("0000-01-01T00:00:00Z");
    no_time("2026/11/20T16:20:00Z");
    no_time("2026-11-20_16:20:00Z");
    no_time("20a6-11-20T16:20:00Z");

    /* cut anywhere */
    for (i = 5; i < 25; i++) {
        snprintf(s, sizeof(s), "%.*s", i, "2026-11-20T16:20:00+01:00");
        no_time(s);
    }

    /* queries */
    good("");
    is_num(q.from, 0, "from the beginning");
    ok(q.to == INT64_MAX, "to the end");
    is_num(q.direction, -1, "any direction");
    is_num(q.pipeline, -1, "any pipeline");
    is_num(q.name.len, 0, "any name");
    is_num(q.limit, NGX_MC_EVENTS_LIMIT, "limit");
    ok(q.cursor == UINT64_MAX, "from the newest");

    good("from=&to=&type=&name=&limit=&cursor=");
    is_num(q.limit, NGX_MC_EVENTS_LIMIT, "empty is not given");

    good("&&from=2026-11-20T17%3A20%3a00%2B01:00&to=1795191600.001&");
    is_num(q.from, 1795191600000, "from");
    is_num(q.to, 1795191600001, "to");

    good("from=2026-11-20T17:20:00+01:00");
    is_num(q.from, 1795191600000, "a bare plus is one");

    good("type=input-primary");
    is_num(q.direction * 2 + q.pipeline, 0, "input-primary");
    good("type=input-backup");
    is_num(q.direction * 2 + q.pipeline, 1, "input-backup");
    good("type=output-primary");
    is_num(q.direction * 2 + q.pipeline, 2, "output-primary");
    good("type=output-backup");
    is_num(q.direction * 2 + q.pipeline, 3, "output-backup");

    good("name=a%2Db.C_9&limit=1000&cursor=17");
    is(q.name, "a-b.C_9", "name");
    is_num(q.limit, 1000, "limit");
    is_num(q.cursor, 17, "cursor");

    good("l%69mit=5");
    is_num(q.limit, 5, "an encoded parameter");

    bad("from=x", "\"from\"");
    bad("to=x", "\"to\"");
    bad("from=2&to=1", "later");
    bad("type=input", "\"type\"");
    bad("type=input-primaryx", "\"type\"");
    bad("limit=0", "\"limit\"");
    bad("limit=1001", "\"limit\"");
    bad("limit=-1", "\"limit\"");
    bad("limit=99999999999999999999", "\"limit\"");
    bad("cursor=0", "\"cursor\"");
    bad("cursor=x", "\"cursor\"");
    bad("cursor=9999999999999999999", "\"cursor\"");
    bad("name=a/b", "\"name\"");
    bad("name=a%00", "\"name\"");
    bad("name=%C3%A4", "\"name\"");
    bad("name=" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\"name\"");
    bad("nam=a", "unknown");
    bad("a", "unknown");
    bad("=a", "unknown");
    bad("limit=1&limit=", "twice");
    bad("name=%", "percent");
    bad("name=%4", "percent");
    bad("name=%4g", "percent");
    bad("%zz=1", "percent");

    free(copy);

    return shim_done();
}
