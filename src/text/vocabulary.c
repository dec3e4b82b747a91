/* vocabulary.c: a byte-level BPE vocabulary from a GGUF file's tokenizer.ggml.* metadata.
 *
 * In the file a token is text in which each byte is written as one printable character (Radford et
 * al. 2019: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and up in order), so
 * "Ġthe" is " the". Loading turns that back into bytes, puts texts, bytes and merges into tables of
 * open addressing, and runs every token through its own merges once, to know which pieces are whole
 * tokens. Everything is copied: the file may be closed. Afterwards the tokenizer never changes.
 *
 * A file is not trusted: every id, length and reference is checked, and errors name file and key. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/utf8.h"
#include "text/text_internal.h"

enum { MAX_TOKENS = 1 << 24, MAX_TOKEN_BYTES = 4096 };

#define KEY_MODEL  "tokenizer.ggml.model"
#define KEY_PRE    "tokenizer.ggml.pre"
#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES  "tokenizer.ggml.token_type"
#define KEY_MERGES "tokenizer.ggml.merges"

/* ---- tables -------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *bytes, size_t len)
{
    uint64_t hash = slm_hash_bytes(bytes, len);
    return (uint32_t)(hash ^ hash >> 32);
}

/* A power of two, at least twice the items. */
static uint32_t table_size(size_t items)
{
    uint32_t size = 16;
    while (size < 2 * items)
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

slm_token slm_text__find_bytes(const slm_tokenizer *t, const char *bytes, size_t len)
{
    if (len > t->max_bytes) return -1;
    uint32_t hash = hash_of(bytes, len);
    for (uint32_t at = hash & t->by_bytes.mask;; at = (at + 1) & t->by_bytes.mask) {
        const text_slot *slot = &t->by_bytes.slots[at];
        if (slot->id < 0) return -1;
        const text_entry *entry = &t->entries[slot->id];
        if (slot->hash == hash && entry->bytes_len == len && memcmp(entry->bytes, bytes, len) == 0)
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

/* ---- bytes as characters ------------------------------------------------------------------- */

/* The byte that each of the first 324 code points stands for; -1: none. */
static void byte_map(int16_t map[324])
{
    for (int i = 0; i < 324; i++)
        map[i] = -1;
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        map[printable ? byte : next++] = (int16_t)byte;
    }
}

/* Set entry->bytes. A NORMAL token with a character that stands for no byte is its text itself, as
 * in the peers' decoders; no piece can become it. */
static void map_bytes(slm_arena *arena, const int16_t map[324], text_entry *entry)
{
    entry->bytes = entry->text;
    entry->bytes_len = entry->text_len;
    if (entry->type != TEXT_TOKEN_NORMAL || entry->text_len == 0) return;
    char *bytes = slm_arena_alloc_aligned(arena, entry->text_len, 1);
    uint32_t n = 0;
    for (size_t at = 0; at < entry->text_len;) {
        uint32_t cp;
        at += slm_utf8_decode(entry->text + at, entry->text_len - at, &cp);
        if (cp >= 324 || map[cp] < 0) return;
        bytes[n++] = (char)(uint8_t)map[cp];
    }
    entry->bytes = bytes;
    entry->bytes_len = n;
    entry->mapped = true;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* *out is NULL if the key is absent and not required. */
static slm_status find_array(const slm_tensors *file, const char *key, slm_meta_kind kind,
                             bool required, const slm_meta **out, slm_error *err)
{
    const slm_meta *meta = slm_meta_find(file, key);
    *out = meta;
    if (meta == NULL && !required) return SLM_OK;
    if (meta == NULL)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: metadata key '%s' is missing: the file holds no tokenizer; "
                             "convert the model again, with its tokenizer",
                             slm_tensors_path(file), key);
    if (meta->kind != SLM_META_ARRAY || meta->item_kind != kind)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: metadata key '%s' must be an array of %s",
                             slm_tensors_path(file), key,
                             kind == SLM_META_STRING ? "strings" : "integers");
    return SLM_OK;
}

static slm_status read_type(const slm_tensors *file, const slm_meta *types, size_t id, uint8_t *out,
                            slm_error *err)
{
    int64_t type = types ? slm_meta_array_integer(types, id) : TEXT_TOKEN_NORMAL;
    if (type < TEXT_TOKEN_NORMAL || type > TEXT_TOKEN_BYTE)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s': token %zu has type %" PRId64 "; 1 to 6 are known",
                             slm_tensors_path(file), KEY_TYPES, id, type);
    *out = (uint8_t)type;
    return SLM_OK;
}

