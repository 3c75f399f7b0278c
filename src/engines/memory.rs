//! Whether the models of a configuration fit into this machine's memory, and with how many calls.
//!
//! What is counted is what they take at least: their files, and the cache of the language model. What a pass computes in comes on top, and
//! depends on the model; so a start is refused only where it could not go well, and a plan leaves an eighth of the memory free.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
};

use milo_models::{
    demo::DemoFiles,
    llama,
    onnx::{Device, Precision, weight, weight_of_decoders},
};

use super::{
    cards::{self, Place},
    gguf::Gguf,
    runtime::device,
};
use crate::{
    config::{Config, TurnEngine},
    gpu::{self, Card},
    weights::amount,
};

/// Common quantisations of language models, and how many bits each takes for a weight, as llama.cpp's own table has it.
const QUANTISATIONS: [(&str, f64); 5] =
    [("F16", 16.0), ("Q8_0", 8.5), ("Q6_K", 6.56), ("Q4_K_M", 4.89), ("Q3_K_M", 3.91)];

/// What a model of this process takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// What it is for.
    pub job: &'static str,
    /// The name of its file or folder.
    pub name: String,
    /// Bytes of the files that are loaded.
    pub files: u64,
    /// Where that is kept, and what comes with it.
    pub place: Place,
    /// A language model's conversations.
    pub talk: Option<Talk>,
}

/// What the conversations of a language model take.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// Bytes of a token in the cache; none, where its file does not say it.
    pub bytes_a_token: Option<u64>,
    /// Tokens of a conversation.
    pub tokens: u64,
    /// Conversations at once.
    pub calls: u64,
    /// Its weights, where its file says so.
    pub weights: Option<u64>,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of memory that a process may still have; none, where the system does not say it.
    pub free: Option<u64>,
    /// The graphics cards; none: there is no card, or no driver that tells.
    pub cards: Vec<Card>,
    /// Whether anything is computed on them.
    pub uses_cards: bool,
}

impl Talk {
    fn cache(&self, calls: u64) -> u64 {
        self.bytes_a_token.unwrap_or(0).saturating_mul(self.tokens).saturating_mul(calls)
    }
}

impl Need {
    fn all(&self) -> u64 {
        self.files.saturating_add(self.talk.as_ref().map_or(0, |talk| talk.cache(talk.calls)))
    }

    /// What of it is on cards, and what in memory.
    pub(super) fn split(&self) -> (u64, u64) {
        let on_cards = (self.all() as f64 * self.place.on_cards()) as u64;
        (on_cards, self.all().saturating_sub(on_cards))
    }
}

/// What the models that this configuration loads take.
pub fn needs(config: &Config, shipped: &DemoFiles) -> Vec<Need> {
    let engines = &config.engines;
    let graphs = |job, configured: Option<&std::path::PathBuf>, own: &Path| {
        let path = configured.map_or(own, |path| path.as_path());
        let device = if ["vad", "turn"].contains(&job) { Device::Cpu } else { device(config) };
        // A voice in int8 is slower, and taken where there is no other only.
        let precision = if job == "tts" { Precision::Full } else { Precision::Quantized };
        let files = weight(path, device.precision(precision));
        Need { job, name: name(path), files, place: place(&device, engines.card), talk: None }
    };
    let by_graph = engines.turn.enabled && engines.turn.engine == TurnEngine::Graph;
    let turn = by_graph.then(|| graphs("turn", engines.turn.path.as_ref(), &shipped.turn));
    let path = engines.llm.path.as_deref().unwrap_or(&shipped.llama);
    let found = File::open(path).ok().and_then(Gguf::read).unwrap_or_default();
    let calls = u64::from(engines.llm.sequences.max(1));
    let wanted = u64::from(engines.llm.context_tokens) / calls;
    let place_of_layers = match found.layers() {
        Some(layers) if llama::uses_cards() => {
            Place::Cards((f64::from(engines.llm.gpu_layers) / layers as f64).min(1.0))
        }
        _ => Place::Memory,
    };
    let kept = llama::CacheType::from(engines.llm.cache).bits();
    let talk = Talk {
        // Of 16 bits a number.
        bytes_a_token: found.bytes_a_token().map(|bytes| (bytes as f64 * kept / 16.0) as u64),
        tokens: found.context().map_or(wanted, |longest| wanted.min(longest)),
        calls,
        weights: found.weights,
    };
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let files = size(path) + engines.llm.lora.as_deref().map_or(0, size);
    let llm = Need { job: "llm", name: name(path), files, place: place_of_layers, talk: Some(talk) };
    // One model for all, or one for each language or way.
    let each = |job, all: &Option<std::path::PathBuf>, single: [&Option<std::path::PathBuf>; 2], own: &Path| {
        let named: Vec<_> = single.into_iter().flatten().map(|path| graphs(job, Some(path), own)).collect();
        if all.is_some() || named.is_empty() { vec![graphs(job, all.as_ref(), own)] } else { named }
    };
    let (stt, translate, voices) = (&engines.stt, &engines.translate, engines.tts.voices.named());
    let mut needs = vec![graphs("vad", engines.vad.path.as_ref(), &shipped.silero), llm];
    needs.extend(turn);
    needs.extend(each("stt", &stt.path, [&stt.mg, &stt.fr], &shipped.whisper));
    if let Some((_, folder)) = engines.kserve.whisper.named() {
        // Its encoder is the server's.
        let device = device(config);
        let files = weight_of_decoders(folder, device.precision(Precision::Quantized));
        // No swap loads it again.
        let place = place(&device, engines.card);
        needs.push(Need { job: "kserve", name: name(folder), files, place, talk: None });
    }
    needs.extend(each("translate", &translate.path, [&translate.mg_fr, &translate.fr_mg], &shipped.translator));
    needs.extend(voices.map(|(_, path)| graphs("tts", Some(&path.to_owned()), &shipped.espeak)));
    needs
}

