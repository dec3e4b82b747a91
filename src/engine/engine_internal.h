/* engine_internal.h: what the files of engine/ share. */
#ifndef SLM_ENGINE_INTERNAL_H
#define SLM_ENGINE_INTERNAL_H

#include "base/buffer.h"
#include "engine/engine.h"
#include "engine/grammar_internal.h"

/* ---- pages.c: the pool of KV pages --------------------------------------------------------- */

/* A page is free, or held by one or more page tables. `promised` pages are free still but owed to
 * sequences that were admitted: they will be taken one by one as those grow. */
typedef struct engine__pages {
    slm_device *device;
    slm_mem cache;
    size_t page_bytes;
    int32_t count;
    int32_t *free; /* stack */
    int32_t free_count;
    int32_t *holders; /* [count] */
    int32_t promised;
    int32_t used_peak;
} engine__pages;

slm_status engine__pages_init(engine__pages *pages, slm_device *device, const slm_kv_shape *shape,
                              uint64_t cache_bytes, slm_error *err);
void engine__pages_free(engine__pages *pages);
/* Free pages that nobody has been promised. */
int32_t engine__pages_available(const engine__pages *pages);
/* A zeroed page with one holder. There must be a free one. */
int32_t engine__pages_take(engine__pages *pages);
void engine__pages_hold(engine__pages *pages, int32_t page);
void engine__pages_release(engine__pages *pages, int32_t page);

/* A sequence's page table. */
typedef struct engine__table {
    int32_t *pages;
    int32_t len, cap;
} engine__table;
void engine__table_reserve(engine__table *table, int32_t pages);
void engine__table_append(engine__table *table, int32_t page);
/* Release every page and forget them; memory is kept until engine__table_free. */
void engine__table_clear(engine__table *table, engine__pages *pages);
void engine__table_free(engine__table *table);

/* ---- stream.c: tokens -> text, with stop strings ------------------------------------------- */

typedef struct engine__stream {
    slm_decoder decoder;
    slm_buffer text;
    size_t sent;    /* bytes given to on_text */
    size_t longest; /* bytes of the longest stop string */
} engine__stream;

/* Append a token's text. Returns true if a stop string is now complete: the text is cut before it. */
bool engine__stream_push(engine__stream *stream, const slm_tokenizer *tokenizer, slm_token id,
                         char *const *stop, size_t stop_count);
/* Flush what the decoder held at the end of a reply that no stop string cut. */
void engine__stream_finish(engine__stream *stream, char *const *stop, size_t stop_count);
/* How much of the text after `sent` cannot become part of a stop string any more. */
size_t engine__stream_ready(const engine__stream *stream, char *const *stop, size_t stop_count,
                            bool ended);

/* ---- engine.c ------------------------------------------------------------------------------ */

/* One prompt and the samples that share it. */
typedef struct engine__group {
    struct engine__group *next;
    uint64_t id;                /* of the request; several groups have it when sharing is off */
    slm_generate request;       /* owned copies of prompt, stop and stop_tokens */
    char **stop;                /* the owned strings behind request.stop */
    uint32_t first_sample;      /* index of its first sample within the request */
    uint32_t started, finished; /* samples of this group */
    bool admitted;              /* its prompt's pages are taken */
    size_t computed;            /* prompt positions in the cache, of prompt_len - 1 */
    engine__table table;        /* pages of positions [0, prompt_len - 1) */
    int32_t promise;            /* pages promised to its first sample, until that starts */
    double submitted_s;
    engine__grammar *grammar; /* NULL: the reply is free */
} engine__group;

/* A sample that is decoding. */
typedef struct engine__sample {
    engine__group *group; /* NULL: the slot is free */
    uint32_t index;       /* within the group */
    engine__table table;
    int32_t promise;   /* pages it may still take */
    slm_token pending; /* the token to feed next, at `position` */
    int32_t position;
    slm_tokens ids;
    float *logprobs;
    engine__stream stream;
    engine__grammar_place place; /* in the group's grammar */
} engine__sample;

typedef struct engine__done {
    slm_generated generated; /* first: a pointer to it is what poll hands out */
    struct engine__done *next;
} engine__done;

struct slm_engine {
    slm_model *model;
    const slm_tokenizer *tokenizer;
    slm_engine_options options;
    engine__pages pages;
    slm_forward *forward;
    engine__group *groups; /* FIFO */
    engine__sample *slots; /* [batch] */
    int32_t active;
    uint64_t next_id;
    size_t pending;
    engine__done *done_first, *done_last;
    slm_engine_stats stats;
    engine__vocabulary vocabulary; /* made when the first schema comes */
    engine__grammar *grammars;     /* the latest used first */
    /* Scratch of one step. */
    int32_t *ids, *want;
    slm_kv_span *spans;
    slm_sample_row *rows;
    engine__sample **row_samples;
};

#endif
