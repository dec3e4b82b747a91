/* test_rows.c: norm, rotation, activation, conversion and gather of every path against double,
 * their rounding to bf16, and that neither threads nor neighbouring rows change a bit. */
#include "kernel/kernel_test.h"

static const size_t widths[] = {1, 2, 7, 8, 16, 31, 33, 64, 172, 576, 1001};
enum { WIDTHS = sizeof widths / sizeof *widths };

/* out[count] of `act`, as f32. */
static float *take_act(slm_device *device, slm_mem mem, slm_dtype act, size_t count)
{
    if (act == SLM_F32) return test_take(device, mem, count * sizeof(float));
    uint16_t *half = test_take(device, mem, count * sizeof *half);
    float *out = test_alloc(count, sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = slm_bf16_to_f32(half[i]);
    free(half);
    return out;
}

static float *run_norm(slm_device *device, slm_dtype act, const float *x, const float *w, size_t m,
                       size_t d)
{
    slm_mem in = test_mem(device, x, m * d * sizeof *x), y = test_mem(device, NULL, m * d * 4);
    slm_mem weight = test_mem(device, w, d * sizeof *w);
    slm_device_table(device)->rms_norm(device, y, act, in, weight, m, d, 1e-5f);
    slm_device_free(device, in), slm_device_free(device, weight);
    return take_act(device, y, act, m * d);
}

static void norm_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(1, 2);
    for (size_t c = 0; c < WIDTHS; c++) {
        const size_t d = widths[c], m = 9;
        float *x = test_normal(&random, m * d, 3.0f), *w = test_normal(&random, d, 1.0f);
        double *want = test_alloc(m * d, sizeof *want);
        for (size_t i = 0; i < m; i++) {
            double sum = 0.0;
            for (size_t j = 0; j < d; j++)
                sum += (double)x[i * d + j] * (double)x[i * d + j];
            for (size_t j = 0; j < d; j++)
                want[i * d + j] =
                    (double)x[i * d + j] / sqrt(sum / (double)d + (double)1e-5f) * (double)w[j];
        }
        float *got = run_norm(device, SLM_F32, x, w, m, d);
        float *half = run_norm(device, SLM_BF16, x, w, m, d);
        assert_close(got, want, m * d, 1e-6);
        for (size_t i = 0; i < m; i++) { /* a row alone is the row among others */
            float *alone = run_norm(device, SLM_F32, x + i * d, w, 1, d);
            assert_same_bits(alone, got + i * d, d);
            free(alone);
        }
        slm_mem same = test_mem(device, x, m * d * sizeof *x); /* y may be x */
        slm_mem weight = test_mem(device, w, d * sizeof *w);
        table->rms_norm(device, same, SLM_F32, same, weight, m, d, 1e-5f);
        float *in_place = test_take(device, same, m * d * sizeof *x);
        assert_same_bits(in_place, got, m * d);
        test_round_bf16(got, m * d);
        assert_same_bits(half, got, m * d);
        slm_device_free(device, weight);
        free(x), free(w), free(want), free(got), free(half), free(in_place);
    }
    slm_device_close(device);
}

static void swiglu_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(2, 2);
    for (size_t c = 0; c < WIDTHS; c++) {
        const size_t n = widths[c] * 100;
        float *gate = test_normal(&random, n, 10.0f), *up = test_normal(&random, n, 1.0f);
        gate[0] = -120.0f;    /* silu underflows to 0 ... */
        gate[n - 1] = 200.0f; /* ... and is the identity */
        double *want = test_alloc(n, sizeof *want);
        for (size_t i = 0; i < n; i++)
            want[i] = (double)gate[i] / (1.0 + exp(-(double)gate[i])) * (double)up[i];
        slm_mem g = test_mem(device, gate, n * 4), u = test_mem(device, up, n * 4);
        slm_mem y = test_mem(device, NULL, n * 4), half = test_mem(device, NULL, n * 2);
        table->swiglu(device, y, SLM_F32, g, u, n);
        table->swiglu(device, half, SLM_BF16, g, u, n);
        float *got = take_act(device, y, SLM_F32, n),
              *rounded = take_act(device, half, SLM_BF16, n);
        assert_close(got, want, n, 1e-6);
        for (size_t i = 0; i < n; i++)
            if (!(fabs((double)got[i] - want[i]) <= 1e-6 * fabs(want[i]) + 1e-30))
                fail_msg("silu(%g) * %g is %.9g, not %.9g", (double)gate[i], (double)up[i],
                         (double)got[i], want[i]);
        test_round_bf16(got, n);
        assert_same_bits(rounded, got, n);
        slm_device_free(device, g), slm_device_free(device, u);
        free(gate), free(up), free(want), free(got), free(rounded);
    }
    slm_device_close(device);
}

