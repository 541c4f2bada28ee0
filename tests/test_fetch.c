/* test_fetch.c - weights by name: what arrives from a hub that breaks off, changes its mind and
 * lies, and what of it is refused. */
#include "tests/hub/fetching.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- what arrives ---------------------------------------------------------------------------- */

/* The folder is what huggingface_hub makes, and the weights are the hub's. */
static void the_cache_is_pythons(void **state)
{
    (void)state;
    char path[300], target[300] = "", text[64] = "";
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
    assert_true(found.fetched);
    snprintf(path, sizeof path, "%s/snapshots/%s", cache, hub.commit);
    assert_string_equal(found.path, path);
    snprintf(path, sizeof path, "%s/snapshots/%s/model.safetensors", cache, hub.commit);
    assert_string_equal(found.file, path);
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    snprintf(path, sizeof path, "../../blobs/%s", hub.files[1].etag);
    assert_string_equal(target, path);
    snprintf(path, sizeof path, "%s/refs/main", cache);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof text, f), 40);
    fclose(f);
    assert_string_equal(text, hub.commit);
    assert_int_equal(count_in("blobs"), 2);
    /* The second time the hub is asked, and nothing comes. */
    const int downloads = hub.downloads;
    assert_int_equal(fetch_as(name, &(struct weights_hub_options){.verify = true}), RUDD_OK);
    assert_int_equal(hub.downloads, downloads);
    assert_false(found.fetched);
    /* A commit that is here is taken without a question. */
    const int heads = hub.heads;
    snprintf(path, sizeof path, "%s@%s", name, hub.commit);
    assert_int_equal(fetch_as(path, NULL), RUDD_OK);
    assert_int_equal(hub.heads, heads);
}

/* A new version of the name comes when there is one; the old one stays. */
static void a_new_version_comes(void **state)
{
    (void)state;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    memset(hub.commit, 'd', 40);
    hub_put(name, "model.safetensors", other.at, other.length, true);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(other);
    assert_int_equal(count_in("snapshots"), 2);
    assert_int_equal(count_in("blobs"), 3); /* config.json is the same */
}

/* Ten times the connection breaks off; each time the rest is asked for. */
static void cut_ten_times(void **state)
{
    (void)state;
    hub.cuts = 10;
    hub.cut_after = weights.length / 12;
    hub.files[0].linked = false;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
    assert_int_equal(hub.cuts, 0);
    assert_int_equal(hub.downloads, 12); /* config.json, and eleven parts */
    assert_int_equal(hub.ranges, 10);
}

/* Fetches a part: the connection breaks off behind so many bytes, and then nothing more comes. */
static void fetch_part(size_t bytes)
{
    struct stopper s = {.after = bytes};
    const struct weights_hub_events events = {&s, count_tick, count_note, is_enough};
    const struct weights_hub_options options = {.events = &events};
    hub.cuts = 1000;
    hub.cut_after = bytes;
    assert_int_equal(fetch_as(name, &options), RUDD_CANCELLED);
    assert_says("stopped; the same command goes on");
    assert_true(part_size() >= (long)bytes);
}

/* A process that is stopped, and one that gives up, leave the part; the next one goes on there. */
static void the_next_process_goes_on(void **state)
{
    (void)state;
    char range[64];
    fetch_part(700000);
    const long there = part_size();
    assert_true(there < (long)weights.length);
    hub.cut_after = 0;
    assert_int_equal(fetch_as(name, NULL), RUDD_IO);
    assert_says("the part is kept: the same command goes on from there");
    assert_int_equal(part_size(), there);
    hub.cuts = 0;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
    snprintf(range, sizeof range, "bytes=%ld-", there);
    assert_string_equal(hub.last_range, range);
    assert_int_equal(part_size(), -1);
}

/* A server that does not know ranges sends all again, and that is taken. */
static void without_ranges_it_starts_again(void **state)
{
    (void)state;
    fetch_part(500000);
    hub.cuts = 0;
    hub.no_ranges = true;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
}

