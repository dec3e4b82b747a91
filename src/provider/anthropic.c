/* anthropic.c: Anthropic's Messages.
 *
 * Written from Anthropic's API reference ("Messages", version 2023-06-01). The system text stands
 * apart from the messages; the reply is a list of blocks (text, thinking, tool_use); stop_reason tells
 * a refusal. input_tokens are those that were not read from or written to the cache, so all three add
 * up to the prompt. A JSON schema is a tool that the model must use: its input is the reply. */
#include <inttypes.h>
#include <string.h>
#include "remote_internal.h"

enum { LEAST_THINKING = 1024 };

static slm_status check(const remote__target *target, const slm_chat_request *request,
                        slm_error *err)
{
    const slm_chat_sampling *sampling = &request->sampling;
    const char *field = sampling->min_p != 0                ? "--min-p"
                        : sampling->presence_penalty != 0   ? "--presence-penalty"
                        : sampling->frequency_penalty != 0  ? "--frequency-penalty"
                        : sampling->repetition_penalty != 1 ? "--repetition-penalty"
                                                            : NULL;
    if (field != NULL)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "%s takes no %s; leave it out", target->host,
                             field);
    if (sampling->temperature > 1)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s takes a --temperature from 0 to 1, not %g", target->host,
                             sampling->temperature);
    if (sampling->thinking && request->json_schema != NULL)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s does not think where its reply must be JSON; leave --thinking off",
                             target->host);
    if (sampling->thinking && (sampling->max_tokens < 2 * LEAST_THINKING ||
                               sampling->temperature != 1 || sampling->top_k != 0))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s thinks only with --max-tokens %d or more, --temperature 1 and "
                             "without --top-k",
                             target->host, 2 * LEAST_THINKING);
    for (size_t i = 0; i < request->message_count; i++) {
        if (strcmp(request->messages[i].role, "system") != 0) return SLM_OK;
    }
    return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                         "%s wants a message of the user; there is a system text alone",
                         target->host);
}

/* All system texts, joined. */
static void append_system(slm_buffer *out, const slm_chat_request *request)
{
    slm_buffer system = {0};
    for (size_t i = 0; i < request->message_count; i++) {
        if (strcmp(request->messages[i].role, "system") != 0) continue;
        if (system.len > 0) slm_buffer_append_text(&system, "\n\n");
        slm_buffer_append_text(&system, request->messages[i].content);
    }
    if (system.len > 0) {
        slm_buffer_append_char(out, ',');
        remote__append_member(out, "system", slm_buffer_text(&system));
    }
    slm_buffer_free(&system);
}

static void append_messages(slm_buffer *out, const slm_chat_request *request)
{
    bool first = true;
    slm_buffer_append_text(out, ",\"messages\":[");
    for (size_t i = 0; i < request->message_count; i++) {
        if (strcmp(request->messages[i].role, "system") == 0) continue;
        slm_buffer_append_text(out, first ? "{" : ",{");
        first = false;
        remote__append_member(out, "role", request->messages[i].role);
        slm_buffer_append_char(out, ',');
        remote__append_member(out, "content", request->messages[i].content);
        slm_buffer_append_char(out, '}');
    }
    slm_buffer_append_char(out, ']');
}

static void body(const remote__target *target, const slm_chat_request *request,
                 const remote__dialect *dialect, int64_t seed, slm_buffer *out)
{
    (void)dialect, (void)seed;
    const slm_chat_sampling *sampling = &request->sampling;
    slm_buffer_printf(out, "{\"max_tokens\":%" PRId64 ",", sampling->max_tokens);
    remote__append_member(out, "model", target->model);
    append_system(out, request);
    append_messages(out, request);
    slm_buffer_append_text(out, ",\"temperature\":");
    slm_json_append_number(out, sampling->temperature);
    if (sampling->top_p != 1) {
        slm_buffer_append_text(out, ",\"top_p\":");
        slm_json_append_number(out, sampling->top_p);
    }
    if (sampling->top_k != 0) slm_buffer_printf(out, ",\"top_k\":%" PRId64, sampling->top_k);
    for (size_t i = 0; i < sampling->stop_count; i++) {
        slm_buffer_append_text(out, i > 0 ? "," : ",\"stop_sequences\":[");
        slm_json_append_string(out, sampling->stop[i], strlen(sampling->stop[i]));
    }
    if (sampling->stop_count > 0) slm_buffer_append_char(out, ']');
    if (sampling->thinking)
        slm_buffer_printf(out, ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":%" PRId64 "}",
                          sampling->max_tokens / 2);
    if (request->json_schema != NULL)
        slm_buffer_printf(out,
                          ",\"tools\":[{\"name\":\"reply\",\"description\":\"The reply, in full.\","
                          "\"input_schema\":%s}],\"tool_choice\":{\"type\":\"tool\",\"name\":"
                          "\"reply\"}",
                          request->json_schema);
    slm_buffer_append_char(out, '}');
}

/* ---- replies ---- */

static void read_block(const json_t *block, remote__parsed *out)
{
    const char *type = remote__text_at(block, "type", NULL);
    if (type == NULL) return;
    if (strcmp(type, "text") == 0) {
        remote__append_json_text(&out->text, json_object_get(block, "text"));
    } else if (strcmp(type, "thinking") == 0) {
        remote__append_json_text(&out->reasoning, json_object_get(block, "thinking"));
        out->has_reasoning = true;
    } else if (strcmp(type, "tool_use") == 0) {
        const json_t *input = json_object_get(block, "input");
        if (input != NULL) slm_json_append_canonical(&out->text, input);
    }
}

static slm_chat_finish finish_of(const char *reason)
{
    if (reason == NULL) return SLM_CHAT_STOP;
    if (strcmp(reason, "max_tokens") == 0 || strcmp(reason, "model_context_window_exceeded") == 0)
        return SLM_CHAT_LENGTH;
    return strcmp(reason, "refusal") == 0 ? SLM_CHAT_REFUSED : SLM_CHAT_STOP;
}

static slm_status parse(const json_t *root, remote__parsed *out, slm_error *err)
{
    const json_t *content = json_object_get(root, "content"), *block;
    const json_t *usage = json_object_get(root, "usage");
    size_t i;
    int64_t written = remote__count(usage, "cache_creation_input_tokens");
    out->cached_tokens = remote__count(usage, "cache_read_input_tokens");
    out->prompt_tokens = remote__count(usage, "input_tokens");
    out->reply_tokens = remote__count(usage, "output_tokens");
    if (out->prompt_tokens >= 0)
        out->prompt_tokens +=
            (written > 0 ? written : 0) + (out->cached_tokens > 0 ? out->cached_tokens : 0);
    if (!json_is_array(content))
        return slm_error_set(err, SLM_ERR_FORMAT, "the reply has no list 'content'");
    json_array_foreach(content, i, block)
    {
        read_block(block, out);
    }
    out->finish = finish_of(remote__text_at(root, "stop_reason", NULL));
    return SLM_OK;
}

const remote__api remote__anthropic = {.check = check, .body = body, .parse = parse};
