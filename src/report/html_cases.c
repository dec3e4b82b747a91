/* html_cases.c: the worst cases with their answers, and the baselines' fixed replies.
 *
 * The page shows a case with the answers of every arm, worst case first, but the store yields an
 * arm's samples in the order of case ids. So each arm is read once: its gradings of the shown cases
 * are kept (small: a verdict and a cut explanation per criterion), its samples are turned into HTML
 * as they stream by and put on an unnamed temporary file, and at the end the pieces are copied to
 * the page in the right order. No more than one answer is in memory at a time. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "report/report_internal.h"

enum {
    ANSWER_BYTES = 24 * 1024,
    REASON_BYTES = 2048,
    CRITERION_COLUMNS = 90,
    REPLIES_MAX = 6,
    FILTER_LABELS = 300
};

typedef struct grade {
    size_t criterion;
    int met; /* 1, 0, -1: unscored, -2: not covered */
    const char *reason;
} grade;

typedef struct grading {
    int64_t rollout;
    bool has_score;
    double score;
    grade *grades;
    size_t count;
    struct grading *next;
} grading;

/* Where an arm's answers to a case stand in the temporary file. */
typedef struct piece {
    long at, len;
    size_t answers; /* with their text */
} piece;

typedef struct shown_case {
    const char *id;
    const slm_case *data; /* NULL: only scores were imported */
    double mean, worst;   /* over the models */
    double sum;
    size_t arms;
    piece *pieces;            /* [models] */
    grading *gradings, *last; /* of the arm being read, by rollout */
} shown_case;

/* ---- which cases --------------------------------------------------------------------------- */

static int compare_doubles(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b); /* the unscored last */
    return (a > b) - (a < b);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const shown_case *)a)->id, ((const shown_case *)b)->id);
}

static int by_badness(const void *a, const void *b)
{
    const shown_case *one = a, *two = b;
    int order = compare_doubles(one->mean, two->mean);
    if (order == 0) order = compare_doubles(one->worst, two->worst);
    return order ? order : strcmp(one->id, two->id);
}

static shown_case rate_case(const slm_case_scores *scores)
{
    shown_case c = {.id = scores->case_id, .data = scores->c, .worst = NAN};
    double sum = 0;
    for (size_t i = 0; i < scores->count; i++) {
        sum += scores->scores[i];
        if (!(c.worst <= scores->scores[i])) c.worst = scores->scores[i];
    }
    if (scores->count) {
        c.sum = sum / (double)scores->count;
        c.arms = 1;
    }
    return c;
}

/* All cases of the group's models, each once, worst first. */
static shown_case *rank_cases(const report__group *group, slm_arena *arena, size_t *count)
{
    size_t n = 0, used = 0;
    for (size_t i = 0; i < group->model_count; i++)
        n += group->rows[i].arm->case_count;
    shown_case *cases = slm_arena_array(arena, n, sizeof *cases);
    for (size_t i = 0; i < group->model_count; i++) {
        const slm_arm *arm = group->rows[i].arm;
        for (size_t c = 0; c < arm->case_count; c++)
            cases[used++] = rate_case(&arm->cases[c]);
    }
    qsort(cases, used, sizeof *cases, by_id);
    size_t kept = 0;
    for (size_t i = 0; i < used; i++) {
        if (kept && strcmp(cases[kept - 1].id, cases[i].id) == 0) {
            shown_case *c = &cases[kept - 1];
            c->sum += cases[i].sum;
            c->arms += cases[i].arms;
            if (compare_doubles(cases[i].worst, c->worst) < 0) c->worst = cases[i].worst;
            if (!c->data) c->data = cases[i].data;
        } else {
            cases[kept++] = cases[i];
        }
    }
    for (size_t i = 0; i < kept; i++)
        cases[i].mean = cases[i].arms ? cases[i].sum / (double)cases[i].arms : NAN;
    qsort(cases, kept, sizeof *cases, by_badness);
    *count = kept;
    return cases;
}

/* ---- reading one arm ----------------------------------------------------------------------- */

