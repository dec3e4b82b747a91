/* tensor_internal.h: what the files of tensor/ share: the open file, and the readers of containers. */
#ifndef SLM_TENSOR_INTERNAL_H
#define SLM_TENSOR_INTERNAL_H

#include "base/file.h"
#include "base/hash.h"
#include "tensor/tensor.h"

/* A metadata entry: the public part first, so that a slm_meta handed out leads back here. */
typedef struct slm_meta_entry {
    slm_meta meta;
    uint32_t type;           /* the item's GGUF value type (arrays) or the value's own */
    const uint8_t *items;    /* arrays of numbers: little endian, packed, any alignment */
    const uint8_t **strings; /* arrays of strings: where each one's length field stands */
} slm_meta_entry;

struct slm_tensors {
    slm_arena arena; /* names, strings and every table below */
    slm_file_map map;
    bool owns_map;
    const uint8_t *data; /* the file's bytes */
    size_t size;
    const char *path;
    const char *format;
    slm_tensor *tensors;
    size_t count;
    const slm_tensor **by_name; /* sorted */
    slm_meta_entry *entries;
    size_t entry_count;
    const slm_meta_entry **by_key; /* sorted */
    char sha256[SLM_SHA256_HEX_BYTES];
};

/* As slm_tensors_open, over bytes that the caller keeps alive; `name` stands for the path in
 * errors. For tests and fuzzing. */
slm_status slm_tensors__open_memory(const void *data, size_t size, const char *name,
                                    slm_tensors **out, slm_error *err);
/* gguf.c: fill tensors, entries and format from data[0..size). */
slm_status slm_tensor__read_gguf(slm_tensors *file, slm_error *err);

static inline uint32_t slm_tensor__u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t slm_tensor__u64(const uint8_t *at)
{
    return (uint64_t)slm_tensor__u32(at) | (uint64_t)slm_tensor__u32(at + 4) << 32;
}

/* The numbers of GGUF's value types. */
typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} gguf_type;

/* Bytes of a number of a type; 0 for strings, arrays and unknown types. */
size_t slm_tensor__value_bytes(uint32_t type);
/* The number at `at`; the type must be an integer type or bool (integer), or f32 or f64 (real). A
 * u64 keeps its bits. */
int64_t slm_tensor__integer(uint32_t type, const uint8_t *at);
double slm_tensor__real(uint32_t type, const uint8_t *at);

#endif
