/* target.c: a MODEL string -> host, address, key, price.
 *
 * A key is a secret between its owner and one host, so which key goes where is decided here alone, and
 * before anything is sent: an endpoint's own variable; else the provider's variable at the provider's
 * own host over https; else, for a host without one, what --key-env names; else none. Over plain http
 * a key goes to this machine only. Nothing of an address may carry one (user:password@, a query). */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "remote_internal.h"

static const struct {
    const char *prefix, *variable;
} kinds[] = {
    [REMOTE_OPENAI] = {"openai:", "OPENAI_API_KEY"},
    [REMOTE_AZURE] = {"azure:", "AZURE_OPENAI_API_KEY"},
    [REMOTE_ANTHROPIC] = {"anthropic:", "ANTHROPIC_API_KEY"},
    [REMOTE_BEDROCK] = {"bedrock:", "AWS_BEARER_TOKEN_BEDROCK"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char azure_version[] = "2024-10-21";

static bool find_kind(const char *model, remote__kind *kind)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strncmp(model, kinds[i].prefix, strlen(kinds[i].prefix)) != 0) continue;
        *kind = (remote__kind)i;
        return true;
    }
    return false;
}

bool slm_remote_is(const char *model)
{
    remote__kind kind;
    return find_kind(model, &kind);
}

bool remote__is_variable(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_') return false;
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && *text != '_') return false;
    }
    return true;
}

/* ---- addresses ---- */

slm_status remote__read_url(const char *url, slm_arena *arena, const char **out, slm_error *err)
{
    bool tls = strncasecmp(url, "https://", 8) == 0;
    if (!tls && strncasecmp(url, "http://", 7) != 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "not an address that begins with https:// or http://");
    const char *host = url + (tls ? 8 : 7);
    size_t host_len = strcspn(host, "/?#");
    if (host_len == 0) return slm_error_set(err, SLM_ERR_INVALID, "an address without a host");
    if (memchr(host, '@', host_len) != NULL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "an address with a user or password; name a variable that holds the "
                             "key instead (--key-env)");
    for (const char *c = url; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 127 || *c == '#' || *c == '\\')
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "an address with a character that does not belong into one");
    }
    char *copy = slm_arena_strdup(arena, url);
    for (size_t i = 0; i < (size_t)(host - url) + host_len; i++)
        copy[i] = (char)tolower((unsigned char)copy[i]);
    char *query = strchr(copy, '?');
    const char *rest = query != NULL ? slm_arena_strdup(arena, query) : "";
    size_t len = query != NULL ? (size_t)(query - copy) : strlen(copy);
    while (len > (size_t)(host - url) && copy[len - 1] == '/')
        len--;
    copy[len] = '\0';
    *out = slm_arena_printf(arena, "%s%s", copy, rest);
    return SLM_OK;
}

static const char *host_of(slm_arena *arena, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return slm_arena_strndup(arena, host, strcspn(host, "/?"));
}

/* The host without its port. */
static size_t name_len(const char *host)
{
    if (*host == '[') return strcspn(host, "]") + 1;
    return strcspn(host, ":");
}

/* As base/http knows this machine: what it names otherwise might go through a proxy. */
static bool is_loopback(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t len = name_len(host);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (len == strlen(names[i]) && strncmp(host, names[i], len) == 0) return true;
    }
    return false;
}

static bool ends_in(const char *host, const char *suffix)
{
    size_t len = strlen(host), suffix_len = strlen(suffix);
    return len > suffix_len && strcmp(host + len - suffix_len, suffix) == 0;
}

static bool is_region(const char *text)
{
    if (!isalpha((unsigned char)*text) || strchr(text, '-') == NULL) return false;
    for (; *text != '\0'; text++) {
        if (!islower((unsigned char)*text) && !isdigit((unsigned char)*text) && *text != '-')
            return false;
    }
    return true;
}

