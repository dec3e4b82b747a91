/* fake_embed.h: an encoder for tests. A text's vector is the sum of its words' concepts, brought to
 * length 1; a word that belongs to no concept of the list has an axis of its own by its hash. It counts
 * what it is asked and can be told to fail. */
#ifndef SLM_TESTS_FAKE_EMBED_H
#define SLM_TESTS_FAKE_EMBED_H

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "provider/embed.h"

enum { FAKE_DIMENSIONS = 256, FAKE_CONCEPTS = 32 };

typedef struct fake_embed {
    slm_embed embed;
    const char *const *concepts; /* "wind gas flatus", ...; NULL ends them */
    size_t calls, texts;
    bool fails;
} fake_embed;

static inline size_t fake_axis(const fake_embed *f, const char *word, size_t len)
{
    for (size_t c = 0; f->concepts != NULL && f->concepts[c] != NULL; c++)
        for (const char *at = f->concepts[c]; *at != '\0';) {
            size_t n = strcspn(at, " ");
            if (n == len && memcmp(at, word, len) == 0) return c;
            at += n + (at[n] == ' ');
        }
    return FAKE_CONCEPTS + slm_hash_bytes(word, len) % (FAKE_DIMENSIONS - FAKE_CONCEPTS);
}

static inline void fake_vector(const fake_embed *f, const char *text, float *out)
{
    static const char small[] =
        " a an the is are do does did you your have has she he it to of in been ";
    memset(out, 0, f->embed.dimensions * sizeof *out);
    double sum = 0;
    for (const char *at = text; *at != '\0';) {
        char word[40] = " ";
        size_t n = 0;
        while (isalpha((unsigned char)at[n]) && n < 30) {
            word[n + 1] = (char)tolower((unsigned char)at[n]);
            n++;
        }
        if (n == 0) {
            at++;
            continue;
        }
        word[n + 1] = ' ';
        if (strstr(small, word) == NULL) out[fake_axis(f, word + 1, n)] += 1;
        at += n;
    }
    for (size_t d = 0; d < f->embed.dimensions; d++)
        sum += (double)out[d] * (double)out[d];
    if (sum <= 0) out[0] = (float)(sum = 1);
    for (size_t d = 0; d < f->embed.dimensions; d++)
        out[d] = (float)((double)out[d] / sqrt(sum));
}

static inline slm_status fake_run(slm_embed *embed, const char *const *texts, size_t count,
                                  float *out, slm_error *err)
{
    fake_embed *f = (fake_embed *)embed;
    f->calls++;
    f->texts += count;
    if (f->fails) return slm_error_set(err, SLM_ERR_IO, "the encoder is away; call it back");
    for (size_t i = 0; i < count; i++)
        fake_vector(f, texts[i], out + i * embed->dimensions);
    return SLM_OK;
}

static inline void fake_free(slm_embed *embed)
{
    free(embed->name);
    free(embed->identity);
    free(embed);
}

static inline fake_embed *fake_new(const char *const *concepts, const char *identity)
{
    static const slm_embed_class class = {.run = fake_run, .free = fake_free};
    fake_embed *f = calloc(1, sizeof *f);
    if (f == NULL) abort();
    f->embed = (slm_embed){.class = &class,
                           .name = strdup("fake"),
                           .identity = strdup(identity),
                           .dimensions = FAKE_DIMENSIONS};
    f->concepts = concepts;
    return f;
}

#endif
