/* floor.c: the best fixed reply that can be found, as a lower bound for what a score means.
 *
 * A reply is built from sentences of other cases (their follow-ups, advice and key points), and from
 * the replies that always ask or never do, whole and sentence by sentence. It is searched for as a
 * cheat would: greedily, adding the sentence (in front or behind) that most raises the mean score,
 * until none does. Families are held out in 5 folds: a case is given the reply found on the other
 * folds, from their sentences, so that the floor is a reply fixed before the case was seen.
 *
 * A judge's time is what this costs, so few candidates are tried in full. The scores of every
 * sentence alone on every case are known from the first pass; joined to a reply, a sentence is
 * guessed to give each case the better of the two scores, and only the most promising by that guess
 * are graded. Scores are kept by (reply, case): the folds often walk the same way. Large sets are
 * sampled with a fixed seed. Nothing here depends on time: the same cases and judge give the same
 * replies. */
#include "eval/eval_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/progress.h"
#include "base/random.h"

enum {
    FLOOR_FOLDS = 5,
    FLOOR_SENTENCES = 10,   /* at most, in a reply */
    FLOOR_CANDIDATES = 384, /* sentences tried alone */
    FLOOR_CASES = 80,       /* that a reply is tried on */
    FLOOR_TRIED = 16,       /* sentences graded in full at each step */
};
static const uint64_t FLOOR_SEED = 0x666c6f6f72; /* "floor" */
static const double FLOOR_GAIN = 1e-9;           /* less is rounding */

typedef struct candidate {
    char *text;
    unsigned folds; /* bit f: a case of fold f has it; general ones have them all */
} candidate;

typedef struct memo {
    uint64_t key; /* 0: free */
    double score;
} memo;

typedef struct search {
    slm_judge *judge;
    const eval__selection *selection;
    const slm_eval_options *options;
    unsigned *folds; /* of each case of the selection */
    size_t *cases;   /* positions that replies are tried on */
    size_t case_count;
    candidate *candidates;
    size_t count, cap;
    double *alone; /* [count][case_count]: the score of each sentence alone */
    memo *table;
    size_t table_size, table_used;
    uint64_t gradings, tries;
    slm_progress *progress;
} search;

static const slm_case *case_at(const search *s, size_t position)
{
    return &s->selection->cases->items[s->selection->items[position]];
}

/* ---- folds ---- */

typedef struct family {
    uint64_t hash;
    const char *name;
    size_t position;
} family;

static int compare_families(const void *a, const void *b)
{
    const family *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Families in the order of their hash are dealt to the folds in turn. Returns how many there are. */
static size_t deal_folds(search *s)
{
    size_t n = s->selection->count, families = 0;
    family *all = calloc(n, sizeof *all);
    s->folds = calloc(n, sizeof *s->folds);
    if (!all || !s->folds) slm_out_of_memory(n);
    for (size_t i = 0; i < n; i++) {
        const char *name = case_at(s, i)->family;
        all[i] = (family){.hash = slm_hash_bytes(name, strlen(name)), .name = name, .position = i};
    }
    qsort(all, n, sizeof *all, compare_families);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(all[i].name, all[i - 1].name) != 0) families++;
        s->folds[all[i].position] = (unsigned)((families - 1) % FLOOR_FOLDS);
    }
    free(all);
    return families;
}

/* ---- sentences ---- */

/* A sentence: its first letter a capital, a full stop at its end if it has no mark. */
static void add_sentence(search *s, unsigned folds, const char *begin, const char *end, size_t len)
{
    slm_buffer text = {0};
    slm_buffer_append_text(&text, begin);
    slm_buffer_append(&text, end, len);
    while (text.len && isspace((unsigned char)text.data[text.len - 1]))
        slm_buffer_truncate(&text, text.len - 1);
    if (text.len == 0) {
        slm_buffer_free(&text);
        return;
    }
    text.data[0] = (char)toupper((unsigned char)text.data[0]);
    if (!strchr(".?!", text.data[text.len - 1])) slm_buffer_append_char(&text, '.');
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 256;
        s->candidates = realloc(s->candidates, s->cap * sizeof *s->candidates);
        if (!s->candidates) slm_out_of_memory(s->cap);
    }
    s->candidates[s->count++] = (candidate){.text = slm_buffer_take(&text), .folds = folds};
}

/* A plain text, and its sentences: each ends with a mark and a blank. */
static void add_text(search *s, const char *text)
{
    add_sentence(s, (1u << FLOOR_FOLDS) - 1, "", text, strlen(text));
    while (*text) {
        size_t len = strcspn(text, ".?!");
        while (text[len] && text[len + 1] != ' ' && text[len + 1])
            len += 1 + strcspn(text + len + 1, ".?!");
        if (text[len]) len++;
        add_sentence(s, (1u << FLOOR_FOLDS) - 1, "", text, len);
        text += len;
        text += strspn(text, " ");
    }
}

