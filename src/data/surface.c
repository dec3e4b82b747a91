/* surface.c: do looks alone tell the cases that lack context from those that have enough?
 *
 * If they do, a model can pass by learning the look. So a plain model is given nothing but six
 * counts over what the user wrote (length, turns, digits, commas, negations, units; each as
 * log(1 + n)) and must fail: its area under the ROC curve may be at most 0.60 over all cases that are
 * no emergencies, and within every register.
 *
 * The model is a logistic regression with a ridge of 1 on standardised counts, fitted by Newton's
 * method (Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 4.4.1). It is
 * judged out of fold: ten folds of whole families, for a twin in the training fold would give the
 * other one away; five ways of making the folds are averaged. Within a register two models are
 * asked, one fitted on that register alone and the one fitted on everything, and the larger area
 * counts. Nothing is drawn at random: folds come from hashes of the family names.
 *
 * Below 25 cases of either kind the area is shown and not judged: its standard error (Hanley and
 * McNeil 1982) is then past 0.07, and a fair coin would fail every other time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/hash.h"
#include "base/utf8.h"
#include "data/inspect_internal.h"

enum { FOLDS = 10, REPEATS = 5, WEIGHTS = DATA__SURFACE_FEATURES + 1, JUDGED_FROM = 25 };

const char *const data__surface_names[DATA__SURFACE_FEATURES] = {"length", "turns",     "digits",
                                                                 "commas", "negations", "units"};

/* ---- counting ------------------------------------------------------------------------------ */

/* Case-folded, without apostrophes. A trailing '*' matches any ending. */
static const char *const negations_english[] = {
    "no",      "not",     "never",    "none",   "nothing",  "nobody",  "nowhere", "neither",
    "nor",     "without", "cannot",   "cant",   "dont",     "doesnt",  "didnt",   "isnt",
    "arent",   "wasnt",   "werent",   "havent", "hasnt",    "hadnt",   "wont",    "wouldnt",
    "couldnt", "mustnt",  "neednt",   "aint",   "shouldnt", "dosent",  "doesent", "nt",
    "nope",    "non",     "negative", "denies", "shant",    "mightnt", NULL};
static const char *const negations_spanish[] = {
    "no",       "nunca",  "jamás",  "jamas", "nada",    "nadie", "ninguno", "ninguna",
    "ningunos", "ningun", "ningún", "ni",    "tampoco", "sin",   NULL};
static const char *const negations_french[] = {"ne",    "n",      "pas", "jamais", "rien",
                                               "aucun", "aucune", "ni",  "sans",   "non",
                                               "nul",   "nulle",  NULL};
static const char *const negations_portuguese[] = {
    "não",    "nao",     "nunca", "jamais", "nada",     "ninguém", "ninguem",
    "nenhum", "nenhuma", "nem",   "sem",    "tampouco", NULL};
static const char *const negations_hindi[] = {"नहीं",  "नही",  "नहि",   "न",    "ना",   "मत",
                                              "बिना", "nahi", "nahin", "nahi", "bina", NULL};
static const char *const negations_swahili[] = {
    "hapana",  "si",     "sio",     "siyo",    "sina",   "hana",   "hatuna", "hawana",  "haina",
    "hazina",  "hakuna", "bila",    "kamwe",   "wala",   "sijui",  "hajui",  "siwezi",  "hawezi",
    "haiwezi", "sitaki", "hataki",  "sipati",  "hapati", "hali",   "hanywi", "hatumii", "situmii",
    "haija*",  "haja*",  "hawaja*", "hatuja*", "haku*",  "sikuwa", "sija*",  NULL};

