/* openai.c: /chat/completions, as OpenAI, Azure and many servers of open models speak it.
 *
 * Written from OpenAI's API reference ("Chat completions"). Where servers differ: OpenAI and Azure
 * want max_completion_tokens and refuse fields that they do not know; others want max_tokens, and know
 * top_k, min_p and a repetition penalty (under one of two names), which are sent only where they are
 * asked for. What a host refuses by name is then sent the other way (remote.c). Reasoning comes as
 * reasoning_content or reasoning beside the content. A refusal is a field of its own, a finish_reason,
 * or, at Azure, an error that remote.c reads. */
#include <inttypes.h>
#include <string.h>
#include "remote_internal.h"

/* OpenAI's and Azure's own hosts, which refuse what they do not know. */
static bool is_strict(const remote__target *target)
{
    return target->own || target->kind == REMOTE_AZURE;
}

static slm_status check(const remote__target *target, const slm_chat_request *request,
                        slm_error *err)
{
    const slm_chat_sampling *sampling = &request->sampling;
    if (!is_strict(target)) return SLM_OK;
    const char *field = sampling->top_k != 0                ? "--top-k"
                        : sampling->min_p != 0              ? "--min-p"
                        : sampling->repetition_penalty != 1 ? "--repetition-penalty"
                        : sampling->thinking                ? "--thinking on"
                                                            : NULL;
    if (field == NULL) return SLM_OK;
    return slm_error_set(err, SLM_ERR_UNSUPPORTED, "%s takes no %s; leave it out", target->host,
                         field);
}

static void append_number(slm_buffer *out, const char *key, double value)
{
    slm_buffer_printf(out, ",\"%s\":", key);
    slm_json_append_number(out, value);
}

static void append_messages(slm_buffer *out, const slm_chat_request *request)
{
    slm_buffer_append_text(out, ",\"messages\":[");
    for (size_t i = 0; i < request->message_count; i++) {
        slm_buffer_append_text(out, i > 0 ? ",{" : "{");
        remote__append_member(out, "role", request->messages[i].role);
        slm_buffer_append_char(out, ',');
        remote__append_member(out, "content", request->messages[i].content);
        slm_buffer_append_char(out, '}');
    }
    slm_buffer_append_char(out, ']');
}

/* What "strict" asks of a schema: no other properties, and every property required, at all levels. */
static bool is_strict_schema(const json_t *schema, int depth)
{
    if (depth > 32) return false;
    const json_t *value, *properties = json_object_get(schema, "properties");
    size_t i;
    const char *key;
    if (json_is_array(schema)) {
        json_array_foreach(schema, i, value)
        {
            if (!is_strict_schema(value, depth + 1)) return false;
        }
        return true;
    }
    if (!json_is_object(schema)) return true;
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (type != NULL && strcmp(type, "object") == 0 &&
        (!json_is_false(json_object_get(schema, "additionalProperties")) ||
         json_object_size(properties) != json_array_size(json_object_get(schema, "required"))))
        return false;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        if (!is_strict_schema(value, depth + 1)) return false;
    }
    return true;
}

static void append_schema(slm_buffer *out, const char *schema)
{
    json_t *root = json_loads(schema, 0, NULL);
    slm_buffer_printf(out,
                      ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                      "\"reply\",\"strict\":%s,\"schema\":%s}}",
                      is_strict_schema(root, 0) ? "true" : "false", schema);
    json_decref(root);
}

/* Settings that OpenAI's own API does not have. */
static void append_others(slm_buffer *out, const slm_chat_sampling *sampling)
{
    if (sampling->top_k != 0) slm_buffer_printf(out, ",\"top_k\":%" PRId64, sampling->top_k);
    if (sampling->min_p != 0) append_number(out, "min_p", sampling->min_p);
    if (sampling->repetition_penalty != 1) {
        append_number(out, "repetition_penalty", sampling->repetition_penalty);
        append_number(out, "repeat_penalty", sampling->repetition_penalty);
    }
    if (sampling->thinking)
        slm_buffer_append_text(out, ",\"chat_template_kwargs\":{\"enable_thinking\":true}");
}