static int compare_candidates(const void *a, const void *b)
{
    return strcmp(((const candidate *)a)->text, ((const candidate *)b)->text);
}

static void collect_sentences(search *s)
{
    for (size_t i = 0; i < s->selection->count; i++) {
        const slm_case *c = case_at(s, i);
        unsigned fold = 1u << s->folds[i];
        for (size_t j = 0; j < c->follow_up_count; j++)
            add_sentence(s, fold, "", c->follow_ups[j].question, strlen(c->follow_ups[j].question));
        for (size_t j = 0; j < c->key_point_count; j++)
            add_sentence(s, fold, "", c->key_points[j].text, strlen(c->key_points[j].text));
        for (size_t j = 0; j < c->advice_count; j++) {
            slm_buffer condition = {0};
            const char *then = c->advice[j].then_text;
            slm_buffer_printf(&condition, "If %s, ", c->advice[j].if_text);
            add_sentence(s, fold, slm_buffer_text(&condition), then, strlen(then));
            add_sentence(s, fold, "", then, strlen(then));
            slm_buffer_free(&condition);
        }
    }
    add_text(s, eval__always_ask);
    add_text(s, eval__never_ask);
    qsort(s->candidates, s->count, sizeof *s->candidates, compare_candidates);
    size_t kept = 0;
    for (size_t i = 1; i < s->count; i++) {
        if (strcmp(s->candidates[i].text, s->candidates[kept].text) == 0) {
            s->candidates[kept].folds |= s->candidates[i].folds;
            free(s->candidates[i].text);
        } else {
            s->candidates[++kept] = s->candidates[i];
        }
    }
    s->count = kept + 1;
}

/* Keep so many, drawn with a fixed seed. */
static void sample_candidates(search *s)
{
    if (s->count <= FLOOR_CANDIDATES) return;
    slm_random random = slm_random_new(FLOOR_SEED, 1);
    slm_random_shuffle(&random, s->candidates, s->count, sizeof *s->candidates);
    for (size_t i = FLOOR_CANDIDATES; i < s->count; i++)
        free(s->candidates[i].text);
    s->count = FLOOR_CANDIDATES;
    qsort(s->candidates, s->count, sizeof *s->candidates, compare_candidates);
}

static void sample_cases(search *s)
{
    s->case_count = s->selection->count;
    s->cases = calloc(s->case_count, sizeof *s->cases);
    if (!s->cases) slm_out_of_memory(s->case_count);
    for (size_t i = 0; i < s->case_count; i++)
        s->cases[i] = i;
    if (s->case_count <= FLOOR_CASES) return;
    slm_random random = slm_random_new(FLOOR_SEED, 2);
    slm_random_shuffle(&random, s->cases, s->case_count, sizeof *s->cases);
    s->case_count = FLOOR_CASES;
}

/* ---- grading ---- */

static memo *find_memo(const search *s, uint64_t key)
{
    size_t at = (size_t)key & (s->table_size - 1);
    while (s->table[at].key && s->table[at].key != key)
        at = (at + 1) & (s->table_size - 1);
    return &s->table[at];
}

static void grow_memo(search *s)
{
    if (2 * (s->table_used + 1) < s->table_size) return;
    memo *old = s->table;
    size_t old_size = s->table_size;
    s->table_size = old_size ? 2 * old_size : 4096;
    s->table = calloc(s->table_size, sizeof *s->table);
    if (!s->table) slm_out_of_memory(s->table_size);
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].key) *find_memo(s, old[i].key) = old[i];
    }
    free(old);
}

static uint64_t memo_key(const char *reply, size_t position)
{
    uint64_t words[2] = {slm_hash_bytes(reply, strlen(reply)), position};
    uint64_t key = slm_hash_bytes(words, sizeof words);
    return key ? key : 1;
}

static double score_of(const slm_case *c, const slm_grading *grading)
{
    slm_stored_grading stored = {0};
    slm_stored_grade *grades = calloc(c->rubric_count + 1, sizeof *grades);
    if (!grades) slm_out_of_memory(c->rubric_count);
    eval__to_stored(c, grading, grades, &stored);
    free(grades);
    return stored.low; /* the score itself where there is one */
}

