/* advice.c - three sentences on what to do next: see advice.h.
 *
 * A rule looks at the facts and, where it applies, writes its sentence. The table at the end holds
 * the rules in the order of their importance, each with what it speaks of. */
#include "train/runs/advice.h"

#include "train/runs/sentence.h"
#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- figures --------------------------------------------------------------------------------- */

typedef const struct train_advice_facts facts;

void train_wilson(double *low, double *high, int k, int n)
{
    const double z = 1.959963985, p = (double)k / n, zz = z * z / n;
    const double middle = (p + zz / 2) / (1 + zz);
    const double half = z / (1 + zz) * sqrt(p * (1 - p) / n + zz / (4 * n));
    *low = middle - half > 0 ? middle - half : 0;
    *high = middle + half < 1 ? middle + half : 1;
}

static const struct train_metrics *metrics_of(facts *f)
{
    return &f->evaluation->metrics;
}

static int right_answers(facts *f)
{
    return f->evaluation->count - f->mistakes->count;
}

static double accuracy_of(facts *f)
{
    return (double)right_answers(f) / f->evaluation->count;
}

static bool is_held_out(facts *f)
{
    return strcmp(f->phase, "train") != 0;
}

/* "test", "validation" */
static const char *kind_of(facts *f)
{
    return strcmp(f->phase, "val") == 0     ? "validation"
           : strcmp(f->phase, "train") == 0 ? "training"
                                            : "test";
}

static const char *class_name(facts *f, int k)
{
    return f->train->class_names[k];
}

/* The class with the most judged pictures, and its share of them. */
static int largest_class(double *share, facts *f)
{
    const struct train_metrics *m = metrics_of(f);
    int largest = 0;
    for (int k = 1; k < m->classes; k++)
        if (m->per_class[k].support > m->per_class[largest].support) largest = k;
    *share = (double)m->per_class[largest].support / m->images;
    return largest;
}

/* 0: no better than naming the largest class every time; 1: all right. */
static double skill(double accuracy, double largest)
{
    return largest < 1 ? (accuracy - largest) / (1 - largest) : 1;
}

static const struct train_epoch *last_epoch(facts *f)
{
    return f->epoch_count ? &f->epochs[f->epoch_count - 1] : NULL;
}

/* The folder of a class's training pictures; without one, its name. */
static void put_folder(struct train_sentence *s, facts *f, int k)
{
    for (int i = 0; i < f->train->count; i++) {
        const struct data_item *item = &f->train->items[i];
        if (item->label != k || item->name < 2) continue;
        train_say(s, "%.*s", item->name - 1, item->path); /* without the slash */
        return;
    }
    train_say(s, "%s", class_name(f, k));
}

/* A judged picture's path. */
static const char *path_of(facts *f, int row)
{
    return f->judged->items[f->evaluation->items[row]].path;
}

/* ---- how learning went ----------------------------------------------------------------------- */

static bool has_diverged(struct train_sentence *s, facts *f)
{
    if (!f->diverged) return false;
    train_say(
        s,
        "Learning broke off, since the loss became infinite; the best model before that was kept: "
        "train again with a tenth of the learning rate, or let rudd train --config ");
    train_say_word(s, f->run, "/run.json");
    train_say(s, " --find-lr suggest one.");
    return true;
}

/* Neither training pictures nor new ones are told apart. */
static bool has_not_learned(struct train_sentence *s, facts *f)
{
    double share;
    const int largest = largest_class(&share, f);
    const struct train_epoch *last = last_epoch(f);
    if (share >= 1 || skill(accuracy_of(f), share) > 0.1) return false;
    if (last && skill(last->train_accuracy, share) > 0.5) return false; /* it did, by heart */
    train_say(s, "The network has learned next to nothing: ");
    train_say_percent(s, accuracy_of(f));
    train_say(s, " of the %s pictures are right, and naming %s every time would give ", kind_of(f),
              class_name(f, largest));
    train_say_percent(s, share);
    if (!f->pretrained) {
        train_say(
            s,
            "; photographs need pretrained weights (rudd fetch timm/tf_efficientnetv2_b0.in1k).");
        return true;
    }
    const bool falls = f->epoch_count > 1 && last->train_loss < 0.98 * f->epochs[0].train_loss;
    train_say(s, "; rudd train --config ");
    train_say_word(s, f->run, "/run.json");
    if (falls || f->epoch_count < 3)
        train_say(s, " --epochs %d trains longer.", 4 * f->epochs_asked);
    else
        train_say(s, " --find-lr suggests a better learning rate.");
    return true;
}

