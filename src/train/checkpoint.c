/* checkpoint.c: a stage's state on disk, whole or not there.
 *
 * A checkpoint is a folder: adapter_config.json and adapter_model.safetensors in PEFT's layout (f32:
 * what the optimiser works on; rounded, what rollouts use), or model.safetensors where all weights
 * are trained; optimiser.safetensors; state.json. It is written beside the old one under another
 * name and synced; then the old one is moved aside and the new one takes its place. A reader that
 * finds none by that name takes the one moved aside. */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "train_internal.h"
#include "open/open.h"

/* ---- folders ------------------------------------------------------------------------------- */

/* Remove a folder of plain files; none is fine. */
static slm_status remove_folder(const char *path, slm_error *err)
{
    DIR *folder = opendir(path);
    slm_buffer file = {0};
    if (!folder) return SLM_OK;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        slm_file_join(&file, path, entry->d_name);
        (void)unlink(slm_buffer_text(&file));
    }
    closedir(folder);
    slm_buffer_free(&file);
    if (rmdir(path) != 0)
        return slm_error_set(err, SLM_ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
    return SLM_OK;
}

/* FOLDER/NAME; where a save was broken off between its two moves, the old one is moved back. */
static void find_folder(const char *folder, const char *name, slm_buffer *out)
{
    slm_buffer old = {0};
    slm_file_join(out, folder, name);
    slm_buffer_printf(&old, "%s.old", slm_buffer_text(out));
    if (!slm_file_is_folder(slm_buffer_text(out)) && slm_file_is_folder(slm_buffer_text(&old)) &&
        slm_file_replace(slm_buffer_text(&old), slm_buffer_text(out), NULL) != SLM_OK)
        slm_buffer_append_text(out, ".old"); /* read-only: read it where it is */
    slm_buffer_free(&old);
}

static slm_status take_place(const char *fresh, const char *path, slm_error *err)
{
    slm_buffer old = {0};
    slm_buffer_printf(&old, "%s.old", path);
    slm_status status = SLM_OK;
    if (slm_file_is_folder(path)) {
        SLM_TRY_OUT(remove_folder(slm_buffer_text(&old), err));
        SLM_TRY_OUT(slm_file_replace(path, slm_buffer_text(&old), err));
    }
    SLM_TRY_OUT(slm_file_replace(fresh, path, err));
    SLM_TRY_OUT(remove_folder(slm_buffer_text(&old), err));
out:
    slm_buffer_free(&old);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------- */

static const char *const matrix_names[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                           "gate_proj", "up_proj", "down_proj"};

/* As peft writes it, with what its loader needs. */
static slm_status write_adapter_config(const char *folder, const slm_train *train, slm_error *err)
{
    slm_lora_options lora;
    slm_buffer path = {0};
    char *base = NULL, *adapter = NULL;
    if (!slm_model_adapter_options(slm_open_model(train->chat), &lora)) return SLM_OK;
    slm_open_split(train->recipe->run.model, &base, &adapter);
    json_t *targets = json_array();
    for (unsigned i = 0; i < 7; i++)
        if (lora.matrices >> i & 1) json_array_append_new(targets, json_string(matrix_names[i]));
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:i, s:f, s:f, s:o, s:s, s:b, s:b, s:b, s:n, s:b}", "peft_type", "LORA",
        "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "r", lora.rank, "lora_alpha",
        lora.alpha, "lora_dropout", train->recipe->lora.dropout, "target_modules", targets, "bias",
        "none", "use_rslora", lora.rank_stabilised, "fan_in_fan_out", false, "inference_mode", true,
        "modules_to_save", "init_lora_weights", true);
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    SLM_ASSERT(text);
    slm_file_join(&path, folder, "adapter_config.json");
    slm_status status = slm_file_write(slm_buffer_text(&path), text, strlen(text), err);
    free(text);
    free(base);
    free(adapter);
    slm_buffer_free(&path);
    return status;
}

