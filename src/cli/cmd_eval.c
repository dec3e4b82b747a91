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

/* Which cases, and which of their criteria. */
typedef struct chosen_cases {
    slm_option_list files, tags, also_in, criteria;
    int64_t limit;
} chosen_cases;

typedef struct eval_options {
    cli_shared shared;
    chosen_cases cases;
    slm_option_list systems, names, targets;
    int64_t k;
    const char *db;
    bool skip_uncovered;
    const char *env_name, *patient_model;
    int64_t turns;
    /* Made by run_eval; no option's place. */
    slm_env *env;      /* NULL: single turn */
    slm_chat *patient; /* NULL: the deterministic one */
} eval_options;

/* ---- slm eval ------------------------------------------------------------------------------ */

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
    if (plan.answers > 0 && options->patient_model != NULL)
        SLM_TRY(cli__remote_announce(app, options->patient_model, plan.answers,
                                     plan.prompt_bytes + plan.answers * CLI_PATIENT_BYTES,
                                     CLI_PATIENT_TOKENS, err));
    /* A judge reads the answer too, and is told what to do with it. */
    uint64_t bytes = plan.judged_bytes + plan.criteria * (CLI_JUDGE_BYTES + CLI_ANSWER_BYTES);
    for (size_t j = 0; plan.criteria > 0 && j < shared->judges.count; j++)
        SLM_TRY(cli__remote_announce(app, shared->judges.items[j], plan.criteria, bytes,
                                     shared->judge_max_tokens, err));
    return SLM_OK;
}

static slm_status load_cases(cli_app *app, const chosen_cases *chosen, slm_cases *cases,
                             slm_error *err)
{
    slm_cases_options options = {
        .limit = (size_t)chosen->limit,
        .tags = chosen->tags.items,
        .tag_count = chosen->tags.count,
        .also_in = chosen->also_in.items,
        .also_in_count = chosen->also_in.count,
        .criteria = chosen->criteria.items,
        .criteria_count = chosen->criteria.count,
    };
    SLM_TRY(
        slm_cases_load(chosen->files.items, chosen->files.count, &options, NULL, NULL, cases, err));
    if (options.tag_count > 0 || options.also_in_count > 0 || options.criteria_count > 0) {
        slm_log_print(&app->log, SLM_LOG_INFO,
                      "%zu of the %zu cases read, %zu of their %zu criteria", cases->count,
                      cases->rows_read, cases->criteria_kept, cases->criteria_read);
    }
    return SLM_OK;
}

static slm_eval_options options_of(const eval_options *options)
{
    return (slm_eval_options){
        .k = options->k,
        .sampling = cli__sampling(&options->shared),
        .skip_uncovered = options->skip_uncovered,
        .stop = &cli_interrupted,
        .env = options->env,
        .patient = options->patient,
        .is_part = true,
    };
}

/* One model, every system text; the hashes of its runs in hashes[system_count]. */
static slm_status run_model(cli_app *app, const eval_options *options, size_t index,
                            const char *model, const char *const *systems, size_t system_count,
                            slm_store *store, const slm_cases *cases, slm_judge *judge,
                            char (*hashes)[65], slm_error *err)
{
    slm_open_options open = cli__open_options(&options->shared);
    open.name = index < options->names.count ? options->names.items[index] : NULL;
    slm_chat *chat = NULL;
    bool asks = slm_remote_is(model) ||
                (options->patient_model != NULL && slm_remote_is(options->patient_model));
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
    slm_eval_options eval = options_of(options);
    eval.run_hashes = hashes;
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
    slm_report_agreement *agreements = NULL;
    size_t agreement_count = 0;
    if (status == SLM_OK) status = slm_results_count_questions(store, &results, err);
    if (status == SLM_OK)
        status = slm_report_agreements(store, &arena, &agreements, &agreement_count, err);
    if (status == SLM_OK) {
        slm_report_options report = slm_report_options_default();
        slm_target *targets = slm_arena_array(&app->arena, options->targets.count, sizeof *targets);
        /* They were read before anything was asked. */
        for (size_t t = 0; t < options->targets.count; t++)
            slm_target_parse(options->targets.items[t], &app->arena, &targets[t], NULL);
        report.targets = targets;
        report.target_count = options->targets.count;
        report.agreements = agreements;
        report.agreement_count = agreement_count;
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
    if (options->cases.files.count == 0) {
        return slm_error_set(err, SLM_ERR_INVALID, "which cases? Name them with --cases FILE");
    }
    if (options->names.count > models->count) {
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%zu --name for %zu models: give one for each, in "
                             "their order",
                             options->names.count, models->count);
    }
    if (options->patient_model != NULL && strcmp(options->env_name, "multi-turn") != 0) {
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--patient names who answers the model's questions, and a single turn "
                             "has no place for answers; add --env multi-turn");
    }
    slm_chat_sampling sampling = cli__sampling(&options->shared);
    return slm_chat_sampling_check(&sampling, err);
}

