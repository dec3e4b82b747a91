/* record.h: what was asked and answered, appended to a file that `recorded:FILE` replays (--record).
 *
 * A line is {"messages", "case", "rollout", "model", "sampling", "reply", "finish", "reasoning",
 * "usage", "error"}, or for a vector {"text", "model", "vector"}. It is written before its reply is
 * handed out; a line that a killed program left half is cut off when the file is opened again. The
 * file is for its owner alone (mode 0600) and holds no key. */
#ifndef SLM_PROVIDER_RECORD_H
#define SLM_PROVIDER_RECORD_H

#include "base/error.h"
#include "provider/chat.h"
#include "provider/embed.h"

/* Passes everything on to `inner`, which it owns from here on, also after an error. */
slm_status slm_chat_record_open(slm_chat *inner, const char *path, slm_chat **out, slm_error *err);
slm_status slm_embed_record_open(slm_embed *inner, const char *path, slm_embed **out,
                                 slm_error *err);
/* The chat that a recording one passes on to; any other chat itself. */
slm_chat *slm_chat_record_inner(slm_chat *chat);

#endif
