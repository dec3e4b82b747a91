/* nf4.c: the 4-bit weights of bitsandbytes, as its users save them in safetensors.
 *
 * A weight X is a row of bytes with two numbers each, the first in the high half: indices of a table
 * of 16 quantiles of the normal distribution (Dettmers et al. 2023, "QLoRA", section 3). Each
 * `blocksize` numbers share a scale, absmax, and the scales are quantised in turn ("double
 * quantisation"): a byte each, an index of a table of 256, with a scale for each `nested_blocksize`
 * of them and one offset that makes up for their mean. Beside X stand
 *
 *     X.absmax              U8 (F32 if not nested)    X.quant_map          F32 [16]
 *     X.nested_absmax       F32                       X.nested_quant_map   F32 [256]
 *     X.quant_state.bitsandbytes__nf4   U8, JSON: quant_type, blocksize, dtype, shape,
 *                                       nested_blocksize, nested_dtype, nested_offset
 *
 * and                scale = nested_map[absmax] * nested_absmax + nested_offset
 *                    x     = map[q] * scale, rounded to dtype
 *
 * in f32, each operation rounded, which is what bitsandbytes computes (functional.py,
 * dequantize_4bit): the result equals its to the bit. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "tensor/tensor_internal.h"

enum { STATE_MAX_BYTES = 64 << 10, BLOCK_MAX = 1 << 20 };

static const char STATE[] = ".quant_state.bitsandbytes__";

/* ---- reading ------------------------------------------------------------------------------- */

static float load_f32(const uint8_t *at)
{
    float value;
    memcpy(&value, at, sizeof(value));
    return value;
}

float slm_tensor__nf4_scale(const slm_nf4 *nf4, uint64_t block)
{
    if (nf4->nested == NULL) return load_f32(nf4->scales + 4 * block);
    float scale = nf4->nested_map[nf4->scales[block]] *
                  load_f32(nf4->nested + 4 * (block / nf4->nested_block));
    return scale + nf4->offset;
}

/* What the 16 codes mean in one block. */
static void make_table(const slm_nf4 *nf4, uint64_t block, float table[16])
{
    float scale = slm_tensor__nf4_scale(nf4, block);
    for (int q = 0; q < 16; q++) {
        float value = nf4->map[q] * scale;
        if (nf4->rounded == SLM_BF16) value = slm_bf16_to_f32(slm_bf16_from_f32(value));
        if (nf4->rounded == SLM_F16) value = slm_f16_to_f32(slm_f16_from_f32(value));
        table[q] = value;
    }
}

void slm_tensor__read_nf4(const slm_tensor *tensor, size_t first, size_t items, float *out)
{
    const slm_nf4 *nf4 = tensor->nf4;
    const uint8_t *in = tensor->data;
    size_t end = first + items;
    while (first < end) {
        uint64_t block = first / nf4->block, stop = (block + 1) * nf4->block;
        float table[16];
        make_table(nf4, block, table);
        for (; first < end && first < stop; first++)
            *out++ = table[in[first / 2] >> (first % 2 ? 0 : 4) & 15];
    }
}

/* ---- joining ------------------------------------------------------------------------------- */

/* One weight while its parts are put together. */
typedef struct joint {
    slm_tensors *file;
    bool *taken;      /* by index: is part of another tensor */
    const char *name; /* of the weight */
    slm_nf4 *nf4;
    char place[1400]; /* for errors */
} joint;

static slm_status mark_taken(const joint *j, const slm_tensor *tensor, slm_error *err)
{
    size_t index = (size_t)(tensor - j->file->tensors);
    if (j->taken[index])
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: tensor '%.300s' belongs to another weight; the file is damaged",
                             j->place, tensor->name);
    j->taken[index] = true;
    return SLM_OK;
}

/* The tensor "NAME.suffix" of `items` numbers. */
static slm_status take(const joint *j, const char *suffix, slm_dtype dtype, uint64_t items,
                       const uint8_t **out, slm_error *err)
{
    char name[1200];
    snprintf(name, sizeof(name), "%s.%s", j->name, suffix);
    const slm_tensor *part = slm_tensors_find(j->file, name);
    if (part == NULL)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: its tensor '.%s' is missing; the file is incomplete: fetch it "
                             "again",
                             j->place, suffix);
    if (part->dtype != dtype || slm_tensor_items(part) != items)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: its tensor '.%s' must hold %" PRIu64 " numbers of type %s but "
                             "holds %" PRIu64 " of type %s; the file is damaged",
                             j->place, suffix, items, slm_dtype_name(dtype), slm_tensor_items(part),
                             slm_dtype_name(part->dtype));
    *out = part->data;
    return mark_taken(j, part, err);
}

