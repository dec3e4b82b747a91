/* weights.c: from a file's tensors to a model on a device.
 *
 * Each matrix is packed once, in the dtype the user chose or in the file's own quantised form, and
 * the file may be closed afterwards.
 * Every tensor is checked against the configuration before it is read, and a tensor that the
 * forward would not use is an error: a file that holds more than the architecture needs is not the
 * architecture it says it is. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "model_internal.h"

typedef struct loader {
    slm_model *model;
    slm_tensors *file;
    bool *taken; /* [count of tensors] */
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
    for (size_t i = 0; i < slm_tensors_count(l->file); i++)
        if (slm_tensors_at(l->file, i) == tensor) l->taken[i] = true;
    *out = tensor;
    return SLM_OK;
}

/* The matrix `name` [rows, columns]. */
static slm_status matrix(loader *l, const char *name, int rows, int columns, slm_weight **out,
                         slm_error *err)
{
    const slm_tensor *tensor = NULL;
    slm_model *m = l->model;
    SLM_TRY(find(l, name, 2, (uint64_t)rows, (uint64_t)columns, &tensor, err));
    slm_status status = m->keep_quantised
                            ? slm_weight_pack_quantised(m->device, tensor, m->dtype, out, err)
                            : slm_weight_pack_tensor(m->device, tensor, m->dtype, out, err);
    if (status != SLM_OK)
        return slm_error_prefix(err, status, "%s: tensor %s", slm_tensors_path(l->file), name);
    m->weight_bytes += slm_weight_bytes(*out);
    return SLM_OK;
}

/* The vector `name` [items], always kept as f32. */
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
    const model__names *names = model__names_of(l->file);
    model__layer *layer = &l->model->layers[index];
    const int sizes[MODEL_NORMS] = {c->embedding, c->embedding, c->head_dim, c->head_dim};
    char name[MODEL_NAME_BYTES];
    for (model__role role = 0; role < MODEL_MATRICES; role++) {
        int rows, columns;
        model__matrix_shape(c, role, &rows, &columns);
        model__layer_name(name, names, index, names->matrices[role], ".weight");
        SLM_TRY(matrix(l, name, rows, columns, &layer->matrices[role].weight, err));
        bool bias = role <= MODEL_V ? c->qkv_bias : role == MODEL_OUTPUT && c->output_bias;
        if (!bias) continue;
        model__layer_name(name, names, index, names->matrices[role], ".bias");
        SLM_TRY(vector(l, name, rows, &layer->matrices[role].bias, err));
    }
    for (model__norm norm = 0; norm < (c->qk_norm ? MODEL_NORMS : MODEL_Q_NORM); norm++) {
        model__layer_name(name, names, index, names->norms[norm], ".weight");
        SLM_TRY(vector(l, name, sizes[norm], &layer->norms[norm], err));
    }
    return SLM_OK;
}

bool model__same_numbers(const slm_tensor *a, const slm_tensor *b)
{
    enum { STEP = 4096 }; /* whole blocks of every type */
    float left[STEP], right[STEP];
    size_t items = (size_t)slm_tensor_items(a);
    if (!slm_dtype_is_weight(b->dtype) || slm_tensor_items(b) != items || b->dims != a->dims ||
        b->shape[0] != a->shape[0])
        return false;
    if (a->dtype == b->dtype && a->dtype != SLM_NF4) return memcmp(a->data, b->data, a->bytes) == 0;
    for (size_t first = 0; first < items; first += STEP) {
        size_t count = items - first < STEP ? items - first : STEP;
        slm_tensor_read(a, first, count, left);
        slm_tensor_read(b, first, count, right);
        if (memcmp(left, right, count * sizeof left[0]) != 0) return false;
    }
    return true;
}

/* A tensor that was not taken is what the forward does not know of. Let pass are rotary tables that
 * old checkpoints saved, and the copy of a tied embedding that some tools save as the head. */
