/* text_internal.h: what the files of text/ share: the tokenizer's tables and its stages.
 *
 * Loading: gguf.c and huggingface.c (over scan.c, with rules_json.c) fill the tables of vocabulary.c
 * and the rules of rules.c. Encoding: tokenizer.c cuts added tokens out, rules.c normalises and cuts
 * what lies between into pieces (regex.c), bpe.c, scores.c or wordpiece.c turns a piece into ids. */
#ifndef SLM_TEXT_INTERNAL_H
#define SLM_TEXT_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "base/json.h"
#include "text/text.h"

enum { TEXT_MAX_TOKENS = 1 << 24, TEXT_MAX_TOKEN_BYTES = 4096, TEXT_MAX_RULES = 16 };
#define TEXT_BLOCK     "\xe2\x96\x81" /* U+2581: SentencePiece's sign for a space */
#define TEXT_BLOCK_LEN 3

/* What kind of token an id is: the numbers of tokenizer.ggml.token_type. */
typedef enum text_token_type {
    TEXT_TOKEN_NORMAL = 1,
    TEXT_TOKEN_UNKNOWN = 2,
    TEXT_TOKEN_CONTROL = 3,
    TEXT_TOKEN_USER_DEFINED = 4,
    TEXT_TOKEN_UNUSED = 5,
    TEXT_TOKEN_BYTE = 6,
} text_token_type;

typedef struct text_entry {
    const char *text; /* as the file writes it: "Ġthe" */
    const char
        *bytes; /* what it stands for: " the"; equals text where nothing is written otherwise */
    uint16_t text_len, bytes_len;
    uint8_t type;
    bool mapped; /* merging may make it: it is text, and in a byte-level vocabulary text of bytes */
    bool whole;  /* a piece that spells it is this one id, without looking at merges */
} text_entry;

/* Open addressing over ids; slots is a power of two larger than the ids put in. */
typedef struct text_slot {
    uint32_t hash;
    slm_token id; /* -1: free */
} text_slot;

typedef struct text_table {
    text_slot *slots;
    uint32_t mask;
} text_table;

typedef struct text_merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX: free */
    uint32_t rank;
    slm_token id;
} text_merge;

/* A token that is looked for in the text itself. */
typedef struct text_added {
    const char *text; /* what is looked for */
    uint32_t len;
    slm_token id;
    bool normalised;              /* looked for after normalisation, not before */
    bool left_strip, right_strip; /* takes the white space on that side with it */
    bool single_word;             /* not within a word */
} text_added;

/* Added tokens in byte order. */
typedef struct text_added_set {
    const text_added **sorted;
    size_t count;
    bool first[256]; /* some token begins with this byte */
} text_added_set;

typedef struct text_regex {
    pcre2_code *code;
    bool jit;
} text_regex;

typedef enum text_rule_kind {
    TEXT_RULE_NFC,
    TEXT_RULE_PREPEND,   /* content in front of a text that is not empty */
    TEXT_RULE_REPLACE,   /* every match of regex by content */
    TEXT_RULE_SPLIT,     /* at the matches of regex */
    TEXT_RULE_METASPACE, /* spaces become content, and one more stands in front: see prepend */
    TEXT_RULE_SPACE,     /* a space in front of a piece that has none */
    TEXT_RULE_PLAIN,     /* BERT's normaliser: see clean, ideographs, strip, lower */
    TEXT_RULE_WORDS,     /* BERT's cut: at white space, around punctuation */
} text_rule_kind;

typedef enum text_behaviour { /* what becomes of a match when the text is split */
                              TEXT_ISOLATED,
                              TEXT_REMOVED,
                              TEXT_WITH_PREVIOUS,
                              TEXT_WITH_NEXT,
                              TEXT_CONTIGUOUS,
} text_behaviour;

typedef enum text_prepend {
    TEXT_PREPEND_ALWAYS,
    TEXT_PREPEND_FIRST,
    TEXT_PREPEND_NEVER
} text_prepend;

typedef struct text_rule {
    text_rule_kind kind;
    text_behaviour behaviour;
    bool invert; /* what lies between the matches is the match */
    text_prepend prepend;
    bool clean, ideographs, strip, lower; /* control characters go; spaces around ideographs;
                                             accents go; lower case */
    const char *content;
    size_t content_len;
    text_regex regex;
} text_rule;

typedef struct text_rules {
    text_rule items[TEXT_MAX_RULES];
    size_t count;
} text_rules;

typedef enum text_model {
    TEXT_MODEL_BYTES,  /* BPE over bytes written as printable characters */
    TEXT_MODEL_CHARS,  /* BPE over characters, with byte tokens for those that are no token */
    TEXT_MODEL_SCORES, /* SentencePiece: the pair with the highest score first */
    TEXT_MODEL_WORDS,  /* WordPiece: the longest token first */
} text_model;