typedef struct reader {
    FILE *spill;
    shown_case **by_id;
    size_t count;
    const report__group *group;
    size_t row;
    slm_arena arena;  /* gradings of this arm */
    shown_case *open; /* whose piece is being written */
} reader;

static int find_case(const void *key, const void *item)
{
    return strcmp(key, (*(shown_case *const *)item)->id);
}

static shown_case *shown(reader *r, const char *id)
{
    shown_case **found = bsearch(id, r->by_id, r->count, sizeof *r->by_id, find_case);
    return found ? *found : NULL;
}

static bool keep_grading(void *context, const slm_stored_grading *stored)
{
    reader *r = context;
    shown_case *c = shown(r, stored->case_id);
    if (!c) return true;
    grading *g = slm_arena_alloc(&r->arena, sizeof *g);
    g->rollout = stored->rollout;
    g->has_score = stored->has_score;
    g->score = stored->score;
    g->grades = slm_arena_array(&r->arena, stored->grade_count, sizeof *g->grades);
    for (size_t i = 0; i < stored->grade_count; i++) {
        const slm_stored_grade *from = &stored->grades[i];
        const char *reason = from->explanation ? from->explanation : "";
        if (from->criterion < 0) continue;
        g->grades[g->count++] = (grade){
            .criterion = (size_t)from->criterion,
            .met = from->met,
            .reason = slm_arena_strndup(&r->arena, reason, strnlen(reason, REASON_BYTES)),
        };
    }
    if (c->last)
        c->last->next = g;
    else
        c->gradings = g;
    c->last = g;
    return true;
}

static const grading *grading_of(const shown_case *c, int64_t rollout)
{
    const grading *g = c->gradings;
    while (g && g->rollout != rollout)
        g = g->next;
    return g;
}

static const grade *grade_of(const grading *g, size_t criterion)
{
    for (size_t i = 0; g && i < g->count; i++) {
        if (g->grades[i].criterion == criterion) return &g->grades[i];
    }
    return NULL;
}

/* What a verdict means for the answer: a criterion with negative points is one to avoid, so for it
 * not to be met is what is wanted. */
typedef struct verdict_words {
    const char *sign, *word, *class;
} verdict_words;

static verdict_words words_of(int met, double points)
{
    if (met == -1) return (verdict_words){"?", "unscored", "mu"};
    if (met == -2) return (verdict_words){"·", "not covered", "mx"};
    bool wanted = points > 0;
    const char *word = wanted ? (met ? "met" : "not met")
                              : (met ? "met, which costs points" : "not met, as it should be");
    return (met == 1) == wanted ? (verdict_words){"✓", word, "m1"}
                                : (verdict_words){"✗", word, "m0"};
}

static double points_of(const shown_case *c, size_t criterion)
{
    return c->data && criterion < c->data->rubric_count ? c->data->rubrics[criterion].points : 1;
}

/* Criteria down, answers across: what was met where. */
static void put_marks(FILE *out, const shown_case *c)
{
    bool any = false;
    for (const grading *g = c->gradings; g; g = g->next)
        any = any || g->count;
    if (!c->data || !any) return;
    fputs("<div class=\"scroll\" tabindex=\"0\"><table class=\"marks\"><thead><tr><td></td>", out);
    for (const grading *g = c->gradings; g; g = g->next)
        fprintf(out, "<th scope=\"col\">%lld</th>", (long long)g->rollout + 1);
    fputs("</tr></thead><tbody>", out);
    for (size_t i = 0; i < c->data->rubric_count; i++) {
        const slm_rubric_item *item = &c->data->rubrics[i];
        fprintf(out, "<tr><th scope=\"row\">C%zu <span dir=\"auto\">", i + 1);
        report__escape_line(out, item->criterion, CRITERION_COLUMNS);
        fputs("</span></th>", out);
        for (const grading *g = c->gradings; g; g = g->next) {
            const grade *found = grade_of(g, i);
            verdict_words words = words_of(found ? found->met : -2, item->points);
            fprintf(out, "<td class=\"%s\" title=\"%s\">%s</td>", words.class, words.word,
                    words.sign);
        }
        fputs("</tr>", out);
    }
    fputs("</tbody></table></div>\n", out);
}

