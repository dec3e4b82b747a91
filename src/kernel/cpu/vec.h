/* vec.h: a vector of floats as wide as the file that includes this is compiled for: 16 lanes with
 * AVX-512, 8 with AVX2. What differs between the two stands here, so that the code over it
 * (rows.h, attention.h) is written once. In a file compiled for neither, this header is empty.
 *
 * A lane's result never depends on its place or its neighbours, so a row's tail, done with part of
 * a vector, equals what a whole vector would have given. */
#ifndef SLM_KERNEL_VEC_H
#define SLM_KERNEL_VEC_H

#if defined(__AVX512F__) || defined(__AVX2__)

#include "kernel/kernel_internal.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)

enum { LANES = 16 };
typedef __m512 vec;

INLINE vec v_set1(float x)
{
    return _mm512_set1_ps(x);
}
INLINE vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE void v_store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}
INLINE __mmask16 v_first(size_t n)
{
    return (__mmask16)(n >= LANES ? 0xffffu : (1u << n) - 1);
}
/* The first n lanes from memory, `fill` in the others. */
INLINE vec v_load_n(const float *p, size_t n, float fill)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), v_first(n), p);
}
INLINE void v_store_n(float *p, vec x, size_t n)
{
    _mm512_mask_storeu_ps(p, v_first(n), x);
}
INLINE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
INLINE vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
INLINE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
INLINE vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
INLINE vec v_sqrt(vec a)
{
    return _mm512_sqrt_ps(a);
}
/* a * b + c, rounded once. */
INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* Where one is NaN: b. */
INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
INLINE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
INLINE vec v_round(vec x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* x * 2^n for whole n from -150 to 129. */
INLINE vec v_scale(vec x, vec n)
{
    return _mm512_scalef_ps(x, n);
}
/* Neighbours exchanged: 1 0 3 2 ... */
INLINE vec v_swap_pairs(vec x)
{
    return _mm512_permute_ps(x, 0xb1);
}
/* Of LANES pairs of bf16 at p: the first of each, and the second of each. */
INLINE vec v_first_of_pairs(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
INLINE vec v_second_of_pairs(const void *p)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xffff0000)));
}
INLINE vec v_load_bf16(const uint16_t *p)
{
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
/* Rounded as slm_bf16_from_f32 does. */
INLINE void v_store_bf16(uint16_t *p, vec x)
{
    __m512i bits = _mm512_castps_si512(x), high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __m512i rounded = _mm512_srli_epi32(up, 16);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(rounded));
}
INLINE float v_reduce_add(vec x)
{
    return _mm512_reduce_add_ps(x);
}
INLINE float v_reduce_max(vec x)
{
    return _mm512_reduce_max_ps(x);
}
/* Bit i: a >= b (a == b) in lane i. */
INLINE uint32_t v_greater_equal(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}
INLINE uint32_t v_equal(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

/* Sums in double, lane by lane. */
typedef struct vec_sum {
    __m512d low, high;
} vec_sum;
INLINE vec_sum v_sum_zero(void)
{
    return (vec_sum){_mm512_setzero_pd(), _mm512_setzero_pd()};
}
INLINE vec_sum v_sum_add(vec_sum sum, vec x)
{
    sum.low = _mm512_add_pd(sum.low, _mm512_cvtps_pd(_mm512_castps512_ps256(x)));
    sum.high = _mm512_add_pd(sum.high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)));
    return sum;
}
INLINE double v_sum_total(vec_sum sum)
{
    return _mm512_reduce_add_pd(_mm512_add_pd(sum.low, sum.high));
}

/* Append first + i for each bit i of `bits` to ids[count]; room for LANES is needed. */
INLINE size_t v_append(int32_t *ids, size_t count, uint32_t bits, size_t first)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i id = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)first));
    _mm512_storeu_si512(ids + count, _mm512_maskz_compress_epi32((__mmask16)bits, id));
    return count + (size_t)__builtin_popcount(bits);
}

#else /* AVX2 */

enum { LANES = 8 };
typedef __m256 vec;

