/* test_quantised.c: a model whose weights are kept quantised gives the logits of the one whose weights
 * are widened, to the bit: formats, families, tied and own heads, adapters, on every path; and both
 * take the memory that was foretold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "forward_oracle.h"

enum { ROWS = 35, RANK = 3 };

static char gguf[64], adapter[64], folder[64];
static int32_t ids[ROWS];

static const char *const paths[] = {"ref", "avx2", "avx512", "avx512bf16", "amx"};
static const slm_dtype formats[] = {SLM_Q8_0, SLM_Q4_0, SLM_Q4_1, SLM_Q5_0,
                                    SLM_Q5_1, SLM_Q4_K, SLM_Q5_K, SLM_Q6_K};
enum { PATHS = 5, FORMATS = 8 };

static void write_model(const char *type, slm_dtype format, bool tied)
{
    family f = family_shape(type);
    f.d = f.feed = 256;
    f.head_dim = 64;
    f.tied = tied;
    family_fill(&f, 11);
    family_adapter_fill(&f, RANK);
    family_adapter_write(&f, adapter, 6, false);
    family_write_gguf(&f, format, gguf);
    family_free(&f);
}

/* Rows by chunks: many at once, then few, then one. */
static void compare_at(const char *path, const char *kernels, slm_dtype dtype, const char *beside)
{
    static const int chunks[] = {ROWS, 17, 1};
    const slm_model_options kept = {.dtype = dtype, .keep_quantised = true},
                            wide = {.dtype = dtype};
    for (int c = 0; c < 3; c++) {
        float *a = oracle_run_as(path, beside, kernels, &kept, ids, ROWS, chunks[c]);
        float *b = oracle_run_as(path, beside, kernels, &wide, ids, ROWS, chunks[c]);
        assert_int_equal(a == NULL, b == NULL);
        size_t count = (size_t)(ROWS * family_shape("llama").vocabulary);
        for (size_t i = 0; a && i < count; i++)
            if (memcmp(&a[i], &b[i], sizeof *a) != 0)
                fail_msg("%s, chunks of %d: logit %zu is %.9g, widened %.9g", kernels, chunks[c], i,
                         (double)a[i], (double)b[i]);
        free(a);
        free(b);
    }
}

static void compare(const char *kernels, slm_dtype dtype, const char *beside)
{
    compare_at(gguf, kernels, dtype, beside);
}

static void test_formats(void **state)
{
    (void)state;
    for (int i = 0; i < FORMATS; i++) {
        write_model("llama", formats[i], i % 2 == 0);
        for (int p = 1; p < PATHS; p++)
            compare(paths[p], SLM_BF16, NULL);
        compare(paths[1], SLM_F32, NULL);
        compare(paths[2], SLM_F32, NULL);
    }
}

static void test_families_and_adapters(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 3; i++) {
        write_model(types[i], formats[3 * i], i == 1);
        for (int p = 0; p < PATHS; p++) {
            compare(paths[p], SLM_BF16, adapter);
            if (p < 2) compare(paths[p], SLM_F32, adapter);
        }
    }
}

/* A folder as bitsandbytes saves it: its matrices NF4, the embedding not. */
static void test_nf4_folder(void **state)
{
    (void)state;
    family f = family_shape("qwen2");
    st_writer w = {0};
    f.d = f.feed = 192;
    f.head_dim = 48;
    f.extra = ",\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
              "\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"nf4\"}";
    family_fill(&f, 5);
    family_write_config(&f, folder);
    family_tensors(&f, true, &w);
    family_write_tensors(&w, folder, "model.safetensors");
    for (int p = 0; p < PATHS; p++) {
        compare_at(folder, paths[p], SLM_BF16, NULL);
        if (p < 3) compare_at(folder, paths[p], SLM_F32, NULL);
    }
    st_writer_free(&w);
    family_free(&f);
}

/* What slm_model_file_weight_bytes foretells is what is taken. */
static void test_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * FORMATS; i++) {
        const bool tied = i % 2 != 0;
        slm_error err = {0};
        slm_tensors *file = NULL;
        slm_model_config config;
        write_model("qwen2", formats[i / 2], tied);
        assert_int_equal(slm_tensors_open(gguf, &file, &err), SLM_OK);
        assert_int_equal(slm_model_config_read(file, &config, &err), SLM_OK);
        assert_true(slm_model_file_is_quantised(file));
        uint64_t bytes[2];
        for (int keep = 0; keep < 2; keep++) {
            slm_device *device = NULL;
            slm_model *model = NULL;
            const slm_model_options options = {.dtype = SLM_BF16, .keep_quantised = keep != 0};
            assert_int_equal(slm_device_open(NULL, &device, &err), SLM_OK);
            assert_int_equal(slm_model_load(device, file, &options, &model, &err), SLM_OK);
            bytes[keep] = slm_model_weight_bytes(model);
            assert_true(slm_model_keeps_quantised(model) == (keep != 0));
            /* ref pads no rows to 16 */
            uint64_t foretold = slm_model_file_weight_bytes(file, &config, &options);
            if (strcmp(slm_device_kernels(device), "ref") == 0)
                assert_in_range(foretold, bytes[keep], bytes[keep] * 103 / 100);
            else
                assert_true(bytes[keep] == foretold);
            assert_true(bytes[keep] == slm_device_bytes(device));
            assert_true((slm_model_lookup_bytes(model) == 0) == tied);
            slm_model_free(model);
            assert_int_equal(slm_device_bytes(device), 0);
            slm_device_close(device);
        }
        assert_true(bytes[1] * 4 < bytes[0] * 3);
        slm_tensors_close(file);
    }
}

/* A file without quantised tensors: nothing changes. */
static void test_plain_file(void **state)
{
    (void)state;
    slm_tensors *file = NULL;
    slm_model_config config;
    slm_model_options options = {.dtype = SLM_BF16};
    write_model("llama", SLM_F16, true);
    assert_int_equal(slm_tensors_open(gguf, &file, NULL), SLM_OK);
    assert_int_equal(slm_model_config_read(file, &config, NULL), SLM_OK);
    assert_false(slm_model_file_is_quantised(file));
    uint64_t wide = slm_model_file_weight_bytes(file, &config, &options);
    options.keep_quantised = true;
    assert_true(slm_model_file_weight_bytes(file, &config, &options) == wide);
    slm_tensors_close(file);
    compare(paths[1], SLM_BF16, NULL);
}

static int setup(void **state)
{
    (void)state;
    slm_random random = slm_random_new(3, 3);
    for (int i = 0; i < ROWS; i++)
        ids[i] = (int32_t)slm_random_below(&random, (uint64_t)family_shape("llama").vocabulary);
    snprintf(gguf, sizeof gguf, "/tmp/slm-quantised-%d.gguf", (int)getpid());
    snprintf(folder, sizeof folder, "/tmp/slm-quantised-%d-nf4", (int)getpid());
    snprintf(adapter, sizeof adapter, "/tmp/slm-quantised-%d-lora", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    family_remove(adapter);
    family_remove(folder);
    return unlink(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),    cmocka_unit_test(test_families_and_adapters),
        cmocka_unit_test(test_nf4_folder), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_plain_file),
    };
    return cmocka_run_group_tests_name("model/quantised", tests, setup, teardown);
}
