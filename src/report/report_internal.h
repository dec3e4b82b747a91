/* report_internal.h: what report's files share: the figures computed once, texts made safe. */
#ifndef SLM_REPORT_INTERNAL_H
#define SLM_REPORT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "eval/eval.h"
#include "report/report.h"

/* ---- figures (summary.c) ------------------------------------------------------------------- */

enum { REPORT_MEASURES = 5, REPORT_SERIES = 8 };

/* A column of the first table. */
typedef struct report__measure {
    const char *name;    /* "seek" */
    const char *where;   /* "on lacks": the second line of its head */
    const char *stratum; /* "lacks": in CSV and JSON */
    const char *meaning; /* one sentence, in HTML */
    slm_behaviour behaviour;
    slm_stratum cases;
    bool is_twins;
} report__measure;
extern const report__measure report__measures[REPORT_MEASURES];

/* A row: an arm with a name that no other arm bears, and its figures. */
typedef struct report__row {
    const slm_arm *arm;
    const char *name;
    const char
        *shared_name;     /* what others bear too, where `name` has a hash behind it; else NULL */
    const char *baseline; /* "floor", "shuffled", ...; NULL: a model or imported scores */
    bool is_fixed;        /* gives a case the same reply every time: its worst is its mean */
    size_t max_k;
    const struct report__row *floor; /* same judge, same cases; NULL: there is none */
    /* Of a floor: the fixed replies searched for each measure; the row shows their figures. NULL:
     * there is none, and the figure is that of the reply for the whole score. */
    const struct report__row *own[REPORT_MEASURES];
    int floor_of;      /* the measure that a fixed reply was searched for; -1: none alone */
    bool has_unscored; /* its arm, or one of `own` */
    slm_figure mean[REPORT_MEASURES];  /* k = 1 */
    slm_figure worst[REPORT_MEASURES]; /* at the group's k */
    slm_figure score, score_worst;     /* the whole score at 1 and at the group's k */
    slm_figure *curve;                 /* [max_k]: the whole score's worst at 1, 2, ... */
    int series;                        /* colour, dash and marker 0..7; -1: drawn grey */
} report__row;

/* Rows that may stand in one table: same judge, same cases. Models, imported, then baselines. */
typedef struct report__group {
    const char *judge; /* "rule, 48 of 60 criteria" */
    const char *title; /* "judged by rule, 48 of 60 criteria" */
    const char *cases_sha256;
    report__row *rows;         /* [count], and behind them the floors' `own` */
    size_t count, model_count; /* models and imported come first */
    size_t k;                  /* smallest N of the models; 0: nothing is scored */
    size_t cases;
    bool has_measures; /* some figure of the first table can be measured */
    bool has_unscored;
} report__group;

typedef struct report__summary {
    slm_arena arena;
    report__group *groups;
    size_t count;
} report__summary;

/* What to compute: intervals are bootstrapped, so nothing is computed that is not printed. */
enum { REPORT_NAMES = 0, REPORT_CURVES = 1, REPORT_BEHAVIOURS = 2, REPORT_ALL = 3 };
void report__summarise(const slm_results *results, int what, report__summary *out);
void report__summary_free(report__summary *summary);
/* 1: the interval of a mean lies above the floor's mean of the same measure, 0: it does not, -1:
 * cannot be told. */
int report__above_floor(const report__row *row, size_t measure);
/* How many cases a column of the first table stands on, as far as any row tells. */
size_t report__cases(const report__group *group, size_t measure);
/* The largest k that any row's curve reaches. */
size_t report__longest_curve(const report__group *group);
/* A figure of the first table at any k. */
slm_figure report__figure(const slm_results *results, const slm_arm *arm, size_t measure, size_t k);

/* ---- tags, style, refusals, pairs, targets (arms.c) ------------------------------------------ */

void report__print_arms(FILE *out, const slm_results *results, const report__group *group,
                        const slm_report_options *options);
/* Members of an arm's and of a table's JSON object, with a comma behind the last. */
void report__json_arm(slm_buffer *out, const slm_results *results, const slm_arm *arm,
                      const slm_report_options *options);
void report__json_comparisons(slm_buffer *out, const slm_results *results,
                              const report__group *group);

/* ---- texts (text.c) ------------------------------------------------------------------------ */

enum { REPORT_NUMBER_BYTES = 32 };

/* Whole percent: "42", "<1", ">99", "-" for NaN. Never "0" or "100" unless it is exactly that. */
const char *report__percent(double share, char out[REPORT_NUMBER_BYTES]);
/* Percent with one decimal: "2.6", "<0.1", "-". */
const char *report__percent_tenths(double share, char out[REPORT_NUMBER_BYTES]);
/* "31–53"; "" where an end is NaN. */
const char *report__range(double low, double high, char out[REPORT_NUMBER_BYTES]);
/* The range of a figure's interval: "-" where the value is known and the interval is not, "" where
 * neither is. */
const char *report__interval(const slm_figure *figure, char out[REPORT_NUMBER_BYTES]);
/* "[48.1, 71.2]": the bounds of a figure; "" where they are not known. */
const char *report__bounds(const slm_figure *figure, char out[REPORT_NUMBER_BYTES]);
/* "s" where n things are many: "1 case", "2 cases". */
const char *report__plural(size_t n);
/* "1,234,567". */
const char *report__count(int64_t n, char out[REPORT_NUMBER_BYTES]);
/* Append text that is safe on one line of a terminal (no controls, no bidirectional overrides,
 * valid UTF-8), at most `columns` wide: longer texts lose their middle. 0: no limit. */
void report__append_line(slm_buffer *out, const char *text, size_t columns);
/* Write text to HTML or SVG, content or quoted attribute: markup escaped, invalid bytes U+FFFD,
 * control characters as their pictures, bidirectional overrides spelled out. At most max_bytes of
 * the text are written (0: all); true if it was cut. NULL writes nothing. */
bool report__escape(FILE *out, const char *text, size_t max_bytes);
/* report__append_line, then report__escape. */
void report__escape_line(FILE *out, const char *text, size_t columns);

/* ---- SVG (svg.c) --------------------------------------------------------------------------- */

/* How large a figure is drawn: one for telephones, one for anything wider. */
typedef struct report__frame {
    const char *id; /* unique in the page; also its class */
    int width;
    bool is_narrow;
} report__frame;
/* The worst-at-k curves of a group. */
void report__svg_curves(FILE *out, const report__group *group, const report__frame *frame);
/* The five behaviours of a group's models: mean, interval, worst, and the floor's mark. */
void report__svg_behaviours(FILE *out, const report__group *group, const report__frame *frame);
/* The sign of a series, as it stands in the curves: inline SVG for tables and legends. */
void report__svg_key(FILE *out, int series);

/* ---- HTML (html.c, html_cases.c, style.c) -------------------------------------------------- */

extern const char report__style[];
/* Worst cases first with their answers; *budget_bytes is what the page may still grow by. */
slm_status report__html_cases(FILE *out, slm_store *store, const report__group *group, size_t limit,
                              size_t *budget_bytes, slm_error *err);
/* The fixed replies of a group's baselines. */
slm_status report__html_fixed_replies(FILE *out, slm_store *store, const report__group *group,
                                      slm_error *err);

#endif
