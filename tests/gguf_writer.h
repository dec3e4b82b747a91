/* gguf_writer.h: makes small GGUF files for tests: metadata, tensors, a byte-level tokenizer.
 *
 *     gguf_writer w = {0};
 *     gguf_add_string(&w, "general.architecture", "llama");
 *     gguf_add_u32(&w, "llama.block_count", 2);
 *     gguf_add_byte_tokenizer(&w, "smollm", merges, merge_count);
 *     gguf_add_tensor(&w, "token_embd.weight", SLM_F32, (uint64_t[]){rows, columns}, 2, values);
 *     gguf_write(&w, path);                or   gguf_finish(&w, &bytes)
 *     gguf_writer_free(&w);
 *
 * Values of tensors are given as f32, slowest dimension first, and are quantised here: by rounding
 * to the nearest step as the format's definition says (not by the search that the peers' tools
 * may do). A test that includes this file needs cmocka's headers before it, as in every test. */
#ifndef SLM_TESTS_GGUF_WRITER_H
#define SLM_TESTS_GGUF_WRITER_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "tensor/tensor.h"

enum { GGUF_WRITER_ALIGNMENT = 32 };

typedef struct gguf_writer {
    slm_buffer entries; /* the metadata section */
    slm_buffer infos;   /* the tensor section */
    slm_buffer data;    /* the tensors' data, each padded */
    uint64_t entry_count, tensor_count;
    uint32_t version; /* 0 means 3 */
} gguf_writer;

/* ---- numbers and strings ------------------------------------------------------------------- */

static inline void gguf__u16(slm_buffer *out, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    slm_buffer_append(out, bytes, 2);
}

static inline void gguf__u32(slm_buffer *out, uint32_t value)
{
    gguf__u16(out, (uint16_t)value);
    gguf__u16(out, (uint16_t)(value >> 16));
}

static inline void gguf__u64(slm_buffer *out, uint64_t value)
{
    gguf__u32(out, (uint32_t)value);
    gguf__u32(out, (uint32_t)(value >> 32));
}

static inline void gguf__f32(slm_buffer *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    gguf__u32(out, bits);
}

static inline void gguf__bytes(slm_buffer *out, const void *bytes, size_t len)
{
    gguf__u64(out, len);
    if (len > 0) slm_buffer_append(out, bytes, len);
}

static inline void gguf__string(slm_buffer *out, const char *text)
{
    gguf__bytes(out, text, strlen(text));
}

/* A metadata entry's key and type; the caller appends the value to w->entries. */
static inline void gguf__entry(gguf_writer *w, const char *key, uint32_t type)
{
    gguf__string(&w->entries, key);
    gguf__u32(&w->entries, type);
    w->entry_count++;
}

/* ---- metadata ------------------------------------------------------------------------------ */

static inline void gguf_add_u32(gguf_writer *w, const char *key, uint32_t value)
{
    gguf__entry(w, key, 4);
    gguf__u32(&w->entries, value);
}

static inline void gguf_add_u64(gguf_writer *w, const char *key, uint64_t value)
{
    gguf__entry(w, key, 10);
    gguf__u64(&w->entries, value);
}

static inline void gguf_add_f32(gguf_writer *w, const char *key, float value)
{
    gguf__entry(w, key, 6);
    gguf__f32(&w->entries, value);
}

static inline void gguf_add_bool(gguf_writer *w, const char *key, bool value)
{
    gguf__entry(w, key, 7);
    slm_buffer_append_char(&w->entries, value ? 1 : 0);
}

static inline void gguf_add_string(gguf_writer *w, const char *key, const char *value)
{
    gguf__entry(w, key, 8);
    gguf__string(&w->entries, value);
}

static inline void gguf_add_strings(gguf_writer *w, const char *key, const char *const *values,
                                    size_t count)
{
    gguf__entry(w, key, 9);
    gguf__u32(&w->entries, 8);
    gguf__u64(&w->entries, count);
    for (size_t i = 0; i < count; i++)
        gguf__string(&w->entries, values[i]);
}

