/* backward.c: gradients of linear layers on the CPU's fast paths.
 *
 * Both products are the forward's: the same micro-kernels, fed with what was laid across before. For
 * inputs, dx = dy W, panels of 16 columns of W are transposed out of the forward's packing (and
 * widened, where weights are kept quantised) into scratch that stays in the L2 cache, and all rows
 * pass over them: moving a weight costs a fraction of a cycle, its products with hundreds of rows many.
 * For weights, dW = dy^T x: one side is transposed to rows, the other to panels. Where one side is
 * narrow, as the inner side of a LoRA pair, it is the one that is transposed to rows: dW^T = x^T dy.
 *
 * Long sums are cut where the length alone says (SLICE, ROWS), and the parts added in order to the
 * f32 result, so that neither threads nor other rows change a bit. Paths without bf16 inputs work on
 * f32 numbers throughout. */
#include "kernel/cpu/cpu.h"

#include <string.h>

enum {
    BLOCK = SLM_KERNEL_BLOCK,
    SLICE = 2048,             /* outputs whose gradients are summed at once */
    ROWS = 2048,              /* rows whose part of dW is summed at once */
    PANELS_BYTES = 512 << 10, /* of transposed panels: they stay in the L2 cache */
    INPUT_BYTES = 768 << 10,  /* and of what passes over them */
    MANY_ROWS = 512,          /* for each thread: from here on rows are divided, not columns */
    NARROW = 256,             /* inner sides up to here may be those that are transposed to rows */
    WIDE = 8192               /* outputs whose dW is computed at once: a head has far more */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How a product is computed: on pairs of bf16, or on f32. */
typedef struct layout {
    const slm_cpu__path *path;
    slm_dtype dtype; /* of what is read */
    bool pairs;
    size_t item; /* bytes of a number as it is multiplied */
    size_t from; /* and as it is read */
} layout;

static layout layout_of(slm_device *device, slm_dtype dtype)
{
    const slm_cpu__path *path = slm_cpu__path_of(device);
    const bool pairs = dtype == SLM_BF16 && path->bf16_inputs;
    return (layout){path, dtype, pairs, pairs ? sizeof(uint16_t) : sizeof(float),
                    slm_kernel__item_bytes(dtype)};
}

static float number_at(const layout *l, const char *from, size_t index)
{
    return l->dtype == SLM_F32 ? ((const float *)(const void *)from)[index]
                               : slm_bf16_to_f32(((const uint16_t *)(const void *)from)[index]);
}

/* Bytes of a panel of 16 columns with `steps` numbers in each. */
static size_t panel_bytes(const layout *l, size_t steps)
{
    return slm_kernel__round_up(steps, BLOCK) * BLOCK * l->item;
}

/* Rows that pass over panels at once. */
static size_t chunk_rows(const layout *l, size_t steps)
{
    const size_t rows = INPUT_BYTES / (steps * l->item) / 32 * 32;
    return rows < 32 ? 32 : rows;
}

static size_t group_panels(const layout *l, size_t steps)
{
    const size_t panels = PANELS_BYTES / panel_bytes(l, steps) / 2 * 2;
    return panels < 2 ? 2 : panels;
}

static void multiply(const layout *l, slm_cpu__gemm job, size_t begin, size_t end)
{
    const size_t rows = job.m, chunk = chunk_rows(l, job.k);
    const char *x = job.x;
    float *y = job.y;
    for (size_t r = 0; r < rows; r += chunk) {
        job.m = least(chunk, rows - r);
        job.x = x + r * job.stride * l->item;
        job.y = y + r * job.n;
        (l->pairs ? l->path->gemm_bf16 : l->path->gemm_f32)(&job, begin, end);
    }
}

/* ---- inputs -------------------------------------------------------------------------------- */

typedef struct dx_job {
    layout l;
    const slm_linear_grad *layers;
    const char *const *dy; /* of each layer, as it is multiplied */
    size_t count, m, k;
    float *dx;
    bool add, by_rows;
    char *scratch; /* per thread: panels, then a block of a quantised weight, widened */
    size_t panels_bytes, scratch_bytes;
} dx_job;

/* 16 outputs by up to 16 columns of a packed block, to f32. */
static void turn_wide(slm_dtype dtype, const char *block, size_t columns, float *out)
{
    const float *wide = (const float *)(const void *)block;
    const uint16_t *half = (const uint16_t *)(const void *)block;
    memset(out, 0, BLOCK * BLOCK * sizeof *out);
    for (size_t c = 0; c < columns; c++)
        for (size_t o = 0; o < BLOCK; o++)
            out[o * BLOCK + c] = dtype == SLM_F32
                                     ? wide[c * BLOCK + o]
                                     : slm_bf16_to_f32(half[(c / 2 * BLOCK + o) * 2 + c % 2]);
}

/* Columns of `panels` panels from `first` on, of one block of 16 outputs, to their place in each. */
static void turn_block(const dx_job *job, const slm_weight *w, size_t block, size_t first,
                       size_t panels, size_t step, char *out, char *wide)
{
    const layout *l = &job->l;
    const char *from = w->data.at + block * w->block_bytes;
    slm_dtype dtype = w->dtype;
    size_t at = first; /* panel at which `from` begins */
    if (w->quant.super > 0) {
        const size_t columns = least(w->k, (first + panels) * BLOCK) - first * BLOCK;
        const size_t group = first * BLOCK / SLM_KERNEL_GROUP;
        (w->quant.pairs ? slm_cpu__quant_pairs : l->path->quant)(
            &w->quant, from, group, group + columns / SLM_KERNEL_GROUP, w->block_bytes, wide);
        if (!w->quant.pairs) dtype = SLM_F32;
        from = wide;
    } else {
        at = 0;
    }
    /* 16 columns of a block are 1 KiB of f32, 512 bytes of pairs. */
    const size_t bytes = BLOCK * BLOCK * slm_kernel__item_bytes(dtype);
    for (size_t p = first; p < first + panels; p++, out += step) {
        const size_t columns = least(BLOCK, w->k - p * BLOCK);
        if (l->pairs)
            slm_cpu__pairs_turn(from + (p - at) * bytes, columns, out);
        else
            turn_wide(dtype, from + (p - at) * bytes, columns, (float *)(void *)out);
    }
}

/* Rows [row, row + rows) of panels [begin, end) of one layer. */
static void dx_layer(const dx_job *job, size_t index, size_t row, size_t rows, size_t begin,
                     size_t end, char *scratch)
{
    const layout *l = &job->l;
    const slm_weight *w = job->layers[index].w;
    for (size_t from = 0; from < w->n; from += SLICE) {
        const size_t steps = least(SLICE, w->n - from), bytes = panel_bytes(l, steps);
        const size_t group = group_panels(l, steps);
        slm_cpu__gemm gemm = {.w = scratch, .cached = true, .m = rows, .n = job->k, .k = steps};
        gemm.y = job->dx + row * job->k;
        gemm.x = job->dy[index] + (row * w->n + from) * l->item;
        gemm.block_bytes = bytes;
        gemm.stride = w->n;
        gemm.add = job->add || index > 0 || from > 0;
        for (size_t p = begin; p < end; p += group) {
            const size_t panels = least(group, end - p);
            for (size_t b = 0; b * BLOCK < steps; b++)
                turn_block(job, w, from / BLOCK + b, p, panels, bytes,
                           scratch + b * BLOCK * BLOCK * l->item, scratch + job->panels_bytes);
            gemm.first = p;
            multiply(l, gemm, p, p + panels);
        }
    }
}

static void dx_range(void *context, size_t begin, size_t end, int thread)
{
    const dx_job *job = context;
    char *scratch = job->scratch + (size_t)thread * job->scratch_bytes;
    const size_t panels = slm_kernel__blocks(job->k);
    for (size_t i = 0; i < job->count; i++) {
        if (job->by_rows)
            dx_layer(job, i, begin, end - begin, 0, panels, scratch);
        else
            dx_layer(job, i, 0, job->m, 2 * begin, least(2 * end, panels), scratch);
    }
}

enum { MOST_LAYERS = 8 };

void slm_cpu__linear_dx(slm_device *device, slm_mem dx, const slm_linear_grad *layers, size_t count,
                        size_t m, bool add)
{
    const slm_weight *w = layers[0].w;
    const size_t threads = (size_t)device->thread_count, panels = slm_kernel__blocks(w->k);
    const char *dy[MOST_LAYERS];
    dx_job job = {.l = layout_of(device, w->dtype), .layers = layers, .dy = dy, .count = count};
    const bool widens = w->dtype == SLM_BF16 && !job.l.pairs;
    size_t work = 0, wide_bytes = 0, group_bytes = 0;
    SLM_ASSERT(count >= 1 && count <= MOST_LAYERS);
    job.m = m, job.k = w->k, job.dx = slm_kernel__f32(dx), job.add = add;
    job.by_rows = m >= MANY_ROWS * threads || (panels < 4 * threads && m >= 16 * threads);
    for (size_t i = 0; i < count; i++) {
        const size_t n = layers[i].w->n, steps = least(SLICE, n);
        const size_t group = least(group_panels(&job.l, steps), slm_kernel__round_up(panels, 2));
        SLM_ASSERT(layers[i].w->k == w->k && layers[i].w->dtype == w->dtype);
        const size_t bytes = group * panel_bytes(&job.l, steps);
        if (bytes > job.panels_bytes) job.panels_bytes = bytes;
        if (layers[i].w->quant.super > 0 && group * BLOCK * BLOCK * sizeof(float) > group_bytes)
            group_bytes = group * BLOCK * BLOCK * sizeof(float);
        if (widens) wide_bytes += slm_kernel__round_up(m * n * sizeof(float), 64);
        work += (m + 4) * n * w->k / 32;
    }
    job.scratch_bytes = job.panels_bytes + group_bytes;
    char *scratch = slm_kernel__scratch(device, wide_bytes + threads * job.scratch_bytes);
    job.scratch = scratch + wide_bytes;
    for (size_t i = 0; i < count; i++) {
        dy[i] = layers[i].dy.at;
        if (!widens) continue;
        const size_t items = m * layers[i].w->n;
        slm_cpu__widen(device, job.l.path->rows, (float *)(void *)scratch,
                       (const uint16_t *)(const void *)dy[i], items);
        dy[i] = scratch;
        scratch += slm_kernel__round_up(items * sizeof(float), 64);
    }
    if (job.by_rows)
        slm_kernel__run(device, m, 32, work, dx_range, &job);
    else
        slm_kernel__run(device, (panels + 1) / 2, 1, work, dx_range, &job);
}

/* ---- weights ------------------------------------------------------------------------------- */

/* One product: out[a_columns, b_columns] += a^T b over some rows of two matrices. */
typedef struct product {
    const char *a, *b;                     /* row-major */
    size_t a_columns, a_stride, b_columns; /* b's stride is its columns */
    float *dw;
    bool swapped; /* dw is out^T */
    char *turned; /* a^T, [a_columns, stride] as it is multiplied */
} product;

typedef struct dw_job {
    layout l;
    product products[MOST_LAYERS];
    size_t count, first, rows, stride;
    char *scratch; /* per thread: panels, then a product that is swapped */
    size_t panels_bytes, scratch_bytes;
} dw_job;

static size_t turned_bytes(const dw_job *job, const product *p)
{
    return slm_kernel__round_up(p->a_columns, BLOCK) * job->stride * job->l.item;
}

/* Blocks [begin, end) of 16 columns of all products' a, one behind the other. */
static void turn_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const dw_job *job = context;
    const layout *l = &job->l;
    size_t before = 0;
    for (size_t i = 0; i < job->count; before += slm_kernel__blocks(job->products[i++].a_columns)) {
        const product *p = &job->products[i];
        const size_t blocks = slm_kernel__blocks(p->a_columns);
        for (size_t b = 0; b < blocks; b++) {
            if (before + b < begin || before + b >= end) continue;
            const size_t column = b * BLOCK, columns = least(BLOCK, p->a_columns - column);
            const char *from = p->a + (job->first * p->a_stride + column) * l->from;
            char *to = p->turned + column * job->stride * l->item;
            if (l->pairs) {
                slm_cpu__pairs_columns((const uint16_t *)(const void *)from, p->a_stride, job->rows,
                                       columns, (uint16_t *)(void *)to, job->stride);
                continue;
            }
            for (size_t r = 0; r < job->rows; r++)
                for (size_t c = 0; c < columns; c++)
                    ((float *)(void *)to)[c * job->stride + r] =
                        number_at(l, from, r * p->a_stride + c);
        }
    }
}