train__state train__state_none(void)
{
    return (train__state){.best_loss = NAN,
                          .first_loss = NAN,
                          .best_score = NAN,
                          .first_score = NAN,
                          .first_entropy = NAN};
}

static void put_number(json_t *root, const char *key, double value)
{
    json_object_set_new(root, key, isfinite(value) ? json_real(value) : json_null());
}

static slm_status write_state(const char *folder, const slm_train *train, const train__state *s,
                              slm_error *err)
{
    slm_buffer path = {0}, text = {0};
    json_t *past = json_array();
    json_t *root = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:s, s:s, s:s, s:i}", "step", (json_int_t)s->step,
        "steps", (json_int_t)s->steps, "best_step", (json_int_t)s->best_step, "metrics_bytes",
        (json_int_t)s->log.lines, "events_bytes", (json_int_t)s->log.events, "samples_bytes",
        (json_int_t)s->log.samples, "finished", s->finished, "recipe", s->settings.sha256, "data",
        s->data, "kernels", s->kernels, "model", train->chat->identity, "world", 1);
    json_object_set_new(root, "settings", json_string(s->settings.text));
    put_number(root, "best_loss", s->best_loss);
    put_number(root, "first_loss", s->first_loss);
    put_number(root, "best_score", s->best_score);
    put_number(root, "first_score", s->first_score);
    put_number(root, "first_entropy", s->first_entropy);
    for (size_t i = 0; i < s->past_count; i++)
        json_array_append_new(past, json_real(s->past[i]));
    json_object_set_new(root, "past", past);
    slm_json_append_canonical(&text, root);
    slm_buffer_append_char(&text, '\n');
    json_decref(root);
    slm_file_join(&path, folder, "state.json");
    slm_status status = slm_file_write(slm_buffer_text(&path), text.data, text.len, err);
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}

static const char *weights_name(const slm_train *train)
{
    return slm_recipe_wants_adapter(train->recipe) ? "adapter_model.safetensors"
                                                   : "model.safetensors";
}

