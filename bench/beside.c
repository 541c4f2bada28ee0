/* beside.c - see beside.h. */
#include "bench/beside.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { INHERITED = 1024 };

/* The child. When it is sure to die with its parent it closes all files, `ready` among them. A file
 * that stayed open here would hide from its other end that the parent closed it.
 *
 * It calls nothing that takes a lock: another thread may have held it at the fork. */
static _Noreturn void spin(pid_t parent, int ready)
{
    volatile uint32_t sum = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0); /* the parent ended before it was asked for */
    for (int fd = 0; fd < INHERITED; fd++) close(fd);
    close(ready);
    for (;;) sum = sum + 1;
}

enum rudd_status bench_beside_start(struct bench_beside *b, int count, struct rudd_error *err)
{
    const pid_t parent = getpid();
    const char *why = NULL;
    int ready[2];
    char byte;
    b->count = 0;
    if (pipe(ready)) return rudd_fail(err, RUDD_IO, "no pipe to busy loops: %s", strerror(errno));
    while (b->count < count && !why) {
        const pid_t pid = fork();
        if (pid == 0) spin(parent, ready[1]);
        if (pid > 0)
            b->loops[b->count++] = pid;
        else
            why = strerror(errno);
    }
    close(ready[1]);
    /* Nobody writes: this ends when the last loop has closed its copy. */
    while (read(ready[0], &byte, 1) < 0 && errno == EINTR) continue;
    close(ready[0]);
    if (!why) return RUDD_OK;
    const int failed = b->count + 1;
    bench_beside_stop(b, RUDD_OK, NULL);
    return rudd_fail(err, RUDD_IO, "busy loop %d of %d does not start: %s", failed, count, why);
}

void bench_beside_run(const struct bench_beside *b, bool run)
{
    for (int i = 0; i < b->count; i++) kill(b->loops[i], run ? SIGCONT : SIGSTOP);
}

enum rudd_status bench_beside_stop(struct bench_beside *b, enum rudd_status status, struct rudd_error *err)
{
    int ended = 0;
    for (int i = 0; i < b->count; i++) {
        /* Not reaped, a loop that ended keeps its number: the signal reaches nobody else. */
        siginfo_t info = {0};
        waitid(P_PID, (id_t)b->loops[i], &info, WEXITED | WNOHANG | WNOWAIT);
        ended += info.si_pid != 0;
        kill(b->loops[i], SIGKILL);
    }
    for (int i = 0; i < b->count; i++)
        while (waitpid(b->loops[i], NULL, 0) < 0 && errno == EINTR) continue;
    const int count = b->count;
    b->count = 0;
    if (status || !ended) return status;
    return rudd_fail(err, RUDD_MISMATCH,
                     "%d of %d busy loops ended early; "
                     "measure again",
                     ended, count);
}
