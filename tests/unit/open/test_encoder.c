/* test_encoder.c: a folder of an encoder behind embed.h: vectors of texts, cut to the encoder's length,
 * and what is said where there is no encoder. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "open/open.h"
#include "tiny_encoder.h"

static tiny_encoder tiny;

static slm_embed *open_tiny(void)
{
    slm_embed *embed = NULL;
    slm_error err;
    const slm_open_options options = {.threads = 1};
    if (slm_open_embed(tiny.folder, &options, &embed, &err) != SLM_OK) fail_msg("%s", err.message);
    return embed;
}

static void test_vectors(void **state)
{
    (void)state;
    const char *texts[] = {"How the child fevers?", "", "how THE  child\tfevers ?", "a b a b a b"};
    const int32_t ids[] = {2, 9, 8, 6, 4, 5, 7, 3}, len = 8;
    float out[4][TINY_D], want[TINY_D], alone[TINY_D];
    slm_embed *embed = open_tiny();
    assert_int_equal(embed->dimensions, TINY_D);
    assert_string_equal(embed->name, strrchr(tiny.folder, '/') + 1);
    assert_int_equal(strlen(embed->identity), 64);
    assert_true(slm_open_is_encoder(tiny.folder));
    assert_false(slm_open_is_encoder("/tmp"));
    assert_int_equal(slm_embed_run(embed, texts, 4, out[0], NULL), SLM_OK);
    slm_encoder_run((slm_encoder *)(uintptr_t)slm_open_encoder(embed), ids, &len, 1, want);
    assert_memory_equal(out[0], want, sizeof want);
    assert_memory_equal(out[0], out[2], sizeof want);
    for (size_t i = 0; i < 4; i++) {
        double square = 0;
        for (size_t d = 0; d < TINY_D; d++)
            square += (double)out[i][d] * (double)out[i][d];
        assert_true(fabs(square - 1) < 1e-5);
    }
    assert_int_equal(slm_embed_run(embed, &texts[3], 1, alone, NULL), SLM_OK);
    assert_memory_equal(alone, out[3], sizeof alone);
    slm_embed_free(embed);
}

static void test_cut(void **state)
{
    (void)state;
    const char *texts[] = {"a b a b a", "a b a b a fever child", "a b a b fever"};
    float out[3][TINY_D];
    tiny_encoder_write(&tiny, "sentence_bert_config.json", "{\"max_seq_length\":7}");
    slm_embed *embed = open_tiny();
    assert_int_equal(slm_embed_run(embed, texts, 3, out[0], NULL), SLM_OK);
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    assert_memory_not_equal(out[0], out[2], sizeof out[0]);
    slm_embed_free(embed);
    tiny_encoder_remove(&tiny, "sentence_bert_config.json");
    /* A text far longer than all positions. */
    slm_buffer text = {0};
    for (int i = 0; i < 5000; i++)
        slm_buffer_append_text(&text, "fever ");
    texts[0] = slm_buffer_text(&text);
    embed = open_tiny();
    assert_int_equal(slm_embed_run(embed, texts, 1, out[0], NULL), SLM_OK);
    slm_embed_free(embed);
    slm_buffer_free(&text);
}

static void expect_error(const char *model, slm_status status, const char *part)
{
    slm_embed *embed = NULL;
    slm_error err = {0};
    const slm_open_options options = {.threads = 1};
    assert_int_equal(slm_open_embed(model, &options, &embed, &err), status);
    if (strstr(err.message, part) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.message, part);
}

static void test_refused(void **state)
{
    (void)state;
    expect_error("/tmp/no-such-encoder", SLM_ERR_NOT_FOUND, "no such folder");
    expect_error("openai:text-embedding-3-small", SLM_ERR_UNSUPPORTED, "on this machine");
    tiny_encoder_write(&tiny, "config.json", "{\"model_type\":\"llama\"}");
    expect_error(tiny.folder, SLM_ERR_UNSUPPORTED, "is no encoder");
    tiny_encoder_write(&tiny, "config.json", TINY_ENCODER_CONFIG);
    tiny_encoder_write(&tiny, "vocab.txt", "[UNK]\na\nb\n");
    expect_error(tiny.folder, SLM_ERR_FORMAT, "the vocabulary lacks '[CLS]'");
    tiny_encoder_write(&tiny, "vocab.txt",
                       "[PAD]\n[UNK]\n[CLS]\n[SEP]\n4\n5\n6\n7\n8\n9\na\nb\nc\n");
    expect_error(tiny.folder, SLM_ERR_FORMAT, "13 tokens and the encoder 12 embeddings");
    tiny_encoder_remove(&tiny, "vocab.txt");
    expect_error(tiny.folder, SLM_ERR_NOT_FOUND, "holds no tokenizer.json");
}

static int make(void **state)
{
    (void)state;
    tiny_encoder_make(&tiny);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    tiny_encoder_free(&tiny);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("open/encoder", tests, make, drop);
}
