/* test_vocabulary.c: tokenizers that must be refused, each with a message that names file, key and
 * what is wrong; and what files may leave out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "text_fixture.h"

/* A small tokenizer of which a test breaks one part. NULL lists leave their key out. */
typedef struct parts {
    const char *model, *pre;
    const char *const *tokens;
    size_t token_count;
    const int32_t *types;
    size_t type_count;
    const char *const *merges;
    size_t merge_count;
    int32_t bos; /* -1: none */
} parts;

static const char *const good_tokens[] = {"a", "b", "ab", "\xc4\xa0", "<s>", "<u>"};
static const int32_t good_types[] = {1, 1, 1, 1, 3, 4};
static const char *const good_merges[] = {"a b"};
static const parts good = {"gpt2", "smollm", good_tokens, 6, good_types, 6, good_merges, 1, -1};

static slm_status load(const parts *p, slm_tokenizer **out, slm_error *err)
{
    gguf_writer w = {0};
    if (p->model) gguf_add_string(&w, "tokenizer.ggml.model", p->model);
    if (p->pre) gguf_add_string(&w, "tokenizer.ggml.pre", p->pre);
    if (p->tokens) gguf_add_strings(&w, "tokenizer.ggml.tokens", p->tokens, p->token_count);
    if (p->types) gguf_add_i32s(&w, "tokenizer.ggml.token_type", p->types, p->type_count);
    if (p->merges) gguf_add_strings(&w, "tokenizer.ggml.merges", p->merges, p->merge_count);
    if (p->bos >= 0) gguf_add_u32(&w, "tokenizer.ggml.bos_token_id", (uint32_t)p->bos);
    slm_status status = load_tokenizer(&w, out, err);
    gguf_writer_free(&w);
    return status;
}

static void refuse(const parts *p, slm_status status, const char *part, const char *part2)
{
    slm_tokenizer *tokenizer;
    slm_error err = {0};
    slm_status got = load(p, &tokenizer, &err);
    if (got != status || strstr(err.message, "test.gguf: ") != err.message ||
        strstr(err.message, part) == NULL || strstr(err.message, part2) == NULL)
        fail_msg("status %s, message \"%s\", expected %s with \"%s\" and \"%s\"",
                 slm_status_name(got), err.message, slm_status_name(status), part, part2);
    assert_null(tokenizer);
}

