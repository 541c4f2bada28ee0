/* others.c - see others.h. A row is a network and two tensors that it has. The first row wins, so
 * rows that ask for more stand first.
 *
 * Sources: the state_dict()s of timm, torchvision, transformers and ultralytics, and the layers of
 * keras.applications. */
#include "weights/names/others.h"

static const struct {
    const char *network;
    const char *tensors[2]; /* both are there; NULL: one is enough */
} rows[] = {
    {"a Swin Transformer", {"layers.0.blocks.0.attn.relative_position_bias_table"}},
    {"a Swin Transformer", {"features.1.0.attn.relative_position_bias_table"}},
    {"a Swin Transformer", {"swin.embeddings.patch_embeddings.projection.weight"}},
    {"CLIP", {"visual.class_embedding"}},
    {"CLIP", {"vision_model.embeddings.class_embedding"}},
    {"a ViT", {"blocks.0.attn.qkv.weight", "cls_token"}},
    {"a ViT", {"blocks.0.attn.qkv.weight", "pos_embed"}},
    {"a ViT", {"conv_proj.weight", "class_token"}},
    {"a ViT", {"vit.embeddings.cls_token"}},
    {"DINOv2", {"embeddings.mask_token", "embeddings.cls_token"}},
    {"a ConvNeXt", {"stages.0.blocks.0.conv_dw.weight", "stem.0.weight"}},
    {"a ConvNeXt", {"features.0.0.weight", "features.1.0.layer_scale"}},
    {"a ConvNeXt", {"convnext.embeddings.patch_embeddings.weight"}},
    {"a GhostNet", {"conv_stem.weight", "blocks.0.0.ghost1.primary_conv.0.weight"}},
    {"a MobileNetV3", {"conv_stem.weight", "conv_head.bias"}},
    {"a MobileNetV3", {"features.0.0.weight", "classifier.3.weight"}},
    {"a MobileNetV3", {"expanded_conv/squeeze_excite/Conv/kernel"}},
    {"a RegNet", {"s1.b1.conv1.conv.weight"}},
    {"a RegNet", {"trunk_output.block1.block1-0.f.a.0.weight"}},
    {"a DenseNet", {"features.denseblock1.denselayer1.conv1.weight"}},
    {"a DenseNet", {"conv2_block1_1_conv/kernel", "conv1/conv/kernel"}},
    {"an HRNet", {"stage2.0.branches.0.0.conv1.weight"}},
    {"a ResNet (version 1)", {"layer1.0.conv1.weight", "conv1.weight"}},
    {"a ResNet (version 1)", {"resnet.embedder.embedder.convolution.weight"}},
    {"a ResNet (version 1)", {"conv2_block1_1_conv/kernel", "conv1_bn/gamma"}},
    {"a MobileNet (version 1)", {"conv_dw_1/depthwise_kernel"}},
    {"a MobileNet (version 1)", {"conv_dw_1/kernel"}},
    {"an Inception V3", {"Conv2d_1a_3x3.conv.weight"}},
    {"a GoogLeNet", {"inception3a.branch1.conv.weight"}},
    {"an Xception", {"block1_conv1/kernel", "block1_conv1_bn/gamma"}},
    {"a VGG", {"block1_conv1/kernel"}},
    {"a VGG", {"features.0.weight", "pre_logits.fc1.weight"}},
    {"a VGG or an AlexNet", {"features.0.weight", "classifier.6.weight"}},
    {"a SqueezeNet", {"features.3.squeeze.weight"}},
    {"a ShuffleNetV2", {"stage2.0.branch1.0.weight"}},
    {"an MNASNet", {"layers.0.weight", "layers.8.0.layers.0.weight"}},
    {"a YOLO detector", {"0.conv.weight", "1.conv.weight"}},
    {"a detector with a backbone", {"backbone.body.conv1.weight"}},
    {"a BERT language model", {"bert.embeddings.word_embeddings.weight"}},
    {"a language model", {"layers.0.self_attn.q_proj.weight"}},
    {"a language model", {"embed_tokens.weight"}},
};

const char *weights_looks_like(const struct weights_file *file)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (weights_find(file, rows[i].tensors[0]) &&
            (!rows[i].tensors[1] || weights_find(file, rows[i].tensors[1])))
            return rows[i].network;
    return NULL;
}

enum rudd_status weights_refuse_network(const struct weights_file *file, struct rudd_error *err)
{
    static const char has[] = "EfficientNet, EfficientNetV2, MobileNetV2 and ResNet V2";
    const char *network = weights_looks_like(file);
    if (network)
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: looks like %s, which rudd does not have; it has %s", file->path,
                         network, has);
    return rudd_fail(err, RUDD_MISMATCH,
                     "%s: its %d tensors are of no network that rudd has (%s); rudd inspect "
                     "--tensors lists them",
                     file->path, file->tensor_count, has);
}
