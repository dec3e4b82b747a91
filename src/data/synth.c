/* synth.c: the run: questions in, calls in flight, records out.
 *
 * Each scenario is a unit; a twin is a unit of its own that waits for its lacks case. Up to the chat's
 * width of units are asked about at once. A reply is kept in the store before anything is made of it,
 * under the hash of all that decides it (wording, schema, sampling, seed, messages), so a run that is
 * killed has lost what was in flight and nothing else: the next one finds the replies and makes the
 * same of them.
 *
 * Replies come in any order, records are written in the order of the units: a settled unit waits for
 * those before it. So two runs of the same work leave the same bytes, however often one was ended. A
 * unit that got no reply holds up the records behind it until a later run has one, or sets it aside
 * when told to give up. */
#include "data/synth_internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/progress.h"
#include "base/utf8.h"

enum {
    ATTEMPTS_MAX = 2,  /* the second is the repair */
    FAILURES_MAX = 16, /* calls that fail before the first that does not: it is not the calls */
    REPAIR_BYTES_MAX = 64 << 10, /* of a bad reply that is shown again */
    POLL_MS = 500,               /* how often the wish to stop is looked at */
    PIECE = 256,                 /* units handled between two writings */
    TWIN_BYTES = 2500,           /* about what a twin's prompt has more than another */
};

typedef enum unit_state {
    UNIT_WAITING,
    UNIT_ASKED,
    UNIT_FAILED,  /* no reply */
    UNIT_SETTLED, /* a record is ready */
    UNIT_RECORDED,
} unit_state;

typedef struct unit {
    synth__scenario scenario;
    struct unit *original; /* of a twin */
    slm_synth_count *count;
    unit_state state;
    bool is_case; /* the record; else set aside */
    int attempts;
    uint64_t ticket;
    char request[SLM_SHA256_HEX_BYTES];
    char *reply, *wrong; /* of the first attempt, after it */
    json_t *record;      /* kept until it is written and, of an original, the twin is settled */
} unit;

struct slm_synth {
    slm_synth_options options;
    slm_arena arena;
    synth__question *questions;
    size_t question_count;
    unit *units;
    size_t unit_count;
    size_t next; /* the first unit that may not be settled by an earlier run: where records go on */
    size_t cursor; /* where to look for a unit to ask about */
    synth__file cases, rejects;
    const char *model;  /* the chat's name, valid UTF-8 */
    char *model_before; /* that made what is there already */
    slm_synth_summary summary;
    /* While running. */
    slm_chat *chat;
    slm_store *store;
    size_t asked;
    bool no_schema, stopping;
    bool answered; /* some call was */
};

