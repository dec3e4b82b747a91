/* healthbench.c: HealthBench's own figures: the aggregate, its tags, the length-adjusted score, and
 * whether a score may stand beside the published ones.
 *
 * Sources. Aggregate and tags: simple-evals, healthbench_eval.py (calculate_score, grade_sample,
 * _aggregate_get_clipped_mean): each answer has an overall score, which is also the score of each
 * of its example tags; a criterion tag's score is that of the criteria that carry it, left out
 * where they give no points; a figure is the mean over answers, clipped to [0, 1] at the end. Ours
 * is a mean over cases of their answers' mean, which is the same where each case has as many
 * answers. The reference's bootstrap_std resamples answers a thousand times; what that approaches is
 * the standard deviation over sqrt(n), and this is what we give (the clip apart: it matters only for
 * means at its ends). Length adjustment: docs/scoring.md. */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

static const double LENGTH_CENTRE = 2000, LENGTH_STEP = 500, LENGTH_PENALTY = 0.0147;

double eval__length_adjusted(double score, uint32_t characters)
{
    return score - LENGTH_PENALTY * ((characters - LENGTH_CENTRE) / LENGTH_STEP);
}

/* ---- tags ---- */

double eval__bootstrap_std(const double *values, size_t n)
{
    if (n == 0) return NAN;
    if (n == 1) return 0;
    return slm_statistics_sd(values, n) * sqrt((double)(n - 1)) / (double)n;
}

static slm_tag_score score_of(const slm_results *results, const slm_arm *arm,
                              const slm_measure *measure, const char *name)
{
    slm_tag_score out = {.tag = name, .figure = slm_figure_of(results, arm, measure)};
    double *values = NULL;
    out.samples = eval__values_of(arm, measure, &values);
    out.bootstrap_std = eval__bootstrap_std(values, out.samples);
    free(values);
    return out;
}

slm_tag_score slm_arm_aggregate(const slm_results *results, const slm_arm *arm)
{
    slm_measure measure = {.kind = SLM_MEASURE_SCORE};
    return score_of(results, arm, &measure, "score");
}

typedef struct tag_list {
    const char **items;
    size_t count, cap;
} tag_list;

static void add_tags(tag_list *list, const char *const *tags, size_t count, const char *prefix)
{
    for (size_t i = 0; i < count; i++) {
        if (prefix && strncmp(tags[i], prefix, strlen(prefix)) != 0) continue;
        if (list->count == list->cap) {
            list->cap = list->cap ? 2 * list->cap : 1024;
            list->items = realloc(list->items, list->cap * sizeof *list->items);
            if (!list->items) slm_out_of_memory(list->cap);
        }
        list->items[list->count++] = tags[i];
    }
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_and_merge(tag_list *list)
{
    size_t kept = 0;
    if (list->count) qsort(list->items, list->count, sizeof *list->items, compare_texts);
    for (size_t i = 0; i < list->count; i++) {
        if (kept && strcmp(list->items[kept - 1], list->items[i]) == 0) continue;
        list->items[kept++] = list->items[i];
    }
    list->count = kept;
}

void slm_arm_tag_scores(const slm_results *results, const slm_arm *arm, const char *prefix,
                        slm_arena *arena, slm_tag_score **out, size_t *count)
{
    tag_list examples = {0}, criteria = {0};
    for (size_t i = 0; i < arm->case_count; i++) {
        const slm_case *c = arm->cases[i].c;
        if (!c) continue;
        add_tags(&examples, c->tags, c->tag_count, prefix);
        for (size_t r = 0; r < c->rubric_count; r++)
            add_tags(&criteria, c->rubrics[r].tags, c->rubrics[r].tag_count, prefix);
    }
    sort_and_merge(&criteria);
    sort_and_merge(&examples);
    size_t n = 0;
    *out = slm_arena_array(arena, examples.count + criteria.count, sizeof **out);
    for (size_t e = 0, c = 0; e < examples.count || c < criteria.count;) {
        int order = e == examples.count   ? 1
                    : c == criteria.count ? -1
                                          : strcmp(examples.items[e], criteria.items[c]);
        const char *tag = order < 0 ? examples.items[e] : criteria.items[c];
        slm_measure measure = {.kind = SLM_MEASURE_TAG, .tag = tag};
        slm_tag_score score = score_of(results, arm, &measure, tag);
        score.is_criterion_tag = order >= 0;
        e += order <= 0;
        c += order >= 0;
        /* Where no criterion of a tag gives points, it has no score in the reference either. */
        if (score.figure.cases > 0) (*out)[n++] = score;
    }
    *count = n;
    free(examples.items);
    free(criteria.items);
}

/* ---- comparable with published figures? ---- */

/* "openai:gpt-4.1-2025-04-14" and "gpt-4.1" are gpt-4.1; "gpt-4.1-mini" is not. */
static bool is_reference_model(const char *name)
{
    static const char *const models[] = {"gpt-4.1", "gpt-4.1-2025-04-14"};
    const char *plain = name ? strchr(name, ':') : NULL;
    plain = plain ? plain + 1 : name;
    size_t len = plain ? strcspn(plain, "@") : 0;
    for (size_t i = 0; i < 2; i++) {
        if (len == strlen(models[i]) && strncmp(plain, models[i], len) == 0) return true;
    }
    return false;
}

static const char *member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool slm_arm_is_comparable(const slm_arm *arm, slm_arena *arena, const char **why)
{
    json_t *coverage = arm->coverage_json ? json_loads(arm->coverage_json, 0, NULL) : NULL;
    const json_t *judge = json_object_get(coverage, "judge");
    const json_t *all = json_object_get(coverage, "criteria");
    const json_t *covered = json_object_get(coverage, "criteria_covered");
    const char *model = member(judge, "model"), *template = member(judge, "template_sha256");
    const char *name = arm->judge_name ? arm->judge_name : "unknown";
    bool comparable = false;
    if (strcmp(name, eval__imported_judge) == 0) {
        *why = slm_arena_strdup(arena, "Who graded imported scores is not told; comparable with "
                                       "published HealthBench figures are those by gpt-4.1 with "
                                       "the reference's template alone.");
    } else if (!is_reference_model(model)) {
        *why = slm_arena_printf(arena,
                                "Not comparable with published HealthBench figures: those were "
                                "graded by gpt-4.1, these by %s.",
                                name);
    } else if (!template || strcmp(template, slm_judge_reference_template) != 0) {
        *why = slm_arena_printf(arena,
                                "Not comparable with published HealthBench figures: the judge's "
                                "template is not the reference's (its SHA-256 begins with %.12s; "
                                "bring it with --judge-template).",
                                slm_judge_reference_template);
    } else if (!json_is_integer(all) || !json_is_integer(covered) ||
               json_integer_value(all) != json_integer_value(covered)) {
        *why = slm_arena_strdup(arena, "Not comparable with published HealthBench figures: the "
                                       "judge did not grade all criteria.");
    } else {
        comparable = true;
        *why = slm_arena_printf(arena,
                                "Graded as published HealthBench figures are: the reference's "
                                "template, %s, all criteria. Those are over 5,000 cases (hard: "
                                "1,000, consensus: 3,671); these over %zu.",
                                model, arm->case_count);
    }
    json_decref(coverage);
    return comparable;
}
