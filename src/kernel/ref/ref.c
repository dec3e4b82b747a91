/* ref.c: the truth. Plain C, float32 storage, double accumulation, one thing at a time.
 *
 * Written to be read against the papers, not to be fast: row-major weights, softmax and norms
 * summed in double, exp, sin and cos from math.c. Every other path is held against this one.
 * Threads split outputs only. A page of the KV cache holds, for each layer and kv head, K and then V as
 * [64][head_dim rounded up to 16]. RMSNorm: Zhang and Sennrich 2019. RoPE: Su et al. 2021. SwiGLU:
 * Shazeer 2020. Grouped-query attention: Ainslie et al. 2023. */
#include "kernel/ref/ref.h"

#include <math.h>
#include <string.h>

/* ---- linear -------------------------------------------------------------------------------- */

void ref__weight_row(const slm_weight *w, size_t row, float *out)
{
    if (w->quant.super > 0) {
        const char *panel = w->data.at + row / SLM_KERNEL_BLOCK * w->block_bytes;
        slm_kernel__quant_row(&w->quant, panel, row % SLM_KERNEL_BLOCK, w->k, out);
        return;
    }
    for (size_t j = 0; j < w->k; j++)
        out[j] = ref__get(w->data, w->dtype, row * w->k + j);
}

static void ref_embed(slm_device *device, slm_mem y, const slm_weight *w, const int32_t *ids,
                      size_t m)
{
    (void)device;
    for (size_t i = 0; i < m; i++) {
        SLM_ASSERT(ids[i] >= 0 && (size_t)ids[i] < w->n);
        ref__weight_row(w, (size_t)ids[i], slm_kernel__f32(y) + i * w->k);
    }
}

typedef struct linear_job {
    slm_mem y, x, bias;
    const slm_weight *w;
    size_t m;
    bool add;
    float *rows; /* of a quantised weight: 4 rows for each thread */
} linear_job;

static void linear_store(const linear_job *job, size_t i, size_t j, double sum)
{
    float value = (float)sum;
    float *y = slm_kernel__f32(job->y) + i * job->w->n + j;
    if (job->bias.at != NULL) value += slm_kernel__f32(job->bias)[j];
    *y = job->add ? *y + value : value;
}

/* Four outputs side by side only so that their additions do not wait for each other. */
static void linear_outputs_f32(const linear_job *job, size_t i, size_t j, size_t count)
{
    const size_t k = job->w->k;
    const float *x = slm_kernel__f32(job->x) + i * k, *w[4];
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    for (size_t c = 0; c < 4; c++)
        w[c] = slm_kernel__f32(job->w->data) + (j + (c < count ? c : 0)) * k;
    for (size_t p = 0; p < k; p++)
        for (size_t c = 0; c < 4; c++)
            sum[c] += (double)x[p] * (double)w[c][p];
    for (size_t c = 0; c < count; c++)
        linear_store(job, i, j + c, sum[c]);
}

static void linear_outputs_bf16(const linear_job *job, size_t i, size_t j, size_t count)
{
    const size_t k = job->w->k;
    const uint16_t *x = slm_kernel__bf16(job->x) + i * k, *w[4];
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    for (size_t c = 0; c < 4; c++)
        w[c] = slm_kernel__bf16(job->w->data) + (j + (c < count ? c : 0)) * k;
    for (size_t p = 0; p < k; p++) {
        double value = (double)slm_bf16_to_f32(x[p]);
        for (size_t c = 0; c < 4; c++)
            sum[c] += value * (double)slm_bf16_to_f32(w[c][p]);
    }
    for (size_t c = 0; c < count; c++)
        linear_store(job, i, j + c, sum[c]);
}

/* Four rows of a quantised weight, read once for all inputs. */
static void linear_outputs_quantised(const linear_job *job, size_t j, size_t count, float *rows)
{
    const size_t k = job->w->k;
    for (size_t c = 0; c < count; c++)
        ref__weight_row(job->w, j + c, rows + c * k);
    for (size_t i = 0; i < job->m; i++) {
        double sum[4] = {0.0, 0.0, 0.0, 0.0};
        for (size_t p = 0; p < k; p++) {
            double value = (double)ref__get(job->x, job->w->dtype, i * k + p);
            for (size_t c = 0; c < count; c++)
                sum[c] += value * (double)rows[c * k + p];
        }
        for (size_t c = 0; c < count; c++)
            linear_store(job, i, j + c, sum[c]);
    }
}

