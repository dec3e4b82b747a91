/* Statistics against values computed with 30 digits by other formulas: I_x(a,b) as a sum of
 * binomial probabilities (whole a, b) or by quadrature, intervals by inverting that sum. */
#include "helpers.h"

#include <math.h>
#include <stdbool.h>
#include "base/statistics.h"

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.17g, want %.17g", got, want);
}

static void means(void **state)
{
    (void)state;
    assert_true(isnan(slm_statistics_mean(NULL, 0)));
    static const double one[] = {3};
    assert_true(slm_statistics_mean(one, 1) == 3);
    /* Plain summation loses every 1 here. */
    static const double hard[] = {1e100, 1, -1e100, 1};
    assert_true(slm_statistics_mean(hard, 4) == 0.5);
    static const double infinite[] = {1, INFINITY, 2};
    assert_true(slm_statistics_mean(infinite, 3) == INFINITY);
    double forth[1000];
    double back[1000];
    for (int i = 0; i < 1000; i++)
        forth[i] = back[999 - i] = 1.0 / (i + 1) - 0.3;
    assert_near(slm_statistics_mean(forth, 1000), slm_statistics_mean(back, 1000), 1e-18);
}

static void deviations(void **state)
{
    (void)state;
    static const double values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    assert_near(slm_statistics_sd(values, 8), sqrt(32.0 / 7), 1e-15);
    static const double far[] = {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16};
    assert_near(slm_statistics_sd(far, 4), sqrt(30), 1e-9);
    static const double same[] = {0.1, 0.1, 0.1};
    assert_near(slm_statistics_sd(same, 3), 0, 1e-16);
    assert_true(isnan(slm_statistics_sd(values, 1)));
    assert_true(isnan(slm_statistics_sd(values, 0)));
}

static void quantiles(void **state)
{
    (void)state;
    double values[] = {40, 10, 30, 20};
    assert_true(slm_statistics_quantile(values, 4, 0) == 10);
    assert_true(slm_statistics_quantile(values, 4, 1) == 40);
    assert_true(slm_statistics_quantile(values, 4, 0.5) == 25);
    assert_near(slm_statistics_quantile(values, 4, 0.1), 13, 1e-12);
    assert_near(slm_statistics_quantile(values, 4, 0.9), 37, 1e-12);
    assert_true(slm_statistics_quantile(values, 1, 0.3) == 10);
    assert_true(isnan(slm_statistics_quantile(values, 0, 0.5)));
    assert_true(isnan(slm_statistics_quantile(values, 4, 1.1)));
    assert_true(isnan(slm_statistics_quantile(values, 4, NAN)));
}

static void incomplete_beta(void **state)
{
    (void)state;
    static const struct {
        double a, b, x, want;
    } table[] = {
        {2, 3, 0.4, 0.524800000000000038},
        {10, 1, 0.9, 0.348678440100000086},
        {1, 10, 0.05, 0.401263060761621111},
        {0.5, 0.5, 0.3, 0.369010119565545375},
        {0.001, 2, 0.5, 0.999806746536947748},
        {9.99, 10.01, 0.5, 0.501821852977667672},
        {12.5, 40.25, 0.2, 0.275456745501398596},
        {300, 700, 0.31, 0.756418682731543582},
        {5000, 5001, 0.5, 0.503989323069691077},
        {3, 100000, 2e-05, 0.323334410738841569},
        {100000, 300000, 0.2505, 0.767482353803312134},
        {200000, 200000, 0.498, 0.00570587934773728062},
        {1000000, 1000000, 0.5003, 0.801928037157885032},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double a = table[i].a;
        double b = table[i].b;
        double x = table[i].x;
        assert_near(slm_statistics_beta(a, b, x), table[i].want, 1e-12);
        assert_near(slm_statistics_beta(b, a, 1 - x), 1 - table[i].want, 1e-11);
    }
    assert_true(slm_statistics_beta(2, 3, 0) == 0);
    assert_true(slm_statistics_beta(2, 3, 1) == 1);
    assert_true(isnan(slm_statistics_beta(0, 3, 0.5)));
    assert_true(isnan(slm_statistics_beta(2, 3, NAN)));
}

