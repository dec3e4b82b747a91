/* tensors.c: an open model file: finding tensors and metadata, and the file's identity.
 *
 * The container's reader (gguf.c, safetensors.c) fills the tables; this file sorts them by name, refuses names
 * that stand twice, and answers look-ups by binary search. Sorting rather than hashing keeps the
 * time bound whatever names a hostile file chooses. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "tensor/tensor_internal.h"

static int compare_tensors(const void *a, const void *b)
{
    return strcmp((*(const slm_tensor *const *)a)->name, (*(const slm_tensor *const *)b)->name);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp((*(const slm_meta_entry *const *)a)->meta.key,
                  (*(const slm_meta_entry *const *)b)->meta.key);
}

static slm_status index_tensors(slm_tensors *file, slm_error *err)
{
    if (file->by_name == NULL)
        file->by_name = slm_arena_array(&file->arena, file->count, sizeof(*file->by_name));
    for (size_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->count, sizeof(*file->by_name), compare_tensors);
    for (size_t i = 1; i < file->count; i++) {
        if (compare_tensors(&file->by_name[i - 1], &file->by_name[i]) == 0)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: two tensors are named '%s'; the file is damaged", file->path,
                                 file->by_name[i]->name);
    }
    return SLM_OK;
}

static slm_status index_entries(slm_tensors *file, slm_error *err)
{
    file->by_key = slm_arena_array(&file->arena, file->entry_count, sizeof(*file->by_key));
    for (size_t i = 0; i < file->entry_count; i++)
        file->by_key[i] = &file->entries[i];
    qsort(file->by_key, file->entry_count, sizeof(*file->by_key), compare_entries);
    for (size_t i = 1; i < file->entry_count; i++) {
        if (compare_entries(&file->by_key[i - 1], &file->by_key[i]) == 0)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: metadata key '%s' stands twice; the file is damaged",
                                 file->path, file->by_key[i]->meta.key);
    }
    return SLM_OK;
}

slm_status slm_tensor__budget(const slm_tensors *file, size_t bytes, const char *what,
                              slm_error *err)
{
    size_t used = file->arena.used_bytes;
    if (used <= SLM_TENSORS_MEMORY_BYTES && bytes <= SLM_TENSORS_MEMORY_BYTES - used) return SLM_OK;
    return slm_error_set(err, SLM_ERR_LIMIT,
                         "%s: %.200s needs more memory than the %d MiB that a model's names and "
                         "metadata may take; the file is damaged, or made to exhaust memory",
                         file->path, what, SLM_TENSORS_MEMORY_BYTES >> 20);
}

static slm_tensors *new_file(const char *path)
{
    slm_tensors *file = calloc(1, sizeof(*file));
    if (file == NULL) slm_out_of_memory(sizeof(*file));
    file->path = slm_arena_strdup(&file->arena, path);
    return file;
}

/* A GGUF file by its first bytes; safetensors, which has none of its own, by its name or by the
 * brace that its header begins with. */
static slm_status read_container(slm_tensors *file, slm_error *err)
{
    for (size_t p = 0; p < file->part_count; p++) {
        if (file->parts[p].size == 0)
            return slm_error_set(err, SLM_ERR_FORMAT, "%s: the file is empty; fetch it again",
                                 file->parts[p].path);
    }
    const slm_tensor_part *part = &file->parts[0];
    if (file->part_count == 1 && part->size >= 4 && memcmp(part->data, "GGUF", 4) == 0) {
        file->folder = NULL;
        return slm_tensor__read_gguf(file, err);
    }
    if (slm_file_has_ending(part->path, ".safetensors") || (part->size > 8 && part->data[8] == '{'))
        return slm_tensor__read_safetensors(file, err);
    return slm_error_set(
        err, SLM_ERR_FORMAT,
        "%s: not a GGUF file: it does not begin with 'GGUF'; nor is it safetensors", part->path);
}

/* index: the text that named the shards, or without data. */
static slm_status read_file(slm_tensors *file, const slm_tensor_part *index, slm_error *err)
{
    bool joined = false;
    SLM_TRY(read_container(file, err));
    SLM_TRY(index_tensors(file, err));
    SLM_TRY(slm_tensor__check_index(file, index, err));
    SLM_TRY(slm_tensor__join_nf4(file, &joined, err));
    if (joined) SLM_TRY(index_tensors(file, err));
    return index_entries(file, err);
}

/* The folder that a path stands in, "." if it names none. */
static const char *folder_of(slm_tensors *file, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return ".";
    return slm_arena_strndup(&file->arena, path, slash == path ? 1 : (size_t)(slash - path));
}

