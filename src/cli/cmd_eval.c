/* cmd_eval.c: `slm eval`, `slm eval import`, `slm eval export`.
 *
 * An arm is a model with a system text; every MODEL is run with every --system. Models are opened
 * one after the other, so that two of them need the memory of the larger one; before the first long
 * run each is looked at, so that a misspelt name is told at once.
 *
 * SIGINT and SIGTERM let the loop store what is in flight; the same command goes on from there. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>
#include "base/json.h"
#include "data/data.h"
#include "eval/eval.h"
#include "kernel/kernel.h"
#include "report/report.h"
#include "store/store.h"

typedef struct eval_options {
    cli_shared shared;
    slm_option_list cases, systems, names;
    int64_t cases_limit, k;
    const char *db;
    bool skip_uncovered;
} eval_options;

/* Of what a judge is sent, about: its instructions, and an answer. */
enum { JUDGE_BYTES = 2500, ANSWER_BYTES = 1500 };

/* ---- slm eval ------------------------------------------------------------------------------ */

/* Can this MODEL be opened? Cheap: a local file's weights are not read. */
static slm_status check_model(const char *model, const slm_open_options *open, slm_error *err)
{
    size_t len = strlen(model);
    if (len > 5 && strcmp(model + len - 5, ".gguf") == 0) {
        slm_tokenizer *tokenizer = NULL;
        SLM_TRY(slm_open_tokenizer(model, &tokenizer, err));
        slm_tokenizer_free(tokenizer);
        return SLM_OK;
    }
    slm_chat *chat = NULL;
    SLM_TRY(slm_open_chat(model, open, &chat, err));
    slm_chat_free(chat);
    return SLM_OK;
}

/* What made a run, for people; not part of its hash. In the arena. */
static const char *run_details(cli_app *app, const slm_chat *chat)
{
    json_t *details = json_pack("{s:s}", "slm", SLM_VERSION);
    const slm_device *device = slm_open_device(chat);
    if (device != NULL) {
        json_object_set_new(details, "kernels", json_string(slm_device_kernels(device)));
        json_object_set_new(details, "threads", json_integer(slm_device_threads(device)));
    }
    slm_buffer text = {0};
    slm_json_append_canonical(&text, details);
    const char *copy = slm_arena_strdup(&app->arena, slm_buffer_text(&text));
    slm_buffer_free(&text);
    json_decref(details);
    return copy;
}

/* Says what a remote model, and remote judges, will be asked for these arms. */
static slm_status announce(cli_app *app, const eval_options *options, const char *model,
                           slm_store *store, const slm_cases *cases, const slm_eval_arm *arms,
                           size_t arm_count, const slm_judge *judge, const slm_eval_options *eval,
                           slm_error *err)
{
    const cli_shared *shared = &options->shared;
    slm_eval_plan plan;
    SLM_TRY(slm_eval_plan_of(store, cases, arms, arm_count, judge, eval, &plan, err));
    if (plan.answers > 0)
        SLM_TRY(cli__remote_announce(app, model, plan.answers, plan.prompt_bytes,
                                     shared->max_tokens, err));
    /* A judge reads the answer too, and is told what to do with it. */
    uint64_t bytes = plan.judged_bytes + plan.criteria * (JUDGE_BYTES + ANSWER_BYTES);
    for (size_t j = 0; plan.criteria > 0 && j < shared->judges.count; j++)
        SLM_TRY(cli__remote_announce(app, shared->judges.items[j], plan.criteria, bytes,
                                     shared->judge_max_tokens, err));
    return SLM_OK;
}

