
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_CONTROL_H_INCLUDED_
#define _NGX_MC_CONTROL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_registry.h>


/*
 * What an operator asks for at run time: an override, stored in the records
 * of shared memory and in the state file, and only while it differs from the
 * configuration's own setting.  So "stop" always stands against mc_state on,
 * or an output without "off", and "start" against the opposite: the setting
 * that an override was made against need not be stored, and a configuration
 * that comes to say the same ends it.
 */


/* "ngx_mc_module state 1", and a "sum" of 16 digits */
#define NGX_MC_CONTROL_TEXT_MIN  64

/* "output FLOW OUTPUT primary start" */
#define NGX_MC_CONTROL_LINE      (2 * NGX_MC_NAME_LEN + 32)


typedef enum {
    NGX_MC_CONTROL_FLOW = 0,
    NGX_MC_CONTROL_OUTPUT,
    NGX_MC_CONTROL_SOURCE
} ngx_mc_control_kind_e;


typedef struct {
    ngx_mc_control_kind_e   kind;
    ngx_str_t               flow;
    ngx_str_t               name;        /* outputs only, and below */
    ngx_uint_t              pipeline;    /* in the state file only: a request
                                            is for both destinations */
    ngx_uint_t              value;       /* NGX_MC_CONTROL_START, _STOP;
                                            _SOURCE: NGX_MC_CHOICE_* */
} ngx_mc_control_item_t;


/* whether it runs, that is "off" in the configuration or not */
#define ngx_mc_control_runs(control, off)                                    \
    ((control) == NGX_MC_CONTROL_START                                       \
     || ((control) != NGX_MC_CONTROL_STOP && !(off)))

/* whether it is an operator's word that says so */
#define ngx_mc_control_differs(control, off)                                 \
    (ngx_mc_control_runs(control, off) != !(off))


/*
 * The master, in init_module: opens the state file, and makes one if some
 * location has control=on.  What fails is logged and tried again at the next
 * reload.
 */
void ngx_mc_control_init_module(ngx_cycle_t *cycle, ngx_uint_t on);

/*
 * The master, once reg->current is the new generation, made from "flows": the
 * first one takes over what the state file has, each ends the overrides that
 * have become the configuration's own word or have lost their flow, output or
 * source.  Cannot fail.
 */
void ngx_mc_control_publish(ngx_mc_registry_t *reg, ngx_array_t *flows,
    ngx_log_t *log);

/* a worker of the current generation, when something was changed: for those
   whose file was replaced since they were forked */
void ngx_mc_control_changed(void);

/* a worker that is about to run flows which another master's workers had */
void ngx_mc_control_adopt(ngx_mc_generation_t *gen);

/* a worker, in exit_process */
void ngx_mc_control_exit_process(void);

/*
 * Any worker: NGX_OK, NGX_DECLINED: there is no such flow, output or source;
 * NGX_BUSY: the flow has no outputs; NGX_ERROR: no memory.  Returns before
 * the owner of the flow has seen it: "number" is for the next function.
 */
ngx_int_t ngx_mc_control_request(ngx_mc_control_item_t *item,
    ngx_atomic_uint_t *number, ngx_log_t *log);

/* whether the owner has applied all up to that number; also if there is
   neither an owner nor such a flow */
ngx_uint_t ngx_mc_control_applied(ngx_str_t *flow, ngx_atomic_uint_t number);


/*
 * ngx_mc_control_text.c: the state file.  first() checks version and sum and
 * leaves the lines between in "text", next() takes one line off: NGX_OK,
 * NGX_DONE: there are no more, or NGX_ERROR.  Strings point into the text.
 * An empty file is as good as one without lines.
 *
 * begin(), line() and end() write; what does not fit is left out, and a text
 * that was cut short does not pass first().
 */
ngx_int_t ngx_mc_control_text_first(ngx_str_t *text);
ngx_int_t ngx_mc_control_text_next(ngx_str_t *text,
    ngx_mc_control_item_t *item);

u_char *ngx_mc_control_text_begin(u_char *p, u_char *last);
u_char *ngx_mc_control_text_line(u_char *p, u_char *last,
    ngx_mc_control_item_t *item);
u_char *ngx_mc_control_text_end(u_char *start, u_char *p, u_char *last);


#endif /* _NGX_MC_CONTROL_H_INCLUDED_ */
