/* inspect.c: `slm data check`: a set of cases looked at from every side that can be looked at by
 * machine.
 *
 * schema      the reader and slm_cases_check: every field, every reference, every convention
 * duplicates  the same or nearly the same words twice, and families on two sides (duplicates.c)
 * alike       pairs across sides on the same matter, for reading (likeness.c)
 * overlap     with benchmarks and sources (overlap.c); its result is the contamination proof
 * personal    what identifies a person (personal.c)
 * balance     how many of each kind, against wanted shares (balance.c)
 * surface     whether looks alone tell lacks from enough (surface.c)
 *
 * Each check adds findings, with file and line, and one row with a verdict. A set that cannot be
 * read whole gets the reader's findings alone: what cannot be read cannot be compared. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/utf8.h"
#include "data/inspect_internal.h"

slm_data_check_options slm_data_check_options_default(void)
{
    return (slm_data_check_options){
        .tolerance = 0.05, .near = 0.5, .alike = 0.65, .overlap = 0.8, .surface_auc = 0.6};
}

const char *slm_data_verdict_name(slm_data_verdict verdict)
{
    static const char *const names[] = {"pass", "FAIL", "shown", "not run"};
    return names[verdict];
}

/* ---- findings and rows --------------------------------------------------------------------- */

static void add_finding(data__inspection *in, slm_data_finding finding)
{
    slm_data_report *out = in->out;
    if (out->finding_count == in->finding_cap) {
        size_t cap = in->finding_cap == 0 ? 64 : in->finding_cap * 2;
        slm_data_finding *grown = slm_arena_array(&out->arena, cap, sizeof *grown);
        if (out->finding_count > 0)
            memcpy(grown, out->findings, out->finding_count * sizeof *grown);
        out->findings = grown;
        in->finding_cap = cap;
    }
    out->findings[out->finding_count++] = finding;
}

void data__find(data__inspection *in, const char *check, const char *kind, bool fails,
                const char *file, size_t line, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    slm_buffer valid = {0};
    slm_utf8_append_valid(&valid, text, strlen(text)); /* a cut may go through a character */
    add_finding(
        in, (slm_data_finding){.check = check,
                               .kind = kind,
                               .file = slm_arena_strdup(&in->out->arena, file),
                               .line = line,
                               .text = slm_arena_strdup(&in->out->arena, slm_buffer_text(&valid)),
                               .fails = fails});
    slm_buffer_free(&valid);
}

void data__result(data__inspection *in, const char *check, slm_data_verdict verdict,
                  json_t *numbers, const char *detail, const char *summary, ...)
{
    char text[1024];
    va_list args;
    va_start(args, summary);
    vsnprintf(text, sizeof text, summary, args);
    va_end(args);
    slm_data_report *out = in->out;
    SLM_ASSERT(out->result_count < sizeof out->results / sizeof out->results[0]);
    out->results[out->result_count++] =
        (slm_data_result){.check = check,
                          .verdict = verdict,
                          .numbers = numbers,
                          .detail = slm_arena_strdup(&out->arena, detail),
                          .summary = slm_arena_strdup(&out->arena, text)};
    if (verdict == SLM_DATA_FAIL) out->failed = true;
}

size_t data__failures(const data__inspection *in, const char *check)
{
    size_t count = 0;
    for (size_t i = 0; i < in->out->finding_count; i++)
        count += in->out->findings[i].fails && strcmp(in->out->findings[i].check, check) == 0;
    return count;
}

/* ---- schema -------------------------------------------------------------------------------- */

/* "file:12: rubrics: ..." taken apart; the error carries its place in its words alone. */
static void note_problem(void *context, const slm_error *problem)
{
    data__inspection *in = context;
    for (size_t i = 0; i < in->file_count; i++) {
        size_t len = strlen(in->files[i]);
        if (strncmp(problem->message, in->files[i], len) != 0 || problem->message[len] != ':')
            continue;
        char *end = NULL;
        unsigned long line = strtoul(problem->message + len + 1, &end, 10);
        if (end == problem->message + len + 1 || *end != ':') continue;
        while (*end == ':' || *end == ' ')
            end++;
        data__find(in, "schema", "schema", true, in->files[i], line, "%s", end);
        return;
    }
    data__find(in, "schema", "schema", true, "", 0, "%s", problem->message);
}

