//! ONNX Runtime: where its library is found, and how a graph is opened.
//!
//! The library is loaded once a process and stays for its life (a rule of ONNX Runtime). It is never downloaded here:
//! `make setup` puts it into the cache folder, checked by sha256. `export` finds the graphs of a model's folder, `graph` is one of
//! them, here or on an inference server ([`crate::kserve`]), `decoder` runs those that say one token after the other, `cohort` has several
//! rows of it go side by side.

pub(crate) mod cohort;
pub(crate) mod decoder;
mod device;
pub(crate) mod export;
mod graph;
pub(crate) mod likelihood;
pub(crate) mod rows;
mod words;

pub use device::Device;
pub use export::{Precision, form, weight, weight_of_decoders};
pub(crate) use export::{graphs, single};
pub(crate) use graph::{FRACTIONS, Graph, Outlet, WHOLE, failed};

use std::{
    env,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use half::f16;
use ort::{
    environment::Environment,
    logging::LogLevel,
    session::Session,
    value::{DynValue, Tensor, TensorElementType, ValueType},
};

use crate::{
    engine::EngineError,
    pages,
    queue::{Share, Step},
};
use words::words;

const RELEASE: &str = "onnxruntime-1.31.1";
const LIBRARY: &str = "libonnxruntime.so.1.31.1";
const MEND: &str = "run `make setup`, or name the library in ORT_DYLIB_PATH";

/// A card is given a model so often more, after it has failed it.
const TRUSTED: u32 = 2;

/// The variable of the environment, and its value, without which the library tells its makers over the network of each process and of each
/// session that is opened, whatever its own switch says (`with_telemetry` comes after the first of that). It is looked at once, as the
/// library is loaded: the program that uses this crate sets it as the first thing that it does.
pub const KEPT_TO_ITSELF: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// The process's one ONNX Runtime. A lock is right here: it is taken only while an engine loads, and it keeps two engines
/// that load at the same time from opening the library twice.
static LOADED: Mutex<Option<OrtRuntime>> = Mutex::new(None);

/// A loaded ONNX Runtime library; cheap to clone.
#[derive(Clone, Debug)]
pub struct OrtRuntime {
    environment: Environment,
    library: PathBuf,
    device: Device,
    /// Among whom the device is shared; none: its graphs take no turns there.
    share: Option<Arc<Share>>,
    /// What the engine's thread is at for which graphs are opened.
    step: Arc<Step>,
}

impl OrtRuntime {
    /// Loads the library named by `explicit`, else by `ORT_DYLIB_PATH`, else the first of: the cache folder
    /// (`$XDG_CACHE_HOME` or `~/.cache`, below it `milo/onnxruntime-1.31.1/`), beside the executable, the system's library
    /// folders. Once loaded it is shared: later calls return the same runtime.
    ///
    /// # Errors
    /// [`EngineError::Load`] names every path that was tried, or says that the library is too old or no ONNX Runtime.
    pub fn load(explicit: Option<&Path>) -> Result<Self, EngineError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return match explicit {
                Some(path) if path != runtime.library => Err(EngineError::Load(format!(
                    "ONNX Runtime is already loaded from {}; {} is used only after a restart",
                    runtime.library.display(),
                    path.display()
                ))),
                _ => Ok(runtime.clone()),
            };
        }
        let library = find(explicit, env::var_os("ORT_DYLIB_PATH").map(PathBuf::from), &usual_places())?;
        let environment = ort::init_from(&library)
            .map_err(|error| EngineError::Load(format!("ONNX Runtime cannot be used: {error}; {MEND}")))?
            .with_name("milo")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|error| EngineError::Load(format!("ONNX Runtime does not start: {error}; {MEND}")))?;
        environment.set_log_level(LogLevel::Warning);
        let share = Some(Share::processor());
        let runtime = Self { environment, library, device: Device::Cpu, share, step: Arc::default() };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library file in use.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The library's environment, of which a process has one: whoever opens graphs of their own does it in this one.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The same library, for graphs that are computed there. Whether it can is known when the first of them is opened.
    pub fn on(&self, device: Device) -> Self {
        let share = Some(match &device {
            Device::Cpu => Share::processor(),
            Device::Cuda { card } | Device::TensorRt { card, .. } => Share::card(*card),
        });
        Self { device, share, ..self.clone() }
    }

    /// The same for graphs that take their turns in this share, or none.
    pub(crate) fn sharing(&self, share: Option<Arc<Share>>) -> Self {
        Self { share, ..self.clone() }
    }

    /// The same for the engine whose thread is at these steps.
    pub(crate) fn at(&self, step: &Arc<Step>) -> Self {
        Self { step: Arc::clone(step), ..self.clone() }
    }

    /// What loads a model with this library, and loads it anew after it has failed: on the processor, where the card fails it then too, or has
    /// failed it twice before. The first time a card that cannot is an error, and not the processor in silence.
    pub(crate) fn loading<M, L>(
        &self,
        engine: &'static str,
        mut load: L,
    ) -> impl FnMut(&Arc<Step>) -> Result<M, EngineError> + use<M, L>
    where
        L: FnMut(&Self) -> Result<M, EngineError>,
    {
        let (mut ort, mut loaded) = (self.clone(), 0);
        move |step: &Arc<Step>| {
            if loaded > TRUSTED && ort.device != Device::Cpu {
                tracing::warn!(engine, device = %ort.device, "an engine failed again and again there; it is loaded on the processor");
                ort = ort.on(Device::Cpu);
            }
            let made = match load(&ort.at(step)) {
                Err(error) if loaded > 0 && ort.device != Device::Cpu => {
                    tracing::warn!(engine, %error, "an engine cannot be loaded anew where it was; it is loaded on the processor");
                    load(&ort.on(Device::Cpu).at(step))
                }
                made => made,
            };
            loaded += u32::from(made.is_ok());
            made
        }
    }

    /// Where its graphs are computed.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Opens a graph that computes on `threads` threads (1: only on the thread that calls it).
    ///
    /// # Errors
    /// [`EngineError::Load`] when the file is missing, truncated or no ONNX graph, or the device is not there.
    pub(crate) fn graph(&self, file: &Path, threads: usize) -> Result<Graph, EngineError> {
        if !file.is_file() {
            return Err(EngineError::Load(format!("the graph {} is not there", file.display())));
        }
        let device = Session::builder(&self.environment)
            .and_then(|options| Ok(options.with_execution_providers(self.device.providers())?))
            .map_err(|error| {
                let says = words(&error);
                EngineError::Load(format!(
                    "ONNX Runtime in {} cannot compute on {} ({says}): name the library of onnxruntime-gpu in [engines] \
                     onnxruntime, where its providers and CUDA's and cuDNN's libraries are found, or leave [engines] device out",
                    self.library.display(),
                    self.device
                ))
            })?;
        let open = move || -> ort::Result<Session> {
            let options = device;
            let options = options.with_intra_threads(threads.max(1))?;
            let options = options.with_inter_threads(1)?;
            let mut options = options.with_intra_op_spinning(false)?;
            options.commit_from_file(file)
        };
        let session =
            open().map_err(|error| EngineError::Load(Unopened::of(&error.to_string()).told(file, &words(&error))))?;
        pages::widen_for(export::whole(file));
        let seat = self.share.as_ref().map(|share| share.seat(&self.step, threads));
        Ok(Graph::here(session, file, seat))
    }
}

