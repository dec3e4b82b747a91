/* options.h: one table a command fills its options from, and from which --help, the man page, shell
 * completion and the recipe reference are printed, so that they cannot disagree.
 *
 * A table is a static array ended by a row with a NULL name. A row says where in the command's own
 * options struct its value goes (offsetof). Values are checked against their bounds when read; the
 * error names the option, the value, and what is allowed. */
#ifndef SLM_BASE_OPTIONS_H
#define SLM_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

typedef enum slm_option_type {
    SLM_OPTION_FLAG,    /* bool; --name, --no-name */
    SLM_OPTION_INT,     /* int64_t */
    SLM_OPTION_NUMBER,  /* double */
    SLM_OPTION_STRING,  /* const char * */
    SLM_OPTION_FILE,    /* const char *; completion offers files */
    SLM_OPTION_CHOICE,  /* const char *, one of the '|'-separated `choices` */
    SLM_OPTION_BYTES,   /* uint64_t; 512M, 1.5GiB, 4096 (powers of 1024) */
    SLM_OPTION_STRINGS, /* slm_option_list; may be given more than once */
    SLM_OPTION_FILES,   /* slm_option_list; may be given more than once */
} slm_option_type;

typedef struct slm_option_list {
    const char **items;
    size_t count;
} slm_option_list;

typedef struct slm_option {
    const char *name; /* "max-tokens"; a recipe writes max_tokens */
    char letter;      /* 'k' for -k, or 0 */
    slm_option_type type;
    size_t offset;            /* of the field in the options struct */
    double min, max;          /* inclusive, for INT, NUMBER, BYTES; both 0: no bounds */
    const char *choices;      /* for CHOICE: "f32|bf16" */
    const char *value_name;   /* "FILE", "N"; NULL for flags */
    const char *default_text; /* parsed like a value at start; NULL leaves the field zero */
    const char *help;         /* one line, no full stop at the end, lower case first letter */
    const char *group;        /* heading in --help ("Sampling"); NULL continues the row above */
} slm_option;

enum { SLM_COMMAND_TABLES = 10 };
/* A command: its words, its tables, its text. */
typedef struct slm_command {
    const char *name;        /* "eval" */
    const char *usage;       /* "MODEL... --cases FILE [options]" */
    const char *summary;     /* one line, for `slm --help` */
    const char *description; /* paragraphs separated by blank lines, plain text */
    const char *example;     /* one or more command lines, each with a "# what" line above */
    const slm_option *tables[SLM_COMMAND_TABLES]; /* NULL after the last */
    size_t options_bytes;                         /* sizeof the command's options struct */
    int min_arguments, max_arguments;             /* positional; max -1: no limit */
    /* The command itself. Returns the process's exit status. `context` is cli's own. */
    int (*run)(void *context, const void *options, const slm_option_list *arguments);
} slm_command;

/* Fill *options (zeroed first) with the tables' defaults. */
void slm_options_defaults(const slm_command *command, void *options, slm_arena *arena);
/* Parse argv[0..argc) (without program and command name). Accepts --name VALUE, --name=VALUE, -k 4,
 * -k4; "--" ends options. Unknown names suggest the nearest. *help is set by --help or -h. Strings
 * and lists live in `arena`. SLM_ERR_INVALID on wrong use. */
slm_status slm_options_parse(const slm_command *command, int argc, char *const *argv, void *options,
                             slm_option_list *arguments, bool *help, slm_arena *arena,
                             slm_error *err);
/* Set one option from text, as a recipe does: `place` ("recipe.yaml:12") is put before errors. A
 * list grows by one item a call; given on the command line it begins anew. */
slm_status slm_options_set(const slm_command *command, const char *name, const char *value,
                           const char *place, void *options, slm_arena *arena, slm_error *err);

/* The name nearest to a misspelt one ("did you mean"), as for options; NULL if none is near. */
const char *slm_options_nearest(const char *wrong, const char *const *names, size_t count);

/* --help of one command. */
void slm_options_print_help(const slm_command *command, FILE *out);
/* What completion offers besides the tables' choices: `words`, with a blank between them, behind the
 * words `after`: a command and its first argument ("help", "help eval"), or a command and an option
 * ("train --set"). Behind a word that ends in '=' goes a value, which may be a file. */
typedef struct slm_completion {
    const char *after, *words;
} slm_completion;

/* The first words of the commands, each once; or, where `first` (of len bytes) is given, the second words
 * behind it. `between` stands between them. */
void slm_options_append_words(const slm_command *const *commands, const char *first, size_t len,
                              const char *between, slm_buffer *out);

/* Over all commands: the man page in roff (man 7), and completion scripts. `commands` ends with a
 * NULL, `completions` with a row whose `after` is NULL. `version` like "0.1.0". */
void slm_options_print_man(const slm_command *const *commands, const char *version, FILE *out);
void slm_options_print_bash(const slm_command *const *commands, const slm_completion *completions,
                            FILE *out);
void slm_options_print_zsh(const slm_command *const *commands, const slm_completion *completions,
                           FILE *out);

#endif
