/* stored.c: cases, runs and judges of a results database, as labels and sheets need them. */
#include <stdlib.h>
#include <string.h>
#include "judge/judge_internal.h"

typedef struct loader {
    slm_arena *arena;
    judge__stored *out;
    const char *set;
    size_t case_cap, run_cap;
    slm_status status;
    slm_error *err;
} loader;

static void *grown(void *items, size_t count, size_t *cap, size_t item_bytes)
{
    if (count < *cap) return items;
    *cap = *cap ? 2 * *cap : 64;
    items = realloc(items, *cap * item_bytes);
    if (items == NULL) slm_out_of_memory(*cap * item_bytes);
    return items;
}

static bool on_case(void *context, const char *case_id, const char *family, size_t position,
                    const char *json)
{
    loader *l = context;
    (void)family;
    judge__stored *s = l->out;
    s->cases = grown(s->cases, s->case_count, &l->case_cap, sizeof *s->cases);
    judge__stored_case *one = &s->cases[s->case_count];
    *one = (judge__stored_case){.set = l->set};
    l->status = slm_case_parse(slm_arena_strdup(l->arena, json), "the database's copy of a case",
                               position + 1, l->arena, &one->c, l->err);
    if (l->status != SLM_OK) return false;
    /* The set's own name for it holds. */
    one->c.id = slm_arena_strdup(l->arena, case_id);
    s->case_count++;
    return true;
}

static bool on_run(void *context, const slm_run *run)
{
    loader *l = context;
    judge__stored *s = l->out;
    if (run->cases_sha256 == NULL) return true;
    s->runs = grown(s->runs, s->run_count, &l->run_cap, sizeof *s->runs);
    s->runs[s->run_count++] =
        (judge__stored_run){.hash = slm_arena_strdup(l->arena, run->hash),
                            .name = slm_arena_strdup(l->arena, run->model_name),
                            .kind = slm_arena_strdup(l->arena, run->kind),
                            .set = slm_arena_strdup(l->arena, run->cases_sha256)};
    return true;
}

typedef struct set_list {
    slm_arena *arena;
    const char **items;
    size_t count, cap;
} set_list;

static bool on_set(void *context, const char *cases_sha256)
{
    set_list *sets = context;
    sets->items = grown(sets->items, sets->count, &sets->cap, sizeof *sets->items);
    sets->items[sets->count++] = slm_arena_strdup(sets->arena, cases_sha256);
    return true;
}

/* Into the arena: the arrays grow by realloc only while they are filled. */
static void *kept(slm_arena *arena, void *items, size_t count, size_t item_bytes)
{
    void *copy = slm_arena_array(arena, count + 1, item_bytes);
    if (count > 0) memcpy(copy, items, count * item_bytes);
    free(items);
    return copy;
}

slm_status judge__stored_load(slm_store *store, slm_arena *arena, judge__stored *out,
                              slm_error *err)
{
    set_list sets = {.arena = arena};
    *out = (judge__stored){0};
    loader l = {.arena = arena, .out = out, .err = err};
    slm_status status = slm_store_case_sets(store, on_set, &sets, err);
    for (size_t i = 0; i < sets.count && status == SLM_OK; i++) {
        l.set = sets.items[i];
        status = slm_store_cases(store, l.set, on_case, &l, err);
        if (status == SLM_OK) status = l.status;
    }
    if (status == SLM_OK) status = slm_store_runs(store, on_run, &l, err);
    free(sets.items);
    out->cases = kept(arena, out->cases, out->case_count, sizeof *out->cases);
    out->runs = kept(arena, out->runs, out->run_count, sizeof *out->runs);
    return status;
}

const slm_case *judge__stored_find(const judge__stored *stored, const char *set,
                                   const char *case_id)
{
    size_t low = 0, high = stored->case_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const judge__stored_case *one = &stored->cases[middle];
        int order = strcmp(one->set, set);
        if (order == 0) order = strcmp(one->c.id, case_id);
        if (order == 0) return &one->c;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

typedef struct judge_search {
    const char *wanted;
    size_t found;
    char hash[SLM_SHA256_HEX_BYTES];
    slm_buffer name, all;
} judge_search;

static bool on_judge(void *context, const char *hash, const char *name)
{
    enum { HASH_CHARACTERS_MIN = 6 };
    judge_search *s = context;
    size_t len = strlen(s->wanted);
    bool fits = strcmp(name, s->wanted) == 0 ||
                (len >= HASH_CHARACTERS_MIN && strncmp(hash, s->wanted, len) == 0);
    slm_buffer_printf(&s->all, "%s%s (%.8s)", s->all.len ? ", " : "", name, hash);
    if (!fits) return true;
    if (s->found++ == 0) {
        slm_buffer_append_text(&s->name, name);
        memcpy(s->hash, hash, strnlen(hash, sizeof s->hash - 1));
    }
    return true;
}

slm_status judge__stored_judge(slm_store *store, const char *judge, char hash[SLM_SHA256_HEX_BYTES],
                               slm_buffer *name, slm_error *err)
{
    judge_search s = {.wanted = judge};
    slm_status status = slm_store_judges(store, on_judge, &s, err);
    if (status == SLM_OK && s.found == 0)
        status = slm_error_set(err, SLM_ERR_NOT_FOUND,
                               "there is no judge %s in the database; it has %.700s", judge,
                               s.all.len ? slm_buffer_text(&s.all) : "none");
    if (status == SLM_OK && s.found > 1)
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "%zu judges in the database are called %s; name one by its hash: "
                               "%.700s",
                               s.found, judge, slm_buffer_text(&s.all));
    if (status == SLM_OK) {
        memcpy(hash, s.hash, sizeof s.hash);
        if (name != NULL) slm_buffer_append_text(name, slm_buffer_text(&s.name));
    }
    slm_buffer_free(&s.name);
    slm_buffer_free(&s.all);
    return status;
}
