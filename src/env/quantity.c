/* quantity.c: numbers with units, and statistics, in a text.
 *
 * What a reply claims in numbers must come from the conversation or the case. A quantity is a number
 * (digits, or a word up to twenty) and a unit beside it: behind it, or before it as in Swahili. Units
 * of one dimension are counted in one of them, so that "two weeks" stands where "14 days" did. A range
 * gives both of its ends the unit. Statistics are percentages, "1 in 10" (but not "4 in 24 hours") and
 * "9 out of 10". A bare number is none: telephone numbers, years and list items mean nothing here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "env/env_internal.h"

enum {
    TIME = 1, /* hours */
    MASS,     /* milligrams */
    VOLUME,   /* millilitres */
    LENGTH,   /* centimetres */
    DEGREES,
    PERCENT,
    SHARE, /* a in b */
    DOSES,
    PRESSURE,
    AMOUNT, /* millimoles */
    UNITS,  /* international */
    TOKEN_BYTES = 32,
};

typedef struct unit {
    const char *words; /* separated by spaces */
    int dimension;
    double factor;
} unit;

static const unit units[] = {
    {"s sec secs second seconds segundo segundos seconde secondes सेकंड sekunde", TIME, 1 / 3600.0},
    {"min mins minute minutes minuto minutos मिनट dakika", TIME, 1 / 60.0},
    {"h hr hrs hour hours hora horas heure heures घंटे घंटा घंटों saa masaa", TIME, 1},
    {"day days día días dia dias jour jours दिन दिनों siku", TIME, 24},
    {"week weeks wk wks semana semanas semaine semaines हफ़्ते हफ़्ता हफ्ते हफ्ता सप्ताह wiki", TIME, 168},
    {"month months mes meses mois mês महीने महीना महीनों mwezi miezi", TIME, 720},
    {"year years yr yrs año años ano anos an ans année années साल वर्ष mwaka miaka", TIME, 8760},
    {"mcg µg μg ug microgram micrograms microgramme microgrammes", MASS, 0.001},
    {"mg milligram milligrams milligramme milligrammes miligramo miligramos miligrama miligramas "
     "मिलीग्राम miligramu",
     MASS, 1},
    {"g gram grams gramme grammes gramo gramos grama gramas ग्राम gramu", MASS, 1000},
    {"kg kgs kilo kilos kilogram kilograms किलो", MASS, 1e6},
    {"ml millilitre millilitres milliliter milliliters mililitro mililitros मिली", VOLUME, 1},
    {"l litre litres liter liters litro litros लीटर lita", VOLUME, 1000},
    {"mm millimetre millimetres millimeter millimeters", LENGTH, 0.1},
    {"cm centimetre centimetres centimeter centimeters centímetro centímetros सेंटीमीटर", LENGTH, 1},
    {"degrees degree °c °f ° grados degrés graus डिग्री", DEGREES, 1},
    {"% percent percentage प्रतिशत asilimia", PERCENT, 1},
    {"tablet tablets pill pills capsule capsules dose doses puff puffs drop drops spoonful "
     "spoonfuls "
     "teaspoon teaspoons tablespoon tablespoons comprimido comprimidos comprimé comprimés pastilla "
     "pastillas gotas gouttes dosis गोली गोलियाँ vidonge kidonge",
     DOSES, 1},
    {"mmhg", PRESSURE, 1},
    {"mmol millimoles", AMOUNT, 1},
    {"iu units", UNITS, 1},
};

typedef struct number_word {
    const char *words;
    double value;
} number_word;
static const number_word number_words[] = {
    {"one un une uno um uma एक moja", 1},  {"two deux dos dois duas दो mbili", 2},
    {"three trois tres três तीन tatu", 3}, {"four quatre cuatro quatro चार nne", 4},
    {"five cinq cinco पाँच पांच tano", 5},   {"six seis छह छः sita", 6},
    {"seven sept siete sete सात saba", 7}, {"eight huit ocho oito आठ nane", 8},
    {"nine neuf nueve nove नौ tisa", 9},   {"ten dix diez dez दस kumi", 10},
    {"eleven onze once ग्यारह", 11},        {"twelve douze doce doze बारह", 12},
    {"fifteen quinze quince पंद्रह", 15},    {"twenty vingt veinte vinte बीस ishirini", 20},
    {"thirty trente treinta trinta", 30},
};

