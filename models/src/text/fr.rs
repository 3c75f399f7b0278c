//! How figures are read in French, by the rules of CLDR (`fr` spell-out, months), with the words of the telephone.

use super::{
    calendar,
    short::Dot,
    written::{Currency, Number, Unit, Written},
};

const SMALL: [&str; 20] = [
    "zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze", "treize",
    "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf",
];
const TENS: [&str; 10] =
    ["", "dix", "vingt", "trente", "quarante", "cinquante", "soixante", "soixante", "quatre-vingt", "quatre-vingt"];

/// Whether the counted word is feminine, which changes one: "une heure", "vingt-et-une heures".
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gender {
    Masculine,
    Feminine,
}

/// The cardinal in words, masculine.
pub(super) fn cardinal(n: u64) -> String {
    counted(n, Gender::Masculine)
}

fn counted(n: u64, gender: Gender) -> String {
    if n == 0 {
        return SMALL[0].into();
    }
    let mut words = Vec::new();
    for (step, name) in [(1_000_000_000_000, "billion"), (1_000_000_000, "milliard"), (1_000_000, "million")] {
        let count = n / step % 1_000;
        if count > 0 {
            // "quatre-vingts millions": these are nouns, the s stays.
            words.push(format!(
                "{} {name}{}",
                below_thousand(count, Gender::Masculine, true),
                if count > 1 { "s" } else { "" }
            ));
        }
    }
    match n / 1_000 % 1_000 {
        0 => {}
        1 => words.push("mille".into()),
        // "quatre-vingt mille": mille is a numeral, the s goes.
        thousands => words.push(format!("{} mille", below_thousand(thousands, Gender::Masculine, false))),
    }
    if !n.is_multiple_of(1_000) {
        words.push(below_thousand(n % 1_000, gender, true));
    }
    words.join(" ")
}

fn below_thousand(n: u64, gender: Gender, last: bool) -> String {
    let (hundreds, rest) = ((n / 100) as usize, n % 100);
    let mut words = Vec::new();
    match hundreds {
        0 => {}
        1 => words.push("cent".to_owned()),
        hundreds => words.push(format!("{} cent{}", SMALL[hundreds], if rest == 0 && last { "s" } else { "" })),
    }
    if rest > 0 {
        words.push(below_hundred(rest, gender, last));
    }
    words.join(" ")
}

fn below_hundred(n: u64, gender: Gender, last: bool) -> String {
    let one = |n: usize| if n == 1 && gender == Gender::Feminine { "une" } else { SMALL[n] };
    let (tens, unit) = ((n / 10) as usize, (n % 10) as usize);
    match (tens, unit) {
        (0 | 1, _) => one(n as usize).into(),
        (8, 0) => if last { "quatre-vingts" } else { "quatre-vingt" }.into(),
        (7, 1) => "soixante-et-onze".into(),
        (7 | 9, unit) => format!("{}-{}", TENS[tens], SMALL[10 + unit]),
        (tens, 0) => TENS[tens].into(),
        (8, unit) => format!("quatre-vingt-{}", one(unit)),
        (tens, 1) => format!("{}-et-{}", TENS[tens], one(1)),
        (tens, unit) => format!("{}-{}", TENS[tens], SMALL[unit]),
    }
}

/// First, second, …
pub(super) fn ordinal(n: u64) -> String {
    if n == 1 {
        return "premier".into();
    }
    let words = cardinal(n);
    let stem = words
        .strip_suffix('s')
        .filter(|_| words.ends_with("vingts") || words.ends_with("cents") || words.ends_with("ons"));
    match stem.unwrap_or(&words) {
        words if words.ends_with("cinq") => format!("{words}uième"),
        words if words.ends_with("neuf") => format!("{}vième", words.trim_end_matches('f')),
        words => format!("{}ième", words.trim_end_matches('e')),
    }
}

/// Digits one by one.
pub(super) fn spelled(digits: &str) -> String {
    let words: Vec<&str> =
        digits.bytes().filter(u8::is_ascii_digit).map(|digit| SMALL[usize::from(digit - b'0')]).collect();
    words.join(" ")
}

