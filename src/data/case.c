/* case.c: one row of a case file -> slm_case.
 *
 * A row is a HealthBench row (prompt_id, prompt, rubrics, example_tags, ideal_completions_data)
 * with fields of our own around it (data/ask-first/README.md). Fields unknown to us stay in the
 * canonical JSON and are ignored. Fields that we know must be right: the wrong type, an id that
 * occurs twice, a reference to nothing or a weight out of bounds is an error that names file, line
 * and field. Inside `check`, which is ours alone, an unknown key is an error too: a misspelt "ask"
 * would otherwise be a criterion that checks nothing.
 *
 * Everything is copied into the caller's arena, so the JSON may go at once. */
#include <math.h>
#include <string.h>
#include "data/data_internal.h"

typedef struct reader {
    slm_arena *arena;
    slm_error *err;
} reader;

static slm_json_place member(const slm_json_place *parent, const char *key)
{
    return (slm_json_place){.parent = parent, .key = key};
}

static slm_json_place element(const slm_json_place *parent, size_t index)
{
    return (slm_json_place){.parent = parent, .index = index};
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* A required text with something in it, copied. */
static slm_status read_text(reader *r, const json_t *object, const char *key,
                            const slm_json_place *place, const char **out)
{
    const char *text = NULL;
    SLM_TRY(slm_json_string(object, key, place, &text, r->err));
    if (is_blank(text)) {
        slm_json_place at = member(place, key);
        return slm_json_error(&at, r->err, "is empty; write a text");
    }
    *out = slm_arena_strdup(r->arena, text);
    return SLM_OK;
}

static slm_status read_text_optional(reader *r, const json_t *object, const char *key,
                                     const slm_json_place *place, const char **out)
{
    const char *text = NULL;
    SLM_TRY(slm_json_string_optional(object, key, place, &text, r->err));
    *out = slm_arena_strdup(r->arena, text);
    return SLM_OK;
}

static slm_status read_integer(reader *r, const json_t *object, const char *key,
                               const slm_json_place *place, int low, int high, bool required,
                               int *out)
{
    int64_t value = 0;
    const json_t *there = json_object_get(object, key);
    if (!required && (there == NULL || json_is_null(there))) return SLM_OK;
    SLM_TRY(slm_json_integer(object, key, place, &value, r->err));
    if (value < low || value > high) {
        slm_json_place at = member(place, key);
        return slm_json_error(&at, r->err, "%lld is out of bounds; it must be %d to %d",
                              (long long)value, low, high);
    }
    *out = (int)value;
    return SLM_OK;
}

/* One of the names, as its index; names end with NULL. */
static slm_status read_name(reader *r, const json_t *object, const char *key,
                            const slm_json_place *place, const char *const *names, bool required,
                            int *out)
{
    const char *text = NULL;
    if (required)
        SLM_TRY(slm_json_string(object, key, place, &text, r->err));
    else
        SLM_TRY(slm_json_string_optional(object, key, place, &text, r->err));
    if (text == NULL) return SLM_OK;
    slm_buffer choices = {0};
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = i;
            slm_buffer_free(&choices);
            return SLM_OK;
        }
        slm_buffer_printf(&choices, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    slm_json_place at = member(place, key);
    slm_status status =
        slm_json_error(&at, r->err, "'%s' is none of %s", text, slm_buffer_text(&choices));
    slm_buffer_free(&choices);
    return status;
}

static slm_status read_texts(reader *r, const json_t *array, const slm_json_place *place,
                             const char ***out, size_t *count)
{
    size_t n = json_array_size(array);
    *out = slm_arena_array(r->arena, n, sizeof **out);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL) {
            slm_json_place at = element(place, i);
            return slm_json_error(&at, r->err, "expected a string");
        }
        (*out)[i] = slm_arena_strdup(r->arena, text);
    }
    *count = n;
    return SLM_OK;
}

static slm_status read_texts_optional(reader *r, const json_t *object, const char *key,
                                      const slm_json_place *place, const char ***out, size_t *count)
{
    json_t *array = NULL;
    SLM_TRY(slm_json_array_optional(object, key, place, &array, r->err));
    slm_json_place at = member(place, key);
    return read_texts(r, array, &at, out, count);
}

