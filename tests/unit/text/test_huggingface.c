/* test_huggingface.c: tokenizer.json in memory: what its parts do, and files that must be refused,
 * each with the place in the file. Expected ids are what the tokenizers library gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/file.h"
#include "text_fixture.h"

#define MODEL(members) "\"model\":{\"type\":\"BPE\"," members "}"
#define SMALL                                                                                      \
    MODEL("\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\xc4\xa0\":3,\"\xc4\xa0"                          \
          "a\":4},\"merges\":[\"a b\",[\"\xc4\xa0\",\"a\"]]")
#define BYTES "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"

static slm_tokenizer *must_load(const char *json, const char *config)
{
    slm_tokenizer *t;
    slm_error err = {0};
    if (load_json(json, config, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    return t;
}

/* The ids' texts in the vocabulary, apart by '|'. */
static void expect(const slm_tokenizer *t, const char *text, bool special, const char *expected)
{
    slm_tokens ids = {0};
    slm_buffer got = {0};
    assert_int_equal(slm_tokenizer_encode(t, text, strlen(text), special, &ids, NULL), SLM_OK);
    for (size_t i = 0; i < ids.len; i++)
        slm_buffer_printf(&got, "%s%s", i ? "|" : "", t->entries[ids.ids[i]].text);
    if (strcmp(slm_buffer_text(&got), expected) != 0)
        fail_msg("'%s' became '%s', expected '%s'", text, slm_buffer_text(&got), expected);
    slm_tokens_free(&ids);
    slm_buffer_free(&got);
}

static void test_bytes(void **state)
{
    (void)state;
    slm_tokenizer *t = must_load("{" BYTES "," SMALL "}", NULL);
    expect(t, "ab abab a", false,
           "ab|\xc4\xa0|ab|ab|\xc4\xa0"
           "a");                   /* merges as text and as pair, in their order */
    expect(t, "axb", false, "ab"); /* no token, no unknown token: nothing */
    assert_int_equal(slm_tokenizer_size(t), 5);
    assert_int_equal(slm_tokenizer_bos(t), -1);
    assert_null(slm_tokenizer_chat_template(t));
    assert_string_equal(slm_tokenizer_description(t), "BPE over bytes, tokenizer.json, 5 tokens");
    slm_tokenizer_free(t);

    t = must_load("{\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," SMALL "}", NULL);
    expect(t, "a", false,
           "\xc4\xa0"
           "a"); /* a space in front unless told otherwise */
    slm_tokenizer_free(t);

    t = must_load("{" BYTES "," MODEL("\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,"
                                      "\"ab\":3,\"abc\":4},\"merges\":[\"a b\"]") "}",
                  NULL);
    expect(t, "abc", false, "abc");
    expect(t, "abcc", false, "ab|c|c");
    slm_tokenizer_free(t);
}

/* Members in any order, spaces anywhere, parts that nothing needs, ids with holes. */
static void test_spelling(void **state)
{
    (void)state;
    slm_tokenizer *t = must_load(
        "\n{ \"model\" : { \"merges\" : [ [ \"a\" , \"b\" ] ] , \"vocab\" : { \"ab\" : 9 , \"a\" : "
        "3 , \"b\" : 1 } , \"dropout\" : null , \"unk_token\" : null, \"future\": [{}] } , "
        "\"truncation\" : { \"x\" : [ 1 ] } , \"padding\":null,\"normalizer\" : null, "
        "\"decoder\" : { \"type\" : \"ByteLevel\" } ,\"version\":\"1.0\"," BYTES " }\n",
        NULL);
    expect(t, "aab", false, "a|ab");
    assert_int_equal(slm_tokenizer_size(t), 10);
    slm_buffer out = {0};
    slm_tokenizer_decode(t, 5, true, &out); /* a hole */
    assert_int_equal(out.len, 0);
    slm_buffer_free(&out);
    slm_tokenizer_free(t);
}

