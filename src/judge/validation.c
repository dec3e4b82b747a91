/* validation.c: what is known of the rule judge before anybody measures it.
 *
 * data/validation/answers.jsonl holds answers that two readers labelled without knowing what the judge
 * says. The figures of its held-out half stand here, by the judge's identity: a judge with another word
 * list, threshold or encoder has another identity and none of these figures. `slm eval` puts them into
 * the results database, where reports find them beside what `slm judge` measured.
 *
 * tools/update-validation writes the table anew; tests/unit/judge/test_validation.c holds it to a
 * measurement on the file. */
#include <string.h>
#include "judge/judge.h"

static const slm_validation validations[] = {
    /* begin: written by tools/update-validation */
    /* end */
    {NULL, NULL, NULL, NULL},
};

const slm_validation *slm_judge_validation(const char *judge_identity)
{
    for (const slm_validation *v = validations; v->judge != NULL; v++)
        if (strcmp(v->judge, judge_identity) == 0) return v;
    return NULL;
}
