/* open.h: a MODEL or JUDGE as the user writes it -> a handle (DESIGN section 1).
 *
 * Here the two wings meet: a GGUF file becomes engine, model and tokenizer behind chat.h. */
#ifndef SLM_OPEN_H
#define SLM_OPEN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "engine/engine.h"
#include "judge/judge.h"
#include "provider/chat.h"

typedef struct slm_open_options {
    const char *dtype;    /* "bf16" (default) or "f32" */
    const char *kernels;  /* NULL: the best there is */
    const char *device;   /* "cpu" */
    const char *template; /* NULL: the model's own */
    const char *name;     /* shown in reports; NULL: from the file's name */
    int threads;          /* 0: all */
    int batch;            /* 0: default */
    int context;          /* 0: the model's own */
    uint64_t cache_bytes; /* 0: default */
    bool no_prefix_sharing;
} slm_open_options;

/* MODEL: a .gguf file or `recorded:FILE`. Other forms of the grammar are refused by name. */
slm_status slm_open_chat(const char *model, const slm_open_options *options, slm_chat **out,
                         slm_error *err);
/* JUDGE: `rule`. */
slm_status slm_open_judge(const char *judge, slm_judge **out, slm_error *err);
/* The tokenizer alone of a model file. */
slm_status slm_open_tokenizer(const char *model, slm_tokenizer **out, slm_error *err);

/* The engine behind a local chat, for info, bench and checks; NULL if it is not local. */
slm_engine *slm_open_engine(slm_chat *chat);
/* The device that a local chat computes on; NULL if it is not local. */
const slm_device *slm_open_device(const slm_chat *chat);
const slm_tokenizer *slm_open_chat_tokenizer(const slm_chat *chat);

#endif
