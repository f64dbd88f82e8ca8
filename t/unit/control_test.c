/* sources: ngx_mc_control_text.c ngx_mc_definition.c ngx_mc_definition_rtmp.c ngx_mc_definition_text.c ngx_mc_param.c ngx_mc_validate.c srt/ngx_mc_srt_streamid.c -lcrypto */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_control.h>

#include "shim.h"


#define HEAD  "ngx_mc_module state 1\n"


static u_char                 *copy;
static ngx_mc_control_item_t   item;


/* a block of just that size, with a sum that is right */

static ngx_str_t
summed(const char *lines)
{
    u_char     *p, buf[4096];
    ngx_str_t   str;

    p = ngx_cpymem(buf, lines, strlen(lines));
    p = ngx_mc_control_text_end(buf, p, buf + sizeof(buf));

    free(copy);

    str.len = p - buf;
    copy = malloc(str.len);
    memcpy(copy, buf, str.len);
    str.data = copy;

    return str;
}


static ngx_int_t
first(const char *line)
{
    char       buf[2048];
    ngx_str_t  text;

    snprintf(buf, sizeof(buf), HEAD "%s", line);
    text = summed(buf);

    if (ngx_mc_control_text_first(&text) != NGX_OK) {
        return NGX_DECLINED;
    }

    return ngx_mc_control_text_next(&text, &item);
}


static void
bad(const char *line)
{
    ok(first(line) == NGX_ERROR, "refused: %s", line);
}


static void
lines(void)
{
    ok(first("flow a stop\n") == NGX_OK, "a flow");
    ok(item.kind == NGX_MC_CONTROL_FLOW, "is one");
    is(item.flow, "a", "its name");
    is_num(item.value, NGX_MC_CONTROL_STOP, "stop");

    ok(first("flow a-B_0.9 start\n") == NGX_OK, "another");
    is(item.flow, "a-B_0.9", "its name");
    is_num(item.value, NGX_MC_CONTROL_START, "start");

    ok(first("output a cdn primary stop\n") == NGX_OK, "an output");
    ok(item.kind == NGX_MC_CONTROL_OUTPUT, "is one");
    is(item.flow, "a", "its flow");
    is(item.name, "cdn", "its name");
    is_num(item.pipeline, NGX_MC_PRIMARY, "primary");
    is_num(item.value, NGX_MC_CONTROL_STOP, "stop");

    ok(first("output a cdn backup start\n") == NGX_OK, "a backup one");
    is_num(item.pipeline, NGX_MC_BACKUP, "backup");
    is_num(item.value, NGX_MC_CONTROL_START, "start");

    ok(first("source a primary\n") == NGX_OK, "a choice");
    ok(item.kind == NGX_MC_CONTROL_SOURCE, "is one");
    is_num(item.value, NGX_MC_CHOICE_PRIMARY, "primary");

    ok(first("source a backup\n") == NGX_OK, "another");
    is_num(item.value, NGX_MC_CHOICE_BACKUP, "backup");

    ok(first("") == NGX_DONE, "no lines");

    bad("\n");
    bad(" \n");
    bad("flow\n");
    bad("flow \n");
    bad("flow a\n");
    bad("flow a \n");
    bad("flow a none\n");
    bad("flow a stopp\n");
    bad("flow a sto\n");
    bad("flow a stop \n");
    bad("flow a stop x\n");
    bad("flow  a stop\n");
    bad(" flow a stop\n");
    bad("Flow a stop\n");
    bad("flow .. stop\n");
    bad("flow a/b stop\n");
    bad("flow a\tstop\n");
    bad("flow a stop\r\n");
    bad("flow a stop");
    bad("output a cdn stop\n");
    bad("output a cdn auto stop\n");
    bad("output a cdn primary\n");
    bad("output a cdn primary none\n");
    bad("output a cdn primary stop x\n");
    bad("output a cdn primary stop \n");
    bad("output a  primary stop\n");
    bad("source a auto\n");
    bad("source a start\n");
    bad("source a b primary\n");
    bad("nothing a stop\n");
    bad("flow 12345678901234567890123456789012345678901234567890"
        "123456789012345 stop\n");
}


