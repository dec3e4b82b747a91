/* cpu.c: the tables of the CPU's fast paths, and the division of each operation among threads.
 *
 * Here is what needs no particular instructions: which outputs a thread computes, scratch memory,
 * the table of cosines, writing to the KV cache. The arithmetic is in the files named after their
 * instructions. Every output is computed by one thread in an order that does not depend on how the
 * outputs were divided. */
#include "kernel/cpu/cpu.h"

#include <string.h>

typedef slm_cpu__path path;

static const path paths[] = {
    {&slm_kernel__amx,
     &slm_cpu__rows_avx512,
     slm_cpu__gemm_f32_avx512,
     slm_cpu__gemm_amx,
     true,
     true,
     slm_cpu__quant_avx512,
     4,
     {slm_cpu__gemv_avx512, 1},
     {slm_cpu__gemm_amx_quantised, 32}},
    {&slm_kernel__avx512bf16,
     &slm_cpu__rows_avx512,
     slm_cpu__gemm_f32_avx512,
     slm_cpu__gemm_avx512bf16,
     true,
     false,
     slm_cpu__quant_avx512,
     3,
     {slm_cpu__gemv_avx512, 1},
     {slm_cpu__gemv_pairs, 1}},
    {&slm_kernel__avx512,
     &slm_cpu__rows_avx512,
     slm_cpu__gemm_f32_avx512,
     slm_cpu__gemm_bf16_avx512,
     false,
     false,
     slm_cpu__quant_avx512,
     3,
     {slm_cpu__gemv_avx512, 1},
     {slm_cpu__gemv_avx512, 1}},
    {&slm_kernel__avx2,
     &slm_cpu__rows_avx2,
     slm_cpu__gemm_f32_avx2,
     slm_cpu__gemm_bf16_avx2,
     false,
     false,
     slm_cpu__quant_avx2,
     2,
     {slm_cpu__gemv_avx2, 1},
     {slm_cpu__gemv_avx2, 1}},
};

const slm_cpu__path *slm_cpu__path_of(const slm_device *device)
{
    size_t i = 0;
    while (paths[i].table != device->table)
        i++;
    return &paths[i];
}

/* ---- linear -------------------------------------------------------------------------------- */

static void cpu_embed(slm_device *device, slm_mem y, const slm_weight *w, const int32_t *ids,
                      size_t m)
{
    (void)device;
    float *to = slm_kernel__f32(y);
    for (size_t i = 0; i < m; i++, to += w->k) {
        SLM_ASSERT(ids[i] >= 0 && (size_t)ids[i] < w->n);
        const size_t lane = (size_t)ids[i] % SLM_KERNEL_BLOCK;
        const char *block = w->data.at + (size_t)ids[i] / SLM_KERNEL_BLOCK * w->block_bytes;
        if (w->quant.super > 0) {
            slm_kernel__quant_row(&w->quant, block, lane, w->k, to);
        } else if (w->dtype == SLM_F32) {
            const float *from = (const float *)(const void *)block + lane;
            for (size_t j = 0; j < w->k; j++)
                to[j] = from[j * SLM_KERNEL_BLOCK];
        } else {
            const uint16_t *from = (const uint16_t *)(const void *)block + 2 * lane;
            for (size_t j = 0; j < w->k; j++)
                to[j] = slm_bf16_to_f32(from[j / 2 * 2 * SLM_KERNEL_BLOCK + j % 2]);
        }
    }
}

typedef struct widen_job {
    const slm_cpu__rows *rows;
    float *to;
    const uint16_t *from;
} widen_job;

static void widen_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const widen_job *job = context;
    job->rows->widen(job->to + begin, job->from + begin, end - begin);
}

void slm_cpu__widen(slm_device *device, const slm_cpu__rows *rows, float *to, const uint16_t *from,
                    size_t items)
{
    widen_job job = {rows, to, from};
    slm_kernel__run(device, items, 64, items, widen_range, &job);
}

