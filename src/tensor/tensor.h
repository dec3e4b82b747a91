/* tensor.h: numbers in files. Data types, block quantisation, and the containers that hold weights.
 *
 * A slm_tensors is an open model file: named tensors over a read-only mapping, and its metadata.
 * Every count, size, offset and alignment is checked against the file before anything is used, so
 * that a tensor handed out can be read to its end. GGUF: the format's specification in the ggml
 * project (docs/gguf.md), versions 2 and 3, little endian. */
#ifndef SLM_TENSOR_H
#define SLM_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"

/* ---- data types ---------------------------------------------------------------------------- */

typedef enum slm_dtype {
    SLM_F32,
    SLM_F16,
    SLM_BF16,
    SLM_Q8_0, /* blocks of 32: f16 scale, 32 int8:          x = d q          (34 bytes) */
    SLM_Q4_0, /* blocks of 32: f16 scale, 32 x 4 bit:       x = d (q - 8)    (18 bytes) */
    SLM_Q4_1, /* blocks of 32: f16 scale, f16 min, 32 x 4:  x = d q + m      (20 bytes) */
    SLM_DTYPE_COUNT
} slm_dtype;

/* "F32", "Q4_1": as the files' own tools write them. */
const char *slm_dtype_name(slm_dtype dtype);
size_t slm_dtype_block_items(slm_dtype dtype); /* 1 for plain types, 32 for Q8_0 ... */
size_t slm_dtype_block_bytes(slm_dtype dtype);
/* Bytes of `items` numbers; items must be a multiple of the block. */
size_t slm_dtype_bytes(slm_dtype dtype, size_t items);

/* bfloat16: the upper half of a float32. Rounds to nearest even; NaN stays NaN. */
static inline uint16_t slm_bf16_from_f32(float value)
{
    union {
        float f;
        uint32_t u;
    } bits = {value};
    if ((bits.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits.u >> 16) | 0x40u);
    return (uint16_t)((bits.u + 0x7fffu + ((bits.u >> 16) & 1u)) >> 16);
}

static inline float slm_bf16_to_f32(uint16_t value)
{
    union {
        uint32_t u;
        float f;
    } bits = {(uint32_t)value << 16};
    return bits.f;
}

float slm_f16_to_f32(uint16_t value); /* IEEE 754 binary16, exact */

/* out[items] f32 = the `items` numbers at data, which has slm_dtype_bytes(dtype, items) bytes and
 * any alignment. Products and sums in f32, in the order the format's definition gives, so that the
 * result equals the gguf Python package's to the bit. */
void slm_dequantise(slm_dtype dtype, const void *data, size_t items, float *out);

/* ---- model files --------------------------------------------------------------------------- */

enum { SLM_TENSOR_MAX_DIMS = 4 };

typedef struct slm_tensor {
    const char *name;
    slm_dtype dtype;
    int dims;                            /* 1..4 */
    uint64_t shape[SLM_TENSOR_MAX_DIMS]; /* slowest first: [rows, columns], as PyTorch writes it */
    const void *data;                    /* into the mapping; alignment not promised */
    size_t bytes;
} slm_tensor;

typedef struct slm_tensors slm_tensors;

/* Open a GGUF file. Errors name the file, the field and the offset. */
slm_status slm_tensors_open(const char *path, slm_tensors **out, slm_error *err);
void slm_tensors_close(slm_tensors *tensors);
const char *slm_tensors_path(const slm_tensors *tensors);
const char *slm_tensors_format(const slm_tensors *tensors); /* "GGUF v3" */
uint64_t slm_tensors_file_bytes(const slm_tensors *tensors);
size_t slm_tensors_count(const slm_tensors *tensors);
const slm_tensor *slm_tensors_at(const slm_tensors *tensors, size_t index); /* file order */
/* NULL if there is none of that name. */
const slm_tensor *slm_tensors_find(const slm_tensors *tensors, const char *name);
/* SHA-256 of the whole file, computed once and kept: a model's identity in results. */
slm_status slm_tensors_sha256(slm_tensors *tensors, const char **hex, slm_error *err);

/* ---- metadata ------------------------------------------------------------------------------ */

typedef enum slm_meta_kind {
    SLM_META_INTEGER, /* every integer width and bool */
    SLM_META_REAL,
    SLM_META_STRING,
    SLM_META_ARRAY, /* of one of the above */
} slm_meta_kind;

typedef struct slm_meta {
    const char *key;
    slm_meta_kind kind;
    slm_meta_kind item_kind; /* for arrays */
    int64_t integer;         /* INTEGER (a u64 above INT64_MAX is an error at open) */
    double real;             /* REAL */
    const char *string;      /* STRING: NUL-terminated copy, string_len bytes */
    size_t string_len;
    size_t count; /* ARRAY */
} slm_meta;

size_t slm_meta_count(const slm_tensors *tensors);
const slm_meta *slm_meta_at(const slm_tensors *tensors, size_t index);
const slm_meta *slm_meta_find(const slm_tensors *tensors, const char *key); /* NULL: absent */
/* Items of an array; meta as handed out, not a copy of it; index < count and the kind must match
 * (asserted). Strings are not
 * NUL-terminated: they point into the mapping. */
int64_t slm_meta_array_integer(const slm_meta *meta, size_t index);
double slm_meta_array_real(const slm_meta *meta, size_t index);
const char *slm_meta_array_string(const slm_meta *meta, size_t index, size_t *len);
/* Typed look-ups. `required` false leaves *out as it was when the key is absent; a wrong kind is
 * always an error that names file and key. */
slm_status slm_meta_integer(const slm_tensors *tensors, const char *key, bool required,
                            int64_t *out, slm_error *err);
slm_status slm_meta_real(const slm_tensors *tensors, const char *key, bool required, double *out,
                         slm_error *err);
slm_status slm_meta_string(const slm_tensors *tensors, const char *key, bool required,
                           const char **out, slm_error *err);

#endif
