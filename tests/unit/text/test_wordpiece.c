/* test_wordpiece.c: WordPiece on a small vocabulary made by hand: the longest token first, words that
 * cannot be written, what is cleaned, lowered, stripped and cut, from tokenizer.json and vocab.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/file.h"
#include "text_fixture.h"

static const char *const words[] = {
    "[PAD]",    "[UNK]", "[CLS]",       "[SEP]", "un",  "##aff",       "##able", "##a",
    "aff",      ",",     ".",           "fever", "##s", "cafe",        "i",      "\xe7\x97\x85",
    "\xc3\x9f", "Cafe",  "caf\xc3\xa9", "x",     "##x", "\xe2\x80\x94"};
enum { WORDS = sizeof words / sizeof words[0] };

static void append_vocab(slm_buffer *out)
{
    for (size_t i = 0; i < WORDS; i++)
        slm_buffer_printf(out, "%s\"%s\":%zu", i > 0 ? "," : "", words[i], i);
}

static slm_tokenizer *make(const char *normalizer, const char *more)
{
    slm_buffer json = {0};
    slm_tokenizer *t = NULL;
    slm_error err = {0};
    slm_buffer_printf(&json,
                      "{\"added_tokens\":[{\"id\":2,\"content\":\"[CLS]\",\"special\":true},"
                      "{\"id\":3,\"content\":\"[SEP]\",\"special\":true}],"
                      "\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
                      "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
                      "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":"
                      "\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}]},"
                      "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
                      "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\"%s,\"vocab\":{",
                      normalizer, more);
    append_vocab(&json);
    slm_buffer_append_text(&json, "}}}");
    if (load_json(slm_buffer_text(&json), NULL, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_buffer_free(&json);
    return t;
}

#define UNCASED                                                                                    \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"              \
    "\"strip_accents\":null,\"lowercase\":true}"
#define CASED "{\"type\":\"BertNormalizer\",\"lowercase\":false}"

static void expect_n(const slm_tokenizer *t, const char *text, size_t len, bool special,
                     const char *expected)
{
    slm_tokens ids = {0};
    slm_buffer got = {0};
    assert_int_equal(slm_tokenizer_encode(t, text, len, special, &ids, NULL), SLM_OK);
    for (size_t i = 0; i < ids.len; i++)
        slm_buffer_printf(&got, "%s%s", i ? "|" : "", t->entries[ids.ids[i]].text);
    if (strcmp(slm_buffer_text(&got), expected) != 0)
        fail_msg("'%s' became '%s', expected '%s'", text, slm_buffer_text(&got), expected);
    slm_tokens_free(&ids);
    slm_buffer_free(&got);
}

static void expect(const slm_tokenizer *t, const char *text, const char *expected)
{
    expect_n(t, text, strlen(text), false, expected);
}

static void test_longest_first(void **state)
{
    (void)state;
    slm_tokenizer *t = make(UNCASED, "");
    expect(t, "unaffable", "un|##aff|##able");
    expect(t, "una aff", "un|##a|aff");
    expect(t, "able", "[UNK]");                 /* only inside a word */
    expect(t, "unz fevers", "[UNK]|fever|##s"); /* a rest that is no token: the whole word */
    expect(t, "", "");
    expect(t, "  \t\n ", "");
    expect(t, "fever,fever.", "fever|,|fever|.");
    expect(t,
           "fever\xe2\x80\x94"
           "fever",
           "fever|\xe2\x80\x94|fever");
    assert_int_equal(slm_tokenizer_bos(t), 2);
    assert_int_equal(slm_tokenizer_eos(t), 3);
    assert_string_equal(slm_tokenizer_description(t), "WordPiece, tokenizer.json, 22 tokens");
    slm_tokenizer_free(t);
}

static void test_plain_text(void **state)
{
    (void)state;
    slm_tokenizer *t = make(UNCASED, "");
    expect(t, "CAF\xc3\x89 cafe\xcc\x81", "cafe|cafe");          /* composed and not */
    expect(t, "\xc4\xb0", "i");                                  /* dotted I, its dot stripped */
    expect(t, "\xe1\xba\x9e", "\xc3\x9f");                       /* capital sharp s */
    expect(t, "fe\xc2\xadver fe\xe2\x80\x8bver", "fever|fever"); /* soft hyphen, zero width */
    expect_n(t, "fe\0ver\x7f", 7, false, "fever");
    expect(t,
           "fever\xc2\xa0\xe3\x80\x80"
           "fever",
           "fever|fever");
    expect(t, "\xe7\x97\x85\xe7\x97\x85x", "\xe7\x97\x85|\xe7\x97\x85|x"); /* ideographs */
    expect(t,
           "\xff"
           "fever\xff",
           "fever"); /* no UTF-8: nothing */
    expect(t,
           "\xef\xbf\xbd"
           "fever",
           "fever");
    slm_tokenizer_free(t);
    t = make(CASED, "");
    expect(t, "Cafe caf\xc3\xa9 cafe Fever", "Cafe|caf\xc3\xa9|cafe|[UNK]");
    slm_tokenizer_free(t);
    t = make("{\"type\":\"BertNormalizer\",\"strip_accents\":false,\"handle_chinese_chars\":false}",
             "");
    expect(t, "CAF\xc3\x89 \xe7\x97\x85\xe7\x97\x85", "caf\xc3\xa9|[UNK]");
    slm_tokenizer_free(t);
}