static void linear_range(void *context, size_t begin, size_t end, int thread)
{
    const linear_job *job = context;
    for (size_t j = begin; j < end; j += 4) {
        size_t count = end - j < 4 ? end - j : 4;
        if (job->rows != NULL) {
            linear_outputs_quantised(job, j, count, job->rows + (size_t)thread * 4 * job->w->k);
            continue;
        }
        for (size_t i = 0; i < job->m; i++) {
            if (job->w->dtype == SLM_F32)
                linear_outputs_f32(job, i, j, count);
            else
                linear_outputs_bf16(job, i, j, count);
        }
    }
}

static void ref_linear(slm_device *device, const slm_linear *layers, size_t count, slm_mem x,
                       size_t m, bool add, const slm_linear *next, size_t next_count)
{
    (void)next, (void)next_count;
    for (size_t i = 0; i < count; i++) {
        const slm_weight *w = layers[i].w;
        linear_job job = {layers[i].y, x, layers[i].bias, w, m, add, NULL};
        if (w->quant.super > 0)
            job.rows = (float *)(void *)slm_kernel__scratch(device, (size_t)device->thread_count *
                                                                        4 * w->k * sizeof(float));
        slm_kernel__run(device, w->n, 4, m * w->n * w->k, linear_range, &job);
    }
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void ref_rms_norm(slm_device *device, slm_mem y, slm_dtype act, slm_mem x, slm_mem weight,
                         size_t m, size_t d, float eps)
{
    (void)device;
    for (size_t i = 0; i < m; i++) {
        const float *row = slm_kernel__f32(x) + i * d;
        double sum = 0.0;
        for (size_t j = 0; j < d; j++)
            sum += (double)row[j] * (double)row[j];
        double scale = 1.0 / sqrt(sum / (double)d + (double)eps);
        for (size_t j = 0; j < d; j++)
            ref__put(y, act, i * d + j,
                     (float)((double)row[j] * scale * (double)slm_kernel__f32(weight)[j]));
    }
}

static void ref_rope(slm_device *device, slm_mem x, const int32_t *positions,
                     const double *frequencies, size_t m, size_t heads, size_t head_dim,
                     bool interleaved, int direction)
{
    (void)device;
    const size_t half = head_dim / 2;
    for (size_t i = 0; i < m; i++) {
        for (size_t p = 0; p < half; p++) {
            double sine, cosine;
            slm_kernel__sin_cos(positions[i] * frequencies[p], &sine, &cosine);
            if (direction < 0) sine = -sine;
            for (size_t h = 0; h < heads; h++) {
                float *head = slm_kernel__f32(x) + (i * heads + h) * head_dim;
                float *a = head + (interleaved ? 2 * p : p), *b = a + (interleaved ? 1 : half);
                double va = (double)*a, vb = (double)*b;
                *a = (float)(va * cosine - vb * sine);
                *b = (float)(va * sine + vb * cosine);
            }
        }
    }
}

static void ref_swiglu(slm_device *device, slm_mem y, slm_dtype act, slm_mem gate, slm_mem up,
                       size_t items)
{
    (void)device;
    for (size_t i = 0; i < items; i++) {
        double g = (double)slm_kernel__f32(gate)[i];
        ref__put(y, act, i,
                 (float)(g / (1.0 + slm_kernel__exp(-g)) * (double)slm_kernel__f32(up)[i]));
    }
}

static void ref_convert(slm_device *device, slm_mem y, slm_dtype act, slm_mem x, float scale,
                        size_t items)
{
    (void)device;
    for (size_t i = 0; i < items; i++)
        ref__put(y, act, i, scale * slm_kernel__f32(x)[i]);
}

/* ---- attention ----------------------------------------------------------------------------- */

static void ref_kv_write(slm_device *device, slm_mem cache, const slm_kv_shape *shape, int layer,
                         slm_mem k, slm_mem v, const slm_kv_span *spans, size_t span_count)
{
    (void)device;
    const size_t page_bytes = slm_kv_page_bytes(shape), width = slm_kernel__kv_width(shape);
    const size_t dim = (size_t)shape->head_dim, heads = (size_t)shape->kv_heads;
    for (size_t s = 0; s < span_count; s++) {
        for (int32_t r = 0; r < spans[s].rows; r++) {
            size_t position = (size_t)(spans[s].position + r), row = (size_t)(spans[s].row + r);
            size_t slot = position % SLM_PAGE_TOKENS;
            size_t page = (size_t)spans[s].pages[position / SLM_PAGE_TOKENS] * page_bytes;
            for (size_t h = 0; h < heads; h++) {
                const float *from_k = slm_kernel__f32(k) + (row * heads + h) * dim;
                const float *from_v = slm_kernel__f32(v) + (row * heads + h) * dim;
                slm_mem to_k =
                    slm_mem_at(cache, page + slm_kernel__kv_offset(shape, layer, (int)h, 0));
                slm_mem to_v =
                    slm_mem_at(cache, page + slm_kernel__kv_offset(shape, layer, (int)h, 1));
                for (size_t i = 0; i < dim; i++) {
                    ref__put(to_k, shape->dtype, slot * width + i, from_k[i]);
                    ref__put(to_v, shape->dtype, slot * width + i, from_v[i]);
                }
            }
        }
    }
}

typedef struct attention_job {
    slm_mem y, q, cache;
    slm_dtype act;
    const slm_kv_shape *shape;
    int layer;
    size_t heads;
    float scale;
    const slm_kv_span *span;
    double *scratch; /* per thread: keys + head_dim */
    size_t scratch_items;
} attention_job;

/* One query: scores of all its keys, softmax, weighted sum of values. */
static void attend(const attention_job *job, size_t row, size_t head, double *scores)
{
    const slm_kv_shape *shape = job->shape;
    const size_t dim = (size_t)shape->head_dim, width = slm_kernel__kv_width(shape);
    const size_t page_bytes = slm_kv_page_bytes(shape);
    const size_t keys = (size_t)job->span->position + row + 1;
    const int kv_head = (int)(head / (job->heads / (size_t)shape->kv_heads));
    const size_t out = (((size_t)job->span->row + row) * job->heads + head) * dim;
    const size_t k_offset = slm_kernel__kv_offset(shape, job->layer, kv_head, 0);
    const size_t v_offset = slm_kernel__kv_offset(shape, job->layer, kv_head, 1);
    double *sum = scores + keys, total = 0.0, max = -(double)INFINITY;
    for (size_t j = 0; j < keys; j++) {
        size_t page = (size_t)job->span->pages[j / SLM_PAGE_TOKENS] * page_bytes;
        slm_mem k = slm_mem_at(job->cache, page + k_offset);
        double dot = 0.0;
        for (size_t i = 0; i < dim; i++)
            dot += (double)slm_kernel__f32(job->q)[out + i] *
                   (double)ref__get(k, shape->dtype, j % SLM_PAGE_TOKENS * width + i);
        scores[j] = dot * (double)job->scale;
        if (scores[j] > max) max = scores[j];
    }
    memset(sum, 0, dim * sizeof *sum);
    for (size_t j = 0; j < keys; j++) {
        size_t page = (size_t)job->span->pages[j / SLM_PAGE_TOKENS] * page_bytes;
        slm_mem v = slm_mem_at(job->cache, page + v_offset);
        double p = slm_kernel__exp(scores[j] - max);
        total += p;
        for (size_t i = 0; i < dim; i++)
            sum[i] += p * (double)ref__get(v, shape->dtype, j % SLM_PAGE_TOKENS * width + i);
    }
    for (size_t i = 0; i < dim; i++)
        ref__put(job->y, job->act, out + i, (float)(sum[i] / total));
}

static void attention_range(void *context, size_t begin, size_t end, int thread)
{
    const attention_job *job = context;
    double *scratch = job->scratch + (size_t)thread * job->scratch_items;
    for (size_t u = begin; u < end; u++)
        attend(job, u / job->heads, u % job->heads, scratch);
}

static void ref_attention(slm_device *device, slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                          const slm_kv_shape *shape, int layer, size_t heads, float scale,
                          const slm_kv_span *spans, size_t span_count)
{
    for (size_t s = 0; s < span_count; s++) {
        attention_job job = {y, q, cache, act, shape, layer, heads, scale, &spans[s], NULL, 0};
        size_t keys = (size_t)spans[s].position + (size_t)spans[s].rows;
        job.scratch_items = slm_kernel__round_up(keys + (size_t)shape->head_dim, 8);
        job.scratch = (double *)(void *)slm_kernel__scratch(
            device, job.scratch_items * sizeof(double) * (size_t)device->thread_count);
        size_t units = (size_t)spans[s].rows * heads;
        slm_kernel__run(device, units, 1, units * keys * (size_t)shape->head_dim, attention_range,
                        &job);
    }
}

/* ---- rows of logits ------------------------------------------------------------------------ */

static void ref_max_sum(const float *x, size_t n, float inv_t, float *max, double *sum)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > best) best = x[i];
    double total = 0.0;
    for (size_t i = 0; i < n; i++)
        total += slm_kernel__exp(((double)x[i] - (double)best) * (double)inv_t);
    *max = best;
    *sum = total;
}

