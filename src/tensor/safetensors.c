/* safetensors.c: reading safetensors, the container of the Hugging Face project of that name.
 *
 *     u64 length of the header, little endian
 *     header: a JSON object {name: {"dtype": "BF16", "shape": [rows, columns], "data_offsets":
 *             [begin, end]}}, and "__metadata__" with strings; spaces may pad it at the end
 *     data: offsets count from its first byte; the tensors fill it without gap or overlap
 *
 * A model is one such file or several shards; all of them are read into one table. The header is at
 * most 100 MB, as in the project's own reader, and is read member by member (members.c), so that the
 * memory taken does not depend on what it holds. A gap is refused because the format forbids it: it
 * could hide what no reader looks at. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "tensor/tensor_internal.h"

enum {
    HEADER_MAX_BYTES = 100000000,
    NAME_MAX_BYTES = 1024,
    METADATA_MAX_ENTRIES = 4096,
    PLACE_BYTES = 1536,
};

static const char METADATA[] = "__metadata__";

/* ---- one tensor ---------------------------------------------------------------------------- */

/* What is being read, for errors. */
typedef struct entry_place {
    const slm_tensor_part *part;
    size_t data; /* where the data begins */
    slm_json_place root;
    char name[PLACE_BYTES];
} entry_place;

static slm_status read_dtype(const json_t *entry, const entry_place *place, slm_dtype *out,
                             slm_error *err)
{
    const char *name = NULL;
    SLM_TRY(slm_json_string(entry, "dtype", &place->root, &name, err));
    for (int i = 0; i < SLM_DTYPE_COUNT; i++) {
        slm_dtype dtype = (slm_dtype)i;
        bool plain = slm_dtype_block_items(dtype) == 1;
        if (plain && strcmp(slm_dtype_name(dtype), name) == 0) {
            *out = dtype;
            return SLM_OK;
        }
    }
    return slm_error_set(
        err, SLM_ERR_UNSUPPORTED,
        "%s: dtype '%.40s' is not supported; convert the model to F32, F16 or BF16", place->name,
        name);
}

/* One count of an array: a whole number, not negative. */
static slm_status read_count(const json_t *list, size_t index, const char *field,
                             const entry_place *place, uint64_t *out, slm_error *err)
{
    const json_t *item = json_array_get(list, index);
    if (!json_is_integer(item) || json_integer_value(item) < 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: %s[%zu] must be a whole number of 0 or more",
                             place->name, field, index);
    *out = (uint64_t)json_integer_value(item);
    return SLM_OK;
}

static slm_status read_shape(const json_t *entry, const entry_place *place, slm_tensor *tensor,
                             uint64_t *items, slm_error *err)
{
    json_t *list = NULL;
    SLM_TRY(slm_json_array(entry, "shape", &place->root, &list, err));
    size_t dims = json_array_size(list);
    if (dims > SLM_TENSOR_MAX_DIMS)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: shape has %zu dimensions; at most %d "
                             "are supported",
                             place->name, dims, SLM_TENSOR_MAX_DIMS);
    *items = 1;
    tensor->dims = dims == 0 ? 1 : (int)dims;
    tensor->shape[0] = 1; /* a single number has the shape [] in the file */
    for (size_t d = 0; d < dims; d++) {
        SLM_TRY(read_count(list, d, "shape", place, &tensor->shape[d], err));
        if (__builtin_mul_overflow(*items, tensor->shape[d], items) || *items > INT64_MAX / 8)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: shape makes more numbers than can be counted; the file is "
                                 "damaged",
                                 place->name);
    }
    return SLM_OK;
}

static slm_status read_offsets(const json_t *entry, const entry_place *place, slm_tensor *tensor,
                               uint64_t items, slm_error *err)
{
    json_t *list = NULL;
    uint64_t begin, end, space = place->part->size - place->data;
    SLM_TRY(slm_json_array(entry, "data_offsets", &place->root, &list, err));
    if (json_array_size(list) != 2)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: data_offsets must be [begin, end]",
                             place->name);
    SLM_TRY(read_count(list, 0, "data_offsets", place, &begin, err));
    SLM_TRY(read_count(list, 1, "data_offsets", place, &end, err));
    if (begin > end || end > space)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: data_offsets [%" PRIu64 ", %" PRIu64 "] %s (%" PRIu64
                             " bytes of data from byte %zu); the file is cut short or damaged: "
                             "fetch it again",
                             place->name, begin, end,
                             begin > end ? "end before they begin" : "reach beyond the file's end",
                             space, place->data);
    /* items <= INT64_MAX / 8 and no plain type takes more than 8 bytes: no overflow. */
    tensor->bytes = slm_dtype_bytes(tensor->dtype, (size_t)items);
    if (end - begin != tensor->bytes)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: data_offsets [%" PRIu64 ", %" PRIu64 "] hold %" PRIu64
                             " bytes but %" PRIu64 " numbers of type %s take %zu; the file is "
                             "damaged",
                             place->name, begin, end, end - begin, items,
                             slm_dtype_name(tensor->dtype), tensor->bytes);
    tensor->data = place->part->data + place->data + begin;
    return SLM_OK;
}

