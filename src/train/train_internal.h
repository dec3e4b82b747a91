/* train_internal.h: what the files of train/ share. */
#ifndef SLM_TRAIN_INTERNAL_H
#define SLM_TRAIN_INTERNAL_H

#include <jansson.h>
#include "base/buffer.h"
#include "text/text.h"
#include "train/train.h"

/* ---- examples (examples.c) ----------------------------------------------------------------- */

/* A conversation up to one reply of the assistant: ids[0, prompt) are given, the rest is learnt. */
typedef struct train__example {
    slm_token *ids;
    size_t len, prompt;
} train__example;

typedef struct train__examples {
    train__example *items;
    size_t count;
    size_t too_long;         /* left out */
    uint64_t tokens, learnt; /* of those kept; and how many of them are learnt */
    char sha256[65];         /* over the ids: which data were learnt */
    slm_arena arena;
} train__examples;

typedef struct train__reader {
    const slm_tokenizer *tokenizer;
    const slm_template *tmpl;
    const char *system; /* put before conversations without one; NULL or "": none */
    bool thinking;
    size_t max_tokens;
} train__reader;

/* Cases: the ideal reply behind the conversation. {"messages": [...]}: every reply of the assistant,
 * each with what stands before it. A file of neither, a case without a reply, a reply without tokens:
 * an error with file and line. */
slm_status train__examples_load(const slm_option_list *paths, const train__reader *reader,
                                train__examples *out, slm_error *err);
void train__examples_free(train__examples *examples);

/* ---- the optimiser (optimiser.c) ----------------------------------------------------------- */

typedef struct train__optimiser train__optimiser;
slm_status train__optimiser_new(slm_model *model, slm_training *training,
                                const slm_recipe_optimiser *settings, int64_t steps,
                                train__optimiser **out, slm_error *err);
void train__optimiser_free(train__optimiser *optimiser);
/* The rate of a step, counted from 1. */
double train__rate(const slm_recipe_optimiser *settings, int64_t step, int64_t steps);
/* One AdamW step with the gradients that are there, which are then cleared. norm: of the gradient,
 * before it is clipped. */
void train__optimiser_step(train__optimiser *optimiser, int64_t step, double *norm);
slm_status train__optimiser_save(train__optimiser *optimiser, const char *path, slm_error *err);
slm_status train__optimiser_load(train__optimiser *optimiser, const char *path, slm_error *err);

/* ---- the log (metrics.c, events.c) --------------------------------------------------------- */

typedef struct train__metrics train__metrics;
/* metrics.jsonl and the event file of a folder, cut back to what a checkpoint knew. */
slm_status train__metrics_open(const char *folder, uint64_t lines_bytes, uint64_t events_bytes,
                               train__metrics **out, slm_error *err);
/* A line: step and values (numbers; steals the reference), and measured times apart. */
slm_status train__metrics_put(train__metrics *metrics, int64_t step, json_t *values, json_t *times,
                              slm_error *err);
/* Synced; the sizes, for a checkpoint. */
slm_status train__metrics_sync(train__metrics *metrics, uint64_t *lines_bytes,
                               uint64_t *events_bytes, slm_error *err);
void train__metrics_close(train__metrics *metrics);
/* TensorBoard's records (events.c). */
void train__event_begin(slm_buffer *out, double time_s);
void train__event_scalar(slm_buffer *out, double time_s, int64_t step, const char *tag,
                         double value);

/* ---- checkpoints (checkpoint.c) ------------------------------------------------------------ */

/* What a stage must know to go on, beside weights and optimiser. */
typedef struct train__state {
    int64_t step, steps;
    int64_t best_step;
    double best_loss, first_loss; /* by development data; NaN: none yet */
    double best_score;
    uint64_t metrics_bytes, events_bytes;
    bool finished;
    char recipe[65], data[65], kernels[32];
} train__state;

/* Write FOLDER/NAME: weights, state, and the optimiser unless NULL; the old one stays until the new
 * one is whole. */
slm_status train__checkpoint_save(const char *folder, const char *name, const slm_train *train,
                                  slm_training *training, train__optimiser *optimiser,
                                  const train__state *state, slm_error *err);
/* The state of FOLDER/NAME; *found false if there is none. */
slm_status train__checkpoint_state(const char *folder, const char *name, bool *found,
                                   train__state *out, slm_error *err);
/* Its weights, and the optimiser's unless NULL. */
slm_status train__checkpoint_load(const char *folder, const char *name, const slm_train *train,
                                  slm_training *training, train__optimiser *optimiser,
                                  slm_error *err);

/* ---- steps (steps.c) ----------------------------------------------------------------------- */

/* A sum over examples: minus the log-probabilities of the tokens that are learnt, and how many. With
 * `weight` not 0 the gradient of weight * sum is added. */
typedef struct train__loss {
    double sum;
    uint64_t tokens;
} train__loss;
train__loss train__pass(slm_training *training, const train__examples *examples,
                        const size_t *order, size_t count, size_t max_rows, float weight,
                        uint64_t seed, uint32_t first_step);
enum { TRAIN_MOST_SEQUENCES = 64 }; /* computed at once */

#endif
