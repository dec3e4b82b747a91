/* drawing.c: which cases there are to practise on, and which of them a step takes.
 *
 * Each stratum (context lacks, enough, emergency) gives its share of a step, by largest remainders.
 * Within it a case is drawn in proportion to what it failed to earn lately, so practice goes where it
 * is needed; what is mastered still comes now and then. */
#include <math.h>
#include <string.h>

#include "train_internal.h"

static void count_strata(const slm_cases *cases, size_t out[SLM_ENV_STRATA])
{
    memset(out, 0, SLM_ENV_STRATA * sizeof *out);
    for (size_t i = 0; i < cases->count; i++)
        out[slm_env_stratum_of(&cases->items[i])]++;
}

void train__quota(const slm_recipe_grpo *o, const slm_cases *data, size_t out[SLM_ENV_STRATA])
{
    double shares[SLM_ENV_STRATA] = {[SLM_ENV_LACKS] = o->lacks,
                                     [SLM_ENV_ENOUGH] = o->enough,
                                     [SLM_ENV_EMERGENCY] = o->emergency};
    size_t have[SLM_ENV_STRATA], given = 0;
    double total = 0, rest[SLM_ENV_STRATA];
    count_strata(data, have);
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

slm_status train__load_practice(const slm_recipe_grpo *o, slm_cases *data, slm_cases *dev,
                                slm_error *err)
{
    const slm_cases_options options = {0};
    SLM_TRY(slm_cases_load(o->data.items, o->data.count, &options, NULL, NULL, data, err));
    SLM_TRY(slm_cases_load(o->dev.items, o->dev.count, &options, NULL, NULL, dev, err));
    if (data->count == 0 || dev->count == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "%s: no case to practise on",
                             data->count == 0 ? o->data.items[0] : o->dev.items[0]);
    size_t quota[SLM_ENV_STRATA], have[SLM_ENV_STRATA];
    train__quota(o, data, quota);
    count_strata(dev, have);
    for (int s = 0; s < SLM_ENV_STRATA; s++) {
        const char *name = slm_env_stratum_name((slm_env_stratum)s);
        if (quota[s] > 0 && have[s] == 0)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "%s: grpo.dev has no case of stratum %s, of which %zu are "
                                 "practised on in each step; add some, or set grpo.%s to 0",
                                 o->dev.items[0], name, quota[s], name);
    }
    return SLM_OK;
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
