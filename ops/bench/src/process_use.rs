//! Memory and processor time of a process, as Linux reports them.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// Linux counts a process's time in hundredths of a second, see proc_pid_stat(5).
const TICKS_PER_SECOND: u64 = 100;

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
        Self::parse(&text).with_context(|| format!("{path} has no resident memory"))
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

/// Time that a running process has spent on processors, in its own code and in the system's.
///
/// # Errors
/// When there is no such process.
pub fn processor_time(id: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{id}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} can't be read; does the process run?"))?;
    parse_time(&text).with_context(|| format!("{path} has no time"))
}

/// From the text of `/proc/ID/stat`: `utime` and `stime` are the 14th and 15th field. The second is the program's name in
/// parentheses, which may hold spaces and parentheses.
fn parse_time(text: &str) -> Option<Duration> {
    let (_, behind_name) = text.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_that_holds_anything() {
        let text = "4711 (a ) 1 b) S 1 2 3 4 5 6 7 8 9 10 250 75 0 0 20 0 9 0 100 1 2";
        assert_eq!(parse_time(text), Some(Duration::from_millis(3_250)));
        assert_eq!(parse_time("4711 (khod) S 1 2"), None);
        assert!(processor_time(std::process::id()).is_ok());
    }

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
