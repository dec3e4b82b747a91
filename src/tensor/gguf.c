/* gguf.c: reading GGUF, the container of the ggml project (docs/gguf.md there), versions 2 and 3.
 *
 *     "GGUF" | u32 version | u64 tensors | u64 entries
 *     entries:  string key | u32 type | value           string: u64 length | bytes
 *               an array:  u32 item type | u64 count | items
 *     tensors:  string name | u32 dims | u64 size[dims], fastest first | u32 type | u64 offset
 *     padding to `general.alignment` (32 unless the entry says otherwise), then the data; offsets
 *     count from there.
 *
 * A cursor walks the mapping. It compares every count and length with the bytes that are left
 * before it uses them, in a form that cannot overflow, and asks the file's budget before it takes
 * memory, so that nothing is read past the end and a hostile count costs nothing. After a successful read every
 * tensor's data lies whole within the file, on its alignment, and overlaps no other tensor's. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "tensor/tensor_internal.h"

enum {
    GGUF_KEY_MAX_BYTES = 65535,
    GGUF_NAME_MAX_BYTES = 1024,
    GGUF_ALIGNMENT_DEFAULT = 32,
    GGUF_ALIGNMENT_MAX = 1 << 20,
    /* The least that an entry (empty key, type, one byte) and a tensor (empty name, one size) take:
     * bounds for the counts. */
    GGUF_ENTRY_MIN_BYTES = 8 + 4 + 1,
    GGUF_TENSOR_MIN_BYTES = 8 + 4 + 8 + 4 + 8,
};

typedef struct cursor {
    slm_tensors *file;
    const slm_tensor_part *part;
    size_t at;
    slm_error *err;
} cursor;

/* ---- values -------------------------------------------------------------------------------- */

size_t slm_tensor__value_bytes(uint32_t type)
{
    static const uint8_t bytes[GGUF_TYPE_COUNT] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return type < GGUF_TYPE_COUNT ? bytes[type] : 0;
}

int64_t slm_tensor__integer(uint32_t type, const uint8_t *at)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return at[0];
    case GGUF_I8:
        return (int8_t)at[0];
    case GGUF_U16:
        return (uint16_t)(at[0] | at[1] << 8);
    case GGUF_I16:
        return (int16_t)(uint16_t)(at[0] | at[1] << 8);
    case GGUF_U32:
        return slm_tensor__u32(at);
    case GGUF_I32:
        return (int32_t)slm_tensor__u32(at);
    default:
        SLM_ASSERT(type == GGUF_U64 || type == GGUF_I64);
        return (int64_t)slm_tensor__u64(at);
    }
}

double slm_tensor__real(uint32_t type, const uint8_t *at)
{
    SLM_ASSERT(type == GGUF_F32 || type == GGUF_F64);
    if (type == GGUF_F32) {
        float value;
        memcpy(&value, at, sizeof(value));
        return (double)value;
    }
    double value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static slm_meta_kind kind_of(uint32_t type)
{
    switch (type) {
    case GGUF_STRING:
        return SLM_META_STRING;
    case GGUF_ARRAY:
        return SLM_META_ARRAY;
    case GGUF_F32:
    case GGUF_F64:
        return SLM_META_REAL;
    default:
        return SLM_META_INTEGER;
    }
}

/* ---- the cursor ---------------------------------------------------------------------------- */

static size_t bytes_left(const cursor *c)
{
    return c->part->size - c->at;
}

static slm_status cut_short(const cursor *c, const char *field, uint64_t wanted)
{
    return slm_error_set(c->err, SLM_ERR_FORMAT,
                         "%s: %s at byte %zu needs %" PRIu64
                         " bytes but the file ends after %zu; it is cut short or damaged: fetch it "
                         "again",
                         c->file->path, field, c->at, wanted, bytes_left(c));
}

static slm_status read_u32(cursor *c, const char *field, uint32_t *out)
{
    if (bytes_left(c) < 4) return cut_short(c, field, 4);
    *out = slm_tensor__u32(c->part->data + c->at);
    c->at += 4;
    return SLM_OK;
}

static slm_status read_u64(cursor *c, const char *field, uint64_t *out)
{
    if (bytes_left(c) < 8) return cut_short(c, field, 8);
    *out = slm_tensor__u64(c->part->data + c->at);
    c->at += 8;
    return SLM_OK;
}

/* A count of things that take at least min_bytes each. */
static slm_status check_count(const cursor *c, const char *field, uint64_t count, size_t min_bytes)
{
    if (count <= bytes_left(c) / min_bytes) return SLM_OK;
    return slm_error_set(c->err, SLM_ERR_FORMAT,
                         "%s: %s before byte %zu says %" PRIu64
                         " but only %zu bytes follow; the file is cut short or damaged: fetch it "
                         "again",
                         c->file->path, field, c->at, count, bytes_left(c));
}

/* A string of at most max bytes (0: any length), borrowed. */
static slm_status read_string(cursor *c, const char *field, size_t max, const char **out,
                              size_t *len)
{
    size_t start = c->at;
    uint64_t bytes;
    SLM_TRY(read_u64(c, field, &bytes));
    if (bytes > bytes_left(c)) {
        c->at = start;
        return slm_error_set(
            c->err, SLM_ERR_FORMAT,
            "%s: %s at byte %zu says its length is %" PRIu64
            " bytes but the file ends after %zu; it is cut short or damaged: fetch "
            "it again",
            c->file->path, field, start, bytes, c->part->size - start - 8);
    }
    if (max != 0 && bytes > max)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: %s at byte %zu is %" PRIu64
                             " bytes long; at most %zu are allowed",
                             c->file->path, field, start, bytes, max);
    *out = (const char *)c->part->data + c->at;
    *len = (size_t)bytes;
    c->at += (size_t)bytes;
    return SLM_OK;
}