/* An element that must be an object. */
static slm_status read_element(reader *r, const json_t *array, size_t index,
                               const slm_json_place *place, const json_t **out)
{
    *out = json_array_get(array, index);
    if (!json_is_object(*out)) return slm_json_error(place, r->err, "expected an object");
    return SLM_OK;
}

static slm_status read_prompt(reader *r, const json_t *row, const slm_json_place *root,
                              slm_case *out)
{
    static const char *const roles[] = {"system", "user", "assistant", NULL};
    json_t *array = NULL;
    SLM_TRY(slm_json_array(row, "prompt", root, &array, r->err));
    slm_json_place place = member(root, "prompt");
    size_t n = json_array_size(array);
    if (n == 0) return slm_json_error(&place, r->err, "is empty; a case needs at least one turn");
    out->turns = slm_arena_array(r->arena, n, sizeof *out->turns);
    out->turn_count = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *turn = NULL;
        slm_json_place at = element(&place, i);
        SLM_TRY(read_element(r, array, i, &at, &turn));
        int role = 0;
        SLM_TRY(read_name(r, turn, "role", &at, roles, true, &role));
        out->turns[i].role = roles[role];
        if (i + 1 < n) { /* an empty turn may stand in a history, but not where the answer is due */
            const char *content = NULL;
            SLM_TRY(slm_json_string(turn, "content", &at, &content, r->err));
            out->turns[i].content = slm_arena_strdup(r->arena, content);
            continue;
        }
        SLM_TRY(read_text(r, turn, "content", &at, &out->turns[i].content));
        if (strcmp(roles[role], "user") != 0) {
            slm_json_place role_at = member(&at, "role");
            return slm_json_error(&role_at, r->err,
                                  "the last turn is the %s's; it must be the user's, who is "
                                  "waiting for an answer",
                                  roles[role]);
        }
    }
    return SLM_OK;
}

/* The member lists of our own. Each reader fills one item from one object. */
typedef slm_status read_item_fn(reader *r, const json_t *object, const slm_json_place *place,
                                void *item);

static slm_status read_follow_up(reader *r, const json_t *object, const slm_json_place *place,
                                 void *item)
{
    static const char *const tiers[] = {"emergency", "next_step", "cause", "other", NULL};
    slm_follow_up *f = item;
    int tier = 0;
    SLM_TRY(read_text(r, object, "id", place, &f->id));
    SLM_TRY(read_text(r, object, "question", place, &f->question));
    SLM_TRY(read_name(r, object, "tier", place, tiers, true, &tier));
    f->tier = (slm_tier)tier;
    SLM_TRY(read_integer(r, object, "weight", place, 1, 5, true, &f->weight));
    return read_text_optional(r, object, "why", place, &f->why);
}

static slm_status read_fact(reader *r, const json_t *object, const slm_json_place *place,
                            void *item)
{
    slm_fact *f = item;
    SLM_TRY(read_text(r, object, "id", place, &f->id));
    SLM_TRY(read_text(r, object, "answer", place, &f->answer));
    SLM_TRY(read_text_optional(r, object, "topic", place, &f->topic));
    return read_text_optional(r, object, "follow_up", place, &f->follow_up);
}

static slm_status read_key_point(reader *r, const json_t *object, const slm_json_place *place,
                                 void *item)
{
    slm_key_point *k = item;
    SLM_TRY(read_text(r, object, "id", place, &k->id));
    SLM_TRY(read_text(r, object, "text", place, &k->text));
    return slm_json_bool_optional(object, "must", place, &k->must, r->err);
}

static slm_status read_advice(reader *r, const json_t *object, const slm_json_place *place,
                              void *item)
{
    slm_advice *a = item;
    SLM_TRY(read_text(r, object, "id", place, &a->id));
    SLM_TRY(read_text(r, object, "if", place, &a->if_text));
    return read_text(r, object, "then", place, &a->then_text);
}

