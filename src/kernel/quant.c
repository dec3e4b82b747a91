/* quant.c: packing quantised weights into panels, and reading them back in plain C.
 *
 * The reader here is the truth for the fast ones in cpu/, and serves where speed does not matter: ref,
 * and rows of an embedding. It computes each number by the operations of tensor's slm_tensor_read,
 * in f32 and in their order, so that a weight kept like this equals the widened one to the bit. */
#include "kernel/quant.h"

#include <string.h>
#include "kernel/kernel_internal.h"

enum { GROUP = SLM_KERNEL_GROUP, LANES = SLM_KERNEL_BLOCK };

static unsigned code_bits(slm_dtype dtype)
{
    switch (dtype) {
    case SLM_Q8_0:
        return 8;
    case SLM_Q6_K:
        return 6;
    case SLM_Q5_0:
    case SLM_Q5_1:
    case SLM_Q5_K:
        return 5;
    default:
        return 4;
    }
}

static bool has_minimum(slm_dtype dtype)
{
    return dtype == SLM_Q4_1 || dtype == SLM_Q5_1 || dtype == SLM_Q4_K || dtype == SLM_Q5_K;
}

static bool is_k_type(slm_dtype dtype)
{
    return dtype == SLM_Q4_K || dtype == SLM_Q5_K || dtype == SLM_Q6_K;
}

bool slm_kernel__quant_layout(const slm_tensor *tensor, slm_dtype as, bool pairs,
                              slm_kernel__quant *out)
{
    const slm_dtype dtype = tensor->dtype;
    const size_t k = (size_t)tensor->shape[1];
    if (!slm_dtype_is_quantised(dtype)) return false;
    *out = (slm_kernel__quant){.dtype = dtype, .as = as, .rounded = SLM_F32, .pairs = pairs};
    out->super = slm_dtype_block_items(dtype);
    if (dtype == SLM_NF4) {
        uint64_t block;
        slm_tensor_nf4_codes(tensor, out->codes, &out->rounded, &block);
        if (k % GROUP != 0 || block % GROUP != 0) return false;
        out->super = k % (2 * GROUP) == 0 && block % (2 * GROUP) == 0 ? 2 * GROUP : GROUP;
    }
    out->head_bytes = LANES * (dtype == SLM_NF4 ? sizeof(float) : sizeof(uint16_t)) *
                      (has_minimum(dtype) ? 2 : 1);
    out->group_bytes = LANES * GROUP * code_bits(dtype) / 8 + (is_k_type(dtype) ? 2 * LANES : 0);
    out->super_bytes = out->head_bytes + out->super / GROUP * out->group_bytes;
    return true;
}

size_t slm_kernel__quant_bytes(const slm_kernel__quant *quant, size_t k)
{
    return k / quant->super * quant->super_bytes;
}

/* Where the number at k (within a group) of an output stands. */
static void place(const slm_kernel__quant *quant, size_t k, size_t output, size_t *vector,
                  size_t *lane)
{
    *vector = quant->pairs ? k / 2 * 2 + output / 8 : k;
    *lane = quant->pairs ? output % 8 * 2 + k % 2 : output;
}

/* ---- packing ------------------------------------------------------------------------------- */

static void put_code(const slm_kernel__quant *quant, uint32_t *words, size_t k, size_t output,
                     uint32_t q)
{
    const unsigned bits = code_bits(quant->dtype);
    size_t vector, lane;
    place(quant, k, output, &vector, &lane);
    if (bits == 8) {
        words[vector * 4 + lane / 4] |= q << lane % 4 * 8;
        return;
    }
    words[vector / 8 * LANES + lane] |= (q & 15) << vector % 8 * 4;
    uint32_t *high = words + 4 * LANES;
    if (bits == 5) high[lane] |= q >> 4 << vector;
    if (bits == 6) high[vector / 16 * LANES + lane] |= q >> 4 << vector % 16 * 2;
}

static void pack_head(slm_dtype dtype, const slm_quants *outputs, char *to)
{
    for (size_t o = 0; o < LANES; o++) {
        if (dtype == SLM_NF4) {
            memcpy(to + o * sizeof(float), &outputs[o].scale, sizeof(float));
            continue;
        }
        memcpy(to + 2 * o, &outputs[o].d, 2);
        if (has_minimum(dtype)) memcpy(to + 2 * (LANES + o), &outputs[o].m, 2);
    }
}

static void pack_group(const slm_kernel__quant *quant, const slm_quants *outputs, size_t group,
                       char *to)
{
    uint32_t words[LANES * GROUP / 4] = {0};
    const size_t own = is_k_type(quant->dtype) ? 2 * LANES : 0;
    /* NF4 is read 32 numbers at a time. */
    const size_t first = quant->dtype == SLM_NF4 ? 0 : group * GROUP;
    for (size_t o = 0; o < LANES; o++) {
        const slm_quants *from = &outputs[o];
        if (quant->dtype == SLM_Q6_K) {
            to[o] = (char)from->scales[2 * group];
            to[LANES + o] = (char)from->scales[2 * group + 1];
        } else if (own > 0) {
            to[o] = (char)from->scales[group];
            to[LANES + o] = (char)from->minima[group];
        }
        for (size_t k = 0; k < GROUP; k++)
            put_code(quant, words, k, o, from->q[first + k]);
    }
    memcpy(to + own, words, quant->group_bytes - own);
}

