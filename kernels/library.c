/* library.c - see library.h. One lock for all libraries: each is loaded once. A library stays
 * loaded until the process ends, since threads and handlers of its own may outlive its last use. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "kernels/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* POSIX lets a function's address pass through void *; the table's members are such addresses. */
_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "addresses of data and code differ");

static void *open_library(const struct kern_library *library)
{
    /* All names at once: an unusable library is an error here, not the end of the process later. */
    return dlopen(library->soname, RTLD_NOW | RTLD_LOCAL);
}

static bool fill(const struct kern_library *library)
{
    void *handle = open_library(library);
    for (int i = 0; handle && library->names[i]; i++) {
        void *address = dlsym(handle, library->names[i]);
        if (!address) return false;
        memcpy((char *)library->table + (size_t)i * sizeof address, &address, sizeof address);
    }
    return handle;
}

bool kern_library_load(struct kern_library *library, char *why, size_t size)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&library->loaded, memory_order_acquire)) return true;
    pthread_mutex_lock(&lock);
    bool loaded = atomic_load(&library->loaded) || fill(library);
    atomic_store_explicit(&library->loaded, loaded, memory_order_release);
    if (!loaded && why) {
        const char *words = dlerror();
        snprintf(why, size, "%s", words ? words : "the loader does not say why");
    }
    pthread_mutex_unlock(&lock);
    return loaded;
}

void *kern_library_find(const struct kern_library *library, const char *name)
{
    void *address = dlsym(RTLD_DEFAULT, name), *handle = address ? NULL : open_library(library);
    return handle ? dlsym(handle, name) : address;
}
