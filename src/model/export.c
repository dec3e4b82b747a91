/* export.c: a model in another file: which tensors there are, and their numbers.
 *
 * Every number is widened to f32, changed there (W + scale B A of a LoRA adapter, or the trained
 * number in its place), and rounded once to the type that is written. A GGUF Llama keeps the rows of
 * q and k in another order than transformers; they are put into the order of what is written. A
 * piece of a tensor is in memory at a time, so that a model of any size is exported in little.
 *
 * What rounding takes away is measured while it happens: of every matrix that is changed, the
 * Frobenius norm of the change D, and of the difference between D and what the file's numbers differ
 * from the base's. Where weights lie on a coarse grid already (BF16) a small D falls between its
 * points, and a merged model can be the base again without anybody noticing. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "export_internal.h"

enum { PIECE_ITEMS = 1 << 18, BLOCK = 32 };

/* ---- which tensors ------------------------------------------------------------------------- */

static export_tensor *add(export_job *job)
{
    if (job->count == job->cap) {
        job->cap = job->cap ? 2 * job->cap : 256;
        job->tensors = realloc(job->tensors, job->cap * sizeof *job->tensors);
        if (!job->tensors) slm_out_of_memory(job->cap * sizeof *job->tensors);
    }
    job->tensors[job->count] = (export_tensor){0};
    return &job->tensors[job->count++];
}

static slm_status check_tensor(const export_job *job, const slm_tensors *file,
                               const slm_tensor *tensor, const export_tensor *want, slm_error *err)
{
    const char *path = slm_tensors_path(file);
    const uint64_t rows = want->dims == 1 ? want->columns : want->rows;
    if (tensor->dims != want->dims || tensor->shape[0] != rows ||
        (want->dims == 2 && tensor->shape[1] != want->columns))
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: tensor %s has shape [%llu, %llu]; the configuration asks for "
                             "[%llu, %llu]",
                             path, tensor->name, (unsigned long long)tensor->shape[0],
                             (unsigned long long)(tensor->dims > 1 ? tensor->shape[1] : 1),
                             (unsigned long long)rows,
                             (unsigned long long)(want->dims == 2 ? want->columns : 1));
    const size_t block =
        tensor->dtype == SLM_NF4 && want->dims == 2 ? 1 : slm_dtype_block_items(tensor->dtype);
    /* Vectors and adapters are read number by number. */
    if (!slm_dtype_is_weight(tensor->dtype) || want->columns % block != 0 ||
        ((want->dims == 1 || file != job->base) && block != 1))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "%s: tensor %s: type %s holds no weights",
                             path, tensor->name, slm_dtype_name(tensor->dtype));
    return SLM_OK;
}

/* GGUF keeps vectors in F32 whatever the matrices are; transformers' files have one type. */
static slm_dtype dtype_of(const slm_export_options *o, const export_tensor *t)
{
    if (o->gguf && t->dims == 1) return SLM_F32;
    if (o->dtype == SLM_Q8_0 && t->columns % BLOCK != 0) return SLM_BF16;
    return o->dtype;
}

/* One tensor under its names in the base, in transformers' files and in what is written. */
static slm_status plan_tensor(export_job *job, const char *in, const char *trained,
                              const char *written, int kind, int rows, int columns, slm_error *err)
{
    export_tensor *t = add(job);
    snprintf(t->name, sizeof t->name, "%s", written);
    t->kind = kind;
    t->dims = columns == 0 ? 1 : 2;
    t->rows = columns == 0 ? 1 : (size_t)rows;
    t->columns = (size_t)(columns == 0 ? rows : columns);
    t->dtype = dtype_of(job->options, t);
    t->base = slm_tensors_find(job->base, in);
    if (!t->base)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: tensor %s is missing; the file is incomplete or not a %s model",
                             slm_tensors_path(job->base), in, job->config.architecture);
    SLM_TRY(check_tensor(job, job->base, t->base, t, err));
    if (!job->weights) return SLM_OK;
    t->weights = slm_tensors_find(job->weights, trained);
    return t->weights ? check_tensor(job, job->weights, t->weights, t, err) : SLM_OK;
}

