/* attention_backward.c: the division of attention's gradient among threads.
 *
 * A unit is a kv head of a span: it sums dk and dv of all keys that the span's queries see, in the order
 * of heads and queries, so they have one owner. Where spans share a prompt, each keeps its part of the
 * prompt's dk and dv apart; when all are done the parts are added to the prompt's own in the order of
 * spans. So neither threads nor what else is in the call can change a bit. */
#include "kernel/cpu/cpu.h"

#include <string.h>

typedef struct backward_job {
    slm_cpu__attention_gradient gradient;
    slm_cpu__attention_backward_fn *fn;
    const slm_kv_span *spans;
    const int32_t *prefix_rows;
    size_t span_count, work, parts;
    float *below; /* the parts of all spans that have a prefix, [kv_heads][position][2][head_dim] */
    float *scratch;
    size_t scratch_items; /* of one thread */
} backward_job;

static size_t head_items(const backward_job *job, size_t s)
{
    if (job->prefix_rows == NULL || job->prefix_rows[s] < 0) return 0;
    return (size_t)job->spans[s].position * 2 * (size_t)job->gradient.shape->head_dim;
}

static size_t span_work(const slm_kv_span *span)
{
    return (size_t)span->rows * ((size_t)span->position + (size_t)span->rows / 2 + 64);
}

/* Units whose middle lies in parts [begin, end) of the whole work, heads of a span in order. */
static void backward_range(void *context, size_t begin, size_t end, int thread)
{
    const backward_job *job = context;
    const size_t kv_heads = (size_t)job->gradient.shape->kv_heads;
    size_t before = 0;
    float *below = job->below;
    for (size_t s = 0; s < job->span_count; s++) {
        const slm_kv_span *span = &job->spans[s];
        const size_t items = head_items(job, s), work = span_work(span);
        for (size_t h = 0; h < kv_heads; h++, before += work, below += items) {
            const size_t part = (before + work / 2) * job->parts / job->work;
            if (part < begin || part >= end || span->rows == 0) continue;
            job->fn(&job->gradient, span, h, items > 0 ? below : NULL,
                    job->scratch + (size_t)thread * job->scratch_items);
        }
    }
}

/* The prefixes' rows get the parts of those who saw them; kv heads [begin, end). */
static void prefix_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const backward_job *job = context;
    const size_t kv_heads = (size_t)job->gradient.shape->kv_heads;
    const size_t dim = (size_t)job->gradient.shape->head_dim;
    const float *below = job->below;
    for (size_t s = 0; s < job->span_count; s++) {
        const size_t items = head_items(job, s);
        for (size_t h = begin; h < end && items > 0; h++) {
            const float *from = below + h * items;
            for (size_t j = 0; j < (size_t)job->spans[s].position; j++, from += 2 * dim) {
                const size_t to = (((size_t)job->prefix_rows[s] + j) * kv_heads + h) * dim;
                for (size_t i = 0; i < dim; i++) {
                    job->gradient.dk[to + i] += from[i];
                    job->gradient.dv[to + i] += from[dim + i];
                }
            }
        }
        below += kv_heads * items;
    }
}

void slm_cpu__attention_backward(slm_device *device, slm_mem dq, slm_mem dk, slm_mem dv, slm_mem dy,
                                 slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                                 const slm_kv_shape *shape, int layer, size_t heads, float scale,
                                 const slm_kv_span *spans, const int32_t *prefix_rows,
                                 size_t span_count)
{
    const slm_cpu__path *p = slm_cpu__path_of(device);
    const size_t kv_heads = (size_t)shape->kv_heads, width = slm_kernel__kv_width(shape);
    const size_t threads = (size_t)device->thread_count;
    const bool amx = p->attention_amx && slm_cpu__attention_amx_can(shape);
    backward_job job = {.gradient = {slm_kernel__f32(dq), slm_kernel__f32(dk), slm_kernel__f32(dv),
                                     slm_kernel__f32(dy), slm_kernel__f32(q), y.at, cache.at, act,
                                     shape, layer, heads, scale},
                        .fn = amx ? slm_cpu__attention_backward_amx : p->rows->attention_backward,
                        .spans = spans,
                        .prefix_rows = prefix_rows,
                        .span_count = span_count,
                        .parts = threads * 64};
    size_t below = 0, keys = 0;
    for (size_t s = 0; s < span_count; s++) {
        const size_t all = (size_t)(spans[s].position + spans[s].rows);
        if (all > keys) keys = all;
        below += kv_heads * head_items(&job, s);
        job.work += kv_heads * span_work(&spans[s]);
    }
    if (job.work == 0) return;
    below = slm_kernel__round_up(below, 16);
    job.scratch_items =
        slm_kernel__round_up(amx ? slm_cpu__attention_backward_amx_scratch(keys, width)
                                 : p->rows->attention_backward_scratch(keys, width),
                             16);
    job.below = (float *)(void *)slm_kernel__scratch(device, (below + threads * job.scratch_items) *
                                                                 sizeof(float));
    job.scratch = job.below + below;
    slm_kernel__run(device, job.parts, 64, job.work * heads, backward_range, &job);
    if (below > 0) slm_kernel__run(device, kv_heads, 1, below, prefix_range, &job);
}
