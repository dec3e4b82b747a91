/* match.h: are two texts the same question, or the same statement?
 *
 * A text is read into sentences and words; a set of target texts (a case's follow-ups, key points,
 * advice) is prepared once; then each target is looked for in a text. Likeness is a TF-IDF over words
 * that are compared by their character n-grams, so "allergies" finds "allergic". Likeness alone is
 * not sameness: guards tell apart what differs in one small word (negation, whose body, which side,
 * now or then, which medicine, how long or how often).
 *
 * English is what the word lists know. Other languages are read and compared by their letters alone:
 * they match less, and nothing breaks. Everything here is deterministic: the same texts give the
 * same numbers, whatever was matched before. */
#ifndef SLM_MATCH_H
#define SLM_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "provider/embed.h"

/* The word lists and thresholds. Never changes after it was made, so threads may share it. */
typedef struct slm_matcher slm_matcher;
slm_matcher *slm_matcher_new(void);
/* The same with an encoder beside the words, which finds what is said in others. Takes the encoder and
 * keeps what it said of a sentence, in at most 64 MiB; threads may share it. */
slm_matcher *slm_matcher_new_with(slm_embed *encoder);
void slm_matcher_free(slm_matcher *matcher); /* NULL is allowed */
/* SHA-256 hex over the method's version, every threshold, every list, and the encoder's identity: what
 * decides a match. */
const char *slm_matcher_identity(const slm_matcher *matcher);

/* ---- a text, read -------------------------------------------------------------------------- */

typedef enum slm_match_mood {
    SLM_MATCH_TELLS,
    SLM_MATCH_ASKS, /* wants an answer from the reader: a question, or "I need to know whether" */
    SLM_MATCH_COURTESY, /* "does that help?", "let me know if you have questions" */
} slm_match_mood;

typedef struct slm_match_sentence {
    const char *text; /* within the text that was read, without bullets and outer space */
    size_t len;
    slm_match_mood mood;
    bool personal;    /* speaks to or about a person; "what causes gout?" does not */
    bool user_voice;  /* a question in the user's own voice: "should I worry?" */
    bool conditional; /* holds an if, when, unless, in case */
    bool prose;       /* a sentence, not a list of keywords */
    bool repeated;    /* the same words as an earlier sentence */
    size_t lead;      /* the sentence that introduces the list this is an item of; SIZE_MAX: none */
    size_t token_begin, token_end, word_begin, word_end;
} slm_match_sentence;

typedef struct slm_match_text {
    slm_match_sentence *sentences;
    size_t sentence_count;
    bool degenerate; /* mostly says the same again: repeated sentences or looping words */
    struct match__token *tokens;
    size_t token_count;
    struct match__word *words;
    size_t word_count;
} slm_match_text;

/* Read a text (any bytes; invalid UTF-8 is read as U+FFFD). Everything lives in the arena; `text`
 * must live as long. A text beyond 256 KiB is read up to there. */
slm_match_text *slm_match_read(const slm_matcher *matcher, const char *text, size_t len,
                               slm_arena *arena);

/* True if a sentence of the text tells, unnegated and at once, to call or go for emergency help:
 * "Call 999 now". Under an if it does not count, unless `known` (may be NULL) already says that the
 * if holds, or the if is a formality ("if you have not already"). */
bool slm_match_tells_to_act(const slm_match_text *text, size_t sentence,
                            const slm_match_text *known);

/* True if it tells not to call for emergency help: "do not call an ambulance yet". Under an if it does
 * not count. */
bool slm_match_tells_not_to_act(const slm_match_text *text, size_t sentence);

/* The certain medicines that the text names, by whatever name: hashes, ascending, each once. Lives in
 * the arena. */
uint64_t *slm_match_drugs(const slm_match_text *text, slm_arena *arena, size_t *count);

/* ---- targets ------------------------------------------------------------------------------- */

typedef enum slm_match_kind {
    SLM_MATCH_QUESTION,  /* asked by a sentence that asks */
    SLM_MATCH_STATEMENT, /* said in one sentence, or in two that stand together */
    SLM_MATCH_ADVICE,    /* said as a condition and what to do then, together */
    SLM_MATCH_HARM,      /* a statement that must not be said: one sentence, held to more */
} slm_match_kind;

typedef struct slm_match_target {
    slm_match_kind kind;
    const char *text; /* the question or statement; of advice what to do */
    const char *when; /* of advice: the condition; else NULL */
} slm_match_target;

/* Why a likeness is not sameness. */
typedef enum slm_match_guard {
    SLM_MATCH_GUARD_NONE,
    SLM_MATCH_GUARD_NEGATION, /* not, never, avoid; better or worse, start or stop */
    SLM_MATCH_GUARD_SUBJECT,  /* yourself, your child, another person */
    SLM_MATCH_GUARD_SIDE,     /* left, right */
    SLM_MATCH_GUARD_TIME,     /* past, now, to come */
    SLM_MATCH_GUARD_ASPECT,   /* since when, how often, how bad, where */
    SLM_MATCH_GUARD_DRUG,     /* another medicine */
    SLM_MATCH_GUARD_SITE,     /* another part of the body */
    SLM_MATCH_GUARD_IF,       /* said under an if only, where it is wanted outright */
} slm_match_guard;
const char *slm_match_guard_name(slm_match_guard guard); /* "negation"; "none" */

