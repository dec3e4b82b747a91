/* svg_cost.c: the first figure: score against what a month costs.
 *
 * The axis of cost is logarithmic, since models differ by factors of ten and a hundred. A dot is an
 * arm's mean score with its 95% interval as a bar; names stand beside the dots, to the left in the
 * right part of the drawing, and are moved down where they would meet. Arms without a price or
 * without a score are not drawn; the page names them below. */
#include <math.h>
#include <stdlib.h>
#include "report/report_internal.h"

enum { TOP = 14, BELOW = 46, LINE_HEIGHT = 14, NAMES_MAX = 24 };

typedef struct dot {
    const report__row *row;
    double usd, x, y;
} dot;

typedef struct chart {
    double left, right, bottom;
    double low, high; /* log10 of US$ */
    double ceiling, step;
} chart;

static double x_of(const chart *c, double usd)
{
    return c->left + (c->right - c->left) * (log10(usd) - c->low) / (c->high - c->low);
}

static double y_of(const chart *c, double share)
{
    double inside = share < 0 ? 0 : share > c->ceiling ? c->ceiling : share;
    return c->bottom - (c->bottom - TOP) * inside / c->ceiling;
}

static void set_scale(chart *c, const dot *dots, size_t count)
{
    static const double ceilings[] = {0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1};
    static const double steps[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.2, 0.2};
    double highest = 0;
    c->low = INFINITY;
    c->high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        const slm_figure *score = &dots[i].row->score;
        double top = isnan(score->interval.high) ? score->value : score->interval.high;
        if (top > highest) highest = top;
        c->low = fmin(c->low, log10(dots[i].usd));
        c->high = fmax(c->high, log10(dots[i].usd));
    }
    double room = fmax(0.2, 0.12 * (c->high - c->low));
    c->low -= room;
    c->high += room;
    if (c->high - c->low < 1) { /* at least a factor of ten */
        double middle = (c->high + c->low) / 2;
        c->low = middle - 0.5;
        c->high = middle + 0.5;
    }
    size_t i = 0;
    while (i < 6 && ceilings[i] < highest)
        i++;
    c->ceiling = ceilings[i];
    c->step = steps[i];
}

/* "$0.05", "$20", "$5k", "$1M" */
static void put_dollars(FILE *out, double usd)
{
    if (usd >= 999e3)
        fprintf(out, "$%gM", usd / 1e6);
    else if (usd >= 999)
        fprintf(out, "$%gk", usd / 1e3);
    else
        fprintf(out, "$%g", usd);
}

static void draw_axes(FILE *out, const chart *c, double height)
{
    int lines = (int)round(c->ceiling / c->step);
    for (int i = 0; i <= lines; i++) {
        double y = y_of(c, c->step * i);
        fprintf(out,
                "<path class=\"%s\" d=\"M%.1f %.1fH%.1f\"/><text class=\"tick\" x=\"%.1f\" "
                "y=\"%.1f\" text-anchor=\"end\">%.0f%s</text>",
                i ? "grid" : "axis", c->left, y, c->right, c->left - 7, y + 4, c->step * i * 100,
                i == lines ? "%" : "");
    }
    double decades = c->high - c->low;
    for (int decade = (int)floor(c->low); decade <= (int)ceil(c->high); decade++) {
        static const double inside[] = {1, 2, 5};
        int wanted = decades < 2.2 ? 3 : 1;
        if (decades > 7 && decade % 2) continue;
        for (int i = 0; i < wanted; i++) {
            double usd = inside[i] * pow(10, decade), x = x_of(c, usd);
            if (x < c->left || x > c->right) continue;
            fprintf(out,
                    "<path class=\"grid\" d=\"M%.1f %dV%.1f\"/><text class=\"tick\" x=\"%.1f\" "
                    "y=\"%.1f\" text-anchor=\"middle\">",
                    x, TOP, c->bottom, x, c->bottom + 17);
            put_dollars(out, usd);
            fputs("</text>", out);
        }
    }
    fprintf(out,
            "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">US$ a month "
            "(logarithmic)</text>",
            (c->left + c->right) / 2, height - 6);
}

