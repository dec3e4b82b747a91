/* test_backward.c: gradients of linear layers and of operations on rows, dropout and the optimiser:
 * every path against sums in double, formulas against finite differences, and the promise that
 * results depend neither on the number of threads nor, for inputs, on the other rows. */
#include "kernel/kernel_test.h"

static float *normal(slm_random *random, size_t count, float scale, slm_dtype dtype)
{
    float *x = test_normal(random, count, scale);
    if (dtype == SLM_BF16) test_round_bf16(x, count);
    return x;
}

/* n, k: odd ones, and such as models have. */
static const size_t shapes[][2] = {{1, 1},     {5, 3},    {16, 2},    {17, 7},    {31, 16},
                                   {48, 64},   {50, 33},  {64, 172},  {172, 64},  {192, 576},
                                   {513, 65},  {576, 96}, {7, 1537},  {1000, 31}, {16, 576},
                                   {5000, 40}, {576, 16}, {1536, 160}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* ---- linear_dx ----------------------------------------------------------------------------- */

static float *run_dx(slm_device *device, const slm_weight *const *w, const float *const *dy,
                     size_t count, const float *before, size_t m)
{
    slm_linear_grad layers[3];
    const size_t k = slm_weight_columns(w[0]);
    for (size_t l = 0; l < count; l++) {
        const size_t n = slm_weight_rows(w[l]);
        layers[l] = (slm_linear_grad){.w = w[l], .n = n};
        layers[l].dy = test_activations(device, dy[l], m * n, slm_weight_dtype(w[l]));
    }
    slm_mem dx = test_mem(device, before, m * k * sizeof(float));
    const slm_kernels *table = slm_device_table(device);
    table->linear_dx(device, dx, layers, count, m, before != NULL);
    table->sync(device);
    for (size_t l = 0; l < count; l++)
        slm_device_free(device, layers[l].dy);
    return test_take(device, dx, m * k * sizeof(float));
}

static void dx_matches_double(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(1, 2);
    const size_t counts[] = {1, 9, 70};
    for (size_t s = 0; s < SHAPES; s++) {
        for (size_t c = 0; c < 6; c++) {
            const size_t k = shapes[s][1], m = counts[c / 2], layers = 1 + s % 3;
            const slm_dtype dtype = c % 2 ? SLM_BF16 : SLM_F32;
            float *before = test_normal(&random, m * k, 1.0f), *dy[3];
            double *want = test_alloc(m * k, sizeof *want), *sum = test_alloc(m * k, sizeof *sum);
            slm_weight *weight[3];
            for (size_t l = 0; l < layers; l++) {
                const size_t n = l == 0 ? shapes[s][0] : 10 + 7 * l;
                float *w = normal(&random, n * k, 0.5f, dtype);
                dy[l] = normal(&random, m * n, 1.0f, dtype);
                weight[l] = test_pack(device, w, n, k, dtype);
                for (size_t i = 0; i < m; i++)
                    for (size_t j = 0; j < n; j++)
                        for (size_t p = 0; p < k; p++)
                            want[i * k + p] += (double)dy[l][i * n + j] * (double)w[j * k + p];
                free(w);
            }
            for (size_t i = 0; i < m * k; i++)
                sum[i] = want[i] + (double)before[i];
            const slm_weight *const *const all = (const slm_weight *const *)weight;
            float *sets = run_dx(device, all, (const float *const *)dy, layers, NULL, m);
            float *adds = run_dx(device, all, (const float *const *)dy, layers, before, m);
            assert_close(sets, want, m * k, 1e-5);
            assert_close(adds, sum, m * k, 1e-5);
            for (size_t l = 0; l < layers; l++) {
                slm_weight_free(weight[l]);
                free(dy[l]);
            }
            free(before), free(want), free(sum), free(sets), free(adds);
        }
    }
    slm_device_close(device);
}

/* Each row alone, and the first m together, give the bits of all together; 1, 2 and 3 threads too. */
static void dx_rows_do_not_see_each_other(void **state)
{
    const size_t some[][2] = {{17, 7}, {64, 172}, {5000, 64}, {100, 1000}};
    enum { ROWS = 300 };
    for (size_t s = 0; s < 8; s++) {
        const size_t n = some[s / 2][0], k = some[s / 2][1];
        slm_random random = slm_random_new(2, s);
        float *w = test_normal(&random, n * k, 0.5f), *dy = test_normal(&random, ROWS * n, 1.0f);
        float *before = test_normal(&random, ROWS * k, 1.0f), *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            TRAINS_OR_SKIP(device, state, threads);
            slm_weight *weight = test_pack(device, w, n, k, s % 2 ? SLM_BF16 : SLM_F32);
            const slm_weight *const one = weight;
            const float *const at = dy;
            float *whole = run_dx(device, &one, &at, 1, before, ROWS);
            if (first == NULL) first = whole;
            assert_same_bits(whole, first, ROWS * k);
            const size_t counts[] = {1, 2, 15, 16, 17, 31, 33, 100, 257};
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                const size_t m = counts[c], from = ROWS - m;
                const float *const part = dy + from * n;
                float *rows = run_dx(device, &one, &part, 1, before + from * k, m);
                assert_same_bits(rows, whole + from * k, m * k);
                free(rows);
            }
            if (whole != first) free(whole);
            slm_weight_free(weight);
            slm_device_close(device);
        }
        free(w), free(dy), free(before), free(first);
    }
}

