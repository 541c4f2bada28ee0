/* child.c - see child.h. */
#include "bench/child.h"
#include "data/image/jpeg_write.h"
#include "weights/model_file.h"

#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { COMMENT = 14, COMMENT_AT = 6 };

/* ---- pictures -------------------------------------------------------------------------------------------------------------------- */

enum rudd_status bench_picture_draw(struct bench_picture *out, int w, int h, struct rudd_error *err)
{
    struct data_image image = {w, h, rudd_alloc((size_t)w * (size_t)h * 3)};
    uint8_t *jpeg = NULL;
    size_t length = 0;
    uint32_t grain = 1;
    if (!image.rgb) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a picture of %d x %d pixels", w, h);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const float wave =
                sinf((float)x * 0.011f + (float)y * 0.003f) + sinf((float)y * 0.07f + sinf((float)x * 0.05f) * 2);
            grain = grain * 1664525u + 1013904223u;
            for (int c = 0; c < 3; c++)
                image.rgb[((size_t)y * w + x) * 3 + c] = (uint8_t)(128 + 40 * wave + 9 * c + (int)(grain >> 28) - 8);
        }
    enum rudd_status status = data_jpeg_write(&jpeg, &length, &image, 85, err);
    data_image_free(&image);
    if (status) return status;
    out->bytes = rudd_alloc(length + COMMENT);
    out->length = length + COMMENT;
    if (out->bytes) {
        static const uint8_t comment[4] = {0xff, 0xfe, 0, COMMENT - 2};
        memcpy(out->bytes, jpeg, 2);
        memcpy(out->bytes + 2, comment, sizeof comment);
        memset(out->bytes + COMMENT_AT, '0', COMMENT - 4);
        memcpy(out->bytes + 2 + COMMENT, jpeg + 2, length - 2);
    } else {
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for a picture");
    }
    rudd_free(jpeg);
    return status;
}

void bench_picture_number(uint8_t *bytes, long n)
{
    char text[COMMENT];
    snprintf(text, sizeof text, "%010ld", n % 10000000000);
    memcpy(bytes + COMMENT_AT, text, COMMENT - 4);
}

/* ---- the server -------------------------------------------------------------------------------------------------------------------- */

/* rudd-serve in this program's folder, or in the one above (tests). */
static enum rudd_status find_server(char path[4096], struct rudd_error *err)
{
    const ssize_t n = readlink("/proc/self/exe", path, 4000);
    if (n > 0) {
        path[n] = 0;
        strcpy(strrchr(path, '/'), "/rudd-serve");
        if (access(path, X_OK) == 0) return RUDD_OK;
        strcpy(strrchr(path, '/'), "/../rudd-serve");
        if (access(path, X_OK) == 0) return RUDD_OK;
    }
    return rudd_fail(err, RUDD_IO, "rudd-serve is not beside this program; `make` builds both");
}

enum rudd_status bench_child_models(struct bench_child *c, const char *arch, int size, int classes, bool swap,
                                    struct rudd_error *err)
{
    struct nn_model *model = NULL;
    const char *tmp = getenv("TMPDIR");
    snprintf(c->folder, sizeof c->folder, "%.40s/rudd-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(c->folder)) {
        c->folder[0] = 0;
        return rudd_fail(err, RUDD_IO, "no folder for a model could be made; is TMPDIR right?");
    }
    snprintf(c->model, sizeof c->model, "%s/random.safetensors", c->folder);
    enum rudd_status status = nn_model_create(&model, arch, classes, err);
    if (!status) {
        model->preprocess.image_size = size;
        status = weights_model_save(c->model, model, NULL, WEIGHTS_TIMM, err);
    }
    for (int i = 0; i < 2 && swap && !status; i++) {
        snprintf(c->other[i], sizeof c->other[i], "%s/%d", c->folder, i);
        if (i) nn_model_init_params(model, 1, NULL);
        status = weights_model_save(c->other[i], model, NULL, WEIGHTS_TIMM, err);
    }
    nn_model_destroy(model);
    return status;
}

enum rudd_status bench_child_start(struct bench_child *c, const char *model, char *const *more, int more_count,
                                   struct rudd_error *err)
{
    char path[4096], line[256] = "";
    const char *argv[40] = {path, "--model", model, "--listen", "127.0.0.1:0"};
    int ends[2], failed;
    if (more_count > 30) return rudd_fail(err, RUDD_ARGUMENT, "%d options for the server; 30 are possible", more_count);
    for (int i = 0; i < more_count; i++) argv[5 + i] = more[i];
    enum rudd_status status = find_server(path, err);
    if (status) return status;
    if (pipe(ends)) return rudd_fail(err, RUDD_IO, "no pipe to the server");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    failed = posix_spawn(&c->pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed) c->pid = 0;
    FILE *f = fdopen(ends[0], "r");
    const bool listens = !failed && f && fgets(line, sizeof line, f) && strrchr(line, ':');
    if (listens) c->port = atoi(strrchr(line, ':') + 1);
    if (f)
        fclose(f);
    else
        close(ends[0]);
    return c->port > 0 ? RUDD_OK : rudd_fail(err, RUDD_IO, "rudd-serve does not start with these options; see its message");
}

enum rudd_status bench_child_stop(struct bench_child *c, enum rudd_status status, struct rudd_error *err)
{
    int how = 0;
    if (c->pid) {
        kill(c->pid, SIGTERM);
        waitpid(c->pid, &how, 0);
        if (!status && !(WIFEXITED(how) && WEXITSTATUS(how) == 0))
            status = rudd_fail(err, RUDD_MISMATCH, "the server did not end by SIGTERM with status 0");
    }
    if (c->model[0]) unlink(c->model);
    for (int i = 0; i < 2; i++)
        if (c->other[i][0]) unlink(c->other[i]);
    if (c->folder[0]) rmdir(c->folder);
    return status;
}
