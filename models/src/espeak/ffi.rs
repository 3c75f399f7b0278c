//! The few functions of libespeak-ng that Milo calls, and the one owner of the library's global state.
//! Declared by hand after `espeak_ng.h` and `speak_lib.h` of release 1.51; unchanged since 1.49.

use std::{
    any::Any,
    cell::Cell,
    ffi::{CStr, CString, c_char, c_int, c_short, c_uint, c_void},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    ptr, slice,
};

use super::{ENGINE, data};
use crate::engine::EngineError;

/// `ENOUTPUT_MODE_SYNCHRONOUS`: the callback runs inside `espeak_ng_Synthesize`, on its thread.
const SYNCHRONOUS: c_int = 1;
/// Milliseconds of audio a callback brings.
const PIECE_MS: c_int = 50;
/// `espeakCHARS_UTF8 | espeakENDPAUSE`; without `espeakSSML` and `espeakPHONEMES` no markup is obeyed.
const FLAGS: c_uint = 0x0001 | 0x1000;
/// `espeakCHARS_UTF8`; `espeakPHONEMES_IPA`.
const UTF8: c_int = 1;
const IPA: c_int = 2;
/// The library appends names of files to the path in a buffer of 200 bytes.
const LONGEST_SOURCE: usize = 120;
/// `POS_CHARACTER`.
const BY_CHARACTER: c_int = 1;
/// `espeakRATE`, `espeakPITCH`, `espeakRANGE`, `espeakWORDGAP`.
const RATE: c_int = 1;
const PITCH: c_int = 3;
const RANGE: c_int = 4;
const WORD_GAP: c_int = 7;
/// `ENS_SPEECH_STOPPED`: the callback asked for the end.
const STOPPED: c_uint = 0x1000_0EFF;
/// `ENS_VERSION_MISMATCH`.
const VERSION_MISMATCH: c_uint = 0x1000_02FF;

type Callback = extern "C" fn(*mut c_short, c_int, *mut c_void) -> c_int;

unsafe extern "C" {
    fn espeak_ng_InitializePath(path: *const c_char);
    fn espeak_ng_Initialize(context: *mut *mut c_void) -> c_uint;
    fn espeak_ng_InitializeOutput(mode: c_int, buffer_ms: c_int, device: *const c_char) -> c_uint;
    fn espeak_ng_GetSampleRate() -> c_int;
    fn espeak_ng_SetVoiceByName(name: *const c_char) -> c_uint;
    fn espeak_ng_SetParameter(parameter: c_int, value: c_int, relative: c_int) -> c_uint;
    fn espeak_ng_Synthesize(
        text: *const c_void,
        size: usize,
        position: c_uint,
        position_type: c_int,
        end_position: c_uint,
        flags: c_uint,
        identifier: *mut c_uint,
        user_data: *mut c_void,
    ) -> c_uint;
    fn espeak_ng_GetStatusCodeMessage(status: c_uint, buffer: *mut c_char, length: usize);
    fn espeak_SetSynthCallback(callback: Callback);
    fn espeak_TextToPhonemes(text: *mut *const c_void, text_mode: c_int, phoneme_mode: c_int) -> *const c_char;
    fn espeak_ng_CompileDictionary(
        source: *const c_char,
        name: *const c_char,
        log: *mut c_void,
        flags: c_int,
        context: *mut *mut c_void,
    ) -> c_uint;
    fn espeak_Info(path: *mut *const c_char) -> *const c_char;
}

/// The library's global state. There is one in a process, made and used on one thread (the pointer keeps it there).
pub(super) struct Library {
    voice: String,
    sample_rate: u32,
    _on_one_thread: std::marker::PhantomData<*mut ()>,
}

