/*
 * A layer between a program and its disk, for tests: it records what the program asks the disk to
 * do, and fails, cuts off, or pretends what the test wants. Linux, 64 bit, glibc.
 *
 *     cc -shared -fPIC -O1 -o shim.so shim.c
 *     LD_PRELOAD=./shim.so DISK_SHIM_FOLDERS=/srv/a:/srv/b ... program
 *
 * Rust's standard library and rusqlite's SQLite reach the kernel through the functions of libc that
 * are defined here again. What makes system calls of its own (the crate rustix, for one) passes by;
 * so does what is written through mmap, fallocate, sendfile or a link. Therefore a test compares the
 * files with what the journal says they hold.
 *
 * DISK_SHIM_FOLDERS=a:b     Canonical paths. Calls on these folders and on what is below them are
 *                           watched, all others go straight on. Without it the shim does nothing.
 * DISK_SHIM_JOURNAL=file    Each watched call that changes or syncs something is appended, in the
 *                           order in which they happen: one lock is held over a call and its record.
 * DISK_SHIM_NOTES=file      Writes to this file are recorded as notes, and are none of the counted
 *                           calls: how the program tells the journal what it has answered.
 * DISK_SHIM_FAIL=n:EIO      The nth call fails and does nothing. A sync that fails leaves the data
 *            n:ENOSPC       readable and, as on Linux, clean: no later sync writes it.
 *            n:SHORT        The nth call, a write, writes half; the next write says ENOSPC. A call that
 *                           is not a write fails with ENOSPC.
 *            n+:...         The same from the nth call on.
 * DISK_SHIM_KILL=n or n+    SIGKILL to itself before, or after, the nth call.
 * DISK_SHIM_SKIP=sync:X     A disk that lies: syncs of paths that end with X are answered as done and
 *                           are not.
 *            until:Y:X      Writes to and syncs of paths that end with X are answered as done and are
 *                           not, until a path that ends with Y is opened.
 * DISK_SHIM_FAIL_READ=n:X   A bad sector: reads by pread of the byte at offset n in paths that end with X
 *                           fail with EIO.
 *
 * DISK_SHIM_ONLY=X          Only calls on paths that end with X are counted; those on others go on.
 * DISK_SHIM_SENDS=counted   What is sent through TCP connections is recorded, and is one of the counted
 *                           calls: a kill before or after the nth call can be between an answer and the
 *                           disk. It never fails.
 *                 recorded  The same without being counted.
 *
 * Calls are counted from 1 in each process: writes, syncs, truncations, creations, renames, removals.
 *
 * A record: kind (1 byte), number of the call or 0 (8), offset or length (8), length of the path (4),
 * length of the data (4), path, data; integers little-endian. Kinds: C create, D make a folder,
 * W write, T set the length, S sync, R rename (data: the new path), U remove, E remove a folder, N note,
 * A sent through a connection (without data), f failed sync, x failed otherwise, s skipped, P a process
 * begins.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The kernel itself is called by syscall(), so no other definition of these functions is needed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folders, *notes, *skip_sync, *skip_path, *skip_until, *fail_read, *only, *sends;
static off_t fail_read_at;
static int journal = -1;
static uint64_t calls, this_call, fail_at, kill_at;
static int fail_on, fail_errno, fail_short, kill_after, disk_full;

static void record(char kind, uint64_t call, uint64_t offset, const char *path, const void *data, size_t length)
{
    struct __attribute__((packed)) { char kind; uint64_t call, offset; uint32_t path, data; } head =
        { kind, call, offset, (uint32_t)strlen(path), (uint32_t)length };
    struct iovec parts[3] = { { &head, sizeof head }, { (void *)path, head.path }, { (void *)data, length } };
    size_t whole = sizeof head + head.path + length;
    if (journal >= 0 && syscall(SYS_writev, journal, parts, 3) != (long)whole)
        abort(); /* A journal with a gap would prove anything. */
}

