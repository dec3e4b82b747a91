/* weight.c: packing a file's matrix into the device's layout, once.
 *
 * The layout decides the numerics' cost: with outputs in blocks of 16 and pairs of k side by side
 * ([n/16][k/2][16][2] in bf16), one 64-byte vector holds one step of k for 16 outputs, so that each
 * output has one accumulator that runs through k in ascending order, and a block streams from
 * memory in order. The plain C path keeps rows as they are. Quantised weights may be kept as they are
 * (quant.h): panels of 16 outputs again, which the fast paths widen one after the other. */
#include "kernel/kernel_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct pack_job {
    slm_weight *weight;
    const slm_tensor *from;
    float *rows; /* thread_count x k */
} pack_job;

static void store(char *to, size_t index, slm_dtype dtype, float value)
{
    if (dtype == SLM_F32) {
        memcpy(to + index * sizeof(float), &value, sizeof value);
    } else {
        uint16_t half = slm_bf16_from_f32(value);
        memcpy(to + index * sizeof half, &half, sizeof half);
    }
}

static void pack_rows(void *context, size_t begin, size_t end, int thread)
{
    const pack_job *job = context;
    const slm_weight *w = job->weight;
    float *row = job->rows + (size_t)thread * w->k;
    for (size_t r = begin; r < end; r++) {
        slm_tensor_read(job->from, r * w->k, w->k, row);
        if (!w->device->blocked) {
            char *to = w->data.at + r * w->block_bytes;
            for (size_t i = 0; i < w->k; i++)
                store(to, i, w->dtype, row[i]);
            continue;
        }
        char *to = w->data.at + r / SLM_KERNEL_BLOCK * w->block_bytes;
        size_t lane = r % SLM_KERNEL_BLOCK;
        for (size_t i = 0; i < w->k; i++) {
            size_t index = w->dtype == SLM_F32 ? i * SLM_KERNEL_BLOCK + lane
                                               : (i / 2 * SLM_KERNEL_BLOCK + lane) * 2 + i % 2;
            store(to, index, w->dtype, row[i]);
        }
    }
}

static void pack_panels(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const pack_job *job = context;
    const slm_weight *w = job->weight;
    for (size_t panel = begin; panel < end; panel++)
        slm_kernel__quant_pack(&w->quant, job->from, panel, w->data.at + panel * w->block_bytes);
}

void slm_kernel__weight_write(slm_device *device, slm_weight *w, slm_mem master)
{
    const slm_tensor from = {.dtype = SLM_F32, .dims = 2, .shape = {w->n, w->k}, .data = master.at};
    SLM_ASSERT(w->quant.super == 0);
    pack_job job = {w, &from, NULL};
    job.rows = (float *)(void *)slm_kernel__scratch(device, (size_t)device->thread_count * w->k *
                                                                sizeof(float));
    slm_kernel__run(device, w->n, SLM_KERNEL_BLOCK, w->n * w->k, pack_rows, &job);
}

slm_status slm_weight_pack(slm_device *device, slm_dtype from, const void *data, size_t n, size_t k,
                           slm_dtype keep, slm_weight **out, slm_error *err)
{
    const slm_tensor tensor = {.dtype = from, .dims = 2, .shape = {n, k}, .data = data};
    return slm_weight_pack_tensor(device, &tensor, keep, out, err);
}

static slm_status check_tensor(const slm_tensor *tensor, slm_error *err)
{
    SLM_ASSERT(tensor->dims == 2);
    slm_dtype from = tensor->dtype;
    uint64_t n = tensor->shape[0], k = tensor->shape[1];
    if (!slm_dtype_is_weight(from))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "numbers of type %s are no weights that this version can use; convert "
                             "the model to F32, F16 or BF16",
                             slm_dtype_name(from));
    if (n == 0 || k == 0 || n > INT32_MAX || k > INT32_MAX || k % slm_dtype_block_items(from) != 0)
        return slm_error_set(
            err, SLM_ERR_FORMAT,
            "a matrix of %llu x %llu numbers of type %s cannot be used: both sides "
            "must be positive and a row must be whole blocks of %zu",
            (unsigned long long)n, (unsigned long long)k, slm_dtype_name(from),
            slm_dtype_block_items(from));
    return SLM_OK;
}