static size_t ref_argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void ref_weights(float *w, double *sums, const float *x, size_t n, float max, float inv_t)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = (float)slm_kernel__exp(((double)x[i] - (double)max) * (double)inv_t);
        if (i % SLM_KERNEL_SUM_BLOCK == 0) sums[i / SLM_KERNEL_SUM_BLOCK] = 0.0;
        sums[i / SLM_KERNEL_SUM_BLOCK] += (double)w[i];
    }
}

static size_t ref_select(int32_t *ids, const float *x, size_t n, float cut)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i] >= cut) ids[count++] = (int32_t)i;
    return count;
}

static void ref_gradient(void *out, slm_dtype act, const float *x, size_t n, float max, float inv_t,
                         float factor)
{
    for (size_t i = 0; i < n; i++) {
        const double z = ((double)x[i] - (double)max) * (double)inv_t;
        ref__put((slm_mem){out}, act, i, (float)((double)factor * slm_kernel__exp(z)));
    }
}

static double ref_weighted_sum(const float *x, size_t n, float max, float inv_t)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double z = ((double)x[i] - (double)max) * (double)inv_t, w = slm_kernel__exp(z);
        if (w > 0.0) sum += w * z;
    }
    return sum;
}

static const slm_kernel__row_ops ref_row_ops = {ref_max_sum, ref_argmax,   ref_weights,
                                                ref_select,  ref_gradient, ref_weighted_sum};

