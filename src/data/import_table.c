/* import_table.c: which column of a table is the question; and tables as CSV.
 *
 * The public sets are known by their columns, whatever a file is called: MedRedQA (Nguyen et al.,
 * AACL 2023) has title, body and response; AskDocs threads have title and post; MedicationQA
 * (Ben Abacha et al., MedInfo 2019) has Question and Focus (Drug); K-QA (Manes et al., BioNLP 2024)
 * has Question and Must_have or ICD_10_diag. HealthSearchQA (Singhal et al., Nature 2023) has just
 * question, so it is known by the file's name. Anything else with a column of questions is read as
 * what it is, under the file's name. Names of columns are compared without case. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/csv.h"
#include "base/file.h"
#include "data/import_internal.h"

static const struct known {
    data__format format;
    const char *title, *body, *mark; /* mark: another column that must be there; NULL: none */
} known[] = {
    {DATA__FORMAT_MEDREDQA, "title", "body", "response"},
    {DATA__FORMAT_MEDREDQA, "title", "body", "occupation"},
    {DATA__FORMAT_ASKDOCS, "title", "post", NULL},
    {DATA__FORMAT_ASKDOCS, "title", "selftext", NULL},
    {DATA__FORMAT_MEDICATIONQA, NULL, "question", "focus (drug)"},
    {DATA__FORMAT_K_QA, NULL, "question", "must_have"},
    {DATA__FORMAT_K_QA, NULL, "question", "icd_10_diag"},
    {DATA__FORMAT_HEALTHSEARCHQA, NULL, "question", NULL}, /* by the file's name, or forced */
};

static const char *const generic[] = {"question", "query",   "questions",     "question_text",
                                      "prompt",   "message", "patient_query", "text"};

static size_t column_named(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        const char *have = names[i];
        have += strspn(have, " \t");
        size_t len = strlen(have);
        while (len > 0 && strchr(" \t\r\n", have[len - 1]) != NULL)
            len--;
        if (len == strlen(name) && strncasecmp(have, name, len) == 0) return i;
    }
    return SIZE_MAX;
}

static bool name_says(const data__importer *importer, const char *word)
{
    const char *base = slm_file_basename(importer->file);
    for (size_t len = strlen(word); *base != '\0'; base++)
        if (strncasecmp(base, word, len) == 0) return true;
    return false;
}

static bool find_known(const data__importer *importer, const char *const *names, size_t count,
                       data__columns *out)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct known *k = &known[i];
        bool forced = importer->format == k->format;
        if (importer->format != DATA__FORMAT_ANY && !forced) continue;
        if (k->format == DATA__FORMAT_HEALTHSEARCHQA && !forced &&
            !name_says(importer, "healthsearchqa"))
            continue;
        size_t body = column_named(names, count, k->body);
        size_t title = k->title != NULL ? column_named(names, count, k->title) : SIZE_MAX;
        if (body == SIZE_MAX || (k->title != NULL && title == SIZE_MAX)) continue;
        /* Forced, the mark may be missing: whoever forces it knows better. */
        if (!forced && k->mark != NULL && column_named(names, count, k->mark) == SIZE_MAX) continue;
        *out = (data__columns){data__format_name(k->format), title, body};
        return true;
    }
    return false;
}

static void tell_missing(data__importer *importer, const char *const *names, size_t count,
                         size_t line)
{
    slm_buffer have = {0};
    bool known_only = importer->options->column == NULL && importer->format == DATA__FORMAT_ANY;
    if (known_only)
        slm_buffer_append_text(&have, "no column of questions; name it with --column. There are: ");
    for (size_t i = 0; i < count && have.len < 300; i++)
        slm_buffer_printf(&have, "%s%.60s", i > 0 ? ", " : "", names[i]);
    if (importer->options->column != NULL)
        data__import_problem(importer, NULL, line, "no column '%s'; there are: %s",
                             importer->options->column, slm_buffer_text(&have));
    else if (importer->format != DATA__FORMAT_ANY)
        data__import_problem(importer, NULL, line, "not the columns of %s; there are: %s",
                             data__format_name(importer->format), slm_buffer_text(&have));
    else
        data__import_nothing(importer, slm_buffer_text(&have));
    slm_buffer_free(&have);
}

bool data__columns_find(data__importer *importer, const char *const *names, size_t count,
                        size_t line, bool quiet, data__columns *out)
{
    const char *column = importer->options->column;
    bool plain = importer->format == DATA__FORMAT_ANY || importer->format == DATA__FORMAT_CSV ||
                 importer->format == DATA__FORMAT_XLSX || importer->format == DATA__FORMAT_JSONL;
    *out = (data__columns){slm_file_basename(importer->file), SIZE_MAX, SIZE_MAX};
    if (column != NULL) {
        out->body = column_named(names, count, column);
    } else {
        if (find_known(importer, names, count, out)) return true;
        for (size_t i = 0; plain && i < sizeof generic / sizeof generic[0]; i++)
            if (out->body == SIZE_MAX) out->body = column_named(names, count, generic[i]);
    }
    if (out->body != SIZE_MAX) return true;
    if (!quiet) tell_missing(importer, names, count, line);
    return false;
}

/* ---- CSV ----------------------------------------------------------------------------------- */

static void take_row(data__importer *importer, const data__columns *columns, const slm_csv *csv)
{
    if (columns->body >= csv->field_count ||
        (columns->title != SIZE_MAX && columns->title >= csv->field_count)) {
        data__import_problem(importer, columns->source, csv->line,
                             "the row has %zu fields, and the question is the %zuth",
                             csv->field_count, columns->body + 1);
        return;
    }
    const char *body = csv->fields[columns->body];
    const char *title = columns->title != SIZE_MAX ? csv->fields[columns->title] : NULL;
    data__import_question(importer, columns->source, csv->line, title,
                          title != NULL ? strlen(title) : 0, body, strlen(body));
}

/* Behind a row that cannot be read: on the line after the one it began on. */
static bool resume(slm_csv *csv, size_t begin, size_t line)
{
    const char *end = memchr(csv->text + begin, '\n', csv->len - begin);
    if (end == NULL) return false;
    csv->at = (size_t)(end - csv->text) + 1;
    csv->next_line = line + 1;
    return true;
}

void data__import_csv(data__importer *importer)
{
    slm_file_map map;
    slm_error problem = {0};
    if (slm_file_map_open(importer->file, &map, &problem) != SLM_OK) {
        importer->on_problem(importer->context, NULL, &problem);
        return;
    }
    slm_csv csv = {.name = importer->file, .text = (const char *)map.data, .len = map.size};
    data__columns columns = {0};
    bool row = false, header = false, any = false;
    if (map.size > 0) slm_csv_detect(&csv);
    for (;;) {
        size_t begin = csv.at, line = csv.next_line == 0 ? 1 : csv.next_line;
        if (slm_csv_next(&csv, &row, &problem) != SLM_OK) {
            importer->on_problem(importer->context, header ? columns.source : NULL, &problem);
            if (++importer->file_problems >= DATA__PROBLEMS_MAX || !header) break;
            if (!resume(&csv, begin, line)) break;
            continue;
        }
        if (!row) break;
        any = true;
        if (header) {
            take_row(importer, &columns, &csv);
            if (importer->file_problems >= DATA__PROBLEMS_MAX) break;
            continue;
        }
        if (!data__columns_find(importer, (const char *const *)csv.fields, csv.field_count,
                                csv.line, false, &columns))
            break;
        header = true;
    }
    if (!any && importer->file_problems == 0) data__import_nothing(importer, "an empty table");
    slm_csv_free(&csv);
    slm_file_map_close(&map);
}