/* bedrock-runtime[-fips].REGION.amazonaws.com: other hosts below amazonaws.com are anybody's. */
static bool is_bedrock(const char *host)
{
    const char *region = strncmp(host, "bedrock-runtime.", 16) == 0        ? host + 16
                         : strncmp(host, "bedrock-runtime-fips.", 21) == 0 ? host + 21
                                                                           : NULL;
    if (region == NULL) return false;
    const char *dot = strchr(region, '.');
    if (dot == NULL) return false;
    char name[64];
    size_t len = (size_t)(dot - region);
    if (len == 0 || len >= sizeof name) return false;
    memcpy(name, region, len);
    name[len] = '\0';
    return is_region(name) &&
           (strcmp(dot, ".amazonaws.com") == 0 || strcmp(dot, ".amazonaws.com.cn") == 0);
}

static bool is_own(remote__kind kind, const char *host)
{
    switch (kind) {
    case REMOTE_OPENAI:
        return strcmp(host, "api.openai.com") == 0 || ends_in(host, ".api.openai.com");
    case REMOTE_AZURE:
        return ends_in(host, ".openai.azure.com") || ends_in(host, ".openai.azure.us") ||
               ends_in(host, ".cognitiveservices.azure.com") ||
               ends_in(host, ".services.ai.azure.com");
    case REMOTE_ANTHROPIC:
        return strcmp(host, "api.anthropic.com") == 0;
    case REMOTE_BEDROCK:
        return is_bedrock(host);
    }
    return false;
}

/* ---- MODEL ---- */

/* Name and what is behind the '@' (NULL: nothing is), split at the last "@http", or for bedrock at the
 * last '@'. */
static void split(remote__target *target, const char *text, const char **place)
{
    const char *at = NULL;
    for (const char *found = text; (found = strstr(found, "@http")) != NULL; found++)
        at = found;
    if (at == NULL && target->kind == REMOTE_BEDROCK) at = strrchr(text, '@');
    *place = at != NULL ? at + 1 : NULL;
    target->model = at != NULL ? slm_arena_strndup(&target->arena, text, (size_t)(at - text))
                               : slm_arena_strdup(&target->arena, text);
}

/* The query of an Azure address: nothing but api-version. */
static slm_status read_version(remote__target *target, const char *query, slm_error *err)
{
    static const char name[] = "?api-version=";
    target->api_version = azure_version;
    if (query == NULL) return SLM_OK;
    const char *value = query + sizeof name - 1;
    if (target->kind != REMOTE_AZURE || strncmp(query, name, sizeof name - 1) != 0 ||
        *value == '\0' || value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
        return slm_error_set(err, SLM_ERR_INVALID,
                             "an address with a query; only Azure's may have one, "
                             "?api-version=VERSION");
    target->api_version = slm_arena_strdup(&target->arena, value);
    return SLM_OK;
}

static slm_status read_place(remote__target *target, const char *place, slm_error *err)
{
    const char *url = place;
    if (place == NULL && target->kind == REMOTE_OPENAI) url = "https://api.openai.com/v1";
    if (place == NULL && target->kind == REMOTE_ANTHROPIC) url = "https://api.anthropic.com/v1";
    if (url == NULL && target->kind == REMOTE_AZURE)
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "which resource? Write azure:DEPLOYMENT@https://NAME.openai.azure.com");
    if (url == NULL)
        return slm_error_set(err, SLM_ERR_INVALID, "which region? Write bedrock:NAME@REGION");
    if (target->kind == REMOTE_BEDROCK && strncmp(url, "http", 4) != 0) {
        if (!is_region(url))
            return slm_error_set(err, SLM_ERR_INVALID, "'%.60s' is not the name of a region", url);
        url = slm_arena_printf(&target->arena, "https://bedrock-runtime.%s.amazonaws.com", url);
    }
    SLM_TRY(remote__read_url(url, &target->arena, &url, err));
    const char *query = strchr(url, '?');
    SLM_TRY(read_version(target, query, err));
    size_t len = query != NULL ? (size_t)(query - url) : strlen(url);
    target->base = slm_arena_strndup(&target->arena, url, len);
    target->host = host_of(&target->arena, url);
    target->encrypted = strncmp(url, "https://", 8) == 0;
    target->loopback = is_loopback(target->host);
    /* A bare host is meant to be asked below /v1, where these APIs live. */
    bool bare = strchr(strstr(target->base, "://") + 3, '/') == NULL;
    if (bare && (target->kind == REMOTE_OPENAI || target->kind == REMOTE_ANTHROPIC))
        target->base = slm_arena_printf(&target->arena, "%s/v1", target->base);
    return SLM_OK;
}

