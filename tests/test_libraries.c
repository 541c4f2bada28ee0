/* test_libraries.c - a run loads the libraries that it uses, and no other; a missing one is an
 * error with its name, at the point of use.
 *
 * What a program loads is read from the loader's own log (LD_DEBUG of glibc). */
#include "data/image/codec.h"
#include "data/image/jpeg_write.h"
#include "data/image/libgif.h"
#include "data/image/libheif.h"
#include "data/image/libjpeg.h"
#include "data/image/libpng.h"
#include "data/image/libtiff.h"
#include "data/image/libwebp.h"
#include "data/libpq.h"
#include "data/libsqlite.h"
#include "kernels/kern.h"
#include "nn/library.h"
#include "serve/ask.h"
#include "serve/cache_redis.h"
#include "serve/fetch.h"
#include "weights/hub/hub.h"
#include "weights/hub/libcurl.h"
#include "serve/libhiredis.h"
#include "serve/store_sql.h"
#include "tests/pictures.h"
#include "tests/sanitized.h"
#include "weights/model_file.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define MISSING "libdoes-not-exist.so.9"

static char folder[64], model[96], jpeg[96], png[96];
static struct rudd_error err;

static int setup(void **state)
{
    (void)state;
    struct nn_model *m;
    const struct picture p = {.w = 40, .h = 30};
    folder_create(folder);
    snprintf(model, sizeof model, "%s/m.safetensors", folder);
    snprintf(jpeg, sizeof jpeg, "%s/a.jpg", folder);
    snprintf(png, sizeof png, "%s/a.png", folder);
    struct bytes file = picture_jpeg(&p);
    file_write(jpeg, file);
    free(file.at);
    file = picture_png(&p);
    file_write(png, file);
    free(file.at);
    /* By a child, so that this process has not chosen its kernels yet. */
    int status;
    pid_t pid = fork();
    if (pid == 0) _exit(nn_model_create(&m, "rudd_nano", 3, &err) || weights_model_save(model, m, NULL, WEIGHTS_TIMM, &err));
    return waitpid(pid, &status, 0) == pid && !status ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* ---- what a program loads -------------------------------------------------------------------- */

/* A program beside this test's own folder. */
static const char *beside(const char *name)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    assert_true(n > 0);
    path[n] = 0;
    snprintf(strrchr(path, '/'), 64, "/../%s", name);
    return path;
}

/* Runs rudd in at most `kib` of address space (0: any); its exit status. `isa` is RUDD_ISA. The
 * loader's log goes to folder/log. */
