/* test_quantised.c: weights kept quantised give what the same weights give when they are widened, to
 * the bit: every format, odd shapes, numbers of rows on both sides of every tile, on every path; and
 * they take about the file's bytes. */
#include "kernel_test.h"
#include "safetensors_writer.h"
#include "tensor/tensor_internal.h"

static const slm_dtype formats[] = {SLM_Q8_0, SLM_Q4_0, SLM_Q4_1, SLM_Q5_0,
                                    SLM_Q5_1, SLM_Q4_K, SLM_Q5_K, SLM_Q6_K};
enum { FORMATS = sizeof formats / sizeof *formats };

/* Bytes at which a block's halves stand: d, and m or e; 0 twice where there is one. */
static void place_halves(slm_dtype dtype, size_t at[2])
{
    bool two = dtype == SLM_Q4_1 || dtype == SLM_Q5_1 || dtype == SLM_Q4_K || dtype == SLM_Q5_K;
    at[0] = dtype == SLM_Q6_K ? 208 : 0;
    at[1] = two ? 2 : at[0];
}

/* Any codes and scales; halves of both signs, from subnormal to 2. */
static slm_tensor random_tensor(slm_dtype dtype, size_t n, size_t k, uint64_t seed)
{
    slm_random random = slm_random_new(seed, (uint64_t)dtype);
    const size_t bytes = slm_dtype_bytes(dtype, n * k), block = slm_dtype_block_bytes(dtype);
    unsigned char *data = test_alloc(bytes, 1);
    size_t halves[2];
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)slm_random_below(&random, 256);
    place_halves(dtype, halves);
    for (size_t at = 0; at < bytes; at += block)
        for (int h = 0; h < 2; h++)
            data[at + halves[h] + 1] =
                (unsigned char)(slm_random_below(&random, 0x40) | (data[at + halves[h]] & 0x80));
    return (slm_tensor){.name = slm_dtype_name(dtype),
                        .dtype = dtype,
                        .dims = 2,
                        .shape = {n, k},
                        .data = data,
                        .bytes = bytes};
}

static slm_weight *pack(slm_device *device, const slm_tensor *tensor, slm_dtype as, bool quantised)
{
    slm_weight *weight = NULL;
    slm_error err;
    slm_status status = quantised ? slm_weight_pack_quantised(device, tensor, as, &weight, &err)
                                  : slm_weight_pack_tensor(device, tensor, as, &weight, &err);
    if (status != SLM_OK) fail_msg("%s", err.message);
    return weight;
}

static float *run_linear(slm_device *device, const slm_weight *w, const float *x, const float *bias,
                         const float *before, size_t m)
{
    const size_t n = slm_weight_rows(w), k = slm_weight_columns(w);
    const slm_kernels *table = slm_device_table(device);
    slm_mem wide = test_mem(device, x, m * k * sizeof *x), none = {NULL};
    slm_mem in = test_mem(device, NULL, m * k * sizeof *x);
    slm_mem b = bias == NULL ? none : test_mem(device, bias, n * sizeof *bias);
    slm_mem y = test_mem(device, before, m * n * sizeof *x);
    table->convert(device, in, slm_weight_dtype(w), wide, 1.0f, m * k);
    const slm_linear layer = {y, w, b};
    table->linear(device, &layer, 1, in, m, before != NULL, NULL, 0);
    table->sync(device);
    slm_device_free(device, wide);
    slm_device_free(device, in);
    slm_device_free(device, b);
    return test_take(device, y, m * n * sizeof *x);
}

/* The gradient of the inputs, from gradients of the outputs. */
static float *run_dx(slm_device *device, const slm_weight *w, const float *dy, size_t m)
{
    const size_t n = slm_weight_rows(w), k = slm_weight_columns(w);
    const slm_kernels *table = slm_device_table(device);
    slm_mem wide = test_mem(device, dy, m * n * sizeof *dy);
    slm_linear_grad layer = {.dy = test_mem(device, NULL, m * n * sizeof *dy), .w = w, .n = n};
    slm_mem dx = test_mem(device, NULL, m * k * sizeof *dy);
    table->convert(device, layer.dy, slm_weight_dtype(w), wide, 1.0f, m * n);
    table->linear_dx(device, dx, &layer, 1, m, false);
    table->sync(device);
    slm_device_free(device, wide);
    slm_device_free(device, layer.dy);
    return test_take(device, dx, m * k * sizeof *dy);
}