static void open_piece(reader *r, shown_case *c)
{
    FILE *out = r->spill;
    r->open = c;
    c->pieces[r->row].at = ftell(out);
    size_t found[3] = {0}; /* good, bad, unscored */
    for (const grading *g = c->gradings; g; g = g->next) {
        for (size_t i = 0; i < g->count; i++) {
            int met = g->grades[i].met;
            if (met == -2) continue;
            found[met < 0 ? 2 : (met == 1) == (points_of(c, g->grades[i].criterion) > 0) ? 0 : 1]++;
        }
    }
    fprintf(out,
            "<details class=\"arm\" data-arm=\"%zu\" data-met=\"%zu\" data-not=\"%zu\" "
            "data-un=\"%zu\"%s><summary><bdi>",
            r->row, found[0], found[1], found[2], r->group->model_count == 1 ? " open" : "");
    report__escape_line(out, r->group->rows[r->row].name, 80);
    fputs("</bdi><span class=\"soft\">scores ", out);
    size_t listed = 0;
    for (const grading *g = c->gradings; g; g = g->next) {
        char text[REPORT_NUMBER_BYTES];
        fputs(listed++ ? ", " : "", out);
        report__escape(out, g->has_score ? report__percent(g->score, text) : "unscored", 0);
    }
    fputs("</span></summary>\n", out);
    put_marks(out, c);
}

static void close_piece(reader *r)
{
    if (!r->open) return;
    fputs("</details>\n", r->spill);
    piece *p = &r->open->pieces[r->row];
    p->len = ftell(r->spill) - p->at;
    r->open = NULL;
}

static void put_reasons(FILE *out, const shown_case *c, const grading *g)
{
    size_t counts[3] = {0}; /* unscored, not met, met */
    for (size_t i = 0; i < g->count; i++)
        counts[g->grades[i].met < 0 ? 0 : g->grades[i].met + 1]++;
    fprintf(out, "<details class=\"why\"><summary>The judge: %zu met, %zu not met", counts[2],
            counts[1]);
    if (counts[0]) fprintf(out, ", %zu unscored", counts[0]);
    if (c->data && c->data->rubric_count > g->count)
        fprintf(out, ", %zu not covered", c->data->rubric_count - g->count);
    fputs("</summary><ul>", out);
    for (size_t i = 0; i < g->count; i++) {
        const grade *one = &g->grades[i];
        verdict_words words = words_of(one->met, points_of(c, one->criterion));
        fprintf(out, "<li><span class=\"%s\">%s C%zu %s</span>", words.class, words.sign,
                one->criterion + 1, words.word);
        if (*one->reason) {
            fputs(": <bdi dir=\"auto\">", out);
            report__escape(out, one->reason, 0);
            fputs("</bdi>", out);
        }
        fputs("</li>", out);
    }
    fputs("</ul></details>", out);
}

void report__html_text(FILE *out, const char *text)
{
    fputs("<div class=\"text\" dir=\"auto\">", out);
    bool cut = report__escape(out, text, ANSWER_BYTES);
    fputs("</div>", out);
    if (cut) {
        char shown_text[REPORT_NUMBER_BYTES], all[REPORT_NUMBER_BYTES];
        fprintf(out,
                "<p class=\"cut\">Cut here: %s of %s bytes are shown, the database has them "
                "all.</p>",
                report__count(ANSWER_BYTES, shown_text), report__count((int64_t)strlen(text), all));
    }
}

static const char *finish_note(const slm_sample *sample)
{
    const char *finish = sample->finish ? sample->finish : "";
    if (strcmp(finish, "length") == 0) return "cut off at the token limit";
    if (strcmp(finish, "refused") == 0) return "refused";
    if (strcmp(finish, "error") == 0) return "no answer: the model failed";
    return NULL;
}

