
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_udp.h>
#include <netinet/udp.h>
#include <net/if.h>
#include <ifaddrs.h>


#ifndef UDP_GRO
#define UDP_GRO             104
#endif

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL  29
#endif

/*
 * What arrives while the worker does something else waits in the kernel: a
 * second of max_bandwidth, of which the kernel's own overhead takes half.
 */
#define NGX_MC_UDP_RCVBUF      (8 * 1024 * 1024)
#define NGX_MC_UDP_RCVBUF_MIN  (2 * 1024 * 1024)
#define NGX_MC_UDP_RCVBUF_MAX  (64 * 1024 * 1024)
#define NGX_MC_UDP_SNDBUF      (2 * 1024 * 1024)

/* RFC 1112, 6.1: unless told otherwise, a group stays on the local network */
#define NGX_MC_UDP_GROUP_TTL   1


/* interface= of a group: the name of one, or an IPv4 address that it has */

typedef struct {
    ngx_uint_t             index;          /* 0: not given */
    ngx_sockaddr_t         addr;           /* family 0: given by name */
} ngx_mc_udp_interface_t;


static ngx_int_t ngx_mc_udp_bind(ngx_mc_endpoint_t *ep, ngx_socket_t s,
    ngx_mc_udp_interface_t *in);
static ngx_int_t ngx_mc_udp_join(ngx_mc_endpoint_t *ep, ngx_socket_t s,
    ngx_uint_t ifindex);
static ngx_int_t ngx_mc_udp_egress(ngx_mc_endpoint_t *ep, ngx_socket_t s,
    ngx_mc_udp_interface_t *in);
static ngx_int_t ngx_mc_udp_interface(ngx_mc_endpoint_t *ep,
    ngx_mc_udp_interface_t *in);
static ngx_int_t ngx_mc_udp_parse_addr(ngx_str_t *text,
    ngx_sockaddr_t *addr);
static ngx_uint_t ngx_mc_udp_ifindex(struct sockaddr *sa);
#if (NGX_HAVE_INET6)
static ngx_uint_t ngx_mc_udp_route(ngx_mc_endpoint_t *ep);
#endif
static ngx_uint_t ngx_mc_udp_is_group(struct sockaddr *sa);
static void ngx_mc_udp_buffer(ngx_socket_t s, int force, int option,
    int value);
static ngx_int_t ngx_mc_udp_failed(ngx_mc_endpoint_t *ep, ngx_socket_t s,
    const char *what);


ngx_socket_t
ngx_mc_udp_open_source(ngx_mc_endpoint_t *ep, ngx_uint_t *ifindex)
{
    int                     on;
    int64_t                 size;
    ngx_uint_t              group;
    ngx_socket_t            s;
    ngx_mc_udp_interface_t  in;

    *ifindex = 0;

    group = ngx_mc_udp_is_group(ep->sockaddr);

    if (ngx_mc_udp_interface(ep, &in) != NGX_OK) {
        return (ngx_socket_t) -1;
    }

    s = socket(ep->sockaddr->sa_family, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC,
               0);
    if (s == (ngx_socket_t) -1) {
        (void) ngx_mc_udp_failed(ep, s, "socket()");
        return s;
    }

#if (NGX_HAVE_INET6)
    if (group && in.index == 0 && ep->sockaddr->sa_family == AF_INET6) {
        in.index = ngx_mc_udp_route(ep);
    }
#endif

    on = 1;

    /* older kernels may lack these, and it works without */

    (void) setsockopt(s, IPPROTO_UDP, UDP_GRO, &on, sizeof(int));
    (void) setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(int));
    (void) setsockopt(s, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(int));

    size = NGX_MC_UDP_RCVBUF;

    if (ep->def->params.max_bandwidth > 0) {
        size = ep->def->params.max_bandwidth / 8;
        size = ngx_max(size, NGX_MC_UDP_RCVBUF_MIN);
        size = ngx_min(size, NGX_MC_UDP_RCVBUF_MAX);
    }

    ngx_mc_udp_buffer(s, SO_RCVBUFFORCE, SO_RCVBUF, (int) size);

