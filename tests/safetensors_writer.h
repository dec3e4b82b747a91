/* safetensors_writer.h: makes small safetensors files for tests, bitsandbytes' NF4 among them.
 *
 *     st_writer w = {0};
 *     st_add_metadata(&w, "format", "pt");
 *     st_add(&w, "norm.weight", "F32", (uint64_t[]){3}, 1, values, 3 * sizeof(float));
 *     st_add_nf4(&w, "proj.weight", 48, 128, values, &(st_nf4){.block = 64, .nested = true});
 *     st_finish(&w, &bytes);               or   st_write(&w, path)
 *     st_writer_free(&w);
 *
 * A test that wants a wrong file changes w.header or w.data before it finishes. */
#ifndef SLM_TESTS_SAFETENSORS_WRITER_H
#define SLM_TESTS_SAFETENSORS_WRITER_H

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "tensor/tensor.h"

typedef struct st_writer {
    slm_buffer header;   /* the members, without the braces */
    slm_buffer metadata; /* the members of __metadata__ */
    slm_buffer data;
} st_writer;

/* The header's entry alone: for tests of errors. */
static inline void st_add_entry(st_writer *w, const char *name, const char *dtype,
                                const uint64_t *shape, int dims, uint64_t begin, uint64_t end)
{
    slm_buffer_printf(&w->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                      w->header.len > 0 ? "," : "", name, dtype);
    for (int d = 0; d < dims; d++)
        slm_buffer_printf(&w->header, "%s%" PRIu64, d > 0 ? "," : "", shape[d]);
    slm_buffer_printf(&w->header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, end);
}

static inline void st_add(st_writer *w, const char *name, const char *dtype, const uint64_t *shape,
                          int dims, const void *bytes, size_t len)
{
    st_add_entry(w, name, dtype, shape, dims, w->data.len, w->data.len + len);
    if (len > 0) slm_buffer_append(&w->data, bytes, len);
}

static inline void st_add_metadata(st_writer *w, const char *key, const char *value)
{
    slm_buffer_printf(&w->metadata, "%s\"%s\":\"%s\"", w->metadata.len > 0 ? "," : "", key, value);
}

/* ---- NF4 ----------------------------------------------------------------------------------- */

/* The quantiles of the normal distribution that NF4 means (QLoRA, appendix E). */
static const float st_nf4_map[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

typedef struct st_nf4 {
    size_t block;       /* numbers to a scale */
    bool nested;        /* scales quantised in turn, 256 to one */
    const char *dtype;  /* NULL: "float32" */
    const char *state;  /* instead of the right JSON */
    const char *suffix; /* instead of "nf4" */
    size_t shorter;     /* so many scales too few */
} st_nf4;

static inline uint8_t st__nearest(const float *map, int count, float value)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (fabsf(map[i] - value) < fabsf(map[best] - value)) best = i;
    return (uint8_t)best;
}

static inline void st__add_part(st_writer *w, const char *name, const char *suffix,
                                const char *dtype, uint64_t items, const void *bytes, size_t len)
{
    char full[256];
    snprintf(full, sizeof(full), "%s.%s", name, suffix);
    st_add(w, full, dtype, &items, 1, bytes, len);
}

static inline void st__add_scales(st_writer *w, const char *name, const float *scales, size_t count,
                                  bool nested, float offset)
{
    if (!nested) {
        st__add_part(w, name, "absmax", "F32", count, scales, count * sizeof(float));
        return;
    }
    float map[256], peaks[64] = {0};
    uint8_t *q = malloc(count);
    SLM_ASSERT(q != NULL && count <= sizeof(peaks) / sizeof(peaks[0]) * 256);
    for (int i = 0; i < 256; i++)
        map[i] = (float)(i - 127) / 128.0f;
    for (size_t i = 0; i < count; i++)
        peaks[i / 256] = fmaxf(peaks[i / 256], fabsf(scales[i] - offset));
    for (size_t i = 0; i < count; i++)
        q[i] = st__nearest(map, 256, (scales[i] - offset) / (peaks[i / 256] + 1e-20f));
    size_t peak_count = (count + 255) / 256;
    st__add_part(w, name, "absmax", "U8", count, q, count);
    st__add_part(w, name, "nested_absmax", "F32", peak_count, peaks, peak_count * sizeof(float));
    st__add_part(w, name, "nested_quant_map", "F32", 256, map, sizeof(map));
    free(q);
}

