//! Where graphs are computed: on the processor, or on an NVIDIA card by one of ONNX Runtime's execution providers.

use std::{fmt, path::PathBuf};

use ort::ep::{CUDA, ExecutionProviderDispatch, TensorRT};

use super::export::Precision;

/// Where graphs are computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// On the processor.
    #[default]
    Cpu,
    /// On the card of this number, by CUDA.
    Cuda {
        /// The first is 0.
        card: i32,
    },
    /// On the card of this number, by TensorRT, and what that does not know by CUDA.
    TensorRt {
        /// The first is 0.
        card: i32,
        /// The folder that keeps what TensorRT builds of each graph, which takes minutes, for the next start.
        cache: PathBuf,
    },
}

impl Device {
    /// In which precision a graph is computed best there: a card has no kernels for what is quantized as it runs.
    pub fn precision(&self, wanted: Precision) -> Precision {
        match self {
            Self::Cpu => wanted,
            Self::Cuda { .. } | Self::TensorRt { .. } => Precision::Half,
        }
    }

    /// What is asked to compute, the first first. What none of them knows, the processor does.
    pub(super) fn providers(&self) -> Vec<ExecutionProviderDispatch> {
        let cuda = |card| CUDA::default().with_device_id(card).build().error_on_failure();
        match self {
            Self::Cpu => Vec::new(),
            Self::Cuda { card } => vec![cuda(*card)],
            Self::TensorRt { card, cache } => {
                let tensorrt = TensorRT::default().with_device_id(*card).with_fp16(true);
                let tensorrt = tensorrt.with_engine_cache(true).with_engine_cache_path(cache.display());
                vec![tensorrt.build().error_on_failure(), cuda(*card)]
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("the processor"),
            Self::Cuda { card } => write!(f, "card {card} by CUDA"),
            Self::TensorRt { card, .. } => write!(f, "card {card} by TensorRT"),
        }
    }
}
