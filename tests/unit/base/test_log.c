/* Log and progress: prefixes, levels, a progress line that is cleared, and the arithmetic of time
 * left. */
#include "helpers.h"

#include "base/log.h"
#include "base/progress.h"
#include "base/progress_internal.h"
#include "base/utf8.h"

/* A stream into memory. */
typedef struct memory {
    FILE *stream;
    char *text;
    size_t len;
} memory;

static memory memory_open(void)
{
    memory m = {0};
    m.stream = tmpfile();
    assert_non_null(m.stream);
    return m;
}

/* What was written so far; frees everything at the next call with close set. */
static const char *memory_text(memory *m)
{
    free(m->text);
    long len = ftell(m->stream);
    m->text = calloc(1, (size_t)len + 1);
    rewind(m->stream);
    m->len = fread(m->text, 1, (size_t)len, m->stream);
    return m->text;
}

static void memory_close(memory *m)
{
    fclose(m->stream);
    free(m->text);
}

static void levels_have_prefixes(void **state)
{
    (void)state;
    memory m = memory_open();
    slm_log log = slm_log_new(m.stream, SLM_LOG_INFO, false);
    assert_false(log.is_terminal || log.colour);
    slm_log_print(&log, SLM_LOG_ERROR, "no %s", "file");
    slm_log_print(&log, SLM_LOG_WARNING, "odd");
    slm_log_print(&log, SLM_LOG_INFO, "plain");
    slm_log_print(&log, SLM_LOG_DEBUG, "hidden");
    assert_string_equal(memory_text(&m), "slm: error: no file\nslm: warning: odd\nplain\n");
    slm_log_print(NULL, SLM_LOG_ERROR, "nowhere");
    memory_close(&m);
}

static void long_lines_are_whole(void **state)
{
    (void)state;
    memory m = memory_open();
    slm_log log = slm_log_new(m.stream, SLM_LOG_INFO, false);
    slm_log_print(&log, SLM_LOG_INFO, "%*s|", 10000, "");
    memory_text(&m);
    assert_int_equal(m.len, 10002);
    assert_string_equal(m.text + 10000, "|\n");
    memory_close(&m);
}

static void colour_only_where_wanted(void **state)
{
    (void)state;
    memory m = memory_open();
    slm_log log = {.stream = m.stream, .level = SLM_LOG_INFO, .colour = true};
    slm_log_print(&log, SLM_LOG_ERROR, "x");
    assert_string_equal(memory_text(&m), "\033[31mslm: error: \033[0mx\n");
    memory_close(&m);
}

static void progress_line_is_cleared_for_a_message(void **state)
{
    (void)state;
    memory m = memory_open();
    slm_log log = {.stream = m.stream, .level = SLM_LOG_INFO, .is_terminal = true};
    slm_progress *p = slm_progress_new(&log, "evaluating", "samples", 10, 2);
    slm_progress_update(p, 4, NULL);
    assert_true(log.line_open);
    slm_log_print(&log, SLM_LOG_WARNING, "one was cut off");
    assert_false(log.line_open);
    slm_progress_update(p, 5, "note");
    slm_progress_update(p, 6, "too soon to be drawn");
    slm_progress_finish(p);
    const char *text = memory_text(&m);
    assert_holds(text, "\revaluating [#########...............] 4/10 samples 40%");
    assert_holds(text, "\r\033[Kslm: warning: one was cut off\n\revaluating [");
    assert_holds(text, "  note\033[K");
    assert_null(strstr(text, "too soon"));
    assert_holds(text, "\r\033[Kevaluating: 6 of 10 samples in 0s\n");
    memory_close(&m);
}