static void
sums(void)
{
    size_t     i;
    u_char     c;
    unsigned   passed;
    ngx_str_t  text, t;

    text = summed(HEAD "flow a stop\n");

    t = text;
    ok(ngx_mc_control_text_first(&t) == NGX_OK, "a good sum");
    is(t, "flow a stop\n", "the lines");

    passed = 0;

    for (i = 0; i < text.len; i++) {
        c = text.data[i];
        text.data[i] ^= 1;

        t = text;
        passed += (ngx_mc_control_text_first(&t) == NGX_OK);

        text.data[i] = c;
    }

    is_num(passed, 0, "no flipped bit passes");

    /* the whole text is one block: reading behind its end would show */

    for (i = 1; i < text.len; i++) {
        u_char  *cut = malloc(i);

        memcpy(cut, text.data, i);
        t.data = cut;
        t.len = i;
        passed += (ngx_mc_control_text_first(&t) == NGX_OK);

        free(cut);
    }

    is_num(passed, 0, "nothing that was cut short passes");

    t.data = NULL;
    t.len = 0;
    ok(ngx_mc_control_text_first(&t) == NGX_OK, "an empty file");
    ok(ngx_mc_control_text_next(&t, &item) == NGX_DONE, "has no lines");

    t = summed("ngx_mc_module state 2\nflow a stop\n");
    ok(ngx_mc_control_text_first(&t) == NGX_ERROR, "another version");

    t = summed("something else\n");
    ok(ngx_mc_control_text_first(&t) == NGX_ERROR, "another file");
}


static void
written(void)
{
    u_char     *p, *last, buf[512];
    ngx_str_t   t;

    last = buf + sizeof(buf);

    p = ngx_mc_control_text_begin(buf, last);

    item.kind = NGX_MC_CONTROL_FLOW;
    item.flow = shim_str("a");
    item.value = NGX_MC_CONTROL_START;
    p = ngx_mc_control_text_line(p, last, &item);

    item.kind = NGX_MC_CONTROL_OUTPUT;
    item.name = shim_str("cdn");
    item.pipeline = NGX_MC_BACKUP;
    item.value = NGX_MC_CONTROL_STOP;
    p = ngx_mc_control_text_line(p, last, &item);

    item.kind = NGX_MC_CONTROL_SOURCE;
    item.value = NGX_MC_CHOICE_BACKUP;
    p = ngx_mc_control_text_line(p, last, &item);

    p = ngx_mc_control_text_end(buf, p, last);

    t.data = buf;
    t.len = p - buf;

    ok(ngx_mc_control_text_first(&t) == NGX_OK, "what is written is read");
    is(t, "flow a start\noutput a cdn backup stop\nsource a backup\n",
           "as it was meant");

    /* room for the longest line */

    {
        static u_char  name[NGX_MC_NAME_LEN];

        memset(name, 'x', sizeof(name));

        item.kind = NGX_MC_CONTROL_OUTPUT;
        item.flow.data = name;
        item.flow.len = sizeof(name);
        item.name = item.flow;
        item.pipeline = NGX_MC_PRIMARY;
        item.value = NGX_MC_CONTROL_START;

        p = ngx_mc_control_text_line(buf, last, &item);
        ok(p - buf <= NGX_MC_CONTROL_LINE, "the longest line fits");

        p = ngx_mc_control_text_begin(buf, last);
        p = ngx_mc_control_text_end(buf, p, last);
        ok(p - buf <= NGX_MC_CONTROL_TEXT_MIN, "and what is around");

        p = ngx_mc_control_text_begin(buf, buf + 200);
        p = ngx_mc_control_text_line(p, buf + 200, &item);
        p = ngx_mc_control_text_line(p, buf + 200, &item);
        p = ngx_mc_control_text_end(buf, p, buf + 200);

        t.data = buf;
        t.len = p - buf;
        ok(p <= buf + 200 && ngx_mc_control_text_first(&t) == NGX_ERROR,
           "what does not fit is no state");
    }
}


int
main(void)
{
    lines();
    sums();
    written();

    free(copy);

    return shim_done();
}
