/* test_training.c: gradients of whole small models of every family against differences of a forward
 * in double precision; log-probabilities to the bit those of inference; and what must not matter does
 * not: packing, a shared prompt, checkpoints, threads, when the coefficients become known. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_oracle.h"
#include "model/model_internal.h"

enum { RANK = 3, ROWS = 135, SEQUENCES = 4, WANTED = 100 };

static char gguf[64], folder[64], adapter[64];

/* Four sequences: a prompt of 70 (so that its last page is not full), two replies behind it, one by
 * itself. */
static const slm_train_sequence sequences[SEQUENCES] = {
    {0, 70, -1}, {70, 9, 0}, {79, 30, 0}, {109, 26, -1}};
static int32_t ids[ROWS], want[WANTED], targets[WANTED];
static float coefficient[WANTED];

static slm_train_batch batch_of(void)
{
    return (slm_train_batch){.ids = ids,
                             .rows = ROWS,
                             .sequences = sequences,
                             .sequence_count = SEQUENCES,
                             .want = want,
                             .targets = targets,
                             .want_count = WANTED,
                             .temperature = 0.8f,
                             .seed = 3,
                             .step = 1};
}

/* ---- a model that learns ------------------------------------------------------------------- */

typedef struct learner {
    slm_device *device;
    slm_model *model;
    slm_training *training;
    slm_parameter *parameters;
    size_t count;
} learner;

typedef struct setting {
    const char *path, *adapter, *kernels;
    slm_dtype dtype;
    slm_training_options options;
    int threads;
} setting;

static setting plain(const char *path, bool full)
{
    return (setting){
        .path = path,
        .adapter = full ? NULL : adapter,
        .kernels = "ref",
        .dtype = SLM_F32,
        .threads = 2,
        .options = {
            .full = full, .embeddings = full, .max_rows = ROWS, .max_sequences = SEQUENCES}};
}

