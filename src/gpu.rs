//! The memory of the graphics cards, as NVIDIA's driver tells it (NVML). Where there is no such driver, there are none.

use std::{
    ffi::OsStr,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nvml_wrapper::{Nvml, enums::device::UsedGpuMemory, error::NvmlError};
use tokio::time::Instant;

/// What was read serves for so long: the driver is slow beside a request.
const FRESH: Duration = Duration::from_secs(1);

/// Bytes, of all cards together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vram {
    /// What this process holds.
    pub own: u64,
    /// What all processes hold.
    pub used: u64,
    /// What there is.
    pub total: u64,
}

/// The cards of this machine.
pub struct Gpus {
    driver: Option<Nvml>,
    last: Mutex<Option<(Instant, Option<Vram>)>>,
}

impl fmt::Debug for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpus").field("driver", &self.driver.is_some()).finish_non_exhaustive()
    }
}

impl Gpus {
    /// Asks for the driver.
    pub fn new() -> Self {
        // The name without a number is there only where programs are built for it.
        let driver = Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init();
        Self { driver: driver.ok(), last: Mutex::default() }
    }

    /// The memory as it is now, or was within the last second; none without a card.
    pub fn vram(&self) -> Option<Vram> {
        let driver = self.driver.as_ref()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *last {
            Some((at, vram)) if now - at < FRESH => vram,
            _ => {
                let vram = read(driver).inspect_err(|error| tracing::debug!(%error, "the driver of the graphics card"));
                let vram = vram.ok().filter(|vram| vram.total > 0);
                *last = Some((now, vram));
                vram
            }
        }
    }
}

impl Default for Gpus {
    fn default() -> Self {
        Self::new()
    }
}

fn read(driver: &Nvml) -> Result<Vram, NvmlError> {
    let mut all = Vram::default();
    for number in 0..driver.device_count()? {
        let card = driver.device_by_index(number)?;
        let memory = card.memory_info()?;
        all.used += memory.used;
        all.total += memory.total;
        // Within a container the driver may not say whose it is.
        for process in card.running_compute_processes().unwrap_or_default() {
            if let (true, UsedGpuMemory::Used(bytes)) = (process.pid == std::process::id(), process.used_gpu_memory) {
                all.own += bytes;
            }
        }
    }
    Ok(all)
}
