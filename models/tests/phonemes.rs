//! How the Malagasy voice says words: every line of `espeak/words.tsv`, asked of the dictionary that the build compiled.
//! A process of its own, since the library's state is global.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs, ptr,
};

use milo_models::espeak::data;

unsafe extern "C" {
    fn espeak_ng_InitializePath(path: *const c_char);
    fn espeak_ng_Initialize(context: *mut *mut c_void) -> u32;
    fn espeak_ng_SetVoiceByName(name: *const c_char) -> u32;
    fn espeak_TextToPhonemes(text: *mut *const c_void, text_mode: c_int, phoneme_mode: c_int) -> *const c_char;
}

/// The phonemes of one clause in the library's own names.
fn phonemes(text: &str) -> String {
    let text = CString::new(text).expect("no zero byte in the word list");
    let mut rest: *const c_void = text.as_ptr().cast();
    // SAFETY: UTF-8 (mode 1), NUL-terminated, alive during the call; the answer is copied before the next call.
    let said = unsafe { CStr::from_ptr(espeak_TextToPhonemes(&raw mut rest, 1, 0)) };
    said.to_string_lossy().trim().to_owned()
}

#[test]
fn every_listed_word_has_its_phonemes() {
    let folder = std::env::temp_dir().join(format!("milo-phonemes-{}", std::process::id()));
    for (name, content) in data::FILES {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    let path = CString::new(folder.to_str().unwrap()).unwrap();
    // SAFETY: NUL-terminated strings; this test is the process's only user of the library.
    unsafe {
        espeak_ng_InitializePath(path.as_ptr());
        assert_eq!(espeak_ng_Initialize(ptr::null_mut()), 0);
        assert_eq!(espeak_ng_SetVoiceByName(c"mg".as_ptr()), 0);
    }
    let (mut checked, mut wrong) = (0, Vec::new());
    for line in include_str!("../espeak/words.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (word, expected) = line.split_once('\t').expect("word, tab, phonemes");
        let said = phonemes(word);
        checked += 1;
        if said != expected {
            wrong.push(format!("{word}: {said}, not {expected}"));
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 100, "only {checked} words");
}