static void ref_log_prob(slm_device *device, slm_mem logits, size_t m, size_t vocab,
                         float temperature, const int32_t *ids, float *out)
{
    slm_kernel__log_prob(device, &ref_row_ops, slm_kernel__f32(logits), m, vocab, temperature, ids,
                         out);
}

static void ref_sample(slm_device *device, slm_mem logits, size_t vocab, slm_sample_row *rows,
                       size_t m)
{
    slm_kernel__sample(device, &ref_row_ops, slm_kernel__f32(logits), vocab, rows, m);
}

static void ref_head_loss(slm_device *device, const slm_head_loss *loss)
{
    slm_kernel__head_loss(device, &ref_row_ops, loss);
}

const slm_kernels slm_kernel__ref = {
    .name = "ref",
    .embed = ref_embed,
    .linear = ref_linear,
    .rms_norm = ref_rms_norm,
    .rope = ref_rope,
    .kv_write = ref_kv_write,
    .attention = ref_attention,
    .swiglu = ref_swiglu,
    .layer_norm = ref__layer_norm,
    .gelu = ref__gelu,
    .attention_whole = ref__attention_whole,
    .mean_pool = ref__mean_pool,
    .split = ref__split,
    .gather = slm_kernel__gather,
    .log_prob = ref_log_prob,
    .sample = ref_sample,
    .copy_page = slm_kernel__copy_page,
    .zero = slm_kernel__zero,
    .convert = ref_convert,
    .sync = slm_kernel__sync,
    .linear_dx = ref__linear_dx,
    .linear_dw = ref__linear_dw,
    .embed_backward = slm_kernel__embed_backward,
    .rms_norm_backward = ref__rms_norm_backward,
    .attention_backward = ref__attention_backward,
    .swiglu_backward = ref__swiglu_backward,
    .dropout = slm_kernel__dropout,
    .head_loss = ref_head_loss,
    .adamw = ref__adamw,
    .weight_write = slm_kernel__weight_write,
    .sum_squares = slm_kernel__sum_squares,
    .add_scaled = ref__add_scaled,
    .all_reduce = slm_kernel__all_reduce,
};
