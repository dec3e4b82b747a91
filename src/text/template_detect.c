/* template_detect.c: which of the templates a model's own Jinja text is.
 *
 * It is recognised by what it says, not how it is spelt: slm_text__canonical_jinja drops what does
 * not matter (spaces in tags, quotes, `.role` for `['role']`, joined literals, the white space that
 * Jinja trims with the settings that chat templates run under: trim_blocks and lstrip_blocks), and
 * the result must be that of a known template. Of short templates the canonical text stands here; of
 * those with a page of tool calling, which slm does not do, its SHA-256. Anything else is refused: a
 * template that differs in one character may be another language to the model. */
#include <ctype.h>
#include <string.h>
#include "base/hash.h"
#include "text/text_internal.h"

/* Parts of canonical texts; \n within a literal is the newline itself. */
#define START "<|im_start|>"
#define END   "<|im_end|>"
#define J_DEFAULT                                                                                  \
    "{%ifnotadd_generation_promptisdefined%}{%setadd_generation_prompt=false%}{%endif%}"
#define J_EACH    "{%formessageinmessages%}"
#define J_MESSAGE "{{'" START "'+message['role']+'\n'+message['content']+'" END "\n'}}"
#define J_CLOSE   "{%endfor%}{%ifadd_generation_prompt%}{{'" START "assistant\n'}}{%endif%}"
#define J_SYSTEM(text)                                                                             \
    "{%ifloop.firstandmessages[0]['role']!='system'%}{{'" START "system\n" text END "\n'}}{%"      \
    "endif%}"
#define J_HEADER "<|start_header_id|>"
#define J_LLAMA3                                                                                   \
    "{%setloop_messages=messages%}{%formessageinloop_messages%}{%setcontent='" J_HEADER            \
    "'+message['role']+'<|end_header_id|>\n\n'+message['content']|trim+'<|eot_id|>'%}"             \
    "{%ifloop.index0==0%}{%setcontent=bos_token+content%}{%endif%}{{content}}{%endfor%}"
#define J_LLAMA3_OPENING "{{'" J_HEADER "assistant<|end_header_id|>\n\n'}}"

static const struct form {
    const char *name;
    const char *canonical; /* or its SHA-256 */
    const char *sha256;
} forms[] = {
    {"smollm2",
     J_EACH J_SYSTEM("You are a helpful AI assistant named SmolLM, trained by Hugging Face")
         J_MESSAGE J_CLOSE,
     NULL},
    {"chatml", J_EACH J_MESSAGE J_CLOSE, NULL},
    {"chatml", J_DEFAULT J_EACH J_MESSAGE J_CLOSE, NULL},
    {"qwen2", J_EACH J_SYSTEM("You are a helpful assistant.") J_MESSAGE J_CLOSE, NULL},
    {"llama3", J_LLAMA3 J_LLAMA3_OPENING, NULL}, /* the first release: the opening always */
    {"llama3", J_LLAMA3 "{%ifadd_generation_prompt%}" J_LLAMA3_OPENING "{%endif%}", NULL},
    {"qwen2.5", NULL, "36a28929c4b2e81ac687c3456f5b04eac84d091ccff63603f94a1ecc8ecc696a"},
    {"qwen3", NULL, "e3b3d3967b3863cd2a0420a68be1817658cdcbfefafd81126491b3994c63ef31"},
    /* Content that is no text taken as empty. */
    {"qwen3", NULL, "c46fab6d3b387bf50630a6692d5aefd66c8914d32faf255d4f217bfcbd39aca6"},
    {"llama2", NULL, "e5342eecaee494c04d3ecf6ad2e2412e77151dd06ef38289b5feae39152dc9a7"},
    /* With late system messages, which are refused here. */
    {"llama2", NULL, "999b929e679b8cf76c93674bc2403cfb6e5e638bc293e330d9f4ae55089dd5ba"},
    {"llama3.1", NULL,
     "4e1517d38a3c0d8333691c41d3d24f926bf744dc6dd460b1aeba91f6a2467c22"}, /* 3.3 too */
    {"llama3.1", NULL,
     "46c05a602ea0a8cea44396b1d21705b2adf825d84e8b65e795ca6017614632fc"}, /* 3.2 */
};

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

void slm_text__canonical_jinja(const char *jinja, slm_buffer *out)
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
    char hex[SLM_SHA256_HEX_BYTES];
    slm_text__canonical_jinja(jinja, &text);
    slm_sha256_hex(slm_buffer_text(&text), text.len, hex);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && found == NULL; i++) {
        bool same = forms[i].canonical ? strcmp(slm_buffer_text(&text), forms[i].canonical) == 0
                                       : strcmp(hex, forms[i].sha256) == 0;
        if (same) found = slm_template_find(forms[i].name);
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
