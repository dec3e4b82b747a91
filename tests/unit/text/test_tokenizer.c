/* test_tokenizer.c: added and special tokens in text, bytes that are no UTF-8, decoding in streams,
 * and one tokenizer under several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "base/random.h"
#include "base/utf8.h"
#include "text_fixture.h"

static const char *const merges[] = {"h e",    "l l",        "he ll",
                                     "hell o", "\xc4\xa0 w", "\xc3\x83 \xc2\xa9"};
enum { MERGE_COUNT = sizeof(merges) / sizeof(merges[0]) };

static void expect_ids(const slm_tokenizer *tokenizer, const char *text, size_t len, bool special,
                       const slm_token *expected, size_t count)
{
    slm_tokens ids = {0};
    slm_error err = {0};
    slm_tokens_append(&ids, 77); /* ids are appended */
    if (slm_tokenizer_encode(tokenizer, text, len, special, &ids, &err) != SLM_OK)
        fail_msg("%s", err.message);
    bool same = ids.len == count + 1 && ids.ids[0] == 77;
    for (size_t i = 0; same && i < count; i++)
        same = ids.ids[i + 1] == expected[i];
    if (!same) {
        slm_buffer got = {0};
        for (size_t i = 0; i < ids.len; i++)
            slm_buffer_printf(&got, " %d", ids.ids[i]);
        fail_msg("'%.*s' gives%s", (int)len, text, slm_buffer_text(&got));
    }
    slm_tokens_free(&ids);
}
#define EXPECT(tokenizer, text, special, ...)                                                      \
    expect_ids(tokenizer, text, sizeof(text) - 1, special, (const slm_token[]){__VA_ARGS__},       \
               sizeof((const slm_token[]){__VA_ARGS__}) / sizeof(slm_token))
#define B(c) (GGUF_TOKEN_BYTES + (unsigned char)(c))
#define M(i) (GGUF_TOKEN_MERGES + (i))

static void test_encode(void **state)
{
    (void)state;
    slm_tokenizer *t = byte_tokenizer("smollm", merges, MERGE_COUNT);
    expect_ids(t, "", 0, false, NULL, 0);
    EXPECT(t, "hello", false, M(3));
    EXPECT(t, "hello world", false, M(3), M(4), B('o'), B('r'), B('l'), B('d'));
    EXPECT(t, "\xc3\xa9", false, M(5)); /* the two bytes of an e with acute */
    EXPECT(t, "a\0b", false, B('a'), B(0), B('b'));
    slm_tokenizer_free(t);
}

static void test_special(void **state)
{
    (void)state;
    slm_tokenizer *t = byte_tokenizer("smollm", merges, MERGE_COUNT);
    EXPECT(t, "<|im_end|>", true, GGUF_TOKEN_IM_END);
    EXPECT(t, "a<|im_start|><|im_end|>hello", true, B('a'), GGUF_TOKEN_IM_START, GGUF_TOKEN_IM_END,
           M(3));
    EXPECT(t, "<|im_end|>", false, B('<'), B('|'), B('i'), B('m'), B('_'), B('e'), B('n'), B('d'),
           B('|'), B('>'));
    EXPECT(t, "<<|im_en", true, B('<'), B('<'), B('|'), B('i'), B('m'), B('_'), B('e'), B('n'));
    slm_tokenizer_free(t);
}

/* User-defined tokens are found always, the longest of those that begin first. */
static void test_user_defined(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "<t", "<t>", "<t>b", "<c>", "\xc4\xa0", "<u>"};
    static const int32_t types[] = {1, 1, 4, 4, 4, 3, 1, 5};
    gguf_writer w = {0};
    slm_tokenizer *t;
    slm_error err = {0};
    gguf_add_string(&w, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(&w, "tokenizer.ggml.pre", "qwen2");
    gguf_add_strings(&w, "tokenizer.ggml.tokens", tokens, 8);
    gguf_add_i32s(&w, "tokenizer.ggml.token_type", types, 8);
    gguf_add_strings(&w, "tokenizer.ggml.merges", NULL, 0);
    assert_int_equal(load_tokenizer(&w, &t, &err), SLM_OK);
    EXPECT(t, "a<t>b<t>a<t", false, 0, 4, 3, 0, 2);
    EXPECT(t, "<t><c>a", true, 3, 5, 0);
    EXPECT(t, "<t><c>a", false, 3, 0); /* the vocabulary has no token for '<', 'c', '>' */
    EXPECT(t, "<u>a", true, 0);        /* an unused token is never written */
    EXPECT(t, "<t> a", false, 3, 6, 0);
    assert_false(slm_tokenizer_is_special(t, 3));
    assert_true(slm_tokenizer_is_special(t, 5));
    assert_int_equal(slm_tokenizer_find(t, "<t>b"), 4);
    slm_buffer text = {0};
    slm_tokenizer_decode(t, 4, false, &text);
    slm_tokenizer_decode(t, 5, false, &text);
    slm_tokenizer_decode(t, 7, true, &text);
    slm_tokenizer_decode(t, 6, false, &text);
    slm_tokenizer_decode(t, 5, true, &text);
    assert_string_equal(slm_buffer_text(&text), "<t>b <c>");
    slm_buffer_free(&text);
    slm_tokenizer_free(t);
    gguf_writer_free(&w);
}