static void test_added(void **state)
{
    (void)state;
    slm_tokenizer *t =
        must_load("{\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"special\":true},"
                  "{\"id\":6,\"content\":\"<x>\",\"normalized\":false},"
                  "{\"id\":7,\"content\":\"<l>\",\"lstrip\":true,\"normalized\":false},"
                  "{\"id\":8,\"content\":\"<r>\",\"rstrip\":true,\"normalized\":false},"
                  "{\"id\":9,\"content\":\"w\",\"single_word\":true,\"normalized\":false},"
                  "{\"id\":10,\"content\":\"e\xcc\x81\"}," /* looked for in NFC */
                  "{\"id\":11,\"content\":\"<x><x>\",\"normalized\":false}],"
                  "\"normalizer\":{\"type\":\"NFC\"}," BYTES "," SMALL "}",
                  NULL);
    expect(t, "a<s>b", false, "a|b"); /* '<', 's' and '>' have no tokens here */
    expect(t, "a<s>b", true, "a|<s>|b");
    expect(t, "a<x>b", false, "a|<x>|b");
    expect(t, "<x><x><x>", false, "<x><x>|<x>"); /* the longest */
    expect(t, "a  <l> b", false, "a|<l>|\xc4\xa0|b");
    expect(t, "a <r>\xe2\x80\x83 \nb", false, "a|\xc4\xa0|<r>|b");
    expect(t, " <l><l>", false, "<l>|<l>");
    expect(t, "w aw wa w-w _w", false,
           "w|\xc4\xa0"
           "a|\xc4\xa0"
           "a|\xc4\xa0|w|w|\xc4\xa0");
    expect(t,
           "a\xc3\xa9"
           "b",
           false, "a|e\xcc\x81|b");
    expect(t, "ae\xcc\x81", false, "a|e\xcc\x81");
    assert_true(slm_tokenizer_is_special(t, 5));
    assert_false(slm_tokenizer_is_special(t, 6));
    slm_tokenizer_free(t);
}

/* As Llama 2 has it: characters, blocks for spaces, byte tokens. */
#define LLAMA_VOCAB                                                                                \
    "\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"<0xC3>\":3,\"<0xA9>\":4,\"<0x0A>\":5,"          \
    "\"\xe2\x96\x81\":6,\"a\":7,\"b\":8,\"\xe2\x96\x81"                                            \
    "a\":9,\"<\":10,\"s>\":11,\"s\":12,\">\":13}"
#define LLAMA_MODEL                                                                                \
    MODEL("\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true," LLAMA_VOCAB          \
          ",\"merges\":[\"\xe2\x96\x81 a\",\"s >\",\"< s>\"]")
#define LLAMA_ADDED                                                                                \
    "\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},"    \
    "{\"id\":1,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"                        \
    "{\"id\":2,\"content\":\"</s>\",\"special\":true,\"normalized\":false}]"
#define LLAMA_NORMAL                                                                               \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"    \
    "\"\xe2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"          \
    "\"\xe2\x96\x81\"}]}"
#define LLAMA_DECODER                                                                              \
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"         \
    "\"String\":\"\xe2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"       \
    "\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"
#define LLAMA_POST                                                                                 \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"   \
    "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]}"

static void test_characters(void **state)
{
    (void)state;
    slm_tokenizer *t = must_load("{" LLAMA_ADDED "," LLAMA_NORMAL "," LLAMA_DECODER "," LLAMA_POST
                                 "," LLAMA_MODEL "}",
                                 "{\"eos_token\":{\"content\":\"</s>\"}}");
    slm_tokens ids = {0};
    slm_buffer text = {0};
    expect(t, "a\xc3\xa9 b\n", false,
           "\xe2\x96\x81"
           "a|<0xC3>|<0xA9>|\xe2\x96\x81|b|<0x0A>");
    expect(t, "xy a", false,
           "\xe2\x96\x81|<unk>|\xe2\x96\x81"
           "a"); /* no byte tokens for x and y: one unknown */
    /* What a user writes is text, though merges would make it the token. */
    expect(t, "<s>", false, "\xe2\x96\x81|<|s>");
    expect(t, "a<s>a", true,
           "\xe2\x96\x81"
           "a|<s>|\xe2\x96\x81"
           "a");
    assert_int_equal(slm_tokenizer_bos(t), 1);
    assert_int_equal(slm_tokenizer_eos(t), 2);
    assert_true(slm_tokenizer_adds_bos(t));
    slm_tokenizer_encode(t, "a a\xc3\xa9", 5, false, &ids, NULL);
    slm_tokenizer_decode_all(t, ids.ids, ids.len, false, &text);
    assert_string_equal(slm_buffer_text(&text), "a a\xc3\xa9");
    slm_tokens_free(&ids);
    slm_buffer_free(&text);
    slm_tokenizer_free(t);
}

