/* compare.c: two arms on the same cases, and all pairs of them.
 *
 * Both arms answered the same cases, so what is compared is the difference case by case. If neither
 * were better, the sign of a family's difference would be a coin's: the sign-flip permutation test
 * (Fisher 1935; Good 2005, section 3.2) asks how often coins give a mean as far from zero as the one
 * that was found. Families are flipped as a whole, since their cases are alike. Up to 14 families
 * with a difference all flips are made, and p is exact; beyond that 10,000 are drawn with a fixed
 * seed, and p is (1 + as far) / (1 + drawn) (Phipson and Smyth 2010). Where several pairs are looked
 * at, Holm's step-down correction (1979) keeps the chance of any false finding. */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/random.h"

enum { FLIP_EXACT = 14, FLIP_DRAWN = 10000 };
static const uint64_t FLIP_SEED = 20250508, FLIP_STREAM = 0x666c6970; /* "flip" */

/* p of the sum of d over families; d is changed. */
static double sign_flip(double *d, size_t families, bool *is_exact)
{
    size_t n = 0, far = 0;
    double sum = 0, size = 0;
    for (size_t i = 0; i < families; i++) {
        if (d[i] == 0) continue;
        d[n++] = d[i];
        sum += d[i];
        size += fabs(d[i]);
    }
    /* What differs by rounding alone is as far. */
    double least = fabs(sum) - 1e-12 * size;
    *is_exact = n <= FLIP_EXACT;
    if (*is_exact) {
        size_t all = (size_t)1 << n;
        for (size_t flips = 0; flips < all; flips++) {
            double flipped = 0;
            for (size_t i = 0; i < n; i++)
                flipped += flips >> i & 1 ? -d[i] : d[i];
            far += fabs(flipped) >= least;
        }
        return (double)far / (double)all;
    }
    slm_random random = slm_random_new(FLIP_SEED, FLIP_STREAM);
    for (size_t draw = 0; draw < FLIP_DRAWN; draw++) {
        /* The sum of those whose sign is turned; the others follow from the whole. */
        double turned = 0;
        for (size_t i = 0; i < n; i += 64) {
            uint64_t bits = slm_random_u64(&random);
            for (size_t j = i; j < n && j < i + 64; j++, bits >>= 1)
                turned += d[j] * (double)(bits & 1);
        }
        far += fabs(sum - 2 * turned) >= least;
    }
    return (1 + (double)far) / (1 + FLIP_DRAWN);
}

/* ---- pairs of units ---- */

typedef struct keyed {
    const char *key;
    const eval__unit *unit;
} keyed;

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const keyed *)a)->key, ((const keyed *)b)->key);
}

static const char *key_of(const eval__unit *unit, const slm_measure *measure)
{
    return measure->kind == SLM_MEASURE_TWINS ? unit->scores->family : unit->scores->case_id;
}

static keyed *sorted_units(const eval__units *units, const slm_measure *measure)
{
    keyed *list = calloc(units->count + 1, sizeof *list);
    if (!list) slm_out_of_memory(units->count);
    for (size_t i = 0; i < units->count; i++)
        list[i] = (keyed){key_of(&units->items[i], measure), &units->items[i]};
    qsort(list, units->count, sizeof *list, compare_keys);
    return list;
}

slm_comparison slm_compare(const slm_results *results, const slm_arm *first, const slm_arm *second,
                           const slm_measure *measure)
{
    slm_comparison out = {.first = first,
                          .second = second,
                          .measure = *measure,
                          .difference = NAN,
                          .interval = {NAN, NAN},
                          .low = NAN,
                          .high = NAN,
                          .p = NAN,
                          .p_holm = NAN};
    eval__units mine = eval__units_of(first, measure), others = eval__units_of(second, measure);
    keyed *list = sorted_units(&others, measure);
    eval__tally t = eval__tally_new(first->family_count);
    double low = 0, high = 0;
    size_t pairs = 0;
    for (size_t i = 0; i < mine.count; i++) {
        const eval__unit *a = &mine.items[i];
        keyed wanted = {key_of(a, measure), NULL};
        const keyed *found = bsearch(&wanted, list, others.count, sizeof *list, compare_keys);
        if (!found) continue;
        const eval__unit *b = found->unit;
        pairs++;
        low += a->low - b->high;
        high += a->high - b->low;
        if (isnan(a->value) || isnan(b->value))
            out.left_out++;
        else
            eval__tally_add(&t, a->scores->family_index, a->value - b->value);
    }
    out.cases = t.count;
    out.families = t.with_value;
    if (pairs > 0) {
        out.low = low / (double)pairs;
        out.high = high / (double)pairs;
    }
    if (t.count > 0) {
        out.difference = t.sum / (double)t.count;
        if (!eval__tally_alike(&t))
            out.interval = eval__bootstrap(results, t.families, t.sums, t.counts, false);
        out.p = sign_flip(t.sums, t.families, &out.is_exact);
    }
    eval__tally_free(&t);
    free(list);
    eval__units_free(&mine);
    eval__units_free(&others);
    return out;
}

/* ---- all pairs ---- */

static bool is_compared(const slm_arm *arm)
{
    return strcmp(arm->run.kind, "baseline") != 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool in_one_set(const slm_arm *a, const slm_arm *b)
{
    return same_text(a->judge_hash, b->judge_hash) &&
           same_text(a->run.cases_sha256, b->run.cases_sha256);
}

static int compare_p(const void *a, const void *b)
{
    double x = (*(slm_comparison *const *)a)->p, y = (*(slm_comparison *const *)b)->p;
    return (x > y) - (x < y);
}

/* Holm over the comparisons of one set of arms. */
static void correct(slm_comparison *list, size_t count)
{
    slm_comparison **order = calloc(count + 1, sizeof *order);
    if (!order) slm_out_of_memory(count);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isnan(list[i].p)) order[n++] = &list[i];
    }
    if (n) qsort(order, n, sizeof *order, compare_p);
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double corrected = order[i]->p * (double)(n - i);
        if (corrected > most) most = corrected;
        order[i]->p_holm = most > 1 ? 1 : most;
    }
    free(order);
}

void slm_compare_all(const slm_results *results, const slm_measure *measure, slm_arena *arena,
                     slm_comparison **out, size_t *count)
{
    size_t n = results->arm_count, all = 0;
    bool *taken = calloc(n + 1, sizeof *taken);
    if (!taken) slm_out_of_memory(n);
    *out = slm_arena_array(arena, n * n / 2 + 1, sizeof **out);
    for (size_t first = 0; first < n; first++) {
        size_t begin = all;
        const slm_arm *set = &results->arms[first];
        if (taken[first] || !is_compared(set)) continue;
        for (size_t i = first; i < n; i++) {
            const slm_arm *a = &results->arms[i];
            if (!is_compared(a) || !in_one_set(a, set)) continue;
            taken[i] = true;
            for (size_t j = i + 1; j < n; j++) {
                const slm_arm *b = &results->arms[j];
                if (!is_compared(b) || !in_one_set(b, set)) continue;
                (*out)[all++] = slm_compare(results, a, b, measure);
            }
        }
        correct(*out + begin, all - begin);
    }
    free(taken);
    *count = all;
}
