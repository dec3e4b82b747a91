/* examples.c: conversations as token ids, with what is given told from what is learnt.
 *
 * A reply is learnt behind the prompt that the model would see when it is asked: the template is
 * rendered with its generation prompt, and the reply's own tokens and the token that ends a turn
 * follow. So a conversation with several replies to learn is an example for each (templates rewrite
 * history, and a turn's ids must be those that the model sees). Of a case the ideal reply is learnt;
 * what the assistant said before in it is given, right or wrong. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/random.h"
#include "data/data.h"
#include "train_internal.h"

typedef struct builder {
    const train__reader *reader;
    train__examples *out;
    size_t room;
    size_t in_file;  /* rows of the file that is being read */
    uint64_t family; /* of what is being added */
    slm_sha256 *hash;
} builder;

bool train__adds_system(const char *system, const char *first_role)
{
    return system && *system && !(first_role && strcmp(first_role, "system") == 0);
}

static void keep(builder *b, const slm_tokens *ids, size_t prompt)
{
    train__examples *out = b->out;
    if (out->count == b->room) {
        b->room = b->room ? 2 * b->room : 256;
        out->items = realloc(out->items, b->room * sizeof *out->items);
        if (!out->items) slm_out_of_memory(b->room * sizeof *out->items);
    }
    train__example *e = &out->items[out->count++];
    *e = (train__example){.len = ids->len, .prompt = prompt, .family = b->family};
    e->ids = slm_arena_array(&out->arena, ids->len, sizeof *e->ids);
    memcpy(e->ids, ids->ids, ids->len * sizeof *e->ids);
    out->tokens += ids->len;
    out->learnt += ids->len - prompt;
    slm_sha256_update(b->hash, e->ids, ids->len * sizeof *e->ids);
    slm_sha256_update(b->hash, &e->prompt, sizeof e->prompt);
}

/* The example of one reply behind messages[count]. `place` is for errors. */
static slm_status add(builder *b, const slm_text_message *messages, size_t count,
                      const char *thinking, const char *reply, const char *place, slm_error *err)
{
    const train__reader *r = b->reader;
    slm_template_options options = slm_template_options_default();
    slm_tokens ids = {0};
    slm_buffer text = {0};
    slm_token stops[8];
    slm_status status = SLM_OK;
    options.thinking = r->thinking;
    if (r->thinking && !r->as_it_came && !thinking) {
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "%s: thinking is on, but the reply has no ideal_thinking", place);
        goto out;
    }
    if (r->thinking && !r->as_it_came)
        slm_buffer_printf(&text, "<think>\n%s\n</think>\n\n", thinking);
    slm_buffer_append_text(&text, reply);
    SLM_TRY_OUT(
        slm_template_render(r->tmpl, r->tokenizer, messages, count, &options, &ids, NULL, err));
    const size_t prompt = ids.len;
    SLM_TRY_OUT(
        slm_tokenizer_encode(r->tokenizer, slm_buffer_text(&text), text.len, false, &ids, err));
    if (ids.len == prompt) {
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "%s: the reply has no tokens: there is nothing to learn", place);
        goto out;
    }
    if (slm_template_stop_tokens(r->tmpl, r->tokenizer, stops, 8) > 0)
        slm_tokens_append(&ids, stops[0]);
    if (ids.len > r->max_tokens)
        b->out->too_long++;
    else
        keep(b, &ids, prompt);
out:
    if (status != SLM_OK && err && !strstr(err->message, place))
        slm_error_prefix(err, status, "%s", place);
    slm_tokens_free(&ids);
    slm_buffer_free(&text);
    return status;
}

/* ---- cases --------------------------------------------------------------------------------- */

static slm_status add_case(builder *b, const slm_case *c, slm_error *err)
{
    const char *place = slm_arena_printf(&b->out->arena, "%s:%zu", c->file, c->line);
    const char *system = b->reader->system;
    const size_t extra = train__adds_system(system, c->turns[0].role);
    const size_t count = c->turn_count + extra;
    slm_text_message *messages = slm_arena_array(&b->out->arena, count, sizeof *messages);
    const char *thinking = NULL;
    if (!c->reply)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: case %s has no reply to learn; training cases have one", place,
                             c->id);
    json_t *row = json_loads(c->json, 0, NULL);
    const json_t *thought = json_object_get(row, "ideal_thinking");
    if (json_is_string(thought))
        thinking = slm_arena_strdup(&b->out->arena, json_string_value(thought));
    json_decref(row);
    b->family = slm_hash_bytes(c->family, strlen(c->family));
    if (extra) messages[0] = (slm_text_message){"system", system};
    for (size_t i = 0; i < c->turn_count; i++)
        messages[extra + i] = (slm_text_message){c->turns[i].role, c->turns[i].content};
    return add(b, messages, count, thinking, c->reply, place, err);
}

static slm_status add_cases(builder *b, const char *path, slm_error *err)
{
    slm_cases cases = {0};
    const slm_cases_options options = {0};
    SLM_TRY(slm_cases_load(&path, 1, &options, NULL, NULL, &cases, err));
    slm_status status = SLM_OK;
    for (size_t i = 0; i < cases.count && status == SLM_OK; i++)
        status = add_case(b, &cases.items[i], err);
    slm_cases_free(&cases);
    return status;
}

/* ---- conversations ------------------------------------------------------------------------- */

