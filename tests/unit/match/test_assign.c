/* Assignment against the best of all assignments, tried one by one. */
#include "helpers.h"

#include "base/random.h"

/* The greatest sum from `row` on, over all choices for the rows (or none). */
static double best_of(const double *scores, size_t rows, size_t columns, double least, size_t row,
                      unsigned taken)
{
    if (row == rows) return 0;
    double best = best_of(scores, rows, columns, least, row + 1, taken);
    for (size_t c = 0; c < columns; c++) {
        double score = scores[row * columns + c];
        if ((taken >> c & 1) != 0 || score < least) continue;
        double sum = score + best_of(scores, rows, columns, least, row + 1, taken | 1U << c);
        if (sum > best) best = sum;
    }
    return best;
}

static void equals_the_best_of_all(void **state)
{
    (void)state;
    slm_random random = slm_random_new(7, 1);
    for (int round = 0; round < 600; round++) {
        size_t rows = (size_t)slm_random_below(&random, 6),
               columns = (size_t)slm_random_below(&random, 6);
        double scores[36], least = round % 3 == 0 ? 0.0 : 0.5;
        size_t out[6];
        for (size_t i = 0; i < rows * columns; i++)
            scores[i] = (double)slm_random_below(&random, 11) / 10.0; /* ties are common */
        slm_match_assign(scores, rows, columns, least, out);
        double sum = 0;
        unsigned taken = 0;
        for (size_t r = 0; r < rows; r++) {
            if (out[r] == SIZE_MAX) continue;
            assert_true(out[r] < columns);
            assert_true(scores[r * columns + out[r]] >= least);
            assert_int_equal(taken >> out[r] & 1, 0); /* nobody has it yet */
            taken |= 1U << out[r];
            sum += scores[r * columns + out[r]];
        }
        assert_true(sum > best_of(scores, rows, columns, least, 0, 0) - 1e-9);
    }
}

static void a_greedy_choice_is_not_enough(void **state)
{
    (void)state;
    const double scores[] = {0.9, 0.8, 0.8, 0.1};
    size_t out[2];
    slm_match_assign(scores, 2, 2, 0.5, out);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 0);
    slm_match_assign(scores, 2, 2, 0.85, out);
    assert_int_equal(out[0], 0);
    assert_true(out[1] == SIZE_MAX);
    slm_match_assign(NULL, 0, 0, 0.5, out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_best_of_all),
        cmocka_unit_test(a_greedy_choice_is_not_enough),
    };
    return cmocka_run_group_tests_name("match/assign", tests, NULL, NULL);
}