/* block_bytes and bytes of a weight on a device whose layout is blocked or not. */
static void measure(slm_weight *weight, bool blocked)
{
    const size_t blocks = slm_kernel__blocks(weight->n);
    const size_t item = slm_kernel__item_bytes(weight->dtype);
    if (weight->quant.super > 0) {
        weight->block_bytes = slm_kernel__quant_bytes(&weight->quant, weight->k);
        weight->bytes = blocks * weight->block_bytes;
    } else if (blocked) {
        size_t steps = weight->dtype == SLM_F32 ? weight->k : slm_kernel__round_up(weight->k, 2);
        weight->block_bytes = steps * SLM_KERNEL_BLOCK * item;
        weight->bytes = blocks * weight->block_bytes;
    } else {
        weight->block_bytes = weight->k * item;
        weight->bytes = weight->n * weight->block_bytes;
    }
}

static slm_status pack(slm_device *device, const slm_tensor *tensor, slm_dtype as, bool quantised,
                       slm_weight **out, slm_error *err)
{
    SLM_ASSERT(as == SLM_F32 || as == SLM_BF16);
    SLM_TRY(check_tensor(tensor, err));
    slm_weight *weight = calloc(1, sizeof *weight);
    if (weight == NULL) slm_out_of_memory(sizeof *weight);
    weight->device = device;
    weight->n = (size_t)tensor->shape[0];
    weight->k = (size_t)tensor->shape[1];
    weight->dtype = as;
    const bool pairs = device->pairs && as == SLM_BF16;
    if (!quantised || !slm_kernel__quant_layout(tensor, as, pairs, &weight->quant))
        weight->quant.super = 0;
    measure(weight, device->blocked);
    slm_status status = slm_device_alloc(device, weight->bytes, &weight->data, err);
    if (status != SLM_OK) {
        free(weight);
        return status;
    }
    pack_job job = {weight, tensor, NULL};
    const size_t items = weight->n * weight->k;
    if (weight->quant.super > 0) {
        slm_kernel__run(device, weight->bytes / weight->block_bytes, 1, items, pack_panels, &job);
    } else {
        size_t row_bytes = (size_t)device->thread_count * weight->k * sizeof(float);
        job.rows = malloc(row_bytes);
        if (job.rows == NULL) slm_out_of_memory(row_bytes);
        slm_kernel__run(device, weight->n, SLM_KERNEL_BLOCK, items, pack_rows, &job);
        free(job.rows);
    }
    *out = weight;
    return SLM_OK;
}

slm_status slm_weight_pack_tensor(slm_device *device, const slm_tensor *tensor, slm_dtype keep,
                                  slm_weight **out, slm_error *err)
{
    return pack(device, tensor, keep, false, out, err);
}

slm_status slm_weight_pack_quantised(slm_device *device, const slm_tensor *tensor, slm_dtype as,
                                     slm_weight **out, slm_error *err)
{
    return pack(device, tensor, as, true, out, err);
}

/* The matrix unit leaves the vector units to the widening; on other paths both want the same ones, and
 * from some rows on the widening shows (docs/performance.md). */
bool slm_device_prefers_quantised(const slm_device *device, slm_dtype as)
{
#ifndef SLM_KERNELS_REF_ONLY
    return device->table == &slm_kernel__amx && as == SLM_BF16;
#else
    (void)device, (void)as;
    return false;
#endif
}

/* Three products in the matrix unit cost less than one in the vector units; elsewhere they do not. */
bool slm_device_prefers_split(const slm_device *device)
{
#ifndef SLM_KERNELS_REF_ONLY
    return device->table == &slm_kernel__amx;
#else
    (void)device;
    return false;
#endif
}

size_t slm_weight_packed_bytes(const slm_tensor *tensor, slm_dtype as, bool quantised)
{
    slm_weight weight = {.n = (size_t)tensor->shape[0], .k = (size_t)tensor->shape[1], .dtype = as};
    if (!quantised || !slm_kernel__quant_layout(tensor, as, false, &weight.quant))
        weight.quant.super = 0;
    measure(&weight, true);
    return weight.bytes;
}

void slm_weight_free(slm_weight *weight)
{
    if (weight == NULL) return;
    slm_device_free(weight->device, weight->data);
    free(weight);
}

size_t slm_weight_rows(const slm_weight *weight)
{
    return weight->n;
}

size_t slm_weight_columns(const slm_weight *weight)
{
    return weight->k;
}

slm_dtype slm_weight_dtype(const slm_weight *weight)
{
    return weight->dtype;
}

slm_dtype slm_weight_stored(const slm_weight *weight)
{
    return weight->quant.super > 0 ? weight->quant.dtype : weight->dtype;
}

size_t slm_weight_bytes(const slm_weight *weight)
{
    return weight->bytes;
}
