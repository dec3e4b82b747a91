/* test_bpe.c: merging against the definition, written down as slowly and plainly as it can be, on
 * random merges and pieces on both sides of the bound between the short and the long way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/random.h"
#include "text_fixture.h"

enum { MERGES = 80, LONGEST = 20, PIECE = 300 };

typedef struct rules {
    char texts[MERGES][64]; /* "left right" */
    const char *list[MERGES];
    size_t count;
} rules;

/* Random merges over an alphabet, each of two tokens that exist by then. With many merges to a small
 * alphabet many tokens cannot be reached by merging, which is what must be told apart. */
static void make_rules(slm_random *random, int alphabet, rules *out)
{
    char tokens[MERGES + 26][LONGEST + 1];
    size_t count = 0;
    for (int i = 0; i < alphabet; i++)
        snprintf(tokens[count++], LONGEST + 1, "%c", 'a' + i);
    out->count = 0;
    while (out->count < MERGES) {
        const char *left = tokens[slm_random_below(random, count)];
        const char *right = tokens[slm_random_below(random, count)];
        char joined[2 * LONGEST + 1];
        bool fresh = true;
        snprintf(joined, sizeof(joined), "%s%s", left, right);
        for (size_t i = 0; i < count; i++)
            fresh = fresh && strcmp(tokens[i], joined) != 0;
        if (!fresh || strlen(joined) > LONGEST) continue;
        snprintf(out->texts[out->count], sizeof(out->texts[0]), "%s %s", left, right);
        out->list[out->count] = out->texts[out->count];
        out->count++;
        memcpy(tokens[count++], joined, strlen(joined) + 1);
    }
}

static bool is_pair(const char *merge, const char *left, const char *right)
{
    size_t len = strlen(left);
    return strncmp(merge, left, len) == 0 && merge[len] == ' ' &&
           strcmp(merge + len + 1, right) == 0;
}

/* The definition: of all neighbours with a merge, join the pair of the lowest rank, leftmost. */
static size_t merge_by_definition(const rules *merges, const char *piece, size_t len,
                                  slm_token *out)
{
    static char symbols[PIECE][LONGEST + 1];
    size_t n = len;
    for (size_t i = 0; i < len; i++) {
        snprintf(symbols[i], LONGEST + 1, "%c", piece[i]);
        out[i] = GGUF_TOKEN_BYTES + (unsigned char)piece[i];
    }
    for (;;) {
        size_t best = 0, best_rank = merges->count;
        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t rank = 0; rank < best_rank; rank++) {
                if (is_pair(merges->texts[rank], symbols[i], symbols[i + 1])) {
                    best = i;
                    best_rank = rank;
                }
            }
        }
        if (best_rank == merges->count) return n;
        size_t left = strlen(symbols[best]);
        memcpy(symbols[best] + left, symbols[best + 1], strlen(symbols[best + 1]) + 1);
        out[best] = (slm_token)(GGUF_TOKEN_MERGES + best_rank);
        n--;
        for (size_t i = best + 1; i < n; i++) {
            memcpy(symbols[i], symbols[i + 1], sizeof(symbols[i]));
            out[i] = out[i + 1];
        }
    }
}

static void check_piece(const slm_tokenizer *tokenizer, const rules *merges, const char *piece,
                        size_t len)
{
    slm_token expected[PIECE];
    slm_tokens merged = {0}, encoded = {0};
    text_work work;
    slm_error err;
    size_t count = merge_by_definition(merges, piece, len, expected);
    slm_text__work_begin(&work, tokenizer);
    assert_int_equal(slm_text__merge_piece(&work, piece, len, &merged, &err), SLM_OK);
    assert_int_equal(slm_text__encode_piece(&work, piece, len, &encoded, &err), SLM_OK);
    slm_text__work_free(&work);
    if (merged.len != count ||
        (count > 0 && memcmp(merged.ids, expected, count * sizeof(slm_token)) != 0))
        fail_msg("merging '%.*s' does not follow the definition", (int)len, piece);
    if (encoded.len != count ||
        (count > 0 && memcmp(encoded.ids, expected, count * sizeof(slm_token)) != 0))
        fail_msg("encoding '%.*s' does not follow the definition", (int)len, piece);
    slm_tokens_free(&merged);
    slm_tokens_free(&encoded);
}

