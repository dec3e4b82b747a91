/* budget.h: what a command has asked of remote models, and what it may spend. The one place where
 * spent money is counted: every remote handle of a command shares it (models, judges, embeddings).
 *
 * Before a call is sent its greatest possible cost is reserved; when it ends, what it did cost takes
 * the reservation's place. So the limit cannot be passed, however many are in flight. A call that may
 * have been served but whose usage was not told (a time-out, half a reply) counts in full. */
#ifndef SLM_PROVIDER_BUDGET_H
#define SLM_PROVIDER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct slm_budget {
    double limit_usd; /* 0: none */
    double spent_usd, reserved_usd;
    uint64_t calls;    /* requests sent, those tried again included */
    uint64_t retries;  /* of these */
    uint64_t priced;   /* of these, what is in spent_usd */
    uint64_t unpriced; /* of these, with no price known: not in spent_usd */
    uint64_t guessed;  /* of these, counted in full since their usage was not told */
    int64_t prompt_tokens, cached_tokens, reply_tokens, reasoning_tokens; /* as far as told */
} slm_budget;

/* False, and nothing changed, if this would pass the limit. */
bool slm_budget_reserve(slm_budget *budget, double usd);
void slm_budget_settle(slm_budget *budget, double reserved_usd, double spent_usd);
/* What is neither spent nor reserved; infinite without a limit. */
double slm_budget_left_usd(const slm_budget *budget);

#endif