/* Measures, then spans of time in the six languages: what a number counts. */
static const char *const units[] = {
    "mg",      "mcg",     "µg",      "μg",         "ug",      "g",      "gram",    "grams",
    "kg",      "kgs",     "kilo",    "kilos",      "lb",      "lbs",    "pound",   "pounds",
    "stone",   "ml",      "mls",     "l",          "litre",   "litres", "liter",   "liters",
    "cm",      "mm",      "km",      "inch",       "inches",  "ft",     "feet",    "iu",
    "unit",    "units",   "mmol",    "mmhg",       "bpm",     "mgdl",   "dl",      "percent",
    "degrees", "degree",  "celsius", "fahrenheit", "c",       "f",      "mph",     "puffs",
    "drops",   "tablets", "tablet",  "pills",      "pill",    "second", "seconds", "sec",
    "min",     "mins",    "minute",  "minutes",    "hour",    "hours",  "hr",      "hrs",
    "h",       "day",     "days",    "week",       "weeks",   "wk",     "wks",     "month",
    "months",  "mo",      "year",    "years",      "yr",      "yrs",    "yo",      "día",
    "dias",    "días",    "dia",     "semana",     "semanas", "mes",    "meses",   "mês",
    "año",     "años",    "ano",     "anos",       "hora",    "horas",  "minuto",  "minutos",
    "jour",    "jours",   "semaine", "semaines",   "mois",    "an",     "ans",     "heure",
    "heures",  "दिन",     "दिनों",    "हफ्ते",        "हफ़्ते",     "महीने",   "साल",     "घंटे",
    "मिनट",    "siku",    "wiki",    "mwezi",      "miezi",   "mwaka",  "miaka",   "saa",
    "dakika",  NULL};

static const char *const *negations_of(const char *language)
{
    static const struct {
        const char *prefix;
        const char *const *words;
    } lists[] = {{"spanish", negations_spanish},       {"es", negations_spanish},
                 {"french", negations_french},         {"fr", negations_french},
                 {"portuguese", negations_portuguese}, {"pt", negations_portuguese},
                 {"hindi", negations_hindi},           {"hi", negations_hindi},
                 {"swahili", negations_swahili},       {"sw", negations_swahili}};
    for (size_t i = 0; language != NULL && i < sizeof lists / sizeof lists[0]; i++)
        if (strncasecmp(language, lists[i].prefix, strlen(lists[i].prefix)) == 0)
            return lists[i].words;
    return negations_english;
}

static bool listed(const char *const *list, const char *word, size_t len)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        size_t entry = strlen(list[i]);
        if (list[i][entry - 1] == '*') {
            if (len > entry && strncmp(list[i], word, entry - 1) == 0) return true;
        } else if (entry == len && memcmp(list[i], word, len) == 0) {
            return true;
        }
    }
    return false;
}

/* A unit stands alone or behind its number: "mg", "500mg". Single letters only behind one. */
static bool is_unit(const char *word, size_t len)
{
    size_t digits = 0;
    while (digits < len && word[digits] >= '0' && word[digits] <= '9')
        digits++;
    if (digits == 0 && len == 1) return false;
    if (digits == len) return false;
    return listed(units, word + digits, len - digits);
}

static void count_word(const slm_buffer *word, const char *const *negations,
                       double out[DATA__SURFACE_FEATURES])
{
    if (word->len == 0) return;
    out[0] += 1;
    out[4] += listed(negations, word->data, word->len);
    out[5] += is_unit(word->data, word->len);
}

static void count_text(const char *text, const char *const *negations,
                       double out[DATA__SURFACE_FEATURES])
{
    slm_buffer fold = {0}, word = {0};
    slm_utf8_append_casefold(&fold, text, strlen(text));
    for (size_t at = 0; at < fold.len;) {
        uint32_t point = 0;
        size_t step = slm_utf8_decode(fold.data + at, fold.len - at, &point);
        bool apostrophe = point == '\'' || point == 0x2019;
        bool gap = slm_utf8_is_space(point) || slm_utf8_is_punctuation(point);
        out[2] += slm_utf8_is_digit(point);
        out[3] += point == ',' || point == 0x060C || point == 0x3001 || point == 0xFF0C;
        out[5] += point == '%' || point == 0xB0; /* per cent, degrees */
        /* French cuts at its apostrophe (n'ai); English runs through it (don't). */
        if (gap && !(apostrophe && negations != negations_french)) {
            count_word(&word, negations, out);
            slm_buffer_truncate(&word, 0);
        } else if (!gap) {
            slm_buffer_append(&word, fold.data + at, step);
        }
        at += step;
    }
    count_word(&word, negations, out);
    slm_buffer_free(&fold);
    slm_buffer_free(&word);
}

