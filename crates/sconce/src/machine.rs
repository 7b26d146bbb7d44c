//! What this machine has, as far as the system tells: processors, memory, and what a container allows.

use std::fs;
use std::path::{Path, PathBuf};

/// The processors and the memory of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Machine {
    /// The processor's own name.
    pub(crate) processor: Option<String>,
    /// Processors of the machine.
    pub(crate) processors: Option<usize>,
    /// Those that this process may use: fewer than there are where a container or an affinity says so.
    pub(crate) processors_usable: usize,
    pub(crate) memory_bytes: Option<u64>,
    /// What the system could still give to anybody.
    pub(crate) memory_free_bytes: Option<u64>,
    /// What the tightest of the control groups around this process allows.
    pub(crate) limit: Option<MemoryLimit>,
}

/// A bound on the memory of a control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    pub(crate) bytes: u64,
    /// What the group has taken already, caches of files that can be dropped apart.
    pub(crate) used_bytes: u64,
}

impl MemoryLimit {
    pub(crate) fn left_bytes(self) -> u64 {
        self.bytes.saturating_sub(self.used_bytes)
    }
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn look() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let count = entries(&cpus, "processor").count();
        Self {
            processor: entries(&cpus, "model name").next().map(str::to_owned),
            processors: Some(count).filter(|it| *it > 0),
            processors_usable: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes(&memory, "MemTotal"),
            memory_free_bytes: kibibytes(&memory, "MemAvailable"),
            limit: memory_limit(Path::new("/")),
        }
    }

    /// What this process could still take.
    pub(crate) fn affordable_bytes(&self) -> Option<u64> {
        let left = self.limit.map(MemoryLimit::left_bytes);
        [self.memory_free_bytes, left].into_iter().flatten().min()
    }
}

/// The values of all lines of the form `name : value`.
fn entries<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

/// A line such as `MemTotal: 10 kB`, in bytes.
pub(crate) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = entries(text, name).next()?;
    let count: u64 = value.strip_suffix("kB")?.trim().parse().ok()?;
    count.checked_mul(1024)
}

/// The tightest bound among the control groups that this process is in, of the second version or of
/// the first; `root` is where the system's files begin.
fn memory_limit(root: &Path) -> Option<MemoryLimit> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let found = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        if controllers.is_empty() {
            limits(&root.join("sys/fs/cgroup"), path, &UNIFIED)
        } else if controllers.split(',').any(|it| it == "memory") {
            limits(&root.join("sys/fs/cgroup/memory"), path, &SEPARATE)
        } else {
            Vec::new()
        }
    });
    found.min_by_key(|it| it.left_bytes())
}

/// How a version of control groups calls its files.
struct Names {
    limit: &'static str,
    used: &'static str,
    /// The entry of `memory.stat` that counts what can be dropped.
    droppable: &'static str,
}

const UNIFIED: Names = Names {
    limit: "memory.max",
    used: "memory.current",
    droppable: "inactive_file",
};
const SEPARATE: Names = Names {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    droppable: "total_inactive_file",
};
/// The first version says "no limit" by a number near the largest.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// The bounds of the group at `path` and of those around it. Inside a container the path may be of
/// the world outside; then the container's own group is the mount itself.
fn limits(mount: &Path, path: &str, names: &Names) -> Vec<MemoryLimit> {
    let inside: PathBuf = mount.join(path.trim_start_matches('/'));
    let groups = inside.ancestors().take_while(|it| it.starts_with(mount));
    groups.filter_map(|it| limit_of(it, names)).collect()
}

fn limit_of(group: &Path, names: &Names) -> Option<MemoryLimit> {
    let number = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(group.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let bytes = number(names.limit).filter(|it| *it < NO_LIMIT_BYTES)?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let droppable = stat.lines().find_map(|line| {
        let (name, count) = line.split_once(' ')?;
        (name == names.droppable).then(|| count.trim().parse::<u64>().ok())?
    });
    let used = number(names.used).unwrap_or(0);
    Some(MemoryLimit {
        bytes,
        used_bytes: used.saturating_sub(droppable.unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a system's root, gone with the value.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let name = format!("sconce-machine-{}-{name}", std::process::id());
            let root = Self(std::env::temp_dir().join(name));
            for (path, text) in files {
                let path = root.0.join(path);
                fs::create_dir_all(path.parent().expect("a file lies in a folder"))
                    .and_then(|()| fs::write(&path, text))
                    .expect("a temporary folder can be written to");
            }
            root
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn limit(bytes: u64, used_bytes: u64) -> Option<MemoryLimit> {
        Some(MemoryLimit { bytes, used_bytes })
    }

    #[test]
    fn memory_is_read_off_the_systems_tables() {
        let text = "MemTotal:  10 kB\nMemAvailable:   23 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable"), Some(23 * 1024));
        assert_eq!(kibibytes("MemAvailable: many", "MemAvailable"), None);
        let text = "processor\t: 0\nmodel name\t: A: B\nprocessor\t: 1\n";
        assert_eq!(entries(text, "processor").count(), 2);
        assert_eq!(entries(text, "model name").next(), Some("A: B"));
    }

    #[test]
    fn the_tightest_group_around_the_process_bounds_it() {
        let nested = Root::new(
            "nested",
            &[
                ("proc/self/cgroup", "0::/outer/inner\n"),
                ("sys/fs/cgroup/memory.max", "9000\n"),
                ("sys/fs/cgroup/outer/memory.max", "800\n"),
                ("sys/fs/cgroup/outer/memory.current", "500\n"),
                (
                    "sys/fs/cgroup/outer/memory.stat",
                    "anon 400\ninactive_file 90\n",
                ),
                ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ],
        );
        assert_eq!(memory_limit(&nested.0), limit(800, 410));
    }

    #[test]
    fn a_container_is_bounded_by_its_mount_in_either_version() {
        let second = Root::new(
            "second",
            &[
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/memory.max", "700\n"),
                ("sys/fs/cgroup/memory.current", "900\n"),
            ],
        );
        assert_eq!(memory_limit(&second.0), limit(700, 900));
        assert_eq!(
            memory_limit(&second.0).map(MemoryLimit::left_bytes),
            Some(0)
        );
        let first = Root::new(
            "first",
            &[
                (
                    "proc/self/cgroup",
                    "3:cpu,cpuacct:/\n2:memory:/docker/abc\n",
                ),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "600\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "200\n"),
                (
                    "sys/fs/cgroup/memory/memory.stat",
                    "total_inactive_file 50\n",
                ),
            ],
        );
        assert_eq!(memory_limit(&first.0), limit(600, 150));
        let free = Root::new(
            "free",
            &[
                ("proc/self/cgroup", "2:memory:/\n"),
                (
                    "sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
            ],
        );
        assert_eq!(memory_limit(&free.0), None);
        assert_eq!(memory_limit(Path::new("/nowhere")), None);
    }

    #[test]
    fn what_is_left_of_the_limit_bounds_what_is_free() {
        let machine = |memory_free_bytes, limit| Machine {
            memory_free_bytes,
            limit,
            ..Machine::default()
        };
        assert_eq!(machine(Some(50), None).affordable_bytes(), Some(50));
        assert_eq!(
            machine(Some(50), limit(40, 10)).affordable_bytes(),
            Some(30)
        );
        assert_eq!(machine(None, None).affordable_bytes(), None);
    }
}