/* Layers that share their inputs are one range of blocks: one division among the threads, and one
 * wait for them. */
typedef struct linear_job {
    const path *path;
    const slm_linear *layers, *next;
    size_t count, next_count;
    const void *x; /* as the path takes it */
    size_t m;
    bool add;
    size_t parts;
    size_t item;   /* bytes of a number of x */
    char *scratch; /* of quantised weights: widened panels of each thread */
    size_t scratch_bytes;
} linear_job;

static size_t all_blocks(const slm_linear *layers, size_t count)
{
    size_t blocks = 0;
    for (size_t i = 0; i < count; i++)
        blocks += slm_kernel__blocks(layers[i].w->n);
    return blocks;
}

/* Where a part of the next layers begins. */
static const char *part_at(const slm_linear *layers, size_t count, size_t part, size_t parts)
{
    size_t block = all_blocks(layers, count) * part / parts;
    for (size_t i = 0; i < count; i++) {
        const slm_weight *w = layers[i].w;
        if (block < slm_kernel__blocks(w->n)) return w->data.at + block * w->block_bytes;
        block -= slm_kernel__blocks(w->n);
    }
    return NULL;
}

/* Of a quantised weight: bytes of a panel when widened. */
static size_t wide_panel_bytes(const slm_weight *w)
{
    return SLM_KERNEL_BLOCK * w->k * (w->quant.pairs ? sizeof(uint16_t) : sizeof(float));
}

/* How many panels are widened at once: what 1 MiB holds, so that they stay in the L2 cache. 0: the
 * path multiplies so few rows without. */
static size_t panels_of(const path *p, const slm_weight *w, size_t m)
{
    if (m <= (w->dtype == SLM_F32 ? p->few_f32.rows : p->few_bf16.rows)) return 0;
    size_t panels = p->panels;
    while (panels > 1 && panels * wide_panel_bytes(w) > 1 << 20)
        panels--;
    return panels;
}

/* Widen some panels into the thread's scratch and multiply all rows with them. The multiplication is
 * that of widened weights, so the results are the same to the bit. */
static void quantised_blocks(const linear_job *job, slm_cpu__gemm gemm, const slm_weight *w,
                             size_t begin, size_t end, char *scratch)
{
    const path *p = job->path;
    const size_t panels = panels_of(p, w, job->m);
    if (panels == 0) {
        const slm_cpu__quantised quantised = {&w->quant, w->data.at, w->block_bytes};
        (w->dtype == SLM_F32 ? p->few_f32.fn : p->few_bf16.fn)(&gemm, &quantised, begin, end);
        return;
    }
    slm_cpu__quant_fn *widen = w->quant.pairs ? slm_cpu__quant_pairs : p->quant;
    gemm.w = scratch;
    gemm.block_bytes = wide_panel_bytes(w);
    for (size_t block = begin; block < end; block = gemm.first + panels) {
        const size_t stop = end - block < panels ? end : block + panels;
        gemm.first = block;
        for (size_t b = block; b < stop; b++)
            widen(&w->quant, w->data.at + b * w->block_bytes, 0, w->k / SLM_KERNEL_GROUP,
                  panels * w->block_bytes, scratch + (b - block) * gemm.block_bytes);
        (w->quant.pairs ? p->gemm_bf16 : p->gemm_f32)(&gemm, block, stop);
    }
}

/* Blocks [begin, end) of a layer. after: what this thread reads then. */
static void layer_blocks(const linear_job *job, const slm_linear *layer, size_t begin, size_t end,
                         const char *after, char *scratch)
{
    const slm_weight *w = layer->w;
    const bool quantised = w->quant.super > 0;
    const slm_cpu__gemm gemm = {.y = slm_kernel__f32(layer->y),
                                .x = job->x,
                                .w = w->data.at,
                                .cached = quantised,
                                .bias = slm_kernel__f32(layer->bias),
                                .m = job->m,
                                .n = w->n,
                                .k = w->k,
                                .block_bytes = w->block_bytes,
                                .stride = w->k,
                                .add = job->add,
                                .next = after};
    if (quantised)
        quantised_blocks(job, gemm, w, begin, end, scratch);
    else
        (w->dtype == SLM_F32 ? job->path->gemm_f32 : job->path->gemm_bf16)(&gemm, begin, end);
}

