/* validity.c: whether the judge's verdicts can be believed, and whether the cases were known.
 *
 * A score is no better than its judge. `slm judge` measures how far a judge agrees with labels and
 * stores it; here that stands beside the score. Cohen's kappa below 0.6 (the usual bound of
 * "substantial" agreement, Landis and Koch 1977) marks a judge, or a kind of criterion, as not
 * validated; so does no measurement at all. Sensitivity is the share of the labels' "met" that the
 * judge calls met, specificity that of their "not met". */
#include <math.h>
#include <string.h>
#include "base/json.h"
#include "judge/judge.h"
#include "report/report_internal.h"

typedef struct gathering {
    slm_arena *arena;
    slm_report_agreement *items;
    size_t count, cap;
} gathering;

static bool gather(void *context, const char *judge_hash, const char *labels, const char *name,
                   const char *json)
{
    gathering *g = context;
    g->items = slm_arena_grow(g->arena, g->items, g->count, &g->cap, sizeof *g->items);
    g->items[g->count++] = (slm_report_agreement){
        .judge_hash = slm_arena_strdup(g->arena, judge_hash),
        .labels = slm_arena_strdup(g->arena, labels),
        .name = slm_arena_strdup(g->arena, name),
        .json = slm_arena_strdup(g->arena, json),
    };
    return true;
}

slm_status slm_report_agreements(slm_store *store, slm_arena *arena, slm_report_agreement **out,
                                 size_t *count, slm_error *err)
{
    gathering g = {.arena = arena};
    SLM_TRY(slm_store_agreements(store, gather, &g, err));
    *out = g.items;
    *count = g.count;
    return SLM_OK;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static slm_figure figure_of(const json_t *json)
{
    return (slm_figure){.value = number(json, "value"),
                        .interval = {number(json, "low"), number(json, "high")},
                        .low = NAN,
                        .high = NAN};
}

static report__agreement read_one(const json_t *json, const char *labels, const char *kind)
{
    const json_t *kappa = json_object_get(json, "kappa");
    report__agreement a = {
        .labels = labels,
        .kind = kind,
        .criteria = json_integer_value(json_object_get(json, "criteria")),
        .unscored = json_integer_value(json_object_get(json, "unscored")),
        .kappa = number(kappa, "value"),
        .low = number(kappa, "low"),
        .high = number(kappa, "high"),
        .sensitivity = figure_of(json_object_get(json, "sensitivity")),
        .specificity = figure_of(json_object_get(json, "specificity")),
    };
    a.is_validated = a.kappa >= SLM_KAPPA_VALID; /* false for NaN */
    return a;
}

size_t report__agreements_of(const report__group *group, const slm_report_options *options,
                             slm_arena *arena, report__agreement **out)
{
    size_t count = 0, cap = 0;
    const char *judge = group->count ? group->rows[0].arm->judge_hash : NULL;
    *out = NULL;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) *out = slm_arena_array(arena, cap, sizeof **out);
        for (size_t i = 0; options && judge && i < options->agreement_count; i++) {
            const slm_report_agreement *a = &options->agreements[i];
            if (strcmp(a->judge_hash, judge) != 0) continue;
            json_t *json = json_loads(a->json, 0, NULL), *value;
            const json_t *kinds = json_object_get(json, "kinds");
            const char *kind;
            if (!pass) {
                cap += 1 + json_object_size(kinds);
            } else if (json) {
                (*out)[count++] = read_one(json, a->name, NULL);
                json_object_foreach((json_t *)(uintptr_t)kinds, kind, value)(*out)[count++] =
                    read_one(value, a->name, slm_arena_strdup(arena, kind));
            }
            json_decref(json);
        }
    }
    return count;
}

bool report__is_person(const report__group *group)
{
    const char *name = group->count ? group->rows[0].arm->judge_name : NULL;
    return name && strncmp(name, "human:", 6) == 0;
}

const char *report__validity(const report__group *group, const report__agreement *list,
                             size_t count, slm_arena *arena)
{
    const char *judge = group->count ? group->rows[0].arm->judge_hash : "";
    if (judge && strcmp(judge, "imported") == 0)
        return "Imported scores come with no judge that could be measured.";
    if (!count && report__is_person(group))
        return "Graded by a person: other judges are measured against these verdicts.";
    if (!count)
        return slm_arena_printf(
            arena, "Not validated: how far this judge agrees with people was not measured. `slm "
                   "judge JUDGE --labels FILE --db DB` measures it, `slm judge export` makes a "
                   "sheet for a clinician to fill in.");
    size_t bad = 0;
    for (size_t i = 0; i < count; i++)
        bad += !list[i].is_validated;
    if (!bad)
        return slm_arena_printf(arena,
                                "Agreement was measured; Cohen’s kappa is at least %.1f "
                                "throughout.",
                                SLM_KAPPA_VALID);
    return slm_arena_printf(arena,
                            "Agreement was measured; where Cohen’s kappa is below %.1f (%zu of %zu "
                            "lines) the verdicts are not validated.",
                            SLM_KAPPA_VALID, bad, count);
}

