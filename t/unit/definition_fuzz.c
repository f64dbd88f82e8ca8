/* sources: ngx_mc_definition.c ngx_mc_definition_rtmp.c ngx_mc_definition_text.c ngx_mc_param.c ngx_mc_validate.c srt/ngx_mc_srt_streamid.c -lcrypto */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>

#include "shim.h"


/*
 * Input that begins with "flow " is read as a definition.  Otherwise each of
 * its lines is an endpoint as nginx.conf has it: "<" for a source or ">" for
 * an output, a URL, and words.  What passes has to survive its own text.
 */


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
must(int cond, const char *what)
{
    if (!cond) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}


static void
reread(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow)
{
    ngx_str_t          text;
    ngx_mc_flow_def_t  copy;

    text = flow->text;

    must(ngx_mc_def_read(p, &copy, &text) == NGX_OK, "cannot be read");
    must(ngx_mc_def_write(p, &copy) == NGX_OK, "cannot be written again");

    must(copy.text.len == text.len
         && memcmp(copy.text.data, text.data, text.len) == 0,
         "reads as something else");

    must(copy.sources.nelts == flow->sources.nelts
         && copy.outputs.nelts == flow->outputs.nelts, "lost an endpoint");
}


static void
fuzz_text(ngx_mc_parse_t *p, ngx_str_t *text)
{
    ngx_mc_flow_def_t  flow;

    if (ngx_mc_def_read(p, &flow, text) != NGX_OK) {
        must(p->err[0] != '\0', "no message");
        return;
    }

    /* its defaults may be missing, so the text is another one */

    if (ngx_mc_def_write(p, &flow) == NGX_OK) {
        reread(p, &flow);
    }
}


static ngx_int_t
fuzz_endpoint(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def, u_char *pos,
    u_char *last)
{
    u_char      *end, *eq;
    ngx_str_t    word, name, value;
    ngx_uint_t   n;

    for (n = 0; pos < last; pos = end + 1, n++) {

        end = ngx_strlchr(pos, last, ' ');
        if (end == NULL) {
            end = last;
        }

        word.data = pos;
        word.len = end - pos;

        if (n == 0) {
            if (ngx_mc_def_parse_url(p, def, &word) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        if (word.len == 1 && word.data[0] == 'B') {
            def->pipeline = NGX_MC_BACKUP;
            continue;
        }

        eq = ngx_strlchr(pos, end, '=');

        name.data = pos;
        name.len = (eq ? eq : end) - pos;

        value.data = eq ? eq + 1 : NULL;
        value.len = eq ? (size_t) (end - eq - 1) : 0;

        if (ngx_mc_def_parse_param(p, def, &name, &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (n == 0) {
        return ngx_mc_def_error(p, "nothing");
    }

    return ngx_mc_def_check_endpoint(p, def);
}


static void
fuzz_endpoints(ngx_mc_parse_t *p, ngx_str_t *text)
{
    u_char                 *pos, *last, *end, *line;
    ngx_uint_t              n;
    ngx_array_t             flows;
    ngx_mc_flow_def_t       flow, *f;
    ngx_mc_endpoint_def_t  *def, *source;

    ngx_memzero(&flow, sizeof(flow));

    flow.name = shim_str("a");
    flow.latency = 120;

    (void) ngx_array_init(&flow.sources, p->pool, 2,
                          sizeof(ngx_mc_endpoint_def_t));
    (void) ngx_array_init(&flow.outputs, p->pool, 4,
                          sizeof(ngx_mc_endpoint_def_t));

    pos = text->data;
    last = text->data + text->len;

    for (n = 1; pos < last; pos = end + 1, n++) {

        end = ngx_strlchr(pos, last, '\n');
        if (end == NULL) {
            end = last;
        }

        if (end == pos) {
            continue;
        }

        def = ngx_array_push((*pos == '>') ? &flow.outputs : &flow.sources);

        ngx_mc_def_init_endpoint(def);

        def->direction = (*pos == '>') ? NGX_MC_OUTPUT : NGX_MC_INPUT;
        def->line = n;

        if (*pos == '>') {
            def->name = shim_str("x");
        }

        /* one malloc() of exactly its size */

        line = ngx_pnalloc(p->pool, end - pos - 1);
        memcpy(line, pos + 1, end - pos - 1);

        p->err[0] = '\0';

        if (fuzz_endpoint(p, def, line, line + (end - pos - 1)) != NGX_OK) {
            must(p->err[0] != '\0', "no message");

            if (*pos == '>') {
                flow.outputs.nelts--;

            } else {
                flow.sources.nelts--;
            }
        }
    }

    f = &flow;
    (void) ngx_array_init(&flows, p->pool, 1, sizeof(f));
    *(ngx_mc_flow_def_t **) ngx_array_push(&flows) = f;

    shim_log_reset();
    (void) ngx_mc_def_check_flows(p->cf, &flows);

    must(flow.group.len == 1, "no group");

    if (ngx_mc_def_write(p, &flow) != NGX_OK) {
        must(0, "cannot be written");
    }

    source = flow.sources.elts;

    for (n = 0; n < flow.sources.nelts; n++) {
        must(source[n].text.data >= flow.text.data
             && source[n].text.data + source[n].text.len
                < flow.text.data + flow.text.len
             && source[n].text.data[source[n].text.len] == '\n',
             "a bad line");
    }

    reread(p, &flow);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t       text;
    ngx_mc_parse_t  p;

    /* no file is read for passphrase_file= */

    static const char  prefix[] = "/nonexistent/";

    shim_cycle.conf_prefix = shim_str(prefix);

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = shim_conf(p.pool, "nginx.conf", 1);

    shim_log_reset();

    text.len = size;
    text.data = ngx_pnalloc(p.pool, size);
    if (size) {
        memcpy(text.data, data, size);
    }

    if (size > 5 && memcmp(data, "flow ", 5) == 0) {
        fuzz_text(&p, &text);

    } else {
        fuzz_endpoints(&p, &text);
    }

    ngx_destroy_pool(p.pool);

    return 0;
}
