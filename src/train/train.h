/* train.h: from a recipe to a better model: learning from examples (sft), then from practice (grpo).
 *
 * A recipe is YAML; its keys stand in one table (recipe.c), from which they are read, checked and
 * explained. A stage writes its folder below the recipe's `output`:
 *
 *     sft/last, sft/best    checkpoints: an adapter in PEFT's layout (or all weights), the optimiser,
 *                           the place in the data; `best` by the development cases
 *     sft/interpolated      with sft.interpolate below 1: between the base and `best`
 *     sft/model             without an adapter: the whole model, made by the command line
 *     sft/replay.jsonl      what the base answered to sft.replay; sft/answers.jsonl, as it came
 *     sft/metrics.jsonl     a line for each step, with measured times apart
 *     sft/events.out.tfevents.slm
 *                           the same for TensorBoard
 *
 * Killed anywhere, a stage goes on from `last`, and ends with the weights and metrics of the run that
 * was not. That holds within one kernel path, which the checkpoint names. */
#ifndef SLM_TRAIN_H
#define SLM_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/options.h"
#include "env/env.h"
#include "judge/judge.h"
#include "model/model.h"
#include "provider/chat.h"

/* ---- the recipe ---------------------------------------------------------------------------- */

typedef struct slm_recipe_run {
    const char *model;  /* MODEL: a file or folder, with +DIR for an adapter to go on with */
    const char *output; /* folder of everything that is made */
    int64_t seed;
    const char *train;          /* "adapter", "layers" or "all" */
    const char *template;       /* NULL: the model's own */
    const char *system;         /* before every conversation without one; "": none */
    const char *thinking;       /* "off" or "on" */
    double time_budget_minutes; /* of each stage; 0: none */
} slm_recipe_run;

typedef struct slm_recipe_lora {
    int64_t rank;
    double alpha, dropout;
    bool rank_stabilised;
    const char *matrices; /* "q,k,v,o,gate,up,down" */
} slm_recipe_lora;

/* How weights are changed. */
typedef struct slm_recipe_optimiser {
    double rate;          /* the highest */
    const char *schedule; /* "constant", "linear" or "cosine", down to 0 */
    double warmup;        /* share of the steps in which the rate rises */
    double beta1, beta2, eps, decay;
    double clip; /* of the gradient's norm; 0: none */
} slm_recipe_optimiser;

typedef struct slm_recipe_sft {
    slm_option_list data, dev; /* cases with a reply, or JSON Lines of {"messages": [...]} */
    slm_option_list replay; /* {"messages": [...]} that end with the user: general requests, which
                                  the model answers itself, as it is before the stage */
    double replay_share;    /* of all examples */
    double
        dev_share; /* of the data's families, held back for development where dev names no file */
    double epochs;
    int64_t batch;      /* examples in a step */
    int64_t max_tokens; /* of an example; longer ones are left out, and counted */
    int64_t rows;       /* tokens computed at once */
    bool checkpointing; /* keep less, compute more */
    int64_t save_steps, dev_steps;
    double interpolate; /* of what was learnt the share that is kept; 1: all of it */
    slm_recipe_optimiser optimiser;
} slm_recipe_sft;

typedef struct slm_recipe_grpo {
    slm_option_list data, dev; /* cases */
    const char *env;           /* "single-turn" or "multi-turn" */
    int64_t turns;             /* replies of an episode at most; multi-turn */
    const char *patient;       /* MODEL that speaks for the patient; NULL: the simulated one */
    slm_option_list judge;     /* JUDGEs for reward.rubric; several are a jury */
    int64_t steps, prompts;    /* and the cases of a step */
    int64_t rollouts;          /* of a case: G */
    int64_t train_per_group;   /* of them learnt from, the best and the worst; 0: all */
    double lacks, enough, emergency;  /* shares of a step's cases */
    double temperature, top_p, min_p; /* of rollouts; top_p, top_k, min_p only as "off" */
    double repetition_penalty, presence_penalty, frequency_penalty;
    int64_t top_k;
    int64_t max_tokens;    /* of a reply */
    const char *loss;      /* "grpo", "dr_grpo", "dapo" or "gspo" */
    const char *advantage; /* "leave-one-out", "mean" or "mean-std" */
    double clip_low, clip_high;
    const char *kl; /* to the weights as they were at the "start", the "base", or "none" */
    double kl_weight;
    int64_t updates;         /* of the weights with one batch of rollouts */
    int64_t overlong_tokens; /* of max_tokens the last, which cost up to 1; 0: none do */
    bool mask_cut_off;       /* learn nothing from replies that max_tokens cut off */
    double min_spread;   /* share of development groups that must have spread, in every stratum */
    int64_t check_cases; /* development cases of each stratum that are asked for that */
    int64_t rows;        /* tokens computed at once */
    bool checkpointing;
    int64_t save_steps, dev_steps, dev_rollouts;
    int64_t dev_cases; /* of each stratum; 0: all */
    slm_recipe_optimiser optimiser;
} slm_recipe_grpo;

