/* trainable.c: what of a model is learnt, where its numbers come from and where they are kept.
 *
 * A parameter has its value in f32, which the optimiser changes, and beside matrices the packed weight
 * that the forward reads, written anew from the value after each change; norms and biases are f32 and
 * are read by the forward where they are changed. So rollouts and training see one model.
 *
 * A new adapter begins as PEFT's default does: A uniform within sqrt(6 / ((1 + 5) columns)) (He et al.
 * 2015 with a = sqrt(5), as PyTorch initialises a linear layer), B zero (Hu et al. 2022). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "training_internal.h"

/* ---- a new adapter ------------------------------------------------------------------------- */

static slm_status check_lora(const slm_model *m, const slm_lora_options *o, slm_error *err)
{
    int most = INT32_MAX;
    for (model__role role = 0; role < MODEL_MATRICES; role++) {
        int rows, columns;
        model__matrix_shape(&m->config, role, &rows, &columns);
        if (!(o->matrices >> role & 1)) continue;
        if (rows < most) most = rows;
        if (columns < most) most = columns;
    }
    if (o->matrices == 0 || o->matrices > SLM_MATRIX_ALL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "an adapter needs one matrix or more: q, k, v, "
                             "o, gate, up, down");
    if (o->rank < 1 || o->rank > most)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "the adapter's rank is %d; beside these matrices it must be from 1 to "
                             "%d",
                             o->rank, most);
    if (!(o->alpha > 0 && o->alpha <= 1e6))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "the adapter's alpha is %g; it must be above 0, at most 1e6",
                             o->alpha);
    return SLM_OK;
}

static slm_status new_pair(slm_model *m, int layer, model__role role, uint64_t seed, slm_error *err)
{
    model__matrix *matrix = &m->layers[layer].matrices[role];
    const size_t rank = (size_t)m->adapter.rank;
    int rows, columns;
    model__matrix_shape(&m->config, role, &rows, &columns);
    const size_t a_items = rank * (size_t)columns, b_items = rank * (size_t)rows;
    const size_t most = a_items > b_items ? a_items : b_items;
    const double bound = 1.0 / sqrt((double)columns);
    slm_random random = slm_random_new(seed, (uint64_t)(layer * MODEL_MATRICES + (int)role));
    float *values = calloc(most, sizeof *values);
    if (!values) slm_out_of_memory(most * sizeof *values);
    slm_status status =
        slm_weight_pack(m->device, SLM_F32, values, (size_t)rows, rank, m->dtype, &matrix->b, err);
    for (size_t i = 0; i < a_items; i++)
        values[i] = (float)((2.0 * slm_random_uniform(&random) - 1.0) * bound);
    if (status == SLM_OK)
        status = slm_weight_pack(m->device, SLM_F32, values, rank, (size_t)columns, m->dtype,
                                 &matrix->a, err);
    free(values);
    matrix->scale = model__adapter_scale(&m->adapter);
    return status;
}

slm_status slm_model_new_adapter(slm_model *m, const slm_lora_options *options, uint64_t seed,
                                 slm_error *err)
{
    slm_status status = SLM_OK;
    SLM_ASSERT(m->adapter_rank == 0);
    SLM_TRY(check_lora(m, options, err));
    m->adapter = (model__adapter_config){options->alpha, options->rank, options->rank_stabilised};
    for (int layer = 0; layer < m->config.layers; layer++)
        for (model__role role = 0; role < MODEL_MATRICES; role++) {
            if (!(options->matrices >> role & 1)) continue;
            SLM_TRY_OUT(new_pair(m, layer, role, seed, err));
            const model__matrix *matrix = &m->layers[layer].matrices[role];
            m->weight_bytes += slm_weight_bytes(matrix->a) + slm_weight_bytes(matrix->b);
            m->adapter_matrices++;
        }
    m->adapter_rank = options->rank;
out:
    if (status != SLM_OK) {
        m->adapter_rank = options->rank; /* so that their bytes are taken off again */
        model__adapter_drop(m);
    }
    return status;
}