/// Feminine words that are often counted; before any other word, one is "un".
const FEMININE: [&str; 20] = [
    "heure",
    "minute",
    "seconde",
    "journée",
    "semaine",
    "année",
    "nuit",
    "fois",
    "personne",
    "chambre",
    "place",
    "table",
    "page",
    "question",
    "tonne",
    "bouteille",
    "boîte",
    "visite",
    "consultation",
    "réservation",
];

/// The gender of the word that a number counts.
fn gender_of(after: &str) -> Gender {
    let after = after.strip_prefix([' ', '\u{a0}']).unwrap_or(after);
    let word = after.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default();
    let feminine = FEMININE.iter().any(|noun| word.strip_prefix(noun).is_some_and(|end| matches!(end, "" | "s")));
    if feminine { Gender::Feminine } else { Gender::Masculine }
}

/// Reads what was recognised; `after` is the text that follows it.
pub(super) fn read(written: &Written, after: &str) -> String {
    match written {
        Written::Number(value) => number(value, gender_of(after)),
        Written::Percent(value) => format!("{} pour cent", number(value, Gender::Masculine)),
        Written::Money(value, currency) => money(value, *currency),
        Written::Measure(value, unit) => measure(value, *unit),
        Written::Date { day, month, year, .. } => {
            let day = if *day == 1 { ordinal(1) } else { cardinal(*day) };
            let month = calendar::FRENCH[month - 1];
            year.map_or_else(|| format!("{day} {month}"), |year| format!("{day} {month} {}", cardinal(year)))
        }
        Written::Hour { hour, minute } => {
            let hours = format!("{} heure{}", counted(*hour, Gender::Feminine), plural(*hour));
            if *minute == 0 { hours } else { format!("{hours} {}", counted(*minute, Gender::Feminine)) }
        }
        Written::Fraction(above, below) => fraction(*above, *below),
        Written::Ordinal { value: 1, feminine: true } => "première".into(),
        Written::Ordinal { value, .. } => ordinal(*value),
        Written::Digits { plus, groups } => {
            let groups: Vec<String> = groups.iter().map(|group| spelled(group)).collect();
            format!("{}{}", if *plus { "plus " } else { "" }, groups.join(", "))
        }
    }
}

fn plural(n: u64) -> &'static str {
    if n > 1 { "s" } else { "" }
}

fn number(value: &Number, gender: Gender) -> String {
    let sign = if value.negative { "moins " } else { "" };
    if value.decimals.is_empty() {
        return format!("{sign}{}", counted(value.integer, gender));
    }
    format!("{sign}{} virgule {}", cardinal(value.integer), spelled(&value.decimals))
}

fn fraction(above: u64, below: u64) -> String {
    let part = match below {
        2 => "demi".into(),
        3 => "tiers".into(),
        4 => "quart".into(),
        below => ordinal(below),
    };
    let plural = if below == 3 { "" } else { plural(above) };
    format!("{} {part}{plural}", cardinal(above))
}

/// "cinq euros cinquante": two decimals of a euro are cents. A round million takes "de": "un million d'ariary".
fn money(value: &Number, currency: Currency) -> String {
    let (name, plural) = match currency {
        Currency::Ariary => ("ariary", ""),
        Currency::Euro => ("euro", plural(value.integer)),
        Currency::Dollar => ("dollar", plural(value.integer)),
        Currency::Pound => ("livre", if value.integer > 1 { "s sterling" } else { " sterling" }),
    };
    let of = match (value.integer.is_multiple_of(1_000_000) && value.integer > 0, currency) {
        (false, _) => "",
        (true, Currency::Dollar | Currency::Pound) => "de ",
        (true, _) => "d'",
    };
    let gender = if currency == Currency::Pound { Gender::Feminine } else { Gender::Masculine };
    match (currency, value.decimals.len()) {
        (Currency::Euro | Currency::Dollar, 2) => {
            let whole = number(&Number { decimals: String::new(), ..value.clone() }, Gender::Masculine);
            let cents = cardinal(value.decimals.parse().unwrap_or(0));
            let cents = if value.decimals == "00" { String::new() } else { format!(" {cents}") };
            format!("{whole} {of}{name}{plural}{cents}")
        }
        _ => format!("{} {of}{name}{plural}", number(value, gender)),
    }
}

