//! A browser's end of a call, by `aiortc` (webrtc_client.py): another program, which can be killed.

#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]

use std::{path::Path, process::Stdio, time::Duration};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{house::recording, openai::packages};

const SOON: Duration = Duration::from_secs(40);

/// A running one.
pub struct Browser {
    program: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// All that it has told.
    pub seen: Vec<Value>,
}

impl Browser {
    /// Posts an offer to this address of Milo's.
    pub fn open(milo: &Running, path: &str, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/webrtc_client.py");
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
        python.arg(format!("{}{path}", milo.http.trim_end_matches('/'))).args(more);
        let mut program =
            python.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("python3");
        let orders = program.stdin.take().expect("it is piped");
        let lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
        Self { program, orders, lines, seen: Vec::new() }
    }

    /// One whose call is up.
    pub async fn call(milo: &Running, path: &str, more: &[&str]) -> Self {
        let mut browser = Self::open(milo, path, more);
        browser.until("connected", |_| true).await;
        browser
    }

    /// What it has told, or tells, for which this holds.
    pub async fn until(&mut self, event: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let is_it = |told: &Value| told["event"] == event && is_it(told);
        if let Some(told) = self.seen.iter().find(|told| is_it(told)) {
            return told.clone();
        }
        loop {
            let line = timeout(SOON, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{event} did not come: {:?}", self.seen));
            let Ok(Some(line)) = line else { panic!("{event} did not come before the end: {:?}", self.seen) };
            let told: Value = serde_json::from_str(&line).expect("JSON");
            self.seen.push(told.clone());
            if is_it(&told) {
                return told;
            }
        }
    }

    /// The message of this type, by the data channel, for which this holds.
    pub async fn message(&mut self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let told = self.until("message", |told| told["message"]["type"] == kind && is_it(&told["message"])).await;
        told["message"].clone()
    }

    /// All messages of this type so far.
    pub fn messages(&self, kind: &str) -> Vec<Value> {
        let all = self.seen.iter().map(|told| told["message"].clone());
        all.filter(|message| message["type"] == kind).collect()
    }

    async fn order(&mut self, order: &Value) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("it listens");
    }

    /// Says a recording, and waits until it is said.
    pub async fn say(&mut self, name: &str) {
        self.seen.retain(|told| told["event"] != "said");
        self.order(&json!({ "do": "say", "wav": recording(name) })).await;
        self.until("said", |_| true).await;
    }

    pub async fn send(&mut self, message: &str) {
        self.order(&json!({ "do": "send", "text": message })).await;
    }

    /// Loud samples that were heard since the last question, of 16 kHz.
    pub async fn loud(&mut self) -> u64 {
        self.levels().await["loud"].as_u64().expect("a number")
    }

    /// The same, with how many there were, and when the first loud one came, in milliseconds after the offer.
    pub async fn levels(&mut self) -> Value {
        self.seen.retain(|told| told["event"] != "levels");
        self.order(&json!({ "do": "levels" })).await;
        self.until("levels", |_| true).await
    }

    /// Leaves as a page does.
    pub async fn close(mut self) {
        self.order(&json!({ "do": "close" })).await;
        timeout(SOON, self.program.wait()).await.expect("in time").expect("it ends");
    }

    /// Is gone from one moment to the next.
    pub async fn kill(mut self) {
        self.program.kill().await.expect("it was there");
    }
}
