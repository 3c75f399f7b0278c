//! `POST /v1/audio/transcriptions`.

use std::{convert::Infallible, fmt::Write};

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::header,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use milo_models::{engine::Language, transcriber::Listen};
use serde::Serialize;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::error;
use crate::{
    chat::{Part, SaidWord, Transcribed, before},
    http::{
        Problem,
        guard::{Converse, May},
        stt::{self, LARGEST},
        text::Text,
    },
};

/// How a transcript is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(as = OpenAiTranscriptFormat, rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
}

/// A recording as a file, in the document: the parts are read as they come.
#[derive(utoipa::ToSchema)]
#[schema(as = OpenAiUpload)]
#[expect(dead_code, reason = "nothing but the document's")]
struct Upload {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Any: there is one model.
    model: Option<String>,
    /// What is spoken; found out when it is left out.
    #[schema(value_type = Option<crate::engines::Tongue>)]
    language: Option<Language>,
    response_format: Option<Format>,
    /// What is to stand before the words, so that they are written alike: names, words of a trade.
    #[schema(max_length = 4000)]
    prompt: Option<String>,
    /// Whether the answer comes as server-sent events.
    stream: Option<bool>,
    /// Of what `verbose_json` tells the times; of segments where nothing is said.
    #[schema(rename = "timestamp_granularities[]")]
    granularities: Option<Vec<Granularity>>,
}

/// What a time is told of.
#[derive(utoipa::ToSchema)]
#[schema(as = OpenAiGranularity, rename_all = "snake_case")]
#[expect(dead_code, reason = "nothing but the document's")]
enum Granularity {
    Word,
    Segment,
}

/// A transcript; all but `text` with `response_format = verbose_json` only.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiTranscription)]
struct Transcription {
    #[schema(example = "tonga soa")]
    text: String,
    /// `transcribe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "transcribe")]
    task: Option<&'static str>,
    /// `malagasy` or `french`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "malagasy")]
    language: Option<&'static str>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1.2)]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Segment>>,
    /// Where `timestamp_granularities[]` asks for `word`.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<Timed>>,
}

/// A word, in seconds from the beginning.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiWord)]
struct Timed {
    #[schema(example = "tonga")]
    word: String,
    #[schema(example = 0.3)]
    start: f64,
    #[schema(example = 0.7)]
    end: f64,
}

/// A part of it, in seconds from the beginning.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiSegment)]
struct Segment {
    id: usize,
    #[schema(example = 0.3)]
    start: f64,
    #[schema(example = 1.2)]
    end: f64,
    #[schema(example = "tonga soa")]
    text: String,
    #[schema(example = -0.07)]
    avg_logprob: Option<f64>,
}

struct Wanted {
    file: NamedTempFile,
    format: Format,
    is_streamed: bool,
    /// Times of words, and of segments.
    times: Times,
    asked: Listen,
}

/// What `timestamp_granularities[]` asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    words: bool,
    segments: bool,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(transcribe)).layer(DefaultBodyLimit::max(LARGEST.1))
}

/// Transcribe a recording
///
/// With `stream: true` as server-sent events: `transcript.text.delta`, then `transcript.text.done`.
#[utoipa::path(
    post,
    path = "/v1/audio/transcriptions",
    operation_id = "openai_transcribe",
    tag = "openai",
    request_body(content((Upload = "multipart/form-data"))),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The transcript, as `response_format` says.", content((Transcription = "application/json"), (String = "text/plain", example = json!("tonga soa\n")), (String = "application/x-subrip", example = json!("1\n00:00:00,300 --> 00:00:01,200\ntonga soa\n")), (String = "text/vtt", example = json!("WEBVTT\n")), (String = "text/event-stream", example = json!("data: {\"type\":\"transcript.text.done\",\"text\":\"tonga soa\"}\n\n")))),
    ),
)]
async fn transcribe(State(text): State<Text>, _: May<Converse>, request: Request) -> Result<Response, Problem> {
    let parts = Multipart::from_request(request, &()).await;
    let parts = parts.map_err(|wrong| Problem::of_status(wrong.status(), wrong.body_text()))?;
    let wanted = read(parts).await?;
    let began = Instant::now();
    let (samples, place) = stt::decoded(wanted.file).await?;
    let mut listening = text.chats.listen(samples, wanted.asked)?;
    if wanted.is_streamed {
        let all = stream::unfold(Some(Box::new((listening, place))), move |state| async move {
            let mut state = state?;
            let (listening, _) = &mut *state;
            let (data, state) = match listening.next().await {
                Some(Ok(progress)) => {
                    let words: Vec<_> = progress.segments.iter().map(|part| part.text.trim()).collect();
                    (json!({ "type": "transcript.text.delta", "delta": format!("{} ", words.join(" ")) }), Some(state))
                }
                Some(Err(fault)) => {
                    let problem = Problem::from(fault);
                    (error(axum::http::StatusCode::SERVICE_UNAVAILABLE, problem.detail()), None)
                }
                None => {
                    let whole = listening.whole(began.elapsed());
                    (json!({ "type": "transcript.text.done", "text": whole.text }), None)
                }
            };
            Some((Ok::<_, Infallible>(Event::default().data(data.to_string())), state))
        });
        return Ok(Sse::new(all).keep_alive(KeepAlive::default()).into_response());
    }
    while let Some(segments) = listening.next().await {
        segments?;
    }
    let whole = listening.whole(began.elapsed());
    drop(place);
    let text = |kind: &'static str, body: String| ([(header::CONTENT_TYPE, kind)], body).into_response();
    Ok(match wanted.format {
        Format::Json => Json(Transcription { text: whole.text, ..Transcription::default() }).into_response(),
        Format::VerboseJson => Json(verbose(whole, wanted.times)).into_response(),
        Format::Text => text("text/plain; charset=utf-8", format!("{}\n", whole.text)),
        Format::Srt => text("application/x-subrip; charset=utf-8", subtitles(&whole.segments, ',')),
        Format::Vtt => text("text/vtt; charset=utf-8", format!("WEBVTT\n\n{}", subtitles(&whole.segments, '.'))),
    })
}

