/* weights.c: from a file's tensors to a model on a device.
 *
 * Each matrix is packed once, in the dtype the user chose, and the file may be closed afterwards.
 * Every tensor is checked against the configuration before it is read, and a tensor that the
 * forward would not use is an error: a file that holds more than the architecture needs is not the
 * architecture it says it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "model_internal.h"

typedef struct loader {
    slm_model *model;
    slm_tensors *file;
    size_t used; /* tensors taken so far */
} loader;

static slm_status find(loader *l, const char *name, int dims, uint64_t rows, uint64_t columns,
                       const slm_tensor **out, slm_error *err)
{
    const char *path = slm_tensors_path(l->file);
    const slm_tensor *tensor = slm_tensors_find(l->file, name);
    if (!tensor)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: tensor %s is missing; the file is incomplete or not a %s model",
                             path, name, l->model->config.architecture);
    bool fits = tensor->dims == dims && tensor->shape[0] == rows &&
                (dims == 1 || tensor->shape[1] == columns);
    if (!fits)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: tensor %s has shape [%llu, %llu]; the configuration asks for "
                             "[%llu, %llu]",
                             path, name, (unsigned long long)tensor->shape[0],
                             (unsigned long long)(tensor->dims > 1 ? tensor->shape[1] : 1),
                             (unsigned long long)rows, (unsigned long long)columns);
    l->used++;
    *out = tensor;
    return SLM_OK;
}

/* A matrix "name.weight" [rows, columns]. */
static slm_status matrix(loader *l, const char *name, int rows, int columns, slm_weight **out,
                         slm_error *err)
{
    const slm_tensor *tensor = NULL;
    slm_model *m = l->model;
    SLM_TRY(find(l, name, 2, (uint64_t)rows, (uint64_t)columns, &tensor, err));
    slm_status status = slm_weight_pack_tensor(m->device, tensor, m->dtype, out, err);
    if (status != SLM_OK)
        return slm_error_prefix(err, status, "%s: tensor %s", slm_tensors_path(l->file), name);
    m->weight_bytes += slm_weight_bytes(*out);
    return SLM_OK;
}

/* A vector "name.weight" [items], always kept as f32. */
static slm_status vector(loader *l, const char *name, int items, slm_mem *out, slm_error *err)
{
    const slm_tensor *tensor = NULL;
    slm_model *m = l->model;
    size_t bytes = (size_t)items * sizeof(float);
    SLM_TRY(find(l, name, 1, (uint64_t)items, 1, &tensor, err));
    if (!slm_dtype_is_weight(tensor->dtype) ||
        (size_t)items % slm_dtype_block_items(tensor->dtype) != 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "%s: tensor %s: type %s holds no weights",
                             slm_tensors_path(l->file), name, slm_dtype_name(tensor->dtype));
    float *values = malloc(bytes);
    if (!values) slm_out_of_memory(bytes);
    slm_tensor_read(tensor, 0, (size_t)items, values);
    slm_status status = slm_device_alloc(m->device, bytes, out, err);
    if (status == SLM_OK) slm_device_upload(m->device, *out, values, bytes);
    m->weight_bytes += bytes;
    free(values);
    return status;
}

static slm_status load_layer(loader *l, int index, slm_error *err)
{
    const slm_model_config *c = &l->model->config;
    model__layer *layer = &l->model->layers[index];
    int d = c->embedding, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    struct {
        const char *name;
        int rows, columns;
        slm_weight **weight;
    } matrices[] = {{"attn_q", q, d, &layer->q},
                    {"attn_k", kv, d, &layer->k},
                    {"attn_v", kv, d, &layer->v},
                    {"attn_output", d, q, &layer->output},
                    {"ffn_gate", c->feed_forward, d, &layer->gate},
                    {"ffn_up", c->feed_forward, d, &layer->up},
                    {"ffn_down", d, c->feed_forward, &layer->down}};
    char name[64];
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", index, matrices[i].name);
        SLM_TRY(matrix(l, name, matrices[i].rows, matrices[i].columns, matrices[i].weight, err));
    }
    snprintf(name, sizeof name, "blk.%d.attn_norm.weight", index);
    SLM_TRY(vector(l, name, d, &layer->attention_norm, err));
    snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", index);
    return vector(l, name, d, &layer->feed_norm, err);
}

/* True if load_weights takes a tensor of this name. */
static bool is_known(const slm_model_config *c, const char *name)
{
    static const char *const parts[] = {"attn_q",      "attn_k",    "attn_v",
                                        "attn_output", "ffn_gate",  "ffn_up",
                                        "ffn_down",    "attn_norm", "ffn_norm"};
    int layer = 0, end = 0;
    if (strcmp(name, "token_embd.weight") == 0 || strcmp(name, "output_norm.weight") == 0 ||
        strcmp(name, "output.weight") == 0)
        return true;
    if (sscanf(name, "blk.%d.%n", &layer, &end) != 1 || end == 0) return false;
    if (layer < 0 || layer >= c->layers) return false;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t len = strlen(parts[i]);
        if (strncmp(name + end, parts[i], len) == 0 && strcmp(name + end + len, ".weight") == 0)
            return true;
    }
    return false;
}

