/* lexicon.c: the words that matching knows: weights, synonyms, negators, persons, medicines.
 *
 * TF-IDF needs to know which words are common. Weights learnt from the texts at hand would depend
 * on which texts those are, and on their order; so they come from fixed lists: function words weigh 0,
 * common words 0.3, words common in any talk about health 0.6, all others 1. Groups of synonyms
 * stand for one key ("throw up", "being sick": vomit), so that a lay and a clinical wording meet.
 * The lists were written for this project, from plain English and from international
 * nonproprietary names of common medicines with their usual brands. A change of any of them changes
 * the matcher's identity.
 *
 * A phrase is tokens joined by one space, folded, contractions resolved ("do not"). Look-up takes
 * the longest phrase; a word that is not there is tried by its stem. */
#include <stdlib.h>
#include <string.h>
#include "match/match_internal.h"

/* clang-format off: words in lines that are full */

/* Weight 0: says nothing about the matter. */
static const char function_words[] =
    "a an the this that these those of to in on at by for from with as into about onto toward "
    "towards over under between through during within upon is are was were be been being am do "
    "does did doing done have has had having will would shall should can could may might must "
    "ought i it we me us my our ours mine myself they them their theirs itself themselves who "
    "whom whose what which when where why how whether and or than here there such own very too "
    "just only also both each either some any all every so quite rather fairly really much many "
    "more most less several few lot lots bit little other others another else anything "
    "something everything anyone someone everyone anybody somebody thing things way ways please "
    "thank thanks okay ok yes well again even still yet already perhaps maybe like etc eg ie vs "
    "per up down out off away along around across per far ever since though although while "
    "however therefore thus hence moreover furthermore additionally firstly secondly thirdly "
    "finally next let lets want wants wanted try trying mean means meant seem seems say says "
    "said least among amongst besides beyond despite elsewhere anywhere nowhere everywhere "
    "except instead likewise meanwhile near nearly almost nonetheless otherwise regarding same "
    "somehow somewhat somewhere throughout unlike whatever whereas wherever whichever above "
    "below against toward per whole hers ours am has such really anyways overall done "
    "yourselves ourselves upon amid beside else ones made put lets dear hello hi sorry";

/* Weight 0 too: Spanish, French and Portuguese, where English has no such word or means nothing by
 * it. Enough that their questions are not compared by their articles, nor Swahili ones by the "je" that
 * opens each of them. */
static const char foreign_words[] =
    "el la los las un una unos unas de del al que qué en con por para y e u se su sus mi "
    "mis tu tus te le les lo es está estás estáis esta este esto ser estar "
    "ha hay tiene tienes tienen tengo tenido tener puede puedes puedo cómo dónde "
    "cuánto cuándo cuál desde hasta muy más menos también ya "
    "pero como alguna algún une des du et ou où à au aux dans avec pour "
    "par sur qui quoi est sont être avez avoir avoir vous votre vos ton ta tes il elle "
    "ils elles ce cette ces cet depuis comment combien quel quelle quels quelles moins "
    "très mais une ai as il y ait eu d l j n s os uma dos das em com na nas nos é "
    "são você tem ter seu sua mais quando onde qual quanto há estão "
    "já ao às je";

/* Weight 0.3: common words of any subject. */
static const char common_words[] =
    "get gets got gotten getting go goes going gone went come comes came coming make makes made "
    "making take takes took taken taking use uses used using give gives gave given giving keep "
    "keeps kept put puts see sees saw seen seeing look looks looked looking feel feels felt "
    "feeling find finds found know knows knew known think thinks thought believe help helps "
    "helped helpful need needs needed become happen happens happened happening start starts "
    "started starting begin begins began begun notice notices noticed noticing experience "
    "experiences experienced experiencing suffer suffering show shows showed turn turned occur "
    "occurs occurred ask asks asked tell tells told talk talking speak spoken discuss share "
    "provide describe mention explain consider understand learn include includes including "
    "involve related relate cause causes caused causing change changes changed changing "
    "continue continues continued last lasts lasted lasting stay remain follow person people "
    "someone part kind type sort number good bad great important possible likely usually often "
    "sometimes always generally common normal sure able different new old long short big small "
    "certain specific particular particularly especially various recent recently lately today "
    "currently currently right left information detail details question questions answer "
    "example time times day days week weeks month months year years hour hours minute minutes "
    "morning evening night daily today tonight yesterday tomorrow ago early late soon later "
    "quickly slowly situation case concern concerned concerning worry worried reason result "
    "area amount level increase increased increasing decrease reduce reduced lower raise manage "
    "prevent avoid work works working live living everyday life home house place sign signs "
    "following follow-up idea best better worse worsen worsening worsens hard easy easily clear "
    "exactly actually probably first second third one anyway general overall simple simply "
    "along nearby especially proper properly safe safely unsafe require requires required "
    "recommend recommended recommends suggest suggested suggests involve enough full whole high "
    "low higher apply applied";

/* Weight 0.6: common wherever health is spoken of. */
static const char health_words[] =
    "condition conditions problem problems health healthy medical medically body care issue "
    "issues disease diseases illness ill sick unwell severe severely mild moderate serious "
    "seriously advice check checked checking test tests testing tested appointment history "
    "diagnosis diagnose diagnosed patient risk risks effect effects affect affected recover "
    "recovery monitor monitoring relief relieve manage management professional professionals "
    "specialist hospital clinic nurse infection exam examination examine evaluate evaluation "
    "assess assessment proper rest water drink drinking food eat eating sleep exercise diet "
    "skin stress safety underlying potential sudden suddenly unusual persistent";

typedef struct group {
    const char *key;
    float weight;
    uint32_t flags;
    const char *variants; /* separated by |; the key is not one of them unless listed */
} group;

