use std::path::Path;

use super::*;
use crate::data::Mode;

pub(crate) fn example() -> Checkpoint {
    let mut config = Config::default();
    config.resolve(Mode::Lines);
    crate::models::fill(&mut config.model).unwrap();
    Checkpoint {
        config,
        vocab: Vocab::new(Mode::Lines, "am\"\\é\u{1F600}".chars()),
        step: 7,
        metrics_bytes: 123,
        tensors: vec![
            NamedTensor::f32("embedding.weight", &[2, 3], vec![1.0, -0.0, 1e-40, f32::MIN, f32::MAX, 0.1]),
            NamedTensor::u32("counts", &[0, 4], vec![]),
        ],
        state: vec![
            NamedTensor::u64("generator", &[2], vec![u64::MAX, 1]),
            NamedTensor::f64("best", &[], vec![0.1 + 0.2]),
            NamedTensor::u8("flags", &[3], vec![1, 2, 255]),
        ],
    }
}

fn read(bytes: &[u8]) -> Result<Checkpoint> {
    Checkpoint::from_bytes(bytes, Path::new("m.safetensors"))
}

fn refusal(bytes: &[u8]) -> String {
    let error = read(bytes).expect_err("refused");
    assert!(matches!(error, Error::Model { .. }), "{error:?}");
    let line = error.to_string();
    assert!(line.starts_with("m.safetensors: ") && !line.contains('\n'), "{line:?}");
    line
}

/// A safetensors file around a header, with the right digest where there is a place for one.
fn file(header: &str, payload: &[u8]) -> Vec<u8> {
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), payload].concat();
    let at = bytes.windows(10).position(|window| window == b"\"sha256\":\"").map(|at| at + 10);
    let mut bytes = bytes;
    if let Some(at) = at {
        use sha2::Digest;
        bytes[at..at + 64].fill(b'0');
        let digest = crate::data::hex(&sha2::Sha256::digest(&bytes));
        bytes[at..at + 64].copy_from_slice(digest.as_bytes());
    }
    bytes
}

/// The example's file, its header changed by `edit`, its checksum right.
fn edited(edit: impl FnOnce(&str) -> String) -> Vec<u8> {
    let bytes = example().to_bytes().unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    file(&edit(std::str::from_utf8(&bytes[8..8 + length]).unwrap()), &bytes[8 + length..])
}

#[test]
fn round_trip_is_exact() {
    let bytes = example().to_bytes().unwrap();
    assert_eq!(bytes, example().to_bytes().unwrap());
    let back = read(&bytes).unwrap();
    assert_eq!(back, example());
    assert!(back.tensor("embedding.weight").unwrap().as_f32().unwrap()[1].is_sign_negative());
}

#[test]
fn any_header_length_is_read() {
    for length in (0..300).chain([2047]) {
        let mut checkpoint = example();
        checkpoint.tensors[0].name = "n".repeat(length + 1);
        assert_eq!(read(&checkpoint.to_bytes().unwrap()).unwrap(), checkpoint);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let weights = Checkpoint { state: Vec::new(), ..example() };
    for checkpoint in [example(), weights] {
        let mut bytes = checkpoint.to_bytes().unwrap();
        read(&bytes).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                refusal(&bytes);
                bytes[at] ^= 1 << bit;
            }
            refusal(&bytes[..at]);
        }
        bytes.push(0);
        refusal(&bytes);
    }
}

/// The error, which must take at most 20 MB and 50 ms (500 ms without optimization). The time is tried 50
/// times, since other programs may disturb it; one try must be fast enough.
fn refused_at_once(bytes: &[u8]) -> String {
    let most = if cfg!(debug_assertions) { 500 } else { 50 };
    let mut said = String::new();
    let quick = (0..50).any(|_| {
        let start = std::time::Instant::now();
        let taken = allocation_counter::measure(|| said = refusal(bytes));
        assert!(taken.bytes_max < 20_000_000, "{said}: {} bytes", taken.bytes_max);
        start.elapsed().as_millis() < most
    });
    assert!(quick, "{said}: never within {most} ms");
    said
}

#[test]
fn lies_in_the_header_are_refused_at_once() {
    let mut huge = example().to_bytes().unwrap();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refused_at_once(&huge).contains("not a safetensors file"));

    let shape = "[2,3]";
    let most = usize::MAX.to_string();
    assert!(
        refused_at_once(&edited(|h| h.replace(shape, &format!("[{most},{most}]"))))
            .contains("not a valid safetensors")
    );
    assert!(refused_at_once(&edited(|h| h.replace(shape, "[2,4]"))).contains("not a valid safetensors"));
    assert!(refused_at_once(&edited(|h| h.replace("[0,24]", "[8,24]"))).contains("not a valid safetensors"));
    assert!(
        refused_at_once(&edited(|h| h.replace("\"F32\"", "\"BF16\""))).contains("not a valid safetensors")
    );
    assert!(refused_at_once(&edited(|h| h.replace("\"U8\"", "\"I8\""))).contains("unknown type I8"));

    let beside = |shape: &str| {
        let tensor =
            format!("}},\"none\":{{\"dtype\":\"U8\",\"shape\":{shape},\"data_offsets\":[0,0]}},\"embedding");
        refused_at_once(&edited(|h| h.replacen("},\"embedding", &tensor, 1)))
    };
    // Empty tensors, which fit any file whatever their other lengths are.
    assert!(beside("[1099511627776,0]").contains("the tensor none has a shape that no model's has"));
    assert!(beside("[0,1099511627776,1099511627776]").contains("shape"));
    assert!(beside(&format!("[{}0]", "1,".repeat(20_000))).contains("of 20001 dimensions"));
    let many: String = (0..1_000_000)
        .map(|i| format!(",\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"))
        .collect();
    refused_at_once(&edited(|h| h.replacen("},\"embedding", &format!("}}{many},\"embedding"), 1)));
    let nested = "[".repeat(1 << 20);
    refused_at_once(&edited(|h| h.replace(shape, &nested)));
}

