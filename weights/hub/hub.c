/* hub.c - the way of a name: see hub.h.
 *
 *     config.json first: it is small, says the commit, and whether rudd has such a network at all
 *     then the weights of that commit: model.safetensors, else pytorch_model.bin */
#include "weights/hub/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "weights/hf_folder.h"
#include "weights/hub/cache.h"
#include "weights/hub/explain.h"
#include "weights/hub/known.h"

enum { RETRIES = 5, CHANGES = 3, MAX_CONFIG = 16 << 20 };

/* In the order in which timm looks for them. */
static const char *const weight_files[] = {"model.safetensors", "pytorch_model.bin"};
enum { WEIGHT_FILES = sizeof weight_files / sizeof *weight_files };

struct fetch {
    struct hub_settings settings;
    struct hub_name name;
    struct hub_cache cache;
    struct hub_link link;
    const struct weights_hub_options *options;
    struct weights_hub_found *found;
    struct rudd_error *err;
};

static struct hub_about about(const struct fetch *f, const char *file)
{
    return (struct hub_about){&f->name, &f->settings, file};
}

static void note(const struct fetch *f, const char *line)
{
    const struct weights_hub_events *e = f->options->events;
    if (e && e->note) e->note(e->user, line);
}

/* ---- the cache ------------------------------------------------------------------------------- */

/* What the cache has of the name, without asking anybody. */
static bool find_cached(struct fetch *f)
{
    struct weights_hub_found *found = f->found;
    struct stat st;
    if (!hub_cache_commit(found->commit, &f->cache, f->name.revision)) return false;
    int i = 0;
    while (i < WEIGHT_FILES &&
           !hub_cache_find(found->file, &f->cache, found->commit, weight_files[i]))
        i++;
    if (i == WEIGHT_FILES || stat(found->file, &st)) return false;
    found->bytes = (uint64_t)st.st_size;
    if (!hub_cache_find(found->config, &f->cache, found->commit, "config.json"))
        found->config[0] = 0;
    return true;
}

