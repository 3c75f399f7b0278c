//! What a model may be loaded with: a LoRA (`models/tests/lora_tiny.gguf`, made by `models/training/make_golden_lora.py`), and a cache of
//! fewer bits.

use super::*;

const ASKED: &str = "amin'ny ora firy no misokatra ny birao?";

fn lora(scale: f32) -> LlamaOptions {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lora_tiny.gguf");
    LlamaOptions { lora: Some((path, scale)), ..LlamaOptions::default() }
}

#[tokio::test]
async fn a_lora_changes_what_is_said_as_strongly_as_it_is_applied() {
    let plain = answer(&load(LlamaOptions::default()), ASKED).await;
    assert_eq!(answer(&load(lora(0.0)), ASKED).await, plain, "it is applied with no strength");
    assert_ne!(answer(&load(lora(1.0)), ASKED).await, plain);
}

#[test]
fn what_is_no_lora_is_told_by_its_file() {
    for (file, says) in [(demo("mind.gguf"), "is no LoRA adapter"), (demo("none.gguf"), "cannot be read")] {
        let options = LlamaOptions { lora: Some((file.clone(), 1.0)), ..LlamaOptions::default() };
        let error = Llama::load(&demo("mind.gguf"), options).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(says) && error.contains(&*file.to_string_lossy()), "{error}");
    }
}

#[tokio::test]
async fn a_cache_of_fewer_bits_answers_too_and_flash_attention_changes_nothing() {
    let plain = answer(&load(LlamaOptions::default()), ASKED).await;
    for flash_attention in [Some(true), Some(false)] {
        assert_eq!(answer(&load(LlamaOptions { flash_attention, ..LlamaOptions::default() }), ASKED).await, plain);
    }
    for cache in [CacheType::Q8, CacheType::Q4] {
        let said = answer(&load(LlamaOptions { cache, ..LlamaOptions::default() }), ASKED).await;
        assert!(said.split_whitespace().count() > 2, "{cache:?}: {said:?}");
    }
}
