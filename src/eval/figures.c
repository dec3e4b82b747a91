/* figures.c: a number and how far to trust it.
 *
 * A figure is a mean over cases of worst-at-k over each case's rollouts. Cases of a family (variants
 * and twins of one scenario) are alike, so the families are what is resampled: a percentile
 * bootstrap over clusters (Davison and Hinkley 1997, section 3.8), with a fixed seed. Rollouts are
 * never resampled: the question is how the model does on other scenarios. Where all families are
 * alike, every resample is as well, and a bootstrap would claim certainty. So for a figure of 0 or 1
 * the interval is the exact binomial one over families (Clopper and Pearson 1934), which holds for
 * any mean of values in [0,1]; for families alike at another value, and for one family, the spread
 * between families is not known, nor is the interval. */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURE_RESAMPLES = 1000 };
static const uint64_t FIGURE_SEED = 20250508;
static const double FIGURE_LEVEL = 0.95;

/* Sums over cases, family by family. */
typedef struct tally {
    double *sums;
    size_t *counts;
    size_t families;
    bool clip;
    double sum, low_sum, high_sum;
    size_t cases;
    bool is_missing; /* a case has fewer scores than k */
    bool has_bounds; /* every case has at least k rollouts */
} tally;

static double clipped(const tally *t, double value)
{
    if (!t->clip || isnan(value)) return value;
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

static double resampled_mean(void *context, const size_t *picks, size_t n)
{
    const tally *t = context;
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        sum += t->sums[picks[i]];
        count += t->counts[picks[i]];
    }
    return clipped(t, sum / (double)count);
}

static tally tally_new(size_t families, bool clip)
{
    tally t = {.families = families, .clip = clip, .has_bounds = true};
    t.sums = calloc(families + 1, sizeof *t.sums);
    t.counts = calloc(families + 1, sizeof *t.counts);
    if (!t.sums || !t.counts) slm_out_of_memory(families);
    return t;
}

/* The values of one case (or pair of twins): values[n], and bounds of all rollouts[m]. */
static void tally_add(tally *t, size_t family, double *values, size_t n, double *lows,
                      double *highs, size_t m, size_t k)
{
    t->cases++;
    if (m < k) {
        t->has_bounds = false;
    } else {
        t->low_sum += slm_worst_at_k(lows, m, k);
        t->high_sum += slm_worst_at_k(highs, m, k);
    }
    if (n < k) {
        t->is_missing = true;
        return;
    }
    double value = slm_worst_at_k(values, n, k);
    t->sum += value;
    t->sums[family] += value;
    t->counts[family]++;
}

/* Leaves the families without a value out; returns how many have one. */
static size_t close_ranks(tally *t)
{
    size_t families = 0;
    for (size_t i = 0; i < t->families; i++) {
        if (t->counts[i] == 0) continue;
        t->sums[families] = t->sums[i];
        t->counts[families++] = t->counts[i];
    }
    return families;
}

/* Has each of the families the same mean? Sums of equal values may differ by rounding. */
static bool are_alike(const tally *t, size_t families)
{
    double first = t->sums[0] / (double)t->counts[0];
    for (size_t i = 1; i < families; i++) {
        if (fabs(t->sums[i] / (double)t->counts[i] - first) > 1e-12) return false;
    }
    return true;
}

static slm_figure tally_figure(tally *t)
{
    slm_figure figure = {NAN, {NAN, NAN}, NAN, NAN, t->cases};
    if (t->cases > 0 && t->has_bounds) {
        figure.low = clipped(t, t->low_sum / (double)t->cases);
        figure.high = clipped(t, t->high_sum / (double)t->cases);
    }
    if (t->cases > 0 && !t->is_missing) {
        size_t families = close_ranks(t);
        figure.value = clipped(t, t->sum / (double)t->cases);
        if (figure.value == 0 || figure.value == 1)
            figure.interval =
                slm_statistics_binomial(figure.value == 1 ? families : 0, families, FIGURE_LEVEL);
        else if (!are_alike(t, families))
            figure.interval = slm_statistics_bootstrap(families, FIGURE_RESAMPLES, FIGURE_SEED,
                                                       FIGURE_LEVEL, resampled_mean, t);
    }
    free(t->sums);
    free(t->counts);
    return figure;
}

bool eval__in_stratum(const slm_case *c, slm_stratum stratum)
{
    if (stratum == SLM_STRATUM_ALL) return true;
    if (!c) return false;
    bool emergency = c->disposition == SLM_DISPOSITION_EMERGENCY;
    bool lacks = !emergency && c->context == SLM_CONTEXT_LACKS;
    bool enough = !emergency && c->context == SLM_CONTEXT_ENOUGH;
    switch (stratum) {
    case SLM_STRATUM_LACKS:
        return lacks;
    case SLM_STRATUM_ENOUGH:
        return enough;
    case SLM_STRATUM_EMERGENCY:
        return emergency;
    default:
        return lacks || enough;
    }
}

slm_behaviour eval__twin_behaviour(const slm_case *c)
{
    return eval__in_stratum(c, SLM_STRATUM_LACKS) ? SLM_BEHAVIOUR_SEEK : SLM_BEHAVIOUR_PRECISE;
}

/* Room for the values of the case with the most rollouts: three rows of it. */
typedef struct rows {
    double *values, *lows, *highs;
} rows;

