/* test_head_loss.c: log-probabilities, entropy and gradients of the loss over the head, against sums
 * in double, and to the bit against log_prob over the same logits. */
#include "kernel/kernel_test.h"

typedef struct problem {
    size_t m, vocab, k;
    slm_dtype dtype;
    float temperature;
    float *x, *w, *coefficient;
    int32_t *targets;
} problem;

static problem make(size_t m, size_t vocab, size_t k, slm_dtype dtype, float temperature)
{
    slm_random random = slm_random_new(m, vocab);
    problem p = {.m = m, .vocab = vocab, .k = k, .dtype = dtype, .temperature = temperature};
    p.x = test_normal(&random, m * k, 1.0f);
    p.w = test_normal(&random, vocab * k, 2.0f / sqrtf((float)k));
    p.coefficient = test_normal(&random, m, 1.0f);
    p.targets = test_alloc(m, sizeof *p.targets);
    if (dtype == SLM_BF16) test_round_bf16(p.x, m * k), test_round_bf16(p.w, vocab * k);
    for (size_t i = 0; i < m; i++) {
        p.targets[i] = (int32_t)slm_random_below(&random, vocab);
        if (i % 3 == 1) p.coefficient[i] = 0.0f;
    }
    return p;
}

static void drop(problem *p)
{
    free(p->x), free(p->w), free(p->coefficient), free(p->targets);
}

typedef struct answer {
    float *log_prob, *entropy, *dx, *dw;
} answer;

static answer run(slm_device *device, const problem *p, bool backward)
{
    const slm_kernels *table = slm_device_table(device);
    const size_t items = p->m * p->k;
    answer a = {test_alloc(p->m, sizeof(float)), test_alloc(p->m, sizeof(float)), NULL, NULL};
    slm_weight *head = test_pack(device, p->w, p->vocab, p->k, p->dtype);
    slm_mem wide = test_mem(device, p->x, items * sizeof(float));
    slm_mem x = test_mem(device, NULL, items * sizeof(float));
    table->convert(device, x, p->dtype, wide, 1.0f, items);
    slm_mem dw = test_mem(device, p->w, p->vocab * p->k * sizeof(float)); /* adds to W itself */
    slm_head_loss loss = {.x = x, .head = head, .targets = p->targets, .m = p->m};
    loss.temperature = p->temperature;
    loss.log_prob = a.log_prob;
    loss.entropy = a.entropy;
    if (backward) {
        loss.coefficient = p->coefficient;
        loss.dx = wide;
        loss.dw = dw;
    }
    table->head_loss(device, &loss);
    /* The same bits as log_prob gives for the same rows. */
    slm_mem logits = test_mem(device, NULL, p->m * p->vocab * sizeof(float));
    float *plain = test_alloc(p->m, sizeof *plain);
    const slm_linear layer = {logits, head, {NULL}};
    table->linear(device, &layer, 1, x, p->m, false, NULL, 0);
    table->log_prob(device, logits, p->m, p->vocab, p->temperature, p->targets, plain);
    assert_same_bits(a.log_prob, plain, p->m);
    free(plain);
    slm_device_free(device, logits);
    slm_device_free(device, x);
    slm_weight_free(head);
    a.dx = test_take(device, wide, items * sizeof(float));
    a.dw = test_take(device, dw, p->vocab * p->k * sizeof(float));
    return a;
}

static void release(answer *a)
{
    free(a->log_prob), free(a->entropy), free(a->dx), free(a->dw);
}

