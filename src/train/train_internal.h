/* train_internal.h: what the files of train/ share. */
#ifndef SLM_TRAIN_INTERNAL_H
#define SLM_TRAIN_INTERNAL_H

#include <jansson.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/random.h"
#include "text/text.h"
#include "train/train.h"

/* ---- examples (examples.c) ----------------------------------------------------------------- */

/* A conversation up to one reply of the assistant: ids[0, prompt) are given, the rest is learnt. */
typedef struct train__example {
    slm_token *ids;
    size_t len, prompt;
    uint64_t family; /* of a case; a conversation is one by itself */
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
    bool as_it_came; /* a thought, if there is one, stands in the reply itself */
    size_t max_tokens;
} train__reader;

/* Cases: the ideal reply behind the conversation. {"messages": [...]}: every reply of the assistant,
 * each with what stands before it. A file of neither, a case without a reply, a reply without tokens:
 * an error with file and line. */
slm_status train__examples_load(const slm_option_list *paths, const train__reader *reader,
                                train__examples *out, slm_error *err);
void train__examples_free(train__examples *examples);
/* Take whole families, about `share` of them, drawn by seed, out of the examples into *held, whose ids
 * stay those of `examples`: it is to be freed before. */
void train__examples_hold_back(train__examples *examples, double share, uint64_t seed,
                               train__examples *held);
/* Put `share` of the whole from `more` behind the examples, each as often as it takes, in an order
 * drawn by seed; `more` must live as long. */
void train__examples_mix(train__examples *examples, const train__examples *more, double share,
                         uint64_t seed);

/* The model's own answers to general requests, as it is now, greedily: conversations in
 * FOLDER/replay.jsonl. Each is asked once and kept in FOLDER/answers.jsonl as it comes; all are asked
 * again where requests, model or system text are others, which is an error once FOLDER/last is there
 * (replay.c). */
slm_status train__replay(const slm_train *train, const char *folder, slm_buffer *path,
                         slm_error *err);

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
/* How long the files are. */
typedef struct train__sizes {
    uint64_t lines, events, samples;
} train__sizes;
/* metrics.jsonl, the event file and samples.jsonl of a folder, cut back to what a checkpoint knew. */
slm_status train__metrics_open(const char *folder, const train__sizes *sizes, train__metrics **out,
                               slm_error *err);
/* A line: step and values (numbers; steals the reference), and measured times apart. */
slm_status train__metrics_put(train__metrics *metrics, int64_t step, json_t *values, json_t *times,
                              slm_error *err);
/* Lines of samples.jsonl, which grows and is cut back like the others. */
slm_status train__metrics_put_samples(train__metrics *metrics, const char *lines, size_t len,
                                      slm_error *err);
/* Synced; the sizes, for a checkpoint. */
slm_status train__metrics_sync(train__metrics *metrics, train__sizes *sizes, slm_error *err);
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
    double best_loss, first_loss;   /* by development data; NaN: none yet */
    double best_score, first_score; /* grpo: rewards of development episodes */
    double first_entropy;           /* grpo: a token's at the first step */
    double *past;                   /* grpo: of each case the reward it got lately; not owned */
    size_t past_count;
    train__sizes log;
    bool finished;
    char data[65], kernels[32];
    slm_recipe_settings settings; /* text: not owned; NULL in what was read */
} train__state;

/* Nothing done, nothing measured. */
train__state train__state_none(void);
/* Write FOLDER/NAME: weights, state, and the optimiser unless NULL; the old one stays until the new
 * one is whole. */
slm_status train__checkpoint_save(const char *folder, const char *name, const slm_train *train,
                                  slm_training *training, train__optimiser *optimiser,
                                  const train__state *state, slm_error *err);
/* The state of FOLDER/NAME; *found false if there is none. out->past: NULL, or room for past_count. */
slm_status train__checkpoint_state(const char *folder, const char *name, bool *found,
                                   train__state *out, slm_error *err);
/* Whether FOLDER/last can be gone on with by these settings: an error names the one that differs. */
slm_status train__settings_check(const char *folder, const train__state *last,
                                 const slm_recipe_settings *now, slm_error *err);
/* Whether what was found can be gone on with: an error names what differs. */
slm_status train__state_check(const char *folder, const train__state *last, const train__state *now,
                              slm_error *err);
/* Its weights, and the optimiser's unless NULL. */
slm_status train__checkpoint_load(const char *folder, const char *name, const slm_train *train,
                                  slm_training *training, train__optimiser *optimiser,
                                  slm_error *err);

/* ---- earlier values (snapshot.c) --------------------------------------------------------------- */

/* What parameters are now, or, of_base, what they are in the base: 0 in an adapter; of other weights
 * their values now, so it must be taken before they change. The training must outlive it. */
typedef struct train__snapshot train__snapshot;
slm_status train__snapshot_new(slm_model *model, slm_training *training, bool of_base,
                               train__snapshot **out, slm_error *err);
