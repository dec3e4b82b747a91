/* filter.c: which cases of a file are wanted, and which of their criteria.
 *
 * HealthBench's subsets are files of their own (hard, consensus), and the published experiment that
 * this project began with is their intersection: so a case can be asked to stand in other files too,
 * by its id. Tags name themes, axes and consensus criteria; a name may be a shell pattern. Wants on
 * cases are joined by and (each narrows), names of criteria by or (each adds). */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include "data/data_internal.h"

struct slm_cases_filter {
    slm_arena arena; /* owns every text below */
    const char **tags, **criteria;
    size_t tag_count, criteria_count;
    data__set *ids; /* of each file */
    size_t file_count;
};

static const char **copy_texts(slm_arena *arena, const char *const *texts, size_t count)
{
    const char **copy = slm_arena_array(arena, count, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = slm_arena_strdup(arena, texts[i]);
    return copy;
}

static slm_status read_ids(slm_cases_filter *filter, const char *path, data__set *ids,
                           slm_error *err)
{
    slm_jsonl *reader = NULL;
    slm_status status = SLM_OK;
    json_t *row = NULL;
    SLM_TRY(slm_jsonl_open(path, &reader, err));
    for (;;) {
        size_t line = 0;
        const char *id = NULL;
        SLM_TRY_OUT(slm_jsonl_next(reader, &row, &line, err));
        if (row == NULL) break;
        slm_json_place place = {.name = path, .line = line};
        SLM_TRY_OUT(slm_json_string(row, "prompt_id", &place, &id, err));
        data__set_put(ids, slm_arena_strdup(&filter->arena, id), line);
        json_decref(row);
        row = NULL;
    }
    if (ids->count == 0)
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "%s: has no rows; --also-in takes a file of cases, whose prompt_id "
                               "are looked at",
                               path);
out:
    json_decref(row);
    slm_jsonl_close(reader);
    return status;
}

slm_status slm_cases_filter_open(const slm_cases_options *options, slm_cases_filter **out,
                                 slm_error *err)
{
    static const slm_cases_options none = {0};
    const slm_cases_options *o = options != NULL ? options : &none;
    slm_cases_filter *filter = calloc(1, sizeof *filter);
    if (filter == NULL) slm_out_of_memory(sizeof *filter);
    filter->tags = copy_texts(&filter->arena, o->tags, o->tag_count);
    filter->tag_count = o->tag_count;
    filter->criteria = copy_texts(&filter->arena, o->criteria, o->criteria_count);
    filter->criteria_count = o->criteria_count;
    filter->ids = calloc(o->also_in_count + 1, sizeof *filter->ids);
    if (filter->ids == NULL) slm_out_of_memory(o->also_in_count);
    filter->file_count = o->also_in_count;
    for (size_t i = 0; i < o->also_in_count; i++) {
        slm_status status = read_ids(filter, o->also_in[i], &filter->ids[i], err);
        if (status != SLM_OK) {
            slm_cases_filter_free(filter);
            return status;
        }
    }
    *out = filter;
    return SLM_OK;
}

void slm_cases_filter_free(slm_cases_filter *filter)
{
    if (filter == NULL) return;
    for (size_t i = 0; i < filter->file_count; i++)
        data__set_free(&filter->ids[i]);
    free(filter->ids);
    slm_arena_free(&filter->arena);
    free(filter);
}

static bool fits(const char *pattern, const char *text)
{
    return strcmp(pattern, text) == 0 || fnmatch(pattern, text, FNM_CASEFOLD) == 0;
}

bool slm_cases_filter_wants_id(const slm_cases_filter *filter, const char *id)
{
    for (size_t i = 0; i < filter->file_count; i++)
        if (!data__set_has(&filter->ids[i], id)) return false;
    return true;
}

bool slm_cases_filter_wants_tags(const slm_cases_filter *filter, const slm_case *c)
{
    for (size_t i = 0; i < filter->tag_count; i++) {
        bool found = slm_case_has_tag(c, filter->tags[i]);
        for (size_t j = 0; j < c->tag_count && !found; j++)
            found = fits(filter->tags[i], c->tags[j]);
        if (!found) return false;
    }
    return true;
}

bool slm_cases_filter_keeps(const slm_cases_filter *filter, const slm_rubric_item *item)
{
    if (filter->criteria_count == 0) return true;
    for (size_t i = 0; i < filter->criteria_count; i++) {
        for (size_t j = 0; j < item->tag_count; j++)
            if (fits(filter->criteria[i], item->tags[j])) return true;
        if (fits(filter->criteria[i], item->criterion)) return true;
    }
    return false;
}
