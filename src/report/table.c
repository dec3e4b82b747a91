/* table.c: the report on a terminal.
 *
 * Aligned columns without boxes: arms are rows, measures are columns, and the mean stands over the
 * worst of k in the same column, since that pair is what one compares. All figures are percent. The
 * whole fits 80 columns; on a wider terminal names are shortened less. Names are the only foreign
 * text here and pass report__append_line. */
#include <math.h>
#include <string.h>
#include "base/utf8.h"
#include "report/report_internal.h"

enum {
    NAME_MIN = 20,
    FIGURE = 12,
    SCORE = 15,
    BOUNDS = 15,
    CURVE = 6,
    LINE_MIN = 80,
    LINE_MAX = 160,
};

typedef struct screen {
    FILE *out;
    bool colour;
    size_t columns; /* of the line */
    size_t name;    /* of the names' column */
    size_t blanks;  /* owed: written before the next text, forgotten at the line's end */
} screen;

static const char *style_on(const screen *s, const char *style)
{
    return s->colour ? style : "";
}
#define BOLD(s)  style_on(s, "\033[1m")
#define DIM(s)   style_on(s, "\033[2m")
#define PLAIN(s) style_on(s, "\033[0m")

static void put(screen *s, const char *text, const char *style)
{
    if (!*text) return;
    fprintf(s->out, "%*s%s%s%s", (int)s->blanks, "", style, text, *style ? PLAIN(s) : "");
    s->blanks = 0;
}

static void end_line(screen *s)
{
    fputc('\n', s->out);
    s->blanks = 0;
}

/* Text in a field of `width` columns, flush left or right; longer text is not cut. */
static void put_field(screen *s, const char *text, size_t width, bool right, const char *style)
{
    size_t used = slm_utf8_columns(text, strlen(text));
    size_t pad = used < width ? width - used : 0;
    if (right) s->blanks += pad;
    put(s, text, style);
    if (!right) s->blanks += pad;
}

static void put_name(screen *s, const char *name, const char *style)
{
    slm_buffer text = {0};
    report__append_line(&text, name, s->name - 2);
    put_field(s, slm_buffer_text(&text), s->name, false, style);
    slm_buffer_free(&text);
}

/* "  6° 0–19 ": value, sign of what is not above the floor, interval. */
static void put_figure(screen *s, const slm_figure *figure, bool is_marked)
{
    char value[REPORT_NUMBER_BYTES], range[REPORT_NUMBER_BYTES];
    put_field(s, report__percent(figure->value, value), 3, true, "");
    put_field(s, is_marked ? "°" : "", 2, false, "");
    put_field(s, report__interval(figure, range), FIGURE - 5, false, DIM(s));
}

static void print_row(screen *s, const report__group *group, const report__row *row)
{
    put_name(s, row->name, BOLD(s));
    for (size_t m = 0; m < REPORT_MEASURES; m++)
        put_figure(s, &row->mean[m], report__above_floor(row, m) == 0);
    end_line(s);
    if (row->has_unscored) {
        put_name(s, "  unscored as 0–1", DIM(s));
        for (size_t m = 0; m < REPORT_MEASURES; m++) {
            char range[REPORT_NUMBER_BYTES];
            report__range(row->mean[m].low, row->mean[m].high, range);
            s->blanks += 5;
            put_field(s, range, FIGURE - 5, false, DIM(s));
        }
        end_line(s);
    }
    if (group->k <= 1 || row->is_fixed) return;
    char label[REPORT_NUMBER_BYTES + 16];
    snprintf(label, sizeof label, "  worst of %zu", group->k);
    put_name(s, label, DIM(s));
    for (size_t m = 0; m < REPORT_MEASURES; m++)
        put_figure(s, &row->worst[m], false);
    end_line(s);
}

static void print_heads(screen *s, const report__group *group)
{
    for (int line = 0; line < 3; line++) {
        s->blanks = s->name;
        for (size_t m = 0; m < REPORT_MEASURES; m++) {
            const report__measure *measure = &report__measures[m];
            char text[REPORT_NUMBER_BYTES];
            size_t n = report__cases(group, m);
            snprintf(text, sizeof text, "%zu %s%s", n, measure->is_twins ? "pair" : "case",
                     slm_plural(n));
            put_field(s,
                      line == 0   ? measure->name
                      : line == 1 ? measure->where
                                  : text,
                      FIGURE, false,
                      line == 0   ? BOLD(s)
                      : line == 2 ? DIM(s)
                                  : "");
        }
        end_line(s);
    }
}

static bool has_baseline(const report__group *group)
{
    return group->model_count < group->count;
}

