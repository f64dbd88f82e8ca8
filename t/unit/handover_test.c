/* sources: ngx_mc_handover.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mc.h>
#include <ngx_mc_handover.h>
#include <dirent.h>

#include "shim.h"


#define FLOWS      3
#define ENDPOINTS  100


/* what the module has of other files */

ngx_mc_registry_t           *ngx_mc_registry;
ngx_uint_t                   ngx_worker;
sig_atomic_t                 ngx_terminate;

static ngx_mc_registry_t     reg;
static ngx_mc_generation_t   gen;
static ngx_mc_flow_entry_t   entries[FLOWS];
static ngx_mc_flow_stat_t    stats[FLOWS];
static ngx_mc_flow_t         flows[FLOWS];
static ngx_mc_endpoint_t     eps[FLOWS][ENDPOINTS];
static ngx_mc_endpoint_def_t defs[FLOWS][ENDPOINTS];
static ngx_mc_endpoint_stat_t ep_stats[FLOWS][ENDPOINTS];
static char                  texts[FLOWS][ENDPOINTS * 64];

static ngx_mc_handover_t     ho;


ngx_mc_generation_t *
ngx_mc_registry_current(void)
{
    return &gen;
}


ngx_mc_flow_entry_t *
ngx_mc_registry_find(ngx_mc_generation_t *g, u_char *name, size_t len)
{
    ngx_uint_t  i;

    for (i = 0; i < g->nflows; i++) {
        if (ngx_strlen(entries[i].stat->name) == len
            && memcmp(entries[i].stat->name, name, len) == 0)
        {
            return &entries[i];
        }
    }

    return NULL;
}


void
ngx_mc_owner_notify(void)
{
}


ngx_uint_t
ngx_mc_owner_is_old(ngx_mc_generation_t *gen)
{
    return 0;
}


static void
setup(void)
{
    char        *p;
    ngx_uint_t   i, k;

    memset(&reg, 0, sizeof(reg));

    ngx_mc_registry = &reg;
    shim_core_conf.worker_processes = 2;
    gen.nflows = FLOWS;
    gen.flows = entries;
    ngx_pid = 100;

    for (i = 0; i < FLOWS; i++) {
        snprintf((char *) stats[i].name, sizeof(stats[i].name), "flow%u",
                 (unsigned) i);

        entries[i].stat = &stats[i];
        entries[i].hint = 0;

        flows[i].stat = &stats[i];
        flows[i].name = shim_str((char *) stats[i].name);
        flows[i].moving = 1;

        p = texts[i];
        p += sprintf(p, "flow flow%u\nbatch 2\n", (unsigned) i);

        for (k = 0; k < ENDPOINTS; k++) {
            snprintf((char *) ep_stats[i][k].name,
                     sizeof(ep_stats[i][k].name), "e%u", (unsigned) k);

            defs[i][k].name = shim_str((char *) ep_stats[i][k].name);
            defs[i][k].direction = k ? NGX_MC_OUTPUT : NGX_MC_INPUT;

            defs[i][k].text.data = (u_char *) p;
            p += sprintf(p, "endpoint e%u of flow %u", (unsigned) k,
                         (unsigned) i);
            defs[i][k].text.len = p - (char *) defs[i][k].text.data;
            *p++ = '\n';

            eps[i][k].flow = &flows[i];
            eps[i][k].def = &defs[i][k];
            eps[i][k].stat = &ep_stats[i][k];
            eps[i][k].log = &shim_log;
            eps[i][k].stopping = 1;
        }

        entries[i].text.data = (u_char *) texts[i];
        entries[i].text.len = p - texts[i];
    }

    ngx_mc_handover_init_module(&shim_cycle);
    ngx_mc_handover_init_process();
}


static ngx_uint_t
descriptors(void)
{
    DIR         *dir;
    ngx_uint_t   n;

    dir = opendir("/proc/self/fd");

    for (n = 0; readdir(dir); n++) { /* void */ }

    closedir(dir);

    return n;
}


/* a socket that can be known again */

static int
make(uint64_t *ino)
{
    int          fd;
    struct stat  sb;

    fd = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0);

    if (ino) {
        fstat(fd, &sb);
        *ino = sb.st_ino;
    }

    return fd;
}


static uint64_t
known(int fd)
{
    struct stat  sb;

    return fstat(fd, &sb) == 0 ? sb.st_ino : 0;
}


static void
give(ngx_uint_t flow, ngx_uint_t n, uint64_t *ino)
{
    char  state[ENDPOINTS + 16];

    memset(state, 0, sizeof(state));
    sprintf(state, "state %u", (unsigned) n);

    eps[flow][n].connected = (n % 2 == 0);
    ep_stats[flow][n].connected_at = 1000 + n;
    eps[flow][n].bucket = 77;
    eps[flow][n].banned = 0;

    ngx_mc_handover_give(&eps[flow][n], make(ino), state, n + 1);
}


