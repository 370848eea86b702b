//! How all files are replaced, and the file operations that this takes.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::{Error, Result};

/// What the name of a half-written file begins with.
pub(crate) const TEMPORARY: &str = ".charloom-";

/// The file operations of a run, a method each. A test's own disk lets any of them fail, and records them to
/// simulate a power cut.
pub(crate) trait Disk: Debug + Send {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Opens a file to append to, new or not.
    fn open_append(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).read(true).append(true).open(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn write(&self, _path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn set_len(&self, _path: &Path, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, _path: &Path, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Gives a file a second name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Windows has no folders to open, and syncs a rename by itself.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }
}

/// The operating system's disk.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {}

/// Replaces a file as a whole or not at all: a temporary beside it is written, synced and renamed, and the
/// folder synced. When anything fails before the renaming, the temporary is removed and the file is as it
/// was.
///
/// # Errors
/// What the operating system says.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(&RealDisk, path, &|to| to(bytes), None)?;
    RealDisk.sync_folder(folder_of(path))
}

/// Passes the bytes of a file to its argument, some at a time.
pub(crate) type Bytes<'b> = dyn Fn(&mut dyn FnMut(&[u8])) + 'b;

/// How many bytes are gathered before they are written.
const AT_ONCE: usize = 1 << 20;

/// As [`replace_file`], but the bytes are given some at a time, and the folder is not synced: until it is, a
/// power cut may bring the old file back. The old file stays under the name `keep`, if given.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    bytes: &Bytes<'_>,
    keep: Option<&Path>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let builder = &mut tempfile::Builder::new();
    let (file, mut temporary) =
        builder.prefix(TEMPORARY).make_in(folder, |path| disk.create_new(path))?.into_parts();
    let (mut gathered, mut written) = (Vec::new(), Ok(()));
    bytes(&mut |some| {
        gathered.extend_from_slice(some);
        if gathered.len() >= AT_ONCE {
            if written.is_ok() {
                written = disk.write(&temporary, &file, &gathered);
            }
            gathered.clear();
        }
    });
    written?;
    disk.write(&temporary, &file, &gathered)?;
    disk.sync(&temporary, &file)?;
    if let Some(keep) = keep {
        keep_as(disk, path, keep)?;
    }
    disk.rename(&temporary, path)?;
    temporary.disable_cleanup(true);
    Ok(())
}

/// Gives the file at `path`, if there is one, the second name `keep`.
fn keep_as(disk: &dyn Disk, path: &Path, keep: &Path) -> io::Result<()> {
    remove(disk, keep)?;
    match disk.link(path, keep) {
        // There is no old file, or the file system has no hard links: then nothing is kept.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Removes a file; returns whether there was one.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true),
    }
}

/// Makes a folder and the folders above it, each synced, so that it survives a power cut.
pub(crate) fn create_folders(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    create_folders(disk, parent)?;
    disk.create_folder(path)?;
    disk.sync_folder(parent)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Opens a regular file for reading; refuses folders, and pipes and devices, which might never end.
pub(crate) fn open_regular(path: &Path) -> Result<File> {
    let meta = fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if meta.is_dir() {
        return Err(Error::model(path, "a folder, not a file"));
    }
    if !meta.is_file() {
        return Err(Error::model(path, "not a regular file; copy its contents to one first"));
    }
    File::open(path).map_err(|error| Error::io(path, error))
}
