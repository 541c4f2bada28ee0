/* access_log.h - lines that one thread writes to a file, so that who logs never waits for a disk.
 *
 *     any thread --serve_log_line--> | at most 1 MiB waits | --one thread--> file, appended to
 *
 * When more waits than that, or the file takes no more, lines are dropped and counted; the requests they tell of go on. */
#ifndef SERVE_ACCESS_LOG_H
#define SERVE_ACCESS_LOG_H

#include "serve/bytes.h"
#include "serve/metrics.h"

struct serve_log;
/* path "-": standard output. Appends; the file is made (0640) if it is not there. metrics may be NULL and must outlive the log. */
enum rudd_status serve_log_open(struct serve_log **log, const char *path, struct serve_metrics *metrics,
                                struct rudd_error *err);
/* Writes what waits, for a second at most, and ends. NULL is fine. */
void serve_log_close(struct serve_log *log);

/* line ends in \n. Never waits. Thread-safe; a NULL log takes nothing. */
void serve_log_line(struct serve_log *log, const struct serve_bytes *line);
/* The file is opened anew, for who has renamed it; when that fails, the old one goes on. Thread-safe. */
void serve_log_reopen(struct serve_log *log);

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void serve_log_string(struct serve_bytes *out, const char *text);

#endif
