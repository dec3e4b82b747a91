/* Texts as words: what makes no difference and what does; tables of hashes; pairs that are alike,
 * against the plain way of finding them. */
#include "helpers.h"

#include <math.h>
#include "base/random.h"
#include "data/inspect_internal.h"

static data__words words(const char *text, slm_arena *arena)
{
    return data__words_of(text, strlen(text), arena);
}

static void same(const char *a, const char *b, bool wanted)
{
    slm_arena arena = {0};
    data__words x = words(a, &arena), y = words(b, &arena);
    bool is = x.whole == y.whole && x.count == y.count;
    if (is != wanted) fail_msg("\"%s\" and \"%s\" %s", a, b, is ? "are the same" : "differ");
    slm_arena_free(&arena);
}

static void case_space_and_punctuation_make_no_difference(void **state)
{
    (void)state;
    same("Does it HURT?", "does  it\n hurt", true);
    same("I don't know", "i dont know", true);
    same("I don\xE2\x80\x99t know", "i dont know", true);
    same("caf\xC3\xA9", "cafe\xCC\x81", true); /* composed and not */
    same("Stra\xC3\x9F"
         "e",
         "STRASSE", true);
    same("well-known", "well known", true);
    same("does it hurt", "does it hurt now", false);
    same("a b", "b a", false);
    same("ab c", "a bc", false);
    same("", "?!", true);
}

static void words_are_counted_in_every_script(void **state)
{
    (void)state;
    slm_arena arena = {0};
    assert_int_equal(words("", &arena).count, 0);
    assert_int_equal(words("one", &arena).count, 1);
    assert_int_equal(words(" one,two;three ", &arena).count, 3);
    assert_int_equal(words("\xE0\xA4\xAE\xE0\xA5\x81\xE0\xA4\x9D\xE0\xA5\x87 "
                           "\xE0\xA4\xA6\xE0\xA4\xB0\xE0\xA5\x8D\xE0\xA4\xA6",
                           &arena)
                         .count,
                     2); /* Hindi: marks do not end a word */
    assert_int_equal(words("a\xFF"
                           "b",
                           &arena)
                         .count,
                     2); /* an invalid byte does */
    slm_arena_free(&arena);
}

static void grams_are_the_runs_each_once(void **state)
{
    (void)state;
    slm_arena arena = {0};
    uint64_t *grams;
    data__words w = words("a b c a b c a b", &arena);
    assert_int_equal(data__grams_of(&w, 3, &arena, &grams), 3); /* abc bca cab */
    for (size_t i = 1; i < 3; i++)
        assert_true(grams[i - 1] < grams[i]);
    w = words("a b", &arena);
    assert_int_equal(data__grams_of(&w, 3, &arena, &grams), 1); /* shorter: as a whole */
    w = words("", &arena);
    assert_int_equal(data__grams_of(&w, 3, &arena, &grams), 0);
    slm_arena_free(&arena);
}

static void a_table_keeps_what_it_was_given(void **state)
{
    (void)state;
    data__hash_table table = {0};
    assert_null(data__hash_table_get(&table, 5));
    bool added;
    for (uint32_t i = 0; i < 5000; i++) {
        data__hash_table_put(&table, i * UINT64_C(0x123456789), i, &added);
        assert_true(added || i == 0);
    }
    for (uint32_t i = 1; i < 5000; i++) {
        const uint32_t *value = data__hash_table_get(&table, i * UINT64_C(0x123456789));
        assert_non_null(value);
        assert_int_equal(*value, i);
    }
    assert_int_equal(*data__hash_table_put(&table, UINT64_C(0x123456789), 77, &added), 1);
    assert_false(added);
    assert_null(data__hash_table_get(&table, 12345));
    data__hash_table_free(&table);
}

static void strings_come_with_their_paths(void **state);
static slm_buffer seen;

static void note_string(void *context, const char *path, const char *text, size_t len)
{
    (void)context;
    slm_buffer_printf(&seen, "%s=%.*s;", path, (int)len, text);
}

static void strings_come_with_their_paths(void **state)
{
    (void)state;
    json_t *value = json_pack("{s:[{s:s},{s:s}],s:i,s:s}", "list", "text", "one", "text", "two",
                              "number", 3, "plain", "three");
    data__each_string(value, "", note_string, NULL);
    assert_holds(slm_buffer_text(&seen), "list[0].text=one;");
    assert_holds(slm_buffer_text(&seen), "list[1].text=two;");
    assert_holds(slm_buffer_text(&seen), "plain=three;");
    slm_buffer_free(&seen);
    json_decref(value);
}

/* ---- pairs, against the plain way ------------------------------------------------------------ */

enum { TEXTS = 120, VOCABULARY = 60 };

/* Random texts, some of them copies of earlier ones with a few words changed. */
static void random_texts(data__words *out, slm_arena *arena, uint64_t seed)
{
    slm_random random = slm_random_new(seed, 1);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t count = 12 + (size_t)slm_random_below(&random, 30);
        uint64_t *hashes = slm_arena_array(arena, count, sizeof *hashes);
        bool copy = i > 0 && slm_random_below(&random, 3) == 0;
        if (copy) {
            const data__words *from = &out[slm_random_below(&random, i)];
            count = from->count;
            hashes = slm_arena_array(arena, count, sizeof *hashes);
            memcpy(hashes, from->hashes, count * sizeof *hashes);
        }
        for (size_t w = 0; w < count; w++) {
            uint64_t word = slm_random_below(&random, VOCABULARY);
            word = word * word / VOCABULARY; /* some words are common */
            if (!copy || slm_random_below(&random, 8) == 0) hashes[w] = data__mix(word, 9);
        }
        out[i] = (data__words){hashes, count, i + 1};
    }
}

