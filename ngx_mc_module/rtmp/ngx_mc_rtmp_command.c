
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_rtmp_client.h>
#include <ngx_mc_rtmp_amf.h>


/* What a client asks of a server, and what it is answered. */


/* commands and their answers are short */
#define NGX_MC_RTMP_COMMAND_MAX   8192

/* what is shorter is no secret */
#define NGX_MC_RTMP_SECRET        4

#define NGX_MC_RTMP_CSID_COMMAND  3

/* transactions */
#define NGX_MC_RTMP_CONNECT       1
#define NGX_MC_RTMP_RELEASE       2
#define NGX_MC_RTMP_FCPUBLISH     3
#define NGX_MC_RTMP_CREATE        4
#define NGX_MC_RTMP_PUBLISH       5


static ngx_int_t ngx_mc_rtmp_command_status(ngx_mc_rtmp_client_t *cl,
    ngx_mc_rtmp_amf_info_t *info);
static ngx_int_t ngx_mc_rtmp_command_refused(ngx_mc_rtmp_client_t *cl,
    ngx_mc_rtmp_amf_info_t *info, const char *what);
static void ngx_mc_rtmp_command_reason(ngx_mc_rtmp_client_t *cl, u_char *buf,
    size_t size, ngx_mc_rtmp_amf_info_t *info);
static u_char *ngx_mc_rtmp_command_redact_query(u_char *text, u_char *last,
    ngx_str_t *s);
static u_char *ngx_mc_rtmp_command_redact(u_char *text, u_char *last,
    ngx_str_t *secret);
static void ngx_mc_rtmp_command_create(ngx_mc_rtmp_client_t *cl);
static void ngx_mc_rtmp_command_start(ngx_mc_rtmp_client_t *cl);
static u_char *ngx_mc_rtmp_command_begin(u_char *p, const char *name,
    double transaction);
static void ngx_mc_rtmp_command_send(ngx_mc_rtmp_client_t *cl, uint32_t msid,
    u_char *data, size_t len);


