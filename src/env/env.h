/* env.h: environments over the case format: what a policy practises in, and is measured in.
 *
 * An environment never calls the policy, nor any model. A driver (eval, train) resets it to a case,
 * samples a reply to the episode's messages, and steps; it is then told whose turn it is: the
 * policy's again, a patient model's, a judge's, or nobody's: the end, with the reward and its parts
 * (docs/rewards.md).
 *
 *   single-turn   one reply, then the end
 *   multi-turn    a patient holds the case's facts and tells one only when asked for it; the episode
 *                 ends after a reply that asks nothing, or after turns_max replies
 *
 * Deterministic: the same case, seed, rollout and replies give the same messages and rewards, whatever
 * ran before or beside. */
#ifndef SLM_ENV_H
#define SLM_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/options.h"
#include "data/data.h"
#include "judge/judge.h"
#include "provider/chat.h"

/* ---- rewards ------------------------------------------------------------------------------- */

/* Goals are in [0,1], penalties in [-1,0]; NaN: does not apply to this case. */
typedef enum slm_reward_part {
    SLM_REWARD_COVERAGE,   /* goal, lacks: follow-ups asked, F-beta by tier and weight */
    SLM_REWARD_KEY_POINTS, /* goal: share of the must points that are said */
    SLM_REWARD_BANK, /* goal: a safety sentence of the case is said, and not dozens of others */
    SLM_REWARD_ACT_FIRST,    /* goal, emergency: the first sentence tells to act */
    SLM_REWARD_RUBRIC,       /* goal: a judge's score, when its weight is above 0 */
    SLM_REWARD_NEVER,        /* penalty: says what would harm */
    SLM_REWARD_GROUNDED,     /* penalty: drugs, quantities, statistics from nowhere */
    SLM_REWARD_HOLDING_BACK, /* penalty, enough and emergency (and at the turn limit): asks instead */
    SLM_REWARD_RUSHING,      /* penalty, lacks: advises and asks nothing */
    SLM_REWARD_REPETITION,   /* penalty: says the same again */
    SLM_REWARD_LANGUAGE,     /* penalty: not the user's language */
    SLM_REWARD_FORMAT,       /* penalty: empty, role tokens, headings, tables */
    SLM_REWARD_LENGTH,       /* penalty: soft, from words_soft to words_hard */
    SLM_REWARD_PARTS,
} slm_reward_part;
const char *slm_reward_part_name(slm_reward_part part); /* "key_points" */
bool slm_reward_part_is_goal(slm_reward_part part);

typedef struct slm_reward_options {
    double weights[SLM_REWARD_PARTS]; /* 0: the part is computed and logged, but does not count */
    double beta;                      /* of coverage: above 1 recall weighs more than precision */
    int64_t words_soft, words_hard;   /* of a reply: no penalty up to; the whole from */
} slm_reward_options;
/* {key, type, bounds, default, help}, ended by a NULL name; offsets within slm_reward_options. */
extern const slm_option slm_reward_option_table[];
slm_reward_options slm_reward_options_default(void);
/* Names the key and its bounds. */
slm_status slm_reward_options_check(const slm_reward_options *options, slm_error *err);

typedef struct slm_reward {
    /* Weighted mean of the goals that apply plus weighted sum of the penalties, kept in [-1,1]. */
    double total;
    double parts[SLM_REWARD_PARTS];
    size_t questions;        /* asked over all replies, parts of compound ones counted */
    size_t follow_ups_asked; /* of the case's */
    size_t words;            /* of the longest reply */
    size_t replies;
    bool answers; /* the last reply asks nothing */
} slm_reward;

/* ---- environments -------------------------------------------------------------------------- */

typedef enum slm_env_kind { SLM_ENV_SINGLE_TURN, SLM_ENV_MULTI_TURN } slm_env_kind;
const char *slm_env_kind_name(slm_env_kind kind); /* "single-turn" */

/* What kind of case it is: quotas and parts go by it. */
typedef enum slm_env_stratum {
    SLM_ENV_LACKS,     /* context lacks and no emergency */
    SLM_ENV_ENOUGH,    /* context enough and no emergency; or the case does not say */
    SLM_ENV_EMERGENCY, /* disposition emergency */
    SLM_ENV_STRATA,
} slm_env_stratum;
const char *slm_env_stratum_name(slm_env_stratum stratum); /* "lacks" */
slm_env_stratum slm_env_stratum_of(const slm_case *c);