/* qwen2 brings text to NFC: e + combining acute is the one character. */
static void test_nfc(void **state)
{
    (void)state;
    slm_tokenizer *t = byte_tokenizer("qwen2", merges, MERGE_COUNT);
    EXPECT(t, "e\xcc\x81", false, M(5));
    /* U+1AC0 came after Unicode 9: to the NFC of the vocabularies nothing is composed across it. */
    EXPECT(t, "e\xe1\xab\x80\xcc\x81", false, B('e'), B(0xe1), B(0xab), B(0x80), B(0xcc), B(0x81));
    slm_tokenizer_free(t);
    t = byte_tokenizer("smollm", merges, MERGE_COUNT);
    EXPECT(t, "e\xcc\x81", false, B('e'), B(0xcc), B(0x81));
    slm_tokenizer_free(t);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    slm_tokenizer *t = byte_tokenizer("smollm", merges, MERGE_COUNT);
    EXPECT(t, "hello\xff\xfehello", false, M(3), B(0xff), B(0xfe), M(3));
    EXPECT(t, "\xe2\x82", false, B(0xe2), B(0x82));
    EXPECT(t, "\xed\xa0\x80 w", false, B(0xed), B(0xa0), B(0x80), M(4)); /* a surrogate */
    EXPECT(t, "\xef\xbf\xbd\xff", false, B(0xef), B(0xbf), B(0xbd), B(0xff));
    slm_tokenizer_free(t);
}

/* Whatever bytes go in come out, with every family but the one that normalises. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm", "gpt-2", "llama-bpe"};
    slm_random random = slm_random_new(3, 0);
    slm_tokens ids = {0};
    slm_buffer back = {0};
    for (size_t n = 0; n < 3; n++) {
        slm_tokenizer *t = byte_tokenizer(names[n], merges, MERGE_COUNT);
        for (int i = 0; i < 400; i++) {
            char text[200];
            size_t len = slm_random_below(&random, sizeof(text));
            for (size_t c = 0; c < len; c++)
                text[c] =
                    (char)(i % 2
                               ? slm_random_below(&random, 256)
                               : (uint64_t) " hello\xc3\xa9 <|w>\n"[slm_random_below(&random, 14)]);
            ids.len = 0;
            slm_buffer_truncate(&back, 0);
            assert_int_equal(slm_tokenizer_encode(t, text, len, i % 3 == 0, &ids, NULL), SLM_OK);
            decode_all(t, &ids, &back);
            assert_int_equal(back.len, len);
            if (len > 0) assert_memory_equal(back.data, text, len);
        }
        slm_tokenizer_free(t);
    }
    slm_tokens_free(&ids);
    slm_buffer_free(&back);
}

static void test_decode(void **state)
{
    (void)state;
    slm_tokenizer *t = byte_tokenizer("smollm", merges, MERGE_COUNT);
    slm_buffer text = {0};
    slm_tokenizer_decode(t, M(4), false, &text);
    slm_tokenizer_decode(t, GGUF_TOKEN_IM_END, false, &text);
    slm_tokenizer_decode(t, -1, true, &text);
    slm_tokenizer_decode(t, (slm_token)slm_tokenizer_size(t), true, &text);
    slm_tokenizer_decode(t, GGUF_TOKEN_IM_END, true, &text);
    slm_tokenizer_decode(t, B(0xe2), true, &text);
    assert_string_equal(slm_buffer_text(&text), " w<|im_end|>\xe2");
    slm_buffer_free(&text);

    assert_int_equal(slm_tokenizer_size(t), GGUF_TOKEN_MERGES + MERGE_COUNT);
    assert_int_equal(slm_tokenizer_find(t, "<|im_start|>"), GGUF_TOKEN_IM_START);
    assert_int_equal(slm_tokenizer_find(t, "\xc4\xa0w"), M(4));
    assert_int_equal(slm_tokenizer_find(t, " w"), -1);
    assert_true(slm_tokenizer_is_special(t, GGUF_TOKEN_IM_END));
    assert_false(slm_tokenizer_is_special(t, B('a')));
    assert_false(slm_tokenizer_is_special(t, -1));
    assert_int_equal(slm_tokenizer_bos(t), GGUF_TOKEN_IM_START);
    assert_int_equal(slm_tokenizer_eos(t), GGUF_TOKEN_IM_END);
    assert_false(slm_tokenizer_adds_bos(t));
    assert_string_equal(slm_tokenizer_description(t), "BPE, pre-tokenizer smollm, 265 tokens");
    slm_tokenizer_free(t);
    slm_tokenizer_free(NULL);
}

static void stream(const slm_tokenizer *t, const char *bytes, size_t len, const char *each,
                   const char *end)
{
    slm_decoder decoder = {0};
    slm_buffer out = {0}, seen = {0};
    for (size_t i = 0; i < len; i++) {
        slm_buffer_truncate(&out, 0);
        slm_decoder_push(&decoder, t, B(bytes[i]), &out);
        slm_buffer_append(&seen, slm_buffer_text(&out), out.len);
        slm_buffer_append_char(&seen, '|');
    }
    assert_string_equal(slm_buffer_text(&seen), each);
    slm_buffer_truncate(&out, 0);
    slm_decoder_finish(&decoder, &out);
    assert_string_equal(slm_buffer_text(&out), end);
    slm_decoder_finish(&decoder, &out);
    assert_string_equal(slm_buffer_text(&out), end);
    slm_buffer_free(&out);
    slm_buffer_free(&seen);
}

static void test_stream(void **state)
{
    (void)state;
    slm_tokenizer *t = byte_tokenizer("smollm", merges, MERGE_COUNT);
    stream(t, "ab", 2, "a|b|", "");
    stream(t, "\xf0\x9f\xa4\x92!", 5, "|||\xf0\x9f\xa4\x92|!|", "");
    stream(t, "\xe2\x82", 2, "||", "\xef\xbf\xbd");
    stream(t, "\xe2\x82z", 3, "||\xef\xbf\xbd\xef\xbf\xbdz|", "");
    stream(t, "\xff\xc3\xa9", 3, "\xef\xbf\xbd||\xc3\xa9|", "");
    stream(t, "\xf0\x9f\xc3\xa9", 4, "||\xef\xbf\xbd\xef\xbf\xbd|\xc3\xa9|", "");

    slm_decoder decoder = {0};
    slm_buffer out = {0};
    slm_decoder_push(&decoder, t, B(0xe2), &out);
    slm_decoder_push(&decoder, t, GGUF_TOKEN_IM_END, &out); /* gives nothing, breaks nothing */
    slm_decoder_push(&decoder, t, B(0x82), &out);
    slm_decoder_push(&decoder, t, B(0xac), &out);
    slm_decoder_push(&decoder, t, M(3), &out);
    assert_string_equal(slm_buffer_text(&out), "\xe2\x82\xachello");
    slm_buffer_free(&out);
    slm_tokenizer_free(t);
}

