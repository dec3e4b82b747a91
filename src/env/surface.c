/* surface.c: what is told of a text without understanding it: words, pieces of a question, format,
 * and how much of it says the same again. */
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "env/env_internal.h"

enum { RUN = 4, RUNS_MIN = 8, POINTS_PER_WORD = 8 };
static const double MARKUP_PENALTY = -0.5; /* headings, tables, code: readable still */

size_t env__words(const char *text)
{
    size_t words = 0, points = 0, len = strlen(text);
    bool in_word = false;
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        i += slm_utf8_decode(text + i, len - i, &c);
        bool space = slm_utf8_is_space(c);
        points += !space;
        words += !space && !in_word;
        in_word = !space;
    }
    size_t by_points = points / POINTS_PER_WORD;
    return words > by_points ? words : by_points;
}

/* ---- pieces of a question ------------------------------------------------------------------ */

static const char joining_words[] = "and or plus y o et ou e और या अथवा au ama";

size_t env__pieces(const char *text, size_t len)
{
    size_t pieces = 0, words_in_piece = 0;
    for (size_t i = 0; i < len;) {
        size_t begin = i;
        while (i < len && strchr(" \t\r\n,;/?!.:()", text[i]) == NULL)
            i++;
        if (i > begin) {
            if (!env__among(joining_words, text + begin, i - begin)) {
                if (words_in_piece++ == 0) pieces++;
            } else {
                words_in_piece = 0;
            }
        }
        if (i < len && (text[i] == ',' || text[i] == ';' || text[i] == '/')) words_in_piece = 0;
        i++;
    }
    return pieces > 0 ? pieces : 1;
}

/* ---- format -------------------------------------------------------------------------------- */

static bool begins(const char *line, size_t len, const char *with)
{
    size_t n = strlen(with);
    if (len < n) return false;
    for (size_t i = 0; i < n; i++) {
        char c = line[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (c != with[i]) return false;
    }
    return true;
}

double env__format_penalty(const char *reply)
{
    static const char *const tokens[] = {"<|",           "|>",    "[inst]",  "[/inst]",
                                         "</s>",         "<s>",   "<<sys>>", "<think>",
                                         "</think>",     "<bos>", "<eos>",   "<start_of_turn>",
                                         "<end_of_turn>"};
    static const char *const speakers[] = {
        "user:", "assistant:", "human:", "system:", "ai:", "patient:", "doctor:"};
    double worst = 0;
    bool is_empty = true, line_start = true;
    size_t len = strlen(reply);
    for (size_t i = 0; i < len; i++) {
        const char *at = reply + i;
        size_t left = len - i;
        if (*at == '<' || *at == '|' || *at == '[')
            for (size_t t = 0; t < sizeof tokens / sizeof tokens[0]; t++)
                if (begins(at, left, tokens[t])) return -1;
        if (line_start && *at != ' ' && *at != '\t' && *at != '\n') {
            for (size_t t = 0; t < sizeof speakers / sizeof speakers[0]; t++)
                if (begins(at, left, speakers[t])) return -1;
            const char *end = memchr(at, '\n', left);
            size_t line = end != NULL ? (size_t)(end - at) : left;
            bool table = *at == '|' && memchr(at + 1, '|', line - 1) != NULL;
            if (*at == '#' || table || begins(at, left, "```")) worst = MARKUP_PENALTY;
            line_start = false;
        }
        if (*at == '\n') line_start = true;
        is_empty &= *at == ' ' || *at == '\t' || *at == '\n' || *at == '\r';
    }
    return is_empty ? -1 : worst;
}

/* ---- repetition ---------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Hashes of the runs of RUN words of one text, added to `runs`; returns how many. */
static size_t add_runs(const char *text, uint64_t *runs)
{
    uint64_t last[RUN] = {0};
    size_t words = 0, count = 0;
    slm_buffer folded = {0};
    slm_utf8_append_casefold(&folded, text, strlen(text));
    const char *at = slm_buffer_text(&folded);
    for (size_t i = 0; i < folded.len;) {
        size_t begin = i, end = i;
        while (i < folded.len) {
            uint32_t c = 0;
            size_t step = slm_utf8_decode(at + i, folded.len - i, &c);
            if (slm_utf8_is_space(c)) break;
            i += step;
            if (!slm_utf8_is_punctuation(c)) end = i;
        }
        if (end > begin) {
            memmove(last, last + 1, (RUN - 1) * sizeof *last);
            last[RUN - 1] = slm_hash_bytes(at + begin, end - begin);
            if (++words >= RUN) runs[count++] = slm_hash_bytes(last, sizeof last);
        }
        if (i < folded.len) {
            uint32_t c = 0;
            i += slm_utf8_decode(at + i, folded.len - i, &c);
        }
    }
    slm_buffer_free(&folded);
    return count;
}

double env__repeated_share(const char *const *texts, size_t count)
{
    size_t bytes = 0, total = 0, distinct = 0;
    for (size_t i = 0; i < count; i++)
        bytes += 3 * strlen(texts[i]) + 1; /* an invalid byte folds to three */
    uint64_t *runs = calloc(bytes / 2 + 1, sizeof *runs);
    if (runs == NULL) slm_out_of_memory(bytes);
    for (size_t i = 0; i < count; i++)
        total += add_runs(texts[i], runs + total);
    qsort(runs, total, sizeof *runs, by_value);
    for (size_t i = 0; i < total; i++)
        distinct += i == 0 || runs[i] != runs[i - 1];
    free(runs);
    return total < RUNS_MIN ? 0 : 1 - (double)distinct / (double)total;
}
