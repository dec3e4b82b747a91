/* recipe.c: a recipe's keys in one table each, read from YAML and from --set.
 *
 * A recipe has keys of its own (model, output ...) and sections (lora, sft ...); a section that stands
 * in the file, even empty, is a stage that runs. Every value is held to its row's type and bounds,
 * and an unknown key is an error that names the nearest. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "base/yaml.h"
#include "open/open.h"
#include "train_internal.h"

/* clang-format off */
#define FIELD(type, member) .offset = offsetof(type, member)

static const slm_option run_table[] = {
    {.name = "model", .type = SLM_OPTION_STRING, FIELD(slm_recipe_run, model), .value_name = "MODEL",
     .help = "the base: a .gguf file or a Hugging Face folder; with +DIR to go on with an adapter"},
    {.name = "output", .type = SLM_OPTION_FILE, FIELD(slm_recipe_run, output), .value_name = "DIR",
     .help = "folder for everything that is made"},
    {.name = "seed", .type = SLM_OPTION_INT, FIELD(slm_recipe_run, seed), .min = 0, .max = 1e15,
     .value_name = "N", .default_text = "0", .help = "of the adapter's start, the order of data, and rollouts"},
    {.name = "train", .type = SLM_OPTION_CHOICE, FIELD(slm_recipe_run, train),
     .choices = "adapter|layers|all", .value_name = "WHAT", .default_text = "adapter",
     .help = "a LoRA adapter beside the base, the weights of its layers, or embedding and head too"},
    {.name = "template", .type = SLM_OPTION_STRING, FIELD(slm_recipe_run, template),
     .value_name = "NAME", .help = "chat template instead of the model's own"},
    {.name = "system", .type = SLM_OPTION_STRING, FIELD(slm_recipe_run, system), .value_name = "TEXT",
     .default_text = "You are a helpful assistant.",
     .help = "system text before every conversation without one; \"\" for none"},
    {.name = "thinking", .type = SLM_OPTION_CHOICE, FIELD(slm_recipe_run, thinking),
     .choices = "off|on", .value_name = "WHEN", .default_text = "off",
     .help = "on: examples bring thoughts, practice and measuring have them; off: an empty one is prompt"},
    {.name = "time-budget-minutes", .type = SLM_OPTION_NUMBER,
     FIELD(slm_recipe_run, time_budget_minutes), .min = 0, .max = 1e6, .value_name = "N",
     .default_text = "0", .help = "stop a stage, saved, when it has taken so long; 0: no limit"},
    {.name = NULL},
};

static const slm_option lora_table[] = {
    {.name = "rank", .type = SLM_OPTION_INT, FIELD(slm_recipe_lora, rank), .min = 1, .max = 4096,
     .value_name = "N", .default_text = "16", .help = "of A and B"},
    {.name = "alpha", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_lora, alpha), .min = 1e-6,
     .max = 1e6, .value_name = "X", .default_text = "32", .help = "B A x is scaled by alpha / rank"},
    {.name = "dropout", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_lora, dropout), .min = 0,
     .max = 0.95, .value_name = "P", .default_text = "0",
     .help = "of what feeds A; sft alone: a recipe with grpo wants 0, as it trains what was sampled"},
    {.name = "rank-stabilised", .type = SLM_OPTION_FLAG, FIELD(slm_recipe_lora, rank_stabilised),
     .help = "scale by alpha / sqrt(rank)"},
    {.name = "matrices", .type = SLM_OPTION_STRING, FIELD(slm_recipe_lora, matrices),
     .value_name = "LIST", .default_text = "q,k,v,o,gate,up,down",
     .help = "those with an adapter beside them, separated by commas"},
    {.name = NULL},
};

#define OPTIMISER(where, rate_text, schedule_text)                                                  \
    {.name = "rate", .type = SLM_OPTION_NUMBER, FIELD(where, optimiser.rate), .min = 0, .max = 1,   \
     .value_name = "X", .default_text = rate_text, .help = "the highest learning rate"},           \
    {.name = "schedule", .type = SLM_OPTION_CHOICE, FIELD(where, optimiser.schedule),               \
     .choices = "constant|linear|cosine", .value_name = "NAME", .default_text = schedule_text,     \
     .help = "how the rate falls after its warm-up"},                                              \
    {.name = "warmup", .type = SLM_OPTION_NUMBER, FIELD(where, optimiser.warmup), .min = 0,         \
     .max = 1, .value_name = "SHARE", .default_text = "0.05",                                      \
     .help = "share of the steps in which the rate rises from 0"},                                 \
    {.name = "beta1", .type = SLM_OPTION_NUMBER, FIELD(where, optimiser.beta1), .min = 0,           \
     .max = 0.999999, .value_name = "X", .default_text = "0.9", .help = "AdamW: of the mean"},     \
    {.name = "beta2", .type = SLM_OPTION_NUMBER, FIELD(where, optimiser.beta2), .min = 0,           \
     .max = 0.999999, .value_name = "X", .default_text = "0.999", .help = "AdamW: of the square"}, \
    {.name = "eps", .type = SLM_OPTION_NUMBER, FIELD(where, optimiser.eps), .min = 1e-15, .max = 1, \
     .value_name = "X", .default_text = "1e-8", .help = "AdamW: below the fraction"},              \
    {.name = "decay", .type = SLM_OPTION_NUMBER, FIELD(where, optimiser.decay), .min = 0, .max = 1, \
     .value_name = "X", .default_text = "0", .help = "AdamW: weight decay, of matrices alone"},    \
    {.name = "clip", .type = SLM_OPTION_NUMBER, FIELD(where, optimiser.clip), .min = 0, .max = 1e6, \
     .value_name = "X", .default_text = "1", .help = "largest norm of the gradient; 0: no limit"}

