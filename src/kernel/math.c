/* math.c: exp, log, sine and cosine in double, the same on every system and compiler.
 *
 * exp: x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts of which the first has 32 bits, so
 * that n times it is exact (Cody and Waite 1980, chapter 6); e^r by its Taylor series to r^13, the
 * next term being below 5e-18. log: x = 2^e m with m in [sqrt 1/2, sqrt 2), log m = 2 artanh(s),
 * s = (m - 1) / (m + 1), |s| < 0.172, series to s^21. sin and cos: x = n pi/2 + r with pi/2 in
 * three parts of 33 bits and a rest (exact products for n below 2^20), Taylor series to r^17 and
 * r^18 on |r| <= pi/4. erf: e^(-x^2) 2/sqrt(pi) sum of 2^n x^(2n+1) / (2n+1)!! (Abramowitz and
 * Stegun 7.1.6), whose terms are all of one sign; 1 from 6 on. All are within about one unit in the last place. */
#include "kernel/kernel_internal.h"

#include <math.h>

static const double LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;

double slm_kernel__exp(double x)
{
    if (x != x) return x;
    if (x > 709.79) return (double)INFINITY;
    if (x < -745.14) return 0.0;
    double n = floor(x * 0x1.71547652b82fep+0 + 0.5);
    double r = (x - n * LN2_HIGH) - n * LN2_LOW;
    double sum = 1.0;
    for (int i = 13; i >= 2; i--)
        sum = 1.0 + sum * (r / i);
    return ldexp(1.0 + sum * r, (int)n);
}

double slm_kernel__log(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2.0;
        e--;
    }
    double s = (m - 1.0) / (m + 1.0), s2 = s * s, sum = 0.0;
    for (int i = 21; i >= 3; i -= 2)
        sum = (sum + 1.0 / i) * s2;
    return e * LN2_HIGH + (e * LN2_LOW + 2.0 * (s + s * sum));
}

double slm_kernel__erf(double x)
{
    if (x != x) return x;
    if (x < 0.0) return -slm_kernel__erf(-x);
    if (x >= 6.0) return 1.0;
    double term = x, sum = x;
    for (int n = 1; term > sum * 1e-17; n++) {
        term *= 2.0 * x * x / (2 * n + 1);
        sum += term;
    }
    return 0x1.20dd750429b6dp+0 * slm_kernel__exp(-x * x) * sum;
}

void slm_kernel__sin_cos(double x, double *sine, double *cosine)
{
    double n = floor(x * 0x1.45f306dc9c883p-1 + 0.5);
    double r = ((x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a6p-34) - n * 0x1.3198a2ep-69;
    r -= n * 0x1.b839a252049c1p-104;
    double r2 = r * r, s = 1.0, c = 1.0;
    for (int i = 16; i >= 2; i -= 2)
        s = 1.0 - s * (r2 / (i * (i + 1)));
    for (int i = 17; i >= 1; i -= 2)
        c = 1.0 - c * (r2 / (i * (i + 1)));
    s *= r;
    switch ((int64_t)n & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
        break;
    }
}
