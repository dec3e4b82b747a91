/* data.c: case files -> a set of cases, and small helpers over one case.
 *
 * Files are read in the order given, row by row. An id stands for one case over all files: where it
 * comes again, the error names both places. The set's identity is the SHA-256 over the canonical
 * JSON of its rows in order, so it depends on content alone, not on file names, key order or white
 * space. Filters apply before the limit: "the first n cases with this tag". A filter on criteria
 * changes the rows themselves, and so the set: a score over fewer criteria is another score. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "data/data_internal.h"

const char *slm_behaviour_name(slm_behaviour behaviour)
{
    static const char *const names[] = {"none", "seek", "precise", "safe", "act"};
    return names[behaviour];
}

const char *slm_tier_name(slm_tier tier)
{
    static const char *const names[] = {"emergency", "next_step", "cause", "other"};
    return names[tier];
}

const char *slm_context_name(slm_context context)
{
    static const char *const names[] = {"none", "lacks", "enough"};
    return names[context];
}

const char *slm_disposition_name(slm_disposition disposition)
{
    static const char *const names[] = {"none", "emergency", "urgent", "routine", "self-care"};
    return names[disposition];
}

/* ---- a set of texts ------------------------------------------------------------------------ */

static size_t set_slot(const data__set *set, const char *key)
{
    size_t slot = (size_t)slm_hash_bytes(key, strlen(key)) & (set->cap - 1);
    while (set->keys[slot] != NULL && strcmp(set->keys[slot], key) != 0)
        slot = (slot + 1) & (set->cap - 1);
    return slot;
}

static void set_grow(data__set *set)
{
    data__set bigger = {.cap = set->cap == 0 ? 64 : set->cap * 2};
    bigger.keys = calloc(bigger.cap, sizeof *bigger.keys);
    bigger.values = calloc(bigger.cap, sizeof *bigger.values);
    if (bigger.keys == NULL || bigger.values == NULL)
        slm_out_of_memory(bigger.cap * sizeof *bigger.keys);
    for (size_t i = 0; i < set->cap; i++) {
        if (set->keys[i] == NULL) continue;
        size_t slot = set_slot(&bigger, set->keys[i]);
        bigger.keys[slot] = set->keys[i];
        bigger.values[slot] = set->values[i];
    }
    bigger.count = set->count;
    data__set_free(set);
    *set = bigger;
}

size_t data__set_put(data__set *set, const char *key, size_t value)
{
    if (set->count * 2 >= set->cap) set_grow(set);
    size_t slot = set_slot(set, key);
    if (set->keys[slot] != NULL) return set->values[slot];
    set->keys[slot] = key;
    set->values[slot] = value;
    set->count++;
    return SIZE_MAX;
}

bool data__set_has(const data__set *set, const char *key)
{
    return set->count > 0 && set->keys[set_slot(set, key)] != NULL;
}

void data__set_free(data__set *set)
{
    free(set->keys);
    free(set->values);
    *set = (data__set){0};
}

/* ---- loading ------------------------------------------------------------------------------- */

typedef struct loader {
    const slm_cases_options *options;
    slm_cases_filter *filter;
    slm_cases *cases;
    slm_case *items; /* grows with realloc; copied into the arena at the end */
    size_t count, cap;
    data__set ids;
    void (*on_problem)(void *context, const slm_error *problem);
    void *context;
    slm_error first; /* the first problem, when on_problem goes on after it */
    bool failed;
} loader;

/* Hand a problem on. True if reading goes on after it. */
static bool report(loader *l, const slm_error *problem)
{
    if (!l->failed) l->first = *problem;
    l->failed = true;
    if (l->on_problem == NULL) return false;
    l->on_problem(l->context, problem);
    return true;
}

static bool is_full(const loader *l)
{
    return l->options != NULL && l->options->limit > 0 && l->count >= l->options->limit;
}

