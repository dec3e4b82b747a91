/* vocabulary.c: the tokenizer's tables, whatever kind of file they are filled from.
 *
 * A byte-level vocabulary writes each byte of a token as one printable character (Radford et al.
 * 2019: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and up in order), so
 * "Ġthe" is " the"; putting a token in turns that back. Texts, bytes and merges lie in tables of open
 * addressing. At the end every token is run through its own merges once, to know which pieces are
 * whole tokens. Everything is copied: the file may be closed. Afterwards the tokenizer never changes.
 *
 * A file is not trusted: what it says is checked here, and worded so that the caller has but to put
 * the place in front. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/utf8.h"
#include "text/text_internal.h"

/* ---- tables -------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *bytes, size_t len)
{
    uint64_t hash = slm_hash_bytes(bytes, len);
    return (uint32_t)(hash ^ hash >> 32);
}

/* A power of two, at least four thirds of the items. */
static uint32_t table_size(size_t items)
{
    uint32_t size = 16;
    while (size - size / 4 < items + 1)
        size *= 2;
    return size;
}

static void table_make(slm_arena *arena, text_table *table, size_t items)
{
    uint32_t size = table_size(items);
    table->slots = slm_arena_array(arena, size, sizeof(*table->slots));
    table->mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        table->slots[i].id = -1;
}

slm_token slm_text__find_text(const slm_tokenizer *t, const char *text, size_t len)
{
    uint32_t hash = hash_of(text, len);
    for (uint32_t at = hash & t->by_text.mask;; at = (at + 1) & t->by_text.mask) {
        const text_slot *slot = &t->by_text.slots[at];
        if (slot->id < 0) return -1;
        const text_entry *entry = &t->entries[slot->id];
        if (slot->hash == hash && entry->text_len == len && memcmp(entry->text, text, len) == 0)
            return slot->id;
    }
}

slm_token slm_text__find_piece(const slm_tokenizer *t, const char *bytes, size_t len)
{
    if (len > t->max_bytes) return -1;
    if (t->model != TEXT_MODEL_BYTES) {
        slm_token id = slm_text__find_text(t, bytes, len);
        return id >= 0 && t->entries[id].mapped ? id : -1;
    }
    uint32_t hash = hash_of(bytes, len);
    for (uint32_t at = hash & t->by_bytes.mask;; at = (at + 1) & t->by_bytes.mask) {
        const text_slot *slot = &t->by_bytes.slots[at];
        if (slot->id < 0) return -1;
        const text_entry *entry = &t->entries[slot->id];
        if (slot->hash == hash && entry->bytes_len == len &&
            memcmp(entry->bytes, bytes, len) == 0 && entry->mapped)
            return slot->id;
    }
}

static void table_put(text_table *table, const char *key, size_t len, slm_token id)
{
    uint32_t hash = hash_of(key, len);
    uint32_t at = hash & table->mask;
    while (table->slots[at].id >= 0)
        at = (at + 1) & table->mask;
    table->slots[at] = (text_slot){.hash = hash, .id = id};
}

/* ---- tokens -------------------------------------------------------------------------------- */

/* The byte that a character stands for in a byte-level vocabulary; -1: none. */
static int byte_of_character(uint32_t cp)
{
    /* In order: 0-32, 127-160 and 173 are those written as U+0100 and up. */
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 255 && cp != 173)) return (int)cp;
    if (cp >= 256 && cp < 256 + 33) return (int)cp - 256;
    if (cp >= 289 && cp < 289 + 34) return (int)cp - 289 + 127;
    return cp == 323 ? 173 : -1;
}

/* Set entry->bytes and bytes_len; false if a character stands for no byte. */
static bool map_bytes(slm_arena *arena, text_entry *entry)
{
    char bytes[TEXT_MAX_TOKEN_BYTES];
    uint16_t n = 0;
    for (size_t at = 0; at < entry->text_len;) {
        uint32_t cp;
        at += slm_utf8_decode(entry->text + at, entry->text_len - at, &cp);
        int byte = byte_of_character(cp);
        if (byte < 0) return false;
        bytes[n++] = (char)(uint8_t)byte;
    }
    entry->bytes_len = n;
    if (n != entry->text_len || memcmp(bytes, entry->text, n) != 0)
        entry->bytes = slm_arena_strndup(arena, bytes, n);
    return true;
}

int slm_text__byte_of(const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    const char *high = memchr(digits, text[3], 16), *low = memchr(digits, text[4], 16);
    return high && low ? (int)(high - digits) * 16 + (int)(low - digits) : -1;
}