static const slm_option sft_table[] = {
    {.name = "data", .type = SLM_OPTION_FILES, FIELD(slm_recipe_sft, data), .value_name = "FILE",
     .help = "examples: cases with a reply, or JSON Lines of {\"messages\": [...]}"},
    {.name = "dev", .type = SLM_OPTION_FILES, FIELD(slm_recipe_sft, dev), .value_name = "FILE",
     .help = "development examples, by whose loss the best checkpoint is chosen"},
    {.name = "dev-share", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_sft, dev_share), .min = 0,
     .max = 0.9, .value_name = "SHARE", .default_text = "0.06",
     .help = "without dev: of the data's families, held back for it"},
    {.name = "replay", .type = SLM_OPTION_FILES, FIELD(slm_recipe_sft, replay), .value_name = "FILE",
     .help = "general conversations, which the base answers itself and is to keep to"},
    {.name = "replay-share", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_sft, replay_share),
     .min = 0, .max = 0.9, .value_name = "SHARE", .default_text = "0.15",
     .help = "share of all examples that are replayed, where replay names some"},
    {.name = "epochs", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_sft, epochs), .min = 0.001,
     .max = 1000, .value_name = "X", .default_text = "2", .help = "passes over the examples"},
    {.name = "batch", .type = SLM_OPTION_INT, FIELD(slm_recipe_sft, batch), .min = 1, .max = 65536,
     .value_name = "N", .default_text = "16", .help = "examples in a step"},
    {.name = "max-tokens", .type = SLM_OPTION_INT, FIELD(slm_recipe_sft, max_tokens), .min = 8,
     .max = 131072, .value_name = "N", .default_text = "1024",
     .help = "longest example; longer ones are left out and counted"},
    {.name = "rows", .type = SLM_OPTION_INT, FIELD(slm_recipe_sft, rows), .min = 8, .max = 131072,
     .value_name = "N", .default_text = "1024", .help = "tokens computed at once, packed"},
    {.name = "checkpointing", .type = SLM_OPTION_FLAG, FIELD(slm_recipe_sft, checkpointing),
     .help = "keep each layer's input alone and compute it again: less memory, more time"},
    {.name = "save-steps", .type = SLM_OPTION_INT, FIELD(slm_recipe_sft, save_steps), .min = 1,
     .max = 1e9, .value_name = "N", .default_text = "20", .help = "a checkpoint each N steps"},
    {.name = "dev-steps", .type = SLM_OPTION_INT, FIELD(slm_recipe_sft, dev_steps), .min = 1,
     .max = 1e9, .value_name = "N", .default_text = "20",
     .help = "development loss each N steps, and at both ends"},
    {.name = "interpolate", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_sft, interpolate), .min = 0,
     .max = 1, .value_name = "SHARE", .default_text = "1",
     .help = "of what was learnt the share that is kept: the base's weights are the rest"},
    OPTIMISER(slm_recipe_sft, "2e-4", "cosine"),
    {.name = NULL},
};

