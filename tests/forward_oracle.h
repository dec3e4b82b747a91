/* forward_oracle.h: a forward in double precision over a `family`, written from the formulas and
 * independent of src/model, and a runner that takes slm's logits of the same ids from a file.
 *
 * RMSNorm; q, k, v with their biases and norms; rotary positions on pairs (i, i + head_dim/2), their
 * frequencies scaled as transformers describes it; grouped causal attention; SwiGLU; the adapter
 * beside each matrix. */
#ifndef SLM_TESTS_FORWARD_ORACLE_H
#define SLM_TESTS_FORWARD_ORACLE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "family_model.h"

/* ---- the oracle ---------------------------------------------------------------------------- */

static inline double *oracle__numbers(size_t n)
{
    double *out = calloc(n, sizeof *out);
    SLM_ASSERT(out);
    return out;
}

/* y[n] = W[n,k] x[k] */
static inline void oracle__multiply(double *y, const float *w, const double *x, int n, int k)
{
    for (int i = 0; i < n; i++) {
        y[i] = 0;
        for (int j = 0; j < k; j++)
            y[i] += (double)w[i * k + j] * x[j];
    }
}

static inline void oracle__apply(const family *f, const family_layer *layer, int role, double *y,
                                 const double *x)
{
    int rows, columns;
    family_sides(f, role, &rows, &columns);
    oracle__multiply(y, layer->w[role], x, rows, columns);
    for (int i = 0; layer->bias[role] && i < rows; i++)
        y[i] += (double)layer->bias[role][i];
    if (!layer->a[role]) return;
    double *low = oracle__numbers((size_t)f->rank), *change = oracle__numbers((size_t)rows);
    oracle__multiply(low, layer->a[role], x, f->rank, columns);
    oracle__multiply(change, layer->b[role], low, rows, f->rank);
    for (int i = 0; i < rows; i++)
        y[i] += f->scale * change[i];
    free(low);
    free(change);
}

static inline void oracle__norm(const family *f, double *y, const double *x, const float *weight,
                                int d)
{
    double sum = 0;
    for (int i = 0; i < d; i++)
        sum += x[i] * x[i];
    sum = sqrt(sum / d + f->eps);
    for (int i = 0; i < d; i++)
        y[i] = x[i] / sum * (double)weight[i];
}

/* In wavelengths, as transformers' modeling_rope_utils tells it. */
static inline double oracle_frequency(const family *f, int i)
{
    double plain = pow(f->base, -2.0 * i / f->head_dim);
    double length = 2 * acos(-1.0) / plain;
    if (f->scaling == SLM_ROPE_LINEAR) return plain / f->factor;
    if (f->scaling == SLM_ROPE_TABLE) return plain / (double)f->table[i];
    if (f->scaling == SLM_ROPE_PLAIN || length < f->original / f->high) return plain;
    if (length > f->original / f->low) return plain / f->factor;
    double smooth = (f->original / length - f->low) / (f->high - f->low);
    return plain * (smooth + (1 - smooth) / f->factor);
}

/* Norm (weight may be NULL) and rotate each head. */
static inline void oracle__place(const family *f, double *x, int heads, const float *weight,
                                 int position)
{
    int half = f->head_dim / 2;
    for (int h = 0; h < heads; h++) {
        double *head = x + h * f->head_dim;
        if (weight) oracle__norm(f, head, head, weight, f->head_dim);
        for (int i = 0; i < half; i++) {
            double angle = position * oracle_frequency(f, i), a = head[i], b = head[i + half];
            head[i] = a * cos(angle) - b * sin(angle);
            head[i + half] = b * cos(angle) + a * sin(angle);
        }
    }
}

/* One head's answer to q over the keys and values of positions 0 .. position. */
static inline void oracle__attend(double *y, const double *q, const double *k, const double *v,
                                  int position, int stride, int head_dim)
{
    double *scores = oracle__numbers((size_t)position + 1), best = -1e300, sum = 0;
    for (int t = 0; t <= position; t++) {
        for (int i = 0; i < head_dim; i++)
            scores[t] += q[i] * k[t * stride + i] / sqrt(head_dim);
        if (scores[t] > best) best = scores[t];
    }
    for (int t = 0; t <= position; t++)
        sum += scores[t] = exp(scores[t] - best);
    for (int i = 0; i < head_dim; i++) {
        y[i] = 0;
        for (int t = 0; t <= position; t++)
            y[i] += scores[t] / sum * v[t * stride + i];
    }
    free(scores);
}

