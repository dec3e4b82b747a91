/* tensor.h: numbers in files. Data types, block quantisation, and the containers that hold weights.
 *
 * A slm_tensors is an open model file: named tensors over a read-only mapping, and its metadata.
 * Every count, size, offset and alignment is checked against the file before anything is used, so
 * that a tensor handed out can be read to its end, and beside the mapping opening takes no more
 * memory than SLM_TENSORS_MEMORY_BYTES. GGUF: the format's specification in the ggml project
 * (docs/gguf.md), versions 2 and 3, little endian. safetensors: the format's description in the
 * safetensors project (README.md); one file, or a folder as Hugging Face's tools write it. */
#ifndef SLM_TENSOR_H
#define SLM_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

/* ---- data types ---------------------------------------------------------------------------- */

typedef enum slm_dtype {
    SLM_F32,
    SLM_F16,
    SLM_BF16,
    SLM_Q8_0, /* blocks of 32: f16 scale, 32 int8:          x = d q          (34 bytes) */
    SLM_Q4_0, /* blocks of 32: f16 scale, 32 x 4 bit:       x = d (q - 8)    (18 bytes) */
    SLM_Q4_1, /* blocks of 32: f16 scale, f16 min, 32 x 4:  x = d q + m      (20 bytes) */
    SLM_Q5_0, /* blocks of 32: f16 scale, 32 x 5 bit:       x = d (q - 16)   (22 bytes) */
    SLM_Q5_1, /* blocks of 32: f16 scale, f16 min, 32 x 5:  x = d q + m      (24 bytes) */
    SLM_Q4_K, /* 256 = 8 x 32, 6-bit scales and minima:     x = d s q - e m  (144 bytes) */
    SLM_Q5_K, /* as Q4_K with 5 bits                                         (176 bytes) */
    SLM_Q6_K, /* 256 = 16 x 16, 8-bit scales, 6 bits:       x = d s (q - 32) (210 bytes) */
    SLM_NF4,  /* bitsandbytes: 4 bits into a table of 16, a scale for each block; its scales stand
                 in tensors beside it: read with slm_tensor_read, not slm_dequantise */
    /* Known by size, never weights (slm_dtype_is_weight). */
    SLM_F64,
    SLM_I64,
    SLM_I32,
    SLM_I16,
    SLM_I8,
    SLM_U64,
    SLM_U32,
    SLM_U16,
    SLM_U8,
    SLM_BOOL,
    SLM_F8_E4M3,
    SLM_F8_E5M2,
    SLM_DTYPE_COUNT
} slm_dtype;

enum { SLM_DTYPE_MAX_BLOCK_ITEMS = 256 };

/* "F32", "Q4_1": as the files' own tools write them. */
const char *slm_dtype_name(slm_dtype dtype);
size_t slm_dtype_block_items(slm_dtype dtype); /* 1 for plain types, 32 for Q8_0 ... */
size_t slm_dtype_block_bytes(slm_dtype dtype);
/* Bytes of `items` numbers; items must be a multiple of the block. */
size_t slm_dtype_bytes(slm_dtype dtype, size_t items);
/* True for the types that hold a model's weights: those that slm_tensor_read reads. */
bool slm_dtype_is_weight(slm_dtype dtype);
/* True for the weights' types that hold whole numbers of few bits with scales. */
bool slm_dtype_is_quantised(slm_dtype dtype);

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
/* To nearest even; overflow becomes infinity, NaN stays NaN. */
uint16_t slm_f16_from_f32(float value);

/* out[items] f32 = the `items` numbers at data, which has slm_dtype_bytes(dtype, items) bytes and
 * any alignment; dtype is a weight's and not NF4. Products and sums in f32, in the order the format's definition gives, so that the
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
    size_t bytes;                        /* at data; NF4: without its scales */
    const struct slm_nf4 *nf4;           /* NF4: where its scales stand; else NULL */
} slm_tensor;

/* out[items] f32 = numbers [first, first + items) of the tensor, row-major; its dtype is a weight's
 * and both counts are multiples of its block (NF4: any). Right to the bit as slm_dequantise; NF4 as
 * bitsandbytes computes it: (code x scale) in f32, rounded to the dtype that the file names. */
void slm_tensor_read(const slm_tensor *tensor, size_t first, size_t items, float *out);
uint64_t slm_tensor_items(const slm_tensor *tensor); /* the product of its shape */

/* A block of a quantised tensor taken apart, for those who keep the numbers as they are: what q, d,
 * m and e, s and the minima mean stands at slm_dtype. */
typedef struct slm_quants {
    uint8_t q[SLM_DTYPE_MAX_BLOCK_ITEMS]; /* Q8_0: int8 */
    uint16_t d, m;                        /* binary16; m: also e of the K types */
    uint8_t scales[16], minima[8];        /* K types, one for each 32; Q6_K: int8 for each 16 */
    float scale;                          /* NF4 */
} slm_quants;
/* The block that begins at number `first`; of NF4 the 32 numbers from there, which must have one
 * scale (asserted). */
void slm_tensor_read_quants(const slm_tensor *tensor, size_t first, slm_quants *out);
/* NF4: the numbers that the 16 codes stand for before scaling; the dtype that a product is rounded
 * to; and the numbers to a scale, counted from the tensor's first. */
