/* forward.c: token ids -> logits, over a paged cache.
 *
 * The Llama block (Touvron et al. 2023): x += attention(norm(x)); x += feed_forward(norm(x)), with
 * RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021), grouped queries (Ainslie et
 * al. 2023) and SwiGLU (Shazeer 2020). The residual stream is f32; what feeds a linear is rounded to
 * the weights' dtype by the operation that makes it. One batch may mix rows that decode with chunks
 * of prompts: each row's result depends on its own sequence alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_internal.h"

/* Item counts of the scratch buffers, in the order of slm_forward's fields from x on. */
enum { SCRATCH_BUFFERS = 11 };
static void scratch_items(const slm_model_config *c, size_t rows, size_t wanted, size_t logits,
                          size_t items[SCRATCH_BUFFERS])
{
    size_t d = (size_t)c->embedding, q = (size_t)(c->heads * c->head_dim);
    size_t kv = (size_t)(c->kv_heads * c->head_dim), feed = (size_t)c->feed_forward;
    size_t most = rows > wanted ? rows : wanted;
    const size_t list[SCRATCH_BUFFERS] = {rows * d,
                                          most * d,
                                          rows * q,
                                          rows * kv,
                                          rows * kv,
                                          rows * q,
                                          rows * feed,
                                          rows * feed,
                                          rows * feed,
                                          wanted * d,
                                          logits * (size_t)c->vocabulary};
    memcpy(items, list, sizeof list);
}

size_t slm_forward_bytes(const slm_model_config *config, int adapter_rank, size_t max_rows,
                         size_t max_logits)
{
    size_t items[SCRATCH_BUFFERS], total = 2 * max_rows * (size_t)adapter_rank * sizeof(float);
    scratch_items(config, max_rows, max_logits, max_logits, items);
    for (int i = 0; i < SCRATCH_BUFFERS; i++)
        total += items[i] * sizeof(float);
    return total + max_rows * sizeof(int32_t);
}

static slm_mem *scratch_buffers(slm_forward *f, int index)
{
    slm_mem *const list[SCRATCH_BUFFERS] = {&f->x,      &f->normed,   &f->q,     &f->k,
                                            &f->v,      &f->attended, &f->gate,  &f->up,
                                            &f->hidden, &f->wanted,   &f->logits};
    return list[index];
}

slm_status model__forward_new(slm_model *model, size_t max_rows, size_t max_wanted,
                              size_t max_logits, slm_forward **out, slm_error *err)
{
    slm_status status = SLM_OK;
    size_t items[SCRATCH_BUFFERS];
    slm_forward *f = calloc(1, sizeof *f);
    if (!f) slm_out_of_memory(sizeof *f);
    f->model = model;
    f->max_rows = max_rows;
    f->max_logits = max_logits;
    scratch_items(&model->config, max_rows, max_wanted, max_logits, items);
    for (int i = 0; i < SCRATCH_BUFFERS; i++)
        SLM_TRY_OUT(
            slm_device_alloc(model->device, items[i] * sizeof(float), scratch_buffers(f, i), err));
    if (model->adapter_rank > 0) {
        size_t bytes = max_rows * (size_t)model->adapter_rank * sizeof(float);
        SLM_TRY_OUT(slm_device_alloc(model->device, bytes, &f->low, err));
        SLM_TRY_OUT(slm_device_alloc(model->device, bytes, &f->low_act, err));
    }
    f->positions = malloc(max_rows * sizeof *f->positions);
    if (!f->positions) slm_out_of_memory(max_rows * sizeof *f->positions);
    *out = f;
    f = NULL;
out:
    slm_forward_free(f);
    return status;
}

slm_status slm_forward_new(slm_model *model, size_t max_rows, size_t max_logits, slm_forward **out,
                           slm_error *err)
{
    return model__forward_new(model, max_rows, max_logits, max_logits, out, err);
}

void slm_forward_free(slm_forward *f)
{
    if (!f) return;
    for (int i = 0; i < SCRATCH_BUFFERS; i++)
        slm_device_free(f->model->device, *scratch_buffers(f, i));
    slm_device_free(f->model->device, f->low);
    slm_device_free(f->model->device, f->low_act);
    free(f->positions);
    free(f);
}

