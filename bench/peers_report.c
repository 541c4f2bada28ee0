/* peers_report.c - what rudd-bench peers prints: a table for people, a line of JSON a row for programs. */
#include "bench/peers.h"
#include "kernels/kern.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* The side with the smallest median; NULL when none took part. */
static const struct peers_side *fastest(const struct peers_row *r)
{
    const struct peers_side *best = NULL;
    for (int i = 0; i < PEERS_KINDS; i++)
        if (!r->sides[i].trouble[0] && (!best || r->sides[i].median < best->median)) best = &r->sides[i];
    return best;
}

void peers_print_heading(const struct peers_settings *settings)
{
    printf("%d threads, %s, float32, random weights; medians of %d rounds in turn; rudd/peer below 1: rudd is faster\n\n",
           kern_threads(), kern_isa(), settings->rounds);
    printf("%-36s %9s  %-28s %9s %10s %11s\n", "work", "rudd ms", "peer", "peer ms", "rudd/peer", "logits off");
}

static void print_table(const struct peers_row *r)
{
    char work[80], peer[100];
    snprintf(work, sizeof work, "%s, %d, batch %d", r->model->arch, r->work.size, r->work.batch);
    printf("%-36s %9.2f", work, r->median);
    for (int i = 0, lines = 0; i < PEERS_KINDS; i++) {
        const struct peers_side *s = &r->sides[i];
        if (!peers_takes_part(r->settings, i)) continue;
        if (lines++) printf("%46s", "");
        if (s->trouble[0]) {
            printf("  %-28s %s: %s\n", s->kind, s->missing ? "missing" : "failed", s->trouble);
            continue;
        }
        snprintf(peer, sizeof peer, "%s %s", s->name, s->version);
        printf("  %-28s %9.2f %10.3f %11.1e\n", peer, s->median, r->median / s->median, s->difference);
    }
    const struct peers_side *best = fastest(r);
    if (best)
        printf("%46s  fastest peer: %s %s; %s\n", "", best->name, best->version,
               r->median <= best->median ? "rudd is faster" : "rudd is slower");
    fflush(stdout); /* a row takes minutes: show it now, also through a pipe */
}

static enum rudd_status print_json(const struct peers_row *r, struct rudd_error *err)
{
    const struct peers_side *best = fastest(r);
    json_t *peers = json_array();
    for (int i = 0; i < PEERS_KINDS; i++) {
        const struct peers_side *s = &r->sides[i];
        if (!peers_takes_part(r->settings, i)) continue;
        json_t *one = s->trouble[0] ? json_pack("{s:s, s:s}", "peer", s->kind, s->missing ? "missing" : "failed", s->trouble)
                                    : json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:f}", "peer", s->kind, "name", s->name,
                                                "version", s->version, "median_ms", s->median, "min_ms", s->min, "ratio",
                                                r->median / s->median, "worst_difference", s->difference);
        if (!one || json_array_append_new(peers, one)) {
            json_decref(peers);
            return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a line of JSON, or a peer's words are not UTF-8");
        }
    }
    json_t *line =
        json_pack("{s:s, s:i, s:i, s:i, s:s, s:i, s:f, s:f, s:o, s:s?}", "arch", r->model->arch, "size", r->work.size, "batch",
                  r->work.batch, "threads", kern_threads(), "isa", kern_isa(), "rounds", r->settings->rounds, "rudd_ms",
                  r->median, "rudd_min_ms", r->min, "peers", peers, "fastest_peer", best ? best->kind : NULL);
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(line);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a line of JSON");
    puts(text);
    fflush(stdout);
    free(text);
    return RUDD_OK;
}

enum rudd_status peers_print_row(const struct peers_row *r, struct rudd_error *err)
{
    if (r->settings->json) return print_json(r, err);
    print_table(r);
    return RUDD_OK;
}
