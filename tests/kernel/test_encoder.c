/* test_encoder.c: what encoders compute beside linear layers, of every path, against double: layer
 * norm, GELU, attention within whole sequences, means, and f32 written as two bf16 parts; and that a
 * sequence's rows depend on nothing but the sequence. */
#include "kernel/kernel_test.h"

static const size_t widths[] = {1, 2, 7, 16, 31, 33, 64, 384, 1001};
enum { WIDTHS = sizeof widths / sizeof *widths };

static void layer_norm_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(1, 2);
    for (size_t c = 0; c < 2 * WIDTHS; c++) {
        const size_t d = widths[c / 2], m = 9, bytes = m * d * sizeof(float);
        const bool more = c % 2 == 1;
        float *x = test_normal(&random, m * d, 3.0f), *r = test_normal(&random, m * d, 1.0f);
        float *w = test_normal(&random, d, 1.0f), *b = test_normal(&random, d, 1.0f);
        double *want = test_alloc(m * d, sizeof *want);
        for (size_t i = 0; i < m; i++) {
            double mean = 0, variance = 0;
            for (size_t j = 0; j < d; j++)
                mean += (double)x[i * d + j] + (more ? (double)r[i * d + j] : 0);
            mean /= (double)d;
            for (size_t j = 0; j < d; j++)
                variance += pow((double)x[i * d + j] + (more ? (double)r[i * d + j] : 0) - mean, 2);
            for (size_t j = 0; j < d; j++)
                want[i * d + j] =
                    ((double)x[i * d + j] + (more ? (double)r[i * d + j] : 0) - mean) /
                        sqrt(variance / (double)d + (double)1e-5f) * (double)w[j] +
                    (double)b[j];
        }
        slm_mem in = test_mem(device, x, bytes), y = test_mem(device, NULL, bytes);
        slm_mem other = more ? test_mem(device, r, bytes) : (slm_mem){NULL};
        slm_mem weight = test_mem(device, w, d * sizeof *w);
        slm_mem bias = test_mem(device, b, d * sizeof *b);
        table->layer_norm(device, y, in, other, weight, bias, m, d, 1e-5f);
        table->layer_norm(device, in, in, other, weight, bias, m, d, 1e-5f); /* y may be x */
        float *got = test_take(device, y, bytes), *same = test_take(device, in, bytes);
        /* Of one number the mean is itself, and nothing but the bias is left. */
        assert_close(got, want, m * d, d == 1 ? 1e-4 : 1e-6);
        assert_same_bits(got, same, m * d);
        slm_device_free(device, other);
        slm_device_free(device, weight), slm_device_free(device, bias);
        free(x), free(r), free(w), free(b), free(want), free(got), free(same);
    }
    slm_device_close(device);
}

static void gelu_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    enum { N = 24001 }; /* from -12 to 12; not a whole number of vectors */
    static float x[N];
    static double want[N];
    for (int i = 0; i < N; i++) {
        x[i] = -12.0f + 0.001f * (float)i;
        want[i] = (double)x[i] * 0.5 * (1 + erf((double)x[i] / sqrt(2.0)));
    }
    slm_mem in = test_mem(device, x, sizeof x), y = test_mem(device, NULL, sizeof x);
    table->gelu(device, y, in, N);
    table->gelu(device, in, in, N);
    float *got = test_take(device, y, sizeof x), *same = test_take(device, in, sizeof x);
    assert_close(got, want, N, 1e-6);
    assert_same_bits(got, same, N);
    for (int i = 0; i < N; i++)
        if (fabs((double)got[i] - want[i]) > 2e-6)
            fail_msg("gelu(%g) is %g, not %g", (double)x[i], (double)got[i], want[i]);
    free(got), free(same);
    slm_device_close(device);
}

static void split_keeps_both_parts(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(3, 2);
    for (size_t c = 0; c < WIDTHS; c++) {
        const size_t d = widths[c], m = 5;
        float *x = test_normal(&random, m * d, 2.0f);
        slm_mem in = test_mem(device, x, m * d * sizeof *x);
        slm_mem y = test_mem(device, NULL, m * 3 * d * sizeof(uint16_t));
        table->split(device, y, in, m, d);
        uint16_t *got = test_take(device, y, m * 3 * d * sizeof *got);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < d; j++) {
                const float value = x[i * d + j];
                const uint16_t high = slm_bf16_from_f32(value);
                const uint16_t low = slm_bf16_from_f32(value - slm_bf16_to_f32(high));
                assert_int_equal(got[i * 3 * d + j], high);
                assert_int_equal(got[i * 3 * d + d + j], low);
                assert_int_equal(got[i * 3 * d + 2 * d + j], high);
            }
        slm_device_free(device, in);
        free(x), free(got);
    }
    slm_device_close(device);
}

