/* validation.c: what is known of the rule judge before anybody measures it.
 *
 * data/validation/answers.jsonl holds answers that two readers (language models) labelled without knowing what the judge
 * says. The figures of its held-out half stand here, by the judge's identity: a judge with another word
 * list, threshold or encoder has another identity and none of these figures. `slm eval` puts them into
 * the results database, where reports find them beside what `slm judge` measured.
 *
 * tools/update-validation writes the table anew; tests/unit/judge/test_answers.c holds it to a
 * measurement on the file. */
#include <string.h>
#include "judge/judge.h"

static const slm_validation validations[] = {
    /* begin: written by tools/update-validation */
    /* clang-format off */
    {"5bd272364fb4d99dc8390b3626002a4396f9f420e297d6b0b6a340bd2d6200d2",
     "7fecc37157c30272c4bcf7bd61c901d191de60cbc8cae2ee244028e26c9a8ec2",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.8071905268131349,\"low\":0.720460320411515,\"value\":0.766153846153846"
     "2},\"balanced_accuracy\":{\"high\":0.6924007003476618,\"low\":0.595986821452719,\"value\":0.6467"
     "489600289383},\"confusion\":{\"label_met_judge_met\":34,\"label_met_judge_not_met\":63,\"label_"
     "not_met_judge_met\":13,\"label_not_met_judge_not_met\":215},\"criteria\":320,\"kappa\":{\"high\":"
     "0.4412136339164988,\"low\":0.2338847374879083,\"value\":0.34451462236611663},\"kinds\":{\"act\":"
     "{\"accuracy\":{\"high\":0.9230769230769231,\"low\":0.631578947368421,\"value\":0.764705882352941"
     "1},\"balanced_accuracy\":{\"high\":0.9452777777777777,\"low\":0.6527777777777778,\"value\":0.775"
     "},\"confusion\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":1,\"label_not_met_judge_"
     "met\":3,\"label_not_met_judge_not_met\":9},\"criteria\":15,\"kappa\":{\"high\":0.6249999999999998"
     ",\"low\":0.3013698630136988,\"value\":0.4925373134328357},\"macro_f1\":{\"high\":0.8095238095238"
     "095,\"low\":0.6274509803921569,\"value\":0.7424242424242424},\"not_covered\":0,\"sensitivity\":{"
     "\"high\":1,\"low\":0.5714285714285714,\"value\":0.8},\"specificity\":{\"high\":0.9334374999999999,"
     "\"low\":0.4444444444444444,\"value\":0.75},\"unscored\":0},\"precise\":{\"accuracy\":{\"high\":0.837"
     "2093023255814,\"low\":0.630371587462083,\"value\":0.7333333333333333},\"balanced_accuracy\":{\""
     "high\":0.6819602272727272,\"low\":0.5,\"value\":0.5714285714285714},\"confusion\":{\"label_met_j"
     "udge_met\":2,\"label_met_judge_not_met\":12,\"label_not_met_judge_met\":0,\"label_not_met_judg"
     "e_not_met\":31},\"criteria\":45,\"kappa\":{\"high\":0.4531939338235291,\"low\":0,\"value\":0.186746"
     "98795180703},\"macro_f1\":{\"high\":0.712831541218638,\"low\":0.40224137931034487,\"value\":0.54"
     "39189189189189},\"not_covered\":0,\"sensitivity\":{\"high\":0.3639204545454543,\"low\":0,\"value\""
     ":0.14285714285714285},\"specificity\":{\"high\":null,\"low\":null,\"value\":1},\"unscored\":0},\"sa"
     "fe\":{\"accuracy\":{\"high\":0.7745731730658806,\"low\":0.6568002780352178,\"value\":0.7177914110"
     "429447},\"balanced_accuracy\":{\"high\":0.6681828133552271,\"low\":0.5521624936456998,\"value\":"
     "0.6086560741476332},\"confusion\":{\"label_met_judge_met\":14,\"label_met_judge_not_met\":43,\""
     "label_not_met_judge_met\":3,\"label_not_met_judge_not_met\":103},\"criteria\":160,\"kappa\":{\"h"
     "igh\":0.39050511824047107,\"low\":0.12899431237903938,\"value\":0.25938364282892135},\"macro_f"
     "1\":{\"high\":0.6790685393693555,\"low\":0.5117513952145744,\"value\":0.5979193479193479},\"not_"
     "covered\":0,\"sensitivity\":{\"high\":0.36363636363636365,\"low\":0.12764990328820117,\"value\":0"
     ".24561403508771928},\"specificity\":{\"high\":1,\"low\":0.9357649507305471,\"value\":0.971698113"
     "2075472},\"unscored\":0},\"seek\":{\"accuracy\":{\"high\":0.9175257731958762,\"low\":0.80554941002"
     "94985,\"value\":0.86},\"balanced_accuracy\":{\"high\":0.8890095173705014,\"low\":0.6884033423667"
     "57,\"value\":0.7890295358649788},\"confusion\":{\"label_met_judge_met\":14,\"label_met_judge_no"
     "t_met\":7,\"label_not_met_judge_met\":7,\"label_not_met_judge_not_met\":72},\"criteria\":100,\"k"
     "appa\":{\"high\":0.7482875254431864,\"low\":0.4042406792894791,\"value\":0.5780590717299577},\"m"
     "acro_f1\":{\"high\":0.8740559012024351,\"low\":0.7016526909029848,\"value\":0.7890295358649788}"
     ",\"not_covered\":0,\"sensitivity\":{\"high\":0.8800588235294117,\"low\":0.44995689655172416,\"val"
     "ue\":0.6666666666666666},\"specificity\":{\"high\":0.971830985915493,\"low\":0.8571428571428571"
     ",\"value\":0.9113924050632911},\"unscored\":0}},\"macro_f1\":{\"high\":0.7140105769230769,\"low\":"
     "0.5970850193189662,\"value\":0.6610122968818621},\"not_covered\":0,\"sensitivity\":{\"high\":0.4"
     "423369565217391,\"low\":0.24686819172113292,\"value\":0.35051546391752575},\"specificity\":{\"h"
     "igh\":0.9688923303834809,\"low\":0.9123488502131823,\"value\":0.9429824561403509},\"unscored\":"
     "0}"},
    {"4e14d6bcbabd1fc0e35ee6e609e920e01b78fb3b55f68ea6f4899c98bff54272",
     "7fecc37157c30272c4bcf7bd61c901d191de60cbc8cae2ee244028e26c9a8ec2",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.8258258258258259,\"low\":0.7477441499006995,\"value\":0.78769230769230"
     "77},\"balanced_accuracy\":{\"high\":0.7354997265435099,\"low\":0.6428956741249474,\"value\":0.68"
     "87547476939773},\"confusion\":{\"label_met_judge_met\":43,\"label_met_judge_not_met\":54,\"labe"
     "l_not_met_judge_met\":15,\"label_not_met_judge_not_met\":213},\"criteria\":320,\"kappa\":{\"high"
     "\":0.5198421821900144,\"low\":0.33321907488323027,\"value\":0.42680776014109345},\"kinds\":{\"ac"
     "t\":{\"accuracy\":{\"high\":0.9230769230769231,\"low\":0.631578947368421,\"value\":0.764705882352"
     "9411},\"balanced_accuracy\":{\"high\":0.9452777777777777,\"low\":0.6527777777777778,\"value\":0."
     "775},\"confusion\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":1,\"label_not_met_jud"
     "ge_met\":3,\"label_not_met_judge_not_met\":9},\"criteria\":15,\"kappa\":{\"high\":0.6249999999999"
     "998,\"low\":0.3013698630136988,\"value\":0.4925373134328357},\"macro_f1\":{\"high\":0.8095238095"
     "238095,\"low\":0.6274509803921569,\"value\":0.7424242424242424},\"not_covered\":0,\"sensitivity"
     "\":{\"high\":1,\"low\":0.5714285714285714,\"value\":0.8},\"specificity\":{\"high\":0.93343749999999"
     "99,\"low\":0.4444444444444444,\"value\":0.75},\"unscored\":0},\"precise\":{\"accuracy\":{\"high\":0."
     "8809873949579832,\"low\":0.690436507936508,\"value\":0.7777777777777778},\"balanced_accuracy\""
     ":{\"high\":0.7777777777777778,\"low\":0.5357142857142857,\"value\":0.6428571428571428},\"confus"
     "ion\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":10,\"label_not_met_judge_met\":0,\""
     "label_not_met_judge_not_met\":31},\"criteria\":45,\"kappa\":{\"high\":0.6371681415929203,\"low\":"
     "0.10037212676491539,\"value\":0.3553008595988538},\"macro_f1\":{\"high\":0.8144796380090498,\"l"
     "ow\":0.4880357142857144,\"value\":0.6527777777777778},\"not_covered\":0,\"sensitivity\":{\"high\""
     ":0.5555555555555556,\"low\":0.07142857142857142,\"value\":0.2857142857142857},\"specificity\":"
     "{\"high\":null,\"low\":null,\"value\":1},\"unscored\":0},\"safe\":{\"accuracy\":{\"high\":0.8039248807"
     "631161,\"low\":0.6917902066486972,\"value\":0.7484662576687117},\"balanced_accuracy\":{\"high\":"
     "0.7129828692328692,\"low\":0.59344828493266,\"value\":0.6525157232704403},\"confusion\":{\"labe"
     "l_met_judge_met\":19,\"label_met_judge_not_met\":38,\"label_not_met_judge_met\":3,\"label_not_"
     "met_judge_not_met\":103},\"criteria\":160,\"kappa\":{\"high\":0.4844176624920057,\"low\":0.224712"
     "34604039528,\"value\":0.35548268878387507},\"macro_f1\":{\"high\":0.7328686992375896,\"low\":0.5"
     "736371204246647,\"value\":0.65751037769692},\"not_covered\":0,\"sensitivity\":{\"high\":0.454545"
     "45454545453,\"low\":0.2075309043591412,\"value\":0.3333333333333333},\"specificity\":{\"high\":1"
     ",\"low\":0.9357649507305471,\"value\":0.9716981132075472},\"unscored\":0},\"seek\":{\"accuracy\":{"
     "\"high\":0.9222222222222223,\"low\":0.8020784198113208,\"value\":0.86},\"balanced_accuracy\":{\"h"
     "igh\":0.9121689189189189,\"low\":0.7248655674390968,\"value\":0.8239903556359252},\"confusion\""
     ":{\"label_met_judge_met\":16,\"label_met_judge_not_met\":5,\"label_not_met_judge_met\":9,\"labe"
     "l_not_met_judge_not_met\":70},\"criteria\":100,\"kappa\":{\"high\":0.7619383541441355,\"low\":0.4"
     "3666136671733646,\"value\":0.6056338028169014},\"macro_f1\":{\"high\":0.8809390700695048,\"low\""
     ":0.7179701044740447,\"value\":0.8023715415019763},\"not_covered\":0,\"sensitivity\":{\"high\":0."
     "9411764705882353,\"low\":0.5714285714285714,\"value\":0.7619047619047619},\"specificity\":{\"hi"
     "gh\":0.94875,\"low\":0.8157751716247139,\"value\":0.8860759493670886},\"unscored\":0}},\"macro_f"
     "1\":{\"high\":0.7572265019485129,\"low\":0.6566462476953298,\"value\":0.70772238514174},\"not_co"
     "vered\":0,\"sensitivity\":{\"high\":0.5400057471264368,\"low\":0.3417644334671195,\"value\":0.443"
     "29896907216493},\"specificity\":{\"high\":0.9629672299027138,\"low\":0.9012875536480687,\"value"
     "\":0.9342105263157895},\"unscored\":0}"},
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
