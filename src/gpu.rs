//! The memory of the graphics cards, and how busy they are, as NVIDIA's driver tells it (NVML). Where there is no such driver, there are none.
//!
//! The driver is asked by a thread of its own, once a second: it may be slow, and whoever wants to know waits for nothing.

use std::{
    ffi::OsStr,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use nvml_wrapper::{Nvml, enums::device::UsedGpuMemory, error::NvmlError};

/// How often the driver is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Bytes of all cards together, and the use of the busiest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vram {
    /// What this process holds.
    pub own: u64,
    /// What all processes hold.
    pub used: u64,
    /// What there is.
    pub total: u64,
    /// In how much of the last moment something was computed on the busiest card, in percent; none where no card tells.
    pub use_percent: Option<u32>,
}

/// The cards of this machine. The thread that asks ends with it.
#[derive(Debug)]
pub struct Gpus(Arc<Mutex<Option<Vram>>>);

impl Gpus {
    /// Starts the thread that asks, where there is a driver.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> std::io::Result<Self> {
        let last = Arc::default();
        let told = Arc::downgrade(&last);
        thread::Builder::new().name("gpu".into()).spawn(move || ask(&told))?;
        Ok(Self(last))
    }

    /// The memory as it was within the last second; none without a card.
    pub fn vram(&self) -> Option<Vram> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory as it is now; none without a card. It waits for the driver.
pub fn now() -> Option<Vram> {
    read(&driver()?).ok().filter(|vram| vram.total > 0)
}

fn driver() -> Option<Nvml> {
    // The name without a number is there only where programs are built for it.
    Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init().ok()
}

fn ask(told: &Weak<Mutex<Option<Vram>>>) {
    let Some(driver) = driver() else { return };
    loop {
        let vram = read(&driver).inspect_err(|error| tracing::debug!(%error, "the driver of the graphics card"));
        let Some(last) = told.upgrade() else { return };
        *last.lock().unwrap_or_else(PoisonError::into_inner) = vram.ok().filter(|vram| vram.total > 0);
        drop(last);
        thread::sleep(EVERY);
    }
}

fn read(driver: &Nvml) -> Result<Vram, NvmlError> {
    let mut all = Vram::default();
    for number in 0..driver.device_count()? {
        let card = driver.device_by_index(number)?;
        let memory = card.memory_info()?;
        all.used += memory.used;
        all.total += memory.total;
        // A part of a card, as a partition is one, does not tell.
        all.use_percent = all.use_percent.max(card.utilization_rates().ok().map(|rates| rates.gpu));
        // Within a container the driver may not say whose it is.
        for process in card.running_compute_processes().unwrap_or_default() {
            if let (true, UsedGpuMemory::Used(bytes)) = (process.pid == std::process::id(), process.used_gpu_memory) {
                all.own += bytes;
            }
        }
    }
    Ok(all)
}
