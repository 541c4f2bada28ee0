/* test_names.c - names in every dialect, and what network names and shapes are recognised as. */
#include "weights/keras.h"
#include "weights/metadata.h"
#include "weights/model_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct rudd_error err;

static struct nn_model *outline(const char *arch, int classes)
{
    struct nn_model *m;
    assert_int_equal(nn_model_describe(&m, arch, classes, &err), RUDD_OK);
    return m;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int by_tensor_name(const void *a, const void *b)
{
    return strcmp(((const struct weights_tensor *)a)->name, ((const struct weights_tensor *)b)->name);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Known names of real files, one of each module, in B0 (one block in the first stage) and B4 (two); and V2's, which lukemelas lacks. */
static void names_are_those_of_real_files(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *timm, *torchvision, *lukemelas, *keras;
    } known[] = {
        {"efficientnet_b0", "conv_stem.weight", "features.0.0.weight", "_conv_stem.weight", "stem_conv/kernel"},
        {"efficientnet_b0", "bn1.running_var", "features.0.1.running_var", "_bn0.running_var", "stem_bn/moving_variance"},
        {"efficientnet_b0", "blocks.0.0.conv_dw.weight", "features.1.0.block.0.0.weight", "_blocks.0._depthwise_conv.weight",
         "block1a_dwconv/kernel"},
        {"efficientnet_b0", "blocks.0.0.bn1.bias", "features.1.0.block.0.1.bias", "_blocks.0._bn1.bias", "block1a_bn/beta"},
        {"efficientnet_b0", "blocks.0.0.se.conv_reduce.bias", "features.1.0.block.1.fc1.bias", "_blocks.0._se_reduce.bias",
         "block1a_se_reduce/bias"},
        {"efficientnet_b0", "blocks.0.0.se.conv_expand.weight", "features.1.0.block.1.fc2.weight",
         "_blocks.0._se_expand.weight", "block1a_se_expand/kernel"},
        {"efficientnet_b0", "blocks.0.0.conv_pw.weight", "features.1.0.block.2.0.weight", "_blocks.0._project_conv.weight",
         "block1a_project_conv/kernel"},
        {"efficientnet_b0", "blocks.0.0.bn2.running_mean", "features.1.0.block.2.1.running_mean", "_blocks.0._bn2.running_mean",
         "block1a_project_bn/moving_mean"},
        {"efficientnet_b0", "blocks.1.1.conv_pw.weight", "features.2.1.block.0.0.weight", "_blocks.2._expand_conv.weight",
         "block2b_expand_conv/kernel"},
        {"efficientnet_b0", "blocks.1.1.bn1.weight", "features.2.1.block.0.1.weight", "_blocks.2._bn0.weight",
         "block2b_expand_bn/gamma"},
        {"efficientnet_b0", "blocks.6.0.conv_dw.weight", "features.7.0.block.1.0.weight", "_blocks.15._depthwise_conv.weight",
         "block7a_dwconv/kernel"},
        {"efficientnet_b0", "blocks.6.0.bn2.weight", "features.7.0.block.1.1.weight", "_blocks.15._bn1.weight",
         "block7a_bn/gamma"},
        {"efficientnet_b0", "blocks.6.0.se.conv_reduce.weight", "features.7.0.block.2.fc1.weight",
         "_blocks.15._se_reduce.weight", "block7a_se_reduce/kernel"},
        {"efficientnet_b0", "blocks.6.0.se.conv_expand.bias", "features.7.0.block.2.fc2.bias", "_blocks.15._se_expand.bias",
         "block7a_se_expand/bias"},
        {"efficientnet_b0", "blocks.6.0.conv_pwl.weight", "features.7.0.block.3.0.weight", "_blocks.15._project_conv.weight",
         "block7a_project_conv/kernel"},
        {"efficientnet_b0", "blocks.6.0.bn3.bias", "features.7.0.block.3.1.bias", "_blocks.15._bn2.bias",
         "block7a_project_bn/beta"},
        {"efficientnet_b0", "conv_head.weight", "features.8.0.weight", "_conv_head.weight", "top_conv/kernel"},
        {"efficientnet_b0", "bn2.weight", "features.8.1.weight", "_bn1.weight", "top_bn/gamma"},
        {"efficientnet_b0", "classifier.weight", "classifier.1.weight", "_fc.weight", "predictions/kernel"},
        {"efficientnet_b0", "classifier.bias", "classifier.1.bias", "_fc.bias", "predictions/bias"},
        {"tf_efficientnet_b4", "blocks.0.1.conv_pw.weight", "features.1.1.block.2.0.weight", "_blocks.1._project_conv.weight",
         "block1b_project_conv/kernel"},
        {"tf_efficientnet_b4", "blocks.5.7.conv_pwl.weight", "features.6.7.block.3.0.weight", "_blocks.29._project_conv.weight",
         "block6h_project_conv/kernel"},
        {"tf_efficientnet_b4", "blocks.6.1.conv_pw.weight", "features.7.1.block.0.0.weight", "_blocks.31._expand_conv.weight",
         "block7b_expand_conv/kernel"},
        {"efficientnetv2_s", "blocks.0.1.conv.weight", "features.1.1.block.0.0.weight", NULL, "block1b_project_conv/kernel"},
        {"efficientnetv2_s", "blocks.0.1.bn1.bias", "features.1.1.block.0.1.bias", NULL, "block1b_project_bn/beta"},
        {"efficientnetv2_s", "blocks.1.3.conv_exp.weight", "features.2.3.block.0.0.weight", NULL, "block2d_expand_conv/kernel"},
        {"efficientnetv2_s", "blocks.1.3.bn1.weight", "features.2.3.block.0.1.weight", NULL, "block2d_expand_bn/gamma"},
        {"efficientnetv2_s", "blocks.2.0.conv_pwl.weight", "features.3.0.block.1.0.weight", NULL,
         "block3a_project_conv/kernel"},
        {"efficientnetv2_s", "blocks.2.0.bn2.running_var", "features.3.0.block.1.1.running_var", NULL,
         "block3a_project_bn/moving_variance"},
        {"efficientnetv2_s", "blocks.4.3.conv_dw.weight", "features.5.3.block.1.0.weight", "_blocks.19._depthwise_conv.weight",
         "block5d_dwconv2/kernel"},
        {"mobilenetv2_100", "conv_stem.weight", "features.0.0.weight", NULL, "Conv1/kernel"},
        {"mobilenetv2_100", "blocks.0.0.conv_dw.weight", "features.1.conv.0.0.weight", NULL, "expanded_conv_depthwise/kernel"},
        {"mobilenetv2_100", "blocks.0.0.bn2.bias", "features.1.conv.2.bias", NULL, "expanded_conv_project_BN/beta"},
        {"mobilenetv2_100", "blocks.1.0.conv_pw.weight", "features.2.conv.0.0.weight", NULL, "block_1_expand/kernel"},
        {"mobilenetv2_100", "blocks.6.0.conv_dw.weight", "features.17.conv.1.0.weight", NULL, "block_16_depthwise/kernel"},
        {"mobilenetv2_100", "blocks.6.0.bn3.running_mean", "features.17.conv.3.running_mean", NULL,
         "block_16_project_BN/moving_mean"},
        {"resnet50v2", "stem.conv.bias", NULL, NULL, "conv1_conv/bias"},
        {"resnet50v2", "stages.0.blocks.0.downsample.conv.weight", NULL, NULL, "conv2_block1_0_conv/kernel"},
        {"resnet50v2", "stages.3.blocks.2.norm1.running_var", NULL, NULL, "conv5_block3_preact_bn/moving_variance"},
        {"resnet50v2", "stages.2.blocks.5.norm3.weight", NULL, NULL, "conv4_block6_2_bn/gamma"},
        {"resnet50v2", "norm.bias", NULL, NULL, "post_bn/beta"},
        {"mobilenetv2_050", "conv_head.weight", "features.18.0.weight", NULL, "Conv_1/kernel"},
        {"mobilenetv2_140", "classifier.bias", "classifier.1.bias", NULL, "predictions/bias"},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        struct nn_model *m = outline(known[k].arch, 3);
        const char *expected[] = {known[k].timm, known[k].torchvision, known[k].lukemelas, known[k].keras};
        int i = nn_model_find(m, known[k].timm);
        assert_true(i >= 0);
        for (int d = 0; d <= WEIGHTS_KERAS; d++) {
            char name[NN_NAME];
            assert_int_equal(weights_param_name(name, m, i, (enum weights_dialect)d), expected[d] != NULL);
            if (expected[d]) assert_string_equal(name, expected[d]);
        }
        nn_model_destroy(m);
    }
}

/* Layers without names are numbered as Keras 3 numbers those of its own networks: a shortcut's convolution before the one it is added to. */
static void numbers_are_those_of_real_files(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *timm, *numbered;
    } known[] = {
        {"resnet50v2", "stem.conv.bias", "conv2d/bias"},
        {"resnet50v2", "stages.0.blocks.0.conv1.weight", "conv2d_1/kernel"},
        {"resnet50v2", "stages.0.blocks.0.conv2.weight", "conv2d_2/kernel"},
        {"resnet50v2", "stages.0.blocks.0.downsample.conv.bias", "conv2d_3/bias"},
        {"resnet50v2", "stages.0.blocks.0.conv3.bias", "conv2d_4/bias"},
        {"resnet50v2", "stages.0.blocks.1.conv1.weight", "conv2d_5/kernel"},
        {"resnet50v2", "stages.3.blocks.0.conv2.weight", "conv2d_44/kernel"},
        {"resnet50v2", "stages.3.blocks.0.downsample.conv.weight", "conv2d_45/kernel"},
        {"resnet50v2", "stages.3.blocks.2.conv3.weight", "conv2d_52/kernel"},
        {"resnet50v2", "stages.0.blocks.0.norm3.weight", "batch_normalization_2/gamma"},
        {"resnet50v2", "norm.running_var", "batch_normalization_48/moving_variance"},
        {"resnet50v2", "head.fc.weight", "dense/kernel"},
        {"tf_efficientnet_b0", "conv_stem.weight", "conv2d/kernel"},
        {"tf_efficientnet_b0", "blocks.0.0.se.conv_expand.bias", "conv2d_2/bias"},
        {"tf_efficientnet_b0", "blocks.1.1.conv_dw.weight", "depthwise_conv2d_2/kernel"},
        {"tf_efficientnet_b0", "bn2.bias", "batch_normalization_48/beta"},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        struct nn_model *m = outline(known[k].arch, 3);
        char name[NN_NAME];
        assert_true(weights_param_name(name, m, nn_model_find(m, known[k].timm), WEIGHTS_KERAS_NUMBERED));
        assert_string_equal(name, known[k].numbered);
        nn_model_destroy(m);
    }
}

