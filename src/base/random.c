/* random.c: Philox 4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3", SC11, section 3.3: two 32x32->64 multiplications a round, keys bumped by the
 * golden ratio and sqrt(3) - 1).
 *
 * A block has four words of output. slm_random_at takes the first two and the sequential generator
 * the last two, so that a token's number and a bootstrap's number never coincide, whatever their
 * seeds and streams. Normal numbers: Box and Muller (1958). Below n: numbers from the incomplete
 * last run of n are thrown away, so that every remainder is equally likely. */
#include "base/random.h"

#include <math.h>
#include <string.h>
#include "base/error.h"

static const uint32_t MULTIPLIER_0 = 0xD2511F53;
static const uint32_t MULTIPLIER_1 = 0xCD9E8D57;
static const uint32_t BUMP_0 = 0x9E3779B9;
static const uint32_t BUMP_1 = 0xBB67AE85;

void slm_random_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0];
    uint32_t c1 = counter[1];
    uint32_t c2 = counter[2];
    uint32_t c3 = counter[3];
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)MULTIPLIER_0 * c0;
        uint64_t b = (uint64_t)MULTIPLIER_1 * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += BUMP_0;
        k1 += BUMP_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The upper 53 bits of a 64-bit number as a fraction of 2^53. */
static double to_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

double slm_random_at(const slm_random_key *key, uint32_t position)
{
    uint32_t counter[4] = {position, key->rollout, (uint32_t)key->stream,
                           (uint32_t)(key->stream >> 32)};
    uint32_t words[2] = {(uint32_t)key->seed, (uint32_t)(key->seed >> 32)};
    uint32_t out[4];
    slm_random_philox(counter, words, out);
    return to_unit((uint64_t)out[0] << 32 | out[1]);
}

slm_random slm_random_new(uint64_t seed, uint64_t stream)
{
    return (slm_random){.seed = seed, .stream = stream, .position = 0};
}

uint64_t slm_random_u64(slm_random *random)
{
    uint32_t counter[4] = {(uint32_t)random->position, (uint32_t)(random->position >> 32),
                           (uint32_t)random->stream, (uint32_t)(random->stream >> 32)};
    uint32_t words[2] = {(uint32_t)random->seed, (uint32_t)(random->seed >> 32)};
    uint32_t out[4];
    slm_random_philox(counter, words, out);
    random->position++;
    return (uint64_t)out[2] << 32 | out[3];
}

double slm_random_uniform(slm_random *random)
{
    return to_unit(slm_random_u64(random));
}

uint64_t slm_random_below(slm_random *random, uint64_t n)
{
    SLM_ASSERT(n > 0);
    uint64_t skip = -n % n; /* 2^64 mod n */
    uint64_t bits;
    do {
        bits = slm_random_u64(random);
    } while (bits < skip);
    return bits % n;
}

double slm_random_normal(slm_random *random)
{
    static const double two_pi = 6.283185307179586476925;
    double radius = sqrt(-2 * log(1 - slm_random_uniform(random))); /* 1 - u is never 0 */
    return radius * cos(two_pi * slm_random_uniform(random));
}

static void swap_bytes(unsigned char *a, unsigned char *b, size_t len)
{
    unsigned char held[64];
    while (len > 0) {
        size_t step = len < sizeof held ? len : sizeof held;
        memcpy(held, a, step);
        memcpy(a, b, step);
        memcpy(b, held, step);
        a += step;
        b += step;
        len -= step;
    }
}

void slm_random_shuffle(slm_random *random, void *items, size_t n, size_t item_bytes)
{
    unsigned char *bytes = items;
    for (size_t left = n; left > 1; left--) {
        size_t pick = (size_t)slm_random_below(random, left);
        if (pick != left - 1) {
            swap_bytes(bytes + pick * item_bytes, bytes + (left - 1) * item_bytes, item_bytes);
        }
    }
}
