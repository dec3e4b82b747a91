/* encoder.c: token ids -> vectors of texts: BERT's encoder (Devlin et al. 2019).
 *
 * Embeddings of words, positions and type 0 are added and normed. Each layer (Vaswani et al. 2017)
 * adds to its input what attention over the whole sequence gives, and norms the sum; then the same
 * with two linear layers and GELU between them. A text's vector is the mean of its tokens' rows (or
 * the first of them), brought to length 1. Sequences stand one behind the other without padding; as
 * no operation looks beyond a sequence, a vector does not depend on the batch.
 *
 * All is f32. Where the device multiplies bf16 much faster, weights and inputs of a linear are
 * written as two bf16 parts each, and of their four products the three that matter are summed in one
 * multiplication of three times the depth (slm_kernels.split). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_internal.h"

enum {
    BATCH_ROWS = 512, /* rows of a forward, unless one text has more */
    NAME_BYTES = 128,
};

typedef enum encoder_matrix { QUERY, KEY, VALUE, OUTPUT, UP, DOWN, MATRICES } encoder_matrix;
typedef enum encoder_norm { ATTENDED, FED, NORMS } encoder_norm;

typedef struct encoder_layer {
    slm_weight *weights[MATRICES];
    slm_mem bias[MATRICES];
    slm_mem scale[NORMS], shift[NORMS];
} encoder_layer;

struct slm_encoder {
    slm_device *device;
    slm_encoder_config config;
    bool split; /* linears take bf16 parts */
    uint64_t weight_bytes;
    slm_mem words;        /* [vocabulary, d] */
    slm_mem places;       /* [positions, d]: of position, and of type 0 */
    slm_mem scale, shift; /* [d]: the norm of embeddings */
    slm_mem unit;         /* [d]: 1 / sqrt(d), with which a root-mean-square norm gives length 1 */
    encoder_layer *layers;
    size_t max_rows;
    /* scratch, f32: */
    slm_mem x, q, k, v, attended; /* [rows, d] */
    slm_mem hidden;               /* [rows, feed_forward] */
    slm_mem parts;                /* bf16 [rows, 3 feed_forward] or as much as d asks for */
    slm_mem pooled, normed;       /* [rows, d]: at most as many texts as rows */
    int32_t *positions;           /* [rows] */
};

/* ---- loading ------------------------------------------------------------------------------- */

typedef struct encoder_loader {
    slm_encoder *encoder;
    const slm_tensors *file;
    const char *prefix; /* "" or "bert." */
} encoder_loader;

/* Numbers of the tensor `name` [rows, columns] (columns 0: a vector), to be freed. */
static slm_status read_tensor(const encoder_loader *l, const char *name, int rows, int columns,
                              float **out, slm_error *err)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", l->prefix, name);
    const slm_tensor *tensor = slm_tensors_find(l->file, full);
    if (tensor == NULL)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: tensor %s is missing; the folder is incomplete or holds no BERT "
                             "encoder",
                             slm_tensors_path(l->file), full);
    const bool fits = tensor->dims == (columns == 0 ? 1 : 2) &&
                      tensor->shape[0] == (uint64_t)rows &&
                      (columns == 0 || tensor->shape[1] == (uint64_t)columns);
    if (!fits)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: tensor %s has shape [%llu, %llu]; config.json asks for [%d, %d]",
                             slm_tensors_path(l->file), full, (unsigned long long)tensor->shape[0],
                             (unsigned long long)(tensor->dims > 1 ? tensor->shape[1] : 1), rows,
                             columns == 0 ? 1 : columns);
    if (!slm_dtype_is_weight(tensor->dtype) || slm_dtype_is_quantised(tensor->dtype))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: tensor %s: type %s is not taken for encoders; use f32, f16 or "
                             "bf16 weights",
                             slm_tensors_path(l->file), full, slm_dtype_name(tensor->dtype));
    const size_t items = (size_t)slm_tensor_items(tensor);
    *out = malloc(items * sizeof **out);
    if (*out == NULL)
        return slm_error_set(err, SLM_ERR_MEMORY, "no memory for tensor %s of %zu numbers", full,
                             items);
    slm_tensor_read(tensor, 0, items, *out);
    return SLM_OK;
}

static slm_status to_device(encoder_loader *l, const float *values, size_t items, slm_mem *out,
                            slm_error *err)
{
    slm_encoder *e = l->encoder;
    SLM_TRY(slm_device_alloc(e->device, items * sizeof *values, out, err));
    slm_device_upload(e->device, *out, values, items * sizeof *values);
    e->weight_bytes += items * sizeof *values;
    return SLM_OK;
}

