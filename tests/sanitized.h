/* sanitized.h - whether this program was built under AddressSanitizer or ThreadSanitizer.
 *
 * There arithmetic takes ten times as long and says nothing new after its first rounds: a test that repeats one claim over ever
 * larger shapes, or trains until something is learned, may do less, and prints what it left out. The plain build leaves nothing
 * out. */
#ifndef TESTS_SANITIZED_H
#define TESTS_SANITIZED_H

#ifndef __has_feature /* clang's way to ask; gcc 12 has macros alone */
#define __has_feature(name) 0
#endif

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || __has_feature(address_sanitizer) ||                         \
    __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#endif
