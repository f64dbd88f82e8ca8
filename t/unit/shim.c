
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "shim.h"


typedef struct shim_block_s  shim_block_t;

struct shim_block_s {
    shim_block_t     *next;
    void             *pad;             /* keeps the data aligned to 16 */
};


typedef struct {
    ngx_pool_t        pool;            /* what tested code sees */
    shim_block_t     *blocks;
} shim_pool_t;


static u_char *shim_number(u_char *buf, u_char *last, uint64_t n,
    unsigned negative, unsigned hex, char pad, unsigned width);
static void shim_append(const char *text, size_t len);
static ngx_int_t shim_digits(u_char *line, size_t n, uint64_t max,
    uint64_t *value);


#define SHIM_LOG_SIZE  (1024 * 1024)

char                   shim_logged[SHIM_LOG_SIZE];
static size_t          shim_logged_len;

static unsigned        shim_fail;
static unsigned        shim_tests;
static unsigned        shim_failed;

ngx_log_t              shim_log = { .log_level = NGX_LOG_INFO };
ngx_core_conf_t        shim_core_conf;
ngx_module_t           ngx_core_module;

static void           *shim_ctx[1] = { &shim_core_conf };

ngx_cycle_t            shim_cycle = {
    .conf_ctx = (void ****) shim_ctx,
    .log = &shim_log,
    .conf_prefix = ngx_string("/"),
    .prefix = ngx_string("/"),
};

volatile ngx_cycle_t  *ngx_cycle = &shim_cycle;
ngx_uint_t             ngx_pagesize = 4096;
ngx_uint_t             ngx_test_config;
ngx_uint_t             ngx_process;
ngx_pid_t              ngx_pid;

volatile ngx_str_t     ngx_cached_err_log_time;
volatile ngx_str_t     ngx_cached_http_log_iso8601;
volatile ngx_time_t   *ngx_cached_time;
volatile ngx_msec_t    ngx_current_msec;


void
shim_fail_alloc(unsigned n)
{
    shim_fail = n;
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    if (shim_fail && --shim_fail == 0) {
        return NULL;
    }

    return malloc(size);
}


void *
ngx_memalign(size_t alignment, size_t size, ngx_log_t *log)
{
    void  *p;

    if (shim_fail && --shim_fail == 0) {
        return NULL;
    }

    return posix_memalign(&p, alignment, size) ? NULL : p;
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    void  *p;

    p = ngx_alloc(size, log);

    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    shim_pool_t  *sp;

    sp = ngx_calloc(sizeof(shim_pool_t), log);

    if (sp == NULL) {
        return NULL;
    }

    sp->pool.log = log;

    return &sp->pool;
}


void
ngx_reset_pool(ngx_pool_t *pool)
{
    shim_pool_t   *sp = (shim_pool_t *) pool;
    shim_block_t  *b, *next;

    for (b = sp->blocks; b; b = next) {
        next = b->next;
        free(b);
    }

    sp->blocks = NULL;
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_pool_cleanup_t  *c;

    for (c = pool->cleanup; c; c = c->next) {
        if (c->handler) {
            c->handler(c->data);
        }
    }

    ngx_reset_pool(pool);
    free(pool);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    shim_pool_t   *sp = (shim_pool_t *) pool;
    shim_block_t  *b;

    b = ngx_alloc(sizeof(shim_block_t) + size, pool->log);

    if (b == NULL) {
        return NULL;
    }

    b->next = sp->blocks;
    sp->blocks = b;

    return b + 1;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_palloc(pool, size);

    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    return NGX_DECLINED;
}


ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t  *c;

    c = ngx_pcalloc(pool, sizeof(ngx_pool_cleanup_t) + size);

    if (c) {
        c->data = size ? c + 1 : NULL;
        c->next = pool->cleanup;
        pool->cleanup = c;
    }

    return c;
}


