//! How figures are read in Malagasy: the small part first, as the sources have it (tantely.org lessons 3 and 4; G. W. Parker, "A
//! Concise Grammar of the Malagasy Language", 1883, Numerals and Prepositions, on Wikisource; CLDR `mg`).
//!
//! Where the sources differ: CLDR names the euro "Eoro" and the dollar both "dolara" and "dôlara"; a quarter past may be "sy fahefany"
//! (tantely.org, University of Wisconsin), and is read "sy dimy ambin'ny folo minitra". The other forms are understood.
//!
//! Not found in a source, and chosen: "miiba" for a negative number (the word of school mathematics), "A amin'ny B" for a fraction
//! whose denominator has more than one word, the names of units beyond kilometatra, metatra and litatra, the signs of mathematics,
//! and the part of the day that is added to hours after noon (tolakandro to five, hariva to eight, then alina).

use super::{
    calendar,
    short::Dot,
    written::{Currency, Number, Unit, Written},
};

const UNITS: [&str; 10] = ["aotra", "iray", "roa", "telo", "efatra", "dimy", "enina", "fito", "valo", "sivy"];
const TENS: [&str; 10] =
    ["", "folo", "roapolo", "telopolo", "efapolo", "dimampolo", "enimpolo", "fitopolo", "valopolo", "sivifolo"];
const HUNDREDS: [&str; 10] =
    ["", "zato", "roanjato", "telonjato", "efajato", "dimanjato", "eninjato", "fitonjato", "valonjato", "sivinjato"];
/// What may follow an hour that already tells the part of the day.
const DAY_PARTS: [&str; 6] = ["maraina", "antoandro", "atoandro", "tolakandro", "hariva", "alina"];

/// The cardinal in words.
pub(super) fn cardinal(n: u64) -> String {
    if n == 0 {
        return UNITS[0].into();
    }
    let mut parts = Vec::new();
    let hundreds = digit(n, 100);
    let small = below_hundred(n % 100, hundreds == 1);
    match (small, hundreds) {
        (small, 0) => parts.extend(small),
        (Some(small), 1) => parts.push(format!("{small} amby zato")),
        (small, hundreds) => {
            parts.extend(small);
            parts.push(HUNDREDS[hundreds].into());
        }
    }
    match digit(n, 1_000) {
        0 => {}
        1 => parts.push("arivo".into()),
        thousands => parts.push(format!("{} arivo", UNITS[thousands])),
    }
    for (step, name) in [(10_000, "alina"), (100_000, "hetsy")] {
        let count = digit(n, step);
        if count > 0 {
            parts.push(format!("{} {name}", UNITS[count]));
        }
    }
    let millions = n / 1_000_000 % 1_000;
    if millions > 0 {
        parts.push(format!("{} tapitrisa", cardinal(millions)));
    }
    let milliards = n / 1_000_000_000;
    if milliards > 0 {
        parts.push(format!("{} lavitrisa", cardinal(milliards)));
    }
    parts.join(" sy ")
}

/// The digit of `n` at this power of ten.
fn digit(n: u64, step: u64) -> usize {
    (n / step % 10) as usize
}

/// 1 to 99; nothing for 0. One is "iraika" before amby and ambin'ny, so also before "amby zato".
fn below_hundred(n: u64, before_zato: bool) -> Option<String> {
    let (tens, unit) = (digit(n, 10), digit(n, 1));
    let joined = if unit == 1 { "iraika" } else { UNITS[unit] };
    match (tens, unit) {
        (0, 0) => None,
        (0, 1) if before_zato => Some(joined.into()),
        (0, unit) => Some(UNITS[unit].into()),
        (tens, 0) => Some(TENS[tens].into()),
        (1, _) => Some(format!("{joined} ambin'ny folo")),
        (tens, _) => Some(format!("{joined} amby {}", TENS[tens])),
    }
}

/// First, second, …: "faha-" before the cardinal, its last a lost before a vowel (fahènina: Parker, Numerals).
pub(super) fn ordinal(n: u64) -> String {
    if n == 1 {
        return "voalohany".into();
    }
    let cardinal = cardinal(n);
    if cardinal.starts_with(['a', 'e', 'i']) { format!("fah{cardinal}") } else { format!("faha{cardinal}") }
}

/// A part of a whole: "ampaha-" before the cardinal and "-ny" behind it (Parker: ampaharoany, ampahatelony, ampahefany,
/// ampahadiminy), which swallows a weak last syllable. `None` where the cardinal has several words.
pub(super) fn part(n: u64) -> Option<String> {
    let cardinal = cardinal(n);
    if cardinal.contains(' ') {
        return None;
    }
    let stem = cardinal.strip_suffix("tra").or_else(|| cardinal.strip_suffix("na")).unwrap_or(&cardinal);
    let stem = stem.strip_suffix('y').map_or_else(|| stem.to_owned(), |stem| format!("{stem}i"));
    Some(if stem.starts_with(['a', 'e', 'i']) { format!("ampah{stem}ny") } else { format!("ampaha{stem}ny") })
}

