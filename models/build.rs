//! Links the installed libespeak-ng, compiles the Malagasy voice against that very library, and gathers the few data
//! files that Milo needs, so that the binary carries them (about 1 MB): `espeak_data.rs` in `OUT_DIR` lists them.
//!
//! The phoneme data and a compiled dictionary belong to one release of the library, so both are taken from the machine
//! that builds, never from the repository.

use std::{
    env,
    ffi::{CStr, CString, c_char, c_int, c_void},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    ptr,
};

/// Languages that the voice speaks. English is there because a French sentence may hold English words.
const INSTALLED: &[&str] = &["lang/roa/fr", "fr_dict", "lang/gmw/en", "en_dict"];
/// The sound material, made with the library.
const SOUNDS: &[&str] = &["phontab", "phonindex", "phondata", "intonations"];
/// The folder of voice variants (f1, m3, …).
const VARIANTS: &str = "voices/!v";

const MEND: &str =
    "install the apt packages: apt-get install libespeak-ng-dev espeak-ng-data pkg-config (or run `make setup`)";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("cargo::error={reason}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=espeak");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    link()?;

    let source = env::current_dir().map_err(|error| format!("no current folder: {error}"))?.join("espeak");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let data = out.join("espeak-ng-data");

    let library = Library::open()?;
    let installed = library.installed_data()?;
    println!("cargo::rerun-if-changed={}", installed.join("phontab").display());
    gather(&installed, &source, &data)?;
    library.compile_malagasy(&source, &out)?;
    fs::write(out.join("espeak_data.rs"), listing(&library.version(), &data)?)
        .map_err(|error| format!("cannot write espeak_data.rs: {error}"))
}

/// Asks pkg-config where the library is and tells cargo.
fn link() -> Result<(), String> {
    let answer = Command::new("pkg-config")
        .args(["--libs", "espeak-ng"])
        .output()
        .map_err(|error| format!("pkg-config does not run ({error}): {MEND}"))?;
    if !answer.status.success() {
        return Err(format!("libespeak-ng is not installed for building: {MEND}"));
    }
    for word in String::from_utf8_lossy(&answer.stdout).split_whitespace() {
        if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={folder}");
        } else if let Some(name) = word.strip_prefix("-l") {
            println!("cargo::rustc-link-lib={name}");
        }
    }
    Ok(())
}

/// Copies the installed files and the project's own language file into `data`.
fn gather(installed: &Path, source: &Path, data: &Path) -> Result<(), String> {
    if data.exists() {
        fs::remove_dir_all(data).map_err(|error| format!("cannot clear {}: {error}", data.display()))?;
    }
    for name in SOUNDS.iter().chain(INSTALLED) {
        copy(&installed.join(name), &data.join(name))?;
    }
    for variant in files_below(&installed.join(VARIANTS))? {
        copy(&variant, &data.join(VARIANTS).join(variant.file_name().unwrap_or_default()))?;
    }
    copy(&source.join("mg"), &data.join("lang/poz/mg"))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let bytes = fs::read(from).map_err(|error| format!("cannot read {} ({error}): {MEND}", from.display()))?;
    fs::write(to, bytes).map_err(|error| format!("cannot write {}: {error}", to.display()))
}

/// Every file in `folder` and below, sorted, so that two builds give the same binary.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read {} ({error}): {MEND}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The Rust source that carries the files.
fn listing(version: &str, data: &Path) -> Result<String, String> {
    let mut source = format!(
        "/// The release of libespeak-ng that the data was made with.\n\
         pub const LIBRARY_VERSION: &str = {version:?};\n\n\
         /// The files that belong to this release of the library and may not differ from what was built.\n\
         pub const SOUNDS: &[&str] = &{SOUNDS:?};\n\n\
         /// The voice data: path inside the data folder, content.\n\
         pub static FILES: &[(&str, &[u8])] = &[\n"
    );
    for file in files_below(data)? {
        let name = file.strip_prefix(data).map_err(|error| error.to_string())?;
        writeln!(source, "    ({:?}, include_bytes!({:?})),", name, file).map_err(|error| error.to_string())?;
    }
    source.push_str("];\n");
    Ok(source)
}

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn fopen(name: *const c_char, mode: *const c_char) -> *mut c_void;
    fn fclose(file: *mut c_void) -> c_int;
}

/// libespeak-ng, opened at build time: a build script cannot be linked with what it only now finds.
struct Library(*mut c_void);