/* One model, every system text. */
static slm_status run_model(cli_app *app, const eval_options *options, size_t index,
                            const char *model, const char *const *systems, size_t system_count,
                            slm_store *store, const slm_cases *cases, slm_judge *judge,
                            slm_error *err)
{
    slm_open_options open = cli__open_options(&options->shared);
    open.name = index < options->names.count ? options->names.items[index] : NULL;
    slm_chat *chat = NULL;
    bool asks = slm_remote_is(model);
    for (size_t j = 0; j < options->shared.judges.count; j++)
        asks = asks || slm_remote_is(options->shared.judges.items[j]);
    if (app->remote.dry_run && !asks) {
        slm_log_print(&app->log, SLM_LOG_INFO, "%s is on this machine: no call", model);
        return SLM_OK;
    }
    slm_log_print(&app->log, SLM_LOG_DEBUG, "opening %s", model);
    SLM_TRY(slm_open_chat(model, &open, &chat, err));
    slm_eval_arm *arms = slm_arena_array(&app->arena, system_count, sizeof *arms);
    const char *details = run_details(app, chat);
    for (size_t s = 0; s < system_count; s++) {
        arms[s] = (slm_eval_arm){.chat = chat, .system_text = systems[s], .details_json = details};
    }
    slm_eval_options eval = {
        .k = options->k,
        .sampling = cli__sampling(&options->shared),
        .skip_uncovered = options->skip_uncovered,
        .stop = &cli_interrupted,
    };
    slm_status status =
        announce(app, options, model, store, cases, arms, system_count, judge, &eval, err);
    if (status == SLM_OK && !app->remote.dry_run)
        status = slm_eval_run(store, cases, arms, system_count, judge, &eval, &app->log, err);
    slm_chat_free(chat);
    return status;
}

static slm_status print_results(cli_app *app, const eval_options *options, slm_store *store,
                                slm_error *err)
{
    slm_arena arena = {0};
    slm_results results = {0};
    slm_status status = slm_results_load(store, &arena, &results, err);
    if (status == SLM_OK) {
        slm_report_options report = slm_report_options_default();
        report.colour = app->colour;
        report.columns = app->columns;
        report.version = SLM_VERSION;
        if (options->shared.json) {
            slm_report_json(&results, &report, stdout);
        } else {
            slm_report_print(&results, &report, stdout);
        }
        fflush(stdout);
        slm_log_print(
            &app->log, SLM_LOG_INFO,
            "Samples and grades are in %s; every answer to read: slm report --db %s --html "
            "report.html",
            options->db, options->db);
    }
    slm_arena_free(&arena);
    return status;
}

/* Wrong use is told before anything is opened or made. */
static slm_status check_options(const eval_options *options, const slm_option_list *models,
                                slm_error *err)
{
    if (options->cases.count == 0) {
        return slm_error_set(err, SLM_ERR_INVALID, "which cases? Name them with --cases FILE");
    }
    if (options->names.count > models->count) {
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%zu --name for %zu models: give one for each, in "
                             "their order",
                             options->names.count, models->count);
    }
    slm_chat_sampling sampling = cli__sampling(&options->shared);
    return slm_chat_sampling_check(&sampling, err);
}

static slm_status start_remote(cli_app *app, const eval_options *options,
                               const slm_option_list *models, slm_error *err)
{
    const slm_option_list *judges = &options->shared.judges;
    size_t count = models->count + judges->count;
    const char **all = slm_arena_array(&app->arena, count, sizeof *all);
    memcpy(all, models->items, models->count * sizeof *all);
    if (judges->count > 0) memcpy(all + models->count, judges->items, judges->count * sizeof *all);
    return cli__remote_start(app, &options->shared, all, count, err);
}

