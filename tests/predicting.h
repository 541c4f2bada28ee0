/* predicting.h - `rudd predict` run as users run it, in a folder of the test's own: a tiny random
 * network m.safetensors, and pics/ with pictures whose names are hard on texts, shells and pages.
 *
 * Tests stand in that folder. Failures end the test at once. */
#ifndef TESTS_PREDICTING_H
#define TESTS_PREDICTING_H

#include "tests/pictures.h"
#include <sys/types.h>

enum { CLASSES = 5, ODD = 9, READABLE = ODD + 2 };
/* odd: names in pics/. With sub/plain.jpg and sub/deeper/plain.jpg they are READABLE pictures; bad.jpg
 * is none. */
extern const char *const class_names[CLASSES], *const odd[ODD];
extern struct rudd_error err;

/* Set-up and tear-down of a test: makes that folder and stands in it. */
int begin_predicting(void **state);
int end_predicting(void **state);

struct result {
    int status; /* exit status */
    char *out, *err;
};
/* `rudd predict` with the model and words, NULL at the end, and length bytes on standard input. */
struct result predict(const char *input, size_t length, ...);
/* The same in two steps: standard input is a descriptor. */
pid_t start_predict(int input, const char *const *words);
struct result finish(pid_t pid);
int run_script(const char *path); /* by sh; its exit status */
void drop(struct result *r);

char *read_file(const char *path, size_t *length); /* with a 0 behind it, to be freed; length may be NULL */
void write_file(const char *path, const char *bytes, size_t length);
int count_of(const char *text, const char *what);

#endif
