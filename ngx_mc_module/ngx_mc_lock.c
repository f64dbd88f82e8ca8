
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_lock.h>
#include <ngx_mc_registry.h>
#include <dirent.h>


#define NGX_MC_LOCK_SUFFIX  ".mc.lock"


static ngx_fd_t ngx_mc_lock_file(ngx_cycle_t *cycle, ngx_str_t *pid);
static ngx_fd_t ngx_mc_lock_inherit(ngx_cycle_t *cycle);
static ngx_int_t ngx_mc_lock_set(uint64_t hash, short type);


/* the file that is open, and what its name was last seen to lead to */
static u_char              ngx_mc_lock_name[NGX_MAX_PATH];
static dev_t               ngx_mc_lock_dev;
static ino_t               ngx_mc_lock_ino;

/* that of the master, as it was when this process was forked: the number that
   the registry may have got since then is another file here */
static ngx_fd_t            ngx_mc_lock_inherited = NGX_INVALID_FILE;

/* this worker's */
static ngx_fd_t            ngx_mc_lock_fd = NGX_INVALID_FILE;


void
ngx_mc_lock_init_module(ngx_cycle_t *cycle)
{
    int                 fd;
    ngx_uint_t          shared;
    struct stat         sb;
    ngx_core_conf_t    *ccf;
    ngx_mc_registry_t  *reg;

    reg = ngx_mc_registry;
    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    /*
     * The file stays the same for the life of this master, even if its name
     * goes: workers that leave and those that come must see one set of locks.
     */

    if (reg->lock_fd == -1) {
        reg->lock_fd = ngx_mc_lock_file(cycle, &ccf->pid);

        if (reg->lock_fd == NGX_INVALID_FILE) {
            return;
        }
    }

    fd = reg->lock_fd;
    ngx_mc_lock_inherited = fd;

    if (fstat(fd, &sb) == -1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                      "fstat() \"%s\" failed", ngx_mc_lock_name);
        return;
    }

    /* root is about to give it away: nothing but a file that has no other name,
       or none any more */

    if (!S_ISREG(sb.st_mode) || sb.st_nlink > 1) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                      "lock file \"%s\" is not a regular file of one name",
                      ngx_mc_lock_name);

    } else if (geteuid() == 0
               && ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
               && sb.st_uid != ccf->user)
    {
        /* after an upgrade to another user the workers of the old master open
           the file as its group, in case that they are to come back */

        shared = (ngx_inherited && sb.st_uid != 0);

        if (fchown(fd, ccf->user, shared ? (gid_t) -1 : ccf->group) == -1) {
            ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                          "fchown() \"%s\" failed", ngx_mc_lock_name);

        } else if (shared && fchmod(fd, 0660) == -1) {
            ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                          "fchmod() \"%s\" failed", ngx_mc_lock_name);
        }
    }

    ngx_mc_lock_check(cycle->log);
}


static ngx_fd_t
ngx_mc_lock_file(ngx_cycle_t *cycle, ngx_str_t *pid)
{
    ngx_fd_t     fd;
    struct stat  sb;

    fd = NGX_INVALID_FILE;

    if (ngx_inherited) {
        fd = ngx_mc_lock_inherit(cycle);
    }

    if (fd == NGX_INVALID_FILE) {

        if (pid->len + sizeof(NGX_MC_LOCK_SUFFIX) > NGX_MAX_PATH) {
            ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                          "the name of the pid file is too long");
            return NGX_INVALID_FILE;
        }

        ngx_sprintf(ngx_mc_lock_name, "%V%s%Z", pid, NGX_MC_LOCK_SUFFIX);

        fd = open((char *) ngx_mc_lock_name,
                  O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC, 0600);

        if (fd == -1) {
            ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                          "open() \"%s\" failed", ngx_mc_lock_name);
            return NGX_INVALID_FILE;
        }
    }

    if (fstat(fd, &sb) == 0) {
        ngx_mc_lock_dev = sb.st_dev;
        ngx_mc_lock_ino = sb.st_ino;
    }

    return fd;
}


/*
 * In a binary upgrade both masters need the very same file, or they would
 * have two sets of locks.  Its name may have been deleted by now or lead to
 * another file, and the configuration may name another pid file: so it is
 * taken from among the descriptors of the old master, which is our parent, as
 * nginx does not daemonize in an upgrade.
 */

