/* env_internal.h: what the files of env/ share: a case prepared for matching, a reply as it was read,
 * and the surface of a text (words, language, quantities). */
#ifndef SLM_ENV_INTERNAL_H
#define SLM_ENV_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "env/env.h"
#include "match/match.h"

/* ---- surface.c, language.c ---- */

typedef enum env__language {
    ENV__LANGUAGE_UNKNOWN,
    ENV__ENGLISH,
    ENV__SPANISH,
    ENV__FRENCH,
    ENV__PORTUGUESE,
    ENV__HINDI,
    ENV__SWAHILI,
    ENV__LANGUAGE_OTHER, /* a script that none of these is written in */
    ENV__LANGUAGES,
} env__language;
/* By its English name ("Spanish"); UNKNOWN for others and NULL. */
env__language env__language_named(const char *name);
/* By script and function words; UNKNOWN where these do not tell. */
env__language env__language_of(const char *text);
/* 0 to -1: a reply in another language than `wanted`, or mixed with another script. */
double env__language_penalty(const char *reply, env__language wanted);

/* Words: runs between white space, or an eighth of the code points where there are more of these. */
size_t env__words(const char *text);
/* 0 to -1. */
double env__format_penalty(const char *reply);
/* Share of runs of four words that stood before, over all texts; 0 where there are fewer than 8. */
double env__repeated_share(const char *const *texts, size_t count);
/* Pieces of a question: between commas, semicolons, and, or (in six languages). */
size_t env__pieces(const char *text, size_t len);

/* ---- quantity.c ---- */

/* A number with its unit, in the unit of its dimension; or a statistic ("1 in 10", a percentage). */
typedef struct env__quantity {
    int dimension;
    double value;
} env__quantity;
typedef struct env__quantities {
    env__quantity *items;
    size_t count, cap;
} env__quantities;
void env__quantities_add(env__quantities *list, const char *text);
bool env__quantities_have(const env__quantities *list, const env__quantity *quantity);
void env__quantities_free(env__quantities *list);

/* ---- scenario.c: a case, prepared ---- */

typedef struct env__scenario {
    uint64_t fingerprint;
    size_t users;
    uint64_t used; /* when last, for eviction */
    slm_arena arena;
    slm_match_set *set; /* targets: follow-ups, key points, advice, never, topics of loose facts */
    size_t key_points, advice, never, topics, target_count; /* where each begins */
    slm_match_text *conversation;                           /* what the user said */
    env__language language;
    slm_env_stratum stratum;
    double *harm_floors; /* of the never: likeness that the ideal reply has, and may have */
    double *weights;     /* of the follow-ups: tier and weight, for coverage */
    size_t *pieces;      /* of the follow-ups and topics, by target */
    uint64_t *drugs;     /* that conversation and case name */
    size_t drug_count;
    env__quantities quantities;
} env__scenario;
env__scenario *env__scenario_new(const slm_matcher *matcher, const slm_case *c,
                                 uint64_t fingerprint);
void env__scenario_free(env__scenario *scenario);

/* ---- read.c: a reply, read against its scenario ---- */

typedef struct env__reading {
    bool *met;          /* [target_count]: asked, said */
    double *asked_at;   /* [target_count]: where a question target is asked (slm_match_place);
                           negative: it is not */
    bool is_void;       /* empty, copied, repeats itself, or a list of keywords: nothing counts */
    size_t asks;        /* sentences that want something of the user */
    size_t outside;     /* of these, what the case does not need */
    double cost;        /* of the questions, parts counted */
    size_t questions;   /* the same, rounded */
    size_t conditional; /* sentences that tell what to do under an if */
    bool acts_first;
    bool degenerate;
    size_t ungrounded;
} env__reading;
/* `heard` are texts beyond the case that count as known (a patient model's). Lives in `arena`. */
env__reading env__read(const slm_matcher *matcher, const env__scenario *scenario, const slm_case *c,
                       const char *reply, const env__quantities *heard, const uint64_t *heard_drugs,
                       size_t heard_drug_count, slm_arena *arena);

/* ---- patient.c ---- */

/* What the patient says to a reply that was read so; in the arena. `told` [fact_count] is kept. */
const char *env__patient_says(const slm_case *c, const env__scenario *scenario,
                              const env__reading *reading, bool *told, uint64_t seed,
                              uint32_t rollout, uint32_t turn, slm_arena *arena);
/* For when there is nothing to tell. */
const char *env__patient_unknowing(const slm_case *c, const env__scenario *scenario, uint64_t seed,
                                   uint32_t rollout, uint32_t turn);
/* Instructions and the conversation, for a chat model: messages[2], texts in the arena. */
void env__patient_request(const slm_case *c, const slm_chat_message *said, size_t said_count,
                          slm_chat_message messages[2], slm_arena *arena);
/* Everything that decides what a patient says, for the identity. */
void env__patient_hash(slm_sha256 *hash);

/* ---- env.c ---- */

/* slm_env_asked, in a reply before the last one. */
bool env__asked_earlier(const slm_episode *episode, const char *follow_up_id);

/* ---- reward.c ---- */

/* What the replies of an episode did so far. */
typedef struct env__tally {
    bool *met;         /* [target_count]: in any reply that counts; never: in any reply */
    bool *met_earlier; /* the same before the last reply */
    double cost;
    size_t questions, conditional, ungrounded;
    bool acts_first, degenerate, answers;
    bool at_limit; /* ended by the turn limit while it was still asking */
    size_t last_asks, last_outside;
    double language, format; /* worst */
    size_t words;            /* longest */
} env__tally;
void env__tally_take(env__tally *tally, const env__scenario *scenario, const env__reading *reading,
                     const char *reply, bool is_first);
void env__reward(const slm_reward_options *options, const slm_case *c,
                 const env__scenario *scenario, const env__tally *tally, const char *const *replies,
                 size_t reply_count, double rubric, slm_reward *out);

/* Is the token one of the words, which stand in a row with a space between two? */
bool env__among(const char *words, const char *token, size_t len);

#endif