INLINE vec v_set1(float x)
{
    return _mm256_set1_ps(x);
}
INLINE vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void v_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}
INLINE __m256i v_first(size_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n >= LANES ? LANES : (int)n), lanes);
}
INLINE vec v_load_n(const float *p, size_t n, float fill)
{
    __m256i mask = v_first(n);
    return _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, mask),
                            _mm256_castsi256_ps(mask));
}
INLINE void v_store_n(float *p, vec x, size_t n)
{
    _mm256_maskstore_ps(p, v_first(n), x);
}
INLINE vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
INLINE vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
INLINE vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
INLINE vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
INLINE vec v_sqrt(vec a)
{
    return _mm256_sqrt_ps(a);
}
INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
INLINE vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}
INLINE vec v_round(vec x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* In two steps, since 2^n itself may not be a float. */
INLINE vec v_scale(vec x, vec n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i b = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(x, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}
INLINE vec v_swap_pairs(vec x)
{
    return _mm256_permute_ps(x, 0xb1);
}
INLINE __m256i v_pairs(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
INLINE vec v_first_of_pairs(const void *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(v_pairs(p), 16));
}
INLINE vec v_second_of_pairs(const void *p)
{
    return _mm256_castsi256_ps(_mm256_and_si256(v_pairs(p), _mm256_set1_epi32((int)0xffff0000)));
}
INLINE vec v_load_bf16(const uint16_t *p)
{
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
INLINE void v_store_bf16(uint16_t *p, vec x)
{
    __m256i bits = _mm256_castps_si256(x), high = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m256i rounded = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16),
                                         _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(packed));
}
INLINE float v_reduce_add(vec x)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}
INLINE float v_reduce_max(vec x)
{
    __m128 max = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    max = _mm_max_ps(max, _mm_movehl_ps(max, max));
    return _mm_cvtss_f32(_mm_max_ss(max, _mm_shuffle_ps(max, max, 1)));
}
INLINE uint32_t v_greater_equal(vec a, vec b)
{
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ));
}
INLINE uint32_t v_equal(vec a, vec b)
{
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ));
}

typedef struct vec_sum {
    __m256d low, high;
} vec_sum;
INLINE vec_sum v_sum_zero(void)
{
    return (vec_sum){_mm256_setzero_pd(), _mm256_setzero_pd()};
}
INLINE vec_sum v_sum_add(vec_sum sum, vec x)
{
    sum.low = _mm256_add_pd(sum.low, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    sum.high = _mm256_add_pd(sum.high, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
    return sum;
}
INLINE double v_sum_total(vec_sum sum)
{
    __m256d both = _mm256_add_pd(sum.low, sum.high);
    __m128d half = _mm_add_pd(_mm256_castpd256_pd128(both), _mm256_extractf128_pd(both, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

INLINE size_t v_append(int32_t *ids, size_t count, uint32_t bits, size_t first)
{
    for (; bits != 0; bits &= bits - 1)
        ids[count++] = (int32_t)first + __builtin_ctz(bits);
    return count;
}

#endif

/* The first n lanes of x, rounded to bf16. */
INLINE void v_store_bf16_n(uint16_t *p, vec x, size_t n)
{
    uint16_t all[LANES];
    v_store_bf16(all, x);
    memcpy(p, all, (n < LANES ? n : LANES) * sizeof *p);
}

/* e^x to about one unit in the last place; 0 from -104 down, infinity from 89 up, NaN for NaN.
 * x = n ln 2 + r, ln 2 in two parts of which the first has 9 bits (Cody and Waite 1980, chapter 6);
 * e^r = 1 + r + r^2 q(r), q the minimax polynomial of degree 4 for the relative error on
 * |r| <= ln 2 / 2, fitted by Remez exchange at 200 bits: 3.1e-9 before rounding. */
INLINE vec v_exp(vec x)
{
    x = v_max(v_set1(-104.0f), v_min(v_set1(89.0f), x));
    const vec n = v_round(v_mul(x, v_set1(0x1.715476p+0f)));
    vec r = v_fma(n, v_set1(-0x1.63p-1f), x);
    r = v_fma(n, v_set1(0x1.bd0106p-13f), r);
    vec q = v_set1(0x1.6a244cp-10f);
    q = v_fma(q, r, v_set1(0x1.1239d4p-7f));
    q = v_fma(q, r, v_set1(0x1.5558f2p-5f));
    q = v_fma(q, r, v_set1(0x1.555492p-3f));
    q = v_fma(q, r, v_set1(0x1.fffffcp-2f));
    const vec e = v_add(v_fma(v_mul(r, r), q, r), v_set1(1.0f));
    return v_scale(e, n);
}

#endif
#endif
