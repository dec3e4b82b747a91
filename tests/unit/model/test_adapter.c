/* test_adapter.c: LoRA adapters in PEFT's layout: beside the weights they give what merged weights
 * give, from a folder and from a GGUF whose q and k are reordered; what cannot be used is refused,
 * with a message that names the file, and leaves a model that works as without an adapter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "forward_oracle.h"
#include "model/model_internal.h"

enum { ROWS = 100, RANK = 3 };

static char gguf[64], folder[64], merged[64], adapter[64];
static int32_t ids[ROWS];

static float *logits(const char *path, const char *beside, slm_dtype dtype)
{
    return oracle_run(path, beside, "ref", dtype, ids, ROWS, ROWS);
}

static void check_near(float *got, float *expected, double limit, const char *what)
{
    double error = oracle_distance(got, expected, ROWS, family_shape("llama").vocabulary);
    if (!(error < limit)) fail_msg("%s: relative error %g", what, error);
    free(got);
    free(expected);
}

/* ---- what it computes ---------------------------------------------------------------------- */

static void test_merged(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 3; i++) {
        family f = family_shape(types[i]);
        family_fill(&f, 11);
        family_adapter_fill(&f, RANK);
        family_adapter_write(&f, adapter, 7.5, i == 1);
        family_write_folder(&f, folder);
        family_write_gguf(&f, SLM_F32, gguf);
        float *plain = logits(folder, NULL, SLM_F32), *with = logits(folder, adapter, SLM_F32);
        /* The adapter matters, or the rest would prove nothing. */
        assert_true(oracle_distance(with, plain, ROWS, f.vocabulary) > 0.1);
        check_near(logits(gguf, NULL, SLM_F32), plain, 1e-5, "GGUF against folder");
        family_merge(&f);
        family_write_folder(&f, merged);
        float *whole = logits(merged, NULL, SLM_F32);
        check_near(logits(gguf, adapter, SLM_F32), whole, 1e-5, "adapter beside GGUF");
        check_near(with, logits(merged, NULL, SLM_F32), 1e-5, "adapter beside folder");
        /* bf16 over all rows together: in a random model a single row may magnify its rounding. */
        float *half = logits(folder, adapter, SLM_BF16);
        whole = logits(merged, NULL, SLM_F32);
        assert_true(oracle_distance(half, whole, 1, ROWS * f.vocabulary) < 0.1);
        free(half);
        free(whole);
        family_free(&f);
    }
}

/* The same Llama as GGUF and as folder, with all that changes q and k: rows and biases reordered, a
 * table of factors for Llama 3's scaling. */
static void test_same_model_in_both_files(void **state)
{
    (void)state;
    family f = family_shape("llama");
    f.head_dim = 16;
    f.qkv_bias = f.output_bias = true;
    f.scaling = SLM_ROPE_LLAMA3;
    f.base = 5000;
    f.factor = 8, f.low = 1, f.high = 4, f.original = 128;
    family_fill(&f, 12);
    family_adapter_fill(&f, RANK);
    family_adapter_write(&f, adapter, 6, false);
    family_write_folder(&f, folder);
    float *table = malloc(sizeof *table * 8);
    SLM_ASSERT(table);
    for (int i = 0; i < 8; i++)
        table[i] = (float)(pow(f.base, -i / 8.0) / oracle_frequency(&f, i));
    f.table = table;
    family_write_gguf(&f, SLM_F32, gguf);
    check_near(logits(gguf, NULL, SLM_F32), logits(folder, NULL, SLM_F32), 1e-5, "alone");
    check_near(logits(gguf, adapter, SLM_F32), logits(folder, adapter, SLM_F32), 1e-5,
               "with adapter");
    family_free(&f);
}

static void test_zero_and_negative_alpha(void **state)
{
    (void)state;
    family f = family_shape("qwen3");
    family_fill(&f, 11);
    family_adapter_fill(&f, RANK);
    family_write_folder(&f, folder);
    family_adapter_write(&f, adapter, 0, false);
    check_near(logits(folder, adapter, SLM_F32), logits(folder, NULL, SLM_F32), 1e-9, "alpha 0");
    family_adapter_write(&f, adapter, -3, false);
    family_merge(&f);
    family_write_folder(&f, merged);
    check_near(logits(folder, adapter, SLM_F32), logits(merged, NULL, SLM_F32), 1e-5, "alpha -3");
    family_free(&f);
}

