#![no_main]

#[path = "../properties.rs"]
#[allow(dead_code, reason = "a target runs one property")]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::authorization(bytes));
