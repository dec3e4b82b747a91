/* test_linear.c: packing, embed and linear of every path against sums in double, and the promise
 * that a row's result does not depend on the rows beside it nor on the number of threads. */
#include "kernel/kernel_test.h"

static float *run_linear(slm_device *device, const slm_weight *w, const float *x, const float *bias,
                         const float *before, size_t m)
{
    size_t n = slm_weight_rows(w), k = slm_weight_columns(w);
    slm_mem in = test_activations(device, x, m * k, slm_weight_dtype(w)), none = {NULL};
    slm_mem b = bias == NULL ? none : test_mem(device, bias, n * sizeof *bias);
    slm_mem y = test_mem(device, before, m * n * sizeof *x);
    const slm_kernels *table = slm_device_table(device);
    const slm_linear layer = {y, w, b};
    table->linear(device, &layer, 1, in, m, before != NULL, NULL, 0);
    table->sync(device);
    slm_device_free(device, in);
    slm_device_free(device, b);
    return test_take(device, y, m * n * sizeof *x);
}

static const size_t shapes[][2] = {{1, 1},    {5, 3},    {16, 2},   {17, 7},   {31, 16},
                                   {48, 64},  {50, 33},  {64, 172}, {172, 64}, {192, 576},
                                   {513, 65}, {576, 96}, {7, 1537}, {1000, 31}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void linear_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(1, 1);
    const size_t counts[] = {1, 3, 8, 9, 25};
    for (size_t s = 0; s < SHAPES; s++) {
        for (size_t c = 0; c < 10; c++) {
            const size_t n = shapes[s][0], k = shapes[s][1], m = counts[c / 2];
            const slm_dtype dtype = c % 2 ? SLM_BF16 : SLM_F32;
            float *w = test_normal(&random, n * k, 0.5f), *x = test_normal(&random, m * k, 1.0f);
            float *bias = test_normal(&random, n, 1.0f), *y = test_normal(&random, m * n, 1.0f);
            if (dtype == SLM_BF16) {
                test_round_bf16(w, n * k);
                test_round_bf16(x, m * k);
            }
            double *plain = test_alloc(m * n, sizeof *plain), *all = test_alloc(m * n, sizeof *all);
            for (size_t i = 0; i < m; i++) {
                for (size_t j = 0; j < n; j++) {
                    double sum = 0.0;
                    for (size_t p = 0; p < k; p++)
                        sum += (double)x[i * k + p] * (double)w[j * k + p];
                    plain[i * n + j] = sum;
                    all[i * n + j] = sum + (double)bias[j] + (double)y[i * n + j];
                }
            }
            slm_weight *weight = test_pack(device, w, n, k, dtype);
            float *sets = run_linear(device, weight, x, NULL, NULL, m);
            float *adds = run_linear(device, weight, x, bias, y, m);
            assert_close(sets, plain, m * n, 1e-5);
            assert_close(adds, all, m * n, 1e-5);
            slm_weight_free(weight);
            free(w), free(x), free(bias), free(y), free(plain), free(all), free(sets), free(adds);
        }
    }
    slm_device_close(device);
}

static void linear_rows_do_not_see_each_other(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(2, 1);
    const size_t some[][2] = {{17, 7}, {64, 172}, {101, 64}};
    enum { ROWS = 40 };
    for (size_t s = 0; s < 6; s++) {
        const size_t n = some[s / 2][0], k = some[s / 2][1];
        float *w = test_normal(&random, n * k, 0.5f), *x = test_normal(&random, ROWS * k, 1.0f);
        float *bias = test_normal(&random, n, 1.0f), *y = test_normal(&random, ROWS * n, 1.0f);
        slm_weight *weight = test_pack(device, w, n, k, s % 2 ? SLM_BF16 : SLM_F32);
        float *whole = run_linear(device, weight, x, bias, y, ROWS);
        for (size_t i = 0; i < ROWS; i++) { /* each row alone */
            float *row = run_linear(device, weight, x + i * k, bias, y + i * n, 1);
            assert_same_bits(row, whole + i * n, n);
            free(row);
        }
        for (size_t m = 2; m < ROWS; m++) { /* and the first m together */
            float *rows = run_linear(device, weight, x, bias, y, m);
            assert_same_bits(rows, whole, m * n);
            free(rows);
        }
        slm_weight_free(weight);
        free(w), free(x), free(bias), free(y), free(whole);
    }
    slm_device_close(device);
}

