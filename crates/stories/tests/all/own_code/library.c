#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void say(const char *path) {
    char line[512] = {0};
    int from = open("/proc/self/cmdline", O_RDONLY);
    int n = from < 0 ? 0 : read(from, line, sizeof line - 2);
    for (int i = 0; i + 1 < n; i++) if (!line[i]) line[i] = ' ';
    strcat(line, "\n");
    int to = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (to >= 0) { write(to, line, strlen(line)); close(to); }
    if (from >= 0) close(from);
}
__attribute__((constructor)) static void loaded(void) {
    say("/root/marks");
    say("/proc/self/fd/11/marker");
}