static slm_status open_single(slm_tensors *file, slm_error *err)
{
    slm_tensor_part *part = slm_arena_alloc(&file->arena, sizeof(*part));
    file->parts = part;
    part->path = file->path;
    SLM_TRY(slm_file_map_open(file->path, &part->map, err));
    file->part_count = 1;
    part->owns_map = true;
    part->data = part->map.data;
    part->size = part->map.size;
    file->folder = folder_of(file, file->path);
    return read_file(file, &(slm_tensor_part){0}, err);
}

static slm_status open_folder(slm_tensors *file, slm_error *err)
{
    slm_tensor_part index = {0};
    file->folder = file->path;
    slm_status status = slm_tensor__open_folder(file, &index, err);
    if (status == SLM_OK) status = read_file(file, &index, err);
    if (index.owns_map) slm_file_map_close(&index.map);
    return status;
}

slm_status slm_tensors_open(const char *path, slm_tensors **out, slm_error *err)
{
    slm_tensors *file = new_file(path);
    slm_status status = slm_file_is_folder(path) ? open_folder(file, err) : open_single(file, err);
    if (status != SLM_OK) {
        slm_tensors_close(file);
        return status;
    }
    *out = file;
    return SLM_OK;
}

slm_status slm_tensors__open_memory(const void *data, size_t size, const char *name,
                                    slm_tensors **out, slm_error *err)
{
    slm_tensors *file = new_file(name);
    slm_tensor_part *part = slm_arena_alloc(&file->arena, sizeof(*part));
    *part = (slm_tensor_part){.path = file->path, .data = data, .size = size};
    file->parts = part;
    file->part_count = 1;
    slm_status status = read_file(file, &(slm_tensor_part){0}, err);
    if (status != SLM_OK) {
        slm_tensors_close(file);
        return status;
    }
    *out = file;
    return SLM_OK;
}

void slm_tensors_close(slm_tensors *tensors)
{
    if (tensors == NULL) return;
    for (size_t p = 0; p < tensors->part_count; p++)
        if (tensors->parts[p].owns_map) slm_file_map_close(&tensors->parts[p].map);
    slm_arena_free(&tensors->arena);
    free(tensors);
}

const char *slm_tensors_path(const slm_tensors *tensors)
{
    return tensors->path;
}

const char *slm_tensors_folder(const slm_tensors *tensors)
{
    return tensors->folder;
}

const char *slm_tensors_format(const slm_tensors *tensors)
{
    return tensors->format;
}

uint64_t slm_tensors_file_bytes(const slm_tensors *tensors)
{
    uint64_t bytes = 0;
    for (size_t p = 0; p < tensors->part_count; p++)
        bytes += tensors->parts[p].size;
    return bytes;
}

size_t slm_tensors_count(const slm_tensors *tensors)
{
    return tensors->count;
}

const slm_tensor *slm_tensors_at(const slm_tensors *tensors, size_t index)
{
    SLM_ASSERT(index < tensors->count);
    return &tensors->tensors[index];
}

const slm_tensor *slm_tensors_find(const slm_tensors *tensors, const char *name)
{
    const slm_tensor key = {.name = name};
    const slm_tensor *const wanted = &key;
    const slm_tensor **found =
        bsearch(&wanted, tensors->by_name, tensors->count, sizeof(wanted), compare_tensors);
    return found ? *found : NULL;
}

uint64_t slm_tensor_items(const slm_tensor *tensor)
{
    uint64_t items = 1;
    for (int d = 0; d < tensor->dims; d++)
        items *= tensor->shape[d];
    return items;
}

void slm_tensor_read(const slm_tensor *tensor, size_t first, size_t items, float *out)
{
    uint64_t all = slm_tensor_items(tensor);
    SLM_ASSERT(slm_dtype_is_weight(tensor->dtype));
    SLM_ASSERT(first <= all && items <= all - first);
    if (tensor->dtype == SLM_NF4) {
        slm_tensor__read_nf4(tensor, first, items, out);
        return;
    }
    const char *data = tensor->data;
    slm_dequantise(tensor->dtype, data + slm_dtype_bytes(tensor->dtype, first), items, out);
}

