/* test_attention.c: kv_write, attention and copy_page of every path against a softmax in double,
 * and the promise that a row's result does not depend on chunking, on the spans beside it, on
 * threads, nor on what a page holds beyond the sequence. */
#include "kernel/kernel_test.h"

typedef struct sequence {
    size_t length;
    float *q, *k, *v; /* [length, heads or kv_heads, head_dim] */
} sequence;

typedef struct setting {
    size_t heads, kv_heads, dim;
    slm_dtype cache, act;
} setting;

static const setting settings[] = {
    {9, 3, 64, SLM_BF16, SLM_BF16},  {9, 3, 64, SLM_F32, SLM_F32},
    {8, 4, 8, SLM_BF16, SLM_BF16},   {8, 4, 8, SLM_F32, SLM_F32},
    {4, 4, 16, SLM_BF16, SLM_F32},   {6, 1, 6, SLM_F32, SLM_F32},
    {5, 5, 128, SLM_BF16, SLM_F32},  {8, 2, 80, SLM_F32, SLM_F32},
    {5, 1, 34, SLM_BF16, SLM_BF16},  {20, 1, 32, SLM_BF16, SLM_F32},
    {32, 2, 96, SLM_BF16, SLM_BF16}, {16, 1, 64, SLM_BF16, SLM_BF16},
};
enum { SETTINGS = sizeof settings / sizeof *settings, LAYERS = 2, LAYER = 1, PAGES = 24 };

static slm_kv_shape shape_of(const setting *s)
{
    return (slm_kv_shape){LAYERS, (int)s->kv_heads, (int)s->dim, s->cache};
}

static sequence sequence_new(const setting *s, size_t length, uint64_t seed)
{
    slm_random random = slm_random_new(seed, 7);
    return (sequence){length, test_normal(&random, length * s->heads * s->dim, 2.0f),
                      test_normal(&random, length * s->kv_heads * s->dim, 1.0f),
                      test_normal(&random, length * s->kv_heads * s->dim, 1.0f)};
}

static void sequence_free(sequence *s)
{
    free(s->q), free(s->k), free(s->v);
}

/* softmax(q k^T scale) v in double, with K and V rounded to the cache's type. */
static double *expected(const setting *s, const sequence *x, double scale)
{
    const size_t width = s->heads * s->dim, kv_width = s->kv_heads * s->dim;
    double *out = test_alloc(x->length * width, sizeof *out);
    double *p = test_alloc(x->length, sizeof *p);
    sequence r = {x->length, x->q, test_alloc(x->length * kv_width, sizeof(float)),
                  test_alloc(x->length * kv_width, sizeof(float))};
    memcpy(r.k, x->k, x->length * kv_width * sizeof(float));
    memcpy(r.v, x->v, x->length * kv_width * sizeof(float));
    if (s->cache == SLM_BF16) {
        test_round_bf16(r.k, x->length * kv_width);
        test_round_bf16(r.v, x->length * kv_width);
    }
    for (size_t i = 0; i < x->length; i++) {
        for (size_t h = 0; h < s->heads; h++) {
            const float *q = x->q + i * width + h * s->dim;
            const size_t at = h / (s->heads / s->kv_heads) * s->dim;
            double total = 0.0, max = -INFINITY;
            for (size_t j = 0; j <= i; j++) {
                p[j] = 0.0;
                for (size_t d = 0; d < s->dim; d++)
                    p[j] += (double)q[d] * (double)r.k[j * kv_width + at + d] * scale;
                max = fmax(max, p[j]);
            }
            for (size_t j = 0; j <= i; j++)
                total += p[j] = exp(p[j] - max);
            for (size_t j = 0; j <= i; j++)
                for (size_t d = 0; d < s->dim; d++)
                    out[i * width + h * s->dim + d] +=
                        p[j] / total * (double)r.v[j * kv_width + at + d];
        }
    }
    free(p), free(r.k), free(r.v);
    return out;
}

static float scale_of(const setting *s)
{
    return 1.0f / sqrtf((float)s->dim);
}

