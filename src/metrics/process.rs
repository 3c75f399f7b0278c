//! What this process takes of its machine.

use std::fs;

use prometheus::{Counter, IntGauge, Registry};

use super::{add, whole};

/// The figures of the process.
#[derive(Debug)]
pub(super) struct Process {
    memory: IntGauge,
    cpu: Counter,
    files: IntGauge,
    tasks: IntGauge,
}

impl Process {
    pub(super) fn new(r: &Registry) -> Self {
        let gauge = |name: &str, help: &str| add(r, IntGauge::new(name, help));
        Self {
            memory: gauge("process_resident_memory_bytes", "Memory of this process."),
            cpu: add(r, Counter::new("process_cpu_seconds_total", "Processor time of this process.")),
            files: gauge("process_open_fds", "Files and sockets that this process holds open."),
            tasks: gauge("milo_tasks", "Tasks that are at work or wait, those of calls among them."),
        }
    }

    /// Takes the number of tasks, and reads `/proc/self`; what cannot be read stays as it was.
    pub(super) fn read(&self, tasks: usize) {
        self.tasks.set(whole(tasks));
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<i64>().ok());
        if let Some(kilobytes) = kilobytes {
            self.memory.set(kilobytes * 1024);
        }
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Fields 14 and 15 of proc(5), counted behind the name in brackets; in ticks of 1/100 s on every Linux of today.
        let ticks: Vec<f64> = stat
            .rsplit(')')
            .next()
            .into_iter()
            .flat_map(|rest| rest.split_whitespace().skip(11).take(2))
            .filter_map(|field| field.parse().ok())
            .collect();
        if let [user, system] = ticks[..] {
            self.cpu.inc_by(((user + system) / 100.0 - self.cpu.get()).max(0.0));
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            self.files.set(whole(files.count()));
        }
    }
}
