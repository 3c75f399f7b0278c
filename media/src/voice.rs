//! Q4: what is said to a party, on its way from the call to the leg task. Holds 200 ms; full, it makes the voice wait.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use crate::{
    FRAME_SAMPLES, Frame, MediaError,
    dtmf::{Press, PressBy},
    mix::Ambience,
};

/// Frames that wait at most: 200 ms.
const FRAMES: usize = 10;
/// Keys that wait to be pressed at most.
const KEYS: usize = 32;
/// A pause in what is played after which the next frame begins a new burst.
const BURST_GAP: Duration = Duration::from_millis(200);

/// How much of what was [`Voice::play`]ed has left on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// 16 kHz samples of played audio that left since the leg began: neither the silence between, nor the silence that
    /// fills up a last part ([`Voice::play_last`]), nor an ambience.
    pub samples: u64,
    /// When the last of them left.
    pub last_sent: Option<Instant>,
    /// When the first packet of the current or last burst left. A burst begins after a flush, or after 200 ms in which
    /// nothing was played.
    pub first_sent_since_idle: Option<Instant>,
}

/// The speaking half of a leg.
#[derive(Debug)]
pub struct Voice {
    queue: Arc<VoiceQueue>,
}

impl Default for Voice {
    /// The voice of no leg: like that of one that has ended.
    fn default() -> Self {
        let queue = VoiceQueue::default();
        queue.end();
        Self { queue: Arc::new(queue) }
    }
}

impl Voice {
    pub(crate) fn new(queue: Arc<VoiceQueue>) -> Self {
        Self { queue }
    }

    /// Queues 20 ms; waits while 200 ms are queued already, and so for as long as the voice is paused or the call is on
    /// hold. Cancel safe: a frame is queued whole or not at all. On a leg that has ended it takes 20 ms and does
    /// nothing, so that whoever only plays is not whirled around.
    pub async fn play(&mut self, frame: Frame) {
        self.queue(frame, FRAME_SAMPLES).await;
    }

    /// Queues the last part of a sound, less than 20 ms: silence fills the frame up, and only the part counts as played.
    /// Waits and is cancel safe as [`Voice::play`] is. Of a longer part the first 20 ms are played; an empty one is nothing.
    pub async fn play_last(&mut self, part: &[i16]) {
        if !part.is_empty() {
            self.queue(Frame::padded(part), part.len().min(FRAME_SAMPLES)).await;
        }
    }

    /// Queues a whole sound, as [`Voice::play`] and [`Voice::play_last`] do. Dropped before its end, it has queued a part.
    pub async fn play_all(&mut self, sound: &[i16]) {
        let (frames, rest) = sound.as_chunks::<FRAME_SAMPLES>();
        for frame in frames {
            self.play(Frame::new(*frame)).await;
        }
        self.play_last(rest).await;
    }

    /// A way to be heard beside whoever speaks with this voice.
    pub fn announcer(&self) -> Announcer {
        Announcer { queue: self.queue.clone() }
    }

    async fn queue(&mut self, frame: Frame, samples: usize) {
        loop {
            {
                let mut playout = self.queue.lock();
                if playout.ended {
                    break;
                }
                if playout.frames.len() < FRAMES {
                    playout.frames.push_back((frame, samples));
                    return;
                }
            }
            self.queue.moved.notified().await;
        }
        sleep(Duration::from_millis(crate::FRAME_MS.into())).await;
    }

    /// Queues 20 ms without waiting: when `most` are queued already, the oldest gives way. Says whether any were.
    pub(crate) fn push(&mut self, frame: Frame, most: usize) -> bool {
        let mut playout = self.queue.lock();
        if playout.ended {
            return false;
        }
        let crowded = !playout.frames.is_empty();
        while playout.frames.len() >= most {
            playout.frames.pop_front();
        }
        playout.frames.push_back((frame, FRAME_SAMPLES));
        crowded
    }