static int run_rudd(long kib, const char *isa, const char *const *arguments)
{
    char log[96], numbered[128];
    const char *binary = beside("rudd"), *argv[8] = {binary};
    int status;
    for (int i = 0; arguments[i]; i++) argv[i + 1] = arguments[i];
    snprintf(log, sizeof log, "%s/log", folder);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {(rlim_t)kib * 1024, (rlim_t)kib * 1024};
        int out = open("/dev/null", O_WRONLY);
        if (kib) setrlimit(RLIMIT_AS, &limit);
        setenv("LD_DEBUG", "files", 1);
        setenv("LD_DEBUG_OUTPUT", log, 1);
        if (isa)
            setenv("RUDD_ISA", isa, 1);
        else
            unsetenv("RUDD_ISA");
        dup2(out, 1);
        execv(binary, (char **)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    snprintf(numbered, sizeof numbered, "%s.%d", log, (int)pid);
    rename(numbered, log);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Whether the last run loaded this library. */
static bool loaded(const char *name)
{
    char path[96], line[4096], wanted[96];
    bool found = false, any = false;
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(wanted, sizeof wanted, "/%s.so", name);
    FILE *f = fopen(path, "r");
    if (!f) skip(); /* another loader than glibc's */
    while (fgets(line, sizeof line, f)) {
        if (!strstr(line, "calling init: ")) continue;
        any = true;
        found |= strstr(line, wanted) != NULL;
    }
    fclose(f);
    assert_true(any);
    return found;
}

static const char *const lazy[] = {
    "libopenblas", "libgfortran",    "libjpeg", "libpng16",  "libsqlite3",    "libpq",
    "libwebp",     "libheif",        "libtiff", "libgif",    "libde265",      "libaom",
    "libhiredis",  "libcurl-gnutls", "libcurl", "libgnutls", "libmicrohttpd", "libcrypto",
};

/* Of all these, the last run loaded `one` (NULL: none), and no other. */
static void assert_loaded(const char *one)
{
    if (one && !loaded(one)) fail_msg("%s is not loaded", one);
    for (size_t i = 0; i < sizeof lazy / sizeof *lazy; i++)
        if ((!one || strcmp(one, lazy[i])) && loaded(lazy[i])) fail_msg("%s is loaded", lazy[i]);
}

/* `rudd --version` needs none of them, 100 MB of address space and 5 ms. */
static void version_is_light(void **state)
{
    (void)state;
    static const char *const version[] = {"--version", NULL};
    double best = 1e9;
    assert_int_equal(run_rudd(SANITIZED ? 0 : 100000, NULL, version), 0);
    assert_loaded(NULL);
    for (int i = 0; i < 20; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        assert_int_equal(run_rudd(0, NULL, version), 0);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double ms = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) * 1e-6;
        if (ms < best) best = ms;
    }
    print_message("  rudd --version: %.1f ms, with the loader's log\n", best);
    if (!SANITIZED) assert_true(best < 5);
}

/* A picture brings the library of its own kind, and RUDD_ISA=blas brings OpenBLAS. */
static void predicting_loads_what_it_uses(void **state)
{
    (void)state;
    const char *const with_jpeg[] = {"predict", "--model", model, jpeg, NULL};
    const char *const with_png[] = {"predict", "--model", model, png, NULL};
    const bool needs_blas = !(kern_cpu_features() & KERN_CPU_AVX2);
    const char *isa = needs_blas ? "ref" : NULL;
    assert_int_equal(run_rudd(0, isa, with_jpeg), 0);
    assert_loaded("libjpeg");
    assert_int_equal(run_rudd(0, isa, with_png), 0);
    assert_loaded("libpng16");
    assert_int_equal(run_rudd(0, "blas", with_jpeg), 0);
    assert_int_equal(loaded("libopenblas"), kern_blas_load());
}

/* A program that unloads librudd.so must not pull the ground from under what it loaded. */
static void the_library_stays(void **state)
{
    (void)state;
    const char *path = beside("librudd.so");
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) fail_msg("%s", dlerror());
    dlclose(handle);
    assert_non_null(dlopen(path, RTLD_NOW | RTLD_NOLOAD));
}

/* ---- a missing library ----------------------------------------------------------------------- */

