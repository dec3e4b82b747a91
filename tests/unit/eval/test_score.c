/* HealthBench's score against the formula written out, and worst of k against all draws. */
#include "helpers.h"

enum { MET = SLM_VERDICT_MET, NOT = SLM_VERDICT_NOT_MET, NO = SLM_VERDICT_UNSCORED };
enum { OUT = SLM_VERDICT_NOT_COVERED };

static slm_score score_of(const double *points, const int *verdicts, size_t n)
{
    slm_rubric_item items[16] = {0};
    slm_verdict given[16];
    for (size_t i = 0; i < n; i++) {
        items[i].points = points[i];
        given[i] = (slm_verdict)verdicts[i];
    }
    slm_case c = {.id = "c", .rubrics = items, .rubric_count = n};
    return slm_score_case(&c, given);
}

static void points_met_over_positive_points(void **state)
{
    (void)state;
    static const double points[] = {7, 5, -6, 2};
    slm_score s = score_of(points, (const int[]){MET, NOT, NOT, MET}, 4);
    assert_true(s.has_score);
    assert_true(s.score == 9.0 / 14 && s.low == s.score && s.high == s.score);
    s = score_of(points, (const int[]){NOT, NOT, MET, NOT}, 4);
    assert_true(s.score == -6.0 / 14); /* not clipped */
    s = score_of(points, (const int[]){MET, MET, NOT, MET}, 4);
    assert_true(s.score == 1);
    /* What is not covered is in neither sum. */
    s = score_of(points, (const int[]){MET, OUT, OUT, NOT}, 4);
    assert_true(s.has_score && s.score == 7.0 / 9);
    s = score_of(points, (const int[]){OUT, OUT, MET, OUT}, 4);
    assert_false(s.has_score);
    assert_false(score_of(points, (const int[]){OUT, OUT, OUT, OUT}, 4).has_score);
    static const double fractions[] = {0.1, 0.2, -0.3};
    s = score_of(fractions, (const int[]){MET, MET, MET}, 3);
    assert_true(fabs(s.score) < 1e-15);
}

static void unscored_criteria_give_bounds(void **state)
{
    (void)state;
    static const double points[] = {7, 5, -6, 2};
    slm_score s = score_of(points, (const int[]){MET, NO, NO, NOT}, 4);
    assert_false(s.has_score);
    assert_true(s.low == 1.0 / 14 && s.high == 12.0 / 14);
    s = score_of(points, (const int[]){NO, NO, NO, NO}, 4);
    assert_true(s.low == -6.0 / 14 && s.high == 1);
}

/* Every completion of the unscored lies within the bounds, and both are reached. */
static void bounds_hold_every_completion(void **state)
{
    (void)state;
    slm_random random = slm_random_new(11, 0);
    for (int round = 0; round < 300; round++) {
        double points[8];
        int verdicts[8];
        size_t n = 2 + (size_t)slm_random_below(&random, 6), open[8], open_count = 0;
        for (size_t i = 0; i < n; i++) {
            points[i] = (double)slm_random_below(&random, 21) - 10;
            if (points[i] == 0) points[i] = 1;
            verdicts[i] = (int)slm_random_below(&random, 4);
            if (verdicts[i] == NO) open[open_count++] = i;
        }
        points[0] = 3;
        if (verdicts[0] == OUT) verdicts[0] = NOT;
        slm_score s = score_of(points, verdicts, n);
        assert_int_equal(s.has_score, open_count == 0);
        double low = INFINITY, high = -INFINITY;
        for (unsigned mask = 0; mask < 1u << open_count; mask++) {
            for (size_t i = 0; i < open_count; i++)
                verdicts[open[i]] = mask >> i & 1 ? MET : NOT;
            double possible = 0, met = 0;
            for (size_t i = 0; i < n; i++) {
                if (verdicts[i] == OUT) continue;
                possible += points[i] > 0 ? points[i] : 0;
                met += verdicts[i] == MET ? points[i] : 0;
            }
            low = fmin(low, met / possible);
            high = fmax(high, met / possible);
            slm_score whole = score_of(points, verdicts, n);
            assert_true(whole.has_score && fabs(whole.score - met / possible) < 1e-15);
        }
        assert_true(fabs(s.low - low) < 1e-12 && fabs(s.high - high) < 1e-12);
    }
}

/* The mean over all draws of k of the n scores of the worst of them. */
static double brute_force(const double *scores, size_t n, size_t k)
{
    double sum = 0;
    size_t draws = 0;
    for (unsigned mask = 0; mask < 1u << n; mask++) {
        if ((size_t)__builtin_popcount(mask) != k) continue;
        double value = INFINITY;
        for (size_t i = 0; i < n; i++) {
            if (mask >> i & 1) value = fmin(value, scores[i]);
        }
        sum += value;
        draws++;
    }
    return sum / (double)draws;
}

static void worst_at_k_is_the_mean_over_all_draws(void **state)
{
    (void)state;
    slm_random random = slm_random_new(5, 0);
    for (size_t n = 1; n <= 12; n++) {
        for (int round = 0; round < 4; round++) {
            double scores[12], copy[12];
            for (size_t i = 0; i < n; i++)
                scores[i] = round % 2 ? slm_random_uniform(&random) * 2 - 1
                                      : (double)slm_random_below(&random, 3) / 2;
            for (size_t k = 1; k <= n; k++) {
                memcpy(copy, scores, sizeof copy);
                double worst = slm_worst_at_k(copy, n, k);
                assert_true(fabs(worst - brute_force(scores, n, k)) < 1e-12);
            }
        }
    }
}

static void worst_at_k_is_exact_for_many_samples(void **state)
{
    (void)state;
    /* m of n are right: worst at k is C(m, k) / C(n, k), a product of plain ratios. */
    enum { N = 5000 };
    double *scores = calloc(N, sizeof *scores);
    assert_non_null(scores);
    static const size_t rights[] = {0, 1, 16, 2500, 4990, 4999, 5000};
    static const size_t ks[] = {1, 2, 16, 100, 2500, 5000};
    for (size_t r = 0; r < 7; r++) {
        for (size_t j = 0; j < 6; j++) {
            for (size_t i = 0; i < N; i++)
                scores[i] = i < rights[r];
            long double expected = 1;
            for (size_t i = 0; i < ks[j]; i++)
                expected *= rights[r] <= i ? 0 : (long double)(rights[r] - i) / (N - i);
            assert_true(fabs(slm_worst_at_k(scores, N, ks[j]) - (double)expected) < 1e-12);
        }
    }
    /* The weights sum to 1: equal scores are their own worst. */
    for (size_t k = 1; k <= N; k += 613) {
        for (size_t i = 0; i < N; i++)
            scores[i] = 0.7;
        assert_true(fabs(slm_worst_at_k(scores, N, k) - 0.7) < 1e-12);
    }
    free(scores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_met_over_positive_points),
        cmocka_unit_test(unscored_criteria_give_bounds),
        cmocka_unit_test(bounds_hold_every_completion),
        cmocka_unit_test(worst_at_k_is_the_mean_over_all_draws),
        cmocka_unit_test(worst_at_k_is_exact_for_many_samples),
    };
    return cmocka_run_group_tests_name("score", tests, NULL, NULL);
}
