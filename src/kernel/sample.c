/* sample.c: from a row of logits to a token and its log-probability.
 *
 * One function, row_statistics, turns a row into its maximum and log-sum-exp; log_prob and sample
 * both use it, so that a rollout's log-probabilities are the trainer's to the bit.
 *
 * A draw never sorts the vocabulary. Candidates are those within a distance of the best that grows
 * until they are sure to hold what top-k, top-p or min-p keeps. What they keep is always a prefix
 * of the descending order (ties to the smaller id), so it is found by quickselect and described by
 * its last member, and the draw walks the candidates in ascending id until the cumulative weight,
 * summed in double, passes the random number.
 *
 * Penalties: repetition, Keskar et al. 2019 (CTRL), section 4.1; presence and frequency subtract,
 * as in OpenAI's API. Nucleus (top-p): Holtzman et al. 2020; p is of the mass that top-k left.
 * Min-p: Nguyen et al. 2024. Each row is drawn by one thread. */
#include "kernel/kernel_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- log-probabilities --------------------------------------------------------------------- */

typedef struct row_statistics {
    float max, inv_t;
    double log_sum;
    bool finite;
} row_statistics;

static float inverse_temperature(float temperature)
{
    if (temperature == 0.0f) return 1.0f;
    float inverse = 1.0f / temperature;
    return inverse <= FLT_MAX ? inverse : FLT_MAX; /* so that 0 * inverse is 0 */
}

static row_statistics measure(const slm_kernel__row_ops *ops, const float *x, size_t n,
                              float temperature)
{
    row_statistics row = {0.0f, inverse_temperature(temperature), 0.0, false};
    double sum = 0.0;
    ops->max_sum(x, n, row.inv_t, &row.max, &sum);
    row.finite = sum == sum && row.max >= -FLT_MAX && row.max <= FLT_MAX;
    if (row.finite) row.log_sum = slm_kernel__log(sum);
    return row;
}

static float log_probability(const row_statistics *row, float logit)
{
    if (!row->finite) return NAN;
    return (float)(((double)logit - (double)row->max) * (double)row->inv_t - row->log_sum);
}

/* d log_prob / d x_j = (1[j = target] - p_j) / T. H = log sum - sum of p z, z = (x - max) / T. */
void slm_kernel__loss_row(const slm_kernel__row_ops *ops, const float *x, size_t vocab,
                          float temperature, int32_t target, float *log_prob, float *entropy,
                          float coefficient, slm_dtype act, void *gradient)
{
    const row_statistics row = measure(ops, x, vocab, temperature);
    SLM_ASSERT(target >= 0 && (size_t)target < vocab);
    *log_prob = log_probability(&row, x[target]);
    if (entropy == NULL && gradient == NULL) return;
    const double sum = row.finite ? slm_kernel__exp(row.log_sum) : (double)NAN;
    const double factor = -(double)coefficient * (double)row.inv_t / sum;
    if (entropy != NULL)
        *entropy = (float)(row.log_sum - ops->weighted_sum(x, vocab, row.max, row.inv_t) / sum);
    if (gradient == NULL) return;
    if (coefficient == 0.0f) {
        memset(gradient, 0, vocab * slm_kernel__item_bytes(act));
        return;
    }
    ops->gradient(gradient, act, x, vocab, row.max, row.inv_t, (float)factor);
    const double p = slm_kernel__exp((double)*log_prob);
    const float at = (float)((double)coefficient * (double)row.inv_t * (1.0 - p));
    if (act == SLM_F32)
        ((float *)gradient)[target] = at;
    else
        ((uint16_t *)gradient)[target] = slm_bf16_from_f32(at);
}

typedef struct log_prob_job {
    const slm_kernel__row_ops *ops;
    const float *logits;
    size_t vocab;
    float temperature;
    const int32_t *ids;
    float *out;
} log_prob_job;

static void log_prob_rows(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    const log_prob_job *job = context;
    for (size_t i = begin; i < end; i++) {
        const float *x = job->logits + i * job->vocab;
        SLM_ASSERT(job->ids[i] >= 0 && (size_t)job->ids[i] < job->vocab);
        row_statistics row = measure(job->ops, x, job->vocab, job->temperature);
        job->out[i] = log_probability(&row, x[job->ids[i]]);
    }
}

void slm_kernel__log_prob(slm_device *device, const slm_kernel__row_ops *ops, const float *logits,
                          size_t m, size_t vocab, float temperature, const int32_t *ids, float *out)
{
    log_prob_job job = {ops, logits, vocab, temperature, ids, out};
    slm_kernel__run(device, m, 1, m * vocab, log_prob_rows, &job);
}