/* Synonyms, and everyday with clinical words. */
static const group synonyms[] = {
    {"pain", 0.6F, 0,
     "pain|pains|painful|ache|aches|aching|achy|hurt|hurts|hurting|sore|soreness|discomfort"},
    {"symptom", 0.5F, 0, "symptom|symptoms|complaint|complaints"},
    {"doctor", 0.5F, 0,
     "doctor|doctors|gp|gps|physician|clinician|healthcare provider|health care provider|"
     "healthcare professional|health care professional|medical professional|healthcare team|"
     "health professional|primary care provider|family doctor|dr|medical provider|provider"},
    {"medicine", 0.7F, 0,
     "medicine|medicines|medication|medications|meds|med|drug|drugs|tablet|tablets|pill|pills|"
     "prescription|prescriptions|remedies|remedy"},
    {"treatment", 0.5F, 0, "treatment|treatments|therapy|therapies|treat|treated|treating|treats"},
    {"supplement", 0.9F, 0, "supplement|supplements|vitamin|vitamins|herbal|herbs"},
    {"painkiller", 0.9F, 0,
     "painkiller|painkillers|pain reliever|pain relievers|pain relief|analgesic|analgesics|"
     "pain medication|pain medicine"},
    {"fever", 1.0F, 0,
     "fever|fevers|feverish|temperature|high temperature|febrile|pyrexia|temp|a temperature"},
    {"chills", 0.9F, 0, "chill|chills|shiver|shivers|shivering|rigor|rigors|shaking chills"},
    {"vomit", 1.0F, 0,
     "vomit|vomits|vomited|vomiting|throw up|throwing up|threw up|thrown up|been sick|"
     "being sick|puke|puking|puked|be sick|bringing up|brought up"},
    {"nausea", 0.9F, 0,
     "nausea|nauseous|nauseated|feel sick|feeling sick|queasy|sick to your stomach"},
    {"diarrhea", 1.0F, 0,
     "diarrhea|diarrhoea|loose stool|loose stools|watery stool|watery stools|the runs|"
     "runny stools|watery poo|runny poo"},
    {"constipation", 1.0F, 0, "constipation|constipated"},
    {"stool", 0.9F, 0,
     "stool|stools|poo|poos|poop|pooping|feces|faeces|bowel movement|bowel movements|"
     "bowel motion|bowel motions|bowels|bowel habit|bowel habits|bowel"},
    {"urine", 1.0F, 0,
     "urine|urinate|urinates|urinating|urinated|urination|urinary|pee|peeing|wee|weeing|weed|"
     "pass urine|passing urine|passed urine|passing water|pass water|wet nappies|wet diapers|"
     "wet nappy|wet diaper|waterworks"},
    {"abdomen", 0.9F, MATCH__SITE,
     "abdomen|abdominal|belly|tummy|stomach|stomachache|tummy ache|stomach ache|gut|guts"},
    {"bloating", 1.0F, 0, "bloat|bloated|bloating"},
    {"headache", 1.0F, 0, "headache|headaches|head pain|head ache|head aches|head hurt|head hurts"},
    {"migraine", 1.0F, 0, "migraine|migraines"},
    {"dizzy", 1.0F, 0,
     "dizzy|dizziness|light headed|lightheaded|lightheadedness|giddy|giddiness|woozy|unsteady"},
    {"vertigo", 1.0F, 0, "vertigo|spinning|room spin|room spinning"},
    {"faint", 1.0F, 0,
     "faint|faints|fainted|fainting|pass out|passed out|passing out|black out|blacked out|"
     "blackout|blackouts|collapse|collapsed|lose consciousness|lost consciousness|"
     "loss of consciousness|losing consciousness|unconscious|syncope|knocked out"},
    {"breathing", 0.9F, 0,
     "breathing|breathe|breathes|breath|breathless|breathlessness|short of breath|"
     "shortness of breath|out of breath|difficulty breathing|trouble breathing|hard to breathe|"
     "struggling to breathe|struggle to breathe|breathing difficulty|breathing difficulties|"
     "breathing problems|difficulty in breathing|difficult to breathe"},
    {"wheeze", 1.0F, 0, "wheeze|wheezes|wheezing|wheezy|whistling|wheezed"},
    {"cough", 1.0F, 0, "cough|coughs|coughing|coughed"},
    {"phlegm", 1.0F, 0, "phlegm|sputum|mucus|mucous"},
    {"runny nose", 0.9F, 0,
     "runny nose|stuffy nose|blocked nose|nasal congestion|congestion|congested"},
    {"throat", 1.0F, MATCH__SITE, "throat|sore throat"},
    {"swallow", 1.0F, 0, "swallow|swallows|swallowing|swallowed|dysphagia"},
    {"heart", 0.9F, 0, "heart|cardiac"},
    {"heart attack", 1.2F, 0, "heart attack|heart attacks|myocardial infarction"},
    {"palpitation", 1.0F, 0,
     "palpitation|palpitations|racing heart|heart racing|heart race|heartbeat|heart beat|"
     "irregular heartbeat|heart flutter|fluttering|pounding heart|heart pounding|skipped beats"},
    {"chest", 1.0F, MATCH__SITE, "chest"},
    {"chest pain", 1.3F, 0,
     "chest pain|chest pains|chest tightness|chest discomfort|tightness in the chest|"
     "tightness in your chest|pain in your chest|pain in the chest|chest pressure|"
     "pressure in your chest|pressure in the chest|tight chest"},
    {"spread", 0.8F, 0,
     "spread|spreads|spreading|radiate|radiates|radiating|travel to|travels to|moves to|move to"},
    {"rash", 1.0F, 0, "rash|rashes|spots|skin eruption"},
    {"itch", 1.0F, 0, "itch|itches|itching|itchy|itchiness"},
    {"hives", 1.0F, 0, "hives|urticaria|welts|wheals"},
    {"blister", 1.0F, 0, "blister|blisters|blistering|blistered"},
    {"swelling", 0.9F, 0, "swell|swells|swelling|swollen|swelled|puffy|puffiness|edema|oedema"},
    {"lump", 1.0F, 0, "lump|lumps|bump|bumps|mass"},
    {"redness", 0.8F, 0, "red|redness|reddened|reddish"},
    {"discharge", 1.0F, 0, "discharge|pus|oozing|ooze|weeping"},
    {"bleed", 1.0F, 0,
     "bleed|bleeds|bleeding|bled|blood loss|losing "
     "blood|haemorrhage|hemorrhage|haemorrhaging|hemorrhaging"},
    {"blood", 1.0F, 0, "blood|bloody|bloodstained"},
    {"up to date", 0.3F, 0, "up to date|uptodate"},
    {"bruise", 1.0F, 0, "bruise|bruises|bruising|bruised"},
    {"injury", 0.9F, 0,
     "injury|injuries|injured|injure|trauma|hit|knock|blow|accident|fall|falls|fell|fallen|"
     "falling"},
    {"wound", 1.0F, 0, "wound|wounds|cut|cuts|graze|gash"},
    {"weak", 0.9F, 0, "weak|weakness|weaker"},
    {"numb", 1.0F, 0, "numb|numbness|tingling|tingle|tingles|pins and needles"},
    {"tired", 0.9F, 0,
     "tired|tiredness|fatigue|fatigued|exhausted|exhaustion|low energy|no energy|worn out|"
     "lethargy|lethargic"},
    {"drowsy", 1.0F, 0,
     "drowsy|drowsiness|sleepy|sleepiness|hard to wake|difficult to wake|difficult to rouse|"
     "floppy|unusually sleepy|unresponsive|hard to rouse|cannot be woken|can not be woken|can "
     "hardly be woken|will not wake|not wake up|cannot wake|can not wake|stuporous"},
    {"confused", 1.0F, 0, "confused|confusion|disoriented|disorientation|muddled|not making sense"},
    {"seizure", 1.1F, 0, "seizure|seizures|fit|fits|convulsion|convulsions|convulsing|fitting"},
    {"speech", 1.0F, 0,
     "speech|slurred|slurring|slurred speech|trouble speaking|difficulty speaking|"
     "speaking clearly|slurs|slur|speak clearly|jumbled words|words come out"},
    {"vision", 1.0F, 0,
     "vision|sight|eyesight|visual|blurred vision|blurry vision|see clearly|blurry|blurred|loses "
     "vision|lose sight|loses sight|lost sight|lose vision|loss of vision"},
    {"eye", 1.0F, MATCH__SITE, "eye|eyes"},
    {"ear", 1.0F, MATCH__SITE, "ear|ears"},
    {"neck stiffness", 1.1F, 0, "stiff neck|neck stiffness|stiffness in the neck|neck is stiff"},
    {"stiff", 0.9F, 0, "stiff|stiffness"},
    {"light sensitivity", 1.0F, 0,
     "sensitivity to light|sensitive to light|light sensitivity|photophobia|bright light|"
     "bright lights|light hurt|light hurts|light hurt your eyes|light hurts your eyes|"
     "light bother your eyes|light hurt his eyes|light hurt her eyes"},
    {"joint", 0.9F, MATCH__SITE, "joint|joints"},
    {"head", 0.9F, MATCH__SITE, "head|scalp"},
    {"face", 0.9F, MATCH__SITE, "face|facial|cheek|cheeks|jaw"},
    {"mouth", 0.9F, MATCH__SITE, "mouth|tongue|lips|lip|gums|gum|tooth|teeth"},
    {"nose", 0.9F, MATCH__SITE, "nose|nasal|nostril|nostrils"},
    {"neck", 0.9F, MATCH__SITE, "neck"},
    {"shoulder", 0.9F, MATCH__SITE, "shoulder|shoulders"},
    {"hand", 0.9F, MATCH__SITE, "hand|hands|finger|fingers|thumb|wrist|wrists"},
    {"elbow", 0.9F, MATCH__SITE, "elbow|elbows"},
    {"knee", 0.9F, MATCH__SITE, "knee|knees"},
    {"hip", 0.9F, MATCH__SITE, "hip|hips|groin"},
    {"breast", 0.9F, MATCH__SITE, "breast|breasts|nipple|nipples"},
    {"testicle", 0.9F, MATCH__SITE, "testicle|testicles|scrotum"},
    {"cramp", 0.9F, 0, "cramp|cramps|cramping|spasm|spasms"},
    {"appetite", 1.0F, 0, "appetite|hungry|hunger|off food"},
    {"feed", 0.9F, 0, "feed|feeds|feeding|fed|breastfeed|breastfeeding|nursing|bottle feeding"},
    {"weight loss", 1.2F, 0,
     "weight loss|lost weight|lose weight|losing weight|lost any weight|loss of weight"},
    {"weight gain", 1.2F, 0, "weight gain|gained weight|gain weight|gaining weight|put on weight"},
    {"weight", 0.9F, 0, "weight|weigh|weighs|weighing"},
    {"sweat", 0.9F, 0, "sweat|sweats|sweating|sweaty|night sweats|clammy"},
    {"sleep", 0.8F, 0, "sleep|sleeps|sleeping|slept|asleep|insomnia"},
    {"anxiety", 0.9F, 0, "anxious|anxiety|panic|panic attack|panic attacks|nervous"},
    {"low mood", 1.0F, 0,
     "depressed|depression|low mood|feeling low|feel low|hopeless|hopelessness|feeling down|"
     "feel down|sadness|sad"},
    {"suicide", 1.3F, 0,
     "suicide|suicidal|end your life|ending your life|kill yourself|killing yourself|"
     "harm yourself|harming yourself|hurt yourself|hurting yourself|self harm|self-harm|"
     "take your own life|taking your own life|not wanting to live|wanting to die|"
     "wish you were dead|ending your own life|better off dead|kill himself|killing himself|"
     "kill herself|killing herself|hurt himself|hurting himself|hurt herself|hurting herself|"
     "harm himself|harming himself|harm herself|harming herself|want to die|wants to die|dying|"
     "do not want to live|does not want to live|ending his life|ending her life|end his life|"
     "end her life|self-harm|selfharm"},
    {"stress", 0.8F, 0, "stress|stressed|stressful|stressor|stressors"},
    {"alcohol", 1.0F, 0,
     "alcohol|alcoholic|drink alcohol|drinking alcohol|beer|wine|units of alcohol|booze"},
    {"smoke", 1.0F, 0,
     "smoke|smokes|smoking|smoked|smoker|cigarette|cigarettes|tobacco|vape|vaping|nicotine"},
    {"street drugs", 1.0F, 0,
     "recreational drugs|recreational drug|street drugs|illegal drugs|illicit drugs"},
    {"caffeine", 1.0F, 0, "caffeine|coffee|energy drinks"},
    {"pregnant", 1.1F, 0, "pregnant|pregnancy|expecting a baby"},
    {"period", 1.0F, 0,
     "menstrual period|periods|menstrual|menstruation|menstruate|your period|last period|"
     "menstrual cycle|a period|missed period"},
    {"contraception", 1.0F, 0, "contraception|contraceptive|contraceptives|birth control"},
    {"sex", 0.9F, 0, "sex|sexual|sexually|intercourse|unprotected sex|sexually active"},
    {"allergy", 1.0F, 0, "allergy|allergies|allergic|anaphylaxis|allergic reaction"},
    {"asthma", 1.0F, 0, "asthma|asthmatic"},
    {"diabetes", 1.0F, 0, "diabetes|diabetic"},
    {"blood sugar", 1.1F, 0,
     "blood sugar|blood sugars|blood glucose|glucose|sugar level|sugar levels"},
    {"blood pressure", 1.1F, 0, "blood pressure|bp|hypertension|high blood pressure|hypertensive"},
    {"blood thinner", 1.1F, 0,
     "blood thinner|blood thinners|blood thinning|anticoagulant|anticoagulants|anticoagulation"},
    {"nsaid", 1.1F, 0,
     "nsaid|nsaids|anti inflammatory|anti inflammatories|antiinflammatory|antiinflammatories"},
    {"antibiotic", 1.0F, 0, "antibiotic|antibiotics"},
    {"steroid", 1.0F, 0, "steroid|steroids|corticosteroid|corticosteroids|cortisone"},
    {"statin", 1.0F, 0, "statin|statins"},
    {"antidepressant", 1.0F, 0, "antidepressant|antidepressants|ssri|ssris"},
    {"antihistamine", 1.0F, 0, "antihistamine|antihistamines"},
    {"kidney", 1.0F, 0, "kidney|kidneys|renal"},
    {"liver", 1.0F, 0, "liver|hepatic"},
    {"cancer", 1.0F, 0, "cancer|cancers|cancerous|tumor|tumour|malignant|malignancy"},
    {"stroke", 1.1F, 0, "stroke|strokes|tia|mini stroke"},
    {"clot", 1.0F, 0, "clot|clots|blood clot|blood clots|dvt|thrombosis|embolism"},
    {"anemia", 1.0F, 0, "anemia|anaemia|anemic|anaemic"},
    {"thyroid", 1.0F, 0, "thyroid"},
    {"surgery", 1.0F, 0, "surgery|surgeries|operation|operations|operated|surgical"},
    {"immune", 1.0F, 0,
     "immune|immune system|immunosuppressed|weakened immune system|immunocompromised|"
     "chemotherapy|low immunity"},
    {"vaccine", 1.0F, 0,
     "vaccine|vaccines|vaccinated|vaccination|vaccinations|immunisation|immunisations|"
     "immunization|immunizations|immunised|immunized|jab|jabs|shots|booster"},
    {"travel", 1.0F, 0, "travel|travelled|traveled|travelling|traveling|trip|abroad|overseas"},
    {"flight", 1.0F, 0, "flight|flights|fly|flew|flying|flown|plane|airplane"},
    {"contact with", 0.7F, 0, "contact with|been around|exposed to|exposure to|close contact"},
    {"bite", 1.0F, 0, "bite|bites|bitten|bit|sting|stings|stung"},
    {"dehydration", 1.0F, 0, "dehydrated|dehydration|dehydrate"},
    {"fluid", 0.9F, 0,
     "fluid|fluids|hydrated|hydration|liquids|liquid|hydrate|oral rehydration|sips of water|"
     "sip water"},
    {"keep down", 0.9F, 0,
     "keep down|keep fluids down|keeping fluids down|keep anything down|keeping anything down|"
     "keep water down|hold down"},
    {"sour reflux", 1.0F, 0, "heartburn|acid reflux|reflux|indigestion"},
    {"back", 0.9F, MATCH__SITE, "back|back pain|backache|lower back|upper back|low back|spine"},
    {"leg", 0.9F, MATCH__SITE, "leg|legs|calf|calves|thigh|thighs"},
    {"arm", 0.9F, MATCH__SITE, "arm|arms"},
    {"foot", 0.9F, MATCH__SITE, "foot|feet|ankle|ankles"},
    {"skin color", 0.9F, 0, "pale|pallor|blue lips|bluish|grey lips|blue"},
    {"jaundice", 1.1F, 0, "jaundice|yellow|yellowing|jaundiced"},
    {"black stool", 1.2F, 0, "black stool|black stools|tarry|tarry stools|black tarry"},
    {"drive", 0.8F, MATCH__GO, "drive|driving|drove"},
    {"leave alone", 1.0F, 0,
     "leave alone|leave her alone|leave him alone|leave them alone|left alone|leaving her alone|"
     "leaving him alone|be alone|left on her own|left on his own"},
    {"leave", 0.5F, 0, "leave|leaves|leaving"},
    {"skip", 0.8F, 0, "skip|skips|skipping|skipped|leave out|leaving out|leave off|omit|miss out"},
    {"wait", 0.7F, 0, "wait|waiting|delay|delaying|watch and wait|wait and see"},
    {"pharmacist", 1.0F, 0, "pharmacist|pharmacists|pharmacy|chemist"},
    {"dose", 0.8F, 0, "dose|doses|dosage|dosages|strength|mg|milligrams|milligram"},
    {"overdose", 1.2F, 0, "overdose|overdosed|too many tablets|too much medicine|maximum dose"},
    {"side effect", 0.9F, 0,
     "side effect|side effects|adverse effect|adverse effects|adverse reaction"},
    {"interact", 1.0F, 0, "interact|interacts|interaction|interactions|interfere"},
    {"dangerous", 0.6F, 0,
     "dangerous|danger|harmful|hazardous|unsafe|not safe|risky|poisonous|toxic"},
    {"safe", 0.6F, 0, "safe|safely|harmless"},
    {"better", 0.5F, 0,
     "better|improve|improves|improved|improving|improvement|ease|eases|easing|relieves|relieve|"
     "clears up|settle|settles|settled|settling"},
    {"worse", 0.5F, 0,
     "worse|worsen|worsens|worsening|worsened|deteriorate|deteriorates|aggravates"},
    {"start", 0.3F, 0, "start|starts|started|starting|begin|begins|began|begun|beginning"},
    {"stop", 0.5F, 0,
     "stop|stops|stopped|stopping|discontinue|quit|cease|come off|coming off|give up|halt"},
    {"continue", 0.5F, 0,
     "continue|continues|continued|continuing|carry on|keep taking|keep on|keep using|stay "
     "on|persist|persists|goes on|go on with|keep going"},
    {"increase", 0.5F, 0,
     "increase|increases|increased|increasing|raise|raises|raised|rise|double|higher"},
    {"decrease", 0.5F, 0,
     "decrease|decreases|decreased|decreasing|reduce|reduces|reduced|reducing|lower|lowers|"
     "lowering"},
    {"come and go", 0.8F, 0, "come and go|comes and goes|coming and going|intermittent|on and off"},
    {"constant", 0.8F, 0, "constant|constantly|all the time|continuous|nonstop"},
    {"sudden", 0.8F, 0, "sudden|suddenly|all of a sudden|abrupt|abruptly|out of the blue"},
    {"gradual", 0.8F, 0, "gradual|gradually|slowly over time|over time"},
    {"eat", 0.8F, 0, "eat|eats|ate|eaten|eating"},
    {"drink", 0.8F, 0,
     "drink|drinks|drank|drunk|drinking|drink fluids|drinking fluids|drink any fluids|"
     "drinking enough|drink enough|drinking well"},
    {"food", 0.8F, 0, "food|foods|meal|meals"},
    {"empty stomach", 1.0F, 0, "empty stomach|without food|no food"},
    {"diet", 0.8F, 0, "diet|diets|dietary"},
    {"exercise", 0.8F, 0,
     "exercise|exercises|exercising|exertion|physical activity|exert|activity"},
    {"gender", 0.8F, 0, "gender|male or female"},
    {"family history", 1.1F, MATCH__FAMILY,
     "family history|runs in the family|run in the family|runs in your family"},
    {"medical history", 0.8F, 0,
     "medical history|medical conditions|medical condition|health conditions|health condition|"
     "health problems|medical problems|past medical history|other conditions|"
     "long term conditions|long-term conditions|existing conditions|underlying conditions|"
     "underlying condition|other illnesses|any illnesses|other illness|other medical problems|"
     "other health problems|health history|chronic conditions|pre existing conditions|"
     "pre-existing conditions"},
    {"baby", 0.4F, MATCH__CHILD,
     "baby|babies|infant|infants|newborn|little one|bub|baby boy|baby girl"},
    {"child", 0.4F, MATCH__CHILD,
     "child|children|kid|kids|toddler|son|daughter|sons|daughters|little boy|little girl|"
     "grandson|granddaughter|grandchild|teenager"},
    {"family", 0.5F, MATCH__FAMILY,
     "family|relative|relatives|family member|family members|household|anyone else|anybody else|"
     "someone else|anyone around you|anyone close|people around you|housemate|roommate|flatmate|"
     "friends|colleagues|anyone at home"},
    {"mother", 0.5F, MATCH__FAMILY, "mother|mum|mom|mothers|mommy|mummy"},
    {"father", 0.5F, MATCH__FAMILY, "father|dad|daddy|fathers"},
    {"parent", 0.5F, MATCH__FAMILY, "parents|parent"},
    {"partner", 0.5F, MATCH__FAMILY, "partner|partners|husband|wife|spouse|boyfriend|girlfriend"},
    {"new partner", 0.8F, 0,
     "new partner|new partners|other partner|other partners|sexual partner|sexual partners|"
     "anyone new|someone new|somebody new"},
    {"sibling", 0.5F, MATCH__FAMILY, "brother|brothers|sister|sisters|sibling|siblings"},
    {"grandparent", 0.5F, MATCH__FAMILY,
     "grandmother|grandfather|grandma|grandpa|granny|grandparent|grandparents|aunt|uncle|cousin|"
     "nephew|niece"},
    {"other symptom", 0.5F, 0,
     "other symptoms|any other symptoms|additional symptoms|accompanying symptoms|"
     "associated symptoms|further symptoms"},
    {"lie down", 0.9F, 0, "lie down|lying down|lay down|lie flat|lying flat"},
    {"stand up", 0.9F, 0, "stand up|standing up|get up|getting up|stood up"},
    {"contest", 0.9F, 0, "competition|competitions|race|races|tournament|tournaments|contest"},
    {"waters", 0.9F, 0, "waters|membranes"},
    {"bend", 0.9F, 0, "bend|bending|bends|flex"},
    {"weight on", 1.1F, 0,
     "weight on|weight on it|weight on the|bear weight|bear any weight|weight bearing|"
     "walk on it|stand on it|walk on the|stand on the|walk on|weight through it"},
    {"walk", 0.8F, 0, "walk|walks|walking|walked"},
    {"nappy rash", 1.1F, 0, "nappy rash|diaper rash"},
    {"hearing", 1.0F, 0, "hearing|hear|hears|deaf|deafness|stopped hearing|loss of hearing"},
    {"droop", 1.0F, 0, "droop|droops|drooping|drooped|droopy|lopsided|crooked"},
    {"poison", 1.0F, 0, "poison|poisoned|poisoning"},
    {"limp", 1.0F, 0, "limp|limps|limping"},
    {"examine", 0.4F, 0,
     "be seen|get seen|seen by|looked at|be examined|examined|be checked|"
     "get checked|checked out|check up|assessed|be assessed|be reviewed"},
    {"menopause", 1.1F, 0, "menopause|menopausal|perimenopause"},
    {"two", 0.4F, 0, "2|two|couple"},
    {"three", 0.4F, 0, "3|three"},
    {"four", 0.4F, 0, "4|four"},
    {"five", 0.4F, 0, "5|five"},
    {"six", 0.4F, 0, "6|six"},
    {"seven", 0.4F, 0, "7|seven"},
    {"eight", 0.4F, 0, "8|eight"},
    {"nine", 0.4F, 0, "9|nine"},
    {"ten", 0.4F, 0, "10|ten"},
    {"twelve", 0.4F, 0, "12|twelve"},
    {"day", 0.3F, 0, "day|days|daily"},
};