static slm_status read_tokens(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const char *path = slm_tensors_path(file);
    const slm_meta *tokens, *types;
    SLM_TRY(find_array(file, KEY_TOKENS, SLM_META_STRING, true, &tokens, err));
    SLM_TRY(find_array(file, KEY_TYPES, SLM_META_INTEGER, false, &types, err));
    if (tokens->count == 0 || tokens->count > MAX_TOKENS)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' holds %zu tokens; 1 to %d are "
                             "allowed",
                             path, KEY_TOKENS, tokens->count, MAX_TOKENS);
    if (types != NULL && types->count != tokens->count)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' holds %zu types for %zu tokens", path, KEY_TYPES,
                             types->count, tokens->count);
    t->count = tokens->count;
    t->entries = slm_arena_array(&t->arena, t->count, sizeof(*t->entries));
    table_make(&t->arena, &t->by_text, t->count);
    table_make(&t->arena, &t->by_bytes, t->count);
    int16_t map[324];
    byte_map(map);
    for (int i = 0; i < 256; i++)
        t->byte_ids[i] = -1;
    for (size_t i = 0; i < t->count; i++) {
        text_entry *entry = &t->entries[i];
        slm_token id = (slm_token)i;
        size_t len;
        const char *text = slm_meta_array_string(tokens, i, &len);
        if (len > MAX_TOKEN_BYTES)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: metadata '%s': token %zu is %zu bytes long; at most %d are "
                                 "allowed",
                                 path, KEY_TOKENS, i, len, MAX_TOKEN_BYTES);
        SLM_TRY(read_type(file, types, i, &entry->type, err));
        slm_token other = slm_text__find_text(t, text, len);
        if (other >= 0)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: metadata '%s': tokens %d and %zu are the same text", path,
                                 KEY_TOKENS, other, i);
        entry->text = slm_arena_strndup(&t->arena, text, len);
        entry->text_len = (uint32_t)len;
        table_put(&t->by_text, entry->text, len, id);
        map_bytes(&t->arena, map, entry);
        if (!entry->mapped) continue;
        table_put(&t->by_bytes, entry->bytes, entry->bytes_len, id);
        if (entry->bytes_len > t->max_bytes) t->max_bytes = entry->bytes_len;
        if (entry->bytes_len == 1) t->byte_ids[(uint8_t)entry->bytes[0]] = id;
    }
    return SLM_OK;
}

static slm_status put_merge(slm_tokenizer *t, const slm_tensors *file, uint32_t rank,
                            const char *text, size_t len, slm_error *err)
{
    char joined[2 * MAX_TOKEN_BYTES];
    const char *space = memchr(text, ' ', len);
    size_t left_len = space ? (size_t)(space - text) : 0;
    size_t right_len = space ? len - left_len - 1 : 0;
    const char *why = NULL;
    slm_token left = -1, right = -1, whole = -1;
    if (left_len == 0 || right_len == 0 || memchr(space + 1, ' ', right_len) != NULL) {
        why = "is not two texts with one space between";
    } else if (len > sizeof(joined)) {
        why = "is too long";
    } else {
        memcpy(joined, text, left_len);
        memcpy(joined + left_len, space + 1, right_len);
        left = slm_text__find_text(t, text, left_len);
        right = slm_text__find_text(t, space + 1, right_len);
        whole = slm_text__find_text(t, joined, left_len + right_len);
        if (left < 0 || right < 0 || whole < 0)
            why = "names a token that the vocabulary lacks";
        else if (!t->entries[left].mapped || !t->entries[right].mapped || !t->entries[whole].mapped)
            why = "names a token that is not byte-level text";
        else if (slm_text__find_merge(t, left, right) != NULL)
            why = "stands twice";
    }
    if (why != NULL)
        return slm_error_set(
            err, SLM_ERR_FORMAT, "%s: metadata '%s': merge %" PRIu32 " ('%.*s') %s",
            slm_tensors_path(file), KEY_MERGES, rank, (int)(len > 80 ? 80 : len), text, why);
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t at = (uint32_t)slm_text__mix(pair) & t->merge_mask;
    while (t->merges[at].pair != UINT64_MAX)
        at = (at + 1) & t->merge_mask;
    t->merges[at] = (text_merge){.pair = pair, .rank = rank, .id = whole};
    return SLM_OK;
}

static slm_status read_merges(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const slm_meta *merges;
    SLM_TRY(find_array(file, KEY_MERGES, SLM_META_STRING, true, &merges, err));
    if (merges->count > MAX_TOKENS)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' holds %zu merges; at most %d "
                             "are allowed",
                             slm_tensors_path(file), KEY_MERGES, merges->count, MAX_TOKENS);
    uint32_t size = table_size(merges->count);
    t->merges = slm_arena_array(&t->arena, size, sizeof(*t->merges));
    t->merge_mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        t->merges[i].pair = UINT64_MAX;
    for (size_t i = 0; i < merges->count; i++) {
        size_t len;
        const char *text = slm_meta_array_string(merges, i, &len);
        SLM_TRY(put_merge(t, file, (uint32_t)i, text, len, err));
    }
    return SLM_OK;
}

