//! Opening a GGUF file: looked at first, then given to llama.cpp, whose own words are kept for the error.

use std::{
    cell::RefCell,
    ffi::{CStr, c_char, c_void},
    fs::File,
    io::{self, Read},
    path::Path,
    ptr,
    sync::OnceLock,
};

use llama_cpp_2::{
    llama_backend::LlamaBackend,
    model::{LlamaLoraAdapter, LlamaModel, params::LlamaModelParams},
};

use crate::{engine::EngineError, manifest};

/// Magic, version, number of tensors, number of metadata entries.
const HEADER: usize = 24;

/// llama.cpp is one global library: started once, for the life of the process.
pub(super) fn backend() -> Result<&'static LlamaBackend, EngineError> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let started = BACKEND.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")) {
            return Err("it was built for processors with AVX2, FMA and F16C, and this one lacks them".into());
        }
        // SAFETY: the callback is a plain function that lives for ever and uses no user data.
        unsafe { llama_cpp_sys_2::llama_log_set(Some(hear), ptr::null_mut()) };
        LlamaBackend::init().map_err(|error| error.to_string())
    });
    started.as_ref().map_err(|error| EngineError::Load(format!("llama.cpp does not start: {error}")))
}

/// Opens a model.
pub(super) fn open(path: &Path, gpu_layers: u32) -> Result<LlamaModel, EngineError> {
    let backend = backend()?;
    look_at(path)?;
    manifest::verify(path)?;
    let parameters = LlamaModelParams::default().with_n_gpu_layers(gpu_layers);
    COMPLAINTS.take();
    LlamaModel::load_from_file(backend, path, &parameters).map_err(|_| {
        let complaint = complaint().unwrap_or_else(|| "llama.cpp does not say why".into());
        if complaint.contains("unknown model architecture") {
            return EngineError::Load(format!(
                "{} is a model of a kind that this llama.cpp does not know ({complaint}): name another GGUF file, or take a newer Milo",
                path.display()
            ));
        }
        EngineError::Load(format!(
            "{} is truncated or not a language model that llama.cpp can load ({complaint}); fetch it again or name another \
             GGUF file",
            path.display()
        ))
    })
}

/// Reads what was fine-tuned on top of a model; it is the model's for as long as that lives.
pub(super) fn adapter(model: &mut LlamaModel, path: &Path) -> Result<LlamaLoraAdapter, EngineError> {
    look_at(path)?;
    manifest::verify(path)?;
    COMPLAINTS.take();
    model.lora_adapter_init(path).map_err(|error| {
        let complaint = complaint().unwrap_or_else(|| error.to_string());
        EngineError::Load(format!(
            "{} is no LoRA adapter for this language model ({complaint}); convert the one that was trained on it with llama.cpp's \
             convert_lora_to_gguf.py",
            path.display()
        ))
    })
}

/// Refuses what is plainly no GGUF before llama.cpp sees it.
fn look_at(path: &Path) -> Result<(), EngineError> {
    let refuse = |what: String| Err(EngineError::Load(what));
    let shown = path.display();
    let mut header = [0; HEADER];
    match File::open(path)
        .and_then(|mut file| if file.metadata()?.is_dir() { Ok(None) } else { file.read_exact(&mut header).map(Some) })
    {
        Ok(Some(())) => {}
        Ok(None) => return refuse(format!("{shown} is a folder; name the GGUF file inside it")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return refuse(format!("{shown} is too short to be a GGUF file; fetch it again"));
        }
        Err(error) => return refuse(format!("{shown} cannot be read: {error}; check the path, or fetch the model")),
    }
    if &header[..4] != b"GGUF" {
        return refuse(format!("{shown} is no GGUF file (it does not begin with \"GGUF\"); name a GGUF file"));
    }
    let version = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if !(2..=3).contains(&version) {
        return refuse(format!("{shown} is GGUF version {version}; versions 2 and 3 can be read: convert it again"));
    }
    Ok(())
}

thread_local! {
    /// Errors that llama.cpp logged on this thread since it was last asked.
    static COMPLAINTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The most telling error that llama.cpp has logged on this thread.
pub(super) fn complaint() -> Option<String> {
    let lines = COMPLAINTS.take();
    let telling = lines.iter().find_map(|line| line.split_once("error loading model: ")).map(|(_, why)| why.to_owned());
    telling.or_else(|| lines.into_iter().next())
}

/// llama.cpp's log goes to `tracing` at debug, whatever level it gives itself; errors are remembered besides.
unsafe extern "C" fn hear(level: llama_cpp_sys_2::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a C string that lives as long as this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let line = text.trim();
    if line.chars().all(|character| character == '.') {
        return; // progress dots
    }
    tracing::debug!(target: "llama.cpp", "{line}");
    if level == llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR {
        COMPLAINTS.with_borrow_mut(|lines| {
            if lines.len() < 8 {
                lines.push(line.to_owned());
            }
        });
    }
}
