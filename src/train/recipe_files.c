/* recipe_files.c: are the files there that a recipe names?
 *
 * Asked before the first stage, which may take hours: a missing file is told with the key that names
 * it and with what sets it, not with the name alone once a stage comes to it. Nothing is read, only
 * looked at, so a pipe (`<(...)`) keeps what is in it; what is in a file is for those who read it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "open/open.h"
#include "provider/remote.h"
#include "train_internal.h"

/* The file that the shipped recipes begin with. */
static const char small_model[] = "SmolLM2-135M-Instruct.Q4_1.gguf";

/* 0, or why the path cannot be read, as errno has it. */
static int unreadable(const char *path, bool may_be_folder)
{
    if (access(path, R_OK) != 0) return errno;
    return !may_be_folder && slm_file_is_folder(path) ? EISDIR : 0;
}

static slm_status refuse(const slm_recipe *r, const char *key, const char *path, int why,
                         const char *set_it, slm_error *err)
{
    return slm_error_set(err, why == ENOENT ? SLM_ERR_NOT_FOUND : SLM_ERR_IO,
                         "%s: %s: cannot open %s: %s; %s", r->path, key, path, strerror(why),
                         set_it);
}

static slm_status check_file(const slm_recipe *r, const char *key, const char *path, slm_error *err)
{
    char set_it[128];
    const int why = strcmp(path, "-") == 0 ? 0 : unreadable(path, false);
    snprintf(set_it, sizeof set_it, "set it in the recipe or with --set %s=FILE", key);
    return why ? refuse(r, key, path, why, set_it, err) : SLM_OK;
}

/* Base and adapter; what is no path is for those who open it. */
static slm_status check_model(const slm_recipe *r, slm_error *err)
{
    static const char *const others[] = {"recorded:", "hf:", "pip:"};
    char *parts[2] = {NULL, NULL};
    slm_status status = SLM_OK;
    if (slm_remote_is(r->run.model)) return SLM_OK;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(r->run.model, others[i], strlen(others[i])) == 0) return SLM_OK;
    slm_open_split(r->run.model, &parts[0], &parts[1]);
    for (size_t i = 0; i < 2 && status == SLM_OK; i++) {
        const int why = parts[i] ? unreadable(parts[i], true) : 0;
        const bool is_small =
            why == ENOENT && strcmp(slm_file_basename(parts[i]), small_model) == 0;
        if (why)
            status = refuse(r, "model", parts[i], why,
                            is_small ? "tools/fetch-smollm2 fetches it and prints where it is: "
                                       "--set model=\"$(tools/fetch-smollm2)\""
                                     : "set it in the recipe or with --set model=MODEL",
                            err);
    }
    free(parts[0]);
    free(parts[1]);
    return status;
}

slm_status slm_recipe_check_files(const slm_recipe *r, slm_error *err)
{
    const struct {
        bool wanted;
        const char *key;
        const slm_option_list *files;
    } lists[] = {
        {r->has_sft, "sft.data", &r->sft.data},     {r->has_sft, "sft.dev", &r->sft.dev},
        {r->has_sft, "sft.replay", &r->sft.replay}, {r->has_grpo, "grpo.data", &r->grpo.data},
        {r->has_grpo, "grpo.dev", &r->grpo.dev},    {r->has_eval, "eval.cases", &r->eval.cases}};
    SLM_TRY(check_model(r, err));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (size_t j = 0; lists[i].wanted && j < lists[i].files->count; j++)
            SLM_TRY(check_file(r, lists[i].key, lists[i].files->items[j], err));
    for (size_t i = 0; r->has_eval && i < r->eval.system.count; i++) {
        const char *text = r->eval.system.items[i];
        const int why = text[0] == '@' && strcmp(text, "@-") != 0 ? unreadable(text + 1, false) : 0;
        if (why)
            return refuse(r, "eval.system", text + 1, why,
                          "set it in the recipe or with --set eval.system=@FILE", err);
    }
    return SLM_OK;
}
