/* write_safetensors.c: writing the container that safetensors.c reads.
 *
 * The header says where everything will lie, so it needs the shapes alone and goes first; it is
 * padded with spaces to a multiple of 8, so that the data are aligned. The numbers follow as they
 * come, and memory does not grow with them. */
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "tensor/tensor.h"

struct slm_safetensors {
    slm_file_writer *writer;
    char *path;
    slm_tensor *list; /* dtype and size alone are used */
    size_t count;
    size_t at;     /* the tensor that is being put */
    size_t filled; /* bytes of it that were */
};

static json_t *entry(const slm_tensor *tensor, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();
    for (int d = 0; d < tensor->dims; d++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", slm_dtype_name(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static char *make_header(const slm_safetensors *file, const char *const (*metadata)[2],
                         size_t metadata_count)
{
    json_t *root = json_object();
    uint64_t at = 0;
    if (metadata_count > 0) {
        json_t *strings = json_object();
        for (size_t i = 0; i < metadata_count; i++)
            json_object_set_new(strings, metadata[i][0], json_string(metadata[i][1]));
        json_object_set_new(root, "__metadata__", strings);
    }
    for (size_t i = 0; i < file->count; i++) {
        const slm_tensor *tensor = &file->list[i];
        SLM_ASSERT(!json_object_get(root, tensor->name));
        json_object_set_new(root, tensor->name, entry(tensor, at, at + tensor->bytes));
        at += tensor->bytes;
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    SLM_ASSERT(text);
    return text;
}

static slm_status write_bytes(slm_safetensors *file, const void *bytes, size_t len, slm_error *err)
{
    FILE *stream = slm_file_writer_stream(file->writer);
    if (len == 0 || fwrite(bytes, 1, len, stream) == len) return SLM_OK;
    return slm_error_set(err, SLM_ERR_IO, "%s: cannot write: %m; is the disk full?", file->path);
}

static slm_status write_header(slm_safetensors *file, const char *text, slm_error *err)
{
    const size_t len = strlen(text), padded = (len + 7) / 8 * 8;
    uint8_t size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (uint8_t)(padded >> (8 * i));
    SLM_TRY(write_bytes(file, size, sizeof size, err));
    SLM_TRY(write_bytes(file, text, len, err));
    return write_bytes(file, "        ", padded - len, err);
}

/* Behind what is full already, and what has no numbers. */
static void skip_full(slm_safetensors *file)
{
    while (file->at < file->count && file->filled == file->list[file->at].bytes) {
        file->at++;
        file->filled = 0;
    }
}

slm_status slm_safetensors_create(const char *path, const slm_tensor *list, size_t count,
                                  const char *const (*metadata)[2], size_t metadata_count,
                                  slm_safetensors **out, slm_error *err)
{
    slm_status status = SLM_OK;
    char *header = NULL;
    slm_safetensors *file = calloc(1, sizeof *file);
    if (!file) slm_out_of_memory(sizeof *file);
    file->path = strdup(path);
    file->list = calloc(count + 1, sizeof *list);
    if (!file->path || !file->list) slm_out_of_memory(count * sizeof *list);
    file->count = count;
    for (size_t i = 0; i < count; i++) {
        file->list[i] = list[i];
        SLM_ASSERT(slm_dtype_block_items(list[i].dtype) == 1 && list[i].dims >= 1);
        file->list[i].bytes =
            slm_dtype_bytes(list[i].dtype, (size_t)slm_tensor_items(&file->list[i]));
    }
    SLM_TRY_OUT(slm_file_writer_open(path, &file->writer, err));
    header = make_header(file, metadata, metadata_count);
    SLM_TRY_OUT(write_header(file, header, err));
    skip_full(file);
    *out = file;
    file = NULL;
out:
    free(header);
    slm_safetensors_abandon(file);
    return status;
}

slm_status slm_safetensors_put(slm_safetensors *file, const void *data, size_t items,
                               slm_error *err)
{
    SLM_ASSERT(file->at < file->count || items == 0);
    if (items == 0) return SLM_OK;
    const slm_tensor *tensor = &file->list[file->at];
    const size_t bytes = slm_dtype_bytes(tensor->dtype, items);
    SLM_ASSERT(bytes <= tensor->bytes - file->filled);
    SLM_TRY(write_bytes(file, data, bytes, err));
    file->filled += bytes;
    skip_full(file);
    return SLM_OK;
}

static void release(slm_safetensors *file)
{
    free(file->path);
    free(file->list);
    free(file);
}

slm_status slm_safetensors_finish(slm_safetensors *file, slm_error *err)
{
    SLM_ASSERT(file->at == file->count);
    slm_status status = slm_file_writer_commit(file->writer, err);
    release(file);
    return status;
}

void slm_safetensors_abandon(slm_safetensors *file)
{
    if (!file) return;
    slm_file_writer_abort(file->writer);
    release(file);
}
