/* recorded.c: a chat that answers from a file, for tests, demonstrations and replays.
 *
 * Every line is filed under a key: the canonical JSON of its messages, its `last` text, or nothing.
 * A request looks up its own messages, then its last message, then the lines without a key, and
 * takes line (rollout index modulo number of lines) of the first list that is there; lines that name
 * their rollout, as record.c writes them, answer it alone. So a reply depends on the messages, the
 * case and the rollout, as chat.h promises for every model, and never on the order of requests.
 * Replies come in the order of submission. */
#include "provider/chat.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"

enum { RECORDED_WIDTH = 64 };

typedef struct line {
    char *key; /* "m" + messages, "l" + last, or "" */
    const char *reply, *reasoning;
    slm_chat_finish finish;
    size_t number; /* in the file */
    size_t order;
    int64_t rollout; /* -1: any */
    const char *case_id;
    int64_t prompt_tokens, cached_tokens, reply_tokens, reasoning_tokens; /* -1: not told */
} line;

typedef struct waiting {
    slm_chat_reply *reply;
    struct waiting *next;
    void (*on_text)(void *context, uint32_t index, const char *text, size_t len);
    void *context;
} waiting;

typedef struct recorded {
    slm_chat chat;
    slm_arena arena;
    char *path;
    const char *model; /* whose lines are read; NULL: there must be one model's only */
    const char *seen_model;
    line *lines; /* sorted by key, then order */
    size_t count;
    waiting *first, **last;
} recorded;

static void append_message(slm_buffer *key, const char *role, const char *content)
{
    slm_buffer_append_char(key, '\n');
    slm_json_append_string(key, role, strlen(role));
    slm_json_append_string(key, content, strlen(content));
}

static int compare_lines(const void *a, const void *b)
{
    const line *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    if (order) return order;
    return (x->order > y->order) - (x->order < y->order);
}

