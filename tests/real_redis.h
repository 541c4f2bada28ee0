/* real_redis.h - redis-server, where that is installed: a child that keeps nothing on disk. */
#ifndef TESTS_REAL_REDIS_H
#define TESTS_REAL_REDIS_H

#include "tests/serve_client.h"

/* On this port of the loopback, once it takes connections; password may be NULL. 0: not installed. */
HELPER pid_t real_redis_start(int port, const char *password)
{
    char text[16];
    snprintf(text, sizeof text, "%d", port);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout)) _exit(127);
        execlp("redis-server", "redis-server", "--port", text, "--bind", "127.0.0.1", "--save", "", "--requirepass",
               password ? password : "", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        int status, fd;
        if (waitpid(pid, &status, WNOHANG) == pid) return 0;
        if ((fd = client_connect(port)) >= 0) {
            close(fd);
            return pid;
        }
        pause_ms(20);
    }
    return 0;
}

#endif