ngx_array_t *
ngx_array_create(ngx_pool_t *p, ngx_uint_t n, size_t size)
{
    ngx_array_t  *a;

    a = ngx_palloc(p, sizeof(ngx_array_t));

    if (a == NULL || ngx_array_init(a, p, n, size) != NGX_OK) {
        return NULL;
    }

    return a;
}


void *
ngx_array_push(ngx_array_t *a)
{
    return ngx_array_push_n(a, 1);
}


void *
ngx_array_push_n(ngx_array_t *a, ngx_uint_t n)
{
    void        *elts;
    ngx_uint_t   nalloc;

    if (a->nelts + n > a->nalloc) {

        nalloc = 2 * (a->nelts + n);

        elts = ngx_palloc(a->pool, nalloc * a->size);
        if (elts == NULL) {
            return NULL;
        }

        if (a->nelts) {
            ngx_memcpy(elts, a->elts, a->nelts * a->size);
        }

        a->elts = elts;
        a->nalloc = nalloc;
    }

    elts = (u_char *) a->elts + a->size * a->nelts;
    a->nelts += n;

    return elts;
}


/* every conversion that nginx documents, but for %f's rounding */

u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    int64_t      i64;
    uint64_t     u64;
    double       f;
    size_t       len;
    u_char      *p;
    char         pad, tmp[64];
    ngx_str_t   *v;
    unsigned     sign, hex, width, frac, max, ptr;

    while (*fmt && buf < last) {

        if (*fmt != '%') {
            *buf++ = *fmt++;
            continue;
        }

        fmt++;

        pad = (*fmt == '0') ? '0' : ' ';
        sign = 1;
        hex = 0;
        max = 0;
        width = 0;
        frac = 0;
        ptr = 0;
        len = (size_t) -1;
        u64 = 0;

        while (*fmt >= '0' && *fmt <= '9') {
            width = width * 10 + (*fmt++ - '0');
        }

        for ( ;; ) {
            switch (*fmt) {

            case 'u':
                sign = 0;
                fmt++;
                continue;

            case 'm':
                max = 1;
                fmt++;
                continue;

            case 'x':
                hex = 1;
                sign = 0;
                fmt++;
                continue;

            case 'X':
                hex = 2;
                sign = 0;
                fmt++;
                continue;

            case '.':
                fmt++;
                while (*fmt >= '0' && *fmt <= '9') {
                    frac = frac * 10 + (*fmt++ - '0');
                }
                continue;

            case '*':
                len = va_arg(args, size_t);
                fmt++;
                continue;
            }

            break;
        }

        i64 = 0;

        switch (*fmt++) {

        case 'V':
            v = va_arg(args, ngx_str_t *);
            len = ngx_min((size_t) (last - buf), v->len);
            if (len) {
                buf = ngx_cpymem(buf, v->data, len);
            }
            continue;

        case 's':
            p = va_arg(args, u_char *);
            if (len == (size_t) -1) {
                len = strlen((char *) p);
            }
            len = ngx_min((size_t) (last - buf), len);
            if (len) {
                buf = ngx_cpymem(buf, p, len);
            }
            continue;

        case 'c':
            *buf++ = (u_char) va_arg(args, int);
            continue;

        case 'Z':
            *buf++ = '\0';
            continue;

        case 'N':
            *buf++ = '\n';
            continue;

        case '%':
            *buf++ = '%';
            continue;

        case 'f':
            f = va_arg(args, double);
            len = (size_t) snprintf(tmp, sizeof(tmp), "%.*f", (int) frac, f);
            len = ngx_min((size_t) (last - buf), len);
            buf = ngx_cpymem(buf, tmp, len);
            continue;

        case 'p':
            u64 = (uintptr_t) va_arg(args, void *);
            hex = 2;
            ptr = 1;
            break;

        case 'M':
            u64 = va_arg(args, ngx_msec_t);
            if ((ngx_msec_int_t) u64 == -1) {
                i64 = -1;
                sign = 1;
                break;
            }
            sign = 0;
            break;

        case 'O':
            i64 = va_arg(args, off_t);
            break;

        case 'P':
            i64 = va_arg(args, ngx_pid_t);
            break;

        case 'T':
            i64 = va_arg(args, time_t);
            break;

        case 'z':
            i64 = va_arg(args, ssize_t);
            u64 = (size_t) i64;
            break;

        case 'i':
            i64 = va_arg(args, ngx_int_t);
            u64 = (ngx_uint_t) i64;
            if (max) {
                width = NGX_INT_T_LEN;
            }
            break;

        case 'd':
            i64 = va_arg(args, int);
            u64 = (unsigned) i64;
            break;

        case 'l':
            i64 = va_arg(args, long);
            u64 = (unsigned long) i64;
            break;

        case 'D':
            i64 = va_arg(args, int32_t);
            u64 = (uint32_t) i64;
            break;

        case 'L':
            i64 = va_arg(args, int64_t);
            u64 = (uint64_t) i64;
            break;

        case 'A':
            i64 = va_arg(args, ngx_atomic_int_t);
            u64 = (uint64_t) i64;
            break;

        default:
            abort();
        }

        if (sign && !ptr) {
            u64 = (i64 < 0) ? (uint64_t) 0 - (uint64_t) i64 : (uint64_t) i64;
            buf = shim_number(buf, last, u64, i64 < 0, 0, pad, width);

        } else {
            buf = shim_number(buf, last, u64, 0, hex, pad, width);
        }
    }

    return buf;
}