static void linear_range(void *context, size_t begin, size_t end, int thread)
{
    const linear_job *job = context;
    const size_t blocks = all_blocks(job->layers, job->count);
    const size_t first = blocks * begin / job->parts, last = blocks * end / job->parts;
    const char *next = part_at(job->next, job->next_count, begin, job->parts);
    size_t before = 0;
    for (size_t i = 0; i < job->count; i++) {
        const slm_linear *layer = &job->layers[i];
        const size_t count = slm_kernel__blocks(layer->w->n),
                     to = before + count < last ? before + count : last;
        const size_t from = first > before ? first : before;
        if (from < to)
            layer_blocks(job, layer, from - before, to - before,
                         to < last ? job->layers[i + 1].w->data.at : next,
                         job->scratch + (size_t)thread * job->scratch_bytes);
        before += count;
    }
}

/* Rows [begin, end) of all layers, as many at a time as stay in the L2 cache while the weights pass. */
static void linear_rows(void *context, size_t begin, size_t end, int thread)
{
    const linear_job *job = context;
    const size_t k = job->layers[0].w->k;
    size_t chunk = (768 << 10) / (k * job->item) / 32 * 32;
    if (chunk < 32) chunk = 32;
    for (size_t row = begin; row < end; row += chunk) {
        linear_job part = *job;
        part.m = end - row < chunk ? end - row : chunk;
        part.x = (const char *)job->x + row * k * job->item;
        for (size_t i = 0; i < job->count; i++) {
            slm_linear layer = job->layers[i];
            layer.y = slm_mem_at(layer.y, row * layer.w->n * sizeof(float));
            layer_blocks(&part, &layer, 0, slm_kernel__blocks(layer.w->n), NULL,
                         job->scratch + (size_t)thread * job->scratch_bytes);
        }
    }
}

static void cpu_linear(slm_device *device, const slm_linear *layers, size_t count, slm_mem x,
                       size_t m, bool add, const slm_linear *next, size_t next_count)
{
    const path *p = slm_cpu__path_of(device);
    const size_t k = layers[0].w->k;
    const bool wide = layers[0].w->dtype == SLM_BF16 && !p->bf16_inputs;
    const size_t wide_bytes = wide ? slm_kernel__round_up(m * k * sizeof(float), 64) : 0;
    linear_job job = {
        p, layers, next, count, next_count, x.at, m, add, (size_t)device->thread_count, 0, NULL, 0};
    size_t work = 0;
    bool quantised = false;
    for (size_t i = 0; i < count; i++) {
        const slm_weight *w = layers[i].w;
        quantised = quantised || w->quant.super > 0;
        SLM_ASSERT(w->k == k && w->dtype == layers[0].w->dtype);
        work += (m + 4) * w->n * k / 32;
        if (w->quant.super == 0) continue;
        work += w->n * k / 8;
        const size_t bytes = panels_of(p, w, m) * wide_panel_bytes(w);
        if (bytes > job.scratch_bytes) job.scratch_bytes = bytes;
    }
    if (wide_bytes + job.scratch_bytes > 0) {
        char *scratch = slm_kernel__scratch(device, wide_bytes + job.parts * job.scratch_bytes);
        job.scratch = scratch + wide_bytes;
        if (wide) {
            slm_cpu__widen(device, p->rows, (float *)(void *)scratch,
                           (const uint16_t *)(const void *)x.at, m * k);
            job.x = scratch;
        }
    }
    /* With many rows, and weights that need no widening, threads take rows instead of outputs. */
    const size_t blocks = all_blocks(layers, count);
    job.item = layers[0].w->dtype == SLM_F32 || wide ? sizeof(float) : sizeof(uint16_t);
    if (!quantised && (m >= 256 * job.parts || (blocks < 4 * job.parts && m >= 16 * job.parts)))
        slm_kernel__run(device, m, 32, work, linear_rows, &job);
    else
        slm_kernel__run(device, job.parts, 1, work, linear_range, &job);
}

