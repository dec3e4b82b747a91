/* overlap.c: is anything of a benchmark, or of a source, in the cases?
 *
 * Three questions, each of every row: does any text of a case share a run of 13 words with a text of
 * the benchmark (the size that Brown et al., "Language models are few-shot learners", 2020, appendix
 * C, look for); is a short text, of fewer than 13 words, the same as one of its texts as a whole; is
 * what the user wrote, or the reply, at least 0.8 like one of its texts (cosine of TF-IDF over words,
 * and of sentence vectors where an encoder is given)?
 *
 * Vectors are compared of texts in Latin letters alone: encoders of English spell others out letter by
 * letter, and find all of them alike. A case in another script is compared by its gloss.
 *
 * Any of the three fails the set. The result, with the SHA-256 of every file on both sides, is the
 * proof object that a report prints: whoever has the files can run it again.
 *
 * Short texts: of the benchmark they are compared with the user's turns. Those below four words
 * ("is it contagious") belong to everybody and are left out, as are likenesses of texts below
 * six. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/hash.h"
#include "data/inspect_internal.h"

enum { GRAM_WORDS = 13, WHOLE_WORDS_MIN = 4, LIKE_WORDS_MIN = 6, LIKE_WORDS_MAX = 4000 };

/* A text of the cases that likeness is asked of. */
typedef struct unit {
    size_t owner; /* case */
    const char *what, *text;
} unit;

/* A text of a benchmark, kept for likeness. */
typedef struct outside {
    uint32_t source; /* index into the options' against */
    const char *file;
    size_t line;
    const char *text;
} outside;

typedef struct overlap {
    data__inspection *in;
    slm_arena arena;
    data__hash_table grams;  /* 13-gram -> first link of its cases */
    data__hash_table wholes; /* a short user turn -> the same */
    struct link {
        uint32_t owner, next;
    } * links; /* 0 is none */
    size_t link_count, link_cap;
    unit *units;
    data__words *unit_words;
    size_t unit_count, unit_cap;
    outside *texts;
    data__words *text_words;
    size_t text_count, text_cap;
    bool *hit; /* of each case: overlaps with anything */
    /* the file that is read */
    uint32_t source;
    size_t rows, strings, ngrams, whole, skipped;
    size_t *told; /* of each case: the row (counted from 1) whose 13-grams it was told of last */
    size_t row;   /* line of the row */
    const char *row_file;
} overlap;

static void *grow(void *items, size_t count, size_t *cap, size_t bytes)
{
    if (count < *cap) return items;
    *cap = *cap == 0 ? 1024 : *cap * 2;
    void *grown = realloc(items, *cap * bytes);
    if (grown == NULL) slm_out_of_memory(*cap * bytes);
    return grown;
}

/* ---- our side ------------------------------------------------------------------------------ */

typedef struct inside {
    overlap *o;
    size_t owner;
} inside;

static void add_link(overlap *o, data__hash_table *table, uint64_t key, size_t owner)
{
    if (o->link_count == 0) o->link_count = 1;
    o->links = grow(o->links, o->link_count, &o->link_cap, sizeof *o->links);
    bool added;
    uint32_t *first = data__hash_table_put(table, key, (uint32_t)o->link_count, &added);
    if (!added && o->links[*first].owner == owner) return;
    o->links[o->link_count] = (struct link){(uint32_t)owner, added ? 0 : *first};
    *first = (uint32_t)o->link_count++;
}

static void add_grams(void *context, const char *path, const char *text, size_t len)
{
    inside *at = context;
    slm_arena arena = {0};
    (void)path;
    data__words words = data__words_of(text, len, &arena);
    if (words.count >= GRAM_WORDS) {
        uint64_t *grams;
        size_t count = data__grams_of(&words, GRAM_WORDS, &arena, &grams);
        for (size_t i = 0; i < count; i++)
            add_link(at->o, &at->o->grams, grams[i], at->owner);
    }
    slm_arena_free(&arena);
}

static void add_unit(overlap *o, size_t owner, const char *what, const char *text)
{
    if (text == NULL) return;
    data__words words = data__words_of(text, strlen(text), &o->arena);
    if (words.count < LIKE_WORDS_MIN) return;
    size_t cap = o->unit_cap;
    o->units = grow(o->units, o->unit_count, &cap, sizeof *o->units);
    o->unit_words = grow(o->unit_words, o->unit_count, &o->unit_cap, sizeof *o->unit_words);
    o->unit_words[o->unit_count] = words;
    o->units[o->unit_count++] = (unit){owner, what, text};
}