static void matches_double(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    const size_t sizes[][3] = {{1, 1, 1}, {3, 5, 4}, {40, 100, 33}, {7, 5000, 16}, {300, 257, 64}};
    for (size_t s = 0; s < 10; s++) {
        const size_t *size = sizes[s / 2];
        const slm_dtype dtype = s % 2 ? SLM_BF16 : SLM_F32;
        problem p = make(size[0], size[1], size[2], dtype, s / 2 == 2 ? 0.6f : 1.0f);
        double *log_prob = test_alloc(p.m, sizeof(double)),
               *entropy = test_alloc(p.m, sizeof(double));
        double *dx = test_alloc(p.m * p.k, sizeof *dx), *dw = test_alloc(p.vocab * p.k, sizeof *dw);
        double *z = test_alloc(p.vocab, sizeof *z);
        for (size_t i = 0; i < p.vocab * p.k; i++)
            dw[i] = (double)p.w[i];
        for (size_t i = 0; i < p.m; i++) {
            double max = -INFINITY, sum = 0.0;
            for (size_t j = 0; j < p.vocab; j++) {
                z[j] = 0.0;
                for (size_t c = 0; c < p.k; c++)
                    z[j] += (double)p.x[i * p.k + c] * (double)p.w[j * p.k + c];
                z[j] /= (double)p.temperature;
                if (z[j] > max) max = z[j];
            }
            for (size_t j = 0; j < p.vocab; j++)
                sum += exp(z[j] - max);
            for (size_t j = 0; j < p.vocab; j++) {
                const double lp = z[j] - max - log(sum), one = (int32_t)j == p.targets[i];
                const double d = (double)p.coefficient[i] / (double)p.temperature * (one - exp(lp));
                if (one > 0.0) log_prob[i] = lp;
                entropy[i] -= exp(lp) * lp;
                for (size_t c = 0; c < p.k; c++) {
                    dx[i * p.k + c] += d * (double)p.w[j * p.k + c];
                    dw[j * p.k + c] += d * (double)p.x[i * p.k + c];
                }
            }
        }
        const double most = dtype == SLM_F32 ? 1e-4 : 1e-2;
        answer a = run(device, &p, true), only = run(device, &p, false);
        for (size_t i = 0; i < p.m; i++) {
            assert_true(fabs((double)a.log_prob[i] - log_prob[i]) < 1e-4);
            assert_true(fabs((double)a.entropy[i] - entropy[i]) < 1e-4);
        }
        assert_same_bits(a.log_prob, only.log_prob, p.m);
        assert_same_bits(a.entropy, only.entropy, p.m);
        assert_close(a.dx, dx, p.m * p.k, most);
        assert_close(a.dw, dw, p.vocab * p.k, most);
        assert_same_bits(only.dw, p.w, p.vocab * p.k);
        release(&a), release(&only);
        free(log_prob), free(entropy), free(dx), free(dw), free(z);
        drop(&p);
    }
    slm_device_close(device);
}

/* More rows than a chunk holds; the same bits with 1 to 3 threads, and a row alone. */
static void rows_and_threads_change_nothing(void **state)
{
    for (int wide = 0; wide < 2; wide++) {
        problem p = make(560, 300, 32, wide ? SLM_F32 : SLM_BF16, 0.9f);
        for (size_t i = 256; i < 512; i++)
            p.coefficient[i] = 0.0f; /* a whole chunk without */
        answer first = {NULL, NULL, NULL, NULL};
        for (int threads = 1; threads <= 3; threads++) {
            TRAINS_OR_SKIP(device, state, threads);
            answer a = run(device, &p, true);
            if (threads == 1) first = a;
            assert_same_bits(a.log_prob, first.log_prob, p.m);
            assert_same_bits(a.dx, first.dx, p.m * p.k);
            assert_same_bits(a.dw, first.dw, p.vocab * p.k);
            problem row = p;
            row.m = 1, row.x += 550 * p.k, row.targets += 550, row.coefficient += 550;
            answer one = run(device, &row, true);
            assert_same_bits(one.log_prob, first.log_prob + 550, 1);
            assert_same_bits(one.dx, first.dx + 550 * p.k, p.k);
            release(&one);
            if (threads > 1) release(&a);
            slm_device_close(device);
        }
        for (size_t i = 256 * p.k; i < 512 * p.k; i++)
            assert_true(first.dx[i] == 0.0f);
        release(&first);
        drop(&p);
    }
}

/* A large vocabulary: dW is added to in several goes, and is the sum of what parts of the rows give. */
static void parts_add_up(void **state)
{
    TRAINS_OR_SKIP(device, state, 2);
    problem p = make(600, 60000, 2, SLM_BF16, 1.0f);
    const size_t items = p.vocab * p.k, cut = 300;
    problem low = p, high = p;
    low.m = cut;
    high.m = p.m - cut;
    high.x += cut * p.k, high.targets += cut, high.coefficient += cut;
    answer all = run(device, &p, true), first = run(device, &low, true),
           second = run(device, &high, true);
    double *want = test_alloc(items, sizeof *want);
    for (size_t i = 0; i < items; i++)
        want[i] = (double)first.dw[i] + (double)second.dw[i] - (double)p.w[i];
    assert_close(all.dw, want, items, 1e-5);
    assert_same_bits(all.dx, first.dx, cut * p.k);
    assert_same_bits(all.dx + cut * p.k, second.dx, high.m * p.k);
    free(want);
    release(&all), release(&first), release(&second);
    drop(&p);
    slm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(matches_double), TEST_PATHS(rows_and_threads_change_nothing),
        TEST_PATH(parts_add_up, "avx2"), /* what holds and cuts is common to all */
    };
    return cmocka_run_group_tests_name("kernel/head_loss", tests, NULL, NULL);
}