slm_synth_options slm_synth_options_default(void)
{
    slm_synth_options options = {.sampling = slm_chat_sampling_default(),
                                 .set = "synth",
                                 .source = "slm synth",
                                 .licence = "not stated"};
    options.sampling.max_tokens = 4096;
    return options;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static slm_status add_question(slm_synth *synth, data__set *ids, const json_t *row,
                               const slm_json_place *place, size_t *cap, slm_error *err)
{
    const char *text = NULL, *id = NULL, *source = NULL;
    char hex[SLM_SHA256_HEX_BYTES];
    SLM_TRY(slm_json_string(row, "question", place, &text, err));
    SLM_TRY(slm_json_string_optional(row, "id", place, &id, err));
    SLM_TRY(slm_json_string_optional(row, "source", place, &source, err));
    if (text[strspn(text, " \t\r\n")] == '\0')
        return slm_json_error(place, err, "the question is empty");
    if (id == NULL) {
        slm_sha256_hex(text, strlen(text), hex);
        id = hex;
    }
    if (synth->question_count == *cap) {
        *cap = *cap > 0 ? 2 * *cap : 256;
        synth->questions = realloc(synth->questions, *cap * sizeof *synth->questions);
        if (synth->questions == NULL) slm_out_of_memory(*cap * sizeof *synth->questions);
    }
    synth__question *q = &synth->questions[synth->question_count];
    q->id = slm_arena_strdup(&synth->arena, id);
    q->text = slm_arena_strdup(&synth->arena, text);
    q->source = slm_arena_strdup(&synth->arena, source != NULL ? source : "");
    if (data__set_put(ids, q->id, synth->question_count) != SIZE_MAX)
        return slm_json_error(place, err, "the id '%s' stands there twice", id);
    synth->question_count++;
    return SLM_OK;
}

static slm_status read_inventory(slm_synth *synth, const char *path, slm_error *err)
{
    slm_jsonl *reader = NULL;
    data__set ids = {0};
    size_t line = 0, cap = 0, limit = synth->options.limit;
    slm_status status = slm_jsonl_open(path, &reader, err);
    while (status == SLM_OK && (limit == 0 || synth->question_count < limit)) {
        json_t *row = NULL;
        status = slm_jsonl_next(reader, &row, &line, err);
        if (status != SLM_OK || row == NULL) break;
        slm_json_place place = {.name = path, .line = line};
        status = add_question(synth, &ids, row, &place, &cap, err);
        json_decref(row);
    }
    slm_jsonl_close(reader);
    data__set_free(&ids);
    if (status == SLM_OK && synth->question_count == 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: there are no questions in it", path);
    return status;
}

/* A row of the summary for each cell, and for its twins. */
static void make_counts(slm_synth *synth, const slm_synth_plan *plan)
{
    slm_synth_summary *summary = &synth->summary;
    summary->cells = slm_arena_array(&synth->arena, 2 * plan->cell_count, sizeof *summary->cells);
    for (size_t i = 0; i < plan->cell_count; i++)
        for (int twins = 0; twins < (plan->cells[i].twins > 0 ? 2 : 1); twins++)
            summary->cells[summary->cell_count++] =
                (slm_synth_count){.cell = plan->cells[i].name, .is_twins = twins == 1};
}

static void make_unit(slm_synth *synth, const synth__scenario *scenario, unit *original)
{
    slm_synth_summary *summary = &synth->summary;
    unit *u = &synth->units[synth->unit_count++];
    *u = (unit){.scenario = *scenario, .original = original};
    for (size_t i = 0; i < summary->cell_count; i++)
        if (strcmp(summary->cells[i].cell, scenario->cell->name) == 0 &&
            summary->cells[i].is_twins == scenario->is_twin)
            u->count = &summary->cells[i];
    u->count->planned++;
    summary->total.planned++;
}

static slm_status make_units(slm_synth *synth, const slm_synth_plan *plan, slm_error *err)
{
    size_t count = synth->question_count;
    synth__scenario *drawn = slm_arena_array(&synth->arena, count, sizeof *drawn);
    SLM_TRY(synth__draw(plan, synth->questions, count, (uint64_t)synth->options.sampling.seed,
                        &synth->arena, drawn, err));
    synth->units = calloc(2 * count, sizeof *synth->units);
    if (synth->units == NULL) slm_out_of_memory(2 * count * sizeof *synth->units);
    make_counts(synth, plan);
    for (size_t i = 0; i < count; i++) {
        if (drawn[i].cell == NULL) continue;
        make_unit(synth, &drawn[i], NULL);
        if (!drawn[i].has_twin) continue;
        synth__scenario twin = synth__twin_of(&drawn[i], &synth->arena);
        make_unit(synth, &twin, &synth->units[synth->unit_count - 1]);
    }
    return SLM_OK;
}

static void count_record(slm_synth *synth, const unit *u)
{
    size_t *where = u->is_case ? &u->count->written : &u->count->set_aside;
    size_t *all = u->is_case ? &synth->summary.total.written : &synth->summary.total.set_aside;
    (*where)++;
    (*all)++;
}

static slm_status not_ours(const synth__file *file, slm_error *err)
{
    return slm_error_set(
        err, SLM_ERR_INVALID,
        "%s:%zu: is not what this command would write there: the inventory, the "
        "plan, the seed or the limit is another than when it was begun; take those, "
        "or name another file with -o",
        file->path, file->number);
}

/* What stands behind the records that were taken is of this work too: somebody shortened the other
 * file. It is written again, in its place. */
static slm_status check_rest(const slm_synth *synth, const synth__file *file, slm_error *err)
{
    slm_status status = SLM_OK;
    synth__file rest = {.fd = -1};
    data__set ids = {0};
    if (file->head == NULL) return SLM_OK;
    for (size_t i = 0; i < synth->unit_count; i++)
        data__set_put(&ids, synth->units[i].scenario.id, i);
    status = synth__file_open(&rest, file->path, file->key, err);
    while (status == SLM_OK && rest.head != NULL) {
        if (!data__set_has(&ids, synth__file_head(&rest)))
            status = not_ours(&rest, err);
        else
            status = synth__file_take(&rest, NULL, err);
    }
    synth__file_close(&rest);
    data__set_free(&ids);
    return status;
}

/* The records that are there belong to the first units, in order. */
static slm_status find_done(slm_synth *synth, slm_error *err)
{
    for (; synth->next < synth->unit_count; synth->next++) {
        unit *u = &synth->units[synth->next];
        const char *case_id = synth__file_head(&synth->cases);
        const char *reject_id = synth__file_head(&synth->rejects);
        u->is_case = case_id != NULL && strcmp(case_id, u->scenario.id) == 0;
        bool is_reject = reject_id != NULL && strcmp(reject_id, u->scenario.id) == 0;
        if (!u->is_case && !is_reject) break;
        synth__file *file = u->is_case ? &synth->cases : &synth->rejects;
        if (u->is_case && synth->model_before == NULL) {
            const char *model =
                json_string_value(json_object_get(json_object_get(file->head, "made"), "model"));
            synth->model_before = slm_arena_strdup(&synth->arena, model);
        }
        SLM_TRY(synth__file_take(file, u->scenario.has_twin ? &u->record : NULL, err));
        u->state = UNIT_RECORDED;
        count_record(synth, u);
        synth->summary.done_before++;
        if (u->original != NULL) {
            json_decref(u->original->record);
            u->original->record = NULL;
        }
    }
    synth->cursor = synth->next;
    SLM_TRY(check_rest(synth, &synth->cases, err));
    return check_rest(synth, &synth->rejects, err);
}

/* What goes into the cases as it is. */
static slm_status check_texts(const slm_synth_options *options, slm_error *err)
{
    const char *const texts[][2] = {
        {"--set", options->set}, {"--source", options->source}, {"--licence", options->licence}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i][1][0] == '\0' || !slm_utf8_valid(texts[i][1], strlen(texts[i][1]), NULL))
            return slm_error_set(err, SLM_ERR_INVALID, "%s: must be a text, in UTF-8", texts[i][0]);
    return SLM_OK;
}

slm_status slm_synth_open(const char *inventory, const slm_synth_plan *plan,
                          const slm_synth_options *options, slm_synth **out, slm_error *err)
{
    slm_synth *synth = calloc(1, sizeof *synth);
    if (synth == NULL) slm_out_of_memory(sizeof *synth);
    synth->options = *options;
    synth->cases.fd = synth->rejects.fd = -1;
    slm_status status = slm_chat_sampling_check(&options->sampling, err);
    if (status == SLM_OK) status = check_texts(options, err);
    if (status == SLM_OK) status = read_inventory(synth, inventory, err);
    if (status == SLM_OK) status = make_units(synth, plan, err);
    if (status == SLM_OK)
        status = synth__file_open(&synth->cases, options->output, "prompt_id", err);
    if (status == SLM_OK) status = synth__file_open(&synth->rejects, options->rejects, "id", err);
    if (status == SLM_OK) status = find_done(synth, err);
    if (status != SLM_OK)
        slm_synth_free(synth);
    else
        *out = synth;
    return status;
}

void slm_synth_free(slm_synth *synth)
{
    if (synth == NULL) return;
    for (size_t i = 0; i < synth->unit_count; i++) {
        json_decref(synth->units[i].record);
        free(synth->units[i].reply);
        free(synth->units[i].wrong);
    }
    free(synth->units);
    free(synth->questions);
    synth__file_close(&synth->cases);
    synth__file_close(&synth->rejects);
    slm_arena_free(&synth->arena);
    free(synth);
}

uint64_t slm_synth_calls_left(const slm_synth *synth, uint64_t *prompt_bytes)
{
    slm_buffer prompt = {0};
    uint64_t calls = 0;
    *prompt_bytes = 0;
    for (size_t i = synth->next; i < synth->unit_count; i++) {
        const unit *u = &synth->units[i];
        slm_buffer_truncate(&prompt, 0);
        synth__append_prompt(&prompt, &u->scenario, NULL);
        *prompt_bytes +=
            strlen(synth__system_text) + prompt.len + (u->scenario.is_twin ? TWIN_BYTES : 0);
        calls++;
    }
    slm_buffer_free(&prompt);
    return calls;
}

const slm_synth_summary *slm_synth_summary_of(const slm_synth *synth)
{
    return &synth->summary;
}

/* ---- settling ---------------------------------------------------------------------------------- */

static void settle(slm_synth *synth, unit *u, json_t *record, bool is_case)
{
    u->record = record;
    u->is_case = is_case;
    u->state = UNIT_SETTLED;
    count_record(synth, u);
    free(u->reply);
    free(u->wrong);
    u->reply = u->wrong = NULL;
}

/* "- a\n- b\n" as a list. */
static json_t *lines_of(const char *problems)
{
    json_t *out = json_array();
    while (*problems != '\0') {
        size_t len = strcspn(problems, "\n"), skip = strncmp(problems, "- ", 2) == 0 ? 2 : 0;
        json_array_append_new(out, json_stringn(problems + skip, len - skip));
        problems += len + (problems[len] == '\n');
    }
    return out;
}

/* reply NULL: there is none. */
static void set_aside(slm_synth *synth, unit *u, const char *why, const char *problems,
                      const char *reply)
{
    const synth__scenario *s = &u->scenario;
    slm_buffer text = {0};
    slm_utf8_append_valid(&text, reply != NULL ? reply : "", reply != NULL ? strlen(reply) : 0);
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:o}", "id", s->id, "question",
                  s->question->id, "text", s->question->text, "cell", s->cell->name, "form",
                  s->form, "why", why, "problems", lines_of(problems), "replies", u->attempts,
                  "reply", reply != NULL ? json_string(slm_buffer_text(&text)) : json_null());
    slm_buffer_free(&text);
    settle(synth, u, record, false);
}

