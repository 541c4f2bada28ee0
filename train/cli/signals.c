/* signals.c - SIGTERM and SIGINT: see signals.h. Handlers call async-signal-safe functions only. */
#include "train/cli/signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

void (*train_signals_exit)(void);

static volatile sig_atomic_t asked;
static const char *volatile last_words; /* set before the handler that reads it is installed */

static void install(void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void quit(int number)
{
    const char *line = last_words;
    (void)number;
    (void)!write(STDERR_FILENO, line, strlen(line));
    train_signals_exit();
}

void train_signals_quit(const char *line)
{
    if (!train_signals_exit) return;
    last_words = line;
    install(quit);
}

/* The first signal asks. The second, of either kind, acts as if no handler were installed. */
static void ask(int number)
{
    if (asked) {
        signal(number, SIG_DFL);
        raise(number);
    }
    asked = 1;
}

void train_signals_listen(void)
{
    install(ask);
}

bool train_signals_asked(void)
{
    return asked;
}
