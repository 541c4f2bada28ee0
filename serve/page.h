/* page.h - the documents inside the program: the Makefile turns each file of serve/ into an array. */
#ifndef SERVE_PAGE_H
#define SERVE_PAGE_H

#include <stddef.h>

extern const unsigned char serve_page[], serve_docs[], serve_openapi[]; /* page.html, docs.html, openapi.json */
extern const size_t serve_page_size, serve_docs_size, serve_openapi_size;

enum { SERVE_CSP = 512 };
/* The Content-Security-Policy under which exactly this page's one script and one style run. */
void serve_page_csp(char csp[SERVE_CSP], const unsigned char *page);

#endif
