/* cmd_judge.c: `slm judge`, `slm judge export`, `slm judge import`.
 *
 * A judge is worth what its verdicts are worth, so it is measured like anything else: on answers that
 * somebody graded before. Labels come from a file, or from another judge's gradings in a results
 * database; verdicts are kept in that database, so a measurement that was stopped goes on where it
 * was, and what `slm eval` asked is not asked again. The figures are stored beside them, for reports.
 *
 * A sheet lets a person be that other judge: answers go out as CSV without the models' names, and
 * come back as gradings by human:NAME. */
#include "cli/cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "eval/eval.h"
#include "judge/judge.h"
#include "store/store.h"

typedef struct judge_options {
    cli_shared shared;
    const char *labels, *against, *db, *half;
    slm_option_list tags_from, cases;
    int64_t n, sample_seed;
} judge_options;

/* One row of the tables: a judge, or several. */
typedef struct measured {
    const char *name, *hash; /* hash NULL: nobody's of whom the database knows */
    const slm_verdict *verdicts;
    slm_agreement agreement;
} measured;

typedef struct measurement {
    cli_app *app;
    const judge_options *options;
    slm_store *store;
    slm_labels labels;
    slm_judge *judge;      /* those that are asked now; NULL: none */
    slm_verdict *verdicts; /* a row of labels.criteria for each of `rows` */
    measured *rows;
    size_t count;
    slm_agreement labellers; /* criteria 0: nobody labelled what another did */
    slm_error first_error;
} measurement;

/* ---- measuring ----------------------------------------------------------------------------- */

/* A judge whose gradings are in the database already. */
static const char *stored_name(const char *judge)
{
    static const char prefix[] = "stored:";
    if (strncmp(judge, prefix, strlen(prefix)) == 0) return judge + strlen(prefix);
    return strncmp(judge, "human:", 6) == 0 ? judge : NULL;
}

static slm_status check_judge_options(const judge_options *options, const slm_option_list *judges,
                                      slm_error *err)
{
    if ((options->labels == NULL) == (options->against == NULL))
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "measured against what? Give --labels FILE, or --against JUDGE for the "
            "gradings of a judge in --db");
    if (options->tags_from.count + options->cases.count > 0 && options->labels == NULL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--tags-from and --cases go with --labels; a database has its cases");
    for (size_t i = 0; i < judges->count; i++)
        if (stored_name(judges->items[i]) != NULL && options->labels != NULL)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "%s has graded answers in a database, not those of --labels; "
                                 "compare it by --against",
                                 judges->items[i]);
    return SLM_OK;
}

static slm_status load_labels(measurement *m, slm_error *err)
{
    const judge_options *o = m->options;
    if (o->against != NULL) {
        SLM_TRY(slm_labels_from_store(m->store, o->against, &m->labels, err));
    } else {
        slm_cases cases = {0};
        slm_cases_options all = {0};
        size_t count = o->cases.count + o->tags_from.count;
        const char **paths = slm_arena_array(&m->app->arena, count + 1, sizeof *paths);
        for (size_t i = 0; i < count; i++)
            paths[i] =
                i < o->cases.count ? o->cases.items[i] : o->tags_from.items[i - o->cases.count];
        if (count > 0) SLM_TRY(slm_cases_load(paths, count, &all, NULL, NULL, &cases, err));
        slm_status status = slm_labels_load(o->labels, count > 0 ? &cases : NULL, &m->labels, err);
        slm_cases_free(&cases);
        if (status != SLM_OK) return status;
        if (strcmp(o->half, "all") != 0) slm_labels_keep_half(&m->labels, o->half);
        if (m->labels.count == 0)
            return slm_error_set(err, SLM_ERR_NOT_FOUND, "%s: has no answer of the %s half",
                                 o->labels, o->half);
    }
    if (o->n > 0) slm_labels_sample(&m->labels, (size_t)o->n, (uint64_t)o->sample_seed);
    return SLM_OK;
}

static measured *add_row(measurement *m, const char *name, const char *hash)
{
    measured *row = &m->rows[m->count];
    row->name = name;
    row->hash = hash;
    row->verdicts = m->verdicts + m->count * m->labels.criteria;
    m->count++;
    return row;
}

