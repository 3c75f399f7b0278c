//! Searching the call log: by number, time, outcome, plan, direction, and the words that were said.
//!
//! A search is one query, newest calls first, and each of its conditions has an index. What an index cannot tell is whether few
//! or many calls fit: a number that called twice is found by the index of numbers, while the call centre's own number fits
//! nearly every call, and then reading from the newest on until the page is full is quick. So that is asked first, by counting
//! up to [`FEW`].

use sqlx::QueryBuilder;

use super::{
    Key, Stamp, Store, StoreError,
    calls::{CallRow, Page, columns},
    page,
};

/// Up to so many fitting rows are looked up one by one.
const FEW: i64 = 2_000;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameOf {
    /// Somebody, or Milo, answered.
    Answered,
    /// It came in, and nobody answered.
    Missed,
    /// One that Milo placed: `busy`, `no answer`, `refused`, `failed` or `cancelled`.
    Otherwise(super::Outcome),
}

/// What is looked for; nothing set is everything.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Of either party, whole.
    pub number: Option<String>,
    /// The beginning of either party's number.
    pub number_begins: Option<String>,
    /// From this moment on.
    pub since: Option<Stamp>,
    /// Before this moment.
    pub until: Option<Stamp>,
    /// What came of it.
    pub outcome: Option<CameOf>,
    /// Whether it came in.
    pub incoming: Option<bool>,
    /// The plan that treated it.
    pub dialplan: Option<String>,
    /// Words that were all said, by either side, within one turn.
    pub words: Vec<String>,
    /// Whether it is up now.
    pub live: Option<bool>,
}

/// The words of a text that can be looked for.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// What differs between the databases.
struct Dialect {
    /// Comparisons that a number's index knows.
    from: &'static str,
    before: &'static str,
    /// Turns that hold words: what stands before the words, and behind them.
    turns: (&'static str, &'static str),
    /// The same, of one call.
    turns_of_one: (&'static str, &'static str),
    /// How a turn's call is called there.
    call: &'static str,
}

const SQLITE: Dialect = Dialect {
    from: " >= ",
    before: " < ",
    turns: ("turn_words JOIN turn_rows ON turn_rows.id = turn_words.rowid WHERE turn_words MATCH ", ""),
    turns_of_one: (
        "turn_words JOIN turn_rows ON turn_rows.id = turn_words.rowid WHERE turn_rows.call = calls.id AND turn_words MATCH ",
        "",
    ),
    call: "turn_rows.call",
};

const POSTGRES: Dialect = Dialect {
    from: " ~>=~ ",
    before: " ~<~ ",
    turns: ("turns WHERE turn_words(turns.heard, turns.said) @@ plainto_tsquery('simple'::regconfig, folded(", "))"),
    // By the call alone: without statistics, as after a restore, Postgres would fetch all turns that hold the words, for each call
    // (the index of words, which it does not know in this form) or once for all (a join, which OFFSET forbids).
    turns_of_one: (
        "turns WHERE turns.call = calls.id \
         AND turn_words(turns.heard || '', turns.said) @@ plainto_tsquery('simple'::regconfig, folded(",
        ")) OFFSET 0",
    ),
    call: "turns.call",
};

impl Search {
    /// The number that is looked for, and the first text behind all that begin with it; the same where it is a whole number.
    fn number(&self) -> Option<(&str, Option<String>)> {
        match (&self.number, &self.number_begins) {
            (Some(whole), _) => Some((whole, None)),
            (None, Some(begins)) => Some((begins, Some(format!("{begins}\u{10ffff}")))),
            (None, None) => None,
        }
    }

    /// The words as the database wants them.
    fn words(&self, kind: &str) -> Option<String> {
        let quoted = || self.words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
        let words = if kind == "sqlite" { quoted().join(" ") } else { self.words.join(" ") };
        (!words.is_empty()).then_some(words)
    }
}

/// A condition on one column of numbers, in the words of a dialect.
macro_rules! number {
    ($query:expr, $dialect:expr, $column:literal, $number:expr) => {
        match $number {
            (whole, None) => {
                $query.push(concat!($column, " = ")).push_bind((*whole).to_owned());
            }
            (begins, Some(behind)) => {
                $query.push($column).push($dialect.from).push_bind((*begins).to_owned());
                $query.push(concat!(" AND ", $column)).push($dialect.before).push_bind(behind.clone());
            }
        }
    };
}

