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
    {"b1c503cc3ba1cd73b1d771540a97788fdc6dc859061aa8b95fc701d9c9ad5347",
     "d32eb7564b38a485db5fc5781be3223ac04a7235233118c6ca6b6d49a9fe0adb",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.8250109102244388,\"low\":0.7532109635935867,\"value\":0.79112271540469"
     "97},\"balanced_accuracy\":{\"high\":0.7901597919167516,\"low\":0.717669288969448,\"value\":0.755"
     "146600124766},\"confusion\":{\"label_met_judge_met\":88,\"label_met_judge_not_met\":66,\"label_"
     "not_met_judge_met\":14,\"label_not_met_judge_not_met\":215},\"criteria\":378,\"kappa\":{\"high\":"
     "0.6092521125898369,\"low\":0.46385931954253407,\"value\":0.5401608836595029},\"kinds\":{\"act\":"
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
     "ull,\"value\":1},\"unscored\":0},\"safe\":{\"accuracy\":{\"high\":0.7990201005025126,\"low\":0.67221"
     "99453551914,\"value\":0.7395833333333334},\"balanced_accuracy\":{\"high\":0.7664975961004024,\""
     "low\":0.653917340327944,\"value\":0.7095107201759209},\"confusion\":{\"label_met_judge_met\":38"
     ",\"label_met_judge_not_met\":47,\"label_not_met_judge_met\":3,\"label_not_met_judge_not_met\":"
     "104},\"criteria\":189,\"kappa\":{\"high\":0.5588216385964051,\"low\":0.3213746752516241,\"value\":"
     "0.4425734525606783},\"macro_f1\":{\"high\":0.7721928430728475,\"low\":0.6291689734496206,\"valu"
     "e\":0.7046880767811},\"not_covered\":0,\"sensitivity\":{\"high\":0.5625179597701149,\"low\":0.344"
     "07762096774197,\"value\":0.4470588235294118},\"specificity\":{\"high\":1,\"low\":0.9344146303742"
     "654,\"value\":0.9719626168224299},\"unscored\":0},\"seek\":{\"accuracy\":{\"high\":0.9152574967405"
     "476,\"low\":0.8181637806637807,\"value\":0.8682170542635659},\"balanced_accuracy\":{\"high\":0.9"
     "12500425170068,\"low\":0.8020628103765612,\"value\":0.8593670886075949},\"confusion\":{\"label_"
     "met_judge_met\":41,\"label_met_judge_not_met\":9,\"label_not_met_judge_met\":8,\"label_not_met"
     "_judge_not_met\":71},\"criteria\":129,\"kappa\":{\"high\":0.821058137934199,\"low\":0.61450122294"
     "23995,\"value\":0.7213822894168466},\"macro_f1\":{\"high\":0.9105284195226437,\"low\":0.80662649"
     "29964101,\"value\":0.8606822946445588},\"not_covered\":0,\"sensitivity\":{\"high\":0.91836734693"
     "87755,\"low\":0.7,\"value\":0.82},\"specificity\":{\"high\":0.9571579476861167,\"low\":0.828937969"
     "9248121,\"value\":0.8987341772151899},\"unscored\":0}},\"macro_f1\":{\"high\":0.8022027922582337"
     ",\"low\":0.7231199158589198,\"value\":0.7653186274509804},\"not_covered\":0,\"sensitivity\":{\"hi"
     "gh\":0.6541090884932235,\"low\":0.49382716049382713,\"value\":0.5714285714285714},\"specificit"
     "y\":{\"high\":0.9674493623405851,\"low\":0.906860667996012,\"value\":0.9388646288209607},\"unsco"
     "red\":0}"},
    {"ae6d0deddfeefe79441a999bbfedee660d38d53b6fb676495827b31d1a890137",
     "d32eb7564b38a485db5fc5781be3223ac04a7235233118c6ca6b6d49a9fe0adb",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.866868207969316,\"low\":0.8031894223349135,\"value\":0.835509138381201"
     "},\"balanced_accuracy\":{\"high\":0.8463361094404348,\"low\":0.7773264404095979,\"value\":0.8135"
     "314467192196},\"confusion\":{\"label_met_judge_met\":108,\"label_met_judge_not_met\":46,\"label"
     "_not_met_judge_met\":17,\"label_not_met_judge_not_met\":212},\"criteria\":378,\"kappa\":{\"high\""
     ":0.7090900941384005,\"low\":0.5790809156351585,\"value\":0.6470149362903579},\"kinds\":{\"act\":"
     "{\"accuracy\":{\"high\":0.9230769230769231,\"low\":0.631578947368421,\"value\":0.764705882352941"
     "1},\"balanced_accuracy\":{\"high\":0.9452777777777777,\"low\":0.6527777777777778,\"value\":0.775"
     "},\"confusion\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":1,\"label_not_met_judge_"
     "met\":3,\"label_not_met_judge_not_met\":9},\"criteria\":15,\"kappa\":{\"high\":0.6249999999999998"
     ",\"low\":0.3013698630136988,\"value\":0.4925373134328357},\"macro_f1\":{\"high\":0.8095238095238"
     "095,\"low\":0.6274509803921569,\"value\":0.7424242424242424},\"not_covered\":0,\"sensitivity\":{"
     "\"high\":1,\"low\":0.5714285714285714,\"value\":0.8},\"specificity\":{\"high\":0.9334374999999999,"
     "\"low\":0.4444444444444444,\"value\":0.75},\"unscored\":0},\"precise\":{\"accuracy\":{\"high\":0.928"
     "5714285714286,\"low\":0.7618788819875776,\"value\":0.8444444444444444},\"balanced_accuracy\":{"
     "\"high\":0.875,\"low\":0.6175904977375566,\"value\":0.75},\"confusion\":{\"label_met_judge_met\":7"
     ",\"label_met_judge_not_met\":7,\"label_not_met_judge_met\":0,\"label_not_met_judge_not_met\":3"
     "1},\"criteria\":45,\"kappa\":{\"high\":0.8108462173964357,\"low\":0.30768698060941835,\"value\":0."
     "5794392523364486},\"macro_f1\":{\"high\":0.9047802197802196,\"low\":0.62494918699187,\"value\":0"
     ".7826086956521738},\"not_covered\":0,\"sensitivity\":{\"high\":0.75,\"low\":0.23518099547511323,"
     "\"value\":0.5},\"specificity\":{\"high\":null,\"low\":null,\"value\":1},\"unscored\":0},\"safe\":{\"acc"
     "uracy\":{\"high\":0.863400137327268,\"low\":0.7567497549362835,\"value\":0.8125},\"balanced_accu"
     "racy\":{\"high\":0.8445151619642898,\"low\":0.7444016331545813,\"value\":0.7930731170973062},\"c"
     "onfusion\":{\"label_met_judge_met\":53,\"label_met_judge_not_met\":32,\"label_not_met_judge_me"
     "t\":4,\"label_not_met_judge_not_met\":103},\"criteria\":189,\"kappa\":{\"high\":0.707866984566529"
     "4,\"low\":0.5023269051642318,\"value\":0.6066917036531239},\"macro_f1\":{\"high\":0.852528571899"
     "0845,\"low\":0.7416184392680872,\"value\":0.7988592713304621},\"not_covered\":0,\"sensitivity\":"
     "{\"high\":0.7262175324675324,\"low\":0.5348449612403101,\"value\":0.6235294117647059},\"specifi"
     "city\":{\"high\":0.9918749999999998,\"low\":0.9237912087912089,\"value\":0.9626168224299065},\"u"
     "nscored\":0},\"seek\":{\"accuracy\":{\"high\":0.9264795552367289,\"low\":0.8222093023255814,\"valu"
     "e\":0.875968992248062},\"balanced_accuracy\":{\"high\":0.9293735794169667,\"low\":0.82079740127"
     "75842,\"value\":0.8767088607594937},\"confusion\":{\"label_met_judge_met\":44,\"label_met_judge"
     "_not_met\":6,\"label_not_met_judge_met\":10,\"label_not_met_judge_not_met\":69},\"criteria\":12"
     "9,\"kappa\":{\"high\":0.8439898742933473,\"low\":0.6285195419665223,\"value\":0.7425149700598802"
     "},\"macro_f1\":{\"high\":0.9216981804785396,\"low\":0.8133103159071848,\"value\":0.8711288711288"
     "712},\"not_covered\":0,\"sensitivity\":{\"high\":0.96,\"low\":0.7825556733828208,\"value\":0.88},\""
     "specificity\":{\"high\":0.9359177215189873,\"low\":0.8,\"value\":0.8734177215189873},\"unscored\""
     ":0}},\"macro_f1\":{\"high\":0.853707303611372,\"low\":0.7869128922909371,\"value\":0.82241504934"
     "75525},\"not_covered\":0,\"sensitivity\":{\"high\":0.7686579855822926,\"low\":0.6315538048944016"
     ",\"value\":0.7012987012987013},\"specificity\":{\"high\":0.9578142478657639,\"low\":0.8903482028"
     "241335,\"value\":0.925764192139738},\"unscored\":0}"},
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
