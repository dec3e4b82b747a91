/* quants.c: blocks of quantised types taken apart: whole numbers, scales and minima as the file has
 * them, in the order of the numbers. The layouts are those of dtype.c and nf4.c; what the parts
 * multiply to is slm_tensor_read's to say, and a test holds the two together. */
#include <string.h>
#include "tensor/tensor_internal.h"

static uint16_t load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

/* 32 numbers of 4 bits, and of a fifth where `high` is given. */
static void read_32(const uint8_t *low, const uint8_t *high, uint8_t *q)
{
    for (int i = 0; i < 32; i++) {
        int value = low[i % 16] >> (i / 16 * 4) & 15;
        if (high != NULL) value |= (high[i / 8] >> i % 8 & 1) << 4;
        q[i] = (uint8_t)value;
    }
}

static void read_q45_k(const uint8_t *in, bool five, slm_quants *out)
{
    const uint8_t *high = in + 16, *low = high + (five ? 32 : 0);
    out->d = load_u16(in);
    out->m = load_u16(in + 2);
    slm_tensor__unpack_scales(in + 4, out->scales, out->minima);
    for (int i = 0; i < 256; i++) {
        int group = i / 32, value = low[group / 2 * 32 + i % 32] >> (group % 2 * 4) & 15;
        if (five) value |= (high[i % 32] >> group & 1) << 4;
        out->q[i] = (uint8_t)value;
    }
}

static void read_q6_k(const uint8_t *in, slm_quants *out)
{
    out->d = load_u16(in + 208);
    memcpy(out->scales, in + 192, 16);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, quarter = i / 32 % 4;
        int low = in[half * 64 + quarter % 2 * 32 + i % 32] >> (quarter / 2 * 4) & 15;
        int high = in[128 + half * 32 + i % 32] >> (quarter * 2) & 3;
        out->q[i] = (uint8_t)(low | high << 4);
    }
}

static void read_nf4(const slm_tensor *tensor, size_t first, slm_quants *out)
{
    const slm_nf4 *nf4 = tensor->nf4;
    const uint8_t *in = tensor->data;
    SLM_ASSERT(first / nf4->block == (first + 31) / nf4->block);
    out->scale = slm_tensor__nf4_scale(nf4, first / nf4->block);
    for (size_t i = 0; i < 32; i++)
        out->q[i] = in[(first + i) / 2] >> ((first + i) % 2 ? 0 : 4) & 15;
}

void slm_tensor_read_quants(const slm_tensor *tensor, size_t first, slm_quants *out)
{
    if (tensor->dtype == SLM_NF4) {
        read_nf4(tensor, first, out);
        return;
    }
    const uint8_t *in = (const uint8_t *)tensor->data + slm_dtype_bytes(tensor->dtype, first);
    const bool has_minimum = tensor->dtype == SLM_Q4_1 || tensor->dtype == SLM_Q5_1;
    const uint8_t *codes = in + (has_minimum ? 4 : 2);
    out->d = load_u16(in);
    out->m = has_minimum ? load_u16(in + 2) : 0;
    switch (tensor->dtype) {
    case SLM_Q8_0:
        memcpy(out->q, codes, 32);
        break;
    case SLM_Q4_0:
    case SLM_Q4_1:
        read_32(codes, NULL, out->q);
        break;
    case SLM_Q5_0:
    case SLM_Q5_1:
        read_32(codes + 4, codes, out->q);
        break;
    case SLM_Q4_K:
    case SLM_Q5_K:
        read_q45_k(in, tensor->dtype == SLM_Q5_K, out);
        break;
    case SLM_Q6_K:
        read_q6_k(in, out);
        break;
    default:
        SLM_ASSERT(!"a quantised type");
    }
}

void slm_tensor_nf4_codes(const slm_tensor *tensor, float codes[16], slm_dtype *rounded,
                          uint64_t *block)
{
    SLM_ASSERT(tensor->dtype == SLM_NF4);
    memcpy(codes, tensor->nf4->map, sizeof tensor->nf4->map);
    *rounded = tensor->nf4->rounded;
    *block = tensor->nf4->block;
}
