/* pairs.c: labelled pairs, and how many of them a matcher tells right.
 *
 * A row of JSON Lines is {"id", "kind": "question" | "statement", "target", "text", "label": does the
 * text ask (say) what the target asks (says), "note": what the pair turns on, "half": "fit" | "held",
 * "readers": what each reader said}. Thresholds are fixed with the `fit` half in sight; what a matcher
 * is worth is told by the `held` one. Rows without a half belong to both.
 *
 *   sensitivity   of the pairs that are the same, those told so
 *   specificity   of the pairs that are not, those told so
 *
 * Their intervals are exact binomial ones (base/statistics.h): the pairs are independent. */
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "match/match_internal.h"

static slm_status read_half(const json_t *row, const slm_json_place *place, slm_pair *out,
                            slm_error *err)
{
    const char *half = NULL;
    SLM_TRY(slm_json_string_optional(row, "half", place, &half, err));
    if (half == NULL) {
        out->in_fit = out->in_held = true;
        return SLM_OK;
    }
    out->in_fit = strcmp(half, "fit") == 0;
    out->in_held = strcmp(half, "held") == 0;
    if (out->in_fit || out->in_held) return SLM_OK;
    slm_json_place at = {.parent = place, .key = "half"};
    return slm_json_error(&at, err, "'%.40s' is no half; there are fit and held", half);
}

static slm_status read_readers(const json_t *row, const slm_json_place *place, slm_pair *out,
                               slm_error *err)
{
    json_t *readers = NULL;
    SLM_TRY(slm_json_array_optional(row, "readers", place, &readers, err));
    slm_json_place array = {.parent = place, .key = "readers"};
    for (size_t i = 0; readers != NULL && i < json_array_size(readers); i++) {
        const json_t *said = json_array_get(readers, i);
        slm_json_place at = {.parent = &array, .index = i};
        if (!json_is_boolean(said)) return slm_json_error(&at, err, "expected true or false");
        out->readers_same += json_is_true(said);
        out->readers_other += json_is_false(said);
    }
    return SLM_OK;
}

static slm_status read_pair(slm_pairs *pairs, const json_t *row, const slm_json_place *place,
                            slm_pair *out, slm_error *err)
{
    const char *kind = NULL, *note = "other";
    if (!json_is_object(row)) return slm_json_error(place, err, "expected an object");
    SLM_TRY(slm_json_string(row, "kind", place, &kind, err));
    SLM_TRY(slm_json_string(row, "target", place, &out->target, err));
    SLM_TRY(slm_json_string(row, "text", place, &out->text, err));
    SLM_TRY(slm_json_string_optional(row, "id", place, &out->id, err));
    SLM_TRY(slm_json_string_optional(row, "note", place, &note, err));
    SLM_TRY(read_half(row, place, out, err));
    SLM_TRY(read_readers(row, place, out, err));
    const json_t *label = json_object_get(row, "label");
    slm_json_place label_at = {.parent = place, .key = "label"};
    if (!json_is_boolean(label))
        return slm_json_error(&label_at, err, "expected true or false: are they the same?");
    out->same = json_is_true(label);
    out->kind = SLM_MATCH_QUESTION;
    if (strcmp(kind, "statement") == 0) out->kind = SLM_MATCH_STATEMENT;
    slm_json_place kind_at = {.parent = place, .key = "kind"};
    if (strcmp(kind, "question") != 0 && out->kind == SLM_MATCH_QUESTION)
        return slm_json_error(&kind_at, err, "'%.40s' is no kind; there are question and statement",
                              kind);
    out->id = out->id != NULL ? slm_arena_strdup(&pairs->arena, out->id)
                              : slm_arena_printf(&pairs->arena, "line %zu", place->line);
    out->target = slm_arena_strdup(&pairs->arena, out->target);
    out->text = slm_arena_strdup(&pairs->arena, out->text);
    out->note = slm_arena_strdup(&pairs->arena, note);
    return SLM_OK;
}

slm_status slm_pairs_load(const char *path, slm_pairs *out, slm_error *err)
{
    *out = (slm_pairs){0};
    slm_jsonl *reader = NULL;
    slm_status status = SLM_OK;
    size_t cap = 0;
    SLM_TRY_OUT(slm_sha256_file(path, out->sha256, err));
    SLM_TRY_OUT(slm_jsonl_open(path, &reader, err));
    for (;;) {
        json_t *row = NULL;
        slm_json_place place = {.name = path};
        SLM_TRY_OUT(slm_jsonl_next(reader, &row, &place.line, err));
        if (row == NULL) break;
        if (out->count == cap) {
            cap = cap > 0 ? 2 * cap : 256;
            slm_pair *grown = slm_arena_array(&out->arena, cap, sizeof *grown);
            if (out->count > 0) memcpy(grown, out->items, out->count * sizeof *grown);
            out->items = grown;
        }
        status = read_pair(out, row, &place, &out->items[out->count], err);
        json_decref(row);
        if (status != SLM_OK) goto out;
        out->count++;
    }
    if (out->count == 0)
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "%s: has no pair; a row is {\"kind\": \"question\" or "
                               "\"statement\", \"target\", \"text\", \"label\": true or false}",
                               path);
out:
    slm_jsonl_close(reader);
    if (status != SLM_OK) slm_pairs_free(out);
    return status;
}

void slm_pairs_free(slm_pairs *pairs)
{
    if (pairs == NULL) return;
    slm_arena_free(&pairs->arena);
    *pairs = (slm_pairs){0};
}

slm_status slm_pairs_tell(const slm_pairs *pairs, const slm_matcher *matcher, slm_match_hit *hits,
                          slm_error *err)
{
    for (size_t i = 0; i < pairs->count; i++) {
        const slm_pair *p = &pairs->items[i];
        SLM_TRY(slm_match_pair(matcher, p->kind, p->target, p->text, &hits[i], err));
    }
    return SLM_OK;
}

bool slm_pair_is_in(const slm_pair *pair, slm_pairs_half half)
{
    return half == SLM_PAIRS_ALL || (half == SLM_PAIRS_FIT ? pair->in_fit : pair->in_held);
}

slm_pairs_tally slm_pairs_count(const slm_pairs *pairs, const slm_match_hit *hits,
                                const slm_pairs_filter *filter)
{
    slm_pairs_tally out = {0};
    for (size_t i = 0; i < pairs->count; i++) {
        const slm_pair *p = &pairs->items[i];
        if (!slm_pair_is_in(p, filter->half)) continue;
        if (filter->has_kind && p->kind != filter->kind) continue;
        if (filter->note != NULL && strcmp(p->note, filter->note) != 0) continue;
        out.cells[p->same][hits[i].met]++;
        out.pairs++;
        if (p->readers_same + p->readers_other < 2) continue;
        out.read_twice++;
        out.readers_agree += p->readers_same == 0 || p->readers_other == 0;
    }
    return out;
}
