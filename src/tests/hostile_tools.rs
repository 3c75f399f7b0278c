//! What a model would have its tools do, and what programs answer, that should not be taken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    hosted::server::{Conduct, Server},
    house::{answered, call, errand, folder, newest_call, stop},
    tools::{lent, results, with_files},
    webhooks::request,
};

/// A program that answers each request with these bytes; how often it was asked.
async fn program(answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (port, asked) = (listener.local_addr().expect("an address").port(), Arc::<AtomicUsize>::default());
    let (counted, answer) = (Arc::clone(&asked), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (counted, answer) = (Arc::clone(&counted), Arc::clone(&answer));
            tokio::spawn(async move {
                if request(&mut stream).await.is_some() {
                    counted.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(&answer()).await.ok();
                    stream.shutdown().await.ok();
                }
            });
        }
    });
    (port, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_leads_elsewhere_or_answers_with_fifty_megabytes_is_told_to_the_model_and_costs_nobody_the_call() {
    const AWAY: &[(&str, &str)] = &[("away", "{}")];
    const LARGE: &[(&str, &str)] = &[("large", "{}")];
    const INJECTED: &[(&str, &str)] = &[("fetch", r#"{"what": "x@169.254.169.254/latest/../?#"}"#)];
    let (inside, seen_inside) = program(|| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()).await;
    let (away, seen_away) = program(move || {
        format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside}/secret\r\nContent-Length: 0\r\n\r\n").into()
    })
    .await;
    let (large, seen_large) = program(|| {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n".to_vec();
        answer.resize(50 << 20, b' ');
        answer
    })
    .await;
    let asks = |port: u16, path: &str| {
        format!(
            "actions = [{{ webhook = {{ url = 'http://127.0.0.1:{port}/{path}', sets = ['price'], seconds = 4 }} }}]"
        )
    };
    // The model writes what the operator's program is told, never whom it is asked of.
    let fetch = format!(
        "takes = [{{ name = 'what' }}]\nactions = [{{ webhook = {{ url = 'http://127.0.0.1:{inside}/by-name', \
         send = ['what'], sets = ['price'], seconds = 4 }} }}]"
    );
    let (away, large) = (asks(away, "away"), asks(large, "large"));
    let tools = [("away", away.as_str()), ("large", large.as_str()), ("fetch", fetch.as_str())];
    let names: Vec<_> = tools.iter().map(|(name, _)| *name).collect();
    let server = Server::start(Conduct::says("Eny.")).await;
    let variables = server.variables("openai");
    let milo = with_files(&folder("hostile-tools"), (&names, &tools), false, &lent(&variables)).await;
    let sorry = || Conduct::says("Miala tsiny.");
    server.then([Conduct::Calls(AWAY), sorry(), Conduct::Calls(LARGE), sorry(), Conduct::Calls(INJECTED), sorry()]);
    call(&errand(milo.udp("milo").expect("an address"), &["mg_price.wav", "mg_hours.wav", "mg_price.wav"])).await;
    let logged = newest_call(&milo).await;
    let asked = server.asked();
    let last = |n: usize| results(&asked[n].body).pop().expect("a result");
    assert!(last(1).contains("redirects are followed nowhere"), "{}", last(1));
    assert!(last(3).starts_with(r#"{"ok": false"#), "{}", last(3));
    let counts = [&seen_away, &seen_large, &seen_inside].map(|seen| seen.load(Ordering::Relaxed));
    assert_eq!(counts, [1, 1, 1], "only what the operator named is asked, once each: {logged}");
    assert_eq!(answered(&logged).len(), 3, "{logged}");
    stop(milo).await;
}
