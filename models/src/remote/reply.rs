//! A reply that a server writes, event by event.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, header::CONTENT_TYPE};
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{Remote, refusal::quoted, sse::Events};
use crate::{
    engine::{EngineError, RemoteFault},
    language_model::{Reply, Token, Told, Usage},
    tools::Call,
};

/// Pieces that may wait for their listener; then the server waits.
const ROOM: usize = 256;
/// A reply is no longer than this, in bytes, with the arguments of its calls.
const LONGEST: usize = 256 * 1024;
/// A token has no more bytes than this, on average: a server that says much more than it was asked for is stopped.
const TOKEN: usize = 12;
/// So many bytes more than that are no fault.
const LEEWAY: usize = 1_024;
/// How long the end of a stream is waited for once its reply is complete, so that the connection serves the next one.
const LAST: Duration = Duration::from_millis(500);

/// What one event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The next words.
    pub(crate) text: String,
    /// Whether there are more.
    pub(crate) over: Over,
    /// The reply ends at its longest, not by itself.
    pub(crate) is_cut: bool,
    /// So many tokens the conversation has.
    pub(crate) prompt_tokens: Option<u64>,
    /// So many of them the server had in its cache, and so many it put there: of the conversation that is told with them.
    pub(crate) cached: (u64, u64),
    /// So many the reply has, so far.
    pub(crate) completion_tokens: Option<u64>,
    /// Of calls, what comes next.
    pub(crate) calls: Vec<CallPart>,
}

/// A part of a call: its beginning, with the tool's name, or more of its arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CallPart {
    /// Which call, by the server's count.
    pub(crate) index: u64,
    /// The tool, where the call begins.
    pub(crate) tool: Option<String>,
    /// Part of the JSON of the arguments.
    pub(crate) arguments: String,
}

/// The calls of one reply as they come.
#[derive(Default)]
struct Calls(Vec<(u64, String, String)>);

impl Calls {
    /// One more part; how many bytes it has.
    fn add(&mut self, part: CallPart) -> usize {
        let CallPart { index, tool, arguments } = part;
        // One without anything counts too: some servers send nothing else for long.
        let size = 1 + tool.as_ref().map_or(0, String::len) + arguments.len();
        match (tool, self.0.iter_mut().rev().find(|(at, ..)| *at == index)) {
            (None, Some((.., text))) => text.push_str(&arguments),
            (tool, _) => self.0.push((index, tool.unwrap_or_default(), arguments)),
        }
        size
    }
}

/// Whether a reply is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Over {
    /// More comes.
    #[default]
    No,
    /// The words are complete; the stream may end.
    Words,
    /// Nothing more comes.
    All,
}

/// Reads the data of an event; or what the server says is wrong, as the end of a sentence.
pub(crate) type Read = fn(&str) -> Result<Heard, (RemoteFault, String)>;

/// Asks for a reply of so many tokens at most, which a task of its own reads; it ends with the reply or its listener.
pub(crate) fn reply(
    remote: &Remote,
    request: RequestBuilder,
    read: Read,
    max_tokens: usize,
) -> Result<Reply, EngineError> {
    let place = remote.place()?;
    let (answer, tokens) = mpsc::channel(ROOM);
    let remote = remote.clone();
    tokio::spawn(async move {
        let spoken = select! {
            biased;
            () = answer.closed() => return,
            spoken = speak(&remote, request, (read, max_tokens), &answer) => spoken,
        };
        match spoken {
            Ok(mut response) => {
                drop((answer, place));
                let rest = async { while response.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
                timeout(LAST, rest).await.ok();
            }
            Err(error) => {
                answer.send(Err(error)).await.ok();
            }
        }
    });
    Ok(Reply::new(tokens))
}

/// Passes the words on; what is left of the stream comes back when they are complete.
async fn speak(
    remote: &Remote,
    request: RequestBuilder,
    (read, max_tokens): (Read, usize),
    answer: &mpsc::Sender<Result<Told, EngineError>>,
) -> Result<Response, EngineError> {
    let mut until = remote.deadline();
    let mut response = remote.send(request, until).await?;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing named");
    if !kind.starts_with("text/event-stream") {
        let says = format!("answers with {} in place of text/event-stream", quoted(kind).trim_start_matches(": "));
        return Err(remote.fault(RemoteFault::Broken, says));
    }
    let broken = |says: String| remote.fault(RemoteFault::Broken, says);
    let (mut events, mut said, mut over, mut is_cut) = (Events::default(), 0, Over::No, false);
    let (mut prompt, mut cached, mut completion, mut words) = (None, (0, 0), None, 0);
    let mut calls = Calls::default();
    while let Some(bytes) = remote.chunk(&mut response, until).await? {
        for data in events.push(&bytes).map_err(broken)? {
            let heard = read(&data).map_err(|(fault, says)| remote.fault(fault, says))?;
            let text = if said == 0 { heard.text.trim_start() } else { &heard.text };
            said += text.len();
            words += text.len();
            let has_more = !text.is_empty() || !heard.calls.is_empty();
            said += heard.calls.into_iter().map(|part| calls.add(part)).sum::<usize>();
            if has_more {
                if said > LONGEST {
                    return Err(broken(format!("says more than {LONGEST} bytes")));
                }
                // A call has begun: no words, but an answer. Nobody listens: the caller of this notices.
                answer.send(Ok(Told::Token(Token { text: text.into(), logprob: None }))).await.ok();
                until = Instant::now() + remote.0.between;
            }
            // Not every server heeds how long a reply may be.
            let is_endless = words > max_tokens.saturating_mul(TOKEN).saturating_add(LEEWAY);
            is_cut |= heard.is_cut || is_endless;
            if heard.prompt_tokens.is_some() {
                (prompt, cached) = (heard.prompt_tokens, heard.cached);
            }
            completion = heard.completion_tokens.or(completion);
            over = if heard.over == Over::No { over } else { heard.over };
            over = if is_endless { Over::All } else { over };
            if over == Over::All {
                break;
            }
        }
        if over == Over::All {
            break;
        }
    }
    match over {
        Over::No => Err(broken("ended the connection before the end of the reply".into())),
        Over::Words | Over::All if said == 0 => Err(broken("has nothing to say".into())),
        Over::Words | Over::All => {
            for (_, tool, arguments) in calls.0 {
                answer.send(Ok(Told::Call(Call::of_server(&tool, &arguments)))).await.ok();
            }
            if let (Some(prompt_tokens), Some(completion_tokens)) = (prompt, completion) {
                let (cache_read_tokens, cache_write_tokens) = cached;
                let usage = Usage { prompt_tokens, cache_read_tokens, cache_write_tokens, completion_tokens };
                answer.send(Ok(Told::Usage(usage))).await.ok();
            }
            if is_cut {
                answer.send(Ok(Told::Longest)).await.ok();
            }
            Ok(response)
        }
    }
}