static void pack_panel(const dw_job *job, const product *p, size_t panel, char *out)
{
    const layout *l = &job->l;
    const size_t columns = least(BLOCK, p->b_columns - panel * BLOCK);
    const char *from = p->b + (job->first * p->b_columns + panel * BLOCK) * l->from;
    if (l->pairs) {
        slm_cpu__pairs_panel((const uint16_t *)(const void *)from, p->b_columns, job->rows, columns,
                             out);
        return;
    }
    float *to = (float *)(void *)out;
    for (size_t r = 0; r < job->rows; r++, to += BLOCK)
        for (size_t c = 0; c < BLOCK; c++)
            to[c] = c < columns ? number_at(l, from, r * p->b_columns + c) : 0.0f;
}

/* dw of columns [first, end) += what stands across in out[a_columns, b_columns]. */
static void add_swapped(const product *p, const float *out, size_t first, size_t end)
{
    for (size_t j = first; j < end; j++)
        for (size_t i = 0; i < p->a_columns; i++)
            p->dw[j * p->a_columns + i] += out[i * p->b_columns + j];
}

static void product_panels(const dw_job *job, const product *p, size_t begin, size_t end,
                           char *scratch, bool packed)
{
    const layout *l = &job->l;
    const size_t bytes = panel_bytes(l, job->rows);
    if (!packed)
        for (size_t panel = begin; panel < end; panel++)
            pack_panel(job, p, panel, scratch + (panel - begin) * bytes);
    slm_cpu__gemm gemm = {.x = p->turned,
                          .w = scratch,
                          .first = begin,
                          .cached = true,
                          .m = p->a_columns,
                          .n = p->b_columns,
                          .k = job->rows,
                          .block_bytes = bytes,
                          .stride = job->stride,
                          .y = p->dw,
                          .add = true};
    if (!p->swapped) {
        multiply(l, gemm, begin, end);
        return;
    }
    gemm.y = (float *)(void *)(scratch + job->panels_bytes);
    gemm.add = false;
    multiply(l, gemm, begin, end);
    add_swapped(p, gemm.y, begin * BLOCK, least(end * BLOCK, p->b_columns));
}