/// Digits one by one.
pub(super) fn spelled(digits: &str) -> String {
    let words: Vec<&str> =
        digits.bytes().filter(u8::is_ascii_digit).map(|digit| UNITS[usize::from(digit - b'0')]).collect();
    words.join(" ")
}

/// Reads what was recognised; `after` is the text that follows it.
pub(super) fn read(written: &Written, after: &str) -> String {
    match written {
        Written::Number(value) => number(value),
        Written::Percent(value) => format!("{} isan-jato", number(value)),
        Written::Money(value, currency) => format!("{} {}", number(value), money(*currency)),
        Written::Measure(value, unit) => format!("{} {}", number(value), measure(*unit)),
        Written::Date { day, month, year, .. } => {
            let day = if *day == 1 { ordinal(1) } else { cardinal(*day) };
            let month = calendar::MALAGASY[month - 1];
            year.map_or_else(|| format!("{day} {month}"), |year| format!("{day} {month} taona {}", cardinal(year)))
        }
        Written::Hour { hour, minute } => time(*hour, *minute, after),
        Written::Fraction(above, below) => fraction(*above, *below),
        Written::Ordinal { value, .. } => ordinal(*value),
        Written::Digits { plus, groups } => {
            let groups: Vec<String> = groups.iter().map(|group| spelled(group)).collect();
            format!("{}{}", if *plus { "plus " } else { "" }, groups.join(", "))
        }
    }
}

/// "roa ampahatelony", two thirds (Parker: the numerator is a cardinal).
fn fraction(above: u64, below: u64) -> String {
    match (above, part(below)) {
        (1, _) if below == 2 => "antsasany".into(),
        (1, Some(part)) => part,
        (above, Some(part)) => format!("{} {part}", cardinal(above)),
        (above, None) => format!("{} amin'ny {}", cardinal(above), cardinal(below)),
    }
}

fn number(value: &Number) -> String {
    let sign = if value.negative { "miiba " } else { "" };
    let decimals =
        if value.decimals.is_empty() { String::new() } else { format!(" faingo {}", spelled(&value.decimals)) };
    format!("{sign}{}{decimals}", cardinal(value.integer))
}

/// Twelve hours; after noon the part of the day is said, unless the text goes on to say it.
fn time(hour: u64, minute: u64, after: &str) -> String {
    let clock = (hour + 11) % 12 + 1;
    let minutes = match minute {
        0 => String::new(),
        30 => " sy sasany".into(),
        minute => format!(" sy {} minitra", cardinal(minute)),
    };
    let told = DAY_PARTS.iter().any(|part| after.trim_start().starts_with(part));
    let part = match hour {
        _ if told => "",
        0 | 24 => " alina",
        1..=12 => "",
        13..=16 => " tolakandro",
        17..=19 => " hariva",
        _ => " alina",
    };
    format!("{} ora{minutes}{part}", cardinal(clock))
}

fn money(currency: Currency) -> &'static str {
    match currency {
        Currency::Ariary => "ariary",
        Currency::Euro => "eoro",
        Currency::Dollar => "dôlara",
        Currency::Pound => "livre sterling",
    }
}

fn measure(unit: Unit) -> &'static str {
    match unit {
        Unit::Kilometre => "kilometatra",
        Unit::KilometreAnHour => "kilometatra isan'ora",
        Unit::Metre => "metatra",
        Unit::SquareMetre => "metatra toradroa",
        Unit::CubicMetre => "metatra toratelo",
        Unit::Centimetre => "santimetatra",
        Unit::Millimetre => "milimetatra",
        Unit::Hectare => "hektara",
        Unit::Tonne => "taonina",
        Unit::Kilogram => "kilao",
        Unit::Gram => "grama",
        Unit::Milligram => "miligrama",
        Unit::Litre => "litatra",
        Unit::Centilitre => "santilitatra",
        Unit::Millilitre => "mililitatra",
        Unit::Degree => "degre",
        Unit::Gigabyte => "gigaoktety",
        Unit::Megabyte => "megaoktety",
        Unit::Kilowatt => "kilowatt",
        Unit::KilowattHour => "kilowattheure",
        Unit::Watt => "watt",
        Unit::Volt => "volt",
        Unit::Day => "andro",
        Unit::Minute => "minitra",
        Unit::Second => "segondra",
    }
}

