/* export_internal.h: what the files of the export share. */
#ifndef SLM_EXPORT_INTERNAL_H
#define SLM_EXPORT_INTERNAL_H

#include "base/progress.h"
#include "model/model_internal.h"

/* The kinds of tensor that are counted apart: the roles of matrices, then these. */
enum {
    EXPORT_EMBEDDING = MODEL_MATRICES,
    EXPORT_HEAD,
    EXPORT_VECTORS,
    EXPORT_KINDS,
};

/* A tensor that is written. */
typedef struct export_tensor {
    char name[MODEL_NAME_BYTES];
    const slm_tensor *base;    /* NULL: values below */
    const slm_tensor *weights; /* trained, rows in transformers' order; NULL: not trained */
    const slm_tensor *a, *b;   /* the adapter's; NULL: none */
    const float *values;       /* of a table that the base does not have */
    int kind;
    int dims; /* 1: rows is 1 */
    size_t rows, columns;
    slm_dtype dtype;
    bool rotary; /* rows of q or k: a GGUF Llama orders them otherwise */
} export_tensor;

typedef struct export_sums {
    double change, lost, lost_bf16, lost_f16; /* squares */
} export_sums;

typedef struct export_job {
    const slm_export_options *options;
    slm_model_config config;
    slm_tensors *base, *adapter, *weights;
    model__adapter_config adapter_config;
    char adapter_sha256[65], weights_sha256[65];
    const char *base_sha256;
    export_tensor *tensors;
    size_t count, cap;
    float *table; /* rope factors, [head_dim / 2] */
    export_sums sums[EXPORT_KINDS];
    slm_progress *progress;
    uint64_t done_bytes;
} export_job;

/* All numbers of a tensor, in order, piece by piece. */
slm_status model__export_numbers(export_job *job, const export_tensor *tensor,
                                 slm_tensor_writer *file, slm_error *err);
/* The list as the writers want it; malloc'd, names borrowed. */
slm_tensor *model__export_list(const export_job *job);

/* job->table as a tensor of its own. */
void model__export_add_table(export_job *job, size_t items);

/* Pairs for the files' metadata: what made this out of what. Returns how many. */
enum { EXPORT_PAIRS = 6 };
size_t model__export_origin(const export_job *job, const char *pairs[EXPORT_PAIRS][2]);

/* Whether something may be made at `path`, before anything is read. */
slm_status model__export_check_folder(const char *path, bool force, slm_error *err);
slm_status model__export_check_file(const char *path, bool force, slm_error *err);

/* export_folder.c. A folder in the making beside `path`. */
typedef struct export_folder {
    char *path, *partial;
    struct slm_file_lock *lock;
} export_folder;
slm_status model__export_folder_begin(const char *path, bool force, export_folder *out,
                                      slm_error *err);
/* Put it in its place; or remove it. Both free. */
slm_status model__export_folder_end(export_folder *folder, slm_error *err);
void model__export_folder_abandon(export_folder *folder);
slm_status model__export_folder(export_job *job, slm_export_report *report, slm_error *err);
slm_status model__export_gguf(export_job *job, slm_export_report *report, slm_error *err);

#endif