/* Targets prepared once: their words, weights and guards. `background` is what every text in this
 * place already speaks of (a case's conversation; may be empty): its words weigh less, and sentences
 * copied from it are echo, not evidence. Texts are copied. */
typedef struct slm_match_set slm_match_set;
slm_match_set *slm_match_set_new(const slm_matcher *matcher, const slm_match_target *targets,
                                 size_t target_count, const char *const *background,
                                 size_t background_count);
void slm_match_set_free(slm_match_set *set); /* NULL is allowed */

/* Where a target is met best in a text. */
typedef struct slm_match_hit {
    bool met;              /* score reaches the kind's threshold and no guard objects */
    double score;          /* 0 to 1; of what no guard stopped */
    size_t sentence, last; /* the sentence, or the two, that it stands in; SIZE_MAX: none */
    slm_match_guard guard; /* when not met: what stopped a likeness that was high enough */
} slm_match_hit;

typedef struct slm_match_found {
    slm_match_hit *hits; /* of each target */
    bool *echo;          /* of each sentence: copied from the background */
    double *known;       /* of each sentence that asks: likeness to the nearest question target,
                            guards or not; 0 for others */
    double outside;      /* and below this it asks for something else */
    size_t *asked_by; /* of each question target: the sentence that stands for it when a sentence's
                            question counts once (one-to-one, best sum of scores); SIZE_MAX: none */
    const slm_error *error; /* NULL; else the encoder failed, and nothing was looked for */
} slm_match_found;
/* Look for every target in the text. *found lives in the arena. Uses the set's scratch: one thread at
 * a time for each set. */
slm_match_found slm_match_find(slm_match_set *set, const slm_match_text *text, slm_arena *arena);

/* Where in a sentence a question target is asked, when a compound sentence asks several: the middle of
 * what is like the target, in words counted through the whole text; so the places of two questions are
 * in the order asked, also across sentences. Only of the text that the set looked in last, with
 * slm_match_find, and not while it has an error. */
double slm_match_place(slm_match_set *set, const slm_match_text *text, size_t target,
                       size_t sentence);

/* A question that asks for something the targets do not: personal, with content, and no target is
 * near. */
bool slm_match_is_outside(const slm_match_found *found, const slm_match_text *text,
                          size_t sentence);

/* ---- pairs --------------------------------------------------------------------------------- */

/* Whether `text` asks (says) what `target` asks (says), by itself. Both are taken as what `kind` says
 * they are, whatever their mood; a courtesy is neither. Fails where the encoder does. */
slm_status slm_match_pair(const slm_matcher *matcher, slm_match_kind kind, const char *target,
                          const char *text, slm_match_hit *hit, slm_error *err);
/* The same; false if the encoder fails, which a matcher without one cannot. *hit may be NULL. */
bool slm_match_same(const slm_matcher *matcher, slm_match_kind kind, const char *target,
                    const char *text, slm_match_hit *hit);

/* Labelled pairs, to measure a matcher on (pairs.c has the format). */
typedef struct slm_pair {
    const char *id, *target, *text, *note; /* note: what it turns on: "negation", "paraphrase" */
    slm_match_kind kind;                   /* question or statement */
    bool same;                             /* the label */
    bool in_fit, in_held;                  /* thresholds were chosen on `fit` */
    unsigned readers_same, readers_other;  /* what each reader said */
} slm_pair;
typedef struct slm_pairs {
    slm_pair *items;
    size_t count;
    char sha256[65]; /* of the file */
    slm_arena arena;
} slm_pairs;
slm_status slm_pairs_load(const char *path, slm_pairs *out, slm_error *err);
void slm_pairs_free(slm_pairs *pairs); /* NULL is allowed */
/* hits[count]. */
slm_status slm_pairs_tell(const slm_pairs *pairs, const slm_matcher *matcher, slm_match_hit *hits,
                          slm_error *err);

typedef enum slm_pairs_half { SLM_PAIRS_ALL, SLM_PAIRS_FIT, SLM_PAIRS_HELD } slm_pairs_half;
bool slm_pair_is_in(const slm_pair *pair, slm_pairs_half half);
typedef struct slm_pairs_filter {
    slm_pairs_half half;
    bool has_kind;
    slm_match_kind kind;
    const char *note; /* NULL: all */
} slm_pairs_filter;
typedef struct slm_pairs_tally {
    size_t pairs;
    size_t cells[2][2];               /* [label same][told same] */
    size_t read_twice, readers_agree; /* pairs with two readers or more, of one mind */
} slm_pairs_tally;
slm_pairs_tally slm_pairs_count(const slm_pairs *pairs, const slm_match_hit *hits,
                                const slm_pairs_filter *filter);

/* One-to-one assignment with the greatest sum over scores[rows][columns], taking only pairs of at
 * least `least`. out[row]: its column, or SIZE_MAX. (Kuhn 1955, Munkres 1957; O(n^3).) */
void slm_match_assign(const double *scores, size_t rows, size_t columns, double least, size_t *out);

#endif