/// Out of: "24h/24".
pub(super) const OF: &str = "amin'ny";
/// Between the two ends of a range.
pub(super) const TO: &str = "ka hatramin'ny";
/// The dot inside addresses and versions, the slash, the hyphen, the underscore, the at sign.
pub(super) const DOT: &str = "teboka";
pub(super) const SLASH: &str = "slash";
pub(super) const HYPHEN: &str = "tsipika";
pub(super) const UNDERSCORE: &str = "tsipika ambany";
pub(super) const AT: &str = "arobaz";

/// Abbreviations that are words: written, whether a dot may belong to it, read.
pub(super) const ABBREVIATIONS: &[(&str, Dot, &str)] = &[
    ("Atoa", Dot::May, "Andriamatoa"),
    ("Rtoa", Dot::May, "Ramatoa"),
    ("Dr", Dot::May, "dokotera"),
    ("Pr", Dot::May, "porofesora"),
    ("M", Dot::BeforeName, "Andriamatoa"),
    ("Mme", Dot::May, "Ramatoa"),
    ("Mr", Dot::May, "Andriamatoa"),
    ("Mlle", Dot::May, "Ramatoa kely"),
    ("Ing", Dot::Must, "injeniera"),
    ("sns", Dot::Ends, "sy ny sisa"),
    ("oh", Dot::Must, "ohatra"),
    ("tél", Dot::May, "telefaonina"),
    ("Tel", Dot::May, "telefaonina"),
    ("Tél", Dot::May, "telefaonina"),
    ("tel", Dot::May, "telefaonina"),
    ("lah", Dot::Must, "laharana"),
    ("Alats", Dot::Must, "Alatsinainy"),
    ("Tal", Dot::Must, "Talata"),
    ("Alar", Dot::Must, "Alarobia"),
    ("Alak", Dot::Must, "Alakamisy"),
    ("Zom", Dot::Must, "Zoma"),
    ("Asab", Dot::Must, "Asabotsy"),
    ("Alah", Dot::Must, "Alahady"),
    ("Ar", Dot::No, "ariary"),
    ("MGA", Dot::No, "ariary"),
    ("n°", Dot::No, "laharana"),
    ("N°", Dot::No, "laharana"),
];

