/* match_internal.h: what the files of match/ share. */
#ifndef SLM_MATCH_INTERNAL_H
#define SLM_MATCH_INTERNAL_H

#include "base/hash.h"
#include "match/match.h"

enum {
    MATCH__TEXT_BYTES_MAX = 256 << 10,
    MATCH__PHRASE_TOKENS_MAX = 8, /* longest phrase in the lexicon */
    MATCH__STEM_BYTES = 48,       /* longer words are compared by their first letters */
    MATCH__PIECES_MAX = 16,       /* of a compound question */
};

/* Thresholds outside match.c: they stand here so that the identity covers them. */
#define MATCH__WORD_LIKENESS_MIN       0.6  /* cosine of trigrams from which two words are alike */
#define MATCH__HARM_AGREEMENT_MIN      0.34 /* of polarity, for a statement that must not be said */
#define MATCH__KIND_LIKENESS           0.8  /* of a certain medicine to the word for its kind */
#define MATCH__HARM_WEIGHT_MIN         0.8  /* of its words: what is done counts like what with */
#define MATCH__DENIED_MIN              0.4  /* of what a statement denies must be in the text */
#define MATCH__KEYWORDS_FUNCTION_SHARE 0.15 /* a sentence with fewer function words is a list */
#define MATCH__LOOP_DISTINCT_SHARE     0.4  /* of runs of three tokens; below it a text loops */

#define MATCH__OPPOSED_MAX (-0.25) /* agreement in polarity below which two texts oppose */

/* ---- lexicon ------------------------------------------------------------------------------- */

/* What a word or phrase is besides its weight. */
enum {
    MATCH__NOT = 1 << 0,      /* negates its clause: not, never, avoid */
    MATCH__WITHOUT = 1 << 1,  /* negates what follows in its clause: without, no, rather than */
    MATCH__NEED = 1 << 2,     /* the writer needs to know what follows: "please tell me" */
    MATCH__COURTESY = 1 << 3, /* about the conversation, not the matter: "does that help" */
    MATCH__SELF = 1 << 4,     /* persons */
    MATCH__CHILD = 1 << 5,
    MATCH__FAMILY = 1 << 6,
    MATCH__PRONOUN = 1 << 7,
    MATCH__LEFT = 1 << 8, /* sides */
    MATCH__RIGHT = 1 << 9,
    MATCH__PAST = 1 << 10, /* times */
    MATCH__NOW = 1 << 11,
    MATCH__FUTURE = 1 << 12,
    MATCH__DRUG = 1 << 13,      /* one certain medicine */
    MATCH__EMERGENCY = 1 << 14, /* emergency services, an emergency department */
    MATCH__CARE = 1 << 15,      /* medical help; an emergency only together with URGENT */
    MATCH__URGENT = 1 << 16,    /* now, immediately */
    MATCH__GO = 1 << 17,        /* call, go, drive: what one does to get help */
    MATCH__IF = 1 << 18,        /* opens a condition */
    MATCH__CLAUSE = 1 << 19,    /* opens another clause: but, because, so */
    MATCH__OTHERS = 1 << 20,    /* addressed to somebody else: "ask your doctor" */
    MATCH__PRESENT = 1 << 22,   /* asked of the present by its verb alone: "do you" */
    MATCH__FIRST = 1 << 23,     /* the writer: "I certify" */
    MATCH__SITE = 1 << 24,      /* a part of the body */
    MATCH__EXAMPLE = 1 << 25,   /* opens examples: "such as" */
    MATCH__PERSONS = MATCH__SELF | MATCH__CHILD | MATCH__FAMILY | MATCH__PRONOUN,
    MATCH__SIDES = MATCH__LEFT | MATCH__RIGHT,
    MATCH__TIMES = MATCH__PAST | MATCH__NOW | MATCH__FUTURE,
};

/* What a question wants to know of its matter (MATCH__GUARD_ASPECT); bits of match__word.aspect. */
enum {
    MATCH__ONSET = 1 << 0,   /* since when, how long so far */
    MATCH__LASTING = 1 << 1, /* how long each time */
    MATCH__OFTEN = 1 << 2,
    MATCH__SEVERITY = 1 << 3,
    MATCH__PLACE = 1 << 4,
    MATCH__AMOUNT = 1 << 5,
    MATCH__AGE = 1 << 6,
    MATCH__WORSENS = 1 << 7,
    MATCH__EASES = 1 << 8,
    MATCH__CHARACTER = 1 << 9,
    MATCH__WHY = 1 << 10,
    MATCH__LAST_TIME = 1 << 11,
    MATCH__UNTIL = 1 << 12,
};

