//! Who follows a call's words from outside while it is up: whoever listens to it.

use tokio::sync::broadcast;

use super::Happened;

/// Words that wait for one who reads slowly; more, and the oldest are lost to that one.
const WORDS: usize = 64;

/// A call, as far as it can be followed; cheap to clone.
#[derive(Clone, Debug)]
pub struct Followed(broadcast::Sender<Happened>);

impl Default for Followed {
    fn default() -> Self {
        Self(broadcast::channel(WORDS).0)
    }
}

impl Followed {
    /// Whether anybody does.
    pub fn is_followed(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells them what was heard and said. Never waits.
    pub fn tell(&self, happened: &Happened) {
        if matches!(happened, Happened::Heard { .. } | Happened::Said { .. }) {
            // Nobody may be there any more.
            self.0.send(happened.clone()).ok();
        }
    }

    /// Somebody follows, from now on.
    pub fn follow(&self) -> Following {
        Following(self.0.subscribe())
    }
}

/// Somebody who follows. Dropped, they no longer do.
#[derive(Debug)]
pub struct Following(broadcast::Receiver<Happened>);

impl Following {
    /// What happens next; `None` once the call is over. What was not read in time is passed over. Cancel safe.
    pub async fn next(&mut self) -> Option<Happened> {
        loop {
            match self.0.recv().await {
                Ok(happened) => return Some(happened),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use milo_models::engine::Language;

    use super::*;

    #[tokio::test]
    async fn whoever_follows_reads_what_is_heard_and_said_and_nobody_is_told_before_they_come() {
        let followed = Followed::default();
        let heard = |text: &str| Happened::Heard { text: text.into(), language: Language::Mg, is_partial: true };
        followed.tell(&heard("before"));
        assert!(!followed.is_followed());
        let mut following = followed.follow();
        assert!(followed.is_followed());
        followed.tell(&Happened::Speaking(true));
        followed.tell(&heard("salama"));
        assert_eq!(following.next().await, Some(heard("salama")));
        for at in 0..WORDS + 2 {
            followed.tell(&heard(&at.to_string()));
        }
        assert_eq!(following.next().await, Some(heard("2")), "the oldest are lost to whoever is slow");
        drop(followed);
        while following.next().await.is_some() {}
    }
}
