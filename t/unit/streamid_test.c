/* sources: srt/ngx_mc_srt_streamid.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_srt_streamid.h>

#include "shim.h"


static ngx_mc_srt_streamid_t  sid;


static ngx_int_t
parse(const char *s)
{
    size_t      len;
    ngx_int_t   rc;

    static u_char  *p;

    /* of just that size: ASan sees what lies beyond */

    free(p);

    len = strlen(s);
    p = malloc(len ? len : 1);
    memcpy(p, s, len);

    rc = ngx_mc_srt_streamid_parse(p, len, &sid);

    return rc;
}


static void
good(const char *s, const char *resource, ngx_uint_t mode)
{
    is_num(parse(s), NGX_OK, "%s", s);
    is(sid.text, s, "text");
    ok(sid.resource.len == strlen(resource)
       && (sid.resource.len == 0
           || memcmp(sid.resource.data, resource, sid.resource.len) == 0),
       "resource is \"%s\"", resource);
    is_num(sid.mode, mode, "mode");
}


static void
bad(const char *s)
{
    is_num(parse(s), NGX_ERROR, "malformed: %s", s);
}


static void
match(const char *s, const char *own, ngx_uint_t input, ngx_uint_t output)
{
    ngx_str_t  str;

    if (parse(s) != NGX_OK) {
        ok(0, "%s is parsed", s);
        return;
    }

    str = shim_str(own);

    is_num(ngx_mc_srt_streamid_match(&sid, &str, NGX_MC_INPUT), input,
           "\"%s\" and a source of \"%s\"", s, own);
    is_num(ngx_mc_srt_streamid_match(&sid, &str, NGX_MC_OUTPUT), output,
           "\"%s\" and an output of \"%s\"", s, own);
}


#define ANY       NGX_MC_SRT_MODE_ANY
#define REQUEST   NGX_MC_SRT_MODE_REQUEST
#define PUBLISH   NGX_MC_SRT_MODE_PUBLISH
#define OTHER     NGX_MC_SRT_MODE_OTHER

#define NO        NGX_MC_SRT_MATCH_NO
#define FALLBACK  NGX_MC_SRT_MATCH_FALLBACK
#define YES       NGX_MC_SRT_MATCH_YES


int
main(void)
{
    char  s[600];

    good("", "", ANY);
    good("x", "x", ANY);
    good("live/studio a?k=v,m=publish", "live/studio a?k=v,m=publish", ANY);
    good("#", "#", ANY);
    good("#x", "#x", ANY);
    good(" #!::r=x", " #!::r=x", ANY);

    good("#!::r=x", "x", REQUEST);
    good("#!::u=admin,r=bluesbrothers1_hi", "bluesbrothers1_hi", REQUEST);
    good("#!::u=johnny,t=stream,m=publish,r=results", "results", PUBLISH);
    good("#!::m=request,r=x", "x", REQUEST);
    good("#!::m=bidirectional,r=x", "x", OTHER);
    good("#!::m=,r=x", "x", OTHER);
    good("#!::m=Publish,r=x", "x", OTHER);
    good("#!::h=host,r=videos/q.php?vid=366,acme_x=,s=1",
         "videos/q.php?vid=366", REQUEST);
    good("#!::", "", REQUEST);
    good("#!::m=publish", "", PUBLISH);
    good("#!::rr=y,r=x,mm=publish", "x", REQUEST);
    good("#!::r={x}", "{x}", REQUEST);

    good("#!:{r=x}", "x", REQUEST);
    good("#!:{}", "", REQUEST);
    good("#!:{u=a,m=publish,r=x}", "x", PUBLISH);
    good("#!:{acme_a={r=no,b={m=no}},r=x}", "x", REQUEST);
    good("#!:{r=x,acme_a={}}", "x", REQUEST);

    bad("#!");
    bad("#!:");
    bad("#!x");
    bad("#!;:r=x");
    bad("#!:r=x");
    bad("#!::r");
    bad("#!::=x");
    bad("#!::r=");
    bad("#!::r=,m=publish");
    bad("#!::,r=x");
    bad("#!::r=x,");
    bad("#!::r=x,,m=publish");
    bad("#!::r=x,m");
    bad("#!::r=x,r=y");
    bad("#!::r=x,m=publish,m=request");
    bad("#!:{");
    bad("#!:{r=x");
    bad("#!:{r=x}}");
    bad("#!:{r=x}y");
    bad("#!:{r=x}{m=publish}");
    bad("#!:{r={x}}");
    bad("#!:{r=x{y}}");
    bad("#!:{a={b}c,r=x}");
    bad("#!:{r=x,}");
    bad("#!:{a={b,r=x}");

    memset(s, 'x', sizeof(s));
    s[512] = '\0';
    is_num(parse(s), NGX_OK, "512 characters");
    s[512] = 'x';
    s[513] = '\0';
    is_num(parse(s), NGX_ERROR, "513 characters");

    match("x", "x", YES, YES);
    match("x", "y", NO, NO);
    match("x", "xx", NO, NO);
    match("xx", "x", NO, NO);
    match("X", "x", NO, NO);
    match("", "x", NO, NO);
    match("x", "", YES, YES);
    match("", "", YES, YES);

    match("#!::r=x", "x", FALLBACK, YES);
    match("#!::m=request,r=x", "x", FALLBACK, YES);
    match("#!::r=x,m=publish", "x", YES, NO);
    match("#!::r=x,m=bidirectional", "x", NO, NO);
    match("#!:{r=x,m=publish}", "x", YES, NO);
    match("#!::r=y,m=publish", "x", NO, NO);
    match("#!::m=publish", "x", NO, NO);
    match("#!::m=publish", "", YES, NO);
    match("#!::r=any", "", FALLBACK, YES);

    match("x", "#!::r=x", YES, YES);
    match("x", "#!::m=publish,r=x", YES, YES);
    match("#!::u=me,r=x,m=publish", "#!::r=x", YES, NO);
    match("#!::u=me", "#!::u=me", FALLBACK, YES);
    match("#!::u=you", "#!::u=me", NO, NO);
    match("#!::m=publish", "#!::u=me", NO, NO);
    match("", "#!::u=me", NO, NO);
    match("x", "#!::r", NO, NO);

    parse("");

    return shim_done();
}