/* Takes one grading that is ready and keeps its score. tickets[i] belongs to position of[i]. */
static slm_status take_grading(search *s, const char *reply, uint64_t *tickets, size_t *of,
                               size_t *pending, slm_error *err)
{
    slm_grading *grading = NULL;
    SLM_TRY(slm_judge_poll(s->judge, 200, &grading, err));
    if (!grading) {
        if (s->judge->in_flight > 0) return SLM_OK;
        return slm_error_set(err, SLM_ERR_FORMAT, "the judge %s gave no grading for %zu answers",
                             s->judge->name, *pending);
    }
    for (size_t i = 0; i < *pending; i++) {
        if (tickets[i] != grading->ticket) continue;
        uint64_t key = memo_key(reply, of[i]);
        *find_memo(s, key) = (memo){.key = key, .score = score_of(case_at(s, of[i]), grading)};
        s->table_used++;
        s->gradings++;
        --*pending;
        tickets[i] = tickets[*pending];
        of[i] = of[*pending];
        break;
    }
    slm_grading_free(grading);
    return SLM_OK;
}

/* Scores of a reply on the search's cases; only those of which `skip` is not the fold. */
static slm_status grade_reply(search *s, const char *reply, unsigned skip, double *scores,
                              slm_error *err)
{
    uint64_t tickets[EVAL_JUDGING];
    size_t of[EVAL_JUDGING], pending = 0;
    for (size_t i = 0; i < s->case_count; i++) {
        size_t position = s->cases[i];
        if (s->folds[position] == skip) continue;
        grow_memo(s);
        if (find_memo(s, memo_key(reply, position))->key) continue;
        while (pending == EVAL_JUDGING)
            SLM_TRY(take_grading(s, reply, tickets, of, &pending, err));
        SLM_TRY(slm_judge_submit(s->judge, case_at(s, position), reply, &tickets[pending], err));
        of[pending++] = position;
        /* Room for what is pending was not made: a table half empty always has it. */
    }
    while (pending > 0)
        SLM_TRY(take_grading(s, reply, tickets, of, &pending, err));
    for (size_t i = 0; i < s->case_count; i++) {
        bool skipped = s->folds[s->cases[i]] == skip;
        scores[i] = skipped ? 0 : find_memo(s, memo_key(reply, s->cases[i]))->score;
    }
    if (eval__stopped(s->options))
        return slm_error_set(err, SLM_ERR_CANCELLED,
                             "stopped; what came is stored, run the same command to go on");
    return SLM_OK;
}

/* ---- the greedy walk ---- */

/* Mean over the cases outside of `fold`, of the better of two scores (b may be NULL). */
static double mean_outside(const search *s, unsigned fold, const double *a, const double *b)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->case_count; i++) {
        if (s->folds[s->cases[i]] == fold) continue;
        sum += b && b[i] > a[i] ? b[i] : a[i];
        n++;
    }
    return n ? sum / (double)n : 0;
}

typedef struct guess {
    size_t candidate;
    double mean;
} guess;

static int compare_guesses(const void *a, const void *b)
{
    const guess *x = a, *y = b;
    if (x->mean != y->mean) return x->mean > y->mean ? -1 : 1;
    return (x->candidate > y->candidate) - (x->candidate < y->candidate);
}

/* The sentences that look best beside the reply so far; returns how many. */
static size_t shortlist(const search *s, unsigned fold, const double *scores, const bool *used,
                        guess *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (used[i] || !(s->candidates[i].folds & ~(1u << fold))) continue;
        out[n++] = (guess){.candidate = i,
                           .mean = mean_outside(s, fold, scores, s->alone + i * s->case_count)};
    }
    qsort(out, n, sizeof *out, compare_guesses);
    return n < FLOOR_TRIED ? n : FLOOR_TRIED;
}

static void join(slm_buffer *out, const char *a, const char *b)
{
    slm_buffer_truncate(out, 0);
    slm_buffer_printf(out, "%s%s%s", a, *a && *b ? " " : "", b);
}

typedef struct walk {
    slm_buffer reply, trial, best;
    double *scores, *trial_scores, *best_scores; /* [case_count] */
    double mean, best_mean;
    bool *used;
    guess *guesses;
} walk;

/* One sentence more; *grown false when none helps. */
static slm_status step(search *s, unsigned fold, walk *w, bool *grown, slm_error *err)
{
    size_t n = shortlist(s, fold, w->scores, w->used, w->guesses), chosen = 0;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const char *sentence = s->candidates[w->guesses[i].candidate].text;
        slm_progress_update(s->progress, s->tries++, NULL);
        for (int in_front = 0; in_front < (w->reply.len ? 2 : 1); in_front++) {
            if (in_front)
                join(&w->trial, sentence, slm_buffer_text(&w->reply));
            else
                join(&w->trial, slm_buffer_text(&w->reply), sentence);
            SLM_TRY(grade_reply(s, slm_buffer_text(&w->trial), fold, w->trial_scores, err));
            double mean = mean_outside(s, fold, w->trial_scores, NULL);
            if (any && mean <= w->best_mean + FLOOR_GAIN) continue;
            any = true;
            chosen = w->guesses[i].candidate;
            w->best_mean = mean;
            join(&w->best, slm_buffer_text(&w->trial), "");
            memcpy(w->best_scores, w->trial_scores, s->case_count * sizeof *w->scores);
        }
    }
    /* The first sentence is taken even if it gives nothing: a floor is a reply, not silence. */
    *grown = any && (w->reply.len == 0 || w->best_mean > w->mean + FLOOR_GAIN);
    if (!*grown) return SLM_OK;
    w->used[chosen] = true;
    w->mean = w->best_mean;
    join(&w->reply, slm_buffer_text(&w->best), "");
    memcpy(w->scores, w->best_scores, s->case_count * sizeof *w->scores);
    return SLM_OK;
}

