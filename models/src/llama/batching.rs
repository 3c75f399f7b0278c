//! Continuous batching: the model's thread, pass after pass.

mod places;

use std::{
    collections::VecDeque,
    fs,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};
use tokio::sync::mpsc;

use super::{
    Counters, ENGINE, Job, LlamaOptions, attention, file,
    grammar::Grammar,
    prompt::Template,
    sampling::{Chooser, Text},
    sequences::{Place, Sequences},
    uses_cards,
};
use crate::{
    engine::EngineError,
    language_model::{Token, Told},
    pages,
    queue::{Jobs, Seat, Standing},
};
use places::Paused;

/// Prompt tokens read in one pass while nobody is being answered.
const PIECE: usize = 256;
/// Prompt tokens read in one pass while replies are under way: few, so that they do not stutter.
const SMALL_PIECE: usize = 64;

/// Sequences that llama.cpp can tell apart in one context (LLAMA_MAX_SEQ).
const SEQUENCES: usize = 256;

/// A reply under way; its tokens stand in the sequence of the same index.
struct Running {
    answer: mpsc::Sender<Result<Told, EngineError>>,
    chooser: Chooser,
    /// What the reply is held to.
    grammar: Option<Grammar>,
    text: Text,
    /// Tokens that it may still generate.
    left: usize,
    /// Whether it has said something.
    is_heard: bool,
    standing: Standing,
}

/// What every conversation with one system prompt begins with.
struct Kept {
    sequence: usize,
    tokens: Vec<LlamaToken>,
}

/// The model, its one context, and the replies under way.
pub(super) struct Batcher {
    // Before `model`, so that it is dropped before it.
    context: LlamaContext<'static>,
    batch: LlamaBatch<'static>,
    template: Template,
    sequences: Sequences,
    running: Vec<Option<Running>>,
    /// Those that go on when there is room; one for each place that was taken from such a reply at most.
    paused: VecDeque<Paused>,
    /// The system prompts, each in a sequence that is kept for good.
    kept: Vec<Kept>,
    /// Replies that may be under way at once.
    places: usize,
    context_tokens: usize,
    counters: Arc<Counters>,
    /// Each pass is a turn there.
    seat: Seat,
    model: Box<LlamaModel>,
}

impl Batcher {
    pub(super) fn load(
        path: &Path,
        options: &LlamaOptions,
        counters: Arc<Counters>,
        seat: Seat,
    ) -> Result<Self, EngineError> {
        let mut model = Box::new(file::open(path, options.gpu_layers)?);
        let mut lora =
            options.lora.as_ref().map(|(path, scale)| Ok((file::adapter(&mut model, path)?, *scale))).transpose()?;
        let template = Template::of(&model, path)?;
        let mut prefixes: Vec<Vec<LlamaToken>> = Vec::new();
        for system_prompt in &options.system_prompts {
            let prefix = template.prefix(&model, system_prompt)?;
            if !prefix.is_empty() && !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        let context_tokens = options.context_tokens.min(model.n_ctx_train() as usize);
        if let Some(prefix) = prefixes.iter().find(|prefix| prefix.len() >= context_tokens) {
            return Err(EngineError::Load(format!(
                "a system prompt has {} tokens and leaves no room in the {context_tokens} of a conversation; shorten it or \
                 raise context_tokens (the model in {} allows {})",
                prefix.len(),
                path.display(),
                model.n_ctx_train()
            )));
        }
        // Sequences more than asked for: each keeps a system prompt for good. Those beyond what llama.cpp can tell apart are
        // read by each conversation for itself.
        prefixes.truncate(SEQUENCES.saturating_sub(options.sequences.max(1)));
        let sequences = options.sequences.max(1) + prefixes.len();
        let on_card = options.gpu_layers > 0 && uses_cards();
        let instructions: Vec<usize> = prefixes.iter().map(Vec::len).collect();
        let cells = context_tokens * options.sequences.max(1) + instructions.iter().sum::<usize>();
        let flash_attention = attention::is_flash(options, on_card, &instructions, cells);
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(u32::try_from(cells).unwrap_or(u32::MAX)))
            .with_n_seq_max(u32::try_from(sequences).unwrap_or(u32::MAX))
            // One store of cells for all, so that a shared beginning is stored once.
            .with_kv_unified(true)
            .with_n_batch((PIECE + sequences) as u32)
            .with_n_ubatch((PIECE + sequences) as u32)
            .with_n_threads(options.threads.max(1) as i32)
            .with_n_threads_batch(options.threads.max(1) as i32)
            .with_type_k(options.cache.kind())
            .with_type_v(options.cache.kind())
            .with_flash_attention_policy(match flash_attention {
                None => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_AUTO,
                Some(true) => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_ENABLED,
                Some(false) => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            })
            .with_no_perf(true);
        let mut context = model.new_context(file::backend()?, parameters).map_err(|error| {
            let why = file::complaint().unwrap_or_else(|| error.to_string());
            EngineError::Load(format!(
                "no room for {} conversations of {context_tokens} tokens with {} ({why}); lower sequences or context_tokens",
                options.sequences,
                path.display()
            ))
        })?;
        if let Some((adapter, scale)) = &mut lora {
            context.lora_adapter_set(adapter, *scale).map_err(|error| {
                EngineError::Load(format!("the LoRA beside {} cannot be applied: {error}", path.display()))
            })?;
        }
        // SAFETY: the context borrows the model, which is boxed, so that it never moves, and lies in the same struct after
        // the context, so that it is dropped later. Neither leaves this struct.
        let context = unsafe { std::mem::transmute::<LlamaContext<'_>, LlamaContext<'static>>(context) };
        let mut batcher = Self {
            context,
            batch: LlamaBatch::new(PIECE + sequences, 1),
            template,
            sequences: Sequences::new(sequences, !model.is_recurrent() && !model.is_hybrid()),
            running: (0..sequences).map(|_| None).collect(),
            paused: VecDeque::new(),
            kept: Vec::with_capacity(prefixes.len()),
            places: options.sequences.max(1),
            context_tokens,
            counters,
            seat,
            model,
        };
        for tokens in prefixes {
            batcher.keep(tokens)?;
        }
        pages::widen_for(fs::metadata(path).map_or(0, |file| file.len()));
        Ok(batcher)
    }

