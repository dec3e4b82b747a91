/* dump_logits.c: every row of logits of a model for given ids, for comparing with another program.
 *
 *   dump_logits MODEL f32|bf16 KERNELS IDS OUT
 *
 * MODEL is a GGUF file or a safetensors folder, with +DIR behind it for a LoRA adapter. IDS has one sequence a line, ids separated by spaces. OUT gets the rows as float32, one sequence
 * after the other: [sum of lengths, vocabulary]. KERNELS "" takes the best path there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "engine/engine.h"

static void fail(const slm_error *err)
{
    fprintf(stderr, "dump_logits: %s\n", err->message);
    exit(1);
}

static size_t read_ids(char *line, slm_tokens *out)
{
    out->len = 0;
    char *end = line;
    for (char *at = line; *at; at = end) {
        long id = strtol(at, &end, 10);
        if (end == at) break;
        slm_tokens_append(out, (slm_token)id);
    }
    return out->len;
}

int main(int argc, char **argv)
{
    slm_error err = {0};
    slm_device *device = NULL;
    slm_tensors *file = NULL;
    slm_model *model = NULL;
    slm_engine *engine = NULL;
    if (argc != 6) {
        fprintf(stderr, "usage: dump_logits MODEL f32|bf16 KERNELS IDS OUT\n");
        return 2;
    }
    char *adapter = strchr(argv[1], '+');
    if (adapter) *adapter++ = 0;
    const slm_device_options device_options = {.kernels = argv[3][0] ? argv[3] : NULL};
    const slm_model_options options = {.dtype = strcmp(argv[2], "f32") == 0 ? SLM_F32 : SLM_BF16};
    const slm_engine_options engine_options = slm_engine_options_default();
    if (slm_device_open(&device_options, &device, &err) != SLM_OK ||
        slm_tensors_open(argv[1], &file, &err) != SLM_OK ||
        slm_model_load(device, file, &options, &model, &err) != SLM_OK ||
        (adapter && slm_model_load_adapter(model, adapter, &err) != SLM_OK) ||
        slm_engine_new(model, NULL, &engine_options, &engine, &err) != SLM_OK)
        fail(&err);
    size_t vocabulary = (size_t)slm_model_get_config(model)->vocabulary;
    FILE *in = fopen(argv[4], "r"), *out = fopen(argv[5], "wb");
    if (!in || !out) {
        perror("dump_logits");
        return 1;
    }
    char *line = NULL;
    size_t cap = 0;
    slm_tokens ids = {0};
    while (getline(&line, &cap, in) > 0) {
        size_t n = read_ids(line, &ids);
        if (n == 0) continue;
        float *logits = calloc(n * vocabulary, sizeof *logits);
        float *scores = calloc(n, sizeof *scores);
        if (!logits || !scores) return 1;
        if (slm_engine_score(engine, ids.ids, n, scores, logits, &err) != SLM_OK) fail(&err);
        fwrite(logits, sizeof *logits, n * vocabulary, out);
        free(logits);
        free(scores);
    }
    free(line);
    slm_tokens_free(&ids);
    fclose(in);
    int status = fclose(out) != 0;
    slm_engine_free(engine);
    slm_model_free(model);
    slm_tensors_close(file);
    slm_device_close(device);
    return status;
}