static enum rudd_status decode(const char *path)
{
    struct data_image image = {-1, -2, NULL};
    enum rudd_status status = data_image_read(&image, path, NULL, &err);
    if (status)
        assert_true(image.w == -1 && image.h == -2);
    else
        data_image_free(&image);
    return status;
}
static enum rudd_status use_jpeg(void)
{
    return decode(jpeg);
}
static enum rudd_status use_png(void)
{
    return decode(png);
}
/* The first bytes of a file are enough: the library comes before the rest. */
static __attribute__((unused)) enum rudd_status use_first(const char *bytes, size_t length)
{
    struct data_image image = {0};
    enum rudd_status status = data_image_decode(&image, bytes, length, "a.x", NULL, &err);
    data_image_free(&image);
    return status;
}
#ifdef HAVE_LIBWEBP
static enum rudd_status use_webp(void)
{
    return use_first("RIFF\x24\0\0\0WEBPVP8 ", 16);
}
#endif
#ifdef HAVE_LIBHEIF
static enum rudd_status use_heic(void)
{
    return use_first("\0\0\0\x18"
                     "ftypheic\0\0\0\0mif1heic",
                     24);
}
static enum rudd_status use_avif(void)
{
    return use_first("\0\0\0\x18"
                     "ftypavif\0\0\0\0mif1miaf",
                     24);
}
#endif
#ifdef HAVE_LIBTIFF_4
static enum rudd_status use_tiff(void)
{
    return use_first("II\x2a\0\x08\0\0\0", 8);
}
#endif
#ifdef HAVE_GIFLIB
static enum rudd_status use_gif(void)
{
    return use_first("GIF89a", 6);
}
#endif
static enum rudd_status write_jpeg(void)
{
    uint8_t pixel[3] = {1, 2, 3}, *bytes;
    size_t length;
    const struct data_image image = {1, 1, pixel};
    enum rudd_status status = data_jpeg_write(&bytes, &length, &image, 90, &err);
    if (!status) rudd_free(bytes);
    return status;
}
static enum rudd_status use_sqlite(void)
{
    char path[96];
    struct serve_sql *sql;
    snprintf(path, sizeof path, "%s/store", folder);
    enum rudd_status status = serve_sqlite_open(&sql, path, 1000, &err);
    if (!status) sql->driver->close(sql);
    return status;
}
#ifdef HAVE_LIBPQ
static enum rudd_status use_postgres(void)
{
    struct serve_sql *sql; /* no server is at this address: an error of another kind */
    return serve_postgres_open(&sql, "postgresql://127.0.0.1:1/x", 1000, &err);
}
#endif
#ifdef HAVE_HIREDIS
static enum rudd_status use_redis(void)
{
    struct serve_redis *redis;
    return serve_redis_create(&redis, "not a URL", NULL, 1, NULL, &err);
}
#endif
#ifdef HAVE_LIBCURL
static enum rudd_status use_curl(void)
{
    struct serve_fetcher *fetcher;
    const struct serve_fetch_options o = {.allow = "example.org", .seconds = 1, .max_bytes = 1};
    enum rudd_status status = serve_fetcher_create(&fetcher, &o, &err);
    if (!status) serve_fetcher_destroy(fetcher);
    return status;
}
static enum rudd_status use_hub(void)
{
    static struct weights_hub_found found;
    setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1); /* nobody is there: an error of another kind */
    setenv("HF_HOME", folder, 1);
    return weights_hub_fetch(&found, "timm/x", NULL, &err);
}
#endif

/* Whoever needs a missing library gets an error that names it and its package. Once it is
 * installed, the same process can use it. */
static void a_missing_library_is_told(void **state)
{
    (void)state;
    static const struct {
        struct kern_library *library;
        enum rudd_status (*use)(void);
        const char *who, *package;
    } uses[] = {
        {&data_libjpeg_library, use_jpeg, "a.jpg: this picture is a JPEG, but ", "libjpeg62-turbo"},
        {&data_libjpeg_library, write_jpeg, "a JPEG is to be written, but ", "libjpeg62-turbo"},
        {&data_libpng_library, use_png, "a.png: this picture is a PNG, but ", "libpng16-16"},
        {&data_libsqlite_library, use_sqlite, "this store is an SQLite file, but ", "libsqlite3-0"},
#ifdef HAVE_LIBWEBP
        {&data_libwebp_library, use_webp, "a.x: this picture is a WebP, but ", "libwebp7"},
#endif
#ifdef HAVE_LIBHEIF
        {&data_libheif_library, use_heic, "a.x: this picture is HEIC, but ", "libheif1"},
        {&data_libheif_library, use_avif, "a.x: this picture is AVIF, but ", "libheif1"},
#endif
#ifdef HAVE_LIBTIFF_4
        {&data_libtiff_library, use_tiff, "a.x: this picture is a TIFF, but ", "libtiff6"},
#endif
#ifdef HAVE_GIFLIB
        {&data_libgif_library, use_gif, "a.x: this picture is a GIF, but ", "libgif7"},
#endif
#ifdef HAVE_LIBPQ
        {&data_libpq_library, use_postgres, "the store is in PostgreSQL, but ", "libpq5"},
#endif
#ifdef HAVE_HIREDIS
        {&serve_libhiredis_library, use_redis, "--cache: ", "libhiredis"},
#endif
#ifdef HAVE_LIBCURL
        {&weights_libcurl_library, use_curl, "--fetch-allow: ", "libcurl"},
        {&weights_libcurl_library, use_hub, "timm/x: weights are to be fetched, but ", "libcurl"},
#endif
    };
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        const char *soname = uses[i].library->soname;
        uses[i].library->soname = MISSING;
        atomic_store(&uses[i].library->loaded, false);
        assert_int_equal(uses[i].use(), RUDD_ARGUMENT);
        if (!strstr(err.message, uses[i].who) || !strstr(err.message, uses[i].package) ||
            !strstr(err.message, MISSING " cannot be loaded: install "))
            fail_msg("\"%s\" does not say who needs what", err.message);
        uses[i].library->soname = soname;
        err.message[0] = 0;
        uses[i].use();
        assert_null(strstr(err.message, "cannot be loaded"));
        assert_true(atomic_load(&uses[i].library->loaded));
    }
}