/* ---- rows ---------------------------------------------------------------------------------- */

typedef struct rows_job {
    const path *path;
    char *y;
    slm_dtype act;
    const float *x, *other; /* weight of a norm, up of swiglu, table of rope */
    float *in_place;
    size_t d, heads;
    float number; /* eps, scale or sign */
    bool interleaved;
} rows_job;

static void rms_norm_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const rows_job *job = context;
    const size_t first = begin * job->d;
    job->path->rows->rms_norm(job->y + first * slm_kernel__item_bytes(job->act), job->act,
                              job->x + first, job->other, end - begin, job->d, job->number);
}

static void cpu_rms_norm(slm_device *device, slm_mem y, slm_dtype act, slm_mem x, slm_mem weight,
                         size_t m, size_t d, float eps)
{
    rows_job job = {.path = slm_cpu__path_of(device),
                    .y = y.at,
                    .act = act,
                    .x = slm_kernel__f32(x),
                    .other = slm_kernel__f32(weight),
                    .d = d,
                    .number = eps};
    slm_kernel__run(device, m, 1, m * d / 4, rms_norm_range, &job);
}

static void swiglu_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const rows_job *job = context;
    job->path->rows->swiglu(job->y + begin * slm_kernel__item_bytes(job->act), job->act,
                            job->x + begin, job->other + begin, end - begin);
}

static void cpu_swiglu(slm_device *device, slm_mem y, slm_dtype act, slm_mem gate, slm_mem up,
                       size_t items)
{
    rows_job job = {.path = slm_cpu__path_of(device),
                    .y = y.at,
                    .act = act,
                    .x = slm_kernel__f32(gate),
                    .other = slm_kernel__f32(up)};
    slm_kernel__run(device, items, 64, items * 2, swiglu_range, &job);
}

static void convert_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const rows_job *job = context;
    job->path->rows->convert(job->y + begin * slm_kernel__item_bytes(job->act), job->act,
                             job->x + begin, job->number, end - begin);
}

static void cpu_convert(slm_device *device, slm_mem y, slm_dtype act, slm_mem x, float scale,
                        size_t items)
{
    rows_job job = {.path = slm_cpu__path_of(device),
                    .y = y.at,
                    .act = act,
                    .x = slm_kernel__f32(x),
                    .number = scale};
    slm_kernel__run(device, items, 64, items / 4, convert_range, &job);
}

/* ---- rotation ------------------------------------------------------------------------------ */

typedef struct table_job {
    float *table;
    const int32_t *positions;
    const double *frequencies;
    size_t half;
    bool interleaved;
} table_job;

/* The angle is reduced in double, and so are its sine and cosine; only the result is a float. */
static void table_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const table_job *job = context;
    for (size_t i = begin; i < end; i++) {
        float *row = job->table + i * 4 * job->half;
        for (size_t p = 0; p < job->half; p++) {
            double sine, cosine;
            slm_kernel__sin_cos(job->positions[i] * job->frequencies[p], &sine, &cosine);
            if (job->interleaved) {
                float *s = row + 2 * job->half;
                row[2 * p] = row[2 * p + 1] = (float)cosine;
                s[2 * p] = -(float)sine;
                s[2 * p + 1] = (float)sine;
            } else {
                row[p] = (float)cosine;
                row[job->half + p] = (float)sine;
            }
        }
    }
}

