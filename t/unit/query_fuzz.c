/* sources: http/ngx_mc_http_query.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_http_query.h>

#include "shim.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                 *copy;
    int64_t                 ms;
    ngx_str_t               s;
    ngx_mc_events_query_t   q;

    copy = malloc(size ? size : 1);
    memcpy(copy, data, size);

    s.data = copy;
    s.len = size;

    if (ngx_mc_query_time(&s, &ms) == NGX_OK
        && (ms < -62135683200000 - 999 || ms > 253402387200000))
    {
        abort();
    }

    if (ngx_mc_query_events(&s, &q) == NULL
        && (q.limit == 0 || q.limit > NGX_MC_EVENTS_LIMIT_MAX
            || q.cursor == 0 || q.from > q.to || q.name.len > 64))
    {
        abort();
    }

    free(copy);

    return 0;
}
