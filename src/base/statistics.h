/* statistics.h: the few statistics that reports need. All in double; no allocation kept. */
#ifndef SLM_BASE_STATISTICS_H
#define SLM_BASE_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

typedef struct slm_interval {
    double low, high;
} slm_interval;

/* Mean (0 values: NaN), by compensated summation so that order hardly matters. */
double slm_statistics_mean(const double *values, size_t n);
/* Sample standard deviation (n-1); NaN below 2 values. */
double slm_statistics_sd(const double *values, size_t n);
/* q-quantile, linear interpolation between order statistics (Hyndman-Fan type 7). Sorts values. */
double slm_statistics_quantile(double *values, size_t n, double q);
/* Exact binomial interval (Clopper and Pearson 1934) for `met` of n at confidence level. */
slm_interval slm_statistics_binomial(size_t met, size_t n, double level);
/* Regularised incomplete beta function I_x(a,b), to about 1e-12. */
double slm_statistics_beta(double a, double b, double x);

/* Percentile bootstrap over clusters: a statistic of resampled clusters, `resamples` times, from a
 * fixed seed, so the interval is reproducible. `statistic(context, picks, n)` gets n cluster indices
 * (with repetition). NaN results are left out. */
typedef double slm_statistics_fn(void *context, const size_t *picks, size_t n);
slm_interval slm_statistics_bootstrap(size_t clusters, size_t resamples, uint64_t seed,
                                      double level, slm_statistics_fn *statistic, void *context);

#endif