/* What held-out accuracy is set beside training accuracy: of the last epoch, where it was
 * validated, else of the judged pictures. false: there is none. */
static bool held_accuracy(double *accuracy, int *pictures, facts *f)
{
    const struct train_epoch *last = last_epoch(f);
    const bool validated = last && isfinite(last->val_accuracy) && f->val_count > 0;
    if (!validated && !is_held_out(f)) return false;
    *accuracy = validated ? last->val_accuracy : accuracy_of(f);
    *pictures = validated ? f->val_count : f->evaluation->count;
    return true;
}

/* Training figures are taken on altered pictures, which are harder: where training is ahead all the
 * same, and by more than chance, the pictures are known by heart. */
static bool is_by_heart(facts *f)
{
    double held, low, high;
    int pictures;
    const struct train_epoch *last = last_epoch(f);
    if (!last || f->epoch_count < 2 || !held_accuracy(&held, &pictures, f)) return false;
    train_wilson(&low, &high, (int)lround(held * pictures), pictures);
    const double gap = last->train_accuracy - held;
    if (gap < 0.1 || last->train_accuracy <= high) return false;
    double least = INFINITY;
    for (int i = 0; i < f->epoch_count; i++)
        if (f->epochs[i].val_loss < least) least = f->epochs[i].val_loss;
    const bool rose = last->val_loss > 1.05 * least;
    return rose || (last->train_accuracy >= 0.97 && gap >= 0.2);
}

static bool learned_by_heart(struct train_sentence *s, facts *f)
{
    double held;
    int pictures, least = 0;
    if (!is_by_heart(f) || !held_accuracy(&held, &pictures, f)) return false;
    const struct train_epoch *last = last_epoch(f);
    const bool validated = isfinite(last->val_loss);
    train_say(s, "The network has learned its pictures by heart: in the last epoch it named ");
    train_say_percent(s, last->train_accuracy);
    train_say(s, " of the training pictures rightly, but ");
    train_say_percent(s, held);
    train_say(s, " of the %s pictures", validated ? "validation" : kind_of(f));
    for (int i = 1; i < f->epoch_count; i++)
        if (f->epochs[i].val_loss < f->epochs[least].val_loss) least = i;
    if (last->val_loss > 1.05 * f->epochs[least].val_loss)
        train_say(s, ", whose loss has risen from %.2f in epoch %.0f to %.2f",
                  f->epochs[least].val_loss, f->epochs[least].epoch, last->val_loss);
    train_say(s, "; more pictures help most");
    if (!f->pretrained) {
        train_say(s, "; for photographs, pretrained weights help, too (rudd fetch "
                     "timm/tf_efficientnetv2_b0.in1k).");
        return true;
    }
    train_say(s, ", then rudd train --config ");
    train_say_word(s, f->run, "/run.json");
    if (f->head_only) /* its pictures are seen unaltered, by default */
        train_say(s, " --mixup 0.2, which blends them in pairs.");
    else if (!f->augment)
        train_say(s, " --augment, which alters them in every epoch.");
    else if (!f->randaugment)
        train_say(s, " --randaugment 9, which alters them more.");
    else
        train_say(s, " --freeze all, under which only the last layer learns.");
    return true;
}

/* The last epoch is the best, and clearly better than the one before. */
static bool was_still_learning(struct train_sentence *s, facts *f)
{
    const struct train_epoch *last = last_epoch(f);
    if (f->whole_fit || f->epoch_count < f->epochs_asked || f->epoch_count < 2) return false;
    const struct train_epoch *before = last - 1;
    if (f->best_epoch != f->epoch_count || !(last->val_loss < 0.97 * before->val_loss) ||
        !(last->val_accuracy > before->val_accuracy))
        return false;
    train_say(s, "Validation was still getting better in the last epoch (");
    train_say_percent(s, before->val_accuracy);
    train_say(s, " to ");
    train_say_percent(s, last->val_accuracy);
    train_say(s, "): train longer with rudd train --config ");
    train_say_word(s, f->run, "/run.json");
    train_say(s, " --epochs %d.", 2 * f->epochs_asked);
    return true;
}

/* What was learned from is hardly better known than what was not, and the best epoch is among the
 * last tenth of all. */
