/* backward.c: the forward kept for learning, and its gradients.
 *
 * The forward is forward.c's own, over pages like those of the engine, so a token's log-probability
 * is to the bit that of a rollout. Of each layer are kept its input, the residual stream between its
 * halves, q, K and V (in the pages), the attention's output and the gate and up projections; norms
 * and SwiGLU are computed again. With checkpoints the input alone is kept, and the layer is computed
 * again when its turn comes (Chen et al. 2016).
 *
 * Backward runs the chain rule from the head down. dx is the gradient of the residual stream: each
 * half of a layer adds to it what comes back through its norm. Of y = W x + s B A x:
 *
 *     dx += dy W + (s dy B) A      dB += s dy^T (A x)      dA += (s dy B)^T x
 *
 * What feeds a product is rounded to the model's dtype, as in the forward; sums are f32. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "training_internal.h"

/* ---- making -------------------------------------------------------------------------------- */

slm_status training__take(slm_training *t, size_t bytes, slm_mem *out, slm_error *err)
{
    if (t->taken_count == t->taken_room) {
        t->taken_room = t->taken_room ? 2 * t->taken_room : 64;
        t->taken = realloc(t->taken, t->taken_room * sizeof *t->taken);
        if (!t->taken) slm_out_of_memory(t->taken_room * sizeof *t->taken);
    }
    SLM_TRY(slm_device_alloc(t->model->device, bytes, out, err));
    t->taken[t->taken_count++] = *out;
    t->taken_bytes += bytes;
    return SLM_OK;
}

/* The widths of a row. */
typedef struct widths {
    size_t d, q, kv, feed, act; /* act: bytes of a number that feeds a linear */
} widths;

static widths widths_of(const slm_model *m)
{
    const slm_model_config *c = &m->config;
    return (widths){.d = (size_t)c->embedding,
                    .q = (size_t)(c->heads * c->head_dim),
                    .kv = (size_t)(c->kv_heads * c->head_dim),
                    .feed = (size_t)c->feed_forward,
                    .act = m->dtype == SLM_F32 ? sizeof(float) : sizeof(uint16_t)};
}

static size_t max_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

typedef struct wish {
    slm_mem *out;
    size_t bytes;
} wish;

static slm_status take_all(slm_training *t, const wish *wishes, size_t count, slm_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (wishes[i].bytes > 0) SLM_TRY(training__take(t, wishes[i].bytes, wishes[i].out, err));
    return SLM_OK;
}

/* Let the forward leave what the layer's backward wants where it belongs. */
static void use_tape(slm_training *t, int layer)
{
    const training__tape *tape = &t->tapes[layer];
    slm_forward *f = t->forward;
    f->q = tape->q;
    f->q_raw = tape->q_raw;
    f->k_raw = tape->k_raw;
    f->attended = tape->attended;
    f->gate = tape->gate;
    f->up = tape->up;
}

static slm_status make_tapes(slm_training *t, slm_error *err)
{
    const widths w = widths_of(t->model);
    const size_t rows = t->options.max_rows, f32 = sizeof(float);
    const size_t layers = (size_t)t->model->config.layers;
    const bool raw = t->model->config.qk_norm;
    t->tapes = slm_arena_array(&t->arena, layers, sizeof *t->tapes);
    for (size_t i = 0; i < layers; i++) {
        training__tape *tape = &t->tapes[i];
        SLM_TRY(training__take(t, rows * w.d * f32, &t->layers[i].input, err));
        if (i > 0 && t->options.checkpoint) {
            *tape = t->tapes[0];
            continue;
        }
        if (i == 0) { /* the forward's own */
            const slm_forward *f = t->forward;
            *tape =
                (training__tape){.q = f->q, .attended = f->attended, .gate = f->gate, .up = f->up};
        }
        const bool own = i > 0;
        const wish wishes[] = {
            {&tape->middle, rows * w.d * f32},
            {&tape->q, own ? rows * w.q * f32 : 0},
            {&tape->q_raw, raw ? rows * w.q * f32 : 0},
            {&tape->k_raw, raw ? rows * w.kv * f32 : 0},
            {&tape->attended, own ? rows * w.q * w.act : 0},
            {&tape->gate, own ? rows * w.feed * f32 : 0},
            {&tape->up, own ? rows * w.feed * f32 : 0},
        };
        SLM_TRY(take_all(t, wishes, sizeof wishes / sizeof *wishes, err));
    }
    return SLM_OK;
}