#if (NGX_HAVE_INET6)

    /*
     * An IPv4 socket gets what came in where it has joined.  For IPv6 the
     * kernel looks at the group alone, so each datagram has to say.
     */

    if (group && ep->sockaddr->sa_family == AF_INET6) {

        if (setsockopt(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(int))
            == -1)
        {
            (void) ngx_mc_udp_failed(ep, s, "setsockopt(IPV6_RECVPKTINFO)");
            return (ngx_socket_t) -1;
        }

        *ifindex = in.index;
    }

#endif

    if (ngx_mc_udp_bind(ep, s, &in) != NGX_OK) {
        return (ngx_socket_t) -1;
    }

    if (group && ngx_mc_udp_join(ep, s, in.index) != NGX_OK) {
        return (ngx_socket_t) -1;
    }

    return s;
}


ngx_socket_t
ngx_mc_udp_open_output(ngx_mc_endpoint_t *ep)
{
    int                     value, level, option;
    ngx_socket_t            s;
    ngx_sockaddr_t          addr;
    ngx_mc_udp_interface_t  in;

    if (ngx_mc_udp_interface(ep, &in) != NGX_OK) {
        return (ngx_socket_t) -1;
    }

    s = socket(ep->sockaddr->sa_family, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC,
               0);
    if (s == (ngx_socket_t) -1) {
        (void) ngx_mc_udp_failed(ep, s, "socket()");
        return s;
    }

    if (ngx_mc_udp_egress(ep, s, &in) != NGX_OK) {
        return (ngx_socket_t) -1;
    }

    if (ep->def->params.tos != NGX_CONF_UNSET) {

        value = (int) ep->def->params.tos;
        level = IPPROTO_IP;
        option = IP_TOS;

#if (NGX_HAVE_INET6)
        if (ep->sockaddr->sa_family == AF_INET6) {
            level = IPPROTO_IPV6;
            option = IPV6_TCLASS;
        }
#endif

        if (setsockopt(s, level, option, &value, sizeof(int)) == -1) {
            (void) ngx_mc_udp_failed(ep, s, "setsockopt(IP_TOS)");
            return (ngx_socket_t) -1;
        }
    }

    /*
     * Outputs may be more than there are ports.  These sockets receive
     * nothing, and so may share theirs with one another.
     */

    value = 1;

    if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(int)) == -1) {
        (void) ngx_mc_udp_failed(ep, s, "setsockopt(SO_REUSEADDR)");
        return (ngx_socket_t) -1;
    }

    ngx_mc_udp_buffer(s, SO_SNDBUFFORCE, SO_SNDBUF, NGX_MC_UDP_SNDBUF);

    /* nothing is read here: what a receiver sends back is to take no memory,
       the kernel makes the least that it allows of it */

    value = 0;
    (void) setsockopt(s, SOL_SOCKET, SO_RCVBUF, &value, sizeof(int));

    ngx_memcpy(&addr, ep->sockaddr, ep->socklen);

#if (NGX_HAVE_INET6)
    if (ep->sockaddr->sa_family == AF_INET6
        && addr.sockaddr_in6.sin6_scope_id == 0)
    {
        addr.sockaddr_in6.sin6_scope_id = in.index;
    }
#endif

    if (connect(s, &addr.sockaddr, ep->socklen) == -1) {
        (void) ngx_mc_udp_failed(ep, s, "connect()");
        return (ngx_socket_t) -1;
    }

    return s;
}


