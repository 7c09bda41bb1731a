/* Put before a program's own libc: writes down, in one order, what the program does to the files of one folder, and what
 * of it was asked to be on disk. TOFT_POWER_FOLDER is the folder, TOFT_POWER_LOG where it is written down. Each record is
 * four numbers of 64 bits (deed, file, offset, length), the name of a file that is opened, or the bytes that are written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum deed { OPENED = 1, WRITTEN, SYNCED, CUT };
#define FILES 1024

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static const char *folder;
static uint64_t files[FILES];
static uint64_t last;

static void put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t done = syscall(SYS_write, log_fd, at, length);
        if (done <= 0) abort();
        at += done;
        length -= (size_t)done;
    }
}

static void note(enum deed deed, uint64_t file, uint64_t offset, const void *bytes, uint64_t length) {
    uint64_t head[4] = {deed, file, offset, length};
    put(head, sizeof head);
    if (bytes) put(bytes, length);
}

static int opened(int fd, const char *path) {
    if (fd < 0 || fd >= FILES) return fd;
    pthread_mutex_lock(&turn);
    if (log_fd < 0) {
        folder = getenv("TOFT_POWER_FOLDER");
        const char *log = getenv("TOFT_POWER_LOG");
        if (!folder || !log) abort();
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    }
    files[fd] = 0;
    if (path && strncmp(path, folder, strlen(folder)) == 0) {
        files[fd] = ++last;
        note(OPENED, last, 0, path, strlen(path));
    }
    pthread_mutex_unlock(&turn);
    return fd;
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                   \
    int name(const char *path, int flags, ...) {                     \
        va_list more;                                                \
        va_start(more, flags);                                       \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0; \
        va_end(more);                                                \
        return opened(REAL(name)(path, flags, mode), path);          \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd < FILES) {
        pthread_mutex_lock(&turn);
        files[fd] = 0;
        pthread_mutex_unlock(&turn);
    }
    return REAL(close)(fd);
}

static uint64_t known(int fd) { return fd >= 0 && fd < FILES ? files[fd] : 0; }

#define AT(name, type)                                                        \
    ssize_t name(int fd, const void *bytes, size_t length, type offset) {     \
        if (!known(fd)) return REAL(name)(fd, bytes, length, offset);         \
        pthread_mutex_lock(&turn);                                            \
        ssize_t done = REAL(name)(fd, bytes, length, offset);                 \
        if (done > 0) note(WRITTEN, files[fd], (uint64_t)offset, bytes, (uint64_t)done); \
        pthread_mutex_unlock(&turn);                                          \
        return done;                                                          \
    }
AT(pwrite, off_t)
AT(pwrite64, off64_t)

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!known(fd)) return REAL(write)(fd, bytes, length);
    pthread_mutex_lock(&turn);
    uint64_t offset = (uint64_t)lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, bytes, length);
    if (done > 0) note(WRITTEN, files[fd], offset, bytes, (uint64_t)done);
    pthread_mutex_unlock(&turn);
    return done;
}

/* Not done for real: whether it was asked for is all that counts. */
static int synced(int fd) {
    if (known(fd)) {
        pthread_mutex_lock(&turn);
        note(SYNCED, files[fd], 0, NULL, 0);
        pthread_mutex_unlock(&turn);
    }
    return 0;
}
int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }

#define LENGTH(name, type)                                     \
    int name(int fd, type length) {                            \
        if (!known(fd)) return REAL(name)(fd, length);         \
        pthread_mutex_lock(&turn);                             \
        int done = REAL(name)(fd, length);                     \
        if (done == 0) note(CUT, files[fd], (uint64_t)length, NULL, 0); \
        pthread_mutex_unlock(&turn);                           \
        return done;                                           \
    }
LENGTH(ftruncate, off_t)
LENGTH(ftruncate64, off64_t)
