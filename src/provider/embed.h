/* embed.h: texts -> vectors. The other door to a model.
 *
 * Implementations: a local encoder (open/), remote APIs (provider/). match/ uses it where it is
 * given one and TF-IDF where it is not. */
#ifndef SLM_PROVIDER_EMBED_H
#define SLM_PROVIDER_EMBED_H

#include <stddef.h>
#include "base/error.h"

typedef struct slm_embed slm_embed;
typedef struct slm_embed_class {
    /* out[count, dimensions] f32, each row of length 1. */
    slm_status (*run)(slm_embed *, const char *const *texts, size_t count, float *out, slm_error *);
    void (*free)(slm_embed *);
} slm_embed_class;

struct slm_embed {
    const slm_embed_class *class;
    char *name;     /* shown in reports */
    char *identity; /* hash of what decides the vectors */
    size_t dimensions;
};

/* out[count, dimensions]. */
slm_status slm_embed_run(slm_embed *embed, const char *const *texts, size_t count, float *out,
                         slm_error *err);
void slm_embed_free(slm_embed *embed); /* NULL is allowed */

/* recorded:FILE, of lines {"text", "vector"} as --record writes them; other lines are passed over. A
 * text that is not in it is an error that names the file. */
slm_status slm_embed_recorded_open(const char *path, slm_embed **out, slm_error *err);

#endif
