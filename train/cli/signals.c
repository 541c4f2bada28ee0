/* signals.c - SIGTERM and SIGINT: see signals.h. Handlers call async-signal-safe functions only. */
#include "train/cli/signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

void (*train_signals_exit)(void);

static volatile sig_atomic_t asked;
/* Both are set before the handlers that read them are installed. */
static const char *volatile last_words, *volatile eraser = "";

static void handle(int number, void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, NULL);
}

static void install(void (*handler)(int))
{
    handle(SIGINT, handler);
    handle(SIGTERM, handler);
}

static void put(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* Acts as if no handler were installed. */
static void end(int number)
{
    put(eraser);
    signal(number, SIG_DFL);
    raise(number);
}

static void quit(int number)
{
    (void)number;
    put(eraser);
    put(last_words);
    train_signals_exit();
}

void train_signals_quit(const char *line)
{
    if (!train_signals_exit) return;
    last_words = line;
    install(quit);
}

/* The first signal asks. The second, of either kind, ends the process. */
static void ask(int number)
{
    if (asked) end(number);
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

void train_signals_erase(const char *sequence)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    eraser = sequence;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction present;
        if (sigaction(numbers[i], NULL, &present) == 0 && present.sa_handler == SIG_DFL)
            handle(numbers[i], end);
    }
}
