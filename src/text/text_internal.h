/* text_internal.h: what the files of text/ share: the tokenizer's tables and its three stages.
 *
 * vocabulary.c fills the tables from a file; pretokenize.c cuts text into pieces; bpe.c turns a
 * piece into ids; tokenizer.c is the public door over them. */
#ifndef SLM_TEXT_INTERNAL_H
#define SLM_TEXT_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "text/text.h"

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
    const char *text;  /* as the file writes it: "Ġthe" */
    const char *bytes; /* what it stands for: " the"; equals text in tokens that are not NORMAL */
    uint32_t text_len, bytes_len;
    uint8_t type;
    bool mapped; /* NORMAL, and every character stands for a byte: BPE can make it */
    bool whole;  /* a piece with these bytes is this one id, without looking at merges */
} text_entry;

/* Open addressing over ids; slots is a power of two at least twice the ids put in. */
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

/* Tokens that are looked for in the text itself, in byte order. */
typedef struct text_added {
    const text_entry **sorted;
    size_t count;
    bool first[256]; /* some token begins with this byte */
} text_added;

/* A known pre-tokenizer. */
typedef struct text_pre {
    const char *name;
    const char *pattern;
    bool nfc;         /* the text is normalised to NFC first */
    bool whole_words; /* a piece that is in the vocabulary is one id, whatever the merges say */
    bool adds_bos;    /* unless the file says otherwise */
} text_pre;

struct slm_tokenizer {
    slm_arena arena;
    text_entry *entries;
    size_t count;
    text_table by_text;  /* every token, by `text` */
    text_table by_bytes; /* mapped tokens, by `bytes` */
    uint32_t max_bytes;  /* of a mapped token */
    text_merge *merges;  /* open addressing over pairs */
    uint32_t merge_mask;
    slm_token byte_ids[256]; /* -1: the vocabulary has no token for this byte */
    text_added user;         /* USER_DEFINED */
    text_added all;          /* USER_DEFINED, CONTROL and UNKNOWN */
    const text_pre *pre;
    pcre2_code *code;
    pcre2_match_context *limits;
    bool jit;
    slm_token bos, eos;
    bool adds_bos;
    const char *description;
};

/* One call's working memory, grown as pieces need it. */
typedef struct text_work {
    const slm_tokenizer *tokenizer;
    pcre2_match_data *match;
    struct text_symbol *symbols;
    uint64_t *heap;
    size_t symbol_cap, heap_cap;
    slm_buffer normal; /* a segment in NFC */
} text_work;

/* pretokenize.c. NULL if there is none of that name. */
const text_pre *slm_text__pre_find(const char *name);
const char *slm_text__pre_names(void);
slm_status slm_text__pre_compile(slm_tokenizer *tokenizer, slm_error *err);
/* The length of the piece at text[at..len), text being valid UTF-8 and at < len. */
slm_status slm_text__next_piece(text_work *work, const char *text, size_t len, size_t at,
                                size_t *piece_len, slm_error *err);

/* bpe.c. Append the ids of one piece, any bytes. */
slm_status slm_text__encode_piece(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                  slm_error *err);
/* The same by merges alone, never by looking up the whole piece. */
slm_status slm_text__merge_piece(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                 slm_error *err);
/* The merge of a pair, or NULL. */
const text_merge *slm_text__find_merge(const slm_tokenizer *tokenizer, slm_token left,
                                       slm_token right);
void slm_text__work_free(text_work *work);
void slm_text__work_begin(text_work *work, const slm_tokenizer *tokenizer);

/* vocabulary.c. Look-ups; -1 if absent. */
slm_token slm_text__find_text(const slm_tokenizer *tokenizer, const char *text, size_t len);
slm_token slm_text__find_bytes(const slm_tokenizer *tokenizer, const char *bytes, size_t len);
static inline uint64_t slm_text__mix(uint64_t pair)
{
    pair *= UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio: Fibonacci hashing */
    return pair ^ pair >> 32;
}

#endif