static const slm_option grpo_table[] = {
    {.name = "data", .type = SLM_OPTION_FILES, FIELD(slm_recipe_grpo, data), .value_name = "FILE",
     .help = "cases to practise on"},
    {.name = "dev", .type = SLM_OPTION_FILES, FIELD(slm_recipe_grpo, dev), .value_name = "FILE",
     .help = "development cases: is there something to learn from, and which checkpoint is best"},
    {.name = "env", .type = SLM_OPTION_CHOICE, FIELD(slm_recipe_grpo, env),
     .choices = "single-turn|multi-turn", .value_name = "NAME", .default_text = "single-turn",
     .help = "one reply, or a talk with a patient who tells what is asked"},
    {.name = "turns", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, turns), .min = 1, .max = 32,
     .value_name = "N", .default_text = "4", .help = "multi-turn: replies of an episode at most"},
    {.name = "patient", .type = SLM_OPTION_STRING, FIELD(slm_recipe_grpo, patient),
     .value_name = "MODEL",
     .help = "multi-turn: a chat model that speaks for the patient, bound to the facts"},
    {.name = "judge", .type = SLM_OPTION_STRINGS, FIELD(slm_recipe_grpo, judge),
     .value_name = "JUDGE",
     .help = "who grades for reward.rubric: rule, rule+ENCODER, or a MODEL; several are a jury"},
    {.name = "steps", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, steps), .min = 1, .max = 1e9,
     .value_name = "N", .default_text = "100", .help = "batches of rollouts"},
    {.name = "prompts", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, prompts), .min = 1,
     .max = 4096, .value_name = "N", .default_text = "8", .help = "cases of a step"},
    {.name = "rollouts", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, rollouts), .min = 2,
     .max = 1024, .value_name = "N", .default_text = "8", .help = "of each case"},
    {.name = "train-per-group", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, train_per_group),
     .min = 0, .max = 1024, .value_name = "N", .default_text = "0",
     .help = "learn from the best and the worst N of a group, advantages from all; 0: from all"},
    {.name = "lacks", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, lacks), .min = 0, .max = 1,
     .value_name = "SHARE", .default_text = "0.5", .help = "of a step's cases: those that lack context"},
    {.name = "enough", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, enough), .min = 0,
     .max = 1, .value_name = "SHARE", .default_text = "0.35", .help = "those with enough"},
    {.name = "emergency", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, emergency), .min = 0,
     .max = 1, .value_name = "SHARE", .default_text = "0.15", .help = "emergencies"},
    {.name = "temperature", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, temperature),
     .min = 0.05, .max = 5, .value_name = "X", .default_text = "1", .help = "of rollouts"},
    {.name = "top-p", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, top_p), .min = 0, .max = 1,
     .value_name = "X", .default_text = "1",
     .help = "1: what is cut off could not be learnt from (so for the five below)"},
    {.name = "top-k", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, top_k), .min = 0, .max = 1e6,
     .value_name = "N", .default_text = "0", .help = "0"},
    {.name = "min-p", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, min_p), .min = 0, .max = 1,
     .value_name = "X", .default_text = "0", .help = "0"},
    {.name = "repetition-penalty", .type = SLM_OPTION_NUMBER,
     FIELD(slm_recipe_grpo, repetition_penalty), .min = 0, .max = 10, .value_name = "X",
     .default_text = "1", .help = "1"},
    {.name = "presence-penalty", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, presence_penalty),
     .min = -10, .max = 10, .value_name = "X", .default_text = "0", .help = "0"},
    {.name = "frequency-penalty", .type = SLM_OPTION_NUMBER,
     FIELD(slm_recipe_grpo, frequency_penalty), .min = -10, .max = 10, .value_name = "X",
     .default_text = "0", .help = "0"},
    {.name = "max-tokens", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, max_tokens), .min = 1,
     .max = 131072, .value_name = "N", .default_text = "256", .help = "of a reply"},
    {.name = "loss", .type = SLM_OPTION_CHOICE, FIELD(slm_recipe_grpo, loss),
     .choices = "grpo|dr_grpo|dapo|gspo", .value_name = "NAME", .default_text = "dr_grpo",
     .help = "how tokens and rollouts are averaged, and what is clipped"},
    {.name = "advantage", .type = SLM_OPTION_CHOICE, FIELD(slm_recipe_grpo, advantage),
     .choices = "leave-one-out|mean|mean-std", .value_name = "NAME",
     .default_text = "leave-one-out", .help = "a rollout's reward against those of its group"},
    {.name = "clip-low", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, clip_low), .min = 0,
     .max = 1, .value_name = "X", .default_text = "0.2", .help = "how far a probability may fall"},
    {.name = "clip-high", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, clip_high), .min = 0,
     .max = 10, .value_name = "X", .default_text = "0.28", .help = "and rise, with one batch"},
    {.name = "kl", .type = SLM_OPTION_CHOICE, FIELD(slm_recipe_grpo, kl),
     .choices = "start|base|none", .value_name = "NAME", .default_text = "start",
     .help = "what the policy is held near: itself as the stage began, the base, nothing"},
    {.name = "kl-weight", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, kl_weight), .min = 0,
     .max = 100, .value_name = "X", .default_text = "0.02", .help = "how strongly"},
    {.name = "updates", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, updates), .min = 1,
     .max = 100, .value_name = "N", .default_text = "1", .help = "of the weights with one batch"},
    {.name = "mask-cut-off", .type = SLM_OPTION_FLAG, FIELD(slm_recipe_grpo, mask_cut_off),
     .help = "learn nothing from replies that max_tokens cut off"},
    {.name = "overlong-tokens", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, overlong_tokens),
     .min = 0, .max = 131072, .value_name = "N", .default_text = "0",
     .help = "of max_tokens the last N cost more and more, up to 1; 0: none do"},
    {.name = "min-spread", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_grpo, min_spread), .min = 0,
     .max = 1, .value_name = "SHARE", .default_text = "0.2",
     .help = "do not begin unless so many development groups of each stratum have spread"},
    {.name = "check-cases", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, check_cases), .min = 1,
     .max = 1e6, .value_name = "N", .default_text = "10",
     .help = "development cases of each stratum that this is asked of"},
    {.name = "rows", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, rows), .min = 8, .max = 131072,
     .value_name = "N", .default_text = "2048", .help = "tokens computed at once, a group's prompt once"},
    {.name = "checkpointing", .type = SLM_OPTION_FLAG, FIELD(slm_recipe_grpo, checkpointing),
     .help = "keep each layer's input alone and compute it again"},
    {.name = "save-steps", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, save_steps), .min = 1,
     .max = 1e9, .value_name = "N", .default_text = "5", .help = "a checkpoint each N steps"},
    {.name = "dev-steps", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, dev_steps), .min = 1,
     .max = 1e9, .value_name = "N", .default_text = "20", .help = "development reward each N steps"},
    {.name = "dev-rollouts", .type = SLM_OPTION_INT, FIELD(slm_recipe_grpo, dev_rollouts), .min = 1,
     .max = 1024, .value_name = "N", .default_text = "2", .help = "of each development case then"},
    {.name = "dev-cases",
     .type = SLM_OPTION_INT,
     FIELD(slm_recipe_grpo, dev_cases),
     .min = 0,
     .max = 1e9,
     .value_name = "N",
     .default_text = "0",
     .help = "development cases of each stratum that are asked then; 0: all"},
    OPTIMISER(slm_recipe_grpo, "2e-5", "constant"),
    {.name = NULL},
};

