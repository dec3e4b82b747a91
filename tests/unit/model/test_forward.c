/* test_forward.c: the forward against an independent one in double precision (forward_oracle.h):
 * every family, every way of scaling rotary frequencies, biases, norms of q and k, tied and own head,
 * quantised files; from GGUF and from folders; on every kernel path of this machine in f32 and bf16,
 * whole prompts and chunks, with and without an adapter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_oracle.h"

enum { ROWS = 150 };

/* With random weights bf16's rounding (2^-9 a number) grows to some percent in the worst of 150 rows;
 * a wrong layout or a lost term gives an error near 1. */
enum { BF16_PERCENT = 10 };
static const double F32_LIMIT = 1e-5;

static char gguf[64], folder[64], adapter[64];
static int32_t ids[ROWS];

static void check_file(const family *f, const char *path, const char *beside)
{
    static const char *const paths[] = {"ref", "avx2", "avx512", "avx512bf16", "amx"};
    double *expected = oracle_logits(f, ids, ROWS);
    for (size_t p = 0; p < sizeof paths / sizeof paths[0]; p++)
        for (int half = 0; half < 2; half++) {
            slm_dtype dtype = half ? SLM_BF16 : SLM_F32;
            float *whole = oracle_run(path, beside, paths[p], dtype, ids, ROWS, ROWS);
            if (!whole) continue;
            double error = oracle_error(whole, expected, ROWS, f->vocabulary);
            if (!(error < (half ? BF16_PERCENT / 100.0 : F32_LIMIT)))
                fail_msg("%s of %s, %s %s: relative error %g", path, f->type, paths[p],
                         half ? "bf16" : "f32", error);
            for (int chunk = 1; chunk < 100; chunk = chunk * 7 + 6) {
                float *chunked = oracle_run(path, beside, paths[p], dtype, ids, ROWS, chunk);
                assert_memory_equal(whole, chunked, sizeof(float) * ROWS * (size_t)f->vocabulary);
                free(chunked);
            }
            free(whole);
        }
    free(expected);
}

/* As GGUF with matrices of `dtype` and, if F32, as a folder. */
static void check(family *f, slm_dtype dtype)
{
    family_fill(f, 7);
    family_write_gguf(f, dtype, gguf);
    check_file(f, gguf, NULL);
    if (dtype == SLM_F32 && !f->table) {
        family_write_folder(f, folder);
        check_file(f, folder, NULL);
    }
    family_free(f);
}

static void test_llama(void **state)
{
    (void)state;
    family f = family_shape("llama");
    f.tied = true;
    f.layers = 3;
    check(&f, SLM_F32);
}

static void test_llama_biases_linear(void **state)
{
    (void)state;
    family f = family_shape("llama");
    f.qkv_bias = f.output_bias = true;
    f.scaling = SLM_ROPE_LINEAR;
    f.factor = 4;
    f.kv_heads = 1;
    check(&f, SLM_F32);
}

static void test_llama3_scaling(void **state)
{
    (void)state;
    for (int new_style = 0; new_style < 2; new_style++) {
        family f = family_shape("llama");
        f.head_dim = 16; /* of 8 frequencies some in each of the three bands */
        f.base = 5000;
        f.scaling = SLM_ROPE_LLAMA3;
        f.factor = 8, f.low = 1, f.high = 4, f.original = 128;
        f.tied = f.new_style = new_style;
        int kept = 0, divided = 0;
        for (int i = 0; i < 8; i++) {
            double part = oracle_frequency(&f, i) / pow(f.base, -i / 8.0);
            kept += part > 0.999;
            divided += part < 0.126;
        }
        assert_in_range(kept, 1, 6);
        assert_in_range(divided, 1, 7 - kept);
        family_fill(&f, 7);
        family_write_folder(&f, folder);
        check_file(&f, folder, NULL);
        family_free(&f);
    }
}

static void test_table(void **state)
{
    (void)state;
    family f = family_shape("llama");
    const float table[4] = {1, 1.5f, 4, 8};
    f.scaling = SLM_ROPE_TABLE;
    f.table = malloc(sizeof table);
    SLM_ASSERT(f.table);
    memcpy(f.table, table, sizeof table);
    check(&f, SLM_F32);
}

static void test_qwen2(void **state)
{
    (void)state;
    family f = family_shape("qwen2");
    f.base = 1e6;
    f.tied = f.new_style = true;
    check(&f, SLM_F32);
}

static void test_qwen2_linear_own_head(void **state)
{
    (void)state;
    family f = family_shape("qwen2");
    f.scaling = SLM_ROPE_LINEAR;
    f.factor = 2;
    f.new_style = true;
    check(&f, SLM_F32);
}

static void test_qwen3(void **state)
{
    (void)state;
    family f = family_shape("qwen3");
    f.base = 1e6;
    check(&f, SLM_F32);
    f = family_shape("qwen3");
    f.tied = true;
    f.qkv_bias = f.output_bias = true;
    check(&f, SLM_F32);
}

static void test_quantised(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    static const slm_dtype dtypes[] = {SLM_Q4_1, SLM_Q8_0, SLM_F16};
    for (int i = 0; i < 3; i++) {
        family f = family_shape(types[i]);
        f.d = 64;
        f.head_dim = 16;
        f.feed = 96;
        f.tied = i == 1;
        check(&f, dtypes[i]);
    }
}

static void test_adapter(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 3; i++) {
        family f = family_shape(types[i]);
        f.tied = i == 1;
        family_fill(&f, 7);
        family_adapter_fill(&f, 3);
        family_adapter_write(&f, adapter, 6, i == 2);
        family_write_gguf(&f, SLM_F32, gguf);
        check_file(&f, gguf, adapter);
        family_write_folder(&f, folder);
        check_file(&f, folder, adapter);
        family_free(&f);
    }
}

static int setup(void **state)
{
    (void)state;
    slm_random random = slm_random_new(3, 3);
    for (int i = 0; i < ROWS; i++)
        ids[i] = (int32_t)slm_random_below(&random, (uint64_t)family_shape("llama").vocabulary);
    snprintf(gguf, sizeof gguf, "/tmp/slm-forward-%d.gguf", (int)getpid());
    snprintf(folder, sizeof folder, "/tmp/slm-forward-%d", (int)getpid());
    snprintf(adapter, sizeof adapter, "/tmp/slm-forward-%d-lora", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    family_remove(folder);
    family_remove(adapter);
    return unlink(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),          cmocka_unit_test(test_llama_biases_linear),
        cmocka_unit_test(test_llama3_scaling), cmocka_unit_test(test_table),
        cmocka_unit_test(test_qwen2),          cmocka_unit_test(test_qwen2_linear_own_head),
        cmocka_unit_test(test_qwen3),          cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_adapter),
    };
    return cmocka_run_group_tests_name("model/forward", tests, setup, teardown);
}
