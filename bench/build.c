/* build.c - see build.h. */
#include "bench/build.h"
#include "bench/peer.h"
#include <jansson.h>
#include <stdio.h>

enum rudd_status bench_build_ask(double *ms, const char *program, const struct bench_build_work *w, double seconds,
                                 struct rudd_error *err)
{
    char size[16], batch[16], threads[16], line[BENCH_PEER_LINE];
    struct bench_peer process;
    snprintf(size, sizeof size, "%d", w->size);
    snprintf(batch, sizeof batch, "%d", w->batch);
    snprintf(threads, sizeof threads, "%d", w->threads);
    const char *const argv[] = {
        program,  "infer",     "--arch", w->arch,    "--size", size,       "--batch", batch,
        "--json", "--threads", threads,  "--warmup", "1",      "--repeat", "3",       NULL,
    };
    enum rudd_status status = bench_peer_start(&process, argv, err);
    if (status) return status;
    status = bench_peer_read(line, &process, seconds, err);
    bench_peer_stop(&process);
    if (status) return status;
    json_t *json = json_loads(line, 0, NULL);
    *ms = json_number_value(json_object_get(json, "median_ms")); /* 0 when there is none */
    json_decref(json);
    if (*ms > 0) return RUDD_OK;
    return rudd_fail(err, RUDD_FORMAT, "said \"%.80s\"; expected JSON with a median_ms", line);
}