/// "trois mètres carrés": each word of a unit takes its own s.
fn measure(value: &Number, unit: Unit) -> String {
    use Gender::{Feminine, Masculine};
    let (one, more, gender) = match unit {
        Unit::Kilometre => ("kilomètre", "kilomètres", Masculine),
        Unit::KilometreAnHour => ("kilomètre-heure", "kilomètres-heure", Masculine),
        Unit::Metre => ("mètre", "mètres", Masculine),
        Unit::SquareMetre => ("mètre carré", "mètres carrés", Masculine),
        Unit::CubicMetre => ("mètre cube", "mètres cubes", Masculine),
        Unit::Centimetre => ("centimètre", "centimètres", Masculine),
        Unit::Millimetre => ("millimètre", "millimètres", Masculine),
        Unit::Hectare => ("hectare", "hectares", Masculine),
        Unit::Tonne => ("tonne", "tonnes", Feminine),
        Unit::Kilogram => ("kilo", "kilos", Masculine),
        Unit::Gram => ("gramme", "grammes", Masculine),
        Unit::Milligram => ("milligramme", "milligrammes", Masculine),
        Unit::Litre => ("litre", "litres", Masculine),
        Unit::Centilitre => ("centilitre", "centilitres", Masculine),
        Unit::Millilitre => ("millilitre", "millilitres", Masculine),
        Unit::Degree => ("degré", "degrés", Masculine),
        Unit::Gigabyte => ("gigaoctet", "gigaoctets", Masculine),
        Unit::Megabyte => ("mégaoctet", "mégaoctets", Masculine),
        Unit::Kilowatt => ("kilowatt", "kilowatts", Masculine),
        Unit::KilowattHour => ("kilowattheure", "kilowattheures", Masculine),
        Unit::Watt => ("watt", "watts", Masculine),
        Unit::Volt => ("volt", "volts", Masculine),
        Unit::Day => ("jour", "jours", Masculine),
        Unit::Minute => ("minute", "minutes", Feminine),
        Unit::Second => ("seconde", "secondes", Feminine),
    };
    format!("{} {}", number(value, gender), if value.integer > 1 { more } else { one })
}

/// Out of: "24h/24".
pub(super) const OF: &str = "sur";
/// Between the two ends of a range.
pub(super) const TO: &str = "à";
/// The dot inside addresses and versions, the slash, the hyphen, the underscore, the at sign.
pub(super) const DOT: &str = "point";
pub(super) const SLASH: &str = "slash";
pub(super) const HYPHEN: &str = "tiret";
pub(super) const UNDERSCORE: &str = "tiret bas";
pub(super) const AT: &str = "arobase";

/// Abbreviations that are words: written, whether a dot may belong to it, read.
pub(super) const ABBREVIATIONS: &[(&str, Dot, &str)] = &[
    ("M", Dot::BeforeName, "monsieur"),
    ("MM", Dot::BeforeName, "messieurs"),
    ("Mr", Dot::May, "monsieur"),
    ("Mme", Dot::May, "madame"),
    ("Mmes", Dot::May, "mesdames"),
    ("Mlle", Dot::May, "mademoiselle"),
    ("Dr", Dot::May, "docteur"),
    ("Pr", Dot::May, "professeur"),
    ("Me", Dot::BeforeName, "maître"),
    ("etc", Dot::Ends, "et cetera"),
    ("cf", Dot::May, "voir"),
    ("env", Dot::Must, "environ"),
    ("max", Dot::Must, "maximum"),
    ("min", Dot::Must, "minimum"),
    ("Mgr", Dot::May, "monseigneur"),
    ("St", Dot::May, "saint"),
    ("Ste", Dot::May, "sainte"),
    ("Sté", Dot::May, "société"),
    ("Cie", Dot::May, "compagnie"),
    ("tél", Dot::May, "téléphone"),
    ("Tél", Dot::May, "téléphone"),
    ("Tel", Dot::Must, "téléphone"),
    ("tel", Dot::Must, "téléphone"),
    ("av", Dot::Must, "avenue"),
    ("bd", Dot::Must, "boulevard"),
    ("lun", Dot::Day, "lundi"),
    ("mar", Dot::Day, "mardi"),
    ("mer", Dot::BeforeDay, "mercredi"),
    ("jeu", Dot::BeforeDay, "jeudi"),
    ("ven", Dot::Day, "vendredi"),
    ("sam", Dot::Day, "samedi"),
    ("dim", Dot::Day, "dimanche"),
    ("svp", Dot::No, "s'il vous plaît"),
    ("SVP", Dot::No, "s'il vous plaît"),
    ("rdv", Dot::No, "rendez-vous"),
    ("RDV", Dot::No, "rendez-vous"),
    ("Ar", Dot::No, "ariary"),
    ("MGA", Dot::No, "ariary"),
    ("n°", Dot::No, "numéro"),
    ("N°", Dot::No, "numéro"),
];

