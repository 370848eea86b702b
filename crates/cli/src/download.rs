//! Downloading: the only part of charloom that uses the network.
//!
//! With the feature `download` it has its own client, else it runs the system's curl. The caller verifies the
//! bytes.

#[cfg(not(feature = "download"))]
pub use curl::fetch;
#[cfg(feature = "download")]
pub use own::fetch;

#[cfg(feature = "download")]
mod own {
    use std::io::Read;
    use std::time::Duration;

    /// The body that a URL sends; at most `most` + 1 bytes of it, so that the caller can tell a larger one.
    ///
    /// # Errors
    /// It cannot be reached, or answers with an error; the text does not name the address.
    pub fn fetch(url: &str, most: u64) -> Result<Vec<u8>, String> {
        let secure = url.starts_with("https://");
        let config =
            ureq::Agent::config_builder().https_only(secure).timeout_global(Some(Duration::from_secs(120)));
        // Plain http is for this machine only, which a proxy cannot reach.
        let config = if secure { config } else { config.proxy(None) };
        let mut response = config.build().new_agent().get(url).call().map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        let mut body = response.body_mut().as_reader().take(most + 1);
        body.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

#[cfg(not(feature = "download"))]
mod curl {
    use std::io::Read;
    use std::process::{Command, Stdio};

    const WITHOUT: &str = "this charloom was built without downloading, and curl cannot be run; \
        build one with it: cargo install --path crates/cli --features download";

    /// The body that a URL sends; at most `most` + 1 bytes of it, so that the caller can tell a larger one.
    ///
    /// # Errors
    /// There is no curl; the address cannot be reached, or answers with an error.
    pub fn fetch(url: &str, most: u64) -> Result<Vec<u8>, String> {
        // `-q` ignores the user's curlrc. Plain http is for this machine only, which a proxy cannot reach.
        let own = if url.starts_with("https://") { ["--proto", "=https"] } else { ["--noproxy", "*"] };
        let mut curl = Command::new("curl");
        curl.args(["-q", "--silent", "--show-error", "--fail", "--location", "--max-time", "120"]);
        curl.args(own).args(["--url", url]);
        curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = curl.spawn().map_err(|error| format!("{WITHOUT} ({error})"))?;
        let mut bytes = Vec::new();
        let read = child.stdout.take().map(|body| body.take(most + 1).read_to_end(&mut bytes));
        // The pipe is closed by now, so that curl ends by itself even if there is more to send.
        let done = child.wait_with_output().map_err(|error| error.to_string())?;
        match read {
            Some(Err(error)) => Err(error.to_string()),
            _ if bytes.len() as u64 > most || done.status.success() => Ok(bytes),
            _ => Err(String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn no_more_is_read_than_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/data/names.txt", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut lines =
                    BufReader::new(stream.try_clone().expect("a clone")).lines().map_while(Result::ok);
                assert_eq!(lines.next().as_deref(), Some("GET /data/names.txt HTTP/1.1"));
                lines.find(String::is_empty);
                // An error is ignored: a reader that wants fewer bytes closes the connection early.
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
                let _ = stream.write_all(&vec![b'a'; 50_000_000]);
            }
        });
        assert_eq!(fetch(&address, 1000), Ok(vec![b'a'; 1001]));
        assert_eq!(fetch(&address, 50_000_000).expect("all").len(), 50_000_000);
        let nobody = fetch("http://127.0.0.1:1/names.txt", 1000).expect_err("nobody answers there");
        assert!(!nobody.is_empty() && !nobody.contains('\n'), "{nobody}");
    }
}