async fn read(mut parts: Multipart) -> Result<Wanted, Problem> {
    let broken = |wrong: MultipartError| Problem::of_status(wrong.status(), wrong.body_text());
    let (mut file, mut asked, mut format, mut is_streamed) = (None, Listen::default(), Format::default(), false);
    let mut times = Times::default();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            file = Some(stt::kept(part).await?);
            continue;
        }
        let value = part.text().await.map_err(broken)?;
        let value = value.trim();
        match name.as_str() {
            "language" if !value.is_empty() => asked.language = Some(value.parse::<Language>()?),
            "response_format" => {
                format = match value {
                    "json" => Format::Json,
                    "text" => Format::Text,
                    "srt" => Format::Srt,
                    "vtt" => Format::Vtt,
                    "verbose_json" => Format::VerboseJson,
                    other => {
                        let says =
                            format!("response_format is {other:?}; there are json, text, srt, vtt and verbose_json");
                        return Err(Problem::bad_request(says));
                    }
                };
            }
            "stream" => is_streamed = value == "true",
            "timestamp_granularities[]" | "timestamp_granularities" => match value {
                "word" => times.words = true,
                "segment" => times.segments = true,
                other => {
                    let says = format!("timestamp_granularities[] is {other:?}; there are word and segment");
                    return Err(Problem::bad_request(says));
                }
            },
            "prompt" => asked.prompt = before(value),
            // `model`: there is one. `temperature`: the likeliest words are taken.
            _ => {}
        }
    }
    let file = file.ok_or_else(|| Problem::bad_request("there is no part named `file`: put the sound into one"))?;
    if times.words && (format != Format::VerboseJson || is_streamed) {
        return Err(Problem::bad_request("times of words stand in verbose_json that is not streamed: ask for that"));
    }
    asked.words = times.words;
    Ok(Wanted { file, format, is_streamed, times, asked })
}

/// Segments are told unless only words were asked for.
fn verbose(whole: Transcribed, times: Times) -> Transcription {
    let seconds = |ms: u64| ms as f64 / 1e3;
    let name = match whole.language {
        Language::Mg => "malagasy",
        Language::Fr => "french",
    };
    let segment = |(id, part): (usize, Part)| Segment {
        id,
        start: seconds(part.start_ms),
        end: seconds(part.end_ms),
        text: part.text,
        avg_logprob: part.confidence.map(|sure| f64::from(sure.max(1e-6)).ln()),
    };
    let words = times.words.then(|| {
        let words = whole.segments.iter().flat_map(|part| part.words.iter().flatten());
        let timed = |word: &SaidWord| Timed {
            word: word.word.clone(),
            start: seconds(word.start_ms),
            end: seconds(word.end_ms),
        };
        words.map(timed).collect()
    });
    let with_segments = times.segments || !times.words;
    Transcription {
        text: whole.text,
        task: Some("transcribe"),
        language: Some(name),
        duration: Some(seconds(whole.duration_ms)),
        segments: with_segments.then(|| whole.segments.into_iter().enumerate().map(segment).collect()),
        words,
    }
}

/// Numbered subtitles; `point` stands before the milliseconds.
fn subtitles(parts: &[Part], point: char) -> String {
    let time = |ms: u64| {
        let (s, ms) = (ms / 1_000, ms % 1_000);
        format!("{:02}:{:02}:{:02}{point}{ms:03}", s / 3_600, s / 60 % 60, s % 60)
    };
    let mut text = String::new();
    for (number, part) in parts.iter().enumerate() {
        let (from, to) = (time(part.start_ms), time(part.end_ms));
        writeln!(text, "{}\n{from} --> {to}\n{}\n", number + 1, part.text.trim()).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtitles_have_numbers_times_and_words() {
        let part = |start_ms, end_ms, text: &str| Part {
            start_ms,
            end_ms,
            text: text.into(),
            language: Language::Mg,
            confidence: Some(0.5),
            words: None,
        };
        let parts = [part(0, 1_250, " Salama. "), part(3_661_007, 3_662_000, "Veloma.")];
        let expected = "1\n00:00:00,000 --> 00:00:01,250\nSalama.\n\n2\n01:01:01,007 --> 01:01:02,000\nVeloma.\n\n";
        assert_eq!(subtitles(&parts, ','), expected);
    }
}
