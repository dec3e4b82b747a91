/* answers.c: whole answers to our own cases, labelled by behaviour.
 *
 * A row of JSON Lines is {"case": the prompt_id of a case, or a whole case, "reply", "seek", "safe",
 * "precise", "act": true, false or null, "readers": what each reader said, as [{"seek": true, ...}, ...],
 * "half": "fit" | "held"}. A label goes to every criterion of the case that has this behaviour and a
 * check; where the case has none (a case with enough context wants no question) it goes nowhere. What
 * stands in the row itself is the label, settled where readers differed; without it each reader's is
 * one. The readers' are told against each other in any case. */
#include <string.h>
#include "base/json.h"
#include "judge/judge_internal.h"

/* The cases by their ids: rows come in any order. */
static const slm_case *case_of(const slm_cases *cases, const char *id)
{
    for (size_t i = 0; cases != NULL && i < cases->count; i++)
        if (strcmp(cases->items[i].id, id) == 0) return &cases->items[i];
    return NULL;
}

static slm_status read_case(slm_labels *l, const slm_cases *cases, const json_t *row,
                            const slm_json_place *place, slm_case *out, slm_error *err)
{
    const json_t *value = json_object_get(row, "case");
    slm_json_place at = {.parent = place, .key = "case"};
    if (json_is_object(value)) {
        slm_buffer text = {0};
        slm_json_append_canonical(&text, value);
        char *copy = slm_arena_strdup(&l->arena, slm_buffer_text(&text));
        slm_buffer_free(&text);
        slm_status status = slm_case_parse(copy, l->name, place->line, &l->arena, out, err);
        return status == SLM_OK ? status : slm_error_prefix(err, status, "case");
    }
    const char *id = json_string_value(value);
    if (id == NULL) return slm_json_error(&at, err, "expected the id of a case, or a case");
    const slm_case *known = case_of(cases, id);
    if (known == NULL)
        return slm_json_error(&at, err,
                              "there is no case '%.80s'; name the file that has it with "
                              "--cases",
                              id);
    return slm_case_parse(known->json, known->file, known->line, &l->arena, out, err);
}

/* Adds what an object says of a behaviour to `met` and `not_met`. */
static slm_status read_verdict(const json_t *object, const slm_json_place *place,
                               slm_behaviour behaviour, uint32_t *met, uint32_t *not_met,
                               slm_error *err)
{
    const char *key = slm_behaviour_name(behaviour);
    const json_t *value = json_object_get(object, key);
    slm_json_place at = {.parent = place, .key = key};
    if (value == NULL || json_is_null(value)) return SLM_OK;
    if (!json_is_boolean(value)) return slm_json_error(&at, err, "expected true, false or null");
    *met += json_is_true(value);
    *not_met += json_is_false(value);
    return SLM_OK;
}

static slm_status read_label(const json_t *row, const slm_json_place *place,
                             slm_behaviour behaviour, slm_label *out, slm_error *err)
{
    json_t *readers = NULL;
    SLM_TRY(read_verdict(row, place, behaviour, &out->met, &out->not_met, err));
    SLM_TRY(slm_json_array_optional(row, "readers", place, &readers, err));
    slm_json_place array = {.parent = place, .key = "readers"};
    for (size_t i = 0; readers != NULL && i < json_array_size(readers); i++) {
        const json_t *reader = json_array_get(readers, i);
        slm_json_place at = {.parent = &array, .index = i};
        if (!json_is_object(reader))
            return slm_json_error(&at, err, "expected what a reader said: {\"seek\": true, ...}");
        SLM_TRY(
            read_verdict(reader, &at, behaviour, &out->readers_met, &out->readers_not_met, err));
    }
    if (out->met + out->not_met > 0) return SLM_OK;
    out->met = out->readers_met;
    out->not_met = out->readers_not_met;
    return SLM_OK;
}

slm_status judge__read_answer(slm_labels *l, const slm_cases *cases, const json_t *row,
                              const slm_json_place *place, slm_labelled *out, slm_error *err)
{
    const char *reply = NULL, *half = NULL;
    slm_label said[SLM_BEHAVIOUR_ACT + 1] = {{0}};
    SLM_TRY(slm_json_string(row, "reply", place, &reply, err));
    SLM_TRY(slm_json_string_optional(row, "half", place, &half, err));
    slm_json_place half_at = {.parent = place, .key = "half"};
    if (half != NULL && strcmp(half, "fit") != 0 && strcmp(half, "held") != 0)
        return slm_json_error(&half_at, err, "'%.40s' is no half; there are fit and held", half);
    SLM_TRY(read_case(l, cases, row, place, &out->c, err));
    for (slm_behaviour b = SLM_BEHAVIOUR_SEEK; b <= SLM_BEHAVIOUR_ACT; b++)
        SLM_TRY(read_label(row, place, b, &said[b], err));
    out->reply = slm_arena_strdup(&l->arena, reply);
    out->half = slm_arena_strdup(&l->arena, half);
    out->labels = slm_arena_array(&l->arena, out->c.rubric_count + 1, sizeof *out->labels);
    size_t kept = 0;
    for (size_t i = 0; i < out->c.rubric_count; i++) {
        const slm_rubric_item *item = &out->c.rubrics[i];
        const slm_label *label = &said[item->behaviour];
        if (item->check == NULL || label->met + label->not_met == 0) continue;
        out->labels[kept] = *label;
        out->labels[kept].criterion = i;
        out->c.rubrics[kept++] = *item;
    }
    out->c.rubric_count = kept;
    return SLM_OK;
}