impl Library {
    fn open() -> Result<Self, String> {
        const RTLD_NOW: c_int = 2;
        // SAFETY: a constant, NUL-terminated name; the handle is never closed.
        let handle = unsafe { dlopen(c"libespeak-ng.so.1".as_ptr(), RTLD_NOW) };
        if handle.is_null() { Err(format!("libespeak-ng.so.1 cannot be opened: {MEND}")) } else { Ok(Self(handle)) }
    }

    fn symbol(&self, name: &CStr) -> Result<*mut c_void, String> {
        // SAFETY: the handle is open, the name NUL-terminated.
        let found = unsafe { dlsym(self.0, name.as_ptr()) };
        if found.is_null() {
            Err(format!("libespeak-ng lacks {}: it is too old; 1.50 is needed", name.to_string_lossy()))
        } else {
            Ok(found)
        }
    }

    /// Reads the data folder at `path` (or the installed one), which sets where dictionaries are written.
    fn initialize(&self, path: Option<&CStr>) -> Result<(), String> {
        // SAFETY: the signatures are those of espeak_ng.h, the same since 1.49.
        let (initialize_path, initialize) = unsafe {
            (
                std::mem::transmute::<*mut c_void, extern "C" fn(*const c_char)>(
                    self.symbol(c"espeak_ng_InitializePath")?,
                ),
                std::mem::transmute::<*mut c_void, extern "C" fn(*mut *mut c_void) -> u32>(
                    self.symbol(c"espeak_ng_Initialize")?,
                ),
            )
        };
        initialize_path(path.map_or(ptr::null(), CStr::as_ptr));
        match initialize(ptr::null_mut()) {
            0 => Ok(()),
            code => Err(format!("espeak-ng cannot read its data (code {code:#x}): {MEND}")),
        }
    }

    fn info(&self) -> Result<(String, PathBuf), String> {
        // SAFETY: as in speak_lib.h; both answers are strings that live as long as the library.
        unsafe {
            let info = std::mem::transmute::<*mut c_void, extern "C" fn(*mut *const c_char) -> *const c_char>(
                self.symbol(c"espeak_Info")?,
            );
            let mut path = ptr::null();
            let version = CStr::from_ptr(info(&mut path)).to_string_lossy().into_owned();
            Ok((version, PathBuf::from(CStr::from_ptr(path).to_string_lossy().into_owned())))
        }
    }

    fn version(&self) -> String {
        self.info()
            .map(|(version, _)| version.split_whitespace().next().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }

    fn installed_data(&self) -> Result<PathBuf, String> {
        self.initialize(None)?;
        Ok(self.info()?.1)
    }

    /// Compiles `mg_rules` and `mg_list` into `out/espeak-ng-data/mg_dict`.
    fn compile_malagasy(&self, source: &Path, out: &Path) -> Result<(), String> {
        // The library keeps paths in small fixed buffers: work with short relative ones.
        env::set_current_dir(out).map_err(|error| format!("cannot enter {}: {error}", out.display()))?;
        for name in ["mg_rules", "mg_list"] {
            copy(&source.join(name), Path::new(name))?;
        }
        self.initialize(Some(c"."))?;
        // SAFETY: as in espeak_ng.h; `log` is an open FILE, closed after use.
        let status = unsafe {
            let voice = std::mem::transmute::<*mut c_void, extern "C" fn(*const c_char) -> u32>(
                self.symbol(c"espeak_ng_SetVoiceByName")?,
            );
            let compile = std::mem::transmute::<
                *mut c_void,
                extern "C" fn(*const c_char, *const c_char, *mut c_void, c_int, *mut *mut c_void) -> u32,
            >(self.symbol(c"espeak_ng_CompileDictionary")?);
            voice(c"mg".as_ptr());
            let log = fopen(c"mg_dict.log".as_ptr(), c"w".as_ptr());
            let status = compile(c"./".as_ptr(), c"mg".as_ptr(), log, 0, ptr::null_mut());
            if !log.is_null() {
                fclose(log);
            }
            status
        };
        let log = fs::read_to_string("mg_dict.log").unwrap_or_default();
        let size = fs::metadata("espeak-ng-data/mg_dict").map(|file| file.len()).unwrap_or(0);
        if status != 0 || size < 1000 {
            let told = CString::new(log.trim().replace('\n', "; ")).unwrap_or_default();
            return Err(format!("models/espeak/mg_rules or mg_list does not compile: {}", told.to_string_lossy()));
        }
        Ok(())
    }
}
