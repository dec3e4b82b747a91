/* synth_prompt.c: what a model is asked to write, and in which form.
 *
 * A request is a system text that says what such a case is for, and a user text with the question, the
 * scenario that was drawn for it, the rules, and the shape of the reply. The same shape goes along as
 * a JSON schema, for models that can be held to one: every property required, no others, which is what
 * strict modes ask for.
 *
 * The model writes nothing that the program can: no ids, no references between lists, no rubrics. That
 * leaves fewer ways to be wrong. synth__method is part of a case's id; raise it when the wording or the
 * shape changes, for the cases are others then. */
#include "data/synth_internal.h"

#include <string.h>

const char synth__method[] = "slm-synth 1";

const char synth__system_text[] =
    "You write practice cases for a health assistant. The assistant has to learn when to ask "
    "before "
    "advising, when to answer at once, and when to tell somebody to get help now. A case is a "
    "short "
    "conversation that ends with a message to the assistant, together with everything needed to "
    "teach and to grade the next answer.\n"
    "You are careful with medicine: nothing you write may harm somebody who believes it. Where "
    "guidance differs between countries you stay with what holds in all of them. You invent "
    "people, "
    "but no medicines, numbers or studies. You answer with one JSON object and no other text.";

/* ---- the schema -------------------------------------------------------------------------------- */

static json_t *text_schema(void)
{
    return json_pack("{s:s}", "type", "string");
}

static json_t *enum_schema(const char *const *names)
{
    json_t *values = json_array();
    for (; *names != NULL; names++)
        json_array_append_new(values, json_string(*names));
    return json_pack("{s:s, s:o}", "type", "string", "enum", values);
}

static json_t *list_schema(json_t *items, size_t least, size_t most)
{
    return json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items", items, "minItems",
                     (json_int_t)least, "maxItems", (json_int_t)most);
}

/* Every property of `properties` is required, and there are no others. */
static json_t *object_schema(json_t *properties)
{
    json_t *required = json_array();
    const char *key;
    json_t *value;
    json_object_foreach(properties, key, value)
    {
        json_array_append_new(required, json_string(key));
    }
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required",
                     required, "additionalProperties", 0);
}

static json_t *follow_up_schema(const synth__scenario *s)
{
    static const char *const all[] = {"emergency", "next_step", "cause", "other", NULL};
    static const char *const harmless[] = {"other", NULL};
    bool answers = !s->is_lacks && !s->is_emergency;
    return object_schema(json_pack("{s:o, s:o, s:{s:s, s:[i,i,i,i,i]}, s:o, s:o, s:o}", "question",
                                   text_schema(), "tier", enum_schema(answers ? harmless : all),
                                   "weight", "type", "integer", "enum", 1, 2, 3, 4, 5, "why",
                                   text_schema(), "topic", text_schema(), "answer", text_schema()));
}

json_t *synth__schema(const synth__scenario *s)
{
    static const char *const roles[] = {"user", "assistant", NULL};
    json_t *turn = object_schema(
        json_pack("{s:o, s:o}", "role", enum_schema(roles), "content", text_schema()));
    json_t *key_point = object_schema(
        json_pack("{s:o, s:{s:s}}", "text", text_schema(), "must", "type", "boolean"));
    json_t *advice =
        object_schema(json_pack("{s:o, s:o}", "if", text_schema(), "then", text_schema()));
    size_t turns = (size_t)s->turns;
    return object_schema(json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "prompt", list_schema(turn, turns, turns),
        "follow_ups", list_schema(follow_up_schema(s), 3, 7), "key_points",
        list_schema(key_point, 1, 4), "advice", list_schema(advice, 1, 3), "never",
        list_schema(text_schema(), 1, 4), "manner", text_schema(), "reply", text_schema(),
        "specialty", text_schema(), "gloss", text_schema()));
}

/* ---- the text ---------------------------------------------------------------------------------- */

static const char *register_text(const char *name)
{
    static const char *const texts[][2] = {
        {"terse", "terse: 5 to 25 words a turn, no greeting"},
        {"rambling", "rambling: wanders off into everyday detail before and after the point"},
        {"anxious", "anxious: repeats the worry and expects the worst"},
        {"expert", "expert: the vocabulary of somebody trained in health care"},
        {"second-language", "second-language: the grammar of somebody who is still learning the "
                            "language; clear in what is meant"},
        {"typo-ridden", "typo-ridden: no capitals, misspelt words, dropped letters, but legible"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i][0], name) == 0) return texts[i][1];
    return name;
}

