/* patient.c: who answers the policy's questions.
 *
 * The patient holds the case's facts. What a reply asks was found by matching its questions to the
 * case's follow-ups (read.c); the facts of those that are asked are told, in the order asked, also
 * within a sentence, at most two a turn; a question that no fact answers is answered with not knowing,
 * in the patient's language and register. Nothing is volunteered. Which of several wordings is used
 * depends on seed, case, rollout and turn alone.
 *
 * A chat model can speak in the patient's place: it is given the facts and the same rules. */
#include <stdlib.h>
#include <string.h>
#include "base/random.h"
#include "env/env_internal.h"

enum { FACTS_PER_TURN = 2, PHRASES_MAX = 8 };

typedef struct phrases {
    env__language language;
    const char *register_name; /* NULL: any other */
    const char *texts[PHRASES_MAX];
} phrases;

static const phrases unknowing[] = {
    {ENV__ENGLISH, "terse", {"No idea.", "Don't know.", "Can't say.", "Not sure."}},
    {ENV__ENGLISH,
     "rambling",
     {"Well, that's a thing I really couldn't tell you, nobody has ever asked me that.",
      "Oh, now you ask me something, I wouldn't know, I never paid attention to that.",
      "I've been thinking back and forth, but honestly, I don't know.",
      "That I can't tell you, I'm afraid, I'd have to make it up."}},
    {ENV__ENGLISH,
     "anxious",
     {"I don't know, is that bad?", "I'm not sure, should I have looked for that?",
      "Sorry, I really don't know that.", "I can't say, I'm too nervous to tell."}},
    {ENV__ENGLISH,
     "expert",
     {"Not known.", "I have no information on that.", "That has not been documented.",
      "Not assessed so far."}},
    {ENV__ENGLISH,
     "second-language",
     {"Sorry, this I do not know.", "I don't know about this one.", "I am not sure, I can't say.",
      "This I cannot tell you, sorry."}},
    {ENV__ENGLISH,
     "typo-ridden",
     {"dont know sorry", "no idea tbh", "not sure abuot that", "cant say realy"}},
    {ENV__ENGLISH,
     NULL,
     {"I don't know.", "I'm not sure about that.", "I couldn't say.", "Sorry, I don't know that."}},
    {ENV__SPANISH,
     NULL,
     {"No lo sé.", "De eso no estoy seguro.", "No sabría decirle.", "Eso no lo sé, lo siento."}},
    {ENV__FRENCH,
     NULL,
     {"Je ne sais pas.", "Là, je ne peux pas vous dire.", "Aucune idée, désolé.",
      "Ça, je ne le sais pas."}},
    {ENV__PORTUGUESE,
     NULL,
     {"Não sei.", "Isso eu não sei dizer.", "Não tenho certeza.", "Desculpe, isso eu não sei."}},
    {ENV__HINDI,
     NULL,
     {"मुझे नहीं पता।", "यह मैं नहीं बता सकता।", "इसके बारे में मालूम नहीं।", "पक्का नहीं कह सकता।"}},
    {ENV__SWAHILI, NULL, {"Sijui.", "Hilo silijui.", "Sina uhakika.", "Samahani, sifahamu hilo."}},
};

static const phrases *phrases_of(const slm_case *c, const env__scenario *scenario)
{
    const phrases *any = NULL, *english = NULL;
    for (size_t i = 0; i < sizeof unknowing / sizeof unknowing[0]; i++) {
        const phrases *p = &unknowing[i];
        if (p->language == ENV__ENGLISH && p->register_name == NULL) english = p;
        if (p->language != scenario->language) continue;
        if (p->register_name == NULL)
            any = p;
        else if (c->register_name != NULL && strcmp(p->register_name, c->register_name) == 0)
            return p;
    }
    return any != NULL ? any : english;
}

const char *env__patient_unknowing(const slm_case *c, const env__scenario *scenario, uint64_t seed,
                                   uint32_t rollout, uint32_t turn)
{
    const phrases *p = phrases_of(c, scenario);
    size_t count = 0;
    while (count < PHRASES_MAX && p->texts[count] != NULL)
        count++;
    slm_random_key key = {seed, slm_hash_bytes(c->id, strlen(c->id)), rollout};
    size_t pick = (size_t)(slm_random_at(&key, turn) * (double)count);
    return p->texts[pick < count ? pick : count - 1];
}

