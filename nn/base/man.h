/* man.h - an option table as a page of the manual, for man(7). */
#ifndef NN_BASE_MAN_H
#define NN_BASE_MAN_H

#include "nn/base/page.h"

/* options: a struct nn_options. For nn_page_make. */
void nn_man_render(struct nn_page *page, const void *options);

#endif
