/* quant_avx2.c: panels of quantised weights (quant.h, plain lanes) to f32 with AVX2: a vector of 16
 * lanes is two of 8.
 *
 * Codes are cut out by a shift and a mask and converted; as in quant512.h products are exact, so the
 * fused multiply-add rounds where the definition does. NF4 looks its codes up in two registers of
 * eight and takes one or the other by bit 3. The linear layer of one row multiplies vectors as they
 * come, in the order of gemm_avx2.c: k ascending, one sum for each output. */
#include "kernel/cpu/gemm256.h"

#include <string.h>

typedef struct tables {
    __m256 low, high; /* NF4: what codes 0..7 and 8..15 stand for */
    bool through_f16, round;
} tables;

INLINE __m256 default_nan(__m256 x)
{
    return _mm256_blendv_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)),
                            _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

INLINE __m256 halves_at(const char *at)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)at));
}

INLINE __m256 bytes_at(const bool is_signed, const char *at)
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)at);
    return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(bytes)
                                        : _mm256_cvtepu8_epi32(bytes));
}

INLINE bool is_k(const slm_dtype type)
{
    return type == SLM_Q4_K || type == SLM_Q5_K || type == SLM_Q6_K;
}

INLINE bool five_bits(const slm_dtype type)
{
    return type == SLM_Q5_0 || type == SLM_Q5_1 || type == SLM_Q5_K;
}

/* Scale of lanes [8 part, 8 part + 8) of a group; Q6_K: of its first or second 16 numbers. */
INLINE __m256 scale_of(const slm_dtype type, const char *head, const char *group, const int part,
                       const int second)
{
    __m256 d = type == SLM_NF4 ? _mm256_loadu_ps((const float *)(const void *)head + 8 * part)
                               : halves_at(head + 16 * part);
    if (is_k(type))
        d = _mm256_mul_ps(d, bytes_at(type == SLM_Q6_K, group + 16 * second + 8 * part));
    return default_nan(d);
}

INLINE __m256 minimum_of(const slm_dtype type, const char *head, const char *group, const int part)
{
    __m256 m = halves_at(head + 32 + 16 * part);
    if (is_k(type)) m = _mm256_mul_ps(m, bytes_at(false, group + 16 + 8 * part));
    return default_nan(m);
}

INLINE __m256 scaled(const slm_dtype type, const tables *t, __m256 d, __m256 m, __m256i q)
{
    if (type == SLM_NF4) {
        const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(q, 28));
        const __m256 code = _mm256_blendv_ps(_mm256_permutevar8x32_ps(t->low, q),
                                             _mm256_permutevar8x32_ps(t->high, q), upper);
        const __m256 x = _mm256_mul_ps(d, code);
        if (!t->through_f16) return x;
        return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }
    const int below = type == SLM_Q4_0 ? 8 : type == SLM_Q5_0 ? 16 : type == SLM_Q6_K ? 32 : 0;
    if (below > 0) q = _mm256_sub_epi32(q, _mm256_set1_epi32(below));
    const __m256 code = _mm256_cvtepi32_ps(q);
    if (type == SLM_Q4_1 || type == SLM_Q5_1) return _mm256_fmadd_ps(d, code, m);
    if (type == SLM_Q4_K || type == SLM_Q5_K) return _mm256_fmsub_ps(d, code, m);
    return _mm256_mul_ps(d, code);
}

/* Where vectors go: to memory, or into the sum of a row's products. */
typedef struct sink {
    char *out; /* every 64 bytes */
    const float *x;
    __m256 sum;
} sink;

INLINE void put(const bool sums, const tables *t, sink *to, __m256 x)
{
    if (t->round) {
        const __m256i bits = _mm256_castps_si256(x);
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        x = _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32((int)0xffff0000)));
    }
    if (sums) {
        to->sum = _mm256_fmadd_ps(_mm256_broadcast_ss(to->x++), x, to->sum);
        return;
    }
    _mm256_store_ps((float *)(void *)to->out, x);
    to->out += 64;
}