const model__role model__group_begin[MODEL_GROUPS + 1] = {MODEL_Q, MODEL_OUTPUT, MODEL_GATE,
                                                          MODEL_DOWN, MODEL_MATRICES};

/* The group's layers, their outputs not yet set; behind the last group comes the next layer's first,
 * behind the last layer the head. Returns how many. */
static size_t group_layers(const slm_model *m, int layer, int group,
                           slm_linear out[MODEL_GROUP_MOST])
{
    if (group == MODEL_GROUPS) group = 0, layer++;
    if (layer == m->config.layers) {
        out[0] = (slm_linear){{NULL}, m->head, {NULL}};
        return 1;
    }
    size_t count = 0;
    for (int role = model__group_begin[group]; role < (int)model__group_begin[group + 1]; role++) {
        const model__matrix *matrix = &m->layers[layer].matrices[role];
        out[count++] = (slm_linear){{NULL}, matrix->weight, matrix->bias};
    }
    return count;
}

slm_mem model__drop(slm_forward *f, int layer, model__role role, slm_mem x, size_t rows)
{
    const slm_model *m = f->model;
    slm_dropout dropout = f->dropout;
    if (!(dropout.p > 0)) return x;
    dropout.layer = (uint32_t)(layer * MODEL_MATRICES + (int)role);
    slm_device_table(m->device)->dropout(
        m->device, f->dropped, x, m->dtype, &dropout, 0,
        rows * slm_weight_columns(m->layers[layer].matrices[role].a), false);
    return f->dropped;
}

/* For each matrix of the group: y = W x + bias + scale B A x (added to y if `add`). */
static void apply(slm_forward *f, int layer, int group, const slm_mem *y, slm_mem x, size_t rows,
                  bool add)
{
    const slm_model *m = f->model;
    const slm_kernels *kernels = slm_device_table(m->device);
    slm_linear layers[MODEL_GROUP_MOST], next[MODEL_GROUP_MOST];
    const size_t count = group_layers(m, layer, group, layers);
    const size_t next_count = group_layers(m, layer, group + 1, next);
    for (size_t i = 0; i < count; i++)
        layers[i].y = y[i];
    kernels->linear(m->device, layers, count, x, rows, add, next, next_count);
    for (size_t i = 0; i < count; i++) {
        const model__matrix *matrix =
            &m->layers[layer].matrices[(size_t)model__group_begin[group] + i];
        if (!matrix->a) continue;
        const slm_linear a = {f->low, matrix->a, {NULL}}, b = {y[i], matrix->b, {NULL}};
        const slm_mem kept =
            model__drop(f, layer, model__group_begin[group] + (model__role)i, x, rows);
        kernels->linear(m->device, &a, 1, kept, rows, false, NULL, 0);
        kernels->convert(m->device, f->low_act, m->dtype, f->low, matrix->scale,
                         rows * slm_weight_rows(matrix->a));
        kernels->linear(m->device, &b, 1, f->low_act, rows, true, NULL, 0);
    }
}

/* Norm each head's vector (Qwen3), then rotate it by its position. raw: what a backward wants of
 * x before its norm, or {NULL}. */
static void place_heads(slm_forward *f, slm_mem x, slm_mem norm, slm_mem raw, size_t rows,
                        size_t heads)
{
    const slm_model *m = f->model;
    const slm_model_config *c = &m->config;
    const slm_kernels *kernels = slm_device_table(m->device);
    size_t head_dim = (size_t)c->head_dim;
    if (norm.at && raw.at)
        kernels->convert(m->device, raw, SLM_F32, x, 1.0f, rows * heads * head_dim);
    if (norm.at)
        kernels->rms_norm(m->device, x, SLM_F32, x, norm, rows * heads, head_dim,
                          (float)c->norm_eps);
    kernels->rope(m->device, x, f->positions, m->frequencies, rows, heads, head_dim,
                  c->rope_interleaved, 1);
}

