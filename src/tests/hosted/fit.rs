//! Replies that are at their longest.

use serde_json::{Value, json};

use super::{WORDS, asking, chat};
use crate::{
    hosted::server::{Conduct, Server},
    house::{Answer, send, stop},
};
use milo::bench::Running;

fn complete(milo: &Running, max_tokens: usize) -> Answer {
    let body =
        json!({ "model": "demo", "messages": [{ "role": "user", "content": "salama" }], "max_tokens": max_tokens });
    send(milo, ("POST", "/v1/chat/completions"), &[], &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_at_its_longest_is_told_to_be_and_half_a_translation_is_none() {
    for engine in ["anthropic", "openai"] {
        let server = Server::start(Conduct::Longest(WORDS)).await;
        let milo = asking("longest", &server, engine, &[]).await;
        let finish = || complete(&milo, 4).body["choices"][0]["finish_reason"].clone();
        let translate = || {
            send(
                &milo,
                ("POST", "/api/v1/translate"),
                &[],
                &json!({ "text": "Bonjour", "source": "fr", "target": "mg" }),
            )
        };
        let (_, answer) = chat(&milo, &json!({ "message": "salama" }));
        assert_eq!((&answer["reply"], &answer["cut"]), (&WORDS.into(), &true.into()), "{engine}: {answer}");
        assert_eq!(complete(&milo, 400).body["choices"][0]["finish_reason"], "length", "{engine}");
        let half = translate();
        assert!(
            half.status == 422 && half.body["detail"].as_str().is_some_and(|says| says.contains("shorter")),
            "{half:?}"
        );

        // More pieces than tokens were allowed; a server's piece is no token, and the server says that it has ended.
        server.now(Conduct::says(WORDS));
        assert_eq!(
            (finish(), chat(&milo, &json!({ "message": "salama" })).1["cut"].clone()),
            ("stop".into(), false.into()),
            "{engine}"
        );
        let whole = translate();
        assert_eq!((whole.status, &whole.body["translation"]), (200, &Value::from(WORDS)), "half of it was not kept");
        stop(milo).await;
    }
}
