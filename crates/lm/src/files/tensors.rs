//! Named tensors, as model files hold them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use charloom_tensor::{print_floats, print_whole};
use safetensors::Dtype;

/// Numbers with a name and a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The path of the tensor, such as `layers.0.weight`.
    pub name: String,
    /// The length along each dimension; empty: a single number.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub data: TensorData,
}

/// The numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit floating point.
    F64(Vec<f64>),
    /// 8-bit integers.
    U8(Vec<u8>),
    /// 32-bit integers.
    U32(Vec<u32>),
    /// 64-bit integers.
    U64(Vec<u64>),
    /// 32-bit integers, computed each time they are read.
    Computed(Computed),
}

/// 32-bit integers computed each time they are read, from a smaller representation.
#[derive(Clone)]
pub struct Computed {
    len: usize,
    each: Arc<Each>,
}

/// Passes all numbers to its argument, some at a time.
type Each = dyn Fn(&mut dyn FnMut(&[u32])) + Send + Sync;

impl Computed {
    /// `len` numbers. `each` must pass them to its argument, some at a time and always the same.
    pub fn new(len: usize, each: impl Fn(&mut dyn FnMut(&[u32])) + Send + Sync + 'static) -> Self {
        Self { len, each: Arc::new(each) }
    }

    /// All numbers.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u32> {
        let mut all = Vec::with_capacity(self.len);
        (self.each)(&mut |some| all.extend_from_slice(some));
        all
    }
}

impl fmt::Debug for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers", self.len)
    }
}

impl PartialEq for Computed {
    /// Equal numbers.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.to_vec() == other.to_vec()
    }
}

macro_rules! typed {
    ($variant:ident, $number:ty, $make:ident, $get:ident) => {
        impl NamedTensor {
            #[doc = concat!("A tensor of `", stringify!($number), "`.")]
            #[must_use]
            pub fn $make(name: impl Into<String>, shape: &[usize], data: Vec<$number>) -> Self {
                Self { name: name.into(), shape: shape.to_vec(), data: TensorData::$variant(data) }
            }

            #[doc = concat!("The numbers, if they are `", stringify!($number), "`.")]
            #[must_use]
            pub fn $get(&self) -> Option<&[$number]> {
                match &self.data {
                    TensorData::$variant(data) => Some(data),
                    _ => None,
                }
            }
        }
    };
}
typed!(F32, f32, f32, as_f32);
typed!(F64, f64, f64, as_f64);
typed!(U8, u8, u8, as_u8);
typed!(U32, u32, u32, as_u32);
typed!(U64, u64, u64, as_u64);

impl NamedTensor {
    /// A tensor of 32-bit integers that are computed each time they are read.
    #[must_use]
    pub fn computed(name: impl Into<String>, shape: &[usize], numbers: Computed) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), data: TensorData::Computed(numbers) }
    }

    /// The numbers, if they are 32-bit integers, stored or computed.
    #[must_use]
    pub fn to_u32(&self) -> Option<Cow<'_, [u32]>> {
        match &self.data {
            TensorData::Computed(computed) => Some(computed.to_vec().into()),
            _ => self.as_u32().map(Cow::from),
        }
    }

    /// All numbers, as 64-bit floating point.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        match &self.data {
            TensorData::F32(data) => data.iter().map(|&x| x.into()).collect(),
            TensorData::F64(data) => data.clone(),
            TensorData::U8(data) => data.iter().map(|&x| x.into()).collect(),
            TensorData::U32(data) => data.iter().map(|&x| x.into()).collect(),
            TensorData::U64(data) => data.iter().map(|&x| x as f64).collect(),
            TensorData::Computed(computed) => computed.to_vec().into_iter().map(f64::from).collect(),
        }
    }

    /// The rows with these indices along the first dimension; `is_one` drops that dimension. `None` if there
    /// is no such row.
    #[must_use]
    pub fn rows(&self, rows: &[usize], is_one: bool) -> Option<Self> {
        let (&count, rest) = self.shape.split_first()?;
        let size: usize = rest.iter().product();
        if rows.iter().any(|&row| row >= count) {
            return None;
        }
        let head = if is_one { Vec::new() } else { vec![rows.len()] };
        let shape = [head.as_slice(), rest].concat();
        Some(Self { name: self.name.clone(), shape, data: self.data.pick(rows, size) })
    }

    /// The bytes of a NumPy file.
    ///
    /// # Source
    /// `numpy.lib.format`, version 1.0
    #[must_use]
    pub fn to_npy(&self) -> Vec<u8> {
        let mut numbers = Vec::new();
        self.data.write(&mut |bytes| numbers.extend_from_slice(bytes));
        let kind = match self.data.dtype().0 {
            "F32" => "<f4",
            "F64" => "<f8",
            "U8" => "|u1",
            "U32" => "<u4",
            _ => "<u8",
        };
        let sizes: String = self.shape.iter().map(|size| format!("{size},")).collect();
        let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}");
        // The header is padded: it, the ten bytes before it and its final line break fill whole blocks of 64
        // bytes.
        let filled = (10 + head.len() + 1).next_multiple_of(64) - 11;
        head = format!("{head:<filled$}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((head.len() as u16).to_le_bytes());
        bytes.extend(head.bytes());
        bytes.extend(numbers);
        bytes
    }
}

