/* measures.c: from rollouts to units: what one case (or one pair of twins) has of a measure.
 *
 * Every figure and every comparison is made of units. A unit's value is the mean of its rollouts'
 * values, or the worst of k of them; its bounds are the same with each unscored rollout taken as it
 * would lower or raise it. A unit whose scored rollouts are fewer than k has no value. */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    size_t n, m; /* values; bounds of all rollouts */
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

static void put_value(rows *r, bool has, double value, double low, double high)
{
    if (has) r->values[r->n++] = value;
    r->lows[r->m] = low;
    r->highs[r->m++] = high;
}

static void put_verdict(rows *r, int verdict)
{
    put_value(r, verdict >= 0, verdict, verdict < 0 ? 0 : verdict, verdict < 0 ? 1 : verdict);
}

static double mean_or_worst(double *values, size_t n, size_t k)
{
    return k > 1 ? slm_worst_at_k(values, n, k) : slm_statistics_mean(values, n);
}

static void add_unit(eval__units *units, const slm_case_scores *scores, rows *r, size_t k)
{
    size_t needed = k > 1 ? k : 1;
    eval__unit *unit = &units->items[units->count++];
    *unit = (eval__unit){.scores = scores, .value = NAN, .low = NAN, .high = NAN};
    if (r->n >= needed) unit->value = mean_or_worst(r->values, r->n, k);
    if (r->m >= needed) {
        unit->low = mean_or_worst(r->lows, r->m, k);
        unit->high = mean_or_worst(r->highs, r->m, k);
    }
}

/* ---- tags ---- */

/* Which criteria of a case carry a tag; how many points they could give. */
typedef struct tagged {
    bool is_whole; /* an example tag: the whole score */
    double possible;
    const slm_case *c;
    const char *tag;
} tagged;

static bool has_tag(const slm_rubric_item *item, const char *tag)
{
    for (size_t i = 0; i < item->tag_count; i++) {
        if (strcmp(item->tags[i], tag) == 0) return true;
    }
    return false;
}

/* As the reference does: where a tag stands on criteria that give points, their score is the tag's;
 * else, where it stands on the example, the example's. Points that this judge covers in no answer
 * are not to be had: which these are is the same in every answer of a case. */
static tagged tagged_of(const slm_case *c, const slm_rollout_scores *rollout, const char *tag)
{
    tagged t = {.c = c, .tag = tag};
    for (size_t i = 0; c && rollout->met && i < c->rubric_count; i++) {
        bool counts = rollout->met[i] != -2 && c->rubrics[i].points > 0;
        if (counts && has_tag(&c->rubrics[i], tag)) t.possible += c->rubrics[i].points;
    }
    t.is_whole = c && t.possible == 0 && slm_case_has_tag(c, tag);
    return t;
}

static void put_tagged(rows *r, const tagged *t, const slm_rollout_scores *rollout)
{
    double met = 0, lowest = 0, highest = 0;
    bool unscored = false;
    if (t->is_whole) {
        put_value(r, rollout->has_score, rollout->score, rollout->low, rollout->high);
        return;
    }
    for (size_t i = 0; i < t->c->rubric_count; i++) {
        double points = t->c->rubrics[i].points;
        int verdict = rollout->met[i];
        if (verdict == -2 || verdict == 0 || !has_tag(&t->c->rubrics[i], t->tag)) continue;
        if (verdict == 1)
            met += points;
        else if (points > 0)
            highest += points;
        else
            lowest += points;
        unscored = unscored || verdict == -1;
    }
    put_value(r, !unscored, met / t->possible, (met + lowest) / t->possible,
              (met + highest) / t->possible);
}

/* ---- one case ---- */

/* What is known of the answer itself; questions may not have been counted. */
static void put_style(rows *r, slm_measure_kind kind, const slm_rollout_scores *rollout)
{
    double value = rollout->is_refused;
    if (kind == SLM_MEASURE_WORDS) value = rollout->words;
    if (kind == SLM_MEASURE_CHARACTERS) value = rollout->characters;
    if (kind == SLM_MEASURE_QUESTIONS || kind == SLM_MEASURE_ASKS) {
        if (rollout->questions < 0) return;
        value = kind == SLM_MEASURE_ASKS ? rollout->questions > 0 : rollout->questions;
    }
    put_value(r, true, value, value, value);
}

