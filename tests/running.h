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

/* build/rudd, beside the folder of this test. Good until the next call. */
static inline const char *program_path(void)
{
    static char path[PATH_MAX + 16];
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    assert_true(n > 0);
    path[n] = 0;
    strcpy(strrchr(path, '/'), "/../rudd");
    return path;
}

/* Splits line [n] at '|' into argv [64], behind the program's path. */
static inline void program_words(char *argv[64], char *line)
{
    int argc = 0;
    argv[argc++] = (char *)program_path();
    for (char *word = strtok(line, "|"); word && argc < 63; word = strtok(NULL, "|")) argv[argc++] = word;
    argv[argc] = NULL;
}

/* Runs build/rudd with words separated by '|' within so much address space; 0: any. Its exit
 * status; said [SAID] is its stderr. */
static inline int run_within(size_t mib, char said[SAID], const char *line)
{
    char copy[2000], *argv[64];
    int status, to[2];
    snprintf(copy, sizeof copy, "%s", line);
    program_words(argv, copy);
    assert_int_equal(pipe(to), 0);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {(rlim_t)mib << 20, (rlim_t)mib << 20}, stack = {8 << 20, RLIM_INFINITY};
        setrlimit(RLIMIT_STACK, &stack);
        if (mib && setrlimit(RLIMIT_AS, &limit) != 0) _exit(120);
        dup2(to[1], 2);
        dup2(open("/dev/null", O_WRONLY), 1);
        execv(argv[0], argv);
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