/* A member of the state: a whole number of 1 to max. */
static slm_status read_count(const json_t *state, const char *key, const slm_json_place *place,
                             int64_t max, uint64_t *out, slm_error *err)
{
    int64_t value = 0;
    SLM_TRY(slm_json_integer(state, key, place, &value, err));
    if (value < 1 || value > max)
        return slm_json_error(place, err, "%s must be 1 to %" PRId64 " but is %" PRId64, key, max,
                              value);
    *out = (uint64_t)value;
    return SLM_OK;
}

static slm_status read_rounding(const json_t *state, const slm_json_place *place, slm_dtype *out,
                                slm_error *err)
{
    static const struct {
        const char *name;
        slm_dtype dtype;
    } known[] = {{"float32", SLM_F32}, {"float16", SLM_F16}, {"bfloat16", SLM_BF16}};
    const char *name = NULL;
    SLM_TRY(slm_json_string(state, "dtype", place, &name, err));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *out = known[i].dtype;
        return SLM_OK;
    }
    return slm_json_error(place, err, "dtype must be float32, float16 or bfloat16, not '%.40s'",
                          name);
}

static slm_status read_shape(const json_t *state, const slm_json_place *place, slm_tensor *weight,
                             slm_error *err)
{
    json_t *list = NULL;
    uint64_t items = 1;
    SLM_TRY(slm_json_array(state, "shape", place, &list, err));
    size_t dims = json_array_size(list);
    if (dims < 1 || dims > SLM_TENSOR_MAX_DIMS)
        return slm_json_error(place, err, "shape has %zu dimensions; 1 to %d are allowed", dims,
                              SLM_TENSOR_MAX_DIMS);
    weight->dims = (int)dims;
    for (size_t d = 0; d < dims; d++) {
        const json_t *item = json_array_get(list, d);
        int64_t size = json_is_integer(item) ? json_integer_value(item) : 0;
        if (size < 1 || __builtin_mul_overflow(items, (uint64_t)size, &items) ||
            items > INT64_MAX / 8)
            return slm_json_error(place, err, "shape[%zu] is no size that a tensor can have", d);
        weight->shape[d] = (uint64_t)size;
    }
    if ((items + 1) / 2 != weight->bytes)
        return slm_json_error(place, err,
                              "shape makes %" PRIu64 " numbers, which take %" PRIu64
                              " bytes, but the weight has %zu; the file is damaged",
                              items, (items + 1) / 2, weight->bytes);
    return SLM_OK;
}

static slm_status read_nested(const joint *j, const json_t *state, const slm_json_place *place,
                              uint64_t scales, slm_error *err)
{
    const char *dtype = NULL;
    const uint8_t *map = NULL;
    double offset = 0;
    slm_nf4 *nf4 = j->nf4;
    SLM_TRY(read_count(state, "nested_blocksize", place, BLOCK_MAX, &nf4->nested_block, err));
    SLM_TRY(slm_json_string(state, "nested_dtype", place, &dtype, err));
    if (strcmp(dtype, "float32") != 0)
        return slm_json_error(place, err, "nested_dtype must be float32, not '%.40s'", dtype);
    SLM_TRY(slm_json_number(state, "nested_offset", place, &offset, err));
    if (!(fabs(offset) <= (double)FLT_MAX))
        return slm_json_error(place, err, "nested_offset is no number that a float32 can hold");
    nf4->offset = (float)offset;
    uint64_t count = (scales + nf4->nested_block - 1) / nf4->nested_block;
    SLM_TRY(take(j, "absmax", SLM_U8, scales, &nf4->scales, err));
    SLM_TRY(take(j, "nested_absmax", SLM_F32, count, &nf4->nested, err));
    SLM_TRY(take(j, "nested_quant_map", SLM_F32, 256, &map, err));
    memcpy(nf4->nested_map, map, sizeof(nf4->nested_map));
    return SLM_OK;
}

