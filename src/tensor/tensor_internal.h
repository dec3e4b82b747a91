/* tensor_internal.h: what the files of tensor/ share: the open file, and the readers of containers. */
#ifndef SLM_TENSOR_INTERNAL_H
#define SLM_TENSOR_INTERNAL_H

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "tensor/tensor.h"

/* A metadata entry: the public part first, so that a slm_meta handed out leads back here. */
typedef struct slm_meta_entry {
    slm_meta meta;
    uint32_t type;           /* the item's GGUF value type (arrays) or the value's own */
    const uint8_t *items;    /* arrays of numbers: little endian, packed, any alignment */
    const uint8_t **strings; /* arrays of strings: where each one's length field stands */
} slm_meta_entry;

/* A file of the model: the only one, or a shard. */
typedef struct slm_tensor_part {
    const char *path; /* for errors */
    slm_file_map map;
    bool owns_map;
    const uint8_t *data; /* the file's bytes */
    size_t size;
} slm_tensor_part;

struct slm_tensors {
    slm_arena arena; /* names, strings and every table below */
    const char *path;
    const char *folder; /* NULL: GGUF, or memory */
    const char *format;
    slm_tensor_part *parts; /* in the order of their names */
    size_t part_count;
    slm_tensor *tensors;
    size_t count;
    const slm_tensor **by_name; /* sorted */
    slm_meta_entry *entries;
    size_t entry_count;
    const slm_meta_entry **by_key; /* sorted */
    char sha256[SLM_SHA256_HEX_BYTES];
};

/* The scales of an NF4 tensor; pointers lead into the mapping and have any alignment. */
typedef struct slm_nf4 {
    const uint8_t
        *scales; /* a byte for each block, an index of nested_map; or, if nested is NULL, an
                               f32 */
    const uint8_t *nested; /* an f32 for each nested_block of scales */
    uint64_t block;        /* numbers to a scale */
    uint64_t nested_block; /* scales to a nested scale */
    float offset;          /* added to each scale */
    slm_dtype rounded;     /* the result is rounded to this: SLM_F32, SLM_F16 or SLM_BF16 */
    float map[16];         /* the numbers that the 4 bits stand for */
    float nested_map[256];
} slm_nf4;

/* As slm_tensors_open, over bytes that the caller keeps alive; `name` stands for the path in
 * errors. For tests and fuzzing. */
slm_status slm_tensors__open_memory(const void *data, size_t size, const char *name,
                                    slm_tensors **out, slm_error *err);
/* May `bytes` more be taken from the file's arena for `what`? */
slm_status slm_tensor__budget(const slm_tensors *file, size_t bytes, const char *what,
                              slm_error *err);
/* gguf.c: fill tensors, entries and format from the one part. */
slm_status slm_tensor__read_gguf(slm_tensors *file, slm_error *err);
/* safetensors.c: the same from all parts. */
slm_status slm_tensor__read_safetensors(slm_tensors *file, slm_error *err);
/* folder.c: find the parts of the folder at file->path and map them; *map_out is the index's text
 * (data NULL: there is none), which slm_tensor__check_index holds against the tensors read. */
slm_status slm_tensor__open_folder(slm_tensors *file, slm_tensor_part *index, slm_error *err);
slm_status slm_tensor__check_index(const slm_tensors *file, const slm_tensor_part *index,
                                   slm_error *err);
/* nf4.c: make one NF4 tensor of each weight and the tensors that bitsandbytes puts beside it; needs
 * by_name. *joined: whether there was any, so that by_name is to be made again. */
slm_status slm_tensor__join_nf4(slm_tensors *file, bool *joined, slm_error *err);
void slm_tensor__read_nf4(const slm_tensor *tensor, size_t first, size_t items, float *out);
/* The scale of the block-th scales' block. */
float slm_tensor__nf4_scale(const slm_nf4 *nf4, uint64_t block);

/* dtype.c: Q4_K's and Q5_K's eight scales and eight minima of 6 bits in 12 bytes: byte j < 4 holds
 * scale j and byte 4 + j minimum j in the low 6 bits; of group 4 + j byte 8 + j holds the low halves
 * of both (scale low, minimum high) and the top bits of bytes j and 4 + j what is left of them. */
void slm_tensor__unpack_scales(const uint8_t in[12], uint8_t scales[8], uint8_t minima[8]);

/* members.c: walks the members of a JSON object without building it, so that a hostile text cannot
 * take more memory than one member of it does. */
typedef struct slm_json_members {
    const char *name; /* for errors */
    const char *text;
    size_t len, at;
    size_t base;  /* the file's byte that text[0] is */
    size_t count; /* members seen */
} slm_json_members;

typedef struct slm_json_slice {
    const char *text;
    size_t len;
    size_t base; /* its first byte in the file */
} slm_json_slice;

slm_status slm_tensor__members_open(slm_json_members *members, const char *name,
                                    const slm_json_slice *object, slm_error *err);
/* *more is false at the object's end, after which only white space may follow. */
slm_status slm_tensor__members_next(slm_json_members *members, bool *more, slm_json_slice *key,
                                    slm_json_slice *value, slm_error *err);
/* The value that a slice spells: a new reference. Objects and arrays of 64 KiB, strings and numbers
 * of 4 MiB at most. */
slm_status slm_tensor__slice_parse(const slm_json_slice *slice, const char *name, json_t **out,
                                   slm_error *err);
/* The same for a string; `what` is for errors. */
slm_status slm_tensor__slice_string(const slm_json_slice *slice, const char *name, const char *what,
                                    json_t **out, slm_error *err);

static inline uint32_t slm_tensor__u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t slm_tensor__u64(const uint8_t *at)
{
    return (uint64_t)slm_tensor__u32(at) | (uint64_t)slm_tensor__u32(at + 4) << 32;
}

/* ---- writing ------------------------------------------------------------------------------- */

enum { TENSOR_ALIGNMENT_MAX = 32 };

struct slm_tensor_writer {
    slm_file_writer *file;
    char *path;
    slm_tensor *list; /* dtype and size alone are used */
    size_t count;
    size_t alignment; /* each tensor is padded with zeros to a multiple of it */
    size_t at;        /* the tensor that is being put */
    size_t filled;    /* bytes of it that were */
};

/* write.c: the list copied, its bytes computed, and the file opened; then the container's head must
 * go in. */
slm_status slm_tensor__writer_open(const char *path, const slm_tensor *list, size_t count,
                                   size_t alignment, slm_tensor_writer **out, slm_error *err);
slm_status slm_tensor__writer_begin(slm_tensor_writer *writer, const slm_buffer *head,
                                    slm_error *err);
/* Bytes that are missing to a multiple of `alignment`. */
size_t slm_tensor__padding(uint64_t bytes, size_t alignment);
void slm_tensor__append_u32(slm_buffer *out, uint32_t value);
void slm_tensor__append_u64(slm_buffer *out, uint64_t value);

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
