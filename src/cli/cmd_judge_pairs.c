/* cmd_judge_pairs.c: `slm judge pairs`.
 *
 * The rule judge stands on a matcher that says whether two texts ask or say the same. Here that matcher
 * is measured alone, on pairs that people have labelled: by kind, and by what a pair turns on (a
 * negation, another person, a side, a time, a medicine). */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/statistics.h"
#include "match/match.h"

typedef struct pairs_options {
    cli_shared shared;
    const char *half;
    bool wrong;
} pairs_options;

enum { NOTES_MAX = 64 };

typedef struct told {
    const char *judge;
    char hash[65];
    slm_match_hit *hits;
} told;

typedef struct pairs_measurement {
    const pairs_options *options;
    const char *path;
    slm_pairs pairs;
    slm_pairs_half half;
    const char *notes[NOTES_MAX];
    size_t note_count;
    told *rows;
    size_t count;
} pairs_measurement;

static const struct {
    const char *name;
    bool has_kind;
    slm_match_kind kind;
} kinds[] = {{"question", true, SLM_MATCH_QUESTION},
             {"statement", true, SLM_MATCH_STATEMENT},
             {"all", false, SLM_MATCH_QUESTION}};
enum { ALL = 2 };

/* ---- figures ------------------------------------------------------------------------------- */

typedef struct share {
    size_t part, whole;
} share;

typedef struct shares {
    share accuracy, sensitivity, specificity;
} shares;

static shares shares_of(const slm_pairs_tally *t)
{
    return (shares){
        .accuracy = {t->cells[0][0] + t->cells[1][1], t->pairs},
        .sensitivity = {t->cells[1][1], t->cells[1][0] + t->cells[1][1]},
        .specificity = {t->cells[0][0], t->cells[0][0] + t->cells[0][1]},
    };
}

static json_t *share_json(const share *s)
{
    if (s->whole == 0) return json_null();
    slm_interval interval = slm_statistics_binomial(s->part, s->whole, 0.95);
    return json_pack("{s:f, s:f, s:f, s:I, s:I}", "value", (double)s->part / (double)s->whole,
                     "low", interval.low, "high", interval.high, "right", (json_int_t)s->part, "of",
                     (json_int_t)s->whole);
}

static json_t *tally_json(const slm_pairs_tally *tally)
{
    shares s = shares_of(tally);
    return json_pack("{s:I, s:o, s:o, s:o}", "pairs", (json_int_t)tally->pairs, "accuracy",
                     share_json(&s.accuracy), "sensitivity", share_json(&s.sensitivity),
                     "specificity", share_json(&s.specificity));
}

static void put_share(const share *s)
{
    char text[64] = "-";
    if (s->whole > 0) {
        slm_interval interval = slm_statistics_binomial(s->part, s->whole, 0.95);
        snprintf(text, sizeof text, "%5.1f  %.0f to %.0f", 100 * (double)s->part / (double)s->whole,
                 100 * interval.low, 100 * interval.high);
    }
    printf("%-18s", text);
}

static slm_pairs_tally tally_of(const pairs_measurement *m, const told *row, size_t kind,
                                const char *note)
{
    slm_pairs_filter filter = {
        .half = m->half, .has_kind = kinds[kind].has_kind, .kind = kinds[kind].kind, .note = note};
    return slm_pairs_count(&m->pairs, row->hits, &filter);
}

/* ---- printing ------------------------------------------------------------------------------ */

