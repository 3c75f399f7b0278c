//! The verb `message`: a text is sent while the caller waits.

use std::time::Duration;

use serde_json::json;
use tokio::{
    select,
    time::{Instant, timeout},
};

use super::{
    House, Record,
    verbs::{Line, heard},
};
use crate::{
    dialplan::TextMessage,
    texts::{Came, Wanted},
    trunk::is_nobody,
};

/// How long the plan waits for what becomes of a text; it goes on its way all the same.
const PATIENCE: Duration = Duration::from_secs(10);

impl Line {
    /// Sends a text, and waits a while for what becomes of it. The plan goes on in any case.
    pub(super) async fn text(&mut self, message: &TextMessage, house: &House, log: &Record) {
        let began = Instant::now();
        let TextMessage { to, account, trunk, from, text } = message.clone();
        // Whoever does not want to be shown is not: it comes from the trunk, or from Milo.
        let from = from.filter(|from| !is_nobody(from));
        let wanted = Wanted { to, account, trunks: trunk, from, text, call: Some(log.key()) };
        let (id, trunk, came) = match house.texts.send(wanted) {
            Ok(sent) => (Some(sent.id), sent.trunk, self.came_of(sent.came).await),
            Err(why) => {
                return log.event("verb_failed", json!({ "verb": "message", "why": log.masked(why.says()) }));
            }
        };
        let after_ms = began.elapsed().as_millis() as u64;
        let (result, status) = came.map_or((None, None), |came| (Some(came.result), came.sip_status));
        let detail = json!({ "id": id, "trunk": trunk, "result": result, "status": status, "after_ms": after_ms });
        log.event("message_sent", detail);
    }

    /// What becomes of it, if that is known soon and the caller is still there.
    async fn came_of(&mut self, came: tokio::sync::oneshot::Receiver<Came>) -> Option<Came> {
        let Self { ears, until, .. } = self;
        let listening = async { while heard(ears, *until).await.is_some() {} };
        select! {
            came = timeout(PATIENCE, came) => came.ok()?.ok(),
            () = listening => None,
        }
    }
}
