//! HTTP: the web application, the API and the metrics. One resource a file; [`router`] merges them.
//!
//! ```text
//! connection ─► heads within 10 s ─► cors, compression ─► around: request id, time limit, security headers, counted
//!                                      └─► pace: who asks, and how often
//!                                      └─► /, /calls …       page.rs
//!                                          /docs, /redoc     reference.rs, document/
//!                                          /healthz …        health.rs
//!                                          /metrics          metrics_page.rs ─┐ guard.rs: this machine,
//!                                          /api/v1/calls…    calls.rs         │ or a key with the scope
//!                                          /api/v1/keys…     keys.rs, sign_in.rs
//!                                          …/audit, config   audit.rs, …      │
//!                                          /api/v1/bans…     bans.rs          │
//!                                          …/{id}/sip       sip/             │
//!                                          …/{id}/recording sound.rs         │
//!                                          …/{id}/audio     supervision/     │ WebSockets
//!                                          …/{id}/takeover                   │
//!                                                           place.rs         │
//!                                          /api/v1/campaigns campaigns.rs …  │
//!                                          /api/v1/messages  messages.rs      │
//!                                          /api/v1/dialplans dialplans.rs     │
//!                                          …/registrations   registrations.rs │
//!                                          /api/v1/queues    queues.rs        │
//!                                          /api/v1/requests  requests.rs      │
//!                                          /api/v1/trunks    trunks.rs        │
//!                                          /api/v1/webhooks  webhooks.rs      │
//!                                          /api/v1/feedback  feedback.rs      │
//!                                          /api/v1/chat, tts, stt, translate  │  chat.rs, tts.rs, stt.rs, …
//!                                          /api/v1/batch…    batch.rs         │
//!                                          /api/v1/engines   engines.rs       │
//!                                          …/conversation    conversation/    │ a WebSocket: socket.rs
//!                                          …/webrtc…         whip/            │ WHIP: the calls of browsers
//!                                          /api/v1/tickets   tickets.rs       │
//!                                          /v1/…             openai/         ─┘
//! ```
//! A new resource: one file whose `routes()` is an [`OpenApiRouter`] of `routes!(…)`, each handler under `#[utoipa::path(…)]` (so no
//! route is without its description), and one `.merge(…)` in `described` or, where it needs the engines, in `described_text`.
//! Its own answers are described there; those that many routes give (401, 403, 429, what a body may be refused for) are added by
//! `document/`. A body is a struct with `utoipa::ToSchema`: `#[schema(as = …)]` where its name is not the only one of its kind, and
//! `#[schema(example = …)]` on each text, from which the examples are made. Then write `document/openapi.json` anew.
//!
//! Whatever goes wrong is a problem body (RFC 9457) whose `detail` is a sentence.

mod around;
mod audit;
mod bans;
mod batch;
mod calls;
mod campaign_numbers;
mod campaign_results;
mod campaigns;
mod chat;
mod configuration;
mod connection;
mod conversation;
mod cors;
mod dialplans;
mod do_not_call;
mod document;
mod engines;
mod export;
mod feedback;
mod forget;
mod guard;
mod health;
mod keys;
mod linger;
mod memories;
mod messages;
mod metrics_page;
mod named;
mod openai;
mod pace;
mod page;
mod paging;
mod place;
mod problem;
mod prompt;
mod queues;
mod reference;
mod registrations;
mod requests;
mod rest;
mod search;
mod serve;
mod sign_in;
mod sip;
mod socket;
mod sound;
mod streams;
mod stt;
mod supervision;
#[cfg(test)]
mod tests;
mod text;
mod tickets;
mod translate;
mod trunks;
mod tts;
mod unstalled;
mod webhooks;
mod whip;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use milo_signaling::{Caller, webrtc::WebRtc};
use serde_json::Value;
use tower::util::option_layer;
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    cors::CorsLayer,
};
use utoipa_axum::router::OpenApiRouter;

pub use health::{Dial, HealthReport, SipCounters};
pub use serve::{bind, certificate, serve};

use crate::{
    accounts::Accounts,
    batch::Batches,
    call::{CallsOut, Live, SipSeen, WebCalls, recordings_folder},
    campaign::Campaigns,
    chat::Chats,
    config::Config,
    dialplan::Editions,
    keys::{Keys, Tickets},
    metrics::Metrics,
    redis::Redis,
    store::{LogWriter, Store},
    texts::Texts,
};
use pace::Pace;
use problem::Problem;

/// How long a look into the log waits for rows that are on their way.
const WRITTEN: Duration = Duration::from_millis(250);

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    store: Store,
    editions: Editions,
    log: LogWriter,
    live: Arc<Live>,
    sip: Arc<SipSeen>,
    accounts: Arc<Accounts>,
    caller: Caller,
    calls_out: CallsOut,
    texts: Texts,
    campaigns: Campaigns,
    metrics: Arc<Metrics>,
    health: Arc<dyn Fn() -> HealthReport + Send + Sync>,
    keys: Arc<Keys>,
    pace: Arc<Pace>,
    configuration: Arc<Value>,
    /// Where recordings lie.
    recordings: PathBuf,
    show_metrics: bool,
    cors: Option<CorsLayer>,
    /// The pages from elsewhere that may open WebSockets.
    origins: Arc<[String]>,
    tickets: Arc<Tickets>,
}

