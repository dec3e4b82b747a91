/* words.c: texts as words, and tables of hashes.
 *
 * Every comparison of `slm data check` is over words, so that white space, punctuation and case make
 * no difference: a text is case-folded and composed (NFC), and its words are the runs of characters
 * that are neither space, punctuation nor symbol. A word is kept as a 64-bit FNV-1a hash; in a
 * million different words two share a hash with a probability of 3e-8, and then a pair is shown that
 * a reader sees to be none.
 *
 * data__mix is the finaliser of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
 * number generators", OOPSLA 2014). */
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/utf8.h"
#include "data/inspect_internal.h"

bool data__is_latin(const char *text)
{
    size_t latin = 0, others = 0, len = strlen(text);
    for (size_t i = 0; i < len;) {
        uint32_t codepoint;
        i += slm_utf8_decode(text + i, len - i, &codepoint);
        if (!slm_utf8_is_letter(codepoint)) continue;
        if (codepoint < 0x250 || (codepoint >= 0x1e00 && codepoint < 0x1f00))
            latin++;
        else
            others++;
    }
    return latin >= others;
}

uint64_t data__mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) + b + UINT64_C(0x632be59bd9b4e019);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* What belongs to a word. Marks are neither letters nor spaces: Hindi writes vowels with them. */
static bool in_word(uint32_t point)
{
    if (point < 0x80)
        return (point >= 'a' && point <= 'z') || (point >= '0' && point <= '9') ||
               (point >= 'A' && point <= 'Z');
    if (point == 0xFFFD || point < 0xC0) return point == 0xAA || point == 0xB5 || point == 0xBA;
    return !slm_utf8_is_space(point) && !slm_utf8_is_punctuation(point) &&
           !(point >= 0x2190 && point <= 0x2BFF) && point != 0xD7 && point != 0xF7 &&
           !(point >= 0x200B && point <= 0x200F) && !(point >= 0x1F000 && point <= 0x1FAFF);
}

static bool is_apostrophe(uint32_t point)
{
    return point == '\'' || point == 0x2019 || point == 0x02BC;
}

static bool is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80) return false;
    return true;
}

data__words data__words_of(const char *text, size_t len, slm_arena *arena)
{
    slm_buffer fold = {0}, word = {0};
    if (is_ascii(text, len)) {
        slm_buffer_append(&fold, text, len);
        for (size_t i = 0; i < len; i++)
            if (fold.data[i] >= 'A' && fold.data[i] <= 'Z')
                fold.data[i] = (char)(fold.data[i] + ('a' - 'A'));
    } else {
        slm_utf8_append_casefold(&fold, text, len);
    }
    /* A word takes two bytes at least, with the gap behind it. */
    data__words words = {.hashes = slm_arena_array(arena, fold.len / 2 + 1, sizeof(uint64_t))};
    for (size_t at = 0; at <= fold.len;) {
        uint32_t point = ' ';
        size_t step = at < fold.len ? slm_utf8_decode(fold.data + at, fold.len - at, &point) : 1;
        if (in_word(point)) {
            slm_buffer_append(&word, fold.data + at, step);
        } else if (word.len > 0 && !is_apostrophe(point)) {
            uint64_t hash = slm_hash_bytes(word.data, word.len);
            words.hashes[words.count++] = hash;
            words.whole = data__mix(words.whole, hash) | 1;
            slm_buffer_truncate(&word, 0);
        }
        at += step;
    }
    slm_buffer_free(&fold);
    slm_buffer_free(&word);
    return words;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

size_t data__grams_of(const data__words *words, size_t n, slm_arena *arena, uint64_t **out)
{
    size_t count = words->count == 0 ? 0 : words->count < n ? 1 : words->count - n + 1;
    size_t run = words->count < n ? words->count : n;
    uint64_t *grams = slm_arena_array(arena, count, sizeof *grams);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = 0;
        for (size_t j = 0; j < run; j++)
            hash = data__mix(hash, words->hashes[i + j]);
        grams[i] = hash;
    }
    if (count > 1) qsort(grams, count, sizeof *grams, by_value);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || grams[i] != grams[i - 1]) grams[kept++] = grams[i];
    *out = grams;
    return kept;
}

void data__each_string(const json_t *value, const char *path,
                       void (*fn)(void *context, const char *path, const char *text, size_t len),
                       void *context)
{
    slm_buffer at = {0};
    if (json_is_string(value)) {
        fn(context, path, json_string_value(value), json_string_length(value));
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            slm_buffer_truncate(&at, 0);
            slm_buffer_printf(&at, "%s[%zu]", path, i);
            data__each_string(json_array_get(value, i), slm_buffer_text(&at), fn, context);
        }
    } else if (json_is_object(value)) {
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            slm_buffer_truncate(&at, 0);
            slm_buffer_printf(&at, "%s%s%s", path, path[0] != '\0' ? "." : "", key);
            data__each_string(member, slm_buffer_text(&at), fn, context);
        }
    }
    slm_buffer_free(&at);
}

/* ---- tables of hashes ---------------------------------------------------------------------- */

static size_t table_slot(const data__hash_table *table, uint64_t key)
{
    size_t slot = (size_t)data__mix(key, 0) & (table->cap - 1);
    while (table->keys[slot] != 0 && table->keys[slot] != key)
        slot = (slot + 1) & (table->cap - 1);
    return slot;
}

static void table_grow(data__hash_table *table)
{
    data__hash_table bigger = {.cap = table->cap == 0 ? 1024 : table->cap * 2};
    bigger.keys = calloc(bigger.cap, sizeof *bigger.keys);
    bigger.values = calloc(bigger.cap, sizeof *bigger.values);
    if (bigger.keys == NULL || bigger.values == NULL)
        slm_out_of_memory(bigger.cap * sizeof *bigger.keys);
    for (size_t i = 0; i < table->cap; i++) {
        if (table->keys[i] == 0) continue;
        size_t slot = table_slot(&bigger, table->keys[i]);
        bigger.keys[slot] = table->keys[i];
        bigger.values[slot] = table->values[i];
    }
    bigger.count = table->count;
    data__hash_table_free(table);
    *table = bigger;
}

uint32_t *data__hash_table_put(data__hash_table *table, uint64_t key, uint32_t value, bool *added)
{
    if (table->count * 2 >= table->cap) table_grow(table);
    if (key == 0) key = 1;
    size_t slot = table_slot(table, key);
    bool is_new = table->keys[slot] == 0;
    if (is_new) {
        table->keys[slot] = key;
        table->values[slot] = value;
        table->count++;
    }
    if (added != NULL) *added = is_new;
    return &table->values[slot];
}

uint32_t *data__hash_table_get(const data__hash_table *table, uint64_t key)
{
    if (table->cap == 0) return NULL;
    size_t slot = table_slot(table, key == 0 ? 1 : key);
    return table->keys[slot] == 0 ? NULL : &table->values[slot];
}

void data__hash_table_free(data__hash_table *table)
{
    free(table->keys);
    free(table->values);
    *table = (data__hash_table){0};
}
