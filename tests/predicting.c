/* predicting.c - see predicting.h. */
#include "tests/predicting.h"
#include "nn/graph.h"
#include "weights/model_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

const char *const class_names[CLASSES] = {"a, \"b\" <c> & d", "it's", "pike_perch", "zander", "roach"};
/* Names that files may have, and that texts, shells, tables and pages must not fall over. */
const char *const odd[ODD] = {"plain.jpg",     "two\nlines.jpg",       "quo'te\".jpg", "caf\xe9.jpg",   "=1+1.jpg",
                              "$(false)`.jpg", "<b>&amp;\x01\x7f.jpg", " blank .jpg",  "a,b;c\td\r.jpg"};
static char folder[64], binary[4096];
struct rudd_error err;

/* ---- running rudd ---------------------------------------------------------------------------- */

char *read_file(const char *path, size_t *length)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there", path);
    fseek(f, 0, SEEK_END);
    const size_t n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(n + 1);
    assert_int_equal(fread(text, 1, n, f), n);
    fclose(f);
    text[n] = 0;
    if (length) *length = n;
    return text;
}

void write_file(const char *path, const char *bytes, size_t length)
{
    file_write(path, (struct bytes){(uint8_t *)bytes, length});
}

/* Starts a program in the test's folder. Standard input is a descriptor; output goes into out.txt and
 * err.txt. */
static pid_t start(char *const argv[], int input)
{
    const int out = open("out.txt", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    const int bad = open("err.txt", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(input, 0);
        dup2(out, 1);
        dup2(bad, 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(out);
    close(bad);
    return pid;
}

struct result finish(pid_t pid)
{
    struct result r = {0};
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    r.status = WEXITSTATUS(status);
    r.out = read_file("out.txt", NULL);
    r.err = read_file("err.txt", NULL);
    return r;
}

void drop(struct result *r)
{
    free(r->out);
    free(r->err);
    *r = (struct result){0};
}

pid_t start_predict(int input, const char *const *words)
{
    char *argv[40] = {binary, "predict", "--threads", "1", "--model", "m.safetensors"};
    for (int i = 6; (argv[i] = (char *)*words); i++, words++) assert_true(i < 39);
    return start(argv, input);
}

struct result predict(const char *input, size_t length, ...)
{
    const char *words[34];
    va_list list;
    va_start(list, length);
    for (int i = 0; (words[i] = va_arg(list, const char *)); i++) assert_true(i < 33);
    va_end(list);
    write_file("in.bin", input ? input : "", input ? length : 0);
    const int fd = open("in.bin", O_RDONLY | O_CLOEXEC);
    struct result r = finish(start_predict(fd, words));
    close(fd);
    return r;
}

int run_script(const char *path)
{
    char *argv[] = {"sh", (char *)path, NULL};
    struct result r = finish(start(argv, 0));
    const int status = r.status;
    drop(&r);
    return status;
}

int count_of(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)); text += strlen(what)) n++;
    return n;
}

/* ---- a folder of pictures -------------------------------------------------------------------- */

int begin_predicting(void **state)
{
    (void)state;
    struct nn_model *m;
    if (!*binary) {
        const ssize_t n = readlink("/proc/self/exe", binary, sizeof binary - 64);
        assert_true(n > 0);
        binary[n] = 0;
        strcpy(strrchr(binary, '/'), "/../rudd");
    }
    folder_create(folder);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(nn_model_create(&m, "rudd_nano", CLASSES, &err), RUDD_OK);
    nn_model_init_params(m, 3, NULL);
    for (int k = 0; k < CLASSES; k++) {
        rudd_free(m->classes[k].name);
        m->classes[k].name = rudd_strdup(class_names[k]);
    }
    const struct nn_param *head = &m->params[m->param_count - 2]; /* less shy than a new one */
    for (size_t j = 0; j < head->count; j++) m->values[head->offset + j] *= 40;
    m->preprocess.image_size = 32;
    assert_int_equal(weights_model_save("m.safetensors", m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
    for (int i = 0; i < ODD; i++) {
        char name[64];
        snprintf(name, sizeof name, "pics/%s", odd[i]);
        picture_put(".", name, 40 + 9 * i, 50, 37 * i);
    }
    picture_put(".", "pics/sub/plain.jpg", 64, 48, 5);
    picture_put(".", "pics/sub/deeper/plain.jpg", 30, 30, 77);
    write_file("pics/bad.jpg", "no picture", 10);
    return 0;
}

int end_predicting(void **state)
{
    (void)state;
    assert_int_equal(chdir("/"), 0);
    folder_remove(folder);
    return 0;
}
