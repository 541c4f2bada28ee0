/* build.c - version, commit, processor, kernels and libraries: see build.h.
 *
 * The Makefile gives RUDD_COMMIT to this file alone, so that a commit rebuilds one object. */
#define _GNU_SOURCE /* dlinfo */
#include "nn/base/build.h"

#include "kernels/kern.h"
#include "kernels/limits.h"
#include "nn/base/page.h"
#include "nn/rudd.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif
#ifndef RUDD_COMMIT
#define RUDD_COMMIT "unknown"
#endif

const char *nn_build_commit(void)
{
    return RUDD_COMMIT;
}

char *nn_build_processor(char *out, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%.200s", value + 2);
        break;
    }
    if (f) fclose(f);
    return out;
}

/* The file behind a soname in the loader's folders, links followed: its name holds the version.
 * The folders of ld.so.conf are not among them, so what is not found may still load. */
static bool find_file(char out[PATH_MAX], const char *soname)
{
    Dl_serinfo size, *info = NULL;
    char path[PATH_MAX];
    bool found = false;
    void *self = dlopen(NULL, RTLD_LAZY);
    if (!self) return false;
    if (dlinfo(self, RTLD_DI_SERINFOSIZE, &size) == 0) info = rudd_zalloc(1, size.dls_size);
    if (info && dlinfo(self, RTLD_DI_SERINFOSIZE, info) == 0 &&
        dlinfo(self, RTLD_DI_SERINFO, info) == 0)
        for (unsigned i = 0; i < info->dls_cnt && !found; i++) {
            snprintf(path, sizeof path, "%.2000s/%.200s", info->dls_serpath[i].dls_name, soname);
            found = realpath(path, out) != NULL;
        }
    rudd_free(info);
    dlclose(self);
    return found;
}

static void put_library(struct nn_page *page, const struct nn_build_library *row)
{
    char file[PATH_MAX];
    nn_page_put(page, "  ");
    nn_page_put(page, row->use);
    nn_page_pad(page, 24);
    if (!row->library) {
        nn_page_put(page, "not in this build\n");
        return;
    }
    bool there = find_file(file, row->library->soname);
    if (!there) { /* the loader knows more folders; it says quickly that there is none */
        void *handle = dlopen(row->library->soname, RTLD_LAZY | RTLD_LOCAL);
        snprintf(file, sizeof file, "/%s", row->library->soname);
        there = handle != NULL;
    }
    if (there) {
        nn_page_put(page, strrchr(file, '/') + 1);
    } else {
        nn_page_put(page, "missing: install ");
        nn_page_put(page, row->library->package);
    }
    nn_page_put(page, "\n");
}

struct version {
    const char *program;
    const struct nn_build_library *const *lists;
};

static void render(struct nn_page *page, const void *what)
{
    const struct version *v = what;
    char processor[256], text[1024];
    snprintf(text, sizeof text,
             "%s %s (commit %s)\n"
             "processor               %s\n"
             "threads                 %d of %ld processors\n"
             "kernels                 %s\n"
             "compiler                %s\n"
             "libraries, loaded when they are needed\n",
             v->program, RUDD_VERSION, nn_build_commit(),
             nn_build_processor(processor, sizeof processor), kern_threads_within(0),
             sysconf(_SC_NPROCESSORS_ONLN), kern_isa(), COMPILER);
    nn_page_put(page, text);
    for (const struct nn_build_library *const *list = v->lists; *list; list++)
        for (const struct nn_build_library *row = *list; row->use; row++) put_library(page, row);
}

char *nn_build_print(const char *program, const struct nn_build_library *const *lists)
{
    return nn_page_make(render, &(struct version){program, lists});
}