/* ---- linear_dw ----------------------------------------------------------------------------- */

static void dw_matches_double(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(3, 2);
    const size_t counts[] = {1, 9, 70, 600, 4500};
    for (size_t s = 0; s < SHAPES; s++) {
        for (size_t c = 0; c < 10; c++) {
            const size_t k = shapes[s][1], m = counts[c / 2], layers = 1 + s % 3;
            if (m >= 600 && m * shapes[s][0] * k > 8000000) continue;
            const slm_dtype dtype = c % 2 ? SLM_BF16 : SLM_F32;
            float *x = normal(&random, m * k, 1.0f, dtype), *dy[3], *dw[3], *dbias[3];
            double *want[3], *bias[3];
            slm_linear_grad layer[3];
            for (size_t l = 0; l < layers; l++) {
                const size_t n = l == 0 ? shapes[s][0] : 10 + 7 * l;
                dy[l] = normal(&random, m * n, 1.0f, dtype);
                dw[l] = test_normal(&random, n * k, 1.0f);
                dbias[l] = test_normal(&random, n, 1.0f);
                want[l] = test_alloc(n * k, sizeof *want[l]);
                bias[l] = test_alloc(n, sizeof *bias[l]);
                for (size_t j = 0; j < n; j++) {
                    bias[l][j] = (double)dbias[l][j];
                    for (size_t i = 0; i < m; i++)
                        bias[l][j] += (double)dy[l][i * n + j];
                    for (size_t p = 0; p < k; p++) {
                        double sum = (double)dw[l][j * k + p];
                        for (size_t i = 0; i < m; i++)
                            sum += (double)dy[l][i * n + j] * (double)x[i * k + p];
                        want[l][j * k + p] = sum;
                    }
                }
                layer[l] =
                    (slm_linear_grad){.dy = test_activations(device, dy[l], m * n, dtype), .n = n};
                if (l != 1) layer[l].dw = test_mem(device, dw[l], n * k * sizeof(float));
                if (l != 2) layer[l].dbias = test_mem(device, dbias[l], n * sizeof(float));
            }
            slm_mem in = test_activations(device, x, m * k, dtype);
            table->linear_dw(device, layer, layers, in, dtype, m, k);
            table->sync(device);
            slm_device_free(device, in);
            for (size_t l = 0; l < layers; l++) {
                const size_t n = layer[l].n;
                slm_device_free(device, layer[l].dy);
                if (l != 1) {
                    float *got = test_take(device, layer[l].dw, n * k * sizeof *got);
                    assert_close(got, want[l], n * k, 1e-5);
                    free(got);
                }
                if (l != 2) {
                    float *got = test_take(device, layer[l].dbias, n * sizeof *got);
                    assert_close(got, bias[l], n, 1e-5);
                    free(got);
                }
                free(dy[l]), free(dw[l]), free(dbias[l]), free(want[l]), free(bias[l]);
            }
            free(x);
        }
    }
    slm_device_close(device);
}

