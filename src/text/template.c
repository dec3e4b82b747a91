/* template.c: conversations -> prompts, each template one C description instead of a Jinja program.
 *
 * The templates here are of the ChatML kind: every message is
 *
 *     <|im_start|>ROLE \n CONTENT <|im_end|> \n
 *
 * and the assistant's opening is "<|im_start|>assistant\n". They differ in the system message that
 * stands in front when the conversation does not begin with one.
 *
 * The text between two markers is encoded as one, role, newline and content together, as the peers
 * do, for a piece may span the seam; but a marker's name written by a user stays text.
 *
 * A model's own Jinja text is recognised by what it says, not how it is spelt: `canonical` drops
 * what does not matter (spaces in tags, quotes, `.role` for `['role']`, joined literals, the white
 * space that Jinja trims with the settings that chat templates run under: trim_blocks and
 * lstrip_blocks), and the result must equal that of a known template. Anything else is refused. */
#include <ctype.h>
#include <string.h>
#include "text/text_internal.h"

#define START "<|im_start|>"
#define END   "<|im_end|>"

struct slm_template {
    const char *name;
    const char *default_system;     /* NULL: none */
    const char *const canonical[3]; /* the Jinja texts that it stands for; NULL ends the list */
};

#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

/* Parts of canonical texts; \n within a literal is the newline itself. */
#define J_DEFAULT                                                                                  \
    "{%ifnotadd_generation_promptisdefined%}{%setadd_generation_prompt=false%}{%endif%}"
#define J_EACH    "{%formessageinmessages%}"
#define J_MESSAGE "{{'" START "'+message['role']+'\n'+message['content']+'" END "\n'}}"
#define J_CLOSE   "{%endfor%}{%ifadd_generation_prompt%}{{'" START "assistant\n'}}{%endif%}"
#define J_SMOLLM2                                                                                  \
    "{%ifloop.firstandmessages[0]['role']!='system'%}{{'" START "system\n" SMOLLM2_SYSTEM END      \
    "\n'}}{%endif%}"

static const slm_template templates[] = {
    {
        .name = "smollm2",
        .default_system = SMOLLM2_SYSTEM,
        .canonical = {J_EACH J_SMOLLM2 J_MESSAGE J_CLOSE, NULL},
    },
    {
        .name = "chatml",
        .canonical = {J_EACH J_MESSAGE J_CLOSE, J_DEFAULT J_EACH J_MESSAGE J_CLOSE, NULL},
    },
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
    return "smollm2, chatml";
}

/* ---- recognising Jinja --------------------------------------------------------------------- */

/* A literal from its opening quote on, with its escapes undone and in single quotes; returns where
 * it ends. "'+'" between two literals joins them. */
static const char *canonical_literal(const char *at, const char *end, slm_buffer *out)
{
    char quote = *at++;
    if (out->len >= 2 && memcmp(out->data + out->len - 2, "'+", 2) == 0)
        slm_buffer_truncate(out, out->len - 2);
    else
        slm_buffer_append_char(out, '\'');
    for (; at < end && *at != quote; at++) {
        char c = *at;
        if (c == '\\' && at + 1 < end) {
            c = *++at;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        if (c == '\'') slm_buffer_append_char(out, '\\');
        slm_buffer_append_char(out, c);
    }
    slm_buffer_append_char(out, '\'');
    return at < end ? at + 1 : end;
}

/* ".name" at `at` as "['name']"; returns where it ends, or `at` if it is none of ours. */
static const char *canonical_member(const char *at, const char *end, slm_buffer *out)
{
    static const char *const members[] = {"role", "content"};
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(members[i]);
        const char *after = at + 1 + len;
        if ((size_t)(end - at) < len + 1 || memcmp(at + 1, members[i], len) != 0) continue;
        if (after < end && (isalnum((unsigned char)*after) || *after == '_')) continue;
        slm_buffer_printf(out, "['%s']", members[i]);
        return after;
    }
    return at;
}

/* The inside of a tag, [at, end): white space dropped. */
static void canonical_tag(const char *at, const char *end, slm_buffer *out)
{
    while (at < end) {
        const char *next = *at == '.' ? canonical_member(at, end, out) : at;
        if (next > at) {
            at = next;
        } else if (*at == '\'' || *at == '"') {
            at = canonical_literal(at, end, out);
        } else {
            if (!isspace((unsigned char)*at)) slm_buffer_append_char(out, *at == '~' ? '+' : *at);
            at++;
        }
    }
}

