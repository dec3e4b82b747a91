/* language.c: which of six languages a text is in.
 *
 * Hindi is told by its script. English, Spanish, French, Portuguese and Swahili share theirs; they are
 * told by their function words, counted with those that two of them share left out where they say
 * nothing ("a", "no"). The most hits win if they are enough and clear; else it is not known, and
 * nobody is blamed. The lists are function words that any grammar has. */
#include <string.h>
#include "base/utf8.h"
#include "env/env_internal.h"

enum { TOKEN_BYTES = 24, HITS_MIN = 3 };
static const double CLEARLY = 1.25;            /* more hits than any other language */
static const double HITS_SHARE_MIN = 0.08;     /* of the words */
static const double FOREIGN_SCRIPT_FREE = 0.1; /* share of letters of another script */
static const double LATIN_IN_HINDI_FREE = 0.3; /* names of tests and medicines */

static const char *const names[ENV__LANGUAGES] = {
    [ENV__ENGLISH] = "English",       [ENV__SPANISH] = "Spanish", [ENV__FRENCH] = "French",
    [ENV__PORTUGUESE] = "Portuguese", [ENV__HINDI] = "Hindi",     [ENV__SWAHILI] = "Swahili"};

static const char *const function_words[ENV__LANGUAGES] = {
    [ENV__ENGLISH] = "the and you your is are to of in for with this that it not have has do does "
                     "if or on at be can will was were as from by but they he she his her what "
                     "when how any an there may should would could until than then",
    [ENV__SPANISH] = "el los las una del que en es por con para su sus se lo le y si sí pero más "
                     "como muy ha hay está usted tiene cuando también esta este desde hasta sin ya "
                     "al qué o son",
    [ENV__FRENCH] = "le les des une du est et vous votre vos que qui dans pour avec sur pas ne il "
                    "elle ce cette ou où au aux par plus si ou avez êtes sont mais depuis sans "
                    "quand on se en d l n qu",
    [ENV__PORTUGUESE] = "o os as um uma do da dos das em no na que é e com para por não se mais ou "
                        "seu sua você ao à pelo pela está são tem mas também foi isso já até como "
                        "quando sem",
    [ENV__SWAHILI] = "na ya wa kwa ni la za katika hii hiyo huo kama je au lakini si yako wako "
                     "zako cha vya sana kila hadi bila pia ili una ana kuwa baada kabla sasa leo "
                     "mara tu hata bado",
};

env__language env__language_named(const char *name)
{
    for (int i = 0; name != NULL && i < ENV__LANGUAGES; i++)
        if (names[i] != NULL && strcmp(names[i], name) == 0) return (env__language)i;
    return ENV__LANGUAGE_UNKNOWN;
}

typedef struct scripts {
    size_t latin, devanagari, other;
    size_t words, hits[ENV__LANGUAGES];
} scripts;

bool env__among(const char *words, const char *token, size_t len)
{
    for (const char *at = words; *at != '\0';) {
        size_t n = strcspn(at, " ");
        if (n == len && memcmp(at, token, len) == 0) return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

static void see_word(scripts *s, const char *word, size_t len)
{
    if (len == 0) return;
    s->words++;
    for (int i = 0; i < ENV__LANGUAGES; i++)
        if (function_words[i] != NULL) s->hits[i] += env__among(function_words[i], word, len);
}

static scripts scripts_of(const char *text)
{
    scripts s = {0};
    size_t len = strlen(text), word_len = 0;
    char word[TOKEN_BYTES];
    slm_buffer folded = {0};
    slm_utf8_append_casefold(&folded, text, len);
    const char *at = slm_buffer_text(&folded);
    for (size_t i = 0; i < folded.len;) {
        uint32_t c = 0;
        size_t step = slm_utf8_decode(at + i, folded.len - i, &c);
        bool devanagari = c >= 0x900 && c <= 0x97F && c != 0x964 && c != 0x965;
        bool letter = devanagari || slm_utf8_is_letter(c);
        if (letter) {
            if (devanagari)
                s.devanagari++;
            else if (c < 0x250 || (c >= 0x1E00 && c <= 0x1EFF))
                s.latin++;
            else
                s.other++;
            if (word_len + step <= TOKEN_BYTES) memcpy(word + word_len, at + i, step);
            word_len += step;
        } else {
            see_word(&s, word, word_len <= TOKEN_BYTES ? word_len : 0);
            word_len = 0;
        }
        i += step;
    }
    see_word(&s, word, word_len <= TOKEN_BYTES ? word_len : 0);
    slm_buffer_free(&folded);
    return s;
}

static env__language told_by(const scripts *s)
{
    size_t letters = s->latin + s->devanagari + s->other;
    if (letters == 0) return ENV__LANGUAGE_UNKNOWN;
    if (2 * s->devanagari > letters) return ENV__HINDI;
    if (2 * s->other > letters) return ENV__LANGUAGE_OTHER;
    size_t best = ENV__LANGUAGE_UNKNOWN, second = 0;
    for (size_t i = ENV__ENGLISH; i <= ENV__SWAHILI; i++) {
        if (s->hits[i] > s->hits[best]) {
            second = s->hits[best];
            best = i;
        } else if (s->hits[i] > second) {
            second = s->hits[i];
        }
    }
    if (s->hits[best] < HITS_MIN || (double)s->hits[best] < HITS_SHARE_MIN * (double)s->words ||
        (double)s->hits[best] < CLEARLY * (double)second)
        return ENV__LANGUAGE_UNKNOWN;
    return (env__language)best;
}

env__language env__language_of(const char *text)
{
    scripts s = scripts_of(text);
    return told_by(&s);
}

double env__language_penalty(const char *reply, env__language wanted)
{
    scripts s = scripts_of(reply);
    env__language told = told_by(&s);
    size_t letters = s.latin + s.devanagari + s.other;
    if (letters == 0) return 0;
    if (told != ENV__LANGUAGE_UNKNOWN && told != wanted) return -1;
    /* Too short to tell by words, but not by its script. */
    if (wanted == ENV__HINDI && told == ENV__LANGUAGE_UNKNOWN && s.latin > s.devanagari) return -1;
    size_t foreign = wanted == ENV__HINDI            ? s.latin + s.other
                     : wanted == ENV__LANGUAGE_OTHER ? 0
                                                     : s.devanagari + s.other;
    double free = wanted == ENV__HINDI ? LATIN_IN_HINDI_FREE : FOREIGN_SCRIPT_FREE;
    double share = (double)foreign / (double)letters;
    return share <= free ? 0 : -(share - free) / (1 - free);
}
