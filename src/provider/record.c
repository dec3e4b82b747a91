/* record.c: a chat, and an embedding, that write down what passes through them (record.h).
 *
 * Replies come in any order, so a line says which rollout it is; the last line of a rollout counts,
 * since a failed call that a later run asked again is there twice. Each line is one write to a file
 * opened for appending, so that a model and its judge can record into one file. */
#include "provider/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/json.h"
#include "remote_internal.h"

/* ---- the file ---- */

/* A last line without its end is whole (then it gets one) or was cut by a kill (then it goes). */
static slm_status mend_end(int fd, const char *path, slm_error *err)
{
    off_t size = lseek(fd, 0, SEEK_END), begin = size;
    slm_buffer tail = {0};
    slm_status status = SLM_OK;
    char c = '\n';
    while (begin > 0) {
        char block[4096];
        off_t from = begin > (off_t)sizeof block ? begin - (off_t)sizeof block : 0;
        ssize_t got = pread(fd, block, (size_t)(begin - from), from);
        if (got != (ssize_t)(begin - from)) break;
        const char *newline = memrchr(block, '\n', (size_t)got);
        if (newline != NULL) {
            begin = from + (newline - block) + 1;
            break;
        }
        begin = from;
    }
    if (begin < size) {
        json_t *root = NULL;
        size_t len = (size_t)(size - begin);
        slm_buffer_reserve(&tail, len);
        ssize_t got = pread(fd, tail.data, len, begin);
        bool whole =
            got == (ssize_t)len && slm_json_parse(tail.data, len, path, 1, &root, NULL) == SLM_OK;
        json_decref(root);
        if (whole ? write(fd, &c, 1) != 1 : ftruncate(fd, begin) != 0)
            status = slm_error_set(err, SLM_ERR_IO, "%s: %s", path, strerror(errno));
    }
    slm_buffer_free(&tail);
    return status;
}

static slm_status open_file(const char *path, int *out, slm_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat info;
    if (fd < 0)
        return slm_error_set(err, SLM_ERR_IO, "cannot write the recording %s: %s", path,
                             strerror(errno));
    /* A pipe or a device has no end to mend. */
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        slm_status status = mend_end(fd, path, err);
        if (status != SLM_OK) {
            close(fd);
            return status;
        }
    }
    *out = fd;
    return SLM_OK;
}

/* Appends the line and its newline. */
static slm_status append_line(int fd, const char *path, slm_buffer *line, slm_error *err)
{
    slm_buffer_append_char(line, '\n');
    for (size_t at = 0; at < line->len;) {
        ssize_t done = write(fd, line->data + at, line->len - at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0)
            return slm_error_set(err, SLM_ERR_IO, "cannot write the recording %s: %s", path,
                                 strerror(errno));
        at += (size_t)done;
    }
    return SLM_OK;
}

/* ---- chats ---- */

typedef struct pending {
    struct pending *next;
    uint64_t inner, outer; /* tickets */
    uint32_t first_rollout, left;
    char *opening; /* of the line, up to the rollout */
    char *sampling;
} pending;

typedef struct recording {
    slm_chat chat; /* first */
    slm_chat *inner;
    char *path;
    int fd;
    pending *pending;
} recording;

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) slm_out_of_memory(strlen(text));
    return copy;
}

static char *write_opening(const slm_chat *inner, const slm_chat_request *request)
{
    slm_buffer out = {0};
    slm_buffer_append_text(&out, "{\"messages\":[");
    for (size_t i = 0; i < request->message_count; i++) {
        slm_buffer_append_text(&out, i > 0 ? ",{" : "{");
        remote__append_member(&out, "role", request->messages[i].role);
        slm_buffer_append_char(&out, ',');
        remote__append_member(&out, "content", request->messages[i].content);
        slm_buffer_append_char(&out, '}');
    }
    slm_buffer_append_text(&out, "],");
    if (request->case_id != NULL) {
        remote__append_member(&out, "case", request->case_id);
        slm_buffer_append_char(&out, ',');
    }
    remote__append_member(&out, "model", inner->identity);
    return slm_buffer_take(&out);
}

static slm_status recording_submit(slm_chat *chat, const slm_chat_request *request, uint64_t number,
                                   slm_error *err)
{
    recording *r = (recording *)chat;
    uint64_t inner;
    SLM_TRY(slm_chat_submit(r->inner, request, &inner, err));
    pending *p = calloc(1, sizeof *p);
    if (p == NULL) slm_out_of_memory(sizeof *p);
    *p = (pending){.next = r->pending,
                   .inner = inner,
                   .outer = number,
                   .first_rollout = request->first_rollout,
                   .left = request->n,
                   .opening = write_opening(r->inner, request),
                   .sampling = slm_chat_sampling_json(&request->sampling)};
    r->pending = p;
    return SLM_OK;
}

static void append_count(slm_buffer *out, bool *first, const char *key, int64_t count)
{
    if (count < 0) return;
    slm_buffer_printf(out, "%s\"%s\":%" PRId64, *first ? "" : ",", key, count);
    *first = false;
}

static slm_status write_reply(const recording *r, const pending *p, const slm_chat_reply *reply,
                              slm_error *err)
{
    slm_buffer line = {0};
    bool first = true;
    slm_buffer_printf(&line, "%s,\"rollout\":%" PRIu64 ",\"sampling\":%s,", p->opening,
                      (uint64_t)p->first_rollout + reply->index, p->sampling);
    bool failed = reply->finish == SLM_CHAT_ERROR;
    remote__append_member(&line, "reply", failed ? reply->error.message : reply->text);
    slm_buffer_printf(&line, ",\"finish\":\"%s\"", slm_chat_finish_name(reply->finish));
    if (reply->reasoning != NULL) {
        slm_buffer_append_char(&line, ',');
        remote__append_member(&line, "reasoning", reply->reasoning);
    }
    slm_buffer_append_text(&line, ",\"usage\":{");
    append_count(&line, &first, "prompt_tokens", reply->prompt_tokens);
    append_count(&line, &first, "cached_tokens", reply->cached_tokens);
    append_count(&line, &first, "reply_tokens", reply->reply_tokens);
    append_count(&line, &first, "reasoning_tokens", reply->reasoning_tokens);
    slm_buffer_append_text(&line, "}}");
    slm_status status = append_line(r->fd, r->path, &line, err);
    slm_buffer_free(&line);
    return status;
}

