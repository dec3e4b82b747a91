/* progress.c: how far a long job is.
 *
 * On a terminal one line is drawn over itself, at most ten times a second; elsewhere (a log file, a
 * batch system) a plain line is written every PLAIN_INTERVAL_S. The rate is what this run has done
 * divided by its time: work found done by an earlier run cost nothing now and would flatter it. */
#include "base/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <inttypes.h>
#include "base/progress_internal.h"
#include "base/utf8.h"

enum { BAR_COLUMNS = 24, DEFAULT_COLUMNS = 80 };
static const double DRAW_INTERVAL_S = 0.1;
static const double PLAIN_INTERVAL_S = 10;

struct slm_progress {
    slm_log *log;
    char *what;
    char *unit;
    uint64_t total, already, done;
    double start_s;
    double shown_s; /* when a line was last written */
};

double slm_progress_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void slm_progress__time(double seconds, slm_buffer *out)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        slm_buffer_append_text(out, "?");
        return;
    }
    uint64_t s = (uint64_t)(seconds + 0.5);
    if (s < 60) {
        slm_buffer_printf(out, "%" PRIu64 "s", s);
    } else if (s < 3600) {
        slm_buffer_printf(out, "%" PRIu64 "m %02" PRIu64 "s", s / 60, s % 60);
    } else if (s < 86400) {
        slm_buffer_printf(out, "%" PRIu64 "h %02" PRIu64 "m", s / 3600, s % 3600 / 60);
    } else {
        slm_buffer_printf(out, "%" PRIu64 "d %02" PRIu64 "h", s / 86400, s % 86400 / 3600);
    }
}

/* Cuts UTF-8 text to so many terminal columns. */
static void cut_columns(slm_buffer *text, size_t columns)
{
    size_t at = 0;
    while (at < text->len) {
        uint32_t codepoint;
        size_t step = slm_utf8_decode(text->data + at, text->len - at, &codepoint);
        if (slm_utf8_columns(text->data, at + step) > columns) break;
        at += step;
    }
    slm_buffer_truncate(text, at);
}

/* How much of the unit's name is said of so many: the plural's s is left out for one. */
static int unit_len(const char *unit, uint64_t count)
{
    const size_t len = strlen(unit);
    return (int)(count == 1 && len > 1 && unit[len - 1] == 's' ? len - 1 : len);
}

void slm_progress__line(const progress__state *state, bool bar, size_t columns, slm_buffer *out)
{
    bool known = state->total > 0;
    double share = known ? (double)state->done / (double)state->total : 0;
    if (share > 1) share = 1;
    slm_buffer_truncate(out, 0);
    slm_buffer_printf(out, "%s ", state->what);
    if (bar && known) {
        int full = (int)(share * BAR_COLUMNS);
        slm_buffer_append_char(out, '[');
        for (int i = 0; i < BAR_COLUMNS; i++)
            slm_buffer_append_char(out, i < full ? '#' : '.');
        slm_buffer_append_text(out, "] ");
    }
    slm_buffer_printf(out, "%" PRIu64, state->done);
    if (known) slm_buffer_printf(out, "/%" PRIu64, state->total);
    slm_buffer_printf(out, " %.*s", unit_len(state->unit, known ? state->total : state->done),
                      state->unit);
    if (known) slm_buffer_printf(out, " %d%%", (int)(share * 100));
    uint64_t now_done = state->done > state->already ? state->done - state->already : 0;
    if (now_done > 0 && state->elapsed_s > 0) {
        double rate = (double)now_done / state->elapsed_s;
        slm_buffer_printf(out, rate < 10 ? ", %.2g/s" : ", %.0f/s", rate);
        if (state->done < state->total) {
            slm_buffer_append_text(out, ", ");
            slm_progress__time((double)(state->total - state->done) / rate, out);
            slm_buffer_append_text(out, " left");
        }
    }
    if (state->note != NULL && state->note[0] != '\0') slm_buffer_printf(out, "  %s", state->note);
    if (columns > 0) cut_columns(out, columns);
}

static size_t terminal_columns(FILE *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 10) return size.ws_col;
    return DEFAULT_COLUMNS;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) slm_out_of_memory(strlen(text));
    return copy;
}

slm_progress *slm_progress_new(slm_log *log, const char *what, const char *unit, uint64_t total,
                               uint64_t already_done)
{
    slm_progress *progress = calloc(1, sizeof *progress);
    if (progress == NULL) slm_out_of_memory(sizeof *progress);
    progress->log = log;
    progress->what = copy_text(what);
    progress->unit = copy_text(unit);
    progress->total = total;
    progress->already = progress->done = already_done;
    progress->start_s = slm_progress_clock_s();
    progress->shown_s = -INFINITY;
    if (log != NULL && !log->is_terminal) progress->shown_s = progress->start_s;
    return progress;
}

void slm_progress_update(slm_progress *progress, uint64_t done, const char *note)
{
    progress->done = done;
    slm_log *log = progress->log;
    if (log == NULL || log->stream == NULL || log->level < SLM_LOG_INFO) return;
    double now = slm_progress_clock_s();
    /* After another line has cleared ours, draw it again at once. */
    bool cleared = log->is_terminal && !log->line_open;
    double interval = log->is_terminal ? DRAW_INTERVAL_S : PLAIN_INTERVAL_S;
    if (!cleared && now - progress->shown_s < interval) return;
    progress->shown_s = now;
    progress__state state = {.what = progress->what,
                             .unit = progress->unit,
                             .note = note,
                             .total = progress->total,
                             .already = progress->already,
                             .done = done,
                             .elapsed_s = now - progress->start_s};
    slm_buffer line = {0};
    if (log->is_terminal) {
        slm_progress__line(&state, true, terminal_columns(log->stream) - 1, &line);
        fprintf(log->stream, "\r%s\033[K", slm_buffer_text(&line));
        fflush(log->stream);
        log->line_open = true;
    } else {
        slm_progress__line(&state, false, 0, &line);
        slm_log_print(log, SLM_LOG_INFO, "%s", slm_buffer_text(&line));
    }
    slm_buffer_free(&line);
}

void slm_progress_finish(slm_progress *progress)
{
    if (progress == NULL) return;
    slm_buffer took = {0};
    slm_progress__time(slm_progress_clock_s() - progress->start_s, &took);
    const int len =
        unit_len(progress->unit, progress->total > 0 ? progress->total : progress->done);
    if (progress->total > 0) {
        slm_log_print(progress->log, SLM_LOG_INFO, "%s: %" PRIu64 " of %" PRIu64 " %.*s in %s",
                      progress->what, progress->done, progress->total, len, progress->unit,
                      took.data);
    } else {
        slm_log_print(progress->log, SLM_LOG_INFO, "%s: %" PRIu64 " %.*s in %s", progress->what,
                      progress->done, len, progress->unit, took.data);
    }
    slm_buffer_free(&took);
    free(progress->what);
    free(progress->unit);
    free(progress);
}