static slm_status evaluate(cli_app *app, const eval_options *options, const slm_option_list *models,
                           slm_store **store, slm_cases *cases, slm_judge **judge, slm_error *err)
{
    SLM_TRY(check_options(options, models, err));
    size_t system_count = options->systems.count > 0 ? options->systems.count : 1;
    const char **systems = slm_arena_array(&app->arena, system_count, sizeof *systems);
    systems[0] = cli_default_system_text;
    for (size_t s = 0; s < options->systems.count; s++) {
        SLM_TRY(cli__text_or_file(app, options->systems.items[s], &systems[s], err));
    }
    slm_cases_options limits = {.limit = (size_t)options->cases_limit};
    SLM_TRY(slm_cases_load(options->cases.items, options->cases.count, &limits, NULL, NULL, cases,
                           err));
    SLM_TRY(start_remote(app, options, models, err));
    SLM_TRY(cli__open_judges(app, &options->shared, "rule", judge, err));
    slm_open_options open = cli__open_options(&options->shared);
    for (size_t m = 0; m < models->count; m++) {
        SLM_TRY(check_model(models->items[m], &open, err));
    }
    /* A dry run makes nothing, and so needs nothing to be there. */
    bool dry_run = app->remote.dry_run;
    if (!dry_run || slm_file_exists(options->db))
        SLM_TRY(slm_store_open(options->db, dry_run, store, err));
    for (size_t m = 0; m < models->count; m++) {
        SLM_TRY(run_model(app, options, m, models->items[m], systems, system_count, *store, cases,
                          *judge, err));
    }
    return dry_run ? SLM_OK : print_results(app, options, *store, err);
}

