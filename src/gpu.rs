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

/// The memory of one card, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// What nobody has.
    pub free: u64,
    /// What there is.
    pub total: u64,
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

/// The cards that CUDA lets this process use, in the order in which it counts them, as they are now; none without one, or without a driver
/// that tells. It waits for that. (Cards that differ are counted by CUDA as here with `CUDA_DEVICE_ORDER=PCI_BUS_ID` alone.)
pub fn cards() -> Vec<Card> {
    let Some(driver) = driver() else { return Vec::new() };
    let number = driver.device_count().unwrap_or_default();
    let all: Vec<_> = (0..number).map_while(|number| card(&driver, number).ok()).collect();
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    let said = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    visible(said.as_deref(), &names).into_iter().map(|number| all[number].1).collect()
}

fn card(driver: &Nvml, number: u32) -> Result<(String, Card), NvmlError> {
    let card = driver.device_by_index(number)?;
    let memory = card.memory_info()?;
    Ok((card.uuid()?, Card { free: memory.free, total: memory.total }))
}

/// Which of the cards of these names `CUDA_VISIBLE_DEVICES` shows, in its order: by their numbers, or by how their names begin. What is none
/// ends the list, as it does for CUDA.
fn visible(said: Option<&str>, names: &[&str]) -> Vec<usize> {
    let Some(said) = said else { return (0..names.len()).collect() };
    let meant = |one: &str| match one.trim() {
        name if name.starts_with("GPU-") => names.iter().position(|known| known.starts_with(name)),
        number => number.parse().ok().filter(|number| *number < names.len()),
    };
    said.split(',').map_while(meant).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_counted_as_cuda_is_told_to() {
        let names = ["GPU-1a2b", "GPU-77c0", "GPU-77d1"];
        for (said, shown) in [
            (None, &[0, 1, 2][..]),
            (Some("2, 0"), &[2, 0]),
            (Some("GPU-77d,GPU-1a2b"), &[2, 0]),
            (Some("1,3,0"), &[1]),
            (Some("1,-1,0"), &[1]),
            (Some(""), &[]),
        ] {
            assert_eq!(visible(said, &names), shown, "{said:?}");
        }
    }
}