/* The best reply for the cases of `fold`, found on the others. */
static slm_status search_fold(search *s, unsigned fold, char **reply, slm_error *err)
{
    walk w = {0};
    slm_status status = SLM_OK;
    w.scores = calloc(3 * s->case_count, sizeof *w.scores);
    w.used = calloc(s->count, sizeof *w.used);
    w.guesses = calloc(s->count, sizeof *w.guesses);
    if (!w.scores || !w.used || !w.guesses) slm_out_of_memory(s->count);
    w.trial_scores = w.scores + s->case_count;
    w.best_scores = w.trial_scores + s->case_count;
    SLM_TRY_OUT(grade_reply(s, "", fold, w.scores, err));
    w.mean = mean_outside(s, fold, w.scores, NULL);
    bool grown = true;
    for (int i = 0; grown && i < FLOOR_SENTENCES; i++)
        SLM_TRY_OUT(step(s, fold, &w, &grown, err));
    *reply = slm_buffer_take(&w.reply);
out:
    slm_buffer_free(&w.reply);
    slm_buffer_free(&w.trial);
    slm_buffer_free(&w.best);
    free(w.scores);
    free(w.used);
    free(w.guesses);
    return status;
}

static slm_status grade_alone(search *s, slm_error *err)
{
    s->alone = calloc(s->count * s->case_count, sizeof *s->alone);
    if (!s->alone) slm_out_of_memory(s->count * s->case_count);
    for (size_t i = 0; i < s->count; i++) {
        SLM_TRY(
            grade_reply(s, s->candidates[i].text, FLOOR_FOLDS, s->alone + i * s->case_count, err));
        slm_progress_update(s->progress, ++s->tries, NULL);
    }
    return SLM_OK;
}

static slm_status search_folds(search *s, char **replies, bool *made, slm_error *err)
{
    char *found[FLOOR_FOLDS] = {0};
    slm_status status = SLM_OK;
    SLM_TRY(grade_alone(s, err));
    for (unsigned fold = 0; fold < FLOOR_FOLDS; fold++) {
        SLM_TRY_OUT(search_fold(s, fold, &found[fold], err));
        /* Most walks end before their last step. */
        s->tries = s->count + (fold + 1) * FLOOR_SENTENCES * FLOOR_TRIED;
        slm_progress_update(s->progress, s->tries, NULL);
    }
    *made = true;
    for (size_t i = 0; i < s->selection->count; i++) {
        replies[i] = strdup(found[s->folds[i]]);
        if (!replies[i]) slm_out_of_memory(1);
    }
out:
    for (unsigned fold = 0; fold < FLOOR_FOLDS; fold++)
        free(found[fold]);
    return status;
}

slm_status eval__floor_search(const eval__selection *selection, slm_judge *judge,
                              const slm_eval_options *options, slm_log *log, char **replies,
                              bool *made, slm_error *err)
{
    search s = {.judge = judge, .selection = selection, .options = options};
    slm_status status = SLM_OK;
    *made = false;
    size_t families = deal_folds(&s);
    collect_sentences(&s);
    size_t sentences = s.count;
    sample_candidates(&s);
    sample_cases(&s);
    if (families < 2) {
        slm_log_print(log, SLM_LOG_INFO, "no floor: it needs cases of two families at least");
        goto out;
    }
    s.progress = slm_progress_new(log, "floor", "tries",
                                  s.count + FLOOR_FOLDS * FLOOR_SENTENCES * FLOOR_TRIED, 0);
    status = search_folds(&s, replies, made, err);
    slm_progress_finish(s.progress);
    if (status == SLM_OK)
        slm_log_print(log, SLM_LOG_INFO,
                      "floor: best fixed reply from %zu of %zu sentences, tried on %zu of %zu "
                      "cases, %" PRIu64 " gradings",
                      s.count, sentences, s.case_count, selection->count, s.gradings);
out:
    for (size_t i = 0; i < s.count; i++)
        free(s.candidates[i].text);
    free(s.candidates);
    free(s.cases);
    free(s.folds);
    free(s.alone);
    free(s.table);
    return status;
}
