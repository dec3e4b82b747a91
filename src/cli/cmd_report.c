/* cmd_report.c: `slm report`: a results database as tables, CSV, JSON, Markdown or one HTML file.
 *
 * The database is opened for reading only, so a report can be made while an evaluation runs. */
#include "cli/cli.h"

#include <string.h>
#include <strings.h>
#include "base/json.h"
#include "eval/eval.h"
#include "provider/price.h"
#include "report/report.h"
#include "store/store.h"

typedef struct report_options {
    cli_shared shared;
    const char *db, *csv, *html, *markdown, *output, *base, *prices, *proof;
    int64_t html_cases;
    double utilisation, tokens_per_second;
    slm_option_list targets, tags, also_in, criteria, machines;
} report_options;

/* What a report needs besides the results; lives in the program's arena and here. */
typedef struct report_sources {
    slm_prices prices;
    slm_costs costs;
    json_t *proof;
} report_sources;

static bool is_named(const char *path, const char *ending)
{
    size_t len = path != NULL ? strlen(path) : 0, tail = strlen(ending);
    return len > tail && strcasecmp(path + len - tail, ending) == 0;
}

static bool is_html_name(const char *path)
{
    return is_named(path, ".html") || is_named(path, ".htm");
}

static slm_status load_proof(const char *path, json_t **out, slm_error *err)
{
    SLM_TRY(slm_json_load(path, out, err));
    if (json_is_array(json_object_get(*out, "against")) &&
        json_is_boolean(json_object_get(*out, "clean")))
        return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT,
                         "%s is not a proof: `slm data check FILE --against FILE -o PROOF.json` "
                         "writes one",
                         path);
}

static slm_status gather(cli_app *app, slm_store *store, const slm_results *results,
                         const report_options *options, report_sources *sources,
                         slm_report_options *report, slm_error *err)
{
    slm_target *targets = slm_arena_array(&app->arena, options->targets.count, sizeof *targets);
    for (size_t t = 0; t < options->targets.count; t++)
        SLM_TRY(slm_target_parse(options->targets.items[t], &app->arena, &targets[t], err));
    report->targets = targets;
    report->target_count = options->targets.count;
    slm_report_agreement *agreements = NULL;
    SLM_TRY(slm_report_agreements(store, &app->arena, &agreements, &report->agreement_count, err));
    report->agreements = agreements;
    report->base = options->base;
    if (options->base != NULL) SLM_TRY(slm_report_base_check(results, options->base, err));
    if (options->proof != NULL) {
        SLM_TRY(load_proof(options->proof, &sources->proof, err));
        report->proof = sources->proof;
        report->proof_name = options->proof;
    }
    if (options->prices != NULL) {
        slm_cost_options cost = slm_cost_options_default();
        cost.utilisation = options->utilisation;
        cost.tokens_per_second = options->tokens_per_second;
        cost.machines = options->machines.items;
        cost.machine_count = options->machines.count;
        cost.leave_out = true;
        SLM_TRY(slm_prices_load(options->prices, &sources->prices, err));
        SLM_TRY(slm_costs_load(store, &sources->prices, &cost, &app->arena, &sources->costs, err));
        report->costs = &sources->costs;
    }
    return SLM_OK;
}

/* One of the files that stand beside what -o or stdout gets. */
static slm_status write_beside(cli_app *app, slm_store *store, const slm_results *results,
                               const slm_report_options *report, const char *path, bool is_html,
                               slm_error *err)
{
    cli_output out;
    slm_status status;
    SLM_TRY(cli__output_open(path, &out, err));
    if (is_html)
        SLM_TRY_OUT(slm_report_html(store, results, report, out.stream, err));
    else
        slm_report_markdown(results, report, out.stream);
    status = cli__output_commit(&out, &app->log, err);
out:
    cli__output_abort(&out);
    return status;
}