impl Library {
    /// Starts the library on a checked data folder.
    pub(super) fn open(data: &Path) -> Result<Self, EngineError> {
        // SAFETY: `espeak_Info` may be called before anything else and returns a constant string.
        let info = unsafe { CStr::from_ptr(espeak_Info(ptr::null_mut())) }.to_string_lossy();
        let installed = release(&info)?;
        let path = CString::new(data.as_os_str().as_encoded_bytes())
            .map_err(|_| EngineError::Load("the path of the voice data holds a zero byte".into()))?;
        // SAFETY: the path is NUL-terminated and short (`data::check`); no other thread uses the library.
        let status = unsafe {
            espeak_ng_InitializePath(path.as_ptr());
            match espeak_ng_Initialize(ptr::null_mut()) {
                0 => espeak_ng_InitializeOutput(SYNCHRONOUS, PIECE_MS, ptr::null()),
                failed => failed,
            }
        };
        match status {
            0 => {}
            VERSION_MISMATCH => return Err(EngineError::Load(other_release(installed))),
            status => {
                let (data, told) = (data.display(), told(status));
                return Err(EngineError::Load(format!("espeak-ng does not start on the voice data in {data}: {told}")));
            }
        }
        // SAFETY: the library has been started; the callback lives as long as the program.
        let rate = unsafe {
            espeak_SetSynthCallback(take);
            espeak_ng_GetSampleRate()
        };
        let sample_rate = u32::try_from(rate).unwrap_or(0);
        Ok(Self { voice: String::new(), sample_rate, _on_one_thread: std::marker::PhantomData })
    }

    /// The rate in Hz of what [`Library::synthesize`] gives.
    pub(super) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Chooses language and variant ("fr", "mg+f2").
    pub(super) fn set_voice(&mut self, name: &str) -> Result<(), EngineError> {
        if self.voice == name {
            return Ok(());
        }
        let text = CString::new(name).map_err(|_| EngineError::Input(format!("{name:?} is no voice")))?;
        // SAFETY: a NUL-terminated name, copied by the library.
        succeeded(unsafe { espeak_ng_SetVoiceByName(text.as_ptr()) }, name)?;
        name.clone_into(&mut self.voice);
        Ok(())
    }

    /// Speed in words a minute and pitch of 0 to 100, until they are set again.
    pub(super) fn set_manner(&mut self, speed: i32, pitch: i32) -> Result<(), EngineError> {
        // SAFETY: plain numbers, for which the library has its own limits.
        unsafe {
            succeeded(espeak_ng_SetParameter(RATE, speed, 0), "speed")?;
            succeeded(espeak_ng_SetParameter(PITCH, pitch, 0), "pitch")
        }
    }

    /// Range of pitch of 0 to 100 (50 is usual) and the pause between words in units of 10 ms (0 is usual), until they are set again.
    pub(super) fn set_melody(&mut self, range: i32, gap: i32) -> Result<(), EngineError> {
        // SAFETY: plain numbers, for which the library has its own limits.
        unsafe {
            succeeded(espeak_ng_SetParameter(RANGE, range, 0), "range of pitch")?;
            succeeded(espeak_ng_SetParameter(WORD_GAP, gap, 0), "gap between words")
        }
    }

    /// The phonemes of a text in the chosen voice: in the library's own names, or in IPA.
    pub(super) fn phonemes(&mut self, text: &CStr, ipa: bool) -> Result<String, EngineError> {
        let mut rest: *const c_void = text.as_ptr().cast();
        let mut clauses = Vec::new();
        while !rest.is_null() {
            // SAFETY: UTF-8, NUL-terminated, alive during the call; the answer is copied before the next call. The library moves
            // `rest` to the next clause, and to null behind the last.
            let said = unsafe { espeak_TextToPhonemes(&raw mut rest, UTF8, if ipa { IPA } else { 0 }) };
            if said.is_null() {
                return Err(EngineError::Failed { engine: ENGINE, reason: "it gave no phonemes".into() });
            }
            // SAFETY: not null, and NUL-terminated as the library promises.
            let said = unsafe { CStr::from_ptr(said) }.to_string_lossy();
            clauses.extend(Some(said.trim().to_owned()).filter(|said| !said.is_empty()));
        }
        Ok(clauses.join(" "))
    }

    /// Compiles `mg_rules` and `mg_list` of a folder into the dictionary of the data folder.
    pub(super) fn compile(&mut self, source: &Path) -> Result<(), EngineError> {
        let name = format!("{}/", source.display());
        if name.len() > LONGEST_SOURCE {
            return Err(EngineError::Load(format!(
                "the path {name} is longer than the {LONGEST_SOURCE} bytes that espeak-ng can hold"
            )));
        }
        let source =
            CString::new(name).map_err(|_| EngineError::Load("the path of the rules holds a zero byte".into()))?;
        // SAFETY: NUL-terminated and short; without a log file the library complains on standard error.
        let status = unsafe {
            espeak_ng_CompileDictionary(source.as_ptr(), c"mg".as_ptr(), ptr::null_mut(), 0, ptr::null_mut())
        };
        match status {
            0 => Ok(()),
            status => {
                Err(EngineError::Load(format!("the rules of the Malagasy voice do not compile: {}", told(status))))
            }
        }
    }

