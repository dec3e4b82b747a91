/* write_gguf.c: writing the container that gguf.c reads, version 3, and narrowing numbers to the
 * types that are written.
 *
 * Each tensor begins at a multiple of 32, the format's own alignment. Q8_0 (docs of the ggml project): of each 32 numbers d = max |x| / 127 in f32, q =
 * x / d rounded half away from zero, d stored as binary16. */
#include <math.h>
#include <string.h>
#include "tensor/tensor_internal.h"

enum { ALIGNMENT = 32, Q8_ITEMS = 32 };

/* ---- numbers ------------------------------------------------------------------------------- */

static void put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static void narrow_q8_0(const float *values, uint8_t *out)
{
    float most = 0.0f;
    for (int i = 0; i < Q8_ITEMS; i++)
        most = fmaxf(most, fabsf(values[i]));
    const float d = most / 127.0f, inverse = d > 0.0f ? 1.0f / d : 0.0f;
    put_u16(out, slm_f16_from_f32(d));
    for (int i = 0; i < Q8_ITEMS; i++) {
        float q = roundf(values[i] * inverse);
        /* 1 / d is infinite for the smallest d; what is no number stays in bounds all the same. */
        int whole = q >= 127.0f ? 127 : q <= -127.0f ? -127 : isnan(q) ? 0 : (int)q;
        out[2 + i] = (uint8_t)(int8_t)whole;
    }
}

void slm_narrow(slm_dtype dtype, const float *values, size_t items, void *out)
{
    uint8_t *bytes = out;
    SLM_ASSERT(dtype == SLM_F32 || dtype == SLM_F16 || dtype == SLM_BF16 || dtype == SLM_Q8_0);
    if (dtype == SLM_F32) {
        if (items > 0) memcpy(out, values, items * sizeof *values);
    } else if (dtype == SLM_Q8_0) {
        SLM_ASSERT(items % Q8_ITEMS == 0);
        const size_t block = slm_dtype_block_bytes(SLM_Q8_0);
        for (size_t i = 0; i < items / Q8_ITEMS; i++)
            narrow_q8_0(values + i * Q8_ITEMS, bytes + i * block);
    } else {
        const bool half = dtype == SLM_F16;
        for (size_t i = 0; i < items; i++)
            put_u16(bytes + 2 * i,
                    half ? slm_f16_from_f32(values[i]) : slm_bf16_from_f32(values[i]));
    }
}

/* ---- metadata ------------------------------------------------------------------------------ */

static void append_f32(slm_buffer *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    slm_tensor__append_u32(out, bits);
}

static void append_string(slm_buffer *out, const char *text, size_t len)
{
    slm_tensor__append_u64(out, len);
    if (len > 0) slm_buffer_append(out, text, len);
}

static void begin(slm_gguf_meta *meta, const char *key, uint32_t type)
{
    append_string(&meta->bytes, key, strlen(key));
    slm_tensor__append_u32(&meta->bytes, type);
    meta->count++;
}

static void begin_array(slm_gguf_meta *meta, const char *key, uint32_t type, size_t count)
{
    begin(meta, key, GGUF_ARRAY);
    slm_tensor__append_u32(&meta->bytes, type);
    slm_tensor__append_u64(&meta->bytes, count);
}

void slm_gguf_add_string(slm_gguf_meta *meta, const char *key, const char *text, size_t len)
{
    begin(meta, key, GGUF_STRING);
    append_string(&meta->bytes, text, len);
}

void slm_gguf_add_u32(slm_gguf_meta *meta, const char *key, uint32_t value)
{
    begin(meta, key, GGUF_U32);
    slm_tensor__append_u32(&meta->bytes, value);
}

void slm_gguf_add_f32(slm_gguf_meta *meta, const char *key, float value)
{
    begin(meta, key, GGUF_F32);
    append_f32(&meta->bytes, value);
}

void slm_gguf_add_bool(slm_gguf_meta *meta, const char *key, bool value)
{
    begin(meta, key, GGUF_BOOL);
    slm_buffer_append_char(&meta->bytes, value ? 1 : 0);
}

void slm_gguf_add_i32s(slm_gguf_meta *meta, const char *key, const int32_t *values, size_t count)
{
    begin_array(meta, key, GGUF_I32, count);
    for (size_t i = 0; i < count; i++)
        slm_tensor__append_u32(&meta->bytes, (uint32_t)values[i]);
}