__attribute__((constructor)) static void start(void)
{
    char *value = getenv("DISK_SHIM_FOLDERS"), *end;
    if (!value || !*value)
        return;
    notes = getenv("DISK_SHIM_NOTES");
    only = getenv("DISK_SHIM_ONLY");
    sends = getenv("DISK_SHIM_SENDS");
    if ((end = getenv("DISK_SHIM_FAIL"))) {
        fail_at = strtoull(end, &end, 10);
        fail_on = *end == '+';
        end += fail_on + 1;
        fail_short = !strcmp(end, "SHORT");
        fail_errno = strcmp(end, "EIO") ? ENOSPC : EIO;
    }
    if ((end = getenv("DISK_SHIM_KILL"))) {
        kill_at = strtoull(end, &end, 10);
        kill_after = *end == '+';
    }
    if ((end = getenv("DISK_SHIM_SKIP"))) {
        if (!strncmp(end, "sync:", 5))
            skip_sync = end + 5;
        else if (!strncmp(end, "until:", 6) && (end = strdup(end + 6)) && strchr(end, ':')) {
            skip_until = strsep(&end, ":");
            skip_path = end;
        }
    }
    if ((end = getenv("DISK_SHIM_FAIL_READ"))) {
        fail_read_at = strtoull(end, &end, 10);
        fail_read = end + 1;
    }
    if ((end = getenv("DISK_SHIM_JOURNAL")))
        if ((journal = syscall(SYS_openat, AT_FDCWD, end, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0)
            abort();
    folders = value;
    record('P', 0, 0, "", NULL, 0);
}

static int is_note(const char *path) { return notes && !strcmp(path, notes); }

/* Whether a canonical path is one of the folders, or below one, or takes the notes. */
static int watched(const char *path)
{
    for (const char *folder = folders; folder && *folder; folder += *folder == ':') {
        size_t length = strcspn(folder, ":");
        if (!strncmp(path, folder, length) && (path[length] == '/' || !path[length]))
            return 1;
        folder += length;
    }
    return is_note(path);
}

/* The watched path that an open file has now, also after a rename; NULL for any other file. */
static const char *path_of(int fd, char *into)
{
    char link[40];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = folders ? readlink(link, into, PATH_MAX - 1) : -1;
    errno = saved;
    if (length < 0)
        return NULL;
    into[length] = 0;
    struct stat status; /* A removed file has no name left: nobody can find it after a power loss. */
    return watched(into) && !stat(into, &status) ? into : NULL;
}

/* The watched path that a name stands for, the last part not followed if it is a link. */
static const char *path_at(int folder, const char *name, char *into)
{
    char parent[PATH_MAX], joined[2 * PATH_MAX];
    if (!folders)
        return NULL;
    int saved = errno;
    joined[0] = 0;
    if (name[0] != '/' && folder != AT_FDCWD)
        snprintf(joined, PATH_MAX, "/proc/self/fd/%d/", folder);
    strncat(joined, name, PATH_MAX - 1);
    for (size_t end = strlen(joined); end > 1 && joined[end - 1] == '/';)
        joined[--end] = 0;
    char *slash = strrchr(joined, '/');
    const char *last = slash ? slash + 1 : joined;
    if (slash)
        *slash = 0;
    int known = realpath(slash == joined ? "/" : slash ? joined : ".", parent) != NULL;
    errno = saved;
    if (!known || snprintf(into, PATH_MAX, "%s/%s", parent, last) >= PATH_MAX)
        return NULL;
    return watched(into) ? into : NULL;
}

static int ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), wanted = end ? strlen(end) : 0;
    return end && length >= wanted && !strcmp(path + length - wanted, end);
}

enum fate { GO, HALF, FAIL };

/* Counts a call, under the lock, and says what becomes of it. */
static enum fate count(char kind, const char *path)
{
    int is_send = kind == 'A';
    if (is_send ? strcmp(sends, "counted") : only && !ends_with(path, only))
        return this_call = 0, GO;
    this_call = ++calls;
    if (calls == kill_at && !kill_after)
        kill(getpid(), SIGKILL);
    if (is_send)
        return GO;
    int is_write = kind == 'W', hit = calls == fail_at || (fail_on && calls > fail_at && fail_at);
    if (hit && fail_short && is_write && !disk_full)
        return disk_full = 1, HALF;
    if (!hit && !(disk_full && is_write))
        return GO;
    disk_full = fail_on && fail_short;
    record(kind == 'S' ? 'f' : 'x', calls, 0, path, NULL, 0);
    errno = fail_errno;
    return FAIL;
}