/* The case anew from a row with fewer criteria, unless all of them are kept. */
static slm_status keep_criteria(loader *l, const json_t *row, const char *path, size_t line,
                                slm_case *c, bool *gives_points, slm_error *err)
{
    if (l->options == NULL || l->options->criteria_count == 0) return SLM_OK;
    const json_t *rubrics = json_object_get(row, "rubrics");
    json_t *kept = json_array(), *fewer = json_copy((json_t *)(uintptr_t)row);
    if (kept == NULL || fewer == NULL) slm_out_of_memory(c->rubric_count);
    *gives_points = false;
    for (size_t i = 0; i < c->rubric_count; i++) {
        if (!slm_cases_filter_keeps(l->filter, &c->rubrics[i])) continue;
        json_array_append(kept, json_array_get(rubrics, i));
        *gives_points = *gives_points || c->rubrics[i].points > 0;
    }
    json_object_set_new(fewer, "rubrics", kept);
    slm_status status = SLM_OK;
    if (*gives_points && json_array_size(kept) < c->rubric_count) {
        *c = (slm_case){0};
        status = data__case_from_json(fewer, path, line, &l->cases->arena, c, err);
    }
    json_decref(fewer);
    return status;
}

static slm_status add_row(loader *l, const json_t *row, const char *path, size_t line,
                          slm_error *err)
{
    slm_case c = {0};
    l->cases->rows_read++;
    SLM_TRY(data__case_from_json(row, path, line, &l->cases->arena, &c, err));
    if (!slm_cases_filter_wants_id(l->filter, c.id) || !slm_cases_filter_wants_tags(l->filter, &c))
        return SLM_OK;
    size_t criteria = c.rubric_count;
    bool gives_points = true;
    SLM_TRY(keep_criteria(l, row, path, line, &c, &gives_points, err));
    if (!gives_points) return SLM_OK;
    l->cases->criteria_read += criteria;
    l->cases->criteria_kept += c.rubric_count;
    size_t first = data__set_put(&l->ids, c.id, l->count);
    if (first != SIZE_MAX) {
        slm_json_place root = {.name = path, .line = line};
        slm_json_place at = {.parent = &root, .key = "prompt_id"};
        return slm_json_error(&at, err, "'%s' already stands at %s:%zu; each case has its own id",
                              c.id, l->items[first].file, l->items[first].line);
    }
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        slm_case *items = realloc(l->items, l->cap * sizeof *items);
        if (items == NULL) slm_out_of_memory(l->cap * sizeof *items);
        l->items = items;
    }
    l->items[l->count++] = c;
    return SLM_OK;
}

/* One line without its end into `line`. False at the end of the file. Bounded, unlike getline: a
 * file without line ends must not fill the memory. */
static bool read_line(FILE *stream, slm_buffer *line, bool *too_long)
{
    int c = getc_unlocked(stream);
    bool any = c != EOF;
    slm_buffer_truncate(line, 0);
    for (; c != EOF && c != '\n'; c = getc_unlocked(stream)) {
        if (line->len == DATA__LINE_BYTES_MAX) {
            *too_long = true;
            return true;
        }
        slm_buffer_append_char(line, (char)c);
    }
    return any;
}

static slm_status read_row(loader *l, const slm_buffer *line, const char *path, size_t number,
                           slm_error *err)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    const char *text = slm_buffer_text(line);
    size_t len = line->len;
    if (number == 1 && len >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
        text += 3;
        len -= 3;
    }
    while (len > 0 && memchr(" \t\r", text[len - 1], 3) != NULL)
        len--;
    if (len == 0) return SLM_OK;
    json_t *row = NULL;
    SLM_TRY(slm_json_parse(text, len, path, number, &row, err));
    slm_status status = add_row(l, row, path, number, err);
    json_decref(row);
    return status;
}

/* One file; "-" is standard input. What cannot be read at all ends the loading; a wrong row may be
 * passed over. False to stop. */
static bool load_file(loader *l, const char *path)
{
    slm_error problem = {0};
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    FILE *stream = is_stdin ? stdin : fopen(path, "re");
    if (stream == NULL) {
        slm_error_set(&problem, errno == ENOENT ? SLM_ERR_NOT_FOUND : SLM_ERR_IO,
                      "cannot open the cases %s: %s", path, strerror(errno));
        report(l, &problem);
        return false;
    }
    slm_buffer line = {0};
    bool go_on = true, too_long = false;
    for (size_t number = 1; go_on && !is_full(l) && read_line(stream, &line, &too_long); number++) {
        if (too_long) {
            slm_error_set(&problem, SLM_ERR_FORMAT,
                          "%s:%zu: the line has more than %d MiB; is this a file of cases, one "
                          "JSON object on each line?",
                          name, number, DATA__LINE_BYTES_MAX >> 20);
            report(l, &problem);
            go_on = false; /* its end would have to be searched for */
        } else if (read_row(l, &line, name, number, &problem) != SLM_OK) {
            go_on = report(l, &problem);
        }
    }
    if (ferror(stream)) {
        slm_error_set(&problem, SLM_ERR_IO, "cannot read %s: %s", name, strerror(errno));
        report(l, &problem);
        go_on = false;
    }
    slm_buffer_free(&line);
    if (!is_stdin) fclose(stream);
    return go_on;
}

