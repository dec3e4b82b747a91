/* test_dequantise.c: block formats against what their own Python packages make of the same bytes, to
 * the bit (tests/golden/dequantise.gguf and nf4.safetensors, made by
 * tools/make-dequantisation-goldens.py; other files of that tool may be given as arguments), and
 * what the test suite's own quantiser writes read back within the formats' steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gguf_writer.h"
#include "tensor/tensor_internal.h"

static const char *paths[2] = {"tests/golden/dequantise.gguf", "tests/golden/nf4.safetensors"};

static float *read_all(const slm_tensor *tensor)
{
    size_t items = slm_tensor_items(tensor);
    float *values = malloc(items * sizeof(float));
    assert_non_null(values);
    slm_tensor_read(tensor, 0, items, values);
    return values;
}

/* Pieces of rows that begin and end anywhere read as the whole does. */
static void check_pieces(const slm_tensor *tensor, const float *whole)
{
    size_t items = slm_tensor_items(tensor), step = slm_dtype_block_items(tensor->dtype);
    if (tensor->dtype == SLM_NF4) step = 1;
    float piece[1000];
    for (size_t at = 0; at < items; at += 61 * step) {
        size_t len = (at / step % 7 * 31 + 1) * step;
        if (len > 1000) len = step;
        if (len > items - at) len = items - at;
        slm_tensor_read(tensor, at, len, piece);
        assert_memory_equal(piece, whole + at, len * sizeof(float));
    }
}

/* How many tensors X with X.expected the file has. */
static size_t check_file(const char *path)
{
    slm_tensors *file = NULL;
    slm_error err = {0};
    size_t compared = 0;
    if (slm_tensors_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < slm_tensors_count(file); i++) {
        char name[128];
        const slm_tensor *tensor = slm_tensors_at(file, i);
        snprintf(name, sizeof(name), "%.100s.expected", tensor->name);
        const slm_tensor *expected = slm_tensors_find(file, name);
        if (expected == NULL) continue;
        size_t items = slm_tensor_items(tensor);
        assert_int_equal(items, slm_tensor_items(expected));
        float *got = read_all(tensor), *want = read_all(expected);
        for (size_t n = 0; n < items; n++)
            if (memcmp(&got[n], &want[n], sizeof(float)) != 0)
                fail_msg("%s: %s[%zu] is %.9g, not %.9g", path, tensor->name, n, (double)got[n],
                         (double)want[n]);
        check_pieces(tensor, got);
        free(got);
        free(want);
        compared++;
    }
    slm_tensors_close(file);
    return compared;
}

static void test_peers_gguf(void **state)
{
    (void)state;
    assert_int_equal(check_file(paths[0]), 8);
}

static void test_peers_nf4(void **state)
{
    (void)state;
    assert_int_equal(check_file(paths[1]), 4);
}

/* NF4 tensors as the golden file has them: one each, with the shape of the state. */
static void test_nf4_listing(void **state)
{
    (void)state;
    slm_tensors *file = NULL;
    slm_error err = {0};
    assert_int_equal(slm_tensors_open("tests/golden/nf4.safetensors", &file, &err), SLM_OK);
    assert_int_equal(slm_tensors_count(file), 8);
    const slm_tensor *t = slm_tensors_find(file, "bf16");
    assert_int_equal(t->dtype, SLM_NF4);
    assert_int_equal(t->dims, 2);
    assert_int_equal(t->shape[0], 86);
    assert_int_equal(t->shape[1], 96);
    assert_int_equal(t->bytes, 86 * 96 / 2);
    assert_non_null(t->nf4);
    assert_null(slm_tensors_find(file, "bf16.absmax"));
    assert_null(slm_tensors_find(file, "bf16.quant_state.bitsandbytes__nf4"));
    slm_tensors_close(file);
}

/* A wave with an offset, so that minima are of both signs; the error is at most a step of the format
 * and what its scales lose. */
static void test_writer(void **state)
{
    (void)state;
    static const struct {
        slm_dtype dtype;
        float worst;
    } formats[] = {{SLM_Q8_0, 0.01f}, {SLM_Q4_0, 0.18f}, {SLM_Q4_1, 0.08f}, {SLM_Q5_0, 0.09f},
                   {SLM_Q5_1, 0.04f}, {SLM_Q4_K, 0.12f}, {SLM_Q5_K, 0.07f}, {SLM_Q6_K, 0.06f}};
    float values[512];
    for (int i = 0; i < 512; i++)
        values[i] = sinf((float)i * 0.37f) + 0.25f * cosf((float)i * 0.011f);
    for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
        gguf_writer w = {0};
        slm_buffer bytes = {0};
        slm_tensors *file = NULL;
        slm_error err = {0};
        float worst = 0;
        gguf_add_tensor(&w, "x", formats[f].dtype, (uint64_t[]){2, 256}, 2, values);
        gguf_finish(&w, &bytes);
        if (slm_tensors__open_memory(bytes.data, bytes.len, "made", &file, &err) != SLM_OK)
            fail_msg("%s", err.message);
        const slm_tensor *tensor = slm_tensors_find(file, "x");
        assert_int_equal(tensor->dtype, formats[f].dtype);
        float *got = read_all(tensor);
        for (int i = 0; i < 512; i++)
            worst = fmaxf(worst, fabsf(got[i] - values[i]));
        if (worst > formats[f].worst || worst == 0)
            fail_msg("%s: off by %g, %g is allowed", slm_dtype_name(formats[f].dtype),
                     (double)worst, (double)formats[f].worst);
        free(got);
        slm_tensors_close(file);
        slm_buffer_free(&bytes);
        gguf_writer_free(&w);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc && i <= 2; i++)
        paths[i - 1] = argv[i];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers_gguf),
        cmocka_unit_test(test_peers_nf4),
        cmocka_unit_test(test_nf4_listing),
        cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests_name("tensor/dequantise", tests, NULL, NULL);
}
