/* agreement.c: how far verdicts agree with labels.
 *
 * Every label counts once: a criterion that three physicians labelled weighs three times, as in
 * HealthBench's meta-evaluation (simple-evals, healthbench_meta_eval.py), whose headline, the mean
 * of the F1 of both classes over all pairs of verdict and label, is macro-F1 here. With a = both
 * met, b = label alone, c = judge alone, d = neither, n = a + b + c + d:
 *
 *   accuracy           (a + d) / n
 *   balanced accuracy  (a / (a + b) + d / (c + d)) / 2
 *   macro-F1           (2a / (2a + b + c) + 2d / (2d + b + c)) / 2
 *   sensitivity        a / (a + b)          specificity        d / (c + d)
 *   kappa              (p - q) / (1 - q), p the accuracy and q what chance would give:
 *                      ((a + b)(a + c) + (c + d)(b + d)) / n^2          (Cohen 1960)
 *
 * What divides by nothing is not defined. Intervals: bootstrap over prompts, since the criteria and
 * answers of one prompt are alike. Where every draw gives the same value the bootstrap knows nothing;
 * then accuracy at 0 or 1 has the exact binomial interval over prompts, and the rest none. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "judge/judge_internal.h"

enum { RESAMPLES = 1000, BOOTSTRAP_SEED = 0 };
static const double LEVEL = 0.95;

typedef struct cells {
    double n[2][2]; /* [label met][judge met] */
} cells;

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static double accuracy_of(const cells *t)
{
    return ratio(t->n[1][1] + t->n[0][0], t->n[0][0] + t->n[0][1] + t->n[1][0] + t->n[1][1]);
}

static double balanced_of(const cells *t)
{
    return (ratio(t->n[1][1], t->n[1][0] + t->n[1][1]) +
            ratio(t->n[0][0], t->n[0][0] + t->n[0][1])) /
           2;
}

static double macro_f1_of(const cells *t)
{
    double wrong = t->n[0][1] + t->n[1][0];
    return (ratio(2 * t->n[1][1], 2 * t->n[1][1] + wrong) +
            ratio(2 * t->n[0][0], 2 * t->n[0][0] + wrong)) /
           2;
}

static double kappa_of(const cells *t)
{
    double a = t->n[1][1], b = t->n[1][0], c = t->n[0][1], d = t->n[0][0], n = a + b + c + d;
    double chance = ratio((a + b) * (a + c) + (c + d) * (b + d), n * n);
    return ratio((a + d) / n - chance, 1 - chance);
}

static double sensitivity_of(const cells *t)
{
    return ratio(t->n[1][1], t->n[1][0] + t->n[1][1]);
}

static double specificity_of(const cells *t)
{
    return ratio(t->n[0][0], t->n[0][0] + t->n[0][1]);
}

typedef double measure_fn(const cells *);

typedef struct resampling {
    const cells *prompts;
    measure_fn *measure;
} resampling;

static double resampled(void *context, const size_t *picks, size_t n)
{
    const resampling *r = context;
    cells sum = {0};
    for (size_t i = 0; i < n; i++) {
        const cells *one = &r->prompts[picks[i]];
        for (int k = 0; k < 4; k++)
            sum.n[k / 2][k % 2] += one->n[k / 2][k % 2];
    }
    return r->measure(&sum);
}

static slm_agreement_figure figure_of(const cells *prompts, size_t count, const cells *total,
                                      measure_fn *measure)
{
    slm_agreement_figure out = {measure(total), {NAN, NAN}};
    if (isnan(out.value) || count < 2) return out;
    resampling r = {prompts, measure};
    out.interval = slm_statistics_bootstrap(count, RESAMPLES, BOOTSTRAP_SEED, LEVEL, resampled, &r);
    if (out.interval.low < out.interval.high) return out;
    out.interval = (slm_interval){NAN, NAN};
    if (measure == accuracy_of && (out.value <= 0 || out.value >= 1))
        out.interval = slm_statistics_binomial(out.value >= 1 ? count : 0, count, LEVEL);
    return out;
}