/* So many rows that threads divide them instead of the outputs; more than are multiplied at once. */
static void many_rows_are_as_few(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    const size_t some[][2] = {{70, 16}, {40, 800}, {16, 33}};
    enum { ROWS = 1100, FEW = 100 };
    for (size_t s = 0; s < 6; s++) {
        const size_t n = some[s / 2][0], k = some[s / 2][1];
        slm_random random = slm_random_new(5, s);
        float *w = test_normal(&random, n * k, 0.5f), *x = test_normal(&random, ROWS * k, 1.0f);
        float *bias = test_normal(&random, n, 1.0f), *y = test_normal(&random, ROWS * n, 1.0f);
        slm_weight *weight = test_pack(device, w, n, k, s % 2 ? SLM_BF16 : SLM_F32);
        float *whole = run_linear(device, weight, x, bias, y, ROWS);
        for (size_t i = 0; i < ROWS; i += FEW) {
            float *rows = run_linear(device, weight, x + i * k, bias, y + i * n, FEW);
            assert_same_bits(rows, whole + i * n, FEW * n);
            free(rows);
        }
        slm_weight_free(weight);
        free(w), free(x), free(bias), free(y), free(whole);
    }
    slm_device_close(device);
}

static void linear_does_not_depend_on_threads(void **state)
{
    const size_t some[][2] = {{17, 7}, {513, 172}, {576, 576}};
    for (size_t s = 0; s < 6; s++) {
        const size_t n = some[s / 2][0], k = some[s / 2][1], m = 11;
        float *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            OPEN_OR_SKIP(device, state, threads);
            assert_int_equal(slm_device_threads(device), threads);
            slm_random random = slm_random_new(3, s);
            float *w = test_normal(&random, n * k, 0.5f), *x = test_normal(&random, m * k, 1.0f);
            slm_weight *weight = test_pack(device, w, n, k, s % 2 ? SLM_BF16 : SLM_F32);
            float *y = run_linear(device, weight, x, NULL, NULL, m);
            if (first == NULL)
                first = y;
            else {
                assert_same_bits(y, first, m * n);
                free(y);
            }
            slm_weight_free(weight);
            free(w), free(x);
            slm_device_close(device);
        }
        free(first);
    }
}

/* A NaN or infinity in one row stays in that row: padding multiplies nothing. */
static void linear_keeps_rows_apart(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    slm_random random = slm_random_new(4, 1);
    const size_t n = 19, k = 7, m = 5;
    for (int d = 0; d < 2; d++) {
        float *w = test_normal(&random, n * k, 0.5f), *x = test_normal(&random, m * k, 1.0f);
        for (size_t p = 0; p < k; p++)
            x[2 * k + p] = p % 2 ? NAN : INFINITY;
        slm_weight *weight = test_pack(device, w, n, k, d ? SLM_BF16 : SLM_F32);
        float *y = run_linear(device, weight, x, NULL, NULL, m);
        for (size_t i = 0; i < m * n; i++)
            assert_int_equal(isfinite(y[i]) != 0, i / n != 2);
        slm_weight_free(weight);
        free(w), free(x), free(y);
    }
    slm_device_close(device);
}

static void embed_gives_the_rows(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(5, 1);
    for (size_t s = 0; s < 2 * SHAPES; s++) {
        const size_t n = shapes[s / 2][0], k = shapes[s / 2][1], m = 6;
        const slm_dtype dtype = s % 2 ? SLM_BF16 : SLM_F32;
        float *w = test_normal(&random, n * k, 1.0f);
        slm_weight *weight = test_pack(device, w, n, k, dtype);
        assert_int_equal(slm_weight_rows(weight), n);
        assert_int_equal(slm_weight_columns(weight), k);
        assert_int_equal(slm_weight_dtype(weight), dtype);
        assert_true(slm_weight_bytes(weight) >= n * k * (dtype == SLM_F32 ? 4 : 2));
        int32_t ids[6] = {0, (int32_t)n - 1};
        for (size_t i = 2; i < m; i++)
            ids[i] = (int32_t)slm_random_below(&random, n);
        slm_mem y = test_mem(device, NULL, m * k * sizeof *w);
        table->embed(device, y, weight, ids, m);
        float *got = test_take(device, y, m * k * sizeof *w);
        if (dtype == SLM_BF16) test_round_bf16(w, n * k);
        for (size_t i = 0; i < m; i++)
            assert_same_bits(got + i * k, w + (size_t)ids[i] * k, k);
        slm_weight_free(weight);
        free(w), free(got);
    }
    slm_device_close(device);
}