static void test_metaspace(void **state)
{
    (void)state;
    static const char *const schemes[] = {"always", "first", "never"};
    static const char *const inside[] = {"\xe2\x96\x81|b|<s>|\xe2\x96\x81"
                                         "a",
                                         "\xe2\x96\x81|b|<s>|a", "b|<s>|a"};
    for (int i = 0; i < 3; i++) {
        slm_buffer json = {0};
        slm_buffer_printf(
            &json,
            "{" LLAMA_ADDED ",\"pre_tokenizer\":{\"type\":\"Metaspace\","
            "\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"%s\",\"split\":%s}"
            ",\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\"},"
            "\"post_processor\":null," MODEL(LLAMA_VOCAB ",\"merges\":[\"\xe2\x96\x81 a\"]") "}",
            schemes[i], i ? "true" : "false");
        slm_tokenizer *t = must_load(slm_buffer_text(&json), NULL);
        expect(t, "b<s>a", true, inside[i]);
        expect(t, " a", false,
               "\xe2\x96\x81"
               "a"); /* one stands there already */
        slm_tokenizer_free(t);
        slm_buffer_free(&json);
    }
}

static void test_sequence(void **state)
{
    (void)state;
    slm_tokenizer *t = must_load(
        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
        "\"individual_digits\":true},{\"type\":\"Split\",\"pattern\":{\"Regex\":\"b+\"},"
        "\"behavior\":\"Removed\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":"
        "false,\"use_regex\":false}]},\"post_processor\":{\"type\":\"ByteLevel\"}," MODEL(
            "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"1\":3,\"11\":4,\"aa\":5},"
            "\"merges\":[\"a b\",\"1 1\",\"a a\"]") "}",
        NULL);
    expect(t, "11aab", false, "1|1|aa");
    expect(t, "abba", false, "a|a");
    slm_tokenizer_free(t);
}

static void test_config(void **state)
{
    (void)state;
    slm_tokenizer *t =
        must_load("{" BYTES "," SMALL "}", "{\"bos_token\":\"a\",\"eos_token\":{\"content\":\"b\"},"
                                           "\"add_bos_token\":true,\"chat_template\":\"{{ x }}\"}");
    assert_int_equal(slm_tokenizer_bos(t), 0);
    assert_int_equal(slm_tokenizer_eos(t), 1);
    assert_true(slm_tokenizer_adds_bos(t));
    assert_string_equal(slm_tokenizer_chat_template(t), "{{ x }}");
    slm_tokenizer_free(t);
    t = must_load(
        "{" BYTES "," SMALL "}",
        "{\"bos_token\":null,\"add_bos_token\":true,\"chat_template\":[{\"name\":\"tool\","
        "\"template\":\"1\"},{\"name\":\"default\",\"template\":\"2\"}]}");
    assert_false(slm_tokenizer_adds_bos(t)); /* there is none */
    assert_string_equal(slm_tokenizer_chat_template(t), "2");
    slm_tokenizer_free(t);
}

