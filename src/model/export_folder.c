/* export_folder.c: a model as a Hugging Face folder, and an adapter as a folder of PEFT's.
 *
 * The folder is made whole under another name beside its place, PATH.partial, and then renamed; a
 * lock within it keeps a second export out, and what a killed one left is cleared away. config.json
 * is that of a folder base with its type changed, or is written from a GGUF file's metadata with the
 * keys of transformers' LlamaConfig, Qwen2Config and Qwen3Config. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "export_internal.h"
#include "text/text.h"

#define LOCK_NAME ".lock"

/* ---- a folder that appears whole ----------------------------------------------------------- */

/* Call for each plain entry but the lock; false: something else is in there. */
static bool only_files(const char *path, bool remove, bool *model)
{
    DIR *folder = opendir(path);
    slm_buffer file = {0};
    bool fine = folder != NULL;
    *model = false;
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat info;
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, LOCK_NAME) == 0)
            continue;
        slm_file_join(&file, path, name);
        if (lstat(slm_buffer_text(&file), &info) != 0 || S_ISDIR(info.st_mode))
            fine = false;
        else if (remove)
            (void)unlink(slm_buffer_text(&file));
        *model =
            *model || strcmp(name, "config.json") == 0 || strcmp(name, "adapter_config.json") == 0;
    }
    if (folder) closedir(folder);
    slm_buffer_free(&file);
    return fine;
}

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder) closedir(folder);
    return count == 2;
}

/* May what is at `path` be replaced? */
slm_status model__export_check_folder(const char *path, bool force, slm_error *err)
{
    bool model;
    struct stat info;
    if (lstat(path, &info) != 0) return SLM_OK;
    if (S_ISDIR(info.st_mode) && is_empty(path)) return SLM_OK;
    if (!force)
        return slm_error_set(err, SLM_ERR_INVALID, "%s is there already: --force replaces it",
                             path);
    if (S_ISDIR(info.st_mode) && only_files(path, false, &model) && model) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID,
                         "%s is no folder of a model alone, and is not replaced; remove it or give "
                         "another name",
                         path);
}

static slm_status sync_entry(const char *path, slm_error *err)
{
    slm_buffer inside = {0};
    /* Renaming a file over itself within the folder syncs the folder's entries. */
    slm_file_join(&inside, path, LOCK_NAME);
    slm_status status = slm_file_replace(slm_buffer_text(&inside), slm_buffer_text(&inside), err);
    slm_buffer_free(&inside);
    return status;
}

slm_status model__export_folder_begin(const char *path, bool force, export_folder *out,
                                      slm_error *err)
{
    slm_buffer text = {0};
    slm_status status = SLM_OK;
    bool model;
    *out = (export_folder){0};
    slm_buffer_append_text(&text, path);
    while (text.len > 1 && text.data[text.len - 1] == '/')
        slm_buffer_truncate(&text, text.len - 1);
    out->path = slm_buffer_take(&text);
    SLM_TRY_OUT(model__export_check_folder(out->path, force, err));
    slm_buffer_printf(&text, "%s.partial", out->path);
    out->partial = slm_buffer_take(&text);
    if (mkdir(out->partial, 0777) != 0 && errno != EEXIST) {
        status =
            slm_error_set(err, SLM_ERR_IO, "cannot make %s: %s", out->partial, strerror(errno));
        goto out;
    }
    slm_file_join(&text, out->partial, LOCK_NAME);
    SLM_TRY_OUT(slm_file_lock_take(slm_buffer_text(&text), &out->lock, err));
    if (!only_files(out->partial, true, &model))
        status = slm_error_set(err, SLM_ERR_IO, "%s: remove it; it is not from slm", out->partial);
out:
    slm_buffer_free(&text);
    if (status != SLM_OK) model__export_folder_abandon(out);
    return status;
}

static void folder_free(export_folder *folder)
{
    free(folder->path);
    free(folder->partial);
    *folder = (export_folder){0};
}