slm_status train__checkpoint_save(const char *folder, const char *name, const slm_train *train,
                                  slm_training *training, train__optimiser *optimiser,
                                  const train__state *state, slm_error *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    slm_status status = SLM_OK;
    slm_buffer path = {0}, fresh = {0}, file = {0};
    slm_file_join(&path, folder, name);
    slm_buffer_printf(&fresh, "%s.new", slm_buffer_text(&path));
    SLM_TRY_OUT(remove_folder(slm_buffer_text(&fresh), err));
    SLM_TRY_OUT(slm_file_make_folders(slm_buffer_text(&fresh), err));
    slm_file_join(&file, slm_buffer_text(&fresh), weights_name(train));
    SLM_TRY_OUT(slm_training_save(training, slm_buffer_text(&file), metadata, 1, err));
    SLM_TRY_OUT(write_adapter_config(slm_buffer_text(&fresh), train, err));
    if (optimiser) {
        slm_file_join(&file, slm_buffer_text(&fresh), "optimiser.safetensors");
        SLM_TRY_OUT(train__optimiser_save(optimiser, slm_buffer_text(&file), err));
    }
    SLM_TRY_OUT(write_state(slm_buffer_text(&fresh), train, state, err));
    SLM_TRY_OUT(take_place(slm_buffer_text(&fresh), slm_buffer_text(&path), err));
out:
    if (status != SLM_OK) remove_folder(slm_buffer_text(&fresh), NULL);
    slm_buffer_free(&path);
    slm_buffer_free(&fresh);
    slm_buffer_free(&file);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------- */

static slm_status read_text(const json_t *root, const char *key, const slm_json_place *place,
                            char *out, size_t size, slm_error *err)
{
    const char *text = NULL;
    SLM_TRY(slm_json_string(root, key, place, &text, err));
    if (strlen(text) >= size) return slm_json_error(place, err, "%s is too long", key);
    memcpy(out, text, strlen(text) + 1);
    return SLM_OK;
}

static slm_status read_past(const json_t *root, const slm_json_place *place, train__state *out,
                            slm_error *err)
{
    json_t *list = NULL;
    SLM_TRY(slm_json_array_optional(root, "past", place, &list, err));
    if (!out->past) return SLM_OK;
    if (json_array_size(list) != out->past_count)
        return slm_json_error(place, err, "tells of %zu cases, the recipe has %zu",
                              json_array_size(list), out->past_count);
    for (size_t i = 0; i < out->past_count; i++)
        out->past[i] = json_number_value(json_array_get(list, i));
    return SLM_OK;
}

static slm_status read_state(const json_t *root, const char *path, train__state *out,
                             slm_error *err)
{
    const slm_json_place place = {.name = path};
    int64_t metrics = 0, events = 0, samples = 0;
    double *const past = out->past;
    const size_t past_count = out->past_count;
    *out = train__state_none();
    out->past = past;
    out->past_count = past_count;
    SLM_TRY(slm_json_integer(root, "step", &place, &out->step, err));
    SLM_TRY(slm_json_integer(root, "steps", &place, &out->steps, err));
    SLM_TRY(slm_json_integer(root, "best_step", &place, &out->best_step, err));
    SLM_TRY(slm_json_number_optional(root, "best_loss", &place, &out->best_loss, err));
    SLM_TRY(slm_json_number_optional(root, "first_loss", &place, &out->first_loss, err));
    SLM_TRY(slm_json_number_optional(root, "best_score", &place, &out->best_score, err));
    SLM_TRY(slm_json_number_optional(root, "first_score", &place, &out->first_score, err));
    SLM_TRY(slm_json_number_optional(root, "first_entropy", &place, &out->first_entropy, err));
    SLM_TRY(slm_json_integer(root, "samples_bytes", &place, &samples, err));
    SLM_TRY(slm_json_integer(root, "metrics_bytes", &place, &metrics, err));
    SLM_TRY(slm_json_integer(root, "events_bytes", &place, &events, err));
    SLM_TRY(slm_json_bool_optional(root, "finished", &place, &out->finished, err));
    SLM_TRY(
        read_text(root, "recipe", &place, out->settings.sha256, sizeof out->settings.sha256, err));
    SLM_TRY(read_text(root, "data", &place, out->data, sizeof out->data, err));
    SLM_TRY(read_text(root, "kernels", &place, out->kernels, sizeof out->kernels, err));
    if (out->step < 0 || out->step > out->steps || metrics < 0 || events < 0 || samples < 0)
        return slm_json_error(&place, err, "holds impossible counts; the file is damaged");
    out->log = (train__sizes){(uint64_t)metrics, (uint64_t)events, (uint64_t)samples};
    return read_past(root, &place, out, err);
}

slm_status train__checkpoint_state(const char *folder, const char *name, bool *found,
                                   train__state *out, slm_error *err)
{
    slm_buffer path = {0}, file = {0};
    json_t *root = NULL;
    slm_status status = SLM_OK;
    find_folder(folder, name, &path);
    slm_file_join(&file, slm_buffer_text(&path), "state.json");
    *found = slm_file_exists(slm_buffer_text(&file));
    if (!*found) goto out;
    SLM_TRY_OUT(slm_json_load(slm_buffer_text(&file), &root, err));
    SLM_TRY_OUT(read_state(root, slm_buffer_text(&file), out, err));
out:
    json_decref(root);
    slm_buffer_free(&path);
    slm_buffer_free(&file);
    return status;
}

/* The line of a setting, `key=`, in a text of them; NULL: it has none. */
static const char *find_setting(const char *text, const char *key, size_t len)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, key, len) == 0) return line;
    return NULL;
}

/* "sft.epochs was 2 and is 1": the first that differs. */
static void tell_difference(const char *was, const char *is, slm_buffer *out)
{
    for (const char *line = is; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const int key = (int)strcspn(line, "="), all = (int)strcspn(line, "\n");
        const char *old = find_setting(was, line, (size_t)key + 1);
        if (old && strncmp(old, line, (size_t)all + 1) == 0) continue;
        slm_buffer_printf(out, "%.*s was %.*s and is %.*s", key, line,
                          old ? (int)strcspn(old + key + 1, "\n") : 7,
                          old ? old + key + 1 : "not set", all - key - 1, line + key + 1);
        return;
    }
    slm_buffer_append_text(out, "a setting is gone");
}

