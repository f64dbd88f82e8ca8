
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_srt_streamid.h>


/*
 * The form that the access control guidelines of the SRT draft, appendix B,
 * ask for: "#!:" and then ":k=v,k=v", or the same in braces, where a value
 * may itself be a block in braces.
 */


static ngx_int_t ngx_mc_srt_streamid_pairs(const u_char *p,
    const u_char *last, ngx_uint_t nested, ngx_mc_srt_streamid_t *sid);
static const u_char *ngx_mc_srt_streamid_block(const u_char *p,
    const u_char *last);


/* any thread */

ngx_int_t
ngx_mc_srt_streamid_parse(const u_char *s, size_t len,
    ngx_mc_srt_streamid_t *sid)
{
    const u_char  *last;

    sid->text.data = (u_char *) s;
    sid->text.len = len;
    sid->resource = sid->text;
    sid->mode = NGX_MC_SRT_MODE_ANY;
    sid->keyed = 0;

    if (len > NGX_MC_SRT_STREAMID_LEN) {
        return NGX_ERROR;
    }

    if (len < 2 || s[0] != '#' || s[1] != '!') {
        return NGX_OK;
    }

    sid->keyed = 1;
    sid->mode = NGX_MC_SRT_MODE_REQUEST;

    ngx_str_null(&sid->resource);

    /* ":" is the only syntax that is defined */

    if (len < 4 || s[2] != ':') {
        return NGX_ERROR;
    }

    last = s + len;

    if (s[3] == ':') {
        return ngx_mc_srt_streamid_pairs(s + 4, last, 0, sid);
    }

    if (s[3] == '{' && ngx_mc_srt_streamid_block(s + 3, last) == last) {
        return ngx_mc_srt_streamid_pairs(s + 4, last - 1, 1, sid);
    }

    return NGX_ERROR;
}


/* any thread */

ngx_uint_t
ngx_mc_srt_streamid_match(ngx_mc_srt_streamid_t *sid, ngx_str_t *streamid,
    ngx_uint_t direction)
{
    ngx_mc_srt_streamid_t  own;

    if (streamid->len) {

        if (ngx_mc_srt_streamid_parse(streamid->data, streamid->len, &own)
            != NGX_OK)
        {
            return NGX_MC_SRT_MATCH_NO;
        }

        if (own.resource.len == 0) {

            /* nothing but other keys: these have to be the very same */

            if (sid->text.len != own.text.len
                || ngx_memcmp(sid->text.data, own.text.data, own.text.len)
                   != 0)
            {
                return NGX_MC_SRT_MATCH_NO;
            }

        } else if (sid->resource.len != own.resource.len
                   || ngx_memcmp(sid->resource.data, own.resource.data,
                                 own.resource.len)
                      != 0)
        {
            return NGX_MC_SRT_MATCH_NO;
        }
    }

    switch (sid->mode) {

    case NGX_MC_SRT_MODE_ANY:
        return NGX_MC_SRT_MATCH_YES;

    case NGX_MC_SRT_MODE_REQUEST:

        /* encoders are often given no "m" at all: what can only mean a
           source reaches it */

        return (direction == NGX_MC_OUTPUT) ? NGX_MC_SRT_MATCH_YES
                                            : NGX_MC_SRT_MATCH_FALLBACK;

    case NGX_MC_SRT_MODE_PUBLISH:
        return (direction == NGX_MC_INPUT) ? NGX_MC_SRT_MATCH_YES
                                           : NGX_MC_SRT_MATCH_NO;

    default: /* NGX_MC_SRT_MODE_OTHER */
        return NGX_MC_SRT_MATCH_NO;
    }
}


/* any thread */

static ngx_int_t
ngx_mc_srt_streamid_pairs(const u_char *p, const u_char *last,
    ngx_uint_t nested, ngx_mc_srt_streamid_t *sid)
{
    size_t         len;
    ngx_uint_t     mode, resource;
    const u_char  *key, *value, *end;

    mode = 0;
    resource = 0;

    if (p == last) {
        return NGX_OK;
    }

    for ( ;; ) {

        key = p;

        while (p < last && *p != '=' && *p != ',') {
            p++;
        }

        if (p == key || p == last || *p == ',') {
            return NGX_ERROR;
        }

        len = p - key;

        value = ++p;

        if (nested && p < last && *p == '{') {
            p = ngx_mc_srt_streamid_block(p, last);

            if (p == NULL || (p < last && *p != ',')) {
                return NGX_ERROR;
            }

        } else {
            while (p < last && *p != ',') {

                if (nested && (*p == '{' || *p == '}')) {
                    return NGX_ERROR;
                }

                p++;
            }
        }

        end = p;

        if (len == 1 && *key == 'r') {

            if (resource++ || value == end || (nested && *value == '{')) {
                return NGX_ERROR;
            }

            sid->resource.data = (u_char *) value;
            sid->resource.len = end - value;

        } else if (len == 1 && *key == 'm') {

            if (mode++) {
                return NGX_ERROR;
            }

            if (end - value == 7 && ngx_memcmp(value, "request", 7) == 0) {
                sid->mode = NGX_MC_SRT_MODE_REQUEST;

            } else if (end - value == 7
                       && ngx_memcmp(value, "publish", 7) == 0)
            {
                sid->mode = NGX_MC_SRT_MODE_PUBLISH;

            } else {
                sid->mode = NGX_MC_SRT_MODE_OTHER;
            }
        }

        if (p == last) {
            return NGX_OK;
        }

        p++;
    }
}


/* any thread; what follows the block that begins at p, or NULL */

static const u_char *
ngx_mc_srt_streamid_block(const u_char *p, const u_char *last)
{
    ngx_uint_t  depth;

    depth = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '{') {
            depth++;

        } else if (*p == '}' && --depth == 0) {
            return p + 1;
        }
    }

    return NULL;
}
