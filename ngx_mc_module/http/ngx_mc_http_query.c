
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_http_query.h>


#define NGX_MC_QUERY_FOREVER  0x7fffffffffffffffLL

/* 9999-12-31T23:59:59Z: later seconds are a slip, such as milliseconds */
#define NGX_MC_QUERY_LATEST   253402300799LL


static ngx_int_t ngx_mc_query_rfc3339(u_char *p, u_char *last, int64_t *ms);
static ngx_int_t ngx_mc_query_digits(u_char **pos, u_char *last,
    ngx_uint_t n, ngx_uint_t *value);
static ngx_int_t ngx_mc_query_fraction(u_char **pos, u_char *last,
    ngx_uint_t *ms);
static ngx_int_t ngx_mc_query_decode(ngx_str_t *s);
static ngx_int_t ngx_mc_query_hex(u_char c);
static ngx_int_t ngx_mc_query_number(ngx_str_t *s, uint64_t *n);
static ngx_int_t ngx_mc_query_type(ngx_str_t *s, ngx_mc_events_query_t *q);
static ngx_uint_t ngx_mc_query_is_name(ngx_str_t *s);


static ngx_str_t  ngx_mc_query_params[] = {
    ngx_string("from"),
    ngx_string("to"),
    ngx_string("type"),
    ngx_string("name"),
    ngx_string("limit"),
    ngx_string("cursor")
};

#define NGX_MC_QUERY_FROM    0
#define NGX_MC_QUERY_TO      1
#define NGX_MC_QUERY_TYPE    2
#define NGX_MC_QUERY_NAME    3
#define NGX_MC_QUERY_LIMIT   4
#define NGX_MC_QUERY_CURSOR  5
#define NGX_MC_QUERY_N       6


/* by direction and pipeline */

static ngx_str_t  ngx_mc_query_types[2][NGX_MC_PIPELINES] = {
    { ngx_string("input-primary"), ngx_string("input-backup") },
    { ngx_string("output-primary"), ngx_string("output-backup") }
};


const char *
ngx_mc_query_events(ngx_str_t *args, ngx_mc_events_query_t *q)
{
    uint64_t    n;
    ngx_int_t   rc;
    ngx_str_t   rest, name, value;
    ngx_uint_t  i, seen;

    q->from = 0;
    q->to = NGX_MC_QUERY_FOREVER;
    q->direction = -1;
    q->pipeline = -1;
    ngx_str_null(&q->name);
    q->limit = NGX_MC_EVENTS_LIMIT;
    q->cursor = (uint64_t) -1;

    rest = *args;
    seen = 0;

    for ( ;; ) {
        rc = ngx_mc_query_next(&rest, &name, &value);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_ERROR) {
            return "the query has a broken percent sequence";
        }

        for (i = 0; i < NGX_MC_QUERY_N; i++) {
            if (name.len == ngx_mc_query_params[i].len
                && ngx_strncmp(name.data, ngx_mc_query_params[i].data,
                               name.len)
                   == 0)
            {
                break;
            }
        }

        if (i == NGX_MC_QUERY_N) {
            return "the query has an unknown parameter; known are "
                   "from, to, type, name, limit and cursor";
        }

        if (seen & (1 << i)) {
            return "the query has a parameter twice";
        }

        seen |= 1 << i;

        if (value.len == 0) {
            continue;
        }

        switch (i) {

        case NGX_MC_QUERY_FROM:
            if (ngx_mc_query_time(&value, &q->from) != NGX_OK) {
                return "\"from\" is neither an RFC 3339 time "
                       "nor Unix seconds";
            }
            break;

        case NGX_MC_QUERY_TO:
            if (ngx_mc_query_time(&value, &q->to) != NGX_OK) {
                return "\"to\" is neither an RFC 3339 time "
                       "nor Unix seconds";
            }
            break;

        case NGX_MC_QUERY_TYPE:
            if (ngx_mc_query_type(&value, q) != NGX_OK) {
                return "\"type\" is none of input-primary, input-backup, "
                       "output-primary and output-backup";
            }
            break;

        case NGX_MC_QUERY_NAME:
            if (!ngx_mc_query_is_name(&value)) {
                return "\"name\" is not a name of a source or an output";
            }
            q->name = value;
            break;

        case NGX_MC_QUERY_LIMIT:
            if (ngx_mc_query_number(&value, &n) != NGX_OK
                || n == 0 || n > NGX_MC_EVENTS_LIMIT_MAX)
            {
                return "\"limit\" is not a number from 1 to 1000";
            }
            q->limit = (ngx_uint_t) n;
            break;

        default: /* NGX_MC_QUERY_CURSOR */
            if (ngx_mc_query_number(&value, &q->cursor) != NGX_OK
                || q->cursor == 0)
            {
                return "\"cursor\" is not one that an answer gave";
            }
            break;
        }
    }

    if (q->from > q->to) {
        return "\"from\" is later than \"to\"";
    }

    return NULL;
}