/* Words that change what a sentence means or does. Weight 0 unless they are content too. */
static const group signals[] = {
    {"not", 0, MATCH__NOT,
     "not|never|cannot|neither|hardly|dont|doesnt|didnt|isnt|arent|wasnt|shouldnt|cant|wont|"
     "avoid|avoids|avoided|avoiding|refrain|steer clear|contraindicated|unable|none|nobody|"
     "nothing|inadvisable|no longer|unlikely|pas|jamais|nunca|jamás|tampoco|não|"
     "aucun|aucune|nadie"},
    {"without", 0, MATCH__WITHOUT,
     "without|no|rather than|instead of|nor|free of|lack of|sin|sans|sem|ni"},
    /* a "not" that denies nothing */
    {"surely", 0, 0,
     "not only|do not hesitate|do not delay|do not wait|if not|can not only|why not|"
     "do not worry|not sure|not be ignored|do not ignore|without delay|not certain|"
     "without waiting|never hesitate|not alone|no matter|no doubt|not wait|not delay|"
     "never ignore|not hesitate|do not put off"},
    {"if", 0, MATCH__IF | MATCH__CLAUSE,
     "if|when|whenever|unless|in case|should you|as long as|provided|once|in the event|si|"
     "cuando|quand|lorsque|caso"},
    {"before", 0.2F, MATCH__CLAUSE, "before|prior to"},
    {"after", 0.2F, MATCH__CLAUSE, "after|afterwards"},
    {"such as", 0, MATCH__EXAMPLE, "such as|for example|for instance|including|e g"},
    {"that", 0, MATCH__CLAUSE,
     "that does|that do|that is|that are|that has|that have|who|which|that will|that did|that was"},
    {"if already", 0, 0, /* an if that is none */
     "if you have not already|if you have not done so|if you have not yet|if you can|"
     "if possible|if you are able|if you are alone|if someone is with you|if anyone is with you|"
     "if nobody is with you|if no one is with you|if you have not|if not already|"
     "if you are able to|even if|as if"},
    {"clause", 0, MATCH__CLAUSE,
     "but|because|so|then|until|whether|however|although|though|while|since|as well as|"
     "after which"},
    {"need", 0, MATCH__NEED,
     "i need to know|i would need to know|i need to ask|i need to understand|i need to find out|"
     "i would like to know|i would like to ask|i want to know|i want to ask|"
     "i want to understand|i would want to know|i would ask|i have to know|i have to ask|"
     "i must know|i must ask|i will need to know|i will need|i need a few|i need some|"
     "i need more|i need|i still need|we need to know|we need more|we need|"
     "we would need to know|i would need|i should know|i should ask|i also need|may i ask|"
     "can i ask|could i ask|let me ask|i would first ask|tell me|tell us|please share|"
     "share with me|please describe|please provide|please specify|please clarify|please confirm|"
     "please say|please answer|please give me|please explain|please include|please mention|"
     "let me know what|let me know how|let me know which|let me know whether|let me know where|"
     "let me know your|let me know about|let me know when it|let me know when this|"
     "let me know when the|let me know the|please let me know|can you describe|"
     "could you describe|can you share|could you share|can you provide|could you provide|"
     "can you clarify|could you clarify|can you confirm|could you confirm|can you explain|"
     "could you explain|would you mind sharing|would you mind telling|would you tell|"
     "help me understand|help to know|helps to know|helpful to know|useful to know|"
     "important to know whether|important to know if|important to know how|"
     "important to know what|important to know when|important to know where|"
     "important to know which|good to know whether|good to know if|good to know how|"
     "need to know whether|you provide more|you share more|you give me more|"
     "need more information|need more details|need some more|share more about|"
     "share more details|without knowing|depends on knowing|i do not know whether|"
     "i do not know if|i do not know how|i do not yet know|knowing whether|knowing how|"
     "knowing if|knowing your|knowing what|knowing where|knowing when|knowing the|"
     "it would help if you|first question is|i am wondering whether|i am wondering if|"
     "i wonder whether|i wonder if|my question is|more context|give me more|clarify whether|"
     "clarify if|to ask you|to ask about|say whether|tell me more"},
    {"reported", 0, 0,
     "you tell me|you tell us|you have told me|you told me|you told us|you are telling me"},
    {"questions", 0.2F, MATCH__NEED,
     "few questions|some questions|following questions|these questions|couple of questions|"
     "quick questions|a question"},
    {"courtesy", 0, MATCH__COURTESY,
     "does that help|does this help|did that help|did this help|does that make sense|"
     "does this make sense|would you like me to|would you like to know|would you like more|"
     "would you like help|would you like to|would you like some|would you like|"
     "do you want me to|do you have any questions|do you have any other questions|"
     "do you have any further questions|do you have any more questions|"
     "do you have more questions|do you have other questions|any other questions|any questions|"
     "any further questions|any more questions|is there anything else|anything else i can|"
     "anything else you|how can i help|how may i help|how can i assist|how may i assist|"
     "what can i do for you|can i help|shall i|sound good|how does that sound|is that clear|"
     "is this clear|does that answer|does this answer|let me know if you|let me know if there|"
     "let me know if i|please let me know if you|please let me know if there|feel free to ask|"
     "feel free to|let me know if anything|is that helpful|was this helpful|is this helpful|"
     "was that helpful|would it help if i|how are you feeling today|how are you today|"
     "are you ready|i hope|what would you like|do you understand|would that be okay|"
     "is that okay|let me know if the|let me know if it"},
    {"others", 0.3F, MATCH__OTHERS,
     "ask your doctor|ask the doctor|ask your provider|ask your healthcare provider|"
     "ask a doctor|questions to ask|ask your gp|ask yourself|ask your pharmacist|"
     "your doctor will ask|your doctor may ask|the doctor will ask|the doctor may ask|"
     "doctor might ask|questions for your"},
    {"you", 0, MATCH__SELF, "you|your|yourself|yours"},
    {"asking", 0, 0, /* "you" as the one who saw or knows, not as the one it is about */
     "have you noticed|did you notice|have you seen|do you know|do you remember|do you think|"
     "are you aware|can you tell|could you tell|can you say|have you measured|have you checked|"
     "did you check|did you measure|are you able to|have you found|have you given|did you give|"
     "can you|could you|do you notice|are you seeing|as you know|you mentioned|you said|"
     "you describe|you have noticed|you noticed|thank you|you have seen|do you see|"
     "have you observed|you know|have you been giving|are you giving|is your main concern|"
     "are you worried|you are giving"},
    {"present", 0, MATCH__SELF | MATCH__PRESENT, "do you|are you"},
    {"present other", 0, MATCH__PRONOUN | MATCH__PRESENT, "does he|does she|is he|is she"},
    {"i", 0, MATCH__FIRST, "i"},
    {"he", 0, MATCH__PRONOUN, "he|she|him|her|his|hers|himself|herself"},
    {"left", 0.6F, MATCH__LEFT, "left|left hand|left handed"},
    {"right", 0.6F, MATCH__RIGHT, "right|right hand"},
    {"plain right", 0.1F, 0,
     "left untreated|left over|all right|have left|has left|alright|right thing|right dose|"
     "right medicine|right way|right answer|right amount|right treatment|you are right|is right|"
     "right person|right choice|right place|right time|what is left|right decision|right after|"
     "right before|right here|right there"},
    {"past", 0.2F, MATCH__PAST,
     "ever|former|formerly|previously|in the past|used to|as a child|years ago|history of|"
     "past history|before now|had before|happened before|previous|in childhood|earlier in life|"
     "once had|at any time in the past|when younger|like this before"},
    {"now", 0.1F, MATCH__NOW,
     "currently|at the moment|at present|these days|nowadays|right now|presently|now|today|"
     "at this time|just now|this minute"},
    {"future", 0.2F, MATCH__FUTURE,
     "planning to|plan to|going to|intend to|in the future|thinking of|do you plan|hoping to|"
     "considering"},
    {"urgent", 0.5F, MATCH__URGENT,
     "immediately|immediate|urgent|urgently|at once|straight away|straightaway|right away|asap|"
     "inmediatamente|immédiatement|ahora|maintenant|hoy mismo|as soon as possible|"
     "this instant|promptly|same day|without delay|right now|now|today|that day|this very "
     "day|tonight|within the day|within hours|the same evening"},
    {"emergency", 1.0F, MATCH__EMERGENCY,
     "911|999|112|000|emergency services|emergency service|emergency number|ambulance|"
     "an ambulance|paramedic|paramedics|emergency medical services|ems|a e|a and e|er|"
     "emergency room|emergency department|emergency departments|the ed|casualty|"
     "nearest hospital|emergency care|emergency medical care|emergency medical help|"
     "emergency medical attention|emergency help|emergency treatment|emergency attention|"
     "emergency line|immediate medical attention|immediate medical help|immediate medical care|"
     "urgent medical attention|urgent medical care|urgent medical help|emergency hotline|"
     "emergency|accident and emergency|nearest er|emergency medical assistance|"
     "emergency assistance|local emergency number|medical emergency services|hospital emergency|"
     "urgencias|urgences|ambulancia|emergencias|samu|112|urgent medical assistance|"
     "emergency medical team"},
    {"medical help", 0.6F, MATCH__CARE,
     "medical attention|medical help|medical care|medical advice|medical assistance|hospital|"
     "medical evaluation|professional help|see a doctor|seek help|seek care|get help|"
     "urgent care|medical review"},
    /* to be taken there is to be seen as an emergency */
    {"emergency", 1.0F, MATCH__CARE,
     "to hospital|to the hospital|in hospital today|hospital straight away|hospital at once|"
     "hospital now|hospital today|hospital the same day|hospital immediately|hospital right away|"
     "urgent hospital"},
    {"call", 0.3F, MATCH__GO,
     "call|calls|calling|ring|dial|phone|telephone|contact|summon|have someone call|send for|"
     "llama|llame|appelez|appeler|llamar|ligue|ask someone to call|shout for|get someone to "
     "call|send"},
    {"go", 0.3F, MATCH__GO, "go|goes|going|head|rush|visit|report|attend|acuda|allez|vaya|ve"},
    {"seek", 0.3F, MATCH__GO, "seek|seeks|seeking|sought"},
    {"get", 0.3F, MATCH__GO, "get|gets|getting"},
    {"take", 0.3F, MATCH__GO, "take|takes|taking|took|taken|bring|have someone drive you"},
};

