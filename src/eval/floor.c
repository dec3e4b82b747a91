/* floor.c: the best fixed replies that can be found, as lower bounds for what a score means.
 *
 * A reply is built from sentences of other cases (their follow-ups, advice and key points), and from
 * the replies that always ask or never do, whole and sentence by sentence. It is searched for as a
 * cheat would: greedily, adding the sentence (in front or behind) that most raises the mean score,
 * until none does. What pleases one measure need not please another, so each has a search of its
 * own: the whole score, seek, precise, safe, act, and both twins. Families are held out in 5 folds:
 * a case is given the reply found on the other folds, from their sentences, so that the floor is a
 * reply fixed before the case was seen. If one of the other fixed replies does better all the same,
 * it is taken: a floor may be too high, but not too low.
 *
 * A judge's time is what this costs, so few candidates are tried in full. The verdicts on every
 * sentence alone on every case are known from the first pass; joined to a reply, a sentence is
 * guessed to give each case the better of the two values, and only the most promising by that guess
 * are graded. Verdicts are kept by (reply, case): folds and measures often walk the same way. Large
 * sets are sampled with a fixed seed. Nothing here depends on time: the same cases and judge give
 * the same replies. */
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
    FLOOR_OF_FAMILY = 4,    /* at most, of a family, where there are more families than that */
    FLOOR_TRIED = 16,       /* sentences graded in full at each step */
    FLOOR_TRIED_RIGHT = 8,  /* the same, for a behaviour: right or not leaves less to choose from */
};
static const uint64_t FLOOR_SEED = 0x666c6f6f72; /* "floor" */
static const double FLOOR_GAIN = 1e-9;           /* less is rounding */

typedef struct candidate {
    char *text;
    unsigned folds; /* bit f: a case of fold f has it; general ones have them all */
} candidate;

/* What a reply got for a case. */
typedef struct verdicts {
    double score;
    int8_t behaviours[SLM_BEHAVIOUR_ACT + 1];
} verdicts;

typedef struct memo {
    uint64_t key; /* 0: free */
    verdicts got;
} memo;

/* Positions in the selection, those of a family together. */
typedef struct positions {
    size_t *items;
    size_t count;
} positions;

typedef struct search {
    slm_judge *judge;
    const eval__selection *selection;
    const slm_eval_options *options;
    size_t *families; /* of each case of the selection: its family's number */
    size_t family_count;
    positions all, tried; /* tried: those that replies are tried on */
    candidate *candidates;
    size_t count, cap;
    memo *table;
    size_t table_size, table_used;
    uint64_t gradings, tries;
    slm_progress *progress;
    /* Of the floor being searched. */
    const eval__floor *floor;
    bool *members; /* [selection] */
    double *alone; /* [count][tried]: the value of each sentence alone */
} search;

const eval__floor eval__floors[EVAL_FLOORS] = {
    {"floor", "baseline:floor", SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL, false},
    {"floor seek", "baseline:floor:seek", SLM_BEHAVIOUR_SEEK, SLM_STRATUM_LACKS, false},
    {"floor precise", "baseline:floor:precise", SLM_BEHAVIOUR_PRECISE, SLM_STRATUM_ENOUGH, false},
    {"floor safe", "baseline:floor:safe", SLM_BEHAVIOUR_SAFE, SLM_STRATUM_BOTH, false},
    {"floor act", "baseline:floor:act", SLM_BEHAVIOUR_ACT, SLM_STRATUM_EMERGENCY, false},
    {"floor twins", "baseline:floor:twins", SLM_BEHAVIOUR_NONE, SLM_STRATUM_BOTH, true},
};

/* ---- families, and what is counted ---- */

typedef struct family {
    uint64_t hash;
    const char *name;
    size_t position;
} family;

