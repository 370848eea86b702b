//! Files and names: what may not be read or written, is no model, or is none that a model file may hold.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use super::{charloom, done, folder, program, refused, refused_by, trained};

#[cfg(unix)]
#[test]
fn what_may_not_be_read_or_written_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    let home = trained("--model bigram");
    let path = home.path();
    fs::create_dir(path.join("closed")).unwrap();
    // Root may do everything, so for root the command runs as nobody, from where nobody may run it.
    let nobody = (fs::metadata(path).unwrap().uid() == 0).then_some(65534);
    let program = path.join("program");
    // By another process: while this one writes it, a program that another test starts would hold it open for
    // writing, and it could not be run.
    let copied = Command::new("cp").arg(assert_cmd::cargo::cargo_bin!("charloom")).arg(&program).status();
    assert!(copied.unwrap().success());
    for name in [".", "names", "program", "closed", "run"] {
        chown(path.join(name), nobody, nobody).unwrap();
    }
    for (name, mode) in [("names", 0o000), ("run/best.safetensors", 0o000), ("closed", 0o500)] {
        chown(path.join(name), nobody, nobody).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for (args, said) in [
        ("train names --out another", "names: no permission to read this file"),
        ("sample run", "run/best.safetensors: "),
        ("score run program", "run/best.safetensors: "),
        ("train --model bigram --out closed/run", "closed/run: "),
        ("train --model bigram --out run/best.safetensors/run", "run/best.safetensors/run: "),
    ] {
        let mut command = Command::new(&program);
        if let Some(nobody) = nobody {
            command.uid(nobody).gid(nobody);
        }
        refused_by(&mut command, path, args, 1, said);
    }
}

#[cfg(unix)]
#[test]
fn special_files_are_not_touched() {
    let home = folder();
    let path = home.path();
    assert!(Command::new("mkfifo").arg(path.join("pipe")).status().unwrap().success());
    refused(path, "train pipe --out run", 1, "not a regular file");
    refused(path, "sample pipe", 1, "not a regular file");
    refused(path, "train names --config pipe --out run", 1, "not a regular file");
    fs::write(path.join("precious"), "mine").unwrap();
    fs::create_dir(path.join("run")).unwrap();
    std::os::unix::fs::symlink("../precious", path.join("run/best.safetensors")).unwrap();
    done(path, "train names --model bigram --out run --force");
    assert_eq!(fs::read_to_string(path.join("precious")).unwrap(), "mine");
    fs::remove_file(path.join("run/metrics.jsonl")).unwrap();
    std::os::unix::fs::symlink("../precious", path.join("run/metrics.jsonl")).unwrap();
    refused(path, "train names --model bigram --out run --force", 1, "metrics.jsonl: ");
    assert_eq!(fs::read_to_string(path.join("precious")).unwrap(), "mine");

    let mut child = program();
    child.current_dir(path).args(["train", "-", "--out", "zeros"]).stdin(File::open("/dev/zero").unwrap());
    let output = child.stdout(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("NUL at byte 0"));
    assert!(!path.join("zeros").exists());
}

#[test]
fn what_is_no_model_and_no_text_is_named() {
    let home = folder();
    let path = home.path();
    fs::write(
        path.join("pointer.safetensors"),
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
    )
    .unwrap();
    fs::write(path.join("page.safetensors"), "\n<!DOCTYPE HTML>\n<html><body>Not found</body></html>\n")
        .unwrap();
    refused(path, "sample pointer.safetensors", 1, "a git-LFS pointer, not the file itself");
    for (magic, what) in
        [(&b"\x1f\x8b\x08\0"[..], "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")]
    {
        fs::write(path.join("packed.safetensors"), [magic, &[0; 200]].concat()).unwrap();
        refused(path, "sample packed.safetensors", 1, &format!("is compressed with {what}; unpack it first"));
    }
    refused(path, "sample page.safetensors", 1, "an HTML page, no model");
    fs::copy(path.join("page.safetensors"), path.join("page")).unwrap();
    let warned = String::from_utf8(charloom(path, "info page").stderr).unwrap();
    assert!(warned.contains("warning: is an HTML page"), "{warned}");
}