/// Why the library does not open a graph that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unopened {
    /// Its file, or one with its weights, ends too early, or is none.
    Torn,
    /// It is of a form that came after the library, or has operators that this one does not know.
    Newer,
    /// There is not so much memory.
    Memory,
    /// Something else: the library's own words say it.
    Other,
}

impl Unopened {
    /// By the library's words, as its codes do not tell them apart.
    fn of(says: &str) -> Self {
        let says = says.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| says.contains(word));
        match () {
            () if has(&[
                "opset",
                "ir version",
                "ir_version",
                "is not a registered function/op",
                "no op registered",
            ]) =>
            {
                Self::Newer
            }
            () if has(&["bad_alloc", "allocate", "out of memory", "not enough memory"]) => Self::Memory,
            () if has(&[
                "protobuf",
                "parse",
                "external data",
                "external initializer",
                "out of bounds",
                "end of file",
            ]) =>
            {
                Self::Torn
            }
            () => Self::Other,
        }
    }

    fn told(self, file: &Path, says: &str) -> String {
        let file = file.display();
        match self {
            Self::Torn => format!("{file} is no whole ONNX graph ({says}); fetch or export it again"),
            Self::Newer => format!(
                "{file} has operators or a form that {RELEASE} does not know ({says}): export it for an opset that it does (17 is one), or \
                 name a newer library in [engines] onnxruntime"
            ),
            Self::Memory => format!(
                "there is not enough memory for {file} ({says}): take a smaller or a quantized one, leave something else out, or another device"
            ),
            Self::Other => format!("ONNX Runtime does not open {file} ({says})"),
        }
    }
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")));
    places.extend(cache.map(|cache| cache.join("milo").join(RELEASE).join(LIBRARY)));
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    for folder in beside.into_iter().chain(["/usr/local/lib".into(), "/usr/lib".into()]) {
        places.push(folder.join(LIBRARY));
        places.push(folder.join("libonnxruntime.so"));
    }
    places
}