/* lukemelas' package is EfficientNet V1 alone. */
static bool has_names(const char *arch, int dialect)
{
    if (strstr(arch, "resnet"))
        return dialect == WEIGHTS_TIMM || (weights_is_keras((enum weights_dialect)dialect) && !strcmp(arch, "resnet50v2"));
    return dialect != WEIGHTS_LUKEMELAS || strstr(arch, "efficientnet_b");
}

/* In every architecture and dialect each parameter has a name and no two share one; V2 has none in lukemelas' package, and says so. */
static void names_are_complete_and_unique(void **state)
{
    (void)state;
    for (int k = 0; nn_arch_name(k); k++) {
        struct nn_model *m = outline(nn_arch_name(k), 3);
        char(*names)[NN_NAME] = malloc((size_t)m->param_count * sizeof *names);
        for (int d = 0; d < WEIGHTS_DIALECTS; d++) {
            bool all = true;
            for (int i = 0; i < m->param_count; i++) all &= weights_param_name(names[i], m, i, (enum weights_dialect)d);
            assert_int_equal(all, has_names(m->arch, d));
            qsort(names, (size_t)m->param_count, sizeof *names, by_text);
            for (int i = 1; i < m->param_count && all; i++) assert_string_not_equal(names[i - 1], names[i]);
        }
        free(names);
        nn_model_destroy(m);
    }
}

