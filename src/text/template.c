/* template.c: conversations -> prompts, each template one C function instead of a Jinja program.
 *
 * chatml, smollm2, qwen2, qwen2.5 are of the ChatML kind: every message is
 *
 *     <|im_start|>ROLE \n CONTENT <|im_end|> \n
 *
 * and they differ in the system message that stands in front when the conversation begins with none.
 * qwen3 adds what its model thinks. llama2 wraps the user's turns in [INST]; llama3 has a header for
 * each message, and llama3.1 (to 3.3) a system message that always names two dates.
 *
 * The text between two markers is encoded as one, role, newline and content together, as the peers
 * do, for a piece may span the seam; but a marker's name written by a user stays text. */
#include <string.h>
#include "base/utf8.h"
#include "text/text_internal.h"

#define START "<|im_start|>"
#define END   "<|im_end|>"

typedef struct renderer {
    const slm_template *tmpl;
    const slm_tokenizer *tokenizer;
    const slm_text_message *messages;
    size_t count;
    const slm_template_options *options;
    slm_tokens *out;
    size_t first_id;  /* out's length at the beginning */
    slm_buffer *text; /* may be NULL */
    slm_buffer plain; /* text since the last marker, not yet encoded */
    slm_error *err;
} renderer;

struct slm_template {
    const char *name;
    slm_status (*render)(renderer *r);
    const char *system; /* of the ChatML kind: what stands where no system message does; or NULL */
    bool thinks, dates;
    const char *stops[3]; /* what ends a turn besides EOS */
};

/* ---- writing ------------------------------------------------------------------------------- */

static void add_bytes(renderer *r, const char *text, size_t len)
{
    slm_buffer_append(&r->plain, text, len);
    if (r->text) slm_buffer_append(r->text, text, len);
}

static void add_text(renderer *r, const char *text)
{
    add_bytes(r, text, strlen(text));
}

static slm_status flush_text(renderer *r)
{
    SLM_TRY(slm_text__encode(r->tokenizer, slm_buffer_text(&r->plain), r->plain.len, false,
                             r->out->len == r->first_id, r->out, r->err));
    slm_buffer_truncate(&r->plain, 0);
    return SLM_OK;
}

static slm_status add_id(renderer *r, slm_token id, const char *what)
{
    if (id < 0)
        return slm_error_set(r->err, SLM_ERR_UNSUPPORTED,
                             "chat template '%s' needs the token %s, which the model's vocabulary "
                             "lacks; name a template that fits with --template (%s)",
                             r->tmpl->name, what, slm_template_names());
    SLM_TRY(flush_text(r));
    slm_tokens_append(r->out, id);
    if (r->text) slm_buffer_append_text(r->text, r->tokenizer->entries[id].text);
    return SLM_OK;
}

static slm_status add_marker(renderer *r, const char *marker)
{
    return add_id(r, slm_tokenizer_find(r->tokenizer, marker), marker);
}

static slm_status refuse_message(const renderer *r, size_t index, const char *why)
{
    return slm_error_set(r->err, SLM_ERR_INVALID, "chat template '%s': message %zu (%s) %s",
                         r->tmpl->name, index + 1, r->messages[index].role, why);
}

static bool has_role(const renderer *r, size_t index, const char *role)
{
    return index < r->count && strcmp(r->messages[index].role, role) == 0;
}

/* ---- parts of contents --------------------------------------------------------------------- */

typedef struct span {
    const char *begin, *end;
} span;

