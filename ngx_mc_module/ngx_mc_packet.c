
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_packet.h>


/* chunks come from the heap a slab at a time and are reused for ever */
#define NGX_MC_CHUNKS  32


static ngx_mc_chunk_t *ngx_mc_chunk_get(size_t size);


static ngx_mc_chunk_t  *ngx_mc_chunk_free;


/*
 * The first to hold a packet copies its bytes, RTP header included, into a
 * chunk, and the packet in the caller's array then points there, so that
 * those who hold the same packet next share the copy.
 */

ngx_int_t
ngx_mc_packet_hold(ngx_mc_packet_t *pkt)
{
    u_char          *start;
    size_t           size, offset;
    ngx_mc_chunk_t  *chunk;

    if (pkt->chunk) {
        pkt->chunk->refs++;
        return NGX_OK;
    }

    if (pkt->rtp) {
        start = pkt->rtp;
        size = pkt->rtp_len;
        offset = pkt->data - pkt->rtp;

    } else {
        start = pkt->data;
        size = pkt->len;
        offset = 0;
    }

    chunk = ngx_mc_chunk_get(size);
    if (chunk == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(chunk->data, start, size);

    chunk->refs = 1;

    pkt->chunk = chunk;
    pkt->data = chunk->data + offset;

    if (pkt->rtp) {
        pkt->rtp = chunk->data;
    }

    return NGX_OK;
}


void
ngx_mc_packet_release(ngx_mc_packet_t *pkt)
{
    ngx_mc_chunk_t  *chunk;

    chunk = pkt->chunk;

    if (chunk == NULL || --chunk->refs) {
        return;
    }

    pkt->chunk = NULL;

    if (chunk->size > NGX_MC_CHUNK_SIZE) {
        ngx_free(chunk);
        return;
    }

    chunk->next = ngx_mc_chunk_free;
    ngx_mc_chunk_free = chunk;
}


static ngx_mc_chunk_t *
ngx_mc_chunk_get(size_t size)
{
    size_t           each;
    u_char          *p;
    ngx_uint_t       i;
    ngx_mc_chunk_t  *chunk;

    if (size > NGX_MC_CHUNK_SIZE) {

        /* a jumbo datagram: rare enough for the heap */

        chunk = ngx_alloc(offsetof(ngx_mc_chunk_t, data) + size,
                          ngx_cycle->log);
        if (chunk) {
            chunk->size = size;
        }

        return chunk;
    }

    if (ngx_mc_chunk_free == NULL) {

        each = ngx_align(offsetof(ngx_mc_chunk_t, data) + NGX_MC_CHUNK_SIZE,
                         NGX_CPU_CACHE_LINE);

        p = ngx_memalign(NGX_CPU_CACHE_LINE, each * NGX_MC_CHUNKS,
                         ngx_cycle->log);
        if (p == NULL) {
            return NULL;
        }

        for (i = 0; i < NGX_MC_CHUNKS; i++) {
            chunk = (ngx_mc_chunk_t *) (p + i * each);
            chunk->size = NGX_MC_CHUNK_SIZE;
            chunk->next = ngx_mc_chunk_free;
            ngx_mc_chunk_free = chunk;
        }
    }

    chunk = ngx_mc_chunk_free;
    ngx_mc_chunk_free = chunk->next;

    return chunk;
}