slm_status train__settings_check(const char *folder, const train__state *last,
                                 const slm_recipe_settings *now, slm_error *err)
{
    slm_buffer path = {0}, file = {0}, what = {0};
    json_t *root = NULL;
    const char *was = NULL;
    slm_status status = SLM_OK;
    if (strcmp(last->settings.sha256, now->sha256) == 0) return SLM_OK;
    find_folder(folder, "last", &path);
    slm_file_join(&file, slm_buffer_text(&path), "state.json");
    SLM_TRY_OUT(slm_json_load(slm_buffer_text(&file), &root, err));
    was = json_string_value(json_object_get(root, "settings"));
    if (was) tell_difference(was, now->text, &what);
    status = slm_error_set(err, SLM_ERR_INVALID,
                           "%s/last was made with other settings%s%s; choose another output, or "
                           "remove %s, and the folders of the stages behind it, to begin anew",
                           folder, was ? ": " : "", slm_buffer_text(&what), folder);
out:
    json_decref(root);
    slm_buffer_free(&path);
    slm_buffer_free(&file);
    slm_buffer_free(&what);
    return status;
}

slm_status train__state_check(const char *folder, const train__state *last, const train__state *now,
                              slm_error *err)
{
    SLM_TRY(train__settings_check(folder, last, &now->settings, err));
    if (strcmp(last->data, now->data) != 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s/last was made of other data, or with another judge or patient; "
                             "choose another output, or remove %s, and the folders of the stages "
                             "behind it, to begin anew",
                             folder, folder);
    if (strcmp(last->kernels, now->kernels) != 0)
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "%s/last was computed with --kernels %s, this would be %s; the results "
            "would differ: name it, or begin anew elsewhere",
            folder, last->kernels, now->kernels);
    return SLM_OK;
}

/* A checkpoint belongs to the base, template and dtype that it was made beside. */
static slm_status check_model(const char *folder, const slm_train *train, slm_error *err)
{
    slm_buffer file = {0};
    json_t *root = NULL;
    const char *identity = NULL;
    slm_status status = SLM_OK;
    slm_file_join(&file, folder, "state.json");
    const slm_json_place place = {.name = slm_buffer_text(&file)};
    SLM_TRY_OUT(slm_json_load(slm_buffer_text(&file), &root, err));
    SLM_TRY_OUT(slm_json_string(root, "model", &place, &identity, err));
    if (strcmp(identity, train->chat->identity) != 0)
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "%s was made with another model, template or --dtype than %s has "
                               "now, or what comes before this stage was trained anew; choose "
                               "another output, or remove the stage's folder to begin it anew",
                               folder, train->recipe->run.model);
out:
    json_decref(root);
    slm_buffer_free(&file);
    return status;
}

slm_status train__checkpoint_load(const char *folder, const char *name, const slm_train *train,
                                  slm_training *training, train__optimiser *optimiser,
                                  slm_error *err)
{
    slm_buffer path = {0}, file = {0};
    slm_tensors *tensors = NULL;
    slm_status status = SLM_OK;
    find_folder(folder, name, &path);
    SLM_TRY_OUT(check_model(slm_buffer_text(&path), train, err));
    slm_file_join(&file, slm_buffer_text(&path), weights_name(train));
    SLM_TRY_OUT(slm_tensors_open(slm_buffer_text(&file), &tensors, err));
    SLM_TRY_OUT(slm_training_load(training, tensors, err));
    if (optimiser) {
        slm_file_join(&file, slm_buffer_text(&path), "optimiser.safetensors");
        SLM_TRY_OUT(train__optimiser_load(optimiser, slm_buffer_text(&file), err));
    }
out:
    slm_tensors_close(tensors);
    slm_buffer_free(&path);
    slm_buffer_free(&file);
    return status;
}