bool slm_model_adapter_options(const slm_model *m, slm_lora_options *out)
{
    if (m->adapter_rank == 0) return false;
    *out = (slm_lora_options){.rank = m->adapter.rank,
                              .alpha = m->adapter.alpha,
                              .rank_stabilised = m->adapter.rank_stabilised};
    for (int layer = 0; layer < m->config.layers; layer++)
        for (model__role role = 0; role < MODEL_MATRICES; role++)
            if (m->layers[layer].matrices[role].a) out->matrices |= 1u << role;
    return true;
}

/* ---- parameters ---------------------------------------------------------------------------- */

/* The list that is being made; the first failure ends it. */
typedef struct collector {
    slm_training *t;
    slm_error *err;
    slm_status status;
} collector;

/* The numbers of a packed weight as f32. */
static void unpack(slm_model *m, const slm_weight *w, slm_mem out)
{
    enum { STEP = 1024 };
    const slm_kernels *kernels = slm_device_table(m->device);
    const size_t rows = slm_weight_rows(w), columns = slm_weight_columns(w);
    int32_t ids[STEP];
    for (size_t row = 0; row < rows; row += STEP) {
        const size_t count = rows - row < STEP ? rows - row : STEP;
        for (size_t i = 0; i < count; i++)
            ids[i] = (int32_t)(row + i);
        kernels->embed(m->device, slm_mem_at(out, row * columns * sizeof(float)), w, ids, count);
        kernels->sync(m->device); /* ids are read until then */
    }
}

/* A parameter of rows x columns numbers: a matrix with its packed weight, or a vector that the
 * forward reads itself (`vector`). Returns where its gradient is. */
static slm_mem collect(collector *c, bool reordered, size_t rows, size_t columns,
                       slm_weight *weight, slm_mem vector, const char *name)
{
    slm_training *t = c->t;
    const size_t bytes = rows * columns * sizeof(float);
    slm_mem value = vector, grad = {NULL};
    if (c->status != SLM_OK) return grad;
    c->status = training__take(t, bytes, &grad, c->err);
    if (c->status == SLM_OK && weight) c->status = training__take(t, bytes, &value, c->err);
    if (c->status != SLM_OK) return grad;
    if (weight) unpack(t->model, weight, value);
    SLM_ASSERT(t->parameter_count < t->parameter_room);
    t->reordered[t->parameter_count] = reordered;
    t->parameters[t->parameter_count++] =
        (slm_parameter){slm_arena_strdup(&t->arena, name), rows, columns, value, grad, weight};
    return grad;
}

static bool is_reordered(const slm_model *m, model__role role)
{
    return m->config.rope_interleaved && (role == MODEL_Q || role == MODEL_K);
}

static void collect_adapter(collector *c, int layer, model__role role)
{
    slm_model *m = c->t->model;
    model__matrix *matrix = &m->layers[layer].matrices[role];
    training__grads *grads = &c->t->layers[layer].grads[role];
    const model__names *names = model__names_of(NULL);
    char part[MODEL_NAME_BYTES], name[2 * MODEL_NAME_BYTES];
    if (!matrix->a) return;
    model__layer_name(part, names, layer, names->matrices[role], "");
    snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", part);
    grads->a = collect(c, false, slm_weight_rows(matrix->a), slm_weight_columns(matrix->a),
                       matrix->a, (slm_mem){NULL}, name);
    snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", part);
    grads->b = collect(c, is_reordered(m, role), slm_weight_rows(matrix->b),
                       slm_weight_columns(matrix->b), matrix->b, (slm_mem){NULL}, name);
}

