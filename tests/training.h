/* training.h - what tests of training share: pictures that a small, random network at 32 pixels tells apart after a few steps (three
 * colours), runs on them through the functions behind `rudd`, files compared, and a disk that dies.
 *
 * Everything lies in one folder of the test's own. Failures end the test at once. */
#ifndef TESTS_TRAINING_H
#define TESTS_TRAINING_H

#include "train/command.h"
#include "train/run_folder.h"

extern struct rudd_error err;        /* what the last command said */
extern const char *const classes[3]; /* the first has all that HTML and JSON care about */

/* Set-up and tear-down of a group: makes the folder with pictures in set/, train/ 8, val/ 4 and test/ 3 of each class. */
int begin_runs(void **state);
int end_runs(void **state);
void draw_set(const char *name);       /* such a set once more, under another name */
const char *in_root(const char *name); /* its path; good for the next seven calls */

const char *file_of(const char *run, const char *name); /* a run's file; good for the next three calls */
void remove_run(const char *name);

/* How many files still arrive before every rename fails, as on a full disk; -1: all. */
extern int renames_left;
/* How many lines are still appended before the disk is full, in the middle of one; -1: all. */
extern int appends_left;
/* Files that arrived, lines appended, syncs of files and folders so far. */
struct disk_work {
    int renames, appends, syncs;
};
extern struct disk_work disk_work;

/* Runs a command with words separated by '|'. */
enum rudd_status command(train_command *run, const char *line);
void must(enum rudd_status status);
#define TRAIN_BASE /* data, out */                                                                                             \
    "train|--quiet|--data|%s|--out|%s|--arch|efficientnet_b0|--image-size|32|--batch|8|--lr|1e-3|--bn-momentum|0.5"
/* A short run of a small network on set/: out names the folder, more adds options, "|--epochs|2". */
enum rudd_status train(const char *out, const char *more);
enum rudd_status resume(const char *out, const char *more);

void write_text(const char *path, const char *text);
char *read_all(const char *path, size_t *length); /* to be rudd_free'd */
json_t *parse_json(const char *path);
void assert_files_equal(const char *a, const char *b);
/* model.safetensors and last.safetensors of two runs, byte for byte. */
void assert_same_run(const char *a, const char *b);
/* The first `epochs` lines of metrics.jsonl, but for how long they took. */
void assert_same_metrics(const char *a, const char *b, int epochs);
/* Whether two model files hold the same values, whatever their metadata says. */
void assert_values(const char *a, const char *b, bool equal);

#endif
