/* test_loss.c - losses and mixing: values worked out by hand, gradients against differences, random choices by their key alone. */
#include "kernels/kern.h"
#include "nn/rng.h"
#include "train/loss.h"
#include "train/mix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- losses ------------------------------------------------------------------------------------------------------ */

enum { N = 3, C = 7 };

/* Logits of a spread, smoothed and mixed targets of different mass, a teacher of another opinion. */
static void draw(float *z, float *q, float *teacher, double spread)
{
    struct nn_rng rng;
    nn_rng_init(&rng, 1, 2, (uint64_t)spread);
    for (int i = 0; i < N * C; i++) {
        z[i] = (float)(spread * nn_rng_normal(&rng));
        q[i] = (float)(0.02 * (1 + i / C));
        teacher[i] = (float)(2 * nn_rng_normal(&rng));
    }
    for (int i = 0; i < N; i++) {
        q[i * C + i] += 0.6f;
        q[i * C + C - 1] += 0.3f;
    }
    q[0] = 0; /* a class that does not count */
}

/* The gradient is that of the value: central differences, for every form of the loss. */
static void gradients_by_differences(void **state)
{
    (void)state;
    static const double gammas[] = {0, 0.5, 1, 2, 5}, parts[] = {0, 0.3, 1}, temperatures[] = {1, 4};
    float z[N * C], q[N * C], teacher[N * C], grad[N * C], unused[N * C];
    draw(z, q, teacher, 2);
    for (int k = 0; k < 5 * 3 * 2; k++) {
        const struct train_loss loss = {gammas[k % 5], parts[k / 5 % 3], temperatures[k / 15]};
        train_loss_run(grad, z, q, teacher, &loss, N, C);
        for (int i = 0; i < N * C; i++) {
            const float keep = z[i], step = 0x1p-6f;
            z[i] = keep + step;
            double up = train_loss_run(unused, z, q, teacher, &loss, N, C);
            z[i] = keep - step;
            double down = train_loss_run(unused, z, q, teacher, &loss, N, C);
            double wide = (up - down) / (double)(2 * step);
            z[i] = keep + step / 2;
            up = train_loss_run(unused, z, q, teacher, &loss, N, C);
            z[i] = keep - step / 2;
            down = train_loss_run(unused, z, q, teacher, &loss, N, C);
            z[i] = keep;
            double want = (4 * (up - down) / (double)step - wide) / 3; /* Richardson: the error of step^2 is gone */
            if (fabs(want - (double)grad[i]) > 2e-6 * (1 + fabs(want)))
                fail_msg("gamma %g, a %g, T %g, logit %d: %.9g, by differences %.9g", loss.focal, loss.distill,
                         loss.temperature, i, (double)grad[i], want);
        }
    }
}

/* gamma 0 without a teacher is the kernel's cross-entropy. */
static void plain_is_cross_entropy(void **state)
{
    (void)state;
    const struct train_loss plain = {0}, focal = {.focal = 2}, teacher_only = {0, 0.5, 1};
    float z[N * C], q[N * C], teacher[N * C], grad[N * C], want[N * C];
    draw(z, q, teacher, 5);
    double sum;
    kern_table()->xent_f32(&sum, want, z, q, 1, N, C);
    assert_true(fabs(train_loss_run(grad, z, q, NULL, &plain, N, C) - sum) < 1e-6 * sum);
    for (int i = 0; i < N * C; i++) assert_true(fabsf(grad[i] - want[i]) < 1e-6f);
    assert_true(train_loss_is_plain(&plain));
    assert_false(train_loss_is_plain(&focal));
    assert_false(train_loss_is_plain(&teacher_only));
}

/* Two equal logits, gamma 2: (1/2)^2 ln 2. A teacher of the same opinion adds nothing; one that is sure of the other class adds
 * a T^2 (ln 2) at T = 1. In place gives the same. */
static void values_by_hand(void **state)
{
    (void)state;
    float z[2] = {3, 3}, q[2] = {1, 0}, sure[2] = {-200, 200}, grad[2];
    const double ln2 = 0.6931471805599453;
    assert_true(fabs(train_loss_run(grad, z, q, NULL, &(struct train_loss){.focal = 2}, 1, 2) - ln2 / 4) < 1e-12);
    assert_true(fabs(train_loss_run(grad, z, q, z, &(struct train_loss){2, 0.25, 3}, 1, 2) - 0.75 * ln2 / 4) < 1e-12);
    assert_true(fabs(train_loss_run(grad, z, q, sure, &(struct train_loss){0, 0.25, 1}, 1, 2) - ln2) < 1e-12);
    assert_true(fabs((double)grad[0] - (0.75 * -0.5 + 0.25 * 0.5)) < 1e-7);
    train_loss_run(z, z, q, sure, &(struct train_loss){0, 0.25, 1}, 1, 2);
    assert_memory_equal(z, grad, sizeof grad);
}

/* Answers that are surely right or surely wrong give finite values and gradients, the wrong one its full slope. */
static void extremes(void **state)
{
    (void)state;
    static const double gammas[] = {0.1, 1, 2};
    for (int k = 0; k < 3; k++) {
        const struct train_loss loss = {.focal = gammas[k]};
        float right[3] = {1000, 0, -1000}, wrong[3] = {-1000, 1000, 0}, q[3] = {1, 0, 0}, grad[3];
        assert_true(train_loss_run(grad, right, q, NULL, &loss, 1, 3) == 0);
        for (int i = 0; i < 3; i++) assert_true(grad[i] == 0);
        assert_true(train_loss_run(grad, wrong, q, NULL, &loss, 1, 3) == 2000);
        assert_true(grad[0] == -1 && grad[1] == 1 && grad[2] == 0);
    }
}

