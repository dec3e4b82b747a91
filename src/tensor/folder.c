/* folder.c: a Hugging Face folder: model.safetensors, or shards and the index that names them.
 *
 * The index, model.safetensors.index.json, holds "weight_map": {tensor: shard}. Shards are opened in
 * the order of their names, whatever the order of the map, so that a model's hash does not depend on
 * how its index was written. A shard's name must be a plain file name: an index cannot lead out of
 * its folder. After reading, each tensor of the map must stand in the shard that the map says. */
#include <stdlib.h>
#include <string.h>
#include "tensor/tensor_internal.h"

enum { SHARDS_MAX = 4096, INDEX_MAX_BYTES = 100000000 };

static const char SINGLE[] = "model.safetensors";
static const char INDEX[] = "model.safetensors.index.json";

/* ---- the index ----------------------------------------------------------------------------- */

/* "weight_map" in the index. */
static slm_status find_map(const slm_tensor_part *index, slm_json_slice *map, slm_error *err)
{
    static const char wanted[] = "\"weight_map\"";
    const slm_json_slice whole = {(const char *)index->data, index->size, 0};
    slm_json_slice key, value;
    slm_json_members members;
    bool more, found = false;
    SLM_TRY(slm_tensor__members_open(&members, index->path, &whole, err));
    for (;;) {
        SLM_TRY(slm_tensor__members_next(&members, &more, &key, &value, err));
        if (!more) break;
        if (key.len != sizeof(wanted) - 1 || memcmp(key.text, wanted, key.len) != 0) continue;
        if (found)
            return slm_error_set(err, SLM_ERR_FORMAT, "%s: weight_map stands twice", index->path);
        found = true;
        *map = value;
    }
    if (found) return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT,
                         "%s: weight_map is missing; this is no index of safetensors shards",
                         index->path);
}

/* Where `name` stands in names[count], sorted, or would stand. */
static size_t place_of(const char *const *names, size_t count, const char *name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(names[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static slm_status check_shard_name(const slm_tensor_part *index, const slm_json_slice *at,
                                   const char *name, slm_error *err)
{
    size_t len = strlen(name);
    static const char ending[] = ".safetensors";
    size_t ending_len = sizeof(ending) - 1;
    if (len > ending_len && len <= 255 && strchr(name, '/') == NULL &&
        strcmp(name + len - ending_len, ending) == 0)
        return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT,
                         "%s: weight_map names the shard '%.255s' at byte %zu; a shard must be a "
                         ".safetensors file beside the index",
                         index->path, name, at->base);
}

/* The shards' names, sorted; each stands in the arena. */
static slm_status collect_shards(slm_tensors *file, const slm_tensor_part *index,
                                 const char **names, size_t *count, slm_error *err)
{
    slm_json_slice map, key, value;
    slm_json_members members;
    bool more;
    SLM_TRY(find_map(index, &map, err));
    SLM_TRY(slm_tensor__members_open(&members, index->path, &map, err));
    for (;;) {
        json_t *text = NULL;
        SLM_TRY(slm_tensor__members_next(&members, &more, &key, &value, err));
        if (!more) break;
        SLM_TRY(slm_tensor__slice_string(&value, index->path, "a shard's name", &text, err));
        const char *name = json_string_value(text);
        slm_status status = check_shard_name(index, &value, name, err);
        size_t at = place_of(names, *count, name);
        bool known = at < *count && strcmp(names[at], name) == 0;
        if (status == SLM_OK && !known && *count == SHARDS_MAX)
            status = slm_error_set(err, SLM_ERR_LIMIT, "%s: weight_map names more than %d shards",
                                   index->path, SHARDS_MAX);
        if (status == SLM_OK && !known) {
            memmove(names + at + 1, names + at, (*count - at) * sizeof(*names));
            names[at] = slm_arena_strdup(&file->arena, name);
            ++*count;
        }
        json_decref(text);
        if (status != SLM_OK) return status;
    }
    if (*count > 0) return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT, "%s: weight_map is empty", index->path);
}

static const slm_tensor_part *part_of(const slm_tensors *file, const slm_tensor *tensor)
{
    const uint8_t *data = tensor->data;
    for (size_t p = 0; p < file->part_count; p++) {
        const slm_tensor_part *part = &file->parts[p];
        if (data >= part->data && data - part->data <= (ptrdiff_t)part->size) return part;
    }
    SLM_ASSERT(!"a tensor's data lies in one of the parts");
    return NULL;
}

static slm_status check_tensor(const slm_tensors *file, const slm_tensor_part *index,
                               const char *name, const char *shard, size_t at, slm_error *err)
{
    const slm_tensor *tensor = slm_tensors_find(file, name);
    if (tensor == NULL)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: weight_map at byte %zu: tensor '%.300s' stands in no shard; the "
                             "index and the shards are not of one model: fetch it again",
                             index->path, at, name);
    const slm_tensor_part *part = part_of(file, tensor);
    if (strcmp(slm_file_basename(part->path), shard) == 0) return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT,
                         "%s: weight_map at byte %zu: tensor '%.300s' should stand in %.255s but "
                         "stands in %.255s; the index and the shards are not of one model: fetch "
                         "it again",
                         index->path, at, name, shard, slm_file_basename(part->path));
}

