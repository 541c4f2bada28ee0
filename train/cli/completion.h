/* completion.h - the scripts of `rudd completion`, embedded from train/cli/completion.*. */
#ifndef TRAIN_CLI_COMPLETION_H
#define TRAIN_CLI_COMPLETION_H

#include <stddef.h>

extern const unsigned char train_completion_bash[], train_completion_zsh[], train_completion_fish[];
extern const size_t train_completion_bash_size, train_completion_zsh_size,
    train_completion_fish_size;

#endif
