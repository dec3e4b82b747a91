/* cli.h: what the commands share: the program's handle, the options that several of them take, and
 * how an error becomes an exit status. Only the files of this folder include it. */
#ifndef SLM_CLI_H
#define SLM_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
#include "open/open.h"
#include "provider/chat.h"
#include "provider/remote.h"

/* Exit statuses. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_WRONG_USE = 2 };

/* What remote models are asked with (remote.c); all zero until cli__remote_start. */
typedef struct cli_remote {
    bool started;
    slm_remote_settings settings;
    slm_endpoints endpoints;
    slm_prices prices;
    slm_budget budget;
    bool dry_run;
    const char *record;
} cli_remote;

/* The one thing that lives as long as the program. Given to every command as its context. */
typedef struct cli_app {
    slm_log log;
    slm_arena arena; /* options and arguments */
    bool colour;     /* stdout is a terminal and NO_COLOR is not set */
    size_t columns;  /* of the terminal on stdout; 0: none, or not told */
    cli_remote remote;
    double spent_usd; /* by what was finished: a command may run others */
} cli_app;

/* What several commands take. Every command's options struct begins with one, so that the tables
 * below can point into it; a command lists only the tables whose options it honours. */
typedef struct cli_shared {
    /* cli_common_options */
    bool quiet, verbose;
    /* cli_json_option */
    bool json;
    /* cli_sampling_options */
    double temperature, top_p, min_p, presence_penalty, frequency_penalty, repetition_penalty;
    int64_t top_k, max_tokens, seed;
    slm_option_list stop;
    const char *thinking; /* "on", "off" */
    /* cli_machine_options */
    int64_t threads, batch, context;
    uint64_t memory;
    const char *dtype, *quantised, *kernels, *device, *template_name;
    bool prefix_sharing;
    slm_option_list judges; /* --judge of eval, JUDGE... of judge */
    /* cli_judge_options */
    const char *judge_template, *judge_system, *judge_thinking;
    double judge_temperature;
    int64_t judge_max_tokens, judge_seed;
    /* cli_remote_options */
    const char *key_env, *endpoints, *prices, *ca_file, *record;
    bool dry_run, offline;
    double max_cost, timeout_s;
    int64_t concurrency, retries;
    const cli_remote *remote; /* the program's, set before the command runs */
} cli_shared;

/* How a model on this machine is computed with: rows of a table of options. */
#define CLI_COMPUTE_ROWS(quantised_help)                                                           \
    {.name = "dtype",                                                                              \
     .type = SLM_OPTION_CHOICE,                                                                    \
     .offset = offsetof(cli_shared, dtype),                                                        \
     .choices = "bf16|f32",                                                                        \
     .value_name = "TYPE",                                                                         \
     .default_text = "bf16",                                                                       \
     .help = "what weights are widened to and computed in"},                                       \
        {.name = "quantised",                                                                      \
         .type = SLM_OPTION_CHOICE,                                                                \
         .offset = offsetof(cli_shared, quantised),                                                \
         .choices = "auto|keep|widen",                                                             \
         .value_name = "HOW",                                                                      \
         .default_text = "auto",                                                                   \
         .help = quantised_help},                                                                  \
        {.name = "device",                                                                         \
         .type = SLM_OPTION_CHOICE,                                                                \
         .offset = offsetof(cli_shared, device),                                                   \
         .choices = "cpu",                                                                         \
         .value_name = "DEVICE",                                                                   \
         .default_text = "cpu",                                                                    \
         .help = "where to compute"},                                                              \
    {                                                                                              \
        .name = "kernels", .type = SLM_OPTION_CHOICE, .offset = offsetof(cli_shared, kernels),     \
        .choices = "ref|avx2|avx512|avx512bf16|amx", .value_name = "NAME",                         \
        .help = "the kernel path; left out, the fastest that this processor has"                   \
    }

extern const slm_option cli_common_options[];
extern const slm_option cli_json_options[];
extern const slm_option cli_sampling_options[];
extern const slm_option cli_machine_options[];
extern const slm_option cli_judge_options[];
extern const slm_option cli_remote_options[];

extern const char cli_default_system_text[]; /* "You are a helpful assistant." */

/* Ended by NULL; in the order of `slm --help`. */
extern const slm_command *const cli_commands[];
extern const slm_command cli_command_judge, cli_command_judge_pairs, cli_command_judge_export,
    cli_command_judge_import;
