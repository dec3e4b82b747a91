/* svg.c: curves and behaviours, drawn as SVG that needs no script.
 *
 * Each is drawn twice, for telephones and for wider pages, because text that is scaled down with a
 * drawing cannot be read; the style sheet shows one of them. Series are told apart three ways, by
 * colour, dash and marker, and are labelled where they end rather than in a legend. Colours are
 * classes (s0 to s7, sx for the rest), so that light and dark paper each have their own; the hues
 * keep their order of lightness apart for the common kinds of colour blindness. Every drawing has
 * a title and a description in words, and every point says its value when pointed at. */
#include <math.h>
#include <stdlib.h>
#include "report/report_internal.h"

/* Dashes and markers by series; a marker is a path around (0,0). */
static const char *const dashes[REPORT_SERIES] = {"none", "7 3",     "2 3",     "9 3 2 3",
                                                  "12 4", "4 2 1 2", "1 2 5 2", "3 5"};
static const char *const markers[REPORT_SERIES] = {
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "M-3.2-3.2h6.4v6.4h-6.4z",
    "M0-4.2l4 7.2h-8z",
    "M0-4.6l4 4.6l-4 4.6l-4-4.6z",
    "M0 4.2l4-7.2h-8z",
    "M-1.3-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
    "M-4-4h3v8h-3zM1-4h3v8h-3z",
    "M-4-3h8v2h-8zM-4 1h8v2h-8z"};

enum { LABEL_GAP = 15 }; /* between the baselines of two labels */

typedef struct plot {
    double left, right, top, bottom; /* of the area, in the drawing's units */
    double ceiling;                  /* the share at the top */
    double step;                     /* between grid lines */
    size_t max_k;
} plot;

static double x_of(const plot *p, size_t k)
{
    if (p->max_k < 2) return (p->left + p->right) / 2;
    return p->left + (p->right - p->left) * ((double)k - 1) / ((double)p->max_k - 1);
}

static double y_of(const plot *p, double share)
{
    double inside = share < 0 ? 0 : share > p->ceiling ? p->ceiling : share;
    return p->bottom - (p->bottom - p->top) * inside / p->ceiling;
}

/* "12% (95% interval 5–20)" */
void report__svg_value(FILE *out, const slm_figure *figure)
{
    char value[REPORT_NUMBER_BYTES], range[REPORT_NUMBER_BYTES];
    report__percent_tenths(figure->value, value);
    report__range(figure->interval.low, figure->interval.high, range);
    fputs(value[0] == '<' ? "&lt;" : value[0] == '>' ? "&gt;" : "", out);
    fprintf(out, "%s%%", value + (value[0] == '<' || value[0] == '>'));
    if (*range) fprintf(out, " (95%% interval %s)", range);
}

void report__svg_series(FILE *out, int series)
{
    if (series < 0)
        fputs("sx", out);
    else
        fprintf(out, "s%d", series);
}

const char *report__svg_marker(int series)
{
    return markers[series < 0 ? 0 : series];
}

void report__svg_key(FILE *out, int series)
{
    fputs("<svg class=\"key ", out);
    report__svg_series(out, series);
    fprintf(out,
            "\" viewBox=\"-14 -6 28 12\" width=\"28\" height=\"12\" aria-hidden=\"true\">"
            "<path class=\"line\" d=\"M-14 0h28\" stroke-dasharray=\"%s\"/>",
            series < 0 ? "none" : dashes[series]);
    if (series >= 0) fprintf(out, "<path class=\"mark\" d=\"%s\"/>", markers[series]);
    fputs("</svg>", out);
}

void report__svg_open(FILE *out, const report__frame *frame, double height, const char *what)
{
    fprintf(out,
            "<svg class=\"fig %s\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\" "
            "role=\"img\" aria-labelledby=\"%s-%s-t %s-%s-d\"><title id=\"%s-%s-t\">",
            frame->is_narrow ? "narrow" : "wide", frame->width, height, frame->width, height,
            frame->id, what, frame->id, what, frame->id, what);
}

/* ---- worst of k ---------------------------------------------------------------------------- */

static bool is_drawn(const report__row *row)
{
    return row->max_k > 0 && !isnan(row->curve[0].value);
}

