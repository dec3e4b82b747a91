/* inspect_internal.h: what the checks of `slm data check` share: texts as words, pairs of texts that
 * are alike, the set that is looked at, and where findings go. */
#ifndef SLM_DATA_INSPECT_INTERNAL_H
#define SLM_DATA_INSPECT_INTERNAL_H

#include "base/json.h"
#include "data/data.h"
#include "data/data_internal.h"
#include "data/inspect.h"
#include "provider/embed.h"

/* ---- words.c: a text as the hashes of its words -------------------------------------------- */

/* Words are runs of letters, marks and digits of the case-folded, composed text; apostrophes within
 * a word are dropped ("don't" is "dont"). */
typedef struct data__words {
    uint64_t *hashes; /* in the caller's arena */
    size_t count;
    uint64_t whole; /* of all words in order; 0 for none */
} data__words;
data__words data__words_of(const char *text, size_t len, slm_arena *arena);
/* Most of the text's letters are Latin ones; so is a text without letters. */
bool data__is_latin(const char *text);
/* A 64-bit mix of two (splitmix64's finaliser over their combination). */
uint64_t data__mix(uint64_t a, uint64_t b);
/* Hashes of all runs of n words; a text with fewer is one run. Sorted, each once. *out in the
 * arena. */
size_t data__grams_of(const data__words *words, size_t n, slm_arena *arena, uint64_t **out);
/* For each string within the value: its path ("rubrics[2].criterion") and the string. */
void data__each_string(const json_t *value, const char *path,
                       void (*fn)(void *context, const char *path, const char *text, size_t len),
                       void *context);

/* A set of 64-bit hashes with a number for each. */
typedef struct data__hash_table {
    uint64_t *keys; /* 0: empty; the key 0 is kept as 1 */
    uint32_t *values;
    size_t count, cap;
} data__hash_table;
/* The number under the key, which is put there if the key is new (*added, may be NULL). */
uint32_t *data__hash_table_put(data__hash_table *table, uint64_t key, uint32_t value, bool *added);
/* NULL if it is not there. */
uint32_t *data__hash_table_get(const data__hash_table *table, uint64_t key);
void data__hash_table_free(data__hash_table *table);

/* ---- duplicates.c, likeness.c: which texts are alike --------------------------------------- */

typedef struct data__pair {
    size_t a, b; /* a < b where both are of one list */
    double score;
} data__pair;
typedef struct data__pairs {
    data__pair *items;
    size_t count, cap;
} data__pairs;
void data__pairs_add(data__pairs *pairs, size_t a, size_t b, double score);
void data__pairs_sort(data__pairs *pairs); /* by a, then b */
void data__pairs_free(data__pairs *pairs);

/* Pairs whose word 5-grams have a Jaccard index of at least `least`, found through MinHash and
 * verified. Texts without words are alike to nothing. */
void data__near_duplicates(const data__words *texts, size_t count, double least, data__pairs *out);

/* Pairs (a of the first list, b of the second) whose TF-IDF cosine over words is at least `least`
 * (> 0). Document frequencies are counted over both lists. With second == NULL: pairs a < b of the
 * first list. skip(context, a, b), may be NULL: leave the pair out. */
void data__alike(const data__words *first, size_t first_count, const data__words *second,
                 size_t second_count, double least, bool (*skip)(void *context, size_t a, size_t b),
                 void *context, data__pairs *out);

/* Vectors of the texts, one after the other; free() them. */
slm_status data__embed(slm_embed *encoder, const char *const *texts, size_t count, float **out,
                       slm_error *err);
double data__dot(const float *a, const float *b, size_t n);

/* ---- sources.c: files and folders as texts ------------------------------------------------- */

/* The files at and below a path, in byte order of their paths; dot files are left out. In the
 * arena. */
slm_status data__list_files(const char *path, slm_arena *arena, const char ***out, size_t *count,
                            slm_error *err);
/* SHA-256 of a file, or of a folder's files with their names. */
slm_status data__content_hash(const char *path, char hex[65], slm_error *err);
/* Every text of a file or folder with its place. Of JSON and JSON Lines each string; of what else
 * slm data import reads, the questions. on_skip (may be NULL): a file or row in a folder that could
 * not be read. */
slm_status data__each_text(const char *path,
                           void (*fn)(void *context, const char *file, size_t line,
                                      const char *text, size_t len),
                           void (*on_skip)(void *context, const char *why), void *context,
                           slm_error *err);

/* ---- the set that is looked at ------------------------------------------------------------- */

typedef struct data__inspection {
    const slm_data_check_options *options;
    const char *const *files;
    size_t file_count;
    const slm_cases *cases;
    size_t *side;         /* of each case: index of its file */
    const char **spoken;  /* of each case: what the user wrote, turns joined by newlines */
    data__words *words;   /* of each spoken */
    slm_data_report *out; /* findings go here, in its arena */
    size_t finding_cap;
} data__inspection;

__attribute__((format(printf, 7, 8))) void data__find(data__inspection *in, const char *check,
                                                      const char *kind, bool fails,
                                                      const char *file, size_t line,
                                                      const char *format, ...);
/* A row of the report's table; its numbers are taken over. detail: lines below it, or NULL. */
__attribute__((format(printf, 6, 7))) void data__result(data__inspection *in, const char *check,
                                                        slm_data_verdict verdict, json_t *numbers,
                                                        const char *detail, const char *summary,
                                                        ...);
size_t data__failures(const data__inspection *in, const char *check);

/* The checks; each adds its findings and its row. */
void data__check_duplicates(data__inspection *in);
slm_status data__check_alike(data__inspection *in, slm_error *err);
slm_status data__check_overlap(data__inspection *in, slm_error *err);
slm_status data__check_personal(data__inspection *in, slm_error *err);
slm_status data__check_balance(data__inspection *in, slm_error *err);
void data__check_surface(data__inspection *in);

/* ---- surface.c ----------------------------------------------------------------------------- */

enum { DATA__SURFACE_FEATURES = 6 };
extern const char *const data__surface_names[DATA__SURFACE_FEATURES];
/* length, turns, digits, commas, negations, units of the user's words. */
void data__surface_count(const slm_case *c, double out[DATA__SURFACE_FEATURES]);
/* Area under the ROC curve of scores for label 1 against label 0, ties counted half (Mann and
 * Whitney 1947); NaN if one label is missing. */
double data__auc(const double *scores, const int *labels, size_t n);
/* Out-of-fold AUC of a ridge logistic model on the features x[n][DATA__SURFACE_FEATURES];
 * family[i] keeps together what must not be split; the mean over `repeats` ways of making folds. */
double data__surface_auc(const double (*x)[DATA__SURFACE_FEATURES], const int *labels,
                         const char *const *family, size_t n, double *pooled_scores);

#endif