void slm_tensor_nf4_codes(const slm_tensor *tensor, float codes[16], slm_dtype *rounded,
                          uint64_t *block);

typedef struct slm_tensors slm_tensors;

/* Beside the mapping, what opening may take at most; a file that needs more is refused. */
enum { SLM_TENSORS_MEMORY_BYTES = 40 << 20 };

/* Open a GGUF file, a .safetensors file, or a Hugging Face folder: one that holds model.safetensors
 * or model.safetensors.index.json and the shards that it names. Tensors of safetensors keep the
 * file's names; the tensors that bitsandbytes puts beside an NF4 weight X ("X.absmax" ...) become
 * part of X and are not listed. Errors name the file, the field and the offset. */
slm_status slm_tensors_open(const char *path, slm_tensors **out, slm_error *err);
void slm_tensors_close(slm_tensors *tensors);
const char *slm_tensors_path(const slm_tensors *tensors); /* as it was given */
/* The folder in which a safetensors model lies, where config.json and tokenizer.json stand; NULL for
 * GGUF, which holds all of its own. */
const char *slm_tensors_folder(const slm_tensors *tensors);
/* "GGUF v3", "safetensors", "safetensors, 3 shards". */
const char *slm_tensors_format(const slm_tensors *tensors);
uint64_t slm_tensors_file_bytes(const slm_tensors *tensors); /* of all shards */
size_t slm_tensors_count(const slm_tensors *tensors);
const slm_tensor *slm_tensors_at(const slm_tensors *tensors, size_t index); /* file order */
/* NULL if there is none of that name. */
const slm_tensor *slm_tensors_find(const slm_tensors *tensors, const char *name);
/* SHA-256 of the whole file, or of all shards one after the other in the order of their names;
 * computed once and kept: the identity of a model's weights in results. */
slm_status slm_tensors_sha256(slm_tensors *tensors, const char **hex, slm_error *err);

/* ---- metadata ------------------------------------------------------------------------------ */

/* GGUF: all entries. safetensors: the strings of `__metadata__`; of several shards the first that
 * has the key. */

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

/* ---- writing (write.c) --------------------------------------------------------------------- */

/* A file made tensor by tensor: shapes first, which slm_safetensors_create or slm_gguf_create is
 * given, then the numbers in the same order. Nothing appears under its path before
 * slm_tensor_writer_finish. */
typedef struct slm_tensor_writer slm_tensor_writer;
/* The next `items` numbers, already in the dtype of the list; a tensor may come in pieces. */
slm_status slm_tensor_writer_put(slm_tensor_writer *writer, const void *data, size_t items,
                                 slm_error *err);
/* Sync and rename; all numbers must have been put (asserted). Frees, whether it succeeds or not. */
slm_status slm_tensor_writer_finish(slm_tensor_writer *writer, slm_error *err);
/* Remove what was written and free. NULL is allowed. */
void slm_tensor_writer_abandon(slm_tensor_writer *writer);

/* list[count]: name, dtype (a plain one), dims and shape count; names differ (asserted). metadata:
 * pairs of key and value for `__metadata__`. */
slm_status slm_safetensors_create(const char *path, const slm_tensor *list, size_t count,
                                  const char *const (*metadata)[2], size_t metadata_count,
                                  slm_tensor_writer **out, slm_error *err);

/* ---- writing GGUF (write_gguf.c) ----------------------------------------------------------- */

/* out = `items` numbers as dtype: F32, F16, BF16, to nearest even; or Q8_0 as its definition says
 * (d = the largest of 32 by 127; items a multiple of 32). out has slm_dtype_bytes(dtype, items). */
void slm_narrow(slm_dtype dtype, const float *values, size_t items, void *out);

/* Metadata in the making; zero-initialised is empty. Keys must differ. */
typedef struct slm_gguf_meta {
    slm_buffer bytes;
    uint64_t count;
} slm_gguf_meta;
void slm_gguf_add_string(slm_gguf_meta *meta, const char *key, const char *text, size_t len);
void slm_gguf_add_u32(slm_gguf_meta *meta, const char *key, uint32_t value);
void slm_gguf_add_f32(slm_gguf_meta *meta, const char *key, float value);
void slm_gguf_add_bool(slm_gguf_meta *meta, const char *key, bool value);
void slm_gguf_add_i32s(slm_gguf_meta *meta, const char *key, const int32_t *values, size_t count);
void slm_gguf_add_f32s(slm_gguf_meta *meta, const char *key, const float *values, size_t count);
/* An array of `count` strings, which slm_gguf_put_string gives one by one right after. */
void slm_gguf_add_strings(slm_gguf_meta *meta, const char *key, size_t count);
void slm_gguf_put_string(slm_gguf_meta *meta, const char *text, size_t len);
/* An entry of another GGUF file, with its type. */
void slm_gguf_add_copy(slm_gguf_meta *meta, const slm_meta *entry);
void slm_gguf_meta_free(slm_gguf_meta *meta);

/* As slm_safetensors_create, a GGUF v3 file; dtypes are those that GGUF has. */
slm_status slm_gguf_create(const char *path, const slm_tensor *list, size_t count,
                           const slm_gguf_meta *meta, slm_tensor_writer **out, slm_error *err);

#endif
