/* test_scores.c: SentencePiece's scores: merging against the definition written down plainly, what
 * becomes of characters without a token, spaces in front, and files that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/random.h"
#include "text_fixture.h"

#define B TEXT_BLOCK

/* A vocabulary: <unk>, <s>, </s>, the byte tokens that are asked for, then `texts`. */
typedef struct parts {
    const char *const *texts;
    const float *scores;
    size_t count;
    bool bytes, no_prefix;
} parts;

enum { MAX_TOKENS = 600 };

static slm_status load(const parts *p, slm_tokenizer **out, slm_error *err)
{
    static char names[256][8];
    const char *tokens[MAX_TOKENS] = {"<unk>", "<s>", "</s>"};
    int32_t types[MAX_TOKENS] = {2, 3, 3};
    float scores[MAX_TOKENS] = {0};
    size_t n = 3;
    gguf_writer w = {0};
    for (size_t b = 0; b < 256 && p->bytes; b++) {
        snprintf(names[b], sizeof(names[b]), "<0x%02X>", (unsigned)b);
        tokens[n] = names[b];
        types[n++] = 6;
    }
    for (size_t i = 0; i < p->count; i++) {
        tokens[n] = p->texts[i];
        scores[n] = p->scores[i];
        types[n++] = 1;
    }
    gguf_add_string(&w, "tokenizer.ggml.model", "llama");
    gguf_add_strings(&w, "tokenizer.ggml.tokens", tokens, n);
    gguf_add_i32s(&w, "tokenizer.ggml.token_type", types, n);
    gguf_add_f32s(&w, "tokenizer.ggml.scores", scores, n);
    if (p->no_prefix) gguf_add_bool(&w, "tokenizer.ggml.add_space_prefix", false);
    slm_status status = load_tokenizer(&w, out, err);
    gguf_writer_free(&w);
    return status;
}

