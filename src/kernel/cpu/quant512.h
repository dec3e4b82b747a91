/* quant512.h: panels of quantised weights (quant.h) to floats with AVX-512, for the files that store
 * them as f32 or as pairs of bf16; and the linear layer of one row, which multiplies the vectors as
 * they come, in the order of the layers over widened weights: k ascending, one sum for each output.
 *
 * A vector of 16 numbers costs a shift, a look-up in a register and one multiplication: VPERMPS looks
 * at the low four bits of a lane alone (VPERMI2PS at five), so that codes need no mask and no
 * conversion. Every product of a scale with a whole number is exact in f32 (dtype.c), so a fused
 * multiply-add with the minimum rounds where the definition rounds, and the result equals the widened
 * weight to the bit. A NaN scale becomes the default NaN first, which rounding to bf16 by integer
 * addition cannot carry over into a number.
 *
 * In a file compiled for other instructions, this header is empty. */
#ifndef SLM_KERNEL_QUANT512_H
#define SLM_KERNEL_QUANT512_H

#ifdef __AVX512F__

#include "kernel/cpu/gemm512.h"

#include <immintrin.h>
#include <string.h>

/* What vectors become: f32; f32 rounded to bf16; pairs of bf16. */
typedef enum quant_store { STORE_F32, STORE_ROUNDED, STORE_PAIRS } quant_store;

/* Where they go: to memory, or into the sum of a row's products. */
typedef struct quant_sink {
    char *out;     /* NULL: into the sum */
    const char *x; /* the row from the next k on: f32, or bf16 beside pairs */
    __m512 sum;
} quant_sink;

/* What is set up once for a panel. */
typedef struct quant_tables {
    __m512 low, high; /* what codes 0..15 and 16..31 stand for */
    bool through_f16; /* NF4: products are rounded to f16 first */
} quant_tables;

/* Scales and minima of the 16 lanes of even and of odd vectors. */
typedef struct quant_scales {
    __m512 d[2], m[2];
} quant_scales;

INLINE __m512 default_nan(__m512 x)
{
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q),
                              _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)));
}

/* From one number for each of 16 outputs to the lanes of vectors (quant.h). */
INLINE void spread(const quant_store store, __m512 x, __m512 out[2])
{
    x = default_nan(x);
    if (store != STORE_PAIRS) {
        out[0] = out[1] = x;
        return;
    }
    const __m512i first = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    out[0] = _mm512_permutexvar_ps(first, x);
    out[1] = _mm512_permutexvar_ps(_mm512_add_epi32(first, _mm512_set1_epi32(8)), x);
}

INLINE __m512 halves_at(const char *at)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)at));
}

INLINE __m512 bytes_at(const bool is_signed, const char *at)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes)
                                        : _mm512_cvtepu8_epi32(bytes));
}

INLINE bool is_k(const slm_dtype type)
{
    return type == SLM_Q4_K || type == SLM_Q5_K || type == SLM_Q6_K;
}

INLINE bool adds_minimum(const slm_dtype type)
{
    return type == SLM_Q4_1 || type == SLM_Q5_1 || type == SLM_Q4_K || type == SLM_Q5_K;
}

/* Of a group; Q6_K: of its first or second 16 numbers. */
INLINE void scales_of(const slm_dtype type, const quant_store store, const char *head,
                      const char *group, const int second, quant_scales *out)
{
    __m512 d = type == SLM_NF4 ? _mm512_loadu_ps(head) : halves_at(head);
    if (is_k(type)) d = _mm512_mul_ps(d, bytes_at(type == SLM_Q6_K, group + 16 * second));
    spread(store, d, out->d);
    if (!adds_minimum(type)) return;
    __m512 m = halves_at(head + 32);
    if (is_k(type)) m = _mm512_mul_ps(m, bytes_at(false, group + 16));
    spread(store, m, out->m);
}

/* A code times its scale, and its minimum. `code` is the float that it stands for. */
INLINE __m512 scaled(const slm_dtype type, const quant_tables *tables, const quant_scales *s,
                     const int half, __m512 code)
{
    if (type == SLM_Q4_1 || type == SLM_Q5_1) return _mm512_fmadd_ps(s->d[half], code, s->m[half]);
    if (type == SLM_Q4_K || type == SLM_Q5_K) return _mm512_fmsub_ps(s->d[half], code, s->m[half]);
    __m512 x = _mm512_mul_ps(s->d[half], code);
    if (type == SLM_NF4 && tables->through_f16)
        x = _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    return x;
}

