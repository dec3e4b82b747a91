/* replay.c: what a model knows in general, kept by learning its own answers along with the new.
 *
 * A model that learns one manner forgets others. General requests are answered by the model itself
 * before the stage begins, and a share of the examples are those answers (rehearsal; Robins 1995): no
 * data but the requests are needed, and nothing is taught but what was known. A recipe that thinks asks
 * for thoughts too, and learns them as they came.
 *
 * FOLDER/answers.jsonl keeps each answer as soon as it came, so that a run that was broken off goes on
 * with the next. Its first line is a hash of everything that decides them: if that is another, they are
 * asked again. FOLDER/replay.jsonl, what is learnt, is written from it when all are there, in the order
 * of the requests; so it does not show in which order they came, nor in how many runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/progress.h"
#include "train_internal.h"

enum { REPLY_TOKENS = 256, MOST_MESSAGES = 64 };

typedef struct replay {
    const slm_train *train;
    const char *folder;
    json_t *rows;     /* every conversation, ending with the user */
    json_t **answers; /* [count]; JSON's null: cut off, or empty; NULL: not there yet */
    uint64_t *tickets;
    size_t count, done;
    size_t next, in_flight; /* all before `next` are there or in flight */
    slm_buffer path;        /* of answers.jsonl */
    FILE *file;
    slm_error *err;
} replay;

static slm_status read_requests(replay *r)
{
    const slm_option_list *paths = &r->train->recipe->sft.replay;
    slm_status status = SLM_OK;
    r->rows = json_array();
    for (size_t i = 0; i < paths->count && status == SLM_OK; i++) {
        slm_jsonl *file = NULL;
        slm_json_place place = {.name = paths->items[i]};
        SLM_TRY(slm_jsonl_open(paths->items[i], &file, r->err));
        for (;;) {
            json_t *row = NULL, *messages = NULL;
            status = slm_jsonl_next(file, &row, &place.line, r->err);
            if (status != SLM_OK || !row) break;
            status = slm_json_array(row, "messages", &place, &messages, r->err);
            const size_t n = json_array_size(messages);
            const char *last = NULL;
            if (n > 0)
                last = json_string_value(json_object_get(json_array_get(messages, n - 1), "role"));
            if (status == SLM_OK && (!last || strcmp(last, "user") != 0 || n > MOST_MESSAGES))
                status = slm_json_error(&place, r->err,
                                        "messages must end with the user's, and be at most %d",
                                        MOST_MESSAGES);
            if (status == SLM_OK) json_array_append(r->rows, messages);
            json_decref(row);
            if (status != SLM_OK) break;
        }
        slm_jsonl_close(file);
    }
    r->count = json_array_size(r->rows);
    if (status == SLM_OK && r->count == 0)
        status =
            slm_error_set(r->err, SLM_ERR_INVALID, "%s: no request to replay", paths->items[0]);
    return status;
}

/* ---- answers that are kept ------------------------------------------------------------------- */

/* Greedy, and within what an example may have: a thought takes the room that it takes. */
static slm_chat_sampling sampling_of(const replay *r)
{
    slm_chat_sampling sampling = slm_chat_sampling_default();
    sampling.temperature = 0;
    sampling.thinking = slm_recipe_thinks(r->train->recipe);
    sampling.max_tokens = sampling.thinking ? r->train->recipe->sft.max_tokens : REPLY_TOKENS;
    return sampling;
}

/* Weights, adapter, template and kernels are in the model's identity. */
static void hash_origin(const replay *r, char out[SLM_SHA256_HEX_BYTES])
{
    slm_buffer text = {0};
    slm_sha256 *hash = slm_sha256_new();
    const slm_chat_sampling sampling = sampling_of(r);
    char *sampling_json = slm_chat_sampling_json(&sampling);
    slm_sha256_update_part(hash, r->train->chat->identity);
    slm_sha256_update_part(hash, r->train->recipe->run.system);
    slm_sha256_update_part(hash, sampling_json);
    slm_json_append_canonical(&text, r->rows);
    slm_sha256_update(hash, text.data, text.len);
    slm_sha256_finish(hash, out);
    slm_buffer_free(&text);
    free(sampling_json);
}

/* {"answer": TEXT or null, "request": INDEX}; false if the line is none, or of an answer that is there. */
static bool take_line(replay *r, const char *line, size_t len)
{
    json_t *row = json_loadb(line, len, 0, NULL);
    json_t *answer = json_object_get(row, "answer"), *request = json_object_get(row, "request");
    const json_int_t index = json_is_integer(request) ? json_integer_value(request) : -1;
    const bool taken = index >= 0 && (size_t)index < r->count && !r->answers[index] &&
                       (json_is_string(answer) || json_is_null(answer));
    if (taken) {
        r->answers[index] = json_incref(answer);
        r->done++;
    }
    json_decref(row);
    return taken;
}

