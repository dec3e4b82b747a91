/* cmd_chat.c: `slm chat`: a conversation in the terminal, or one answer with -p.
 *
 * The reply streams to stdout as it is made. In a conversation every turn is sent with all those
 * before it; SIGINT stops the reply at hand (what was said stays in the conversation), at the prompt
 * it ends the program. Prompts and notes go to stderr, so that stdout holds the replies alone.
 *
 * With -p and --json the answer comes with its trace: prompt ids, reply ids, and for each reply id
 * log softmax(logits / T) over the whole vocabulary, exactly as it was sampled. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/json.h"

typedef struct chat_options {
    cli_shared shared;
    const char *prompt, *system_text, *json_schema;
} chat_options;

/* The conversation so far; texts are owned. */
typedef struct conversation {
    slm_chat_message *messages;
    size_t count, cap;
} conversation;

static void add_message(conversation *talk, const char *role, const char *content)
{
    if (talk->count == talk->cap) {
        talk->cap = talk->cap == 0 ? 16 : talk->cap * 2;
        slm_chat_message *grown = realloc(talk->messages, talk->cap * sizeof *grown);
        if (grown == NULL) slm_out_of_memory(talk->cap * sizeof *grown);
        talk->messages = grown;
    }
    char *copy = strdup(content);
    if (copy == NULL) slm_out_of_memory(strlen(content) + 1);
    talk->messages[talk->count++] = (slm_chat_message){.role = role, .content = copy};
}

/* Keep the first `count` messages. */
static void cut_conversation(conversation *talk, size_t count)
{
    while (talk->count > count)
        free((void *)talk->messages[--talk->count].content);
}

static void print_piece(void *context, uint32_t index, const char *text, size_t len)
{
    (void)context, (void)index;
    fwrite(text, 1, len, stdout);
    fflush(stdout);
}

/* Ask for one reply and wait for it; SIGINT cancels it. */
static slm_status ask(slm_chat *chat, const conversation *talk, const slm_chat_sampling *sampling,
                      const char *json_schema, uint32_t rollout, bool stream, bool trace,
                      slm_chat_reply **out, slm_error *err)
{
    slm_chat_request request = {
        .messages = talk->messages,
        .message_count = talk->count,
        .n = 1,
        .first_rollout = rollout,
        .sampling = *sampling,
        .json_schema = json_schema,
        .want_trace = trace,
        .on_text = stream ? print_piece : NULL,
    };
    uint64_t ticket;
    *out = NULL;
    SLM_TRY(slm_chat_submit(chat, &request, &ticket, err));
    bool cancelled = false;
    while (*out == NULL) {
        SLM_TRY(slm_chat_poll(chat, 50, out, err));
        if (cli_interrupted && !cancelled) {
            slm_chat_cancel(chat, ticket);
            cancelled = true;
        }
    }
    if ((*out)->finish == SLM_CHAT_ERROR) {
        if (err != NULL) *err = (*out)->error;
        slm_status status = (*out)->error.status;
        slm_chat_reply_free(*out);
        *out = NULL;
        return status;
    }
    return SLM_OK;
}

static void log_usage(slm_log *log, const slm_chat_reply *reply)
{
    if (reply->finish == SLM_CHAT_REFUSED) slm_log_print(log, SLM_LOG_INFO, "[refused]");
    slm_log_print(log, SLM_LOG_DEBUG,
                  "%" PRId64 " prompt and %" PRId64 " reply tokens in %.2f s, ended by %s",
                  reply->prompt_tokens, reply->reply_tokens, reply->time_s,
                  slm_chat_finish_name(reply->finish));
}

static json_t *ids_json(const int32_t *ids, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

static json_t *count_json(int64_t count)
{
    return count < 0 ? json_null() : json_integer(count);
}

static void print_reply_json(const slm_chat *chat, const slm_chat_reply *reply)
{
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s}", "model", chat->name, "identity", chat->identity, "text",
                  reply->text, "finish", slm_chat_finish_name(reply->finish));
    if (reply->reasoning != NULL) {
        json_object_set_new(root, "reasoning", json_string(reply->reasoning));
    }
    json_object_set_new(root, "usage",
                        json_pack("{s:o, s:o, s:o}", "prompt_tokens",
                                  count_json(reply->prompt_tokens), "cached_tokens",
                                  count_json(reply->cached_tokens), "reply_tokens",
                                  count_json(reply->reply_tokens)));
    const slm_chat_trace *trace = reply->trace;
    if (trace != NULL) {
        json_t *logprobs = json_array();
        for (size_t i = 0; i < trace->reply_len; i++)
            json_array_append_new(logprobs, json_real((double)trace->logprobs[i]));
        json_object_set_new(root, "prompt_ids", ids_json(trace->prompt_ids, trace->prompt_len));
        json_object_set_new(root, "reply_ids", ids_json(trace->reply_ids, trace->reply_len));
        json_object_set_new(root, "logprobs", logprobs);
    }
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

