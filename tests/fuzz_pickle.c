/* fuzz_pickle.c - any bytes as a pickle: with more behind it as the stream form of a checkpoint, alone as the pickle of a zip archive that has
 * storages "0" to "3". What is accepted can be read to the last element. */
#include "tests/archives.h"
#include "weights/pickle.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void read_all(const struct weights_file *f)
{
    for (int i = 0; i < f->tensor_count; i++) {
        const struct weights_tensor *t = &f->tensors[i];
        float *values = malloc(t->count * sizeof *values + 1);
        if (!values || weights_find(f, t->name) != t) abort();
        if (weights_read_f32(values, f, t, NULL)) abort();
        free(values);
    }
}

/* The values of the upper levels; lists may contain themselves. */
static void visit(const struct weights_value *v, int depth)
{
    if (!*weights_kind_name(v->kind)) abort();
    const bool list = v->kind == WEIGHTS_LIST || v->kind == WEIGHTS_TUPLE || v->kind == WEIGHTS_DICT;
    if (v->kind == WEIGHTS_DICT && v->list.count % 2) abort();
    for (size_t i = 0; list && depth < 2 && i < v->list.count; i++) visit(v->list.items[i], depth + 1);
    if (v->kind == WEIGHTS_TEXT && v->text.length && !v->text.bytes) abort();
    if (v->kind != WEIGHTS_TENSOR_VIEW || !v->view->tensor.count) return;
    uint64_t last = (uint64_t)v->view->offset;
    for (int k = 0; k < v->view->tensor.rank; k++)
        last += (uint64_t)v->view->stride[k] * (uint64_t)(v->view->tensor.shape[k] - 1);
    if (v->view->offset < v->view->storage->begin || last >= (uint64_t)v->view->storage->count) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static unsigned char archive[(1 << 20) + 4096], storage[1024];
    struct rudd_error err;
    struct weights_pickle p;
    struct weights_file f;
    if (length > 1 << 20) return 0;
    if (length < 4 || weights_pickle_parse(&p, bytes, length, "fuzz", &err)) return 0;
    const bool stream = p.used < length; /* there is more behind the first pickle */
    if (p.used > length) abort();
    visit(p.root, 0);
    weights_pickle_free(&p);
    if (stream) {
        if (bytes[0] == 0x80 && !weights_parse(&f, bytes, length, "fuzz", &err)) {
            read_all(&f);
            weights_close(&f);
        }
        return 0;
    }
    const struct entry entries[] = {{.name = "a/data.pkl", .bytes = bytes, .length = length},
                                    {.name = "a/data/0", .bytes = storage, .length = 16},
                                    {.name = "a/data/1", .bytes = storage, .length = 8},
                                    {.name = "a/data/2", .bytes = storage, .length = 32},
                                    {.name = "a/data/3", .bytes = storage, .length = 432}};
    if (!weights_parse(&f, archive, make_zip(archive, entries, 5, 0), "fuzz", &err)) {
        read_all(&f);
        weights_close(&f);
    }
    return 0;
}