    /// Gives a system prompt a sequence for good.
    fn keep(&mut self, tokens: Vec<LlamaToken>) -> Result<(), EngineError> {
        let place = self.sequences.place(&tokens).expect("there is a sequence for each system prompt");
        let sequence = place.sequence;
        self.sequences.all[sequence].cached = self.share(place.donor, sequence, place.shared);
        self.kept.push(Kept { sequence, tokens });
        self.read_whole(sequence)
    }

    /// Serves until every handle is dropped.
    pub(super) fn serve(mut self, jobs: &Jobs<Job>) {
        loop {
            if self.running.iter().all(Option::is_none) && self.paused.is_empty() {
                match jobs.next() {
                    Some(job) => self.admit(job),
                    None => return,
                }
            }
            self.drop_cancelled();
            self.make_room(jobs);
            self.take_in(jobs);
            let passed = self.pass(jobs);
            jobs.ran(&passed);
            if let Err(error) = passed {
                self.fail_all(&error);
                if jobs.is_given_up() {
                    return;
                }
            }
            let generating = self.running.iter().flatten().count() as u64;
            self.counters.generating.store(generating, Ordering::Relaxed);
        }
    }

    /// Gives a request its sequence, or its error.
    fn admit(&mut self, job: Job) {
        if job.answer.is_closed() {
            return;
        }
        let refuse = |error| {
            job.answer.try_send(Err(error)).ok();
        };
        let prompt = match self.template.tokens(&self.model, &job.request.messages) {
            Ok(prompt) => prompt,
            Err(error) => return refuse(error),
        };
        if prompt.is_empty() || prompt.len() >= self.context_tokens {
            return refuse(EngineError::Input(format!(
                "the conversation has {} tokens; with room for a reply it may have at most {}: leave out its oldest turns",
                prompt.len(),
                self.context_tokens - 1
            )));
        }
        let grammar = job.request.grammar.as_deref().map(|text| Grammar::new(&self.model, text));
        let grammar = match grammar.transpose() {
            Ok(grammar) => grammar,
            Err(error) => return refuse(error),
        };
        let Some(place) = self.sequences.place(&prompt) else {
            return refuse(EngineError::Overloaded { engine: ENGINE, waiting: 0 });
        };
        self.settle(&place);
        job.answer.try_send(Ok(Told::Prompt(prompt.len() as u64))).ok();
        self.running[place.sequence] = Some(Running {
            chooser: Chooser::new(job.request.temperature, job.request.seed),
            grammar,
            text: Text::default(),
            left: job.request.max_tokens.min(self.context_tokens - prompt.len()),
            is_heard: false,
            standing: job.standing,
            answer: job.answer,
        });
    }

    /// What a place has in common with what was read before need not be read again.
    fn settle(&mut self, place: &Place) {
        let shared = self.share(place.donor, place.sequence, place.shared);
        self.sequences.all[place.sequence].cached = shared;
        self.counters.shared_tokens.fetch_add(shared as u64, Ordering::Relaxed);
    }