static void test_good(void **state)
{
    (void)state;
    slm_tokenizer *t;
    slm_error err = {0};
    if (load(&good, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_int_equal(slm_tokenizer_bos(t), -1);
    assert_int_equal(slm_tokenizer_eos(t), -1);
    assert_false(slm_tokenizer_adds_bos(t));
    slm_tokenizer_free(t);

    parts p = good; /* without types every token is text */
    p.types = NULL;
    assert_int_equal(load(&p, &t, &err), SLM_OK);
    assert_false(slm_tokenizer_is_special(t, 4));
    slm_tokenizer_free(t);

    p = good; /* Llama 3's adds BOS unless the file says otherwise */
    p.pre = "llama-bpe";
    p.bos = 4;
    assert_int_equal(load(&p, &t, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_bos(t), 4);
    assert_true(slm_tokenizer_adds_bos(t));
    slm_tokenizer_free(t);
}

static void test_models(void **state)
{
    (void)state;
    parts p = good;
    p.model = NULL;
    refuse(&p, SLM_ERR_NOT_FOUND, "tokenizer.ggml.model", "missing");
    p.model = "bert";
    refuse(&p, SLM_ERR_UNSUPPORTED, "tokenizer model 'bert'", "gpt2");
    p = good;
    p.pre = NULL;
    refuse(&p, SLM_ERR_NOT_FOUND, "tokenizer.ggml.pre", "missing");
    p.pre = "tekken";
    refuse(&p, SLM_ERR_UNSUPPORTED, "pre-tokenizer 'tekken'", "smollm, gpt-2, qwen2, llama-bpe");
}

static void test_tokens(void **state)
{
    (void)state;
    parts p = good;
    p.tokens = NULL;
    refuse(&p, SLM_ERR_NOT_FOUND, "tokenizer.ggml.tokens", "missing");
    p.tokens = good_tokens;
    p.token_count = 0;
    refuse(&p, SLM_ERR_FORMAT, "tokenizer.ggml.tokens", "0 tokens");
    p.token_count = 5;
    refuse(&p, SLM_ERR_FORMAT, "tokenizer.ggml.token_type", "6 types for 5 tokens");

    static const char *const same[] = {"a", "b", "ab", "a", "<s>", "<u>"};
    p = good;
    p.tokens = same;
    refuse(&p, SLM_ERR_FORMAT, "tokenizer.ggml.tokens", "token 3 is the same text as token 0");

    static char huge[5000];
    static const char *const long_tokens[] = {"a", "b", "ab", huge, "<s>", "<u>"};
    memset(huge, 'x', sizeof(huge) - 1);
    p.tokens = long_tokens;
    refuse(&p, SLM_ERR_FORMAT, "token 3 is 4999 bytes long", "4096");

    static const int32_t types[] = {1, 1, 0, 1, 3, 4}, high[] = {1, 1, 1, 1, 7, 4};
    p = good;
    p.types = types;
    refuse(&p, SLM_ERR_FORMAT, "tokenizer.ggml.token_type", "token 2 has type 0");
    p.types = high;
    refuse(&p, SLM_ERR_FORMAT, "tokenizer.ggml.token_type", "token 4 has type 7");
}

static void test_merges(void **state)
{
    (void)state;
    static const struct {
        const char *list[2];
        size_t count;
        const char *part, *part2;
    } bad[] = {
        {{"ab"}, 1, "merge 0 ('ab')", "one space between"},
        {{"a b a"}, 1, "merge 0 ('a b a')", "one space between"},
        {{" b"}, 1, "merge 0", "one space between"},
        {{"a "}, 1, "merge 0", "one space between"},
        {{""}, 1, "merge 0", "one space between"},
        {{"a b", "b z"}, 2, "merge 1 ('b z')", "vocabulary lacks"},
        {{"b a"}, 1, "merge 0 ('b a')", "vocabulary lacks"},
        {{"a b", "a b"}, 2, "merge 1 ('a b')", "stands twice"},
        {{"< s>"}, 1, "merge 0", "vocabulary lacks"},
    };
    parts p = good;
    p.merges = NULL;
    refuse(&p, SLM_ERR_NOT_FOUND, "tokenizer.ggml.merges", "missing");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        p.merges = bad[i].list;
        p.merge_count = bad[i].count;
        refuse(&p, SLM_ERR_FORMAT, bad[i].part, bad[i].part2);
    }

    /* A merge that would make a control token out of text. */
    static const char *const tokens[] = {"<", "s>", "<s>"}, *const merges[] = {"< s>"};
    static const int32_t types[] = {1, 1, 3};
    p = (parts){"gpt2", "smollm", tokens, 3, types, 3, merges, 1, -1};
    refuse(&p, SLM_ERR_FORMAT, "merge 0 ('< s>')", "is not text which merging may make");

    static char huge[2 * 4096 + 10];
    const char *const long_merge[] = {huge};
    memset(huge, 'x', sizeof(huge) - 1);
    huge[1] = ' ';
    p = good;
    p.merges = long_merge;
    refuse(&p, SLM_ERR_FORMAT, "merge 0", "too long");
}

static void test_kinds_and_ids(void **state)
{
    (void)state;
    parts p = good;
    p.bos = 6;
    refuse(&p, SLM_ERR_FORMAT, "tokenizer.ggml.bos_token_id", "is 6 but the vocabulary has 6");

    gguf_writer w = {0};
    slm_tokenizer *t;
    slm_error err = {0};
    gguf_add_string(&w, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(&w, "tokenizer.ggml.pre", "smollm");
    gguf_add_u32(&w, "tokenizer.ggml.tokens", 1);
    assert_int_equal(load_tokenizer(&w, &t, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'tokenizer.ggml.tokens' must be an array of strings"));
    gguf_writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_models),
        cmocka_unit_test(test_tokens),        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_kinds_and_ids),
    };
    return cmocka_run_group_tests_name("text/vocabulary", tests, NULL, NULL);
}