/// Signs that are words.
pub(super) fn sign(letter: char) -> Option<&'static str> {
    Some(match letter {
        '&' => "et",
        '+' => "plus",
        '=' => "égale",
        '×' => "fois",
        '÷' => "divisé par",
        '≠' => "différent de",
        '<' => "inférieur à",
        '>' => "supérieur à",
        '≤' => "inférieur ou égal à",
        '≥' => "supérieur ou égal à",
        '±' => "plus ou moins",
        '√' => "racine carrée de",
        'π' => "pi",
        '½' => "un demi",
        '⅓' => "un tiers",
        '¼' => "un quart",
        '¾' => "trois quarts",
        '²' => "au carré",
        '³' => "au cube",
        '£' => "livres sterling",
        '€' => "euros",
        '$' => "dollars",
        '%' => "pour cent",
        '@' => "arobase",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::Language, text::speakable};

    /// CLDR `fr`, spell-out-cardinal-masculine.
    #[test]
    fn cardinals_by_cldr() {
        for (n, words) in [
            (0, "zéro"),
            (1, "un"),
            (11, "onze"),
            (16, "seize"),
            (17, "dix-sept"),
            (20, "vingt"),
            (21, "vingt-et-un"),
            (22, "vingt-deux"),
            (31, "trente-et-un"),
            (61, "soixante-et-un"),
            (70, "soixante-dix"),
            (71, "soixante-et-onze"),
            (72, "soixante-douze"),
            (77, "soixante-dix-sept"),
            (80, "quatre-vingts"),
            (81, "quatre-vingt-un"),
            (90, "quatre-vingt-dix"),
            (91, "quatre-vingt-onze"),
            (99, "quatre-vingt-dix-neuf"),
            (100, "cent"),
            (101, "cent un"),
            (180, "cent quatre-vingts"),
            (200, "deux cents"),
            (201, "deux cent un"),
            (280, "deux cent quatre-vingts"),
            (999, "neuf cent quatre-vingt-dix-neuf"),
            (1_000, "mille"),
            (1_001, "mille un"),
            (1_998, "mille neuf cent quatre-vingt-dix-huit"),
            (2_000, "deux mille"),
            (2_025, "deux mille vingt-cinq"),
            (15_000, "quinze mille"),
            (80_000, "quatre-vingt mille"),
            (80_080, "quatre-vingt mille quatre-vingts"),
            (200_000, "deux cent mille"),
            (1_000_000, "un million"),
            (2_500_000, "deux millions cinq cent mille"),
            (80_000_000, "quatre-vingts millions"),
            (200_000_000, "deux cents millions"),
            (1_000_000_000, "un milliard"),
            (1_000_000_000_000, "un billion"),
        ] {
            assert_eq!(cardinal(n), words, "{n}");
        }
    }

    /// Ordinals by CLDR `fr` (spell-out-ordinal-masculine).
    #[test]
    fn ordinals_by_cldr() {
        for (n, words) in [
            (1, "premier"),
            (2, "deuxième"),
            (4, "quatrième"),
            (5, "cinquième"),
            (9, "neuvième"),
            (11, "onzième"),
            (21, "vingt-et-unième"),
            (80, "quatre-vingtième"),
            (100, "centième"),
            (200, "deux centième"),
            (1_000, "millième"),
        ] {
            assert_eq!(ordinal(n), words, "{n}");
        }
    }

    /// Figures in running text. Dates and months: CLDR; the rest as the telephone's announcements say them.
    #[test]
    fn text_with_figures() {
        for (text, read) in [
            ("1,5", "un virgule cinq"),
            ("1.5", "un virgule cinq"),
            ("2,75 kg", "deux virgule sept cinq kilos"),
            ("50 %", "cinquante pour cent"),
            ("12,5%", "douze virgule cinq pour cent"),
            ("-3 °C", "moins trois degrés"),
            ("15 000", "quinze mille"),
            ("15\u{202f}000", "quinze mille"),
            ("15.000 Ar", "quinze mille ariary"),
            ("15000 Ar", "quinze mille ariary"),
            ("Ar 15 000", "quinze mille ariary"),
            ("1 000 000 Ar", "un million d'ariary"),
            ("1 500 000 ariary", "un million cinq cent mille ariary"),
            ("5 €", "cinq euros"),
            ("1 €", "un euro"),
            ("5,50 €", "cinq euros cinquante"),
            ("€20", "vingt euros"),
            ("$5", "cinq dollars"),
            ("12/03/2025", "douze mars deux mille vingt-cinq"),
            ("12/03/25", "douze mars deux mille vingt-cinq"),
            ("2025-03-12", "douze mars deux mille vingt-cinq"),
            ("01/05/2026", "premier mai deux mille vingt-six"),
            ("1er mai", "premier mai"),
            ("14 juillet 1789", "quatorze juillet mille sept cent quatre-vingt-neuf"),
            ("12/13/2025", "douze, treize, deux mille vingt-cinq"),
            ("10:30", "dix heures trente"),
            ("10 h 30", "dix heures trente"),
            ("10h30", "dix heures trente"),
            ("8h", "huit heures"),
            ("1h", "une heure"),
            ("21 h 01", "vingt-et-une heures une"),
            ("25:61", "vingt-cinq, soixante-et-un"),
            ("8h-17h", "huit heures à dix-sept heures"),
            ("8:00 – 12:00", "huit heures à douze heures"),
            ("10–12", "dix à douze"),
            ("34-67-89", "trente-quatre, soixante-sept, quatre-vingt-neuf"),
            ("034 12 345 67", "zéro trois quatre, un deux, trois quatre cinq, six sept"),
            ("+33 1 23 45 67 89", "plus trois trois, un, deux trois, quatre cinq, six sept, huit neuf"),
            ("007", "zéro zéro sept"),
            ("0000123", "zéro zéro zéro, zéro un deux, trois"),
            ("1,2,3", "un, deux, trois"),
            ("1/2", "un demi"),
            ("3/4", "trois quarts"),
            ("2/3", "deux tiers"),
            ("3/5", "trois cinquièmes"),
            ("2e", "deuxième"),
            ("1re", "première"),
            ("21ème", "vingt-et-unième"),
            ("5 min", "cinq minutes"),
            ("1 min", "une minute"),
            ("100 km", "cent kilomètres"),
            ("M. Rakoto", "monsieur Rakoto"),
            ("Mme Rasoa", "madame Rasoa"),
            ("Dr. Rabe est là.", "docteur Rabe est là."),
            ("du riz, etc.", "du riz, et cetera."),
            ("n° 5", "numéro cinq"),
            ("A4", "A quatre"),
            ("Tom & Jerry", "Tom et Jerry"),
            ("2 + 2 = 4", "deux plus deux égale quatre"),
            ("Il coûte 5 000 Ar, monsieur.", "Il coûte cinq mille ariary, monsieur."),
            ("Rendez-vous à 9 h.", "Rendez-vous à neuf heures."),
            ("24h/24, 7j/7", "vingt-quatre heures sur vingt-quatre, sept jours sur sept"),
            ("1 heure et 21 minutes", "une heure et vingt-et-une minutes"),
            ("1 jour, 101 personnes", "un jour, cent une personnes"),
            ("21 000 personnes", "vingt-et-un mille personnes"),
            ("10-12 h", "dix à douze heures"),
            ("0.1234567", "zéro virgule un deux trois quatre cinq six sept"),
            ("Article 12-3", "Article douze, trois"),
            ("5 m.", "cinq mètres."),
            ("٣", "trois"),
        ] {
            assert_eq!(speakable(text, Language::Fr), read, "{text}");
        }
    }
}
