/* bedrock.c: Amazon Bedrock's Converse.
 *
 * Written from the Bedrock Runtime API reference ("Converse"). One format for the models of many
 * makers: messages of content blocks in turns of user and assistant, the system text apart, sampling
 * in inferenceConfig. Messages of one role in a row are blocks of one turn, since turns must change. A
 * guardrail that stepped in, and filtered content, are refusals. A JSON schema is a tool that the model
 * must use, as with Anthropic. */
#include <inttypes.h>
#include <string.h>
#include "remote_internal.h"

static slm_status check(const remote__target *target, const slm_chat_request *request,
                        slm_error *err)
{
    const slm_chat_sampling *sampling = &request->sampling;
    const char *field = sampling->top_k != 0                ? "--top-k"
                        : sampling->min_p != 0              ? "--min-p"
                        : sampling->presence_penalty != 0   ? "--presence-penalty"
                        : sampling->frequency_penalty != 0  ? "--frequency-penalty"
                        : sampling->repetition_penalty != 1 ? "--repetition-penalty"
                        : sampling->thinking                ? "--thinking on"
                                                            : NULL;
    if (field != NULL)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "%s takes no %s; leave it out", target->host,
                             field);
    for (size_t i = 0; i < request->message_count; i++) {
        if (strcmp(request->messages[i].role, "system") != 0) return SLM_OK;
    }
    return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                         "%s wants a message of the user; there is a system text alone",
                         target->host);
}

static void append_block(slm_buffer *out, const char *text)
{
    slm_buffer_append_char(out, '{');
    remote__append_member(out, "text", text);
    slm_buffer_append_char(out, '}');
}

static void append_messages(slm_buffer *out, const slm_chat_request *request)
{
    const char *role = NULL;
    slm_buffer_append_text(out, "{\"messages\":[");
    for (size_t i = 0; i < request->message_count; i++) {
        const slm_chat_message *message = &request->messages[i];
        if (strcmp(message->role, "system") == 0) continue;
        if (role != NULL && strcmp(role, message->role) == 0) {
            slm_buffer_append_char(out, ',');
        } else {
            slm_buffer_append_text(out, role != NULL ? "]},{" : "{");
            remote__append_member(out, "role", message->role);
            slm_buffer_append_text(out, ",\"content\":[");
        }
        role = message->role;
        append_block(out, message->content);
    }
    slm_buffer_append_text(out, role != NULL ? "]}]" : "]");
}

static void append_system(slm_buffer *out, const slm_chat_request *request)
{
    bool any = false;
    for (size_t i = 0; i < request->message_count; i++) {
        if (strcmp(request->messages[i].role, "system") != 0) continue;
        slm_buffer_append_text(out, any ? "," : ",\"system\":[");
        append_block(out, request->messages[i].content);
        any = true;
    }
    if (any) slm_buffer_append_char(out, ']');
}

static void body(const remote__target *target, const slm_chat_request *request,
                 const remote__dialect *dialect, int64_t seed, slm_buffer *out)
{
    (void)target, (void)dialect, (void)seed;
    const slm_chat_sampling *sampling = &request->sampling;
    append_messages(out, request);
    append_system(out, request);
    slm_buffer_printf(out, ",\"inferenceConfig\":{\"maxTokens\":%" PRId64 ",\"temperature\":",
                      sampling->max_tokens);
    slm_json_append_number(out, sampling->temperature);
    if (sampling->top_p != 1) {
        slm_buffer_append_text(out, ",\"topP\":");
        slm_json_append_number(out, sampling->top_p);
    }
    for (size_t i = 0; i < sampling->stop_count; i++) {
        slm_buffer_append_text(out, i > 0 ? "," : ",\"stopSequences\":[");
        slm_json_append_string(out, sampling->stop[i], strlen(sampling->stop[i]));
    }
    slm_buffer_append_text(out, sampling->stop_count > 0 ? "]}" : "}");
    if (request->json_schema != NULL)
        slm_buffer_printf(
            out,
            ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"reply\","
            "\"description\":\"The reply, in full.\",\"inputSchema\":{\"json\":%s}}}],"
            "\"toolChoice\":{\"tool\":{\"name\":\"reply\"}}}",
            request->json_schema);
    slm_buffer_append_char(out, '}');
}

/* ---- replies ---- */

static slm_chat_finish finish_of(const char *reason)
{
    if (reason == NULL) return SLM_CHAT_STOP;
    if (strcmp(reason, "max_tokens") == 0 || strcmp(reason, "model_context_window_exceeded") == 0)
        return SLM_CHAT_LENGTH;
    bool refused = strcmp(reason, "guardrail_intervened") == 0 ||
                   strcmp(reason, "content_filtered") == 0 || strcmp(reason, "refusal") == 0;
    return refused ? SLM_CHAT_REFUSED : SLM_CHAT_STOP;
}

static slm_status parse(const json_t *root, remote__parsed *out, slm_error *err)
{
    const json_t *message = json_object_get(json_object_get(root, "output"), "message");
    const json_t *content = json_object_get(message, "content"), *block;
    const json_t *usage = json_object_get(root, "usage");
    size_t i;
    int64_t written = remote__count(usage, "cacheWriteInputTokens");
    out->prompt_tokens = remote__count(usage, "inputTokens");
    out->reply_tokens = remote__count(usage, "outputTokens");
    out->cached_tokens = remote__count(usage, "cacheReadInputTokens");
    if (out->prompt_tokens >= 0)
        out->prompt_tokens +=
            (written > 0 ? written : 0) + (out->cached_tokens > 0 ? out->cached_tokens : 0);
    if (!json_is_array(content))
        return slm_error_set(err, SLM_ERR_FORMAT, "the reply has no output.message.content");
    json_array_foreach(content, i, block)
    {
        const json_t *reasoning = json_object_get(
            json_object_get(json_object_get(block, "reasoningContent"), "reasoningText"), "text");
        const json_t *tool = json_object_get(block, "toolUse");
        remote__append_json_text(&out->text, json_object_get(block, "text"));
        if (json_is_string(reasoning)) {
            remote__append_json_text(&out->reasoning, reasoning);
            out->has_reasoning = true;
        }
        const json_t *input = json_object_get(tool, "input");
        if (input != NULL) slm_json_append_canonical(&out->text, input);
    }
    out->finish = finish_of(remote__text_at(root, "stopReason", NULL));
    return SLM_OK;
}

const remote__api remote__bedrock = {.check = check, .body = body, .parse = parse};