void data__surface_count(const slm_case *c, double out[DATA__SURFACE_FEATURES])
{
    memset(out, 0, DATA__SURFACE_FEATURES * sizeof *out);
    const char *const *negations = negations_of(c->language);
    for (size_t t = 0; t < c->turn_count; t++)
        if (strcmp(c->turns[t].role, "user") == 0) count_text(c->turns[t].content, negations, out);
    out[1] = (double)c->turn_count;
}

/* ---- area under the curve ------------------------------------------------------------------ */

typedef struct ranked {
    double score;
    int label;
} ranked;

static int by_score(const void *a, const void *b)
{
    double x = ((const ranked *)a)->score, y = ((const ranked *)b)->score;
    return (x > y) - (x < y);
}

double data__auc(const double *scores, const int *labels, size_t n)
{
    ranked *all = malloc((n + 1) * sizeof *all);
    if (all == NULL) slm_out_of_memory(n * sizeof *all);
    double positives = 0, ranks = 0;
    for (size_t i = 0; i < n; i++)
        all[i] = (ranked){scores[i], labels[i]};
    if (n > 1) qsort(all, n, sizeof *all, by_score);
    for (size_t begin = 0; begin < n;) {
        size_t end = begin + 1;
        while (end < n && all[end].score == all[begin].score)
            end++;
        double rank = (double)(begin + 1 + end) / 2; /* the mean of ranks begin+1..end */
        for (size_t i = begin; i < end; i++)
            if (all[i].label) {
                positives += 1;
                ranks += rank;
            }
        begin = end;
    }
    free(all);
    double negatives = (double)n - positives;
    if (positives == 0 || negatives == 0) return NAN;
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives);
}

/* ---- the model ----------------------------------------------------------------------------- */

typedef struct model {
    double mean[DATA__SURFACE_FEATURES], scale[DATA__SURFACE_FEATURES];
    double weights[WEIGHTS]; /* the last one is the intercept */
} model;

static double model_score(const model *m, const double x[DATA__SURFACE_FEATURES])
{
    double sum = m->weights[WEIGHTS - 1];
    for (size_t j = 0; j < DATA__SURFACE_FEATURES; j++)
        sum += m->weights[j] * (x[j] - m->mean[j]) * m->scale[j];
    return sum;
}

