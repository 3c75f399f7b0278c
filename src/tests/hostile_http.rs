//! What a client may send over HTTP to do harm, where schemathesis does not come: each is refused with the right status and a
//! sentence, and the log keeps keys to itself.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use milo::bench::Running;
use serde_json::{Value, json};

use crate::house::{PROGRAM, call, errand, folder, recording, send, stop};

const KEY: &str = "0123456789abcdef-that-is-secret";

/// A Milo that logs all it can into a file.
async fn talkative(name: &str) -> (Running, std::path::PathBuf) {
    let folder = folder(name);
    let (script, log) = (folder.join("milo.sh"), folder.join("log"));
    fs::write(&script, format!("#!/bin/sh\nexec {PROGRAM} \"$@\" 2> {}\n", log.display())).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script");
    let milo = Running::start(&script, &folder, &[("API_KEY", KEY), ("LOG_LEVEL", "debug")]).await;
    (milo.expect("Milo starts"), log)
}

/// Status and body of a request with these lines in its head, whatever bytes they are.
fn raw(milo: &Running, line: &str, head: &[&[u8]], body: &[u8]) -> (u16, String) {
    let host = milo.http.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let length = body.len();
    let mut request =
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n").into_bytes();
    for field in head {
        request.extend([*field, b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    stream.write_all(&request).expect("it is taken");
    // A body that is refused before it has come in whole may be sent in vain.
    stream.write_all(body).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: {answer:?}"));
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

fn bearer() -> String {
    format!("Authorization: Bearer {KEY}")
}

fn posted(milo: &Running, path: &str, body: &[u8]) -> (u16, String) {
    raw(milo, &format!("POST {path}"), &[bearer().as_bytes(), b"Content-Type: application/json"], body)
}

fn got(milo: &Running, path: &str) -> (u16, String) {
    raw(milo, &format!("GET {path}"), &[bearer().as_bytes()], b"")
}

/// The sentence of a problem, in either shape.
fn sentence(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let says = problem["detail"].as_str().or_else(|| problem["error"]["message"].as_str());
    says.unwrap_or_else(|| panic!("no problem: {body:?}")).to_owned()
}

fn assert_refused(what: &str, (status, body): (u16, String), expected: u16, says: &str) {
    let told = sentence(&body);
    assert!(status == expected && told.contains(says), "{what}: {status} {told:?}, not {expected} {says:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_addresses_and_keys_that_are_meant_to_harm_are_refused_and_no_key_is_logged() {
    let (milo, log) = talkative("hostile").await;
    let key = bearer();
    let deep = [&br#"{"message": "#[..], &b"[".repeat(10_000), b"}"].concat();
    for path in [
        "/api/v1/chat",
        "/api/v1/keys",
        "/api/v1/dialplans/test",
        "/api/v1/calls",
        "/api/v1/stt",
        "/v1/chat/completions",
    ] {
        let (status, body) = posted(&milo, path, &b"[".repeat(10_000));
        assert!([400, 422].contains(&status) && !sentence(&body).is_empty(), "{path}: {status} {body}");
        let (status, body) = posted(&milo, path, &deep);
        assert!([400, 422].contains(&status) && !sentence(&body).is_empty(), "{path}: {status} {body}");
        assert_refused(path, posted(&milo, path, b"{"), 400, "EOF");
        let (status, _) =
            raw(&milo, &format!("POST {path}"), &[bearer().as_bytes(), b"Content-Type: text/plain"], b"{}");
        assert_eq!(status, 415, "{path}");
        // A few kilobytes that would become 64 MB.
        let packed = Command::new("sh").args(["-c", "head -c 64M /dev/zero | gzip -9"]).output().expect("gzip").stdout;
        let head: &[&[u8]] = &[key.as_bytes(), b"Content-Type: application/json", b"Content-Encoding: gzip"];
        assert_refused(path, raw(&milo, &format!("POST {path}"), head, &packed), 415, "without Content-Encoding");
    }
    assert_refused(
        "twice",
        posted(&milo, "/api/v1/chat", br#"{"message": "a", "message": "b"}"#),
        422,
        "duplicate field",
    );
    assert_refused("NUL", posted(&milo, "/api/v1/chat", br#"{"message": "\u0000"}"#), 422, "");
    assert_refused("a lone surrogate", posted(&milo, "/api/v1/chat", br#"{"message": "\ud800"}"#), 400, "");
    assert_refused("no UTF-8", posted(&milo, "/api/v1/chat", b"{\"message\": \"\xff\"}"), 400, "");
    assert_refused("large", posted(&milo, "/api/v1/chat", &vec![b' '; 3 << 20]), 413, "2 MB");
    assert_refused("larger", posted(&milo, "/api/v1/stt", &vec![b' '; 26 << 20]), 413, "25 MB");

    for id in ["..%2f..%2f..%2fetc%2fpasswd", "%00", "1%27%20OR%201=1", "a%0d%0aX-Injected:%201", "%e2%80%ae"] {
        for path in ["/api/v1/calls/", "/api/v1/sessions/", "/api/v1/messages/", "/v1/models/", "/docs/"] {
            assert_refused(id, got(&milo, &format!("{path}{id}")), 404, "");
        }
    }
    assert_refused("no UTF-8", got(&milo, "/api/v1/calls/%ff%fe"), 400, "UTF-8");
    assert_eq!(got(&milo, "/docs/../../etc/passwd").0, 404);

    // A call is in the log, and no trick of SQL finds or harms it.
    call(&errand(milo.udp("echo").expect("an address"), &[])).await;
    for query in [
        "number=%27%20OR%20%271%27=%271",
        "number=%25",
        "number=%5f%25",
        "dialplan=echo%27--",
        "text=x%27);DROP%20TABLE%20calls;--",
    ] {
        let (status, body) = got(&milo, &format!("/api/v1/calls?{query}"));
        let page: Value = serde_json::from_str(&body).expect("JSON");
        assert!(status == 200 && page["calls"] == json!([]), "{query}: {status} {body}");
    }
    for query in ["number=%00", "text=%00", "cursor=%27", "number=1&number=2", "nmber=1"] {
        assert_refused(query, got(&milo, &format!("/api/v1/calls?{query}")), 400, "");
    }
    let (_, body) = got(&milo, "/api/v1/calls");
    assert!(body.contains("\"dialplan\":\"echo\""), "{body}");

    // Keys that are cut, lengthened, doubled, no text, or over.
    let with =
        |value: &[u8]| raw(&milo, "GET /api/v1/calls", &[[&b"Authorization: "[..], value].concat().as_slice()], b"");
    for wrong in [&KEY[..KEY.len() - 1], &format!("{KEY}x"), &format!("{KEY} {KEY}"), "milo_", "milo_x"] {
        let (status, body) = with(format!("Bearer {wrong}").as_bytes());
        assert!(status == 401 && !sentence(&body).contains(KEY), "{wrong}: {status} {body}");
    }
    for wrong in ["Bearer clé".as_bytes(), b"Bearer \xff\xfe"] {
        assert_refused("no text", with(wrong), 401, "key");
    }
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3)).to_string();
    let made = send(
        &milo,
        ("POST", "/api/v1/keys"),
        &[&bearer()],
        &json!({ "name": "short", "scopes": ["read"], "expires_at": soon }),
    );
    let short = made.body["key"].as_str().expect("a key").to_owned();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_refused("expired", with(format!("Bearer {short}").as_bytes()), 401, "expired");
    let field = [&b"Idempotency-Key: "[..], "clé".as_bytes()].concat();
    let head: &[&[u8]] = &[key.as_bytes(), b"Content-Type: application/json", &field];
    assert_refused("unicode", raw(&milo, "POST /api/v1/calls", head, br#"{"to": "034"}"#), 400, "plain text");

    let logged = fs::read_to_string(&log).expect("the log");
    assert!(logged.matches("answered").count() > 50, "{logged}");
    for secret in [KEY, &short] {
        assert!(!logged.contains(secret) && !logged.contains(&secret[..secret.len() - 1]), "a key is in the log");
    }
    stop(milo).await;
}

/// A WAV file whose head says these things.
fn wav(rate: u32, channels: u16, bits: u16, says: u32, samples: &[u8]) -> Vec<u8> {
    let block = channels.wrapping_mul(bits / 8);
    let mut file = b"RIFF".to_vec();
    file.extend(says.wrapping_add(36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend([channels.to_le_bytes()].as_flattened());
    file.extend([rate.to_le_bytes(), rate.wrapping_mul(u32::from(block)).to_le_bytes()].as_flattened());
    file.extend([block.to_le_bytes(), bits.to_le_bytes()].as_flattened());
    file.extend(b"data");
    file.extend(says.to_le_bytes());
    file.extend(samples);
    file
}

fn converted(folder: &Path, name: &str) -> Vec<u8> {
    let file = folder.join(name);
    let ran = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(recording("mg_hours.wav"))
        .arg(&file)
        .output()
        .expect("ffmpeg");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    fs::read(file).expect("a sound file")
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_lies_about_itself_is_read_as_far_as_it_goes_or_refused() {
    let (milo, _) = talkative("lying").await;
    let files = folder("lying-files");
    let honest = fs::read(recording("mg_hours.wav")).expect("the recording");
    let (ogg, mp3, mut flac) = (converted(&files, "a.ogg"), converted(&files, "a.mp3"), converted(&files, "a.flac"));
    let halves = [
        ("half an Ogg", &ogg[..ogg.len() / 2]),
        ("half an MP3", &mp3[..mp3.len() / 2]),
        ("half a FLAC", &flac[..flac.len() / 2]),
    ];
    let mut lies: Vec<(&str, Vec<u8>)> = halves.map(|(what, file)| (what, file.to_vec())).into();
    // STREAMINFO (RFC 9639 section 8.2): the low 36 bits from byte 21 of the file are how many samples there are.
    flac[21] |= 0x0f;
    flac[22..26].fill(0xff);
    lies.extend([
        ("a FLAC of 2^36 samples", flac),
        ("a WAV of 4 GB with 100 bytes", wav(16_000, 1, 16, u32::MAX - 36, &[0; 100])),
        ("a WAV of no rate", wav(0, 1, 16, 100, &[0; 100])),
        ("a WAV of one sample a second", wav(1, 1, 16, 20_000, &[0; 20_000])),
        ("a WAV of 4 GHz", wav(u32::MAX, 1, 16, 100, &[0; 100])),
        ("a WAV of 65535 channels", wav(16_000, u16::MAX, 16, 100, &[0; 100])),
        ("a WAV of no channel", wav(16_000, 0, 16, 100, &[0; 100])),
        ("a WAV of no bits", wav(16_000, 1, 0, 100, &[0; 100])),
        ("a WAV without samples", wav(16_000, 1, 16, 0, &[])),
        ("the beginning of a WAV", honest[..20].to_vec()),
        ("an Ogg's first page", ogg[..28].to_vec()),
        ("zeros", vec![0; 100_000]),
    ]);
    for (what, file) in lies {
        let (status, body) =
            posted(&milo, "/api/v1/stt", json!({ "audio": STANDARD.encode(&file) }).to_string().as_bytes());
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        // No more sound than there is: the recording lasts some seconds.
        let right = match status {
            200 => answer["duration_ms"].as_u64().is_some_and(|ms| ms < 10_000),
            _ => status == 422 && !sentence(&body).is_empty(),
        };
        assert!(right, "{what}: {status} {body}");
    }
    let audio = STANDARD.encode(&honest);
    let (status, body) =
        posted(&milo, "/api/v1/stt", json!({ "audio": audio, "language": "mg" }).to_string().as_bytes());
    assert_eq!(status, 200, "{body}");
    fs::remove_dir_all(files).ok();
    stop(milo).await;
}
