/* optimiser.c: AdamW (Loshchilov and Hutter 2019) over all parameters, the norm of the gradient
 * (Pascanu et al. 2013) and the rate's schedule: linear warm-up, then constant, linear or half a
 * cosine (Loshchilov and Hutter 2017) down to 0. Moments are f32 on the device. */
#include <math.h>
#include <stdlib.h>

#include "train_internal.h"

struct train__optimiser {
    slm_model *model;
    slm_device *device;
    slm_training *training;
    slm_recipe_optimiser settings;
    int64_t steps;
    slm_parameter *parameters;
    size_t count;
    slm_mem *first, *second;
};

static size_t items_of(const slm_parameter *p)
{
    return p->rows * p->columns;
}

slm_status train__optimiser_new(slm_model *model, slm_training *training,
                                const slm_recipe_optimiser *settings, int64_t steps,
                                train__optimiser **out, slm_error *err)
{
    slm_status status = SLM_OK;
    train__optimiser *o = calloc(1, sizeof *o);
    if (!o) slm_out_of_memory(sizeof *o);
    o->model = model;
    o->device = slm_model_device(model);
    o->training = training;
    o->settings = *settings;
    o->steps = steps;
    o->parameters = slm_training_parameters(training, &o->count);
    o->first = calloc(2 * o->count, sizeof *o->first);
    if (!o->first) slm_out_of_memory(2 * o->count * sizeof *o->first);
    o->second = o->first + o->count;
    for (size_t i = 0; i < o->count; i++) {
        const size_t bytes = items_of(&o->parameters[i]) * sizeof(float);
        SLM_TRY_OUT(slm_device_alloc(o->device, bytes, &o->first[i], err));
        SLM_TRY_OUT(slm_device_alloc(o->device, bytes, &o->second[i], err));
    }
    *out = o;
    o = NULL;
out:
    train__optimiser_free(o);
    return status;
}

void train__optimiser_free(train__optimiser *o)
{
    if (!o) return;
    for (size_t i = 0; i < 2 * o->count; i++)
        slm_device_free(o->device, o->first[i]);
    free(o->first);
    free(o);
}

double train__rate(const slm_recipe_optimiser *s, int64_t step, int64_t steps)
{
    const double warm = ceil(s->warmup * (double)steps), at = (double)step;
    if (at <= warm) return s->rate * at / warm;
    if (s->schedule[0] == 'c' && s->schedule[2] == 'n') return s->rate; /* constant */
    const double share = (at - warm) / fmax(1.0, (double)steps - warm + 1.0);
    if (s->schedule[0] == 'l') return s->rate * (1.0 - share);
    return s->rate * 0.5 * (1.0 + cos(3.14159265358979323846 * share));
}

static double grad_norm(const train__optimiser *o)
{
    const slm_kernels *kernels = slm_device_table(o->device);
    double sum = 0, one;
    for (size_t i = 0; i < o->count; i++) {
        kernels->sum_squares(o->device, o->parameters[i].grad, items_of(&o->parameters[i]), &one);
        sum += one;
    }
    return sqrt(sum);
}

void train__optimiser_step(train__optimiser *o, int64_t step, double *norm)
{
    const slm_recipe_optimiser *s = &o->settings;
    const slm_kernels *kernels = slm_device_table(o->device);
    *norm = grad_norm(o);
    const double scale = s->clip > 0 && *norm > s->clip ? s->clip / *norm : 1.0;
    for (size_t i = 0; i < o->count; i++) {
        const slm_parameter *p = &o->parameters[i];
        const slm_adamw update = {.master = p->value,
                                  .first = o->first[i],
                                  .second = o->second[i],
                                  .grad = p->grad,
                                  .w = p->weight,
                                  .items = items_of(p),
                                  .rate = (float)train__rate(s, step, o->steps),
                                  .beta1 = (float)s->beta1,
                                  .beta2 = (float)s->beta2,
                                  .eps = (float)s->eps,
                                  .decay = p->rows > 1 ? (float)s->decay : 0.0f,
                                  .grad_scale = (float)scale,
                                  .step = step};
        kernels->adamw(o->device, &update);
    }
    slm_training_clear_grads(o->training);
    kernels->sync(o->device);
}

/* ---- files --------------------------------------------------------------------------------- */

static void name_moment(char out[192], const train__optimiser *o, size_t index)
{
    snprintf(out, 192, "%s.%s", o->parameters[index % o->count].name,
             index < o->count ? "first" : "second");
}

slm_status train__optimiser_save(train__optimiser *o, const char *path, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_arena arena = {0};
    slm_tensor_writer *file = NULL;
    size_t most = 1;
    slm_tensor *list = slm_arena_array(&arena, 2 * o->count, sizeof *list);
    for (size_t i = 0; i < 2 * o->count; i++) {
        const slm_parameter *p = &o->parameters[i % o->count];
        char name[192];
        name_moment(name, o, i);
        list[i] = (slm_tensor){.name = slm_arena_strdup(&arena, name),
                               .dtype = SLM_F32,
                               .dims = 2,
                               .shape = {p->rows, p->columns}};
        if (items_of(p) > most) most = items_of(p);
    }
    float *values = slm_arena_array(&arena, most, sizeof *values);
    SLM_TRY_OUT(slm_safetensors_create(path, list, 2 * o->count, NULL, 0, &file, err));
    for (size_t i = 0; i < 2 * o->count; i++) {
        const size_t items = items_of(&o->parameters[i % o->count]);
        slm_device_download(o->device, values, o->first[i], items * sizeof *values);
        SLM_TRY_OUT(slm_tensor_writer_put(file, values, items, err));
    }
    status = slm_tensor_writer_finish(file, err);
    file = NULL;
out:
    slm_tensor_writer_abandon(file);
    slm_arena_free(&arena);
    return status;
}

slm_status train__optimiser_load(train__optimiser *o, const char *path, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tensors *file = NULL;
    SLM_TRY(slm_tensors_open(path, &file, err));
    for (size_t i = 0; i < 2 * o->count; i++) {
        char name[192];
        name_moment(name, o, i);
        const slm_parameter *p = &o->parameters[i % o->count];
        const slm_tensor *tensor = slm_tensors_find(file, name);
        if (!tensor || tensor->dtype != SLM_F32 || slm_tensor_items(tensor) != items_of(p)) {
            status =
                slm_error_set(err, SLM_ERR_FORMAT,
                              "%s: %s is missing or has another shape; the checkpoint was made "
                              "with other settings",
                              path, name);
            break;
        }
        slm_device_upload(o->device, o->first[i], tensor->data, tensor->bytes);
    }
    slm_tensors_close(file);
    return status;
}