typedef struct token {
    char text[TOKEN_BYTES]; /* folded; longer ones are cut and are no unit then */
    size_t len;
    bool is_number, is_word_number;
    bool is_apart; /* a full stop or the like stands before it */
    double value;
    const unit *unit;
} token;

static bool is_digit(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 0x966 && c <= 0x96F);
}

static void finish(token *t)
{
    if (t->is_number) return;
    for (size_t i = 0; i < sizeof number_words / sizeof number_words[0]; i++) {
        if (!env__among(number_words[i].words, t->text, t->len)) continue;
        t->is_number = t->is_word_number = true;
        t->value = number_words[i].value;
        return;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (env__among(units[i].words, t->text, t->len)) t->unit = &units[i];
}

/* Letters with their vowel signs; not the full stops, nor the digits. */
static bool is_devanagari(uint32_t c)
{
    return c >= 0x900 && c <= 0x97F && c != 0x964 && c != 0x965 && !is_digit(c);
}

/* How many digits stand at text, up to 4. */
static size_t digits_at(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t at = 0; count < 4 && at < len; count++) {
        uint32_t c = 0;
        at += slm_utf8_decode(text + at, len - at, &c);
        if (!is_digit(c)) break;
    }
    return count;
}

/* A number at text: digits, a decimal point or comma, thousands by commas. Returns its length. */
static size_t read_number(const char *text, size_t len, double *value)
{
    double whole = 0, scale = 0;
    size_t at = 0;
    while (at < len) {
        uint32_t c = 0;
        size_t step = slm_utf8_decode(text + at, len - at, &c);
        if (is_digit(c)) {
            double digit = (double)(c < 0x80 ? c - '0' : c - 0x966);
            whole = scale > 0 ? whole + digit * scale : whole * 10 + digit;
            scale /= 10;
            at += step;
            continue;
        }
        if ((c != '.' && c != ',') || scale > 0) break;
        size_t digits = digits_at(text + at + 1, len - at - 1);
        if (digits == 0) break;
        if (c == '.' || digits != 3) scale = 0.1; /* 1,000 is a thousand, 1,5 one and a half */
        at++;
    }
    *value = whole;
    return at;
}

/* The next token from *at on; false at the end. Letters run together, and so do digits: "500mg" is
 * two tokens. */
static bool next_token(const char *text, size_t len, size_t *at, token *out)
{
    *out = (token){0};
    while (*at < len) {
        uint32_t c = 0;
        size_t step = slm_utf8_decode(text + *at, len - *at, &c);
        if (is_digit(c)) {
            *at += read_number(text + *at, len - *at, &out->value);
            out->is_number = true;
            return true;
        }
        bool symbol = c == '%' || c == 0xB0;
        if (!symbol && !is_devanagari(c) && !slm_utf8_is_letter(c)) {
            *at += step;
            out->is_apart |= c == 0x964 || (c < 0x80 && strchr(".;:!?\n", (int)c) != NULL);
            continue;
        }
        slm_buffer word = {0};
        do {
            slm_utf8_append_casefold(&word, text + *at, step);
            *at += step;
            if (c == '%' || *at >= len) break;
            step = slm_utf8_decode(text + *at, len - *at, &c);
        } while (!is_digit(c) && c != '%' && (is_devanagari(c) || slm_utf8_is_letter(c)));
        out->len = word.len < TOKEN_BYTES ? word.len : TOKEN_BYTES - 1;
        memcpy(out->text, slm_buffer_text(&word), out->len);
        slm_buffer_free(&word);
        finish(out);
        return true;
    }
    return false;
}