static void draw_dot(FILE *out, const chart *c, const dot *d)
{
    const slm_interval *interval = &d->row->score.interval;
    char usd[REPORT_NUMBER_BYTES];
    fputs("<g class=\"", out);
    report__svg_series(out, d->row->series);
    fputs("\"><title>", out);
    report__escape_line(out, d->row->name, 60);
    fprintf(out, ": %s a month, score ", report__usd(d->usd, usd));
    report__svg_value(out, &d->row->score);
    fputs("</title>", out);
    if (!isnan(interval->low))
        fprintf(out, "<path class=\"whisker\" d=\"M%.1f %.1fV%.1f\"/>", d->x,
                y_of(c, interval->low), y_of(c, interval->high));
    fprintf(out, "<path class=\"mark\" transform=\"translate(%.1f %.1f)\" d=\"%s\"/></g>", d->x,
            d->y, report__svg_marker(d->row->series));
}

static int by_height(const void *a, const void *b)
{
    const dot *one = a, *two = b;
    if (one->y != two->y) return one->y < two->y ? -1 : 1;
    return (one->x > two->x) - (one->x < two->x);
}

/* From the top downwards; a name that would meet one that stands already moves down. */
static void draw_names(FILE *out, const chart *c, const dot *dots, size_t count, bool is_narrow)
{
    double lefts[NAMES_MAX], rights[NAMES_MAX], heights[NAMES_MAX];
    size_t columns = is_narrow ? 14 : 26;
    for (size_t i = 0; i < count && i < NAMES_MAX; i++) {
        bool to_left = dots[i].x > c->left + 0.6 * (c->right - c->left);
        double wide = 7.2 * (double)columns, y = dots[i].y + 4;
        lefts[i] = to_left ? dots[i].x - 9 - wide : dots[i].x + 9;
        rights[i] = lefts[i] + wide;
        for (size_t j = 0; j < i; j++) {
            bool beside = lefts[i] > rights[j] || rights[i] < lefts[j];
            if (!beside && fabs(y - heights[j]) < LINE_HEIGHT) y = heights[j] + LINE_HEIGHT;
        }
        heights[i] = y;
        fprintf(out, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\"%s>",
                to_left ? dots[i].x - 9 : dots[i].x + 9, y, to_left ? " text-anchor=\"end\"" : "");
        report__escape_line(out, dots[i].row->name, columns);
        fputs("</text>", out);
    }
}

bool report__svg_cost(FILE *out, const report__group *group, const slm_report_options *options,
                      const report__frame *frame)
{
    double height = frame->is_narrow ? 300 : 380;
    chart c = {.left = 44, .right = frame->width - 12, .bottom = height - BELOW};
    dot *dots = calloc(group->model_count + 1, sizeof *dots);
    if (!dots) slm_out_of_memory(group->model_count * sizeof *dots);
    size_t count = 0;
    for (size_t i = 0; i < group->model_count; i++) {
        const slm_arm_cost *cost = report__cost_of(&group->rows[i], options);
        if (!cost || !(cost->usd > 0) || isnan(group->rows[i].score.value)) continue;
        dots[count++] = (dot){.row = &group->rows[i], .usd = cost->usd};
    }
    if (count) {
        set_scale(&c, dots, count);
        report__svg_open(out, frame, height, "cost");
        fprintf(out, "Score against cost</title><desc id=\"%s-cost-d\">", frame->id);
        for (size_t i = 0; i < count; i++) {
            char usd[REPORT_NUMBER_BYTES];
            dots[i].x = x_of(&c, dots[i].usd);
            dots[i].y = y_of(&c, dots[i].row->score.value);
            report__escape_line(out, dots[i].row->name, 60);
            fprintf(out, ": %s a month, ", report__usd(dots[i].usd, usd));
            report__svg_value(out, &dots[i].row->score);
            fputs(". ", out);
        }
        fputs("</desc>", out);
        qsort(dots, count, sizeof *dots, by_height);
        draw_axes(out, &c, height);
        for (size_t i = 0; i < count; i++)
            draw_dot(out, &c, &dots[i]);
        draw_names(out, &c, dots, count, frame->is_narrow);
        fputs("</svg>\n", out);
    }
    free(dots);
    return count > 0;
}
