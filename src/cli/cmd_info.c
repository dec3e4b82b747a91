/* cmd_info.c: `slm info`: what a model file holds and what running it will take.
 *
 * Reads the file's header and metadata, never its weights. Memory is counted the way model and
 * engine allocate it: weights in the dtype asked for, or quantised as the file has them; the KV cache
 * by pages of 64 positions for `batch` sequences of `ctx` tokens up to the cache's limit; and the
 * scratch of one forward.
 *
 * A file of an architecture or with a tokenizer that this build cannot run is still described: what
 * is missing is said in its place. */
#include "cli/cli.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include "engine/engine.h"
#include "kernel/kernel.h"
#include "model/model.h"
#include "tensor/tensor.h"
#include "text/text.h"

typedef struct info_options {
    cli_shared shared;
    bool tensors;
} info_options;

/* What the command found out. Texts are borrowed from the open file or from `problems`. */
typedef struct info_facts {
    slm_tensors *file;
    char *base, *adapter_folder; /* of MODEL; the second is NULL without +DIR */
    slm_tensors *adapter;
    uint64_t adapter_rank, adapter_numbers;
    slm_tokenizer *tokenizer;
    const slm_template *tmpl;
    slm_model_config config;
    bool has_config;
    slm_encoder_config encoder; /* in place of config, of a folder with an encoder */
    bool is_encoder;
    slm_error config_error, tokenizer_error, template_error;
    size_t dtype_tensors[SLM_DTYPE_COUNT];
    uint64_t dtype_bytes[SLM_DTYPE_COUNT];
    uint64_t numbers; /* in all tensors */
    slm_dtype dtype;
    int64_t context, batch;
    slm_open_memory memory;
} info_facts;

static void count_tensors(info_facts *facts)
{
    for (size_t i = 0; i < slm_tensors_count(facts->file); i++) {
        const slm_tensor *tensor = slm_tensors_at(facts->file, i);
        facts->dtype_tensors[tensor->dtype]++;
        facts->dtype_bytes[tensor->dtype] += tensor->bytes;
        facts->numbers += slm_tensor_items(tensor);
    }
}

/* What the adapter's tensors take on the device, whose layout is that of the model's own matrices. */
static uint64_t adapter_bytes(const info_facts *facts)
{
    uint64_t total = 0;
    for (size_t i = 0; facts->adapter != NULL && i < slm_tensors_count(facts->adapter); i++) {
        const slm_tensor *tensor = slm_tensors_at(facts->adapter, i);
        if (tensor->dims == 2 && slm_dtype_is_weight(tensor->dtype))
            total += slm_weight_packed_bytes(tensor, facts->dtype, false);
    }
    return total;
}

static void count_memory(info_facts *facts, const cli_shared *shared)
{
    const slm_open_options open = cli__open_options(shared);
    const slm_engine_options engine = slm_engine_options_default();
    facts->dtype = strcmp(shared->dtype, "f32") == 0 ? SLM_F32 : SLM_BF16;
    facts->context = shared->context > 0 ? shared->context : facts->config.context;
    facts->batch = shared->batch > 0 ? shared->batch : engine.batch;
    int rank = facts->adapter_rank > 65536 ? 65536 : (int)facts->adapter_rank;
    const slm_device_options options = {.kernels = shared->kernels, .threads = 1};
    slm_device *device = NULL;
    /* Where these kernels are not to be had, nothing prefers anything. */
    (void)slm_device_open(&options, &device, NULL);
    facts->memory = slm_open_memory_of(facts->file, &facts->config, rank, device, &open);
    slm_device_close(device);
    facts->memory.widened_bytes += adapter_bytes(facts);
    facts->memory.kept_bytes += adapter_bytes(facts);
}

/* Everything, with the weights in one way or the other. */
static uint64_t all_bytes(const info_facts *facts, bool kept)
{
    const slm_open_memory *m = &facts->memory;
    return (kept ? m->kept_bytes : m->widened_bytes) + m->engine.cache_bytes +
           m->engine.scratch_bytes;
}

/* Rank and size of a LoRA adapter; whether it fits is told when it is used. */
static slm_status look_at_adapter(info_facts *facts, slm_error *err)
{
    slm_buffer path = {0};
    SLM_TRY(slm_model_find_adapter(facts->adapter_folder, err));
    slm_file_join(&path, facts->adapter_folder, "adapter_model.safetensors");
    slm_status status = slm_tensors_open(slm_buffer_text(&path), &facts->adapter, err);
    slm_buffer_free(&path);
    if (status != SLM_OK) return status;
    for (size_t i = 0; i < slm_tensors_count(facts->adapter); i++) {
        const slm_tensor *tensor = slm_tensors_at(facts->adapter, i);
        facts->adapter_numbers += slm_tensor_items(tensor);
        if (strstr(tensor->name, ".lora_A.") && tensor->shape[0] > facts->adapter_rank)
            facts->adapter_rank = tensor->shape[0];
    }
    return SLM_OK;
}

