
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_LINK_H_INCLUDED_
#define _NGX_MC_RTMP_LINK_H_INCLUDED_


#include <ngx_mc_rtmp.h>


/*
 * What the files of the link share.  Both ends are of one machine and
 * compiler: messages are structures.
 */


#define NGX_MC_RTMP_LINK_VERSION   1

/* bytes that may wait to be sent: then frames are dropped */
#define NGX_MC_RTMP_LINK_QUEUE     (8 * 1024 * 1024)

/* ms, to say hello, and to take a farewell */
#define NGX_MC_RTMP_LINK_TIMEOUT   2000

/* session to owner */
#define NGX_MC_RTMP_MSG_HELLO      1
#define NGX_MC_RTMP_MSG_REJECTED   2
#define NGX_MC_RTMP_MSG_CHUNK      3
#define NGX_MC_RTMP_MSG_REPORT     4
#define NGX_MC_RTMP_MSG_PEER_UP    5
#define NGX_MC_RTMP_MSG_PEER_STAT  6
#define NGX_MC_RTMP_MSG_PEER_DOWN  7

/* owner to session */
#define NGX_MC_RTMP_MSG_ACCEPT     8

/* either */
#define NGX_MC_RTMP_MSG_FRAME      9
#define NGX_MC_RTMP_MSG_END        10


typedef struct {
    uint32_t                      len;         /* with this header */
    uint32_t                      type;
} ngx_mc_rtmp_msg_t;

#define NGX_MC_RTMP_MSG_MAX  (NGX_MC_FRAME_MAX + 4096)


typedef struct {
    uint32_t                      version;
    uint32_t                      direction;
    uint32_t                      pipeline;
    uint32_t                      reason;      /* of a refusal */
    int64_t                       began;
    u_char                        flow[NGX_MC_NAME_LEN + 1];
    u_char                        name[NGX_MC_NAME_LEN + 1];
    u_char                        peer[NGX_MC_ADDR_LEN];
    u_char                        text[NGX_MC_EVENT_MESSAGE_LEN];
} ngx_mc_rtmp_hello_t;


typedef struct {
    uint32_t                      code;
    u_char                        text[NGX_MC_EVENT_MESSAGE_LEN];
} ngx_mc_rtmp_msg_text_t;


typedef struct {
    uint64_t                      id;
    uint64_t                      bytes;
    uint64_t                      messages;
    uint64_t                      dropped;
    u_char                        text[NGX_MC_EVENT_MESSAGE_LEN];
} ngx_mc_rtmp_msg_peer_t;


struct ngx_mc_rtmp_link_s {
    ngx_queue_t                   queue;       /* of this process's links */
    ngx_queue_t                   post;

    /* the session's side */
    ngx_mc_rtmp_link_handlers_t  *handlers;
    void                         *data;

    /* the owner's */
    ngx_mc_endpoint_t            *ep;          /* NULL: not attached */
    void                         *owner_data;
    ngx_mc_rtmp_hello_t           hello;

    ngx_mc_rtmp_link_t           *other;       /* in the same process */
    ngx_connection_t             *c;           /* in another */

    u_char                       *buf;
    size_t                        size;
    size_t                        start;
    size_t                        end;

    ngx_queue_t                   out;         /* blocks that wait */
    size_t                        queued;

    uint32_t                      dropped;
    ngx_uint_t                    code;
    u_char                        why[NGX_MC_EVENT_MESSAGE_LEN];

    unsigned                      owner:1;     /* which side this is */
    unsigned                      opened:1;    /* the owner has taken it */
    unsigned                      posted:1;
    unsigned                      dead:1;      /* to be freed */
    unsigned                      broken:1;    /* its connection is gone */
    unsigned                      attach:1;    /* what to tell */
    unsigned                      detach:1;
    unsigned                      tell_opened:1;
    unsigned                      tell_closed:1;
    unsigned                      video:1;     /* there is any */
    unsigned                      dropping:1;
    unsigned                      discontinuity:1;
};


/* ngx_mc_rtmp_link.c: what messages, or calls in one process, lead to */

ngx_mc_rtmp_link_t *ngx_mc_rtmp_link_create(ngx_uint_t owner);
void ngx_mc_rtmp_link_free(ngx_mc_rtmp_link_t *link);
void ngx_mc_rtmp_link_post(ngx_mc_rtmp_link_t *link);
void ngx_mc_rtmp_link_is_closed(ngx_mc_rtmp_link_t *link, ngx_uint_t code,
    const char *why);
void ngx_mc_rtmp_link_attach(ngx_mc_rtmp_link_t *link);
void ngx_mc_rtmp_link_detach(ngx_mc_rtmp_link_t *link, const char *why);
void ngx_mc_rtmp_link_break(ngx_mc_rtmp_link_t *link);
ngx_int_t ngx_mc_rtmp_link_peer(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_msg_peer_t *peer);
void ngx_mc_rtmp_link_refusal(ngx_mc_rtmp_hello_t *hello);


/*
 * ngx_mc_rtmp_link_socket.c.  put(): a message whole, or not at all; "tail"
 * goes behind "data".  NGX_OK in one process, where there is no connection.
 */

ngx_int_t ngx_mc_rtmp_link_connect(ngx_mc_rtmp_link_t *link, ngx_pid_t pid);
void ngx_mc_rtmp_link_disconnect(ngx_mc_rtmp_link_t *link);
void ngx_mc_rtmp_link_unlisten(void);
ngx_int_t ngx_mc_rtmp_link_put(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    void *data, size_t len, u_char *tail, size_t tail_len);


/* ngx_mc_rtmp_link_message.c.  parse(): what has been read */

ngx_int_t ngx_mc_rtmp_link_parse(ngx_mc_rtmp_link_t *link);
ngx_int_t ngx_mc_rtmp_link_put_hello(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_hello_t *hello);
ngx_int_t ngx_mc_rtmp_link_put_accept(ngx_mc_rtmp_link_t *link);
ngx_int_t ngx_mc_rtmp_link_put_text(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_uint_t code, const char *text);
ngx_int_t ngx_mc_rtmp_link_put_peer(ngx_mc_rtmp_link_t *link, ngx_uint_t type,
    ngx_mc_rtmp_msg_peer_t *peer);
ngx_int_t ngx_mc_rtmp_link_put_frame(ngx_mc_rtmp_link_t *link,
    ngx_mc_frame_t *frame);


#endif /* _NGX_MC_RTMP_LINK_H_INCLUDED_ */
