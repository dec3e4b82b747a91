/* Labelled pairs: read with places in the errors, counted by kind, note and half. */
#include "helpers.h"

#include <unistd.h>
#include "base/file.h"

static const char path[] = "/tmp/slm-test-pairs.jsonl";

static slm_status load(const char *text, slm_pairs *pairs, slm_error *err)
{
    assert_int_equal(slm_file_write(path, text, strlen(text), NULL), SLM_OK);
    slm_status status = slm_pairs_load(path, pairs, err);
    unlink(path);
    return status;
}

static const char rows[] =
    "{\"id\":\"a\",\"kind\":\"question\",\"target\":\"Do you have a fever?\",\"text\":\"Any "
    "fever?\",\"label\":true,\"note\":\"paraphrase\",\"readers\":[true,true],\"half\":\"held\"}\n"
    "{\"id\":\"b\",\"kind\":\"question\",\"target\":\"Is the left eye red?\",\"text\":\"Is the "
    "right "
    "eye red?\",\"label\":false,\"note\":\"side\",\"readers\":[false,true],\"half\":\"held\"}\n"
    "{\"id\":\"c\",\"kind\":\"statement\",\"target\":\"Stop the tablets.\",\"text\":\"The tablets "
    "are blue.\",\"label\":true,\"note\":\"paraphrase\",\"half\":\"fit\"}\n"
    "{\"kind\":\"statement\",\"target\":\"Rest.\",\"text\":\"Run.\",\"label\":false}\n";

static void pairs_are_read_and_counted(void **state)
{
    (void)state;
    slm_pairs pairs;
    slm_error err = {0};
    slm_match_hit hits[4];
    if (load(rows, &pairs, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_int_equal(pairs.count, 4);
    assert_string_equal(pairs.items[3].id, "line 4");
    assert_string_equal(pairs.items[3].note, "other");
    assert_true(pairs.items[3].in_fit && pairs.items[3].in_held);
    assert_int_equal(slm_pairs_tell(&pairs, matcher, hits, &err), SLM_OK);
    slm_pairs_tally all = slm_pairs_count(&pairs, hits, &(slm_pairs_filter){0});
    assert_int_equal(all.pairs, 4);
    assert_int_equal(all.cells[1][1], 1);
    assert_int_equal(all.cells[1][0], 1);
    assert_int_equal(all.cells[0][0], 2);
    assert_int_equal(all.read_twice, 2);
    assert_int_equal(all.readers_agree, 1);
    slm_pairs_filter held = {.half = SLM_PAIRS_HELD, .has_kind = true, .kind = SLM_MATCH_STATEMENT};
    assert_int_equal(slm_pairs_count(&pairs, hits, &held).pairs, 1);
    slm_pairs_filter fit = {.half = SLM_PAIRS_FIT, .note = "paraphrase"};
    slm_pairs_tally one = slm_pairs_count(&pairs, hits, &fit);
    assert_int_equal(one.pairs, 1);
    assert_int_equal(one.cells[1][0], 1);
    slm_pairs_free(&pairs);
    slm_pairs_free(NULL);
}

static void refused(const char *text, const char *what)
{
    slm_pairs pairs;
    slm_error err = {0};
    assert_int_equal(load(text, &pairs, &err), SLM_ERR_FORMAT);
    if (strstr(err.message, what) == NULL) fail_msg("%s: not \"%s\"", err.message, what);
}

static void wrong_rows_are_told_with_their_place(void **state)
{
    (void)state;
    refused("", "has no pair");
    refused("[]\n", "jsonl:1");
    refused("{\"kind\":\"question\",\"target\":\"a\",\"text\":\"b\"}\n", "jsonl:1: label");
    refused("{\"kind\":\"riddle\",\"target\":\"a\",\"text\":\"b\",\"label\":true}\n", "no kind");
    refused(
        "{\"kind\":\"question\",\"target\":\"a\",\"text\":\"b\",\"label\":true,\"half\":\"x\"}\n",
        "no half");
    refused("{\"kind\":\"question\",\"target\":\"a\",\"text\":\"b\",\"label\":true,"
            "\"readers\":[1]}\n",
            "readers[0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_read_and_counted),
        cmocka_unit_test(wrong_rows_are_told_with_their_place),
    };
    return cmocka_run_group_tests_name("match/pairs", tests, make_matcher, free_matcher);
}
