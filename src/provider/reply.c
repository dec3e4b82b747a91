/* reply.c: reading what an API, or whatever stands in its place, sends back.
 *
 * A reply is untrusted: it may be cut, be no JSON, be a page of a proxy, hold bytes that are no UTF-8,
 * or repeat the key it was sent. Invalid bytes become U+FFFD before parsing, as they do wherever text
 * is stored; a zero in a string becomes U+FFFD too. Messages of errors are brought to one line without
 * control characters, because they go to a terminal. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/utf8.h"
#include "remote_internal.h"

/* Texts shorter than this are placeholders ("none", "EMPTY") and may stand in an answer by chance. */
enum { KEY_BYTES = 12, EXCERPT_BYTES = 120 };

void remote__parsed_free(remote__parsed *parsed)
{
    slm_buffer_free(&parsed->text);
    slm_buffer_free(&parsed->reasoning);
}

const remote__api *remote__api_of(remote__kind kind)
{
    switch (kind) {
    case REMOTE_OPENAI:
    case REMOTE_AZURE:
        return &remote__openai;
    case REMOTE_ANTHROPIC:
        return &remote__anthropic;
    case REMOTE_BEDROCK:
        return &remote__bedrock;
    }
    return &remote__openai;
}

void remote__scrub(char *text, size_t len, const char *key)
{
    size_t key_len = key != NULL ? strlen(key) : 0;
    if (key_len < KEY_BYTES || len < key_len) return;
    for (char *at = text; (at = memmem(at, len - (size_t)(at - text), key, key_len)) != NULL;)
        memset(at, '*', key_len);
}

void remote__one_line(const char *text, size_t len, char *out, size_t room)
{
    size_t used = 0;
    bool space = false;
    while (len > 0) {
        uint32_t codepoint;
        char bytes[4];
        size_t step = slm_utf8_decode(text, len, &codepoint);
        text += step;
        len -= step;
        /* Controls, line and paragraph separators, and marks that turn the direction of text. */
        bool control = codepoint < 0x20 || (codepoint >= 0x7F && codepoint < 0xA0) ||
                       (codepoint >= 0x2028 && codepoint <= 0x202E) ||
                       (codepoint >= 0x2066 && codepoint <= 0x2069);
        if (control || codepoint == ' ') {
            space = used > 0;
            continue;
        }
        size_t wanted = slm_utf8_encode(codepoint, bytes);
        if (used + space + wanted + 4 > room) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        if (space) out[used++] = ' ';
        space = false;
        memcpy(out + used, bytes, wanted);
        used += wanted;
    }
    out[used] = '\0';
}

/* ---- JSON ---- */

static bool looks_like_html(const char *body, size_t len)
{
    while (len > 0 && isspace((unsigned char)*body)) {
        body++;
        len--;
    }
    return (len >= 9 && strncasecmp(body, "<!doctype", 9) == 0) ||
           (len >= 5 && strncasecmp(body, "<html", 5) == 0);
}

slm_status remote__read_json(const char *body, size_t len, const char *content_type, json_t **out,
                             slm_error *err)
{
    slm_buffer valid = {0};
    json_error_t problem = {.text = ""};
    *out = NULL;
    if (len == 0) return slm_error_set(err, SLM_ERR_FORMAT, "the reply is empty");
    slm_utf8_append_valid(&valid, body, len);
    json_t *root = json_loadb(valid.data, valid.len, JSON_ALLOW_NUL, &problem);
    slm_buffer_free(&valid);
    if (json_is_object(root)) {
        *out = root;
        return SLM_OK;
    }
    bool is_json = root != NULL;
    json_decref(root);
    if (looks_like_html(body, len))
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "an HTML page came instead of a reply; is the URL right, is there a "
                             "proxy in between?");
    char excerpt[EXCERPT_BYTES], why[EXCERPT_BYTES];
    remote__one_line(problem.text, strlen(problem.text), why, sizeof why); /* it quotes the reply */
    remote__one_line(body, len < 1000 ? len : 1000, excerpt, sizeof excerpt);
    return slm_error_set(err, SLM_ERR_FORMAT, "the reply is not JSON (%s%s%s): %s",
                         content_type != NULL ? content_type : "", content_type != NULL ? ", " : "",
                         is_json ? "not an object" : why, excerpt);
}