typedef struct match__entry {
    const char *phrase; /* tokens joined by one space; not NUL-terminated */
    size_t phrase_len;
    const char *key; /* what it stands for; equal keys are the same word */
    size_t key_len;
    float weight;
    uint32_t flags;
} match__entry;

typedef struct match__hash_pair {
    uint64_t a, b; /* hashes of keys */
} match__hash_pair;

typedef struct match__lexicon {
    match__entry *entries;
    size_t count;
    uint32_t *slots; /* hash of phrase -> entry + 1 */
    size_t slot_count;
    uint64_t *prefixes; /* hashes of what longer phrases begin with: is it worth looking further */
    size_t prefix_count, prefix_slots;
    match__hash_pair *antonyms; /* a < b; sorted */
    match__hash_pair *kinds;    /* general word, certain medicine; sorted */
    size_t antonym_count, kind_count;
    slm_arena arena;
} match__lexicon;

void match__lexicon_init(match__lexicon *lexicon);
void match__lexicon_free(match__lexicon *lexicon);
/* Everything in the lists, for the identity. */
void match__lexicon_hash(slm_sha256 *hash);
/* The entry of a phrase, by the hash of its bytes; NULL if there is none. */
const match__entry *match__lexicon_find(const match__lexicon *lexicon, const char *phrase,
                                        size_t len, uint64_t hash);
bool match__lexicon_is_prefix(const match__lexicon *lexicon, uint64_t hash);
bool match__lexicon_is_kind(const match__lexicon *lexicon, uint64_t general, uint64_t certain);
bool match__lexicon_opposite(const match__lexicon *lexicon, uint64_t a, uint64_t b);
/* A word without its endings, at most MATCH__STEM_BYTES; returns its length. */
size_t match__stem(const char *word, size_t len, char out[MATCH__STEM_BYTES]);

/* FNV-1a, continued: hashes of phrases are built token by token. */
#define MATCH__HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t match__hash_more(uint64_t hash, const char *bytes, size_t len);

/* ---- text ---------------------------------------------------------------------------------- */

/* What stands between a token and the one before it, the weakest first. */
typedef enum match__gap {
    MATCH__GAP_SPACE,
    MATCH__GAP_BRACKET,
    MATCH__GAP_OR,
    MATCH__GAP_AND,
    MATCH__GAP_COMMA,
    MATCH__GAP_BREAK, /* : ; dash */
} match__gap;

typedef struct match__token {
    const char *text; /* folded, in the arena; not NUL-terminated */
    uint32_t len;
    uint8_t gap;
    uint64_t hash;
} match__token;

/* A token or phrase that carries meaning: a key, a weight, flags. Weight 0: only flags. */
typedef struct match__word {
    const char *key;
    uint32_t key_len;
    uint32_t flags;
    uint32_t aspect;
    uint32_t token; /* its first */
    float weight;
    uint8_t gap;
    bool negated;
    bool in_condition; /* under an if, up to the end of its clause */
    uint64_t hash;     /* of the key */
} match__word;

/* ---- vectors.c: an encoder and what it said ---- */

typedef struct match__vectors match__vectors;
match__vectors *match__vectors_new(slm_embed *embed); /* takes it */
void match__vectors_free(match__vectors *vectors);    /* NULL is allowed */
const slm_embed *match__vectors_embed(const match__vectors *vectors);
/* out[count, dimensions]; what is not known is asked for together. */
slm_status match__vectors_get(match__vectors *vectors, const char *const *texts, size_t count,
                              float *out, slm_error *err);

bool match__token_is(const match__token *token, const char *word);
/* Bits of the words in [begin, end). */
uint32_t match__flags(const slm_match_text *text, size_t begin, size_t end);

/* ---- likeness ------------------------------------------------------------------------------ */

