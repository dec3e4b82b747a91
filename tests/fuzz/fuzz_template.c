/* fuzz_template.c: any bytes as a conversation, under every template; and as a Jinja text to be
 * recognised. The first byte chooses the template and what is asked, then messages follow, each a
 * byte for the role and its content up to a zero byte. What is rendered must hold just the control
 * tokens that a conversation without contents would: none may come out of a content. */
#include <stdlib.h>
#include <string.h>
#include "text/text_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 8 };

static const char *const templates[] = {"smollm2", "chatml", "qwen2",  "qwen2.5",
                                        "qwen3",   "llama2", "llama3", "llama3.1"};
static const char *const special[] = {
    "<s>",        "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>",
};

static slm_tokenizer *make_tokenizer(void)
{
    slm_buffer json = {0};
    slm_tokenizer *t = NULL;
    slm_buffer_append_text(&json, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
                                  "false},\"added_tokens\":[");
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
        slm_buffer_printf(&json, "%s{\"id\":%zu,\"content\":\"%s\",\"special\":true}", i ? "," : "",
                          95 + i, special[i]);
    slm_buffer_append_text(&json, "],\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (int i = 0; i < 94; i++) { /* the printable bytes alone are enough */
        char text[2] = {(char)(33 + i), '\0'};
        slm_buffer_append_text(&json, i ? "," : "");
        slm_json_append_string(&json, text, 1);
        slm_buffer_printf(&json, ":%d", i);
    }
    slm_buffer_append_text(&json, "}}}");
    static const char config[] = "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}";
    slm_status status = slm_text__from_json("made", json.data, json.len, "made", config,
                                            sizeof(config) - 1, &t, NULL);
    SLM_ASSERT(status == SLM_OK);
    slm_buffer_free(&json);
    return t;
}

/* The number of control tokens, or SIZE_MAX if the conversation is refused. */
static size_t render(const slm_tokenizer *t, const slm_template *tmpl,
                     const slm_text_message *messages, size_t count,
                     const slm_template_options *options)
{
    slm_tokens ids = {0};
    slm_buffer text = {0};
    size_t control = 0;
    slm_status status = slm_template_render(tmpl, t, messages, count, options, &ids, &text, NULL);
    SLM_ASSERT(status == SLM_OK || (ids.len == 0 && text.len == 0));
    for (size_t i = 0; i < ids.len; i++)
        control += slm_tokenizer_is_special(t, ids.ids[i]);
    slm_tokens_free(&ids);
    slm_buffer_free(&text);
    return status == SLM_OK ? control : SIZE_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_tokenizer *tokenizer;
    static const char *const roles[] = {"user", "assistant", "system", "tool"};
    if (tokenizer == NULL) tokenizer = make_tokenizer();
    slm_buffer copy = {0};
    const slm_template *found = NULL;
    slm_text_message messages[MOST], empty[MOST];
    size_t count = 0;
    slm_buffer_append(&copy, data, size);
    slm_buffer_append_char(&copy, '\0');
    if (slm_template_detect(slm_buffer_text(&copy), &found, NULL) == SLM_OK)
        SLM_ASSERT(found != NULL);
    for (size_t at = 1; at < size && count < MOST; count++) {
        const char *role = roles[(uint8_t)copy.data[at] % 4];
        messages[count] = (slm_text_message){role, copy.data + at + 1};
        empty[count] = (slm_text_message){role, ""};
        at += 2 + strlen(copy.data + at + 1);
    }
    if (size > 0 && count > 0) {
        const slm_template *tmpl = slm_template_find(templates[data[0] % 8]);
        const slm_template_options options = {.add_generation_prompt = data[0] & 8,
                                              .thinking =
                                                  (data[0] & 16) && slm_template_thinks(tmpl)};
        SLM_ASSERT(render(tokenizer, tmpl, messages, count, &options) ==
                   render(tokenizer, tmpl, empty, count, &options));
    }
    slm_buffer_free(&copy);
    return 0;
}