slm_status model__export_folder_end(export_folder *folder, slm_error *err)
{
    slm_buffer old = {0};
    bool model;
    slm_status status = sync_entry(folder->partial, err);
    if (status != SLM_OK) {
        model__export_folder_abandon(folder);
        return status;
    }
    slm_file_lock_remove(folder->lock);
    folder->lock = NULL;
    /* Under a name that is nobody else's, so that one of an export that was killed can go. */
    slm_buffer_printf(&old, "%s.partial.old", folder->path);
    if (only_files(slm_buffer_text(&old), true, &model)) (void)rmdir(slm_buffer_text(&old));
    const bool replaces = slm_file_exists(folder->path) && !is_empty(folder->path);
    if (replaces) SLM_TRY_OUT(slm_file_replace(folder->path, slm_buffer_text(&old), err));
    status = slm_file_replace(folder->partial, folder->path, err);
    if (status != SLM_OK) {
        if (replaces) (void)rename(slm_buffer_text(&old), folder->path);
        goto out;
    }
    if (replaces && only_files(slm_buffer_text(&old), true, &model))
        (void)rmdir(slm_buffer_text(&old));
out:
    slm_buffer_free(&old);
    if (status != SLM_OK)
        model__export_folder_abandon(folder);
    else
        folder_free(folder);
    return status;
}

void model__export_folder_abandon(export_folder *folder)
{
    bool model;
    /* Without the lock the folder may be another export's. */
    if (folder->lock) {
        only_files(folder->partial, true, &model);
        slm_file_lock_remove(folder->lock);
        folder->lock = NULL;
        (void)rmdir(folder->partial);
    }
    folder_free(folder);
}

/* ---- files of the folder ------------------------------------------------------------------- */

static slm_status write_text(const char *folder, const char *name, const slm_buffer *text,
                             slm_error *err)
{
    slm_buffer path = {0};
    slm_file_join(&path, folder, name);
    slm_status status =
        slm_file_write(slm_buffer_text(&path), slm_buffer_text(text), text->len, err);
    slm_buffer_free(&path);
    return status;
}

static slm_status write_json(const char *folder, const char *name, const json_t *value,
                             slm_error *err)
{
    slm_buffer text = {0};
    char *dumped = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    SLM_ASSERT(dumped);
    slm_buffer_append_text(&text, dumped);
    slm_buffer_append_char(&text, '\n');
    slm_status status = write_text(folder, name, &text, err);
    free(dumped);
    slm_buffer_free(&text);
    return status;
}

/* Files that have nothing to do with the weights' type are copied as they are. */
static slm_status copy_files(const char *from, const char *to, slm_error *err)
{
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "generation_config.json",
                                        "tokenizer.model",
                                        "vocab.json",
                                        "merges.txt",
                                        "LICENSE",
                                        "LICENSE.txt",
                                        "LICENSE.md",
                                        "NOTICE",
                                        "NOTICE.txt",
                                        "USE_POLICY.md"};
    slm_buffer path = {0}, text = {0};
    slm_status status = SLM_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == SLM_OK; i++) {
        slm_file_join(&path, from, names[i]);
        if (!slm_file_exists(slm_buffer_text(&path))) continue;
        slm_buffer_truncate(&text, 0);
        status = slm_file_read(slm_buffer_text(&path), 0, &text, err);
        if (status == SLM_OK) status = write_text(to, names[i], &text, err);
    }
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}

static const char *torch_type(slm_dtype dtype)
{
    return dtype == SLM_F32 ? "float32" : dtype == SLM_F16 ? "float16" : "bfloat16";
}

/* ---- config.json --------------------------------------------------------------------------- */

/* A folder's own settings: the type is another now, and nothing is quantised any more. */
static slm_status copy_config(const export_job *job, const char *from, const char *to,
                              slm_error *err)
{
    slm_buffer path = {0}, text = {0};
    json_t *root = NULL;
    slm_status status = SLM_OK;
    slm_file_join(&path, from, "config.json");
    SLM_TRY_OUT(model__read_settings(slm_buffer_text(&path), &text, err));
    SLM_TRY_OUT(model__parse_settings(slm_buffer_text(&text), text.len, slm_buffer_text(&path),
                                      &root, err));
    const bool dtype = json_object_get(root, "dtype") != NULL;
    json_object_del(root, "quantization_config");
    json_object_del(root, "torch_dtype");
    json_object_set_new(root, dtype ? "dtype" : "torch_dtype",
                        json_string(torch_type(job->options->dtype)));
    status = write_json(to, "config.json", root, err);
out:
    json_decref(root);
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}