static void fail(slm_synth *synth, unit *u, const slm_error *why)
{
    slm_synth_summary *summary = &synth->summary;
    if (summary->first_failure.status == SLM_OK) summary->first_failure = *why;
    if (why->status == SLM_ERR_LIMIT || why->status == SLM_ERR_CANCELLED) {
        synth->stopping = true;
    } else if (synth->options.give_up) {
        set_aside(synth, u, "no reply", why->message, NULL);
        return;
    }
    u->state = UNIT_FAILED;
    summary->failed++;
    if (!synth->answered && summary->failed >= FAILURES_MAX) synth->stopping = true;
}

/* ---- asking ------------------------------------------------------------------------------------ */

typedef struct question {
    slm_chat_message messages[4];
    size_t message_count;
    slm_buffer prompt, repair;
    char *schema;
} question;

static void write_question(const unit *u, question *q)
{
    *q = (question){0};
    json_t *schema = synth__schema(&u->scenario);
    q->schema = json_dumps(schema, JSON_COMPACT);
    if (q->schema == NULL) slm_out_of_memory(0);
    json_decref(schema);
    synth__append_prompt(&q->prompt, &u->scenario,
                         u->original != NULL ? u->original->record : NULL);
    q->messages[q->message_count++] = (slm_chat_message){"system", synth__system_text};
    q->messages[q->message_count++] = (slm_chat_message){"user", slm_buffer_text(&q->prompt)};
    if (u->attempts == 0) return;
    synth__append_repair(&q->repair, u->wrong);
    q->messages[q->message_count++] = (slm_chat_message){"assistant", u->reply};
    q->messages[q->message_count++] = (slm_chat_message){"user", slm_buffer_text(&q->repair)};
}