static slm_status refuse_unused(const loader *l, slm_error *err)
{
    const model__names *names = model__names_of(l->file);
    const char *path = slm_tensors_path(l->file);
    for (size_t i = 0; i < slm_tensors_count(l->file); i++) {
        const slm_tensor *tensor = slm_tensors_at(l->file, i);
        const char *name = tensor->name;
        if (l->taken[i] || strstr(name, "rotary_emb.inv_freq")) continue;
        if (l->model->config.tied_head && strcmp(name, names->head) == 0) {
            if (model__same_numbers(slm_tensors_find(l->file, names->embedding), tensor)) continue;
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: %s is another matrix than %s, but config.json says "
                                 "tie_word_embeddings true; set it false if the head is the "
                                 "model's own",
                                 path, name, names->embedding);
        }
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: tensor %s is not part of a %s model as this version computes it; "
                             "leaving it out would give wrong answers",
                             path, name, l->model->config.architecture);
    }
    return SLM_OK;
}

static slm_status load_weights(loader *l, slm_error *err)
{
    slm_model *m = l->model;
    const slm_model_config *c = &m->config;
    const model__names *names = model__names_of(l->file);
    SLM_TRY(matrix(l, names->embedding, c->vocabulary, c->embedding, &m->embedding, err));
    m->head = m->embedding;
    if (!c->tied_head) SLM_TRY(matrix(l, names->head, c->vocabulary, c->embedding, &m->head, err));
    SLM_TRY(vector(l, names->final_norm, c->embedding, &m->final_norm, err));
    for (int i = 0; i < c->layers; i++)
        SLM_TRY(load_layer(l, i, err));
    return SLM_OK;
}

/* ---- rotary frequencies -------------------------------------------------------------------- */

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
static void plain_frequencies(double base, int half, double *out)
{
    double root = 1.0;
    for (int i = 0; i < 1000; i++) {
        double below = power(root, half - 1) * base;
        double next = root - (below * root - 1.0) / (half * below);
        if (!(next < root)) break;
        root = next;
    }
    for (int i = 0; i < half; i++)
        out[i] = power(root, i);
}

/* Llama 3.1's scaling (as in its reference code): wavelengths beyond original/low are stretched by
 * factor, those below original/high are kept, those between are mixed linearly in original/length. */
static double llama3_frequency(const slm_model_config *c, double frequency)
{
    const double two_pi = 6.283185307179586;
    double turns = (double)c->rope_original * frequency / two_pi; /* original / wavelength */
    if (turns > c->rope_high) return frequency;
    if (turns < c->rope_low) return frequency / c->rope_factor;
    double smooth = (turns - c->rope_low) / (c->rope_high - c->rope_low);
    return (1.0 - smooth) * frequency / c->rope_factor + smooth * frequency;
}

double model__rope_factor(const slm_model_config *c, int i)
{
    double frequencies[2048]; /* half of the largest head */
    if (c->rope_scaling != SLM_ROPE_LLAMA3) return 1.0;
    plain_frequencies(c->rope_base, c->head_dim / 2, frequencies);
    return frequencies[i] / llama3_frequency(c, frequencies[i]);
}

static slm_status scale_by_table(loader *l, int half, double *frequencies, slm_error *err)
{
    const slm_tensor *table = NULL;
    SLM_TRY(find(l, "rope_freqs.weight", 1, (uint64_t)half, 1, &table, err));
    if (table->dtype != SLM_F32)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "%s: rope_freqs.weight is %s, not F32",
                             slm_tensors_path(l->file), slm_dtype_name(table->dtype));
    for (int i = 0; i < half; i++) {
        float factor;
        slm_tensor_read(table, (size_t)i, 1, &factor);
        if (!(factor > 0.0f && factor <= FLT_MAX))
            return slm_error_set(err, SLM_ERR_FORMAT, "%s: rope_freqs.weight[%d] is %g",
                                 slm_tensors_path(l->file), i, (double)factor);
        frequencies[i] /= (double)factor;
    }
    return SLM_OK;
}

static slm_status make_frequencies(loader *l, slm_error *err)
{
    const slm_model_config *c = &l->model->config;
    int half = c->head_dim / 2;
    double *frequencies = malloc((size_t)half * sizeof *frequencies);
    if (!frequencies) slm_out_of_memory((size_t)half * sizeof *frequencies);
    l->model->frequencies = frequencies;
    plain_frequencies(c->rope_base, half, frequencies);
    if (c->rope_scaling == SLM_ROPE_TABLE) return scale_by_table(l, half, frequencies, err);
    for (int i = 0; i < half; i++) {
        if (c->rope_scaling == SLM_ROPE_LINEAR) frequencies[i] /= c->rope_factor;
        if (c->rope_scaling == SLM_ROPE_LLAMA3)
            frequencies[i] = llama3_frequency(c, frequencies[i]);
    }
    return SLM_OK;
}