/* Factors that a file's table holds, or NULL. */
static const slm_tensor *table_of(const export_job *job)
{
    return job->config.rope_scaling == SLM_ROPE_TABLE
               ? slm_tensors_find(job->base, "rope_freqs.weight")
               : NULL;
}

/* A table of factors is what Llama 3's four numbers came to; transformers wants the numbers. Those of
 * the published models are tried: a table that fits to f32's precision was made of them. */
static json_t *find_llama3(const export_job *job)
{
    static const struct {
        double factor, low, high;
        int original;
    } known[] = {{8, 1, 4, 8192}, {32, 1, 4, 8192}, {16, 1, 4, 8192}, {4, 1, 4, 8192}};
    const slm_tensor *table = table_of(job);
    const int half = job->config.head_dim / 2;
    for (size_t k = 0; table && k < sizeof known / sizeof known[0]; k++) {
        slm_model_config c = job->config;
        c.rope_scaling = SLM_ROPE_LLAMA3;
        c.rope_factor = known[k].factor;
        c.rope_low = known[k].low;
        c.rope_high = known[k].high;
        c.rope_original = known[k].original;
        bool fits = slm_tensor_items(table) == (uint64_t)half && table->dtype == SLM_F32;
        for (int i = 0; i < half && fits; i++) {
            float factor;
            slm_tensor_read(table, (size_t)i, 1, &factor);
            const double want = model__rope_factor(&c, i);
            fits = fabs((double)factor - want) <= 1e-5 * want;
        }
        if (fits)
            return json_pack("{s:s, s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "type",
                             "llama3", "factor", c.rope_factor, "low_freq_factor", c.rope_low,
                             "high_freq_factor", c.rope_high, "original_max_position_embeddings",
                             c.rope_original);
    }
    return NULL;
}

static slm_status add_rope(const export_job *job, json_t *root, slm_error *err)
{
    const slm_model_config *c = &job->config;
    json_t *scaling = json_null();
    if (c->rope_scaling == SLM_ROPE_LINEAR)
        scaling = json_pack("{s:s, s:s, s:f}", "rope_type", "linear", "type", "linear", "factor",
                            c->rope_factor);
    if (c->rope_scaling == SLM_ROPE_TABLE) scaling = find_llama3(job);
    if (!scaling)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: rope_freqs.weight is no table of a Llama 3 that is known, and "
                             "config.json has no word for another: use --format gguf",
                             slm_tensors_path(job->base));
    json_object_set_new(root, "rope_theta", json_real(c->rope_base));
    json_object_set_new(root, "rope_scaling", scaling);
    return SLM_OK;
}

static void add_id(json_t *root, const char *key, slm_token id)
{
    if (id >= 0) json_object_set_new(root, key, json_integer(id));
}