static void packing_reads_blocks(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    const size_t n = 21, k = 96, bytes = n * slm_dtype_bytes(SLM_Q8_0, k);
    slm_random random = slm_random_new(6, 1);
    unsigned char *data = test_alloc(bytes, 1);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)slm_random_below(&random, 256);
    for (size_t i = 0; i < bytes; i += 34) /* scales: small and positive */
        data[i + 1] = (unsigned char)(0x20 + i % 8);
    float *want = test_alloc(n * k, sizeof *want);
    slm_dequantise(SLM_Q8_0, data, n * k, want);
    slm_weight *weight = NULL;
    assert_int_equal(slm_weight_pack(device, SLM_Q8_0, data, n, k, SLM_F32, &weight, NULL), SLM_OK);
    int32_t ids[21];
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)i;
    slm_mem y = test_mem(device, NULL, n * k * sizeof *want);
    table->embed(device, y, weight, ids, n);
    float *got = test_take(device, y, n * k * sizeof *want);
    assert_same_bits(got, want, n * k);
    slm_weight_free(weight);

    slm_error err;
    assert_int_equal(slm_weight_pack(device, SLM_Q8_0, data, n, 33, SLM_F32, &weight, &err),
                     SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "21 x 33"));
    assert_non_null(strstr(err.message, "blocks of 32"));
    assert_int_equal(slm_weight_pack(device, SLM_F32, data, 0, 4, SLM_F32, &weight, NULL),
                     SLM_ERR_FORMAT);
    slm_weight_free(NULL);
    free(data), free(want), free(got);
    slm_device_close(device);
}

/* Several layers in one call give what each gives alone, however many threads there are. */
static void layers_share_their_inputs(void **state)
{
    enum { LAYERS = 3, K = 96 };
    const size_t sizes[LAYERS] = {40, 16, 83}, counts[] = {1, 5, 40};
    for (int c = 0; c < 18; c++) {
        OPEN_OR_SKIP(device, state, 1 + c % 3);
        const slm_dtype dtype = c / 3 % 2 ? SLM_BF16 : SLM_F32;
        const size_t m = counts[c / 6];
        slm_random random = slm_random_new(9, (uint64_t)c);
        float *x = test_normal(&random, m * K, 1.0f), *alone[LAYERS];
        slm_linear layers[LAYERS];
        slm_weight *weights[LAYERS];
        for (size_t i = 0; i < LAYERS; i++) {
            float *w = test_normal(&random, sizes[i] * K, 0.5f);
            float *bias = i == 1 ? NULL : test_normal(&random, sizes[i], 1.0f);
            weights[i] = test_pack(device, w, sizes[i], K, dtype);
            alone[i] = run_linear(device, weights[i], x, bias, NULL, m);
            layers[i] =
                (slm_linear){test_mem(device, NULL, m * sizes[i] * sizeof *x), weights[i], {NULL}};
            if (bias != NULL) layers[i].bias = test_mem(device, bias, sizes[i] * sizeof *bias);
            free(w), free(bias);
        }
        slm_mem in = test_activations(device, x, m * K, dtype);
        table->linear(device, layers, LAYERS, in, m, false, layers, LAYERS);
        table->sync(device);
        for (size_t i = 0; i < LAYERS; i++) {
            float *got = test_take(device, layers[i].y, m * sizes[i] * sizeof *got);
            assert_same_bits(got, alone[i], m * sizes[i]);
            slm_device_free(device, layers[i].bias);
            slm_weight_free(weights[i]);
            free(got), free(alone[i]);
        }
        slm_device_free(device, in);
        free(x);
        slm_device_close(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(linear_matches_double),   TEST_PATHS(linear_rows_do_not_see_each_other),
        TEST_PATHS(many_rows_are_as_few),    TEST_PATHS(linear_does_not_depend_on_threads),
        TEST_PATHS(linear_keeps_rows_apart), TEST_PATHS(layers_share_their_inputs),
        TEST_PATHS(embed_gives_the_rows),    TEST_PATHS(packing_reads_blocks),
    };
    return cmocka_run_group_tests_name("kernel/linear", tests, NULL, NULL);
}
