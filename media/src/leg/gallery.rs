//! Whoever listens to a leg besides the one that has its ears: a supervisor, or what writes down the words of two who talk.
//!
//! Each has a queue of its own, as long as that of the ears, and full it gives up its oldest frame: the leg waits for none of them.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    Frame,
    ears::{Closed, Ears, EarsQueue, HeardFrame},
};

/// Where they come in. The lock is taken as one comes, and by the leg's task when one has.
#[derive(Debug, Default)]
pub(crate) struct Gallery {
    seated: Mutex<Seated>,
    changes: AtomicU64,
    /// What is said is not for them.
    is_private: AtomicBool,
}

#[derive(Debug, Default)]
struct Seated {
    queues: Vec<Arc<EarsQueue>>,
    /// The leg has ended.
    closed: Option<Closed>,
}

impl Gallery {
    /// One more listens.
    pub(crate) fn enter(&self) -> Ears {
        let queue = Arc::new(EarsQueue::default());
        {
            let mut seated = self.seated();
            seated.queues.retain(|queue| !queue.is_deaf());
            match &seated.closed {
                Some(closed) => queue.close(closed.clone()),
                None => seated.queues.push(Arc::clone(&queue)),
            }
        }
        self.changes.fetch_add(1, Ordering::Release);
        Ears::new(queue)
    }

    /// From the next 20 ms on they hear silence, or again what is said.
    pub(crate) fn keep_private(&self, is_private: bool) {
        self.is_private.store(is_private, Ordering::Release);
    }

    /// The leg has ended: so has what they hear.
    fn close(&self, closed: &Closed) {
        let mut seated = self.seated();
        seated.queues.drain(..).for_each(|queue| queue.close(closed.clone()));
        seated.closed.get_or_insert_with(|| closed.clone());
    }

    fn seated(&self) -> MutexGuard<'_, Seated> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who listen, as the leg's task knows them.
#[derive(Debug)]
pub(super) struct Listeners {
    gallery: Arc<Gallery>,
    seen: u64,
    queues: Vec<Arc<EarsQueue>>,
}

impl Listeners {
    pub(super) fn of(gallery: Arc<Gallery>) -> Self {
        Self { gallery, seen: 0, queues: Vec::new() }
    }

    /// Looks who has come, and who has gone.
    pub(super) fn look(&mut self) {
        let changes = self.gallery.changes.load(Ordering::Acquire);
        if std::mem::replace(&mut self.seen, changes) != changes {
            self.queues.clone_from(&self.gallery.seated().queues);
        }
        self.queues.retain(|queue| !queue.is_deaf());
    }

    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        !self.queues.is_empty()
    }

    /// 20 ms were heard.
    pub(super) fn hear(&self, heard: HeardFrame) {
        if self.queues.is_empty() {
            return;
        }
        let is_private = self.gallery.is_private.load(Ordering::Acquire);
        let heard = if is_private { HeardFrame { frame: Frame::SILENCE, sent: None, ..heard } } else { heard };
        self.queues.iter().for_each(|queue| queue.push_frame(heard));
    }

    /// The leg has ended.
    pub(super) fn close(&self, closed: &Closed) {
        self.gallery.close(closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FRAME_SAMPLES, Heard, leg::now};

    fn heard(level: i16) -> HeardFrame {
        let frame = Frame::new([level; FRAME_SAMPLES]);
        HeardFrame { frame, arrived: now(), at: now(), concealed: false, sent: Some(frame) }
    }

    /// What waits for one of them, by its level, and whether the end does.
    async fn waiting(ears: &mut Ears, frames: usize) -> Vec<i16> {
        let mut levels = Vec::new();
        for _ in 0..frames {
            match ears.next().await {
                Heard::Frame(heard) => levels.push(heard.frame.samples()[0]),
                other => panic!("{other:?}"),
            }
        }
        levels
    }

    #[tokio::test]
    async fn each_has_a_queue_of_its_own_and_loses_the_oldest_of_it() {
        let gallery = Arc::new(Gallery::default());
        let mut listeners = Listeners::of(Arc::clone(&gallery));
        assert!(!listeners.any());
        let mut slow = gallery.enter();
        listeners.look();
        listeners.hear(heard(1));
        let mut late = gallery.enter();
        listeners.look();
        (2..=51).for_each(|level| listeners.hear(heard(level)));
        assert_eq!(waiting(&mut slow, 50).await, (2..=51).collect::<Vec<_>>(), "a second, the oldest is lost");
        assert_eq!(waiting(&mut late, 50).await, (2..=51).collect::<Vec<_>>());
        assert_eq!((slow.dropped(), late.dropped()), (1, 0));
    }

    #[tokio::test]
    async fn nothing_is_kept_for_those_who_have_left() {
        let gallery = Arc::new(Gallery::default());
        let mut listeners = Listeners::of(Arc::clone(&gallery));
        let (first, second) = (gallery.enter(), gallery.enter());
        listeners.look();
        drop(first);
        listeners.look();
        assert_eq!(listeners.queues.len(), 1);
        drop(second);
        let _third = gallery.enter();
        assert_eq!(gallery.seated().queues.len(), 1, "those who have left make room");
        listeners.look();
        assert!(listeners.any());
    }

    #[tokio::test]
    async fn what_is_private_is_silence_on_both_sides() {
        let gallery = Arc::new(Gallery::default());
        let mut listeners = Listeners::of(Arc::clone(&gallery));
        let mut ears = gallery.enter();
        listeners.look();
        gallery.keep_private(true);
        listeners.hear(heard(7));
        let Heard::Frame(private) = ears.next().await else { panic!("a frame") };
        assert!(private.frame == Frame::SILENCE && private.sent.is_none());
        gallery.keep_private(false);
        listeners.hear(heard(8));
        assert_eq!(waiting(&mut ears, 1).await, [8]);
    }

    #[tokio::test]
    async fn a_leg_that_ends_is_over_for_those_who_listen_and_those_who_come_later() {
        let gallery = Arc::new(Gallery::default());
        let mut listeners = Listeners::of(Arc::clone(&gallery));
        let mut ears = gallery.enter();
        listeners.look();
        listeners.hear(heard(1));
        listeners.close(&Closed::HungUp);
        assert_eq!(waiting(&mut ears, 1).await, [1], "what waits is still heard");
        assert!(matches!(ears.next().await, Heard::Closed(Closed::HungUp)));
        let mut late = gallery.enter();
        assert!(matches!(late.next().await, Heard::Closed(Closed::HungUp)));
    }
}