static json_t *row_json(const pairs_measurement *m, const told *row)
{
    json_t *by_kind = json_object(), *by_note = json_object(), *told_of = json_array();
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        slm_pairs_tally tally = tally_of(m, row, k, NULL);
        json_object_set_new(by_kind, kinds[k].name, tally_json(&tally));
    }
    for (size_t n = 0; n < m->note_count; n++) {
        slm_pairs_tally tally = tally_of(m, row, ALL, m->notes[n]);
        json_object_set_new(by_note, m->notes[n], tally_json(&tally));
    }
    for (size_t i = 0; i < m->pairs.count; i++)
        if (slm_pair_is_in(&m->pairs.items[i], m->half))
            json_array_append_new(told_of,
                                  json_pack("{s:s, s:b, s:b, s:f, s:s}", "id", m->pairs.items[i].id,
                                            "same", row->hits[i].met, "right",
                                            row->hits[i].met == m->pairs.items[i].same, "score",
                                            row->hits[i].score, "guard",
                                            slm_match_guard_name(row->hits[i].guard)));
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "judge", row->judge, "matcher_hash", row->hash,
                     "kinds", by_kind, "notes", by_note, "told", told_of);
}

static void print_json(const pairs_measurement *m)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < m->count; i++)
        json_array_append_new(rows, row_json(m, &m->rows[i]));
    slm_pairs_tally all = tally_of(m, &m->rows[0], ALL, NULL);
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:{s:I, s:I}, s:o}", "pairs", m->path, "sha256", m->pairs.sha256,
                  "half", m->options->half, "readers", "read_twice", (json_int_t)all.read_twice,
                  "of_one_mind", (json_int_t)all.readers_agree, "matchers", rows);
    slm_buffer text = {0};
    slm_json_append_canonical(&text, out);
    puts(slm_buffer_text(&text));
    slm_buffer_free(&text);
    json_decref(out);
}

static void put_row(const char *name, const slm_pairs_tally *tally)
{
    shares s = shares_of(tally);
    printf("  %-14s%6zu  ", name, tally->pairs);
    put_share(&s.accuracy);
    put_share(&s.sensitivity);
    put_share(&s.specificity);
    putchar('\n');
}

static void print_wrong(const pairs_measurement *m, const told *row)
{
    for (size_t i = 0; i < m->pairs.count; i++) {
        const slm_pair *p = &m->pairs.items[i];
        if (!slm_pair_is_in(p, m->half) || row->hits[i].met == p->same) continue;
        const slm_match_hit *hit = &row->hits[i];
        printf("  %s (%s) %s, score %.2f%s%s\n    %s\n    %s\n", p->id, p->note,
               p->same ? "missed" : "taken for the same", hit->score,
               hit->guard != SLM_MATCH_GUARD_NONE ? ", differs in " : "",
               hit->guard != SLM_MATCH_GUARD_NONE ? slm_match_guard_name(hit->guard) : "",
               p->target, p->text);
    }
}

static void print_tables(const pairs_measurement *m)
{
    slm_pairs_tally all = tally_of(m, &m->rows[0], ALL, NULL);
    printf("%s, %s%s: %zu pairs, %zu of them the same.\n", m->path,
           strcmp(m->options->half, "all") == 0 ? "whole" : m->options->half,
           strcmp(m->options->half, "all") == 0 ? "" : " half", all.pairs,
           all.cells[1][0] + all.cells[1][1]);
    if (all.read_twice > 0)
        printf("Of %zu pairs that two read, they are of one mind on %zu.\n", all.read_twice,
               all.readers_agree);
    printf("Percent; behind each figure its exact 95%% interval.\n");
    for (size_t i = 0; i < m->count; i++) {
        const told *row = &m->rows[i];
        printf("\n%s\n  %-14s%6s  %-18s%-18s%-18s\n", row->judge, "", "pairs", "accuracy",
               "sensitivity", "specificity");
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            slm_pairs_tally tally = tally_of(m, row, k, NULL);
            if (tally.pairs > 0) put_row(kinds[k].name, &tally);
        }
        for (size_t n = 0; n < m->note_count; n++) {
            slm_pairs_tally tally = tally_of(m, row, ALL, m->notes[n]);
            if (tally.pairs > 0) put_row(m->notes[n], &tally);
        }
        if (m->options->wrong) print_wrong(m, row);
    }
}