static ngx_fd_t
ngx_mc_lock_inherit(ngx_cycle_t *cycle)
{
    DIR            *dir;
    size_t          len;
    u_char          name[sizeof("/proc//fd/") + 2 * NGX_INT64_LEN];
    u_char          path[NGX_MAX_PATH], *last;
    ssize_t         n;
    ngx_fd_t        fd;
    ngx_pid_t       pid;
    ngx_err_t       err;
    struct stat     sb, now;
    struct dirent  *de;

    static char     deleted[] = " (deleted)";

    pid = ngx_getppid();
    fd = NGX_INVALID_FILE;
    last = path;
    err = 0;

    ngx_sprintf(name, "/proc/%P/fd%Z", pid);

    dir = opendir((char *) name);
    if (dir == NULL) {
        err = ngx_errno;
        goto failed;
    }

    while (fd == NGX_INVALID_FILE && (de = readdir(dir)) != NULL) {

        if (ngx_strlen(de->d_name) > NGX_INT64_LEN) {
            continue;
        }

        ngx_sprintf(name, "/proc/%P/fd/%s%Z", pid, de->d_name);

        n = readlink((char *) name, (char *) path, NGX_MAX_PATH - 1);
        if (n <= 0) {
            continue;
        }

        last = path + n;
        len = sizeof(deleted) - 1;

        if ((size_t) n > len && ngx_memcmp(last - len, deleted, len) == 0) {
            last -= len;
        }

        *last = '\0';
        len = sizeof(NGX_MC_LOCK_SUFFIX) - 1;

        if ((size_t) (last - path) <= len
            || ngx_memcmp(last - len, NGX_MC_LOCK_SUFFIX, len) != 0
            || stat((char *) name, &sb) == -1
            || !S_ISREG(sb.st_mode))
        {
            continue;
        }

        fd = open((char *) name, O_RDWR|O_CLOEXEC);
        if (fd == -1) {
            err = ngx_errno;
            continue;
        }

        /* the table may have changed between the looks at it */

        if (fstat(fd, &now) == -1
            || now.st_dev != sb.st_dev || now.st_ino != sb.st_ino)
        {
            (void) close(fd);
            fd = NGX_INVALID_FILE;
        }
    }

    (void) closedir(dir);

    if (fd != NGX_INVALID_FILE) {
        ngx_memcpy(ngx_mc_lock_name, path, last - path + 1);
        return fd;
    }

failed:

    ngx_log_error(NGX_LOG_WARN, cycle->log, err,
                  "no lock file of the running nginx %P was found, the one "
                  "beside the pid file is used", pid);

    return NGX_INVALID_FILE;
}


/*
 * Locks in a file that has lost its name still hold, but another nginx that
 * is started with this pid file would not see them.
 */

void
ngx_mc_lock_check(ngx_log_t *log)
{
    struct stat  own, named;

    if (fstat(ngx_mc_lock_inherited, &own) == -1) {
        return;
    }

    if (stat((char *) ngx_mc_lock_name, &named) == -1) {

        if (ngx_errno != NGX_ENOENT && ngx_errno != NGX_ENOTDIR) {
            return;
        }

        named.st_dev = 0;
        named.st_ino = 0;
    }

    if (named.st_dev == ngx_mc_lock_dev && named.st_ino == ngx_mc_lock_ino) {
        return;
    }

    ngx_mc_lock_dev = named.st_dev;
    ngx_mc_lock_ino = named.st_ino;

    if (named.st_dev == own.st_dev && named.st_ino == own.st_ino) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "lock file \"%s\" was %s, flows keep to the one that is "
                  "open", ngx_mc_lock_name,
                  named.st_ino ? "replaced" : "deleted");
}


/* a description of our own: one that was inherited would share its locks */

ngx_int_t
ngx_mc_lock_open(void)
{
    u_char  name[sizeof("/proc/self/fd/") + NGX_INT_T_LEN];

    if (ngx_mc_lock_fd != NGX_INVALID_FILE) {
        return NGX_OK;
    }

    ngx_sprintf(name, "/proc/self/fd/%d%Z", ngx_mc_lock_inherited);

    ngx_mc_lock_fd = open((char *) name, O_RDWR|O_CLOEXEC);

    if (ngx_mc_lock_fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_errno,
                      "open() \"%s\" for \"%s\" failed, no flow can run",
                      name, ngx_mc_lock_name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mc_lock(uint64_t hash)
{
    return ngx_mc_lock_set(hash, F_WRLCK);
}


void
ngx_mc_unlock(uint64_t hash)
{
    (void) ngx_mc_lock_set(hash, F_UNLCK);
}


static ngx_int_t
ngx_mc_lock_set(uint64_t hash, short type)
{
    struct flock  fl;

    ngx_memzero(&fl, sizeof(struct flock));

    fl.l_type = type;
    fl.l_whence = SEEK_SET;
    fl.l_start = (off_t) hash;
    fl.l_len = 1;

    if (fcntl(ngx_mc_lock_fd, F_OFD_SETLK, &fl) == 0) {
        return NGX_OK;
    }

    if (ngx_errno != NGX_EAGAIN && ngx_errno != NGX_EACCES) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "fcntl(F_OFD_SETLK) failed");
    }

    return NGX_DECLINED;
}