/* A client that sent such a picture is told so, and that its picture is not at fault. */
static void a_client_is_told(void **state)
{
    (void)state;
    struct serve_problem p = {0};
    struct serve_ask ask = {.job = {.status = RUDD_ARGUMENT, .err = {RUDD_ARGUMENT, "no library"}}};
    serve_ask_refuse(&p, &ask);
    assert_int_equal(p.http, 501);
    assert_string_equal(p.code, "no_decoder");
    assert_string_equal(p.detail, "no library");
}

/* A library of that name without a function that is called is as good as none. */
static void a_missing_function_is_told(void **state)
{
    (void)state;
    static const char *const names[] = {"inflate", "no_such_function", NULL};
    void *table[2] = {NULL};
    struct kern_library library = {.soname = "libz.so.1", .package = "zlib1g", .names = names, .table = table};
    char why[200] = "";
    assert_false(kern_library_load(&library, why, sizeof why));
    assert_non_null(strstr(why, "no_such_function"));
    assert_false(kern_library_load(&library, NULL, 0));
    assert_int_equal(nn_library_load(&library, NULL, "x"), RUDD_ARGUMENT);
}

extern struct kern_library kern_libblas_library;

/* Where OpenBLAS is missing, its tier does not exist: RUDD_ISA=blas gives the references. */
static void without_openblas_there_are_references(void **state)
{
    (void)state;
    struct kern_table t;
    int status;
    pid_t pid = fork(); /* the table is filled once in a process */
    if (pid == 0) {
        setenv("RUDD_ISA", "blas", 1);
        kern_libblas_library.soname = MISSING;
        _exit(strcmp(kern_isa(), "ref") || kern_table()->gemm_f32 != kern_gemm_f32_ref);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    kern_table_fill(&t, 0);
    assert_true(t.gemm_f32 == kern_gemm_f32_ref);
    kern_table_fill(&t, KERN_HAS_BLAS);
    assert_true(t.gemm_f32 == kern_gemm_f32_blas);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 50 };
static pthread_barrier_t together;

static void *load_and_call(void *user)
{
    (void)user;
    pthread_barrier_wait(&together);
    if (!kern_library_load(&data_libsqlite_library, NULL, 0)) return NULL;
    return (void *)(uintptr_t)sqlite3_errmsg(NULL);
}

/* Threads that need a library at the same moment all find its whole table filled. */
static void threads_share_one_table(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int round = 0; round < ROUNDS; round++) {
        memset(&data_libsqlite, 0, sizeof data_libsqlite);
        atomic_store(&data_libsqlite_library.loaded, false);
        assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
        for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, load_and_call, NULL), 0);
        for (int i = 0; i < THREADS; i++) {
            void *words;
            pthread_join(threads[i], &words);
            assert_string_equal(words, "out of memory"); /* what SQLite says of no database */
        }
        pthread_barrier_destroy(&together);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_is_light),
        cmocka_unit_test(without_openblas_there_are_references),
        cmocka_unit_test(predicting_loads_what_it_uses),
        cmocka_unit_test(a_missing_library_is_told),
        cmocka_unit_test(a_client_is_told),
        cmocka_unit_test(a_missing_function_is_told),
        cmocka_unit_test(threads_share_one_table),
        cmocka_unit_test(the_library_stays),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
