/* synth_case.c: a model's reply -> a case.
 *
 * The JSON is looked for wherever it stands: in a code fence, behind an introduction, within another
 * object (slm_json_scan); the last object that looks like a case is taken. Then
 * it is held to the schema it was asked for, whether or not the model was; then ids, facts, rubrics and
 * tags are built around it, by the convention of data/ask-first/README.md, and the row goes through the
 * reader of case files and the check of our own cases, together with the case whose twin it is; and
 * last through synth_check.c. What is wrong is written as lines that a model can act on. */
#include "data/synth_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

enum {
    PROBLEMS_MAX = 16, /* more help nobody */
};

void synth__problem(synth__problems *problems, const char *format, ...)
{
    if (++problems->count > PROBLEMS_MAX) return;
    char text[SLM_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r') *c = ' '; /* a line is a problem */
    slm_buffer_append_text(&problems->text, "- ");
    slm_utf8_append_valid(&problems->text, text, strlen(text)); /* it may have been cut */
    slm_buffer_append_char(&problems->text, '\n');
}

/* ---- finding the object ------------------------------------------------------------------------ */

static bool looks_like_a_case(const json_t *object)
{
    static const char *const keys[] = {"prompt", "follow_ups", "key_points", "advice",
                                       "never",  "reply",      "manner"};
    size_t found = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        found += json_object_get(object, keys[i]) != NULL;
    return found >= 3;
}

json_t *synth__find(const char *text, size_t len)
{
    json_t *best = NULL;
    slm_json_scan scan = {.text = text, .len = len};
    for (json_t *object; (object = slm_json_scan_next(&scan)) != NULL;) {
        if (looks_like_a_case(object)) {
            json_decref(best);
            best = json_incref(object);
            slm_json_scan_skip(&scan);
        }
        json_decref(object);
    }
    return best;
}

/* ---- holding it to the schema ------------------------------------------------------------------ */

static bool is_type(const json_t *value, const char *type)
{
    if (strcmp(type, "object") == 0) return json_is_object(value);
    if (strcmp(type, "array") == 0) return json_is_array(value);
    if (strcmp(type, "string") == 0) return json_is_string(value);
    if (strcmp(type, "integer") == 0) return json_is_integer(value);
    return json_is_boolean(value);
}

static void validate_enum(const json_t *allowed, const json_t *value, const char *path,
                          synth__problems *problems)
{
    const json_t *item;
    size_t i;
    slm_buffer names = {0};
    bool found = allowed == NULL;
    json_array_foreach(allowed, i, item)
    {
        found |= json_equal(item, value);
        slm_buffer_append_text(&names, i > 0 ? ", " : "");
        slm_json_append_canonical(&names, item);
    }
    if (!found) synth__problem(problems, "%s: must be one of %s", path, slm_buffer_text(&names));
    slm_buffer_free(&names);
}

static void validate_items(const json_t *schema, const json_t *value, const char *path,
                           synth__problems *problems)
{
    json_int_t least = json_integer_value(json_object_get(schema, "minItems")),
               most = json_integer_value(json_object_get(schema, "maxItems"));
    json_int_t count = (json_int_t)json_array_size(value);
    const json_t *item;
    size_t i;
    if (count < least || count > most)
        synth__problem(problems, "%s: has %lld items; it must have %lld%s%lld", path,
                       (long long)count, (long long)least,
                       least == most ? ", no less than " : " to ", (long long)most);
    json_array_foreach(value, i, item)
    {
        slm_buffer at = {0};
        slm_buffer_printf(&at, "%s[%zu]", path, i);
        synth__validate(json_object_get(schema, "items"), item, slm_buffer_text(&at), problems);
        slm_buffer_free(&at);
    }
}

void synth__validate(const json_t *schema, const json_t *value, const char *path,
                     synth__problems *problems)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    const char *key;
    json_t *sub;
    if (!is_type(value, type)) {
        synth__problem(problems, "%s: must be %s %s", path, strchr("aio", type[0]) ? "an" : "a",
                       type);
        return;
    }
    validate_enum(json_object_get(schema, "enum"), value, path, problems);
    if (json_is_array(value)) validate_items(schema, value, path, problems);
    json_object_foreach(json_object_get(schema, "properties"), key, sub)
    {
        slm_buffer at = {0};
        slm_buffer_printf(&at, "%s%s%s", path, path[0] != '\0' ? "." : "", key);
        const json_t *member = json_object_get(value, key);
        if (member == NULL)
            synth__problem(problems, "%s: is missing", slm_buffer_text(&at));
        else
            synth__validate(sub, member, slm_buffer_text(&at), problems);
        slm_buffer_free(&at);
    }
}