static slm_status find_pair(const export_job *job, int layer, model__role role, export_tensor *t,
                            slm_error *err)
{
    char name[MODEL_NAME_BYTES + 32], part[MODEL_NAME_BYTES];
    const uint64_t rank = (uint64_t)job->adapter_config.rank;
    const slm_tensor *halves[2];
    model__layer_name(part, model__names_of(NULL), layer, model__names_of(NULL)->matrices[role],
                      "");
    for (int b = 0; b < 2; b++) {
        snprintf(name, sizeof name, "base_model.model.%s.lora_%c.weight", part, b ? 'B' : 'A');
        halves[b] = slm_tensors_find(job->adapter, name);
        if (!halves[b]) continue;
        const export_tensor want = {
            .dims = 2, .rows = b ? t->rows : rank, .columns = b ? rank : t->columns};
        SLM_TRY(check_tensor(job, job->adapter, halves[b], &want, err));
    }
    if (!halves[0] != !halves[1])
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: layer %d has lora_%c of %s without its other half",
                             slm_tensors_path(job->adapter), layer, halves[0] ? 'A' : 'B', part);
    t->a = halves[0];
    t->b = halves[1];
    return SLM_OK;
}

static slm_status plan_layer(export_job *job, int layer, slm_error *err)
{
    const slm_model_config *c = &job->config;
    const model__names *in = model__names_of(job->base), *hub = model__names_of(NULL);
    const model__names *out = job->options->gguf ? model__gguf_names() : hub;
    const int sizes[MODEL_NORMS] = {c->embedding, c->embedding, c->head_dim, c->head_dim};
    char from[MODEL_NAME_BYTES], trained[MODEL_NAME_BYTES], to[MODEL_NAME_BYTES];
    for (int i = 0; i < (c->qk_norm ? MODEL_NORMS : MODEL_Q_NORM); i++) {
        model__layer_name(from, in, layer, in->norms[i], ".weight");
        model__layer_name(trained, hub, layer, hub->norms[i], ".weight");
        model__layer_name(to, out, layer, out->norms[i], ".weight");
        SLM_TRY(plan_tensor(job, from, trained, to, EXPORT_VECTORS, sizes[i], 0, err));
    }
    for (model__role role = 0; role < MODEL_MATRICES; role++) {
        int rows, columns;
        const bool rotary = role == MODEL_Q || role == MODEL_K;
        const bool bias = role <= MODEL_V ? c->qkv_bias : role == MODEL_OUTPUT && c->output_bias;
        model__matrix_shape(c, role, &rows, &columns);
        for (int part = 0; part <= bias; part++) {
            const char *suffix = part ? ".bias" : ".weight";
            model__layer_name(from, in, layer, in->matrices[role], suffix);
            model__layer_name(trained, hub, layer, hub->matrices[role], suffix);
            model__layer_name(to, out, layer, out->matrices[role], suffix);
            SLM_TRY(plan_tensor(job, from, trained, to, part ? EXPORT_VECTORS : (int)role, rows,
                                part ? 0 : columns, err));
            export_tensor *t = &job->tensors[job->count - 1];
            t->rotary = rotary;
            if (!part && job->adapter) SLM_TRY(find_pair(job, layer, role, t, err));
        }
    }
    return SLM_OK;
}

/* Each tensor of `file` must be one that is used, or one of those that loading lets pass. */
static slm_status refuse_unused(const export_job *job, const slm_tensors *file, slm_error *err)
{
    const model__names *names = model__names_of(file);
    for (size_t i = 0; i < slm_tensors_count(file); i++) {
        const slm_tensor *tensor = slm_tensors_at(file, i);
        bool used = file == job->base && (strstr(tensor->name, "rotary_emb.inv_freq") ||
                                          strcmp(tensor->name, "rope_freqs.weight") == 0);
        for (size_t j = 0; j < job->count && !used; j++) {
            const export_tensor *t = &job->tensors[j];
            used = t->base == tensor || t->weights == tensor || t->a == tensor || t->b == tensor;
        }
        if (file == job->base && job->config.tied_head && strcmp(tensor->name, names->head) == 0)
            used = model__same_numbers(slm_tensors_find(file, names->embedding), tensor);
        if (!used)
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "%s: tensor %s is not part of this %s model as this version "
                                 "computes it; leaving it out would give wrong answers",
                                 slm_tensors_path(file), tensor->name, job->config.architecture);
    }
    return SLM_OK;
}