#[test]
fn a_huge_file_that_is_wrong_is_not_held() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("m.safetensors");
    std::fs::write(&path, example().to_bytes().unwrap()).unwrap();
    // A sparse file: its zeros take no space on the disk.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4 * LARGE).unwrap();
    let mut said = String::new();
    let taken =
        allocation_counter::measure(|| said = Checkpoint::read(&path).expect_err("refused").to_string());
    assert!(said.contains("its checksum differs") && !said.contains('\n'), "{said}");
    assert!(taken.bytes_max < 1_000_000, "{} bytes", taken.bytes_max);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let said = Checkpoint::read(&path).expect_err("refused").to_string();
    assert!(said.contains("8589934593 bytes, more than any model"), "{said}");
}

#[test]
fn a_large_file_that_is_right_is_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("m.safetensors");
    let mut large = example();
    large.state.push(NamedTensor::u8("large", &[LARGE as usize], vec![1; LARGE as usize]));
    std::fs::write(&path, large.to_bytes().unwrap()).unwrap();
    assert!(Checkpoint::read(&path).unwrap() == large);
}

#[test]
fn what_is_no_model_is_named() {
    assert!(refusal(b"PK\x03\x04 archive/data.pkl").contains("pickle"));
    assert!(refusal(b"\x80\x02}q\x00").contains("pickle"));
    assert!(refusal(b"").contains("no model file"));
    assert!(refusal(b"emma\nolivia\nava\n").contains("not a safetensors file"));
    let foreign = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    assert!(refusal(&file(foreign, &[0; 4])).contains("not one of charloom's"));
    let short = [&32u64.to_le_bytes()[..], br#"{"__metadata__":{"sha256":"00"}}"#].concat();
    assert!(refusal(&short).contains("not one of charloom's"));
    let newer = refusal(&edited(|h| h.replace("\"format\":\"2\"", "\"format\":\"3\"")));
    assert!(newer.contains("newer charloom (format 3"), "{newer}");
}

#[test]
fn a_bad_configuration_or_vocabulary_is_refused() {
    // What is wrong with the model is found when it is opened.
    let opened = |edited: Vec<u8>| {
        let path = Path::new("m.safetensors");
        let error = crate::models::open(&read(&edited).unwrap(), path).err().expect("refused");
        assert!(matches!(error, Error::Model { .. }), "{error:?}");
        error.to_string()
    };
    let misspelt = opened(edited(|h| h.replace("context = 3", "contxt = 3")));
    assert!(
        misspelt.starts_with("m.safetensors: ") && misspelt.contains("did you mean \"context\""),
        "{misspelt}"
    );
    let far = opened(edited(|h| h.replace("context = 3", "context = 1000000000")));
    assert!(far.starts_with("m.safetensors: ``context`` 1000000000"), "{far}");
    assert!(refusal(&edited(|h| h.replace("\"step\":\"7\"", "\"step\":\"-7\""))).contains("\"step\""));
    assert!(refusal(&edited(|h| h.replace("\"vocab\":\"{", "\"vocab\":\"["))).contains("vocabulary"));
}

#[test]
fn tensors_that_are_not_finite_are_all_named() {
    let mut broken = example();
    broken.tensors.push(NamedTensor::f32("a", &[1], vec![f32::NAN]));
    broken.state.push(NamedTensor::f64("b", &[1], vec![f64::INFINITY]));
    assert!(refusal(&broken.to_bytes().unwrap()).contains("not all numbers are finite in a, b;"));
}

#[test]
fn tensors_that_do_not_fit_are_all_listed() {
    let mut checkpoint = example();
    checkpoint.tensors.pop();
    let expect = |expected: &[(&str, &[usize])]| {
        let expected: Vec<_> =
            expected.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
        checkpoint.expect(&expected, Path::new("m"))
    };
    expect(&[("embedding.weight", &[2, 3])]).unwrap();
    let said = expect(&[("embedding.weight", &[3, 2]), ("layers.0.weight", &[1])]).unwrap_err().to_string();
    assert!(
        said.ends_with("embedding.weight is [2, 3] instead of [3, 2], layers.0.weight is missing"),
        "{said}"
    );
    assert!(expect(&[]).unwrap_err().to_string().contains("embedding.weight has no place"));
    let wide = Checkpoint { tensors: vec![NamedTensor::f64("w", &[1], vec![0.5])], ..example() };
    let said = wide.expect(&[("w".to_owned(), vec![1])], Path::new("m")).unwrap_err().to_string();
    assert!(said.ends_with("w is not of 32-bit floats"), "{said}");
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let mut twice = example();
    twice.tensors.push(twice.tensors[0].clone());
    assert!(twice.to_bytes().unwrap_err().to_string().contains("twice"));
    let mut wrong = example();
    wrong.tensors[0].shape = vec![7];
    assert!(wrong.to_bytes().unwrap_err().to_string().contains("6 numbers for the shape [7]"));
    let mut long = example();
    long.tensors[0].name = "n".repeat(1 << 24);
    assert!(long.to_bytes().unwrap_err().to_string().contains("too large for a file"));
}