static bool put_sample(void *context, const slm_sample *sample)
{
    reader *r = context;
    shown_case *c = shown(r, sample->case_id);
    if (!c) return true;
    if (c != r->open) {
        close_piece(r);
        open_piece(r, c);
    }
    /* Scores that were imported without answers: the summary line has them already. */
    if (strcmp(sample->finish ? sample->finish : "", "unknown") == 0 && !*sample->reply)
        return true;
    c->pieces[r->row].answers++;
    FILE *out = r->spill;
    const grading *g = grading_of(c, sample->rollout);
    char text[REPORT_NUMBER_BYTES];
    fprintf(out, "<article class=\"answer\"><header><b>Answer %lld</b> · ",
            (long long)sample->rollout + 1);
    if (!g || !g->has_score) {
        fprintf(out, "<span class=\"warn\">%s</span>", g ? "unscored" : "not graded yet");
    } else {
        report__escape(out, report__percent(g->score, text), 0);
        fputc('%', out);
    }
    if (sample->reply_tokens >= 0)
        fprintf(out, " · %s tokens", report__count(sample->reply_tokens, text));
    if (finish_note(sample)) fprintf(out, " · <span class=\"warn\">%s</span>", finish_note(sample));
    fputs("</header>", out);
    if (*sample->reply)
        report__html_text(out, sample->reply);
    else
        fputs("<p class=\"cut\">There is no text.</p>", out);
    if (g && g->count) put_reasons(out, c, g);
    fputs("</article>\n", out);
    return !ferror(out);
}

static slm_status read_arm(reader *r, slm_store *store, slm_error *err)
{
    const slm_arm *arm = r->group->rows[r->row].arm;
    slm_arena_reset(&r->arena);
    for (size_t i = 0; i < r->count; i++)
        r->by_id[i]->gradings = r->by_id[i]->last = NULL;
    SLM_TRY(slm_store_gradings(store, arm->run.hash, arm->judge_hash, keep_grading, r, err));
    SLM_TRY(slm_store_samples(store, arm->run.hash, put_sample, r, err));
    close_piece(r);
    if (ferror(r->spill)) {
        return slm_error_set(err, SLM_ERR_IO,
                             "writing a temporary file for the report: %s; make room in the "
                             "folder for temporary files",
                             strerror(errno));
    }
    return SLM_OK;
}

/* ---- the page ------------------------------------------------------------------------------ */

static void put_chip(FILE *out, const char *label, const char *value, bool hot)
{
    if (!value || !*value) return;
    fprintf(out, "<li%s>%s<bdi>", hot ? " class=\"hot\"" : "", label);
    report__escape_line(out, value, 60);
    fputs("</bdi></li>", out);
}

static void put_chips(FILE *out, const slm_case *c)
{
    static const char *const contexts[] = {NULL, "context lacks", "context is enough"};
    static const char *const dispositions[] = {NULL, "emergency", "urgent", "routine", "self-care"};
    char difficulty[REPORT_NUMBER_BYTES];
    snprintf(difficulty, sizeof difficulty, "%d of 5", c->difficulty);
    fputs("<ul class=\"chips\">", out);
    put_chip(out, "", contexts[c->context], false);
    put_chip(out, "", dispositions[c->disposition], c->disposition == SLM_DISPOSITION_EMERGENCY);
    put_chip(out, "difficulty ", c->difficulty ? difficulty : NULL, false);
    put_chip(out, "", c->specialty, false);
    put_chip(out, "", c->register_name, false);
    put_chip(out, "language ", c->language, false);
    for (size_t t = 0; t < c->tag_count && t < 40; t++) {
        if (strncmp(c->tags[t], "theme:", 6) == 0) put_chip(out, "", c->tags[t], false);
    }
    if (c->family && strcmp(c->family, c->id) != 0) put_chip(out, "family ", c->family, false);
    fputs("</ul>\n", out);
}

void report__html_turns(FILE *out, const slm_case *c)
{
    for (size_t i = 0; i < c->turn_count; i++) {
        const slm_turn *turn = &c->turns[i];
        bool assistant = strcmp(turn->role, "assistant") == 0;
        fprintf(out, "<div class=\"turn%s\"><span class=\"who\">", assistant ? " assistant" : "");
        report__escape_line(out, turn->role, 20);
        fputs("</span>", out);
        report__html_text(out, turn->content);
        fputs("</div>\n", out);
    }
}