static void refuse(const char *json, const char *config, slm_status status, const char *part)
{
    slm_tokenizer *t;
    slm_error err = {0};
    slm_status got = load_json(json, config, &t, &err);
    if (got != status || strstr(err.message, part) == NULL)
        fail_msg("%.300s\n%s: \"%s\", expected %s with \"%s\"", json, slm_status_name(got),
                 err.message, slm_status_name(status), part);
    assert_null(t);
    assert_int_equal(load_json(json, config, &t, NULL), status); /* without an error to fill */
}

static void test_refused_parts(void **state)
{
    (void)state;
    static const struct {
        const char *member, *part;
    } rows[] = {
        {"\"normalizer\":{\"type\":\"NFKC\"}", "tokenizer.json: normalizer.type: 'NFKC' is not"},
        {"\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":"
         "\"Lowercase\"}]}",
         "normalizer.normalizers[1].type: 'Lowercase' is not supported; NFC, Prepend"},
        {"\"normalizer\":[]", "normalizer: expected an object"},
        {"\"normalizer\":{}", "normalizer.type: "},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}",
         "normalizer.pattern: the expression '(' cannot be used"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{},\"content\":\"\"}",
         "normalizer.pattern: expected either String or Regex"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}",
         "not empty"},
        {"\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"},{"
         "\"type\":\"UnicodeScripts\"}]}",
         "tokenizer.json: pre_tokenizer.pretokenizers[1].type: 'UnicodeScripts' is not"},
        {"\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{"
         "\"type\":\"Digits\"}]}",
         "pre_tokenizer.pretokenizers[1].type: 'Digits' is not supported; behind a ByteLevel"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"x\"}",
         "pre_tokenizer.behavior: 'x' is not supported; Isolated"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\\\\K\"},\"behavior\":"
         "\"Isolated\"}",
         "pre_tokenizer.pattern: the expression 'a\\K' cannot be used: the escape"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\"}",
         "pre_tokenizer.replacement: '_' is not supported; U+2581 is"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\","
         "\"prepend_scheme\":\"x\"}",
         "pre_tokenizer.prepend_scheme: 'x'"},
        {"\"decoder\":{\"type\":\"CTC\"}", "decoder.type: 'CTC' is not"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":0,\"stop\":1}",
         "decoder.type: 'Strip' is not supported; only one of no space or one space"},
        {"\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"b\"}",
         "decoder.type: 'Replace' is not supported; only U+2581"},
        {"\"decoder\":{\"type\":\"ByteLevel\"}", "decoder: it does not undo"},
        {"\"post_processor\":{\"type\":\"RobertaProcessing\"}",
         "post_processor.type: 'RobertaProcessing'"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        slm_buffer json = {0};
        slm_buffer_printf(&json, "{%s," SMALL "}", rows[i].member);
        bool format = strstr(rows[i].part, "expected") || strstr(rows[i].part, "not empty") ||
                      strcmp(rows[i].part, "normalizer.type: ") == 0;
        refuse(slm_buffer_text(&json), NULL, format ? SLM_ERR_FORMAT : SLM_ERR_UNSUPPORTED,
               rows[i].part);
        slm_buffer_free(&json);
    }
}