static slm_status read_state(const joint *j, const json_t *state, slm_tensor *weight,
                             slm_error *err)
{
    const slm_json_place place = {.name = j->place};
    const char *type = NULL;
    const uint8_t *map = NULL;
    slm_nf4 *nf4 = j->nf4;
    if (!json_is_object(state)) return slm_json_error(&place, err, "must be a JSON object");
    SLM_TRY(slm_json_string(state, "quant_type", &place, &type, err));
    if (strcmp(type, "nf4") != 0)
        return slm_json_error(&place, err, "quant_type must be nf4, not '%.40s'", type);
    SLM_TRY(read_rounding(state, &place, &nf4->rounded, err));
    SLM_TRY(read_count(state, "blocksize", &place, BLOCK_MAX, &nf4->block, err));
    SLM_TRY(read_shape(state, &place, weight, err));
    uint64_t scales = (slm_tensor_items(weight) + nf4->block - 1) / nf4->block;
    SLM_TRY(take(j, "quant_map", SLM_F32, 16, &map, err));
    memcpy(nf4->map, map, sizeof(nf4->map));
    if (json_object_get(state, "nested_offset") != NULL)
        SLM_TRY(read_nested(j, state, &place, scales, err));
    else
        SLM_TRY(take(j, "absmax", SLM_F32, scales, &nf4->scales, err));
    weight->dtype = SLM_NF4;
    weight->nf4 = nf4;
    return SLM_OK;
}

/* `state` is X.quant_state.bitsandbytes__TYPE; `dot` where X ends in its name. */
static slm_status join_one(joint *j, const slm_tensor *state, const char *dot, slm_error *err)
{
    slm_tensors *file = j->file;
    const char *type = dot + sizeof(STATE) - 1;
    SLM_TRY(slm_tensor__budget(file, sizeof(*j->nf4) + strlen(state->name), "NF4 tables", err));
    j->name = slm_arena_strndup(&file->arena, state->name, (size_t)(dot - state->name));
    j->nf4 = slm_arena_alloc(&file->arena, sizeof(*j->nf4));
    snprintf(j->place, sizeof(j->place), "%.300s: tensor '%.1024s'", file->path, state->name);
    if (strcmp(type, "nf4") != 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: weights of bitsandbytes' type %.20s are not supported; nf4 is",
                             j->place, type);
    if (state->dtype != SLM_U8 || state->bytes > STATE_MAX_BYTES)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: must hold at most %d bytes of JSON (U8)",
                             j->place, STATE_MAX_BYTES);
    const slm_tensor *weight = slm_tensors_find(file, j->name);
    if (weight == NULL)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: the weight that it describes is missing; the file is incomplete: "
                             "fetch it again",
                             j->place);
    if (weight->nf4 != NULL || weight == state || j->taken[weight - file->tensors])
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: describes what is no weight", j->place);
    json_t *json = NULL;
    SLM_TRY(mark_taken(j, state, err));
    SLM_TRY(slm_json_parse(state->data, state->bytes, j->place, 1, &json, err));
    slm_status status = read_state(j, json, &file->tensors[weight - file->tensors], err);
    json_decref(json);
    return status;
}

slm_status slm_tensor__join_nf4(slm_tensors *file, bool *joined, slm_error *err)
{
    joint j = {.file = file};
    *joined = false;
    for (size_t i = 0; i < file->count; i++) {
        const slm_tensor *state = &file->tensors[i];
        const char *dot = strstr(state->name, STATE);
        if (dot == NULL) continue;
        if (j.taken == NULL) {
            SLM_TRY(slm_tensor__budget(file, file->count, "NF4 tables", err));
            j.taken = slm_arena_array(&file->arena, file->count, sizeof(*j.taken));
        }
        SLM_TRY(join_one(&j, state, dot, err));
        *joined = true;
    }
    size_t kept = 0;
    for (size_t i = 0; *joined && i < file->count; i++) {
        if (j.taken[i] && file->tensors[i].nf4 != NULL)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: tensor '%.300s' is a weight and part of another; the file is "
                                 "damaged",
                                 file->path, file->tensors[i].name);
        if (!j.taken[i]) file->tensors[kept++] = file->tensors[i];
    }
    if (*joined) file->count = kept;
    return SLM_OK;
}