static void collect_layer(collector *c, int index)
{
    slm_model *m = c->t->model;
    model__layer *layer = &m->layers[index];
    training__layer *at = &c->t->layers[index];
    const model__names *names = model__names_of(NULL);
    const int sizes[MODEL_NORMS] = {m->config.embedding, m->config.embedding, m->config.head_dim,
                                    m->config.head_dim};
    char name[MODEL_NAME_BYTES];
    for (model__role role = 0; role < MODEL_MATRICES; role++) {
        model__matrix *matrix = &layer->matrices[role];
        const size_t rows = slm_weight_rows(matrix->weight);
        model__layer_name(name, names, index, names->matrices[role], ".weight");
        at->grads[role].w =
            collect(c, is_reordered(m, role), rows, slm_weight_columns(matrix->weight),
                    matrix->weight, (slm_mem){NULL}, name);
        if (!matrix->bias.at) continue;
        model__layer_name(name, names, index, names->matrices[role], ".bias");
        at->grads[role].bias = collect(c, is_reordered(m, role), 1, rows, NULL, matrix->bias, name);
    }
    for (model__norm norm = 0; norm < MODEL_NORMS; norm++) {
        if (!layer->norms[norm].at) continue;
        model__layer_name(name, names, index, names->norms[norm], ".weight");
        at->norms[norm] = collect(c, false, 1, (size_t)sizes[norm], NULL, layer->norms[norm], name);
    }
}

static void collect_tables(collector *c)
{
    slm_model *m = c->t->model;
    const model__names *names = model__names_of(NULL);
    const size_t rows = (size_t)m->config.vocabulary, columns = (size_t)m->config.embedding;
    c->t->embedding_grad =
        collect(c, false, rows, columns, m->embedding, (slm_mem){NULL}, names->embedding);
    c->t->head_grad = m->head == m->embedding
                          ? c->t->embedding_grad
                          : collect(c, false, rows, columns, m->head, (slm_mem){NULL}, names->head);
}

slm_status training__collect(slm_training *t, slm_error *err)
{
    slm_model *m = t->model;
    collector c = {.t = t, .err = err};
    t->parameter_room = (size_t)m->config.layers * (2 * MODEL_MATRICES + MODEL_NORMS) + 3;
    t->parameters = slm_arena_array(&t->arena, t->parameter_room, sizeof *t->parameters);
    t->reordered = slm_arena_array(&t->arena, t->parameter_room, sizeof *t->reordered);
    for (int layer = 0; layer < m->config.layers; layer++) {
        if (t->options.full) collect_layer(&c, layer);
        for (model__role role = 0; !t->options.full && role < MODEL_MATRICES; role++)
            collect_adapter(&c, layer, role);
    }
    if (t->options.full)
        t->final_norm_grad = collect(&c, false, 1, (size_t)m->config.embedding, NULL, m->final_norm,
                                     model__names_of(NULL)->final_norm);
    if (t->options.full && t->options.embeddings) collect_tables(&c);
    return c.status;
}

slm_parameter *slm_training_parameters(slm_training *t, size_t *count)
{
    *count = t->parameter_count;
    return t->parameters;
}

void slm_training_clear_grads(slm_training *t)
{
    const slm_kernels *kernels = slm_device_table(t->model->device);
    for (size_t i = 0; i < t->parameter_count; i++)
        kernels->zero(t->model->device, t->parameters[i].grad,
                      t->parameters[i].rows * t->parameters[i].columns * sizeof(float));
}

/* ---- files --------------------------------------------------------------------------------- */

/* Between the order of a GGUF Llama and that of files, in which a vector's numbers are the rows. */
static void reorder(const slm_training *t, size_t index, const float *from, float *to, bool to_file)
{
    const slm_parameter *p = &t->parameters[index];
    const size_t rows = p->rows == 1 ? p->columns : p->rows;
    const size_t width = p->rows * p->columns / rows;
    for (size_t row = 0; row < rows; row++) {
        const size_t inside =
            t->reordered[index] ? model__interleaved_row(&t->model->config, row) : row;
        memcpy(to + (to_file ? row : inside) * width, from + (to_file ? inside : row) * width,
               width * sizeof *to);
    }
}

