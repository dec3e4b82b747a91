/* replay.c: what a model knows in general, kept by learning its own answers along with the new.
 *
 * A model that learns one manner forgets others. General requests are answered by the model itself
 * before the stage begins, and a share of the examples are those answers (rehearsal; Robins 1995): no
 * data but the requests are needed, and nothing is taught but what was known. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "open/open.h"
#include "train_internal.h"

enum { REPLY_TOKENS = 256, MOST_MESSAGES = 64 };

typedef struct replay {
    const slm_train *train;
    json_t *rows;   /* every conversation, ending with the user */
    char **replies; /* [rows]; NULL: none, or cut off */
    uint64_t *tickets;
    size_t count, asked, done;
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

static slm_status ask(replay *r, size_t index)
{
    slm_chat_message list[MOST_MESSAGES + 1];
    const json_t *messages = json_array_get(r->rows, index);
    const char *system = r->train->recipe->run.system;
    slm_chat_sampling sampling = slm_chat_sampling_default();
    size_t count = 0;
    sampling.temperature = 0;
    sampling.max_tokens = REPLY_TOKENS;
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

static void keep(replay *r, const slm_chat_reply *reply)
{
    size_t index = 0;
    while (index < r->asked && r->tickets[index] != reply->ticket)
        index++;
    SLM_ASSERT(index < r->asked);
    if (reply->finish == SLM_CHAT_STOP && reply->text[0] != '\0')
        r->replies[index] = strdup(reply->text);
    r->done++;
}

static slm_status answer(replay *r)
{
    slm_chat *chat = r->train->chat;
    slm_status status = SLM_OK;
    slm_progress *progress = slm_progress_new(r->train->log, "replay", "answers", r->count, 0);
    while (status == SLM_OK && r->done < r->count) {
        slm_chat_reply *reply = NULL;
        while (status == SLM_OK && r->asked < r->count &&
               r->asked - r->done < (size_t)chat->width) {
            status = ask(r, r->asked);
            if (status == SLM_OK) r->asked++;
        }
        if (status == SLM_OK) status = slm_chat_poll(chat, 1000, &reply, r->err);
        if (reply) keep(r, reply);
        slm_chat_reply_free(reply);
        slm_progress_update(progress, r->done, NULL);
        if (status == SLM_OK && r->train->stop && *r->train->stop)
            status = slm_error_set(r->err, SLM_ERR_CANCELLED, "stopped before the first step");
    }
    slm_progress_finish(progress);
    return status;
}

static slm_status write_conversations(const replay *r, const char *path)
{
    slm_buffer text = {0};
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (!r->replies[i]) continue;
        json_t *messages = json_array_get(r->rows, i);
        json_array_append_new(
            messages, json_pack("{s:s, s:s}", "role", "assistant", "content", r->replies[i]));
        json_t *row = json_pack("{s:O}", "messages", messages);
        slm_json_append_canonical(&text, row);
        slm_buffer_append_char(&text, '\n');
        json_decref(row);
        kept++;
    }
    slm_log_print(r->train->log, SLM_LOG_INFO,
                  "replay: %zu of %zu requests answered within %d tokens", kept, r->count,
                  REPLY_TOKENS);
    slm_status status =
        kept > 0
            ? slm_file_write(path, text.data, text.len, r->err)
            : slm_error_set(r->err, SLM_ERR_INVALID,
                            "sft.replay: the model ended no answer within %d tokens", REPLY_TOKENS);
    slm_buffer_free(&text);
    return status;
}

slm_status train__replay(const slm_train *train, const char *folder, slm_buffer *path,
                         slm_error *err)
{
    slm_status status = SLM_OK;
    replay r = {.train = train, .err = err};
    slm_file_join(path, folder, "replay.jsonl");
    if (slm_file_exists(slm_buffer_text(path))) return SLM_OK;
    SLM_TRY_OUT(read_requests(&r));
    r.replies = calloc(r.count, sizeof *r.replies);
    r.tickets = calloc(r.count, sizeof *r.tickets);
    if (!r.replies || !r.tickets) slm_out_of_memory(r.count * sizeof *r.replies);
    SLM_TRY_OUT(answer(&r));
    SLM_TRY_OUT(write_conversations(&r, slm_buffer_text(path)));
out:
    for (size_t i = 0; r.replies && i < r.count; i++)
        free(r.replies[i]);
    free(r.replies);
    free(r.tickets);
    json_decref(r.rows);
    return status;
}