static int compare_families(const void *a, const void *b)
{
    const family *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

/* Numbers for the families in the order of their hash, and the positions of their cases in that
 * order. Returns how many families there are. */
static size_t number_families(const eval__selection *selection, size_t *numbers, size_t *order)
{
    size_t n = selection->count, count = 0;
    family *all = calloc(n + 1, sizeof *all);
    if (!all) slm_out_of_memory(n);
    for (size_t i = 0; i < n; i++) {
        const char *name = eval__case_at(selection, i)->family;
        all[i] = (family){.hash = slm_hash_bytes(name, strlen(name)), .name = name, .position = i};
    }
    qsort(all, n, sizeof *all, compare_families);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(all[i].name, all[i - 1].name) != 0) count++;
        numbers[all[i].position] = count - 1;
        order[i] = all[i].position;
    }
    free(all);
    return count;
}

static slm_behaviour behaviour_in(const eval__floor *floor, const slm_case *c)
{
    return floor->is_twins ? eval__twin_behaviour(c) : floor->behaviour;
}

static bool is_counted(const eval__floor *floor, const slm_judge *judge, const slm_case *c)
{
    if (!eval__in_stratum(c, floor->stratum)) return false;
    slm_behaviour behaviour = behaviour_in(floor, c);
    if (behaviour == SLM_BEHAVIOUR_NONE) return true;
    for (size_t i = 0; i < c->rubric_count; i++) {
        if (c->rubrics[i].behaviour == behaviour && slm_judge_covers(judge, c, i)) return true;
    }
    return false;
}

/* A family counts for the twins if it has both kinds, and nothing of them is left uncovered. */
static void keep_twins(const eval__selection *selection, bool *members)
{
    size_t n = selection->count;
    size_t *numbers = calloc(2 * n + 1, sizeof *numbers);
    unsigned *kinds = calloc(n + 1, sizeof *kinds);
    if (!numbers || !kinds) slm_out_of_memory(n);
    number_families(selection, numbers, numbers + n);
    for (size_t i = 0; i < n; i++) {
        const slm_case *c = eval__case_at(selection, i);
        if (!eval__in_stratum(c, SLM_STRATUM_BOTH)) continue;
        unsigned kind = eval__twin_behaviour(c) == SLM_BEHAVIOUR_SEEK ? 1 : 2;
        kinds[numbers[i]] |= members[i] ? kind : 4;
    }
    for (size_t i = 0; i < n; i++)
        members[i] = members[i] && kinds[numbers[i]] == 3;
    free(numbers);
    free(kinds);
}

size_t eval__floor_members(const eval__floor *floor, const eval__selection *selection,
                           const slm_judge *judge, bool *members)
{
    size_t count = 0;
    for (size_t i = 0; i < selection->count; i++)
        members[i] = is_counted(floor, judge, eval__case_at(selection, i));
    if (floor->is_twins) keep_twins(selection, members);
    for (size_t i = 0; i < selection->count; i++)
        count += members[i];
    return count;
}