static u_char *
shim_number(u_char *buf, u_char *last, uint64_t n, unsigned negative,
    unsigned hex, char pad, unsigned width)
{
    char      tmp[32];
    unsigned  len;

    len = (unsigned) snprintf(tmp, sizeof(tmp),
                              (hex == 0) ? "%" PRIu64
                              : (hex == 1) ? "%" PRIx64 : "%" PRIX64, n);

    if (negative && buf < last) {
        *buf++ = '-';
    }

    while (width > len && buf < last) {
        *buf++ = (u_char) pad;
        width--;
    }

    len = (unsigned) ngx_min((size_t) (last - buf), (size_t) len);

    return ngx_cpymem(buf, tmp, len);
}


u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, (u_char *) UINTPTR_MAX, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + max, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_slprintf(u_char *buf, u_char *last, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    if (n == 0) {
        return dst;
    }

    while (--n && *src) {
        *dst++ = *src++;
    }

    *dst = '\0';

    return dst;
}


u_char *
ngx_pstrdup(ngx_pool_t *pool, ngx_str_t *src)
{
    u_char  *dst;

    dst = ngx_pnalloc(pool, src->len);

    if (dst && src->len) {
        ngx_memcpy(dst, src->data, src->len);
    }

    return dst;
}


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    while (n--) {
        *dst++ = ngx_tolower(*src);
        src++;
    }
}