static void convert_rounds_to_nearest_even(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(3, 2);
    enum { N = 1003 };
    float x[N], want[N];
    for (size_t i = 0; i < N; i++) { /* any bits at all: denormals, infinities, NaN */
        uint32_t bits = (uint32_t)slm_random_u64(&random);
        if (i % 3 == 0) bits = (bits & 0xffff0000u) | 0x8000u; /* ties */
        if (i % 50 == 0) bits |= 0x7f800000u;
        memcpy(&x[i], &bits, sizeof bits);
    }
    slm_mem in = test_mem(device, x, sizeof x), y = test_mem(device, NULL, sizeof x);
    table->convert(device, y, SLM_BF16, in, 1.0f, N);
    uint16_t *half = test_take(device, y, N * sizeof *half);
    for (size_t i = 0; i < N; i++)
        if (!isnan(x[i]))
            assert_int_equal(half[i], slm_bf16_from_f32(x[i]));
        else
            assert_true(isnan(slm_bf16_to_f32(half[i])));
    free(half);
    for (size_t i = 0; i < N; i++) {
        x[i] = (float)slm_random_normal(&random);
        want[i] = 0.3f * x[i];
    }
    slm_device_upload(device, in, x, sizeof x);
    table->convert(device, in, SLM_F32, in, 0.3f, N);
    float *scaled = test_take(device, in, sizeof x);
    assert_same_bits(scaled, want, N);
    free(scaled);
    slm_device_close(device);
}

static float *run_rope(slm_device *device, const float *x, const int32_t *positions,
                       const double *frequencies, size_t m, size_t heads, size_t dim,
                       bool interleaved, int direction)
{
    slm_mem mem = test_mem(device, x, m * heads * dim * sizeof *x);
    slm_device_table(device)->rope(device, mem, positions, frequencies, m, heads, dim, interleaved,
                                   direction);
    return test_take(device, mem, m * heads * dim * sizeof *x);
}

static void rope_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(4, 2);
    const size_t dims[] = {2, 6, 8, 34, 64, 80, 128};
    enum { M = 13 };
    for (size_t c = 0; c < 14; c++) {
        const size_t dim = dims[c / 2], half = dim / 2, heads = 3, count = M * heads * dim;
        const bool interleaved = c % 2 == 1;
        double frequencies[64], *want = test_alloc(count, sizeof *want);
        for (size_t i = 0; i < half; i++)
            frequencies[i] = pow(100000.0, -(double)i / (double)half);
        int32_t positions[M];
        for (size_t i = 0; i < M; i++)
            positions[i] = (int32_t)(i < 6 ? i * 7 : slm_random_below(&random, 131072));
        float *x = test_normal(&random, count, 1.0f);
        for (size_t i = 0; i < M * heads; i++) {
            for (size_t p = 0; p < half; p++) {
                size_t a = i * dim + (interleaved ? 2 * p : p), b = a + (interleaved ? 1 : half);
                double angle = positions[i / heads] * frequencies[p];
                want[a] = (double)x[a] * cos(angle) - (double)x[b] * sin(angle);
                want[b] = (double)x[a] * sin(angle) + (double)x[b] * cos(angle);
            }
        }
        float *got = run_rope(device, x, positions, frequencies, M, heads, dim, interleaved, 1);
        assert_close(got, want, count, 1e-6);
        for (size_t i = 0; i < M; i++) {
            float *alone = run_rope(device, x + i * heads * dim, positions + i, frequencies, 1,
                                    heads, dim, interleaved, 1);
            assert_same_bits(alone, got + i * heads * dim, heads * dim);
            free(alone);
        }
        float *back = run_rope(device, got, positions, frequencies, M, heads, dim, interleaved, -1);
        for (size_t i = 0; i < count; i++)
            want[i] = (double)x[i];
        assert_close(back, want, count, 1e-6);
        free(x), free(want), free(got), free(back);
    }
    slm_device_close(device);
}