/* the kernel's copy of the oldest message, taken out or put in */

static u_char  raw[65536];
static int     raw_fds[64];

static ssize_t
get(ngx_uint_t n, ngx_uint_t *nfds)
{
    ssize_t          size;
    struct iovec     iov = { raw, sizeof(raw) };
    struct msghdr    msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    struct cmsghdr  *cmsg;

    static union {
        struct cmsghdr  align;
        u_char          data[CMSG_SPACE(sizeof(raw_fds))];
    } control;

    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);

    size = recvmsg(reg.handover[n].fds[1], &msg, MSG_DONTWAIT);
    *nfds = 0;

    if (size == -1) {
        return -1;
    }

    cmsg = CMSG_FIRSTHDR(&msg);

    if (cmsg) {
        *nfds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(raw_fds, CMSG_DATA(cmsg), *nfds * sizeof(int));
    }

    return size;
}


static void
put(ngx_uint_t n, u_char *data, size_t size, int *fds, ngx_uint_t nfds)
{
    ssize_t          rc;
    struct iovec     iov = { data, size };
    struct msghdr    msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    struct cmsghdr  *cmsg;

    static union {
        struct cmsghdr  align;
        u_char          data[CMSG_SPACE(128 * sizeof(int))];
    } control;

    if (nfds) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
    }

    rc = sendmsg(reg.handover[n].fds[0], &msg, MSG_DONTWAIT);
    (void) rc;
}


static void
wanted(void)
{
    size_t      len;
    ngx_str_t  *text;

    text = &entries[1].text;
    len = text->len;

    is_num(ngx_mc_handover_wanted(&eps[1][0]), 1, "an endpoint that stays");
    is_num(ngx_mc_handover_wanted(&eps[1][99]), 1, "the last of them");

    text->len--;
    is_num(ngx_mc_handover_wanted(&eps[1][99]), 0, "a line without its end");
    text->len = len;

    /* "endpoint e1 of flow 1" and "endpoint e1 of flow 12" */

    defs[1][1].text.len--;
    is_num(ngx_mc_handover_wanted(&eps[1][1]), 0, "the beginning of a line");
    defs[1][1].text.data++;
    is_num(ngx_mc_handover_wanted(&eps[1][1]), 0, "the middle of it");
    defs[1][1].text.data--;
    defs[1][1].text.len++;

    flows[1].moving = 0;
    is_num(ngx_mc_handover_wanted(&eps[1][0]), 0, "of a flow that ends");
    flows[1].moving = 1;

    eps[1][0].stopping = 0;
    is_num(ngx_mc_handover_wanted(&eps[1][0]), 0, "one that only retries");
    eps[1][0].stopping = 1;

    memcpy(texts[1] + sizeof("flow flow1\n") - 1, "state off\n", 10);
    text->len = len;
    is_num(ngx_mc_handover_wanted(&eps[1][50]), 0, "of one that is off");
    memcpy(texts[1] + sizeof("flow flow1\n") - 1, "batch 2\nen", 10);

    gen.nflows = 1;
    is_num(ngx_mc_handover_wanted(&eps[1][0]), 0, "of one that is gone");
    gen.nflows = FLOWS;
}


static void
one(void)
{
    uint64_t    a, b;
    ngx_uint_t  n;

    n = descriptors();

    stats[0].pid = 0;
    give(0, 0, &a);
    give(0, 3, &b);
    is_num(eps[0][0].connected, 0, "who has given is not connected");
    is_num(stats[0].moved, 0, "nothing is sent before all is there");
    ngx_mc_handover_flush(&flows[0]);
    is_num(stats[0].moved, 1, "a message");
    is_num(descriptors(), n, "the giver keeps nothing");

    stats[0].pid = ngx_pid;
    eps[0][0].bucket = 0;

    is_num(ngx_mc_handover_take(&eps[0][0], &ho), NGX_OK, "the source");
    is_num(known(ho.fd), a, "its socket");
    is_num(ho.size, 1, "size of the state");
    is_num(ho.state[0], 's', "and the state");
    is_num(ho.connected_at, 1000, "it was connected");
    is_num(eps[0][0].bucket, 77, "the token bucket");
    is_num(stats[0].moved, 0, "nothing on its way");
    close(ho.fd);

    is_num(ngx_mc_handover_take(&eps[0][0], &ho), NGX_DECLINED, "only once");
    is_num(ngx_mc_handover_take(&eps[0][2], &ho), NGX_DECLINED,
           "one that nobody gave");

    ngx_mc_handover_sweep();

    is_num(ngx_mc_handover_take(&eps[0][3], &ho), NGX_OK, "the output");
    is_num(known(ho.fd), b, "its socket");
    is_num(ho.connected_at, 0, "it was not connected");
    ngx_mc_handover_refuse(&eps[0][3], &ho);
    is_num(ep_stats[0][3].disconnections, 0, "so it is not disconnected");
    is_num(descriptors(), n, "no descriptor is left");

    /* a definition that is another by now */

    give(0, 0, NULL);
    ngx_mc_handover_flush(&flows[0]);
    defs[0][0].text.len--;
    is_num(ngx_mc_handover_take(&eps[0][0], &ho), NGX_DECLINED,
           "an endpoint that was changed");
    defs[0][0].text.len++;
    is_num(ngx_mc_handover_take(&eps[0][0], &ho), NGX_OK, "and one alike");
    ngx_mc_handover_refuse(&eps[0][0], &ho);
    is_num(ep_stats[0][0].disconnections, 1, "which is disconnected now");
    is_num(descriptors(), n, "no descriptor is left");
}


