/* endpoints.h: the servers of one's own, from a YAML file (--endpoints).
 *
 *     endpoints:
 *       - url: https://llm.example.org/v1   # as behind the @ of a MODEL, or the beginning of it
 *         key_env: LLM_KEY                  # the environment variable with its key; left out: none
 *         concurrency: 32                   # calls at once
 *         timeout: 300                      # seconds for one call
 *         price: {input: 0, output: 0, dated: 2025-06-01}   # as in a price file
 *
 * The file holds no key, only the name of the variable that does. */
#ifndef SLM_PROVIDER_ENDPOINTS_H
#define SLM_PROVIDER_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/error.h"
#include "provider/price.h"

typedef struct slm_endpoint {
    const char *url; /* scheme and host in lower case, no '/' at the end */
    const char *key_env;
    int concurrency;  /* 0: not told */
    double timeout_s; /* 0: not told */
    bool has_price;
    slm_price price;
    size_t line;
} slm_endpoint;

typedef struct slm_endpoints {
    slm_arena arena;
    const char *path;
    slm_endpoint *items;
    size_t count;
} slm_endpoints;

/* *out needs slm_endpoints_free also after an error. */
slm_status slm_endpoints_load(const char *path, slm_endpoints *out, slm_error *err);
void slm_endpoints_free(slm_endpoints *endpoints);
/* The entry whose url is `url` or its beginning up to a '/'; the longest. NULL if none. */
const slm_endpoint *slm_endpoints_find(const slm_endpoints *endpoints, const char *url);

#endif