/* Reads the prompt of -p, and says what a remote model will be asked. */
static slm_status announce(cli_app *app, const chat_options *options, const char *model,
                           const char *system_text, const char **prompt, slm_error *err)
{
    const char *text = options->prompt;
    if (text == NULL) return cli__remote_announce(app, model, 0, 0, 0, err);
    SLM_TRY(cli__text_or_file(app, strcmp(text, "-") == 0 ? "@-" : text, prompt, err));
    return cli__remote_announce(app, model, 1, strlen(system_text) + strlen(*prompt),
                                options->shared.max_tokens, err);
}

static slm_status answer_once(cli_app *app, slm_chat *chat, conversation *talk, const char *prompt,
                              const chat_options *options, const slm_chat_sampling *sampling,
                              const char *json_schema, slm_error *err)
{
    add_message(talk, "user", prompt);
    bool json = options->shared.json;
    slm_chat_reply *reply;
    SLM_TRY(ask(chat, talk, sampling, json_schema, 0, !json, json, &reply, err));
    if (json) {
        print_reply_json(chat, reply);
    } else {
        putchar('\n');
    }
    log_usage(&app->log, reply);
    slm_status status = SLM_OK;
    if (reply->finish == SLM_CHAT_CANCELLED) {
        status = slm_error_set(err, SLM_ERR_CANCELLED, "interrupted; the answer is not whole");
    }
    slm_chat_reply_free(reply);
    return status;
}

/* One turn of the conversation. With `forgive`, which is with a person at the terminal, an error that
 * only this turn has is told and the turn forgotten, and SIGINT stops the reply alone. */
static slm_status take_turn(cli_app *app, slm_chat *chat, conversation *talk,
                            const slm_chat_sampling *sampling, const char *text, uint32_t turn,
                            bool forgive, slm_error *err)
{
    size_t before = talk->count;
    slm_chat_reply *reply;
    slm_error error;
    add_message(talk, "user", text);
    cli_interrupted = false;
    slm_status status = ask(chat, talk, sampling, NULL, turn, true, false, &reply, &error);
    if (forgive &&
        (status == SLM_ERR_INVALID || status == SLM_ERR_LIMIT || status == SLM_ERR_NOT_FOUND)) {
        slm_log_print(&app->log, SLM_LOG_ERROR, "%s", error.message);
        cut_conversation(talk, before);
        return SLM_OK;
    }
    if (status != SLM_OK) {
        if (err != NULL) *err = error;
        return status;
    }
    putchar('\n');
    fflush(stdout);
    log_usage(&app->log, reply);
    if (reply->finish == SLM_CHAT_CANCELLED && !forgive) {
        slm_chat_reply_free(reply);
        return slm_error_set(err, SLM_ERR_CANCELLED, "interrupted; the answer is not whole");
    }
    if (reply->finish == SLM_CHAT_CANCELLED) slm_log_print(&app->log, SLM_LOG_INFO, "[stopped]");
    if (reply->finish == SLM_CHAT_LENGTH)
        slm_log_print(&app->log, SLM_LOG_INFO, "[cut off; --max-tokens and --ctx set the length]");
    add_message(talk, "assistant", reply->text);
    slm_chat_reply_free(reply);
    cli_interrupted = false;
    return SLM_OK;
}

static slm_status converse(cli_app *app, slm_chat *chat, conversation *talk,
                           const slm_chat_sampling *sampling, slm_error *err)
{
    bool interactive = isatty(STDIN_FILENO) && app->log.is_terminal;
    size_t opening = talk->count; /* the system message, if any */
    uint32_t turn = 0;
    char *line = NULL;
    size_t cap = 0;
    slm_status status = SLM_OK;
    cli__catch_interrupts(false);
    if (interactive) {
        slm_log_print(&app->log, SLM_LOG_INFO,
                      "%s. Ctrl-C stops a reply; /reset starts anew, /quit ends.", chat->name);
    }
    while (status == SLM_OK) {
        if (interactive) fputs("> ", stderr);
        errno = 0;
        ssize_t len = getline(&line, &cap, stdin);
        if (len < 0) {
            if (interactive) fputc('\n', stderr);
            if (ferror(stdin) && errno != EINTR) {
                status = slm_error_set(err, SLM_ERR_IO, "cannot read stdin: %s", strerror(errno));
            }
            break;
        }
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            line[--len] = '\0';
        if (len == 0) continue;
        if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0) break;
        if (strcmp(line, "/reset") == 0) {
            cut_conversation(talk, opening);
            turn = 0;
            slm_log_print(&app->log, SLM_LOG_INFO, "[a new conversation]");
            continue;
        }
        if (line[0] == '/') {
            slm_log_print(&app->log, SLM_LOG_INFO, "there are /reset and /quit");
            continue;
        }
        status = take_turn(app, chat, talk, sampling, line, turn++, interactive, err);
    }
    free(line);
    return status;
}