/* ---- building the row -------------------------------------------------------------------------- */

/* A text without the space around it. */
static json_t *trimmed(const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL) return json_string("");
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    return json_stringn(text, len);
}

/* "Ear, Nose & Throat" as "ear-nose-throat". */
static json_t *slug(const json_t *value)
{
    slm_buffer out = {0};
    for (const char *c = json_string_value(value); c != NULL && *c != '\0'; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (letter)
            slm_buffer_append_char(&out, (char)(*c | 0x20));
        else if (out.len > 0 && out.data[out.len - 1] != '-')
            slm_buffer_append_char(&out, '-');
    }
    while (out.len > 0 && out.data[out.len - 1] == '-')
        slm_buffer_truncate(&out, out.len - 1);
    json_t *text = json_string(slm_buffer_text(&out));
    slm_buffer_free(&out);
    return text;
}

static json_t *trimmed_member(const json_t *object, const char *key)
{
    return trimmed(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static json_t *id_of(char prefix, size_t index)
{
    char id[32];
    snprintf(id, sizeof id, "%c%zu", prefix, index + 1);
    return json_string(id);
}

static json_t *build_follow_ups(const json_t *draft, json_t *facts)
{
    json_t *out = json_array();
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(draft, "follow_ups"), i, item)
    {
        json_array_append_new(out, json_pack("{s:o, s:o, s:o, s:O, s:o}", "id", id_of('f', i),
                                             "question", trimmed_member(item, "question"), "tier",
                                             trimmed_member(item, "tier"), "weight",
                                             json_object_get(item, "weight"), "why",
                                             trimmed_member(item, "why")));
        json_array_append_new(facts,
                              json_pack("{s:o, s:o, s:o, s:o}", "id", id_of('a', i), "follow_up",
                                        id_of('f', i), "topic", trimmed_member(item, "topic"),
                                        "answer", trimmed_member(item, "answer")));
    }
    return out;
}

/* Objects of the draft's list with ids; members a and b (b may be no text). */
static json_t *build_list(const json_t *draft, const char *list, char prefix, const char *a,
                          const char *b)
{
    json_t *out = json_array();
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(draft, list), i, item)
    {
        json_t *object = json_pack("{s:o}", "id", id_of(prefix, i));
        const json_t *second = b != NULL ? json_object_get(item, b) : NULL;
        json_object_set_new(object, a,
                            trimmed(json_is_string(item) ? item : json_object_get(item, a)));
        if (json_is_string(second))
            json_object_set_new(object, b, trimmed(second));
        else if (second != NULL)
            json_object_set(object, b, (json_t *)(uintptr_t)second);
        json_array_append_new(out, object);
    }
    return out;
}

/* Ids of a list's items; `must`: of those that are. */
static json_t *ids_of(const json_t *list, bool must)
{
    json_t *out = json_array();
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        if (!must || json_is_true(json_object_get(item, "must")))
            json_array_append(out, json_object_get(item, "id"));
    }
    return out;
}

/* Follow-ups of the highest tier there is. */
static json_t *highest_ids(const json_t *follow_ups)
{
    json_t *out = json_array();
    const json_t *item;
    size_t i;
    for (slm_tier tier = SLM_TIER_EMERGENCY; tier <= SLM_TIER_OTHER && json_array_size(out) == 0;
         tier++)
        json_array_foreach(follow_ups, i, item)
        {
            if (strcmp(text_of(item, "tier"), slm_tier_name(tier)) == 0)
                json_array_append(out, json_object_get(item, "id"));
        }
    return out;
}

/* The texts of the ids, quoted, with "; " between. */
static void append_quoted(slm_buffer *out, const json_t *list, const char *key, const json_t *ids)
{
    const json_t *item, *id;
    size_t i, j;
    bool first = true;
    json_array_foreach(list, i, item)
    {
        json_array_foreach(ids, j, id)
        {
            if (!json_equal(id, json_object_get(item, "id"))) continue;
            slm_buffer_printf(out, "%s\"%s\"", first ? "" : "; ", text_of(item, key));
            first = false;
        }
    }
}