/* Medicines by their international nonproprietary names, with usual brands. */
static const char medicines[] =
    "paracetamol|acetaminophen|tylenol|panadol|calpol;ibuprofen|advil|nurofen|motrin|brufen;"
    "aspirin|disprin;naproxen|aleve|naprosyn;diclofenac|voltaren|voltarol;codeine|co codamol;"
    "tramadol;morphine;oxycodone;fentanyl;celecoxib;meloxicam;indomethacin|indometacin;"
    "amoxicillin|amoxil;co amoxiclav|augmentin|amoxicillin clavulanate;penicillin;"
    "flucloxacillin;doxycycline;azithromycin|zithromax;clarithromycin;erythromycin;"
    "ciprofloxacin;levofloxacin;nitrofurantoin|macrobid;trimethoprim;metronidazole|flagyl;"
    "cephalexin|cefalexin|keflex;clindamycin;vancomycin;acyclovir|aciclovir;valacyclovir;"
    "oseltamivir|tamiflu;fluconazole;clotrimazole;terbinafine;metformin|glucophage;insulin;"
    "gliclazide;glipizide;sitagliptin;empagliflozin;dapagliflozin;semaglutide|ozempic|wegovy;"
    "liraglutide;warfarin|coumadin;apixaban|eliquis;rivaroxaban|xarelto;dabigatran;heparin;"
    "clopidogrel|plavix;atorvastatin|lipitor;simvastatin;rosuvastatin;pravastatin;lisinopril;"
    "ramipril;enalapril;perindopril;losartan;valsartan;candesartan;amlodipine;nifedipine;"
    "diltiazem;verapamil;bisoprolol;metoprolol;atenolol;propranolol;carvedilol;furosemide|"
    "frusemide|lasix;bumetanide;hydrochlorothiazide;indapamide;spironolactone;digoxin;"
    "amiodarone;nitroglycerin|glyceryl trinitrate|gtn;levothyroxine|thyroxine|synthroid;"
    "carbimazole;methimazole;prednisone|prednisolone;dexamethasone;hydrocortisone;"
    "betamethasone;methotrexate;hydroxychloroquine;sulfasalazine;azathioprine;adalimumab|"
    "humira;colchicine;allopurinol;omeprazole|prilosec;lansoprazole;pantoprazole;esomeprazole|"
    "nexium;famotidine;ranitidine;loperamide|imodium;ondansetron;metoclopramide;domperidone;"
    "senna;lactulose;macrogol|miralax|polyethylene glycol;bisacodyl;sertraline|zoloft;"
    "fluoxetine|prozac;citalopram;escitalopram|lexapro;paroxetine;venlafaxine;duloxetine|"
    "cymbalta;mirtazapine;amitriptyline;nortriptyline;bupropion;trazodone;lithium;quetiapine|"
    "seroquel;olanzapine;risperidone;aripiprazole;haloperidol;clozapine;diazepam|valium;"
    "lorazepam|ativan;alprazolam|xanax;clonazepam;zopiclone;zolpidem|ambien;melatonin;"
    "gabapentin;pregabalin|lyrica;lamotrigine;levetiracetam|keppra;carbamazepine;valproate|"
    "sodium valproate|valproic acid|depakote;phenytoin;topiramate;sumatriptan;methylphenidate|"
    "ritalin;atomoxetine;levodopa;donepezil;salbutamol|albuterol|ventolin;salmeterol;"
    "budesonide;fluticasone;beclometasone;montelukast;tiotropium;cetirizine|zyrtec;loratadine|"
    "claritin;fexofenadine|allegra;diphenhydramine|benadryl;chlorphenamine|piriton|"
    "chlorpheniramine;promethazine;pseudoephedrine|sudafed;epinephrine|adrenaline|epipen|epi "
    "pen|adrenaline pen|adrenaline auto injector|auto injector|autoinjector;naloxone|narcan;"
    "isotretinoin|accutane|roaccutane;tretinoin;benzoyl peroxide;finasteride;tamsulosin;"
    "sildenafil|viagra;tadalafil|cialis;oxybutynin;tamoxifen;letrozole;anastrozole;alendronate|"
    "alendronic acid;folic acid|folate;iron;vitamin d;vitamin b12|b12;vitamin c;vitamin a;"
    "vitamin k;calcium;magnesium;zinc;potassium;levonorgestrel;ulipristal;misoprostol;"
    "mifepristone;clomiphene|clomifene;oestrogen|estrogen;progesterone;testosterone;st john "
    "wort|st johns wort;turmeric;ginkgo;ivermectin;chloroquine;mebendazole;permethrin";