/* ---- recognition ------------------------------------------------------------------------------------------------- */

/* An open file with the parameters of an architecture in a dialect, without data or metadata; every skip-th is left out. */
static void pretend_file(struct weights_file *f, const char *arch, enum weights_dialect d, int skip)
{
    struct nn_model *m = outline(arch, 17);
    *f = (struct weights_file){.path = rudd_strdup("pretended"),
                               .tensors = rudd_zalloc((size_t)m->param_count, sizeof *f->tensors)};
    for (int i = 0; i < m->param_count; i++) {
        char name[NN_NAME];
        if (!weights_param_name(name, m, i, d) || (skip && i % skip == skip - 1)) continue;
        struct weights_tensor *t = &f->tensors[f->tensor_count++];
        *t = (struct weights_tensor){
            .name = rudd_strdup(name), .dtype = WEIGHTS_F16, .rank = m->params[i].rank, .count = m->params[i].count};
        weights_dialect_shape(t->shape, &m->params[i], d);
    }
    qsort(f->tensors, (size_t)f->tensor_count, sizeof *f->tensors, by_tensor_name);
    nn_model_destroy(m);
}

/* Names and shapes alone tell each architecture, even with a seventh of the tensors missing; tf_ twins go to the plain name,
 * except in lukemelas' and Keras' dialects, where all are tf_, and V2-S under timm's names, of which TensorFlow's weights alone are published. */
