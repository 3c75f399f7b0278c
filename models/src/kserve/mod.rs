//! A graph that an inference server runs in place of this process: Triton, or whatever else speaks KServe's protocol, version 2 (the "Open
//! Inference Protocol"), by HTTP.
//!
//! ```text
//!  at the start   GET v2, v2/health/ready ─► GET v2/models/NAME ─► names, types, shapes: checked as those of a file are
//!  a run          tensors ─► POST v2/models/NAME/infer ─► status ─► tensors of the promised type and shape ─► the engine's thread
//! ```
//! Nothing else moves: sound becomes features here, tokens become words here, and what lies beside a graph (config.json, tokenizer.json)
//! is read from its folder. So only a graph that is run once for an utterance, a clause or a pause makes sense there: Whisper's encoder, a
//! wav2vec2, a VITS, the end of a turn. What is run for each token with a cache that grows (the decoders of Whisper and of translators), or
//! each 32 ms with a state of its own (Silero), stays.
//!
//! The engine's thread asks, and waits for no longer than the run may take; what waits in line meanwhile goes together in the next run
//! where the graph takes rows, as one request. Nothing is asked twice: whoever wants the work done otherwise has another engine for it.
//! A server that could not be reached, or was too late, is not asked again at once by those who waited behind.

mod wire;

use std::time::Duration;

use ort::value::DynValue;
use reqwest::{
    Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

use crate::{
    engine::{EngineError, RemoteFault},
    onnx::Outlet,
    remote::{Remote, RemoteOptions},
};
use wire::{About, HEAD, Metadata};

/// An answer is no longer, in bytes: eight windows of a large Whisper, sixty megabytes, would fit as JSON too.
const LONGEST: usize = 256 << 20;
/// What a server says of itself and its models is no longer.
const TOLD: usize = 1 << 20;
/// For so long nobody asks after a run for which nobody was there: those who waited meanwhile have a chance to be served elsewhere.
const PAUSE: Duration = Duration::from_secs(1);

/// One model on one server.
pub(crate) struct Served {
    remote: Remote,
    /// What keeps its connections, with a thread of its own: a connection that the server closes is noticed while no run is under way.
    runtime: Runtime,
    /// As the path names it: `models/NAME`, perhaps with `/versions/N`.
    path: String,
    model: String,
    /// Tensors go as bytes.
    in_bytes: bool,
    /// It is not asked before this, and what is said instead.
    away: Option<(Instant, EngineError)>,
}

impl Served {
    /// Asks a server for its model of this name, `NAME` or `NAME:VERSION`: what it takes, and what it gives.
    pub(crate) fn open(
        engine: &'static str,
        server: &RemoteOptions,
    ) -> Result<(Self, Vec<Outlet>, Vec<Outlet>), EngineError> {
        let remote = Remote::new(engine, server, (AUTHORIZATION, "Bearer "))?;
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("kserve").enable_all().build();
        let runtime = runtime.map_err(|error| EngineError::Load(format!("no thread to ask a server: {error}")))?;
        let path = match server.model.split_once(':') {
            Some((name, version)) => format!("v2/models/{name}/versions/{version}"),
            None => format!("v2/models/{}", server.model),
        };
        let (about, metadata) = runtime.block_on(told(&remote, &path)).map_err(|error| configured(error, server))?;
        let in_bytes = about.has_bytes();
        let served = Self { remote, runtime, path, model: server.model.clone(), in_bytes, away: None };
        let (inputs, outputs) = metadata.outlets();
        if let Some(name) = wire::needs_bytes(&inputs, &outputs).filter(|_| !in_bytes) {
            return Err(EngineError::Load(format!(
                "{} has `{name}` as FP16, which JSON does not carry, and its server takes no tensors as bytes \
                 (binary_tensor_data): serve it with FP32",
                served.name()
            )));
        }
        Ok((served, inputs, outputs))
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        format!("the model `{}` at {}", self.model, self.remote.at())
    }

    /// One run of it.
    pub(crate) fn run(
        &mut self,
        feed: &[(&str, &DynValue)],
        wanted: &[&Outlet],
    ) -> Result<Vec<(String, DynValue)>, EngineError> {
        if let Some((until, error)) = &self.away
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let ran = self.runtime.block_on(self.infer(feed, wanted));
        self.away = match &ran {
            Err(error @ EngineError::Remote { fault: RemoteFault::Down | RemoteFault::Late, .. }) => {
                Some((Instant::now() + PAUSE, error.clone()))
            }
            _ => None,
        };
        ran
    }

    async fn infer(
        &self,
        feed: &[(&str, &DynValue)],
        wanted: &[&Outlet],
    ) -> Result<Vec<(String, DynValue)>, EngineError> {
        let remote = &self.remote;
        let _place = remote.place()?;
        let until = remote.deadline();
        let broken = |says: String| remote.fault(RemoteFault::Broken, says);
        let body = wire::request(feed, wanted, self.in_bytes)
            .map_err(|says| EngineError::Failed { engine: remote.engine(), reason: says })?;
        let request = remote.post(&format!("{}/infer", self.path));
        let request = match body.head {
            Some(head) => request.header(HEAD, head).header(CONTENT_TYPE, "application/octet-stream"),
            None => request.header(CONTENT_TYPE, "application/json"),
        };
        let response = remote.send(request.body(body.bytes), until).await?;
        let head = head(&response).map_err(broken)?;
        let body = remote.body(response, LONGEST, until).await?;
        wire::answer(&body, head, wanted).map_err(broken)
    }
}

/// Where the JSON of an answer ends and its bytes begin; none: all of it is JSON.
fn head(response: &Response) -> Result<Option<usize>, String> {
    let Some(value) = response.headers().get(HEAD) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|length| length.trim().parse().ok());
    length.map(Some).ok_or_else(|| format!("answers with a {HEAD} that is no number"))
}

/// What a server says of itself and of a model that is ready.
async fn told(remote: &Remote, path: &str) -> Result<(About, Metadata), EngineError> {
    let until = remote.deadline();
    let about: About = json(remote, "v2", until).await?;
    let is_ready = async |path: &str| Ok(remote.ask(remote.get(path), until).await?.status().is_success());
    if !is_ready("v2/health/ready").await? {
        return Err(remote.fault(RemoteFault::Busy, "is not ready yet"));
    }
    let metadata = json(remote, path, until).await?;
    if !is_ready(&format!("{path}/ready")).await? {
        return Err(remote.fault(RemoteFault::Busy, "has the model, and it is not ready yet"));
    }
    Ok((about, metadata))
}

async fn json<T: DeserializeOwned>(remote: &Remote, path: &str, until: Instant) -> Result<T, EngineError> {
    let response = remote.send(remote.get(path), until).await?;
    let body = remote.body(response, TOLD, until).await?;
    serde_json::from_slice(&body).map_err(|error| {
        remote.fault(RemoteFault::Broken, format!("answers {path} with what is none of KServe's protocol: {error}"))
    })
}

/// A refusal at the start is a matter of the configuration; a server that is away will be back.
fn configured(error: EngineError, server: &RemoteOptions) -> EngineError {
    match error {
        EngineError::Remote { fault: RemoteFault::Refused | RemoteFault::Unfit, .. } => EngineError::Load(format!(
            "{error}; it was asked for its model `{}`: correct the name, the address or the key",
            server.model
        )),
        error => error,
    }
}