/* Python's str.strip(): Unicode's white space and U+001C to U+001F. */
static span strip(const char *text)
{
    span s = {text, text + strlen(text)};
    uint32_t cp;
    while (s.begin < s.end) {
        size_t step = slm_utf8_decode(s.begin, (size_t)(s.end - s.begin), &cp);
        if (!slm_utf8_is_space(cp) && !(cp >= 0x1c && cp <= 0x1f)) break;
        s.begin += step;
    }
    while (s.begin < s.end) {
        const char *at = s.end - 1;
        while (at > s.begin && ((unsigned char)*at & 0xc0) == 0x80)
            at--;
        size_t step = slm_utf8_decode(at, (size_t)(s.end - at), &cp);
        if (at + step != s.end || (!slm_utf8_is_space(cp) && !(cp >= 0x1c && cp <= 0x1f))) break;
        s.end = at;
    }
    return s;
}

static span strip_newlines(span s)
{
    while (s.begin < s.end && *s.begin == '\n')
        s.begin++;
    while (s.begin < s.end && s.end[-1] == '\n')
        s.end--;
    return s;
}

static void add_span(renderer *r, span s)
{
    add_bytes(r, s.begin, (size_t)(s.end - s.begin));
}

/* The last place in [begin, end) where text stands, or NULL. */
static const char *find_last(span s, const char *text)
{
    const char *found = NULL;
    size_t len = strlen(text);
    for (const char *at = s.begin; (at = memmem(at, (size_t)(s.end - at), text, len)) != NULL; at++)
        found = at;
    return found;
}

/* ---- the ChatML kind ----------------------------------------------------------------------- */

static slm_status add_chatml(renderer *r, const char *role, const char *content)
{
    SLM_TRY(add_marker(r, START));
    add_text(r, role);
    add_text(r, "\n");
    add_text(r, content);
    SLM_TRY(add_marker(r, END));
    add_text(r, "\n");
    return SLM_OK;
}

static slm_status open_chatml(renderer *r)
{
    if (!r->options->add_generation_prompt) return SLM_OK;
    SLM_TRY(add_marker(r, START));
    add_text(r, "assistant\n");
    return SLM_OK;
}

static slm_status render_chatml(renderer *r)
{
    if (r->tmpl->system != NULL && !has_role(r, 0, "system"))
        SLM_TRY(add_chatml(r, "system", r->tmpl->system));
    for (size_t i = 0; i < r->count; i++)
        SLM_TRY(add_chatml(r, r->messages[i].role, r->messages[i].content));
    return open_chatml(r);
}

/* ---- Qwen 3 -------------------------------------------------------------------------------- */

static bool is_tool_response(const char *content)
{
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    size_t len = strlen(content), n = sizeof(close) - 1;
    return strncmp(content, open, sizeof(open) - 1) == 0 && len >= n &&
           strcmp(content + len - n, close) == 0;
}

/* A reply in parts: what was thought stands between <think> and </think> in front of the rest. Of
 * replies before the last question only the rest is kept; of those after it a thought is written
 * out, and in the last message an empty one too. */
static slm_status add_qwen3_reply(renderer *r, size_t index, size_t last_question)
{
    const char *text = r->messages[index].content, *close = strstr(text, "</think>");
    span content = {text, text + strlen(text)}, thought = {text, text};
    if (close != NULL) {
        thought.end = close;
        while (thought.end > thought.begin && thought.end[-1] == '\n')
            thought.end--;
        const char *open = find_last(thought, "<think>");
        if (open != NULL) thought.begin = open + strlen("<think>");
        thought = strip_newlines(thought);
        content.begin = find_last(content, "</think>") + strlen("</think>");
        while (content.begin < content.end && *content.begin == '\n')
            content.begin++;
    }
    bool last = index + 1 == r->count;
    SLM_TRY(add_marker(r, START));
    add_text(r, "assistant\n");
    if (index > last_question && (last || thought.begin < thought.end)) {
        add_text(r, "<think>\n");
        add_span(r, thought);
        add_text(r, "\n</think>\n\n");
        while (content.begin < content.end && *content.begin == '\n')
            content.begin++;
    }
    add_span(r, content);
    SLM_TRY(add_marker(r, END));
    add_text(r, "\n");
    return SLM_OK;
}