static void free_question(question *q)
{
    slm_buffer_free(&q->prompt);
    slm_buffer_free(&q->repair);
    free(q->schema);
}

static void name_request(const slm_synth *synth, unit *u, const question *q)
{
    char *sampling = slm_chat_sampling_json(&synth->options.sampling);
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, synth__method);
    slm_sha256_update_part(hash, sampling);
    slm_sha256_update_part(hash, synth->options.no_schema ? NULL : q->schema);
    slm_sha256_update_part(hash, u->scenario.id);
    slm_sha256_update_part(hash, u->attempts == 0 ? "first" : "repair");
    for (size_t i = 0; i < q->message_count; i++) {
        slm_sha256_update_part(hash, q->messages[i].role);
        slm_sha256_update_part(hash, q->messages[i].content);
    }
    slm_sha256_finish(hash, u->request);
    free(sampling);
}

static slm_status submit(slm_synth *synth, unit *u, const question *q, slm_error *why)
{
    slm_chat_request request = {.messages = q->messages,
                                .message_count = q->message_count,
                                .n = 1,
                                .first_rollout = (uint32_t)u->attempts,
                                .case_id = u->scenario.id,
                                .sampling = synth->options.sampling,
                                .json_schema = synth->no_schema ? NULL : q->schema};
    slm_error first = {0};
    slm_status status = slm_chat_submit(synth->chat, &request, &u->ticket, &first);
    if (status == SLM_ERR_UNSUPPORTED && request.json_schema != NULL) {
        request.json_schema = NULL;
        status = slm_chat_submit(synth->chat, &request, &u->ticket, &first);
        if (status == SLM_OK) synth->no_schema = true;
    }
    if (status != SLM_OK) *why = first;
    return status;
}

