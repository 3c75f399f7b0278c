//! A library that is missing or is none never hangs and never stands in the way of the right one. In a process of its own,
//! because ONNX Runtime is loaded once a process.

use std::{env, fs, path::Path};

use milo_models::onnx::OrtRuntime;

#[test]
fn a_wrong_library_is_one_sentence_and_the_right_one_loads_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    fs::write(&text, "not a library").unwrap();
    let program = env::current_exe().unwrap();
    for (library, fault) in [
        (Path::new("/no/such/libonnxruntime.so"), "is not there"),
        (&text, "cannot be used"),
        (&program, "cannot be used"),
    ] {
        let error = OrtRuntime::load(Some(library)).unwrap_err().to_string();
        assert!(error.contains(fault) && error.contains(&library.display().to_string()), "{error}");
        assert!(error.contains("make setup") && !error.contains('\n'), "{error}");
    }
    let runtime = OrtRuntime::load(None).unwrap();
    assert!(runtime.library().is_file());
}