/* A name: not empty, no NUL; copied. */
static slm_status read_name(cursor *c, const char *field, size_t max, const char **out)
{
    size_t start = c->at;
    const char *text;
    size_t len;
    SLM_TRY(read_string(c, field, max, &text, &len));
    if (len == 0 || memchr(text, '\0', len) != NULL)
        return slm_error_set(c->err, SLM_ERR_FORMAT, "%s: %s at byte %zu %s", c->file->path, field,
                             start, len == 0 ? "is empty" : "holds a NUL byte");
    SLM_TRY(slm_tensor__budget(c->file, len + 1, field, c->err));
    *out = slm_arena_strndup(&c->file->arena, text, len);
    return SLM_OK;
}

/* ---- metadata ------------------------------------------------------------------------------ */

/* Numbers whose bits do not all make a value of their type. */
static slm_status check_number(const cursor *c, const char *key, uint32_t type, size_t at)
{
    const uint8_t *value = c->part->data + at;
    if (type == GGUF_BOOL && value[0] > 1)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' at byte %zu: a bool must be 0 or 1, not %d",
                             c->file->path, key, at, value[0]);
    if (type == GGUF_U64 && slm_tensor__u64(value) > INT64_MAX)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' at byte %zu: %" PRIu64 " is above 2^63 - 1",
                             c->file->path, key, at, slm_tensor__u64(value));
    return SLM_OK;
}

static slm_status read_strings(cursor *c, slm_meta_entry *entry, const char *field)
{
    SLM_TRY(
        slm_tensor__budget(c->file, entry->meta.count * sizeof(*entry->strings), field, c->err));
    entry->strings = slm_arena_array(&c->file->arena, entry->meta.count, sizeof(*entry->strings));
    for (size_t i = 0; i < entry->meta.count; i++) {
        const char *text;
        size_t len;
        entry->strings[i] = c->part->data + c->at;
        SLM_TRY(read_string(c, field, 0, &text, &len));
    }
    return SLM_OK;
}

static slm_status read_array(cursor *c, slm_meta_entry *entry, const char *field)
{
    size_t start = c->at;
    uint64_t count;
    SLM_TRY(read_u32(c, field, &entry->type));
    if (entry->type == GGUF_ARRAY)
        return slm_error_set(c->err, SLM_ERR_UNSUPPORTED,
                             "%s: %s at byte %zu: arrays of arrays are not supported",
                             c->file->path, field, start);
    if (entry->type >= GGUF_TYPE_COUNT)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: %s at byte %zu: %" PRIu32 " is no GGUF value type", c->file->path,
                             field, start, entry->type);
    SLM_TRY(read_u64(c, field, &count));
    size_t width = slm_tensor__value_bytes(entry->type);
    SLM_TRY(check_count(c, field, count, width == 0 ? 8 : width));
    entry->meta.count = (size_t)count;
    entry->meta.item_kind = kind_of(entry->type);
    if (width == 0) return read_strings(c, entry, field);
    entry->items = c->part->data + c->at;
    if (entry->type == GGUF_BOOL || entry->type == GGUF_U64) {
        for (size_t i = 0; i < entry->meta.count; i++)
            SLM_TRY(check_number(c, entry->meta.key, entry->type, c->at + i * width));
    }
    c->at += entry->meta.count * width;
    return SLM_OK;
}

