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
    gguf_add_tensor(&w, "blk.0.ffn_gate_inp.weight", SLM_F32, (uint64_t[]){4}, 1, values);
    expect_error(&w, SLM_ERR_UNSUPPORTED, "blk.0.ffn_gate_inp.weight");
    gguf_writer_free(&w);
}

/* A bias that the first layer lacks belongs to no family. */
static void test_late_bias(void **state)
{
    (void)state;
    tiny_shape t = tiny_default();
    const float values[32] = {1};
    gguf_writer w = {0};
    tiny_metadata(&w, &t);
    tiny_tensors(&w, &t, 1);
    gguf_add_tensor(&w, "blk.1.attn_q.bias", SLM_F32, (uint64_t[]){32}, 1, values);
    expect_error(&w, SLM_ERR_UNSUPPORTED, "blk.1.attn_q.bias");
    gguf_writer_free(&w);
}

/* A tiny Llama with one more metadata entry: text, or else a number. */
static void expect_metadata(const char *key, const char *text, float number, slm_status wanted,
                            const char *part)
{
    tiny_shape t = tiny_default();
    gguf_writer w = {0};
    tiny_metadata(&w, &t);
    if (text)
        gguf_add_string(&w, key, text);
    else
        gguf_add_f32(&w, key, number);
    tiny_tensors(&w, &t, 1);
    expect_error(&w, wanted, part);
    gguf_writer_free(&w);
}

static void test_refused_metadata(void **state)
{
    (void)state;
    expect_metadata("llama.rope.scaling.type", "yarn", 0, SLM_ERR_UNSUPPORTED,
                    "llama.rope.scaling.type 'yarn' is not computed by this version");
    expect_metadata("llama.rope.scaling.type", "linear", 0, SLM_ERR_NOT_FOUND,
                    "llama.rope.scaling.factor");
    expect_metadata("llama.rope.scaling.type", NULL, 2, SLM_ERR_FORMAT, "llama.rope.scaling.type");
    expect_metadata("llama.rope.scaling.factor", NULL, 0.5f, SLM_ERR_FORMAT,
                    "0.5; it must be 0 or");
    expect_metadata("llama.rope.scaling.factor", NULL, -1, SLM_ERR_FORMAT, "is -1");
    expect_metadata("llama.rope.scaling.factor", NULL, NAN, SLM_ERR_FORMAT, "nan");
    static const char *const refused[] = {
        "expert_count", "attention.sliding_window", "attention.clamp_kqv", "attention.scale",
        "logit_scale",  "residual_scale",           "embedding_scale",     "rope.scaling.alpha"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char key[64];
        snprintf(key, sizeof key, "llama.%s", refused[i]);
        expect_metadata(key, NULL, 2, SLM_ERR_UNSUPPORTED, key);
        expect_metadata(key, "two", 0, SLM_ERR_UNSUPPORTED, key);
        expect_metadata(key, NULL, 0, SLM_OK, "");
    }
    expect_metadata("llama.rope.scaling.attn_factor", NULL, 2, SLM_ERR_UNSUPPORTED, "attn_factor");
    expect_metadata("llama.rope.scaling.attn_factor", NULL, 1, SLM_OK, "");
    expect_metadata("llama.attention.causal", NULL, 0, SLM_ERR_UNSUPPORTED, "attention.causal");
    expect_metadata("llama.attention.value_length", NULL, 4, SLM_ERR_FORMAT, "value_length");
}

