//! What a window says, in segments with their times: those that the model stamps, or one for all that sounds.

use super::{
    SAMPLES_PER_MS, Worker,
    alignment::FRAME_MS,
    decode::Heard,
    windows,
    words::{Spoken, words},
};
use crate::{
    engine::EngineError,
    transcriber::{Segment, Word},
};

impl Worker {
    /// The segments of a window whose sound begins at `offset`. `moments` are where its tokens of text begin, where times of words are
    /// wanted.
    pub(super) fn segments(
        &self,
        heard: &Heard,
        part: &[i16],
        offset: usize,
        moments: Option<&[usize]>,
    ) -> Result<Vec<Segment>, EngineError> {
        let tokens = &self.decoder.tokens;
        let ms = |sample: usize| u32::try_from((offset + sample) / SAMPLES_PER_MS).unwrap_or(u32::MAX);
        // Token after token of text; `from` is the first one's place among those of the window.
        let segment = |text: String, ids: &[u32], from: usize, [start_ms, end_ms]: [u32; 2]| {
            if text.is_empty() {
                return Ok(None);
            }
            let at = |moments: &[usize], token: usize| {
                let frame = moments.get(from + token).or(moments.last()).copied().unwrap_or(0);
                // The first word has the silence before it, as far as the path goes.
                ms((frame * FRAME_MS * SAMPLES_PER_MS).min(part.len())).clamp(start_ms, end_ms.max(start_ms))
            };
            let timed = |moments: &[usize]| -> Result<Vec<Word>, EngineError> {
                let word = |Spoken { text, tokens }| Word {
                    word: text,
                    start_ms: at(moments, tokens.start),
                    end_ms: at(moments, tokens.end),
                };
                Ok(words(ids, tokens)?.into_iter().map(word).collect())
            };
            Ok::<_, EngineError>(Some(Segment { start_ms, end_ms, text, words: moments.map(timed).transpose()? }))
        };
        if !self.decoder.rules.timestamps {
            let sounding = windows::sounding(part);
            let times = [ms(sounding.start), ms(sounding.end)];
            let whole = segment(heard.text.clone(), &heard.tokens, 0, times)?;
            return Ok(whole.into_iter().collect());
        }
        let mut segments = Vec::new();
        let (mut start, mut said, mut from) = (0.0, Vec::new(), 0);
        let at = |seconds: f32| ms(((seconds * 1_000.0) as usize * SAMPLES_PER_MS).min(part.len()));
        let end = part.len() as f32 / (1_000 * SAMPLES_PER_MS) as f32;
        let stamps = heard.tokens.iter().map(|id| (Some(*id), tokens.seconds(*id))).chain([(None, Some(end))]);
        for (id, stamp) in stamps {
            match stamp {
                Some(stamp) => {
                    segments.extend(segment(tokens.text(&said)?, &said, from, [at(start), at(stamp)])?);
                    from += said.len();
                    said.clear();
                    start = stamp;
                }
                None => said.extend(id),
            }
        }
        Ok(segments)
    }
}