/* The lines of `key`: *begin and how many. */
static size_t find_lines(const recorded *r, const char *key, size_t *begin)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(r->lines[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *begin = low;
    size_t count = 0;
    while (low + count < r->count && strcmp(r->lines[low + count].key, key) == 0)
        count++;
    return count;
}

static size_t match_request(const recorded *r, const slm_chat_request *request, size_t *begin)
{
    slm_buffer key = {0};
    slm_buffer_append_char(&key, 'm');
    for (size_t i = 0; i < request->message_count; i++)
        append_message(&key, request->messages[i].role, request->messages[i].content);
    size_t count = find_lines(r, slm_buffer_text(&key), begin);
    if (count == 0) {
        slm_buffer_truncate(&key, 0);
        slm_buffer_append_char(&key, 'l');
        slm_buffer_append_text(&key, request->messages[request->message_count - 1].content);
        count = find_lines(r, slm_buffer_text(&key), begin);
    }
    if (count == 0) count = find_lines(r, "", begin);
    slm_buffer_free(&key);
    return count;
}

/* The line for one rollout among those of a key, or NULL. */
static const line *choose(const recorded *r, size_t begin, size_t count, const char *case_id,
                          uint64_t rollout)
{
    const line *own = NULL, *other = NULL;
    size_t unnumbered = 0;
    for (size_t i = begin; i < begin + count; i++) {
        const line *l = &r->lines[i];
        if (l->rollout < 0) {
            unnumbered++;
        } else if ((uint64_t)l->rollout == rollout) {
            bool same = l->case_id && case_id && strcmp(l->case_id, case_id) == 0;
            if (same)
                own = l;
            else
                other = l;
        }
    }
    if (own || other || unnumbered == 0) return own ? own : other;
    size_t wanted = (size_t)(rollout % unnumbered);
    for (size_t i = begin;; i++) {
        if (r->lines[i].rollout < 0 && wanted-- == 0) return &r->lines[i];
    }
}

static slm_status recorded_submit(slm_chat *chat, const slm_chat_request *request, uint64_t ticket,
                                  slm_error *err)
{
    (void)err;
    recorded *r = (recorded *)chat;
    size_t begin = 0, count = match_request(r, request, &begin);
    for (uint32_t i = 0; i < request->n; i++) {
        waiting *w = calloc(1, sizeof *w);
        if (!w) slm_out_of_memory(sizeof *w);
        uint64_t rollout = (uint64_t)request->first_rollout + i;
        const line *l = choose(r, begin, count, request->case_id, rollout);
        if (!l) {
            w->reply = slm_chat_reply_new(ticket, i, SLM_CHAT_ERROR, NULL);
            const char *last = request->messages[request->message_count - 1].content;
            size_t shown = strlen(last);
            if (shown > 80) shown = 80 - slm_utf8_incomplete_tail(last, 80);
            if (count == 0)
                slm_error_set(&w->reply->error, SLM_ERR_NOT_FOUND,
                              "%s: no line answers this request (last message: \"%.*s\"); record "
                              "one, or add a line with a reply alone that answers everything",
                              r->path, (int)shown, last);
            else
                slm_error_set(&w->reply->error, SLM_ERR_NOT_FOUND,
                              "%s: rollout %" PRIu64
                              " of this request was not recorded (last message: "
                              "\"%.*s\")",
                              r->path, rollout, (int)shown, last);
        } else {
            w->reply = slm_chat_reply_new(ticket, i, l->finish, l->reply);
            if (l->finish == SLM_CHAT_ERROR)
                slm_error_set(&w->reply->error, SLM_ERR_NETWORK, "%s:%zu: recorded error%s%s",
                              r->path, l->number, *l->reply ? ": " : "", l->reply);
            if (l->reasoning) {
                w->reply->reasoning = strdup(l->reasoning);
                if (!w->reply->reasoning) slm_out_of_memory(strlen(l->reasoning));
            }
            w->reply->prompt_tokens = l->prompt_tokens;
            w->reply->cached_tokens = l->cached_tokens;
            w->reply->reply_tokens = l->reply_tokens;
            w->reply->reasoning_tokens = l->reasoning_tokens;
            w->on_text = request->on_text;
            w->context = request->context;
        }
        *r->last = w;
        r->last = &w->next;
    }
    return SLM_OK;
}

static slm_status recorded_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply,
                                slm_error *err)
{
    (void)timeout_ms;
    (void)err;
    recorded *r = (recorded *)chat;
    waiting *w = r->first;
    if (!w) return SLM_OK;
    r->first = w->next;
    if (!r->first) r->last = &r->first;
    *reply = w->reply;
    if (w->on_text && w->reply->finish != SLM_CHAT_ERROR &&
        w->reply->finish != SLM_CHAT_CANCELLED && *w->reply->text)
        w->on_text(w->context, w->reply->index, w->reply->text, strlen(w->reply->text));
    free(w);
    return SLM_OK;
}

static void recorded_cancel(slm_chat *chat, uint64_t ticket)
{
    recorded *r = (recorded *)chat;
    for (waiting *w = r->first; w; w = w->next) {
        if (w->reply->ticket != ticket) continue;
        w->reply->finish = SLM_CHAT_CANCELLED;
        w->reply->text[0] = '\0';
    }
}

static void recorded_free(slm_chat *chat)
{
    recorded *r = (recorded *)chat;
    while (r->first) {
        waiting *w = r->first;
        r->first = w->next;
        slm_chat_reply_free(w->reply);
        free(w);
    }
    free(r->lines);
    free(r->path);
    free(r->chat.name);
    free(r->chat.identity);
    slm_arena_free(&r->arena);
    free(r);
}

static const slm_chat_class recorded_class = {
    .submit = recorded_submit,
    .poll = recorded_poll,
    .cancel = recorded_cancel,
    .free = recorded_free,
};

