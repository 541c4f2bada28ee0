/* clock.h - the monotonic clock, for stages, deadlines and conditions that wait until one. */
#ifndef SERVE_CLOCK_H
#define SERVE_CLOCK_H

#include <pthread.h>
#include <time.h>

double serve_now_ms(void);
struct timespec serve_timespec(double ms);       /* of serve_now_ms, for pthread_cond_timedwait */
void serve_cond_init(pthread_cond_t *condition); /* a condition whose timed waits use this clock */

#endif
