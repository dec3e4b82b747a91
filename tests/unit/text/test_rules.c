/* test_rules.c: where each family cuts, and what each kind of rule does. The expected pieces are what the Hugging Face
 * `tokenizers` library gives for the pre-tokenizer of that family's tokenizer.json; a piece's end is
 * written as '|' here, so no text holds one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/random.h"
#include "base/utf8.h"
#include "text_fixture.h"

static slm_status take_piece(text_work *work, const char *piece, size_t len, void *context,
                             slm_error *err)
{
    slm_buffer *out = context;
    (void)work;
    (void)err;
    if (out->len > 0) slm_buffer_append_char(out, '|');
    slm_buffer_append(out, piece, len);
    return SLM_OK;
}

static void cut(const slm_tokenizer *tokenizer, const char *text, size_t len, slm_buffer *out)
{
    text_work work;
    slm_error err = {0};
    slm_text__work_begin(&work, tokenizer);
    slm_buffer_truncate(out, 0);
    if (slm_text__cut(&work, text, len, true, take_piece, out, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_text__work_free(&work);
}

typedef struct expectation {
    const char *text, *smollm, *gpt2, *qwen2, *llama;
} expectation;

static const expectation expectations[] = {
    {"Hello world", "Hello| world", "Hello| world", "Hello| world", "Hello| world"},
    {"I'll don't we've", "I|'ll| don|'t| we|'ve", "I|'ll| don|'t| we|'ve", "I|'ll| don|'t| we|'ve",
     "I|'ll| don|'t| we|'ve"},
    {"I'LL CAN'T", "I|'|LL| CAN|'|T", "I|'|LL| CAN|'|T", "I|'LL| CAN|'T", "I|'LL| CAN|'T"},
    {"x'\xc5\xbf", "x|'|\xc5\xbf", "x|'|\xc5\xbf", "x|'\xc5\xbf", "x|'\xc5\xbf"}, /* long s */
    {"10 mg 12345", "1|0| mg| |1|2|3|4|5", "10| mg| 12345", "1|0| mg| |1|2|3|4|5",
     "10| mg| |123|45"},
    {"a  12", "a|  |1|2", "a| | 12", "a| | |1|2", "a| | |12"},
    {"a\n\n7", "a|\n\n|7", "a|\n|\n|7", "a|\n\n|7", "a|\n\n|7"},
    {"a   b", "a|  | b", "a|  | b", "a|  | b", "a|  | b"},
    {"a   ", "a|   ", "a|   ", "a|   ", "a|   "},
    {"(see below).\n\nNext", "(|see| below|).|\n|\n|Next", "(|see| below|).|\n|\n|Next",
     "(see| below|).\n\n|Next", "(see| below|).\n\n|Next"},
    {"a\tb\n c", "a|\t|b|\n| c", "a|\t|b|\n| c", "a|\tb|\n| c", "a|\tb|\n| c"},
    {" \n \n x", " \n \n| x", " \n \n| x", " \n \n| x", " \n \n| x"},
    {"x\xc2\xb2\xe2\x85\xa7", "x|\xc2\xb2|\xe2\x85\xa7", "x|\xc2\xb2\xe2\x85\xa7",
     "x|\xc2\xb2|\xe2\x85\xa7", "x|\xc2\xb2\xe2\x85\xa7"}, /* superscript 2, roman VIII */
    {"caf\xc3\xa9 \xe7\x99\xba\xe7\x86\xb1", "caf\xc3\xa9| \xe7\x99\xba\xe7\x86\xb1",
     "caf\xc3\xa9| \xe7\x99\xba\xe7\x86\xb1", "caf\xc3\xa9| \xe7\x99\xba\xe7\x86\xb1",
     "caf\xc3\xa9| \xe7\x99\xba\xe7\x86\xb1"},
    {"e\xcc\x81t", "e|\xcc\x81|t", "e|\xcc\x81|t", "e|\xcc\x81t", "e|\xcc\x81t"}, /* combining */
    {"a\xc2\xa0\xe3\x80\x80z", "a|\xc2\xa0|\xe3\x80\x80|z", "a|\xc2\xa0|\xe3\x80\x80|z",
     "a|\xc2\xa0|\xe3\x80\x80z", "a|\xc2\xa0|\xe3\x80\x80z"}, /* no-break, ideographic space */
    {"a\xc2\x85z", "a|\xc2\x85|z", "a|\xc2\x85|z", "a|\xc2\x85z", "a|\xc2\x85z"},
    /* U+180E is no white space, though PCRE2's \s has it: it binds to what is none of the classes. */
    {"\xe1\xa0\x8e.", "\xe1\xa0\x8e.", "\xe1\xa0\x8e.", "\xe1\xa0\x8e.", "\xe1\xa0\x8e."},
    {"\xf0\x9f\xa4\x92 ?!", "\xf0\x9f\xa4\x92| ?!", "\xf0\x9f\xa4\x92| ?!", "\xf0\x9f\xa4\x92| ?!",
     "\xf0\x9f\xa4\x92| ?!"},
};