static slm_status read_messages(const json_t *object, const slm_json_place *place, slm_buffer *key,
                                slm_error *err)
{
    json_t *messages = NULL;
    SLM_TRY(slm_json_array(object, "messages", place, &messages, err));
    slm_json_place array = {.parent = place, .key = "messages"};
    if (json_array_size(messages) == 0) return slm_json_error(&array, err, "expected a message");
    slm_buffer_append_char(key, 'm');
    for (size_t i = 0; i < json_array_size(messages); i++) {
        slm_json_place at = {.parent = &array, .index = i};
        const json_t *message = json_array_get(messages, i);
        const char *role = NULL, *content = NULL;
        if (!json_is_object(message)) return slm_json_error(&at, err, "expected an object");
        SLM_TRY(slm_json_string(message, "role", &at, &role, err));
        SLM_TRY(slm_json_string(message, "content", &at, &content, err));
        append_message(key, role, content);
    }
    return SLM_OK;
}

static slm_status read_usage(const json_t *object, const slm_json_place *place, line *out,
                             slm_error *err)
{
    json_t *usage = NULL;
    slm_json_place at = {.parent = place, .key = "usage"};
    out->prompt_tokens = out->cached_tokens = out->reply_tokens = out->reasoning_tokens = -1;
    SLM_TRY(slm_json_object_optional(object, "usage", place, &usage, err));
    if (!usage) return SLM_OK;
    SLM_TRY(slm_json_integer_optional(usage, "prompt_tokens", &at, &out->prompt_tokens, err));
    SLM_TRY(slm_json_integer_optional(usage, "cached_tokens", &at, &out->cached_tokens, err));
    SLM_TRY(slm_json_integer_optional(usage, "reply_tokens", &at, &out->reply_tokens, err));
    return slm_json_integer_optional(usage, "reasoning_tokens", &at, &out->reasoning_tokens, err);
}

/* What record.c adds. *mine: the line is of the model that is read. */
static slm_status read_source(recorded *r, const json_t *object, const slm_json_place *place,
                              line *out, bool *mine, slm_error *err)
{
    const char *model = NULL, *case_id = NULL;
    out->rollout = -1;
    SLM_TRY(slm_json_string_optional(object, "model", place, &model, err));
    SLM_TRY(slm_json_string_optional(object, "case", place, &case_id, err));
    SLM_TRY(slm_json_integer_optional(object, "rollout", place, &out->rollout, err));
    if (json_object_get(object, "rollout") && (out->rollout < 0 || out->rollout > UINT32_MAX))
        return slm_json_error(&(slm_json_place){.parent = place, .key = "rollout"}, err,
                              "is %" PRId64 "; it must be from 0 to 4294967295", out->rollout);
    SLM_TRY(read_usage(object, place, out, err));
    out->case_id = slm_arena_strdup(&r->arena, case_id);
    *mine = !model || !r->model || strcmp(model, r->model) == 0;
    if (!model || r->model) return SLM_OK;
    if (!r->seen_model) r->seen_model = slm_arena_strdup(&r->arena, model);
    if (strcmp(r->seen_model, model) == 0) return SLM_OK;
    return slm_json_error(place, err,
                          "this file has replies of %.150s and of %.150s; say which is meant: "
                          "recorded:%.200s#MODEL",
                          r->seen_model, model, r->path);
}

static slm_status read_line(recorded *r, const json_t *object, size_t number, line *out,
                            slm_error *err)
{
    slm_json_place place = {.name = r->path, .line = number};
    slm_buffer key = {0};
    slm_status status = SLM_OK;
    const char *last = NULL, *reply = NULL, *reasoning = NULL, *finish = "stop";
    if (!json_is_object(object)) return slm_json_error(&place, err, "expected an object");
    SLM_TRY(slm_json_string_optional(object, "last", &place, &last, err));
    SLM_TRY(slm_json_string_optional(object, "reasoning", &place, &reasoning, err));
    SLM_TRY(slm_json_string_optional(object, "finish", &place, &finish, err));
    if (!slm_chat_finish_from_name(finish, &out->finish) || out->finish == SLM_CHAT_CANCELLED)
        return slm_json_error(&(slm_json_place){.parent = &place, .key = "finish"}, err,
                              "expected stop, length, refused or error, got '%s'", finish);
    if (out->finish == SLM_CHAT_ERROR || out->finish == SLM_CHAT_REFUSED)
        SLM_TRY(slm_json_string_optional(object, "reply", &place, &reply, err));
    else
        SLM_TRY(slm_json_string(object, "reply", &place, &reply, err));
    if (json_object_get(object, "messages")) {
        if (last)
            return slm_json_error(&place, err,
                                  "has both messages and last; a line answers to one of them");
        SLM_TRY_OUT(read_messages(object, &place, &key, err));
    } else if (last) {
        slm_buffer_append_char(&key, 'l');
        slm_buffer_append_text(&key, last);
    }
    out->key = slm_arena_strdup(&r->arena, slm_buffer_text(&key));
    out->reply = slm_arena_strdup(&r->arena, reply ? reply : "");
    out->reasoning = slm_arena_strdup(&r->arena, reasoning);
    out->number = number;
out:
    slm_buffer_free(&key);
    return status;
}

