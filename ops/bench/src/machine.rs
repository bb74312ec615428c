//! On what was measured: figures of one machine say nothing about another's.

use std::path::Path;

use serde::Serialize;

/// The machine, and the file system on which everything lay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    pub file_system: String,
}

/// Where a sync writes nothing.
const MEMORY_FILE_SYSTEM: &str = "tmpfs";

impl Machine {
    /// This machine, with the file system of `dir`. What it does not report is shown as unknown.
    pub fn here(dir: &Path) -> Self {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: total_memory_bytes(&memory).unwrap_or(0),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            file_system: rustix::fs::statfs(dir).map_or_else(|_| "unknown".into(), |stat| file_system_name(stat.f_type as u64)),
        }
    }

    /// Whether a sync costs anything where the data lay.
    pub fn syncs_to_a_disk(&self) -> bool {
        self.file_system != MEMORY_FILE_SYSTEM
    }

    /// In one line.
    pub fn text(&self) -> String {
        format!("{} cores, {:.1} GB of memory, Linux {}, {}", self.cores, self.memory_bytes as f64 / 1e9, self.kernel, self.file_system)
    }
}

fn total_memory_bytes(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// By the magic numbers of statfs(2).
fn file_system_name(magic: u64) -> String {
    match magic {
        0xef53 => "ext4".into(),
        0x5846_5342 => "xfs".into(),
        0x9123_683e => "btrfs".into(),
        0x2fc1_2fc1 => "zfs".into(),
        0x794c_7630 => "overlay".into(),
        0x0102_1994 => MEMORY_FILE_SYSTEM.into(),
        other => format!("file system {other:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described_in_one_line_and_a_file_system_in_memory_is_detected() {
        assert_eq!(total_memory_bytes("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        let machine = Machine { cores: 2, memory_bytes: 8_000_000_000, kernel: "6.1.0".into(), file_system: file_system_name(0x0102_1994) };
        assert_eq!(machine.text(), "2 cores, 8.0 GB of memory, Linux 6.1.0, tmpfs");
        assert!(!machine.syncs_to_a_disk());
        assert!(Machine { file_system: file_system_name(0xef53), ..machine }.syncs_to_a_disk());
    }
}