static void put_rollout(rows *r, const slm_measure *measure, const tagged *t,
                        const slm_rollout_scores *rollout)
{
    double length = eval__length_adjusted(0, rollout->characters);
    switch (measure->kind) {
    case SLM_MEASURE_SCORE:
        put_value(r, rollout->has_score, rollout->score, rollout->low, rollout->high);
        break;
    case SLM_MEASURE_BEHAVIOUR:
        if (rollout->behaviours[measure->behaviour] != -2)
            put_verdict(r, rollout->behaviours[measure->behaviour]);
        break;
    case SLM_MEASURE_TAG:
        if (t->is_whole || t->possible > 0) put_tagged(r, t, rollout);
        break;
    case SLM_MEASURE_LENGTH_ADJUSTED:
        if (rollout->has_text)
            put_value(r, rollout->has_score, rollout->score + length, rollout->low + length,
                      rollout->high + length);
        break;
    default:
        if (rollout->has_text) put_style(r, measure->kind, rollout);
        break;
    }
}

/* The rows of a case; false: it does not count. */
static bool put_case(rows *r, const slm_case_scores *scores, const slm_measure *measure)
{
    tagged t = {0};
    r->n = r->m = 0;
    if (!eval__in_stratum(scores->c, measure->stratum)) return false;
    if (measure->kind == SLM_MEASURE_TAG && scores->rollout_count)
        t = tagged_of(scores->c, &scores->rollouts[0], measure->tag);
    for (size_t i = 0; i < scores->rollout_count; i++)
        put_rollout(r, measure, &t, &scores->rollouts[i]);
    return r->m > 0;
}

static void add_cases(eval__units *units, const slm_arm *arm, const slm_measure *measure, rows *r)
{
    for (size_t i = 0; i < arm->case_count; i++) {
        if (put_case(r, &arm->cases[i], measure)) add_unit(units, &arm->cases[i], r, measure->k);
    }
}

/* ---- twins ---- */

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

static void add_family(eval__units *units, const slm_arm *arm, const twin *members, size_t count,
                       rows *r, size_t k)
{
    size_t kinds = 0;
    r->n = r->m = 0;
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
        if (verdict != -2) put_verdict(r, verdict);
    }
    if (r->m > 0) add_unit(units, first, r, k);
}

static void add_twins(eval__units *units, const slm_arm *arm, size_t k, rows *r)
{
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
        add_family(units, arm, all + begin, end - begin, r, k);
    }
    free(all);
}

/* ---- all of an arm ---- */

eval__units eval__units_of(const slm_arm *arm, const slm_measure *measure)
{
    eval__units units = {.items = calloc(arm->case_count + 1, sizeof *units.items)};
    if (!units.items) slm_out_of_memory(arm->case_count);
    rows r = rows_new(arm);
    slm_measure wanted = *measure;
    units.is_share = true;
    units.clip = wanted.kind == SLM_MEASURE_SCORE || wanted.kind == SLM_MEASURE_TAG ||
                 wanted.kind == SLM_MEASURE_LENGTH_ADJUSTED;
    switch (wanted.kind) {
    case SLM_MEASURE_WORDS:
    case SLM_MEASURE_CHARACTERS:
    case SLM_MEASURE_QUESTIONS:
        units.is_share = false;
        wanted.k = 1;
        break;
    case SLM_MEASURE_ASKS:
    case SLM_MEASURE_REFUSED:
        wanted.k = 1;
        break;
    default:
        break;
    }
    if (wanted.kind == SLM_MEASURE_TWINS)
        add_twins(&units, arm, wanted.k, &r);
    else
        add_cases(&units, arm, &wanted, &r);
    free(r.values);
    return units;
}

size_t eval__values_of(const slm_arm *arm, const slm_measure *measure, double **out)
{
    SLM_ASSERT(measure->kind != SLM_MEASURE_TWINS);
    size_t all = 0, count = 0;
    for (size_t i = 0; i < arm->case_count; i++)
        all += arm->cases[i].rollout_count;
    *out = calloc(all + 1, sizeof **out);
    if (!*out) slm_out_of_memory(all);
    rows r = rows_new(arm);
    for (size_t i = 0; i < arm->case_count; i++) {
        if (!put_case(&r, &arm->cases[i], measure)) continue;
        memcpy(*out + count, r.values, r.n * sizeof **out);
        count += r.n;
    }
    free(r.values);
    return count;
}

void eval__units_free(eval__units *units)
{
    free(units->items);
    *units = (eval__units){0};
}
