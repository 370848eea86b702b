//! Numbers with a name, as model files hold them.

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
    /// Bytes.
    U8(Vec<u8>),
    /// 32-bit whole.
    U32(Vec<u32>),
    /// 64-bit whole.
    U64(Vec<u64>),
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

macro_rules! codes {
    ($($variant:ident $number:ty = $code:literal,)+) => {
        impl TensorData {
            /// Appends the numbers, little-endian, and returns the name of their type.
            pub(super) fn write(&self, to: &mut Vec<u8>) -> &'static str {
                match self {
                    $(Self::$variant(data) => {
                        to.extend(data.iter().flat_map(|x| x.to_le_bytes()));
                        $code
                    })+
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
