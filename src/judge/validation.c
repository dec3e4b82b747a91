/* validation.c: what is known of the rule judge before anybody measures it.
 *
 * data/validation/answers.jsonl holds answers that two readers, language models, labelled without
 * knowing what the judge says. The figures of its held-out half stand here, by the judge's identity: a
 * judge with another word list, threshold or encoder has another identity and none of these figures.
 * `slm eval` puts them into the results database, where reports find them beside what `slm judge`
 * measured.
 *
 * tools/update-validation writes the table anew; tests/unit/judge/test_answers.c holds it to a
 * measurement on the file. */
#include <string.h>
#include "judge/judge.h"

static const slm_validation validations[] = {
    /* begin: written by tools/update-validation */
    /* clang-format off */
    {"b098f51f3be8bd6ae9a21b6fe24fbc303c8e52e0e2232d66556325c91a4c042d",
     "491d16a203f44fea0de7edf0816e9232c127b7909d5776032df92c385130edb9",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.8302454704850964,\"low\":0.7557831383151612,\"value\":0.79373368146214"
     "1},\"balanced_accuracy\":{\"high\":0.7933756923534792,\"low\":0.7199101512566177,\"value\":0.757"
     "1469167377096},\"confusion\":{\"label_met_judge_met\":88,\"label_met_judge_not_met\":65,\"label"
     "_not_met_judge_met\":14,\"label_not_met_judge_not_met\":216},\"criteria\":378,\"kappa\":{\"high\""
     ":0.6174639014225439,\"low\":0.4703533266855738,\"value\":0.5446857177253095},\"kinds\":{\"act\":"
     "{\"accuracy\":{\"high\":0.9230769230769231,\"low\":0.631578947368421,\"value\":0.764705882352941"
     "1},\"balanced_accuracy\":{\"high\":0.9452777777777777,\"low\":0.6527777777777778,\"value\":0.775"
     "},\"confusion\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":1,\"label_not_met_judge_"
     "met\":3,\"label_not_met_judge_not_met\":9},\"criteria\":15,\"kappa\":{\"high\":0.6249999999999998"
     ",\"low\":0.3013698630136988,\"value\":0.4925373134328357},\"macro_f1\":{\"high\":0.8095238095238"
     "095,\"low\":0.6274509803921569,\"value\":0.7424242424242424},\"not_covered\":0,\"sensitivity\":{"
     "\"high\":1,\"low\":0.5714285714285714,\"value\":0.8},\"specificity\":{\"high\":0.9334374999999999,"
     "\"low\":0.4444444444444444,\"value\":0.75},\"unscored\":0},\"precise\":{\"accuracy\":{\"high\":0.897"
     "4358974358975,\"low\":0.7083333333333334,\"value\":0.8},\"balanced_accuracy\":{\"high\":0.818262"
     "9870129868,\"low\":0.5555555555555556,\"value\":0.6785714285714286},\"confusion\":{\"label_met_"
     "judge_met\":5,\"label_met_judge_not_met\":9,\"label_not_met_judge_met\":0,\"label_not_met_judg"
     "e_not_met\":31},\"criteria\":45,\"kappa\":{\"high\":0.70339235549502,\"low\":0.1495884757363078,\""
     "value\":0.43356643356643365},\"macro_f1\":{\"high\":0.8489661983401187,\"low\":0.52569686411149"
     "83,\"value\":0.6997776130467013},\"not_covered\":0,\"sensitivity\":{\"high\":0.6365259740259739,"
     "\"low\":0.1111111111111111,\"value\":0.35714285714285715},\"specificity\":{\"high\":null,\"low\":n"
     "ull,\"value\":1},\"unscored\":0},\"safe\":{\"accuracy\":{\"high\":0.8030343326885879,\"low\":0.68106"
     "97608603368,\"value\":0.7447916666666666},\"balanced_accuracy\":{\"high\":0.7693881275233154,\""
     "low\":0.6563526563899447,\"value\":0.7123015873015873},\"confusion\":{\"label_met_judge_met\":3"
     "8,\"label_met_judge_not_met\":46,\"label_not_met_judge_met\":3,\"label_not_met_judge_not_met\""
     ":105},\"criteria\":189,\"kappa\":{\"high\":0.5668780947815155,\"low\":0.328163836055412,\"value\":"
     "0.4502103786816269},\"macro_f1\":{\"high\":0.7770473627986777,\"low\":0.6343422235356408,\"valu"
     "e\":0.7094054054054054},\"not_covered\":0,\"sensitivity\":{\"high\":0.5662650602409639,\"low\":0."
     "3448275862068966,\"value\":0.4523809523809524},\"specificity\":{\"high\":1,\"low\":0.93635880077"
     "36944,\"value\":0.9722222222222222},\"unscored\":0},\"seek\":{\"accuracy\":{\"high\":0.91965178571"
     "42856,\"low\":0.814502063015754,\"value\":0.8682170542635659},\"balanced_accuracy\":{\"high\":0."
     "9139571989352382,\"low\":0.7994631517468408,\"value\":0.8593670886075949},\"confusion\":{\"labe"
     "l_met_judge_met\":41,\"label_met_judge_not_met\":9,\"label_not_met_judge_met\":8,\"label_not_m"
     "et_judge_not_met\":71},\"criteria\":129,\"kappa\":{\"high\":0.8254216269841268,\"low\":0.60716884"
     "65108428,\"value\":0.7213822894168466},\"macro_f1\":{\"high\":0.9127108134920635,\"low\":0.80329"
     "35608929777,\"value\":0.8606822946445588},\"not_covered\":0,\"sensitivity\":{\"high\":0.92156862"
     "74509803,\"low\":0.7017543859649122,\"value\":0.82},\"specificity\":{\"high\":0.9558983375959079"
     ",\"low\":0.8356121033466274,\"value\":0.8987341772151899},\"unscored\":0}},\"macro_f1\":{\"high\":"
     "0.8061695340770071,\"low\":0.7262262286578917,\"value\":0.767798626299835},\"not_covered\":0,\""
     "sensitivity\":{\"high\":0.6503580323785803,\"low\":0.4956084305408272,\"value\":0.5751633986928"
     "104},\"specificity\":{\"high\":0.965968174503844,\"low\":0.9090909090909091,\"value\":0.93913043"
     "47826087},\"unscored\":0}"},
    {"1e5375199daeede85e7152f0e0d807c333b147b54bee9f659971c0f357567446",
     "491d16a203f44fea0de7edf0816e9232c127b7909d5776032df92c385130edb9",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.875,\"low\":0.8088612385147511,\"value\":0.8407310704960835},\"balanced"
     "_accuracy\":{\"high\":0.8553660086923008,\"low\":0.7829211699464197,\"value\":0.819252628587666"
     "9},\"confusion\":{\"label_met_judge_met\":109,\"label_met_judge_not_met\":44,\"label_not_met_ju"
     "dge_met\":17,\"label_not_met_judge_not_met\":213},\"criteria\":378,\"kappa\":{\"high\":0.72711930"
     "73766689,\"low\":0.5895151265585029,\"value\":0.6579405865214272},\"kinds\":{\"act\":{\"accuracy\""
     ":{\"high\":0.9230769230769231,\"low\":0.631578947368421,\"value\":0.7647058823529411},\"balance"
     "d_accuracy\":{\"high\":0.9452777777777777,\"low\":0.6527777777777778,\"value\":0.775},\"confusio"
     "n\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":1,\"label_not_met_judge_met\":3,\"lab"
     "el_not_met_judge_not_met\":9},\"criteria\":15,\"kappa\":{\"high\":0.6249999999999998,\"low\":0.30"
     "13698630136988,\"value\":0.4925373134328357},\"macro_f1\":{\"high\":0.8095238095238095,\"low\":0"
     ".6274509803921569,\"value\":0.7424242424242424},\"not_covered\":0,\"sensitivity\":{\"high\":1,\"l"
     "ow\":0.5714285714285714,\"value\":0.8},\"specificity\":{\"high\":0.9334374999999999,\"low\":0.444"
     "4444444444444,\"value\":0.75},\"unscored\":0},\"precise\":{\"accuracy\":{\"high\":0.92857142857142"
     "86,\"low\":0.7618788819875776,\"value\":0.8444444444444444},\"balanced_accuracy\":{\"high\":0.87"
     "5,\"low\":0.6175904977375566,\"value\":0.75},\"confusion\":{\"label_met_judge_met\":7,\"label_met"
     "_judge_not_met\":7,\"label_not_met_judge_met\":0,\"label_not_met_judge_not_met\":31},\"criteri"
     "a\":45,\"kappa\":{\"high\":0.8108462173964357,\"low\":0.30768698060941835,\"value\":0.57943925233"
     "64486},\"macro_f1\":{\"high\":0.9047802197802196,\"low\":0.62494918699187,\"value\":0.7826086956"
     "521738},\"not_covered\":0,\"sensitivity\":{\"high\":0.75,\"low\":0.23518099547511323,\"value\":0.5"
     "},\"specificity\":{\"high\":null,\"low\":null,\"value\":1},\"unscored\":0},\"safe\":{\"accuracy\":{\"hi"
     "gh\":0.8743875628140704,\"low\":0.7676647426647426,\"value\":0.8229166666666666},\"balanced_ac"
     "curacy\":{\"high\":0.8544281501270049,\"low\":0.7483891908212561,\"value\":0.8029100529100529},"
     "\"confusion\":{\"label_met_judge_met\":54,\"label_met_judge_not_met\":30,\"label_not_met_judge_"
     "met\":4,\"label_not_met_judge_not_met\":104},\"criteria\":189,\"kappa\":{\"high\":0.7295629464066"
     "636,\"low\":0.5156359271436772,\"value\":0.6273972602739725},\"macro_f1\":{\"high\":0.8631077148"
     "506409,\"low\":0.7496276568889341,\"value\":0.8100337562565476},\"not_covered\":0,\"sensitivity"
     "\":{\"high\":0.7428667953667953,\"low\":0.5375,\"value\":0.6428571428571429},\"specificity\":{\"hi"
     "gh\":1,\"low\":0.9245243380371017,\"value\":0.9629629629629629},\"unscored\":0},\"seek\":{\"accura"
     "cy\":{\"high\":0.9243948325598896,\"low\":0.8248175182481752,\"value\":0.875968992248062},\"bala"
     "nced_accuracy\":{\"high\":0.9275325696900354,\"low\":0.8220926457263666,\"value\":0.87670886075"
     "94937},\"confusion\":{\"label_met_judge_met\":44,\"label_met_judge_not_met\":6,\"label_not_met_"
     "judge_met\":10,\"label_not_met_judge_not_met\":69},\"criteria\":129,\"kappa\":{\"high\":0.8443922"
     "505960134,\"low\":0.6334949153290379,\"value\":0.7425149700598802},\"macro_f1\":{\"high\":0.9220"
     "299487060851,\"low\":0.8166340970350404,\"value\":0.8711288711288712},\"not_covered\":0,\"sensi"
     "tivity\":{\"high\":0.9615566037735849,\"low\":0.7871960486322189,\"value\":0.88},\"specificity\":"
     "{\"high\":0.9358974358974359,\"low\":0.8043008588298444,\"value\":0.8734177215189873},\"unscore"
     "d\":0}},\"macro_f1\":{\"high\":0.8631460069820531,\"low\":0.7926547188363073,\"value\":0.82805266"
     "68285826},\"not_covered\":0,\"sensitivity\":{\"high\":0.7777935606060606,\"low\":0.6402866731005"
     "44,\"value\":0.7124183006535948},\"specificity\":{\"high\":0.9587155963302753,\"low\":0.89210391"
     "84023875,\"value\":0.9260869565217391},\"unscored\":0}"},
    /* clang-format on */
    /* end */
    {NULL, NULL, NULL, NULL},
};

const slm_validation *slm_judge_validation(const char *judge_identity)
{
    for (const slm_validation *v = validations; v->judge != NULL; v++)
        if (strcmp(v->judge, judge_identity) == 0) return v;
    return NULL;
}