static void put_case_body(FILE *out, const slm_case *c)
{
    put_chips(out, c);
    report__html_turns(out, c);
    if (c->gloss && *c->gloss) {
        fputs("<p class=\"note\">In English: ", out);
        report__escape(out, c->gloss, ANSWER_BYTES);
        fputs("</p>\n", out);
    }
    fputs("<ol class=\"rubric\">", out);
    for (size_t i = 0; i < c->rubric_count; i++) {
        const slm_rubric_item *item = &c->rubrics[i];
        fprintf(out, "<li><b>C%zu</b><span class=\"pts\">%s%g</span><span><span dir=\"auto\">",
                i + 1, item->points < 0 ? "−" : "+", fabs(item->points));
        if (report__escape(out, item->criterion, ANSWER_BYTES)) fputs(" …", out);
        fputs("</span>", out);
        if (item->behaviour != SLM_BEHAVIOUR_NONE)
            fprintf(out, " <span class=\"tag\">%s</span>", slm_behaviour_name(item->behaviour));
        fputs("</span></li>", out);
    }
    fputs("</ol>\n", out);
}

static bool copy_piece(FILE *out, FILE *spill, const piece *p)
{
    char block[64 * 1024];
    if (fseek(spill, p->at, SEEK_SET) != 0) return false;
    for (long left = p->len; left > 0;) {
        size_t want = left < (long)sizeof block ? (size_t)left : sizeof block;
        if (fread(block, 1, want, spill) != want) return false;
        fwrite(block, 1, want, out);
        left -= (long)want;
    }
    return true;
}

/* What a case can be found by: its parts, then its example tags. */
static size_t label_count(const slm_case *c)
{
    return REPORT_PART_KINDS + c->tag_count;
}

static const char *label_of(const slm_case *c, size_t index)
{
    return index < REPORT_PART_KINDS ? report__part_of(c, index)
                                     : c->tags[index - REPORT_PART_KINDS];
}

static void put_label(FILE *out, const slm_case *c, size_t index)
{
    const char *text = label_of(c, index);
    if (!text) return;
    if (index < REPORT_PART_KINDS) fprintf(out, "%s:", report__part_kinds[index]);
    report__escape_line(out, text, 80);
}

static int by_label(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The labels of all shown cases as options, each once. */
static void put_label_options(FILE *out, const shown_case *cases, size_t count)
{
    slm_arena arena = {0};
    size_t all = 0, used = 0;
    for (size_t i = 0; i < count; i++)
        all += cases[i].data ? label_count(cases[i].data) : 0;
    const char **labels = slm_arena_array(&arena, all, sizeof *labels);
    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; cases[i].data && t < label_count(cases[i].data); t++) {
            const char *text = label_of(cases[i].data, t);
            if (!text) continue;
            labels[used++] = t < REPORT_PART_KINDS
                                 ? slm_arena_printf(&arena, "%s:%s", report__part_kinds[t], text)
                                 : text;
        }
    }
    qsort(labels, used, sizeof *labels, by_label);
    for (size_t i = 0, listed = 0; i < used && listed < FILTER_LABELS; i++) {
        if (i && strcmp(labels[i], labels[i - 1]) == 0) continue;
        listed++;
        const char *colon = strchr(labels[i], ':');
        bool is_part = colon && (strncmp(labels[i], "context:", 8) == 0 ||
                                 strncmp(labels[i], "disposition:", 12) == 0 ||
                                 strncmp(labels[i], "language:", 9) == 0);
        fputs("<option value=\"", out);
        if (is_part) fprintf(out, "%.*s:", (int)(colon - labels[i]), labels[i]);
        report__escape_line(out, is_part ? colon + 1 : labels[i], 80);
        fputs("\">", out);
        report__escape_line(out, labels[i], 60);
        fputs("</option>", out);
    }
    slm_arena_free(&arena);
}

