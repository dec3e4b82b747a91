/* train_steps.c: steps of training on given ids, for comparing with another program: losses, times, and
 * the gradients of the first step.
 *
 *   train_steps MODEL f32|bf16 KERNELS THREADS adapter|all ROWS IDS STEPS RATE OUT
 *
 * MODEL is a GGUF file or a safetensors folder; for `adapter` with +DIR behind it for a LoRA adapter,
 * or +new for one of rank 16 on all matrices. KERNELS "" takes the best path there is. ROWS are
 * computed at once. IDS has one sequence a line: how many tokens are given, then all ids; every step
 * learns all of them, with AdamW at a constant RATE, decay 0.01 and the gradient's norm clipped at 1.
 *
 * OUT is a folder: losses.txt has a loss a line, gradients.f32 all gradients of the first step and
 * gradients.txt their names and shapes. Or OUT is "-": a step is taken for each line on stdin, and its
 * loss and seconds are printed, so that two programs can be timed in turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "train/train_internal.h"

static void check(slm_status status, const slm_error *err)
{
    if (status == SLM_OK) return;
    fprintf(stderr, "train_steps: %s\n", err->message);
    exit(1);
}

static FILE *open_file(const char *folder, const char *name, const char *mode)
{
    slm_buffer path = {0};
    slm_file_join(&path, folder, name);
    FILE *file = fopen(slm_buffer_text(&path), mode);
    if (!file) {
        perror(slm_buffer_text(&path));
        exit(1);
    }
    slm_buffer_free(&path);
    return file;
}

static void read_examples(const char *path, train__examples *out)
{
    enum { MOST = 1024 };
    FILE *in = open_file(".", path, "r");
    char *line = NULL;
    size_t cap = 0;
    out->items = calloc(MOST, sizeof *out->items);
    if (!out->items) exit(1);
    while (out->count < MOST && getline(&line, &cap, in) > 0) {
        train__example *e = &out->items[out->count];
        char *end = line, *at;
        e->ids = slm_arena_array(&out->arena, strlen(line), sizeof *e->ids);
        e->prompt = (size_t)strtol(line, &at, 10);
        for (; *at; at = end) {
            const long id = strtol(at, &end, 10);
            if (end == at) break;
            e->ids[e->len++] = (slm_token)id;
        }
        if (e->len <= e->prompt) continue;
        out->learnt += e->len - e->prompt;
        out->count++;
    }
    free(line);
    fclose(in);
}

static void write_gradients(const char *folder, slm_device *device, slm_training *training)
{
    size_t count;
    const slm_parameter *parameters = slm_training_parameters(training, &count);
    FILE *names = open_file(folder, "gradients.txt", "w");
    FILE *values = open_file(folder, "gradients.f32", "wb");
    for (size_t i = 0; i < count; i++) {
        const slm_parameter *p = &parameters[i];
        float *host = malloc(p->rows * p->columns * sizeof *host);
        if (!host) exit(1);
        slm_device_download(device, host, p->grad, p->rows * p->columns * sizeof *host);
        fprintf(names, "%s %zu %zu\n", p->name, p->rows, p->columns);
        fwrite(host, sizeof *host, p->rows * p->columns, values);
        free(host);
    }
    if (fclose(names) != 0 || fclose(values) != 0) exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct run {
    slm_device *device;
    slm_model *model;
    slm_training *training;
    train__optimiser *optimiser;
    train__examples examples;
    size_t rows, *order;
    int64_t steps;
} run;

static void open_model(run *r, char **argv)
{
    slm_error err = {0};
    slm_tensors *file = NULL;
    char *adapter = strchr(argv[1], '+');
    if (adapter) *adapter++ = 0;
    const slm_device_options device = {.kernels = argv[3][0] ? argv[3] : NULL,
                                       .threads = (int)strtol(argv[4], NULL, 10)};
    const bool all = strcmp(argv[5], "all") == 0;
    const slm_model_options model = {.dtype = strcmp(argv[2], "f32") == 0 ? SLM_F32 : SLM_BF16,
                                     .keep_quantised = !all};
    const slm_lora_options lora = {.rank = 16, .alpha = 32, .matrices = SLM_MATRIX_ALL};
    check(slm_device_open(&device, &r->device, &err), &err);
    check(slm_tensors_open(argv[1], &file, &err), &err);
    check(slm_model_load(r->device, file, &model, &r->model, &err), &err);
    slm_tensors_close(file);
    if (adapter && strcmp(adapter, "new") == 0)
        check(slm_model_new_adapter(r->model, &lora, 1, &err), &err);
    else if (adapter)
        check(slm_model_load_adapter(r->model, adapter, &err), &err);
    r->rows = (size_t)strtol(argv[6], NULL, 10);
    const slm_training_options options = {
        .full = all, .embeddings = all, .max_rows = r->rows, .max_sequences = TRAIN_MOST_SEQUENCES};
    check(slm_training_new(r->model, &options, &r->training, &err), &err);
    const slm_recipe_optimiser settings = {.rate = strtod(argv[9], NULL),
                                           .schedule = "constant",
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .eps = 1e-8,
                                           .decay = 0.01,
                                           .clip = 1};
    check(train__optimiser_new(r->model, r->training, &settings, r->steps, &r->optimiser, &err),
          &err);
}

/* One step; gradients go to `folder` unless NULL. Returns the mean loss of a token. */
static double step(run *r, int64_t number, const char *folder)
{
    double norm;
    const train__loss loss =
        train__pass(r->training, &r->examples, r->order, r->examples.count, r->rows,
                    1.0f / (float)r->examples.learnt, 0, (uint32_t)number);
    if (folder) write_gradients(folder, r->device, r->training);
    train__optimiser_step(r->optimiser, number, &norm);
    return loss.sum / (double)loss.tokens;
}

int main(int argc, char **argv)
{
    run r = {0};
    if (argc != 11) {
        fprintf(stderr,
                "usage: train_steps MODEL f32|bf16 KERNELS THREADS adapter|all ROWS IDS STEPS "
                "RATE OUT\n");
        return 2;
    }
    const bool asked = strcmp(argv[10], "-") == 0;
    r.steps = strtol(argv[8], NULL, 10);
    read_examples(argv[7], &r.examples);
    open_model(&r, argv);
    r.order = calloc(r.examples.count, sizeof *r.order);
    if (!r.order) return 1;
    for (size_t i = 0; i < r.examples.count; i++)
        r.order[i] = i;
    FILE *losses = asked ? stdout : open_file(argv[10], "losses.txt", "w");
    for (int64_t i = 1; i <= r.steps; i++) {
        if (asked && getchar() == EOF) break;
        const double before_s = now_s();
        const double loss = step(&r, i, !asked && i == 1 ? argv[10] : NULL);
        fprintf(losses, "%.9g %.6f\n", loss, now_s() - before_s);
        fflush(losses);
    }
    if (!asked && fclose(losses) != 0) return 1;
    free(r.order);
    train__optimiser_free(r.optimiser);
    slm_training_free(r.training);
    train__examples_free(&r.examples);
    slm_model_free(r.model);
    slm_device_close(r.device);
    return 0;
}