/* NULL without one. Remote models get it as it is, so that it is JSON is checked here. */
static slm_status read_schema(cli_app *app, const chat_options *options, const char **out,
                              slm_error *err)
{
    const char *path = options->json_schema;
    json_t *schema = NULL;
    if (path == NULL) return SLM_OK;
    slm_buffer argument = {0};
    slm_buffer_printf(&argument, "@%s", path);
    slm_status status = cli__text_or_file(app, slm_buffer_text(&argument), out, err);
    if (status == SLM_OK) status = slm_json_parse(*out, strlen(*out), path, 1, &schema, err);
    json_decref(schema);
    slm_buffer_free(&argument);
    return status;
}

static int run_chat(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const chat_options *options = options_in;
    slm_chat_sampling sampling = cli__sampling(&options->shared);
    slm_chat *chat = NULL;
    conversation talk = {0};
    const char *system_text, *prompt = NULL, *json_schema = NULL;
    slm_error error;
    slm_status status;
    if (options->shared.json && options->prompt == NULL) {
        status = slm_error_set(&error, SLM_ERR_INVALID, "--json needs one prompt: -p TEXT");
        goto out;
    }
    if (options->json_schema != NULL && options->prompt == NULL) {
        status = slm_error_set(&error, SLM_ERR_INVALID, "--json-schema needs one prompt: -p TEXT");
        goto out;
    }
    SLM_TRY_OUT(slm_chat_sampling_check(&sampling, &error));
    SLM_TRY_OUT(read_schema(app, options, &json_schema, &error));
    SLM_TRY_OUT(cli__text_or_file(app, options->system_text, &system_text, &error));
    SLM_TRY_OUT(cli__remote_start(app, &options->shared, arguments->items, 1, &error));
    SLM_TRY_OUT(announce(app, options, arguments->items[0], system_text, &prompt, &error));
    if (app->remote.dry_run) goto out;
    slm_open_options open = cli__open_options(&options->shared);
    if (open.batch == 0) open.batch = 1;
    SLM_TRY_OUT(slm_open_chat(arguments->items[0], &open, &chat, &error));
    if (system_text[0] != '\0') add_message(&talk, "system", system_text);
    if (options->prompt != NULL) {
        cli__catch_interrupts(true);
        status = answer_once(app, chat, &talk, prompt, options, &sampling, json_schema, &error);
    } else {
        status = converse(app, chat, &talk, &sampling, &error);
    }
out:
    cut_conversation(&talk, 0);
    free(talk.messages);
    slm_chat_free(chat);
    cli__remote_finish(app);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option chat_table[] = {
    {.name = "prompt",
     .letter = 'p',
     .type = SLM_OPTION_STRING,
     .offset = offsetof(chat_options, prompt),
     .value_name = "TEXT|@FILE|-",
     .help = "answer this and end; @FILE reads a file, - reads stdin",
     .group = "Chat"},
    {.name = "system",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(chat_options, system_text),
     .value_name = "TEXT|@FILE",
     .default_text = cli_default_system_text,
     .help = "the system text; \"\" sends none"},
    {.name = "json-schema",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(chat_options, json_schema),
     .value_name = "FILE",
     .help = "hold the answer of -p to this JSON Schema; see docs/json-schema.md"},
    {.name = NULL},
};

const slm_command cli_command_chat = {
    .name = "chat",
    .usage = "MODEL",
    .summary = "talk to a model, or -p TEXT for one answer",
    .description =
        "Talks to a model in the terminal. The reply appears as it is made; Ctrl-C stops it, "
        "/reset "
        "starts a new conversation, /quit ends. Without a terminal every line of stdin is a "
        "turn.\n\n"
        "With -p it answers once. With -p and --json it prints one object: text, finish, usage, "
        "prompt_ids, reply_ids, and for each of these the log-probability over the whole "
        "vocabulary.",
    .example = "# talk\nslm chat model.gguf\n"
               "# one answer, the likeliest, with its token ids and log-probabilities\n"
               "slm chat model.gguf -p 'My knee hurts.' --temperature 0 --json\n"
               "# a value of a JSON Schema and nothing else\n"
               "slm chat model.gguf -p 'Is a fever of 40 high?' --json-schema verdict.json\n"
               "# a model behind an API, and a server of your own\n"
               "slm chat openai:gpt-4.1 -p 'My knee hurts.'\n"
               "slm chat openai:llama@http://127.0.0.1:8080/v1",
    .tables = {chat_table, cli_sampling_options, cli_machine_options, cli_remote_options,
               cli_json_options, cli_common_options},
    .options_bytes = sizeof(chat_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_chat,
};