static slm_status plan(export_job *job, slm_error *err)
{
    const slm_model_config *c = &job->config;
    const model__names *in = model__names_of(job->base), *hub = model__names_of(NULL);
    const model__names *out = job->options->gguf ? model__gguf_names() : hub;
    SLM_TRY(plan_tensor(job, in->embedding, hub->embedding, out->embedding, EXPORT_EMBEDDING,
                        c->vocabulary, c->embedding, err));
    for (int layer = 0; layer < c->layers; layer++)
        SLM_TRY(plan_layer(job, layer, err));
    SLM_TRY(plan_tensor(job, in->final_norm, hub->final_norm, out->final_norm, EXPORT_VECTORS,
                        c->embedding, 0, err));
    if (!c->tied_head)
        SLM_TRY(plan_tensor(job, in->head, hub->head, out->head, EXPORT_HEAD, c->vocabulary,
                            c->embedding, err));
    SLM_TRY(refuse_unused(job, job->base, err));
    if (job->adapter) SLM_TRY(refuse_unused(job, job->adapter, err));
    return job->weights ? refuse_unused(job, job->weights, err) : SLM_OK;
}

void model__export_add_table(export_job *job, size_t items)
{
    export_tensor *t = add(job);
    snprintf(t->name, sizeof t->name, "rope_freqs.weight");
    t->values = job->table;
    t->kind = EXPORT_VECTORS;
    t->dims = 1;
    t->rows = 1;
    t->columns = items;
    t->dtype = SLM_F32;
}

slm_tensor *model__export_list(const export_job *job)
{
    slm_tensor *list = calloc(job->count + 1, sizeof *list);
    if (!list) slm_out_of_memory(job->count * sizeof *list);
    for (size_t i = 0; i < job->count; i++) {
        const export_tensor *t = &job->tensors[i];
        list[i] = (slm_tensor){.name = t->name, .dtype = t->dtype, .dims = t->dims};
        list[i].shape[0] = t->dims == 1 ? t->columns : t->rows;
        if (t->dims == 2) list[i].shape[1] = t->columns;
        list[i].bytes = slm_dtype_bytes(t->dtype, t->rows * t->columns);
    }
    return list;
}

/* ---- numbers ------------------------------------------------------------------------------- */

/* Buffers of one tensor's pieces. */
typedef struct pieces {
    float *base, *value, *delta, *a;
    uint8_t *bytes;
    float *back; /* what is written, widened again */
} pieces;

/* The row of transformers' order that stands at `row` of an order that is interleaved or not. */
static size_t plain_row(const slm_model_config *c, bool interleaved, size_t row)
{
    const size_t head_dim = (size_t)c->head_dim, half = head_dim / 2, within = row % head_dim;
    return interleaved ? row - within + within % 2 * half + within / 2 : row;
}

static size_t base_row(const export_job *job, const export_tensor *t, size_t plain)
{
    return t->rotary && job->config.rope_interleaved ? model__interleaved_row(&job->config, plain)
                                                     : plain;
}

/* Rows [first, first + count) of what is written, into p->base and p->value, p->delta: widened,
 * changed, and the change. */