/* values[rows * columns], quantised as bitsandbytes does but with an even table of scales. */
static inline void st_add_nf4(st_writer *w, const char *name, uint64_t rows, uint64_t columns,
                              const float *values, const st_nf4 *options)
{
    size_t items = (size_t)(rows * columns), bytes = (items + 1) / 2, block = options->block;
    size_t count = (items + block - 1) / block - options->shorter;
    uint8_t *packed = calloc(bytes, 1);
    float *scales = calloc(count + options->shorter, sizeof(float)), offset = 0;
    SLM_ASSERT(packed != NULL && scales != NULL);
    for (size_t i = 0; i < items; i++)
        scales[i / block] = fmaxf(scales[i / block], fabsf(values[i]));
    for (size_t i = 0; i < items; i++) {
        float scale = scales[i / block];
        uint8_t q = st__nearest(st_nf4_map, 16, scale > 0 ? values[i] / scale : 0);
        packed[i / 2] |= (uint8_t)(i % 2 ? q : q << 4);
    }
    for (size_t i = 0; i < count; i++)
        offset += scales[i] / (float)count;
    char state[512], suffix[64];
    int len = snprintf(state, sizeof(state),
                       "{\"quant_type\": \"nf4\", \"blocksize\": %zu, \"dtype\": \"%s\", "
                       "\"shape\": [%" PRIu64 ", %" PRIu64 "]",
                       block, options->dtype ? options->dtype : "float32", rows, columns);
    if (options->nested)
        len += snprintf(state + len, sizeof(state) - (size_t)len,
                        ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", "
                        "\"nested_offset\": %.17g",
                        (double)offset);
    snprintf(state + len, sizeof(state) - (size_t)len, "}");
    const char *text = options->state ? options->state : state;
    st_add(w, name, "U8", (uint64_t[]){bytes, 1}, 2, packed, bytes);
    st__add_scales(w, name, scales, count, options->nested, offset);
    st__add_part(w, name, "quant_map", "F32", 16, st_nf4_map, sizeof(st_nf4_map));
    snprintf(suffix, sizeof(suffix), "quant_state.bitsandbytes__%s",
             options->suffix ? options->suffix : "nf4");
    st__add_part(w, name, suffix, "U8", strlen(text), text, strlen(text));
    free(packed);
    free(scales);
}

/* ---- the file ------------------------------------------------------------------------------ */

static inline void st_finish(const st_writer *w, slm_buffer *out)
{
    slm_buffer header = {0};
    slm_buffer_append_char(&header, '{');
    if (w->metadata.len > 0)
        slm_buffer_printf(&header, "\"__metadata__\":{%s}%s", slm_buffer_text(&w->metadata),
                          w->header.len > 0 ? "," : "");
    slm_buffer_append_text(&header, slm_buffer_text(&w->header));
    slm_buffer_append_char(&header, '}');
    while (header.len % 8 != 0)
        slm_buffer_append_char(&header, ' ');
    slm_buffer_truncate(out, 0);
    for (int i = 0; i < 8; i++)
        slm_buffer_append_char(out, (char)(header.len >> (8 * i) & 255));
    slm_buffer_append(out, header.data, header.len);
    if (w->data.len > 0) slm_buffer_append(out, w->data.data, w->data.len);
    slm_buffer_free(&header);
}

/* Returns false if the file could not be written. */
static inline bool st_write(const st_writer *w, const char *path)
{
    slm_buffer bytes = {0};
    st_finish(w, &bytes);
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL && fwrite(bytes.data, 1, bytes.len, f) == bytes.len;
    if (f != NULL && fclose(f) != 0) ok = false;
    slm_buffer_free(&bytes);
    return ok;
}

static inline void st_writer_free(st_writer *w)
{
    slm_buffer_free(&w->header);
    slm_buffer_free(&w->metadata);
    slm_buffer_free(&w->data);
    *w = (st_writer){0};
}

#endif