    /// Makes the cache of `sequence` hold the first `shared` tokens of `donor` and nothing else; tells how many it holds.
    fn share(&mut self, donor: usize, sequence: usize, shared: usize) -> usize {
        let (id, end) = (sequence as u32, shared as u32);
        let from = if donor == sequence { end } else { 0 };
        let kept = matches!(self.context.clear_kv_cache_seq(Some(id), Some(from), None), Ok(true));
        if donor != sequence && shared > 0 {
            let copied = self.context.copy_kv_cache_seq(donor as i32, sequence as i32, Some(0), Some(end));
            return if copied.is_ok() { shared } else { 0 };
        }
        if !kept {
            // A cache that cannot drop its end (a sliding window): read everything again.
            self.context.clear_kv_cache_seq(Some(id), None, None).ok();
            return 0;
        }
        shared
    }

    fn drop_cancelled(&mut self) {
        self.paused.retain(|paused| !paused.running.answer.is_closed());
        for index in 0..self.running.len() {
            if self.running[index].as_ref().is_some_and(|running| running.answer.is_closed()) {
                self.end(index);
            }
        }
    }

    /// Frees a sequence; its tokens stay in the cache for whoever begins alike.
    fn end(&mut self, index: usize) {
        self.running[index] = None;
        let sequence = &mut self.sequences.all[index];
        sequence.tokens.truncate(sequence.cached);
        sequence.taken = false;
    }

    /// One forward pass for everybody.
    fn pass(&mut self, jobs: &Jobs<Job>) -> Result<(), EngineError> {
        self.batch.clear();
        let active: Vec<usize> = (0..self.running.len()).filter(|&index| self.running[index].is_some()).collect();
        let unread =
            |sequences: &Sequences, index: usize| sequences.all[index].tokens.len() - sequences.all[index].cached;
        // Those who speak have one token to read, their own last one; the others share what is left.
        let (speaking, mut reading): (Vec<usize>, Vec<usize>) =
            active.into_iter().partition(|&index| unread(&self.sequences, index) == 1);
        // Those of the first class that is there read first, and share a pass alike.
        let class_of = |this: &Self, index: usize| this.running[index].as_ref().map(|reply| reply.standing.class());
        let first = reading.iter().filter_map(|&index| class_of(self, index)).min();
        reading.retain(|&index| class_of(self, index) == first);
        let mut budget = if speaking.is_empty() { PIECE } else { SMALL_PIECE };
        let mut rows = Vec::with_capacity(speaking.len() + reading.len());
        for &index in &speaking {
            rows.extend(self.feed(index, 1)?);
        }
        for (done, &index) in reading.iter().enumerate() {
            let piece = unread(&self.sequences, index).min(budget.div_ceil(reading.len() - done));
            budget -= piece;
            rows.extend(self.feed(index, piece)?);
            self.counters.prompt_tokens.fetch_add(piece as u64, Ordering::Relaxed);
        }
        if self.batch.n_tokens() == 0 {
            return Ok(());
        }
        jobs.step(speaking.iter().chain(&reading).filter_map(|&index| Some(&self.running[index].as_ref()?.standing)));
        self.decode()?;
        for (row, index) in rows {
            self.say(row, index, jobs);
        }
        Ok(())
    }

    /// Puts the next `count` tokens of a sequence into the batch; if they are its last, gives the row of the batch whose
    /// logits say how it goes on.
    fn feed(&mut self, index: usize, count: usize) -> Result<Option<(i32, usize)>, EngineError> {
        let sequence = &mut self.sequences.all[index];
        let (from, to) = (sequence.cached, sequence.cached + count);
        let whole = to == sequence.tokens.len();
        for (position, &token) in sequence.tokens[from..to].iter().enumerate() {
            let position = from + position;
            let last = whole && position + 1 == to;
            self.batch
                .add(token, position as i32, &[index as i32], last)
                .map_err(|error| EngineError::Failed { engine: ENGINE, reason: error.to_string() })?;
        }
        sequence.cached = to;
        Ok(whole.then(|| (self.batch.n_tokens() - 1, index)))
    }

    fn decode(&mut self) -> Result<(), EngineError> {
        let turn = self.seat.turn();
        self.counters.decode_steps.fetch_add(1, Ordering::Relaxed);
        let decoded = self.context.decode(&mut self.batch);
        // A card goes on behind it.
        self.context.synchronize();
        drop(turn);
        decoded.map_err(|error| EngineError::Failed {
            engine: ENGINE,
            reason: file::complaint().unwrap_or(error.to_string()),
        })
    }

