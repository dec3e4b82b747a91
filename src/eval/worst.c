/* worst.c: the worst of k.
 *
 * Of n scores sorted s(1) >= ... >= s(n), the worst of k drawn without replacement is s(i) when i is
 * drawn and the other k - 1 are among the i - 1 that are at least as good: in C(i-1, k-1) of the
 * C(n, k) draws. The weights are not computed as binomials, which overflow, but as w(n) = k / n and
 * w(i-1) = w(i) (i - k) / (i - 1), all between 0 and 1; the sum is compensated (Neumaier 1974). */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Sum of w(i) s(i) from i = n down to k. */
static double weighted(const double *sorted, size_t n, size_t k)
{
    SLM_ASSERT(k >= 1 && k <= n);
    double weight = (double)k / (double)n;
    double sum = 0, lost = 0;
    for (size_t i = n;; i--) {
        double term = weight * sorted[i - 1];
        double next = sum + term;
        lost += fabs(sum) >= fabs(term) ? (sum - next) + term : (term - next) + sum;
        sum = next;
        if (i == k) break;
        weight = weight * (double)(i - k) / (double)(i - 1);
    }
    return sum + lost;
}

double slm_worst_at_k(double *scores, size_t n, size_t k)
{
    qsort(scores, n, sizeof *scores, descending);
    return weighted(scores, n, k);
}
