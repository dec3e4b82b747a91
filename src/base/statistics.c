/* statistics.c: means, quantiles, exact binomial intervals, the bootstrap.
 *
 * Mean: Neumaier's compensated summation (ZAMM 54, 1974). Regularised incomplete beta function: the
 * continued fraction DLMF 8.17.22 evaluated by Lentz's method, on the side of the mean where it
 * converges fast (8.17.4 mirrors it). Its factor x^a (1-x)^b / B(a,b) is written around x0 =
 * a/(a+b), where it is largest, with Stirling's remainder (DLMF 5.11.1) in place of three log-gammas
 * that would cancel: this keeps the accuracy for counts in the millions. Binomial interval: Clopper
 * and Pearson, Biometrika 26 (1934), its ends found by bisection. Bootstrap: Efron's percentile
 * interval over resampled clusters. */
#include "base/statistics.h"

#include <math.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/random.h"

double slm_statistics_mean(const double *values, size_t n)
{
    if (n == 0) return NAN;
    double sum = 0;
    double lost = 0; /* low-order bits that sum has no room for */
    for (size_t i = 0; i < n; i++) {
        double next = sum + values[i];
        if (fabs(sum) >= fabs(values[i])) {
            lost += (sum - next) + values[i];
        } else {
            lost += (values[i] - next) + sum;
        }
        sum = next;
    }
    /* With an infinity the compensation is NaN and the sum says what there is to say. */
    return isfinite(sum) ? (sum + lost) / (double)n : sum / (double)n;
}

double slm_statistics_sd(const double *values, size_t n)
{
    if (n < 2) return NAN;
    double mean = slm_statistics_mean(values, n);
    double squares = 0;
    double drift = 0; /* zero but for rounding; corrects the sum of squares for it */
    for (size_t i = 0; i < n; i++) {
        double d = values[i] - mean;
        squares += d * d;
        drift += d;
    }
    double variance = (squares - drift * drift / (double)n) / (double)(n - 1);
    return sqrt(variance > 0 || isnan(variance) ? variance : 0);
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

double slm_statistics_quantile(double *values, size_t n, double q)
{
    if (n == 0 || !(q >= 0 && q <= 1)) return NAN;
    qsort(values, n, sizeof *values, compare_doubles);
    double at = q * (double)(n - 1);
    size_t below = (size_t)at;
    if (below + 1 >= n) return values[n - 1];
    double share = at - (double)below;
    if (share == 0) return values[below];
    return values[below] + share * (values[below + 1] - values[below]);
}

/* log Gamma(z) - ((z - 1/2) log z - z + log(2 pi) / 2), Stirling's remainder. */
static double stirling_remainder(double z)
{
    static const double half_log_two_pi = 0.918938533204672741780;
    if (z < 10) {
        int sign;
        return lgamma_r(z, &sign) - (z - 0.5) * log(z) + z - half_log_two_pi;
    }
    double r = 1 / (z * z);
    double series = -691.0 / 360360;
    series = series * r + 1.0 / 1188;
    series = series * r - 1.0 / 1680;
    series = series * r + 1.0 / 1260;
    series = series * r - 1.0 / 360;
    series = series * r + 1.0 / 12;
    return series / z;
}

/* x^a (1-x)^b / B(a,b) */
static double beta_factor(double a, double b, double x)
{
    static const double two_pi = 6.283185307179586476925;
    double n = a + b;
    double x0 = a / n;
    double off = x - x0;
    double power = a * log1p(off / x0) + b * log1p(-off / (b / n));
    double remainder = stirling_remainder(n) - stirling_remainder(a) - stirling_remainder(b);
    return sqrt(a * b / (two_pi * n)) * exp(power + remainder);
}

/* The continued fraction 1/(1+ d1/(1+ d2/(1+ ... of DLMF 8.17.22. */
static double beta_fraction(double a, double b, double x)
{
    static const double tiny = 1e-300;
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    if (fabs(d) < tiny) d = tiny;
    d = 1 / d;
    double value = d;
    /* Terms needed grow with the square root of the larger parameter. */
    for (int m = 1; m < 200000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        if (fabs(d) < tiny) d = tiny;
        c = 1 + even / c;
        if (fabs(c) < tiny) c = tiny;
        d = 1 / d;
        value *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        if (fabs(d) < tiny) d = tiny;
        c = 1 + odd / c;
        if (fabs(c) < tiny) c = tiny;
        d = 1 / d;
        double step = d * c;
        value *= step;
        if (fabs(step - 1) < 1e-15) break;
    }
    return value;
}

double slm_statistics_beta(double a, double b, double x)
{
    if (!(a > 0) || !(b > 0) || isnan(x)) return NAN;
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x < (a + 1) / (a + b + 2)) return beta_factor(a, b, x) * beta_fraction(a, b, x) / a;
    return 1 - beta_factor(b, a, 1 - x) * beta_fraction(b, a, 1 - x) / b;
}

/* The x for which I_x(a,b) = p; I grows with x. */
static double beta_inverse(double a, double b, double p)
{
    double low = 0;
    double high = 1;
    for (int i = 0; i < 200; i++) {
        double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) break;
        if (slm_statistics_beta(a, b, middle) < p) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low + (high - low) / 2;
}

slm_interval slm_statistics_binomial(size_t met, size_t n, double level)
{
    SLM_ASSERT(met <= n);
    slm_interval interval = {0, 1};
    double tail = (1 - level) / 2;
    double yes = (double)met;
    double no = (double)(n - met);
    if (met > 0) interval.low = beta_inverse(yes, no + 1, tail);
    if (met < n) interval.high = beta_inverse(yes + 1, no, 1 - tail);
    return interval;
}

slm_interval slm_statistics_bootstrap(size_t clusters, size_t resamples, uint64_t seed,
                                      double level, slm_statistics_fn *statistic, void *context)
{
    /* A stream of its own: the same seed elsewhere gives other numbers. */
    static const uint64_t stream = 0x626f6f7473747261;
    slm_interval interval = {NAN, NAN};
    if (clusters == 0 || resamples == 0) return interval;
    size_t *picks = calloc(clusters, sizeof *picks);
    double *results = calloc(resamples, sizeof *results);
    if (picks == NULL || results == NULL) slm_out_of_memory(resamples * sizeof *results);
    slm_random random = slm_random_new(seed, stream);
    size_t count = 0;
    for (size_t i = 0; i < resamples; i++) {
        for (size_t j = 0; j < clusters; j++)
            picks[j] = slm_random_below(&random, clusters);
        double result = statistic(context, picks, clusters);
        if (!isnan(result)) results[count++] = result;
    }
    if (count > 0) {
        double tail = (1 - level) / 2;
        interval.low = slm_statistics_quantile(results, count, tail);
        interval.high = slm_statistics_quantile(results, count, 1 - tail);
    }
    free(picks);
    free(results);
    return interval;
}