/* Hidden until the script runs. */
static void put_filter(FILE *out, const report__group *group, const shown_case *cases, size_t count)
{
    if (!count) return;
    fputs("<div class=\"find\" role=\"search\" hidden>"
          "<label>Find<input class=\"find-text\" type=\"search\" placeholder=\"words\"></label>"
          "<label>Model<select class=\"find-arm\"><option value=\"\">any</option>",
          out);
    for (size_t i = 0; i < group->model_count; i++) {
        fprintf(out, "<option value=\"%zu\">", i);
        report__escape_line(out, group->rows[i].name, 60);
        fputs("</option>", out);
    }
    fputs("</select></label><label>Theme or context<select class=\"find-tag\"><option "
          "value=\"\">any</option>",
          out);
    put_label_options(out, cases, count);
    fputs("</select></label><label>Criteria<select class=\"find-met\"><option "
          "value=\"\">any</option><option value=\"not\">some not as wanted ✗</option>"
          "<option value=\"met\">some as wanted ✓</option><option value=\"all\">all as wanted"
          "</option><option value=\"un\">some unscored ?</option></select></label>"
          "<button class=\"find-open\" type=\"button\">Open or close all</button>"
          "<output class=\"find-told\" aria-live=\"polite\"></output></div>\n",
          out);
}

static bool put_case(FILE *out, FILE *spill, const shown_case *c, size_t rank,
                     const report__group *group)
{
    char text[REPORT_NUMBER_BYTES];
    fputs("<details class=\"case\" data-tags=\"|", out);
    for (size_t t = 0; c->data && t < label_count(c->data); t++) {
        put_label(out, c->data, t);
        fputc('|', out);
    }
    fprintf(out, "\"><summary><span class=\"rank\">%zu</span><span>", rank);
    if (c->data && c->data->turn_count) {
        fputs("<span class=\"ask\" dir=\"auto\">", out);
        report__escape_line(out, c->data->turns[c->data->turn_count - 1].content, 160);
        fputs("</span>", out);
    }
    fputs("<span class=\"id\">", out);
    report__escape_line(out, c->id, 60);
    fputs("</span></span><span class=\"score\">", out);
    report__escape(out, report__percent(c->mean, text), 0);
    fputs(isnan(c->mean) ? "</span></summary>\n<div class=\"in\">\n"
                         : "%</span></summary>\n<div class=\"in\">\n",
          out);
    if (c->data) put_case_body(out, c->data);
    bool fine = true;
    size_t with_text = 0;
    for (size_t i = 0; i < group->model_count && fine; i++) {
        if (!c->pieces[i].len) continue;
        fine = copy_piece(out, spill, &c->pieces[i]);
        with_text += c->pieces[i].answers;
    }
    if (!with_text) fputs("<p class=\"note\">No answers are stored, only scores.</p>\n", out);
    fputs("</div></details>\n", out);
    return fine;
}

/* Copies cases to the page until all are there or the page is full. */
static slm_status put_all(FILE *out, FILE *spill, const shown_case *cases, size_t count,
                          const report__group *group, size_t *budget_bytes, slm_error *err)
{
    size_t done = 0;
    for (; done < count; done++) {
        size_t bytes = 4096;
        for (size_t i = 0; i < group->model_count; i++)
            bytes += (size_t)cases[done].pieces[i].len;
        if (bytes > *budget_bytes) break;
        *budget_bytes -= bytes;
        if (!put_case(out, spill, &cases[done], done + 1, group)) {
            return slm_error_set(err, SLM_ERR_IO, "reading the report's temporary file: %s",
                                 strerror(errno));
        }
    }
    if (done < count) {
        fprintf(out,
                "<p class=\"cut\">%zu more cases are left out so that the page still opens "
                "quickly; a smaller database or fewer models make room for them.</p>\n",
                count - done);
    }
    return SLM_OK;
}