static slm_status read_never(reader *r, const json_t *object, const slm_json_place *place,
                             void *item)
{
    slm_never *n = item;
    SLM_TRY(read_text(r, object, "id", place, &n->id));
    return read_text(r, object, "text", place, &n->text);
}

/* A list of objects whose struct begins with the id. Ids are unique within the list. */
static slm_status read_list(reader *r, const json_t *row, const char *key,
                            const slm_json_place *root, read_item_fn *fn, size_t item_bytes,
                            void **out, size_t *count)
{
    json_t *array = NULL;
    SLM_TRY(slm_json_array_optional(row, key, root, &array, r->err));
    size_t n = json_array_size(array);
    slm_json_place place = member(root, key);
    char *items = slm_arena_array(r->arena, n, item_bytes);
    data__set ids = {0};
    slm_status status = SLM_OK;
    for (size_t i = 0; i < n; i++) {
        const json_t *object = NULL;
        const char *id = NULL;
        slm_json_place at = element(&place, i);
        SLM_TRY_OUT(read_element(r, array, i, &at, &object));
        SLM_TRY_OUT(fn(r, object, &at, items + i * item_bytes));
        memcpy(&id, items + i * item_bytes, sizeof id);
        size_t first = data__set_put(&ids, id, i);
        if (first != SIZE_MAX) {
            slm_json_place id_at = member(&at, "id");
            status = slm_json_error(
                &id_at, r->err, "'%s' already stands at %s[%zu]; ids are unique", id, key, first);
            goto out;
        }
    }
    *out = items;
    *count = n;
out:
    data__set_free(&ids);
    return status;
}

static slm_status read_ids(reader *r, const slm_case *c, const json_t *check, const char *key,
                           const slm_json_place *place, slm_id_list *out)
{
    SLM_TRY(read_texts_optional(r, check, key, place, &out->ids, &out->count));
    for (size_t i = 0; i < out->count; i++) {
        const char *id = out->ids[i], *where;
        bool there;
        if (strcmp(key, "asks") == 0) {
            there = slm_case_follow_up(c, id) != NULL;
            where = "follow_ups";
        } else if (strcmp(key, "says") == 0) {
            there = slm_case_key_point(c, id) != NULL || slm_case_advice(c, id) != NULL;
            where = "key_points or advice";
        } else {
            there = slm_case_never(c, id) != NULL;
            where = "never";
        }
        slm_json_place list = member(place, key), at = element(&list, i);
        if (!there)
            return slm_json_error(&at, r->err, "there is no '%s' among the case's %s", id, where);
        for (size_t j = 0; j < i; j++)
            if (strcmp(out->ids[j], id) == 0)
                return slm_json_error(&at, r->err, "'%s' is listed twice", id);
    }
    return SLM_OK;
}

static slm_status read_check(reader *r, const slm_case *c, const json_t *item,
                             const slm_json_place *place, slm_rubric_item *out)
{
    json_t *object = NULL;
    SLM_TRY(slm_json_object_optional(item, "check", place, &object, r->err));
    if (object == NULL) return SLM_OK;
    slm_json_place at = member(place, "check");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "asks") != 0 && strcmp(key, "says") != 0 && strcmp(key, "avoids") != 0) {
            slm_json_place key_at = member(&at, key);
            return slm_json_error(&key_at, r->err, "is unknown; a check has asks, says and avoids");
        }
    }
    slm_check *check = slm_arena_alloc(r->arena, sizeof *check);
    SLM_TRY(read_ids(r, c, object, "asks", &at, &check->asks));
    SLM_TRY(read_ids(r, c, object, "says", &at, &check->says));
    SLM_TRY(read_ids(r, c, object, "avoids", &at, &check->avoids));
    slm_behaviour b = out->behaviour;
    if (b == SLM_BEHAVIOUR_SEEK && check->asks.count == 0)
        return slm_json_error(&at, r->err, "behaviour:seek needs asks, the ids of follow_ups");
    if ((b == SLM_BEHAVIOUR_PRECISE || b == SLM_BEHAVIOUR_SAFE || b == SLM_BEHAVIOUR_ACT) &&
        check->says.count == 0)
        return slm_json_error(&at, r->err, "behaviour:%s needs says, ids of key_points or advice",
                              slm_behaviour_name(b));
    if (check->asks.count + check->says.count + check->avoids.count == 0)
        return slm_json_error(&at, r->err, "checks nothing; list ids or leave it out");
    out->check = check;
    return SLM_OK;
}