/* Every layer asks for the same positions: the last table is kept with what it was made from. */
static const float *rope_table(slm_device *device, const int32_t *positions,
                               const double *frequencies, size_t m, size_t half, bool interleaved)
{
    slm_kernel__rope_cache *cache = &device->rope;
    const size_t frequency_bytes = half * sizeof(double), position_bytes = m * sizeof(int32_t);
    const size_t positions_at = slm_kernel__round_up(frequency_bytes, 64);
    const size_t table_at = positions_at + slm_kernel__round_up(position_bytes, 64);
    const char *kept = cache->memory.mem.at;
    if (cache->m == m && cache->half == half && cache->interleaved == interleaved &&
        memcmp(kept, frequencies, frequency_bytes) == 0 &&
        memcmp(kept + positions_at, positions, position_bytes) == 0)
        return (const float *)(const void *)(kept + table_at);
    slm_kernel__reserve(device, &cache->memory, table_at + m * half * 4 * sizeof(float));
    char *at = cache->memory.mem.at;
    memcpy(at, frequencies, frequency_bytes);
    memcpy(at + positions_at, positions, position_bytes);
    cache->m = m;
    cache->half = half;
    cache->interleaved = interleaved;
    table_job job = {(float *)(void *)(at + table_at), positions, frequencies, half, interleaved};
    slm_kernel__run(device, m, 1, m * half * 64, table_range, &job);
    return job.table;
}

static void rope_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const rows_job *job = context;
    job->path->rows->rope(job->in_place + begin * job->heads * job->d,
                          job->other + begin * 2 * job->d, end - begin, job->heads, job->d,
                          job->interleaved, job->number);
}

static void cpu_rope(slm_device *device, slm_mem x, const int32_t *positions,
                     const double *frequencies, size_t m, size_t heads, size_t head_dim,
                     bool interleaved, int direction)
{
    if (m == 0) return;
    rows_job job = {.path = slm_cpu__path_of(device),
                    .in_place = slm_kernel__f32(x),
                    .d = head_dim,
                    .heads = heads,
                    .number = direction < 0 ? -1.0f : 1.0f,
                    .interleaved = interleaved};
    job.other = rope_table(device, positions, frequencies, m, head_dim / 2, interleaved);
    slm_kernel__run(device, m, 1, m * heads * head_dim / 4, rope_range, &job);
}

/* ---- attention ----------------------------------------------------------------------------- */

typedef struct write_job {
    char *cache;
    const slm_kv_shape *shape;
    int layer;
    const float *k, *v;
    const slm_kv_span *spans;
    size_t span_count;
} write_job;

/* One position of one kv head, in the layout of attention.h. */
static void write_bf16(uint16_t *to_k, uint16_t *to_v, const float *k, const float *v, size_t dim,
                       size_t width, size_t slot)
{
    to_k += 2 * slot;
    to_v += slot / 2 * width * 2 + slot % 2;
    for (size_t i = 0; i < dim; i++) {
        to_k[i / 2 * 2 * SLM_PAGE_TOKENS + i % 2] = slm_bf16_from_f32(k[i]);
        to_v[2 * i] = slm_bf16_from_f32(v[i]);
    }
}

static void write_f32(float *to_k, float *to_v, const float *k, const float *v, size_t dim,
                      size_t width, size_t slot)
{
    for (size_t i = 0; i < dim; i++)
        to_k[i * SLM_PAGE_TOKENS + slot] = k[i];
    memcpy(to_v + slot * width, v, dim * sizeof *v);
}

static void write_row(const write_job *job, const slm_kv_span *span, size_t r)
{
    const slm_kv_shape *shape = job->shape;
    const size_t dim = (size_t)shape->head_dim, heads = (size_t)shape->kv_heads;
    const size_t position = (size_t)span->position + r, width = slm_kernel__kv_width(shape);
    const size_t slot = position % SLM_PAGE_TOKENS;
    char *page =
        job->cache + (size_t)span->pages[position / SLM_PAGE_TOKENS] * slm_kv_page_bytes(shape);
    for (size_t h = 0; h < heads; h++) {
        const size_t from = (((size_t)span->row + r) * heads + h) * dim;
        void *to_k = page + slm_kernel__kv_offset(shape, job->layer, (int)h, 0);
        void *to_v = page + slm_kernel__kv_offset(shape, job->layer, (int)h, 1);
        if (shape->dtype == SLM_F32)
            write_f32(to_k, to_v, job->k + from, job->v + from, dim, width, slot);
        else
            write_bf16(to_k, to_v, job->k + from, job->v + from, dim, width, slot);
    }
}

