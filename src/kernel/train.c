/* train.c: parts of training that are the same wherever buffers are host memory: dropout, gradients of
 * rows that were looked up, sums of squares, and the loss over the head.
 *
 * head_loss walks the rows in chunks, so that logits of a few dozen rows exist at a time: logits by
 * the path's own linear, log-probabilities by the function that sampling uses (sample.c), then
 * dL/dlogits = coefficient / T * (1[target] - p), which goes back through the head by linear_dx (and
 * linear_dw). The size of a chunk depends on the vocabulary alone.
 *
 * Dropout (Srivastava et al. 2014) is keyed by (seed, step, layer, element) with Philox (base/random):
 * backward draws the same numbers again instead of keeping a mask. A number has 16 bits; eight of them
 * come from one block. */
#include "kernel/kernel_internal.h"

#include <math.h>
#include <string.h>

double slm_kernel__power(double x, int64_t n)
{
    double result = 1.0;
    for (; n > 0; n >>= 1, x *= x)
        if (n & 1) result *= x;
    return result;
}

/* ---- dropout ------------------------------------------------------------------------------- */

typedef struct dropout_job {
    slm_mem y, x;
    slm_dtype act;
    const slm_dropout *dropout;
    uint64_t first;
    uint32_t threshold; /* dropped below */
    float scale;
    bool add;
} dropout_job;

static void dropout_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const dropout_job *job = context;
    const slm_dropout *d = job->dropout;
    const uint32_t key[2] = {(uint32_t)d->seed, (uint32_t)(d->seed >> 32)};
    uint32_t words[4] = {0, 0, 0, 0};
    for (size_t i = begin; i < end; i++) {
        const uint64_t element = job->first + i;
        if (i == begin || element % 8 == 0) {
            const uint32_t counter[4] = {(uint32_t)(element / 8), (uint32_t)(element / 8 >> 32),
                                         d->step, d->layer};
            slm_random_philox(counter, key, words);
        }
        const uint32_t random = words[element % 8 / 2] >> element % 2 * 16 & 0xffff;
        const float keep = random < job->threshold ? 0.0f : job->scale;
        if (job->act == SLM_BF16)
            slm_kernel__bf16(job->y)[i] =
                slm_bf16_from_f32(keep * slm_bf16_to_f32(slm_kernel__bf16(job->x)[i]));
        else
            slm_kernel__f32(job->y)[i] =
                job->add ? slm_kernel__f32(job->y)[i] + keep * slm_kernel__f32(job->x)[i]
                         : keep * slm_kernel__f32(job->x)[i];
    }
}

void slm_kernel__dropout(slm_device *device, slm_mem y, slm_mem x, slm_dtype act,
                         const slm_dropout *dropout, uint64_t first, size_t items, bool add)
{
    SLM_ASSERT(dropout->p >= 0.0f && dropout->p < 1.0f && (act == SLM_F32 || !add));
    dropout_job job = {.y = y, .x = x, .act = act, .dropout = dropout, .first = first, .add = add};
    job.threshold = (uint32_t)((double)dropout->p * 65536.0);
    job.scale = (float)(1.0 / (1.0 - job.threshold / 65536.0)); /* of what is dropped indeed */
    slm_kernel__run(device, items, 64, items * 8, dropout_range, &job);
}

/* ---- embedding ----------------------------------------------------------------------------- */

typedef struct embed_job {
    float *dw;
    const float *dy;
    const int32_t *ids;
    size_t m, d;
} embed_job;

/* Columns [begin, end) of all rows: two rows may have the same id. */
static void embed_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const embed_job *job = context;
    for (size_t i = 0; i < job->m; i++) {
        float *to = job->dw + (size_t)job->ids[i] * job->d;
        const float *from = job->dy + i * job->d;
        for (size_t j = begin; j < end; j++)
            to[j] += from[j];
    }
}

void slm_kernel__embed_backward(slm_device *device, slm_mem dw, slm_mem dy, const int32_t *ids,
                                size_t m, size_t d)
{
    embed_job job = {slm_kernel__f32(dw), slm_kernel__f32(dy), ids, m, d};
    slm_kernel__run(device, d, 16, m * d, embed_range, &job);
}

/* ---- sums ---------------------------------------------------------------------------------- */

enum { SUM_ITEMS = 8192, SUM_LANES = 8 };

typedef struct sum_job {
    const float *x;
    size_t items;
    double *sums; /* of each SUM_ITEMS */
} sum_job;

static void sum_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const sum_job *job = context;
    for (size_t b = begin; b < end; b++) {
        const float *x = job->x + b * SUM_ITEMS;
        const size_t left = job->items - b * SUM_ITEMS, n = left < SUM_ITEMS ? left : SUM_ITEMS;
        double lanes[SUM_LANES] = {0.0};
        size_t i = 0;
        for (; i + SUM_LANES <= n; i += SUM_LANES)
            for (size_t l = 0; l < SUM_LANES; l++)
                lanes[l] += (double)x[i + l] * (double)x[i + l];
        for (; i < n; i++)
            lanes[0] += (double)x[i] * (double)x[i];
        double sum = 0.0;
        for (size_t l = 0; l < SUM_LANES; l++)
            sum += lanes[l];
        job->sums[b] = sum;
    }
}