static slm_status make_scratch(slm_training *t, slm_error *err)
{
    const widths w = widths_of(t->model);
    const size_t rows = t->options.max_rows, f32 = sizeof(float);
    const size_t rank = t->options.full ? 0 : (size_t)t->model->adapter_rank;
    const size_t widest = max_of(max_of(w.d, w.q), w.feed);
    const bool drops = t->options.dropout > 0;
    const wish wishes[] = {
        {&t->dx, rows * w.d * f32},
        {&t->dnormed, rows * w.d * f32},
        {&t->dwanted, rows * w.d * f32},
        {&t->dattended, rows * w.q * f32},
        {&t->dhidden, rows * w.feed * f32},
        {&t->dq, rows * w.q * f32},
        {&t->dk, rows * w.kv * f32},
        {&t->dv, rows * w.kv * f32},
        {&t->act[0], rows * widest * w.act},
        {&t->act[1], rows * max_of(w.feed, w.kv) * w.act},
        {&t->act[2], rows * w.kv * w.act},
        {&t->dlow, rows * rank * f32},
        {&t->dlow_act[0], rows * rank * w.act},
        {&t->dlow_act[1], rows * rank * w.act},
        {&t->dlow_act[2], rows * rank * w.act},
        {&t->dkept, drops ? rows * widest * f32 : 0},
        {&t->forward->dropped, drops ? rows * widest * w.act : 0},
    };
    return take_all(t, wishes, sizeof wishes / sizeof *wishes, err);
}

/* Pages for the longest batch: a sequence begins a page of its own, and one with a prefix has the
 * prefix's last, unfinished page again. */
static slm_status make_cache(slm_training *t, slm_error *err)
{
    const size_t rows = t->options.max_rows, sequences = t->options.max_sequences;
    const size_t pages = rows / SLM_PAGE_TOKENS + 2 * sequences;
    t->batch.kv = t->model->kv;
    if (t->options.checkpoint) t->batch.kv.layers = 1;
    SLM_TRY(training__take(t, pages * slm_kv_page_bytes(&t->batch.kv), &t->cache, err));
    t->spans = slm_arena_array(&t->arena, sequences, sizeof *t->spans);
    t->writes = slm_arena_array(&t->arena, 2 * sequences, sizeof *t->writes);
    t->prefix_rows = slm_arena_array(&t->arena, sequences, sizeof *t->prefix_rows);
    /* Page tables: a prefix's full pages stand in each of its followers' tables again. */
    t->pages = slm_arena_array(&t->arena, pages + sequences * (rows / SLM_PAGE_TOKENS + 1),
                               sizeof *t->pages);
    t->ids = slm_arena_array(&t->arena, rows, sizeof *t->ids);
    t->want = slm_arena_array(&t->arena, rows, sizeof *t->want);
    t->targets = slm_arena_array(&t->arena, rows, sizeof *t->targets);
    t->log_prob = slm_arena_array(&t->arena, rows, sizeof *t->log_prob);
    return SLM_OK;
}

static slm_status check(const slm_model *m, const slm_training_options *o, slm_error *err)
{
    if (!slm_device_trains(m->device))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "the device '%s' cannot train",
                             slm_device_kernels(m->device));
    if (!o->full && m->adapter_rank == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "the model has no adapter to train");
    if (o->full && m->adapter_rank > 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "all weights cannot be trained beside an adapter; merge it first "
                             "(slm export)");
    if (o->full && m->keep_quantised)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "weights that are kept quantised cannot be trained; train an adapter "
                             "beside them, or widen them (--quantised widen)");
    if (!(o->dropout >= 0 && o->dropout < 1) || (o->full && o->dropout > 0))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "dropout is %g; it must be from 0 to below 1, and needs an adapter",
                             (double)o->dropout);
    SLM_ASSERT(o->max_rows > 0 && o->max_sequences > 0);
    return SLM_OK;
}

