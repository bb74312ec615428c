//! Memory of a process, as Linux tells it.

use anyhow::Context as _;
use serde::Serialize;

/// Resident memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProcessMemory {
    pub resident_bytes: u64,
    /// The highest since the process began.
    pub resident_bytes_max: u64,
}

impl ProcessMemory {
    /// Of a process that runs.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(id: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{id}/status");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{path} can't be read; does the process run?"))?;
        Self::parse(&text).with_context(|| format!("{path} tells no resident memory"))
    }

    /// From the text of `/proc/ID/status`, see proc_pid_status(5).
    fn parse(text: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kibibytes * 1024)
        };
        Some(Self { resident_bytes: bytes("VmRSS")?, resident_bytes_max: bytes("VmHWM")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_now_and_at_its_highest_is_read_from_the_process_status() {
        let text = "Name:\tkhod\nVmPeak:\t 9000 kB\nVmHWM:\t   70000 kB\nVmRSS:\t   61234 kB\nRssAnon:\t 5 kB\n";
        assert_eq!(ProcessMemory::parse(text), Some(ProcessMemory { resident_bytes: 61_234 * 1024, resident_bytes_max: 70_000 * 1024 }));
        assert_eq!(ProcessMemory::parse("Name:\tkthreadd\n"), None, "a thread of the kernel has none");
        assert_eq!(ProcessMemory::parse("VmRSS:\tmany kB\nVmHWM:\t1 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = ProcessMemory::of(std::process::id()).expect("it runs");
        assert!(memory.resident_bytes > 0 && memory.resident_bytes_max >= memory.resident_bytes);
    }
}
