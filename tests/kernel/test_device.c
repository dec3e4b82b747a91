/* test_device.c: choosing a path, memory, and the functions of math.c. */
#include "kernel/kernel_test.h"
#include "kernel/kernel_internal.h"

static void open_takes_what_is_asked(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    assert_string_equal(slm_device_kernels(device), (const char *)*state);
    assert_string_equal(table->name, (const char *)*state);
    assert_int_equal(slm_device_threads(device), 2);
    assert_non_null(strstr(slm_device_kernel_names(), (const char *)*state));
    assert_true(slm_device_trains(device) || strcmp(slm_device_kernels(device), "ref") != 0);
    const bool forward = table->embed && table->linear && table->rms_norm && table->rope &&
                         table->kv_write && table->attention && table->swiglu && table->gather &&
                         table->log_prob && table->sample && table->copy_page && table->zero &&
                         table->convert && table->sync;
    assert_true(forward);
    slm_device_close(device);
}

static void open_without_wish_takes_the_best(void **state)
{
    (void)state;
    slm_device *device = NULL;
    slm_error err;
    assert_int_equal(slm_device_open(NULL, &device, &err), SLM_OK);
    assert_int_equal(slm_device_threads(device), slm_threads_available());
    assert_non_null(strstr(slm_device_kernel_names(), slm_device_kernels(device)));
    slm_device *avx2 = test_open("avx2", 1);
    if (avx2 != NULL) assert_string_not_equal(slm_device_kernels(device), "ref");
    slm_device_close(avx2);
    slm_device_close(device);
    slm_device_close(NULL);
}

static void open_names_what_is_wrong(void **state)
{
    (void)state;
    slm_device *device = NULL;
    slm_error err;
    slm_device_options options = {"sse9", 0};
    assert_int_equal(slm_device_open(&options, &device, &err), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'sse9'"));
    assert_non_null(strstr(err.message, slm_device_kernel_names()));
    options = (slm_device_options){"ref", 257};
    assert_int_equal(slm_device_open(&options, &device, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "257"));
    assert_non_null(strstr(err.message, "256"));
    options.threads = -1;
    assert_int_equal(slm_device_open(&options, &device, NULL), SLM_ERR_INVALID);
    assert_null(device);
}

static void memory_is_aligned_and_zero(void **state)
{
    (void)state;
    slm_device *device = test_open("ref", 1);
    const size_t sizes[] = {0, 1, 63, 64, 1000, 4000000, 4194304, 9000001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        slm_mem mem = test_mem(device, NULL, sizes[i]);
        assert_int_equal((uintptr_t)mem.at % 64, 0);
        for (size_t b = 0; b < sizes[i]; b++)
            if (mem.at[b] != 0) fail_msg("byte %zu of %zu is not 0", b, sizes[i]);
        if (sizes[i] > 0) {
            slm_device_upload(device, slm_mem_at(mem, sizes[i] - 1), "x", 1);
            char last = 0;
            slm_device_download(device, &last, slm_mem_at(mem, sizes[i] - 1), 1);
            assert_int_equal(last, 'x');
        }
        slm_device_free(device, mem);
    }
    slm_device_free(device, (slm_mem){NULL});
    slm_mem mem = {NULL};
    slm_error err;
    assert_int_equal(slm_device_alloc(device, SIZE_MAX - 100, &mem, &err), SLM_ERR_MEMORY);
    assert_non_null(strstr(err.message, "bytes"));
    assert_int_equal(slm_device_alloc(device, SIZE_MAX / 4, &mem, NULL), SLM_ERR_MEMORY);
    assert_null(mem.at);
    slm_device_close(device);
}

/* Against libm, in units of the last place. */
static void mathematics_is_right(void **state)
{
    (void)state;
    slm_random random = slm_random_new(8, 8);
    const double unit = 0x1p-52;
    for (int i = 0; i < 200000; i++) {
        double x = 1400.0 * slm_random_uniform(&random) - 700.0, s, c;
        assert_true(fabs(slm_kernel__exp(x) / exp(x) - 1.0) < 2 * unit);
        double y = exp(x / 20.0);
        assert_true(fabs(slm_kernel__log(y) - log(y)) <= 2 * unit * fmax(fabs(log(y)), 1e-3));
        double angle = 1e6 * slm_random_uniform(&random) - 5e5;
        slm_kernel__sin_cos(angle, &s, &c);
        assert_true(fabs(s - sin(angle)) < 2 * unit);
        assert_true(fabs(c - cos(angle)) < 2 * unit);
    }
    assert_true(slm_kernel__exp(0.0) == 1.0);
    assert_true(slm_kernel__log(1.0) == 0.0);
    assert_true(slm_kernel__exp((double)-INFINITY) == 0.0);
    assert_true(slm_kernel__exp(-746.0) == 0.0);
    assert_true(isinf(slm_kernel__exp(710.0)));
    assert_true(isnan(slm_kernel__exp((double)NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(open_takes_what_is_asked),
        cmocka_unit_test(open_without_wish_takes_the_best),
        cmocka_unit_test(open_names_what_is_wrong),
        cmocka_unit_test(memory_is_aligned_and_zero),
        cmocka_unit_test(mathematics_is_right),
    };
    return cmocka_run_group_tests_name("kernel/device", tests, NULL, NULL);
}
