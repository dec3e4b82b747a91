/* arms.c: what stands behind the first tables: parts of the cases, HealthBench's tags, how answers are
 * written, refusals, arms against each other, and targets.
 *
 * Tables have a measure a row and an arm a column, as many as the line holds, then the next block.
 * Only models and imported scores are shown: baselines have their place above. A table that would
 * say nothing is left out. */
#include <math.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "report/report_internal.h"

enum { LABEL = 32, COLUMN = 14, BLOCK = 9, PAIR = 19 };

const report__tag_kind report__tag_kinds[REPORT_TAG_KINDS] = {
    {"theme:", "By theme"},
    {"axis:", "By axis"},
    {"cluster:", "Consensus criteria"},
    {"physician_agreed_category:", "By agreed category"},
};

/* What is told of how answers are written; numbers, then shares. */
const report__style_row report__styles[REPORT_STYLES] = {
    {"words", "words", {.kind = SLM_MEASURE_WORDS}, false},
    {"characters", "characters", {.kind = SLM_MEASURE_CHARACTERS}, false},
    {"questions", "questions", {.kind = SLM_MEASURE_QUESTIONS}, false},
    {"asks", "asks, % of answers", {.kind = SLM_MEASURE_ASKS}, true},
    {"asks_on_lacks",
     "  where facts are missing",
     {.kind = SLM_MEASURE_ASKS, .stratum = SLM_STRATUM_LACKS},
     true},
    {"asks_on_enough",
     "  where facts are there",
     {.kind = SLM_MEASURE_ASKS, .stratum = SLM_STRATUM_ENOUGH},
     true},
};
const slm_measure report__length_adjusted = {.kind = SLM_MEASURE_LENGTH_ADJUSTED};

/* ---- text ---- */

/* A line being put together: blanks at its end are not printed. */
typedef struct line {
    FILE *out;
    slm_buffer text;
} line;

typedef struct table {
    line *line;
    const report__group *group;
    size_t from, to; /* rows of the group in this block */
} table;

static void put_padded(line *l, const char *text, size_t width, bool right)
{
    size_t used = slm_utf8_columns(text, strlen(text));
    int pad = used < width ? (int)(width - used) : 0;
    slm_buffer_printf(&l->text, "%*s%s%*s", right ? pad : 0, "", text, right ? 0 : pad, "");
}

static void put_short(line *l, const char *name, size_t width)
{
    slm_buffer text = {0};
    report__append_line(&text, name, width - 2);
    put_padded(l, slm_buffer_text(&text), width, false);
    slm_buffer_free(&text);
}

static void end_line(line *l)
{
    while (l->text.len > 0 && l->text.data[l->text.len - 1] == ' ')
        l->text.len--;
    fprintf(l->out, "%.*s\n", (int)l->text.len, slm_buffer_text(&l->text));
    slm_buffer_truncate(&l->text, 0);
}

/* A paragraph in lines of at most 79 columns; ASCII but for names. */
static void print_wrapped(FILE *out, const char *text)
{
    size_t used = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (used > 0 && used + 1 + word > 79) {
            fputc('\n', out);
            used = 0;
        }
        used += (size_t)fprintf(out, "%s%.*s", used ? " " : "", (int)word, text);
        text += word + (text[word] == ' ');
    }
    fputc('\n', out);
}

/* "42.1 31–53" in a column: value, then the interval. */
static void put_share(line *l, const slm_figure *figure)
{
    char value[REPORT_NUMBER_BYTES], range[REPORT_NUMBER_BYTES];
    put_padded(l, report__percent_tenths(figure->value, value), 6, true);
    slm_buffer_append_char(&l->text, ' ');
    put_padded(l, report__interval(figure, range), COLUMN - 7, false);
}

static void put_amount(line *l, const slm_figure *figure)
{
    char value[REPORT_NUMBER_BYTES] = "-";
    if (!isnan(figure->value))
        snprintf(value, sizeof value, figure->value < 10 ? "%.2f" : "%.0f", figure->value);
    put_padded(l, value, 6, true);
    put_padded(l, "", COLUMN - 6, false);
}

typedef void body_fn(table *t, void *context);