static slm_status render_qwen3(renderer *r)
{
    size_t last_question = r->count - 1;
    for (size_t i = r->count; i-- > 0;) {
        if (has_role(r, i, "user") && !is_tool_response(r->messages[i].content)) {
            last_question = i;
            break;
        }
    }
    for (size_t i = 0; i < r->count; i++)
        SLM_TRY(has_role(r, i, "assistant")
                    ? add_qwen3_reply(r, i, last_question)
                    : add_chatml(r, r->messages[i].role, r->messages[i].content));
    SLM_TRY(open_chatml(r));
    if (r->options->add_generation_prompt && !r->options->thinking)
        add_text(r, "<think>\n\n</think>\n\n");
    return SLM_OK;
}

/* ---- Llama --------------------------------------------------------------------------------- */

static slm_status render_llama2(renderer *r)
{
    const char *system = has_role(r, 0, "system") ? r->messages[0].content : NULL;
    size_t first = system != NULL;
    for (size_t i = first; i < r->count; i++) {
        const char *content = r->messages[i].content;
        bool user = has_role(r, i, "user");
        if (has_role(r, i, "system"))
            return refuse_message(r, i, "comes late; its system message must be the first");
        if (user != ((i - first) % 2 == 0))
            return refuse_message(
                r, i, "is out of turn; user and assistant must alternate, the user first");
        SLM_TRY(user ? add_id(r, r->tokenizer->bos, "BOS") : SLM_OK);
        add_text(r, user ? "[INST] " : " ");
        if (i == first && system != NULL) {
            /* Stripped as one with the question: the markers keep the system's own white space. */
            span rest = strip(content);
            add_text(r, "<<SYS>>\n");
            add_text(r, system);
            add_text(r, "\n<</SYS>>");
            if (rest.begin < rest.end) add_text(r, "\n\n");
            if (rest.begin < rest.end) add_span(r, (span){content, rest.end});
        } else {
            add_span(r, strip(content));
        }
        add_text(r, user ? " [/INST]" : " ");
        if (!user) SLM_TRY(add_id(r, r->tokenizer->eos, "EOS"));
    }
    return SLM_OK;
}

static slm_status open_llama3(renderer *r, const char *role)
{
    SLM_TRY(add_marker(r, "<|start_header_id|>"));
    add_text(r, role);
    SLM_TRY(add_marker(r, "<|end_header_id|>"));
    add_text(r, "\n\n");
    return SLM_OK;
}

static slm_status render_llama3(renderer *r)
{
    size_t first = 0;
    SLM_TRY(add_id(r, r->tokenizer->bos, "BOS"));
    if (r->tmpl->dates) {
        SLM_TRY(open_llama3(r, "system"));
        add_text(r, "Cutting Knowledge Date: December 2023\nToday Date: ");
        add_text(r, r->options->date ? r->options->date : SLM_TEMPLATE_DATE);
        add_text(r, "\n\n");
        if (has_role(r, 0, "system")) add_span(r, strip(r->messages[first++].content));
        SLM_TRY(add_marker(r, "<|eot_id|>"));
    }
    for (size_t i = first; i < r->count; i++) {
        SLM_TRY(open_llama3(r, r->messages[i].role));
        add_span(r, strip(r->messages[i].content));
        SLM_TRY(add_marker(r, "<|eot_id|>"));
    }
    return r->options->add_generation_prompt ? open_llama3(r, "assistant") : SLM_OK;
}

/* ---- the templates ------------------------------------------------------------------------- */

