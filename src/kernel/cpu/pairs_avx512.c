/* pairs_avx512.c: laying bf16 matrices the way the bf16 instructions want their operands: what a
 * gradient reads runs across what the forward reads along.
 *
 * Three transpositions, all of 16 columns at a time: of a packed block of weights (16 outputs by pairs
 * of k) to pairs of outputs by k; of rows of activations to pairs of rows by columns, the layout of
 * weights; and of rows to columns, the layout of inputs. Numbers are moved, never changed. */
#include "kernel/cpu/cpu.h"
#include "kernel/cpu/turn512.h"

#include <immintrin.h>

enum { LANES = SLM_KERNEL_BLOCK };

/* The first n of 16 lanes. */
static __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n >= LANES ? 0xffffu : (1u << n) - 1);
}

/* Row j of out = the j-th 64 bits of v[0], v[1] ..: half an 8 x 8 transposition each. */
static void turn_half(__m512i a, __m512i b, __m512i c, __m512i d, char *out)
{
    const __m512i low = _mm512_shuffle_i64x2(a, b, 0x44), low2 = _mm512_shuffle_i64x2(c, d, 0x44);
    const __m512i high = _mm512_shuffle_i64x2(a, b, 0xee), high2 = _mm512_shuffle_i64x2(c, d, 0xee);
    _mm512_store_si512(out, _mm512_shuffle_i64x2(low, low2, 0x88));
    _mm512_store_si512(out + 2 * 64, _mm512_shuffle_i64x2(low, low2, 0xdd));
    _mm512_store_si512(out + 4 * 64, _mm512_shuffle_i64x2(high, high2, 0x88));
    _mm512_store_si512(out + 6 * 64, _mm512_shuffle_i64x2(high, high2, 0xdd));
}

void slm_cpu__pairs_turn(const char *block, size_t columns, char *out)
{
    /* of two neighbours (a0 a1) (b0 b1): (a0 b0) (a1 b1) */
    const __m512i cross =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    const size_t vectors = (columns + 1) / 2;
    __m512i v[8];
    for (size_t i = 0; i < 8; i++)
        v[i] = i < vectors ? _mm512_shuffle_epi8(_mm512_load_si512(block + 64 * i), cross)
                           : _mm512_setzero_si512();
    turn_half(_mm512_unpacklo_epi64(v[0], v[1]), _mm512_unpacklo_epi64(v[2], v[3]),
              _mm512_unpacklo_epi64(v[4], v[5]), _mm512_unpacklo_epi64(v[6], v[7]), out);
    turn_half(_mm512_unpackhi_epi64(v[0], v[1]), _mm512_unpackhi_epi64(v[2], v[3]),
              _mm512_unpackhi_epi64(v[4], v[5]), _mm512_unpackhi_epi64(v[6], v[7]), out + 64);
}

/* (row i, row i + 1) of 16 columns; rows from `rows` on are zero. */
static __m512i pair_of_rows(const uint16_t *from, size_t stride, size_t i, size_t rows,
                            __mmask16 mask)
{
    if (i >= rows) return _mm512_setzero_si512();
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + i * stride));
    if (i + 1 >= rows) return low;
    const __m512i high =
        _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + (i + 1) * stride));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

void slm_cpu__pairs_panel(const uint16_t *from, size_t stride, size_t rows, size_t columns,
                          char *out)
{
    const __mmask16 mask = first_lanes(columns);
    for (size_t i = 0; i < rows; i += 2, out += 64)
        _mm512_store_si512(out, pair_of_rows(from, stride, i, rows, mask));
}

void slm_cpu__pairs_columns(const uint16_t *from, size_t stride, size_t rows, size_t columns,
                            uint16_t *out, size_t out_stride)
{
    const __mmask16 mask = first_lanes(columns);
    for (size_t first = 0; first < rows; first += 2 * LANES) {
        __m512i r[LANES];
        for (size_t i = 0; i < LANES; i++)
            r[i] = pair_of_rows(from, stride, first + 2 * i, rows, mask);
        slm_cpu__turn_words(r);
        for (size_t c = 0; c < columns; c++)
            _mm512_store_si512(out + c * out_stride + first, r[c]);
    }
}