static const slm_option eval_table[] = {
    {.name = "cases", .type = SLM_OPTION_FILES, FIELD(slm_recipe_eval, cases), .value_name = "FILE",
     .help = "cases that were neither learnt nor practised"},
    {.name = "system", .type = SLM_OPTION_STRINGS, FIELD(slm_recipe_eval, system),
     .value_name = "TEXT|@FILE",
     .help = "measure the base with this system text too: what a prompt alone can do"},
    {.name = "env", .type = SLM_OPTION_CHOICE, FIELD(slm_recipe_eval, env),
     .choices = "single-turn|multi-turn", .value_name = "NAME", .default_text = "single-turn",
     .help = "as in grpo: what was practised in talks is measured in talks"},
    {.name = "turns", .type = SLM_OPTION_INT, FIELD(slm_recipe_eval, turns), .min = 1, .max = 32,
     .value_name = "N", .default_text = "4", .help = "multi-turn: replies of an episode at most"},
    {.name = "patient", .type = SLM_OPTION_STRING, FIELD(slm_recipe_eval, patient),
     .value_name = "MODEL",
     .help = "multi-turn: a chat model that speaks for the patient, bound to the facts"},
    {.name = "rollouts", .type = SLM_OPTION_INT, FIELD(slm_recipe_eval, rollouts), .min = 1,
     .max = 100000, .value_name = "N", .default_text = "4", .help = "answers to each case"},
    {.name = "max-tokens", .type = SLM_OPTION_INT, FIELD(slm_recipe_eval, max_tokens), .min = 1,
     .max = 131072, .value_name = "N", .default_text = "256", .help = "of an answer"},
    {.name = "temperature", .type = SLM_OPTION_NUMBER, FIELD(slm_recipe_eval, temperature),
     .min = 0, .max = 5, .value_name = "X", .default_text = "0.7", .help = "of answers"},
    {.name = "judge", .type = SLM_OPTION_STRING, FIELD(slm_recipe_eval, judge),
     .value_name = "JUDGE", .default_text = "rule", .help = "who grades them"},
    {.name = NULL},
};
/* clang-format on */

/* A section, and where its values go. */
typedef struct section {
    slm_command keys;
    size_t offset;     /* in slm_recipe */
    size_t has_offset; /* of "it stands in the file"; 0: always there */
    const char *about;
} section;

