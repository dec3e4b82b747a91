/* pull_choose.c: which of a source's files slm needs.
 *
 * A model is either a folder that has config.json (adapter_config.json for an adapter) beside
 * safetensors, or a single GGUF file. The folder at the top wins; one below it is taken if it is the
 * only one. Of the folder come the configuration, the tokenizer, the template, the licence and the
 * weights: model.safetensors where there is one (other files are then the same weights in another
 * precision), else the numbered shards, else every safetensors file. Where that leaves a choice, as
 * among GGUF files of several precisions, it is the user's: --include. */
#include "pull_internal.h"

#include <fnmatch.h>
#include <string.h>

static bool is_gguf(const char *name)
{
    return slm_file_has_ending(name, ".gguf");
}

static bool is_safetensors(const char *name)
{
    return slm_file_has_ending(name, ".safetensors");
}

/* Length of the folder in front of a name, its '/' included; 0: at the top. */
static size_t folder_len(const char *name)
{
    return (size_t)(slm_file_basename(name) - name);
}

/* Whether `name` is `base` directly in the folder that is the first `len` bytes of `root`. */
static bool is_in(const char *name, const char *root, size_t len)
{
    return folder_len(name) == len && strncmp(name, root, len) == 0;
}

static bool has(const pull *p, const char *root, size_t len, const char *base)
{
    for (size_t i = 0; i < p->out->file_count; i++) {
        const char *name = p->out->files[i].name;
        if (is_in(name, root, len) && strcmp(name + len, base) == 0) return true;
    }
    return false;
}

static bool has_weights(const pull *p, const char *root, size_t len)
{
    for (size_t i = 0; i < p->out->file_count; i++) {
        const char *name = p->out->files[i].name;
        if (is_in(name, root, len) && is_safetensors(name)) return true;
    }
    return false;
}

/* Everything but the weights that reading a model may take. */
static bool is_small_part(const char *base)
{
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "adapter_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "vocab.txt",
                                        "merges.txt",
                                        "tokenizer.model",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(base, names[i]) == 0) return true;
    }
    return fnmatch("LICENSE*", base, 0) == 0 || fnmatch("NOTICE*", base, 0) == 0;
}

static void choose_folder(pull *p, const char *root, size_t len)
{
    const char *weights = "*.safetensors";
    bool index = false;
    if (has(p, root, len, "model.safetensors")) {
        weights = "model.safetensors";
    } else if (has(p, root, len, "model.safetensors.index.json")) {
        weights = "model-*-of-*.safetensors";
        index = true;
    } else if (has(p, root, len, "adapter_model.safetensors")) {
        weights = "adapter_model.safetensors";
    }
    for (size_t i = 0; i < p->out->file_count; i++) {
        slm_pull_file *file = &p->out->files[i];
        if (strncmp(file->name, root, len) != 0) continue;
        const char *rest = file->name + len;
        if (strchr(rest, '/') != NULL) {
            file->chosen = strcmp(rest, "1_Pooling/config.json") == 0;
        } else if (index && strcmp(rest, "model.safetensors.index.json") == 0) {
            file->chosen = true;
        } else {
            file->chosen = is_small_part(rest) || fnmatch(weights, rest, 0) == 0;
        }
    }
}

/* The error for several models in one source: `which` says what they are, `match` finds them. */
static slm_status ambiguous(const pull *p, const char *which, bool (*match)(const char *name))
{
    enum { SHOWN = 5 };
    slm_buffer names = {0};
    size_t count = 0;
    for (size_t i = 0; i < p->out->file_count; i++) {
        const char *name = p->out->files[i].name;
        if (!match(name)) continue;
        if (++count > SHOWN) continue;
        slm_buffer_printf(&names, "%s%.120s", count > 1 ? ", " : "", name);
    }
    slm_status status =
        slm_error_set(p->err, SLM_ERR_INVALID,
                      "%s has %zu %s: %s%s; choose with --include NAME (--list shows all)",
                      p->out->source, count, which, names.data, count > SHOWN ? ", ..." : "");
    slm_buffer_free(&names);
    return status;
}

static bool is_config(const char *name)
{
    const char *base = slm_file_basename(name);
    return strcmp(base, "config.json") == 0 || strcmp(base, "adapter_config.json") == 0;
}

