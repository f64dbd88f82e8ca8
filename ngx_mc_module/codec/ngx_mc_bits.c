
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_bits.h>


void
ngx_mc_bits_init(ngx_mc_bits_t *b, u_char *data, size_t len, ngx_uint_t nal)
{
    ngx_memzero(b, sizeof(ngx_mc_bits_t));

    b->pos = data;
    b->last = data + len;
    b->nal = nal ? 1 : 0;
}


uint32_t
ngx_mc_bits(ngx_mc_bits_t *b, ngx_uint_t n)
{
    uint64_t    value;
    ngx_uint_t  take;

    value = 0;

    while (n) {

        if (b->left == 0) {

            if (b->nal && b->zeros >= 2 && b->pos < b->last && *b->pos == 3) {
                b->pos++;
                b->zeros = 0;
            }

            if (b->pos == b->last) {
                b->error = 1;
                return 0;
            }

            b->cur = *b->pos++;
            b->left = 8;
            b->zeros = (b->cur == 0) ? b->zeros + 1 : 0;
        }

        take = ngx_min(n, b->left);

        b->left -= take;
        n -= take;

        value = value << take
                | ((b->cur >> b->left) & ((1 << take) - 1));
    }

    return value;
}


void
ngx_mc_bits_skip(ngx_mc_bits_t *b, ngx_uint_t n)
{
    ngx_uint_t  take;

    while (n && !b->error) {
        take = ngx_min(n, 32);
        n -= take;

        (void) ngx_mc_bits(b, take);
    }
}


uint32_t
ngx_mc_bits_ue(ngx_mc_bits_t *b, uint32_t max)
{
    uint32_t    value;
    ngx_uint_t  zeros;

    for (zeros = 0; ngx_mc_bits(b, 1) == 0; zeros++) {

        if (b->error || zeros == 31) {
            b->error = 1;
            return 0;
        }
    }

    value = ((uint32_t) 1 << zeros) - 1 + ngx_mc_bits(b, zeros);

    if (b->error || value > max) {
        b->error = 1;
        return 0;
    }

    return value;
}


int32_t
ngx_mc_bits_se(ngx_mc_bits_t *b)
{
    uint32_t  value;

    value = ngx_mc_bits_ue(b, NGX_MC_BITS_UE_MAX);

    return (value & 1) ? (int32_t) (value / 2 + 1) : - (int32_t) (value / 2);
}