/* Panels [begin, end) of all products that are not swapped (they share b), then of the others. */
static void dw_range(void *context, size_t begin, size_t end, int thread)
{
    const dw_job *job = context;
    char *scratch = job->scratch + (size_t)thread * job->scratch_bytes;
    const size_t group = group_panels(&job->l, job->rows);
    const product *shared = NULL;
    size_t before = 0;
    for (size_t i = 0; i < job->count; i++) {
        const product *p = &job->products[i];
        if (!p->swapped && shared != NULL) continue;
        if (!p->swapped) shared = p;
        const size_t panels = slm_kernel__blocks(p->b_columns);
        const size_t from = begin > before ? begin - before : 0;
        const size_t to = end > before ? least(end - before, panels) : 0;
        for (size_t at = from; at < to; at += group) {
            const size_t stop = least(at + group, to);
            product_panels(job, p, at, stop, scratch, false);
            for (size_t j = i + 1; !p->swapped && j < job->count; j++)
                if (!job->products[j].swapped)
                    product_panels(job, &job->products[j], at, stop, scratch, true);
        }
        before += panels;
    }
}

typedef struct bias_job {
    layout l;
    const slm_linear_grad *layer;
    size_t m;
} bias_job;

static void bias_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const bias_job *job = context;
    enum { COLUMNS = 64 };
    for (size_t first = begin; first < end; first += COLUMNS) {
        const size_t columns = least(COLUMNS, end - first);
        double sums[COLUMNS] = {0.0};
        for (size_t i = 0; i < job->m; i++)
            for (size_t c = 0; c < columns; c++)
                sums[c] +=
                    (double)number_at(&job->l, job->layer->dy.at, i * job->layer->n + first + c);
        for (size_t c = 0; c < columns; c++)
            slm_kernel__f32(job->layer->dbias)[first + c] += (float)sums[c];
    }
}

