//! What is said in a conversation by voice is remembered in its session, where there is one.

use tokio::sync::mpsc;

use crate::{
    agent::Happened,
    chat::{Chats, SessionName},
};

/// Exchanges that wait to be remembered.
const EXCHANGES: usize = 16;

/// Learns what was said.
#[derive(Debug)]
pub(in crate::http) struct Memory {
    exchanges: mpsc::Sender<(String, String)>,
    /// What the caller said last, and is being answered.
    asked: Option<String>,
}

impl Memory {
    /// With what keeps it, which ends when this is dropped. Without a session nothing is kept.
    pub(in crate::http) fn of(session: Option<(Chats, SessionName)>) -> (Self, impl Future<Output = ()>) {
        let (exchanges, mut said) = mpsc::channel::<(String, String)>(EXCHANGES);
        let keeping = async move {
            while let Some((heard, answer)) = said.recv().await {
                if let Some((chats, session)) = &session {
                    chats.remember(session.clone(), &heard, &answer).await;
                }
            }
        };
        (Self { exchanges, asked: None }, keeping)
    }

    /// Takes note of what belongs to an exchange.
    pub(in crate::http) fn happened(&mut self, happened: &Happened) {
        match happened {
            Happened::Heard { text, is_partial: false, .. } => self.asked = Some(text.clone()),
            Happened::Said { heard, mode: Some(_), .. } => {
                if let Some(asked) = self.asked.take() {
                    // Full: it is forgotten, and nobody waits.
                    self.exchanges.try_send((asked, heard.clone())).ok();
                }
            }
            _ => {}
        }
    }
}
