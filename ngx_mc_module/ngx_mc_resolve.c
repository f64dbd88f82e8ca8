
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc.h>
#include <ngx_mc_conf.h>
#include <ngx_mc_resolve.h>


#define NGX_MC_RESOLV_CONF      "/etc/resolv.conf"
#define NGX_MC_HOSTS            "/etc/hosts"
#define NGX_MC_RESOLVE_MAX      (64 * 1024)
#define NGX_MC_RESOLVE_TIMEOUT  5000


static ngx_int_t ngx_mc_resolve_set(ngx_mc_endpoint_t *ep,
    struct sockaddr *sa, socklen_t socklen);
static ngx_int_t ngx_mc_resolve_literal(ngx_mc_endpoint_t *ep,
    ngx_str_t *host);
static ngx_int_t ngx_mc_resolve_hosts(ngx_mc_endpoint_t *ep);
static void ngx_mc_resolve_handler(ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_mc_resolve_read(char *name, ngx_str_t *text);
static ngx_uint_t ngx_mc_resolve_word(ngx_str_t *line, ngx_str_t *word);
static ngx_uint_t ngx_mc_resolve_line(ngx_str_t *text, ngx_str_t *line);


/* one page of text at a time, in the nginx thread only */
static u_char  ngx_mc_resolve_text[NGX_MC_RESOLVE_MAX];


/*
 * getaddrinfo() blocks, and a thread that is stuck in it would delay the exit
 * of a worker: without mc_resolver, the system's name servers are asked by
 * nginx's own resolver, after the system's table of hosts.
 */

ngx_int_t
ngx_mc_resolve_conf(ngx_conf_t *cf)
{
    ngx_uint_t           n;
    ngx_str_t            text, line, word, names[4];
    ngx_addr_t           addr;
    ngx_mc_main_conf_t  *mcf;

    mcf = ngx_mc_main_conf(cf->cycle);

    if (mcf->resolver) {
        return NGX_OK;
    }

    n = 0;

    if (ngx_mc_resolve_read(NGX_MC_RESOLV_CONF, &text) == NGX_OK) {

        while (n < 3 && ngx_mc_resolve_line(&text, &line)) {

            if (!ngx_mc_resolve_word(&line, &word)
                || word.len != 10
                || ngx_strncmp(word.data, "nameserver", 10) != 0
                || !ngx_mc_resolve_word(&line, &word)
                || ngx_parse_addr(cf->pool, &addr, word.data, word.len)
                   != NGX_OK)
            {
                continue;
            }

            names[n].data = ngx_pnalloc(cf->pool, word.len + 2);
            if (names[n].data == NULL) {
                return NGX_ERROR;
            }

            names[n].len = ngx_sprintf(names[n].data,
                                       addr.sockaddr->sa_family == AF_INET6
                                       ? "[%V]" : "%V", &word)
                           - names[n].data;
            n++;
        }
    }

    if (n == 0) {
        /* as resolv.conf(5) has it */
        ngx_str_set(&names[n], "127.0.0.1");
        n++;
    }

    mcf->hosts = 1;
    mcf->resolver = ngx_resolver_create(cf, names, n);

    return mcf->resolver ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_mc_resolve(ngx_mc_endpoint_t *ep)
{
    ngx_str_t            *host;
    ngx_resolver_ctx_t   *ctx, temp;
    ngx_mc_main_conf_t   *mcf;
    struct sockaddr_in    sin;

    host = &ep->def->host;

    if (host->len == 0) {
        ngx_memzero(&sin, sizeof(struct sockaddr_in));
        sin.sin_family = AF_INET;
        return ngx_mc_resolve_set(ep, (struct sockaddr *) &sin, sizeof(sin));
    }

    if (ngx_mc_resolve_literal(ep, host) == NGX_OK) {
        return NGX_OK;
    }

    mcf = ngx_mc_main_conf(ngx_cycle);

    if (mcf->hosts && ngx_mc_resolve_hosts(ep) == NGX_OK) {
        return NGX_OK;
    }

    ngx_memzero(&temp, sizeof(ngx_resolver_ctx_t));
    temp.name = *host;

    ctx = ngx_resolve_start(mcf->resolver, &temp);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_ERROR;
    }

    ctx->name = *host;
    ctx->handler = ngx_mc_resolve_handler;
    ctx->data = ep;
    ctx->timeout = NGX_MC_RESOLVE_TIMEOUT;
    ctx->cancelable = 1;

    ep->resolving = ctx;

    /* the handler may be called from here */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        ep->resolving = NULL;
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


void
ngx_mc_resolve_cancel(ngx_mc_endpoint_t *ep)
{
    ngx_resolver_ctx_t  *ctx;

    ctx = ep->resolving;

    if (ctx) {
        ep->resolving = NULL;
        ngx_resolve_name_done(ctx);
    }
}


static void
ngx_mc_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    char               *error;
    ngx_uint_t          i;
    ngx_mc_endpoint_t  *ep;

    ep = ctx->data;
    error = NULL;

    if (ctx->state) {
        error = ngx_resolver_strerror(ctx->state);

    } else if (ctx->naddrs == 0) {
        error = "no address";

    } else {
        /* the next attempt takes the next address */
        i = ep->attempts % ctx->naddrs;

        if (ngx_mc_resolve_set(ep, ctx->addrs[i].sockaddr,
                               ctx->addrs[i].socklen)
            != NGX_OK)
        {
            error = "unsupported address";
        }
    }

    ep->resolving = NULL;
    ngx_resolve_name_done(ctx);

    ngx_mc_endpoint_resolved(ep, error);
}


static ngx_int_t
ngx_mc_resolve_set(ngx_mc_endpoint_t *ep, struct sockaddr *sa,
    socklen_t socklen)
{
    if (socklen > (socklen_t) sizeof(ngx_sockaddr_t)) {
        return NGX_ERROR;
    }

    ngx_memcpy(&ep->addr, sa, socklen);

    ep->sockaddr = &ep->addr.sockaddr;
    ep->socklen = socklen;
    ngx_inet_set_port(ep->sockaddr, ep->def->port);

    return NGX_OK;
}


static ngx_int_t
ngx_mc_resolve_literal(ngx_mc_endpoint_t *ep, ngx_str_t *host)
{
    struct sockaddr_in   sin;
    struct sockaddr_in6  sin6;

    ngx_memzero(&sin, sizeof(struct sockaddr_in));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = ngx_inet_addr(host->data, host->len);

    if (sin.sin_addr.s_addr != INADDR_NONE) {
        return ngx_mc_resolve_set(ep, (struct sockaddr *) &sin, sizeof(sin));
    }

    ngx_memzero(&sin6, sizeof(struct sockaddr_in6));
    sin6.sin6_family = AF_INET6;

    if (ngx_inet6_addr(host->data, host->len, sin6.sin6_addr.s6_addr)
        == NGX_OK)
    {
        return ngx_mc_resolve_set(ep, (struct sockaddr *) &sin6,
                                  sizeof(sin6));
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_mc_resolve_hosts(ngx_mc_endpoint_t *ep)
{
    ngx_str_t  text, line, addr, word, *host;

    host = &ep->def->host;

    if (ngx_mc_resolve_read(NGX_MC_HOSTS, &text) != NGX_OK) {
        text.len = 0;
    }

    while (ngx_mc_resolve_line(&text, &line)) {

        if (!ngx_mc_resolve_word(&line, &addr)) {
            continue;
        }

        while (ngx_mc_resolve_word(&line, &word)) {

            if (word.len != host->len
                || ngx_strncasecmp(word.data, host->data, word.len) != 0)
            {
                continue;
            }

            if (ngx_mc_resolve_literal(ep, &addr) == NGX_OK) {
                return NGX_OK;
            }

            break;
        }
    }

    /* RFC 6761, 6.3: it is never a question to name servers */

    ngx_str_set(&word, "localhost");

    if (host->len == word.len
        && ngx_strncasecmp(host->data, word.data, word.len) == 0)
    {
        ngx_str_set(&addr, "127.0.0.1");
        return ngx_mc_resolve_literal(ep, &addr);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_mc_resolve_read(char *name, ngx_str_t *text)
{
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file((u_char *) name, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return NGX_DECLINED;
    }

    n = ngx_read_fd(fd, ngx_mc_resolve_text, NGX_MC_RESOLVE_MAX);

    (void) ngx_close_file(fd);

    if (n <= 0) {
        return NGX_DECLINED;
    }

    text->data = ngx_mc_resolve_text;
    text->len = n;

    return NGX_OK;
}


static ngx_uint_t
ngx_mc_resolve_line(ngx_str_t *text, ngx_str_t *line)
{
    u_char  *p, *last;

    if (text->len == 0) {
        return 0;
    }

    last = text->data + text->len;

    for (p = text->data; p < last && *p != '\n'; p++) { /* void */ }

    line->data = text->data;
    line->len = p - text->data;

    text->data = (p < last) ? p + 1 : p;
    text->len = last - text->data;

    for (p = line->data; p < line->data + line->len; p++) {
        if (*p == '#' || (*p == ';' && p == line->data)) {
            line->len = p - line->data;
            break;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_mc_resolve_word(ngx_str_t *line, ngx_str_t *word)
{
    u_char  *p, *last;

    p = line->data;
    last = p + line->len;

    while (p < last && (*p == ' ' || *p == '\t' || *p == '\r')) {
        p++;
    }

    word->data = p;

    while (p < last && *p != ' ' && *p != '\t' && *p != '\r') {
        p++;
    }

    word->len = p - word->data;
    line->data = p;
    line->len = last - p;

    return word->len != 0;
}
