/* library.h - shared libraries that are loaded when first used, not when the program starts.
 *
 * Linked, OpenBLAS and thirty others cost every start 6 ms and 9 MB, also that of `rudd --version`.
 * A run needs few of them: a picture is a JPEG or a PNG, and only old processors need OpenBLAS.
 *
 * The idea: what is used of a library stands in one list. The list makes a table of pointers and
 * the names that the loader looks up. The types in the table are those of the library's own header,
 * so the compiler checks every call. A wrapper header renames the functions, so that callers are
 * written as if the library were linked:
 *
 *     #include <png.h>
 *     #define DATA_LIBPNG(F) F(png_read_row) F(png_read_end)
 *     KERN_LIBRARY_DECLARE(data_libpng, DATA_LIBPNG);
 *     #define png_read_row (*data_libpng.png_read_row)
 *     #define png_read_end (*data_libpng.png_read_end)
 *
 * A listed name may also be a variable of the library. A name that is renamed but not listed does
 * not compile. A function that is called but not renamed does not link.
 *
 * The Makefile finds the name that is loaded (SONAME): it is the one that the linker would have
 * written into the program.
 * Not here: the words for a user whose library is missing (nn/library.h), unloading. */
#ifndef KERN_LIBRARY_H
#define KERN_LIBRARY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct kern_library {
    const char *soname;       /* "libpng16.so.16" */
    const char *package;      /* Debian's, which brings it */
    const char *const *names; /* in the order of the table's members; NULL ends them */
    void *table;              /* that many pointers */
    atomic_bool loaded;
};

/* Loads the library and fills its table, once. false: the library or a name in it is missing, and
 * why (may be NULL) says so in the loader's words. The next call tries again. Thread-safe; whoever
 * got true may use the table. */
bool kern_library_load(struct kern_library *library, char *why, size_t size);
/* Address of another name, as the library itself would find it; NULL: there is none. */
void *kern_library_find(const struct kern_library *library, const char *name);

#define KERN_LIBRARY_MEMBER(name) __typeof__(name) *name;
#define KERN_LIBRARY_NAME(name) #name,

/* In a header: the table `id`, and its library, id_library. */
#define KERN_LIBRARY_DECLARE(id, list)                                                                                         \
    struct id {                                                                                                                \
        list(KERN_LIBRARY_MEMBER)                                                                                              \
    };                                                                                                                         \
    extern struct id id;                                                                                                       \
    extern struct kern_library id##_library

/* In one source file. */
#define KERN_LIBRARY_DEFINE(id, list, its_soname, its_package)                                                                 \
    struct id id;                                                                                                              \
    static const char *const id##_names[] = {list(KERN_LIBRARY_NAME) NULL};                                                    \
    struct kern_library id##_library = {.soname = its_soname, .package = its_package, .names = id##_names, .table = &id}

#endif