static slm_status add_cases(overlap *o, slm_error *err)
{
    for (size_t i = 0; i < o->in->cases->count; i++) {
        const slm_case *c = &o->in->cases->items[i];
        json_t *row = NULL;
        inside at = {o, i};
        SLM_TRY(slm_json_parse(c->json, strlen(c->json), c->file, c->line, &row, err));
        data__each_string(row, "", add_grams, &at);
        json_decref(row);
        size_t users = 0;
        for (size_t t = 0; t < c->turn_count; t++) {
            if (strcmp(c->turns[t].role, "user") != 0) continue;
            users++;
            slm_arena arena = {0};
            data__words words =
                data__words_of(c->turns[t].content, strlen(c->turns[t].content), &arena);
            if (words.count >= WHOLE_WORDS_MIN) add_link(o, &o->wholes, words.whole, i);
            slm_arena_free(&arena);
            add_unit(o, i, "a turn", c->turns[t].content);
        }
        if (users > 1) add_unit(o, i, "what the user wrote", o->in->spoken[i]);
        add_unit(o, i, "the gloss", c->gloss);
        add_unit(o, i, "the reply", c->reply != NULL ? c->reply : c->ideal);
    }
    return SLM_OK;
}

/* ---- theirs -------------------------------------------------------------------------------- */