/* ---- mixing ------------------------------------------------------------------------------------------------------ */

/* A draw is a function of its key, and each part of the key matters. */
static void key_decides(void **state)
{
    (void)state;
    const struct train_mix_options options = {0.4, 1};
    int same[3] = {0};
    for (uint64_t i = 0; i < 50; i++) {
        struct train_mix a = train_mix_draw(&options, 1, 2, i, 64), b = train_mix_draw(&options, 1, 2, i, 64);
        assert_true(a.lambda == b.lambda && a.cut == b.cut && a.x0 == b.x0 && a.y1 == b.y1);
        same[0] += a.lambda == train_mix_draw(&options, 1, 2, i + 1, 64).lambda;
        same[1] += a.lambda == train_mix_draw(&options, 1, 3, i, 64).lambda;
        same[2] += a.lambda == train_mix_draw(&options, 2, 2, i, 64).lambda;
    }
    for (int i = 0; i < 3; i++) assert_true(same[i] < 5);
    struct train_mix off = train_mix_draw(&(struct train_mix_options){0}, 1, 2, 3, 64);
    assert_true(off.lambda == 1 && !off.cut);
}

/* lambda has Beta(a, a)'s mean 1/2 and variance 1/(4(2a+1)), also for tiny a, where it is nearly a coin; both kinds come equally often. */
static void lambda_is_beta(void **state)
{
    (void)state;
    static const double alphas[] = {1e-3, 0.2, 1, 8};
    enum { DRAWS = 20000 };
    for (int k = 0; k < 4; k++) {
        double sum = 0, squares = 0;
        for (uint64_t i = 0; i < DRAWS; i++) {
            double l = train_mix_draw(&(struct train_mix_options){alphas[k], 0}, 1, 1, i, 32).lambda;
            assert_true(l >= 0 && l <= 1);
            sum += l;
            squares += (l - 0.5) * (l - 0.5);
        }
        double variance = 1 / (4 * (2 * alphas[k] + 1));
        assert_true(fabs(sum / DRAWS - 0.5) < 5 * sqrt(variance / DRAWS));
        assert_true(fabs(squares / DRAWS / variance - 1) < 0.04);
    }
    int cuts = 0;
    for (uint64_t i = 0; i < DRAWS; i++) cuts += train_mix_draw(&(struct train_mix_options){0.2, 1}, 1, 1, i, 32).cut;
    assert_in_range(cuts, DRAWS / 2 - 350, DRAWS / 2 + 350); /* 5 standard deviations */
}

/* CutMix: rectangles stay inside, lambda is the share that is left, and every pixel is the own or the partner's as the rectangle
 * says; mixup: every pixel is the blend. The middle picture of an odd batch stays. Targets follow. */
static void pixels_and_targets(void **state)
{
    (void)state;
    enum { S = 16, COUNT = S * S * 3 };
    static float x[5 * COUNT];
    int partial = 0;
    for (uint64_t batch = 0; batch < 200; batch++) {
        const int n = 4 + (int)(batch & 1);
        const struct train_mix_options options = {batch < 100 ? 1 : 0, batch < 100 ? 0 : 1};
        const struct train_mix mix = train_mix_draw(&options, 3, 1, batch, S);
        const double l = mix.lambda;
        float q[5 * 2];
        for (int i = 0; i < n * COUNT; i++) x[i] = (float)(i / COUNT);
        for (int i = 0; i < n; i++) {
            q[2 * i] = (float)i;
            q[2 * i + 1] = 1;
        }
        train_mix_pixels(x, &mix, n, S);
        train_mix_targets(q, &mix, n, 2);
        assert_int_equal(mix.cut, batch >= 100);
        if (mix.cut) {
            assert_true(mix.x0 >= 0 && mix.x0 <= mix.x1 && mix.x1 <= S && mix.y0 >= 0 && mix.y0 <= mix.y1 && mix.y1 <= S);
            assert_true(fabs(l - (1 - (mix.x1 - mix.x0) * (mix.y1 - mix.y0) / (double)(S * S))) < 1e-12);
            partial += l > 0 && l < 1;
        }
        for (int i = 0; i < n; i++) {
            const int other = n - 1 - i;
            for (int j = 0; j < COUNT; j++) {
                int px = j / 3 % S, py = j / 3 / S;
                bool inside = px >= mix.x0 && px < mix.x1 && py >= mix.y0 && py < mix.y1;
                double want = mix.cut ? (inside ? other : i) : l * i + (1 - l) * other;
                assert_true(fabs((double)x[i * COUNT + j] - want) < 1e-5);
            }
            assert_true(fabs((double)q[2 * i] - (l * i + (1 - l) * other)) < 1e-5);
            assert_true(fabs((double)q[2 * i + 1] - 1) < 1e-6);
        }
    }
    assert_true(partial > 60); /* the rectangles test something */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_by_differences),
        cmocka_unit_test(plain_is_cross_entropy),
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(extremes),
        cmocka_unit_test(key_decides),
        cmocka_unit_test(lambda_is_beta),
        cmocka_unit_test(pixels_and_targets),
    };
    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