static size_t most_items(const slm_training *t)
{
    size_t most = 1;
    for (size_t i = 0; i < t->parameter_count; i++) {
        const size_t items = t->parameters[i].rows * t->parameters[i].columns;
        if (items > most) most = items;
    }
    return most;
}

slm_status slm_training_save(slm_training *t, const char *path, const char *const (*metadata)[2],
                             size_t metadata_count, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tensor_writer *file = NULL;
    const size_t most = most_items(t);
    float *values = malloc(2 * most * sizeof *values);
    slm_tensor *list = calloc(t->parameter_count + 1, sizeof *list);
    if (!values || !list) slm_out_of_memory(2 * most * sizeof *values);
    for (size_t i = 0; i < t->parameter_count; i++) {
        const slm_parameter *p = &t->parameters[i];
        const bool is_vector = !p->weight;
        list[i] = (slm_tensor){.name = p->name, .dtype = SLM_F32, .dims = is_vector ? 1 : 2};
        list[i].shape[0] = is_vector ? p->columns : p->rows;
        list[i].shape[1] = is_vector ? 0 : p->columns;
    }
    SLM_TRY_OUT(slm_safetensors_create(path, list, t->parameter_count, metadata, metadata_count,
                                       &file, err));
    for (size_t i = 0; i < t->parameter_count; i++) {
        const slm_parameter *p = &t->parameters[i];
        const size_t items = p->rows * p->columns;
        slm_device_download(t->model->device, values, p->value, items * sizeof *values);
        reorder(t, i, values, values + most, true);
        SLM_TRY_OUT(slm_tensor_writer_put(file, values + most, items, err));
    }
    status = slm_tensor_writer_finish(file, err);
    file = NULL;
out:
    slm_tensor_writer_abandon(file);
    free(list);
    free(values);
    return status;
}

static slm_status check_tensor(const slm_training *t, size_t index, const slm_tensors *file,
                               const slm_tensor **out, slm_error *err)
{
    const slm_parameter *p = &t->parameters[index];
    const slm_tensor *tensor = slm_tensors_find(file, p->name);
    if (!tensor)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: tensor %s is missing; the file was made with other settings",
                             slm_tensors_path(file), p->name);
    const uint64_t rows = tensor->dims == 1 ? 1 : tensor->shape[0];
    const uint64_t columns = tensor->dims == 1 ? tensor->shape[0] : tensor->shape[1];
    if (tensor->dims > 2 || rows != p->rows || columns != p->columns ||
        !slm_dtype_is_weight(tensor->dtype) || slm_dtype_is_quantised(tensor->dtype))
        return slm_error_set(
            err, SLM_ERR_FORMAT, "%s: tensor %s is %s [%llu, %llu]; [%zu, %zu] is being trained",
            slm_tensors_path(file), p->name, slm_dtype_name(tensor->dtype),
            (unsigned long long)rows, (unsigned long long)columns, p->rows, p->columns);
    *out = tensor;
    return SLM_OK;
}

slm_status slm_training_load(slm_training *t, const slm_tensors *file, slm_error *err)
{
    const slm_kernels *kernels = slm_device_table(t->model->device);
    const slm_tensor *tensor = NULL;
    for (size_t i = 0; i < t->parameter_count; i++) /* all or nothing */
        SLM_TRY(check_tensor(t, i, file, &tensor, err));
    const size_t most = most_items(t);
    float *values = malloc(2 * most * sizeof *values);
    if (!values) slm_out_of_memory(2 * most * sizeof *values);
    for (size_t i = 0; i < t->parameter_count; i++) {
        const slm_parameter *p = &t->parameters[i];
        const size_t items = p->rows * p->columns;
        slm_tensor_read(slm_tensors_find(file, p->name), 0, items, values);
        reorder(t, i, values, values + most, false);
        slm_device_upload(t->model->device, p->value, values + most, items * sizeof *values);
        if (p->weight) kernels->weight_write(t->model->device, p->weight, p->value);
    }
    free(values);
    return SLM_OK;
}
