/* running.h - build/rudd as a program of its own, by the tests that need its exit status and words. */
#ifndef TESTS_RUNNING_H
#define TESTS_RUNNING_H

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { SAID = 4000 };

/* Runs build/rudd with words separated by '|' within so much address space; 0: any. Its exit
 * status; said [SAID] is its stderr. */
static int run_within(size_t mib, char said[SAID], const char *line)
{
    char binary[PATH_MAX + 16], copy[2000], *argv[64];
    int argc = 0, status, to[2];
    const ssize_t n = readlink("/proc/self/exe", binary, PATH_MAX - 1);
    assert_true(n > 0);
    binary[n] = 0;
    strcpy(strrchr(binary, '/'), "/../rudd");
    argv[argc++] = binary;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, "|"); word && argc < 63; word = strtok(NULL, "|")) argv[argc++] = word;
    argv[argc] = NULL;
    assert_int_equal(pipe(to), 0);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {(rlim_t)mib << 20, (rlim_t)mib << 20}, stack = {8 << 20, RLIM_INFINITY};
        setrlimit(RLIMIT_STACK, &stack);
        if (mib && setrlimit(RLIMIT_AS, &limit) != 0) _exit(120);
        dup2(to[1], 2);
        dup2(open("/dev/null", O_WRONLY), 1);
        execv(binary, argv);
        _exit(121);
    }
    close(to[1]);
    size_t used = 0;
    for (ssize_t got; used < SAID - 1 && (got = read(to[0], said + used, SAID - 1 - used)) > 0;) used += (size_t)got;
    said[used] = 0;
    close(to[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status)) fail_msg("%s was killed within %zu MiB: %s", line, mib, said);
    return WEXITSTATUS(status);
}

#endif