static void test_long_words(void **state)
{
    (void)state;
    char text[102];
    memset(text, 'x', 101);
    slm_tokenizer *t = make(UNCASED, "");
    slm_tokens ids = {0};
    assert_int_equal(slm_tokenizer_encode(t, text, 100, false, &ids, NULL), SLM_OK);
    assert_int_equal(ids.len, 100);
    ids.len = 0;
    assert_int_equal(slm_tokenizer_encode(t, text, 101, false, &ids, NULL), SLM_OK);
    assert_int_equal(ids.len, 1);
    assert_int_equal(ids.ids[0], 1);
    slm_tokens_free(&ids);
    slm_tokenizer_free(t);
    t = make(UNCASED, ",\"max_input_chars_per_word\":3");
    expect(t, "xxx xxxx", "x|##x|##x|[UNK]");
    slm_tokenizer_free(t);
}

static void test_special_and_back(void **state)
{
    (void)state;
    slm_tokenizer *t = make(UNCASED, "");
    expect_n(t, "[CLS] fever", 11, true, "[CLS]|fever");
    expect(t, "[CLS] fever", "[UNK]|[UNK]|[UNK]|fever"); /* '[', "cls", ']' */
    slm_tokens ids = {0};
    slm_buffer text = {0};
    assert_int_equal(slm_tokenizer_encode(t, "Unaffable fevers.", 17, false, &ids, NULL), SLM_OK);
    slm_tokenizer_decode_all(t, ids.ids, ids.len, false, &text);
    assert_string_equal(slm_buffer_text(&text), "unaffable fevers .");
    slm_buffer_free(&text);
    slm_tokens_free(&ids);
    slm_tokenizer_free(t);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *part;
    } cases[] = {
        {"{\"model\":{\"type\":\"WordPiece\"}}", "model.vocab is missing: this is no WordPiece"},
        {"{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":{\"a\":0}}}",
         "model.unk_token: the vocabulary lacks it"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"WordPiece\",\"vocab\":{"
         "\"a\":0}}}",
         "WordPiece over bytes is not supported"},
        {"{\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",0],\"sep\":[\"a\",0]}"
         ","
         "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}",
         "post_processor: the vocabulary lacks '[CLS]'"},
        {"{\"post_processor\":{\"type\":\"BertProcessing\"},\"model\":{\"type\":\"WordPiece\","
         "\"vocab\":{\"a\":0}}}",
         "post_processor: cls and sep must be [text, id]"},
        {"{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":1},\"model\":{\"type\":"
         "\"WordPiece\",\"vocab\":{\"a\":0}}}",
         "normalizer.lowercase"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        slm_tokenizer *t;
        slm_error err = {0};
        assert_int_not_equal(load_json(cases[i].json, NULL, &t, &err), SLM_OK);
        if (strstr(err.message, cases[i].part) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", err.message, cases[i].part);
    }
}

static void write_text(const char *path, const char *text)
{
    slm_error err;
    if (slm_file_write(path, text, strlen(text), &err) != SLM_OK) fail_msg("%s", err.message);
}

static void test_vocab_txt(void **state)
{
    (void)state;
    char folder[] = "/tmp/slm-vocab-XXXXXX", vocab[64], config[64];
    slm_tokenizer *t = NULL;
    slm_error err = {0};
    slm_buffer lines = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(vocab, sizeof vocab, "%s/vocab.txt", folder);
    snprintf(config, sizeof config, "%s/tokenizer_config.json", folder);
    assert_int_equal(slm_tokenizer_from_vocab(vocab, &t, &err), SLM_ERR_NOT_FOUND);
    for (size_t i = 0; i < WORDS; i++)
        slm_buffer_printf(&lines, "%s\r\n", words[i]);
    write_text(vocab, slm_buffer_text(&lines));
    if (slm_tokenizer_from_vocab(vocab, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    expect(t, "CAF\xc3\x89, unaffable", "cafe|,|un|##aff|##able");
    expect_n(t, "[CLS]fever", 10, true, "[CLS]|fever");
    assert_int_equal(slm_tokenizer_size(t), WORDS);
    assert_int_equal(slm_tokenizer_bos(t), 2);
    assert_int_equal(slm_tokenizer_eos(t), 3);
    slm_tokenizer_free(t);
    write_text(config, "{\"do_lower_case\":false,\"strip_accents\":null}");
    if (slm_tokenizer_from_vocab(vocab, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    expect(t, "Cafe caf\xc3\xa9 FEVER", "Cafe|caf\xc3\xa9|[UNK]");
    slm_tokenizer_free(t);
    write_text(config, "{\"do_lower_case\":\"yes\"}");
    assert_int_equal(slm_tokenizer_from_vocab(vocab, &t, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "do_lower_case"));
    unlink(config);
    slm_buffer_append_text(&lines, "fever\n");
    write_text(vocab, slm_buffer_text(&lines));
    assert_int_equal(slm_tokenizer_from_vocab(vocab, &t, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "token 22 is the same text as token 11"));
    unlink(vocab);
    rmdir(folder);
    slm_buffer_free(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_first), cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_long_words),    cmocka_unit_test(test_special_and_back),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_vocab_txt),
    };
    return cmocka_run_group_tests_name("text/wordpiece", tests, NULL, NULL);
}