/* The environment, and the model that speaks for the patient in it. */
static slm_status open_env(cli_app *app, eval_options *options, slm_error *err)
{
    if (strcmp(options->env_name, "multi-turn") != 0) return SLM_OK;
    slm_env_options env = slm_env_options_default();
    env.kind = SLM_ENV_MULTI_TURN;
    env.turns_max = options->turns;
    env.patient_is_model = options->patient_model != NULL;
    SLM_TRY(slm_env_new(&env, &options->env, err));
    if (options->patient_model == NULL) return SLM_OK;
    slm_open_options open = cli__open_options(&options->shared);
    open.template = NULL; /* that of the models that are measured */
    if (app->remote.dry_run && !slm_remote_is(options->patient_model))
        return cli__check_model(options->patient_model, &open, err);
    return slm_open_chat(options->patient_model, &open, &options->patient, err);
}

static slm_status start_remote(cli_app *app, const eval_options *options,
                               const slm_option_list *models, slm_error *err)
{
    const slm_option_list *judges = &options->shared.judges;
    size_t count = models->count + judges->count;
    const char **all = slm_arena_array(&app->arena, count + 1, sizeof *all);
    memcpy(all, models->items, models->count * sizeof *all);
    if (judges->count > 0) memcpy(all + models->count, judges->items, judges->count * sizeof *all);
    if (options->patient_model != NULL) all[count++] = options->patient_model;
    return cli__remote_start(app, &options->shared, all, count, err);
}

/* Every model, then the baselines of them all. A model that fails does not keep the others from
 * being asked: what it failed with is told at the end. */
static slm_status run_models(cli_app *app, const eval_options *options,
                             const slm_option_list *models, const char *const *systems,
                             size_t system_count, slm_store *store, const slm_cases *cases,
                             slm_judge *judge, slm_error *err)
{
    size_t arms = models->count * system_count, count = 0;
    char(*hashes)[65] = slm_arena_array(&app->arena, arms, sizeof *hashes);
    const char **runs = slm_arena_array(&app->arena, arms, sizeof *runs);
    slm_status status = SLM_OK;
    for (size_t m = 0; m < models->count; m++) {
        slm_error problem = {0};
        slm_status one = run_model(app, options, m, models->items[m], systems, system_count, store,
                                   cases, judge, hashes + m * system_count, &problem);
        if (one == SLM_OK) continue;
        bool goes_on = one != SLM_ERR_CANCELLED && one != SLM_ERR_INVALID && m + 1 < models->count;
        if (goes_on) slm_log_print(&app->log, SLM_LOG_WARNING, "%s", problem.message);
        if (status == SLM_OK || !goes_on) {
            *err = problem;
            status = one;
        }
        if (!goes_on) break;
    }
    for (size_t i = 0; i < arms; i++) {
        if (hashes[i][0] != '\0') runs[count++] = hashes[i];
    }
    if (count == 0 || cli_interrupted) return status;
    slm_eval_options eval = options_of(options);
    slm_error problem = {0};
    slm_status baselines =
        slm_eval_baselines(store, cases, runs, count, judge, &eval, &app->log, &problem);
    if (status == SLM_OK && baselines != SLM_OK) {
        *err = problem;
        status = baselines;
    }
    return status;
}

