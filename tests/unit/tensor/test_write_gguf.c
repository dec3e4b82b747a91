/* test_write_gguf.c: what is written reads back as it was, with every kind of metadata; Q8_0 is what
 * its definition says; nothing half-written stays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/random.h"
#include "gguf_writer.h"
#include "tensor/tensor.h"

static char folder[] = "/tmp/slm-gguf-XXXXXX";
static char path[64], other[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.gguf", folder);
    snprintf(other, sizeof other, "%s/y.gguf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder); /* fails if a temporary file was left */
}

static const slm_tensor list[] = {
    {.name = "a", .dtype = SLM_F32, .dims = 2, .shape = {2, 3}},
    {.name = "b", .dtype = SLM_BF16, .dims = 1, .shape = {5}},
    {.name = "c", .dtype = SLM_Q8_0, .dims = 2, .shape = {2, 64}},
    {.name = "d", .dtype = SLM_F16, .dims = 2, .shape = {1, 3}},
};
enum { COUNT = sizeof list / sizeof list[0] };

static void fill_meta(slm_gguf_meta *meta)
{
    static const int32_t integers[3] = {1, -2, INT32_MIN};
    static const float reals[2] = {0.5f, -3e30f};
    slm_gguf_add_string(meta, "text", "a\0b\xc3\xa9", 5);
    slm_gguf_add_u32(meta, "whole", 4000000000u);
    slm_gguf_add_f32(meta, "real", 1e-5f);
    slm_gguf_add_bool(meta, "yes", true);
    slm_gguf_add_i32s(meta, "integers", integers, 3);
    slm_gguf_add_f32s(meta, "reals", reals, 2);
    slm_gguf_add_strings(meta, "texts", 2);
    slm_gguf_put_string(meta, "one", 3);
    slm_gguf_put_string(meta, "", 0);
}

