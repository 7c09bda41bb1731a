#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
static int is_bridge(int pid) {
    char path[64], line[512] = {0};
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return 0;
    int n = read(fd, line, sizeof line - 1);
    close(fd);
    for (int i = 0; i + 1 < n; i++) if (!line[i]) line[i] = ' ';
    return strstr(line, "/run/toft/toft") && strstr(line, " bridge");
}
static void worked(const char *how, int pid) {
    static int told;
    if (told++ < 20) printf("worked: %s %d\n", how, pid);
}
int main(void) {
    int seen = 1, tried = 0;
    time_t end = time(0) + 6;
    while (time(0) < end) {
        /* Pids are given out in order: the next ones are looked at all the time. */
        for (int pid = seen; pid < seen + 40; pid++) {
            char path[96];
            snprintf(path, sizeof path, "/proc/%d/stat", pid);
            if (pid == getpid() || access(path, F_OK)) continue;
            snprintf(path, sizeof path, "/proc/%d/fd/11", pid);
            int fd = open(path, O_RDONLY | O_DIRECTORY);
            if (fd >= 0) { worked("open", pid); close(fd); }
            snprintf(path, sizeof path, "/proc/%d/mem", pid);
            fd = open(path, O_RDWR);
            if (fd >= 0 && is_bridge(pid)) worked("mem", pid);
            if (fd >= 0) close(fd);
            int handle = syscall(SYS_pidfd_open, pid, 0);
            fd = handle < 0 ? -1 : syscall(438, handle, 11, 0);
            if (fd >= 0) { worked("pidfd_getfd", pid); close(fd); }
            if (handle >= 0) close(handle);
            if (is_bridge(pid)) {
                tried++;
                if (!ptrace(PTRACE_SEIZE, pid, 0, 0)) { worked("ptrace", pid); ptrace(PTRACE_DETACH, pid, 0, 0); }
            }
        }
        DIR *all = opendir("/proc");
        struct dirent *one;
        int last = seen;
        while (all && (one = readdir(all))) { int pid = atoi(one->d_name); if (pid > last) last = pid; }
        if (all) closedir(all);
        if (last > seen + 8) seen = last - 8;
    }
    printf("tried %d\n", tried > 0);
    return 0;
}