static void keep_for_repair(unit *u, const char *reply, const char *problems)
{
    size_t len = strlen(reply);
    slm_buffer text = {0};
    if (len > REPAIR_BYTES_MAX) len = REPAIR_BYTES_MAX;
    slm_utf8_append_valid(&text, reply, len);
    if (text.len == 0) slm_buffer_append_text(&text, "(nothing)");
    u->reply = slm_buffer_take(&text);
    u->wrong = strdup(problems);
    if (u->wrong == NULL) slm_out_of_memory(strlen(problems));
    u->state = UNIT_WAITING;
}

/* What becomes of a reply: a case, another try, or it is set aside. */
static void take(slm_synth *synth, unit *u, const char *reply, slm_chat_finish finish)
{
    synth__problems problems = {0};
    u->attempts++;
    if (finish == SLM_CHAT_REFUSED) {
        set_aside(synth, u, "refused", "", reply);
        return;
    }
    json_t *row =
        synth__case_of(reply, &u->scenario, u->original != NULL ? u->original->record : NULL,
                       &synth->options, synth->model, &problems);
    if (row == NULL && finish == SLM_CHAT_LENGTH)
        synth__problem(&problems, "the answer was cut off after %lld tokens (--max-tokens)",
                       (long long)synth->options.sampling.max_tokens);
    if (row != NULL)
        settle(synth, u, row, true);
    else if (u->attempts < ATTEMPTS_MAX)
        keep_for_repair(u, reply, slm_buffer_text(&problems.text));
    else
        set_aside(synth, u, "not mended by a second try", slm_buffer_text(&problems.text), reply);
    slm_buffer_free(&problems.text);
}

/* A reply from the store, if it has one. */
static slm_status look_up(slm_synth *synth, unit *u, bool *found, slm_error *err)
{
    slm_arena arena = {0};
    slm_stored_call known;
    slm_chat_finish finish;
    *found = false;
    if (synth->store == NULL) return SLM_OK;
    slm_status status = slm_store_get_call(synth->store, synth->chat->identity, u->request, &arena,
                                           found, &known, err);
    if (status == SLM_OK && *found) {
        *found = slm_chat_finish_from_name(known.finish, &finish);
        if (*found) take(synth, u, known.reply, finish);
        synth->summary.cached += *found;
    }
    slm_arena_free(&arena);
    return status;
}