ngx_int_t
ngx_mc_rtmp_command_handler(ngx_rtmp_session_t *s, ngx_rtmp_header_t *h,
    ngx_chain_t *in)
{
    u_char                 *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    size_t                  n;
    ngx_str_t               name;
    ngx_int_t               transaction;
    ngx_uint_t              result;
    ngx_mc_rtmp_amf_t       amf;
    ngx_mc_rtmp_conn_t     *conn;
    ngx_mc_rtmp_client_t   *cl;
    ngx_mc_rtmp_amf_info_t  info;

    conn = ngx_mc_rtmp_client_of(s);
    cl = conn->ctx.data;

    if (cl == NULL) {
        return NGX_ERROR;
    }

    /* of what is longer, the beginning */

    for (p = buf; in && p < buf + sizeof(buf); in = in->next) {
        n = ngx_min(in->buf->last - in->buf->pos, buf + sizeof(buf) - p);
        p = ngx_cpymem(p, in->buf->pos, n);
    }

    amf.pos = buf;
    amf.last = p;

    if (h->type == NGX_RTMP_MSG_AMF3_CMD && amf.pos < amf.last) {
        amf.pos++;
    }

    if (amf.last - amf.pos < 1 || *amf.pos++ != NGX_MC_AMF_STRING
        || ngx_mc_rtmp_amf_read_string(&amf, &name, 2) != NGX_OK)
    {
        return NGX_OK;
    }

    ngx_memzero(&info, sizeof(ngx_mc_rtmp_amf_info_t));

    if (ngx_mc_rtmp_amf_read(&amf, &info, NULL, 0) != NGX_OK) {
        return NGX_OK;
    }

    transaction = (info.number > 0 && info.number < 100)
                  ? (ngx_int_t) info.number : 0;
    info.number = 0;

    while (amf.pos < amf.last
           && ngx_mc_rtmp_amf_read(&amf, &info, NULL, 0) == NGX_OK)
    {
        /* void */
    }

#define ngx_mc_rtmp_is(s)                                                     \
    (name.len == sizeof(s) - 1 && ngx_strncmp(name.data, s, sizeof(s) - 1) == 0)

    if (ngx_mc_rtmp_is("onStatus")) {
        return ngx_mc_rtmp_command_status(cl, &info);
    }

    if (ngx_mc_rtmp_is("close")) {
        *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1,
                      "closed by the server") = '\0';
        return NGX_ERROR;
    }

    result = ngx_mc_rtmp_is("_result");

    if (!result && !ngx_mc_rtmp_is("_error")) {
        return NGX_OK;
    }

    switch (transaction) {

    case NGX_MC_RTMP_CONNECT:

        if (cl->phase != NGX_MC_RTMP_CONNECTING) {
            break;
        }

        if (!result) {
            return ngx_mc_rtmp_command_refused(cl, &info, "connect");
        }

        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_CREATING);
        ngx_mc_rtmp_command_create(cl);
        break;

    case NGX_MC_RTMP_CREATE:

        if (cl->phase != NGX_MC_RTMP_CREATING) {
            break;
        }

        if (!result) {
            return ngx_mc_rtmp_command_refused(cl, &info, "createStream");
        }

        cl->msid = (info.number > 0 && info.number < 4294967296.0)
                   ? (uint32_t) info.number : 0;

        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_STARTING);
        ngx_mc_rtmp_command_start(cl);
        break;

    case NGX_MC_RTMP_PUBLISH:

        if (!result && cl->phase == NGX_MC_RTMP_STARTING) {
            return ngx_mc_rtmp_command_refused(cl, &info,
                              (cl->endpoint->def->direction == NGX_MC_INPUT)
                              ? "play" : "publish");
        }

        break;

    default:

        /* releaseStream and FCPublish are refused by many, to no effect */

        break;
    }

    return s->connection->destroyed ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_mc_rtmp_command_status(ngx_mc_rtmp_client_t *cl,
    ngx_mc_rtmp_amf_info_t *info)
{
    u_char               text[NGX_MC_RTMP_REASON];
    ngx_mc_endpoint_t   *ep;
    ngx_mc_rtmp_conn_t  *conn;

    ep = cl->endpoint;
    conn = cl->conn;

#define ngx_mc_rtmp_code(s)                                                   \
    (info->code.len == sizeof(s) - 1                                          \
     && ngx_strncmp(info->code.data, s, sizeof(s) - 1) == 0)

    if ((info->level.len == 5 && ngx_strncmp(info->level.data, "error", 5) == 0)
        || ngx_mc_rtmp_code("NetStream.Publish.BadName")
        || ngx_mc_rtmp_code("NetStream.Play.StreamNotFound"))
    {
        if (!ep->connected) {
            return ngx_mc_rtmp_command_refused(cl, info,
                              (ep->def->direction == NGX_MC_INPUT)
                              ? "play" : "publish");
        }

        ngx_mc_rtmp_command_reason(cl, conn->reason, NGX_MC_RTMP_REASON, info);
        return NGX_ERROR;
    }

    if (ep->def->direction == NGX_MC_INPUT) {

        if (ngx_mc_rtmp_code("NetStream.Play.UnpublishNotify")
            || ngx_mc_rtmp_code("NetStream.Play.Stop")
            || ngx_mc_rtmp_code("NetStream.Play.Complete"))
        {
            ngx_mc_rtmp_command_reason(cl, text, sizeof(text), info);
            *ngx_snprintf(conn->reason, NGX_MC_RTMP_REASON - 1, "%s", text)
                = '\0';
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_mc_rtmp_code("NetStream.Publish.Start")
        && cl->phase == NGX_MC_RTMP_STARTING)
    {
        ngx_mc_rtmp_client_phase(cl, NGX_MC_RTMP_UP);

        ep->stat->u.rtmp.chunk_size = NGX_MC_RTMP_CHUNK;

        ngx_mc_endpoint_up(ep, ep->sockaddr, ep->socklen);
        ngx_mc_rtmp_push_headers(cl);
    }

    return NGX_OK;
}


/* NGX_ERROR, and the client has no connection any more */

static ngx_int_t
ngx_mc_rtmp_command_refused(ngx_mc_rtmp_client_t *cl,
    ngx_mc_rtmp_amf_info_t *info, const char *what)
{
    u_char  text[NGX_MC_RTMP_REASON];

    ngx_mc_rtmp_command_reason(cl, text, sizeof(text), info);

    ngx_mc_endpoint_failed(cl->endpoint, NGX_MC_EVENT_RTMP_REFUSED,
                           "\"%s\" refused: %s", what, text);

    return NGX_ERROR;
}


/* what the server says, which may repeat what we have said */

static void
ngx_mc_rtmp_command_reason(ngx_mc_rtmp_client_t *cl, u_char *buf, size_t size,
    ngx_mc_rtmp_amf_info_t *info)
{
    u_char                 *p, *last, text[4096];
    ngx_mc_endpoint_def_t  *def;

    def = cl->endpoint->def;

    if (info->code.len == 0 && info->description.len == 0) {
        ngx_cpystrn(buf, (u_char *) "no reason given", size);
        return;
    }

    /* much more than is shown */

    last = ngx_snprintf(text, sizeof(text) - 1, "%V%s%V", &info->code,
                        info->code.len && info->description.len ? ": " : "",
                        &info->description);

    last = ngx_mc_rtmp_command_redact(text, last, &def->stream);
    last = ngx_mc_rtmp_command_redact(text, last, &def->params.key);
    last = ngx_mc_rtmp_command_redact_query(text, last, &def->stream);
    last = ngx_mc_rtmp_command_redact_query(text, last, &def->app);

    for (p = text; p < last; p++) {
        if (*p < ' ' || *p >= 0x7f) {
            *p = '?';
        }
    }

    *last = '\0';

    ngx_cpystrn(buf, text, size);
}


/* the query, and each value in it */

static u_char *
ngx_mc_rtmp_command_redact_query(u_char *text, u_char *last, ngx_str_t *s)
{
    u_char     *p, *q, *end;
    ngx_str_t   part;

    end = s->data + s->len;
    p = ngx_strlchr(s->data, end, '?');

    if (p == NULL) {
        return last;
    }

    part.data = p + 1;
    part.len = end - part.data;

    last = ngx_mc_rtmp_command_redact(text, last, &part);

    while (p < end) {

        p++;
        q = ngx_strlchr(p, end, '&');

        if (q == NULL) {
            q = end;
        }

        part.data = ngx_strlchr(p, q, '=');

        if (part.data) {
            part.data++;
            part.len = q - part.data;

            last = ngx_mc_rtmp_command_redact(text, last, &part);
        }

        p = q;
    }

    return last;
}


/* "*" for each of it; what is that short is no secret.  Returns the new end */

static u_char *
ngx_mc_rtmp_command_redact(u_char *text, u_char *last, ngx_str_t *secret)
{
    u_char  *p;

    if (secret->len < NGX_MC_RTMP_SECRET) {
        return last;
    }

    for (p = text; (size_t) (last - p) >= secret->len; p++) {

        if (ngx_memcmp(p, secret->data, secret->len) != 0) {
            continue;
        }

        *p = '*';
        ngx_memmove(p + 1, p + secret->len, last - p - secret->len);
        last -= secret->len - 1;
    }

    return last;
}


void
ngx_mc_rtmp_command_connect(ngx_mc_rtmp_client_t *cl)
{
    u_char                  *p, *len, buf[NGX_MC_RTMP_COMMAND_MAX];
    size_t                   n;
    ngx_uint_t               ipv6, port;
    ngx_mc_endpoint_t       *ep;
    ngx_mc_endpoint_def_t   *def;
    ngx_mc_frame_headers_t  *headers;

    ep = cl->endpoint;
    def = ep->def;

    p = ngx_mc_rtmp_command_begin(buf, "connect", NGX_MC_RTMP_CONNECT);
    p--;                                       /* an object, no null */

    *p++ = NGX_MC_AMF_OBJECT;

    p = ngx_mc_rtmp_amf_name(p, "app");
    p = ngx_mc_rtmp_amf_string(p, &def->app);

    if (def->direction == NGX_MC_OUTPUT) {
        p = ngx_mc_rtmp_amf_name(p, "type");
        p = ngx_mc_rtmp_amf_chars(p, "nonprivate");
    }

    p = ngx_mc_rtmp_amf_name(p, "flashVer");
    p = ngx_mc_rtmp_amf_chars(p, (def->direction == NGX_MC_OUTPUT)
                            ? "FMLE/3.0 (compatible; FMSc/1.0)"
                            : "LNX 9,0,124,2");

    p = ngx_mc_rtmp_amf_name(p, "tcUrl");
    *p++ = NGX_MC_AMF_STRING;
    len = p;
    p += 2;

    ipv6 = (ngx_strlchr(def->host.data, def->host.data + def->host.len, ':')
            != NULL);
    port = (def->port == (def->tls ? NGX_MC_RTMPS_PORT : NGX_MC_RTMP_PORT))
           ? 0 : def->port;

    p = ngx_sprintf(p, "rtmp%s://%s%V%s", def->tls ? "s" : "",
                    ipv6 ? "[" : "", &def->host, ipv6 ? "]" : "");

    if (port) {
        p = ngx_sprintf(p, ":%ui", port);
    }

    p = ngx_sprintf(p, "/%V", &def->app);

    n = p - len - 2;
    len[0] = (u_char) (n >> 8);
    len[1] = (u_char) n;

    if (def->direction == NGX_MC_INPUT) {
        p = ngx_mc_rtmp_amf_name(p, "fpad");
        *p++ = NGX_MC_AMF_BOOLEAN;
        *p++ = 0;
        p = ngx_mc_rtmp_amf_name(p, "capabilities");
        p = ngx_mc_rtmp_amf_number(p, 15);
        p = ngx_mc_rtmp_amf_name(p, "audioCodecs");
        p = ngx_mc_rtmp_amf_number(p, 4071);
        p = ngx_mc_rtmp_amf_name(p, "videoCodecs");
        p = ngx_mc_rtmp_amf_number(p, 252);
        p = ngx_mc_rtmp_amf_name(p, "videoFunction");
        p = ngx_mc_rtmp_amf_number(p, 1);
    }

    headers = (def->direction == NGX_MC_OUTPUT) ? ngx_mc_flow_headers(ep)
                                                : NULL;

    if (def->direction == NGX_MC_INPUT
        || (headers && headers->video.tag
            && headers->video.codec == NGX_MC_CODEC_HEVC))
    {
        p = ngx_mc_rtmp_amf_name(p, "fourCcList");
        *p++ = NGX_MC_AMF_STRICT_ARRAY;
        *p++ = 0;
        *p++ = 0;
        *p++ = 0;
        *p++ = 1;
        p = ngx_mc_rtmp_amf_chars(p, "hvc1");
    }

    *p++ = 0;
    *p++ = 0;
    *p++ = NGX_MC_AMF_END;

    ngx_mc_rtmp_command_send(cl, 0, buf, p - buf);
}


static void
ngx_mc_rtmp_command_create(ngx_mc_rtmp_client_t *cl)
{
    u_char                 *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    ngx_mc_endpoint_def_t  *def;

    def = cl->endpoint->def;

    if (def->direction == NGX_MC_OUTPUT) {

        p = ngx_mc_rtmp_command_begin(buf, "releaseStream",
                                       NGX_MC_RTMP_RELEASE);
        p = ngx_mc_rtmp_amf_string(p, &def->stream);
        ngx_mc_rtmp_command_send(cl, 0, buf, p - buf);

        p = ngx_mc_rtmp_command_begin(buf, "FCPublish",
                                       NGX_MC_RTMP_FCPUBLISH);
        p = ngx_mc_rtmp_amf_string(p, &def->stream);
        ngx_mc_rtmp_command_send(cl, 0, buf, p - buf);

    } else if (cl->conn) {
        (void) ngx_rtmp_send_ack_size(cl->conn->session, 2500000);
    }

    p = ngx_mc_rtmp_command_begin(buf, "createStream", NGX_MC_RTMP_CREATE);
    ngx_mc_rtmp_command_send(cl, 0, buf, p - buf);
}


static void
ngx_mc_rtmp_command_start(ngx_mc_rtmp_client_t *cl)
{
    u_char                 *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    ngx_mc_endpoint_def_t  *def;

    def = cl->endpoint->def;

    if (def->direction == NGX_MC_OUTPUT) {
        p = ngx_mc_rtmp_command_begin(buf, "publish", NGX_MC_RTMP_PUBLISH);
        p = ngx_mc_rtmp_amf_string(p, &def->stream);
        p = ngx_mc_rtmp_amf_chars(p, "live");
        ngx_mc_rtmp_command_send(cl, cl->msid, buf, p - buf);
        return;
    }

    /* -2: live, as players ask for it; a live stream that is not there yet is
       waited for by some servers, by us for so long as they say nothing */

    p = ngx_mc_rtmp_command_begin(buf, "play", NGX_MC_RTMP_PUBLISH);
    p = ngx_mc_rtmp_amf_string(p, &def->stream);
    p = ngx_mc_rtmp_amf_number(p, -2000);
    ngx_mc_rtmp_command_send(cl, cl->msid, buf, p - buf);

    if (cl->conn) {
        (void) ngx_rtmp_send_set_buflen(cl->conn->session, cl->msid,
                                        NGX_MC_RTMP_BUFLEN);
    }
}


/* an orderly end, as far as it goes without waiting */

void
ngx_mc_rtmp_command_end(ngx_mc_rtmp_client_t *cl)
{
    u_char                 *p, buf[NGX_MC_RTMP_COMMAND_MAX];
    ngx_mc_endpoint_def_t  *def;

    def = cl->endpoint->def;

    if (def->direction == NGX_MC_OUTPUT) {
        p = ngx_mc_rtmp_command_begin(buf, "FCUnpublish", 0);
        p = ngx_mc_rtmp_amf_string(p, &def->stream);
        ngx_mc_rtmp_command_send(cl, 0, buf, p - buf);
    }

    p = ngx_mc_rtmp_command_begin(buf, "deleteStream", 0);
    p = ngx_mc_rtmp_amf_number(p, cl->msid);
    ngx_mc_rtmp_command_send(cl, 0, buf, p - buf);
}


static u_char *
ngx_mc_rtmp_command_begin(u_char *p, const char *name, double transaction)
{
    p = ngx_mc_rtmp_amf_chars(p, name);
    p = ngx_mc_rtmp_amf_number(p, transaction);
    *p++ = NGX_MC_AMF_NULL;

    return p;
}


static void
ngx_mc_rtmp_command_send(ngx_mc_rtmp_client_t *cl, uint32_t msid, u_char *data,
    size_t len)
{
    ngx_rtmp_header_t  h;

    if (cl->conn == NULL || cl->conn->connection->destroyed) {
        return;
    }

    ngx_memzero(&h, sizeof(ngx_rtmp_header_t));

    h.csid = NGX_MC_RTMP_CSID_COMMAND;
    h.type = NGX_RTMP_MSG_AMF_CMD;
    h.msid = msid;

    (void) ngx_mc_rtmp_queue_add(cl->conn, &h, NULL, NULL, data, len);

    ngx_mc_rtmp_queue_flush(cl->conn);
}