static slm_status read_entry(cursor *c, size_t index, slm_meta_entry *entry)
{
    char field[160];
    snprintf(field, sizeof(field), "metadata key %zu", index);
    SLM_TRY(read_name(c, field, GGUF_KEY_MAX_BYTES, &entry->meta.key));
    snprintf(field, sizeof(field), "metadata '%.120s'", entry->meta.key);
    size_t start = c->at;
    SLM_TRY(read_u32(c, field, &entry->type));
    if (entry->type >= GGUF_TYPE_COUNT)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: %s at byte %zu: %" PRIu32 " is no GGUF value type", c->file->path,
                             field, start, entry->type);
    entry->meta.kind = kind_of(entry->type);
    switch (entry->meta.kind) {
    case SLM_META_ARRAY:
        return read_array(c, entry, field);
    case SLM_META_STRING: {
        const char *text;
        SLM_TRY(read_string(c, field, 0, &text, &entry->meta.string_len));
        SLM_TRY(slm_tensor__budget(c->file, entry->meta.string_len + 1, field, c->err));
        entry->meta.string = slm_arena_strndup(&c->file->arena, text, entry->meta.string_len);
        return SLM_OK;
    }
    case SLM_META_INTEGER:
    case SLM_META_REAL:
        break;
    }
    size_t width = slm_tensor__value_bytes(entry->type);
    if (bytes_left(c) < width) return cut_short(c, field, width);
    SLM_TRY(check_number(c, entry->meta.key, entry->type, c->at));
    if (entry->meta.kind == SLM_META_REAL)
        entry->meta.real = slm_tensor__real(entry->type, c->part->data + c->at);
    else
        entry->meta.integer = slm_tensor__integer(entry->type, c->part->data + c->at);
    c->at += width;
    return SLM_OK;
}