impl Store {
    /// A page of the calls that fit, newest first: the `limit` before the call `before`, or the newest ones. `None` when there
    /// is no call `before`.
    pub async fn calls(&self, search: &Search, before: Option<Key>, limit: u32) -> Result<Option<Page>, StoreError> {
        let failed = |error| self.failed("searching calls", error);
        let dialect = if self.kind() == "sqlite" { SQLITE } else { POSTGRES };
        let before = match before {
            None => None,
            Some(key) => match self.began(key).await.map_err(failed)? {
                None => return Ok(None),
                Some(started) => Some((started, key)),
            },
        };
        let (number, words) = (search.number(), search.words(self.kind()));
        let few_numbers = match &number {
            None => false,
            Some(number) => self.few_numbers(&dialect, number).await.map_err(failed)?,
        };
        let few_words = match &words {
            None => false,
            Some(words) => self.few_words(&dialect, words).await.map_err(failed)?,
        };
        let fetch = page::fetch(limit);
        let found: Result<Vec<CallRow>, _> = on!(Pool, &self.pool, pool => {
            let mut query = QueryBuilder::new("");
            if few_numbers || few_words {
                query.push("WITH hit AS (");
                match (&number, &words) {
                    (Some(number), _) if few_numbers => {
                        query.push("SELECT id FROM calls WHERE ");
                        number!(query, dialect, "caller", number);
                        query.push(" UNION SELECT id FROM calls WHERE ");
                        number!(query, dialect, "called", number);
                    }
                    (_, Some(words)) => {
                        query.push("SELECT DISTINCT ").push(dialect.call).push(" AS id FROM ");
                        query.push(dialect.turns.0).push_bind(words.clone()).push(dialect.turns.1);
                    }
                    _ => {}
                }
                // SQLite takes a CROSS JOIN in the order in which it is written.
                query.push(") ").push(columns!()).push("FROM hit CROSS JOIN calls WHERE calls.id = hit.id");
            } else {
                query.push(columns!()).push("FROM calls WHERE 1 = 1");
            }
            if let Some(number) = number.as_ref().filter(|_| !few_numbers) {
                // Not by the index: nearly every call fits.
                query.push(" AND (");
                number!(query, dialect, "(caller || '')", number);
                query.push(" OR ");
                number!(query, dialect, "(called || '')", number);
                query.push(")");
            }
            if let Some(words) = words.as_ref().filter(|_| few_numbers || !few_words) {
                query.push(" AND EXISTS (SELECT 1 FROM ").push(dialect.turns_of_one.0).push_bind(words.clone());
                query.push(dialect.turns_of_one.1).push(")");
            }
            if let Some(since) = search.since {
                query.push(" AND started >= ").push_bind(since);
            }
            if let Some(until) = search.until {
                query.push(" AND started < ").push_bind(until);
            }
            if let Some(incoming) = search.incoming {
                query.push(if incoming { " AND direction = 'in'" } else { " AND direction = 'out'" });
            }
            if let Some(plan) = &search.dialplan {
                query.push(" AND dialplan = ").push_bind(plan.clone());
            }
            match search.outcome {
                None => {}
                Some(CameOf::Answered) => { query.push(" AND answered IS NOT NULL"); }
                Some(CameOf::Missed) => { query.push(" AND direction = 'in' AND answered IS NULL AND ended IS NOT NULL"); }
                Some(CameOf::Otherwise(outcome)) => { query.push(" AND outcome = ").push_bind(outcome.as_str()); }
            }
            if let Some(live) = search.live {
                query.push(if live { " AND ended IS NULL" } else { " AND ended IS NOT NULL" });
            }
            if let Some((started, key)) = before {
                query.push(" AND (started, calls.id) < (").push_bind(started).push(", ").push_bind(key).push(")");
            }
            query.push(" ORDER BY started DESC, calls.id DESC LIMIT ").push_bind(fetch);
            query.build_query_as().fetch_all(pool).await
        });
        let mut calls = found.map_err(failed)?;
        let next = page::cut(&mut calls, limit, |call| call.id);
        Ok(Some(Page { calls, next }))
    }

    async fn began(&self, key: Key) -> Result<Option<Stamp>, sqlx::Error> {
        let started: Option<(Stamp,)> = on!(Pool, &self.pool, pool => sqlx::query_as("SELECT started FROM calls WHERE id = $1")
            .bind(key)
            .fetch_optional(pool)
            .await?);
        Ok(started.map(|(started,)| started))
    }

    async fn few_numbers(&self, dialect: &Dialect, number: &(&str, Option<String>)) -> Result<bool, sqlx::Error> {
        let (count,): (i64,) = on!(Pool, &self.pool, pool => {
            let mut query = QueryBuilder::new("SELECT (SELECT count(*) FROM (SELECT 1 FROM calls WHERE ");
            number!(query, dialect, "caller", number);
            query.push(" LIMIT ").push_bind(FEW + 1);
            query.push(") AS callers) + (SELECT count(*) FROM (SELECT 1 FROM calls WHERE ");
            number!(query, dialect, "called", number);
            query.push(" LIMIT ").push_bind(FEW + 1).push(") AS called)");
            query.build_query_as().fetch_one(pool).await?
        });
        Ok(count <= FEW)
    }

    async fn few_words(&self, dialect: &Dialect, words: &str) -> Result<bool, sqlx::Error> {
        let (count,): (i64,) = on!(Pool, &self.pool, pool => {
            let mut query = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM ");
            query.push(dialect.turns.0).push_bind(words.to_owned()).push(dialect.turns.1);
            query.push(" LIMIT ").push_bind(FEW + 1).push(") AS turns_that_fit");
            query.build_query_as().fetch_one(pool).await?
        });
        Ok(count <= FEW)
    }
}