/// As torch prints it.
impl fmt::Display for NamedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = || self.numbers().iter().map(|&x| x as u64).collect::<Vec<_>>();
        f.write_str(&match &self.data {
            TensorData::F32(data) => print_floats(&self.shape, data),
            TensorData::F64(data) => print_floats(&self.shape, data),
            _ => print_whole(&self.shape, &whole()),
        })
    }
}

impl TensorData {
    /// The number of numbers.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty tensor is as good as any")]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F64(data) => data.len(),
            Self::U8(data) => data.len(),
            Self::U32(data) => data.len(),
            Self::U64(data) => data.len(),
            Self::Computed(computed) => computed.len,
        }
    }

    pub(super) fn is_finite(&self) -> bool {
        match self {
            Self::F32(data) => data.iter().all(|x| x.is_finite()),
            Self::F64(data) => data.iter().all(|x| x.is_finite()),
            _ => true,
        }
    }
}

/// How many numbers are written at a time.
const CHUNK: usize = 1 << 14;

macro_rules! codes {
    ($($variant:ident $number:ty = $code:literal,)+) => {
        impl TensorData {
            /// The name of the numbers' type in safetensors, and the bytes of one number.
            pub(super) fn dtype(&self) -> (&'static str, usize) {
                match self {
                    $(Self::$variant(_) => ($code, size_of::<$number>()),)+
                    Self::Computed(_) => ("U32", size_of::<u32>()),
                }
            }

            /// Passes the numbers to `to`, little-endian, some at a time.
            pub(super) fn write(&self, to: &mut dyn FnMut(&[u8])) {
                let mut bytes = Vec::new();
                match self {
                    $(Self::$variant(data) => for some in data.chunks(CHUNK) {
                        bytes.resize(size_of_val(some), 0);
                        for (bytes, x) in bytes.chunks_exact_mut(size_of::<$number>()).zip(some) {
                            bytes.copy_from_slice(&x.to_le_bytes());
                        }
                        to(&bytes);
                    })+
                    Self::Computed(computed) => {
                        (computed.each)(&mut |some| {
                            some.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
                            if bytes.len() >= CHUNK {
                                to(&bytes);
                                bytes.clear();
                            }
                        });
                        to(&bytes);
                    }
                }
            }

            /// The numbers of these rows of `size` numbers each.
            fn pick(&self, rows: &[usize], size: usize) -> Self {
                match self {
                    $(Self::$variant(data) => {
                        let row = |&row: &usize| data[row * size..(row + 1) * size].iter().copied();
                        Self::$variant(rows.iter().flat_map(row).collect())
                    })+
                    Self::Computed(computed) => Self::U32(computed.to_vec()).pick(rows, size),
                }
            }

            /// The numbers that [`TensorData::write`] wrote.
            pub(super) fn read(dtype: Dtype, bytes: &[u8]) -> Option<Self> {
                match dtype {
                    $(Dtype::$variant => {
                        let (numbers, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
                        Some(Self::$variant(numbers.iter().map(|x| <$number>::from_le_bytes(*x)).collect()))
                    })+
                    _ => None,
                }
            }
        }
    };
}
codes! { F32 f32 = "F32", F64 f64 = "F64", U8 u8 = "U8", U32 u32 = "U32", U64 u64 = "U64", }

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> NamedTensor {
        NamedTensor::f32("t", &[3, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    }

    #[test]
    fn rows_are_picked_in_any_order() {
        let one = table().rows(&[2], true).unwrap();
        assert_eq!((one.shape.as_slice(), one.to_string()), (&[2][..], "tensor([4., 5.])".to_owned()));
        let two = table().rows(&[1, 1], false).unwrap();
        assert_eq!((two.shape, two.data), (vec![2, 2], TensorData::F32(vec![2.0, 3.0, 2.0, 3.0])));
        assert!(table().rows(&[3], true).is_none());
    }

    #[test]
    fn numbers_that_are_made_are_those_that_are_kept() {
        let all: Vec<u32> = (0..50_000).collect();
        let each =
            |to: &mut dyn FnMut(&[u32])| (0..10_000).for_each(|i| to(&[0, 1, 2, 3, 4].map(|k| 5 * i + k)));
        let computed = NamedTensor::computed("t", &[10_000, 5], Computed::new(50_000, each));
        let kept = NamedTensor::u32("t", &[10_000, 5], all);
        assert_eq!((computed.to_u32(), computed.numbers()), (kept.to_u32(), kept.numbers()));
        assert_eq!((computed.to_npy(), computed.rows(&[7], true)), (kept.to_npy(), kept.rows(&[7], true)));
        assert_eq!(
            (computed.as_u32(), computed.data.len(), computed.data.dtype()),
            (None, 50_000, kept.data.dtype())
        );
    }

    #[test]
    fn a_numpy_file_is_aligned_and_says_what_it_holds() {
        for shape in [vec![3, 2], vec![6], vec![1, 2, 3]] {
            let bytes = NamedTensor { shape, ..table() }.to_npy();
            assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
            let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert_eq!(((10 + length) % 64, bytes[9 + length], bytes.len()), (0, b'\n', 10 + length + 24));
        }
        let bytes = table().to_npy();
        let head = String::from_utf8_lossy(&bytes[10..80]).into_owned();
        assert!(head.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3,2,), }"), "{head}");
        assert_eq!(bytes[bytes.len() - 4..], 5.0f32.to_le_bytes());
    }
}
