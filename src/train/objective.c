/* objective.c: what GRPO asks of the log-probabilities: advantages within a group, and the loss whose
 * derivative by each token's log-probability is the coefficient that the backward starts from.
 *
 * With A the rollout's advantage, r = exp(lp - old) and clip c(r) = min(max(r, 1 - low), 1 + high), a
 * token's loss is -min(r A, c(r) A) (Schulman et al. 2017); its derivative by lp is -r A, and 0 where
 * the clipped branch is the smaller. How tokens are averaged:
 *
 *     grpo      over a rollout's tokens, of all its turns, then over rollouts (Shao et al. 2024)
 *     dr_grpo   sum over tokens / (rollouts x max_tokens): no length weighs less (Liu et al. 2025)
 *     dapo      over all tokens of all rollouts (Yu et al. 2025)
 *     gspo      r is exp of the turn's mean of lp - old, one for all its tokens (Zheng et al. 2025)
 *
 * The divergence from a reference is the estimate e - log e - 1 with e = exp(ref - lp) (Schulman
 * 2020), of derivative 1 - e, weighted and averaged like the loss. Advantages: reward minus the mean
 * of the group's others (leave-one-out; Kool et al. 2019, Ahmadian et al. 2024), minus the group's
 * mean, or that divided by the standard deviation. */
#include <math.h>
#include <string.h>

#include "train_internal.h"

void train__advantages(const double *rewards, size_t count, const char *kind, double *out)
{
    double sum = 0, square = 0;
    for (size_t i = 0; i < count; i++)
        sum += rewards[i];
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        square += (rewards[i] - mean) * (rewards[i] - mean);
    const double sd = count > 1 ? sqrt(square / (double)(count - 1)) : 0;
    for (size_t i = 0; i < count; i++) {
        out[i] = rewards[i] - mean;
        if (strcmp(kind, "leave-one-out") == 0 && count > 1)
            out[i] *= (double)count / (double)(count - 1);
        if (strcmp(kind, "mean-std") == 0) out[i] /= sd + 1e-6;
    }
}

/* What each token of a rollout counts for. */
static double token_weight(const slm_recipe_grpo *o, const train__share *share, size_t of_rollout)
{
    const double rollouts = (double)share->rollouts;
    if (strcmp(o->loss, "dapo") == 0) return 1.0 / (double)share->tokens;
    if (strcmp(o->loss, "dr_grpo") == 0) return 1.0 / (rollouts * (double)o->max_tokens);
    return 1.0 / (rollouts * (double)of_rollout);
}

/* -min(r A, c(r) A), whether it was clipped. */
static double surrogate(const slm_recipe_grpo *o, double ratio, double advantage, bool *clipped)
{
    const double kept = fmin(fmax(ratio, 1.0 - o->clip_low), 1.0 + o->clip_high);
    *clipped = kept * advantage < ratio * advantage;
    return -fmin(ratio * advantage, kept * advantage);
}

train__objective train__coefficients(const slm_recipe_grpo *o, const train__share *share,
                                     double advantage, const float *log_prob, const float *old,
                                     const float *reference, size_t tokens, size_t of_rollout,
                                     float *coefficient)
{
    train__objective sum = {0};
    const double weight = token_weight(o, share, of_rollout);
    const bool whole = strcmp(o->loss, "gspo") == 0;
    double change = 0;
    for (size_t i = 0; i < tokens; i++)
        change += (double)log_prob[i] - (double)old[i];
    for (size_t i = 0; i < tokens; i++) {
        const double lp = (double)log_prob[i];
        const double ratio = exp(whole ? change / (double)tokens : lp - (double)old[i]);
        bool clipped = false;
        sum.loss += weight * surrogate(o, ratio, advantage, &clipped);
        sum.clipped += clipped;
        double slope = clipped ? 0.0 : -ratio * advantage;
        if (reference) {
            const double e = exp((double)reference[i] - lp);
            const double divergence = e - ((double)reference[i] - lp) - 1.0;
            sum.divergence += divergence;
            sum.loss += weight * o->kl_weight * divergence;
            slope += o->kl_weight * (1.0 - e);
        }
        coefficient[i] = (float)(weight * slope);
    }
    sum.tokens = tokens;
    return sum;
}
