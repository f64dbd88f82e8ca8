
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_frame.h>


static ngx_mc_frame_t *ngx_mc_frame_header(ngx_mc_frame_headers_t *headers,
    ngx_mc_frame_t *frame);


ngx_int_t
ngx_mc_frame_headers_set(ngx_mc_frame_headers_t *headers,
    ngx_mc_frame_t *frame)
{
    u_char          *p;
    ngx_mc_frame_t  *header;

    header = ngx_mc_frame_header(headers, frame);

    if (header == NULL) {
        return NGX_OK;
    }

    p = ngx_alloc(frame->len, ngx_cycle->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, frame->tag, frame->len);

    if (header->tag) {
        ngx_free(header->tag);
    }

    *header = *frame;
    header->tag = p;
    header->discontinuity = 0;

    return NGX_OK;
}


void
ngx_mc_frame_headers_free(ngx_mc_frame_headers_t *headers)
{
    if (headers->meta.tag) {
        ngx_free(headers->meta.tag);
    }

    if (headers->video.tag) {
        ngx_free(headers->video.tag);
    }

    if (headers->audio.tag) {
        ngx_free(headers->audio.tag);
    }

    ngx_memzero(headers, sizeof(ngx_mc_frame_headers_t));
}


static ngx_mc_frame_t *
ngx_mc_frame_header(ngx_mc_frame_headers_t *headers, ngx_mc_frame_t *frame)
{
    if (frame->len == 0) {
        return NULL;
    }

    if (frame->type == NGX_MC_FRAME_META) {
        return &headers->meta;
    }

    if (!frame->config) {
        return NULL;
    }

    return (frame->type == NGX_MC_FRAME_VIDEO) ? &headers->video
                                               : &headers->audio;
}