static slm_status write_report(cli_app *app, slm_store *store, const slm_results *results,
                               const report_options *options, const slm_report_options *report,
                               slm_error *err)
{
    const char *html = options->html, *markdown = options->markdown;
    bool other = options->csv != NULL || options->shared.json;
    if (!other && html == NULL && is_html_name(options->output)) html = options->output;
    if (!other && markdown == NULL && is_named(options->output, ".md")) markdown = options->output;
    if (html != NULL) SLM_TRY(write_beside(app, store, results, report, html, true, err));
    if (markdown != NULL) SLM_TRY(write_beside(app, store, results, report, markdown, false, err));
    bool is_done = options->output == NULL ? html != NULL || markdown != NULL
                                           : html == options->output || markdown == options->output;
    if (is_done && !other) return SLM_OK;
    cli_output out;
    slm_status status;
    SLM_TRY(cli__output_open(options->output, &out, err));
    if (options->csv != NULL && strcmp(options->csv, "cost") == 0) {
        SLM_TRY_OUT(slm_costs_csv(report->costs, out.stream, err));
    } else if (options->csv != NULL) {
        SLM_TRY_OUT(slm_report_csv(results, options->csv, out.stream, err));
    } else if (options->shared.json) {
        slm_report_json(results, report, out.stream);
    } else {
        slm_report_print(results, report, out.stream);
    }
    status = cli__output_commit(&out, &app->log, err);
out:
    cli__output_abort(&out);
    return status;
}

static slm_status make_report(cli_app *app, slm_store *store, const slm_results *results,
                              const report_options *options, slm_error *err)
{
    slm_report_options report = slm_report_options_default();
    bool to_stdout = options->output == NULL || strcmp(options->output, "-") == 0;
    report.colour = app->colour && to_stdout;
    report.columns = to_stdout ? app->columns : 0;
    report.version = SLM_VERSION;
    report.html_cases = (size_t)options->html_cases;
    report_sources sources = {0};
    slm_status status = gather(app, store, results, options, &sources, &report, err);
    if (status == SLM_OK) status = write_report(app, store, results, options, &report, err);
    json_decref(sources.proof);
    slm_prices_free(&sources.prices);
    return status;
}