static double plain_jaccard(const data__words *a, const data__words *b, slm_arena *arena)
{
    uint64_t *x, *y;
    size_t n = data__grams_of(a, 5, arena, &x), m = data__grams_of(b, 5, arena, &y), both = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++)
            both += x[i] == y[j];
    return (double)both / (double)(n + m - both);
}

static void near_duplicates_are_those_of_all_pairs(void **state)
{
    (void)state;
    slm_arena arena = {0};
    size_t wanted = 0, found = 0;
    for (uint64_t seed = 0; seed < 5; seed++) {
        data__words texts[TEXTS];
        random_texts(texts, &arena, seed);
        data__pairs pairs = {0};
        data__near_duplicates(texts, TEXTS, 0.5, &pairs);
        for (size_t i = 0; i < pairs.count; i++) { /* what is told is exact */
            const data__pair *p = &pairs.items[i];
            assert_true(p->a < p->b);
            double score = plain_jaccard(&texts[p->a], &texts[p->b], &arena);
            assert_true(fabs(score - p->score) < 1e-12 && score >= 0.5);
            if (i > 0) assert_true(p[-1].a < p->a || (p[-1].a == p->a && p[-1].b < p->b));
        }
        found += pairs.count;
        for (size_t a = 0; a < TEXTS; a++)
            for (size_t b = a + 1; b < TEXTS; b++)
                wanted += plain_jaccard(&texts[a], &texts[b], &arena) >= 0.5;
        data__pairs_free(&pairs);
    }
    assert_true(wanted > 20);
    assert_true(found <= wanted && (double)found >= 0.98 * (double)wanted);
    slm_arena_free(&arena);
}

static double plain_cosine(const data__words *a, const data__words *b, const data__words *texts,
                           size_t count)
{
    double ab = 0, aa = 0, bb = 0;
    for (uint64_t word = 0; word < VOCABULARY; word++) {
        uint64_t hash = data__mix(word, 9);
        double n[2] = {0}, df = 0;
        for (size_t i = 0; i < a->count; i++)
            n[0] += a->hashes[i] == hash;
        for (size_t i = 0; i < b->count; i++)
            n[1] += b->hashes[i] == hash;
        for (size_t t = 0; t < count; t++)
            for (size_t i = 0; i < texts[t].count; i++)
                if (texts[t].hashes[i] == hash) {
                    df++;
                    break;
                }
        if (df == 0) continue;
        double idf = log(1 + (double)count / df);
        double x = n[0] > 0 ? (1 + log(n[0])) * idf : 0, y = n[1] > 0 ? (1 + log(n[1])) * idf : 0;
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return ab / sqrt(aa * bb);
}

static bool odd_apart(void *context, size_t a, size_t b)
{
    (void)context;
    return (a + b) % 2 == 1;
}

static void alike_pairs_are_those_of_all_pairs(void **state)
{
    (void)state;
    slm_arena arena = {0};
    data__words texts[TEXTS];
    random_texts(texts, &arena, 42);
    data__pairs pairs = {0};
    data__alike(texts, TEXTS, NULL, 0, 0.65, odd_apart, NULL, &pairs);
    size_t at = 0, close = 0;
    for (size_t a = 0; a < TEXTS; a++)
        for (size_t b = a + 1; b < TEXTS; b++) {
            if (odd_apart(NULL, a, b)) continue;
            double score = plain_cosine(&texts[a], &texts[b], texts, TEXTS);
            if (fabs(score - 0.65) < 1e-5) {
                close++; /* float weights may fall on either side */
                continue;
            }
            if (score < 0.65) continue;
            if (at >= pairs.count || pairs.items[at].a != a || pairs.items[at].b != b)
                fail_msg("pair %zu, %zu of %.3f is missing", a, b, score);
            assert_true(fabs(pairs.items[at].score - score) < 1e-5);
            at++;
        }
    assert_true(at > 10 && pairs.count - at <= close);
    data__pairs_free(&pairs);
    slm_arena_free(&arena);
}

static void alike_works_between_two_lists(void **state)
{
    (void)state;
    slm_arena arena = {0};
    data__words first[] = {words("the knee hurts when I run", &arena),
                           words("my ear is blocked", &arena), words("", &arena)};
    data__words second[] = {words("is flour in this cake", &arena),
                            words("my ear is still blocked", &arena), words("", &arena)};
    data__pairs pairs = {0};
    data__alike(first, 3, second, 3, 0.6, NULL, NULL, &pairs);
    assert_int_equal(pairs.count, 1);
    assert_int_equal(pairs.items[0].a, 1);
    assert_int_equal(pairs.items[0].b, 1);
    data__pairs_free(&pairs);
    slm_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_space_and_punctuation_make_no_difference),
        cmocka_unit_test(words_are_counted_in_every_script),
        cmocka_unit_test(grams_are_the_runs_each_once),
        cmocka_unit_test(a_table_keeps_what_it_was_given),
        cmocka_unit_test(strings_come_with_their_paths),
        cmocka_unit_test(near_duplicates_are_those_of_all_pairs),
        cmocka_unit_test(alike_pairs_are_those_of_all_pairs),
        cmocka_unit_test(alike_works_between_two_lists),
    };
    return cmocka_run_group_tests_name("data/words", tests, NULL, NULL);
}