/* All products of a job over m rows. */
static void dw_run(slm_device *device, dw_job *job, size_t m)
{
    const size_t threads = (size_t)device->thread_count;
    size_t turned = 0, turn_blocks = 0, panels = 0, most_swapped = 0, items = 0;
    bool shared = false;
    if (job->count == 0 || m == 0) return;
    job->first = 0, job->rows = least(ROWS, m);
    job->stride = slm_kernel__round_up(job->rows, 32);
    for (size_t i = 0; i < job->count; i++) {
        const product *p = &job->products[i];
        turned += turned_bytes(job, p);
        turn_blocks += slm_kernel__blocks(p->a_columns);
        items += p->a_columns * p->b_columns;
        if (p->swapped && p->a_columns * p->b_columns > most_swapped)
            most_swapped = p->a_columns * p->b_columns;
        if (p->swapped || !shared) panels += slm_kernel__blocks(p->b_columns);
        if (!p->swapped) shared = true;
    }
    job->panels_bytes = group_panels(&job->l, job->rows) * panel_bytes(&job->l, job->rows);
    job->scratch_bytes = job->panels_bytes + slm_kernel__round_up(most_swapped * sizeof(float), 64);
    char *at = slm_kernel__scratch(device, turned + threads * job->scratch_bytes);
    for (size_t i = 0; i < job->count; at += turned_bytes(job, &job->products[i++]))
        job->products[i].turned = at;
    job->scratch = at;
    for (; job->first < m; job->first += ROWS) {
        job->rows = least(ROWS, m - job->first);
        slm_kernel__run(device, turn_blocks, 1, job->rows * turn_blocks * BLOCK, turn_range, job);
        slm_kernel__run(device, panels, 1, job->rows * items / 32 + job->rows * panels * BLOCK,
                        dw_range, job);
    }
}