static bool has_learned_too_little(struct train_sentence *s, facts *f)
{
    double held;
    int pictures;
    const struct train_epoch *last = last_epoch(f);
    if (f->whole_fit || f->epoch_count < f->epochs_asked || !held_accuracy(&held, &pictures, f))
        return false;
    if (!last || 10 * f->best_epoch < 9 * f->epoch_count || last->train_accuracy >= 0.85 ||
        held >= 0.85 || held < last->train_accuracy - 0.05)
        return false;
    train_say(s, "The training pictures themselves are not learned yet, with ");
    train_say_percent(s, last->train_accuracy);
    train_say(s, " right in the last epoch: train longer with rudd train --config ");
    train_say_word(s, f->run, "/run.json");
    train_say(s, " --epochs %d.", 2 * f->epochs_asked);
    return true;
}

static bool has_head_only(struct train_sentence *s, facts *f)
{
    if (!f->head_only || !f->pretrained || accuracy_of(f) >= 0.95) return false;
    train_say(
        s, "Only the last layer of the network was trained; training all of it takes longer and is "
           "usually better: rudd train --config ");
    train_say_word(s, f->run, "/run.json");
    train_say(s, " --freeze none%s.", f->whole_fit ? " --optimizer adamw" : "");
    return true;
}

/* ---- how well it is known -------------------------------------------------------------------- */

static bool is_judged_by_training(struct train_sentence *s, facts *f)
{
    if (is_held_out(f)) return false;
    train_say(s, "How good the model is with new pictures is not known, since it was judged by the "
                 "pictures that it learned from: ");
    if (f->divided) {
        train_say(s, "move some pictures of each class into ");
        train_say_word(s, f->data, "/val and ");
        train_say_word(s, f->data, "/test.");
    } else {
        train_say(s, "keep some back with --split 0.7,0.15,0.15.");
    }
    return true;
}

/* By more than two standard deviations of the difference. */
static bool is_validation_better(struct train_sentence *s, facts *f)
{
    const int best = f->best_epoch;
    if (strcmp(f->phase, "test") != 0 || best < 1 || best > f->epoch_count || !f->val_count)
        return false;
    const double val = f->epochs[best - 1].val_accuracy, test = accuracy_of(f);
    const double n = f->val_count, m = f->evaluation->count;
    const double both = (val * n + test * m) / (n + m);
    if (!(val - test >= 0.1) || val - test < 2 * sqrt(both * (1 - both) * (1 / n + 1 / m)))
        return false;
    train_say(s, "The model is much better on the validation pictures (");
    train_say_percent(s, val);
    train_say(s, " right) than on the test pictures (");
    train_say_percent(s, test);
    train_say(s, "), so the two differ in kind, or validation pictures are like training pictures: "
                 "rudd data check ");
    train_say_word(s, f->data, " lists those.");
    return true;
}

static bool is_wide(facts *f)
{
    double low, high;
    train_wilson(&low, &high, right_answers(f), f->evaluation->count);
    return high - low > 0.15;
}

static bool has_too_few(struct train_sentence *s, facts *f)
{
    double low, high;
    if (!is_wide(f)) return false;
    train_wilson(&low, &high, right_answers(f), f->evaluation->count);
    train_say(
        s,
        "The %d %s pictures are too few for a judgement: %d were right, so that of new pictures ",
        f->evaluation->count, kind_of(f), right_answers(f));
    train_say_percent(s, low);
    train_say(s, " to ");
    train_say_percent(s, high);
    train_say(s, " may be right; 200 would tell.");
    return true;
}

static void put_interval(struct train_sentence *s, facts *f)
{
    double low, high;
    train_wilson(&low, &high, right_answers(f), f->evaluation->count);
    train_say(s, "%d of %d %s pictures are right (", right_answers(f), f->evaluation->count,
              kind_of(f));
    train_say_percent(s, accuracy_of(f));
    if (!is_held_out(f)) {
        train_say(s, "), which says little about new ones.");
        return;
    }
    train_say(s, "), so of new pictures like them expect ");
    train_say_percent(s, low);
    train_say(s, " to ");
    train_say_percent(s, high);
    train_say(s, " to be right.");
}

static bool tells_interval(struct train_sentence *s, facts *f)
{
    put_interval(s, f);
    return true;
}

/* A class of which fewer than three in five pictures are recognised. */
static bool leaves_a_class_behind(facts *f)
{
    enum { ASKED = 5 };
    const struct train_metrics *m = metrics_of(f);
    for (int k = 0; k < m->classes; k++)
        if (m->per_class[k].support >= ASKED && m->per_class[k].recall < 0.6) return true;
    return m->balanced_accuracy < 0.8;
}

/* No class is left behind, no trouble was found. */
static bool is_good(struct train_sentence *s, facts *f)
{
    if (!is_held_out(f) || is_wide(f) || is_by_heart(f)) return false;
    if (accuracy_of(f) < 0.9 || leaves_a_class_behind(f)) return false;
    train_say(s, "Use it: rudd predict --model ");
    train_say_word(s, f->run, "/model.safetensors");
    train_say(s, " PICTURE; ");
    put_interval(s, f);
    return true;
}

