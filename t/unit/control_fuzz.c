/* sources: ngx_mc_control_text.c ngx_mc_definition.c ngx_mc_definition_rtmp.c ngx_mc_definition_text.c ngx_mc_param.c ngx_mc_validate.c srt/ngx_mc_srt_streamid.c -lcrypto */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_control.h>

#include "shim.h"


/*
 * The input as a state file, and as its lines behind a version line and
 * before a sum that are right.  What is read, written again, is the same.
 */


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
read_lines(ngx_str_t *lines)
{
    size_t                  len;
    u_char                 *start, *p, *q;
    ngx_int_t               rc;
    ngx_str_t               rest;
    ngx_mc_control_item_t   item;

    rest = *lines;

    for ( ;; ) {
        start = rest.data;

        rc = ngx_mc_control_text_next(&rest, &item);

        if (rc != NGX_OK) {
            break;
        }

        len = rest.data - start;

        p = malloc(NGX_MC_CONTROL_LINE);
        q = ngx_mc_control_text_line(p, p + NGX_MC_CONTROL_LINE, &item);

        if ((size_t) (q - p) != len || memcmp(p, start, len) != 0) {
            abort();
        }

        free(p);
    }

    if (rc == NGX_DONE && rest.len != 0) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char     *copy, *p, *last;
    ngx_str_t   text;

    copy = malloc(size ? size : 1);
    memcpy(copy, data, size);

    text.data = copy;
    text.len = size;

    if (ngx_mc_control_text_first(&text) == NGX_OK) {
        read_lines(&text);
    }

    text.data = copy;
    text.len = size;
    read_lines(&text);

    free(copy);

    copy = malloc(size + NGX_MC_CONTROL_TEXT_MIN);
    last = copy + size + NGX_MC_CONTROL_TEXT_MIN;

    p = ngx_mc_control_text_begin(copy, last);
    p = ngx_cpymem(p, data, size);
    p = ngx_mc_control_text_end(copy, p, last);

    text.data = copy;
    text.len = p - copy;

    if (ngx_mc_control_text_first(&text) != NGX_OK
        || text.len != size || memcmp(text.data, data, size) != 0)
    {
        abort();
    }

    free(copy);

    return 0;
}