struct slm_tokenizer {
    slm_arena arena;
    text_model model;
    text_entry *entries;
    size_t count;
    text_table by_text;  /* every token, by `text` */
    text_table by_bytes; /* mapped tokens, by `bytes`; only in TEXT_MODEL_BYTES */
    uint32_t max_bytes;  /* of a mapped token's bytes or, without by_bytes, text */
    text_merge *merges;  /* open addressing over pairs */
    uint32_t merge_mask;
    uint32_t *ranks;         /* TEXT_MODEL_SCORES: of each id; UINT32_MAX: never merged */
    slm_token byte_ids[256]; /* the token of a single byte; -1: none */
    slm_token unknown;       /* -1: what has no token gives nothing */
    const char *prefix;      /* TEXT_MODEL_WORDS: of what goes on within a word: "##" */
    size_t prefix_len;
    size_t max_characters; /* TEXT_MODEL_WORDS: a longer word is unknown */
    bool fuse_unknown;     /* unknown characters side by side are one token */
    text_added *added;
    size_t added_count;
    text_added_set raw[2], normal[2]; /* [1]: control tokens too */
    text_rules normalise, cut;
    bool whole_words;       /* a piece that is in the vocabulary is one id, whatever merges say */
    bool strip_first_space; /* of decoded text */
    pcre2_match_context *limits;
    slm_token bos, eos;
    bool adds_bos;
    const char *chat_template; /* the file's own Jinja; NULL: none */
    const char *description;
};

/* One call's working memory, grown as pieces need it. */
typedef struct text_work {
    const slm_tokenizer *tokenizer;
    pcre2_match_data *match;
    struct text_symbol *symbols;
    uint64_t *heap, *heap_memory; /* the least first: see bpe.c */
    size_t symbol_cap;
    slm_tokens placed;                  /* a long piece before merging */
    slm_buffer normal[2];               /* a text being normalised: from one into the other */
    slm_buffer changed[TEXT_MAX_RULES]; /* the piece that a cutting rule made */
} text_work;

/* A place in a piece that is being merged. */
typedef struct text_symbol {
    slm_token
        id; /* TEXT_NO_TOKEN: none yet (scores.c); TEXT_MERGED: part of the symbol on its left */
    uint32_t previous, next;
    uint32_t begin; /* its first byte; scores.c alone */
} text_symbol;
enum { TEXT_NO_TOKEN = -1, TEXT_MERGED = -2 };
#define TEXT_NO_SYMBOL UINT32_MAX
#define TEXT_NO_RANK   UINT32_MAX
void slm_text__work_begin(text_work *work, const slm_tokenizer *tokenizer);
void slm_text__work_free(text_work *work);

/* regex.c. Compile an expression of tokenizer.json, or a literal text. */
slm_status slm_text__regex_compile(const char *pattern, size_t len, bool literal, text_regex *out,
                                   slm_error *err);
void slm_text__regex_free(text_regex *regex);
pcre2_match_context *slm_text__regex_limits(void);
/* The first match at or after `from` in valid UTF-8. */
slm_status slm_text__regex_find(const text_regex *regex, text_work *work, const char *text,
                                size_t len, size_t from, bool *found, size_t *begin, size_t *end,
                                slm_error *err);

/* rules.c. */
#define TEXT_PATTERN_GPT2                                                                          \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define TEXT_PATTERN_NUMBER "\\p{N}"
/* A further rule, zeroed but for its kind; an error where there are too many. */
slm_status slm_text__rule_add(text_rules *rules, text_rule_kind kind, text_rule **out,
                              slm_error *err);
slm_status slm_text__rule_add_split(text_rules *rules, const char *pattern,
                                    text_behaviour behaviour, slm_error *err);
/* What a GGUF file's tokenizer.ggml.pre means; NULL behind the last. */
typedef struct text_family {
    const char *name;
    const char *patterns[2]; /* one after the other, their matches isolated */
    bool nfc, whole_words;
    bool adds_bos; /* unless the file says otherwise */
} text_family;
const text_family *slm_text__family(size_t index);
const text_family *slm_text__family_named(const char *name);
/* The rules of a GGUF file's tokenizer.ggml.pre; SLM_ERR_UNSUPPORTED names those there are. */
slm_status slm_text__rules_by_name(slm_tokenizer *tokenizer, const char *name, slm_error *err);
void slm_text__rules_free(text_rules *rules);
/* Valid UTF-8 through the normalising rules; *out is borrowed from text or work. `first`: nothing
 * stands before it since the last added token. */
slm_status slm_text__normalise(text_work *work, const char *text, size_t len, bool first,
                               const char **out, size_t *out_len, slm_error *err);
/* Hands each piece of a text to `piece`. `first`: the text begins the whole. */
typedef slm_status text_piece_fn(text_work *work, const char *piece, size_t len, void *context,
                                 slm_error *err);
slm_status slm_text__cut(text_work *work, const char *text, size_t len, bool first,
                         text_piece_fn *piece, void *context, slm_error *err);

/* bpe.c. Append the ids of one piece, any bytes. */
slm_status slm_text__encode_piece(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                  slm_error *err);
/* The same by merges alone, never by looking up the whole piece. */
slm_status slm_text__merge_piece(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                 slm_error *err);
/* The merge of a pair, or NULL. */
const text_merge *slm_text__find_merge(const slm_tokenizer *tokenizer, slm_token left,
                                       slm_token right);

