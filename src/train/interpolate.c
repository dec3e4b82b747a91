/* interpolate.c: weights between the base's and those that training made of them.
 *
 * value = share * trained + (1 - share) * base (WiSE-FT; Wortsman et al. 2022): on the way from the
 * base what was learnt comes sooner than what was known goes. An adapter's part of a matrix is B A,
 * which is 0 in the base; B alone is scaled then. */
#include <stdlib.h>
#include <string.h>

#include "train_internal.h"

static const char A[] = ".lora_A.weight", B[] = ".lora_B.weight";

struct train__base {
    slm_device *device;
    slm_parameter *parameters;
    size_t count;
    slm_mem *values; /* [count] f32; {NULL}s beside an adapter */
};

static size_t items_of(const slm_parameter *p)
{
    return p->rows * p->columns;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

slm_status train__base_new(slm_model *model, slm_training *training, train__base **out,
                           slm_error *err)
{
    slm_status status = SLM_OK;
    train__base *base = calloc(1, sizeof *base);
    if (!base) slm_out_of_memory(sizeof *base);
    base->device = slm_model_device(model);
    base->parameters = slm_training_parameters(training, &base->count);
    base->values = calloc(base->count, sizeof *base->values);
    if (!base->values) slm_out_of_memory(base->count * sizeof *base->values);
    for (size_t i = 0; i < base->count; i++) {
        const slm_parameter *p = &base->parameters[i];
        if (ends_with(p->name, A) || ends_with(p->name, B)) continue;
        SLM_TRY_OUT(
            slm_device_alloc(base->device, items_of(p) * sizeof(float), &base->values[i], err));
        slm_device_table(base->device)
            ->convert(base->device, base->values[i], SLM_F32, p->value, 1.0f, items_of(p));
    }
    *out = base;
    base = NULL;
out:
    train__base_free(base);
    return status;
}

void train__base_free(train__base *base)
{
    if (!base) return;
    for (size_t i = 0; i < base->count; i++)
        slm_device_free(base->device, base->values[i]);
    free(base->values);
    free(base);
}

void train__interpolate(const train__base *base, double share)
{
    const slm_kernels *kernels = slm_device_table(base->device);
    for (size_t i = 0; i < base->count; i++) {
        const slm_parameter *p = &base->parameters[i];
        if (ends_with(p->name, A)) continue;
        kernels->convert(base->device, p->value, SLM_F32, p->value, (float)share, items_of(p));
        if (base->values[i].at)
            kernels->add_scaled(base->device, p->value, base->values[i], (float)(1 - share),
                                items_of(p));
        if (p->weight) kernels->weight_write(base->device, p->weight, p->value);
    }
    kernels->sync(base->device);
}