INLINE __m512 rounded_bf16(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    const __m512i even = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    const __m512i up = _mm512_mask_add_epi32(even, odd, bits, _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32((int)0xffff0000)));
}

/* Two vectors: a whole step of pairs, or of two k. */
INLINE void put_two(const quant_store store, const bool sums, quant_sink *sink, __m512 even,
                    __m512 odd)
{
    if (store == STORE_PAIRS) {
#ifdef __AVX512BF16__
        const __m512bh both = _mm512_cvtne2ps_pbh(odd, even);
        if (sums) {
            int32_t pair;
            memcpy(&pair, sink->x, sizeof pair);
            sink->x += sizeof pair;
            sink->sum = _mm512_dpbf16_ps(sink->sum, both, (__m512bh)_mm512_set1_epi32(pair));
            return;
        }
        _mm512_store_si512(sink->out, (__m512i)both);
        sink->out += 64;
#endif
        return;
    }
    if (store == STORE_ROUNDED) {
        even = rounded_bf16(even);
        odd = rounded_bf16(odd);
    }
    if (sums) {
        float x[2];
        memcpy(x, sink->x, sizeof x);
        sink->x += sizeof x;
        sink->sum = _mm512_fmadd_ps(_mm512_set1_ps(x[0]), even, sink->sum);
        sink->sum = _mm512_fmadd_ps(_mm512_set1_ps(x[1]), odd, sink->sum);
        return;
    }
    _mm512_store_ps(sink->out, even);
    _mm512_store_ps(sink->out + 64, odd);
    sink->out += 128;
}

/* The codes of eight vectors in turn: the next one is in the low bits. */
typedef struct quant_bits {
    __m512i low, high;
} quant_bits;

INLINE __m512 next_code(const slm_dtype type, const quant_tables *tables, quant_bits *bits)
{
    const __m512i low = bits->low, high = bits->high;
    bits->low = _mm512_srli_epi32(low, 4);
    if (type == SLM_Q5_0 || type == SLM_Q5_1 || type == SLM_Q5_K) {
        /* bit 4 from high, the others from low */
        const __m512i index = _mm512_ternarylogic_epi32(_mm512_set1_epi32(16), high, low, 0xca);
        bits->high = _mm512_ror_epi32(high, 1);
        return _mm512_permutex2var_ps(tables->low, index, tables->high);
    }
    if (type == SLM_Q6_K) {
        const __m512i both = _mm512_ternarylogic_epi32(_mm512_set1_epi32(48), high, low, 0xca);
        const __m512i q = _mm512_and_si512(both, _mm512_set1_epi32(63));
        bits->high = _mm512_ror_epi32(high, 2);
        return _mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(32)));
    }
    return _mm512_permutexvar_ps(low, tables->low);
}

INLINE void group_q8(const quant_store store, const bool sums, const quant_scales *s,
                     const char *codes, quant_sink *sink)
{
    for (int v = 0; v < SLM_KERNEL_GROUP; v += 2, codes += 32) {
        const __m512 even = _mm512_mul_ps(s->d[0], bytes_at(true, codes));
        const __m512 odd = _mm512_mul_ps(s->d[1], bytes_at(true, codes + 16));
        put_two(store, sums, sink, even, odd);
    }
}

/* One group of 32 k: 2 KiB of f32, 1 KiB of pairs. */
INLINE void one_group(const slm_dtype type, const quant_store store, const bool sums,
                      const quant_tables *tables, const char *head, const char *group,
                      quant_sink *sink)
{
    const char *codes = group + (is_k(type) ? 32 : 0), *more = codes + 256;
    quant_scales scales = {{_mm512_setzero_ps(), _mm512_setzero_ps()},
                           {_mm512_setzero_ps(), _mm512_setzero_ps()}};
    scales_of(type, store, head, group, 0, &scales);
    if (type == SLM_Q8_0) {
        group_q8(store, sums, &scales, codes, sink);
        return;
    }
    quant_bits bits = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    if (type == SLM_Q5_0 || type == SLM_Q5_1 || type == SLM_Q5_K)
        bits.high = _mm512_rol_epi32(_mm512_loadu_si512(more), 4);
#pragma GCC unroll 4
    for (int word = 0; word < 4; word++) {
        bits.low = _mm512_loadu_si512(codes + 64 * word);
        if (type == SLM_Q6_K && word % 2 == 0) {
            bits.high = _mm512_rol_epi32(_mm512_loadu_si512(more + 32 * word), 4);
            if (word == 2) scales_of(type, store, head, group, 1, &scales);
        }
#pragma GCC unroll 4
        for (int pair = 0; pair < 4; pair++) {
            const __m512 even = next_code(type, tables, &bits);
            const __m512 odd = next_code(type, tables, &bits);
            put_two(store, sums, sink, scaled(type, tables, &scales, 0, even),
                    scaled(type, tables, &scales, 1, odd));
        }
    }
}

