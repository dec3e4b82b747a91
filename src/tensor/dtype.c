/* dtype.c: data types and the decoding of block quantisation.
 *
 * A block of 32 numbers shares a half-precision scale d (and, in Q4_1, a minimum m):
 *
 *     Q8_0   d | 32 x int8          x = d q
 *     Q4_0   d | 16 bytes           x = d (q - 8)
 *     Q4_1   d, m | 16 bytes        x = d q + m
 *
 * In the 4-bit types byte i holds item i in its low half and item i + 16 in its high half. The
 * formats are those of the ggml project (ggml-common.h gives the layouts). A half has 11 bits and a
 * q at most 8, so d q is exact in f32 and only the sum with m is rounded, once: the result equals the
 * gguf Python package's to the bit, fused multiply-add or not. */
#include <string.h>
#include "tensor/tensor.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are little endian");

enum { BLOCK = 32 };

static const struct {
    const char *name;
    size_t items, bytes; /* of a block */
} dtypes[SLM_DTYPE_COUNT] = {
    [SLM_F32] = {"F32", 1, 4},        [SLM_F16] = {"F16", 1, 2},
    [SLM_BF16] = {"BF16", 1, 2},      [SLM_Q8_0] = {"Q8_0", BLOCK, 34},
    [SLM_Q4_0] = {"Q4_0", BLOCK, 18}, [SLM_Q4_1] = {"Q4_1", BLOCK, 20},
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
    case SLM_Q8_0:
        dequantise_q8_0(in, items / BLOCK, out);
        break;
    case SLM_Q4_0:
        dequantise_q4_0(in, items / BLOCK, out);
        break;
    case SLM_Q4_1:
        dequantise_q4_1(in, items / BLOCK, out);
        break;
    case SLM_DTYPE_COUNT:
        break;
    }
}