/* Fills the figures from the cells of each prompt; frees them. */
static void finish(slm_agreement *out, cells *prompts, size_t prompt_count)
{
    cells total = {0};
    size_t count = 0;
    for (size_t i = 0; i < prompt_count; i++) {
        double any = 0;
        for (int k = 0; k < 4; k++) {
            total.n[k / 2][k % 2] += prompts[i].n[k / 2][k % 2];
            any += prompts[i].n[k / 2][k % 2];
        }
        if (any > 0) prompts[count++] = prompts[i];
    }
    for (int k = 0; k < 4; k++)
        out->cells[k / 2][k % 2] = (uint64_t)total.n[k / 2][k % 2];
    out->accuracy = figure_of(prompts, count, &total, accuracy_of);
    out->balanced_accuracy = figure_of(prompts, count, &total, balanced_of);
    out->macro_f1 = figure_of(prompts, count, &total, macro_f1_of);
    out->kappa = figure_of(prompts, count, &total, kappa_of);
    out->sensitivity = figure_of(prompts, count, &total, sensitivity_of);
    out->specificity = figure_of(prompts, count, &total, specificity_of);
    free(prompts);
}

static bool has_tag(const char *const *tags, size_t count, const char *tag)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tags[i], tag) == 0) return true;
    return false;
}

static bool carries(const slm_labelled *item, size_t criterion, const char *tag)
{
    const slm_rubric_item *r = &item->c.rubrics[criterion];
    return tag == NULL || has_tag((const char *const *)r->tags, r->tag_count, tag) ||
           has_tag((const char *const *)item->c.tags, item->c.tag_count, tag);
}

static cells *new_cells(const slm_labels *labels)
{
    cells *prompts = calloc(labels->prompt_count + 1, sizeof *prompts);
    if (prompts == NULL) slm_out_of_memory(labels->prompt_count * sizeof *prompts);
    return prompts;
}

slm_agreement slm_agreement_of(const slm_labels *labels, const slm_verdict *verdicts,
                               const char *tag)
{
    slm_agreement out = {0};
    cells *prompts = new_cells(labels);
    for (size_t i = 0; i < labels->count; i++) {
        const slm_labelled *item = &labels->items[i];
        for (size_t r = 0; r < item->c.rubric_count; r++) {
            if (!carries(item, r, tag)) continue;
            slm_verdict verdict = verdicts[item->first + r];
            out.criteria++;
            out.unscored += verdict == SLM_VERDICT_UNSCORED;
            out.not_covered += verdict == SLM_VERDICT_NOT_COVERED;
            if (verdict != SLM_VERDICT_MET && verdict != SLM_VERDICT_NOT_MET) continue;
            cells *t = &prompts[item->prompt];
            t->n[1][verdict == SLM_VERDICT_MET] += item->labels[r].met;
            t->n[0][verdict == SLM_VERDICT_MET] += item->labels[r].not_met;
        }
    }
    finish(&out, prompts, labels->prompt_count);
    return out;
}

slm_agreement slm_agreement_between(const slm_labels *labels, const slm_verdict *first,
                                    const slm_verdict *second)
{
    slm_agreement out = {0};
    cells *prompts = new_cells(labels);
    for (size_t i = 0; i < labels->count; i++) {
        const slm_labelled *item = &labels->items[i];
        for (size_t at = item->first; at < item->first + item->c.rubric_count; at++) {
            const slm_verdict pair[] = {first[at], second[at]};
            out.criteria++;
            out.unscored += pair[0] == SLM_VERDICT_UNSCORED || pair[1] == SLM_VERDICT_UNSCORED;
            out.not_covered +=
                pair[0] == SLM_VERDICT_NOT_COVERED || pair[1] == SLM_VERDICT_NOT_COVERED;
            if (pair[0] >= SLM_VERDICT_NOT_MET && pair[1] >= SLM_VERDICT_NOT_MET)
                prompts[item->prompt].n[pair[0] == SLM_VERDICT_MET][pair[1] == SLM_VERDICT_MET]++;
        }
    }
    finish(&out, prompts, labels->prompt_count);
    return out;
}

