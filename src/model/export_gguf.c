/* export_gguf.c: a model as one GGUF file, as llama.cpp reads it.
 *
 * Keys and names are those of the format's specification and of llama.cpp's own converter. From a
 * GGUF base all metadata are kept but those that tell the weights' types; from a folder they are
 * written from config.json and tokenizer.json. Llama 3's scaling of rotary frequencies goes in as a
 * table of factors, rope_freqs.weight. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "export_internal.h"
#include "text/text.h"

/* ---- metadata ------------------------------------------------------------------------------ */

/* general.file_type: the ggml project's number of "mostly this type". */
static uint32_t file_type(slm_dtype dtype)
{
    return dtype == SLM_F32 ? 0 : dtype == SLM_F16 ? 1 : dtype == SLM_Q8_0 ? 7 : 32;
}

static bool is_rewritten(const char *key)
{
    static const char *const fronts[] = {"general.file_type", "general.quantization_version",
                                         "general.alignment", "split.",
                                         "quantize.",         "slm."};
    for (size_t i = 0; i < sizeof fronts / sizeof fronts[0]; i++)
        if (strncmp(key, fronts[i], strlen(fronts[i])) == 0) return true;
    return false;
}

static void add_text(slm_gguf_meta *meta, const char *key, const char *text)
{
    slm_gguf_add_string(meta, key, text, strlen(text));
}

static void add_shape(const slm_model_config *c, slm_gguf_meta *meta)
{
    const struct {
        const char *name;
        int value;
    } numbers[] = {{"block_count", c->layers},
                   {"context_length", c->context},
                   {"embedding_length", c->embedding},
                   {"feed_forward_length", c->feed_forward},
                   {"attention.head_count", c->heads},
                   {"attention.head_count_kv", c->kv_heads},
                   {"attention.key_length", c->head_dim},
                   {"attention.value_length", c->head_dim},
                   {"rope.dimension_count", c->head_dim},
                   {"vocab_size", c->vocabulary}};
    char key[128];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", c->architecture, numbers[i].name);
        slm_gguf_add_u32(meta, key, (uint32_t)numbers[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", c->architecture);
    slm_gguf_add_f32(meta, key, (float)c->norm_eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", c->architecture);
    slm_gguf_add_f32(meta, key, (float)c->rope_base);
    if (c->rope_scaling != SLM_ROPE_LINEAR) return;
    snprintf(key, sizeof key, "%s.rope.scaling.type", c->architecture);
    add_text(meta, key, "linear");
    snprintf(key, sizeof key, "%s.rope.scaling.factor", c->architecture);
    slm_gguf_add_f32(meta, key, (float)c->rope_factor);
}

/* The last part of a path, without its ending slashes. */
static void model_name(const char *path, slm_buffer *out)
{
    char *copy = strdup(path);
    if (!copy) slm_out_of_memory(strlen(path));
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    slm_buffer_append_text(out, slm_file_basename(copy));
    free(copy);
}

static slm_status make_metadata(const export_job *job, slm_gguf_meta *meta, slm_error *err)
{
    const char *folder = slm_tensors_folder(job->base);
    const char *pairs[EXPORT_PAIRS][2];
    const size_t pair_count = model__export_origin(job, pairs);
    if (!folder) {
        for (size_t i = 0; i < slm_meta_count(job->base); i++) {
            const slm_meta *entry = slm_meta_at(job->base, i);
            if (!is_rewritten(entry->key) && strncmp(entry->key, "general.slm.", 12) != 0)
                slm_gguf_add_copy(meta, entry);
        }
    } else {
        slm_buffer name = {0};
        model_name(folder, &name);
        add_text(meta, "general.architecture", job->config.architecture);
        add_text(meta, "general.type", "model");
        add_text(meta, "general.name", slm_buffer_text(&name));
        slm_buffer_free(&name);
        add_shape(&job->config, meta);
        SLM_TRY(slm_tokenizer_convert_to_gguf(folder, (size_t)job->config.vocabulary, meta, err));
    }
    slm_gguf_add_u32(meta, "general.file_type", file_type(job->options->dtype));
    slm_gguf_add_u32(meta, "general.quantization_version", 2);
    for (size_t i = 0; i < pair_count; i++) {
        char key[64];
        snprintf(key, sizeof key, "general.%s", pairs[i][0]);
        add_text(meta, key, pairs[i][1]);
    }
    return SLM_OK;
}

/* ---- the table of rotary factors ----------------------------------------------------------- */

static void add_table(export_job *job)
{
    const slm_model_config *c = &job->config;
    const size_t half = (size_t)c->head_dim / 2;
    if (c->rope_scaling != SLM_ROPE_LLAMA3 && c->rope_scaling != SLM_ROPE_TABLE) return;
    job->table = malloc(half * sizeof *job->table);
    if (!job->table) slm_out_of_memory(half * sizeof *job->table);
    const slm_tensor *given = slm_tensors_find(job->base, "rope_freqs.weight");
    for (size_t i = 0; i < half; i++) {
        job->table[i] = (float)model__rope_factor(c, (int)i);
        if (c->rope_scaling == SLM_ROPE_TABLE) slm_tensor_read(given, i, 1, &job->table[i]);
    }
    model__export_add_table(job, half);
}

static slm_status check_table(const export_job *job, slm_error *err)
{
    if (job->config.rope_scaling != SLM_ROPE_TABLE) return SLM_OK;
    const slm_tensor *table = slm_tensors_find(job->base, "rope_freqs.weight");
    if (table && table->dtype == SLM_F32 &&
        slm_tensor_items(table) == (uint64_t)job->config.head_dim / 2)
        return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT, "%s: rope_freqs.weight is not F32 [%d]",
                         slm_tensors_path(job->base), job->config.head_dim / 2);
}

/* ---- the file ------------------------------------------------------------------------------ */

slm_status model__export_check_file(const char *path, bool force, slm_error *err)
{
    struct stat there;
    if (stat(path, &there) != 0 || !S_ISREG(there.st_mode) || force) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID, "%s is there already: --force replaces it", path);
}

slm_status model__export_gguf(export_job *job, slm_export_report *report, slm_error *err)
{
    slm_gguf_meta meta = {0};
    slm_tensor_writer *file = NULL;
    slm_tensor *list = NULL;
    slm_status status = SLM_OK;
    SLM_TRY(check_table(job, err));
    SLM_TRY_OUT(make_metadata(job, &meta, err));
    add_table(job);
    list = model__export_list(job);
    SLM_TRY_OUT(slm_gguf_create(job->options->path, list, job->count, &meta, &file, err));
    for (size_t i = 0; i < job->count && status == SLM_OK; i++)
        status = model__export_numbers(job, &job->tensors[i], file, err);
    if (status == SLM_OK) {
        status = slm_tensor_writer_finish(file, err);
        file = NULL;
    }
    report->files = 1;
out:
    slm_tensor_writer_abandon(file);
    slm_gguf_meta_free(&meta);
    free(list);
    return status;
}
