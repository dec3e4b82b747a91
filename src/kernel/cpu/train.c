/* train.c: the division among threads of gradients of rows, of the optimiser and of the loss over the
 * head, on the CPU's fast paths. The arithmetic is in gradient.h and rows.h; linear layers have a file
 * of their own (backward.c), and so has attention. */
#include "kernel/cpu/cpu.h"

typedef struct norm_job {
    const slm_cpu__rows *rows;
    float *dx, *dweight, *inverse;
    const float *dy, *x, *weight;
    size_t m, d;
    float eps;
    bool add;
} norm_job;

static void norm_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const norm_job *job = context;
    const size_t at = begin * job->d;
    job->rows->rms_norm_backward(job->dx + at, job->dy + at, job->x + at, job->weight, end - begin,
                                 job->d, job->eps, job->add);
}

static void inverse_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const norm_job *job = context;
    job->rows->inverse_rms(job->inverse + begin, job->x + begin * job->d, end - begin, job->d,
                           job->eps);
}

static void norm_weight_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const norm_job *job = context;
    job->rows->norm_weight_backward(job->dweight, job->dy, job->x, job->inverse, job->m, job->d,
                                    begin, end);
}

void slm_cpu__rms_norm_backward(slm_device *device, slm_mem dx, slm_mem dweight, slm_mem dy,
                                slm_mem x, slm_mem weight, size_t m, size_t d, float eps, bool add)
{
    norm_job job = {.rows = slm_cpu__path_of(device)->rows,
                    .dx = slm_kernel__f32(dx),
                    .dy = slm_kernel__f32(dy),
                    .x = slm_kernel__f32(x),
                    .weight = slm_kernel__f32(weight),
                    .m = m,
                    .d = d,
                    .eps = eps,
                    .add = add};
    if (dweight.at != NULL) { /* first: dx may be dy */
        job.dweight = slm_kernel__f32(dweight);
        job.inverse = (float *)(void *)slm_kernel__scratch(device, m * sizeof(float));
        slm_kernel__run(device, m, 1, m * d / 4, inverse_range, &job);
        slm_kernel__run(device, d, 16, m * d / 4, norm_weight_range, &job);
    }
    slm_kernel__run(device, m, 1, m * d / 2, norm_range, &job);
}

typedef struct swiglu_job {
    const slm_cpu__rows *rows;
    char *dgate, *dup;
    slm_dtype act;
    const float *dy, *gate, *up;
} swiglu_job;

static void swiglu_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const swiglu_job *job = context;
    const size_t at = begin * slm_kernel__item_bytes(job->act);
    job->rows->swiglu_backward(job->dgate + at, job->dup + at, job->act, job->dy + begin,
                               job->gate + begin, job->up + begin, end - begin);
}

void slm_cpu__swiglu_backward(slm_device *device, slm_mem dgate, slm_mem dup, slm_dtype act,
                              slm_mem dy, slm_mem gate, slm_mem up, size_t items)
{
    swiglu_job job = {
        slm_cpu__path_of(device)->rows, dgate.at,           dup.at, act, slm_kernel__f32(dy),
        slm_kernel__f32(gate),          slm_kernel__f32(up)};
    slm_kernel__run(device, items, 64, items * 2, swiglu_range, &job);
}

void slm_cpu__head_loss(slm_device *device, const slm_head_loss *loss)
{
    slm_kernel__head_loss(device, &slm_cpu__path_of(device)->rows->logits, loss);
}

typedef struct adamw_job {
    const slm_cpu__rows *rows;
    const slm_adamw *adamw;
    float first_rest, second_rest;
} adamw_job;

static void adamw_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const adamw_job *job = context;
    job->rows->adamw(job->adamw, job->first_rest, job->second_rest, begin, end);
}

void slm_cpu__adamw(slm_device *device, const slm_adamw *adamw)
{
    const double first = 1.0 - slm_kernel__power((double)adamw->beta1, adamw->step);
    const double second = 1.0 - slm_kernel__power((double)adamw->beta2, adamw->step);
    adamw_job job = {slm_cpu__path_of(device)->rows, adamw, (float)(1.0 / first),
                     (float)(1.0 / second)};
    slm_kernel__run(device, adamw->items, 64, adamw->items * 2, adamw_range, &job);
    if (adamw->w != NULL) slm_kernel__weight_write(device, adamw->w, adamw->master);
}

typedef struct scale_job {
    const slm_cpu__rows *rows;
    float *y;
    const float *x;
    float scale;
} scale_job;

static void scale_range(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const scale_job *job = context;
    job->rows->add_scaled(job->y + begin, job->x + begin, job->scale, end - begin);
}

void slm_cpu__add_scaled(slm_device *device, slm_mem y, slm_mem x, float scale, size_t items)
{
    scale_job job = {slm_cpu__path_of(device)->rows, slm_kernel__f32(y), slm_kernel__f32(x), scale};
    slm_kernel__run(device, items, 64, items / 4, scale_range, &job);
}