void train__snapshot_free(train__snapshot *snapshot); /* NULL is allowed */
/* The model as it was then, or again as it is. */
void train__snapshot_show(const train__snapshot *snapshot, bool shown);
/* Every value becomes share of what it is now and 1 - share of what it was; 0 <= share <= 1. */
void train__snapshot_mix(const train__snapshot *snapshot, double share);

/* ---- a stage (stage.c) --------------------------------------------------------------------- */

/* What every stage has; the first member of its own struct. */
typedef struct train__stage {
    const slm_train *train;
    slm_error *err;
    const char *name; /* "sft" */
    char folder[4096];
    slm_training *training;
    train__optimiser *optimiser;
    train__metrics *metrics;
    train__state state;
    int64_t saved; /* the step that `last` is of */
    double started_s;
    slm_file_lock *lock;
} train__stage;

/* Set up, and make its folder, which is this process's alone: another that trains there gets an error.
 * train__stage_free after it, whatever it returns. */
slm_status train__stage_begin(train__stage *stage, const char *name, const slm_train *train,
                              slm_error *err);
void train__stage_free(train__stage *stage);
/* The state of a stage that has done nothing yet, on these settings and data. */
void train__stage_fresh(train__stage *stage, int64_t steps, const slm_recipe_settings *settings,
                        const char *data_sha256, const char *dev_sha256);
/* Take over the state of `last`, if there is one, and it is of these settings and data. */
slm_status train__stage_find(train__stage *stage, bool *found);
/* Its weights and optimiser; says where the stage goes on. */
slm_status train__stage_load_last(train__stage *stage);
/* Verbose: memory beside the model, with so many numbers for each parameter besides its value and
 * gradient: the optimiser's two, a snapshot. */
void train__stage_tell_memory(const train__stage *stage, int copies);
/* The log, cut back to what the state knows; the time budget begins. */
slm_status train__stage_open_log(train__stage *stage);
/* `with_optimiser`: one to go on from. */
slm_status train__stage_save(train__stage *stage, const char *name, bool with_optimiser);
slm_status train__stage_check_finite(const train__stage *stage, double loss, double norm);
slm_status train__stage_cancelled(const train__stage *stage);
/* Between two steps: is it to end here? Then `last` is saved; SLM_ERR_CANCELLED if it was told to stop. */
slm_status train__stage_pause(train__stage *stage, bool *pauses, slm_train_result *result);

/* ---- how long it will take (projection.c) ----------------------------------------------------- */

typedef struct train__projection {
    int64_t steps;
    double took_s, work; /* of these steps; work in what the caller counts */
    double look_s;       /* of a look at development data; 0: none, or not known */
    bool told;
} train__projection;
/* After a step, until it was told: what it took, how much work it was and how much is left, looks at
 * development data too. Tells when enough was seen, and what the time budget leaves of it. */
void train__project(train__projection *projection, const train__stage *stage, double took_s,
                    double work, double work_left, int64_t looks_left);
/* Before the first step: a range, of all or of `what` ("playing alone "), and what it is from. */
void train__project_range(const train__stage *stage, const char *what, double from_s, double to_s,
                          const char *why);
/* Looks at development data that come after a step: one each `each` steps, one at the end. */
int64_t train__looks_left(int64_t step, int64_t steps, int64_t each);
enum { TRAIN_ABOUT_BYTES = 32 };
void train__about(double seconds, char text[TRAIN_ABOUT_BYTES]); /* "18 min" */

/* Whether a conversation that begins with a message of this role gets the recipe's system text. */
bool train__adds_system(const char *system, const char *first_role);

/* ---- steps (steps.c) ----------------------------------------------------------------------- */

/* A sum over examples: minus the log-probabilities of the tokens that are learnt, and how many. With
 * `weight` not 0 the gradient of weight * sum is added; with 0 nothing is dropped out. */
typedef struct train__loss {
    double sum;
    uint64_t tokens;
} train__loss;
train__loss train__pass(slm_training *training, const train__examples *examples,
                        const size_t *order, size_t count, size_t max_rows, float weight,
                        uint64_t seed, uint32_t first_step);
enum { TRAIN_MOST_SEQUENCES = 64 }; /* computed at once */

/* ---- practice (rollouts.c, objective.c) ---------------------------------------------------- */

/* One reply of the policy: what it saw, sampled, and with which log-probabilities. */
typedef struct train__turn {
    slm_chat_trace *trace;
    bool cut_off;
} train__turn;

typedef struct train__rollout {
    slm_episode *episode;
    train__turn *turns;
    size_t turn_count, tokens; /* tokens: of all its replies */
    bool cut_off;
    bool judged, unscored; /* by a judge; unscored: it failed on it */
    slm_reward reward;     /* total: with overlong */
    double overlong; /* in [-1,0]: how far its longest reply came into the last overlong_tokens */
    double advantage;
    bool learnt; /* it is among those that the group is learnt from */
} train__rollout;

