/* test_backward_attention.c: attention's gradient against the formula in double, which is itself held
 * to finite differences; sequences packed side by side, and several that share one prompt. */
#include "kernel/kernel_test.h"

enum { TOKENS = SLM_PAGE_TOKENS, MOST_SPANS = 8, MOST_PAGES = 16 };

/* A packed batch: where keys below a span's position stand is prefix[s], as in kernel.h. */
typedef struct batch {
    size_t count, rows;
    slm_kv_span spans[MOST_SPANS];
    int32_t prefix[MOST_SPANS];
    int32_t pages[MOST_SPANS][MOST_PAGES];
} batch;

typedef struct shape {
    size_t heads, kv_heads, dim;
    slm_dtype dtype;
} shape;

static int32_t page_of(size_t span, size_t block)
{
    return (int32_t)(span * MOST_PAGES + block);
}

/* A span with its own pages; whole pages below its position are those of its prefix. */
static void add_span(batch *b, int32_t rows, int32_t position, int32_t parent)
{
    const size_t s = b->count++;
    SLM_ASSERT(s < MOST_SPANS && position + rows <= MOST_PAGES * TOKENS);
    for (size_t p = 0; p < MOST_PAGES; p++)
        b->pages[s][p] =
            page_of(parent >= 0 && (int32_t)p < position / TOKENS ? (size_t)parent : s, p);
    b->spans[s] = (slm_kv_span){(int32_t)b->rows, rows, position, b->pages[s]};
    b->prefix[s] = parent >= 0 ? b->spans[parent].row : -1;
    b->rows += (size_t)rows;
}

/* The sequence's own numbers of key j: a row of the batch, or one of the strangers behind them. */
static size_t key_at(const batch *b, size_t s, size_t key)
{
    const slm_kv_span *span = &b->spans[s];
    if (key >= (size_t)span->position) return (size_t)span->row + key - (size_t)span->position;
    if (b->prefix[s] >= 0) return (size_t)b->prefix[s] + key;
    return b->rows + key;
}

typedef struct numbers {
    size_t q_items, kv_items; /* of the batch; k and v hold 64 rows of strangers more */
    double *q, *k, *v, *dy;
} numbers;

/* One query's weights and their sum's parts. p: [keys]. Returns the output in y[dim]. */
static void weigh(const batch *b, const shape *h, const numbers *x, size_t s, size_t r, size_t head,
                  double scale, double *p, double *y)
{
    const size_t keys = (size_t)b->spans[s].position + r + 1, dim = h->dim;
    const size_t kv = head / (h->heads / h->kv_heads);
    const double *q = x->q + (((size_t)b->spans[s].row + r) * h->heads + head) * dim;
    double max = -INFINITY, total = 0.0;
    for (size_t j = 0; j < keys; j++) {
        const double *k = x->k + (key_at(b, s, j) * h->kv_heads + kv) * dim;
        p[j] = 0.0;
        for (size_t i = 0; i < dim; i++)
            p[j] += q[i] * k[i] * scale;
        if (p[j] > max) max = p[j];
    }
    for (size_t j = 0; j < keys; j++)
        total += p[j] = exp(p[j] - max);
    memset(y, 0, dim * sizeof *y);
    for (size_t j = 0; j < keys; j++) {
        const double *v = x->v + (key_at(b, s, j) * h->kv_heads + kv) * dim;
        p[j] /= total;
        for (size_t i = 0; i < dim; i++)
            y[i] += p[j] * v[i];
    }
}

static double loss_of(const batch *b, const shape *h, const numbers *x, double scale)
{
    double p[MOST_PAGES * TOKENS], y[512], loss = 0.0;
    for (size_t s = 0; s < b->count; s++)
        for (size_t r = 0; r < (size_t)b->spans[s].rows; r++)
            for (size_t head = 0; head < h->heads; head++) {
                const size_t at = (((size_t)b->spans[s].row + r) * h->heads + head) * h->dim;
                weigh(b, h, x, s, r, head, scale, p, y);
                for (size_t i = 0; i < h->dim; i++)
                    loss += x->dy[at + i] * y[i];
            }
    return loss;
}

static void gradient_of(const batch *b, const shape *h, const numbers *x, double scale, double *dq,
                        double *dk, double *dv)
{
    double p[MOST_PAGES * TOKENS], y[512];
    const size_t dim = h->dim;
    for (size_t s = 0; s < b->count; s++)
        for (size_t r = 0; r < (size_t)b->spans[s].rows; r++)
            for (size_t head = 0; head < h->heads; head++) {
                const size_t at = (((size_t)b->spans[s].row + r) * h->heads + head) * dim;
                const size_t kv = head / (h->heads / h->kv_heads);
                const double *dy = x->dy + at;
                double mean = 0.0;
                weigh(b, h, x, s, r, head, scale, p, y);
                for (size_t i = 0; i < dim; i++)
                    mean += dy[i] * y[i];
                for (size_t j = 0; j <= (size_t)b->spans[s].position + r; j++) {
                    const size_t key = (key_at(b, s, j) * h->kv_heads + kv) * dim;
                    double up = 0.0;
                    for (size_t i = 0; i < dim; i++)
                        up += dy[i] * x->v[key + i];
                    const double ds = p[j] * (up - mean) * scale;
                    for (size_t i = 0; i < dim; i++) {
                        dq[at + i] += ds * x->k[key + i];
                        dk[key + i] += ds * x->q[at + i];
                        dv[key + i] += p[j] * dy[i];
                    }
                }
            }
}