static slm_status gather_facts(const char *model, const cli_shared *shared, info_facts *facts,
                               slm_error *err)
{
    slm_open_split(model, &facts->base, &facts->adapter_folder);
    SLM_TRY(slm_tensors_open(facts->base, &facts->file, err));
    if (facts->adapter_folder) SLM_TRY(look_at_adapter(facts, err));
    count_tensors(facts);
    facts->is_encoder = slm_encoder_is(facts->file);
    if (facts->is_encoder) SLM_TRY(slm_encoder_config_read(facts->file, &facts->encoder, err));
    facts->has_config = !facts->is_encoder && slm_model_config_read(facts->file, &facts->config,
                                                                    &facts->config_error) == SLM_OK;
    if (facts->has_config) count_memory(facts, shared);
    const char *folder = slm_tensors_folder(facts->file);
    slm_open_tokenizer(folder ? folder : facts->base, &facts->tokenizer, &facts->tokenizer_error);
    const char *jinja = facts->tokenizer ? slm_tokenizer_chat_template(facts->tokenizer) : NULL;
    if (shared->template_name != NULL) {
        facts->tmpl = slm_template_find(shared->template_name);
        if (facts->tmpl == NULL) {
            return slm_error_set(err, SLM_ERR_INVALID, "--template %s: there are %s",
                                 shared->template_name, slm_template_names());
        }
    } else if (jinja != NULL) {
        slm_template_detect(jinja, &facts->tmpl, &facts->template_error);
    } else {
        slm_error_set(&facts->template_error, SLM_ERR_NOT_FOUND, "none in the model");
    }
    return SLM_OK;
}

static void shape_text(const slm_tensor *tensor, slm_buffer *out)
{
    slm_buffer_truncate(out, 0);
    slm_buffer_append_char(out, '[');
    for (int d = 0; d < tensor->dims; d++) {
        slm_buffer_printf(out, d == 0 ? "%" PRIu64 : ", %" PRIu64, tensor->shape[d]);
    }
    slm_buffer_append_char(out, ']');
}

static void print_memory(const info_facts *facts)
{
    const slm_open_memory *m = &facts->memory;
    const bool keeps = m->keeps;
    char all[32], weights[32], cache[32], scratch[32], available[32];
    cli__bytes_text(all_bytes(facts, keeps), all);
    cli__bytes_text(keeps ? m->kept_bytes : m->widened_bytes, weights);
    cli__bytes_text(m->engine.cache_bytes, cache);
    cli__bytes_text(m->engine.scratch_bytes, scratch);
    printf("memory        %s: weights %s %s, cache %s (--ctx %" PRId64 " --batch %" PRId64
           "), scratch %s\n",
           all, weights,
           keeps                     ? "as in the file"
           : facts->dtype == SLM_F32 ? "as F32"
                                     : "as BF16",
           cache, facts->context, facts->batch, scratch);
    if (!m->quantised) return;
    cli__bytes_text(all_bytes(facts, !keeps), all);
    cli__bytes_text(keeps ? m->widened_bytes : m->kept_bytes, weights);
    cli__bytes_text(m->available_bytes, available);
    printf("              %s with --quantised %s: weights %s %s; %s are free\n", all,
           keeps ? "widen" : "keep", weights,
           !keeps                    ? "as in the file"
           : facts->dtype == SLM_F32 ? "as F32"
                                     : "as BF16",
           available);
}

static void print_encoder(const slm_encoder_config *encoder)
{
    char weights[32];
    const double parameters = (double)slm_encoder_parameters(encoder);
    cli__bytes_text((uint64_t)parameters * sizeof(float), weights);
    printf(parameters < 1e6 ? "architecture  bert, an encoder, %.0f parameters\n"
                            : "architecture  bert, an encoder, %.1f million parameters\n",
           parameters < 1e6 ? parameters : parameters / 1e6);
    printf("layers        %d of width %d, feed-forward %d\n", encoder->layers, encoder->embedding,
           encoder->feed_forward);
    printf("attention     %d heads of %d\n", encoder->heads, encoder->head_dim);
    printf("vocabulary    %d\n", encoder->vocabulary);
    printf("texts         up to %d tokens; a vector of %d is %s, of length 1\n",
           encoder->max_tokens, encoder->embedding,
           encoder->first_token ? "the first token's row" : "the mean of the tokens' rows");
    printf("memory        %s for weights as F32\n", weights);
}