static const slm_template templates[] = {
    {.name = "smollm2",
     .render = render_chatml,
     .system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
     .stops = {END}},
    {.name = "chatml", .render = render_chatml, .stops = {END}},
    {.name = "qwen2",
     .render = render_chatml,
     .system = "You are a helpful assistant.",
     .stops = {END, "<|endoftext|>"}},
    {.name = "qwen2.5",
     .render = render_chatml,
     .system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     .stops = {END, "<|endoftext|>"}},
    {.name = "qwen3", .render = render_qwen3, .thinks = true, .stops = {END, "<|endoftext|>"}},
    {.name = "llama2", .render = render_llama2},
    {.name = "llama3", .render = render_llama3, .stops = {"<|eot_id|>", "<|end_of_text|>"}},
    {.name = "llama3.1",
     .render = render_llama3,
     .dates = true,
     .stops = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"}},
};
enum { TEMPLATE_COUNT = sizeof(templates) / sizeof(templates[0]) };

const slm_template *slm_template_find(const char *name)
{
    for (size_t i = 0; i < TEMPLATE_COUNT; i++) {
        if (strcmp(templates[i].name, name) == 0) return &templates[i];
    }
    return NULL;
}

const char *slm_template_name(const slm_template *tmpl)
{
    return tmpl->name;
}

const char *slm_template_names(void)
{
    return "smollm2, chatml, qwen2, qwen2.5, qwen3, llama2, llama3, llama3.1";
}

bool slm_template_thinks(const slm_template *tmpl)
{
    return tmpl->thinks;
}

slm_template_options slm_template_options_default(void)
{
    return (slm_template_options){.add_generation_prompt = true};
}

/* ---- rendering ----------------------------------------------------------------------------- */

static slm_status check_messages(const renderer *r)
{
    const char *name = r->tmpl->name;
    if (r->count == 0)
        return slm_error_set(r->err, SLM_ERR_INVALID,
                             "chat template '%s': the conversation has no messages", name);
    for (size_t i = 0; i < r->count; i++) {
        const char *role = r->messages[i].role ? r->messages[i].role : "";
        if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 &&
            strcmp(role, "assistant") != 0)
            return slm_error_set(r->err, SLM_ERR_INVALID,
                                 "chat template '%s': message %zu has role '%s'; system, user and "
                                 "assistant are known",
                                 name, i + 1, role);
        if (r->messages[i].content == NULL) return refuse_message(r, i, "has no content");
    }
    if (r->options->thinking && !r->tmpl->thinks)
        return slm_error_set(r->err, SLM_ERR_UNSUPPORTED,
                             "chat template '%s' has no thinking; use --thinking off", name);
    return SLM_OK;
}

slm_status slm_template_render(const slm_template *tmpl, const slm_tokenizer *tokenizer,
                               const slm_text_message *messages, size_t count,
                               const slm_template_options *options, slm_tokens *out,
                               slm_buffer *text, slm_error *err)
{
    const slm_template_options otherwise = slm_template_options_default();
    renderer r = {.tmpl = tmpl,
                  .tokenizer = tokenizer,
                  .messages = messages,
                  .count = count,
                  .options = options ? options : &otherwise,
                  .out = out,
                  .first_id = out->len,
                  .text = text,
                  .err = err};
    size_t first_byte = text ? text->len : 0;
    slm_status status = check_messages(&r);
    if (status != SLM_OK) return status;
    SLM_TRY_OUT(tmpl->render(&r));
    SLM_TRY_OUT(flush_text(&r));
out:
    if (status != SLM_OK) {
        out->len = r.first_id;
        if (text) slm_buffer_truncate(text, first_byte);
    }
    slm_buffer_free(&r.plain);
    return status;
}

size_t slm_template_stop_tokens(const slm_template *tmpl, const slm_tokenizer *tokenizer,
                                slm_token *out, size_t cap)
{
    size_t count = 0;
    for (size_t i = 0; i < 4 && count < cap; i++) {
        slm_token id = -1;
        if (i == 3)
            id = slm_tokenizer_eos(tokenizer);
        else if (tmpl->stops[i] != NULL)
            id = slm_tokenizer_find(tokenizer, tmpl->stops[i]);
        bool known = id < 0;
        for (size_t k = 0; k < count; k++)
            known = known || out[k] == id;
        if (!known) out[count++] = id;
    }
    return count;
}