void model__attend(slm_forward *f, const model__batch *b, int index)
{
    const slm_model *m = f->model;
    const slm_model_config *c = &m->config;
    const slm_kernels *kernels = slm_device_table(m->device);
    const model__layer *layer = &m->layers[index];
    slm_device *dev = m->device;
    const int kv_layer = index < b->kv.layers ? index : 0;
    size_t heads = (size_t)c->heads, kv_heads = (size_t)c->kv_heads;
    float scale = 1.0f / sqrtf((float)c->head_dim);

    kernels->rms_norm(dev, f->normed, m->dtype, f->x, layer->norms[MODEL_ATTENTION_NORM], b->rows,
                      (size_t)c->embedding, (float)c->norm_eps);
    apply(f, index, MODEL_GROUP_QKV, (const slm_mem[]){f->q, f->k, f->v}, f->normed, b->rows,
          false);
    place_heads(f, f->q, layer->norms[MODEL_Q_NORM], f->q_raw, b->rows, heads);
    place_heads(f, f->k, layer->norms[MODEL_K_NORM], f->k_raw, b->rows, kv_heads);
    kernels->kv_write(dev, b->cache, &b->kv, kv_layer, f->k, f->v, b->writes, b->write_count);
    kernels->attention(dev, f->attended, m->dtype, f->q, b->cache, &b->kv, kv_layer, heads, scale,
                       b->spans, b->span_count);
    apply(f, index, MODEL_GROUP_OUTPUT, &f->x, f->attended, b->rows, true);
}

void model__feed_hidden(slm_forward *f, size_t rows, int index)
{
    const slm_model *m = f->model;
    const slm_model_config *c = &m->config;
    const slm_kernels *kernels = slm_device_table(m->device);
    const model__layer *layer = &m->layers[index];

    kernels->rms_norm(m->device, f->normed, m->dtype, f->x, layer->norms[MODEL_FEED_NORM], rows,
                      (size_t)c->embedding, (float)c->norm_eps);
    apply(f, index, MODEL_GROUP_GATE_UP, (const slm_mem[]){f->gate, f->up}, f->normed, rows, false);
    kernels->swiglu(m->device, f->hidden, m->dtype, f->gate, f->up, rows * (size_t)c->feed_forward);
}

void model__feed_forward(slm_forward *f, size_t rows, int index)
{
    model__feed_hidden(f, rows, index);
    apply(f, index, MODEL_GROUP_DOWN, &f->x, f->hidden, rows, true);
}

void model__place(slm_forward *f, const model__batch *b)
{
    for (size_t s = 0; s < b->span_count; s++)
        for (int32_t i = 0; i < b->spans[s].rows; i++)
            f->positions[b->spans[s].row + i] = b->spans[s].position + i;
}

void slm_forward_run(slm_forward *f, slm_mem cache, const int32_t *ids, size_t rows,
                     const slm_kv_span *spans, size_t span_count, const int32_t *want,
                     size_t want_count, slm_mem *logits)
{
    const slm_model *m = f->model;
    const slm_kernels *kernels = slm_device_table(m->device);
    const model__batch b = {cache, m->kv, rows, spans, spans, span_count, span_count};
    size_t d = (size_t)m->config.embedding;

    SLM_ASSERT(rows > 0 && rows <= f->max_rows && want_count <= f->max_logits);
    model__place(f, &b);
    kernels->embed(m->device, f->x, m->embedding, ids, rows);
    for (int layer = 0; layer < m->config.layers; layer++) {
        model__attend(f, &b, layer);
        model__feed_forward(f, rows, layer);
    }
    if (want_count > 0) {
        kernels->gather(m->device, f->wanted, f->x, want, want_count, d);
        kernels->rms_norm(m->device, f->normed, m->dtype, f->wanted, m->final_norm, want_count, d,
                          (float)m->config.norm_eps);
        const slm_linear head = {f->logits, m->head, {NULL}};
        slm_linear next[MODEL_GROUP_MOST]; /* the next step begins anew */
        const size_t next_count = group_layers(m, 0, MODEL_GROUP_QKV, next);
        kernels->linear(m->device, &head, 1, f->normed, want_count, false, next, next_count);
    }
    *logits = f->logits;
}
