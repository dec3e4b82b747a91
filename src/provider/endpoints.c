/* endpoints.c: the file of one's own servers (endpoints.h).
 *
 * An entry holds for its url and everything below it. Comparing stops at a '/', so that an entry for
 * https://a.example never matches https://a.example.elsewhere: keys hang on it. */
#include "provider/endpoints.h"

#include <string.h>
#include "base/yaml.h"
#include "remote_internal.h"

static slm_status read_price(const json_t *object, const slm_json_place *place, slm_arena *arena,
                             slm_endpoint *out, slm_error *err)
{
    static const char *const keys[] = {"input", "cached", "output", "batch_discount",
                                       "dated", "source", NULL};
    json_t *price = NULL;
    slm_json_place at = {.parent = place, .key = "price"};
    SLM_TRY(slm_json_object_optional(object, "price", place, &price, err));
    if (price == NULL) return SLM_OK;
    SLM_TRY(slm_yaml_check_keys(price, &at, keys, err));
    SLM_TRY(slm_price_read(price, &at, NULL, arena, &out->price, err));
    out->has_price = true;
    return SLM_OK;
}

static slm_status read_limits(const json_t *object, const slm_json_place *place, slm_endpoint *out,
                              slm_error *err)
{
    int64_t concurrency = 0;
    SLM_TRY(slm_json_integer_optional(object, "concurrency", place, &concurrency, err));
    SLM_TRY(slm_json_number_optional(object, "timeout", place, &out->timeout_s, err));
    if (json_object_get(object, "concurrency") != NULL && (concurrency < 1 || concurrency > 4096))
        return slm_json_error(&(slm_json_place){.parent = place, .key = "concurrency"}, err,
                              "is %lld; it must be from 1 to 4096", (long long)concurrency);
    if (json_object_get(object, "timeout") != NULL &&
        !(out->timeout_s >= 1 && out->timeout_s <= 86400))
        return slm_json_error(&(slm_json_place){.parent = place, .key = "timeout"}, err,
                              "is %g; it must be from 1 to 86400 seconds", out->timeout_s);
    out->concurrency = (int)concurrency;
    return SLM_OK;
}

static slm_status read_endpoint(slm_endpoints *endpoints, const json_t *object,
                                const slm_json_place *place, slm_error *err)
{
    static const char *const keys[] = {"url", "key_env", "concurrency", "timeout", "price", NULL};
    slm_endpoint *endpoint = &endpoints->items[endpoints->count];
    const char *url = NULL, *key_env = NULL;
    slm_error why;
    if (!json_is_object(object)) return slm_json_error(place, err, "expected a mapping");
    SLM_TRY(slm_yaml_check_keys(object, place, keys, err));
    SLM_TRY(slm_json_string(object, "url", place, &url, err));
    SLM_TRY(slm_json_string_optional(object, "key_env", place, &key_env, err));
    if (remote__read_url(url, &endpoints->arena, &endpoint->url, &why) != SLM_OK)
        return slm_json_error(&(slm_json_place){.parent = place, .key = "url"}, err, "%s",
                              why.message);
    if (strchr(endpoint->url, '?') != NULL)
        return slm_json_error(&(slm_json_place){.parent = place, .key = "url"}, err,
                              "has a query; give the address alone");
    if (key_env != NULL && !remote__is_variable(key_env))
        return slm_json_error(&(slm_json_place){.parent = place, .key = "key_env"}, err,
                              "is not the name of an environment variable (the key itself does "
                              "not belong into this file)");
    endpoint->key_env = slm_arena_strdup(&endpoints->arena, key_env);
    endpoint->line = place->line;
    SLM_TRY(read_limits(object, place, endpoint, err));
    SLM_TRY(read_price(object, place, &endpoints->arena, endpoint, err));
    for (size_t i = 0; i < endpoints->count; i++) {
        if (strcmp(endpoints->items[i].url, endpoint->url) == 0)
            return slm_json_error(place, err, "%.200s stands in line %zu already", endpoint->url,
                                  endpoints->items[i].line);
    }
    endpoints->count++;
    return SLM_OK;
}

static slm_status read_all(slm_endpoints *endpoints, const slm_yaml *yaml, slm_error *err)
{
    static const char *const keys[] = {"endpoints", NULL};
    const json_t *root = slm_yaml_root(yaml);
    slm_json_place place = slm_yaml_place(yaml, root);
    json_t *list = NULL;
    if (!json_is_object(root)) return slm_json_error(&place, err, "expected 'endpoints:'");
    SLM_TRY(slm_yaml_check_keys(root, &place, keys, err));
    SLM_TRY(slm_json_array(root, "endpoints", &place, &list, err));
    endpoints->items =
        slm_arena_array(&endpoints->arena, json_array_size(list), sizeof *endpoints->items);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        slm_json_place at = slm_yaml_place(yaml, item);
        if (at.line == 0) at.line = slm_yaml_line(yaml, list);
        SLM_TRY(read_endpoint(endpoints, item, &at, err));
    }
    return SLM_OK;
}

slm_status slm_endpoints_load(const char *path, slm_endpoints *out, slm_error *err)
{
    *out = (slm_endpoints){0};
    slm_yaml *yaml = NULL;
    SLM_TRY(slm_yaml_load(path, &yaml, err));
    out->path = slm_arena_strdup(&out->arena, path);
    slm_status status = read_all(out, yaml, err);
    slm_yaml_free(yaml);
    return status;
}

void slm_endpoints_free(slm_endpoints *endpoints)
{
    if (endpoints == NULL) return;
    slm_arena_free(&endpoints->arena);
    *endpoints = (slm_endpoints){0};
}

const slm_endpoint *slm_endpoints_find(const slm_endpoints *endpoints, const char *url)
{
    const slm_endpoint *best = NULL;
    for (size_t i = 0; i < endpoints->count; i++) {
        const slm_endpoint *endpoint = &endpoints->items[i];
        size_t len = strlen(endpoint->url);
        if (strncmp(url, endpoint->url, len) != 0) continue;
        if (url[len] != '\0' && url[len] != '/') continue;
        if (best == NULL || len > strlen(best->url)) best = endpoint;
    }
    return best;
}