ngx_int_t
ngx_mc_udp_check(ngx_mc_endpoint_t *ep, ngx_socket_t s)
{
    int             rc, type, protocol;
    socklen_t       len;
    ngx_sockaddr_t  addr;

    len = sizeof(int);

    if (getsockopt(s, SOL_SOCKET, SO_TYPE, &type, &len) == -1
        || type != SOCK_DGRAM)
    {
        return NGX_DECLINED;
    }

    len = sizeof(int);

    if (getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == -1
        || protocol != IPPROTO_UDP)
    {
        return NGX_DECLINED;
    }

    /* a name may have another address by now */

    len = sizeof(ngx_sockaddr_t);

    rc = (ep->def->direction == NGX_MC_INPUT)
         ? getsockname(s, &addr.sockaddr, &len)
         : getpeername(s, &addr.sockaddr, &len);

    if (rc == -1) {
        return NGX_DECLINED;
    }

    return ngx_cmp_sockaddr(&addr.sockaddr, len, ep->sockaddr, ep->socklen, 1);
}


static ngx_int_t
ngx_mc_udp_bind(ngx_mc_endpoint_t *ep, ngx_socket_t s,
    ngx_mc_udp_interface_t *in)
{
    int             on, off;
    ngx_uint_t      group;
    ngx_sockaddr_t  addr;

    on = 1;
    off = 0;

    group = ngx_mc_udp_is_group(ep->sockaddr);

    ngx_memcpy(&addr, ep->sockaddr, ep->socklen);

    /*
     * Several may receive one group.  Never so for unicast, where the second
     * to bind would take everything from the first.
     */

    if (group
        && setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(int)) == -1)
    {
        return ngx_mc_udp_failed(ep, s, "setsockopt(SO_REUSEADDR)");
    }

    /* MULTICAST_ALL would hand over what other sockets have joined, elsewhere
       or with other filters */

#if (NGX_HAVE_INET6)
    if (ep->sockaddr->sa_family == AF_INET6) {

        if (setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(int)) == -1) {
            return ngx_mc_udp_failed(ep, s, "setsockopt(IPV6_V6ONLY)");
        }

        if (group) {
            /* since Linux 4.20 */
            (void) setsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off,
                              sizeof(int));
        }

        if (addr.sockaddr_in6.sin6_scope_id == 0) {
            addr.sockaddr_in6.sin6_scope_id = in->index;
        }

    } else
