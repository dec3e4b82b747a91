/* dtype.c: data types and the decoding of block quantisation.
 *
 * A block of 32 numbers shares a half-precision scale d (and, in Q4_1 and Q5_1, a minimum m):
 *
 *     Q8_0   d | 32 x int8               x = d q
 *     Q4_0   d | 16 bytes                x = d (q - 8)
 *     Q4_1   d, m | 16 bytes             x = d q + m
 *     Q5_0   d | u32 | 16 bytes          x = d (q - 16), bit i of the u32 is bit 4 of item i
 *     Q5_1   d, m | u32 | 16 bytes       x = d q + m
 *
 * Byte i holds the low four bits of item i in its low half and of item i + 16 in its high half. The
 * K types have 256 numbers in a block: 8 groups of 32, or 16 groups of 16, with a small integer
 * scale each, in units of a half that they share. Their layouts stand at their functions.
 *
 * The formats are those of the ggml project (ggml-common.h gives the layouts). A half has 11 bits, a
 * group's scale at most 7 more and a q at most 5, so every product is exact in f32 and only the sum
 * with a minimum is rounded, once: the result equals the gguf Python package's to the bit, fused
 * multiply-add or not. */
#include <string.h>
#include "tensor/tensor_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are little endian");

enum { BLOCK = 32, SUPER = 256 };

static const struct {
    const char *name;
    size_t items, bytes; /* of a block */
} dtypes[SLM_DTYPE_COUNT] = {
    [SLM_F32] = {"F32", 1, 4},         [SLM_F16] = {"F16", 1, 2},
    [SLM_BF16] = {"BF16", 1, 2},       [SLM_Q8_0] = {"Q8_0", BLOCK, 34},
    [SLM_Q4_0] = {"Q4_0", BLOCK, 18},  [SLM_Q4_1] = {"Q4_1", BLOCK, 20},
    [SLM_Q5_0] = {"Q5_0", BLOCK, 22},  [SLM_Q5_1] = {"Q5_1", BLOCK, 24},
    [SLM_Q4_K] = {"Q4_K", SUPER, 144}, [SLM_Q5_K] = {"Q5_K", SUPER, 176},
    [SLM_Q6_K] = {"Q6_K", SUPER, 210}, [SLM_NF4] = {"NF4", 2, 1},
    [SLM_F64] = {"F64", 1, 8},         [SLM_I64] = {"I64", 1, 8},
    [SLM_I32] = {"I32", 1, 4},         [SLM_I16] = {"I16", 1, 2},
    [SLM_I8] = {"I8", 1, 1},           [SLM_U64] = {"U64", 1, 8},
    [SLM_U32] = {"U32", 1, 4},         [SLM_U16] = {"U16", 1, 2},
    [SLM_U8] = {"U8", 1, 1},           [SLM_BOOL] = {"BOOL", 1, 1},
    [SLM_F8_E4M3] = {"F8_E4M3", 1, 1}, [SLM_F8_E5M2] = {"F8_E5M2", 1, 1},
};

const char *slm_dtype_name(slm_dtype dtype)
{
    SLM_ASSERT(dtype < SLM_DTYPE_COUNT);
    return dtypes[dtype].name;
}

size_t slm_dtype_block_items(slm_dtype dtype)
{
    SLM_ASSERT(dtype < SLM_DTYPE_COUNT);
    return dtypes[dtype].items;
}

size_t slm_dtype_block_bytes(slm_dtype dtype)
{
    SLM_ASSERT(dtype < SLM_DTYPE_COUNT);
    return dtypes[dtype].bytes;
}

size_t slm_dtype_bytes(slm_dtype dtype, size_t items)
{
    SLM_ASSERT(dtype < SLM_DTYPE_COUNT);
    SLM_ASSERT(items % dtypes[dtype].items == 0);
    size_t blocks = items / dtypes[dtype].items;
    SLM_ASSERT(blocks <= SIZE_MAX / dtypes[dtype].bytes);
    return blocks * dtypes[dtype].bytes;
}

bool slm_dtype_is_weight(slm_dtype dtype)
{
    SLM_ASSERT(dtype < SLM_DTYPE_COUNT);
    return dtype <= SLM_NF4;
}