/* ---- settings ------------------------------------------------------------------------------ */

static void test_settings(void **state)
{
    (void)state;
    slm_error err = {0};
    model__adapter_config config = {0};
    static const char text[] = "\xef\xbb\xbf{\"peft_type\":\"LORA\",\"r\":16,\"lora_alpha\":32,"
                               "\"use_rslora\":true,\"use_dora\":false,\"use_bdlora\":null,"
                               "\"bias\":\"none\",\"init_lora_weights\":\"gaussian\","
                               "\"rank_pattern\":{},\"modules_to_save\":[]}";
    if (model__adapter_parse(text, strlen(text), "a", &config, &err) != SLM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(config.rank, 16);
    assert_true(config.alpha == 32.0);
    assert_true(config.rank_stabilised);
}

static void test_refused_settings(void **state)
{
    (void)state;
    static const struct {
        const char *extra, *part;
        slm_status status;
    } cases[] = {
        {",\"use_dora\":true", "use_dora is not supported", SLM_ERR_UNSUPPORTED},
        {",\"use_qalora\":true", "use_qalora is not supported", SLM_ERR_UNSUPPORTED},
        {",\"use_bdlora\":{\"nblocks\":2}", "use_bdlora is not supported", SLM_ERR_UNSUPPORTED},
        {",\"bias\":\"lora_only\"", "bias is not supported", SLM_ERR_UNSUPPORTED},
        {",\"bias\":\"all\"", "bias is not supported", SLM_ERR_UNSUPPORTED},
        {",\"bias\":1", "bias: expected a string", SLM_ERR_FORMAT},
        {",\"lora_bias\":true", "lora_bias is not supported", SLM_ERR_UNSUPPORTED},
        {",\"rank_pattern\":{\"q_proj\":4}", "rank_pattern is not", SLM_ERR_UNSUPPORTED},
        {",\"layer_replication\":[[0,2]]", "layer_replication is not", SLM_ERR_UNSUPPORTED},
        {",\"trainable_token_indices\":[1]", "trainable_token_indices", SLM_ERR_UNSUPPORTED},
        {",\"target_parameters\":[\"x\"]", "target_parameters", SLM_ERR_UNSUPPORTED},
        {",\"alora_invocation_tokens\":[1]", "alora_invocation_tokens", SLM_ERR_UNSUPPORTED},
        {",\"init_lora_weights\":\"pissa\"", "init_lora_weights 'pissa'", SLM_ERR_UNSUPPORTED},
        {",\"init_lora_weights\":\"pissa_niter_4\"", "'pissa_niter_4'", SLM_ERR_UNSUPPORTED},
        {",\"init_lora_weights\":\"olora\"", "init_lora_weights 'olora'", SLM_ERR_UNSUPPORTED},
        {",\"init_lora_weights\":7", "init_lora_weights", SLM_ERR_UNSUPPORTED},
    };
    static const struct {
        const char *text, *part;
        slm_status status;
    } whole[] = {
        {"[]", "expected an object", SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\"", "not valid JSON", SLM_ERR_FORMAT},
        {"{\"r\":4,\"lora_alpha\":8}", "peft_type: missing", SLM_ERR_FORMAT},
        {"{\"peft_type\":\"IA3\"}", "peft_type 'IA3' is not supported", SLM_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":8}", "r: missing", SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":4}", "lora_alpha: missing", SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":4.5,\"lora_alpha\":8}", "whole number", SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":8}", "r is 0; it must", SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":65537,\"lora_alpha\":8}", "r is 65537", SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":1e300}", "lora_alpha is 1e+300",
         SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":\"8\"}", "lora_alpha: expected a number",
         SLM_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"fan_in_fan_out\":true}",
         "fan_in_fan_out is not supported", SLM_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"alpha_pattern\":{\"q_proj\":1}}",
         "alpha_pattern is not supported", SLM_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"modules_to_save\":[\"lm_head\"]}",
         "modules_to_save is not supported by this version; merge the adapter with PEFT",
         SLM_ERR_UNSUPPORTED},
    };
    const family f = {.rank = 4};
    slm_buffer text = {0};
    size_t count = sizeof cases / sizeof cases[0];
    for (size_t i = 0; i < count + sizeof whole / sizeof whole[0]; i++) {
        slm_error err = {0};
        model__adapter_config config = {0};
        slm_buffer_truncate(&text, 0);
        if (i < count)
            family_adapter_json(&f, 8, false, cases[i].extra, &text);
        else
            slm_buffer_append_text(&text, whole[i - count].text);
        slm_status wanted = i < count ? cases[i].status : whole[i - count].status;
        const char *part = i < count ? cases[i].part : whole[i - count].part;
        slm_status status =
            model__adapter_parse(slm_buffer_text(&text), text.len, "dir/a.json", &config, &err);
        if (status != wanted || err.status != wanted || !strstr(err.message, part) ||
            strncmp(err.message, "dir/a.json:", 11) != 0)
            fail_msg("wanted %d '%s', got %d: %s", wanted, part, status, err.message);
        assert_int_equal(model__adapter_parse(slm_buffer_text(&text), text.len, "a", &config, NULL),
                         wanted);
    }
    slm_buffer_free(&text);
}

/* ---- tensors ------------------------------------------------------------------------------- */

static slm_device *device;
static slm_model *model;

/* Loads what is in `adapter`, and expects an error that names its tensors' file. */
static void expect_refused(slm_status wanted, const char *part)
{
    slm_error err = {0};
    uint64_t bytes = slm_model_weight_bytes(model);
    slm_status status = slm_model_load_adapter(model, adapter, &err);
    if (status != wanted || !strstr(err.message, part) || !strstr(err.message, adapter))
        fail_msg("wanted %d '%s', got %d: %s", wanted, part, status, err.message);
    assert_int_equal(slm_model_adapter_rank(model), 0);
    assert_int_equal(slm_model_adapter_matrices(model), 0);
    assert_true(bytes == slm_model_weight_bytes(model));
}

static void expect_tensors(const st_writer *w, slm_status wanted, const char *part)
{
    family_write_tensors(w, adapter, "adapter_model.safetensors");
    expect_refused(wanted, part);
}

#define LAYER "base_model.model.model.layers."

static void add(st_writer *w, const char *name, int rows, int columns)
{
    static const float zeros[4096];
    SLM_ASSERT(rows * (columns ? columns : 1) <= 4096);
    family__add(w, name, rows, columns, zeros);
}

static void test_refused_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rows, columns;
        slm_status status;
        const char *part;
    } cases[] = {
        /* A alone, B alone, the wrong rank, the wrong side, a vector. */
        {LAYER "1.mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_FORMAT,
         "layer 1 has lora_A of mlp.up_proj without its other half"},
        {LAYER "0.self_attn.q_proj.lora_B.weight", 32, 3, SLM_ERR_FORMAT,
         "layer 0 has lora_B of self_attn.q_proj without its other half"},
        {LAYER "0.self_attn.k_proj.lora_A.weight", 4, 32, SLM_ERR_FORMAT,
         "k_proj.lora_A.weight has shape [4, 32]; rank and model ask for [3, 32]"},
        {LAYER "0.self_attn.k_proj.lora_A.weight", 3, 31, SLM_ERR_FORMAT, "has shape [3, 31]"},
        {LAYER "0.self_attn.k_proj.lora_B.weight", 32, 3, SLM_ERR_FORMAT,
         "has shape [32, 3]; rank and model ask for [16, 3]"},
        {LAYER "0.self_attn.k_proj.lora_B.weight", 48, 0, SLM_ERR_FORMAT, "has shape [48, 1]"},
        /* Names that mean nothing here. */
        {LAYER "2.mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "is no half of a LoRA"},
        {LAYER "00.mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER "+1.mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER " 1.mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER "-1.mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER ".mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER "1", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER "99999999999999999999.mlp.up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED,
         "is no half"},
        {LAYER "1.mlp.up_proj.lora_magnitude_vector", 44, 0, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER "1.mlp.up_proj.lora_A.weight.x", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {LAYER "1.mlp.gate_up_proj.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "is no half"},
        {"base_model.model.lm_head.lora_A.weight", 3, 32, SLM_ERR_UNSUPPORTED, "lm_head"},
        {"base_model.model.model.embed_tokens.weight", 61, 32, SLM_ERR_UNSUPPORTED, "embed_tokens"},
    };
    family f = family_shape("llama");
    f.rank = RANK;
    family_adapter_write(&(family){.type = "llama", .rank = RANK}, adapter, 6, false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        st_writer w = {0};
        /* A good pair in front, which must not stay. */
        add(&w, LAYER "0.mlp.down_proj.lora_A.weight", RANK, f.feed);
        add(&w, LAYER "0.mlp.down_proj.lora_B.weight", f.d, RANK);
        add(&w, cases[i].name, cases[i].rows, cases[i].columns);
        expect_tensors(&w, cases[i].status, cases[i].part);
        st_writer_free(&w);
    }
    st_writer w = {0};
    expect_tensors(&w, SLM_ERR_FORMAT, "holds no LoRA tensors");
    const int64_t whole[RANK * 32] = {0};
    st_add(&w, LAYER "0.self_attn.q_proj.lora_A.weight", "I64", (uint64_t[]){RANK, 32}, 2, whole,
           sizeof whole);
    expect_tensors(&w, SLM_ERR_UNSUPPORTED, "q_proj.lora_A.weight: numbers of type I64");
    st_writer_free(&w);
    st_add(&w, LAYER "0.self_attn.q_proj.lora_B.weight", "I64", (uint64_t[]){32, RANK}, 2, whole,
           sizeof whole);
    expect_tensors(&w, SLM_ERR_UNSUPPORTED, "q_proj.lora_B.weight: ");
    st_writer_free(&w);
}

static void test_missing_files(void **state)
{
    (void)state;
    char path[256];
    family f = family_shape("llama");
    f.rank = RANK;
    family_adapter_write(&f, adapter, 6, false);
    family_path(path, adapter, "adapter_model.safetensors");
    assert_int_equal(unlink(path), 0);
    expect_refused(SLM_ERR_NOT_FOUND, "adapter_model.safetensors");
    char hex[65];
    slm_error err = {0};
    assert_int_equal(slm_model_adapter_sha256(adapter, hex, &err), SLM_ERR_NOT_FOUND);
    family_path(path, adapter, "adapter_config.json");
    assert_int_equal(unlink(path), 0);
    expect_refused(SLM_ERR_NOT_FOUND, "adapter_config.json");
    family_remove(adapter);
    expect_refused(SLM_ERR_NOT_FOUND, "no such folder; behind + stands the folder of an adapter");
    assert_int_equal(slm_file_make_folders(adapter, &err), SLM_OK);

    slm_buffer big = {0}; /* settings that would take more memory than they are worth */
    slm_buffer_append_text(&big, "{\"x\":[");
    while (big.len <= MODEL_SETTINGS_MAX_BYTES)
        slm_buffer_append_text(&big, "0,0,0,0,0,0,0,0,");
    slm_buffer_append_text(&big, "0]}");
    family_write_text(adapter, "adapter_config.json", slm_buffer_text(&big));
    slm_status status = slm_model_load_adapter(model, adapter, &err);
    assert_int_not_equal(status, SLM_OK);
    assert_non_null(strstr(err.message, "adapter_config.json"));
    slm_buffer_free(&big);
}

/* Named a folder too high, or weights where an adapter goes: what to name instead. */
static void test_near_folders_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *named, *wanted; /* below `adapter` */
    } cases[] = {
        {"best/adapter_config.json", "", "/best"},
        {"best/adapter_config.json", "/", "/best"},
        {"last/adapter_config.json", "", "/last"},
        {"sft/best/adapter_config.json", "", "/sft/best"},
        {"interpolated/adapter_config.json", "", "/interpolated"},
        {"model/config.json", "", "/model: name that alone"},
    };
    char path[256], named[256], wanted[320], file[256];
    family_remove(adapter);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        slm_error err = {0};
        snprintf(path, sizeof path, "%s/%s", adapter, cases[i].file);
        *strrchr(path, '/') = '\0';
        assert_int_equal(slm_file_make_folders(path, &err), SLM_OK);
        family_write_text(path, strrchr(cases[i].file, '/') + 1, "{}");
        snprintf(named, sizeof named, "%s%s", adapter, cases[i].named);
        snprintf(wanted, sizeof wanted, " %s%s", adapter, cases[i].wanted);
        assert_int_equal(slm_model_load_adapter(model, named, &err), SLM_ERR_NOT_FOUND);
        if (!strstr(err.message, wanted)) fail_msg("%s\nwithout %s", err.message, wanted);
        snprintf(file, sizeof file, "%s/%s", adapter, cases[i].file);
        assert_int_equal(remove(file), 0);
        for (; strlen(path) > strlen(adapter); *strrchr(path, '/') = '\0')
            assert_int_equal(remove(path), 0);
    }
    slm_error err = {0};
    snprintf(path, sizeof path, "%s/best", adapter);
    assert_int_equal(slm_model_find_adapter(path, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "no such folder; behind + stands"));
    /* All weights: a checkpoint's are not a model yet. */
    assert_int_equal(slm_file_make_folders(path, &err), SLM_OK);
    family_write_text(path, "model.safetensors", "x");
    assert_int_equal(slm_model_find_adapter(path, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "it has no adapter_config.json"));
    snprintf(named, sizeof named, "%s/model", adapter);
    assert_int_equal(slm_file_make_folders(named, &err), SLM_OK);
    family_write_text(named, "config.json", "{}");
    assert_int_equal(slm_model_find_adapter(path, &err), SLM_ERR_NOT_FOUND);
    snprintf(wanted, sizeof wanted, "the whole model is %s: name", named);
    if (!strstr(err.message, wanted)) fail_msg("%s\nwithout %s", err.message, wanted);
    assert_int_equal(slm_model_find_adapter(named, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "is a whole model, no adapter; name it alone"));
    family_remove(path);
    family_remove(named);
    assert_int_equal(slm_file_make_folders(adapter, &err), SLM_OK);
}

