/* peers_report.c - what rudd-bench peers prints: a table for people, or a line of JSON a row. */
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
        if (!r->sides[i].trouble[0] && (!best || r->sides[i].times.median < best->times.median)) best = &r->sides[i];
    return best;
}

void peers_print_heading(const struct peers_settings *settings)
{
    printf("%d threads, %s, float32, random weights; ", kern_threads(), kern_isa());
    printf("medians of %d rounds in turn, of times and of each round's ratio; ", settings->rounds);
    printf("rudd/peer below 1: rudd is faster\n");
    if (settings->old) printf("old: %s; its ratio is this build in processes, too, / old\n", settings->old);
    printf("\n");
    printf("%-36s %9s  %-28s %9s ", "work", "rudd ms", "peer", "peer ms");
    printf("%10s %13s %11s\n", "rudd/peer", "95 % interval", "logits off");
}

/* Ends a line of the table. */
static void print_ratio(const struct peers_ratio *ratio)
{
    char interval[40] = "-";
    if (ratio->has_interval) snprintf(interval, sizeof interval, "%.3f..%.3f", ratio->low, ratio->high);
    printf(" %10.3f %13s", ratio->median, interval);
}

static void print_builds(const struct peers_builds *b)
{
    char now[40];
    if (b->trouble[0]) {
        printf("  %-28s failed: %s\n", "old", b->trouble);
        return;
    }
    snprintf(now, sizeof now, "old (this build %.2f ms)", b->now.median);
    printf("  %-28s %9.2f", now, b->old.median);
    print_ratio(&b->ratio);
    printf("\n");
}

static void print_table(const struct peers_row *r)
{
    char work[80], peer[100];
    if (r->beside)
        snprintf(work, sizeof work, "  the same, beside %d busy loops", r->beside);
    else
        snprintf(work, sizeof work, "%s, %d, batch %d", r->model->arch, r->work.size, r->work.batch);
    printf("%-36s %9.2f", work, r->rudd.median);
    int lines = 0;
    for (int i = 0; i < PEERS_KINDS; i++) {
        const struct peers_side *s = &r->sides[i];
        if (!peers_takes_part(r->settings, i)) continue;
        if (lines++) printf("%46s", "");
        if (s->trouble[0]) {
            printf("  %-28s %s: %s\n", s->kind, s->missing ? "missing" : "failed", s->trouble);
            continue;
        }
        snprintf(peer, sizeof peer, "%s %s", s->name, s->version);
        printf("  %-28s %9.2f", peer, s->times.median);
        print_ratio(&s->ratio);
        printf(" %11.1e\n", s->difference);
    }
    if (r->settings->old) {
        if (lines++) printf("%46s", "");
        print_builds(&r->builds);
    }
    if (!lines) printf("\n");
    const struct peers_side *best = fastest(r);
    if (best)
        printf("%46s  fastest peer: %s %s; %s\n", "", best->name, best->version,
               r->rudd.median <= best->times.median ? "rudd is faster" : "rudd is slower");
    fflush(stdout); /* a row takes minutes: show it now, also through a pipe */
}

/* Takes part over into whole, both objects; NULL is a failure of either. */
static json_t *join(json_t *whole, json_t *part)
{
    const bool failed = !whole || !part || json_object_update(whole, part);
    json_decref(part);
    if (!failed) return whole;
    json_decref(whole);
    return NULL;
}

static json_t *times_json(const char *median, const char *prefix, const struct peers_times *t)
{
    char min[32], quartiles[32];
    snprintf(min, sizeof min, "%smin_ms", prefix);
    snprintf(quartiles, sizeof quartiles, "%squartiles_ms", prefix);
    return json_pack("{s:f, s:f, s:[f,f]}", median, t->median, min, t->min, quartiles, t->low, t->high);
}

static json_t *ratio_json(const struct peers_ratio *r)
{
    if (!r->has_interval) return json_pack("{s:f, s:n}", "ratio", r->median, "ratio_interval");
    return json_pack("{s:f, s:[f,f]}", "ratio", r->median, "ratio_interval", r->low, r->high);
}

static json_t *side_json(const struct peers_side *s)
{
    json_t *one = json_pack("{s:s}", "peer", s->kind);
    const char *why = s->missing ? "missing" : "failed";
    if (s->trouble[0]) return join(one, json_pack("{s:s}", why, s->trouble));
    one = join(one, json_pack("{s:s, s:s}", "name", s->name, "version", s->version));
    one = join(one, times_json("median_ms", "", &s->times));
    one = join(one, ratio_json(&s->ratio));
    return join(one, json_pack("{s:f}", "worst_difference", s->difference));
}

static json_t *builds_json(const struct peers_row *r)
{
    const struct peers_builds *b = &r->builds;
    json_t *one = json_pack("{s:s}", "program", r->settings->old);
    if (b->trouble[0]) return join(one, json_pack("{s:s}", "failed", b->trouble));
    one = join(one, times_json("median_ms", "", &b->old));
    one = join(one, times_json("this_build_ms", "this_build_", &b->now));
    return join(one, ratio_json(&b->ratio));
}

static json_t *row_json(const struct peers_row *r)
{
    const struct peers_side *best = fastest(r);
    json_t *peers = json_array();
    for (int i = 0; i < PEERS_KINDS; i++) {
        if (!peers_takes_part(r->settings, i)) continue;
        if (json_array_append_new(peers, side_json(&r->sides[i]))) {
            json_decref(peers);
            return NULL;
        }
    }
    json_t *line = json_pack("{s:s, s:i, s:i}", "arch", r->model->arch, "size", r->work.size, "batch", r->work.batch);
    line = join(line, json_pack("{s:i, s:s}", "threads", kern_threads(), "isa", kern_isa()));
    line = join(line, json_pack("{s:i, s:i}", "rounds", r->settings->rounds, "beside", r->beside));
    line = join(line, times_json("rudd_ms", "rudd_", &r->rudd));
    if (r->settings->old) line = join(line, json_pack("{s:o}", "old", builds_json(r)));
    return join(line, json_pack("{s:o, s:s?}", "peers", peers, "fastest_peer", best ? best->kind : NULL));
}

static enum rudd_status print_json(const struct peers_row *r, struct rudd_error *err)
{
    json_t *line = row_json(r);
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(line);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a line of JSON, or a peer's words are not UTF-8");
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
