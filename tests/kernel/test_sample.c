/* test_sample.c: draws of every path against a brute force that sorts, the statistics of many
 * draws, greedy ties, penalties, masks, rows that are not numbers, and that log_prob gives the
 * sampler's log-probability to the bit. */
#include "kernel/kernel_test.h"

static const slm_sample_options plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

static void run_sample(slm_device *device, const float *logits, size_t vocab, slm_sample_row *rows,
                       size_t m)
{
    slm_mem mem = test_mem(device, logits, m * vocab * sizeof *logits);
    slm_device_table(device)->sample(device, mem, vocab, rows, m);
    float *after = test_take(device, mem, m * vocab * sizeof *logits);
    for (size_t i = 0; i < m * vocab; i++) /* logits is not changed */
        if (memcmp(&after[i], &logits[i], sizeof *after) != 0) fail_msg("logit %zu changed", i);
    free(after);
}

/* ---- brute force --------------------------------------------------------------------------- */

typedef struct token {
    double logit, weight;
    int32_t id;
} token;

static int by_rank(const void *a, const void *b)
{
    const token *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b)
{
    const token *x = a, *y = b;
    return x->id < y->id ? -1 : 1;
}

/* In f32, as logits are: otherwise ties would be other ties. */
static void brute_penalties(const slm_sample_row *row, token *t, size_t vocab)
{
    const slm_sample_options *o = row->options;
    for (size_t i = 0; i < vocab; i++) {
        int count = 0, in_prompt = 0;
        float logit = (float)t[i].logit;
        for (size_t j = 0; j < row->generated_len; j++)
            count += row->generated[j] == (int32_t)i;
        for (size_t j = 0; j < row->prompt_len; j++)
            in_prompt |= row->prompt[j] == (int32_t)i;
        if (count > 0 || in_prompt)
            logit = logit > 0 ? logit / o->repetition_penalty : logit * o->repetition_penalty;
        logit -= o->frequency_penalty * (float)count;
        if (count > 0) logit -= o->presence_penalty;
        if (row->allowed != NULL && (row->allowed[i / 32] >> i % 32 & 1u) == 0) logit = -INFINITY;
        t[i].logit = (double)logit;
    }
}

/* What the header promises, in its own order. -2: too close to a boundary to say in f32. */
static int32_t brute_draw(const float *logits, size_t vocab, const slm_sample_row *row, token *t)
{
    const slm_sample_options *o = row->options;
    const double near = 2e-5, temperature = o->temperature > 0 ? (double)o->temperature : 1.0;
    for (size_t i = 0; i < vocab; i++)
        t[i] = (token){(double)logits[i], 0.0, (int32_t)i};
    brute_penalties(row, t, vocab);
    qsort(t, vocab, sizeof *t, by_rank);
    if (o->temperature == 0.0f) return t[0].id;
    size_t kept = vocab;
    if (o->top_k > 0 && (size_t)o->top_k < kept) kept = (size_t)o->top_k;
    double total = 0.0, mass = 0.0;
    for (size_t i = 0; i < vocab; i++)
        t[i].weight = exp((t[i].logit - t[0].logit) / temperature);
    for (size_t i = 0; i < kept; i++)
        total += t[i].weight;
    if (o->top_p < 1.0f) {
        size_t r = 0;
        while (r < kept) {
            mass += t[r++].weight;
            if (fabs(mass / total - (double)o->top_p) < near) return -2;
            if (mass >= (double)o->top_p * total) break;
        }
        kept = r;
    }
    size_t r = 1;
    for (; r < kept && t[r].weight >= (double)o->min_p; r++)
        if (fabs(t[r].weight - (double)o->min_p) < near * (double)o->min_p) return -2;
    kept = r;
    total = 0.0;
    for (size_t i = 0; i < kept; i++)
        total += t[i].weight;
    qsort(t, kept, sizeof *t, by_id);
    const double target = slm_random_at(&row->key, row->position) * total;
    mass = 0.0;
    for (size_t i = 0; i < kept; i++) {
        mass += t[i].weight;
        if (fabs(mass - target) < near * total) return -2;
        if (mass > target) return t[i].id;
    }
    return t[kept - 1].id;
}

