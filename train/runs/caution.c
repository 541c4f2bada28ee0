/* caution.c - what is likely to go wrong with a run: see caution.h. */
#include "train/runs/caution.h"

#include "nn/text.h"

#include <stdio.h>
#include <string.h>

/* rudd's own, which are meant to be trained from random weights. */
static bool is_small(const char *arch)
{
    return strncmp(arch, "rudd_", 5) == 0;
}

struct look {
    const struct train_caution_facts *facts;
    const struct train_events *events;
    const int *counts; /* [classes] training pictures */
    int classes;
};

static void no_validation(const struct look *l)
{
    const struct data_splits *s = l->facts->splits;
    const char *data = l->facts->settings->data;
    static const char why[] =
        "Caution: there are no validation pictures, so the best epoch is chosen by the training "
        "loss, which also falls when pictures are learned by heart;";
    if (s->val.count) return;
    if (s->divided)
        train_note(l->events, "%s move some pictures of each class from %s/train to %s/val.", why,
                   data, data);
    else
        train_note(l->events, "%s keep some back with --split 0.7,0.15,0.15.", why);
}

/* Two pictures say what they show, not what their class has in common. */
static void small_classes(const struct look *l)
{
    enum { FEW = 2, NAMED = 5, ENOUGH = 10 };
    char list[NAMED * (NN_CLASS_NAME + 20)] = "";
    int found = 0;
    size_t used = 0;
    for (int k = 0; k < l->classes; k++) {
        if (l->counts[k] < 1 || l->counts[k] > FEW || found++ >= NAMED) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.200s (%d)",
                                 found > 1 ? ", " : "", l->facts->splits->train.class_names[k],
                                 l->counts[k]);
    }
    if (!found) return;
    if (found > NAMED) snprintf(list + used, sizeof list - used, " and %d more", found - NAMED);
    train_note(l->events,
               "Caution: %d of %d classes %s 2 training pictures or fewer, too few to learn from: "
               "%s; add pictures until each has %d.",
               found, l->classes, found == 1 ? "has" : "have", list, ENOUGH);
}

static void random_weights(const struct look *l)
{
    enum { ENOUGH = 1000 };
    const struct train_settings *s = l->facts->settings;
    const int each = l->facts->splits->train.count / l->classes;
    if (s->weights || s->resume || is_small(l->facts->arch) || each >= ENOUGH) return;
    train_note(l->events,
               "Caution: the network starts from random weights, and %d pictures a class are few "
               "for that; with photographs, pretrained weights are usually far better: rudd fetch "
               "timm/tf_efficientnetv2_b0.in1k, then --weights with that file in place of --arch.",
               each);
}

static void uneven_classes(const struct look *l)
{
    enum { FACTOR = 4 };
    const struct train_settings *s = l->facts->settings;
    char *const *names = l->facts->splits->train.class_names;
    int most = -1, least = -1;
    if (s->class_weights == TRAIN_WEIGHTS_BALANCED || s->sampling) return;
    for (int k = 0; k < l->classes; k++) {
        if (!l->counts[k]) continue;
        if (most < 0 || l->counts[k] > l->counts[most]) most = k;
        if (least < 0 || l->counts[k] < l->counts[least]) least = k;
    }
    if (most < 0 || l->counts[most] < FACTOR * l->counts[least]) return;
    train_note(l->events,
               "Caution: %s has %d training pictures and %s only %d, so the network will favour "
               "%s; add pictures of small classes, or try --class-weights balanced.",
               names[most], l->counts[most], names[least], l->counts[least], names[most]);
}

enum rudd_status train_caution(const struct train_caution_facts *facts,
                               const struct train_events *events, struct rudd_error *err)
{
    static void (*const cautions[])(const struct look *) = {no_validation, small_classes,
                                                            random_weights, uneven_classes};
    int *counts = data_set_counts(&facts->splits->train);
    const struct look look = {facts, events, counts, facts->splits->train.class_count};
    if (!counts)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to count the pictures of classes");
    for (size_t i = 0; i < sizeof cautions / sizeof *cautions; i++) cautions[i](&look);
    rudd_free(counts);
    return RUDD_OK;
}
