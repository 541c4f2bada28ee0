/* cmd_synth.c - `rudd data synth`: writes the drawn picture set (data/synth.h) as a folder that `rudd train` takes.
 *
 *     DIR/train/<species>/0000.jpg ...   70 %
 *     DIR/val/<species>/                 15 %
 *     DIR/test/<species>/                15 %
 *     DIR/labels.json                    [{"name","latin","en","ru"}, ...]: the label map; written last, so that it marks a
 * whole set
 *
 * A picture depends on seed, species, its number and the size alone: a larger set begins with the smaller one's pictures, and
 * --classes leaves the others' pictures as they are. The number of threads changes nothing. */
#include "train/cmd_synth.h"
#include "data/synth.h"
#include "kernels/limits.h"
#include "train/folder.h"
#include "weights/replace.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *out, *classes, *seed;
    int per_class, size, threads;
    double split[3];
};

/* What the threads share: the list of pictures is the numbers 0 .. count-1, each taken once. */
struct job {
    const struct options *o;
    uint64_t seed;
    int species[DATA_SPECIES_COUNT], species_count;
    int per_split[3];
    pthread_mutex_t lock; /* of next and of the first failure */
    int next;
    enum rudd_status status;
    struct rudd_error err;
};

static const char *const split_names[3] = {"train", "val", "test"};

/* ---- options ----------------------------------------------------------------------------------------------------------------
 */

static enum rudd_status parse_classes(struct job *job, const char *list, struct rudd_error *err)
{
    bool wanted[DATA_SPECIES_COUNT] = {false};
    const char *names[DATA_SPECIES_COUNT];
    for (int i = 0; i < DATA_SPECIES_COUNT; i++) {
        names[i] = data_species[i].name;
        wanted[i] = !list;
    }
    while (list && *list) {
        char name[64];
        size_t length = strcspn(list, ",");
        snprintf(name, sizeof name, "%.*s", length < sizeof name ? (int)length : (int)sizeof name - 1, list);
        int i = data_species_find(name);
        if (i < 0) {
            const char *near = nn_option_nearest(name, names, DATA_SPECIES_COUNT);
            return rudd_fail(err, RUDD_ARGUMENT, "--classes: there is no species \"%s\"; %s%s", name,
                             near ? "did you mean " : "rudd data synth --help lists them", near ? near : "");
        }
        wanted[i] = true;
        list += length + (list[length] == ',');
    }
    for (int i = 0; i < DATA_SPECIES_COUNT; i++)
        if (wanted[i]) job->species[job->species_count++] = i;
    return job->species_count ? RUDD_OK : rudd_fail(err, RUDD_ARGUMENT, "--classes names no species");
}

/* Shares of per_class, rounded so that they add up; a share above 0 gets a picture before a larger one gets its last. */
static enum rudd_status share(struct job *job, struct rudd_error *err)
{
    const double *s = job->o->split;
    double sum = s[0] + s[1] + s[2];
    if (sum < .999 || sum > 1.001)
        return rudd_fail(err, RUDD_ARGUMENT, "--split: the three shares add up to %g; they must to 1", sum);
    for (int i = 2; i > 0; i--) {
        job->per_split[i] = (int)(s[i] * job->o->per_class + .5);
        if (s[i] > 0 && job->per_split[i] == 0) job->per_split[i] = 1;
    }
    job->per_split[0] = job->o->per_class - job->per_split[1] - job->per_split[2];
    if (job->per_split[0] < (s[0] > 0))
        return rudd_fail(err, RUDD_ARGUMENT, "--per-class %d is too few for the split %g,%g,%g; give at least 3",
                         job->o->per_class, s[0], s[1], s[2]);
    return RUDD_OK;
}

static enum rudd_status parse_seed(uint64_t *seed, const char *text, struct rudd_error *err)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-')
        return rudd_fail(err, RUDD_ARGUMENT, "--seed \"%.40s\": a whole number from 0 to %" PRIu64 " is expected", text,
                         UINT64_MAX);
    *seed = value;
    return RUDD_OK;
}

/* ---- folders and files ------------------------------------------------------------------------------------------------------
 */

static enum rudd_status make_folders(const struct job *job, struct rudd_error *err)
{
    char path[PATH_MAX];
    enum rudd_status status = train_folder_claim(job->o->out, err);
    for (int s = 0; s < 3 && !status; s++) {
        if (!job->per_split[s]) continue;
        snprintf(path, sizeof path, "%s/%s", job->o->out, split_names[s]);
        status = train_folder_make(path, err);
        for (int i = 0; i < job->species_count && !status; i++) {
            snprintf(path, sizeof path, "%s/%s/%s", job->o->out, split_names[s], data_species[job->species[i]].name);
            status = train_folder_make(path, err);
        }
    }
    return status;
}