/* Rows [begin, end) of all spans' rows in order. */
static void write_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const write_job *job = context;
    size_t before = 0;
    for (size_t s = 0; s < job->span_count && before < end; s++) {
        const size_t rows = (size_t)job->spans[s].rows;
        for (size_t r = begin > before ? begin - before : 0; r < rows && before + r < end; r++)
            write_row(job, &job->spans[s], r);
        before += rows;
    }
}

static size_t count_rows(const slm_kv_span *spans, size_t span_count)
{
    size_t rows = 0;
    for (size_t s = 0; s < span_count; s++)
        rows += (size_t)spans[s].rows;
    return rows;
}

static void cpu_kv_write(slm_device *device, slm_mem cache, const slm_kv_shape *shape, int layer,
                         slm_mem k, slm_mem v, const slm_kv_span *spans, size_t span_count)
{
    write_job job = {cache.at,           shape, layer,     slm_kernel__f32(k),
                     slm_kernel__f32(v), spans, span_count};
    const size_t rows = count_rows(spans, span_count);
    const size_t work = rows * (size_t)shape->kv_heads * (size_t)shape->head_dim * 8;
    slm_kernel__run(device, rows, 1, work, write_range, &job);
}

typedef struct attention_job {
    slm_cpu__attention attention;
    slm_cpu__attention_fn *fn;
    float *scratch;
    size_t scratch_items; /* of one thread */
    size_t head_work;     /* of one kv head: blocks of keys over all rows */
    size_t parts;
} attention_job;

static size_t row_work(const slm_kv_span *span, size_t r)
{
    return ((size_t)span->position + r) / SLM_PAGE_TOKENS + 2;
}

/* The first unit of a part. Parts have nearly the same work: a prompt's later rows see more keys. */
static size_t part_begin(const attention_job *job, size_t part)
{
    const slm_cpu__attention *a = &job->attention;
    const size_t kv_heads = (size_t)a->shape->kv_heads;
    const size_t work = kv_heads * job->head_work * part / job->parts;
    size_t unit = work / job->head_work * a->rows, left = work % job->head_work;
    for (size_t s = 0; s < a->span_count; s++) {
        for (size_t r = 0; r < (size_t)a->spans[s].rows; r++, unit++) {
            const size_t row = row_work(&a->spans[s], r);
            if (left < row) return unit;
            left -= row;
        }
    }
    return unit;
}

static void attention_range(void *context, size_t begin, size_t end, int thread)
{
    const attention_job *job = context;
    job->fn(&job->attention, part_begin(job, begin), part_begin(job, end),
            job->scratch + (size_t)thread * job->scratch_items);
}

static void cpu_attention(slm_device *device, slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                          const slm_kv_shape *shape, int layer, size_t heads, float scale,
                          const slm_kv_span *spans, size_t span_count)
{
    const path *p = slm_cpu__path_of(device);
    const size_t rows = count_rows(spans, span_count), kv_heads = (size_t)shape->kv_heads;
    const size_t per_query = slm_kernel__kv_width(shape) + 2;
    const bool amx = p->attention_amx && slm_cpu__attention_amx_can(shape);
    attention_job job = {
        {y.at, act, slm_kernel__f32(q), cache.at, shape, layer, heads, rows, scale, spans,
         span_count},
        amx ? slm_cpu__attention_amx : p->rows->attention,
        NULL,
        slm_kernel__round_up(amx ? slm_cpu__attention_amx_scratch() : heads / kv_heads * per_query,
                             16),
        0,
        (size_t)device->thread_count};
    if (rows == 0) return;
    job.scratch = (float *)(void *)slm_kernel__scratch(device, job.scratch_items * sizeof(float) *
                                                                   (size_t)device->thread_count);
    for (size_t s = 0; s < span_count; s++)
        for (size_t r = 0; r < (size_t)spans[s].rows; r++)
            job.head_work += row_work(&spans[s], r);
    const size_t work = job.head_work * heads * (size_t)shape->head_dim * SLM_PAGE_TOKENS / 16;
    slm_kernel__run(device, job.parts, 1, work, attention_range, &job);
}