slm_status slm_training_new(slm_model *model, const slm_training_options *options,
                            slm_training **out, slm_error *err)
{
    slm_status status = SLM_OK;
    SLM_TRY(check(model, options, err));
    slm_training *t = calloc(1, sizeof *t);
    if (!t) slm_out_of_memory(sizeof *t);
    t->model = model;
    t->options = *options;
    t->layers = slm_arena_array(&t->arena, (size_t)model->config.layers, sizeof *t->layers);
    SLM_TRY_OUT(
        model__forward_new(model, options->max_rows, options->max_rows, 0, &t->forward, err));
    SLM_TRY_OUT(make_tapes(t, err));
    SLM_TRY_OUT(make_scratch(t, err));
    SLM_TRY_OUT(make_cache(t, err));
    SLM_TRY_OUT(training__collect(t, err));
    t->taken_bytes += slm_forward_bytes(&model->config, model->adapter_rank, options->max_rows, 0) +
                      options->max_rows * (size_t)model->config.embedding * sizeof(float);
    *out = t;
    t = NULL;
out:
    slm_training_free(t);
    return status;
}

void slm_training_free(slm_training *t)
{
    if (!t) return;
    if (t->forward && t->tapes) use_tape(t, 0);
    slm_forward_free(t->forward);
    for (size_t i = 0; i < t->taken_count; i++)
        slm_device_free(t->model->device, t->taken[i]);
    free(t->taken);
    slm_arena_free(&t->arena);
    free(t);
}

size_t slm_training_bytes(const slm_training *t)
{
    return t->taken_bytes;
}

/* ---- a batch ------------------------------------------------------------------------------- */

/* Give every sequence its pages, and say where its rows attend and are written. */
static void lay_out(slm_training *t, const slm_train_batch *what)
{
    model__batch *b = &t->batch;
    int32_t next_page = 0, *table = t->pages;
    size_t writes = 0;
    for (size_t s = 0; s < what->sequence_count; s++) {
        const slm_train_sequence *one = &what->sequences[s];
        const bool follows = one->prefix >= 0;
        const int32_t begin = follows ? what->sequences[one->prefix].rows : 0;
        const int32_t shared = begin / SLM_PAGE_TOKENS, rest = begin % SLM_PAGE_TOKENS;
        const int32_t count = (begin + one->rows + SLM_PAGE_TOKENS - 1) / SLM_PAGE_TOKENS;
        SLM_ASSERT(one->prefix < (int32_t)s &&
                   (!follows || what->sequences[one->prefix].prefix < 0));
        for (int32_t i = 0; i < count; i++)
            table[i] = i < shared ? t->spans[one->prefix].pages[i] : next_page++;
        t->spans[s] = (slm_kv_span){one->row, one->rows, begin, table};
        t->prefix_rows[s] = follows ? what->sequences[one->prefix].row : -1;
        t->writes[writes++] = t->spans[s];
        if (rest > 0) /* the prefix's last page, again in the follower's own */
            t->writes[writes++] =
                (slm_kv_span){t->prefix_rows[s] + begin - rest, rest, begin - rest, table};
        table += count;
    }
    b->cache = t->cache;
    b->rows = what->rows;
    b->spans = t->spans;
    b->writes = t->writes;
    b->span_count = what->sequence_count;
    b->write_count = writes;
}

static void remember(slm_training *t, const slm_train_batch *what)
{
    int32_t row = 0;
    SLM_ASSERT(what->rows > 0 && what->rows <= t->options.max_rows);
    SLM_ASSERT(what->sequence_count <= t->options.max_sequences);
    SLM_ASSERT(what->want_count <= t->options.max_rows);
    for (size_t s = 0; s < what->sequence_count; s++) {
        SLM_ASSERT(what->sequences[s].row == row && what->sequences[s].rows > 0);
        row += what->sequences[s].rows;
    }
    SLM_ASSERT((size_t)row == what->rows);
    lay_out(t, what);
    t->what = *what;
    memcpy(t->ids, what->ids, what->rows * sizeof *t->ids);
    memcpy(t->want, what->want, what->want_count * sizeof *t->want);
    memcpy(t->targets, what->targets, what->want_count * sizeof *t->targets);
    t->what.ids = t->ids;
    t->what.want = t->want;
    t->what.targets = t->targets;
    t->what.sequences = NULL; /* not needed again */
    t->head_done = false;
}

static void copy(const slm_training *t, slm_mem to, slm_mem from, size_t items)
{
    slm_device *device = t->model->device;
    slm_device_table(device)->convert(device, to, SLM_F32, from, 1.0f, items);
}

static void attend(slm_training *t, int layer)
{
    const size_t items = t->batch.rows * (size_t)t->model->config.embedding;
    use_tape(t, layer);
    model__attend(t->forward, &t->batch, layer);
    copy(t, t->tapes[layer].middle, t->forward->x, items);
}

