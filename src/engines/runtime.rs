//! ONNX Runtime, and where it computes the graphs of the ears, the translator and the voices (`[engines] device`). Voice activity and the
//! end of a turn stay on the processor: they are small, and a card would be waited for.

use milo_models::{
    engine::EngineError,
    llama,
    onnx::{Device, OrtRuntime},
};

use crate::{
    config::{Config, GraphDevice},
    error::Error,
};

/// The library that is configured, for graphs that are computed where the configuration says.
///
/// # Errors
/// It is not there, or is none; TensorRT's folder cannot be made.
pub(crate) fn runtime(config: &Config) -> Result<OrtRuntime, Error> {
    let device = device(config);
    if let Device::TensorRt { cache, .. } = &device {
        std::fs::create_dir_all(cache).map_err(|error| {
            EngineError::Load(format!("the folder {} for TensorRT cannot be made: {error}", cache.display()))
        })?;
    }
    Ok(OrtRuntime::load(config.engines.onnxruntime.as_deref())?.on(device))
}

/// Where graphs are computed.
pub(super) fn device(config: &Config) -> Device {
    let card = i32::from(config.engines.card);
    match config.engines.device {
        GraphDevice::Cpu => Device::Cpu,
        GraphDevice::Cuda => Device::Cuda { card },
        GraphDevice::Tensorrt => Device::TensorRt { card, cache: config.data_dir.join("tensorrt") },
    }
}

/// Whether anything is computed on a card.
pub(crate) fn uses_cards(config: &Config) -> bool {
    llama::uses_cards() || device(config) != Device::Cpu
}