/* Where the tag that begins at `at` ("{{" or "{%") ends: behind its closing braces. */
static const char *tag_end(const char *at, const char *end)
{
    const char close = at[1] == '%' ? '%' : '}';
    char quote = 0;
    for (at += 2; at < end; at++) {
        if (quote && *at == '\\' && at + 1 < end)
            at++;
        else if (quote)
            quote = *at == quote ? 0 : quote;
        else if (*at == '\'' || *at == '"')
            quote = *at;
        else if (*at == close && at + 1 < end && at[1] == '}')
            return at + 2;
    }
    return end;
}

static bool opens_tag(const char *at, const char *end)
{
    return at + 1 < end && at[0] == '{' && (at[1] == '{' || at[1] == '%');
}

/* Text between tags, trimmed as Jinja does: all white space on a side where the tag has a dash; one
 * newline after a block (trim_blocks); blanks before a block that begins its line (lstrip_blocks). */
static void canonical_text(const char *begin, const char *at, const char *to, const char *end,
                           slm_buffer *out)
{
    bool after_tag = at > begin;
    bool before_tag = opens_tag(to, end);
    if (after_tag && at - begin >= 3 && at[-3] == '-') {
        while (at < to && isspace((unsigned char)*at))
            at++;
    } else if (after_tag && at[-2] == '%' && at < to && *at == '\n') {
        at++;
    }
    const char *from = to;
    while (from > at && (from[-1] == ' ' || from[-1] == '\t'))
        from--;
    if (before_tag && to + 2 < end && to[2] == '-') {
        while (to > at && isspace((unsigned char)to[-1]))
            to--;
    } else if (before_tag && to[1] == '%' && (from == begin || from[-1] == '\n')) {
        to = from;
    }
    if (!before_tag && to > at && to[-1] == '\n') to--; /* the template's own last newline */
    if (to > at) {
        /* As if it were {{ 'text' }}; the quotes in it stay unescaped: then nothing known fits. */
        slm_buffer_append_text(out, "{{'");
        slm_buffer_append(out, at, (size_t)(to - at));
        slm_buffer_append_text(out, "'}}");
    }
}

/* "{{a}}{{b}}" is "{{a+b}}": take back the closing braces if they stand at the end of out. */
static void open_output(slm_buffer *out)
{
    if (out->len >= 2 && memcmp(out->data + out->len - 2, "}}", 2) == 0) {
        slm_buffer_truncate(out, out->len - 2);
        slm_buffer_append_char(out, '+');
    } else {
        slm_buffer_append_text(out, "{{");
    }
}

static void canonical(const char *jinja, slm_buffer *out)
{
    const char *end = jinja + strlen(jinja), *at = jinja;
    while (at < end) {
        const char *to = at;
        while (to < end && !opens_tag(to, end))
            to++;
        canonical_text(jinja, at, to, end, out);
        if (to >= end) break;
        at = tag_end(to, end);
        const char *inside = to + 2, *inside_end = at - inside >= 2 ? at - 2 : at;
        if (inside < inside_end && *inside == '-') inside++;
        if (inside < inside_end && inside_end[-1] == '-') inside_end--;
        if (to[1] == '{')
            open_output(out);
        else
            slm_buffer_append_text(out, "{%");
        canonical_tag(inside, inside_end, out);
        slm_buffer_append_text(out, to[1] == '{' ? "}}" : "%}");
    }
}

slm_status slm_template_detect(const char *jinja, const slm_template **out, slm_error *err)
{
    slm_buffer text = {0};
    const slm_template *found = NULL;
    canonical(jinja, &text);
    for (size_t i = 0; i < TEMPLATE_COUNT && found == NULL; i++) {
        for (const char *const *form = templates[i].canonical; *form != NULL; form++) {
            if (strcmp(slm_buffer_text(&text), *form) == 0) found = &templates[i];
        }
    }
    slm_buffer_free(&text);
    if (found == NULL)
        return slm_error_set(
            err, SLM_ERR_UNSUPPORTED,
            "the model's chat template is none that is known; if one of them fits, "
            "name it with --template (%s)",
            slm_template_names());
    *out = found;
    return SLM_OK;
}

