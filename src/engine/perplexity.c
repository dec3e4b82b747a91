/* perplexity.c: how well a model foretells texts.
 *
 * A text is cut into windows of so many tokens. Each is scored by itself, from an empty cache: every
 * token but the first, given those before it in its window. Over N scored tokens
 *     perplexity = exp(sum of -ln p / N)          (Jelinek et al. 1977)
 *     bits per byte = sum of -ln p / ln 2 / bytes that those tokens stand for
 * The second does not depend on how a tokenizer cuts, so it compares models that cut differently.
 *
 * Intervals: percentile bootstrap over windows (Efron 1979), the window being what is drawn since
 * tokens within it are far from independent. A change is of pairs: both models have the same windows,
 * and a draw takes the same ones of each, so that what makes a window hard for both cancels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/statistics.h"
#include "engine_internal.h"

enum { RESAMPLES = 1000, BOOTSTRAP_SEED = 0 };
static const double LEVEL = 0.95;

/* ---- windows ------------------------------------------------------------------------------- */

/* Bytes of each id of a text. A space that encoding put in front of the text is none of it. */
static size_t *count_bytes(const slm_tokenizer *tokenizer, const slm_tokens *ids)
{
    slm_buffer text = {0};
    size_t *bytes = calloc(ids->len + 1, sizeof *bytes);
    if (!bytes) slm_out_of_memory((ids->len + 1) * sizeof *bytes);
    for (size_t i = 0; i < ids->len; i++) {
        slm_buffer_truncate(&text, 0);
        if (i == 0)
            slm_tokenizer_decode_all(tokenizer, ids->ids, 1, true, &text);
        else
            slm_tokenizer_decode(tokenizer, ids->ids[i], true, &text);
        bytes[i] = text.len;
    }
    slm_buffer_free(&text);
    return bytes;
}

static slm_window *append_window(slm_windows *w)
{
    if (w->count == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 64;
        slm_window *grown = realloc(w->items, w->cap * sizeof *grown);
        if (!grown) slm_out_of_memory(w->cap * sizeof *grown);
        w->items = grown;
    }
    w->items[w->count] = (slm_window){.begin = w->tokens.len};
    return &w->items[w->count++];
}

slm_status slm_windows_add(slm_windows *w, const slm_tokenizer *tokenizer, const char *text,
                           size_t len, size_t context, size_t limit, slm_error *err)
{
    const slm_token bos =
        slm_tokenizer_adds_bos(tokenizer) ? slm_tokenizer_bos(tokenizer) : (slm_token)-1;
    const size_t front = bos >= 0 ? 1 : 0;
    slm_tokens ids = {0};
    SLM_ASSERT(context >= 2);
    slm_status status = slm_tokenizer_encode(tokenizer, text, len, false, &ids, err);
    if (status != SLM_OK) return status;
    if (limit > 0 && ids.len > limit - w->text_tokens) ids.len = limit - w->text_tokens;
    size_t *bytes = count_bytes(tokenizer, &ids);
    for (size_t at = 0, end; at < ids.len; at = end) {
        end = ids.len - at > context - front ? at + context - front : ids.len;
        if (front + end - at < 2) break;
        slm_window *window = append_window(w);
        if (front) slm_tokens_append(&w->tokens, bos);
        for (size_t i = at; i < end; i++) {
            slm_tokens_append(&w->tokens, ids.ids[i]);
            if (front || i > at) window->bytes += bytes[i];
        }
        window->len = w->tokens.len - window->begin;
    }
    w->text_tokens += ids.len;
    free(bytes);
    slm_tokens_free(&ids);
    return SLM_OK;
}

slm_status slm_windows_score(slm_windows *w, size_t index, slm_engine *engine, slm_error *err)
{
    slm_window *window = &w->items[index];
    SLM_ASSERT(index < w->count);
    float *log_probs = calloc(window->len, sizeof *log_probs);
    if (!log_probs) slm_out_of_memory(window->len * sizeof *log_probs);
    slm_status status =
        slm_engine_score(engine, w->tokens.ids + window->begin, window->len, log_probs, NULL, err);
    if (status == SLM_OK) {
        window->nll = 0;
        for (size_t i = 0; i + 1 < window->len; i++)
            window->nll -= (double)log_probs[i];
        if (!isfinite(window->nll))
            status = slm_error_set(err, SLM_ERR_FORMAT,
                                   "the model's logits are not finite; the file may be damaged");
    }
    free(log_probs);
    return status;
}

void slm_windows_free(slm_windows *w)
{
    slm_tokens_free(&w->tokens);
    free(w->items);
    *w = (slm_windows){0};
}

/* ---- figures ------------------------------------------------------------------------------- */

/* Windows, and those of the model that they are compared with (NULL: none). */
typedef struct pair {
    const slm_windows *windows, *first;
} pair;

/* Over these windows (picks NULL: all): the mean of -ln p, less that of the pair's first. */
static double mean_nll(const pair *p, const size_t *picks, size_t n)
{
    double nll = 0, tokens = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t at = picks ? picks[i] : i;
        nll += p->windows->items[at].nll;
        if (p->first) nll -= p->first->items[at].nll;
        tokens += (double)(p->windows->items[at].len - 1);
    }
    return nll / tokens;
}

static double resampled(void *context, const size_t *picks, size_t n)
{
    return mean_nll(context, picks, n);
}

/* exp and expm1 rise, so they may come after the quantiles. */
static slm_interval interval_of(pair *p)
{
    if (p->windows->count < 2) return (slm_interval){NAN, NAN};
    return slm_statistics_bootstrap(p->windows->count, RESAMPLES, BOOTSTRAP_SEED, LEVEL, resampled,
                                    p);
}

slm_perplexity slm_windows_perplexity(const slm_windows *w)
{
    pair p = {w, NULL};
    slm_perplexity out = {0};
    for (size_t i = 0; i < w->count; i++) {
        out.tokens += w->items[i].len - 1;
        out.bytes += w->items[i].bytes;
        out.nll += w->items[i].nll;
    }
    const slm_interval interval = interval_of(&p);
    out.perplexity = exp(mean_nll(&p, NULL, w->count));
    out.interval = (slm_interval){exp(interval.low), exp(interval.high)};
    out.bits_per_byte = out.nll / log(2) / (double)out.bytes;
    return out;
}

static bool are_same(const slm_windows *a, const slm_windows *b)
{
    if (a->count != b->count || a->tokens.len != b->tokens.len) return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].len != b->items[i].len || a->items[i].bytes != b->items[i].bytes)
            return false;
    return a->count == 0 ||
           memcmp(a->tokens.ids, b->tokens.ids, a->tokens.len * sizeof *a->tokens.ids) == 0;
}

bool slm_windows_change(const slm_windows *first, const slm_windows *w, double *change,
                        slm_interval *interval)
{
    pair p = {w, first};
    if (!are_same(first, w)) return false;
    const slm_interval difference = interval_of(&p);
    *change = expm1(mean_nll(&p, NULL, w->count));
    *interval = (slm_interval){expm1(difference.low), expm1(difference.high)};
    return true;
}
