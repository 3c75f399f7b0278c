//! Lists the files of the web application, which `deploy/setup.sh` builds into `web/dist`, for `src/http/page.rs` to carry. Without
//! them the program is built all the same, and its pages say how they are got.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

fn main() -> Result<(), Box<dyn Error>> {
    let dist = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("web/dist");
    if !dist.exists() {
        // Cargo takes a missing path for one that always changes, and would compile anew each time. An empty folder, as old as can
        // be, changes when it is filled.
        fs::create_dir(&dist)?;
        File::open(&dist)?.set_modified(SystemTime::UNIX_EPOCH)?;
    }
    println!("cargo::rerun-if-changed={}", dist.display());
    println!("cargo::rerun-if-changed=web/embed.rs");
    let mut files = Vec::new();
    list(&dist, &mut files)?;
    files.sort();
    if !files.contains(&dist.join("index.html")) {
        println!(
            "cargo::warning=the web application is not built: `make run` builds it, or `deploy/setup.sh run` before cargo"
        );
        files.clear();
    }
    let mut code = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(&dist)?.to_str().ok_or("a file of web/dist has a name that is no UTF-8")?;
        writeln!(code, "    (\"/{path}\", include_bytes!({:?})),", file.display().to_string())?;
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("web.rs"), code)?;
    Ok(())
}

/// All files below `folder` but the hidden ones.
fn list(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}