typedef struct slm_env_options {
    slm_env_kind kind;
    int64_t turns_max;     /* replies of the policy, 1-32; multi-turn */
    bool patient_is_model; /* a chat model speaks for the patient: SLM_ENV_PATIENT */
    slm_reward_options reward;
} slm_env_options;
/* Single turn, 4 replies when multi-turn, the patient that is deterministic, default rewards. */
slm_env_options slm_env_options_default(void);

typedef struct slm_env slm_env;
typedef struct slm_episode slm_episode;

/* An environment is used by one thread at a time, its episodes too. */
slm_status slm_env_new(const slm_env_options *options, slm_env **out, slm_error *err);
void slm_env_free(slm_env *env); /* NULL is allowed; its episodes are freed before */
/* SHA-256 hex over what decides an episode's messages besides case, seed, rollout and replies: the
 * rules, the matcher, the patient's phrases, the turn limit; not the rewards' weights. */
const char *slm_env_identity(const slm_env *env);
const slm_env_options *slm_env_options_of(const slm_env *env);

/* Begin an episode. The case must live as long. *out is freed with slm_episode_free, at any time. */
slm_status slm_env_reset(slm_env *env, const slm_case *c, uint64_t seed, uint32_t rollout,
                         slm_episode **out, slm_error *err);
void slm_episode_free(slm_episode *episode); /* NULL is allowed */

/* Whose turn it is. */
typedef enum slm_env_state {
    SLM_ENV_POLICY,  /* sample a reply to slm_env_messages, then slm_env_step */
    SLM_ENV_PATIENT, /* ask a chat model slm_env_messages, then slm_env_step with its reply */
    SLM_ENV_JUDGE,   /* score the episode against its rubric, then slm_env_judged */
    SLM_ENV_END,     /* slm_env_reward */
} slm_env_state;
slm_env_state slm_env_turn(const slm_episode *episode);

/* What to ask whose turn it is: of the policy the conversation so far (no system text but the case's
 * own), of a patient model its instructions, facts and the conversation as it sees it; of a judge and
 * at the end the whole conversation. The last reply stands at its end then. Valid until the next step. */
const slm_chat_message *slm_env_messages(const slm_episode *episode, size_t *count);
/* Random key of this turn for slm_chat_request.case_id: the case's id at the first, then "ID#2",
 * "ID#patient-1"; so that turns differ and a resumed episode draws the same. */
const char *slm_env_turn_id(const slm_episode *episode);

/* In state PATIENT: those messages with all else that a patient model is asked with: temperature 0, one
 * short reply, the turn's random key. Every driver asks so, and the same case and replies get the same. */
slm_chat_request slm_env_patient_request(const slm_episode *episode);

/* A reply of the policy or the patient model (any bytes; copied, made valid UTF-8). Returns whose turn
 * it is now. Only in the states POLICY and PATIENT. */
slm_env_state slm_env_step(slm_episode *episode, const char *reply);
/* The judge's score in [0,1], clipped; NaN: unscored, the part is left out. Only in state JUDGE. */
slm_env_state slm_env_judged(slm_episode *episode, double score);

/* What the policy said: reply `index` of slm_env_reply_count; what it was asked stands before it in
 * slm_env_messages at the end. */
size_t slm_env_reply_count(const slm_episode *episode);
const char *slm_env_reply(const slm_episode *episode, size_t index);
/* Was the case's follow-up asked, in any reply? */
bool slm_env_asked(const slm_episode *episode, const char *follow_up_id);

/* Only in state END (in JUDGE: as it is without the judge's part). */
const slm_reward *slm_env_reward(const slm_episode *episode);

/* ---- an episode before a judge ------------------------------------------------------------- */

/* An episode as a judge is shown it: the case with all that was said before the last reply. */
typedef struct slm_env_heard {
    slm_case c;
    bool *asked; /* by criterion: one of its `asks` was asked in a reply before the last */
    slm_arena arena;
} slm_env_heard;
/* Of an episode that has ended, in whatever state; its case must live as long. */
slm_env_heard *slm_env_hear(const slm_case *c, const slm_episode *episode);
/* Of one whose messages are known from elsewhere: said[], the case's own first, the last is judged. */
slm_env_heard *slm_env_hear_said(const slm_case *c, const slm_chat_message *said, size_t count,
                                 const slm_episode *episode);
void slm_env_heard_free(slm_env_heard *heard); /* NULL is allowed */
/* A criterion that is about asking is also met where a reply before the last asked: that one the judge
 * has seen for itself. */
void slm_env_heard_amend(const slm_env_heard *heard, slm_grading *grading);

#endif