slm_status remote__parse_reply(const remote__api *api, const char *body, size_t len,
                               const char *content_type, remote__parsed *out, slm_error *err)
{
    json_t *root;
    *out = (remote__parsed){
        .prompt_tokens = -1, .cached_tokens = -1, .reply_tokens = -1, .reasoning_tokens = -1};
    SLM_TRY(remote__read_json(body, len, content_type, &root, err));
    slm_status status = api->parse(root, out, err);
    json_decref(root);
    return status;
}

void remote__append_json_text(slm_buffer *out, const json_t *string)
{
    const char *text = json_string_value(string);
    size_t len = json_string_length(string);
    if (text == NULL) return;
    for (size_t i = 0; i < len;) {
        size_t run = strnlen(text + i, len - i);
        slm_buffer_append(out, text + i, run);
        i += run;
        if (i < len) {
            slm_buffer_append_text(out, "\xEF\xBF\xBD");
            i++;
        }
    }
}

int64_t remote__count(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number < 9e15)) return -1;
    return (int64_t)number;
}

const char *remote__text_at(const json_t *object, const char *a, const char *b)
{
    const json_t *value = json_object_get(object, a);
    return json_string_value(b != NULL ? json_object_get(value, b) : value);
}

void remote__append_member(slm_buffer *out, const char *key, const char *text)
{
    slm_buffer_printf(out, "\"%s\":", key);
    slm_json_append_string(out, text, strlen(text));
}

/* ---- errors ---- */

static void take_text(const json_t *value, char *out, size_t room)
{
    char number[32];
    if (*out != '\0') return;
    if (json_is_string(value)) {
        remote__one_line(json_string_value(value), json_string_length(value), out, room);
    } else if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        remote__one_line(number, strlen(number), out, room);
    }
}

/* {"error": {"message", "type", "code", "param"}} of OpenAI and its kin and of Anthropic, {"error":
 * TEXT}, {"message"} of Bedrock, {"detail": TEXT or [{"msg"}]} of servers made with FastAPI. */
static void read_fields(const json_t *root, remote__problem *out)
{
    const json_t *error = json_object_get(root, "error");
    const json_t *from = json_is_object(error) ? error : root;
    const json_t *detail = json_object_get(root, "detail");
    const json_t *inner = json_object_get(from, "innererror");
    take_text(error, out->message, sizeof out->message);
    take_text(json_object_get(from, "message"), out->message, sizeof out->message);
    take_text(json_object_get(from, "Message"), out->message, sizeof out->message);
    take_text(detail, out->message, sizeof out->message);
    take_text(json_object_get(json_array_get(detail, 0), "msg"), out->message, sizeof out->message);
    take_text(json_object_get(from, "code"), out->code, sizeof out->code);
    take_text(json_object_get(inner, "code"), out->code, sizeof out->code);
    take_text(json_object_get(from, "type"), out->type, sizeof out->type);
    take_text(json_object_get(from, "__type"), out->type, sizeof out->type);
    take_text(json_object_get(from, "param"), out->param, sizeof out->param);
}

void remote__read_problem(const char *body, size_t len, const char *key, remote__problem *out)
{
    *out = (remote__problem){0};
    if (len > 65536) len = 65536; /* a message, not a book */
    slm_buffer valid = {0};
    slm_utf8_append_valid(&valid, body, len);
    remote__scrub(valid.data, valid.len, key);
    json_t *root = json_loadb(slm_buffer_text(&valid), valid.len, JSON_ALLOW_NUL, NULL);
    if (json_is_object(root)) {
        read_fields(root, out);
    } else if (looks_like_html(slm_buffer_text(&valid), valid.len)) {
        snprintf(out->message, sizeof out->message, "an HTML page");
    }
    if (out->message[0] == '\0')
        remote__one_line(slm_buffer_text(&valid), valid.len, out->message, EXCERPT_BYTES);
    json_decref(root);
    /* A key that was spelt with escapes shows itself only now; one cut at the end does not. */
    remote__scrub(out->message, strlen(out->message), key);
    slm_buffer_free(&valid);
}
