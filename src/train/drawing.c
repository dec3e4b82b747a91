/* drawing.c: which cases a step practises on.
 *
 * Each stratum (context lacks, enough, emergency) gives its share of a step, by largest remainders.
 * Within it a case is drawn in proportion to what it failed to earn lately, so practice goes where it
 * is needed; what is mastered still comes now and then. */
#include <math.h>

#include "train_internal.h"

void train__quota(const slm_recipe_grpo *o, const slm_cases *data, size_t out[SLM_ENV_STRATA])
{
    double shares[SLM_ENV_STRATA] = {[SLM_ENV_LACKS] = o->lacks,
                                     [SLM_ENV_ENOUGH] = o->enough,
                                     [SLM_ENV_EMERGENCY] = o->emergency};
    size_t have[SLM_ENV_STRATA] = {0}, given = 0;
    double total = 0, rest[SLM_ENV_STRATA];
    for (size_t i = 0; i < data->count; i++)
        have[slm_env_stratum_of(&data->items[i])]++;
    for (int s = 0; s < SLM_ENV_STRATA; s++)
        total += have[s] > 0 ? shares[s] : 0;
    for (int s = 0; s < SLM_ENV_STRATA; s++) {
        const double exact = have[s] > 0 && total > 0 ? shares[s] / total * (double)o->prompts : 0;
        out[s] = (size_t)exact;
        rest[s] = have[s] > 0 ? exact - (double)out[s] : -1;
        given += out[s];
    }
    for (; given < (size_t)o->prompts; given++) {
        int most = 0;
        for (int s = 1; s < SLM_ENV_STRATA; s++)
            if (rest[s] > rest[most]) most = s;
        out[most]++;
        rest[most] -= 1;
    }
}

/* What a case weighs in the draw; 0: it is not of the stratum, or among the groups already. */
static double weight(const slm_case *c, double past, const train__group *groups, size_t count,
                     slm_env_stratum stratum)
{
    if (slm_env_stratum_of(c) != stratum) return 0;
    for (size_t i = 0; i < count; i++)
        if (groups[i].c == c) return 0;
    return 0.1 + fmax(0.0, 1.0 - past) / 2;
}

const slm_case *train__draw(const slm_cases *data, const double *past, const train__group *groups,
                            size_t group_count, slm_env_stratum stratum, slm_random *random)
{
    const slm_case *drawn = NULL;
    double total = 0;
    for (size_t i = 0; i < data->count; i++)
        total += weight(&data->items[i], past[i], groups, group_count, stratum);
    if (total == 0) return NULL;
    double left = slm_random_uniform(random) * total;
    for (size_t i = 0; i < data->count && left >= 0; i++) {
        const double w = weight(&data->items[i], past[i], groups, group_count, stratum);
        if (w == 0) continue;
        drawn = &data->items[i]; /* the last one, where rounding leaves a rest */
        left -= w;
    }
    return drawn;
}