/* The models' columns, as many at a time as fit. */
static void put_blocks(FILE *out, const report__group *group, const slm_report_options *options,
                       const char *title, body_fn *body, void *context)
{
    size_t columns = options && options->columns > 80 ? options->columns : 80;
    size_t per_block = (columns - LABEL) / COLUMN;
    if (per_block > BLOCK) per_block = BLOCK;
    for (size_t from = 0; from < group->model_count; from += per_block) {
        line l = {.out = out};
        table t = {&l, group, from, from + per_block};
        if (t.to > group->model_count) t.to = group->model_count;
        end_line(&l);
        put_short(&l, title, LABEL);
        for (size_t i = t.from; i < t.to; i++) {
            slm_buffer_append_char(&l.text, ' ');
            put_short(&l, group->rows[i].name, COLUMN - 1);
        }
        end_line(&l);
        body(&t, context);
        slm_buffer_free(&l.text);
    }
}

/* A label that is too long for its column has a line of its own. */
static void put_label(const table *t, const char *label)
{
    if (strlen(label) > LABEL - 2) {
        report__append_line(&t->line->text, label, 0);
        end_line(t->line);
        label = "";
    }
    put_short(t->line, label, LABEL);
}

/* ---- parts of the cases ---- */

typedef struct part_columns {
    const slm_results *results;
    size_t kind;
} part_columns;

static void put_parts(table *t, void *context)
{
    const part_columns *c = context;
    const char *parts[REPORT_PARTS_MAX];
    size_t count = report__parts(t->group, c->kind, parts);
    for (size_t p = 0; p < count; p++) {
        put_short(t->line, parts[p], LABEL);
        for (size_t i = t->from; i < t->to; i++) {
            slm_figure figure =
                report__part_figure(c->results, t->group->rows[i].arm, c->kind, parts[p]);
            put_share(t->line, &figure);
        }
        end_line(t->line);
    }
}

static void print_parts(FILE *out, const slm_results *results, const report__group *group,
                        const slm_report_options *options)
{
    for (size_t kind = 0; kind < REPORT_PART_KINDS; kind++) {
        const char *parts[REPORT_PARTS_MAX];
        char title[LABEL];
        part_columns c = {results, kind};
        if (report__parts(group, kind, parts) < 2) continue;
        snprintf(title, sizeof title, "By %s", report__part_kinds[kind]);
        put_blocks(out, group, options, title, put_parts, &c);
    }
}

/* ---- tags ---- */

const slm_tag_score *report__find_tag(const report__tag_columns *c, size_t model, const char *tag)
{
    for (size_t i = 0; i < c->counts[model]; i++) {
        if (strcmp(c->scores[model][i].tag, tag) == 0) return &c->scores[model][i];
    }
    return NULL;
}

/* The next tag behind `after` in order, over all models; NULL: there is none. */
const char *report__next_tag(const report__tag_columns *c, size_t models, const char *after)
{
    const char *next = NULL;
    for (size_t m = 0; m < models; m++) {
        for (size_t i = 0; i < c->counts[m]; i++) {
            const char *tag = c->scores[m][i].tag;
            if (after && strcmp(tag, after) <= 0) continue;
            if (!next || strcmp(tag, next) < 0) next = tag;
            break;
        }
    }
    return next;
}

static void put_tags(table *t, void *context)
{
    const report__tag_columns *c = context;
    for (const char *tag = NULL; (tag = report__next_tag(c, t->group->model_count, tag));) {
        put_label(t, tag + strlen(c->prefix));
        for (size_t i = t->from; i < t->to; i++) {
            const slm_tag_score *score = report__find_tag(c, i, tag);
            if (score)
                put_share(t->line, &score->figure);
            else
                put_padded(t->line, "     -", COLUMN, false);
        }
        end_line(t->line);
    }
}

report__tag_columns report__tags_of(const slm_results *results, const report__group *group,
                                    const char *prefix, slm_arena *arena)
{
    report__tag_columns c = {.prefix = prefix};
    c.scores = slm_arena_array(arena, group->model_count, sizeof *c.scores);
    c.counts = slm_arena_array(arena, group->model_count, sizeof *c.counts);
    for (size_t i = 0; i < group->model_count; i++)
        slm_arm_tag_scores(results, group->rows[i].arm, prefix, arena, &c.scores[i], &c.counts[i]);
    return c;
}

static void print_tags(FILE *out, const slm_results *results, const report__group *group,
                       const slm_report_options *options, slm_arena *arena)
{
    bool any = false;
    for (size_t k = 0; k < REPORT_TAG_KINDS; k++) {
        report__tag_columns c = report__tags_of(results, group, report__tag_kinds[k].prefix, arena);
        if (!report__next_tag(&c, group->model_count, NULL)) continue;
        put_blocks(out, group, options, report__tag_kinds[k].title, put_tags, &c);
        any = true;
    }
    if (!any) return;
    const char *why = NULL;
    slm_arm_is_comparable(group->rows[0].arm, arena, &why);
    fputc('\n', out);
    slm_buffer text = {0};
    report__append_line(&text, why, 0);
    print_wrapped(out, slm_buffer_text(&text));
    slm_buffer_free(&text);
}

