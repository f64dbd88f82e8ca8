
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_param.h>


/* NGX_RTMP_MAX_NAME of nginx-rtmp without its zero: what is longer is cut
   there, a name together with its query */
#define NGX_MC_RTMP_NAME_LEN     255

/* path and query of a remote server's URL: some have long tokens */
#define NGX_MC_RTMP_PATH_LEN     1024


static ngx_int_t ngx_mc_def_rtmp_listener(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_rtmp_caller(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);
static ngx_int_t ngx_mc_def_rtmp_url(ngx_mc_parse_t *p,
    ngx_mc_endpoint_def_t *def);


/*
 * Path and query, with the slash, as def->app for now.  They are sent as they
 * stand: nothing in them is decoded, as neither nginx-rtmp nor the common
 * encoders do.
 */

ngx_int_t
ngx_mc_def_rtmp_path(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_str_t *path)
{
    ngx_uint_t  i;

    for (i = 0; i < path->len; i++) {
        if (path->data[i] <= ' ' || path->data[i] >= 0x7f) {
            return ngx_mc_def_error(p, "a space, a control character or one "
                                    "beyond ASCII in the path or the query of "
                                    "the URL: they are sent as they stand, "
                                    "write what the server says");
        }
    }

    if (path->len > NGX_MC_RTMP_PATH_LEN) {
        return ngx_mc_def_error(p, "path and query of the URL are longer than "
                                "%d characters", NGX_MC_RTMP_PATH_LEN);
    }

    def->app = *path;

    return NGX_OK;
}


/* into application and name, which takes the key to be known */

ngx_int_t
ngx_mc_def_rtmp_split(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    ngx_int_t  rc;

    rc = (def->mode == NGX_MC_MODE_LISTENER)
         ? ngx_mc_def_rtmp_listener(p, def) : ngx_mc_def_rtmp_caller(p, def);

    return (rc == NGX_OK) ? ngx_mc_def_rtmp_url(p, def) : NGX_ERROR;
}


static ngx_int_t
ngx_mc_def_rtmp_listener(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    u_char     *pos, *last, *slash;
    ngx_str_t  *key;

    pos = def->app.data;
    last = pos + def->app.len;

    if (ngx_strlchr(pos, last, '?')) {
        return ngx_mc_def_error(p, "a query has no meaning in \"rtmp:///APP/"
                                "NAME\", parameters are words of their own; "
                                "what publishers must send is \"key\"");
    }

    slash = NULL;

    if (pos < last) {
        pos++;
        slash = ngx_strlchr(pos, last, '/');
    }

    if (slash == NULL || slash == pos || slash + 1 == last
        || ngx_strlchr(slash + 1, last, '/'))
    {
        return ngx_mc_def_error(p, "an RTMP URL without a host is \"rtmp:///"
                                "APP/NAME\": an application of the \"rtmp\" "
                                "block and the name of the stream");
    }

    def->app.data = pos;
    def->app.len = slash - pos;

    def->stream.data = slash + 1;
    def->stream.len = last - def->stream.data;

    if (def->app.len > NGX_MC_RTMP_NAME_LEN
        || def->stream.len > NGX_MC_RTMP_NAME_LEN)
    {
        return ngx_mc_def_error(p, "application and name in an RTMP URL are "
                                "at most %d characters each",
                                NGX_MC_RTMP_NAME_LEN);
    }

    key = &def->params.key;

    if (key->len
        && def->stream.len + sizeof("?key=") - 1 + key->len
           > NGX_MC_RTMP_NAME_LEN)
    {
        return ngx_mc_def_error(p, "name and \"key\" are too long together: "
                                "NAME?key=KEY must be at most %d characters, "
                                "nginx-rtmp cuts what is longer",
                                NGX_MC_RTMP_NAME_LEN);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_def_rtmp_caller(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    size_t      query;
    u_char     *pos, *last, *end, *buf;
    ngx_str_t  *key;

    pos = def->app.data;
    last = pos + def->app.len;

    end = ngx_strlchr(pos, last, '?');
    if (end == NULL) {
        end = last;
    }

    if (pos < end) {
        pos++;
    }

    if (def->params.key.data) {

        /* some services give an URL that ends with a slash */

        query = last - end;
        last = end;

        while (end > pos && end[-1] == '/') {
            end--;
        }

        if (end == pos) {
            return ngx_mc_def_error(p, "no application in the URL, with "
                                    "\"key\" it must be like "
                                    "\"%s://HOST/APP\"",
                                    def->tls ? "rtmps" : "rtmp");
        }

        key = &def->params.key;

        if ((size_t) (end - pos) > key->len
            && end[- (ssize_t) key->len - 1] == '/'
            && ngx_memcmp(end - key->len, key->data, key->len) == 0)
        {
            return ngx_mc_def_error(p, "the path ends with the key: leave it "
                                    "to \"key\", or it would be shown");
        }

        def->app.data = pos;
        def->app.len = end - pos + query;

        if (end < last && query) {

            buf = ngx_pnalloc(p->pool, def->app.len);
            if (buf == NULL) {
                return ngx_mc_def_error(p, "no memory");
            }

            def->app.data = buf;

            buf = ngx_cpymem(buf, pos, end - pos);
            ngx_memcpy(buf, last, query);
        }

        def->stream = def->params.key;

        return NGX_OK;
    }

    while (end > pos && end[-1] != '/') {
        end--;
    }

    if (end <= pos + 1 || end == last || *end == '?') {
        return ngx_mc_def_error(p, "the URL must be like \"%s://HOST/APP/"
                                "NAME\", or like \"%s://HOST/APP\" with "
                                "\"key\" or \"key_file\"",
                                def->tls ? "rtmps" : "rtmp",
                                def->tls ? "rtmps" : "rtmp");
    }

    def->app.data = pos;
    def->app.len = end - 1 - pos;

    def->stream.data = end;
    def->stream.len = last - end;

    return NGX_OK;
}


/* what may be shown: so far scheme, host and port, now the application, too,
   but nothing of a query */

static ngx_int_t
ngx_mc_def_rtmp_url(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    u_char     *url, *query;
    ngx_str_t   app;

    app = def->app;

    query = ngx_strlchr(app.data, app.data + app.len, '?');
    if (query) {
        app.len = query - app.data;
    }

    url = ngx_pnalloc(p->pool, def->url.len + 1 + app.len);
    if (url == NULL) {
        return ngx_mc_def_error(p, "no memory");
    }

    def->url.len = ngx_sprintf(url, "%V/%V", &def->url, &app) - url;
    def->url.data = url;

    return NGX_OK;
}


ngx_int_t
ngx_mc_def_check_rtmp(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def)
{
    ngx_uint_t        i;
    ngx_mc_params_t  *prm;

    prm = &def->params;

    for (i = 0; i < prm->key.len; i++) {
        if (prm->key.data[i] <= ' ' || prm->key.data[i] >= 0x7f) {
            return ngx_mc_def_error(p, "\"key\" has a space, a control "
                                    "character or one beyond ASCII in it");
        }
    }

    if (def->mode == NGX_MC_MODE_LISTENER) {

        if (prm->key.data && def->direction == NGX_MC_OUTPUT) {
            return ngx_mc_def_error(p, "players of a listening output have no "
                                    "\"key\", use \"allow\"");
        }

        if (prm->key.len
            && ngx_strlchr(prm->key.data, prm->key.data + prm->key.len, '&'))
        {
            return ngx_mc_def_error(p, "publishers cannot send a \"key\" with "
                                    "\"&\" in it");
        }

        if (ngx_mc_def_check_peers(p, prm) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {

        if (prm->allow) {
            return ngx_mc_def_error(p, "\"allow\" is for those who listen, "
                                    "this is a caller");
        }

        if (prm->max_peers != NGX_CONF_UNSET
            || prm->min_peers != NGX_CONF_UNSET)
        {
            return ngx_mc_def_error(p, "\"max_peers\" and \"min_peers\" are "
                                    "for listening outputs, this is a "
                                    "caller");
        }

        if (prm->rekey != NGX_CONF_UNSET) {
            return ngx_mc_def_error(p, "\"rekey\" is for listeners: a caller "
                                    "connects anew when its key is changed");
        }

        if (prm->tls_ca.data && prm->tls_verify == 0) {
            return ngx_mc_def_error(p, "\"tls_ca\" is what certificates are "
                                    "verified with, \"tls_verify=off\" does "
                                    "not");
        }
    }

    if (!def->tls
        && (prm->tls_verify != NGX_CONF_UNSET || prm->tls_ca.data))
    {
        return ngx_mc_def_error(p, "\"%s\" is for \"rtmps://HOST\" URLs, "
                                "\"%s\" has no TLS",
                                prm->tls_ca.data ? "tls_ca" : "tls_verify",
                                (def->mode == NGX_MC_MODE_LISTENER)
                                ? "rtmp:///" : "rtmp://");
    }

    if (prm->muxrate != NGX_CONF_UNSET && prm->maxrate != NGX_CONF_UNSET) {
        return ngx_mc_def_error(p, "\"muxrate\" and \"maxrate\" exclude each "
                                "other: the rate is constant, or it has a "
                                "limit");
    }

    return ngx_mc_def_rtmp_split(p, def);
}


/* for parameters of other protocols: what RTMP has instead, or NULL */

const char *
ngx_mc_def_rtmp_hint(ngx_str_t *name)
{
    ngx_uint_t  i;

    static struct {
        ngx_str_t    name;
        const char  *hint;
    } hints[] = {
        { ngx_string("passphrase"), "RTMP has a \"key\"" },
        { ngx_string("passphrase_file"), "RTMP has a \"key_file\"" },
        { ngx_string("pbkeylen"), "\"rtmps://\" encrypts" },
        { ngx_string("streamid"), "the name of an RTMP stream stands in the "
                                  "URL, or is the \"key\"" },
        { ngx_string("mode"), "\"rtmp:///APP/NAME\" listens, a URL with a "
                              "host connects" },
        { ngx_string("port"), "the port of an RTMP server stands in the URL" },
        { ngx_string("latency"), "RTMP runs over TCP and has none to set" },
        { ngx_string("rcvlatency"), "RTMP runs over TCP and has none to set" },
        { ngx_string("peerlatency"),
          "RTMP runs over TCP and has none to set" },
        { ngx_null_string, NULL }
    };

    for (i = 0; hints[i].hint; i++) {
        if (name->len == hints[i].name.len
            && ngx_strncmp(name->data, hints[i].name.data, name->len) == 0)
        {
            return hints[i].hint;
        }
    }

    return NULL;
}