/* A head's many outputs are computed in parts: each equals what a layer of these outputs alone has. */
static void dw_of_many_outputs(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    const size_t n = 8192 + 37, k = 260, m = 40, sides[][2] = {{0, 100}, {8150, 79}};
    for (size_t d = 0; d < 2; d++) {
        const slm_dtype dtype = d ? SLM_BF16 : SLM_F32;
        slm_random random = slm_random_new(5, d);
        float *x = normal(&random, m * k, 1.0f, dtype), *dy = normal(&random, m * n, 1.0f, dtype);
        slm_mem in = test_activations(device, x, m * k, dtype);
        slm_linear_grad all = {.dy = test_activations(device, dy, m * n, dtype), .n = n};
        all.dw = test_mem(device, NULL, n * k * sizeof(float));
        table->linear_dw(device, &all, 1, in, dtype, m, k);
        slm_device_free(device, all.dy);
        float *got = test_take(device, all.dw, n * k * sizeof *got);
        for (size_t s = 0; s < 2; s++) {
            const size_t first = sides[s][0], count = sides[s][1];
            float *some = test_alloc(m * count, sizeof *some);
            for (size_t i = 0; i < m; i++)
                memcpy(some + i * count, dy + i * n + first, count * sizeof *some);
            slm_linear_grad part = {.dy = test_activations(device, some, m * count, dtype),
                                    .n = count};
            part.dw = test_mem(device, NULL, count * k * sizeof(float));
            table->linear_dw(device, &part, 1, in, dtype, m, k);
            slm_device_free(device, part.dy);
            float *want = test_take(device, part.dw, count * k * sizeof *want);
            assert_same_bits(got + first * k, want, count * k);
            free(want), free(some);
        }
        slm_device_free(device, in);
        free(got), free(x), free(dy);
    }
    slm_device_close(device);
}

static void dw_does_not_depend_on_threads(void **state)
{
    const size_t some[][2] = {{17, 7}, {16, 576}, {576, 16}, {200, 300}, {8300, 257}};
    for (size_t s = 0; s < 10; s++) {
        const size_t n = some[s / 2][0], k = some[s / 2][1], m = n > 8192 ? 20 : 333;
        const slm_dtype dtype = s % 2 ? SLM_BF16 : SLM_F32;
        float *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            TRAINS_OR_SKIP(device, state, threads);
            slm_random random = slm_random_new(4, s);
            float *x = test_normal(&random, m * k, 1.0f), *dy = test_normal(&random, m * n, 1.0f);
            slm_linear_grad layer = {.dy = test_activations(device, dy, m * n, dtype), .n = n};
            layer.dw = test_mem(device, NULL, (n * k + n) * sizeof(float));
            layer.dbias = slm_mem_at(layer.dw, n * k * sizeof(float));
            slm_mem in = test_activations(device, x, m * k, dtype);
            table->linear_dw(device, &layer, 1, in, dtype, m, k);
            table->sync(device);
            slm_device_free(device, in);
            slm_device_free(device, layer.dy);
            float *got = test_take(device, layer.dw, (n * k + n) * sizeof *got);
            if (first == NULL) first = got;
            assert_same_bits(got, first, n * k + n);
            if (got != first) free(got);
            free(x), free(dy);
            slm_device_close(device);
        }
        free(first);
    }
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* L = sum of dy * norm(x), in double. */
static double norm_loss(const double *x, const float *weight, const float *dy, size_t m, size_t d,
                        double eps)
{
    double loss = 0.0;
    for (size_t i = 0; i < m; i++) {
        double squares = 0.0;
        for (size_t j = 0; j < d; j++)
            squares += x[i * d + j] * x[i * d + j];
        const double r = 1.0 / sqrt(squares / (double)d + eps);
        for (size_t j = 0; j < d; j++)
            loss += (double)dy[i * d + j] * x[i * d + j] * r * (double)weight[j];
    }
    return loss;
}

