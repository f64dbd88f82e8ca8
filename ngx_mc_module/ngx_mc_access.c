
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_access.h>


/*
 * Reads immutable data only: the SRT listen callback calls it on libsrt's
 * receiver thread.  ngx_cidr_match() takes IPv4-mapped peers by IPv4 rules.
 */

ngx_int_t
ngx_mc_access(ngx_array_t *cidrs, struct sockaddr *sa)
{
    if (cidrs == NULL) {
        return NGX_OK;
    }

    return ngx_cidr_match(sa, cidrs);
}