/* What is read about rotary scaling, as llama.cpp reads it. */
static slm_model_config read_config(const char *key, const char *text, float factor, bool table)
{
    tiny_shape t = tiny_default();
    slm_model_config config;
    slm_error err = {0};
    slm_tensors *file = NULL;
    gguf_writer w = {0};
    const float ones[4] = {1, 1, 1, 1};
    tiny_metadata(&w, &t);
    if (text) gguf_add_string(&w, "llama.rope.scaling.type", text);
    if (key) gguf_add_f32(&w, key, factor);
    if (table) gguf_add_tensor(&w, "rope_freqs.weight", SLM_F32, (uint64_t[]){4}, 1, ones);
    tiny_tensors(&w, &t, 1);
    assert_true(gguf_write(&w, path));
    assert_int_equal(slm_tensors_open(path, &file, &err), SLM_OK);
    if (slm_model_config_read(file, &config, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_tensors_close(file);
    unlink(path);
    gguf_writer_free(&w);
    return config;
}

static void test_rope_scaling(void **state)
{
    (void)state;
    static const char factor[] = "llama.rope.scaling.factor";
    assert_int_equal(read_config(NULL, NULL, 0, false).rope_scaling, SLM_ROPE_PLAIN);
    assert_int_equal(read_config(NULL, NULL, 0, true).rope_scaling, SLM_ROPE_TABLE);
    assert_int_equal(read_config(factor, "linear", 0, true).rope_scaling, SLM_ROPE_TABLE);
    assert_int_equal(read_config(factor, "linear", 0, false).rope_scaling, SLM_ROPE_PLAIN);
    assert_int_equal(read_config(factor, "none", 4, false).rope_scaling, SLM_ROPE_PLAIN);
    const slm_model_config linear[] = {read_config(factor, "linear", 4, false),
                                       read_config(factor, NULL, 4, false),
                                       read_config("llama.rope.scale_linear", NULL, 4, false)};
    for (size_t i = 0; i < sizeof linear / sizeof linear[0]; i++) {
        assert_int_equal(linear[i].rope_scaling, SLM_ROPE_LINEAR);
        assert_true(linear[i].rope_factor == 4.0);
    }
}

static void test_wrong_tables(void **state)
{
    (void)state;
    const struct {
        float values[4];
        uint64_t items;
        slm_dtype dtype;
        float factor;
        slm_status status;
        const char *part;
    } cases[] = {
        {{1, 2, 0, 4}, 4, SLM_F32, 0, SLM_ERR_FORMAT, "rope_freqs.weight[2] is 0"},
        {{1, 2, 3, NAN}, 4, SLM_F32, 0, SLM_ERR_FORMAT, "rope_freqs.weight[3] is nan"},
        {{1, INFINITY, 3, 4}, 4, SLM_F32, 0, SLM_ERR_FORMAT, "rope_freqs.weight[1] is inf"},
        {{1, 2, 3}, 3, SLM_F32, 0, SLM_ERR_FORMAT, "rope_freqs.weight has shape [3, 1]"},
        {{1, 2, 3, 4}, 4, SLM_F16, 0, SLM_ERR_UNSUPPORTED, "rope_freqs.weight is F16, not F32"},
        {{1, 2, 3, 4}, 4, SLM_F32, 2, SLM_ERR_UNSUPPORTED, "both rope_freqs.weight and"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tiny_shape t = tiny_default();
        gguf_writer w = {0};
        tiny_metadata(&w, &t);
        gguf_add_f32(&w, "llama.rope.scaling.factor", cases[i].factor);
        tiny_tensors(&w, &t, 1);
        gguf_add_tensor(&w, "rope_freqs.weight", cases[i].dtype, &cases[i].items, 1,
                        cases[i].values);
        expect_error(&w, cases[i].status, cases[i].part);
        gguf_writer_free(&w);
    }
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
                 {"llama.attention.head_count", "head_count 64 is more than embedding_length", 64},
                 {"llama.attention.key_length", "rotates 8 of each head's 7", 7},
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
        cmocka_unit_test(test_late_bias),      cmocka_unit_test(test_rope_scaling),
        cmocka_unit_test(test_wrong_tables),   cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_parameters),
    };
    snprintf(path, sizeof path, "/tmp/slm-load-%d.gguf", (int)getpid());
    return cmocka_run_group_tests_name("model/load", tests, NULL, NULL);
}