static void body(const remote__target *target, const slm_chat_request *request,
                 const remote__dialect *dialect, int64_t seed, slm_buffer *out)
{
    const slm_chat_sampling *sampling = &request->sampling;
    slm_buffer_printf(out, "{\"%s\":%" PRId64,
                      dialect->old_max_tokens ? "max_tokens" : "max_completion_tokens",
                      sampling->max_tokens);
    if (!dialect->no_seed) slm_buffer_printf(out, ",\"seed\":%" PRId64, seed);
    slm_buffer_append_char(out, ',');
    remote__append_member(out, "model", target->model);
    append_messages(out, request);
    append_number(out, "temperature", sampling->temperature);
    if (sampling->top_p != 1) append_number(out, "top_p", sampling->top_p);
    if (sampling->presence_penalty != 0)
        append_number(out, "presence_penalty", sampling->presence_penalty);
    if (sampling->frequency_penalty != 0)
        append_number(out, "frequency_penalty", sampling->frequency_penalty);
    if (!is_strict(target)) append_others(out, sampling);
    for (size_t i = 0; i < sampling->stop_count; i++) {
        slm_buffer_append_text(out, i > 0 ? "," : ",\"stop\":[");
        slm_json_append_string(out, sampling->stop[i], strlen(sampling->stop[i]));
    }
    if (sampling->stop_count > 0) slm_buffer_append_char(out, ']');
    if (request->json_schema != NULL) append_schema(out, request->json_schema);
    slm_buffer_append_char(out, '}');
}

/* ---- replies ---- */

/* A text, null, or a list of parts of which the texts count. */
static void append_content(slm_buffer *out, const json_t *content)
{
    const json_t *part;
    size_t i;
    remote__append_json_text(out, content);
    json_array_foreach(content, i, part)
    {
        remote__append_json_text(out, json_object_get(part, "text"));
    }
}

static slm_chat_finish finish_of(const char *reason)
{
    if (reason == NULL) return SLM_CHAT_STOP;
    if (strcmp(reason, "length") == 0) return SLM_CHAT_LENGTH;
    if (strcmp(reason, "content_filter") == 0) return SLM_CHAT_REFUSED;
    return SLM_CHAT_STOP;
}

static void read_usage(const json_t *usage, remote__parsed *out)
{
    out->prompt_tokens = remote__count(usage, "prompt_tokens");
    out->reply_tokens = remote__count(usage, "completion_tokens");
    out->cached_tokens =
        remote__count(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
    out->reasoning_tokens =
        remote__count(json_object_get(usage, "completion_tokens_details"), "reasoning_tokens");
}

static slm_status parse(const json_t *root, remote__parsed *out, slm_error *err)
{
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const json_t *message = json_object_get(choice, "message");
    read_usage(json_object_get(root, "usage"), out);
    if (!json_is_object(message))
        return slm_error_set(err, SLM_ERR_FORMAT, "the reply has no choices[0].message");
    const json_t *content = json_object_get(message, "content");
    const json_t *refusal = json_object_get(message, "refusal");
    const json_t *reasoning = json_object_get(message, "reasoning_content");
    if (content != NULL && !json_is_string(content) && !json_is_null(content) &&
        !json_is_array(content))
        return slm_error_set(err, SLM_ERR_FORMAT, "choices[0].message.content is no text");
    append_content(&out->text, content);
    if (!json_is_string(reasoning)) reasoning = json_object_get(message, "reasoning");
    if (json_string_length(reasoning) > 0) {
        remote__append_json_text(&out->reasoning, reasoning);
        out->has_reasoning = true;
    }
    out->finish = finish_of(remote__text_at(choice, "finish_reason", NULL));
    if (json_string_length(refusal) > 0) {
        out->finish = SLM_CHAT_REFUSED;
        if (out->text.len == 0) remote__append_json_text(&out->text, refusal);
    }
    return SLM_OK;
}

const remote__api remote__openai = {.check = check, .body = body, .parse = parse};