extern const slm_command cli_command_pull, cli_command_info, cli_command_tokenize, cli_command_chat,
    cli_command_bench, cli_command_eval, cli_command_eval_import, cli_command_eval_export,
    cli_command_report, cli_command_cost, cli_command_help, cli_command_version, cli_command_man,
    cli_command_completion, cli_command_data_check, cli_command_data_import, cli_command_data_split,
    cli_command_synth, cli_command_train, cli_command_export, cli_command_perplexity;

/* The list of commands, as `slm --help` prints it. */
void cli__print_overview(FILE *out);
/* The command that the words name ("eval", "import": both words), or NULL; *words is how many words
 * its name has. */
const slm_command *cli__find_command(const char *const *words, size_t count, size_t *used);
/* Run another command with these arguments, its own name not among them. Returns its exit status. */
int cli__run_again(cli_app *app, const slm_command *command, int argc, char **argv);
/* Say that there is no such command, and the nearest one there is. Returns CLI_WRONG_USE. */
int cli__unknown_command(cli_app *app, const char *word);

/* Print the error; 2 for wrong use, 1 for everything else. */
int cli__fail(cli_app *app, const slm_error *error);

slm_chat_sampling cli__sampling(const cli_shared *shared);
slm_open_options cli__open_options(const cli_shared *shared);
/* Can this MODEL be opened? Cheap: a local file's weights are not read. */
slm_status cli__check_model(const char *model, const slm_open_options *open, slm_error *err);

/* What --judge and the options beside it say: one judge, or a jury. Without --judge `fallback`
 * (may be NULL: then it is wrong use). */
slm_status cli__open_judges(cli_app *app, const cli_shared *shared, const char *fallback,
                            slm_judge **out, slm_error *err);
/* One line on how a judge did: calls, verdicts from the database, unscored, disagreement. */
void cli__log_judge(cli_app *app, const slm_judge *judge);

/* ---- remote models (remote.c): start, open, announce, work, finish -------------------------------- */

/* Reads the files that cli_remote_options name and checks them against the MODELs and JUDGEs that the
 * command will open (others than remote ones are passed over). From then on cli__open_options lets
 * remote models open, and has --record in it. */
slm_status cli__remote_start(cli_app *app, const cli_shared *shared, const char *const *models,
                             size_t count, slm_error *err);
/* Says on stderr what a MODEL will be asked: host, calls, tokens, cost; nothing where it is not remote.
 * calls 0: one for each turn of a conversation. reply_tokens: the most of one reply. */
slm_status cli__remote_announce(cli_app *app, const char *model, uint64_t calls,
                                uint64_t prompt_bytes, int64_t reply_tokens, slm_error *err);
/* What was asked and spent, if anything; frees. May be called where nothing was started. */
void cli__remote_finish(cli_app *app);

/* Of what a judge is sent, about: its instructions, and an answer. Of what a patient model is sent beside
 * the conversation, and what it answers. For announcements. */
enum {
    CLI_JUDGE_BYTES = 2500,
    CLI_ANSWER_BYTES = 1500,
    CLI_PATIENT_BYTES = 1500,
    CLI_PATIENT_TOKENS = 60
};

/* TEXT, or @FILE for the file's content without its last newline (@- is stdin), in the arena. */
slm_status cli__text_or_file(cli_app *app, const char *argument, const char **out, slm_error *err);

/* Where a command's one result goes: stdout for NULL and "-", else an atomically written file. */
typedef struct cli_output {
    FILE *stream;
    slm_file_writer *writer; /* NULL: stdout */
    const char *path;
} cli_output;
slm_status cli__output_open(const char *path, cli_output *out, slm_error *err);
/* Make it final and say on the log where it is. */
slm_status cli__output_commit(cli_output *output, slm_log *log, slm_error *err);
void cli__output_abort(cli_output *output); /* does nothing after a commit */

/* "93.8 MiB" into text. */
void cli__bytes_text(uint64_t bytes, char text[32]);

/* SIGINT and SIGTERM set *cli_interrupted instead of ending the program. `once`: the second SIGINT
 * ends it at once; else every one only sets the flag. */
extern volatile bool cli_interrupted;
void cli__catch_interrupts(bool once);

/* bench_encoder.c: measures an encoder and prints what was found. */
slm_status cli__bench_encoder(const char *name, const cli_shared *shared, int64_t repeat,
                              slm_error *err);

#endif