/* Attention of rows [begin, end) of the sequence as one span, as f32. */
static void run_span(slm_device *device, const setting *s, const sequence *x, slm_mem cache,
                     const int32_t *pages, size_t begin, size_t end, float *out)
{
    const slm_kernels *table = slm_device_table(device);
    const slm_kv_shape shape = shape_of(s);
    const size_t width = s->heads * s->dim, kv_width = s->kv_heads * s->dim, rows = end - begin;
    slm_mem q = test_mem(device, x->q + begin * width, rows * width * sizeof(float));
    slm_mem k = test_mem(device, x->k + begin * kv_width, rows * kv_width * sizeof(float));
    slm_mem v = test_mem(device, x->v + begin * kv_width, rows * kv_width * sizeof(float));
    slm_mem y = test_mem(device, NULL, rows * width * sizeof(float));
    slm_kv_span span = {0, (int32_t)rows, (int32_t)begin, pages};
    table->kv_write(device, cache, &shape, LAYER, k, v, &span, 1);
    table->attention(device, y, s->act, q, cache, &shape, LAYER, s->heads, scale_of(s), &span, 1);
    table->sync(device);
    slm_device_free(device, q), slm_device_free(device, k), slm_device_free(device, v);
    if (s->act == SLM_F32) {
        slm_device_download(device, out, y, rows * width * sizeof(float));
        slm_device_free(device, y);
    } else {
        uint16_t *half = test_take(device, y, rows * width * sizeof *half);
        for (size_t i = 0; i < rows * width; i++)
            out[i] = slm_bf16_to_f32(half[i]);
        free(half);
    }
}

/* The whole sequence in chunks of `chunk` rows, in pages first, first + stride, ... */
static float *run_chunks(slm_device *device, const setting *s, const sequence *x, slm_mem cache,
                         int32_t first, int32_t stride, size_t chunk)
{
    const size_t width = s->heads * s->dim;
    float *out = test_alloc(x->length * width, sizeof *out);
    int32_t pages[PAGES];
    for (int32_t i = 0; i < PAGES; i++)
        pages[i] = (first + i * stride) % PAGES;
    for (size_t begin = 0; begin < x->length; begin += chunk) {
        size_t end = begin + chunk < x->length ? begin + chunk : x->length;
        run_span(device, s, x, cache, pages, begin, end, out + begin * width);
    }
    return out;
}

static slm_mem new_cache(slm_device *device, const setting *s)
{
    slm_kv_shape shape = shape_of(s);
    return test_mem(device, NULL, PAGES * slm_kv_page_bytes(&shape));
}

static void attention_matches_double(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    for (size_t i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        const size_t lengths[] = {1, 64, 65, 200};
        for (size_t l = 0; l < 4; l++) {
            sequence x = sequence_new(s, lengths[l], i * 10 + l);
            slm_mem cache = new_cache(device, s);
            float *got = run_chunks(device, s, &x, cache, 3, 5, x.length);
            double *want = expected(s, &x, (double)scale_of(s));
            const size_t count = x.length * s->heads * s->dim;
            assert_close(got, want, count, s->act == SLM_F32 ? 1e-5 : 1e-2);
            slm_device_free(device, cache);
            sequence_free(&x);
            free(got), free(want);
        }
    }
    slm_device_close(device);
}

static void attention_does_not_depend_on_chunks(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    const size_t chunks[] = {1, 7, 64, 100};
    for (size_t i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        sequence x = sequence_new(s, 150, i);
        slm_mem cache = new_cache(device, s);
        float *whole = run_chunks(device, s, &x, cache, 0, 1, x.length);
        for (size_t c = 0; c < 4; c++) {
            /* other pages, full of huge numbers: what lies beyond the sequence must not be felt */
            slm_kv_shape shape = shape_of(s);
            slm_mem dirty = new_cache(device, s);
            const size_t bytes = PAGES * slm_kv_page_bytes(&shape);
            char *huge = test_alloc(bytes, 1);
            memset(huge, 0x7f, bytes);
            slm_device_upload(device, dirty, huge, bytes);
            free(huge);
            float *got = run_chunks(device, s, &x, dirty, 4, 7, chunks[c]);
            assert_same_bits(got, whole, x.length * s->heads * s->dim);
            slm_device_free(device, dirty);
            free(got);
        }
        slm_device_free(device, cache);
        sequence_free(&x);
        free(whole);
    }
    slm_device_close(device);
}

static void attention_does_not_depend_on_threads(void **state)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        float *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            OPEN_OR_SKIP(device, state, threads);
            sequence x = sequence_new(s, 90, i);
            slm_mem cache = new_cache(device, s);
            float *got = run_chunks(device, s, &x, cache, 0, 1, 40);
            if (first == NULL)
                first = got;
            else {
                assert_same_bits(got, first, x.length * s->heads * s->dim);
                free(got);
            }
            slm_device_free(device, cache);
            sequence_free(&x);
            slm_device_close(device);
        }
        free(first);
    }
}

