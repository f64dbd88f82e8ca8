/* sources: srt/ngx_mc_srt_streamid.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_srt_streamid.h>

#include "shim.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                 *p;
    ngx_str_t               own;
    ngx_uint_t              input, output;
    ngx_mc_srt_streamid_t   sid;

    p = malloc(size ? size : 1);
    memcpy(p, data, size);

    if (ngx_mc_srt_streamid_parse(p, size, &sid) == NGX_OK) {

        if (sid.text.data != p || sid.text.len != size
            || sid.mode > NGX_MC_SRT_MODE_OTHER
            || (sid.resource.len
                && (sid.resource.data < p
                    || sid.resource.data + sid.resource.len > p + size)))
        {
            abort();
        }

        /* it always fits itself, if there is a way that it goes at all */

        own = sid.text;

        input = ngx_mc_srt_streamid_match(&sid, &own, NGX_MC_INPUT);
        output = ngx_mc_srt_streamid_match(&sid, &own, NGX_MC_OUTPUT);

        if ((input == NGX_MC_SRT_MATCH_NO && output == NGX_MC_SRT_MATCH_NO)
            != (sid.mode == NGX_MC_SRT_MODE_OTHER))
        {
            abort();
        }

        /* and its resource alone as well */

        own = sid.resource;

        if (own.len && sid.mode == NGX_MC_SRT_MODE_PUBLISH
            && own.data[0] != '#'
            && ngx_mc_srt_streamid_match(&sid, &own, NGX_MC_INPUT)
               != NGX_MC_SRT_MATCH_YES)
        {
            abort();
        }

    } else if (!sid.keyed && size <= NGX_MC_SRT_STREAMID_LEN) {
        abort();
    }

    free(p);

    return 0;
}
