//! Data that is known by name: the embedded list, and files to download once.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::corpus::hex;
use crate::disk::replace_file;
use crate::error::{Error, Result};

/// The environment variable for the folder that files are kept in, instead of the user's cache.
pub const CACHE_VARIABLE: &str = "CHARLOOM_CACHE";

/// The environment variable for the address to download from, `ADDRESS/NAME`, instead of each file's own.
pub const URL_VARIABLE: &str = "CHARLOOM_DATA_URL";

/// First names in the United States in 2018: the default training data.
pub const NAMES: &str = include_str!("../../data/us-names-2018.txt");

/// How addresses on this machine begin, for which http is allowed.
const LOCAL: [&str; 3] = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];

/// A data set that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dataset {
    /// The name to ask for it by.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
    /// Where it is downloaded from; none: it is embedded.
    pub url: Option<&'static str>,
}

const DATASETS: [Dataset; 3] = [
    Dataset {
        name: "us-names-2018.txt",
        about: "32,257 first names, United States 2018 (embedded; used when no data is named)",
        bytes: 229_804,
        sha256: "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053",
        url: None,
    },
    Dataset {
        name: "names.txt",
        about: "32,033 first names, as published with the makemore lectures",
        bytes: 228_145,
        sha256: "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        url: Some("https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"),
    },
    Dataset {
        name: "tinyshakespeare.txt",
        about: "1,115,394 characters of Shakespeare, as published with char-rnn",
        bytes: 1_115_394,
        sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        url: Some(
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        ),
    },
];

impl Dataset {
    /// All of them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &DATASETS
    }

    /// The one of this name; `.txt` may be left out.
    ///
    /// # Errors
    /// A name that is not known.
    pub fn get(name: &str) -> Result<Self> {
        let is = |set: &&Self| set.name == name || set.name.strip_suffix(".txt") == Some(name);
        DATASETS.iter().find(is).copied().ok_or_else(|| {
            let names: Vec<&str> = DATASETS.iter().map(|set| set.name).collect();
            Error::usage(format!("{name:?} is no known data set; known are {}", names.join(", ")))
        })
    }

    fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.bytes && hex(&Sha256::digest(bytes)) == self.sha256
    }
}

/// The folder that downloaded data is kept in.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The folder; made when something is put in it.
    pub folder: PathBuf,
    /// Where to download from, `ADDRESS/NAME`, instead of each data set's own address.
    pub address: Option<String>,
}

impl Cache {
    /// The user's cache: in the folder `CHARLOOM_CACHE`, else where the platform keeps caches; downloads are
    /// from `CHARLOOM_DATA_URL`, if that is set.
    ///
    /// # Errors
    /// There is neither `CHARLOOM_CACHE` nor a home folder.
    pub fn of_user() -> Result<Self> {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let own = || Some(directories::ProjectDirs::from("", "", "charloom")?.cache_dir().to_path_buf());
        let folder = named(CACHE_VARIABLE).map(PathBuf::from).or_else(own).ok_or_else(|| {
            Error::usage(format!("there is no home folder to keep data in; set {CACHE_VARIABLE} to a folder"))
        })?;
        Ok(Self {
            folder,
            address: named(URL_VARIABLE).map(|address| address.to_string_lossy().into_owned()),
        })
    }

    /// Where a data set's file is or would be.
    #[must_use]
    pub fn path(&self, set: &Dataset) -> PathBuf {
        self.folder.join(set.name)
    }

    /// The file, if it is there and whole; its SHA-256 is checked each time.
    #[must_use]
    pub fn find(&self, set: &Dataset) -> Option<PathBuf> {
        let path = self.path(set);
        let whole = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() == set.bytes)
            && fs::read(&path).is_ok_and(|bytes| set.is(&bytes));
        whole.then_some(path)
    }

    /// The file, fetched (or written, if it is embedded) unless it is there already.
    ///
    /// `fetch` is called with an address and a number of bytes. It returns all that the address sends, or
    /// stops once it has more than that number. The address is https, or http on this machine.
    ///
    /// # Errors
    /// As `fetch`; a file of another size or SHA-256 than the known one; a folder that cannot be written.
    pub fn get<F>(&self, set: &Dataset, fetch: F) -> Result<PathBuf>
    where
        F: FnOnce(&str, u64) -> std::result::Result<Vec<u8>, String>,
    {
        if let Some(path) = self.find(set) {
            return Ok(path);
        }
        let path = self.path(set);
        let bytes = match set.url {
            None => NAMES.as_bytes().to_vec(),
            Some(url) => self.download(set, url, fetch)?,
        };
        fs::create_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
        replace_file(&path, &bytes).map_err(|e| Error::io(&path, e))?;
        Ok(path)
    }

    fn download<F>(&self, set: &Dataset, url: &str, fetch: F) -> Result<Vec<u8>>
    where
        F: FnOnce(&str, u64) -> std::result::Result<Vec<u8>, String>,
    {
        let url = match &self.address {
            Some(address) => format!("{}/{}", address.trim_end_matches('/'), set.name),
            None => url.to_owned(),
        };
        let secure = url.starts_with("https://");
        if !secure && !LOCAL.iter().any(|start| url.starts_with(start)) {
            return Err(Error::usage(format!("{url}: not an https address (http only on this machine)")));
        }
        let bytes = fetch(&url, set.bytes).and_then(|bytes| {
            let other = "what was sent is not the file that is known (its size or SHA-256 is another)";
            if set.is(&bytes) { Ok(bytes) } else { Err(other.to_owned()) }
        });
        bytes.map_err(|message| {
            let place = self.path(set);
            Error::Failed(format!(
                "{url}: {message}; try again, or put the file at {} yourself",
                place.display()
            ))
        })
    }
}
