//! The table `messages`: one row a text that came or went.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Batch, Key, Stamp, Store, StoreError, page};

/// What becomes of texts whose Milo was stopped before it knew.
pub(super) const CUT_OFF: &str = "cut off";

/// What is known when a text comes or goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewMessage {
    /// True for one that came in.
    pub incoming: bool,
    /// Who sends it (user part).
    pub from: String,
    /// Whom it is for (user part).
    pub to: String,
    /// The trunk it came or goes over.
    pub trunk: Option<String>,
    /// The account that sends it, or that it is for.
    pub account: Option<String>,
    /// The call whose plan sends it.
    pub call: Option<Key>,
    /// What it says.
    pub text: String,
    /// When it came, or was to be sent.
    pub at: Stamp,
    /// What became of it, where that is known already.
    pub result: Option<Cow<'static, str>>,
}

/// A text, as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = Message)]
pub struct MessageRow {
    /// Its identifier.
    pub id: Key,
    /// `in` or `out`.
    #[schema(example = "out")]
    pub direction: String,
    /// Who sends it.
    #[serde(rename = "from")]
    #[schema(example = "milo")]
    pub sender: String,
    /// Whom it is for.
    #[serde(rename = "to")]
    #[schema(example = "0341234567")]
    pub recipient: String,
    /// The trunk it came or went over.
    #[schema(example = "carrier")]
    pub trunk: Option<String>,
    /// The account that sent it, or that it is for.
    #[schema(example = "reception")]
    pub account: Option<String>,
    /// The call whose plan sent it.
    pub call: Option<Key>,
    /// What it says.
    #[schema(example = "Efa vonona ny taratasinao.")]
    pub text: String,
    /// When it came, or was to be sent.
    pub at: Stamp,
    /// `received`; `delivered`, `refused`, `no answer`, `failed` and the like where Milo sends it; none while that is open.
    #[schema(example = "delivered")]
    pub result: Option<String>,
    /// The SIP status that said so.
    #[schema(example = 200)]
    pub sip_status: Option<i32>,
}

/// One page of the list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct MessagePage {
    /// Newest first.
    pub messages: Vec<MessageRow>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Columns in the order of [`MessageRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, direction, sender, recipient, trunk, account, call, text, at, result, sip_status FROM messages ",
            $rest
        )
    };
}

impl Store {
    /// A page of texts, newest first: the `limit` before the text `before`, or the newest ones. `None` when there is no text
    /// `before`.
    pub async fn messages(&self, before: Option<Key>, limit: u32) -> Result<Option<MessagePage>, StoreError> {
        let failed = |error| self.failed("listing messages", error);
        let fetch = page::fetch(limit);
        let mut messages: Vec<MessageRow> = match before {
            None => on!(Pool, &self.pool, pool => sqlx::query_as(select!("ORDER BY at DESC, id DESC LIMIT $1"))
                .bind(fetch)
                .fetch_all(pool)
                .await
                .map_err(failed)?),
            Some(key) => {
                let Some(MessageRow { at, .. }) = self.message(key).await? else { return Ok(None) };
                on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE (at, id) < ($1, $2) ORDER BY at DESC, id DESC LIMIT $3"))
                    .bind(at)
                    .bind(key)
                    .bind(fetch)
                    .fetch_all(pool)
                    .await
                    .map_err(failed)?)
            }
        };
        let next = page::cut(&mut messages, limit, |message| message.id);
        Ok(Some(MessagePage { messages, next }))
    }

    /// One text.
    pub async fn message(&self, key: Key) -> Result<Option<MessageRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE id = $1")).bind(key).fetch_optional(pool).await)
            .map_err(|error| self.failed("reading a message", error))
    }

    /// Deletes the texts of before this moment. Returns how many there were.
    pub async fn forget_messages(&self, before: Stamp) -> Result<u64, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM messages WHERE at < $1")
            .bind(before)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))
        .map_err(|error| self.failed("deleting old messages", error))
    }

    /// Settles the texts of which `node` did not know what became when it was stopped.
    pub async fn settle_messages(&self, node: &str) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("UPDATE messages SET result = $1 WHERE result IS NULL AND node = $2")
            .bind(CUT_OFF)
            .bind(node)
            .execute(pool)
            .await
            .map(drop))
        .map_err(|error| self.failed("settling the messages of a crash", error))
    }
}

impl Batch {
    /// The row of a text. Written twice, it stays as it is.
    pub(super) async fn insert_message(
        &mut self,
        node: &str,
        key: Key,
        message: &NewMessage,
    ) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO messages (id, node, direction, sender, recipient, trunk, account, call, text, at, result)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        )
        .bind(key)
        .bind(node)
        .bind(if message.incoming { "in" } else { "out" })
        .bind(&message.from)
        .bind(&message.to)
        .bind(&message.trunk)
        .bind(&message.account)
        .bind(message.call)
        .bind(&message.text)
        .bind(message.at)
        .bind(&message.result)
        .execute(&mut **rows)
        .await
        .map(drop))
    }

    /// What became of a text.
    pub(super) async fn settle_message(
        &mut self,
        key: Key,
        result: &str,
        sip_status: Option<u16>,
    ) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query("UPDATE messages SET result = $1, sip_status = $2 WHERE id = $3")
            .bind(result)
            .bind(sip_status.map(i32::from))
            .bind(key)
            .execute(&mut **rows)
            .await
            .map(drop))
    }
}