/* ---- rendering ----------------------------------------------------------------------------- */

typedef struct renderer {
    const slm_template *tmpl;
    const slm_tokenizer *tokenizer;
    slm_tokens *out;
    slm_buffer *text; /* may be NULL */
    slm_buffer plain; /* text since the last marker, not yet encoded */
    slm_error *err;
} renderer;

static void add_text(renderer *r, const char *text)
{
    slm_buffer_append_text(&r->plain, text);
    if (r->text) slm_buffer_append_text(r->text, text);
}

static slm_status flush_text(renderer *r)
{
    SLM_TRY(slm_tokenizer_encode(r->tokenizer, slm_buffer_text(&r->plain), r->plain.len, false,
                                 r->out, r->err));
    slm_buffer_truncate(&r->plain, 0);
    return SLM_OK;
}

static slm_status add_marker(renderer *r, const char *marker)
{
    slm_token id = slm_tokenizer_find(r->tokenizer, marker);
    if (id < 0)
        return slm_error_set(r->err, SLM_ERR_UNSUPPORTED,
                             "chat template '%s' needs the token %s, which the model's vocabulary "
                             "lacks; name a template that fits with --template (%s)",
                             r->tmpl->name, marker, slm_template_names());
    SLM_TRY(flush_text(r));
    slm_tokens_append(r->out, id);
    if (r->text) slm_buffer_append_text(r->text, marker);
    return SLM_OK;
}

static slm_status add_message(renderer *r, const char *role, const char *content)
{
    SLM_TRY(add_marker(r, START));
    add_text(r, role);
    add_text(r, "\n");
    add_text(r, content);
    SLM_TRY(add_marker(r, END));
    add_text(r, "\n");
    return SLM_OK;
}

static slm_status check_messages(const slm_template *tmpl, const slm_text_message *messages,
                                 size_t count, slm_error *err)
{
    if (count == 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "chat template '%s': the conversation has no messages", tmpl->name);
    for (size_t i = 0; i < count; i++) {
        const char *role = messages[i].role ? messages[i].role : "";
        if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 &&
            strcmp(role, "assistant") != 0)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "chat template '%s': message %zu has role '%s'; system, user and "
                                 "assistant are known",
                                 tmpl->name, i + 1, role);
        if (messages[i].content == NULL)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "chat template '%s': message %zu (%s) has no content", tmpl->name,
                                 i + 1, role);
    }
    return SLM_OK;
}

slm_status slm_template_render(const slm_template *tmpl, const slm_tokenizer *tokenizer,
                               const slm_text_message *messages, size_t count,
                               bool add_generation_prompt, slm_tokens *out, slm_buffer *text,
                               slm_error *err)
{
    renderer r = {.tmpl = tmpl, .tokenizer = tokenizer, .out = out, .text = text, .err = err};
    size_t first_id = out->len, first_byte = text ? text->len : 0;
    slm_status status = check_messages(tmpl, messages, count, err);
    if (status != SLM_OK) return status;
    if (tmpl->default_system != NULL && strcmp(messages[0].role, "system") != 0)
        SLM_TRY_OUT(add_message(&r, "system", tmpl->default_system));
    for (size_t i = 0; i < count; i++)
        SLM_TRY_OUT(add_message(&r, messages[i].role, messages[i].content));
    if (add_generation_prompt) {
        SLM_TRY_OUT(add_marker(&r, START));
        add_text(&r, "assistant\n");
    }
    SLM_TRY_OUT(flush_text(&r));
out:
    if (status != SLM_OK) {
        out->len = first_id;
        if (text) slm_buffer_truncate(text, first_byte);
    }
    slm_buffer_free(&r.plain);
    return status;
}

size_t slm_template_stop_tokens(const slm_template *tmpl, const slm_tokenizer *tokenizer,
                                slm_token *out, size_t cap)
{
    (void)tmpl; /* every template here ends a turn alike */
    slm_token candidates[] = {slm_tokenizer_find(tokenizer, END), slm_tokenizer_eos(tokenizer)};
    size_t count = 0;
    for (size_t i = 0; i < 2 && count < cap; i++) {
        if (candidates[i] < 0 || (count > 0 && out[0] == candidates[i])) continue;
        out[count++] = candidates[i];
    }
    return count;
}
