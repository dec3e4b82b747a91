/* Prices: what a file may say, which entry a model gets, what a call costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "provider/price.h"

static char path[] = "/tmp/slm-test-price-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static slm_prices load(const char *text)
{
    slm_prices prices;
    slm_error err = {0};
    assert_int_equal(slm_file_write(path, text, strlen(text), &err), SLM_OK);
    if (slm_prices_load(path, &prices, &err) != SLM_OK) fail_msg("%s", err.message);
    return prices;
}

static void assert_refused(const char *text, const char *part)
{
    slm_prices prices;
    slm_error err = {0};
    assert_int_equal(slm_file_write(path, text, strlen(text), &err), SLM_OK);
    assert_int_equal(slm_prices_load(path, &prices, &err), SLM_ERR_FORMAT);
    slm_prices_free(&prices);
    if (strstr(err.message, part) == NULL) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_non_null(strstr(err.message, path));
}

static void assert_near(double got, double wanted)
{
    if (!(fabs(got - wanted) < 1e-12)) fail_msg("%.15g is not %.15g", got, wanted);
}

static const char FILE_TEXT[] = "dated: 2025-06-01\n"
                                "models:\n"
                                "  - {model: m, input: 2, cached: 0.5, output: 8}\n"
                                "  - {model: m, host: a.example, input: 3, output: 9}\n"
                                "  - model: m-*\n"
                                "    input: 1\n"
                                "    output: 4\n"
                                "    batch_discount: 0.5\n"
                                "    dated: 2025-07-02\n"
                                "    source: https://a.example/prices\n"
                                "  - {model: m-large-*, input: 10, output: 40}\n"
                                "  - {model: only, host: b.example, input: 7, output: 7}\n"
                                "machines:\n"
                                "  - {machine: l4, per_hour: 0.71}\n";

static void the_entry_that_fits_best_is_found(void **state)
{
    (void)state;
    slm_prices prices = load(FILE_TEXT);
    assert_int_equal(prices.model_count, 5);
    assert_true(slm_prices_model(&prices, "m", NULL)->input == 2);
    assert_true(slm_prices_model(&prices, "m", "A.example")->input == 3);
    assert_true(slm_prices_model(&prices, "m", "c.example")->input == 2);
    assert_true(slm_prices_model(&prices, "m-2025", NULL)->input == 1);
    assert_true(slm_prices_model(&prices, "m-large-1", NULL)->input == 10);
    assert_true(slm_prices_model(&prices, "only", NULL)->input == 7);
    assert_null(slm_prices_model(&prices, "only", "c.example"));
    assert_null(slm_prices_model(&prices, "n", NULL));
    const slm_price *dated = slm_prices_model(&prices, "m-2025", NULL);
    assert_string_equal(dated->dated, "2025-07-02");
    assert_string_equal(dated->source, "https://a.example/prices");
    assert_true(dated->batch_discount == 0.5);
    assert_int_equal(dated->line, 5);
    assert_string_equal(slm_prices_model(&prices, "m", NULL)->dated, "2025-06-01");
    assert_true(slm_prices_machine(&prices, "l4")->per_hour == 0.71);
    assert_null(slm_prices_machine(&prices, "l40"));
    slm_prices_free(&prices);
}

static void a_call_costs_what_its_tokens_cost(void **state)
{
    (void)state;
    slm_prices prices = load(FILE_TEXT);
    const slm_price *m = slm_prices_model(&prices, "m", NULL);
    assert_near(slm_price_cost(m, 1000000, 0, 0), 2);
    assert_near(slm_price_cost(m, 1000000, 400000, 500000), 0.6 * 2 + 0.4 * 0.5 + 4);
    assert_near(slm_price_cost(m, 1000, -1, 1000), 0.01);
    assert_near(slm_price_cost(m, 1000, 2000, 0), 0.0005);
    assert_true(isnan(slm_price_cost(m, -1, -1, 10)));
    assert_true(isnan(slm_price_cost(m, 10, -1, -1)));
    const slm_price *uncached = slm_prices_model(&prices, "m", "a.example");
    assert_true(uncached->cached == uncached->input);
    slm_prices_free(&prices);
}

static void mistakes_are_named_with_their_line(void **state)
{
    (void)state;
    assert_refused("models: []\n", "there is no price in it");
    assert_refused("- a\n", "expected 'models:'");
    assert_refused("models:\n  - {model: m, input: 1, output: 2}\n", ":2: a price needs a date");
    assert_refused("dated: 1 June\nmodels:\n  - {model: m, input: 1, output: 2}\n", "YYYY-MM-DD");
    assert_refused("dated: 2025-13-01\nmodels: []\n", "YYYY-MM-DD");
    assert_refused("dated: 2025-06-01\nmodels:\n  - {model: m, output: 2}\n", ":3: input: ");
    assert_refused("dated: 2025-06-01\nmodels:\n  - {model: m, input: -1, output: 2}\n",
                   "input: is -1");
    assert_refused("dated: 2025-06-01\nmodels:\n  - {model: m, input: 1, output: 2, cache: 1}\n",
                   "did you mean 'cached'?");
    assert_refused("dated: 2025-06-01\nmodels:\n  - {model: m, input: 1, output: 2}\n"
                   "  - {model: m, input: 1, output: 2}\n",
                   ":4: m has a price in line 3 already");
    assert_refused("dated: 2025-06-01\nmachines:\n  - {machine: '', per_hour: 1}\n", "is empty");
    assert_refused("dated: 2025-06-01\nmachines:\n  - l4\n", "expected a mapping");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_entry_that_fits_best_is_found),
        cmocka_unit_test(a_call_costs_what_its_tokens_cost),
        cmocka_unit_test(mistakes_are_named_with_their_line),
    };
    return cmocka_run_group_tests_name("provider/price", tests, set_up, tear_down);
}