/* a x = b for a symmetric positive definite a, by Cholesky; the solution replaces b. */
static bool solve(double a[WEIGHTS][WEIGHTS], double b[WEIGHTS])
{
    for (size_t i = 0; i < WEIGHTS; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i][j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i][k] * a[j][k];
            if (i == j && sum <= 0) return false;
            a[i][j] = i == j ? sqrt(sum) : sum / a[j][j];
        }
    for (size_t i = 0; i < WEIGHTS; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (size_t i = WEIGHTS; i-- > 0;) {
        for (size_t k = i + 1; k < WEIGHTS; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

static void standardise(model *m, const double (*x)[DATA__SURFACE_FEATURES], const bool *use,
                        size_t n)
{
    for (size_t j = 0; j < DATA__SURFACE_FEATURES; j++) {
        double sum = 0, square = 0, count = 0;
        for (size_t i = 0; i < n; i++) {
            if (!use[i]) continue;
            count += 1;
            sum += x[i][j];
        }
        m->mean[j] = count > 0 ? sum / count : 0;
        for (size_t i = 0; i < n; i++)
            if (use[i]) square += (x[i][j] - m->mean[j]) * (x[i][j] - m->mean[j]);
        m->scale[j] = square > 1e-12 * count ? sqrt(count / square) : 0;
    }
}

/* Newton's method on the penalised log-likelihood; the intercept carries no penalty worth naming. */
static model fit(const double (*x)[DATA__SURFACE_FEATURES], const int *labels, const bool *use,
                 size_t n)
{
    model m = {0};
    standardise(&m, x, use, n);
    for (int step = 0; step < 30; step++) {
        double hessian[WEIGHTS][WEIGHTS] = {{0}}, gradient[WEIGHTS] = {0};
        for (size_t j = 0; j < WEIGHTS; j++) {
            double ridge = j + 1 < WEIGHTS ? 1 : 1e-6;
            hessian[j][j] = ridge;
            gradient[j] = -ridge * m.weights[j];
        }
        for (size_t i = 0; i < n; i++) {
            if (!use[i]) continue;
            double z[WEIGHTS];
            for (size_t j = 0; j < DATA__SURFACE_FEATURES; j++)
                z[j] = (x[i][j] - m.mean[j]) * m.scale[j];
            z[WEIGHTS - 1] = 1;
            double p = 1 / (1 + exp(-model_score(&m, x[i])));
            for (size_t j = 0; j < WEIGHTS; j++) {
                gradient[j] += (labels[i] - p) * z[j];
                for (size_t k = 0; k <= j; k++)
                    hessian[j][k] += p * (1 - p) * z[j] * z[k];
            }
        }
        if (!solve(hessian, gradient)) break;
        double largest = 0;
        for (size_t j = 0; j < WEIGHTS; j++) {
            m.weights[j] += gradient[j];
            largest = fmax(largest, fabs(gradient[j]));
        }
        if (largest < 1e-9) break;
    }
    return m;
}

/* ---- folds of families --------------------------------------------------------------------- */

typedef struct family_key {
    uint64_t order;
    const char *name;
    size_t index; /* of its first case */
    int kinds;    /* 1 lacks, 2 enough, 3 both: dealt out separately, so that folds are alike */
} family_key;

static int by_kind_and_order(const void *a, const void *b)
{
    const family_key *x = a, *y = b;
    if (x->kinds != y->kinds) return x->kinds - y->kinds;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void deal(const char *const *family, const int *labels, size_t n, size_t repeat,
                 size_t *fold)
{
    data__set names = {0};
    family_key *keys = calloc(n + 1, sizeof *keys);
    size_t *of = calloc(n + 1, sizeof *of), *fold_of = calloc(n + 1, sizeof *fold_of);
    if (keys == NULL || of == NULL || fold_of == NULL) slm_out_of_memory(n * sizeof *keys);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = data__set_put(&names, family[i], count);
        if (at == SIZE_MAX) {
            at = count++;
            keys[at] = (family_key){
                .order = data__mix(slm_hash_bytes(family[i], strlen(family[i])), repeat),
                .name = family[i],
                .index = at};
        }
        keys[at].kinds |= labels[i] ? 2 : 1;
        of[i] = at;
    }
    if (count > 1) qsort(keys, count, sizeof *keys, by_kind_and_order);
    for (size_t i = 0; i < count; i++)
        fold_of[keys[i].index] = i % FOLDS;
    for (size_t i = 0; i < n; i++)
        fold[i] = fold_of[of[i]];
    data__set_free(&names);
    free(keys);
    free(of);
    free(fold_of);
}

double data__surface_auc(const double (*x)[DATA__SURFACE_FEATURES], const int *labels,
                         const char *const *family, size_t n, double *pooled_scores)
{
    size_t *fold = calloc(n + 1, sizeof *fold);
    bool *use = calloc(n + 1, sizeof *use);
    double *scores = calloc(n + 1, sizeof *scores);
    if (fold == NULL || use == NULL || scores == NULL) slm_out_of_memory(n * sizeof *scores);
    double sum = 0;
    if (pooled_scores != NULL) memset(pooled_scores, 0, n * sizeof *pooled_scores);
    for (size_t repeat = 0; repeat < REPEATS; repeat++) {
        deal(family, labels, n, repeat, fold);
        for (size_t f = 0; f < FOLDS; f++) {
            for (size_t i = 0; i < n; i++)
                use[i] = fold[i] != f;
            model m = fit(x, labels, use, n);
            for (size_t i = 0; i < n; i++)
                if (!use[i]) scores[i] = model_score(&m, x[i]);
        }
        sum += data__auc(scores, labels, n);
        for (size_t i = 0; pooled_scores != NULL && i < n; i++)
            pooled_scores[i] += scores[i] / REPEATS;
    }
    free(fold);
    free(use);
    free(scores);
    return sum / REPEATS;
}

/* ---- the check ----------------------------------------------------------------------------- */

typedef struct sample {
    double (*raw)[DATA__SURFACE_FEATURES], (*x)[DATA__SURFACE_FEATURES];
    int *labels; /* 1: enough */
    const char **family, **group;
    double *scores; /* of the model over everything; NULL where there is none */
    size_t count, lacks;
} sample;

static sample sample_new(slm_arena *arena, size_t cap)
{
    return (sample){.raw = slm_arena_array(arena, cap, sizeof *(sample){0}.raw),
                    .x = slm_arena_array(arena, cap, sizeof *(sample){0}.x),
                    .labels = slm_arena_array(arena, cap, sizeof(int)),
                    .family = slm_arena_array(arena, cap, sizeof(char *)),
                    .group = slm_arena_array(arena, cap, sizeof(char *)),
                    .scores = slm_arena_array(arena, cap, sizeof(double))};
}

static sample part_of(const sample *all, const char *group, slm_arena *arena)
{
    sample part = sample_new(arena, all->count);
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->group[i], group) != 0) continue;
        memcpy(part.raw[part.count], all->raw[i], sizeof *part.raw);
        memcpy(part.x[part.count], all->x[i], sizeof *part.x);
        part.labels[part.count] = all->labels[i];
        part.family[part.count] = all->family[i];
        part.scores[part.count] = all->scores[i];
        part.lacks += !all->labels[i];
        part.count++;
    }
    return part;
}

