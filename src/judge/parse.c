/* parse.c: the verdict in a judge's reply.
 *
 * Models put their JSON into code fences, behind an introduction, before a remark, or write a draft
 * first. So every object in the reply is looked at (slm_json_scan); one that fits is passed over, and
 * the last that fits is the verdict. An object that does not fit is looked into: some models wrap their
 * answer. Nothing is repaired or guessed: `criteria_met` must
 * be true or false, not "true", 1 or yes, `explanation` a string, and neither may stand twice.
 * A reply that goes past the bound of the search holds no verdict. */
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "judge/judge_internal.h"

enum { EXPLANATION_BYTES_MAX = 4000 };

typedef enum fit { FIT_NONE, FIT_NO_VERDICT, FIT_NOT_BOOLEAN, FIT_NO_EXPLANATION, FIT_YES } fit;

static const char *const fit_text[] = {
    [FIT_NONE] = "there is no JSON object in the reply",
    [FIT_NO_VERDICT] = "the reply's JSON object has no criteria_met",
    [FIT_NOT_BOOLEAN] = "criteria_met in the reply is neither true nor false",
    [FIT_NO_EXPLANATION] = "the reply's JSON object has no explanation that is a text",
};

static fit fit_of(const json_t *object)
{
    const json_t *met = json_object_get(object, "criteria_met");
    if (met == NULL) return FIT_NO_VERDICT;
    if (!json_is_boolean(met)) return FIT_NOT_BOOLEAN;
    return json_is_string(json_object_get(object, "explanation")) ? FIT_YES : FIT_NO_EXPLANATION;
}

static char *copy_explanation(const json_t *object)
{
    const json_t *value = json_object_get(object, "explanation");
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    bool cut = len > EXPLANATION_BYTES_MAX;
    if (cut) {
        len = EXPLANATION_BYTES_MAX;
        len -= slm_utf8_incomplete_tail(text, len);
    }
    slm_buffer out = {0};
    slm_utf8_append_valid(&out, text, len);
    if (cut) slm_buffer_append_text(&out, " [...]");
    return slm_buffer_take(&out);
}

bool slm_judge_parse(const char *text, size_t len, bool *met, char **explanation, const char **why)
{
    fit nearest = FIT_NONE;
    slm_json_scan scan = {.text = text, .len = len};
    *explanation = NULL;
    for (json_t *object; (object = slm_json_scan_next(&scan)) != NULL;) {
        fit this = fit_of(object);
        if (this > nearest) nearest = this;
        if (this == FIT_YES) {
            free(*explanation);
            *explanation = copy_explanation(object);
            *met = json_is_true(json_object_get(object, "criteria_met"));
            slm_json_scan_skip(&scan);
        }
        json_decref(object);
    }
    if (slm_json_scan_is_tangled(&scan)) {
        free(*explanation);
        *explanation = NULL;
        *why = "the reply is too tangled to find a JSON object in it";
        return false;
    }
    *why = nearest == FIT_YES ? NULL : fit_text[nearest];
    return nearest == FIT_YES;
}