static slm_tokenizer *must_load(const parts *p)
{
    slm_tokenizer *t;
    slm_error err = {0};
    if (load(p, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    return t;
}

/* The ids' texts in the vocabulary, apart by '|'. */
static void pieces(const slm_tokenizer *t, const char *text, bool special, slm_buffer *out)
{
    slm_tokens ids = {0};
    slm_buffer_truncate(out, 0);
    assert_int_equal(slm_tokenizer_encode(t, text, strlen(text), special, &ids, NULL), SLM_OK);
    for (size_t i = 0; i < ids.len; i++)
        slm_buffer_printf(out, "%s%s", i ? "|" : "", t->entries[ids.ids[i]].text);
    slm_tokens_free(&ids);
}

static void expect(const slm_tokenizer *t, const char *text, bool special, const char *expected)
{
    slm_buffer got = {0};
    pieces(t, text, special, &got);
    if (strcmp(slm_buffer_text(&got), expected) != 0)
        fail_msg("'%s' became '%s', expected '%s'", text, slm_buffer_text(&got), expected);
    slm_buffer_free(&got);
}

static const char *const words[] = {B,     "a", "b", "c", "ab", "bc",  "abc",
                                    B "a", "<", "s", ">", "<s", "<s>", "</s>"};
static const float ranks[] = {-9, -9, -9, -9, -2, -1, -3, -4, -9, -9, -9, -5, -6, -7};
enum { WORDS = 11 }; /* without <s, <s>, </s> */
static const parts plain = {words, ranks, WORDS, true, false};

static void test_encode(void **state)
{
    (void)state;
    slm_tokenizer *t = must_load(&plain);
    expect(t, "abc", false, B "|abc"); /* "bc" first, then "abc" before "_a" */
    expect(t, "ab", false, B "|ab");   /* "ab" before "_a" */
    expect(t, " ab  a", false, B "|" B "|ab|" B "|" B "a");
    expect(t, "", false, "");
    expect(t, "x\xc3\xa9", false, B "|<0x78>|<0xC3>|<0xA9>");
    expect(t, "a\xff", false, B "a|<0xFF>");
    expect(t, "\n", false, B "|<0x0A>");
    /* A control token's name and a byte token's are text, unless asked. */
    expect(t, "a<s>", false, B "a|<|s|>");
    expect(t, "a<s>b", true, B "a|<s>|" B "|b"); /* behind it a space again, as in llama.cpp */
    expect(t, "<0x0A>", true, B "|<|<0x30>|<0x78>|<0x30>|<0x41>|>");
    assert_int_equal(slm_tokenizer_bos(t), 1);
    assert_int_equal(slm_tokenizer_eos(t), 2);
    assert_true(slm_tokenizer_adds_bos(t));
    assert_string_equal(slm_tokenizer_description(t), "SentencePiece scores, 270 tokens");
    slm_tokenizer_free(t);

    parts bare = plain; /* no byte tokens: unknown characters side by side are one */
    bare.bytes = false;
    bare.no_prefix = true;
    t = must_load(&bare);
    expect(t, "axyb\xff", false, "a|<unk>|b|<unk>");
    slm_tokenizer_free(t);
}

static void test_decode(void **state)
{
    (void)state;
    static const char text[] = " a b\xc3\xa9  x";
    slm_tokenizer *t = must_load(&plain);
    slm_tokens ids = {0};
    slm_buffer all = {0}, streamed = {0}, each = {0};
    slm_decoder decoder = {0};
    assert_int_equal(slm_tokenizer_encode(t, text, strlen(text), false, &ids, NULL), SLM_OK);
    slm_tokenizer_decode_all(t, ids.ids, ids.len, false, &all);
    assert_string_equal(slm_buffer_text(&all), text);
    for (size_t i = 0; i < ids.len; i++) {
        slm_decoder_push(&decoder, t, ids.ids[i], &streamed);
        assert_true(slm_utf8_valid(slm_buffer_text(&streamed), streamed.len, NULL));
        slm_tokenizer_decode(t, ids.ids[i], false, &each);
    }
    slm_decoder_finish(&decoder, &streamed);
    assert_string_equal(slm_buffer_text(&streamed), text);
    assert_string_equal(slm_buffer_text(&each),
                        "  a b\xc3\xa9  x"); /* an id alone keeps its space */
    /* BOS gives nothing, and what follows is still the first. */
    slm_buffer_truncate(&all, 0);
    const slm_token with_bos[] = {1, ids.ids[0], slm_tokenizer_find(t, "a")};
    slm_tokenizer_decode_all(t, with_bos, 3, false, &all);
    assert_string_equal(slm_buffer_text(&all), "a");
    /* Half a character is held back, and is U+FFFD if nothing comes. */
    slm_buffer_truncate(&streamed, 0);
    decoder = (slm_decoder){0};
    slm_decoder_push(&decoder, t, slm_tokenizer_find(t, "<0xC3>"), &streamed);
    assert_int_equal(streamed.len, 0);
    slm_decoder_finish(&decoder, &streamed);
    assert_string_equal(slm_buffer_text(&streamed), "\xef\xbf\xbd");
    slm_buffer_free(&all);
    slm_buffer_free(&each);
    slm_buffer_free(&streamed);
    slm_tokens_free(&ids);
    slm_tokenizer_free(t);
}

/* The definition: of all neighbours that spell a token, join those with the highest score, the
 * leftmost first. */
static void by_definition(const parts *p, const char *text, slm_buffer *out)
{
    char symbols[64][64];
    size_t n = 0;
    for (const char *at = text; *at; at++)
        snprintf(symbols[n++], 64, "%c", *at);
    for (;;) {
        size_t best = n;
        float best_score = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            char both[128] = "";
            memcpy(both, symbols[i], strlen(symbols[i]));
            memcpy(both + strlen(both), symbols[i + 1], strlen(symbols[i + 1]));
            for (size_t k = 0; k < p->count; k++) {
                if (strcmp(p->texts[k], both) == 0 && (best == n || p->scores[k] > best_score)) {
                    best = i;
                    best_score = p->scores[k];
                }
            }
        }
        if (best == n) break;
        size_t len = strlen(symbols[best]);
        memcpy(symbols[best] + len, symbols[best + 1], strlen(symbols[best + 1]) + 1);
        n--;
        memmove(symbols[best + 1], symbols[best + 2], (n - best - 1) * sizeof(symbols[0]));
    }
    slm_buffer_truncate(out, 0);
    for (size_t i = 0; i < n; i++)
        slm_buffer_printf(out, "%s%s", i ? "|" : "", symbols[i]);
}

static void test_definition(void **state)
{
    (void)state;
    slm_random random = slm_random_new(3, 0);
    slm_buffer expected = {0};
    for (int round = 0; round < 30; round++) {
        static char texts[60][8];
        const char *list[60];
        float scores[60];
        parts p = {list, scores, 0, true, true};
        for (int i = 0; i < 60; i++) {
            size_t len = i < 3 ? 1 : 1 + slm_random_below(&random, 6);
            bool fresh = true;
            for (size_t k = 0; k < len; k++)
                texts[p.count][k] =
                    (char)('a' + (i < 3 ? (uint64_t)i : slm_random_below(&random, 3)));
            texts[p.count][len] = '\0';
            for (size_t k = 0; k < p.count; k++)
                fresh = fresh && strcmp(texts[k], texts[p.count]) != 0;
            if (!fresh) continue;
            list[p.count] = texts[p.count];
            scores[p.count++] = -(float)slm_random_below(&random, 12); /* many are equal */
        }
        slm_tokenizer *t = must_load(&p);
        for (int trial = 0; trial < 40; trial++) {
            char text[50];
            size_t len = slm_random_below(&random, sizeof(text));
            for (size_t k = 0; k < len; k++)
                text[k] = (char)('a' + slm_random_below(&random, 3));
            text[len] = '\0';
            by_definition(&p, text, &expected);
            expect(t, text, false, slm_buffer_text(&expected));
        }
        slm_tokenizer_free(t);
    }
    slm_buffer_free(&expected);
}

/* A megabyte without a space is one piece: n log n, not n squared. */
static void test_long(void **state)
{
    (void)state;
    enum { LEN = 1 << 20 };
    slm_tokenizer *t = must_load(&plain);
    char *text = malloc(LEN);
    slm_tokens ids = {0};
    assert_non_null(text);
    memset(text, 'a', LEN);
    assert_int_equal(slm_tokenizer_encode(t, text, LEN, false, &ids, NULL), SLM_OK);
    assert_int_equal(ids.len, LEN);
    slm_tokens_free(&ids);
    free(text);
    slm_tokenizer_free(t);
}

static void test_refused(void **state)
{
    (void)state;
    static const float bad[] = {-1, NAN, -1}, fine[] = {-1, -2, -3};
    static const char *const tokens[] = {"a", "b", "<0xZZ>"};
    static const int32_t types[] = {1, 1, 6};
    parts p = {words, bad, 3, false, false};
    slm_tokenizer *t;
    slm_error err = {0};
    assert_int_equal(load(&p, &t, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'tokenizer.ggml.scores': token 4 has a score that is no"));
    for (int i = 0; i < 3; i++) {
        gguf_writer w = {0};
        gguf_add_string(&w, "tokenizer.ggml.model", "llama");
        gguf_add_strings(&w, "tokenizer.ggml.tokens", tokens, i == 2 ? 3 : 2);
        gguf_add_i32s(&w, "tokenizer.ggml.token_type", types, i == 2 ? 3 : 2);
        if (i > 0) gguf_add_f32s(&w, "tokenizer.ggml.scores", fine, 3);
        assert_true(load_tokenizer(&w, &t, &err) != SLM_OK);
        assert_non_null(strstr(err.message, i == 0   ? "'tokenizer.ggml.scores' is missing"
                                            : i == 1 ? "holds 3 scores for 2 tokens"
                                                     : "token 2 is a byte token but not written"));
        gguf_writer_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),     cmocka_unit_test(test_decode),
        cmocka_unit_test(test_definition), cmocka_unit_test(test_long),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("text/scores", tests, NULL, NULL);
}