/* The target that a fact answers to. */
static size_t target_of(const slm_case *c, const env__scenario *s, size_t fact)
{
    const slm_fact *f = &c->facts[fact];
    if (f->follow_up == NULL) {
        size_t loose = 0;
        for (size_t i = 0; i < fact; i++)
            loose += c->facts[i].follow_up == NULL && c->facts[i].topic != NULL;
        return f->topic == NULL ? SIZE_MAX : s->topics + loose;
    }
    for (size_t i = 0; i < c->follow_up_count; i++)
        if (strcmp(c->follow_ups[i].id, f->follow_up) == 0) return i;
    return SIZE_MAX;
}

const char *env__patient_says(const slm_case *c, const env__scenario *s,
                              const env__reading *reading, bool *told, uint64_t seed,
                              uint32_t rollout, uint32_t turn, slm_arena *arena)
{
    bool *now = slm_arena_array(arena, c->fact_count + 1, sizeof *now);
    slm_buffer out = {0};
    for (size_t n = 0; n < FACTS_PER_TURN && !reading->is_void; n++) {
        size_t first = SIZE_MAX;
        double at = 0;
        for (size_t i = 0; i < c->fact_count; i++) {
            size_t target = target_of(c, s, i);
            if (target == SIZE_MAX || now[i] || reading->asked_at[target] < 0) continue;
            double place = reading->asked_at[target];
            /* What was told before comes last: there is something new to say. */
            bool sooner = first == SIZE_MAX || (told[i] == told[first] ? place < at : told[first]);
            if (!sooner) continue;
            at = place;
            first = i;
        }
        if (first == SIZE_MAX) break;
        now[first] = told[first] = true;
        slm_buffer_printf(&out, "%s%s", out.len > 0 ? " " : "", c->facts[first].answer);
    }
    if (out.len == 0)
        slm_buffer_append_text(&out, env__patient_unknowing(c, s, seed, rollout, turn));
    const char *text = slm_arena_strndup(arena, slm_buffer_text(&out), out.len);
    slm_buffer_free(&out);
    return text;
}

/* ---- a chat model as the patient ----------------------------------------------------------- */

static const char instructions[] =
    "You play a person who writes to a health assistant. You are not an assistant: you never "
    "advise, "
    "and you never ask for more than you asked already.\n"
    "Everything you know beyond your earlier messages stands in the list of facts. Rules:\n"
    "- Tell a fact only when the assistant's last message asks for it, and then plainly.\n"
    "- Tell at most two facts in one message, those that are asked for first.\n"
    "- To everything else say that you do not know. Invent nothing.\n"
    "- Write one or two short sentences, in the language and manner of your earlier messages.\n"
    "- Answer with the message alone.";

void env__patient_request(const slm_case *c, const slm_chat_message *said, size_t said_count,
                          slm_chat_message messages[2], slm_arena *arena)
{
    slm_buffer text = {0};
    slm_buffer_append_text(&text, "The facts:\n");
    for (size_t i = 0; i < c->fact_count; i++)
        slm_buffer_printf(&text, "- %s: %s\n",
                          c->facts[i].topic != NULL ? c->facts[i].topic : "fact",
                          c->facts[i].answer);
    slm_buffer_printf(&text, "Language: %s. Manner: %s.\n\nThe conversation so far:\n",
                      c->language != NULL ? c->language : "as before",
                      c->register_name != NULL ? c->register_name : "as before");
    for (size_t i = 0; i < said_count; i++) {
        if (strcmp(said[i].role, "system") == 0) continue;
        slm_buffer_printf(&text, "%s: %s\n",
                          strcmp(said[i].role, "user") == 0 ? "You" : "Assistant", said[i].content);
    }
    slm_buffer_append_text(&text, "\nYour next message:");
    messages[0] = (slm_chat_message){.role = "system", .content = instructions};
    messages[1] = (slm_chat_message){
        .role = "user", .content = slm_arena_strndup(arena, slm_buffer_text(&text), text.len)};
    slm_buffer_free(&text);
}

void env__patient_hash(slm_sha256 *hash)
{
    slm_sha256_update_part(hash, instructions);
    for (size_t i = 0; i < sizeof unknowing / sizeof unknowing[0]; i++) {
        slm_sha256_update_part(hash, unknowing[i].register_name);
        for (size_t t = 0; t < PHRASES_MAX; t++)
            slm_sha256_update_part(hash, unknowing[i].texts[t]);
    }
}