static plot new_plot(const report__group *group, const report__frame *frame, double height)
{
    plot p = {.left = 44,
              .right = frame->width - (frame->is_narrow ? 104 : 196),
              .top = 14,
              .bottom = height - 44};
    double highest = 0.05;
    for (size_t i = 0; i < group->count; i++) {
        const report__row *row = &group->rows[i];
        bool is_floor = row == row->floor;
        if ((row->baseline && !is_floor) || !is_drawn(row)) continue;
        if (row->max_k > p.max_k && !is_floor) p.max_k = row->max_k;
        for (size_t k = 0; k < row->max_k; k++) {
            double high = is_floor ? row->curve[k].value : row->curve[k].interval.high;
            if (high > highest) highest = high;
        }
    }
    static const double ceilings[] = {0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1};
    static const double steps[] = {0.01, 0.02, 0.05, 0.1, 0.1, 0.2, 0.2, 0.2};
    size_t i = 0;
    while (i + 1 < sizeof ceilings / sizeof ceilings[0] && ceilings[i] < highest)
        i++;
    p.ceiling = ceilings[i];
    p.step = steps[i];
    if (p.max_k == 0) p.max_k = 1;
    return p;
}

static void draw_axes(FILE *out, const plot *p, double height, bool is_narrow)
{
    int lines = (int)round(p->ceiling / p->step);
    for (int i = 0; i <= lines; i++) {
        double share = p->step * i;
        fprintf(out,
                "<path class=\"%s\" d=\"M%.1f %.1fH%.1f\"/>"
                "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.0f%s</text>",
                i ? "grid" : "axis", p->left, y_of(p, share), p->right, p->left - 7,
                y_of(p, share) + 4, share * 100, i == lines ? "%" : "");
    }
    size_t every = p->max_k > (is_narrow ? 9 : 20) ? (p->max_k + 7) / 8 : 1;
    for (size_t k = 1; k <= p->max_k; k++) {
        if (k > 1 && k < p->max_k && (k % every || p->max_k - k < every)) continue;
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%zu</text>",
                x_of(p, k), p->bottom + 18, k);
    }
    fprintf(out, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>",
            (p->left + p->right) / 2, height - 6,
            is_narrow ? "k: answers to each case" : "k: the score of the worst of k answers");
}

/* The band over k = from to to - 1; a single k has a bar. */
static void draw_band(FILE *out, const plot *p, const report__row *row, size_t from, size_t to)
{
    if (to - from == 1) {
        fprintf(out, "<path class=\"whisker\" d=\"M%.1f %.1fV%.1f\"/>", x_of(p, from),
                y_of(p, row->curve[from - 1].interval.low),
                y_of(p, row->curve[from - 1].interval.high));
        return;
    }
    fputs("<path class=\"band\" d=\"", out);
    for (size_t k = from; k < to; k++) {
        fprintf(out, "%c%.1f %.1f", k == from ? 'M' : 'L', x_of(p, k),
                y_of(p, row->curve[k - 1].interval.high));
    }
    for (size_t k = to - 1; k >= from; k--)
        fprintf(out, "L%.1f %.1f", x_of(p, k), y_of(p, row->curve[k - 1].interval.low));
    fputs("z\"/>", out);
}

/* Where the interval is known. */
static void draw_bands(FILE *out, const plot *p, const report__row *row)
{
    size_t from = 1;
    for (size_t k = 1; k <= row->max_k + 1; k++) {
        if (k <= row->max_k && !isnan(row->curve[k - 1].interval.low)) continue;
        if (k > from) draw_band(out, p, row, from, k);
        from = k + 1;
    }
}

static void draw_curve(FILE *out, const plot *p, const report__row *row)
{
    fputs("<g class=\"", out);
    report__svg_series(out, row->series);
    fputs("\">", out);
    if (row->series >= 0) draw_bands(out, p, row);
    fputs("<path class=\"line\" stroke-dasharray=\"", out);
    fprintf(out, "%s\" d=\"", row->series < 0 ? "none" : dashes[row->series]);
    for (size_t k = 1; k <= row->max_k; k++) {
        fprintf(out, "%c%.1f %.1f", k == 1 ? 'M' : 'L', x_of(p, k),
                y_of(p, row->curve[k - 1].value));
    }
    fputs("\"/>", out);
    for (size_t k = 1; k <= row->max_k && row->series >= 0; k++) {
        fprintf(out, "<path class=\"mark\" transform=\"translate(%.1f %.1f)\" d=\"%s\"><title>",
                x_of(p, k), y_of(p, row->curve[k - 1].value), markers[row->series]);
        report__escape_line(out, row->name, 60);
        fprintf(out, ", worst of %zu: ", k);
        report__svg_value(out, &row->curve[k - 1]);
        fputs("</title></path>", out);
    }
    fputs("</g>", out);
}

typedef struct label {
    const report__row *row;
    double y, wanted;
} label;

static int by_height(const void *a, const void *b)
{
    const label *one = a, *two = b;
    if (one->wanted != two->wanted) return one->wanted < two->wanted ? -1 : 1;
    return (one->row > two->row) - (one->row < two->row);
}

