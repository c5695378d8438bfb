//! The recording library: compiled on the spot, loaded into another process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::image::Disk;
use super::recording::Recording;

const SOURCE: &str = include_str!("recorder.c");

/// Records what a process does to the files of one directory.
#[derive(Debug)]
pub struct Recorder {
    library: PathBuf,
    log: PathBuf,
    directory: PathBuf,
    start: Disk,
}

impl Recorder {
    /// Records `directory`, which the recorded process must name as it is named here: absolute and without
    /// symbolic links. What the recorder needs of its own goes to `workshop`, another directory.
    ///
    /// # Errors
    ///
    /// Those of the files; [`NotFound`](io::ErrorKind::NotFound) without `cc`;
    /// [`Other`](io::ErrorKind::Other), with what the compiler says, if it refuses.
    pub fn new(workshop: &Path, directory: &Path) -> io::Result<Self> {
        let (source, library) = (workshop.join("recorder.c"), workshop.join("recorder.so"));
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-pthread", "-o"]);
        let output = compiler.arg(&library).arg(&source).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let start = Disk::read(directory)?;
        Ok(Self { library, log: workshop.join("recording"), directory: directory.to_owned(), start })
    }

    /// Has `command` recorded. `LD_PRELOAD` as it is in this process stays in force.
    pub fn record(&self, command: &mut Command) {
        self.listen(command);
        command.env("RECORDER_LOG", &self.log);
    }

    /// Has `command` follow [`Control`](super::Control), and records nothing.
    pub fn listen(&self, command: &mut Command) {
        let mut libraries = OsString::from(&self.library);
        if let Some(others) = std::env::var_os("LD_PRELOAD") {
            libraries.push(":");
            libraries.push(others);
        }
        command.env("LD_PRELOAD", libraries).env("RECORDER_DIRECTORY", &self.directory);
    }

    /// What was recorded, once the process has ended.
    ///
    /// # Errors
    ///
    /// Those of the files. [`InvalidData`](io::ErrorKind::InvalidData) if the files are not what the recording leads to:
    /// then something has changed them in a way that the recorder does not see, and its images would prove nothing.
    pub fn finish(&self) -> io::Result<Recording> {
        let recording = Recording::parse(&fs::read(&self.log)?, self.start.clone())?;
        let mut disk = self.start.clone();
        for operation in recording.operations() {
            disk.apply(operation)?;
        }
        disk.compare(&Disk::read(&self.directory)?)?;
        Ok(recording)
    }
}
