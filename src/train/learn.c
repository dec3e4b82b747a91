/* learn.c: a step of practice from its rollouts to changed weights.
 *
 * Of each group the rollouts that teach are chosen; their turns are packed, each prompt once for the
 * replies behind it, forward and backward. The reference's log-probabilities come from the same model
 * with other numbers in what is trained for the time of a pass; at the first update those of the policy
 * are the rollouts' own, to the bit, which is counted. Later updates of the same batch are clipped
 * (objective.c). */
#include <stdlib.h>
#include <string.h>

#include "train_internal.h"

/* ---- which rollouts -------------------------------------------------------------------------- */

static int by_advantage(const void *a, const void *b)
{
    const train__rollout *const *x = a, *const *y = b;
    if ((*x)->advantage != (*y)->advantage) return (*x)->advantage < (*y)->advantage ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

void train__choose(const slm_recipe_grpo *settings, train__group *group)
{
    const size_t n = group->count, most = (size_t)settings->train_per_group;
    double *rewards = calloc(2 * n, sizeof *rewards);
    train__rollout **order = malloc(n * sizeof(train__rollout *));
    if (!rewards || !order) slm_out_of_memory(3 * n * sizeof *rewards);
    for (size_t i = 0; i < n; i++)
        rewards[i] = group->rollouts[i].reward.total;
    train__advantages(rewards, n, settings->advantage, rewards + n);
    const bool spread = train__group_has_spread(group);
    for (size_t i = 0; i < n; i++) {
        train__rollout *r = &group->rollouts[i];
        r->advantage = rewards[n + i];
        order[i] = r;
    }
    qsort(order, n, sizeof *order, by_advantage);
    for (size_t i = 0; i < n; i++) {
        const bool chosen = most == 0 || i < most / 2 || i >= n - (most + 1) / 2;
        order[i]->learnt = spread && chosen && !(settings->mask_cut_off && order[i]->cut_off);
    }
    free(rewards);
    free(order);
}

/* One turn of one rollout on its way through a batch. */
typedef struct piece {
    const train__rollout *rollout;
    const slm_chat_trace *trace;
    size_t of_rollout;                         /* tokens that are learnt of the rollout's turns */
    float *reference, *log_prob, *coefficient; /* [trace->reply_len] */
} piece;

typedef struct pieces {
    piece *items;
    size_t count;
    size_t too_long; /* left out: they do not fit into the rows */
    train__share share;
    slm_arena arena;
} pieces;

static void collect(const train__learner *l, const train__group *groups, size_t count, pieces *out)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < groups[i].count; k++)
            most += groups[i].rollouts[k].turn_count;
    out->items = slm_arena_array(&out->arena, most + 1, sizeof *out->items);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < groups[i].count; k++) {
            const train__rollout *r = &groups[i].rollouts[k];
            if (!r->learnt) continue;
            const size_t first = out->count;
            size_t tokens = 0;
            for (size_t t = 0; t < r->turn_count; t++) {
                const slm_chat_trace *trace = r->turns[t].trace;
                if (trace->reply_len == 0) continue;
                if (trace->prompt_len + trace->reply_len - 1 > (size_t)l->settings->rows) {
                    out->too_long++;
                    continue;
                }
                float *numbers =
                    slm_arena_array(&out->arena, 3 * trace->reply_len, sizeof *numbers);
                out->items[out->count++] = (piece){.rollout = r,
                                                   .trace = trace,
                                                   .reference = numbers,
                                                   .log_prob = numbers + trace->reply_len,
                                                   .coefficient = numbers + 2 * trace->reply_len};
                tokens += trace->reply_len;
            }
            for (size_t p = first; p < out->count; p++)
                out->items[p].of_rollout = tokens;
            out->share.rollouts += tokens > 0;
            out->share.tokens += tokens;
        }
}

/* ---- batches ------------------------------------------------------------------------------- */

typedef struct packed {
    slm_train_sequence sequences[2 * TRAIN_MOST_SEQUENCES];
    int32_t *ids, *want, *targets;
    float *numbers; /* [rows]: coefficients in, log-probabilities out */
    slm_train_batch batch;
} packed;

static bool same_prompt(const piece *a, const piece *b)
{
    return a->trace->prompt_len == b->trace->prompt_len &&
           memcmp(a->trace->prompt_ids, b->trace->prompt_ids,
                  a->trace->prompt_len * sizeof *a->trace->prompt_ids) == 0;
}