/// A library that somebody named is used or it is an error; only the usual places are searched.
fn find(explicit: Option<&Path>, named: Option<PathBuf>, usual: &[PathBuf]) -> Result<PathBuf, EngineError> {
    let named = named.filter(|path| !path.as_os_str().is_empty());
    let (tried, whence) = match (explicit, &named) {
        (Some(path), _) => (vec![path.to_owned()], "configured as"),
        (None, Some(path)) => (vec![path.clone()], "named by ORT_DYLIB_PATH as"),
        (None, None) => (usual.to_vec(), "looked for in"),
    };
    tried.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let tried = tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        EngineError::Load(format!("the ONNX Runtime library is not there ({whence} {tried}); {MEND}"))
    })
}

fn log(level: LogLevel, _category: &str, _id: &str, _place: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(engine = "onnxruntime", "{message}"),
        _ => tracing::debug!(engine = "onnxruntime", "{message}"),
    }
}

/// A tensor of the element type that the graph declared (f32 or f16).
pub(crate) fn floats(kind: TensorElementType, shape: &[usize], values: Vec<f32>) -> ort::Result<DynValue> {
    Ok(match kind {
        TensorElementType::Float16 => {
            let values: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
            Tensor::from_array((shape.to_vec(), values))?.into_dyn()
        }
        _ => Tensor::from_array((shape.to_vec(), values))?.into_dyn(),
    })
}

/// A tensor of whole numbers of the element type that the graph declared (i64 or i32).
pub(crate) fn integers(kind: TensorElementType, shape: &[usize], values: Vec<i64>) -> ort::Result<DynValue> {
    Ok(match kind {
        TensorElementType::Int32 => {
            let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
            Tensor::from_array((shape.to_vec(), values))?.into_dyn()
        }
        _ => Tensor::from_array((shape.to_vec(), values))?.into_dyn(),
    })
}