static void rms_norm_backward_is_the_derivative(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    const size_t sizes[][2] = {{1, 2}, {3, 5}, {4, 16}, {2, 64}, {30, 50}, {5, 576}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t m = sizes[s][0], d = sizes[s][1], bytes = m * d * sizeof(float);
        const float eps = 1e-5f;
        slm_random random = slm_random_new(5, s);
        float *x = test_normal(&random, m * d, 1.5f), *dy = test_normal(&random, m * d, 1.0f);
        float *weight = test_normal(&random, d, 1.0f), *before = test_normal(&random, m * d, 1.0f);
        double *wide = test_alloc(m * d, sizeof *wide), *want = test_alloc(m * d, sizeof *want);
        double *sum = test_alloc(m * d, sizeof *sum), *dweight = test_alloc(d, sizeof *dweight);
        for (size_t i = 0; i < m * d; i++)
            wide[i] = (double)x[i];
        for (size_t i = 0; i < m * d; i++) {
            const double step = 1e-5;
            const size_t row = i / d * d; /* the others' part would only add noise */
            wide[i] = (double)x[i] + step;
            const double up = norm_loss(wide + row, weight, dy + row, 1, d, (double)eps);
            wide[i] = (double)x[i] - step;
            const double down = norm_loss(wide + row, weight, dy + row, 1, d, (double)eps);
            wide[i] = (double)x[i];
            want[i] = (up - down) / (2 * step);
            sum[i] = want[i] + (double)before[i];
        }
        for (size_t j = 0; j < d; j++) {
            float *only = test_alloc(d, sizeof *only);
            only[j] = 1.0f;
            dweight[j] = norm_loss(wide, only, dy, m, d, (double)eps) + (double)weight[j];
            free(only);
        }
        slm_mem mx = test_mem(device, x, bytes), mw = test_mem(device, weight, d * sizeof(float));
        slm_mem mdy = test_mem(device, dy, bytes), dx = test_mem(device, before, bytes);
        slm_mem dw = test_mem(device, weight, d * sizeof(float)), none = {NULL};
        table->rms_norm_backward(device, dx, dw, mdy, mx, mw, m, d, eps, true);
        table->rms_norm_backward(device, mdy, none, mdy, mx, mw, m, d, eps, false); /* in place */
        table->sync(device);
        float *adds = test_take(device, dx, bytes), *sets = test_take(device, mdy, bytes);
        float *got = test_take(device, dw, d * sizeof *got);
        assert_close(sets, want, m * d, d == 2 ? 1e-4 : 1e-5);
        assert_close(adds, sum, m * d, 1e-5);
        assert_close(got, dweight, d, 1e-5);
        slm_device_free(device, mx);
        slm_device_free(device, mw);
        free(x), free(dy), free(weight), free(before), free(wide), free(want), free(sum);
        free(dweight), free(adds), free(sets), free(got);
    }
    slm_device_close(device);
}

static double swiglu_at(double gate, double up)
{
    return gate / (1.0 + exp(-gate)) * up;
}