static void shapes_tell_the_architecture(void **state)
{
    (void)state;
    for (int k = 0; nn_arch_name(k); k++)
        for (int d = 0; d < WEIGHTS_DIALECTS; d++) {
            const char *name = nn_arch_name(k), *found = NULL;
            enum weights_dialect dialect;
            bool guessed;
            if (!has_names(name, d)) continue;
            struct weights_file f;
            pretend_file(&f, name, (enum weights_dialect)d, k % 2 ? 7 : 0);
            assert_int_equal(weights_recognise(&found, &dialect, &guessed, &f, &err), RUDD_OK);
            assert_int_equal(dialect, d);
            assert_true(guessed);
            char expected[64];
            const char *plain = strncmp(name, "tf_", 3) ? name : name + 3;
            const bool tf = strstr(name, "v2_s")
                                ? d == WEIGHTS_TIMM || weights_is_keras((enum weights_dialect)d)
                                : strstr(name, "v2_b") || d == WEIGHTS_LUKEMELAS ||
                                      (weights_is_keras((enum weights_dialect)d) && strstr(name, "efficientnet"));
            snprintf(expected, sizeof expected, "%s%s", tf ? "tf_" : "", plain);
            assert_string_equal(found, expected);
            weights_close(&f);
        }
}

/* Metadata decides before shapes do, in the spellings that files use; an unknown rudd.arch is refused, not guessed around. */
static void metadata_tells_the_architecture(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        enum weights_dialect d;
        const char *arch;
    } cases[] = {
        {"architecture", "tf_efficientnet_b1", WEIGHTS_TIMM, "tf_efficientnet_b1"},
        {"architecture", "tf_efficientnet_b1.ns_jft_in1k", WEIGHTS_TIMM, "tf_efficientnet_b1"},
        {"architecture", "efficientnet-b1", WEIGHTS_LUKEMELAS, "tf_efficientnet_b1"},
        {"architecture", "efficientnet_b1", WEIGHTS_TORCHVISION, "efficientnet_b1"},
        {"rudd.arch", "tf_efficientnet_b1", WEIGHTS_TORCHVISION, "tf_efficientnet_b1"},
        {"rudd.arch", "ichthys_b1", WEIGHTS_TIMM, NULL},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct weights_file f;
        pretend_file(&f, "efficientnet_b1", cases[k].d, 0);
        f.meta = rudd_zalloc(1, sizeof *f.meta);
        f.meta_count = 1;
        f.meta[0] = (struct weights_meta){rudd_strdup(cases[k].key), rudd_strdup(cases[k].value)};
        const char *found = NULL;
        enum weights_dialect dialect;
        bool guessed;
        enum rudd_status status = weights_recognise(&found, &dialect, &guessed, &f, &err);
        assert_int_equal(status, cases[k].arch ? RUDD_OK : RUDD_MISMATCH);
        if (cases[k].arch) {
            assert_string_equal(found, cases[k].arch);
            assert_false(guessed);
        } else
            assert_non_null(strstr(err.message, "ichthys_b1"));
        weights_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_real_files),   cmocka_unit_test(numbers_are_those_of_real_files),
        cmocka_unit_test(names_are_complete_and_unique),   cmocka_unit_test(shapes_tell_the_architecture),
        cmocka_unit_test(metadata_tells_the_architecture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