static void binomial_intervals(void **state)
{
    (void)state;
    static const struct {
        size_t met, n;
        double level, low, high;
    } table[] = {
        {5, 10, 0.95, 0.18708602844739853, 0.81291397155260147},
        {1, 24, 0.95, 0.0010543524454697472, 0.21120168345697314},
        {23, 24, 0.95, 0.78879831654302686, 0.99894564755453025},
        {7, 96, 0.95, 0.029817842321782208, 0.144479707225699},
        {300, 1000, 0.99, 0.26320599224799855, 0.33872720619114326},
        {2, 5000, 0.9, 7.1076884396869369e-5, 0.0012586179249663611},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        slm_interval got = slm_statistics_binomial(table[i].met, table[i].n, table[i].level);
        assert_near(got.low, table[i].low, 1e-12);
        assert_near(got.high, table[i].high, 1e-12);
    }
    /* None or all of n: the closed form. */
    for (size_t n = 1; n <= 400; n += 57) {
        double bound = pow(0.025, 1 / (double)n);
        slm_interval none = slm_statistics_binomial(0, n, 0.95);
        slm_interval all = slm_statistics_binomial(n, n, 0.95);
        assert_true(none.low == 0 && all.high == 1);
        assert_near(none.high, 1 - bound, 1e-13);
        assert_near(all.low, bound, 1e-13);
    }
    slm_interval nothing = slm_statistics_binomial(0, 0, 0.95);
    assert_true(nothing.low == 0 && nothing.high == 1);
}

typedef struct sample {
    const double *values;
    size_t calls;
    bool skip_odd;
} sample;

static double mean_of_picks(void *context, const size_t *picks, size_t n)
{
    sample *s = context;
    double sum = 0;
    s->calls++;
    if (s->skip_odd && picks[0] % 2 == 1) return NAN;
    for (size_t i = 0; i < n; i++)
        sum += s->values[picks[i]];
    return sum / (double)n;
}

static void bootstrap_of_a_mean(void **state)
{
    (void)state;
    enum { N = 200 };
    double values[N];
    for (int i = 0; i < N; i++)
        values[i] = i; /* mean 99.5, variance (N^2-1)/12 */
    sample s = {.values = values};
    slm_interval got = slm_statistics_bootstrap(N, 4000, 42, 0.95, mean_of_picks, &s);
    assert_int_equal(s.calls, 4000);
    double half = 1.959964 * sqrt((N * N - 1.0) / 12 / N);
    assert_near(got.low, 99.5 - half, 0.6);
    assert_near(got.high, 99.5 + half, 0.6);
    slm_interval again = slm_statistics_bootstrap(N, 4000, 42, 0.95, mean_of_picks, &s);
    assert_true(again.low == got.low && again.high == got.high);
    slm_interval other = slm_statistics_bootstrap(N, 4000, 43, 0.95, mean_of_picks, &s);
    assert_true(other.low != got.low);
    s.skip_odd = true;
    slm_interval half_of_them = slm_statistics_bootstrap(N, 4000, 42, 0.95, mean_of_picks, &s);
    assert_near(half_of_them.low, got.low, 2);
}

static double never(void *context, const size_t *picks, size_t n)
{
    (void)context;
    (void)picks;
    (void)n;
    return NAN;
}

static void bootstrap_of_nothing(void **state)
{
    (void)state;
    slm_interval got = slm_statistics_bootstrap(0, 100, 1, 0.95, never, NULL);
    assert_true(isnan(got.low) && isnan(got.high));
    got = slm_statistics_bootstrap(5, 100, 1, 0.95, never, NULL);
    assert_true(isnan(got.low) && isnan(got.high));
    static const double one[] = {7};
    sample s = {.values = one};
    got = slm_statistics_bootstrap(1, 10, 1, 0.95, mean_of_picks, &s);
    assert_true(got.low == 7 && got.high == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means),
        cmocka_unit_test(deviations),
        cmocka_unit_test(quantiles),
        cmocka_unit_test(incomplete_beta),
        cmocka_unit_test(binomial_intervals),
        cmocka_unit_test(bootstrap_of_a_mean),
        cmocka_unit_test(bootstrap_of_nothing),
    };
    return cmocka_run_group_tests_name("base/statistics", tests, NULL, NULL);
}