/* ---- encoders ------------------------------------------------------------------------------ */

typedef struct encoder_job {
    const path *path;
    float *y;
    const float *x, *more, *weight, *bias;
    uint16_t *parts;
    size_t d;
    float eps;
    const int32_t *lens;
    slm_cpu__whole whole;
    float *scratch;
    size_t scratch_items; /* of one thread */
} encoder_job;

static void layer_norm_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const encoder_job *job = context;
    const size_t at = begin * job->d;
    job->path->rows->layer_norm(job->y + at, job->x + at, job->more == NULL ? NULL : job->more + at,
                                job->weight, job->bias, end - begin, job->d, job->eps);
}

static void cpu_layer_norm(slm_device *device, slm_mem y, slm_mem x, slm_mem more, slm_mem weight,
                           slm_mem bias, size_t m, size_t d, float eps)
{
    encoder_job job = {.path = slm_cpu__path_of(device),
                       .y = slm_kernel__f32(y),
                       .x = slm_kernel__f32(x),
                       .more = slm_kernel__f32(more),
                       .weight = slm_kernel__f32(weight),
                       .bias = slm_kernel__f32(bias),
                       .d = d,
                       .eps = eps};
    slm_kernel__run(device, m, 1, m * d / 2, layer_norm_range, &job);
}

static void gelu_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const encoder_job *job = context;
    job->path->rows->gelu(job->y + begin, job->x + begin, end - begin);
}

static void cpu_gelu(slm_device *device, slm_mem y, slm_mem x, size_t items)
{
    encoder_job job = {
        .path = slm_cpu__path_of(device), .y = slm_kernel__f32(y), .x = slm_kernel__f32(x)};
    slm_kernel__run(device, items, 64, items * 2, gelu_range, &job);
}

static void split_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const encoder_job *job = context;
    job->path->rows->split(job->parts + begin * 3 * job->d, job->x + begin * job->d, end - begin,
                           job->d);
}

static void cpu_split(slm_device *device, slm_mem y, slm_mem x, size_t m, size_t d)
{
    encoder_job job = {.path = slm_cpu__path_of(device),
                       .parts = (uint16_t *)(void *)y.at,
                       .x = slm_kernel__f32(x),
                       .d = d};
    slm_kernel__run(device, m, 1, m * d / 4, split_range, &job);
}

static void whole_range(void *context, size_t begin, size_t end, int thread)
{
    const encoder_job *job = context;
    job->path->rows->whole(&job->whole, begin, end,
                           job->scratch + (size_t)thread * job->scratch_items);
}

static void cpu_attention_whole(slm_device *device, slm_mem y, slm_mem q, slm_mem k, slm_mem v,
                                const int32_t *lens, size_t count, size_t heads, size_t head_dim,
                                float scale)
{
    encoder_job job = {.path = slm_cpu__path_of(device),
                       .whole = {slm_kernel__f32(y), slm_kernel__f32(q), slm_kernel__f32(k),
                                 slm_kernel__f32(v), lens, count, heads, head_dim, scale}};
    size_t longest = 0, work = 0;
    for (size_t s = 0; s < count; s++) {
        const size_t n = (size_t)lens[s];
        if (n > longest) longest = n;
        work += n * (n + 8);
    }
    job.scratch_items =
        (head_dim + 4) * slm_kernel__round_up(longest, SLM_KERNEL_BLOCK) + SLM_KERNEL_BLOCK;
    job.scratch = (float *)(void *)slm_kernel__scratch(device, job.scratch_items * sizeof(float) *
                                                                   (size_t)device->thread_count);
    slm_kernel__run(device, count * heads, 1, work * heads * head_dim / 8, whole_range, &job);
}

