/* snapshot.c: values that parameters had at some time, kept beside those that they have.
 *
 * Practice is held near them: the model shows them for the time of a pass. And what was learnt can be
 * mixed with them: value = share * value + (1 - share) * snapshot (WiSE-FT; Wortsman et al. 2022): going
 * from the base, most of what was learnt is gained before what was known is lost. An adapter's part of
 * a matrix is B A, of which B alone is mixed, so that the product is. */
#include <stdlib.h>
#include <string.h>

#include "train_internal.h"

static const char A[] = ".lora_A.weight", B[] = ".lora_B.weight";

struct train__snapshot {
    slm_device *device;
    slm_parameter *parameters;
    size_t count;
    slm_mem *values; /* [count] f32 */
    slm_mem *own; /* [count] of vectors what they were while the snapshot is shown; else {NULL} */
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

slm_status train__snapshot_new(slm_model *model, slm_training *training, bool of_base,
                               train__snapshot **out, slm_error *err)
{
    slm_status status = SLM_OK;
    train__snapshot *s = calloc(1, sizeof *s);
    if (!s) slm_out_of_memory(sizeof *s);
    s->device = slm_model_device(model);
    const slm_kernels *kernels = slm_device_table(s->device);
    s->parameters = slm_training_parameters(training, &s->count);
    s->values = calloc(2 * s->count, sizeof *s->values);
    if (!s->values) slm_out_of_memory(2 * s->count * sizeof *s->values);
    s->own = s->values + s->count;
    for (size_t i = 0; i < s->count; i++) {
        const slm_parameter *p = &s->parameters[i];
        const size_t bytes = items_of(p) * sizeof(float);
        const bool of_adapter = ends_with(p->name, A) || ends_with(p->name, B);
        SLM_TRY_OUT(slm_device_alloc(s->device, bytes, &s->values[i], err));
        if (!p->weight) SLM_TRY_OUT(slm_device_alloc(s->device, bytes, &s->own[i], err));
        if (of_base && of_adapter) /* the base is the model with an adapter that does nothing */
            kernels->zero(s->device, s->values[i], bytes);
        else
            kernels->convert(s->device, s->values[i], SLM_F32, p->value, 1.0f, items_of(p));
    }
    *out = s;
    s = NULL;
out:
    train__snapshot_free(s);
    return status;
}

void train__snapshot_free(train__snapshot *s)
{
    if (!s) return;
    for (size_t i = 0; s->values && i < 2 * s->count; i++)
        slm_device_free(s->device, s->values[i]);
    free(s->values);
    free(s);
}

void train__snapshot_show(const train__snapshot *s, bool shown)
{
    const slm_kernels *kernels = slm_device_table(s->device);
    for (size_t i = 0; i < s->count; i++) {
        const slm_parameter *p = &s->parameters[i];
        if (p->weight) { /* the forward reads what is written from the value */
            kernels->weight_write(s->device, p->weight, shown ? s->values[i] : p->value);
            continue;
        }
        if (shown) kernels->convert(s->device, s->own[i], SLM_F32, p->value, 1.0f, items_of(p));
        kernels->convert(s->device, p->value, SLM_F32, shown ? s->values[i] : s->own[i], 1.0f,
                         items_of(p));
    }
}

void train__snapshot_mix(const train__snapshot *s, double share)
{
    const slm_kernels *kernels = slm_device_table(s->device);
    for (size_t i = 0; i < s->count; i++) {
        const slm_parameter *p = &s->parameters[i];
        if (ends_with(p->name, A)) continue;
        kernels->convert(s->device, p->value, SLM_F32, p->value, (float)share, items_of(p));
        kernels->add_scaled(s->device, p->value, s->values[i], (float)(1 - share), items_of(p));
        if (p->weight) kernels->weight_write(s->device, p->weight, p->value);
    }
    kernels->sync(s->device);
}