slm_status remote__target_read(const char *model, const slm_remote_settings *settings,
                               remote__target *out, slm_error *err)
{
    *out = (remote__target){0};
    const char *place;
    bool known = find_kind(model, &out->kind);
    SLM_ASSERT(known);
    split(out, model + strlen(kinds[out->kind].prefix), &place);
    if (*out->model == '\0')
        return slm_error_set(err, SLM_ERR_INVALID, "%s: which model? Write %sNAME", model,
                             kinds[out->kind].prefix);
    slm_status status = read_place(out, place, err);
    if (status != SLM_OK) return slm_error_prefix(err, status, "%.200s", model);
    out->own = out->encrypted && is_own(out->kind, out->host);
    if (settings->endpoints != NULL)
        out->endpoint = slm_endpoints_find(settings->endpoints, out->base);
    if (out->endpoint != NULL && out->endpoint->has_price) {
        out->price = &out->endpoint->price;
    } else if (settings->prices != NULL) {
        out->price = slm_prices_model(settings->prices, out->model, out->host);
    }
    out->identity =
        slm_arena_printf(&out->arena, "%s%s@%s", kinds[out->kind].prefix, out->model, out->base);
    return SLM_OK;
}

void remote__target_free(remote__target *target)
{
    slm_arena_free(&target->arena);
}

/* ---- keys ---- */

static const char *key_variable(const remote__target *target, const slm_remote_settings *settings)
{
    if (target->endpoint != NULL && target->endpoint->key_env != NULL)
        return target->endpoint->key_env;
    if (target->own) return kinds[target->kind].variable;
    return target->endpoint == NULL ? settings->key_env : NULL;
}

slm_status remote__target_key(remote__target *target, const slm_remote_settings *settings,
                              slm_error *err)
{
    const char *variable = key_variable(target, settings);
    if (variable == NULL) return SLM_OK;
    const char *key =
        settings->secret != NULL ? settings->secret(settings->context, variable) : NULL;
    if (key == NULL || *key == '\0')
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s wants a key, and the environment variable %s does not hold one; "
                             "set it",
                             target->host, variable);
    for (const char *c = key; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 127)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "the key in %s holds a space, a line break or another character "
                                 "that no key has; set it again",
                                 variable);
    }
    if (!target->encrypted && !target->loopback)
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "the key in %s is not sent to %s over plain http, where anybody on the "
            "way can read it; use https",
            variable, target->host);
    target->key_variable = slm_arena_strdup(&target->arena, variable);
    target->key = slm_arena_strdup(&target->arena, key);
    return SLM_OK;
}