static void print_behaviours(screen *s, const report__group *group)
{
    if (!group->has_measures) {
        fputs("No criterion of a behaviour (seek, precise, safe, act) was graded here, only\n"
              "whole scores.\n\n",
              s->out);
        return;
    }
    fputs("Does it ask where facts are missing, and answer where they are there? Percent of\n"
          "answers that do, with the 95% interval",
          s->out);
    if (group->k > 1)
        fprintf(s->out, "; worst of %zu: of the worst of %zu answers", group->k, group->k);
    fputs(".\n\n", s->out);
    print_heads(s, group);
    for (size_t i = 0; i < group->count; i++) {
        if (i == 0 || i == group->model_count) end_line(s);
        print_row(s, group, &group->rows[i]);
    }
    if (has_baseline(group)) {
        fputs("\nOne fixed reply must not pass: a figure counts only where it stands above these\n"
              "rows (° does not stand above the floor). floor: the best single reply for each\n"
              "column, found on other cases; shuffled: the same answers against other cases'\n"
              "checks; echo: the question repeated; always-ask, never-ask: one general reply.\n",
              s->out);
    }
    end_line(s);
}

static void print_scores(screen *s, const report__group *group)
{
    char label[REPORT_NUMBER_BYTES + 16];
    snprintf(label, sizeof label, "worst of %zu", group->k);
    put_name(s, "Whole score", BOLD(s));
    put_field(s, group->has_unscored ? "mean, scored" : "mean", SCORE, false, "");
    if (group->has_unscored) put_field(s, "[bounds, all]", BOUNDS, false, "");
    if (group->k > 1) put_field(s, label, SCORE, false, "");
    end_line(s);
    for (size_t i = 0; i < group->count; i++) {
        const report__row *row = &group->rows[i];
        const slm_figure *figures[2] = {&row->score, &row->score_worst};
        put_name(s, row->name, "");
        for (int j = 0; j < (group->k > 1 ? 2 : 1); j++) {
            char value[REPORT_NUMBER_BYTES], range[REPORT_NUMBER_BYTES];
            put_field(s, report__percent_tenths(figures[j]->value, value), 5, true, "");
            s->blanks += 2;
            put_field(s, report__interval(figures[j], range), SCORE - 7, false, DIM(s));
            if (j > 0 || !group->has_unscored) continue;
            bool told = row->arm->unscored > 0;
            put_field(s, told ? report__bounds(&row->score, range) : "", BOUNDS, false, "");
        }
        end_line(s);
    }
    if (group->has_unscored) {
        fputs("The mean covers scored answers only. In brackets: the mean of all, with what is\n"
              "unscored held against the answer, and counted for it.\n",
              s->out);
    }
    end_line(s);
}

/* In as many blocks as the line's width asks for. */
static void print_curves(screen *s, const report__group *group)
{
    size_t longest = report__longest_curve(group);
    if (longest < 2) return;
    size_t per_block = (s->columns - s->name) / CURVE;
    for (size_t from = 0; from < longest; from += per_block) {
        size_t to = from + per_block < longest ? from + per_block : longest;
        put_name(s, from ? "" : "Worst of k", BOLD(s));
        for (size_t k = from; k < to; k++) {
            char text[REPORT_NUMBER_BYTES + 4];
            snprintf(text, sizeof text, "%s%zu", k == 0 ? "k=" : "", k + 1);
            put_field(s, text, k == from ? CURVE - 1 : CURVE, true, "");
        }
        end_line(s);
        for (size_t i = 0; i < group->count; i++) {
            const report__row *row = &group->rows[i];
            put_name(s, row->name, "");
            for (size_t k = from; k < to; k++) {
                char text[REPORT_NUMBER_BYTES];
                double value = k < row->max_k ? row->curve[k].value : NAN;
                if (row->is_fixed && row->max_k) value = row->score.value;
                put_field(s, report__percent_tenths(value, text), k == from ? CURVE - 1 : CURVE,
                          true, "");
            }
            end_line(s);
        }
        end_line(s);
    }
}

static void print_counts(screen *s, const report__group *group)
{
    static const char *const heads[] = {"samples", "unscored",   "refused", "empty",
                                        "cut off", "tokens out", "each"};
    static const size_t widths[] = {8, 9, 8, 7, 8, 12, 6};
    put_name(s, "Answers", BOLD(s));
    for (size_t i = 0; i < 7; i++)
        put_field(s, heads[i], widths[i], true, "");
    end_line(s);
    for (size_t i = 0; i < group->count; i++) {
        const slm_arm *arm = group->rows[i].arm;
        const size_t counts[] = {arm->samples, arm->unscored, arm->refused, arm->empty,
                                 arm->cut_off};
        char text[REPORT_NUMBER_BYTES];
        put_name(s, group->rows[i].name, "");
        for (size_t c = 0; c < 5; c++)
            put_field(s, report__count((int64_t)counts[c], text), widths[c], true, "");
        if (arm->reply_tokens > 0 && arm->samples > 0) {
            int64_t n = (int64_t)arm->samples;
            put_field(s, report__count(arm->reply_tokens, text), widths[5], true, "");
            put_field(s, report__count((arm->reply_tokens + n / 2) / n, text), widths[6], true, "");
        } else {
            put_field(s, "-", widths[5], true, "");
            put_field(s, "-", widths[6], true, "");
        }
        end_line(s);
    }
}

