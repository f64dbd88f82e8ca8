
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_rtmp_client.h>


static ngx_int_t ngx_mc_rtmp_tls_trust(ngx_ssl_t *ssl, ngx_str_t *pem);
static void ngx_mc_rtmp_tls_error(u_char *err, size_t size, const char *what,
    unsigned long n);
static void ngx_mc_rtmp_tls_info(const ngx_ssl_conn_t *ssl_conn, int where,
    int ret);
static ngx_uint_t ngx_mc_rtmp_tls_is_address(ngx_str_t *host);


ngx_ssl_t *
ngx_mc_rtmp_tls_create(ngx_mc_endpoint_t *ep, u_char *err, size_t size)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(ep->pool, sizeof(ngx_ssl_t));
    if (cln == NULL) {
        ngx_cpystrn(err, (u_char *) "no memory", size);
        return NULL;
    }

    ssl = cln->data;

    ngx_memzero(ssl, sizeof(ngx_ssl_t));
    ssl->log = ep->log;

    ERR_clear_error();

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        ngx_cpystrn(err, (u_char *) "TLS cannot be set up", size);
        return NULL;
    }

    cln->handler = ngx_ssl_cleanup_ctx;

    /* a piece that waits may have been gathered anew */

    SSL_CTX_set_mode(ssl->ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    if (ep->def->params.tls_verify == 0) {
        return ssl;
    }

    if (ep->def->params.tls_ca.len) {

        if (ngx_mc_rtmp_tls_trust(ssl, &ep->def->params.tls_ca) != NGX_OK) {
            ngx_mc_rtmp_tls_error(err, size, "tls_ca cannot be used",
                                  ERR_peek_error());
            return NULL;
        }

        return ssl;
    }

    if (SSL_CTX_set_default_verify_paths(ssl->ctx) == 0) {
        ngx_mc_rtmp_tls_error(err, size, "no trusted certificates",
                              ERR_peek_error());
        return NULL;
    }

    return ssl;
}


static ngx_int_t
ngx_mc_rtmp_tls_trust(ngx_ssl_t *ssl, ngx_str_t *pem)
{
    BIO         *bio;
    X509        *cert;
    X509_STORE  *store;
    ngx_uint_t   n;

    bio = BIO_new_mem_buf(pem->data, (int) pem->len);
    if (bio == NULL) {
        return NGX_ERROR;
    }

    store = SSL_CTX_get_cert_store(ssl->ctx);

    for (n = 0; /* void */ ; n++) {

        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (cert == NULL) {
            break;
        }

        if (X509_STORE_add_cert(store, cert) == 0) {
            X509_free(cert);
            BIO_free(bio);
            return NGX_ERROR;
        }

        X509_free(cert);
    }

    BIO_free(bio);

    if (n == 0) {
        return NGX_ERROR;
    }

    /* the end of the file, or something after it: what there was is used */

    ERR_clear_error();

    /* whoever names an intermediate certificate means it */

    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);

    return NGX_OK;
}


/* "n": an error of OpenSSL, 0: there is none */

static void
ngx_mc_rtmp_tls_error(u_char *err, size_t size, const char *what,
    unsigned long n)
{
    u_char      *p;
    const char  *reason;

    reason = n ? ERR_reason_error_string(n) : NULL;

    p = reason ? ngx_snprintf(err, size - 1, "%s: %s", what, reason)
               : ngx_snprintf(err, size - 1, "%s", what);
    *p = '\0';

    ERR_clear_error();
}


static ngx_uint_t
ngx_mc_rtmp_tls_is_address(ngx_str_t *host)
{
    u_char  addr[16];

    return ngx_mc_def_address(host, addr) != 0;
}


ngx_int_t
ngx_mc_rtmp_tls_start(ngx_mc_endpoint_t *ep, ngx_ssl_t *ssl,
    ngx_connection_t *c, ngx_connection_handler_pt handler)
{
    char                host[256];
    ngx_int_t           rc;
    X509_VERIFY_PARAM  *param;

    if (ep->def->host.len >= sizeof(host)) {
        return NGX_ERROR;
    }

    if (ngx_ssl_create_connection(ssl, c, NGX_SSL_BUFFER|NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(host, ep->def->host.data, ep->def->host.len);
    host[ep->def->host.len] = '\0';

    param = SSL_get0_param(c->ssl->connection);

    if (ngx_mc_rtmp_tls_is_address(&ep->def->host)) {

        if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 0) {
            return NGX_ERROR;
        }

    } else {

        /* a name that is written with the dot of the root is the same name */

        if (host[ep->def->host.len - 1] == '.') {
            host[ep->def->host.len - 1] = '\0';
        }

        X509_VERIFY_PARAM_set_hostflags(param,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

        if (SSL_set_tlsext_host_name(c->ssl->connection, host) == 0
            || X509_VERIFY_PARAM_set1_host(param, host, 0) == 0)
        {
            return NGX_ERROR;
        }
    }

    SSL_set_info_callback(c->ssl->connection, ngx_mc_rtmp_tls_info);

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        c->ssl->handler = handler;
    }

    return rc;
}


/*
 * nginx logs the errors of a handshake, and forgets them: they are taken here,
 * alerts of the server included.  Of several the first is the reason.
 */

static void
ngx_mc_rtmp_tls_info(const ngx_ssl_conn_t *ssl_conn, int where, int ret)
{
    ngx_connection_t    *c;
    ngx_mc_rtmp_conn_t  *conn;

    if ((where & SSL_CB_EXIT) == 0 || ret > 0) {
        return;
    }

    c = ngx_ssl_get_connection((ngx_ssl_conn_t *) ssl_conn);

    if (c->ssl->handshaked) {
        /* c->data is the session's */
        return;
    }

    conn = c->data;
    conn->tls_error = ERR_peek_error();
}


ngx_int_t
ngx_mc_rtmp_tls_check(ngx_mc_endpoint_t *ep, ngx_connection_t *c, u_char *err,
    size_t size)
{
    long                 rc;
    X509                *cert;
    ngx_mc_rtmp_conn_t  *conn;

    if (!c->ssl->handshaked) {
        conn = c->data;

        ngx_mc_rtmp_tls_error(err, size, conn->tls_error
                              ? "the TLS handshake failed"
                              : "the server closed the connection in the TLS "
                                "handshake",
                              conn->tls_error);
        return NGX_ERROR;
    }

    if (ep->def->params.tls_verify == 0) {
        return NGX_OK;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        *ngx_snprintf(err, size - 1, "the certificate is refused: %s",
                      X509_verify_cert_error_string(rc)) = '\0';
        return NGX_ERROR;
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);

    if (cert == NULL) {
        ngx_cpystrn(err, (u_char *) "the server has no certificate", size);
        return NGX_ERROR;
    }

    X509_free(cert);

    return NGX_OK;
}


void
ngx_mc_rtmp_tls_shutdown(ngx_connection_t *c)
{
    if (c->ssl == NULL) {
        return;
    }

    c->ssl->no_wait_shutdown = 1;

    if (ngx_ssl_shutdown(c) == NGX_AGAIN) {

        /* the socket is full, or the peer silent: freed without a word */

        c->timedout = 1;
        (void) ngx_ssl_shutdown(c);
    }
}