/* A vector, or a table that rows are taken from. */
static slm_status load_plain(encoder_loader *l, const char *name, int rows, int columns,
                             slm_mem *out, slm_error *err)
{
    float *values = NULL;
    SLM_TRY(read_tensor(l, name, rows, columns, &values, err));
    slm_status status =
        to_device(l, values, (size_t)rows * (size_t)(columns == 0 ? 1 : columns), out, err);
    free(values);
    return status;
}

/* Each row as high, high and low part: see slm_kernels.split. */
static uint16_t *parts_of(const float *values, size_t n, size_t k)
{
    uint16_t *parts = malloc(n * k * 3 * sizeof *parts);
    if (parts == NULL) slm_out_of_memory(n * k * 3 * sizeof *parts);
    for (size_t i = 0; i < n; i++, values += k) {
        uint16_t *row = parts + i * 3 * k;
        for (size_t j = 0; j < k; j++) {
            row[j] = row[k + j] = slm_bf16_from_f32(values[j]);
            row[2 * k + j] = slm_bf16_from_f32(values[j] - slm_bf16_to_f32(row[j]));
        }
    }
    return parts;
}

static slm_status load_matrix(encoder_loader *l, const char *name, int rows, int columns,
                              slm_weight **out, slm_error *err)
{
    slm_encoder *e = l->encoder;
    const size_t n = (size_t)rows, k = (size_t)columns;
    float *values = NULL;
    SLM_TRY(read_tensor(l, name, rows, columns, &values, err));
    slm_status status;
    if (e->split) {
        uint16_t *parts = parts_of(values, n, k);
        status = slm_weight_pack(e->device, SLM_BF16, parts, n, 3 * k, SLM_BF16, out, err);
        free(parts);
    } else {
        status = slm_weight_pack(e->device, SLM_F32, values, n, k, SLM_F32, out, err);
    }
    free(values);
    if (status == SLM_OK) e->weight_bytes += slm_weight_bytes(*out);
    return status;
}

/* Positions and type 0 are added to every word: one table. */
static slm_status load_places(encoder_loader *l, slm_error *err)
{
    const slm_encoder_config *c = &l->encoder->config;
    const size_t d = (size_t)c->embedding;
    float *places = NULL, *types = NULL;
    slm_status status;
    SLM_TRY_OUT(read_tensor(l, "embeddings.position_embeddings.weight", c->positions, c->embedding,
                            &places, err));
    SLM_TRY_OUT(read_tensor(l, "embeddings.token_type_embeddings.weight", c->types, c->embedding,
                            &types, err));
    for (size_t i = 0; i < (size_t)c->positions * d; i++)
        places[i] += types[i % d];
    status = to_device(l, places, (size_t)c->positions * d, &l->encoder->places, err);
out:
    free(places);
    free(types);
    return status;
}

static slm_status load_layer(encoder_loader *l, int index, slm_error *err)
{
    static const char *const matrices[MATRICES] = {"attention.self.query", "attention.self.key",
                                                   "attention.self.value", "attention.output.dense",
                                                   "intermediate.dense",   "output.dense"};
    static const char *const norms[NORMS] = {"attention.output.LayerNorm", "output.LayerNorm"};
    const slm_encoder_config *c = &l->encoder->config;
    encoder_layer *layer = &l->encoder->layers[index];
    char name[NAME_BYTES - 8];
    for (int m = 0; m < MATRICES; m++) {
        const int rows = m == UP ? c->feed_forward : c->embedding;
        const int columns = m == DOWN ? c->feed_forward : c->embedding;
        snprintf(name, sizeof name, "encoder.layer.%d.%s.weight", index, matrices[m]);
        SLM_TRY(load_matrix(l, name, rows, columns, &layer->weights[m], err));
        snprintf(name, sizeof name, "encoder.layer.%d.%s.bias", index, matrices[m]);
        SLM_TRY(load_plain(l, name, rows, 0, &layer->bias[m], err));
    }
    for (int n = 0; n < NORMS; n++) {
        snprintf(name, sizeof name, "encoder.layer.%d.%s.weight", index, norms[n]);
        SLM_TRY(load_plain(l, name, c->embedding, 0, &layer->scale[n], err));
        snprintf(name, sizeof name, "encoder.layer.%d.%s.bias", index, norms[n]);
        SLM_TRY(load_plain(l, name, c->embedding, 0, &layer->shift[n], err));
    }
    return SLM_OK;
}

static slm_status load_unit(encoder_loader *l, slm_error *err)
{
    const size_t d = (size_t)l->encoder->config.embedding;
    float *values = malloc(d * sizeof *values);
    if (values == NULL) slm_out_of_memory(d * sizeof *values);
    for (size_t i = 0; i < d; i++)
        values[i] = (float)(1.0 / sqrt((double)d));
    slm_status status = to_device(l, values, d, &l->encoder->unit, err);
    free(values);
    return status;
}

