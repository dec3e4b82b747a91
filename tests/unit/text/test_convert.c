/* test_convert.c: a GGUF tokenizer as tokenizer.json, and that as GGUF again, give the ids that the
 * first gives, for every kind and for texts of all sorts; what one file can say and the other cannot
 * is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/random.h"
#include "text_fixture.h"

#define B TEXT_BLOCK

static char folder[] = "/tmp/slm-convert-XXXXXX";
static char json_path[64], config_path[64];

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(json_path, sizeof json_path, "%s/tokenizer.json", folder);
    snprintf(config_path, sizeof config_path, "%s/tokenizer_config.json", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(json_path);
    unlink(config_path);
    return rmdir(folder);
}

static slm_tensors *open_bytes(const gguf_writer *w, slm_buffer *bytes)
{
    slm_tensors *file = NULL;
    slm_error err = {0};
    gguf_finish(w, bytes);
    if (slm_tensors__open_memory(bytes->data, bytes->len, "test.gguf", &file, &err) != SLM_OK)
        fail_msg("%s", err.message);
    return file;
}

static slm_tokenizer *of_gguf(const gguf_writer *w)
{
    slm_tokenizer *t = NULL;
    slm_error err = {0};
    if (load_tokenizer(w, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    return t;
}

/* w's tokenizer as the files of a folder. */
static slm_tokenizer *to_folder(const gguf_writer *w)
{
    slm_buffer bytes = {0};
    slm_tokenizer_files files;
    slm_tokenizer *t = NULL;
    slm_error err = {0};
    slm_tensors *file = open_bytes(w, &bytes);
    if (slm_tokenizer_convert_from_gguf(file, 2048, &files, &err) != SLM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(slm_file_write(json_path, files.tokenizer.data, files.tokenizer.len, &err),
                     SLM_OK);
    assert_int_equal(slm_file_write(config_path, files.config.data, files.config.len, &err),
                     SLM_OK);
    assert_non_null(strstr(slm_buffer_text(&files.config), "\"model_max_length\": 2048"));
    json_t *map = json_loads(slm_buffer_text(&files.special_map), 0, NULL);
    assert_true(json_is_object(map));
    json_decref(map);
    if (slm_tokenizer_from_json(json_path, &t, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_tokenizer_files_free(&files);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    return t;
}

static slm_status from_folder(size_t vocabulary, slm_tokenizer **out, slm_error *err)
{
    slm_gguf_meta meta = {0};
    gguf_writer w = {0};
    *out = NULL;
    slm_status status = slm_tokenizer_convert_to_gguf(folder, vocabulary, &meta, err);
    if (status == SLM_OK) {
        w.entries = meta.bytes;
        w.entry_count = meta.count;
        *out = of_gguf(&w);
    }
    slm_gguf_meta_free(&meta);
    return status;
}

static void check_equal(const slm_tokenizer *a, const slm_tokenizer *b, const char *text,
                        bool special, const char *what)
{
    slm_tokens left = {0}, right = {0};
    slm_buffer first = {0}, second = {0};
    assert_int_equal(slm_tokenizer_encode(a, text, strlen(text), special, &left, NULL), SLM_OK);
    assert_int_equal(slm_tokenizer_encode(b, text, strlen(text), special, &right, NULL), SLM_OK);
    if (left.len != right.len ||
        (left.len > 0 && memcmp(left.ids, right.ids, left.len * sizeof *left.ids) != 0))
        fail_msg("%s: other ids for '%s'", what, text);
    slm_tokenizer_decode_all(a, left.ids, left.len, true, &first);
    slm_tokenizer_decode_all(b, right.ids, right.len, true, &second);
    assert_string_equal(slm_buffer_text(&first), slm_buffer_text(&second));
    slm_tokens_free(&left);
    slm_tokens_free(&right);
    slm_buffer_free(&first);
    slm_buffer_free(&second);
}

static const char *const texts[] = {
    "",
    " the mother and the other",
    "I'LL take 12345 mg, don't",
    "a\n\n  b\tc\r\n",
    "caf\xc3\xa9 e\xcc\x81 \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x99\x82",
    "x<|im_start|>user <s> y",
    "thethe in  an er",
};

static void check_all(const gguf_writer *w, size_t vocabulary, const char *what)
{
    slm_error err = {0};
    slm_tokenizer *first = of_gguf(w), *second = to_folder(w), *third = NULL;
    if (from_folder(vocabulary, &third, &err) != SLM_OK) fail_msg("%s", err.message);
    const slm_tokenizer *others[] = {second, third};
    for (int i = 0; i < 2; i++) {
        const slm_tokenizer *t = others[i];
        assert_int_equal(slm_tokenizer_bos(t), slm_tokenizer_bos(first));
        assert_int_equal(slm_tokenizer_eos(t), slm_tokenizer_eos(first));
        assert_int_equal(slm_tokenizer_adds_bos(t), slm_tokenizer_adds_bos(first));
        assert_string_equal(slm_tokenizer_chat_template(t), "{{ \"x\" }}\n");
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
            check_equal(first, t, texts[k], false, what);
            check_equal(first, t, texts[k], true, what);
        }
    }
    assert_int_equal(slm_tokenizer_size(third), vocabulary);
    slm_tokenizer_free(first);
    slm_tokenizer_free(second);
    slm_tokenizer_free(third);
}

static void test_bytes(void **state)
{
    (void)state;
    static const char *const merges[] = {"t h", "th e", "i n", "e r", "a n"};
    for (size_t i = 0; slm_text__family(i); i++) {
        const char *name = slm_text__family(i)->name;
        gguf_writer w = {0};
        gguf_add_byte_tokenizer(&w, name, merges, 5);
        gguf_add_string(&w, "tokenizer.chat_template", "{{ \"x\" }}\n");
        check_all(&w, GGUF_TOKEN_MERGES + 5, name);
        check_all(&w, GGUF_TOKEN_MERGES + 9, name); /* rows without a token */
        gguf_writer_free(&w);
    }
}

/* ---- scores -------------------------------------------------------------------------------- */

enum { PIECES = 40 };

static void scores_writer(gguf_writer *w, const char *const *pieces, const float *given,
                          size_t count, bool prefix)
{
    static char names[256][8];
    const char *tokens[3 + 256 + PIECES] = {"<unk>", "<s>", "</s>"};
    int32_t types[3 + 256 + PIECES] = {2, 3, 3};
    float scores[3 + 256 + PIECES] = {0};
    size_t n = 3;
    for (size_t b = 0; b < 256; b++) {
        snprintf(names[b], sizeof(names[b]), "<0x%02X>", (unsigned)b);
        tokens[n] = names[b];
        types[n++] = 6;
    }
    for (size_t i = 0; i < count; i++) {
        tokens[n] = pieces[i];
        scores[n] = given[i];
        types[n++] = 1;
    }
    gguf_add_string(w, "tokenizer.ggml.model", "llama");
    gguf_add_strings(w, "tokenizer.ggml.tokens", tokens, n);
    gguf_add_i32s(w, "tokenizer.ggml.token_type", types, n);
    gguf_add_f32s(w, "tokenizer.ggml.scores", scores, n);
    if (!prefix) gguf_add_bool(w, "tokenizer.ggml.add_space_prefix", false);
    gguf_add_string(w, "tokenizer.chat_template", "{{ \"x\" }}\n");
}

static void test_scores(void **state)
{
    (void)state;
    static const char *const fixed[] = {B,       "t",   "h",  "e",   "a",    "n",       "o",
                                        "r",     "m",   "d",  "th",  "the",  "he",      "er",
                                        B "the", B "t", "an", "and", B "a",  B "an",    "ot",
                                        "other", "oth", "mo", "her", "ther", "\xc3\xa9"};
    enum { COUNT = sizeof fixed / sizeof fixed[0] };
    slm_random random = slm_random_new(9, 9);
    for (int round = 0; round < 60; round++) {
        float scores[COUNT];
        for (size_t i = 0; i < COUNT; i++)
            scores[i] = -(float)i;
        for (size_t i = COUNT - 1; i > 0; i--) { /* another order every time */
            const size_t other = slm_random_below(&random, (uint32_t)i + 1);
            const float kept = scores[i];
            scores[i] = scores[other];
            scores[other] = kept;
        }
        gguf_writer w = {0};
        scores_writer(&w, fixed, scores, COUNT, round % 2 == 0);
        check_all(&w, 3 + 256 + COUNT + (size_t)round % 3, "scores");
        gguf_writer_free(&w);
    }
}

static void test_equal_scores(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a", "b", "c", "ab", "bc"};
    static const float scores[] = {0, 0, 0, -1, -1};
    gguf_writer w = {0};
    slm_buffer bytes = {0};
    slm_tokenizer_files files;
    slm_error err = {0};
    scores_writer(&w, pieces, scores, 5, true);
    slm_tensors *file = open_bytes(&w, &bytes);
    assert_int_equal(slm_tokenizer_convert_from_gguf(file, 1, &files, &err), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "two tokens have the score -1"));
    assert_int_equal(files.tokenizer.len, 0);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    gguf_writer_free(&w);
}

/* ---- what GGUF has no word for ------------------------------------------------------------- */

static void check_refused(const char *json, slm_status status, const char *part)
{
    slm_gguf_meta meta = {0};
    slm_error err = {0};
    unlink(config_path);
    assert_int_equal(slm_file_write(json_path, json, strlen(json), &err), SLM_OK);
    assert_int_equal(slm_tokenizer_convert_to_gguf(folder, 3, &meta, &err), status);
    if (!strstr(err.message, part)) fail_msg("'%s' lacks '%s'", err.message, part);
    slm_gguf_meta_free(&meta);
}

static void test_refused(void **state)
{
    (void)state;
#define MODEL(merges)                                                                              \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[" merges "]}}"
#define BYTES(more)                                                                                \
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" more                           \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}," MODEL("\"a b\"")
#define SPLIT(regex, behaviour)                                                                    \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"" behaviour          \
    "\",\"invert\":false},"
    check_refused(BYTES(SPLIT("a+", "Isolated")), SLM_ERR_UNSUPPORTED, "none that have a name");
    check_refused(BYTES(SPLIT("a+", "Removed")), SLM_ERR_UNSUPPORTED, "--format safetensors");
    check_refused(
        "{\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"x\"},"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}," MODEL("\"a b\""),
        SLM_ERR_UNSUPPORTED, "not NFC alone");
    check_refused(
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true}," MODEL("\"a b\""),
        SLM_ERR_UNSUPPORTED, "pre_tokenizer");
    check_refused("{" MODEL("\"a b\""), SLM_ERR_UNSUPPORTED, "SentencePiece");
    check_refused("{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}}",
                  SLM_ERR_UNSUPPORTED, "not BPE");
    check_refused(
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true}]," MODEL("\"a b\""),
        SLM_ERR_FORMAT, "another model's tokenizer");
    /* That is what it has a word for. */
    check_refused(
        "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" B
        "\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"
        "\"merges\":[\"a b\"]}}",
        SLM_OK, "");
    unlink(json_path);
    slm_gguf_meta meta = {0};
    slm_error err = {0};
    assert_int_equal(slm_tokenizer_convert_to_gguf(folder, 3, &meta, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "fetch the whole folder"));
}

/* By scores b c would be merged last, by these ranks before a bc. */
static void test_scattered_merges(void **state)
{
    (void)state;
    static const char json[] =
        "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" B
        "\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4,"
        "\"abc\":5},\"merges\":[\"a b\",\"ab c\",\"b c\",\"a bc\"]}}";
    slm_gguf_meta meta = {0};
    slm_error err = {0};
    assert_int_equal(slm_file_write(json_path, json, strlen(json), &err), SLM_OK);
    assert_int_equal(slm_tokenizer_convert_to_gguf(folder, 6, &meta, &err), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "do not stand together"));
    slm_gguf_meta_free(&meta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_equal_scores),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_scattered_merges),
    };
    return cmocka_run_group_tests_name("convert", tests, begin, end);
}