static slm_status read_lines(recorded *r, slm_error *err)
{
    slm_jsonl *reader = NULL;
    size_t cap = 0;
    slm_status status = SLM_OK;
    SLM_TRY(slm_jsonl_open(r->path, &reader, err));
    for (;;) {
        json_t *object = NULL;
        size_t number = 0;
        SLM_TRY_OUT(slm_jsonl_next(reader, &object, &number, err));
        if (!object) break;
        if (json_object_get(object, "vector")) { /* an embedding's */
            json_decref(object);
            continue;
        }
        if (r->count == cap) {
            cap = cap ? cap * 2 : 64;
            line *grown = realloc(r->lines, cap * sizeof *grown);
            if (!grown) slm_out_of_memory(cap * sizeof *grown);
            r->lines = grown;
        }
        line *l = &r->lines[r->count];
        bool mine = true;
        slm_json_place place = {.name = r->path, .line = number};
        *l = (line){.order = r->count, .rollout = -1};
        status = read_line(r, object, number, l, err);
        if (status == SLM_OK) status = read_source(r, object, &place, l, &mine, err);
        json_decref(object);
        if (status != SLM_OK) goto out;
        if (mine) r->count++;
    }
    if (r->count == 0)
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "%s: there is no recorded reply in it; a line is {\"reply\": TEXT}",
                               r->path);
    else
        qsort(r->lines, r->count, sizeof *r->lines, compare_lines);
out:
    slm_jsonl_close(reader);
    return status;
}

/* FILE, or FILE#MODEL where there is no file of the whole name. */
static void split_path(recorded *r, const char *path)
{
    const char *hash = strchr(path, '#');
    while (hash && !slm_file_exists(path)) {
        char *file = slm_arena_strndup(&r->arena, path, (size_t)(hash - path));
        if (slm_file_exists(file)) {
            r->model = slm_arena_strdup(&r->arena, hash + 1);
            r->path = strdup(file);
            if (!r->path) slm_out_of_memory(strlen(file));
            return;
        }
        hash = strchr(hash + 1, '#');
    }
    r->path = strdup(path);
    if (!r->path) slm_out_of_memory(strlen(path));
}

slm_status slm_chat_recorded_open(const char *path, slm_chat **out, slm_error *err)
{
    char hex[SLM_SHA256_HEX_BYTES];
    recorded *r = calloc(1, sizeof *r);
    if (!r) slm_out_of_memory(sizeof *r);
    r->chat.class = &recorded_class;
    r->chat.width = RECORDED_WIDTH;
    r->last = &r->first;
    split_path(r, path);
    slm_status status = slm_sha256_file(r->path, hex, err);
    if (status == SLM_OK) status = read_lines(r, err);
    if (status != SLM_OK) {
        recorded_free(&r->chat);
        return status;
    }
    slm_buffer identity = {0};
    slm_buffer_printf(&identity, "recorded:%s%s%s", hex, r->model ? "#" : "",
                      r->model ? r->model : "");
    r->chat.identity = slm_buffer_take(&identity);
    r->chat.name = strdup(slm_file_basename(r->path));
    if (!r->chat.name) slm_out_of_memory(strlen(path));
    *out = &r->chat;
    return SLM_OK;
}
