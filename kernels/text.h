/* text.h - shapes as text: what a trace line says, what `rudd-bench kernels` takes as a filter. */
#ifndef KERN_TEXT_H
#define KERN_TEXT_H

#include "kernels/kern.h"

enum { KERN_TEXT = 112 };
void kern_gemm_text(char out[KERN_TEXT], const struct kern_gemm *s);     /* "36100x144x24 NT": m, n, k, transposed operands */
void kern_conv_text(char out[KERN_TEXT], const struct kern_conv *s);     /* "1x56x56x32->56x56x128 k=3 s=1 pad=1,1" */
void kern_expand_text(char out[KERN_TEXT], const struct kern_expand *s); /* "1x48x48x56-336->48x48x336 k=5 s=1" */
void kern_map_text(char out[KERN_TEXT], int n, int h, int w, int c);     /* "1x48x48x336" */

#endif