/* What the MODELs will be asked, said before they are. Verdicts that the database has come off this. */
static slm_status announce(measurement *m, const slm_option_list *live, slm_error *err)
{
    enum { TEMPLATE_BYTES = 1600 }; /* slm's own; another one is of that order */
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->labels.count; i++) {
        const slm_labelled *item = &m->labels.items[i];
        uint64_t conversation = strlen(item->reply) + TEMPLATE_BYTES;
        for (size_t t = 0; t < item->c.turn_count; t++)
            conversation += strlen(item->c.turns[t].content);
        for (size_t r = 0; r < item->c.rubric_count; r++)
            bytes += conversation + strlen(item->c.rubrics[r].criterion);
    }
    for (size_t i = 0; i < live->count; i++)
        SLM_TRY(cli__remote_announce(m->app, live->items[i], m->labels.criteria, bytes,
                                     m->options->shared.judge_max_tokens, err));
    return SLM_OK;
}

/* Those that are asked: each a row, in the order of the command. */
static slm_status ask_judges(measurement *m, const slm_option_list *live, slm_error *err)
{
    cli_app *app = m->app;
    size_t n = m->labels.criteria;
    cli_shared shared = m->options->shared;
    shared.judges = *live;
    SLM_TRY(cli__open_judges(app, &shared, NULL, &m->judge, err));
    slm_judge *judge = m->judge;
    slm_judge_use_store(judge, m->store);
    SLM_TRY(slm_store_put_judge(m->store, judge->identity, judge->name, err));
    for (size_t i = 0; i < judge->member_count; i++)
        SLM_TRY(slm_store_put_judge(m->store, judge->members[i]->identity, judge->members[i]->name,
                                    err));
    slm_verdict *all = calloc((judge->member_count + 1) * n + 1, sizeof *all);
    if (all == NULL) slm_out_of_memory(n * sizeof *all);
    slm_status status =
        slm_labels_grade(&m->labels, judge, &app->log, &cli_interrupted, all, &m->first_error, err);
    if (status == SLM_OK) {
        size_t rows = judge->member_count > 0 ? judge->member_count : 1;
        memcpy(m->verdicts + m->count * n, judge->member_count > 0 ? all + n : all,
               rows * n * sizeof *all);
        for (size_t i = 0; i < rows; i++) {
            const slm_judge *one = judge->member_count > 0 ? judge->members[i] : judge;
            add_row(m, one->name, one->identity);
        }
    }
    free(all);
    cli__log_judge(app, judge);
    return status;
}

static slm_status measure(measurement *m, const slm_option_list *judges, slm_error *err)
{
    cli_app *app = m->app;
    size_t n = m->labels.criteria, live_count = 0;
    m->verdicts = calloc((judges->count + 1) * n + 1, sizeof *m->verdicts);
    if (m->verdicts == NULL) slm_out_of_memory(n * sizeof *m->verdicts);
    m->rows = slm_arena_array(&app->arena, judges->count + 1, sizeof *m->rows);
    slm_option_list live = {.items =
                                slm_arena_array(&app->arena, judges->count + 1, sizeof(char *))};
    for (size_t i = 0; i < judges->count; i++)
        if (stored_name(judges->items[i]) == NULL) live.items[live.count++] = judges->items[i];
    live_count = live.count;
    SLM_TRY(announce(m, &live, err));
    if (app->remote.dry_run) return SLM_OK;
    if (live_count > 0) SLM_TRY(ask_judges(m, &live, err));
    for (size_t i = 0; i < judges->count; i++) {
        const char *stored = stored_name(judges->items[i]);
        if (stored == NULL) continue;
        char *hash = slm_arena_alloc(&app->arena, SLM_SHA256_HEX_BYTES);
        SLM_TRY(slm_labels_stored_verdicts(&m->labels, m->store, stored, hash,
                                           m->verdicts + m->count * n, err));
        add_row(m, stored, hash);
    }
    if (m->count > 1) {
        slm_verdict *votes = calloc(m->count, sizeof *votes);
        if (votes == NULL) slm_out_of_memory(m->count);
        for (size_t c = 0; c < n; c++) {
            for (size_t i = 0; i < m->count; i++)
                votes[i] = m->rows[i].verdicts[c];
            m->verdicts[m->count * n + c] = slm_jury_vote(votes, m->count);
        }
        free(votes);
        bool is_known = live_count == m->count;
        add_row(m, "jury", is_known ? m->judge->identity : NULL);
    }
    for (size_t i = 0; i < m->count; i++)
        m->rows[i].agreement = slm_agreement_of(&m->labels, m->rows[i].verdicts, NULL);
    m->labellers = slm_agreement_of_labellers(&m->labels, NULL);
    return SLM_OK;
}

