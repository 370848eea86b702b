//! Whether what is begun fits into memory, known before it is.

use std::fs;

/// The most bytes of memory that a training takes for each byte of a large file: its tokens, its text while they are made, and
/// what feeds take for each word.
const FOR_EACH: u64 = 6;

/// A message if the data of a file of `size` bytes would not fit.
pub fn check_file(size: u64, available: Option<u64>) -> Result<(), String> {
    check(size.saturating_mul(FOR_EACH), available)
        .map_err(|message| format!("takes {message}; cut it, or free some"))
}

/// A message if so many bytes would not fit.
pub(crate) fn check(needed: u64, available: Option<u64>) -> Result<(), String> {
    match available {
        Some(available) if needed > available => {
            let [needed, available] = [needed, available].map(|bytes| bytes >> 20);
            Err(format!("about {needed} MiB of memory, and {available} MiB are free"))
        }
        _ => Ok(()),
    }
}

/// The bytes of memory that a program may still have; none where the system does not tell.
pub fn available() -> Option<u64> {
    let free = of_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let limit =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(free.min(limit.unwrap_or(u64::MAX)))
}

/// What Linux says in kilobytes: what is free or can be freed, and what can be swapped out.
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
