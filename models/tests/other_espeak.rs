//! An espeak-ng library of another release than the data was made with: told in a sentence, never tried. The release is told by a tiny library
//! of the test's own, which a second process of this test finds before the real one.

use std::{env, fs, path::Path, process::Command};

use milo_models::espeak::{Espeak, data, pronouncer::Pronouncer};

/// The folder for the second process.
const FOLDER: &str = "MILO_TEST_OTHER_ESPEAK";
const OTHER: &str = "1.48.15";

#[test]
fn another_release_of_the_library_is_an_error_that_names_both() {
    if let Some(folder) = env::var_os(FOLDER) {
        return in_the_second_process(Path::new(&folder));
    }
    let folder = env::temp_dir().join(format!("milo-other-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (source, library) = (folder.join("other.c"), folder.join("libother.so"));
    let info = format!(
        "const char *espeak_Info(const char **path) {{ if (path) *path = \"/\"; return \"{OTHER}  1.Jan.14\"; }}\n"
    );
    fs::write(&source, info).unwrap();
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(&compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.unwrap_or_else(|error| panic!("{compiler} does not run: {error}")).success());
    let ran = Command::new(env::current_exe().unwrap())
        .args(["--exact", "another_release_of_the_library_is_an_error_that_names_both", "--nocapture"])
        .env(FOLDER, &folder)
        .env("LD_PRELOAD", &library)
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    fs::remove_dir_all(&folder).unwrap();
}

fn in_the_second_process(folder: &Path) {
    let error = Pronouncer::open(&folder.join("words"), None).err().expect("a fault").to_string();
    told(&error);
    // The voice of calls, on the same data: refused as well, and again when asked again.
    let data = folder.join("words/espeak-ng-data");
    for _ in 0..2 {
        told(&Espeak::load(&data).err().expect("a fault").to_string());
    }
    // Without its data it does not come so far.
    fs::remove_dir_all(&data).expect("removed");
    let error = Espeak::load(&data).err().expect("a fault").to_string();
    assert!(error.contains("cannot be read") && error.contains("unpacked anew"), "{error}");
}

fn told(error: &str) {
    for part in [data::LIBRARY_VERSION, OTHER, "is installed", "build again (make run)"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