/* False if this machine lacks the kernels. */
static bool learner_new(const setting *s, learner *out)
{
    slm_error err = {0};
    slm_tensors *file = NULL;
    const slm_device_options device = {.kernels = s->kernels, .threads = s->threads};
    const slm_model_options model = {.dtype = s->dtype};
    *out = (learner){0};
    if (slm_device_open(&device, &out->device, &err) == SLM_ERR_UNSUPPORTED) return false;
    if (!slm_device_trains(out->device)) {
        slm_device_close(out->device);
        return false;
    }
    if (slm_tensors_open(s->path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    if (slm_model_load(out->device, file, &model, &out->model, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_tensors_close(file);
    if (s->adapter && slm_model_load_adapter(out->model, s->adapter, &err) != SLM_OK)
        fail_msg("%s", err.message);
    if (slm_training_new(out->model, &s->options, &out->training, &err) != SLM_OK)
        fail_msg("%s", err.message);
    out->parameters = slm_training_parameters(out->training, &out->count);
    return true;
}

static void learner_free(learner *l)
{
    slm_training_free(l->training);
    slm_model_free(l->model);
    slm_device_close(l->device);
}

static size_t items_of(const slm_parameter *p)
{
    return p->rows * p->columns;
}

/* All gradients, one behind the other. */
static float *gradients(const learner *l, size_t *count)
{
    size_t total = 0;
    for (size_t i = 0; i < l->count; i++)
        total += items_of(&l->parameters[i]);
    float *out = malloc(total * sizeof *out);
    SLM_ASSERT(out);
    total = 0;
    for (size_t i = 0; i < l->count; i++) {
        const size_t items = items_of(&l->parameters[i]);
        slm_device_download(l->device, out + total, l->parameters[i].grad, items * sizeof *out);
        total += items;
    }
    *count = total;
    return out;
}

/* Gradients of the batch; log-probabilities in log_prob unless NULL. */
static float *learn(const setting *s, const slm_train_batch *batch, float *log_prob, size_t *count)
{
    learner l;
    float own[WANTED];
    if (!learner_new(s, &l)) return NULL;
    slm_training_forward(l.training, batch, coefficient, log_prob ? log_prob : own, NULL);
    slm_training_backward(l.training, NULL);
    float *out = gradients(&l, count);
    learner_free(&l);
    return out;
}

/* Relative L2 distance. */
static double distance(const float *got, const float *expected, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += pow((double)got[i] - (double)expected[i], 2);
        size += pow((double)expected[i], 2);
    }
    assert_true(size > 0);
    return sqrt(difference / size);
}

/* ---- the oracle ---------------------------------------------------------------------------- */

/* ids of a sequence with its prefix before it. */
static int whole_sequence(const slm_train_sequence *s, int32_t out[ROWS])
{
    int rows = 0;
    if (s->prefix >= 0) rows = whole_sequence(&sequences[s->prefix], out);
    memcpy(out + rows, ids + s->row, (size_t)s->rows * sizeof *out);
    return rows + s->rows;
}

/* Sum of coefficient x log-probability, in double precision. */
static double oracle_loss(const family *f)
{
    const double temperature = (double)batch_of().temperature;
    double loss = 0;
    for (int s = 0; s < SEQUENCES; s++) {
        int32_t whole[ROWS];
        const int rows = whole_sequence(&sequences[s], whole), before = rows - sequences[s].rows;
        double *logits = oracle_logits(f, whole, rows);
        for (int i = 0; i < WANTED; i++) {
            const int row = want[i] - sequences[s].row;
            if (row < 0 || row >= sequences[s].rows) continue;
            const double *at = logits + (before + row) * f->vocabulary;
            double most = -1e300, sum = 0;
            for (int v = 0; v < f->vocabulary; v++)
                most = fmax(most, at[v] / temperature);
            for (int v = 0; v < f->vocabulary; v++)
                sum += exp(at[v] / temperature - most);
            loss += (double)coefficient[i] * (at[targets[i]] / temperature - most - log(sum));
        }
        free(logits);
    }
    return loss;
}

/* The family's numbers behind a parameter's name. */
static float *numbers_of(const family *f, const char *name)
{
    char want_name[160];
    if (strcmp(name, "model.embed_tokens.weight") == 0) return f->embedding;
    if (strcmp(name, "lm_head.weight") == 0) return f->head;
    if (strcmp(name, "model.norm.weight") == 0) return f->final_norm;
    for (int i = 0; i < f->layers; i++) {
        const family_layer *layer = &f->layer[i];
        for (int role = 0; role < FAMILY_ROLES; role++) {
            const char *part = family_folder_parts[role];
            const struct {
                const char *format;
                float *at;
            } kinds[] = {{"model.layers.%d.%s.weight", layer->w[role]},
                         {"model.layers.%d.%s.bias", layer->bias[role]},
                         {"base_model.model.model.layers.%d.%s.lora_A.weight", layer->a[role]},
                         {"base_model.model.model.layers.%d.%s.lora_B.weight", layer->b[role]}};
            for (size_t k = 0; k < 4; k++) {
                snprintf(want_name, sizeof want_name, kinds[k].format, i, part);
                if (strcmp(name, want_name) == 0) return kinds[k].at;
            }
        }
        for (int norm = 0; norm < FAMILY_NORMS; norm++) {
            snprintf(want_name, sizeof want_name, "model.layers.%d.%s.weight", i,
                     family_folder_norms[norm]);
            if (strcmp(name, want_name) == 0) return layer->norm[norm];
        }
    }
    return NULL;
}

/* dL/d(value) by differences; the step is what float makes of it. */
static double difference(const family *f, float *value)
{
    const float before = *value, step = 5e-5f * fmaxf(1.0f, fabsf(before));
    *value = before + step;
    const double high = (double)*value, up = oracle_loss(f);
    *value = before - step;
    const double low = (double)*value, down = oracle_loss(f);
    *value = before;
    return (up - down) / (high - low);
}

/* Some numbers of every parameter, so that all kinds weigh alike: each parameter's error relative to
 * its own gradient is bounded too. */
static void check_gradient(const family *f, const setting *s, const char *what)
{
    enum { PICKS = 4 };
    slm_random random = slm_random_new(9, 9);
    learner l;
    float log_prob[WANTED];
    double wrong = 0, size = 0;
    assert_true(learner_new(s, &l));
    const slm_train_batch batch = batch_of();
    slm_training_forward(l.training, &batch, coefficient, log_prob, NULL);
    slm_training_backward(l.training, NULL);
    assert_true(l.count > 8);
    for (size_t i = 0; i < l.count; i++) {
        const slm_parameter *p = &l.parameters[i];
        float *values = numbers_of(f, p->name), *got = malloc(items_of(p) * sizeof *got);
        SLM_ASSERT(got);
        if (!values) fail_msg("%s: no numbers behind %s", what, p->name);
        slm_device_download(l.device, got, p->grad, items_of(p) * sizeof *got);
        for (int pick = 0; pick < PICKS; pick++) {
            const size_t at = slm_random_below(&random, items_of(p));
            const double expected = difference(f, &values[at]);
            wrong += pow((double)got[at] - expected, 2);
            size += expected * expected;
            if (fabs((double)got[at] - expected) > 1e-3 * fabs(expected) + 1e-3)
                fail_msg("%s: %s[%zu]: gradient %g, by differences %g", what, p->name, at,
                         (double)got[at], expected);
        }
        free(got);
    }
    if (!(sqrt(wrong / size) < 1e-4))
        fail_msg("%s: relative error of the gradient %g", what, sqrt(wrong / size));
    learner_free(&l);
}

static void test_adapter_gradients(void **state)
{
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        family f = family_shape(types[i]);
        f.tied = i == 1;
        family_fill(&f, 21);
        family_adapter_fill(&f, RANK);
        family_adapter_write(&f, adapter, 7.5, i == 1);
        family_write_folder(&f, folder);
        const setting s = plain(folder, false);
        check_gradient(&f, &s, types[i]);
        family_free(&f);
    }
}

static void test_full_gradients(void **state)
{
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        family f = family_shape(types[i]);
        f.tied = i == 1;
        family_fill(&f, 22);
        family_write_folder(&f, folder);
        const setting s = plain(folder, true);
        check_gradient(&f, &s, types[i]);
        family_free(&f);
    }
}

/* A Llama as GGUF has q and k in another order; the gradients are those of the folder's. */
static void test_reordered(void **state)
{
    (void)state;
    family f = family_shape("llama");
    family_fill(&f, 23);
    family_write_folder(&f, folder);
    family_write_gguf(&f, SLM_F32, gguf);
    setting s = plain(folder, true);
    size_t count = 0;
    learner a, b;
    const slm_train_batch batch = batch_of();
    float log_prob[WANTED];
    assert_true(learner_new(&s, &a));
    s.path = gguf;
    assert_true(learner_new(&s, &b));
    learner *const both[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        slm_training_forward(both[i]->training, &batch, coefficient, log_prob, NULL);
        slm_training_backward(both[i]->training, NULL);
    }
    float *left = gradients(&a, &count), *right = gradients(&b, &count);
    size_t at = 0;
    for (size_t i = 0; i < a.count; i++) {
        const slm_parameter *p = &a.parameters[i];
        const bool moved = strstr(p->name, "q_proj") || strstr(p->name, "k_proj");
        float *ordered = malloc(items_of(p) * sizeof *ordered);
        SLM_ASSERT(ordered);
        for (size_t row = 0; row < p->rows; row++) {
            const size_t from =
                moved ? model__interleaved_row(slm_model_get_config(b.model), row) : row;
            memcpy(ordered + row * p->columns, right + at + from * p->columns,
                   p->columns * sizeof *ordered);
        }
        const double error = distance(ordered, left + at, items_of(p));
        if (!(error < 1e-4)) fail_msg("%s: %g", p->name, error);
        free(ordered);
        at += items_of(p);
    }
    free(left);
    free(right);
    learner_free(&a);
    learner_free(&b);
    family_free(&f);
}

/* ---- log-probabilities --------------------------------------------------------------------- */

/* What inference gives for the wanted rows of one sequence with its prefix before it. */
static void infer(const setting *s, const slm_train_sequence *one, float out[WANTED])
{
    int32_t whole[ROWS];
    const int rows = whole_sequence(one, whole), before = rows - one->rows;
    const slm_model_options options = {.dtype = s->dtype};
    float *logits = oracle_run_as(s->path, s->adapter, s->kernels, &options, whole, rows, rows);
    slm_error err = {0};
    slm_device *device = NULL;
    slm_mem row;
    const slm_device_options device_options = {.kernels = s->kernels, .threads = 1};
    assert_int_equal(slm_device_open(&device_options, &device, &err), SLM_OK);
    const size_t vocabulary = (size_t)family_shape("llama").vocabulary;
    assert_int_equal(slm_device_alloc(device, vocabulary * sizeof(float), &row, &err), SLM_OK);
    for (int i = 0; i < WANTED; i++) {
        const int at = want[i] - one->row;
        if (at < 0 || at >= one->rows) continue;
        slm_device_upload(device, row, logits + (size_t)(before + at) * vocabulary,
                          vocabulary * sizeof(float));
        slm_device_table(device)->log_prob(device, row, 1, vocabulary, batch_of().temperature,
                                           &targets[i], &out[i]);
    }
    slm_device_free(device, row);
    slm_device_close(device);
    free(logits);
}

static void test_log_probs_are_those_of_inference(void **state)
{
    static const char *const paths[] = {"ref", "avx2", "avx512", "avx512bf16", "amx"};
    (void)state;
    int ran = 0;
    family f = family_shape("qwen3");
    family_fill(&f, 24);
    family_adapter_fill(&f, RANK);
    family_adapter_write(&f, adapter, 6, false);
    family_write_folder(&f, folder);
    for (int i = 0; i < 10; i++) {
        float got[WANTED], expected[WANTED];
        size_t count;
        setting s = plain(folder, false);
        const slm_train_batch batch = batch_of();
        s.kernels = paths[i / 2];
        s.dtype = i % 2 ? SLM_BF16 : SLM_F32;
        float *grads = learn(&s, &batch, got, &count);
        if (!grads) continue;
        free(grads);
        for (int k = 0; k < SEQUENCES; k++)
            infer(&s, &sequences[k], expected);
        assert_memory_equal(got, expected, sizeof got);
        ran++;
    }
    assert_true(ran >= 2);
    family_free(&f);
}

/* ---- what must not matter ------------------------------------------------------------------ */

static void write_model(void)
{
    family f = family_shape("qwen3");
    family_fill(&f, 25);
    family_adapter_fill(&f, RANK);
    family_adapter_write(&f, adapter, 6, false);
    family_write_folder(&f, folder);
    family_free(&f);
}

static void test_checkpoints_and_threads_change_no_bit(void **state)
{
    static const char *const paths[] = {"ref", "avx2", "avx512", "avx512bf16", "amx"};
    (void)state;
    write_model();
    for (int i = 0; i < 10; i++) {
        size_t count = 0;
        setting s = plain(folder, false);
        const slm_train_batch batch = batch_of();
        s.kernels = paths[i / 2];
        s.dtype = i % 2 ? SLM_BF16 : SLM_F32;
        float *whole = learn(&s, &batch, NULL, &count);
        if (!whole) continue;
        s.options.checkpoint = true;
        float *again = learn(&s, &batch, NULL, &count);
        assert_memory_equal(whole, again, count * sizeof *whole);
        free(again);
        s.threads = 1;
        again = learn(&s, &batch, NULL, &count);
        assert_memory_equal(whole, again, count * sizeof *whole);
        free(again);
        free(whole);
    }
}

/* Coefficients that become known after the forward give the same as those known before. */
static void test_coefficients_later(void **state)
{
    (void)state;
    write_model();
    const setting s = plain(folder, false);
    const slm_train_batch batch = batch_of();
    size_t count = 0;
    learner l;
    float first[WANTED], second[WANTED], entropy[WANTED];
    float *expected = learn(&s, &batch, first, &count);
    assert_true(learner_new(&s, &l));
    slm_training_forward(l.training, &batch, NULL, second, entropy);
    assert_memory_equal(first, second, sizeof first);
    for (int i = 0; i < WANTED; i++)
        assert_true(entropy[i] > 0 && entropy[i] <= logf(61.0f) + 1e-4f);
    slm_training_backward(l.training, coefficient);
    float *got = gradients(&l, &count);
    assert_memory_equal(got, expected, count * sizeof *got);
    free(got);
    /* A second batch adds; clearing begins anew. */
    slm_training_forward(l.training, &batch, coefficient, second, NULL);
    slm_training_backward(l.training, NULL);
    got = gradients(&l, &count);
    for (size_t i = 0; i < count; i++)
        got[i] /= 2;
    assert_true(distance(got, expected, count) < 1e-6);
    free(got);
    slm_training_clear_grads(l.training);
    got = gradients(&l, &count);
    for (size_t i = 0; i < count; i++)
        assert_true(got[i] == 0);
    free(got);
    free(expected);
    learner_free(&l);
}

/* The four sequences one at a time, the prompt computed anew for each reply: the sum of their
 * gradients is that of the packed batch with its shared prompt. */
static void test_packing_and_sharing(void **state)
{
    (void)state;
    write_model();
    const setting s = plain(folder, false);
    size_t count = 0;
    learner l;
    const slm_train_batch packed = batch_of();
    float together[WANTED];
    float *expected = learn(&s, &packed, together, &count);
    assert_true(learner_new(&s, &l));
    for (int k = 0; k < SEQUENCES; k++) {
        int32_t whole[ROWS], rows_wanted[WANTED], tokens[WANTED];
        float weights[WANTED], log_prob[WANTED], same[WANTED];
        size_t n = 0;
        const int rows = whole_sequence(&sequences[k], whole), before = rows - sequences[k].rows;
        for (int i = 0; i < WANTED; i++) {
            const int at = want[i] - sequences[k].row;
            if (at < 0 || at >= sequences[k].rows) continue;
            rows_wanted[n] = before + at;
            tokens[n] = targets[i];
            same[n] = together[i];
            weights[n++] = coefficient[i];
        }
        const slm_train_sequence alone = {0, rows, -1};
        slm_train_batch batch = packed;
        batch.ids = whole, batch.rows = (size_t)rows;
        batch.sequences = &alone, batch.sequence_count = 1;
        batch.want = rows_wanted, batch.targets = tokens, batch.want_count = n;
        slm_training_forward(l.training, &batch, weights, log_prob, NULL);
        assert_memory_equal(log_prob, same, n * sizeof *same);
        slm_training_backward(l.training, NULL);
    }
    float *got = gradients(&l, &count);
    const double error = distance(got, expected, count);
    if (!(error < 1e-5)) fail_msg("relative error %g", error);
    free(got);
    free(expected);
    learner_free(&l);
}

/* ---- dropout ------------------------------------------------------------------------------- */

static double loss_of(const learner *l, const slm_train_batch *batch)
{
    float log_prob[WANTED];
    double loss = 0;
    slm_training_forward(l->training, batch, NULL, log_prob, NULL);
    for (int i = 0; i < WANTED; i++)
        loss += (double)coefficient[i] * (double)log_prob[i];
    return loss;
}

/* Along the gradient the loss changes by its squared length, with the mask that the step gives. */
static void test_dropout(void **state)
{
    (void)state;
    write_model();
    setting s = plain(folder, false);
    s.options.dropout = 0.4f;
    learner l;
    float log_prob[WANTED];
    slm_train_batch batch = batch_of();
    assert_true(learner_new(&s, &l));
    const slm_kernels *kernels = slm_device_table(l.device);
    const double here = loss_of(&l, &batch);
    assert_true(here == loss_of(&l, &batch));
    batch.step = 2;
    assert_true(here != loss_of(&l, &batch));
    batch.step = 1;
    slm_training_forward(l.training, &batch, coefficient, log_prob, NULL);
    slm_training_backward(l.training, NULL);
    double square = 0, part;
    for (size_t i = 0; i < l.count; i++) {
        kernels->sum_squares(l.device, l.parameters[i].grad, items_of(&l.parameters[i]), &part);
        square += part;
    }
    const double step = 1e-3 / sqrt(square);
    double at[2];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < l.count; i++) {
            slm_parameter *p = &l.parameters[i];
            kernels->add_scaled(l.device, p->value, p->grad, (float)(side == 0 ? step : -2 * step),
                                items_of(p));
            if (p->weight) kernels->weight_write(l.device, p->weight, p->value);
        }
        at[side] = loss_of(&l, &batch);
    }
    const double measured = (at[0] - at[1]) / (2 * step), error = measured / square - 1;
    if (!(fabs(error) < 0.02)) fail_msg("%g, expected %g", measured, square);
    learner_free(&l);
}