slm_status report__html_cases(FILE *out, slm_store *store, const report__group *group, size_t limit,
                              size_t *budget_bytes, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_arena arena = {0};
    reader r = {.group = group};
    size_t all = 0;
    shown_case *cases = rank_cases(group, &arena, &all);
    size_t count = all < limit ? all : limit;
    r.spill = tmpfile();
    if (!r.spill) {
        status = slm_error_set(err, SLM_ERR_IO, "opening a temporary file for the report: %s",
                               strerror(errno));
        goto out;
    }
    fprintf(out,
            "<p>%zu of %zu cases, by the mean of %s; open one to read the conversation, the "
            "answers, and what the judge said of them.</p>\n",
            count, all, group->model_count == 1 ? "its answers’ scores" : "all models’ scores");
    r.by_id = slm_arena_array(&arena, count, sizeof *r.by_id);
    r.count = count;
    qsort(cases, count, sizeof *cases, by_id);
    for (size_t i = 0; i < count; i++) {
        cases[i].pieces = slm_arena_array(&arena, group->model_count, sizeof(piece));
        r.by_id[i] = &cases[i];
    }
    for (r.row = 0; r.row < group->model_count; r.row++)
        SLM_TRY_OUT(read_arm(&r, store, err));
    qsort(cases, count, sizeof *cases, by_badness);
    put_filter(out, group, cases, count);
    status = put_all(out, r.spill, cases, count, group, budget_bytes, err);
out:
    if (r.spill) fclose(r.spill);
    slm_arena_free(&r.arena);
    slm_arena_free(&arena);
    return status;
}

/* ---- fixed replies ------------------------------------------------------------------------- */

/* The different replies of a run, in the order in which they come, and how many cases get each. */
typedef struct replies {
    uint64_t seen[REPLIES_MAX];
    size_t cases[REPLIES_MAX];
    char *texts[REPLIES_MAX];
    size_t count;
} replies;

static bool note_reply(void *context, const slm_sample *sample)
{
    replies *r = context;
    const char *reply = sample->reply ? sample->reply : "";
    uint64_t hash = slm_hash_bytes(reply, strlen(reply));
    size_t i = 0;
    while (i < r->count && r->seen[i] != hash)
        i++;
    if (i == REPLIES_MAX) return true;
    if (i == r->count) {
        r->texts[i] = strdup(reply);
        if (!r->texts[i]) slm_out_of_memory(strlen(reply));
        r->seen[r->count++] = hash;
    }
    r->cases[i]++;
    return true;
}

/* measure < 0: the reply was not searched for a measure alone. */
static slm_status put_replies(FILE *out, slm_store *store, const report__row *row, int measure,
                              slm_error *err)
{
    replies r = {0};
    slm_status status = slm_store_samples(store, row->arm->run.hash, note_reply, &r, err);
    fputs("<h4>", out);
    report__escape_line(out, row->name, 60);
    if (measure >= 0) fprintf(out, " %s", report__measures[measure].where);
    fputs("</h4>\n", out);
    for (size_t i = 0; i < r.count; i++) {
        fputs("<blockquote>", out);
        if (r.count > 1)
            fprintf(out, "<p class=\"soft\">to %zu case%s</p>", r.cases[i], slm_plural(r.cases[i]));
        report__html_text(out, r.texts[i]);
        fputs("</blockquote>\n", out);
        free(r.texts[i]);
    }
    return status;
}

slm_status report__html_fixed_replies(FILE *out, slm_store *store, const report__group *group,
                                      slm_error *err)
{
    bool opened = false;
    for (size_t i = group->model_count; i < group->count; i++) {
        const report__row *row = &group->rows[i];
        if (!row->is_fixed || strcmp(row->baseline, "echo") == 0) continue;
        if (!opened) {
            fputs("<details class=\"more\"><summary>The fixed replies of the baselines</summary>\n",
                  out);
        }
        opened = true;
        SLM_TRY(put_replies(out, store, row, -1, err));
        for (int m = 0; m < REPORT_MEASURES; m++) {
            if (row->own[m]) SLM_TRY(put_replies(out, store, row->own[m], m, err));
        }
    }
    if (opened) fputs("</details>\n", out);
    return SLM_OK;
}