INLINE quant_tables tables_of(const slm_kernel__quant *quant)
{
    const float below = quant->dtype == SLM_Q4_0 ? 8.0f : quant->dtype == SLM_Q5_0 ? 16.0f : 0.0f;
    const __m512 count = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    quant_tables tables;
    tables.low = _mm512_sub_ps(count, _mm512_set1_ps(below));
    tables.high = _mm512_sub_ps(count, _mm512_set1_ps(below - 16.0f));
    tables.through_f16 = quant->rounded == SLM_F16;
    if (quant->dtype == SLM_NF4) tables.low = _mm512_loadu_ps(quant->codes);
    return tables;
}

INLINE void groups_of(const slm_dtype type, const quant_store store, const bool sums,
                      const slm_kernel__quant *quant, const char *panel, size_t begin, size_t end,
                      size_t ahead, quant_sink *sink_out)
{
    const size_t groups = quant->super / SLM_KERNEL_GROUP; /* of a super block */
    const quant_tables tables = tables_of(quant);
    const char *head = panel + begin / groups * quant->super_bytes;
    size_t within = begin % groups;
    quant_sink sink = *sink_out;
    for (size_t g = begin; g < end; g++) {
        const char *group = head + quant->head_bytes + within * quant->group_bytes;
        for (size_t line = 0; line < quant->group_bytes; line += 64)
            if (sums) /* soon */
                _mm_prefetch(group + ahead + line, _MM_HINT_T0);
            else
                _mm_prefetch(group + ahead + line, _MM_HINT_T1);
        one_group(type, store, sums, &tables, head, group, &sink);
        if (++within == groups) {
            within = 0;
            head += quant->super_bytes;
        }
    }
    *sink_out = sink;
}

/* Each type compiled by itself. */
INLINE void each_type(const quant_store store, const bool sums, const slm_kernel__quant *quant,
                      const char *panel, size_t begin, size_t end, size_t ahead, quant_sink *sink)
{
    switch (quant->dtype) {
    case SLM_Q8_0:
        groups_of(SLM_Q8_0, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_Q4_0:
        groups_of(SLM_Q4_0, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_Q4_1:
        groups_of(SLM_Q4_1, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_Q5_0:
        groups_of(SLM_Q5_0, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_Q5_1:
        groups_of(SLM_Q5_1, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_Q4_K:
        groups_of(SLM_Q4_K, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_Q5_K:
        groups_of(SLM_Q5_K, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_Q6_K:
        groups_of(SLM_Q6_K, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    case SLM_NF4:
        groups_of(SLM_NF4, store, sums, quant, panel, begin, end, ahead, sink);
        break;
    default:
        SLM_ASSERT(!"a quantised type");
    }
}

INLINE void decode(const quant_store store, const slm_kernel__quant *quant, const char *panel,
                   size_t begin, size_t end, size_t ahead, char *out)
{
    quant_sink sink = {.out = out, .sum = _mm512_setzero_ps()};
    each_type(store, false, quant, panel, begin, end, ahead, &sink);
}

/* A linear layer of one row. Panels stand one behind the other and are read once. */
enum { ONE_ROW_AHEAD = 4096 };
INLINE void one_row(const quant_store store, const slm_cpu__gemm *job, const slm_cpu__quantised *w,
                    size_t begin, size_t end)
{
    SLM_ASSERT(job->m == 1);
    for (size_t block = begin; block < end; block++) {
        quant_sink sink = {.x = job->x, .sum = _mm512_setzero_ps()};
        each_type(store, true, w->quant, w->panels + block * w->panel_bytes, 0,
                  job->k / SLM_KERNEL_GROUP, ONE_ROW_AHEAD, &sink);
        slm_cpu__store_block(job, sink.sum, 0, block);
    }
}

#endif
#endif