bool slm_dtype_is_quantised(slm_dtype dtype)
{
    return slm_dtype_is_weight(dtype) && dtype >= SLM_Q8_0;
}

float slm_f16_to_f32(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000u) << 16;
    uint32_t exponent = (value >> 10) & 0x1fu;
    uint32_t fraction = value & 0x3ffu;
    union {
        uint32_t u;
        float f;
    } bits;
    if (exponent == 0) {
        /* Zero or subnormal: fraction * 2^-24, which f32 holds exactly. */
        bits.f = (float)fraction * 0x1p-24f;
        bits.u |= sign;
    } else if (exponent == 31) {
        bits.u = sign | 0x7f800000u | fraction << 13;
    } else {
        bits.u = sign | (exponent + 112u) << 23 | fraction << 13;
    }
    return bits.f;
}

uint16_t slm_f16_from_f32(float value)
{
    union {
        float f;
        uint32_t u;
    } bits = {value};
    uint16_t sign = (uint16_t)(bits.u >> 16 & 0x8000u);
    bits.u &= 0x7fffffffu;
    if (bits.u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (bits.u >> 13 & 0x1ffu));
    if (bits.u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520: halfway past 65504 */
    if (bits.u < 0x38800000u) {
        /* Below 2^-14 the steps are 2^-24, which are those of an f32 in [0.5, 1): the addition
         * rounds. */
        bits.f += 0.5f;
        return (uint16_t)(sign | (bits.u - 0x3f000000u));
    }
    bits.u += 0xfffu + (bits.u >> 13 & 1u);
    return (uint16_t)(sign | (bits.u - (112u << 23)) >> 13);
}

static uint16_t load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static void dequantise_q8_0(const uint8_t *in, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, in += 34, out += BLOCK) {
        float d = slm_f16_to_f32(load_u16(in));
        const int8_t *q = (const int8_t *)(in + 2);
        for (size_t i = 0; i < BLOCK; i++)
            out[i] = d * (float)q[i];
    }
}

static void dequantise_q4_0(const uint8_t *in, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, in += 18, out += BLOCK) {
        float d = slm_f16_to_f32(load_u16(in));
        const uint8_t *q = in + 2;
        for (size_t i = 0; i < BLOCK / 2; i++) {
            out[i] = d * (float)((q[i] & 15) - 8);
            out[i + BLOCK / 2] = d * (float)((q[i] >> 4) - 8);
        }
    }
}

static void dequantise_q4_1(const uint8_t *in, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, in += 20, out += BLOCK) {
        float d = slm_f16_to_f32(load_u16(in));
        float m = slm_f16_to_f32(load_u16(in + 2));
        const uint8_t *q = in + 4;
        for (size_t i = 0; i < BLOCK / 2; i++) {
            out[i] = d * (float)(q[i] & 15) + m;
            out[i + BLOCK / 2] = d * (float)(q[i] >> 4) + m;
        }
    }
}

/* Q5_0 and Q5_1. */
static void dequantise_q5(const uint8_t *in, size_t blocks, bool has_minimum, float *out)
{
    for (size_t b = 0; b < blocks; b++, in += has_minimum ? 24 : 22, out += BLOCK) {
        float d = slm_f16_to_f32(load_u16(in));
        float m = has_minimum ? slm_f16_to_f32(load_u16(in + 2)) : 0;
        const uint8_t *high = in + (has_minimum ? 4 : 2), *low = high + 4;
        for (int i = 0; i < BLOCK; i++) {
            int q = (low[i % 16] >> (i / 16 * 4) & 15) | (high[i / 8] >> i % 8 & 1) << 4;
            out[i] = has_minimum ? d * (float)q + m : d * (float)(q - 16);
        }
    }
}

void slm_tensor__unpack_scales(const uint8_t in[12], uint8_t scales[8], uint8_t minima[8])
{
    for (int j = 0; j < 4; j++) {
        scales[j] = in[j] & 63;
        minima[j] = in[4 + j] & 63;
        scales[4 + j] = (uint8_t)((in[8 + j] & 15) | (in[j] >> 6) << 4);
        minima[4 + j] = (uint8_t)((in[8 + j] >> 4) | (in[4 + j] >> 6) << 4);
    }
}

