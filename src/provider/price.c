/* price.c: a dated file of prices, and what a call costs by it.
 *
 * Prices go stale, so every one has a date, its own or the file's, and nothing is looked up that the
 * file does not name. A model's entry is found by name and host: providers sell one model at
 * different prices, and name dated snapshots after a family, for which a prefix with * stands. */
#include "provider/price.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/yaml.h"

/* ---- reading ---- */

/* YYYY-MM-DD. */
static bool is_date(const char *text)
{
    if (strlen(text) != 10) return false;
    for (size_t i = 0; i < 10; i++) {
        bool dash = i == 4 || i == 7;
        if (dash ? text[i] != '-' : !isdigit((unsigned char)text[i])) return false;
    }
    int month = (text[5] - '0') * 10 + text[6] - '0', day = (text[8] - '0') * 10 + text[9] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static slm_status read_date(const json_t *object, const slm_json_place *place, const char *dated,
                            slm_arena *arena, const char **out, slm_error *err)
{
    const char *text = dated;
    SLM_TRY(slm_json_string_optional(object, "dated", place, &text, err));
    if (text == NULL) {
        return slm_json_error(place, err,
                              "a price needs a date: 'dated: YYYY-MM-DD' here, or once for the "
                              "whole file");
    }
    if (!is_date(text)) {
        slm_json_place at = {.parent = place, .key = "dated"};
        return slm_json_error(&at, err, "expected a date as YYYY-MM-DD, got '%.40s'", text);
    }
    *out = slm_arena_strdup(arena, text);
    return SLM_OK;
}

static slm_status check_price(const slm_json_place *place, const char *key, double value,
                              double most, slm_error *err)
{
    slm_json_place at = {.parent = place, .key = key};
    if (value >= 0 && value <= most) return SLM_OK;
    return slm_json_error(&at, err, "is %g; it must be from 0 to %g", value, most);
}

slm_status slm_price_read(const json_t *object, const slm_json_place *place, const char *dated,
                          slm_arena *arena, slm_price *out, slm_error *err)
{
    slm_price price = {.cached = -1};
    const char *source = NULL;
    SLM_TRY(slm_json_number(object, "input", place, &price.input, err));
    SLM_TRY(slm_json_number(object, "output", place, &price.output, err));
    SLM_TRY(check_price(place, "input", price.input, 1e6, err));
    SLM_TRY(check_price(place, "output", price.output, 1e6, err));
    if (json_object_get(object, "cached") != NULL) {
        SLM_TRY(slm_json_number(object, "cached", place, &price.cached, err));
        SLM_TRY(check_price(place, "cached", price.cached, 1e6, err));
    } else {
        price.cached = price.input;
    }
    SLM_TRY(slm_json_number_optional(object, "batch_discount", place, &price.batch_discount, err));
    SLM_TRY(check_price(place, "batch_discount", price.batch_discount, 1, err));
    SLM_TRY(slm_json_string_optional(object, "source", place, &source, err));
    SLM_TRY(read_date(object, place, dated, arena, &price.dated, err));
    price.source = slm_arena_strdup(arena, source);
    *out = price;
    return SLM_OK;
}

static slm_status read_name(const json_t *object, const char *key, const slm_json_place *place,
                            slm_arena *arena, const char **out, slm_error *err)
{
    const char *text = NULL;
    SLM_TRY(slm_json_string(object, key, place, &text, err));
    if (*text == '\0') {
        slm_json_place at = {.parent = place, .key = key};
        return slm_json_error(&at, err, "is empty; it must name something");
    }
    *out = slm_arena_strdup(arena, text);
    return SLM_OK;
}

static bool same_host(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcasecmp(a, b) == 0;
}

static slm_status read_model(slm_prices *prices, const json_t *object, const slm_json_place *place,
                             const char *dated, slm_error *err)
{
    static const char *const keys[] = {"model",          "host",  "input",  "cached", "output",
                                       "batch_discount", "dated", "source", NULL};
    const char *host = NULL, *model = NULL;
    slm_price *price = &prices->models[prices->model_count];
    if (!json_is_object(object)) return slm_json_error(place, err, "expected a mapping");
    SLM_TRY(slm_yaml_check_keys(object, place, keys, err));
    SLM_TRY(read_name(object, "model", place, &prices->arena, &model, err));
    SLM_TRY(slm_json_string_optional(object, "host", place, &host, err));
    SLM_TRY(slm_price_read(object, place, dated, &prices->arena, price, err));
    price->model = model;
    price->host = slm_arena_strdup(&prices->arena, host);
    price->line = place->line;
    for (size_t i = 0; i < prices->model_count; i++) {
        const slm_price *other = &prices->models[i];
        if (strcmp(other->model, model) == 0 && same_host(other->host, price->host))
            return slm_json_error(place, err, "%.80s has a price in line %zu already", model,
                                  other->line);
    }
    prices->model_count++;
    return SLM_OK;
}

static slm_status read_machine(slm_prices *prices, const json_t *object,
                               const slm_json_place *place, const char *dated, slm_error *err)
{
    static const char *const keys[] = {"machine", "per_hour", "dated", "source", NULL};
    slm_machine_price *machine = &prices->machines[prices->machine_count];
    const char *source = NULL;
    if (!json_is_object(object)) return slm_json_error(place, err, "expected a mapping");
    SLM_TRY(slm_yaml_check_keys(object, place, keys, err));
    SLM_TRY(read_name(object, "machine", place, &prices->arena, &machine->machine, err));
    SLM_TRY(slm_json_number(object, "per_hour", place, &machine->per_hour, err));
    SLM_TRY(check_price(place, "per_hour", machine->per_hour, 1e6, err));
    SLM_TRY(slm_json_string_optional(object, "source", place, &source, err));
    SLM_TRY(read_date(object, place, dated, &prices->arena, &machine->dated, err));
    machine->source = slm_arena_strdup(&prices->arena, source);
    machine->line = place->line;
    for (size_t i = 0; i < prices->machine_count; i++) {
        if (strcmp(prices->machines[i].machine, machine->machine) == 0)
            return slm_json_error(place, err, "%.80s has a price in line %zu already",
                                  machine->machine, prices->machines[i].line);
    }
    prices->machine_count++;
    return SLM_OK;
}

static slm_status read_prices(slm_prices *prices, const slm_yaml *yaml, slm_error *err)
{
    static const char *const keys[] = {"dated", "models", "machines", NULL};
    const json_t *root = slm_yaml_root(yaml);
    slm_json_place place = slm_yaml_place(yaml, root);
    const char *dated = NULL;
    json_t *models = NULL, *machines = NULL;
    if (!json_is_object(root))
        return slm_json_error(&place, err, "expected 'models:' or 'machines:'");
    SLM_TRY(slm_yaml_check_keys(root, &place, keys, err));
    if (json_object_get(root, "dated") != NULL)
        SLM_TRY(read_date(root, &place, NULL, &prices->arena, &dated, err));
    SLM_TRY(slm_json_array_optional(root, "models", &place, &models, err));
    SLM_TRY(slm_json_array_optional(root, "machines", &place, &machines, err));
    size_t model_count = json_array_size(models), machine_count = json_array_size(machines);
    if (model_count + machine_count == 0)
        return slm_json_error(&place, err, "there is no price in it");
    prices->models = slm_arena_array(&prices->arena, model_count, sizeof *prices->models);
    prices->machines = slm_arena_array(&prices->arena, machine_count, sizeof *prices->machines);
    for (size_t i = 0; i < model_count; i++) {
        const json_t *item = json_array_get(models, i);
        slm_json_place at = slm_yaml_place(yaml, item);
        if (at.line == 0) at.line = slm_yaml_line(yaml, models);
        SLM_TRY(read_model(prices, item, &at, dated, err));
    }
    for (size_t i = 0; i < machine_count; i++) {
        const json_t *item = json_array_get(machines, i);
        slm_json_place at = slm_yaml_place(yaml, item);
        if (at.line == 0) at.line = slm_yaml_line(yaml, machines);
        SLM_TRY(read_machine(prices, item, &at, dated, err));
    }
    return SLM_OK;
}

slm_status slm_prices_load(const char *path, slm_prices *out, slm_error *err)
{
    *out = (slm_prices){0};
    slm_yaml *yaml = NULL;
    SLM_TRY(slm_yaml_load(path, &yaml, err));
    out->path = slm_arena_strdup(&out->arena, path);
    slm_status status = read_prices(out, yaml, err);
    slm_yaml_free(yaml);
    return status;
}

void slm_prices_free(slm_prices *prices)
{
    if (prices == NULL) return;
    slm_arena_free(&prices->arena);
    *prices = (slm_prices){0};
}

/* ---- finding ---- */

/* 0: another model. Else the better it fits, the larger. */
static size_t fit(const slm_price *price, const char *model, const char *host)
{
    size_t len = strlen(price->model), points;
    if (strcmp(price->model, model) == 0) {
        points = 1000000;
    } else if (price->model[len - 1] == '*' && strncmp(price->model, model, len - 1) == 0) {
        points = len;
    } else {
        return 0;
    }
    if (host == NULL) return 2 * points + (price->host == NULL);
    if (price->host == NULL) return 2 * points;
    return strcasecmp(price->host, host) == 0 ? 2 * points + 1 : 0;
}

const slm_price *slm_prices_model(const slm_prices *prices, const char *model, const char *host)
{
    const slm_price *best = NULL;
    size_t best_fit = 0;
    for (size_t i = 0; i < prices->model_count; i++) {
        size_t points = fit(&prices->models[i], model, host);
        if (points > best_fit) {
            best = &prices->models[i];
            best_fit = points;
        }
    }
    return best;
}

const slm_machine_price *slm_prices_machine(const slm_prices *prices, const char *machine)
{
    for (size_t i = 0; i < prices->machine_count; i++) {
        if (strcmp(prices->machines[i].machine, machine) == 0) return &prices->machines[i];
    }
    return NULL;
}

double slm_price_cost(const slm_price *price, int64_t prompt_tokens, int64_t cached_tokens,
                      int64_t reply_tokens)
{
    if (prompt_tokens < 0 || reply_tokens < 0) return (double)NAN;
    if (cached_tokens < 0) cached_tokens = 0;
    if (cached_tokens > prompt_tokens) cached_tokens = prompt_tokens;
    return ((double)(prompt_tokens - cached_tokens) * price->input +
            (double)cached_tokens * price->cached + (double)reply_tokens * price->output) /
           1e6;
}