static void print_text(const info_facts *facts, bool tensors)
{
    char bytes[32];
    cli__bytes_text(slm_tensors_file_bytes(facts->file), bytes);
    printf("file          %s\n", slm_tensors_path(facts->file));
    printf("format        %s, %s, %zu tensors\n", slm_tensors_format(facts->file), bytes,
           slm_tensors_count(facts->file));
    const slm_model_config *config = &facts->config;
    if (facts->has_config) {
        double parameters = (double)slm_model_config_parameters(config);
        printf(parameters < 1e6 ? "architecture  %s, %.0f parameters\n"
                                : "architecture  %s, %.1f million parameters\n",
               config->architecture, parameters < 1e6 ? parameters : parameters / 1e6);
        printf("layers        %d of width %d, feed-forward %d\n", config->layers, config->embedding,
               config->feed_forward);
        printf("attention     %d heads of %d, %d for keys and values\n", config->heads,
               config->head_dim, config->kv_heads);
        printf("vocabulary    %d, head %s\n", config->vocabulary,
               config->tied_head ? "tied to the embedding" : "of its own");
        printf("context       %d tokens, rope base %g\n", config->context, config->rope_base);
    } else if (facts->is_encoder) {
        print_encoder(&facts->encoder);
    } else {
        printf("architecture  cannot be run: %s\n", facts->config_error.message);
    }
    printf("weights      ");
    const char *separator = " ";
    for (int d = 0; d < SLM_DTYPE_COUNT; d++) {
        if (facts->dtype_tensors[d] == 0) continue;
        cli__bytes_text(facts->dtype_bytes[d], bytes);
        printf("%s%zu %s (%s)", separator, facts->dtype_tensors[d], slm_dtype_name((slm_dtype)d),
               bytes);
        separator = ", ";
    }
    printf("\ntokenizer     %s\n", facts->tokenizer != NULL
                                       ? slm_tokenizer_description(facts->tokenizer)
                                       : facts->tokenizer_error.message);
    if (!facts->is_encoder)
        printf("template      %s\n", facts->tmpl != NULL ? slm_template_name(facts->tmpl)
                                                         : facts->template_error.message);
    if (facts->adapter != NULL) {
        printf("adapter       %s, rank %" PRIu64 ", %" PRIu64 " numbers in %zu tensors\n",
               facts->adapter_folder, facts->adapter_rank, facts->adapter_numbers,
               slm_tensors_count(facts->adapter));
    }
    if (facts->has_config) print_memory(facts);
    if (!tensors) return;
    slm_buffer shape = {0};
    putchar('\n');
    for (size_t i = 0; i < slm_tensors_count(facts->file); i++) {
        const slm_tensor *tensor = slm_tensors_at(facts->file, i);
        shape_text(tensor, &shape);
        printf("%-32s %-5s %s\n", tensor->name, slm_dtype_name(tensor->dtype), shape.data);
    }
    slm_buffer_free(&shape);
}

static json_t *config_json(const slm_model_config *config)
{
    return json_pack(
        "{s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b}", "architecture",
        config->architecture, "parameters", (json_int_t)slm_model_config_parameters(config),
        "layers", config->layers, "heads", config->heads, "kv_heads", config->kv_heads, "head_dim",
        config->head_dim, "embedding", config->embedding, "feed_forward", config->feed_forward,
        "vocabulary", config->vocabulary, "context", config->context, "rope_base",
        config->rope_base, "norm_eps", config->norm_eps, "tied_head", config->tied_head);
}

static json_t *tokenizer_json(const info_facts *facts)
{
    if (facts->tokenizer == NULL)
        return json_pack("{s:s}", "error", facts->tokenizer_error.message);
    return json_pack(
        "{s:s, s:I, s:i, s:i}", "description", slm_tokenizer_description(facts->tokenizer), "size",
        (json_int_t)slm_tokenizer_size(facts->tokenizer), "bos",
        (int)slm_tokenizer_bos(facts->tokenizer), "eos", (int)slm_tokenizer_eos(facts->tokenizer));
}

static json_t *tensors_json(const slm_tensors *file)
{
    json_t *list = json_array();
    for (size_t i = 0; i < slm_tensors_count(file); i++) {
        const slm_tensor *tensor = slm_tensors_at(file, i);
        json_t *shape = json_array();
        for (int d = 0; d < tensor->dims; d++) {
            json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:I}", "name", tensor->name, "dtype",
                                              slm_dtype_name(tensor->dtype), "shape", shape,
                                              "bytes", (json_int_t)tensor->bytes));
    }
    return list;
}

