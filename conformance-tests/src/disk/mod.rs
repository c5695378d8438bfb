//! What becomes of a store's files when the power fails or the disk does: for drivers that keep files of
//! their own. On Linux with glibc; needs a C compiler, `cc`, where the tests run.
//!
//! The store runs in a process of its own with a small library in it ([`Recorder`]) that writes down each of its
//! changes to the files of one directory. From that [`Recording`] come the disks that a power cut at any
//! moment may leave behind ([`Disk`]): what was not flushed is lost, kept, or torn at sectors of 512 bytes, a name
//! that was made or removed without flushing its directory is as it was. [`PowerCuts`] makes such disks by
//! the thousand, has each opened by the driver, and holds what is found there against the [`History`] of verbs that
//! the process has called. The same library makes calls fail ([`Control::arm`]).

mod control;
mod history;
mod image;
mod losses;
mod plan;
mod power_cut;
mod recorder;
mod recording;

pub use control::{Calls, Control, Fault, FaultKind};
pub use history::{History, Progress, State};
pub use image::{Disk, Image};
pub use power_cut::{PowerCuts, Report, Violation};
pub use recorder::Recorder;
pub use recording::{Operation, Recording};
