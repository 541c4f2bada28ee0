/* run_folder.h - the folder in which a run leaves everything it has to show.
 *
 *     RUN/run.json           every option, data set, weights, machine, versions, final figures; written at start and at the end
 *         metrics.jsonl      one line per epoch, appended as the epoch ends
 *         model.safetensors  the best model
 *         last.safetensors   the checkpoint
 *         report.html        the picture
 *
 * All other files are replaced whole and atomically. metrics.jsonl is so once in a process, at its
 * first epoch. Then it grows by a line an epoch, which is synced with the next checkpoint. A reader
 * may meet the beginning of a last line, which has no newline yet. After a crash of the machine,
 * what lies behind the checkpoint's epochs may be anything; --resume does not read it. */
#ifndef TRAIN_RUN_FOLDER_H
#define TRAIN_RUN_FOLDER_H

#include "train/events.h"
#include "nn/rudd.h"

enum { TRAIN_PATH = 4096 };

#define TRAIN_LR_FINDER "lr_finder.json" /* what --find-lr leaves there */

struct train_run_folder {
    char path[TRAIN_PATH - 64]; /* room for the file names */
    struct train_epoch *epochs; /* what metrics.jsonl holds */
    int count, capacity;
    int fd, synced; /* metrics.jsonl, and how many of its lines are surely on the disk */
    size_t bytes;   /* of metrics.jsonl; 0: not begun by this process, fd is none */
};

/* Makes path, parents included; NULL: the first free of runs/1, runs/2, ... RUDD_ARGUMENT when it holds a
 * run, or anything else: nothing of the user's is replaced, the file that --weights names least of all. */
enum rudd_status train_run_folder_create(struct train_run_folder *folder, const char *path, struct rudd_error *err);
/* Opens a run made before and reads its first `epochs` lines of metrics; later ones are forgotten. RUDD_FORMAT when they are
 * not all there. */
enum rudd_status train_run_folder_open(struct train_run_folder *folder, const char *path, int epochs, struct rudd_error *err);
void train_run_folder_free(struct train_run_folder *folder);

/* Makes the run this process' own until train_run_release or its death, and removes what dead ones left half written
 * (replace.h: <file>.<pid>-<n>.tmp). RUDD_LIMIT when another process is training in it. Where the file system knows no locks,
 * nobody is kept out. */
enum rudd_status train_run_claim(int *claim, const char *path, struct rudd_error *err);
void train_run_release(int claim); /* -1: nothing */
/* Whether a process has the run for its own. UNKNOWN: the folder cannot be opened, or its file system
 * knows no locks. Asking keeps nobody out for longer than it takes. */
enum train_claim { TRAIN_CLAIM_FREE, TRAIN_CLAIM_HELD, TRAIN_CLAIM_UNKNOWN };
enum train_claim train_run_claimed(const char *path);

/* path/name, into out[TRAIN_PATH]. Returns out. */
const char *train_run_path(char out[TRAIN_PATH], const char *path, const char *name);

/* One more epoch, and its line in metrics.jsonl. On failure the line is not added. */
enum rudd_status train_run_folder_add(struct train_run_folder *folder, const struct train_epoch *epoch, struct rudd_error *err);
/* metrics.jsonl is on the disk, with these epochs and no later ones. Without an epoch: nothing. */
enum rudd_status train_run_folder_sync(struct train_run_folder *folder, struct rudd_error *err);

/* run.json: written from, and read as, one JSON object. json is not taken over. */
enum rudd_status train_run_json_write(const char *path, const json_t *json, struct rudd_error *err);
/* Changes the status in place, from a word to one that is no longer: it takes no room on a disk that is full. */
void train_run_json_mark(const char *path, const char *from, const char *to);
enum rudd_status train_run_json_read(json_t **json, const char *path, struct rudd_error *err);

#endif
