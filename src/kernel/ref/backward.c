/* backward.c: the truth for gradients and for the optimiser: float32 storage, double accumulation.
 *
 * Every function is the derivative of its forward in ref.c, written out. RMSNorm: with r = 1 /
 * sqrt(mean(x^2) + eps) and g = dy * weight, dx = r g - x r^3 mean(g x). SwiGLU: with s =
 * sigmoid(gate), d silu = s (1 + gate (1 - s)). Attention: with p the softmax of a query and dp_j =
 * dy . v_j, ds_j = p_j (dp_j - sum_i p_i dp_i), in which the last sum is taken from p here and as dy .
 * y by the fast paths (Dao et al. 2022, section B.2). AdamW: Loshchilov and Hutter 2019, algorithm 2.
 * Threads split outputs only; sums over rows run in their order. */
#include "kernel/ref/ref.h"

#include <math.h>
#include <string.h>

/* ---- linear -------------------------------------------------------------------------------- */

enum { ROWS = 16 }; /* that share one reading of a weight's row */

typedef struct linear_job {
    const slm_linear_grad *layers;
    size_t count, m, k;
    slm_mem dx, x;
    slm_dtype act;
    bool add;
    char *scratch; /* per thread: ROWS x k doubles and k floats */
    size_t scratch_bytes;
} linear_job;

static void dx_range(void *context, size_t begin, size_t end, int thread)
{
    const linear_job *job = context;
    const size_t k = job->k;
    double *sums = (double *)(void *)(job->scratch + (size_t)thread * job->scratch_bytes);
    float *row = (float *)(void *)(sums + ROWS * k);
    for (size_t first = begin; first < end; first += ROWS) {
        const size_t rows = end - first < ROWS ? end - first : ROWS;
        memset(sums, 0, rows * k * sizeof *sums);
        for (size_t l = 0; l < job->count; l++) {
            const slm_linear_grad *layer = &job->layers[l];
            for (size_t j = 0; j < layer->w->n; j++) {
                ref__weight_row(layer->w, j, row);
                for (size_t r = 0; r < rows; r++) {
                    const double dy =
                        (double)ref__get(layer->dy, layer->w->dtype, (first + r) * layer->w->n + j);
                    for (size_t p = 0; p < k; p++)
                        sums[r * k + p] += dy * (double)row[p];
                }
            }
        }
        float *dx = slm_kernel__f32(job->dx) + first * k;
        for (size_t i = 0; i < rows * k; i++)
            dx[i] = job->add ? dx[i] + (float)sums[i] : (float)sums[i];
    }
}

void ref__linear_dx(slm_device *device, slm_mem dx, const slm_linear_grad *layers, size_t count,
                    size_t m, bool add)
{
    const size_t k = layers[0].w->k;
    linear_job job = {.layers = layers, .count = count, .m = m, .k = k, .dx = dx, .add = add};
    job.scratch_bytes = slm_kernel__round_up(ROWS * k * sizeof(double) + k * sizeof(float), 64);
    job.scratch = slm_kernel__scratch(device, job.scratch_bytes * (size_t)device->thread_count);
    size_t work = 0;
    for (size_t l = 0; l < count; l++) {
        SLM_ASSERT(layers[l].w->k == k);
        work += m * k * layers[l].w->n;
    }
    slm_kernel__run(device, m, ROWS, work, dx_range, &job);
}

/* Outputs [begin, end) of all layers' dw, one behind the other. */
static void dw_range(void *context, size_t begin, size_t end, int thread)
{
    const linear_job *job = context;
    const size_t k = job->k;
    double *sums = (double *)(void *)(job->scratch + (size_t)thread * job->scratch_bytes);
    size_t before = 0;
    for (size_t l = 0; l < job->count; before += job->layers[l++].n) {
        const slm_linear_grad *layer = &job->layers[l];
        for (size_t j = 0; j < layer->n; j++) {
            if (before + j < begin || before + j >= end) continue;
            double bias = 0.0;
            memset(sums, 0, k * sizeof *sums);
            for (size_t i = 0; i < job->m; i++) {
                const double dy = (double)ref__get(layer->dy, job->act, i * layer->n + j);
                bias += dy;
                if (layer->dw.at == NULL) continue;
                for (size_t p = 0; p < k; p++)
                    sums[p] += dy * (double)ref__get(job->x, job->act, i * k + p);
            }
            if (layer->dbias.at != NULL) slm_kernel__f32(layer->dbias)[j] += (float)bias;
            if (layer->dw.at == NULL) continue;
            for (size_t p = 0; p < k; p++)
                slm_kernel__f32(layer->dw)[j * k + p] += (float)sums[p];
        }
    }
}

