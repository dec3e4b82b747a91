/* test_template.c: templates against what the models' own Jinja programs render
 * (tests/golden/templates.jsonl, made by tools/make-template-goldens.py), which ids stand where, and
 * what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/json.h"
#include "text_fixture.h"

#define GOLDENS "tests/golden/templates.jsonl"

static void check_detect(const json_t *row, size_t line)
{
    const char *jinja = json_string_value(json_object_get(row, "jinja"));
    const char *name = json_string_value(json_object_get(row, "template"));
    const slm_template *found = NULL;
    slm_error err = {0};
    slm_status status = slm_template_detect(jinja, &found, &err);
    if (name == NULL) {
        if (status != SLM_ERR_UNSUPPORTED || found != NULL)
            fail_msg("line %zu: '%s' was taken for %s", line, jinja,
                     found ? slm_template_name(found) : "nothing, without an error");
        assert_non_null(strstr(err.message, "--template (smollm2, chatml, qwen2"));
    } else if (status != SLM_OK || strcmp(slm_template_name(found), name) != 0) {
        fail_msg("line %zu: '%s' was not taken for %s", line, jinja, name);
    }
}

static const char *const control[] = {
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
};
enum { CONTROL = sizeof(control) / sizeof(control[0]) };
static const char *const plain[] = {"<think>", "</think>"};

static slm_tokenizer *all_tokens(void)
{
    return special_tokenizer(control, CONTROL, plain, 2);
}

/* How often control tokens' names stand in a text. */
static size_t count_control(const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < CONTROL; i++) {
        for (const char *at = text; (at = strstr(at, control[i])) != NULL; at++)
            count++;
    }
    return count;
}

/* Text equal to the golden; the ids decode to that text; and outside the markers that the template
 * itself writes no id is a control token. */
static void check_render(const slm_tokenizer *tokenizer, const json_t *row, size_t line)
{
    const char *name = json_string_value(json_object_get(row, "template"));
    const char *expected = json_string_value(json_object_get(row, "text"));
    const json_t *list = json_object_get(row, "messages");
    const slm_template_options options = {
        .add_generation_prompt = json_is_true(json_object_get(row, "add_generation_prompt")),
        .thinking = json_is_true(json_object_get(row, "thinking")),
        .date = json_string_value(json_object_get(row, "date")),
    };
    slm_text_message messages[8];
    size_t count = json_array_size(list), in_text = 0, in_ids = 0;
    slm_tokens ids = {0};
    slm_buffer text = {0}, decoded = {0};
    slm_error err = {0};
    assert_in_range(count, 1, 8);
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(list, i);
        messages[i].role = json_string_value(json_object_get(message, "role"));
        messages[i].content = json_string_value(json_object_get(message, "content"));
        in_text += count_control(messages[i].content);
    }
    const slm_template *tmpl = slm_template_find(name);
    assert_non_null(tmpl);
    slm_status status =
        slm_template_render(tmpl, tokenizer, messages, count, &options, &ids, &text, &err);
    if (expected == NULL) {
        if (status != SLM_ERR_INVALID) fail_msg("line %zu: not refused", line);
        expected = "";
    } else if (status != SLM_OK) {
        fail_msg("line %zu: %s", line, err.message);
    }
    if (strcmp(slm_buffer_text(&text), expected) != 0)
        fail_msg("line %zu: rendered '%s', expected '%s'", line, slm_buffer_text(&text), expected);
    decode_all(tokenizer, &ids, &decoded);
    assert_string_equal(slm_buffer_text(&decoded), expected);
    for (size_t i = 0; i < ids.len; i++)
        in_ids += slm_tokenizer_is_special(tokenizer, ids.ids[i]);
    if (*expected) assert_int_equal(in_ids, count_control(expected) - in_text);
    slm_tokens_free(&ids);
    slm_buffer_free(&text);
    slm_buffer_free(&decoded);
}

static void test_goldens(void **state)
{
    (void)state;
    slm_jsonl *reader = NULL;
    slm_error err = {0};
    slm_tokenizer *tokenizer = all_tokens();
    size_t detected = 0, rendered = 0;
    if (slm_jsonl_open(GOLDENS, &reader, &err) != SLM_OK) fail_msg("%s", err.message);
    for (;;) {
        json_t *row = NULL;
        size_t line = 0;
        if (slm_jsonl_next(reader, &row, &line, &err) != SLM_OK) fail_msg("%s", err.message);
        if (row == NULL) break;
        if (json_object_get(row, "jinja")) {
            check_detect(row, line);
            detected++;
        } else {
            check_render(tokenizer, row, line);
            rendered++;
        }
        json_decref(row);
    }
    assert_true(detected >= 20);
    assert_true(rendered >= 300);
    slm_jsonl_close(reader);
    slm_tokenizer_free(tokenizer);
}

