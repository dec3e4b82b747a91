/* synth_output.c: files of records that are only appended to.
 *
 * A record is one line of canonical JSON. A killed program leaves whole lines and perhaps the
 * beginning of one more. Reading takes the whole ones in order and changes nothing; what stands behind
 * those that were taken is cut off when the work begins. */
#include "data/synth_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"

static slm_status io_error(const synth__file *file, const char *what, slm_error *err)
{
    return slm_error_set(err, SLM_ERR_IO, "cannot %s %s: %s", what, file->path, strerror(errno));
}

/* The next whole line into head. */
static slm_status read_head(synth__file *file, slm_error *err)
{
    json_decref(file->head);
    file->head = NULL;
    if (file->reader == NULL) return SLM_OK;
    char *text = NULL;
    size_t cap = 0;
    errno = 0;
    ssize_t len = getline(&text, &cap, file->reader);
    slm_status status = SLM_OK;
    if (len < 0) {
        if (ferror(file->reader)) status = io_error(file, "read", err);
    } else if (text[len - 1] != '\n') {
        file->has_tail = true;
        if (text[0] != '{')
            status = slm_error_set(err, SLM_ERR_FORMAT,
                                   "%s:%zu: is no record of slm synth; name another file with -o",
                                   file->path, file->number + 1);
    } else {
        file->number++;
        status = slm_json_parse(text, (size_t)len, file->path, file->number, &file->head, err);
        if (status == SLM_OK && synth__file_head(file) == NULL)
            status = slm_error_set(err, SLM_ERR_FORMAT,
                                   "%s:%zu: has no %s: this is no file of slm synth; name another "
                                   "with -o",
                                   file->path, file->number, file->key);
    }
    free(text);
    return status;
}

slm_status synth__file_open(synth__file *file, const char *path, const char *key, slm_error *err)
{
    *file = (synth__file){.path = strdup(path), .key = key, .fd = -1};
    if (file->path == NULL) slm_out_of_memory(strlen(path));
    file->reader = fopen(path, "re");
    if (file->reader == NULL && errno != ENOENT) return io_error(file, "read", err);
    return read_head(file, err);
}

const char *synth__file_head(const synth__file *file)
{
    return json_string_value(json_object_get(file->head, file->key));
}

slm_status synth__file_take(synth__file *file, json_t **row, slm_error *err)
{
    if (row != NULL) *row = json_incref(file->head);
    file->kept = (int64_t)ftello(file->reader);
    return read_head(file, err);
}

static slm_status open_for_appending(synth__file *file, slm_error *err)
{
    file->fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file->fd < 0) return io_error(file, "write", err);
    if (ftruncate(file->fd, (off_t)file->kept) != 0) return io_error(file, "cut", err);
    return SLM_OK;
}

slm_status synth__file_begin(synth__file *file, slm_error *err)
{
    if (!file->has_tail && file->head == NULL) return SLM_OK;
    return open_for_appending(file, err);
}

slm_status synth__file_append(synth__file *file, const json_t *row, slm_error *err)
{
    if (file->fd < 0) SLM_TRY(open_for_appending(file, err));
    slm_buffer *line = &file->line;
    slm_buffer_truncate(line, 0);
    slm_json_append_canonical(line, row);
    slm_buffer_append_char(line, '\n');
    file->is_unsynced = true;
    for (size_t at = 0; at < line->len;) {
        ssize_t done = write(file->fd, line->data + at, line->len - at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return io_error(file, "write", err);
        at += (size_t)done;
    }
    return SLM_OK;
}

slm_status synth__file_sync(synth__file *file, slm_error *err)
{
    if (!file->is_unsynced) return SLM_OK;
    if (fdatasync(file->fd) != 0 && errno != EINVAL && errno != EROFS)
        return io_error(file, "sync", err);
    file->is_unsynced = false;
    return SLM_OK;
}

void synth__file_close(synth__file *file)
{
    if (file->path == NULL) return;
    if (file->reader != NULL) fclose(file->reader);
    if (file->fd >= 0) close(file->fd);
    json_decref(file->head);
    slm_buffer_free(&file->line);
    free(file->path);
    *file = (synth__file){.fd = -1};
}