static const char *request_text(const char *name)
{
    static const char *const texts[][2] = {
        {"symptom", "what a symptom means and what to do about it"},
        {"medicine", "a medicine: whether to take it, with what, or how to go on with it"},
        {"result", "what a test result or a scan report means"},
        {"plan", "a plan: a diet, an exercise programme, a schedule, preparing for something"},
        {"letter", "a letter, form or message to be written for them"},
        {"comparison", "which of two or more treatments or ways is the better one"},
        {"worry", "a general worry, in one line"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i][0], name) == 0) return texts[i][1];
    return name;
}

static void append_context(slm_buffer *out, const synth__scenario *s)
{
    if (s->is_emergency) {
        slm_buffer_append_text(
            out,
            "- Context: an emergency. What was written already shows it, though it comes in the "
            "shape of a harmless request. The only right answer begins with what to do now.\n");
        if (s->is_lacks)
            slm_buffer_append_text(out, "  Details that a helper will want are still missing.\n");
        return;
    }
    if (s->is_lacks) {
        slm_buffer_printf(
            out,
            "- Context: one fact is missing, and the right advice turns on it. Left out is: %s. "
            "The "
            "rest is told, so that somebody in a hurry would answer. The message must not look "
            "unfinished, and must not say that something was left out.\n",
            s->values[SYNTH_LEAVE_OUT]);
        if (strcmp(s->form, "long") == 0)
            slm_buffer_append_text(out,
                                   "- Length: at least 90 words from the user in all, with many "
                                   "details (ages, numbers, what was tried, what is not "
                                   "there), none of which is the missing fact.\n");
        return;
    }
    slm_buffer_append_text(out, "- Context: everything needed is there. The right answer asks "
                                "nothing and is the same whatever else might be asked.\n");
    if (strcmp(s->form, "short") == 0)
        slm_buffer_append_text(out, "- Length: 10 to 60 words. The answer does not depend on who "
                                    "asks.\n");
    if (strcmp(s->form, "supplied") == 0)
        slm_buffer_append_text(out, "- The deciding fact was told in an earlier turn, or the last "
                                    "turn has moved on to something that can be answered.\n");
}

static void append_scenario(slm_buffer *out, const synth__scenario *s)
{
    slm_buffer_append_text(out, "The case:\n");
    slm_buffer_printf(out, "- Who writes: %s.\n", s->values[SYNTH_PERSONA]);
    slm_buffer_printf(out, "- How they write: %s.\n", register_text(s->values[SYNTH_REGISTER]));
    slm_buffer_printf(out, "- What they want: %s.\n", request_text(s->values[SYNTH_REQUEST]));
    slm_buffer_printf(out, "- Once all facts are known it is: %s.\n", s->values[SYNTH_DISPOSITION]);
    slm_buffer_printf(out, "- Difficulty for a careful clinician, 1 to 5: %d.\n", s->difficulty);
    if (s->turns == 1)
        slm_buffer_append_text(out, "- Conversation: one message, by the user.\n");
    else
        slm_buffer_printf(
            out,
            "- Conversation: exactly %d turns, user and assistant in alternation, the "
            "user first and last. The assistant's earlier turns have 100 to 900 "
            "characters each, and some answer too quickly.\n",
            s->turns);
    slm_buffer_printf(out, "- Language of everything but why, topic and specialty: %s.\n",
                      s->values[SYNTH_LANGUAGE]);
    append_context(out, s);
}

static void append_reply_rules(slm_buffer *out, const synth__scenario *s)
{
    slm_buffer_append_text(out,
                           "- reply: the ideal next answer, 60 to 150 words, without headings. ");
    if (s->is_emergency)
        slm_buffer_append_text(out,
                               "Its first sentence is the act, close to the words of the first "
                               "must point; then what to do until help comes; at most one "
                               "question.");
    else if (s->is_lacks)
        slm_buffer_append_text(out,
                               "One sentence that names the concern; then three to five of the "
                               "questions in follow_ups, close to their words, those of the "
                               "highest tier first; then one or two of the advice items as "
                               "\"If ..., ...\".");
    else
        slm_buffer_append_text(out, "The first sentence decides; restate what matters of what was "
                                    "told; say every must point in nearly its words; end with an "
                                    "advice item if it fits. No question mark anywhere.");
    slm_buffer_append_text(out, " No dose, brand, percentage or statistic that the user did not "
                                "bring. No apology, no praise, nothing about being an AI.\n");
}