/* The two orders are the same rotation of other pairs. */
static void rope_orders_agree(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    enum { DIM = 34, HALF = DIM / 2, M = 5 };
    slm_random random = slm_random_new(5, 2);
    float *x = test_normal(&random, M * DIM, 1.0f), *mixed = test_alloc(M * DIM, sizeof *mixed);
    double frequencies[HALF];
    int32_t positions[M] = {0, 1, 2, 1000, 99999};
    for (size_t i = 0; i < HALF; i++)
        frequencies[i] = 1.0 / (double)(i + 1);
    for (size_t i = 0; i < M * HALF; i++) {
        size_t row = i / HALF * DIM, p = i % HALF;
        mixed[row + 2 * p] = x[row + p];
        mixed[row + 2 * p + 1] = x[row + HALF + p];
    }
    float *halves = run_rope(device, x, positions, frequencies, M, 1, DIM, false, 1);
    float *pairs = run_rope(device, mixed, positions, frequencies, M, 1, DIM, true, 1);
    for (size_t i = 0; i < M * HALF; i++) {
        size_t row = i / HALF * DIM, p = i % HALF;
        assert_same_bits(&halves[row + p], &pairs[row + 2 * p], 1);
        assert_same_bits(&halves[row + HALF + p], &pairs[row + 2 * p + 1], 1);
    }
    free(x), free(mixed), free(halves), free(pairs);
    slm_device_close(device);
}

static void rows_do_not_depend_on_threads(void **state)
{
    enum { M = 70, D = 576 };
    float *first[4] = {NULL, NULL, NULL, NULL};
    for (int threads = 1; threads <= 3; threads++) {
        OPEN_OR_SKIP(device, state, threads);
        slm_random random = slm_random_new(6, 2);
        float *x = test_normal(&random, M * D, 2.0f), *w = test_normal(&random, M * D, 1.0f);
        double frequencies[32];
        int32_t positions[M];
        for (size_t i = 0; i < 32; i++)
            frequencies[i] = 1.0 / (double)(i + 1);
        for (int32_t i = 0; i < M; i++)
            positions[i] = i * 31;
        slm_mem a = test_mem(device, x, M * D * 4), b = test_mem(device, w, M * D * 4);
        slm_mem y = test_mem(device, NULL, M * D * 4), z = test_mem(device, NULL, M * D * 4);
        table->swiglu(device, y, SLM_F32, a, b, M * D);
        table->convert(device, z, SLM_F32, a, 1.7f, M * D);
        float *got[4] = {run_norm(device, SLM_F32, x, w, M, D),
                         run_rope(device, x, positions, frequencies, M, 9, 64, true, 1),
                         test_take(device, y, M * D * 4), test_take(device, z, M * D * 4)};
        for (int i = 0; i < 4; i++) {
            if (first[i] == NULL)
                first[i] = got[i];
            else {
                assert_same_bits(got[i], first[i], (size_t)M * D);
                free(got[i]);
            }
        }
        slm_device_free(device, a), slm_device_free(device, b);
        free(x), free(w);
        slm_device_close(device);
    }
    for (int i = 0; i < 4; i++)
        free(first[i]);
}

static void gather_and_zero_move_bytes(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    float x[5 * 3];
    for (size_t i = 0; i < 15; i++)
        x[i] = (float)i;
    const int32_t rows[] = {4, 0, 0, 2};
    const float want[] = {12, 13, 14, 0, 1, 2, 0, 0, 0, 6, 7, 8};
    slm_mem in = test_mem(device, x, sizeof x), y = test_mem(device, NULL, sizeof want);
    table->gather(device, y, in, rows, 4, 3);
    table->zero(device, slm_mem_at(y, 6 * sizeof(float)), 3 * sizeof(float));
    float *got = test_take(device, y, sizeof want);
    assert_same_bits(got, want, 12);
    free(got);
    slm_device_free(device, in);
    slm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(norm_matches_double),
        TEST_PATHS(swiglu_matches_double),
        TEST_PATHS(convert_rounds_to_nearest_even),
        TEST_PATHS(rope_matches_double),
        TEST_PATHS(rope_orders_agree),
        TEST_PATHS(rows_do_not_depend_on_threads),
        TEST_PATHS(gather_and_zero_move_bytes),
    };
    return cmocka_run_group_tests_name("kernel/rows", tests, NULL, NULL);
}