    /// Speaks, handing out samples as they are made for as long as `take` answers true. Whether all was handed out.
    pub(super) fn synthesize(
        &mut self,
        text: &CStr,
        mut take: impl FnMut(&[i16]) -> bool,
    ) -> Result<bool, EngineError> {
        let mut sink = Sink { take: &mut take, panicked: None };
        let size = text.to_bytes_with_nul().len();
        SINK.set((&raw mut sink).cast());
        // SAFETY: the text is NUL-terminated and of this size; `sink` outlives the call, inside which alone the callback
        // runs; no identifier is asked for.
        let status = unsafe {
            let text = text.as_ptr().cast();
            espeak_ng_Synthesize(text, size, 0, BY_CHARACTER, 0, FLAGS, ptr::null_mut(), ptr::null_mut())
        };
        SINK.set(ptr::null_mut());
        if let Some(panic) = sink.panicked {
            resume_unwind(panic);
        }
        match status {
            STOPPED => Ok(false),
            status => succeeded(status, "text").map(|()| true),
        }
    }
}

/// Who takes the samples of the running [`Library::synthesize`].
struct Sink<'a> {
    take: &'a mut dyn FnMut(&[i16]) -> bool,
    panicked: Option<Box<dyn Any + Send>>,
}

thread_local! {
    /// The sink of the call in progress on this thread; null between calls.
    static SINK: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

/// The library's callback: 0 to go on, 1 to stop. A panic may not cross C and is carried around it.
extern "C" fn take(samples: *mut c_short, count: c_int, _events: *mut c_void) -> c_int {
    let sink = SINK.get().cast::<Sink<'_>>();
    let count = usize::try_from(count).unwrap_or(0);
    if sink.is_null() || samples.is_null() || count == 0 {
        return 0;
    }
    // SAFETY: `synthesize` set the pointer to its living sink and does not touch it until the library returns; the library
    // gives `count` valid samples.
    let (sink, samples) = unsafe { (&mut *sink, slice::from_raw_parts(samples, count)) };
    match catch_unwind(AssertUnwindSafe(|| (sink.take)(samples))) {
        Ok(more) => c_int::from(!more),
        Err(panic) => {
            sink.panicked = Some(panic);
            1
        }
    }
}

fn succeeded(status: c_uint, what: &str) -> Result<(), EngineError> {
    match status {
        0 => Ok(()),
        status => Err(EngineError::Failed { engine: ENGINE, reason: format!("{what}: {}", told(status)) }),
    }
}

/// The library's own words for a status.
fn told(status: c_uint) -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the library writes at most `length` bytes, the terminating zero among them.
    unsafe { espeak_ng_GetStatusCodeMessage(status, buffer.as_mut_ptr().cast(), buffer.len()) };
    let words = CStr::from_bytes_until_nul(&buffer).map(CStr::to_string_lossy).unwrap_or_default();
    format!("{words} (code {status:#x})")
}

/// The release that the library says it is, which must be the one that the data was made with.
fn release(info: &str) -> Result<&str, EngineError> {
    let installed = info.split_whitespace().next().unwrap_or_default();
    if installed == data::LIBRARY_VERSION {
        return Ok(installed);
    }
    Err(EngineError::Load(other_release(if installed.is_empty() { "one without a number" } else { installed })))
}

fn other_release(installed: &str) -> String {
    let built = data::LIBRARY_VERSION;
    format!(
        "Milo was built with libespeak-ng {built}, but {installed} is installed: build again (make run) or install {built}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_of_another_release_is_named_with_the_mend() {
        let built = data::LIBRARY_VERSION;
        assert_eq!(release(&format!("{built}  Data at: /usr/share")).unwrap(), built);
        for (info, said) in [
            ("1.48.15  16.Apr.15", "1.48.15"),
            (&*format!("{built}.9"), &*format!("{built}.9")),
            ("", "one without a number"),
        ] {
            let error = release(info).unwrap_err();
            assert!(matches!(error, EngineError::Load(_)));
            let error = error.to_string();
            assert!(error.contains(&format!("libespeak-ng {built}, but {said} is installed")), "{error}");
            assert!(error.contains("build again (make run)"), "{error}");
        }
    }
}