static inline void gguf_add_i32s(gguf_writer *w, const char *key, const int32_t *values,
                                 size_t count)
{
    gguf__entry(w, key, 9);
    gguf__u32(&w->entries, 5);
    gguf__u64(&w->entries, count);
    for (size_t i = 0; i < count; i++)
        gguf__u32(&w->entries, (uint32_t)values[i]);
}

static inline void gguf_add_f32s(gguf_writer *w, const char *key, const float *values, size_t count)
{
    gguf__entry(w, key, 9);
    gguf__u32(&w->entries, 6);
    gguf__u64(&w->entries, count);
    for (size_t i = 0; i < count; i++)
        gguf__f32(&w->entries, values[i]);
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* float -> binary16, to nearest even; overflow becomes infinity. */
static inline uint16_t gguf_f16_from_f32(float value)
{
    uint16_t sign = signbit(value) ? 0x8000u : 0;
    float size = fabsf(value);
    if (isnan(value)) return (uint16_t)(sign | 0x7e00u);
    if (size >= 65520.0f) return (uint16_t)(sign | 0x7c00u);
    int exponent;
    (void)frexpf(size, &exponent);                   /* size in [2^(exponent-1), 2^exponent) */
    int step = exponent < -13 ? -24 : exponent - 11; /* the exponent of the last bit kept */
    long units = lrintf(ldexpf(size, -step));
    if (units == 0) return sign;
    if (step == -24) return (uint16_t)(sign | units);
    /* units in [1024, 2048]; 2048 carries into the exponent by itself. */
    return (uint16_t)(sign | (((step + 24) << 10) + units));
}

static inline void gguf__quantise_4bit(slm_buffer *out, const float *x, bool with_minimum)
{
    float low = x[0], high = x[0], peak = 0;
    for (int i = 0; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        if (fabsf(x[i]) > fabsf(peak)) peak = x[i];
    }
    /* Q4_1: x = d q + m; Q4_0: x = d (q - 8), with d so that the largest number maps to q = 0. */
    uint16_t d16 = gguf_f16_from_f32(with_minimum ? (high - low) / 15.0f : peak / -8.0f);
    uint16_t m16 = gguf_f16_from_f32(low);
    float d = slm_f16_to_f32(d16), offset = with_minimum ? slm_f16_to_f32(m16) : -8.0f * d;
    uint8_t q[32];
    for (int i = 0; i < 32; i++) {
        float unit = d != 0.0f ? (x[i] - offset) / d : 0.0f;
        q[i] = (uint8_t)(unit < 0 ? 0 : unit > 15 ? 15 : lrintf(unit));
    }
    gguf__u16(out, d16);
    if (with_minimum) gguf__u16(out, m16);
    for (int i = 0; i < 16; i++)
        slm_buffer_append_char(out, (char)(q[i] | q[i + 16] << 4));
}

static inline void gguf__quantise_q8_0(slm_buffer *out, const float *x)
{
    float peak = 0;
    for (int i = 0; i < 32; i++)
        peak = fabsf(x[i]) > peak ? fabsf(x[i]) : peak;
    uint16_t d16 = gguf_f16_from_f32(peak / 127.0f);
    float d = slm_f16_to_f32(d16);
    gguf__u16(out, d16);
    for (int i = 0; i < 32; i++) {
        float unit = d != 0.0f ? x[i] / d : 0.0f;
        slm_buffer_append_char(out, (char)lrintf(unit > 127 ? 127 : unit < -127 ? -127 : unit));
    }
}

static inline uint8_t gguf__nearest(float value, float step, int low, int high)
{
    float unit = step != 0.0f ? value / step : 0.0f;
    return (uint8_t)(int8_t)(unit < (float)low    ? low
                             : unit > (float)high ? high
                                                  : (int)lrintf(unit));
}

static inline void gguf__quantise_5bit(slm_buffer *out, const float *x, bool with_minimum)
{
    float low = x[0], high = x[0], peak = 0;
    for (int i = 0; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        if (fabsf(x[i]) > fabsf(peak)) peak = x[i];
    }
    uint16_t d16 = gguf_f16_from_f32(with_minimum ? (high - low) / 31.0f : peak / -16.0f);
    uint16_t m16 = gguf_f16_from_f32(low);
    float d = slm_f16_to_f32(d16), offset = with_minimum ? slm_f16_to_f32(m16) : -16.0f * d;
    uint8_t q[32];
    uint32_t fifth = 0;
    for (int i = 0; i < 32; i++) {
        q[i] = gguf__nearest(x[i] - offset, d, 0, 31);
        fifth |= (uint32_t)(q[i] >> 4) << i;
    }
    gguf__u16(out, d16);
    if (with_minimum) gguf__u16(out, m16);
    gguf__u32(out, fifth);
    for (int i = 0; i < 16; i++)
        slm_buffer_append_char(out, (char)((q[i] & 15) | (q[i + 16] & 15) << 4));
}

/* Q4_K and Q5_K: x = (d scale) q - e minimum, in 8 groups of 32. */
static inline void gguf__quantise_q45_k(slm_buffer *out, const float *x, bool five)
{
    float step[8], below[8], step_peak = 0, below_peak = 0;
    for (int g = 0; g < 8; g++) {
        float low = 0, high = x[g * 32];
        for (int i = 0; i < 32; i++) {
            low = x[g * 32 + i] < low ? x[g * 32 + i] : low;
            high = x[g * 32 + i] > high ? x[g * 32 + i] : high;
        }
        step[g] = (high - low) / (five ? 31.0f : 15.0f), below[g] = -low;
        step_peak = step[g] > step_peak ? step[g] : step_peak;
        below_peak = below[g] > below_peak ? below[g] : below_peak;
    }
    uint16_t d16 = gguf_f16_from_f32(step_peak / 63.0f),
             e16 = gguf_f16_from_f32(below_peak / 63.0f);
    float d = slm_f16_to_f32(d16), e = slm_f16_to_f32(e16);
    uint8_t packed[12] = {0}, q[256], high[32] = {0};
    for (int g = 0; g < 8; g++) {
        uint8_t scale = gguf__nearest(step[g], d, 0, 63),
                minimum = gguf__nearest(below[g], e, 0, 63);
        if (g < 4) {
            packed[g] = scale, packed[4 + g] = minimum;
        } else {
            packed[4 + g] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
            packed[g - 4] |= (uint8_t)(scale >> 4 << 6);
            packed[g] |= (uint8_t)(minimum >> 4 << 6);
        }
        for (int i = 0; i < 32; i++) {
            q[g * 32 + i] = gguf__nearest(x[g * 32 + i] + e * (float)minimum, d * (float)scale, 0,
                                          five ? 31 : 15);
            high[i] |= (uint8_t)(q[g * 32 + i] >> 4 << g);
        }
    }
    gguf__u16(out, d16);
    gguf__u16(out, e16);
    slm_buffer_append(out, packed, sizeof(packed));
    if (five) slm_buffer_append(out, high, sizeof(high));
    for (int i = 0; i < 128; i++)
        slm_buffer_append_char(
            out, (char)((q[i / 32 * 64 + i % 32] & 15) | (q[i / 32 * 64 + 32 + i % 32] & 15) << 4));
}

/* x = (d scale) (q - 32), in 16 groups of 16. */
static inline void gguf__quantise_q6_k(slm_buffer *out, const float *x)
{
    float peaks[16] = {0}, peak = 0;
    for (int i = 0; i < 256; i++)
        if (fabsf(x[i]) > fabsf(peaks[i / 16])) peaks[i / 16] = x[i];
    for (int g = 0; g < 16; g++)
        peak = fabsf(peaks[g]) > peak ? fabsf(peaks[g]) : peak;
    uint16_t d16 = gguf_f16_from_f32(peak / 32.0f / 127.0f);
    float d = slm_f16_to_f32(d16);
    uint8_t low[128] = {0}, high[64] = {0}, scales[16];
    for (int g = 0; g < 16; g++)
        scales[g] = gguf__nearest(peaks[g] / -32.0f, d, -127, 127);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, k = i / 32 % 4, at = i % 32;
        float step = d * (float)(int8_t)scales[i / 16];
        int q = (int8_t)gguf__nearest(x[i], step, -32, 31) + 32;
        low[half * 64 + k % 2 * 32 + at] |= (uint8_t)((q & 15) << (k / 2 * 4));
        high[half * 32 + at] |= (uint8_t)(q >> 4 << (k * 2));
    }
    slm_buffer_append(out, low, sizeof(low));
    slm_buffer_append(out, high, sizeof(high));
    slm_buffer_append(out, scales, sizeof(scales));
    gguf__u16(out, d16);
}