static void compute_rows(const export_job *job, const export_tensor *t, size_t first, size_t count,
                         const pieces *p)
{
    const bool out = job->options->gguf && strcmp(job->config.architecture, "llama") == 0;
    const size_t columns = t->columns;
    const size_t rank = t->a ? (size_t)job->adapter_config.rank : 0;
    const float scale = t->a ? model__adapter_scale(&job->adapter_config) : 0.0f;
    for (size_t i = 0; i < count; i++) {
        const size_t plain = plain_row(&job->config, t->rotary && out, first + i);
        float *base = p->base + i * columns, *value = p->value + i * columns;
        float *delta = p->delta + i * columns;
        slm_tensor_read(t->base, base_row(job, t, plain) * columns, columns, base);
        if (t->weights) {
            slm_tensor_read(t->weights, plain * columns, columns, value);
            for (size_t j = 0; j < columns; j++)
                delta[j] = value[j] - base[j];
            continue;
        }
        memcpy(value, base, columns * sizeof *value);
        if (!t->a) continue;
        memset(delta, 0, columns * sizeof *delta);
        for (size_t r = 0; r < rank; r++) {
            float b;
            slm_tensor_read(t->b, plain * rank + r, 1, &b);
            b *= scale;
            for (size_t j = 0; j < columns; j++)
                delta[j] += b * p->a[r * columns + j];
        }
        for (size_t j = 0; j < columns; j++)
            value[j] += delta[j];
    }
}

static double square_difference(float rounded, float base, float delta)
{
    const double lost = (double)rounded - (double)base - (double)delta;
    return lost * lost;
}

/* What p->back, the numbers as they are written, lost of the change. */
static void sum_losses(export_sums *sums, const pieces *p, size_t items)
{
    for (size_t i = 0; i < items; i++) {
        const float base = p->base[i], value = p->value[i], delta = p->delta[i];
        sums->change += (double)delta * (double)delta;
        sums->lost += square_difference(p->back[i], base, delta);
        sums->lost_bf16 +=
            square_difference(slm_bf16_to_f32(slm_bf16_from_f32(value)), base, delta);
        sums->lost_f16 += square_difference(slm_f16_to_f32(slm_f16_from_f32(value)), base, delta);
    }
}

/* Rounding must not make an infinity of a number. */
static slm_status check_finite(const export_tensor *t, const pieces *p, size_t items,
                               slm_error *err)
{
    for (size_t i = 0; i < items; i++)
        if (!isfinite(p->value[i]) || !isfinite(p->back[i])) /* Q8_0 has a zero for no number */
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 isfinite(p->value[i])
                                     ? "tensor %s holds %g, which is beyond %s: use --type bf16"
                                     : "tensor %s holds %g, which is no number: the weights are "
                                       "damaged (%s)",
                                 t->name, (double)p->value[i], slm_dtype_name(t->dtype));
    return SLM_OK;
}

static void read_a(const export_tensor *t, size_t rank, float *out)
{
    for (size_t r = 0; r < rank; r++)
        slm_tensor_read(t->a, r * t->columns, t->columns, out + r * t->columns);
}

static uint64_t in_mib(uint64_t bytes)
{
    return (bytes + (1 << 20) - 1) >> 20;
}

/* A vector's numbers are its rows: those of q's and k's biases are reordered one by one. */
static export_tensor as_rows(const export_tensor *t)
{
    export_tensor rows = *t;
    if (t->dims == 1 && t->rotary) {
        rows.rows = t->columns;
        rows.columns = 1;
    }
    return rows;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes + 1);
    if (!memory) slm_out_of_memory(bytes);
    return memory;
}