static slm_status evaluate(cli_app *app, eval_options *options, const slm_option_list *models,
                           slm_store **store, slm_cases *cases, slm_judge **judge, slm_error *err)
{
    SLM_TRY(check_options(options, models, err));
    size_t system_count = options->systems.count > 0 ? options->systems.count : 1;
    const char **systems = slm_arena_array(&app->arena, system_count, sizeof *systems);
    systems[0] = cli_default_system_text;
    for (size_t s = 0; s < options->systems.count; s++) {
        SLM_TRY(cli__text_or_file(app, options->systems.items[s], &systems[s], err));
    }
    for (size_t t = 0; t < options->targets.count; t++) {
        slm_target target;
        SLM_TRY(slm_target_parse(options->targets.items[t], &app->arena, &target, err));
    }
    SLM_TRY(load_cases(app, &options->cases, cases, err));
    SLM_TRY(start_remote(app, options, models, err));
    SLM_TRY(cli__open_judges(app, &options->shared, "rule", judge, err));
    SLM_TRY(open_env(app, options, err));
    slm_open_options open = cli__open_options(&options->shared);
    SLM_TRY(slm_eval_check(cases, *judge, options->skip_uncovered, &app->log, err));
    for (size_t m = 0; m < models->count; m++) {
        SLM_TRY(cli__check_model(models->items[m], &open, err));
    }
    /* A dry run makes nothing, and so needs nothing to be there. */
    bool dry_run = app->remote.dry_run;
    if (!dry_run || slm_file_exists(options->db))
        SLM_TRY(slm_store_open(options->db, dry_run, store, err));
    SLM_TRY(run_models(app, options, models, systems, system_count, *store, cases, *judge, err));
    return dry_run ? SLM_OK : print_results(app, options, *store, err);
}

static int run_eval(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    eval_options copy = *(const eval_options *)options_in, *options = &copy;
    slm_store *store = NULL;
    slm_cases cases = {0};
    slm_judge *judge = NULL;
    slm_error error;
    cli__catch_interrupts(true);
    slm_status status = evaluate(app, options, arguments, &store, &cases, &judge, &error);
    if (judge != NULL) cli__log_judge(app, judge);
    slm_judge_free(judge);
    slm_chat_free(options->patient);
    slm_env_free(options->env);
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

#define CHOSEN(options, field) offsetof(options, cases) + offsetof(chosen_cases, field)

/* clang-format off */
#define CASES_OPTIONS(options, what, heading)                                                      \
    {.name = "cases", .type = SLM_OPTION_FILES, .offset = CHOSEN(options, files),                  \
     .value_name = "FILE", .help = what, .group = heading},                                        \
    {.name = "cases-limit", .type = SLM_OPTION_INT, .offset = CHOSEN(options, limit),              \
     .min = 0, .max = 1000000000, .value_name = "N", .default_text = "0",                          \
     .help = "only the first N cases; 0 takes all"},                                               \
    {.name = "tag", .type = SLM_OPTION_STRINGS, .offset = CHOSEN(options, tags),                   \
     .value_name = "TAG",                                                                          \
     .help = "only cases with this example tag (theme:hedging, or a pattern); given again: with "  \
             "both"},                                                                              \
    {.name = "also-in", .type = SLM_OPTION_FILES, .offset = CHOSEN(options, also_in),              \
     .value_name = "FILE",                                                                         \
     .help = "only cases whose prompt_id stands in FILE too; given again: in both"},               \
    {.name = "criteria", .type = SLM_OPTION_STRINGS, .offset = CHOSEN(options, criteria),          \
     .value_name = "TAG|PATTERN",                                                                  \
     .help = "only criteria with this tag (axis:accuracy) or a text like this (*follow-up*); "     \
             "given again: these too"}
/* clang-format on */

static const slm_option eval_table[] = {
    CASES_OPTIONS(eval_options, "the cases, in JSON Lines", "Evaluation"),
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
     .help = "who grades the answers: rule (the default), rule+ENCODER, or a MODEL; several are a "
             "jury"},
    {.name = "env",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(eval_options, env_name),
     .choices = "single-turn|multi-turn",
     .value_name = "KIND",
     .default_text = "single-turn",
     .help = "multi-turn: a simulated patient answers the model's questions from the case's facts, "
             "until the model asks nothing more"},
    {.name = "turns",
     .type = SLM_OPTION_INT,
     .offset = offsetof(eval_options, turns),
     .min = 1,
     .max = 32,
     .value_name = "N",
     .default_text = "4",
     .help = "multi-turn: at most so many replies of the model"},
    {.name = "patient",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(eval_options, patient_model),
     .value_name = "MODEL",
     .help = "multi-turn: a chat model that speaks for the patient, bound to the facts"},
    {.name = "target",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(eval_options, targets),
     .value_name = "NAME=VALUE",
     .help = "what each model should reach: score=0.4, seek=80%, score@4=0.2, theme:hedging=0.3"},
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
        "# in conversation: does it ask for what it needs before it advises?\n"
        "slm eval model.gguf --cases data/ask-first/seed.jsonl --env multi-turn\n"
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
    chosen_cases cases;
    const char *db, *name, *output, *model, *judge;
    bool simple_evals;
} transfer_options;