/* Behind what is in the file; if that fails, or the process dies, half a line stays, which is dropped
 * when it is read. */
static slm_status append_line(replay *r, const slm_buffer *line)
{
    errno = 0;
    if (fwrite(line->data, 1, line->len, r->file) == line->len && fflush(r->file) == 0)
        return SLM_OK;
    return slm_error_set(r->err, SLM_ERR_IO, "cannot write %s: %s; the same command goes on",
                         slm_buffer_text(&r->path), strerror(errno));
}

/* The file is of another origin: an error if steps were taken with what is in it. */
static slm_status check_stale(const replay *r)
{
    static const char of_what[] = "answers to other requests, or of another model, system text, "
                                  "template, thinking or kernels";
    const char *path = slm_buffer_text(&r->path);
    slm_buffer last = {0};
    slm_file_join(&last, r->folder, "last");
    const bool begun = slm_file_exists(slm_buffer_text(&last));
    slm_buffer_free(&last);
    if (begun)
        return slm_error_set(
            r->err, SLM_ERR_INVALID,
            "%s: the stage was begun with %s; choose another output, or remove its "
            "folder to begin anew",
            path, of_what);
    slm_log_print(r->train->log, SLM_LOG_INFO, "replay: %s holds %s: asking again", path, of_what);
    return SLM_OK;
}

/* Take what is in the text of the file; *whole: how far it is whole, and of this origin. */
static slm_status take_answers(replay *r, const slm_buffer *text, const char *origin, size_t *whole)
{
    const char *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
    *whole = 0;
    if (!end) return SLM_OK;
    const size_t len = (size_t)(end - text->data) + 1;
    if (len != strlen(origin) || memcmp(text->data, origin, len) != 0) return check_stale(r);
    for (*whole = len; (end = memchr(text->data + *whole, '\n', text->len - *whole)) != NULL;) {
        const size_t line = (size_t)(end - text->data) - *whole;
        if (!take_line(r, text->data + *whole, line)) break;
        *whole += line + 1;
    }
    return SLM_OK;
}

/* What an earlier run left, and the file ready for more. */
static slm_status open_answers(replay *r)
{
    char sha256[SLM_SHA256_HEX_BYTES];
    slm_status status = SLM_OK;
    slm_buffer text = {0}, origin = {0};
    size_t whole = 0;
    hash_origin(r, sha256);
    slm_buffer_printf(&origin, "{\"made_of\":\"%s\"}\n", sha256);
    slm_file_join(&r->path, r->folder, "answers.jsonl");
    const char *path = slm_buffer_text(&r->path);
    if (slm_file_exists(path)) {
        SLM_TRY_OUT(slm_file_read(path, 0, &text, r->err));
        SLM_TRY_OUT(take_answers(r, &text, slm_buffer_text(&origin), &whole));
    }
    r->file = fopen(path, "ae");
    if (!r->file || ftruncate(fileno(r->file), (off_t)whole) != 0) {
        status = slm_error_set(r->err, SLM_ERR_IO, "cannot write %s: %s", path, strerror(errno));
        goto out;
    }
    if (whole == 0) SLM_TRY_OUT(append_line(r, &origin));
out:
    slm_buffer_free(&text);
    slm_buffer_free(&origin);
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------ */

static slm_status ask(replay *r, size_t index)
{
    slm_chat_message list[MOST_MESSAGES + 1];
    const json_t *messages = json_array_get(r->rows, index);
    const char *system = r->train->recipe->run.system;
    const slm_chat_sampling sampling = sampling_of(r);
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *one = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(one, "role"));
        const char *content = json_string_value(json_object_get(one, "content"));
        if (i == 0 && train__adds_system(system, role))
            list[count++] = (slm_chat_message){"system", system};
        list[count++] = (slm_chat_message){role ? role : "", content ? content : ""};
    }
    const slm_chat_request request = {
        .messages = list, .message_count = count, .n = 1, .sampling = sampling};
    return slm_chat_submit(r->train->chat, &request, &r->tickets[index], r->err);
}

/* The thought is learnt with the answer; without thinking there is an empty one before it. */
static void append_answer(const replay *r, const slm_chat_reply *reply, slm_buffer *out)
{
    slm_buffer text = {0};
    if (reply->reasoning && slm_recipe_thinks(r->train->recipe))
        slm_buffer_printf(&text, "<think>\n%s\n</think>\n\n", reply->reasoning);
    slm_buffer_append_text(&text, reply->text);
    slm_json_append_string(out, text.data, text.len);
    slm_buffer_free(&text);
}

