/* parts.c: the whole score by context, disposition and language.
 *
 * A part is the cases that carry one value; its figure is that of an arm with these cases alone. The
 * arm's families stay counted as they are, so that all parts share the bootstrap's draws, as tags do;
 * a family without a case of the part has no value in it. Here context is that of every case, where
 * the first table's columns leave emergencies out. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "report/report_internal.h"

const char *const report__part_kinds[REPORT_PART_KINDS] = {"context", "disposition", "language"};

const char *report__part_of(const slm_case *c, size_t kind)
{
    static const char *const contexts[] = {NULL, "lacks", "enough"};
    static const char *const dispositions[] = {NULL, "emergency", "urgent", "routine", "self-care"};
    if (!c) return NULL;
    if (kind == 0) return contexts[c->context];
    if (kind == 1) return dispositions[c->disposition];
    return c->language && *c->language ? c->language : NULL;
}

/* Contexts and dispositions keep their own order, languages that of the alphabet. */
static int order_of(size_t kind, const char *part)
{
    static const char *const known[] = {"lacks",  "enough",  "emergency",
                                        "urgent", "routine", "self-care"};
    for (int i = 0; kind < 2 && i < 6; i++) {
        if (strcmp(known[i], part) == 0) return i;
    }
    return 6;
}

size_t report__parts(const report__group *group, size_t kind, const char *parts[REPORT_PARTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < group->model_count; i++) {
        const slm_arm *arm = group->rows[i].arm;
        for (size_t c = 0; c < arm->case_count; c++) {
            const char *part = report__part_of(arm->cases[c].c, kind);
            if (!part) continue;
            size_t at = 0;
            int order = 1;
            for (; at < count; at++) {
                order = order_of(kind, part) - order_of(kind, parts[at]);
                if (order == 0) order = strcmp(part, parts[at]);
                if (order <= 0) break;
            }
            if ((at < count && order == 0) || count == REPORT_PARTS_MAX) continue;
            memmove(&parts[at + 1], &parts[at], (count - at) * sizeof *parts);
            parts[at] = part;
            count++;
        }
    }
    return count;
}

slm_figure report__part_figure(const slm_results *results, const slm_arm *arm, size_t kind,
                               const char *part)
{
    slm_arm some = *arm;
    some.cases = malloc((arm->case_count + 1) * sizeof *some.cases);
    if (!some.cases) slm_out_of_memory(arm->case_count * sizeof *some.cases);
    some.case_count = 0;
    for (size_t c = 0; c < arm->case_count; c++) {
        const char *of = report__part_of(arm->cases[c].c, kind);
        if (of && strcmp(of, part) == 0) some.cases[some.case_count++] = arm->cases[c];
    }
    slm_figure figure =
        slm_figure_of(results, &some, &(slm_measure){.kind = SLM_MEASURE_SCORE, .k = 1});
    free(some.cases);
    return figure;
}

/* ---- JSON ---- */

void report__json_parts(slm_buffer *out, const slm_results *results, const report__group *group,
                        const slm_arm *arm)
{
    slm_buffer_append_text(out, "\"parts\":[");
    size_t listed = 0;
    for (size_t kind = 0; kind < REPORT_PART_KINDS; kind++) {
        const char *parts[REPORT_PARTS_MAX];
        size_t count = report__parts(group, kind, parts);
        for (size_t p = 0; p < count; p++) {
            slm_figure figure = report__part_figure(results, arm, kind, parts[p]);
            slm_buffer_printf(out, "%s{\"by\":\"%s\",\"is\":", listed++ ? "," : "",
                              report__part_kinds[kind]);
            slm_json_append_string(out, parts[p], strlen(parts[p]));
            const double numbers[] = {figure.value, figure.interval.low, figure.interval.high};
            static const char *const keys[] = {",\"score\":", ",\"low\":", ",\"high\":"};
            for (int n = 0; n < 3; n++) {
                slm_buffer_append_text(out, keys[n]);
                slm_json_append_number(out, numbers[n]);
            }
            slm_buffer_printf(out, ",\"cases\":%zu}", figure.cases);
        }
    }
    slm_buffer_append_text(out, "],");
}