slm_status slm_tensors_sha256(slm_tensors *tensors, const char **hex, slm_error *err)
{
    (void)err; /* the file is mapped: reading it cannot fail here */
    if (tensors->sha256[0] == '\0') {
        slm_sha256 *hash = slm_sha256_new();
        for (size_t p = 0; p < tensors->part_count; p++)
            slm_sha256_update(hash, tensors->parts[p].data, tensors->parts[p].size);
        slm_sha256_finish(hash, tensors->sha256);
    }
    *hex = tensors->sha256;
    return SLM_OK;
}

/* ---- metadata ------------------------------------------------------------------------------ */

size_t slm_meta_count(const slm_tensors *tensors)
{
    return tensors->entry_count;
}

const slm_meta *slm_meta_at(const slm_tensors *tensors, size_t index)
{
    SLM_ASSERT(index < tensors->entry_count);
    return &tensors->entries[index].meta;
}

const slm_meta *slm_meta_find(const slm_tensors *tensors, const char *key)
{
    const slm_meta_entry entry = {.meta = {.key = key}};
    const slm_meta_entry *const wanted = &entry;
    const slm_meta_entry **found =
        bsearch(&wanted, tensors->by_key, tensors->entry_count, sizeof(wanted), compare_entries);
    return found ? &(*found)->meta : NULL;
}

/* The entry behind an array's slm_meta. */
static const slm_meta_entry *array_entry(const slm_meta *meta, slm_meta_kind kind, size_t index)
{
    SLM_ASSERT(meta->kind == SLM_META_ARRAY && meta->item_kind == kind);
    SLM_ASSERT(index < meta->count);
    return (const slm_meta_entry *)meta;
}

int64_t slm_meta_array_integer(const slm_meta *meta, size_t index)
{
    const slm_meta_entry *entry = array_entry(meta, SLM_META_INTEGER, index);
    return slm_tensor__integer(entry->type,
                               entry->items + index * slm_tensor__value_bytes(entry->type));
}

double slm_meta_array_real(const slm_meta *meta, size_t index)
{
    const slm_meta_entry *entry = array_entry(meta, SLM_META_REAL, index);
    return slm_tensor__real(entry->type,
                            entry->items + index * slm_tensor__value_bytes(entry->type));
}

const char *slm_meta_array_string(const slm_meta *meta, size_t index, size_t *len)
{
    const slm_meta_entry *entry = array_entry(meta, SLM_META_STRING, index);
    const uint8_t *at = entry->strings[index];
    *len = (size_t)slm_tensor__u64(at);
    return (const char *)at + 8;
}

static const char *kind_name(slm_meta_kind kind)
{
    switch (kind) {
    case SLM_META_INTEGER:
        return "an integer";
    case SLM_META_REAL:
        return "a real number";
    case SLM_META_STRING:
        return "a string";
    case SLM_META_ARRAY:
        return "an array";
    }
    return "unknown";
}

/* *out is NULL when the key is absent and not required. */
static slm_status find_typed(const slm_tensors *tensors, const char *key, bool required,
                             slm_meta_kind kind, const slm_meta **out, slm_error *err)
{
    const slm_meta *meta = slm_meta_find(tensors, key);
    *out = NULL;
    if (meta == NULL && !required) return SLM_OK;
    if (meta == NULL)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: metadata key '%s' is missing; the file was converted by a tool "
                             "that leaves it out: convert the model again",
                             tensors->path, key);
    if (meta->kind != kind)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: metadata key '%s' must be %s but is %s",
                             tensors->path, key, kind_name(kind), kind_name(meta->kind));
    *out = meta;
    return SLM_OK;
}

slm_status slm_meta_integer(const slm_tensors *tensors, const char *key, bool required,
                            int64_t *out, slm_error *err)
{
    const slm_meta *meta;
    SLM_TRY(find_typed(tensors, key, required, SLM_META_INTEGER, &meta, err));
    if (meta) *out = meta->integer;
    return SLM_OK;
}

slm_status slm_meta_real(const slm_tensors *tensors, const char *key, bool required, double *out,
                         slm_error *err)
{
    const slm_meta *meta;
    SLM_TRY(find_typed(tensors, key, required, SLM_META_REAL, &meta, err));
    if (meta) *out = meta->real;
    return SLM_OK;
}

slm_status slm_meta_string(const slm_tensors *tensors, const char *key, bool required,
                           const char **out, slm_error *err)
{
    const slm_meta *meta;
    SLM_TRY(find_typed(tensors, key, required, SLM_META_STRING, &meta, err));
    if (meta == NULL) return SLM_OK;
    if (memchr(meta->string, '\0', meta->string_len) != NULL)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: metadata key '%s' holds a NUL byte",
                             tensors->path, key);
    *out = meta->string;
    return SLM_OK;
}