/* A piece may span role, newline and content: "\n" and a content's own "\n" are one token here. */
static void test_seam(void **state)
{
    (void)state;
    static const char *const merges[] = {"\xc4\x8a \xc4\x8a"};
    const slm_text_message message = {"user", "\nx"};
    const slm_template_options bare = {.add_generation_prompt = false};
    slm_tokenizer *tokenizer = byte_tokenizer("qwen2", merges, 1);
    slm_tokens ids = {0};
    assert_int_equal(slm_template_render(slm_template_find("chatml"), tokenizer, &message, 1, &bare,
                                         &ids, NULL, NULL),
                     SLM_OK);
    const slm_token expected[] = {
        GGUF_TOKEN_IM_START,    GGUF_TOKEN_BYTES + 'u', GGUF_TOKEN_BYTES + 's',
        GGUF_TOKEN_BYTES + 'e', GGUF_TOKEN_BYTES + 'r', GGUF_TOKEN_MERGES,
        GGUF_TOKEN_BYTES + 'x', GGUF_TOKEN_IM_END,      GGUF_TOKEN_BYTES + '\n',
    };
    assert_int_equal(ids.len, sizeof(expected) / sizeof(expected[0]));
    assert_memory_equal(ids.ids, expected, sizeof(expected));
    slm_tokens_free(&ids);
    slm_tokenizer_free(tokenizer);
}

static void refuse(const slm_tokenizer *tokenizer, const slm_text_message *messages, size_t count,
                   slm_status status, const char *part)
{
    slm_tokens ids = {0};
    slm_buffer text = {0};
    slm_error err = {0};
    slm_tokens_append(&ids, 5);
    slm_buffer_append_text(&text, "kept");
    assert_int_equal(slm_template_render(slm_template_find("smollm2"), tokenizer, messages, count,
                                         NULL, &ids, &text, &err),
                     status);
    if (strstr(err.message, part) == NULL || strstr(err.message, "'smollm2'") == NULL)
        fail_msg("\"%s\" lacks \"%s\"", err.message, part);
    assert_int_equal(ids.len, 1);
    assert_string_equal(slm_buffer_text(&text), "kept");
    slm_tokens_free(&ids);
    slm_buffer_free(&text);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "<|im_start|>"};
    const slm_text_message wrong[] = {{"user", "a"}, {"tool", "b"}}, none[] = {{NULL, "a"}};
    const slm_text_message empty[] = {{"user", NULL}}, fine[] = {{"user", "a"}};
    slm_tokenizer *tokenizer = byte_tokenizer("smollm", NULL, 0);
    refuse(tokenizer, wrong, 2, SLM_ERR_INVALID, "message 2 has role 'tool'");
    refuse(tokenizer, none, 1, SLM_ERR_INVALID, "message 1 has role ''");
    refuse(tokenizer, empty, 1, SLM_ERR_INVALID, "message 1 (user) has no content");
    refuse(tokenizer, fine, 0, SLM_ERR_INVALID, "no messages");
    slm_tokenizer_free(tokenizer);

    gguf_writer w = {0};
    slm_error err = {0};
    gguf_add_string(&w, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(&w, "tokenizer.ggml.pre", "smollm");
    gguf_add_strings(&w, "tokenizer.ggml.tokens", tokens, 2);
    gguf_add_strings(&w, "tokenizer.ggml.merges", NULL, 0);
    assert_int_equal(load_tokenizer(&w, &tokenizer, &err), SLM_OK);
    refuse(tokenizer, fine, 1, SLM_ERR_UNSUPPORTED, "needs the token <|im_end|>");
    slm_token stop[2];
    assert_int_equal(slm_template_stop_tokens(slm_template_find("chatml"), tokenizer, stop, 2), 0);
    slm_tokenizer_free(tokenizer);
    gguf_writer_free(&w);
}

static void test_names_and_stops(void **state)
{
    (void)state;
    slm_token stop[4];
    slm_tokenizer *tokenizer = byte_tokenizer("smollm", NULL, 0);
    assert_null(slm_template_find("jinja"));
    assert_string_equal(slm_template_names(),
                        "smollm2, chatml, qwen2, qwen2.5, qwen3, llama2, llama3, llama3.1");
    assert_string_equal(slm_template_name(slm_template_find("chatml")), "chatml");
    /* EOS is <|im_end|> in this vocabulary: once. */
    const slm_template *tmpl = slm_template_find("smollm2");
    assert_int_equal(slm_template_stop_tokens(tmpl, tokenizer, stop, 4), 1);
    assert_int_equal(stop[0], GGUF_TOKEN_IM_END);
    assert_int_equal(slm_template_stop_tokens(tmpl, tokenizer, stop, 0), 0);
    tokenizer->eos = GGUF_TOKEN_ENDOFTEXT;
    assert_int_equal(slm_template_stop_tokens(tmpl, tokenizer, stop, 4), 2);
    assert_int_equal(stop[1], GGUF_TOKEN_ENDOFTEXT);
    slm_tokenizer_free(tokenizer);
}