static const section sections[] = {
    {{.name = "", .tables = {run_table}, .options_bytes = sizeof(slm_recipe_run)},
     offsetof(slm_recipe, run),
     0,
     "The run as a whole; these keys stand at the top level."},
    {{.name = "lora", .tables = {lora_table}, .options_bytes = sizeof(slm_recipe_lora)},
     offsetof(slm_recipe, lora),
     0,
     "The adapter, where `train` is `adapter` and the model brings none."},
    {{.name = "sft", .tables = {sft_table}, .options_bytes = sizeof(slm_recipe_sft)},
     offsetof(slm_recipe, sft),
     offsetof(slm_recipe, has_sft),
     "Learning from examples."},
    {{.name = "grpo", .tables = {grpo_table}, .options_bytes = sizeof(slm_recipe_grpo)},
     offsetof(slm_recipe, grpo),
     offsetof(slm_recipe, has_grpo),
     "Practice in an environment."},
    {{.name = "reward",
      .tables = {slm_reward_option_table},
      .options_bytes = sizeof(slm_reward_options)},
     offsetof(slm_recipe, reward),
     0,
     "What practice is rewarded for: weights of the parts (docs/rewards.md)."},
    {{.name = "eval", .tables = {eval_table}, .options_bytes = sizeof(slm_recipe_eval)},
     offsetof(slm_recipe, eval),
     offsetof(slm_recipe, has_eval),
     "What is measured before the first stage and after each."},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

static void *values_of(slm_recipe *recipe, const section *s)
{
    return (char *)recipe + s->offset;
}

static const section *find_section(const char *name)
{
    for (size_t i = 0; i < SECTIONS; i++)
        if (strcmp(sections[i].keys.name, name) == 0) return &sections[i];
    return NULL;
}

/* The row of a key, which may be written with '_' or '-'; NULL where there is none. */
static const slm_option *find_row(const section *s, const char *key)
{
    for (const slm_option *row = s->keys.tables[0]; row->name; row++) {
        const char *a = row->name, *b = key;
        for (; *a && (*a == *b || (*a == '-' && *b == '_')); b++)
            a++;
        if (!*a && !*b) return row;
    }
    return NULL;
}

static bool is_list(const slm_option *row)
{
    return row->type == SLM_OPTION_FILES || row->type == SLM_OPTION_STRINGS;
}

/* The key as a recipe and --set have it: grpo.train_per_group. */
static void append_key(const section *s, const slm_option *row, slm_buffer *out)
{
    slm_buffer_printf(out, "%s%s", s->keys.name, *s->keys.name ? "." : "");
    for (const char *c = row->name; *c; c++)
        slm_buffer_append_char(out, *c == '-' ? '_' : *c);
}

/* "there is no section dpo; there are lora, sft, ..." */
static void append_no_section(const char *name, slm_buffer *out)
{
    const char *names[SECTIONS];
    for (size_t i = 1; i < SECTIONS; i++)
        names[i - 1] = sections[i].keys.name;
    const char *near = slm_options_nearest(name, names, SECTIONS - 1);
    slm_buffer_printf(out, "there is no section %s", name);
    if (near) slm_buffer_printf(out, "; did you mean %s?", near);
    slm_buffer_append_text(out, near ? " There are" : "; there are");
    for (size_t i = 0; i + 1 < SECTIONS; i++)
        slm_buffer_printf(out, "%s %s", i == 0 ? "" : ",", names[i]);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* A scalar as the text that the table's rows are read from. */
static slm_status scalar_text(const json_t *value, const slm_option *row,
                              const slm_json_place *place, slm_buffer *out, slm_error *err)
{
    slm_buffer_truncate(out, 0);
    if (json_is_string(value))
        slm_buffer_append(out, json_string_value(value), json_string_length(value));
    else if (json_is_boolean(value))
        slm_buffer_append_text(out, json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        slm_buffer_printf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        slm_json_append_number(out, json_real_value(value));
    else
        return slm_json_error(
            place, err, is_list(row) ? "wants a value, or a list of values" : "wants a value");
    return SLM_OK;
}

/* where: stands before errors; NULL: nothing does. */
static slm_status set_value(slm_recipe *recipe, const section *s, const char *key, const char *text,
                            const char *where, slm_error *err)
{
    if (!find_row(s, key) && find_row(&sections[0], key)) {
        slm_error_set(err, SLM_ERR_INVALID,
                      "%s is a key of the whole recipe, not of %s: it stands at the top level", key,
                      s->keys.name);
        return where ? slm_error_prefix(err, SLM_ERR_INVALID, "%s", where) : SLM_ERR_INVALID;
    }
    return slm_options_set(&s->keys, key, text, where, values_of(recipe, s), &recipe->arena, err);
}

static slm_status set_key(slm_recipe *recipe, const section *s, const slm_json_place *parent,
                          const char *key, const json_t *value, slm_error *err)
{
    const slm_json_place place = {.parent = parent, .key = key};
    const slm_option *row = find_row(s, key);
    const size_t count = row && json_is_array(value) ? json_array_size(value) : 1;
    slm_status status = SLM_OK;
    slm_buffer text = {0}, where = {0};
    slm_json_place_text(parent, &where);
    if (row && !is_list(row) && json_is_array(value))
        status = slm_json_error(&place, err, "takes one value, not a list");
    for (size_t i = 0; i < count && status == SLM_OK; i++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;
        if (row) status = scalar_text(one, row, &place, &text, err);
        if (status == SLM_OK)
            status =
                set_value(recipe, s, key, slm_buffer_text(&text), slm_buffer_text(&where), err);
    }
    slm_buffer_free(&text);
    slm_buffer_free(&where);
    return status;
}

static slm_status no_section(const slm_json_place *place, const char *name, slm_error *err)
{
    slm_buffer text = {0};
    append_no_section(name, &text);
    slm_status status = slm_json_error(place, err, "%s", slm_buffer_text(&text));
    slm_buffer_free(&text);
    return status;
}

static slm_status read_section(slm_recipe *recipe, const section *s, const slm_yaml *yaml,
                               const json_t *object, slm_error *err)
{
    const char *key;
    json_t *value;
    if (s->has_offset) *(bool *)((char *)recipe + s->has_offset) = true;
    if (json_is_null(object)) return SLM_OK;
    const slm_json_place place = slm_yaml_place(yaml, object);
    if (!json_is_object(object))
        return slm_json_error(&place, err, "%s must hold keys and their values", s->keys.name);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const section *inner = s->keys.name[0] == '\0' ? find_section(key) : NULL;
        const slm_json_place at = {.name = place.name, .line = slm_yaml_key_line(yaml, key)};
        if (inner)
            SLM_TRY(read_section(recipe, inner, yaml, value, err));
        else if (s->keys.name[0] == '\0' && !find_row(s, key) &&
                 (json_is_object(value) || json_is_null(value)))
            return no_section(&at, key, err);
        else
            SLM_TRY(set_key(recipe, s, &at, key, value, err));
    }
    return SLM_OK;
}

/* A list that is set begins anew: the first of sets[0..index] that names its key empties it. */
static void begin_list(slm_recipe *recipe, const section *s, const char *key,
                       const char *const *sets, size_t index)
{
    const size_t len = strcspn(sets[index], "=") + 1;
    for (size_t i = 0; i < index; i++)
        if (strncmp(sets[i], sets[index], len) == 0) return;
    const slm_option *row = find_row(s, key);
    if (row && is_list(row))
        *(slm_option_list *)(void *)((char *)values_of(recipe, s) + row->offset) =
            (slm_option_list){0};
}

enum { SET_SHOWN_BYTES = 80 };

/* The setting as errors show it: so much of it that the reason has room behind it. */
static void append_set(const char *set, slm_buffer *out)
{
    size_t len = strlen(set);
    const bool cut = len > SET_SHOWN_BYTES;
    if (cut) len = SET_SHOWN_BYTES - slm_utf8_incomplete_tail(set, SET_SHOWN_BYTES);
    slm_buffer_append_text(out, "--set ");
    slm_utf8_append_valid(out, set, len);
    if (cut) slm_buffer_append_text(out, "...");
}

/* "sft.rate=1e-4", "model=x.gguf"; errors do not say yet of which setting they are. */
static slm_status take_set(slm_recipe *recipe, const char *const *sets, size_t index,
                           slm_error *err)
{
    const char *const set = sets[index];
    char name[64];
    const char *equals = strchr(set, '='), *dot = strchr(set, '.');
    if (dot && equals && dot > equals) dot = NULL;
    const char *key = dot ? dot + 1 : set;
    snprintf(name, sizeof name, "%.*s", dot ? (int)(dot - set) : 0, set);
    const section *s = find_section(name);
    if (!equals || dot == set || equals == key)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "write it as SECTION.KEY=VALUE, or KEY=VALUE at the top level");
    if (!s) {
        slm_buffer text = {0};
        append_no_section(name, &text);
        slm_error_set(err, SLM_ERR_INVALID, "%s", slm_buffer_text(&text));
        slm_buffer_free(&text);
        return SLM_ERR_INVALID;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - key), key);
    if (!dot && find_section(name))
        return slm_error_set(err, SLM_ERR_INVALID, "%s is a section: write %s.KEY=VALUE", name,
                             name);
    if (s->has_offset) *(bool *)((char *)recipe + s->has_offset) = true;
    begin_list(recipe, s, name, sets, index);
    return set_value(recipe, s, name, equals + 1, NULL, err);
}

