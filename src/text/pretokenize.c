/* pretokenize.c: where a text may be cut before merging: one regular expression per model family.
 *
 * Byte-level BPE never merges across pieces, so the pieces decide the ids as much as the merges do.
 * The expressions below say what each family's tokenizer.json says (the facts: which classes, in
 * which order, how digits group), in PCRE2's syntax and joined to one expression that matches at
 * every position, so that a text is cut in one pass:
 *
 *  - White space is written out as Unicode's White_Space property (Z*, U+0009-000D, U+0085): PCRE2's
 *    \s also takes U+180E, which is none.
 *  - smollm cuts every digit off first and then applies GPT-2's rule to what lies between, so there
 *    a digit ends a run of white space as the text's end does: hence \p{N} in its look-ahead.
 *
 * The expressions are anchored, hold no repeated groups, and their runs give characters back one at
 * a time at most: time is linear in the text and the JIT's stack stays small. */
#include <string.h>
#include "text/text_internal.h"

#define SPACE  "\\p{Z}\\x09-\\x0d\\x{85}" /* inside a class */
#define CONTRA "'(?:[sdmt]|ll|ve|re)"
/* What Llama 3 and Qwen 2 share, with their own rule for digits. */
#define MODERN(digits)                                                                             \
    "'(?i:[sdmt]|ll|ve|re)"                                                                        \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"                                                               \
    "|" digits "| ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*"                                             \
    "|[" SPACE "]*[\\r\\n]+"                                                                       \
    "|[" SPACE "]+(?![^" SPACE "])"                                                                \
    "|[" SPACE "]+"

static const text_pre pres[] = {
    {
        .name = "smollm",
        .pattern = CONTRA "| ?\\p{L}+"
                          "|\\p{N}"
                          "| ?[^" SPACE "\\p{L}\\p{N}]+"
                          "|[" SPACE "]+(?![^" SPACE "\\p{N}])"
                          "|[" SPACE "]+",
    },
    {
        .name = "gpt-2",
        .pattern = CONTRA "| ?\\p{L}+"
                          "| ?\\p{N}+"
                          "| ?[^" SPACE "\\p{L}\\p{N}]+"
                          "|[" SPACE "]+(?![^" SPACE "])"
                          "|[" SPACE "]+",
    },
    {.name = "qwen2", .pattern = MODERN("\\p{N}"), .nfc = true},
    {
        .name = "llama-bpe",
        .pattern = MODERN("\\p{N}{1,3}"),
        .whole_words = true,
        .adds_bos = true,
    },
};

const text_pre *slm_text__pre_find(const char *name)
{
    for (size_t i = 0; i < sizeof(pres) / sizeof(pres[0]); i++) {
        if (strcmp(pres[i].name, name) == 0) return &pres[i];
    }
    return NULL;
}

const char *slm_text__pre_names(void)
{
    return "smollm, gpt-2, qwen2, llama-bpe";
}

slm_status slm_text__pre_compile(slm_tokenizer *tokenizer, slm_error *err)
{
    int code;
    PCRE2_SIZE at;
    tokenizer->code = pcre2_compile((PCRE2_SPTR)tokenizer->pre->pattern, PCRE2_ZERO_TERMINATED,
                                    PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK,
                                    &code, &at, NULL);
    if (tokenizer->code == NULL) {
        char why[128];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "pre-tokenizer %s: this PCRE2 cannot compile its expression (at %zu: "
                             "%s); PCRE2 10.34 or newer with Unicode is needed",
                             tokenizer->pre->name, at, why);
    }
    /* Without JIT (another processor, or memory that may not be made executable) the interpreter
     * does the same, slower. */
    tokenizer->jit = pcre2_jit_compile(tokenizer->code, PCRE2_JIT_COMPLETE) == 0;
    tokenizer->limits = pcre2_match_context_create(NULL);
    if (tokenizer->limits == NULL) slm_out_of_memory(sizeof(void *));
    /* A run of white space of any length is one match. */
    pcre2_set_match_limit(tokenizer->limits, UINT32_MAX);
    return SLM_OK;
}

slm_status slm_text__next_piece(text_work *work, const char *text, size_t len, size_t at,
                                size_t *piece_len, slm_error *err)
{
    const slm_tokenizer *t = work->tokenizer;
    int found;
    if (t->jit)
        found = pcre2_jit_match(t->code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, work->match,
                                t->limits);
    else
        found = pcre2_match(t->code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, work->match,
                            t->limits);
    /* Every character is a letter, a number, white space or none of these. */
    SLM_ASSERT(found != PCRE2_ERROR_NOMATCH);
    if (found < 0) {
        char why[128];
        pcre2_get_error_message(found, (PCRE2_UCHAR *)why, sizeof(why));
        return slm_error_set(err, SLM_ERR_MEMORY,
                             "pre-tokenizer %s failed at byte %zu of a text of %zu: %s",
                             t->pre->name, at, len, why);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(work->match);
    SLM_ASSERT(span[0] == at && span[1] > at && span[1] <= len);
    *piece_len = span[1] - at;
    return SLM_OK;
}