static slm_status load_weights(encoder_loader *l, slm_error *err)
{
    slm_encoder *e = l->encoder;
    const slm_encoder_config *c = &e->config;
    if (slm_tensors_find(l->file, "embeddings.word_embeddings.weight") == NULL &&
        slm_tensors_find(l->file, "bert.embeddings.word_embeddings.weight") != NULL)
        l->prefix = "bert.";
    SLM_TRY(load_plain(l, "embeddings.word_embeddings.weight", c->vocabulary, c->embedding,
                       &e->words, err));
    SLM_TRY(load_places(l, err));
    SLM_TRY(load_plain(l, "embeddings.LayerNorm.weight", c->embedding, 0, &e->scale, err));
    SLM_TRY(load_plain(l, "embeddings.LayerNorm.bias", c->embedding, 0, &e->shift, err));
    SLM_TRY(load_unit(l, err));
    for (int i = 0; i < c->layers; i++)
        SLM_TRY(load_layer(l, i, err));
    return SLM_OK;
}

enum { SCRATCH = 9 };
static slm_mem *scratch_of(slm_encoder *e, int index)
{
    slm_mem *const list[SCRATCH] = {&e->x,      &e->q,     &e->k,      &e->v,     &e->attended,
                                    &e->hidden, &e->parts, &e->pooled, &e->normed};
    return list[index];
}

static slm_status alloc_scratch(slm_encoder *e, slm_error *err)
{
    const size_t rows = e->max_rows, d = (size_t)e->config.embedding;
    const size_t feed = (size_t)e->config.feed_forward, wide = feed > d ? feed : d;
    const size_t f32 = rows * sizeof(float), bf16 = rows * 3 * sizeof(uint16_t);
    const size_t bytes[SCRATCH] = {f32 * d,    f32 * d,     f32 * d, f32 * d, f32 * d,
                                   f32 * feed, bf16 * wide, f32 * d, f32 * d};
    for (int i = 0; i < SCRATCH; i++) {
        slm_mem *mem = scratch_of(e, i);
        if (mem == &e->parts && !e->split) continue;
        SLM_TRY(slm_device_alloc(e->device, bytes[i], mem, err));
    }
    e->positions = malloc(rows * sizeof *e->positions);
    if (e->positions == NULL) slm_out_of_memory(rows * sizeof *e->positions);
    return SLM_OK;
}

slm_status slm_encoder_load(slm_device *device, slm_tensors *file, slm_encoder **out,
                            slm_error *err)
{
    slm_status status = SLM_OK;
    slm_encoder *e = calloc(1, sizeof *e);
    if (e == NULL) slm_out_of_memory(sizeof *e);
    encoder_loader l = {.encoder = e, .file = file, .prefix = ""};
    e->device = device;
    e->split = slm_device_prefers_split(device);
    SLM_TRY_OUT(slm_encoder_config_read(file, &e->config, err));
    e->max_rows = e->config.positions > BATCH_ROWS ? (size_t)e->config.positions : BATCH_ROWS;
    e->layers = calloc((size_t)e->config.layers, sizeof *e->layers);
    if (e->layers == NULL) slm_out_of_memory((size_t)e->config.layers * sizeof *e->layers);
    SLM_TRY_OUT(load_weights(&l, err));
    SLM_TRY_OUT(alloc_scratch(e, err));
    *out = e;
    e = NULL;
out:
    slm_encoder_free(e);
    return status;
}

void slm_encoder_free(slm_encoder *e)
{
    if (e == NULL) return;
    for (int i = 0; e->layers != NULL && i < e->config.layers; i++) {
        encoder_layer *layer = &e->layers[i];
        for (int m = 0; m < MATRICES; m++) {
            slm_weight_free(layer->weights[m]);
            slm_device_free(e->device, layer->bias[m]);
        }
        for (int n = 0; n < NORMS; n++) {
            slm_device_free(e->device, layer->scale[n]);
            slm_device_free(e->device, layer->shift[n]);
        }
    }
    const slm_mem tables[] = {e->words, e->places, e->scale, e->shift, e->unit};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        slm_device_free(e->device, tables[i]);
    for (int i = 0; i < SCRATCH; i++)
        slm_device_free(e->device, *scratch_of(e, i));
    free(e->layers);
    free(e->positions);
    free(e);
}

const slm_encoder_config *slm_encoder_get_config(const slm_encoder *encoder)
{
    return &encoder->config;
}

uint64_t slm_encoder_weight_bytes(const slm_encoder *encoder)
{
    return encoder->weight_bytes;
}

/* ---- forward ------------------------------------------------------------------------------- */

