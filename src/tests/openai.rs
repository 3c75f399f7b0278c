//! The OpenAI protocol as the `openai` package of Python speaks it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::house::{MG_HOURS, milo, recording, stop};

/// Where `deploy/setup.sh test` puts the packages.
pub(crate) fn packages() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).expect("HOME");
    cache.join("milo/python")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_speaks_openai_needs_another_address_only() {
    let milo = milo("openai", &[("API_KEY", "0123456789abcdef")]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/openai_client.py");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
    python
        .args([format!("{}v1", milo.http), recording("mg_hours.wav").display().to_string()])
        .args([MG_HOURS.0, MG_HOURS.1]);
    let ran = tokio::task::spawn_blocking(move || python.output()).await.expect("a thread").expect("python3");
    assert!(ran.status.success(), "{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    stop(milo).await;
}