/* Push labels apart, from the top downwards, then back up from the bottom edge. */
static void spread_labels(label *labels, size_t count, double bottom)
{
    qsort(labels, count, sizeof *labels, by_height);
    for (size_t i = 1; i < count; i++) {
        if (labels[i].y < labels[i - 1].y + LABEL_GAP) labels[i].y = labels[i - 1].y + LABEL_GAP;
    }
    for (size_t i = count; i-- > 0;) {
        double limit = i + 1 < count ? labels[i + 1].y - LABEL_GAP : bottom;
        if (labels[i].y > limit) labels[i].y = limit;
    }
}

static void draw_labels(FILE *out, const plot *p, const report__group *group, bool is_narrow)
{
    label labels[REPORT_SERIES + 1];
    size_t count = 0;
    for (size_t i = 0; i < group->count && count <= REPORT_SERIES; i++) {
        const report__row *row = &group->rows[i];
        if (!is_drawn(row) || (row->series < 0 && row != row->floor)) continue;
        double y = y_of(p, row == row->floor ? row->score.value : row->curve[row->max_k - 1].value);
        labels[count++] = (label){row, y, y};
    }
    spread_labels(labels, count, p->bottom);
    for (size_t i = 0; i < count; i++) {
        const report__row *row = labels[i].row;
        bool is_floor = row == row->floor;
        double x = p->right + 18, from = is_floor ? p->right : x_of(p, row->max_k);
        fputs("<g class=\"", out);
        if (is_floor)
            fputs("floor", out);
        else
            report__svg_series(out, row->series);
        fprintf(out,
                "\"><path class=\"leader\" d=\"M%.1f %.1fL%.1f %.1fL%.1f %.1f\"/>"
                "<text class=\"label\" x=\"%.1f\" y=\"%.1f\">",
                from + 6, labels[i].wanted, p->right + 8 > from + 6 ? p->right + 8 : from + 6,
                labels[i].wanted, x - 3, labels[i].y, x, labels[i].y + 4);
        report__escape_line(out, is_floor && !is_narrow ? "floor: best fixed reply" : row->name,
                            is_narrow  ? 11
                            : is_floor ? 26
                                       : 22);
        fputs("</text></g>", out);
    }
}

static void describe_curves(FILE *out, const report__group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        const report__row *row = &group->rows[i];
        if (!is_drawn(row) || (row->baseline && row != row->floor)) continue;
        report__escape_line(out, row->name, 60);
        fputs(": mean ", out);
        report__svg_value(out, &row->curve[0]);
        if (row->max_k > 1) {
            fprintf(out, ", worst of %zu ", row->max_k);
            report__svg_value(out, &row->curve[row->max_k - 1]);
        }
        fputs(". ", out);
    }
}

void report__svg_curves(FILE *out, const report__group *group, const report__frame *frame)
{
    double height = frame->is_narrow ? 300 : 380;
    plot p = new_plot(group, frame, height);
    report__svg_open(out, frame, height, "curve");
    fprintf(out, "Score of the worst of k answers</title><desc id=\"%s-curve-d\">", frame->id);
    describe_curves(out, group);
    fputs("</desc>", out);
    draw_axes(out, &p, height, frame->is_narrow);
    const report__row *floor = group->count ? group->rows[0].floor : NULL;
    if (floor && is_drawn(floor)) {
        fprintf(out, "<path class=\"floor-line\" d=\"M%.1f %.1fH%.1f\"/>", p.left,
                y_of(&p, floor->score.value), p.right);
    }
    for (int coloured = 0; coloured < 2; coloured++) { /* the grey ones lie below */
        for (size_t i = 0; i < group->model_count; i++) {
            const report__row *row = &group->rows[i];
            if (is_drawn(row) && (row->series >= 0) == (coloured == 1)) draw_curve(out, &p, row);
        }
    }
    draw_labels(out, &p, group, frame->is_narrow);
    fputs("</svg>\n", out);
}

/* ---- behaviours ---------------------------------------------------------------------------- */

enum { ROW_HEIGHT = 24, ROWS_MAX = 24, PANEL_HEAD = 44, PANEL_FOOT = 22 };

