//! The call log in a database: SQLite by default, Postgres by `DATABASE_URL`. The only place with SQL, one file a table.
//!
//! ```text
//! call ── CallLog ──► bounded queue ──► writer task ──► Store ──► SQLite file | Postgres
//!                                            │           ▲
//!                     the database is away ──┴► journal ─┤ when it is back
//!                             GET /api/v1/calls ─────────┘
//! ```
//! Every query is one text for both databases (`$1` is understood by both). What differs between them is two types:
//! [`Stamp`], a time, and [`Key`], an identifier; they know how each database keeps them. No trait stands between: a query
//! is compiled once for each of the two by the `on!` macro.

/// Runs the same code on whichever database it is: `on!(Pool, &self.pool, pool => …)`, `on!(Batch, self, rows => …)`. The
/// name is the pool or the transaction, in the database's own type.
macro_rules! on {
    ($kind:ident, $of:expr, $name:ident => $body:expr) => {
        match $of {
            $crate::store::$kind::Sqlite($name) => $body,
            $crate::store::$kind::Postgres($name) => $body,
        }
    };
}

mod analyses;
mod api_keys;
mod audit;
mod batches;
mod call_backs;
mod call_keys;
mod call_log;
mod calls;
mod campaign_counts;
mod campaign_keys;
mod campaign_results;
mod campaign_rows;
mod campaigns;
mod days;
mod deliveries;
mod do_not_call;
mod entry;
mod error;
mod events;
mod feedback;
mod journal;
mod key;
mod listeners;
mod memories;
mod messages;
mod node;
mod open;
mod page;
#[cfg(test)]
mod postgres_cluster;
mod privacy;
mod replay;
mod requests;
mod scribe;
mod search;
mod spending;
mod stamp;
#[cfg(test)]
mod tests;
mod turns;
mod writer;

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

pub use analyses::{Analysis, Findings};
pub use api_keys::{ApiKeyRow, KeyChanges};
pub use audit::{DeedPage, DeedRow, NewDeed};
pub use batches::{BatchItemRow, BatchPage, BatchRow, NewBatch};
pub use call_backs::{CallBackAdded, CallBackBounds, NewCallBack};
pub use call_keys::CallKey;
pub use call_log::CallLog;
pub use calls::{CallRow, Ending, HangupBy, NewCall, Outcome, Page, RecordingState};
pub use campaign_counts::{CampaignCount, CampaignCounts};
pub use campaign_keys::CampaignKey;
pub use campaign_results::{ResultRow, RowsWanted};
pub use campaign_rows::{Attempt, Claim, Claimed, ClaimedRow, LeftRow, Logged, RowEnd};
pub use campaigns::{CampaignRow, NewCampaign, NewCampaignRow};
pub use days::{DayCount, Whose};
pub use deliveries::{DeadLetter, DeadPage, Deliveries, Delivery};
pub use do_not_call::{NewUnwanted, Unwanted, UnwantedPage};
pub use error::StoreError;
pub use events::EventRow;
pub use feedback::{Feedback, FeedbackPage};
pub use journal::Journal;
pub use key::Key;
pub use listeners::Listener;
pub use memories::{Memory, MemoryPage, MemoryRow, NewMemory};
pub use messages::{MessagePage, MessageRow, NewMessage};
pub use node::Node;
pub use privacy::Forgotten;
pub use requests::{CallBack, NewRequest, RequestPage, RequestRow, RequestsWanted};
pub use search::{CameOf, Search, words};
pub use stamp::{NoMoment, Stamp};
pub use turns::{NewTurn, Places, Stages, TurnRow};
pub use writer::{LogState, LogWriter};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    /// How the database is called in sentences: its address without the password.
    place: String,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Rows that are written together or not at all.
enum Batch {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Batch {
    async fn commit(self) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => rows.commit().await)
    }
}

impl Store {
    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => "sqlite",
            Pool::Postgres(_) => "postgres",
        }
    }

    /// The database's address, without the password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// It gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("SELECT 1").execute(pool).await.map(drop))
            .map_err(|error| self.failed("asking for an answer", error))
    }

    /// Ends all connections; what was committed is safe.
    pub async fn close(&self) {
        on!(Pool, &self.pool, pool => pool.close().await);
    }

    async fn begin(&self) -> Result<Batch, sqlx::Error> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => Batch::Sqlite(pool.begin().await?),
            Pool::Postgres(pool) => Batch::Postgres(pool.begin().await?),
        })
    }

    fn failed(&self, doing: &'static str, error: sqlx::Error) -> StoreError {
        StoreError::Query { place: self.place.clone(), doing, reason: error::reason(&error) }
    }
}