static double *widen(const float *x, size_t count)
{
    double *wide = test_alloc(count, sizeof *wide);
    for (size_t i = 0; i < count; i++)
        wide[i] = (double)x[i];
    return wide;
}

static void the_oracle_is_the_derivative(void **state)
{
    (void)state;
    const shape h = {4, 2, 3, SLM_F32};
    const double scale = 0.7, step = 1e-5;
    batch b = {0};
    add_span(&b, 5, 0, -1);
    add_span(&b, 3, 5, 0);
    add_span(&b, 2, 4, -1);
    slm_random random = slm_random_new(1, 1);
    const size_t q_items = b.rows * h.heads * h.dim, kv = h.kv_heads * h.dim;
    const size_t kv_items = (b.rows + TOKENS) * kv;
    float *q = test_normal(&random, q_items, 1.0f), *k = test_normal(&random, kv_items, 1.0f);
    float *v = test_normal(&random, kv_items, 1.0f), *dy = test_normal(&random, q_items, 1.0f);
    numbers x = {
        q_items,           b.rows * kv, widen(q, q_items), widen(k, kv_items), widen(v, kv_items),
        widen(dy, q_items)};
    double *grad[3] = {test_alloc(q_items, sizeof(double)), test_alloc(kv_items, sizeof(double)),
                       test_alloc(kv_items, sizeof(double))};
    double *const at[3] = {x.q, x.k, x.v};
    const size_t items[3] = {q_items, x.kv_items, x.kv_items};
    gradient_of(&b, &h, &x, scale, grad[0], grad[1], grad[2]);
    for (size_t n = 0; n < 3; n++)
        for (size_t i = 0; i < items[n]; i++) {
            const double was = at[n][i];
            at[n][i] = was + step;
            const double up = loss_of(&b, &h, &x, scale);
            at[n][i] = was - step;
            const double down = loss_of(&b, &h, &x, scale);
            at[n][i] = was;
            assert_true(fabs((up - down) / (2 * step) - grad[n][i]) < 1e-7);
        }
    for (size_t n = 0; n < 3; n++)
        free(at[n]), free(grad[n]);
    free(x.dy), free(q), free(k), free(v), free(dy);
}