static rows rows_new(const slm_arm *arm)
{
    size_t most = 1;
    for (size_t i = 0; i < arm->case_count; i++) {
        if (arm->cases[i].rollout_count > most) most = arm->cases[i].rollout_count;
    }
    rows r = {.values = calloc(3 * most, sizeof(double))};
    if (!r.values) slm_out_of_memory(most);
    r.lows = r.values + most;
    r.highs = r.lows + most;
    return r;
}

static void put_verdict(rows *r, int verdict, size_t *n, size_t *m)
{
    if (verdict >= 0) r->values[(*n)++] = verdict;
    r->lows[*m] = verdict < 0 ? 0 : verdict;
    r->highs[(*m)++] = verdict < 0 ? 1 : verdict;
}

/* Fills the rows of a case; false if the behaviour is not covered in it. */
static bool case_rows(const slm_case_scores *scores, slm_behaviour behaviour, rows *r, size_t *n,
                      size_t *m)
{
    *n = *m = 0;
    for (size_t i = 0; i < scores->rollout_count; i++) {
        const slm_rollout_scores *rollout = &scores->rollouts[i];
        if (behaviour == SLM_BEHAVIOUR_NONE) {
            if (rollout->has_score) r->values[(*n)++] = rollout->score;
            r->lows[*m] = rollout->low;
            r->highs[(*m)++] = rollout->high;
        } else if (rollout->behaviours[behaviour] != -2) {
            put_verdict(r, rollout->behaviours[behaviour], n, m);
        }
    }
    return *m > 0;
}

slm_figure slm_figure_worst_at_k(const slm_results *results, const slm_arm *arm,
                                 slm_behaviour behaviour, slm_stratum stratum, size_t k)
{
    (void)results;
    SLM_ASSERT(k >= 1);
    tally t = tally_new(arm->family_count, behaviour == SLM_BEHAVIOUR_NONE);
    rows r = rows_new(arm);
    for (size_t i = 0; i < arm->case_count; i++) {
        const slm_case_scores *scores = &arm->cases[i];
        size_t n, m;
        if (!eval__in_stratum(scores->c, stratum)) continue;
        if (!case_rows(scores, behaviour, &r, &n, &m)) continue;
        tally_add(&t, scores->family_index, r.values, n, r.lows, r.highs, m, k);
    }
    free(r.values);
    return tally_figure(&t);
}

/* A case that lacks context or has enough of it, and what is right there. */
typedef struct twin {
    size_t family;
    size_t case_index;
    slm_behaviour behaviour;
} twin;

static int compare_twins(const void *a, const void *b)
{
    const twin *x = a, *y = b;
    if (x->family != y->family) return x->family < y->family ? -1 : 1;
    return (x->case_index > y->case_index) - (x->case_index < y->case_index);
}

/* The verdict of rollout `index` of a case; -2 if it is not there. */
static int rollout_verdict(const slm_case_scores *scores, int64_t index, slm_behaviour behaviour)
{
    size_t low = 0, high = scores->rollout_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (scores->rollouts[middle].rollout < index)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == scores->rollout_count || scores->rollouts[low].rollout != index) return -2;
    return scores->rollouts[low].behaviours[behaviour];
}

static void add_family(tally *t, const slm_arm *arm, const twin *members, size_t count, rows *r,
                       size_t k)
{
    size_t kinds = 0, n = 0, m = 0;
    for (size_t i = 0; i < count; i++)
        kinds |= members[i].behaviour == SLM_BEHAVIOUR_SEEK ? 1u : 2u;
    if (kinds != 3) return;
    const slm_case_scores *first = &arm->cases[members[0].case_index];
    for (size_t i = 0; i < first->rollout_count; i++) {
        int verdict = 1;
        for (size_t j = 0; j < count && verdict != -2; j++) {
            int one = rollout_verdict(&arm->cases[members[j].case_index],
                                      first->rollouts[i].rollout, members[j].behaviour);
            /* Wrong beats unscored: whatever the other is, they are not both right. */
            if (one == -2)
                verdict = -2;
            else if (one == 0 || verdict == 0)
                verdict = 0;
            else if (one == -1)
                verdict = -1;
        }
        if (verdict != -2) put_verdict(r, verdict, &n, &m);
    }
    if (m > 0) tally_add(t, members[0].family, r->values, n, r->lows, r->highs, m, k);
}

slm_figure slm_figure_twins(const slm_results *results, const slm_arm *arm, size_t k)
{
    (void)results;
    SLM_ASSERT(k >= 1);
    tally t = tally_new(arm->family_count, false);
    rows r = rows_new(arm);
    twin *all = calloc(arm->case_count + 1, sizeof *all);
    if (!all) slm_out_of_memory(arm->case_count);
    size_t count = 0;
    for (size_t i = 0; i < arm->case_count; i++) {
        const slm_case_scores *scores = &arm->cases[i];
        if (!eval__in_stratum(scores->c, SLM_STRATUM_BOTH)) continue;
        all[count++] = (twin){.family = scores->family_index,
                              .case_index = i,
                              .behaviour = eval__twin_behaviour(scores->c)};
    }
    qsort(all, count, sizeof *all, compare_twins);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && all[end].family == all[begin].family; end++)
            ;
        add_family(&t, arm, all + begin, end - begin, &r, k);
    }
    free(all);
    free(r.values);
    return tally_figure(&t);
}

size_t slm_arm_max_k(const slm_arm *arm)
{
    size_t least = arm->case_count ? arm->cases[0].count : 0;
    for (size_t i = 1; i < arm->case_count; i++) {
        if (arm->cases[i].count < least) least = arm->cases[i].count;
    }
    return least;
}
