/* test_metrics.c: the log: a line a step, times apart, cut back to what a checkpoint knew. */
#include "train_fixture.h"

static train__metrics *open_log(const char *folder, uint64_t lines, uint64_t events)
{
    train__metrics *metrics = NULL;
    slm_error err = {0};
    if (train__metrics_open(folder, &(train__sizes){.lines = lines, .events = events}, &metrics,
                            &err) != SLM_OK)
        fail_msg("%s", err.message);
    return metrics;
}

static void put(train__metrics *metrics, int64_t step)
{
    slm_error err = {0};
    if (train__metrics_put(metrics, step, json_pack("{s:f}", "loss", 1.0 / (double)step),
                           json_pack("{s:f}", "step_s", 0.125 * (double)step), &err) != SLM_OK)
        fail_msg("%s", err.message);
}

static void sync_log(train__metrics *metrics, uint64_t *lines, uint64_t *events)
{
    slm_error err = {0};
    train__sizes sizes = {0};
    if (train__metrics_sync(metrics, &sizes, &err) != SLM_OK) fail_msg("%s", err.message);
    *lines = sizes.lines;
    *events = sizes.events;
}

static void lines_hold_values_and_times_apart(void **state)
{
    train__metrics *metrics = open_log(*state, 0, 0);
    put(metrics, 1);
    put(metrics, 2);
    train__metrics_close(metrics);
    slm_buffer text = file_bytes(*state, "metrics.jsonl");
    assert_string_equal(slm_buffer_text(&text),
                        "{\"loss\":1,\"step\":1,\"time\":{\"step_s\":0.125}}\n"
                        "{\"loss\":0.5,\"step\":2,\"time\":{\"step_s\":0.25}}\n");
    slm_buffer_free(&text);
}

static void what_a_checkpoint_did_not_know_is_cut_off(void **state)
{
    uint64_t lines, events, all_lines, all_events, end_lines, end_events;
    train__metrics *metrics = open_log(*state, 0, 0);
    put(metrics, 1);
    put(metrics, 2);
    sync_log(metrics, &lines, &events);
    put(metrics, 3);
    put(metrics, 4);
    sync_log(metrics, &all_lines, &all_events);
    char *whole = metrics_text(*state);
    train__metrics_close(metrics);
    /* Killed in the middle of a line and of a record. */
    slm_arena arena = {0};
    assert_int_equal(truncate(in_folder(&arena, state, "metrics.jsonl"), (off_t)all_lines - 7), 0);
    assert_int_equal(
        truncate(in_folder(&arena, state, "events.out.tfevents.slm"), (off_t)all_events - 9), 0);
    metrics = open_log(*state, lines, events);
    put(metrics, 3);
    put(metrics, 4);
    sync_log(metrics, &end_lines, &end_events);
    train__metrics_close(metrics);
    char *again = metrics_text(*state);
    assert_string_equal(whole, again);
    assert_int_equal(end_lines, all_lines);
    assert_int_equal(end_events, all_events);
    /* From the start: nothing of the old run stays. */
    metrics = open_log(*state, 0, 0);
    sync_log(metrics, &end_lines, &end_events);
    assert_int_equal(end_lines, 0);
    train__metrics_close(metrics);
    slm_arena_free(&arena);
    free(whole);
    free(again);
}

static void a_log_that_lost_lines_is_refused(void **state)
{
    uint64_t lines, events;
    slm_error err = {0};
    slm_arena arena = {0};
    train__metrics *metrics = open_log(*state, 0, 0);
    put(metrics, 1);
    sync_log(metrics, &lines, &events);
    train__metrics_close(metrics);
    assert_int_equal(unlink(in_folder(&arena, state, "metrics.jsonl")), 0);
    metrics = NULL;
    assert_int_equal(train__metrics_open(*state, &(train__sizes){.lines = lines}, &metrics, &err),
                     SLM_ERR_FORMAT);
    assert_null(metrics);
    assert_holds(err.message, "metrics.jsonl: has 0 bytes");
    slm_arena_free(&arena);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    train__metrics *metrics = NULL;
    slm_error err = {0};
    (void)state;
    assert_int_equal(train__metrics_open("/nowhere", &(train__sizes){0}, &metrics, &err),
                     SLM_ERR_IO);
    assert_null(metrics);
    assert_holds(err.message, "/nowhere/metrics.jsonl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_hold_values_and_times_apart, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(what_a_checkpoint_did_not_know_is_cut_off, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_log_that_lost_lines_is_refused, make_folder,
                                        remove_folder),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests_name("train/metrics", tests, NULL, NULL);
}