static slm_status read_set(slm_recipe *recipe, const char *const *sets, size_t index,
                           slm_error *err)
{
    slm_buffer shown = {0};
    slm_status status = take_set(recipe, sets, index, err);
    if (status != SLM_OK) {
        append_set(sets[index], &shown);
        status = slm_error_prefix(err, status, "%s", slm_buffer_text(&shown));
    }
    slm_buffer_free(&shown);
    return status;
}

/* ---- checking ------------------------------------------------------------------------------ */

static slm_status check_patient(const slm_recipe *r, const char *name, const char *env,
                                const char *patient, slm_error *err)
{
    if (!patient || strcmp(env, "multi-turn") == 0) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID,
                         "%s: %s.patient answers questions, and a single turn has no place for "
                         "answers; set %s.env to multi-turn",
                         r->path, name, name);
}

/* A log-probability is that of the whole distribution at the temperature (ARCHITECTURE.md, 2c): what
 * truncation, penalties or dropout would make of it is not what was sampled. */
static slm_status check_grpo(const slm_recipe *r, slm_error *err)
{
    const slm_recipe_grpo *o = &r->grpo;
    const struct {
        bool wrong;
        const char *key, *want;
    } sampling[] = {{o->top_p < 1, "top_p", "1"},
                    {o->top_k != 0, "top_k", "0"},
                    {o->min_p != 0, "min_p", "0"},
                    {o->repetition_penalty != 1, "repetition_penalty", "1"},
                    {o->presence_penalty != 0, "presence_penalty", "0"},
                    {o->frequency_penalty != 0, "frequency_penalty", "0"}};
    for (size_t i = 0; i < sizeof sampling / sizeof *sampling; i++)
        if (sampling[i].wrong)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "%s: grpo.%s must be %s: rollouts drawn from a changed "
                                 "distribution are not what the gradient is of",
                                 r->path, sampling[i].key, sampling[i].want);
    if (r->lora.dropout > 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: lora.dropout must be 0 with grpo: the model that is trained must "
                             "be the one that was sampled",
                             r->path);
    if (o->data.count == 0 || o->dev.count == 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: grpo: which cases? Set the keys data and "
                             "dev",
                             r->path);
    if (o->lacks + o->enough + o->emergency <= 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: grpo: lacks, enough and emergency are all 0", r->path);
    if (r->reward.weights[SLM_REWARD_RUBRIC] > 0 && o->judge.count == 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: reward.rubric is %g, but who grades? Set grpo.judge (rule, "
                             "rule+ENCODER, or a MODEL), or reward.rubric to 0",
                             r->path, r->reward.weights[SLM_REWARD_RUBRIC]);
    if (r->reward.weights[SLM_REWARD_RUBRIC] == 0 && o->judge.count > 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: grpo.judge would be asked nothing, since reward.rubric is 0; set "
                             "its weight, or leave the judge out",
                             r->path);
    SLM_TRY(check_patient(r, "grpo", o->env, o->patient, err));
    if (strcmp(o->kl, "base") == 0 && !slm_recipe_wants_adapter(r))
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "%s: grpo.kl: base needs train: adapter; with train: %s set it to start", r->path,
            r->run.train);
    if (o->overlong_tokens > o->max_tokens)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: grpo.overlong_tokens is %lld of max_tokens %lld", r->path,
                             (long long)o->overlong_tokens, (long long)o->max_tokens);
    if (o->train_per_group > o->rollouts)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: grpo.train_per_group is %lld of %lld rollouts", r->path,
                             (long long)o->train_per_group, (long long)o->rollouts);
    return slm_reward_options_check(&r->reward, err);
}

