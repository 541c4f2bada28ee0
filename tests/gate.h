/* gate.h - where a test holds the threads that end something until what it claims has happened, so that no test waits for a time to pass. */
#ifndef TESTS_GATE_H
#define TESTS_GATE_H

#include <pthread.h>
#include <stdbool.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool shut;
    int inside; /* threads that wait for it to open */
    int ended;  /* what came by, waiting or not */
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_set(bool shut)
{
    pthread_mutex_lock(&gate.mutex);
    gate.shut = shut;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

/* With the gate's mutex: one more came by; if it is to be held, it stays as long as the gate is shut. */
static void gate_pass(bool hold)
{
    gate.ended++;
    gate.inside += hold && gate.shut;
    pthread_cond_broadcast(&gate.changed);
    while (hold && gate.shut) pthread_cond_wait(&gate.changed, &gate.mutex);
}

/* Until a number that changes under the gate's mutex is large enough. */
static void wait_for(const int *value, int least)
{
    pthread_mutex_lock(&gate.mutex);
    while (*value < least) pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

#endif
