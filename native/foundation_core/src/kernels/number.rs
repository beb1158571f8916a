//! The kinds of packed numbers.
use super::sum::Total;
use super::{Value, sum};

/// A kind of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Kind {
    /// Every kind, with its name.
    pub const ALL: [(Kind, &'static str); 10] = [
        (Kind::I8, "i8"),
        (Kind::U8, "u8"),
        (Kind::I16, "i16"),
        (Kind::U16, "u16"),
        (Kind::I32, "i32"),
        (Kind::U32, "u32"),
        (Kind::I64, "i64"),
        (Kind::U64, "u64"),
        (Kind::F32, "f32"),
        (Kind::F64, "f64"),
    ];

    /// The kind of a name.
    pub fn find(name: &str) -> Option<Kind> {
        let found = Kind::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(kind, _)| *kind)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Kind::ALL[self as usize].1
    }

    /// Bytes of one.
    pub fn size(self) -> usize {
        match self {
            Kind::I8 | Kind::U8 => 1,
            Kind::I16 | Kind::U16 => 2,
            Kind::I32 | Kind::U32 | Kind::F32 => 4,
            Kind::I64 | Kind::U64 | Kind::F64 => 8,
        }
    }

    /// Whether it is one of floats.
    pub fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64)
    }
}

/// A number that lies packed in bytes.
pub trait Number: Copy + Send + 'static {
    /// An unsigned number whose order is this one's; of floats IEEE 754's total order.
    type Key: Key;
    const KIND: Kind;

    /// The numbers in these bytes.
    fn values(bytes: &[u8]) -> impl ExactSizeIterator<Item = Self>;
    /// Writes numbers, as many as there is room for.
    fn write(numbers: impl Iterator<Item = Self>, out: &mut [u8]);
    /// Adds numbers up.
    fn add(bytes: &[u8], total: &mut Total);
    fn key(self) -> Self::Key;
    fn of_key(key: Self::Key) -> Self;
    /// The nearest float.
    fn float(self) -> f64;
    fn value(self) -> Value;
}

/// What numbers are ordered by.
pub trait Key: Copy + Ord + Default + Send + 'static {
    const MAX: Self;
    /// The key whose order is the other way round.
    fn flip(self) -> Self;
    fn wide(self) -> u64;
}

macro_rules! keys {
    ($($key:ty),*) => {$(
        impl Key for $key {
            const MAX: $key = <$key>::MAX;
            fn flip(self) -> $key {
                !self
            }
            fn wide(self) -> u64 {
                u64::from(self)
            }
        }
    )*};
}

keys!(u8, u16, u32, u64);

macro_rules! number {
    ($type:ty, $kind:ident, $key:ty, $add:ident, $to:expr, $of:expr, $value:expr) => {
        impl Number for $type {
            type Key = $key;
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn values(bytes: &[u8]) -> impl ExactSizeIterator<Item = $type> {
                let (numbers, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
                numbers.iter().map(|number| <$type>::from_ne_bytes(*number))
            }

            #[inline]
            fn write(numbers: impl Iterator<Item = $type>, out: &mut [u8]) {
                let (room, _) = out.as_chunks_mut::<{ size_of::<$type>() }>();
                for (place, number) in room.iter_mut().zip(numbers) {
                    *place = number.to_ne_bytes();
                }
            }

            #[inline]
            fn add(bytes: &[u8], total: &mut Total) {
                sum::$add::<$type>(bytes, total);
            }

            #[inline]
            fn key(self) -> $key {
                $to(self)
            }

            #[inline]
            fn of_key(key: $key) -> $type {
                $of(key)
            }

            #[inline]
            fn float(self) -> f64 {
                self as f64
            }

            fn value(self) -> Value {
                $value(self)
            }
        }
    };
}

macro_rules! integer {
    ($type:ty, $kind:ident, $key:ty, $add:ident) => {
        number!(
            $type,
            $kind,
            $key,
            $add,
            |number: $type| (number as $key) ^ (<$type>::MIN as $key),
            |key: $key| (key ^ (<$type>::MIN as $key)) as $type,
            |number: $type| Value::Int(i128::from(number))
        );
    };
}

// A set sign turns the order of all other bits round.
macro_rules! float {
    ($type:ty, $kind:ident, $key:ty, $signed:ty, $add:ident) => {
        number!(
            $type,
            $kind,
            $key,
            $add,
            |number: $type| {
                let bits = number.to_bits();
                let negative = (bits as $signed >> (<$key>::BITS - 1)) as $key;
                bits ^ (negative | 1 << (<$key>::BITS - 1))
            },
            |key: $key| {
                let positive = (key as $signed >> (<$key>::BITS - 1)) as $key;
                <$type>::from_bits(key ^ (!positive | 1 << (<$key>::BITS - 1)))
            },
            |number: $type| Value::Float(f64::from(number))
        );
    };
}

integer!(i8, I8, u8, add_narrow);
integer!(u8, U8, u8, add_narrow);
integer!(i16, I16, u16, add_narrow);
integer!(u16, U16, u16, add_narrow);
integer!(i32, I32, u32, add_narrow);
integer!(u32, U32, u32, add_narrow);
integer!(i64, I64, u64, add_signed);
integer!(u64, U64, u64, add_unsigned);
float!(f32, F32, u32, i32, add_floats);
float!(f64, F64, u64, i64, add_floats);

/// Evaluates `$body` with `$T` as the type of the numbers of `$kind`.
macro_rules! of_kind {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            $crate::kernels::Kind::I8 => {
                type $T = i8;
                $body
            }
            $crate::kernels::Kind::U8 => {
                type $T = u8;
                $body
            }
            $crate::kernels::Kind::I16 => {
                type $T = i16;
                $body
            }
            $crate::kernels::Kind::U16 => {
                type $T = u16;
                $body
            }
            $crate::kernels::Kind::I32 => {
                type $T = i32;
                $body
            }
            $crate::kernels::Kind::U32 => {
                type $T = u32;
                $body
            }
            $crate::kernels::Kind::I64 => {
                type $T = i64;
                $body
            }
            $crate::kernels::Kind::U64 => {
                type $T = u64;
                $body
            }
            $crate::kernels::Kind::F32 => {
                type $T = f32;
                $body
            }
            $crate::kernels::Kind::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

pub(super) use of_kind;
