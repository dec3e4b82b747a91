/* test_load.c: what a file must hold to be a model, and what is said when it does not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "model/model.h"
#include "tiny_model.h"

static char path[64];

static void expect_error(const gguf_writer *w, slm_status wanted, const char *part)
{
    slm_error err = {0};
    slm_tensors *file = NULL;
    slm_device *device = NULL;
    slm_model *model = NULL;
    const slm_device_options device_options = {.kernels = "ref", .threads = 1};
    const slm_model_options options = {.dtype = SLM_F32};
    assert_true(gguf_write(w, path));
    if (slm_tensors_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_int_equal(slm_device_open(&device_options, &device, &err), SLM_OK);
    slm_status status = slm_model_load(device, file, &options, &model, &err);
    slm_model_free(model);
    slm_device_close(device);
    slm_tensors_close(file);
    unlink(path);
    if (status != wanted) fail_msg("status %d, wanted %d (%s)", status, wanted, err.message);
    if (wanted == SLM_OK) return;
    if (!strstr(err.message, part)) fail_msg("'%s' is not in: %s", part, err.message);
    if (!strstr(err.message, path)) fail_msg("the file is not named in: %s", err.message);
}

static void test_loads(void **state)
{
    (void)state;
    tiny_shape t = tiny_default();
    gguf_writer w = {0};
    tiny_metadata(&w, &t);
    tiny_tensors(&w, &t, 1);
    expect_error(&w, SLM_OK, "");
    gguf_writer_free(&w);
}

static void test_unknown_architecture(void **state)
{
    (void)state;
    gguf_writer w = {0};
    gguf_add_string(&w, "general.architecture", "mamba");
    expect_error(&w, SLM_ERR_UNSUPPORTED, "'mamba'");
    gguf_writer_free(&w);
}

static void test_missing_tensor(void **state)
{
    (void)state;
    tiny_shape t = tiny_default(), shallow = t;
    gguf_writer w = {0};
    shallow.layers = 2;
    tiny_metadata(&w, &t);
    tiny_tensors(&w, &shallow, 1);
    expect_error(&w, SLM_ERR_NOT_FOUND, "blk.2.attn_q.weight");
    gguf_writer_free(&w);
}

static void test_wrong_shape(void **state)
{
    (void)state;
    tiny_shape t = tiny_default(), wide = t;
    gguf_writer w = {0};
    wide.feed = 50;
    tiny_metadata(&w, &t);
    tiny_tensors(&w, &wide, 1);
    expect_error(&w, SLM_ERR_FORMAT, "blk.0.ffn_gate.weight has shape [50, 32]");
    gguf_writer_free(&w);
}

static void test_extra_tensor(void **state)
{
    (void)state;
    tiny_shape t = tiny_default();
    const float values[4] = {1, 2, 3, 4};
    gguf_writer w = {0};
    tiny_metadata(&w, &t);
    tiny_tensors(&w, &t, 1);
    gguf_add_tensor(&w, "rope_freqs.weight", SLM_F32, (uint64_t[]){4}, 1, values);
    expect_error(&w, SLM_ERR_UNSUPPORTED, "rope_freqs.weight");
    gguf_writer_free(&w);
}

static void test_refused_metadata(void **state)
{
    (void)state;
    tiny_shape t = tiny_default();
    gguf_writer w = {0};
    tiny_metadata(&w, &t);
    gguf_add_string(&w, "llama.rope.scaling.type", "linear");
    tiny_tensors(&w, &t, 1);
    expect_error(&w, SLM_ERR_UNSUPPORTED, "llama.rope.scaling.type");
    gguf_writer_free(&w);
}

static void test_bounds(void **state)
{
    (void)state;
    const struct {
        const char *key, *part;
        uint64_t value;
    } cases[] = {{"llama.block_count", "from 1 to 1024", 0},
                 {"llama.block_count", "llama.block_count is 4294967297", (1ull << 32) + 1},
                 {"llama.attention.head_count_kv", "multiple of 3", 3},
                 {"llama.attention.key_length", "odd", 7},
                 {"llama.rope.dimension_count", "rotates 4 of each head's 8", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tiny_shape t = tiny_default();
        const struct {
            const char *key;
            int value;
        } rest[] = {{"llama.block_count", t.layers},
                    {"llama.context_length", t.context},
                    {"llama.embedding_length", t.d},
                    {"llama.feed_forward_length", t.feed},
                    {"llama.attention.head_count", t.heads},
                    {"llama.attention.head_count_kv", t.kv_heads},
                    {"llama.attention.key_length", t.head_dim},
                    {"llama.rope.dimension_count", t.head_dim}};
        gguf_writer w = {0};
        gguf_add_string(&w, "general.architecture", "llama");
        gguf_add_f32(&w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
        for (size_t k = 0; k < sizeof rest / sizeof rest[0]; k++)
            gguf_add_u64(&w, rest[k].key,
                         strcmp(rest[k].key, cases[i].key) == 0 ? cases[i].value
                                                                : (uint64_t)rest[k].value);
        tiny_tensors(&w, &t, 1);
        slm_status wanted = strstr(cases[i].part, "rotates") ? SLM_ERR_UNSUPPORTED : SLM_ERR_FORMAT;
        expect_error(&w, wanted, cases[i].part);
        gguf_writer_free(&w);
    }
}

static void test_parameters(void **state)
{
    (void)state;
    /* SmolLM2-135M's published shape: 134,515,008 parameters with the embedding tied. */
    const slm_model_config smollm2 = {.layers = 30,
                                      .heads = 9,
                                      .kv_heads = 3,
                                      .head_dim = 64,
                                      .embedding = 576,
                                      .feed_forward = 1536,
                                      .vocabulary = 49152,
                                      .tied_head = true};
    assert_int_equal(slm_model_config_parameters(&smollm2), 134515008);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads),          cmocka_unit_test(test_unknown_architecture),
        cmocka_unit_test(test_missing_tensor), cmocka_unit_test(test_wrong_shape),
        cmocka_unit_test(test_extra_tensor),   cmocka_unit_test(test_refused_metadata),
        cmocka_unit_test(test_bounds),         cmocka_unit_test(test_parameters),
    };
    snprintf(path, sizeof path, "/tmp/slm-load-%d.gguf", (int)getpid());
    return cmocka_run_group_tests_name("model/load", tests, NULL, NULL);
}
