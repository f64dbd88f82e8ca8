
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _SHIM_H_INCLUDED_
#define _SHIM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The few functions of nginx that the tested sources call, so that they run
 * outside of nginx.  Every allocation from a pool is one malloc(), so that
 * ASan sees each overrun and everything that is used after its pool.
 */


extern ngx_log_t        shim_log;
extern ngx_cycle_t      shim_cycle;
extern ngx_core_conf_t  shim_core_conf;

/* what was logged, "[emerg] text in FILE:LINE\n" each; zero-terminated */
extern char             shim_logged[];

void shim_log_reset(void);

/* fails the n-th allocation from now; 0: none */
void shim_fail_alloc(unsigned n);

/* a configuration as directives see it, at FILE:LINE */
ngx_conf_t *shim_conf(ngx_pool_t *pool, const char *file, unsigned line);

ngx_str_t shim_str(const char *s);

/*
 * Tests print TAP.  A failure is told with its file and line, and the exit
 * code of shim_done() tells that there was one.
 */

void shim_ok(int ok, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void shim_is(const char *got, size_t len, const char *expected,
    const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void shim_num(long long got, long long expected, const char *file, int line,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
int shim_done(void);

#define ok(cond, ...)       shim_ok((cond) ? 1 : 0, __FILE__, __LINE__,       \
                                    __VA_ARGS__)
#define is(str, exp, ...)   shim_is((char *) (str).data, (str).len, exp,      \
                                    __FILE__, __LINE__, __VA_ARGS__)
#define is_c(s, exp, ...)   shim_is((char *) (s), strlen((char *) (s)), exp,  \
                                    __FILE__, __LINE__, __VA_ARGS__)
#define is_num(n, exp, ...) shim_num(n, exp, __FILE__, __LINE__, __VA_ARGS__)


#endif /* _SHIM_H_INCLUDED_ */