static enum rudd_status write_labels(const struct job *job, struct rudd_error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/labels.json", job->o->out);
    json_t *list = json_array();
    bool built = list;
    for (int i = 0; i < job->species_count && built; i++) {
        const struct data_species *s = &data_species[job->species[i]];
        json_t *row = json_pack("{ss, ss, ss, ss}", "name", s->name, "latin", s->latin, "en", s->en, "ru", s->ru);
        built = json_array_append_new(list, row) == 0;
    }
    char *text = built ? json_dumps(list, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(list);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the label map");
    enum rudd_status status = weights_write_bytes(path, text, strlen(text), err);
    free(text);
    return status;
}

/* ---- the work ---------------------------------------------------------------------------------------------------------------
 */

static enum rudd_status draw_one(const struct job *job, int number, struct rudd_error *err)
{
    int per_class = job->o->per_class, species = job->species[number / per_class], index = number % per_class, split = 0,
        first = 0;
    while (index >= first + job->per_split[split]) first += job->per_split[split++];

    uint8_t *bytes;
    size_t length;
    enum rudd_status status = data_synth_jpeg(&bytes, &length, species, job->o->size, job->seed, (uint64_t)index, err);
    if (status) return status;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/%s/%04d.jpg", job->o->out, split_names[split], data_species[species].name, index);
    status = train_folder_write(path, bytes, length, err);
    rudd_free(bytes);
    return status;
}

static void *work(void *user)
{
    struct job *job = user;
    struct rudd_error err;
    enum rudd_status status = RUDD_OK;
    for (;;) {
        pthread_mutex_lock(&job->lock);
        if (status && !job->status) {
            job->status = status;
            job->err = err;
        }
        int number = job->status ? INT_MAX : job->next++;
        pthread_mutex_unlock(&job->lock);
        if (number >= job->species_count * job->o->per_class) return NULL;
        status = draw_one(job, number, &err);
    }
}

static enum rudd_status draw_all(struct job *job, struct rudd_error *err)
{
    pthread_t threads[KERN_THREADS_MAX];
    const int wanted = kern_threads_within(job->o->threads);
    int started = 0;
    pthread_mutex_init(&job->lock, NULL);
    /* A thread that cannot be started is no loss: this one works too. */
    while (started < wanted - 1 && pthread_create(&threads[started], NULL, work, job) == 0) started++;
    work(job);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&job->lock);
    return job->status ? rudd_fail(err, job->status, "%s", job->err.message) : RUDD_OK;
}

enum rudd_status train_cmd_data_synth(int argc, char **argv, struct rudd_error *err)
{
    struct options o = {.seed = "0", .per_class = 140, .size = 160, .split = {.70, .15, .15}};
    const struct nn_option rows[] = {
        {"out|o", NN_OPTION_REQUIRED, &o.out, "DIR", 0, 0, "new or empty folder for the pictures"},
        {"per-class", NN_OPTION_INT, &o.per_class, "N", 1, 9999, "pictures of each species"},
        {"size", NN_OPTION_INT, &o.size, "N", DATA_SYNTH_MIN, DATA_SYNTH_MAX, "width and height of a picture in pixels"},
        {"seed", NN_OPTION_STRING, &o.seed, "N", 0, 0, "another number draws other pictures"},
        {"classes", NN_OPTION_STRING, &o.classes, "LIST", 0, 0,
         "species to draw, by folder name, with commas between; without it, all"},
        {"split", NN_OPTION_DOUBLES, o.split, "TRAIN,VAL,TEST", 0, 1,
         "shares of the pictures for training, validation and test"},
        NN_OPTION_THREADS(&o.threads, "threads"),
    };
    static const struct nn_example examples[] = {
        {"a small set to try training with", "rudd data synth -o fishes --per-class 20 --size 96"},
        {NULL, NULL},
    };
    struct nn_options options = {
        .usage = "rudd data synth -o DIR",
        .about = "Draws a set of pictures of fifteen freshwater fishes. They are drawings for "
                 "trying things out, not photographs. The species: abramis_brama, "
                 "alburnus_alburnus, blicca_bjoerkna, carassius_gibelio, esox_lucius, "
                 "gobio_gobio, gymnocephalus_cernua, leuciscus_baicalensis, leuciscus_idus, "
                 "perca_fluviatilis, perccottus_glenii, rutilus_lacustris, rutilus_rutilus, "
                 "sander_lucioperca, scardinius_erythrophthalmus.",
        .examples = examples,
        .rows = rows,
        .count = sizeof rows / sizeof *rows,
    };
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        struct job job = {.o = &o};
        status = parse_seed(&job.seed, o.seed, err);
        if (!status) status = parse_classes(&job, o.classes, err);
        if (!status) status = share(&job, err);
        if (!status && strlen(o.out) > PATH_MAX - 100) status = rudd_fail(err, RUDD_ARGUMENT, "--out: the name is too long");
        if (!status) status = make_folders(&job, err);
        if (!status) status = draw_all(&job, err);
        if (!status) status = write_labels(&job, err);
        if (!status)
            printf("%d pictures of %d species, %d x %d, seed %" PRIu64 ": %s\n", job.species_count * o.per_class,
                   job.species_count, o.size, o.size, job.seed, o.out);
    }
    nn_options_free(&options);
    return status;
}