static void test_refused_models(void **state)
{
    (void)state;
    static const struct {
        const char *json, *part;
        slm_status status;
    } rows[] = {
        {"", "tokenizer.json:1: the file ends where '{' is expected", SLM_ERR_FORMAT},
        {"[]", "tokenizer.json:1: '{' is expected", SLM_ERR_FORMAT},
        {"{}", "'model' is missing", SLM_ERR_FORMAT},
        {"{\"model\":{}}x", "something stands behind the end", SLM_ERR_FORMAT},
        {"{\"model\":1,\"model\":2}", "'model' stands twice", SLM_ERR_FORMAT},
        {"{\"model\":7}", "'{' is expected", SLM_ERR_FORMAT},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{}}}", "model.type: 'Unigram' is not",
         SLM_ERR_UNSUPPORTED},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "model.type: 'Unigram'",
         SLM_ERR_UNSUPPORTED},
        {"{\"model\":{\"vocab\":{\"a\":0}}}", "model.merges is missing", SLM_ERR_FORMAT},
        {"{\"model\":{\"merges\":[]}}", "model.vocab is missing", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{},\"merges\":[]") "}", "0 tokens", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"continuing_subword_prefix\":\"##\"") "}",
         "model.continuing_subword_prefix: only none", SLM_ERR_UNSUPPORTED},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"") "}",
         "model.end_of_word_suffix", SLM_ERR_UNSUPPORTED},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1") "}", "model.dropout",
         SLM_ERR_UNSUPPORTED},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\"") "}",
         "model.unk_token: the vocabulary lacks it", SLM_ERR_UNSUPPORTED},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"fuse_unk\":1") "}",
         "model.fuse_unk: expected a boolean", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":1") "}",
         "model.unk_token: ", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]") "}",
         "model.vocab: token 1 is the same text as token 0", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]") "}",
         "model.vocab: two tokens have the id 0", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":-1},\"merges\":[]") "}", "an id from 0", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":16777216},\"merges\":[]") "}", "id 16777216 is too high",
         SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":16777215},\"merges\":[]") "}",
         "1 tokens with ids up to 16777216; that many", SLM_ERR_FORMAT},
        {"{\n\n" MODEL("\"vocab\":{\"a\":0},\n\"merges\":[\"a\"]") "}",
         "tokenizer.json:4: model.merges: 'a' is not two", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]") "}", "not two texts",
         SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]") "}", "a pair must be two texts",
         SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\",\"a\"]]") "}", "a pair must be",
         SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[[\"a\",1]]") "}", "'\"' is expected",
         SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a b\"]") "}",
         "merge 0 ('a' 'b') names a token that the vocabulary lacks", SLM_ERR_FORMAT},
        {"{" MODEL("\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\",\"a a\"]") "}",
         "merge 1 ('a' 'a') stands twice", SLM_ERR_FORMAT},
        {"{\"added_tokens\":{}," SMALL "}", "'[' is expected", SLM_ERR_FORMAT},
        {"{\"added_tokens\":[1]," SMALL "}", "added_tokens[0]: expected an object", SLM_ERR_FORMAT},
        {"{\"added_tokens\":[{\"id\":0}]," SMALL "}", "added_tokens[0].content", SLM_ERR_FORMAT},
        {"{\"added_tokens\":[{\"id\":-1,\"content\":\"x\"}]," SMALL "}", "added_tokens[0]: id -1",
         SLM_ERR_FORMAT},
        {"{\"added_tokens\":[{\"id\":1,\"content\":\"\"}]," SMALL "}", "content must have 1 to",
         SLM_ERR_FORMAT},
        {"{\"added_tokens\":[{\"id\":1,\"content\":\"x\"}]," SMALL "}",
         "added_tokens[0] ('x') has an id that another token has too", SLM_ERR_FORMAT},
        {"{\"added_tokens\":[{\"id\":9,\"content\":\"a\"}]," SMALL "}",
         "added_tokens[0] ('a') is the same text as token 0", SLM_ERR_FORMAT},
        {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
         "\"id\":\"<s>\"}}]}," SMALL "}",
         "post_processor: the vocabulary lacks '<s>'", SLM_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refuse(rows[i].json, NULL, rows[i].status, rows[i].part);
    refuse("{" SMALL "}", "x", SLM_ERR_FORMAT, "tokenizer_config.json:1:");
    refuse("{" SMALL "}", "[]", SLM_ERR_FORMAT, "tokenizer_config.json: expected an object");
    refuse("{" SMALL "}", "{\"bos_token\":\"q\"}", SLM_ERR_FORMAT,
           "tokenizer_config.json: bos_token: the vocabulary lacks 'q'");
    refuse("{" SMALL "}", "{\"eos_token\":1}", SLM_ERR_FORMAT, "eos_token: expected a text");
    refuse("{" SMALL "}", "{\"add_bos_token\":1}", SLM_ERR_FORMAT, "add_bos_token");
}

