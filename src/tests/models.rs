//! `milo models` against a server in Hugging Face's form, on loopback: what breaks off goes on, what is damaged is thrown away, and
//! what cannot be had is named.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
};

use ring::digest::{SHA256, digest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::house::{PROGRAM, alone, folder};

/// The only file of `smart-turn-v3`, below the server's address.
const TURN: &str = "/pipecat-ai/smart-turn-v3/resolve/main/smart-turn-v3.2-cpu.onnx";
const NAME: &str = "smart-turn-v3";
const COMMIT: &str = "f766f81d3cfdf7737ac64aad813d91bbfd56bf93";
const TOKEN: &str = "hf_of_a_scenario";
/// More than what a connection buffers, and less than what counts as much.
const SIZE: usize = 700_000;

/// What the server does; where it counts, it goes on as it should afterwards.
#[derive(Clone, Debug)]
enum Conduct {
    /// Sends the file in parts as asked, the head of it by way of a redirect.
    Whole,
    /// Hangs up in the middle of what is left, so often.
    Cuts(u32),
    /// Sends a changed byte, so often.
    Corrupts(u32),
    /// Answers with this status, so often.
    Answers(u16, u32),
    /// Says that the file has so many bytes.
    Claims(u64),
    /// Sends to this address.
    Sends(String),
}

struct Hub {
    address: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    files: HashMap<String, Vec<u8>>,
    conduct: Conduct,
    heads: Vec<String>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hub {
    async fn start(files: &[(&str, &[u8])], conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let files = files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
        let state = Arc::new(Mutex::new(State { files, conduct, heads: Vec::new() }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state, task }
    }

    fn now(&self, conduct: Conduct) {
        let mut state = self.state.lock().expect("no panic");
        state.conduct = conduct;
        state.heads.clear();
    }

    /// The heads of the requests since then.
    fn heads(&self) -> Vec<String> {
        self.state.lock().expect("no panic").heads.clone()
    }

    /// `milo models …` with this server.
    fn milo(&self, folder: &Path, arguments: &[&str]) -> Said {
        models(folder, arguments, &[("HF_ENDPOINT", &self.address), ("HF_TOKEN", TOKEN)])
    }
}

/// One request a connection.
async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let (mut head, mut byte) = (Vec::new(), [0; 1_024]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(read @ 1..) => head.extend_from_slice(&byte[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (reply, is_cut) = reply(&head, &mut state.lock().expect("no panic"));
    stream.write_all(&reply).await.ok();
    if is_cut {
        // Dropped as it is: nothing says that this was the end.
        return;
    }
    stream.shutdown().await.ok();
}

fn reply(head: &str, state: &mut State) -> (Vec<u8>, bool) {
    state.heads.push(head.to_owned());
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let plain = |line: &str| (format!("HTTP/1.1 {line}\r\nconnection: close\r\n\r\n").into_bytes(), false);
    let Some(content) = state.files.get(path.trim_start_matches("/cdn")).cloned() else {
        return plain("404 Not Found\r\ncontent-length: 0");
    };
    let version = format!("x-linked-etag: \"{}\"\r\nx-repo-commit: {COMMIT}", sum(&content));
    let is_get = method == "GET";
    match &mut state.conduct {
        Conduct::Answers(status, left @ 1..) => {
            *left -= 1;
            return plain(&format!("{status} So\r\ncontent-length: 0"));
        }
        Conduct::Sends(to) => return plain(&format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0")),
        Conduct::Claims(size) => return plain(&format!("200 OK\r\n{version}\r\ncontent-length: {size}")),
        _ => {}
    }
    if !path.starts_with("/cdn") {
        let size = content.len();
        let to =
            format!("302 Found\r\n{version}\r\nx-linked-size: {size}\r\nlocation: /cdn{path}\r\ncontent-length: 0");
        return plain(&to);
    }
    let from =
        head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let mut rest = content[from..].to_vec();
    let status = match from {
        0 => "200 OK".to_owned(),
        from => format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{}", content.len() - 1, content.len()),
    };
    // As that of a store behind a hub, it is 64 digits and not the sum of the file.
    let tag = format!("etag: \"{}\"", sum(b"another"));
    let head = format!("HTTP/1.1 {status}\r\n{tag}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", rest.len());
    let mut is_cut = false;
    match &mut state.conduct {
        Conduct::Cuts(left @ 1..) if is_get => {
            *left -= 1;
            rest.truncate(rest.len() / 2);
            is_cut = true;
        }
        Conduct::Corrupts(left @ 1..) if is_get => {
            *left -= 1;
            rest[1_000] ^= 1;
        }
        _ => {}
    }
    let body = if is_get { rest } else { Vec::new() };
    ([head.into_bytes(), body].concat(), is_cut)
}

fn sum(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| (n * 7 % 251) as u8).collect()
}

/// What a command said.
struct Said {
    is_right: bool,
    out: String,
    faults: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Self { is_right: output.status.success(), out: text(&output.stdout), faults: text(&output.stderr) };
        assert!(!said.faults.contains("panicked") && !said.faults.contains(TOKEN), "{}", said.faults);
        // No person looks: nothing is drawn.
        assert!(!said.faults.contains('\r') && !said.faults.contains('\x1b'), "{}", said.faults);
        said
    }

    /// It did not do what was asked, and says why with these words.
    fn is_refused(&self, words: &[&str]) {
        assert!(!self.is_right, "{}{}", self.out, self.faults);
        for word in words {
            assert!(self.faults.contains(word), "{word:?} is missing: {}", self.faults);
        }
    }

    /// It did what was asked, and says so with these words.
    fn is_done(&self, words: &[&str]) {
        assert!(self.is_right, "{}{}", self.out, self.faults);
        for word in words {
            assert!(self.out.contains(word), "{word:?} is missing: {}", self.out);
        }
    }
}

fn models(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut milo = alone("timeout", folder);
    milo.args(["120", PROGRAM, "models"]).args(arguments).envs(variables.iter().copied());
    Said::of(&milo.output().expect("the program runs"))
}

/// Where the file of the model lies, whole.
fn whole(folder: &Path) -> PathBuf {
    folder.join("models").join(NAME).join("smart-turn-v3.2-cpu.onnx")
}

/// The bytes from which on files were asked for.
fn ranges(hub: &Hub) -> Vec<usize> {
    let of = |head: &String| {
        let is_get = head.starts_with("GET /cdn");
        let from = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
        is_get.then(|| from.unwrap_or(0))
    };
    hub.heads().iter().filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_comes_is_listed_checked_and_removed() {
    let (folder, content) = (folder("models"), content());
    let hub = Hub::start(&[(TURN, &content)], Conduct::Whole).await;
    hub.milo(&folder, &["list"]).is_done(&["ships   silero-vad", "fetch   smart-turn-v3", "not for commerce"]);
    let pulled = hub.milo(&folder, &["pull", NAME]);
    pulled.is_done(&["smart-turn-v3 is in ", "700 kB, BSD-2-Clause", "[engines.turn]\npath = \""]);
    assert!(pulled.faults.contains("nobody of the project has fetched it"), "{}", pulled.faults);
    assert!(
        pulled.out.contains(&*whole(&folder).canonicalize().expect("it is there").to_string_lossy()),
        "{}",
        pulled.out
    );
    assert_eq!(fs::read(whole(&folder)).expect("the file"), content);
    let manifest = fs::read_to_string(whole(&folder).with_file_name("manifest.toml")).expect("a manifest");
    assert!(manifest.contains(COMMIT) && manifest.contains(&sum(&content)), "{manifest}");
    let beside = fs::read_dir(whole(&folder).parent().expect("a folder")).expect("a folder").count();
    assert_eq!(beside, 2, "nothing is left over");
    assert_eq!(fs::read_dir(folder.join("models")).expect("a folder").count(), 1);

    hub.now(Conduct::Whole);
    hub.milo(&folder, &["pull", NAME]).is_done(&["is in ", "already", "[engines.turn]"]);
    assert!(hub.heads().is_empty(), "what is here is not asked for");
    hub.milo(&folder, &["list"]).is_done(&["here    smart-turn-v3", "fetch   whisper-small"]);
    hub.milo(&folder, &["verify", NAME]).is_done(&["smart-turn-v3.2-cpu.onnx: right"]);

    let mut damaged = content.clone();
    damaged[5] ^= 1;
    fs::write(whole(&folder), damaged).expect("a file");
    let compared = hub.milo(&folder, &["verify"]);
    assert!(!compared.is_right && compared.out.contains(&format!("not {}", sum(&content))), "{}", compared.out);
    // What Milo would load is checked by the same manifest.
    let path = whole(&folder).display().to_string();
    let served = alone("timeout", &folder).args(["60", PROGRAM]).env("MILO__ENGINES__TURN__PATH", &path).output();
    let served = Said::of(&served.expect("the program runs"));
    served.is_refused(&["smart-turn-v3.2-cpu.onnx", "sha256"]);

    models(&folder, &["rm", NAME], &[("MILO__ENGINES__TURN__PATH", &path)]).is_refused(&["engines.turn.path names"]);
    hub.milo(&folder, &["rm", NAME]).is_done(&["smart-turn-v3 is removed"]);
    hub.milo(&folder, &["rm", NAME]).is_refused(&["there is no model smart-turn-v3"]);
    hub.milo(&folder, &["rm", "milo-ears-demo"]).is_refused(&["milo-ears-demo ships with Milo"]);
    hub.milo(&folder, &["verify"]).is_done(&["no model was fetched"]);
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_goes_on_where_it_was() {
    let (folder, content) = (folder("models-cut"), content());
    let hub = Hub::start(&[(TURN, &content)], Conduct::Cuts(2)).await;
    let pulled = hub.milo(&folder, &["pull", NAME]);
    pulled.is_done(&["smart-turn-v3 is in "]);
    assert_eq!(ranges(&hub), [0, SIZE / 2, SIZE * 3 / 4], "{}", pulled.faults);
    assert!(
        pulled.faults.contains("; again in 0.5 s") && pulled.faults.contains("; again in 1 s"),
        "{}",
        pulled.faults
    );
    assert_eq!(fs::read(whole(&folder)).expect("the file"), content);
    hub.milo(&folder, &["rm", NAME]).is_done(&[]);

    // Another pull goes on where one was ended.
    let place = folder.join("models").join(format!("{NAME}.part"));
    fs::create_dir_all(&place).expect("a folder");
    fs::write(place.join("smart-turn-v3.2-cpu.onnx.part"), &content[..300_000]).expect("a file");
    fs::write(place.join("smart-turn-v3.2-cpu.onnx.version"), sum(&content)).expect("a file");
    hub.now(Conduct::Whole);
    hub.milo(&folder, &["list"]).is_done(&["begun   smart-turn-v3", "300 kB have come"]);
    hub.milo(&folder, &["pull", NAME]).is_done(&["smart-turn-v3 is in "]);
    assert_eq!(ranges(&hub), [300_000]);
    assert_eq!(fs::read(whole(&folder)).expect("the file"), content);
    hub.milo(&folder, &["rm", NAME]).is_done(&[]);

    // The beginning of another version is none of this one.
    fs::create_dir_all(&place).expect("a folder");
    fs::write(place.join("smart-turn-v3.2-cpu.onnx.part"), [0; 1_000]).expect("a file");
    fs::write(place.join("smart-turn-v3.2-cpu.onnx.version"), sum(b"the one of before")).expect("a file");
    hub.now(Conduct::Whole);
    hub.milo(&folder, &["pull", NAME]).is_done(&["smart-turn-v3 is in "]);
    assert_eq!(ranges(&hub), [0]);
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_damaged_is_thrown_away_and_fetched_again() {
    let (folder, content) = (folder("models-damaged"), content());
    let hub = Hub::start(&[(TURN, &content)], Conduct::Corrupts(1)).await;
    let pulled = hub.milo(&folder, &["pull", NAME]);
    pulled.is_done(&["smart-turn-v3 is in "]);
    assert!(pulled.faults.contains("came damaged") && pulled.faults.contains("thrown away"), "{}", pulled.faults);
    assert_eq!(ranges(&hub), [0, 0]);
    assert_eq!(fs::read(whole(&folder)).expect("the file"), content);
    hub.milo(&folder, &["rm", NAME]).is_done(&[]);

    hub.now(Conduct::Corrupts(9));
    hub.milo(&folder, &["pull", NAME]).is_refused(&["came damaged", &sum(&content), "3 times now"]);
    assert!(!whole(&folder).exists());

    // A checksum of one's own holds against whatever the server says.
    let own = "[[model]]\nname = 'own'\nengine = 'turn'\nlicence = 'MIT'\nrepo = 'pipecat-ai/smart-turn-v3'\n\
               [[model.file]]\npath = 'smart-turn-v3.2-cpu.onnx'\nsha256 = '";
    let catalogue = folder.join("catalogue.toml");
    let named = catalogue.display().to_string();
    fs::write(&catalogue, format!("{own}{}'\n", sum(b"another"))).expect("a file");
    hub.now(Conduct::Whole);
    let refused = hub.milo(&folder, &["pull", "own", "--catalogue", &named]);
    refused.is_refused(&["the server has another file", &sum(&content), &sum(b"another")]);
    assert!(ranges(&hub).is_empty(), "it is not fetched to be thrown away");
    fs::write(&catalogue, format!("{own}{}'\n", sum(&content))).expect("a file");
    hub.milo(&folder, &["pull", "own", "--catalogue", &named]).is_done(&["own is in "]);
    fs::write(&catalogue, format!("{own}no sum'\n")).expect("a file");
    hub.milo(&folder, &["list", "--catalogue", &named]).is_refused(&["catalogue.toml, line ", "64 hexadecimal"]);
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_named_with_the_mend() {
    let (folder, content) = (folder("models-refused"), content());
    let hub = Hub::start(&[(TURN, &content)], Conduct::Whole).await;
    for (conduct, words) in [
        (Conduct::Answers(401, 9), &["pipecat-ai/smart-turn-v3", "(401)", "the token of HF_TOKEN may not read it"][..]),
        (Conduct::Answers(404, 9), &["smart-turn-v3.2-cpu.onnx (404)", "HF_ENDPOINT"]),
        (Conduct::Answers(418, 9), &["refuses it (418)"]),
        (Conduct::Claims(1 << 60), &["takes 1152922 TB more", "are free", "MILO_DATA_DIR"]),
        (Conduct::Sends("http://elsewhere.example/?key=secret".into()), &["http://elsewhere.example,", "not followed"]),
        (Conduct::Sends(TURN.into()), &["from one place to the next"]),
    ] {
        hub.now(conduct.clone());
        let pulled = hub.milo(&folder, &["pull", NAME]);
        pulled.is_refused(words);
        assert!(!pulled.faults.contains("secret"), "{}", pulled.faults);
        let left = fs::read_dir(folder.join("models")).expect("a folder").count();
        assert_eq!(left, 0, "{conduct:?}: nothing is left over");
    }
    hub.now(Conduct::Answers(401, 9));
    models(&folder, &["pull", NAME], &[("HF_ENDPOINT", &hub.address)])
        .is_refused(&["put a token that may read it into HF_TOKEN"]);
    hub.milo(&folder, &["pull", "nobody"]).is_refused(&["there is no model nobody", "milo models list"]);
    hub.milo(&folder, &["pull", "silero-vad"]).is_refused(&["ships with Milo"]);
    models(&folder, &["pull", NAME], &[("HF_ENDPOINT", "mirror")]).is_refused(&["HF_ENDPOINT is no address"]);

    // What fails for a while is asked again, and the token goes with every request to the server that it is for.
    hub.now(Conduct::Answers(503, 2));
    let pulled = hub.milo(&folder, &["pull", NAME]);
    pulled.is_done(&["smart-turn-v3 is in "]);
    assert!(pulled.faults.contains("failed (503); again in 0.5 s"), "{}", pulled.faults);
    let heads = hub.heads();
    assert!(heads.iter().all(|head| head.contains(&format!("authorization: Bearer {TOKEN}"))), "{heads:?}");
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_for_the_server_alone_and_nobody_takes_a_licence_unasked() {
    let (folder, content) = (folder("models-licence"), content());
    let repo = "/Xenova/nllb-200-distilled-600M/resolve/main/";
    let paths = [
        "onnx/encoder_model_quantized.onnx",
        "onnx/decoder_model_merged_quantized.onnx",
        "tokenizer.json",
        "config.json",
        "generation_config.json",
    ]
    .map(|path| format!("{repo}{path}"));
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), &content[..])).collect();
    let hub = Hub::start(&files, Conduct::Whole).await;
    let name = "nllb-200-distilled-600m";
    hub.milo(&folder, &["pull", name]).is_refused(&["CC-BY-NC-4.0", "forbids commerce", "--accept-licence"]);
    assert!(hub.heads().is_empty(), "nothing is asked for before");
    let pulled = hub.milo(&folder, &["pull", name, "--accept-licence"]);
    pulled.is_done(&["3.5 MB, CC-BY-NC-4.0", "[engines.translate]", name]);
    assert!(pulled.faults.contains("file 5 of 5"), "{}", pulled.faults);
    hub.milo(&folder, &["verify", name]).is_done(&["onnx/encoder_model_quantized.onnx: right", "config.json: right"]);

    let made = hub.milo(&folder, &["pull", "whisper-mg"]);
    made.is_done(&[
        "optimum-cli export onnx",
        "/models/whisper-mg'",
        "nobody of the project has tried",
        "[engines.stt]",
    ]);

    // Another port is another server.
    let other = Hub::start(&[(TURN, &content)], Conduct::Whole).await;
    hub.now(Conduct::Sends(format!("{}{TURN}", other.address)));
    hub.state.lock().expect("no panic").files.insert(TURN.into(), content);
    hub.milo(&folder, &["pull", NAME]).is_refused(&["neither https nor the same host"]);
    assert!(other.heads().is_empty(), "it was not asked");
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_in_the_middle_is_told_and_the_next_pull_goes_on_there() {
    let (folder, content) = (folder("models-full"), content());
    let hub = Hub::start(&[(TURN, &content)], Conduct::Whole).await;
    // No file may be larger than that: the write that goes beyond it fails, as on a disk without room.
    let script = format!("trap '' XFSZ; ulimit -f 400; exec timeout 120 {PROGRAM} models pull {NAME}");
    let mut milo = alone("bash", &folder);
    milo.args(["-c", &script]).env("HF_ENDPOINT", &hub.address).env("HF_TOKEN", TOKEN);
    let full = Said::of(&milo.output().expect("the program runs"));
    full.is_refused(&["smart-turn-v3.2-cpu.onnx", "cannot be written", "make room", "goes on where this one ended"]);
    assert!(!whole(&folder).exists(), "half a model is none");
    hub.now(Conduct::Whole);
    hub.milo(&folder, &["pull", NAME]).is_done(&["smart-turn-v3 is in "]);
    let from = ranges(&hub);
    assert!(from.len() == 1 && (1..SIZE).contains(&from[0]), "{from:?}");
    assert_eq!(fs::read(whole(&folder)).expect("the file"), content);
    fs::remove_dir_all(folder).ok();
}
