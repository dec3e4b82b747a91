/* test_folder.c: models in Hugging Face folders: what config.json says, in its old and new spelling;
 * what in it is refused, with file and key; which tensors may be left over; NF4 as bitsandbytes
 * stores it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_oracle.h"
#include "model/model_internal.h"

enum { ROWS = 40 };

static char folder[64];
static int32_t ids[ROWS];

/* ---- config.json --------------------------------------------------------------------------- */

/* The smallest text that is a configuration; and the same with `key` spelled out as `member`, ""
 * to leave it out. A key that it has not is added. */
static void config_text(const char *key, const char *member, slm_buffer *out)
{
    static const char *const members[][2] = {
        {"model_type", "\"model_type\":\"llama\""},
        {"num_hidden_layers", "\"num_hidden_layers\":2"},
        {"hidden_size", "\"hidden_size\":32"},
        {"intermediate_size", "\"intermediate_size\":44"},
        {"num_attention_heads", "\"num_attention_heads\":4"},
        {"vocab_size", "\"vocab_size\":61"},
        {"max_position_embeddings", "\"max_position_embeddings\":512"},
    };
    bool found = false;
    slm_buffer_truncate(out, 0);
    slm_buffer_append_text(out, "{\"architectures\":[\"AnyForCausalLM\"]");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        bool here = key && strcmp(members[i][0], key) == 0;
        const char *text = here ? member : members[i][1];
        found = found || here;
        if (text[0]) slm_buffer_printf(out, ",%s", text);
    }
    if (key && !found) slm_buffer_printf(out, ",%s", member);
    slm_buffer_append_char(out, '}');
}