static float *embed_all(slm_device *device, const slm_weight *w)
{
    const size_t n = slm_weight_rows(w), k = slm_weight_columns(w);
    int32_t *ids = test_alloc(n, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(n - 1 - i);
    slm_mem y = test_mem(device, NULL, n * k * sizeof(float));
    slm_device_table(device)->embed(device, y, w, ids, n);
    free(ids);
    return test_take(device, y, n * k * sizeof(float));
}

/* Everything that is computed with the tensor, kept and widened. */
static void compare(slm_device *device, const slm_tensor *tensor, slm_dtype as)
{
    static const size_t counts[] = {1, 2, 5, 16, 17, 33};
    const size_t n = (size_t)tensor->shape[0], k = (size_t)tensor->shape[1];
    slm_random random = slm_random_new(n, k);
    float *x = test_normal(&random, 33 * k, 1.0f), *bias = test_normal(&random, n, 1.0f);
    float *before = test_normal(&random, 33 * n, 1.0f);
    slm_weight *kept = pack(device, tensor, as, true), *wide = pack(device, tensor, as, false);
    assert_int_equal(slm_weight_stored(kept), tensor->dtype);
    assert_int_equal(slm_weight_stored(wide), as);
    assert_int_equal(slm_weight_dtype(kept), as);
    assert_int_equal(slm_weight_rows(kept), n);
    assert_int_equal(slm_weight_columns(kept), k);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const size_t m = counts[c];
        for (int adds = 0; adds < 2; adds++) {
            float *a = run_linear(device, kept, x, adds ? bias : NULL, adds ? before : NULL, m);
            float *b = run_linear(device, wide, x, adds ? bias : NULL, adds ? before : NULL, m);
            for (size_t i = 0; i < m * n; i++)
                if (memcmp(&a[i], &b[i], sizeof *a) != 0)
                    fail_msg("%s [%zu, %zu] as %s, %zu rows: item %zu is %.9g, widened %.9g",
                             slm_dtype_name(tensor->dtype), n, k, slm_dtype_name(as), m, i,
                             (double)a[i], (double)b[i]);
            free(a), free(b);
        }
        float *a = run_dx(device, kept, before, m), *b = run_dx(device, wide, before, m);
        assert_same_bits(a, b, m * k);
        free(a), free(b);
    }
    float *a = embed_all(device, kept), *b = embed_all(device, wide);
    assert_same_bits(a, b, n * k);
    slm_weight_free(kept);
    slm_weight_free(wide);
    free(a), free(b), free(x), free(bias), free(before);
}

static void kept_equals_widened(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    static const size_t shapes[][2] = {{1, 1}, {5, 2}, {16, 3}, {33, 1}, {72, 5}, {131, 2}};
    for (size_t f = 0; f < FORMATS; f++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            size_t block = slm_dtype_block_items(formats[f]), k = shapes[s][1] * block;
            slm_tensor tensor = random_tensor(formats[f], shapes[s][0], k, s);
            compare(device, &tensor, SLM_BF16);
            compare(device, &tensor, SLM_F32);
            free((void *)tensor.data);
        }
    }
    slm_device_close(device);
}

/* Panels so large that fewer of them are widened at once. */
static void long_rows(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    slm_tensor tensor = random_tensor(SLM_Q4_0, 70, 32 * 320, 9);
    const bool slow = strcmp(table->name, "ref") == 0;
    if (slow) tensor.shape[0] = 3;
    compare(device, &tensor, SLM_BF16);
    if (!slow) compare(device, &tensor, SLM_F32);
    free((void *)tensor.data);
    slm_device_close(device);
}

static void threads_change_nothing(void **state)
{
    float *first = NULL;
    slm_tensor tensor = random_tensor(SLM_Q5_K, 403, 512, 3);
    slm_random random = slm_random_new(7, 1);
    float *x = test_normal(&random, 3 * 512, 1.0f);
    for (int threads = 1; threads <= 3; threads++) {
        OPEN_OR_SKIP(device, state, threads);
        slm_weight *kept = pack(device, &tensor, SLM_BF16, true);
        float *y = run_linear(device, kept, x, NULL, NULL, 3);
        if (first == NULL) {
            first = y;
        } else {
            assert_same_bits(y, first, 3 * 403);
            free(y);
        }
        slm_weight_free(kept);
        slm_device_close(device);
    }
    free((void *)tensor.data);
    free(first), free(x);
}

/* ---- NF4 ----------------------------------------------------------------------------------- */

static slm_tensors *nf4_file(slm_buffer *bytes, uint64_t n, uint64_t k, const st_nf4 *how)
{
    st_writer w = {0};
    slm_random random = slm_random_new(8, k);
    float *values = test_normal(&random, n * k, 0.1f);
    slm_tensors *file = NULL;
    slm_error err;
    st_add_nf4(&w, "w", n, k, values, how);
    st_finish(&w, bytes);
    if (slm_tensors__open_memory(bytes->data, bytes->len, "made", &file, &err) != SLM_OK)
        fail_msg("%s", err.message);
    st_writer_free(&w);
    free(values);
    return file;
}

static void nf4_equals_widened(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    static const st_nf4 ways[] = {{.block = 64, .nested = true, .dtype = "bfloat16"},
                                  {.block = 64, .nested = false, .dtype = "float16"},
                                  {.block = 128, .nested = true, .dtype = "float32"},
                                  {.block = 32, .nested = false, .dtype = "bfloat16"}};
    static const size_t columns[] = {64, 96, 160, 192};
    for (size_t i = 0; i < 4; i++) {
        for (size_t c = 0; c < 4; c++) {
            slm_buffer bytes = {0};
            slm_tensors *file = nf4_file(&bytes, 37, columns[c], &ways[i]);
            compare(device, slm_tensors_find(file, "w"), SLM_BF16);
            compare(device, slm_tensors_find(file, "w"), SLM_F32);
            slm_tensors_close(file);
            slm_buffer_free(&bytes);
        }
    }
    slm_device_close(device);
}