static inline uint32_t gguf__type_number(slm_dtype dtype)
{
    static const uint32_t numbers[SLM_DTYPE_COUNT] = {
        [SLM_F32] = 0,   [SLM_F16] = 1,   [SLM_BF16] = 30, [SLM_Q8_0] = 8,
        [SLM_Q4_0] = 2,  [SLM_Q4_1] = 3,  [SLM_Q5_0] = 6,  [SLM_Q5_1] = 7,
        [SLM_Q4_K] = 12, [SLM_Q5_K] = 13, [SLM_Q6_K] = 14,
    };
    return numbers[dtype];
}

/* The tensor's name, shape (slowest first), type and offset, without data: for tests of errors. */
static inline void gguf_add_tensor_info(gguf_writer *w, const char *name, uint32_t type,
                                        const uint64_t *shape, int dims, uint64_t offset)
{
    gguf__string(&w->infos, name);
    gguf__u32(&w->infos, (uint32_t)dims);
    for (int i = dims - 1; i >= 0; i--)
        gguf__u64(&w->infos, shape[i]);
    gguf__u32(&w->infos, type);
    gguf__u64(&w->infos, offset);
    w->tensor_count++;
}

/* values: the product of shape[dims] numbers; the fastest size must be a multiple of the block. */
static inline void gguf_add_tensor(gguf_writer *w, const char *name, slm_dtype dtype,
                                   const uint64_t *shape, int dims, const float *values)
{
    size_t items = 1, block = slm_dtype_block_items(dtype);
    for (int i = 0; i < dims; i++)
        items *= (size_t)shape[i];
    SLM_ASSERT(shape[dims - 1] % block == 0);
    gguf_add_tensor_info(w, name, gguf__type_number(dtype), shape, dims, w->data.len);
    for (size_t i = 0; i < items; i += block) {
        switch (dtype) {
        case SLM_F32:
            gguf__f32(&w->data, values[i]);
            break;
        case SLM_F16:
            gguf__u16(&w->data, gguf_f16_from_f32(values[i]));
            break;
        case SLM_BF16:
            gguf__u16(&w->data, slm_bf16_from_f32(values[i]));
            break;
        case SLM_Q8_0:
            gguf__quantise_q8_0(&w->data, values + i);
            break;
        case SLM_Q4_0:
        case SLM_Q4_1:
            gguf__quantise_4bit(&w->data, values + i, dtype == SLM_Q4_1);
            break;
        case SLM_Q5_0:
        case SLM_Q5_1:
            gguf__quantise_5bit(&w->data, values + i, dtype == SLM_Q5_1);
            break;
        case SLM_Q4_K:
        case SLM_Q5_K:
            gguf__quantise_q45_k(&w->data, values + i, dtype == SLM_Q5_K);
            break;
        case SLM_Q6_K:
            gguf__quantise_q6_k(&w->data, values + i);
            break;
        default:
            SLM_ASSERT(!"a type that GGUF files of weights have");
        }
    }
    while (w->data.len % GGUF_WRITER_ALIGNMENT != 0)
        slm_buffer_append_char(&w->data, 0);
}