typedef struct surface_test {
    data__inspection *in;
    slm_buffer table;
    json_t *groups;
    size_t judged, failed;
    double worst;
} surface_test;

static void judge_group(surface_test *t, const char *name, const sample *s, double auc)
{
    size_t enough = s->count - s->lacks;
    bool judged = s->lacks >= JUDGED_FROM && enough >= JUDGED_FROM;
    bool fails = judged && auc > t->in->options->surface_auc;
    slm_buffer_printf(&t->table, "  %-18s %6zu %6zu %7zu", name, s->count, s->lacks, enough);
    if (isnan(auc))
        slm_buffer_printf(&t->table, "       -");
    else
        slm_buffer_printf(&t->table, "  %6.3f", auc);
    slm_buffer_printf(&t->table, "  %s\n", fails ? "FAIL" : judged ? "pass" : "too few to judge");
    json_t *row = json_pack("{s:s,s:I,s:I,s:b,s:b}", "group", name, "lacks", (json_int_t)s->lacks,
                            "enough", (json_int_t)enough, "judged", judged, "passed", !fails);
    if (!isnan(auc)) json_object_set_new(row, "auc", json_real(auc));
    json_array_append_new(t->groups, row);
    t->judged += judged;
    t->failed += fails;
    if (judged && auc > t->worst) t->worst = auc;
    if (fails)
        data__find(t->in, "surface", "surface", true, t->in->files[0], 0,
                   "%s: length, turns, digits, commas, negations and units tell lacks from enough "
                   "with an area of %.3f, more than %.2f",
                   name, auc, t->in->options->surface_auc);
}