/* A part whose bytes changed on the disk is found out by the hash, and fetched anew, once. */
static void a_damaged_part_is_fetched_anew(void **state)
{
    (void)state;
    char path[400];
    fetch_part(500000);
    hub.cuts = 0;
    snprintf(path, sizeof path, "%s/blobs/%s.incomplete", cache, hub.files[1].etag);
    const int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "damaged", 7, 1000), 7);
    close(fd);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
    /* One that is longer than the file is none. */
    folder_remove(cache);
    fetch_part(500000);
    hub.cuts = 0;
    assert_int_equal(truncate(path, (off_t)weights.length + 5), 0);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
}

/* Between two parts the repository gets other weights: nothing is put together of both. */
static void a_file_that_changes_starts_anew(void **state)
{
    (void)state;
    hub.cuts = 1;
    hub.cut_after = 600000;
    hub.next = other.at;
    hub.next_length = other.length;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(other);
    assert_int_equal(count_in("blobs"), 2);
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* Other bytes than the hub speaks of: not kept, not used. */
static void changed_contents_are_refused(void **state)
{
    (void)state;
    uint8_t *changed = malloc(weights.length);
    memcpy(changed, weights.at, weights.length);
    changed[weights.length / 2] ^= 1;
    hub.instead = changed;
    assert_int_equal(fetch_as(name, NULL), RUDD_MISMATCH);
    assert_says("model.safetensors: its contents were changed on the way: found SHA-256 ");
    assert_says(hub.files[1].etag);
    assert_int_equal(count_in("blobs"), 1); /* config.json's */
    /* The small file, by its name in git. */
    folder_remove(cache);
    hub.instead = NULL;
    hub.files[0].etag[0] = hub.files[0].etag[0] == 'a' ? 'b' : 'a';
    assert_int_equal(fetch_as(name, NULL), RUDD_MISMATCH);
    assert_says("config.json: its contents were changed on the way: found SHA-1 ");
    free(changed);
}

/* A blob that changed in the cache is found out by those who look. */
static void a_damaged_cache_is_found_out(void **state)
{
    (void)state;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    const int fd = open(found.file, O_WRONLY);
    assert_int_equal(pwrite(fd, "damaged", 7, 5000), 7);
    close(fd);
    assert_int_equal(fetch_as(name, &(struct weights_hub_options){.verify = true}), RUDD_MISMATCH);
    assert_says("delete this file to fetch it again");
}

static void the_users_hash_counts(void **state)
{
    (void)state;
    char upper[80], wrong[80];
    snprintf(wrong, sizeof wrong, "%s", hub.files[1].etag);
    wrong[5] = wrong[5] == '0' ? '1' : '0';
    const int before = hub.downloads;
    assert_int_equal(fetch_as(name, &(struct weights_hub_options){.sha256 = wrong}), RUDD_MISMATCH);
    assert_says("--sha256 expects ");
    assert_int_equal(hub.downloads, before + 1); /* config.json alone: the hub says it beforehand */
    snprintf(upper, sizeof upper, "%s", hub.files[1].etag);
    for (char *s = upper; *s; s++) *s = (char)(*s >= 'a' ? *s - 32 : *s);
    assert_int_equal(fetch_as(name, &(struct weights_hub_options){.sha256 = upper}), RUDD_OK);
    assert_int_equal(fetch_as(name, &(struct weights_hub_options){.sha256 = wrong}), RUDD_MISMATCH);
    assert_int_equal(fetch_as(name, &(struct weights_hub_options){.sha256 = "12"}), RUDD_ARGUMENT);
}

/* Too much is refused by the size that is announced; nothing of it comes. */
static void the_limit_holds(void **state)
{
    (void)state;
    const struct weights_hub_options small = {.max_bytes = weights.length - 1};
    const struct weights_hub_options enough = {.max_bytes = weights.length};
    assert_int_equal(fetch_as(name, &small), RUDD_LIMIT);
    assert_says("more than the limit of 1.7 MB; rudd fetch --max-size");
    assert_int_equal(hub.downloads, 1);
    assert_int_equal(fetch_as(name, &enough), RUDD_OK);
}

/* A server that sends more than it announced is not listened to. */
static void more_than_announced_is_refused(void **state)
{
    (void)state;
    hub.files[1].length = weights.length - 100; /* both servers say so; the hash is of all */
    assert_int_equal(fetch_as(name, NULL), RUDD_MISMATCH);
    assert_int_equal(count_in("blobs"), 1);
}

/* A disk that takes no more is told, and what is there is kept. Here it is a limit on files. */
static void a_full_disk_is_told(void **state)
{
    (void)state;
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit small = {600000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const enum rudd_status status = fetch_as(name, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, RUDD_IO);
    assert_says("cannot write: File too large; what is there is kept");
    assert_int_equal(part_size(), 600000);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
    assert_string_equal(hub.last_range, "bytes=600000-");
}

/* Each allocation in turn fails, with a network and with the cache alone. */
static void failing_allocations_are_reported(void **state)
{
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        enum rudd_status status = RUDD_NO_MEMORY;
        long n = 1;
        for (; status != RUDD_OK && n < 100; n++) {
            if (!cached && !access(cache, F_OK)) folder_remove(cache);
            fail_allocation(n);
            char *path = NULL;
            status = weights_hub_locate(&path, name, NULL, &err);
            fail_allocation(0);
            rudd_free(path);
            if (status) assert_int_equal(status, RUDD_NO_MEMORY);
        }
        assert_true(n > 3 && n < 100);
    }
}

/* An architecture that rudd lacks is known from the small file. */
static void other_networks_are_told_at_once(void **state)
{
    (void)state;
    static const char vit[] = "{\"architecture\":\"vit_base_patch16_224\"}";
    static const char bert[] = "{\"model_type\":\"bert\"}";
    hub_put(name, "config.json", vit, sizeof vit - 1, false);
    assert_int_equal(fetch_as(name, NULL), RUDD_MISMATCH);
    assert_says("its architecture is vit_base_patch16_224, which rudd does not have");
    hub_put(name, "config.json", bert, sizeof bert - 1, false);
    memset(hub.commit, 'd', 40);
    assert_int_equal(fetch_as(name, NULL), RUDD_MISMATCH);
    assert_int_equal(hub.downloads, 2);
}

/* ---- repositories of other forms ------------------------------------------------------------- */

static void other_forms_of_repositories(void **state)
{
    (void)state;
    /* Weights as pickle, no config.json: the path is the file's. */
    hub_put("someone/pickled", "pytorch_model.bin", other.at, other.length, true);
    assert_int_equal(fetch_as("someone/pickled", NULL), RUDD_OK);
    assert_fetched(other);
    assert_string_equal(found.path, found.file);
    hub_put("someone/pieces", "config.json", config, sizeof config - 1, false);
    hub_put("someone/pieces", "model.safetensors.index.json", "{}", 2, false);
    assert_int_equal(fetch_as("someone/pieces", NULL), RUDD_MISMATCH);
    assert_says("its weights are in several files");
    hub_put("someone/empty", "README.md", "x", 1, false);
    assert_int_equal(fetch_as("someone/empty", NULL), RUDD_MISMATCH);
    assert_says("has neither model.safetensors nor pytorch_model.bin");
    /* Under an old name, and as the address of its page. */
    assert_int_equal(fetch_as("old/name", NULL), RUDD_OK);
    assert_fetched(weights);
    char page[120];
    snprintf(page, sizeof page, "http://127.0.0.1:%d/%s/tree/main", hub.port, name);
    assert_int_equal(fetch_as(page, NULL), RUDD_OK);
    assert_int_equal(fetch_as("timm/test.in1k@v9", NULL), RUDD_MISMATCH);
    assert_says("has no branch, tag or commit \"v9\"");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_cache_is_pythons),
        TEST(a_new_version_comes),
        TEST(cut_ten_times),
        TEST(the_next_process_goes_on),
        TEST(without_ranges_it_starts_again),
        TEST(a_damaged_part_is_fetched_anew),
        TEST(a_file_that_changes_starts_anew),
        TEST(changed_contents_are_refused),
        TEST(a_damaged_cache_is_found_out),
        TEST(the_users_hash_counts),
        TEST(the_limit_holds),
        TEST(more_than_announced_is_refused),
        TEST(a_full_disk_is_told),
        TEST(failing_allocations_are_reported),
        TEST(other_networks_are_told_at_once),
        TEST(other_forms_of_repositories),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