/* ---- the file ------------------------------------------------------------------------------ */

static inline void gguf_finish(const gguf_writer *w, slm_buffer *out)
{
    slm_buffer_truncate(out, 0);
    slm_buffer_append(out, "GGUF", 4);
    gguf__u32(out, w->version ? w->version : 3);
    gguf__u64(out, w->tensor_count);
    gguf__u64(out, w->entry_count);
    slm_buffer_append(out, slm_buffer_text(&w->entries), w->entries.len);
    slm_buffer_append(out, slm_buffer_text(&w->infos), w->infos.len);
    while (out->len % GGUF_WRITER_ALIGNMENT != 0)
        slm_buffer_append_char(out, 0);
    slm_buffer_append(out, slm_buffer_text(&w->data), w->data.len);
}

/* Returns false if the file could not be written. */
static inline bool gguf_write(const gguf_writer *w, const char *path)
{
    slm_buffer bytes = {0};
    gguf_finish(w, &bytes);
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL && fwrite(bytes.data, 1, bytes.len, f) == bytes.len;
    if (f != NULL && fclose(f) != 0) ok = false;
    slm_buffer_free(&bytes);
    return ok;
}

static inline void gguf_writer_free(gguf_writer *w)
{
    slm_buffer_free(&w->entries);
    slm_buffer_free(&w->infos);
    slm_buffer_free(&w->data);
    *w = (gguf_writer){0};
}