static long finish(char kind, long result, uint64_t offset, const char *path, const void *data, size_t length)
{
    int saved = errno;
    if (result >= 0)
        record(kind, this_call, offset, path, data, length);
    else /* The disk's own refusal; a name that is not there is no fault. */
        record(kind == 'S' ? 'f' : errno == ENOENT || errno == EEXIST ? 's' : 'x', this_call, 0, path, NULL, 0);
    if (this_call && this_call == kill_at && kill_after)
        kill(getpid(), SIGKILL);
    errno = saved;
    return result;
}

static int hold(void) { return pthread_mutex_lock(&lock); }

static long release(long result)
{
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

static int skipped(const char *path)
{
    if (!ends_with(path, skip_path))
        return 0;
    record('s', 0, 0, path, NULL, 0);
    return 1;
}

/* One write; at < 0: where the file stands. */
static long write_to(int fd, const void *data, size_t length, off_t at)
{
    char name[PATH_MAX];
    const char *path = path_of(fd, name);
    if (!path)
        return at < 0 ? syscall(SYS_write, fd, data, length) : syscall(SYS_pwrite64, fd, data, length, at);
    hold();
    if (skipped(path)) {
        if (at < 0)
            lseek(fd, length, SEEK_CUR);
        return release(length);
    }
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    fstat(fd, &status);
    off_t offset = flags & O_APPEND ? status.st_size : at < 0 ? lseek(fd, 0, SEEK_CUR) : at;
    enum fate fate = is_note(path) ? GO : count('W', path);
    if (fate == FAIL)
        return release(-1);
    length = fate == HALF ? (length + 1) / 2 : length;
    long written = at < 0 ? syscall(SYS_write, fd, data, length) : syscall(SYS_pwrite64, fd, data, length, at);
    if (is_note(path)) {
        record('N', 0, offset, path, data, written < 0 ? 0 : written);
        return release(written);
    }
    finish('W', written, offset, path, data, written < 0 ? 0 : written);
    if (written >= 0 && flags & O_DSYNC)
        record('S', 0, 0, path, NULL, 0);
    return release(written);
}

/* A call on an open file that is neither a write nor a sync of a file that the disk lies about. */
static long change(char kind, int fd, long number, off_t argument)
{
    char name[PATH_MAX];
    const char *path = path_of(fd, name);
    if (!path || is_note(path))
        return syscall(number, fd, argument);
    hold();
    if (skipped(path))
        return release(0);
    if (kind == 'S' && ends_with(path, skip_sync)) {
        record('s', 0, 0, path, NULL, 0);
        return release(0);
    }
    if (count(kind, path) == FAIL)
        return release(-1);
    return release(finish(kind, syscall(number, fd, argument), argument, path, NULL, 0));
}

/* A call that changes what is in a folder. */
static long name_change(char kind, int folder, const char *name, long number, long second, const char *third, long fourth)
{
    char from[PATH_MAX], to[PATH_MAX];
    const char *path = path_at(folder, name, from);
    const char *other = kind == 'R' ? path_at(second, third, to) : NULL;
    if (!path || is_note(path))
        return syscall(number, folder, name, second, third, fourth);
    hold();
    if (count(kind, path) == FAIL)
        return release(-1);
    long result = syscall(number, folder, name, second, third, fourth);
    return release(finish(kind, result, 0, path, other, other ? strlen(other) : 0));
}

static long open_at(int folder, const char *name, int flags, mode_t mode)
{
    char place[PATH_MAX], opened[PATH_MAX];
    struct stat status;
    const char *path = path_at(folder, name, place);
    if (!path || is_note(path))
        return syscall(SYS_openat, folder, name, flags, mode);
    hold();
    if (ends_with(path, skip_until))
        skip_path = NULL;
    int exists = !lstat(path, &status), creates = flags & O_CREAT && !exists;
    int empties = flags & O_TRUNC && exists && status.st_size;
    if (creates || empties)
        if (count(creates ? 'C' : 'T', path) == FAIL)
            return release(-1);
    long fd = syscall(SYS_openat, folder, name, flags, mode);
    if (creates || empties)
        finish(creates ? 'C' : 'T', fd, 0, fd >= 0 && path_of(fd, opened) ? opened : path, NULL, 0);
    return release(fd);
}

static mode_t mode_of(int flags, va_list rest)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                                                    \
    int name(const char *path, int flags, ...)                                                        \
    {                                                                                                 \
        va_list rest;                                                                                 \
        va_start(rest, flags);                                                                        \
        mode_t mode = mode_of(flags, rest);                                                           \
        va_end(rest);                                                                                 \
        return open_at(AT_FDCWD, path, flags, mode);                                                  \
    }
#define OPENAT(name)                                                                                  \
    int name(int folder, const char *path, int flags, ...)                                            \
    {                                                                                                 \
        va_list rest;                                                                                 \
        va_start(rest, flags);                                                                        \
        mode_t mode = mode_of(flags, rest);                                                           \
        va_end(rest);                                                                                 \
        return open_at(folder, path, flags, mode);                                                    \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

ssize_t write(int fd, const void *data, size_t length) { return write_to(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return write_to(fd, data, length, at); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return write_to(fd, data, length, at); }

/* Whether sends are watched, and this is a connection to somebody. */
static int is_connection(int fd)
{
    int saved = errno, domain = 0;
    socklen_t length = sizeof domain;
    int known = folders && sends && !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
    errno = saved;
    return known && (domain == AF_INET || domain == AF_INET6);
}

/* One send; its offset in the record is how much was sent. A full buffer is no fault. */
static long send_to(int fd, const struct iovec *parts, int number, int flags)
{
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = number };
    if (!is_connection(fd))
        return syscall(SYS_sendmsg, fd, &message, flags);
    hold();
    count('A', "");
    long sent = syscall(SYS_sendmsg, fd, &message, flags);
    return release(sent < 0 ? sent : finish('A', sent, sent, "", NULL, 0));
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    struct iovec part = { (void *)data, length };
    return send_to(fd, &part, 1, flags);
}

/* Of a write to files only the first part that is not empty: callers go on after a short count. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    char name[PATH_MAX];
    if (is_connection(fd))
        return send_to(fd, parts, count, 0);
    if (!path_of(fd, name))
        return syscall(SYS_writev, fd, parts, count);
    while (count > 1 && !parts->iov_len)
        parts++, count--;
    return count > 0 ? write_to(fd, parts->iov_base, parts->iov_len, -1) : 0;
}

ssize_t pread64(int fd, void *into, size_t length, off64_t at)
{
    char name[PATH_MAX];
    const char *path = fail_read ? path_of(fd, name) : NULL;
    if (path && ends_with(path, fail_read) && at <= fail_read_at && fail_read_at - at < (off_t)length)
        return errno = EIO, -1;
    return syscall(SYS_pread64, fd, into, length, at);
}
ssize_t pread(int fd, void *into, size_t length, off_t at) { return pread64(fd, into, length, at); }

int ftruncate(int fd, off_t length) { return change('T', fd, SYS_ftruncate, length); }
int ftruncate64(int fd, off64_t length) { return change('T', fd, SYS_ftruncate, length); }
int fsync(int fd) { return change('S', fd, SYS_fsync, 0); }
int fdatasync(int fd) { return change('S', fd, SYS_fdatasync, 0); }

int mkdirat(int at, const char *path, mode_t mode) { return name_change('D', at, path, SYS_mkdirat, mode, NULL, 0); }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return name_change('R', from, old, SYS_renameat2, to, new, flags);
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int unlinkat(int at, const char *path, int flags)
{
    return name_change(flags & AT_REMOVEDIR ? 'E' : 'U', at, path, SYS_unlinkat, flags, NULL, 0);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
