/* Random numbers: Random123's known answers, independence of order, uniformity by chi-square. */
#include "helpers.h"

#include <math.h>
#include "base/random.h"

/* The philox4x32 lines with 10 rounds of kat_vectors in the Random123 distribution. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        slm_random_philox(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].want, sizeof out);
    }
}

static void a_number_is_its_key_and_position(void **state)
{
    (void)state;
    slm_random_key key = {
        .seed = 0x299f31d0a4093822, .stream = 0x0370734413198a2e, .rollout = 0x85a308d3};
    /* From the third known answer: the upper 53 bits of its first two words. */
    double want = (double)(UINT64_C(0xd16cfe0994fdcceb) >> 11) / 9007199254740992.0;
    assert_true(slm_random_at(&key, 0x243f6a88) == want);
    slm_random_key other = key;
    other.rollout++;
    assert_true(slm_random_at(&other, 0x243f6a88) != want);
    other = key;
    other.seed++;
    assert_true(slm_random_at(&other, 0x243f6a88) != want);
    other = key;
    other.stream ^= UINT64_C(1) << 63;
    assert_true(slm_random_at(&other, 0x243f6a88) != want);
    assert_true(slm_random_at(&key, 0x243f6a89) != want);
    assert_true(slm_random_at(&key, 0x243f6a88) == want);
}

static void sequences_repeat_and_resume(void **state)
{
    (void)state;
    slm_random a = slm_random_new(7, 1);
    uint64_t numbers[20];
    for (size_t i = 0; i < 20; i++)
        numbers[i] = slm_random_u64(&a);
    slm_random b = slm_random_new(7, 1);
    b.position = 10;
    for (size_t i = 10; i < 20; i++)
        assert_true(slm_random_u64(&b) == numbers[i]);
    slm_random c = slm_random_new(7, 2);
    assert_true(slm_random_u64(&c) != numbers[0]);
    /* The keyed numbers with rollout 0 share the blocks, but not the words. */
    slm_random_key key = {.seed = 7, .stream = 1};
    assert_true(slm_random_at(&key, 0) != (double)(numbers[0] >> 11) * 0x1p-53);
}

static void uniform_is_uniform(void **state)
{
    (void)state;
    enum { BINS = 64, COUNT = 64000 };
    int bins[BINS] = {0};
    slm_random random = slm_random_new(1, 0);
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        double u = slm_random_uniform(&random);
        assert_true(u >= 0 && u < 1);
        bins[(int)(u * BINS)]++;
        sum += u;
    }
    double chi = 0;
    for (int i = 0; i < BINS; i++) {
        double off = bins[i] - (double)COUNT / BINS;
        chi += off * off / ((double)COUNT / BINS);
    }
    /* 63 degrees of freedom: beyond 110 once in 4000 fixed seeds. */
    assert_true(chi < 110);
    assert_true(fabs(sum / COUNT - 0.5) < 0.005);
}

static void below_is_unbiased(void **state)
{
    (void)state;
    slm_random random = slm_random_new(3, 0);
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++)
        counts[slm_random_below(&random, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], 9600, 10400);
    for (int i = 0; i < 100; i++)
        assert_true(slm_random_below(&random, 1) == 0);
    /* With n = 3 * 2^62 every fourth number must be thrown away; without that, the lower third
     * would come up half of the time. */
    uint64_t n = UINT64_C(3) << 62;
    int low = 0;
    for (int i = 0; i < 3000; i++) {
        uint64_t value = slm_random_below(&random, n);
        assert_true(value < n);
        low += value < UINT64_C(1) << 62;
    }
    assert_in_range(low, 850, 1150);
}

static void normal_is_normal(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    slm_random random = slm_random_new(5, 0);
    double sum = 0;
    double squares = 0;
    double fourth = 0;
    for (int i = 0; i < COUNT; i++) {
        double x = slm_random_normal(&random);
        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    assert_true(fabs(sum / COUNT) < 0.02);
    assert_true(fabs(squares / COUNT - 1) < 0.03);
    assert_true(fabs(fourth / COUNT - 3) < 0.25);
}

static void shuffle_permutes(void **state)
{
    (void)state;
    struct item {
        int number;
        char pad[93]; /* more than the swap's buffer, and odd */
    } items[50];
    int first[50] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        for (int i = 0; i < 50; i++) {
            memset(&items[i], i, sizeof items[i]);
            items[i].number = i;
        }
        slm_random random = slm_random_new(seed, 9);
        slm_random_shuffle(&random, items, 50, sizeof *items);
        int seen[50] = {0};
        for (int i = 0; i < 50; i++) {
            assert_in_range(items[i].number, 0, 49);
            seen[items[i].number]++;
            assert_int_equal(items[i].pad[92], items[i].number);
        }
        for (int i = 0; i < 50; i++)
            assert_int_equal(seen[i], 1);
        first[items[0].number]++;
    }
    for (int i = 0; i < 50; i++)
        assert_in_range(first[i], 15, 75);
    slm_random random = slm_random_new(0, 0);
    slm_random_shuffle(&random, NULL, 0, 4);
    slm_random_shuffle(&random, items, 1, sizeof *items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(a_number_is_its_key_and_position),
        cmocka_unit_test(sequences_repeat_and_resume),
        cmocka_unit_test(uniform_is_uniform),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(normal_is_normal),
        cmocka_unit_test(shuffle_permutes),
    };
    return cmocka_run_group_tests_name("base/random", tests, NULL, NULL);
}
