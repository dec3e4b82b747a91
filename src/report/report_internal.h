/* report_internal.h: what report's files share: the figures computed once, texts made safe. */
#ifndef SLM_REPORT_INTERNAL_H
#define SLM_REPORT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/log.h"
#include "eval/eval.h"
#include "report/report.h"

/* ---- figures (summary.c) ------------------------------------------------------------------- */

enum { REPORT_NUMBER_BYTES = 32 }; /* of a number as text */
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

/* ---- parts, tags, style, refusals, pairs, targets (arms.c) ----------------------------------- */

void report__print_arms(FILE *out, const slm_results *results, const report__group *group,
                        const slm_report_options *options);
/* Members of an arm's and of a table's JSON object, with a comma behind the last. */
void report__json_arm(slm_buffer *out, const slm_results *results, const slm_arm *arm,
                      const slm_report_options *options);
void report__json_comparisons(slm_buffer *out, const slm_results *results,
                              const report__group *group);

/* What arms.c tells, for those who print it otherwise. */
enum { REPORT_TAG_KINDS = 4, REPORT_STYLES = 6 };
typedef struct report__tag_kind {
    const char *prefix, *title;
} report__tag_kind;
extern const report__tag_kind report__tag_kinds[REPORT_TAG_KINDS];
typedef struct report__style_row {
    const char *key, *label;
    slm_measure measure;
    bool is_share;
} report__style_row;
extern const report__style_row report__styles[REPORT_STYLES];
extern const slm_measure report__length_adjusted;
typedef struct report__tag_columns {
    slm_tag_score **scores; /* [model_count] */
    size_t *counts;
    const char *prefix;
} report__tag_columns;
report__tag_columns report__tags_of(const slm_results *results, const report__group *group,
                                    const char *prefix, slm_arena *arena);
/* The next tag behind `after` in order, over all models; NULL: there is none. */
const char *report__next_tag(const report__tag_columns *c, size_t models, const char *after);
const slm_tag_score *report__find_tag(const report__tag_columns *c, size_t model, const char *tag);
const report__row *report__row_of(const report__group *group, const slm_arm *arm);
bool report__any_text(const report__group *group);
bool report__any_refused(const report__group *group);
/* A difference of shares in percentage points, with its sign: "+3.1". */
const char *report__points(double share, char out[REPORT_NUMBER_BYTES]);
const char *report__probability(double p, char out[REPORT_NUMBER_BYTES]);

/* ---- parts of the cases (parts.c) ----------------------------------------------------------- */

enum { REPORT_PART_KINDS = 3, REPORT_PARTS_MAX = 64 };
/* Context, disposition, language. */
extern const char *const report__part_kinds[REPORT_PART_KINDS];
/* "lacks", "emergency", "de"; NULL: the case does not tell. */
const char *report__part_of(const slm_case *c, size_t kind);
/* The parts that there are, in order; at most REPORT_PARTS_MAX. Returns how many. */
size_t report__parts(const report__group *group, size_t kind, const char *parts[REPORT_PARTS_MAX]);
/* The whole score over the cases of a part. */
slm_figure report__part_figure(const slm_results *results, const slm_arm *arm, size_t kind,
                               const char *part);
void report__json_parts(slm_buffer *out, const slm_results *results, const report__group *group,
                        const slm_arm *arm);

/* ---- regressions (regressions.c) ------------------------------------------------------------ */

enum { REPORT_REGRESSIONS = 10 };
/* A case in which an arm's mean score lies below the base's. */
typedef struct report__regression {
    const slm_case_scores *before, *after;
    double before_mean, after_mean;
} report__regression;
/* The arm that the others are held against; NULL: it is not in this table. */
const report__row *report__base(const report__group *group, const slm_report_options *options);
/* The worst first. */
size_t report__regressions_of(const report__row *base, const report__row *row,
                              report__regression out[REPORT_REGRESSIONS]);
/* The scored answer of a case that lies nearest its mean; NULL: there is none. */
const slm_rollout_scores *report__typical(const slm_case_scores *scores, double mean);
void report__print_regressions(FILE *out, const report__group *group,
                               const slm_report_options *options);
void report__json_regressions(slm_buffer *out, const report__group *group,
                              const slm_report_options *options);

/* ---- how far the judge can be trusted (validity.c) ------------------------------------------ */

/* One line of a judge's agreement with labels: all criteria (kind NULL), or those of a behaviour. */
typedef struct report__agreement {
    const char *labels, *kind;
    int64_t criteria, unscored;
    double kappa, low, high;
    slm_figure sensitivity, specificity;
    bool is_validated;
} report__agreement;
/* Of the judge of a group; in the arena. */
size_t report__agreements_of(const report__group *group, const slm_report_options *options,
                             slm_arena *arena, report__agreement **out);
/* Were these verdicts given by a person (a sheet that came back)? */
bool report__is_person(const report__group *group);
/* One sentence on the judge: measured and how, or not. In the arena. */
const char *report__validity(const report__group *group, const report__agreement *list,
                             size_t count, slm_arena *arena);
void report__print_validity(FILE *out, const report__group *group,
                            const slm_report_options *options);
void report__json_validity(slm_buffer *out, const report__group *group,
                           const slm_report_options *options);

/* ---- tables that are printed as HTML and as Markdown (grid.c, grids.c) ----------------------- */