static void add(env__quantities *list, int dimension, double value)
{
    env__quantity quantity = {dimension, value};
    if (env__quantities_have(list, &quantity)) return;
    if (list->count == list->cap) {
        list->cap = list->cap > 0 ? 2 * list->cap : 16;
        list->items = realloc(list->items, list->cap * sizeof *list->items);
        if (list->items == NULL) slm_out_of_memory(list->cap * sizeof *list->items);
    }
    list->items[list->count++] = quantity;
}

static bool is_word(const token *t, const char *words)
{
    return !t->is_number && t->len > 0 && env__among(words, t->text, t->len);
}

/* "In your 40s": years, and nobody's dose. */
static bool is_decade(const token *s, const token *before)
{
    return env__among("s", s->text, s->len) &&
           is_word(before, "the your his her their my our early mid late");
}

/* A number and its unit, and what stands before them: "2 to 3 days", "2-3 days", "दो तीन दिन". */
static void add_measured(env__quantities *list, const unit *u, const token *number,
                         const token *before, const token *first)
{
    add(list, u->dimension, number->value * u->factor);
    if (is_word(before, "to or and a o ou à y et e ou au hadi से या")) {
        if (first->is_number) add(list, u->dimension, first->value * u->factor);
    } else if (before->is_number && !number->is_apart &&
               !env__among("once", before->text, before->len)) {
        add(list, u->dimension, before->value * u->factor); /* "once" is eleven in Spanish alone */
    }
}

void env__quantities_add(env__quantities *list, const char *text)
{
    size_t len = strlen(text), at = 0;
    token window[4] = {{.len = 0}}; /* the last four, the newest at 3 */
    token t;
    double share = 0; /* "4 in 24", if no unit follows */
    while (next_token(text, len, &at, &t)) {
        memmove(window, window + 1, 3 * sizeof *window);
        window[3] = t;
        const token *one = &window[2], *two = &window[1], *three = &window[0];
        if (t.is_apart) t.unit = NULL; /* of no number before it: "Call 112. Hours count." */
        if (share > 0 && t.unit == NULL) add(list, SHARE, share);
        share = 0;
        if (t.unit != NULL && one->is_number) {
            if (!is_decade(&t, two)) add_measured(list, t.unit, one, two, three);
        } else if (t.unit != NULL && one->unit == NULL && two->is_number &&
                   is_word(one, "per por pour full whole more")) {
            if (!is_word(one, "per por pour")) /* "two full weeks" */
                add(list, t.unit->dimension, two->value * t.unit->factor);
        } else if (is_word(&t, "cent ciento cento") && is_word(one, "per por pour") &&
                   two->is_number) {
            add(list, PERCENT, two->value);
        } else if (t.is_number && !t.is_apart && one->unit != NULL && !two->is_number &&
                   !t.is_word_number &&
                   env__among(
                       "saa masaa dakika siku wiki mwezi miezi mwaka miaka asilimia cm mg ml kg "
                       "gramu vidonge kidonge lita kilo",
                       one->text, one->len)) {
            add(list, one->unit->dimension, t.value * one->unit->factor);
        } else if (t.is_number && t.value > 0 && two->is_number &&
                   is_word(one, "in sur em en de kati")) {
            if (two->value < t.value) share = two->value / t.value;
        } else if (t.is_number && t.value > 0 && is_word(one, "of") && is_word(two, "out") &&
                   three->is_number) {
            add(list, SHARE, three->value / t.value);
        }
    }
    if (share > 0) add(list, SHARE, share);
}

bool env__quantities_have(const env__quantities *list, const env__quantity *quantity)
{
    for (size_t i = 0; i < list->count; i++) {
        const env__quantity *q = &list->items[i];
        if (q->dimension == quantity->dimension &&
            fabs(q->value - quantity->value) <= 1e-6 * (fabs(q->value) + 1e-6))
            return true;
    }
    return false;
}

void env__quantities_free(env__quantities *list)
{
    free(list->items);
    *list = (env__quantities){0};
}