/* After all that was refused, a good one; and its identity. */
static void test_good_after_refused(void **state)
{
    (void)state;
    slm_error err = {0};
    char one[65], again[65], other[65];
    family f = family_shape("llama");
    family_fill(&f, 11);
    family_adapter_fill(&f, RANK);
    family_adapter_write(&f, adapter, 6, false);
    uint64_t bytes = slm_model_weight_bytes(model);
    if (slm_model_load_adapter(model, adapter, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_int_equal(slm_model_adapter_rank(model), RANK);
    assert_int_equal(slm_model_adapter_matrices(model), 2 * 7 - 1);
    assert_true(slm_model_weight_bytes(model) > bytes);
    assert_int_equal(slm_model_adapter_sha256(adapter, one, &err), SLM_OK);
    assert_int_equal(slm_model_adapter_sha256(adapter, again, &err), SLM_OK);
    assert_string_equal(one, again);
    family_adapter_write(&f, adapter, 7, false);
    assert_int_equal(slm_model_adapter_sha256(adapter, other, &err), SLM_OK);
    assert_string_not_equal(one, other);
    family_free(&f);
}

static int setup(void **state)
{
    (void)state;
    slm_random random = slm_random_new(3, 3);
    slm_tensors *file = NULL;
    const slm_device_options device_options = {.kernels = "ref", .threads = 1};
    const slm_model_options options = {.dtype = SLM_F32};
    int process = (int)getpid();
    for (int i = 0; i < ROWS; i++)
        ids[i] = (int32_t)slm_random_below(&random, (uint64_t)family_shape("llama").vocabulary);
    snprintf(gguf, sizeof gguf, "/tmp/slm-adapter-%d.gguf", process);
    snprintf(folder, sizeof folder, "/tmp/slm-adapter-%d-base", process);
    snprintf(merged, sizeof merged, "/tmp/slm-adapter-%d-merged", process);
    snprintf(adapter, sizeof adapter, "/tmp/slm-adapter-%d-lora", process);
    family f = family_shape("llama");
    family_fill(&f, 11);
    family_write_gguf(&f, SLM_F32, gguf);
    family_free(&f);
    if (slm_device_open(&device_options, &device, NULL) != SLM_OK) return -1;
    if (slm_tensors_open(gguf, &file, NULL) != SLM_OK) return -1;
    slm_status status = slm_model_load(device, file, &options, &model, NULL);
    slm_tensors_close(file);
    return status == SLM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    slm_model_free(model);
    slm_device_close(device);
    family_remove(folder);
    family_remove(merged);
    family_remove(adapter);
    return unlink(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_same_model_in_both_files),
        cmocka_unit_test(test_zero_and_negative_alpha),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_refused_settings),
        cmocka_unit_test(test_refused_tensors),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_near_folders_are_named),
        cmocka_unit_test(test_good_after_refused),
    };
    return cmocka_run_group_tests_name("model/adapter", tests, setup, teardown);
}