/* For reports: each judge's figures, by what they were measured on. */
static slm_status store_agreements(const measurement *m, slm_error *err)
{
    for (size_t i = 0; i < m->count; i++) {
        const measured *row = &m->rows[i];
        if (row->hash == NULL) continue;
        json_t *json = slm_agreement_kinds_json(&m->labels, row->verdicts);
        slm_buffer text = {0};
        slm_json_append_canonical(&text, json);
        slm_status status = slm_store_put_agreement(m->store, row->hash, m->labels.sha256,
                                                    m->labels.name, slm_buffer_text(&text), err);
        slm_buffer_free(&text);
        json_decref(json);
        if (status != SLM_OK) return status;
    }
    return SLM_OK;
}

/* ---- as JSON ------------------------------------------------------------------------------- */

static void count_labels(const slm_labels *labels, uint64_t *met, uint64_t *not_met)
{
    *met = *not_met = 0;
    for (size_t i = 0; i < labels->count; i++) {
        for (size_t r = 0; r < labels->items[i].c.rubric_count; r++) {
            *met += labels->items[i].labels[r].met;
            *not_met += labels->items[i].labels[r].not_met;
        }
    }
}

static json_t *row_json(const measurement *m, const measured *row, const char **tags,
                        size_t tag_count)
{
    json_t *by_tag = json_object();
    for (size_t t = 0; t < tag_count; t++) {
        slm_agreement one = slm_agreement_of(&m->labels, row->verdicts, tags[t]);
        json_object_set_new(by_tag, tags[t], slm_agreement_json(&one));
    }
    json_t *out = json_pack("{s:s, s:o, s:o}", "judge", row->name, "agreement",
                            slm_agreement_json(&row->agreement), "tags", by_tag);
    if (row->hash != NULL) json_object_set_new(out, "hash", json_string(row->hash));
    return out;
}

static json_t *pairs_json(const measurement *m)
{
    json_t *pairs = json_array();
    size_t judges = m->count > 1 ? m->count - 1 : m->count; /* the vote is nobody of its own */
    for (size_t i = 0; i < judges; i++) {
        for (size_t k = i + 1; k < judges; k++) {
            slm_agreement both =
                slm_agreement_between(&m->labels, m->rows[i].verdicts, m->rows[k].verdicts);
            json_array_append_new(pairs, json_pack("{s:s, s:s, s:o}", "first", m->rows[i].name,
                                                   "second", m->rows[k].name, "agreement",
                                                   slm_agreement_json(&both)));
        }
    }
    return pairs;
}

static void print_json(const measurement *m, const char **tags, size_t tag_count)
{
    uint64_t met, not_met;
    count_labels(&m->labels, &met, &not_met);
    json_t *judges = json_array();
    for (size_t i = 0; i < m->count; i++)
        json_array_append_new(judges, row_json(m, &m->rows[i], tags, tag_count));
    json_t *out = json_pack(
        "{s:{s:s, s:s, s:I, s:I, s:I, s:I, s:I}, s:o, s:o}", "labels", "name", m->labels.name,
        "sha256", m->labels.sha256, "answers", (json_int_t)m->labels.count, "prompts",
        (json_int_t)m->labels.prompt_count, "criteria", (json_int_t)m->labels.criteria, "met",
        (json_int_t)met, "not_met", (json_int_t)not_met, "judges", judges, "pairs", pairs_json(m));
    if (m->labellers.criteria > 0)
        json_object_set_new(out, "labellers", slm_agreement_json(&m->labellers));
    slm_buffer text = {0};
    slm_json_append_canonical(&text, out);
    puts(slm_buffer_text(&text));
    slm_buffer_free(&text);
    json_decref(out);
}

/* ---- as tables ----------------------------------------------------------------------------- */

enum { NAME_COLUMNS = 22, FIGURE_COLUMNS = 12, KAPPA_COLUMNS = 18, TAGS_SHOWN = 80 };