static slm_status read_tensor(entry_place *place, const char *name, const json_t *entry,
                              slm_tensor *tensor, slm_error *err)
{
    uint64_t items = 0;
    snprintf(place->name, sizeof(place->name), "%.300s: tensor '%.1024s'", place->part->path, name);
    if (!json_is_object(entry))
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: must be an object", place->name);
    SLM_TRY(read_dtype(entry, place, &tensor->dtype, err));
    SLM_TRY(read_shape(entry, place, tensor, &items, err));
    return read_offsets(entry, place, tensor, items, err);
}

/* ---- the header ---------------------------------------------------------------------------- */

static slm_status find_header(const slm_tensor_part *part, slm_json_slice *header, slm_error *err)
{
    uint64_t length = part->size >= 8 ? slm_tensor__u64(part->data) : 0;
    if (part->size < 8 + 2)
        return slm_error_set(
            err, SLM_ERR_FORMAT,
            "%s: a safetensors file begins with 8 bytes and a header, but this one "
            "has %zu bytes; it is cut short: fetch it again",
            part->path, part->size);
    if (length > HEADER_MAX_BYTES)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: header length at byte 0: %" PRIu64
                             " bytes, more than the %d allowed; this is no safetensors file",
                             part->path, length, HEADER_MAX_BYTES);
    if (length > part->size - 8)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: header length at byte 0 says %" PRIu64
                             " bytes but only %zu follow; the file is cut short or damaged: fetch "
                             "it again",
                             part->path, length, part->size - 8);
    *header = (slm_json_slice){(const char *)part->data + 8, (size_t)length, 8};
    return SLM_OK;
}

static bool is_metadata(const slm_json_slice *key)
{
    return key->len == sizeof(METADATA) + 1 &&
           memcmp(key->text + 1, METADATA, sizeof(METADATA) - 1) == 0;
}

/* Count what the tables must hold. */
static slm_status count_header(const slm_tensor_part *part, size_t *tensors, size_t *entries,
                               slm_error *err)
{
    slm_json_slice header, key, value;
    slm_json_members members, strings;
    bool more;
    SLM_TRY(find_header(part, &header, err));
    SLM_TRY(slm_tensor__members_open(&members, part->path, &header, err));
    for (;;) {
        SLM_TRY(slm_tensor__members_next(&members, &more, &key, &value, err));
        if (!more) return SLM_OK;
        if (!is_metadata(&key)) {
            ++*tensors;
            continue;
        }
        SLM_TRY(slm_tensor__members_open(&strings, part->path, &value, err));
        while (more) {
            SLM_TRY(slm_tensor__members_next(&strings, &more, &key, &value, err));
            if (more) ++*entries;
        }
    }
}

/* A string, copied to the file's arena. */
static slm_status copy_string(slm_tensors *file, const slm_tensor_part *part,
                              const slm_json_slice *slice, const char *what, const char **out,
                              size_t *len, slm_error *err)
{
    json_t *text = NULL;
    SLM_TRY(slm_tensor__slice_string(slice, part->path, what, &text, err));
    *len = json_string_length(text);
    slm_status status = slm_tensor__budget(file, *len + 1, what, err);
    if (status == SLM_OK) *out = slm_arena_strndup(&file->arena, json_string_value(text), *len);
    json_decref(text);
    return status;
}

static bool has_key(const slm_tensors *file, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(file->entries[i].meta.key, key) == 0) return true;
    return false;
}

static slm_status read_metadata(slm_tensors *file, const slm_tensor_part *part,
                                const slm_json_slice *object, slm_error *err)
{
    slm_json_slice key, value;
    slm_json_members members;
    size_t before = file->entry_count, len;
    bool more;
    SLM_TRY(slm_tensor__members_open(&members, part->path, object, err));
    for (;;) {
        SLM_TRY(slm_tensor__members_next(&members, &more, &key, &value, err));
        if (!more) return SLM_OK;
        slm_meta *meta = &file->entries[file->entry_count].meta;
        *meta = (slm_meta){.kind = SLM_META_STRING, .item_kind = SLM_META_STRING};
        SLM_TRY(copy_string(file, part, &key, "a key of __metadata__", &meta->key, &len, err));
        SLM_TRY(copy_string(file, part, &value, "a value of __metadata__", &meta->string,
                            &meta->string_len, err));
        /* Shards repeat their entries; within one file a key that stands twice is found later. */
        if (!has_key(file, before, meta->key)) file->entry_count++;
    }
}

