/* helpers.h: a whole case to bend, files of cases, and a list of the problems that were told. */
#ifndef SLM_TESTS_DATA_HELPERS_H
#define SLM_TESTS_DATA_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/buffer.h"
#include "data/data.h"

/* A case that slm_cases_check has nothing to say about, on one line. */
static const char whole_case[] =
    "{\"prompt_id\":\"a-1\",\"prompt\":[{\"role\":\"user\",\"content\":\"My knee hurts.\"},"
    "{\"role\":\"assistant\",\"content\":\"Rest it.\"},"
    "{\"role\":\"user\",\"content\":\"Can I run on Sunday?\"}],"
    "\"rubrics\":[{\"criterion\":\"Asks what decides.\",\"points\":7,"
    "\"tags\":[\"behaviour:seek\",\"axis:context_awareness\"],\"check\":{\"asks\":[\"f1\",\"f2\"]}}"
    ","
    "{\"criterion\":\"Says what is safe.\",\"points\":5,\"tags\":[\"behaviour:safe\"],"
    "\"check\":{\"says\":[\"s1\",\"k1\"],\"avoids\":[\"n1\"]}},"
    "{\"criterion\":\"Is rude.\",\"points\":-2,\"tags\":[\"axis:communication_quality\"]}],"
    "\"example_tags\":[\"set:test\",\"theme:context_seeking\"],"
    "\"ideal_completions_data\":{\"ideal_completion\":\"Is it swollen?\"},"
    "\"family\":\"knee\",\"context\":\"lacks\",\"disposition\":\"self-care\",\"difficulty\":2,"
    "\"follow_ups\":[{\"id\":\"f1\",\"question\":\"Is it swollen?\",\"tier\":\"next_step\","
    "\"weight\":5,\"why\":\"swelling decides\"},"
    "{\"id\":\"f2\",\"question\":\"Can you bend "
    "it?\",\"tier\":\"next_step\",\"weight\":4,\"why\":\"w\"},"
    "{\"id\":\"f3\",\"question\":\"Did you fall?\",\"tier\":\"cause\",\"weight\":1,\"why\":\"w\"}],"
    "\"facts\":[{\"id\":\"a1\",\"follow_up\":\"f1\",\"topic\":\"swelling\",\"answer\":\"No.\"},"
    "{\"id\":\"a2\",\"follow_up\":\"f2\",\"topic\":\"bending\",\"answer\":\"Yes.\"},"
    "{\"id\":\"a3\",\"follow_up\":\"f3\",\"topic\":\"fall\",\"answer\":\"No.\"}],"
    "\"key_points\":[{\"id\":\"k1\",\"text\":\"Rest the knee until it is "
    "painless.\",\"must\":true},"
    "{\"id\":\"k2\",\"text\":\"Ice helps.\"}],"
    "\"advice\":[{\"id\":\"s1\",\"if\":\"it locks\",\"then\":\"see a doctor\"}],"
    "\"never\":[{\"id\":\"n1\",\"text\":\"Run through the pain.\"}],"
    "\"specialty\":\"orthopaedics\",\"register\":\"terse\",\"language\":\"en\","
    "\"source\":\"written for a test\",\"licence\":\"Apache-2.0\"}";

/* `text` with its first `from` replaced by `to`; free() it. Fails the test if there is none. */
static inline char *bend(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (at == NULL) fail_msg("the case has no %s", from);
    slm_buffer out = {0};
    slm_buffer_append(&out, text, (size_t)(at - text));
    slm_buffer_append_text(&out, to);
    slm_buffer_append_text(&out, at + strlen(from));
    return slm_buffer_take(&out);
}

/* A file with this content; its path in `path`. */
static inline void put_temporary(char path[64], const void *bytes, size_t len)
{
    snprintf(path, 64, "/tmp/slm-test-cases-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

typedef struct problems {
    size_t count;
    char first[SLM_ERROR_MESSAGE_BYTES];
    slm_buffer all;
} problems;

static inline void note_problem(void *context, const slm_error *problem)
{
    problems *p = context;
    if (p->count++ == 0) snprintf(p->first, sizeof p->first, "%s", problem->message);
    slm_buffer_printf(&p->all, "%s\n", problem->message);
}

static inline void assert_holds(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("\"%s\" does not hold \"%s\"", text, part);
}

#endif
