//! After a call: what came of it, written down by the model where the call's persona wants that (`[after]`).
//!
//! ```text
//! call is over ─► bounded queue ─► one task ─► its turns, out of the log ─► the model, behind everybody else
//!                   full: refused                                             └─► row, webhook `analysed`
//! ```
//! No call waits for it. It reads what the log has, so what was said in private is not read, and where the log keeps no words nothing is.
//! What waits when Milo ends is not made up for.

mod ask;
mod form;
mod instructions;
mod transcript;

use std::{sync::Arc, time::Duration};

use milo_models::engine::Language;
use tokio::{
    sync::mpsc::{self, OwnedPermit},
    time::{Instant, sleep, timeout},
};

pub use form::Form;
pub(crate) use transcript::{Exchange, party, transcript};

use crate::{
    engines::{Mind, Mode},
    metrics::Metrics,
    store::{Analysis, Findings, Key, LogWriter, NewMemory, Stamp, Store, StoreError, TurnRow},
};

/// Calls that wait for the model; more are refused.
const QUEUE: usize = 64;
/// How long the model may take for one call.
const LIMIT: Duration = Duration::from_secs(300);
/// How long the log may take to write the last rows of a call, and the pause before it is asked again.
const WRITTEN: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(1);
/// The field in which a caller's name is, where a form has one; and how long one is, in characters.
const NAME: &str = "name";
const LONGEST_NAME: usize = 60;

/// The way to the task that writes down what came of calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Analyses {
    queue: mpsc::Sender<Over>,
    metrics: Arc<Metrics>,
}

/// The calls that are over, for [`serve`].
#[derive(Debug)]
pub struct Ended(mpsc::Receiver<Over>);

/// A call that is over.
#[derive(Debug)]
struct Over {
    call: Key,
    form: Form,
    language: Language,
    remember: Option<Remember>,
    /// Who may read it.
    mode: Option<Mode>,
}

/// What came of the call is to be known when this number calls again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remember {
    /// The caller's number, as the log has it.
    pub number: String,
    /// For so many days.
    pub days: u64,
}

impl Remember {
    /// What is known from now on of a call that engines of this mode may read.
    fn of(self, findings: &Findings, (language, mode): (Language, Option<Mode>), now: Stamp) -> NewMemory {
        let lasts = i64::try_from(self.days).unwrap_or(i64::MAX).saturating_mul(24 * 3_600_000);
        let name = findings.fields.get(NAME).and_then(|name| name.as_str()).unwrap_or_default();
        let name: String = name.trim().chars().take(LONGEST_NAME).collect();
        NewMemory {
            number: self.number,
            until: Stamp::from_millis(now.millis().saturating_add(lasts)),
            name: (!name.is_empty()).then_some(name),
            language: language.code().into(),
            summary: findings.summary.clone(),
            is_local: mode == Some(Mode::Local),
        }
    }
}

impl Analyses {
    /// The way, and where the calls come out of it.
    pub fn new(metrics: Arc<Metrics>) -> (Self, Ended) {
        let (queue, ended) = mpsc::channel(QUEUE);
        (Self { queue, metrics }, Ended(ended))
    }
}

/// What is to be written down of a call that is up.
#[derive(Debug)]
pub struct Wanted {
    analyses: Analyses,
    form: Form,
    remember: Option<Remember>,
    /// The language of the last turn that was answered; none: nobody has spoken with Milo yet.
    language: Option<Language>,
}

impl Wanted {
    /// By this form; and what of it is to be known later.
    pub fn new(analyses: &Analyses, (form, remember): (&Form, Option<Remember>)) -> Self {
        Self { analyses: analyses.clone(), form: form.clone(), remember, language: None }
    }

    /// By another form from now on: that of whoever spoke last.
    pub fn by(&mut self, (form, remember): (&Form, Option<Remember>)) {
        (self.form, self.remember) = (form.clone(), remember);
    }

    /// A turn in this language was answered.
    pub fn answered(&mut self, language: Language) {
        self.language = Some(language);
    }

    /// The call is about to end, and may be read by the engines of this mode. `None`: nobody has spoken with Milo; an error: too many calls wait already.
    pub fn place(self, mode: Option<Mode>) -> Option<Result<Place, Full>> {
        let language = self.language?;
        let Self { analyses, form, remember, .. } = self;
        let place = analyses.queue.try_reserve_owned().map_err(|_| {
            analyses.metrics.analysis("refused");
            Full
        });
        Some(place.map(|permit| Place { permit, form, remember, language, mode }))
    }
}

/// Too many calls wait already.
#[derive(Debug)]
pub struct Full;

/// The place of a call in the queue.
#[derive(Debug)]
pub struct Place {
    permit: OwnedPermit<Over>,
    form: Form,
    remember: Option<Remember>,
    language: Language,
    mode: Option<Mode>,
}