static slm_status choose_needed(pull *p)
{
    const slm_pulled *out = p->out;
    const char *root = NULL;
    size_t root_len = 0, roots = 0, ggufs = 0;
    slm_pull_file *gguf = NULL;
    for (size_t i = 0; i < out->file_count; i++) {
        const char *name = out->files[i].name;
        size_t len = folder_len(name);
        if (is_gguf(name)) {
            gguf = &out->files[i];
            ggufs++;
        }
        if (!is_config(name) || !has_weights(p, name, len)) continue;
        if (root != NULL && is_in(name, root, root_len)) continue; /* both configurations */
        if (root != NULL && root_len == 0) continue;
        roots = len == 0 ? 1 : roots + 1;
        root = name;
        root_len = len;
    }
    if (roots == 1) {
        choose_folder(p, root, root_len);
        return SLM_OK;
    }
    if (roots > 1) return ambiguous(p, "models, each in its folder", is_config);
    if (ggufs > 1) return ambiguous(p, "GGUF files", is_gguf);
    if (gguf == NULL) {
        return slm_error_set(p->err, SLM_ERR_NOT_FOUND,
                             "%s has no model that slm reads, which is a GGUF file or safetensors "
                             "beside a config.json (--list shows its %zu files)",
                             out->source, out->file_count);
    }
    gguf->chosen = true;
    return SLM_OK;
}

static slm_status choose_included(pull *p)
{
    for (size_t g = 0; g < p->options->include_count; g++) {
        const char *glob = p->options->include[g];
        bool any = false;
        for (size_t i = 0; i < p->out->file_count; i++) {
            slm_pull_file *file = &p->out->files[i];
            if (fnmatch(glob, file->name, 0) != 0) continue;
            file->chosen = any = true;
        }
        if (!any) {
            return slm_error_set(p->err, SLM_ERR_NOT_FOUND,
                                 "--include %s matches none of the %zu files of %s (--list shows "
                                 "them)",
                                 glob, p->out->file_count, p->out->source);
        }
    }
    return SLM_OK;
}

/* --sha256 is the hash of the one file with weights. */
static slm_status expect_sha256(pull *p)
{
    slm_pull_file *model = NULL;
    size_t count = 0, chosen = 0;
    slm_pull_file *any = NULL;
    for (size_t i = 0; i < p->out->file_count; i++) {
        slm_pull_file *file = &p->out->files[i];
        if (!file->chosen) continue;
        any = file;
        chosen++;
        if (!is_gguf(file->name) && !is_safetensors(file->name)) continue;
        model = file;
        count++;
    }
    if (chosen == 1) {
        model = any;
        count = 1;
    }
    if (count != 1) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "--sha256 is for one file, and here are %zu with weights; leave it "
                             "out: the files are checked by what %s tells",
                             count, p->out->source);
    }
    const char *wanted = pull__lower(p, p->options->sha256);
    if (model->sha256 != NULL && strcmp(model->sha256, wanted) != 0 && p->kind != PULL_URL) {
        return slm_error_set(p->err, SLM_ERR_FORMAT,
                             "%s of %s has the sha256 %s, not %s; it is not the file that was "
                             "expected",
                             model->name, p->out->source, model->sha256, wanted);
    }
    model->sha256 = wanted;
    return SLM_OK;
}

slm_status pull__choose(pull *p)
{
    if (p->options->include_count > 0) {
        SLM_TRY(choose_included(p));
    } else if (p->single) {
        p->out->files[0].chosen = true; /* named by the user */
    } else {
        SLM_TRY(choose_needed(p));
    }
    return p->options->sha256 != NULL ? expect_sha256(p) : SLM_OK;
}

const char *pull__model_path(pull *p)
{
    const slm_pulled *out = p->out;
    const char *first = NULL, *gguf = NULL;
    size_t chosen = 0, ggufs = 0, common = 0;
    bool safetensors = false;
    for (size_t i = 0; i < out->file_count; i++) {
        const char *name = out->files[i].name;
        if (!out->files[i].chosen) continue;
        chosen++;
        if (is_gguf(name)) {
            gguf = name;
            ggufs++;
        }
        safetensors = safetensors || is_safetensors(name);
        if (first == NULL) {
            first = name;
            common = folder_len(name);
        }
        /* The folder that they share: cut back to the last '/' up to which they agree. */
        while (strncmp(first, name, common) != 0) {
            do
                common--;
            while (common > 0 && first[common - 1] != '/');
        }
    }
    const char *model = chosen == 1 ? first : ggufs == 1 && !safetensors ? gguf : NULL;
    if (model == NULL && common == 0) return out->folder;
    slm_buffer path = {0};
    slm_file_join(&path, out->folder, model != NULL ? model : first);
    if (model == NULL) {
        slm_buffer_truncate(&path, path.len - strlen(first) + common - 1);
    }
    const char *copy = slm_arena_strdup(&p->out->arena, path.data);
    slm_buffer_free(&path);
    return copy;
}