static void test_definition(void **state)
{
    (void)state;
    slm_random random = slm_random_new(7, 0);
    static rules merges;
    for (int round = 0; round < 12; round++) {
        int alphabet = 1 + round % 4;
        if (alphabet == 1) alphabet = 2;
        make_rules(&random, alphabet, &merges);
        slm_tokenizer *tokenizer = byte_tokenizer("smollm", merges.list, merges.count);
        for (int trial = 0; trial < 60; trial++) {
            char piece[PIECE];
            size_t len = slm_random_below(&random, trial % 4 == 0 ? PIECE : 60);
            for (size_t i = 0; i < len; i++)
                piece[i] = (char)('a' + slm_random_below(&random, (uint64_t)alphabet));
            check_piece(tokenizer, &merges, piece, len);
        }
        /* Every token's own text, whether merging gives it or not. */
        for (size_t i = 0; i < merges.count; i++) {
            const char *text = tokenizer->entries[GGUF_TOKEN_MERGES + i].text;
            check_piece(tokenizer, &merges, text, strlen(text));
        }
        slm_tokenizer_free(tokenizer);
    }
}

/* "ab" + "c" exists, but "bc" is joined first: the token "abc" is in the vocabulary and yet the
 * piece "abc" is not it, except where the family says that a whole word is one token. */
static void test_whole_words(void **state)
{
    (void)state;
    static const char *const merges[] = {"b c", "a b", "ab c"};
    static const slm_token by_merges[] = {GGUF_TOKEN_BYTES + 'a', GGUF_TOKEN_MERGES};
    slm_tokens ids = {0};
    slm_tokenizer *tokenizer = byte_tokenizer("gpt-2", merges, 3);
    assert_int_equal(slm_tokenizer_encode(tokenizer, "abc", 3, false, &ids, NULL), SLM_OK);
    assert_int_equal(ids.len, 2);
    assert_memory_equal(ids.ids, by_merges, sizeof(by_merges));
    slm_tokenizer_free(tokenizer);

    ids.len = 0;
    tokenizer = byte_tokenizer("llama-bpe", merges, 3);
    assert_int_equal(slm_tokenizer_encode(tokenizer, "abc", 3, false, &ids, NULL), SLM_OK);
    assert_int_equal(ids.len, 1);
    assert_int_equal(ids.ids[0], GGUF_TOKEN_MERGES + 2);
    slm_tokenizer_free(tokenizer);
    slm_tokens_free(&ids);
}

/* Bytes without a token give nothing, and their neighbours merge as if side by side. */
static void test_missing_bytes(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "ab"}, *const merges[] = {"a b"};
    gguf_writer w = {0};
    slm_tokenizer *tokenizer;
    slm_error err = {0};
    slm_tokens ids = {0};
    gguf_add_string(&w, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(&w, "tokenizer.ggml.pre", "smollm");
    gguf_add_strings(&w, "tokenizer.ggml.tokens", tokens, 3);
    gguf_add_strings(&w, "tokenizer.ggml.merges", merges, 1);
    assert_int_equal(load_tokenizer(&w, &tokenizer, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_encode(tokenizer, "axb", 3, false, &ids, &err), SLM_OK);
    assert_int_equal(ids.len, 1);
    assert_int_equal(ids.ids[0], 2);

    ids.len = 0;
    char long_piece[200];
    memset(long_piece, 'x', sizeof(long_piece));
    long_piece[0] = 'a';
    long_piece[199] = 'b';
    assert_int_equal(slm_tokenizer_encode(tokenizer, long_piece, 200, false, &ids, &err), SLM_OK);
    assert_int_equal(ids.len, 1);
    assert_int_equal(ids.ids[0], 2);
    assert_int_equal(slm_tokenizer_encode(tokenizer, long_piece + 1, 190, false, &ids, &err),
                     SLM_OK);
    assert_int_equal(ids.len, 1);
    slm_tokens_free(&ids);
    slm_tokenizer_free(tokenizer);
    gguf_writer_free(&w);
}

/* A word of a megabyte: quadratic time would take minutes, recursion a stack. */
static void test_long_piece(void **state)
{
    (void)state;
    static const char *const merges[] = {"a a", "aa aa", "aaaa aaaa"};
    enum { LEN = 1 << 20 };
    char *text = malloc(LEN);
    slm_tokens ids = {0};
    slm_tokenizer *tokenizer = byte_tokenizer("smollm", merges, 3);
    memset(text, 'a', LEN);
    assert_int_equal(slm_tokenizer_encode(tokenizer, text, LEN - 1, false, &ids, NULL), SLM_OK);
    assert_int_equal(ids.len, LEN / 8 - 1 + 3); /* 7 letters are left: 4 + 2 + 1 */
    for (size_t i = 0; i < LEN / 8 - 1; i++)
        assert_int_equal(ids.ids[i], GGUF_TOKEN_MERGES + 2);
    assert_int_equal(ids.ids[ids.len - 1], GGUF_TOKEN_BYTES + 'a');
    slm_tokenizer_free(tokenizer);
    slm_tokens_free(&ids);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_whole_words),
        cmocka_unit_test(test_missing_bytes),
        cmocka_unit_test(test_long_piece),
    };
    return cmocka_run_group_tests_name("text/bpe", tests, NULL, NULL);
}