/// Signs that are words.
pub(super) fn sign(letter: char) -> Option<&'static str> {
    Some(match letter {
        '&' => "sy",
        '+' => "ampiana",
        '=' => "mitovy amin'ny",
        '×' => "ampitomboina",
        '÷' => "zaraina",
        '≠' => "tsy mitovy amin'ny",
        '<' => "latsaky ny",
        '>' => "mihoatra ny",
        '≤' => "latsaka na mitovy amin'ny",
        '≥' => "mihoatra na mitovy amin'ny",
        '±' => "ampiana na analana",
        '√' => "faka toradroa",
        'π' => "pi",
        '½' => "antsasany",
        '⅓' => "ampahatelony",
        '¼' => "ampahefany",
        '¾' => "telo ampahefany",
        '²' => "toradroa",
        '³' => "toratelo",
        '€' => "eoro",
        '£' => "livre sterling",
        '$' => "dôlara",
        '%' => "isan-jato",
        '@' => "arobaz",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::Language, text::speakable};

    /// models/evaluation/README.md, rules 1 to 4: every value and every example there.
    #[test]
    fn cardinals_as_the_sources_have_them() {
        for (n, words) in [
            (0, "aotra"),
            (1, "iray"),
            (2, "roa"),
            (3, "telo"),
            (4, "efatra"),
            (5, "dimy"),
            (6, "enina"),
            (7, "fito"),
            (8, "valo"),
            (9, "sivy"),
            (10, "folo"),
            (11, "iraika ambin'ny folo"),
            (12, "roa ambin'ny folo"),
            (15, "dimy ambin'ny folo"),
            (19, "sivy ambin'ny folo"),
            (20, "roapolo"),
            (21, "iraika amby roapolo"),
            (30, "telopolo"),
            (40, "efapolo"),
            (50, "dimampolo"),
            (60, "enimpolo"),
            (70, "fitopolo"),
            (78, "valo amby fitopolo"),
            (80, "valopolo"),
            (90, "sivifolo"),
            (99, "sivy amby sivifolo"),
            (100, "zato"),
            (101, "iraika amby zato"),
            (110, "folo amby zato"),
            (132, "roa amby telopolo amby zato"),
            (157, "fito amby dimampolo amby zato"),
            (200, "roanjato"),
            (203, "telo sy roanjato"),
            (300, "telonjato"),
            (301, "iray sy telonjato"),
            (400, "efajato"),
            (500, "dimanjato"),
            (600, "eninjato"),
            (700, "fitonjato"),
            (800, "valonjato"),
            (900, "sivinjato"),
            (1_000, "arivo"),
            (1_001, "iray sy arivo"),
            (1_998, "valo amby sivifolo sy sivinjato sy arivo"),
            (2_024, "efatra amby roapolo sy roa arivo"),
            (2_765, "dimy amby enimpolo sy fitonjato sy roa arivo"),
            (10_000, "iray alina"),
            (25_000, "dimy arivo sy roa alina"),
            (100_000, "iray hetsy"),
            (123_456, "enina amby dimampolo sy efajato sy telo arivo sy roa alina sy iray hetsy"),
            (150_301, "iray sy telonjato sy dimy alina sy iray hetsy"),
            (1_000_000, "iray tapitrisa"),
            (1_000_000_000, "iray lavitrisa"),
            // Composed by the same rules.
            (111, "iraika ambin'ny folo amby zato"),
            (1_100, "zato sy arivo"),
            (25_000_000, "dimy amby roapolo tapitrisa"),
            (2_000_000_001, "iray sy roa lavitrisa"),
            (1_000_000_000_000, "arivo lavitrisa"),
        ] {
            assert_eq!(cardinal(n), words, "{n}");
        }
    }

    /// models/evaluation/README.md, rules 6 and 7 (decimals, per cent, ordinals, telephone, dates, hours, money), in running text.
    #[test]
    fn text_with_figures() {
        for (text, read) in [
            ("18,3", "valo ambin'ny folo faingo telo"),
            ("18.3", "valo ambin'ny folo faingo telo"),
            ("50 %", "dimampolo isan-jato"),
            ("50%", "dimampolo isan-jato"),
            ("2,5 %", "roa faingo dimy isan-jato"),
            ("faha-1", "voalohany"),
            ("faha-2", "faharoa"),
            ("faha-3", "fahatelo"),
            ("faha 10", "fahafolo"),
            ("1er", "voalohany"),
            ("034 12 345 67", "aotra telo efatra, iray roa, telo efatra dimy, enina fito"),
            ("0341234567", "aotra telo efatra, iray roa, telo efatra dimy, enina fito"),
            ("+261 34 12 345 67", "plus roa enina iray, telo efatra, iray roa, telo efatra dimy, enina fito"),
            ("12/03/2025", "roa ambin'ny folo Martsa taona dimy amby roapolo sy roa arivo"),
            ("2025-03-12", "roa ambin'ny folo Martsa taona dimy amby roapolo sy roa arivo"),
            ("01/01/1998", "voalohany Janoary taona valo amby sivifolo sy sivinjato sy arivo"),
            ("1 Mey", "voalohany Mey"),
            ("26 jona 1960", "enina amby roapolo Jona taona enimpolo sy sivinjato sy arivo"),
            ("14 Oktobra", "efatra ambin'ny folo Oktobra"),
            ("10:00", "folo ora"),
            ("10:30", "folo ora sy sasany"),
            ("10 h 30", "folo ora sy sasany"),
            ("8h", "valo ora"),
            ("8h15", "valo ora sy dimy ambin'ny folo minitra"),
            ("14:30", "roa ora sy sasany tolakandro"),
            ("14:30 tolakandro", "roa ora sy sasany tolakandro"),
            ("18h", "enina ora hariva"),
            ("21:05", "sivy ora sy dimy minitra alina"),
            ("5 000 Ar", "dimy arivo ariary"),
            ("5000 ariary", "dimy arivo ariary"),
            ("Ar 5000", "dimy arivo ariary"),
            ("MGA 5 000", "dimy arivo ariary"),
            ("25,000 Ar", "dimy arivo sy roa alina ariary"),
            ("12,500 Ar", "dimanjato sy roa arivo sy iray alina ariary"),
            ("25.000 Ar", "dimy arivo sy roa alina ariary"),
            ("15\u{a0}000", "dimy arivo sy iray alina"),
            ("10 €", "folo eoro"),
            ("3 km", "telo kilometatra"),
            ("-5", "miiba dimy"),
            ("1/2", "antsasany"),
            ("8h-17h", "valo ora ka hatramin'ny dimy ora hariva"),
            ("10–12", "folo ka hatramin'ny roa ambin'ny folo"),
            ("Atoa Rakoto", "Andriamatoa Rakoto"),
            ("M. Rakoto", "Andriamatoa Rakoto"),
            ("Mme Rasoa", "Ramatoa Rasoa"),
            ("Dr. Rabe", "dokotera Rabe"),
            ("vary, hena, sns.", "vary, hena, sy ny sisa."),
            ("ny vidiny dia 5 000 Ar.", "ny vidiny dia dimy arivo ariary."),
            ("Amin'ny 10:30, eny?", "Amin'ny folo ora sy sasany, eny?"),
        ] {
            assert_eq!(speakable(text, Language::Mg), read, "{text}");
        }
    }
}
