/* remote.h: models behind an API: chat.h and embed.h over HTTPS.
 *
 *   openai:NAME[@URL]        /v1/chat/completions at OpenAI, or at any URL that speaks it
 *   azure:DEPLOYMENT@URL     the same by Azure's path and key header; URL is the resource's, and may
 *                            end in ?api-version=VERSION
 *   anthropic:NAME[@URL]     Messages
 *   bedrock:NAME@REGION      Converse, with an API key (bearer token); a URL in place of the region
 *
 * NAME@URL splits at the last "@http". One thread keeps many calls in flight; a host that says it is
 * overloaded is asked less at a time; what may pass is tried again; a key goes only to the host that
 * it belongs to (docs/remote-models.md). */
#ifndef SLM_PROVIDER_REMOTE_H
#define SLM_PROVIDER_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/log.h"
#include "provider/budget.h"
#include "provider/chat.h"
#include "provider/embed.h"
#include "provider/endpoints.h"
#include "provider/price.h"

/* Everything here must outlive the handles opened with it. */
typedef struct slm_remote_settings {
    /* The value of an environment variable, or NULL: the environment is not read below cli. */
    const char *(*secret)(void *context, const char *variable);
    void *context;
    const char *key_env;            /* holds the key of hosts without one of their own; or NULL */
    const slm_endpoints *endpoints; /* may be NULL */
    const slm_prices *prices;       /* may be NULL */
    const char *ca_file;            /* NULL: the system's */
    bool offline;                   /* nothing opens */
    int concurrency;                /* 0: the endpoint's, or 16 */
    double timeout_s;               /* of one try; 0: the endpoint's, or 600 */
    double connect_timeout_s;       /* 0: 30 */
    double stall_timeout_s;         /* within a reply; 0: 60 */
    int retries;                    /* tries after the first; below 0: 8 */
    slm_budget *budget;             /* NULL: nothing is counted */
    slm_log *log;
} slm_remote_settings;

/* Whether a MODEL is one of the forms above. */
bool slm_remote_is(const char *model);

slm_status slm_chat_remote_open(const char *model, const slm_remote_settings *settings,
                                slm_chat **out, slm_error *err);
/* openai: and azure: only. Asks for one vector, to know its size. */
slm_status slm_embed_remote_open(const char *model, const slm_remote_settings *settings,
                                 slm_embed **out, slm_error *err);

/* Where a MODEL leads and what it costs: for people, before the first call. Asks nothing. */
typedef struct slm_remote_info {
    const char *host;         /* "api.openai.com", "127.0.0.1:8080" */
    const char *url;          /* that is asked, without its query */
    const char *model;        /* as the API names it */
    const char *key_variable; /* NULL: no key is sent */
    bool encrypted;
    bool has_price;
    slm_price price; /* texts of it live with the settings */
    int concurrency;
} slm_remote_info;
/* Texts go into `arena`. The same errors as opening it. */
slm_status slm_remote_look(const char *model, const slm_remote_settings *settings, slm_arena *arena,
                           slm_remote_info *out, slm_error *err);

/* --key-env goes to one host: SLM_ERR_INVALID if these MODELs would take it to two, or none of them
 * would. Strings that are no remote model are left alone. */
slm_status slm_remote_check_key_env(const char *const *models, size_t count,
                                    const slm_remote_settings *settings, slm_error *err);

/* About how many tokens so many bytes of text are. */
int64_t slm_remote_guess_tokens(uint64_t bytes);

#endif