    /// Forgets what was queued first.
    pub(crate) fn give_up_oldest(&mut self) {
        self.queue.lock().frames.pop_front();
    }

    /// Lets a sound go on under everything that is played, and alone where nothing is; `None` lets it fade. An ambience is
    /// neither paused nor flushed, and never counts as played.
    pub fn ambience(&mut self, ambience: Option<Ambience>) {
        let mut playout = self.queue.lock();
        match ambience {
            Some(_) => playout.ambience = ambience,
            None => playout.ambience.iter_mut().for_each(Ambience::end),
        }
    }

    /// Presses a key (`0` to `9`, `*`, `#`, `A` to `D`) for so long (40 ms to one second), after those that were pressed
    /// before and before what is still queued to be played, which waits meanwhile. Goes out as telephone-event
    /// (RFC 4733) or as tones; [`crate::Control::has_key_events`] says which. Waits while 32 keys are queued, and so for as
    /// long as the call is on hold; a pause or a flush of what is played does not touch keys. Cancel safe. On a leg that has
    /// ended it does nothing.
    ///
    /// # Errors
    /// [`MediaError::Key`]: no telephone has this key.
    pub async fn press(&mut self, key: char, duration: Duration, by: PressBy) -> Result<(), MediaError> {
        let duration_ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let press = Press::new(key, duration_ms, by).ok_or(MediaError::Key { key })?;
        loop {
            {
                let mut playout = self.queue.lock();
                if playout.ended {
                    return Ok(());
                }
                if playout.keys.len() < KEYS {
                    playout.keys.push_back(press);
                    self.queue.pressing.store(true, Ordering::Release);
                    return Ok(());
                }
            }
            self.queue.moved.notified().await;
        }
    }

    /// Holds back what is queued; the peer hears silence, or the ambience.
    pub fn pause(&mut self) {
        self.queue.lock().paused = true;
    }

    /// Goes on where [`Voice::pause`] stopped.
    pub fn resume(&mut self) {
        self.queue.lock().paused = false;
    }

    /// Barge-in: forgets what has not left and says exactly how much had. Also ends a pause.
    pub fn flush(&mut self) -> Played {
        let mut playout = self.queue.lock();
        playout.frames.clear();
        playout.paused = false;
        playout.burst_over = true;
        playout.played
    }

    /// How much has left until now.
    pub fn played(&self) -> Played {
        self.queue.lock().played
    }

    /// Milliseconds that are queued and have not left.
    pub fn queued_ms(&self) -> u32 {
        self.queue.lock().frames.len() as u32 * crate::FRAME_MS
    }

    /// Waits until everything queued has left, keys among it, through pause and hold, or the leg has ended.
    pub async fn drained(&mut self) {
        loop {
            {
                let playout = self.queue.lock();
                if playout.ended || (playout.frames.is_empty() && !self.queue.pressing.load(Ordering::Acquire)) {
                    return;
                }
            }
            self.queue.moved.notified().await;
        }
    }
}

/// Says what a party must be told, whoever speaks to it meanwhile: that one waits, and goes on where it was.
#[derive(Clone, Debug)]
pub struct Announcer {
    queue: Arc<VoiceQueue>,
}

impl Announcer {
    /// Plays a sound before everything that is queued, through a pause and a flush, and waits until it has left. Never counts
    /// as played. Says whether all of it left: not on a leg that has ended, nor while another announcement is played. On hold
    /// it waits.
    pub async fn say(&self, sound: &Arc<[i16]>) -> bool {
        {
            let mut playout = self.queue.lock();
            if playout.ended || playout.told.is_some() {
                return false;
            }
            playout.told = (!sound.is_empty()).then(|| Told { sound: sound.clone(), next: 0 });
        }
        loop {
            {
                let playout = self.queue.lock();
                if playout.ended || playout.told.is_none() {
                    return !playout.ended;
                }
            }
            self.queue.told.notified().await;
        }
    }
}

