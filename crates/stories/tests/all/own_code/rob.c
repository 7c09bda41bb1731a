/* Tries every way from one process to the memory, the descriptors and the code of another. The first
   argument is the other's pid; "child" is one of its own, as a control. Prints what worked. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *how, int worked) { if (worked) printf("%s\n", how); }

static int opens(int pid, const char *name, int how) {
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, how);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static int reads(int pid, const char *name) {
    char path[128], byte;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY), n = fd < 0 ? -1 : read(fd, &byte, 1);
    if (fd >= 0) close(fd);
    return n > 0;
}

static int reads_link(int pid, const char *name) {
    char path[128], to[256];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return readlink(path, to, sizeof to) > 0;
}

static int has(int number) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    return !syscall(SYS_capget, &head, data) && (data[number / 32].permitted >> (number % 32) & 1);
}

static int gains(int number) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data)) return 0;
    data[number / 32].permitted |= 1u << (number % 32);
    data[number / 32].effective |= 1u << (number % 32);
    return !syscall(SYS_capset, &head, data);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc > 1 && !strcmp(argv[1], "run")) return !has(CAP_WAKE_ALARM);
    int child = argc > 1 && !strcmp(argv[1], "child");
    int pid = child ? fork() : atoi(argv[1]);
    if (!pid) { pause(); return 0; }
    if (child) usleep(100000);
    int own = getpid();
    static char page[4096] __attribute__((aligned(4096)));
    struct iovec here = {page, 16}, there = {page, 16}, whole = {page, 4096};

    int read = syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0);
    say("read memory", read >= 0 || errno == EFAULT);
    /* An address that is not mapped there is told as such only to who may write. */
    int wrote = syscall(SYS_process_vm_writev, pid, &here, 1, &there, 1, 0);
    say("write memory", wrote >= 0 || errno == EFAULT);
    say("open mem", opens(pid, "mem", O_RDWR));
    say("open fd", opens(pid, "fd/0", O_RDONLY) || opens(pid, "fd/11", O_RDONLY));
    say("list fd", opens(pid, "fdinfo/0", O_RDONLY) || reads_link(pid, "fd/11") || reads_link(pid, "fd/0"));
    say("maps", opens(pid, "maps", O_RDONLY) || opens(pid, "smaps", O_RDONLY) || opens(pid, "pagemap", O_RDONLY));
    say("environ", opens(pid, "environ", O_RDONLY) || opens(pid, "auxv", O_RDONLY));
    say("stack", reads(pid, "syscall") || reads(pid, "personality"));
    say("exe", reads_link(pid, "exe") || opens(pid, "exe", O_RDONLY));
    say("exe to write", !child && opens(pid, "exe", O_RDWR));
    say("root", reads_link(pid, "root") || reads_link(pid, "cwd"));
    say("namespaces", reads_link(pid, "ns/mnt"));
    int handle = syscall(SYS_pidfd_open, pid, 0), taken = 0;
    for (int n = 0; handle >= 0 && n < 32; n++) {
        int fd = syscall(438, handle, n, 0);
        if (fd >= 0) { taken++; close(fd); }
    }
    say("take descriptors", taken);
    say("refused: advise memory", handle >= 0 && syscall(440, handle, &whole, 1, MADV_COLD, 0) >= 0);
    say("trace", !ptrace(PTRACE_SEIZE, pid, 0, 0));
    char name[64];
    snprintf(name, sizeof name, "task/%d/fd/0", pid);
    say("by its thread", opens(pid, name, O_RDONLY));
    long pages = syscall(SYS_move_pages, pid, 0, 0, 0, 0, 0);
    say("move pages", pages >= 0);
    say("robust list", ({ void *head; size_t len; !syscall(SYS_get_robust_list, pid, &head, &len); }));
    /* What is refused to everybody here, also between own processes. */
    say("refused: compare", syscall(SYS_kcmp, own, pid, 0, 0, 0) >= 0);
    say("refused: userfaultfd", syscall(SYS_userfaultfd, 0) >= 0);
    say("refused: fanotify", syscall(SYS_fanotify_init, 0, 0) >= 0);
    say("refused: perf", syscall(SYS_perf_event_open, page, pid, -1, -1, 0) >= 0);
    say("refused: io_uring", syscall(425, 1, page) >= 0);
    say("refused: keys", syscall(SYS_keyctl, 0, -3, 0) >= 0);
    say("refused: setns", handle >= 0 && syscall(SYS_setns, handle, CLONE_NEWNS) == 0);
    say("refused: user namespace", unshare(CLONE_NEWUSER) == 0);
    say("refused: mounts", unshare(CLONE_NEWNS) == 0);
    /* The right that only init and bridge have. */
    say("refused: their capability", gains(CAP_WAKE_ALARM));
    say("refused: to inherit it", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_WAKE_ALARM, 0, 0) == 0);
    say("refused: in the bounding set", prctl(PR_CAPBSET_READ, CAP_WAKE_ALARM, 0, 0, 0) == 1);
    if (argc > 2) {
        /* From a file: version 2 of the format, with the effective bit. */
        unsigned rights[5] = {0x02000001, 0, 0, 1u << (CAP_WAKE_ALARM - 32), 0};
        syscall(SYS_setxattr, argv[2], "security.capability", rights, sizeof rights, 0);
        int ran = fork();
        if (!ran) { execl(argv[2], argv[2], "run", NULL); _exit(1); }
        int status;
        waitpid(ran, &status, 0);
        say("refused: from a file", WIFEXITED(status) && !WEXITSTATUS(status));
    }
    /* A core of it: where it may be written, nothing of it may be. */
    if (!child) {
        struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
        syscall(SYS_prlimit64, pid, RLIMIT_CORE, &all, 0);
    } else {
        kill(pid, SIGKILL);
        waitpid(pid, 0, 0);
    }
    /* Sockets that it may listen at under a name without a file. */
    char line[512];
    FILE *all = fopen("/proc/net/unix", "r");
    while (all && fgets(line, sizeof line, all)) say("refused: abstract socket", strchr(line, '@') != NULL);
    printf("done\n");
    return 0;
}
