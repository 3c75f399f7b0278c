//! The voice data that the build made: carried by the binary, unpacked into a folder, checked before the library reads it.

use std::{fs, path::Path};

use crate::engine::EngineError;

include!(concat!(env!("OUT_DIR"), "/espeak_data.rs"));

/// The folder of voice variants inside the data folder.
const VARIANTS: &str = "voices/!v";
/// The library keeps the path in 160 bytes and appends file names to it.
const MAX_PATH: usize = 120;

/// Checks a data folder: the library itself would crash on a truncated sound file.
///
/// Sound files must be those of this build; dictionaries and voices must be there, and may be edited.
///
/// # Errors
/// [`EngineError::Load`] names the first file that is wrong, and the mend.
pub(super) fn check(folder: &Path) -> Result<(), EngineError> {
    if folder.as_os_str().len() > MAX_PATH {
        return Err(EngineError::Load(format!(
            "the path of the voice data is longer than the {MAX_PATH} bytes that espeak-ng can hold: {}: \
             choose a shorter data folder",
            folder.display()
        )));
    }
    for (name, content) in FILES {
        let file = folder.join(name);
        let wrong = |what: &str| {
            Err(EngineError::Load(format!(
                "the voice data file {} {what}: remove the folder {} and start again, it is then unpacked anew",
                file.display(),
                folder.display()
            )))
        };
        match fs::read(&file) {
            Err(error) => return wrong(&format!("cannot be read ({error})")),
            Ok(found) if SOUNDS.contains(name) && found != *content => return wrong("is not the one of this build"),
            Ok(found) if found.is_empty() && !content.is_empty() => return wrong("is empty"),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The variants that the folder offers, sorted.
pub(super) fn variants(folder: &Path) -> Result<Vec<String>, EngineError> {
    let folder = folder.join(VARIANTS);
    let entries = fs::read_dir(&folder).map_err(|error| {
        EngineError::Load(format!("cannot list the voice variants in {}: {error}", folder.display()))
    })?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