void ref__linear_dw(slm_device *device, const slm_linear_grad *layers, size_t count, slm_mem x,
                    slm_dtype act, size_t m, size_t k)
{
    linear_job job = {.layers = layers, .count = count, .m = m, .k = k, .x = x, .act = act};
    job.scratch_bytes = slm_kernel__round_up(k * sizeof(double), 64);
    job.scratch = slm_kernel__scratch(device, job.scratch_bytes * (size_t)device->thread_count);
    size_t outputs = 0;
    for (size_t l = 0; l < count; l++)
        outputs += layers[l].n;
    slm_kernel__run(device, outputs, 1, m * k * outputs, dw_range, &job);
}

/* ---- rows ---------------------------------------------------------------------------------- */

void ref__rms_norm_backward(slm_device *device, slm_mem dx, slm_mem dweight, slm_mem dy, slm_mem x,
                            slm_mem weight, size_t m, size_t d, float eps, bool add)
{
    double *sums = (double *)(void *)slm_kernel__scratch(device, d * sizeof *sums);
    const float *w = slm_kernel__f32(weight);
    memset(sums, 0, d * sizeof *sums);
    for (size_t i = 0; i < m; i++) {
        const float *row = slm_kernel__f32(x) + i * d, *up = slm_kernel__f32(dy) + i * d;
        float *down = slm_kernel__f32(dx) + i * d;
        double squares = 0.0, dot = 0.0;
        for (size_t j = 0; j < d; j++) {
            squares += (double)row[j] * (double)row[j];
            dot += (double)up[j] * (double)w[j] * (double)row[j];
        }
        const double r = 1.0 / sqrt(squares / (double)d + (double)eps);
        const double mean = dot / (double)d * r * r * r;
        for (size_t j = 0; j < d; j++) {
            sums[j] += (double)up[j] * (double)row[j] * r;
            const float g = (float)((double)up[j] * (double)w[j] * r - (double)row[j] * mean);
            down[j] = add ? down[j] + g : g;
        }
    }
    for (size_t j = 0; dweight.at != NULL && j < d; j++)
        slm_kernel__f32(dweight)[j] += (float)sums[j];
}

void ref__swiglu_backward(slm_device *device, slm_mem dgate, slm_mem dup, slm_dtype act, slm_mem dy,
                          slm_mem gate, slm_mem up, size_t items)
{
    (void)device;
    for (size_t i = 0; i < items; i++) {
        const double g = (double)slm_kernel__f32(gate)[i], u = (double)slm_kernel__f32(up)[i];
        const double d = (double)slm_kernel__f32(dy)[i], s = 1.0 / (1.0 + slm_kernel__exp(-g));
        ref__put(dgate, act, i, (float)(d * u * s * (1.0 + g * (1.0 - s))));
        ref__put(dup, act, i, (float)(d * g * s));
    }
}

/* ---- attention ----------------------------------------------------------------------------- */

typedef struct attention_job {
    slm_mem dq, dk, dv, dy, q, cache;
    const slm_kv_shape *shape;
    int layer;
    size_t heads;
    float scale;
    const slm_kv_span *spans;
    const int32_t *prefix_rows;
    size_t span_count, most_keys, rows;
    double *scratch; /* per thread: see head_range */
    size_t scratch_items;
} attention_job;

/* What one kv head's thread works with. */
typedef struct head_work {
    double *p, *ds;  /* [keys] */
    double *dk, *dv; /* [rows of the batch, head_dim]: summed here, stored once */
    double *k, *v;   /* [keys, head_dim] of the span's sequence */
    size_t kv_head;
} head_work;

