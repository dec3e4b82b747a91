/* test_pack.c: packing a file's NF4 tensor gives the numbers that slm_tensor_read gives, on every
 * path, with rows that begin within a block of scales; what holds no weights is refused. */
#include "kernel_test.h"
#include "safetensors_writer.h"
#include "tensor/tensor_internal.h"

enum { ROWS = 21, COLUMNS = 50 };

static slm_tensors *make_file(slm_buffer *bytes)
{
    st_writer w = {0};
    slm_random random = slm_random_new(8, 1);
    float *values = test_normal(&random, ROWS * COLUMNS, 0.1f);
    slm_tensors *file = NULL;
    slm_error err;
    st_add_nf4(&w, "w", ROWS, COLUMNS, values,
               &(st_nf4){.block = 64, .nested = true, .dtype = "bfloat16"});
    st_add(&w, "ids", "I64", (uint64_t[]){2, 1}, 2, "0123456789abcdef", 16);
    st_finish(&w, bytes);
    if (slm_tensors__open_memory(bytes->data, bytes->len, "made", &file, &err) != SLM_OK)
        fail_msg("%s", err.message);
    st_writer_free(&w);
    free(values);
    return file;
}

static void packing_reads_nf4(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_buffer bytes = {0};
    slm_tensors *file = make_file(&bytes);
    const slm_tensor *tensor = slm_tensors_find(file, "w");
    slm_weight *weight = NULL;
    slm_error err = {0};
    float *want = test_alloc(ROWS * COLUMNS, sizeof *want);
    slm_tensor_read(tensor, 0, ROWS * COLUMNS, want);
    for (int keep = 0; keep < 2; keep++) {
        /* Rounded to bf16 in the file already: kept as bf16, nothing changes. */
        slm_dtype dtype = keep ? SLM_BF16 : SLM_F32;
        assert_int_equal(slm_weight_pack_tensor(device, tensor, dtype, &weight, &err), SLM_OK);
        assert_int_equal(slm_weight_rows(weight), ROWS);
        assert_int_equal(slm_weight_columns(weight), COLUMNS);
        int32_t ids[ROWS];
        for (int i = 0; i < ROWS; i++)
            ids[i] = i;
        slm_mem y = test_mem(device, NULL, ROWS * COLUMNS * sizeof *want);
        table->embed(device, y, weight, ids, ROWS);
        float *got = test_take(device, y, ROWS * COLUMNS * sizeof *want);
        assert_same_bits(got, want, ROWS * COLUMNS);
        slm_weight_free(weight);
        free(got);
    }
    weight = NULL;
    assert_int_equal(
        slm_weight_pack_tensor(device, slm_tensors_find(file, "ids"), SLM_F32, &weight, &err),
        SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "type I64"));
    assert_null(weight);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    free(want);
    slm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_PATHS(packing_reads_nf4)};
    return cmocka_run_group_tests_name("kernel/pack", tests, NULL, NULL);
}