static slm_status make_config(const export_job *job, const slm_tokenizer_files *files,
                              const char *to, slm_error *err)
{
    const slm_model_config *c = &job->config;
    const bool qwen2 = strcmp(c->architecture, "qwen2") == 0;
    const char *classes = qwen2                                   ? "Qwen2ForCausalLM"
                          : strcmp(c->architecture, "qwen3") == 0 ? "Qwen3ForCausalLM"
                                                                  : "LlamaForCausalLM";
    if (c->qkv_bias != (qwen2 || c->output_bias) || (qwen2 && c->output_bias))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: %s with biases on %s: config.json has no word for that: use "
                             "--format gguf",
                             slm_tensors_path(job->base), c->architecture,
                             c->qkv_bias ? "q, k and v alone" : "the attention's output");
    json_t *root = json_pack(
        "{s:[s], s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:b, s:f, s:f, s:s, s:b}",
        "architectures", classes, "model_type", c->architecture, "hidden_act", "silu",
        "hidden_size", c->embedding, "intermediate_size", c->feed_forward, "num_hidden_layers",
        c->layers, "num_attention_heads", c->heads, "num_key_value_heads", c->kv_heads, "head_dim",
        c->head_dim, "vocab_size", c->vocabulary, "max_position_embeddings", c->context,
        "rms_norm_eps", c->norm_eps, "tie_word_embeddings", c->tied_head, "initializer_range", 0.02,
        "attention_dropout", 0.0, "torch_dtype", torch_type(job->options->dtype), "use_cache",
        true);
    SLM_ASSERT(root);
    if (!qwen2) json_object_set_new(root, "attention_bias", json_boolean(c->output_bias));
    if (strcmp(c->architecture, "llama") == 0) json_object_set_new(root, "mlp_bias", json_false());
    add_id(root, "bos_token_id", files->bos);
    add_id(root, "eos_token_id", files->eos);
    add_id(root, "pad_token_id", files->pad);
    slm_status status = add_rope(job, root, err);
    if (status == SLM_OK) status = write_json(to, "config.json", root, err);
    json_decref(root);
    if (status != SLM_OK) return status;
    root = json_object();
    add_id(root, "bos_token_id", files->bos);
    add_id(root, "eos_token_id", files->eos);
    add_id(root, "pad_token_id", files->pad);
    status = write_json(to, "generation_config.json", root, err);
    json_decref(root);
    return status;
}

/* Everything but the weights. */
static slm_status write_settings(const export_job *job, const char *to, slm_error *err)
{
    const char *from = slm_tensors_folder(job->base);
    if (from) {
        SLM_TRY(copy_config(job, from, to, err));
        return copy_files(from, to, err);
    }
    slm_tokenizer_files files = {0};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(slm_tokenizer_convert_from_gguf(job->base, job->config.context, &files, err));
    SLM_TRY_OUT(make_config(job, &files, to, err));
    SLM_TRY_OUT(write_text(to, "tokenizer.json", &files.tokenizer, err));
    SLM_TRY_OUT(write_text(to, "tokenizer_config.json", &files.config, err));
    SLM_TRY_OUT(write_text(to, "special_tokens_map.json", &files.special_map, err));
out:
    slm_tokenizer_files_free(&files);
    return status;
}

/* ---- weights ------------------------------------------------------------------------------- */

/* How many tensors from `first` on fit into a file; at least one. */
static size_t shard_end(const slm_tensor *list, size_t count, size_t first, uint64_t limit)
{
    uint64_t bytes = list[first].bytes;
    size_t end = first + 1;
    while (end < count && (limit == 0 || bytes + list[end].bytes <= limit))
        bytes += list[end++].bytes;
    return end;
}