#[test]
fn a_damaged_file_of_a_run_is_not_taken_for_data() {
    let home = trained("--model linear --steps 2");
    let path = home.path();
    let metrics = path.join("run/metrics.jsonl");
    fs::write(&metrics, fs::read_to_string(&metrics).unwrap() + "{}\n").unwrap();
    for args in ["plot run loss", "compare run run"] {
        let said = String::from_utf8(charloom(path, args).stderr).unwrap();
        assert!(said.contains("none that charloom wrote") && !said.contains("--data"), "{said}");
    }
}

/// A model file that says of itself what no training accepts.
#[test]
fn settings_of_a_file_are_refused_as_the_files() {
    let home = trained("--model linear --steps 2");
    let path = home.path();
    let file = path.join("run/last.safetensors");
    // As many bytes as before, so that nothing moves.
    for (from, to) in
        [("warmup = 0.0", "warmup = 9.0"), ("split = [0.8, 0.1, 0.1]", "split = [0.8, 0.9, 0.1]")]
    {
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        sign(&mut bytes);
        let other = path.join("other.safetensors");
        fs::write(&other, &bytes).unwrap();
        for command in ["eval", "sample", "info"] {
            let name = to.split(' ').next().unwrap();
            refused(
                path,
                &format!("{command} other.safetensors"),
                1,
                &format!("other.safetensors: --{name} "),
            );
        }
    }
}

/// Puts the checksum of a model file right.
fn sign(bytes: &mut [u8]) {
    use sha2::{Digest, Sha256};
    let at = 8 + "{\"__metadata__\":{\"sha256\":\"".len();
    bytes[at..at + 64].fill(b'0');
    let digest: String = Sha256::digest(&*bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[at..at + 64].copy_from_slice(digest.as_bytes());
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_end_no_program() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let home = folder();
    let path = home.path();
    let odd = OsStr::from_bytes(b"odd-\xff");
    fs::copy(path.join("names"), path.join(odd)).unwrap();
    let run = |args: &[&OsStr]| program().current_dir(path).args(args).output().unwrap();
    let words = |text: &'static str| text.split(' ').map(OsStr::new);
    let all = |before: &'static str, after: &'static str| -> Vec<&OsStr> {
        words(before).chain([odd]).chain(words(after)).collect()
    };
    let refused = run(&all("train", "--model linear --steps 2 --out run"));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("a configuration holds no name that is not UTF-8; rename it"), "{stderr}");
    assert!(!path.join("run").exists());
    fs::remove_file(path.join(odd)).unwrap();
    done(path, "train names --hidden 4 --steps 2 --out other");
    fs::rename(path.join("other"), path.join(odd)).unwrap();
    for flag in ["--teacher", "--init-from"] {
        let args: Vec<&OsStr> = ["train", "names", "--hidden", "4", "--steps", "2", "--out", "run", flag]
            .map(OsStr::new)
            .to_vec();
        let refused = run(&[&args[..], &[odd]].concat());
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(
            refused.status.code() == Some(2) && stderr.contains("not UTF-8; rename it"),
            "{flag}: {stderr}"
        );
    }
    fs::remove_dir_all(path.join(odd)).unwrap();
    for args in [
        all("train names --model linear --steps 2 --json --out", "--force"),
        words("info --json").chain([odd]).collect(),
        all("eval", "--json --split train"),
        all("sample", "-n 3"),
        words("compare --json --split val").chain([odd, odd]).collect(),
        all("train --resume --json --out", "--steps 3"),
    ] {
        let output = run(&args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!args.contains(&OsStr::new("--json")) || text.starts_with('{'), "{args:?}: {text}");
    }
}

#[test]
fn a_wrong_address_shows_no_password() {
    let home = folder();
    let output =
        charloom(home.path(), "sweep --grid embed=1,2 --study postgresql://ada:secret@db.example/charloom");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("ada@db.example") && !stderr.contains("secret"), "{stderr}");
    let output =
        charloom(home.path(), "sweep --grid embed=1,2 --study postgresql://db.example/c?password=secret");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("it lacks the study's name, as in ...#my-study") && !stderr.contains("secret"),
        "{stderr}"
    );
}