/* ---- penalties and the mask ---------------------------------------------------------------- */

/* A thread's scratch: everything a row needs, for a vocabulary of n. */
typedef struct scratch {
    uint64_t *keys;   /* n */
    double *sums;     /* n / 256 */
    float *adjusted;  /* n */
    float *candidate; /* n: logits of candidates */
    float *weight;    /* n */
    int32_t *ids;     /* n: ids of candidates */
    int32_t *count;   /* n: how often an id was generated; -1 once penalised */
} scratch;

static size_t scratch_bytes(size_t n)
{
    size_t sums = slm_kernel__round_up(n, SLM_KERNEL_SUM_BLOCK) / SLM_KERNEL_SUM_BLOCK;
    return slm_kernel__round_up(n, 16) *
               (sizeof(uint64_t) + 3 * sizeof(float) + 2 * sizeof(int32_t)) +
           slm_kernel__round_up(sums, 8) * sizeof(double);
}

static scratch scratch_at(char *at, size_t n)
{
    size_t items = slm_kernel__round_up(n, 16);
    size_t sums = slm_kernel__round_up(n, SLM_KERNEL_SUM_BLOCK) / SLM_KERNEL_SUM_BLOCK;
    scratch s;
    s.keys = (uint64_t *)(void *)at;
    s.sums = (double *)(void *)(s.keys + items);
    s.adjusted = (float *)(void *)(s.sums + slm_kernel__round_up(sums, 8));
    s.candidate = s.adjusted + items;
    s.weight = s.candidate + items;
    s.ids = (int32_t *)(void *)(s.weight + items);
    s.count = s.ids + items;
    return s;
}

static void penalise(const slm_sample_row *row, const scratch *s, size_t vocab)
{
    const slm_sample_options *o = row->options;
    float *z = s->adjusted;
    memset(s->count, 0, vocab * sizeof *s->count);
    for (size_t i = 0; i < row->generated_len; i++) {
        int32_t id = row->generated[i];
        SLM_ASSERT(id >= 0 && (size_t)id < vocab);
        s->count[id]++;
    }
    for (size_t i = 0; i < row->generated_len; i++) {
        int32_t id = row->generated[i], count = s->count[id];
        if (count < 0) continue;
        z[id] = z[id] > 0.0f ? z[id] / o->repetition_penalty : z[id] * o->repetition_penalty;
        z[id] -= o->frequency_penalty * (float)count;
        z[id] -= o->presence_penalty;
        s->count[id] = -1;
    }
    if (o->repetition_penalty == 1.0f) return;
    for (size_t i = 0; i < row->prompt_len; i++) {
        int32_t id = row->prompt[i];
        SLM_ASSERT(id >= 0 && (size_t)id < vocab);
        if (s->count[id] < 0) continue;
        z[id] = z[id] > 0.0f ? z[id] / o->repetition_penalty : z[id] * o->repetition_penalty;
        s->count[id] = -1;
    }
}

static void forbid(const uint32_t *allowed, float *z, size_t vocab)
{
    for (size_t word = 0; word * 32 < vocab; word++) {
        uint32_t bits = allowed[word];
        if (bits == UINT32_MAX) continue;
        size_t end = vocab - word * 32 < 32 ? vocab - word * 32 : 32;
        for (size_t i = 0; i < end; i++)
            if ((bits >> i & 1u) == 0) z[word * 32 + i] = -INFINITY;
    }
}

/* The logits to draw from: the row itself when nothing changes it. */
static const float *adjust(const slm_sample_row *row, const float *logits, const scratch *s,
                           size_t vocab)
{
    const slm_sample_options *o = row->options;
    bool penalised = o->repetition_penalty != 1.0f || o->frequency_penalty != 0.0f ||
                     o->presence_penalty != 0.0f;
    if (!penalised && row->allowed == NULL) return logits;
    memcpy(s->adjusted, logits, vocab * sizeof *logits);
    if (penalised) penalise(row, s, vocab);
    if (row->allowed != NULL) forbid(row->allowed, s->adjusted, vocab);
    return s->adjusted;
}

/* ---- the order of candidates --------------------------------------------------------------- */

/* One number that orders candidates: the logit, then the smaller index first. The bits of a float,
 * with negative ones inverted, ascend as unsigned integers; -0 is made +0 as they compare equal. */
static uint64_t rank_key(float value, size_t index)
{
    union {
        float f;
        uint32_t u;
    } bits = {value + 0.0f};
    uint32_t ordered = bits.u >> 31 ? ~bits.u : bits.u | 0x80000000u;
    return (uint64_t)ordered << 32 | (UINT32_MAX - (uint32_t)index);
}