/* Until the unit waits for a reply, or for nothing more. */
static slm_status ask(slm_synth *synth, unit *u, slm_error *err)
{
    if (u->original != NULL && !u->original->is_case) {
        set_aside(synth, u, "its lacks case was set aside", "", NULL);
        return SLM_OK;
    }
    slm_status status = SLM_OK;
    while (status == SLM_OK && u->state == UNIT_WAITING) {
        question q;
        bool found = false;
        slm_error why = {0};
        write_question(u, &q);
        name_request(synth, u, &q);
        status = look_up(synth, u, &found, err);
        if (status == SLM_OK && !found) {
            if (synth->stopping) {
                free_question(&q);
                break;
            }
            if (submit(synth, u, &q, &why) == SLM_OK) {
                u->state = UNIT_ASKED;
                synth->asked++;
                synth->summary.calls++;
                synth->summary.repairs += u->attempts > 0;
            } else if (u->attempts > 0 && why.status == SLM_ERR_INVALID) {
                /* With the bad reply in it the request is too long for the model. */
                set_aside(synth, u, "cannot be asked to mend it", u->wrong, u->reply);
            } else {
                fail(synth, u, &why);
            }
        }
        free_question(&q);
    }
    return status;
}

/* May it be asked about now? A twin whose original failed never will. */
static bool is_ready(unit *u)
{
    if (u->state != UNIT_WAITING) return false;
    if (u->original == NULL) return true;
    if (u->original->state == UNIT_FAILED) {
        u->state = UNIT_FAILED;
        return false;
    }
    return u->original->state == UNIT_SETTLED || u->original->state == UNIT_RECORDED;
}

/* *handled: how many units were looked at; replies from the store come in such pieces, so that their
 * records are written in between. */
static slm_status ask_more(slm_synth *synth, size_t *handled, slm_error *err)
{
    size_t width = synth->chat->width > 0 ? (size_t)synth->chat->width : 1;
    *handled = 0;
    while (synth->cursor < synth->unit_count) { /* past those that need no more looking at */
        const unit *u = &synth->units[synth->cursor];
        if (u->state == UNIT_WAITING || u->state == UNIT_ASKED) break;
        synth->cursor++;
    }
    for (size_t i = synth->cursor; i < synth->unit_count && synth->asked < width; i++) {
        unit *u = &synth->units[i];
        if (*handled == PIECE || synth->stopping) break;
        if (!is_ready(u)) continue;
        ++*handled;
        SLM_TRY(ask(synth, u, err));
    }
    return SLM_OK;
}

static void add_tokens(int64_t *total, int64_t tokens)
{
    if (tokens > 0) *total += tokens;
}