static void draw_dot(FILE *out, const report__row *row, size_t m, double x, double width, double y)
{
    const slm_figure *mean = &row->mean[m], *worst = &row->worst[m];
    if (isnan(mean->value)) {
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">–</text>", x, y + 4);
        return;
    }
    fputs("<g class=\"", out);
    report__svg_series(out, row->series);
    fputs("\"><title>", out);
    report__escape_line(out, row->name, 60);
    fprintf(out, ", %s: ", report__measures[m].name);
    report__svg_value(out, mean);
    fputs("</title>", out);
    if (!isnan(mean->interval.low)) {
        fprintf(out, "<path class=\"whisker\" d=\"M%.1f %.1fH%.1f\"/>",
                x + width * mean->interval.low, y, x + width * mean->interval.high);
    }
    fprintf(out, "<path class=\"mark\" transform=\"translate(%.1f %.1f)\" d=\"%s\"/>",
            x + width * mean->value, y, markers[row->series < 0 ? 0 : row->series]);
    if (!isnan(worst->value) && row->max_k > 1) {
        fprintf(out, "<circle class=\"worst\" cx=\"%.1f\" cy=\"%.1f\" r=\"5.5\"/>",
                x + width * worst->value, y);
    }
    fputs("</g>", out);
}

/* One measure: its head, scale, the floor's mark, a dot for each row. */
static void draw_panel(FILE *out, const report__group *group, size_t rows, size_t m, double x,
                       double width, double top, bool has_names)
{
    double first = top + PANEL_HEAD, last = first + ROW_HEIGHT * (double)rows;
    double head_x = has_names ? 0 : x;
    fprintf(out,
            "<text class=\"head\" x=\"%.1f\" y=\"%.1f\">%s</text>"
            "<text class=\"name\" x=\"%.1f\" y=\"%.1f\">%s</text>",
            head_x, top + 14, report__measures[m].name, has_names ? head_x + 64 : head_x,
            has_names ? top + 14 : top + 29, report__measures[m].where);
    for (int i = 0; i <= 2; i++) {
        double at = x + width * i / 2;
        fprintf(out,
                "<path class=\"%s\" d=\"M%.1f %.1fV%.1f\"/>"
                "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d</text>",
                i ? "grid" : "axis", at, first - 6, last, at, last + 15, i * 50);
    }
    const report__row *floor = group->rows[0].floor;
    if (floor && !isnan(floor->mean[m].value)) {
        double at = x + width * floor->mean[m].value;
        fprintf(out, "<g class=\"floor\"><title>floor, %s: ", report__measures[m].name);
        report__svg_value(out, &floor->mean[m]);
        fprintf(out,
                "</title><path class=\"floor-line\" d=\"M%.1f %.1fV%.1f\"/>"
                "<path class=\"mark\" d=\"M%.1f %.1fl-4-6h8z\"/></g>",
                at, first - 6, last, at, first - 5);
    }
    for (size_t i = 0; i < rows; i++)
        draw_dot(out, &group->rows[i], m, x, width, first + ROW_HEIGHT * ((double)i + 0.5));
}

static void draw_row_names(FILE *out, const report__group *group, size_t rows, double top,
                           size_t columns)
{
    for (size_t i = 0; i < rows; i++) {
        double y = top + PANEL_HEAD + ROW_HEIGHT * ((double)i + 0.5) + 4;
        fprintf(out, "<text class=\"label\" x=\"0\" y=\"%.1f\">", y);
        report__escape_line(out, group->rows[i].name, columns);
        fputs("</text>", out);
    }
}

void report__svg_behaviours(FILE *out, const report__group *group, const report__frame *frame)
{
    size_t rows = group->model_count < ROWS_MAX ? group->model_count : ROWS_MAX;
    double panel = PANEL_HEAD + PANEL_FOOT + ROW_HEIGHT * (double)rows;
    size_t shown[REPORT_MEASURES], panels = 0;
    for (size_t m = 0; m < REPORT_MEASURES; m++) {
        if (report__cases(group, m)) shown[panels++] = m;
    }
    double height = frame->is_narrow ? (panel + 10) * (double)panels : panel;
    report__svg_open(out, frame, height, "dots");
    fprintf(out, "Behaviours of each model beside the floor</title><desc id=\"%s-dots-d\">",
            frame->id);
    fputs("The same figures as in the first table: a dot is the mean, the bar its 95% interval, a "
          "ring the worst, the marked line what the best fixed reply reaches.</desc>",
          out);
    double names = frame->is_narrow ? 122 : 178, gap = 34;
    double width = frame->is_narrow ? frame->width - names - 12
                                    : (frame->width - names - 12 - gap * (REPORT_MEASURES - 1)) /
                                          REPORT_MEASURES;
    if (!frame->is_narrow) draw_row_names(out, group, rows, 0, 22);
    for (size_t i = 0; i < panels; i++) {
        double top = frame->is_narrow ? (panel + 10) * (double)i : 0;
        double x = frame->is_narrow ? names : names + (width + gap) * (double)i;
        if (frame->is_narrow) draw_row_names(out, group, rows, top, 14);
        draw_panel(out, group, rows, shown[i], x, width, top, frame->is_narrow);
    }
    fputs("</svg>\n", out);
}