static size_t rank_index(uint64_t key)
{
    return UINT32_MAX - (uint32_t)key;
}

/* ---- partial selection --------------------------------------------------------------------- */

static uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

static void sort_descending(uint64_t *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] < key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

/* The shortest prefix of the descending order of keys[n] that has `count` keys or a mass of `mass`,
 * or all. Moves it to the front and returns its length; *last is its last key. Quickselect (Hoare
 * 1961) by weight: the part that the end of the prefix lies in is divided again, O(n) on average.
 * Keys are distinct, so a median of three has keys on both sides and every round gets shorter. */
static size_t select_prefix(uint64_t *keys, size_t n, const float *weight, size_t count,
                            double mass, uint64_t *last)
{
    enum { SMALL = 24 };
    size_t low = 0, high = n; /* keys before low are in the prefix, those from high on are not */
    double passed = 0.0;
    while (high - low > SMALL) {
        const uint64_t pivot = median(keys[low], keys[low + (high - low) / 2], keys[high - 1]);
        size_t split = low;
        double sum = 0.0;
        for (size_t i = low; i < high; i++) {
            const uint64_t key = keys[i];
            if (key < pivot) continue;
            sum += (double)weight[rank_index(key)];
            keys[i] = keys[split];
            keys[split++] = key;
        }
        if (split >= count || passed + sum >= mass) {
            high = split;
        } else {
            passed += sum;
            low = split;
        }
    }
    sort_descending(keys + low, high - low);
    while (low < high) {
        passed += (double)weight[rank_index(keys[low++])];
        if (low >= count || passed >= mass) break;
    }
    *last = keys[low - 1];
    return low;
}

/* ---- drawing ------------------------------------------------------------------------------- */

/* Inverse of the cumulative distribution over the whole vocabulary. */
static int32_t draw_all(const slm_kernel__row_ops *ops, const scratch *s, const float *z,
                        size_t vocab, float max, float inv_t, double uniform)
{
    size_t blocks = slm_kernel__round_up(vocab, SLM_KERNEL_SUM_BLOCK) / SLM_KERNEL_SUM_BLOCK;
    ops->weights(s->weight, s->sums, z, vocab, max, inv_t);
    double total = 0.0;
    for (size_t b = 0; b < blocks; b++)
        total += s->sums[b];
    const double target = uniform * total;
    double passed = 0.0;
    size_t block = 0, last = 0;
    for (size_t b = 0; b < blocks; b++) {
        if (s->sums[b] <= 0.0) continue;
        block = b; /* the last one with any weight, should rounding carry the target past the end */
        if (target < passed + s->sums[b]) break;
        if (b + 1 < blocks) passed += s->sums[b];
    }
    size_t begin = block * SLM_KERNEL_SUM_BLOCK, end = begin + SLM_KERNEL_SUM_BLOCK;
    if (end > vocab) end = vocab;
    for (size_t i = begin; i < end; i++) {
        if (s->weight[i] <= 0.0f) continue;
        last = i;
        passed += (double)s->weight[i];
        if (target < passed) break;
    }
    return (int32_t)last;
}

/* Fill the scratch's candidates: all ids whose logit is at least some cut, which is low enough to
 * hold all that the row's truncation keeps; total is the whole row's mass. Returns how many. */
static size_t collect(const slm_kernel__row_ops *ops, const slm_sample_options *o, const scratch *s,
                      const float *z, size_t vocab, float max, float inv_t, double total)
{
    const bool by_count = o->top_k > 0 && (size_t)o->top_k < vocab;
    const double enough = (double)o->top_p * total; /* mass, when top-p alone decides */
    size_t count = 0;
    for (double distance = 2.0;; distance *= 1.5) {
        bool all = distance > 128.0; /* beyond, weights are 0 in float */
        double cut = all ? -(double)FLT_MAX : (double)max - distance / (double)inv_t;
        if (!(cut > -(double)FLT_MAX)) cut = -(double)FLT_MAX;
        count = ops->select(s->ids, z, vocab, (float)cut);
        for (size_t c = 0; c < count; c++)
            s->candidate[c] = z[s->ids[c]];
        if (by_count && count < (size_t)o->top_k && !all) continue;
        ops->weights(s->weight, s->sums, s->candidate, count, max, inv_t);
        if (all || by_count) break;
        if (o->min_p > 0.0f && slm_kernel__exp(-distance) < 0.5 * (double)o->min_p) break;
        if (o->top_p >= 1.0f) continue;
        double mass = 0.0;
        for (size_t b = 0; b * SLM_KERNEL_SUM_BLOCK < count; b++)
            mass += s->sums[b];
        if (mass >= enough) break;
    }
    return count;
}