static json_t *memory_json(const info_facts *facts)
{
    const slm_open_memory *m = &facts->memory;
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I}", "dtype", slm_dtype_name(facts->dtype), "context",
        (json_int_t)facts->context, "batch", (json_int_t)facts->batch, "weight_bytes",
        (json_int_t)(m->keeps ? m->kept_bytes : m->widened_bytes), "cache_bytes",
        (json_int_t)m->engine.cache_bytes, "scratch_bytes", (json_int_t)m->engine.scratch_bytes);
    if (m->available_bytes != UINT64_MAX)
        json_object_set_new(object, "available_bytes",
                            json_integer((json_int_t)m->available_bytes));
    if (m->quantised)
        json_object_set_new(object, "quantised",
                            json_pack("{s:s, s:I, s:I}", "chosen", m->keeps ? "keep" : "widen",
                                      "keep_weight_bytes", (json_int_t)m->kept_bytes,
                                      "widen_weight_bytes", (json_int_t)m->widened_bytes));
    return object;
}

static json_t *encoder_json(const slm_encoder_config *encoder)
{
    return json_pack("{s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s}", "architecture",
                     "bert", "parameters", (json_int_t)slm_encoder_parameters(encoder), "layers",
                     encoder->layers, "heads", encoder->heads, "head_dim", encoder->head_dim,
                     "embedding", encoder->embedding, "feed_forward", encoder->feed_forward,
                     "vocabulary", encoder->vocabulary, "max_tokens", encoder->max_tokens,
                     "norm_eps", encoder->norm_eps, "pooling",
                     encoder->first_token ? "cls" : "mean");
}

static void print_json(const info_facts *facts, bool tensors)
{
    json_t *root = json_pack("{s:s, s:s, s:I, s:I}", "file", slm_tensors_path(facts->file),
                             "format", slm_tensors_format(facts->file), "file_bytes",
                             (json_int_t)slm_tensors_file_bytes(facts->file), "numbers",
                             (json_int_t)facts->numbers);
    json_t *dtypes = json_object();
    for (int d = 0; d < SLM_DTYPE_COUNT; d++) {
        if (facts->dtype_tensors[d] == 0) continue;
        json_object_set_new(dtypes, slm_dtype_name((slm_dtype)d),
                            json_pack("{s:I, s:I}", "tensors", (json_int_t)facts->dtype_tensors[d],
                                      "bytes", (json_int_t)facts->dtype_bytes[d]));
    }
    json_object_set_new(root, "dtypes", dtypes);
    json_object_set_new(root, facts->is_encoder ? "encoder" : "model",
                        facts->is_encoder ? encoder_json(&facts->encoder)
                        : facts->has_config
                            ? config_json(&facts->config)
                            : json_pack("{s:s}", "error", facts->config_error.message));
    json_object_set_new(root, "tokenizer", tokenizer_json(facts));
    json_object_set_new(root, "template",
                        facts->tmpl != NULL ? json_string(slm_template_name(facts->tmpl))
                                            : json_null());
    if (facts->adapter != NULL) {
        json_object_set_new(root, "adapter",
                            json_pack("{s:s, s:I, s:I, s:I}", "folder", facts->adapter_folder,
                                      "rank", (json_int_t)facts->adapter_rank, "numbers",
                                      (json_int_t)facts->adapter_numbers, "tensors",
                                      (json_int_t)slm_tensors_count(facts->adapter)));
    }
    if (facts->has_config) {
        json_object_set_new(root, "memory", memory_json(facts));
    }
    if (tensors) json_object_set_new(root, "tensors", tensors_json(facts->file));
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(root);
}

static int run_info(void *context, const void *options, const slm_option_list *arguments)
{
    const info_options *info = options;
    info_facts facts = {0};
    slm_error error;
    slm_status status = gather_facts(arguments->items[0], &info->shared, &facts, &error);
    if (status == SLM_OK) {
        if (info->shared.json) {
            print_json(&facts, info->tensors);
        } else {
            print_text(&facts, info->tensors);
        }
    }
    slm_tokenizer_free(facts.tokenizer);
    slm_tensors_close(facts.file);
    slm_tensors_close(facts.adapter);
    free(facts.base);
    free(facts.adapter_folder);
    return status == SLM_OK ? CLI_DONE : cli__fail(context, &error);
}

static const slm_option info_table[] = {
    {.name = "tensors",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(info_options, tensors),
     .help = "list every tensor with its type and shape",
     .group = "Info"},
    {.name = NULL},
};

const slm_command cli_command_info = {
    .name = "info",
    .usage = "MODEL",
    .summary = "what a model file holds and what running it takes",
    .description =
        "Prints architecture, sizes, data types, tokenizer and chat template of a GGUF file or a "
        "Hugging Face folder (with +DIR behind it: of the adapter too), and the memory that "
        "running "
        "it takes with the --ctx, --batch, --dtype and --quantised given. The weights are not "
        "read.",
    .example = "# how much memory would 8 conversations of 4096 tokens take\n"
               "slm info model.gguf --ctx 4096 --batch 8",
    .tables = {info_table, cli_machine_options, cli_json_options, cli_common_options},
    .options_bytes = sizeof(info_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_info,
};