/* ---- the model ----------------------------------------------------------------------------- */

slm_status slm_model_load(slm_device *device, slm_tensors *file, const slm_model_options *options,
                          slm_model **out, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_model *m = calloc(1, sizeof *m);
    if (!m) slm_out_of_memory(sizeof *m);
    loader l = {.model = m, .file = file};
    m->device = device;
    m->dtype = options->dtype;
    m->keep_quantised = options->keep_quantised;
    SLM_ASSERT(m->dtype == SLM_BF16 || m->dtype == SLM_F32);
    SLM_TRY_OUT(slm_model_config_read(file, &m->config, err));
    m->kv = (slm_kv_shape){.layers = m->config.layers,
                           .kv_heads = m->config.kv_heads,
                           .head_dim = m->config.head_dim,
                           .dtype = m->dtype};
    m->layers = calloc((size_t)m->config.layers, sizeof *m->layers);
    if (!m->layers) slm_out_of_memory((size_t)m->config.layers * sizeof *m->layers);
    l.taken = calloc(slm_tensors_count(file) + 1, sizeof *l.taken);
    if (!l.taken) slm_out_of_memory(slm_tensors_count(file));
    SLM_TRY_OUT(make_frequencies(&l, err));
    SLM_TRY_OUT(load_weights(&l, err));
    SLM_TRY_OUT(refuse_unused(&l, err));
    *out = m;
    m = NULL;
out:
    free(l.taken);
    slm_model_free(m);
    return status;
}

void slm_model_free(slm_model *m)
{
    if (!m) return;
    model__adapter_drop(m);
    for (int i = 0; m->layers && i < m->config.layers; i++) {
        model__layer *layer = &m->layers[i];
        for (model__role role = 0; role < MODEL_MATRICES; role++) {
            slm_weight_free(layer->matrices[role].weight);
            slm_device_free(m->device, layer->matrices[role].bias);
        }
        for (model__norm norm = 0; norm < MODEL_NORMS; norm++)
            slm_device_free(m->device, layer->norms[norm]);
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

bool slm_model_keeps_quantised(const slm_model *model)
{
    return model->keep_quantised;
}

uint64_t slm_model_lookup_bytes(const slm_model *model)
{
    return model->head == model->embedding ? 0 : slm_weight_bytes(model->embedding);
}

/* Whether slm_model_load makes a weight of this tensor. (Of others it refuses the file, or lets them
 * pass.) */
static bool becomes_weight(const slm_tensor *tensor, const slm_model_config *config,
                           const model__names *names)
{
    if (!slm_dtype_is_weight(tensor->dtype) || tensor->dims > 2) return false;
    if (config->tied_head && strcmp(tensor->name, names->head) == 0) return false;
    return !strstr(tensor->name, "rotary_emb.inv_freq") &&
           strcmp(tensor->name, "rope_freqs.weight") != 0;
}

uint64_t slm_model_file_weight_bytes(const slm_tensors *file, const slm_model_config *config,
                                     const slm_model_options *options)
{
    const model__names *names = model__names_of(file);
    uint64_t total = 0;
    for (size_t i = 0; i < slm_tensors_count(file); i++) {
        const slm_tensor *tensor = slm_tensors_at(file, i);
        if (!becomes_weight(tensor, config, names)) continue;
        total += tensor->dims == 2
                     ? slm_weight_packed_bytes(tensor, options->dtype, options->keep_quantised)
                     : slm_tensor_items(tensor) * sizeof(float);
    }
    return total;
}

bool slm_model_file_is_quantised(const slm_tensors *file)
{
    for (size_t i = 0; i < slm_tensors_count(file); i++)
        if (slm_dtype_is_quantised(slm_tensors_at(file, i)->dtype)) return true;
    return false;
}