static void swiglu_backward_is_the_derivative(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    enum { ITEMS = 1003 };
    slm_random random = slm_random_new(6, 1);
    float *gate = test_normal(&random, ITEMS, 3.0f), *up = test_normal(&random, ITEMS, 1.0f);
    float *dy = test_normal(&random, ITEMS, 1.0f);
    double *dgate = test_alloc(ITEMS, sizeof *dgate), *dup = test_alloc(ITEMS, sizeof *dup);
    for (size_t i = 0; i < ITEMS; i++) {
        const double g = (double)gate[i], u = (double)up[i], h = 1e-5;
        dgate[i] = (double)dy[i] * (swiglu_at(g + h, u) - swiglu_at(g - h, u)) / (2 * h);
        dup[i] = (double)dy[i] * swiglu_at(g, 1.0);
    }
    for (int wide = 0; wide < 2; wide++) {
        const slm_dtype act = wide ? SLM_F32 : SLM_BF16;
        const size_t bytes = ITEMS * sizeof(float);
        slm_mem g = test_mem(device, gate, bytes), u = test_mem(device, up, bytes);
        slm_mem d = test_mem(device, dy, bytes), a = test_mem(device, NULL, bytes);
        slm_mem b = test_mem(device, NULL, bytes);
        table->swiglu_backward(device, wide ? g : a, wide ? u : b, act, d, g, u, ITEMS);
        table->sync(device);
        slm_device_free(device, d);
        slm_device_free(device, wide ? a : g);
        slm_device_free(device, wide ? b : u);
        void *one = test_take(device, wide ? g : a, bytes),
             *two = test_take(device, wide ? u : b, bytes);
        float *x = test_alloc(ITEMS, sizeof *x), *y = test_alloc(ITEMS, sizeof *y);
        for (size_t i = 0; i < ITEMS; i++) {
            x[i] = wide ? ((float *)one)[i] : slm_bf16_to_f32(((uint16_t *)one)[i]);
            y[i] = wide ? ((float *)two)[i] : slm_bf16_to_f32(((uint16_t *)two)[i]);
        }
        assert_close(x, dgate, ITEMS, wide ? 1e-5 : 4e-3);
        assert_close(y, dup, ITEMS, wide ? 1e-5 : 4e-3);
        free(one), free(two), free(x), free(y);
    }
    free(gate), free(up), free(dy), free(dgate), free(dup);
    slm_device_close(device);
}

/* The rotation's derivative is the rotation by the opposite angle: L = dy . rope(x) is linear. */
static void rope_backward_is_the_inverse(void **state)
{
    TRAINS_OR_SKIP(device, state, 1);
    enum { ROWS = 3, HEADS = 2, DIM = 16, ITEMS = ROWS * HEADS * DIM };
    const int32_t positions[ROWS] = {0, 7, 1000};
    double frequencies[DIM / 2];
    for (int i = 0; i < DIM / 2; i++)
        frequencies[i] = pow(10000.0, -2.0 * i / DIM);
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        slm_random random = slm_random_new(7, 1);
        float *x = test_normal(&random, ITEMS, 1.0f), *dy = test_normal(&random, ITEMS, 1.0f);
        slm_mem y = test_mem(device, x, ITEMS * sizeof *x),
                d = test_mem(device, dy, ITEMS * sizeof *x);
        table->rope(device, y, positions, frequencies, ROWS, HEADS, DIM, interleaved != 0, 1);
        table->rope(device, d, positions, frequencies, ROWS, HEADS, DIM, interleaved != 0, -1);
        float *turned = test_take(device, y, ITEMS * sizeof *x);
        float *back = test_take(device, d, ITEMS * sizeof *x);
        double one = 0.0, two = 0.0;
        for (size_t i = 0; i < ITEMS; i++) {
            one += (double)dy[i] * (double)turned[i];
            two += (double)back[i] * (double)x[i];
        }
        assert_true(fabs(one - two) < 1e-4);
        free(x), free(dy), free(turned), free(back);
    }
    slm_device_close(device);
}

static void embed_backward_adds_rows_of_one_id(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    enum { VOCAB = 7, ROWS = 400, DIM = 70 };
    slm_random random = slm_random_new(8, 1);
    float *dy = test_normal(&random, ROWS * DIM, 1.0f),
          *dw = test_normal(&random, VOCAB * DIM, 1.0f);
    double *want = test_alloc(VOCAB * DIM, sizeof *want);
    int32_t ids[ROWS];
    for (size_t i = 0; i < VOCAB * DIM; i++)
        want[i] = (double)dw[i];
    for (size_t i = 0; i < ROWS; i++) {
        ids[i] = (int32_t)(i * i % VOCAB);
        for (size_t j = 0; j < DIM; j++)
            want[(size_t)ids[i] * DIM + j] += (double)dy[i * DIM + j];
    }
    slm_mem w = test_mem(device, dw, VOCAB * DIM * sizeof *dw);
    slm_mem y = test_mem(device, dy, ROWS * DIM * sizeof *dy);
    table->embed_backward(device, w, y, ids, ROWS, DIM);
    table->sync(device);
    float *got = test_take(device, w, VOCAB * DIM * sizeof *got);
    assert_close(got, want, VOCAB * DIM, 1e-5);
    slm_device_free(device, y);
    free(dy), free(dw), free(want), free(got);
    slm_device_close(device);
}

