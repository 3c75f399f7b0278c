//! What the callers of `milo bench clean` say: wordings of the project's grammar that the shipped ears were not trained on, in
//! voices that they never heard.

use milo_models::engine::Language;

/// Variants of the voice that were kept out of the training of the shipped ears.
pub(super) const VOICES: [&str; 8] = ["f4", "m6", "Alicia", "Marco", "steph2", "pablo", "Gene2", "anika"];

/// The sentences, as the ears should write them.
pub(super) const SENTENCES: [(Language, &str); 40] = [
    (Language::Mg, "inty ny kaodiko enina fito fito telo"),
    (Language::Mg, "omeo ahy ny vidin'ny finday"),
    (Language::Mg, "salama ihany fa misaotra"),
    (Language::Fr, "je voudrais bakoly"),
    (Language::Mg, "inona moa ny asanao"),
    (Language::Mg, "sivy ora maraina no tiako"),
    (Language::Fr, "donnez-moi votre numéro"),
    (Language::Mg, "ny kaodiko fito efatra telo fito"),
    (Language::Mg, "misaotra anao indrindra"),
    (Language::Fr, "je voudrais parler avec solo s'il vous plaît"),
    (Language::Mg, "mbola miandry ny entako aho"),
    (Language::Mg, "lazao ahy ny laharan'ny birao"),
    (Language::Mg, "i naivo no anarako"),
    (Language::Fr, "où est l'école"),
    (Language::Mg, "mila maka fotoana aho ny talata"),
    (Language::Mg, "te hividy boky aho"),
    (Language::Fr, "c'est bien ça"),
    (Language::Mg, "amin'ny ora firy no misokatra ny birao"),
    (Language::Mg, "salama tompoko mihinana mofo ny zanako"),
    (Language::Fr, "à dix-sept heures quinze plutôt"),
    (Language::Mg, "simba ny findaiko"),
    (Language::Mg, "amin'ny fito ora maraina aho te ho avy"),
    (Language::Mg, "salama tompoko misy olana ny tapakila"),
    (Language::Fr, "plutôt vers quatorze heures quinze"),
    (Language::Mg, "azoko atao ve ny miresaka amin'olona"),
    (Language::Mg, "handoa valo alina sy dimy hetsy ariary aho"),
    (Language::Fr, "bonjour chantez la musique"),
    (Language::Mg, "ao ve randria"),
    (Language::Mg, "rahampitso aho te haka fotoana"),
    (Language::Fr, "quels sont les horaires du bureau"),
    (Language::Mg, "i ravao izaho"),
    (Language::Mg, "ohatrinona ny mofo iray"),
    (Language::Mg, "firy ariary ny mofo"),
    (Language::Fr, "la carte coûte combien"),
    (Language::Mg, "tsara aho misaotra"),
    (Language::Mg, "ando no miantso"),
    (Language::Fr, "je voudrais prendre rendez-vous le sept juin à huit heures"),
    (Language::Mg, "inona ny andro fisokafan'ny birao azafady"),
    (Language::Mg, "ny asabotsy aho te haka fotoana"),
    (Language::Fr, "s'il vous plaît attendez une minute"),
];