/* At most `columns` of a name that cannot move the cursor; returns how many it took. */
static size_t append_name(slm_buffer *out, const char *name, size_t columns)
{
    size_t taken = 0;
    for (size_t at = 0, len = strlen(name); at < len;) {
        uint32_t c = 0;
        size_t used = slm_utf8_decode(name + at, len - at, &c);
        bool is_unsafe = c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xfffd ||
                         (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
                         (c >= 0x2066 && c <= 0x2069);
        size_t wide = is_unsafe ? 1 : slm_utf8_columns(name + at, used);
        if (taken + wide > columns) break;
        if (is_unsafe)
            slm_buffer_append_char(out, '?');
        else
            slm_buffer_append(out, name + at, used);
        taken += wide;
        at += used;
    }
    return taken;
}

/* The name, then blanks up to `columns`. */
static void put_name(const char *name, size_t columns)
{
    slm_buffer text = {0};
    size_t taken = append_name(&text, name, columns - 2);
    printf("%s%*s", slm_buffer_text(&text), (int)(columns - taken), "");
    slm_buffer_free(&text);
}

/* "84.2 83–86" in percent, "0.61 0.58–0.64" else; "-" for what is not defined. */
static void put_figure(const slm_agreement_figure *figure, bool is_percent)
{
    char text[64] = "-";
    double by = is_percent ? 100 : 1;
    size_t len = 1;
    if (!isnan(figure->value))
        len = (size_t)snprintf(text, sizeof text, "%.*f", is_percent ? 1 : 2, by * figure->value);
    if (!isnan(figure->value) && !isnan(figure->interval.low))
        snprintf(text + len, sizeof text - len, " %.*f–%.*f", is_percent ? 0 : 2,
                 by * figure->interval.low, is_percent ? 0 : 2, by * figure->interval.high);
    size_t width = is_percent ? FIGURE_COLUMNS : KAPPA_COLUMNS;
    size_t taken = slm_utf8_columns(text, strlen(text));
    printf("%s%*s", text, taken < width ? (int)(width - taken) : 1, "");
}

static void put_figures(const slm_agreement *a)
{
    put_figure(&a->kappa, false);
    put_figure(&a->macro_f1, true);
    put_figure(&a->balanced_accuracy, true);
    put_figure(&a->accuracy, true);
}

static void put_row(const char *name, const slm_agreement *a)
{
    put_name(name, NAME_COLUMNS);
    put_figures(a);
    printf("%7zu%s\n", a->unscored, a->not_covered > 0 ? "+" : "");
}

static void put_heads(void)
{
    printf("%-*s%-*s%-*s%-*s", KAPPA_COLUMNS, "kappa", FIGURE_COLUMNS, "macro-F1", FIGURE_COLUMNS,
           "balanced", FIGURE_COLUMNS, "accuracy");
}

static void put_head(const char *first)
{
    put_name(first, NAME_COLUMNS);
    put_heads();
    puts("unscored");
}

/* Tags are long and stand behind their figures. */
static void put_tags(const measurement *m, const measured *row, const char **tags, size_t count)
{
    slm_buffer text = {0};
    append_name(&text, row->name, 60);
    printf("\nBy tag, %s\n", slm_buffer_text(&text));
    put_heads();
    puts("criteria  tag");
    for (size_t t = 0; t < count && t < TAGS_SHOWN; t++) {
        slm_agreement one = slm_agreement_of(&m->labels, row->verdicts, tags[t]);
        slm_buffer_truncate(&text, 0);
        append_name(&text, tags[t], 160);
        put_figures(&one);
        printf("%8zu  %s\n", one.criteria, slm_buffer_text(&text));
    }
    if (count > TAGS_SHOWN)
        printf("and %zu more tags (--json has all, for every judge)\n", count - TAGS_SHOWN);
    slm_buffer_free(&text);
}

/* What a judge gets that says the commoner thing every time. */
static void put_guess(const measurement *m, uint64_t met, uint64_t not_met)
{
    slm_verdict *same = calloc(m->labels.criteria + 1, sizeof *same);
    if (same == NULL) slm_out_of_memory(m->labels.criteria);
    for (size_t i = 0; i < m->labels.criteria; i++)
        same[i] = met > not_met ? SLM_VERDICT_MET : SLM_VERDICT_NOT_MET;
    slm_agreement guess = slm_agreement_of(&m->labels, same, NULL);
    put_row(met > not_met ? "(always met)" : "(always not met)", &guess);
    free(same);
}

static void put_confusion(const measured *row)
{
    const slm_agreement *a = &row->agreement;
    put_name(row->name, NAME_COLUMNS);
    printf("%10s%10s\n", "met", "not met");
    printf("%-*s%10" PRIu64 "%10" PRIu64 "\n", NAME_COLUMNS, "  label met", a->cells[1][1],
           a->cells[1][0]);
    printf("%-*s%10" PRIu64 "%10" PRIu64 "\n", NAME_COLUMNS, "  label not met", a->cells[0][1],
           a->cells[0][0]);
}

static void put_pairs(const measurement *m)
{
    size_t judges = m->count - 1;
    size_t same = 0, voted = 0;
    for (size_t c = 0; c < m->labels.criteria; c++) {
        size_t met = 0, not_met = 0;
        for (size_t i = 0; i < judges; i++) {
            met += m->rows[i].verdicts[c] == SLM_VERDICT_MET;
            not_met += m->rows[i].verdicts[c] == SLM_VERDICT_NOT_MET;
        }
        if (met + not_met < 2) continue;
        voted++;
        same += met == 0 || not_met == 0;
    }
    printf("\nThe judges are of one mind on %zu of %zu criteria that two or more of them scored.\n",
           same, voted);
    put_head("Two by two");
    for (size_t i = 0; i < judges; i++) {
        for (size_t k = i + 1; k < judges; k++) {
            slm_agreement both =
                slm_agreement_between(&m->labels, m->rows[i].verdicts, m->rows[k].verdicts);
            slm_buffer name = {0};
            slm_buffer_printf(&name, "%.10s, %.10s", m->rows[i].name, m->rows[k].name);
            put_row(slm_buffer_text(&name), &both);
            slm_buffer_free(&name);
        }
    }
}

/* What each judge sees and what it misses, by what is asked of an answer. */
static void put_kinds(const measurement *m)
{
    bool any = false, any_bad = false;
    for (size_t i = 0; i < m->count; i++) {
        for (slm_behaviour b = SLM_BEHAVIOUR_SEEK; b <= SLM_BEHAVIOUR_ACT; b++) {
            slm_agreement one = slm_agreement_of_behaviour(&m->labels, m->rows[i].verdicts, b);
            if (one.criteria == 0) continue;
            if (!any)
                printf("\n%-*s%-10s%-*s%-*s%-*s%8s\n", NAME_COLUMNS, "By behaviour", "",
                       KAPPA_COLUMNS, "kappa", FIGURE_COLUMNS + 2, "sensitivity",
                       FIGURE_COLUMNS + 2, "specificity", "criteria");
            any = true;
            put_name(m->rows[i].name, NAME_COLUMNS);
            printf("%-10s", slm_behaviour_name(b));
            put_figure(&one.kappa, false);
            put_figure(&one.sensitivity, true);
            printf("  ");
            put_figure(&one.specificity, true);
            bool is_bad = !(one.kappa.value >= SLM_KAPPA_VALID); /* also where it is not defined */
            printf("  %8zu%s\n", one.criteria, is_bad ? "  not validated" : "");
            any_bad |= is_bad;
        }
    }
    if (any_bad)
        printf("Not validated: a kappa below %.1f; such a figure is no headline.\n",
               SLM_KAPPA_VALID);
}

static void print_tables(const measurement *m, const char **tags, size_t tag_count)
{
    uint64_t met, not_met;
    count_labels(&m->labels, &met, &not_met);
    const measured *last = &m->rows[m->count - 1];
    printf("%s: %zu criteria of %zu answers to %zu prompts; %.1f%% of the labels say met.\n"
           "Percent but for kappa; behind each figure its 95%% interval, over prompts.\n\n",
           m->labels.name, m->labels.criteria, m->labels.count, m->labels.prompt_count,
           100 * (double)met / (double)(met + not_met));
    put_head("Judge");
    bool has_uncovered = false;
    for (size_t i = 0; i < m->count; i++) {
        put_row(m->rows[i].name, &m->rows[i].agreement);
        has_uncovered |= m->rows[i].agreement.not_covered > 0;
    }
    if (m->labellers.criteria > 0) put_row("(labeller with labeller)", &m->labellers);
    put_guess(m, met, not_met);
    for (size_t i = 0; has_uncovered && i < m->count; i++)
        if (m->rows[i].agreement.not_covered > 0)
            printf("+ %s does not grade %zu of these criteria.\n", m->rows[i].name,
                   m->rows[i].agreement.not_covered);
    printf("\n%-*s%20s\n", NAME_COLUMNS, "Verdicts", "the judge's");
    for (size_t i = 0; i < m->count; i++)
        put_confusion(&m->rows[i]);
    if (m->count > 1) put_pairs(m);
    put_kinds(m);
    if (tag_count == 0) return;
    put_tags(m, last, tags, tag_count);
}

/* ---- slm judge ----------------------------------------------------------------------------- */

static slm_status judge_all(measurement *m, const slm_option_list *judges, slm_error *err)
{
    SLM_TRY(check_judge_options(m->options, judges, err));
    SLM_TRY(cli__remote_start(m->app, &m->options->shared, judges->items, judges->count, err));
    /* A dry run makes nothing. */
    bool dry_run = m->app->remote.dry_run;
    if (!dry_run || m->options->against != NULL)
        SLM_TRY(slm_store_open(m->options->db, dry_run, &m->store, err));
    SLM_TRY(load_labels(m, err));
    slm_log_print(&m->app->log, SLM_LOG_INFO, "%s: %zu labelled criteria of %zu answers",
                  m->labels.name, m->labels.criteria, m->labels.count);
    SLM_TRY(measure(m, judges, err));
    if (dry_run) return SLM_OK;
    SLM_TRY(store_agreements(m, err));
    size_t tag_count = 0;
    const char **tags = slm_labels_tags(&m->labels, &m->app->arena, &tag_count);
    if (m->options->shared.json)
        print_json(m, tags, tag_count);
    else
        print_tables(m, tags, tag_count);
    fflush(stdout);
    if (m->first_error.status != SLM_OK)
        slm_log_print(&m->app->log, SLM_LOG_WARNING,
                      "some criteria are unscored, the first since %s; run again to ask again",
                      m->first_error.message);
    return SLM_OK;
}

static int run_judge(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    measurement m = {.app = app, .options = options_in};
    slm_error error;
    cli__catch_interrupts(true);
    slm_status status = judge_all(&m, arguments, &error);
    slm_judge_free(m.judge);
    cli__remote_finish(app);
    slm_labels_free(&m.labels);
    free(m.verdicts);
    slm_store_close(m.store);
    if (status == SLM_ERR_CANCELLED) {
        slm_log_print(&app->log, SLM_LOG_WARNING,
                      "stopped; verdicts so far are in %s, and the same command goes on from there",
                      m.options->db);
        return CLI_FAILED;
    }
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option judge_table[] = {
    {.name = "labels",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(judge_options, labels),
     .value_name = "FILE",
     .help = "answers with a verdict for each criterion, or HealthBench's meta-evaluation",
     .group = "Measuring"},
    {.name = "against",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(judge_options, against),
     .value_name = "JUDGE",
     .help = "instead: the gradings of this judge in --db (human:NAME, a name, or a hash)"},
    {.name = "n",
     .type = SLM_OPTION_INT,
     .offset = offsetof(judge_options, n),
     .min = 0,
     .max = 1000000000,
     .value_name = "N",
     .default_text = "0",
     .help = "only N criteria, drawn at random; 0 takes all"},
    {.name = "sample-seed",
     .type = SLM_OPTION_INT,
     .offset = offsetof(judge_options, sample_seed),
     .min = 0,
     .max = 9007199254740991.0,
     .value_name = "N",
     .default_text = "0",
     .help = "which ones are drawn"},
    {.name = "half",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(judge_options, half),
     .choices = "held|fit|all",
     .value_name = "HALF",
     .default_text = "held",
     .help = "of labels that have halves: thresholds were chosen on `fit`, so `held` counts"},
    {.name = "cases",
     .type = SLM_OPTION_FILES,
     .offset = offsetof(judge_options, cases),
     .value_name = "FILE",
     .help = "the cases that labelled answers name by their ids"},
    {.name = "tags-from",
     .type = SLM_OPTION_FILES,
     .offset = offsetof(judge_options, tags_from),
     .value_name = "FILE",
     .help = "cases whose tags go to the labelled criteria of the same prompt and text"},
    {.name = "db",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(judge_options, db),
     .value_name = "FILE",
     .default_text = "results.db",
     .help = "the results database, where verdicts are kept; made if it is not there"},
    {.name = NULL},
};

const slm_command cli_command_judge = {
    .name = "judge",
    .usage = "JUDGE... --labels FILE",
    .summary = "how far a judge agrees with labels",
    .description =
        "Lets each JUDGE grade what others graded before, and prints how far they agree: Cohen's "
        "kappa, macro-F1, balanced accuracy and accuracy with their intervals, the confusion, and "
        "the same by tag. A JUDGE is rule, rule+ENCODER, a MODEL, or on a database human:NAME or "
        "stored:NAME for "
        "gradings that are in it. Several are measured one by one, with each other, and as a jury "
        "that votes.\n\n"
        "A judge's failure is no verdict: it is counted as unscored. Verdicts are kept in the "
        "database, so running again asks only what is missing.",
    .example = "# a local model against physicians' labels, 300 verdicts\n"
               "slm judge model.gguf --labels oss_meta_eval.jsonl --n 300\n"
               "# the judge of an evaluation against a clinician's sheet\n"
               "slm judge stored:gpt-4.1 --db results.db --against human:ann\n"
               "# the rule judge on answers that two readers labelled\n"
               "slm judge rule --labels data/validation/answers.jsonl --cases "
               "data/ask-first/test.jsonl",
    .tables = {judge_table, cli_judge_options, cli_machine_options, cli_remote_options,
               cli_json_options, cli_common_options},
    .options_bytes = sizeof(judge_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_judge,
};

/* ---- slm judge export ---------------------------------------------------------------------- */

typedef struct sheet_options {
    cli_shared shared;
    const char *db, *output, *judge;
    int64_t n, seed;
    bool blind;
} sheet_options;

static int run_sheet_export(void *context, const void *options_in, const slm_option_list *arguments)
{
    (void)arguments;
    cli_app *app = context;
    const sheet_options *options = options_in;
    slm_sheet_options sheet = {
        .n = (size_t)options->n, .seed = (uint64_t)options->seed, .blind = options->blind};
    slm_store *store = NULL;
    cli_output out = {0};
    size_t answers = 0, arms = 0;
    slm_error error;
    slm_status status;
    SLM_TRY_OUT(slm_store_open(options->db, true, &store, &error));
    SLM_TRY_OUT(cli__output_open(options->output, &out, &error));
    SLM_TRY_OUT(slm_sheet_export(store, &sheet, out.stream, &answers, &arms, &error));
    status = cli__output_commit(&out, &app->log, &error);
    if (status == SLM_OK)
        slm_log_print(&app->log, SLM_LOG_INFO,
                      "%zu answers of %zu arms; write yes or no into `holds` where the criterion "
                      "holds for the reply or does not, also where that is bad, and leave it empty "
                      "where it cannot be said; then slm judge import FILE --db %s --judge "
                      "human:NAME",
                      answers, arms, options->db);
out:
    cli__output_abort(&out);
    slm_store_close(store);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option export_table[] = {
    {.name = "db",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(sheet_options, db),
     .value_name = "FILE",
     .default_text = "results.db",
     .help = "the results database",
     .group = "Sheet"},
    {.name = "n",
     .type = SLM_OPTION_INT,
     .offset = offsetof(sheet_options, n),
     .min = 1,
     .max = 100000,
     .value_name = "N",
     .default_text = "60",
     .help = "answers, in equal parts from each arm and each kind of case"},
    {.name = "blind",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(sheet_options, blind),
     .help = "leave out which model gave an answer"},
    {.name = "seed",
     .type = SLM_OPTION_INT,
     .offset = offsetof(sheet_options, seed),
     .min = 0,
     .max = 9007199254740991.0,
     .value_name = "N",
     .default_text = "0",
     .help = "another seed draws other answers"},
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(sheet_options, output),
     .value_name = "FILE",
     .help = "write to FILE and not to stdout"},
    {.name = NULL},
};

const slm_command cli_command_judge_export = {
    .name = "judge export",
    .usage = "[--db FILE] -o SHEET.csv",
    .summary = "answers as a spreadsheet for a person to grade",
    .description = "Writes CSV with a row for each criterion of N answers. A person opens it in "
                   "any spreadsheet program, fills in the column `holds` with yes or no, and saves "
                   "it as CSV. Rows may be sorted and columns moved; only the ids must stay.",
    .example = "# sixty answers for a clinician, who is not told whose they are\n"
               "slm judge export --db results.db --blind --n 60 -o sheet.csv",
    .tables = {export_table, cli_common_options},
    .options_bytes = sizeof(sheet_options),
    .run = run_sheet_export,
};

/* ---- slm judge import ---------------------------------------------------------------------- */

typedef struct sheet_import {
    cli_app *app;
    slm_store *store;
    const char *judge;
    char hash[SLM_SHA256_HEX_BYTES];
    const char *covered_set; /* the set whose coverage was stored last */
    size_t answers, verdicts;
} sheet_import;

static void on_problem(void *context, const slm_error *problem)
{
    sheet_import *im = context;
    slm_log_print(&im->app->log, SLM_LOG_ERROR, "%s", problem->message);
}

typedef struct set_size {
    sheet_import *im;
    slm_arena arena;
    slm_coverage coverage;
    slm_status status;
    slm_error *err;
} set_size;

static bool count_case(void *context, const char *case_id, const char *family, size_t position,
                       const char *json)
{
    set_size *s = context;
    slm_case c;
    (void)case_id, (void)family;
    slm_arena_reset(&s->arena);
    s->status =
        slm_case_parse(json, "the database's copy of a case", position + 1, &s->arena, &c, s->err);
    if (s->status != SLM_OK) return false;
    s->coverage.cases++;
    s->coverage.criteria += c.rubric_count;
    return true;
}

/* A person can grade every criterion of the set, whatever the sheet asked for. */
static slm_status put_human(sheet_import *im, const char *set, slm_error *err)
{
    set_size size = {.im = im, .err = err};
    slm_status status = slm_store_cases(im->store, set, count_case, &size, err);
    slm_arena_free(&size.arena);
    if (status == SLM_OK) status = size.status;
    if (status != SLM_OK) return status;
    slm_buffer text = {0};
    slm_buffer_printf(&text,
                      "{\"cases\":%zu,\"cases_covered\":%zu,\"criteria\":%zu,"
                      "\"criteria_covered\":%zu,\"judge\":{\"kind\":\"human\"}}",
                      size.coverage.cases, size.coverage.cases, size.coverage.criteria,
                      size.coverage.criteria);
    status = slm_store_put_coverage(im->store, im->hash, set, slm_buffer_text(&text), err);
    slm_buffer_free(&text);
    return status;
}

static slm_status on_answer(void *context, const char *run, const char *set, const slm_case *c,
                            int64_t rollout, const slm_grading *grading, slm_error *err)
{
    sheet_import *im = context;
    if (im->covered_set == NULL || strcmp(im->covered_set, set) != 0) {
        SLM_TRY(put_human(im, set, err));
        im->covered_set = slm_arena_strdup(&im->app->arena, set);
    }
    SLM_TRY(slm_eval_put_grading(im->store, run, c, rollout, im->hash, grading, err));
    im->answers++;
    for (size_t i = 0; i < grading->count; i++)
        im->verdicts += grading->grades[i].verdict != SLM_VERDICT_UNSCORED;
    return SLM_OK;
}

static slm_status import_sheet(sheet_import *im, const char *path, slm_error *err)
{
    slm_status status = SLM_OK;
    SLM_TRY(slm_store_begin(im->store, err));
    SLM_TRY_OUT(slm_store_put_judge(im->store, im->hash, im->judge, err));
    SLM_TRY_OUT(slm_sheet_import(im->store, path, on_problem, on_answer, im, err));
    if (im->answers == 0)
        SLM_TRY_OUT(slm_error_set(err, SLM_ERR_NOT_FOUND,
                                  "%s: nothing is filled in yet: the column `holds` is empty",
                                  path));
    return slm_store_commit(im->store, err);
out:
    slm_store_rollback(im->store);
    return status;
}

static int run_sheet_import(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const sheet_options *options = options_in;
    sheet_import im = {.app = app, .judge = options->judge};
    slm_error error;
    slm_status status = SLM_OK;
    if (im.judge == NULL || strncmp(im.judge, "human:", 6) != 0 || im.judge[6] == '\0')
        SLM_TRY_OUT(slm_error_set(&error, SLM_ERR_INVALID,
                                  "whose verdicts are these? Name them with --judge human:NAME"));
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, "slm-judge-human 1");
    slm_sha256_update_part(hash, im.judge);
    slm_sha256_finish(hash, im.hash);
    if (!slm_file_exists(options->db))
        SLM_TRY_OUT(slm_error_set(&error, SLM_ERR_NOT_FOUND,
                                  "%s: there is no such results database; name the one that the "
                                  "sheet was made from",
                                  options->db));
    SLM_TRY_OUT(slm_store_open(options->db, false, &im.store, &error));
    status = import_sheet(&im, arguments->items[0], &error);
    if (status == SLM_OK)
        slm_log_print(&app->log, SLM_LOG_INFO, "%s: %zu verdicts on %zu answers are in %s",
                      im.judge, im.verdicts, im.answers, options->db);
out:
    slm_store_close(im.store);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option import_table[] = {
    {.name = "db",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(sheet_options, db),
     .value_name = "FILE",
     .default_text = "results.db",
     .help = "the results database that the sheet was made from",
     .group = "Sheet"},
    {.name = "judge",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(sheet_options, judge),
     .value_name = "human:NAME",
     .help = "whose verdicts they are; what the same NAME said of an answer before is replaced"},
    {.name = NULL},
};

const slm_command cli_command_judge_import = {
    .name = "judge import",
    .usage = "SHEET.csv --judge human:NAME",
    .summary = "a graded sheet back into the results database",
    .description =
        "Reads the columns `id`, `holds` (yes or no) and `comment` of a sheet that slm "
        "judge export wrote, saved as CSV with commas, semicolons or tabs. An empty "
        "cell is unscored, an answer without any verdict is left out. Every cell that is "
        "not understood is listed with its line and column, and then nothing is "
        "imported.",
    .example = "# a clinician becomes a judge like any other\n"
               "slm judge import sheet.csv --db results.db --judge human:ann",
    .tables = {import_table, cli_common_options},
    .options_bytes = sizeof(sheet_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_sheet_import,
};
