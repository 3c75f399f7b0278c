//! Wrong files, wrong addresses, no room: each is one clear sentence that names the thing and the mend, and exit code 1.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Output,
};

use crate::house::{PROGRAM, alone, in_a_namespace};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("milo-bad-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("a temporary folder");
        Self(folder)
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a temporary file");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn serve(folder: &Path, variables: &[(&str, &str)]) -> Output {
    alone("timeout", folder)
        .args(["60", PROGRAM, "serve"])
        .envs(variables.iter().copied())
        .output()
        .expect("the program runs")
}

/// It ended with code 1, and its last line holds all of `words` and none of `secrets`.
fn assert_refused(output: &Output, words: &[&str], secrets: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let said = text.lines().filter(|line| line.starts_with("milo: ")).collect::<Vec<_>>().join("\n");
    let said = if said.is_empty() { text.to_string() } else { text[text.find("milo: ").unwrap_or(0)..].to_owned() };
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
    for secret in secrets {
        assert!(!text.contains(secret), "{secret:?} is shown: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_language_model_that_is_none() {
    let folder = Folder::new("gguf");
    let path = folder.file("notes.gguf", b"these are notes, not a model");
    assert_refused(&serve(&folder.0, &[("LOCAL_LLM_MODEL_PATH", &path)]), &["notes.gguf", "GGUF"], &[]);
    let cut = folder.file("cut.gguf", &fs::read(shipped("mind/mind.gguf")).expect("the shipped model")[..100_000]);
    assert_refused(&serve(&folder.0, &[("LOCAL_LLM_MODEL_PATH", &cut)]), &["cut.gguf"], &[]);
    assert_refused(&serve(&folder.0, &[("LOCAL_LLM_MODEL_PATH", "/no/such.gguf")]), &["/no/such.gguf"], &[]);
}

#[test]
fn a_transcriber_folder_without_a_transcriber() {
    let folder = Folder::new("whisper");
    let empty = folder.0.join("empty");
    fs::create_dir(&empty).expect("a folder");
    let empty = empty.display().to_string();
    assert_refused(&serve(&folder.0, &[("MILO__ENGINES__STT__PATH", &empty)]), &[&empty], &[]);
}

#[test]
fn a_graph_with_the_wrong_inputs() {
    let folder = Folder::new("graph");
    let wrong = shipped("ears/encoder_model.onnx").display().to_string();
    assert_refused(&serve(&folder.0, &[("MILO__ENGINES__VAD__PATH", &wrong)]), &["encoder_model.onnx", "input"], &[]);
    let cut = folder.file("cut.onnx", &fs::read(&wrong).expect("the shipped model")[..10_000]);
    assert_refused(&serve(&folder.0, &[("MILO__ENGINES__VAD__PATH", &cut)]), &["cut.onnx"], &[]);
}

#[test]
fn a_model_that_is_not_the_one_its_manifest_lists() {
    for (job, variable, named, files) in [
        ("llm", "LOCAL_LLM_MODEL_PATH", "mind/mind.gguf", &["mind/mind.gguf"][..]),
        ("vad", "MILO__ENGINES__VAD__PATH", SILERO, &[SILERO]),
        ("translate", "MILO__ENGINES__TRANSLATE__PATH", "translator", &["translator/encoder_model.onnx"]),
        ("turn", "MILO__ENGINES__TURN__PATH", "turn/turn.onnx", &["turn/turn.onnx"]),
        ("stt", "MILO__ENGINES__STT__PATH", "ears", &["ears/encoder_model.onnx", "ears/decoder_model_merged.onnx"]),
    ] {
        let folder = Folder::new(job);
        let listed = files.first().copied().unwrap_or_default();
        for file in files {
            let copy = folder.0.join(file);
            fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            fs::copy(shipped(file), copy).expect("a copy");
        }
        let wrong = "0".repeat(64);
        let manifest = format!(
            "[[model]]\nname = \"other\"\nengine = \"{job}\"\nlicence = \"MIT\"\ndemonstration = false\nmemory_mb = 1\n\
             [[model.file]]\npath = \"{listed}\"\nsha256 = \"{wrong}\"\n"
        );
        folder.file("manifest.toml", manifest.as_bytes());
        let configured = folder.0.join(named).display().to_string();
        let name = listed.rsplit('/').next().unwrap_or_default();
        assert_refused(&serve(&folder.0, &[(variable, &configured)]), &[name, "sha256", &wrong, "fetch it again"], &[]);
    }
}

#[test]
fn an_inference_library_that_is_missing() {
    let folder = Folder::new("library");
    let variables = [("MILO__ENGINES__ONNXRUNTIME", "/no/libonnxruntime.so")];
    assert_refused(&serve(&folder.0, &variables), &["/no/libonnxruntime.so", "make setup"], &[]);
}

#[test]
fn a_database_that_cannot_be_opened() {
    let folder = Folder::new("database");
    assert_refused(&serve(&folder.0, &[("DATABASE_URL", "sqlite:/dev/null/milo.db")]), &["/dev/null/milo.db"], &[]);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let url = format!("postgres://milo:verysecret@127.0.0.1:{closed}/milo");
    assert_refused(&serve(&folder.0, &[("DATABASE_URL", &url)]), &["127.0.0.1", "milo"], &["verysecret"]);
    let no_slashes = [("DATABASE_URL", "postgres:milo:verysecret@127.0.0.1/milo")];
    assert_refused(&serve(&folder.0, &no_slashes), &["DATABASE_URL", "postgres://"], &["verysecret"]);
    assert_refused(&serve(&folder.0, &[("DATABASE_URL", "mysql://x/y")]), &["DATABASE_URL", "postgres://"], &[]);
}

#[test]
fn a_port_in_use() {
    let folder = Folder::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    assert_refused(
        &serve(&folder.0, &[("MILO__HTTP__LISTEN", &address)]),
        &[&address, "another program", "[http] listen"],
        &[],
    );
    assert_refused(&serve(&folder.0, &[("MILO__SIP__TCP", &address)]), &[&address, "in use", "[sip]"], &[]);
}

#[test]
fn a_configuration_with_a_wrong_key() {
    let folder = Folder::new("config");
    folder.file("milo.toml", b"[htpp]\nlisten = \"127.0.0.1:8000\"\n");
    assert_refused(&serve(&folder.0, &[]), &["milo.toml", "htpp", "http"], &[]);
}

#[test]
fn a_secret_that_is_written_wrongly_is_not_shown() {
    for (line, secret) in [
        ("[http]\napi_key = 1234567890123456\n", "1234567890123456"),
        ("[http]\napi_key = [\"verysecretverysecret\"]\n", "verysecret"),
        ("[http]\napi_key = verysecretverysecret\n", "verysecret"),
        ("[database]\nurl = 20041999\n", "20041999"),
    ] {
        let folder = Folder::new("secret");
        folder.file("milo.toml", line.as_bytes());
        assert_refused(&serve(&folder.0, &[]), &["milo.toml", "line 2"], &[secret]);
    }
}

#[test]
fn a_dialplan_with_an_unknown_verb() {
    let folder = Folder::new("dialplan");
    let plans = folder.0.join("plans");
    fs::create_dir(&plans).expect("a folder");
    fs::write(plans.join("a.toml"), "[[plan]]\nname='a'\nnumber='1'\nlanguage='mg'\nactions=[{ juggle = {} }]\n")
        .expect("a file");
    let plans = plans.display().to_string();
    assert_refused(&serve(&folder.0, &[("MILO__DIALPLANS__PATH", &plans)]), &["a.toml", "line 5", "juggle"], &[]);
}

#[test]
fn a_disk_without_room_leaves_nothing_half_written() {
    let folder = Folder::new("full");
    let data = folder.0.join("data");
    fs::create_dir(&data).expect("a folder");
    // A tiny file system in a mount namespace of its own: it vanishes with the command.
    let script = format!(
        "mount -t tmpfs -o size=3m none {data}; code=0
         MILO_DATA_DIR={data} timeout 60 {PROGRAM} serve || code=$?
         find {data} -type f | sed 's/^/left: /'; exit $code",
        data = data.display()
    );
    let Some(output) = in_a_namespace(&folder.0, &script) else { return };
    let left = String::from_utf8_lossy(&output.stdout);
    let left: Vec<_> = left.lines().filter_map(|line| line.strip_prefix("left: ")).collect();
    // The folder's owner and the call log were written whole; of the models nothing may lie there.
    assert!(left.iter().all(|file| file.ends_with("/node-id") || file.contains("/milo.db")), "{left:?}");
    assert_refused(&output, &["No space left", "data"], &[]);
}

#[test]
fn a_broken_wav_for_the_telephone() {
    let folder = Folder::new("wav");
    let broken = folder.file("broken.wav", b"RIFF....WAVEnothing");
    assert_refused(&telephone(&folder.0, &["--play", &broken]), &["broken.wav"], &[]);
}

#[test]
fn a_file_without_a_voice_is_refused_before_dialling() {
    let folder = Folder::new("mute");
    let mute = folder.0.join("mute.wav");
    milo_media::wav::write(&mute, &[30; 16_000]).expect("a WAV file");
    let output = telephone(&folder.0, &["--play", &mute.display().to_string()]);
    assert_refused(&output, &["mute.wav", "no voice above −45 dBFS"], &[]);
}

#[test]
fn a_recording_that_cannot_be_written_is_refused_before_dialling() {
    let folder = Folder::new("record");
    assert_refused(&telephone(&folder.0, &["--record", "/dev/null/heard.wav"]), &["/dev/null/heard.wav", "write"], &[]);
    let itself = folder.0.display().to_string();
    assert_refused(&telephone(&folder.0, &["--record", &itself]), &[&itself, "write"], &[]);
}

/// Calls an address where nothing listens; nobody gets so far.
fn telephone(folder: &Path, arguments: &[&str]) -> Output {
    alone("timeout", folder)
        .args(["10", PROGRAM, "call", "--no-transcript"])
        .args(arguments)
        .arg("sip:milo@127.0.0.1:9")
        .output()
        .expect("milo call")
}

#[test]
fn an_address_that_is_none() {
    let folder = Folder::new("address");
    let output =
        alone(PROGRAM, &folder.0).args(["call", "--no-transcript", "milo at home"]).output().expect("milo call");
    assert_refused(&output, &["milo at home", "sip:milo@127.0.0.1"], &[]);
}

const SILERO: &str = "silero/silero_vad_op18_ifless.onnx";

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(name)
}
