
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _PACKETS_H_INCLUDED_
#define _PACKETS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_packet.h>


/*
 * The packet API with a malloc() for each packet that is held, so that ASan
 * sees what is used after its release, and what is never released.  Included
 * by one source of a program.
 */


static ngx_uint_t  packets_held;


ngx_int_t
ngx_mc_packet_hold(ngx_mc_packet_t *pkt)
{
    u_char          *start;
    size_t           size;
    ngx_mc_chunk_t  *chunk;

    if (pkt->chunk) {
        pkt->chunk->refs++;
        return NGX_OK;
    }

    start = pkt->rtp ? pkt->rtp : pkt->data;
    size = pkt->rtp ? pkt->rtp_len : pkt->len;

    chunk = ngx_alloc(offsetof(ngx_mc_chunk_t, data) + size, NULL);
    if (chunk == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(chunk->data, start, size);

    chunk->refs = 1;
    chunk->size = size;

    pkt->chunk = chunk;
    pkt->data = chunk->data + (pkt->data - start);
    pkt->rtp = pkt->rtp ? chunk->data : NULL;

    packets_held++;

    return NGX_OK;
}


void
ngx_mc_packet_release(ngx_mc_packet_t *pkt)
{
    if (pkt->chunk && --pkt->chunk->refs == 0) {
        ngx_free(pkt->chunk);
        pkt->chunk = NULL;
        packets_held--;
    }
}


#endif /* _PACKETS_H_INCLUDED_ */
