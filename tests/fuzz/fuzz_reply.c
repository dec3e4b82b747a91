/* fuzz_reply.c: any bytes as a reply of an API, or as its error. The first byte chooses the format. What
 * is read is valid UTF-8 without zeros, tells no count below -1, is the same when it is read again, and
 * holds no key; an error's message is one line. */
#include "fuzz.h"

#include <string.h>
#include "base/utf8.h"
#include "provider/remote_internal.h"

static const char key[] = "sk-0123456789abcdef";

static void check_line(const char *text)
{
    size_t len = strlen(text);
    SLM_ASSERT(slm_utf8_valid(text, len, NULL));
    SLM_ASSERT(strpbrk(text, "\n\r\t\033\177") == NULL);
    SLM_ASSERT(strstr(text, key) == NULL);
}

static void check_text(slm_buffer *text)
{
    SLM_ASSERT(slm_utf8_valid(slm_buffer_text(text), text->len, NULL));
    SLM_ASSERT(strlen(slm_buffer_text(text)) == text->len);
    remote__scrub(text->data, text->len, key);
    SLM_ASSERT(strstr(slm_buffer_text(text), key) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const remote__api *const apis[] = {&remote__openai, &remote__anthropic,
                                              &remote__bedrock};
    if (size == 0) return 0;
    const remote__api *api = apis[data[0] % 3];
    const char *body = (const char *)data + 1;
    size_t len = size - 1;
    remote__parsed first, again;
    slm_error err = {0}, other = {0};
    slm_status status = remote__parse_reply(api, body, len, "text/plain", &first, &err);
    SLM_ASSERT(remote__parse_reply(api, body, len, "text/plain", &again, &other) == status);
    SLM_ASSERT(first.prompt_tokens >= -1 && first.cached_tokens >= -1);
    SLM_ASSERT(first.reply_tokens >= -1 && first.reasoning_tokens >= -1);
    SLM_ASSERT(first.finish == again.finish && first.text.len == again.text.len);
    check_text(&first.text);
    check_text(&first.reasoning);
    if (status != SLM_OK) {
        SLM_ASSERT(status == SLM_ERR_FORMAT && err.message[0] != '\0');
        SLM_ASSERT(slm_utf8_valid(err.message, strlen(err.message), NULL));
        SLM_ASSERT(strpbrk(err.message, "\n\r\t\033\177") == NULL);
    }
    remote__parsed_free(&first);
    remote__parsed_free(&again);
    remote__problem problem;
    remote__read_problem(body, len, key, &problem);
    check_line(problem.message);
    check_line(problem.code);
    check_line(problem.type);
    check_line(problem.param);
    return 0;
}