/// Where a graph is kept that is computed there.
fn place(device: &Device, card: u8) -> Place {
    if *device == Device::Cpu { Place::Memory } else { Place::Card(card.into()) }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Refuses what cannot be loaded into this room.
///
/// # Errors
/// A sentence with the figures.
pub fn fit(needs: &[Need], room: &Room) -> Result<(), String> {
    let memory = in_memory(needs);
    let told = || needs.iter().filter(|need| need.all() >= 1_000_000).map(told).collect::<Vec<_>>().join(", ");
    let mend = "name smaller models in [engines], or a smaller quantisation, or fewer [engines.llm] sequences or context_tokens; \
                `milo models plan` says what fits";
    if let Some(free) = room.free.filter(|free| memory > *free) {
        let (wanted, free) = (amount(memory), amount(free));
        return Err(format!(
            "the models take at least {wanted} of memory, of which {free} are free ({}): {mend}",
            told()
        ));
    }
    cards::fit(needs, &room.cards, mend)
}

fn in_memory(needs: &[Need]) -> u64 {
    needs.iter().map(|need| need.split().1).fold(0, u64::saturating_add)
}

/// What one takes, as a sentence says it.
pub(super) fn told(need: &Need) -> String {
    let cache = match &need.talk {
        Some(talk) if talk.bytes_a_token.is_some() => {
            format!(
                " and {} for {} conversations of {} tokens",
                amount(talk.cache(talk.calls)),
                talk.calls,
                talk.tokens
            )
        }
        _ => String::new(),
    };
    format!("{} {} {}{cache}", need.job, need.name, amount(need.files))
}

/// What fits, in lines for a person.
pub fn plan(needs: &[Need], room: &Room, calls: usize) -> String {
    let mut lines = String::new();
    let mut line = |text: String| {
        writeln!(lines, "{text}").ok();
    };
    needs.iter().for_each(|need| line(told(need)));
    let memory = in_memory(needs);
    let free = room
        .free
        .map_or_else(|| "the system does not say how much is free".into(), |free| format!("{} are free", amount(free)));
    line(format!("together {} of memory at least; {free}", amount(memory)));
    cards::plan(needs, &room.cards, room.uses_cards).into_iter().for_each(&mut line);
    let fits = fit(needs, room);
    if let Some((llm, talk)) = needs.iter().find_map(|need| Some((need, need.talk.as_ref()?))) {
        let others = memory.saturating_sub(llm.split().1);
        let left = room.free.map(|free| (free - free / 8).saturating_sub(others));
        if let (Some(left), Some(each)) = (left, talk.bytes_a_token.map(|bytes| bytes.saturating_mul(talk.tokens))) {
            line(format!(
                "in the memory that is free, an eighth of it left for all else ({calls} calls are the limit of [limits]):"
            ));
            let now = (format!("{} as it is", llm.name), llm.files);
            let others = talk.weights.into_iter().flat_map(|weights| {
                QUANTISATIONS
                    .map(|(name, bits)| (format!("the same as {name}, about"), (weights as f64 * bits / 8.0) as u64))
            });
            for (name, files) in [now].into_iter().chain(others) {
                let room = left.checked_sub(files).map(|left| left / each.max(1));
                let so = match room {
                    None | Some(0) => "does not fit".into(),
                    Some(many) => format!("{many} conversations of {} tokens at once", talk.tokens),
                };
                line(format!("  {name} {}: {so}", amount(files)));
            }
        } else if talk.bytes_a_token.is_none() {
            line(format!("{} does not say what a conversation takes", llm.name));
        }
    }
    line(fits.map_or_else(|why| format!("it does not fit: {why}"), |()| "it fits".into()));
    lines
}

impl Room {
    /// That of this machine now, within what a container may have.
    pub fn now(uses_cards: bool) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let own = available(&read("/proc/meminfo"));
        let group = "/sys/fs/cgroup";
        let within = headroom(
            &read(&format!("{group}/memory.max")),
            &read(&format!("{group}/memory.current")),
            &read(&format!("{group}/memory.stat")),
        );
        let free = own.into_iter().chain(within).min();
        Self { free, cards: gpu::cards(), uses_cards }
    }
}