slm_status slm_tensor__check_index(const slm_tensors *file, const slm_tensor_part *index,
                                   slm_error *err)
{
    slm_json_slice map, key, value;
    slm_json_members members;
    bool more;
    if (index->data == NULL) return SLM_OK;
    SLM_TRY(find_map(index, &map, err));
    SLM_TRY(slm_tensor__members_open(&members, index->path, &map, err));
    for (;;) {
        json_t *name = NULL, *shard = NULL;
        SLM_TRY(slm_tensor__members_next(&members, &more, &key, &value, err));
        if (!more) return SLM_OK;
        slm_status status =
            slm_tensor__slice_string(&key, index->path, "a tensor's name", &name, err);
        if (status == SLM_OK)
            status = slm_tensor__slice_string(&value, index->path, "a shard's name", &shard, err);
        if (status == SLM_OK)
            status = check_tensor(file, index, json_string_value(name), json_string_value(shard),
                                  key.base, err);
        json_decref(name);
        json_decref(shard);
        if (status != SLM_OK) return status;
    }
}

/* ---- the folder ---------------------------------------------------------------------------- */

static const char *join(slm_tensors *file, const char *name)
{
    slm_buffer path = {0};
    slm_file_join(&path, file->folder, name);
    const char *copy = slm_arena_strdup(&file->arena, slm_buffer_text(&path));
    slm_buffer_free(&path);
    return copy;
}

static slm_status map_part(slm_tensor_part *part, const char *path, slm_error *err)
{
    part->path = path;
    SLM_TRY(slm_file_map_open(path, &part->map, err));
    part->owns_map = true;
    part->data = part->map.data;
    part->size = part->map.size;
    return SLM_OK;
}

static slm_status open_shards(slm_tensors *file, slm_tensor_part *index, slm_error *err)
{
    const char **names = slm_arena_array(&file->arena, SHARDS_MAX, sizeof(*names));
    size_t count = 0;
    SLM_TRY(map_part(index, index->path, err));
    if (index->size > INDEX_MAX_BYTES)
        return slm_error_set(err, SLM_ERR_LIMIT, "%s: %zu bytes, more than the %d allowed",
                             index->path, index->size, INDEX_MAX_BYTES);
    SLM_TRY(collect_shards(file, index, names, &count, err));
    file->parts = slm_arena_array(&file->arena, count, sizeof(*file->parts));
    for (size_t i = 0; i < count; i++) {
        slm_status status = map_part(&file->parts[i], join(file, names[i]), err);
        if (status != SLM_OK)
            return slm_error_prefix(err, status, "shard %zu of %zu that %s names", i + 1, count,
                                    INDEX);
        file->part_count = i + 1;
    }
    return SLM_OK;
}

slm_status slm_tensor__open_folder(slm_tensors *file, slm_tensor_part *index, slm_error *err)
{
    const char *single = join(file, SINGLE);
    index->path = join(file, INDEX);
    if (slm_file_exists(single)) {
        file->parts = slm_arena_array(&file->arena, 1, sizeof(*file->parts));
        SLM_TRY(map_part(&file->parts[0], single, err));
        file->part_count = 1;
        return SLM_OK;
    }
    if (slm_file_exists(index->path)) return open_shards(file, index, err);
    bool pickled = slm_file_exists(join(file, "pytorch_model.bin")) ||
                   slm_file_exists(join(file, "pytorch_model.bin.index.json"));
    return slm_error_set(
        err, SLM_ERR_NOT_FOUND, "%s holds neither %s nor %s; %s", file->path, SINGLE, INDEX,
        pickled ? "its weights are pickled (pytorch_model.bin), which is code to "
                  "run rather than data: save the model as safetensors"
                : "name a folder of a Hugging Face model, a .safetensors file or a "
                  "GGUF file");
}