/* A case and its rollouts. Set c and count; train__roll makes the rest. */
typedef struct train__group {
    const slm_case *c;
    size_t count;
    slm_env_stratum stratum;
    train__rollout *rollouts;
    size_t answered; /* of the first turn */
} train__group;

typedef struct train__roll_options {
    slm_chat_sampling sampling;
    const char *system;        /* before conversations without one; NULL or "": none */
    int64_t overlong_tokens;   /* of max_tokens the last, which cost more and more; 0: none */
    slm_judge *judge;          /* where the environment wants one; NULL: its part is absent */
    slm_chat *patient;         /* likewise; NULL: the environment has its own */
    slm_store *store;          /* where the patient's replies are kept; NULL: nowhere */
    slm_log *log;              /* may be NULL */
    const volatile bool *stop; /* may be NULL */
} train__roll_options;

/* Play every group's episodes to their end. On an error nothing is left in flight; the groups are to
 * be freed either way. */
slm_status train__roll(slm_chat *chat, slm_env *env, const train__roll_options *options,
                       train__group *groups, size_t count, slm_error *err);
void train__group_free(train__group *group); /* what train__roll made */
bool train__group_has_spread(const train__group *group);
double train__group_mean(const train__group *group); /* of the rewards */

/* Rollouts with a judge (judging.c): set judge, the rest 0. */
typedef struct train__hearing train__hearing;
typedef struct train__judging {
    slm_judge *judge;
    train__hearing *items; /* without a grading yet */
    size_t count, room;
    size_t graded, unscored;
    size_t lost;     /* of those unscored: nobody could be asked */
    slm_error first; /* of the first unscored one */
} train__judging;
/* A rollout whose episode waits for its judge; one that the judge grades nothing of is done at once.
 * in_turns: earlier replies count too. Both must live until it is graded. */
slm_status train__judging_submit(train__judging *judging, const slm_case *c, bool in_turns,
                                 train__rollout *rollout, slm_error *err);
/* Takes what was graded, waiting up to timeout_ms for the first. */
slm_status train__judging_poll(train__judging *judging, int timeout_ms, slm_error *err);
/* When all came: says how many are unscored; an error where nobody could be asked about any. */
slm_status train__judging_end(train__judging *judging, slm_log *log, slm_error *err);
/* What is in flight is dropped. */
void train__judging_free(train__judging *judging);

/* ---- which cases (drawing.c) ------------------------------------------------------------------- */

/* Cases to practise on and for development, which must have every stratum that is practised on. Both
 * are freed by the caller, whatever comes. */
slm_status train__load_practice(const slm_recipe_grpo *settings, slm_cases *data, slm_cases *dev,
                                slm_error *err);
/* How many of a step's cases each stratum gives; those without cases give theirs to the others. */
void train__quota(const slm_recipe_grpo *settings, const slm_cases *data,
                  size_t out[SLM_ENV_STRATA]);
/* A case of the stratum that is not among the groups yet, in proportion to what it failed to earn:
 * past[data->count]. NULL: there is none left. */
const slm_case *train__draw(const slm_cases *data, const double *past, const train__group *groups,
                            size_t group_count, slm_env_stratum stratum, slm_random *random);

/* What a batch is averaged over: what is learnt of it. */
typedef struct train__share {
    size_t rollouts, tokens;
} train__share;

typedef struct train__objective {
    double loss;       /* the rollout's part of the whole */
    double divergence; /* sum over tokens */
    size_t clipped, tokens;
} train__objective;

/* kind: "leave-one-out", "mean" or "mean-std". */
void train__advantages(const double *rewards, size_t count, const char *kind, double *out);
/* The loss of a rollout's turn, and its derivative by each token's log-probability. `old`: when it was
 * sampled; `reference` may be NULL. `of_rollout`: tokens that are learnt of the whole rollout, this
 * turn's among them. */
train__objective train__coefficients(const slm_recipe_grpo *options, const train__share *share,
                                     double advantage, const float *log_prob, const float *old,
                                     const float *reference, size_t tokens, size_t of_rollout,
                                     float *coefficient);

/* ---- a step of it (learn.c) -------------------------------------------------------------------- */

/* Advantages from all of a group's rewards; of the rollouts the best and the worst are to be learnt. */
void train__choose(const slm_recipe_grpo *settings, train__group *group);

typedef struct train__learner {
    const slm_recipe_grpo *settings;
    slm_training *training;
    train__optimiser *optimiser;
    const train__snapshot *reference; /* what the policy is held near; NULL: nothing */
    slm_log *log;
} train__learner;

typedef struct train__learnt {
    train__objective sum;
    double norm, entropy;
    size_t mismatches; /* tokens whose log-probability was not the rollout's at the first update */
} train__learnt;

/* The step's updates of the weights from what was chosen; step counts from 1. */
void train__learn(const train__learner *learner, const train__group *groups, size_t count,
                  int64_t step, train__learnt *out);

#endif