/* Medicines that a general word asks for: who says "warfarin" speaks of a blood thinner. */
static const char kinds[] =
    "blood thinner:warfarin,apixaban,rivaroxaban,dabigatran,heparin;painkiller:paracetamol,"
    "ibuprofen,naproxen,aspirin,diclofenac,codeine,tramadol;nsaid:ibuprofen,naproxen,aspirin,"
    "diclofenac,celecoxib,meloxicam,indomethacin;antibiotic:amoxicillin,co amoxiclav,"
    "penicillin,flucloxacillin,doxycycline,azithromycin,clarithromycin,erythromycin,"
    "ciprofloxacin,nitrofurantoin,trimethoprim,metronidazole,cephalexin;steroid:prednisone,"
    "dexamethasone,hydrocortisone;statin:atorvastatin,simvastatin,rosuvastatin,pravastatin;"
    "antidepressant:sertraline,fluoxetine,citalopram,escitalopram,paroxetine,venlafaxine,"
    "duloxetine,mirtazapine,amitriptyline;antihistamine:cetirizine,loratadine,fexofenadine,"
    "diphenhydramine,chlorphenamine;supplement:iron,folic acid,vitamin d,vitamin b12,vitamin c,"
    "zinc";

/* Pairs of words or phrases that say the opposite. */
static const char opposites[] =
    "better worse|increase decrease|start stop|continue stop|safe dangerous|"
    "weight loss weight gain|diarrhea constipation|come and go constant|sudden gradual|"
    "empty stomach food|left right|before after|hot cold|ice heat|benign cancer|"
    "viral bacterial|viru bacteria|morning evening|morning night|day night|high low|fast slow|"
    "wet dry|always never|mild severe|inhale exhale|rise fall|raise lower|tight loose|"
    "early late|gain lose|hyperthyroid hypothyroid|hypertension hypotension|"
    "hyperglycemia hypoglycemia|hyperglycaemia hypoglycaemia|contagiou noncontagiou|"
    "allow forbid|rest exercise|open close|wake drowsy|normal abnormal|possible impossible|"
    "upper lower|front back|warm cold|deep shallow|acute chronic|weak strong|young old|"
    "short long|easy hard|likely unlikely|wait urgent|at rest exercise|skip take|halve double";

