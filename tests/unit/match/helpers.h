/* helpers.h: a matcher for all tests of a program, and texts read with it. */
#ifndef SLM_TESTS_MATCH_HELPERS_H
#define SLM_TESTS_MATCH_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buffer.h"
#include "match/match.h"

static slm_matcher *matcher;
static slm_arena arena;

static inline int make_matcher(void **state)
{
    (void)state;
    matcher = slm_matcher_new();
    return 0;
}

static inline int free_matcher(void **state)
{
    (void)state;
    slm_matcher_free(matcher);
    slm_arena_free(&arena);
    return 0;
}

static inline slm_match_text *read_text(const char *text)
{
    return slm_match_read(matcher, text, strlen(text), &arena);
}

#endif
