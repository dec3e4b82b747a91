/* cmd_data.c: `slm data check`: is a set of cases fit to train on and to measure with?
 *
 * A table on stdout, one row a check with its verdict, the findings below it with file and line;
 * with --json all of it for machines. Exit status 1 if any check fails. -o writes the proof of what
 * was compared with which benchmark, by hash, for a report. */
#include "cli/cli.h"

#include <string.h>
#include "base/json.h"
#include "base/yaml.h"
#include "data/data.h"

typedef struct data_check_options {
    cli_shared shared;
    slm_option_list against;
    const char *plan, *output;
    double near, alike, overlap, surface_auc;
    int64_t list;
    bool plain_rows;
} data_check_options;

/* ---- slm data check ------------------------------------------------------------------------ */

static void print_findings(const slm_data_report *report, const char *check, size_t most)
{
    size_t shown = 0, more = 0;
    for (size_t i = 0; i < report->finding_count; i++) {
        const slm_data_finding *f = &report->findings[i];
        if (strcmp(f->check, check) != 0) continue;
        if (shown == most) {
            more++;
            continue;
        }
        shown++;
        if (f->line > 0)
            printf("  %s:%zu: %s\n", f->file, f->line, f->text);
        else
            printf("  %s\n", f->text);
    }
    if (more > 0) printf("  ... and %zu more (--list 0 shows all)\n", more);
}

static void print_report(const cli_app *app, const slm_data_report *report, size_t most)
{
    for (size_t i = 0; i < report->result_count; i++) {
        const slm_data_result *r = &report->results[i];
        const char *on = !app->colour                  ? ""
                         : r->verdict == SLM_DATA_FAIL ? "\033[31m"
                         : r->verdict == SLM_DATA_PASS ? "\033[32m"
                                                       : "\033[2m";
        printf("%s%-8s%s %-11s %s\n", on, slm_data_verdict_name(r->verdict), *on ? "\033[0m" : "",
               r->check, r->summary);
    }
    for (size_t i = 0; i < report->result_count; i++) {
        const slm_data_result *r = &report->results[i];
        bool any = r->detail != NULL;
        for (size_t f = 0; f < report->finding_count && !any; f++)
            any = strcmp(report->findings[f].check, r->check) == 0;
        if (!any) continue;
        printf("\n%s\n", r->check);
        if (r->detail != NULL) fputs(r->detail, stdout);
        print_findings(report, r->check, most);
    }
}

static slm_status write_json(const json_t *value, FILE *stream, slm_error *err)
{
    slm_buffer text = {0};
    slm_json_append_canonical(&text, value);
    slm_buffer_append_char(&text, '\n');
    bool written = fwrite(text.data, 1, text.len, stream) == text.len;
    slm_buffer_free(&text);
    return written ? SLM_OK : slm_error_set(err, SLM_ERR_IO, "cannot write the result");
}

static slm_status write_proof(cli_app *app, const slm_data_report *report, const char *path,
                              slm_error *err)
{
    cli_output output;
    if (report->proof == NULL)
        return slm_error_set(err, SLM_ERR_FORMAT, "no proof to write: the cases could not be read");
    SLM_TRY(cli__output_open(path, &output, err));
    slm_status status = write_json(report->proof, output.stream, err);
    if (status == SLM_OK) status = cli__output_commit(&output, &app->log, err);
    cli__output_abort(&output);
    return status;
}

/* The plan's `shares`, borrowed from *plan. */
static slm_status read_plan(const char *path, slm_yaml **plan, slm_data_check_options *check,
                            slm_error *err)
{
    SLM_TRY(slm_yaml_load(path, plan, err));
    const json_t *root = slm_yaml_root(*plan);
    slm_json_place place = slm_yaml_place(*plan, root);
    if (!json_is_object(json_object_get(root, "shares")))
        return slm_json_error(&place, err,
                              "a plan has shares: dimensions with values and their shares, as in "
                              "\"shares: {context: {lacks: 0.6, enough: 0.4}}\"");
    check->wanted = json_object_get(root, "shares");
    return slm_json_number_optional(root, "tolerance", &place, &check->tolerance, err);
}