void slm_kernel__sum_squares(slm_device *device, slm_mem x, size_t items, double *out)
{
    const size_t blocks = (items + SUM_ITEMS - 1) / SUM_ITEMS;
    sum_job job = {slm_kernel__f32(x), items, NULL};
    job.sums = (double *)(void *)slm_kernel__scratch(device, (blocks + 1) * sizeof(double));
    slm_kernel__run(device, blocks, 1, items / 4, sum_range, &job);
    double total = 0.0;
    for (size_t b = 0; b < blocks; b++)
        total += job.sums[b];
    *out = total;
}

/* One process is one rank. */
slm_status slm_kernel__all_reduce(slm_device *device, slm_mem x, size_t items, slm_error *err)
{
    (void)device, (void)x, (void)items, (void)err;
    return SLM_OK;
}

/* ---- the loss over the head ---------------------------------------------------------------- */

enum {
    CHUNK_LOGITS = 1 << 23,
    CHUNK_LEAST = 16,
    CHUNK_MOST = 256,
    HELD_LOGITS =
        1 << 25 /* whose gradient is held until dW is added to: every time moves all of it */
};

typedef struct head_job {
    const slm_head_loss *loss;
    const slm_kernel__row_ops *ops;
    const float *logits;
    char *gradient; /* or NULL */
    size_t first;   /* row of the chunk */
} head_job;

static void head_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const head_job *job = context;
    const slm_head_loss *loss = job->loss;
    const size_t vocab = loss->head->n;
    for (size_t i = begin; i < end; i++) {
        const size_t row = job->first + i;
        char *gradient = job->gradient;
        if (gradient != NULL) gradient += i * vocab * slm_kernel__item_bytes(loss->head->dtype);
        slm_kernel__loss_row(
            job->ops, job->logits + i * vocab, vocab, loss->temperature, loss->targets[row],
            &loss->log_prob[row], loss->entropy == NULL ? NULL : &loss->entropy[row],
            loss->coefficient == NULL ? 0.0f : loss->coefficient[row], loss->head->dtype, gradient);
    }
}

static size_t chunk_rows(size_t vocab, size_t m)
{
    size_t rows = CHUNK_LOGITS / vocab / CHUNK_LEAST * CHUNK_LEAST;
    if (rows < CHUNK_LEAST) rows = CHUNK_LEAST;
    if (rows > CHUNK_MOST) rows = CHUNK_MOST;
    return rows < m ? rows : m;
}

static bool any_coefficient(const slm_head_loss *loss, size_t first, size_t rows)
{
    for (size_t i = first; loss->coefficient != NULL && i < first + rows; i++)
        if (loss->coefficient[i] != 0.0f) return true;
    return false;
}

void slm_kernel__head_loss(slm_device *device, const slm_kernel__row_ops *ops,
                           const slm_head_loss *loss)
{
    const slm_kernels *table = device->table;
    const slm_weight *head = loss->head;
    const size_t vocab = head->n, k = head->k, item = slm_kernel__item_bytes(head->dtype);
    if (loss->m == 0) return;
    const size_t most = chunk_rows(vocab, loss->m);
    const size_t logit_bytes = slm_kernel__round_up(most * vocab * sizeof(float), 64);
    size_t room = most; /* rows of gradient */
    while (loss->dw.at != NULL && room < loss->m && (room + most) * vocab <= HELD_LOGITS)
        room += most;
    slm_kernel__reserve(device, &device->head, logit_bytes + room * vocab * item);
    const slm_mem logits = device->head.mem, held = slm_mem_at(logits, logit_bytes);
    size_t begin = 0; /* row of the first gradient that is held, up to `first` */
    for (size_t first = 0; first < loss->m; first += most) {
        const size_t rows = loss->m - first < most ? loss->m - first : most;
        const slm_mem x = slm_mem_at(loss->x, first * k * item);
        const bool back = any_coefficient(loss, first, rows);
        const slm_linear forward = {logits, head, {NULL}};
        const slm_mem gradient = slm_mem_at(held, (first - begin) * vocab * item);
        table->linear(device, &forward, 1, x, rows, false, NULL, 0);
        head_job job = {loss, ops, slm_kernel__f32(logits), back ? gradient.at : NULL, first};
        slm_kernel__run(device, rows, 1, rows * vocab, head_range, &job);
        size_t end = first; /* of the rows whose gradient is known */
        if (back) {
            const slm_linear_grad layer = {gradient, head, {NULL}, {NULL}, vocab};
            table->linear_dx(device, slm_mem_at(loss->dx, first * k * sizeof(float)), &layer, 1,
                             rows, false);
            end += rows;
        } else if (loss->coefficient != NULL) {
            table->zero(device, slm_mem_at(loss->dx, first * k * sizeof(float)),
                        rows * k * sizeof(float));
        }
        if (back && loss->dw.at != NULL && end < loss->m && end + most - begin <= room) continue;
        if (loss->dw.at != NULL && end > begin) {
            const slm_linear_grad all = {held, head, loss->dw, {NULL}, vocab};
            table->linear_dw(device, &all, 1, slm_mem_at(loss->x, begin * k * item), head->dtype,
                             end - begin, k);
        }
        begin = first + rows;
    }
}