impl Place {
    /// The call is over, and all of its rows are on their way.
    pub fn take(self, call: Key) {
        let Self { permit, form, remember, language, mode } = self;
        permit.send(Over { call, form, language, remember, mode });
    }
}

/// Who writes it down.
#[derive(Clone)]
pub struct Analyst {
    /// The model.
    pub mind: Mind,
    /// Where the turns are.
    pub store: Store,
    /// Where what came of them goes.
    pub log: LogWriter,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Writes down one call after the other, for ever.
pub async fn serve(analyst: Analyst, Ended(mut ended): Ended) {
    while let Some(over) = ended.recv().await {
        analyst.analyse(&over).await;
    }
}

impl Analyst {
    async fn analyse(&self, Over { call, form, language, remember, mode }: &Over) {
        let turns = self.turns(*call).await;
        let began = Instant::now();
        // A model that never has room must not keep what comes after.
        let asking = timeout(LIMIT, ask::ask(&self.mind.in_mode(*mode), form, &turns, *language)).await;
        let late = |_| Some(Err(format!("the model had not written it within {} s", LIMIT.as_secs())));
        let Some(came) = asking.unwrap_or_else(late) else {
            tracing::debug!(call.id = %call, "the log has no words of a call that was to be analysed");
            return;
        };
        // Whoever had it forgotten meanwhile wants to hear no more of it.
        if matches!(self.store.call(*call).await, Ok(None)) {
            return;
        }
        let (result, duration_ms) = (if came.is_ok() { "done" } else { "failed" }, began.elapsed().as_millis() as u64);
        self.metrics.analysis(result);
        tracing::info!(call.id = %call, result, duration_ms, "a call was analysed");
        let (findings, failed) = match came {
            Ok(findings) => (findings, None),
            Err(why) => (Findings::default(), Some(why)),
        };
        if let (Some(remember), None) = (remember, &failed) {
            self.log.remembered(*call, remember.clone().of(&findings, (*language, *mode), Stamp::now()));
        }
        self.log.analysed(*call, Analysis { at: Stamp::now(), findings, failed });
    }

    /// What was said in a call, once all of it is in the database; one that is away is waited for.
    async fn turns(&self, call: Key) -> Vec<TurnRow> {
        let away = |error: &StoreError| tracing::warn!(%error, "the analysis of a call waits for the database");
        loop {
            if self.log.flush(WRITTEN).await
                && let Ok(turns) = self.store.turns(call).await.inspect_err(away)
            {
                return turns;
            }
            sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(analyses: &Analyses) -> Wanted {
        let remember = Remember { number: "034".into(), days: 2 };
        Wanted::new(analyses, (&toml::from_str("").expect("a form"), Some(remember)))
    }

    #[test]
    fn a_name_is_what_a_form_found_as_one() {
        let named = |name: serde_json::Value| {
            let fields = [("name".to_owned(), name)].into_iter().collect();
            let findings = Findings { summary: Some("Le prix.".into()), fields, ..Findings::default() };
            let remember = Remember { number: "034".into(), days: 2 };
            remember.of(&findings, (Language::Fr, Some(Mode::Local)), Stamp::from_millis(1_000))
        };
        let known = named(" Rasoa ".into());
        assert_eq!((known.name.as_deref(), known.summary.as_deref()), (Some("Rasoa"), Some("Le prix.")));
        assert_eq!((known.until.millis(), known.language.as_str()), (2 * 86_400_000 + 1_000, "fr"));
        assert!(known.is_local, "no server may read it");
        for name in [serde_json::Value::Null, 7.into(), " ".into()] {
            assert_eq!(named(name).name, None);
        }
    }

    #[test]
    fn a_call_in_which_nobody_spoke_takes_no_place_and_one_too_many_is_refused() {
        let (analyses, Ended(mut ended)) = Analyses::new(Arc::new(Metrics::new()));
        assert!(wanted(&analyses).place(None).is_none());
        let place = || {
            let mut wanted = wanted(&analyses);
            wanted.answered(Language::Mg);
            wanted.place(None).expect("somebody spoke")
        };
        let mut places: Vec<_> = (0..QUEUE).map(|_| place().expect("a place")).collect();
        assert!(place().is_err(), "places are taken before calls end");
        let call = Key::new();
        places.pop().expect("one").take(call);
        assert!(place().is_err(), "it waits");
        let over = ended.try_recv().expect("a call");
        assert_eq!((over.call, over.language), (call, Language::Mg));
        assert_eq!(over.remember.map(|remember| remember.days), Some(2));
        assert!(place().is_ok());
        // A call whose end never comes gives its place back.
        places.clear();
        assert!((0..QUEUE).all(|_| place().is_ok()));
    }
}
