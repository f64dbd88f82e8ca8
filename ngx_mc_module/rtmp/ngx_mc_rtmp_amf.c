
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_amf.h>
#include <ngx_mc_flv.h>


/* objects in objects that are followed */
#define NGX_MC_RTMP_AMF_DEPTH  8


static void ngx_mc_rtmp_amf_take(ngx_mc_rtmp_amf_info_t *info,
    ngx_str_t *name, ngx_str_t *string);


u_char *
ngx_mc_rtmp_amf_name(u_char *p, const char *name)
{
    size_t  n;

    n = ngx_strlen(name);

    *p++ = (u_char) (n >> 8);
    *p++ = (u_char) n;

    return ngx_cpymem(p, name, n);
}


u_char *
ngx_mc_rtmp_amf_string(u_char *p, ngx_str_t *s)
{
    *p++ = NGX_MC_AMF_STRING;
    *p++ = (u_char) (s->len >> 8);
    *p++ = (u_char) s->len;

    return ngx_cpymem(p, s->data, s->len);
}


u_char *
ngx_mc_rtmp_amf_chars(u_char *p, const char *s)
{
    *p++ = NGX_MC_AMF_STRING;

    return ngx_mc_rtmp_amf_name(p, s);
}


u_char *
ngx_mc_rtmp_amf_number(u_char *p, double n)
{
    uint64_t    bits;
    ngx_uint_t  i;

    ngx_memcpy(&bits, &n, 8);

    *p++ = NGX_MC_AMF_NUMBER;

    for (i = 0; i < 8; i++) {
        *p++ = (u_char) (bits >> (56 - 8 * i));
    }

    return p;
}


/* after the type; "bytes" of length */

ngx_int_t
ngx_mc_rtmp_amf_read_string(ngx_mc_rtmp_amf_t *amf, ngx_str_t *s,
    ngx_uint_t bytes)
{
    size_t  len;

    if ((size_t) (amf->last - amf->pos) < bytes) {
        return NGX_ERROR;
    }

    for (len = 0; bytes; bytes--) {
        len = len << 8 | *amf->pos++;
    }

    if ((size_t) (amf->last - amf->pos) < len) {
        return NGX_ERROR;
    }

    s->data = amf->pos;
    s->len = len;

    amf->pos += len;

    return NGX_OK;
}


/* any value; "name": of the member that it is, NULL: of none */

ngx_int_t
ngx_mc_rtmp_amf_read(ngx_mc_rtmp_amf_t *amf,
    ngx_mc_rtmp_amf_info_t *info, ngx_str_t *name, ngx_uint_t depth)
{
    double      number;
    size_t      n;
    uint64_t    bits;
    ngx_str_t   s;
    ngx_uint_t  type, i;

    if (amf->pos == amf->last || depth > NGX_MC_RTMP_AMF_DEPTH) {
        return NGX_ERROR;
    }

    type = *amf->pos++;
    n = amf->last - amf->pos;

    switch (type) {

    case NGX_MC_AMF_NUMBER:

        if (n < 8) {
            return NGX_ERROR;
        }

        bits = 0;

        for (i = 0; i < 8; i++) {
            bits = bits << 8 | *amf->pos++;
        }

        ngx_memcpy(&number, &bits, 8);

        if (name == NULL && info->number == 0) {
            info->number = number;
        }

        return NGX_OK;

    case NGX_MC_AMF_BOOLEAN:
        n = 1;
        break;

    case NGX_MC_AMF_STRING:
    case NGX_MC_AMF_LONG_STRING:

        n = (type == NGX_MC_AMF_STRING) ? 2 : 4;

        if (ngx_mc_rtmp_amf_read_string(amf, &s, n) != NGX_OK) {
            return NGX_ERROR;
        }

        if (name) {
            ngx_mc_rtmp_amf_take(info, name, &s);
        }

        return NGX_OK;

    case NGX_MC_AMF_ECMA_ARRAY:

        if (n < 4) {
            return NGX_ERROR;
        }

        amf->pos += 4;

        /* fall through */

    case NGX_MC_AMF_OBJECT:

        for ( ;; ) {

            if (ngx_mc_rtmp_amf_read_string(amf, &s, 2) != NGX_OK) {
                return NGX_ERROR;
            }

            if (s.len == 0 && amf->pos < amf->last
                && *amf->pos == NGX_MC_AMF_END)
            {
                amf->pos++;
                return NGX_OK;
            }

            if (ngx_mc_rtmp_amf_read(amf, info, &s, depth + 1) != NGX_OK) {
                return NGX_ERROR;
            }
        }

    case NGX_MC_AMF_STRICT_ARRAY:

        if (n < 4) {
            return NGX_ERROR;
        }

        n = (size_t) amf->pos[0] << 24 | amf->pos[1] << 16
            | amf->pos[2] << 8 | amf->pos[3];
        amf->pos += 4;

        ngx_str_null(&s);

        while (n--) {
            if (ngx_mc_rtmp_amf_read(amf, info, &s, depth + 1) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        return NGX_OK;

    case NGX_MC_AMF_NULL:
    case NGX_MC_AMF_UNDEFINED:
        return NGX_OK;

    case NGX_MC_AMF_REFERENCE:
        n = 2;
        break;

    case NGX_MC_AMF_DATE:
        n = 10;
        break;

    default:
        return NGX_ERROR;
    }

    if ((size_t) (amf->last - amf->pos) < n) {
        return NGX_ERROR;
    }

    amf->pos += n;

    return NGX_OK;
}


static void
ngx_mc_rtmp_amf_take(ngx_mc_rtmp_amf_info_t *info, ngx_str_t *name,
    ngx_str_t *string)
{
#define ngx_mc_rtmp_amf_is(s)                                                 \
    (name->len == sizeof(s) - 1                                               \
     && ngx_strncmp(name->data, s, sizeof(s) - 1) == 0)

    if (ngx_mc_rtmp_amf_is("level") && info->level.len == 0) {
        info->level = *string;

    } else if (ngx_mc_rtmp_amf_is("code") && info->code.len == 0) {
        info->code = *string;

    } else if (ngx_mc_rtmp_amf_is("description")
               && info->description.len == 0)
    {
        info->description = *string;
    }
}