impl AppState {
    /// `health` takes a snapshot of the running parts whenever somebody asks; it must not wait for anything.
    pub fn new(
        config: &Config,
        ((store, redis), keys, editions): ((Store, Option<Redis>), Arc<Keys>, Editions),
        log: LogWriter,
        (live, sip, accounts, caller): (Arc<Live>, Arc<SipSeen>, Arc<Accounts>, Caller),
        (calls_out, texts, campaigns): (CallsOut, Texts, Campaigns),
        metrics: Arc<Metrics>,
        health: impl Fn() -> HealthReport + Send + Sync + 'static,
    ) -> Self {
        let tickets = Arc::new(Tickets::new(redis.clone()));
        Self {
            store,
            editions,
            log,
            live,
            sip,
            accounts,
            caller,
            calls_out,
            texts,
            campaigns,
            metrics,
            health: Arc::new(health),
            keys,
            pace: Arc::new(Pace::new(config.rate_limits.clone(), redis)),
            configuration: Arc::new(serde_json::to_value(config).unwrap_or_default()),
            recordings: recordings_folder(config),
            show_metrics: config.http.metrics,
            cors: cors::layer(&config.http.cors_origins),
            origins: config.http.cors_origins.clone().into(),
            tickets,
        }
    }
}

impl AppState {
    /// Waits until what calls have handed to the log is in the database, a moment at most: whoever looks after a call finds it.
    async fn written(&self) {
        if self.log.state().fault.is_none() {
            self.log.flush(WRITTEN).await;
        }
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The routes that need no engine.
fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .merge(health::routes())
        .merge(metrics_page::routes())
        .merge(audit::routes())
        .merge(calls::routes())
        .merge(campaigns::routes())
        .merge(campaign_numbers::routes())
        .merge(campaign_results::routes())
        .merge(do_not_call::routes())
        .merge(configuration::routes())
        .merge(export::routes())
        .merge(feedback::routes())
        .merge(forget::routes())
        .merge(keys::routes())
        .merge(bans::routes())
        .merge(registrations::routes())
        .merge(sign_in::routes())
        .merge(sip::routes())
        .merge(sound::routes())
        .merge(place::routes())
        .merge(prompt::routes())
        .merge(memories::routes())
        .merge(messages::routes())
        .merge(queues::routes())
        .merge(requests::routes())
        .merge(trunks::routes())
        .merge(webhooks::routes())
        .merge(dialplans::routes())
}

/// The routes that speak to engines, and those that lead to them.
fn described_text() -> OpenApiRouter<text::Text> {
    OpenApiRouter::default()
        .merge(chat::routes())
        .merge(tts::routes())
        .merge(stt::routes())
        .merge(translate::routes())
        .merge(batch::routes())
        .merge(conversation::routes())
        .merge(supervision::routes())
        .merge(tickets::routes())
        .merge(whip::routes())
        .merge(engines::routes())
        .merge(openai::routes())
}

/// Everything that answers over HTTP; `chats` answer by text, and batches are done by them, where there are engines.
pub fn router(state: AppState, chats: Option<(Chats, Batches, (WebCalls, Option<WebRtc>))>) -> Router {
    let (routes, mut gathered) = described().split_for_parts();
    let (text, more) = described_text().split_for_parts();
    gathered.merge(more);
    let text = chats.map(|(chats, batches, (web, webrtc))| {
        let (app, peers) = (state.clone(), Arc::new(whip::Peers::new(state.metrics.webrtc_resources())));
        text.with_state(text::Text { app, chats, batches, web, webrtc, peers })
    });
    routes
        .merge(page::routes())
        .with_state(state.clone())
        .merge(reference::routes(&document::document(&gathered)))
        .merge(text.unwrap_or_default())
        .fallback(page::nothing)
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn(around::plain))
        .layer(DefaultBodyLimit::max(around::LARGEST_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), pace::pace))
        .layer(middleware::from_fn_with_state(state.clone(), around::around))
        .layer(middleware::from_fn(openai::in_its_shape))
        .layer(CompressionLayer::new().compress_when(worth_it()))
        .layer(option_layer(state.cors))
}

/// What gets smaller by compression, and does not come piece by piece.
fn worth_it() -> impl Predicate {
    SizeAbove::new(512)
        .and(NotForContentType::const_new("audio/"))
        .and(NotForContentType::const_new("image/"))
        .and(NotForContentType::const_new("application/octet-stream"))
        .and(NotForContentType::SSE)
}