/* ---- classes and pictures -------------------------------------------------------------------- */

/* The pair of classes most often confused: three pictures at least, and a fifth of the class. A
 * model that confuses everything has none. */
static const struct train_confused *worst_pair(facts *f)
{
    const struct train_metrics *m = metrics_of(f);
    const struct train_confused *worst = NULL;
    double share;
    largest_class(&share, f);
    if (skill(accuracy_of(f), share) < 0.4) return NULL;
    for (int i = 0; i < m->confused_count; i++) {
        const struct train_confused *c = &m->confused[i];
        if (c->label == c->answer || c->count < 3) continue;
        if (5 * c->count < m->per_class[c->label].support) continue;
        if (!worst || c->count > worst->count) worst = c;
    }
    return worst;
}

static bool confuses_a_pair(struct train_sentence *s, facts *f)
{
    const struct train_confused *c = worst_pair(f);
    if (!c) return false;
    train_say(s, "%d of %d %s pictures of %s are taken for %s: look for wrong labels in ", c->count,
              metrics_of(f)->per_class[c->label].support, kind_of(f), class_name(f, c->label),
              class_name(f, c->answer));
    put_folder(s, f, c->label);
    train_say(s, " and ");
    put_folder(s, f, c->answer);
    train_say(s, ", and add pictures of %s.", class_name(f, c->label));
    return true;
}

/* Half of all mistakes come from one pair. */
static bool confuses_mostly_a_pair(struct train_sentence *s, facts *f)
{
    const struct train_confused *c = worst_pair(f);
    return c && 2 * c->count >= f->mistakes->count && confuses_a_pair(s, f);
}

/* The class that is recognised least, among those with at least `support` judged pictures and at
 * most `pictures` to learn from; not the one that is confused most. -1: none below `recall`. */
static int weakest_class(facts *f, int support, int pictures, double recall)
{
    const struct train_metrics *m = metrics_of(f);
    const struct train_confused *pair = worst_pair(f);
    int weakest = -1;
    for (int k = 0; k < m->classes; k++) {
        const struct train_class_metrics *c = &m->per_class[k];
        if (c->support < support || f->train_counts[k] > pictures || c->recall >= recall) continue;
        if (pair && pair->label == k) continue;
        if (weakest < 0 || c->recall < m->per_class[weakest].recall ||
            (c->recall == m->per_class[weakest].recall &&
             f->train_counts[k] < f->train_counts[weakest]))
            weakest = k;
    }
    return weakest;
}

/* Few: less than 20, and less than half of what a class has on average. */
static bool has_small_class(struct train_sentence *s, facts *f)
{
    const struct train_metrics *m = metrics_of(f);
    const int half = f->train->count / m->classes / 2, few = half < 19 ? half : 19;
    const int k = weakest_class(f, 1, few, 0.6);
    if (k < 0) return false;
    const int support = m->per_class[k].support;
    train_say(
        s, "%s has %d training pictures, and %d of its %d %s pictures %s recognised: add some to ",
        class_name(f, k), f->train_counts[k], (int)lround(m->per_class[k].recall * support),
        support, kind_of(f), support == 1 ? "was" : "were");
    put_folder(s, f, k);
    train_say(s, ".");
    return true;
}

static bool has_hard_class(struct train_sentence *s, facts *f)
{
    const struct train_metrics *m = metrics_of(f);
    const int k = weakest_class(f, 3, INT_MAX, 0.8);
    if (k < 0) return false;
    const int support = m->per_class[k].support;
    train_say(
        s, "The hardest class is %s, with %d of %d %s pictures right: more and other pictures in ",
        class_name(f, k), (int)lround(m->per_class[k].recall * support), support, kind_of(f));
    put_folder(s, f, k);
    train_say(s, " help most.");
    return true;
}

/* The model is sure, and not of the class that it takes so many for. */
static bool is_suspect(facts *f, const struct train_mistake *mistake)
{
    const struct train_confused *pair = worst_pair(f);
    const int label = f->evaluation->labels[mistake->row];
    const int said = f->evaluation->results[mistake->row].best;
    return mistake->sure >= TRAIN_SURE && !(pair && pair->label == label && pair->answer == said);
}