/* ---- how answers are written ---- */

static void put_styles(table *t, void *context)
{
    const slm_results *results = context;
    for (size_t s = 0; s < REPORT_STYLES; s++) {
        slm_figure figures[BLOCK];
        bool any = false;
        for (size_t i = t->from; i < t->to; i++) {
            figures[i - t->from] =
                slm_figure_of(results, t->group->rows[i].arm, &report__styles[s].measure);
            any = any || !isnan(figures[i - t->from].value);
        }
        if (!any) continue;
        put_label(t, report__styles[s].label);
        for (size_t i = t->from; i < t->to; i++) {
            if (report__styles[s].is_share)
                put_share(t->line, &figures[i - t->from]);
            else
                put_amount(t->line, &figures[i - t->from]);
        }
        end_line(t->line);
    }
    put_label(t, "length-adjusted score");
    for (size_t i = t->from; i < t->to; i++) {
        slm_figure figure = slm_figure_of(results, t->group->rows[i].arm, &report__length_adjusted);
        put_share(t->line, &figure);
    }
    end_line(t->line);
}

static void put_refusals(table *t, void *context)
{
    static const char *const labels[] = {"refused, % of answers", "  score of these",
                                         "  score of the others"};
    const slm_results *results = context;
    for (int row = 0; row < 3; row++) {
        put_label(t, labels[row]);
        for (size_t i = t->from; i < t->to; i++) {
            slm_refusals r = slm_arm_refusals(results, t->group->rows[i].arm);
            double mean = row == 1 ? r.score_refused : r.score_answered;
            char value[REPORT_NUMBER_BYTES];
            if (row == 0) {
                put_share(t->line, &r.share);
            } else {
                put_padded(t->line, report__percent_tenths(mean, value), 6, true);
                put_padded(t->line, "", COLUMN - 6, false);
            }
        }
        end_line(t->line);
    }
}

bool report__any_text(const report__group *group)
{
    for (size_t i = 0; i < group->model_count; i++) {
        const slm_arm *arm = group->rows[i].arm;
        if (arm->case_count && arm->cases[0].rollout_count && arm->cases[0].rollouts[0].has_text)
            return true;
    }
    return false;
}

bool report__any_refused(const report__group *group)
{
    for (size_t i = 0; i < group->model_count; i++) {
        if (group->rows[i].arm->refused) return true;
    }
    return false;
}

/* ---- pairs ---- */

const report__row *report__row_of(const report__group *group, const slm_arm *arm)
{
    for (size_t i = 0; i < group->model_count; i++) {
        if (group->rows[i].arm == arm) return &group->rows[i];
    }
    return NULL;
}

/* A difference of shares in percentage points, with its sign: "+3.1". */
const char *report__points(double share, char out[REPORT_NUMBER_BYTES])
{
    if (isnan(share)) return "-";
    snprintf(out, REPORT_NUMBER_BYTES, "%+.1f", 100 * share);
    return out;
}

const char *report__probability(double p, char out[REPORT_NUMBER_BYTES])
{
    if (isnan(p)) return "-";
    snprintf(out, REPORT_NUMBER_BYTES, p < 0.001 ? "<0.001" : "%.3f", p);
    return out;
}

static void put_comparison(line *l, const report__group *group, const slm_comparison *c)
{
    char value[REPORT_NUMBER_BYTES], low[REPORT_NUMBER_BYTES], high[REPORT_NUMBER_BYTES],
        p[REPORT_NUMBER_BYTES], holm[REPORT_NUMBER_BYTES];
    slm_buffer range = {0};
    put_short(l, report__row_of(group, c->first)->name, PAIR);
    put_short(l, report__row_of(group, c->second)->name, PAIR);
    put_padded(l, report__points(c->difference, value), 7, true);
    if (isnan(c->interval.low))
        slm_buffer_append_text(&range, "-");
    else
        slm_buffer_printf(&range, "%s to %s", report__points(c->interval.low, low),
                          report__points(c->interval.high, high));
    put_padded(l, slm_buffer_text(&range), 18, true);
    put_padded(l, report__probability(c->p, p), 8, true);
    put_padded(l, report__probability(c->p_holm, holm), 8, true);
    end_line(l);
    if (c->left_out > 0 || c->first->unscored > 0 || c->second->unscored > 0)
        fprintf(l->out, "  with what is unscored held against one or the other: %s to %s\n",
                report__points(c->low, low), report__points(c->high, high));
    slm_buffer_free(&range);
}

