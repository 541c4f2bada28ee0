/* imagenet.c - the embedded list becomes a model's class names: see imagenet.h. */
#include "weights/names/imagenet.h"

#include <string.h>

enum rudd_status weights_imagenet_name(struct nn_model *model, struct rudd_error *err)
{
    struct nn_class *classes = rudd_zalloc(WEIGHTS_IMAGENET_CLASSES, sizeof *classes);
    char *text = rudd_strdup((const char *)weights_imagenet_text);
    enum rudd_status status =
        classes && text ? RUDD_OK
                        : rudd_fail(err, RUDD_NO_MEMORY, "no memory for ImageNet's class names");
    char *line = text;
    for (int i = 0; i < WEIGHTS_IMAGENET_CLASSES && !status; i++) {
        const size_t length = strcspn(line, "\n");
        classes[i].name = line;
        line += length + (line[length] != 0);
        classes[i].name[length] = 0;
    }
    if (!status) status = nn_model_set_classes(model, classes, WEIGHTS_IMAGENET_CLASSES, err);
    rudd_free(text);
    rudd_free(classes);
    return status;
}