static void test_options(void **state)
{
    (void)state;
    slm_tokenizer *tokenizer = all_tokens();
    const slm_text_message hello[] = {{"user", "a"}};
    const slm_template_options thinking = {.thinking = true};
    slm_tokens ids = {0};
    slm_buffer text = {0};
    slm_error err = {0};
    assert_true(slm_template_thinks(slm_template_find("qwen3")));
    assert_false(slm_template_thinks(slm_template_find("qwen2.5")));
    assert_int_equal(slm_template_render(slm_template_find("qwen2"), tokenizer, hello, 1, &thinking,
                                         &ids, &text, &err),
                     SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'qwen2' has no thinking; use --thinking off"));
    /* By default: ready to answer, without thinking. */
    assert_int_equal(slm_template_render(slm_template_find("qwen3"), tokenizer, hello, 1, NULL,
                                         &ids, &text, &err),
                     SLM_OK);
    const char *end = "<|im_start|>assistant\n<think>\n\n</think>\n\n";
    assert_true(text.len > strlen(end));
    assert_string_equal(text.data + text.len - strlen(end), end);
    slm_tokens_free(&ids);
    slm_buffer_free(&text);
    slm_tokenizer_free(tokenizer);
}

static void test_turns(void **state)
{
    (void)state;
    static const slm_text_message late[] = {{"user", "a"}, {"system", "b"}},
                                  twice[] = {{"system", "s"}, {"user", "a"}, {"user", "b"}};
    slm_tokenizer *tokenizer = all_tokens(), *bare = byte_tokenizer("smollm", NULL, 0);
    const slm_template *llama2 = slm_template_find("llama2");
    slm_tokens ids = {0};
    slm_error err = {0};
    assert_int_equal(slm_template_render(llama2, tokenizer, late, 2, NULL, &ids, NULL, &err),
                     SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "'llama2': message 2 (system) comes late"));
    assert_int_equal(slm_template_render(llama2, tokenizer, twice, 3, NULL, &ids, NULL, &err),
                     SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "message 3 (user) is out of turn"));
    bare->bos = -1;
    assert_int_equal(slm_template_render(llama2, bare, twice, 2, NULL, &ids, NULL, &err),
                     SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "needs the token BOS"));
    assert_int_equal(ids.len, 0);
    slm_tokens_free(&ids);
    slm_tokenizer_free(tokenizer);
    slm_tokenizer_free(bare);
}

static void test_stops_by_template(void **state)
{
    (void)state;
    slm_token stop[4];
    slm_tokenizer *t = all_tokens();
    assert_int_equal(slm_template_stop_tokens(slm_template_find("llama2"), t, stop, 4), 1);
    assert_int_equal(stop[0], slm_tokenizer_find(t, "</s>"));
    assert_int_equal(slm_template_stop_tokens(slm_template_find("llama3.1"), t, stop, 4), 4);
    assert_int_equal(stop[0], slm_tokenizer_find(t, "<|eot_id|>"));
    assert_int_equal(slm_template_stop_tokens(slm_template_find("qwen3"), t, stop, 4), 3);
    assert_int_equal(stop[0], slm_tokenizer_find(t, "<|im_end|>"));
    slm_tokenizer_free(t);
}

/* Long templates are known by the hash of their canonical text. Whoever changes what is canonical
 * must compute those hashes anew: this one then differs too. */
static void test_canonical(void **state)
{
    (void)state;
    static const char jinja[] =
        "{#- a comment -#}\n{%- set ns = namespace(x=true) %}\n  {%- if messages[0].role == \"a\" "
        "and "
        "not (b.content.startswith('<t>')) %}\n {{- '<t>\\n' + \"it's\" + m.role }}\n{%- endif %}\n"
        "\n  {{ x | trim }} text {%- for m in messages[::-1] -%} {{m['content']~'\\''}} {% endfor "
        "%}";
    static const char canonical[] =
        "{{'{#- a comment -#}'}}{%setns=namespace(x=true)%}{%ifmessages[0]['role']=='a'andnot(b['"
        "content'].startswith('<t>'))%}{{'<t>\nit\\'s'+m['role']}}{%endif%}{{'\n  '+x|trim}}{{' "
        "text'"
        "}}{%forminmessages[::-1]%}{{m['content']+'\\''}}{{' '}}{%endfor%}";
    slm_buffer out = {0};
    slm_text__canonical_jinja(jinja, &out);
    assert_string_equal(slm_buffer_text(&out), canonical);
    slm_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),           cmocka_unit_test(test_seam),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_names_and_stops),
        cmocka_unit_test(test_options),           cmocka_unit_test(test_turns),
        cmocka_unit_test(test_stops_by_template), cmocka_unit_test(test_canonical),
    };
    return cmocka_run_group_tests_name("text/template", tests, NULL, NULL);
}