ngx_int_t
ngx_strcasecmp(u_char *s1, u_char *s2)
{
    return strcasecmp((char *) s1, (char *) s2);
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


ngx_int_t
ngx_memn2cmp(u_char *s1, u_char *s2, size_t n1, size_t n2)
{
    int     rc;
    size_t  n;

    n = ngx_min(n1, n2);
    rc = n ? memcmp(s1, s2, n) : 0;

    return rc ? rc : (ngx_int_t) n1 - (ngx_int_t) n2;
}


static ngx_int_t
shim_digits(u_char *line, size_t n, uint64_t max, uint64_t *value)
{
    uint64_t  v;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (v = 0; n; n--, line++) {

        if (*line < '0' || *line > '9'
            || v > (max - (*line - '0')) / 10)
        {
            return NGX_ERROR;
        }

        v = v * 10 + (*line - '0');
    }

    *value = v;

    return NGX_OK;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    uint64_t  v;

    return shim_digits(line, n, NGX_MAX_INT_T_VALUE, &v) == NGX_OK
           ? (ngx_int_t) v : NGX_ERROR;
}


off_t
ngx_atoof(u_char *line, size_t n)
{
    uint64_t  v;

    return shim_digits(line, n, NGX_MAX_OFF_T_VALUE, &v) == NGX_OK
           ? (off_t) v : NGX_ERROR;
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    ngx_int_t  v;

    if (n == 0 || n > 15) {
        return NGX_ERROR;
    }

    for (v = 0; n; n--, line++) {
        if (!isxdigit(*line)) {
            return NGX_ERROR;
        }

        v = v * 16 + (isdigit(*line) ? *line - '0'
                                     : ngx_tolower(*line) - 'a' + 10);
    }

    return v;
}


/* units from years to milliseconds, each at most once, greater ones first */

ngx_int_t
ngx_parse_time(ngx_str_t *line, ngx_uint_t is_sec)
{
    size_t         i, unit, next;
    uint64_t       n, total;
    unsigned       digits;
    static struct {
        const char  *name;
        uint64_t     ms;
    } units[] = {
        { "y", 31536000000 }, { "M", 2592000000 }, { "w", 604800000 },
        { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
        { "ms", 1 }
    };

    total = 0;
    next = 0;

    if (line->len == 0) {
        return NGX_ERROR;
    }

    for (i = 0; i < line->len; /* void */ ) {

        n = 0;

        for (digits = 0; i < line->len && isdigit(line->data[i]); i++) {
            n = n * 10 + (line->data[i] - '0');

            if (++digits > 12) {
                return NGX_ERROR;
            }
        }

        if (digits == 0) {
            return NGX_ERROR;
        }

        if (i == line->len) {
            unit = 6;

        } else {

            if (line->len - i >= 2 && memcmp(line->data + i, "ms", 2) == 0) {
                unit = 7;
                i += 2;

            } else {
                for (unit = 0; unit < 7; unit++) {
                    if (line->data[i] == (u_char) units[unit].name[0]) {
                        break;
                    }
                }

                if (unit == 7) {
                    return NGX_ERROR;
                }

                i++;
            }

            while (i < line->len && line->data[i] == ' ') {
                i++;
            }
        }

        if (unit < next || (unit == 7 && is_sec)) {
            return NGX_ERROR;
        }

        next = unit + 1;

        if (n > (uint64_t) NGX_MAX_INT_T_VALUE / units[unit].ms) {
            return NGX_ERROR;
        }

        total += n * units[unit].ms;

        if (total > (uint64_t) NGX_MAX_INT_T_VALUE) {
            return NGX_ERROR;
        }
    }

    return (ngx_int_t) (is_sec ? total / 1000 : total);
}


/* as nginx's: 0xffffffff is invalid, 0xfffffffe is cut short */

uint32_t
ngx_utf8_decode(u_char **p, size_t n)
{
    size_t    len;
    uint32_t  u, least;

    u = **p;

    if (u >= 0xf0) {
        u &= 0x07;
        least = 0xffff;
        len = 3;

    } else if (u >= 0xe0) {
        u &= 0x0f;
        least = 0x7ff;
        len = 2;

    } else if (u >= 0xc2) {
        u &= 0x1f;
        least = 0x7f;
        len = 1;

    } else {
        (*p)++;
        return 0xffffffff;
    }

    if (n - 1 < len) {
        return 0xfffffffe;
    }

    (*p)++;

    while (len--) {

        if ((**p & 0xc0) != 0x80) {
            return 0xffffffff;
        }

        u = (u << 6) | (**p & 0x3f);
        (*p)++;
    }

    return (u > least) ? u : 0xffffffff;
}


in_addr_t
ngx_inet_addr(u_char *text, size_t len)
{
    char        buf[INET_ADDRSTRLEN];
    struct in_addr  in;

    if (len >= sizeof(buf)) {
        return INADDR_NONE;
    }

    memcpy(buf, text, len);
    buf[len] = '\0';

    return inet_pton(AF_INET, buf, &in) == 1 ? in.s_addr : INADDR_NONE;
}


ngx_int_t
ngx_inet6_addr(u_char *p, size_t len, u_char *addr)
{
    char             buf[INET6_ADDRSTRLEN];
    struct in6_addr  in6;

    if (len >= sizeof(buf)) {
        return NGX_ERROR;
    }

    memcpy(buf, p, len);
    buf[len] = '\0';

    if (inet_pton(AF_INET6, buf, &in6) != 1) {
        return NGX_ERROR;
    }

    memcpy(addr, &in6, sizeof(in6));

    return NGX_OK;
}


size_t
ngx_inet_ntop(int family, void *addr, u_char *text, size_t len)
{
    char  buf[INET6_ADDRSTRLEN];

    if (inet_ntop(family, addr, buf, sizeof(buf)) == NULL) {
        return 0;
    }

    len = ngx_min(len, strlen(buf));
    memcpy(text, buf, len);

    return len;
}


size_t
ngx_inet6_ntop(u_char *p, u_char *text, size_t len)
{
    return ngx_inet_ntop(AF_INET6, p, text, len);
}


ngx_int_t
ngx_ptocidr(ngx_str_t *text, ngx_cidr_t *cidr)
{
    u_char    *p, *slash, *addr, *mask;
    size_t     len, size, i, bits;
    ngx_int_t  shift, rc;

    slash = ngx_strlchr(text->data, text->data + text->len, '/');
    len = slash ? (size_t) (slash - text->data) : text->len;

    memset(cidr, 0, sizeof(ngx_cidr_t));

    cidr->u.in.addr = ngx_inet_addr(text->data, len);

    if (cidr->u.in.addr != INADDR_NONE
        || (len == 15 && memcmp(text->data, "255.255.255.255", 15) == 0))
    {
        cidr->family = AF_INET;
        addr = (u_char *) &cidr->u.in.addr;
        mask = (u_char *) &cidr->u.in.mask;
        size = 4;

    } else if (ngx_inet6_addr(text->data, len, cidr->u.in6.addr.s6_addr)
               == NGX_OK)
    {
        cidr->family = AF_INET6;
        addr = cidr->u.in6.addr.s6_addr;
        mask = cidr->u.in6.mask.s6_addr;
        size = 16;

    } else {
        return NGX_ERROR;
    }

    bits = size * 8;

    if (slash) {
        p = slash + 1;
        shift = ngx_atoi(p, (size_t) (text->data + text->len - p));

        if (shift == NGX_ERROR || shift > (ngx_int_t) bits) {
            return NGX_ERROR;
        }

        bits = (size_t) shift;
    }

    rc = NGX_OK;

    for (i = 0; i < size; i++, bits -= ngx_min(bits, 8)) {
        mask[i] = (bits >= 8) ? 0xff : (u_char) (0xff00 >> bits);

        if (addr[i] & ~mask[i]) {
            addr[i] &= mask[i];
            rc = NGX_DONE;
        }
    }

    return rc;
}


ngx_int_t
ngx_conf_full_name(ngx_cycle_t *cycle, ngx_str_t *name, ngx_uint_t conf_prefix)
{
    u_char     *p;
    ngx_str_t  *prefix;

    prefix = conf_prefix ? &cycle->conf_prefix : &cycle->prefix;

    if (name->len && name->data[0] == '/') {
        p = ngx_pnalloc(cycle->pool, name->len + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        *ngx_cpymem(p, name->data, name->len) = '\0';
        name->data = p;

        return NGX_OK;
    }

    p = ngx_pnalloc(cycle->pool, prefix->len + name->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(ngx_cpymem(p, prefix->data, prefix->len), name->data,
                name->len) = '\0';

    name->data = p;
    name->len += prefix->len;

    return NGX_OK;
}


u_char *
ngx_strerror(ngx_err_t err, u_char *errstr, size_t size)
{
    return ngx_snprintf(errstr, size, "%s", strerror(err));
}


static void
shim_append(const char *text, size_t len)
{
    if (len > SHIM_LOG_SIZE - 1 - shim_logged_len) {
        len = SHIM_LOG_SIZE - 1 - shim_logged_len;
    }

    memcpy(shim_logged + shim_logged_len, text, len);
    shim_logged_len += len;
    shim_logged[shim_logged_len] = '\0';
}


void
shim_log_reset(void)
{
    shim_logged_len = 0;
    shim_logged[0] = '\0';
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    u_char              buf[NGX_MAX_ERROR_STR], *p, *last;
    va_list             args;
    static const char  *levels[] = {
        "stderr", "emerg", "alert", "crit", "error", "warn", "notice",
        "info", "debug"
    };

    last = buf + sizeof(buf) - 1;

    p = ngx_slprintf(buf, last, "[%s] ", levels[level]);

    va_start(args, fmt);
    p = ngx_vslprintf(p, last, fmt, args);
    va_end(args);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: %s)", err, strerror(err));
    }

    *p++ = '\n';

    shim_append((char *) buf, (size_t) (p - buf));
}


void
ngx_conf_log_error(ngx_uint_t level, ngx_conf_t *cf, ngx_err_t err,
    const char *fmt, ...)
{
    u_char   buf[NGX_MAX_CONF_ERRSTR], *p;
    va_list  args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args);
    va_end(args);

    if (cf->conf_file == NULL) {
        ngx_log_error(level, cf->log, err, "%*s", (size_t) (p - buf), buf);
        return;
    }

    ngx_log_error(level, cf->log, err, "%*s in %s:%ui", (size_t) (p - buf),
                  buf, cf->conf_file->file.name.data, cf->conf_file->line);
}


ngx_conf_t *
shim_conf(ngx_pool_t *pool, const char *file, unsigned line)
{
    ngx_conf_t  *cf;

    cf = ngx_pcalloc(pool, sizeof(ngx_conf_t));
    cf->conf_file = ngx_pcalloc(pool, sizeof(ngx_conf_file_t));

    cf->pool = pool;
    cf->temp_pool = pool;
    cf->log = &shim_log;
    cf->cycle = &shim_cycle;
    cf->conf_file->file.name = shim_str(file);
    cf->conf_file->line = line;

    shim_cycle.pool = pool;

    return cf;
}


ngx_str_t
shim_str(const char *s)
{
    ngx_str_t  str;

    str.data = (u_char *) s;
    str.len = s ? strlen(s) : 0;

    return str;
}


void
shim_ok(int ok, const char *file, int line, const char *fmt, ...)
{
    va_list  args;

    shim_tests++;

    printf("%sok %u - ", ok ? "" : "not ", shim_tests);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");

    if (!ok) {
        shim_failed++;
        printf("#   failed at %s line %d\n", file, line);
    }

    fflush(stdout);
}


void
shim_is(const char *got, size_t len, const char *expected, const char *file,
    int line, const char *fmt, ...)
{
    int      same;
    char     name[256];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);

    if (expected == NULL) {
        same = (got == NULL);

    } else {
        same = (len == strlen(expected)
                && (len == 0 || memcmp(got, expected, len) == 0));
    }

    shim_ok(same, file, line, "%s", name);

    if (!same) {
        printf("#   got:      \"%.*s\"\n#   expected: \"%s\"\n",
               (int) len, got ? got : "", expected ? expected : "(null)");
        fflush(stdout);
    }
}


void
shim_num(long long got, long long expected, const char *file, int line,
    const char *fmt, ...)
{
    char     name[256];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);

    shim_ok(got == expected, file, line, "%s", name);

    if (got != expected) {
        printf("#   got:      %lld\n#   expected: %lld\n", got, expected);
        fflush(stdout);
    }
}


int
shim_done(void)
{
    printf("1..%u\n", shim_tests);

    if (shim_failed) {
        printf("# %u of %u failed\n", shim_failed, shim_tests);
        return 1;
    }

    return 0;
}
