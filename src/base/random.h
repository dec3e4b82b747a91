/* random.h: counter-based random numbers (Philox 4x32-10; Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", SC11). A number is a function of its key and counter alone, so it does not
 * depend on who asked for which number before: what makes samples independent of batch and resume. */
#ifndef SLM_BASE_RANDOM_H
#define SLM_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* The raw block function: 4 words of counter, 2 of key -> 4 words. */
void slm_random_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* What a sampled token is keyed by (ARCHITECTURE.md, 2e). `stream` is a 64-bit name of the case
 * (slm_hash_bytes of its id), `rollout` its index. */
typedef struct slm_random_key {
    uint64_t seed;
    uint64_t stream;
    uint32_t rollout;
} slm_random_key;

/* Uniform in [0,1) with 53 bits, for position `position` of the key's sequence. */
double slm_random_at(const slm_random_key *key, uint32_t position);

/* A sequential generator over the same block function, for bootstrap, shuffles, tests. */
typedef struct slm_random {
    uint64_t seed;
    uint64_t stream;
    uint64_t position;
} slm_random;
slm_random slm_random_new(uint64_t seed, uint64_t stream);
uint64_t slm_random_u64(slm_random *random);
double slm_random_uniform(slm_random *random);             /* [0,1) */
uint64_t slm_random_below(slm_random *random, uint64_t n); /* unbiased, n > 0 */
double slm_random_normal(slm_random *random);              /* mean 0, variance 1 */
/* Fisher-Yates over n items of item_bytes each. */
void slm_random_shuffle(slm_random *random, void *items, size_t n, size_t item_bytes);

#endif