/* The head over the wanted rows. */
static void run_head(slm_training *t, const float *coefficient, float *log_prob, float *entropy)
{
    slm_model *m = t->model;
    slm_forward *f = t->forward;
    const slm_kernels *kernels = slm_device_table(m->device);
    const slm_head_loss loss = {.x = f->normed,
                                .head = m->head,
                                .targets = t->targets,
                                .coefficient = coefficient,
                                .temperature = t->what.temperature,
                                .m = t->what.want_count,
                                .log_prob = log_prob,
                                .entropy = entropy,
                                .dx = coefficient ? t->dnormed : (slm_mem){NULL},
                                .dw = coefficient ? t->head_grad : (slm_mem){NULL}};
    const size_t d = (size_t)m->config.embedding;
    const float eps = (float)m->config.norm_eps;
    kernels->gather(m->device, f->wanted, f->x, t->want, loss.m, d);
    kernels->rms_norm(m->device, f->normed, m->dtype, f->wanted, m->final_norm, loss.m, d, eps);
    kernels->head_loss(m->device, &loss);
    if (!coefficient) return;
    kernels->rms_norm_backward(m->device, t->dwanted, t->final_norm_grad, t->dnormed, f->wanted,
                               m->final_norm, loss.m, d, eps, false);
    t->head_done = true;
}

void slm_training_forward(slm_training *t, const slm_train_batch *what, const float *coefficient,
                          float *log_prob, float *entropy)
{
    slm_model *m = t->model;
    slm_forward *f = t->forward;
    const size_t items = what->rows * (size_t)m->config.embedding;
    remember(t, what);
    f->dropout = (slm_dropout){
        .seed = what->seed, .step = what->step, .p = what->measures ? 0.0f : t->options.dropout};
    model__place(f, &t->batch);
    slm_device_table(m->device)->embed(m->device, f->x, m->embedding, t->ids, what->rows);
    for (int layer = 0; layer < m->config.layers; layer++) {
        copy(t, t->layers[layer].input, f->x, items);
        attend(t, layer);
        model__feed_forward(f, what->rows, layer);
    }
    if (what->want_count > 0) run_head(t, coefficient, log_prob, entropy);
    slm_device_table(m->device)->sync(m->device);
}

/* ---- backward ------------------------------------------------------------------------------ */

/* x[items] in the model's dtype: itself, or rounded into `to`. */
static slm_mem as_act(const slm_training *t, slm_mem x, slm_mem to, size_t items)
{
    slm_device *device = t->model->device;
    if (t->model->dtype == SLM_F32) return x;
    slm_device_table(device)->convert(device, to, t->model->dtype, x, 1.0f, items);
    return to;
}

/* The adapter beside one matrix: dA and dB from dy and x; s dy B, rounded, into dlow_act, through
 * which the rest of dx flows. */
static void adapter_backward(slm_training *t, int layer, model__role role, slm_mem dy, slm_mem x,
                             slm_mem dlow_act)
{
    slm_model *m = t->model;
    slm_forward *f = t->forward;
    const slm_kernels *kernels = slm_device_table(m->device);
    const model__matrix *matrix = &m->layers[layer].matrices[role];
    const training__grads *grads = &t->layers[layer].grads[role];
    const size_t rows = t->batch.rows, rank = slm_weight_rows(matrix->a);
    const size_t n = slm_weight_rows(matrix->b), k = slm_weight_columns(matrix->a);
    const slm_mem kept = model__drop(f, layer, role, x, rows);
    const slm_linear a = {f->low, matrix->a, {NULL}};
    kernels->linear(m->device, &a, 1, kept, rows, false, NULL, 0);
    kernels->convert(m->device, f->low_act, m->dtype, f->low, matrix->scale, rows * rank);
    const slm_linear_grad of_b = {.dy = dy, .w = matrix->b, .dw = grads->b, .n = n};
    kernels->linear_dw(m->device, &of_b, 1, f->low_act, m->dtype, rows, rank);
    kernels->linear_dx(m->device, t->dlow, &of_b, 1, rows, false);
    kernels->convert(m->device, dlow_act, m->dtype, t->dlow, matrix->scale, rows * rank);
    const slm_linear_grad of_a = {.dy = dlow_act, .w = matrix->a, .dw = grads->a, .n = rank};
    kernels->linear_dw(m->device, &of_a, 1, kept, m->dtype, rows, k);
}

