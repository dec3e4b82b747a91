/* open.c: which kind of MODEL or JUDGE a string names (README.md), and who opens it.
 *
 * A string with a known "scheme:" in front is a remote or recorded model; everything else is a path.
 * Whatever it is, its replies are recorded where that is wanted. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "open_internal.h"
#include "provider/record.h"

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static slm_status open_chat(const char *model, const slm_open_options *options, slm_chat **out,
                            slm_error *err)
{
    if (slm_remote_is(model)) {
        if (options->remote == NULL)
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "%s: only models on this machine are taken here: a .gguf file, a "
                                 "Hugging Face folder or recorded:FILE",
                                 model);
        return slm_chat_remote_open(model, options->remote, out, err);
    }
    if (has_prefix(model, "hf:") || has_prefix(model, "pip:"))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: is a source, not a MODEL; bring it with `slm pull %s`, which "
                             "prints the path to give here",
                             model, model);
    if (has_prefix(model, "recorded:"))
        return slm_chat_recorded_open(model + strlen("recorded:"), out, err);
    return open__local_chat(model, options, out, err);
}

slm_status slm_open_chat(const char *model, const slm_open_options *options, slm_chat **out,
                         slm_error *err)
{
    SLM_TRY(open_chat(model, options, out, err));
    if (options->name) {
        char *name = strdup(options->name);
        if (!name) slm_out_of_memory(strlen(options->name));
        free((*out)->name);
        (*out)->name = name;
    }
    return options->record ? slm_chat_record_open(*out, options->record, out, err) : SLM_OK;
}

slm_status slm_open_embed(const char *model, const slm_open_options *options, slm_embed **out,
                          slm_error *err)
{
    if (has_prefix(model, "recorded:"))
        SLM_TRY(slm_embed_recorded_open(model + strlen("recorded:"), out, err));
    else if (slm_remote_is(model) && options->remote != NULL)
        SLM_TRY(slm_embed_remote_open(model, options->remote, out, err));
    else
        SLM_TRY(open__local_embed(model, options, out, err));
    return options->record ? slm_embed_record_open(*out, options->record, out, err) : SLM_OK;
}

/* Answers are not sent anywhere for the rule judge's sake. */
static slm_status open_rule_encoder(const char *judge, const slm_open_options *options,
                                    slm_embed **out, slm_error *err)
{
    const char *encoder = judge + strlen("rule+");
    if (encoder[0] == '\0' || slm_remote_is(encoder))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: the encoder behind rule+ is a folder on this machine, such as "
                             "all-MiniLM-L6-v2's, or recorded:FILE",
                             judge);
    slm_status status = slm_open_embed(encoder, options, out, err);
    return status == SLM_OK ? SLM_OK : slm_error_prefix(err, status, "the judge %s", judge);
}

slm_status slm_open_matcher(const char *judge, const slm_open_options *options, slm_matcher **out,
                            slm_error *err)
{
    slm_embed *encoder = NULL;
    if (strcmp(judge, "rule") == 0) {
        *out = slm_matcher_new();
        return SLM_OK;
    }
    if (!has_prefix(judge, "rule+"))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: does not match texts; rule and rule+ENCODER do", judge);
    SLM_TRY(open_rule_encoder(judge, options, &encoder, err));
    *out = slm_matcher_new_with(encoder);
    return SLM_OK;
}

slm_status slm_open_judge(const char *judge, const slm_open_options *options,
                          const slm_judge_options *judge_options, slm_judge **out, slm_error *err)
{
    if (strcmp(judge, "rule") == 0) return slm_judge_rule_new(out, err);
    if (has_prefix(judge, "rule+")) {
        slm_embed *encoder = NULL;
        SLM_TRY(open_rule_encoder(judge, options, &encoder, err));
        return slm_judge_rule_new_with(encoder, out, err);
    }
    if (has_prefix(judge, "human:"))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: a person grades a sheet: slm judge export makes one, slm judge "
                             "import --judge %s takes it back",
                             judge, judge);
    slm_open_options open = *options;
    open.template = NULL; /* that of the models that are judged */
    open.name = NULL;
    slm_chat *chat = NULL;
    slm_status status = slm_open_chat(judge, &open, &chat, err);
    if (status != SLM_OK) return slm_error_prefix(err, status, "the judge (`rule` or a MODEL)");
    return slm_judge_model_new(chat, judge_options, out, err);
}

slm_status slm_open_judges(const char *const *judges, size_t count, const slm_open_options *options,
                           const slm_judge_options *judge_options, slm_judge **out, slm_error *err)
{
    slm_judge **members = calloc(count + 1, sizeof(slm_judge *));
    if (!members) slm_out_of_memory(count);
    slm_status status = SLM_OK;
    size_t opened = 0;
    while (opened < count && status == SLM_OK) {
        status = slm_open_judge(judges[opened], options, judge_options, &members[opened], err);
        opened += status == SLM_OK;
    }
    if (status != SLM_OK) {
        while (opened > 0)
            slm_judge_free(members[--opened]);
    } else if (count == 1) {
        *out = members[0];
    } else {
        status = slm_judge_jury_new(members, count, out, err);
    }
    free(members);
    return status;
}

slm_status slm_open_tokenizer(const char *model, slm_tokenizer **out, slm_error *err)
{
    if (slm_file_is_folder(model)) {
        slm_buffer path = {0};
        slm_file_join(&path, model, "tokenizer.json");
        const bool json = slm_file_exists(slm_buffer_text(&path));
        if (!json) /* BERT's older folders have the vocabulary alone */
            slm_file_join(&path, model, "vocab.txt");
        const bool vocab = !json && slm_file_exists(slm_buffer_text(&path));
        slm_status status =
            json    ? slm_tokenizer_from_json(slm_buffer_text(&path), out, err)
            : vocab ? slm_tokenizer_from_vocab(slm_buffer_text(&path), out, err)
                    : slm_error_set(err, SLM_ERR_NOT_FOUND,
                                    "%s holds no tokenizer.json: fetch the whole folder", model);
        slm_buffer_free(&path);
        return status;
    }
    if (slm_file_has_ending(model, ".json")) return slm_tokenizer_from_json(model, out, err);
    slm_tensors *file = NULL;
    SLM_TRY(slm_tensors_open(model, &file, err));
    slm_status status = slm_tokenizer_from_gguf(file, out, err);
    slm_tensors_close(file);
    return status;
}
