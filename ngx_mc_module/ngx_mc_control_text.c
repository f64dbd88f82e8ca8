
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_control.h>


/*
 * The state file:
 *
 *     ngx_mc_module state 1
 *     flow studio-a stop
 *     output studio-a cdn primary stop
 *     source studio-b backup
 *     sum 0123456789abcdef
 *
 * Names have neither spaces nor anything to be escaped.  It is written in
 * place, as workers may not create files where it lies, so it may be found
 * torn: the sum is over all that stands before it.
 */


#define NGX_MC_CONTROL_HEAD   "ngx_mc_module state 1\n"
#define NGX_MC_CONTROL_SUM    "sum "
#define NGX_MC_CONTROL_TAIL   (sizeof("sum 0123456789abcdef\n") - 1)

/* "output", FLOW, OUTPUT, PIPELINE, "stop" */
#define NGX_MC_CONTROL_WORDS  5


static ngx_uint_t ngx_mc_control_word(ngx_str_t *word, ngx_str_t *names,
    ngx_uint_t n);


static ngx_str_t  ngx_mc_control_kinds[] = {
    ngx_string("flow"),
    ngx_string("output"),
    ngx_string("source")
};

/* by NGX_MC_CONTROL_* */

static ngx_str_t  ngx_mc_control_values[] = {
    ngx_string("none"),
    ngx_string("start"),
    ngx_string("stop")
};

/* by NGX_MC_CHOICE_*, and from the second on by NGX_MC_PRIMARY, _BACKUP */

static ngx_str_t  ngx_mc_control_choices[] = {
    ngx_string("auto"),
    ngx_string("primary"),
    ngx_string("backup")
};


ngx_int_t
ngx_mc_control_text_first(ngx_str_t *text)
{
    size_t   len;
    u_char  *p, sum[NGX_MC_CONTROL_TAIL + 1];

    if (text->len == 0) {
        return NGX_OK;
    }

    len = sizeof(NGX_MC_CONTROL_HEAD) - 1;

    if (text->len < len + NGX_MC_CONTROL_TAIL
        || ngx_memcmp(text->data, NGX_MC_CONTROL_HEAD, len) != 0)
    {
        return NGX_ERROR;
    }

    p = text->data + text->len - NGX_MC_CONTROL_TAIL;

    ngx_sprintf(sum, NGX_MC_CONTROL_SUM "%016xL\n",
                ngx_mc_hash(text->data, p - text->data));

    if (ngx_memcmp(p, sum, NGX_MC_CONTROL_TAIL) != 0) {
        return NGX_ERROR;
    }

    text->data += len;
    text->len = p - text->data;

    return NGX_OK;
}


ngx_int_t
ngx_mc_control_text_next(ngx_str_t *text, ngx_mc_control_item_t *item)
{
    u_char      *p, *last;
    ngx_str_t    s[NGX_MC_CONTROL_WORDS];
    ngx_uint_t   n, i;

    if (text->len == 0) {
        return NGX_DONE;
    }

    p = text->data;

    last = ngx_strlchr(p, p + text->len, '\n');
    if (last == NULL) {
        return NGX_ERROR;
    }

    text->len -= last + 1 - p;
    text->data = last + 1;

    for (n = 0; n < NGX_MC_CONTROL_WORDS; p++) {

        s[n].data = p;

        while (p < last && *p != ' ') {
            p++;
        }

        s[n].len = p - s[n].data;
        n++;

        if (p == last) {
            break;
        }
    }

    ngx_memzero(item, sizeof(ngx_mc_control_item_t));

    i = ngx_mc_control_word(&s[0], ngx_mc_control_kinds, 3);

    if (s[n - 1].data + s[n - 1].len != last
        || i == 3
        || n != (i == NGX_MC_CONTROL_OUTPUT ? 5 : 3))
    {
        return NGX_ERROR;
    }

    item->kind = i;
    item->flow = s[1];

    if (ngx_mc_def_check_name(&item->flow) != NGX_OK) {
        return NGX_ERROR;
    }

    if (item->kind == NGX_MC_CONTROL_SOURCE) {
        item->value = ngx_mc_control_word(&s[2], ngx_mc_control_choices, 3);

        return (item->value == NGX_MC_CHOICE_AUTO || item->value == 3)
               ? NGX_ERROR : NGX_OK;
    }

    if (item->kind == NGX_MC_CONTROL_OUTPUT) {
        item->name = s[2];
        item->pipeline = ngx_mc_control_word(&s[3], ngx_mc_control_choices + 1,
                                             2);

        if (ngx_mc_def_check_name(&item->name) != NGX_OK
            || item->pipeline == 2)
        {
            return NGX_ERROR;
        }
    }

    item->value = ngx_mc_control_word(&s[n - 1], ngx_mc_control_values, 3);

    return (item->value == NGX_MC_CONTROL_NONE || item->value == 3)
           ? NGX_ERROR : NGX_OK;
}


u_char *
ngx_mc_control_text_begin(u_char *p, u_char *last)
{
    return ngx_slprintf(p, last, NGX_MC_CONTROL_HEAD);
}


u_char *
ngx_mc_control_text_line(u_char *p, u_char *last, ngx_mc_control_item_t *item)
{
    ngx_str_t  *value;

    value = (item->kind == NGX_MC_CONTROL_SOURCE) ? ngx_mc_control_choices
                                                  : ngx_mc_control_values;

    p = ngx_slprintf(p, last, "%V %V ", &ngx_mc_control_kinds[item->kind],
                     &item->flow);

    if (item->kind == NGX_MC_CONTROL_OUTPUT) {
        p = ngx_slprintf(p, last, "%V %V ", &item->name,
                         &ngx_mc_control_choices[1 + item->pipeline]);
    }

    return ngx_slprintf(p, last, "%V\n", &value[item->value]);
}


u_char *
ngx_mc_control_text_end(u_char *start, u_char *p, u_char *last)
{
    return ngx_slprintf(p, last, NGX_MC_CONTROL_SUM "%016xL\n",
                        ngx_mc_hash(start, p - start));
}


/* the index of the word, "n": it is none of these */

static ngx_uint_t
ngx_mc_control_word(ngx_str_t *word, ngx_str_t *names, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (word->len == names[i].len
            && ngx_memcmp(word->data, names[i].data, word->len) == 0)
        {
            break;
        }
    }

    return i;
}