/* Room in work for n symbols and twice as many pairs. */
slm_status slm_text__reserve(text_work *work, size_t n, slm_error *err);
void slm_text__heap_order(uint64_t *heap, size_t count);
void slm_text__heap_push(uint64_t *heap, size_t *count, uint64_t value);
uint64_t slm_text__heap_pop(uint64_t *heap, size_t *count);
/* What a character that is no token becomes: its byte tokens, the unknown token, or nothing.
 * *unknown: the last thing appended was the unknown token. */
void slm_text__append_unknown(const slm_tokenizer *t, const char *text, size_t len, bool *unknown,
                              slm_tokens *out);

/* scores.c. Ranks of the tokens by their scores, which are count finite numbers. */
void slm_text__rank_scores(slm_tokenizer *t, const float *scores);
slm_status slm_text__merge_scores(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                  slm_error *err);

/* wordpiece.c. A text made plain as the rule says, appended to out. */
void slm_text__plain(const text_rule *rule, const char *text, size_t len, slm_buffer *out);
/* The next word or punctuation character at or behind `from`; false: there is none. */
bool slm_text__next_word(const char *text, size_t len, size_t from, size_t *begin, size_t *end);
void slm_text__encode_word(const slm_tokenizer *t, const char *word, size_t len, slm_tokens *out);
/* What tokens stand for: the prefix goes, others have a space in front. */
void slm_text__decode_words(slm_tokenizer *t);

/* vocabulary.c. Look-ups; -1 if absent. */
slm_token slm_text__find_text(const slm_tokenizer *tokenizer, const char *text, size_t len);
/* The token that merging may make and that spells these bytes of a piece. */
slm_token slm_text__find_piece(const slm_tokenizer *tokenizer, const char *bytes, size_t len);
slm_tokenizer *slm_text__new(void);
/* Room for count tokens, all of them absent (TEXT_TOKEN_UNUSED without text). */
void slm_text__tokens_begin(slm_tokenizer *t, size_t count);
/* Put a token in. On a refusal returns what is wrong with it ("is 5000 bytes long; ..."), in `why`.
 * mapped: merging may make it. */
const char *slm_text__token_put(slm_tokenizer *t, slm_token id, const char *text, size_t len,
                                text_token_type type, bool mapped, char why[96]);
void slm_text__merges_begin(slm_tokenizer *t, size_t count);
typedef enum text_merge_result {
    TEXT_MERGE_OK,
    TEXT_MERGE_UNMAPPED,
    TEXT_MERGE_BAD
} text_merge_result;
/* *why says what is wrong unless TEXT_MERGE_OK. */
text_merge_result slm_text__merge_put(slm_tokenizer *t, uint32_t rank, const char *left,
                                      size_t left_len, const char *right, size_t right_len,
                                      const char **why);
/* Once tokens, merges and rules are in: which pieces are whole, and the tables of added tokens. */
slm_status slm_text__finish(slm_tokenizer *t, slm_error *err);
/* U+2581 as spaces in what normal tokens stand for. */
void slm_text__decode_blocks(slm_tokenizer *t);
/* "<0x0A>" -> 10; -1 if text is none of these. */
int slm_text__byte_of(const char *text, size_t len);
static inline uint64_t slm_text__mix(uint64_t pair)
{
    pair *= UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio: Fibonacci hashing */
    return pair ^ pair >> 32;
}

/* huggingface.c. tokenizer.json as text, and tokenizer_config.json (config NULL: there is none). */
slm_status slm_text__from_json(const char *name, const char *text, size_t len,
                               const char *config_name, const char *config, size_t config_len,
                               slm_tokenizer **out, slm_error *err);

/* rules_json.c. Each takes the member of tokenizer.json that its name says, or NULL. */
slm_status slm_text__json_normalizer(slm_tokenizer *t, const json_t *value,
                                     const slm_json_place *place, slm_error *err);
slm_status slm_text__json_pre_tokenizer(slm_tokenizer *t, const json_t *value,
                                        const slm_json_place *place, slm_error *err);
typedef struct text_decoding {
    bool blocks, byte_level, byte_fallback, strip, words;
} text_decoding;
slm_status slm_text__json_decoder(const json_t *value, const slm_json_place *place,
                                  text_decoding *out, slm_error *err);
/* The special tokens that stand in front of a single text and behind it, borrowed; NULL: none. */
typedef struct text_around {
    const char *bos, *eos;
} text_around;
slm_status slm_text__json_post_processor(const json_t *value, const slm_json_place *place,
                                         text_around *out, slm_error *err);

/* tokenizer.c. slm_tokenizer_encode within a longer text: `first` says that nothing precedes. */
slm_status slm_text__encode(const slm_tokenizer *tokenizer, const char *text, size_t len,
                            bool parse_special, bool first, slm_tokens *out, slm_error *err);

/* template_detect.c. A Jinja text with what does not matter left out. */
void slm_text__canonical_jinja(const char *jinja, slm_buffer *out);

#endif