    /// Chooses the next token of a sequence and passes it on.
    fn say(&mut self, row: i32, index: usize, jobs: &Jobs<Job>) {
        let Some(running) = &mut self.running[index] else { return };
        if !std::mem::replace(&mut running.is_heard, true) {
            jobs.answered(&running.standing);
        }
        let grammar = running.grammar.as_mut();
        let chosen = running.chooser.next(self.context.get_logits_ith(row), grammar, &self.model);
        let (token, logprob) = match chosen {
            Ok(chosen) => chosen,
            Err(error) => {
                running.answer.try_send(Err(error)).ok();
                self.end(index);
                return;
            }
        };
        let vocabulary = self.model.vocab();
        if vocabulary.is_eog(token) {
            self.end(index);
            return;
        }
        let text = running.text.push(&vocabulary.token_to_piece(token, false, None));
        self.counters.generated_tokens.fetch_add(1, Ordering::Relaxed);
        // The channel has room for the whole reply: it refuses only when the listener is gone.
        let heard = running.answer.try_send(Ok(Told::Token(Token { text, logprob: Some(logprob) }))).is_ok();
        running.left -= 1;
        let over = running.left == 0;
        if over {
            running.answer.try_send(Ok(Told::Longest)).ok();
        }
        self.sequences.all[index].tokens.push(token);
        if over || !heard {
            self.end(index);
        }
    }

    /// Reads all of a sequence's tokens, in pieces, with nobody else in the batch.
    fn read_whole(&mut self, index: usize) -> Result<(), EngineError> {
        loop {
            let sequence = &self.sequences.all[index];
            let unread = sequence.tokens.len() - sequence.cached;
            if unread == 0 {
                return Ok(());
            }
            self.batch.clear();
            self.feed(index, unread.min(PIECE))?;
            self.counters.prompt_tokens.fetch_add(unread.min(PIECE) as u64, Ordering::Relaxed);
            self.decode()?;
        }
    }

    /// After a failed pass nothing in the cache can be trusted: every reply ends with the error, the cache is emptied, and the
    /// system prompts are read anew.
    fn fail_all(&mut self, error: &EngineError) {
        tracing::warn!(error = %error, "a pass of the language model failed");
        self.context.clear_kv_cache();
        for index in 0..self.running.len() {
            if let Some(running) = self.running[index].take() {
                running.answer.try_send(Err(error.clone())).ok();
                self.sequences.all[index].taken = false;
            }
            self.sequences.all[index].clear();
        }
        for Kept { sequence, tokens } in &self.kept {
            self.sequences.all[*sequence].tokens.clone_from(tokens);
        }
        for at in 0..self.kept.len() {
            let sequence = self.kept[at].sequence;
            if let Err(error) = self.read_whole(sequence) {
                tracing::warn!(error = %error, "a system prompt could not be read anew: every conversation reads it for itself");
                self.context.clear_kv_cache_seq(Some(sequence as u32), None, None).ok();
                self.sequences.all[sequence].clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        language_model::{ChatMessage, Role},
        queue::Share,
    };

    #[test]
    fn every_system_prompt_is_read_once_and_again_after_a_failed_pass() {
        let prompts = ["Ianao dia mpanampy.", "Tu es un assistant."].map(str::to_owned);
        let options = LlamaOptions { system_prompts: prompts.to_vec(), sequences: 1, ..LlamaOptions::default() };
        let counters = Arc::<Counters>::default();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/mind/mind.gguf");
        let mut batcher =
            Batcher::load(&shipped, &options, Arc::clone(&counters), Share::processor().seat(&Arc::default(), 1))
                .unwrap();
        let shared = |batcher: &mut Batcher, prompt: &str| {
            let messages = [ChatMessage::new(Role::System, prompt), ChatMessage::new(Role::User, "salama")];
            let tokens = batcher.template.tokens(&batcher.model, &messages).unwrap();
            let prefix = batcher.template.prefix(&batcher.model, prompt).unwrap().len();
            let place = batcher.sequences.place(&tokens).expect("a free sequence");
            let read = batcher.sequences.all[place.donor].cached;
            batcher.end(place.sequence);
            (place.shared, read.min(prefix), prefix)
        };
        for failed in [false, true] {
            if failed {
                batcher.fail_all(&EngineError::Failed { engine: ENGINE, reason: "a test".into() });
            }
            for prompt in &prompts {
                let (shared, read, prefix) = shared(&mut batcher, prompt);
                assert_eq!((shared, read), (prefix, prefix), "{prompt} after a failure: {failed}");
            }
        }
        let twice = batcher.kept.iter().map(|kept| kept.tokens.len() as u64).sum::<u64>() * 2;
        let read = counters.prompt_tokens.load(Ordering::Relaxed);
        assert!(read <= twice && read > twice / 2, "{read} of {twice}");
    }
}