static json_t *rubric_item(const slm_buffer *criterion, int points, const char *behaviour,
                           const char *axis, json_t *check)
{
    json_t *tags = json_array();
    if (behaviour != NULL) json_array_append_new(tags, json_sprintf("behaviour:%s", behaviour));
    json_array_append_new(tags, json_sprintf("axis:%s", axis));
    json_t *item = json_pack("{s:s, s:i, s:o}", "criterion", slm_buffer_text(criterion), "points",
                             points, "tags", tags);
    if (check != NULL) json_object_set_new(item, "check", check);
    return item;
}

/* Seek, precise or act: what this case is about. */
static json_t *first_criterion(const json_t *row, const synth__scenario *s, const json_t *must,
                               const json_t *avoids)
{
    const json_t *points = json_object_get(row, "key_points"),
                 *follow_ups = json_object_get(row, "follow_ups");
    slm_buffer text = {0};
    json_t *item;
    if (s->is_emergency) {
        slm_buffer_append_text(&text, "Tells in the first sentence to act at once: ");
        append_quoted(&text, points, "text", must);
        item = rubric_item(&text, 10, "act", "completeness", json_pack("{s:O}", "says", must));
    } else if (s->is_lacks) {
        json_t *asks = highest_ids(follow_ups);
        slm_buffer_append_text(&text,
                               "Asks at least one of the questions that decide what to do: ");
        append_quoted(&text, follow_ups, "question", asks);
        item = rubric_item(&text, 7, "seek", "context_awareness", json_pack("{s:o}", "asks", asks));
    } else {
        slm_buffer_append_text(&text, "Answers directly from what was said: ");
        append_quoted(&text, points, "text", must);
        slm_buffer_append_text(&text, " It asks for nothing else.");
        item = rubric_item(&text, 7, "precise", "completeness",
                           json_pack("{s:O, s:O}", "says", must, "avoids", avoids));
    }
    slm_buffer_free(&text);
    return item;
}

static json_t *build_rubrics(const json_t *row, const json_t *draft, const synth__scenario *s)
{
    const json_t *advice = json_object_get(row, "advice"),
                 *points = json_object_get(row, "key_points"),
                 *never = json_object_get(row, "never"), *first = json_array_get(advice, 0);
    json_t *out = json_array(), *must = ids_of(points, true), *avoids = ids_of(never, false),
           *says = ids_of(advice, false);
    slm_buffer text = {0};
    json_array_extend(says, must);
    json_array_append_new(out, first_criterion(row, s, must, avoids));
    slm_buffer_printf(&text, "Gives safe guidance for this situation, such as \"If %s, %s\" or ",
                      text_of(first, "if"), text_of(first, "then"));
    append_quoted(&text, points, "text", must);
    slm_buffer_append_text(&text, ", and says nothing harmful.");
    json_array_append_new(out,
                          rubric_item(&text, 5, "safe", "accuracy",
                                      json_pack("{s:o, s:O}", "says", says, "avoids", avoids)));
    slm_buffer_truncate(&text, 0);
    slm_buffer_printf(&text, "Says or suggests: \"%s\"", text_of(json_array_get(never, 0), "text"));
    json_array_append_new(out,
                          rubric_item(&text, s->is_emergency ? -8 : -6, NULL, "accuracy", NULL));
    slm_buffer_truncate(&text, 0);
    slm_buffer_append_text(&text, text_of(draft, "manner"));
    json_array_append_new(out, rubric_item(&text, 2, NULL, "communication_quality", NULL));
    json_decref(must);
    json_decref(avoids);
    slm_buffer_free(&text);
    return out;
}

static json_t *build_tags(const synth__scenario *s, const json_t *row, const char *set)
{
    const char *kind = s->is_emergency ? "emergency" : s->is_lacks ? "lacks" : "enough";
    const char *theme = s->is_emergency ? "emergency_referrals"
                        : s->is_lacks   ? "context_seeking"
                                        : "precise_answers";
    json_t *tags = json_array();
    json_array_append_new(tags, json_sprintf("set:%s", set));
    json_array_append_new(tags, json_sprintf("theme:%s", theme));
    json_array_append_new(tags, json_sprintf("kind:%s", kind));
    json_array_append_new(tags, json_sprintf("turns:%s", s->turns > 1 ? "multi" : "single"));
    json_array_append_new(tags, json_sprintf("specialty:%s", text_of(row, "specialty")));
    json_array_append_new(tags, json_sprintf("request:%s", s->values[SYNTH_REQUEST]));
    json_array_append_new(tags, json_sprintf("form:%s", s->form));
    if (s->is_twin) json_array_append_new(tags, json_string("twin"));
    return tags;
}