static void check_schema(data__inspection *in)
{
    if (!in->options->plain_rows) slm_cases_check(in->cases, note_problem, in);
    size_t found = data__failures(in, "schema");
    json_t *numbers =
        json_pack("{s:I,s:I,s:s}", "cases", (json_int_t)in->cases->count, "findings",
                  (json_int_t)found, "rows", in->options->plain_rows ? "plain" : "ours");
    data__result(in, "schema", found > 0 ? SLM_DATA_FAIL : SLM_DATA_PASS, numbers, NULL,
                 "%zu cases in %zu file%s; %zu findings%s", in->cases->count, in->file_count,
                 in->file_count == 1 ? "" : "s", found,
                 in->options->plain_rows ? " (fields of HealthBench alone)" : "");
}

/* ---- the set ------------------------------------------------------------------------------- */

/* Which file a case is from, what its user wrote, and that as words. */
static void prepare(data__inspection *in)
{
    size_t n = in->cases->count;
    slm_arena *arena = &in->out->arena;
    in->side = slm_arena_array(arena, n, sizeof *in->side);
    in->spoken = slm_arena_array(arena, n, sizeof *in->spoken);
    in->words = slm_arena_array(arena, n, sizeof *in->words);
    for (size_t i = 0; i < n; i++) {
        const slm_case *c = &in->cases->items[i];
        for (size_t f = 0; f < in->file_count; f++)
            if (strcmp(in->files[f], c->file) == 0) in->side[i] = f;
        slm_buffer text = {0};
        for (size_t t = 0; t < c->turn_count; t++) {
            if (strcmp(c->turns[t].role, "user") != 0) continue;
            slm_buffer_printf(&text, "%s%s", text.len > 0 ? "\n" : "", c->turns[t].content);
        }
        in->spoken[i] = slm_arena_strdup(arena, slm_buffer_text(&text));
        in->words[i] = data__words_of(slm_buffer_text(&text), text.len, arena);
        slm_buffer_free(&text);
    }
}

slm_status slm_data_check(const char *const *files, size_t file_count,
                          const slm_data_check_options *options, slm_data_report *out,
                          slm_error *err)
{
    slm_cases cases = {0};
    *out = (slm_data_report){0};
    data__inspection in = {
        .options = options, .files = files, .file_count = file_count, .cases = &cases, .out = out};
    slm_error problem = {0};
    slm_status status =
        slm_cases_load(files, file_count, NULL, note_problem, &in, &cases, &problem);
    if (status == SLM_ERR_NOT_FOUND || status == SLM_ERR_IO) {
        slm_data_report_free(out);
        return slm_error_set(err, status, "%s", problem.message);
    }
    if (status != SLM_OK) {
        data__result(&in, "schema", SLM_DATA_FAIL, NULL, NULL,
                     "%zu rows cannot be read; the other checks wait until they can",
                     data__failures(&in, "schema"));
        return SLM_OK;
    }
    prepare(&in);
    check_schema(&in);
    data__check_duplicates(&in);
    SLM_TRY_OUT(data__check_alike(&in, err));
    SLM_TRY_OUT(data__check_overlap(&in, err));
    SLM_TRY_OUT(data__check_personal(&in, err));
    SLM_TRY_OUT(data__check_balance(&in, err));
    data__check_surface(&in);
out:
    slm_cases_free(&cases);
    if (status != SLM_OK) slm_data_report_free(out);
    return status;
}

/* ---- the report ---------------------------------------------------------------------------- */

json_t *slm_data_report_json(const slm_data_report *report)
{
    json_t *checks = json_array(), *findings = json_array();
    for (size_t i = 0; i < report->result_count; i++) {
        const slm_data_result *r = &report->results[i];
        json_t *row = json_pack("{s:s,s:s,s:s}", "check", r->check, "verdict",
                                slm_data_verdict_name(r->verdict), "summary", r->summary);
        if (r->numbers != NULL) json_object_set(row, "numbers", r->numbers);
        json_array_append_new(checks, row);
    }
    for (size_t i = 0; i < report->finding_count; i++) {
        const slm_data_finding *f = &report->findings[i];
        json_array_append_new(findings,
                              json_pack("{s:s,s:s,s:b,s:s,s:I,s:s}", "check", f->check, "kind",
                                        f->kind, "fails", f->fails, "file", f->file, "line",
                                        (json_int_t)f->line, "text", f->text));
    }
    json_t *all = json_pack("{s:b,s:o,s:o}", "passed", !report->failed, "checks", checks,
                            "findings", findings);
    if (report->proof != NULL) json_object_set(all, "proof", report->proof);
    return all;
}

void slm_data_report_free(slm_data_report *report)
{
    if (report == NULL) return;
    for (size_t i = 0; i < report->result_count; i++)
        json_decref(report->results[i].numbers);
    json_decref(report->proof);
    slm_arena_free(&report->arena);
    *report = (slm_data_report){0};
}