/// An announcement on its way.
#[derive(Debug)]
struct Told {
    sound: Arc<[i16]>,
    next: usize,
}

impl Told {
    fn next(&mut self) -> Option<Frame> {
        let rest = self.sound.get(self.next..).filter(|rest| !rest.is_empty())?;
        self.next += FRAME_SAMPLES;
        Some(Frame::padded(&rest[..rest.len().min(FRAME_SAMPLES)]))
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.queue.mute.store(true, Ordering::Release);
    }
}

/// The queue itself, shared by [`Voice`] and the leg task.
///
/// A lock, and not a channel, because a flush must empty the queue and read what was played in one step. It is held for
/// one push, pop or flush and never across an await.
#[derive(Debug, Default)]
pub(crate) struct VoiceQueue {
    playout: Mutex<Playout>,
    moved: Notify,
    /// An announcement has left.
    told: Notify,
    /// Keys wait, or one is down.
    pressing: AtomicBool,
    mute: AtomicBool,
}

#[derive(Debug, Default)]
struct Playout {
    /// With how many samples of each are played audio.
    frames: VecDeque<(Frame, usize)>,
    told: Option<Told>,
    ambience: Option<Ambience>,
    keys: VecDeque<Press>,
    paused: bool,
    ended: bool,
    burst_over: bool,
    played: Played,
}

impl VoiceQueue {
    /// The next frame to send now; from here on it counts as played. `None` is silence.
    pub(crate) fn pop(&self, now: Instant) -> Option<Frame> {
        let (voice, mixed) = {
            let mut playout = self.lock();
            if let Some(told) = &mut playout.told {
                let frame = told.next();
                if frame.is_some() {
                    return frame;
                }
                playout.told = None;
                self.told.notify_one();
            }
            let voice = playout.pop(now);
            let mixed = playout.ambience.as_mut().map(|ambience| ambience.under(voice));
            if playout.ambience.as_ref().is_some_and(Ambience::is_over) {
                playout.ambience = None;
            }
            (voice, mixed)
        };
        if voice.is_some() {
            self.moved.notify_one();
        }
        mixed.or(voice)
    }

    /// The next key to press. Asked for whenever no key is down.
    pub(crate) fn pop_key(&self) -> Option<Press> {
        if !self.pressing.load(Ordering::Acquire) {
            return None;
        }
        let key = {
            let mut playout = self.lock();
            let key = playout.keys.pop_front();
            self.pressing.store(key.is_some(), Ordering::Release);
            key
        };
        self.moved.notify_one();
        key
    }

    /// Presses a key as it was agreed, without waiting: lost when too many wait already.
    pub(crate) fn press_at_once(&self, key: char, duration: Duration) {
        let duration_ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let mut playout = self.lock();
        if let Some(press) = Press::new(key, duration_ms, PressBy::Agreement).filter(|_| playout.keys.len() < KEYS) {
            playout.keys.push_back(press);
            self.pressing.store(true, Ordering::Release);
        }
    }

    /// Nothing leaves any more: whoever waits goes on.
    pub(crate) fn end(&self) {
        {
            let mut playout = self.lock();
            playout.ended = true;
            playout.frames.clear();
            playout.keys.clear();
        }
        self.moved.notify_one();
        self.told.notify_one();
    }

    /// Something of our own waits to be said.
    pub(crate) fn is_waiting(&self) -> bool {
        let playout = self.lock();
        self.pressing.load(Ordering::Acquire) || playout.told.is_some() || !playout.paused && !playout.frames.is_empty()
    }