static void test_pieces(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm", "gpt-2", "qwen2", "llama-bpe"};
    slm_buffer got = {0};
    for (size_t n = 0; n < 4; n++) {
        slm_tokenizer *tokenizer = byte_tokenizer(names[n], NULL, 0);
        for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
            const expectation *e = &expectations[i];
            const char *expected[] = {e->smollm, e->gpt2, e->qwen2, e->llama};
            cut(tokenizer, e->text, strlen(e->text), &got);
            if (strcmp(slm_buffer_text(&got), expected[n]) != 0)
                fail_msg("%s cuts '%s' into '%s', expected '%s'", names[n], e->text,
                         slm_buffer_text(&got), expected[n]);
        }
        slm_tokenizer_free(tokenizer);
    }
    slm_buffer_free(&got);
}

static void random_text(slm_random *random, slm_buffer *out)
{
    static const char *const parts[] = {" ",  "  ",   "\n",       "\r\n",         "'",       "s",
                                        "re", "1",    "23",       "\t",           ".",       "!?",
                                        "a",  "word", "\xc3\xa9", "\xe2\x80\x83", "\xc2\xbd"};
    slm_buffer_truncate(out, 0);
    for (uint64_t n = slm_random_below(random, 40); n > 0; n--) {
        char bytes[4];
        if (slm_random_below(random, 4) != 0) {
            slm_buffer_append_text(out, parts[slm_random_below(random, 17)]);
            continue;
        }
        uint32_t cp = (uint32_t)slm_random_below(random, 0x110000);
        slm_buffer_append(out, bytes, slm_utf8_encode(cp, bytes));
    }
}

static void use_jit(slm_tokenizer *tokenizer, bool jit)
{
    for (size_t i = 0; i < tokenizer->cut.count; i++)
        tokenizer->cut.items[i].regex.jit = jit;
}

/* With and without JIT the same pieces, and together they are the text. */
static void test_without_jit(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm", "gpt-2", "qwen2", "llama-bpe"};
    slm_random random = slm_random_new(11, 0);
    slm_buffer text = {0}, with = {0}, without = {0};
    for (size_t n = 0; n < 4; n++) {
        slm_tokenizer *tokenizer = byte_tokenizer(names[n], NULL, 0);
        for (int i = 0; i < 500; i++) {
            random_text(&random, &text);
            use_jit(tokenizer, true);
            cut(tokenizer, slm_buffer_text(&text), text.len, &with);
            use_jit(tokenizer, false);
            cut(tokenizer, slm_buffer_text(&text), text.len, &without);
            assert_string_equal(slm_buffer_text(&with), slm_buffer_text(&without));
        }
        slm_tokenizer_free(tokenizer);
    }
    slm_buffer_free(&text);
    slm_buffer_free(&with);
    slm_buffer_free(&without);
}

/* Runs of a megabyte of one kind, ended by another: no limit is met, with JIT or without. */
static void test_long_runs(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm", "gpt-2", "qwen2", "llama-bpe"};
    static const char kinds[] = "a .\n'";
    enum { LEN = 1 << 20 };
    char *text = malloc(LEN);
    slm_buffer pieces = {0};
    for (size_t n = 0; n < 8; n++) {
        slm_tokenizer *tokenizer = byte_tokenizer(names[n / 2], NULL, 0);
        if (n % 2) use_jit(tokenizer, false);
        for (const char *kind = kinds; *kind; kind++) {
            memset(text, *kind, LEN - 1);
            text[LEN - 1] = *kind == 'a' ? '.' : 'a';
            cut(tokenizer, text, LEN, &pieces);
            const char *end = memchr(slm_buffer_text(&pieces), '|', pieces.len);
            assert_non_null(end);
            /* A run of blanks leaves its last one for the word; so do GPT-2's newlines. */
            bool leaves = *kind == ' ' || (*kind == '\n' && n < 4);
            assert_int_equal(end - pieces.data, leaves ? LEN - 2 : LEN - 1);
        }
        slm_tokenizer_free(tokenizer);
    }
    slm_buffer_free(&pieces);
    free(text);
}