static void tell(overlap *o, size_t owner, const char *kind, const char *file, size_t line,
                 const char *how, const char *text)
{
    const slm_case *c = &o->in->cases->items[owner];
    size_t len = strlen(text), cut = len < 100 ? len : 100;
    while (cut < len && cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80)
        cut--;
    o->hit[owner] = true;
    char shown[104];
    for (size_t i = 0; i < cut; i++)
        shown[i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
    data__find(o->in, "overlap", kind, true, c->file, c->line, "%s %s %s:%zu: \"%.*s%s\"", c->id,
               how, file, line, (int)cut, shown, cut < len ? "..." : "");
}

static void add_text(void *context, const char *file, size_t line, const char *text, size_t len)
{
    overlap *o = context;
    slm_arena arena = {0};
    data__words words = data__words_of(text, len, &arena);
    o->strings++;
    if (line != o->row || o->row_file == NULL || strcmp(file, o->row_file) != 0) {
        if (o->row_file == NULL || strcmp(file, o->row_file) != 0)
            o->row_file = slm_arena_strdup(&o->arena, file);
        o->rows++;
        o->row = line;
    }
    if (words.count >= GRAM_WORDS) {
        uint64_t *grams;
        size_t count = data__grams_of(&words, GRAM_WORDS, &arena, &grams);
        for (size_t i = 0; i < count; i++) {
            const uint32_t *link = data__hash_table_get(&o->grams, grams[i]);
            for (size_t l = link != NULL ? *link : 0; l != 0; l = o->links[l].next) {
                size_t owner = o->links[l].owner;
                if (o->told[owner] == o->rows) continue; /* once for each row and case */
                o->told[owner] = o->rows;
                o->ngrams++;
                tell(o, owner, "13-gram", file, line, "shares 13 words in a row with", text);
            }
        }
    } else if (words.count >= WHOLE_WORDS_MIN) {
        const uint32_t *link = data__hash_table_get(&o->wholes, words.whole);
        for (size_t l = link != NULL ? *link : 0; l != 0; l = o->links[l].next) {
            o->whole++;
            tell(o, o->links[l].owner, "whole", file, line, "has a turn that is", text);
        }
    }
    if (words.count >= LIKE_WORDS_MIN && words.count <= LIKE_WORDS_MAX) {
        size_t cap = o->text_cap;
        o->texts = grow(o->texts, o->text_count, &cap, sizeof *o->texts);
        o->text_words = grow(o->text_words, o->text_count, &o->text_cap, sizeof *o->text_words);
        data__words kept = {slm_arena_array(&o->arena, words.count, sizeof(uint64_t)), words.count,
                            words.whole};
        memcpy(kept.hashes, words.hashes, words.count * sizeof(uint64_t));
        o->text_words[o->text_count] = kept;
        o->texts[o->text_count++] =
            (outside){o->source, o->row_file, line, slm_arena_strndup(&o->arena, text, len)};
    }
    slm_arena_free(&arena);
}

/* Not looked at: that is shown, for a proof over part of a folder is a proof of that part. */
static void add_skip(void *context, const char *why)
{
    overlap *o = context;
    o->skipped++;
    data__find(o->in, "overlap", "not read", false, o->in->options->against[o->source], 0, "%s",
               why);
}

/* ---- likeness ------------------------------------------------------------------------------ */

static void tell_like(overlap *o, const char *method, size_t unit_index, size_t text_index,
                      double score, size_t *counts)
{
    const unit *u = &o->units[unit_index];
    const outside *t = &o->texts[text_index];
    char how[160];
    snprintf(how, sizeof how, "has %s that is %.2f (%s) like", u->what, score, method);
    counts[t->source]++;
    tell(o, u->owner, "similar", t->file, t->line, how, t->text);
}

static slm_status compare_vectors(overlap *o, size_t *counts, slm_error *err)
{
    slm_embed *encoder = o->in->options->encoder;
    const char **ours = slm_arena_array(&o->arena, o->unit_count, sizeof *ours);
    const char **theirs = slm_arena_array(&o->arena, o->text_count, sizeof *theirs);
    for (size_t i = 0; i < o->unit_count; i++)
        ours[i] = o->units[i].text;
    for (size_t i = 0; i < o->text_count; i++)
        theirs[i] = o->texts[i].text;
    float *a = NULL, *b = NULL;
    size_t d = encoder->dimensions;
    slm_status status = SLM_OK;
    SLM_TRY_OUT(data__embed(encoder, ours, o->unit_count, &a, err));
    SLM_TRY_OUT(data__embed(encoder, theirs, o->text_count, &b, err));
    for (size_t i = 0; i < o->unit_count; i++)
        for (size_t j = 0; j < o->text_count; j++) {
            double score = data__dot(a + i * d, b + j * d, d);
            if (score < o->in->options->overlap) continue;
            if (data__is_latin(ours[i]) && data__is_latin(theirs[j]))
                tell_like(o, encoder->name, i, j, score, counts);
        }
out:
    free(a);
    free(b);
    return status;
}

static slm_status compare_likeness(overlap *o, size_t *counts, slm_error *err)
{
    if (o->unit_count == 0 || o->text_count == 0) return SLM_OK;
    data__pairs pairs = {0};
    data__alike(o->unit_words, o->unit_count, o->text_words, o->text_count, o->in->options->overlap,
                NULL, NULL, &pairs);
    for (size_t i = 0; i < pairs.count; i++)
        tell_like(o, "TF-IDF", pairs.items[i].a, pairs.items[i].b, pairs.items[i].score, counts);
    data__pairs_free(&pairs);
    return o->in->options->encoder != NULL ? compare_vectors(o, counts, err) : SLM_OK;
}

/* ---- the check and its proof --------------------------------------------------------------- */

static slm_status describe(const char *path, size_t rows, json_t **out, slm_error *err)
{
    char hex[SLM_SHA256_HEX_BYTES];
    SLM_TRY(data__content_hash(path, hex, err));
    *out = json_pack("{s:s,s:s,s:I}", "file", slm_file_basename(path), "sha256", hex, "rows",
                     (json_int_t)rows);
    return SLM_OK;
}

/* What slm_cases_load calls the set of this file alone: a run in a results database carries it. */
static json_t *side_hash(const data__inspection *in, size_t side)
{
    char hex[SLM_SHA256_HEX_BYTES];
    slm_sha256 *hash = slm_sha256_new();
    for (size_t i = 0; i < in->cases->count; i++)
        if (in->side[i] == side) slm_sha256_update_part(hash, in->cases->items[i].json);
    slm_sha256_finish(hash, hex);
    return json_string(hex);
}

static slm_status make_proof(overlap *o, json_t *against, size_t hits, slm_error *err)
{
    data__inspection *in = o->in;
    json_t *files = json_array();
    for (size_t f = 0; f < in->file_count; f++) {
        size_t rows = 0;
        json_t *file = NULL;
        for (size_t i = 0; i < in->cases->count; i++)
            rows += in->side[i] == f;
        slm_status status = describe(in->files[f], rows, &file, err);
        if (status != SLM_OK) {
            json_decref(files);
            return status;
        }
        json_object_set_new(file, "cases_sha256", side_hash(in, f));
        json_array_append_new(files, file);
    }
    json_t *rows = json_array();
    for (size_t i = 0; i < in->cases->count; i++)
        if (o->hit[i]) json_array_append_new(rows, json_string(in->cases->items[i].id));
    const slm_embed *encoder = in->options->encoder;
    in->out->proof = json_pack(
        "{s:s,s:s,s:o,s:s,s:I,s:O,s:{s:i,s:i,s:f,s:s},s:I,s:o,s:b}", "what",
        "overlap of cases with benchmarks and sources", "slm", SLM_VERSION, "files", files,
        "cases_sha256", in->cases->sha256, "cases", (json_int_t)in->cases->count, "against",
        against, "method", "ngram_words", GRAM_WORDS, "whole_below_words", GRAM_WORDS, "similarity",
        in->options->overlap, "similarity_by", encoder != NULL ? encoder->name : "TF-IDF",
        "overlapping_cases", (json_int_t)hits, "overlapping", rows, "clean", hits == 0);
    return SLM_OK;
}

static void finish(overlap *o, json_t *against, size_t hits)
{
    size_t rows = 0, strings = 0, grams = 0, whole = 0, like = 0, skipped = 0;
    for (size_t f = 0; f < json_array_size(against); f++) {
        const json_t *row = json_array_get(against, f);
        rows += (size_t)json_integer_value(json_object_get(row, "rows"));
        strings += (size_t)json_integer_value(json_object_get(row, "texts"));
        grams += (size_t)json_integer_value(json_object_get(row, "ngram_hits"));
        whole += (size_t)json_integer_value(json_object_get(row, "whole_hits"));
        skipped += (size_t)json_integer_value(json_object_get(row, "not_read"));
        like += (size_t)json_integer_value(json_object_get(row, "similar_hits"));
    }
    json_t *numbers =
        json_pack("{s:I,s:O}", "overlapping_cases", (json_int_t)hits, "against", against);
    char left[64] = "";
    if (skipped > 0) snprintf(left, sizeof left, "; %zu files or rows not read", skipped);
    data__result(
        o->in, "overlap", hits > 0 ? SLM_DATA_FAIL : SLM_DATA_PASS, numbers, NULL,
        "%zu of %zu cases with %zu rows (%zu texts) of %zu --against; 13-grams %zu, whole %zu, "
        "similar from %.2f %zu%s",
        hits, o->in->cases->count, rows, strings, o->in->options->against_count, grams, whole,
        o->in->options->overlap, like, left);
}

slm_status data__check_overlap(data__inspection *in, slm_error *err)
{
    const slm_data_check_options *options = in->options;
    if (options->against_count == 0) {
        data__result(in, "overlap", SLM_DATA_NOT_RUN, NULL, NULL,
                     "nothing to compare with; name benchmarks with --against");
        return SLM_OK;
    }
    overlap o = {.in = in};
    json_t *against = json_array();
    slm_status status = SLM_OK;
    o.hit = slm_arena_array(&o.arena, in->cases->count, sizeof *o.hit);
    o.told = slm_arena_array(&o.arena, in->cases->count, sizeof *o.told);
    size_t *like = slm_arena_array(&o.arena, options->against_count, sizeof *like);
    SLM_TRY_OUT(add_cases(&o, err));
    for (size_t f = 0; f < options->against_count; f++) {
        json_t *row = NULL;
        o.source = (uint32_t)f;
        o.rows = o.strings = o.ngrams = o.whole = o.skipped = o.row = 0;
        o.row_file = NULL;
        memset(o.told, 0, in->cases->count * sizeof *o.told);
        SLM_TRY_OUT(data__each_text(options->against[f], add_text, add_skip, &o, err));
        if (o.strings == 0) {
            status =
                slm_error_set(err, SLM_ERR_FORMAT, "%s: there is no text in it to compare with",
                              options->against[f]);
            goto out;
        }
        SLM_TRY_OUT(describe(options->against[f], o.rows, &row, err));
        json_object_set_new(row, "texts", json_integer((json_int_t)o.strings));
        json_object_set_new(row, "not_read", json_integer((json_int_t)o.skipped));
        json_object_set_new(row, "ngram_hits", json_integer((json_int_t)o.ngrams));
        json_object_set_new(row, "whole_hits", json_integer((json_int_t)o.whole));
        json_array_append_new(against, row);
    }
    SLM_TRY_OUT(compare_likeness(&o, like, err));
    size_t hits = 0;
    for (size_t i = 0; i < in->cases->count; i++)
        hits += o.hit[i];
    for (size_t f = 0; f < options->against_count; f++)
        json_object_set_new(json_array_get(against, f), "similar_hits",
                            json_integer((json_int_t)like[f]));
    SLM_TRY_OUT(make_proof(&o, against, hits, err));
    finish(&o, against, hits);
out:
    json_decref(against);
    data__hash_table_free(&o.grams);
    data__hash_table_free(&o.wholes);
    free(o.links);
    free(o.units);
    free(o.unit_words);
    free(o.texts);
    free(o.text_words);
    slm_arena_free(&o.arena);
    return status;
}