static void read_keys(const attention_job *job, const slm_kv_span *span, head_work *w, size_t keys)
{
    const slm_kv_shape *shape = job->shape;
    const size_t dim = (size_t)shape->head_dim, width = slm_kernel__kv_width(shape);
    for (size_t j = 0; j < keys; j++) {
        const size_t page = (size_t)span->pages[j / SLM_PAGE_TOKENS] * slm_kv_page_bytes(shape);
        const size_t at = j % SLM_PAGE_TOKENS * width;
        const int head = (int)w->kv_head;
        const slm_mem k =
            slm_mem_at(job->cache, page + slm_kernel__kv_offset(shape, job->layer, head, 0));
        const slm_mem v =
            slm_mem_at(job->cache, page + slm_kernel__kv_offset(shape, job->layer, head, 1));
        for (size_t i = 0; i < dim; i++) {
            w->k[j * dim + i] = (double)ref__get(k, shape->dtype, at + i);
            w->v[j * dim + i] = (double)ref__get(v, shape->dtype, at + i);
        }
    }
}

/* The row of dk and dv of a key; -1: none. */
static ptrdiff_t key_row(const attention_job *job, size_t s, size_t key)
{
    const slm_kv_span *span = &job->spans[s];
    if (key >= (size_t)span->position) return span->row + (ptrdiff_t)key - span->position;
    if (job->prefix_rows == NULL || job->prefix_rows[s] < 0) return -1;
    return job->prefix_rows[s] + (ptrdiff_t)key;
}

static void one_query(const attention_job *job, head_work *w, size_t s, size_t r, size_t head)
{
    const slm_kv_span *span = &job->spans[s];
    const size_t dim = (size_t)job->shape->head_dim, keys = (size_t)span->position + r + 1;
    const size_t at = (((size_t)span->row + r) * job->heads + head) * dim;
    const float *q = slm_kernel__f32(job->q) + at, *dy = slm_kernel__f32(job->dy) + at;
    double max = -(double)INFINITY, total = 0.0, mean = 0.0;
    for (size_t j = 0; j < keys; j++) {
        double dot = 0.0, up = 0.0;
        for (size_t i = 0; i < dim; i++) {
            dot += (double)q[i] * w->k[j * dim + i];
            up += (double)dy[i] * w->v[j * dim + i];
        }
        w->p[j] = dot * (double)job->scale;
        w->ds[j] = up;
        if (w->p[j] > max) max = w->p[j];
    }
    for (size_t j = 0; j < keys; j++) {
        w->p[j] = slm_kernel__exp(w->p[j] - max);
        total += w->p[j];
    }
    for (size_t j = 0; j < keys; j++) {
        w->p[j] /= total;
        mean += w->p[j] * w->ds[j];
    }
    for (size_t j = 0; j < keys; j++)
        w->ds[j] = w->p[j] * (w->ds[j] - mean) * (double)job->scale;
    for (size_t i = 0; i < dim; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < keys; j++)
            sum += w->ds[j] * w->k[j * dim + i];
        slm_kernel__f32(job->dq)[at + i] = (float)sum;
    }
    for (size_t j = 0; j < keys; j++) {
        const ptrdiff_t row = key_row(job, s, j);
        if (row < 0) continue;
        for (size_t i = 0; i < dim; i++) {
            w->dk[(size_t)row * dim + i] += w->ds[j] * (double)q[i];
            w->dv[(size_t)row * dim + i] += w->p[j] * (double)dy[i];
        }
    }
}

