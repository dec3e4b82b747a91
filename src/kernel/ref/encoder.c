/* encoder.c: what encoders compute beside linear layers, in plain C with sums in double: layer norm
 * (Ba, Kiros and Hinton 2016), GELU (Hendrycks and Gimpel 2016), attention that sees its whole
 * sequence (Vaswani et al. 2017), means of sequences, and f32 in two bf16 parts. */
#include "kernel/ref/ref.h"

#include <math.h>
#include <string.h>

void ref__layer_norm(slm_device *device, slm_mem y, slm_mem x, slm_mem more, slm_mem weight,
                     slm_mem bias, size_t m, size_t d, float eps)
{
    (void)device;
    for (size_t i = 0; i < m; i++) {
        const float *a = slm_kernel__f32(x) + i * d,
                    *b = more.at == NULL ? NULL : slm_kernel__f32(more) + i * d;
        double mean = 0.0, variance = 0.0;
        for (size_t j = 0; j < d; j++)
            mean += (double)a[j] + (b == NULL ? 0.0 : (double)b[j]);
        mean /= (double)d;
        for (size_t j = 0; j < d; j++) {
            const double apart = (double)a[j] + (b == NULL ? 0.0 : (double)b[j]) - mean;
            variance += apart * apart;
        }
        const double scale = 1.0 / sqrt(variance / (double)d + (double)eps);
        for (size_t j = 0; j < d; j++) {
            const double apart = (double)a[j] + (b == NULL ? 0.0 : (double)b[j]) - mean;
            slm_kernel__f32(y)[i * d + j] =
                (float)(apart * scale * (double)slm_kernel__f32(weight)[j] +
                        (double)slm_kernel__f32(bias)[j]);
        }
    }
}

void ref__gelu(slm_device *device, slm_mem y, slm_mem x, size_t items)
{
    (void)device;
    for (size_t i = 0; i < items; i++) {
        const double value = (double)slm_kernel__f32(x)[i];
        slm_kernel__f32(y)[i] =
            (float)(0.5 * value * (1.0 + slm_kernel__erf(value * 0x1.6a09e667f3bcdp-1)));
    }
}

void ref__split(slm_device *device, slm_mem y, slm_mem x, size_t m, size_t d)
{
    (void)device;
    for (size_t i = 0; i < m; i++) {
        const float *row = slm_kernel__f32(x) + i * d;
        uint16_t *to = slm_kernel__bf16(y) + i * 3 * d;
        for (size_t j = 0; j < d; j++) {
            to[j] = to[2 * d + j] = slm_bf16_from_f32(row[j]);
            to[d + j] = slm_bf16_from_f32(row[j] - slm_bf16_to_f32(to[j]));
        }
    }
}

typedef struct whole_job {
    slm_mem y, q, k, v;
    const int32_t *lens;
    size_t count, heads, dim;
    float scale;
    double *scratch;
    size_t scratch_items;
} whole_job;

static void whole_query(const whole_job *job, size_t first, size_t n, size_t row, size_t head,
                        double *scores)
{
    const size_t dim = job->dim, stride = job->heads * dim, at = first * stride + head * dim;
    const float *q = slm_kernel__f32(job->q) + at + row * stride;
    double *sum = scores + n, total = 0.0, max = -(double)INFINITY;
    for (size_t j = 0; j < n; j++) {
        const float *k = slm_kernel__f32(job->k) + at + j * stride;
        double dot = 0.0;
        for (size_t i = 0; i < dim; i++)
            dot += (double)q[i] * (double)k[i];
        scores[j] = dot * (double)job->scale;
        if (scores[j] > max) max = scores[j];
    }
    memset(sum, 0, dim * sizeof *sum);
    for (size_t j = 0; j < n; j++) {
        const float *v = slm_kernel__f32(job->v) + at + j * stride;
        const double p = slm_kernel__exp(scores[j] - max);
        total += p;
        for (size_t i = 0; i < dim; i++)
            sum[i] += p * (double)v[i];
    }
    for (size_t i = 0; i < dim; i++)
        slm_kernel__f32(job->y)[at + row * stride + i] = (float)(sum[i] / total);
}

/* Heads [begin, end) of all sequences. */
static void whole_range(void *context, size_t begin, size_t end, int thread)
{
    const whole_job *job = context;
    double *scratch = job->scratch + (size_t)thread * job->scratch_items;
    for (size_t head = begin; head < end; head++) {
        size_t first = 0;
        for (size_t s = 0; s < job->count; s++) {
            const size_t n = (size_t)job->lens[s];
            for (size_t row = 0; row < n; row++)
                whole_query(job, first, n, row, head, scratch);
            first += n;
        }
    }
}

void ref__attention_whole(slm_device *device, slm_mem y, slm_mem q, slm_mem k, slm_mem v,
                          const int32_t *lens, size_t count, size_t heads, size_t head_dim,
                          float scale)
{
    whole_job job = {y, q, k, v, lens, count, heads, head_dim, scale, NULL, 0};
    size_t longest = 0, work = 0;
    for (size_t s = 0; s < count; s++) {
        const size_t n = (size_t)lens[s];
        if (n > longest) longest = n;
        work += n * n;
    }
    job.scratch_items = slm_kernel__round_up(longest + head_dim, 8);
    job.scratch = (double *)(void *)slm_kernel__scratch(device, job.scratch_items * sizeof(double) *
                                                                    (size_t)device->thread_count);
    slm_kernel__run(device, heads, 1, work * heads * head_dim, whole_range, &job);
}

void ref__mean_pool(slm_device *device, slm_mem y, slm_mem x, const int32_t *lens, size_t count,
                    size_t d)
{
    (void)device;
    const float *row = slm_kernel__f32(x);
    for (size_t s = 0; s < count; s++) {
        const size_t n = (size_t)lens[s];
        for (size_t j = 0; j < d; j++) {
            double sum = 0.0;
            for (size_t i = 0; i < n; i++)
                sum += (double)row[i * d + j];
            slm_kernel__f32(y)[s * d + j] = (float)(sum / (double)n);
        }
        row += n * d;
    }
}
