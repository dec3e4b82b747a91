/* resamples.c: the bootstrap's draws, made once and shared by every figure of a report.
 *
 * A percentile bootstrap over families (Davison and Hinkley 1997, section 3.8) draws as many families
 * as there are, with replacement, a thousand times. Which ones does not depend on what is measured,
 * so the draws are kept as counts: how often each family is in each resample. A figure that only
 * some of the families have (a theme, a stratum) takes their counts: its number of families then
 * varies from resample to resample, as it would if scenarios were collected anew. A figure then
 * costs one pass over its families, and two arms on the same families see the same draws. */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>
#include "base/random.h"

enum { RESAMPLES = 1000 };
static const uint64_t RESAMPLES_SEED = 20250508;
/* A stream of its own: the same seed elsewhere gives other numbers. */
static const uint64_t RESAMPLES_STREAM = 0x626f6f7473747261;
static const double RESAMPLES_LEVEL = 0.95;

struct eval__resamples {
    eval__resamples *next;
    size_t families;
    uint16_t *counts; /* [families][RESAMPLES] */
};

/* No count overflows: to be drawn 65,536 times a family would have to be one of very few, and then
 * there are few draws. */
static void draw(eval__resamples *r)
{
    slm_random random = slm_random_new(RESAMPLES_SEED, RESAMPLES_STREAM);
    for (size_t i = 0; i < RESAMPLES; i++) {
        for (size_t j = 0; j < r->families; j++)
            r->counts[(size_t)slm_random_below(&random, r->families) * RESAMPLES + i]++;
    }
}

static const eval__resamples *resamples_of(const slm_results *results, size_t families)
{
    for (const eval__resamples *r = *results->resamples; r; r = r->next) {
        if (r->families == families) return r;
    }
    eval__resamples *r = slm_arena_alloc(results->arena, sizeof *r);
    r->families = families;
    r->counts = slm_arena_array(results->arena, families * RESAMPLES, sizeof *r->counts);
    draw(r);
    r->next = *results->resamples;
    *results->resamples = r;
    return r;
}

static double clipped(double value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

slm_interval eval__bootstrap(const slm_results *results, size_t families, const double *sums,
                             const size_t *counts, bool clip)
{
    const eval__resamples *r = resamples_of(results, families);
    double total[RESAMPLES] = {0}, cases[RESAMPLES] = {0};
    for (size_t f = 0; f < families; f++) {
        if (counts[f] == 0) continue;
        const uint16_t *drawn = r->counts + f * RESAMPLES;
        double sum = sums[f], count = (double)counts[f];
        for (size_t i = 0; i < RESAMPLES; i++) {
            total[i] += drawn[i] * sum;
            cases[i] += drawn[i] * count;
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < RESAMPLES; i++) {
        /* None of its families drawn: such a resample has no figure. */
        if (cases[i] == 0) continue;
        total[n] = total[i] / cases[i];
        if (clip) total[n] = clipped(total[n]);
        n++;
    }
    double tail = (1 - RESAMPLES_LEVEL) / 2;
    slm_interval interval = {slm_statistics_quantile(total, n, tail), NAN};
    interval.high = slm_statistics_quantile(total, n, 1 - tail);
    return interval;
}