/* Each count by itself: what the writers can turn. */
static json_t *each_feature(surface_test *t, const sample *s, slm_arena *arena)
{
    json_t *rows = json_array();
    double *one = slm_arena_array(arena, s->count, sizeof *one);
    slm_buffer_printf(&t->table, "  %-18s %6s  %11s  %11s\n", "each alone", "area", "mean lacks",
                      "mean enough");
    for (size_t j = 0; j < DATA__SURFACE_FEATURES; j++) {
        double sum[2] = {0};
        for (size_t i = 0; i < s->count; i++) {
            one[i] = s->x[i][j];
            sum[s->labels[i]] += s->raw[i][j];
        }
        double auc = data__auc(one, s->labels, s->count);
        double lacks = sum[0] / (double)s->lacks, enough = sum[1] / (double)(s->count - s->lacks);
        if (auc < 0.5) auc = 1 - auc;
        slm_buffer_printf(&t->table, "  %-18s %6.3f  %11.2f  %11.2f\n", data__surface_names[j], auc,
                          lacks, enough);
        json_array_append_new(rows,
                              json_pack("{s:s,s:f,s:f,s:f}", "feature", data__surface_names[j],
                                        "auc", auc, "lacks", lacks, "enough", enough));
    }
    return rows;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void each_register(surface_test *t, const sample *s, slm_arena *arena)
{
    const char **names = slm_arena_array(arena, s->count, sizeof *names);
    memcpy(names, s->group, s->count * sizeof *names);
    qsort(names, s->count, sizeof *names, by_text);
    for (size_t i = 0; i < s->count; i++) {
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0) continue;
        sample part = part_of(s, names[i], arena);
        double own = part.lacks > 0 && part.lacks < part.count
                         ? data__surface_auc(part.x, part.labels, part.family, part.count, NULL)
                         : NAN;
        double pooled = data__auc(part.scores, part.labels, part.count);
        judge_group(t, names[i], &part, fmax(own, pooled));
    }
}

void data__check_surface(data__inspection *in)
{
    slm_arena arena = {0};
    sample s = sample_new(&arena, in->cases->count);
    for (size_t i = 0; i < in->cases->count; i++) {
        const slm_case *c = &in->cases->items[i];
        if (c->context == SLM_CONTEXT_NONE || c->disposition == SLM_DISPOSITION_EMERGENCY) continue;
        data__surface_count(c, s.raw[s.count]);
        for (size_t j = 0; j < DATA__SURFACE_FEATURES; j++)
            s.x[s.count][j] = log1p(s.raw[s.count][j]);
        s.labels[s.count] = c->context == SLM_CONTEXT_ENOUGH;
        s.family[s.count] = c->family;
        s.group[s.count] = c->register_name != NULL ? c->register_name : "(none)";
        s.lacks += c->context == SLM_CONTEXT_LACKS;
        s.count++;
    }
    if (s.lacks == 0 || s.lacks == s.count) {
        data__result(in, "surface", SLM_DATA_NOT_RUN, NULL, NULL,
                     "it wants cases of both contexts that are no emergencies");
        slm_arena_free(&arena);
        return;
    }
    surface_test t = {.in = in, .groups = json_array(), .worst = 0};
    slm_buffer_printf(&t.table, "  %-18s %6s %6s %7s  %6s\n", "register", "cases", "lacks",
                      "enough", "area");
    double auc = data__surface_auc(s.x, s.labels, s.family, s.count, s.scores);
    judge_group(&t, "all", &s, auc);
    each_register(&t, &s, &arena);
    json_t *features = each_feature(&t, &s, &arena);
    json_t *numbers = json_pack("{s:f,s:f,s:o,s:o}", "auc", auc, "limit", in->options->surface_auc,
                                "groups", t.groups, "features", features);
    if (t.judged == 0)
        data__result(in, "surface", SLM_DATA_NOT_RUN, numbers, slm_buffer_text(&t.table),
                     "too few cases to judge: it wants %d of each context", JUDGED_FROM);
    else
        data__result(in, "surface", t.failed > 0 ? SLM_DATA_FAIL : SLM_DATA_PASS, numbers,
                     slm_buffer_text(&t.table),
                     "area %.3f overall, at most %.3f of the %zu judged; limit %.2f", auc, t.worst,
                     t.judged, in->options->surface_auc);
    slm_buffer_free(&t.table);
    slm_arena_free(&arena);
}
