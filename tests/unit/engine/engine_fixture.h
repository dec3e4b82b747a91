/* engine_fixture.h: an engine over a small model with random weights. */
#ifndef SLM_TESTS_ENGINE_FIXTURE_H
#define SLM_TESTS_ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/engine_internal.h"
#include "tiny_model.h"

typedef struct fixture {
    slm_device *device;
    slm_model *model;
    slm_tokenizer *tokenizer;
    slm_engine *engine;
} fixture;

/* The model's file, of this process. */
static inline const char *fixture_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/slm-engine-%d.gguf", (int)getpid());
    return path;
}

static inline void write_fixture(void)
{
    const tiny_shape shape = tiny_default();
    tiny_write(&shape, 21, fixture_path());
}

static inline void open_fixture(fixture *f, const char *kernels, int threads, slm_dtype dtype,
                                const slm_engine_options *options)
{
    slm_error err = {0};
    slm_tensors *file = NULL;
    const slm_device_options device_options = {.kernels = kernels, .threads = threads};
    const slm_model_options model_options = {.dtype = dtype};
    assert_int_equal(slm_device_open(&device_options, &f->device, &err), SLM_OK);
    assert_int_equal(slm_tensors_open(fixture_path(), &file, &err), SLM_OK);
    assert_int_equal(slm_model_load(f->device, file, &model_options, &f->model, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_from_gguf(file, &f->tokenizer, &err), SLM_OK);
    slm_tensors_close(file);
    if (slm_engine_new(f->model, f->tokenizer, options, &f->engine, &err) != SLM_OK)
        fail_msg("%s", err.message);
}

/* Every page must have come back, and nobody may hold a grammar. */
static inline void close_fixture(fixture *f)
{
    assert_int_equal(f->engine->pages.free_count, f->engine->pages.count);
    assert_int_equal(f->engine->pages.promised, 0);
    assert_null(f->engine->groups);
    for (const engine__grammar *g = f->engine->grammars; g; g = g->next)
        assert_int_equal(g->holders, 0);
    slm_engine_free(f->engine);
    slm_tokenizer_free(f->tokenizer);
    slm_model_free(f->model);
    slm_device_close(f->device);
}

#endif
