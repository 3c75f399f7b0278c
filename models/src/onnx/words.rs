//! What ONNX Runtime says of a fault, as a person is told it: its first line, without where in its own source it is said.
//! ```text
//!  FILE.cc:LINE FUNCTION(…) [with …] [ONNXRuntimeError] : 1 : FAIL : WORDS ; file=FILE.cc ; line=LINE ; expr=…
//!                                                                    ▔▔▔▔▔
//! ```

use std::ops::Range;

/// Its source lies in a folder of this name, wherever it was built.
const SOURCE: &str = "/onnxruntime/core/";
/// Stands before the number and the name of the fault.
const KIND: &str = "[ONNXRuntimeError] : ";
/// What tells of its source behind the words.
const ITS_OWN: [&str; 3] = ["file=", "line=", "expr="];

/// The words of a fault.
pub(super) fn words(error: &ort::Error) -> String {
    told(&error.to_string())
}

fn told(text: &str) -> String {
    let line = text.lines().next().unwrap_or(text);
    let is_its_own = |piece: &&str| ITS_OWN.iter().any(|own| piece.trim_start().starts_with(own));
    let mut words = line.split(" ; ").filter(|piece| !is_its_own(piece)).collect::<Vec<_>>().join("; ");
    while let Some(place) = place(&words) {
        words.replace_range(place, "");
    }
    let words = match words.split_once(KIND) {
        Some((before, kind)) => format!("{before}{}", kind.splitn(3, " : ").last().unwrap_or(kind)),
        None => words,
    };
    words.trim().to_owned()
}

/// Where a place in its source is named: the file, and where its line is told the function behind that.
fn place(text: &str) -> Option<Range<usize>> {
    let within = text.find(SOURCE)?;
    let start = text[..within].rfind([' ', ':', '=', '"', '(']).map_or(0, |before| before + 1);
    let end = text[within..].find(char::is_whitespace).map_or(text.len(), |length| within + length);
    let line = text[start..end].rsplit_once(':').map_or("", |(_, line)| line);
    let has_line = !line.is_empty() && line.bytes().all(|digit| digit.is_ascii_digit());
    Some(start..if has_line { end + function(&text[end..]) } else { end })
}

/// How long the function is that the text begins with: up to the end of its arguments, and what its types are.
fn function(text: &str) -> usize {
    let Some(end) = closed(text, '(', ')') else { return 0 };
    let types = &text[end..];
    end + if types.starts_with(" [with ") { closed(types, '[', ']').unwrap_or(0) } else { 0 }
}

/// Behind the bracket that closes the first one.
fn closed(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        if letter == open {
            depth += 1;
        } else if letter == close && depth > 0 {
            depth -= 1;
            if depth == 0 {
                return Some(at + close.len_utf8());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_without_where_in_its_source_it_is_said() {
        let source = "/onnxruntime_src/onnxruntime/core";
        for (text, says) in [
            (
                format!(
                    "{source}/session/provider_bridge_ort.cc:2195 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() \
                     [ONNXRuntimeError] : 1 : FAIL : Failed to load library libonnxruntime_providers_cuda.so with error: libcudnn.so.9: \
                     cannot open shared object file\n"
                ),
                "Failed to load library libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open shared object file",
            ),
            (
                format!(
                    "{source}/providers/cuda/cuda_call.cc:129 std::conditional_t<THRW, void, Status> onnxruntime::CudaCall(ERRTYPE, \
                     const char*, int (*)(int)) [with ERRTYPE = cudaError; char[] = x] CUDA failure 100: no CUDA-capable device is \
                     detected ; GPU=-1 ; file={source}/providers/cuda/cuda_execution_provider.cc ; line=282 ; expr=cudaSetDevice(1)"
                ),
                "CUDA failure 100: no CUDA-capable device is detected; GPU=-1",
            ),
            (format!("Load model from a.onnx failed:{source}/graph/model.cc:181 Model(const Model&) no opset"), {
                "Load model from a.onnx failed: no opset"
            }),
            ("CUDA execution provider is not enabled in this build.".into(), {
                "CUDA execution provider is not enabled in this build."
            }),
            (format!("see {source}/graph"), "see"),
            (format!("{source}/a.cc:1 cut ("), "cut ("),
        ] {
            assert_eq!(told(&text), says, "{text}");
        }
    }
}