static slm_status read_behaviour(reader *r, const slm_json_place *place, slm_rubric_item *out)
{
    static const char prefix[] = "behaviour:";
    for (size_t i = 0; i < out->tag_count; i++) {
        const char *tag = out->tags[i];
        if (strncmp(tag, prefix, sizeof prefix - 1) != 0) continue;
        slm_json_place list = member(place, "tags"), at = element(&list, i);
        slm_behaviour found = SLM_BEHAVIOUR_NONE;
        for (slm_behaviour b = SLM_BEHAVIOUR_SEEK; b <= SLM_BEHAVIOUR_ACT; b++)
            if (strcmp(tag + sizeof prefix - 1, slm_behaviour_name(b)) == 0) found = b;
        if (found == SLM_BEHAVIOUR_NONE)
            return slm_json_error(
                &at, r->err, "'%s' is no behaviour; there are seek, precise, safe and act", tag);
        if (out->behaviour != SLM_BEHAVIOUR_NONE)
            return slm_json_error(&at, r->err,
                                  "a criterion has one behaviour, and this is another");
        out->behaviour = found;
    }
    return SLM_OK;
}

static slm_status read_rubrics(reader *r, const json_t *row, const slm_json_place *root,
                               slm_case *out)
{
    json_t *array = NULL;
    SLM_TRY(slm_json_array(row, "rubrics", root, &array, r->err));
    slm_json_place place = member(root, "rubrics");
    size_t n = json_array_size(array);
    out->rubrics = slm_arena_array(r->arena, n, sizeof *out->rubrics);
    out->rubric_count = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *object = NULL;
        slm_rubric_item *item = &out->rubrics[i];
        slm_json_place at = element(&place, i);
        SLM_TRY(read_element(r, array, i, &at, &object));
        SLM_TRY(read_text(r, object, "criterion", &at, &item->criterion));
        SLM_TRY(slm_json_number(object, "points", &at, &item->points, r->err));
        if (item->points == 0.0 || !isfinite(item->points)) {
            slm_json_place points_at = member(&at, "points");
            return slm_json_error(&points_at, r->err,
                                  "must not be 0: positive for what is wanted, negative for what "
                                  "is not");
        }
        SLM_TRY(read_texts_optional(r, object, "tags", &at, &item->tags, &item->tag_count));
        SLM_TRY(read_behaviour(r, &at, item));
        SLM_TRY(read_check(r, out, object, &at, item));
    }
    return SLM_OK;
}

/* References between the lists: a fact's follow-up exists; `says` cannot be ambiguous. */
static slm_status check_references(reader *r, const slm_json_place *root, const slm_case *c)
{
    for (size_t i = 0; i < c->fact_count; i++) {
        const char *id = c->facts[i].follow_up;
        if (id == NULL || slm_case_follow_up(c, id) != NULL) continue;
        slm_json_place list = member(root, "facts"), item = element(&list, i);
        slm_json_place at = member(&item, "follow_up");
        return slm_json_error(&at, r->err, "there is no '%s' among the case's follow_ups", id);
    }
    for (size_t i = 0; i < c->advice_count; i++) {
        if (slm_case_key_point(c, c->advice[i].id) == NULL) continue;
        slm_json_place list = member(root, "advice"), item = element(&list, i);
        slm_json_place at = member(&item, "id");
        return slm_json_error(&at, r->err,
                              "'%s' is a key point's id too; a check could not tell them apart",
                              c->advice[i].id);
    }
    return SLM_OK;
}