typedef struct report__cell {
    const char *text;  /* the figure; NULL: an empty cell */
    const char *soft;  /* its interval; may be NULL */
    const char *class; /* of the HTML cell; may be NULL */
} report__cell;
typedef struct report__grid_row {
    const char *label;
    report__cell *cells;
} report__grid_row;
typedef struct report__grid {
    const char *section; /* begins a section of this name; NULL: belongs to the one before */
    const char *id;      /* of the section, behind the group's; NULL: none */
    const char *title;   /* may be NULL */
    const char *note;    /* below; may be NULL */
    const char *corner;  /* the head of the labels */
    const char **heads;
    const int *series; /* the heads' signs; NULL: they have none */
    size_t columns;
    report__grid_row *rows;
    size_t count, cap;
    bool is_words; /* cells are words: flush left */
} report__grid;
typedef struct report__grids {
    slm_arena arena;
    report__grid *items;
    size_t count, cap;
} report__grids;
report__grid *report__grids_add(report__grids *grids, const char *title, size_t columns);
/* The cells of a new row; `label` is kept as it is. */
report__cell *report__grid_add(report__grids *grids, report__grid *grid, const char *label);
/* The last grid is dropped. */
void report__grids_drop(report__grids *grids);
report__cell report__cell_share(report__grids *grids, const slm_figure *figure);
report__cell report__cell_text(report__grids *grids, const char *text);
void report__grids_free(report__grids *grids);
void report__grid_html(FILE *out, const report__grid *grid);
void report__grid_markdown(FILE *out, const report__grid *grid);
/* Foreign text in Markdown: what would be markup is not. */
void report__markdown_text(FILE *out, const char *text, size_t columns);

/* Tags, parts, style, refusals, pairs, targets of a group; *out is zeroed first. */
void report__grids_of(const slm_results *results, const report__group *group,
                      const slm_report_options *options, report__grids *out);
/* The cost of a group's arms; nothing where no prices were given. */
void report__grids_cost(const report__group *group, const slm_report_options *options,
                        report__grids *out);
void report__grids_validity(const report__group *group, const slm_report_options *options,
                            report__grids *out);
/* What `slm data check` compared with. */
void report__grids_proof(const slm_report_options *options, report__grids *out);
/* A sentence on the proof of a group's cases; in the arena. *good: clean, and of these cases. */
const char *report__proof_sentence(const report__group *group, const slm_report_options *options,
                                   slm_arena *arena, bool *good);
const slm_arm_cost *report__cost_of(const report__row *row, const slm_report_options *options);
/* What is counted of an arm's answers, and how a count is printed: "-" where tokens were not told. */
enum { REPORT_COUNTS = 7 };
extern const char *const report__count_heads[REPORT_COUNTS];
void report__counts(const slm_arm *arm, int64_t out[REPORT_COUNTS]);
const char *report__count_text(const int64_t counts[REPORT_COUNTS], size_t index,
                               char out[REPORT_NUMBER_BYTES]);
/* "$12,500" */
const char *report__usd(double usd, char out[REPORT_NUMBER_BYTES]);

/* ---- texts (text.c) ------------------------------------------------------------------------ */

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
/* Score against cost a month, of the arms that have both. False, and nothing, if there is none. */
bool report__svg_cost(FILE *out, const report__group *group, const slm_report_options *options,
                      const report__frame *frame);
/* What the drawings share. */
void report__svg_open(FILE *out, const report__frame *frame, double height, const char *what);
void report__svg_value(FILE *out, const slm_figure *figure);
void report__svg_series(FILE *out, int series);
const char *report__svg_marker(int series);
/* The sign of a series, as it stands in the curves: inline SVG for tables and legends. */
void report__svg_key(FILE *out, int series);

/* ---- HTML (html.c, html_cases.c, style.c) -------------------------------------------------- */

extern const char report__style[];
extern const char report__script[];
/* "sha256-...": what a content security policy names a text by; in `out`, with its NUL. */
enum { REPORT_SOURCE_BYTES = 64 };
const char *report__source_hash(const char *text, char out[REPORT_SOURCE_BYTES]);
/* Texts of answers, cut where they are too long, with a note. */
void report__html_text(FILE *out, const char *text);
/* The conversation of a case. */
void report__html_turns(FILE *out, const slm_case *c);
/* The two figures at the top; tables of grids.c; the judge and the proof (html_evidence.c). g: the
 * group's index, which its ids begin with. */
void report__html_figures(FILE *out, const report__group *group, size_t g,
                          const slm_report_options *options);
void report__html_grids(FILE *out, const slm_results *results, const report__group *group, size_t g,
                        const slm_report_options *options);
void report__html_evidence(FILE *out, const report__group *group, size_t g,
                           const slm_report_options *options);
slm_status report__html_regressions(FILE *out, slm_store *store, const report__group *group,
                                    const slm_report_options *options, slm_error *err);
/* Worst cases first with their answers; *budget_bytes is what the page may still grow by. */
slm_status report__html_cases(FILE *out, slm_store *store, const report__group *group, size_t limit,
                              size_t *budget_bytes, slm_error *err);
/* The fixed replies of a group's baselines. */
slm_status report__html_fixed_replies(FILE *out, slm_store *store, const report__group *group,
                                      slm_error *err);

#endif
