/* Loaded into a process by LD_PRELOAD: records what it does to the files under one directory, in the order in which
 * it happens, and makes calls fail when told to. What reaches a file by other ways (stdio, a mapping, a copied
 * descriptor) is not seen; whoever reads the recording compares its outcome with the files and finds out.
 *
 * The system calls are made directly, as this library stands where those of the C library would be found.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* As `Kind` of recording.rs has them. */
enum kind { OPEN = 1, CLOSE, WRITE, TRUNCATE, SYNC, UNLINK, RENAME, MKDIR, RMDIR, MAP, MARK };

/* As `Calls` of control.rs has them. */
enum call { TO_OPEN = 1, TO_READ = 2, TO_WRITE = 4, TO_SYNC = 8, TO_TRUNCATE = 16, TO_CHANGE_NAMES = 32 };

struct header {
    uint32_t kind, descriptor, name_length, data_length;
    int64_t number; /* an offset, a length or the flags of an open */
};

/* A write to this file is a mark for the recording or, as `arm ..` and `disarm`, an order to this library. */
static const char CONTROL[] = "recorder-control";

enum tracked { NOT = 0, STORE, CONTROLS };

#define MAX_DESCRIPTORS 65536
static unsigned char tracked[MAX_DESCRIPTORS];
static char directory[PATH_MAX];
static size_t directory_length;
static int recording = -1;

/* Held over each call and its record: the recording has the order in which things have happened. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

static struct {
    unsigned calls;
    long countdown; /* the call that fails is the one that finds 1; 0 is none */
    int error;      /* 0: a write that is cut in half */
    int lasts;      /* every later call fails as well */
    int met;
} fault;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RECORDER_DIRECTORY"), *log = getenv("RECORDER_LOG");
    if (!path || strlen(path) >= sizeof directory) return;
    strcpy(directory, path);
    directory_length = strlen(directory);
    if (log) recording = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The process ends: what other threads still do is cut off between two calls, not in a record. */
__attribute__((destructor)) static void stop(void) { pthread_mutex_lock(&order); }

static void put(const void *bytes, size_t length) {
    for (const char *from = bytes; length > 0;) {
        ssize_t written = syscall(SYS_write, recording, from, length);
        if (written <= 0) abort(); /* half a recording would prove nothing */
        from += written;
        length -= written;
    }
}

static void record(enum kind kind, int descriptor, int64_t number, const char *name, const void *data, size_t length) {
    if (recording < 0) return;
    struct header header = {kind, descriptor, name ? strlen(name) : 0, length, number};
    put(&header, sizeof header);
    if (name) put(name, header.name_length);
    if (length) put(data, length);
}

/* The error of a call that has to fail; otherwise -1. 0 is half a write. */
static int injected(enum call call) {
    if (!(fault.calls & call) || fault.countdown == 0) return -1;
    if (fault.countdown > 1) {
        fault.countdown--;
        return -1;
    }
    fault.met = 1;
    if (!fault.lasts) fault.countdown = 0;
    return fault.error;
}

static int fails(enum call call) {
    int error = injected(call);
    if (error <= 0) return 0;
    errno = error;
    return 1;
}

/* An order of the process, or a mark. `disarm` fails with ENODATA if no call has met the fault. */
static ssize_t control(const char *text, size_t length) {
    char order_text[256] = {0};
    memcpy(order_text, text, length < sizeof order_text ? length : sizeof order_text - 1);
    if (sscanf(order_text, "arm %u %ld %d %d", &fault.calls, &fault.countdown, &fault.error, &fault.lasts) == 4) {
        fault.met = 0;
    } else if (strcmp(order_text, "disarm") == 0) {
        fault.countdown = 0;
        if (!fault.met) {
            errno = ENODATA;
            return -1;
        }
    } else {
        record(MARK, 0, 0, NULL, text, length);
    }
    return length;
}

