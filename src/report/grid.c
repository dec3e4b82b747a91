/* grid.c: a table as data, written as HTML or as Markdown.
 *
 * What the terminal prints in columns (arms.c) the page and the Markdown file need as well. Both are
 * written from one grid: a head for each column, a label and cells for each row, every cell a figure
 * and, softer, its interval. Labels, heads and cells may be foreign text and pass through the one
 * place for each output: report__escape_line, report__markdown_text. */
#include <stdlib.h>
#include <string.h>
#include "report/report_internal.h"

report__grid *report__grids_add(report__grids *grids, const char *title, size_t columns)
{
    if (grids->count == grids->cap) {
        size_t cap = grids->cap ? 2 * grids->cap : 16;
        report__grid *items = realloc(grids->items, cap * sizeof *items);
        if (!items) slm_out_of_memory(cap * sizeof *items);
        grids->items = items;
        grids->cap = cap;
    }
    report__grid *grid = &grids->items[grids->count++];
    *grid = (report__grid){.title = title, .corner = "", .columns = columns};
    grid->heads = slm_arena_array(&grids->arena, columns, sizeof *grid->heads);
    return grid;
}

report__cell *report__grid_add(report__grids *grids, report__grid *grid, const char *label)
{
    grid->rows =
        slm_arena_grow(&grids->arena, grid->rows, grid->count, &grid->cap, sizeof *grid->rows);
    report__grid_row *row = &grid->rows[grid->count++];
    row->label = label;
    row->cells = slm_arena_array(&grids->arena, grid->columns, sizeof *row->cells);
    return row->cells;
}

void report__grids_drop(report__grids *grids)
{
    grids->count--;
}

report__cell report__cell_share(report__grids *grids, const slm_figure *figure)
{
    char value[REPORT_NUMBER_BYTES], range[REPORT_NUMBER_BYTES];
    return (report__cell){
        .text = slm_arena_strdup(&grids->arena, report__percent_tenths(figure->value, value)),
        .soft = slm_arena_strdup(&grids->arena, report__interval(figure, range))};
}

report__cell report__cell_text(report__grids *grids, const char *text)
{
    return (report__cell){.text = slm_arena_strdup(&grids->arena, text)};
}

void report__grids_free(report__grids *grids)
{
    free(grids->items);
    slm_arena_free(&grids->arena);
    *grids = (report__grids){0};
}

/* ---- HTML ---- */

static void put_cell(FILE *out, const report__grid *grid, size_t column, const report__cell *cell)
{
    fputs("<td", out);
    if (cell->class) fprintf(out, " class=\"%s\"", cell->class);
    fputs(" data-l=\"", out);
    report__escape_line(out, grid->heads[column], 40);
    fprintf(out, "\"><span>%s", grid->is_words ? "" : "<span class=\"v\">");
    report__escape_line(out, cell->text ? cell->text : "", 160);
    if (!grid->is_words) fputs("</span>", out);
    if (cell->soft && *cell->soft) {
        fputs("<span class=\"ci\">", out);
        report__escape_line(out, cell->soft, 60);
        fputs("</span>", out);
    }
    fputs("</span></td>", out);
}

void report__grid_html(FILE *out, const report__grid *grid)
{
    if (grid->title) {
        fputs("<h4>", out);
        report__escape_line(out, grid->title, 80);
        fputs("</h4>\n", out);
    }
    fprintf(out, "<div class=\"scroll\" tabindex=\"0\"><table class=\"cards grid%s\"><thead><tr>",
            grid->is_words ? "" : " num");
    fputs("<td>", out);
    report__escape_line(out, grid->corner, 40);
    fputs("</td>", out);
    for (size_t c = 0; c < grid->columns; c++) {
        const char *class = grid->count ? grid->rows[0].cells[c].class : NULL;
        bool is_words = class && strcmp(class, "words") == 0;
        fputs(is_words ? "<th scope=\"col\" class=\"words\">" : "<th scope=\"col\">", out);
        if (grid->series) report__svg_key(out, grid->series[c]);
        fputs("<bdi>", out);
        report__escape_line(out, grid->heads[c], 40);
        fputs("</bdi></th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t r = 0; r < grid->count; r++) {
        fputs("<tr><th scope=\"row\"><bdi>", out);
        report__escape_line(out, grid->rows[r].label, 80);
        fputs("</bdi></th>", out);
        for (size_t c = 0; c < grid->columns; c++)
            put_cell(out, grid, c, &grid->rows[r].cells[c]);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
    if (grid->note) {
        fputs("<p class=\"note\">", out);
        report__escape(out, grid->note, 0);
        fputs("</p>\n", out);
    }
}

/* ---- Markdown ---- */

void report__markdown_text(FILE *out, const char *text, size_t columns)
{
    slm_buffer line = {0};
    report__append_line(&line, text, columns);
    for (const char *c = slm_buffer_text(&line); *c; c++) {
        if (*c == '<') {
            fputs("&lt;", out);
        } else if (*c == '&') {
            fputs("&amp;", out);
        } else {
            if (strchr("\\`*_[]|~>#!$", *c)) fputc('\\', out);
            fputc(*c, out);
        }
    }
    slm_buffer_free(&line);
}

void report__grid_markdown(FILE *out, const report__grid *grid)
{
    if (grid->title) {
        fputs("**", out);
        report__markdown_text(out, grid->title, 0);
        fputs("**\n\n", out);
    }
    fputs("| ", out);
    report__markdown_text(out, grid->corner, 0);
    for (size_t c = 0; c < grid->columns; c++) {
        fputs(" | ", out);
        report__markdown_text(out, grid->heads[c], 0);
    }
    fputs(" |\n| ---", out);
    for (size_t c = 0; c < grid->columns; c++)
        fputs(grid->is_words ? " | ---" : " | ---:", out);
    fputs(" |\n", out);
    for (size_t r = 0; r < grid->count; r++) {
        fputs("| ", out);
        report__markdown_text(out, grid->rows[r].label, 0);
        for (size_t c = 0; c < grid->columns; c++) {
            const report__cell *cell = &grid->rows[r].cells[c];
            fputs(" | ", out);
            report__markdown_text(out, cell->text ? cell->text : "", 0);
            if (cell->soft && *cell->soft) {
                fputc(' ', out);
                report__markdown_text(out, cell->soft, 0);
            }
        }
        fputs(" |\n", out);
    }
    fputc('\n', out);
    if (grid->note) {
        report__markdown_text(out, grid->note, 0);
        fputs("\n\n", out);
    }
}