/* dx += (s dy B) A, with dropout through the mask of its forward. */
static void dropped_backward(slm_training *t, int layer, model__role role, slm_mem dlow_act,
                             slm_mem dx)
{
    slm_model *m = t->model;
    const slm_kernels *kernels = slm_device_table(m->device);
    const model__matrix *matrix = &m->layers[layer].matrices[role];
    slm_dropout dropout = t->forward->dropout;
    const slm_linear_grad of_a = {.dy = dlow_act, .w = matrix->a, .n = slm_weight_rows(matrix->a)};
    dropout.layer = (uint32_t)(layer * MODEL_MATRICES + (int)role);
    kernels->linear_dx(m->device, t->dkept, &of_a, 1, t->batch.rows, false);
    kernels->dropout(m->device, dx, t->dkept, SLM_F32, &dropout, 0,
                     t->batch.rows * slm_weight_columns(matrix->a), true);
}

/* The matrices of a group: their gradients from dy[i] act and the group's input x act; dx f32 is set
 * to what goes back to x, unless {NULL}. */
static void group_backward(slm_training *t, int layer, int group, const slm_mem *dy, slm_mem x,
                           slm_mem dx)
{
    slm_model *m = t->model;
    const slm_kernels *kernels = slm_device_table(m->device);
    const bool drops = t->options.dropout > 0;
    const size_t rows = t->batch.rows;
    const size_t count = (size_t)(model__group_begin[group + 1] - model__group_begin[group]);
    slm_linear_grad through[2 * MODEL_GROUP_MOST];
    size_t all = count, k = 0;
    for (size_t i = 0; i < count; i++) {
        const model__role role = model__group_begin[group] + (model__role)i;
        const model__matrix *matrix = &m->layers[layer].matrices[role];
        const training__grads *grads = &t->layers[layer].grads[role];
        k = slm_weight_columns(matrix->weight);
        through[i] = (slm_linear_grad){.dy = dy[i],
                                       .w = matrix->weight,
                                       .dw = grads->w,
                                       .dbias = grads->bias,
                                       .n = slm_weight_rows(matrix->weight)};
        if (!matrix->a) continue;
        adapter_backward(t, layer, role, dy[i], x, t->dlow_act[i]);
        if (!drops)
            through[all++] = (slm_linear_grad){
                .dy = t->dlow_act[i], .w = matrix->a, .n = slm_weight_rows(matrix->a)};
    }
    if (t->options.full) kernels->linear_dw(m->device, through, count, x, m->dtype, rows, k);
    if (!dx.at) return;
    kernels->linear_dx(m->device, dx, through, all, rows, false);
    for (size_t i = 0; drops && i < count; i++) {
        const model__role role = model__group_begin[group] + (model__role)i;
        if (m->layers[layer].matrices[role].a) dropped_backward(t, layer, role, t->dlow_act[i], dx);
    }
}

static void norm(const slm_training *t, slm_mem x, slm_mem weight)
{
    const slm_model *m = t->model;
    slm_device_table(m->device)->rms_norm(m->device, t->forward->normed, m->dtype, x, weight,
                                          t->batch.rows, (size_t)m->config.embedding,
                                          (float)m->config.norm_eps);
}

/* dx += what dnormed becomes on its way through a layer's norm of x. */
static void norm_backward(slm_training *t, int layer, model__norm which, slm_mem x)
{
    const slm_model *m = t->model;
    slm_device_table(m->device)->rms_norm_backward(m->device, t->dx, t->layers[layer].norms[which],
                                                   t->dnormed, x, m->layers[layer].norms[which],
                                                   t->batch.rows, (size_t)m->config.embedding,
                                                   (float)m->config.norm_eps, true);
}

static void feed_backward(slm_training *t, int layer)
{
    slm_model *m = t->model;
    slm_forward *f = t->forward;
    const slm_kernels *kernels = slm_device_table(m->device);
    const widths w = widths_of(m);
    const size_t rows = t->batch.rows;
    const slm_mem dy = as_act(t, t->dx, t->act[0], rows * w.d);
    kernels->swiglu(m->device, f->hidden, m->dtype, f->gate, f->up, rows * w.feed);
    group_backward(t, layer, MODEL_GROUP_DOWN, &dy, f->hidden, t->dhidden);
    kernels->swiglu_backward(m->device, t->act[0], t->act[1], m->dtype, t->dhidden, f->gate, f->up,
                             rows * w.feed);
    norm(t, t->tapes[layer].middle, m->layers[layer].norms[MODEL_FEED_NORM]);
    group_backward(t, layer, MODEL_GROUP_GATE_UP, t->act, f->normed, t->dnormed);
    norm_backward(t, layer, MODEL_FEED_NORM, t->tapes[layer].middle);
}