slm_status slm_remote_check_key_env(const char *const *models, size_t count,
                                    const slm_remote_settings *settings, slm_error *err)
{
    char first[300] = "";
    slm_status status = SLM_OK;
    if (settings->key_env == NULL) return SLM_OK;
    if (!remote__is_variable(settings->key_env))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--key-env takes the name of an environment variable, not the key "
                             "itself (which now stands in your shell's history)");
    for (size_t i = 0; i < count && status == SLM_OK; i++) {
        remote__target target;
        if (!slm_remote_is(models[i])) continue;
        status = remote__target_read(models[i], settings, &target, err);
        const char *variable = status == SLM_OK ? key_variable(&target, settings) : NULL;
        if (variable == settings->key_env) {
            if (*first != '\0' && strcmp(first, target.host) != 0)
                status = slm_error_set(err, SLM_ERR_INVALID,
                                       "--key-env would send one key to %s and to %s; name a "
                                       "variable for each in an --endpoints file",
                                       first, target.host);
            snprintf(first, sizeof first, "%s", target.host);
        }
        remote__target_free(&target);
    }
    if (status == SLM_OK && *first == '\0')
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--key-env %s: no model here takes it; it is for a MODEL with a URL "
                             "of its own, while the providers' own hosts take their own variables "
                             "(OPENAI_API_KEY and the like)",
                             settings->key_env);
    return status;
}

/* ---- what is asked ---- */

static void append_escaped(slm_buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text) != NULL)
            slm_buffer_append_char(out, *text);
        else
            slm_buffer_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

const char *remote__target_url(remote__target *target, bool embeddings)
{
    slm_buffer url = {0};
    slm_buffer_append_text(&url, target->base);
    switch (target->kind) {
    case REMOTE_OPENAI:
        slm_buffer_append_text(&url, embeddings ? "/embeddings" : "/chat/completions");
        break;
    case REMOTE_AZURE:
        slm_buffer_append_text(&url, "/openai/deployments/");
        append_escaped(&url, target->model);
        slm_buffer_append_text(&url, embeddings ? "/embeddings" : "/chat/completions");
        slm_buffer_printf(&url, "?api-version=%s", target->api_version);
        break;
    case REMOTE_ANTHROPIC:
        slm_buffer_append_text(&url, "/messages");
        break;
    case REMOTE_BEDROCK:
        slm_buffer_append_text(&url, "/model/");
        append_escaped(&url, target->model);
        slm_buffer_append_text(&url, "/converse");
        break;
    }
    const char *copy = slm_arena_strdup(&target->arena, slm_buffer_text(&url));
    slm_buffer_free(&url);
    return copy;
}

const char *const *remote__target_headers(remote__target *target)
{
    const char **headers = slm_arena_array(&target->arena, 6, sizeof *headers);
    size_t count = 0;
    headers[count++] = "Content-Type: application/json";
    headers[count++] = "Accept: application/json";
    if (target->kind == REMOTE_ANTHROPIC) headers[count++] = "anthropic-version: 2023-06-01";
    if (target->key == NULL) return headers;
    const char *name = target->kind == REMOTE_AZURE       ? "api-key: "
                       : target->kind == REMOTE_ANTHROPIC ? "x-api-key: "
                                                          : "Authorization: Bearer ";
    headers[count++] = slm_arena_printf(&target->arena, "%s%s", name, target->key);
    return headers;
}

slm_status slm_remote_look(const char *model, const slm_remote_settings *settings, slm_arena *arena,
                           slm_remote_info *out, slm_error *err)
{
    remote__target target;
    slm_status status = remote__target_read(model, settings, &target, err);
    if (status == SLM_OK) status = remote__check_settings(&target, settings, err);
    if (status == SLM_OK) status = remote__target_key(&target, settings, err);
    if (status == SLM_OK) {
        const char *url = remote__target_url(&target, false);
        *out = (slm_remote_info){
            .host = slm_arena_strdup(arena, target.host),
            .url = slm_arena_strndup(arena, url, strcspn(url, "?")),
            .model = slm_arena_strdup(arena, target.model),
            .key_variable = slm_arena_strdup(arena, target.key_variable),
            .encrypted = target.encrypted,
            .has_price = target.price != NULL,
            .concurrency = remote__width(&target, settings),
        };
        if (target.price != NULL) out->price = *target.price;
    }
    remote__target_free(&target);
    return status;
}