void slm_gguf_add_f32s(slm_gguf_meta *meta, const char *key, const float *values, size_t count)
{
    begin_array(meta, key, GGUF_F32, count);
    for (size_t i = 0; i < count; i++)
        append_f32(&meta->bytes, values[i]);
}

void slm_gguf_add_strings(slm_gguf_meta *meta, const char *key, size_t count)
{
    begin_array(meta, key, GGUF_STRING, count);
}

void slm_gguf_put_string(slm_gguf_meta *meta, const char *text, size_t len)
{
    append_string(&meta->bytes, text, len);
}

/* A number in as many bytes as its type has. */
static void append_number(slm_buffer *out, const slm_meta_entry *entry)
{
    uint8_t bytes[8];
    uint64_t bits = (uint64_t)entry->meta.integer;
    const size_t width = slm_tensor__value_bytes(entry->type);
    if (entry->type == GGUF_F32) {
        append_f32(out, (float)entry->meta.real);
        return;
    }
    if (entry->type == GGUF_F64) memcpy(&bits, &entry->meta.real, sizeof bits);
    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(bits >> (8 * i));
    slm_buffer_append(out, bytes, width);
}

void slm_gguf_add_copy(slm_gguf_meta *meta, const slm_meta *source)
{
    const slm_meta_entry *entry = (const slm_meta_entry *)(const void *)source;
    if (source->kind == SLM_META_STRING) {
        slm_gguf_add_string(meta, source->key, source->string, source->string_len);
    } else if (source->kind != SLM_META_ARRAY) {
        begin(meta, source->key, entry->type);
        append_number(&meta->bytes, entry);
    } else {
        begin_array(meta, source->key, entry->type, source->count);
        const size_t width = slm_tensor__value_bytes(entry->type);
        if (width > 0 && source->count > 0)
            slm_buffer_append(&meta->bytes, entry->items, source->count * width);
        for (size_t i = 0; width == 0 && i < source->count; i++) {
            size_t len;
            const char *text = slm_meta_array_string(source, i, &len);
            append_string(&meta->bytes, text, len);
        }
    }
}

void slm_gguf_meta_free(slm_gguf_meta *meta)
{
    slm_buffer_free(&meta->bytes);
    *meta = (slm_gguf_meta){0};
}

/* ---- the file ------------------------------------------------------------------------------ */

/* The ggml project's number of a type. */
static uint32_t type_number(slm_dtype dtype)
{
    switch (dtype) {
    case SLM_F32:
        return 0;
    case SLM_F16:
        return 1;
    case SLM_Q8_0:
        return 8;
    default:
        SLM_ASSERT(dtype == SLM_BF16);
        return 30;
    }
}

static void append_table(slm_buffer *out, const slm_tensor *list, size_t count)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        append_string(out, list[i].name, strlen(list[i].name));
        slm_tensor__append_u32(out, (uint32_t)list[i].dims);
        for (int d = list[i].dims; d-- > 0;)
            slm_tensor__append_u64(out, list[i].shape[d]);
        slm_tensor__append_u32(out, type_number(list[i].dtype));
        slm_tensor__append_u64(out, offset);
        offset += list[i].bytes + slm_tensor__padding(list[i].bytes, ALIGNMENT);
    }
    for (size_t fill = slm_tensor__padding(out->len, ALIGNMENT); fill > 0; fill--)
        slm_buffer_append_char(out, 0);
}

slm_status slm_gguf_create(const char *path, const slm_tensor *list, size_t count,
                           const slm_gguf_meta *meta, slm_tensor_writer **out, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_buffer head = {0};
    slm_tensor_writer *writer = NULL;
    SLM_TRY(slm_tensor__writer_open(path, list, count, ALIGNMENT, &writer, err));
    slm_buffer_append(&head, "GGUF", 4);
    slm_tensor__append_u32(&head, 3);
    slm_tensor__append_u64(&head, count);
    slm_tensor__append_u64(&head, meta->count);
    if (meta->bytes.len > 0) slm_buffer_append(&head, meta->bytes.data, meta->bytes.len);
    append_table(&head, writer->list, count);
    SLM_TRY_OUT(slm_tensor__writer_begin(writer, &head, err));
    *out = writer;
    writer = NULL;
out:
    slm_buffer_free(&head);
    slm_tensor_writer_abandon(writer);
    return status;
}