void report__print_validity(FILE *out, const report__group *group,
                            const slm_report_options *options)
{
    slm_arena arena = {0};
    report__agreement *list = NULL;
    size_t count = report__agreements_of(group, options, &arena, &list);
    if (count)
        fputs("\nThe judge against labels         kappa  95%         sens. spec. criteria\n", out);
    for (size_t i = 0; i < count; i++) {
        const report__agreement *a = &list[i];
        char sensitivity[REPORT_NUMBER_BYTES], specificity[REPORT_NUMBER_BYTES], range[32] = "-",
                                                                                 kappa[16] = "-";
        slm_buffer name = {0};
        report__append_line(&name, a->kind ? a->kind : a->labels, 28);
        if (!isnan(a->kappa)) snprintf(kappa, sizeof kappa, "%.2f", a->kappa);
        if (!isnan(a->low)) snprintf(range, sizeof range, "%.2f to %.2f", a->low, a->high);
        fprintf(out, "%s%-*s  %6s  %-12s %4s  %4s %8lld%s\n", a->kind ? "  " : "",
                a->kind ? 28 : 30, slm_buffer_text(&name), kappa, range,
                report__percent(a->sensitivity.value, sensitivity),
                report__percent(a->specificity.value, specificity), (long long)a->criteria,
                a->is_validated ? "" : "  not validated");
        slm_buffer_free(&name);
    }
    slm_arena_free(&arena);
}

static void put_member(slm_buffer *out, const char *key, double value)
{
    slm_buffer_printf(out, "\"%s\":", key);
    slm_json_append_number(out, value);
    slm_buffer_append_char(out, ',');
}

void report__json_validity(slm_buffer *out, const report__group *group,
                           const slm_report_options *options)
{
    slm_arena arena = {0};
    report__agreement *list = NULL;
    size_t count = report__agreements_of(group, options, &arena, &list);
    slm_buffer_append_text(out, "\"agreement\":[");
    for (size_t i = 0; i < count; i++) {
        const report__agreement *a = &list[i];
        slm_buffer_append_text(out, i ? ",{\"labels\":" : "{\"labels\":");
        slm_json_append_string(out, a->labels, strlen(a->labels));
        slm_buffer_append_text(out, ",\"kind\":");
        if (a->kind)
            slm_json_append_string(out, a->kind, strlen(a->kind));
        else
            slm_buffer_append_text(out, "null");
        slm_buffer_append_char(out, ',');
        put_member(out, "kappa", a->kappa);
        put_member(out, "low", a->low);
        put_member(out, "high", a->high);
        put_member(out, "sensitivity", a->sensitivity.value);
        put_member(out, "specificity", a->specificity.value);
        slm_buffer_printf(out, "\"criteria\":%lld,\"unscored\":%lld,\"validated\":%s}",
                          (long long)a->criteria, (long long)a->unscored,
                          a->is_validated ? "true" : "false");
    }
    slm_buffer_append_text(out, "],");
    slm_arena_free(&arena);
}

/* ---- contamination ---- */

const char *report__proof_sentence(const report__group *group, const slm_report_options *options,
                                   slm_arena *arena, bool *good)
{
    const json_t *proof = options ? options->proof : NULL, *file;
    *good = false;
    if (!proof)
        return "There is no proof that these cases were kept out of training. `slm data check "
               "TRAIN.jsonl --against BENCHMARK.jsonl -o proof.json` makes one, `slm report "
               "--proof proof.json` shows it here.";
    const json_t *clean = json_object_get(proof, "clean");
    const char *whole = json_string_value(json_object_get(proof, "cases_sha256"));
    bool of_these = whole && strcmp(whole, group->cases_sha256) == 0;
    size_t f;
    json_array_foreach(json_object_get(proof, "files"), f, file)
    {
        const char *hash = json_string_value(json_object_get(file, "cases_sha256"));
        if (hash && strcmp(hash, group->cases_sha256) == 0) of_these = true;
    }
    json_array_foreach(json_object_get(proof, "against"), f, file)
    {
        const char *hash = json_string_value(json_object_get(file, "cases_sha256"));
        if (hash && strcmp(hash, group->cases_sha256) == 0) of_these = true;
    }
    *good = json_is_true(clean) && of_these;
    return slm_arena_printf(
        arena, "%s%s",
        json_is_true(clean) ? "Clean: none of the checked cases overlaps with what they were "
                              "compared with."
                            : "Not clean: checked cases overlap with what they were compared with.",
        of_these ? " This very set of cases was checked."
                 : " The proof does not name this set of cases by its hash: see below what it "
                   "compared.");
}