/* clang-format on */

/* ---- stems --------------------------------------------------------------------------------- */

static bool ends_with(const char *word, size_t len, const char *ending)
{
    size_t n = strlen(ending);
    return len > n && memcmp(word + len - n, ending, n) == 0;
}

static bool is_vowel(char c)
{
    return c != '\0' && strchr("aeiouy", c) != NULL;
}

static bool has_vowel(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (is_vowel(word[i])) return true;
    return false;
}

/* Drop -ing or -ed and what the ending had doubled. */
static size_t drop_ending(const char *word, size_t len, size_t ending)
{
    if (len < ending + 3 || !has_vowel(word, len - ending)) return len;
    len -= ending;
    char last = word[len - 1];
    if (len > 3 && last == word[len - 2] && !is_vowel(last) && last != 'l' && last != 's') len--;
    return len;
}

/* The spellings that divide English: ae and oe to e where medicine has them. */
static size_t unify_spelling(char *word, size_t len)
{
    static const char *const pairs[][2] = {
        {"haem", "hem"},   {"aemi", "emi"},     {"oedem", "edem"}, {"oesoph", "esoph"},
        {"paed", "ped"},   {"rrhoea", "rrhea"}, {"faec", "fec"},   {"gynae", "gyne"},
        {"oestr", "estr"}, {"anaes", "anes"},   {"coeli", "celi"}};
    for (size_t p = 0; p < sizeof pairs / sizeof pairs[0]; p++) {
        size_t from = strlen(pairs[p][0]), to = strlen(pairs[p][1]);
        for (size_t i = 0; len >= from && i <= len - from; i++) {
            if (memcmp(word + i, pairs[p][0], from) != 0) continue;
            memcpy(word + i, pairs[p][1], to);
            memmove(word + i + to, word + i + from, len - i - from);
            len -= from - to;
            break;
        }
    }
    return len;
}