/// `MemAvailable` of /proc/meminfo.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// What a control group may still have: files that are in memory give way, those that were read twice too.
fn headroom(max: &str, current: &str, stat: &str) -> Option<u64> {
    let (max, current): (u64, u64) = (max.trim().parse().ok()?, current.trim().parse().ok()?);
    let of =
        |kind: &str| stat.lines().find_map(|line| line.strip_prefix(kind)?.trim().parse::<u64>().ok()).unwrap_or(0);
    let files = of("inactive_file ").saturating_add(of("active_file "));
    Some(max.saturating_sub(current.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    /// Ears of half a gigabyte, and a mind of four with so many conversations of a quarter of one.
    fn wanted(calls: u64) -> Vec<Need> {
        let talk = Talk { bytes_a_token: Some(131_072), tokens: 2_048, calls, weights: Some(7 * GB) };
        vec![
            Need { job: "stt", name: "whisper".into(), files: GB / 2, place: Place::Memory, talk: None },
            Need { job: "llm", name: "mind.gguf".into(), files: 4 * GB, place: Place::Memory, talk: Some(talk) },
        ]
    }

    fn room(free: u64) -> Room {
        Room { free: Some(free), ..Room::default() }
    }

    #[test]
    fn a_start_that_cannot_fit_is_refused_with_the_figures() {
        assert_eq!(fit(&wanted(4), &room(6 * GB)), Ok(()));
        let refused = fit(&wanted(8), &room(6 * GB)).expect_err("two more than there is");
        for part in [
            "at least 6.6 GB of memory, of which 6.0 GB are free",
            "stt whisper 500 MB",
            "llm mind.gguf 4.0 GB and 2.1 GB for 8 conversations of 2048 tokens",
            "fewer [engines.llm] sequences",
        ] {
            assert!(refused.contains(part), "{part:?} is missing: {refused}");
        }
        assert_eq!(fit(&wanted(800), &Room::default()), Ok(()), "nothing is refused where nothing is known");
    }

    #[test]
    fn what_is_put_on_a_card_must_fit_there() {
        let mut wanted = wanted(4);
        wanted[1].place = Place::Cards(1.0);
        let room = |free| Room { free: Some(GB), cards: vec![Card { free, total: 8 * GB }], uses_cards: true };
        assert_eq!(fit(&wanted, &room(6 * GB)), Ok(()), "its memory is little, and it wants none");
        let refused = fit(&wanted, &room(5 * GB)).expect_err("too little");
        assert!(refused.contains("at least 5.1 GB of the graphics cards, of which 5.0 GB are free"), "{refused}");
        assert!(refused.ends_with("`milo models plan` says what fits"), "{refused}");
        assert!(plan(&wanted, &room(6 * GB), 50).contains("5.1 GB of it on card 0, which has 6.0 GB free of 8.0 GB"));
    }

    #[test]
    fn a_plan_says_how_many_conversations_fit_with_which_quantisation() {
        let told = plan(&wanted(4), &room(8 * GB), 50);
        for part in [
            "together 5.6 GB of memory at least; 8.0 GB are free",
            "no GPU found",
            "mind.gguf as it is 4.0 GB: 9 conversations of 2048 tokens at once",
            "as F16, about 14 GB: does not fit",
            "as Q3_K_M, about 3.4 GB: 11 conversations",
            "it fits",
        ] {
            assert!(told.contains(part), "{part:?} is missing:\n{told}");
        }
        assert!(plan(&wanted(40), &room(8 * GB), 50).contains("it does not fit: the models take at least"));
        let mut silent = wanted(4);
        silent[1].talk.as_mut().expect("a mind").bytes_a_token = None;
        assert!(plan(&silent, &room(8 * GB), 50).contains("mind.gguf does not say what a conversation takes"));
    }

    #[test]
    fn what_is_free_is_the_least_of_what_the_machine_and_its_container_have() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2_097_152));
        assert_eq!(available(""), None);
        assert_eq!(headroom("1000\n", "900\n", "anon 1\ninactive_file 200\nactive_file 100\n"), Some(400));
        assert_eq!(headroom("max\n", "900\n", ""), None, "no limit");
        assert_eq!(headroom("100", "900", ""), Some(0));
    }
}
