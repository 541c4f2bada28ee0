/* sentence.h - a sentence that grows in a buffer, with paths as a shell reads them and shares as
 * people do. */
#ifndef TRAIN_RUNS_SENTENCE_H
#define TRAIN_RUNS_SENTENCE_H

#include <stdbool.h>
#include "nn/rudd.h"

struct train_sentence {
    char *text; /* [size], terminated */
    size_t size, used;
    bool full; /* more was to be written than fits: the text is cut */
};

void train_say(struct train_sentence *sentence, const char *format, ...) RUDD_PRINTF(2, 3);
/* A path with more of it behind, as one word for a shell. */
void train_say_word(struct train_sentence *sentence, const char *path, const char *more);
/* 0.913 as "91 %". What is not all is not called 100 %, and what is not nothing not 0 %. */
void train_say_percent(struct train_sentence *sentence, double share);

#endif