/* Three sequences at once, one decoding, two with chunks, equal each alone. */
static void attention_spans_do_not_see_each_other(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    const size_t begins[] = {130, 0, 60}, ends[] = {131, 33, 71};
    for (size_t i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        const slm_kv_shape shape = shape_of(s);
        const size_t width = s->heads * s->dim, kv_width = s->kv_heads * s->dim;
        slm_mem cache = new_cache(device, s);
        sequence x[3];
        float *alone[3], *q = test_alloc(45 * width, sizeof *q);
        float *k = test_alloc(45 * kv_width, sizeof *k), *v = test_alloc(45 * kv_width, sizeof *v);
        int32_t pages[3][3] = {{20, 3, 11}, {5, 0, 0}, {9, 1, 0}};
        slm_kv_span spans[3];
        size_t row = 0;
        for (size_t c = 0; c < 3; c++) {
            x[c] = sequence_new(s, ends[c], 100 * i + c);
            alone[c] = test_alloc(ends[c] * width, sizeof(float));
            run_span(device, s, &x[c], cache, pages[c], 0, ends[c], alone[c]);
            const size_t rows = ends[c] - begins[c];
            spans[c] = (slm_kv_span){(int32_t)row, (int32_t)rows, (int32_t)begins[c], pages[c]};
            memcpy(q + row * width, x[c].q + begins[c] * width, rows * width * sizeof *q);
            memcpy(k + row * kv_width, x[c].k + begins[c] * kv_width, rows * kv_width * sizeof *k);
            memcpy(v + row * kv_width, x[c].v + begins[c] * kv_width, rows * kv_width * sizeof *v);
            row += rows;
        }
        assert_int_equal(row, 45);
        slm_mem dq = test_mem(device, q, row * width * sizeof *q);
        slm_mem dk = test_mem(device, k, row * kv_width * sizeof *k);
        slm_mem dv = test_mem(device, v, row * kv_width * sizeof *v);
        slm_mem y = test_mem(device, NULL, row * width * sizeof *q);
        table->kv_write(device, cache, &shape, LAYER, dk, dv, spans, 3);
        table->attention(device, y, SLM_F32, dq, cache, &shape, LAYER, s->heads, scale_of(s), spans,
                         3);
        float *got = test_take(device, y, row * width * sizeof *q);
        if (s->act == SLM_BF16) test_round_bf16(got, row * width);
        row = 0;
        for (size_t c = 0; c < 3; c++) {
            const size_t rows = ends[c] - begins[c];
            assert_same_bits(got + row * width, alone[c] + begins[c] * width, rows * width);
            row += rows;
            sequence_free(&x[c]);
            free(alone[c]);
        }
        slm_device_free(device, cache);
        slm_device_free(device, dq), slm_device_free(device, dk), slm_device_free(device, dv);
        free(q), free(k), free(v), free(got);
    }
    slm_device_close(device);
}

/* A copied page serves as the first one did, and the layers of a page do not overlap. */
static void pages_copy_and_layers_are_apart(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    for (size_t i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        const slm_kv_shape shape = shape_of(s);
        slm_mem cache = new_cache(device, s);
        sequence x = sequence_new(s, 50, i), other = sequence_new(s, 50, i + 1000);
        const size_t width = s->heads * s->dim, kv_width = s->kv_heads * s->dim;
        const int32_t pages[] = {2}, copies[] = {17};
        float *first = test_alloc(50 * width, sizeof *first);
        float *second = test_alloc(50 * width, sizeof *second);
        run_span(device, s, &x, cache, pages, 0, 50, first);
        slm_mem k = test_mem(device, other.k, 50 * kv_width * sizeof(float));
        slm_mem v = test_mem(device, other.v, 50 * kv_width * sizeof(float));
        slm_kv_span span = {0, 50, 0, pages};
        table->kv_write(device, cache, &shape, 1 - LAYER, k, v, &span, 1);
        table->copy_page(device, cache, slm_kv_page_bytes(&shape), 2, 17);
        table->zero(device, slm_mem_at(cache, 2 * slm_kv_page_bytes(&shape)),
                    slm_kv_page_bytes(&shape));
        /* only the last row is computed again; the 49 before it come from the copy */
        run_span(device, s, &x, cache, copies, 49, 50, second);
        assert_same_bits(second, first + 49 * width, width);
        slm_device_free(device, k), slm_device_free(device, v);
        slm_device_free(device, cache);
        sequence_free(&x), sequence_free(&other);
        free(first), free(second);
    }
    slm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(attention_matches_double),
        TEST_PATHS(attention_does_not_depend_on_chunks),
        TEST_PATHS(attention_does_not_depend_on_threads),
        TEST_PATHS(attention_spans_do_not_see_each_other),
        TEST_PATHS(pages_copy_and_layers_are_apart),
    };
    return cmocka_run_group_tests_name("kernel/attention", tests, NULL, NULL);
}