/* Which tokens a piece of their own bytes becomes. */
static slm_status find_whole(slm_tokenizer *t, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tokens ids = {0};
    text_work work;
    slm_text__work_begin(&work, t);
    for (size_t i = 0; i < t->count; i++) {
        text_entry *entry = &t->entries[i];
        if (!entry->mapped) continue;
        if (t->pre->whole_words) {
            entry->whole = true;
            continue;
        }
        ids.len = 0;
        SLM_TRY_OUT(slm_text__merge_piece(&work, entry->bytes, entry->bytes_len, &ids, err));
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
    const text_entry *x = *(const text_entry *const *)a, *y = *(const text_entry *const *)b;
    size_t shared = x->text_len < y->text_len ? x->text_len : y->text_len;
    int order = memcmp(x->text, y->text, shared);
    if (order != 0) return order;
    return (x->text_len > y->text_len) - (x->text_len < y->text_len);
}

static bool is_added(const text_entry *entry, bool with_special)
{
    bool special = entry->type == TEXT_TOKEN_CONTROL || entry->type == TEXT_TOKEN_UNKNOWN;
    if (entry->text_len == 0) return false;
    return entry->type == TEXT_TOKEN_USER_DEFINED || (special && with_special);
}

static void collect_added(slm_tokenizer *t, text_added *added, bool with_special)
{
    size_t count = 0;
    for (size_t i = 0; i < t->count; i++)
        count += is_added(&t->entries[i], with_special);
    added->sorted = slm_arena_array(&t->arena, count, sizeof(*added->sorted));
    for (size_t i = 0; i < t->count; i++) {
        const text_entry *entry = &t->entries[i];
        if (!is_added(entry, with_special)) continue;
        added->sorted[added->count++] = entry;
        added->first[(uint8_t)entry->text[0]] = true;
    }
    qsort(added->sorted, added->count, sizeof(*added->sorted), compare_added);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static slm_status read_id(const slm_tokenizer *t, const slm_tensors *file, const char *key,
                          slm_token *out, slm_error *err)
{
    int64_t id = -1;
    SLM_TRY(slm_meta_integer(file, key, false, &id, err));
    if (id < -1 || id >= (int64_t)t->count)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' is %" PRId64 " but the vocabulary has %zu tokens",
                             slm_tensors_path(file), key, id, t->count);
    *out = (slm_token)id;
    return SLM_OK;
}

static slm_status read_all(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const char *path = slm_tensors_path(file), *model = NULL, *pre = NULL;
    SLM_TRY(slm_meta_string(file, KEY_MODEL, true, &model, err));
    if (strcmp(model, "gpt2") != 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: tokenizer model '%s' is not supported; byte-level BPE ('gpt2') "
                             "is",
                             path, model);
    SLM_TRY(slm_meta_string(file, KEY_PRE, true, &pre, err));
    t->pre = slm_text__pre_find(pre);
    if (t->pre == NULL)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: pre-tokenizer '%s' is not supported; known are %s", path, pre,
                             slm_text__pre_names());
    SLM_TRY(slm_text__pre_compile(t, err));
    SLM_TRY(read_tokens(t, file, err));
    SLM_TRY(read_merges(t, file, err));
    SLM_TRY(find_whole(t, err));
    collect_added(t, &t->user, false);
    collect_added(t, &t->all, true);
    SLM_TRY(read_id(t, file, "tokenizer.ggml.bos_token_id", &t->bos, err));
    SLM_TRY(read_id(t, file, "tokenizer.ggml.eos_token_id", &t->eos, err));
    int64_t adds_bos = t->pre->adds_bos;
    SLM_TRY(slm_meta_integer(file, "tokenizer.ggml.add_bos_token", false, &adds_bos, err));
    t->adds_bos = adds_bos != 0 && t->bos >= 0;
    t->description =
        slm_arena_printf(&t->arena, "BPE, pre-tokenizer %s, %zu tokens", t->pre->name, t->count);
    return SLM_OK;
}

slm_status slm_tokenizer_from_gguf(const slm_tensors *file, slm_tokenizer **out, slm_error *err)
{
    slm_tokenizer *t = calloc(1, sizeof(*t));
    if (t == NULL) slm_out_of_memory(sizeof(*t));
    slm_status status = read_all(t, file, err);
    if (status != SLM_OK) {
        slm_tokenizer_free(t);
        return status;
    }
    *out = t;
    return SLM_OK;
}

void slm_tokenizer_free(slm_tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    pcre2_code_free(tokenizer->code);
    pcre2_match_context_free(tokenizer->limits);
    slm_arena_free(&tokenizer->arena);
    free(tokenizer);
}