/* Everything on the device for one batch; what comes back: dq, dk, dv one behind the other. */
static float *run_backward(slm_device *device, const batch *b, const shape *h, const float *q,
                           const float *k, const float *v, const float *dy, float scale)
{
    const slm_kernels *table = slm_device_table(device);
    const slm_kv_shape kv = {2, (int)h->kv_heads, (int)h->dim, h->dtype};
    const size_t page_bytes = slm_kv_page_bytes(&kv), row = h->kv_heads * h->dim;
    const size_t q_bytes = b->rows * h->heads * h->dim * sizeof(float);
    const size_t kv_bytes = b->rows * row * sizeof(float);
    slm_mem cache = test_mem(device, NULL, page_bytes * MOST_SPANS * MOST_PAGES);
    slm_mem mk = test_mem(device, k, kv_bytes + TOKENS * row * sizeof(float));
    slm_mem mv = test_mem(device, v, kv_bytes + TOKENS * row * sizeof(float));
    slm_mem mq = test_mem(device, q, q_bytes), mdy = test_mem(device, dy, q_bytes);
    slm_mem y = test_mem(device, NULL, q_bytes),
            out = test_mem(device, NULL, q_bytes + 2 * kv_bytes);
    for (size_t s = 0; s < b->count; s++) {
        /* the part of a page, or strangers, below the span's own positions */
        const slm_kv_span *span = &b->spans[s];
        const int32_t whole = b->prefix[s] >= 0 ? span->position / TOKENS * TOKENS : 0;
        const int32_t from = b->prefix[s] >= 0 ? b->prefix[s] : (int32_t)b->rows;
        const slm_kv_span below = {from + whole, span->position - whole, whole, span->pages};
        table->kv_write(device, cache, &kv, 1, mk, mv, &below, 1);
        table->kv_write(device, cache, &kv, 1, mk, mv, span, 1);
    }
    table->attention(device, y, h->dtype, mq, cache, &kv, 1, h->heads, scale, b->spans, b->count);
    table->attention_backward(device, out, slm_mem_at(out, q_bytes),
                              slm_mem_at(out, q_bytes + kv_bytes), mdy, y, h->dtype, mq, cache, &kv,
                              1, h->heads, scale, b->spans, b->prefix, b->count);
    table->sync(device);
    const slm_mem all[] = {cache, mk, mv, mq, mdy, y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        slm_device_free(device, all[i]);
    return test_take(device, out, q_bytes + 2 * kv_bytes);
}

static const shape kinds[] = {{1, 1, 2, SLM_F32},    {4, 2, 16, SLM_F32},  {9, 3, 64, SLM_F32},
                              {6, 2, 20, SLM_F32},   {2, 1, 96, SLM_F32},  {4, 2, 16, SLM_BF16},
                              {9, 3, 64, SLM_BF16},  {6, 2, 20, SLM_BF16}, {2, 1, 96, SLM_BF16},
                              {4, 1, 128, SLM_BF16}, {3, 3, 32, SLM_BF16}};

static void packed(batch *b, int which)
{
    *b = (batch){0};
    if (which == 0) {
        add_span(b, 1, 0, -1);
    } else if (which == 1) {
        add_span(b, 33, 0, -1);
        add_span(b, 130, 0, -1);
        add_span(b, 16, 0, -1);
        add_span(b, 1, 0, -1);
    } else {
        add_span(b, 70, 0, -1);
        add_span(b, 20, 70, 0);
        add_span(b, 65, 64, 0);
        add_span(b, 9, 0, -1);
        add_span(b, 1, 3, 3);
        add_span(b, 40, 50, -1);
        add_span(b, 2, 70, 0);
    }
}

static void gradients_match_double(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++)
        for (int which = 0; which < 3; which++) {
            const shape *h = &kinds[n];
            const float scale = 1.0f / sqrtf((float)h->dim);
            batch b;
            packed(&b, which);
            slm_random random = slm_random_new(2, n);
            const size_t q_items = b.rows * h->heads * h->dim, kv = h->kv_heads * h->dim;
            const size_t kv_items = (b.rows + TOKENS) * kv, own = b.rows * kv;
            float *q = test_normal(&random, q_items, 1.5f),
                  *k = test_normal(&random, kv_items, 1.0f);
            float *v = test_normal(&random, kv_items, 1.0f),
                  *dy = test_normal(&random, q_items, 1.0f);
            if (h->dtype == SLM_BF16) test_round_bf16(k, kv_items), test_round_bf16(v, kv_items);
            numbers x = {
                q_items,           own, widen(q, q_items), widen(k, kv_items), widen(v, kv_items),
                widen(dy, q_items)};
            double *dq = test_alloc(q_items, sizeof *dq), *dk = test_alloc(kv_items, sizeof *dk);
            double *dv = test_alloc(kv_items, sizeof *dv);
            gradient_of(&b, h, &x, (double)scale, dq, dk, dv);
            float *got = run_backward(device, &b, h, q, k, v, dy, scale);
            const double most = h->dtype == SLM_F32 ? 1e-4 : 1e-2;
            if (b.rows > 1) { /* of a single key the true gradients are 0 */
                assert_close(got, dq, q_items, most);
                assert_close(got + q_items, dk, own, most);
            }
            assert_close(got + q_items + own, dv, own, most);
            free(q), free(k), free(v), free(dy), free(dq), free(dk), free(dv), free(got);
            free(x.q), free(x.k), free(x.v), free(x.dy);
        }
    slm_device_close(device);
}

/* A sequence's gradients have the same bits with 1, 2 and 3 threads, and packed with others or not. */
static void threads_and_neighbours_change_nothing(void **state)
{
    for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++) {
        const shape *h = &kinds[n];
        const float scale = 0.2f;
        batch b, alone = {0};
        packed(&b, 2);
        add_span(&alone, 9, 0,
                 -1); /* as the fourth of the others, but for the one that it is prefix to */
        slm_random random = slm_random_new(3, n);
        const size_t q_row = h->heads * h->dim, kv = h->kv_heads * h->dim;
        float *q = test_normal(&random, b.rows * q_row, 1.5f);
        float *dy = test_normal(&random, b.rows * q_row, 1.0f);
        float *k = test_normal(&random, (b.rows + TOKENS) * kv, 1.0f);
        float *v = test_normal(&random, (b.rows + TOKENS) * kv, 1.0f), *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            TRAINS_OR_SKIP(device, state, threads);
            float *got = run_backward(device, &b, h, q, k, v, dy, scale);
            if (first == NULL) first = got;
            assert_same_bits(got, first, b.rows * (q_row + 2 * kv));
            const size_t row = (size_t)b.spans[3].row;
            float *one = run_backward(device, &alone, h, q + row * q_row, k + row * kv,
                                      v + row * kv, dy + row * q_row, scale);
            assert_same_bits(one, first + row * q_row, alone.rows * q_row);
            free(one);
            if (got != first) free(got);
            slm_device_close(device);
        }
        free(q), free(dy), free(k), free(v), free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_is_the_derivative),
        TEST_PATHS(gradients_match_double),
        TEST_PATHS(threads_and_neighbours_change_nothing),
    };
    return cmocka_run_group_tests_name("kernel/backward_attention", tests, NULL, NULL);
}