ngx_int_t
ngx_mc_query_next(ngx_str_t *args, ngx_str_t *name, ngx_str_t *value)
{
    u_char  *p, *last, *end;

    p = args->data;
    last = p + args->len;

    while (p < last && *p == '&') {
        p++;
    }

    if (p == last) {
        args->len = 0;
        return NGX_DONE;
    }

    name->data = p;

    while (p < last && *p != '&') {
        p++;
    }

    end = p;

    args->data = p;
    args->len = last - p;

    for (p = name->data; p < end && *p != '='; p++) { /* void */ }

    name->len = p - name->data;

    if (p < end) {
        p++;
    }

    value->data = p;
    value->len = end - p;

    if (ngx_mc_query_decode(name) != NGX_OK
        || ngx_mc_query_decode(value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mc_query_time(ngx_str_t *s, int64_t *ms)
{
    u_char      *p, *last;
    int64_t      seconds;
    ngx_uint_t   fraction;

    p = s->data;
    last = p + s->len;

    if (s->len > 4 && p[4] == '-') {
        return ngx_mc_query_rfc3339(p, last, ms);
    }

    seconds = 0;

    while (p < last && *p >= '0' && *p <= '9') {
        seconds = seconds * 10 + (*p++ - '0');

        if (seconds > NGX_MC_QUERY_LATEST) {
            return NGX_ERROR;
        }
    }

    if (p == s->data
        || ngx_mc_query_fraction(&p, last, &fraction) != NGX_OK
        || p != last)
    {
        return NGX_ERROR;
    }

    *ms = seconds * 1000 + (int64_t) fraction;

    return NGX_OK;
}


/* RFC 3339, 5.6: date-time, with the space that its note allows */

static ngx_int_t
ngx_mc_query_rfc3339(u_char *p, u_char *last, int64_t *ms)
{
    int64_t      days, seconds, offset;
    ngx_int_t    sign;
    ngx_uint_t   year, month, day, hour, minute, second, fraction, leap, n, y;

    static ngx_uint_t  length[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (ngx_mc_query_digits(&p, last, 4, &year) != NGX_OK
        || p == last || *p++ != '-'
        || ngx_mc_query_digits(&p, last, 2, &month) != NGX_OK
        || p == last || *p++ != '-'
        || ngx_mc_query_digits(&p, last, 2, &day) != NGX_OK
        || p == last || (*p != 'T' && *p != 't' && *p != ' '))
    {
        return NGX_ERROR;
    }

    p++;

    if (ngx_mc_query_digits(&p, last, 2, &hour) != NGX_OK
        || p == last || *p++ != ':'
        || ngx_mc_query_digits(&p, last, 2, &minute) != NGX_OK
        || p == last || *p++ != ':'
        || ngx_mc_query_digits(&p, last, 2, &second) != NGX_OK
        || ngx_mc_query_fraction(&p, last, &fraction) != NGX_OK
        || p == last)
    {
        return NGX_ERROR;
    }

    /* 60 is a leap second: the first moment of the next minute */

    if (year == 0 || month == 0 || month > 12 || day == 0
        || hour > 23 || minute > 59 || second > 60)
    {
        return NGX_ERROR;
    }

    leap = (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));

    if (day > length[month - 1] + (month == 2 && leap)) {
        return NGX_ERROR;
    }

    sign = *p++;
    offset = 0;

    if (sign == '+' || sign == '-') {

        if (ngx_mc_query_digits(&p, last, 2, &n) != NGX_OK || n > 23) {
            return NGX_ERROR;
        }

        offset = (int64_t) n * 3600;

        if (p == last || *p++ != ':'
            || ngx_mc_query_digits(&p, last, 2, &n) != NGX_OK || n > 59)
        {
            return NGX_ERROR;
        }

        offset += (int64_t) n * 60;

        if (sign == '-') {
            offset = -offset;
        }

    } else if (sign != 'Z' && sign != 'z') {
        return NGX_ERROR;
    }

    if (p != last) {
        return NGX_ERROR;
    }

    /* 719162 days from 0001-01-01 to 1970-01-01 */

    y = year - 1;
    days = (int64_t) (y * 365 + y / 4 - y / 100 + y / 400) - 719162;

    for (n = 0; n + 1 < month; n++) {
        days += (int64_t) length[n];
    }

    if (month > 2 && leap) {
        days++;
    }

    days += (int64_t) day - 1;

    seconds = days * 86400 + (int64_t) (hour * 3600 + minute * 60 + second)
              - offset;

    *ms = seconds * 1000 + (int64_t) fraction;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_query_digits(u_char **pos, u_char *last, ngx_uint_t n,
    ngx_uint_t *value)
{
    u_char  *p;

    p = *pos;

    if ((size_t) (last - p) < n) {
        return NGX_ERROR;
    }

    for (*value = 0; n; n--, p++) {

        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        *value = *value * 10 + (*p - '0');
    }

    *pos = p;

    return NGX_OK;
}


/* what is finer than a millisecond is cut off */

static ngx_int_t
ngx_mc_query_fraction(u_char **pos, u_char *last, ngx_uint_t *ms)
{
    u_char      *p;
    ngx_uint_t   unit;

    *ms = 0;

    p = *pos;

    if (p == last || *p != '.') {
        return NGX_OK;
    }

    p++;

    if (p == last || *p < '0' || *p > '9') {
        return NGX_ERROR;
    }

    for (unit = 100; p < last && *p >= '0' && *p <= '9'; p++) {
        *ms += (*p - '0') * unit;
        unit /= 10;
    }

    *pos = p;

    return NGX_OK;
}


/* a "+" stays one: it is part of times, and of no name */

static ngx_int_t
ngx_mc_query_decode(ngx_str_t *s)
{
    u_char     *p, *dst, *last;
    ngx_int_t   high, low;

    last = s->data + s->len;

    for (p = s->data, dst = p; p < last; p++) {

        if (*p != '%') {
            *dst++ = *p;
            continue;
        }

        if (last - p < 3) {
            return NGX_ERROR;
        }

        high = ngx_mc_query_hex(p[1]);
        low = ngx_mc_query_hex(p[2]);

        if (high < 0 || low < 0) {
            return NGX_ERROR;
        }

        *dst++ = (u_char) (high << 4 | low);
        p += 2;
    }

    s->len = dst - s->data;

    return NGX_OK;
}


static ngx_int_t
ngx_mc_query_hex(u_char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}


static ngx_int_t
ngx_mc_query_number(ngx_str_t *s, uint64_t *n)
{
    size_t  i;

    if (s->len == 0 || s->len > 18) {
        return NGX_ERROR;
    }

    *n = 0;

    for (i = 0; i < s->len; i++) {

        if (s->data[i] < '0' || s->data[i] > '9') {
            return NGX_ERROR;
        }

        *n = *n * 10 + (s->data[i] - '0');
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_query_type(ngx_str_t *s, ngx_mc_events_query_t *q)
{
    ngx_int_t   d, p;
    ngx_str_t  *type;

    for (d = 0; d < 2; d++) {
        for (p = 0; p < NGX_MC_PIPELINES; p++) {
            type = &ngx_mc_query_types[d][p];

            if (s->len == type->len
                && ngx_strncmp(s->data, type->data, type->len) == 0)
            {
                q->direction = d;
                q->pipeline = p;
                return NGX_OK;
            }
        }
    }

    return NGX_ERROR;
}


static ngx_uint_t
ngx_mc_query_is_name(ngx_str_t *s)
{
    u_char  c;
    size_t  i;

    if (s->len > NGX_MC_NAME_LEN) {
        return 0;
    }

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9')
              || c == '_' || c == '.' || c == '-'))
        {
            return 0;
        }
    }

    return 1;
}