/* A model that brings an adapter: that is what is trained, and what of it is new is not known later. */
static slm_status check_adapter(const slm_recipe *r, slm_error *err)
{
    char *base = NULL, *adapter = NULL;
    slm_status status = SLM_OK;
    slm_open_split(r->run.model, &base, &adapter);
    if (adapter && !slm_recipe_wants_adapter(r))
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "%s: model brings the adapter %s, for which train: %s has no place; "
                               "merge it first with slm export",
                               r->path, adapter, r->run.train);
    else if (adapter && r->has_sft && r->sft.interpolate < 1)
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "%s: sft.interpolate would also take away what the adapter %s knew "
                               "before; leave it out, or merge the adapter first with slm export",
                               r->path, adapter);
    free(base);
    free(adapter);
    return status;
}

static slm_status check(const slm_recipe *r, slm_error *err)
{
    slm_lora_options lora;
    if (!r->run.model)
        return slm_error_set(err, SLM_ERR_INVALID, "%s: which model? Set the key model", r->path);
    if (!r->run.output)
        return slm_error_set(err, SLM_ERR_INVALID, "%s: where to? Set the key output", r->path);
    if (!r->has_sft && !r->has_grpo)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: no stage; a recipe has a section sft, grpo, or both", r->path);
    if (r->has_sft && r->sft.data.count == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "%s: sft: which examples? Set the key data",
                             r->path);
    if (r->sft.rows < r->sft.max_tokens)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: sft.rows is %lld, less than max_tokens (%lld): the longest "
                             "example must fit",
                             r->path, (long long)r->sft.rows, (long long)r->sft.max_tokens);
    if (r->run.system[0] == '@')
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: system is the text itself, and cannot begin with '@': write out "
                             "what stands in %s",
                             r->path, r->run.system + 1);
    SLM_TRY(check_adapter(r, err));
    if (r->has_eval && r->eval.cases.count == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "%s: eval: which cases? Set the key cases",
                             r->path);
    SLM_TRY(check_patient(r, "eval", r->eval.env, r->eval.patient, err));
    if (r->has_grpo) SLM_TRY(check_grpo(r, err));
    return slm_recipe_lora_options(r, &lora, err);
}

/* Keys that change nothing of what a stage computes; or, like files, count by what they name. */
static bool is_beside(const char *name)
{
    static const char *const beside[] = {"time-budget-minutes", "save-steps", "judge", "patient",
                                         "interpolate"};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (strcmp(name, beside[i]) == 0) return true;
    return false;
}

static bool is_among(const char *name, const char *const *list)
{
    while (*list && strcmp(name, *list) != 0)
        list++;
    return *list != NULL;
}

/* A value as text; false: files and folders count by what is in them, not by where they are. */
static bool append_value(const slm_option *row, const char *at, const slm_lora_options *lora,
                         slm_buffer *out)
{
    switch (row->type) {
    case SLM_OPTION_FLAG:
        slm_buffer_append_text(out, *(const bool *)at ? "true" : "false");
        return true;
    case SLM_OPTION_INT:
        slm_buffer_printf(out, "%lld", (long long)*(const int64_t *)at);
        return true;
    case SLM_OPTION_NUMBER:
        slm_json_append_number(out, *(const double *)at);
        return true;
    default:
        if (strcmp(row->name, "matrices") == 0) {
            slm_buffer_printf(out, "%u", lora->matrices);
            return true;
        }
        if (row->type != SLM_OPTION_CHOICE &&
            (row->type != SLM_OPTION_STRING || strcmp(row->name, "system") != 0))
            return false;
        const char *text = *(const char *const *)at;
        slm_json_append_string(out, text, strlen(text));
        return true;
    }
}

/* Everything that decides what is computed, in the tables' order. */
static slm_status list_settings(slm_recipe *r, const char *const *left_out,
                                slm_recipe_settings *out, slm_error *err)
{
    slm_lora_options lora;
    SLM_TRY(slm_recipe_lora_options(r, &lora, err));
    slm_buffer text = {0};
    for (size_t i = 0; i < SECTIONS; i++) {
        if (is_among(sections[i].keys.name, left_out)) continue;
        for (const slm_option *row = sections[i].keys.tables[0]; row->name; row++) {
            const char *at = (const char *)values_of(r, &sections[i]) + row->offset;
            const size_t begin = text.len;
            if (is_beside(row->name)) continue;
            append_key(&sections[i], row, &text);
            slm_buffer_append_char(&text, '=');
            if (append_value(row, at, &lora, &text))
                slm_buffer_append_char(&text, '\n');
            else
                slm_buffer_truncate(&text, begin);
        }
    }
    if (is_among("sft", left_out) && r->has_sft && r->sft.interpolate < 1) {
        slm_buffer_append_text(&text, "sft.interpolate="); /* what practice begins with */
        slm_json_append_number(&text, r->sft.interpolate);
        slm_buffer_append_char(&text, '\n');
    }
    out->text = slm_arena_strdup(&r->arena, slm_buffer_text(&text));
    slm_sha256_hex(text.data, text.len, out->sha256);
    slm_buffer_free(&text);
    return SLM_OK;
}