/* The key of the last candidate that top-k and top-p keep; total is the whole row's mass. */
static uint64_t last_kept(const slm_sample_options *o, const scratch *s, size_t count, size_t vocab,
                          double total)
{
    uint64_t last = 0; /* all */
    for (size_t c = 0; c < count; c++)
        s->keys[c] = rank_key(s->candidate[c], c);
    if (o->top_k > 0 && (size_t)o->top_k < vocab) {
        count = select_prefix(s->keys, count, s->weight, (size_t)o->top_k, INFINITY, &last);
        total = 0.0;
        for (size_t r = 0; r < count; r++)
            total += (double)s->weight[rank_index(s->keys[r])];
    }
    if (o->top_p < 1.0f)
        select_prefix(s->keys, count, s->weight, SIZE_MAX, (double)o->top_p * total, &last);
    return last;
}

/* Draw after truncation. */
static int32_t draw_some(const slm_kernel__row_ops *ops, const slm_sample_options *o,
                         const scratch *s, const float *z, size_t vocab, float max, float inv_t,
                         double uniform)
{
    double all = 0.0;
    if (o->top_p < 1.0f) {
        float same;
        ops->max_sum(z, vocab, inv_t, &same, &all);
    }
    const size_t count = collect(ops, o, s, z, vocab, max, inv_t, all);
    const uint64_t least = last_kept(o, s, count, vocab, all);
    double total = 0.0;
    size_t kept = 0; /* candidates move up: ids and weights of the kept, ids ascending */
    for (size_t c = 0; c < count; c++) {
        if (rank_key(s->candidate[c], c) < least) continue;
        if (s->weight[c] <= 0.0f || (s->weight[c] < o->min_p && s->weight[c] < 1.0f)) continue;
        s->ids[kept] = s->ids[c];
        s->weight[kept] = s->weight[c];
        total += (double)s->weight[kept++];
    }
    const double target = uniform * total;
    double passed = 0.0;
    int32_t id = -1;
    for (size_t c = 0; c < kept; c++) {
        id = s->ids[c];
        passed += (double)s->weight[c];
        if (target < passed) break;
    }
    return id;
}

static void sample_row(const slm_kernel__row_ops *ops, const float *logits, size_t vocab,
                       slm_sample_row *row, const scratch *s)
{
    const slm_sample_options *o = row->options;
    row->id = -1;
    row->logprob = NAN;
    row_statistics statistics = measure(ops, logits, vocab, o->temperature);
    row->finite = statistics.finite;
    if (!row->finite) return;
    const float *z = adjust(row, logits, s, vocab);
    size_t best = ops->argmax(z, vocab);
    row->finite = z[best] >= -FLT_MAX && z[best] <= FLT_MAX; /* false: nothing is allowed */
    if (!row->finite) return;
    if (o->temperature == 0.0f || o->top_k == 1) {
        row->id = (int32_t)best;
    } else {
        double uniform = slm_random_at(&row->key, row->position);
        bool truncated =
            (o->top_k > 0 && (size_t)o->top_k < vocab) || o->top_p < 1.0f || o->min_p > 0.0f;
        row->id = truncated ? draw_some(ops, o, s, z, vocab, z[best], statistics.inv_t, uniform)
                            : draw_all(ops, s, z, vocab, z[best], statistics.inv_t, uniform);
    }
    row->logprob = log_probability(&statistics, logits[row->id]);
}

typedef struct sample_job {
    const slm_kernel__row_ops *ops;
    const float *logits;
    size_t vocab, bytes;
    slm_sample_row *rows;
    char *memory;
} sample_job;

static void sample_rows(void *context, size_t begin, size_t end, int thread)
{
    const sample_job *job = context;
    scratch s = scratch_at(job->memory + (size_t)thread * job->bytes, job->vocab);
    for (size_t i = begin; i < end; i++)
        sample_row(job->ops, job->logits + i * job->vocab, job->vocab, &job->rows[i], &s);
}

void slm_kernel__sample(slm_device *device, const slm_kernel__row_ops *ops, const float *logits,
                        size_t vocab, slm_sample_row *rows, size_t m)
{
    sample_job job = {ops,  logits, vocab, slm_kernel__round_up(scratch_bytes(vocab), 64),
                      rows, NULL};
    job.memory = slm_kernel__scratch(device, job.bytes * (size_t)device->thread_count);
    slm_kernel__run(device, m, 1, m * vocab, sample_rows, &job);
}
