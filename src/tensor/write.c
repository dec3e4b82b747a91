/* write.c: what the writers of the containers share: tensors that come one after the other.
 *
 * The shapes alone tell where everything will lie, so a container's head (write_safetensors.c,
 * write_gguf.c) goes first and the numbers follow as they come: memory does not grow with them. All
 * of it goes to a file beside the path, which takes the path's place when it is whole. */
#include <stdlib.h>
#include <string.h>
#include "tensor/tensor_internal.h"

slm_status slm_tensor__writer_open(const char *path, const slm_tensor *list, size_t count,
                                   size_t alignment, slm_tensor_writer **out, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tensor_writer *writer = calloc(1, sizeof *writer);
    if (!writer) slm_out_of_memory(sizeof *writer);
    writer->path = strdup(path);
    writer->list = calloc(count + 1, sizeof *list);
    if (!writer->path || !writer->list) slm_out_of_memory(count * sizeof *list);
    writer->count = count;
    writer->alignment = alignment;
    for (size_t i = 0; i < count; i++) {
        slm_tensor *tensor = &writer->list[i];
        *tensor = list[i];
        SLM_ASSERT(tensor->dims >= 1);
        tensor->bytes = slm_dtype_bytes(tensor->dtype, (size_t)slm_tensor_items(tensor));
    }
    SLM_TRY_OUT(slm_file_writer_open(path, &writer->file, err));
    *out = writer;
    writer = NULL;
out:
    slm_tensor_writer_abandon(writer);
    return status;
}

static slm_status write_bytes(slm_tensor_writer *writer, const void *bytes, size_t len,
                              slm_error *err)
{
    FILE *stream = slm_file_writer_stream(writer->file);
    if (len == 0 || fwrite(bytes, 1, len, stream) == len) return SLM_OK;
    return slm_error_set(err, SLM_ERR_IO, "%s: cannot write: %m; is the disk full?", writer->path);
}

size_t slm_tensor__padding(uint64_t bytes, size_t alignment)
{
    return (alignment - (size_t)(bytes % alignment)) % alignment;
}

/* Behind what is full already, padded, and what has no numbers. */
static slm_status skip_full(slm_tensor_writer *writer, slm_error *err)
{
    static const uint8_t zeros[TENSOR_ALIGNMENT_MAX] = {0};
    while (writer->at < writer->count && writer->filled == writer->list[writer->at].bytes) {
        const size_t padding = slm_tensor__padding(writer->filled, writer->alignment);
        SLM_TRY(write_bytes(writer, zeros, padding, err));
        writer->at++;
        writer->filled = 0;
    }
    return SLM_OK;
}

slm_status slm_tensor__writer_begin(slm_tensor_writer *writer, const slm_buffer *head,
                                    slm_error *err)
{
    SLM_TRY(write_bytes(writer, head->data, head->len, err));
    return skip_full(writer, err);
}

slm_status slm_tensor_writer_put(slm_tensor_writer *writer, const void *data, size_t items,
                                 slm_error *err)
{
    if (items == 0) return SLM_OK;
    SLM_ASSERT(writer->at < writer->count);
    const slm_tensor *tensor = &writer->list[writer->at];
    const size_t bytes = slm_dtype_bytes(tensor->dtype, items);
    SLM_ASSERT(bytes <= tensor->bytes - writer->filled);
    SLM_TRY(write_bytes(writer, data, bytes, err));
    writer->filled += bytes;
    return skip_full(writer, err);
}

static void release(slm_tensor_writer *writer)
{
    free(writer->path);
    free(writer->list);
    free(writer);
}

slm_status slm_tensor_writer_finish(slm_tensor_writer *writer, slm_error *err)
{
    SLM_ASSERT(writer->at == writer->count);
    slm_status status = slm_file_writer_commit(writer->file, err);
    release(writer);
    return status;
}

void slm_tensor_writer_abandon(slm_tensor_writer *writer)
{
    if (!writer) return;
    slm_file_writer_abort(writer->file);
    release(writer);
}

/* ---- little-endian ------------------------------------------------------------------------- */

void slm_tensor__append_u32(slm_buffer *out, uint32_t value)
{
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    slm_buffer_append(out, bytes, sizeof bytes);
}

void slm_tensor__append_u64(slm_buffer *out, uint64_t value)
{
    slm_tensor__append_u32(out, (uint32_t)value);
    slm_tensor__append_u32(out, (uint32_t)(value >> 32));
}