static bool differ(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") != 0;
}

/* Arms of one name are told apart by a hash only: say what it stands for, as far as they differ. */
static void print_differences(screen *s, const report__group *group)
{
    bool any = false;
    for (size_t i = 0; i < group->model_count; i++) {
        const report__row *row = &group->rows[i];
        const slm_run *run = &row->arm->run;
        bool texts = false, samplings = false, models = false;
        if (!row->shared_name) continue;
        for (size_t j = 0; j < group->model_count; j++) {
            const report__row *other = &group->rows[j];
            if (!other->shared_name || differ(row->shared_name, other->shared_name)) continue;
            texts |= differ(run->system_text, other->arm->run.system_text);
            samplings |= differ(run->sampling_json, other->arm->run.sampling_json) ||
                         run->seed != other->arm->run.seed;
            models |= differ(run->model_identity, other->arm->run.model_identity);
        }
        if (!any) fputs("\nWhat differs between arms of one name\n", s->out);
        any = true;
        slm_buffer text = {0}, line = {0};
        const char *system_text = run->system_text ? run->system_text : "";
        if (texts) slm_buffer_printf(&text, "; system: %s", *system_text ? system_text : "(none)");
        if (models) slm_buffer_printf(&text, "; model: %.12s", run->model_identity);
        if (samplings) {
            slm_buffer_printf(&text, "; seed %lld, sampling %s", (long long)run->seed,
                              run->sampling_json ? run->sampling_json : "");
        }
        const char *hash = strrchr(row->name, '#');
        const char *what =
            text.len > 2 ? slm_buffer_text(&text) + 2 : "only the cases or the judge";
        report__append_line(&line, what, s->columns - 12);
        fprintf(s->out, "  %s  %s\n", hash ? hash : "", slm_buffer_text(&line));
        slm_buffer_free(&text);
        slm_buffer_free(&line);
    }
}

/* A figure over some of the cases must not pass for one over all. */
static void print_missing(screen *s, const report__group *group)
{
    for (size_t i = 0; i < group->model_count; i++) {
        const report__row *row = &group->rows[i];
        if (row->arm->case_count >= group->cases) continue;
        slm_buffer name = {0};
        report__append_line(&name, row->name, s->columns / 2);
        fprintf(s->out, "\n%s has answers to %zu of the %zu cases; its figures are over these.\n",
                slm_buffer_text(&name), row->arm->case_count, group->cases);
        slm_buffer_free(&name);
    }
}

static screen new_screen(const report__group *group, const slm_report_options *options, FILE *out)
{
    size_t columns = options && options->columns > LINE_MIN ? options->columns : LINE_MIN;
    if (columns > LINE_MAX) columns = LINE_MAX;
    screen s = {out, options && options->colour, columns, NAME_MIN, 0};
    size_t most = columns - FIGURE * REPORT_MEASURES;
    for (size_t i = 0; i < group->count; i++) {
        slm_buffer name = {0};
        report__append_line(&name, group->rows[i].name, 0);
        size_t wide = slm_utf8_columns(slm_buffer_text(&name), name.len) + 2;
        if (wide > s.name) s.name = wide < most ? wide : most;
        slm_buffer_free(&name);
    }
    return s;
}

void slm_report_print(const slm_results *results, const slm_report_options *options, FILE *out)
{
    report__summary summary;
    report__summarise(results, REPORT_ALL, &summary);
    if (!summary.count) fputs("Nothing has been evaluated here yet.\n", out);
    for (size_t g = 0; g < summary.count; g++) {
        const report__group *group = &summary.groups[g];
        screen s = new_screen(group, options, out);
        slm_buffer judge = {0};
        report__append_line(&judge, group->title, s.columns - 20);
        fprintf(out, "%s%s%zu case%s, %s%s\n\n", g ? "\n" : "", BOLD(&s), group->cases,
                slm_plural(group->cases), slm_buffer_text(&judge), PLAIN(&s));
        slm_buffer_free(&judge);
        print_behaviours(&s, group);
        print_scores(&s, group);
        print_curves(&s, group);
        print_counts(&s, group);
        report__print_arms(out, results, group, options);
        report__print_regressions(out, group, options);
        report__print_validity(out, group, options);
        print_differences(&s, group);
        print_missing(&s, group);
    }
    report__summary_free(&summary);
}