void slm_kernel__quant_pack(const slm_kernel__quant *quant, const slm_tensor *tensor, size_t panel,
                            char *to)
{
    const size_t n = (size_t)tensor->shape[0], k = (size_t)tensor->shape[1];
    const size_t step = quant->dtype == SLM_NF4 ? GROUP : quant->super;
    slm_quants outputs[LANES];
    memset(outputs, 0, sizeof outputs);
    for (size_t at = 0; at < k; at += step) {
        for (size_t o = 0; o < LANES && panel * LANES + o < n; o++)
            slm_tensor_read_quants(tensor, (panel * LANES + o) * k + at, &outputs[o]);
        if (at % quant->super == 0) {
            pack_head(quant->dtype, outputs, to);
            to += quant->head_bytes;
        }
        for (size_t group = 0; group < step / GROUP; group++, to += quant->group_bytes)
            pack_group(quant, outputs, group, to);
    }
}

/* ---- reading ------------------------------------------------------------------------------- */

static uint32_t word_at(const char *codes, size_t index)
{
    uint32_t word;
    memcpy(&word, codes + index * sizeof word, sizeof word);
    return word;
}

static int code_at(const slm_kernel__quant *quant, const char *codes, size_t k, size_t output)
{
    const unsigned bits = code_bits(quant->dtype);
    size_t vector, lane;
    place(quant, k, output, &vector, &lane);
    if (bits == 8) return (int8_t)codes[vector * LANES + lane];
    uint32_t q = word_at(codes, vector / 8 * LANES + lane) >> vector % 8 * 4 & 15;
    codes += 4 * LANES * sizeof q;
    if (bits == 5) q |= (word_at(codes, lane) >> vector & 1) << 4;
    if (bits == 6) q |= (word_at(codes, vector / 16 * LANES + lane) >> vector % 16 * 2 & 3) << 4;
    return (int)q;
}

static float f16_at(const char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return slm_f16_to_f32(half);
}

/* One number by its type's formula (slm_dtype): d and m are those of its super block. */
static float number(const slm_kernel__quant *quant, int q, float d, float m)
{
    switch (quant->dtype) {
    case SLM_Q8_0:
        return d * (float)q;
    case SLM_Q4_0:
        return d * (float)(q - 8);
    case SLM_Q5_0:
        return d * (float)(q - 16);
    case SLM_Q6_K:
        return d * (float)(q - 32);
    case SLM_Q4_1:
    case SLM_Q5_1:
        return d * (float)q + m;
    case SLM_NF4: {
        const float x = quant->codes[q] * d;
        if (quant->rounded == SLM_F16) return slm_f16_to_f32(slm_f16_from_f32(x));
        return quant->rounded == SLM_BF16 ? slm_bf16_to_f32(slm_bf16_from_f32(x)) : x;
    }
    default: /* Q4_K, Q5_K */
        return d * (float)q - m;
    }
}

static void read_group(const slm_kernel__quant *quant, const char *head, const char *group,
                       size_t output, float *out)
{
    const char *codes = group + (is_k_type(quant->dtype) ? 2 * LANES : 0);
    float d, m = 0;
    if (quant->dtype == SLM_NF4)
        memcpy(&d, head + output * sizeof d, sizeof d);
    else
        d = f16_at(head + 2 * output);
    if (has_minimum(quant->dtype)) m = f16_at(head + 2 * (LANES + output));
    for (size_t k = 0; k < GROUP; k++) {
        float scale = d, minimum = m;
        if (quant->dtype == SLM_Q6_K) {
            scale *= (float)(int8_t)group[k / 16 * LANES + output];
        } else if (is_k_type(quant->dtype)) {
            scale *= (float)(uint8_t)group[output];
            minimum *= (float)(uint8_t)group[LANES + output];
        }
        float x = number(quant, code_at(quant, codes, k, output), scale, minimum);
        out[k] = quant->as == SLM_BF16 ? slm_bf16_to_f32(slm_bf16_from_f32(x)) : x;
    }
}

void slm_kernel__quant_row(const slm_kernel__quant *quant, const char *panel, size_t output,
                           size_t k, float *out)
{
    for (size_t at = 0; at < k; at += quant->super, panel += quant->super_bytes)
        for (size_t group = 0; group < quant->super / GROUP; group++)
            read_group(quant, panel, panel + quant->head_bytes + group * quant->group_bytes, output,
                       out + at + group * GROUP);
}