slm_tokenizer *slm_text__new(void)
{
    slm_tokenizer *t = calloc(1, sizeof(*t));
    if (t == NULL) slm_out_of_memory(sizeof(*t));
    t->limits = slm_text__regex_limits();
    t->bos = t->eos = t->unknown = -1;
    for (int i = 0; i < 256; i++)
        t->byte_ids[i] = -1;
    return t;
}

void slm_text__tokens_begin(slm_tokenizer *t, size_t count)
{
    t->count = count;
    t->entries = slm_arena_array(&t->arena, count, sizeof(*t->entries));
    for (size_t i = 0; i < count; i++)
        t->entries[i] = (text_entry){.text = "", .bytes = "", .type = TEXT_TOKEN_UNUSED};
    table_make(&t->arena, &t->by_text, count);
    if (t->model == TEXT_MODEL_BYTES) table_make(&t->arena, &t->by_bytes, count);
}

const char *slm_text__token_put(slm_tokenizer *t, slm_token id, const char *text, size_t len,
                                text_token_type type, bool mapped, char why[96])
{
    text_entry *entry = &t->entries[id];
    if (len > TEXT_MAX_TOKEN_BYTES) {
        snprintf(why, 96, "is %zu bytes long; at most %d are allowed", len, TEXT_MAX_TOKEN_BYTES);
        return why;
    }
    slm_token other = slm_text__find_text(t, text, len);
    if (other >= 0) {
        snprintf(why, 96, "is the same text as token %d", other);
        return why;
    }
    entry->text = slm_arena_strndup(&t->arena, text, len);
    entry->text_len = (uint16_t)len;
    entry->bytes = entry->text;
    entry->bytes_len = entry->text_len;
    entry->type = (uint8_t)type;
    table_put(&t->by_text, entry->text, len, id);
    if (type == TEXT_TOKEN_BYTE && t->model != TEXT_MODEL_BYTES) {
        int byte = slm_text__byte_of(text, len);
        if (byte < 0) {
            snprintf(why, 96, "is a byte token but not written like <0x0A>");
            return why;
        }
        t->byte_ids[byte] = id;
        entry->bytes = slm_arena_strndup(&t->arena, (char[]){(char)(uint8_t)byte}, 1);
        entry->bytes_len = 1;
        return NULL;
    }
    if (!mapped || len == 0) return NULL;
    if (t->model == TEXT_MODEL_BYTES) {
        /* A character that stands for no byte: the token is its text itself, as in the peers'
         * decoders; no piece can become it. */
        if (!map_bytes(&t->arena, entry)) return NULL;
        table_put(&t->by_bytes, entry->bytes, entry->bytes_len, id);
        if (entry->bytes_len == 1) t->byte_ids[(uint8_t)entry->bytes[0]] = id;
    }
    entry->mapped = true;
    if (entry->bytes_len > t->max_bytes) t->max_bytes = entry->bytes_len;
    return NULL;
}

void slm_text__decode_blocks(slm_tokenizer *t)
{
    char bytes[TEXT_MAX_TOKEN_BYTES];
    for (size_t i = 0; i < t->count; i++) {
        text_entry *entry = &t->entries[i];
        if (entry->type != TEXT_TOKEN_NORMAL ||
            memmem(entry->text, entry->text_len, TEXT_BLOCK, TEXT_BLOCK_LEN) == NULL)
            continue;
        size_t n = 0;
        for (size_t at = 0; at < entry->text_len;) {
            bool block = entry->text_len - at >= TEXT_BLOCK_LEN &&
                         memcmp(entry->text + at, TEXT_BLOCK, TEXT_BLOCK_LEN) == 0;
            bytes[n++] = block ? ' ' : entry->text[at];
            at += block ? TEXT_BLOCK_LEN : 1;
        }
        entry->bytes = slm_arena_strndup(&t->arena, bytes, n);
        entry->bytes_len = (uint16_t)n;
    }
}

/* ---- merges -------------------------------------------------------------------------------- */

void slm_text__merges_begin(slm_tokenizer *t, size_t count)
{
    uint32_t size = table_size(count);
    t->merges = slm_arena_array(&t->arena, size, sizeof(*t->merges));
    t->merge_mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        t->merges[i].pair = UINT64_MAX;
}