static int run_data_check(void *context, const void *raw, const slm_option_list *files)
{
    cli_app *app = context;
    const data_check_options *options = raw;
    slm_data_check_options check = slm_data_check_options_default();
    slm_data_report report = {0};
    slm_yaml *plan = NULL;
    slm_error error;
    slm_status status = SLM_OK;
    check.against = options->against.items;
    check.against_count = options->against.count;
    check.near = options->near;
    check.alike = options->alike;
    check.overlap = options->overlap;
    check.surface_auc = options->surface_auc;
    check.plain_rows = options->plain_rows;
    if (options->output != NULL && options->against.count == 0) {
        status = slm_error_set(&error, SLM_ERR_INVALID,
                               "a proof is of something compared: give --against with -o");
        goto out;
    }
    if (options->plan != NULL) SLM_TRY_OUT(read_plan(options->plan, &plan, &check, &error));
    SLM_TRY_OUT(slm_data_check(files->items, files->count, &check, &report, &error));
    if (options->shared.json) {
        json_t *all = slm_data_report_json(&report);
        status = write_json(all, stdout, &error);
        json_decref(all);
    } else {
        print_report(app, &report, options->list == 0 ? SIZE_MAX : (size_t)options->list);
    }
    fflush(stdout);
    if (status == SLM_OK && options->output != NULL)
        status = write_proof(app, &report, options->output, &error);
out:;
    bool failed = report.failed;
    slm_data_report_free(&report);
    slm_yaml_free(plan);
    if (status != SLM_OK) return cli__fail(app, &error);
    return failed ? CLI_FAILED : CLI_DONE;
}

static const slm_option data_check_table[] = {
    {.name = "against",
     .type = SLM_OPTION_FILES,
     .offset = offsetof(data_check_options, against),
     .value_name = "PATH",
     .help = "a benchmark or source that must not be in the cases: file or folder; more than once",
     .group = "Check"},
    {.name = "plan",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(data_check_options, plan),
     .value_name = "FILE",
     .help = "YAML with the shares that the cases should have"},
    {.name = "near",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(data_check_options, near),
     .min = 0.1,
     .max = 1,
     .value_name = "J",
     .default_text = "0.5",
     .help = "Jaccard index of word 5-grams from which two texts are near duplicates"},
    {.name = "alike",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(data_check_options, alike),
     .min = 0.1,
     .max = 1,
     .value_name = "S",
     .default_text = "0.65",
     .help = "likeness from which pairs across sides are listed for reading"},
    {.name = "overlap",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(data_check_options, overlap),
     .min = 0.1,
     .max = 1,
     .value_name = "S",
     .default_text = "0.8",
     .help = "likeness from which a text overlaps with one of --against"},
    {.name = "surface-auc",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(data_check_options, surface_auc),
     .min = 0.5,
     .max = 1,
     .value_name = "A",
     .default_text = "0.6",
     .help = "most that looks alone may tell lacks from enough, as area under the ROC curve"},
    {.name = "plain-rows",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(data_check_options, plain_rows),
     .help = "rows of HealthBench's own fields: do not ask for ours"},
    {.name = "list",
     .type = SLM_OPTION_INT,
     .offset = offsetof(data_check_options, list),
     .min = 0,
     .max = 1e9,
     .value_name = "N",
     .default_text = "20",
     .help = "findings shown of each check; 0 shows all"},
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(data_check_options, output),
     .value_name = "FILE",
     .help = "write the proof of what was compared with --against, as JSON"},
    {.name = NULL},
};

const slm_command cli_command_data_check = {
    .name = "data check",
    .usage = "FILE... [--against PATH]... [options]",
    .summary = "are cases fit to train on and to measure with?",
    .description =
        "Looks at case files from every side that a machine can: schema; exact and near "
        "duplicates, "
        "and families on two sides; pairs across sides that are alike; overlap with benchmarks and "
        "sources; personal data; balance; and whether looks alone (length, turns, digits, commas, "
        "negations, units) tell cases that lack context from those that have enough. Each file is "
        "a "
        "side of the split. Exit status 1 if a check fails.",
    .example = "# a split, against a benchmark, with a proof for the report\n"
               "slm data check train.jsonl dev.jsonl test.jsonl --against healthbench.jsonl -o "
               "proof.json",
    .tables = {data_check_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(data_check_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_data_check,
};