/* Whether `path` is in the directory, and its name there. */
static int inside(int at, const char *path, char name[PATH_MAX]) {
    char whole[2 * PATH_MAX];
    if (!directory_length) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= PATH_MAX) return 0;
        strcpy(whole, path);
    } else {
        char link[64], base[PATH_MAX] = {0};
        if (at == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        if (readlink(link, base, sizeof base - 1) < 0) return 0;
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    if (strncmp(whole, directory, directory_length) != 0) return 0;
    const char *rest = whole + directory_length;
    if (*rest != '/' && *rest != '\0') return 0;
    while (*rest == '/') rest++;
    if (strlen(rest) >= PATH_MAX) return 0;
    strcpy(name, rest);
    /* A directory that is opened once more, by itself. */
    size_t length = strlen(name);
    if (strcmp(name, ".") == 0) name[0] = 0;
    else if (length > 2 && strcmp(name + length - 2, "/.") == 0) name[length - 2] = 0;
    return 1;
}

static enum tracked kind_of(int descriptor) {
    return descriptor >= 0 && descriptor < MAX_DESCRIPTORS ? tracked[descriptor] : NOT;
}

static int open_file(int at, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    if (!inside(at, path, name)) return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&order);
    int is_control = strcmp(name, CONTROL) == 0;
    int descriptor = !is_control && fails(TO_OPEN) ? -1 : syscall(SYS_openat, at, path, flags, mode);
    if (descriptor >= MAX_DESCRIPTORS) abort();
    if (descriptor >= 0) {
        tracked[descriptor] = is_control ? CONTROLS : STORE;
        if (!is_control) record(OPEN, descriptor, flags & (O_CREAT | O_TRUNC), name, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    return descriptor;
}

#define MODE(flags, last)                                       \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                    \
        va_list arguments;                                      \
        va_start(arguments, last);                              \
        mode = va_arg(arguments, int);                          \
        va_end(arguments);                                      \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_file(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_file(at, path, flags, mode);
}

int close(int descriptor) {
    if (kind_of(descriptor) == NOT) return syscall(SYS_close, descriptor);
    pthread_mutex_lock(&order);
    if (tracked[descriptor] == STORE) record(CLOSE, descriptor, 0, NULL, NULL, 0);
    tracked[descriptor] = NOT;
    int result = syscall(SYS_close, descriptor);
    pthread_mutex_unlock(&order);
    return result;
}

/* The C library does not close a directory's stream by the `close` above. */
int closedir(DIR *stream) {
    static int (*next)(DIR *);
    if (!next) next = (int (*)(DIR *))dlsym(RTLD_NEXT, "closedir");
    int descriptor = dirfd(stream);
    if (kind_of(descriptor) == NOT) return next(stream);
    pthread_mutex_lock(&order);
    record(CLOSE, descriptor, 0, NULL, NULL, 0);
    tracked[descriptor] = NOT;
    int result = next(stream);
    pthread_mutex_unlock(&order);
    return result;
}

/* A write at `offset`, or where the descriptor stands if that is negative. */
static ssize_t write_file(int descriptor, const void *bytes, size_t length, off_t offset) {
    if (kind_of(descriptor) == CONTROLS) return control(bytes, length);
    int error = injected(TO_WRITE);
    if (error > 0) {
        errno = error;
        return -1;
    }
    if (error == 0 && length > 1) length /= 2;
    ssize_t written = offset < 0 ? syscall(SYS_write, descriptor, bytes, length)
                                 : syscall(SYS_pwrite64, descriptor, bytes, length, offset);
    if (written > 0) {
        off_t start_at = offset < 0 ? syscall(SYS_lseek, descriptor, 0, SEEK_CUR) - written : offset;
        record(WRITE, descriptor, start_at, NULL, bytes, written);
    }
    return written;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    if (kind_of(descriptor) == NOT) return syscall(SYS_write, descriptor, bytes, length);
    pthread_mutex_lock(&order);
    ssize_t written = write_file(descriptor, bytes, length, -1);
    pthread_mutex_unlock(&order);
    return written;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    if (kind_of(descriptor) == NOT) return syscall(SYS_pwrite64, descriptor, bytes, length, offset);
    pthread_mutex_lock(&order);
    ssize_t written = write_file(descriptor, bytes, length, offset);
    pthread_mutex_unlock(&order);
    return written;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    return pwrite64(descriptor, bytes, length, offset);
}

static int read_fails(int descriptor) {
    if (kind_of(descriptor) != STORE) return 0;
    pthread_mutex_lock(&order);
    int result = fails(TO_READ);
    pthread_mutex_unlock(&order);
    return result;
}

ssize_t read(int descriptor, void *bytes, size_t length) {
    return read_fails(descriptor) ? -1 : syscall(SYS_read, descriptor, bytes, length);
}

ssize_t pread64(int descriptor, void *bytes, size_t length, off64_t offset) {
    return read_fails(descriptor) ? -1 : syscall(SYS_pread64, descriptor, bytes, length, offset);
}

ssize_t pread(int descriptor, void *bytes, size_t length, off_t offset) {
    return pread64(descriptor, bytes, length, offset);
}

struct dirent64 *readdir64(DIR *stream) {
    static struct dirent64 *(*next)(DIR *);
    if (!next) next = (struct dirent64 *(*)(DIR *))dlsym(RTLD_NEXT, "readdir64");
    return read_fails(dirfd(stream)) ? NULL : next(stream);
}

int ftruncate64(int descriptor, off64_t length) {
    if (kind_of(descriptor) == NOT) return syscall(SYS_ftruncate, descriptor, length);
    pthread_mutex_lock(&order);
    int result = fails(TO_TRUNCATE) ? -1 : syscall(SYS_ftruncate, descriptor, length);
    if (result == 0) record(TRUNCATE, descriptor, length, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

static int sync_file(long call, int descriptor) {
    if (kind_of(descriptor) == NOT) return syscall(call, descriptor);
    pthread_mutex_lock(&order);
    int result = fails(TO_SYNC) ? -1 : syscall(call, descriptor);
    if (result == 0) record(SYNC, descriptor, 0, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int fsync(int descriptor) { return sync_file(SYS_fsync, descriptor); }

int fdatasync(int descriptor) { return sync_file(SYS_fdatasync, descriptor); }

int unlinkat(int at, const char *path, int flags) {
    char name[PATH_MAX];
    if (!inside(at, path, name)) return syscall(SYS_unlinkat, at, path, flags);
    pthread_mutex_lock(&order);
    int result = fails(TO_CHANGE_NAMES) ? -1 : syscall(SYS_unlinkat, at, path, flags);
    if (result == 0) record(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX];
    if (!inside(from_at, from, old) || !inside(to_at, to, new))
        return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&order);
    int result = fails(TO_CHANGE_NAMES) ? -1 : syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (result == 0) record(RENAME, 0, 0, old, new, strlen(new));
    pthread_mutex_unlock(&order);
    return result;
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    return renameat2(from_at, from, to_at, to, 0);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int at, const char *path, mode_t mode) {
    char name[PATH_MAX];
    if (!inside(at, path, name)) return syscall(SYS_mkdirat, at, path, mode);
    pthread_mutex_lock(&order);
    int result = fails(TO_CHANGE_NAMES) ? -1 : syscall(SYS_mkdirat, at, path, mode);
    if (result == 0) record(MKDIR, 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off64_t offset) {
    void *mapped = (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
    if (mapped != MAP_FAILED && (flags & MAP_SHARED) && (protection & PROT_WRITE) && kind_of(descriptor) == STORE) {
        pthread_mutex_lock(&order);
        record(MAP, descriptor, 0, NULL, NULL, 0);
        pthread_mutex_unlock(&order);
    }
    return mapped;
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    return mmap64(address, length, protection, flags, descriptor, offset);
}
