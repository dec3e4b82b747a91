/* write_safetensors.c: writing the container that safetensors.c reads.
 *
 * The header is padded with spaces to a multiple of 8, so that the data are aligned; the tensors
 * follow one another without a gap. */
#include <stdlib.h>
#include <string.h>
#include "tensor/tensor_internal.h"

static json_t *entry(const slm_tensor *tensor, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();
    for (int d = 0; d < tensor->dims; d++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", slm_dtype_name(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static char *make_header(const slm_tensor_writer *writer, const char *const (*metadata)[2],
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
    for (size_t i = 0; i < writer->count; i++) {
        const slm_tensor *tensor = &writer->list[i];
        SLM_ASSERT(!json_object_get(root, tensor->name));
        json_object_set_new(root, tensor->name, entry(tensor, at, at + tensor->bytes));
        at += tensor->bytes;
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    SLM_ASSERT(text);
    return text;
}

slm_status slm_safetensors_create(const char *path, const slm_tensor *list, size_t count,
                                  const char *const (*metadata)[2], size_t metadata_count,
                                  slm_tensor_writer **out, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_buffer head = {0};
    slm_tensor_writer *writer = NULL;
    for (size_t i = 0; i < count; i++)
        SLM_ASSERT(slm_dtype_block_items(list[i].dtype) == 1);
    SLM_TRY(slm_tensor__writer_open(path, list, count, 1, &writer, err));
    char *header = make_header(writer, metadata, metadata_count);
    const size_t len = strlen(header), padding = slm_tensor__padding(len, 8);
    slm_tensor__append_u64(&head, len + padding);
    slm_buffer_append(&head, header, len);
    slm_buffer_append(&head, "        ", padding);
    SLM_TRY_OUT(slm_tensor__writer_begin(writer, &head, err));
    *out = writer;
    writer = NULL;
out:
    free(header);
    slm_buffer_free(&head);
    slm_tensor_writer_abandon(writer);
    return status;
}