static void shard_name(size_t index, size_t shards, char out[64])
{
    if (shards == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05zu-of-%05zu.safetensors", index + 1, shards);
}

static slm_status write_shard(export_job *job, const char *path, const slm_tensor *list,
                              size_t first, size_t end, slm_error *err)
{
    const char *pairs[EXPORT_PAIRS + 1][2] = {{"format", "pt"}};
    const size_t pair_count = 1 + model__export_origin(job, pairs + 1);
    slm_tensor_writer *file = NULL;
    slm_status status = SLM_OK;
    SLM_TRY(slm_safetensors_create(path, list + first, end - first, (const char *const(*)[2])pairs,
                                   pair_count, &file, err));
    for (size_t i = first; i < end && status == SLM_OK; i++)
        status = model__export_numbers(job, &job->tensors[i], file, err);
    if (status == SLM_OK) return slm_tensor_writer_finish(file, err);
    slm_tensor_writer_abandon(file);
    return status;
}

static slm_status write_index(const char *folder, json_t *map, uint64_t bytes, slm_error *err)
{
    json_t *root =
        json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    slm_status status = write_json(folder, "model.safetensors.index.json", root, err);
    json_decref(root);
    return status;
}

static slm_status write_weights(export_job *job, const char *folder, size_t *files, slm_error *err)
{
    slm_tensor *list = model__export_list(job);
    const uint64_t limit = job->options->shard_bytes;
    size_t shards = 0, index = 0;
    uint64_t bytes = 0;
    slm_status status = SLM_OK;
    slm_buffer path = {0};
    json_t *map = json_object();
    for (size_t i = 0; i < job->count; shards++)
        i = shard_end(list, job->count, i, limit);
    for (size_t first = 0; first < job->count; index++) {
        const size_t end = shard_end(list, job->count, first, limit);
        char name[64];
        shard_name(index, shards, name);
        slm_file_join(&path, folder, name);
        SLM_TRY_OUT(write_shard(job, slm_buffer_text(&path), list, first, end, err));
        for (; first < end; first++) {
            json_object_set_new(map, list[first].name, json_string(name));
            bytes += list[first].bytes;
        }
    }
    if (shards > 1) SLM_TRY_OUT(write_index(folder, map, bytes, err));
    *files = shards;
out:
    json_decref(map);
    free(list);
    slm_buffer_free(&path);
    return status;
}

slm_status model__export_folder(export_job *job, slm_export_report *report, slm_error *err)
{
    export_folder folder;
    SLM_TRY(model__export_folder_begin(job->options->path, job->options->force, &folder, err));
    slm_status status = write_settings(job, folder.partial, err);
    if (status == SLM_OK) status = write_weights(job, folder.partial, &report->files, err);
    if (status == SLM_OK) return model__export_folder_end(&folder, err);
    model__export_folder_abandon(&folder);
    return status;
}

/* ---- an adapter ---------------------------------------------------------------------------- */

static slm_status put_adapter(const slm_tensors *from, const char *path, const char *sha256,
                              slm_error *err)
{
    const char *const pairs[][2] = {
        {"format", "pt"}, {"slm.version", SLM_VERSION}, {"slm.adapter_sha256", sha256}};
    const size_t count = slm_tensors_count(from);
    slm_tensor_writer *file = NULL;
    slm_status status = SLM_OK;
    slm_tensor *list = calloc(count + 1, sizeof *list);
    if (!list) slm_out_of_memory(count * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = *slm_tensors_at(from, i);
    status = slm_safetensors_create(path, list, count, pairs, 3, &file, err);
    for (size_t i = 0; i < count && status == SLM_OK; i++)
        status = slm_tensor_writer_put(file, list[i].data, (size_t)slm_tensor_items(&list[i]), err);
    if (status == SLM_OK)
        status = slm_tensor_writer_finish(file, err);
    else
        slm_tensor_writer_abandon(file);
    free(list);
    return status;
}

slm_status slm_export_adapter(const char *adapter, const char *base_name, const char *path,
                              bool force, slm_error *err)
{
    slm_buffer name = {0}, text = {0};
    slm_tensors *file = NULL;
    json_t *root = NULL;
    char sha256[65];
    model__adapter_config config;
    export_folder folder = {0};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(model__adapter_settings(adapter, &name, &text, err));
    SLM_TRY_OUT(model__adapter_parse(slm_buffer_text(&text), text.len, slm_buffer_text(&name),
                                     &config, err));
    SLM_TRY_OUT(model__parse_settings(slm_buffer_text(&text), text.len, slm_buffer_text(&name),
                                      &root, err));
    slm_file_join(&name, adapter, "adapter_model.safetensors");
    SLM_TRY_OUT(slm_tensors_open(slm_buffer_text(&name), &file, err));
    SLM_TRY_OUT(slm_model_adapter_sha256(adapter, sha256, err));
    json_object_set_new(root, "base_model_name_or_path", json_string(base_name));
    SLM_TRY_OUT(model__export_folder_begin(path, force, &folder, err));
    SLM_TRY_OUT(write_json(folder.partial, "adapter_config.json", root, err));
    slm_file_join(&name, folder.partial, "adapter_model.safetensors");
    SLM_TRY_OUT(put_adapter(file, slm_buffer_text(&name), sha256, err));
    SLM_TRY_OUT(model__export_folder_end(&folder, err));
out:
    model__export_folder_abandon(&folder);
    json_decref(root);
    slm_tensors_close(file);
    slm_buffer_free(&name);
    slm_buffer_free(&text);
    return status;
}