#endif

    if (group
        && setsockopt(s, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(int))
           == -1)
    {
        return ngx_mc_udp_failed(ep, s, "setsockopt(IP_MULTICAST_ALL)");
    }

    if (bind(s, &addr.sockaddr, ep->socklen) == -1) {
        return ngx_mc_udp_failed(ep, s, "bind()");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_udp_join(ngx_mc_endpoint_t *ep, ngx_socket_t s, ngx_uint_t ifindex)
{
    int                      level;
    ngx_str_t               *source;
    ngx_sockaddr_t           addr;
    struct group_req         any;
    struct group_source_req  one;

    level = (ep->sockaddr->sa_family == AF_INET) ? IPPROTO_IP : IPPROTO_IPV6;

    source = &ep->def->params.source;

    if (source->len == 0) {

        ngx_memzero(&any, sizeof(struct group_req));

        any.gr_interface = ifindex;
        ngx_memcpy(&any.gr_group, ep->sockaddr, ep->socklen);

        if (setsockopt(s, level, MCAST_JOIN_GROUP, &any,
                       sizeof(struct group_req))
            == -1)
        {
            return ngx_mc_udp_failed(ep, s, "joining the group");
        }

        return NGX_OK;
    }

    (void) ngx_mc_udp_parse_addr(source, &addr);

    ngx_memzero(&one, sizeof(struct group_source_req));

    one.gsr_interface = ifindex;
    ngx_memcpy(&one.gsr_group, ep->sockaddr, ep->socklen);
    ngx_memcpy(&one.gsr_source, &addr, ep->socklen);

    if (setsockopt(s, level, MCAST_JOIN_SOURCE_GROUP, &one,
                   sizeof(struct group_source_req))
        == -1)
    {
        return ngx_mc_udp_failed(ep, s, "joining the group and source");
    }

    return NGX_OK;
}


/* where datagrams leave, and how far they go */

static ngx_int_t
ngx_mc_udp_egress(ngx_mc_endpoint_t *ep, ngx_socket_t s,
    ngx_mc_udp_interface_t *in)
{
    int              value, option;
    ngx_int_t        ttl;
    ngx_uint_t       group;
    struct ip_mreqn  mreq;

    ttl = ep->def->params.ttl;
    group = ngx_mc_udp_is_group(ep->sockaddr);

    if (group && ttl == NGX_CONF_UNSET) {
        ttl = NGX_MC_UDP_GROUP_TTL;
    }

    value = (int) ttl;

#if (NGX_HAVE_INET6)
    if (ep->sockaddr->sa_family == AF_INET6) {

        option = group ? IPV6_MULTICAST_HOPS : IPV6_UNICAST_HOPS;

        if (ttl != NGX_CONF_UNSET
            && setsockopt(s, IPPROTO_IPV6, option, &value, sizeof(int)) == -1)
        {
            return ngx_mc_udp_failed(ep, s, "setting the hop limit");
        }

        value = (int) in->index;

        if (in->index
            && setsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, &value,
                          sizeof(int))
               == -1)
        {
            return ngx_mc_udp_failed(ep, s, "setting the interface");
        }

        return NGX_OK;
    }
#endif

    option = group ? IP_MULTICAST_TTL : IP_TTL;

    if (ttl != NGX_CONF_UNSET
        && setsockopt(s, IPPROTO_IP, option, &value, sizeof(int)) == -1)
    {
        return ngx_mc_udp_failed(ep, s, "setting the TTL");
    }

    if (in->index) {

        ngx_memzero(&mreq, sizeof(struct ip_mreqn));

        mreq.imr_ifindex = (int) in->index;

        if (in->addr.sockaddr.sa_family == AF_INET) {

            /* it is the one to send from, too */
            mreq.imr_address = in->addr.sockaddr_in.sin_addr;
        }

        if (setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &mreq,
                       sizeof(struct ip_mreqn))
            == -1)
        {
            return ngx_mc_udp_failed(ep, s, "setting the interface");
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mc_udp_interface(ngx_mc_endpoint_t *ep, ngx_mc_udp_interface_t *in)
{
    ngx_str_t  *s;
    u_char      name[IF_NAMESIZE];

    ngx_memzero(in, sizeof(ngx_mc_udp_interface_t));

    s = &ep->def->params.interface;

    if (s->len == 0) {
        return NGX_OK;
    }

    if (ngx_mc_udp_parse_addr(s, &in->addr) == NGX_OK) {
        in->index = ngx_mc_udp_ifindex(&in->addr.sockaddr);

    } else if (s->len < IF_NAMESIZE) {
        ngx_memcpy(name, s->data, s->len);
        name[s->len] = '\0';

        in->index = if_nametoindex((char *) name);
    }

    if (in->index) {
        return NGX_OK;
    }

    /* not there now: a tunnel, say, that comes up later */

    ngx_mc_endpoint_failed(ep, NGX_MC_EVENT_CONNECT_FAILED,
                           "there is no interface \"%V\"", s);
    return NGX_ERROR;
}


static ngx_int_t
ngx_mc_udp_parse_addr(ngx_str_t *text, ngx_sockaddr_t *addr)
{
    in_addr_t  inaddr;

    ngx_memzero(addr, sizeof(ngx_sockaddr_t));

    inaddr = ngx_inet_addr(text->data, text->len);

    if (inaddr != INADDR_NONE) {
        addr->sockaddr_in.sin_family = AF_INET;
        addr->sockaddr_in.sin_addr.s_addr = inaddr;
        return NGX_OK;
    }

#if (NGX_HAVE_INET6)

    if (ngx_inet6_addr(text->data, text->len,
                       addr->sockaddr_in6.sin6_addr.s6_addr)
        == NGX_OK)
    {
        addr->sockaddr_in6.sin6_family = AF_INET6;
        return NGX_OK;
    }

    ngx_memzero(addr, sizeof(ngx_sockaddr_t));

#endif

    return NGX_DECLINED;
}


/* the interface that has an address; 0: none */

static ngx_uint_t
ngx_mc_udp_ifindex(struct sockaddr *sa)
{
    ngx_uint_t       index;
    struct ifaddrs  *list, *ifa;

    if (getifaddrs(&list) == -1) {
        return 0;
    }

    index = 0;

    for (ifa = list; ifa; ifa = ifa->ifa_next) {

        if (ifa->ifa_addr == NULL || ifa->ifa_addr->sa_family != sa->sa_family)
        {
            continue;
        }

        if (ngx_cmp_sockaddr(ifa->ifa_addr, sizeof(ngx_sockaddr_t), sa,
                             sizeof(ngx_sockaddr_t), 0)
            == NGX_OK)
        {
            index = if_nametoindex(ifa->ifa_name);
            break;
        }
    }

    freeifaddrs(list);

    return index;
}


#if (NGX_HAVE_INET6)

/* where the kernel would join an IPv6 group by itself; 0: not known */

static ngx_uint_t
ngx_mc_udp_route(ngx_mc_endpoint_t *ep)
{
    socklen_t       len;
    ngx_uint_t      index;
    ngx_socket_t    s;
    ngx_sockaddr_t  addr;

    ngx_memcpy(&addr, ep->sockaddr, ep->socklen);

    if (addr.sockaddr_in6.sin6_scope_id) {
        return addr.sockaddr_in6.sin6_scope_id;
    }

    s = socket(AF_INET6, SOCK_DGRAM|SOCK_CLOEXEC, 0);
    if (s == (ngx_socket_t) -1) {
        return 0;
    }

    index = 0;
    len = sizeof(ngx_sockaddr_t);

    if (connect(s, &addr.sockaddr, ep->socklen) == 0
        && getsockname(s, &addr.sockaddr, &len) == 0)
    {
        index = ngx_mc_udp_ifindex(&addr.sockaddr);
    }

    (void) ngx_close_socket(s);

    return index;
}

#endif


static ngx_uint_t
ngx_mc_udp_is_group(struct sockaddr *sa)
{
#if (NGX_HAVE_INET6)
    if (sa->sa_family == AF_INET6) {
        return IN6_IS_ADDR_MULTICAST(&((struct sockaddr_in6 *) sa)->sin6_addr);
    }
#endif

    return IN_MULTICAST(ntohl(((struct sockaddr_in *) sa)->sin_addr.s_addr));
}


/* beyond net.core.rmem_max with the privilege, else as far as it lets us */

static void
ngx_mc_udp_buffer(ngx_socket_t s, int force, int option, int value)
{
    if (setsockopt(s, SOL_SOCKET, force, &value, sizeof(int)) == -1) {
        (void) setsockopt(s, SOL_SOCKET, option, &value, sizeof(int));
    }
}


static ngx_int_t
ngx_mc_udp_failed(ngx_mc_endpoint_t *ep, ngx_socket_t s, const char *what)
{
    u_char     *p, text[NGX_MC_ERROR_LEN];
    ngx_err_t   err;

    err = ngx_socket_errno;

    if (s != (ngx_socket_t) -1) {
        (void) ngx_close_socket(s);
    }

    p = ngx_strerror(err, text, sizeof(text) - 1);
    *p = '\0';

    ngx_mc_endpoint_failed(ep, err == NGX_EADDRINUSE
                               ? NGX_MC_EVENT_ADDRESS_IN_USE
                               : NGX_MC_EVENT_CONNECT_FAILED,
                           "%s failed: %s", what, text);

    return NGX_ERROR;
}