/* Sequences [begin, end). */
static void mean_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const encoder_job *job = context;
    size_t row = 0;
    for (size_t s = 0; s < begin; s++)
        row += (size_t)job->lens[s];
    for (size_t s = begin; s < end; s++) {
        const size_t n = (size_t)job->lens[s];
        job->path->rows->mean(job->y + s * job->d, job->x + row * job->d, n, job->d);
        row += n;
    }
}

static void cpu_mean_pool(slm_device *device, slm_mem y, slm_mem x, const int32_t *lens,
                          size_t count, size_t d)
{
    encoder_job job = {.path = slm_cpu__path_of(device),
                       .y = slm_kernel__f32(y),
                       .x = slm_kernel__f32(x),
                       .d = d,
                       .lens = lens};
    size_t rows = 0;
    for (size_t s = 0; s < count; s++)
        rows += (size_t)lens[s];
    slm_kernel__run(device, count, 1, rows * d / 8, mean_range, &job);
}

/* ---- rows of logits ------------------------------------------------------------------------ */

static void cpu_log_prob(slm_device *device, slm_mem logits, size_t m, size_t vocab,
                         float temperature, const int32_t *ids, float *out)
{
    slm_kernel__log_prob(device, &slm_cpu__path_of(device)->rows->logits, slm_kernel__f32(logits),
                         m, vocab, temperature, ids, out);
}

static void cpu_sample(slm_device *device, slm_mem logits, size_t vocab, slm_sample_row *rows,
                       size_t m)
{
    slm_kernel__sample(device, &slm_cpu__path_of(device)->rows->logits, slm_kernel__f32(logits),
                       vocab, rows, m);
}

/* ---- tables -------------------------------------------------------------------------------- */

#define ENTRIES                                                                                    \
    .embed = cpu_embed, .linear = cpu_linear, .rms_norm = cpu_rms_norm, .rope = cpu_rope,          \
    .kv_write = cpu_kv_write, .attention = cpu_attention, .swiglu = cpu_swiglu,                    \
    .layer_norm = cpu_layer_norm, .gelu = cpu_gelu, .split = cpu_split,                            \
    .attention_whole = cpu_attention_whole, .mean_pool = cpu_mean_pool,                            \
    .gather = slm_kernel__gather, .log_prob = cpu_log_prob, .sample = cpu_sample,                  \
    .copy_page = slm_kernel__copy_page, .zero = slm_kernel__zero, .convert = cpu_convert,          \
    .sync = slm_kernel__sync, .linear_dx = slm_cpu__linear_dx, .linear_dw = slm_cpu__linear_dw,    \
    .embed_backward = slm_kernel__embed_backward, .rms_norm_backward = slm_cpu__rms_norm_backward, \
    .attention_backward = slm_cpu__attention_backward,                                             \
    .swiglu_backward = slm_cpu__swiglu_backward, .dropout = slm_kernel__dropout,                   \
    .head_loss = slm_cpu__head_loss, .adamw = slm_cpu__adamw,                                      \
    .weight_write = slm_kernel__weight_write, .sum_squares = slm_kernel__sum_squares,              \
    .add_scaled = slm_cpu__add_scaled, .all_reduce = slm_kernel__all_reduce

const slm_kernels slm_kernel__avx2 = {.name = "avx2", ENTRIES};
const slm_kernels slm_kernel__avx512 = {.name = "avx512", ENTRIES};
const slm_kernels slm_kernel__avx512bf16 = {.name = "avx512bf16", ENTRIES};
const slm_kernels slm_kernel__amx = {.name = "amx", ENTRIES};