/* An answer goes to the file first, and from its line to where those of an earlier run are too. */
static slm_status keep(replay *r, const slm_chat_reply *reply)
{
    slm_buffer line = {0};
    size_t index = 0;
    while (index < r->next && (r->answers[index] || r->tickets[index] != reply->ticket))
        index++;
    SLM_ASSERT(index < r->next);
    r->in_flight--;
    if (reply->finish == SLM_CHAT_ERROR || reply->finish == SLM_CHAT_CANCELLED)
        return slm_error_set(r->err, reply->error.status ? reply->error.status : SLM_ERR_CANCELLED,
                             "replay, request %zu: %s", index + 1, reply->error.message);
    slm_buffer_append_text(&line, "{\"answer\":");
    if (reply->finish == SLM_CHAT_STOP && reply->text[0] != '\0')
        append_answer(r, reply, &line);
    else
        slm_buffer_append_text(&line, "null");
    slm_buffer_printf(&line, ",\"request\":%zu}\n", index);
    const slm_status status = append_line(r, &line);
    if (status == SLM_OK) {
        const bool taken = take_line(r, line.data, line.len);
        SLM_ASSERT(taken);
    }
    slm_buffer_free(&line);
    return status;
}

/* As many as the model takes at once. */
static slm_status ask_more(replay *r)
{
    for (; r->next < r->count && r->in_flight < (size_t)r->train->chat->width; r->next++) {
        if (r->answers[r->next]) continue;
        SLM_TRY(ask(r, r->next));
        r->in_flight++;
    }
    return SLM_OK;
}

static slm_status answer(replay *r)
{
    slm_chat *chat = r->train->chat;
    slm_status status = SLM_OK;
    if (r->done > 0)
        slm_log_print(r->train->log, SLM_LOG_INFO, "replay goes on from answer %zu of %zu", r->done,
                      r->count);
    slm_progress *progress =
        slm_progress_new(r->train->log, "replay", "answers", r->count, r->done);
    while (status == SLM_OK && r->done < r->count) {
        slm_chat_reply *reply = NULL;
        status = ask_more(r);
        if (status == SLM_OK) status = slm_chat_poll(chat, 1000, &reply, r->err);
        if (reply) status = keep(r, reply);
        slm_chat_reply_free(reply);
        slm_progress_update(progress, r->done, NULL);
        if (status == SLM_OK && r->done < r->count && r->train->stop && *r->train->stop)
            status =
                slm_error_set(r->err, SLM_ERR_CANCELLED,
                              "stopped at answer %zu of %zu to replay; the same command goes on",
                              r->done, r->count);
    }
    slm_progress_finish(progress);
    return status;
}

static slm_status write_conversations(const replay *r, const char *path)
{
    const long long most = sampling_of(r).max_tokens;
    slm_buffer text = {0};
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (!json_is_string(r->answers[i])) continue;
        json_t *messages = json_array_get(r->rows, i);
        json_array_append_new(
            messages, json_pack("{s:s, s:O}", "role", "assistant", "content", r->answers[i]));
        json_t *row = json_pack("{s:O}", "messages", messages);
        slm_json_append_canonical(&text, row);
        slm_buffer_append_char(&text, '\n');
        json_decref(row);
        kept++;
    }
    slm_log_print(r->train->log, SLM_LOG_INFO,
                  "replay: %zu of %zu requests answered within %lld tokens", kept, r->count, most);
    slm_status status =
        kept > 0 ? slm_file_write(path, text.data, text.len, r->err)
                 : slm_error_set(r->err, SLM_ERR_INVALID,
                                 "sft.replay: the model ended no answer within %lld tokens", most);
    slm_buffer_free(&text);
    return status;
}

slm_status train__replay(const slm_train *train, const char *folder, slm_buffer *path,
                         slm_error *err)
{
    slm_status status = SLM_OK;
    replay r = {.train = train, .folder = folder, .err = err};
    slm_file_join(path, folder, "replay.jsonl");
    SLM_TRY_OUT(read_requests(&r));
    r.answers = calloc(r.count, sizeof *r.answers);
    r.tickets = calloc(r.count, sizeof *r.tickets);
    if (!r.answers || !r.tickets) slm_out_of_memory(r.count * sizeof *r.answers);
    SLM_TRY_OUT(open_answers(&r));
    if (r.done < r.count) SLM_TRY_OUT(answer(&r));
    SLM_TRY_OUT(write_conversations(&r, slm_buffer_text(path)));
out:
    for (size_t i = 0; r.answers && i < r.count; i++)
        json_decref(r.answers[i]);
    free(r.answers);
    free(r.tickets);
    json_decref(r.rows);
    if (r.file) fclose(r.file);
    slm_buffer_free(&r.path);
    return status;
}