static void test_sizes(void **state)
{
    (void)state;
    slm_buffer json = {0};
    slm_buffer_append_text(&json, "{\"normalizer\":[");
    for (int i = 0; i < 300000; i++)
        slm_buffer_append_text(&json, "0,");
    slm_buffer_append_text(&json, "0]," SMALL "}");
    refuse(slm_buffer_text(&json), NULL, SLM_ERR_UNSUPPORTED, "normalizer is 600003 bytes long");
    slm_buffer_truncate(&json, 0);
    slm_buffer_append_text(&json, "{" BYTES ",\"model\":{\"merges\":[],\"vocab\":{\"");
    for (int i = 0; i < 5000; i++)
        slm_buffer_append_char(&json, 'x');
    slm_buffer_append_text(&json, "\":0}}}");
    refuse(slm_buffer_text(&json), NULL, SLM_ERR_FORMAT, "token 0 is 5000 bytes long");
    slm_buffer_free(&json);
}

/* Every beginning of a file is refused, and every byte of it changed gives an error or a tokenizer. */
static void test_damaged(void **state)
{
    (void)state;
    static const char json[] =
        "{" LLAMA_ADDED "," LLAMA_NORMAL "," LLAMA_DECODER "," LLAMA_POST "," LLAMA_MODEL "}";
    char damaged[sizeof(json)];
    for (size_t cut = 0; cut + 1 < sizeof(json); cut++) {
        slm_tokenizer *t;
        memcpy(damaged, json, sizeof(json));
        damaged[cut] = '\0';
        assert_true(load_json(damaged, NULL, &t, NULL) != SLM_OK);
        static const char changes[] = "\"{}[],:0\\x";
        for (size_t k = 0; k + 1 < sizeof(changes); k++) {
            slm_tokens ids = {0};
            memcpy(damaged, json, sizeof(json));
            damaged[cut] = changes[k];
            if (load_json(damaged, NULL, &t, NULL) != SLM_OK) continue;
            slm_tokenizer_encode(t, "a <s>\xc3\xa9", 7, true, &ids, NULL);
            slm_tokens_free(&ids);
            slm_tokenizer_free(t);
        }
    }
}

/* From files: the folder's other files are found beside it. */
static void test_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/slm-test-XXXXXX", path[64], other[64];
    slm_tokenizer *t = NULL;
    slm_error err = {0};
    static const char json[] = "{" BYTES "," SMALL "}", config[] = "{\"eos_token\":\"b\","
                                                                   "\"chat_template\":\"old\"}";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/tokenizer.json", folder);
    assert_int_equal(slm_tokenizer_from_json(path, &t, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(slm_file_write(path, json, strlen(json), &err), SLM_OK);
    assert_int_equal(slm_tokenizer_from_json(path, &t, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_eos(t), -1);
    slm_tokenizer_free(t);
    snprintf(other, sizeof(other), "%s/tokenizer_config.json", folder);
    assert_int_equal(slm_file_write(other, config, strlen(config), &err), SLM_OK);
    assert_int_equal(slm_tokenizer_from_json(path, &t, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_eos(t), 1);
    assert_string_equal(slm_tokenizer_chat_template(t), "old");
    slm_tokenizer_free(t);
    unlink(other);
    snprintf(other, sizeof(other), "%s/chat_template.jinja", folder);
    assert_int_equal(slm_file_write(other, "new", 3, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_from_json(path, &t, &err), SLM_OK);
    assert_string_equal(slm_tokenizer_chat_template(t), "new");
    slm_tokenizer_free(t);
    assert_int_equal(slm_file_write(path, "", 0, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_from_json(path, &t, &err), SLM_ERR_FORMAT);
    unlink(other);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),          cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_added),          cmocka_unit_test(test_characters),
        cmocka_unit_test(test_metaspace),      cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_config),         cmocka_unit_test(test_refused_parts),
        cmocka_unit_test(test_refused_models), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_damaged),        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests_name("text/huggingface", tests, NULL, NULL);
}