static slm_status find_alignment(const cursor *c, size_t *out)
{
    const slm_tensors *file = c->file;
    *out = GGUF_ALIGNMENT_DEFAULT;
    for (size_t i = 0; i < file->entry_count; i++) {
        const slm_meta *meta = &file->entries[i].meta;
        if (strcmp(meta->key, "general.alignment") != 0) continue;
        int64_t value = meta->integer;
        if (meta->kind != SLM_META_INTEGER || value < 8 || value > GGUF_ALIGNMENT_MAX ||
            (value & (value - 1)) != 0)
            return slm_error_set(
                c->err, SLM_ERR_FORMAT,
                "%s: metadata 'general.alignment' must be a power of two from 8 to "
                "%d",
                file->path, GGUF_ALIGNMENT_MAX);
        *out = (size_t)value;
    }
    return SLM_OK;
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* The ggml project's numbers of tensor types; names are for errors. */
static bool dtype_of(uint32_t type, slm_dtype *out, const char **name)
{
    static const char *const names[] = {
        [0] = "F32",     [1] = "F16",      [2] = "Q4_0",   [3] = "Q4_1",    [6] = "Q5_0",
        [7] = "Q5_1",    [8] = "Q8_0",     [9] = "Q8_1",   [10] = "Q2_K",   [11] = "Q3_K",
        [12] = "Q4_K",   [13] = "Q5_K",    [14] = "Q6_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
        [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
        [22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",    [25] = "I16",    [26] = "I32",
        [27] = "I64",    [28] = "F64",     [29] = "IQ1_M", [30] = "BF16",   [34] = "TQ1_0",
        [35] = "TQ2_0",  [39] = "MXFP4",
    };
    *name = type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "unknown";
    for (int i = 0; i < SLM_DTYPE_COUNT; i++) {
        if (strcmp(slm_dtype_name((slm_dtype)i), *name) == 0) {
            *out = (slm_dtype)i;
            return true;
        }
    }
    return false;
}

static slm_status read_shape(cursor *c, slm_tensor *tensor, uint64_t *items)
{
    char field[200];
    uint32_t dims;
    size_t start = c->at;
    snprintf(field, sizeof(field), "dimensions of tensor '%.120s'", tensor->name);
    SLM_TRY(read_u32(c, field, &dims));
    if (dims < 1 || dims > SLM_TENSOR_MAX_DIMS)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: %s at byte %zu: %" PRIu32 " dimensions; 1 to %d are allowed",
                             c->file->path, field, start, dims, SLM_TENSOR_MAX_DIMS);
    tensor->dims = (int)dims;
    *items = 1;
    for (uint32_t d = 0; d < dims; d++) {
        uint64_t size;
        start = c->at;
        SLM_TRY(read_u64(c, field, &size));
        if (size == 0 || __builtin_mul_overflow(*items, size, items) || *items > INT64_MAX / 8)
            return slm_error_set(c->err, SLM_ERR_FORMAT,
                                 "%s: %s at byte %zu: size %" PRIu64 " of dimension %" PRIu32
                                 " %s; the file is damaged",
                                 c->file->path, field, start, size, d,
                                 size == 0 ? "is empty" : "makes more numbers than can be counted");
        tensor->shape[dims - 1 - d] = size;
    }
    return SLM_OK;
}

/* Fills everything but `data`; *offset counts from the start of the data. */
static slm_status read_tensor(cursor *c, size_t index, slm_tensor *tensor, uint64_t *offset)
{
    char field[200];
    uint64_t items = 0;
    uint32_t type;
    const char *type_name;
    snprintf(field, sizeof(field), "name of tensor %zu", index);
    SLM_TRY(read_name(c, field, GGUF_NAME_MAX_BYTES, &tensor->name));
    SLM_TRY(read_shape(c, tensor, &items));
    snprintf(field, sizeof(field), "type of tensor '%.120s'", tensor->name);
    size_t start = c->at;
    SLM_TRY(read_u32(c, field, &type));
    if (!dtype_of(type, &tensor->dtype, &type_name))
        return slm_error_set(c->err, SLM_ERR_UNSUPPORTED,
                             "%s: tensor '%s' has type %" PRIu32
                             " (%s) at byte %zu, which is not supported; convert the model to F32, "
                             "F16, BF16, Q8_0, Q6_K, Q5_K, Q5_1, Q5_0, Q4_K, Q4_1 or Q4_0",
                             c->file->path, tensor->name, type, type_name, start);
    uint64_t columns = tensor->shape[tensor->dims - 1];
    size_t block = slm_dtype_block_items(tensor->dtype);
    if (columns % block != 0)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: tensor '%s' of type %s has rows of %" PRIu64
                             " numbers, not a multiple of %zu; the file is damaged",
                             c->file->path, tensor->name, type_name, columns, block);
    /* items <= INT64_MAX / 8 and no type takes more than 8 bytes an item: no overflow. */
    tensor->bytes = slm_dtype_bytes(tensor->dtype, (size_t)items);
    snprintf(field, sizeof(field), "offset of tensor '%.120s'", tensor->name);
    return read_u64(c, field, offset);
}

static slm_status place_tensor(const cursor *c, slm_tensor *tensor, uint64_t offset, size_t base,
                               size_t alignment)
{
    if (offset % alignment != 0)
        return slm_error_set(c->err, SLM_ERR_FORMAT,
                             "%s: tensor '%s': offset %" PRIu64
                             " is not a multiple of the file's alignment %zu; the file is damaged",
                             c->file->path, tensor->name, offset, alignment);
    size_t space = c->part->size > base ? c->part->size - base : 0;
    if (offset > space || tensor->bytes > space - offset)
        return slm_error_set(
            c->err, SLM_ERR_FORMAT,
            "%s: tensor '%s': its %zu bytes at offset %" PRIu64
            " of the data reach beyond the file's end (%zu bytes of data from byte "
            "%zu); the file is cut short: fetch it again",
            c->file->path, tensor->name, tensor->bytes, offset, space, base);
    tensor->data = c->part->data + base + offset;
    return SLM_OK;
}

static int compare_places(const void *a, const void *b)
{
    const uint8_t *x = (*(const slm_tensor *const *)a)->data;
    const uint8_t *y = (*(const slm_tensor *const *)b)->data;
    return (x > y) - (x < y);
}

static slm_status check_overlap(const cursor *c)
{
    slm_tensors *file = c->file;
    const slm_tensor **order = slm_arena_array(&file->arena, file->count, sizeof(*order));
    for (size_t i = 0; i < file->count; i++)
        order[i] = &file->tensors[i];
    qsort(order, file->count, sizeof(*order), compare_places);
    for (size_t i = 1; i < file->count; i++) {
        const uint8_t *end = (const uint8_t *)order[i - 1]->data + order[i - 1]->bytes;
        if (end > (const uint8_t *)order[i]->data)
            return slm_error_set(c->err, SLM_ERR_FORMAT,
                                 "%s: the data of tensors '%s' and '%s' overlap; the file is "
                                 "damaged",
                                 file->path, order[i - 1]->name, order[i]->name);
    }
    return SLM_OK;
}

/* ---- the file ------------------------------------------------------------------------------ */

static slm_status read_head(cursor *c, uint64_t *tensors, uint64_t *entries)
{
    uint32_t version;
    slm_tensors *file = c->file;
    c->at = 4; /* past "GGUF", which the caller has seen */
    SLM_TRY(read_u32(c, "version", &version));
    if (version != 2 && version != 3) {
        /* A small number in the upper half is what a big-endian file looks like. */
        const char *why = (version & 0xffffu) == 0 && version != 0 ? "a big-endian file" : "GGUF";
        return slm_error_set(c->err, SLM_ERR_UNSUPPORTED,
                             "%s: version at byte 4: %s of version %" PRIu32
                             "; little-endian versions 2 and 3 are supported: convert the model "
                             "again",
                             file->path, why, version);
    }
    file->format = version == 2 ? "GGUF v2" : "GGUF v3";
    SLM_TRY(read_u64(c, "tensor count", tensors));
    SLM_TRY(read_u64(c, "metadata count", entries));
    SLM_TRY(check_count(c, "tensor count", *tensors, GGUF_TENSOR_MIN_BYTES));
    return check_count(c, "metadata count", *entries, GGUF_ENTRY_MIN_BYTES);
}

slm_status slm_tensor__read_gguf(slm_tensors *file, slm_error *err)
{
    cursor c = {.file = file, .part = &file->parts[0], .err = err};
    uint64_t tensors, entries;
    size_t alignment;
    SLM_TRY(read_head(&c, &tensors, &entries));

    /* With each tensor an offset and three pointers: in check_overlap, in by_name, and qsort's. */
    size_t each = sizeof(*file->tensors) + sizeof(uint64_t) + 3 * sizeof(void *);
    size_t each_entry = sizeof(*file->entries) + 2 * sizeof(void *);
    SLM_TRY(slm_tensor__budget(file, (size_t)entries * each_entry, "metadata count", err));
    file->entries = slm_arena_array(&file->arena, (size_t)entries, sizeof(*file->entries));
    for (size_t i = 0; i < entries; i++) {
        SLM_TRY(read_entry(&c, i, &file->entries[i]));
        file->entry_count = i + 1;
    }
    SLM_TRY(find_alignment(&c, &alignment));

    /* Again, now that the metadata's bytes are gone. */
    SLM_TRY(check_count(&c, "tensor count", tensors, GGUF_TENSOR_MIN_BYTES));
    SLM_TRY(slm_tensor__budget(file, (size_t)tensors * each, "tensor count", err));
    file->tensors = slm_arena_array(&file->arena, (size_t)tensors, sizeof(*file->tensors));
    uint64_t *offsets = slm_arena_array(&file->arena, (size_t)tensors, sizeof(*offsets));
    for (size_t i = 0; i < tensors; i++)
        SLM_TRY(read_tensor(&c, i, &file->tensors[i], &offsets[i]));
    file->count = (size_t)tensors;

    /* A mapping is smaller than SIZE_MAX - 1 MiB: no overflow. */
    size_t base = (c.at + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < file->count; i++)
        SLM_TRY(place_tensor(&c, &file->tensors[i], offsets[i], base, alignment));
    return check_overlap(&c);
}
