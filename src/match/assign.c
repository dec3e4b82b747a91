/* assign.c: one-to-one assignment with the greatest sum.
 *
 * The Hungarian method (Kuhn 1955; Munkres 1957) in its shortest-augmenting-path form with
 * potentials (Jonker and Volgenant 1987): O(rows^2 columns). Costs are 1 - score. Staying alone
 * scores 0; columns are padded with one for each row to stay alone in. Pairs below `least` score 0
 * too, so they are never better than that, and are dropped at the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "match/match_internal.h"

static const double ALONE = 1.0;

static double cost_of(const double *scores, size_t columns, double least, size_t row, size_t column)
{
    if (column >= columns) return ALONE;
    double score = scores[row * columns + column];
    return score >= least ? 1.0 - score : ALONE;
}

void slm_match_assign(const double *scores, size_t rows, size_t columns, double least, size_t *out)
{
    size_t width = columns + rows; /* indices from 1; 0 is the row being placed */
    size_t bytes = (width + 1) * (2 * sizeof(double) + 2 * sizeof(size_t) + sizeof(bool)) +
                   (rows + 1) * sizeof(double);
    char *memory = calloc(1, bytes);
    if (memory == NULL) slm_out_of_memory(bytes);
    double *v = (double *)(void *)memory, *slack = v + width + 1, *u = slack + width + 1;
    size_t *row_of = (size_t *)(void *)(u + rows + 1), *from = row_of + width + 1;
    bool *done = (bool *)(from + width + 1);

    for (size_t row = 1; row <= rows; row++) {
        for (size_t j = 0; j <= width; j++) {
            slack[j] = INFINITY;
            done[j] = false;
        }
        row_of[0] = row;
        size_t at = 0;
        while (row_of[at] != 0) { /* grow the alternating tree until it meets a free column */
            size_t i = row_of[at], next = 0;
            double delta = INFINITY;
            done[at] = true;
            for (size_t j = 1; j <= width; j++) {
                if (done[j]) continue;
                double reduced = cost_of(scores, columns, least, i - 1, j - 1) - u[i] - v[j];
                if (reduced < slack[j]) {
                    slack[j] = reduced;
                    from[j] = at;
                }
                if (slack[j] < delta) {
                    delta = slack[j];
                    next = j;
                }
            }
            for (size_t j = 0; j <= width; j++) {
                if (done[j]) {
                    u[row_of[j]] += delta;
                    v[j] -= delta;
                } else {
                    slack[j] -= delta;
                }
            }
            at = next;
        }
        while (at != 0) { /* flip the path */
            row_of[at] = row_of[from[at]];
            at = from[at];
        }
    }
    for (size_t i = 0; i < rows; i++)
        out[i] = SIZE_MAX;
    for (size_t j = 1; j <= columns; j++)
        if (row_of[j] != 0 && scores[(row_of[j] - 1) * columns + j - 1] >= least)
            out[row_of[j] - 1] = j - 1;
    free(memory);
}
