/* test_objective.c: advantages, and coefficients against differences of the loss that they are the
 * derivative of, for every way of averaging and clipping. */
#include <string.h>
#include "train_fixture.h"

enum { TOKENS = 7 };

static slm_recipe_grpo settings(const char *loss)
{
    return (slm_recipe_grpo){
        .loss = loss, .clip_low = 0.2, .clip_high = 0.28, .kl_weight = 0.05, .max_tokens = 20};
}

static const train__share share = {.rollouts = 3, .tokens = 31};

/* The rollout's loss as a function of its log-probabilities. */
static double loss_of(const slm_recipe_grpo *o, double advantage, const float *log_prob,
                      const float *old, const float *reference)
{
    float ignored[TOKENS];
    return train__coefficients(o, &share, advantage, log_prob, old, reference, TOKENS, TOKENS,
                               ignored)
        .loss;
}

static void coefficients_are_derivatives(void **state)
{
    static const char *const losses[] = {"grpo", "dr_grpo", "dapo", "gspo"};
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (int sign = -1; sign <= 1; sign += 2)
            for (int with = 0; with < 2; with++) {
                const slm_recipe_grpo o = settings(losses[kind]);
                slm_random random = slm_random_new((uint64_t)kind, (uint64_t)(sign + 7));
                float log_prob[TOKENS], old[TOKENS], reference[TOKENS], slope[TOKENS];
                for (int i = 0; i < TOKENS; i++) {
                    log_prob[i] = (float)(-1.5 + 0.4 * slm_random_normal(&random));
                    old[i] = log_prob[i] + (float)(0.15 * slm_random_normal(&random));
                    reference[i] = log_prob[i] + (float)(0.3 * slm_random_normal(&random));
                }
                const float *ref = with ? reference : NULL;
                const train__objective sum = train__coefficients(&o, &share, 0.7 * sign, log_prob,
                                                                 old, ref, TOKENS, TOKENS, slope);
                assert_int_equal(sum.tokens, TOKENS);
                assert_true(with ? sum.divergence > 0 : sum.divergence == 0);
                for (int i = 0; i < TOKENS; i++) {
                    const float before = log_prob[i];
                    const double ratio = exp((double)before - (double)old[i]);
                    /* a difference across the corner where clipping sets in is no derivative */
                    if (fabs(ratio - 0.8) < 5e-3 || fabs(ratio - 1.28) < 5e-3) continue;
                    log_prob[i] = before + 1e-3f;
                    const double high = (double)log_prob[i],
                                 up = loss_of(&o, 0.7 * sign, log_prob, old, ref);
                    log_prob[i] = before - 1e-3f;
                    const double expected = (up - loss_of(&o, 0.7 * sign, log_prob, old, ref)) /
                                            (high - (double)log_prob[i]);
                    log_prob[i] = before;
                    if (fabs(expected - (double)slope[i]) > 2e-3 * fabs(expected) + 1e-5)
                        fail_msg("%s, token %d: %g, by differences %g", losses[kind], i,
                                 (double)slope[i], expected);
                }
            }
}

/* At the first update nothing is clipped, and the slope is the advantage with the token's weight. */
static void the_first_update_is_the_policy_gradient(void **state)
{
    const struct {
        const char *loss;
        double weight;
    } rows[] = {{"grpo", 1.0 / (3 * TOKENS)},
                {"dr_grpo", 1.0 / (3 * 20)},
                {"dapo", 1.0 / 31},
                {"gspo", 1.0 / (3 * TOKENS)}};
    float log_prob[TOKENS], slope[TOKENS];
    (void)state;
    for (int i = 0; i < TOKENS; i++)
        log_prob[i] = -0.5f * (float)(i + 1);
    for (int k = 0; k < 4; k++) {
        const slm_recipe_grpo o = settings(rows[k].loss);
        const train__objective sum = train__coefficients(&o, &share, 2.0, log_prob, log_prob,
                                                         log_prob, TOKENS, TOKENS, slope);
        assert_int_equal(sum.clipped, 0);
        assert_true(sum.divergence == 0);
        for (int i = 0; i < TOKENS; i++)
            assert_true(fabs((double)slope[i] + 2.0 * rows[k].weight) < 1e-7);
    }
}

/* A rollout of two turns counts as much as one of one: what its tokens weigh sums to its share. */
static void turns_weigh_no_more(void **state)
{
    static const char *const losses[] = {"grpo", "gspo"};
    float log_prob[TOKENS], slope[TOKENS];
    (void)state;
    for (int i = 0; i < TOKENS; i++)
        log_prob[i] = -1.0f;
    for (int k = 0; k < 2; k++) {
        const slm_recipe_grpo o = settings(losses[k]);
        double sum = 0;
        for (int turn = 0; turn < 2; turn++) {
            const size_t tokens = turn == 0 ? 5 : TOKENS;
            train__coefficients(&o, &share, 1.0, log_prob, log_prob, NULL, tokens, 5 + TOKENS,
                                slope);
            for (size_t i = 0; i < tokens; i++)
                sum -= (double)slope[i];
        }
        assert_true(fabs(sum - 1.0 / 3) < 1e-6);
    }
}

static void clipped_tokens_teach_nothing(void **state)
{
    slm_recipe_grpo o = settings("grpo");
    float log_prob[2] = {-1.0f, -1.0f}, old[2] = {-1.6f, -1.05f}, slope[2];
    (void)state;
    o.kl_weight = 0;
    train__objective sum = train__coefficients(&o, &share, 1.0, log_prob, old, NULL, 2, 2, slope);
    assert_int_equal(sum.clipped, 1); /* it rose by more than clip_high already */
    assert_true(slope[0] == 0 && slope[1] < 0);
    sum = train__coefficients(&o, &share, -1.0, log_prob, old, NULL, 2, 2, slope);
    assert_int_equal(sum.clipped, 0); /* too likely and bad: pushed down still */
    assert_true(slope[0] > 0 && slope[1] > 0);
}

static void advantages_are_against_the_group(void **state)
{
    const double rewards[4] = {1, 0, 0.5, 0.1};
    double out[4];
    (void)state;
    train__advantages(rewards, 4, "mean", out);
    assert_true(fabs(out[0] - 0.6) < 1e-12 && fabs(out[0] + out[1] + out[2] + out[3]) < 1e-12);
    train__advantages(rewards, 4, "leave-one-out", out);
    assert_true(fabs(out[0] - (1 - 0.2)) < 1e-12); /* the others' mean is 0.2 */
    assert_true(fabs(out[3] - (0.1 - 0.5)) < 1e-12);
    train__advantages(rewards, 4, "mean-std", out);
    double square = 0;
    for (int i = 0; i < 4; i++)
        square += out[i] * out[i];
    assert_true(fabs(square / 3 - 1) < 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coefficients_are_derivatives),
        cmocka_unit_test(the_first_update_is_the_policy_gradient),
        cmocka_unit_test(turns_weigh_no_more),
        cmocka_unit_test(clipped_tokens_teach_nothing),
        cmocka_unit_test(advantages_are_against_the_group),
    };
    return cmocka_run_group_tests_name("objective", tests, NULL, NULL);
}
