/* price.h: what models and machines cost, from a dated YAML file.
 *
 *     dated: 2025-06-01                 # of every entry that has no date of its own
 *     models:                           # US$ per million tokens
 *       - model: gpt-4.1                # as a MODEL names it; or a prefix and *
 *         host: api.openai.com          # left out: at any host
 *         input: 2.00
 *         cached: 0.50                  # prompt tokens read from the cache; left out: as input
 *         output: 8.00                  # reasoning tokens are output
 *         batch_discount: 0.5           # share taken off in batch mode; left out: none is offered
 *         source: https://...           # where the price stands; shown
 *     machines:                         # US$ per hour, rented or owned
 *       - machine: rented-l4
 *         per_hour: 0.71
 *         source: https://...
 *
 * A price that is not there is an error of the caller's to report: nothing here guesses. */
#ifndef SLM_PROVIDER_PRICE_H
#define SLM_PROVIDER_PRICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

typedef struct slm_price {
    const char *model;            /* "gpt-4.1", "claude-sonnet-4*"; NULL in an endpoint's price */
    const char *host;             /* NULL: any */
    double input, cached, output; /* US$ per million tokens */
    double batch_discount;        /* 0.5: half price; 0: none offered */
    const char *dated;            /* "2025-06-01"; never NULL */
    const char *source;           /* NULL: not told */
    size_t line;                  /* in its file */
} slm_price;

typedef struct slm_machine_price {
    const char *machine;
    double per_hour; /* US$ */
    const char *dated;
    const char *source;
    size_t line;
} slm_machine_price;

typedef struct slm_prices {
    slm_arena arena;
    const char *path;
    slm_price *models;
    size_t model_count;
    slm_machine_price *machines;
    size_t machine_count;
} slm_prices;

/* *out needs slm_prices_free also after an error. A price below 0, a missing date, an entry twice, an
 * unknown key: SLM_ERR_FORMAT with file and line. */
slm_status slm_prices_load(const char *path, slm_prices *out, slm_error *err);
void slm_prices_free(slm_prices *prices);

/* The entry for a model's name at a host ("api.openai.com"; NULL: entries for any host, and those of
 * one host if there is no other). An exact name goes before a prefix, a longer prefix before a
 * shorter one, a named host before any. NULL: there is no price. */
const slm_price *slm_prices_model(const slm_prices *prices, const char *model, const char *host);
const slm_machine_price *slm_prices_machine(const slm_prices *prices, const char *machine);

/* US$ of one call. cached_tokens are among prompt_tokens; below 0 counts as none. Below 0 in the
 * other two (not told): NaN. */
double slm_price_cost(const slm_price *price, int64_t prompt_tokens, int64_t cached_tokens,
                      int64_t reply_tokens);

/* One entry's prices from a mapping (input, cached, output, batch_discount, dated, source); used for
 * the files of prices and of endpoints. `dated` is what holds where the entry has no date; NULL: it
 * must have one. Texts go into `arena`. */
slm_status slm_price_read(const json_t *object, const slm_json_place *place, const char *dated,
                          slm_arena *arena, slm_price *out, slm_error *err);

#endif