static int run_eval(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const eval_options *options = options_in;
    slm_store *store = NULL;
    slm_cases cases = {0};
    slm_judge *judge = NULL;
    slm_error error;
    cli__catch_interrupts(true);
    slm_status status = evaluate(app, options, arguments, &store, &cases, &judge, &error);
    if (judge != NULL) cli__log_judge(app, judge);
    slm_judge_free(judge);
    slm_cases_free(&cases);
    slm_store_close(store);
    cli__remote_finish(app);
    if (status == SLM_ERR_CANCELLED) {
        slm_log_print(
            &app->log, SLM_LOG_WARNING,
            "stopped; what was answered is in %s, and the same command goes on from there",
            options->db);
        return CLI_FAILED;
    }
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option eval_table[] = {
    {.name = "cases",
     .type = SLM_OPTION_FILES,
     .offset = offsetof(eval_options, cases),
     .value_name = "FILE",
     .help = "the cases, in JSON Lines",
     .group = "Evaluation"},
    {.name = "cases-limit",
     .type = SLM_OPTION_INT,
     .offset = offsetof(eval_options, cases_limit),
     .min = 0,
     .max = 1000000000,
     .value_name = "N",
     .default_text = "0",
     .help = "only the first N cases; 0 takes all"},
    {.name = "rollouts",
     .letter = 'k',
     .type = SLM_OPTION_INT,
     .offset = offsetof(eval_options, k),
     .min = 1,
     .max = 100000,
     .value_name = "N",
     .default_text = "4",
     .help = "answers to each case; a larger number later adds to those that are there"},
    {.name = "system",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(eval_options, systems),
     .value_name = "TEXT|@FILE",
     .help = "system text, each an arm of its own (default: You are a helpful assistant.); \"\" "
             "sends none"},
    {.name = "judge",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(cli_shared, judges),
     .value_name = "JUDGE",
     .help = "who grades the answers: rule (the default), or a MODEL; several are a jury"},
    {.name = "skip-uncovered",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(eval_options, skip_uncovered),
     .help = "leave out cases that the judge can grade nothing of, where it is else an error"},
    {.name = "db",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(eval_options, db),
     .value_name = "FILE",
     .default_text = "results.db",
     .help = "the results database; made if it is not there"},
    {.name = "name",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(eval_options, names),
     .value_name = "NAME",
     .help = "what reports call the model; one for each MODEL, in their order"},
    {.name = NULL},
};

const slm_command cli_command_eval = {
    .name = "eval",
    .usage = "MODEL... --cases FILE",
    .summary = "k answers to each case, graded, into the results database",
    .description =
        "Asks each MODEL every case k times, grades every answer against the case's rubric, stores "
        "both, and prints the tables. Several MODELs and several --system texts make an arm for "
        "each "
        "pair.\n\n"
        "What is in the database already is neither asked nor graded again: a run that was stopped "
        "or "
        "killed goes on where it was, a larger -k adds answers, another judge grades the same "
        "ones.",
    .example =
        "# one model, 24 cases, four answers each\n"
        "slm eval model.gguf --cases data/ask-first/seed.jsonl -k 4\n"
        "# does a system text help?\n"
        "slm eval model.gguf --cases cases.jsonl --system @plain.txt --system @ask-first.txt\n"
        "# a model behind an API: what would it cost? Then for at most 5 dollars\n"
        "slm eval openai:gpt-4.1 --cases cases.jsonl --prices prices.yaml --dry-run\n"
        "slm eval openai:gpt-4.1 --cases cases.jsonl --prices prices.yaml --max-cost 5\n"
        "# graded by a jury of two models, criterion by criterion\n"
        "slm eval model.gguf --cases cases.jsonl --judge openai:gpt-4.1 --judge judge.gguf",
    .tables = {eval_table, cli_judge_options, cli_sampling_options, cli_machine_options,
               cli_remote_options, cli_json_options, cli_common_options},
    .options_bytes = sizeof(eval_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_eval,
};

/* ---- slm eval import, slm eval export ------------------------------------------------------ */

typedef struct transfer_options {
    cli_shared shared;
    const char *db, *name, *output;
} transfer_options;

static int run_import(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const transfer_options *options = options_in;
    slm_store *store = NULL;
    slm_error error;
    slm_status status = slm_store_open(options->db, false, &store, &error);
    if (status == SLM_OK) {
        status = slm_eval_import(store, arguments->items[0], options->name, &app->log, &error);
    }
    slm_store_close(store);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static int run_export(void *context, const void *options_in, const slm_option_list *arguments)
{
    (void)arguments;
    cli_app *app = context;
    const transfer_options *options = options_in;
    slm_store *store = NULL;
    cli_output out = {0};
    slm_error error;
    slm_status status;
    SLM_TRY_OUT(slm_store_open(options->db, true, &store, &error));
    SLM_TRY_OUT(cli__output_open(options->output, &out, &error));
    SLM_TRY_OUT(slm_eval_export(store, out.stream, &error));
    status = cli__output_commit(&out, &app->log, &error);
out:
    cli__output_abort(&out);
    slm_store_close(store);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

#define DB_OPTION(text)                                                                            \
    {                                                                                              \
        .name = "db", .type = SLM_OPTION_FILE, .offset = offsetof(transfer_options, db),           \
        .value_name = "FILE", .default_text = "results.db", .help = text, .group = "Transfer"      \
    }

static const slm_option import_table[] = {
    DB_OPTION("the results database; made if it is not there"),
    {.name = "name",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(transfer_options, name),
     .value_name = "NAME",
     .help = "what reports call the model; left out, what the file says"},
    {.name = NULL},
};

const slm_command cli_command_eval_import = {
    .name = "eval import",
    .usage = "FILE",
    .summary = "scores that others computed, into the results database",
    .description = "Takes simple-evals' _allresults.json, or CSV with the header "
                   "model,case,rollout,score. The "
                   "scores stand in the reports beside those made here, as graded by \"imported\".",
    .example = "# scores of six models, sixteen answers a case\n"
               "slm eval import scores.csv --db results.db",
    .tables = {import_table, cli_common_options},
    .options_bytes = sizeof(transfer_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_import,
};

static const slm_option export_table[] = {
    DB_OPTION("the results database"),
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(transfer_options, output),
     .value_name = "FILE",
     .help = "write to FILE and not to stdout"},
    {.name = NULL},
};

const slm_command cli_command_eval_export = {
    .name = "eval export",
    .usage = "[--db FILE]",
    .summary = "the results database as JSON Lines",
    .description = "Prints every row but the measured times, in the order of their keys. Two "
                   "evaluations of the "
                   "same work give the same bytes, whether they were interrupted or not.",
    .example =
        "# everything, to look at or to compare\nslm eval export --db results.db -o results.jsonl",
    .tables = {export_table, cli_common_options},
    .options_bytes = sizeof(transfer_options),
    .run = run_export,
};
