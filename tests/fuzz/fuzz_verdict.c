/* fuzz_verdict.c: any bytes as a judge's reply. Where there is a verdict it is that of an object in
 * the reply, its explanation is text, and reading it out of the same reply with prose around it
 * gives the same; where there is none nothing is left behind and there is a reason. */
#include "fuzz.h"

#include <string.h>
#include "base/buffer.h"
#include "base/utf8.h"
#include "judge/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char *explanation = NULL, *again = NULL;
    const char *why = NULL;
    bool met = false, met_again = false;
    bool found = slm_judge_parse(text, size, &met, &explanation, &why);
    SLM_ASSERT(found == (explanation != NULL));
    SLM_ASSERT(found == (why == NULL));
    if (!found) return 0;
    SLM_ASSERT(memmem(text, size, "criteria_met", 12) != NULL || memchr(text, '\\', size) != NULL);
    SLM_ASSERT(memmem(text, size, met ? "true" : "false", met ? 4 : 5) != NULL);
    SLM_ASSERT(slm_utf8_valid(explanation, strlen(explanation), NULL));
    SLM_ASSERT(strlen(explanation) < 4100);
    slm_buffer wrapped = {0};
    slm_buffer_append_text(&wrapped, "My verdict: ");
    slm_buffer_append(&wrapped, data, size);
    slm_buffer_append_text(&wrapped, "\nThat is all.");
    SLM_ASSERT(slm_judge_parse(wrapped.data, wrapped.len, &met_again, &again, &why));
    SLM_ASSERT(met == met_again && strcmp(explanation, again) == 0);
    slm_buffer_free(&wrapped);
    free(explanation);
    free(again);
    return 0;
}