/* ---- dropout ------------------------------------------------------------------------------- */

static void dropout_is_keyed_by_element(void **state)
{
    enum { ITEMS = 100000, FROM = 12345, SOME = 999 };
    slm_random random = slm_random_new(9, 1);
    float *x = test_normal(&random, ITEMS, 1.0f), *first = NULL;
    for (size_t i = 0; i < ITEMS; i++)
        if (x[i] == 0.0f) x[i] = 1.0f;
    for (int threads = 1; threads <= 3; threads++) {
        TRAINS_OR_SKIP(device, state, threads);
        const slm_dropout key = {.seed = 5, .step = 3, .layer = 9, .p = 0.25f};
        slm_mem in = test_mem(device, x, ITEMS * sizeof *x),
                out = test_mem(device, x, ITEMS * sizeof *x);
        table->dropout(device, out, in, SLM_F32, &key, 0, ITEMS, false);
        table->sync(device);
        float *got = test_take(device, out, ITEMS * sizeof *got);
        if (first == NULL) first = got;
        assert_same_bits(got, first, ITEMS);
        size_t dropped = 0;
        for (size_t i = 0; i < ITEMS; i++) {
            dropped += got[i] == 0.0f;
            if (got[i] != 0.0f) assert_true(got[i] == x[i] * (1.0f / 0.75f));
        }
        assert_true(dropped > ITEMS / 4 - 600 && dropped < ITEMS / 4 + 600);
        /* a part by itself; added; in bf16 */
        slm_mem part = test_mem(device, x, SOME * sizeof *x);
        table->dropout(device, part, slm_mem_at(in, FROM * sizeof *x), SLM_F32, &key, FROM, SOME,
                       true);
        float *added = test_take(device, part, SOME * sizeof *added);
        for (size_t i = 0; i < SOME; i++)
            assert_true(added[i] == x[i] + first[FROM + i]);
        slm_mem half = test_activations(device, x, SOME, SLM_BF16);
        table->dropout(device, half, half, SLM_BF16, &key, 0, SOME, false);
        uint16_t *rounded = test_take(device, half, SOME * sizeof *rounded);
        for (size_t i = 0; i < SOME; i++)
            assert_true((slm_bf16_to_f32(rounded[i]) == 0.0f) == (first[i] == 0.0f));
        const slm_dropout other = {.seed = 5, .step = 4, .layer = 9, .p = 0.25f};
        table->dropout(device, in, in, SLM_F32, &other, 0, ITEMS, false);
        float *changed = test_take(device, in, ITEMS * sizeof *changed);
        assert_true(memcmp(changed, first, ITEMS * sizeof *first) != 0);
        free(added), free(rounded), free(changed);
        if (got != first) free(got);
        slm_device_close(device);
    }
    free(x), free(first);
}

/* ---- the optimiser ------------------------------------------------------------------------- */