/// The values of a float tensor, whatever its element type.
pub(crate) fn values(tensor: &DynValue) -> ort::Result<Vec<f32>> {
    Ok(match tensor.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float16, .. } => {
            tensor.try_extract_tensor::<f16>()?.1.iter().map(|value| value.to_f32()).collect()
        }
        _ => tensor.try_extract_tensor::<f32>()?.1.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_that_is_missing_is_not_replaced_by_another() {
        let here = env::current_exe().unwrap();
        let usual = [here.clone()];
        let error = find(Some(Path::new("/no/such.so")), None, &usual).unwrap_err().to_string();
        assert!(error.contains("/no/such.so") && error.contains("make setup"), "{error}");
        let error = find(None, Some("/no/other.so".into()), &usual).unwrap_err().to_string();
        assert!(error.contains("ORT_DYLIB_PATH as /no/other.so"), "{error}");
        assert_eq!(find(None, Some("".into()), &usual).unwrap(), here);
    }

    #[test]
    fn all_places_are_named_when_none_has_it() {
        let error = find(None, None, &["/no/a.so".into(), "/no/b.so".into()]).unwrap_err().to_string();
        assert!(error.contains("/no/a.so, /no/b.so"), "{error}");
    }

    #[test]
    fn a_truncated_graph_is_one_sentence() {
        let ort = OrtRuntime::load(None).unwrap();
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/silero/silero_vad_op18_ifless.onnx");
        let folder = tempfile::tempdir().unwrap();
        let cut = folder.path().join("cut.onnx");
        let bytes = std::fs::read(whole).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        let error = ort.graph(&cut, 1).err().unwrap().to_string();
        assert!(error.contains("cut.onnx is no whole ONNX graph") && !error.contains('\n'), "{error}");
        let error = ort.graph(&folder.path().join("none.onnx"), 1).err().unwrap().to_string();
        assert!(error.contains("none.onnx is not there"), "{error}");
    }

    #[test]
    fn a_graph_of_an_opset_that_is_not_known_is_not_called_torn() {
        let ort = OrtRuntime::load(None).unwrap();
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/silero/silero_vad_op18_ifless.onnx");
        let folder = tempfile::tempdir().unwrap();
        let newer = folder.path().join("newer.onnx");
        let mut bytes = std::fs::read(whole).unwrap();
        // The set of operators (onnx.proto: opset_import, its version), which stands at the end: 18.
        let at = bytes.windows(2).rposition(|two| two == [0x10, 18]).expect("an opset");
        bytes[at + 1] = 100;
        std::fs::write(&newer, &bytes).unwrap();
        let error = ort.graph(&newer, 1).err().unwrap().to_string();
        assert!(error.contains("newer.onnx has operators or a form") && !error.contains("fetch"), "{error}");
        assert!(error.contains("opset") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn the_librarys_words_tell_a_torn_file_from_a_newer_one_and_from_too_little_memory() {
        for (says, is) in [
            ("Load model from x failed:Protobuf parsing failed.", Unopened::Torn),
            ("External data path validation failed for initializer: w. File not found", Unopened::Torn),
            ("Unsupported model IR version: 99, max supported IR version: 11", Unopened::Newer),
            (
                "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions",
                Unopened::Newer,
            ),
            ("Fatal error: com.example:Odd(-1) is not a registered function/op", Unopened::Newer),
            ("Exception during initialization: std::bad_alloc", Unopened::Memory),
            ("Failed to allocate memory for requested buffer of size 8589934592", Unopened::Memory),
            ("Node () Op (Add) [ShapeInferenceError] Incompatible dimensions", Unopened::Other),
        ] {
            assert_eq!(Unopened::of(says), is, "{says}");
            assert_eq!(is == Unopened::Torn, is.told(Path::new("g.onnx"), says).contains("fetch"), "{says}");
        }
    }

    #[test]
    fn a_card_that_this_library_cannot_use_is_one_sentence_and_not_the_processor_in_silence() {
        let ort = OrtRuntime::load(None).unwrap();
        let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/silero/silero_vad_op18_ifless.onnx");
        let cache = tempfile::tempdir().unwrap();
        let trt = Device::TensorRt { card: 1, cache: cache.path().into() };
        for (device, says) in [(Device::Cuda { card: 0 }, "card 0 by CUDA"), (trt, "card 1 by TensorRT")] {
            let error = ort.on(device).graph(&graph, 1).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(says) && error.contains("onnxruntime-gpu") && !error.contains('\n'), "{error}");
        }
        assert!(ort.graph(&graph, 1).is_ok(), "the processor is there all the same");
        assert_eq!(ort.on(Device::Cuda { card: 0 }).device().precision(Precision::Quantized), Precision::Half);
        assert_eq!(ort.device().precision(Precision::Quantized), Precision::Quantized);
    }

    #[test]
    fn what_a_card_fails_is_loaded_anew_on_the_processor_and_never_the_first_time() {
        let ort = OrtRuntime::load(None).unwrap().on(Device::Cuda { card: 0 });
        let step = Arc::default();
        let fails = |ort: &OrtRuntime| match ort.device() {
            Device::Cpu => Ok(Device::Cpu),
            _ => Err(EngineError::Load("no card".into())),
        };
        let mut load = ort.loading("e", fails);
        assert!(load(&step).is_err() && load(&step).is_err(), "a start says that there is no card");
        // It is lost later.
        let mut is_there = true;
        let mut load = ort.loading("e", move |ort| match ort.device() {
            Device::Cuda { .. } if !std::mem::take(&mut is_there) => Err(EngineError::Load("the card is lost".into())),
            device => Ok(device.clone()),
        });
        assert_eq!(load(&step).unwrap(), Device::Cuda { card: 0 });
        assert_eq!(load(&step).unwrap(), Device::Cpu);
        // It loads each time, and fails each time at its work.
        let mut load = ort.loading("e", |ort| Ok(ort.device().clone()));
        let devices: Vec<_> = (0..4).map(|_| load(&step).unwrap() == Device::Cpu).collect();
        assert_eq!(devices, [false, false, false, true]);
    }

    #[test]
    fn a_second_library_is_refused() {
        let ort = OrtRuntime::load(None).unwrap();
        assert!(OrtRuntime::load(Some(ort.library())).is_ok());
        let error = OrtRuntime::load(Some(Path::new("/no/such.so"))).unwrap_err().to_string();
        assert!(error.contains("already loaded"), "{error}");
    }
}
