/* fuzz_judge.c: any bytes as an answer. The rule judge grades every criterion it covers, gives the
 * same verdicts again, and an answer of nothing but spaces meets nothing. */
#include "fuzz.h"

#include <string.h>
#include "judge/judge.h"

static const char case_json[] =
    "{\"prompt_id\":\"c\",\"prompt\":[{\"role\":\"user\",\"content\":\"My knee is swollen.\"}],"
    "\"example_tags\":[],\"follow_ups\":[{\"id\":\"f1\",\"question\":\"Are you pregnant?\","
    "\"tier\":\"next_step\",\"weight\":5,\"why\":\"w\"},{\"id\":\"f2\",\"question\":\"Since when, "
    "and "
    "does it hurt at night or in the morning?\",\"tier\":\"cause\",\"weight\":2,\"why\":\"w\"}],"
    "\"key_points\":[{\"id\":\"k1\",\"text\":\"Rest the left knee for 2 days.\",\"must\":true}],"
    "\"advice\":[{\"id\":\"s1\",\"if\":\"it turns hot\",\"then\":\"see a doctor today\"}],"
    "\"never\":[{\"id\":\"n1\",\"text\":\"Keep running.\"}],\"rubrics\":["
    "{\"criterion\":\"a\",\"points\":7,\"tags\":[\"behaviour:seek\"],\"check\":{\"asks\":[\"f1\"]}}"
    ","
    "{\"criterion\":\"b\",\"points\":5,\"tags\":[\"behaviour:precise\"],\"check\":{\"says\":["
    "\"k1\"],"
    "\"avoids\":[\"n1\"]}},"
    "{\"criterion\":\"c\",\"points\":3,\"tags\":[\"behaviour:safe\"],\"check\":{\"says\":[\"s1\"],"
    "\"avoids\":[\"n1\"]}},"
    "{\"criterion\":\"d\",\"points\":3,\"tags\":[\"behaviour:act\"],\"check\":{\"says\":[\"k1\"]}},"
    "{\"criterion\":\"e\",\"points\":-3,\"tags\":[]}]}";

static slm_grading *grade(slm_judge *judge, const slm_case *c, const char *reply)
{
    slm_error error;
    uint64_t ticket;
    slm_grading *grading = NULL;
    SLM_ASSERT(slm_judge_submit(judge, c, reply, &ticket, &error) == SLM_OK);
    SLM_ASSERT(slm_judge_poll(judge, -1, &grading, &error) == SLM_OK && grading != NULL);
    SLM_ASSERT(grading->count == c->rubric_count);
    return grading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_judge *judge;
    static slm_arena arena;
    static slm_case c;
    slm_error error;
    if (judge == NULL) {
        SLM_ASSERT(slm_judge_rule_new(&judge, &error) == SLM_OK);
        SLM_ASSERT(slm_case_parse(case_json, "case", 1, &arena, &c, &error) == SLM_OK);
    }
    char *reply = malloc(size + 1);
    SLM_ASSERT(reply != NULL);
    if (size > 0) memcpy(reply, data, size);
    reply[size] = '\0';
    slm_grading *first = grade(judge, &c, reply), *again = grade(judge, &c, reply);
    bool empty = strspn(reply, " \t\r\n") == strlen(reply);
    for (size_t i = 0; i < first->count; i++) {
        slm_verdict verdict = first->grades[i].verdict;
        SLM_ASSERT(verdict == again->grades[i].verdict);
        SLM_ASSERT((verdict == SLM_VERDICT_NOT_COVERED) == !slm_judge_covers(judge, &c, i));
        SLM_ASSERT(!empty || verdict != SLM_VERDICT_MET);
    }
    slm_grading_free(first);
    slm_grading_free(again);
    free(reply);
    return 0;
}