slm_status slm_recipe_load(const char *path, const char *const *sets, size_t set_count,
                           slm_recipe *out, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_yaml *yaml = NULL;
    *out = (slm_recipe){0};
    out->path = slm_arena_strdup(&out->arena, path);
    for (size_t i = 0; i < SECTIONS; i++)
        slm_options_defaults(&sections[i].keys, values_of(out, &sections[i]), &out->arena);
    SLM_TRY_OUT(slm_yaml_load(path, &yaml, err));
    SLM_TRY_OUT(read_section(out, &sections[0], yaml, slm_yaml_root(yaml), err));
    for (size_t i = 0; i < set_count; i++)
        SLM_TRY_OUT(read_set(out, sets, i, err));
    SLM_TRY_OUT(check(out, err));
    /* What is measured changes no weight; nor does a stage what another one does. */
    SLM_TRY_OUT(list_settings(out, (const char *const[]){"grpo", "reward", "eval", NULL},
                              &out->sft_settings, err));
    SLM_TRY_OUT(
        list_settings(out, (const char *const[]){"sft", "eval", NULL}, &out->grpo_settings, err));
out:
    slm_yaml_free(yaml);
    if (status != SLM_OK) slm_recipe_free(out);
    return status;
}

void slm_recipe_free(slm_recipe *recipe)
{
    slm_arena_free(&recipe->arena);
    *recipe = (slm_recipe){0};
}

bool slm_recipe_wants_adapter(const slm_recipe *r)
{
    return strcmp(r->run.train, "adapter") == 0;
}

bool slm_recipe_thinks(const slm_recipe *r)
{
    return strcmp(r->run.thinking, "on") == 0;
}

slm_status slm_recipe_lora_options(const slm_recipe *r, slm_lora_options *out, slm_error *err)
{
    static const char *const names[] = {"q", "k", "v", "o", "gate", "up", "down"};
    *out = (slm_lora_options){.rank = (int)r->lora.rank,
                              .alpha = r->lora.alpha,
                              .rank_stabilised = r->lora.rank_stabilised};
    for (const char *at = r->lora.matrices; *at;) {
        const size_t len = strcspn(at, ", ");
        bool known = len == 0;
        for (unsigned i = 0; i < 7; i++)
            if (len == strlen(names[i]) && strncmp(at, names[i], len) == 0) {
                out->matrices |= 1u << i;
                known = true;
            }
        if (!known)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "%s: lora.matrices: '%.*s' is none of q, k, v, o, gate, up, down",
                                 r->path, (int)len, at);
        at += len;
        at += strspn(at, ", ");
    }
    return SLM_OK;
}

/* ---- the reference ------------------------------------------------------------------------- */

void slm_recipe_append_settings(slm_buffer *out)
{
    for (size_t i = 0; i < SECTIONS; i++)
        for (const slm_option *row = sections[i].keys.tables[0]; row->name; row++) {
            if (out->len > 0) slm_buffer_append_char(out, ' ');
            append_key(&sections[i], row, out);
            slm_buffer_append_char(out, '=');
        }
}

static void print_bounds(const slm_option *row, FILE *out)
{
    if (row->choices) fprintf(out, "%s", row->choices);
    if (row->min != 0 || row->max != 0) fprintf(out, "%g to %g", row->min, row->max);
    if (row->type == SLM_OPTION_FLAG) fprintf(out, "true, false");
    if (row->type == SLM_OPTION_FILES) fprintf(out, "a file, or a list of files");
    if (row->type == SLM_OPTION_STRINGS) fprintf(out, "one, or a list");
}

static void print_row(const slm_option *row, bool markdown, FILE *out)
{
    char name[64];
    snprintf(name, sizeof name, "%s", row->name);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    const char *standard = row->default_text              ? row->default_text
                           : row->type == SLM_OPTION_FLAG ? "false"
                                                          : "";
    if (!markdown) {
        fprintf(out, "  %-20s %s%s%s%s\n", name, row->help, *standard ? " (default " : "", standard,
                *standard ? ")" : "");
        return;
    }
    fprintf(out, "| `%s` | ", name);
    for (const char *c = standard; *c; c++)
        fputs(*c == '|' ? "\\|" : (char[]){*c, '\0'}, out);
    fprintf(out, " | ");
    if (row->choices) {
        for (const char *c = row->choices; *c; c++)
            fputs(*c == '|' ? " or " : (char[]){*c, '\0'}, out);
    } else {
        print_bounds(row, out);
    }
    fprintf(out, " | %s |\n", row->help);
}

void slm_recipe_print_keys(bool markdown, FILE *out)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        const char *name = sections[i].keys.name[0] ? sections[i].keys.name : "the recipe";
        fprintf(out, markdown ? "%s## %s\n\n%s\n\n" : "%s%s: %s\n", i > 0 ? "\n" : "", name,
                sections[i].about);
        if (markdown) fprintf(out, "| key | default | bounds | meaning |\n|---|---|---|---|\n");
        for (const slm_option *row = sections[i].keys.tables[0]; row->name; row++)
            print_row(row, markdown, out);
    }
}