/* `count` matrices of a layer from the one on, all of x[rows, k]. */
static void apply(slm_encoder *e, int index, encoder_matrix first, size_t count, const slm_mem *y,
                  slm_mem x, size_t rows, size_t k, bool add)
{
    const slm_kernels *kernels = slm_device_table(e->device);
    const encoder_layer *layer = &e->layers[index];
    slm_linear linear[VALUE + 1], next[VALUE + 1];
    size_t next_count = 0;
    for (size_t i = 0; i < count; i++)
        linear[i] =
            (slm_linear){y[i], layer->weights[(size_t)first + i], layer->bias[(size_t)first + i]};
    /* What follows: one matrix, or behind the last the next layer's first three. */
    if ((size_t)first + count < MATRICES)
        next[next_count++] = (slm_linear){{NULL}, layer->weights[(size_t)first + count], {NULL}};
    else if (index + 1 < e->config.layers)
        for (; next_count < 3; next_count++)
            next[next_count] = (slm_linear){{NULL}, layer[1].weights[next_count], {NULL}};
    if (e->split) {
        kernels->split(e->device, e->parts, x, rows, k);
        x = e->parts;
    }
    kernels->linear(e->device, linear, count, x, rows, add, next, next_count);
}

static void run_layer(slm_encoder *e, int index, const int32_t *lens, size_t count, size_t rows)
{
    const slm_kernels *kernels = slm_device_table(e->device);
    const slm_encoder_config *c = &e->config;
    const encoder_layer *layer = &e->layers[index];
    const size_t d = (size_t)c->embedding, feed = (size_t)c->feed_forward;
    const float eps = (float)c->norm_eps, scale = 1.0f / sqrtf((float)c->head_dim);
    const slm_mem none = {NULL};
    apply(e, index, QUERY, 3, (const slm_mem[]){e->q, e->k, e->v}, e->x, rows, d, false);
    kernels->attention_whole(e->device, e->attended, e->q, e->k, e->v, lens, count,
                             (size_t)c->heads, (size_t)c->head_dim, scale);
    apply(e, index, OUTPUT, 1, &e->x, e->attended, rows, d, true);
    kernels->layer_norm(e->device, e->x, e->x, none, layer->scale[ATTENDED], layer->shift[ATTENDED],
                        rows, d, eps);
    apply(e, index, UP, 1, &e->hidden, e->x, rows, d, false);
    kernels->gelu(e->device, e->hidden, e->hidden, rows * feed);
    apply(e, index, DOWN, 1, &e->x, e->hidden, rows, feed, true);
    kernels->layer_norm(e->device, e->x, e->x, none, layer->scale[FED], layer->shift[FED], rows, d,
                        eps);
}

static void run_batch(slm_encoder *e, const int32_t *ids, const int32_t *lens, size_t count,
                      size_t rows, float *out)
{
    const slm_kernels *kernels = slm_device_table(e->device);
    const slm_encoder_config *c = &e->config;
    const size_t d = (size_t)c->embedding;
    size_t row = 0;
    for (size_t s = 0; s < count; s++)
        for (int32_t i = 0; i < lens[s]; i++)
            e->positions[row++] = i;
    kernels->gather(e->device, e->x, e->words, ids, rows, d);
    kernels->gather(e->device, e->q, e->places, e->positions, rows, d);
    kernels->layer_norm(e->device, e->x, e->x, e->q, e->scale, e->shift, rows, d,
                        (float)c->norm_eps);
    for (int layer = 0; layer < c->layers; layer++)
        run_layer(e, layer, lens, count, rows);
    if (c->first_token) {
        for (size_t s = 0, first = 0; s < count; first += (size_t)lens[s++])
            e->positions[s] = (int32_t)first;
        kernels->gather(e->device, e->pooled, e->x, e->positions, count, d);
    } else {
        kernels->mean_pool(e->device, e->pooled, e->x, lens, count, d);
    }
    kernels->rms_norm(e->device, e->normed, SLM_F32, e->pooled, e->unit, count, d, 1e-30f);
    slm_device_download(e->device, out, e->normed, count * d * sizeof *out);
}

void slm_encoder_run(slm_encoder *e, const int32_t *ids, const int32_t *lens, size_t count,
                     float *out)
{
    for (size_t done = 0; done < count;) {
        size_t rows = 0, some = 0;
        for (; done + some < count; some++) {
            const int32_t len = lens[done + some];
            SLM_ASSERT(len > 0 && len <= e->config.positions);
            if (rows + (size_t)len > e->max_rows) break;
            rows += (size_t)len;
        }
        run_batch(e, ids, lens + done, some, rows, out + done * (size_t)e->config.embedding);
        ids += rows;
        done += some;
    }
}