/* ---- files and errors ---------------------------------------------------------------------- */

static void test_save_and_load(void **state)
{
    static const char *const paths[] = {"folder", "gguf"};
    slm_error err = {0};
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        slm_tensors *file = NULL;
        family f = family_shape("llama");
        family_fill(&f, 26);
        family_adapter_fill(&f, RANK);
        family_adapter_write(&f, adapter, 6, false);
        family_write_folder(&f, folder);
        family_write_gguf(&f, SLM_F32, gguf);
        setting s = plain(kind ? gguf : folder, false);
        learner l;
        char path[256];
        float before[WANTED], after[WANTED];
        const slm_train_batch batch = batch_of();
        assert_true(learner_new(&s, &l));
        slm_training_forward(l.training, &batch, NULL, before, NULL);
        for (size_t i = 0; i < l.count; i++) { /* so that what is saved is not what was loaded */
            slm_parameter *p = &l.parameters[i];
            slm_device_table(l.device)->add_scaled(l.device, p->value, p->value, 0.5f, items_of(p));
            slm_device_table(l.device)->weight_write(l.device, p->weight, p->value);
        }
        slm_training_forward(l.training, &batch, NULL, before, NULL);
        family_path(path, adapter, "adapter_model.safetensors");
        if (slm_training_save(l.training, path, NULL, 0, &err) != SLM_OK)
            fail_msg("%s: %s", paths[kind], err.message);
        learner_free(&l);
        assert_true(learner_new(&s, &l)); /* reads it as an adapter */
        slm_training_forward(l.training, &batch, NULL, after, NULL);
        assert_memory_equal(before, after, sizeof before);
        slm_training_clear_grads(l.training);
        for (size_t i = 0; i < l.count; i++) {
            slm_device_table(l.device)->zero(l.device, l.parameters[i].value,
                                             items_of(&l.parameters[i]) * sizeof(float));
            slm_device_table(l.device)->weight_write(l.device, l.parameters[i].weight,
                                                     l.parameters[i].value);
        }
        assert_int_equal(slm_tensors_open(path, &file, &err), SLM_OK);
        assert_int_equal(slm_training_load(l.training, file, &err), SLM_OK);
        slm_training_forward(l.training, &batch, NULL, after, NULL);
        assert_memory_equal(before, after, sizeof before);
        slm_tensors_close(file);
        assert_int_equal(slm_tensors_open(folder, &file, &err), SLM_OK);
        assert_int_equal(slm_training_load(l.training, file, &err), SLM_ERR_NOT_FOUND);
        assert_non_null(strstr(err.message, "lora_A.weight is missing"));
        slm_tensors_close(file);
        learner_free(&l);
        family_free(&f);
    }
}

