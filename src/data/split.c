/* split.c: cases -> training, development and test, families whole.
 *
 * Families are sorted by their kind (which contexts and dispositions they hold), within a kind by a
 * hash of the seed and their name, and dealt in that order, each to the side that is furthest behind
 * its share of the cases dealt so far. So every kind is shared out like the whole, the sides come
 * out within a family of their shares, and nothing depends on the order of the rows.
 *
 * Where the cases come from several files, these are taken for sides that exist: a family that
 * stands in two of them has been seen on both already, and no new split can undo that. */
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "data/inspect_internal.h"

typedef struct kin {
    const char *name, *kind;
    uint64_t order;
    size_t count; /* cases */
    int side;
} kin;

static int by_kind(const void *a, const void *b)
{
    const kin *const *x = a, *const *y = b;
    int order = strcmp((*x)->kind, (*y)->kind);
    if (order != 0) return order;
    if ((*x)->order != (*y)->order) return (*x)->order < (*y)->order ? -1 : 1;
    return strcmp((*x)->name, (*y)->name);
}

/* Which of the contexts and dispositions occur, as a text: a bit for each pair. */
static const char *kind_text(uint32_t pairs, slm_arena *arena)
{
    return slm_arena_printf(arena, "%08x", pairs);
}

static slm_status gather(const slm_cases *cases, uint64_t seed, slm_arena *arena, kin *families,
                         size_t *of, size_t *count, slm_error *err)
{
    data__set names = {0};
    slm_status status = SLM_OK;
    uint32_t *pairs = slm_arena_array(arena, cases->count, sizeof *pairs);
    const slm_case **first = slm_arena_array(arena, cases->count, sizeof *first);
    *count = 0;
    for (size_t i = 0; i < cases->count; i++) {
        const slm_case *c = &cases->items[i];
        size_t at = data__set_put(&names, c->family, *count);
        if (at == SIZE_MAX) {
            at = (*count)++;
            first[at] = c;
            families[at] =
                (kin){.name = c->family,
                      .order = data__mix(slm_hash_bytes(c->family, strlen(c->family)), seed)};
        } else if (strcmp(first[at]->file, c->file) != 0) {
            status =
                slm_error_set(err, SLM_ERR_FORMAT,
                              "%s:%zu: family %s stands in %s:%zu too; a family belongs to one "
                              "side. Move its cases into one file",
                              c->file, c->line, c->family, first[at]->file, first[at]->line);
            break;
        }
        pairs[at] |= UINT32_C(1) << ((unsigned)c->context * 5 + (unsigned)c->disposition);
        families[at].count++;
        of[i] = at;
    }
    for (size_t i = 0; i < *count; i++)
        families[i].kind = kind_text(pairs[i], arena);
    data__set_free(&names);
    return status;
}

slm_status slm_cases_split(const slm_cases *cases, double dev, double test, uint64_t seed,
                           int *side, slm_error *err)
{
    if (!(dev >= 0) || !(test >= 0) || !(dev + test < 1))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "shares of %g for development and %g for test leave no training; they "
                             "are 0 or more and less than 1 together",
                             dev, test);
    slm_arena arena = {0};
    size_t count = 0, *of = slm_arena_array(&arena, cases->count, sizeof *of);
    kin *families = slm_arena_array(&arena, cases->count, sizeof *families);
    kin **order = slm_arena_array(&arena, cases->count, sizeof *order);
    slm_status status = gather(cases, seed, &arena, families, of, &count, err);
    if (status != SLM_OK) goto out;
    for (size_t i = 0; i < count; i++)
        order[i] = &families[i];
    qsort(order, count, sizeof *order, by_kind);
    const double share[3] = {1 - dev - test, dev, test};
    double have[3] = {0}, dealt = 0;
    for (size_t i = 0; i < count; i++) {
        dealt += (double)order[i]->count;
        int best = 0;
        for (int s = 1; s < 3; s++)
            if (share[s] * dealt - have[s] > share[best] * dealt - have[best]) best = s;
        order[i]->side = best;
        have[best] += (double)order[i]->count;
    }
    for (int s = 0; s < 3; s++)
        if (share[s] > 0 && have[s] == 0) {
            status = slm_error_set(err, SLM_ERR_INVALID,
                                   "%zu families are too few for shares of %g, %g and %g: a side "
                                   "stays empty",
                                   count, share[0], share[1], share[2]);
            goto out;
        }
    for (size_t i = 0; i < cases->count; i++)
        side[i] = families[of[i]].side;
out:
    slm_arena_free(&arena);
    return status;
}