static void head_range(void *context, size_t begin, size_t end, int thread)
{
    const attention_job *job = context;
    const size_t dim = (size_t)job->shape->head_dim, kv_heads = (size_t)job->shape->kv_heads;
    const size_t group = job->heads / kv_heads, keys = job->most_keys;
    double *at = job->scratch + (size_t)thread * job->scratch_items;
    head_work w = {.p = at,
                   .ds = at + keys,
                   .k = at + 2 * keys,
                   .v = at + 2 * keys + keys * dim,
                   .dk = at + 2 * keys + 2 * keys * dim,
                   .dv = at + 2 * keys + 2 * keys * dim + job->rows * dim};
    for (size_t h = begin; h < end; h++) {
        w.kv_head = h;
        memset(w.dk, 0, 2 * job->rows * dim * sizeof *w.dk);
        for (size_t s = 0; s < job->span_count; s++) {
            const slm_kv_span *span = &job->spans[s];
            read_keys(job, span, &w, (size_t)(span->position + span->rows));
            for (size_t c = 0; c < group; c++)
                for (size_t r = 0; r < (size_t)span->rows; r++)
                    one_query(job, &w, s, r, h * group + c);
        }
        for (size_t s = 0; s < job->span_count; s++) {
            const size_t first = (size_t)job->spans[s].row;
            for (size_t r = first; r < first + (size_t)job->spans[s].rows; r++)
                for (size_t i = 0; i < dim; i++) {
                    slm_kernel__f32(job->dk)[(r * kv_heads + h) * dim + i] =
                        (float)w.dk[r * dim + i];
                    slm_kernel__f32(job->dv)[(r * kv_heads + h) * dim + i] =
                        (float)w.dv[r * dim + i];
                }
        }
    }
}

void ref__attention_backward(slm_device *device, slm_mem dq, slm_mem dk, slm_mem dv, slm_mem dy,
                             slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                             const slm_kv_shape *shape, int layer, size_t heads, float scale,
                             const slm_kv_span *spans, const int32_t *prefix_rows,
                             size_t span_count)
{
    (void)y, (void)act;
    attention_job job = {dq,    dk,    dv,          dy,         q, cache, shape, layer, heads,
                         scale, spans, prefix_rows, span_count, 0, 0,     NULL,  0};
    const size_t dim = (size_t)shape->head_dim, kv_heads = (size_t)shape->kv_heads;
    size_t work = 0;
    for (size_t s = 0; s < span_count; s++) {
        const size_t keys = (size_t)(spans[s].position + spans[s].rows);
        const size_t rows = (size_t)(spans[s].row + spans[s].rows);
        if (keys > job.most_keys) job.most_keys = keys;
        if (rows > job.rows) job.rows = rows;
        work += (size_t)spans[s].rows * heads * keys * dim;
    }
    job.scratch_items = slm_kernel__round_up(2 * job.most_keys * (dim + 1) + 2 * job.rows * dim, 8);
    job.scratch = (double *)(void *)slm_kernel__scratch(device, job.scratch_items * sizeof(double) *
                                                                    (size_t)device->thread_count);
    slm_kernel__run(device, kv_heads, 1, work, head_range, &job);
}

/* ---- optimiser ----------------------------------------------------------------------------- */

void ref__adamw(slm_device *device, const slm_adamw *job)
{
    const double beta1 = (double)job->beta1, beta2 = (double)job->beta2;
    const double first_rest = 1.0 - slm_kernel__power(beta1, job->step);
    const double second_rest = 1.0 - slm_kernel__power(beta2, job->step);
    for (size_t i = 0; i < job->items; i++) {
        const double g = (double)job->grad_scale * (double)slm_kernel__f32(job->grad)[i];
        const double x = (double)slm_kernel__f32(job->master)[i];
        const double first = beta1 * (double)slm_kernel__f32(job->first)[i] + (1.0 - beta1) * g;
        const double second =
            beta2 * (double)slm_kernel__f32(job->second)[i] + (1.0 - beta2) * g * g;
        const double step = first / first_rest / (sqrt(second / second_rest) + (double)job->eps);
        slm_kernel__f32(job->first)[i] = (float)first;
        slm_kernel__f32(job->second)[i] = (float)second;
        slm_kernel__f32(job->master)[i] =
            (float)(x - (double)job->rate * (step + (double)job->decay * x));
    }
    if (job->w != NULL) slm_kernel__weight_write(device, job->w, job->master);
}

void ref__add_scaled(slm_device *device, slm_mem y, slm_mem x, float scale, size_t items)
{
    (void)device;
    for (size_t i = 0; i < items; i++)
        slm_kernel__f32(y)[i] += scale * slm_kernel__f32(x)[i];
}