slm_agreement slm_agreement_of_labellers(const slm_labels *labels, const char *tag)
{
    slm_agreement out = {0};
    cells *prompts = new_cells(labels);
    for (size_t i = 0; i < labels->count; i++) {
        const slm_labelled *item = &labels->items[i];
        for (size_t r = 0; r < item->c.rubric_count; r++) {
            if (!carries(item, r, tag)) continue;
            const slm_label *label = &item->labels[r];
            bool has_readers = label->readers_met + label->readers_not_met > 0;
            double met = has_readers ? label->readers_met : label->met;
            double not_met = has_readers ? label->readers_not_met : label->not_met;
            if (met + not_met < 2) continue;
            cells *t = &prompts[item->prompt];
            out.criteria++;
            t->n[1][1] += met * (met - 1);
            t->n[0][0] += not_met * (not_met - 1);
            t->n[1][0] += met * not_met;
            t->n[0][1] += met * not_met;
        }
    }
    finish(&out, prompts, labels->prompt_count);
    return out;
}

/* ---- tags ---------------------------------------------------------------------------------- */

typedef struct tag_list {
    const char **items;
    size_t count, cap;
} tag_list;

static void add_tag(tag_list *list, const char *tag)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(list->items[middle], tag);
        if (order == 0) return;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->items = realloc(list->items, list->cap * sizeof(const char *));
        if (list->items == NULL) slm_out_of_memory(list->cap);
    }
    memmove(list->items + low + 1, list->items + low, (list->count - low) * sizeof(const char *));
    list->items[low] = tag;
    list->count++;
}

const char **slm_labels_tags(const slm_labels *labels, slm_arena *arena, size_t *count)
{
    tag_list list = {0};
    for (size_t i = 0; i < labels->count; i++) {
        const slm_case *c = &labels->items[i].c;
        for (size_t t = 0; t < c->tag_count; t++)
            add_tag(&list, c->tags[t]);
        for (size_t r = 0; r < c->rubric_count; r++)
            for (size_t t = 0; t < c->rubrics[r].tag_count; t++)
                add_tag(&list, c->rubrics[r].tags[t]);
    }
    const char **out = slm_arena_array(arena, list.count + 1, sizeof(const char *));
    for (size_t i = 0; i < list.count; i++)
        out[i] = slm_arena_strdup(arena, list.items[i]);
    *count = list.count;
    free(list.items);
    return out;
}

/* ---- as JSON ------------------------------------------------------------------------------- */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *figure_json(const slm_agreement_figure *figure)
{
    return json_pack("{s:o, s:o, s:o}", "value", number(figure->value), "low",
                     number(figure->interval.low), "high", number(figure->interval.high));
}

json_t *slm_agreement_json(const slm_agreement *a)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "criteria", (json_int_t)a->criteria, "unscored", (json_int_t)a->unscored,
                     "not_covered", (json_int_t)a->not_covered, "confusion", "label_met_judge_met",
                     (json_int_t)a->cells[1][1], "label_met_judge_not_met",
                     (json_int_t)a->cells[1][0], "label_not_met_judge_met",
                     (json_int_t)a->cells[0][1], "label_not_met_judge_not_met",
                     (json_int_t)a->cells[0][0], "accuracy", figure_json(&a->accuracy),
                     "balanced_accuracy", figure_json(&a->balanced_accuracy), "macro_f1",
                     figure_json(&a->macro_f1), "kappa", figure_json(&a->kappa), "sensitivity",
                     figure_json(&a->sensitivity), "specificity", figure_json(&a->specificity));
}

slm_agreement slm_agreement_of_behaviour(const slm_labels *labels, const slm_verdict *verdicts,
                                         slm_behaviour behaviour)
{
    char tag[64];
    snprintf(tag, sizeof tag, "behaviour:%s", slm_behaviour_name(behaviour));
    return slm_agreement_of(labels, verdicts, tag);
}

json_t *slm_agreement_kinds_json(const slm_labels *labels, const slm_verdict *verdicts)
{
    slm_agreement all = slm_agreement_of(labels, verdicts, NULL);
    json_t *out = slm_agreement_json(&all), *kinds = json_object();
    for (slm_behaviour b = SLM_BEHAVIOUR_SEEK; b <= SLM_BEHAVIOUR_ACT; b++) {
        slm_agreement one = slm_agreement_of_behaviour(labels, verdicts, b);
        if (one.criteria > 0)
            json_object_set_new(kinds, slm_behaviour_name(b), slm_agreement_json(&one));
    }
    json_object_set_new(out, "kinds", kinds);
    return out;
}