/* Families are dealt to the folds in turn. */
static unsigned fold_of(const search *s, size_t position)
{
    return (unsigned)(s->families[position] % FLOOR_FOLDS);
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
        const slm_case *c = eval__case_at(s->selection, i);
        unsigned fold = 1u << fold_of(s, i);
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

/* Families in an order drawn with a fixed seed, a few cases of each: twins stay together, and no
 * large family takes the place of the others. */
static void sample_cases(search *s)
{
    size_t n = s->all.count, left = n < FLOOR_CASES ? n : FLOOR_CASES;
    size_t each = (FLOOR_CASES + s->family_count - 1) / s->family_count;
    if (each < FLOOR_OF_FAMILY) each = FLOOR_OF_FAMILY;
    if (left == n) each = n;
    size_t *drawn = calloc(2 * s->family_count, sizeof *drawn), *quota = drawn + s->family_count;
    s->tried.items = calloc(left, sizeof *s->tried.items);
    if (!drawn || !s->tried.items) slm_out_of_memory(n);
    for (size_t i = 0; i < s->family_count; i++)
        drawn[i] = i;
    slm_random random = slm_random_new(FLOOR_SEED, 2);
    slm_random_shuffle(&random, drawn, s->family_count, sizeof *drawn);
    for (size_t i = 0; i < n; i++)
        quota[s->families[i]]++;
    for (size_t i = 0; i < s->family_count; i++) {
        size_t *mine = &quota[drawn[i]];
        if (*mine > each) *mine = each;
        if (*mine > left) *mine = left;
        left -= *mine;
    }
    for (size_t i = 0; i < n; i++) {
        size_t *mine = &quota[s->families[s->all.items[i]]];
        if (*mine == 0) continue;
        --*mine;
        s->tried.items[s->tried.count++] = s->all.items[i];
    }
    free(drawn);
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

static uint64_t memo_key(uint64_t reply, size_t position)
{
    uint64_t words[2] = {reply, position};
    uint64_t key = slm_hash_bytes(words, sizeof words);
    return key ? key : 1;
}

static verdicts verdicts_of(const slm_case *c, const slm_grading *grading)
{
    slm_stored_grading stored = {0};
    verdicts out;
    slm_stored_grade *grades = calloc(c->rubric_count + 1, sizeof *grades);
    if (!grades) slm_out_of_memory(c->rubric_count);
    eval__to_stored(c, grading, grades, &stored);
    out.score = stored.low; /* the score itself where there is one */
    int8_t *met = calloc(c->rubric_count + 1, sizeof *met);
    if (!met) slm_out_of_memory(c->rubric_count);
    eval__met_of(c, &stored, met);
    eval__judge_behaviours(c, met, out.behaviours);
    free(met);
    free(grades);
    return out;
}

/* What the floor being searched makes of verdicts: the score, or 1 where the behaviour is right. */
static double value_of(const search *s, size_t position, const verdicts *got)
{
    slm_behaviour behaviour = behaviour_in(s->floor, eval__case_at(s->selection, position));
    return behaviour == SLM_BEHAVIOUR_NONE ? got->score : got->behaviours[behaviour] == 1;
}

/* Takes one grading that is ready and keeps it. tickets[i] belongs to position of[i]. */
static slm_status take_grading(search *s, uint64_t reply, uint64_t *tickets, size_t *of,
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
        *find_memo(s, key) =
            (memo){.key = key, .got = verdicts_of(eval__case_at(s->selection, of[i]), grading)};
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

static bool counts(const search *s, size_t position, unsigned skip)
{
    return s->members[position] && fold_of(s, position) != skip;
}

/* Values of a reply for those cases that the floor counts and of which `skip` is not the fold. */
static slm_status grade_reply(search *s, const char *reply, const positions *cases, unsigned skip,
                              double *values, slm_error *err)
{
    uint64_t tickets[EVAL_JUDGING], hash = slm_hash_bytes(reply, strlen(reply));
    size_t of[EVAL_JUDGING], pending = 0;
    for (size_t i = 0; i < cases->count; i++) {
        size_t position = cases->items[i];
        if (!counts(s, position, skip)) continue;
        grow_memo(s);
        if (find_memo(s, memo_key(hash, position))->key) continue;
        while (pending == EVAL_JUDGING)
            SLM_TRY(take_grading(s, hash, tickets, of, &pending, err));
        SLM_TRY(slm_judge_submit(s->judge, eval__case_at(s->selection, position), reply,
                                 &tickets[pending], err));
        of[pending++] = position;
        /* Room for what is pending was not made: a table half empty always has it. */
    }
    while (pending > 0)
        SLM_TRY(take_grading(s, hash, tickets, of, &pending, err));
    for (size_t i = 0; i < cases->count; i++) {
        size_t position = cases->items[i];
        values[i] = 0;
        if (counts(s, position, skip))
            values[i] = value_of(s, position, &find_memo(s, memo_key(hash, position))->got);
    }
    if (eval__stopped(s->options))
        return slm_error_set(err, SLM_ERR_CANCELLED,
                             "stopped; what came is stored, run the same command to go on");
    return SLM_OK;
}

/* ---- the greedy walk ---- */

/* The measure over the counted cases outside of `skip`, each with the better of two values (b may be
 * NULL): their mean, or the share of families in which all is right. *n: how many there are. */
static double mean_outside(const search *s, const positions *cases, unsigned skip, const double *a,
                           const double *b, size_t *n)
{
    double sum = 0;
    *n = 0;
    for (size_t i = 0; i < cases->count; i++) {
        if (!counts(s, cases->items[i], skip)) continue;
        double value = b && b[i] > a[i] ? b[i] : a[i];
        if (s->floor->is_twins) {
            /* The cases of a family stand together. */
            size_t number = s->families[cases->items[i]];
            for (; i + 1 < cases->count && s->families[cases->items[i + 1]] == number; i++) {
                double next = b && b[i + 1] > a[i + 1] ? b[i + 1] : a[i + 1];
                if (counts(s, cases->items[i + 1], skip) && next < value) value = next;
            }
        }
        sum += value;
        ++*n;
    }
    return *n ? sum / (double)*n : 0;
}

static double mean_tried(const search *s, unsigned skip, const double *a, const double *b)
{
    size_t n;
    return mean_outside(s, &s->tried, skip, a, b, &n);
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

typedef struct walk {
    slm_buffer reply, trial, best;
    double *values, *trial_values, *best_values; /* [tried] */
    double mean, best_mean;
    bool *used;
    guess *guesses;
} walk;

/* The sentences that look best beside the reply so far; returns how many. A behaviour is right or
 * not: there, a sentence that is guessed to gain nothing is not tried. */
static size_t shortlist(const search *s, unsigned fold, const walk *w, guess *out)
{
    size_t n = 0;
    bool is_score = s->floor == &eval__floors[0];
    for (size_t i = 0; i < s->count; i++) {
        if (w->used[i] || !(s->candidates[i].folds & ~(1u << fold))) continue;
        double mean = mean_tried(s, fold, w->values, s->alone + i * s->tried.count);
        if (!is_score && mean <= w->mean + FLOOR_GAIN) continue;
        out[n++] = (guess){.candidate = i, .mean = mean};
    }
    qsort(out, n, sizeof *out, compare_guesses);
    size_t most = is_score ? FLOOR_TRIED : FLOOR_TRIED_RIGHT;
    return n < most ? n : most;
}

static void join(slm_buffer *out, const char *a, const char *b)
{
    slm_buffer_truncate(out, 0);
    slm_buffer_printf(out, "%s%s%s", a, *a && *b ? " " : "", b);
}

/* One sentence more; *grown false when none helps. */
static slm_status step(search *s, unsigned fold, walk *w, bool *grown, slm_error *err)
{
    size_t n = shortlist(s, fold, w, w->guesses), chosen = 0;
    size_t bytes = s->tried.count * sizeof *w->values;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const char *sentence = s->candidates[w->guesses[i].candidate].text;
        slm_progress_update(s->progress, s->tries++, NULL);
        for (int in_front = 0; in_front < (w->reply.len ? 2 : 1); in_front++) {
            if (in_front)
                join(&w->trial, sentence, slm_buffer_text(&w->reply));
            else
                join(&w->trial, slm_buffer_text(&w->reply), sentence);
            SLM_TRY(
                grade_reply(s, slm_buffer_text(&w->trial), &s->tried, fold, w->trial_values, err));
            double mean = mean_tried(s, fold, w->trial_values, NULL);
            if (any && mean <= w->best_mean + FLOOR_GAIN) continue;
            any = true;
            chosen = w->guesses[i].candidate;
            w->best_mean = mean;
            join(&w->best, slm_buffer_text(&w->trial), "");
            memcpy(w->best_values, w->trial_values, bytes);
        }
    }
    /* The first sentence is taken even if it gives nothing: a floor is a reply, not silence. */
    *grown = any && (w->reply.len == 0 || w->best_mean > w->mean + FLOOR_GAIN);
    if (!*grown) return SLM_OK;
    w->used[chosen] = true;
    w->mean = w->best_mean;
    join(&w->reply, slm_buffer_text(&w->best), "");
    memcpy(w->values, w->best_values, bytes);
    return SLM_OK;
}

/* The best reply for the cases of `fold`, found on the others; or `instead` (may be NULL) if that is
 * better there, or the walk led nowhere. */
static slm_status search_fold(search *s, unsigned fold, const char *instead, char **reply,
                              slm_error *err)
{
    walk w = {0};
    slm_status status = SLM_OK;
    w.values = calloc(3 * s->tried.count, sizeof *w.values);
    w.used = calloc(s->count, sizeof *w.used);
    w.guesses = calloc(s->count, sizeof *w.guesses);
    if (!w.values || !w.used || !w.guesses) slm_out_of_memory(s->count);
    w.trial_values = w.values + s->tried.count;
    w.best_values = w.trial_values + s->tried.count;
    SLM_TRY_OUT(grade_reply(s, "", &s->tried, fold, w.values, err));
    double silent = w.mean = mean_tried(s, fold, w.values, NULL);
    bool grown = true;
    for (int i = 0; grown && i < FLOOR_SENTENCES; i++)
        SLM_TRY_OUT(step(s, fold, &w, &grown, err));
    if (instead) {
        SLM_TRY_OUT(grade_reply(s, instead, &s->tried, fold, w.values, err));
        double mean = mean_tried(s, fold, w.values, NULL);
        if (w.mean <= silent + FLOOR_GAIN || mean > w.mean + FLOOR_GAIN)
            join(&w.reply, instead, "");
    }
    *reply = slm_buffer_take(&w.reply);
out:
    slm_buffer_free(&w.reply);
    slm_buffer_free(&w.trial);
    slm_buffer_free(&w.best);
    free(w.values);
    free(w.used);
    free(w.guesses);
    return status;
}

static slm_status grade_alone(search *s, slm_error *err)
{
    for (size_t i = 0; i < s->count; i++) {
        SLM_TRY(grade_reply(s, s->candidates[i].text, &s->tried, FLOOR_FOLDS,
                            s->alone + i * s->tried.count, err));
        if (s->floor == &eval__floors[0]) slm_progress_update(s->progress, ++s->tries, NULL);
    }
    return SLM_OK;
}

/* ---- all floors ---- */

/* What the floor's measure is over all its cases, where fold f is given replies[f]. */
static slm_status measure_held_out(search *s, const char *const *replies, double *mean,
                                   slm_error *err)
{
    slm_status status = SLM_OK;
    size_t counted;
    positions fold = {.items = calloc(s->all.count, sizeof *fold.items)};
    double *values = calloc(2 * s->all.count, sizeof *values), *some = values + s->all.count;
    if (!values || !fold.items) slm_out_of_memory(s->all.count);
    for (unsigned f = 0; f < FLOOR_FOLDS; f++) {
        fold.count = 0;
        for (size_t i = 0; i < s->all.count; i++) {
            if (fold_of(s, s->all.items[i]) == f) fold.items[fold.count++] = s->all.items[i];
        }
        SLM_TRY_OUT(grade_reply(s, replies[f], &fold, FLOOR_FOLDS, some, err));
        for (size_t i = 0, j = 0; i < s->all.count; i++) {
            if (fold_of(s, s->all.items[i]) == f) values[i] = some[j++];
        }
    }
    *mean = mean_outside(s, &s->all, FLOOR_FOLDS, values, NULL, &counted);
out:
    free(fold.items);
    free(values);
    return status;
}

/* Of the replies found for this floor, those for the whole score, and the general ones, the best. */
static slm_status choose(search *s, char **found, char *const *whole, const char **chosen,
                         slm_error *err)
{
    double best = 0;
    for (int option = 0; option < 4; option++) {
        const char *replies[FLOOR_FOLDS];
        double mean;
        if (option == 1 && found == whole) continue;
        for (unsigned f = 0; f < FLOOR_FOLDS; f++)
            replies[f] = option == 0   ? found[f]
                         : option == 1 ? whole[f]
                         : option == 2 ? eval__always_ask
                                       : eval__never_ask;
        SLM_TRY(measure_held_out(s, replies, &mean, err));
        if (option > 0 && mean <= best + FLOOR_GAIN) continue;
        best = mean;
        memcpy(chosen, replies, sizeof replies);
    }
    return SLM_OK;
}

/* found[EVAL_FLOORS][FLOOR_FOLDS]; replies of this floor. */
static slm_status search_floor(search *s, size_t which, char **found, char **replies,
                               slm_error *err)
{
    char **mine = found + which * FLOOR_FOLDS;
    const char *chosen[FLOOR_FOLDS];
    s->floor = &eval__floors[which];
    if (eval__floor_members(s->floor, s->selection, s->judge, s->members) > 0) {
        SLM_TRY(grade_alone(s, err));
        for (unsigned fold = 0; fold < FLOOR_FOLDS; fold++) {
            SLM_TRY(search_fold(s, fold, which ? found[fold] : NULL, &mine[fold], err));
            /* Most walks end before their last step. */
            s->tries = s->count + (which * FLOOR_FOLDS + fold + 1) * FLOOR_SENTENCES * FLOOR_TRIED;
            slm_progress_update(s->progress, s->tries, NULL);
        }
        SLM_TRY(choose(s, mine, found, chosen, err));
    }
    for (size_t i = 0; i < s->selection->count; i++) {
        if (!s->members[i]) continue;
        replies[i] = strdup(chosen[fold_of(s, i)]);
        if (!replies[i]) slm_out_of_memory(1);
    }
    return SLM_OK;
}

static slm_status search_all(search *s, char **replies, slm_error *err)
{
    char *found[EVAL_FLOORS * FLOOR_FOLDS] = {0};
    slm_status status = SLM_OK;
    s->alone = calloc(s->count * s->tried.count, sizeof *s->alone);
    s->members = calloc(s->all.count, sizeof *s->members);
    if (!s->alone || !s->members) slm_out_of_memory(s->count * s->tried.count);
    for (size_t i = 0; i < EVAL_FLOORS; i++)
        SLM_TRY_OUT(search_floor(s, i, found, replies + i * s->all.count, err));
out:
    for (size_t i = 0; i < EVAL_FLOORS * FLOOR_FOLDS; i++)
        free(found[i]);
    return status;
}

slm_status eval__floor_search(const eval__selection *selection, slm_judge *judge,
                              const slm_eval_options *options, slm_log *log, char **replies,
                              bool *made, slm_error *err)
{
    size_t n = selection->count;
    search s = {.judge = judge, .selection = selection, .options = options, .all = {.count = n}};
    slm_status status = SLM_OK;
    *made = false;
    s.families = calloc(n + 1, sizeof *s.families);
    s.all.items = calloc(n + 1, sizeof *s.all.items);
    if (!s.families || !s.all.items) slm_out_of_memory(n);
    s.family_count = number_families(selection, s.families, s.all.items);
    if (s.family_count < 2) {
        slm_log_print(log, SLM_LOG_INFO, "no floor: it needs cases of two families at least");
        goto out;
    }
    collect_sentences(&s);
    size_t sentences = s.count;
    sample_candidates(&s);
    sample_cases(&s);
    s.progress = slm_progress_new(
        log, "floor", "tries",
        s.count + (uint64_t)EVAL_FLOORS * FLOOR_FOLDS * FLOOR_SENTENCES * FLOOR_TRIED, 0);
    status = search_all(&s, replies, err);
    slm_progress_finish(s.progress);
    *made = status == SLM_OK;
    if (*made)
        slm_log_print(log, SLM_LOG_INFO,
                      "floor: best fixed replies from %zu of %zu sentences, tried on %zu of %zu "
                      "cases, %" PRIu64 " gradings",
                      s.count, sentences, s.tried.count, n, s.gradings);
out:
    for (size_t i = 0; i < s.count; i++)
        free(s.candidates[i].text);
    free(s.candidates);
    free(s.tried.items);
    free(s.all.items);
    free(s.families);
    free(s.members);
    free(s.alone);
    free(s.table);
    return status;
}