/* ---- a byte-level tokenizer ---------------------------------------------------------------- */

/* The character that stands for a byte in byte-level vocabularies (Radford et al. 2019): itself
 * where it is printable, else U+0100 and up in order. Writes UTF-8 and a NUL. */
static inline void gguf_byte_text(uint8_t byte, char out[3])
{
    uint32_t cp = byte;
    bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    if (!printable) {
        uint32_t before = 0;
        for (uint32_t b = 0; b < byte; b++)
            before += !((b >= 33 && b <= 126) || (b >= 161 && b != 173));
        cp = 256 + before;
    }
    if (cp < 128) {
        out[0] = (char)cp;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 63));
        out[2] = '\0';
    }
}

/* "a b" -> "ab": the token that a merge makes. */
static inline void gguf__merged(const char *merge, char out[64])
{
    size_t n = 0;
    for (const char *p = merge; *p != '\0' && n < 63; p++)
        if (*p != ' ') out[n++] = *p;
    out[n] = '\0';
}

/* Ids of the vocabulary that gguf_add_byte_tokenizer makes: three control tokens as in SmolLM2, the
 * 256 bytes, then one token for each merge. */
enum {
    GGUF_TOKEN_ENDOFTEXT = 0, /* <|endoftext|> */
    GGUF_TOKEN_IM_START = 1,  /* <|im_start|>, BOS */
    GGUF_TOKEN_IM_END = 2,    /* <|im_end|>, EOS */
    GGUF_TOKEN_BYTES = 3,     /* byte b is id 3 + b */
    GGUF_TOKEN_MERGES = 259,  /* merge i is id 259 + i */
};

/* tokenizer.ggml.*: vocabulary as above. Merges are written as in the files, "Ġ t", and each must
 * make a token of its own; merges may be NULL when merge_count is 0. */
static inline void gguf_add_byte_tokenizer(gguf_writer *w, const char *pre,
                                           const char *const *merges, size_t merge_count)
{
    size_t count = GGUF_TOKEN_MERGES + merge_count;
    char(*texts)[64] = calloc(count, sizeof(*texts));
    const char **tokens = calloc(count, sizeof(*tokens));
    int32_t *types = calloc(count, sizeof(*types));
    SLM_ASSERT(texts != NULL && tokens != NULL && types != NULL);
    for (size_t i = 0; i < count; i++) {
        static const char *const control[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
        types[i] = i < GGUF_TOKEN_BYTES ? 3 : 1; /* CONTROL, NORMAL */
        tokens[i] = i < GGUF_TOKEN_BYTES ? control[i] : texts[i];
        if (i >= GGUF_TOKEN_MERGES)
            gguf__merged(merges[i - GGUF_TOKEN_MERGES], texts[i]);
        else if (i >= GGUF_TOKEN_BYTES)
            gguf_byte_text((uint8_t)(i - GGUF_TOKEN_BYTES), texts[i]);
    }
    gguf_add_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(w, "tokenizer.ggml.pre", pre);
    gguf_add_strings(w, "tokenizer.ggml.tokens", tokens, count);
    gguf_add_i32s(w, "tokenizer.ggml.token_type", types, count);
    gguf_add_strings(w, "tokenizer.ggml.merges", merges, merge_count);
    gguf_add_u32(w, "tokenizer.ggml.bos_token_id", GGUF_TOKEN_IM_START);
    gguf_add_u32(w, "tokenizer.ggml.eos_token_id", GGUF_TOKEN_IM_END);
    gguf_add_bool(w, "tokenizer.ggml.add_bos_token", false);
    free(texts);
    free(tokens);
    free(types);
}

#endif