slm_status model__export_numbers(export_job *job, const export_tensor *tensor,
                                 slm_tensor_writer *file, slm_error *err)
{
    if (tensor->values) return slm_tensor_writer_put(file, tensor->values, tensor->columns, err);
    slm_status status = SLM_OK;
    const export_tensor t = as_rows(tensor);
    const size_t most = t.columns < PIECE_ITEMS ? PIECE_ITEMS / t.columns : 1;
    const size_t step = most < t.rows ? most : t.rows, items = step * t.columns;
    const size_t rank = t.a ? (size_t)job->adapter_config.rank : 0;
    const bool changed = t.a || t.weights;
    const pieces p = {.base = allocate(items * sizeof(float)),
                      .value = allocate(items * sizeof(float)),
                      .delta = allocate(items * sizeof(float)),
                      .a = allocate(rank * t.columns * sizeof(float)),
                      .bytes = allocate(slm_dtype_bytes(t.dtype, items)),
                      .back = allocate(items * sizeof(float))};
    read_a(&t, rank, p.a);
    for (size_t row = 0; row < t.rows && status == SLM_OK; row += step) {
        const size_t count = t.rows - row < step ? t.rows - row : step, n = count * t.columns;
        compute_rows(job, &t, row, count, &p);
        slm_narrow(t.dtype, p.value, n, p.bytes);
        slm_dequantise(t.dtype, p.bytes, n, p.back);
        SLM_TRY_OUT(check_finite(&t, &p, n, err));
        if (changed) sum_losses(&job->sums[t.kind], &p, n);
        SLM_TRY_OUT(slm_tensor_writer_put(file, p.bytes, n, err));
        job->done_bytes += slm_dtype_bytes(t.dtype, n);
        slm_progress_update(job->progress, in_mib(job->done_bytes), t.name);
        if (job->options->stop && *job->options->stop)
            status = slm_error_set(err, SLM_ERR_CANCELLED, "stopped; %s was not written",
                                   job->options->path);
    }
out:
    free(p.base);
    free(p.value);
    free(p.delta);
    free(p.a);
    free(p.bytes);
    free(p.back);
    return status;
}

/* ---- the report ---------------------------------------------------------------------------- */

size_t model__export_origin(const export_job *job, const char *pairs[EXPORT_PAIRS][2])
{
    const char *const all[][2] = {{"slm.version", SLM_VERSION},
                                  {"slm.base_sha256", job->base_sha256},
                                  {"slm.adapter_sha256", job->adapter_sha256},
                                  {"slm.weights_sha256", job->weights_sha256}};
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!all[i][1][0]) continue;
        pairs[count][0] = all[i][0];
        pairs[count++][1] = all[i][1];
    }
    return count;
}

static slm_export_change change_of(const char *kind, const export_sums *sums)
{
    return (slm_export_change){.kind = kind,
                               .change = sqrt(sums->change),
                               .lost = sqrt(sums->lost),
                               .lost_bf16 = sqrt(sums->lost_bf16),
                               .lost_f16 = sqrt(sums->lost_f16)};
}

static void fill_report(const export_job *job, slm_export_report *out)
{
    export_sums all = {0};
    for (int kind = 0; kind < EXPORT_KINDS; kind++) {
        static const char *const others[] = {"embedding", "head", "vectors"};
        const export_sums *sums = &job->sums[kind];
        const char *name = kind < MODEL_MATRICES ? model__names_of(NULL)->matrices[kind]
                                                 : others[kind - MODEL_MATRICES];
        const char *dot = strrchr(name, '.');
        if (!(sums->change > 0)) continue;
        out->changes[out->change_count++] = change_of(dot ? dot + 1 : name, sums);
        all.change += sums->change;
        all.lost += sums->lost;
        all.lost_bf16 += sums->lost_bf16;
        all.lost_f16 += sums->lost_f16;
    }
    if (out->change_count > 0) out->changes[out->change_count++] = change_of("all", &all);
    for (size_t i = 0; i < job->count; i++)
        out->bytes +=
            slm_dtype_bytes(job->tensors[i].dtype, job->tensors[i].rows * job->tensors[i].columns);
    out->tensors = job->count;
    snprintf(out->base_sha256, sizeof out->base_sha256, "%s", job->base_sha256);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static slm_status open_adapter(export_job *job, slm_error *err)
{
    const char *folder = job->options->adapter;
    slm_status status = SLM_OK;
    slm_buffer path = {0}, text = {0};
    SLM_TRY_OUT(model__adapter_settings(folder, &path, &text, err));
    SLM_TRY_OUT(model__adapter_parse(slm_buffer_text(&text), text.len, slm_buffer_text(&path),
                                     &job->adapter_config, err));
    slm_file_join(&path, folder, "adapter_model.safetensors");
    SLM_TRY_OUT(slm_tensors_open(slm_buffer_text(&path), &job->adapter, err));
    SLM_TRY_OUT(slm_model_adapter_sha256(folder, job->adapter_sha256, err));
    if (slm_tensors_count(job->adapter) == 0)
        status =
            slm_error_set(err, SLM_ERR_FORMAT, "%s: holds no LoRA tensors", slm_buffer_text(&path));
out:
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}

static slm_status open_weights(export_job *job, slm_error *err)
{
    const char *folder = job->options->weights, *hex = NULL;
    slm_buffer path = {0};
    slm_status status = SLM_OK;
    slm_file_join(&path, folder, "adapter_config.json");
    if (slm_file_exists(slm_buffer_text(&path))) {
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "%s holds an adapter, not weights: write it behind the model, "
                               "MODEL+%s",
                               folder, folder);
        goto out;
    }
    SLM_TRY_OUT(slm_tensors_open(folder, &job->weights, err));
    if (!slm_tensors_folder(job->weights)) {
        status = slm_error_set(err, SLM_ERR_INVALID, "%s: trained weights are safetensors", folder);
        goto out;
    }
    SLM_TRY_OUT(slm_tensors_sha256(job->weights, &hex, err));
    snprintf(job->weights_sha256, sizeof job->weights_sha256, "%s", hex);
out:
    slm_buffer_free(&path);
    return status;
}