/* A row that is no multiple of 32: the weight is widened, and right. */
static void nf4_that_cannot_be_kept(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    slm_buffer bytes = {0};
    slm_tensors *file =
        nf4_file(&bytes, 5, 50, &(st_nf4){.block = 64, .nested = true, .dtype = "bfloat16"});
    const slm_tensor *tensor = slm_tensors_find(file, "w");
    slm_weight *weight = pack(device, tensor, SLM_BF16, true);
    assert_int_equal(slm_weight_stored(weight), SLM_BF16);
    float *got = embed_all(device, weight), want[50];
    slm_tensor_read(tensor, 4 * 50, 50, want);
    assert_same_bits(got, want, 50);
    slm_weight_free(weight);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    free(got);
    slm_device_close(device);
}

/* ---- the rest ------------------------------------------------------------------------------ */

/* A scale that is no number makes its output no number, and no other. */
static void damage_stays_visible(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    static const unsigned char bad[][2] = {{0xff, 0x7f}, {0x00, 0x7c}, {0x01, 0xfe}};
    for (size_t f = 0; f < FORMATS; f++) {
        for (size_t b = 0; b < 3; b++) {
            const size_t k = 2 * slm_dtype_block_items(formats[f]);
            const size_t block = slm_dtype_block_bytes(formats[f]);
            slm_tensor tensor = random_tensor(formats[f], 20, k, b);
            unsigned char *data = (unsigned char *)tensor.data;
            size_t halves[2];
            place_halves(formats[f], halves);
            memcpy(data + (2 * 17 + 1) * block + halves[0], bad[b], 2);
            float *x = test_alloc(k, sizeof *x);
            for (size_t i = 0; i < k; i++)
                x[i] = i % 2 ? 1.0f : -1.0f;
            for (int as = 0; as < 2; as++) {
                slm_weight *weight = pack(device, &tensor, as ? SLM_BF16 : SLM_F32, true);
                float *y = run_linear(device, weight, x, NULL, NULL, 1);
                for (size_t i = 0; i < 20; i++)
                    assert_int_equal(isfinite(y[i]) != 0, i != 17);
                slm_weight_free(weight);
                free(y);
            }
            free(data), free(x);
        }
    }
    slm_device_close(device);
}

static void bytes_are_about_the_files(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    for (size_t f = 0; f < FORMATS; f++) {
        slm_tensor tensor = random_tensor(formats[f], 64, 512, f);
        slm_weight *kept = pack(device, &tensor, SLM_BF16, true);
        slm_weight *wide = pack(device, &tensor, SLM_BF16, false);
        const size_t bytes = slm_weight_bytes(kept);
        if (bytes < tensor.bytes || bytes * 100 > tensor.bytes * 103)
            fail_msg("%s: %zu bytes for the file's %zu", tensor.name, bytes, tensor.bytes);
        assert_int_equal(slm_weight_packed_bytes(&tensor, SLM_BF16, true), bytes);
        assert_int_equal(slm_weight_packed_bytes(&tensor, SLM_BF16, false), slm_weight_bytes(wide));
        slm_weight_free(kept);
        slm_weight_free(wide);
        free((void *)tensor.data);
    }
    slm_device_close(device);
}

static void what_is_not_quantised_is_packed(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    const float values[6] = {1, 2, 3, 4, 5, 6};
    slm_tensor tensor = {.dtype = SLM_F32, .dims = 2, .shape = {2, 3}, .data = values};
    slm_weight *weight = pack(device, &tensor, SLM_BF16, true);
    slm_error err;
    assert_int_equal(slm_weight_stored(weight), SLM_BF16);
    slm_weight_free(weight);
    weight = NULL;
    tensor = random_tensor(SLM_Q4_K, 4, 256, 1);
    tensor.shape[1] = 255;
    assert_int_equal(slm_weight_pack_quantised(device, &tensor, SLM_BF16, &weight, &err),
                     SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "4 x 255"));
    assert_non_null(strstr(err.message, "blocks of 256"));
    tensor.dtype = SLM_I8;
    assert_int_equal(slm_weight_pack_quantised(device, &tensor, SLM_BF16, &weight, &err),
                     SLM_ERR_UNSUPPORTED);
    assert_null(weight);
    free((void *)tensor.data);
    slm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(kept_equals_widened),       TEST_PATHS(long_rows),
        TEST_PATHS(threads_change_nothing),    TEST_PATHS(nf4_equals_widened),
        TEST_PATHS(nf4_that_cannot_be_kept),   TEST_PATHS(damage_stays_visible),
        TEST_PATHS(bytes_are_about_the_files), TEST_PATHS(what_is_not_quantised_is_packed),
    };
    return cmocka_run_group_tests_name("kernel/quantised", tests, NULL, NULL);
}