/* Q4_K: d, e | 12 bytes of scales | 128 bytes; Q5_K with 32 bytes of high bits before the last. Each
 * 32 of the bytes hold two groups, the even one in the low halves; bit g of high byte i is bit 4 of
 * item i of group g. x = (d scale) q - e minimum. */
static void dequantise_q45_k(const uint8_t *in, size_t blocks, bool five, float *out)
{
    for (size_t b = 0; b < blocks; b++, in += five ? 176 : 144) {
        float d = slm_f16_to_f32(load_u16(in)), e = slm_f16_to_f32(load_u16(in + 2));
        const uint8_t *high = in + 16, *low = high + (five ? 32 : 0);
        uint8_t scales[8], minima[8];
        slm_tensor__unpack_scales(in + 4, scales, minima);
        for (int g = 0; g < 8; g++) {
            float scale = d * (float)scales[g], minimum = e * (float)minima[g];
            for (int i = 0; i < 32; i++) {
                int q = low[g / 2 * 32 + i] >> (g % 2 * 4) & 15;
                if (five) q |= (high[i] >> g & 1) << 4;
                *out++ = scale * (float)q - minimum;
            }
        }
    }
}

/* Q6_K: 128 bytes of low halves | 64 bytes of high pairs | 16 x int8 scales | d. Of each half of the
 * block: quarter k (32 items) has its low bits in 32 bytes at 32 (k % 2), low half first for k < 2,
 * and bits 4 and 5 in pair k of 32 bytes. */
static void dequantise_q6_k(const uint8_t *in, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, in += 210) {
        const int8_t *scales = (const int8_t *)(in + 192);
        float d = slm_f16_to_f32(load_u16(in + 208));
        for (int quarter = 0; quarter < 8; quarter++, out += 32) {
            int half = quarter / 4, k = quarter % 4;
            const uint8_t *low = in + half * 64 + k % 2 * 32, *high = in + 128 + half * 32;
            float first = d * (float)scales[quarter * 2],
                  second = d * (float)scales[quarter * 2 + 1];
            for (int i = 0; i < 32; i++) {
                int q = (low[i] >> (k / 2 * 4) & 15) | (high[i] >> (k * 2) & 3) << 4;
                out[i] = (i < 16 ? first : second) * (float)(q - 32);
            }
        }
    }
}

static void dequantise_blocks(slm_dtype dtype, const uint8_t *in, size_t blocks, float *out)
{
    switch (dtype) {
    case SLM_Q8_0:
        dequantise_q8_0(in, blocks, out);
        break;
    case SLM_Q4_0:
        dequantise_q4_0(in, blocks, out);
        break;
    case SLM_Q4_1:
        dequantise_q4_1(in, blocks, out);
        break;
    case SLM_Q5_0:
    case SLM_Q5_1:
        dequantise_q5(in, blocks, dtype == SLM_Q5_1, out);
        break;
    case SLM_Q4_K:
    case SLM_Q5_K:
        dequantise_q45_k(in, blocks, dtype == SLM_Q5_K, out);
        break;
    case SLM_Q6_K:
        dequantise_q6_k(in, blocks, out);
        break;
    default:
        SLM_ASSERT(!"a type that slm_dequantise reads");
    }
}

void slm_dequantise(slm_dtype dtype, const void *data, size_t items, float *out)
{
    SLM_ASSERT(dtype < SLM_DTYPE_COUNT);
    SLM_ASSERT(items % dtypes[dtype].items == 0);
    const uint8_t *in = data;
    if (items == 0) return;
    switch (dtype) {
    case SLM_F32:
        memcpy(out, in, items * sizeof(float));
        break;
    case SLM_F16:
        for (size_t i = 0; i < items; i++)
            out[i] = slm_f16_to_f32(load_u16(in + 2 * i));
        break;
    case SLM_BF16:
        for (size_t i = 0; i < items; i++)
            out[i] = slm_bf16_to_f32(load_u16(in + 2 * i));
        break;
    default:
        dequantise_blocks(dtype, in, items / dtypes[dtype].items, out);
    }
}
