/* set_builder.h: case files made of a few words each, and looking at a report's rows. */
#ifndef SLM_TESTS_DATA_SET_BUILDER_H
#define SLM_TESTS_DATA_SET_BUILDER_H

#include "helpers.h"
#include "base/json.h"
#include "data/inspect.h"

/* What a row needs; NULL fields get something of their own. */
typedef struct row {
    const char *id, *family, *text, *reply, *context, *disposition, *register_name, *language,
        *gloss;
} row;

static inline void append_row(slm_buffer *out, const row *r)
{
    json_t *turns = json_pack("[{s:s,s:s}]", "role", "user", "content", r->text);
    json_t *value =
        json_pack("{s:s,s:o,s:[],s:s,s:s,s:s,s:s,s:s,s:s}", "prompt_id", r->id, "prompt", turns,
                  "rubrics", "family", r->family != NULL ? r->family : r->id, "context",
                  r->context != NULL ? r->context : "lacks", "disposition",
                  r->disposition != NULL ? r->disposition : "routine", "register",
                  r->register_name != NULL ? r->register_name : "terse", "language",
                  r->language != NULL ? r->language : "English", "specialty", "general");
    if (r->gloss != NULL) json_object_set_new(value, "gloss", json_string(r->gloss));
    if (r->reply != NULL) json_object_set_new(value, "reply", json_string(r->reply));
    slm_json_append_canonical(out, value);
    slm_buffer_append_char(out, '\n');
    json_decref(value);
}

static inline void put_rows(char path[64], const row *rows, size_t count)
{
    slm_buffer text = {0};
    for (size_t i = 0; i < count; i++)
        append_row(&text, &rows[i]);
    put_temporary(path, text.data, text.len);
    slm_buffer_free(&text);
}

/* The options of plain rows: schema findings of rows this bare are no matter here. */
static inline slm_data_check_options plain_options(void)
{
    slm_data_check_options options = slm_data_check_options_default();
    options.plain_rows = true;
    return options;
}

static inline slm_data_report check_files(const char *const *paths, size_t count,
                                          const slm_data_check_options *options)
{
    slm_data_report report;
    slm_error err = {0};
    if (slm_data_check(paths, count, options, &report, &err) != SLM_OK) fail_msg("%s", err.message);
    return report;
}

static inline const slm_data_result *result_of(const slm_data_report *report, const char *check)
{
    for (size_t i = 0; i < report->result_count; i++)
        if (strcmp(report->results[i].check, check) == 0) return &report->results[i];
    fail_msg("the report has no row %s", check);
    return NULL;
}

static inline void assert_verdict(const slm_data_report *report, const char *check,
                                  slm_data_verdict wanted)
{
    const slm_data_result *r = result_of(report, check);
    if (r->verdict != wanted)
        fail_msg("%s: %s, wanted %s: %s", check, slm_data_verdict_name(r->verdict),
                 slm_data_verdict_name(wanted), r->summary);
}

/* The nth finding of a check; fails the test if there is none. */
static inline const slm_data_finding *finding_of(const slm_data_report *report, const char *check,
                                                 size_t n)
{
    for (size_t i = 0; i < report->finding_count; i++)
        if (strcmp(report->findings[i].check, check) == 0 && n-- == 0) return &report->findings[i];
    fail_msg("no such finding of %s", check);
    return NULL;
}

static inline size_t count_findings(const slm_data_report *report, const char *check)
{
    size_t count = 0;
    for (size_t i = 0; i < report->finding_count; i++)
        count += strcmp(report->findings[i].check, check) == 0;
    return count;
}

static inline int64_t number_of(const slm_data_report *report, const char *check, const char *name)
{
    const json_t *value = json_object_get(result_of(report, check)->numbers, name);
    if (!json_is_integer(value)) fail_msg("%s has no number %s", check, name);
    return json_integer_value(value);
}

#endif
