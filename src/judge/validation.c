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
    {"639525c73d7b570017429c4ea6a48e12491b872f97141d31140e62b85d7c944c",
     "7fecc37157c30272c4bcf7bd61c901d191de60cbc8cae2ee244028e26c9a8ec2",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.8516340560549973,\"low\":0.7757078986587184,\"value\":0.81538461538461"
     "54},\"balanced_accuracy\":{\"high\":0.7742022720500924,\"low\":0.6722123015873016,\"value\":0.72"
     "62615301139446},\"confusion\":{\"label_met_judge_met\":49,\"label_met_judge_not_met\":48,\"labe"
     "l_not_met_judge_met\":12,\"label_not_met_judge_not_met\":216},\"criteria\":320,\"kappa\":{\"high"
     "\":0.6003982469219331,\"low\":0.4016035911400989,\"value\":0.5065290009110234},\"kinds\":{\"act\""
     ":{\"accuracy\":{\"high\":0.9230769230769231,\"low\":0.631578947368421,\"value\":0.76470588235294"
     "11},\"balanced_accuracy\":{\"high\":0.9452777777777777,\"low\":0.6527777777777778,\"value\":0.77"
     "5},\"confusion\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":1,\"label_not_met_judge"
     "_met\":3,\"label_not_met_judge_not_met\":9},\"criteria\":15,\"kappa\":{\"high\":0.624999999999999"
     "8,\"low\":0.3013698630136988,\"value\":0.4925373134328357},\"macro_f1\":{\"high\":0.809523809523"
     "8095,\"low\":0.6274509803921569,\"value\":0.7424242424242424},\"not_covered\":0,\"sensitivity\":"
     "{\"high\":1,\"low\":0.5714285714285714,\"value\":0.8},\"specificity\":{\"high\":0.9334374999999999"
     ",\"low\":0.4444444444444444,\"value\":0.75},\"unscored\":0},\"precise\":{\"accuracy\":{\"high\":0.9,"
     "\"low\":0.7083333333333334,\"value\":0.8},\"balanced_accuracy\":{\"high\":0.8214285714285714,\"lo"
     "w\":0.5454545454545454,\"value\":0.6785714285714286},\"confusion\":{\"label_met_judge_met\":5,\""
     "label_met_judge_not_met\":9,\"label_not_met_judge_met\":0,\"label_not_met_judge_not_met\":31}"
     ",\"criteria\":45,\"kappa\":{\"high\":0.7083330357780476,\"low\":0.1312531475574956,\"value\":0.433"
     "56643356643365},\"macro_f1\":{\"high\":0.8516520176569397,\"low\":0.5136674988297707,\"value\":0"
     ".6997776130467013},\"not_covered\":0,\"sensitivity\":{\"high\":0.6428571428571429,\"low\":0.0909"
     "0909090909091,\"value\":0.35714285714285715},\"specificity\":{\"high\":null,\"low\":null,\"value\""
     ":1},\"unscored\":0},\"safe\":{\"accuracy\":{\"high\":0.8544332566168009,\"low\":0.7396449704142012"
     ",\"value\":0.7975460122699386},\"balanced_accuracy\":{\"high\":0.7879930230952166,\"low\":0.6531"
     "531531531531,\"value\":0.7186362131744455},\"confusion\":{\"label_met_judge_met\":26,\"label_me"
     "t_judge_not_met\":31,\"label_not_met_judge_met\":2,\"label_not_met_judge_not_met\":104},\"crit"
     "eria\":160,\"kappa\":{\"high\":0.6279150715411492,\"low\":0.3548987243536886,\"value\":0.49554534"
     "37119009},\"macro_f1\":{\"high\":0.8105569298096806,\"low\":0.6535544835404041,\"value\":0.73741"
     "76226507201},\"not_covered\":0,\"sensitivity\":{\"high\":0.5961538461538461,\"low\":0.3214117250"
     "6738547,\"value\":0.45614035087719296},\"specificity\":{\"high\":1,\"low\":0.9509682585905649,\"v"
     "alue\":0.9811320754716981},\"unscored\":0},\"seek\":{\"accuracy\":{\"high\":0.9175257731958762,\"l"
     "ow\":0.8055494100294985,\"value\":0.86},\"balanced_accuracy\":{\"high\":0.8890095173705014,\"low"
     "\":0.688403342366757,\"value\":0.7890295358649788},\"confusion\":{\"label_met_judge_met\":14,\"l"
     "abel_met_judge_not_met\":7,\"label_not_met_judge_met\":7,\"label_not_met_judge_not_met\":72},"
     "\"criteria\":100,\"kappa\":{\"high\":0.7482875254431864,\"low\":0.4042406792894791,\"value\":0.578"
     "0590717299577},\"macro_f1\":{\"high\":0.8740559012024351,\"low\":0.7016526909029848,\"value\":0."
     "7890295358649788},\"not_covered\":0,\"sensitivity\":{\"high\":0.8800588235294117,\"low\":0.44995"
     "689655172416,\"value\":0.6666666666666666},\"specificity\":{\"high\":0.971830985915493,\"low\":0"
     ".8571428571428571,\"value\":0.9113924050632911},\"unscored\":0}},\"macro_f1\":{\"high\":0.797260"
     "3001946216,\"low\":0.6922706059705467,\"value\":0.7491509725223835},\"not_covered\":0,\"sensiti"
     "vity\":{\"high\":0.6064103201431696,\"low\":0.3958276098901099,\"value\":0.5051546391752577},\"s"
     "pecificity\":{\"high\":0.9724802061078296,\"low\":0.9166666666666666,\"value\":0.94736842105263"
     "15},\"unscored\":0}"},
    {"aee9070a08d6ae0780999d0e819333f70bc42bc770c9a801da462e708c17e4e7",
     "7fecc37157c30272c4bcf7bd61c901d191de60cbc8cae2ee244028e26c9a8ec2",
     "answers.jsonl, held half",
     "{\"accuracy\":{\"high\":0.8793709189361363,\"low\":0.8119402985074626,\"value\":0.84615384615384"
     "61},\"balanced_accuracy\":{\"high\":0.8289295682923931,\"low\":0.7414431017884778,\"value\":0.78"
     "6692892023874},\"confusion\":{\"label_met_judge_met\":62,\"label_met_judge_not_met\":35,\"label"
     "_not_met_judge_met\":15,\"label_not_met_judge_not_met\":213},\"criteria\":320,\"kappa\":{\"high\""
     ":0.6886236998231037,\"low\":0.5231573727830863,\"value\":0.6094876477939056},\"kinds\":{\"act\":"
     "{\"accuracy\":{\"high\":0.9230769230769231,\"low\":0.631578947368421,\"value\":0.764705882352941"
     "1},\"balanced_accuracy\":{\"high\":0.9452777777777777,\"low\":0.6527777777777778,\"value\":0.775"
     "},\"confusion\":{\"label_met_judge_met\":4,\"label_met_judge_not_met\":1,\"label_not_met_judge_"
     "met\":3,\"label_not_met_judge_not_met\":9},\"criteria\":15,\"kappa\":{\"high\":0.6249999999999998"
     ",\"low\":0.3013698630136988,\"value\":0.4925373134328357},\"macro_f1\":{\"high\":0.8095238095238"
     "095,\"low\":0.6274509803921569,\"value\":0.7424242424242424},\"not_covered\":0,\"sensitivity\":{"
     "\"high\":1,\"low\":0.5714285714285714,\"value\":0.8},\"specificity\":{\"high\":0.9334374999999999,"
     "\"low\":0.4444444444444444,\"value\":0.75},\"unscored\":0},\"precise\":{\"accuracy\":{\"high\":0.928"
     "5714285714286,\"low\":0.7659574468085106,\"value\":0.8444444444444444},\"balanced_accuracy\":{"
     "\"high\":0.8752403846153844,\"low\":0.6111111111111112,\"value\":0.75},\"confusion\":{\"label_met"
     "_judge_met\":7,\"label_met_judge_not_met\":7,\"label_not_met_judge_met\":0,\"label_not_met_jud"
     "ge_not_met\":31},\"criteria\":45,\"kappa\":{\"high\":0.8122863358541387,\"low\":0.294977645305514"
     "3,\"value\":0.5794392523364486},\"macro_f1\":{\"high\":0.9054243199255987,\"low\":0.618005952380"
     "9525,\"value\":0.7826086956521738},\"not_covered\":0,\"sensitivity\":{\"high\":0.750480769230768"
     "8,\"low\":0.2222222222222222,\"value\":0.5},\"specificity\":{\"high\":null,\"low\":null,\"value\":1}"
     ",\"unscored\":0},\"safe\":{\"accuracy\":{\"high\":0.8954248366013072,\"low\":0.797682373600644,\"va"
     "lue\":0.8466257668711656},\"balanced_accuracy\":{\"high\":0.8536397941680961,\"low\":0.73182499"
     "73318658,\"value\":0.7928666004634227},\"confusion\":{\"label_met_judge_met\":35,\"label_met_ju"
     "dge_not_met\":22,\"label_not_met_judge_met\":3,\"label_not_met_judge_not_met\":103},\"criteria"
     "\":160,\"kappa\":{\"high\":0.7500005638249888,\"low\":0.5165386029090018,\"value\":0.634627454496"
     "548},\"macro_f1\":{\"high\":0.8740745604852268,\"low\":0.7517978902636073,\"value\":0.8143084985"
     "190248},\"not_covered\":0,\"sensitivity\":{\"high\":0.7333593749999999,\"low\":0.491220095693779"
     "9,\"value\":0.6140350877192983},\"specificity\":{\"high\":1,\"low\":0.9357649507305471,\"value\":0"
     ".9716981132075472},\"unscored\":0},\"seek\":{\"accuracy\":{\"high\":0.9222222222222223,\"low\":0.8"
     "020784198113208,\"value\":0.86},\"balanced_accuracy\":{\"high\":0.9121689189189189,\"low\":0.724"
     "8655674390968,\"value\":0.8239903556359252},\"confusion\":{\"label_met_judge_met\":16,\"label_m"
     "et_judge_not_met\":5,\"label_not_met_judge_met\":9,\"label_not_met_judge_not_met\":70},\"crite"
     "ria\":100,\"kappa\":{\"high\":0.7619383541441355,\"low\":0.43666136671733646,\"value\":0.60563380"
     "28169014},\"macro_f1\":{\"high\":0.8809390700695048,\"low\":0.7179701044740447,\"value\":0.80237"
     "15415019763},\"not_covered\":0,\"sensitivity\":{\"high\":0.9411764705882353,\"low\":0.5714285714"
     "285714,\"value\":0.7619047619047619},\"specificity\":{\"high\":0.94875,\"low\":0.815775171624713"
     "9,\"value\":0.8860759493670886},\"unscored\":0}},\"macro_f1\":{\"high\":0.8439962461453296,\"low\""
     ":0.7598085639562725,\"value\":0.8038008306770985},\"not_covered\":0,\"sensitivity\":{\"high\":0."
     "7264365351629501,\"low\":0.5499754901960785,\"value\":0.6391752577319587},\"specificity\":{\"hi"
     "gh\":0.9629672299027138,\"low\":0.9012875536480687,\"value\":0.9342105263157895},\"unscored\":0"
     "}"},
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