/* With --force too, what is read is not replaced by what is made of it. */
static slm_status refuse_own_input(const slm_export_options *o, slm_error *err)
{
    const char *const inputs[] = {o->base, o->adapter, o->weights};
    struct stat there, input;
    if (stat(o->path, &there) != 0) return SLM_OK;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
        if (inputs[i] && stat(inputs[i], &input) == 0 && input.st_ino == there.st_ino &&
            input.st_dev == there.st_dev)
            return slm_error_set(err, SLM_ERR_INVALID, "%s is what is read: give another name",
                                 o->path);
    return SLM_OK;
}

static slm_status open_all(export_job *job, slm_error *err)
{
    const slm_export_options *o = job->options;
    SLM_ASSERT(o->gguf || o->dtype != SLM_Q8_0);
    if (o->adapter && o->weights)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "an adapter and trained weights at once: the adapter was trained "
                             "beside other weights; give one of them");
    SLM_TRY(refuse_own_input(o, err));
    SLM_TRY(o->gguf ? model__export_check_file(o->path, o->force, err)
                    : model__export_check_folder(o->path, o->force, err));
    SLM_TRY(slm_tensors_open(o->base, &job->base, err));
    SLM_TRY(slm_model_config_read(job->base, &job->config, err));
    if (o->adapter) SLM_TRY(open_adapter(job, err));
    if (o->weights) SLM_TRY(open_weights(job, err));
    SLM_TRY(plan(job, err));
    return slm_tensors_sha256(job->base, &job->base_sha256, err);
}

slm_status slm_export(const slm_export_options *options, slm_export_report *out, slm_error *err)
{
    export_job job = {.options = options};
    uint64_t total = 0;
    *out = (slm_export_report){0};
    slm_status status = open_all(&job, err);
    for (size_t i = 0; i < job.count; i++)
        total +=
            slm_dtype_bytes(job.tensors[i].dtype, job.tensors[i].rows * job.tensors[i].columns);
    if (status == SLM_OK) {
        job.progress = slm_progress_new(options->log, "exporting", "MiB", in_mib(total), 0);
        status = options->gguf ? model__export_gguf(&job, out, err)
                               : model__export_folder(&job, out, err);
        slm_progress_finish(job.progress);
    }
    if (status == SLM_OK) fill_report(&job, out);
    slm_tensors_close(job.base);
    slm_tensors_close(job.adapter);
    slm_tensors_close(job.weights);
    free(job.tensors);
    free(job.table);
    return status;
}
