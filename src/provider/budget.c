/* budget.c: reservations against a limit (budget.h). Sums of money are doubles: a rounding error of
 * 1e-16 of them is far below the smallest price, and the comparison below leaves it room. */
#include "provider/budget.h"

#include <math.h>

static const double ROUNDING_USD = 1e-9;

double slm_budget_left_usd(const slm_budget *budget)
{
    if (budget->limit_usd <= 0) return (double)INFINITY;
    return budget->limit_usd - budget->spent_usd - budget->reserved_usd;
}

bool slm_budget_reserve(slm_budget *budget, double usd)
{
    if (usd > slm_budget_left_usd(budget) + ROUNDING_USD) return false;
    budget->reserved_usd += usd;
    return true;
}

void slm_budget_settle(slm_budget *budget, double reserved_usd, double spent_usd)
{
    budget->reserved_usd -= reserved_usd;
    if (budget->reserved_usd < ROUNDING_USD) budget->reserved_usd = 0;
    budget->spent_usd += spent_usd;
}
