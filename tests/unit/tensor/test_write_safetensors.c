/* test_write_safetensors.c: what is written reads back as it was, and nothing half-written stays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "tensor/tensor.h"

static char folder[] = "/tmp/slm-write-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if a temporary file was left */
}

static const slm_tensor list[] = {
    {.name = "a.weight", .dtype = SLM_F32, .dims = 2, .shape = {2, 3}},
    {.name = "none", .dtype = SLM_F32, .dims = 2, .shape = {0, 3}},
    {.name = "\"quoted\" \xc3\xa9", .dtype = SLM_BF16, .dims = 1, .shape = {5}},
};
static const float numbers[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
static const uint16_t halves[5] = {0x3f80, 0xbf80, 0, 0x4000, 0x7f80};

static slm_tensor_writer *create(void)
{
    static const char *const metadata[][2] = {{"format", "pt"}, {"made by", "a test"}};
    slm_tensor_writer *file = NULL;
    slm_error err = {0};
    assert_int_equal(slm_safetensors_create(path, list, 3, metadata, 2, &file, &err), SLM_OK);
    return file;
}

static void test_reads_back(void **state)
{
    slm_error err = {0};
    slm_tensors *tensors = NULL;
    const slm_meta *meta;
    (void)state;
    slm_tensor_writer *file = create();
    assert_int_equal(slm_tensor_writer_put(file, numbers, 4, &err), SLM_OK); /* in pieces */
    assert_int_equal(slm_tensor_writer_put(file, numbers + 4, 2, &err), SLM_OK);
    assert_int_equal(slm_tensor_writer_put(file, halves, 5, &err), SLM_OK);
    assert_false(slm_file_exists(path));
    assert_int_equal(slm_tensor_writer_finish(file, &err), SLM_OK);
    assert_int_equal(slm_tensors_open(path, &tensors, &err), SLM_OK);
    assert_int_equal(slm_tensors_count(tensors), 3);
    const slm_tensor *a = slm_tensors_find(tensors, "a.weight");
    assert_non_null(a);
    assert_int_equal(a->dims, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    assert_memory_equal(a->data, numbers, sizeof numbers);
    assert_int_equal((uintptr_t)a->data % 8, 0);
    const slm_tensor *b = slm_tensors_find(tensors, list[2].name);
    assert_non_null(b);
    assert_int_equal(b->dtype, SLM_BF16);
    assert_memory_equal(b->data, halves, sizeof halves);
    meta = slm_meta_find(tensors, "made by");
    assert_non_null(meta);
    assert_string_equal(meta->string, "a test");
    slm_tensors_close(tensors);
}

static void test_abandoned_leaves_what_was(void **state)
{
    slm_error err = {0};
    slm_buffer before = {0}, after = {0};
    (void)state;
    assert_int_equal(slm_file_read(path, 0, &before, &err), SLM_OK);
    slm_tensor_writer *file = create();
    assert_int_equal(slm_tensor_writer_put(file, numbers, 6, &err), SLM_OK);
    slm_tensor_writer_abandon(file);
    assert_int_equal(slm_file_read(path, 0, &after, &err), SLM_OK);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
    slm_buffer_free(&before);
    slm_buffer_free(&after);
    slm_tensor_writer_abandon(NULL);
}

static void test_no_such_folder(void **state)
{
    slm_error err = {0};
    slm_tensor_writer *file = NULL;
    (void)state;
    assert_int_equal(
        slm_safetensors_create("/nowhere/at/all/x.safetensors", list, 3, NULL, 0, &file, &err),
        SLM_ERR_NOT_FOUND);
    assert_null(file);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back),
        cmocka_unit_test(test_abandoned_leaves_what_was),
        cmocka_unit_test(test_no_such_folder),
    };
    return cmocka_run_group_tests_name("write_safetensors", tests, make_folder, remove_folder);
}