/* What the tokenizers library makes of each behaviour, straight and inverted. */
static void test_behaviours(void **state)
{
    (void)state;
    static const struct {
        text_behaviour behaviour;
        bool invert;
        const char *pattern, *text, *pieces;
    } rows[] = {
        {TEXT_ISOLATED, false, "-", "the-final--cut-", "the|-|final|-|-|cut|-"},
        {TEXT_REMOVED, false, "-", "the-final--cut-", "the|final|cut"},
        {TEXT_WITH_PREVIOUS, false, "-", "the-final--cut-", "the-|final-|-|cut-"},
        {TEXT_WITH_NEXT, false, "-", "the-final--cut-", "the|-final|-|-cut|-"},
        {TEXT_CONTIGUOUS, false, "-", "the-final--cut-", "the|-|final|--|cut|-"},
        {TEXT_ISOLATED, true, "-", "a-b", "a|-|b"},
        {TEXT_REMOVED, true, "\\w+", "the-final--cut", "the|final|cut"},
        {TEXT_REMOVED, true, "-", "the-final--cut-", "-|-|-|-"},
        {TEXT_WITH_PREVIOUS, true, "-", "a-b-c", "a|-b|-c"},
        {TEXT_CONTIGUOUS, false, "\\d", "12ab3", "12|ab|3"},
        {TEXT_ISOLATED, false, "x*", "axxb", "a|xx|b"}, /* empty matches cut too */
        {TEXT_WITH_NEXT, false, "-", "-", "-"},
        {TEXT_REMOVED, false, "-", "--", ""},
        {TEXT_WITH_PREVIOUS, false, "-", "-a", "-|a"},
        {TEXT_ISOLATED, false, "z", "no match", "no match"},
    };
    slm_buffer got = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        slm_tokenizer *t = slm_text__new();
        slm_error err = {0};
        if (slm_text__rule_add_split(&t->cut, rows[i].pattern, rows[i].behaviour, &err) != SLM_OK)
            fail_msg("%s", err.message);
        t->cut.items[0].invert = rows[i].invert;
        cut(t, rows[i].text, strlen(rows[i].text), &got);
        if (strcmp(slm_buffer_text(&got), rows[i].pieces) != 0)
            fail_msg("row %zu: '%s' became '%s', expected '%s'", i, rows[i].text,
                     slm_buffer_text(&got), rows[i].pieces);
        slm_tokenizer_free(t);
    }
    slm_buffer_free(&got);
}

static void test_normalise(void **state)
{
    (void)state;
    slm_tokenizer *t = slm_text__new();
    text_rule *rule = NULL;
    text_work work;
    const char *out;
    size_t len;
    assert_int_equal(slm_text__rule_add(&t->normalise, TEXT_RULE_NFC, &rule, NULL), SLM_OK);
    assert_int_equal(slm_text__rule_add(&t->normalise, TEXT_RULE_PREPEND, &rule, NULL), SLM_OK);
    rule->content = "_";
    rule->content_len = 1;
    assert_int_equal(slm_text__rule_add(&t->normalise, TEXT_RULE_REPLACE, &rule, NULL), SLM_OK);
    rule->content = "<>";
    rule->content_len = 2;
    assert_int_equal(slm_text__regex_compile(" +", 2, false, &rule->regex, NULL), SLM_OK);
    slm_text__work_begin(&work, t);
    slm_text__normalise(&work, "e\xcc\x81  b ", 7, true, &out, &len, NULL);
    assert_int_equal(len, 8);
    assert_memory_equal(out, "_\xc3\xa9<>b<>", 8);
    slm_text__normalise(&work, "a", 1, false, &out, &len, NULL);
    assert_memory_equal(out, "a", 2);
    slm_text__normalise(&work, "", 0, true, &out, &len, NULL); /* nothing gets nothing in front */
    assert_int_equal(len, 0);
    slm_text__work_free(&work);
    slm_tokenizer_free(t);
}

static void test_too_many(void **state)
{
    (void)state;
    text_rules rules = {0};
    text_rule *rule = NULL;
    slm_error err = {0};
    for (int i = 0; i < TEXT_MAX_RULES; i++)
        assert_int_equal(slm_text__rule_add(&rules, TEXT_RULE_NFC, &rule, &err), SLM_OK);
    assert_int_equal(slm_text__rule_add(&rules, TEXT_RULE_NFC, &rule, &err), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "more than 16 steps"));
    slm_text__rules_free(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),    cmocka_unit_test(test_without_jit),
        cmocka_unit_test(test_long_runs), cmocka_unit_test(test_behaviours),
        cmocka_unit_test(test_normalise), cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests_name("text/rules", tests, NULL, NULL);
}