static void write_all(const char *to, const slm_gguf_meta *meta, const float *values)
{
    uint8_t bytes[1024];
    slm_tensor_writer *file = NULL;
    slm_error err = {0};
    if (slm_gguf_create(to, list, COUNT, meta, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < COUNT; i++) {
        const size_t items = (size_t)slm_tensor_items(&list[i]);
        slm_narrow(list[i].dtype, values, items, bytes);
        const size_t half = items / 64 * 32; /* in pieces */
        assert_int_equal(slm_tensor_writer_put(file, bytes, half, &err), SLM_OK);
        assert_int_equal(slm_tensor_writer_put(file, bytes + slm_dtype_bytes(list[i].dtype, half),
                                               items - half, &err),
                         SLM_OK);
    }
    assert_false(slm_file_exists(to));
    if (slm_tensor_writer_finish(file, &err) != SLM_OK) fail_msg("%s", err.message);
}

static void check_meta(const slm_tensors *file)
{
    size_t len;
    assert_int_equal(slm_meta_count(file), 7);
    assert_int_equal(slm_meta_find(file, "text")->string_len, 5);
    assert_memory_equal(slm_meta_find(file, "text")->string, "a\0b\xc3\xa9", 5);
    assert_true(slm_meta_find(file, "whole")->integer == 4000000000LL);
    assert_true(slm_meta_find(file, "real")->real == (double)1e-5f);
    assert_int_equal(slm_meta_find(file, "yes")->integer, 1);
    assert_int_equal(slm_meta_array_integer(slm_meta_find(file, "integers"), 2), INT32_MIN);
    assert_true(slm_meta_array_real(slm_meta_find(file, "reals"), 1) == (double)-3e30f);
    assert_memory_equal(slm_meta_array_string(slm_meta_find(file, "texts"), 0, &len), "one", 3);
    slm_meta_array_string(slm_meta_find(file, "texts"), 1, &len);
    assert_int_equal(len, 0);
}

/* A copy of all of the file's metadata has these bytes. */
static void expect_copy(const slm_tensors *file, const slm_buffer *bytes, uint64_t count)
{
    slm_gguf_meta copy = {0};
    for (size_t i = 0; i < slm_meta_count(file); i++)
        slm_gguf_add_copy(&copy, slm_meta_at(file, i));
    assert_int_equal(copy.count, count);
    assert_int_equal(copy.bytes.len, bytes->len);
    assert_memory_equal(copy.bytes.data, bytes->data, bytes->len);
    slm_gguf_meta_free(&copy);
}

static void test_reads_back(void **state)
{
    (void)state;
    float values[128], back[128];
    slm_random random = slm_random_new(1, 1);
    slm_gguf_meta meta = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    for (int i = 0; i < 128; i++)
        values[i] = (float)slm_random_normal(&random);
    fill_meta(&meta);
    write_all(path, &meta, values);
    if (slm_tensors_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    check_meta(file);
    assert_int_equal(slm_tensors_count(file), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const slm_tensor *tensor = slm_tensors_find(file, list[i].name);
        const size_t items = (size_t)slm_tensor_items(&list[i]);
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, list[i].dtype);
        assert_int_equal(tensor->shape[0], list[i].shape[0]);
        if (items == 0) continue;
        slm_tensor_read(tensor, 0, items, back);
        const double limit = tensor->dtype == SLM_F32    ? 0
                             : tensor->dtype == SLM_BF16 ? 1.0 / 256
                             : tensor->dtype == SLM_F16  ? 1.0 / 2048
                                                         : 0.02;
        for (size_t j = 0; j < items; j++) /* Q8_0: half a step of the largest, which is below 5 */
            assert_true(fabs((double)back[j] - (double)values[j]) <=
                        limit * (tensor->dtype == SLM_Q8_0 ? 1.0 : fabs((double)values[j])));
    }
    /* The same file again, by copies of its metadata. */
    expect_copy(file, &meta.bytes, meta.count);
    slm_tensors_close(file);
    slm_gguf_meta_free(&meta);
}

/* Types that fill_meta does not have go over in their own width. */
static void test_copies_every_width(void **state)
{
    (void)state;
    gguf_writer w = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    gguf_add_u64(&w, "long", UINT64_C(1) << 40);
    gguf__entry(&w, "i8", 1);
    slm_buffer_append_char(&w.entries, (char)-5);
    gguf__entry(&w, "f64", 12);
    const double third = 1.0 / 3;
    slm_buffer_append(&w.entries, &third, sizeof third);
    assert_true(gguf_write(&w, other));
    assert_int_equal(slm_tensors_open(other, &file, &err), SLM_OK);
    expect_copy(file, &w.entries, 3);
    slm_tensors_close(file);
    gguf_writer_free(&w);
}

static void test_narrow(void **state)
{
    (void)state;
    float values[32] = {0}, back[32];
    uint8_t bytes[34];
    slm_narrow(SLM_Q8_0, values, 32, bytes); /* all zero */
    slm_dequantise(SLM_Q8_0, bytes, 32, back);
    assert_memory_equal(back, values, sizeof back);
    for (int i = 0; i < 32; i++)
        values[i] = (float)(i - 16); /* d = 16 / 127 */
    slm_narrow(SLM_Q8_0, values, 32, bytes);
    assert_int_equal((int8_t)bytes[2], -127);
    assert_int_equal((int8_t)bytes[2 + 16], 0);
    assert_int_equal((int8_t)bytes[2 + 31], 119); /* 15 x 127 / 16 = 119.06 */
    values[3] = 1e-42f;                           /* so small a d that 1 / d is infinite */
    for (int i = 0; i < 32; i++)
        values[i] = i == 3 ? 1e-42f : 0.0f;
    slm_narrow(SLM_Q8_0, values, 32, bytes);
    slm_dequantise(SLM_Q8_0, bytes, 32, back);
    for (int i = 0; i < 32; i++)
        assert_true(fabsf(back[i]) < 1e-38f);
    values[0] = 1e6f;
    slm_narrow(SLM_F16, values, 1, bytes);
    assert_true(isinf(slm_f16_to_f32((uint16_t)(bytes[0] | bytes[1] << 8))));
}

static void test_abandoned(void **state)
{
    (void)state;
    slm_gguf_meta meta = {0};
    slm_tensor_writer *file = NULL;
    slm_error err = {0};
    const float values[6] = {0};
    unlink(path);
    assert_int_equal(slm_gguf_create(path, list, COUNT, &meta, &file, &err), SLM_OK);
    assert_int_equal(slm_tensor_writer_put(file, values, 6, &err), SLM_OK);
    slm_tensor_writer_abandon(file);
    assert_false(slm_file_exists(path));
    slm_tensor_writer_abandon(NULL);
    assert_int_equal(slm_gguf_create("/nosuch/folder/x.gguf", list, COUNT, &meta, &file, &err),
                     SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nosuch/folder"));
}

static void test_full_disk(void **state)
{
    (void)state;
    slm_gguf_meta meta = {0};
    slm_tensor_writer *file = NULL;
    slm_error err = {0};
    float *values = calloc(1 << 20, sizeof *values);
    const slm_tensor big = {.name = "big", .dtype = SLM_F32, .dims = 1, .shape = {1 << 20}};
    assert_non_null(values);
    assert_int_equal(slm_gguf_create("/dev/full", &big, 1, &meta, &file, &err), SLM_OK);
    assert_int_equal(slm_tensor_writer_put(file, values, 1 << 20, &err), SLM_ERR_IO);
    assert_non_null(strstr(err.message, "disk full"));
    slm_tensor_writer_abandon(file);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back), cmocka_unit_test(test_copies_every_width),
        cmocka_unit_test(test_narrow),     cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests_name("write_gguf", tests, make_folder, remove_folder);
}