size_t match__stem(const char *word, size_t len, char out[MATCH__STEM_BYTES])
{
    if (len > MATCH__STEM_BYTES) len = MATCH__STEM_BYTES;
    memcpy(out, word, len);
    if (len < 4) return len;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)out[i] >= 0x80 || (out[i] >= '0' && out[i] <= '9')) return len;
    len = unify_spelling(out, len);
    if (ends_with(out, len, "iness") && len > 6) {
        len -= 4;
        out[len - 1] = 'y';
        return len;
    }
    if (ends_with(out, len, "ness") && len > 6) return len - 4;
    if (ends_with(out, len, "ies") && len > 4) {
        len -= 2;
        out[len - 1] = 'y';
    } else if ((ends_with(out, len, "ses") || ends_with(out, len, "shes") ||
                ends_with(out, len, "ches") || ends_with(out, len, "xes")) &&
               len > 4) {
        len -= 2;
    } else if (out[len - 1] == 's' && out[len - 2] != 's' && out[len - 2] != 'u' &&
               !ends_with(out, len, "is")) {
        len--;
    }
    if (ends_with(out, len, "ing")) {
        len = drop_ending(out, len, 3);
    } else if (ends_with(out, len, "ied") && len > 4) {
        len -= 2;
        out[len - 1] = 'y';
    } else if (ends_with(out, len, "ed")) {
        len = drop_ending(out, len, 2);
    } else if (ends_with(out, len, "ly") && len > 5) {
        len -= 2;
    }
    if (len > 4 && out[len - 1] == 'e') len--;
    return len;
}

/* ---- building ------------------------------------------------------------------------------ */

uint64_t match__hash_more(uint64_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_of(const char *bytes, size_t len)
{
    return match__hash_more(MATCH__HASH_START, bytes, len);
}

const match__entry *match__lexicon_find(const match__lexicon *lexicon, const char *phrase,
                                        size_t len, uint64_t hash)
{
    size_t slot = (size_t)hash & (lexicon->slot_count - 1);
    for (; lexicon->slots[slot] != 0; slot = (slot + 1) & (lexicon->slot_count - 1)) {
        const match__entry *e = &lexicon->entries[lexicon->slots[slot] - 1];
        if (e->phrase_len == len && memcmp(e->phrase, phrase, len) == 0) return e;
    }
    return NULL;
}

bool match__lexicon_is_prefix(const match__lexicon *lexicon, uint64_t hash)
{
    size_t slot = (size_t)hash & (lexicon->prefix_slots - 1);
    for (; lexicon->prefixes[slot] != 0; slot = (slot + 1) & (lexicon->prefix_slots - 1))
        if (lexicon->prefixes[slot] == hash) return true;
    return false;
}

static void add_prefixes(match__lexicon *lexicon, const char *phrase, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        uint64_t hash = hash_of(phrase, i);
        if (phrase[i] != ' ' || match__lexicon_is_prefix(lexicon, hash)) continue;
        SLM_ASSERT(lexicon->prefix_count * 2 < lexicon->prefix_slots);
        size_t slot = (size_t)hash & (lexicon->prefix_slots - 1);
        while (lexicon->prefixes[slot] != 0)
            slot = (slot + 1) & (lexicon->prefix_slots - 1);
        lexicon->prefixes[slot] = hash;
        lexicon->prefix_count++;
    }
}

/* Add a phrase. The first meaning given keeps key and weight; flags add up ("now" is a time and an
 * urgency). */
static void add(match__lexicon *lexicon, const char *phrase, size_t len, const char *key,
                size_t key_len, float weight, uint32_t flags)
{
    uint64_t hash = hash_of(phrase, len);
    size_t slot = (size_t)hash & (lexicon->slot_count - 1);
    for (; lexicon->slots[slot] != 0; slot = (slot + 1) & (lexicon->slot_count - 1)) {
        match__entry *e = &lexicon->entries[lexicon->slots[slot] - 1];
        if (e->phrase_len != len || memcmp(e->phrase, phrase, len) != 0) continue;
        e->flags |= flags;
        return;
    }
    SLM_ASSERT(lexicon->count * 2 < lexicon->slot_count);
    lexicon->entries[lexicon->count++] = (match__entry){phrase, len, key, key_len, weight, flags};
    lexicon->slots[slot] = (uint32_t)lexicon->count;
    add_prefixes(lexicon, phrase, len);
}

