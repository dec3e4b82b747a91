/* steps.c: examples packed into batches of rows, and passed.
 *
 * Examples are taken in order for as long as they fit into the rows, each a sequence of its own that
 * sees no other. The loss is a sum with a weight the caller chooses, so that the same examples in
 * more or fewer batches give the same gradient but for rounding. */
#include <stdlib.h>
#include <string.h>

#include "train_internal.h"

/* As many of order[0..count) as fit; returns how many. */
static size_t pack(const train__examples *examples, const size_t *order, size_t count,
                   size_t max_rows, int32_t *ids, slm_train_sequence *sequences, int32_t *want,
                   int32_t *targets, slm_train_batch *out)
{
    size_t taken = 0;
    *out = (slm_train_batch){
        .ids = ids, .sequences = sequences, .want = want, .targets = targets, .temperature = 1.0f};
    while (taken < count && taken < TRAIN_MOST_SEQUENCES) {
        const train__example *e = &examples->items[order[taken]];
        const size_t rows = e->len - 1; /* the last token predicts nothing */
        SLM_ASSERT(rows <= max_rows && e->prompt > 0);
        if (out->rows + rows > max_rows) break;
        memcpy(ids + out->rows, e->ids, rows * sizeof *ids);
        sequences[taken++] = (slm_train_sequence){(int32_t)out->rows, (int32_t)rows, -1};
        for (size_t i = e->prompt; i < e->len; i++) {
            want[out->want_count] = (int32_t)(out->rows + i - 1);
            targets[out->want_count++] = e->ids[i];
        }
        out->rows += rows;
    }
    out->sequence_count = taken;
    return taken;
}

train__loss train__pass(slm_training *training, const train__examples *examples,
                        const size_t *order, size_t count, size_t max_rows, float weight,
                        uint64_t seed, uint32_t first_step)
{
    slm_train_sequence sequences[TRAIN_MOST_SEQUENCES];
    int32_t *numbers = malloc(3 * max_rows * sizeof *numbers);
    float *coefficient = malloc(2 * max_rows * sizeof *coefficient), *log_prob;
    train__loss loss = {0};
    if (!numbers || !coefficient) slm_out_of_memory(5 * max_rows * sizeof *numbers);
    log_prob = coefficient + max_rows;
    for (size_t i = 0; i < max_rows; i++)
        coefficient[i] = -weight; /* loss is minus the log-probability */
    while (count > 0) {
        slm_train_batch batch;
        const size_t taken = pack(examples, order, count, max_rows, numbers, sequences,
                                  numbers + max_rows, numbers + 2 * max_rows, &batch);
        batch.seed = seed;
        batch.step = first_step++;
        batch.measures = weight == 0;
        slm_training_forward(training, &batch, weight != 0 ? coefficient : NULL, log_prob, NULL);
        for (size_t i = 0; i < batch.want_count; i++)
            loss.sum -= (double)log_prob[i];
        loss.tokens += batch.want_count;
        if (weight != 0) slm_training_backward(training, NULL);
        order += taken;
        count -= taken;
    }
    free(numbers);
    free(coefficient);
    return loss;
}