/* Sure answers can be relied on, but for a few: these may have wrong labels. */
static bool has_wrong_labels(struct train_sentence *s, facts *f)
{
    enum { NAMED = 3 };
    const struct train_mistakes *m = f->mistakes;
    int named = 0, wrong = 0;
    for (int i = 0; i < m->count; i++) wrong += is_suspect(f, &m->list[i]);
    if (!is_held_out(f) || !wrong || m->sure_count < 20 || m->sure_right < 0.9 * m->sure_count)
        return false;
    train_say(s, "Look whether these have wrong labels, since the model is more than 90 %% sure of "
                 "another class: ");
    for (int i = 0; i < m->count && named < NAMED; i++) {
        const int row = m->list[i].row;
        if (!is_suspect(f, &m->list[i])) continue;
        train_say(s, "%s%s (%s?)", named++ ? ", " : "", path_of(f, row),
                  class_name(f, f->evaluation->results[row].best));
    }
    if (wrong > named) train_say(s, " and %d more", wrong - named);
    train_say(s, ".");
    return true;
}

/* ---- what can always be said ----------------------------------------------------------------- */

static bool asks_to_check(struct train_sentence *s, facts *f)
{
    double share;
    largest_class(&share, f);
    if (share < 1 && skill(accuracy_of(f), share) > 0.1) return false;
    train_say(s, "See that each folder of ");
    train_say_word(s, f->data, "");
    train_say(s, " holds pictures of what its name says, and that rudd data check ");
    train_say_word(s, f->data, "");
    train_say(s, " finds no fault.");
    return true;
}

static bool asks_to_try(struct train_sentence *s, facts *f)
{
    train_say(s, "Try it on pictures of your own: rudd predict --model ");
    train_say_word(s, f->run, "/model.safetensors");
    train_say(s, " PICTURE.");
    return true;
}

static bool asks_to_look(struct train_sentence *s, facts *f)
{
    const int count = f->mistakes->count;
    if (!count) {
        train_say(s,
                  "There is no mistake among the %s pictures: harder ones, from other places and "
                  "cameras, would show its limits.",
                  kind_of(f));
        return true;
    }
    train_say(s, "report.html in the run's folder shows the ");
    if (count == 1) train_say(s, "mistake beside a picture of the class that it was taken for.");
    if (count > 1)
        train_say(s, "%d mistakes, each beside a picture of the class that it was taken for.",
                  count);
    return true;
}

static bool asks_for_variety(struct train_sentence *s, facts *f)
{
    (void)f;
    train_say(s, "Pictures from other places, cameras and days make a model better with new ones.");
    return true;
}

/* ---- the rules ------------------------------------------------------------------------------- */

/* What a rule speaks of. */
enum {
    LEARNING = 1, /* whether it worked */
    LENGTH = 2,   /* more or fewer epochs, more of the network */
    MEASURE = 4,  /* how good the model is */
    PAIR = 8,     /* two classes */
    CLASS = 16,   /* one class */
    LABELS = 32,  /* files */
    USE = 64,     /* what the model is good for */
    LOOK = 128,
    VARIETY = 256
};

static const struct {
    bool (*applies)(struct train_sentence *s, facts *f);
    int topics;
} rules[] = {
    {has_diverged, LEARNING | LENGTH | USE},
    {has_not_learned, LEARNING | LENGTH | USE | PAIR | CLASS | LABELS},
    {is_judged_by_training, MEASURE},
    {is_validation_better, MEASURE},
    {confuses_mostly_a_pair, PAIR},
    {is_good, LEARNING | MEASURE | USE},
    {learned_by_heart, LEARNING | LENGTH},
    {has_too_few, MEASURE},
    {has_head_only, LEARNING | LENGTH},
    {confuses_a_pair, PAIR},
    {has_small_class, CLASS},
    {was_still_learning, LENGTH},
    {has_learned_too_little, LENGTH},
    {has_wrong_labels, LABELS},
    {has_hard_class, CLASS},
    {tells_interval, MEASURE},
    {asks_to_check, VARIETY},
    {asks_to_try, USE},
    {asks_to_look, LOOK},
    {asks_for_variety, VARIETY},
};

void train_advise(struct train_advice *advice, facts *f)
{
    int taken = 0, topics = 0;
    memset(advice, 0, sizeof *advice);
    for (size_t i = 0; i < sizeof rules / sizeof *rules && taken < TRAIN_ADVICE; i++) {
        struct train_sentence s = {advice->text[taken], TRAIN_ADVICE_TEXT, 0, false};
        if (topics & rules[i].topics) continue;
        if (!rules[i].applies(&s, f) || s.full) { /* one with too long a path is left out */
            advice->text[taken][0] = 0;
            continue;
        }
        topics |= rules[i].topics;
        taken++;
    }
}