/* Any bytes, in any cuts, become what cleaning them at once gives. */
static void test_stream_random(void **state)
{
    (void)state;
    slm_random random = slm_random_new(5, 0);
    slm_tokenizer *t = byte_tokenizer("smollm", merges, MERGE_COUNT);
    static const char *const parts[] = {"a",    "\xc3", "\xa9", "\xe2", "\x82",    "\xac",
                                        "\xf0", "\x9f", "\x92", "\xff", "\xc3\xa9"};
    for (int i = 0; i < 500; i++) {
        slm_decoder decoder = {0};
        slm_buffer streamed = {0}, bytes = {0};
        for (int n = 0; n < 20; n++) {
            const char *part = parts[slm_random_below(&random, 11)];
            slm_token id = part[1] ? M(5) : B(part[0]);
            slm_decoder_push(&decoder, t, id, &streamed);
            slm_buffer_append_text(&bytes, part);
        }
        slm_buffer_append_text(&bytes, "."); /* ends whatever was begun */
        slm_decoder_push(&decoder, t, B('.'), &streamed);
        assert_int_equal(decoder.held_len, 0);
        slm_buffer clean = {0};
        slm_utf8_append_valid(&clean, slm_buffer_text(&bytes), bytes.len);
        assert_string_equal(slm_buffer_text(&streamed), slm_buffer_text(&clean));
        slm_buffer_free(&clean);
        slm_buffer_free(&streamed);
        slm_buffer_free(&bytes);
    }
    slm_tokenizer_free(t);
}

static const char shared_text[] = "hello world, hello <|im_end|> h\xc3\xa9llo 12 \xff!";

static void *encode_many(void *tokenizer)
{
    slm_tokens first = {0}, ids = {0};
    for (int i = 0; i < 300; i++) {
        ids.len = 0;
        slm_tokenizer_encode(tokenizer, shared_text, sizeof(shared_text), true, &ids, NULL);
        if (i == 0)
            slm_tokenizer_encode(tokenizer, shared_text, sizeof(shared_text), true, &first, NULL);
        if (ids.len != first.len || memcmp(ids.ids, first.ids, ids.len * sizeof(*ids.ids)) != 0) {
            slm_tokens_free(&first);
            break;
        }
    }
    slm_tokens_free(&ids);
    void *result = first.ids;
    return result;
}

static void test_threads(void **state)
{
    (void)state;
    slm_tokenizer *t = byte_tokenizer("qwen2", merges, MERGE_COUNT);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_many, t), 0);
    for (int i = 0; i < 4; i++) {
        void *ids = NULL;
        assert_int_equal(pthread_join(threads[i], &ids), 0);
        assert_non_null(ids);
        free(ids);
    }
    slm_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),        cmocka_unit_test(test_special),
        cmocka_unit_test(test_user_defined),  cmocka_unit_test(test_nfc),
        cmocka_unit_test(test_invalid_utf8),  cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_decode),        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_random), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("text/tokenizer", tests, NULL, NULL);
}