static void print_comparisons(FILE *out, const slm_results *results, const report__group *group,
                              slm_arena *arena)
{
    line l = {.out = out};
    if (group->model_count < 2) return;
    for (int worst = 0; worst < (group->k > 1 ? 2 : 1); worst++) {
        slm_comparison *list = NULL;
        size_t count = 0, shown = 0;
        slm_measure measure = {.kind = SLM_MEASURE_SCORE, .k = worst ? group->k : 1};
        slm_compare_all(results, &measure, arena, &list, &count);
        for (size_t i = 0; i < count; i++) {
            if (!report__row_of(group, list[i].first)) continue;
            if (shown++ == 0) {
                fputc('\n', out);
                char title[REPORT_NUMBER_BYTES + 24] = "Pairs, mean score";
                if (worst) snprintf(title, sizeof title, "Pairs, worst of %zu", group->k);
                put_padded(&l, title, PAIR, false);
                put_padded(&l, "against", PAIR, false);
                put_padded(&l, "points", 7, true);
                put_padded(&l, "95% interval", 18, true);
                put_padded(&l, "p", 8, true);
                put_padded(&l, "p Holm", 8, true);
                end_line(&l);
            }
            put_comparison(&l, group, &list[i]);
        }
    }
    slm_buffer_free(&l.text);
    fputs("p: sign-flip test over families; p Holm: corrected for all pairs.\n", out);
}

/* ---- targets ---- */

static void print_targets(FILE *out, const slm_results *results, const report__group *group,
                          const slm_report_options *options)
{
    line l = {.out = out};
    if (!options || options->target_count == 0 || group->model_count == 0) return;
    fputs("\nTargets: met if the interval's lower end is there, reached if only the value is\n",
          out);
    for (size_t i = 0; i < group->model_count; i++) {
        for (size_t t = 0; t < options->target_count; t++) {
            const slm_target *target = &options->targets[t];
            slm_figure figure;
            slm_target_state state = slm_target_check(results, group->rows[i].arm, target, &figure);
            put_short(&l, group->rows[i].name, 24);
            put_short(&l, target->name, 24);
            slm_buffer_printf(&l.text, "%5.1f  ", 100 * target->value);
            put_share(&l, &figure);
            slm_buffer_printf(&l.text, " %s", slm_target_state_name(state));
            end_line(&l);
        }
    }
    slm_buffer_free(&l.text);
}

void report__print_arms(FILE *out, const slm_results *results, const report__group *group,
                        const slm_report_options *options)
{
    slm_arena arena = {0};
    print_parts(out, results, group, options);
    print_tags(out, results, group, options, &arena);
    if (report__any_text(group))
        put_blocks(out, group, options, "An answer", put_styles, (void *)(uintptr_t)results);
    if (report__any_refused(group))
        put_blocks(out, group, options, "Refusals", put_refusals, (void *)(uintptr_t)results);
    print_comparisons(out, results, group, &arena);
    print_targets(out, results, group, options);
    slm_arena_free(&arena);
}

/* ---- JSON ---- */

static void put_number(slm_buffer *out, const char *key, double value)
{
    slm_buffer_printf(out, "\"%s\":", key);
    slm_json_append_number(out, value);
    slm_buffer_append_char(out, ',');
}

static void put_text(slm_buffer *out, const char *key, const char *text)
{
    slm_buffer_printf(out, "\"%s\":", key);
    slm_json_append_string(out, text, strlen(text));
    slm_buffer_append_char(out, ',');
}

/* Takes the comma behind the last member away. */
static void close_with(slm_buffer *out, const char *text)
{
    if (out->len && out->data[out->len - 1] == ',') slm_buffer_truncate(out, out->len - 1);
    slm_buffer_append_text(out, text);
}

/* What stands around a value: its interval, its bounds, and the cases behind it. */
static void put_range(slm_buffer *out, const slm_figure *figure)
{
    put_number(out, "low", figure->interval.low);
    put_number(out, "high", figure->interval.high);
    slm_buffer_append_text(out, "\"bounds\":[");
    slm_json_append_number(out, figure->low);
    slm_buffer_append_char(out, ',');
    slm_json_append_number(out, figure->high);
    slm_buffer_printf(out, "],\"cases\":%zu,", figure->cases);
}