text_merge_result slm_text__merge_put(slm_tokenizer *t, uint32_t rank, const char *left,
                                      size_t left_len, const char *right, size_t right_len,
                                      const char **why)
{
    char joined[2 * TEXT_MAX_TOKEN_BYTES];
    if (left_len + right_len > sizeof(joined)) {
        *why = "is too long";
        return TEXT_MERGE_BAD;
    }
    memcpy(joined, left, left_len);
    memcpy(joined + left_len, right, right_len);
    slm_token a = slm_text__find_text(t, left, left_len);
    slm_token b = slm_text__find_text(t, right, right_len);
    slm_token whole = slm_text__find_text(t, joined, left_len + right_len);
    if (a < 0 || b < 0 || whole < 0) {
        *why = "names a token that the vocabulary lacks";
        return TEXT_MERGE_BAD;
    }
    if (!t->entries[a].mapped || !t->entries[b].mapped || !t->entries[whole].mapped) {
        *why = "names a token that is not text which merging may make";
        return TEXT_MERGE_UNMAPPED;
    }
    uint64_t pair = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
    uint32_t at = (uint32_t)slm_text__mix(pair) & t->merge_mask;
    while (t->merges[at].pair != UINT64_MAX) {
        if (t->merges[at].pair == pair) {
            *why = "stands twice";
            return TEXT_MERGE_BAD;
        }
        at = (at + 1) & t->merge_mask;
    }
    t->merges[at] = (text_merge){.pair = pair, .rank = rank, .id = whole};
    return TEXT_MERGE_OK;
}

/* Which tokens a piece that spells them becomes. */
static slm_status find_whole(slm_tokenizer *t, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tokens ids = {0};
    text_work work;
    slm_text__work_begin(&work, t);
    const bool merges = t->model == TEXT_MODEL_BYTES || t->model == TEXT_MODEL_CHARS;
    for (size_t i = 0; i < t->count && merges; i++) {
        text_entry *entry = &t->entries[i];
        if (!entry->mapped) continue;
        if (t->whole_words) {
            entry->whole = true;
            continue;
        }
        const bool bytes = t->model == TEXT_MODEL_BYTES;
        ids.len = 0;
        SLM_TRY_OUT(slm_text__merge_piece(&work, bytes ? entry->bytes : entry->text,
                                          bytes ? entry->bytes_len : entry->text_len, &ids, err));
        entry->whole = ids.len == 1 && ids.ids[0] == (slm_token)i;
    }
out:
    slm_text__work_free(&work);
    slm_tokens_free(&ids);
    return status;
}

/* ---- added tokens -------------------------------------------------------------------------- */

static int compare_added(const void *a, const void *b)
{
    const text_added *x = *(const text_added *const *)a, *y = *(const text_added *const *)b;
    size_t shared = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text, y->text, shared);
    if (order != 0) return order;
    return (x->len > y->len) - (x->len < y->len);
}

static void collect_added(slm_tokenizer *t, text_added_set *set, bool normalised, bool with_special)
{
    set->sorted = slm_arena_array(&t->arena, t->added_count, sizeof(*set->sorted));
    for (size_t i = 0; i < t->added_count; i++) {
        const text_added *added = &t->added[i];
        bool special = t->entries[added->id].type != TEXT_TOKEN_USER_DEFINED;
        if (added->len == 0 || added->normalised != normalised || (special && !with_special))
            continue;
        set->sorted[set->count++] = added;
        set->first[(uint8_t)added->text[0]] = true;
    }
    qsort(set->sorted, set->count, sizeof(*set->sorted), compare_added);
}

/* What an added token looks like once the text is normalised. */
static slm_status normalise_added(slm_tokenizer *t, slm_error *err)
{
    slm_status status = SLM_OK;
    text_work work;
    slm_text__work_begin(&work, t);
    for (size_t i = 0; i < t->added_count; i++) {
        text_added *added = &t->added[i];
        const char *text;
        size_t len;
        if (!added->normalised) continue;
        SLM_TRY_OUT(slm_text__normalise(&work, added->text, added->len, true, &text, &len, err));
        added->text = slm_arena_strndup(&t->arena, text, len);
        added->len = (uint32_t)len;
    }
out:
    slm_text__work_free(&work);
    return status;
}

slm_status slm_text__finish(slm_tokenizer *t, slm_error *err)
{
    if (t->merges == NULL) slm_text__merges_begin(t, 0);
    SLM_TRY(find_whole(t, err));
    SLM_TRY(normalise_added(t, err));
    for (int special = 0; special < 2; special++) {
        collect_added(t, &t->raw[special], false, special);
        collect_added(t, &t->normal[special], true, special);
    }
    return SLM_OK;
}

void slm_tokenizer_free(slm_tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    slm_text__rules_free(&tokenizer->normalise);
    slm_text__rules_free(&tokenizer->cut);
    pcre2_match_context_free(tokenizer->limits);
    slm_arena_free(&tokenizer->arena);
    free(tokenizer);
}