static int run_import(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const transfer_options *options = options_in;
    slm_store *store = NULL;
    slm_cases cases = {0};
    slm_error error;
    slm_status status = SLM_OK;
    const chosen_cases *chosen = &options->cases;
    bool has_cases = chosen->files.count > 0;
    if (!has_cases && (chosen->tags.count > 0 || chosen->also_in.count > 0 || chosen->limit > 0 ||
                       chosen->criteria.count > 0)) {
        status = slm_error_set(&error, SLM_ERR_INVALID,
                               "--cases-limit, --tag, --also-in and --criteria choose among the "
                               "cases of --cases FILE; name that too");
        goto out;
    }
    if (has_cases) SLM_TRY_OUT(load_cases(app, chosen, &cases, &error));
    SLM_TRY_OUT(slm_store_open(options->db, false, &store, &error));
    status = slm_eval_import(store, arguments->items[0], options->name, has_cases ? &cases : NULL,
                             &app->log, &error);
out:
    slm_cases_free(&cases);
    slm_store_close(store);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static slm_status export_simple(const transfer_options *options, slm_store *store, FILE *out,
                                slm_error *err)
{
    slm_arena arena = {0};
    slm_results results = {0};
    const slm_arm *arm = NULL;
    slm_status status = SLM_OK;
    SLM_TRY_OUT(slm_results_load(store, &arena, &results, err));
    SLM_TRY_OUT(slm_results_find_arm(&results, options->model, options->judge, &arm, err));
    status = slm_eval_export_simple(store, &results, arm, out, err);
out:
    slm_arena_free(&arena);
    return status;
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
    if (!options->simple_evals && (options->model != NULL || options->judge != NULL)) {
        status = slm_error_set(&error, SLM_ERR_INVALID,
                               "--model and --judge choose what --simple-evals exports; JSON Lines "
                               "hold the whole database");
        goto out;
    }
    SLM_TRY_OUT(slm_store_open(options->db, true, &store, &error));
    SLM_TRY_OUT(cli__output_open(options->output, &out, &error));
    SLM_TRY_OUT(options->simple_evals ? export_simple(options, store, out.stream, &error)
                                      : slm_eval_export(store, out.stream, &error));
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
    CASES_OPTIONS(transfer_options,
                  "the cases that were evaluated: for scores by theme and axis, and to keep only "
                  "some",
                  "Cases"),
    {.name = NULL},
};

const slm_command cli_command_eval_import = {
    .name = "eval import",
    .usage = "FILE",
    .summary = "scores that others computed, into the results database",
    .description =
        "Takes simple-evals' _allresults.json, or CSV with the header "
        "model,case,rollout,score. The "
        "scores stand in the reports beside those made here, as graded by \"imported\".\n\n"
        "With --cases the scores are joined with their cases, and so scored by theme and "
        "context too; scores of other cases are left out. Verdicts on single criteria, "
        "which a _allresults.json has, are scored anew where --criteria keeps only some.",
    .example = "# scores of six models, sixteen answers a case\n"
               "slm eval import scores.csv --db results.db\n"
               "# a simple-evals run on HealthBench: hard cases that are in the consensus set too\n"
               "slm eval import healthbench_hard_m_allresults.json --cases hard.jsonl --also-in "
               "consensus.jsonl",
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
    {.name = "simple-evals",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(transfer_options, simple_evals),
     .help = "one model's answers and verdicts as simple-evals' _allresults.json"},
    {.name = "model",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(transfer_options, model),
     .value_name = "NAME",
     .help =
         "whose, by name or by the beginning of the run's hash; left out, the only one there is"},
    {.name = "judge",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(transfer_options, judge),
     .value_name = "NAME",
     .help = "whose verdicts, likewise"},
    {.name = NULL},
};

const slm_command cli_command_eval_export = {
    .name = "eval export",
    .usage = "[--db FILE]",
    .summary = "the results database as JSON Lines, or one model as simple-evals writes it",
    .description = "Prints every row but the measured times, in the order of their keys. Two "
                   "evaluations of the "
                   "same work give the same bytes, whether they were interrupted or not.\n\n"
                   "With --simple-evals one model's answers under one judge, in the format of "
                   "simple-evals' _allresults.json, with its metrics.",
    .example =
        "# everything, to look at or to compare\nslm eval export --db results.db -o results.jsonl\n"
        "# one model, for tools that read simple-evals' files\n"
        "slm eval export --simple-evals --model qwen3 -o healthbench_qwen3_allresults.json",
    .tables = {export_table, cli_common_options},
    .options_bytes = sizeof(transfer_options),
    .run = run_export,
};
