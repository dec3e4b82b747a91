/* stage.c: what every stage has: a folder, a place in its steps, and a way to stop and go on. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/progress.h"
#include "open/open.h"
#include "train_internal.h"

slm_status train__stage_begin(train__stage *s, const char *name, const slm_train *train,
                              slm_error *err)
{
    *s = (train__stage){.train = train, .err = err, .name = name};
    slm_buffer path = {0};
    snprintf(s->folder, sizeof s->folder, "%.4000s/%s", train->recipe->run.output, name);
    slm_status status = slm_file_make_folders(s->folder, err);
    slm_file_join(&path, s->folder, "lock");
    if (status == SLM_OK) status = slm_file_lock_take(slm_buffer_text(&path), &s->lock, err);
    slm_buffer_free(&path);
    return status;
}

void train__stage_fresh(train__stage *s, int64_t steps, const slm_recipe_settings *settings,
                        const char *data_sha256, const char *dev_sha256)
{
    const char *kernels = slm_device_kernels(slm_open_device(s->train->chat));
    slm_sha256 *hash = slm_sha256_new();
    s->state = train__state_none();
    s->state.steps = steps;
    s->state.settings = *settings;
    snprintf(s->state.kernels, sizeof s->state.kernels, "%s", kernels);
    slm_sha256_update_part(hash, data_sha256);
    slm_sha256_update_part(hash, dev_sha256);
    slm_sha256_finish(hash, s->state.data);
}

slm_status train__stage_find(train__stage *s, bool *found)
{
    train__state last = s->state;
    SLM_TRY(train__checkpoint_state(s->folder, "last", found, &last, s->err));
    if (!*found) return SLM_OK;
    SLM_TRY(train__state_check(s->folder, &last, &s->state, s->err));
    last.settings = s->state.settings;
    s->state = last;
    s->saved = last.step;
    return SLM_OK;
}

slm_status train__stage_load_last(train__stage *s)
{
    SLM_TRY(train__checkpoint_load(s->folder, "last", s->train, s->training, s->optimiser, s->err));
    if (s->state.step > 0)
        slm_log_print(s->train->log, SLM_LOG_INFO, "%s goes on from step %lld of %lld", s->name,
                      (long long)s->state.step, (long long)s->state.steps);
    return SLM_OK;
}

slm_status train__stage_open_log(train__stage *s)
{
    s->started_s = slm_progress_clock_s();
    return train__metrics_open(s->folder, &s->state.log, &s->metrics, s->err);
}

void train__stage_tell_memory(const train__stage *s, int copies)
{
    size_t count;
    const slm_parameter *parameters = slm_training_parameters(s->training, &count);
    double bytes = (double)slm_training_bytes(s->training);
    for (size_t i = 0; i < count; i++)
        bytes +=
            (double)copies * sizeof(float) * (double)(parameters[i].rows * parameters[i].columns);
    slm_log_print(s->train->log, SLM_LOG_DEBUG, "%s takes %.0f MB beside the model", s->name,
                  bytes / 1e6);
}

slm_status train__stage_save(train__stage *s, const char *name, bool with_optimiser)
{
    SLM_TRY(train__metrics_sync(s->metrics, &s->state.log, s->err));
    SLM_TRY(train__checkpoint_save(s->folder, name, s->train, s->training,
                                   with_optimiser ? s->optimiser : NULL, &s->state, s->err));
    if (with_optimiser) s->saved = s->state.step;
    return SLM_OK;
}

slm_status train__stage_check_finite(const train__stage *s, double loss, double norm)
{
    if (isfinite(loss) && isfinite(norm)) return SLM_OK;
    return slm_error_set(s->err, SLM_ERR_INVALID,
                         "%s step %lld: the loss is %g and the gradient's norm %g; lower %s.rate; "
                         "the last checkpoint in %s is as it was",
                         s->name, (long long)s->state.step, loss, norm, s->name, s->folder);
}

slm_status train__stage_cancelled(const train__stage *s)
{
    return slm_error_set(s->err, SLM_ERR_CANCELLED,
                         "stopped at step %lld of %lld; the same command goes on",
                         (long long)s->saved, (long long)s->state.steps);
}

slm_status train__stage_pause(train__stage *s, bool *pauses, slm_train_result *result)
{
    const double budget_s = s->train->recipe->run.time_budget_minutes * 60;
    const bool stopped = s->train->stop && *s->train->stop;
    const bool late = budget_s > 0 && slm_progress_clock_s() - s->started_s > budget_s;
    *pauses = stopped || late;
    if (!*pauses) return SLM_OK;
    SLM_TRY(train__stage_save(s, "last", true));
    result->out_of_time = !stopped;
    return stopped ? train__stage_cancelled(s) : SLM_OK;
}

void train__stage_free(train__stage *s)
{
    train__metrics_close(s->metrics);
    train__optimiser_free(s->optimiser);
    slm_training_free(s->training);
    slm_file_lock_remove(s->lock);
    rmdir(s->folder); /* where nothing was begun; else it is not empty, and stays */
}
