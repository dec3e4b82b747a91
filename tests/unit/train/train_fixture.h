/* train_fixture.h: what the tests of train/ share: a tiny model with examples to learn, a recipe that
 * trains it in a moment, and points at which a process can be made to die.
 *
 * With TRAIN_CRASHES defined before it, the calls that change files go through this header: a child
 * that was told to die at call n is killed (SIGKILL) right before it. */
#ifndef SLM_TESTS_TRAIN_FIXTURE_H
#define SLM_TESTS_TRAIN_FIXTURE_H

#include "unit/base/helpers.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/json.h"
#include "open/open.h"
#include "tiny_model.h"
#include "train/train_internal.h"

/* ---- dying --------------------------------------------------------------------------------- */

#ifdef TRAIN_CRASHES
static long crash_countdown = -1; /* -1: never; 0: at the next call */

static void crash_point(void)
{
    if (crash_countdown < 0) return;
    if (crash_countdown-- == 0) raise(SIGKILL);
}

int rename(const char *from, const char *to)
{
    crash_point();
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path)
{
    crash_point();
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    crash_point();
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
    crash_point();
    return mkdirat(AT_FDCWD, path, mode);
}

int fsync(int file)
{
    crash_point();
    return (int)syscall(SYS_fsync, file);
}

ssize_t write(int file, const void *bytes, size_t len)
{
    crash_point();
    return syscall(SYS_write, file, bytes, len);
}

/* A child that does `work` and is killed before its n-th call that changes a file; true if it got
 * through, which it must do without an error. */
static inline bool run_and_die(long n, slm_status (*work)(void *context), void *context)
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        crash_countdown = n;
        _exit(work(context) == SLM_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}
#endif

/* ---- files --------------------------------------------------------------------------------- */

static inline slm_buffer file_bytes(const char *folder, const char *name)
{
    slm_buffer path = {0}, bytes = {0};
    slm_error err = {0};
    slm_file_join(&path, folder, name);
    if (slm_file_read(slm_buffer_text(&path), 0, &bytes, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_buffer_free(&path);
    return bytes;
}

static inline void assert_same_file(const char *a, const char *b, const char *name)
{
    slm_buffer x = file_bytes(a, name), y = file_bytes(b, name);
    if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
        fail_msg("%s/%s and %s/%s differ (%zu and %zu bytes)", a, name, b, name, x.len, y.len);
    slm_buffer_free(&x);
    slm_buffer_free(&y);
}

/* metrics.jsonl without what was measured by the clock. */
static inline char *metrics_text(const char *folder)
{
    slm_buffer path = {0}, out = {0};
    slm_jsonl *file = NULL;
    json_t *row = NULL;
    slm_error err = {0};
    slm_file_join(&path, folder, "metrics.jsonl");
    if (slm_jsonl_open(slm_buffer_text(&path), &file, &err) != SLM_OK) fail_msg("%s", err.message);
    for (;;) {
        if (slm_jsonl_next(file, &row, NULL, &err) != SLM_OK) fail_msg("%s", err.message);
        if (!row) break;
        json_object_del(row, "time");
        slm_json_append_canonical(&out, row);
        slm_buffer_append_char(&out, '\n');
        json_decref(row);
    }
    slm_jsonl_close(file);
    slm_buffer_free(&path);
    return slm_buffer_take(&out);
}

/* ---- a model and what it learns ------------------------------------------------------------ */

enum { FIXTURE_EXAMPLES = 10, FIXTURE_DEV = 3 };

static inline void put_examples(const char *path, int first, int count)
{
    static const char *const topics[] = {"a cough", "sore knees", "fever", "no sleep", "a rash"};
    slm_buffer text = {0};
    for (int i = first; i < first + count; i++)
        slm_buffer_printf(&text,
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"I have %s, day %d\"},"
                          "{\"role\":\"assistant\",\"content\":\"How long%.*s?\"}]}\n",
                          topics[i % 5], i, i % 4 * 5, " has it been so");
    put_file(path, text.data, text.len);
    slm_buffer_free(&text);
}

/* model.gguf, data.jsonl, dev.jsonl and recipe.yaml (eight steps, output OUTPUT) in the folder. */
static inline void put_stage(slm_arena *arena, void **state)
{
    const tiny_shape shape = tiny_default();
    const char *folder = *state;
    slm_buffer text = {0};
    tiny_write(&shape, 1, in_folder(arena, state, "model.gguf"));
    put_examples(in_folder(arena, state, "data.jsonl"), 0, FIXTURE_EXAMPLES);
    put_examples(in_folder(arena, state, "dev.jsonl"), FIXTURE_EXAMPLES, FIXTURE_DEV);
    slm_buffer_printf(&text,
                      "model: %s/model.gguf\noutput: %s/out\nseed: 3\nlora:\n  rank: 4\n"
                      "sft:\n  data: %s/data.jsonl\n  dev: [%s/dev.jsonl]\n  epochs: 2\n"
                      "  batch: 3\n  max_tokens: 128\n  rows: 160\n  rate: 1e-2\n"
                      "  save_steps: 3\n  dev_steps: 2\n",
                      folder, folder, folder, folder);
    put_file(in_folder(arena, state, "recipe.yaml"), text.data, text.len);
    slm_buffer_free(&text);
}

typedef struct stage {
    slm_recipe recipe;
    slm_chat *chat;
    slm_train train;
} stage;

/* The recipe with `sets` (NULL-terminated) before it, and its model, on `threads`. */
static inline void stage_open(stage *s, const char *recipe, const char *const *sets, int threads)
{
    slm_error err = {0};
    slm_lora_options lora;
    size_t count = 0;
    while (sets && sets[count])
        count++;
    *s = (stage){0};
    if (slm_recipe_load(recipe, sets, count, &s->recipe, &err) != SLM_OK)
        fail_msg("%s", err.message);
    if (slm_recipe_lora_options(&s->recipe, &lora, &err) != SLM_OK) fail_msg("%s", err.message);
    const bool adapter = slm_recipe_wants_adapter(&s->recipe);
    const slm_open_options open = {.dtype = "f32",
                                   .threads = threads,
                                   .batch = 1,
                                   .context = 256,
                                   .cache_bytes = 1 << 22,
                                   .lora = adapter ? &lora : NULL,
                                   .lora_seed = (uint64_t)s->recipe.run.seed};
    if (slm_open_chat(s->recipe.run.model, &open, &s->chat, &err) != SLM_OK)
        fail_msg("%s", err.message);
    s->train = (slm_train){.recipe = &s->recipe, .chat = s->chat};
}

static inline void stage_close(stage *s)
{
    slm_chat_free(s->chat);
    slm_recipe_free(&s->recipe);
}

/* What is learnt in the model of an open stage. */
static inline slm_training *training_of(stage *s, size_t rows, float dropout)
{
    const bool adapter = slm_recipe_wants_adapter(&s->recipe);
    const slm_training_options options = {.full = !adapter,
                                          .embeddings = !adapter,
                                          .dropout = dropout,
                                          .max_rows = rows,
                                          .max_sequences = TRAIN_MOST_SEQUENCES};
    slm_training *training = NULL;
    slm_error err = {0};
    if (slm_training_new(slm_open_model(s->chat), &options, &training, &err) != SLM_OK)
        fail_msg("%s", err.message);
    return training;
}

static inline size_t parameter_items(const slm_parameter *p)
{
    return p->rows * p->columns;
}

#endif