/* Of a file in the cache: its hash, by the name of its blob, and the user's. */
static enum rudd_status verify_cached(struct fetch *f, const char *path, const char *sha256)
{
    struct hub_digest digest;
    struct hub_digest_hex hex;
    struct stat st;
    char target[HUB_ETAG + 64] = "", what[HUB_PATH + 64];
    if (!f->options->verify && !sha256) return RUDD_OK;
    const ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    const char *etag = strrchr(target, '/') ? strrchr(target, '/') + 1 : "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0) close(fd);
        return rudd_fail(f->err, RUDD_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    hub_digest_init(&digest, etag, (uint64_t)st.st_size);
    enum rudd_status status = hub_digest_file(&digest, fd, (uint64_t)st.st_size, path, f->err);
    close(fd);
    if (status) return status;
    hub_digest_hex(&hex, &digest);
    snprintf(what, sizeof what, "%s (delete this file to fetch it again)", path);
    return hub_digest_check(&hex, etag, sha256, what, f->err);
}

/* ---- one file -------------------------------------------------------------------------------- */

/* Waits before try number `failures`; RUDD_CANCELLED: events.stop. */
static enum rudd_status pause_before(const struct fetch *f, int failures,
                                     const struct hub_answer *answer)
{
    const struct weights_hub_events *e = f->options->events;
    const long first = f->options->retry_ms ? f->options->retry_ms : 1000;
    long ms = first << (failures - 1);
    if (answer->retry_after * 1000 > ms) ms = answer->retry_after * 1000;
    if (ms > 32 * first) ms = 32 * first;
    for (; ms > 0; ms -= 100) {
        const struct timespec moment = {.tv_nsec = (ms < 100 ? ms : 100) * 1000000};
        if (e && e->stop && e->stop(e->user)) return RUDD_CANCELLED;
        nanosleep(&moment, NULL);
    }
    return RUDD_OK;
}

/* Whether the same question may have another answer in a moment: not if the hub names a longer one. */
static bool is_passing(enum hub_result result, const struct hub_answer *answer)
{
    if (result == HUB_REFUSED)
        return (answer->http == 429 || answer->http >= 500) && answer->retry_after <= 30;
    return result == HUB_CUT;
}

/* Whether the repository is there, and this file of it is not. */
static bool is_absent(enum hub_result result, const struct hub_answer *answer)
{
    return result == HUB_REFUSED &&
           (!strcmp(answer->code, "EntryNotFound") || (answer->http == 404 && *answer->commit));
}

/* part NULL: no bytes were asked for yet. */
static void tell_retry(const struct fetch *f, const struct hub_part *part, enum hub_result result,
                       const struct hub_answer *answer)
{
    char line[200];
    if (result == HUB_REFUSED)
        snprintf(line, sizeof line, "the hub is busy (HTTP %ld): trying again", answer->http);
    else if (part)
        snprintf(line, sizeof line, "%s: the connection broke off at %.1f of %.1f MB: going on",
                 part->file, (double)part->at / 1e6, (double)part->facts->size / 1e6);
    else
        snprintf(line, sizeof line, "the connection to the hub broke off: trying again");
    note(f, line);
}

/* The facts of a file; tries: how often at most. */
static enum hub_result ask(struct fetch *f, struct hub_facts *facts, struct hub_answer *answer,
                           const char *revision, const char *file, int tries)
{
    char url[HUB_URL];
    hub_address(url, &f->settings, f->name.repo, revision, file);
    for (int failures = 1;; failures++) {
        const enum hub_result result = hub_ask(facts, answer, &f->link, url);
        if (!is_passing(result, answer) || failures >= tries) return result;
        tell_retry(f, NULL, result, answer);
        if (pause_before(f, failures, answer)) return HUB_STOPPED;
    }
}

/* Opens the part of an earlier fetch, or a new one, and hashes what it holds. */
static enum rudd_status open_part(struct fetch *f, struct hub_part *part)
{
    struct stat st;
    part->fd = open(part->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (part->fd < 0 || fstat(part->fd, &st))
        return rudd_fail(f->err, RUDD_IO, "%s: cannot write: %s", part->path, strerror(errno));
    hub_digest_init(&part->digest, part->facts->etag, part->facts->size);
    part->at = (uint64_t)st.st_size <= part->facts->size ? (uint64_t)st.st_size : 0;
    part->began = part->at;
    if (!part->at && ftruncate(part->fd, 0))
        return rudd_fail(f->err, RUDD_IO, "%s: cannot be emptied: %s", part->path, strerror(errno));
    enum rudd_status status =
        hub_digest_file(&part->digest, part->fd, part->at, part->path, f->err);
    if (!status && lseek(part->fd, (off_t)part->at, SEEK_SET) < 0)
        status = rudd_fail(f->err, RUDD_IO, "%s: cannot be read: %s", part->path, strerror(errno));
    return status;
}

static enum rudd_status check_room(const struct fetch *f, const struct hub_part *part)
{
    struct statvfs disk;
    const uint64_t wanted = part->facts->size - part->at;
    if (fstatvfs(part->fd, &disk)) return RUDD_OK; /* then writing says so */
    const uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (room >= wanted) return RUDD_OK;
    return rudd_fail(f->err, RUDD_IO,
                     "%s: %s needs %.0f MB more, the disk of %s has %.0f MB: make room, or set "
                     "HF_HOME to a folder on another disk",
                     f->name.repo, part->file, (double)wanted / 1e6, f->settings.cache,
                     (double)room / 1e6);
}

/* Brings all bytes of the part. A try that gets further than any before starts the count anew. */
static enum hub_result bring(struct fetch *f, struct hub_part *part, struct hub_answer *answer,
                             const char *url)
{
    uint64_t furthest = part->at;
    memset(answer, 0, sizeof *answer);
    for (int failures = 0; part->at < part->facts->size || !part->facts->size;) {
        const enum hub_result result = hub_get(part, answer, &f->link, url, f->err);
        if (!result) break;
        failures = part->at > furthest ? 1 : failures + 1;
        if (part->at > furthest) furthest = part->at;
        if (!is_passing(result, answer) && result != HUB_UNREACHABLE) return result;
        if (failures > RETRIES || (result == HUB_UNREACHABLE && !part->at)) return result;
        tell_retry(f, part, result, answer);
        if (pause_before(f, failures, answer)) return HUB_STOPPED;
    }
    return HUB_DONE;
}

/* All bytes are there: are they the right ones, and safe on the disk? */
static enum rudd_status finish(struct fetch *f, struct hub_part *part, const char *blob,
                               const char *sha256)
{
    struct hub_digest_hex hex;
    char what[HUB_REPO + 64];
    snprintf(what, sizeof what, "%s: %s", f->name.repo, part->file);
    hub_digest_hex(&hex, &part->digest);
    enum rudd_status status = hub_digest_check(&hex, part->facts->etag, sha256, what, f->err);
    if (status) {
        unlink(part->path);
        return status;
    }
    if (fsync(part->fd) || rename(part->path, blob))
        return rudd_fail(f->err, RUDD_IO, "%s: cannot be kept: %s", blob, strerror(errno));
    return RUDD_OK;
}

/* Brings the blob; the caller holds its lock. *changed: the hub speaks of another file by now. */
static enum rudd_status bring_blob(struct fetch *f, bool *changed, const struct hub_facts *facts,
                                   const char *file, const char *blob, const char *sha256)
{
    char url[HUB_URL], path[HUB_PATH];
    struct hub_answer answer;
    struct hub_part part = {.file = file, .path = path, .fd = -1, .facts = facts};
    const struct hub_about who = about(f, file);
    const struct weights_hub_events *e = f->options->events;
    hub_address(url, &f->settings, f->name.repo, facts->commit, file);
    enum rudd_status status = hub_path(path, f->err, "%s.incomplete", blob);
    *changed = false;
    for (bool again = true; again && !status;) {
        again = false;
        status = open_part(f, &part);
        if (!status) status = check_room(f, &part);
        const bool resumed = part.at > 0;
        const enum hub_result result = status ? HUB_FAILED : bring(f, &part, &answer, url);
        *changed = result == HUB_CHANGED;
        if (e && e->tick && !status)
            e->tick(e->user,
                    &(struct weights_hub_tick){file, part.at, facts->size, part.began, true});
        if (result && !*changed && !status)
            status = hub_explain(&who, result, &answer, &part, f->err);
        if (!result) {
            status = finish(f, &part, blob, sha256);
            /* A part that an earlier process left may be damaged: then all comes anew, once. */
            again = status == RUDD_MISMATCH && resumed && part.began;
            if (again) {
                note(f, "the part that was there does not fit: starting again");
                status = RUDD_OK;
            }
        }
        if (part.fd >= 0) close(part.fd);
    }
    if (*changed) unlink(path);
    if (!status && !*changed) f->found->fetched = true;
    return status;
}

/* The file that the facts speak of comes into the cache, unless it is there. */
static enum rudd_status get_file(struct fetch *f, bool *changed, const struct hub_facts *facts,
                                 const char *file, const char *sha256)
{
    char blob[HUB_PATH], path[HUB_PATH];
    int lock;
    *changed = false;
    if (hub_cache_find(path, &f->cache, facts->commit, file)) return verify_cached(f, path, sha256);
    enum rudd_status status = hub_cache_prepare(blob, &f->cache, facts, f->err);
    if (!status) status = hub_cache_lock(&lock, &f->cache, facts, f->options->events, f->err);
    if (status) return status;
    if (access(blob, F_OK)) status = bring_blob(f, changed, facts, file, blob, sha256);
    if (!status && !*changed) status = hub_cache_link(&f->cache, facts, file, f->err);
    if (lock >= 0) close(lock);
    return status;
}

/* ---- the two files --------------------------------------------------------------------------- */

static enum rudd_status too_large(const struct fetch *f, const struct hub_facts *facts,
                                  const char *file, size_t most)
{
    if (facts->size <= most) return RUDD_OK;
    return rudd_fail(f->err, RUDD_LIMIT,
                     "%s: %s has %.1f MB, more than the limit of %.1f MB; rudd fetch --max-size "
                     "takes more",
                     f->name.repo, file, (double)facts->size / 1e6, (double)most / 1e6);
}

/* Whether rudd has the network of the config: known before hundreds of megabytes come. */
static enum rudd_status check_config(struct fetch *f)
{
    char where[HUB_REPO + 32];
    struct weights_hf hf = {0};
    uint8_t *bytes = rudd_alloc(MAX_CONFIG);
    if (!bytes) return rudd_fail(f->err, RUDD_NO_MEMORY, "%s: no memory to read it", f->name.repo);
    const int fd = open(f->found->config, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    for (ssize_t n = 1; fd >= 0 && n > 0 && length<MAX_CONFIG; length += n> 0 ? (size_t)n : 0)
        n = read(fd, bytes + length, MAX_CONFIG - length);
    if (fd >= 0) close(fd);
    snprintf(where, sizeof where, "%s: config.json", f->name.repo);
    enum rudd_status status = weights_hf_parse(&hf, bytes, length, where, f->err);
    rudd_free(bytes);
    if (status) return status;
    bool known = false;
    for (int i = 0; nn_arch_name(i); i++) known |= !strcmp(nn_arch_name(i), hf.arch);
    if (!known)
        status =
            rudd_fail(f->err, RUDD_MISMATCH,
                      "%s: its architecture is %.60s, which rudd does not have; rudd fetch lists "
                      "names that work",
                      f->name.repo, hf.arch);
    weights_hf_free(&hf);
    return status;
}

/* What no answer means: the cache's last version, if there is one; else *result stays. */
static bool fall_back(struct fetch *f, enum hub_result result, const struct hub_answer *answer)
{
    const bool away = result == HUB_CUT || result == HUB_UNREACHABLE || result == HUB_UNTRUSTED ||
                      result == HUB_NO_FILE || (result == HUB_REFUSED && answer->http != 404);
    if (!away || !find_cached(f)) return false;
    char line[100] = "the hub does not answer: taking what was fetched before";
    if (result == HUB_REFUSED)
        snprintf(line, sizeof line, "the hub answers %ld: taking what was fetched before",
                 answer->http);
    note(f, line);
    return true;
}

/* config.json, where the repository has one; *commit: of the version. *cached: all comes from the
 * cache, since nobody answers. */
static enum rudd_status get_config(struct fetch *f, char commit[HUB_COMMIT], bool *cached)
{
    static const char file[] = "config.json";
    struct hub_facts facts;
    struct hub_answer answer;
    const struct hub_about who = about(f, weight_files[0]);
    bool changed = true;
    *cached = false;
    for (int i = 0; i < CHANGES && changed; i++) {
        const int tries = find_cached(f) ? 1 : RETRIES;
        enum hub_result result = ask(f, &facts, &answer, f->name.revision, file, tries);
        if (is_absent(result, &answer)) {
            snprintf(commit, HUB_COMMIT, "%s", answer.commit);
            f->found->config[0] = 0;
            return RUDD_OK;
        }
        *cached = result && fall_back(f, result, &answer);
        if (*cached) return RUDD_OK;
        if (result) return hub_explain(&who, result, &answer, NULL, f->err);
        enum rudd_status status = too_large(f, &facts, file, MAX_CONFIG);
        if (!status) status = get_file(f, &changed, &facts, file, NULL);
        if (status) return status;
    }
    if (changed) return hub_explain(&who, HUB_CHANGED, &answer, NULL, f->err);
    memcpy(commit, facts.commit, HUB_COMMIT);
    if (!hub_cache_find(f->found->config, &f->cache, commit, file))
        return rudd_fail(f->err, RUDD_IO, "%s: it was deleted a moment ago", f->found->config);
    return check_config(f);
}

/* Neither file is there: perhaps they are in pieces. */
static enum rudd_status no_weights(struct fetch *f, const char *revision)
{
    struct hub_facts facts;
    struct hub_answer answer;
    static const char pieces[] = "model.safetensors.index.json";
    if (ask(f, &facts, &answer, revision, pieces, 1) == HUB_DONE)
        return rudd_fail(f->err, RUDD_MISMATCH,
                         "%s: its weights are in several files (%s), which rudd does not read; put "
                         "them together with Python's safetensors, and give that file",
                         f->name.repo, pieces);
    return rudd_fail(f->err, RUDD_MISMATCH,
                     "%s: has neither %s nor %s; see %s/%s/tree/main, download its weights in a "
                     "browser, and give the file",
                     f->name.repo, weight_files[0], weight_files[1], f->settings.endpoint,
                     f->name.repo);
}

/* A hash that the user names and the hub's differ: nothing needs to come. */
static enum rudd_status check_promise(struct fetch *f, const struct hub_facts *facts,
                                      const char *file)
{
    struct hub_digest_hex promised = {.sha256 = ""};
    char what[HUB_REPO + 64];
    if (!f->options->sha256 || hub_hash_kind(facts->etag) != HUB_HASH_SHA256) return RUDD_OK;
    memcpy(promised.sha256, facts->etag, sizeof promised.sha256);
    snprintf(what, sizeof what, "%s: %s", f->name.repo, file);
    return hub_digest_check(&promised, facts->etag, f->options->sha256, what, f->err);
}

static enum rudd_status get_weights(struct fetch *f, const char *revision)
{
    struct hub_facts facts;
    struct hub_answer answer;
    const size_t most = f->options->max_bytes ? f->options->max_bytes : WEIGHTS_HUB_MAX_BYTES;
    bool changed = true;
    const char *file = weight_files[0];
    struct hub_about who = about(f, file);
    for (int i = 0; i < CHANGES && changed; i++) {
        enum hub_result result = HUB_REFUSED;
        for (int k = 0; k < WEIGHT_FILES; k++) {
            who.file = file = weight_files[k];
            result = ask(f, &facts, &answer, revision, file, RETRIES);
            if (!is_absent(result, &answer)) break;
        }
        if (is_absent(result, &answer)) return no_weights(f, revision);
        if (result) return hub_explain(&who, result, &answer, NULL, f->err);
        enum rudd_status status = too_large(f, &facts, file, most);
        if (!status) status = check_promise(f, &facts, file);
        if (!status) status = get_file(f, &changed, &facts, file, f->options->sha256);
        if (status) return status;
    }
    if (changed) return hub_explain(&who, HUB_CHANGED, &answer, NULL, f->err);
    memcpy(f->found->commit, facts.commit, HUB_COMMIT);
    f->found->bytes = facts.size;
    if (!hub_cache_find(f->found->file, &f->cache, facts.commit, file))
        return rudd_fail(f->err, RUDD_IO, "%s: it was deleted a moment ago", f->found->file);
    return hub_cache_set_commit(&f->cache, f->name.revision, facts.commit, f->err);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum rudd_status from_network(struct fetch *f)
{
    char commit[HUB_COMMIT] = "";
    bool cached;
    const struct hub_about who = about(f, weight_files[0]);
    enum rudd_status status =
        hub_link_open(&f->link, &f->settings, f->options->events, f->name.repo, f->err);
    if (status && find_cached(f)) return verify_cached(f, f->found->file, f->options->sha256);
    if (status) return hub_explain_by_hand(&who, status, f->err);
    status = get_config(f, commit, &cached);
    if (!status && cached)
        status = verify_cached(f, f->found->file, f->options->sha256);
    else if (!status)
        status = get_weights(f, *commit ? commit : f->name.revision);
    hub_link_close(&f->link);
    return status;
}

static enum rudd_status fetch(struct fetch *f)
{
    const struct hub_about who = about(f, weight_files[0]);
    hub_cache_name(&f->cache, &f->settings, &f->name);
    enum rudd_status status;
    const bool asks = !f->settings.offline && !hub_is_commit(f->name.revision);
    if (!asks && find_cached(f))
        status = verify_cached(f, f->found->file, f->options->sha256);
    else if (f->settings.offline)
        status = hub_explain_offline(&who, f->err);
    else
        status = from_network(f);
    if (status) return status;
    const char *end = strrchr(f->found->file, '/');
    return hub_path(
        f->found->path, f->err, "%.*s",
        (int)(*f->found->config ? end - f->found->file : (ptrdiff_t)strlen(f->found->file)),
        f->found->file);
}

/* The name that text is: as it stands, or timm's when known.h has it. */
static bool parse(struct hub_name *name, const char *text, const char *endpoint)
{
    char whole[HUB_REPO];
    if (hub_name_parse(name, text, endpoint)) return true;
    snprintf(whole, sizeof whole, "timm/%.100s", text);
    return hub_is_known(text) && hub_name_parse(name, whole, NULL);
}

static enum rudd_status no_name(const char *text, struct rudd_error *err)
{
    char near[120];
    const bool is_near = hub_known_nearest(near, sizeof near, text);
    return rudd_fail(err, RUDD_ARGUMENT,
                     "\"%.200s\": expected the name of weights, owner/name, such as "
                     "timm/tf_efficientnetv2_b0.in1k; %s%s%s",
                     text,
                     is_near ? "did you mean " : "rudd fetch lists those that are known to work",
                     is_near ? near : "", is_near ? "?" : "");
}

static enum rudd_status check_sha256(const char *text, struct rudd_error *err)
{
    if (!text || (strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64))
        return RUDD_OK;
    return rudd_fail(err, RUDD_ARGUMENT,
                     "--sha256: found \"%.80s\", expected 64 hexadecimal digits", text);
}

enum rudd_status weights_hub_fetch(struct weights_hub_found *found, const char *name,
                                   const struct weights_hub_options *options,
                                   struct rudd_error *err)
{
    static const struct weights_hub_options usual;
    struct fetch *f = rudd_zalloc(1, sizeof *f);
    if (!f) return rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory to fetch it", name);
    memset(found, 0, sizeof *found);
    f->options = options ? options : &usual;
    f->found = found;
    struct rudd_error own;
    f->err = err ? err : &own;
    enum rudd_status status = hub_settings_read(&f->settings, f->err);
    if (!status) status = check_sha256(f->options->sha256, f->err);
    if (!status)
        status = parse(&f->name, name, f->settings.endpoint) ? fetch(f) : no_name(name, f->err);
    rudd_free(f);
    return status;
}

/* Whether the part before the first slash is a folder here: then a path was meant. */
static bool owner_is_folder(const char *text)
{
    char owner[HUB_REPO];
    struct stat st;
    snprintf(owner, sizeof owner, "%.*s", (int)strcspn(text, "/"), text);
    return !stat(owner, &st) && S_ISDIR(st.st_mode);
}

enum rudd_status weights_hub_locate(char **path, const char *given,
                                    const struct weights_hub_options *options,
                                    struct rudd_error *err)
{
    struct weights_hub_found *found = NULL;
    struct hub_name name;
    const struct hub_known *known = hub_known_arch(given);
    const char *result = given;
    enum rudd_status status = RUDD_OK;
    const bool here = !access(given, F_OK);
    if (!here && known)
        return rudd_fail(
            err, RUDD_MISMATCH,
            "%s: found no such file; it is an architecture: give the name of weights for it, such "
            "as timm/%s.%.*s",
            given, given, (int)strcspn(known->tags, " "), known->tags);
    if (!here && parse(&name, given, getenv("HF_ENDPOINT")) &&
        (name.marked || !owner_is_folder(given))) {
        found = rudd_zalloc(1, sizeof *found);
        status = found ? weights_hub_fetch(found, given, options, err)
                       : rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory to fetch it", given);
        result = found ? found->path : NULL;
        if (status && err && !name.marked && status != RUDD_CANCELLED)
            rudd_fail(err, status, "no file %.200s is here; as a name on the Hugging Face hub: %s",
                      given, err->message);
    }
    char *copy = status ? NULL : rudd_strdup(result);
    if (!status && !copy)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory for its path", given);
    if (!status) *path = copy;
    rudd_free(found);
    return status;
}