static slm_status take_reply(slm_synth *synth, unit *u, const slm_chat_reply *reply, slm_error *err)
{
    synth->asked--;
    add_tokens(&synth->summary.prompt_tokens, reply->prompt_tokens);
    add_tokens(&synth->summary.reply_tokens, reply->reply_tokens);
    if (reply->finish == SLM_CHAT_ERROR || reply->finish == SLM_CHAT_CANCELLED) {
        slm_error why = reply->error;
        if (why.status == SLM_OK) slm_error_set(&why, SLM_ERR_CANCELLED, "the call was cancelled");
        fail(synth, u, &why);
        return SLM_OK;
    }
    synth->answered = true;
    if (synth->store != NULL) {
        slm_stored_call call = {.finish = slm_chat_finish_name(reply->finish),
                                .reply = reply->text,
                                .prompt_tokens = reply->prompt_tokens,
                                .reply_tokens = reply->reply_tokens};
        SLM_TRY(slm_store_put_call(synth->store, synth->chat->identity, u->request, &call, err));
    }
    take(synth, u, reply->text, reply->finish);
    return u->state == UNIT_WAITING ? ask(synth, u, err) : SLM_OK;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

/* A file is synced before the other one is written to: no record outlives one before it. */
static slm_status write_records(slm_synth *synth, slm_error *err)
{
    for (; synth->next < synth->unit_count; synth->next++) {
        unit *u = &synth->units[synth->next];
        if (u->state != UNIT_SETTLED) break;
        SLM_TRY(synth__file_sync(u->is_case ? &synth->rejects : &synth->cases, err));
        SLM_TRY(synth__file_append(u->is_case ? &synth->cases : &synth->rejects, u->record, err));
        u->state = UNIT_RECORDED;
        if (!u->scenario.has_twin || !u->is_case) {
            json_decref(u->record);
            u->record = NULL;
        }
        if (u->original != NULL) {
            json_decref(u->original->record);
            u->original->record = NULL;
        }
    }
    SLM_TRY(synth__file_sync(&synth->cases, err));
    return synth__file_sync(&synth->rejects, err);
}

static unit *find_asked(slm_synth *synth, uint64_t ticket)
{
    for (size_t i = synth->cursor; i < synth->unit_count; i++)
        if (synth->units[i].state == UNIT_ASKED && synth->units[i].ticket == ticket)
            return &synth->units[i];
    return NULL;
}

static slm_status poll_once(slm_synth *synth, slm_error *err)
{
    slm_chat_reply *reply = NULL;
    SLM_TRY(slm_chat_poll(synth->chat, POLL_MS, &reply, err));
    if (reply == NULL) {
        if (synth->chat->in_flight > 0) return SLM_OK;
        return slm_error_set(err, SLM_ERR_FORMAT, "%s owes %zu replies and has none",
                             synth->chat->name, synth->asked);
    }
    unit *u = find_asked(synth, reply->ticket);
    slm_status status = u != NULL ? take_reply(synth, u, reply, err) : SLM_OK;
    slm_chat_reply_free(reply);
    return status;
}

static void show_progress(slm_synth *synth, slm_progress *progress)
{
    const slm_synth_summary *s = &synth->summary;
    char note[64];
    snprintf(note, sizeof note, "%zu set aside, %zu in flight", s->total.set_aside, synth->asked);
    slm_progress_update(progress, s->total.written + s->total.set_aside, note);
}

static slm_status run_loop(slm_synth *synth, slm_progress *progress, slm_error *err)
{
    bool told = false;
    for (;;) {
        if (synth->options.stop != NULL && *synth->options.stop) {
            synth->stopping = true;
            if (!told && synth->asked > 0)
                slm_log_print(synth->options.log, SLM_LOG_WARNING,
                              "stopping; waiting for %zu replies that are on their way (once more "
                              "ends at once)",
                              synth->asked);
            told = true;
        }
        size_t handled = 0;
        if (!synth->stopping) SLM_TRY(ask_more(synth, &handled, err));
        SLM_TRY(write_records(synth, err));
        show_progress(synth, progress);
        if (synth->asked > 0)
            SLM_TRY(poll_once(synth, err));
        else if (handled == 0)
            break;
    }
    if (told) return slm_error_set(err, SLM_ERR_CANCELLED, "stopped on request");
    return SLM_OK;
}

slm_status slm_synth_run(slm_synth *synth, slm_chat *chat, slm_store *store, slm_error *err)
{
    slm_synth_summary *summary = &synth->summary;
    synth->chat = chat;
    synth->store = store;
    synth->no_schema = synth->options.no_schema;
    slm_buffer name = {0};
    slm_utf8_append_valid(&name, chat->name, strlen(chat->name));
    synth->model = slm_arena_strdup(&synth->arena, slm_buffer_text(&name));
    slm_buffer_free(&name);
    if (synth->model_before != NULL && strcmp(synth->model_before, synth->model) != 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s was begun with the model %s; go on with that one, or name another "
                             "file with -o",
                             synth->cases.path, synth->model_before);
    SLM_TRY(synth__file_begin(&synth->cases, err));
    SLM_TRY(synth__file_begin(&synth->rejects, err));
    slm_progress *progress = slm_progress_new(synth->options.log, "synth", "cases",
                                              summary->total.planned, summary->done_before);
    slm_status status = run_loop(synth, progress, err);
    slm_progress_finish(progress);
    return status;
}