static void elsewhere_plain_lines(void **state)
{
    (void)state;
    memory m = memory_open();
    slm_log log = slm_log_new(m.stream, SLM_LOG_INFO, false);
    slm_progress *p = slm_progress_new(&log, "evaluating", "samples", 10, 0);
    for (uint64_t i = 0; i <= 10; i++)
        slm_progress_update(p, i, NULL);
    slm_progress_finish(p);
    assert_string_equal(memory_text(&m), "evaluating: 10 of 10 samples in 0s\n");
    memory_close(&m);
    m = memory_open();
    log = slm_log_new(m.stream, SLM_LOG_INFO, false);
    for (uint64_t total = 0; total < 2; total++) {
        p = slm_progress_new(&log, "evaluating", "samples", total, 0);
        slm_progress_update(p, 1, NULL);
        slm_progress_finish(p);
    }
    assert_string_equal(memory_text(&m),
                        "evaluating: 1 sample in 0s\nevaluating: 1 of 1 sample in 0s\n");
    memory_close(&m);
    slm_progress *silent = slm_progress_new(NULL, "x", "y", 3, 0);
    slm_progress_update(silent, 1, NULL);
    slm_progress_finish(silent);
    slm_progress_finish(NULL);
}

static void assert_line(const progress__state *s, bool bar, size_t columns, const char *want)
{
    slm_buffer out = {0};
    slm_progress__line(s, bar, columns, &out);
    assert_string_equal(slm_buffer_text(&out), want);
    slm_buffer_free(&out);
}

static void time_left_is_of_this_run(void **state)
{
    (void)state;
    /* 80 of 100 found done; 10 more took 20 s; the last 10 will take as long. */
    progress__state s = {.what = "evaluating",
                         .unit = "samples",
                         .total = 100,
                         .already = 80,
                         .done = 90,
                         .elapsed_s = 20};
    assert_line(&s, false, 0, "evaluating 90/100 samples 90%, 0.5/s, 20s left");
    s.done = 80;
    assert_line(&s, false, 0, "evaluating 80/100 samples 80%");
    s.total = 1;
    s.done = 0;
    assert_line(&s, false, 0, "evaluating 0/1 sample 0%");
    s.total = 100;
    s.done = 100;
    assert_line(&s, true, 0, "evaluating [########################] 100/100 samples 100%, 1/s");
    s = (progress__state){.what = "fetching", .unit = "MB", .done = 12, .elapsed_s = 1};
    assert_line(&s, true, 0, "fetching 12 MB, 12/s");
}

static void lines_are_cut_to_the_terminal(void **state)
{
    (void)state;
    progress__state s = {.what = "f\xC3\xA4llt \xE4\xB8\xAD\xE6\x96\x87", .unit = "x", .total = 9};
    assert_line(&s, false, 7, "f\xC3\xA4llt ");
    assert_line(&s, false, 8, "f\xC3\xA4llt \xE4\xB8\xAD");
    for (size_t columns = 1; columns < 30; columns++) {
        slm_buffer out = {0};
        slm_progress__line(&s, true, columns, &out);
        assert_true(slm_utf8_valid(out.data, out.len, NULL));
        assert_in_range(slm_utf8_columns(out.data, out.len), 0, columns);
        slm_buffer_free(&out);
    }
}

static void times_read_well(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *want;
    } table[] = {{0, "0s"},        {59.4, "59s"},      {59.6, "1m 00s"}, {185, "3m 05s"},
                 {7620, "2h 07m"}, {273600, "3d 04h"}, {-1, "?"},        {1e300, "?"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        slm_buffer out = {0};
        slm_progress__time(table[i].seconds, &out);
        assert_string_equal(out.data, table[i].want);
        slm_buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_have_prefixes),
        cmocka_unit_test(long_lines_are_whole),
        cmocka_unit_test(colour_only_where_wanted),
        cmocka_unit_test(progress_line_is_cleared_for_a_message),
        cmocka_unit_test(elsewhere_plain_lines),
        cmocka_unit_test(time_left_is_of_this_run),
        cmocka_unit_test(lines_are_cut_to_the_terminal),
        cmocka_unit_test(times_read_well),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