static slm_status read_ours(reader *r, const json_t *row, const slm_json_place *root, slm_case *c)
{
    static const char *const contexts[] = {"lacks", "enough", NULL};
    static const char *const dispositions[] = {"emergency", "urgent", "routine", "self-care", NULL};
    int context = -1, disposition = -1;
    SLM_TRY(read_name(r, row, "context", root, contexts, false, &context));
    SLM_TRY(read_name(r, row, "disposition", root, dispositions, false, &disposition));
    c->context = (slm_context)(context + 1); /* -1, not given, is the enum's NONE */
    c->disposition = (slm_disposition)(disposition + 1);
    SLM_TRY(read_integer(r, row, "difficulty", root, 1, 5, false, &c->difficulty));

    const struct {
        const char *key;
        read_item_fn *fn;
        size_t bytes;
        void *out;
        size_t *count;
    } lists[] = {
        {"follow_ups", read_follow_up, sizeof *c->follow_ups, &c->follow_ups, &c->follow_up_count},
        {"facts", read_fact, sizeof *c->facts, &c->facts, &c->fact_count},
        {"key_points", read_key_point, sizeof *c->key_points, &c->key_points, &c->key_point_count},
        {"advice", read_advice, sizeof *c->advice, &c->advice, &c->advice_count},
        {"never", read_never, sizeof *c->never, &c->never, &c->never_count},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        void *items = NULL;
        SLM_TRY(read_list(r, row, lists[i].key, root, lists[i].fn, lists[i].bytes, &items,
                          lists[i].count));
        memcpy(lists[i].out, &items, sizeof items);
    }

    const struct {
        const char *key;
        const char **out;
    } texts[] = {
        {"family", &c->family},          {"reply", &c->reply},
        {"specialty", &c->specialty},    {"language", &c->language},
        {"register", &c->register_name}, {"gloss", &c->gloss},
        {"source", &c->source},          {"licence", &c->licence},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        SLM_TRY(read_text_optional(r, row, texts[i].key, root, texts[i].out));
    if (c->family == NULL || is_blank(c->family)) c->family = c->id;
    return check_references(r, root, c);
}

slm_status data__case_from_json(const json_t *row, const char *name, size_t line, slm_arena *arena,
                                slm_case *out, slm_error *err)
{
    reader r = {.arena = arena, .err = err};
    slm_json_place root = {.name = name, .line = line};
    slm_case c = {.line = line, .file = slm_arena_strdup(arena, name)};
    if (!json_is_object(row)) return slm_json_error(&root, err, "a case must be a JSON object");
    if (json_object_get(row, "binary_labels") != NULL)
        return slm_json_error(&root, err,
                              "is a row of HealthBench's meta-evaluation (it has binary_labels), "
                              "not a case; slm judge measures judges on those");
    SLM_TRY(read_text(&r, row, "prompt_id", &root, &c.id));
    SLM_TRY(read_prompt(&r, row, &root, &c));
    SLM_TRY(read_texts_optional(&r, row, "example_tags", &root, &c.tags, &c.tag_count));

    json_t *ideal = NULL;
    SLM_TRY(slm_json_object_optional(row, "ideal_completions_data", &root, &ideal, err));
    if (ideal != NULL) {
        slm_json_place at = member(&root, "ideal_completions_data");
        SLM_TRY(read_text_optional(&r, ideal, "ideal_completion", &at, &c.ideal));
    }
    SLM_TRY(read_ours(&r, row, &root, &c));
    SLM_TRY(read_rubrics(&r, row, &root, &c)); /* last: its checks refer to the lists above */

    slm_buffer canonical = {0};
    slm_json_append_canonical(&canonical, row);
    c.json = slm_arena_strndup(arena, slm_buffer_text(&canonical), canonical.len);
    slm_buffer_free(&canonical);
    *out = c;
    return SLM_OK;
}

slm_status slm_case_parse(const char *json, const char *name, size_t line, slm_arena *arena,
                          slm_case *out, slm_error *err)
{
    size_t len = strlen(json);
    if (len > DATA__LINE_BYTES_MAX)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: the row has %zu bytes; at most %d", name,
                             line, len, DATA__LINE_BYTES_MAX);
    json_t *row = NULL;
    SLM_TRY(slm_json_parse(json, len, name, line, &row, err));
    slm_status status = data__case_from_json(row, name, line, arena, out, err);
    json_decref(row);
    return status;
}
