/* grammar_internal.h: JSON-constrained output: what grammar*.c share, and what engine.c takes of it.
 *
 * schema: a JSON Schema -> nodes (grammar_schema.c). automaton: nodes -> states over bytes, made as
 * they are reached (grammar.c). mask: states -> the tokens that may come next (grammar_mask.c). */
#ifndef SLM_ENGINE_GRAMMAR_INTERNAL_H
#define SLM_ENGINE_GRAMMAR_INTERNAL_H

#include "base/arena.h"
#include "base/json.h"
#include "text/text.h"

enum {
    GRAMMAR_DEPTH_MAX = 64,      /* objects and arrays within each other, in the reply */
    GRAMMAR_INDENT_MAX = 16,     /* spaces behind a line feed */
    GRAMMAR_INTEGER_DIGITS = 18, /* so that a reader's 64 bits always hold it */
    GRAMMAR_FRACTION_DIGITS = 17,
    GRAMMAR_EXPONENT_DIGITS = 2,
};
#define GRAMMAR_NONE UINT32_MAX /* no bound; no node; no value is low enough */

/* ---- grammar_schema.c ---------------------------------------------------------------------- */

typedef enum grammar_kind {
    GRAMMAR_CHOICE,  /* any of `items`, none of which is a choice; a schema is always one */
    GRAMMAR_LITERAL, /* exactly `text` */
    GRAMMAR_STRING,  /* of min to max characters */
    GRAMMAR_NUMBER,
    GRAMMAR_OBJECT,
    GRAMMAR_ARRAY, /* of min to max values of `value` */
} grammar_kind;

typedef struct grammar_property {
    const char *name;
    const char *key; /* the name as JSON with its colon */
    uint32_t key_len;
    uint32_t value; /* node */
    bool required;
} grammar_property;

typedef struct grammar_node {
    grammar_kind kind;
    uint32_t height; /* of the lowest value: 0 without objects and arrays; GRAMMAR_NONE: no value */
    const char *text; /* LITERAL */
    uint32_t text_len;
    uint32_t min, max;
    uint32_t value; /* ARRAY: of its elements. OBJECT: of further properties, or GRAMMAR_NONE */
    uint32_t *items;
    uint32_t count;               /* of items or properties */
    bool whole;                   /* NUMBER: integers */
    grammar_property *properties; /* OBJECT: in the order they are written in */
    const char **names;           /* OBJECT: the properties' names, sorted */
} grammar_node;

typedef struct grammar_nodes {
    slm_arena arena;
    grammar_node *items;
    uint32_t count, cap;
    uint32_t root;
    bool literal_bytes[256]; /* those that a literal or a property's name needs */
} grammar_nodes;

/* Errors name the place: "the JSON schema at #/properties/age: ...". SLM_ERR_UNSUPPORTED: a keyword
 * that is not built; SLM_ERR_INVALID: no schema, or one that no value satisfies. */
slm_status grammar__compile(const char *schema, grammar_nodes *out, slm_error *err);
void grammar__nodes_free(grammar_nodes *nodes);

/* ---- grammar.c ----------------------------------------------------------------------------- */

typedef struct engine__automaton engine__automaton;
enum { GRAMMAR_DEAD = 0, GRAMMAR_START = 1 }; /* states */

/* longest: bytes of the longest token, for engine__automaton_likeness. */
slm_status engine__automaton_new(const char *schema, size_t longest, engine__automaton **out,
                                 slm_error *err);
void engine__automaton_free(engine__automaton *automaton);
/* The state behind one more byte; GRAMMAR_DEAD if it may not stand there. */
uint32_t engine__automaton_step(engine__automaton *automaton, uint32_t state, uint8_t byte);
/* What was read is a whole value. */
bool engine__automaton_complete(const engine__automaton *automaton, uint32_t state);
/* What was read is a whole value and nothing can follow. */
bool engine__automaton_ended(const engine__automaton *automaton, uint32_t state);
/* A state that behaves the same over the next `longest` bytes; the same for all that do. */
uint32_t engine__automaton_likeness(engine__automaton *automaton, uint32_t state);
/* Bytes held. Forgetting leaves DEAD and START alone. */
size_t engine__automaton_bytes(const engine__automaton *automaton);
void engine__automaton_forget(engine__automaton *automaton);
const grammar_nodes *engine__automaton_nodes(const engine__automaton *automaton);
/* Strings are held to ASCII and escapes, for a vocabulary that lacks bytes. Before the first step. */
void engine__automaton_ascii(engine__automaton *automaton);

/* ---- grammar_mask.c ------------------------------------------------------------------------ */

/* A vocabulary's tokens as a trie of their bytes, in preorder. */
typedef struct engine__vocabulary {
    size_t words;      /* 32 tokens each, of the model's vocabulary */
    char *bytes;       /* of all tokens, one after another */
    uint32_t *offset;  /* [count + 1] */
    uint32_t count;    /* tokens of the tokenizer */
    slm_token *sorted; /* tokens with bytes, by their bytes */
    uint32_t nodes;
    uint8_t *byte;   /* [nodes] that leads here */
    uint16_t *depth; /* [nodes] from 0 */
    uint32_t *skip;  /* [nodes] the next node that is not below this one */
    uint32_t *first; /* [nodes + 1] of this node's own tokens in `sorted` */
    size_t longest;
    bool single[256]; /* a token is this byte alone */
} engine__vocabulary;
void engine__vocabulary_init(engine__vocabulary *vocabulary, const slm_tokenizer *tokenizer,
                             size_t rows);
void engine__vocabulary_free(engine__vocabulary *vocabulary);

/* One schema with the tokens that end a reply. Requests that have both alike share one. */
typedef struct engine__grammar {
    struct engine__grammar *next;
    uint32_t holders;
    char *schema;
    slm_token *stops;
    size_t stop_count;
    engine__automaton *automaton;
    const engine__vocabulary *vocabulary;
    uint32_t **masks; /* by state; NULL: not made yet */
    uint32_t mask_cap, mask_count;
    uint32_t *walk; /* [longest + 1] states */
    uint64_t epoch; /* goes up when states are forgotten */
} engine__grammar;

/* Where a reply stands. */
typedef struct engine__grammar_place {
    uint32_t state;
    uint64_t epoch;
} engine__grammar_place;

slm_status engine__grammar_new(const char *schema, const engine__vocabulary *vocabulary,
                               const slm_token *stops, size_t stop_count, engine__grammar **out,
                               slm_error *err);
void engine__grammar_free(engine__grammar *grammar);
engine__grammar_place engine__grammar_start(const engine__grammar *grammar);
/* The place behind the last of ids[0..count), given that behind the others. */
void engine__grammar_advance(engine__grammar *grammar, engine__grammar_place *place,
                             const slm_token *ids, size_t count);
/* The tokens that may follow ids[0..count), which stand at `place`: [words], valid until
 * engine__grammar_trim. Never empty unless the value has ended and there are no stop tokens. */
const uint32_t *engine__grammar_mask(engine__grammar *grammar, engine__grammar_place *place,
                                     const slm_token *ids, size_t count);
/* The value is whole and nothing may follow but its end. */
bool engine__grammar_ended(engine__grammar *grammar, const engine__grammar_place *place);
/* Forget masks and states when they are many; places are found again from their ids. */
void engine__grammar_trim(engine__grammar *grammar, size_t bytes);

#endif