static void pending_free(pending *p)
{
    free(p->opening);
    free(p->sampling);
    free(p);
}

static slm_status recording_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **out,
                                 slm_error *err)
{
    recording *r = (recording *)chat;
    slm_chat_reply *reply = NULL;
    slm_status status = SLM_OK;
    SLM_TRY(slm_chat_poll(r->inner, timeout_ms, &reply, err));
    if (reply == NULL) return SLM_OK;
    pending **at = &r->pending;
    while (*at != NULL && (*at)->inner != reply->ticket)
        at = &(*at)->next;
    pending *p = *at;
    SLM_ASSERT(p != NULL);
    if (reply->finish != SLM_CHAT_CANCELLED) status = write_reply(r, p, reply, err);
    reply->ticket = p->outer;
    if (--p->left == 0) {
        *at = p->next;
        pending_free(p);
    }
    if (status != SLM_OK) {
        slm_chat_reply_free(reply);
        return status;
    }
    *out = reply;
    return SLM_OK;
}

static void recording_cancel(slm_chat *chat, uint64_t number)
{
    recording *r = (recording *)chat;
    for (const pending *p = r->pending; p != NULL; p = p->next) {
        if (p->outer == number) slm_chat_cancel(r->inner, p->inner);
    }
}

static void recording_free(slm_chat *chat)
{
    recording *r = (recording *)chat;
    while (r->pending != NULL) {
        pending *p = r->pending;
        r->pending = p->next;
        pending_free(p);
    }
    slm_chat_free(r->inner);
    if (r->fd >= 0) close(r->fd);
    free(r->chat.name);
    free(r->chat.identity);
    free(r->path);
    free(r);
}

static const slm_chat_class recording_class = {.submit = recording_submit,
                                               .poll = recording_poll,
                                               .cancel = recording_cancel,
                                               .free = recording_free};

slm_chat *slm_chat_record_inner(slm_chat *chat)
{
    return chat->class == &recording_class ? ((recording *)chat)->inner : chat;
}

slm_status slm_chat_record_open(slm_chat *inner, const char *path, slm_chat **out, slm_error *err)
{
    int fd;
    *out = NULL;
    slm_status status = open_file(path, &fd, err);
    if (status != SLM_OK) {
        slm_chat_free(inner);
        return status;
    }
    recording *r = calloc(1, sizeof *r);
    if (r == NULL) slm_out_of_memory(sizeof *r);
    r->chat.class = &recording_class;
    r->chat.name = copy_text(inner->name);
    r->chat.identity = copy_text(inner->identity);
    r->chat.width = inner->width;
    r->chat.holds_lengths = inner->holds_lengths;
    r->inner = inner;
    r->path = copy_text(path);
    r->fd = fd;
    *out = &r->chat;
    return SLM_OK;
}

/* ---- embeddings ---- */

typedef struct recording_embed {
    slm_embed embed; /* first */
    slm_embed *inner;
    char *path;
    int fd;
} recording_embed;

static slm_status embed_run(slm_embed *embed, const char *const *texts, size_t count, float *out,
                            slm_error *err)
{
    recording_embed *r = (recording_embed *)embed;
    SLM_TRY(r->inner->class->run(r->inner, texts, count, out, err));
    slm_status status = SLM_OK;
    for (size_t i = 0; status == SLM_OK && i < count; i++) {
        slm_buffer line = {0};
        slm_buffer_append_char(&line, '{');
        remote__append_member(&line, "text", texts[i]);
        slm_buffer_append_char(&line, ',');
        remote__append_member(&line, "model", embed->identity);
        slm_buffer_append_text(&line, ",\"vector\":[");
        for (size_t d = 0; d < embed->dimensions; d++) {
            if (d > 0) slm_buffer_append_char(&line, ',');
            slm_json_append_number(&line, (double)out[i * embed->dimensions + d]);
        }
        slm_buffer_append_text(&line, "]}");
        status = append_line(r->fd, r->path, &line, err);
        slm_buffer_free(&line);
    }
    return status;
}

static void embed_free(slm_embed *embed)
{
    recording_embed *r = (recording_embed *)embed;
    slm_embed_free(r->inner);
    close(r->fd);
    free(r->embed.name);
    free(r->embed.identity);
    free(r->path);
    free(r);
}

static const slm_embed_class recording_embed_class = {.run = embed_run, .free = embed_free};

slm_status slm_embed_record_open(slm_embed *inner, const char *path, slm_embed **out,
                                 slm_error *err)
{
    int fd;
    *out = NULL;
    slm_status status = open_file(path, &fd, err);
    if (status != SLM_OK) {
        slm_embed_free(inner);
        return status;
    }
    recording_embed *r = calloc(1, sizeof *r);
    if (r == NULL) slm_out_of_memory(sizeof *r);
    r->embed = (slm_embed){.class = &recording_embed_class,
                           .name = copy_text(inner->name),
                           .identity = copy_text(inner->identity),
                           .dimensions = inner->dimensions};
    r->inner = inner;
    r->path = copy_text(path);
    r->fd = fd;
    *out = &r->embed;
    return SLM_OK;
}