/* A run of words compared as one: a sentence, two, or a piece of a compound question. */
typedef struct match__unit {
    size_t begin, end;   /* words of its text */
    size_t begin2, end2; /* a second run, or empty: the sentence of a list's lead-in and its item */
    uint32_t flags, aspect;
    uint64_t drugs[8], sites[8]; /* keys of the certain medicines and parts of the body in it */
    size_t drug_count, site_count;
    double weight; /* sum over its words, in the set's weights */
} match__unit;

/* How like a unit of a read text is to a unit of a target. */
typedef struct match__likeness {
    double recall;       /* share of the target's weight that the text has */
    double precision;    /* share of the text's weight that the target has */
    double agreement;    /* of polarity in what they share: 1 all alike, -1 all opposed */
    double plain_accord; /* the same, where a word said both ways counts as neither */
    double denied;       /* recall of what the target denies; 1 if it denies nothing */
    double score;        /* what the target's kind is measured by */
    bool has_first;      /* the text has the first word of content of the target */
    bool opposite_words; /* one has better where the other has worse */
} match__likeness;

/* Scores from which on a target is met; of the class that gives the scores. */
typedef struct match__limits {
    double question, question_recall; /* however precise: it must ask a good part of it */
    double statement, harm;
    double statement_in_two; /* by two sentences that stand together: what is long to say */
    double condition, then;  /* of advice: its condition, and what to do then */
    double condition_piece;  /* one of the condition's alternatives alone */
    double then_piece;       /* the first of what to do then alone */
    double outside;          /* a question less like every target asks for other things */
} match__limits;
extern const match__limits match__embedding_limits;

struct slm_matcher {
    match__lexicon lexicon;
    const match__limits *limits;
    match__vectors *vectors; /* NULL: by words alone */
    char identity[SLM_SHA256_HEX_BYTES];
};

/* The door to likeness: by words (tfidf.c), or by words and sentence vectors (embedding.c). */
typedef struct match__similarity_class {
    void *(*prepare)(slm_match_set *set);
    /* Called for a text, then for each of its units, then compare with any of the set's units. */
    slm_status (*look)(void *state, const slm_match_text *text, slm_arena *arena, slm_error *err);
    void (*turn_to)(void *state, const match__unit *unit, bool skip_conditions);
    match__likeness (*compare)(void *state, size_t target_unit);
    void (*free)(void *state);
} match__similarity_class;
extern const match__similarity_class match__tfidf, match__embedding;
/* Does a word of the current unit oppose one of the target's, also where they share none? */
bool match__tfidf_opposes(const void *state, size_t target_unit);
/* Weight and limits of embedding.c. */
void match__embedding_hash(slm_sha256 *hash);

/* A target's unit: the whole text or a piece of it. */
typedef struct match__target_unit {
    size_t target;
    bool is_condition; /* the `when` of advice */
    match__unit unit;
} match__target_unit;

typedef struct match__target {
    slm_match_kind kind;
    slm_match_text *text, *when;
    const char *whole_text, *when_text; /* what these were read from; when_text may be NULL */
    /* The whole, then its pieces. Of advice: what to do then, perhaps the first piece of that, and from
     * when_begin on the condition with its pieces. */
    size_t unit_begin, when_begin, unit_end;
} match__target;

struct slm_match_set {
    const slm_matcher *matcher;
    slm_arena arena, scratch;
    match__target *targets;
    size_t target_count;
    match__target_unit *units;
    size_t unit_count, unit_cap;
    uint64_t *runs; /* table: hashes of three tokens in a row of the background; 0: empty */
    size_t run_slots;
    uint64_t *spoken; /* table: hashes of the keys of the background's words */
    size_t spoken_slots;
    const match__similarity_class *similarity;
    void *state;
};

/* Flags, aspects and medicines of one or two runs of words. */
match__unit match__unit_of(const slm_match_set *set, const slm_match_text *text, size_t begin,
                           size_t end, size_t begin2, size_t end2);
/* Cut the words [begin, end) where a compound question may be cut; 0 if the whole is one piece. */
size_t match__split(const slm_match_set *set, const slm_match_text *text, size_t begin, size_t end,
                    match__unit pieces[MATCH__PIECES_MAX]);
/* The guard that stops a likeness, or NONE. */
slm_match_guard match__guard(const match__likeness *likeness, slm_match_kind kind,
                             const match__unit *target, const match__unit *text);
/* Weight of a word in a set: what the background speaks of counts less. */
double match__weight(const slm_match_set *set, const match__word *word);

#endif