static void adamw_follows_its_paper(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    enum { N = 37, K = 29, ITEMS = N * K };
    slm_random random = slm_random_new(10, 1);
    for (int wide = 0; wide < 2; wide++) {
        const slm_dtype dtype = wide ? SLM_F32 : SLM_BF16;
        float *x = test_normal(&random, ITEMS, 1.0f);
        double master[ITEMS], first[ITEMS] = {0.0}, second[ITEMS] = {0.0};
        slm_weight *w = test_pack(device, x, N, K, dtype);
        const size_t bytes = ITEMS * sizeof(float);
        slm_adamw job = {.items = ITEMS, .w = w, .rate = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f};
        job.eps = 1e-6f, job.decay = 0.1f, job.grad_scale = 0.5f;
        job.master = test_mem(device, x, bytes);
        job.first = test_mem(device, NULL, bytes);
        job.second = test_mem(device, NULL, bytes);
        job.grad = test_mem(device, NULL, bytes);
        for (size_t i = 0; i < ITEMS; i++)
            master[i] = (double)x[i];
        for (int step = 1; step <= 10; step++) {
            float *g = test_normal(&random, ITEMS, 0.1f);
            slm_device_upload(device, job.grad, g, bytes);
            job.step = step;
            table->adamw(device, &job);
            for (size_t i = 0; i < ITEMS; i++) {
                const double b1 = (double)job.beta1, b2 = (double)job.beta2;
                const double grad = (double)g[i] * (double)job.grad_scale;
                first[i] = b1 * first[i] + (1 - b1) * grad;
                second[i] = b2 * second[i] + (1 - b2) * grad * grad;
                const double m = first[i] / (1 - pow(b1, step)),
                             v = second[i] / (1 - pow(b2, step));
                master[i] -= (double)job.rate *
                             (m / (sqrt(v) + (double)job.eps) + (double)job.decay * master[i]);
            }
            free(g);
        }
        table->sync(device);
        float *got = test_take(device, job.master, bytes);
        assert_close(got, master, ITEMS, 1e-6);
        /* The packed weight is the master, rounded: read it through embed. */
        int32_t ids[N];
        for (int32_t i = 0; i < N; i++)
            ids[i] = i;
        slm_mem rows = test_mem(device, NULL, bytes);
        table->embed(device, rows, w, ids, N);
        float *packed = test_take(device, rows, bytes);
        if (!wide) test_round_bf16(got, ITEMS);
        assert_same_bits(packed, got, ITEMS);
        slm_device_free(device, job.first);
        slm_device_free(device, job.second);
        slm_device_free(device, job.grad);
        slm_weight_free(w);
        free(x), free(got), free(packed);
    }
    slm_device_close(device);
}

static void sums_and_scales(void **state)
{
    enum { ITEMS = 50001 };
    slm_random random = slm_random_new(11, 1);
    float *x = test_normal(&random, ITEMS, 1.0f), *y = test_normal(&random, ITEMS, 1.0f);
    double want = 0.0, first = 0.0;
    for (size_t i = 0; i < ITEMS; i++)
        want += (double)x[i] * (double)x[i];
    for (int threads = 1; threads <= 3; threads++) {
        TRAINS_OR_SKIP(device, state, threads);
        slm_mem a = test_mem(device, x, ITEMS * sizeof *x),
                b = test_mem(device, y, ITEMS * sizeof *y);
        double sum = 0.0, nothing = 1.0;
        table->sum_squares(device, a, ITEMS, &sum);
        table->sum_squares(device, a, 0, &nothing);
        assert_true(fabs(sum - want) < 1e-9 * want && nothing == 0.0);
        if (threads == 1) first = sum;
        assert_true(sum == first);
        table->add_scaled(device, b, a, -0.5f, ITEMS);
        slm_error err;
        assert_int_equal(table->all_reduce(device, b, ITEMS, &err), SLM_OK);
        float *got = test_take(device, b, ITEMS * sizeof *got);
        for (size_t i = 0; i < ITEMS; i++)
            assert_true(fabs((double)got[i] - ((double)y[i] - 0.5 * (double)x[i])) < 1e-6);
        slm_device_free(device, a);
        free(got);
        slm_device_close(device);
    }
    free(x), free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(dx_matches_double),
        TEST_PATHS(dx_rows_do_not_see_each_other),
        TEST_PATHS(dw_matches_double),
        TEST_PATHS(dw_of_many_outputs),
        TEST_PATHS(dw_does_not_depend_on_threads),
        TEST_PATHS(rms_norm_backward_is_the_derivative),
        TEST_PATHS(swiglu_backward_is_the_derivative),
        TEST_PATHS(rope_backward_is_the_inverse),
        TEST_PATHS(embed_backward_adds_rows_of_one_id),
        TEST_PATHS(dropout_is_keyed_by_element),
        TEST_PATHS(adamw_follows_its_paper),
        TEST_PATHS(sums_and_scales),
    };
    return cmocka_run_group_tests_name("kernel/backward", tests, NULL, NULL);
}