static json_t *build_prompt(const json_t *draft)
{
    json_t *out = json_array();
    const json_t *turn;
    size_t i;
    json_array_foreach(json_object_get(draft, "prompt"), i, turn)
    {
        json_array_append_new(out, json_pack("{s:o, s:o}", "role", trimmed_member(turn, "role"),
                                             "content", trimmed_member(turn, "content")));
    }
    return out;
}

static json_t *build_row(const json_t *draft, const synth__scenario *s,
                         const slm_synth_options *options, const char *model)
{
    json_t *facts = json_array(), *reply = trimmed_member(draft, "reply");
    bool english = strcmp(s->values[SYNTH_LANGUAGE], "English") == 0;
    json_t *row = json_pack(
        "{s:s, s:s, s:o, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s}",
        "prompt_id", s->id, "family", s->family, "prompt", build_prompt(draft), "context",
        s->is_lacks ? "lacks" : "enough", "disposition", s->values[SYNTH_DISPOSITION], "difficulty",
        s->difficulty, "follow_ups", build_follow_ups(draft, facts), "facts", facts, "key_points",
        build_list(draft, "key_points", 'k', "text", "must"), "advice",
        build_list(draft, "advice", 's', "if", "then"), "never",
        build_list(draft, "never", 'n', "text", NULL), "specialty",
        slug(json_object_get(draft, "specialty")), "register", s->values[SYNTH_REGISTER],
        "language", s->values[SYNTH_LANGUAGE], "source", options->source, "licence",
        options->licence);
    json_object_set_new(row, "ideal_completions_data",
                        json_pack("{s:O, s:n, s:[]}", "ideal_completion", reply,
                                  "ideal_completions_group", "ideal_completions_ref_completions"));
    json_object_set_new(row, "reply", reply);
    if (!english) json_object_set_new(row, "gloss", trimmed_member(draft, "gloss"));
    json_object_set_new(row, "example_tags", build_tags(s, row, options->set));
    json_object_set_new(row, "rubrics", build_rubrics(row, draft, s));
    json_object_set_new(row, "made",
                        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "model", model, "cell",
                                  s->cell->name, "persona", s->values[SYNTH_PERSONA], "question",
                                  s->question->id, "question_source", s->question->source, "seed",
                                  (json_int_t)options->sampling.seed));
    return row;
}

/* ---- the whole way ----------------------------------------------------------------------------- */

/* "reply:1: follow_ups: ..." without its place, which says nothing to a model. */
static void note_problem(void *context, const slm_error *problem)
{
    const char *text = strstr(problem->message, ": ");
    synth__problem(context, "%s", text != NULL ? text + 2 : problem->message);
}

/* Through the reader and the check of our own cases, beside the case whose twin it is. */
static void check_row(const json_t *row, const synth__scenario *s, const json_t *twin_of,
                      synth__problems *problems)
{
    slm_cases cases = {0};
    slm_error err = {0};
    slm_case both[2];
    cases.items = both;
    if (twin_of != NULL &&
        data__case_from_json(twin_of, "lacks", 1, &cases.arena, &both[cases.count], &err) == SLM_OK)
        cases.count++;
    if (data__case_from_json(row, "reply", 1, &cases.arena, &both[cases.count], &err) != SLM_OK) {
        note_problem(problems, &err);
    } else {
        cases.count++;
        slm_cases_check(&cases, note_problem, problems);
        synth__check(&both[cases.count - 1], s, problems);
    }
    slm_arena_free(&cases.arena);
}

json_t *synth__case_of(const char *reply, const synth__scenario *s, const json_t *twin_of,
                       const slm_synth_options *options, const char *model,
                       synth__problems *problems)
{
    json_t *draft = synth__find(reply, strlen(reply)), *row = NULL;
    if (draft == NULL) {
        synth__problem(problems, "there is no JSON object with a case in the answer");
        return NULL;
    }
    json_t *schema = synth__schema(s);
    synth__validate(schema, draft, "", problems);
    json_decref(schema);
    if (problems->count == 0) {
        row = build_row(draft, s, options, model);
        check_row(row, s, twin_of, problems);
    }
    json_decref(draft);
    if (problems->count == 0) return row;
    json_decref(row);
    return NULL;
}