static inline void oracle__layer(const family *f, const family_layer *layer, double *x, int rows)
{
    int d = f->d, kv = f->kv_heads * f->head_dim, q = f->heads * f->head_dim;
    double *keys = oracle__numbers((size_t)(rows * kv)),
           *values = oracle__numbers((size_t)(rows * kv));
    double *h = oracle__numbers((size_t)d), *out = oracle__numbers((size_t)d);
    double *query = oracle__numbers((size_t)q), *attended = oracle__numbers((size_t)q);
    double *gate = oracle__numbers((size_t)f->feed), *up = oracle__numbers((size_t)f->feed);
    for (int r = 0; r < rows; r++) {
        oracle__norm(f, h, x + r * d, layer->norm[0], d);
        oracle__apply(f, layer, FAMILY_Q, query, h);
        oracle__apply(f, layer, FAMILY_K, keys + r * kv, h);
        oracle__apply(f, layer, FAMILY_V, values + r * kv, h);
        oracle__place(f, query, f->heads, layer->norm[2], r);
        oracle__place(f, keys + r * kv, f->kv_heads, layer->norm[3], r);
        for (int head = 0; head < f->heads; head++) {
            int group = head / (f->heads / f->kv_heads) * f->head_dim;
            oracle__attend(attended + head * f->head_dim, query + head * f->head_dim, keys + group,
                           values + group, r, kv, f->head_dim);
        }
        oracle__apply(f, layer, FAMILY_O, out, attended);
        for (int i = 0; i < d; i++)
            x[r * d + i] += out[i];
        oracle__norm(f, h, x + r * d, layer->norm[1], d);
        oracle__apply(f, layer, FAMILY_GATE, gate, h);
        oracle__apply(f, layer, FAMILY_UP, up, h);
        for (int i = 0; i < f->feed; i++)
            gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
        oracle__apply(f, layer, FAMILY_DOWN, out, gate);
        for (int i = 0; i < d; i++)
            x[r * d + i] += out[i];
    }
    double *const all[] = {keys, values, h, out, query, attended, gate, up};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

/* Logits [rows, vocabulary]; the caller frees them. */
static inline double *oracle_logits(const family *f, const int32_t *ids, int rows)
{
    int d = f->d;
    double *x = oracle__numbers((size_t)(rows * d)), *h = oracle__numbers((size_t)d);
    double *logits = oracle__numbers((size_t)(rows * f->vocabulary));
    for (int i = 0; i < rows * d; i++)
        x[i] = (double)f->embedding[ids[i / d] * d + i % d];
    for (int i = 0; i < f->layers; i++)
        oracle__layer(f, &f->layer[i], x, rows);
    for (int r = 0; r < rows; r++) {
        oracle__norm(f, h, x + r * d, f->final_norm, d);
        oracle__multiply(logits + r * f->vocabulary, f->head ? f->head : f->embedding, h,
                         f->vocabulary, d);
    }
    free(x);
    free(h);
    return logits;
}

/* ---- slm's ---------------------------------------------------------------------------------- */

enum { ORACLE_MAX_ROWS = 192 };

/* Logits of ids[rows], run in chunks of `chunk` rows, by the model at `path` with the adapter in the
 * folder `adapter` (NULL: none). NULL if this machine lacks the kernels. */
static inline float *oracle_run_as(const char *path, const char *adapter, const char *kernels,
                                   const slm_model_options *options, const int32_t *ids, int rows,
                                   int chunk)
{
    slm_error err = {0};
    slm_device *device = NULL;
    slm_tensors *file = NULL;
    slm_model *model = NULL;
    slm_forward *forward = NULL;
    slm_mem cache, logits;
    const slm_device_options device_options = {.kernels = kernels, .threads = 2};
    const int32_t pages[ORACLE_MAX_ROWS / SLM_PAGE_TOKENS] = {2, 0, 1};
    int32_t want[ORACLE_MAX_ROWS];
    SLM_ASSERT(rows <= ORACLE_MAX_ROWS);
    slm_status status = slm_device_open(&device_options, &device, &err);
    if (status == SLM_ERR_UNSUPPORTED) return NULL;
    assert_int_equal(status, SLM_OK);
    if (slm_tensors_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    if (slm_model_load(device, file, options, &model, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_tensors_close(file);
    if (adapter && slm_model_load_adapter(model, adapter, &err) != SLM_OK)
        fail_msg("%s", err.message);
    size_t vocabulary = (size_t)slm_model_get_config(model)->vocabulary;
    size_t page = slm_kv_page_bytes(slm_model_kv_shape(model));
    assert_int_equal(slm_device_alloc(device, 3 * page, &cache, &err), SLM_OK);
    assert_int_equal(slm_forward_new(model, (size_t)rows, (size_t)rows, &forward, &err), SLM_OK);
    float *out = malloc((size_t)rows * vocabulary * sizeof *out);
    SLM_ASSERT(out);
    for (int i = 0; i < rows; i++)
        want[i] = i;
    for (int done = 0; done < rows; done += chunk) {
        int now = rows - done < chunk ? rows - done : chunk;
        slm_kv_span span = {.rows = now, .position = done, .pages = pages};
        slm_forward_run(forward, cache, ids + done, (size_t)now, &span, 1, want, (size_t)now,
                        &logits);
        slm_device_download(device, out + (size_t)done * vocabulary, logits,
                            (size_t)now * vocabulary * sizeof *out);
    }
    slm_forward_free(forward);
    slm_device_free(device, cache);
    slm_model_free(model);
    slm_device_close(device);
    return out;
}

static inline float *oracle_run(const char *path, const char *adapter, const char *kernels,
                                slm_dtype dtype, const int32_t *ids, int rows, int chunk)
{
    const slm_model_options options = {.dtype = dtype};
    return oracle_run_as(path, adapter, kernels, &options, ids, rows, chunk);
}

/* Largest relative L2 error of a row of `columns` logits; NaN counts as infinite. */
static inline double oracle_error(const float *got, const double *expected, int rows, int columns)
{
    double worst = 0;
    for (int r = 0; r < rows; r++) {
        double difference = 0, size = 0;
        for (int i = 0; i < columns; i++) {
            double e = expected[r * columns + i];
            difference += pow((double)got[r * columns + i] - e, 2);
            size += e * e;
        }
        double error = sqrt(difference / size);
        if (!(error <= worst)) worst = isnan(error) ? HUGE_VAL : error;
    }
    return worst;
}

/* The same between two of slm's own. */
static inline double oracle_distance(const float *got, const float *other, int rows, int columns)
{
    double *expected = oracle__numbers((size_t)(rows * columns));
    for (int i = 0; i < rows * columns; i++)
        expected[i] = (double)other[i];
    double error = oracle_error(got, expected, rows, columns);
    free(expected);
    return error;
}

#endif