static slm_status refuse_unused(const loader *l, slm_error *err)
{
    size_t count = slm_tensors_count(l->file);
    if (l->used == count) return SLM_OK;
    for (size_t i = 0; i < count; i++) {
        const char *name = slm_tensors_at(l->file, i)->name;
        if (!is_known(&l->model->config, name))
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "%s: tensor %s is not part of a %s model as this version computes "
                                 "it; leaving it out would give wrong answers",
                                 slm_tensors_path(l->file), name, l->model->config.architecture);
    }
    return SLM_OK;
}

static slm_status load_weights(loader *l, slm_error *err)
{
    slm_model *m = l->model;
    const slm_model_config *c = &m->config;
    SLM_TRY(matrix(l, "token_embd.weight", c->vocabulary, c->embedding, &m->embedding, err));
    m->head = m->embedding;
    if (!c->tied_head)
        SLM_TRY(matrix(l, "output.weight", c->vocabulary, c->embedding, &m->head, err));
    SLM_TRY(vector(l, "output_norm.weight", c->embedding, &m->final_norm, err));
    for (int i = 0; i < c->layers; i++)
        SLM_TRY(load_layer(l, i, err));
    return refuse_unused(l, err);
}

static double power(double x, int n)
{
    double product = 1.0;
    for (int i = 0; i < n; i++)
        product *= x;
    return product;
}

/* base^(-2i/dim), i < dim/2 (Su et al. 2021, section 3.2.2): powers of the (dim/2)-th root of
 * 1/base. The root comes from Newton's method on x^n base = 1, which from x = 1 falls monotonically
 * (the function is convex), so it ends when rounding stops the fall. Plain products only: the same
 * bits on every machine, which a library's pow does not promise. */
static double *make_frequencies(double base, int dim)
{
    int half = dim / 2;
    double *frequencies = malloc((size_t)half * sizeof *frequencies);
    if (!frequencies) slm_out_of_memory((size_t)half * sizeof *frequencies);
    double root = 1.0;
    for (int i = 0; i < 1000; i++) {
        double below = power(root, half - 1) * base;
        double next = root - (below * root - 1.0) / (half * below);
        if (!(next < root)) break;
        root = next;
    }
    for (int i = 0; i < half; i++)
        frequencies[i] = power(root, i);
    return frequencies;
}

slm_status slm_model_load(slm_device *device, slm_tensors *file, const slm_model_options *options,
                          slm_model **out, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_model *m = calloc(1, sizeof *m);
    if (!m) slm_out_of_memory(sizeof *m);
    loader l = {.model = m, .file = file};
    m->device = device;
    m->dtype = options->dtype;
    SLM_ASSERT(m->dtype == SLM_BF16 || m->dtype == SLM_F32);
    SLM_TRY_OUT(slm_model_config_read(file, &m->config, err));
    m->kv = (slm_kv_shape){.layers = m->config.layers,
                           .kv_heads = m->config.kv_heads,
                           .head_dim = m->config.head_dim,
                           .dtype = m->dtype};
    m->layers = calloc((size_t)m->config.layers, sizeof *m->layers);
    if (!m->layers) slm_out_of_memory((size_t)m->config.layers * sizeof *m->layers);
    m->frequencies = make_frequencies(m->config.rope_base, m->config.head_dim);
    SLM_TRY_OUT(load_weights(&l, err));
    *out = m;
    m = NULL;
out:
    slm_model_free(m);
    return status;
}

void slm_model_free(slm_model *m)
{
    if (!m) return;
    for (int i = 0; m->layers && i < m->config.layers; i++) {
        model__layer *layer = &m->layers[i];
        slm_weight *weights[] = {layer->q,    layer->k,  layer->v,   layer->output,
                                 layer->gate, layer->up, layer->down};
        for (size_t w = 0; w < sizeof weights / sizeof weights[0]; w++)
            slm_weight_free(weights[w]);
        slm_device_free(m->device, layer->attention_norm);
        slm_device_free(m->device, layer->feed_norm);
    }
    if (m->head != m->embedding) slm_weight_free(m->head);
    slm_weight_free(m->embedding);
    slm_device_free(m->device, m->final_norm);
    free(m->layers);
    free(m->frequencies);
    free(m);
}

const slm_model_config *slm_model_get_config(const slm_model *model)
{
    return &model->config;
}

slm_device *slm_model_device(const slm_model *model)
{
    return model->device;
}

const slm_kv_shape *slm_model_kv_shape(const slm_model *model)
{
    return &model->kv;
}

uint64_t slm_model_parameters(const slm_model *model)
{
    return slm_model_config_parameters(&model->config);
}

uint64_t slm_model_weight_bytes(const slm_model *model)
{
    return model->weight_bytes;
}
