/* figures.c: a number and how far to trust it.
 *
 * A figure is a mean over cases of each case's mean, or worst at k, over its rollouts. Cases of a
 * family (variants and twins of one scenario) are alike, so the families are what is resampled
 * (resamples.c). Rollouts are never resampled: the question is how the model does on other
 * scenarios. Where all families are alike, every resample is as well, and a bootstrap would claim
 * certainty. So for a share of 0 or 1 the interval is the exact binomial one over families (Clopper
 * and Pearson 1934), which holds for any mean of values in [0,1]; for families alike at another
 * value, and for one family, the spread between families is not known, nor is the interval. */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double FIGURE_LEVEL = 0.95;

static double clipped(bool clip, double value)
{
    if (!clip || isnan(value)) return value;
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

eval__tally eval__tally_new(size_t families)
{
    eval__tally t = {.families = families};
    t.sums = calloc(families + 1, sizeof *t.sums);
    t.counts = calloc(families + 1, sizeof *t.counts);
    if (!t.sums || !t.counts) slm_out_of_memory(families);
    return t;
}

void eval__tally_add(eval__tally *t, size_t family, double value)
{
    SLM_ASSERT(family < t->families);
    if (t->counts[family]++ == 0) t->with_value++;
    t->sums[family] += value;
    t->sum += value;
    t->count++;
}

void eval__tally_free(eval__tally *t)
{
    free(t->sums);
    free(t->counts);
    *t = (eval__tally){0};
}

/* Sums of equal values may differ by rounding. */
bool eval__tally_alike(const eval__tally *t)
{
    double first = NAN;
    for (size_t i = 0; i < t->families; i++) {
        if (t->counts[i] == 0) continue;
        double mean = t->sums[i] / (double)t->counts[i];
        if (isnan(first)) first = mean;
        if (fabs(mean - first) > 1e-12) return false;
    }
    return true;
}

slm_figure slm_figure_of(const slm_results *results, const slm_arm *arm, const slm_measure *measure)
{
    slm_figure figure = {NAN, {NAN, NAN}, NAN, NAN, 0};
    eval__units units = eval__units_of(arm, measure);
    eval__tally t = eval__tally_new(arm->family_count);
    double low = 0, high = 0;
    figure.cases = units.count;
    for (size_t i = 0; i < units.count; i++) {
        const eval__unit *unit = &units.items[i];
        low += unit->low;
        high += unit->high;
        if (!isnan(unit->value)) eval__tally_add(&t, unit->scores->family_index, unit->value);
    }
    if (units.count > 0) {
        figure.low = clipped(units.clip, low / (double)units.count);
        figure.high = clipped(units.clip, high / (double)units.count);
    }
    if (units.count > 0 && t.count == units.count) {
        figure.value = clipped(units.clip, t.sum / (double)t.count);
        bool at_end = figure.value == 0 || figure.value == 1;
        if (at_end && units.is_share)
            figure.interval = slm_statistics_binomial(figure.value == 1 ? t.with_value : 0,
                                                      t.with_value, FIGURE_LEVEL);
        else if (!eval__tally_alike(&t))
            figure.interval = eval__bootstrap(results, t.families, t.sums, t.counts, units.clip);
    }
    eval__tally_free(&t);
    eval__units_free(&units);
    return figure;
}

slm_figure slm_figure_worst_at_k(const slm_results *results, const slm_arm *arm,
                                 slm_behaviour behaviour, slm_stratum stratum, size_t k)
{
    SLM_ASSERT(k >= 1);
    slm_measure measure = {.kind = behaviour == SLM_BEHAVIOUR_NONE ? SLM_MEASURE_SCORE
                                                                   : SLM_MEASURE_BEHAVIOUR,
                           .behaviour = behaviour,
                           .stratum = stratum,
                           .k = k};
    return slm_figure_of(results, arm, &measure);
}

slm_figure slm_figure_twins(const slm_results *results, const slm_arm *arm, size_t k)
{
    SLM_ASSERT(k >= 1);
    slm_measure measure = {.kind = SLM_MEASURE_TWINS, .k = k};
    return slm_figure_of(results, arm, &measure);
}

size_t slm_arm_max_k(const slm_arm *arm)
{
    size_t least = arm->case_count ? arm->cases[0].count : 0;
    for (size_t i = 1; i < arm->case_count; i++) {
        if (arm->cases[i].count < least) least = arm->cases[i].count;
    }
    return least;
}