static slm_status add_conversation(builder *b, json_t *row, const slm_json_place *root,
                                   slm_error *err)
{
    json_t *list = NULL;
    slm_buffer place = {0}, whole = {0};
    SLM_TRY(slm_json_array(row, "messages", root, &list, err));
    const size_t count = json_array_size(list);
    const slm_json_place parent = {.parent = root, .key = "messages"};
    slm_text_message *messages = slm_arena_array(&b->out->arena, count + 2, sizeof *messages);
    slm_status status = SLM_OK;
    size_t given = 0, replies = 0;
    slm_json_place_text(root, &place);
    slm_json_append_canonical(&whole, row); /* wherever the file lies */
    b->family = slm_hash_bytes(slm_buffer_text(&whole), whole.len);
    slm_buffer_free(&whole);
    const char *system = b->reader->system;
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(list, i);
        const slm_json_place at = {.parent = &parent, .index = i};
        const char *role = NULL, *content = NULL, *thinking = NULL;
        SLM_TRY_OUT(slm_json_string(one, "role", &at, &role, err));
        SLM_TRY_OUT(slm_json_string(one, "content", &at, &content, err));
        SLM_TRY_OUT(slm_json_string_optional(one, "ideal_thinking", &at, &thinking, err));
        if (i == 0 && train__adds_system(system, role))
            messages[given++] = (slm_text_message){"system", system};
        if (strcmp(role, "assistant") == 0) {
            SLM_TRY_OUT(add(b, messages, given, thinking, content, slm_buffer_text(&place), err));
            replies++;
        }
        messages[given++] = (slm_text_message){role, content};
    }
    if (replies == 0)
        status = slm_json_error(&parent, err, "no message of the assistant: nothing to learn");
out:
    slm_buffer_free(&place);
    return status;
}

/* A row at a time; *is_chat false, and nothing read, where the first row is no conversation. */
static slm_status add_conversations(builder *b, const char *path, bool *is_chat, slm_error *err)
{
    slm_jsonl *file = NULL;
    slm_status status = SLM_OK;
    json_t *row = NULL;
    slm_json_place root = {.name = path};
    *is_chat = true;
    SLM_TRY(slm_jsonl_open(path, &file, err));
    for (;;) {
        SLM_TRY_OUT(slm_jsonl_next(file, &row, &root.line, err));
        if (!row) break;
        if (!json_object_get(row, "messages") && b->in_file == 0) {
            *is_chat = false;
            break;
        }
        b->in_file++;
        SLM_TRY_OUT(add_conversation(b, row, &root, err));
        json_decref(row);
        row = NULL;
    }
out:
    json_decref(row);
    slm_jsonl_close(file);
    return status;
}

slm_status train__examples_load(const slm_option_list *paths, const train__reader *reader,
                                train__examples *out, slm_error *err)
{
    slm_status status = SLM_OK;
    builder b = {.reader = reader, .out = out, .hash = slm_sha256_new()};
    *out = (train__examples){0};
    for (size_t i = 0; i < paths->count; i++) {
        bool is_chat = false;
        b.in_file = 0;
        SLM_TRY_OUT(add_conversations(&b, paths->items[i], &is_chat, err));
        if (!is_chat) SLM_TRY_OUT(add_cases(&b, paths->items[i], err));
    }
    if (out->count == 0)
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "%s: no example to learn from (%zu are longer than max_tokens, "
                               "which is %zu)",
                               paths->count ? paths->items[0] : "sft.data", out->too_long,
                               reader->max_tokens);
out:
    slm_sha256_finish(b.hash, out->sha256);
    if (status != SLM_OK) train__examples_free(out);
    return status;
}

void train__examples_hold_back(train__examples *examples, double share, uint64_t seed,
                               train__examples *held)
{
    const slm_random_key key = {.seed = seed, .stream = 0x4e1du};
    size_t kept = 0;
    *held = (train__examples){0};
    held->items = calloc(examples->count, sizeof *held->items);
    if (!held->items) slm_out_of_memory(examples->count * sizeof *held->items);
    memcpy(held->sha256, examples->sha256, sizeof held->sha256);
    for (size_t i = 0; i < examples->count; i++) {
        const train__example *e = &examples->items[i];
        slm_random_key own = key;
        own.stream ^= e->family;
        if (slm_random_at(&own, 0) >= share) {
            examples->items[kept++] = *e;
            continue;
        }
        held->items[held->count++] = *e;
        held->tokens += e->len;
        held->learnt += e->len - e->prompt;
    }
    examples->count = kept;
    examples->tokens -= held->tokens;
    examples->learnt -= held->learnt;
}

void train__examples_mix(train__examples *examples, const train__examples *more, double share,
                         uint64_t seed)
{
    const size_t added = (size_t)(share / (1.0 - share) * (double)examples->count + 0.5);
    const size_t count = examples->count + added;
    slm_random random = slm_random_new(seed, 0x7e91a4u);
    size_t *order = malloc(more->count * sizeof *order);
    examples->items = realloc(examples->items, (count + 1) * sizeof *examples->items);
    if (!order || !examples->items) slm_out_of_memory(count * sizeof *examples->items);
    for (size_t i = 0; i < more->count; i++)
        order[i] = i;
    slm_random_shuffle(&random, order, more->count, sizeof *order);
    for (size_t i = 0; i < added; i++) {
        const train__example *e = &more->items[order[i % more->count]];
        examples->items[examples->count++] = *e;
        examples->tokens += e->len;
        examples->learnt += e->len - e->prompt;
    }
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, examples->sha256);
    slm_sha256_update_part(hash, more->sha256);
    slm_sha256_finish(hash, examples->sha256);
    free(order);
}

void train__examples_free(train__examples *examples)
{
    free(examples->items);
    slm_arena_free(&examples->arena);
    *examples = (train__examples){0};
}