static const slm_sample_options ways[] = {
    {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
    {.temperature = 0, .top_p = 1, .repetition_penalty = 1.3f},
    {.temperature = 0.7f, .top_p = 1, .repetition_penalty = 1, .top_k = 1},
    {.temperature = 0.7f, .top_p = 1, .repetition_penalty = 1, .top_k = 7},
    {.temperature = 2.0f, .top_p = 1, .repetition_penalty = 1, .top_k = 40},
    {.temperature = 1, .top_p = 0.9f, .repetition_penalty = 1},
    {.temperature = 1.5f, .top_p = 0.999f, .repetition_penalty = 1},
    {.temperature = 1, .top_p = 0.0f, .repetition_penalty = 1},
    {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .min_p = 0.1f},
    {.temperature = 3, .top_p = 1, .repetition_penalty = 1, .min_p = 0.001f},
    {.temperature = 0.9f, .top_k = 30, .top_p = 0.8f, .min_p = 0.02f, .repetition_penalty = 1},
    {0.9f, 30, 0.95f, 0.02f, 0.5f, 0.25f, 1.2f},
    {1.0f, 0, 1.0f, 0.0f, -0.5f, 0.0f, 0.8f},
    {1.0f, 100000, 1.0f, 0.0f, 0.0f, 1.0f, 1.0f},
};
enum { WAYS = sizeof ways / sizeof *ways };

static void draws_equal_brute_force(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(1, 3);
    const size_t vocabs[] = {1, 5, 33, 300, 3001};
    size_t compared = 0, skipped = 0;
    for (size_t c = 0; c < 5 * 3 * WAYS; c++) {
        const size_t vocab = vocabs[c % 5], kind = c / 5 % 3, m = vocab > 1000 ? 4 : 20;
        float *logits = test_normal(&random, m * vocab, 3.0f);
        if (kind == 1) /* many ties */
            for (size_t i = 0; i < m * vocab; i++)
                logits[i] = roundf(logits[i]);
        token *t = test_alloc(vocab, sizeof *t);
        uint32_t *allowed = test_alloc(vocab / 32 + 1, sizeof *allowed);
        for (size_t i = 0; i <= vocab / 32; i++)
            allowed[i] = (uint32_t)slm_random_u64(&random) | 1u;
        int32_t prompt[20], generated[30];
        for (size_t i = 0; i < 20; i++)
            prompt[i] = (int32_t)slm_random_below(&random, vocab);
        for (size_t i = 0; i < 30; i++)
            generated[i] = (int32_t)slm_random_below(&random, vocab < 10 ? vocab : 10);
        slm_sample_row rows[20];
        for (uint32_t i = 0; i < m; i++)
            rows[i] = (slm_sample_row){.options = &ways[c / 15],
                                       .key = {5, c, i},
                                       .position = i,
                                       .prompt = prompt,
                                       .prompt_len = 20,
                                       .generated = generated,
                                       .generated_len = 30,
                                       .allowed = kind == 2 ? allowed : NULL};
        run_sample(device, logits, vocab, rows, m);
        for (size_t i = 0; i < m; i++) {
            const int32_t want = brute_draw(logits + i * vocab, vocab, &rows[i], t);
            assert_true(rows[i].finite);
            if (want == -2) {
                skipped++;
                continue;
            }
            compared++;
            if (rows[i].id != want)
                fail_msg("way %zu, vocabulary %zu, kind %zu, row %zu: drew %d, not %d", c / 15,
                         vocab, kind, i, rows[i].id, want);
        }
        free(logits), free(t), free(allowed);
    }
    assert_true(compared > 50 * skipped);
    slm_device_close(device);
}

/* Every k: the end of the prefix falls on every place of the quickselect. */
static void top_k_and_top_p_end_where_they_should(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    enum { VOCAB = 1000, M = 5 };
    slm_random random = slm_random_new(7, 3);
    token *t = test_alloc(VOCAB, sizeof *t);
    for (uint32_t k = 1; k < 600; k++) {
        float *logits = test_normal(&random, M * VOCAB, 1.0f);
        slm_sample_options options = plain;
        options.temperature = 4;
        if (k < 300)
            options.top_k = (int32_t)k;
        else
            options.top_p = (float)(k - 299) / 301.0f;
        slm_sample_row rows[M];
        for (uint32_t i = 0; i < M; i++)
            rows[i] = (slm_sample_row){.options = &options, .key = {8, k, i}};
        run_sample(device, logits, VOCAB, rows, M);
        for (size_t i = 0; i < M; i++) {
            const int32_t want = brute_draw(logits + i * VOCAB, VOCAB, &rows[i], t);
            if (want != -2 && rows[i].id != want)
                fail_msg("k %d, p %g: drew %d, not %d", options.top_k, (double)options.top_p,
                         rows[i].id, want);
        }
        free(logits);
    }
    free(t);
    slm_device_close(device);
}

/* ---- statistics ---------------------------------------------------------------------------- */

/* Chi-square of 20000 draws over 40 ids; seeds are fixed, so this cannot fail by chance. */
static void draws_follow_the_distribution(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    enum { VOCAB = 40, DRAWS = 20000, BATCH = 500 };
    slm_random random = slm_random_new(2, 3);
    float *one = test_normal(&random, VOCAB, 1.0f), *logits = test_alloc(BATCH * VOCAB, 4);
    for (size_t i = 0; i < BATCH; i++)
        memcpy(logits + i * VOCAB, one, VOCAB * sizeof *one);
    const slm_sample_options options[] = {
        plain, {.temperature = 0.5f, .top_k = 12, .top_p = 1, .repetition_penalty = 1}};
    for (int o = 0; o < 2; o++) {
        size_t counts[VOCAB] = {0};
        slm_sample_row *rows = test_alloc(BATCH, sizeof *rows);
        for (uint32_t b = 0; b < DRAWS / BATCH; b++) {
            for (uint32_t i = 0; i < BATCH; i++)
                rows[i] = (slm_sample_row){.options = &options[o], .key = {9, 1, i}, .position = b};
            run_sample(device, logits, VOCAB, rows, BATCH);
            for (size_t i = 0; i < BATCH; i++)
                counts[rows[i].id]++;
        }
        free(rows);
        double total = 0.0, chi = 0.0;
        size_t degrees = 0;
        double p[VOCAB];
        for (size_t i = 0; i < VOCAB; i++) {
            size_t above = 0;
            for (size_t j = 0; j < VOCAB; j++)
                above += one[j] > one[i];
            const bool kept = options[o].top_k == 0 || above < (size_t)options[o].top_k;
            p[i] = kept ? exp((double)one[i] / (double)options[o].temperature) : 0.0;
            total += p[i];
        }
        for (size_t i = 0; i < VOCAB; i++) {
            const double expected = p[i] / total * DRAWS, off = (double)counts[i] - expected;
            if (p[i] == 0.0) assert_int_equal(counts[i], 0);
            if (p[i] == 0.0) continue;
            chi += off * off / expected;
            degrees++;
        }
        /* the 99.9 % quantile by Wilson and Hilferty's cube (1931) */
        const double k = (double)(degrees - 1), z = 3.09;
        const double limit = k * pow(1.0 - 2.0 / (9.0 * k) + z * sqrt(2.0 / (9.0 * k)), 3.0);
        if (chi > limit) fail_msg("chi-square %g is above %g", chi, limit);
    }
    free(one), free(logits);
    slm_device_close(device);
}

/* ---- log-probabilities --------------------------------------------------------------------- */

static void log_prob_is_the_samplers(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    slm_random random = slm_random_new(3, 3);
    const size_t vocabs[] = {1, 7, 64, 1003, 49152};
    for (size_t c = 0; c < 5 * 4; c++) {
        const float temperatures[] = {0.0f, 0.6f, 1.0f, 2.0f};
        const size_t vocab = vocabs[c / 4], m = 3;
        float *logits = test_normal(&random, m * vocab, 4.0f), out[3];
        slm_sample_options options = {temperatures[c % 4], 50, 0.9f, 0.01f, 0.3f, 0.2f, 1.5f};
        const int32_t generated[] = {0};
        slm_sample_row rows[3];
        int32_t ids[3];
        for (uint32_t i = 0; i < m; i++)
            rows[i] = (slm_sample_row){.options = &options,
                                       .key = {1, 1, i},
                                       .position = 7,
                                       .generated = generated,
                                       .generated_len = 1};
        run_sample(device, logits, vocab, rows, m);
        for (size_t i = 0; i < m; i++)
            ids[i] = rows[i].id;
        slm_mem mem = test_mem(device, logits, m * vocab * sizeof *logits);
        table->log_prob(device, mem, m, vocab, options.temperature, ids, out);
        slm_device_free(device, mem);
        for (size_t i = 0; i < m; i++) {
            assert_same_bits(&out[i], &rows[i].logprob, 1);
            const double t = options.temperature > 0 ? (double)options.temperature : 1.0;
            double sum = 0.0;
            for (size_t j = 0; j < vocab; j++)
                sum += exp(((double)logits[i * vocab + j] - (double)logits[i * vocab]) / t);
            const double want =
                ((double)logits[i * vocab + (size_t)ids[i]] - (double)logits[i * vocab]) / t -
                log(sum);
            if (!(fabs((double)out[i] - want) <= 1e-6 * (1.0 + fabs(want))))
                fail_msg("log-probability %.9g, not %.9g", (double)out[i], want);
        }
        free(logits);
    }
    slm_device_close(device);
}

/* ---- the odd cases ------------------------------------------------------------------------- */

static void greedy_ties_go_to_the_smaller_id(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    enum { VOCAB = 100 };
    float logits[VOCAB];
    slm_sample_options greedy = plain, first = plain;
    greedy.temperature = 0;
    first.top_k = 1;
    for (size_t a = 0; a < VOCAB; a += 9) {
        for (size_t b = a; b < VOCAB; b += 7) {
            for (size_t i = 0; i < VOCAB; i++)
                logits[i] = -1.0f - (float)(i % 5);
            logits[a] = -0.0f;
            if (b != a) logits[b] = 0.0f;
            slm_sample_row rows[] = {{.options = &greedy}, {.options = &first}};
            run_sample(device, logits, VOCAB, &rows[0], 1);
            run_sample(device, logits, VOCAB, &rows[1], 1);
            assert_int_equal(rows[0].id, a);
            assert_int_equal(rows[1].id, a);
        }
    }
    slm_device_close(device);
}

static void rows_that_are_not_numbers_are_told(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    const size_t vocabs[] = {1, 5, 100};
    for (size_t c = 0; c < 3; c++) {
        const size_t vocab = vocabs[c];
        for (size_t at = 0; at<vocab; at += vocab> 40 ? 13 : 1) {
            slm_random random = slm_random_new(4, at);
            float *logits = test_normal(&random, 5 * vocab, 1.0f);
            logits[0 * vocab + at] = NAN;
            logits[1 * vocab + at] = INFINITY;
            for (size_t i = 0; i < vocab; i++)
                logits[2 * vocab + i] = -INFINITY;
            const uint32_t none[4] = {0, 0, 0, 0};
            slm_sample_row rows[5];
            for (size_t way = 0; way < WAYS; way++) {
                for (uint32_t i = 0; i < 5; i++)
                    rows[i] = (slm_sample_row){.options = &ways[way], .key = {1, 2, i}, .id = 77};
                rows[3].allowed = none;
                run_sample(device, logits, vocab, rows, 5);
                for (size_t i = 0; i < 4; i++) {
                    assert_false(rows[i].finite);
                    assert_int_equal(rows[i].id, -1);
                    assert_true(isnan(rows[i].logprob));
                }
                assert_true(rows[4].finite); /* the row beside them is as ever */
                assert_in_range(rows[4].id, 0, vocab - 1);
                assert_true(isfinite(rows[4].logprob));
            }
            free(logits);
        }
    }
    slm_device_close(device);
}

/* Some logits at -infinity are in order; they are never drawn. */
static void forbidden_tokens_are_never_drawn(void **state)
{
    OPEN_OR_SKIP(device, state, 2);
    enum { VOCAB = 70, M = 200 };
    float *logits = test_alloc(M * VOCAB, sizeof *logits);
    for (size_t i = 0; i < M * VOCAB; i++)
        logits[i] = i % VOCAB % 3 == 0 ? 0.5f : -INFINITY;
    uint32_t allowed[3] = {0x0f0f0f0f, 0xffffffff, 0x3f};
    slm_sample_row rows[M];
    for (size_t way = 0; way < WAYS; way++) {
        for (uint32_t i = 0; i < M; i++)
            rows[i] = (slm_sample_row){
                .options = &ways[way], .key = {1, 2, i}, .allowed = i % 2 ? allowed : NULL};
        run_sample(device, logits, VOCAB, rows, M);
        for (size_t i = 0; i < M; i++) {
            assert_true(rows[i].finite);
            assert_int_equal(rows[i].id % 3, 0);
            if (i % 2) assert_true(allowed[rows[i].id / 32] >> rows[i].id % 32 & 1u);
        }
    }
    free(logits);
    slm_device_close(device);
}

static void sampling_does_not_depend_on_threads_or_rows(void **state)
{
    enum { VOCAB = 5003, M = 14 };
    int32_t first_ids[WAYS][M];
    float first_logprobs[WAYS][M];
    for (int threads = 1; threads <= 3; threads++) {
        OPEN_OR_SKIP(device, state, threads);
        slm_random random = slm_random_new(6, 3);
        float *logits = test_normal(&random, M * VOCAB, 2.0f);
        const int32_t seen[] = {1, 2, 3, 3, 4000};
        for (size_t way = 0; way < WAYS; way++) {
            slm_sample_row rows[M];
            for (uint32_t i = 0; i < M; i++)
                rows[i] = (slm_sample_row){.options = &ways[(way + i) % WAYS],
                                           .key = {3, way, i},
                                           .position = 5,
                                           .generated = seen,
                                           .generated_len = 5};
            slm_sample_row alone[M];
            memcpy(alone, rows, sizeof rows);
            run_sample(device, logits, VOCAB, rows, M);
            for (size_t i = 0; i < M; i++) {
                run_sample(device, logits + i * VOCAB, VOCAB, &alone[i], 1);
                if (threads == 1) {
                    first_ids[way][i] = rows[i].id;
                    first_logprobs[way][i] = rows[i].logprob;
                }
                assert_int_equal(alone[i].id, rows[i].id);
                assert_int_equal(first_ids[way][i], rows[i].id);
                assert_same_bits(&alone[i].logprob, &rows[i].logprob, 1);
                assert_same_bits(&first_logprobs[way][i], &rows[i].logprob, 1);
            }
        }
        free(logits);
        slm_device_close(device);
    }
}

/* Temperatures so small that 1 / T is no float, and logits far apart. */
static void extreme_numbers_do_no_harm(void **state)
{
    OPEN_OR_SKIP(device, state, 1);
    const float logits[] = {-3e38f, 1e30f, 3e38f, 2.9e38f, 0.0f};
    for (size_t way = 0; way < WAYS; way++) {
        slm_sample_options options = ways[way];
        options.repetition_penalty = 1;
        if (options.temperature > 0) options.temperature = 1e-42f;
        slm_sample_row row = {.options = &options};
        run_sample(device, logits, 5, &row, 1);
        assert_true(row.finite);
        assert_int_equal(row.id, 2);
        assert_true(row.logprob == 0.0f);
    }
    slm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PATHS(draws_equal_brute_force),
        TEST_PATHS(top_k_and_top_p_end_where_they_should),
        TEST_PATHS(draws_follow_the_distribution),
        TEST_PATHS(log_prob_is_the_samplers),
        TEST_PATHS(greedy_ties_go_to_the_smaller_id),
        TEST_PATHS(rows_that_are_not_numbers_are_told),
        TEST_PATHS(forbidden_tokens_are_never_drawn),
        TEST_PATHS(sampling_does_not_depend_on_threads_or_rows),
        TEST_PATHS(extreme_numbers_do_no_harm),
    };
    return cmocka_run_group_tests_name("kernel/sample", tests, NULL, NULL);
}