/* The next part of a list; false at its end. */
static bool next_part(const char **list, char separator, const char **part, size_t *len)
{
    if (**list == '\0') return false;
    const char *end = strchr(*list, separator);
    *part = *list;
    *len = end == NULL ? strlen(*list) : (size_t)(end - *list);
    *list += *len + (end != NULL);
    return true;
}

static void add_groups(match__lexicon *lexicon, const group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *list = groups[i].variants, *part;
        size_t len;
        while (next_part(&list, '|', &part, &len))
            add(lexicon, part, len, groups[i].key, strlen(groups[i].key), groups[i].weight,
                groups[i].flags);
    }
}

static void add_words(match__lexicon *lexicon, const char *list, float weight)
{
    const char *part;
    size_t len;
    while (next_part(&list, ' ', &part, &len)) {
        char stem[MATCH__STEM_BYTES];
        size_t stem_len = match__stem(part, len, stem);
        const char *key = slm_arena_strndup(&lexicon->arena, stem, stem_len);
        add(lexicon, part, len, key, stem_len, weight, 0);
        if (stem_len != len || memcmp(stem, part, len) != 0)
            add(lexicon, key, stem_len, key, stem_len, weight, 0);
    }
}

static void add_medicines(match__lexicon *lexicon)
{
    const char *list = medicines, *names, *name;
    size_t names_len, len;
    while (next_part(&list, ';', &names, &names_len)) {
        const char *rest = slm_arena_strndup(&lexicon->arena, names, names_len), *key = rest;
        size_t key_len = strcspn(key, "|");
        while (next_part(&rest, '|', &name, &len))
            add(lexicon, name, len, key, key_len, 1.2F, MATCH__DRUG);
    }
}

static int by_hashes(const void *x, const void *y)
{
    const match__hash_pair *a = x, *b = y;
    if (a->a != b->a) return a->a < b->a ? -1 : 1;
    return a->b < b->b ? -1 : a->b > b->b;
}

/* "weight loss weight gain" is split in the middle: both halves have the same number of words. */
static size_t middle_of(const char *pair, size_t len)
{
    size_t spaces = 0, seen = 0;
    for (size_t i = 0; i < len; i++)
        spaces += pair[i] == ' ';
    for (size_t i = 0; i < len; i++)
        if (pair[i] == ' ' && seen++ == spaces / 2) return i;
    return len;
}

/* The hash of the key that a phrase of the lists stands for; of its stem if it is in none. */
static uint64_t key_hash(const match__lexicon *lexicon, const char *phrase, size_t len)
{
    const match__entry *e = match__lexicon_find(lexicon, phrase, len, hash_of(phrase, len));
    if (e != NULL) return hash_of(e->key, e->key_len);
    char stem[MATCH__STEM_BYTES];
    size_t n = match__stem(phrase, len, stem);
    return hash_of(stem, n);
}

static void add_opposites(match__lexicon *lexicon)
{
    lexicon->antonyms = slm_arena_array(&lexicon->arena, 128, sizeof *lexicon->antonyms);
    const char *list = opposites, *pair;
    size_t len;
    while (next_part(&list, '|', &pair, &len)) {
        size_t middle = middle_of(pair, len);
        /* "come and go constant", "empty stomach food": three words and one, two and one */
        if (strncmp(pair, "come and go ", 12) == 0) middle = 11;
        if (strncmp(pair, "empty stomach ", 14) == 0) middle = 13;
        if (strncmp(pair, "at rest ", 8) == 0) middle = 7;
        uint64_t a = key_hash(lexicon, pair, middle);
        uint64_t b = key_hash(lexicon, pair + middle + 1, len - middle - 1);
        SLM_ASSERT(lexicon->antonym_count < 128);
        lexicon->antonyms[lexicon->antonym_count++] =
            (match__hash_pair){a < b ? a : b, a < b ? b : a};
    }
    qsort(lexicon->antonyms, lexicon->antonym_count, sizeof *lexicon->antonyms, by_hashes);
}

static void add_kinds(match__lexicon *lexicon)
{
    const char *list = kinds, *kind, *name;
    size_t kind_len, len;
    lexicon->kinds = slm_arena_array(&lexicon->arena, 128, sizeof *lexicon->kinds);
    while (next_part(&list, ';', &kind, &kind_len)) {
        const char *rest = slm_arena_strndup(&lexicon->arena, kind, kind_len);
        size_t general = strcspn(rest, ":");
        uint64_t of = key_hash(lexicon, rest, general);
        rest += general + 1;
        while (next_part(&rest, ',', &name, &len)) {
            SLM_ASSERT(lexicon->kind_count < 128);
            lexicon->kinds[lexicon->kind_count++] =
                (match__hash_pair){of, key_hash(lexicon, name, len)};
        }
    }
    qsort(lexicon->kinds, lexicon->kind_count, sizeof *lexicon->kinds, by_hashes);
}

bool match__lexicon_is_kind(const match__lexicon *lexicon, uint64_t general, uint64_t certain)
{
    match__hash_pair key = {general, certain};
    return bsearch(&key, lexicon->kinds, lexicon->kind_count, sizeof key, by_hashes) != NULL;
}

bool match__lexicon_opposite(const match__lexicon *lexicon, uint64_t a, uint64_t b)
{
    match__hash_pair key = {a < b ? a : b, a < b ? b : a};
    return bsearch(&key, lexicon->antonyms, lexicon->antonym_count, sizeof key, by_hashes) != NULL;
}

/* Earlier lists win over later ones, so signals come before synonyms, and those before weights. */
void match__lexicon_init(match__lexicon *lexicon)
{
    *lexicon = (match__lexicon){.slot_count = 8192, .prefix_slots = 4096};
    lexicon->entries =
        slm_arena_array(&lexicon->arena, lexicon->slot_count / 2 + 1, sizeof *lexicon->entries);
    lexicon->slots = slm_arena_array(&lexicon->arena, lexicon->slot_count, sizeof *lexicon->slots);
    lexicon->prefixes =
        slm_arena_array(&lexicon->arena, lexicon->prefix_slots, sizeof *lexicon->prefixes);
    add_groups(lexicon, signals, sizeof signals / sizeof signals[0]);
    add_medicines(lexicon);
    add_groups(lexicon, synonyms, sizeof synonyms / sizeof synonyms[0]);
    add_words(lexicon, function_words, 0.0F);
    add_words(lexicon, foreign_words, 0.0F);
    add_words(lexicon, common_words, 0.3F);
    add_words(lexicon, health_words, 0.6F);
    add_opposites(lexicon);
    add_kinds(lexicon);
}

void match__lexicon_free(match__lexicon *lexicon)
{
    slm_arena_free(&lexicon->arena);
    *lexicon = (match__lexicon){0};
}

static void hash_groups(slm_sha256 *hash, const group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        slm_sha256_update_part(hash, groups[i].key);
        slm_sha256_update(hash, &groups[i].weight, sizeof groups[i].weight);
        slm_sha256_update(hash, &groups[i].flags, sizeof groups[i].flags);
        slm_sha256_update_part(hash, groups[i].variants);
    }
}

void match__lexicon_hash(slm_sha256 *hash)
{
    slm_sha256_update_part(hash, function_words);
    slm_sha256_update_part(hash, foreign_words);
    slm_sha256_update_part(hash, common_words);
    slm_sha256_update_part(hash, health_words);
    hash_groups(hash, signals, sizeof signals / sizeof signals[0]);
    hash_groups(hash, synonyms, sizeof synonyms / sizeof synonyms[0]);
    slm_sha256_update_part(hash, medicines);
    slm_sha256_update_part(hash, kinds);
    slm_sha256_update_part(hash, opposites);
}