/* What is measured before and after, as `slm eval` does it. */
typedef struct slm_recipe_eval {
    slm_option_list cases;
    slm_option_list system; /* a further arm of the base with each of these system texts */
    const char *env;        /* as in grpo */
    int64_t turns;
    const char *patient;
    int64_t rollouts, max_tokens;
    double temperature;
    const char *judge;
} slm_recipe_eval;

/* What decides what a stage computes, not its spelling: a line "section.key=value" each. */
typedef struct slm_recipe_settings {
    const char *text; /* in the recipe's arena */
    char sha256[65];
} slm_recipe_settings;

typedef struct slm_recipe slm_recipe;
struct slm_recipe {
    slm_arena arena;
    const char *path;
    slm_recipe_settings sft_settings, grpo_settings;
    slm_recipe_run run;
    slm_recipe_lora lora;
    slm_recipe_sft sft;
    slm_recipe_grpo grpo;
    slm_reward_options reward;
    slm_recipe_eval eval;
    bool has_sft, has_grpo, has_eval;
};

/* Errors name file, line and key. sets: "section.key=value" each, as --set gives them; they go before
 * the file. */
slm_status slm_recipe_load(const char *path, const char *const *sets, size_t set_count,
                           slm_recipe *out, slm_error *err);
void slm_recipe_free(slm_recipe *recipe);
/* Are the files there that the recipe names (model, examples, cases, @FILE of eval.system), and may they
 * be read? None of them is opened. Errors name the recipe, the key, and what sets it. */
slm_status slm_recipe_check_files(const slm_recipe *recipe, slm_error *err);
bool slm_recipe_wants_adapter(const slm_recipe *recipe); /* else weights of the base are trained */
bool slm_recipe_thinks(const slm_recipe *recipe); /* in every stage, and where it is measured */
/* The adapter that the recipe asks for. */
slm_status slm_recipe_lora_options(const slm_recipe *recipe, slm_lora_options *out, slm_error *err);
/* What can be known before hours go into a run: data are there, line by line; what the output folder
 * holds was made with these settings. log: told what each stage will do; NULL: nobody. */
slm_status slm_train_preflight(const slm_recipe *recipe, slm_log *log, slm_error *err);
/* Every key with its default, bounds and meaning: text, or Markdown for docs. */
void slm_recipe_print_keys(bool markdown, FILE *out);
/* Every key as --set has it, "grpo.steps=", with a blank between them: for completion. */
void slm_recipe_append_settings(slm_buffer *out);

/* ---- stages -------------------------------------------------------------------------------- */

/* What a stage works with. The chat is a local model (open.h) that was opened for it: with an adapter,
 * or without one where all weights are trained. Judge and patient are what grpo.judge and grpo.patient
 * name, NULL where they name none; what a judge behind a model said is kept in the stage's folder
 * (verdicts.db), and so is what a patient model said: neither is asked twice. */
typedef struct slm_train {
    const slm_recipe *recipe;
    slm_chat *chat;
    slm_judge *judge;
    slm_chat *patient;
    slm_log *log;
    const volatile bool
        *stop; /* set by a signal handler: save, then SLM_ERR_CANCELLED; may be NULL */
} slm_train;

typedef struct slm_train_result {
    char folder[4096]; /* the best checkpoint, or sft/interpolated */
    int64_t steps, best_step;
    double dev_loss, first_dev_loss;     /* sft: a token's, in nats; NaN without development data */
    double dev_reward, first_dev_reward; /* grpo: an episode's mean */
    bool out_of_time;                    /* the budget ended before the steps did */
} slm_train_result;

/* Learn the examples' replies: loss is the mean negative log-probability of the assistant's tokens.
 * Leaves the best weights in the model, or those between them and the base that sft.interpolate asks
 * for. A stage that was finished before is not run again. */
slm_status slm_train_sft(const slm_train *train, slm_train_result *result, slm_error *err);
/* Practise: groups of rollouts from the engine over the same weights, rewarded by the environment, and
 * policy gradients with a group's own mean as the baseline (GRPO; Shao et al. 2024). Begins with the
 * weights that are in the model. SLM_ERR_INVALID where development rollouts have too little spread to
 * learn from: it says in which stratum. */
slm_status slm_train_grpo(const slm_train *train, slm_train_result *result, slm_error *err);

#endif