slm_status slm_cases_load(const char *const *paths, size_t path_count,
                          const slm_cases_options *options,
                          void (*on_problem)(void *context, const slm_error *problem),
                          void *context, slm_cases *out, slm_error *err)
{
    slm_cases cases = {0};
    loader l = {.options = options, .cases = &cases, .on_problem = on_problem, .context = context};
    slm_error problem = {0};
    if (slm_cases_filter_open(options, &l.filter, &problem) != SLM_OK) {
        report(&l, &problem);
        path_count = 0;
    }
    for (size_t i = 0; i < path_count; i++)
        if (!load_file(&l, paths[i])) break;
    slm_cases_filter_free(l.filter);
    if (!l.failed && l.count == 0) {
        slm_error_set(&problem, SLM_ERR_FORMAT, "%s: there are no cases in it%s",
                      path_count > 0 ? paths[path_count - 1] : "(no file)",
                      cases.rows_read > 0 ? " that the filters (--tag, --also-in, --criteria) let "
                                            "through; take others or none"
                                          : "");
        report(&l, &problem);
    }
    if (l.failed) {
        slm_status status = slm_error_set(err, l.first.status, "%s", l.first.message);
        free(l.items);
        data__set_free(&l.ids);
        slm_cases_free(&cases);
        return status;
    }
    cases.items = slm_arena_array(&cases.arena, l.count, sizeof *cases.items);
    cases.count = l.count;
    memcpy(cases.items, l.items, l.count * sizeof *cases.items);
    slm_sha256 *hash = slm_sha256_new();
    for (size_t i = 0; i < cases.count; i++)
        slm_sha256_update_part(hash, cases.items[i].json);
    slm_sha256_finish(hash, cases.sha256);
    free(l.items);
    data__set_free(&l.ids);
    *out = cases;
    return SLM_OK;
}

void slm_cases_free(slm_cases *cases)
{
    if (cases == NULL) return;
    slm_arena_free(&cases->arena);
    *cases = (slm_cases){0};
}

/* ---- helpers over one case ----------------------------------------------------------------- */

const slm_follow_up *slm_case_follow_up(const slm_case *c, const char *id)
{
    for (size_t i = 0; i < c->follow_up_count; i++)
        if (strcmp(c->follow_ups[i].id, id) == 0) return &c->follow_ups[i];
    return NULL;
}

const slm_key_point *slm_case_key_point(const slm_case *c, const char *id)
{
    for (size_t i = 0; i < c->key_point_count; i++)
        if (strcmp(c->key_points[i].id, id) == 0) return &c->key_points[i];
    return NULL;
}

const slm_advice *slm_case_advice(const slm_case *c, const char *id)
{
    for (size_t i = 0; i < c->advice_count; i++)
        if (strcmp(c->advice[i].id, id) == 0) return &c->advice[i];
    return NULL;
}

const slm_never *slm_case_never(const slm_case *c, const char *id)
{
    for (size_t i = 0; i < c->never_count; i++)
        if (strcmp(c->never[i].id, id) == 0) return &c->never[i];
    return NULL;
}

slm_tier slm_case_highest_tier(const slm_case *c)
{
    slm_tier highest = SLM_TIER_OTHER;
    for (size_t i = 0; i < c->follow_up_count; i++)
        if (c->follow_ups[i].tier < highest) highest = c->follow_ups[i].tier;
    return highest;
}

bool slm_case_has_tag(const slm_case *c, const char *tag)
{
    for (size_t i = 0; i < c->tag_count; i++)
        if (strcmp(c->tags[i], tag) == 0) return true;
    return false;
}