/* As many pieces as fit, each prompt once for those that follow it. Returns how many. */
static size_t pack(const train__learner *l, const piece *list, size_t count, packed *out)
{
    const size_t most = (size_t)l->settings->rows;
    slm_train_batch *b = &out->batch;
    size_t taken = 0;
    int32_t prompt = -1; /* the sequence of the last prompt */
    *b = (slm_train_batch){.ids = out->ids,
                           .sequences = out->sequences,
                           .want = out->want,
                           .targets = out->targets,
                           .temperature = (float)l->settings->temperature};
    for (; taken < count && taken < TRAIN_MOST_SEQUENCES; taken++) {
        const slm_chat_trace *t = list[taken].trace;
        const bool shared = taken > 0 && same_prompt(&list[taken - 1], &list[taken]);
        const size_t rows = (shared ? 0 : t->prompt_len) + t->reply_len - 1;
        if (taken > 0 && (b->rows + rows > most || b->want_count + t->reply_len > most)) break;
        if (!shared) {
            memcpy(out->ids + b->rows, t->prompt_ids, t->prompt_len * sizeof *out->ids);
            prompt = (int32_t)b->sequence_count;
            out->sequences[b->sequence_count++] =
                (slm_train_sequence){(int32_t)b->rows, (int32_t)t->prompt_len, -1};
            b->rows += t->prompt_len;
        }
        const slm_train_sequence *before = &out->sequences[prompt];
        out->want[b->want_count] = before->row + before->rows - 1;
        out->targets[b->want_count++] = t->reply_ids[0];
        if (t->reply_len == 1) continue;
        out->sequences[b->sequence_count++] =
            (slm_train_sequence){(int32_t)b->rows, (int32_t)t->reply_len - 1, prompt};
        for (size_t i = 0; i + 1 < t->reply_len; i++) {
            out->ids[b->rows] = t->reply_ids[i];
            out->want[b->want_count] = (int32_t)b->rows++;
            out->targets[b->want_count++] = t->reply_ids[i + 1];
        }
    }
    return taken;
}

typedef enum pass { PASS_REFERENCE, PASS_LOG_PROB, PASS_LEARN } pass;

/* One pass of all pieces: their log-probabilities into `reference` or `log_prob`; or, learning, the
 * gradient from their coefficients. */
static void run_pass(const train__learner *l, const pieces *all, packed *room, pass what,
                     double *entropy)
{
    double sum = 0;
    float *entropies = room->numbers + 2 * (size_t)l->settings->rows;
    for (size_t first = 0, taken; first < all->count; first += taken) {
        const piece *list = all->items + first;
        taken = pack(l, list, all->count - first, room);
        size_t at = 0;
        for (size_t i = 0; i < taken; i++) {
            memcpy(room->numbers + at, list[i].coefficient,
                   list[i].trace->reply_len * sizeof(float));
            at += list[i].trace->reply_len;
        }
        float *log_prob = room->numbers + (size_t)l->settings->rows;
        slm_training_forward(l->training, &room->batch, what == PASS_LEARN ? room->numbers : NULL,
                             log_prob, entropy ? entropies : NULL);
        at = 0;
        for (size_t i = 0; i < taken; i++) {
            float *to = what == PASS_REFERENCE ? list[i].reference : list[i].log_prob;
            memcpy(to, log_prob + at, list[i].trace->reply_len * sizeof(float));
            at += list[i].trace->reply_len;
        }
        for (size_t i = 0; entropy && i < at; i++)
            sum += (double)entropies[i];
        if (what == PASS_LEARN) slm_training_backward(l->training, NULL);
    }
    if (entropy) *entropy = sum / (double)all->share.tokens;
}

/* ---- an update ----------------------------------------------------------------------------- */

static void coefficients(const train__learner *l, const pieces *all, train__learnt *out)
{
    for (size_t i = 0; i < all->count; i++) {
        const piece *p = &all->items[i];
        const train__objective one = train__coefficients(
            l->settings, &all->share, p->rollout->advantage, p->log_prob, p->trace->logprobs,
            l->reference ? p->reference : NULL, p->trace->reply_len, p->of_rollout, p->coefficient);
        out->sum.loss += one.loss;
        out->sum.divergence += one.divergence;
        out->sum.clipped += one.clipped;
        out->sum.tokens += one.tokens;
    }
}

static void count_mismatches(const pieces *all, train__learnt *out)
{
    for (size_t i = 0; i < all->count; i++)
        for (size_t k = 0; k < all->items[i].trace->reply_len; k++)
            out->mismatches += all->items[i].log_prob[k] != all->items[i].trace->logprobs[k];
}

void train__learn(const train__learner *l, const train__group *groups, size_t count, int64_t step,
                  train__learnt *out)
{
    pieces all = {0};
    packed room = {0};
    const size_t rows = (size_t)l->settings->rows;
    *out = (train__learnt){0};
    collect(l, groups, count, &all);
    if (all.too_long > 0)
        slm_log_print(l->log, SLM_LOG_WARNING,
                      "grpo step %lld: %zu replies with their prompts are longer than grpo.rows "
                      "(%lld) and teach nothing",
                      (long long)step, all.too_long, (long long)l->settings->rows);
    if (all.count == 0) goto out;
    room.ids = slm_arena_array(&all.arena, 3 * rows, sizeof *room.ids);
    room.want = room.ids + rows;
    room.targets = room.want + rows;
    room.numbers = slm_arena_array(&all.arena, 3 * rows, sizeof *room.numbers);
    if (l->reference) {
        train__snapshot_show(l->reference, true);
        run_pass(l, &all, &room, PASS_REFERENCE, NULL);
        train__snapshot_show(l->reference, false);
    }
    for (size_t i = 0; i < all.count; i++) /* what was sampled is what the model gives now */
        memcpy(all.items[i].log_prob, all.items[i].trace->logprobs,
               all.items[i].trace->reply_len * sizeof(float));
    for (int64_t u = 0; u < l->settings->updates; u++) {
        if (u > 0) run_pass(l, &all, &room, PASS_LOG_PROB, NULL);
        coefficients(l, &all, out);
        run_pass(l, &all, &room, PASS_LEARN, u == 0 ? &out->entropy : NULL);
        if (u == 0) count_mismatches(&all, out);
        train__optimiser_step(l->optimiser, (step - 1) * l->settings->updates + u + 1, &out->norm);
    }
out:
    slm_arena_free(&all.arena);
}