/* A linear over parts is one over f32, to 2^-16 or so. */
static void split_linear_is_nearly_f32(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    enum { M = 37, N = 50, K = 96 };
    slm_random random = slm_random_new(4, 2);
    float *x = test_normal(&random, M * K, 1.0f), *w = test_normal(&random, N * K, 1.0f);
    double *want = test_alloc(M * N, sizeof *want);
    uint16_t *parts = test_alloc(N * 3 * K, sizeof *parts);
    slm_weight *weight = NULL;
    for (size_t i = 0; i < M * N; i++)
        for (size_t k = 0; k < K; k++)
            want[i] += (double)x[i / N * K + k] * (double)w[i % N * K + k];
    for (size_t i = 0; i < N * K; i++) {
        uint16_t *row = parts + i / K * 3 * K + i % K;
        row[0] = row[K] = slm_bf16_from_f32(w[i]);
        row[2 * K] = slm_bf16_from_f32(w[i] - slm_bf16_to_f32(row[0]));
    }
    slm_error err;
    if (slm_weight_pack(device, SLM_BF16, parts, N, 3 * K, SLM_BF16, &weight, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_mem in = test_mem(device, x, M * K * sizeof *x);
    slm_mem halves = test_mem(device, NULL, M * 3 * K * sizeof(uint16_t));
    slm_mem y = test_mem(device, NULL, M * N * sizeof(float));
    table->split(device, halves, in, M, K);
    const slm_linear layer = {y, weight, {NULL}};
    table->linear(device, &layer, 1, halves, M, false, NULL, 0);
    float *got = test_take(device, y, M * N * sizeof *got);
    assert_close(got, want, M * N, 1e-5);
    slm_device_free(device, in), slm_device_free(device, halves);
    slm_weight_free(weight);
    free(x), free(w), free(want), free(parts), free(got);
    slm_device_close(device);
}

static float *attend(slm_device *device, const float *q, const float *k, const float *v,
                     const int32_t *lens, size_t count, size_t rows, size_t heads, size_t dim)
{
    const size_t bytes = rows * heads * dim * sizeof(float);
    slm_mem mq = test_mem(device, q, bytes), mk = test_mem(device, k, bytes);
    slm_mem mv = test_mem(device, v, bytes), y = test_mem(device, NULL, bytes);
    slm_device_table(device)->attention_whole(device, y, mq, mk, mv, lens, count, heads, dim, 0.3f);
    slm_device_free(device, mq), slm_device_free(device, mk), slm_device_free(device, mv);
    return test_take(device, y, bytes);
}

static void want_attention(double *want, const float *q, const float *k, const float *v, size_t n,
                           size_t heads, size_t dim)
{
    const size_t stride = heads * dim;
    double *weight = test_alloc(n, sizeof *weight);
    for (size_t u = 0; u < n * heads; u++) {
        const size_t at = u / heads * stride + u % heads * dim, column = u % heads * dim;
        double total = 0;
        for (size_t j = 0; j < n; j++) {
            double dot = 0;
            for (size_t i = 0; i < dim; i++)
                dot += (double)q[at + i] * (double)k[j * stride + column + i];
            total += weight[j] = exp(dot * (double)0.3f);
        }
        for (size_t i = 0; i < dim; i++) {
            want[at + i] = 0;
            for (size_t j = 0; j < n; j++)
                want[at + i] += weight[j] / total * (double)v[j * stride + column + i];
        }
    }
    free(weight);
}

static void attention_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    static const int32_t lens[] = {1, 5, 16, 17, 2, 70, 33, 4};
    static const size_t dims[] = {1, 8, 20, 32, 64};
    enum { COUNT = sizeof lens / sizeof lens[0], ROWS = 1 + 5 + 16 + 17 + 2 + 70 + 33 + 4 };
    slm_random random = slm_random_new(5, 2);
    for (size_t c = 0; c < sizeof dims / sizeof dims[0]; c++) {
        const size_t heads = 3, dim = dims[c], stride = heads * dim;
        float *q = test_normal(&random, ROWS * stride, 1.0f);
        float *k = test_normal(&random, ROWS * stride, 1.0f);
        float *v = test_normal(&random, ROWS * stride, 1.0f);
        float *got = attend(device, q, k, v, lens, COUNT, ROWS, heads, dim);
        double *want = test_alloc(ROWS * stride, sizeof *want);
        size_t at = 0;
        for (size_t s = 0; s < COUNT; s++) {
            const size_t n = (size_t)lens[s];
            want_attention(want + at, q + at, k + at, v + at, n, heads, dim);
            float *alone = attend(device, q + at, k + at, v + at, &lens[s], 1, n, heads, dim);
            assert_same_bits(alone, got + at, n * stride);
            free(alone);
            at += n * stride;
        }
        assert_close(got, want, ROWS * stride, 1e-6);
        slm_device *other = test_open(*state, 1); /* nor do threads change a bit */
        float *single = attend(other, q, k, v, lens, COUNT, ROWS, heads, dim);
        assert_same_bits(single, got, ROWS * stride);
        slm_device_close(other);
        free(q), free(k), free(v), free(got), free(want), free(single);
    }
    slm_device_close(device);
}

static void means_match_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    static const int32_t lens[] = {3, 1, 250, 16};
    enum { ROWS = 270 };
    slm_random random = slm_random_new(6, 2);
    for (size_t c = 0; c < WIDTHS; c++) {
        const size_t d = widths[c];
        float *x = test_normal(&random, ROWS * d, 1.0f);
        double *want = test_alloc(4 * d, sizeof *want);
        for (size_t s = 0, row = 0; s < 4; s++)
            for (int32_t i = 0; i < lens[s]; i++, row++)
                for (size_t j = 0; j < d; j++)
                    want[s * d + j] += (double)x[row * d + j] / lens[s];
        slm_mem in = test_mem(device, x, ROWS * d * sizeof *x);
        slm_mem y = test_mem(device, NULL, 4 * d * sizeof *x);
        table->mean_pool(device, y, in, lens, 4, d);
        float *got = test_take(device, y, 4 * d * sizeof *x);
        assert_close(got, want, 4 * d, 1e-6);
        slm_device_free(device, in);
        free(x), free(got), free(want);
    }
    slm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(layer_norm_matches_double), TEST_PATHS(gelu_matches_double),
        TEST_PATHS(split_keeps_both_parts),    TEST_PATHS(split_linear_is_nearly_f32),
        TEST_PATHS(attention_matches_double),  TEST_PATHS(means_match_double),
    };
    return cmocka_run_group_tests_name("kernel/encoder", tests, NULL, NULL);
}
