//! What a process costs, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// Costs of a process so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, its own and the kernel's on its behalf.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub resident: u64,
    /// The part of it that is not mapped from a file.
    pub anonymous: u64,
}

impl Usage {
    /// Of a process that runs.
    ///
    /// # Errors
    /// When it does not.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self {
            cpu: cpu(&stat, clock_ticks_per_second())?,
            resident: memory(&status, "VmRSS:")?,
            anonymous: memory(&status, "RssAnon:")?,
        })
    }
}

/// The processor time of the threads that a process has now, to the nanosecond; those that
/// have ended are not counted.
///
/// # Errors
/// When it does not run.
pub fn running(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // Nanoseconds on a processor, nanoseconds waiting for one, time slices.
        let schedule = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_processor = schedule.split_whitespace().next();
        sum += on_processor.context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

/// `utime` and `stime` are the 14th and 15th field; the second may have blanks in it.
fn cpu(stat: &str, ticks_per_second: u64) -> Result<Duration> {
    let (_, fields) = stat.rsplit_once(')').context("no command in stat")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || -> Result<u64> { Ok(fields.next().context("stat is too short")?.parse()?) };
    let ticks = next()? + next()?;
    Ok(Duration::from_millis(ticks * 1000 / ticks_per_second))
}

fn memory(status: &str, line: &str) -> Result<u64> {
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let number = found.and_then(|text| text.split_whitespace().next());
    let number = number.with_context(|| format!("no {line} in status"))?;
    Ok(number.parse::<u64>()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 3 0 0 0 150 50 9 9 20 0 4 0 1 2 3";
        assert_eq!(cpu(stat, 100).unwrap(), Duration::from_secs(2));
        let status = "Name:\ta\nVmHWM:\t   200 kB\nVmRSS:\t   100 kB\n";
        assert_eq!(memory(status, "VmRSS:").unwrap(), 100 * 1024);
        assert!(cpu("7 (a", 100).is_err() && memory("", "VmRSS:").is_err());
    }

    #[test]
    fn our_own_memory_is_more_than_nothing() {
        let own = Usage::of(std::process::id()).unwrap();
        assert!(own.resident > 1 << 20 && own.anonymous < own.resident);
    }

    #[test]
    fn our_own_threads_use_the_processor() {
        let before = running(std::process::id()).unwrap();
        let work = (0..1_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        assert!(running(std::process::id()).unwrap() > before, "{work}");
    }
}
