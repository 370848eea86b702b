//! Checks that data fits into memory before it is read.

use std::fs;

/// The most bytes of memory that training takes for each byte of a large file: for its tokens, its text while
/// that is encoded, and what feeds keep for each word.
const MEMORY_PER_BYTE: u64 = 6;

/// Checks that the data of a file of `size` bytes would fit; the error is a message.
pub fn check_file(size: u64, available: Option<u64>) -> Result<(), String> {
    check(size.saturating_mul(MEMORY_PER_BYTE), available)
        .map_err(|message| format!("takes {message}; cut it, or free some"))
}

/// Checks that `needed` bytes fit; the error is a message.
pub(crate) fn check(needed: u64, available: Option<u64>) -> Result<(), String> {
    match available {
        Some(available) if needed > available => {
            let [needed, available] = [needed, available].map(|bytes| bytes >> 20);
            Err(format!("about {needed} MiB of memory, and {available} MiB are free"))
        }
        _ => Ok(()),
    }
}

/// The bytes of memory that this program may still take; `None` if the system does not tell.
pub fn available() -> Option<u64> {
    let free = of_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let limit =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(free.min(limit.unwrap_or(u64::MAX)))
}

/// The available memory plus the free swap space in `/proc/meminfo`, in bytes.
fn of_meminfo(text: &str) -> Option<u64> {
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kilobytes("MemAvailable")? + kilobytes("SwapFree").unwrap_or(0)) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told() {
        assert_eq!(check_file(1 << 20, Some(6 << 20)), Ok(()));
        assert_eq!(check_file(u64::MAX, None), Ok(()));
        let told = check_file(1 << 30, Some(1 << 30)).unwrap_err();
        assert_eq!(told, "takes about 6144 MiB of memory, and 1024 MiB are free; cut it, or free some");
        let meminfo = "MemTotal:  65 kB\nMemFree: 3 kB\nMemAvailable:    2048 kB\nSwapFree:  1024 kB\n";
        assert_eq!(of_meminfo(meminfo), Some(3 << 20));
        assert_eq!(of_meminfo("MemFree: 3 kB"), None);
    }
}
