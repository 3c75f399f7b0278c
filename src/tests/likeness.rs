//! What is known, found by what it means: a server of vectors beside the words, and the words alone when it is gone.

use std::{fs, time::Duration};

use serde_json::Value;
use tokio::time::sleep;

use crate::{
    hosted::server::{Asked, Conduct, Server},
    house::{call, errand, folder, get, newest_call, stop},
    tools::{lent, results, with_files},
};

const KNOW: &[(&str, &str)] = &[("know", r#"{"question": "combien coûte le livre"}"#)];
const TOOL: &str = "takes = [{ name = 'question' }]\ntells = ['found']\n\
                    actions = [{ look_up = { within = 'office', about = '{{question}}', into = 'found', most = 1 } }]";

/// What the server was asked on this path.
fn asked(server: &Server, path: &str) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| asked.uri.path() == path).collect()
}

/// How many texts it has told the vectors of.
fn texts(server: &Server) -> usize {
    let inputs =
        asked(server, "/v1/embeddings").into_iter().map(|asked| asked.body["input"].as_array().map_or(0, Vec::len));
    inputs.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_the_same_is_found_and_each_text_is_asked_about_once() {
    let server = Server::start(Conduct::says("Eny.")).await;
    let at = folder("likeness");
    let known = at.join("plans/knowledge/office");
    fs::create_dir_all(&known).expect("a folder");
    fs::write(known.join("prices.csv"), "zavatra,vidiny\nboky,7000\nmofo,600\n").expect("written");
    let url = format!("{}/v1", server.url);
    let vectors = [("MILO__ENGINES__EMBEDDINGS__URL", url.as_str()), ("MILO__ENGINES__EMBEDDINGS__MODEL", "vectors")];
    let variables = server.variables("openai");
    let milo =
        with_files(&at, (&["know"], &[("know", TOOL)]), false, &[&lent(&variables)[..], &vectors].concat()).await;
    let servers = get(&milo, "/api/v1/health")["servers"].clone();
    assert!(servers.as_array().is_some_and(|all| all.iter().any(|one| one["job"] == "embeddings")), "{servers}");
    let learnt = async |count: usize| {
        for _ in 0..300 {
            if texts(&server) >= count {
                // What it has told is known a moment later.
                return sleep(Duration::from_secs(1)).await;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{} texts were asked about, not {count}", texts(&server));
    };
    let found = async || {
        server.then([Conduct::Calls(KNOW), Conduct::says("Eny tompoko.")]);
        call(&errand(milo.udp("milo").expect("an address"), &["mg_price.wav"])).await;
        let logged = newest_call(&milo).await;
        let replies = asked(&server, "/v1/chat/completions");
        (results(&replies.last().expect("a request").body), logged)
    };
    // No word of the question is there.
    learnt(2).await;
    let (told, logged) = found().await;
    assert_eq!(told, [r#"{"found": "zavatra: boky; vidiny: 7000"}"#], "{logged}");
    let first = &asked(&server, "/v1/embeddings")[0];
    assert_eq!((&first.body["model"], first.body["input"].as_array().map(Vec::len)), (&"vectors".into(), Some(2)));
    assert_eq!(texts(&server), 3, "two pieces and one question");
    // A row more is one text more: the others are known.
    fs::write(known.join("prices.csv"), "zavatra,vidiny\nboky,7000\nmofo,600\nvary,3000\n").expect("written");
    learnt(4).await;
    assert_eq!(
        asked(&server, "/v1/embeddings").last().expect("one").body["input"],
        Value::from(vec!["zavatra: vary; vidiny: 3000"])
    );
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_alone_find_when_the_server_is_not_there() {
    let server = Server::start(Conduct::says("Eny.")).await;
    let at = folder("likeness-gone");
    let known = at.join("plans/knowledge/office");
    fs::create_dir_all(&known).expect("a folder");
    fs::write(known.join("prices.csv"), "zavatra,vidiny\nlivre,7000\nmofo,600\n").expect("written");
    // Nobody listens there.
    let gone =
        [("MILO__ENGINES__EMBEDDINGS__URL", "http://127.0.0.1:9/v1"), ("MILO__ENGINES__EMBEDDINGS__MODEL", "vectors")];
    let variables = server.variables("openai");
    let milo = with_files(&at, (&["know"], &[("know", TOOL)]), false, &[&lent(&variables)[..], &gone].concat()).await;
    server.then([Conduct::Calls(KNOW), Conduct::says("Eny tompoko.")]);
    call(&errand(milo.udp("milo").expect("an address"), &["mg_price.wav"])).await;
    let logged = newest_call(&milo).await;
    let told = results(&server.asked().last().expect("a request").body);
    assert_eq!(told, [r#"{"found": "zavatra: livre; vidiny: 7000"}"#], "{logged}");
    stop(milo).await;
}
