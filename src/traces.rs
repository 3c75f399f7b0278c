//! Traces by OTLP (OpenTelemetry protocol over HTTP): one a call, in it a span a turn, and in that a span a stage. They hold times, and
//! neither numbers nor words.
//!
//! A span is made when its call or turn is over, with the times that the call log has; a thread of its own sends what has gathered
//! every five seconds. While the collector is away what does not fit its queue is dropped, and the log says so.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan},
};

use crate::{
    config::Telemetry,
    store::{Ending, HangupBy, Key, NewCall, NewTurn, Stamp},
};

/// How long a collector may take for what it is sent, also at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the traces of all calls go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The trace of one call.
#[derive(Debug)]
pub struct CallTrace {
    tracer: SdkTracer,
    parent: SpanContext,
    span: Mutex<SdkSpan>,
}

impl Traces {
    /// Starts the thread that sends, where a collector is configured. `node` tells this Milo from others.
    ///
    /// # Errors
    /// The client for the collector cannot be made.
    pub fn start(telemetry: &Telemetry, node: &str) -> Result<Option<Self>> {
        let Some(endpoint) = &telemetry.otlp_endpoint else { return Ok(None) };
        // An https collector is spoken to on the same TLS as everybody else.
        tokio_rustls::rustls::crypto::ring::default_provider().install_default().ok();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .context("traces cannot be sent; see [telemetry] otlp_endpoint")?;
        let resource = Resource::builder().with_service_name("milo").with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node.to_owned()),
        ]);
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        let tracer = provider.tracer("milo");
        Ok(Some(Self { provider, tracer }))
    }

    /// A call begins.
    pub(crate) fn call(&self, key: Key, call: &NewCall) -> CallTrace {
        let mut about = vec![
            KeyValue::new("milo.call.id", key.to_string()),
            KeyValue::new("milo.call.direction", if call.incoming { "in" } else { "out" }),
        ];
        about.extend(call.dialplan.clone().map(|plan| KeyValue::new("milo.dialplan", plan)));
        let kind = if call.incoming { SpanKind::Server } else { SpanKind::Client };
        let builder = self.tracer.span_builder("call").with_kind(kind).with_start_time(time(call.started));
        let span = self.tracer.build_with_context(builder.with_attributes(about), &Context::new());
        CallTrace { tracer: self.tracer.clone(), parent: span.span_context().clone(), span: Mutex::new(span) }
    }

    /// Sends what has gathered, and ends the thread. Blocks for five seconds at most.
    pub fn end(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

impl CallTrace {
    fn with(&self, change: impl FnOnce(&mut SdkSpan)) {
        change(&mut self.span.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The call was answered.
    pub(crate) fn answered(&self, at: Stamp) {
        self.with(|span| span.add_event_with_timestamp("answered", time(at), Vec::new()));
    }

    /// Something happened.
    pub(crate) fn event(&self, at: Stamp, kind: &str) {
        self.with(|span| span.add_event_with_timestamp(kind.to_owned(), time(at), Vec::new()));
    }

    /// A turn is over: its stages follow one another from the moment that the caller had finished.
    pub(crate) fn turn(&self, number: i32, turn: &NewTurn) {
        let began = time(turn.at);
        let mut about = vec![
            KeyValue::new("milo.turn", i64::from(number)),
            KeyValue::new("milo.turn.interrupted", turn.interrupted),
        ];
        about.extend(turn.language.clone().map(|language| KeyValue::new("milo.language", language)));
        about.extend(turn.mode.clone().map(|mode| KeyValue::new("milo.mode", mode)));
        about.extend(turn.confidence.map(|sure| KeyValue::new("milo.stt.confidence", sure)));
        let within = Context::new().with_remote_span_context(self.parent.clone());
        let builder = self.tracer.span_builder("turn").with_start_time(began).with_attributes(about);
        let mut span = self.tracer.build_with_context(builder, &within);
        let within = Context::new().with_remote_span_context(span.span_context().clone());
        let mut reached = began;
        for (stage, ms) in turn.stages.named().into_iter().filter(|(stage, _)| *stage != "total") {
            let Some(ms) = ms.filter(|ms| ms.is_finite() && *ms >= 0.0) else { continue };
            let builder = self.tracer.span_builder(stage).with_start_time(reached);
            reached += Duration::from_secs_f64(ms / 1e3);
            self.tracer.build_with_context(builder, &within).end_with_timestamp(reached);
        }
        span.end_with_timestamp(reached);
    }

    /// The call is over.
    pub(crate) fn end(&self, ending: &Ending) {
        self.with(|span| {
            span.set_attribute(KeyValue::new("milo.call.hangup_by", ending.by.as_str()));
            if let Some((outcome, sip_status)) = &ending.outcome {
                span.set_attribute(KeyValue::new("milo.call.outcome", outcome.as_str()));
                if let Some(status) = sip_status {
                    span.set_attribute(KeyValue::new("sip.status", i64::from(*status)));
                }
            }
            if ending.by == HangupBy::Network {
                span.set_status(Status::error("the call was lost"));
            }
            span.end_with_timestamp(time(ending.at));
        });
    }
}

fn time(stamp: Stamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(stamp.millis()).unwrap_or_default())
}