    /// Nobody speaks any more.
    pub(crate) fn is_mute(&self) -> bool {
        self.mute.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Playout> {
        self.playout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Playout {
    fn pop(&mut self, now: Instant) -> Option<Frame> {
        if self.paused {
            return None;
        }
        let (frame, samples) = self.frames.pop_front()?;
        let idle = self.played.last_sent.is_none_or(|last| now.saturating_duration_since(last) >= BURST_GAP);
        if idle || self.burst_over {
            self.burst_over = false;
            self.played.first_sent_since_idle = Some(now);
        }
        self.played.samples += samples as u64;
        self.played.last_sent = Some(now);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> (Voice, Arc<VoiceQueue>) {
        let queue = Arc::new(VoiceQueue::default());
        (Voice::new(queue.clone()), queue)
    }

    #[tokio::test]
    async fn a_last_part_counts_its_own_length() {
        let (mut voice, queue) = voice();
        let now = crate::leg::now();
        voice.play(Frame::new([5; FRAME_SAMPLES])).await;
        voice.play_last(&[5; 37]).await;
        voice.play_last(&[]).await;
        queue.pop(now).expect("a frame");
        voice.pause();
        assert_eq!(queue.pop(now), None);
        assert_eq!(voice.played().samples, 320, "a pause between counts what has left");
        voice.resume();
        let last = queue.pop(now).expect("the part");
        assert_eq!((last.samples()[36], last.samples()[37]), (5, 0));
        assert_eq!(voice.flush().samples, 357);
        assert_eq!(queue.pop(now), None, "an empty part is no frame");
    }

    #[tokio::test]
    async fn a_flush_says_what_had_left_and_forgets_the_rest() {
        let (mut voice, queue) = voice();
        let now = crate::leg::now();
        for _ in 0..3 {
            voice.play(Frame::new([5; FRAME_SAMPLES])).await;
        }
        queue.pop(now);
        assert_eq!(voice.flush().samples, 320);
        assert_eq!((queue.pop(now), voice.played().samples), (None, 320));
    }

    #[tokio::test]
    async fn an_ambience_goes_on_through_pause_and_flush_and_is_never_counted() {
        let (mut voice, queue) = voice();
        let now = crate::leg::now();
        voice.ambience(Ambience::new(vec![1_000; 320].into(), 0.0, 0.0));
        voice.play(Frame::new([5; FRAME_SAMPLES])).await;
        voice.pause();
        let heard: Vec<_> = (0..30).map(|_| queue.pop(now).expect("the ambience")).collect();
        assert!(heard[29].samples().iter().all(|sample| (990..=1_000).contains(sample)), "{:?}", heard[29].samples());
        assert_eq!((voice.played().samples, voice.flush().samples), (0, 0));
        voice.ambience(None);
        assert!((0..30).filter_map(|_| queue.pop(now)).count() < 30, "it fades and is gone");
    }

    #[tokio::test]
    async fn an_announcement_is_heard_first_through_a_pause_and_a_flush_and_counts_for_nothing() {
        let (mut voice, queue) = voice();
        let announcer = voice.announcer();
        voice.play(Frame::new([7; FRAME_SAMPLES])).await;
        voice.pause();
        let sound: Arc<[i16]> = vec![5; FRAME_SAMPLES + 10].into();
        let saying = announcer.say(&sound);
        let sending = async {
            tokio::task::yield_now().await;
            assert!(queue.is_waiting(), "packets of another leg give way to it");
            assert!(!announcer.say(&sound).await, "one at a time");
            let first = queue.pop(crate::leg::now());
            voice.flush();
            voice.play(Frame::new([8; FRAME_SAMPLES])).await;
            let rest = [(); 3].map(|()| queue.pop(crate::leg::now()).map(|frame| frame.samples()[0]));
            (first.map(|frame| frame.samples()[319]), rest)
        };
        let (said, (first, rest)) = tokio::join!(saying, sending);
        assert!(said);
        assert_eq!((first, rest), (Some(5), [Some(5), Some(8), None]));
        assert_eq!(voice.played().samples, FRAME_SAMPLES as u64);
        queue.end();
        assert!(!announcer.say(&sound).await, "nobody hears it");
    }
}
