
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_codec.h>


u_char *
ngx_mc_nal_start(u_char *p, u_char *last)
{
    u_char  *one;

    if (last - p < 3) {
        return last;
    }

    /* in what entropy coding leaves, 01 is one byte in 256: nothing finds it
       faster than memchr() */

    one = p + 2;

    for ( ;; ) {

        one = memchr(one, 1, last - one);

        if (one == NULL) {
            return last;
        }

        if (one[-1] == 0 && one[-2] == 0) {
            return one - 2;
        }

        /* two zeros come before the next */

        if (last - one <= 3) {
            return last;
        }

        one += 3;
    }
}


u_char *
ngx_mc_nal_next(u_char *p, u_char *last, ngx_mc_nal_t *nal)
{
    u_char  *start, *end;

    for ( ;; ) {

        start = ngx_mc_nal_start(p, last);

        if (start == last) {
            return NULL;
        }

        start += 3;

        p = ngx_mc_nal_start(start, last);

        /* zero_byte, trailing_zero_8bits: no NAL unit ends with 00 */

        for (end = p; end > start && end[-1] == 0; end--) { /* void */ }

        if (end != start) {
            nal->data = start;
            nal->len = end - start;

            return p;
        }
    }
}