INLINE __m256i words_at(const char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* Lanes [8 part, 8 part + 8) of a group's 32 vectors. */
INLINE void half_group(const slm_dtype type, const bool sums, const tables *t, const char *head,
                       const char *group, const int part, sink *to)
{
    const char *codes = group + (is_k(type) ? 32 : 0), *more = codes + 256 + 32 * part;
    const bool minimum =
        type == SLM_Q4_1 || type == SLM_Q5_1 || type == SLM_Q4_K || type == SLM_Q5_K;
    __m256 d = scale_of(type, head, group, part, 0);
    const __m256 m = minimum ? minimum_of(type, head, group, part) : _mm256_setzero_ps();
    if (type == SLM_Q8_0) {
        for (int v = 0; v < SLM_KERNEL_GROUP; v++)
            put(sums, t, to, _mm256_mul_ps(d, bytes_at(true, codes + 16 * v + 8 * part)));
        return;
    }
    __m256i high = five_bits(type) ? words_at(more) : _mm256_setzero_si256();
    for (int word = 0; word < 4; word++) {
        __m256i low = words_at(codes + 64 * word + 32 * part);
        if (type == SLM_Q6_K && word % 2 == 0) {
            high = words_at(more + 32 * word);
            if (word == 2) d = scale_of(type, head, group, part, 1);
        }
        for (int v = 0; v < 8; v++) {
            __m256i q = _mm256_and_si256(low, _mm256_set1_epi32(15));
            low = _mm256_srli_epi32(low, 4);
            if (five_bits(type) || type == SLM_Q6_K) {
                const __m256i mask = _mm256_set1_epi32(type == SLM_Q6_K ? 3 : 1);
                q = _mm256_or_si256(q, _mm256_slli_epi32(_mm256_and_si256(high, mask), 4));
                high = _mm256_srli_epi32(high, type == SLM_Q6_K ? 2 : 1);
            }
            put(sums, t, to, scaled(type, t, d, m, q));
        }
    }
}

/* Groups [begin, end) to out, or the whole row at x into sums. */
INLINE void groups_of(const slm_dtype type, const bool sums, const slm_kernel__quant *quant,
                      const char *panel, size_t begin, size_t end, size_t ahead, sink to[2])
{
    const size_t groups = quant->super / SLM_KERNEL_GROUP; /* of a super block */
    const tables t = {
        .low = _mm256_loadu_ps(quant->codes),
        .high = _mm256_loadu_ps(quant->codes + 8),
        .through_f16 = quant->rounded == SLM_F16,
        .round = quant->as == SLM_BF16 || quant->rounded == SLM_BF16,
    };
    sink low = to[0], high = to[1];
    for (size_t g = begin; g < end; g++) {
        const char *head = panel + g / groups * quant->super_bytes;
        const char *group = head + quant->head_bytes + g % groups * quant->group_bytes;
        for (size_t line = 0; line < quant->group_bytes; line += 64)
            _mm_prefetch(group + ahead + line, _MM_HINT_T0);
        half_group(type, sums, &t, head, group, 0, &low);
        half_group(type, sums, &t, head, group, 1, &high);
    }
    to[0] = low;
    to[1] = high;
}

/* For one row; panels stand one behind the other and are read once. */
enum { ONE_ROW_AHEAD = 4096 };

/* Each type compiled by itself. */
INLINE void each_type(const bool sums, const slm_kernel__quant *quant, const char *panel,
                      size_t begin, size_t end, size_t ahead, sink to[2])
{
    switch (quant->dtype) {
    case SLM_Q8_0:
        groups_of(SLM_Q8_0, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_Q4_0:
        groups_of(SLM_Q4_0, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_Q4_1:
        groups_of(SLM_Q4_1, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_Q5_0:
        groups_of(SLM_Q5_0, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_Q5_1:
        groups_of(SLM_Q5_1, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_Q4_K:
        groups_of(SLM_Q4_K, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_Q5_K:
        groups_of(SLM_Q5_K, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_Q6_K:
        groups_of(SLM_Q6_K, sums, quant, panel, begin, end, ahead, to);
        break;
    case SLM_NF4:
        groups_of(SLM_NF4, sums, quant, panel, begin, end, ahead, to);
        break;
    default:
        SLM_ASSERT(!"a quantised type");
    }
}

void slm_cpu__quant_avx2(const slm_kernel__quant *quant, const char *panel, size_t begin,
                         size_t end, size_t ahead, char *out)
{
    sink to[2] = {{.out = out}, {.out = out + 32}};
    each_type(false, quant, panel, begin, end, ahead, to);
}

void slm_cpu__gemv_avx2(const slm_cpu__gemm *job, const slm_cpu__quantised *w, size_t begin,
                        size_t end)
{
    SLM_ASSERT(job->m == 1);
    for (size_t block = begin; block < end; block++) {
        sink to[2] = {{.x = job->x}, {.x = job->x}};
        to[0].sum = to[1].sum = _mm256_setzero_ps();
        each_type(true, w->quant, w->panels + block * w->panel_bytes, 0, job->k / SLM_KERNEL_GROUP,
                  ONE_ROW_AHEAD, to);
        for (size_t half = 0; half < 2; half++) {
            const size_t column = block * SLM_KERNEL_BLOCK + 8 * half;
            if (column < job->n) slm_cpu__store_half(job, to[half].sum, 0, column);
        }
    }
}