static void put_figure(slm_buffer *out, const char *key, const slm_figure *figure)
{
    slm_buffer_printf(out, "\"%s\":{", key);
    put_number(out, "value", figure->value);
    put_range(out, figure);
    close_with(out, "},");
}

static void put_tag_scores(slm_buffer *out, const slm_results *results, const slm_arm *arm,
                           slm_arena *arena)
{
    slm_tag_score *tags = NULL;
    size_t count = 0;
    slm_arm_tag_scores(results, arm, NULL, arena, &tags, &count);
    slm_buffer_append_text(out, "\"tags\":[");
    for (size_t i = 0; i < count; i++) {
        slm_buffer_append_char(out, '{');
        put_text(out, "tag", tags[i].tag);
        put_text(out, "of", tags[i].is_criterion_tag ? "criteria" : "example");
        put_figure(out, "score", &tags[i].figure);
        put_number(out, "bootstrap_std", tags[i].bootstrap_std);
        slm_buffer_printf(out, "\"samples\":%zu},", tags[i].samples);
    }
    close_with(out, "],");
}

void report__json_arm(slm_buffer *out, const slm_results *results, const slm_arm *arm,
                      const slm_report_options *options)
{
    slm_arena arena = {0};
    const char *why = NULL;
    bool comparable = slm_arm_is_comparable(arm, &arena, &why);
    slm_buffer_printf(out, "\"comparable_with_published\":%s,", comparable ? "true" : "false");
    put_text(out, "comparable_because", why);
    slm_tag_score whole = slm_arm_aggregate(results, arm);
    put_number(out, "bootstrap_std", whole.bootstrap_std);
    put_tag_scores(out, results, arm, &arena);
    slm_figure adjusted = slm_figure_of(results, arm, &report__length_adjusted);
    put_figure(out, "length_adjusted", &adjusted);
    slm_buffer_append_text(out, "\"style\":{");
    for (size_t s = 0; s < REPORT_STYLES; s++) {
        slm_figure figure = slm_figure_of(results, arm, &report__styles[s].measure);
        put_figure(out, report__styles[s].key, &figure);
    }
    close_with(out, "},");
    slm_refusals r = slm_arm_refusals(results, arm);
    slm_buffer_append_text(out, "\"refusals\":{");
    put_figure(out, "share", &r.share);
    put_number(out, "score_refused", r.score_refused);
    put_number(out, "score_answered", r.score_answered);
    close_with(out, "},\"targets\":[");
    for (size_t t = 0; options && t < options->target_count; t++) {
        slm_figure figure;
        slm_target_state state = slm_target_check(results, arm, &options->targets[t], &figure);
        slm_buffer_append_char(out, '{');
        put_text(out, "target", options->targets[t].name);
        put_number(out, "wanted", options->targets[t].value);
        put_text(out, "state", slm_target_state_name(state));
        put_figure(out, "figure", &figure);
        close_with(out, "},");
    }
    close_with(out, "],");
    slm_arena_free(&arena);
}

void report__json_comparisons(slm_buffer *out, const slm_results *results,
                              const report__group *group)
{
    slm_arena arena = {0};
    slm_buffer_append_text(out, "\"comparisons\":[");
    for (int worst = 0; worst < (group->k > 1 ? 2 : 1); worst++) {
        slm_comparison *list = NULL;
        size_t count = 0;
        slm_measure measure = {.kind = SLM_MEASURE_SCORE, .k = worst ? group->k : 1};
        slm_compare_all(results, &measure, &arena, &list, &count);
        for (size_t i = 0; i < count; i++) {
            const slm_comparison *c = &list[i];
            slm_figure figure = {c->difference, c->interval, c->low, c->high, c->cases};
            if (!report__row_of(group, c->first)) continue;
            slm_buffer_append_char(out, '{');
            put_text(out, "first", report__row_of(group, c->first)->name);
            put_text(out, "second", report__row_of(group, c->second)->name);
            slm_buffer_printf(out, "\"k\":%zu,", measure.k);
            put_number(out, "difference", figure.value);
            put_range(out, &figure);
            slm_buffer_printf(out, "\"families\":%zu,\"left_out\":%zu,", c->families, c->left_out);
            put_number(out, "p", c->p);
            put_number(out, "p_holm", c->p_holm);
            slm_buffer_printf(out, "\"exact\":%s},", c->is_exact ? "true" : "false");
        }
    }
    close_with(out, "],");
    slm_arena_free(&arena);
}