static slm_status read_header(slm_tensors *file, slm_tensor_part *part, slm_error *err)
{
    slm_json_slice header, key, value;
    slm_json_members members;
    size_t len;
    bool more;
    entry_place place = {.part = part};
    place.root.name = place.name;
    SLM_TRY(find_header(part, &header, err));
    place.data = 8 + header.len;
    SLM_TRY(slm_tensor__members_open(&members, part->path, &header, err));
    for (;;) {
        SLM_TRY(slm_tensor__members_next(&members, &more, &key, &value, err));
        if (!more) return SLM_OK;
        if (is_metadata(&key)) {
            SLM_TRY(read_metadata(file, part, &value, err));
            continue;
        }
        slm_tensor *tensor = &file->tensors[file->count];
        json_t *entry = NULL;
        SLM_TRY(copy_string(file, part, &key, "a tensor's name", &tensor->name, &len, err));
        if (len == 0 || len > NAME_MAX_BYTES)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: the tensor's name at byte %zu has %zu bytes; 1 to %d are "
                                 "allowed",
                                 part->path, key.base, len, NAME_MAX_BYTES);
        SLM_TRY(slm_tensor__slice_parse(&value, part->path, &entry, err));
        slm_status status = read_tensor(&place, tensor->name, entry, tensor, err);
        json_decref(entry);
        if (status != SLM_OK) return status;
        file->count++;
    }
}

/* ---- places -------------------------------------------------------------------------------- */

static int compare_places(const void *a, const void *b)
{
    const slm_tensor *x = *(const slm_tensor *const *)a, *y = *(const slm_tensor *const *)b;
    const uint8_t *at = x->data, *other = y->data;
    if (at != other) return at > other ? 1 : -1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

/* The tensors [first, count) must fill the part's data. */
static slm_status check_places(const slm_tensors *file, const slm_tensor_part *part, size_t first,
                               const slm_tensor **order, slm_error *err)
{
    size_t count = file->count - first;
    const uint8_t *start = part->data + 8 + slm_tensor__u64(part->data), *at = start;
    for (size_t i = 0; i < count; i++)
        order[i] = &file->tensors[first + i];
    qsort(order, count, sizeof(*order), compare_places);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *begin = order[i]->data;
        if (begin < at)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: the data of tensors '%.300s' and '%.300s' overlap; the file "
                                 "is damaged",
                                 part->path, order[i - 1]->name, order[i]->name);
        if (begin > at)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: the %zu bytes before tensor '%.300s' at offset %zu of the "
                                 "data belong to no tensor; the file is damaged",
                                 part->path, (size_t)(begin - at), order[i]->name,
                                 (size_t)(begin - start));
        at = begin + order[i]->bytes;
    }
    size_t left = (size_t)(part->data + part->size - at);
    if (left > 0)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: the last %zu bytes, from byte %zu, belong to no tensor; the file "
                             "is damaged",
                             part->path, left, part->size - left);
    return SLM_OK;
}

slm_status slm_tensor__read_safetensors(slm_tensors *file, slm_error *err)
{
    size_t tensors = 0, entries = 0;
    for (size_t p = 0; p < file->part_count; p++)
        SLM_TRY(count_header(&file->parts[p], &tensors, &entries, err));
    if (entries > METADATA_MAX_ENTRIES)
        return slm_error_set(err, SLM_ERR_LIMIT,
                             "%s: __metadata__ has %zu entries; at most %d are allowed", file->path,
                             entries, METADATA_MAX_ENTRIES);
    /* With each tensor three pointers to it: here and in by_name, and one of qsort's. */
    size_t each = sizeof(*file->tensors) + 3 * sizeof(void *);
    size_t each_entry = sizeof(*file->entries) + 2 * sizeof(void *);
    /* No more of either than bytes in headers of 100 MB: no overflow. */
    SLM_TRY(slm_tensor__budget(file, tensors * each + entries * each_entry, "the header", err));
    file->tensors = slm_arena_array(&file->arena, tensors, sizeof(*file->tensors));
    file->entries = slm_arena_array(&file->arena, entries, sizeof(*file->entries));
    const slm_tensor **order = slm_arena_array(&file->arena, tensors, sizeof(*order));
    for (size_t p = 0; p < file->part_count; p++) {
        size_t first = file->count;
        SLM_TRY(read_header(file, &file->parts[p], err));
        SLM_TRY(check_places(file, &file->parts[p], first, order, err));
    }
    file->format = file->part_count == 1 ? "safetensors"
                                         : slm_arena_printf(&file->arena, "safetensors, %zu shards",
                                                            file->part_count);
    return SLM_OK;
}