/* Back through the rotation and the norm of each head. */
static void heads_backward(slm_training *t, int layer, slm_mem dx, slm_mem raw, model__norm which,
                           size_t heads)
{
    const slm_model *m = t->model;
    const slm_model_config *c = &m->config;
    const slm_kernels *kernels = slm_device_table(m->device);
    const size_t head_dim = (size_t)c->head_dim;
    kernels->rope(m->device, dx, t->forward->positions, m->frequencies, t->batch.rows, heads,
                  head_dim, c->rope_interleaved, -1);
    if (m->layers[layer].norms[which].at)
        kernels->rms_norm_backward(m->device, dx, t->layers[layer].norms[which], dx, raw,
                                   m->layers[layer].norms[which], t->batch.rows * heads, head_dim,
                                   (float)c->norm_eps, false);
}

static void attend_backward(slm_training *t, int layer)
{
    slm_model *m = t->model;
    slm_forward *f = t->forward;
    const slm_model_config *c = &m->config;
    const slm_kernels *kernels = slm_device_table(m->device);
    const widths w = widths_of(m);
    const model__batch *b = &t->batch;
    const int kv_layer = layer < b->kv.layers ? layer : 0;
    const float scale = 1.0f / sqrtf((float)c->head_dim);
    const bool last = layer == 0 && !t->options.full; /* nothing below it learns */
    const slm_mem dy = as_act(t, t->dx, t->act[0], b->rows * w.d);
    group_backward(t, layer, MODEL_GROUP_OUTPUT, &dy, f->attended, t->dattended);
    kernels->attention_backward(m->device, t->dq, t->dk, t->dv, t->dattended, f->attended, m->dtype,
                                f->q, b->cache, &b->kv, kv_layer, (size_t)c->heads, scale, b->spans,
                                t->prefix_rows, b->span_count);
    heads_backward(t, layer, t->dq, f->q_raw, MODEL_Q_NORM, (size_t)c->heads);
    heads_backward(t, layer, t->dk, f->k_raw, MODEL_K_NORM, (size_t)c->kv_heads);
    const slm_mem group[] = {as_act(t, t->dq, t->act[0], b->rows * w.q),
                             as_act(t, t->dk, t->act[1], b->rows * w.kv),
                             as_act(t, t->dv, t->act[2], b->rows * w.kv)};
    norm(t, t->layers[layer].input, m->layers[layer].norms[MODEL_ATTENTION_NORM]);
    group_backward(t, layer, MODEL_GROUP_QKV, group, f->normed,
                   last ? (slm_mem){NULL} : t->dnormed);
    if (!last) norm_backward(t, layer, MODEL_ATTENTION_NORM, t->layers[layer].input);
}

/* A layer's forward once more, from the input that was kept. */
static void compute_again(slm_training *t, int layer)
{
    slm_forward *f = t->forward;
    copy(t, f->x, t->layers[layer].input, t->batch.rows * (size_t)t->model->config.embedding);
    attend(t, layer);
    model__feed_hidden(f, t->batch.rows, layer);
}

void slm_training_backward(slm_training *t, const float *coefficient)
{
    slm_model *m = t->model;
    const slm_kernels *kernels = slm_device_table(m->device);
    const size_t d = (size_t)m->config.embedding, rows = t->batch.rows;
    if (t->what.want_count == 0) return;
    SLM_ASSERT(t->head_done != (coefficient != NULL) && !t->what.measures);
    if (coefficient) run_head(t, coefficient, t->log_prob, NULL);
    kernels->zero(m->device, t->dx, rows * d * sizeof(float));
    kernels->embed_backward(m->device, t->dx, t->dwanted, t->want, t->what.want_count, d);
    for (int layer = m->config.layers - 1; layer >= 0; layer--) {
        if (t->options.checkpoint)
            compute_again(t, layer);
        else
            use_tape(t, layer);
        feed_backward(t, layer);
        attend_backward(t, layer);
    }
    if (t->embedding_grad.at)
        kernels->embed_backward(m->device, t->embedding_grad, t->dx, t->ids, rows, d);
    kernels->sync(m->device);
    t->head_done = false;
}
