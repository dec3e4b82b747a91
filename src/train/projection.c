/* projection.c: how long a stage will take, said while there is time to change one's mind.
 *
 * Nothing is computed for it: the first steps of a run are timed, as are the looks at development data
 * that stand before them, and the rest is taken to go on like that. It is said once, after three steps
 * or as soon as the measured ones took WATCHED_S, with what it rests on. Clocks alone are read: weights
 * and metrics do not know of it. */
#include <math.h>

#include "base/progress.h"
#include "train_internal.h"

enum { WATCHED_STEPS = 3 };
static const double WATCHED_S = 20;

void train__about(double seconds, char text[TRAIN_ABOUT_BYTES])
{
    if (!(seconds >= 0))
        snprintf(text, TRAIN_ABOUT_BYTES, "an unknown time");
    else if (seconds < 9.5)
        snprintf(text, TRAIN_ABOUT_BYTES, "%.2g s", seconds);
    else if (seconds < 100)
        snprintf(text, TRAIN_ABOUT_BYTES, "%.0f s", seconds);
    else if (seconds < 100 * 60)
        snprintf(text, TRAIN_ABOUT_BYTES, "%.0f min", seconds / 60);
    else if (seconds < 1e9)
        snprintf(text, TRAIN_ABOUT_BYTES, "%.1f h", seconds / 3600);
    else
        snprintf(text, TRAIN_ABOUT_BYTES, "years");
}

int64_t train__looks_left(int64_t step, int64_t steps, int64_t each)
{
    return steps / each - step / each + (step < steps && steps % each != 0);
}

/* What the budget leaves of it. */
static void tell_budget(const train__stage *s, double left_s, const char *how_sure)
{
    const double budget_s = s->train->recipe->run.time_budget_minutes * 60;
    const double used_s = slm_progress_clock_s() - s->started_s;
    const int64_t left = s->state.steps - s->state.step;
    if (budget_s <= 0 || used_s + left_s <= budget_s) return;
    int64_t fit = (int64_t)fmax(0, (budget_s - used_s) / left_s * (double)left);
    if (fit >= left) fit = left - 1;
    slm_log_print(s->train->log, SLM_LOG_WARNING,
                  "%s: that is more than time_budget_minutes (%g) leaves: %s %lld of the %lld "
                  "step%s still fit%s; then it stops, saved, and the same command goes on",
                  s->name, s->train->recipe->run.time_budget_minutes, how_sure, (long long)fit,
                  (long long)left, slm_plural((uint64_t)left), fit == 1 ? "s" : "");
}

void train__project(train__projection *p, const train__stage *s, double took_s, double work,
                    double work_left, int64_t looks_left)
{
    char all[TRAIN_ABOUT_BYTES], step[TRAIN_ABOUT_BYTES], look[TRAIN_ABOUT_BYTES];
    if (p->told) return;
    p->steps++;
    p->took_s += took_s;
    p->work += work;
    if (p->steps < WATCHED_STEPS && p->took_s < WATCHED_S) return;
    p->told = true;
    const int64_t left = s->state.steps - s->state.step;
    if (left == 0 || !(p->work > 0)) return;
    const double left_s = p->took_s / p->work * work_left + (double)looks_left * p->look_s;
    train__about(left_s, all);
    train__about(p->took_s / (double)p->steps, step);
    train__about(p->look_s, look);
    char looks[96] = "";
    if (looks_left > 0 && p->look_s > 0)
        snprintf(looks, sizeof looks, ", with %lld look%s at development cases of %s",
                 (long long)looks_left, slm_plural((uint64_t)looks_left), look);
    char first[64] = "the first";
    if (p->steps > 1) snprintf(first, sizeof first, "the first %lld", (long long)p->steps);
    slm_log_print(s->train->log, SLM_LOG_INFO,
                  "%s: %lld step%s left of %lld: about %s, if %s like %s (%s%s)%s", s->name,
                  (long long)left, slm_plural((uint64_t)left), (long long)s->state.steps, all,
                  left == 1 ? "it goes" : "they go on", first, step, p->steps > 1 ? " each" : "",
                  looks);
    tell_budget(s, left_s, "about");
}

void train__project_range(const train__stage *s, const char *what, double from_s, double to_s,
                          const char *why)
{
    char from[TRAIN_ABOUT_BYTES], to[TRAIN_ABOUT_BYTES];
    train__about(from_s, from);
    train__about(to_s, to);
    slm_log_print(s->train->log, SLM_LOG_INFO,
                  "%s: %lld step%s: %sabout %s to %s, from %s; the first%s will tell better",
                  s->name, (long long)s->state.steps, slm_plural((uint64_t)s->state.steps), what,
                  from, to, why, s->state.steps == 1 ? "" : " steps");
    tell_budget(s, from_s, "at most");
}