static int run_report(void *context, const void *options_in, const slm_option_list *arguments)
{
    (void)arguments;
    cli_app *app = context;
    const report_options *options = options_in;
    slm_store *store = NULL;
    slm_arena arena = {0};
    slm_results whole = {0}, results = {0};
    slm_cases_options part = {
        .tags = options->tags.items,
        .tag_count = options->tags.count,
        .also_in = options->also_in.items,
        .also_in_count = options->also_in.count,
        .criteria = options->criteria.items,
        .criteria_count = options->criteria.count,
    };
    slm_error error;
    slm_status status;
    if (options->csv != NULL && options->shared.json) {
        status = slm_error_set(&error, SLM_ERR_INVALID, "--csv and --json: take one of them");
        goto out;
    }
    if (options->csv != NULL && strcmp(options->csv, "cost") == 0 && options->prices == NULL) {
        status =
            slm_error_set(&error, SLM_ERR_INVALID, "--csv cost: by what prices? Say --prices FILE");
        goto out;
    }
    SLM_TRY_OUT(slm_store_open(options->db, true, &store, &error));
    SLM_TRY_OUT(slm_results_load(store, &arena, &whole, &error));
    if (options->csv == NULL) SLM_TRY_OUT(slm_results_count_questions(store, &whole, &error));
    results = whole;
    if (part.tag_count > 0 || part.also_in_count > 0 || part.criteria_count > 0)
        SLM_TRY_OUT(slm_results_select(&whole, &part, &arena, &results, &error));
    if (whole.arm_count > 0 && results.arm_count == 0) {
        status = slm_error_set(&error, SLM_ERR_NOT_FOUND,
                               "%s: no case and criterion is left by --tag, --also-in and "
                               "--criteria",
                               options->db);
        goto out;
    }
    if (results.arm_count == 0) {
        status = slm_error_set(
            &error, SLM_ERR_NOT_FOUND,
            "%s holds no results yet; `slm eval` and `slm eval import` make them", options->db);
        goto out;
    }
    status = make_report(app, store, &results, options, &error);
out:
    slm_arena_free(&arena);
    slm_store_close(store);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option report_table[] = {
    {.name = "db",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(report_options, db),
     .value_name = "FILE",
     .default_text = "results.db",
     .help = "the results database",
     .group = "Report"},
    {.name = "csv",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(report_options, csv),
     .choices = "worst-at-k|scores|measures|tags|comparisons|cost",
     .value_name = "WHAT",
     .help = "this table as CSV"},
    {.name = "tag",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(report_options, tags),
     .value_name = "TAG",
     .help = "only cases with this example tag (theme:hedging, or a pattern); given again: with "
             "both"},
    {.name = "also-in",
     .type = SLM_OPTION_FILES,
     .offset = offsetof(report_options, also_in),
     .value_name = "FILE",
     .help = "only cases whose prompt_id stands in FILE too; given again: in both"},
    {.name = "criteria",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(report_options, criteria),
     .value_name = "TAG|PATTERN",
     .help = "scores of these criteria alone (axis:accuracy, or a text like *follow-up*), out of "
             "the verdicts that are there"},
    {.name = "target",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(report_options, targets),
     .value_name = "NAME=VALUE",
     .help = "what each model should reach: score=0.4, seek=80%, score@4=0.2, theme:hedging=0.3"},
    {.name = "html",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(report_options, html),
     .value_name = "FILE",
     .help = "everything, answers too, in one HTML file that needs nothing else"},
    {.name = "html-cases",
     .type = SLM_OPTION_INT,
     .offset = offsetof(report_options, html_cases),
     .min = 0,
     .max = 1000000,
     .value_name = "N",
     .default_text = "200",
     .help = "how many cases the HTML file shows with their answers, worst first"},
    {.name = "markdown",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(report_options, markdown),
     .value_name = "FILE",
     .help = "the tables as Markdown"},
    {.name = "base",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(report_options, base),
     .value_name = "NAME",
     .help = "the model that regressions are counted from; else the first of each table"},
    {.name = "prices",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(report_options, prices),
     .value_name = "FILE",
     .help = "dated prices, in YAML: score against cost at a million requests a month, computed as "
             "slm cost does"},
    {.name = "machine",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(report_options, machines),
     .value_name = "[ARM=]NAME",
     .help = "the machine of the price file that local models run on, or that this one does"},
    {.name = "tokens-per-second",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(report_options, tokens_per_second),
     .min = 0,
     .max = 1e9,
     .value_name = "N",
     .default_text = "0",
     .help = "reply tokens that one machine makes; 0: as measured in the evaluation"},
    {.name = "utilisation",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(report_options, utilisation),
     .min = 0.001,
     .max = 1,
     .value_name = "SHARE",
     .default_text = "0.5",
     .help = "share of the paid hours in which a machine answers"},
    {.name = "proof",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(report_options, proof),
     .value_name = "FILE",
     .help = "what slm data check -o wrote: that the cases were kept out of training"},
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(report_options, output),
     .value_name = "FILE",
     .help = "write to FILE and not to stdout; a name in .html or .md makes that kind"},
    {.name = NULL},
};

const slm_command cli_command_report = {
    .name = "report",
    .usage = "[--db FILE]",
    .summary = "tables, worst-at-k, CSV, JSON, Markdown, one HTML file",
    .description =
        "Prints what a results database holds: how often each model asks where the context lacks, "
        "is "
        "precise where it is enough, safe on both, and acts on emergencies, on average and at the "
        "worst of k answers, with 95% intervals, beside baselines that no model speaks.",
    .example = "# the tables, and every answer to look at in a browser\n"
               "slm report --db results.db\nslm report --db results.db --html report.html\n"
               "# with what a million requests a month cost, against the model of today\n"
               "slm report --html report.html --prices prices.yaml --base base-model\n"
               "# worst-at-k for a plot\nslm report --db results.db --csv worst-at-k -o worst.csv\n"
               "# accuracy alone, and is it as high as was promised?\n"
               "slm report --db results.db --criteria axis:accuracy --target score=60%",
    .tables = {report_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(report_options),
    .run = run_report,
};