static void test_new_adapter(void **state)
{
    slm_error err = {0};
    slm_lora_options o = {.rank = 4, .alpha = 8, .matrices = SLM_MATRIX_Q | SLM_MATRIX_DOWN};
    slm_lora_options told = {0};
    (void)state;
    write_model();
    float with[WANTED], without[WANTED];
    size_t count;
    setting s = plain(folder, false);
    const slm_train_batch batch = batch_of();
    for (int i = 0; i < SEQUENCES; i++) {
        setting none = s;
        none.adapter = NULL;
        infer(&none, &sequences[i], without);
    }
    slm_device *device = NULL;
    slm_tensors *file = NULL;
    slm_model *model = NULL;
    slm_training *training = NULL;
    const slm_device_options device_options = {.kernels = "ref", .threads = 1};
    const slm_model_options model_options = {.dtype = SLM_F32};
    assert_int_equal(slm_device_open(&device_options, &device, &err), SLM_OK);
    assert_int_equal(slm_tensors_open(folder, &file, &err), SLM_OK);
    assert_int_equal(slm_model_load(device, file, &model_options, &model, &err), SLM_OK);
    assert_int_equal(slm_training_new(model, &s.options, &training, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "no adapter"));
    const struct {
        int rank;
        double alpha;
        unsigned matrices;
        const char *message;
    } wrong[] = {{0, 8, SLM_MATRIX_Q, "rank is 0"},
                 {33, 8, SLM_MATRIX_DOWN, "rank is 33"},
                 {4, 0, SLM_MATRIX_Q, "alpha is 0"},
                 {4, 8, 0, "one matrix or more"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        o = (slm_lora_options){
            .rank = wrong[i].rank, .alpha = wrong[i].alpha, .matrices = wrong[i].matrices};
        assert_int_equal(slm_model_new_adapter(model, &o, 1, &err), SLM_ERR_INVALID);
        if (!strstr(err.message, wrong[i].message)) fail_msg("%s", err.message);
    }
    o = (slm_lora_options){.rank = 4, .alpha = 8, .matrices = SLM_MATRIX_Q | SLM_MATRIX_DOWN};
    assert_false(slm_model_adapter_options(model, &told));
    assert_int_equal(slm_model_new_adapter(model, &o, 1, &err), SLM_OK);
    assert_true(slm_model_adapter_options(model, &told));
    assert_memory_equal(&told, &o, sizeof o);
    assert_int_equal(slm_training_new(model, &s.options, &training, &err), SLM_OK);
    slm_training_parameters(training, &count);
    assert_int_equal(count, 2 * 2 * 2);
    slm_training_forward(training, &batch, NULL, with, NULL); /* B is zero: nothing has changed */
    assert_memory_equal(with, without, sizeof with);
    slm_training_free(training);
    slm_model_free(model);
    slm_tensors_close(file);
    slm_device_close(device);
}

/* ---- the group ----------------------------------------------------------------------------- */

static int make_inputs(void **state)
{
    slm_random random = slm_random_new(4, 4);
    (void)state;
    snprintf(gguf, sizeof gguf, "/tmp/slm-training-%d.gguf", (int)getpid());
    snprintf(folder, sizeof folder, "/tmp/slm-training-%d", (int)getpid());
    snprintf(adapter, sizeof adapter, "/tmp/slm-training-%d-adapter", (int)getpid());
    for (int i = 0; i < ROWS; i++)
        ids[i] = (int32_t)slm_random_below(&random, 61);
    for (int i = 0; i < WANTED; i++) {
        want[i] = 20 + i;
        targets[i] = (int32_t)slm_random_below(&random, 61);
        coefficient[i] = i % 7 == 3 ? 0.0f : (float)slm_random_normal(&random);
    }
    want[60] = want[59]; /* a row that is asked for two tokens */
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    (void)unlink(gguf);
    family_remove(folder);
    family_remove(adapter);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adapter_gradients),
        cmocka_unit_test(test_full_gradients),
        cmocka_unit_test(test_reordered),
        cmocka_unit_test(test_log_probs_are_those_of_inference),
        cmocka_unit_test(test_checkpoints_and_threads_change_no_bit),
        cmocka_unit_test(test_coefficients_later),
        cmocka_unit_test(test_packing_and_sharing),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_new_adapter),
    };
    return cmocka_run_group_tests_name("training", tests, make_inputs, remove_files);
}