/* ---- the command --------------------------------------------------------------------------- */

static void find_notes(pairs_measurement *m)
{
    for (size_t i = 0; i < m->pairs.count; i++) {
        const char *note = m->pairs.items[i].note;
        size_t at = 0;
        while (at < m->note_count && strcmp(m->notes[at], note) != 0)
            at++;
        if (at == m->note_count && at < NOTES_MAX) m->notes[m->note_count++] = note;
    }
}

static slm_status tell(pairs_measurement *m, cli_app *app, slm_error *err)
{
    static const char *const words[] = {"rule"};
    const slm_option_list *judges = &m->options->shared.judges;
    const char *const *names = judges->count > 0 ? judges->items : words;
    size_t count = judges->count > 0 ? judges->count : 1;
    slm_open_options open = cli__open_options(&m->options->shared);
    m->rows = slm_arena_array(&app->arena, count, sizeof *m->rows);
    for (size_t i = 0; i < count; i++) {
        told *row = &m->rows[i];
        slm_matcher *matcher = NULL;
        SLM_TRY(slm_open_matcher(names[i], &open, &matcher, err));
        row->judge = names[i];
        memcpy(row->hash, slm_matcher_identity(matcher), sizeof row->hash);
        row->hits = slm_arena_array(&app->arena, m->pairs.count, sizeof *row->hits);
        slm_status status = slm_pairs_tell(&m->pairs, matcher, row->hits, err);
        slm_matcher_free(matcher);
        if (status != SLM_OK) return status;
        m->count++;
    }
    return SLM_OK;
}

static int run_pairs(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    pairs_measurement m = {.options = options_in, .path = arguments->items[0]};
    m.half = strcmp(m.options->half, "fit") == 0    ? SLM_PAIRS_FIT
             : strcmp(m.options->half, "held") == 0 ? SLM_PAIRS_HELD
                                                    : SLM_PAIRS_ALL;
    slm_error error;
    slm_status status = slm_pairs_load(m.path, &m.pairs, &error);
    if (status == SLM_OK) status = tell(&m, app, &error);
    if (status == SLM_OK) {
        find_notes(&m);
        if (m.options->shared.json)
            print_json(&m);
        else
            print_tables(&m);
        fflush(stdout);
    }
    slm_pairs_free(&m.pairs);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option pairs_table[] = {
    {.name = "judge",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(pairs_options, shared.judges),
     .value_name = "JUDGE",
     .help = "whose matcher: rule (the default), or rule+ENCODER; may be given several times",
     .group = "Pairs"},
    {.name = "half",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(pairs_options, half),
     .choices = "held|fit|all",
     .value_name = "HALF",
     .default_text = "held",
     .help = "which pairs: thresholds were chosen on `fit`, so `held` is what counts"},
    {.name = "wrong",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(pairs_options, wrong),
     .help = "list the pairs that are told wrong"},
    {.name = NULL},
};

const slm_command cli_command_judge_pairs = {
    .name = "judge pairs",
    .usage = "PAIRS.jsonl [--judge rule+ENCODER]",
    .summary = "how well the rule judge's matcher tells what is the same question",
    .description =
        "Reads pairs that people have labelled the same or not (a question and a follow-up that is "
        "wanted, a sentence and a key point), lets the matcher of each JUDGE tell, and prints "
        "accuracy, sensitivity and specificity by kind and by what a pair turns on. A row is "
        "{\"kind\": \"question\" or \"statement\", \"target\", \"text\", \"label\", \"note\", "
        "\"half\"}.",
    .example =
        "# words alone, and words with sentence vectors, on the pairs no threshold has seen\n"
        "slm judge pairs tests/match/pairs.jsonl --judge rule --judge "
        "rule+models/all-MiniLM-L6-v2",
    .tables = {pairs_table, cli_machine_options, cli_json_options, cli_common_options},
    .options_bytes = sizeof(pairs_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_pairs,
};
