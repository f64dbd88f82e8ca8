
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_key.h>


/*
 * "publish", a number, null, "name?key=SECRET&...": nginx-rtmp is about to log
 * that, so the key is overwritten where it stands, and its digest kept for
 * the hook, which is called next.
 */


#define NGX_MC_RTMP_KEY_LEN  512


static ngx_int_t ngx_mc_rtmp_key_begin(ngx_chain_t **cl, u_char **p,
    size_t *len);
static ngx_int_t ngx_mc_rtmp_key_byte(ngx_chain_t **cl, u_char **p,
    u_char **byte);


/* what the message that is being handled has as key */

static ngx_rtmp_session_t  *ngx_mc_rtmp_key_session;
static u_char               ngx_mc_rtmp_key_digest[SHA256_DIGEST_LENGTH];


void
ngx_mc_rtmp_key_mask(ngx_rtmp_session_t *s, ngx_chain_t *in)
{
    size_t        len, matched;
    u_char       *p, *byte, *last;
    ngx_uint_t    done;
    ngx_chain_t  *cl;
    u_char        key[NGX_MC_RTMP_KEY_LEN];

    enum {
        sw_name = 0,
        sw_argument,                 /* so far it is as "key=" begins */
        sw_key,
        sw_other
    } state;

    static u_char  name[] = "key=";

    ngx_mc_rtmp_key_session = NULL;

    if (s->app.len == 0
        || (ngx_mc_rtmp_table_app(&s->app, NGX_MC_INPUT) == NULL
            && ngx_mc_rtmp_table_ready() == NGX_OK))
    {
        return;
    }

    cl = in;
    p = cl->buf->pos;

    if (ngx_mc_rtmp_key_begin(&cl, &p, &len) != NGX_OK) {
        return;
    }

    state = sw_name;
    last = key;
    matched = 0;
    done = 0;

    while (len-- && ngx_mc_rtmp_key_byte(&cl, &p, &byte) == NGX_OK) {

        if (state == sw_name) {

            if (*byte == '?') {
                state = sw_argument;
                matched = 0;
            }

            continue;
        }

        if (*byte == '&') {

            if (state == sw_key) {
                done = 1;
            }

            state = sw_argument;
            matched = 0;
            continue;
        }

        switch (state) {

        case sw_argument:

            if (*byte != name[matched]) {
                state = sw_other;

            } else if (++matched == sizeof(name) - 1) {
                state = sw_key;
            }

            break;

        case sw_key:

            /* of several the first counts; none is logged */

            if (!done && last < key + NGX_MC_RTMP_KEY_LEN) {
                *last++ = *byte;
            }

            *byte = '*';
            break;

        default: /* sw_other */
            break;
        }
    }

    if (done || state == sw_key) {

        /* as sent it may be percent-encoded */

        byte = key;
        p = key;
        ngx_unescape_uri(&p, &byte, last - key, 0);

        ngx_mc_rtmp_key_hash(key, p - key, ngx_mc_rtmp_key_digest);
        ngx_mc_rtmp_key_session = s;
    }

    ngx_explicit_memzero(key, sizeof(key));
}


/* up to the name, and how long that is */

static ngx_int_t
ngx_mc_rtmp_key_begin(ngx_chain_t **cl, u_char **p, size_t *len)
{
    u_char      *byte;
    ngx_uint_t   i;

    /* markers of AMF0: number 0, null 5, string 2 */

    for (i = 0; i < 11; i++) {
        if (ngx_mc_rtmp_key_byte(cl, p, &byte) != NGX_OK
            || (i == 0 && *byte != 0)
            || (i == 9 && *byte != 5)
            || (i == 10 && *byte != 2))
        {
            return NGX_DECLINED;
        }
    }

    *len = 0;

    for (i = 0; i < 2; i++) {
        if (ngx_mc_rtmp_key_byte(cl, p, &byte) != NGX_OK) {
            return NGX_DECLINED;
        }

        *len = *len << 8 | *byte;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_key_byte(ngx_chain_t **cl, u_char **p, u_char **byte)
{
    while (*p == (*cl)->buf->last) {

        *cl = (*cl)->next;

        if (*cl == NULL) {
            return NGX_ERROR;
        }

        *p = (*cl)->buf->pos;
    }

    *byte = (*p)++;

    return NGX_OK;
}


ngx_int_t
ngx_mc_rtmp_key_take(ngx_rtmp_session_t *s, u_char *digest)
{
    ngx_rtmp_session_t  *session;

    session = ngx_mc_rtmp_key_session;
    ngx_mc_rtmp_key_session = NULL;

    if (session != s) {
        return NGX_DECLINED;
    }

    ngx_memcpy(digest, ngx_mc_rtmp_key_digest, SHA256_DIGEST_LENGTH);

    return NGX_OK;
}


void
ngx_mc_rtmp_key_forget(ngx_rtmp_session_t *s)
{
    if (ngx_mc_rtmp_key_session == s) {
        ngx_mc_rtmp_key_session = NULL;
    }
}


void
ngx_mc_rtmp_key_cut(u_char *args)
{
    size_t   len;
    u_char  *p, *end, *dst;

    dst = args;
    p = args;

    while (*p) {
        end = (u_char *) ngx_strchr(p, '&');

        len = end ? (size_t) (end - p) : ngx_strlen(p);

        if (len < 4 || ngx_strncmp(p, "key=", 4) != 0) {

            if (dst != args) {
                *dst++ = '&';
            }

            dst = ngx_movemem(dst, p, len);
        }

        p += len;

        if (end) {
            p++;
        }
    }

    /* the key may have been longer than what is left */

    ngx_memzero(dst, p - dst);
}


void
ngx_mc_rtmp_key_hash(u_char *key, size_t len, u_char *digest)
{
    (void) SHA256(key, len, digest);
}