static void
others(void)
{
    uint64_t    a, b;
    ngx_uint_t  n;

    n = descriptors();

    give(1, 0, &a);
    ngx_mc_handover_flush(&flows[1]);
    give(2, 0, &b);
    ngx_mc_handover_flush(&flows[2]);

    /* the worker runs flow2, flow1 is another's */

    stats[1].pid = 200;
    stats[2].pid = ngx_pid;

    is_num(ngx_mc_handover_take(&eps[2][0], &ho), NGX_OK, "one of two");
    is_num(known(ho.fd), b, "the right one");
    close(ho.fd);

    is_num(stats[1].moved, 1, "the other is on its way");
    is_num(descriptors(), n + 1, "in our hands");

    entries[1].hint = 5;
    ngx_mc_handover_sweep();
    is_num(descriptors(), n, "until it is put back");
    is_num(stats[1].moved, 1, "and still on its way");
    is_num(stats[1].moved_queue, 5, "to whom it is meant for by now");
    entries[1].hint = 0;

    stats[1].pid = ngx_pid;
    is_num(ngx_mc_handover_take(&eps[1][0], &ho), NGX_OK, "where it is");
    is_num(known(ho.fd), a, "as it was");
    close(ho.fd);
    is_num(descriptors(), n, "no descriptor is left");

    /* in other hands; or lost */

    stats[1].moved = 1;
    stats[1].moved_at = ngx_mc_now();
    is_num(ngx_mc_handover_take(&eps[1][0], &ho), NGX_AGAIN,
           "one that is not to be found");

    stats[1].moved_at = ngx_mc_now() - 6000000;
    is_num(ngx_mc_handover_take(&eps[1][0], &ho), NGX_DECLINED,
           "and does not come any more");
    is_num(stats[1].moved, 0, "nobody waits for it");

    /* a flow that goes on elsewhere before its endpoints were opened */

    give(1, 0, NULL);
    give(1, 1, NULL);
    ngx_mc_handover_flush(&flows[1]);
    is_num(ngx_mc_handover_take(&eps[1][0], &ho), NGX_OK, "one is opened");
    close(ho.fd);
    stats[1].pid = 200;
    ngx_mc_handover_sweep();
    is_num(descriptors(), n, "the other closed with the flow");

    /* and one that the configuration no longer has */

    give(2, 0, NULL);
    ngx_mc_handover_flush(&flows[2]);
    give(1, 0, NULL);
    ngx_mc_handover_flush(&flows[1]);
    stats[1].pid = ngx_pid;
    is_num(ngx_mc_handover_take(&eps[1][0], &ho), NGX_OK, "another's too");
    close(ho.fd);
    gen.nflows = 2;
    ngx_mc_handover_sweep();
    is_num(descriptors(), n, "is closed if it is gone");
    gen.nflows = FLOWS;
    stats[2].moved = 0;
}


static void
many(void)
{
    uint64_t    ino[ENDPOINTS];
    ngx_uint_t  i, n, bad;

    n = descriptors();
    bad = 0;

    for (i = 0; i < ENDPOINTS; i++) {
        give(0, i, &ino[i]);
    }

    ngx_mc_handover_flush(&flows[0]);
    is_num(stats[0].moved, 2, "100 sockets are two messages");

    stats[0].pid = ngx_pid;

    for (i = ENDPOINTS; i--; /* void */ ) {

        if (ngx_mc_handover_take(&eps[0][i], &ho) != NGX_OK) {
            bad++;
            continue;
        }

        if (known(ho.fd) != ino[i] || ho.size != i + 1) {
            bad++;
        }

        close(ho.fd);
    }

    is_num(bad, 0, "each is found");
    is_num(stats[0].moved, 0, "nothing on its way");
    is_num(descriptors(), n, "no descriptor is left");
}