static slm_model_config parse(const char *key, const char *member)
{
    slm_error err = {0};
    slm_model_config config = {0};
    slm_buffer text = {0};
    config_text(key, member, &text);
    if (model__config_parse(slm_buffer_text(&text), text.len, "c", &config, &err) != SLM_OK ||
        model__config_check("c", &config, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_buffer_free(&text);
    return config;
}

static void test_defaults(void **state)
{
    (void)state;
    slm_model_config c = parse(NULL, NULL);
    assert_string_equal(c.architecture, "llama");
    assert_int_equal(c.layers, 2);
    assert_int_equal(c.embedding, 32);
    assert_int_equal(c.feed_forward, 44);
    assert_int_equal(c.heads, 4);
    assert_int_equal(c.kv_heads, 4);
    assert_int_equal(c.head_dim, 8);
    assert_int_equal(c.vocabulary, 61);
    assert_int_equal(c.context, 512);
    assert_true(c.rope_base == 10000.0 && c.norm_eps == 1e-6);
    assert_int_equal(c.rope_scaling, SLM_ROPE_PLAIN);
    assert_false(c.rope_interleaved || c.tied_head || c.qkv_bias || c.output_bias || c.qk_norm);
    c = parse("model_type", "\"model_type\":\"qwen2\"");
    assert_true(c.qkv_bias && !c.output_bias && !c.qk_norm);
    c = parse("model_type", "\"model_type\":\"qwen2\",\"attention_bias\":true");
    assert_true(c.qkv_bias && !c.output_bias);
    c = parse("model_type", "\"model_type\":\"qwen3\"");
    assert_true(c.qk_norm && !c.qkv_bias && !c.output_bias);
    assert_int_equal(c.head_dim, 128);
    c = parse("attention_bias", "\"attention_bias\":true,\"tie_word_embeddings\":true");
    assert_true(c.qkv_bias && c.output_bias && c.tied_head);
    c = parse("head_dim", "\"head_dim\":null,\"num_key_value_heads\":2,\"rope_scaling\":null");
    assert_true(c.head_dim == 8 && c.kv_heads == 2);
    /* Harmless: said, but off. */
    c = parse("x",
              "\"use_sliding_window\":false,\"sliding_window\":4096,\"mlp_bias\":false,"
              "\"partial_rotary_factor\":1.0,\"pretraining_tp\":1,\"quantization_config\":null");
    assert_int_equal(c.layers, 2);
    c = parse("x", "\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
                   "\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"nf4\"}");
    assert_int_equal(c.layers, 2);
}

static void test_scaling(void **state)
{
    (void)state;
    static const char *const llama3[] = {
        "\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\",\"type\":\"other\",",
        "\"rope_theta\":1,\"rope_scaling\":{},\"rope_parameters\":{\"rope_theta\":5e5,"
        "\"rope_type\":\"llama3\","};
    for (int i = 0; i < 2; i++) {
        slm_buffer text = {0};
        slm_buffer_printf(&text,
                          "%s\"factor\":32,\"low_freq_factor\":1,\"high_freq_factor\":4.0,"
                          "\"original_max_position_embeddings\":8192}",
                          llama3[i]);
        slm_model_config c = parse("rope", slm_buffer_text(&text));
        assert_int_equal(c.rope_scaling, SLM_ROPE_LLAMA3);
        assert_true(c.rope_base == 5e5 && c.rope_factor == 32 && c.rope_low == 1 &&
                    c.rope_high == 4 && c.rope_original == 8192);
        slm_buffer_free(&text);
    }
    slm_model_config c =
        parse("rope", "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5},\"rope_theta\":1e6");
    assert_int_equal(c.rope_scaling, SLM_ROPE_LINEAR);
    assert_true(c.rope_factor == 2.5 && c.rope_base == 1e6);
    c = parse("rope", "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e6}");
    assert_int_equal(c.rope_scaling, SLM_ROPE_PLAIN);
    assert_true(c.rope_base == 1e6);
}

#define SCALING(rest) "\"rope_scaling\":{" rest "}"
#define LLAMA3(rest)  SCALING("\"rope_type\":\"llama3\"," rest)

static void test_refused_configurations(void **state)
{
    (void)state;
    static const struct {
        const char *key, *member;
        slm_status status;
        const char *part;
    } cases[] = {
        /* what this version does not compute */
        {"model_type", "\"model_type\":\"gemma2\"", SLM_ERR_UNSUPPORTED,
         "the model_type 'gemma2' is not known; this version runs: llama, qwen2, qwen3"},
        {"hidden_act", "\"hidden_act\":\"gelu\"", SLM_ERR_UNSUPPORTED, "hidden_act 'gelu'"},
        {"x", "\"use_sliding_window\":true", SLM_ERR_UNSUPPORTED, "use_sliding_window 'true'"},
        {"x", "\"mlp_bias\":true", SLM_ERR_UNSUPPORTED, "mlp_bias 'true'"},
        {"x", "\"partial_rotary_factor\":0.5", SLM_ERR_UNSUPPORTED, "partial_rotary_factor"},
        {"x", SCALING("\"partial_rotary_factor\":0.5"), SLM_ERR_UNSUPPORTED,
         "partial_rotary_factor"},
        {"x", SCALING("\"type\":\"yarn\",\"factor\":4"), SLM_ERR_UNSUPPORTED,
         "rope_scaling type 'yarn' is not computed by this version"},
        {"x", SCALING("\"rope_type\":\"dynamic\",\"factor\":4"), SLM_ERR_UNSUPPORTED, "'dynamic'"},
        {"x", "\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}", SLM_ERR_UNSUPPORTED,
         "quantization_config.quant_method 'gptq'"},
        {"x", "\"quantization_config\":{}", SLM_ERR_UNSUPPORTED, "quant_method ''"},
        {"x", "\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true}",
         SLM_ERR_UNSUPPORTED, "quantization_config.load_in_8bit 'true'"},
        {"x",
         "\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
         "\"bnb_4bit_quant_type\":\"fp4\"}",
         SLM_ERR_UNSUPPORTED, "quantization_config.bnb_4bit_quant_type 'fp4'"},
        /* missing */
        {"model_type", "", SLM_ERR_FORMAT, "model_type: missing"},
        {"num_hidden_layers", "", SLM_ERR_FORMAT, "num_hidden_layers: missing"},
        {"hidden_size", "", SLM_ERR_FORMAT, "hidden_size: missing"},
        {"intermediate_size", "", SLM_ERR_FORMAT, "intermediate_size: missing"},
        {"num_attention_heads", "", SLM_ERR_FORMAT, "num_attention_heads: missing"},
        {"vocab_size", "", SLM_ERR_FORMAT, "vocab_size: missing"},
        {"max_position_embeddings", "", SLM_ERR_FORMAT, "max_position_embeddings: missing"},
        {"x", SCALING("\"type\":\"linear\""), SLM_ERR_FORMAT, "rope_scaling.factor: missing"},
        {"x", LLAMA3("\"factor\":8"), SLM_ERR_FORMAT, "rope_scaling.low_freq_factor: missing"},
        {"x", LLAMA3("\"factor\":8,\"low_freq_factor\":1"), SLM_ERR_FORMAT,
         "rope_scaling.high_freq_factor: missing"},
        {"x", LLAMA3("\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4"), SLM_ERR_FORMAT,
         "rope_scaling.original_max_position_embeddings: missing"},
        {"x", "\"rope_parameters\":{\"rope_type\":\"linear\"}", SLM_ERR_FORMAT,
         "rope_parameters.factor: missing"},
        /* of another type */
        {"model_type", "\"model_type\":7", SLM_ERR_FORMAT, "model_type: expected a string"},
        {"hidden_size", "\"hidden_size\":\"32\"", SLM_ERR_FORMAT, "hidden_size: expected"},
        {"hidden_size", "\"hidden_size\":32.5", SLM_ERR_FORMAT, "hidden_size: expected a whole"},
        {"x", "\"head_dim\":[8]", SLM_ERR_FORMAT, "head_dim: expected"},
        {"x", "\"rms_norm_eps\":\"1e-5\"", SLM_ERR_FORMAT, "rms_norm_eps: expected a number"},
        {"x", "\"tie_word_embeddings\":1", SLM_ERR_FORMAT, "tie_word_embeddings: expected"},
        {"x", "\"attention_bias\":\"no\"", SLM_ERR_FORMAT, "attention_bias: expected"},
        {"x", "\"use_sliding_window\":0", SLM_ERR_FORMAT, "use_sliding_window: expected"},
        {"x", "\"mlp_bias\":0", SLM_ERR_FORMAT, "mlp_bias: expected"},
        {"x", "\"hidden_act\":{}", SLM_ERR_FORMAT, "hidden_act: expected a string"},
        {"x", "\"rope_scaling\":\"yarn\"", SLM_ERR_FORMAT, "rope_scaling: expected an object"},
        {"x", "\"rope_theta\":[]", SLM_ERR_FORMAT, "rope_theta: expected a number"},
        {"x", SCALING("\"type\":4"), SLM_ERR_FORMAT, "rope_scaling.type: expected a string"},
        {"x", "\"quantization_config\":[]", SLM_ERR_FORMAT, "quantization_config: expected"},
        /* out of bounds */
        {"num_hidden_layers", "\"num_hidden_layers\":0", SLM_ERR_FORMAT, "num_hidden_layers is 0"},
        {"num_hidden_layers", "\"num_hidden_layers\":-1", SLM_ERR_FORMAT,
         "num_hidden_layers is -1; it must be from 1"},
        {"num_hidden_layers", "\"num_hidden_layers\":1025", SLM_ERR_FORMAT, "1025 layers"},
        {"vocab_size", "\"vocab_size\":4294967297", SLM_ERR_FORMAT, "vocab_size is 4294967297"},
        {"hidden_size", "\"hidden_size\":65540,\"head_dim\":8", SLM_ERR_FORMAT,
         "65540 numbers in an embedding"},
        {"hidden_size", "\"hidden_size\":3", SLM_ERR_FORMAT, "4 heads are more than hidden_size 3"},
        {"hidden_size", "\"hidden_size\":28", SLM_ERR_FORMAT, "the head size 7 is odd"},
        {"x", "\"head_dim\":9", SLM_ERR_FORMAT, "the head size 9 is odd"},
        {"x", "\"head_dim\":0", SLM_ERR_FORMAT, "head_dim is 0"},
        {"x", "\"head_dim\":4098", SLM_ERR_FORMAT, "4098 numbers in a head"},
        {"x", "\"num_key_value_heads\":3", SLM_ERR_FORMAT,
         "4 attention heads are not a multiple of 3"},
        {"x", "\"num_key_value_heads\":8", SLM_ERR_FORMAT, "not a multiple of 8"},
        {"x", "\"rms_norm_eps\":-1", SLM_ERR_FORMAT, "rms_norm_eps is -1"},
        {"x", "\"rope_theta\":0", SLM_ERR_FORMAT, "rope_theta is 0; it must be from 1"},
        {"x", "\"rope_theta\":1e300", SLM_ERR_FORMAT, "rope_theta is 1e+300"},
        {"x", SCALING("\"type\":\"linear\",\"factor\":0.5"), SLM_ERR_FORMAT,
         "rope_scaling: factor is 0.5"},
        {"x",
         LLAMA3("\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4,"
                "\"original_max_position_embeddings\":512"),
         SLM_ERR_FORMAT, "rope_scaling: high_freq_factor must be above low_freq_factor"},
        {"x",
         LLAMA3("\"factor\":8,\"low_freq_factor\":0,\"high_freq_factor\":4,"
                "\"original_max_position_embeddings\":512"),
         SLM_ERR_FORMAT, "rope_scaling: low_freq_factor is 0"},
        {"x",
         LLAMA3("\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                "\"original_max_position_embeddings\":1e9"),
         SLM_ERR_FORMAT, "rope_scaling: original_max_position_embeddings is 1e+09"},
    };
    slm_buffer text = {0};
    family f = family_shape("llama");
    family_fill(&f, 1);
    family_write_folder(&f, folder);
    family_free(&f);
    slm_tensors *file = NULL;
    assert_int_equal(slm_tensors_open(folder, &file, NULL), SLM_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        slm_error err = {0};
        slm_model_config config = {.layers = 77};
        config_text(cases[i].key, cases[i].member, &text);
        family_write_text(folder, "config.json", slm_buffer_text(&text));
        slm_status status = slm_model_config_read(file, &config, &err);
        if (status != cases[i].status || err.status != status ||
            !strstr(err.message, cases[i].part) || !strstr(err.message, folder))
            fail_msg("%s: wanted %d '%s', got %d: %s", cases[i].member, cases[i].status,
                     cases[i].part, status, err.message);
        assert_int_equal(config.layers, 77);
        assert_int_equal(slm_model_config_read(file, &config, NULL), cases[i].status);
    }
    slm_tensors_close(file);
    slm_buffer_free(&text);
}

static void test_no_configuration(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "null", "{", "{\"a\":1,\"a\":2}", "\xff"};
    slm_error err = {0};
    slm_model_config config;
    slm_tensors *file = NULL;
    char path[256];
    family f = family_shape("llama");
    family_fill(&f, 1);
    family_write_folder(&f, folder);
    family_free(&f);
    family_path(path, folder, "config.json");
    assert_int_equal(slm_tensors_open(folder, &file, NULL), SLM_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        family_write_text(folder, "config.json", texts[i]);
        assert_int_equal(slm_model_config_read(file, &config, &err), SLM_ERR_FORMAT);
        assert_non_null(strstr(err.message, path));
    }
    slm_buffer big = {0}; /* more than any configuration is */
    while (big.len <= MODEL_SETTINGS_MAX_BYTES)
        slm_buffer_append_text(&big, "                                ");
    family_write_text(folder, "config.json", slm_buffer_text(&big));
    assert_int_not_equal(slm_model_config_read(file, &config, &err), SLM_OK);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(slm_model_config_read(file, &config, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    slm_buffer_free(&big);
    slm_tensors_close(file);
}

/* ---- tensors ------------------------------------------------------------------------------- */

static slm_status load(slm_error *err)
{
    slm_device *device = NULL;
    slm_tensors *file = NULL;
    slm_model *model = NULL;
    const slm_device_options device_options = {.kernels = "ref", .threads = 1};
    const slm_model_options options = {.dtype = SLM_F32};
    assert_int_equal(slm_device_open(&device_options, &device, NULL), SLM_OK);
    if (slm_tensors_open(folder, &file, err) != SLM_OK) fail_msg("%s", err->message);
    slm_status status = slm_model_load(device, file, &options, &model, err);
    slm_model_free(model);
    slm_tensors_close(file);
    slm_device_close(device);
    return status;
}

/* The tied model f with one more matrix. */
static void expect_extra(const family *f, const char *name, const char *dtype, int rows,
                         const void *values, size_t bytes, slm_status wanted, const char *part)
{
    st_writer w = {0};
    slm_error err = {0};
    family_tensors(f, false, &w);
    st_add(&w, name, dtype, (uint64_t[]){(uint64_t)rows, (uint64_t)f->d}, 2, values, bytes);
    family_write_tensors(&w, folder, "model.safetensors");
    slm_status status = load(&err);
    if (status != wanted) fail_msg("%s: wanted %d, got %d: %s", name, wanted, status, err.message);
    if (wanted != SLM_OK && (!strstr(err.message, part) || !strstr(err.message, folder)))
        fail_msg("'%s' is not in: %s", part, err.message);
    st_writer_free(&w);
}

static void test_left_over(void **state)
{
    (void)state;
    family f = family_shape("llama");
    f.tied = true;
    family_fill(&f, 1);
    family_write_config(&f, folder);
    size_t items = (size_t)(f.vocabulary * f.d), bytes = items * sizeof(float);
    uint16_t *half = malloc(items * sizeof *half);
    float *head = malloc(bytes);
    SLM_ASSERT(head && half);
    memcpy(head, f.embedding, bytes);
    expect_extra(&f, "lm_head.weight", "F32", f.vocabulary, head, bytes, SLM_OK, "");
    head[items - 1] += 1;
    expect_extra(&f, "lm_head.weight", "F32", f.vocabulary, head, bytes, SLM_ERR_FORMAT,
                 "config.json says tie_word_embeddings true");
    expect_extra(&f, "lm_head.weight", "F32", f.vocabulary - 1, head,
                 bytes - (size_t)f.d * sizeof(float), SLM_ERR_FORMAT, "is another matrix than");
    expect_extra(&f, "lm_head.weight", "I32", f.vocabulary, f.embedding, bytes, SLM_ERR_FORMAT,
                 "is another matrix than");
    /* A copy in another type is one if its numbers are the same. */
    for (size_t i = 0; i < items; i++) {
        half[i] = slm_bf16_from_f32(f.embedding[i]);
        f.embedding[i] = slm_bf16_to_f32(half[i]);
    }
    expect_extra(&f, "lm_head.weight", "BF16", f.vocabulary, half, bytes / 2, SLM_OK, "");
    half[items - 1] ^= 1;
    expect_extra(&f, "lm_head.weight", "BF16", f.vocabulary, half, bytes / 2, SLM_ERR_FORMAT,
                 "is another matrix than");
    expect_extra(&f, "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 1, head,
                 sizeof(float) * (size_t)f.d, SLM_OK, "");
    expect_extra(&f, "model.layers.0.self_attn.q_norm.weight", "F32", 1, head,
                 sizeof(float) * (size_t)f.d, SLM_ERR_UNSUPPORTED,
                 "q_norm.weight is not part of a llama model as this version computes it");
    expect_extra(&f, "model.layers.2.mlp.up_proj.weight", "F32", 1, head,
                 sizeof(float) * (size_t)f.d, SLM_ERR_UNSUPPORTED, "model.layers.2.mlp");
    free(half);
    free(head);
    family_free(&f);
}

static void test_missing_tensors(void **state)
{
    (void)state;
    slm_error err = {0};
    family f = family_shape("qwen2");
    family_fill(&f, 1);
    family_write_folder(&f, folder);
    f.layers = 3;
    family_write_config(&f, folder);
    assert_int_equal(load(&err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "model.layers.2.self_attn.q_proj.weight is missing"));
    f.layers = 2;
    f.type = "qwen3";
    family_write_config(&f, folder);
    assert_int_equal(load(&err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "self_attn.q_norm.weight is missing"));
    f.type = "qwen2";
    free(f.layer[1].bias[FAMILY_K]);
    f.layer[1].bias[FAMILY_K] = NULL;
    family_write_folder(&f, folder);
    assert_int_equal(load(&err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "model.layers.1.self_attn.k_proj.bias is missing"));
    free(f.head);
    f.head = NULL;
    family_write_folder(&f, folder);
    assert_int_equal(load(&err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "lm_head.weight is missing"));
    family_free(&f);
}

static void test_nf4(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 3; i++) {
        family f = family_shape(types[i]);
        slm_tensors *file = NULL;
        st_writer w = {0};
        char name[128];
        f.tied = i == 1;
        family_fill(&f, 5);
        f.extra = ",\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
                  "\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"nf4\"}";
        family_write_config(&f, folder);
        family_tensors(&f, true, &w);
        family_write_tensors(&w, folder, "model.safetensors");
        float *got = oracle_run(folder, NULL, "ref", SLM_F32, ids, ROWS, ROWS);
        /* The oracle with the numbers that the file holds. */
        assert_int_equal(slm_tensors_open(folder, &file, NULL), SLM_OK);
        for (int layer = 0; layer < f.layers; layer++)
            for (int role = 0; role < FAMILY_ROLES; role++) {
                snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer,
                         family_folder_parts[role]);
                assert_int_equal(slm_tensors_find(file, name)->dtype, SLM_NF4);
                family__read_back(file, name, f.layer[layer].w[role]);
            }
        slm_tensors_close(file);
        double *expected = oracle_logits(&f, ids, ROWS);
        double error = oracle_error(got, expected, ROWS, f.vocabulary);
        if (!(error < 1e-5)) fail_msg("%s: relative error %g", f.type, error);
        free(expected);
        free(got);
        st_writer_free(&w);
        family_free(&f);
    }
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++)
        ids[i] = i * 7 % family_shape("llama").vocabulary;
    snprintf(folder, sizeof folder, "/tmp/slm-folder-%d", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    family_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_scaling),
        cmocka_unit_test(test_refused_configurations),
        cmocka_unit_test(test_no_configuration),
        cmocka_unit_test(test_left_over),
        cmocka_unit_test(test_missing_tensors),
        cmocka_unit_test(test_nf4),
    };
    return cmocka_run_group_tests_name("model/folder", tests, setup, teardown);
}