/* dW of a layer with very many outputs, some of them after the other, so that what is transposed
 * stays small. */
static void dw_wide(slm_device *device, const slm_linear_grad *layer, slm_mem x, const layout *l,
                    size_t m, size_t k)
{
    for (size_t first = 0; first < layer->n; first += WIDE) {
        dw_job job = {.l = *l, .count = 1};
        job.products[0] = (product){.a = layer->dy.at + first * l->from,
                                    .b = x.at,
                                    .a_columns = least(WIDE, layer->n - first),
                                    .a_stride = layer->n,
                                    .b_columns = k,
                                    .dw = slm_kernel__f32(layer->dw) + first * k};
        dw_run(device, &job, m);
    }
}

void slm_cpu__linear_dw(slm_device *device, const slm_linear_grad *layers, size_t count, slm_mem x,
                        slm_dtype act, size_t m, size_t k)
{
    dw_job job = {.l = layout_of(device, act)};
    SLM_ASSERT(count <= MOST_LAYERS);
    for (size_t i = 0; i < count; i++) {
        const slm_linear_grad *layer = &layers[i];
        bias_job bias = {job.l, layer, m};
        if (layer->dbias.at != NULL)
            slm_kernel__run(device, layer->n, 64, m * layer->n, bias_range, &bias);
        if (layer->dw.at == NULL) continue;
        const bool swapped = k <= NARROW && k * 4 <= layer->n;
        if (!swapped && layer->n > WIDE) {
            dw_wide(device, layer, x, &job.l, m, k);
            continue;
        }
        job.products[job.count++] = (product){.a = swapped ? x.at : layer->dy.at,
                                              .b = swapped ? layer->dy.at : x.at,
                                              .a_columns = swapped ? k : layer->n,
                                              .a_stride = swapped ? k : layer->n,
                                              .b_columns = swapped ? layer->n : k,
                                              .dw = slm_kernel__f32(layer->dw),
                                              .swapped = swapped};
    }
    dw_run(device, &job, m);
}