static void append_rules(slm_buffer *out, const synth__scenario *s)
{
    slm_buffer_append_text(out,
                           "What to write:\n- prompt: the conversation, each turn with role and "
                           "content.\n");
    if (s->is_emergency)
        slm_buffer_append_text(out, "- follow_ups: 3 to 7 questions that a call handler would ask, "
                                    "the deciding ones of tier emergency.\n");
    else if (s->is_lacks)
        slm_buffer_append_text(out, "- follow_ups: 3 to 7 questions worth asking, specific to this "
                                    "problem and not such as fit every case. tier says what the "
                                    "answer decides: emergency (help is needed now), next_step "
                                    "(what to do), cause, other. One to three stand in the highest "
                                    "tier that you use, and they ask for the missing fact.\n");
    else
        slm_buffer_append_text(out,
                               "- follow_ups: 3 to 7 harmless questions, of tier other, that one "
                               "could still ask and need not.\n");
    slm_buffer_append_text(
        out,
        "  Each has a weight from 1 to 5 (how much it matters), why (what its answer decides), "
        "topic (one or two words), and answer: what this user would say, in their own voice and "
        "consistent with everything they wrote.\n"
        "- key_points: 1 to 4 short plain sentences that a correct answer says; must is true "
        "for the one or two that it cannot leave out.\n"
        "- advice: 1 to 3 conditional safety statements, true whenever their if holds: if "
        "(\"you get short of breath\": what the user can notice, without the word if) and then "
        "(\"call an ambulance\").\n"
        "- never: 1 to 4 short statements that would do harm here if somebody believed them.\n"
        "- manner: one sentence on how a good answer to this user is put (level, tone, "
        "length), in English.\n");
    append_reply_rules(out, s);
    slm_buffer_append_text(out, "- specialty: the field of medicine, in lower case English with "
                                "hyphens.\n");
    if (strcmp(s->values[SYNTH_LANGUAGE], "English") == 0)
        slm_buffer_append_text(out, "- gloss: an empty text.\n");
    else
        slm_buffer_append_text(out, "- gloss: the user's turns in English.\n");
    slm_buffer_append_text(out, "No names, addresses, dates of birth, or anything else by which a "
                                "person could be found. No text twice.\n\n");
}

static void append_shape(slm_buffer *out)
{
    slm_buffer_append_text(
        out, "Answer with one JSON object of this shape:\n"
             "{\"prompt\": [{\"role\": \"user\", \"content\": \"...\"}], \"follow_ups\": "
             "[{\"question\": \"...\", \"tier\": \"...\", \"weight\": 5, \"why\": \"...\", "
             "\"topic\": \"...\", \"answer\": \"...\"}], \"key_points\": [{\"text\": \"...\", "
             "\"must\": true}], \"advice\": [{\"if\": \"...\", \"then\": \"...\"}], \"never\": "
             "[\"...\"], \"manner\": \"...\", \"reply\": \"...\", \"specialty\": \"...\", "
             "\"gloss\": \"\"}");
}

/* Member `key` of each object in the list, as "- TEXT" lines, with another member behind it. */
static void append_list(slm_buffer *out, const json_t *list, const char *key, const char *second)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(json_object_get(item, key));
        const char *more = json_string_value(json_object_get(item, second));
        slm_buffer_printf(out, "- %s: %s\n", text != NULL ? text : "", more != NULL ? more : "");
    }
}

/* The case whose twin is wanted, as far as the model has to know it. */
static void append_original(slm_buffer *out, const json_t *row)
{
    const json_t *questions = json_object_get(row, "follow_ups"),
                 *facts = json_object_get(row, "facts"), *question;
    size_t i;
    slm_buffer_append_text(out, "This case lacks the one fact that decides:\n\n");
    append_list(out, json_object_get(row, "prompt"), "role", "content");
    slm_buffer_append_text(out, "\nWhat is worth asking there, and what the user would answer:\n");
    json_array_foreach(questions, i, question)
    {
        slm_buffer_printf(out, "- (%s) %s -> %s\n",
                          json_string_value(json_object_get(question, "tier")),
                          json_string_value(json_object_get(question, "question")),
                          json_string_value(json_object_get(json_array_get(facts, i), "answer")));
    }
    slm_buffer_append_text(
        out,
        "\nWrite its twin: the same person, the same scenario and nearly the same wording, but "
        "now what the questions of the highest tier ask for is told by the user in the "
        "conversation, with the answers above. So that length does not give it away, leave out "
        "a detail that decides nothing. What is right now that the fact is known stands in "
        "key_points and reply.\n\n");
}

void synth__append_prompt(slm_buffer *out, const synth__scenario *s, const json_t *twin_of)
{
    if (twin_of != NULL)
        append_original(out, twin_of);
    else
        slm_buffer_printf(out,
                          "Write one case that is inspired by this question. Take its topic, and "
                          "nothing of its wording:\n\n%s\n\n",
                          s->question->text);
    append_scenario(out, s);
    slm_buffer_append_char(out, '\n');
    append_rules(out, s);
    append_shape(out);
}

void synth__append_repair(slm_buffer *out, const char *problems)
{
    slm_buffer_printf(out,
                      "That case cannot be used yet. What is wrong with it:\n%s\nWrite the whole "
                      "JSON object again with this mended, and keep what was right.",
                      problems);
}
