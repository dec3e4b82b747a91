/* metrics.c: the log of a stage: metrics.jsonl, the same numbers for TensorBoard, and samples to read.
 *
 * The files only grow. A checkpoint knows how long they were; a run that goes on from it cuts them
 * back to that, so that every step stands there once. Measured times stand apart, in "time": the rest
 * of a line is what it would be in a run that was never broken off. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "train_internal.h"

enum { LINES, EVENTS, SAMPLES, FILES };
static const char *const names[FILES] = {"metrics.jsonl", "events.out.tfevents.slm",
                                         "samples.jsonl"};

struct train__metrics {
    char *paths[FILES];
    int files[FILES];
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static slm_status append(train__metrics *m, int which, const void *bytes, size_t len,
                         slm_error *err)
{
    for (const char *at = bytes; len > 0;) {
        ssize_t n = write(m->files[which], at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return slm_error_set(err, SLM_ERR_IO,
                                 "%s: cannot write: %s; the last checkpoint is "
                                 "whole, and the same command goes on from it",
                                 m->paths[which], strerror(errno));
        at += n;
        len -= (size_t)n;
    }
    return SLM_OK;
}

slm_status train__metrics_open(const char *folder, const train__sizes *sizes, train__metrics **out,
                               slm_error *err)
{
    const uint64_t bytes[FILES] = {sizes->lines, sizes->events, sizes->samples};
    slm_status status = SLM_OK;
    slm_buffer path = {0}, first = {0};
    train__metrics *m = calloc(1, sizeof *m);
    if (!m) slm_out_of_memory(sizeof *m);
    m->files[LINES] = m->files[EVENTS] = m->files[SAMPLES] = -1;
    for (int i = 0; i < FILES; i++) {
        slm_file_join(&path, folder, names[i]);
        m->paths[i] = strdup(slm_buffer_text(&path));
        if (!m->paths[i]) slm_out_of_memory(path.len);
        m->files[i] = open(m->paths[i], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        const off_t end = m->files[i] < 0 ? -1 : lseek(m->files[i], 0, SEEK_END);
        if (end >= 0 && (uint64_t)end < bytes[i]) {
            status =
                slm_error_set(err, SLM_ERR_FORMAT,
                              "%s: has %lld bytes, and the checkpoint beside it knows of %llu; "
                              "put the file back, or remove the folder to begin anew",
                              m->paths[i], (long long)end, (unsigned long long)bytes[i]);
            goto out;
        }
        if (end < 0 || ftruncate(m->files[i], (off_t)bytes[i]) != 0) {
            status = slm_error_set(err, SLM_ERR_IO, "%s: %s", m->paths[i], strerror(errno));
            goto out;
        }
    }
    if (sizes->events == 0) {
        train__event_begin(&first, now_s());
        SLM_TRY_OUT(append(m, EVENTS, first.data, first.len, err));
    }
    *out = m;
    m = NULL;
out:
    train__metrics_close(m);
    slm_buffer_free(&path);
    slm_buffer_free(&first);
    return status;
}

slm_status train__metrics_put(train__metrics *m, int64_t step, json_t *values, json_t *times,
                              slm_error *err)
{
    slm_buffer text = {0};
    const double time_s = now_s();
    const char *key;
    json_t *value;
    json_t *line = json_pack("{s:I}", "step", (json_int_t)step);
    json_object_update(line, values);
    json_object_set(line, "time", times);
    slm_json_append_canonical(&text, line);
    slm_buffer_append_char(&text, '\n');
    slm_status status = append(m, LINES, text.data, text.len, err);
    slm_buffer_truncate(&text, 0);
    json_object_foreach(values, key, value)
    {
        if (json_is_number(value))
            train__event_scalar(&text, time_s, step, key, json_number_value(value));
    }
    json_object_foreach(times, key, value)
    {
        char tag[64];
        snprintf(tag, sizeof tag, "time/%s", key);
        train__event_scalar(&text, time_s, step, tag, json_number_value(value));
    }
    if (status == SLM_OK) status = append(m, EVENTS, text.data, text.len, err);
    json_decref(line);
    json_decref(values);
    json_decref(times);
    slm_buffer_free(&text);
    return status;
}

slm_status train__metrics_put_samples(train__metrics *m, const char *lines, size_t len,
                                      slm_error *err)
{
    return append(m, SAMPLES, lines, len, err);
}

slm_status train__metrics_sync(train__metrics *m, train__sizes *sizes, slm_error *err)
{
    uint64_t *const each[FILES] = {&sizes->lines, &sizes->events, &sizes->samples};
    for (int i = 0; i < FILES; i++) {
        const off_t end = lseek(m->files[i], 0, SEEK_END);
        if (end < 0 || fsync(m->files[i]) != 0)
            return slm_error_set(err, SLM_ERR_IO, "%s: %s", m->paths[i], strerror(errno));
        *each[i] = (uint64_t)end;
    }
    return SLM_OK;
}

void train__metrics_close(train__metrics *m)
{
    if (!m) return;
    for (int i = 0; i < FILES; i++) {
        if (m->files[i] >= 0) close(m->files[i]);
        free(m->paths[i]);
    }
    free(m);
}