static void
full(void)
{
    int         size;
    ngx_uint_t  i, n, sent;

    n = descriptors();
    size = 0;
    (void) setsockopt(reg.handover[0].fds[0], SOL_SOCKET, SO_SNDBUF, &size,
                      sizeof(int));

    ep_stats[0][0].disconnections = 0;

    for (i = 0; i < 100; i++) {
        give(0, 0, NULL);
        ngx_mc_handover_flush(&flows[0]);
    }

    sent = 100 - ep_stats[0][0].disconnections;

    ok(sent > 0 && sent < 100, "a small buffer takes %u", (unsigned) sent);
    is_num(stats[0].moved, 0, "of the last nothing is on its way");
    ok(strstr(shim_logged, "could not be handed over") != NULL, "as is told");
    is_num(descriptors(), n, "and no descriptor left");

    size = 1024 * 1024;
    (void) setsockopt(reg.handover[0].fds[0], SOL_SOCKET, SO_SNDBUF, &size,
                      sizeof(int));

    ngx_mc_handover_flush(&flows[0]);

    for (sent = 0; get(0, &i) != -1; sent += i) {
        while (i) {
            close(raw_fds[--i]);
            sent++;
        }
    }

    is_num(descriptors(), n, "nothing is left");
}


/* nothing of what comes is believed */

static void
malformed(void)
{
    u_char      copy[4096];
    size_t      len;
    ssize_t     size;
    unsigned    seed;
    int         fds[100];
    ngx_uint_t  i, k, n, nfds, taken;

    n = descriptors();
    seed = 1;
    taken = 0;

    give(0, 0, NULL);
    give(0, 1, NULL);
    give(0, 2, NULL);
    ngx_mc_handover_flush(&flows[0]);

    size = get(0, &nfds);
    ok(size > 0 && size < (ssize_t) sizeof(copy), "a message");
    is_num(nfds, 3, "with three sockets");
    memcpy(copy, raw, size);

    stats[0].pid = ngx_pid;

    for (i = 0; i < 20000; i++) {

        memcpy(raw, copy, size);
        len = size;

        /* the first is as it was sent */

        switch (i ? rand_r(&seed) % 4 : 4) {

        case 0:
            len = rand_r(&seed) % size;
            break;

        case 1:
            raw[rand_r(&seed) % 24] ^= 1 << rand_r(&seed) % 8;
            break;

        case 2:
            for (k = rand_r(&seed) % 8 + 1; k; k--) {
                raw[rand_r(&seed) % size] = rand_r(&seed);
            }
            break;

        case 3:
            len += rand_r(&seed) % 64;
            break;
        }

        nfds = (i % 16) ? 3 : rand_r(&seed) % 5;

        if (i == 0) {
            nfds = 3;
        }

        put(0, raw, len, raw_fds, nfds);

        stats[0].moved = 1;
        stats[0].moved_queue = 0;

        for (k = 0; k < 3; k++) {
            if (ngx_mc_handover_take(&eps[0][k], &ho) == NGX_OK) {
                taken++;
                close(ho.fd);
            }
        }

        if (i == 0) {
            is_num(taken, 3, "as it was sent");
        }

        /* what is of nobody leaves with its flow */

        gen.nflows = 0;
        ngx_mc_handover_sweep();
        gen.nflows = FLOWS;

        shim_log_reset();

        if (descriptors() != n + 3) {
            break;
        }
    }

    is_num(i, 20000, "20000 that were not");

    /* more sockets than are looked for, no message at all */

    for (i = 0; i < 100; i++) {
        fds[i] = raw_fds[0];
    }

    put(0, copy, size, fds, 100);
    put(0, copy, 0, fds, 1);
    put(0, copy, size, fds, 0);
    stats[0].moved = 1;
    is_num(ngx_mc_handover_take(&eps[0][0], &ho), NGX_AGAIN,
           "too many, empty, without any");
    is_num(descriptors(), n + 3, "no descriptor is left of them");

    /* too old, and of the future */

    *(int64_t *) (copy + 8) = ngx_mc_now() - 6000000;
    put(0, copy, size, raw_fds, 3);
    is_num(ngx_mc_handover_take(&eps[0][0], &ho), NGX_DECLINED, "too old");
    ngx_mc_handover_sweep();
    is_num(descriptors(), n + 3, "closed");

    *(int64_t *) (copy + 8) = ngx_mc_now() + 3000000;
    put(0, copy, size, raw_fds, 3);
    stats[0].moved = 1;
    is_num(ngx_mc_handover_take(&eps[0][0], &ho), NGX_AGAIN, "of the future");
    is_num(descriptors(), n + 3, "closed");

    for (i = 0; i < 3; i++) {
        close(raw_fds[i]);
    }
}


int
main(void)
{
    setup();

    wanted();
    one();
    others();
    many();
    full();
    malformed();

    return shim_done();
}
